"""A factor for each unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gnorm.descent.layers.base import Arrays, Condition, Layer, Rate, check_count
from gnorm.gated import FloatArray

__all__ = ["Diagonal"]


class Diagonal(Layer):
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
        if not np.isfinite(scale):
            raise ValueError(f"expected a finite scale, got {scale}")
        self.scale = scale

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

    def backward(
        self,
        weights: Arrays,
        cache: Any,
        delta: FloatArray,
        out: Arrays | None,
        wants_input: bool,
    ) -> FloatArray | None:
        """Products with the inputs, summed over samples, and with the factors."""
        if out is not None:
            np.einsum("ni,ni->i", delta, cache, out=out[0])
        return delta * weights[0]

    def rates(self, stream: Rate, own: Sequence[Rate]) -> tuple[Rate, list[Condition]]:
        """The rate of the factors comes on top."""
        return stream + own[0], []
