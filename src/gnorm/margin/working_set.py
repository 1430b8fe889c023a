r"""Interior point on the samples that matter, certificate over all.

Only the samples at or near the margin shape the solution, and the interior point costs the cube of
their number. Which they are is guessed by one ordinary SVM with the mean kernel of all units, then
corrected by the central path itself: at a loose gap the margins of all samples are scanned, those
that were missed enter, and the path goes on from where it is. Should a scan at its end find still
more, the path is taken up again at the loose gap, until the gap over all samples is met.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC

from gnorm.margin import interior_point
from gnorm.margin.interior_point import CentralPath, Report
from gnorm.margin.newton import Newton, State
from gnorm.margin.problem import MarginProblem, Point, relative_gap
from gnorm.margin.solution import NotSeparableError, Status
from gnorm.margin.threads import one_blas

__all__ = ["solve"]

_SMALL = 400  # samples that are not worth choosing from
_GUESS_MARGIN = 1.15  # functional margin up to which a sample is taken, at the guess
_MARGIN = 1.02  # ... and once the margins are known
_LOOSE = 1e-2  # relative gap at which they are
_NEW = 0.1  # multiplier, and share of the mean coefficient, of a sample that enters
_UPSET = 2.0  # growth of the largest unit gradient at which new samples undo the path
_MOST = 0.8  # share of the samples from which on all are taken
_GUESS_BOUND = 1e6  # stands for an infinite C in the guess, in units of the mean kernel
_GUESS_STEPS = 20  # most steps a sample of the guess


def solve(
    problem: MarginProblem, *, tol: float, max_iter: int, report: Report | None = None
) -> Point:
    """Solve a max-margin problem on a working set of samples.

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
        are those of the working set.

    Returns
    -------
    Point
        The best dual point and the best recovery of a primal point.

    Raises
    ------
    NotSeparableError
        If hard-margin samples cannot be separated.
    """
    if len(problem.y) <= _SMALL:
        with one_blas(len(problem.y)):
            return interior_point.solve(problem, tol=tol, max_iter=max_iter, report=report)
    rows, guess = _guess(problem)
    with one_blas(len(rows)):
        return _rounds(problem, rows, guess, tol, max_iter, report)


def _rounds(
    problem: MarginProblem,
    rows: np.ndarray,
    guess: np.ndarray | None,
    tol: float,
    max_iter: int,
    report: Report | None,
) -> Point:
    n_samples = len(problem.y)
    # coefficients are measured in the mean one of the guess
    newton = Newton(problem.restricted(rows), None if guess is None else float(np.mean(guess)))
    state = newton.start(guess)
    is_last = len(rows) == n_samples
    n_iter = 0
    loose: tuple[State, np.ndarray, np.ndarray]
    while True:
        path = CentralPath(newton, state, n_iter)
        try:
            status = path.follow(
                tol if is_last else max(tol, _LOOSE), max_iter, report, is_last=is_last
            )
        except NotSeparableError as error:
            raise error.scattered(rows, n_samples) from None
        n_iter = path.n_iter
        point = _on_all(path.best.point(status, n_iter), rows, n_samples)
        if len(rows) == n_samples or status is Status.MAX_ITER:
            return point

        norm, margins = _scan(problem, point)
        primal_value, _ = problem.scale_primal(norm, margins)
        gap = relative_gap(primal_value, path.best.dual.dual_value)
        # in the length that is best for the working set: one missed sample must not hide others
        _, theta = newton.problem.scale_primal(norm, margins[rows])
        is_in = np.zeros(n_samples, dtype=bool)
        is_in[rows] = True
        is_missed = ~is_in & (theta * margins < _MARGIN)
        if is_last and (gap <= tol or not is_missed.any()):
            return point
        if not is_last:
            loose = path.state, rows, margins
        # From the end of the path new samples would have far to go: it is too near the boundary.
        state, old_rows, margins = loose
        rows = np.flatnonzero(is_in | is_missed)
        newton = Newton(problem.restricted(rows), newton.scale)
        state = _transferred(state, old_rows, rows, margins, problem.upper / newton.scale)
        quadratics = 0.5 * (state.a @ newton.products(state.a))
        if status is Status.STALLED or np.max(quadratics) > _UPSET * state.t:
            # Features cancel so much that every choice of samples is a hard problem of its own.
            rows = np.arange(n_samples)
            newton = Newton(problem)
            state = newton.start()
        is_last = True


def _guess(problem: MarginProblem) -> tuple[np.ndarray, np.ndarray | None]:
    """Samples that may matter and a dual point on them, by an SVM with the mean kernel."""
    n_samples = len(problem.y)
    everything = np.arange(n_samples)
    kernel = problem.design.mean_kernel()
    length = np.trace(kernel) / n_samples
    if not length > 0:
        return everything, None
    svm = SVC(
        kernel="precomputed", C=1.0, tol=1e-2, max_iter=_GUESS_STEPS * n_samples, cache_size=500
    )
    with warnings.catch_warnings():  # an unfinished guess is not used
        warnings.simplefilter("ignore", ConvergenceWarning)
        svm.fit(kernel, problem.y, sample_weight=np.minimum(problem.upper, _GUESS_BOUND / length))
    guess = np.zeros(n_samples)
    guess[svm.support_] = np.abs(svm.dual_coef_[0])
    if np.max(svm.n_iter_) >= svm.max_iter:
        return everything, None
    is_near = (problem.y * svm.decision_function(kernel) < _GUESS_MARGIN) | (guess > 0)
    if np.mean(is_near) > _MOST:
        return everything, guess
    rows = np.flatnonzero(is_near)
    return rows, guess[rows]


def _scan(problem: MarginProblem, point: Point) -> tuple[float, np.ndarray]:
    """Norm of the predictor and margins of all samples."""
    design, y = problem.design, problem.y
    coef, weights = point.recovery
    zeta = design.unit_weights(y * coef, weights)
    return float(np.sum(design.unit_norms(zeta))), y * design.decision_values(zeta)


def _transferred(
    state: State, rows: np.ndarray, chosen: np.ndarray, margins: np.ndarray, upper: np.ndarray
) -> State:
    """Carry a state over to more samples, which come in not too near the boundary."""
    sigma = state.complementarity()
    is_bounded = np.isfinite(upper)
    z = np.maximum(margins - 1.0, 0.0) + _NEW
    a = np.minimum(np.maximum(sigma / z, _NEW * np.mean(state.a)), upper / 2)
    a[rows], z[rows] = state.a, state.z
    v = upper - a
    u = sigma / v
    bounded = rows[is_bounded[rows]]
    v[bounded], u[bounded] = state.v, state.u
    kept = chosen[is_bounded[chosen]]
    return State(a[chosen], z[chosen], v[kept], u[kept], state.s, state.mu, state.t)


def _scattered(values: np.ndarray, rows: np.ndarray, n_samples: int) -> np.ndarray:
    full = np.zeros(n_samples)
    full[rows] = values
    return full


def _on_all(point: Point, rows: np.ndarray, n_samples: int) -> Point:
    coef, weights = point.recovery
    return replace(
        point,
        dual_coef=_scattered(point.dual_coef, rows, n_samples),
        recovery=(_scattered(coef, rows, n_samples), weights),
    )
