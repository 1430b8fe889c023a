"""One Newton system of the interior point: evaluation, factorisation, directions.

The equations are derived in :mod:`gnorm.margin.interior_point`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dpotrs

from gnorm.margin.problem import MarginProblem

__all__ = ["Candidate", "Newton", "State"]

_CANCELLATION = 1e-7  # of the squared features: below it the Gram matrix has too few digits
_REFINEMENTS = 5  # conjugate-gradient steps on a Newton system once features cancel
_LEAST_START = 0.1  # share of the mean that every coefficient gets beside a guess
_RIDGE = 1e-5  # of the regression for the length of the start, relative
_LEAST_JITTER, _MOST_JITTER = 1e-14, 1e-6  # relative, on the diagonal of the Newton matrix


@dataclass
class State:
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

    def reach(self, change: State) -> float:
        """Longest step of at most 1 that keeps every variable non-negative."""
        longest = np.inf
        for values, changes in zip(self.pairs(), change.pairs(), strict=True):
            for value, delta in zip(values, changes, strict=True):
                with np.errstate(over="ignore"):
                    slowest = float(np.min(delta / value, initial=0.0))
                if slowest < 0:
                    longest = min(longest, -1.0 / slowest)
        return min(1.0, longest)

    def moved(self, change: State, step: float) -> State:
        """The state after a step along ``change``."""
        return State(*(value + step * delta for value, delta in zip(self, change, strict=True)))

    def __iter__(self) -> Iterator[Any]:
        return iter((self.a, self.z, self.v, self.u, self.s, self.mu, self.t))


@dataclass
class Candidate:
    """A dual point, a recovery of a primal one, and their values."""

    a: np.ndarray
    mu: np.ndarray
    primal_value: float
    dual_value: float


class Newton:
    """The Newton system of one problem: evaluation, factorisation, directions."""

    def __init__(self, problem: MarginProblem, scale: float | None = None) -> None:
        self.problem = problem
        self.bounded = np.flatnonzero(~problem.is_hard)
        self.is_refined = False  # products through the features, steps by conjugate gradients
        self.jitter = _LEAST_JITTER
        self._latest: tuple[np.ndarray | None, np.ndarray] = None, np.empty(0)
        self.scale = self._natural_scale() if scale is None else scale
        self.upper = problem.upper / self.scale

    def _natural_scale(self) -> float:
        """Length of the best multiple of the vector of ones, or the largest bound if shorter.

        Measured in it a is of order one, and whatever the units of X and C are, the same numbers
        are computed.
        """
        ones = np.ones(len(self.problem.y))
        steepest = float(np.max(ones @ self.problem.products(ones)))
        natural = len(ones) / steepest if steepest > 0 else np.inf
        scale = min(natural, float(np.max(self.problem.upper)))
        return scale if np.isfinite(scale) else 1.0  # hard margin and no features at all

    def start(self, guess: np.ndarray | None = None) -> State:
        """Start in the interior, with multipliers that leave no slack negative.

        Parameters
        ----------
        guess : ndarray of shape (n_samples,), default=None
            Dual point to start near to; None starts at a constant.

        Returns
        -------
        State
            The starting point.
        """
        if guess is None:
            a, least = np.full(len(self.upper), self._typical_coefficient()), 0.5
        else:
            a, least = guess / self.scale, _LEAST_START
            a = np.maximum(a, least * np.mean(a))
        a = np.minimum(a, self.upper / 2)
        n_units = self.problem.design.n_units
        mu = np.full(n_units, 1 / n_units)
        P = self.products(a)
        quadratics = 0.5 * (a @ P)
        t = 1.5 * (1.0 + least) * max(float(np.max(quadratics)), 1e-3)
        s = t - quadratics
        sigma = float(np.mean(s * mu))
        v = (self.upper - a)[self.bounded]
        z = np.maximum(P @ mu - 1.0, 0.0) + np.maximum(least, sigma / a)
        # A distant bound gets a small multiplier: its product starts near that of the others.
        longest = float(np.max(a))
        u = max(least, sigma / longest) / np.maximum(v / longest, 1.0)
        return State(a, z, v, u, s, mu, t)

    def _typical_coefficient(self) -> float:
        """Half the mean coefficient that gives all samples margin 1, nearly, by ridge regression.

        A start that is too short is far from the path: where features cancel or classes overlap,
        coefficients are larger by orders of magnitude than a predictor of their length suggests.
        """
        n_samples, n_units = len(self.upper), self.problem.design.n_units
        S = self.problem.design.weighted_gram(np.full(n_units, self.scale / n_units))
        diagonal = np.einsum("ii->i", S)
        diagonal += _RIDGE * np.mean(diagonal) + np.finfo(float).tiny
        cholesky, failed_at = dpotrf(S, lower=1, overwrite_a=1, clean=0)
        if failed_at or not np.max(diagonal) > 1e-100:  # no features to speak of
            return 0.5
        signed, _ = dpotrs(cholesky, self.problem.y, lower=1)
        return max(0.5, 0.5 * float(np.sum(np.abs(signed))) / n_samples)

    def products(self, a: np.ndarray) -> np.ndarray:
        """Compute the gradients ``p_h = Q_h a``, through the features once these cancel."""
        if a is self._latest[0]:
            return self._latest[1]
        P = self.problem.products(self.scale * a, accurate=self.is_refined)
        if not self.is_refined:
            self.is_refined = self.ray_residual(a, P) ** 2 <= _CANCELLATION
            if self.is_refined:
                return self.products(a)
        self._latest = a, P
        return P

    def ray_residual(self, a: np.ndarray, P: np.ndarray) -> float:
        """Estimate :meth:`MarginProblem.separability_residual` from the products at hand."""
        total = float(np.sum(a)) * self.problem.design.max_feature_norm
        return self._dual_norms(a, P).max() / (self.scale * total) if total > 0 else 0.0

    def _dual_norms(self, a: np.ndarray, P: np.ndarray) -> np.ndarray:
        return np.sqrt(self.scale * np.maximum(a @ P, 0.0))

    def certify(self, a: np.ndarray, mu: np.ndarray, P: np.ndarray) -> Candidate:
        """Evaluate both values at ``a`` and at the predictor recovered from ``(a, mu)``."""
        dual_norms = self._dual_norms(a, P)
        primal_value, _ = self.problem.scale_primal(float(mu @ dual_norms), P @ mu)
        dual_coef = np.minimum(self.scale * a, self.problem.upper)
        dual_value, _ = self.problem.scale_dual(dual_coef, float(dual_norms.max()))
        return Candidate(dual_coef, mu, primal_value, dual_value)

    def rounded(self, state: State, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Set to its bound what is closer to it than its multiplier to zero, and ``threshold``."""
        a = np.where(state.a / np.max(state.a) < np.minimum(state.z, threshold), 0.0, state.a)
        bounds = self.upper[self.bounded]
        is_at_bound = state.v / bounds < np.minimum(state.u, threshold)
        a[self.bounded[is_at_bound]] = bounds[is_at_bound]
        slack = np.minimum(state.s / state.t, threshold)
        mu = np.where(state.mu / np.max(state.mu) < slack, 0.0, state.mu)
        return (a if a.any() else state.a), (mu if mu.any() else state.mu)

    def factor(self, state: State, P: np.ndarray) -> bool:
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
        if not self.is_refined:
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

    def direction(
        self, sigma: float, predictor: State | None = None, *, is_curved: bool = False
    ) -> State:
        """Newton direction to the point of the central path with complementarity ``sigma``.

        With a ``predictor`` the products of its changes are taken along (second order); with
        ``is_curved`` also what the curvature of the constraints adds along it, for the price of
        one more product with the features.
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
        if predictor is not None and is_curved:
            turned = self.problem.products(self.scale * predictor.a, accurate=self.is_refined)
            gradient += turned @ predictor.mu
            excess += 0.5 * (predictor.a @ turned)

        e = (to_mu + now.mu * excess) / now.s
        pull = (float(np.sum(e)) - missing) / float(np.sum(w))
        rhs = to_z / now.a - gradient - P @ (e - w * pull)
        rhs[self.bounded] -= to_u / now.v
        da = self._solve(rhs)
        slopes = P.T @ da
        dt = pull + float(w @ slopes) / float(np.sum(w))
        ds = dt - excess - slopes
        dv = -da[self.bounded]
        return State(
            a=da,
            z=(to_z - now.z * da) / now.a,
            v=dv,
            u=(to_u - now.u * dv) / now.v,
            s=ds,
            mu=(to_mu - now.mu * ds) / now.s,
            t=dt,
        )
