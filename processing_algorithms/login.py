"""Logins out of QGIS's authentication store, for the backend."""

from __future__ import annotations

from qgis.core import QgsApplication, QgsAuthMethodConfig
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtNetwork import QNetworkRequest

from ..core.contract.errors import InstaGeoError

_BASIC = "Basic"
_STORE = "Settings > Options > Authentication"
_ANYWHERE = "https://localhost/"  # headers do not depend on the address


def secrets_of(name: str, identifier: str) -> dict[str, str]:
    """What the authentication configuration `identifier`, value of the parameter `name`, holds: `username` and
    `password`, or HTTP headers as `header:NAME`.

    Call it on the main thread, since QGIS may ask for the master password. Raises `InstaGeoError`.
    """
    manager = QgsApplication.authManager()
    if identifier not in manager.configIds():
        raise InstaGeoError(
            f"{name}: there is no authentication configuration '{identifier}'.", f"Make one in {_STORE}."
        )
    config = QgsAuthMethodConfig()
    if not manager.loadAuthenticationConfig(identifier, config, True)[0]:
        raise InstaGeoError(
            f"{name}: the authentication configuration '{identifier}' cannot be read.",
            "Give QGIS the master password; without a window, in a file that QGIS_AUTH_PASSWORD_FILE names.",
        )
    if config.method() == _BASIC:
        return {key: config.config(key) for key in ("username", "password")}
    headers = _headers(identifier)
    if not headers:
        raise InstaGeoError(
            f"{name}: authentication configuration '{config.name()}' is of the kind {config.method()}, which gives no "
            "HTTP header.",
            f"Make one of the kind 'Basic authentication' or 'API Header' in {_STORE}.",
        )
    return headers


def _headers(identifier: str) -> dict[str, str]:
    """The headers that QGIS itself would send."""
    request = QNetworkRequest(QUrl(_ANYWHERE))
    done, request = QgsApplication.authManager().updateNetworkRequest(request, identifier)
    if not done:
        return {}
    pairs = ((bytes(key).decode(), bytes(request.rawHeader(key)).decode()) for key in request.rawHeaderList())
    return {f"header:{key}": value for key, value in pairs}
