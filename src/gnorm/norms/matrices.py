r"""Weights as one matrix a unit, for the norms of singular values.

A norm :math:`g(\sigma)` of singular values, g unchanged by signs and permutations, has the dual
norm, the extreme points and the proximal map of g, in the singular vectors at hand: everything
about it is one line.

References
----------
.. [1] A. S. Lewis (1995). The convex analysis of unitarily invariant matrix functions. Journal of
   Convex Analysis 2.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from gnorm.gated import FloatArray
from gnorm.norms.base import Network, Norm, check_weights
from gnorm.norms.l1 import L1
from gnorm.norms.max_abs import MaxAbs
from gnorm.norms.simplex import check_threshold

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["MatrixNorm", "singular_values"]


def singular_values(matrices: np.ndarray) -> np.ndarray:
    """Singular values of each matrix, in descending order."""
    values: np.ndarray = np.linalg.svd(matrices, compute_uv=False)
    return values


@dataclass(frozen=True)
class MatrixNorm(Norm):
    r"""A norm :math:`g(w \sigma)` of the singular values of a matrix a unit.

    Parameters
    ----------
    shape : tuple of int, default=None
        Rows and columns of an input that is a matrix, its features in C order: the weights of
        every context then are a matrix of this shape. None for the matrix from the gated features
        of a unit, its rows, to the outputs.

    Raises
    ------
    ValueError
        If the shape is not of two positive integers.
    """

    shape: tuple[int, int] | None = None

    gauge: ClassVar[L1 | MaxAbs]
    architecture = (
        "gated network, two layers, several outputs or matrix inputs, several units a gate"
    )
    takes_outputs = True
    invariances = ("permutations of units", "rotations of outputs", "rotations of features")

    def __post_init__(self) -> None:
        if self.shape is None:
            return
        shape = tuple(self.shape) if isinstance(self.shape, Iterable) else ()
        if len(shape) != 2 or not all(isinstance(n, Integral) and n >= 1 for n in shape):
            raise ValueError(f"expected shape of two positive integers, got {self.shape!r}")
        object.__setattr__(self, "shape", tuple(int(n) for n in shape))

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        """Return the norm of outputs and that of inputs that are matrices."""
        return cls(), cls(shape=(2, 3))

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless the features are as many as the matrix has entries."""
        if self.shape is None:
            return
        if len(shape) != 3 or shape[2] != math.prod(self.shape):
            raise ValueError(
                f"expected {math.prod(self.shape)} features and one output for matrices of shape "
                f"{self.shape}, got zeta of shape {shape}"
            )

    def matrix_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Matrices, rows and columns of a zeta of a shape."""
        self.check_shape(shape)
        if self.shape is not None:
            return (shape[0] * shape[1], *self.shape)
        return shape[0], shape[1] * shape[2], shape[3] if len(shape) == 4 else 1

    def matrices(self, zeta: FloatArray) -> FloatArray:
        """View of weights or sums as matrices, shape (n_matrices, rows, columns)."""
        return zeta.reshape(self.matrix_shape(zeta.shape))

    def _weights(self, values: FloatArray) -> FloatArray | float:
        """Factors of singular values, of the shape (n_matrices, 1, rank) or one for all."""
        _ = values
        return 1.0

    def _decomposed(self, weights: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Singular vectors and values, the latter of shape (n_matrices, 1, rank)."""
        U, s, Vt = np.linalg.svd(self.matrices(weights), full_matrices=False)
        return U, s[:, None], Vt

    def value(self, zeta: ArrayLike) -> float:
        """Norm of the singular values of all units."""
        s = singular_values(self.matrices(check_weights(zeta)))[:, None]
        return self.gauge.value(self._weights(s) * s)

    def dual(self, sums: ArrayLike) -> float:
        """Dual norm of the singular values of all units."""
        s = singular_values(self.matrices(check_weights(sums, "sums")))[:, None]
        return self.gauge.dual(s / self._weights(s))

    def extreme_point(self, sums: ArrayLike) -> FloatArray:
        """Weights of norm 1 that attain the dual norm, in the singular vectors of the sums."""
        V = check_weights(sums, "sums")
        U, s, Vt = self._decomposed(V)
        w = self._weights(s)
        return ((U * (self.gauge.extreme_point(s / w) / w)) @ Vt).reshape(V.shape)

    def prox(self, zeta: ArrayLike, t: float) -> FloatArray:
        """Proximal map of t times the norm, that of the singular values."""
        zeta, t = check_weights(zeta), check_threshold(t)
        U, s, Vt = self._decomposed(zeta)
        return ((U * self._shrunk(s, t)) @ Vt).reshape(zeta.shape)

    def _shrunk(self, s: FloatArray, t: float) -> FloatArray:
        """Proximal map of t times the norm of singular values."""
        return self.gauge.prox(s, t)

    def network(self, shape: tuple[int, ...]) -> Network:
        r"""Input weights :math:`A_h` and read-out :math:`B_h`, with as many units as the rank."""
        n_matrices, n_rows, n_columns = self.matrix_shape(shape)
        rank = min(n_rows, n_columns)
        scales = self._weights(np.ones((n_matrices, 1, rank)))
        of_products = scales[..., :1] if isinstance(scales, np.ndarray) else scales

        def weights(zeta: FloatArray) -> list[np.ndarray]:
            U, s, Vt = self._decomposed(zeta)
            left, right = self._shared(scales * s)
            return [U * left, right.transpose(0, 2, 1) * Vt]

        return Network(
            ((n_matrices, n_rows, rank), (n_matrices, rank, n_columns)),
            lambda w: (w[0] @ w[1] / of_products).reshape(shape),
            self._cost,
            weights,
        )

    @staticmethod
    @abstractmethod
    def _shared(s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Singular values as products of those of two layers of least cost."""

    @staticmethod
    @abstractmethod
    def _cost(layers: Sequence[np.ndarray]) -> float:
        """Cost of the weights of both layers."""

    def _expressions(self, zeta: Any) -> list[cp.Expression]:
        """Matrices of an affine zeta."""
        import cvxpy as cp

        n_matrices, n_rows, n_columns = self.matrix_shape(zeta.shape)
        rows = cp.reshape(zeta, (n_matrices * n_rows, n_columns), order="C")
        return [rows[first : first + n_rows] for first in range(0, rows.shape[0], n_rows)]
