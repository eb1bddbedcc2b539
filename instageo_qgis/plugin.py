"""The plugin object: adds the provider when QGIS starts, takes everything away when it is unloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from qgis.core import QgsApplication

if TYPE_CHECKING:
    from .provider import InstaGeoProvider
    from .settings import BackendOptionsFactory


class InstaGeoPlugin:
    """What QGIS loads. `iface` is None under `qgis_process`, which calls `initProcessing` and not `initGui`."""

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self._provider: Optional[InstaGeoProvider] = None
        self._options: Optional[BackendOptionsFactory] = None

    def initProcessing(self) -> None:  # noqa: N802 - QGIS's names, here and below
        """Add the provider, once."""
        if self._provider is not None:
            return
        from .provider import InstaGeoProvider

        provider = InstaGeoProvider()
        if QgsApplication.processingRegistry().addProvider(provider):
            self._provider = provider

    def initGui(self) -> None:  # noqa: N802
        """Add the provider, and the page in Settings > Options."""
        self.initProcessing()
        from .settings import BackendOptionsFactory

        self._options = BackendOptionsFactory()
        self._iface.registerOptionsWidgetFactory(self._options)

    def unload(self) -> None:
        """End what runs, and take away what was added."""
        if self._options is not None:
            self._iface.unregisterOptionsWidgetFactory(self._options)
            self._options = None
        if self._provider is not None:
            from ..processing_algorithms.base import cancel_running

            cancel_running()
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None
