"""Masks of clouds and the like: which pixels of which timestep must not be used."""

from __future__ import annotations

import numpy as np

ANY = "any"


def decode_mask(pixels: np.ndarray) -> np.ndarray:
    """Values of a custom mask to True where masked: every value but zero, the mask's own nodata included."""
    masked: np.ndarray = pixels != 0
    return masked


def apply_strategy(masked: np.ndarray, strategy: str) -> np.ndarray:
    """(T, H, W) bool. `each`: a timestep by its own mask. `any`: masked once, masked in all timesteps."""
    if strategy == ANY:
        return np.broadcast_to(masked.any(axis=0), masked.shape)
    return masked


def clear_percent(masked: np.ndarray) -> float:
    """Unmasked share of all pixels of all timesteps (T, H, W), after the strategy, in percent."""
    return float(100 * (1 - masked.mean()))
