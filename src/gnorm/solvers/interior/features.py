r"""The Newton system through the features, of the size of the coded gated features.

The conditions of optimality of :mod:`gnorm.solvers.interior.samples`, with the predictor
:math:`\zeta` as a variable of its own,

.. math::

    f + (l^*)'(b) - z + u = 0, \quad f = \Phi \zeta, \quad
    \zeta = \textstyle\sum_h \mu_h E_h^\top V_h, \quad \sum_h \mu_h = 1, \qquad
    V = \Phi^\top b, \quad \tfrac12 \|V_h\|^2 + s_h = t,

where :math:`\Phi` has the coded features (:mod:`gnorm.solvers.design.coded`) of the samples as rows
and :math:`V_h = E_h V`. The first four lie on the primal side, the next two on the dual side: each
side has a step of its own. What rounding takes from :math:`\zeta` is a residual of the next Newton
step, which gives it back.

Eliminating all but :math:`\Delta\zeta` leaves a system of the size of the coded features,

.. math::

    (B^{-1} + S) \, \Delta\zeta = \dots, \qquad
    B = \textstyle\sum_h \mu_h E_h^\top E_h + \sum_h w_h (p_h - \bar p)(p_h - \bar p)^\top, \quad
    S = \Phi^\top \operatorname{diag}((l^*)'' + z/p + u/v)^{-1} \Phi,

with :math:`p_h = E_h^\top V_h`, :math:`w_h = \mu_h / s_h` and :math:`\bar p` their mean weighted by
w. Of n coded features, K D for K coded gates and D inputs that all units see, building S takes
N n^2 operations; a solution with the factored matrix takes passes over the samples, N n. So every
factor is used several times. Where one unit has many levels S is a block arrowhead and takes less
(:mod:`gnorm.solvers.design.arrowhead`): the Gram matrix of the features knows and makes the factor.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gnorm.solvers.design.feature_gram import FeatureGram, Prior
from gnorm.solvers.interior.state import Breakdown, Products, State, checked
from gnorm.solvers.interior.system import Dual, NewtonSystem, Primal, least_ridge
from gnorm.solvers.problem import Problem

__all__ = ["FeatureSystem"]

_REFINEMENTS = 8  # most conjugate-gradient steps on a Newton system
_ACCURACY = 1e-6  # of its solution, in the norm of its matrix
# Of the slopes at the start of a loss that goes on beyond the labels: bench_losses.py, the row tall
# with 200,000 samples, takes 9 iterations and 11 without.
_BEYOND = 2.0
_LEAST_MULTIPLIER = 0.5  # of a bound at the start, in units of the outputs


class FeatureSystem(NewtonSystem):
    """The Newton system in the coordinates of the coded features.

    Memory is :math:`O(N (K + D) + n^2)` for n coded features of K gates (C - 1 a unit and one more
    if each unit has one of C contexts on) and D inputs, time linear in N.

    Parameters
    ----------
    problem : Problem
        The problem.
    scale : float, default=None
        Unit of the dual coefficients; None for a natural one.
    """

    def __init__(self, problem: Problem, scale: float | None = None) -> None:
        self.coded = problem.design.coded_features
        super().__init__(problem, scale)
        # in the units of the iteration, the inner products of the features are of order one
        self._length = np.sqrt(self.scale / self.unit)

    def _squared_norms(self, coef: np.ndarray) -> np.ndarray:
        return self.coded.squares(self.coded.sums(coef))

    def sums(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\Phi^\top b`, shape (n_coded,)."""
        return self.coded.sums(checked(self._length * coef))

    def values(self, zeta: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\Phi \zeta`, shape (n_samples,)."""
        return self._length * self.coded.values(checked(zeta))

    def feature_gram(self, weights: np.ndarray) -> tuple[float, FeatureGram]:
        """A number and the matrix of which it makes the weighted Gram matrix of the features."""
        largest, S = self.problem.design.relative_feature_gram(weights)
        return float(self._length**2 * largest), S

    # -- points ----------------------------------------------------------------------------------

    def start(self, guess: np.ndarray | None = None) -> State:
        """Start at a ridge regression of the targets with equal shares, whatever the guess.

        Its residuals are dual coefficients whose features nearly cancel, as those of the solution
        do; coefficients of a constant length would have far to go.
        """
        variables, problem = self.coefficients, self.problem
        n_kernels = self.problem.design.n_kernels
        mu = np.full(n_kernels, 1.0 / n_kernels)
        coef, zeta, outputs = self._ridge(mu)
        x = variables.inside(coef)
        V = self.sums(variables.total(x))
        if problem.loss.has_open_domain:  # outputs must be those of the coefficients
            longest = float(np.sqrt(self.value_unit * np.max(self.coded.squares(V))))
            length = self.best_length(x, longest)
            x, V = length * x, length * V
            zeta = self.coded.combined(mu, V)
            outputs = self.values(zeta)
        p, v = variables.slacks(x)
        # a curved conjugate holds outputs and coefficients together, which one step keeps so
        first, second = variables.derivatives(x)
        self.is_coupled = bool(np.any(second > 0))
        excess = variables.parts(outputs) + first
        z = np.maximum(excess[variables.at_lower], 0.0) + _LEAST_MULTIPLIER
        u = np.maximum(-excess[variables.at_upper], 0.0) + _LEAST_MULTIPLIER
        quadratics = 0.5 * self.coded.squares(V)
        sigma = (p @ z + v @ u) / max(len(p) + len(v), 1)
        t = 1.1 * float(np.max(quadratics)) + max(n_kernels * sigma, 1e-3)
        return State(
            zeta=zeta,
            outputs=outputs,
            z=z,
            u=u,
            mu=mu,
            x=x,
            p=p,
            v=v,
            s=t - quadratics,
            t=t,
            sums=V,
        )

    def entered(self, coef: np.ndarray, mu: np.ndarray, share: float) -> State:
        """Enter the central path near to a point of a problem without bounds of coefficients.

        Parameters
        ----------
        coef : ndarray of shape (n_samples,)
            Dual coefficients.
        mu : ndarray of shape (n_kernels,)
            Shares of the kernels.
        share : float
            Gap that the point is taken to have, relative to the largest squared norm.
        """
        x = coef / self.scale
        V = self.sums(x)
        quadratics = 0.5 * self.coded.squares(V)
        sigma = share * float(np.max(quadratics)) / len(mu)
        zeta = self.coded.combined(mu, V)
        s, mu, t = self.bounded(quadratics, mu, sigma)
        self.is_coupled = True
        none = np.empty(0)
        return State(
            zeta=zeta, outputs=self.values(zeta), z=none, u=none, mu=mu, x=x, p=none, v=none,
            s=s, t=t, sums=V,
        )  # fmt: skip

    def _ridge(self, mu: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        r"""Minimise :math:`\tfrac12 \|\zeta\|^2 + \tfrac12 \sum_n c_n (f_n - y_n)^2`.

        The weights c are the slopes of the loss at 0, or its curvatures if these are more, or where
        margins are hard as large as single precision would take them.

        Returns
        -------
        coef : ndarray of shape (n_samples,)
            :math:`c (y - f)`.
        zeta : ndarray of shape (n_coded,)
            The minimiser.
        outputs : ndarray of shape (n_samples,)
            Its values.
        """
        problem = self.problem
        y = problem.y / self.unit
        slope = problem.loss.derivative(problem.y, np.zeros(len(y)), problem.C)
        flatness = problem.loss.conjugate_derivatives(problem.y, -slope, problem.C)[1]
        weights = np.abs(slope) / (self.scale * np.maximum(np.abs(y), 1.0))
        if problem.loss.has_open_domain:
            weights *= _BEYOND
        is_curved = flatness > 0
        curvature = self.unit / (self.scale * flatness[is_curved])
        weights[is_curved] = np.maximum(weights[is_curved], curvature)
        root = self.coded.root(mu)
        hard = problem.is_hard
        weights = np.where(hard, 1.0, weights)
        unit, S = self.feature_gram(weights)
        if hard.any():
            least = least_ridge(unit * S.trace(root) / len(y))
            if least > 1e-100:  # there are features to speak of
                unit /= least
                weights /= least
        if (factor := S.factorised(root, unit)) is None:
            raise Breakdown
        zeta = root.adjoint(factor.solve(root.times(self.sums(weights * y))))
        outputs = self.values(zeta)
        return weights * (y - outputs), zeta, outputs

    def settled(self, state: State) -> State:
        r"""Bring the sums up to date and raise t to where no slack is shorter and it holds.

        A step leaves a residual of second order in :math:`\tfrac12 \|V_h\|^2 + s_h = t`, larger
        in the end than the slacks themselves: the products would be small and the dual point poor.
        """
        V = self.sums(self.coefficients.total(state.x))
        quadratics = 0.5 * self.coded.squares(V)
        t = float(np.max(quadratics + state.s))
        return replace(state, s=t - quadratics, t=t, sums=V)

    def primal(self, state: State, mu: np.ndarray | None = None) -> Primal:
        r"""Evaluate the predictor of a state, written as :math:`\zeta_h = \mu_h E_h W`."""
        root = self.coded.root(state.mu)
        W = root.solved(root.adjoint_solved(state.zeta))
        outputs = state.outputs
        if mu is None:
            mu = state.mu
        else:
            outputs = self.values(self.coded.combined(mu, W))
        lengths = np.sqrt(self.value_unit * self.coded.squares(W))
        return self._primal((W, mu), self.unit * outputs, float(mu @ lengths))

    def dual(self, state: State, x: np.ndarray | None = None) -> Dual:
        """Evaluate the dual point of a state, or that of other coefficients."""
        V = state.sums if x is None else self.sums(self.coefficients.total(x))
        largest = float(np.sqrt(self.value_unit * np.max(self.coded.squares(V))))
        return self._dual(state.x if x is None else x, largest)

    def ray_residual(self, state: State) -> float:
        """Estimate the separability residual; infinite if no margin is hard."""
        if not self.problem.is_hard.any():
            return np.inf
        total = float(np.sum(np.abs(state.x))) * self._length * self.problem.design.max_feature_norm
        largest = float(np.sqrt(np.max(self.coded.squares(state.sums))))
        return largest / total if total > 0 else 0.0

    def recovered(self, primal: Primal) -> np.ndarray:
        """Unit weights of a primal point."""
        W, mu = primal.recovery
        sums = self.coded.decoded(self._length * self.unit * W)
        return self.problem.design.recovered(sums, mu)

    # -- steps -----------------------------------------------------------------------------------

    def factor(self, state: State) -> bool:
        r"""Factorise the Newton matrix at a state; False if that cannot be done.

        In the coordinates x with :math:`\zeta = R^\top x` it is
        :math:`(I + Q Q^\top)^{-1} + R S R^\top`, and the inverse is known from a singular value
        decomposition of Q.
        """
        self.state = state
        self.excess = 0.5 * self.coded.squares(state.sums) - state.t + state.s
        self.p = self.coded.projected(state.sums)
        with np.errstate(all="ignore"):  # a quotient out of range ends it below
            self.w = state.mu / state.s
            self.centre = self.w / self.w.sum() @ self.p
            diagonal = self.coefficients.linearise(state, state.outputs)
            is_finite = np.isfinite(1.0 / diagonal).all() and np.isfinite(self.w).all()
        if not is_finite:
            return False

        self.root = self.coded.root(state.mu)
        Q = self.root.adjoint_solved(self.p - self.centre)
        self.prior = Prior((np.sqrt(self.w)[:, None] * Q).T)
        return self._factorise(diagonal)

    def _factorise(self, diagonal: np.ndarray) -> bool:
        self.weights = 1.0 / diagonal
        self.S: Any = None  # what they held before makes room
        self.factored: Any = None
        self.S_unit, self.S = self.feature_gram(self.weights)
        self.factored = self.S.factorised(self.root, self.S_unit, self.prior)
        return self.factored is not None

    def direction(self, targets: Products, predictor: State | None = None) -> State:
        """Newton direction, see :class:`NewtonSystem`; with a predictor it is refined."""
        now, p, w = self.state, self.p, self.w
        to_z, to_u, to_mu = targets
        gradient = self.coefficients.gradient(now, now.outputs)
        rhs = self.coefficients.condensed(now, gradient, to_z, to_u)
        excess = self.excess
        lack = now.mu @ p - now.zeta
        if predictor is not None:
            excess = excess + 0.5 * self.coded.squares(predictor.sums)
            lack += self.coded.combined(predictor.mu, predictor.sums)
        e = (to_mu + now.mu * excess) / now.s
        pull = float(np.sum(e) - 1.0 + np.sum(now.mu)) / float(np.sum(w))
        shift = (e - w * pull) @ p + lack

        x, doutputs, dV = self._solve(rhs, shift, _REFINEMENTS if predictor is not None else 0)
        change = self.weights * (rhs - doutputs)
        dt = pull + float(self.centre @ dV)
        # Either of the pair comes from the equation in which it is not divided by something small.
        prior = self.prior
        along = prior.singular * prior.left * (prior.U.T @ x)
        dmu = e - w * pull + np.sqrt(w) * (prior.Wt.T @ along)
        ds = dt - excess - p @ dV
        is_idle = now.mu / np.max(now.mu) < now.s / now.t
        return State(
            zeta=self.root.adjoint(x) + shift,
            outputs=doutputs,
            mu=np.where(is_idle, (to_mu - now.mu * ds) / now.s, dmu),
            s=np.where(is_idle, ds, (to_mu - now.s * dmu) / now.mu),
            t=dt,
            sums=dV,
            **self.coefficients.expanded(now, change, doutputs, to_z, to_u),
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
            The change of the outputs and of the weighted dual point together.
        shift : ndarray of shape (n_coded,)
            The vector c.
        n_refinements : int
            Most conjugate-gradient steps.

        Returns
        -------
        x : ndarray of shape (n_coded,)
            The solution.
        doutputs : ndarray of shape (n_samples,)
            Change of the outputs.
        dV : ndarray of shape (n_coded,)
            Change of the sums, by the equations if there is no refinement.
        """
        x = self.factored.solve(
            self.root.times(self.sums(self.weights * rhs) - self.S_unit * (self.S @ shift))
        )
        doutputs = self.values(self.root.adjoint(x) + shift)
        if n_refinements == 0:
            return x, doutputs, self.root.solved(self.prior.times(x))
        direction, slope = np.zeros_like(x), np.inf
        for k in range(n_refinements + 1):
            dV = self.sums(self.weights * (rhs - doutputs))
            residual = self.root.times(dV) - self.prior.times(x)
            step = self.factored.solve(residual)
            slope, previous = float(residual @ step), slope
            energy = float(x @ self.prior.times(x) + doutputs @ (self.weights * doutputs))
            if not slope > _ACCURACY**2 * energy or k == n_refinements:
                break
            direction = step + slope / previous * direction
            image = self.values(self.root.adjoint(direction))
            curvature = float(
                direction @ self.prior.times(direction) + image @ (self.weights * image)
            )
            x = x + slope / curvature * direction
            doutputs = doutputs + slope / curvature * image
        return x, doutputs, dV
