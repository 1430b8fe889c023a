"""The absolute error, of which the median is the best constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gnorm.losses.piecewise_linear import HalfLines, PiecewiseLinearLoss

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["AbsoluteError"]


@dataclass(frozen=True)
class AbsoluteError(PiecewiseLinearLoss):
    r"""Absolute error :math:`\ell(f) = C |y - f|`.

    :math:`\ell^*(-b) = -b y` on :math:`|b| \le C`. It is the pinball loss of the median at
    twice the weight, and the epsilon-insensitive loss without a tube.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.losses import AbsoluteError
    >>> AbsoluteError().value(np.array([1.0, 1.0]), np.array([0.0, 3.0]), np.array([2.0, 2.0]))
    array([2., 4.])
    """

    name: ClassVar[str] = "absolute_error"

    def in_unit(self, unit: float) -> tuple[AbsoluteError, int]:
        """Return itself, of degree 1."""
        _ = unit
        return self, 1

    def half_lines(self, y: np.ndarray, C: np.ndarray) -> HalfLines:
        """Two half-lines of the same slope, which meet at the target."""
        return HalfLines(y, y, C, C)

    def _expression(self, y: np.ndarray, f: cp.Expression, C: np.ndarray) -> cp.Expression:
        import cvxpy as cp

        return C @ cp.abs(y - f)
