"""Chips from an archive, over real HTTP: is every pixel from the right place, date, band and scene?"""

import json

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from instageo_plugin.core.contract.jobs import ArchiveChoice

HLS = ("B02", "B03", "B04", "B05", "B06", "B07")
S30 = ("B02", "B03", "B04", "B8A", "B11", "B12")
CORNER = (500_010, 5_700_000)


@pytest.fixture
def catalog(archive, tmp_path):
    """The path of a file of the archive's items."""

    def write():
        path = tmp_path / "items.json"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": archive.items}))
        return str(path)

    return write


@pytest.fixture
def from_archive(make, write_vector, catalog):
    """Makes chips for points at (column, row) of the first scene, and gives what came about."""

    def run(places, dates, *, choice=None, crs="EPSG:32633", corner=CORNER, resolution=30, **fields):
        points = [
            shapely.Point(corner[0] + (c + 0.5) * resolution, corner[1] - (r + 0.5) * resolution) for c, r in places
        ]
        labels = write_vector(
            "points.gpkg", points, crs=crs, kind=np.arange(len(points)) % 2, seen=np.array(dates, object)
        )
        chosen = ArchiveChoice(**{"catalog": catalog(), **(choice or {})})
        job = {"source": "stac", "sensors": ("hls",), "archive": chosen, "date_field": "seen", "chip_size": 64}
        return make(**{**job, "labels": labels, "class_field": "kind", **fields})

    return run


def pixels_of(made, chip, sensor="hls"):
    with rasterio.open(made.folder / chip.images[sensor]) as raster:
        return raster.read(), raster.descriptions, raster.nodata


def test_every_pixel_is_from_its_place_band_and_date(archive, from_archive, coded_at):
    for day in ("2022-05-02", "2022-04-02", "2022-03-03"):
        name = f"HLS.S30.T33UVP.{day}"
        archive.add(name, "HLSS30_2.0", f"{day}T10:20:31Z", S30, nodata=-9999, proj=False)
    choice = {"timesteps": 3, "month_start": True, "offset_days": 30}
    made = from_archive([(70, 40), (300, 500)], ["2022-06-08"] * 2, choice=choice)
    assert len(made.dataset.chips) == 2
    for chip in made.dataset.chips:
        pixels, names, nodata = pixels_of(made, chip)
        assert chip.dates == {"hls": ["2022-03-03", "2022-04-02", "2022-05-02"]}
        assert names[:7] == ("blue 2022-03-03", "green 2022-03-03", "red 2022-03-03", "nir08 2022-03-03",
                             "swir16 2022-03-03", "swir22 2022-03-03", "blue 2022-04-02")  # fmt: skip
        assert (pixels.dtype, nodata) == ("int16", -9999)
        expected = [coded_at(Affine(*chip.transform), 64, 64, band, day) for day in (62, 92, 122) for band in range(6)]
        assert (pixels == np.stack(expected)).all()
        assert (chip.transform[2] - CORNER[0]) % (64 * 30) == 0
        assert chip.group == "33UVP"
        assert chip.valid == 100
