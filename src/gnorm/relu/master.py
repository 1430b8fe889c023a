r"""The problem over finitely many neurons, for any loss.

With the outputs of signed neurons as the columns of A the pair of problems is

.. math::

    \min_{\mu \ge 0} \tfrac12 \Bigl( \sum_j \mu_j \Bigr)^2 + \sum_n l_n((A \mu)_n), \qquad
    \max_b - \sum_n l_n^*(-b_n) - \tfrac12 t^2
    \quad \text{subject to} \quad (A^\top b)_j + s_j = t, \; s \ge 0 .

It is followed along the central path of :mod:`gnorm.solvers.interior.follow`, which knows the
losses; here is the Newton system, in which the bounds are linear in the coefficients where those of
the group norms are quadratic. Elimination leaves a matrix of the size
of the columns, or of the samples where these are fewer (:mod:`gnorm.relu.saddle`),

.. math::

    \bigl( A^\top W A + \operatorname{diag}(s / \mu) + 1 1^\top \bigr) \Delta\mu = \dots, \qquad
    W = \operatorname{diag}((l^*)'' + z/p + u/v)^{-1} .

Functions that cost nothing are further columns Z, with coefficients of any sign and
:math:`Z^\top b = 0` in the dual problem. Iterates come near that. A dual value is taken where it
holds, at a point nearby inside the domain, and so is a bound over free coefficients of any size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from scipy.optimize import linprog

from gnorm.losses import Loss
from gnorm.relu.saddle import SaddleSystem
from gnorm.solvers.certify import dual_value
from gnorm.solvers.interior.follow import CentralPath
from gnorm.solvers.interior.state import Products, State
from gnorm.solvers.interior.system import Dual, NewtonSystem, Primal
from gnorm.solvers.problem import Problem
from gnorm.solvers.run import Run

__all__ = [
    "Master",
    "MasterPoint",
    "balanced",
    "fitted_by_free",
    "problem_of",
    "separated_by_free",
    "solve_master",
]

_START_SLACK = 0.5  # slack of the largest sum at the start, relative
_ROUNDING = 1e-13  # of a sum, relative to that of the sizes of its terms
_FITTED = 1e-13  # distance of free functions from targets, relative, that is rounding
_SEPARATED = 1e-9  # margin of free functions in the unit cube, relative, that separates
_MOVES = 20  # towards a balanced dual point; one will do, but where some end in the corner


def problem_of(loss: Loss, y: np.ndarray, C: np.ndarray) -> Problem:
    """Return targets, loss and weights without a design: neurons come and go."""
    return Problem(cast(Any, None), loss, y, C)


def balanced(problem: Problem, Z: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    r"""Dual point nearby with :math:`Z^\top b = 0`, but for rounding.

    Coefficients move in proportion to their room, the way to the nearer end of their domain. Those
    that would leave it stay at the end, and the others move on: so it has to be where free
    functions separate some samples and are zero on the others.

    Parameters
    ----------
    problem : Problem
        Loss, targets and weights.
    Z : ndarray of shape (n_samples, n_free)
        Outputs of the functions that cost nothing, of order one.
    b : ndarray of shape (n_samples,)
        Point of the domain.

    Returns
    -------
    ndarray of shape (n_samples,) or None
        Point of the domain; None if the way there is too long.
    """
    if Z.shape[1] == 0:
        return b
    if not np.isfinite(b).all():  # a step out of range, which ends the path
        return None
    lower, upper = problem.loss.domain(problem.y, problem.C)
    for _ in range(_MOVES):
        if np.all(np.abs(b @ Z) <= _ROUNDING * (np.abs(b) @ np.abs(Z))):
            return b
        room = np.minimum(np.minimum(b - lower, upper - b), np.max(np.abs(b)))
        shares = np.linalg.lstsq((room[:, None] * Z).T, b @ Z, rcond=None)[0]
        b = np.clip(b - room * shares, lower, upper)
    return None


def separated_by_free(problem: Problem, free: np.ndarray) -> np.ndarray | None:
    """Coefficients with which what costs nothing has margins of 1 on all labels, or None."""
    n_free = free.shape[1]
    if not problem.loss.is_margin or n_free == 0:
        return None
    # the largest m with y f >= m over coefficients in the unit cube
    lacking = np.column_stack((-problem.y[:, None] * free, np.ones(len(free))))
    cost = np.append(np.zeros(n_free), -1.0)
    bounds = [(-1.0, 1.0)] * n_free + [(None, None)]
    found = linprog(cost, A_ub=lacking, b_ub=np.zeros(len(free)), bounds=bounds, method="highs-ds")
    if found.status != 0 or -found.fun <= _SEPARATED:
        return None
    coefs = found.x[:n_free]
    return coefs * ((1.0 + _SEPARATED) / float(np.min(problem.y * (free @ coefs))))


def fitted_by_free(problem: Problem, free: np.ndarray) -> np.ndarray | None:
    """Coefficients with which what costs nothing has no loss, or None if it has some."""
    y, C = problem.y, problem.C
    if free.shape[1] == 0 or np.any(problem.loss.value(y, y, C)):
        return None
    if problem.loss.is_margin:
        return separated_by_free(problem, free)
    coefs: np.ndarray = np.linalg.lstsq(free, y, rcond=None)[0]
    is_fitted = np.max(np.abs(y - free @ coefs)) <= _FITTED * np.max(np.abs(y))
    return coefs if is_fitted else None


class Master(NewtonSystem):
    """The Newton system of the problem over some neurons.

    Parameters
    ----------
    problem : Problem
        Loss, targets and weights.
    A : ndarray of shape (n_samples, n_columns)
        Outputs of the signed neurons.
    free : ndarray of shape (n_samples, n_free)
        Outputs of the functions that cost nothing.
    """

    is_coupled = True

    def __init__(self, problem: Problem, A: np.ndarray, free: np.ndarray) -> None:
        self.columns, self.free_columns = A, free
        super().__init__(problem)
        factor = np.sqrt(self.scale / self.unit)
        self.A, self.Z = factor * A, factor * free
        # with t as one more sample, the sum of what has a price
        price = np.repeat([-1.0, 0.0], [A.shape[1], free.shape[1]])
        self._both = np.vstack((np.hstack((self.A, self.Z)), price))
        self._root_unit = float(np.sqrt(self.value_unit))

    def _squared_norms(self, coef: np.ndarray) -> np.ndarray:
        return (coef @ self.columns) ** 2

    # -- points ----------------------------------------------------------------------------------

    def start(self, guess: np.ndarray | None = None) -> State:
        """Start inside of all bounds, near a dual point if one is given."""
        variables = self.coefficients
        coef = self._steepest() if guess is None else guess / self.scale
        x = variables.inside(coef)
        sums = variables.total(x) @ self.A
        length = self.best_length(x, max(float(np.max(sums)), 0.0) * self._root_unit)
        if 0 < length < 1 and self.problem.loss.has_open_domain:
            x, sums = length * x, length * sums
        t = (1.0 + _START_SLACK) * max(float(np.max(sums)), 1e-3)
        s = t - sums
        mu = np.mean(s) / s
        mu *= t / float(np.sum(mu))
        outputs = self.A @ mu
        p, v = variables.slacks(x)
        first, _ = variables.derivatives(x)
        excess = variables.parts(outputs) + first
        sigma = float(np.mean(mu * s))
        z = np.maximum(np.maximum(excess[variables.at_lower], 0.0), 0.1) + 0.1 * sigma
        u = np.maximum(np.maximum(-excess[variables.at_upper], 0.0), 0.1) + 0.1 * sigma
        zeta = np.zeros(self.Z.shape[1])
        return State(
            z=z, u=u, mu=mu, x=x, p=p, v=v, s=s, t=t, zeta=zeta, outputs=outputs, sums=sums
        )

    def settled(self, state: State) -> State:
        """Take outputs, sums and the shorter slacks anew: rounding must not add up."""
        sums = self.coefficients.total(state.x) @ self.A
        t = float(np.max(sums + state.s))
        return replace(state, outputs=self._outputs(state.mu, state), sums=sums, t=t)

    def _outputs(self, mu: np.ndarray, state: State) -> np.ndarray:
        return self.A @ mu + self.Z @ state.zeta

    def primal(self, state: State, mu: np.ndarray | None = None) -> Primal:
        """Evaluate the neurons of a state, or others."""
        if mu is None:
            mu, outputs = state.mu, state.outputs
        else:
            outputs = self._outputs(mu, state)
        norm = self._root_unit * float(np.sum(mu))
        return self._primal((mu, state.zeta), self.unit * outputs, norm)

    def dual(self, state: State, x: np.ndarray | None = None) -> Dual:
        """Evaluate the dual point of a state, or that of other coefficients."""
        coef = self.coefficients.dual_coef(state.x if x is None else x)
        moved = balanced(self.problem, self.free_columns, coef)
        if moved is None:
            return Dual(coef, -np.inf)
        largest = max(float(np.max(moved @ self.columns)), 0.0)
        return Dual(moved, dual_value(self.problem, moved, largest)[0])

    def recovered(self, primal: Primal) -> tuple[np.ndarray, np.ndarray] | np.ndarray:
        """Coefficients of the columns, then those of the free functions."""
        return primal.length * self._root_unit * np.concatenate(primal.recovery)

    # -- steps -----------------------------------------------------------------------------------

    def factor(self, state: State) -> bool:
        """Factorise the Newton matrix at a state; False if that cannot be done."""
        self.state = state
        with np.errstate(all="ignore"):  # a quotient out of range ends it below
            self._root = np.sqrt(state.mu / state.s)
            diagonal = self.coefficients.linearise(state, state.outputs)
        return bool(np.isfinite(self._root).all()) and self._factorise(diagonal)

    def _factorise(self, diagonal: np.ndarray) -> bool:
        """Factorise the matrix of the changes of all coefficients; False if it is not finite."""
        with np.errstate(all="ignore"):
            weights = 1.0 / diagonal
        if not np.isfinite(weights).all():
            return False
        diagonal = np.append(1.0 / weights, 1.0)  # of the samples, and of t
        slope = np.append(1.0 / self._root**2, np.zeros(self.Z.shape[1]))
        self.system = SaddleSystem(self._both, diagonal, slope)
        return self.system.is_regular

    def direction(self, targets: Products, predictor: State | None = None) -> State:
        """Newton direction, see :class:`NewtonSystem`."""
        _ = predictor  # all but the products is linear
        now = self.state
        to_z, to_u, to_mu = targets
        gradient = self.coefficients.gradient(now, now.outputs)
        rhs = self.coefficients.condensed(now, gradient, to_z, to_u)
        excess = now.sums + now.s - now.t
        lack = float(np.sum(now.mu)) - now.t
        free_sums = self.coefficients.total(now.x) @ self.Z
        right = np.append(to_mu / now.mu + excess, free_sums)
        x, coefs = self.system.solve(np.append(rhs, lack), right)
        dx, dt = x[:-1], float(x[-1])
        dmu, dzeta = np.split(coefs, [len(now.mu)])
        doutputs = self.A @ dmu + self.Z @ dzeta
        dsums = dx @ self.A
        ds = dt - dsums - excess
        # either of the pair from the equation in which it is not divided by something small
        is_idle = now.mu / np.max(now.mu) < now.s / now.t
        return State(
            outputs=doutputs,
            mu=np.where(is_idle, (to_mu - now.mu * ds) / now.s, dmu),
            s=np.where(is_idle, ds, (to_mu - now.s * dmu) / now.mu),
            t=dt,
            zeta=dzeta,
            sums=dsums,
            **self.coefficients.expanded(now, dx, doutputs, to_z, to_u),
        )


@dataclass(frozen=True, eq=False)
class MasterPoint:
    r"""Where the master problem ended.

    Attributes
    ----------
    coefs : ndarray of shape (n_columns,)
        Coefficients :math:`\mu \ge 0` of the signed neurons.
    free : ndarray of shape (n_free,)
        Coefficients of the free functions.
    dual_coef : ndarray of shape (n_samples,)
        Dual point b.
    slack : ndarray of shape (n_columns,)
        How far below the largest the sum of each column is, relative to it.
    primal_value, gap : float
        Value, and the relative gap over these neurons.
    n_iter : int
        Iterations.
    """

    coefs: np.ndarray
    free: np.ndarray
    dual_coef: np.ndarray
    slack: np.ndarray
    primal_value: float
    gap: float
    n_iter: int


def solve_master(
    problem: Problem,
    A: np.ndarray,
    tol: float,
    guess: np.ndarray | None,
    free: np.ndarray,
) -> MasterPoint:
    """Solve over the given columns to a relative gap.

    Parameters
    ----------
    problem : Problem
        Loss, targets and weights.
    A : ndarray of shape (n_samples, n_columns)
        Outputs of the signed neurons.
    tol : float
        Relative duality gap over these.
    guess : ndarray of shape (n_samples,) or None
        A dual point to start near.
    free : ndarray of shape (n_samples, n_free)
        Outputs of the functions that cost nothing.

    Returns
    -------
    MasterPoint
        The best points, whatever the gap.
    """
    system = Master(problem, A, free)
    run = Run(tol, 200)
    path = CentralPath(system, system.start(guess), run)
    path.follow(tol, n_rounding=2)
    b = path.dual.coef
    sums = b @ A
    largest = max(float(np.max(sums)), np.finfo(float).tiny)
    b = b * dual_value(problem, b, largest)[1]
    coefs, of_free = np.split(cast(np.ndarray, system.recovered(path.primal)), [A.shape[1]])
    return MasterPoint(
        coefs, of_free, b, 1.0 - sums / largest, path.primal.value, path.gap, run.n_iter
    )
