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

from gnorm.relu.master import MasterPoint, solve_master
from gnorm.relu.oracle import Found
from gnorm.solvers.certify import dual_value, primal_value, relative_gap
from gnorm.solvers.problem import Problem
from gnorm.solvers.run import Report

__all__ = ["Best", "Search", "generate", "merged", "reduced"]

_MOST_NEW = 40  # columns a round
_INNER = 0.1  # gap of the master problem, in units of the tolerance
_INNER_SHARE = 0.02  # ... and of the last gap, while that is larger
_LOOSEST = 1e-2  # ... but no looser
_GRACE = 0  # rounds that an idle column stays
_IDLE = 0.05  # slack, relative, from which a column is idle
_PATIENCE = 6  # rounds without a better gap before the solve counts as stalled
_ZERO = 1e-11  # inner product, relative to the sample, that counts as zero in a merge
_SEPARATED = 0.5  # gap from which on a hard margin does without the columns of its start
_HEAVY = 1e-4  # of the largest coefficient: merged neurons of less do not become columns
_APART = 1e-8  # distance of two columns below which they are one
_SHARE = 1e-12  # of the norm: neurons of less are left out


class Search(Protocol):
    """What finds neurons: an oracle, see :class:`gnorm.relu.oracle.Oracle`."""

    is_exact: bool

    def find(self, b: np.ndarray, least: float = 0.0, most: int = 50) -> Found:
        """Local maxima of :math:`|h|` and an upper bound over the sphere."""


@dataclass(eq=False)
class Best:
    """The best points so far, and how the search ended.

    Attributes
    ----------
    neurons, coefs : ndarray
        Primal point.
    norm, primal_value : float
        Its norm and value.
    dual_coef : ndarray of shape (n_samples,)
        Dual point.
    dual_value, dual_norm : float
        Its value, and the bound over all neurons before it was scaled.
    local_gap : float
        Gap over the neurons that were found.
    n_iter : int
        Rounds.
    """

    neurons: np.ndarray
    coefs: np.ndarray
    dual_coef: np.ndarray
    norm: float = 0.0
    primal_value: float = np.inf
    dual_value: float = -np.inf
    dual_norm: float = np.inf
    local_gap: float = np.inf
    n_iter: int = 0
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
    idle: np.ndarray = field(init=False)

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
        self.idle = np.concatenate((self.idle, np.zeros(len(new), dtype=int)))
        return len(new)

    def drop(self, point: MasterPoint) -> None:
        """Leave out what was idle for some rounds."""
        is_idle = point.coefs / np.max(point.coefs) < point.slack
        self.idle = np.where(is_idle, self.idle + 1, 0)
        kept = self.idle <= _GRACE
        self.signed, self.signs = self.signed[kept], self.signs[kept]
        self.A, self.idle = self.A[:, kept], self.idle[kept]


def merged(X: np.ndarray, neurons: np.ndarray, coefs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Merge neurons of the same sign that are active on the same samples.

    In a cell of the arrangement, its boundary included, :math:`c (x \cdot u)_+` is linear in
    :math:`c u`: neurons become the direction of their sum, with its length as coefficient, which
    is at most theirs. The function on the samples is the same.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    neurons : ndarray of shape (n_neurons, n_features)
        Unit vectors.
    coefs : ndarray of shape (n_neurons,)
        Coefficients other than zero.

    Returns
    -------
    neurons, coefs : ndarray
        As few or fewer.
    """
    length = np.linalg.norm(X, axis=1)
    heights = X @ neurons.T
    sides = (heights > _ZERO * length[:, None]).astype(np.int8)
    sides -= heights < -_ZERO * length[:, None]
    vectors = neurons * np.abs(coefs)[:, None]
    out_vectors: list[np.ndarray] = []
    out_sides: list[np.ndarray] = []
    out_signs: list[float] = []
    for j in np.argsort(-np.abs(coefs), kind="stable").tolist():
        sign = float(np.sign(coefs[j]))
        for k, side in enumerate(out_sides):
            if out_signs[k] == sign and not np.any(side * sides[:, j] < 0):
                out_vectors[k] = out_vectors[k] + vectors[j]
                out_sides[k] = np.where(side == 0, sides[:, j], side)
                break
        else:
            out_vectors.append(vectors[j])
            out_sides.append(sides[:, j])
            out_signs.append(sign)
    together = np.array(out_vectors).reshape(-1, X.shape[1])
    sizes = np.linalg.norm(together, axis=1)
    kept = sizes > 0
    return together[kept] / sizes[kept, None], (np.array(out_signs) * sizes)[kept]


def reduced(X: np.ndarray, neurons: np.ndarray, coefs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reduce to at most as many neurons as samples, of the same outputs and no larger norm.

    More columns than samples are linearly dependent: coefficients can move along a dependence that
    does not add to their norm, until one of them is zero.
    """
    n_samples = len(X)
    while len(coefs) > n_samples:
        some = np.argsort(np.abs(coefs))[: n_samples + 1]
        A = np.maximum(X @ neurons[some].T, 0.0)
        along = np.linalg.svd(A)[2][-1]
        if along @ np.sign(coefs[some]) > 0:
            along = -along
        against = along * coefs[some] < 0
        if not against.any():
            break
        steps = np.where(against, -coefs[some] / np.where(against, along, 1.0), np.inf)
        first = int(np.argmin(steps))
        coefs = coefs.copy()
        coefs[some] += steps[first] * along
        kept = np.arange(len(coefs)) != some[first]
        neurons, coefs = neurons[kept], coefs[kept]
    return neurons, coefs


def generate(
    problem: Problem,
    X: np.ndarray,
    start: tuple[np.ndarray, np.ndarray],
    search: Search,
    tol: float,
    *,
    max_iter: int = 200,
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
    max_iter : int, default=200
        Most rounds.
    report : callable, default=None
        Called with every round.

    Returns
    -------
    Best
        The best primal and dual point.
    """
    columns = _Columns(X, *start)
    nothing = np.empty((0, X.shape[1])), np.empty(0)
    best = Best(*nothing, np.zeros(len(X)))
    value, _ = primal_value(problem, 0.0, np.zeros(len(X)))
    best.primal_value = value
    guess, improved_at, least, is_complete = None, 0, np.inf, False
    try:
        for round_ in range(1, max_iter + 1):
            best.n_iter = round_
            # the columns of the last round without a new one are solved to the end
            looseness = min(_LOOSEST, _INNER_SHARE * min(best.gap, best.local_gap))
            inner = max(_INNER * tol, 0.0 if is_complete else looseness)
            point = solve_master(problem, columns.A, inner, guess)
            guess = point.dual_coef
            neurons, coefs = _take(problem, X, columns, point, best)
            largest = float(np.max(guess @ columns.A))
            found = search.find(guess, (1.0 - _IDLE) * largest, _MOST_NEW)
            attained = max(largest, float(np.abs(found.values[0])))
            bound = max(found.bound, attained)
            dual, theta = dual_value(problem, guess, bound)
            if dual > best.dual_value:
                best.dual_value, best.dual_norm = dual, theta * bound
                best.dual_coef = problem.loss.feasible(problem.y, theta * guess, problem.C)
            best.local_gap = relative_gap(
                best.primal_value, dual_value(problem, guess, attained)[0]
            )
            if report is not None:
                report(round_, best.primal_value, best.dual_value, float(len(columns.signs)))
            if best.gap <= tol or (not search.is_exact and best.local_gap <= tol):
                break
            if best.gap < _SEPARATED or not problem.is_hard.any():
                columns.drop(point)
            n_new = columns.add(found.neurons, np.sign(found.values))
            least_kept = _HEAVY if best.gap < _SEPARATED else 0.0
            heavy = np.abs(coefs) > least_kept * np.max(np.abs(coefs), initial=0.0)
            n_new += columns.add(neurons[heavy], np.sign(coefs[heavy]))
            now = best.gap if search.is_exact else best.local_gap
            if now < 0.9 * least:
                least, improved_at = now, round_
            if (n_new == 0 and inner <= _INNER * tol) or round_ - improved_at > _PATIENCE:
                break
            is_complete = n_new == 0
    except KeyboardInterrupt:
        best.is_interrupted = True
        if not np.isfinite(best.primal_value):
            raise
    neurons, coefs = reduced(X, best.neurons, best.coefs)
    best.primal_value = np.inf
    _keep(problem, X, neurons, coefs, best)
    return best


def _take(
    problem: Problem, X: np.ndarray, columns: _Columns, point: MasterPoint, best: Best
) -> tuple[np.ndarray, np.ndarray]:
    """Merge the neurons of a point, keep them if they are the best, and return them."""
    on = point.coefs > _SHARE * np.sum(point.coefs)
    neurons, coefs = merged(X, columns.signed[on], (columns.signs * point.coefs)[on])
    _keep(problem, X, neurons, coefs, best)
    return neurons, coefs


def _keep(
    problem: Problem, X: np.ndarray, neurons: np.ndarray, coefs: np.ndarray, best: Best
) -> None:
    """Keep the best multiple of a network if it is the best so far."""
    norm = float(np.sum(np.abs(coefs)))
    outputs = np.maximum(X @ neurons.T, 0.0) @ coefs
    value, length = primal_value(problem, norm, outputs)
    if value < best.primal_value:
        best.primal_value, best.norm = value, length * norm
        best.neurons, best.coefs = neurons, length * coefs
