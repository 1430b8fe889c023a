"""The pinball loss of quantile regression."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gnorm.losses.piecewise_linear import HalfLines, PiecewiseLinearLoss

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["Quantile"]


@dataclass(frozen=True)
class Quantile(PiecewiseLinearLoss):
    r"""Pinball loss :math:`\ell(f) = C \max(\tau (y - f), (\tau - 1) (y - f))`.

    :math:`\ell^*(-b) = -b y` on :math:`C (\tau - 1) \le b \le C \tau`.

    Parameters
    ----------
    quantile : float, default=0.5
        The quantile :math:`\tau` of the targets that is fitted, ``0 < quantile < 1``.

    Raises
    ------
    ValueError
        If `quantile` is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.losses import Quantile
    >>> Quantile(0.75).value(np.array([1.0, 1.0]), np.array([0.0, 2.0]), np.array([2.0, 2.0]))
    array([1.5, 0.5])
    """

    quantile: float = 0.5

    name: ClassVar[str] = "quantile"

    def __post_init__(self) -> None:
        if not (isinstance(self.quantile, Real) and 0 < self.quantile < 1):
            raise ValueError(f"expected 0 < quantile < 1, got {self.quantile!r}")
        object.__setattr__(self, "quantile", float(self.quantile))

    def in_unit(self, unit: float) -> tuple[Quantile, int]:
        """Return itself, of degree 1."""
        _ = unit
        return self, 1

    def half_lines(self, y: np.ndarray, C: np.ndarray) -> HalfLines:
        """Two half-lines, which meet at the target."""
        return HalfLines(y, y, self.quantile * C, (1.0 - self.quantile) * C)

    def _expression(self, y: np.ndarray, f: cp.Expression, C: np.ndarray) -> cp.Expression:
        import cvxpy as cp

        return C @ cp.maximum(self.quantile * (y - f), (self.quantile - 1.0) * (y - f))
