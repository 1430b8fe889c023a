"""The interior point: one central path, with several ways to its Newton systems."""

from __future__ import annotations

import numpy as np

from gnorm.solvers.certify import Certificate, certify
from gnorm.solvers.interior.features import FeatureSystem
from gnorm.solvers.interior.follow import CentralPath
from gnorm.solvers.interior.multinomial import MultinomialSystem
from gnorm.solvers.interior.samples import SampleSystem
from gnorm.solvers.interior.state import Breakdown
from gnorm.solvers.interior.system import NewtonSystem
from gnorm.solvers.problem import Problem
from gnorm.solvers.run import Run
from gnorm.solvers.solution import Status

__all__ = [
    "MultinomialSystem",
    "sample_system",
    "solve_by_features",
    "solve_by_samples",
    "solve_near_by_features",
    "solve_near_by_samples",
]

_SHARE_NEAR = 0.03  # of the largest squared norm that a similar solution is taken to be off by


def sample_system(problem: Problem) -> NewtonSystem:
    """Return the Newton system through all samples, for one output or for several."""
    return SampleSystem(problem) if problem.n_outputs == 1 else MultinomialSystem(problem)


def solve_by_samples(problem: Problem, run: Run) -> Certificate:
    """Solve with all samples at once, in time cubic and memory quadratic in their number.

    Raises
    ------
    NotSeparableError
        If hard-margin samples cannot be separated.
    """
    return _solve(sample_system(problem), problem, run)


def solve_by_features(problem: Problem, run: Run) -> Certificate:
    """Solve through the coded features, in time and memory linear in the samples.

    Raises
    ------
    NotSeparableError
        If hard-margin samples cannot be separated.
    """
    return _solve(FeatureSystem(problem), problem, run)


def solve_near_by_samples(
    problem: Problem, run: Run, coef: np.ndarray, mu: np.ndarray
) -> Certificate | None:
    """Solve for several outputs from coefficients and shares nearby; None if that led nowhere."""
    system = MultinomialSystem(problem)
    return _solve_near(system, problem, run, coef, mu)


def solve_near_by_features(
    problem: Problem, run: Run, coef: np.ndarray, mu: np.ndarray
) -> Certificate | None:
    """Solve through the features from coefficients and shares nearby; None if that led nowhere.

    Nor where coefficients have bounds: away from these a regression is as near a start, which
    takes no more iterations.
    """
    scale = float(np.mean(np.abs(coef)))
    if problem.loss.has_kink or np.isfinite(problem.loss.domain(problem.y, problem.C)).any():
        return None
    if not scale > 0:
        return None
    system = FeatureSystem(problem, scale)
    return _solve_near(system, problem, run, coef, mu)


def _solve_near(
    system: FeatureSystem | MultinomialSystem,
    problem: Problem,
    run: Run,
    coef: np.ndarray,
    mu: np.ndarray,
) -> Certificate | None:
    try:
        with np.errstate(all="ignore"):
            state = system.entered(coef, mu, _SHARE_NEAR)
            if not state.is_interior():
                return None
            path = CentralPath(system, state, run)
    except Breakdown:  # out of the range of floats
        return None
    run.best_so_far = path.point
    status = path.follow(run.tol)
    return None if status is Status.STALLED else certify(problem, path.point(status), run.tol)


def _solve(system: NewtonSystem, problem: Problem, run: Run) -> Certificate:
    try:
        path = _begun(system, run)
    except Breakdown:  # weights or inputs out of the range of floats: there is no path
        return certify(problem, problem.nothing(run.n_iter))
    run.best_so_far = path.point
    return certify(problem, path.point(path.follow(run.tol)), run.tol)


@np.errstate(over="ignore", invalid="ignore")
def _begun(system: NewtonSystem, run: Run) -> CentralPath:
    start = system.start()
    if not start.is_finite():
        raise Breakdown
    return CentralPath(system, start, run)
