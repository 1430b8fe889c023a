r"""A loss with kinks, made smooth around a dual point: the method of multipliers.

With the conjugate :math:`l_n^*` and rates :math:`r_n`, around a dual point c,

.. math:: \tilde l_n(f) = \max_b -b f - l_n^*(-b) - \frac{(b - c_n)^2}{2 r_n}

is smooth, with slope -b at the maximiser b, a proximal map of the conjugate. The problem of this
loss in place of :math:`l_n` is a proximal step of the dual one from c: its dual optimum is the next
c, and the steps end at the optimum whatever the rates are. They are longer, and fewer, the larger
these are; but the problem of a step is the more curved. A step is done well enough when its own gap
is at most a multiple of the square that it pays for the way from c [1]_. A hard margin is a loss
like any other, without a bound of b.

References
----------
.. [1] R. T. Rockafellar, "Augmented Lagrangians and applications of the proximal point algorithm in
   convex programming", Mathematics of Operations Research 1, 1976.
"""

from __future__ import annotations

import numpy as np

from gnorm.solvers.certify import dual_value
from gnorm.solvers.problem import Problem

__all__ = ["ProximalLoss"]

_FIRST_RATE = 3.0  # in units of typical coefficients, for margins of 1; 1 and 10 take as long
# of the rates a step; on 60 samples of four classes 1.3 takes up to half as long again
_GROWTH = 2.0
# Multiple of the square up to which the gap of a step may remain. On 500 digits of ten classes 0.5
# takes twice the evaluations of 5, and 20 up to a third more; on hard margins 0.5 does not end.
_WELL_ENOUGH = 5.0


class ProximalLoss:
    """The losses of a problem, smooth around a dual point that moves.

    Parameters
    ----------
    problem : Problem
        A problem of a piecewise linear loss.

    Attributes
    ----------
    centre : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        The dual point c.
    rates : ndarray of shape (n_samples,)
        Rates :math:`r_n`.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self.centre = problem, problem.zero_outputs
        slopes, steepest = np.where(problem.is_hard, 1.0, problem.C), problem.steepest
        dual_norm = problem.design.dual_norm(problem.design.sums(steepest))
        # the multiple of the steepest coefficients that is best says how long they are
        share = dual_value(problem, steepest, dual_norm)[1]
        if not problem.is_hard.all():
            share = min(1.0, share)
        self.rates = _FIRST_RATE * share / problem.output_scale * slopes

    def slopes(self, f: np.ndarray) -> tuple[float, np.ndarray]:
        """Sum of the smooth losses of outputs, and the dual point that their slopes are."""
        problem, rates = self.problem, self._by_row(self.rates)
        b = problem.loss.conjugate_prox(problem.y, self.centre - rates * f, problem.C, self.rates)
        conjugates = float(np.sum(problem.loss.conjugate(problem.y, b, problem.C)))
        return -float(np.sum(b * f)) - conjugates - self._paid(b), b

    def _by_row(self, rates: np.ndarray) -> np.ndarray:
        return rates if self.centre.ndim == 1 else rates[:, None]

    def _paid(self, b: np.ndarray) -> float:
        """What a dual point pays for the way from the centre."""
        return 0.5 * float(np.sum((b - self.centre) ** 2 / self._by_row(self.rates)))

    def is_done(self, value: float, b: np.ndarray, dual_norm: float) -> bool:
        """Whether the problem of the step is solved well enough, at a value and a dual point."""
        problem, paid = self.problem, self._paid(b)
        conjugates = float(np.sum(problem.loss.conjugate(problem.y, b, problem.C)))
        below = -conjugates - 0.5 * dual_norm * dual_norm - paid
        return value - below <= _WELL_ENOUGH * paid

    def move_to(self, b: np.ndarray) -> None:
        """Go to the next step, which may be longer."""
        self.centre = b
        self.rates = _GROWTH * self.rates
