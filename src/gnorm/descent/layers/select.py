"""Fixed gates: activations that are given with the input."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnorm.descent.checks import check_count
from gnorm.descent.layers.base import Arrays, Back, DegreeOne, Layer
from gnorm.descent.layers.dense import Dense
from gnorm.gated import FloatArray

__all__ = ["Select", "gated"]


class Select(DegreeOne):
    r"""Sum of the contexts that given activations open, :math:`a_h = \sum_c g_{hc} z_{ch}`.

    Parameters
    ----------
    n_units : int
        Number of outputs.
    n_contexts : int, default=1
        Number of contexts among the inputs, which stand one after the other; with one the
        activations switch units on and off.
    """

    is_unitwise = True

    def __init__(self, n_units: int, n_contexts: int = 1) -> None:
        self.n_units = check_count(n_units, "n_units")
        self.n_contexts = check_count(n_contexts, "n_contexts")
        self.n_in = self.n_units * self.n_contexts
        self.gates = (self.n_units, self.n_contexts)

    def __repr__(self) -> str:
        return f"Select({self.n_units}, {self.n_contexts})"

    def n_outputs(self, n_in: int) -> int:
        """One output a unit."""
        super().n_outputs(n_in)
        return self.n_units

    def forward(
        self, weights: Arrays, a: FloatArray, gates: FloatArray | None
    ) -> tuple[FloatArray, Any]:
        """Open inputs, summed over contexts."""
        return self._selected(a, gates), gates

    def _selected(self, z: FloatArray, gates: Any) -> FloatArray:
        if self.n_contexts == 1:
            return np.asarray(z * gates)
        inputs, chosen = (a.reshape(len(a), self.n_contexts, self.n_units) for a in (z, gates))
        return np.einsum("nch,nch->nh", inputs, chosen)  # products are added as they are formed

    def tangent(self, weights: Arrays, cache: Any, da: FloatArray, dweights: Arrays) -> FloatArray:
        """The same, as the layer is linear."""
        return self._selected(da, cache)

    def backward(self, weights: Arrays, cache: Any, delta: FloatArray, wants_input: bool) -> Back:
        """What comes back goes to the open contexts."""
        if self.n_contexts == 1:
            return delta * cache, []
        spread = delta[:, None, :] * cache.reshape(len(cache), self.n_contexts, self.n_units)
        return spread.reshape(len(cache), -1), []


def gated(n_in: int, n_units: int, n_contexts: int = 2, **options: Any) -> list[Layer]:
    """Layer with fixed gates: a matrix for each context, and a choice among them.

    Parameters
    ----------
    n_in, n_units : int
        Numbers of inputs and of units.
    n_contexts : int, default=2
        Number of contexts of every unit.
    **options
        Initialisation, as for :class:`Dense`.

    Returns
    -------
    list of Layer
        A :class:`Dense` and a :class:`Select`.
    """
    return [Dense(n_in, n_units, n_contexts, **options), Select(n_units, n_contexts)]
