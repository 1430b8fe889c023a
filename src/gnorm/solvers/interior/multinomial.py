r"""The Newton system through the samples for the multinomial loss, of K outputs a sample.

A sample has a row :math:`b_n = C_n (e_{y_n} - p_n)` of dual coefficients, with p on the simplex,
and the matrix b of all samples has columns :math:`b_k`. With a multiplier :math:`\nu_n` of
:math:`\sum_k b_{nk} = 0` the conditions of optimality, relaxed by :math:`\sigma > 0`, are

.. math::

    \textstyle\sum_h \mu_h K_h b_k - \log p_k + \nu = 0, \quad \sum_k b_k = 0, \quad
    \sum_h \mu_h = 1, \quad \tfrac12 \sum_k b_k^\top K_h b_k + s_h = t, \quad \mu s = \sigma .

The entropy is a sum over the coordinates, so that its curvature is diagonal in these redundant
ones: the Newton matrix has a block of the size of the samples for each class,

.. math::

    A_k = \textstyle\sum_h \mu_h K_h + D_k, \qquad D_k \approx \operatorname{diag}(1 / (C p_k)) .

Two things couple the blocks. One is the constraint: with one Cholesky factor a class,

.. math::

    \Delta\nu = \Bigl( \sum_k A_k^{-1} \Bigr)^{-1} \Bigl( \sum_k A_k^{-1} r_k - d \Bigr), \qquad
    \Delta b_k = A_k^{-1} (r_k - \Delta\nu),

where d is what the sums miss, as in Gaussian process classification [1]_: time is K and not
:math:`K^3` times that of one output. The other are the bounds of the squared norms. With
:math:`p_h = K_h b`, :math:`w_h = \mu_h / s_h` and :math:`\bar p = \sum_h w_h p_h / \sum_h w_h` they
add :math:`R R^\top`, :math:`R = (P - \bar p) W^{1/2}`, as for one output. R grows without bound
along the path and is kept apart as a border: with the inverse B above, :math:`T = B R` and the
factor of :math:`I + R^\top T` give the changes of coefficients, shares and bound together.

The coefficients are no variables of an open domain. Steps that stop short of its ends are short,
and where C is large and features cancel no other way of staying inside will do: what brings single
coefficients back undoes :math:`\sum_n b_n \phi(x_n) \approx 0`. So they may leave the domain, and
the first condition is solved in the form :math:`b = -l'(f)`, as Newton's method for the primal
problem does. It is multiplied by slopes of the logarithm,

.. math::

    D_k (\hat b_k - b_k), \quad \hat b = C (e_y - \hat p), \quad
    \hat p = e^f / \textstyle\sum_k e^{f_k}, \quad
    D_k = \frac{\log \hat p_k - \log p_k}{C (\hat p_k - p_k)},

with p no less than a share of :math:`\hat p`. Inside the domain that is the first condition itself
with the secant to where the outputs at hand lead, which needs fewer steps than either tangent; near
its end and beyond it is a tangent of the primal problem; and at the solution it is the tangent of
both. Either of b, brought into the domain, and :math:`\hat b` is a dual point.

References
----------
.. [1] C. K. I. Williams and D. Barber, "Bayesian classification with Gaussian processes", IEEE
   Transactions on Pattern Analysis and Machine Intelligence 20(12), 1998.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import cho_solve
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs
from scipy.special import log_softmax

from gnorm.solvers.interior.coefficients import Coefficients
from gnorm.solvers.interior.state import Products, State, checked
from gnorm.solvers.interior.system import Dual, NewtonSystem, Primal, ridge_regression
from gnorm.solvers.problem import Problem

__all__ = ["MultinomialSystem", "bytes_needed"]

_JITTER = 1e-15  # relative, on the diagonal of a factored matrix
_LEAST_SHARE = 0.3  # of the probability of the outputs, from which on a secant is taken
_LEAST_PROBABILITY = 1e-290  # of the outputs, for quotients by it to be finite
_MOST_SLOPE = 1e30  # beyond it a coefficient does not move
_START_SHARE = 0.5  # most of the coefficients of the predictor of zeros at the start
_START_SLACK = 2.25  # bound of the squared norms over the largest at the start
_NOTHING = np.empty(0)


def bytes_needed(problem: Problem) -> float:
    """Memory that a solve takes: K + 4 matrices of all pairs of samples, and what is smaller."""
    design, n_samples, n_outputs = problem.design, len(problem.y), problem.n_outputs
    per_sample = 6 * design.n_open_gates + n_outputs * (8 * design.n_kernels + 40)
    weights = 4 * design.n_open_gates * design.n_features * n_outputs
    return 8.0 * (
        (n_outputs + 2 + design.n_matrices) * n_samples**2 + per_sample * n_samples + weights
    )


class _FreeCoefficients(Coefficients):
    """Dual coefficients that may leave their domain along the path, one row after the other."""

    has_barrier = False

    def rounded(self, state: State, threshold: float) -> np.ndarray:
        """Coefficients as they are: none goes to an end of its domain."""
        _ = threshold
        return state.x

    def dual_coef(self, x: np.ndarray) -> np.ndarray:
        """Dual point in the units of the problem, brought into the domain."""
        return self.loss.feasible(self.y, self.scale * x.reshape(len(self.y), -1), self.C)

    def is_inside(self, x: np.ndarray) -> np.ndarray:
        """Which coefficients are inside of the interval of their own."""
        return (x > self.lower.ravel()) & (x < self.upper.ravel())

    def named(self, outputs: np.ndarray) -> np.ndarray:
        r"""Coefficients :math:`\hat b` that the outputs name."""
        return -self.loss.derivative(self.y, outputs, self.C).ravel() / self.scale

    def slopes(self, x: np.ndarray, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""Diagonal D of the Newton matrix, and :math:`\hat b - b`, which it multiplies."""
        way = self.named(outputs) - x
        C = np.repeat(self.C, outputs.shape[1]) / self.scale
        log_p = log_softmax(outputs, axis=1).ravel()
        lengths = C * np.maximum(np.exp(log_p), _LEAST_PROBABILITY)
        lengths = np.maximum(lengths, np.finfo(float).tiny)  # C may be as small as a number can be
        # p of the coefficients relative to that of the outputs, less 1
        excess = np.maximum(way / lengths, _LEAST_SHARE - 1.0)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            near = np.where(excess == 0, 1.0, np.log1p(excess) / excess) / lengths
            far = (np.log((lengths + way) / C) - log_p) / way  # also where exp(log_p) is 0
        return np.minimum(np.where(excess > 1, far, near), _MOST_SLOPE), way


class MultinomialSystem(NewtonSystem):
    """The Newton system in the dual coefficients of the samples, one for each class.

    Arrays over the coefficients are flat, those of a sample next to each other. Outputs are in
    units of one, as those of this loss are.

    Parameters
    ----------
    problem : Problem
        The problem, with a loss of several outputs.
    scale : float, default=None
        Unit of the dual coefficients; None for a natural one.
    """

    is_coupled = True
    coefficients: _FreeCoefficients

    def __init__(self, problem: Problem, scale: float | None = None) -> None:
        self.shape = problem.zero_outputs.shape
        self._inverse = _SimplexInverse(problem.y, self.shape[1])
        self._latest: tuple[np.ndarray, np.ndarray] | None = None
        super().__init__(problem, scale)
        self.coefficients = _FreeCoefficients(problem, self.scale)

    def _squared_norms(self, coef: np.ndarray) -> np.ndarray:
        design = self.problem.design
        squares: np.ndarray = design.dual_norms(design.sums(coef)) ** 2
        return squares

    # -- points ----------------------------------------------------------------------------------

    def start(self, guess: np.ndarray | None = None) -> State:
        """Start on the line from coefficients of zero to those of the predictor of zeros.

        Parameters
        ----------
        guess : ndarray, default=None
            Not used: a better start is not known.

        Returns
        -------
        State
            The starting point.
        """
        _ = guess
        ends = self.coefficients.named(self.problem.zero_outputs).reshape(self.shape)
        lengths = np.max(np.abs(ends), axis=1)
        share = np.minimum(_START_SHARE, self._typical_coefficient() / lengths)
        x = (share[:, None] * ends).ravel()
        n_kernels = self.problem.design.n_kernels
        mu = np.full(n_kernels, 1.0 / n_kernels)
        quadratics = self._quadratics(x)
        t = _START_SLACK * max(float(np.max(quadratics)), 1e-3)
        return _state(mu=mu, x=x, s=t - quadratics, t=t)

    def entered(self, coef: np.ndarray, mu: np.ndarray, share: float) -> State:
        """Enter the central path near to a point.

        Parameters
        ----------
        coef : ndarray of shape (n_samples, n_outputs)
            Dual coefficients in the units of the problem.
        mu : ndarray of shape (n_kernels,)
            Shares of the kernels.
        share : float
            By how much of the largest squared norm the point is likely to be off the solution.
        """
        x = coef.ravel() / self.scale
        quadratics = self._quadratics(x)
        sigma = share * float(np.max(quadratics)) / len(mu)
        s, mu, t = self.bounded(quadratics, mu, sigma)
        return _state(mu=mu, x=x, s=s, t=t)

    def _typical_coefficient(self) -> float:
        """Half the mean coefficient that brings all outputs to the steepest ones, nearly."""
        S = self._weighted_gram(np.full(self.problem.design.n_kernels, 1.0))
        coef = ridge_regression(S, self._steepest(), 0.0)
        return 0.5 if coef is None else max(0.5, 0.5 * float(np.mean(np.max(np.abs(coef), axis=1))))

    def settled(self, state: State) -> State:
        r"""Raise t to where no slack is shorter and :math:`\tfrac12 \|V_h\|^2 + s_h = t` holds.

        A step leaves a residual of second order in it, larger in the end than the slacks.
        """
        quadratics = self._quadratics(state.x)
        last = int(np.argmax(quadratics + state.s))
        # in this order no slack can round to zero
        s = (quadratics[last] - quadratics) + state.s[last]
        t = float(quadratics[last] + state.s[last])
        return replace(state, s=np.maximum(s, state.s), t=t)

    def _images(self, x: np.ndarray) -> np.ndarray:
        """Products with the kernels, through the features: beside the factors they cost little."""
        return self.problem.design.exact_products(checked(self._rows(x))).reshape(len(x), -1)

    def _gradients(self, x: np.ndarray) -> np.ndarray:
        r""":math:`p_h = K_h b`, shape (n_samples * n_outputs, n_kernels)."""
        if self._latest is None or self._latest[0] is not x:
            self._latest = x, self._images(x)
        return self._latest[1]

    def _quadratics(self, x: np.ndarray) -> np.ndarray:
        return 0.5 * np.maximum(x @ self._gradients(x), 0.0)

    def _outputs(self, state: State) -> np.ndarray:
        return (self._gradients(state.x) @ state.mu).reshape(self.shape)

    def primal(self, state: State, mu: np.ndarray | None = None) -> Primal:
        """Evaluate the predictor recovered from the coefficients and the shares of a state."""
        mu = state.mu if mu is None else mu
        outputs = (self._gradients(state.x) @ mu).reshape(self.shape)
        norm = float(mu @ np.sqrt(2.0 * self.value_unit * self._quadratics(state.x)))
        return self._primal((self._rows(state.x), mu), outputs, norm)

    def dual(self, state: State, x: np.ndarray | None = None) -> Dual:
        """Evaluate the dual points of a state; none of their coefficients is to be rounded."""
        _ = x
        variables = self.coefficients
        named = variables.named(self._outputs(state))
        own = np.where(variables.is_inside(state.x), state.x, named)  # no zeros: there are none
        return max(map(self._dual_of, (own, named)), key=lambda dual: dual.value)

    def _dual_of(self, x: np.ndarray) -> Dual:
        x = self.coefficients.dual_coef(x).ravel() / self.scale
        return self._dual(x, float(np.sqrt(np.max(self._squared_norms(self._rows(x))))))

    def _rows(self, x: np.ndarray) -> np.ndarray:
        """Coefficients in the units of the problem, shape (n_samples, n_outputs)."""
        return self.scale * x.reshape(self.shape)

    # -- steps -----------------------------------------------------------------------------------

    def _weighted_gram(self, mu: np.ndarray) -> np.ndarray:
        return self.problem.design.weighted_gram(self.scale * mu, np.float64)

    def factor(self, state: State) -> bool:
        """Factorise the Newton matrix at a state; False if it is not positive definite."""
        self.state = state
        self.P = self._gradients(state.x)
        self.w = state.mu / state.s
        self.centre = self.P @ (self.w / self.w.sum())
        slopes, way = self.coefficients.slopes(state.x, self._outputs(state))
        self.rise = slopes * way
        if not (np.isfinite(self.w).all() and np.isfinite(self.rise).all()):
            return False
        gram = self._weighted_gram(state.mu)
        if not self._inverse.factorise(gram, slopes.reshape(self.shape)):
            return False
        self.spread = (self.P - self.centre[:, None]) * np.sqrt(self.w)
        self.lifted = self._inverse.solve(self.spread, np.zeros((self.shape[0], len(self.w))))
        inner = self.spread.T @ self.lifted
        inner = 0.5 * (inner + inner.T)
        entries = np.einsum("ii->i", inner)
        entries += 1.0
        entries *= 1.0 + len(inner) * np.finfo(float).eps
        self._inner, failed_at = dpotrf(inner, lower=1)
        return bool(failed_at == 0)

    def direction(self, targets: Products, predictor: State | None = None) -> State:
        """Newton direction, see :class:`NewtonSystem`."""
        now, rise = self.state, self.rise
        excess = self._quadratics(now.x) - now.t + now.s
        if predictor is not None:
            turned = self._images(predictor.x)
            rise = rise - turned @ predictor.mu
            excess += 0.5 * (predictor.x @ turned)
        missing = -np.sum(now.x.reshape(self.shape), axis=1)
        return self._change(targets[2], rise, excess, 1.0 - float(np.sum(now.mu)), missing)

    def corrected(
        self, change: State, targets: Products, further: Products, predictor: State
    ) -> State:
        """Add the direction that changes the products by what is further, and nothing else."""
        nothing = np.zeros(len(self.P)), np.zeros(len(self.w)), 0.0, np.zeros(self.shape[0])
        return change.moved(self._change(further[2], *nothing), 1.0, 1.0)

    def _change(
        self,
        to_mu: np.ndarray,
        rhs: np.ndarray,
        excess: np.ndarray,
        missing: float,
        missing_sums: np.ndarray,
    ) -> State:
        r"""Solve for what removes these residuals.

        With the inverse B on the simplex and :math:`e = (\text{to}_\mu + \mu \, \text{excess}) / s`
        the changes are the solution of

        .. math::

            \Delta b = B (r - P \Delta\mu), \quad
            P^\top \Delta b - \Delta t - W^{-1} \Delta\mu = -W^{-1} e, \quad
            \textstyle\sum_h \Delta\mu_h = m .

        Parameters
        ----------
        to_mu : ndarray of shape (n_kernels,)
            Changes wanted of the products :math:`\mu s`.
        rhs : ndarray of shape (n_samples * n_outputs,)
            The vector r.
        excess : ndarray of shape (n_kernels,)
            :math:`\tfrac12 \|V_h\|^2 + s_h - t`.
        missing : float
            What the shares miss of a sum of one, m.
        missing_sums : ndarray of shape (n_samples,)
            What the coefficients of each sample miss of a sum of zero.
        """
        now, roots = self.state, np.sqrt(self.w)
        # What is common to all of the excess is the bound's to take, in full digits: divided by a
        # small slack it would drown the shares.
        common = float(self.w @ excess) / float(np.sum(self.w))
        e = (to_mu + now.mu * (excess - common)) / now.s
        reduced = (rhs - missing * self.centre)[:, None]
        free_change = self._inverse.solve(reduced, missing_sums[:, None])[:, 0]
        known = np.column_stack([self.spread.T @ free_change + e / roots, roots])
        free, pulled = cho_solve((self._inner, True), known, check_finite=False).T
        pull = (float(roots @ free) - missing) / float(roots @ pulled)
        scaled = free - pull * pulled
        change = free_change - self.lifted @ scaled
        dmu, dt = roots * scaled, pull + common + float(self.centre @ change)
        ds = dt - excess - self.P.T @ change
        # The slack of an active unit is small beside what rounding leaves of the slopes: it
        # follows its multiplier.
        is_active = now.s / now.t < now.mu / np.max(now.mu)
        np.divide(to_mu - now.s * dmu, now.mu, out=ds, where=is_active)
        return _state(mu=dmu, x=change, s=ds, t=dt)


def _state(*, mu: np.ndarray, x: np.ndarray, s: np.ndarray, t: float) -> State:
    """State whose coefficients have no bounds."""
    return State(z=_NOTHING, u=_NOTHING, mu=mu, x=x, p=_NOTHING, v=_NOTHING, s=s, t=t)


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
