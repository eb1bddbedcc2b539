"""Imagery, truth and prediction side by side, in the map's own colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio.raw
import rasterio
import shapely
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rasterio.crs import CRS
from rasterio.warp import transform
from recipes import Recipe

Colors = dict[int, tuple[float, ...]]


def draw(recipe: Recipe, output: Path) -> Path:
    """Write `picture.png` into `output` and return its path."""
    with rasterio.open(output / "map.tif") as raster:
        predicted, nodata = raster.read(1), raster.nodata
        colors = {value: tuple(c / 255 for c in color) for value, color in raster.colormap(1).items()}
        names = {int(k[6:]): v for k, v in raster.tags(1).items() if k.startswith("CLASS_")}
    figure = Figure((15, 5.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    figure.suptitle(recipe.title)
    _show(left, "Imagery", _stretched(recipe))
    if recipe.truth:
        with rasterio.open(recipe.truth) as raster:
            _show(middle, "Truth", _painted(raster.read(1), -1, colors))
    else:
        _show(middle, "Labels", _stretched(recipe))
        _draw_points(middle, recipe, names, colors)
    _show(right, "Prediction", _painted(predicted, nodata, colors))
    handles = [Patch(facecolor=colors[value], edgecolor="#555", label=name) for value, name in sorted(names.items())]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 8), frameon=False)
    path = output / "picture.png"
    figure.savefig(path, dpi=90)
    return path


def _show(axes: Axes, title: str, pixels: np.ndarray) -> None:
    axes.imshow(pixels, interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[])


def _stretched(recipe: Recipe) -> np.ndarray:
    with rasterio.open(recipe.shown) as raster:
        bands = raster.read(list(recipe.rgb), masked=True).astype("float32").filled(np.nan)
    low, high = np.nanpercentile(bands, (2, 96), axis=(1, 2), keepdims=True)
    return np.nan_to_num(((bands - low) / (high - low)).clip(0, 1)).transpose(1, 2, 0)


def _painted(values: np.ndarray, nodata: float | None, colors: Colors) -> np.ndarray:
    painted = np.ones((*values.shape, 3))
    for value in np.unique(values):
        if value != nodata:
            painted[values == value] = colors[int(value)][:3]
    return painted


def _draw_points(axes: Axes, recipe: Recipe, names: dict[int, str], colors: Colors) -> None:
    path, field = recipe.points or (Path(), "")
    meta, _, geometry, values = pyogrio.raw.read(path, columns=[field])
    points = shapely.from_wkb(geometry)
    value_of = {name: value for value, name in names.items()}
    with rasterio.open(recipe.shown) as raster:
        xs, ys = transform(CRS.from_user_input(meta["crs"]), raster.crs, shapely.get_x(points), shapely.get_y(points))
        columns, rows = ~raster.transform * (np.array(xs), np.array(ys))
    axes.scatter(columns, rows, s=18, c=[colors[value_of[name]] for name in values[0]], edgecolors="white")
