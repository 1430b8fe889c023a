r"""Interior point on the samples that matter, certificate over all.

Only the samples at or near the margin shape the solution, and the interior point costs the cube of
their number. Which they are is guessed by ordinary SVMs with the mean kernel of all units
(:mod:`gnorm.margin.guess`), then corrected by the central path itself: at a loose gap the margins
of all samples are scanned, those that were missed enter, idle ones leave, and the path goes on
from where it is. Should a scan at its end find still more, the path is taken up again at the loose
gap, until the gap over all samples is met.

Samples at their upper bounds that are well inside the margin would fill the set where the bounds
are small. They stay outside as one linear term, :class:`gnorm.margin.newton.Fixed`.

The Newton matrix is in single precision, which halves the time and the memory. Only where that does
not reach the gap the end of the path has it in double, or where the set is large, conjugate
gradients to make up for the lost digits.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from gnorm.margin import interior_point
from gnorm.margin.guess import Guess, guess
from gnorm.margin.interior_point import CentralPath, Report
from gnorm.margin.newton import Fixed, Newton, State
from gnorm.margin.problem import MarginProblem, Point, relative_gap
from gnorm.margin.scan import decision_values, sums
from gnorm.margin.solution import NotSeparableError, Status
from gnorm.margin.threads import one_blas

__all__ = ["Memory", "Sets", "next_sets", "scan", "solve", "transferred"]

Known = tuple[np.ndarray, np.ndarray]
"""Some samples and their margins."""

_SMALL = 400  # samples that are not worth choosing from
_NEAR = 0.15  # distance from the margin up to which a sample is taken, at the guess
_LOOSE = 1e-2  # relative gap at which the margins of all samples are scanned
_WIDTH = 0.05  # ... and distance from the margin up to which they are taken from there on
_MANY = 0.05  # share of missed samples in a set that is then solved loosely once more
_LEAST_GROWTH = 1000  # samples that may enter a set at once, however small it is
_ROUNDING = 1e-4  # error of a margin in single precision, at most
_ALL = 4000  # samples up to which all are taken where choosing fails
# Samples of a set up to which a Newton matrix in double precision makes up for the digits that
# single has not. Conjugate gradients, which do as well, take longer than its factorisation.
_DOUBLE = 12_000
_LEAST_SINGLE = 1e-7  # relative gap to which single precision is tried, and checked at the end
_DRIFT = 2e-8  # how much further it goes, since it does not see its own error of the gap
_UPSET = 2.0  # growth of the largest unit gradient at which new samples undo the path
_FEWEST = 100  # samples of a set
_MOST = 0.8  # share of the samples from which on all are taken

# bytes per pair of samples
_GUESS_BYTES = 24.0  # kernel and what it is made of, copies and cache of LIBSVM
_SINGLE_BYTES = 8.0  # Gram matrix and Newton matrix
_DOUBLE_BYTES = 16.0


def solve(
    problem: MarginProblem,
    *,
    tol: float,
    max_iter: int,
    report: Report | None = None,
    memory_limit: float | None = None,
) -> Point:
    """Solve a max-margin problem on a working set of samples.

    Interrupted from the keyboard, it returns the best pair of points so far.

    Parameters
    ----------
    problem : MarginProblem
        The problem.
    tol : float
        Relative duality gap over all samples at which to stop.
    max_iter : int
        Most iterations of the interior point, over all rounds.
    report : callable, default=None
        Called with (iteration, primal value, dual value, step) after every evaluation; the values
        are those of the working set. After a round it is called with those of all samples and
        step 0.
    memory_limit : float, default=None
        Most memory in bytes to take beside the problem itself; None for no limit.

    Returns
    -------
    Point
        The best dual point and the best recovery of a primal point.

    Raises
    ------
    NotSeparableError
        If hard-margin samples cannot be separated.
    MemoryError
        If the samples near the margin do not fit into the memory allowed.
    """
    n_samples = len(problem.y)
    if n_samples <= _SMALL:
        return interior_point.solve(problem, tol=tol, max_iter=max_iter, report=report)
    # What becomes known of the design in single precision ends with the solve: others of the same
    # design are to come out the same whatever was solved before.
    problem = MarginProblem(copy(problem.design), problem.y, problem.upper)
    memory = Memory(problem, memory_limit)
    best = BestOfRounds()
    with one_blas(n_samples):
        guessed = guess(problem, memory.most(_GUESS_BYTES))
        try:
            return _rounds(problem, guessed, memory, best, tol, max_iter, report)
        except KeyboardInterrupt:
            if best.point is None:  # nothing to return yet
                raise
            return replace(best.point, status=Status.INTERRUPTED)


class Memory:
    """How many samples fit into the memory allowed.

    Parameters
    ----------
    problem : MarginProblem
        The problem.
    limit : float or None
        Bytes; None for no limit.
    """

    def __init__(self, problem: MarginProblem, limit: float | None) -> None:
        design = problem.design
        n_gates, n_features = design.n_units * design.n_contexts, design.X.shape[1]
        # blocks of the products with the features, unit weights and what is made of them
        self._base = 1.5e8 + 40.0 * n_gates * n_features + 60.0 * len(problem.y)
        # inputs of the working set in both precisions, gates, codes and products
        self._per_sample = 20.0 * n_features + 40.0 * n_gates + 100.0
        self.limit = np.inf if limit is None else float(limit)
        if self.limit < self._base:
            raise MemoryError(
                f"expected a memory_limit of at least {self._base:.1e} bytes for "
                f"{len(problem.y)} samples, {n_features} features and {n_gates} gates, "
                f"got {self.limit:.1e}"
            )

    def most(self, per_pair: float) -> float:
        """Samples of the largest set that fits at so many bytes per pair of them."""
        if np.isinf(self.limit):
            return np.inf
        half = self._per_sample / (2 * per_pair)
        return float(np.floor(np.sqrt(half**2 + (self.limit - self._base) / per_pair) - half))

    def fits_double(self, n_samples: int) -> bool:
        """Whether the Newton matrix of a set can be in double precision."""
        return n_samples <= self.most(_DOUBLE_BYTES)

    def check(self, n_samples: int) -> None:
        """Raise if a set cannot be solved, not even in single precision."""
        if n_samples > self.most(_SINGLE_BYTES):
            need = self._base + self._per_sample * n_samples + _SINGLE_BYTES * n_samples**2
            raise MemoryError(
                f"expected a memory_limit of at least {need:.1e} bytes for the {n_samples} samples "
                f"near the margin, got {self.limit:.1e}"
            )


@dataclass(frozen=True)
class Sets:
    """Where the samples are: free in the working set, fixed at the upper bound, or idle at 0.

    Attributes
    ----------
    free, fixed : ndarray of int
        Sorted indices of samples.
    n_samples : int
        Number of all samples.
    """

    free: np.ndarray
    fixed: np.ndarray
    n_samples: int

    @classmethod
    def of_free(cls, free: np.ndarray, n_samples: int) -> Sets:
        """Return the sets with these samples free and all others idle."""
        return cls(free, np.empty(0, dtype=np.intp), n_samples)

    def with_some_free(self, margins: np.ndarray) -> Sets:
        """Return the sets with at least the few samples nearest to the margin free."""
        if len(self.free) >= _FEWEST:
            return self
        nearest = np.argsort(np.abs(margins - 1.0), kind="stable")[:_FEWEST]
        free = np.union1d(self.free, nearest)
        return Sets(free, np.setdiff1d(self.fixed, nearest), self.n_samples)

    def is_everything(self) -> bool:
        """Whether all samples are free."""
        return len(self.free) == self.n_samples

    def masks(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return which samples are free, fixed and idle."""
        is_free, is_fixed = np.zeros((2, self.n_samples), dtype=bool)
        is_free[self.free] = is_fixed[self.fixed] = True
        return is_free, is_fixed, ~is_free & ~is_fixed

    def newton(self, problem: MarginProblem, scale: float | None, *, is_single: bool) -> Newton:
        """Newton system of the free samples, with the fixed ones as a linear term."""
        part = problem.restricted(self.free)
        if len(self.fixed) == 0:
            return Newton(part, scale, is_single=is_single)
        both = np.sort(np.concatenate([self.free, self.fixed]))
        coef = np.zeros(self.n_samples)
        coef[self.fixed] = problem.upper[self.fixed]
        products = problem.restricted(both).products(coef[both], accurate=True)
        pull = products[np.searchsorted(both, self.free)]
        fixed = Fixed(pull, coef[both] @ products, float(np.sum(coef)))
        return Newton(part, scale, fixed, is_single=is_single)

    def is_overdone(self, margins: np.ndarray, upper: np.ndarray) -> bool:
        """Whether the fixed samples are beyond the margin in the mean, and so hold up the path.

        Its values count them as one sample, whose loss is zero there and not negative: some of them
        should be free.
        """
        bounds = upper[self.fixed]
        return bool(bounds @ margins[self.fixed] > np.sum(bounds))

    def on_all(self, point: Point, problem: MarginProblem) -> Point:
        """Carry a point of the free samples over to all."""

        def scattered(free: np.ndarray) -> np.ndarray:
            coef = np.zeros(self.n_samples)
            coef[self.free] = free
            coef[self.fixed] = problem.upper[self.fixed]
            return coef

        coef, weights = point.recovery
        return replace(
            point, dual_coef=scattered(point.dual_coef), recovery=(scattered(coef), weights)
        )


class BestOfRounds:
    """The best primal and the best dual point of the rounds so far, by their values over all.

    Attributes
    ----------
    point : Point or None
        Both, None before the first round.
    """

    def __init__(self) -> None:
        self.point: Point | None = None
        self._primal_value, self._dual_value = np.inf, -np.inf

    def update(self, point: Point, primal_value: float, dual_value: float) -> Point:
        """Take over what is better and return the best pair."""
        best = point if self.point is None else replace(self.point, n_iter=point.n_iter)
        if primal_value <= self._primal_value:
            self._primal_value = primal_value
            best = replace(best, recovery=point.recovery)
        if dual_value >= self._dual_value:
            self._dual_value = dual_value
            best = replace(best, dual_coef=point.dual_coef)
        self.point = replace(best, status=point.status)
        return self.point


def _rounds(
    problem: MarginProblem,
    guessed: Guess | None,
    memory: Memory,
    best: BestOfRounds,
    tol: float,
    max_iter: int,
    report: Report | None,
) -> Point:
    n_samples = len(problem.y)
    sets, start, scale = _first_sets(problem, guessed, memory)
    is_last = guessed is None and sets.is_everything()
    state: State | None = None
    loose: tuple[State, Sets] | None = None  # where the path can be taken up again
    is_rough = guessed is not None
    most_double = _DOUBLE
    n_iter = 0
    while True:
        memory.check(len(sets.free))
        is_double = len(sets.free) <= most_double and memory.fits_double(len(sets.free))
        is_rough &= not is_last or tol >= _LEAST_SINGLE
        is_single = is_rough or not is_double
        newton = sets.newton(problem, scale, is_single=is_single)
        newton.is_refined = is_single and is_last and not is_rough
        scale = newton.scale
        is_overdone = False
        if state is not None and newton.has_outgrown(state, _UPSET):
            # Features cancel so much that every choice of samples is a hard problem of its own.
            status = Status.STALLED
        else:
            path = CentralPath(newton, newton.start(start) if state is None else state, n_iter)
            try:
                target = max(tol, _LOOSE) if not is_last else tol - _DRIFT if is_rough else tol
                status = path.follow(target, max_iter, report, is_last=is_last)
            except NotSeparableError as error:
                raise error.scattered(sets.free, n_samples) from None
            n_iter = path.n_iter
            point = sets.on_all(path.best.point(status, n_iter), problem)
            is_exact = is_last and not is_rough
            if is_exact and sets.is_everything() and status is not Status.STALLED:
                return point
            norm, margins = scan(problem, point, (sets.free, path.best.primal.margins))
            primal_value, _ = problem.scale_primal(norm, margins)
            dual_value = path.best.dual.dual_value
            if report is not None:
                report(n_iter, primal_value, dual_value, 0.0)
            best_point = best.update(point, primal_value, dual_value)
            if status in (Status.MAX_ITER, Status.INTERRUPTED):
                return best_point
            is_overdone = status is Status.STALLED and sets.is_overdone(margins, problem.upper)

        if status is Status.STALLED and is_last and is_rough:
            is_rough = False  # this round once more, with all digits
            continue
        can_be_all = n_samples <= _ALL and memory.fits_double(n_samples)
        if status is Status.STALLED and (can_be_all or not is_overdone):
            # Once more from the start, in double precision: on all samples if that can be.
            if is_last and not is_single and (sets.is_everything() or not can_be_all):
                return best_point
            if can_be_all:
                sets = Sets.of_free(np.arange(n_samples), n_samples)
            elif is_last and not memory.fits_double(len(sets.free)):
                return best_point
            most_double = n_samples
            state = start = scale = loose = None
            is_last, is_rough = True, False
            continue
        if is_last:
            length = path.best.primal.length
            is_solved = not _is_any_misplaced(sets, length * margins, _ROUNDING)
            if not is_solved:
                norm, margins = _scan_exactly(problem, point)
                primal_value, _ = problem.scale_primal(norm, margins)
                is_solved = relative_gap(primal_value, dual_value) <= tol
            if is_solved and is_rough and _exact_gap(problem, point) > tol:
                is_rough = False  # single precision did not see what is left of the gap
                continue
            if is_solved:
                return point
            # in the length that is best for the set: one missed sample must not hide others
            margins *= length
        else:
            loose = None if is_overdone else (path.state, sets)
        sets, n_missed = next_sets(problem, sets, margins, None if is_last else path.state)
        # From the end of the path new samples would have far to go: it is too near the boundary.
        upper = problem.upper / scale
        state = None if loose is None else transferred(*loose, sets, margins, upper)
        start = None
        is_last = is_last or n_missed <= _MANY * len(sets.free)


def _first_sets(
    problem: MarginProblem, guessed: Guess | None, memory: Memory
) -> tuple[Sets, np.ndarray | None, float | None]:
    """Sets, a dual point on the free samples, and the scale to measure it in."""
    n_samples = len(problem.y)
    can_be_all = n_samples <= _ALL and memory.fits_double(n_samples)
    if guessed is None:
        some = np.random.default_rng(0).permutation(n_samples)[: _ALL // 2]
        free = np.arange(n_samples) if can_be_all else np.sort(some)
        return Sets.of_free(free, n_samples), None, None
    coef, margins = guessed.coef, guessed.margins
    is_deep = ~problem.is_hard & (margins < 1.0 - _NEAR)
    is_near = (margins < 1.0 + _NEAR) | (coef > 0)
    sets = Sets(np.flatnonzero(is_near & ~is_deep), np.flatnonzero(is_deep), n_samples)
    sets = sets.with_some_free(margins)
    if can_be_all and len(sets.free) > _MOST * n_samples:
        sets = Sets.of_free(np.arange(n_samples), n_samples)
    typical = float(np.mean(coef[sets.free]))
    return (sets, coef[sets.free], typical) if typical > 0 else (sets, None, None)


def scan(
    problem: MarginProblem, point: Point, known: Known | None = None
) -> tuple[float, np.ndarray]:
    """Norm of the predictor and margins of all samples, roughly where they are not known."""
    design, y = problem.design, problem.y
    coef, weights = point.recovery
    zeta = design.weights_of(sums(design, y * coef), weights)
    is_known = np.zeros(len(y), dtype=bool)
    margins = np.empty(len(y))
    if known is not None:
        rows, margins[rows] = known
        is_known[rows] = True
    others = np.flatnonzero(~is_known)
    margins[others] = y[others] * decision_values(design, zeta, others)
    return float(np.sum(design.unit_norms(zeta))), margins


def _scan_exactly(problem: MarginProblem, point: Point) -> tuple[float, np.ndarray]:
    """Norm of the predictor and margins of all samples, in double precision."""
    design, y = problem.design, problem.y
    coef, weights = point.recovery
    zeta = design.unit_weights(y * coef, weights)
    return float(np.sum(design.unit_norms(zeta))), y * design.decision_values(zeta)


def _exact_gap(problem: MarginProblem, point: Point) -> float:
    """Relative duality gap of a point over all samples, in double precision."""
    primal_value, _ = problem.scale_primal(*_scan_exactly(problem, point))
    largest = float(np.max(problem.design.dual_norms(problem.y * point.dual_coef)))
    return relative_gap(primal_value, problem.scale_dual(point.dual_coef, largest)[0])


def _is_any_misplaced(sets: Sets, margins: np.ndarray, slack: float) -> bool:
    """Whether an idle sample is inside the margin or a fixed one beyond it, up to a slack."""
    _, is_fixed, is_idle = sets.masks()
    is_misplaced = (is_idle & (margins < 1.0 + slack)) | (is_fixed & (margins > 1.0 - slack))
    return bool(np.any(is_misplaced))


def next_sets(
    problem: MarginProblem, sets: Sets, margins: np.ndarray, state: State | None
) -> tuple[Sets, int]:
    """Sets for the margins at hand, and how many samples were in the wrong one.

    Free samples leave by the state they are in; without one they stay.
    """
    is_free, is_fixed, is_idle = sets.masks()
    distance = np.where(is_idle, margins - 1.0, np.where(is_fixed, 1.0 - margins, np.inf))
    most = max(len(sets.free), _LEAST_GROWTH)
    entering = np.flatnonzero(distance < _WIDTH)
    if len(entering) > most:  # the worst first
        entering = entering[np.argsort(distance[entering], kind="stable")[:most]]
    if state is not None:
        beyond = sets.free[(state.a < state.z) & (margins[sets.free] > 1.0 + _WIDTH)]
        bounded = sets.free[~problem.is_hard[sets.free]]
        inside = bounded[(state.v < state.u) & (margins[bounded] < 1.0 - _WIDTH)]
        is_free[beyond] = is_free[inside] = False
        is_fixed[inside] = True
    is_free[entering], is_fixed[entering] = True, False
    after = Sets(np.flatnonzero(is_free), np.flatnonzero(is_fixed), sets.n_samples)
    return after.with_some_free(margins), int(np.count_nonzero(distance < 0))


def transferred(
    state: State, old: Sets, new: Sets, margins: np.ndarray, upper: np.ndarray
) -> State:
    r"""Carry a state over to other sets.

    A sample that was idle comes in with :math:`a z = \sigma` and :math:`z - a` its margin beyond
    1; one that was fixed, so with :math:`v` and :math:`u`.
    """
    sigma = state.complementarity()
    is_bounded = np.isfinite(upper)

    def entering(shortfall: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        root = np.sqrt(shortfall**2 + 4 * sigma) + np.abs(shortfall)
        # the root of the two that does not cancel
        return np.minimum(np.where(shortfall > 0, 0.5 * root, 2 * sigma / root), bounds / 2)

    a = entering(1.0 - margins, upper)
    v = upper - a
    v[old.fixed] = entering(margins[old.fixed] - 1.0, upper[old.fixed])
    a[old.fixed] = upper[old.fixed] - v[old.fixed]
    z, u = sigma / a, sigma / v
    a[old.free], z[old.free] = state.a, state.z
    bounded = old.free[is_bounded[old.free]]
    v[bounded], u[bounded] = state.v, state.u
    kept = new.free[is_bounded[new.free]]
    return State(a[new.free], z[new.free], v[kept], u[kept], state.s, state.mu, state.t)
