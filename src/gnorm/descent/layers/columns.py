"""Layers that only arrange their inputs."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gnorm.descent.checks import check_count
from gnorm.descent.layers.base import Arrays, Back, DegreeOne
from gnorm.gated import FloatArray

__all__ = ["Columns", "Identity", "Join", "Split"]


class _Arrangement(DegreeOne):
    """A linear layer without weights."""

    def _arrange(self, a: FloatArray) -> FloatArray:
        return a

    def forward(
        self, weights: Arrays, a: FloatArray, gates: FloatArray | None
    ) -> tuple[FloatArray, Any]:
        """Inputs in another order."""
        return self._arrange(a), a.shape

    def tangent(self, weights: Arrays, cache: Any, da: FloatArray, dweights: Arrays) -> FloatArray:
        """The same, as the layer is linear."""
        return self._arrange(da)

    def backward(self, weights: Arrays, cache: Any, delta: FloatArray, wants_input: bool) -> Back:
        """What comes back, in the order of the inputs."""
        return delta.reshape(cache), []


class Identity(_Arrangement):
    """The inputs: what a network that ends with a sum ends with."""


class Columns(_Arrangement):
    """Some of the inputs.

    Parameters
    ----------
    columns : array-like of int
        Which, by number from 0.
    """

    def __init__(self, columns: ArrayLike) -> None:
        chosen = np.atleast_1d(np.asarray(columns))
        if (
            chosen.ndim != 1
            or chosen.dtype.kind not in "iu"
            or len(chosen) == 0
            or chosen.min() < 0
        ):
            raise ValueError(f"expected numbers of columns from 0 on, got {columns!r}")
        self.columns = chosen.astype(np.intp)

    def __repr__(self) -> str:
        return f"Columns({self.columns.tolist()})"

    def n_outputs(self, n_in: int) -> int:
        """As many as columns."""
        if self.columns.max() >= n_in:
            raise ValueError(
                f"expected at least {self.columns.max() + 1} inputs of {self}, got {n_in}"
            )
        return len(self.columns)

    def _arrange(self, a: FloatArray) -> FloatArray:
        return a[:, self.columns]

    def backward(self, weights: Arrays, cache: Any, delta: FloatArray, wants_input: bool) -> Back:
        """Zero for the others."""
        back = np.zeros(cache[::-1])
        np.add.at(back, self.columns, delta.T)  # a column may be taken twice
        return back.T, []


class Split(_Arrangement):
    """The positions of a sequence as rows of their own, (n, T d) to (n T, d).

    Parameters
    ----------
    n_positions : int
        Length T of the sequence.
    """

    def __init__(self, n_positions: int) -> None:
        self.n_positions = check_count(n_positions, "n_positions")
        self.row_factor = self._row_factor()

    def _row_factor(self) -> Fraction:
        return Fraction(self.n_positions)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_positions})"

    def n_outputs(self, n_in: int) -> int:
        """Those of one position."""
        if n_in % self.n_positions:
            raise ValueError(
                f"expected inputs of {self} to be a multiple of {self.n_positions}, got {n_in}"
            )
        return n_in // self.n_positions

    def _arrange(self, a: FloatArray) -> FloatArray:
        return a.reshape(len(a) * self.n_positions, -1)


class Join(Split):
    """The inverse of :class:`Split`."""

    def _row_factor(self) -> Fraction:
        return Fraction(1, self.n_positions)

    def n_outputs(self, n_in: int) -> int:
        """Those of all positions."""
        return n_in * self.n_positions

    def _arrange(self, a: FloatArray) -> FloatArray:
        return a.reshape(len(a) // self.n_positions, -1)
