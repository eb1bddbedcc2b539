"""QGIS's proxy settings as the environment variables that the backend's libraries and installers read."""

from __future__ import annotations

from typing import Optional
from urllib.parse import quote, urlsplit

from qgis.core import QgsApplication, QgsAuthMethodConfig, QgsSettings

SCHEMES = {"HttpProxy": "http", "HttpCachingProxy": "http", "Socks5Proxy": "socks5h"}


def proxy_environment() -> dict[str, str]:
    """Variables for a child's environment; empty when QGIS uses no proxy, or the system's own settings.

    User and password stand in them and nowhere else: never in a command line or a log.
    """
    settings = QgsSettings()
    scheme = SCHEMES.get(settings.value("proxy/proxyType", "DefaultProxy", type=str))
    host = settings.value("proxy/proxyHost", "", type=str)
    if not settings.value("proxy/proxyEnabled", False, type=bool) or not scheme or not host:
        return {}
    port = settings.value("proxy/proxyPort", "", type=str)
    address = f"{scheme}://{_credentials(settings)}{host}{f':{port}' if port else ''}"
    variables = {"http_proxy": address, "https_proxy": address}
    excluded = _excluded_hosts(settings)
    if excluded:
        variables["no_proxy"] = ",".join(excluded)
    return {**variables, **{name.upper(): value for name, value in variables.items()}}


def _credentials(settings: QgsSettings) -> str:
    user = settings.value("proxy/proxyUser", "", type=str)
    password = settings.value("proxy/proxyPassword", "", type=str)
    configuration = _authentication(settings.value("proxy/authcfg", "", type=str))
    if configuration:
        user, password = configuration.config("username"), configuration.config("password")
    return f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""


def _authentication(identifier: str) -> Optional[QgsAuthMethodConfig]:
    if not identifier:
        return None
    configuration = QgsAuthMethodConfig()
    loaded = QgsApplication.authManager().loadAuthenticationConfig(identifier, configuration, True)
    return configuration if loaded and configuration.isValid() else None


def _excluded_hosts(settings: QgsSettings) -> list[str]:
    """Hosts of the addresses that QGIS reaches without the proxy."""
    addresses = [*_listed(settings, "proxy/noProxyUrls"), *_listed(settings, "proxy/proxyExcludedUrls")]
    hosts = [urlsplit(a if "//" in a else f"//{a}").hostname for a in addresses]
    return [host for host in hosts if host]


def _listed(settings: QgsSettings, key: str) -> list[str]:
    value = settings.value(key, [])
    values = value if isinstance(value, list) else str(value or "").split("|")
    return [str(v) for v in values if v]
