"""The squared hinge loss of scikit-learn's LinearSVC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gnorm.losses.base import Loss, safe_product

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["SquaredHinge"]


@dataclass(frozen=True)
class SquaredHinge(Loss):
    r"""Squared hinge loss :math:`\ell(f) = C \max(0, 1 - y f)^2` with labels -1 and 1.

    With :math:`a = y b`: :math:`\ell^*(-b) = -a + a^2 / (4 C)` on :math:`a \ge 0`.
    ``C = inf`` is a hard margin, :math:`y f \ge 1`.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.losses import SquaredHinge
    >>> SquaredHinge().value(np.array([1.0, -1.0]), np.array([0.5, 1.0]), np.array([2.0, 2.0]))
    array([0.5, 8. ])
    """

    name: ClassVar[str] = "squared_hinge"
    has_quadratic_conjugate: ClassVar[bool] = True
    is_margin: ClassVar[bool] = True
    allows_infinite_C: ClassVar[bool] = True

    def value(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Loss :math:`C_n \max(0, 1 - y_n f_n)^2`; ``inf`` where a hard margin is not met."""
        shortfall = np.maximum(0.0, 1.0 - y * f)
        return safe_product(safe_product(C, shortfall), shortfall)

    def derivative(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Derivative :math:`-2 C_n y_n \max(0, 1 - y_n f_n)`."""
        return safe_product(-2.0 * C * y, np.maximum(0.0, 1.0 - y * f))

    def curvature_along(
        self, y: np.ndarray, f: np.ndarray, direction: np.ndarray, C: np.ndarray
    ) -> float:
        r"""Second derivative :math:`2 \sum_{y_n f_n < 1} C_n d_n^2` along a direction."""
        short = np.where(y * f < 1, direction, 0.0)
        return 2.0 * float(np.sum(safe_product(safe_product(C, short), short)))

    def domain(self, y: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""Ends of :math:`y_n b_n \ge 0`."""
        return np.where(y < 0, -np.inf, 0.0), np.where(y > 0, np.inf, 0.0)

    def conjugate(self, y: np.ndarray, b: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Conjugate :math:`-a_n + a_n^2 / (4 C_n)`, :math:`a_n = y_n b_n`."""
        return safe_product(0.25 * (b / C) - y, b)

    def conjugate_derivatives(
        self, y: np.ndarray, b: np.ndarray, C: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Derivatives :math:`b_n / (2 C_n) - y_n` and :math:`1 / (2 C_n)`."""
        return 0.5 * (b / C) - y, 0.5 / C

    def affine_depth(self, y: np.ndarray, f: np.ndarray) -> np.ndarray:
        r"""Excess :math:`y_n f_n - 1` of the margin."""
        return y * f - 1.0

    def _expression(self, y: np.ndarray, f: cp.Expression, C: np.ndarray) -> cp.Expression:
        import cvxpy as cp

        shortfall = cp.pos(1 - cp.multiply(y, f))
        return cp.sum_squares(cp.multiply(np.sqrt(C), shortfall))
