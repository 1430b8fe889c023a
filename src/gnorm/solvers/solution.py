"""What a solve returns, and the two ways in which it can fall short."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning

from gnorm import gated
from gnorm.gating import ContextWeights, OpenContexts

__all__ = ["MarginSolution", "NotSeparableError", "Solution", "Status", "warn_if_unfinished"]


class Status(Enum):
    """How a solve ended."""

    OPTIMAL = "optimal"
    """The relative duality gap over all samples is at most ``tol``."""
    MAX_ITER = "max_iter"
    """``max_iter`` iterations were spent first; the gap says how far the point is."""
    STALLED = "stalled"
    """Rounding errors leave no direction of progress; the gap says how far the point is."""
    INTERRUPTED = "interrupted"
    """Stopped from the keyboard; the gap says how far the point is."""


class NotSeparableError(ValueError):
    r"""No gated linear predictor gives every hard-margin sample a positive margin.

    Attributes
    ----------
    certificate : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Weights :math:`a \ge 0`, :math:`\sum_n a_n = 1`, under which classes coincide in
        every unit: :math:`V_h(a) = \sum_n a_n y_n \phi_h(x_n)` vanishes (up to rounding) for all
        :math:`h`. Were the data separable, :math:`\sum_n a_n y_n f(x_n)` would be positive for
        some :math:`f`; but it is :math:`\sum_h \langle \zeta_h, V_h \rangle = 0` for every one.
        With changes of its last digits it vanishes in twice the digits of float64, or no predictor
        in float64 was found that separates the samples involved. Of several outputs it is a dual
        point :math:`b = \sum_j a_{nj} d_{nj}` of the margins :math:`d_{nj} \cdot f(x_n)`, with
        :math:`\sum_{nj} a_{nj} = 1` and :math:`\sum_n \phi_h(x_n) b_n^\top` zero.
    residual : float
        :math:`\max_h \|V_h(a)\| / \max_n \|x_n\|`.
    """

    _proof = "combinations of different classes coincide in every unit"
    _remedy = "Use a finite C, more units, or other gates."

    def __init__(self, certificate: np.ndarray, residual: float, n_named: int = 10) -> None:
        lengths = np.abs(certificate) if certificate.ndim == 1 else np.abs(certificate).max(axis=1)
        heaviest = np.argsort(-lengths, kind="stable")[:n_named]
        self.certificate = certificate
        self.residual = residual
        named = ", ".join(str(n) for n in heaviest if lengths[n] > 0)
        n_involved = int(np.count_nonzero(lengths))
        super().__init__(
            f"the hard margin (C=inf) needs separable data, but {self._proof} "
            f"(to {residual:.0e} of the largest feature norm); it involves "
            f"{n_involved} samples, the heaviest are {named}. {self._remedy}"
        )

    def scattered(self, rows: np.ndarray, n_samples: int) -> NotSeparableError:
        """Return the same proof for ``n_samples`` samples of which these are some."""
        certificate = np.zeros((n_samples, *self.certificate.shape[1:]))
        certificate[rows] = self.certificate
        return type(self)(certificate, self.residual)

    def __reduce__(self) -> tuple[Any, ...]:
        # the default would pickle the message in place of the arguments
        return type(self), (self.certificate, self.residual), self.__dict__


@dataclass(frozen=True, eq=False)
class Solution:
    r"""A predictor of least norm and loss together with the proof of how good it is.

    For any :math:`\zeta` and any :math:`b` in the domain of the dual, ``primal_value >= optimum >=
    dual_value``; both are evaluated on all samples.

    Attributes
    ----------
    weights : ContextWeights of shape (n_units, n_contexts, n_features)
        Unit weights of the contexts that there are, with a first axis where there are several
        outputs. For one-hot gates (GLN) the representation of least cost.
    dual_coef : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Dual point: :math:`a_n = y_n b_n \ge 0` for a margin loss, else :math:`b_n`.
    norm : float
        Norm of the predictor that was minimised, for group norms :math:`\sum_h w_h \|\zeta_h\|`.
    margin : float
        For a margin loss the geometric margin :math:`\min_n y_n f(x_n) / \text{norm}` over the
        samples of positive weight, negative if one is on the wrong side, and for hinges of classes
        that of their least margin; else NaN. It is no
        distance between inputs, since the predictor jumps where a gate switches, see
        :func:`gnorm.boundary.distance_to_boundary`.
    primal_value, dual_value : float
        Values of the two problems at ``zeta`` and at ``dual_coef``, the first raised and the second
        lowered by all that rounding may have hidden of them.
    duality_gap : float
        :math:`(\text{primal} - \text{dual}) / \text{primal}`.
    unit_norms : ndarray of shape (n_units,)
        Norm of the weights of each unit, :math:`\|\zeta_h\|`.
    support : ndarray of shape (n_support,)
        Indices of the samples with a dual coefficient that is not zero.
    status : Status
        How the solve ended.
    n_iter : int
        Iterations of the method.
    seconds : float
        Wall-clock time of the solve in seconds.
    method : str
        The method that solved the problem.
    """

    weights: ContextWeights
    dual_coef: np.ndarray
    norm: float
    margin: float
    primal_value: float
    dual_value: float
    duality_gap: float
    unit_norms: np.ndarray
    support: np.ndarray
    status: Status
    n_iter: int
    seconds: float
    method: str

    @property
    def zeta(self) -> np.ndarray:
        """Unit weights as an array, zero where a unit has fewer contexts than another.

        The shape is (n_units, n_contexts, n_features), with a fourth axis where there are several
        outputs.
        """
        zeta = np.asarray(self.weights)
        return zeta if zeta.ndim == 3 else np.moveaxis(zeta, 0, -1)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read what was pickled; gnorm 0.1.0 kept the array."""
        state = dict(state)
        if "zeta" in state:
            zeta = state.pop("zeta")
            zeta = zeta if zeta.ndim == 3 else np.moveaxis(zeta, -1, 0)
            state["weights"] = ContextWeights.from_array(zeta)
        self.__dict__.update(state)

    def decision_values(self, X: Any, activations: ArrayLike | OpenContexts) -> np.ndarray:
        """Evaluate the predictor, see :func:`gnorm.gated.decision_values`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, with the same features as in training.
        activations : ndarray of bool, shape (n_samples, n_units, n_contexts)
            Gates of these inputs.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Signed decision values, one column an output if there are several.
        """
        if self.weights.rows.ndim == 2:
            return gated.decision_values(X, activations, self.weights)
        each = [gated.decision_values(X, activations, own) for own in self.weights]
        return np.stack(each, axis=1)


class MarginSolution(Solution):
    """A solution for the hinge loss, as :func:`gnorm.max_margin` returns it."""


def warn_if_unfinished(solution: Solution, tol: float, stacklevel: int = 3) -> None:
    """Warn with ConvergenceWarning of a gap above the tolerance.

    Parameters
    ----------
    solution : Solution
        The solution.
    tol : float
        Relative duality gap that was asked for.
    stacklevel : int, default=3
        Whom the warning names; 3 is the caller of the caller.
    """
    if solution.duality_gap <= tol:
        return
    reach = "the solution is within that gap of the optimum"
    if not np.isfinite(solution.duality_gap):
        reach = "no separating predictor was found yet"
    warnings.warn(
        f"{solution.method} stopped after {solution.n_iter} iterations ({solution.status.value}) "
        f"at a relative duality gap of {solution.duality_gap:.1e}, above tol={tol:.1e}; {reach}",
        ConvergenceWarning,
        stacklevel=stacklevel,
    )
