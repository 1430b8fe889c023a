r"""The Newton system through the samples, of their number.

With the derivatives of the conjugates and the multipliers of the bounds the conditions of
optimality, relaxed by :math:`\sigma > 0`, are

.. math::

    \textstyle\sum_h \mu_h K_h b + (l^*)'(b) - z + u = 0, \quad \sum_h \mu_h = 1, \quad
    \tfrac12 b^\top K_h b + s_h = t, \quad p z = \mu s = v u = \sigma .

All but :math:`\Delta b` is eliminated, :math:`\Delta t` too, which leaves one symmetric positive
definite system with the matrix

.. math::

    \textstyle\sum_h \mu_h K_h + \operatorname{diag}((l^*)'' + z/p + u/v)
        + \sum_h w_h (p_h - \bar p)(p_h - \bar p)^\top, \qquad
    p_h = K_h b, \quad w_h = \mu_h / s_h, \quad \bar p = \sum_h w_h p_h / \sum_h w_h .

Centring the :math:`p_h` is what eliminating :math:`\Delta t` amounts to: no border and no
cancellation. The outputs :math:`f = \sum_h \mu_h p_h` fall out, so every iteration carries its
certificate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gnorm.solvers.certify import Affine
from gnorm.solvers.design.gram import Precision
from gnorm.solvers.interior.factor import Factor
from gnorm.solvers.interior.state import Products, State, checked
from gnorm.solvers.interior.system import Dual, NewtonSystem, Primal, ridge_regression
from gnorm.solvers.problem import Problem

__all__ = ["Pinned", "SampleSystem"]

# Cancellation of the squared features below which the Gram matrix has too few digits.
_CANCELLATION = {np.float64: 1e-7, np.float32: 1e-5}
_FINE = 1e-7  # relative gap below which steps from Gram matrices alone lose their way
_LEAST_MULTIPLIER = 0.1  # of a bound at the start beside a guess, in units of the outputs
_START_SLACK = 1.1  # length of the start over that of its longest unit, squared, beside a guess
_FEW = 500  # samples up to which steps always take the curvature of the constraints along
_SHORT_STEP = 0.3  # below it they do so on any number of samples


@dataclass(frozen=True)
class Pinned:
    r"""Samples whose coefficients stay what they are, as one linear term of the others.

    With :math:`V'_h = \sum_n b_n \phi_h(x_n)` over them,
    :math:`\|V_h\|^2 = b^\top K_h b + 2 b^\top q_h + \|V'_h\|^2`.

    Attributes
    ----------
    pull : ndarray of shape (n_samples, n_kernels)
        :math:`q_h = \langle \phi_h, V'_h \rangle` at the samples that are not pinned.
    squares : ndarray of shape (n_kernels,)
        :math:`\|V'_h\|^2`.
    conjugate : float
        :math:`\sum_n l_n^*(-b_n)`.
    """

    pull: np.ndarray
    squares: np.ndarray
    conjugate: float


class SampleSystem(NewtonSystem):
    """The Newton system in the dual coefficients of the samples.

    Parameters
    ----------
    problem : Problem
        The problem.
    scale : float, default=None
        Unit of the dual coefficients; None for a natural one.
    pinned : Pinned, default=None
        Samples beside those of the problem.
    precision : type, default=numpy.float64
        Precision of the Newton matrix.
    refines : bool, default=True
        Whether steps are refined through the features where digits are missing.

    Attributes
    ----------
    is_exact : bool
        Whether the gradients are computed through the features.
    is_refined : bool
        Whether steps are refined through the features by now.
    """

    is_coupled = True

    def __init__(
        self,
        problem: Problem,
        scale: float | None = None,
        pinned: Pinned | None = None,
        precision: Precision = np.float64,
        *,
        refines: bool = True,
    ) -> None:
        self.precision, self.refines = precision, refines
        self.pinned = pinned
        self.is_exact = self.is_refined = False
        self.is_curved = len(problem.y) <= _FEW
        self._factor = Factor(self.precision)
        self._latest: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        super().__init__(problem, scale)

    @property
    def is_rough(self) -> bool:  # type: ignore[override]  # follows the precision
        """Whether points are evaluated in single precision."""
        return self.precision is np.float32

    def _squared_norms(self, coef: np.ndarray) -> np.ndarray:
        return coef @ self.problem.design.kernel_products(coef, self.precision)

    # -- points ----------------------------------------------------------------------------------

    def start(self, guess: np.ndarray | None = None) -> State:
        """Start with multipliers that leave no slack negative.

        Parameters
        ----------
        guess : ndarray of shape (n_samples,), default=None
            Dual point to start near to; None starts at a constant length.

        Returns
        -------
        State
            The starting point.
        """
        variables = self.coefficients
        if guess is None:
            coef, least, slack = self._ridge(), 0.5, 2.25
        else:
            coef, least, slack = guess / self.scale, _LEAST_MULTIPLIER, _START_SLACK
        x = variables.inside(coef)
        coef, P = self._at(x)
        if self.problem.loss.has_open_domain:
            x = x * self.best_length(x, float(np.max(self._dual_norms(coef, P))))
            coef, P = self._at(x)
        n_kernels = self.problem.design.n_kernels
        mu = np.full(n_kernels, 1 / n_kernels)
        quadratics = self.quadratics(coef, P)
        t = slack * max(float(np.max(quadratics)), 1e-3)
        s = t - quadratics
        sigma = float(np.mean(s * mu))
        p, v = variables.slacks(x)
        excess = variables.parts(P @ mu) + variables.derivatives(x)[0]
        longest = float(np.max(np.abs(x))) or 1.0

        def multiplier(slack: np.ndarray, excess: np.ndarray) -> np.ndarray:
            # A distant bound gets a small multiplier: its product starts near that of the others.
            near = np.maximum(least, sigma / np.minimum(slack, longest))
            return np.maximum(excess, 0.0) + near / np.maximum(slack / longest, 1.0)

        z = multiplier(p, excess[variables.at_lower])
        u = multiplier(v, -excess[variables.at_upper])
        return State(z=z, u=u, mu=mu, x=x, p=p, v=v, s=s, t=t)

    def entered(self, x: np.ndarray, outputs: np.ndarray, mu: np.ndarray, sigma: float) -> State:
        r"""Enter the central path near to a point, with all products at :math:`\sigma` or above.

        Parameters
        ----------
        x : ndarray
            Parts of the dual coefficients.
        outputs : ndarray of shape (n_samples,)
            Outputs, in their units.
        mu : ndarray of shape (n_kernels,)
            Shares of the kernels.
        sigma : float
            As large as the point is likely to be off the solution.
        """
        variables = self.coefficients
        parts = variables.entered(x, outputs, sigma, np.sqrt(sigma))
        own = variables.with_multipliers(parts)
        s, mu, t = self.bounded(self.quadratics(*self._at(own["x"])), mu, sigma)
        return State(**own, s=s, mu=mu, t=t)

    def _ridge(self) -> np.ndarray:
        """Residuals of a ridge regression of the targets, with equal shares of the kernels."""
        design, problem = self.problem.design, self.problem
        n_kernels, y = design.n_kernels, problem.y / self.unit
        weights = np.full(n_kernels, self.scale / self.unit / n_kernels)
        S = design.weighted_gram(weights, self.precision)
        slope = np.abs(problem.loss.derivative(problem.y, np.zeros(len(y)), problem.C))
        with np.errstate(divide="ignore", over="ignore"):  # what is infinite keeps a sample at zero
            ridge = self.scale * np.maximum(np.abs(y), 1.0) / slope
        coef = ridge_regression(S, y, ridge)
        return 0.5 * np.sign(y) if coef is None else coef

    def _at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients of the samples and gradients ``p_h = K_h b``, by features if these cancel.

        The gradients are linear in b: in single precision only the change since the last point is
        rounded, relative to its own size. Along the path it becomes small, see :meth:`anchor`.
        """
        if self._latest is not None and x is self._latest[0]:
            return self._latest[1:]
        coef = self.coefficients.total(x)
        if self._latest is None or not self.is_rough or self.is_exact:
            P = self._gradients(coef)
        else:
            _, latest, P = self._latest
            P = P + self.images(coef - latest)
        if not self.is_exact and self._residual(coef, P) ** 2 <= _CANCELLATION[self.precision]:
            self.is_exact, self.is_refined = True, not self.is_rough
            P = self._gradients(coef)
        self._latest = x, coef, P
        return coef, P

    def anchor(self, state: State) -> None:
        """Compute the gradients through the features, for others to be built on them."""
        coef = self.coefficients.total(state.x)
        self._latest = state.x, coef, self._gradients(coef, is_exact=True)

    def _gradients(self, coef: np.ndarray, *, is_exact: bool = False) -> np.ndarray:
        P = self.images(coef, is_exact=is_exact or self.is_exact)
        return P if self.pinned is None else P + self.pinned.pull / self.unit

    def images(self, coef: np.ndarray, *, is_exact: bool = False) -> np.ndarray:
        """Compute ``K_h b``, the change of the gradients with a change of the dual point."""
        design, scaled = self.problem.design, (self.scale / self.unit) * coef
        if is_exact or self.is_refined:  # of small changes the Gram matrix has digits enough
            return design.exact_products(checked(scaled))
        return design.kernel_products(scaled, self.precision)

    def quadratics(self, coef: np.ndarray, P: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\tfrac12 \|V_h\|^2` from the products."""
        if self.pinned is None:
            return 0.5 * (coef @ P)
        pull = (coef @ self.pinned.pull) / self.unit
        return 0.5 * (coef @ P + pull + self.pinned.squares / self.value_unit)

    def has_outgrown(self, state: State, most: float) -> bool:
        r"""Whether some :math:`\tfrac12 \|V_h\|^2` is above ``most`` times what bounds it."""
        return bool(np.max(self.quadratics(*self._at(state.x))) > most * state.t)

    def _dual_norms(self, coef: np.ndarray, P: np.ndarray) -> np.ndarray:
        return np.sqrt(2.0 * self.value_unit * np.maximum(self.quadratics(coef, P), 0.0))

    def _residual(self, coef: np.ndarray, P: np.ndarray) -> float:
        total = self.scale * float(np.sum(np.abs(coef))) * self.problem.design.max_feature_norm
        return float(self._dual_norms(coef, P).max()) / total if total > 0 else 0.0

    def ray_residual(self, state: State) -> float:
        """Estimate the separability residual from the products at hand."""
        return self._residual(*self._at(state.x)) if self.problem.is_hard.any() else np.inf

    def primal(self, state: State, mu: np.ndarray | None = None) -> Primal:
        """Evaluate the predictor recovered from the coefficients and the shares of a state."""
        mu = state.mu if mu is None else mu
        coef, P = self._at(state.x)
        outputs = self.unit * (P @ mu)
        others = None
        if self.pinned is not None:
            pulled = self.scale * (coef @ self.pinned.pull) + self.pinned.squares
            others = Affine(self.pinned.conjugate, float(mu @ pulled))
        norm = float(mu @ self._dual_norms(coef, P))
        recovery = self.coefficients.dual_coef(state.x), mu
        return self._primal(recovery, outputs, norm, others)

    def dual(self, state: State, x: np.ndarray | None = None) -> Dual:
        """Evaluate the dual point of a state, or that of other coefficients near to it."""
        coef, P = self._at(state.x)
        if x is not None:
            other = self.coefficients.total(x)
            coef, P = other, P + self.images(other - coef)
        others = None if self.pinned is None else Affine(self.pinned.conjugate)
        largest = float(self._dual_norms(coef, P).max())
        return self._dual(state.x if x is None else x, largest, others)

    # -- steps -----------------------------------------------------------------------------------

    def factor(self, state: State) -> bool:
        """Factorise the Newton matrix at a state; False if it is not positive definite."""
        self.state = state
        self.coef, self.P = self._at(state.x)
        self.w = state.mu / state.s
        self.centre = self.P @ (self.w / self.w.sum())
        return self._factorise(self.coefficients.linearise(state, self.P @ state.mu))

    def _factorise(self, diagonal: np.ndarray) -> bool:
        self.diagonal = diagonal
        spread = (self.P - self.centre[:, None]) * np.sqrt(self.w)
        weights = (self.scale / self.unit) * self.state.mu
        self._factor.precision = self.precision

        def build(precision: Precision, out: np.ndarray | None) -> np.ndarray:
            return self.problem.design.weighted_gram(weights, precision, out)

        return self._factor.factorise(build, self.diagonal, spread)

    def _multiply(self, x: np.ndarray) -> np.ndarray:
        """Product with the Newton matrix, through the features."""
        products = self.images(x, is_exact=True)
        weighted = self.w * ((self.P - self.centre[:, None]).T @ x)
        spread = self.P @ weighted - self.centre * weighted.sum()
        return products @ self.state.mu + spread + self.diagonal * x

    def direction(self, targets: Products, predictor: State | None = None) -> State:
        """Newton direction, see :class:`NewtonSystem`.

        What the curvature of the constraints adds along the predictor costs one more product: on
        many samples it is left out while steps are long.
        """
        now = self.state
        gradient = self.coefficients.gradient(now, self.P @ now.mu)
        excess = self.quadratics(self.coef, self.P) - now.t + now.s
        if predictor is not None and self.is_curved:
            change = self.coefficients.total(predictor.x)
            turned = self.images(change)
            gradient += self.coefficients.parts(turned @ predictor.mu)
            excess += 0.5 * (change @ turned)
        missing = 1.0 - float(np.sum(now.mu))
        return self._change(targets, gradient, excess, missing)

    def corrected(
        self, change: State, targets: Products, further: Products, predictor: State
    ) -> State:
        """Add the direction that changes the products by what is further, and nothing else."""
        nothing = np.zeros(len(self.state.x)), np.zeros(len(self.w)), 0.0
        return change.moved(self._change(further, *nothing), 1.0, 1.0)

    def _change(
        self, targets: Products, gradient: np.ndarray, excess: np.ndarray, missing: float
    ) -> State:
        """Solve for what removes these residuals."""
        now, P, w = self.state, self.P, self.w
        to_z, to_u, to_mu = targets
        e = (to_mu + now.mu * excess) / now.s
        rhs = self.coefficients.condensed(now, gradient, to_z, to_u)
        if self._factor.is_bordered and not self.is_refined:
            change, dmu, dt = self._factor.solve_bordered(rhs, e, missing, np.sqrt(w), self.centre)
            # The slack of an active unit is small beside what rounding leaves of the slopes: it
            # follows its multiplier, and what it misses is in the excess of the next step.
            is_active = now.s / now.t < now.mu / np.max(now.mu)
            ds = dt - excess - P.T @ change
            np.divide(to_mu - now.s * dmu, now.mu, out=ds, where=is_active)
        else:
            pull = (float(np.sum(e)) - missing) / float(np.sum(w))
            reduced = rhs - P @ (e - w * pull)
            if self.is_refined:
                change = self._factor.refined(reduced, self._multiply)
            else:
                change = self._factor.solve(reduced)
            slopes = P.T @ change
            dt = pull + float(w @ slopes) / float(np.sum(w))
            ds = dt - excess - slopes
            dmu = (to_mu - now.mu * ds) / now.s
        outputs = rhs - self.diagonal * change
        parts = self.coefficients.expanded(now, change, outputs, to_z, to_u)
        return State(mu=dmu, s=ds, t=dt, **parts)

    # -- precision -------------------------------------------------------------------------------

    def sharpen(self, gap: float, tol: float) -> None:
        """Refine steps where the gap is fine and the tolerance finer."""
        if tol < gap < _FINE and not self.is_rough:
            self.is_exact = self.is_refined = True

    def note_step(self, step: float) -> None:
        """Take the curvature along from the first short step on."""
        self.is_curved |= step < _SHORT_STEP

    @property
    def has_more_digits(self) -> bool:
        """Whether steps can still be refined, here or in a system in double precision."""
        return not (self.refines and self.is_refined)

    def escalate(self, state: State) -> State | None:
        """Go over to refined steps, and enter the path anew.

        Slacks shorter than the error that the old precision made of them would block every step.
        """
        if self.is_refined or not self.refines:
            return None
        self.is_exact = self.is_refined = True
        self.anchor(state)
        coef, P = self._at(state.x)
        error = state.mu * np.abs(self.quadratics(coef, P) - state.t + state.s)
        sigma = max(state.complementarity(), float(np.max(error)))
        return self.entered(state.x, P @ state.mu, state.mu / np.sum(state.mu), sigma)
