import numpy as np
import pytest
from instageo_plugin.core.chips.classify import (
    class_values,
    parse_label_values,
    raster_table,
    vector_table,
    with_background,
)
from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.contract.errors import InstaGeoError

GIVEN = ClassTable((ClassEntry("1.0", 5, "maize", "#ffff00"), ClassEntry("2.0", 6, "soy")))


def test_without_a_table_text_counts_from_0_and_integers_stay():
    text = vector_table(np.array(["water", "Forest", "water"]), False, ClassTable())
    assert [(e.value, e.name) for e in text.classes] == [(0, "Forest"), (1, "water")]
    assert class_values(["water", "Forest"], text).tolist() == [1, 0]
    assert vector_table(np.array(["10", "9"]), True, ClassTable()).values == (9, 10)


def test_a_renderer_writes_doubles_with_a_fraction():
    assert class_values(["2", "1"], vector_table(np.array(["1", "2"]), True, GIVEN)).tolist() == [6, 5]


def test_values_outside_the_table_are_listed_with_counts():
    with pytest.raises(InstaGeoError, match=r"1 values outside the class table: '3' \(2 times\); expected one of 1, 2"):
        vector_table(np.array(["1", "3", "3"]), True, GIVEN)


def test_background_is_added_unless_it_is_a_class():
    table = vector_table(np.array(["1", "2"]), True, ClassTable())
    assert with_background(table, 0, False).names == ("background", "1", "2")
    assert with_background(table, 2, False) == table
    with pytest.raises(InstaGeoError, match="by its place in the alphabet"):
        with_background(vector_table(np.array(["a"]), False, ClassTable()), 0, True)


def test_label_values():
    assert parse_label_values("1 2") == {1: 1, 2: 2}
    assert parse_label_values("1:0, 2:1 -5:2") == {1: 0, 2: 1, -5: 2}
    assert parse_label_values(" ") == {}
    for wrong in ("1:", "a", "1 1:2", "1:-1"):
        with pytest.raises(InstaGeoError, match="LABEL_VALUES"):
            parse_label_values(wrong)


def test_raster_classes_take_names_from_the_table_then_from_the_raster():
    style = ClassTable((ClassEntry("1", 1, "wood", "#00ff00"), ClassEntry("7", 7, "lake", "#0000ff")))
    table = raster_table([], {1: 0, 7: 1, 9: 2}, GIVEN, style)
    assert [(e.value, e.name) for e in table.classes] == [(0, "maize"), (1, "lake"), (2, "9")]
    assert [e.color for e in table.classes][:2] == ["#ffff00", "#0000ff"]


def test_raster_values_without_label_values():
    assert raster_table([3, 1], {}, ClassTable(), ClassTable()).values == (1, 3)
    assert raster_table([1, 2], {}, GIVEN, ClassTable()).values == (5, 6)
    with pytest.raises(InstaGeoError, match="'3'"):
        raster_table([1, 3], {}, GIVEN, ClassTable())
