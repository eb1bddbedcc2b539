"""The Processing provider: algorithms, and the chains shipped as models."""

from __future__ import annotations

from qgis.core import Qgis, QgsApplication, QgsMessageLog, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from ..core.contract.version import __version__
from ..processing_algorithms.base import ICON, RESOURCES
from ..processing_algorithms.catalogue import algorithms
from .chain import Chain

PROVIDER_ID = "instageo"
CHAINS = RESOURCES / "models"


class InstaGeoProvider(QgsProcessingProvider):
    """Provider `instageo`."""

    def id(self) -> str:
        return PROVIDER_ID

    def name(self) -> str:
        return "InstaGeo"

    def longName(self) -> str:  # noqa: N802 - QGIS's names, here and below
        return f"InstaGeo {__version__}"

    def versionInfo(self) -> str:  # noqa: N802
        return __version__

    def icon(self) -> QIcon:
        return QIcon(str(ICON))

    def svgIconPath(self) -> str:  # noqa: N802
        return str(ICON)

    def supportedOutputRasterLayerExtensions(self) -> list[str]:  # noqa: N802
        return ["tif", "tiff"]

    def supportedOutputVectorLayerExtensions(self) -> list[str]:  # noqa: N802
        return ["gpkg"]

    def supportsNonFileBasedOutput(self) -> bool:  # noqa: N802
        return False

    def load(self) -> bool:
        QgsApplication.processingRegistry().providerAdded.connect(self._complete_chains)
        return super().load()

    def _complete_chains(self, provider_id: str) -> None:
        """A chain's outputs are those of its steps, which QGIS finds once this provider is in its registry."""
        if provider_id != PROVIDER_ID:
            return
        QgsApplication.processingRegistry().providerAdded.disconnect(self._complete_chains)
        for algorithm in self.algorithms():
            if isinstance(algorithm, Chain):
                algorithm.loadVariant(algorithm.toVariant())

    def loadAlgorithms(self) -> None:  # noqa: N802
        for algorithm in algorithms():
            self.addAlgorithm(algorithm)
        for path in sorted(CHAINS.glob("*.model3")):
            chain = Chain()
            if chain.fromFile(str(path)):
                self.addAlgorithm(chain)
            else:
                QgsMessageLog.logMessage(f"{path} cannot be read.", "InstaGeo", Qgis.MessageLevel.Warning)
