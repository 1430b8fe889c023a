"""Weights as one matrix a unit, for the norms of singular values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from gnorm.gated import FloatArray
from gnorm.norms.base import Norm

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["MatrixNorm", "singular_values"]


def singular_values(matrices: np.ndarray) -> np.ndarray:
    """Singular values of each matrix, in descending order."""
    values: np.ndarray = np.linalg.svd(matrices, compute_uv=False)
    return values


@dataclass(frozen=True)
class MatrixNorm(Norm):
    """A norm of the singular values of a matrix a unit.

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

    def _expressions(self, zeta: Any) -> list[cp.Expression]:
        """Matrices of an affine zeta."""
        import cvxpy as cp

        n_matrices, n_rows, n_columns = self.matrix_shape(zeta.shape)
        rows = cp.reshape(zeta, (n_matrices * n_rows, n_columns), order="C")
        return [rows[first : first + n_rows] for first in range(0, rows.shape[0], n_rows)]
