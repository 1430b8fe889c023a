"""The epsilon-insensitive loss of support vector regression."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gnorm.losses.piecewise_linear import HalfLines, PiecewiseLinearLoss

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["EpsilonInsensitive"]


@dataclass(frozen=True)
class EpsilonInsensitive(PiecewiseLinearLoss):
    r"""Epsilon-insensitive loss :math:`\ell(f) = C \max(0, |y - f| - \epsilon)`.

    :math:`\ell^*(-b) = -b y + \epsilon |b|` on :math:`|b| \le C`.

    Parameters
    ----------
    epsilon : float, default=0.1
        Half the width of the tube in which errors cost nothing, in units of the targets.

    Raises
    ------
    ValueError
        If `epsilon` is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.losses import EpsilonInsensitive
    >>> loss = EpsilonInsensitive(epsilon=0.5)
    >>> loss.value(np.array([1.0, 1.0]), np.array([0.75, 3.0]), np.array([2.0, 2.0]))
    array([0., 3.])
    """

    epsilon: float = 0.1

    name: ClassVar[str] = "epsilon_insensitive"

    def __post_init__(self) -> None:
        if not (isinstance(self.epsilon, Real) and 0 <= self.epsilon < np.inf):
            raise ValueError(f"expected a finite epsilon >= 0, got {self.epsilon!r}")
        object.__setattr__(self, "epsilon", float(self.epsilon))

    @property
    def has_kink(self) -> bool:
        """Whether the tube has a width."""
        return self.epsilon > 0

    def in_unit(self, unit: float) -> tuple[EpsilonInsensitive, int]:
        """Return the loss whose tube has the same width, or 2e30, of degree 1."""
        return EpsilonInsensitive(min(self.epsilon / unit, 1e30)), 1

    def half_lines(self, y: np.ndarray, C: np.ndarray) -> HalfLines:
        """Two half-lines on either side of the tube."""
        return HalfLines(y - self.epsilon, y + self.epsilon, C, C)

    def _expression(self, y: np.ndarray, f: cp.Expression, C: np.ndarray) -> cp.Expression:
        import cvxpy as cp

        return C @ cp.pos(cp.abs(y - f) - self.epsilon)
