"""Layers to files that the backend can read: filters, selections, joins and memory layers included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from qgis.core import (
    Qgis,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsFeatureRequest,
    QgsField,
    QgsFields,
    QgsGeometry,
    QgsProcessingFeatureSource,
    QgsProcessingFeedback,
    QgsRectangle,
    QgsVectorFileWriter,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QMetaType

from ..core.contract.errors import DISK, Cancelled, InstaGeoError

FID = "fid"


def export_source(
    source: QgsProcessingFeatureSource,
    path: Path,
    fields: Sequence[str],
    transforms: QgsCoordinateTransformContext,
    feedback: QgsProcessingFeedback,
) -> int:
    """Write the features of `source`, in its CRS and with `fields` only, to the GeoPackage `path`; returns how many.

    Feature ids are kept, since the backend names features by them. Curves become lines. Invalid geometries are
    written as they are: the backend repairs and counts them. Raises `InstaGeoError`.
    """
    indices = [source.fields().lookupField(name) for name in fields]
    missing = [name for name, index in zip(fields, indices) if index < 0]
    if missing:
        known = ", ".join(source.fields().names())
        raise InstaGeoError(f"Layer '{source.sourceName()}' has no field '{missing[0]}'; its fields are: {known}.")
    identifier = FID if FID not in [name.lower() for name in fields] else f"{FID}_"
    written = QgsFields()
    written.append(QgsField(identifier, QMetaType.Type.LongLong))
    for index in indices:
        written.append(source.fields().at(index))
    request = QgsFeatureRequest().setSubsetOfAttributes(indices)
    flags = Qgis.ProcessingFeatureSourceFlag.SkipGeometryValidityChecks
    rows = (
        (f.id(), [f.attribute(index) for index in indices], f.geometry()) for f in source.getFeatures(request, flags)
    )
    kind = QgsWkbTypes.flatType(QgsWkbTypes.linearType(source.wkbType()))
    return _write(path, written, (kind, source.sourceCrs(), transforms), rows, feedback)


def export_extent(
    extent: QgsRectangle,
    crs: QgsCoordinateReferenceSystem,
    path: Path,
    transforms: QgsCoordinateTransformContext,
    feedback: QgsProcessingFeedback,
) -> None:
    """Write an extent as the one polygon of the GeoPackage `path`. Raises `InstaGeoError`."""
    fields = QgsFields()
    fields.append(QgsField(FID, QMetaType.Type.LongLong))
    rows = [(1, [], QgsGeometry.fromRect(extent))]
    _write(path, fields, (Qgis.WkbType.Polygon, crs, transforms), rows, feedback)


def _write(
    path: Path,
    fields: QgsFields,
    kind: tuple[Qgis.WkbType, QgsCoordinateReferenceSystem, QgsCoordinateTransformContext],
    rows: Iterable[tuple[int, list, QgsGeometry]],
    feedback: QgsProcessingFeedback,
) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    options.layerName = path.stem
    options.layerOptions = ["SPATIAL_INDEX=NO", f"FID={fields.at(0).name()}"]
    wkb_type, crs, transforms = kind
    writer = QgsVectorFileWriter.create(str(path), fields, wkb_type, crs, transforms, options)
    if writer.hasError():
        raise _failure(path, writer)
    count = 0
    for identifier, attributes, geometry in rows:
        if feedback.isCanceled():
            raise Cancelled
        if not writer.addFeature(_feature(fields, [max(identifier, 0), *attributes], geometry)):
            raise _failure(path, writer)
        count += 1
    if not writer.flushBuffer():
        raise _failure(path, writer)
    return count


def _feature(fields: QgsFields, attributes: list, geometry: QgsGeometry) -> QgsFeature:
    feature = QgsFeature(fields)
    feature.setAttributes(attributes)
    if not geometry.isNull():
        curved = QgsWkbTypes.isCurvedType(geometry.wkbType())
        feature.setGeometry(QgsGeometry(geometry.constGet().segmentize()) if curved else geometry)
    return feature


def _failure(path: Path, writer: QgsVectorFileWriter) -> InstaGeoError:
    return InstaGeoError(
        f"A layer cannot be written to {path} ({writer.errorMessage()}).",
        "Free some space, or choose another temporary folder in Settings > Options > Processing.",
        DISK,
    )
