"""The squared error of ridge regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gnorm.losses.base import Loss, safe_product
from gnorm.losses.multiples import length_of

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["SquaredError"]


@dataclass(frozen=True)
class SquaredError(Loss):
    r"""Squared error :math:`\ell(f) = \tfrac{C}{2} (y - f)^2`.

    :math:`\ell^*(-b) = -b y + b^2 / (2 C)` for all :math:`b`.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.losses import SquaredError
    >>> SquaredError().value(np.array([1.0, 3.0]), np.array([0.0, 1.0]), np.array([2.0, 2.0]))
    array([1., 4.])
    """

    name: ClassVar[str] = "squared_error"
    has_quadratic_conjugate: ClassVar[bool] = True

    def value(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Loss :math:`\tfrac{C_n}{2} (y_n - f_n)^2` of each sample."""
        residual = y - f
        return safe_product(safe_product(0.5 * C, residual), residual)

    def derivative(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Derivative :math:`C_n (f_n - y_n)`."""
        return safe_product(C, f - y)

    def curvature_along(
        self, y: np.ndarray, f: np.ndarray, direction: np.ndarray, C: np.ndarray
    ) -> float:
        r"""Second derivative :math:`\sum_n C_n d_n^2` along a direction."""
        return float(np.sum(safe_product(safe_product(C, direction), direction)))

    def in_unit(self, unit: float) -> tuple[SquaredError, int]:
        """Return itself, of degree 2."""
        _ = unit
        return self, 2

    def domain(self, y: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The real line."""
        return np.full(len(y), -np.inf), np.full(len(y), np.inf)

    def conjugate(self, y: np.ndarray, b: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Conjugate :math:`-b_n y_n + b_n^2 / (2 C_n)`."""
        return safe_product(0.5 * (b / C) - y, b)

    def conjugate_derivatives(
        self, y: np.ndarray, b: np.ndarray, C: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Derivatives :math:`b_n / C_n - y_n` and :math:`1 / C_n`."""
        return b / C - y, 1.0 / C

    def affine_depth(self, y: np.ndarray, f: np.ndarray) -> np.ndarray:
        """``-inf``: the loss is curved everywhere."""
        return np.full(len(f), -np.inf)

    def _soft_primal_multiple(
        self, y: np.ndarray, f: np.ndarray, C: np.ndarray, norm: float, slope: float
    ) -> float:
        # theta = (sum_n C_n f_n y_n - slope) / (norm^2 + sum_n C_n f_n^2), without the squares
        root = np.sqrt(C)
        length = length_of(norm, root * f)
        if length == 0:
            return 0.0 if slope >= 0 else 1.0
        with np.errstate(over="ignore"):
            theta = np.sum((root * f / length) * (root * y / length)) - slope / length / length
        return max(float(theta), 0.0) if np.isfinite(theta) else 1.0

    def _expression(self, y: np.ndarray, f: cp.Expression, C: np.ndarray) -> cp.Expression:
        import cvxpy as cp

        return 0.5 * cp.sum_squares(cp.multiply(np.sqrt(C), y - f))
