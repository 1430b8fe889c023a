r"""Polyhedral norms and piecewise linear losses: linear programs, by HiGHS.

Half the square is a maximum of lines, :math:`\tfrac12 R^2 = \max_\lambda \lambda R - \tfrac12
\lambda^2`. With the concave, piecewise linear :math:`h(\lambda) = \min_\zeta \lambda R(\zeta) +
\sum_n l_n`, a linear program, the problem is

.. math:: \max_\lambda h(\lambda) - \tfrac12 \lambda^2 ,

whose optimum has :math:`\lambda = R`. A program at :math:`\lambda_i` ends with the norm
:math:`R_i`, a slope of h: the least of the lines :math:`h_i + R_i (\lambda - \lambda_i)` is a model
of it from above, whose maximiser is the next :math:`\lambda`. The model has as many lines as h has
pieces near the optimum, which it meets after a few. There the multipliers of the samples are the
dual point, and the primal one is a mean of the weights of the two pieces that meet.
"""

from __future__ import annotations

import cvxpy as cp
import numpy as np

from gnorm.solvers.certify import Certificate, better, certify
from gnorm.solvers.conic import raise_without_solution
from gnorm.solvers.norm_program import NormProblem
from gnorm.solvers.problem import Point, Problem
from gnorm.solvers.program import signed
from gnorm.solvers.run import Run
from gnorm.solvers.solution import Status

__all__ = ["solve"]


def solve(problem: Problem, run: Run) -> Certificate:
    """Solve a problem of a polyhedral norm and a piecewise linear loss.

    Parameters
    ----------
    problem : Problem
        The problem.
    run : Run
        What may be spent; an iteration is a linear program.

    Returns
    -------
    Certificate
        The best pair of points found.

    Raises
    ------
    NotSeparableError
        If hard-margin samples cannot be separated.
    RuntimeError
        If HiGHS fails; names its status.
    """
    rate = cp.Parameter(nonneg=True, value=1.0)  # in units of a lower bound of the optimum
    program = NormProblem(problem, rate)
    below: tuple[float, np.ndarray] | None = None  # weights of a norm of at most the rate
    above: tuple[float, np.ndarray] | None = None
    lines: list[tuple[float, float]] = []  # height at 0 and slope
    best: Certificate | None = None
    while not run.is_spent:
        program.solve(solver="SCIPY", canon_backend=program.canon_backend)
        run.n_iter += 1
        if program.status not in cp.settings.SOLUTION_PRESENT:
            raise_without_solution(problem, run, "HIGHS", program.status)
        zeta = program.recovery()
        norm = problem.design.norm.value(problem.design.of_units(zeta)) / np.sqrt(program.scale)
        if norm <= rate.value:
            below = norm, zeta
        if norm >= rate.value:
            above = norm, zeta
        b = signed(problem, np.asarray(program.dual_coef))
        primal = _mean(float(rate.value), below, above)
        found = certify(problem, Point(b, primal, Status.OPTIMAL, run.n_iter), run.tol)
        best = found if best is None else better(problem, best, found, run.tol)
        if run.report is not None:
            run.report(run.n_iter, best.primal_value, best.dual_value, float(rate.value))
        lines.append((float(program.scaled.value) - norm * float(rate.value), norm))
        following = _maximiser(lines)
        if best.gap <= run.tol or abs(following - rate.value) <= 1e-14 * rate.value:
            break
        rate.value = following
    assert best is not None
    return best


def _mean(
    rate: float, below: tuple[float, np.ndarray] | None, above: tuple[float, np.ndarray] | None
) -> np.ndarray:
    """Weights between those of the two pieces, whose norm is at most the rate."""
    if below is None or above is None or below[0] == above[0]:
        known = above if below is None else below
        assert known is not None
        return known[1]
    share = np.clip((rate - below[0]) / (above[0] - below[0]), 0.0, 1.0)
    mean: np.ndarray = (1 - share) * below[1] + share * above[1]
    return mean


def _maximiser(lines: list[tuple[float, float]]) -> float:
    """Maximiser of the least of some lines, less half the square: on one of them, or a crossing."""
    heights, slopes = np.array(lines).T
    crossings = [
        (heights[i] - heights[j]) / (slopes[j] - slopes[i])
        for i in range(len(lines))
        for j in range(i)
        if slopes[i] != slopes[j]
    ]
    candidates = np.maximum(np.array([*slopes, *crossings]), 0.0)
    model = np.min(heights + slopes * candidates[:, None], axis=1) - 0.5 * candidates**2
    return float(candidates[np.argmax(model)])
