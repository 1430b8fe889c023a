r"""Both values and the gap of any pair of points: the only place.

Whatever zeta and whatever b in the domain a method ends with, their values bracket the optimum.
Both points are first brought to the multiple that is best for them, a problem of one dimension
that the loss solves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gnorm.solvers.problem import Point, Problem

__all__ = ["Affine", "Certificate", "certify", "dual_value", "primal_value", "relative_gap"]


def relative_gap(primal_value: float, dual_value: float) -> float:
    """Duality gap relative to the primal value; infinite while there is no primal point."""
    if not np.isfinite(primal_value):
        return np.inf
    return (primal_value - dual_value) / primal_value if primal_value > 0 else 0.0


@dataclass(frozen=True)
class Affine:
    r"""What samples outside of a problem add to its values, as far as their losses are affine.

    With a dual coefficient :math:`b_n` that stays what it is, the loss of a sample is
    :math:`-l_n^*(-b_n) - b_n f_n` on its affine piece, and no less elsewhere.

    Attributes
    ----------
    conjugate : float
        :math:`\sum_n l_n^*(-b_n)`.
    aligned : float
        :math:`\sum_n b_n f_n`.
    """

    conjugate: float = 0.0
    aligned: float = 0.0


def primal_value(
    problem: Problem, norm: float, outputs: np.ndarray, others: Affine | None = None
) -> tuple[float, float]:
    r"""Value and length of the best multiple of a predictor.

    Parameters
    ----------
    problem : Problem
        The problem.
    norm : float
        Norm of the predictor.
    outputs : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Its values :math:`f(x_n)`.
    others : Affine, default=None
        Further samples. The value then is a lower bound of that over all.

    Returns
    -------
    value : float
        Primal value, ``inf`` if a hard-margin sample is on the wrong side.
    theta : float
        The minimiser.
    """
    others = others or Affine()
    loss, y, C = problem.loss, problem.y, problem.C
    theta = loss.primal_multiple(y, outputs, C, norm, -others.aligned)
    with np.errstate(over="ignore"):
        losses = float(np.sum(loss.value(y, theta * outputs, C)))
        value = 0.5 * (theta * norm) ** 2 + losses - others.conjugate - theta * others.aligned
    return value, theta


def dual_value(
    problem: Problem, b: np.ndarray, dual_norm: float, others: Affine | None = None
) -> tuple[float, float]:
    r"""Value and length of the best multiple of a dual point that is in the domain.

    Parameters
    ----------
    problem : Problem
        The problem.
    b : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Point of the domain.
    dual_norm : float
        :math:`R^\circ(V(b))`, further samples included.
    others : Affine, default=None
        Further samples, whose coefficients may become shorter but not longer.

    Returns
    -------
    value : float
        Dual value.
    theta : float
        The maximiser.
    """
    loss, y, C = problem.loss, problem.y, problem.C
    longest = np.inf if others is None else 1.0
    others = others or Affine()
    theta = loss.dual_multiple(y, b, C, dual_norm, others.conjugate, longest)
    # conjugates are convex and 0 at 0: of those outside a share theta is an upper bound
    conjugate = float(np.sum(loss.conjugate(y, theta * b, C))) + theta * others.conjugate
    return -conjugate - 0.5 * (theta * dual_norm) ** 2, theta


@dataclass(frozen=True, eq=False)
class Certificate:
    """A pair of points, evaluated on the features themselves and over all samples.

    Attributes
    ----------
    zeta : ndarray of shape (n_units, n_contexts, n_features * n_outputs)
        Primal point.
    outputs : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Its values.
    norm, primal_value : float
        Its norm and the value of the problem at it.
    length : float
        The multiple of the point of the method that it is.
    dual_coef : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Dual point b.
    dual_value : float
        Its value.
    point : Point
        Where they come from.
    """

    zeta: np.ndarray
    outputs: np.ndarray
    norm: float
    primal_value: float
    length: float
    dual_coef: np.ndarray
    dual_value: float
    point: Point

    @property
    def gap(self) -> float:
        """Relative duality gap."""
        return relative_gap(self.primal_value, self.dual_value)


def certify(problem: Problem, point: Point) -> Certificate:
    """Evaluate a pair of points on the features, whatever a method believes of it."""
    design, norm, loss = problem.design, problem.design.norm, problem.loss
    coef, sums = problem.zero_outputs, None
    if isinstance(point.primal, tuple):
        coef, shares = point.primal
        sums = design.sums(coef)
        zeta = norm.recovered(sums, shares)
    else:
        zeta = point.primal
    outputs = design.decision_values(zeta)
    value, length = primal_value(problem, norm.value(zeta), outputs)
    zeta = length * zeta
    outputs = length * outputs

    b = loss.feasible(problem.y, point.dual_coef, problem.C)
    # The two points differ in few samples, if at all. Where the difference is as long as they are,
    # the sum of both would lose digits.
    if sums is None or np.sum(np.abs(b - coef)) > np.sum(np.abs(b)):
        sums = design.sums(b)
    elif not np.array_equal(b, coef):
        sums = sums + design.sums(b - coef)
    dual, theta = dual_value(problem, b, float(np.max(norm.dual_norms(sums))))
    b = loss.feasible(problem.y, theta * b, problem.C)
    return Certificate(zeta, outputs, norm.value(zeta), value, length, b, dual, point)
