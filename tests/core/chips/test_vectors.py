import numpy as np
import pytest
import shapely
from instageo_plugin.core.chips.vectors import label_features, read_layer
from instageo_plugin.core.contract.errors import InstaGeoError

P = [shapely.Point(i, i) for i in range(4)]


def features(path, field="crop", layer=""):
    return label_features(read_layer(path, layer, field, "INPUT"), field)


def test_text_classes_with_null_and_missing_geometry(write_vector):
    found = features(write_vector("l.gpkg", [P[0], None, P[2], P[3]], crop=np.array(["a", "b", None, "ä"], object)))
    assert found.sources.tolist() == ["a", "ä"]
    assert not found.numeric
    assert [(s.reason, s.detail) for s in found.skipped] == [
        ("no valid geometry", "label 2"),
        ("no class (NULL)", "label 3"),
    ]
    assert found.skipped[0].geometry.is_empty
    assert not found.skipped[1].geometry.is_empty


@pytest.mark.parametrize("values", [np.array([1, 2, 3, 4]), np.array([1.0, 2.0, 3.0, 4.0])])
def test_whole_numbers_are_integers_whatever_their_type(write_vector, values):
    found = features(write_vector("l.gpkg", P, crop=values))
    assert (found.sources.tolist(), found.numeric) == (["1", "2", "3", "4"], True)


def test_null_among_integers(write_vector):
    found = features(write_vector("l.gpkg", P, crop=np.array([1, np.nan, 3, 4])))
    assert found.sources.tolist() == ["1", "3", "4"]


def test_only_nulls(write_vector):
    with pytest.raises(InstaGeoError, match=r"no usable label in 4 features: 4 with no class \(NULL\)") as caught:
        features(write_vector("l.gpkg", P, crop=np.array([None] * 4, object)))
    assert "'crop'" in caught.value.hint


def test_decimals_are_no_classes(write_vector):
    with pytest.raises(InstaGeoError, match=r"holds decimals such as 1\.5"):
        features(write_vector("l.gpkg", P, crop=np.array([1, 1.5, 2, 2])))


def test_lines_are_refused(write_vector):
    with pytest.raises(InstaGeoError, match="type LineString; expected points or polygons"):
        features(write_vector("l.gpkg", [shapely.LineString([(0, 0), (1, 1)])], crop=[1]))


def test_z_is_dropped_and_broken_polygons_repaired(write_vector):
    bow_tie = shapely.Polygon([(0, 0, 5), (2, 2, 5), (2, 0, 5), (0, 2, 5)])
    found = features(write_vector("l.gpkg", [bow_tie], crop=[1], geometry_type="Polygon Z"))
    assert found.repaired == 1
    assert found.geometries[0].is_valid
    assert not found.geometries[0].has_z
    assert found.geometries[0].area == pytest.approx(2)


def test_shapefile_with_another_encoding(tmp_path, write_vector):
    path = write_vector("l.shp", P[:2], crop=np.array(["Gerste", "Rüben"], object))
    dbf = tmp_path / "l.dbf"
    dbf.write_bytes(dbf.read_bytes().replace("Rüben".encode(), "Rüben ".encode("cp1252")))
    (tmp_path / "l.cpg").write_text("1252")
    assert features(path).sources.tolist() == ["Gerste", "Rüben"]


@pytest.mark.parametrize(
    ("field", "layer", "message"),
    [
        ("kind", "", "no field 'kind'; its fields are: crop"),
        ("crop", "roads", "no layer 'roads'; it has labels"),
    ],
)
def test_wrong_names_list_the_right_ones(write_vector, field, layer, message):
    with pytest.raises(InstaGeoError, match=message):
        features(write_vector("l.gpkg", P, crop=[1, 2, 3, 4]), field, layer)


def test_a_layer_without_crs(write_vector):
    with pytest.warns(UserWarning, match="crs"):  # pyogrio's, about the file this test writes
        path = write_vector("l.gpkg", P, crs=None, crop=[1, 2, 3, 4])
    with pytest.raises(InstaGeoError, match=r"has no CRS[\s\S]*Assign projection"):
        features(path)


def test_no_vector_file(tmp_path):
    path = tmp_path / "l.gpkg"
    path.write_text("hello")
    with pytest.raises(InstaGeoError, match="cannot be read as a vector file"):
        features(str(path))


def test_an_empty_layer(write_vector):
    with pytest.raises(InstaGeoError, match="INPUT holds no labels"):
        features(write_vector("l.gpkg", [], geometry_type="Point", crop=np.array([], np.int32)))


def test_the_digest_tells_content_not_file(write_vector):
    def digest(name, *args, **kwargs):
        return read_layer(write_vector(name, *args, **kwargs), "", "crop", "INPUT").digest()

    one = digest("a.gpkg", P, crop=[1, 2, 3, 4])
    assert one == digest("b.gpkg", P, crop=[1, 2, 3, 4], layer="other")
    assert one != digest("c.gpkg", P, crop=[1, 2, 3, 5])
    assert one != digest("d.gpkg", P[::-1], crop=[1, 2, 3, 4])
    assert one != digest("e.gpkg", P, crop=[1, 2, 3, 4], crs="EPSG:32633")
