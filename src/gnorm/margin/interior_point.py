r"""Primal-dual interior point on the dual: exact, for up to some thousands of samples.

Variables :math:`a` and :math:`t`; multipliers :math:`\mu_h` of :math:`\tfrac12 a^\top Q_h a \le t`,
:math:`z` of :math:`a \ge 0`, :math:`u` of :math:`a \le C`; slacks :math:`s_h = t - \tfrac12 a^\top
Q_h a`, :math:`v = C - a`. The conditions of optimality, relaxed by :math:`\sigma > 0`,

.. math::

    \textstyle\sum_h \mu_h Q_h a - z + u = 1, \quad \sum_h \mu_h = 1, \quad
    \tfrac12 a^\top Q_h a + s_h = t, \quad a z = \mu s = u v = \sigma,

are followed to :math:`\sigma = 0` by Newton steps with Mehrotra's predictor and corrector. All but
:math:`\Delta a` is eliminated, :math:`\Delta t` too, which leaves one symmetric positive definite
system with the matrix

.. math::

    \textstyle\sum_h \mu_h Q_h + \operatorname{diag}(z/a + u/v)
        + \sum_h w_h (p_h - \bar p)(p_h - \bar p)^\top, \qquad
    p_h = Q_h a, \quad w_h = \mu_h / s_h, \quad \bar p = \sum_h w_h p_h / \sum_h w_h .

Centring the :math:`p_h` is what eliminating :math:`\Delta t` amounts to: no border and no
cancellation.
The margins :math:`y f = \sum_h \mu_h p_h` fall out, so every iteration carries its certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dpotrs

from gnorm.margin.problem import MarginProblem, Point, relative_gap
from gnorm.margin.separability import raise_if_not_separable
from gnorm.margin.solution import Status

__all__ = ["solve"]

_STEP_SHARE = 0.99  # of the way to the boundary
_ROUNDING_ITERATIONS = 3  # to spend beyond the tolerance for the sake of exact zeros
_PATIENCE = 25  # iterations without a better gap before the solve counts as stalled
_CANCELLATION = 1e-7  # of the squared features: below it the Gram matrix has too few digits
_REFINEMENTS = 5  # conjugate-gradient steps on a Newton system once features cancel
_RAY = 1e-6  # separability residual at which a certificate is looked for
_PROOF = 1e-11  # residual that is accepted as one
_WEAK_PROOF = 1e-8  # ... when the iteration can make no more progress
_LEAST_JITTER, _MOST_JITTER = 1e-14, 1e-6  # relative, on the diagonal of the Newton matrix

Report = Callable[[int, float, float, float], None]


def solve(
    problem: MarginProblem, *, tol: float, max_iter: int, report: Report | None = None
) -> Point:
    r"""Solve a max-margin problem by the interior-point method.

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
    .. [1] S. Mehrotra, "On the implementation of a primal-dual interior point method", SIAM
       Journal on Optimization 2(4), 1992.
    """
    newton = _Newton(problem)
    state = newton.start()
    P = newton.products(state.a)
    best = _Best(newton.certify(state.a, state.mu, P))
    next_ray = _RAY
    step, n_spent = 0.0, 0
    for n_iter in range(max_iter + 1):
        if report is not None:
            report(n_iter, best.primal.primal_value, best.dual.dual_value, step)
        if best.gap <= tol:
            # Interior points have no exact zeros. Rounding to the face they point at shows the
            # support; where that costs too much of the gap, the iteration goes on a little.
            for threshold in (1.0, 1e-3, 0.1 * tol):
                rounded = _Best(newton.certify(*newton.rounded(state, threshold)))
                if rounded.gap <= tol:
                    return rounded.point(Status.OPTIMAL, n_iter)
            n_spent += 1
            if n_spent > _ROUNDING_ITERATIONS:
                break
        ray = newton.ray_residual(state.a, P)
        if ray <= next_ray:
            raise_if_not_separable(problem, newton.scale * state.a, _PROOF)
            next_ray = ray / 10
        if n_iter == max_iter or n_iter - best.n_iter > _PATIENCE:
            break
        if not newton.factor(state, P):
            break
        sigma = state.complementarity()
        predictor = newton.direction(0.0)
        reach = state.reach(predictor)
        centring = (state.moved(predictor, reach).complementarity() / sigma) ** 3
        corrector = newton.direction(centring * sigma, predictor)
        step = _STEP_SHARE * state.reach(corrector)
        state = state.moved(corrector, step)
        P = newton.products(state.a)
        best.update(newton.certify(state.a, state.mu, P), n_iter + 1)
    if ray <= _RAY and best.gap > tol:
        raise_if_not_separable(problem, newton.scale * state.a, _WEAK_PROOF)
    if best.gap <= tol:
        return best.point(Status.OPTIMAL, n_iter)
    return best.point(Status.MAX_ITER if n_iter == max_iter else Status.STALLED, n_iter)


@dataclass
class _State:
    """A point of the iteration, or a change of it; ``a``, ``v`` are in units of a scale.

    ``u`` and ``v`` belong to the bounded samples only.
    """

    a: np.ndarray
    z: np.ndarray
    v: np.ndarray
    u: np.ndarray
    s: np.ndarray
    mu: np.ndarray
    t: float

    def pairs(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """The complementary pairs: products of entries are driven to zero together."""
        return (self.a, self.z), (self.v, self.u), (self.s, self.mu)

    def complementarity(self) -> float:
        """Mean product over all pairs, the sigma of the central path."""
        total = sum(float(x @ y) for x, y in self.pairs())
        return total / sum(len(x) for x, _ in self.pairs())

    def reach(self, change: _State) -> float:
        """Longest step of at most 1 that keeps every variable non-negative."""
        longest = np.inf
        for values, changes in zip(self.pairs(), change.pairs(), strict=True):
            for value, delta in zip(values, changes, strict=True):
                with np.errstate(over="ignore"):
                    slowest = float(np.min(delta / value, initial=0.0))
                if slowest < 0:
                    longest = min(longest, -1.0 / slowest)
        return min(1.0, longest)

    def moved(self, change: _State, step: float) -> _State:
        """The state after a step along ``change``."""
        return _State(*(value + step * delta for value, delta in zip(self, change, strict=True)))

    def __iter__(self) -> Iterator[Any]:
        return iter((self.a, self.z, self.v, self.u, self.s, self.mu, self.t))


@dataclass
class _Candidate:
    """A dual point, a recovery of a primal one, and their values."""

    a: np.ndarray
    mu: np.ndarray
    primal_value: float
    dual_value: float


class _Best:
    """The best primal and the best dual point so far; they need not come together."""

    def __init__(self, candidate: _Candidate) -> None:
        self.primal = self.dual = candidate
        self.n_iter = 0  # when either was last improved

    @property
    def gap(self) -> float:
        return relative_gap(self.primal.primal_value, self.dual.dual_value)

    def update(self, candidate: _Candidate, n_iter: int) -> None:
        """Take over what is better, and note when that was."""
        if candidate.primal_value < self.primal.primal_value:
            self.primal, self.n_iter = candidate, n_iter
        # near the optimum the last digits of the dual value go on moving
        if candidate.dual_value > self.dual.dual_value * (1 + 1e-9):
            self.n_iter = n_iter
        if candidate.dual_value > self.dual.dual_value:
            self.dual = candidate

    def point(self, status: Status, n_iter: int) -> Point:
        return Point(self.dual.a, (self.primal.a, self.primal.mu), status, n_iter)


class _Newton:
    """The Newton system of one problem: evaluation, factorisation, directions."""

    def __init__(self, problem: MarginProblem) -> None:
        self.problem = problem
        self.bounded = np.flatnonzero(~problem.is_hard)
        self.is_cancelling = False
        self.jitter = _LEAST_JITTER
        # Measure a in the length of the best multiple of the vector of ones, or of the largest
        # bound if that is shorter. Then a is of order one, and whatever the units of X and C are,
        # the same numbers are computed.
        ones = np.ones(len(problem.y))
        steepest = float(np.max(ones @ problem.products(ones)))
        natural = len(ones) / steepest if steepest > 0 else np.inf
        self.scale = min(natural, float(np.max(problem.upper)))
        if not np.isfinite(self.scale):  # hard margin and no features at all
            self.scale = 1.0
        self.upper = problem.upper / self.scale

    def start(self) -> _State:
        """Halfway to the first bound, with multipliers that leave no slack negative."""
        a = np.minimum(0.5, self.upper / 2)
        n_units = self.problem.design.n_units
        mu = np.full(n_units, 1 / n_units)
        P = self.products(a)
        quadratics = 0.5 * (a @ P)
        t = 2.0 * max(float(np.max(quadratics)), 1e-3)
        v = (self.upper - a)[self.bounded]
        z = np.maximum(P @ mu - 1.0, 0.0) + 0.5
        # A distant bound gets a small multiplier: its product starts near that of the others.
        return _State(a, z, v, np.minimum(0.5, 1.0 / v), t - quadratics, mu, t)

    def products(self, a: np.ndarray) -> np.ndarray:
        """Compute the gradients ``p_h = Q_h a``, through the features once these cancel."""
        P = self.problem.products(self.scale * a, accurate=self.is_cancelling)
        if not self.is_cancelling:
            self.is_cancelling = self.ray_residual(a, P) ** 2 <= _CANCELLATION
            if self.is_cancelling:
                return self.products(a)
        return P

    def ray_residual(self, a: np.ndarray, P: np.ndarray) -> float:
        """Estimate :meth:`MarginProblem.separability_residual` from the products at hand."""
        total = float(np.sum(a)) * self.problem.design.max_feature_norm
        return self._dual_norms(a, P).max() / (self.scale * total) if total > 0 else 0.0

    def _dual_norms(self, a: np.ndarray, P: np.ndarray) -> np.ndarray:
        return np.sqrt(self.scale * np.maximum(a @ P, 0.0))

    def certify(self, a: np.ndarray, mu: np.ndarray, P: np.ndarray | None = None) -> _Candidate:
        """Evaluate both values at ``a`` and at the predictor recovered from ``(a, mu)``."""
        P = self.products(a) if P is None else P
        dual_norms = self._dual_norms(a, P)
        primal_value, _ = self.problem.scale_primal(float(mu @ dual_norms), P @ mu)
        dual_coef = np.minimum(self.scale * a, self.problem.upper)
        dual_value, _ = self.problem.scale_dual(dual_coef, float(dual_norms.max()))
        return _Candidate(dual_coef, mu, primal_value, dual_value)

    def rounded(self, state: _State, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Set to its bound what is closer to it than its multiplier to zero, and ``threshold``."""
        a = np.where(state.a / np.max(state.a) < np.minimum(state.z, threshold), 0.0, state.a)
        bounds = self.upper[self.bounded]
        is_at_bound = state.v / bounds < np.minimum(state.u, threshold)
        a[self.bounded[is_at_bound]] = bounds[is_at_bound]
        slack = np.minimum(state.s / np.max(state.s), threshold)
        mu = np.where(state.mu / np.max(state.mu) < slack, 0.0, state.mu)
        return (a if a.any() else state.a), (mu if mu.any() else state.mu)

    def factor(self, state: _State, P: np.ndarray) -> bool:
        """Factorise the Newton matrix at a point; False if it is not positive definite."""
        self.state, self.P = state, P
        self.w = state.mu / state.s
        self.centre = P @ (self.w / self.w.sum())
        self.diagonal = state.z / state.a
        self.diagonal[self.bounded] += state.u / state.v
        self.jitter = max(_LEAST_JITTER, self.jitter / 10)
        y = self.problem.y
        spread = (P - self.centre[:, None]) * np.sqrt(self.w) * y[:, None]
        while self.jitter <= _MOST_JITTER:
            # in the signed variables y a, in which Q_h is the kernel K_h
            S = self.problem.design.weighted_gram(self.scale * state.mu)
            S = dsyrk(1.0, spread.T, trans=1, lower=1, beta=1.0, c=S, overwrite_c=1)
            diagonal = np.einsum("ii->i", S)
            diagonal += self.diagonal
            diagonal *= 1.0 + self.jitter
            self.cholesky, failed_at = dpotrf(S, lower=1, overwrite_a=1, clean=0)
            if failed_at == 0:
                return True
            self.jitter *= 100
        return False

    def _solve(self, rhs: np.ndarray) -> np.ndarray:
        """Solve the Newton system, by the factor alone or as a preconditioner.

        Once features cancel, the Newton matrix built from Gram matrices has lost digits that
        products through the features still have: conjugate gradients on these bring them back.
        """
        x = self._backsolve(rhs)
        if not self.is_cancelling:
            return x
        residual = rhs - self._multiply(x)
        target = 1e-14 * float(np.linalg.norm(rhs))
        step = self._backsolve(residual)
        direction, slope = step, float(residual @ step)
        best, best_norm = x, float(np.linalg.norm(residual))
        for _ in range(_REFINEMENTS):
            image = self._multiply(direction)
            curvature = float(direction @ image)
            if best_norm <= target or not (curvature > 0 and slope > 0):
                break
            x = x + slope / curvature * direction
            residual = residual - slope / curvature * image
            norm = float(np.linalg.norm(residual))
            if norm < best_norm:
                best, best_norm = x, norm
            step = self._backsolve(residual)
            slope, previous = float(residual @ step), slope
            direction = step + slope / previous * direction
        return best

    def _backsolve(self, rhs: np.ndarray) -> np.ndarray:
        y = self.problem.y
        return y * dpotrs(self.cholesky, y * rhs, lower=1)[0]

    def _multiply(self, x: np.ndarray) -> np.ndarray:
        products = self.problem.products(self.scale * x, accurate=True)
        weighted = self.w * ((self.P - self.centre[:, None]).T @ x)
        spread = self.P @ weighted - self.centre * weighted.sum()
        return products @ self.state.mu + spread + self.diagonal * x

    def direction(self, sigma: float, predictor: _State | None = None) -> _State:
        """Newton direction to the point of the central path with complementarity ``sigma``.

        With a ``predictor`` the products of its changes are taken along (second order).
        """
        now, P, w = self.state, self.P, self.w
        targets = [sigma - x * y for x, y in now.pairs()]
        if predictor is not None:
            targets = [
                target - dx * dy
                for target, (dx, dy) in zip(targets, predictor.pairs(), strict=True)
            ]
        to_z, to_u, to_mu = targets
        gradient = P @ now.mu - 1.0 - now.z
        gradient[self.bounded] += now.u
        excess = 0.5 * (now.a @ P) - now.t + now.s
        missing = 1.0 - float(np.sum(now.mu))

        e = (to_mu + now.mu * excess) / now.s
        pull = (float(np.sum(e)) - missing) / float(np.sum(w))
        rhs = to_z / now.a - gradient - P @ (e - w * pull)
        rhs[self.bounded] -= to_u / now.v
        da = self._solve(rhs)
        slopes = P.T @ da
        dt = pull + float(w @ slopes) / float(np.sum(w))
        ds = dt - excess - slopes
        dv = -da[self.bounded]
        return _State(
            a=da,
            z=(to_z - now.z * da) / now.a,
            v=dv,
            u=(to_u - now.u * dv) / now.v,
            s=ds,
            mu=(to_mu - now.mu * ds) / now.s,
            t=dt,
        )
