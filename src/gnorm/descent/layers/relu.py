"""ReLU and leaky ReLU, whose gates move with the weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnorm.descent.checks import check_finite
from gnorm.descent.layers.base import Arrays, Back, DegreeOne
from gnorm.gated import BoolArray, FloatArray

__all__ = ["LeakyReLU", "ReLU"]


class LeakyReLU(DegreeOne):
    r"""The input where it is not negative, and a multiple of it elsewhere.

    At the kink the derivative is that of the upper side.

    Parameters
    ----------
    slope : float, default=0.01
        Factor of negative inputs.
    """

    is_unitwise = True

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = check_finite(slope, "slope")

    def __repr__(self) -> str:
        return f"LeakyReLU({self.slope})"

    def _slopes(self, is_open: BoolArray) -> FloatArray:
        return is_open.astype(float) if self.slope == 0 else np.where(is_open, 1.0, self.slope)

    def forward(
        self, weights: Arrays, a: FloatArray, gates: FloatArray | None
    ) -> tuple[FloatArray, Any]:
        """Inputs times their slopes."""
        slopes = self._slopes(a >= 0)
        return a * slopes, (slopes, a)

    def tangent(self, weights: Arrays, cache: Any, da: FloatArray, dweights: Arrays) -> FloatArray:
        """Slopes times the change."""
        return da * cache[0]

    def backward(self, weights: Arrays, cache: Any, delta: FloatArray, wants_input: bool) -> Back:
        """Slopes times what comes back."""
        return delta * cache[0], []

    def kinks(self, cache: Any, tol: float) -> BoolArray | None:
        """Inputs that are zero, relative to the largest of their row."""
        size = np.abs(cache[1])
        return size <= tol * size.max(axis=1, keepdims=True)

    def with_sides(self, cache: Any, mask: BoolArray, sides: BoolArray) -> Any:
        """Copy with the slopes of given sides."""
        slopes = cache[0].copy()
        slopes[mask] = self._slopes(sides)
        return slopes, cache[1]


class ReLU(LeakyReLU):
    r""":math:`\max(0, z)`; at the kink the derivative is 1."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def __repr__(self) -> str:
        return "ReLU()"
