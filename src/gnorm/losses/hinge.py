"""The hinge loss of the support vector machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gnorm.losses.piecewise_linear import HalfLines, PiecewiseLinearLoss

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["Hinge"]


@dataclass(frozen=True)
class Hinge(PiecewiseLinearLoss):
    r"""Hinge loss :math:`\ell(f) = C \max(0, 1 - y f)` with labels -1 and 1.

    With :math:`a = y b`: :math:`\ell^*(-b) = -a` on :math:`0 \le a \le C`.
    ``C = inf`` is a hard margin, :math:`y f \ge 1`.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.losses import Hinge
    >>> Hinge().value(np.array([1.0, -1.0]), np.array([0.5, 0.5]), np.array([2.0, 2.0]))
    array([1., 3.])
    """

    name: ClassVar[str] = "hinge"
    is_margin: ClassVar[bool] = True
    allows_infinite_C: ClassVar[bool] = True
    is_exact_penalty: ClassVar[bool] = True

    def half_lines(self, y: np.ndarray, C: np.ndarray) -> HalfLines:
        """One half-line per sample, which ends at the label."""
        return HalfLines(y, y, np.where(y > 0, C, 0.0), np.where(y < 0, C, 0.0))

    def _expression(self, y: np.ndarray, f: cp.Expression, C: np.ndarray) -> cp.Expression:
        import cvxpy as cp

        return C @ cp.pos(1 - cp.multiply(y, f))
