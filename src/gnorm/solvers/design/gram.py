"""The inner products of the samples, in the precisions in which they were asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Gram", "Precision"]

Precision = type[np.floating[Any]]
"""``np.float64`` or ``np.float32``."""

Compute = Callable[[Precision, float], NDArray[Any]]


class Gram:
    """A symmetric matrix of inner products over the samples, computed once a precision.

    Parameters
    ----------
    compute : callable
        From a precision and the length in whose square its entries are to the matrix.
    length : float
        What inputs are divided by in single precision, so that no product of theirs overflows.
    """

    def __init__(self, compute: Compute, length: float) -> None:
        self._compute = compute
        self._length = length
        self._known: dict[Precision, NDArray[Any]] = {}

    def length(self, precision: Precision) -> float:
        """Length in whose square the entries are: 1 in double precision."""
        return self._length if precision is np.float32 else 1.0

    def matrix(self, precision: Precision) -> NDArray[Any]:
        """Return the matrix, shape (n_samples, n_samples)."""
        if precision not in self._known:
            self._known[precision] = self._compute(precision, self.length(precision))
        return self._known[precision]

    def copied(self) -> Gram:
        """Return the same matrix; what becomes known of the copy does not of this one."""
        copied = Gram(self._compute, self._length)
        copied._known = dict(self._known)
        return copied

    def part(self, rows: np.ndarray, compute: Compute) -> Gram:
        """Return the matrix of some samples, in the precisions known of all."""
        part = Gram(compute, self._length)
        part._known = {
            precision: matrix.take(rows, axis=0).take(rows, axis=1)
            for precision, matrix in self._known.items()
        }
        return part
