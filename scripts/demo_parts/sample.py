"""A small landscape that behaves like a real one: parcels, phenology, clouds and their shadows, sensor noise.

Reflectance of a vegetated pixel is a linear mixture of green leaves and soil by the fraction of ground that is
covered (Adams et al. 1986, doi:10.1029/JB091iB08p08098); cover follows a double logistic over the year (Beck et al.
2006, doi:10.1016/j.rse.2005.10.021). Spectra are rounded values of typical surfaces, not measurements.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyogrio.raw
import rasterio
import rasterio.features
import shapely
from rasterio.transform import from_origin
from rasterio.warp import transform_geom
from scipy.ndimage import gaussian_filter, shift
from scipy.spatial import cKDTree

BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
DATES = (date(2024, 4, 18), date(2024, 6, 2), date(2024, 8, 6))
CRS = "EPSG:32633"
LABEL_CRS = "EPSG:4326"
SIZE = (400, 448)  # rows, columns
PIXEL_M = 10.0
PARCELS = 210
LABELLED_SHARE = 0.45
NODATA = -9999
SEED = 20240418

LEAF = np.array([0.03, 0.07, 0.03, 0.48, 0.22, 0.09])
NEEDLE = np.array([0.02, 0.04, 0.025, 0.28, 0.12, 0.05])
SOIL = np.array([0.08, 0.11, 0.15, 0.22, 0.30, 0.26])
WATER = np.array([0.05, 0.05, 0.03, 0.015, 0.008, 0.005])
BUILT = np.array([0.11, 0.13, 0.15, 0.22, 0.25, 0.22])
CLOUD = np.array([0.55, 0.56, 0.57, 0.60, 0.48, 0.40])


@dataclass(frozen=True)
class Cover:
    """A land cover: share of parcels, colour on the map, and how much of the ground is green when.

    `green_up` and `senescence` are days of the year at which cover passes its half; `least` and `most` are cover
    fractions.
    """

    name: str
    share: float
    color: str
    canopy: np.ndarray
    ground: np.ndarray
    least: float = 0.0
    most: float = 0.0
    green_up: float = 0.0
    senescence: float = 400.0


# In the order of their names, so that the values in truth.tif are those that text classes get.
COVERS = (
    Cover("Forest", 0.17, "#1b6535", NEEDLE, SOIL, 0.80, 0.95, 110, 300),
    Cover("Grassland", 0.20, "#8fc93a", LEAF, SOIL, 0.45, 0.80, 95, 310),
    Cover("Maize", 0.22, "#d11149", LEAF, SOIL, 0.05, 0.88, 165, 265),
    Cover("Settlement", 0.07, "#7a7a7a", LEAF, BUILT, 0.12, 0.25, 110, 290),
    Cover("Water", 0.06, "#1a8fe3", WATER, WATER),
    Cover("Winter wheat", 0.28, "#e6c229", LEAF, SOIL, 0.10, 0.92, 85, 185),
)


def make_sample(folder: Path) -> None:
    """Write scenes, masks, truth, labels (a shapefile) and the classes' colours into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    parcels = _parcels(rng)
    covers = rng.choice(len(COVERS), PARCELS, p=[c.share for c in COVERS])
    _write(folder / "truth.tif", covers[parcels][None].astype("int16"), nodata=-1)
    for day in DATES:
        scene, mask = _scene(rng, parcels, covers, day)
        _write(folder / f"scene_{day.isoformat()}.tif", scene, nodata=NODATA, names=BANDS)
        _write(folder / f"mask_{day.isoformat()}.tif", mask[None], nodata=None, names=("cloud_or_shadow",))
    _write_labels(folder / "field_survey.shp", rng, parcels, covers)
    (folder / "classes.json").write_text(json.dumps({c.name: c.color for c in COVERS}), encoding="utf-8")


def _transform() -> rasterio.Affine:
    return from_origin(399_960.0, 5_700_000.0, PIXEL_M, PIXEL_M)


def _parcels(rng: np.random.Generator) -> np.ndarray:
    """(H, W) parcel number: a Voronoi mosaic with stretched cells and slightly ragged borders."""
    rows, columns = SIZE
    seeds = rng.uniform((0, 0), SIZE, (PARCELS, 2))
    y, x = np.mgrid[:rows, :columns].astype(float)
    ragged = [gaussian_filter(rng.normal(0, 14, SIZE), 5) for _ in range(2)]
    stretched = np.array([1.0, 0.6])
    _, nearest = cKDTree(seeds * stretched).query(np.stack([y + ragged[0], x + ragged[1]], -1) * stretched)
    return nearest


def _green_share(cover: Cover, day: float, lag: np.ndarray) -> np.ndarray:
    rise = 1 / (1 + np.exp(-(day - cover.green_up - lag) / 9))
    fall = 1 / (1 + np.exp((day - cover.senescence - lag) / 9))
    return cover.least + (cover.most - cover.least) * rise * fall


def _scene(
    rng: np.random.Generator, parcels: np.ndarray, covers: np.ndarray, day: date
) -> tuple[np.ndarray, np.ndarray]:
    """(6, H, W) int16 reflectance x 10000, and (H, W) uint8: 1 cloud, 2 shadow, 0 clear."""
    lag = np.random.default_rng(SEED + 1).normal(0, 7, PARCELS)
    vigour = np.random.default_rng(SEED + 2).normal(1, 0.08, PARCELS)
    green = np.zeros(PARCELS)
    for i, cover in enumerate(COVERS):
        green = np.where(covers == i, _green_share(cover, day.timetuple().tm_yday, lag), green)
    texture = gaussian_filter(rng.normal(0, 1, SIZE), 1.2) * 0.12
    fraction = np.clip((green * vigour)[parcels] + texture, 0, 1)
    canopy = np.array([c.canopy for c in COVERS])[covers][parcels]
    ground = np.array([c.ground for c in COVERS])[covers][parcels]
    moisture = 1 - 0.25 * gaussian_filter(rng.normal(0, 8, SIZE), 25)[..., None].clip(-1, 1)
    reflectance = fraction[..., None] * canopy + (1 - fraction[..., None]) * ground * moisture
    cloud, shadow = _clouds(rng)
    reflectance *= 1 - 0.6 * shadow[..., None]
    reflectance = cloud[..., None] * CLOUD + (1 - cloud[..., None]) * reflectance
    reflectance += rng.normal(0, 0.006, reflectance.shape)
    mask = np.where(cloud > 0.15, 1, np.where(shadow > 0.3, 2, 0)).astype("uint8")
    return np.round(reflectance * 10_000).clip(-9998, 32767).astype("int16").transpose(2, 0, 1), mask


def _clouds(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Opacity of clouds and depth of their shadows, 0 to 1; the sun stands in the south-east."""
    field = gaussian_filter(rng.normal(0, 1, SIZE), 16)
    opacity = ((field / field.std() - 1.45) * 2.5).clip(0, 1)
    return opacity, shift(opacity, (-22, -16), order=1) * (1 - opacity)


def _write(path: Path, pixels: np.ndarray, nodata: float | None, names: tuple[str, ...] = ()) -> None:
    profile = {"driver": "GTiff", "crs": CRS, "transform": _transform(), "count": pixels.shape[0], "nodata": nodata,
               "height": SIZE[0], "width": SIZE[1], "dtype": pixels.dtype, "compress": "deflate", "tiled": True,
               "blockxsize": 256, "blockysize": 256}  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(pixels)
        for i, name in enumerate(names, 1):
            raster.set_band_description(i, name)


def _write_labels(path: Path, rng: np.random.Generator, parcels: np.ndarray, covers: np.ndarray) -> None:
    """Outlines of the surveyed parcels, a little inside their borders, in geographic coordinates."""
    surveyed = np.flatnonzero(rng.random(PARCELS) < LABELLED_SHARE)
    shapes = rasterio.features.shapes(parcels.astype("int32"), np.isin(parcels, surveyed), transform=_transform())
    geometries, numbers = [], []
    for outline, number in shapes:
        inner = shapely.geometry.shape(outline).buffer(-1.5 * PIXEL_M)
        if inner.area > 60 * PIXEL_M**2:
            geometries.append(shapely.geometry.shape(transform_geom(CRS, LABEL_CRS, inner)))
            numbers.append(int(number))
    visited = [f"2024-06-{2 + number % 20:02d}" for number in numbers]
    pyogrio.raw.write(
        path,
        geometry=np.array([shapely.to_wkb(g) for g in geometries], dtype=object),
        field_data=[
            np.array([COVERS[covers[n]].name for n in numbers], dtype=object),
            np.array(visited, dtype="datetime64[D]"),
        ],
        fields=["crop", "visited"],
        driver="ESRI Shapefile",
        geometry_type="Polygon",
        crs=LABEL_CRS,
        encoding="UTF-8",
    )
