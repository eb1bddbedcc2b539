"""QGIS layer styles (.qml) for class maps, so that a map made without QGIS is styled as well."""

from __future__ import annotations

# XML is written here, never parsed.
import xml.etree.ElementTree as ET  # nosec B405
from pathlib import Path

from ..contract.classes import ClassTable
from ..files import written_whole
from .xml_text import in_xml

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"


def class_qml(class_table: ClassTable) -> str:
    """The style as text: a paletted renderer with each class's colour and name; other values stay transparent."""
    root = ET.Element("qgis", version="3.40.0", styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1", nodataColor=""
    )
    ET.SubElement(renderer, "rasterTransparency")
    palette = ET.SubElement(renderer, "colorPalette")
    for entry in class_table.classes:
        ET.SubElement(
            palette, "paletteEntry", value=str(entry.value), color=entry.color, alpha="255", label=in_xml(entry.name)
        )
    ET.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    ET.SubElement(pipe, "huesaturation", saturation="0", grayscaleMode="0", colorizeOn="0")
    ET.SubElement(pipe, "rasterresampler", maxOversampling="2")
    ET.SubElement(root, "blendMode").text = "0"
    ET.indent(root)
    return _DOCTYPE + ET.tostring(root, encoding="unicode") + "\n"


def write_class_qml(path: str | Path, class_table: ClassTable) -> None:
    """Write `class_qml` to `path`, whole or not at all. Raises `InstaGeoError` when the folder cannot be written."""
    with written_whole(path) as part:
        part.write_text(class_qml(class_table), encoding="utf-8")
