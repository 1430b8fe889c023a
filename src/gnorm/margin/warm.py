r"""The interior point from the solution of a similar problem.

A solution is a bad start as it is: it lies on the boundary, from which an interior point can hardly
move. But it says which samples are near the margin, how long the coefficients are and which units
are active, and so where on the central path one can enter: with :math:`\sigma` chosen as large as
the solutions are likely to differ, coefficients, multipliers and slacks are set apart from their
bounds until their products are :math:`\sigma` [1]_.

From there on it is the working set: samples well inside the margin are one linear term, idle ones
are left out, and the margins of all are scanned at a loose gap, where the path can still turn.

References
----------
.. [1] E. A. Yildirim and S. J. Wright, "Warm-start strategies in interior-point methods for linear
   programming", SIAM Journal on Optimization 12(3), 2002.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gnorm.margin.design import GatedDesign
from gnorm.margin.interior_point import CentralPath, Report
from gnorm.margin.newton import Fixed, Newton, State
from gnorm.margin.problem import MarginProblem, Point
from gnorm.margin.solution import MarginSolution, NotSeparableError, Status
from gnorm.margin.threads import one_blas
from gnorm.margin.working_set import Memory, Sets, next_sets, scan, transferred

__all__ = ["Bounded", "Linear", "Near", "Solved", "is_at_bound", "solve"]

Linear = Callable[[np.ndarray, MarginProblem], Fixed | None]
"""From which samples are fixed, and the problem of the free ones, to their linear term."""

Solved = tuple[MarginSolution, np.ndarray]
"""A solution with its functional margins."""

_NEAR = 0.1  # distance from the margin up to which a sample is taken
_START = 0.01  # gap at which to enter the central path, relative to the sum of the coefficients
_LOOSE = 5e-3  # relative gap at which the margins of all samples are scanned
_LEAST_SINGLE = 1e-5  # relative gap that single precision is trusted to reach
_MANY = 0.05  # share of missed samples in a set that is then solved loosely once more
_UPSET = 2.0  # growth of the largest unit gradient at which new samples undo the path
_BOUNDARY = 1e-6  # share of a bound from which a coefficient counts as at it
_FIRST_ITERATIONS = 15  # most to the loose gap before the start counts as a bad one
_LOOSE_ROUNDS = 4  # most at the loose gap
_ROUNDS = 8  # most before the start counts as a bad one


@dataclass(frozen=True)
class Near:
    r"""Where a warm start begins.

    Attributes
    ----------
    dual_coef : ndarray of shape (n_samples,)
        Dual point :math:`a`, not necessarily feasible.
    weights : ndarray of shape (n_units,)
        :math:`\mu_h`, the share of each unit in the norm.
    margins : ndarray of shape (n_samples,)
        Functional margins :math:`y_n f(x_n)`.
    """

    dual_coef: np.ndarray
    weights: np.ndarray
    margins: np.ndarray


def is_at_bound(dual_coef: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Whether coefficients are at their upper bounds, but for rounding."""
    is_at: np.ndarray = dual_coef >= (1.0 - _BOUNDARY) * upper
    return is_at


class Bounded:
    """Samples at their upper bounds as a linear term, summed up from one set to the next.

    Parameters
    ----------
    design : GatedDesign
        Inputs and gates.
    coef : ndarray of shape (n_samples,)
        Coefficient times label of a sample at its bound, in units of a common factor. 0 where
        there is no bound.
    """

    def __init__(self, design: GatedDesign, coef: np.ndarray) -> None:
        self._design = design
        self._coef = coef
        self._is_in = np.zeros(len(coef), dtype=bool)
        self._sums: np.ndarray | None = None

    def fixed(self, is_fixed: np.ndarray, free: MarginProblem, factor: float = 1.0) -> Fixed | None:
        """Return what the fixed samples are to the problem of the free ones, None if none are."""
        if not np.any(is_fixed):
            return None
        change = is_fixed.astype(float) - self._is_in
        sums = self._design.sums(change * self._coef)
        self._sums = sums if self._sums is None else self._sums + sums
        self._is_in = is_fixed
        pull = factor * free.y[:, None] * free.design.products_of(self._sums)
        norms = factor * self._design.norms_of(self._sums)
        return Fixed(pull, norms**2, factor * float(np.sum(np.abs(self._coef[is_fixed]))))


def solve(
    problem: MarginProblem,
    near: Near,
    certify: Callable[[Point], Solved],
    *,
    tol: float,
    max_iter: int,
    report: Report | None = None,
    linear: Linear | None = None,
    memory_limit: float | None = None,
) -> Solved | None:
    """Solve a max-margin problem from the solution of a similar one.

    Parameters
    ----------
    problem : MarginProblem
        The problem.
    near : Near
        Where to start.
    certify : callable
        Turns a point into a solution and its margins over all samples.
    tol : float
        Relative duality gap over all samples at which to stop.
    max_iter : int
        Most iterations.
    report : callable, default=None
        Called with (iteration, primal value, dual value, step) after every evaluation.
    linear : callable, default=None
        Gives the linear term of the fixed samples, see :meth:`Bounded.fixed`; None sums it up anew.
    memory_limit : float, default=None
        Most memory in bytes that may be taken beside the data; None for no limit.

    Returns
    -------
    tuple of (MarginSolution, ndarray of shape (n_samples,)) or None
        Solution and functional margins; None if the path got nowhere from this start, or the
        samples near the margin do not fit into the memory.

    Raises
    ------
    NotSeparableError
        If hard-margin samples cannot be separated.
    """
    with one_blas(len(problem.y)):
        memory = Memory(problem, memory_limit)
        return _solve(problem, near, certify, tol, max_iter, report, linear, memory)


def _solve(
    problem: MarginProblem,
    near: Near,
    certify: Callable[[Point], Solved],
    tol: float,
    max_iter: int,
    report: Report | None,
    linear: Linear | None,
    memory: Memory,
) -> Solved | None:
    if linear is None:
        bounds = np.where(problem.is_hard, 0.0, problem.upper)
        linear = Bounded(problem.design, problem.y * bounds).fixed
    sets = _sets(problem, near)
    scale = float(np.mean(np.minimum(near.dual_coef, problem.upper)[sets.free]))
    if not scale > 0:
        return None
    state: State | None = None
    loose: tuple[State, Sets] | None = None  # where the path can be taken up again
    n_iter, is_far = 0, True
    for n_round in range(_ROUNDS):
        if not memory.fits_double(len(sets.free)):
            return None
        is_last = loose is not None and (n_round >= _LOOSE_ROUNDS or not is_far)
        free = problem.restricted(sets.free)
        is_single = not is_last or tol >= _LEAST_SINGLE
        newton = Newton(free, scale, linear(sets.masks()[1], free), is_single=is_single)
        if state is None:
            with np.errstate(all="ignore"):  # out of range: no start
                state = _entered(newton, near, sets)
            if not state.is_interior():
                return None
        elif newton.has_outgrown(state, _UPSET):
            return None
        path = CentralPath(newton, state, n_iter)
        target = tol if is_last else max(tol, _LOOSE)
        try:
            most = max_iter if loose is not None else min(max_iter, _FIRST_ITERATIONS)
            status = path.follow(target, most, report, is_last=is_last, n_rounding=0)
        except NotSeparableError as error:
            raise error.scattered(sets.free, len(problem.y)) from None
        n_iter = path.n_iter
        point = sets.on_all(path.best.point(status, n_iter), problem)
        if status is Status.INTERRUPTED:
            return certify(point)
        if status is not Status.OPTIMAL:
            return None
        if is_last:
            solution, margins = certify(point)
            if solution.duality_gap <= tol:
                return solution, margins
        else:
            _, margins = scan(problem, point)
            loose = path.state, sets
        assert loose is not None
        sets, n_missed = next_sets(problem, sets, margins, None if is_last else path.state)
        # From the end of the path new samples would have far to go: it is too near the boundary.
        state = transferred(*loose, sets, margins, problem.upper / scale)
        is_far = n_missed > _MANY * len(sets.free)
    return None


def _sets(problem: MarginProblem, near: Near) -> Sets:
    """Choose the free samples: near the margin, or between their bounds."""
    a, upper = near.dual_coef, problem.upper
    is_fixed = (near.margins <= 1.0 - _NEAR) & is_at_bound(a, upper)
    typical = float(np.max(a, initial=0.0))
    is_idle = (near.margins >= 1.0 + _NEAR) & (a <= _BOUNDARY * np.minimum(upper, typical))
    free = np.flatnonzero(~is_fixed & ~is_idle)
    sets = Sets(free, np.flatnonzero(is_fixed), len(a))
    return sets.with_some_free(near.margins)


def _entered(newton: Newton, near: Near, sets: Sets) -> State:
    r"""Start with all products at :math:`\sigma` or a little above.

    A coefficient whose sample is beyond the margin by :math:`d` is :math:`\sigma / z` with
    :math:`z - \sigma / z = d`, one that is inside by as much is so far from its bound. Between the
    two the coefficients are what they are.
    """
    upper = newton.upper
    a = np.minimum(near.dual_coef[sets.free] / newton.scale, upper)
    total = float(np.sum(a)) + (newton.fixed.total / newton.scale if newton.fixed else 0.0)
    n_units = len(near.weights)
    sigma = _START * total / (2 * len(a) + n_units)
    beyond = near.margins[sets.free] - 1.0
    root = np.sqrt(beyond**2 + 4.0 * sigma)
    # both from the sum that does not cancel
    small, large = 2.0 * sigma / (root + np.abs(beyond)), 0.5 * (root + np.abs(beyond))
    most = np.minimum(np.sqrt(sigma), upper / 2)
    lowest = np.minimum(np.where(beyond > 0, small, large), most)
    slack = np.minimum(np.where(beyond > 0, large, small), most)
    a = np.clip(a, lowest, upper - slack)
    v = (upper - a)[newton.bounded]
    P = newton.products(a)
    quadratics = newton.quadratics(a, P)
    mu = near.weights
    room = sigma / float(np.sum(mu**2))
    s = (np.max(quadratics) - quadratics) + room  # in this order it cannot round to zero
    t = float(np.max(quadratics)) + room
    return State(a, sigma / a, v, sigma / v, s, np.maximum(mu, sigma / s), t)
