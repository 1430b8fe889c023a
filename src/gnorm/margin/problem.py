r"""The max-margin problem: its two values and the certificate of any pair of points.

.. math::

    \text{primal} \quad & \min_\zeta \tfrac12 \bigl(\textstyle\sum_h \|\zeta_h\|\bigr)^2
        + \sum_n C_n \max(0, 1 - y_n f(x_n)) \\
    \text{dual} \quad & \max_{0 \le a \le C} \textstyle\sum_n a_n
        - \tfrac12 \max_h \|V_h(a)\|^2, \qquad V_h(a) = \sum_n a_n y_n \phi_h(x_n)

with :math:`C_n = \infty` for a hard margin, :math:`y_n f(x_n) \ge 1`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gnorm.margin.design import GatedDesign
from gnorm.margin.solution import Status

__all__ = ["MarginProblem", "Point", "relative_gap"]


def relative_gap(primal_value: float, dual_value: float) -> float:
    """Duality gap relative to the primal value; infinite while there is no primal point."""
    if not np.isfinite(primal_value):
        return np.inf
    return (primal_value - dual_value) / primal_value if primal_value > 0 else 0.0


@dataclass
class Point:
    r"""Where a method ended: a dual point, and a primal point by its recovery.

    Attributes
    ----------
    dual_coef : ndarray of shape (n_samples,)
        Dual point :math:`a`.
    recovery : tuple of (ndarray of shape (n_samples,), ndarray of shape (n_units,))
        Pair :math:`(a', \mu)` with :math:`\zeta_h = \mu_h V_h(a')`.
    status : Status
        How the method ended.
    n_iter : int
        Iterations spent.
    """

    dual_coef: np.ndarray
    recovery: tuple[np.ndarray, np.ndarray]
    status: Status
    n_iter: int


class MarginProblem:
    r"""Labels and bounds on a design.

    Parameters
    ----------
    design : GatedDesign
        Inputs and gates; shared by the problems of a one-versus-rest classifier.
    y : ndarray of shape (n_samples,)
        Labels -1.0 and 1.0.
    upper : ndarray of shape (n_samples,)
        Bounds :math:`C_n > 0` of the dual coefficients, ``inf`` for a hard margin.
    """

    def __init__(self, design: GatedDesign, y: np.ndarray, upper: np.ndarray) -> None:
        self.design = design
        self.y = y
        self.upper = upper
        self.is_hard = np.isinf(upper)

    def restricted(self, rows: np.ndarray) -> MarginProblem:
        """Return the problem of some of the samples, itself if these are all."""
        if len(rows) == len(self.y):
            return self
        return MarginProblem(self.design.restricted(rows), self.y[rows], self.upper[rows])

    def products(self, a: np.ndarray, *, accurate: bool = False) -> np.ndarray:
        """Compute ``Q_h a`` for every unit, shape (n_samples, n_units)."""
        return self.y[:, None] * self.design.unit_products(self.y * a, accurate=accurate)

    def scale_primal(self, norm: float, margins: np.ndarray) -> tuple[float, float]:
        r"""Value and length of the best multiple of a predictor.

        Minimises :math:`\tfrac12 (\theta \|f\|)^2 + \sum_n C_n \max(0, 1 - \theta y_n f(x_n))`
        over :math:`\theta \ge 0`, a convex piecewise quadratic: :math:`\theta` is found by
        scanning the sorted breakpoints :math:`1 / (y_n f(x_n))`.

        Parameters
        ----------
        norm : float
            Norm of the predictor.
        margins : ndarray of shape (n_samples,)
            Functional margins :math:`y_n f(x_n)`.

        Returns
        -------
        value : float
            Primal value, ``inf`` if a hard-margin sample is on the wrong side.
        theta : float
            The minimiser.
        """
        least = 0.0  # the smallest theta that satisfies the hard samples
        if self.is_hard.any():
            smallest = float(np.min(margins[self.is_hard]))
            if smallest <= 0:
                return np.inf, 1.0
            least = 1.0 / smallest
        soft = ~self.is_hard
        theta = max(least, self._unconstrained_scale(norm, margins[soft], self.upper[soft]))

        def value(theta: float) -> float:
            shortfall = np.maximum(0.0, 1.0 - theta * margins[soft])
            return 0.5 * (theta * norm) ** 2 + float(np.sum(self.upper[soft] * shortfall))

        # At a breakpoint 1 - theta m is zero but for rounding, which a large C makes expensive;
        # a slightly longer predictor then is the better one.
        return min((value(candidate), candidate) for candidate in (theta, theta * (1.0 + 1e-14)))

    @staticmethod
    def _unconstrained_scale(norm: float, margins: np.ndarray, C: np.ndarray) -> float:
        if norm == 0 or len(C) == 0:
            return 0.0
        is_wrong = margins <= 0
        order = np.argsort(-margins, kind="stable")[: np.count_nonzero(~is_wrong)]
        with np.errstate(over="ignore"):
            breakpoints = 1.0 / margins[order]
        # The derivative is theta norm^2 - slope, with the slope of the hinge terms constant on
        # each piece between breakpoints: the root is on the first piece at whose end it is >= 0.
        # Summed from the far end, where a large C must leave no rounding error behind.
        gains = np.append(C[order] * margins[order], float(C[is_wrong] @ margins[is_wrong]))
        slopes = np.cumsum(gains[::-1])[::-1]
        piece = int(np.argmax(np.append(breakpoints * norm * norm >= slopes[:-1], True)))
        pieces = np.concatenate(([0.0], breakpoints, [np.inf]))
        return float(np.clip(slopes[piece] / norm / norm, pieces[piece], pieces[piece + 1]))

    def scale_dual(self, a: np.ndarray, dual_norm: float) -> tuple[float, float]:
        r"""Value and length of the best feasible multiple of a dual point.

        Maximises :math:`\theta \sum_n a_n - \tfrac12 \theta^2 \max_h \|V_h(a)\|^2` over
        :math:`0 \le \theta a_n \le C_n`.

        Parameters
        ----------
        a : ndarray of shape (n_samples,)
            Point with ``0 <= a <= upper``.
        dual_norm : float
            :math:`\max_h \|V_h(a)\|`.

        Returns
        -------
        value : float
            Dual value.
        theta : float
            The maximiser.
        """
        total = float(np.sum(a))
        positive = a > 0
        with np.errstate(over="ignore"):
            longest = float(np.min(self.upper[positive] / a[positive], initial=np.inf))
        # not by the square, which may underflow
        theta = min(total / dual_norm / dual_norm, longest) if dual_norm > 0 else longest
        if not np.isfinite(theta):  # an unbounded ray, or a = 0: leave the point as it is
            theta = 1.0
        return theta * total - 0.5 * (theta * dual_norm) ** 2, theta

    def separability_residual(self, a: np.ndarray) -> float:
        r""":math:`\max_h \|V_h(a)\| / (\sum_n a_n \max_n \|x_n\|)`; zero proves inseparability."""
        scale = self.design.max_feature_norm
        largest = float(np.max(self.design.dual_norms(self.y * a)))
        return largest / (scale * float(np.sum(a))) if scale > 0 else 0.0
