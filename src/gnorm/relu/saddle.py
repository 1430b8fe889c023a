r"""Linear systems with two diagonals, of the size of the smaller side.

.. math::

    D x + A y = f, \qquad - A^\top x + S y = g, \qquad D > 0, \; S \ge 0 \text{ diagonal}.

Elimination of x leaves a matrix of the size of y, that of y one of the size of x. An entry of the
diagonal near zero would turn a change into the difference of nearly equal numbers, divided by that
entry; so such unknowns stay beside the others.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dgetrf, dgetrs

__all__ = ["SaddleSystem"]

_SMALL = 1.0  # diagonal entry, in natural units, below which an unknown is not eliminated
_MORE_SMALL = 100  # such unknowns at most, beyond as many as there are on the other side
_JITTER = 1e-15  # on the diagonal of the scaled matrix


class SaddleSystem:
    """Factors of a system.

    Parameters
    ----------
    A : ndarray of shape (n_first, n_second)
        Coupling of the two sides.
    first : ndarray of shape (n_first,)
        Diagonal D, positive.
    second : ndarray of shape (n_second,)
        Diagonal S, at least 0.

    Attributes
    ----------
    is_regular : bool
        Whether there are factors.
    """

    def __init__(self, A: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
        # what stays if either side is eliminated
        kept = [_kept(first, len(second)), _kept(second, len(first))]
        self.is_swapped = len(kept[0]) + len(second) > len(first) + len(kept[1])
        # Of the swapped system, S y - A' x = g and A y + D x = f, the form is the same.
        self.A, gone, rest = (-A.T, second, first) if self.is_swapped else (A, first, second)
        self.kept = kept[int(self.is_swapped)]
        n_kept, is_kept = len(self.kept), np.isin(np.arange(len(gone)), self.kept)
        self.inverse = np.where(is_kept, 0.0, 1.0 / np.where(is_kept, 1.0, gone))
        # in units in which no entry is larger than its part of the inner products
        self.unit = 1.0 / np.sqrt(np.maximum(rest, 1.0))
        scaled = self.A * np.sqrt(self.inverse)[:, None] * self.unit
        matrix = np.empty((n_kept + len(rest),) * 2)
        matrix[:n_kept, :n_kept] = np.diag(gone[self.kept])
        matrix[:n_kept, n_kept:] = self.A[self.kept] * self.unit
        matrix[n_kept:, :n_kept] = -matrix[:n_kept, n_kept:].T
        block = matrix[n_kept:, n_kept:]
        block[:] = scaled.T @ scaled
        block[np.diag_indices_from(block)] += rest * self.unit**2 + _JITTER
        self.lu, self.pivots, failed_at = dgetrf(matrix.T, overwrite_a=1)
        self.is_regular = bool(failed_at == 0)

    def solve(self, f: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unknowns x and y of a right-hand side."""
        if self.is_swapped:
            f, g = g, f
        right = g + (self.inverse * f) @ self.A
        both = dgetrs(self.lu, self.pivots, np.append(f[self.kept], self.unit * right), trans=1)[0]
        n_kept = len(self.kept)
        y = self.unit * both[n_kept:]
        x = self.inverse * (f - self.A @ y)
        x[self.kept] = both[:n_kept]
        return (y, x) if self.is_swapped else (x, y)


def _kept(diagonal: np.ndarray, n_others: int) -> np.ndarray:
    """Indices of the small entries of a diagonal, the smallest if there are many."""
    small = np.flatnonzero(diagonal < _SMALL)
    n_most = n_others + _MORE_SMALL
    if len(small) > n_most:
        small = small[np.argpartition(diagonal[small], n_most)[:n_most]]
    return np.sort(small)
