"""A constant that is added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gnorm.descent.checks import check_count
from gnorm.descent.layers.base import Arrays, Back, Condition, Layer, Rate, rows
from gnorm.gated import FloatArray

__all__ = ["Bias"]


class Bias(Layer):
    r"""A vector that is added, :math:`a + b`, from zero on.

    Its rate must be that of what it is added to. Behind L > 1 layers its degree is 1 and theirs L,
    so that the network is no longer homogeneous but only quasi-homogeneous.

    Parameters
    ----------
    n_units : int
        Number of entries.
    """

    is_unitwise = True

    def __init__(self, n_units: int) -> None:
        self.n_in: int = check_count(n_units, "n_units")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """One array, of shape (n_units,)."""
        return {"bias": (self.n_in,)}

    def forward(
        self, weights: Arrays, a: FloatArray, gates: FloatArray | None
    ) -> tuple[FloatArray, Any]:
        """Sums."""
        return a + weights[0], None

    def tangent(self, weights: Arrays, cache: Any, da: FloatArray, dweights: Arrays) -> FloatArray:
        """Sums of the changes."""
        return da + dweights[0]

    def backward(self, weights: Arrays, cache: Any, delta: FloatArray, wants_input: bool) -> Back:
        """What comes back, and its sum over samples."""
        return delta, [rows(delta)]

    def rates(self, stream: Rate, own: Sequence[Rate]) -> tuple[Rate, list[Condition]]:
        """As the inputs, which the bias must equal."""
        return stream, [Condition(own[0], stream, "the bias and what it is added to")]
