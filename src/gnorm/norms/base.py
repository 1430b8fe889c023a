r"""What a norm says of itself, to the engine and to everybody else.

A norm of gated linear maps is a function of the unit weights zeta, of shape (n_units, n_contexts,
n_features), and so is its dual of the sums :math:`V_h = \sum_n b_n \phi_h(x_n)`. The engine's own
methods need more: that the norm is made of Euclidean norms, which it therefore knows as kernels.
The expression of a norm that says only its value and its dual can be minimised by cvxpy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from gnorm.gated import FloatArray

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["Norm", "QuadraticNorm", "UnitNorm"]


class Norm(ABC):
    """A norm of the predictors of a gated linear map."""

    @abstractmethod
    def value(self, zeta: ArrayLike) -> float:
        """Norm of the predictors with these weights."""

    @abstractmethod
    def dual(self, sums: ArrayLike) -> float:
        r"""Dual norm, :math:`\max \langle \zeta, V \rangle` over zeta of norm at most 1."""

    @abstractmethod
    def expression(self, zeta: Any) -> cp.Expression:
        """Compose the norm of atoms of cvxpy, for an affine zeta of three axes."""

    def check_gates(self, activations: np.ndarray) -> None:
        """Raise ValueError, with what was expected and got, if it is no norm for such gates."""
        _ = activations


class UnitNorm(Norm):
    r"""A sum of Euclidean norms, one a kernel: :math:`\sum_h \|\zeta\|_{(h)}`.

    Its dual is the largest of as many, and a dual point recovers a primal one by shares
    :math:`\mu \ge 0`, :math:`\sum_h \mu_h = 1` of the kernels.
    """

    @abstractmethod
    def unit_norms(self, zeta: ArrayLike) -> FloatArray:
        """Terms of the norm of given weights, one a kernel."""

    @abstractmethod
    def dual_norms(self, sums: FloatArray) -> FloatArray:
        """Dual norms, one a kernel; the dual norm is the largest."""

    @abstractmethod
    def recovered(self, sums: FloatArray, shares: np.ndarray) -> FloatArray:
        """Weights that a dual point of these sums and the shares of the kernels stand for.

        Of all weights with the same predictors it is those of least cost.
        """

    def value(self, zeta: ArrayLike) -> float:
        """Norm of the predictors with these weights."""
        return float(np.sum(self.unit_norms(zeta)))

    def dual(self, sums: ArrayLike) -> float:
        r"""Dual norm, :math:`\max \langle \zeta, V \rangle` over zeta of norm at most 1."""
        return float(np.max(self.dual_norms(np.asarray(sums, dtype=float))))


class QuadraticNorm(UnitNorm):
    """A norm with one kernel for all units together."""

    @abstractmethod
    def kernel(self, X: Any, activations: np.ndarray) -> np.ndarray:
        """Kernel matrix of the samples, shape (n_samples, n_samples)."""

    @abstractmethod
    def largest_kernel(self, n_units: int, n_contexts: int) -> float:
        r"""Largest value of the kernel in units of :math:`\|x\|^2`."""

    @abstractmethod
    def gate_metric(self, factors: np.ndarray) -> np.ndarray:
        r"""Matrix M with the kernel :math:`\langle x, x' \rangle g^\top M g'` of coded gates g."""
