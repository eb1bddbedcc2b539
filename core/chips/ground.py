"""Where chips lie: their positions in metres, and which of them share labelled ground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import pyproj
import shapely
from affine import Affine

from ..reporting import Reporter
from .dataset import ChipDataset
from .index import ChipRow

_CACHED_LABELS = 512


def local_crs(chips: Sequence[ChipRow]) -> pyproj.CRS:
    """An equal-area CRS in metres for these chips, whatever their own: Lambert's azimuthal one about their middle.

    Distances are true to about 1 % within 1500 km of the middle (Snyder, "Map projections: a working manual", 1987,
    chapter 24).
    """
    points = shapely.centroid(np.array([chip.footprint for chip in chips]))
    longitudes, latitudes = np.radians(shapely.get_x(points)), np.radians(shapely.get_y(points))
    # The mean of directions, not of degrees: chips on both sides of the antimeridian are neighbours.
    x = float(np.mean(np.cos(latitudes) * np.cos(longitudes)))
    y = float(np.mean(np.cos(latitudes) * np.sin(longitudes)))
    z = float(np.mean(np.sin(latitudes)))
    longitude, latitude = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
    return pyproj.CRS.from_dict({"proj": "laea", "lat_0": latitude, "lon_0": longitude, "datum": "WGS84"})


def centres(chips: Sequence[ChipRow], crs: pyproj.CRS) -> np.ndarray:
    """(n, 2) coordinates of the chips' middles in `crs`."""
    found = [_project(chip.crs, crs, *_middle(chip)) for chip in chips]
    return np.array([[float(x), float(y)] for x, y in found])


def footprints(chips: Sequence[ChipRow], crs: pyproj.CRS) -> np.ndarray:
    """The chips' footprints in `crs`, as an array of polygons."""
    to_local = _transformer("EPSG:4326", crs.to_wkt())
    shapes = np.array([chip.footprint for chip in chips], dtype=object)
    moved: np.ndarray = shapely.transform(shapes, lambda xy: np.column_stack(to_local.transform(xy[:, 0], xy[:, 1])))
    return moved


def ground_groups(dataset: ChipDataset, chips: Sequence[ChipRow], reporter: Reporter) -> np.ndarray:
    """(n,) group number of each chip: chips that hold a label of the same ground are in one group.

    Chips that overlap only where one of the two has no label are not joined. Two chips on one pixel grid share ground
    when a pixel is labelled in both; on different grids, when the middle of a labelled pixel of one lies in a
    labelled pixel of the other. Raises `InstaGeoError` when a label file cannot be read.
    """
    leader = list(range(len(chips)))

    @lru_cache(maxsize=_CACHED_LABELS)
    def labelled(i: int) -> np.ndarray:
        mask: np.ndarray = dataset.read_label(chips[i]) != dataset.spec.ignore_value
        return mask

    for i, j in _overlapping(chips):
        reporter.check()
        first, second = _find(leader, i), _find(leader, j)
        if first != second and _share_labels(chips[i], chips[j], labelled(i), labelled(j)):
            leader[max(first, second)] = min(first, second)
    numbers: np.ndarray = np.unique([_find(leader, i) for i in range(len(chips))], return_inverse=True)[1]
    return numbers


def _find(leader: list[int], i: int) -> int:
    while leader[i] != i:
        leader[i] = leader[leader[i]]
        i = leader[i]
    return i


def _overlapping(chips: Sequence[ChipRow]) -> list[tuple[int, int]]:
    """Pairs of labelled chips whose ground overlaps, each pair once."""
    labelled = [i for i, chip in enumerate(chips) if chip.label_path and sum(chip.class_counts.values())]
    shapes = np.array([chips[i].footprint for i in labelled], dtype=object)
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    pairs = [(labelled[i], labelled[j]) for i, j in zip(first, second) if i < j]
    return [(i, j) for i, j in pairs if chips[i].crs != chips[j].crs or _bounds_overlap(chips[i], chips[j])]


def _bounds_overlap(a: ChipRow, b: ChipRow) -> bool:
    """Whether two chips of one CRS overlap by more than rounding: neighbours that touch do not."""
    (west_a, south_a, east_a, north_a), (west_b, south_b, east_b, north_b) = _bounds(a), _bounds(b)
    width, height = min(east_a, east_b) - max(west_a, west_b), min(north_a, north_b) - max(south_a, south_b)
    tolerance = 1e-3 * abs(a.transform[0] or a.transform[1])
    return width > tolerance and height > tolerance


def _bounds(chip: ChipRow) -> tuple[float, float, float, float]:
    corners = [(0, 0), (chip.width, 0), (chip.width, chip.height), (0, chip.height)]
    xs, ys = zip(*(Affine(*chip.transform) * corner for corner in corners))
    return min(xs), min(ys), max(xs), max(ys)


def _middle(chip: ChipRow) -> tuple[float, float]:
    x, y = Affine(*chip.transform) * (chip.width / 2, chip.height / 2)
    return float(x), float(y)


def _share_labels(a: ChipRow, b: ChipRow, labelled_a: np.ndarray, labelled_b: np.ndarray) -> bool:
    # Both ways: where one grid is finer, only its pixels have their middle in every pixel of the other.
    return _hits(a, b, labelled_a, labelled_b) or _hits(b, a, labelled_b, labelled_a)


def _hits(a: ChipRow, b: ChipRow, labelled_a: np.ndarray, labelled_b: np.ndarray) -> bool:
    """Whether the middle of a labelled pixel of `a` lies in a labelled pixel of `b`."""
    rows, columns = np.nonzero(labelled_a)
    x, y = _apply(Affine(*a.transform), columns + 0.5, rows + 0.5)
    if a.crs != b.crs:
        x, y = _project(a.crs, b.crs, x, y)
    columns, rows = (np.floor(v) for v in _apply(~Affine(*b.transform), x, y))
    inside = (columns >= 0) & (columns < b.width) & (rows >= 0) & (rows < b.height)
    return bool(labelled_b[rows[inside].astype(np.int64), columns[inside].astype(np.int64)].any())


def _apply(transform: Affine, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b, c, d, e, f = transform[:6]
    return a * x + b * y + c, d * x + e * y + f


def _project(source: str, target: pyproj.CRS | str, x: np.ndarray | float, y: np.ndarray | float) -> tuple:
    target = target if isinstance(target, str) else target.to_wkt()
    moved: tuple = _transformer(source, target).transform(x, y)
    return moved


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def repeated_ground(dataset: ChipDataset, chips: Sequence[ChipRow]) -> Callable[[int], np.ndarray]:
    """A function of a chip's position: (H, W) where an earlier chip of the same scene holds a label on that pixel.

    Only chips on one pixel grid are compared; label files are read as they are needed.
    """
    earlier: dict[int, list[int]] = {}
    for i, j in _overlapping(chips):
        if (chips[i].scene, chips[i].crs) == (chips[j].scene, chips[j].crs) and _offset(chips[i], chips[j]):
            earlier.setdefault(j, []).append(i)

    def repeated(position: int) -> np.ndarray:
        chip = chips[position]
        covered = np.zeros((chip.height, chip.width), dtype=bool)
        for i in earlier.get(position, ()):
            column, row = _offset(chip, chips[i]) or (0, 0)
            labelled = dataset.read_label(chips[i]) != dataset.spec.ignore_value
            top, left = max(row, 0), max(column, 0)
            bottom, right = min(row + chips[i].height, chip.height), min(column + chips[i].width, chip.width)
            covered[top:bottom, left:right] |= labelled[top - row : bottom - row, left - column : right - column]
        return covered

    return repeated


def _offset(a: ChipRow, b: ChipRow) -> tuple[int, int] | None:
    """Column and row in `a` of the first pixel of `b`; None when they lie on different pixel grids."""
    first, second = Affine(*a.transform), Affine(*b.transform)
    if not np.allclose(_vectors(first), _vectors(second), rtol=1e-6, atol=0):
        return None
    column, row = ~first * (second.c, second.f)
    whole = round(column), round(row)
    return whole if max(abs(column - whole[0]), abs(row - whole[1])) < 1e-3 else None


def _vectors(transform: Affine) -> tuple[float, ...]:
    a, b, _, d, e, _ = transform[:6]
    return a, b, d, e
