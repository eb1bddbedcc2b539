import json
from pathlib import Path

import numpy as np
import pyogrio.raw
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.contract.errors import DISK, Cancelled, InstaGeoError
from instageo_plugin.core.imagery.cog import Draft
from instageo_plugin.core.inference import outputs, predict
from instageo_plugin.core.inference.blend import plan_strips
from instageo_plugin.core.inference.windows import reflected, round_up

DEGREES = Affine(0.0001, 0, 12.3, 0, -0.0001, 51.3)


def one_piece(images, predictor, window):
    """The prediction of the whole raster at once, padded as its last windows are."""
    height, width = images.shape[2:]
    rows, cols = (max(window, round_up(size, predictor.stride_px)) for size in (height, width))
    padded = images[:, :, reflected(0, rows, height)[:, None], reflected(0, cols, width)]
    return predictor.probabilities([padded[None]])[0, :, :height, :width]


def read(path, band=1):
    with rasterio.open(path) as raster:
        return raster.read(band)


def write_vector(path, shape):
    geometry = np.array([shapely.to_wkb(shape)], dtype=object)
    pyogrio.raw.write(path, geometry, [], [], geometry_type=shape.geom_type, crs="EPSG:4326")


def files(folder):
    return sorted(p.name for p in Path(folder).iterdir()) if Path(folder).exists() else []


@pytest.mark.parametrize("shape", [(150, 211), (211, 150), (1, 100), (100, 1), (1, 1), (20, 27), (32, 32), (33, 64)])
@pytest.mark.parametrize("kind", ["box", "block"])
def test_stitched_equals_one_piece_where_the_field_fits_the_overlap(make_card, predictors, predict_array, shape, kind):
    images = np.random.default_rng(1).normal(size=(2, 3, *shape)).astype(np.float32)
    predictor = predictors[kind](make_card(timesteps=2))
    probabilities, state = predict_array(images, predictor)
    expected = one_piece(images, predictor, 32)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert (probabilities.argmax(axis=0) == expected.argmax(axis=0)).all()
    assert (state == 2).all()


def test_stitched_equals_one_piece_across_strips(make_card, predictors, predict_array, monkeypatch):
    monkeypatch.setattr(predict, "plan_strips", lambda plan, classes: plan_strips(plan, classes, bytes_at_once=1))
    images = np.random.default_rng(1).normal(size=(1, 3, 70, 1100)).astype(np.float32)
    predictor = predictors["box"](make_card())
    probabilities, _ = predict_array(images, predictor)
    np.testing.assert_allclose(probabilities, one_piece(images, predictor, 32), atol=1e-6)


def test_stitched_equals_one_piece_for_a_real_unet(make_card, predict_array, tmp_path):
    torch = pytest.importorskip("torch")
    from instageo_plugin.core.models.load import load_predictor
    from instageo_plugin.core.models.modelfile import save_model
    from instageo_plugin.core.models.zoo import build_module

    torch.set_num_threads(1)
    torch.manual_seed(0)
    card = make_card(chip_size=64, architecture="unet", constants={"width": 4, "depth": 2, "dropout": 0.0})
    module = build_module(card.architecture, card.constants, card.inputs, 3)
    save_model(tmp_path / "unet.safetensors", card, module.state_dict())
    predictor = load_predictor(tmp_path / "unet.safetensors", device="cpu", precision="fp32")
    overlap = 2 * predictor.receptive_radius_px + 4
    assert overlap < 60
    images = np.random.default_rng(1).normal(size=(1, 3, 150, 211)).astype(np.float32)
    probabilities, _ = predict_array(images, predictor, overlap_px=overlap)
    np.testing.assert_allclose(probabilities, one_piece(images, predictor, 64), atol=1e-6)


def test_pixel_models_see_large_windows(make_card, predictors, predict_array):
    images = np.random.default_rng(1).normal(size=(1, 3, 600, 513)).astype(np.float32)
    predictor = predictors["box"](make_card(kind="pixel"), radius=0, receptive_radius_px=0)
    probabilities, _ = predict_array(images, predictor)
    np.testing.assert_allclose(probabilities, one_piece(images, predictor, 1), atol=1e-6)
    assert predictor.calls <= 4


def steps_by_column(predictor, predict_array, overlap):
    """Mean step of the probabilities from each column to the next, and which of these cross a tile border."""
    brighter = np.linspace(-1, 1, 384)[None, None, None] * np.array([1, -1, 0])[None, :, None, None]
    noise = np.random.default_rng(3).normal(scale=0.1, size=(1, 3, 64, 384))
    probabilities, _ = predict_array((brighter + noise).astype(np.float32), predictor, overlap_px=overlap)
    starts = predict.plan_patches((64, 384), 64, 1, None, overlap).cols.starts
    borders = sorted({edge - 1 for start in starts for edge in (start, start + 64) if 0 < edge < 384})
    return np.abs(np.diff(probabilities, axis=2)).mean(axis=(0, 1)), borders


@pytest.mark.parametrize("overlap", [-1, 32])
def test_no_seams_when_the_model_sees_its_whole_window(make_card, predictors, predict_array, overlap):
    steps, borders = steps_by_column(predictors["window"](make_card(chip_size=64)), predict_array, overlap)
    elsewhere = np.delete(steps, borders)
    assert steps[borders].mean() < 1.1 * elsewhere.mean()
    assert steps.max() < 2 * np.median(steps), "nor does the blending make steps of its own"


def test_that_measure_sees_seams_where_nothing_is_blended(make_card, predictors, predict_array):
    steps, borders = steps_by_column(predictors["window"](make_card(chip_size=64)), predict_array, 0)
    assert steps[borders].mean() > 5 * np.delete(steps, borders).mean()


def test_map_is_a_styled_cog_on_the_same_grid(run_job, write_raster, noise, tmp_path):
    path = write_raster("a.tif", noise(150, 211))
    result = run_job(path, class_areas=str(tmp_path / "areas.json"))
    with rasterio.open(path) as source, rasterio.open(result["OUTPUT"]) as raster:
        assert (raster.crs, raster.transform, raster.shape) == (source.crs, source.transform, source.shape)
        assert raster.dtypes == ("uint8",)
        assert raster.nodata == 255
        assert set(np.unique(raster.read(1))) <= {1, 2, 4}
        assert raster.colormap(1)[1][:3] == (0x56, 0xB4, 0xE9)
        assert raster.tags(1)["CLASS_1"] == "Water & <ice>"
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert result["STYLE"] == str(Path(result["OUTPUT"]).with_suffix(".qml"))
    assert files(tmp_path / "out") == ["map.qml", "map.tif"]
    assert set(result) == {"OUTPUT", "STYLE", "CLASS_AREAS", "SECONDS", "PIXELS_PER_SECOND"}
    assert result["PIXELS_PER_SECOND"] > 0
    areas = json.loads(Path(result["CLASS_AREAS"]).read_text(encoding="utf-8"))
    assert areas["predicted_pixels"] == 150 * 211
    assert areas["total"] == pytest.approx(150 * 211 * 0.01, rel=2e-3)
    assert sum(c["share"] for c in areas["classes"]) == pytest.approx(100, abs=0.01)


def test_probabilities_and_confidence_agree_with_the_map(run_job, write_raster, noise, tmp_path):
    path = write_raster("a.tif", noise(70, 90))
    result = run_job(path, probabilities=str(tmp_path / "p.tif"), confidence=str(tmp_path / "c.tif"))
    with rasterio.open(result["PROBABILITIES"]) as raster:
        percent = raster.read()
        assert raster.descriptions == ("Water & <ice>", "Forest", "Städte")
        assert raster.dtypes[0] == "uint8"
        assert raster.nodata == 255
    assert np.abs(percent.astype(int).sum(axis=0) - 100).max() <= 2
    codes, confidence = read(result["OUTPUT"]), read(result["CONFIDENCE"])
    assert (confidence == percent.max(axis=0)).all()
    winner = np.take_along_axis(percent, np.searchsorted([1, 2, 4], codes)[None], axis=0)[0]
    assert (winner == confidence).all()


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("int16", -9999), ("uint16", 0), ("uint8", 255), ("float32", np.nan), ("float64", -1e20)]
)
def test_nodata_stays_nodata_and_gaps_are_predicted(run_job, write_raster, noise, recorder, dtype, nodata):
    pixels = noise(60, 80, dtype=dtype, low=1)
    pixels[:, :20] = nodata
    pixels[1, 30:33, 5:15] = nodata
    result = run_job(write_raster("a.tif", pixels, nodata=nodata))
    codes = read(result["OUTPUT"])
    assert (codes[:20] == 255).all()
    assert (codes[20:] != 255).all()
    assert recorder.said("30 pixels lack some bands or timesteps")


def test_nan_without_a_declared_nodata_is_no_data(run_job, write_raster, noise):
    pixels = noise(40, 40, dtype="float32")
    pixels[:, 5, 5] = np.nan
    pixels[:, 6, 6] = np.inf
    codes = read(run_job(write_raster("a.tif", pixels))["OUTPUT"])
    assert np.argwhere(codes == 255).tolist() == [[5, 5], [6, 6]]


def test_alpha_band_hides_pixels_and_is_no_band(run_job, tmp_path, write_raster, noise):
    path = write_raster("a.tif", np.concatenate([noise(40, 40, dtype="uint8"), np.full((1, 40, 40), 255, "uint8")]),
                        descriptions=None)  # fmt: skip
    with rasterio.open(path, "r+") as raster:
        raster.colorinterp = [*raster.colorinterp[:3], rasterio.enums.ColorInterp.alpha]
        raster.write(np.zeros((10, 40), np.uint8), 4, window=rasterio.windows.Window(0, 0, 40, 10))
    codes = read(run_job(path)["OUTPUT"])
    assert (codes[:10] == 255).all()
    assert (codes[10:] != 255).all()


def test_empty_windows_never_reach_the_model(run_job, write_raster, noise, make_card, predictors):
    pixels = noise(32 * 8, 32 * 8)
    pixels[:, :200] = -9999
    predictor = predictors["box"](make_card())
    run_job(write_raster("a.tif", pixels, nodata=-9999), predictor, batch_size=1)
    assert predictor.calls < 40, "of 121 windows"


def test_raster_without_any_data_gives_an_empty_map_and_says_so(run_job, write_raster, recorder):
    result = run_job(write_raster("a.tif", np.full((3, 40, 50), -9999, "int16"), nodata=-9999))
    assert (read(result["OUTPUT"]) == 255).all()
    assert recorder.said("The map is empty")


def test_timesteps_from_several_rasters_equal_one_stack(run_job, write_raster, noise, make_card, predictors, tmp_path):
    first, second = noise(50, 60, seed=1), noise(50, 60, seed=2)
    predictor = predictors["box"](make_card(timesteps=2))
    paths = [write_raster("a.tif", first), write_raster("b.tif", second[::-1], descriptions=("red", "green", "blue"))]
    names = [f"{band} 2022-0{month}-01" for month in (5, 6) for band in ("blue", "green", "red")]
    stack = write_raster("s.tif", np.concatenate([first, second]), descriptions=names)
    separate = read(run_job(paths, predictor, dates="2022-05-01,2022-06-01")["OUTPUT"])
    stacked = read(run_job(stack, predictor, output=str(tmp_path / "stacked.tif"))["OUTPUT"])
    assert (separate == stacked).all()


def test_scale_and_offset_give_the_models_units(run_job, write_raster, noise, tmp_path):
    pixels = noise(40, 40)
    plain = run_job(write_raster("a.tif", pixels))
    scaled = write_raster("b.tif", (pixels.astype("float32") - 1) / 1000)
    result = run_job(scaled, scale=1000.0, offset=1.0, output=str(tmp_path / "scaled.tif"))
    assert (read(result["OUTPUT"]) == read(plain["OUTPUT"])).mean() > 0.999


def test_class_values_above_254_make_a_16_bit_map(run_job, write_raster, noise, make_card, predictors):
    table = ClassTable((ClassEntry("a", 7, "A", "#102030"), ClassEntry("b", 300, "B", "#405060"),
                        ClassEntry("c", 32767, "C")))  # fmt: skip
    pixels = noise(40, 50)
    pixels[:, :3] = -9999
    result = run_job(write_raster("a.tif", pixels, nodata=-9999), predictors["box"](make_card(table=table)))
    with rasterio.open(result["OUTPUT"]) as raster:
        assert raster.dtypes == ("uint16",)
        assert raster.nodata == 65535
        assert raster.colormap(1)[300][:3] == (0x40, 0x50, 0x60)
        codes = raster.read(1)
    assert (codes[:3] == 65535).all()
    assert set(np.unique(codes[3:])) == {7, 300, 32767}


def test_degree_grids_are_predicted_as_they_are(run_job, write_raster, noise, tmp_path, recorder):
    path = write_raster("a.tif", noise(60, 75), crs="EPSG:4326", transform=DEGREES)
    result = run_job(path, class_areas=str(tmp_path / "areas.json"))
    with rasterio.open(result["OUTPUT"]) as raster:
        assert raster.transform == DEGREES
        assert raster.crs.to_epsg() == 4326
    assert recorder.said("metre, the model was trained on 10 x 10 metre"), "0.0001 degrees are 11.1 m by 7 m here"


def test_resolution_far_from_the_models_is_refused(run_job, write_raster, noise, make_card, predictors, recorder):
    path = write_raster("a.tif", noise(40, 40))
    with pytest.raises(InstaGeoError, match=r"10 x 10 metre, .* 30 x 30 metre \(factor 3\)"):
        run_job(path, predictors["box"](make_card(resolution=(30.0, 30.0))))
    degree = make_card(resolution=(1e-4, 1e-4), resolution_unit="degree")
    run_job(path, predictors["box"](degree))
    assert recorder.said("0.000143534 x 8.98836e-05 degree"), "10 m at the raster's latitude"


@pytest.mark.parametrize("suffix", ["gpkg", "shp"])
def test_outside_the_area_is_nodata(run_job, write_raster, noise, tmp_path, suffix):
    path = write_raster("a.tif", noise(90, 100))
    box = shapely.box(731810 + 201, 5694090 - 599, 731810 + 599, 5694090 - 201)
    to_degrees = pyproj.Transformer.from_crs(32632, 4326, always_xy=True)
    area = shapely.transform(shapely.segmentize(box, 10), to_degrees.transform, interleaved=False)
    vector = tmp_path / f"area.{suffix}"
    write_vector(vector, area)
    codes = read(run_job(path, area=str(vector))["OUTPUT"])
    inside = np.zeros((90, 100), dtype=bool)
    inside[20:60, 20:60] = True  # pixel centres
    assert ((codes != 255) == inside).all()


def test_area_that_misses_the_raster(run_job, write_raster, noise, tmp_path):
    path = write_raster("a.tif", noise(40, 40))
    vector = tmp_path / "area.gpkg"
    write_vector(vector, shapely.box(0, 0, 1, 1))
    with pytest.raises(InstaGeoError, match=r"AREA area\.gpkg lies outside the raster"):
        run_job(path, area=str(vector))
    points = tmp_path / "points.gpkg"
    write_vector(points, shapely.Point(1, 1))
    with pytest.raises(InstaGeoError, match="1 features and no polygon"):
        run_job(path, area=str(points))
    with pytest.raises(InstaGeoError, match="cannot be read"):
        run_job(path, area=path)


def test_rasters_on_different_grids_are_both_named(run_job, write_raster, noise, make_card, predictors, tmp_path):
    predictor = predictors["box"](make_card(timesteps=2))
    shifted = write_raster("b.tif", noise(40, 40), transform=Affine(10, 0, 731815, 0, -10, 5694090))
    with pytest.raises(InstaGeoError, match=r"a\.tif \(.*b\.tif \("):
        run_job([write_raster("a.tif", noise(40, 40)), shifted], predictor)
    assert files(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"crs": None}, "no coordinate reference system"),
     ({"transform": Affine(10, 1, 731810, 1, -10, 5694090)}, "is rotated")],
)  # fmt: skip
def test_rasters_that_lie_nowhere_are_refused(run_job, write_raster, noise, changes, message):
    with pytest.raises(InstaGeoError, match=message):
        run_job(write_raster("a.tif", noise(40, 40), **changes))


def test_too_few_bands(run_job, write_raster, noise, tmp_path):
    with pytest.raises(InstaGeoError, match=r"2 bands \(blue, green\).*expects 3 .*not found: red") as caught:
        run_job(write_raster("a.tif", noise(40, 40, bands=2), descriptions=("blue", "green")))
    assert "BANDS" in caught.value.hint
    assert files(tmp_path / "out") == []


def test_dates_must_be_as_many_as_timesteps_and_ascend(run_job, write_raster, noise):
    path = write_raster("a.tif", noise(40, 40))
    with pytest.raises(InstaGeoError, match="expected 1, one a timestep"):
        run_job(path, dates="2022-05-01 2022-06-01")


class Witness:
    """A predictor that notes when and where it was asked about."""

    receptive_radius_px, stride_px = None, 1

    def __init__(self, card):
        self.card, self.seen = card, []

    def probabilities(self, images, occasions=()):
        self.seen += occasions
        assert [image.shape[-2:] for image in images[0]] == [(o.grid.height, o.grid.width) for o in occasions]
        return np.full((len(images[0]), 3, *images[0].shape[-2:]), 1 / 3, dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "descriptions", "given", "expected"),
    [
        ("a.tif", ("blue 2022-05-03", "green 2022-05-03", "red 2022-05-03"), "", "2022-05-03"),
        ("scene_20220504.tif", ("blue", "green", "red"), "", "2022-05-04"),
        ("scene_20220504.tif", ("blue", "green", "red"), "2022-05-05", "2022-05-05"),
        ("a.tif", ("blue", "green", "red"), "", ""),
    ],
)
def test_the_model_is_told_when_and_where(run_job, write_raster, noise, make_card, name, descriptions, given, expected):
    witness = Witness(make_card())
    run_job(write_raster(name, noise(50, 40), descriptions=descriptions), witness, dates=given, overlap_px=0)
    assert {occasion.dates for occasion in witness.seen} == {(expected,)}
    corners = {(o.grid.transform.c - 731810, 5694090 - o.grid.transform.f) for o in witness.seen}
    assert corners == {(col, row) for col in (0, 80) for row in (0, 180)}


def test_outputs_must_not_overwrite_inputs_or_each_other(run_job, write_raster, noise, tmp_path):
    path = write_raster("a.tif", noise(40, 40))
    with pytest.raises(InstaGeoError, match=r"OUTPUT is .*which is an input"):
        run_job(path, output=path)
    with pytest.raises(InstaGeoError, match="CONFIDENCE and PROBABILITIES are both"):
        run_job(path, probabilities=str(tmp_path / "p.tif"), confidence=str(tmp_path / "p.tif"))


def test_damaged_raster_leaves_nothing(run_job, write_raster, noise, tmp_path):
    path = Path(write_raster("a.tif", noise(400, 400)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InstaGeoError, match="cannot be read"):
        run_job(str(path))
    assert files(tmp_path / "out") == []


def test_disk_without_room_is_found_before_the_work(run_job, write_raster, noise, tmp_path, monkeypatch):
    monkeypatch.setattr(outputs.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(InstaGeoError, match=r"0\.0 MB free") as caught:
        run_job(write_raster("a.tif", noise(100, 100)))
    assert caught.value.code == DISK
    assert files(tmp_path / "out") == []


class FullDraft(Draft):
    def __init__(self, path, layout):
        super().__init__(path, layout)
        self._file.close()
        self._file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - the draft closes it


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("broken", ["write", "cog"])
def test_disk_that_fills_up_leaves_nothing(run_job, write_raster, noise, tmp_path, monkeypatch, broken):
    def full(*args, **kwargs):
        raise rasterio.errors.RasterioIOError("No space left on device")

    path = write_raster("a.tif", noise(100, 100))
    if broken == "cog":
        monkeypatch.setattr(rasterio.shutil, "copy", full)
    else:
        monkeypatch.setattr(outputs, "Draft", FullDraft)
    with pytest.raises(InstaGeoError, match=r"cannot take the output .*No space left") as caught:
        run_job(path, confidence=str(tmp_path / "out" / "c.tif"))
    assert caught.value.code == DISK
    assert files(tmp_path / "out") == []


@pytest.mark.parametrize("at", ["windows", "finish"])
def test_cancel_leaves_nothing_and_keeps_the_earlier_map(run_job, write_raster, noise, tmp_path, recorder, at):
    path = write_raster("a.tif", noise(100, 100))
    run_job(path)
    before = read(tmp_path / "out" / "map.tif")

    class Stopping(type(recorder)):
        def progress(self, share, message=""):
            if (at == "windows" and share > 0.3) or (at == "finish" and message.startswith("Writing")):
                raise Cancelled

    other = write_raster("b.tif", noise(100, 100, seed=9))
    with pytest.raises(Cancelled):
        run_job(other, reporter=Stopping(), class_areas=str(tmp_path / "out" / "areas.json"), batch_size=1)
    assert files(tmp_path / "out") == ["map.qml", "map.tif"]
    assert (read(tmp_path / "out" / "map.tif") == before).all()


def test_failing_model_leaves_nothing(run_job, write_raster, noise, tmp_path, make_card, predictors):
    class Broken(predictors["box"]):
        def probabilities(self, images, occasions=()):
            return super().probabilities(images, occasions) * np.nan

    with pytest.raises(InstaGeoError, match="not numbers"):
        run_job(write_raster("a.tif", noise(100, 100)), Broken(make_card()))
    assert files(tmp_path / "out") == []


def test_progress_tells_speed_and_time_left(run_job, write_raster, noise, recorder):
    run_job(write_raster("a.tif", noise(150, 150)), batch_size=2)
    assert recorder.shares == sorted(recorder.shares)
    assert any("pixels/s" in m and "left" in m for m in recorder.messages)
    assert recorder.said("Forest: ")


def test_non_commercial_weights_are_pointed_out(run_job, write_raster, noise, make_card, predictors, recorder):
    predictor = predictors["box"](make_card(weights_licence="CC-BY-NC-4.0"))
    run_job(write_raster("a.tif", noise(40, 40)), predictor)
    assert ("warning", "The weights of this model are licensed CC-BY-NC-4.0: check whether your use is allowed.") in (
        recorder.logs
    )


def test_statistics_of_an_earlier_map_do_not_outlive_it(run_job, write_raster, noise, tmp_path):
    path = write_raster("a.tif", noise(40, 40))
    run_job(path)
    (tmp_path / "out" / "map.tif.aux.xml").write_text("<PAMDataset/>")
    run_job(path)
    assert files(tmp_path / "out") == ["map.qml", "map.tif"]


def test_leipzig_is_mapped_as_it_lies(run_job, shared_data, make_card, predictors, tmp_path):
    """Sentinel-2 of Leipzig, from mlr3spatial (LGPL-3): a classifier that only compares the red edge and the rest."""
    path = str(shared_data / "leipzig" / "leipzig_raster.tif")
    card = make_card(("b08", "b04", "b02"), chip_size=64)
    predictor = predictors["box"](card, radius=3, receptive_radius_px=3)
    result = run_job(path, predictor, confidence=str(tmp_path / "c.tif"), scale=0.01)
    with rasterio.open(path) as source, rasterio.open(result["OUTPUT"]) as raster:
        assert (raster.crs, raster.transform, raster.shape) == (source.crs, source.transform, source.shape)
        images = source.read([6, 3, 1])[None] * np.float32(0.01)
        expected = one_piece(images, predictor, 64)
        assert (np.array([1, 2, 4])[expected.argmax(axis=0)] == raster.read(1)).mean() > 0.9999
