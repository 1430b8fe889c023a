r"""One Newton system of the interior point that works through the features.

The conditions of optimality of :mod:`gnorm.margin.interior_point`, with the predictor
:math:`\zeta` as a variable of its own,

.. math::

    y f_\zeta - z + u = 1, \quad \zeta = \textstyle\sum_h \mu_h F_h^\top V_h, \quad
    \sum_h \mu_h = 1, \qquad
    V = \Phi^\top a, \quad \tfrac12 \|V_h\|^2 + s_h = t, \qquad
    a z = u v = \mu s = \sigma,

where :math:`\Phi` has the coded features (:attr:`GatedDesign.coded`) of the signed samples as
rows and :math:`V_h = F_h V`. The first three lie on the primal side, the next two on the dual side:
each side has a step of its own. What rounding takes from :math:`\zeta` is a residual of the next
Newton step, which gives it back.

Eliminating all but :math:`\Delta\zeta` leaves a system of the size of the coded features,

.. math::

    (B^{-1} + S) \, \Delta\zeta = \dots, \qquad
    B = \textstyle\sum_h \mu_h F_h^\top F_h + \sum_h w_h (p_h - \bar p)(p_h - \bar p)^\top, \quad
    S = \Phi^\top \operatorname{diag}(z/a + u/v)^{-1} \Phi,

with :math:`p_h = F_h^\top V_h`, :math:`w_h = \mu_h / s_h` and :math:`\bar p` their mean weighted by
w.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrf, dpotrs
from scipy.sparse import diags, issparse

from gnorm import gated
from gnorm.margin.problem import MarginProblem

__all__ = ["FeatureNewton", "FeatureState", "Products"]

_REFINEMENTS = 8  # most conjugate-gradient steps on a Newton system
_ACCURACY = 1e-6  # of its solution, in the norm of its matrix
_JITTER = 1e-14  # relative, on the diagonal of the Newton matrix
_START_RIDGE = 1e-5  # of the regression for the length of a hard-margin start, relative
_RIDGE = 1e-12  # of the normal equations for a recovery, relative
_CORRECTIONS = 10  # most of a recovery
_EXACT = 1e-11  # error of its margins at which it needs no more

Products = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass
class FeatureState:
    """A point of the iteration, or a change of it; primal variables first, then dual ones.

    ``u`` and ``v`` belong to the bounded samples only, ``zeta`` and ``V`` to the coded gates.
    """

    zeta: np.ndarray
    margins: np.ndarray
    z: np.ndarray
    u: np.ndarray
    mu: np.ndarray
    a: np.ndarray
    v: np.ndarray
    s: np.ndarray
    t: float
    V: np.ndarray

    def products(self) -> Products:
        """Entrywise products of the complementary pairs."""
        return self.a * self.z, self.v * self.u, self.s * self.mu

    def moved(self, change: FeatureState, primal_step: float, dual_step: float) -> FeatureState:
        """The state after a step along ``change``."""
        steps = [primal_step] * 5 + [dual_step] * 5
        return FeatureState(
            *(x + step * dx for x, dx, step in zip(self, change, steps, strict=True))
        )

    def blended(self, other: FeatureState, primal_share: float, dual_share: float) -> FeatureState:
        """Go a share of the way to another change, on either side."""
        shares = [primal_share] * 5 + [dual_share] * 5
        return FeatureState(*(x + p * (y - x) for x, y, p in zip(self, other, shares, strict=True)))

    def reach(self, change: FeatureState) -> tuple[float, float]:
        """Longest primal and dual step that leave every variable its sign, at most 1 each."""
        primal = (self.z, change.z), (self.u, change.u), (self.mu, change.mu)
        dual = (self.a, change.a), (self.v, change.v), (self.s, change.s)
        return _longest(primal), _longest(dual)

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, field.name) for field in fields(self))


def _longest(variables: tuple[tuple[np.ndarray, np.ndarray], ...]) -> float:
    slowest = -1.0
    for x, dx in variables:
        with np.errstate(over="ignore"):
            slowest = min(slowest, float(np.min(dx / x, initial=0.0)))
    return -1.0 / slowest


class FeatureNewton:
    """The Newton system of one problem, in the coordinates of its coded features."""

    def __init__(self, problem: MarginProblem) -> None:
        self.problem = problem
        self.gates, self.factors = problem.design.coded
        is_bounded = ~problem.is_hard
        # a slice takes no copy
        self.bounded: slice | np.ndarray = np.flatnonzero(is_bounded)
        if is_bounded.all() or not is_bounded.any():
            self.bounded = slice(0, len(is_bounded) if is_bounded[0] else 0)
        self.X = _scaled_rows(problem.design.X, problem.y)
        self.scale = self._natural_scale()
        self.X = self.X * np.sqrt(self.scale)
        self.upper = problem.upper / self.scale

    def _natural_scale(self) -> float:
        """Length of the best multiple of the vector of ones, or the largest bound if shorter."""
        ones = np.ones(len(self.problem.y))
        steepest = float(np.max(_squares(self.factors @ self.sums(ones))))
        natural = len(ones) / steepest if steepest > 0 else np.inf
        scale = min(natural, float(np.max(self.problem.upper)))
        return scale if np.isfinite(scale) else 1.0  # hard margin and no features at all

    def sums(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\Phi^\top c`, shape (n_gates, n_features)."""
        return gated.accumulate(self.X, self.gates, coef)[:, 0, :]

    def values(self, zeta: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\Phi \zeta`, shape (n_samples,)."""
        return gated.decision_values(self.X, self.gates, zeta[:, None, :])

    def start(self) -> FeatureState:
        """Start at the predictor of zeros and at a constant dual point."""
        n_units, _, n_gates = self.factors.shape
        n_samples = len(self.upper)
        a = np.minimum(1.0, self.upper / 2)
        if self.problem.is_hard.any():
            a[self.problem.is_hard] = self._typical_coefficient()
        V = self.sums(a)
        quadratics = 0.5 * _squares(self.factors @ V)
        t = 2.0 * max(float(np.max(quadratics)), 1e-3)
        v = (self.upper - a)[self.bounded]
        return FeatureState(
            zeta=np.zeros((n_gates, self.X.shape[1])),
            margins=np.zeros(n_samples),
            z=np.ones(n_samples),
            u=np.ones(len(v)),
            mu=np.full(n_units, 1.0 / n_units),
            a=a,
            v=v,
            s=t - quadratics,
            t=t,
            V=V,
        )

    def _typical_coefficient(self) -> float:
        """Half the mean coefficient that gives all samples margin 1, nearly, by ridge regression.

        Where features cancel or classes nearly overlap, coefficients are larger by orders of
        magnitude than a predictor of their length suggests.
        """
        n_samples, n_units = len(self.upper), len(self.factors)
        root = self._root(np.full(n_units, 1.0 / n_units))
        matrix = self._in_coordinates(
            self.problem.design.feature_gram(np.full(n_samples, self.scale)), root
        )
        ridge = _START_RIDGE * float(np.trace(matrix)) / n_samples
        if not ridge > 1e-100:  # no features to speak of
            return 1.0
        matrix[np.diag_indices_from(matrix)] += ridge
        x = np.linalg.solve(matrix, (root @ self.sums(np.ones(n_samples))).ravel())
        missing = 1.0 - self.values(root.T @ x.reshape(len(root), -1))
        return 0.5 * float(np.mean(np.abs(missing))) / ridge

    def feasible(self, state: FeatureState) -> FeatureState:
        r"""Bring V up to date and raise t to where no slack is shorter and its equation holds.

        A step leaves a residual of second order in :math:`\tfrac12 \|V_h\|^2 + s_h = t`, larger
        in the end than the slacks themselves: the products would be small and the dual point poor.
        """
        V = self.sums(state.a)
        quadratics = 0.5 * _squares(self.factors @ V)
        t = float(np.max(quadratics + state.s))
        return replace(state, s=t - quadratics, t=t, V=V)

    def primal_value(self, state: FeatureState) -> float:
        r"""Value of the best multiple of the predictor, as :math:`\zeta_h = \mu_h F_h W`."""
        root = self._root(state.mu)
        W = solve_triangular(root, solve_triangular(root, state.zeta, trans=1))
        return self._value(state.mu, W, state.margins)

    def recovered_value(self, coef: np.ndarray, mu: np.ndarray) -> float:
        """Value of the best multiple of the predictor that a recovery stands for."""
        W = self.sums(coef / self.scale)
        zeta = np.einsum("h,hrk,hrd->kd", mu, self.factors, self.factors @ W, optimize=True)
        return self._value(mu, W, self.values(zeta))

    def _value(self, mu: np.ndarray, W: np.ndarray, margins: np.ndarray) -> float:
        lengths = np.sqrt(self.scale * _squares(self.factors @ W))
        return self.problem.scale_primal(float(mu @ lengths), margins)[0]

    def dual_value(self, a: np.ndarray, V: np.ndarray) -> float:
        """Value of the best multiple of a dual point with the sums V."""
        longest = np.sqrt(self.scale * np.max(_squares(self.factors @ V)))
        return self.problem.scale_dual(self.dual_coef(a), float(longest))[0]

    def dual_coef(self, a: np.ndarray) -> np.ndarray:
        """Dual point in the units of the problem."""
        return np.minimum(self.scale * a, self.problem.upper)

    def ray_residual(self, state: FeatureState) -> float:
        """:meth:`MarginProblem.separability_residual`; infinite if all samples are bounded."""
        if not self.problem.is_hard.any():
            return np.inf
        length = float(np.sum(state.a)) * np.sqrt(self.scale) * self.problem.design.max_feature_norm
        largest = float(np.sqrt(np.max(_squares(self.factors @ state.V))))
        return largest / length if length > 0 else 0.0

    def _root(self, mu: np.ndarray) -> np.ndarray:
        r"""Triangular R with :math:`R^\top R = \sum_h \mu_h F_h^\top F_h`, entries of any scale."""
        n_gates = self.factors.shape[2]
        weighted = np.sqrt(mu)[:, None, None] * self.factors
        metric = np.einsum("hrk,hrl->kl", weighted, weighted)
        length = np.sqrt(np.diag(metric))
        metric /= np.outer(length, length)
        metric += _JITTER * np.eye(n_gates)
        return np.linalg.cholesky(metric).T * length

    def factor(self, state: FeatureState) -> bool:
        r"""Factorise the Newton matrix at a point; False if that cannot be done.

        In the coordinates x with :math:`\zeta = R^\top x` it is
        :math:`(I + Q Q^\top)^{-1} + R S R^\top`, and the inverse is known from a singular value
        decomposition of Q.
        """
        self.state = state
        V = self.factors @ state.V
        self.excess = 0.5 * _squares(V) - state.t + state.s
        self.p = np.einsum("hrk,hrd->hkd", self.factors, V)
        with np.errstate(all="ignore"):  # a quotient out of range ends it below
            self.w = state.mu / state.s
            self.centre = np.tensordot(self.w / self.w.sum(), self.p, 1)
            diagonal = state.z / state.a
            diagonal[self.bounded] += state.u / state.v
            self.weights = 1.0 / diagonal
        if not (np.isfinite(self.weights).all() and np.isfinite(self.w).all()):
            return False

        self.root = self._root(state.mu)
        Q = [solve_triangular(self.root, q, trans=1).ravel() for q in self.p - self.centre]
        self.U, self.singular, self.Wt = np.linalg.svd(
            (np.sqrt(self.w)[:, None] * Q).T, full_matrices=False
        )
        self.S = self.problem.design.feature_gram(self.scale * self.weights)
        matrix = self._in_coordinates(self.S, self.root)
        shrinkage = self.singular**2 / (1.0 + self.singular**2)
        matrix -= (self.U * shrinkage) @ self.U.T
        diagonal = np.einsum("ii->i", matrix)
        diagonal += 1.0
        diagonal *= 1.0 + _JITTER
        self.cholesky, failed_at = dpotrf(matrix.T, lower=1, overwrite_a=1, clean=0)
        return bool(failed_at == 0)

    def _in_coordinates(self, S: np.ndarray, root: np.ndarray) -> np.ndarray:
        r"""Compute :math:`R S R^\top`, where R mixes the gates and leaves the inputs apart."""
        half = (root @ S.reshape(len(root), -1)).reshape(len(S), len(root), -1)
        return (root @ half).reshape(S.shape)

    def _prior(self, x: np.ndarray) -> np.ndarray:
        """Compute (I + Q Q^T)^{-1} x."""
        shrinkage = self.singular**2 / (1.0 + self.singular**2)
        return x - self.U @ (shrinkage * (self.U.T @ x))

    def _backsolve(self, rhs: np.ndarray) -> np.ndarray:
        return dpotrs(self.cholesky, rhs, lower=1)[0]

    def direction(self, targets: Products, predictor: FeatureState | None = None) -> FeatureState:
        """Newton direction that changes the products by ``targets``, to first order.

        With a ``predictor`` what it adds to the constraints to second order is taken along, and
        the direction is refined.
        """
        now, p, w = self.state, self.p, self.w
        to_z, to_u, to_mu = targets
        rhs = 1.0 + now.z - now.margins + to_z / now.a
        rhs[self.bounded] -= now.u + to_u / now.v
        excess = self.excess
        lack = np.tensordot(now.mu, p, 1) - now.zeta
        if predictor is not None:
            turned = self.factors @ predictor.V
            excess = excess + 0.5 * _squares(turned)
            lack += np.einsum("h,hrk,hrd->kd", predictor.mu, self.factors, turned, optimize=True)
        e = (to_mu + now.mu * excess) / now.s
        pull = float(np.sum(e) - 1.0 + np.sum(now.mu)) / float(np.sum(w))
        shift = np.tensordot(e - w * pull, p, 1) + lack

        x, dmargins, dV = self._solve(rhs, shift, _REFINEMENTS if predictor is not None else 0)
        da = self.weights * (rhs - dmargins)
        dt = pull + float(np.sum(self.centre * dV))
        # Either of the pair comes from the equation in which it is not divided by something small.
        along = self.singular / (1.0 + self.singular**2) * (self.U.T @ x)
        dmu = e - w * pull + np.sqrt(w) * (self.Wt.T @ along)
        ds = dt - excess - np.einsum("hkd,kd->h", p, dV)
        is_idle = now.mu / np.max(now.mu) < now.s / now.t
        return FeatureState(
            zeta=self.root.T @ x.reshape(shift.shape) + shift,
            margins=dmargins,
            z=(to_z - now.z * da) / now.a,
            u=(to_u + now.u * da[self.bounded]) / now.v,
            mu=np.where(is_idle, (to_mu - now.mu * ds) / now.s, dmu),
            a=da,
            v=-da[self.bounded],
            s=np.where(is_idle, ds, (to_mu - now.s * dmu) / now.mu),
            t=dt,
            V=dV,
        )

    def _solve(
        self, rhs: np.ndarray, shift: np.ndarray, n_refinements: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        r"""Solve for :math:`\Delta\zeta = R^\top x + c`.

        The factored matrix has lost digits where samples of very different weight meet. Passes over
        the samples have them, and conjugate gradients on these bring them back.

        Parameters
        ----------
        rhs : ndarray of shape (n_samples,)
            The change of the margins and of the weighted dual point together.
        shift : ndarray of shape (n_gates, n_features)
            The vector c.
        n_refinements : int
            Most conjugate-gradient steps.

        Returns
        -------
        x : ndarray of shape (n_gates * n_features,)
            The solution.
        dmargins : ndarray of shape (n_samples,)
            Change of the margins.
        dV : ndarray of shape (n_gates, n_features)
            Change of the sums, by the equations if there is no refinement.
        """
        shape = shift.shape
        target = self.sums(self.weights * rhs) - (self.S @ shift.ravel()).reshape(shape)
        x = self._backsolve((self.root @ target).ravel())
        dmargins = self.values(self.root.T @ x.reshape(shape) + shift)
        if n_refinements == 0:
            return x, dmargins, solve_triangular(self.root, self._prior(x).reshape(shape))
        direction, slope = np.zeros_like(x), np.inf
        for k in range(n_refinements + 1):
            dV = self.sums(self.weights * (rhs - dmargins))
            residual = (self.root @ dV).ravel() - self._prior(x)
            step = self._backsolve(residual)
            slope, previous = float(residual @ step), slope
            energy = float(x @ self._prior(x) + dmargins @ (self.weights * dmargins))
            if not slope > _ACCURACY**2 * energy or k == n_refinements:
                break
            direction = step + slope / previous * direction
            image = self.values(self.root.T @ direction.reshape(shape))
            curvature = float(direction @ self._prior(direction) + image @ (self.weights * image))
            x = x + slope / curvature * direction
            dmargins = dmargins + slope / curvature * image
        return x, dmargins, dV

    def recovery(self, state: FeatureState) -> np.ndarray:
        r"""Coefficients c with :math:`\sum_h \mu_h Q_h c` the margins of the state.

        The dual point is near to them. With :math:`G = \Phi R^\top` it is corrected by
        :math:`G (G^\top G)^{-2} G^\top` times what is missing of the margins: in these coordinates
        a singular Gram matrix does no harm, as all that it is applied to is in its range.
        """
        root = self._root(state.mu)
        matrix = self._in_coordinates(
            self.problem.design.feature_gram(np.full(len(self.upper), self.scale)), root
        )
        diagonal = np.einsum("ii->i", matrix)
        diagonal += _RIDGE * np.mean(diagonal) + np.finfo(float).tiny
        cholesky, _ = dpotrf(matrix.T, lower=1, overwrite_a=1, clean=0)
        coef = state.a
        for _ in range(_CORRECTIONS):
            missing = state.margins - self.values(root.T @ (root @ self.sums(coef)))
            if np.max(np.abs(missing)) <= _EXACT:
                break
            x = root @ self.sums(missing)
            for _ in range(2):
                x = dpotrs(cholesky, x.ravel(), lower=1)[0].reshape(x.shape)
            coef = coef + self.values(root.T @ x)
        return self.scale * coef


def _squares(V: np.ndarray) -> np.ndarray:
    return np.einsum("hrd,hrd->h", V, V)


def _scaled_rows(X: Any, factors: np.ndarray) -> Any:
    return (diags(factors) @ X).tocsr() if issparse(X) else X * factors[:, None]
