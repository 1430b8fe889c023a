"""A factor for each unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnorm.descent.checks import check_count, check_finite
from gnorm.descent.layers.base import Arrays, Back, DegreeOne, rows
from gnorm.gated import FloatArray

__all__ = ["Diagonal"]


class Diagonal(DegreeOne):
    r"""A factor for each unit, :math:`a_i \mapsto u_i a_i`.

    L of them and a sum are the diagonal network, whose limit is the least
    :math:`\|\beta\|_{2/L}` for :math:`\beta = \prod_l u_l`.

    Parameters
    ----------
    n_units : int
        Number of units.
    scale : float, default=1.0
        Initial value of all factors.
    """

    def __init__(self, n_units: int, *, scale: float = 1.0) -> None:
        self.n_in: int = check_count(n_units, "n_units")
        self.scale = check_finite(scale, "scale")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """One array, of shape (n_units,)."""
        return {"factors": (self.n_in,)}

    def initial(self, rng: np.random.RandomState) -> list[FloatArray]:
        """The scale everywhere."""
        return [np.full(self.n_in, self.scale)]

    def forward(
        self, weights: Arrays, a: FloatArray, gates: FloatArray | None
    ) -> tuple[FloatArray, Any]:
        """Products."""
        return a * weights[0], a

    def tangent(self, weights: Arrays, cache: Any, da: FloatArray, dweights: Arrays) -> FloatArray:
        """Product rule."""
        return da * weights[0] + cache * dweights[0]

    def backward(self, weights: Arrays, cache: Any, delta: FloatArray, wants_input: bool) -> Back:
        """Products with the factors, and with the inputs, summed over samples."""
        return delta * weights[0], [rows(delta * cache)]
