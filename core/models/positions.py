"""Fixed sine-cosine position tables over time, rows and columns, as in Prithvi-EO (arXiv:2310.18660)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

BASE = 10000.0
SIXTEENTHS = {"width": 6, "height": 6, "time": 4}  # of the dimension, in the order they are joined


def sincos_1d(dim: int, positions: np.ndarray) -> np.ndarray:
    """(n,) positions to (n, dim) float64: sines of dim / 2 falling frequencies, then their cosines."""
    frequencies = BASE ** -(np.arange(dim // 2, dtype=np.float64) / (dim / 2))
    angles = np.outer(positions.astype(np.float64), frequencies)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def sincos_of(dim: int, values: torch.Tensor) -> torch.Tensor:
    """(...) float32 values to (..., dim): as `sincos_1d`, but in float32 throughout, as the published models encode
    years, days and degrees."""
    frequencies = 1.0 / BASE ** (torch.arange(dim // 2, dtype=torch.float32, device=values.device) / (dim / 2.0))
    angles = values[..., None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


@lru_cache(maxsize=16)
def _table(dim: int, frames: int, rows: int, columns: int) -> np.ndarray:
    time, row, column = np.meshgrid(np.arange(frames), np.arange(rows), np.arange(columns), indexing="ij")
    places = {"width": column, "height": row, "time": time}
    parts = [sincos_1d(dim * share // 16, places[axis].ravel()) for axis, share in SIXTEENTHS.items()]
    return np.concatenate(parts, axis=1).astype(np.float32)


def sincos_3d(dim: int, frames: int, rows: int, columns: int) -> torch.Tensor:
    """Positions of all tokens of a series, (frames * rows * columns, dim) float32: by frame, then row, then column.

    Computed in float64. `dim` is a multiple of 16, so that the width, height and time parts are whole and even.
    Raises `ValueError` when it is not.
    """
    if dim % 16:
        raise ValueError(f"dimension is {dim}; expected a multiple of 16")
    return torch.from_numpy(_table(dim, frames, rows, columns))


def sincos_2d(dim: int, rows: int, columns: int) -> torch.Tensor:
    """(rows * columns, dim) float32, row by row: the first half follows the row, the second the column."""
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    table = np.concatenate([sincos_1d(dim // 2, axis.ravel()) for axis in (row, column)], axis=1)
    return torch.from_numpy(table.astype(np.float32))


def interpolated_3d(dim: int, frames: int, shape: tuple[int, int], trained: tuple[int, int]) -> torch.Tensor:
    """`sincos_3d` of the rows and columns a model was `trained` on, stretched to `shape` in each frame.

    Bicubic with corners aligned, as the published Prithvi checkpoints expect it. Shapes as `sincos_3d`.
    """
    table = sincos_3d(dim, frames, *trained)
    if shape == trained:
        return table
    images = table.view(frames, *trained, dim).permute(0, 3, 1, 2)  # (T, D, h, w)
    stretched = functional.interpolate(images, size=shape, mode="bicubic", align_corners=True)
    return stretched.permute(0, 2, 3, 1).reshape(-1, dim)
