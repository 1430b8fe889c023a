"""Projection onto the L1 ball, of which several proximal maps are made."""

from __future__ import annotations

from numbers import Real

import numpy as np

__all__ = ["check_threshold", "projected_to_l1_ball"]


def check_threshold(t: float) -> float:
    """Return the threshold of a proximal map.

    Raises
    ------
    ValueError
        If it is not a non-negative number.
    """
    if not (isinstance(t, Real) and np.isfinite(t) and t >= 0):
        raise ValueError(f"expected a finite t >= 0, got {t}")
    return float(t)


def projected_to_l1_ball(values: np.ndarray, radius: float) -> np.ndarray:
    r"""Nearest point with :math:`\sum_i |p_i| \le` `radius`, of any shape.

    Where the sum is larger it is a soft-thresholding, by the threshold that leaves `radius`.
    """
    lengths = np.abs(values)
    if np.sum(lengths) <= radius:
        return values.copy()
    if radius == 0:
        return np.zeros_like(values)
    descending = np.sort(lengths, axis=None)[::-1]
    thresholds = (np.cumsum(descending) - radius) / np.arange(1, descending.size + 1)
    threshold = thresholds[np.flatnonzero(descending > thresholds)[-1]]
    return np.sign(values) * np.maximum(lengths - threshold, 0.0)
