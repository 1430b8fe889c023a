"""Quadratic activation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gnorm.descent.layers.base import Arrays, Back, Condition, Layer, Rate
from gnorm.gated import FloatArray

__all__ = ["Quadratic"]


class Quadratic(Layer):
    r"""Squares of the inputs, :math:`a_i \mapsto a_i^2`."""

    def forward(
        self, weights: Arrays, a: FloatArray, gates: FloatArray | None
    ) -> tuple[FloatArray, Any]:
        """Squares."""
        return a * a, a

    def tangent(self, weights: Arrays, cache: Any, da: FloatArray, dweights: Arrays) -> FloatArray:
        r""":math:`2 a \, da`."""
        return 2.0 * cache * da

    def backward(self, weights: Arrays, cache: Any, delta: FloatArray, wants_input: bool) -> Back:
        r""":math:`2 a \, \delta`."""
        return 2.0 * cache * delta, []

    def rates(self, stream: Rate, own: Sequence[Rate]) -> tuple[Rate, list[Condition]]:
        """Twice that of the inputs."""
        return 2.0 * stream, []
