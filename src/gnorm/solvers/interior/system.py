"""What the interior point asks of a Newton system, and what its ways have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import get_lapack_funcs

from gnorm.solvers.certify import Affine, dual_value, primal_value
from gnorm.solvers.interior.coefficients import Coefficients
from gnorm.solvers.interior.state import Products, State
from gnorm.solvers.problem import Problem

__all__ = ["Dual", "NewtonSystem", "Primal", "least_ridge", "ridge_regression"]

_RIDGE = 1e-5  # of the regression at the start, relative


@dataclass(frozen=True)
class Primal:
    """A primal point as the iteration sees it.

    Attributes
    ----------
    recovery : tuple of ndarray
        What :meth:`NewtonSystem.recovered` or a certificate recovers it from.
    outputs : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Its values on the samples of the system.
    value : float
        Value of its best multiple.
    length : float
        That multiple.
    """

    recovery: tuple[np.ndarray, np.ndarray]
    outputs: np.ndarray
    value: float
    length: float


@dataclass(frozen=True)
class Dual:
    """A dual point as the iteration sees it: coefficients, and the value of the best multiple."""

    coef: np.ndarray
    value: float


def least_ridge(mean_square: float) -> float:
    """Least ridge of a regression at the start, given the mean squared length of the features."""
    return _RIDGE * mean_square + np.finfo(float).tiny


def ridge_regression(
    S: np.ndarray, targets: np.ndarray, ridge: np.ndarray | float
) -> np.ndarray | None:
    r"""Compute :math:`(S + \operatorname{diag}(r))^{-1} y`, where the path starts.

    It is a dual point whose features nearly cancel, as those of the solution do. A start that is
    too short is far from the path: where features cancel or classes overlap, coefficients are
    larger by orders of magnitude than a predictor of their length suggests.

    Parameters
    ----------
    S : ndarray of shape (n_samples, n_samples), Fortran order
        Sum of the kernels, the lower triangle; it is overwritten.
    targets : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Targets y.
    ridge : float or ndarray of shape (n_samples,)
        The ridge r, made no less than :func:`least_ridge`.

    Returns
    -------
    ndarray or None
        Coefficients, of the shape of the targets; None if there are no features to speak of.
    """
    diagonal = np.einsum("ii->i", S)
    diagonal += np.clip(ridge, least_ridge(float(np.mean(diagonal))), None)
    potrf, potrs = get_lapack_funcs(("potrf", "potrs"), dtype=S.dtype)
    cholesky, failed_at = potrf(S, lower=1, overwrite_a=1, clean=0)
    if failed_at or not np.max(diagonal) > 1e-30:
        return None
    return np.asarray(potrs(cholesky, targets, lower=1)[0], dtype=float)


class NewtonSystem(ABC):
    """The Newton system of one problem: evaluation, factorisation, directions.

    All variables are in units in which they are of order one, whatever the units of inputs,
    targets and C are: outputs in those of the loss, coefficients in a natural `scale`.

    Parameters
    ----------
    problem : Problem
        The problem.
    scale : float, default=None
        Unit of the dual coefficients; None for a natural one.

    Attributes
    ----------
    coefficients : Coefficients
        The dual coefficients as variables.
    state : State
        Where the Newton matrix was factorised.
    is_coupled : bool
        Whether primal and dual steps must be equally long.
    is_rough : bool
        Whether points are evaluated in single precision.
    refines : bool
        Whether digits that are missing are looked for here; else the path stalls, for another
        system to take it up.
    """

    is_coupled: bool
    is_rough = False
    refines = True
    state: State

    def __init__(self, problem: Problem, scale: float | None = None) -> None:
        self.problem = problem
        self.unit = problem.output_scale
        self.scale = self._natural_scale() if scale is None else scale
        self.coefficients = Coefficients(problem, self.scale)

    @property
    def value_unit(self) -> float:
        """Unit of the squared norms."""
        return self.scale * self.unit

    @abstractmethod
    def _squared_norms(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\|V_h(b)\|^2` of coefficients in the units of the problem."""

    def _steepest(self) -> np.ndarray:
        """Coefficients along which the dual value rises from 0, in units of the outputs."""
        problem = self.problem
        none = problem.zero_outputs
        slope = -problem.loss.derivative(problem.y, none, np.ones(len(none)))
        largest = float(np.max(np.abs(slope), initial=0.0))
        return slope / largest if largest > 0 else np.ones(none.shape)

    def _natural_scale(self) -> float:
        """Length of the best multiple of the steepest coefficients, or their bound if shorter."""
        problem, steepest = self.problem, self._steepest()
        curvature = float(np.max(self._squared_norms(steepest)))
        natural = np.inf
        if curvature > 0:
            natural = problem.output_scale * float(np.sum(np.abs(steepest))) / curvature
        slope = problem.loss.derivative(problem.y, problem.zero_outputs, problem.C)
        scale = min(natural, float(np.max(np.abs(slope))))
        return scale if 0 < scale < np.inf else 1.0  # a hard margin and no features at all

    def best_length(self, x: np.ndarray, dual_norm: float) -> float:
        """Multiple of the dual point of given parts, at most 1, that is best for its value.

        Outputs that are too long would hold up a path that has no multipliers to go by.
        """
        problem, b = self.problem, self.coefficients.dual_coef(x)
        return min(1.0, problem.loss.dual_multiple(problem.y, b, problem.C, dual_norm))

    # -- points ----------------------------------------------------------------------------------

    def bounded(
        self, quadratics: np.ndarray, mu: np.ndarray, sigma: float
    ) -> tuple[np.ndarray, np.ndarray, float]:
        r"""Slacks, shares and bound of the squared norms whose products are sigma or above."""
        room = sigma / float(np.sum(mu**2))
        s = (np.max(quadratics) - quadratics) + room  # in this order it cannot round to zero
        return s, np.maximum(mu, sigma / s), float(np.max(quadratics)) + room

    @abstractmethod
    def start(self, guess: np.ndarray | None = None) -> State:
        """Start in the interior, near a dual point if one is given."""

    def settled(self, state: State) -> State:
        """Bring variables that follow from the dual coefficients up to date after a step."""
        return state

    @abstractmethod
    def primal(self, state: State, mu: np.ndarray | None = None) -> Primal:
        """Evaluate the primal point of a state, with other shares if given."""

    @abstractmethod
    def dual(self, state: State, x: np.ndarray | None = None) -> Dual:
        """Evaluate the dual point of a state, or that of other coefficients."""

    def ray_residual(self, state: State) -> float:
        """Estimate :meth:`Problem.separability_residual`; infinite if no proof is to be had."""
        _ = state
        return np.inf

    def recovered(self, primal: Primal) -> tuple[np.ndarray, np.ndarray] | np.ndarray:
        """Give a primal point the form that a :class:`gnorm.solvers.problem.Point` has."""
        return primal.recovery

    def _primal(
        self, recovery: Any, outputs: np.ndarray, norm: float, others: Affine | None = None
    ) -> Primal:
        value, length = primal_value(self.problem, norm, outputs, others)
        return Primal(recovery, outputs, value, length)

    def _dual(self, x: np.ndarray, dual_norm: float, others: Affine | None = None) -> Dual:
        coef = self.coefficients.dual_coef(x)
        return Dual(coef, dual_value(self.problem, coef, dual_norm, others)[0])

    # -- steps -----------------------------------------------------------------------------------

    @abstractmethod
    def factor(self, state: State) -> bool:
        """Factorise the Newton matrix at a state; False if that cannot be done."""

    def refactor(self, change: State) -> bool:
        """Factorise anew with slopes for the side to which a direction goes; False if the same."""
        diagonal = self.coefficients.with_tangents(self.state, change.x)
        return diagonal is not None and self._factorise(diagonal)

    def _factorise(self, diagonal: np.ndarray) -> bool:
        """Factorise with these diagonal entries of the samples, if coefficients have barriers."""
        raise NotImplementedError

    @abstractmethod
    def direction(self, targets: Products, predictor: State | None = None) -> State:
        """Newton direction that changes the products by ``targets``, to first order.

        With a ``predictor`` what it adds to the conditions to second order is taken along.
        """

    def corrected(
        self, change: State, targets: Products, further: Products, predictor: State
    ) -> State:
        """Direction for ``targets`` and ``further`` ones, given that for the first alone."""
        _ = change
        p, v, s = (target + more for target, more in zip(targets, further, strict=True))
        return self.direction((p, v, s), predictor)

    def note_step(self, step: float) -> None:
        """Hear of the length of a step; nothing, unless a system makes use of it."""
        _ = step

    def anchor(self, state: State) -> None:
        """Evaluate a state accurately, for later ones to be built on it, where that is to do."""
        _ = state

    def sharpen(self, gap: float, tol: float) -> None:
        """Take more digits where the gap that was reached asks for them, if there are any."""
        _ = gap, tol

    @property
    def has_more_digits(self) -> bool:
        """Whether more digits, here or in another system, may help where the path stalls."""
        return False

    def escalate(self, state: State) -> State | None:
        """Go over to more digits; return where the path goes on, None if there are none here."""
        _ = state
        return None
