r"""Column generation: the master problem over some neurons, and a search over all.

A round solves the problem over the neurons at hand, merges those of the same activations, and asks
the oracle for the neurons at which :math:`|h(u)| = |\sum_n b_n (x_n \cdot u)_+|` has its local
maxima. The largest of all scales b into a feasible point of the dual problem over all neurons, and
the others join the columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from gnorm.relu.master import MasterPoint, balanced, fitted_by_free, solve_master
from gnorm.relu.oracle import Found
from gnorm.relu.reduction import reduced
from gnorm.solvers.certify import dual_value, primal_value, relative_gap
from gnorm.solvers.problem import Problem
from gnorm.solvers.run import Report

__all__ = ["Best", "Drawn", "Search", "generate"]

_MOST_NEW = 300  # columns a round
_INNER = 0.1  # gap of the master problem, in units of the tolerance
_INNER_SHARE = 0.3  # ... and of the last gap, while that is larger
_GAINED = 1e-3  # of the gap that a round must gain for columns to be dropped
_TIGHTENED = 0.3  # ... times this for each round that brought nothing
_LOOSEST = 1e-2  # ... but no looser
_IDLE = 0.05  # slack, relative, from which a column is idle
_MIX = 0.5  # of the best dual point in the second search of a round: it damps the oscillation
_SHARPNESS = 0.02  # least precision, relative to the tolerance, that is asked of a bound
_PATIENCE = 12  # rounds without a better gap before the solve counts as stalled
_SEPARATED = 0.5  # gap from which on a hard margin does without the columns of its start
_HEAVY = 1e-4  # of the largest coefficient: merged neurons of less do not become columns
_APART = 1e-8  # distance of two columns below which they are one
_SHARE = 1e-12  # of the norm: neurons of less are left out
_LIGHT = (1e-6, 1e-8, 1e-10)  # ... at the end the first of these with which the others alone do


class Search(Protocol):
    """What finds neurons, all of them or some: a walk, ascents, given patterns, free biases."""

    is_exact: bool

    def find(self, b: np.ndarray, least: float = 0.0, most: int = 50) -> Found:
        """Local maxima of :math:`|h|` and an upper bound over the sphere."""

    def sharpened(self, b: np.ndarray, found: Found, precision: float) -> Found:
        """The same with a bound so much above the first value, relative, if it can be had."""

    def merged(self, neurons: np.ndarray, coefs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As few or fewer neurons of the same outputs and no larger norm, among those it finds."""


class Drawn(Search, Protocol):
    """A search that takes any directions for a start."""

    def unit(self, U: np.ndarray) -> np.ndarray:
        """Neurons of the directions of the rows."""


@dataclass(eq=False)
class Best:
    """The best points so far, and how the search ended.

    Attributes
    ----------
    neurons, coefs, free : ndarray
        Primal point: the neurons and the coefficients of the free functions.
    norm, primal_value : float
        Its norm and value.
    dual_coef : ndarray of shape (n_samples,)
        Dual point.
    dual_value, dual_norm : float
        Its value, and the bound over all neurons before it was scaled.
    local_gap : float
        Gap over the neurons that were found.
    n_iter, n_columns : int
        Rounds, and columns at the end of them.
    """

    neurons: np.ndarray
    coefs: np.ndarray
    free: np.ndarray
    dual_coef: np.ndarray
    norm: float = 0.0
    primal_value: float = np.inf
    dual_value: float = -np.inf
    dual_norm: float = np.inf
    local_gap: float = np.inf
    n_iter: int = 0
    n_columns: int = 0
    is_interrupted: bool = False

    @property
    def gap(self) -> float:
        """Relative gap over all neurons."""
        return relative_gap(self.primal_value, self.dual_value)


@dataclass(eq=False)
class _Columns:
    """Signed neurons and their outputs."""

    X: np.ndarray
    signed: np.ndarray  # the sign is that of the coefficient: kept beside the neuron
    signs: np.ndarray
    A: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.A = np.maximum(self.X @ self.signed.T, 0.0) * self.signs
        self.idle = np.zeros(len(self.signs), dtype=int)

    def add(self, neurons: np.ndarray, signs: np.ndarray) -> int:
        """Add the neurons that are not there; return how many that were."""
        new = []
        for i in range(len(signs)):
            mine = self.signs == signs[i]
            apart = np.sum((self.signed[mine] - neurons[i]) ** 2, axis=1)
            if not np.any(apart < _APART**2):
                new.append(i)
        if not new:
            return 0
        self.A = np.hstack((self.A, np.maximum(self.X @ neurons[new].T, 0.0) * signs[new]))
        self.signed = np.vstack((self.signed, neurons[new]))
        self.signs = np.concatenate((self.signs, signs[new]))
        return len(new)

    def drop(self, point: MasterPoint) -> None:
        """Leave out what is idle."""
        kept = point.coefs / np.max(point.coefs) >= point.slack
        self.signed, self.signs, self.A = self.signed[kept], self.signs[kept], self.A[:, kept]


def generate(
    problem: Problem,
    X: np.ndarray,
    start: tuple[np.ndarray, np.ndarray],
    search: Search,
    tol: float,
    *,
    free: np.ndarray,
    max_iter: int = 200,
    max_neurons: int | None = None,
    report: Report | None = None,
) -> Best:
    """Minimise over all neurons.

    Parameters
    ----------
    problem : Problem
        Loss, targets and weights.
    X : ndarray of shape (n_samples, n_features)
        Samples.
    start : tuple of ndarray
        Neurons and signs to start from. For a hard margin they must separate.
    search : Search
        What finds neurons.
    tol : float
        Relative gap at which to stop.
    free : ndarray of shape (n_samples, n_free)
        Outputs of the functions that cost nothing.
    max_iter : int, default=200
        Most rounds.
    max_neurons : int, default=None
        Most columns that a round may have, None for any number.
    report : callable, default=None
        Called with every round.

    Returns
    -------
    Best
        The best primal and dual point.
    """
    run = _Generation(problem, X, search, _Columns(X, *start), tol, free)
    run.most = np.inf if max_neurons is None else max_neurons
    best = run.best
    if best.gap <= tol:  # without neurons
        return best
    try:
        while best.n_iter < max_iter:
            best.n_iter += 1
            point = run.solve()
            found = run.look()
            if report is not None:
                report(best.n_iter, best.primal_value, best.dual_value, float(len(point.coefs)))
            if run.is_done or not run.exchange(point, found):
                break
        run.lighten()
    except KeyboardInterrupt:
        best.is_interrupted = True
        if not np.isfinite(best.primal_value):
            raise
    network = reduced(X, best.neurons, best.coefs)
    best.primal_value = np.inf
    run.keep(*network, best.free)
    return best


class _Generation:
    """The rounds of a column generation, and the best points that they left."""

    def __init__(
        self,
        problem: Problem,
        X: np.ndarray,
        search: Search,
        columns: _Columns,
        tol: float,
        free: np.ndarray,
    ) -> None:
        self.problem, self.X, self.search, self.columns = problem, X, search, columns
        self.tol, self.free = tol, free
        self.best = Best(
            np.empty((0, X.shape[1])), np.empty(0), np.zeros(free.shape[1]), np.zeros(len(X))
        )
        nothing, b = np.zeros(len(X)), self.best.dual_coef
        self.best.primal_value, _ = primal_value(problem, 0.0, nothing)
        self.best.dual_value = 0.0 - float(np.sum(problem.loss.conjugate(problem.y, b, problem.C)))
        self.best.dual_norm = 0.0
        fitted = fitted_by_free(problem, free)
        if fitted is not None:
            self.best.free, self.best.primal_value = fitted, 0.0
        self.guess: np.ndarray | None = None
        self.value = self.best.primal_value  # of the round before
        self.most = np.inf
        self.least, self.improved_at = np.inf, 0
        self.is_complete = False  # the last round brought no new column

    @property
    def gap(self) -> float:
        """The gap that the search can close: a local one has no part in the bound."""
        return self.best.gap if self.search.is_exact else self.best.local_gap

    @property
    def is_done(self) -> bool:
        return self.best.gap <= self.tol or self.gap <= self.tol

    def solve(self) -> MasterPoint:
        """Solve over the columns at hand and keep the network, its neurons merged."""
        # the columns of the last round without a new one are solved to the end
        looseness = min(_LOOSEST, _INNER_SHARE * min(self.best.gap, self.best.local_gap))
        looseness *= _TIGHTENED ** max(0, self.best.n_iter - self.improved_at - 2)
        self.inner = max(_INNER * self.tol, 0.0 if self.is_complete else looseness)
        point = solve_master(self.problem, self.columns.A, self.inner, self.guess, self.free)
        self.guess = point.dual_coef
        on = point.coefs > _SHARE * np.sum(point.coefs)
        signed = self.columns.signs * point.coefs
        self.network = self.search.merged(self.columns.signed[on], signed[on])
        self.keep(*self.network, point.free)
        return point

    def keep(self, neurons: np.ndarray, coefs: np.ndarray, free: np.ndarray) -> None:
        """Keep the best multiple of a network if it is the best so far."""
        value, length = self._evaluated(neurons, coefs, free)
        if value < self.best.primal_value:
            self._put(value, neurons, length * coefs, length * free)

    def _put(self, value: float, neurons: np.ndarray, coefs: np.ndarray, free: np.ndarray) -> None:
        """Take a network of a value for the best."""
        best = self.best
        best.primal_value, best.norm = value, float(np.sum(np.abs(coefs)))
        best.neurons, best.coefs, best.free = neurons, coefs, free

    def _evaluated(
        self, neurons: np.ndarray, coefs: np.ndarray, free: np.ndarray
    ) -> tuple[float, float]:
        """Value of the best multiple of a network, and the factor."""
        outputs = np.maximum(self.X @ neurons.T, 0.0) @ coefs + self.free @ free
        return primal_value(self.problem, float(np.sum(np.abs(coefs))), outputs)

    def lighten(self) -> None:
        """Leave out light neurons where the solution over the others is within the tolerance."""
        # the solution over the others may have light ones among them
        while self.best.gap <= self.tol and any(self._left_out(light) for light in _LIGHT):
            pass

    def _left_out(self, light: float) -> bool:
        """Leave out neurons of less than a share of the norm; return whether that was possible."""
        best = self.best
        heavy = np.abs(best.coefs) > light * best.norm
        if heavy.all():
            return False
        neurons, signs = best.neurons[heavy], np.sign(best.coefs[heavy])
        A = np.maximum(self.X @ neurons.T, 0.0) * signs
        point = solve_master(self.problem, A, _INNER * self.tol, best.dual_coef, self.free)
        on = point.coefs > _SHARE * np.sum(point.coefs)
        neurons, coefs, free = neurons[on], (signs * point.coefs)[on], point.free
        value, length = self._evaluated(neurons, coefs, free)
        if relative_gap(value, best.dual_value) > self.tol:
            return False
        self._put(value, neurons, length * coefs, length * free)
        return True

    def look(self) -> list[Found]:
        """Search at the dual point, and between it and the best: either may give the bound."""
        assert self.guess is not None  # there was a solve
        points = [self.guess]
        if self.problem.is_hard.any() and self.best.dual_coef.any():
            points.append(_MIX * self.best.dual_coef + (1 - _MIX) * self.guess)
        return [self._look(b) for b in points]

    def _look(self, b: np.ndarray) -> Found:
        """Search at a dual point and keep its bound if it is the best."""
        best, value = self.best, self.best.primal_value
        largest = float(np.max(b @ self.columns.A))
        found = self.search.find(b, (1.0 - _IDLE) * largest, _MOST_NEW)
        if b is self.guess:
            best.local_gap = self._local_gap(b, found, largest)
            if best.local_gap <= self.tol:  # nothing to add: now a sharp bound is worth its time
                self._keep_bound(b, found, largest)
                allowed = (self.tol - best.local_gap) * value
                precision = max(_SHARPNESS * self.tol, 0.5 * allowed / max(largest**2, allowed))
                if best.gap > self.tol:
                    found = self.search.sharpened(b, found, precision)
                    best.local_gap = self._local_gap(b, found, largest)
        self._keep_bound(b, found, largest)
        return found

    def _local_gap(self, b: np.ndarray, found: Found, largest: float) -> float:
        attained = max(largest, found.largest)
        return relative_gap(self.best.primal_value, dual_value(self.problem, b, attained)[0])

    def _keep_bound(self, b: np.ndarray, found: Found, largest: float) -> None:
        problem, best = self.problem, self.best
        bound = max(found.bound, largest, found.largest)
        dual, theta = dual_value(problem, b, bound)
        if dual > best.dual_value and balanced(problem, self.free, b) is not None:
            best.dual_value, best.dual_norm = dual, theta * bound
            best.dual_coef = problem.loss.feasible(problem.y, theta * b, problem.C)

    def exchange(self, point: MasterPoint, found: list[Found]) -> bool:
        """Drop idle columns and add new ones; return whether another round is worth it."""
        columns, (neurons, coefs) = self.columns, self.network
        # columns that are left out come back if nothing was gained: the rounds would go in circles
        if self.value - self.best.primal_value >= _GAINED * self.gap * self.value:
            columns.drop(point)
        self.value = self.best.primal_value
        n_new = sum(columns.add(each.neurons, np.sign(each.values)) for each in found)
        # until the gap is small all of the network stays: alone it may be what separates
        least_kept = _HEAVY if self.best.gap < _SEPARATED else 0.0
        heavy = np.abs(coefs) > least_kept * np.max(np.abs(coefs), initial=0.0)
        n_new += columns.add(neurons[heavy], np.sign(coefs[heavy]))
        if self.gap < 0.9 * self.least:
            self.least, self.improved_at = self.gap, self.best.n_iter
        if n_new == 0 and self.inner <= _INNER * self.tol:
            return False
        self.is_complete = n_new == 0
        self.best.n_columns = len(columns.signs)
        if self.best.n_columns > self.most:
            return False
        return self.best.n_iter - self.improved_at <= _PATIENCE
