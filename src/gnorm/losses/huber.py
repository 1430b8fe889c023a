"""The Huber loss of robust regression."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gnorm.losses.base import Loss, safe_product

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["Huber"]


@dataclass(frozen=True)
class Huber(Loss):
    r"""Huber loss, a square near the target and linear beyond.

    :math:`\ell(f) = \tfrac{C}{2} (y - f)^2` where :math:`|y - f| \le \delta`, else
    :math:`C \delta (|y - f| - \tfrac{\delta}{2})`; :math:`\ell^*(-b) = -b y + b^2 / (2 C)` on
    :math:`|b| \le C \delta`.

    Parameters
    ----------
    delta : float, default=1.35
        Error at which the square ends, in units of the targets.

    Raises
    ------
    ValueError
        If `delta` is not positive and finite.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.losses import Huber
    >>> Huber(delta=1.0).value(np.array([0.0, 0.0]), np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    array([1., 5.])
    """

    delta: float = 1.35

    name: ClassVar[str] = "huber"
    has_quadratic_conjugate: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not (isinstance(self.delta, Real) and 0 < self.delta < np.inf):
            raise ValueError(f"expected a finite delta > 0, got {self.delta!r}")
        object.__setattr__(self, "delta", float(self.delta))

    def in_unit(self, unit: float) -> tuple[Huber, int]:
        """Return the loss that ends its square at the same error, or at 1e30, of degree 2."""
        return Huber(float(np.clip(self.delta / unit, 1e-300, 1e30))), 2

    def value(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Loss :math:`C_n m (|y_n - f_n| - m / 2)`, :math:`m = \min(|y_n - f_n|, \delta)`."""
        error = np.abs(y - f)
        near = np.minimum(error, self.delta)
        return safe_product(safe_product(C, near), error - 0.5 * near)

    def derivative(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Derivative :math:`C_n (f_n - y_n)`, cut off at :math:`\pm C_n \delta`."""
        return C * np.clip(f - y, -self.delta, self.delta)

    def curvature_along(
        self, y: np.ndarray, f: np.ndarray, direction: np.ndarray, C: np.ndarray
    ) -> float:
        r"""Second derivative :math:`\sum_{|y_n - f_n| \le \delta} C_n d_n^2` along a direction."""
        curved = np.where(np.abs(y - f) <= self.delta, direction, 0.0)
        return float(np.sum(safe_product(safe_product(C, curved), curved)))

    def domain(self, y: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""Ends :math:`\pm C_n \delta`."""
        return -self.delta * C, self.delta * C

    def conjugate(self, y: np.ndarray, b: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Conjugate :math:`-b_n y_n + b_n^2 / (2 C_n)`."""
        return safe_product(0.5 * (b / C) - y, b)

    def conjugate_derivatives(
        self, y: np.ndarray, b: np.ndarray, C: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Derivatives :math:`b_n / C_n - y_n` and :math:`1 / C_n`."""
        return b / C - y, 1.0 / C

    def affine_depth(self, y: np.ndarray, f: np.ndarray) -> np.ndarray:
        r"""Excess :math:`|y_n - f_n| - \delta` of the error."""
        return np.abs(y - f) - self.delta

    def _expression(self, y: np.ndarray, f: cp.Expression, C: np.ndarray) -> cp.Expression:
        import cvxpy as cp

        # cvxpy's atom is r^2 near zero, twice ours
        return 0.5 * (C @ cp.huber(y - f, self.delta))
