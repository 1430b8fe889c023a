r"""Interior point through the features: for many samples of few gated features.

The method of :mod:`gnorm.margin.interior_point` with the Newton system of
:mod:`gnorm.margin.feature_newton`, which has the size of the gated features and not of the samples.
Building its matrix takes N (K D)^2 operations for K coded gates; a solution with the factored
matrix takes passes over the samples, N K D. So every factor is used several times: Mehrotra's
predictor and corrector are followed by Gondzio's correctors, which bring back the products that a
longer step would throw far off the central path.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gnorm.margin.feature_newton import FeatureNewton, FeatureState, Products
from gnorm.margin.problem import MarginProblem, Point, relative_gap
from gnorm.margin.separability import PROOF, raise_if_not_separable
from gnorm.margin.solution import Status
from gnorm.margin.threads import one_blas

__all__ = ["solve"]

_STEP_SHARE = 0.99  # of the way to the boundary
_CORRECTORS = 3  # most of Gondzio's correctors an iteration
_AMBITION = 0.3  # by which each tries to lengthen the steps
_LONG_STEP = 0.9  # from which none is needed
_GAIN = 0.02  # in the sum of both steps that a corrector must bring
_CENTRAL = 10.0  # factor off the central path that a product may have
_BLENDS = 4  # lengths of a correction that are tried
_PATIENCE = 8  # iterations without a better gap before the solve counts as stalled
_RAY = 1e-6  # separability residual at which a certificate is looked for
_WEAK_PROOF = 1e-10  # ... when the iteration can make no more progress
_THRESHOLDS = (1.0, 1e-3, 1e-5, 1e-7)  # of rounding, tried in turn

Report = Callable[[int, float, float, float], None]


def solve(
    problem: MarginProblem, *, tol: float, max_iter: int, report: Report | None = None
) -> Point:
    r"""Solve a max-margin problem through the features, all samples at once.

    Memory is :math:`O(N (K + D) + (K D)^2)` for K coded gates (C - 1 a unit and one more if each
    unit has one of C contexts on), time linear in N. Interrupted from the keyboard, it returns the
    best pair of points so far.

    Parameters
    ----------
    problem : MarginProblem
        The problem.
    tol : float
        Relative duality gap at which to stop.
    max_iter : int
        Most iterations.
    report : callable, default=None
        Called with (iteration, primal value, dual value, step) after every evaluation.

    Returns
    -------
    Point
        The best dual point and the best recovery of a primal point.

    Raises
    ------
    NotSeparableError
        If hard-margin samples cannot be separated.

    References
    ----------
    .. [1] J. Gondzio, "Multiple centrality corrections in a primal-dual method for linear
       programming", Computational Optimization and Applications 6, 1996.
    .. [2] M. Colombo and J. Gondzio, "Further development of multiple centrality correctors for
       interior point methods", Computational Optimization and Applications 41, 2008.
    """
    with one_blas(len(problem.y)):
        return _solve(problem, tol, max_iter, report)


def _solve(problem: MarginProblem, tol: float, max_iter: int, report: Report | None) -> Point:
    newton = FeatureNewton(problem)
    state = newton.start()
    best = _Best(newton, state)
    step, n_iter, ray, next_ray = 0.0, 0, np.inf, _RAY
    try:
        while True:
            if report is not None:
                report(n_iter, best.primal_value, best.dual_value, step)
            if best.gap <= tol:
                return best.rounded(tol, n_iter)
            ray = newton.ray_residual(state)
            if ray <= next_ray:
                raise_if_not_separable(problem, newton.scale * state.a, PROOF)
                next_ray = ray / 10
            if n_iter >= max_iter:
                status = Status.MAX_ITER
                break
            if n_iter - best.n_iter > _PATIENCE or not newton.factor(state):
                status = Status.STALLED
                break
            state, step = _advance(newton, state)
            n_iter += 1
            best.update(state, n_iter)
    except KeyboardInterrupt:
        return best.point(Status.INTERRUPTED, n_iter)
    if ray <= _RAY:
        raise_if_not_separable(problem, newton.scale * state.a, _WEAK_PROOF)
    return best.point(status, n_iter)


def _mean(products: Products) -> float:
    return sum(float(np.sum(p)) for p in products) / sum(len(p) for p in products)


def _advance(newton: FeatureNewton, state: FeatureState) -> tuple[FeatureState, float]:
    """Take one step with the factored matrix and return the state and the shorter length."""
    products = state.products()
    sigma = _mean(products)
    predictor = newton.direction(_targets(products, 0.0))
    reached = state.moved(predictor, *state.reach(predictor))
    sigma *= (_mean(reached.products()) / sigma) ** 3
    second_order = (
        predictor.a * predictor.z,
        predictor.v * predictor.u,
        predictor.s * predictor.mu,
    )
    targets = tuple(
        target - product
        for target, product in zip(_targets(products, sigma), second_order, strict=True)
    )
    change = newton.direction(targets, predictor)
    change, steps = _blend(state, predictor, change)
    for _ in range(_CORRECTORS):
        if min(steps) >= _LONG_STEP:
            break
        aims = [min(1.0, step + _AMBITION) for step in steps]
        excess = _off_centre(state.moved(change, *aims).products(), sigma)
        targets = tuple(target + e for target, e in zip(targets, excess, strict=True))
        corrected, longer = _blend(state, change, newton.direction(targets, predictor))
        if sum(longer) < sum(steps) + _GAIN:
            break
        change, steps = corrected, longer
    return newton.feasible(state.moved(change, *steps)), min(steps)


def _targets(products: Products, sigma: float) -> Products:
    a, v, s = products
    return sigma - a, sigma - v, sigma - s


def _off_centre(products: Products, sigma: float) -> tuple[np.ndarray, ...]:
    """What brings the products within a factor of sigma, large ones not at any price."""
    low, high = sigma / _CENTRAL, sigma * _CENTRAL
    return tuple(np.maximum(np.clip(p, low, high) - p, -high) for p in products)


def _blend(
    state: FeatureState, change: FeatureState, other: FeatureState
) -> tuple[FeatureState, tuple[float, float]]:
    """Go from one change towards another as far as makes the steps longest."""
    shares = np.arange(1, _BLENDS + 1) / _BLENDS
    reach = np.array([state.reach(change.blended(other, share, share)) for share in shares])
    primal, dual = np.argmax(reach, axis=0)
    steps = np.minimum(1.0, _STEP_SHARE * reach.max(axis=0))
    return (
        change.blended(other, float(shares[primal]), float(shares[dual])),
        (float(steps[0]), float(steps[1])),
    )


class _Best:
    """The best primal and the best dual point so far; they need not come together."""

    def __init__(self, newton: FeatureNewton, state: FeatureState) -> None:
        self.newton = newton
        self.primal_value, self.dual_value = np.inf, -np.inf
        self.primal, self.dual, self.n_iter = state, state.a, 0
        self.update(state, 0)

    @property
    def gap(self) -> float:
        return relative_gap(self.primal_value, self.dual_value)

    def update(self, state: FeatureState, n_iter: int) -> None:
        """Take over what is better, and note when that was."""
        self.state = state
        primal_value = self.newton.primal_value(state)
        if primal_value < self.primal_value:
            self.primal, self.primal_value, self.n_iter = state, primal_value, n_iter
        dual_value = self.newton.dual_value(state.a, state.V)
        if dual_value > self.dual_value:
            self.dual, self.dual_value, self.n_iter = state.a, dual_value, n_iter

    def point(self, status: Status, n_iter: int) -> Point:
        """Return what a method returns."""
        recovery = self.newton.recovery(self.primal), self.primal.mu
        return Point(self.newton.dual_coef(self.dual), recovery, status, n_iter)

    def rounded(self, tol: float, n_iter: int) -> Point:
        """Set to its bound what is closer to it than its multiplier to zero, if the gap allows."""
        newton, state = self.newton, self.state
        point = self.point(Status.OPTIMAL, n_iter)
        bounds = newton.upper[newton.bounded]
        for threshold in _THRESHOLDS:
            a = np.where(state.a / np.max(state.a) < np.minimum(state.z, threshold), 0.0, state.a)
            is_full = state.v / bounds < np.minimum(state.u, threshold)
            a[newton.bounded] = np.where(is_full, bounds, a[newton.bounded])
            dual_value = newton.dual_value(a, newton.sums(a))
            if relative_gap(self.primal_value, dual_value) <= tol:
                point.dual_coef, self.dual_value = newton.dual_coef(a), dual_value
                break
        coef, mu = point.recovery
        is_idle = mu / np.max(mu) < self.primal.s / self.primal.t
        mu = np.where(is_idle, 0.0, mu)
        if relative_gap(newton.recovered_value(coef, mu), self.dual_value) <= tol:
            point.recovery = coef, mu
        return point
