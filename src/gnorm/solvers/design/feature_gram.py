r"""Weighted Gram matrices of the coded features, and the Newton matrices made of them.

With a triangular R whose product :math:`R^\top R` is the metric of the kernels
(:class:`gnorm.solvers.design.coded.Root`), and directions Q of low rank, a Newton matrix is

.. math:: A = (I + Q Q^\top)^{-1} + \lambda R S R^\top , \qquad
    S = \textstyle\sum_n w_n \phi(x_n) \phi(x_n)^\top .

A Gram matrix S knows in which form it is and factorises what is made of it: :class:`DenseGram` as
one array, :class:`gnorm.solvers.design.arrowhead.ArrowheadGram` by the levels of one unit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dpotrs

if TYPE_CHECKING:
    from gnorm.solvers.design.coded import Root

__all__ = ["JITTER", "DenseGram", "Factor", "FeatureGram", "Prior", "cholesky"]

JITTER = 1e-14  # relative, on the diagonal of what is factorised


class Prior:
    r"""The matrix :math:`(I + Q Q^\top)^{-1}` by the singular values of Q.

    Parameters
    ----------
    Q : ndarray of shape (size, n_directions)
        The directions.

    Attributes
    ----------
    U, singular, Wt : ndarray
        The singular value decomposition of Q.
    left : ndarray
        What the inverse leaves of each of the directions U, :math:`1 / (1 + \sigma^2)`.
    """

    def __init__(self, Q: np.ndarray) -> None:
        self.U, self.singular, self.Wt = np.linalg.svd(Q, full_matrices=False)
        self.left = 1.0 / (1.0 + self.singular**2)

    @property
    def shrunk(self) -> np.ndarray:
        r"""Directions P with :math:`(I + Q Q^\top)^{-1} = I - P P^\top`."""
        return np.asarray(self.U * (self.singular * np.sqrt(self.left)))

    def times(self, x: np.ndarray) -> np.ndarray:
        r"""Compute :math:`(I + Q Q^\top)^{-1} x`."""
        return np.asarray(x - self.U @ (self.singular**2 * self.left * (self.U.T @ x)))


class Factor(ABC):
    """A factorised Newton matrix."""

    @abstractmethod
    def solve(self, rhs: np.ndarray) -> np.ndarray:
        """Solve with a right-hand side of shape (size,)."""


class FeatureGram(ABC):
    """A weighted Gram matrix of the coded features."""

    @abstractmethod
    def toarray(self) -> np.ndarray:
        """Return all of its entries, shape (size, size)."""

    @abstractmethod
    def __matmul__(self, x: np.ndarray) -> np.ndarray:
        """Compute S x of vectors in columns, or of one."""

    @abstractmethod
    def trace(self, root: Any) -> float:
        r"""Trace of :math:`R S R^\top`."""

    @abstractmethod
    def factorised(self, root: Any, unit: float, prior: Prior | None = None) -> Factor | None:
        r"""Factorise :math:`(I + Q Q^\top)^{-1} + \lambda R S R^\top`.

        Parameters
        ----------
        root : Root
            The factor R.
        unit : float
            The number :math:`\lambda`.
        prior : Prior, default=None
            The first term, None for the identity.

        Returns
        -------
        Factor or None
            None if the matrix is not positive definite, but for rounding.
        """


class DenseGram(FeatureGram):
    """A Gram matrix of the coded features as an array."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def toarray(self) -> np.ndarray:
        """Return the array, not a copy of it."""
        return self._array

    def __matmul__(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self._array @ x)

    def trace(self, root: Root) -> float:
        """Trace in the coordinates of a root."""
        return float(np.trace(root.in_coordinates(self._array)))

    def factorised(self, root: Root, unit: float, prior: Prior | None = None) -> Factor | None:
        """Factorise by Cholesky, see :class:`FeatureGram`."""
        matrix = root.in_coordinates(self._array)
        matrix *= unit
        # of the transpose, which is in the memory order of the library, one triangle is enough
        matrix = matrix.T
        if prior is not None:
            matrix = dsyrk(-1.0, prior.shrunk, lower=1, beta=1.0, c=matrix, overwrite_c=1)
        np.einsum("ii->i", matrix)[:] += 1.0
        factor = cholesky(matrix)
        return None if factor is None else _DenseFactor(factor)


class _DenseFactor(Factor):
    def __init__(self, factor: np.ndarray) -> None:
        self._factor = factor

    def solve(self, rhs: np.ndarray) -> np.ndarray:
        return np.asarray(dpotrs(self._factor, rhs, lower=1)[0])


def cholesky(matrix: np.ndarray) -> np.ndarray | None:
    """Lower Cholesky factor in place of a matrix in Fortran order; None if there is none."""
    np.einsum("ii->i", matrix)[:] *= 1.0 + JITTER
    factor, failed_at = dpotrf(matrix, lower=1, overwrite_a=1, clean=0)
    return factor if failed_at == 0 else None
