import xml.etree.ElementTree as ET

from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.imagery.style import class_qml, write_class_qml

TABLE = ClassTable((ClassEntry("f", 300, "Fields", "#00ff00"), ClassEntry("w", 0, 'A "lake" & <sea>\x01', "#112233")))


def entries(text):
    palette = ET.fromstring(text).find("pipe/rasterrenderer[@type='paletted']/colorPalette")
    return [(e.get("value"), e.get("color"), e.get("label")) for e in palette]


def test_every_class_has_its_colour_and_name():
    assert entries(class_qml(TABLE)) == [("0", "#112233", 'A "lake" & <sea> '), ("300", "#00ff00", "Fields")]


def test_only_the_symbology_is_touched(tmp_path):
    write_class_qml(tmp_path / "new" / "map.qml", TABLE)
    text = (tmp_path / "new" / "map.qml").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE qgis")
    assert ET.fromstring(text).get("styleCategories") == "Symbology"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["map.qml"]
