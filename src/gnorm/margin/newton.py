"""One Newton system of the interior point: evaluation, factorisation, directions.

The equations are derived in :mod:`gnorm.margin.interior_point`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, get_blas_funcs, get_lapack_funcs
from scipy.linalg.lapack import dpotrf

from gnorm.margin.problem import MarginProblem

__all__ = ["Candidate", "Fixed", "Newton", "State"]

# Cancellation of the squared features below which the Gram matrix has too few digits
_CANCELLATION = {np.float64: 1e-7, np.float32: 1e-5}
_REFINEMENTS = {np.float64: 5, np.float32: 25}  # most conjugate-gradient steps on a Newton system
_LEAST_START = 0.1  # share of the mean that every coefficient gets beside a guess
_RIDGE = 1e-5  # of the regression for the length of the start, relative
_START_SLACK = 1.1  # length of the start over that of its longest unit, squared, beside a guess
# Relative, on the diagonal of the Newton matrix: in units of the rounding error, and at most.
_LEAST_JITTER, _MOST_JITTER = 5.0, {np.float64: 1e-6, np.float32: 1e-2}
_MOST_DIAGONAL = 1e30  # beyond it a variable does not move, and single precision ends at 3e38
# Error of a Newton step that further conjugate gradients would not remove, or need not.
_STEP_ERROR = {np.float64: 1e-14, np.float32: 1e-9}


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

    def is_interior(self) -> bool:
        """Whether all variables are positive and finite."""
        values = [variable for pair in self.pairs() for variable in pair]
        return all(bool(np.all((value > 0) & np.isfinite(value))) for value in values)

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
    margins: np.ndarray  # of the recovery
    primal_value: float
    dual_value: float
    length: float  # multiple of the recovery that has the primal value


@dataclass(frozen=True)
class Fixed:
    r"""Samples that stay at their upper bounds, as one linear term of the others.

    With :math:`V'_h = \sum_n C_n y_n \phi_h(x_n)` over the fixed samples,
    :math:`\|V_h\|^2 = a^\top Q_h a + 2 a^\top b_h + \|V'_h\|^2`.

    Attributes
    ----------
    pull : ndarray of shape (n_samples, n_units)
        :math:`b_h = y \circ \langle \phi_h, V'_h \rangle` at the samples that are not fixed.
    squares : ndarray of shape (n_units,)
        :math:`\|V'_h\|^2`.
    total : float
        :math:`\sum_n C_n`.
    """

    pull: np.ndarray
    squares: np.ndarray
    total: float


class Newton:
    """The Newton system of one problem: evaluation, factorisation, directions.

    Parameters
    ----------
    problem : MarginProblem
        The problem.
    scale : float, default=None
        Unit of length of the dual point; None for a natural one.
    fixed : Fixed, default=None
        Samples beside those of the problem, at their upper bounds throughout.
    is_single : bool, default=False
        Whether the Newton matrix is built and factorised in single precision.

    Attributes
    ----------
    exact : MarginProblem
        The problem in double precision.
    """

    def __init__(
        self,
        problem: MarginProblem,
        scale: float | None = None,
        fixed: Fixed | None = None,
        *,
        is_single: bool = False,
    ) -> None:
        self.exact = self.problem = problem
        if is_single:
            design = problem.design.in_single
            self.problem = MarginProblem(design, problem.y, problem.upper)
        self.bounded = np.flatnonzero(~problem.is_hard)
        self.fixed = fixed
        self.is_refined = False  # products through the features, steps by conjugate gradients
        self.precision = self.problem.design.precision
        self.jitter = self._least_jitter = _LEAST_JITTER * float(np.finfo(self.precision).eps)
        self._signs = problem.y.astype(self.precision)
        self._matrix: np.ndarray | None = None
        self._border: tuple[np.ndarray, np.ndarray] | None = None
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
            a, least, slack = np.full(len(self.upper), self._typical_coefficient()), 0.5, 2.25
        else:
            a, least, slack = guess / self.scale, _LEAST_START, _START_SLACK
            a = np.maximum(a, least * np.mean(a))
        a = np.minimum(a, self.upper / 2)
        n_units = self.problem.design.n_units
        mu = np.full(n_units, 1 / n_units)
        P = self.products(a)
        quadratics = self.quadratics(a, P)
        t = slack * max(float(np.max(quadratics)), 1e-3)
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
        potrf, potrs = get_lapack_funcs(("potrf", "potrs"), dtype=self.precision)
        cholesky, failed_at = potrf(S, lower=1, overwrite_a=1, clean=0)
        if failed_at or not np.max(diagonal) > 1e-30:  # no features to speak of
            return 0.5
        signed, _ = potrs(cholesky, self.problem.y, lower=1)
        return max(0.5, 0.5 * float(np.sum(np.abs(signed))) / n_samples)

    def products(self, a: np.ndarray) -> np.ndarray:
        """Compute the gradients ``p_h = Q_h a + b_h``, by the features once these cancel.

        They are linear in a: in single precision only the change since the last point is rounded,
        relative to its own size. Along the path it becomes small, see :meth:`anchor`.
        """
        latest, P = self._latest
        if a is latest:
            return P
        if latest is None or self.precision is np.float64 or self.is_refined:
            P = self._gradients(a)
        else:
            P = P + self.images(a - latest)
        if not self.is_refined:
            self.is_refined = self.ray_residual(a, P) ** 2 <= _CANCELLATION[self.precision]
            if self.is_refined:
                return self.products(a)
        self._latest = a, P
        return P

    def anchor(self, a: np.ndarray) -> np.ndarray:
        """Compute the gradients at ``a`` through the features, for others to be built on them."""
        P = self._gradients(a, accurate=True)
        self._latest = a, P
        return P

    def _gradients(self, a: np.ndarray, *, accurate: bool = False) -> np.ndarray:
        P = self.images(a, accurate=accurate)
        return P if self.fixed is None else P + self.fixed.pull

    def images(self, x: np.ndarray, *, accurate: bool = False) -> np.ndarray:
        """Compute ``Q_h x``, the change of the gradients with a change of the dual point."""
        accurate = accurate or self.is_refined
        return self.problem.products(self.scale * x, accurate=accurate)

    def quadratics(self, a: np.ndarray, P: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\tfrac12 \|V_h\|^2` from the products, in units of the scale."""
        if self.fixed is None:
            return 0.5 * (a @ P)
        return 0.5 * (a @ P + a @ self.fixed.pull + self.fixed.squares / self.scale)

    def has_outgrown(self, state: State, most: float) -> bool:
        r"""Whether some :math:`\tfrac12 \|V_h\|^2` is above ``most`` times what bounds it."""
        quadratics = self.quadratics(state.a, self.products(state.a))
        return bool(np.max(quadratics) > most * state.t)

    def ray_residual(self, a: np.ndarray, P: np.ndarray) -> float:
        """Estimate :meth:`MarginProblem.separability_residual` from the products at hand."""
        total = float(np.sum(a)) * self.problem.design.max_feature_norm
        return self._dual_norms(a, P).max() / (self.scale * total) if total > 0 else 0.0

    def _dual_norms(self, a: np.ndarray, P: np.ndarray) -> np.ndarray:
        return np.sqrt(2.0 * self.scale * np.maximum(self.quadratics(a, P), 0.0))

    def certify(self, a: np.ndarray, mu: np.ndarray, P: np.ndarray) -> Candidate:
        """Evaluate both values at ``a`` and at the predictor recovered from ``(a, mu)``.

        The fixed samples count as one, at their mean margin.
        """
        dual_norms = self._dual_norms(a, P)
        dual_coef = np.minimum(self.scale * a, self.problem.upper)
        own = P @ mu
        problem, margins, coef = self.problem, own, dual_coef
        if self.fixed is not None:
            total = self.fixed.total
            aligned = float(mu @ (self.scale * (a @ self.fixed.pull) + self.fixed.squares))
            margins, coef = np.append(margins, aligned / total), np.append(coef, total)
            upper = np.append(problem.upper, total)
            problem = MarginProblem(problem.design, problem.y, upper)
        primal_value, length = problem.scale_primal(float(mu @ dual_norms), margins)
        dual_value, _ = problem.scale_dual(coef, float(dual_norms.max()))
        return Candidate(dual_coef, mu, own, primal_value, dual_value, length)

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
        self.jitter = max(self._least_jitter, self.jitter / 10)
        spread = (P - self.centre[:, None]) * np.sqrt(self.w)
        self._border = None
        (syrk,) = get_blas_funcs(("syrk",), dtype=self.precision)
        potrf, self._trtrs = get_lapack_funcs(("potrf", "trtrs"), dtype=self.precision)
        while self.jitter <= _MOST_JITTER[self.precision]:
            # in the signed variables y a, in which Q_h is the kernel K_h
            S = self.problem.design.weighted_gram(self.scale * state.mu, out=self._matrix)
            if self.precision is np.float64:
                signed = spread * self.problem.y[:, None]
                S = syrk(1.0, signed.T, trans=1, lower=1, beta=1.0, c=S, overwrite_c=1)
            diagonal = np.einsum("ii->i", S)
            diagonal += np.minimum(self.diagonal, _MOST_DIAGONAL)
            diagonal *= 1.0 + self.jitter
            self._matrix, failed_at = potrf(S, lower=1, overwrite_a=1, clean=0)
            if failed_at == 0:
                if self.precision is np.float64:
                    return True
                self._border = self._bordered(spread)
                if self._border is not None:
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
        target = _STEP_ERROR[self.precision] * float(np.linalg.norm(rhs))
        step = self._backsolve(residual)
        direction, slope = step, float(residual @ step)
        best, best_norm = x, float(np.linalg.norm(residual))
        for _ in range(_REFINEMENTS[self.precision]):
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

    def _bordered(self, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        r"""Factorise the spread :math:`R W^{1/2}` beside the matrix M in single precision.

        It grows without bound along the path and would push all else out of the digits. Kept apart,
        as :math:`T = L^{-1} R W^{1/2}` with :math:`M = L L^\top` and the factor of
        :math:`1 + T^\top T`, what it sees of a step is exact. None if that has no factor.
        """
        lifted = self._half_solve(spread)
        inner = lifted.T @ lifted
        diagonal = np.einsum("ii->i", inner)
        diagonal += 1.0
        diagonal *= 1.0 + len(inner) * np.finfo(float).eps
        factor, failed_at = dpotrf(inner, lower=1)
        return (lifted, factor) if failed_at == 0 else None

    def _solve_bordered(
        self, rhs: np.ndarray, e: np.ndarray, missing: float
    ) -> tuple[np.ndarray, np.ndarray, float]:
        r"""Solve for the changes of a, mu and t at once.

        They are the solution of

        .. math::

            M \Delta a + P \Delta\mu = r, \quad
            P^\top \Delta a - \Delta t - W^{-1} \Delta\mu = -W^{-1} e, \quad
            \textstyle\sum_h \Delta\mu_h = m .

        Eliminating :math:`\Delta\mu` as well would add :math:`P W P^\top` to M and :math:`P e` to
        the right-hand side, two large terms whose difference single precision does not have.
        """
        assert self._border is not None
        lifted, inner = self._border
        roots = np.sqrt(self.w)
        half = self._half_solve(rhs - self.centre * missing)
        known = np.column_stack([lifted.T @ half + e / roots, roots])
        free, pulled = cho_solve((inner, True), known).T
        pull = (float(roots @ free) - missing) / float(roots @ pulled)
        scaled = free - pull * pulled
        da = self._half_solve(half - lifted @ scaled, is_second=True)
        return da, roots * scaled, pull + float(self.centre @ da)

    def _half_solve(self, rhs: np.ndarray, *, is_second: bool = False) -> np.ndarray:
        """Apply the inverse of the Cholesky factor, or of its transpose as the second half.

        The factor is of the matrix in the signed variables y a. Right-hand sides are scaled: their
        range may be beyond that of single precision.
        """
        y = self._signs if rhs.ndim == 1 else self._signs[:, None]
        largest = np.max(np.abs(rhs), axis=0)
        largest = np.where(largest > 0, largest, 1.0)
        scaled = np.asfortranarray((rhs / largest).astype(self.precision, copy=False))
        if is_second:
            half = y * self._trtrs(self._matrix, scaled, lower=1, trans=1)[0]
        else:
            half = self._trtrs(self._matrix, y * scaled, lower=1)[0]
        # at once: a single number in float64 times a vector in float32 is float32 before numpy 2
        return largest * half.astype(float)

    def _backsolve(self, rhs: np.ndarray) -> np.ndarray:
        half = self._half_solve(rhs)
        if self._border is not None:
            lifted, inner = self._border
            half -= lifted @ cho_solve((inner, True), lifted.T @ half)
        return self._half_solve(half, is_second=True)

    def _multiply(self, x: np.ndarray) -> np.ndarray:
        products = self.images(x, accurate=True)
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
        now, P = self.state, self.P
        targets = [sigma - x * y for x, y in now.pairs()]
        if predictor is not None:
            targets = [
                target - dx * dy
                for target, (dx, dy) in zip(targets, predictor.pairs(), strict=True)
            ]
        gradient = P @ now.mu - 1.0 - now.z
        gradient[self.bounded] += now.u
        excess = self.quadratics(now.a, P) - now.t + now.s
        missing = 1.0 - float(np.sum(now.mu))
        if predictor is not None and is_curved:
            turned = self.images(predictor.a)
            gradient += turned @ predictor.mu
            excess += 0.5 * (predictor.a @ turned)

        return self._change(targets, gradient, excess, missing)

    def correction(self, targets: list[np.ndarray]) -> State:
        """Change that adds ``targets`` to the products of the pairs, and to no other condition."""
        return self._change(targets, np.zeros(len(self.upper)), np.zeros(len(self.w)), 0.0)

    def _change(
        self, targets: list[np.ndarray], gradient: np.ndarray, excess: np.ndarray, missing: float
    ) -> State:
        """Solve for what removes these residuals."""
        now, P, w = self.state, self.P, self.w
        to_z, to_u, to_mu = targets
        e = (to_mu + now.mu * excess) / now.s
        rhs = to_z / now.a - gradient
        rhs[self.bounded] -= to_u / now.v
        if self._border is not None and not self.is_refined:
            da, dmu, dt = self._solve_bordered(rhs, e, missing)
            # The slack of an active unit is small beside what rounding leaves of the slopes: it
            # follows its multiplier, and what it misses is in the excess of the next step.
            is_active = now.s / now.t < now.mu / np.max(now.mu)
            ds = dt - excess - P.T @ da
            np.divide(to_mu - now.s * dmu, now.mu, out=ds, where=is_active)
        else:
            pull = (float(np.sum(e)) - missing) / float(np.sum(w))
            da = self._solve(rhs - P @ (e - w * pull))
            slopes = P.T @ da
            dt = pull + float(w @ slopes) / float(np.sum(w))
            ds = dt - excess - slopes
            dmu = (to_mu - now.mu * ds) / now.s
        dv = -da[self.bounded]
        return State(
            a=da,
            z=(to_z - now.z * da) / now.a,
            v=dv,
            u=(to_u - now.u * dv) / now.v,
            s=ds,
            mu=dmu,
            t=dt,
        )
