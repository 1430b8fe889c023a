r"""Losses of two half-lines: everything about them follows from two kinks and two slopes.

.. math:: \ell_n(f) = p_n \max(0, w_n - f) + q_n \max(0, f - u_n), \qquad w_n \le u_n

so that :math:`-q_n \le b_n \le p_n` and :math:`\ell_n^*(-b) = -b w_n` for :math:`b \ge 0`,
:math:`-b u_n` for :math:`b \le 0`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np

from gnorm.losses.base import Loss, safe_product
from gnorm.losses.multiples import scan_multiple

__all__ = ["HalfLines", "PiecewiseLinearLoss"]


class HalfLines(NamedTuple):
    """Kinks and slopes of a piecewise-linear loss.

    Attributes
    ----------
    lower, upper : ndarray of shape (n_samples,)
        Where the falling half-line ends and the rising one begins, ``lower <= upper``.
    fall, rise : ndarray of shape (n_samples,)
        Their slopes, without sign.
    """

    lower: np.ndarray
    upper: np.ndarray
    fall: np.ndarray
    rise: np.ndarray

    def value(self, f: np.ndarray) -> np.ndarray:
        """Both half-lines together, at each of `f`."""
        falling = safe_product(self.fall, np.maximum(0.0, self.lower - f))
        return falling + safe_product(self.rise, np.maximum(0.0, f - self.upper))


class PiecewiseLinearLoss(Loss):
    """A loss of two half-lines."""

    is_piecewise_linear: ClassVar[bool] = True
    has_quadratic_conjugate: ClassVar[bool] = True

    def curvature_along(
        self, y: np.ndarray, f: np.ndarray, direction: np.ndarray, C: np.ndarray
    ) -> float:
        """Zero, between kinks."""
        _ = y, f, direction, C
        return 0.0

    @abstractmethod
    def half_lines(self, y: np.ndarray, C: np.ndarray) -> HalfLines:
        """Kinks and slopes of each sample."""

    def value(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Loss :math:`\ell_n(f_n)` of each sample; ``inf`` where a hard margin is not met."""
        return self.half_lines(y, C).value(f)

    def derivative(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Derivative of :math:`\ell_n` at :math:`f_n`, 0 at a kink."""
        lower, upper, fall, rise = self.half_lines(y, C)
        return np.where(f > upper, rise, 0.0) - np.where(f < lower, fall, 0.0)

    def domain(self, y: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""Ends :math:`-q_n` and :math:`p_n` of the interval of :math:`b_n`."""
        lines = self.half_lines(y, C)
        return 0.0 - lines.rise, lines.fall  # never -0.0

    def conjugate(self, y: np.ndarray, b: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Conjugate :math:`-b_n w_n` for :math:`b_n \ge 0`, else :math:`-b_n u_n`."""
        lower, upper, _, _ = self.half_lines(y, C)
        return safe_product(-np.where(b > 0, lower, upper), b)

    def conjugate_derivatives(
        self, y: np.ndarray, b: np.ndarray, C: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""First derivative of :math:`b_n \mapsto \ell_n^*(-b_n)`, and zeros.

        The mean of both sides at :math:`b_n = 0`.
        """
        lower, upper, _, _ = self.half_lines(y, C)
        middle = 0.5 * lower + 0.5 * upper
        return -np.where(b > 0, lower, np.where(b < 0, upper, middle)), np.zeros(len(b))

    def conjugate_prox(
        self, y: np.ndarray, b: np.ndarray, C: np.ndarray, rate: np.ndarray
    ) -> np.ndarray:
        r"""Dual point: :math:`b_n + r_n w_n` if positive, :math:`b_n + r_n u_n` if negative, or 0.

        Cut off at the ends of the domain.
        """
        lower, upper, _, _ = self.half_lines(y, C)
        moved = np.maximum(b + rate * lower, 0.0) + np.minimum(b + rate * upper, 0.0)
        return self.feasible(y, moved, C)

    def affine_depth(self, y: np.ndarray, f: np.ndarray) -> np.ndarray:
        """Distance to the nearer kink."""
        lower, upper, _, _ = self.half_lines(y, np.ones(len(y)))
        return np.minimum(np.abs(f - lower), np.abs(f - upper))

    def _soft_primal_multiple(
        self, y: np.ndarray, f: np.ndarray, C: np.ndarray, norm: float, slope: float
    ) -> float:
        lines = self.half_lines(y, C)
        # Every half-line is slope * max(0, theta speed - threshold). Half of those of the hinge,
        # and all of a sample whose output is 0, have no slope.
        slopes = np.concatenate((lines.rise, lines.fall)) * np.abs(np.concatenate((f, f)))
        matters = slopes > 0
        slopes = slopes[matters]
        speed = np.concatenate((f, -f))[matters]
        threshold = np.concatenate((lines.upper, -lines.lower))[matters]
        rises = speed > 0
        bends = np.where(rises, threshold > 0, threshold < 0)
        with np.errstate(over="ignore"):
            breakpoints = threshold[bends] / speed[bends]
        theta = scan_multiple(
            breakpoints,
            np.where(rises, 0.0, slopes)[bends],
            np.where(rises, slopes, 0.0)[bends],
            slope + float(np.sum(slopes[rises & ~bends])),
            norm,
        )

        def objective(theta: float) -> float:
            with np.errstate(over="ignore", invalid="ignore"):
                losses = float(np.sum(lines.value(theta * f)))
            return 0.5 * (theta * norm) * (theta * norm) + slope * theta + losses

        # At a breakpoint the distance to the kink is zero but for rounding, which a large C makes
        # expensive; a slightly longer or shorter predictor then is the better one.
        candidates = (theta, theta * (1.0 + 1e-14), theta * (1.0 - 1e-14))
        return min(candidates, key=objective)
