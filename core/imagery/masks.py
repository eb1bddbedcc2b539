"""Masks of clouds and the like: which pixels of which timestep must not be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..contract.sensors import ADJACENT, CIRRUS, CLOUD, FMASK, QA_PIXEL, SCL, SHADOW, SNOW, WATER

ANY = "any"

# HLS User Guide v2.0, table 9. The cirrus bit is reserved in v2: it is never set.
_FMASK_BITS: Mapping[str, int] = {CIRRUS: 0, CLOUD: 1, ADJACENT: 2, SHADOW: 3, SNOW: 4, WATER: 5}
_FMASK_FILL = 255
# Landsat Collection 2 QA_PIXEL, Landsat 8-9 Collection 2 Level 2 Science Product Guide, table 6-3; bit 0 is fill.
_QA_PIXEL_BITS: Mapping[str, int] = {ADJACENT: 1, CIRRUS: 2, CLOUD: 3, SHADOW: 4, SNOW: 5, WATER: 7}
# Sentinel-2 scene classification: 3 shadow, 6 water, 8 and 9 cloud of medium and high probability, 10 cirrus, 11 snow.
# It has no class for what lies near a cloud; 7, unclassified (cloud of low probability), stands for it.
_SCL_CLASSES: Mapping[str, tuple[int, ...]] = {
    CLOUD: (8, 9), ADJACENT: (7,), SHADOW: (3,), CIRRUS: (10,), SNOW: (11,), WATER: (6,),
}  # fmt: skip


def decode_mask(pixels: np.ndarray) -> np.ndarray:
    """Values of a custom mask to True where masked: every value but zero, the mask's own nodata included."""
    masked: np.ndarray = pixels != 0
    return masked


def decode_archive_mask(pixels: np.ndarray, decoder: str, kinds: Iterable[str]) -> np.ndarray:
    """Values of an archive's mask to True where one of `kinds` is set or the archive has no data.

    `decoder` is one of `sensors.FMASK`, `SCL`, `QA_PIXEL`; raises `KeyError` for any other, and for a kind that is not
    one of `MASKS`.
    """
    return _DECODERS[decoder](pixels, tuple(kinds))


def _fmask(pixels: np.ndarray, kinds: tuple[str, ...]) -> np.ndarray:
    return np.asarray(_any_bit(pixels, _FMASK_BITS, kinds) | (pixels == _FMASK_FILL))


def _qa_pixel(pixels: np.ndarray, kinds: tuple[str, ...]) -> np.ndarray:
    return np.asarray(_any_bit(pixels, _QA_PIXEL_BITS, kinds) | (pixels & 1 == 1))


def _scl(pixels: np.ndarray, kinds: tuple[str, ...]) -> np.ndarray:
    return np.isin(pixels, [0, *(value for kind in kinds for value in _SCL_CLASSES[kind])])


_DECODERS = {FMASK: _fmask, QA_PIXEL: _qa_pixel, SCL: _scl}


def _any_bit(pixels: np.ndarray, bits: Mapping[str, int], kinds: tuple[str, ...]) -> np.ndarray:
    wanted = np.array(sum(1 << bits[kind] for kind in kinds), pixels.dtype)
    found: np.ndarray = pixels & wanted != 0
    return found


def apply_strategy(masked: np.ndarray, strategy: str) -> np.ndarray:
    """(T, H, W) bool. `each`: a timestep by its own mask. `any`: masked once, masked in all timesteps."""
    if strategy == ANY:
        return np.broadcast_to(masked.any(axis=0), masked.shape)
    return masked


def clear_percent(masked: np.ndarray) -> float:
    """Unmasked share of all pixels of all timesteps (T, H, W), after the strategy, in percent."""
    return float(100 * (1 - masked.mean()))
