"""Files of other programs to a dataset: what fits comes in exactly, what does not is named."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.chips.import_chips import import_chips
from instageo_plugin.core.chips.index import read_skipped_rows
from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import ImportChipsJob

UTM = Affine(30, 0, 399960, 0, -30, 5700000)
NAME = "20220608_S30_T33UVS_102030_{}"


@pytest.fixture
def files(tmp_path, write_raster):
    """Writes chips as the reference system lays them out, and returns the csv file that lists them."""

    def write(count=3, bands=6, csv="chips.csv", image=None, label=None, **more):
        lines = ["Input,Label"]
        for i in range(count):
            place = UTM * Affine.translation(8 * i, 0)
            pixels = np.full((bands, 8, 8), 500 + i, dtype=np.uint16) if image is None else image(i)
            classes = np.full((8, 8), i, dtype=np.int16) if label is None else label(i)
            paths = f"chips/chip_{NAME.format(i)}.tif", f"seg_maps/seg_map_{NAME.format(i)}.tif"
            for path, content, nodata in ((paths[0], pixels, more.get("nodata")), (paths[1], classes, -1)):
                write_raster(f"data/{path}", content, transform=place, crs="EPSG:32633", nodata=nodata)
            lines.append(",".join(paths))
        (tmp_path / "data" / csv).write_text("\n".join(lines) + "\n")
        return tmp_path / "data" / csv

    return write


@pytest.fixture
def bring(tmp_path, recorder):
    def run(source, name="chips", **job):
        reporter = recorder()
        outputs = import_chips(ImportChipsJob(str(source), str(tmp_path / name), **job), reporter)
        return open_dataset(outputs["OUTPUT"]), reporter

    return run


def reasons(dataset):
    return sorted((row.reason, row.detail) for row in read_skipped_rows(dataset.index_path))


def pixels_of(dataset, number=0):
    return dataset.read_image(dataset.chips[number], dataset.spec.inputs[0])


def test_hls_chips_keep_place_bands_and_date(files, bring):
    dataset, _ = bring(files(), sensor="hls")
    spec, chip = dataset.spec.inputs[0], dataset.chips[1]
    assert spec.bands == ("blue", "green", "red", "nir08", "swir16", "swir22")
    assert (spec.dtype, spec.nodata, spec.units) == ("int16", -9999, "reflectance x 10000")
    assert chip.chip == NAME.format(1)
    assert chip.transform == tuple(UTM * Affine.translation(8, 0))[:6]
    assert chip.dates == {"hls": ["2022-06-08"]}
    assert chip.class_counts == {1: 64}
    assert (pixels_of(dataset, 1) == 501).all()
    assert dataset.spec.class_table.values == (0, 1, 2)


def test_nodata_and_wrapped_negative_reflectance_are_restored(files, bring):
    image = np.full((6, 8, 8), 500, dtype=np.uint16)
    image[:, 0, 0] = 0
    image[:, 0, 1] = 65486
    dataset, reporter = bring(files(1, image=lambda i: image), sensor="hls")
    pixels = pixels_of(dataset)
    assert np.isnan(pixels[..., 0, 0]).all()
    assert (pixels[..., 0, 1] == -50).all()
    assert dataset.chips[0].valid == 100 * 63 / 64
    assert any("6 negative reflectances" in line for line in reporter.lines)


def test_sentinel2_is_corrected_by_scale_and_offset_and_clamped(files, bring):
    image = np.full((6, 8, 8), 1500, dtype=np.uint16)
    image[0, 0, 0] = 65535
    dataset, reporter = bring(files(1, image=lambda i: image), sensor="sentinel2", offset=-1000.0)
    pixels = pixels_of(dataset)
    assert pixels[0, 0, 0, 0] == 32767
    assert (pixels[0, 1:] == 500).all()
    assert "1 values were clamped" in reporter.warnings[0]


def test_radar_has_nodata_minus_one(files, bring):
    image = np.full((2, 8, 8), 0.25, dtype=np.float32)
    image[0, 0, 0] = -1
    dataset, _ = bring(files(1, image=lambda i: image), sensor="sentinel1")
    spec = dataset.spec.inputs[0]
    assert (spec.bands, spec.units, spec.nodata) == (("vv", "vh"), "linear power", "nan")
    assert np.isnan(pixels_of(dataset)[0, 0, 0, 0])
    assert (pixels_of(dataset)[0, 1] == 0.25).all()


def test_timesteps_are_split_and_the_bands_named(files, bring):
    source = files(1, image=lambda i: np.arange(6 * 64, dtype=np.uint16).reshape(6, 8, 8) + 1)
    dataset, _ = bring(source, sensor="hls", bands="red,nir08", timesteps=3)
    assert pixels_of(dataset).shape == (3, 2, 8, 8)
    assert dataset.chips[0].dates == {"hls": []}
    assert pixels_of(dataset)[2, 1, 7, 7] == 6 * 64


def test_half_a_pixel_is_put_right(files, bring):
    dataset, _ = bring(files(1), sensor="hls", half_pixel=True)
    assert dataset.chips[0].transform[2] == 399960 + 15
    assert dataset.chips[0].transform[5] == 5700000 - 15
    with rasterio.open(dataset.folder / dataset.chips[0].label_path) as label:
        assert label.transform.c == 399960 + 15


def test_a_class_table_renumbers_and_counts_what_it_does_not_know(files, bring):
    table = ClassTable((ClassEntry("2", 0, "Rice"), ClassEntry("1", 1, "Maize")))
    dataset, reporter = bring(files(), sensor="hls", class_table=table)
    assert [chip.class_counts for chip in dataset.chips] == [{}, {1: 64}, {0: 64}]
    assert dataset.spec.class_table.names == ("Rice", "Maize")
    assert "64 pixels have a label that is in no row" in reporter.warnings[0]


def test_a_folder_of_csv_files_gives_the_splits(files, bring, tmp_path):
    path = files(3, csv="all.csv")
    lines = path.read_text().splitlines()
    (path.parent / "train.csv").write_text(f"{lines[0]}\n{lines[1]}\n")
    (path.parent / "validation.csv").write_text(f"{lines[0]}\n{lines[2]}\n")
    dataset, _ = bring(path.parent, sensor="hls")
    assert [chip.split for chip in dataset.chips] == ["train", "val", ""]
    (path.parent / "test.csv").write_text(f"{lines[0]}\n{lines[1]}\n")
    with pytest.raises(InstaGeoError, match="listed both for"):
        bring(path.parent, "again", sensor="hls")


def test_what_does_not_fit_is_skipped_by_name(files, bring, write_raster):
    path = files(7)
    chips = path.parent / "chips"
    names = [NAME.format(i) for i in range(7)]
    (chips / f"chip_{names[1]}.tif").write_bytes(b"no picture")
    (chips / f"chip_{names[2]}.tif").unlink()
    write_raster(f"data/chips/chip_{names[3]}.tif", np.ones((5, 8, 8), np.uint16), transform=UTM)
    write_raster(f"data/seg_maps/seg_map_{names[4]}.tif", np.ones((8, 8), np.int16), transform=UTM)
    write_raster(f"data/seg_maps/seg_map_{names[5]}.tif", np.full((8, 8), 0.5, np.float32), crs=None)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], lines[-1].split(",")[0] + ","]) + "\n")
    dataset, reporter = bring(path, sensor="hls")
    assert [chip.chip for chip in dataset.chips] == names[:1]
    found = reasons(dataset)
    assert [reason for reason, _ in found] == [
        "another number of bands", "image cannot be used", "image cannot be used", "image without a label",
        "label cannot be used", "label on another grid",
    ]  # fmt: skip
    assert "found 5; 4 of 5 images have 6" in found[0][1] or "have 6" in found[0][1]
    assert "0.5" in found[4][1]
    assert len(reporter.warnings) == 5


def test_pairs_go_by_name(tmp_path, write_raster, bring):
    for name in ("a", "b"):
        write_raster(f"data/images/{name}.tif", np.ones((2, 8, 8), np.float32), names=("red", "nir"))
    for name in ("a", "b", "c"):
        write_raster(f"data/masks/{name}.tif", np.zeros((8, 8), np.uint8))
    (tmp_path / "data" / "test.txt").write_text("b\n")
    dataset, _ = bring(tmp_path / "data", format="pairs", labels="masks")
    assert dataset.spec.inputs[0].bands == ("red", "nir")
    assert [(chip.chip, chip.split) for chip in dataset.chips] == [("a", ""), ("b", "test")]
    assert reasons(dataset)[0][0] == "label without an image"


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"bands": "red,nir08"}, r"6 bands; TIMESTEPS 1 x 2 BANDS \(red, nir08\) make 2"),
        ({"timesteps": 4}, "6 bands; TIMESTEPS 4"),
        ({"bands": "green purple"}, "no band purple"),
        ({"root": "/nowhere"}, "None of the 3 images exists.*/nowhere/chips"),
    ],
)
def test_parameters_that_fit_no_image_are_refused_and_leave_nothing(files, bring, tmp_path, job, words):
    with pytest.raises(InstaGeoError, match=words):
        bring(files(), sensor="hls", **job)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_csv_from_windows_is_read(files, bring):
    path = files()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"/", b"\\").replace(b"\n", b"\r\n"))
    assert len(bring(path, sensor="hls")[0].chips) == 3


def test_a_csv_with_other_columns_is_refused_with_what_it_has(tmp_path, bring):
    (tmp_path / "points.csv").write_text("x,y,label\n1,2,3\n")
    with pytest.raises(InstaGeoError, match=r"columns Input, Label.*points\.csv has x, y, Label"):
        bring(tmp_path / "points.csv")


def test_the_same_again_does_nothing_and_changed_files_are_refused(files, bring):
    path = files()
    bring(path, sensor="hls")
    _, reporter = bring(path, sensor="hls")
    assert "nothing to do" in reporter.lines[0]
    files(image=lambda i: np.full((6, 8, 8), 9, dtype=np.uint16))
    with pytest.raises(InstaGeoError, match="CONTENTS"):
        bring(path, sensor="hls")
