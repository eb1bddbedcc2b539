"""Parameter definitions in one line each, every one with its help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterAuthConfig,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterCrs,
    QgsProcessingParameterDateTime,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMatrix,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)
from qgis.PyQt.QtCore import QCoreApplication

Definition = QgsProcessingParameterDefinition
POINTS = QgsProcessing.SourceType.TypeVectorPoint
POLYGONS = QgsProcessing.SourceType.TypeVectorPolygon
MODEL_FILTER = "InstaGeo model (*.safetensors)"
HTML_FILTER = "HTML (*.html)"


def tr(text: str) -> str:
    """`text` in the user's language."""
    return QCoreApplication.translate("InstaGeo", text)


def described(definition: Definition, help_text: str, advanced: bool = False) -> Definition:
    """`definition` with its help and, perhaps, its place among the advanced ones."""
    definition.setHelp(tr(help_text))
    if advanced:
        definition.setFlags(definition.flags() | Definition.Flag.FlagAdvanced)
    return definition


def integer(name: str, label: str, default: Optional[int], help_text: str, **rest: Any) -> Definition:
    """A whole number; `minimum`, `maximum`, `advanced` may be given. Without a default it is optional."""
    return _number(name, label, default, help_text, QgsProcessingParameterNumber.Type.Integer, **rest)


def decimal(name: str, label: str, default: Optional[float], help_text: str, **rest: Any) -> Definition:
    """A number; as `integer`."""
    return _number(name, label, default, help_text, QgsProcessingParameterNumber.Type.Double, **rest)


def _number(
    name: str,
    label: str,
    default: Union[int, float, None],
    help_text: str,
    kind: QgsProcessingParameterNumber.Type,
    *,
    advanced: bool = False,
    **limits: float,
) -> Definition:
    known = {f"{edge}Value": limit for edge, limit in (("min", limits.get("minimum")), ("max", limits.get("maximum")))
             if limit is not None}  # fmt: skip
    definition = QgsProcessingParameterNumber(name, tr(label), kind, default, default is None, **known)
    return described(definition, help_text, advanced)


def flag(name: str, label: str, default: bool, help_text: str, advanced: bool = False) -> Definition:
    """Yes or no."""
    return described(QgsProcessingParameterBoolean(name, tr(label), default), help_text, advanced)


def choice(  # noqa: PLR0913 - one line a parameter is worth it
    name: str,
    label: str,
    options: Sequence[str],
    default: Any,
    help_text: str,
    *,
    several: bool = False,
    advanced: bool = False,
) -> Definition:
    """A closed list; values are the options themselves, never their numbers. Without a default it is optional."""
    definition = QgsProcessingParameterEnum(
        name,
        tr(label),
        list(options),
        allowMultiple=several,
        defaultValue=default or None,
        optional=not default,
        usesStaticStrings=True,
    )
    return described(definition, help_text, advanced)


def text(
    name: str,
    label: str,
    default: str,
    help_text: str,
    *,
    hints: Sequence[str] = (),
    advanced: bool = False,
) -> Definition:
    """Text, optional when its default is empty. With `hints` the dialog offers these and no others, which
    `qgis_process` and scripts may still give."""
    definition = QgsProcessingParameterString(name, tr(label), default or None, optional=not default)
    if hints:
        definition.setMetadata({"widget_wrapper": {"value_hints": list(hints)}})
    return described(definition, help_text, advanced)


def login(name: str, label: str, help_text: str) -> Definition:
    """An optional configuration of QGIS's authentication store, by its id; what it holds is no parameter's value."""
    return described(QgsProcessingParameterAuthConfig(name, tr(label), optional=True), help_text)


def features(
    name: str,
    label: str,
    types: Sequence[QgsProcessing.SourceType],
    help_text: str,
    *,
    advanced: bool = False,
) -> Definition:
    """An optional vector input."""
    return described(
        QgsProcessingParameterFeatureSource(name, tr(label), list(types), optional=True), help_text, advanced
    )


def field(name: str, label: str, parent: str, help_text: str) -> Definition:
    """An optional field of the vector input `parent`."""
    definition = QgsProcessingParameterField(name, tr(label), parentLayerParameterName=parent, optional=True)
    return described(definition, help_text)


def day(name: str, label: str, help_text: str) -> Definition:
    """A date without a time."""
    return described(
        QgsProcessingParameterDateTime(name, tr(label), QgsProcessingParameterDateTime.Type.Date), help_text
    )


def extent(name: str, label: str, help_text: str, advanced: bool = False) -> Definition:
    """An optional extent, with its CRS."""
    return described(QgsProcessingParameterExtent(name, tr(label), optional=True), help_text, advanced)


def crs(name: str, label: str, help_text: str, advanced: bool = False) -> Definition:
    """An optional CRS."""
    return described(QgsProcessingParameterCrs(name, tr(label), optional=True), help_text, advanced)


def raster(name: str, label: str, help_text: str) -> Definition:
    """An optional raster."""
    return described(QgsProcessingParameterRasterLayer(name, tr(label), optional=True), help_text)


def rasters(name: str, label: str, help_text: str, *, optional: bool = True, advanced: bool = False) -> Definition:
    """Several rasters."""
    kind = QgsProcessing.SourceType.TypeRaster
    definition = QgsProcessingParameterMultipleLayers(name, tr(label), kind, optional=optional)
    return described(definition, help_text, advanced)


def matrix(name: str, label: str, headers: Sequence[str], help_text: str, advanced: bool = False) -> Definition:
    """An optional table of text with as many rows as the user types."""
    definition = QgsProcessingParameterMatrix(name, tr(label), 0, False, [tr(h) for h in headers], optional=True)
    return described(definition, help_text, advanced)


def file_input(name: str, label: str, file_filter: str, help_text: str, optional: bool = False) -> Definition:
    """A file to be read."""
    definition = QgsProcessingParameterFile(name, tr(label), fileFilter=tr(file_filter), optional=optional)
    return described(definition, help_text)


def datasets(name: str, label: str, help_text: str) -> Definition:
    """Several chip datasets, by the layers of their indexes."""
    return described(QgsProcessingParameterMultipleLayers(name, tr(label), POLYGONS), help_text)


def folder_input(
    name: str, label: str, help_text: str, *, optional: bool = False, advanced: bool = False
) -> Definition:
    """A folder to be read."""
    behavior = QgsProcessingParameterFile.Behavior.Folder
    return described(QgsProcessingParameterFile(name, tr(label), behavior, optional=optional), help_text, advanced)


def folder_output(name: str, label: str, help_text: str) -> Definition:
    """A folder to be written."""
    return described(QgsProcessingParameterFolderDestination(name, tr(label)), help_text)


def file_output(
    name: str, label: str, file_filter: str, help_text: str, *, optional: bool = False, advanced: bool = False
) -> Definition:
    """A file to be written; an optional one is not written unless asked for."""
    definition = QgsProcessingParameterFileDestination(
        name, tr(label), tr(file_filter), optional=optional, createByDefault=not optional
    )
    return described(definition, help_text, advanced)


def report(help_text: str) -> Definition:
    """REPORT, the optional HTML page of most algorithms."""
    return file_output("REPORT", "Report", HTML_FILTER, help_text, optional=True)


def raster_output(name: str, label: str, help_text: str, *, optional: bool = False) -> Definition:
    """A raster to be written; an optional one is not written unless asked for."""
    definition = QgsProcessingParameterRasterDestination(
        name, tr(label), optional=optional, createByDefault=not optional
    )
    return described(definition, help_text)


def vector_output(name: str, label: str, help_text: str, *, optional: bool = True) -> Definition:
    """A polygon layer to be written; an optional one is not written unless asked for."""
    definition = QgsProcessingParameterVectorDestination(
        name, tr(label), POLYGONS, optional=optional, createByDefault=not optional
    )
    return described(definition, help_text)
