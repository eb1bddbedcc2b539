"""Layers of a run, taken from parameters on the thread they belong to and good for use on any."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsMapLayer,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeatureSource,
    QgsProcessingParameterDefinition,
    QgsProviderRegistry,
    QgsRectangle,
)

from ..core.contract.classes import ClassTable
from ..core.contract.errors import InstaGeoError, Problems
from .class_table import table_from_renderer
from .login import secrets_of

CLASS_FIELD = "CLASS_FIELD"


@dataclass(frozen=True)
class Inputs:
    """What the layer parameters hold, by parameter name; those that are not given are absent.

    `files` has the files of a list of vector layers, `styles` the class table of a vector layer that is styled by the
    class field; `secrets` are those of the runner.
    """

    sources: Mapping[str, QgsProcessingFeatureSource] = field(default_factory=dict)
    styles: Mapping[str, ClassTable] = field(default_factory=dict)
    rasters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extents: Mapping[str, tuple[QgsRectangle, QgsCoordinateReferenceSystem]] = field(default_factory=dict)
    crs: Mapping[str, QgsCoordinateReferenceSystem] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    transforms: QgsCoordinateTransformContext = field(default_factory=QgsCoordinateTransformContext)


def is_given(parameters: Mapping[str, Any], name: str) -> bool:
    """Whether the user gave a value: neither nothing, nor empty text, nor a list of such; an empty table of a dialog is
    a list of one NULL."""
    return _is_something(parameters.get(name))


def _is_something(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_is_something, value))
    if hasattr(value, "isNull"):  # QVariant, extents and the like
        return not value.isNull()
    return value is not None and value != ""


def resolve_inputs(
    algorithm: QgsProcessingAlgorithm, parameters: Mapping[str, Any], context: QgsProcessingContext
) -> Inputs:
    """Resolve every layer, extent and CRS parameter of `algorithm`.

    Raises `InstaGeoError` that lists what cannot be handed to the backend.
    """
    problems = Problems(algorithm.displayName())
    inputs = Inputs({}, {}, {}, {}, {}, {}, {}, context.transformContext())
    for definition in algorithm.parameterDefinitions():
        if is_given(parameters, definition.name()) and not definition.isDestination():
            try:
                _resolve(algorithm, definition, parameters, context, inputs)
            except InstaGeoError as error:
                problems.add(str(error))
    problems.raise_if_any()
    return inputs


def _resolve(
    algorithm: QgsProcessingAlgorithm,
    definition: QgsProcessingParameterDefinition,
    parameters: Mapping[str, Any],
    context: QgsProcessingContext,
    inputs: Inputs,
) -> None:
    name, arguments = definition.name(), (dict(parameters), definition.name(), context)
    if definition.type() == "source":
        source = algorithm.parameterAsSource(*arguments)
        if source is None:
            raise InstaGeoError(f"{name}: the layer {_shown(parameters[name])} cannot be opened.")
        inputs.sources[name] = source
        style = _style(algorithm, name, parameters, context)
        if style:
            inputs.styles[name] = style
    elif definition.type() == "multilayer" and definition.layerType() != QgsProcessing.SourceType.TypeRaster:
        inputs.files[name] = tuple(_layer_file(name, layer) for layer in algorithm.parameterAsLayerList(*arguments))
    elif definition.type() in ("multilayer", "raster"):
        layers = algorithm.parameterAsLayerList(*arguments)
        if not layers:
            raise InstaGeoError(f"{name}: the raster {_shown(parameters[name])} cannot be opened.")
        inputs.rasters[name] = tuple(_raster_files(name, layers))
    elif definition.type() == "extent":
        crs = algorithm.parameterAsExtentCrs(*arguments)
        inputs.extents[name] = (algorithm.parameterAsExtent(*arguments), _known(crs, name))
    elif definition.type() == "crs":
        inputs.crs[name] = _known(algorithm.parameterAsCrs(*arguments), name)
    elif definition.type() == "authcfg":
        inputs.secrets.update(secrets_of(name, algorithm.parameterAsString(*arguments)))


def _layer_file(name: str, layer: QgsMapLayer) -> str:
    """The file a vector layer shows; raises `InstaGeoError` when there is none."""
    parts = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())
    path = str(parts.get("path") or "")
    if not os.path.exists(path):
        raise InstaGeoError(f"{name}: layer '{layer.name()}' is no file but '{layer.providerType()}'.")
    return os.path.abspath(path)


def _style(
    algorithm: QgsProcessingAlgorithm, name: str, parameters: Mapping[str, Any], context: QgsProcessingContext
) -> Optional[ClassTable]:
    """The class table of the layer's own style, when the style is by the class field."""
    if not is_given(parameters, CLASS_FIELD) or algorithm.parameterDefinition(CLASS_FIELD) is None:
        return None
    class_field = next(iter(algorithm.parameterAsStrings(dict(parameters), CLASS_FIELD, context)), "")
    layer = algorithm.parameterAsVectorLayer(dict(parameters), name, context)
    return table_from_renderer(layer, class_field) if layer else None


def _known(crs: QgsCoordinateReferenceSystem, name: str) -> QgsCoordinateReferenceSystem:
    if not crs.isValid():
        raise InstaGeoError(f"{name}: its CRS is not known.", "Give the extent's CRS, as in '10,11,50,51 [EPSG:4326]'.")
    return crs


def _shown(value: Any) -> str:
    return f"'{value}'"


def _raster_files(name: str, layers: list[QgsMapLayer]) -> Iterator[str]:
    for layer in layers:
        yield raster_file(name, layer)


def raster_file(name: str, layer: QgsMapLayer) -> str:
    """The file, or GDAL's name of the dataset, that a raster layer shows; raises `InstaGeoError` when it shows
    something that only QGIS can read."""
    provider = layer.providerType()
    source = layer.source()
    if provider != "gdal":
        raise InstaGeoError(
            f"{name}: layer '{layer.name()}' comes from '{provider}', not from a raster file.",
            "Save it as a GeoTIFF (Export > Save As) and choose that.",
        )
    if source.startswith("/vsimem/"):
        raise InstaGeoError(
            f"{name}: layer '{layer.name()}' exists in QGIS's memory only.", "Save it as a GeoTIFF and choose that."
        )
    parts = QgsProviderRegistry.instance().decodeUri("gdal", source)
    path = str(parts.get("path") or "")
    if parts.get("openOptions") and os.path.exists(path):
        raise InstaGeoError(
            f"{name}: layer '{layer.name()}' is opened with options ({', '.join(parts['openOptions'])}) that the "
            "backend does not use.",
            "Save it as a GeoTIFF and choose that.",
        )
    return os.path.abspath(source) if os.path.exists(source) else source
