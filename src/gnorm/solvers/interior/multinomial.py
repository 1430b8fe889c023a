r"""The Newton system through the samples for the multinomial loss, of K outputs a sample.

A sample has the coefficients :math:`b_n = C_n (e_{y_n} - p_n)` of a point p of the simplex, a row of
the matrix b with columns :math:`b_k`. With a multiplier :math:`\nu_n` of :math:`\sum_k b_{nk} = 0`
the conditions of optimality, relaxed by :math:`\sigma > 0`, are

.. math::

    \textstyle\sum_h \mu_h K_h b_k - 1 - \log p_k + \nu = 0, \quad \sum_k b_k = 0, \quad
    \sum_h \mu_h = 1, \quad \tfrac12 \sum_k b_k^\top K_h b_k + s_h = t, \quad \mu s = \sigma .

The entropy is a sum over the coordinates, so its curvature is diagonal in these redundant
coordinates, and the Newton matrix has a block of the size of the samples for each class,

.. math:: A_k = \textstyle\sum_h \mu_h K_h + \operatorname{diag}(1 / (C p_k)) .

The blocks are coupled by two things. One is the constraint: with one Cholesky factor a class,

.. math::

    \Delta\nu = \Bigl( \sum_k A_k^{-1} \Bigr)^{-1} \Bigl( \sum_k A_k^{-1} r_k - d \Bigr), \qquad
    \Delta b_k = A_k^{-1} (r_k - \Delta\nu),

where d is what is missing of the sums, as in Gaussian process classification [1]_: time is K and
not :math:`K^3` times that of one output. The other are the bounds of the squared norms. They add
:math:`R R^\top` with one column :math:`\sqrt{w_h} (p_h - \bar p)` for each kernel,
:math:`p_h = K_h b` and :math:`w_h = \mu_h / s_h`, as for one output. These columns grow without
bound along the path and are kept apart as a border: with the inverse B above, :math:`T = B R` and
the factor of :math:`I + R^\top T` the changes of coefficients, shares and bound follow at once.

The curvatures are slopes of secants, from :math:`\log p` to the :math:`\log \hat p` that the outputs
at hand name, :math:`\hat p = e^{f - \nu + \dots}` normalised: with :math:`\nu_n = 1 - \log \sum_k
e^{f_{nk}}` each coordinate is a coefficient of an open domain like any other. Newton's method does
not care for :math:`\nu` beyond that, in which it is linear.

References
----------
.. [1] C. K. I. Williams and D. Barber, "Bayesian classification with Gaussian processes", IEEE
   Transactions on Pattern Analysis and Machine Intelligence 20(12), 1998.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_solve
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs
from scipy.special import logsumexp

from gnorm.solvers.interior.state import Products, State
from gnorm.solvers.interior.system import Dual, NewtonSystem, Primal
from gnorm.solvers.problem import Problem

__all__ = ["MultinomialSystem", "bytes_needed"]

_JITTER = 1e-15  # relative, on the diagonal of a factored matrix
_RIDGE = 1e-5  # of the regression for the length of the start, relative
_START_SHARE = 0.5  # most of the coefficients of the predictor of zeros at the start
_START_SLACK = 2.25  # bound of the squared norms over the largest at the start


def bytes_needed(problem: Problem) -> float:
    """Memory that a solve takes: K + 4 matrices of all pairs of samples, and what is smaller."""
    design, n_samples, n_outputs = problem.design, len(problem.y), problem.n_outputs
    per_sample = 6 * design.n_gates + n_outputs * (5 * design.n_kernels + 40)
    weights = 4 * design.n_gates * design.n_features * n_outputs
    return 8.0 * ((n_outputs + 4) * n_samples**2 + per_sample * n_samples + weights)


class MultinomialSystem(NewtonSystem):
    """The Newton system in the dual coefficients of the samples, one for each class.

    Arrays over the coefficients are flat, those of a sample next to each other.

    Parameters
    ----------
    problem : Problem
        The problem, with a loss of several outputs.
    scale : float, default=None
        Unit of the dual coefficients; None for a natural one.
    """

    is_coupled = True

    def __init__(self, problem: Problem, scale: float | None = None) -> None:
        self.shape = problem.zero_outputs.shape
        self._inverse = _SimplexInverse(problem.y, self.shape[1])
        self._latest: tuple[np.ndarray, np.ndarray] | None = None
        super().__init__(problem, scale)

    def _squared_norms(self, coef: np.ndarray) -> np.ndarray:
        norm = self.problem.design.norm
        squares: np.ndarray = norm.dual_norms(self.problem.design.sums(coef)) ** 2
        return squares

    # -- points ----------------------------------------------------------------------------------

    def start(self, guess: np.ndarray | None = None) -> State:
        """Start on the line from coefficients of zero to those of the predictor of zeros.

        Parameters
        ----------
        guess : ndarray, default=None
            Not used: no other start is known to be better.

        Returns
        -------
        State
            The starting point.
        """
        _ = guess
        problem, steepest = self.problem, self._steepest()
        ends = -problem.loss.derivative(problem.y, problem.zero_outputs, problem.C) / self.scale
        lengths = np.max(np.abs(ends), axis=1)
        share = np.minimum(_START_SHARE, self._typical_coefficient(steepest) / lengths)
        x = (share[:, None] * ends).ravel()
        n_kernels = problem.design.n_kernels
        quadratics = 0.5 * (x @ self._gradients(x))
        t = _START_SLACK * max(float(np.max(quadratics)), 1e-3)
        mu = np.full(n_kernels, 1.0 / n_kernels)
        none = np.empty(0)
        return State(z=none, u=none, mu=mu, x=x, p=none, v=none, s=t - quadratics, t=t)

    def _typical_coefficient(self, steepest: np.ndarray) -> float:
        """Half the mean coefficient that brings all outputs to the steepest ones, nearly.

        By ridge regression: a start that is too short is far from the path.
        """
        S = self._weighted_gram(np.full(self.problem.design.n_kernels, 1.0))
        diagonal = np.einsum("ii->i", S)
        diagonal += _RIDGE * np.mean(diagonal) + np.finfo(float).tiny
        cholesky, failed_at = dpotrf(S, lower=1, overwrite_a=1, clean=0)
        if failed_at or not np.max(diagonal) > 1e-30:  # no features to speak of
            return 0.5
        coef = dpotrs(cholesky, steepest, lower=1)[0]
        return max(0.5, 0.5 * float(np.mean(np.max(np.abs(coef), axis=1))))

    def _weighted_gram(self, mu: np.ndarray) -> np.ndarray:
        return self.problem.design.weighted_gram(self.scale / self.unit * mu, np.float64)

    def settled(self, state: State) -> State:
        """Return the state: it has no variable that follows from others."""
        return state

    def _images(self, x: np.ndarray) -> np.ndarray:
        """Products with the kernels, through the features: beside the factors they cost nothing."""
        scaled = self.scale / self.unit * x.reshape(self.shape)
        return self.problem.design.exact_products(scaled).reshape(len(x), -1)

    def _gradients(self, x: np.ndarray) -> np.ndarray:
        r""":math:`p_h = K_h b`, shape (n_samples * n_outputs, n_kernels)."""
        if self._latest is None or self._latest[0] is not x:
            self._latest = x, self._images(x)
        return self._latest[1]

    def _dual_norms(self, x: np.ndarray) -> np.ndarray:
        return np.sqrt(self.value_unit * np.maximum(x @ self._gradients(x), 0.0))

    def ray_residual(self, state: State) -> float:
        """Infinite: no margin is hard."""
        _ = state
        return np.inf

    def primal(self, state: State, mu: np.ndarray | None = None) -> Primal:
        """Evaluate the predictor recovered from the coefficients and the shares of a state."""
        mu = state.mu if mu is None else mu
        outputs = self.unit * (self._gradients(state.x) @ mu).reshape(self.shape)
        recovery = self.coefficients.dual_coef(state.x), mu
        return self._primal(recovery, outputs, float(mu @ self._dual_norms(state.x)))

    def dual(self, state: State, x: np.ndarray | None = None) -> Dual:
        """Evaluate the dual point of a state: coefficients of an open domain are not rounded."""
        _ = x
        return self._dual(state.x, float(np.max(self._dual_norms(state.x))))

    def recovered(self, primal: Primal) -> tuple[np.ndarray, np.ndarray]:
        """Return coefficients and shares, from which a certificate recovers the weights."""
        return primal.recovery

    # -- steps -----------------------------------------------------------------------------------

    def factor(self, state: State) -> bool:
        """Factorise the Newton matrix at a state; False if it is not positive definite."""
        self.state = state
        self.P = self._gradients(state.x)
        self.w = state.mu / state.s
        self.centre = self.P @ (self.w / self.w.sum())
        outputs = (self.P @ state.mu).reshape(self.shape)
        nu = 1.0 / self.unit - logsumexp(self.unit * outputs, axis=1) / self.unit
        self.outputs = (outputs + nu[:, None]).ravel()
        self.diagonal = self.coefficients.linearise(state, self.outputs)
        self._gram = self._weighted_gram(state.mu)
        return self._factorise()

    def refactor(self, change: State) -> bool:
        """Factorise anew with the slopes on the side to which a direction goes."""
        diagonal = self.coefficients.with_tangents(self.state, change.x)
        if diagonal is None:
            return False
        self.diagonal = diagonal
        return self._factorise()

    def _factorise(self) -> bool:
        if not (np.isfinite(self.w).all() and np.isfinite(self.diagonal).all()):
            return False
        if not self._inverse.factorise(self._gram, self.diagonal.reshape(self.shape)):
            return False
        self.spread = (self.P - self.centre[:, None]) * np.sqrt(self.w)
        none = np.zeros((self.shape[0], len(self.w)))
        self.lifted = self._inverse.solve(self.spread, none)
        inner = self.spread.T @ self.lifted
        inner = 0.5 * (inner + inner.T)
        entries = np.einsum("ii->i", inner)
        entries += 1.0
        entries *= 1.0 + len(inner) * np.finfo(float).eps
        self._inner, failed_at = dpotrf(inner, lower=1)
        return bool(failed_at == 0)

    def direction(self, targets: Products, predictor: State | None = None) -> State:
        """Newton direction, see :class:`NewtonSystem`."""
        now = self.state
        gradient = self.coefficients.gradient(now, self.outputs)
        excess = 0.5 * (now.x @ self.P) - now.t + now.s
        if predictor is not None:
            turned = self._images(predictor.x)
            gradient += turned @ predictor.mu
            excess += 0.5 * (predictor.x @ turned)
        missing = -np.sum(now.x.reshape(self.shape), axis=1)
        return self._change(targets, -gradient, excess, 1.0 - float(np.sum(now.mu)), missing)

    def corrected(
        self, change: State, targets: Products, further: Products, predictor: State
    ) -> State:
        """Add the direction that changes the products by what is further, and nothing else."""
        rhs, excess, missing = np.zeros(len(self.P)), np.zeros(len(self.w)), np.zeros(self.shape[0])
        return change.moved(self._change(further, rhs, excess, 0.0, missing), 1.0, 1.0)

    def _change(
        self,
        targets: Products,
        rhs: np.ndarray,
        excess: np.ndarray,
        missing: float,
        missing_sums: np.ndarray,
    ) -> State:
        r"""Solve for what removes these residuals.

        With the inverse B on the simplex, :math:`\Delta b = B(r - \bar p m) - T W^{1/2}
        \Delta\mu`-like terms follow from a system of the size of the kernels.

        Parameters
        ----------
        targets : tuple of ndarray
            Changes wanted of the products of the pairs.
        rhs : ndarray of shape (n_samples * n_outputs,)
            What the gradient lacks.
        excess : ndarray of shape (n_kernels,)
            :math:`\tfrac12 \|V_h\|^2 + s_h - t`.
        missing : float
            What the shares lack of a sum of one.
        missing_sums : ndarray of shape (n_samples,)
            What the coefficients of each sample lack of a sum of zero.
        """
        now, roots = self.state, np.sqrt(self.w)
        e = (targets[2] + now.mu * excess) / now.s
        known = self._inverse.solve(
            (rhs - missing * self.centre)[:, None], missing_sums[:, None]
        )[:, 0]
        sides = np.column_stack([self.spread.T @ known + e / roots, roots])
        free, pulled = cho_solve((self._inner, True), sides).T
        pull = (float(roots @ free) - missing) / float(roots @ pulled)
        scaled = free - pull * pulled
        change = known - self.lifted @ scaled
        dmu, dt = roots * scaled, pull + float(self.centre @ change)
        # The slack of an active unit is small beside what rounding leaves of the slopes: it
        # follows its multiplier, and what it misses is in the excess of the next step.
        is_active = now.s / now.t < now.mu / np.max(now.mu)
        ds = dt - excess - self.P.T @ change
        np.divide(targets[2] - now.s * dmu, now.mu, out=ds, where=is_active)
        none = np.empty(0)
        return State(mu=dmu, s=ds, t=dt, x=change, z=none, u=none, p=none, v=none)


class _SimplexInverse:
    """The inverse of a matrix of one block a class where the coefficients of a sample sum to zero.

    Parameters
    ----------
    y : ndarray of int, shape (n_samples,)
        Classes of the samples.
    n_outputs : int
        Number of classes.
    """

    def __init__(self, y: np.ndarray, n_outputs: int) -> None:
        self._own = np.arange(len(y)), y
        self._factors: list[np.ndarray | None] = [None] * n_outputs

    def factorise(self, gram: np.ndarray, diagonal: np.ndarray) -> bool:
        """Factorise; False if a block is not positive definite.

        Parameters
        ----------
        gram : ndarray of shape (n_samples, n_samples), Fortran order
            What the blocks have in common, the lower triangle.
        diagonal : ndarray of shape (n_samples, n_outputs)
            What each block has beside it on its diagonal.
        """
        schur = np.zeros(gram.shape, order="F")
        for k in range(len(self._factors)):
            block = self._factors[k]
            block = np.empty_like(schur) if block is None else block
            np.copyto(block, gram)
            entries = np.einsum("ii->i", block)
            entries += diagonal[:, k]
            entries *= 1.0 + _JITTER
            self._factors[k], failed_at = dpotrf(block, lower=1, overwrite_a=1, clean=0)
            if failed_at:
                return False
            schur += dpotri(self._factors[k], lower=1)[0]
        self._schur, failed_at = dpotrf(schur, lower=1, overwrite_a=1, clean=0)
        return bool(failed_at == 0)

    def solve(self, rhs: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """Coefficients with the given sums, and with the right-hand side up to a multiplier.

        Parameters
        ----------
        rhs : ndarray of shape (n_samples * n_outputs, n_columns)
            Right-hand sides.
        missing : ndarray of shape (n_samples, n_columns)
            Sums of the coefficients of each sample.
        """
        by_class = rhs.reshape(len(missing), len(self._factors), -1).transpose(1, 0, 2)
        excess = -missing
        for block, own in zip(self._factors, by_class, strict=True):
            excess = excess + dpotrs(block, own, lower=1)[0]
        multiplier = dpotrs(self._schur, excess, lower=1)[0]
        x = np.empty((len(missing), len(self._factors), rhs.shape[1]))
        for k, (block, own) in enumerate(zip(self._factors, by_class, strict=True)):
            x[:, k] = dpotrs(block, own - multiplier, lower=1)[0]
        # The coefficient of a label is the difference of large terms where the sample is far on
        # the right side; the others, which vanish there, have their digits.
        x[self._own] = 0.0
        x[self._own] = missing - np.sum(x, axis=1)
        return x.reshape(rhs.shape)
