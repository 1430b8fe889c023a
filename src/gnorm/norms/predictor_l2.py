r"""The L2 norm of the predictors of all contexts, a quadratic norm.

It is the norm of the kernel :math:`\langle x, x' \rangle (1 - H + C a(x, x'))`, with :math:`a` the
number of units whose contexts agree (:func:`gnorm.kernels.predictor_l2_kernel`).

References
----------
.. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
   generalized gated linear networks. arXiv:2202.02649.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from gnorm import kernels
from gnorm.gated import FloatArray, canonical, check_even, frobenius_norms, main_effects
from gnorm.gating import Activations, open_counts
from gnorm.norms.base import QuadraticNorm
from gnorm.norms.simplex import check_threshold

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["PredictorL2", "predictor_l2_norm", "predictor_rms_norm"]


@dataclass(frozen=True)
class PredictorL2(QuadraticNorm):
    r"""Root mean square :math:`C^{-H/2} \|\beta\|_2` of the predictors of all contexts.

    See Also
    --------
    gnorm.norms.predictor_rms_norm : The value.
    """

    formula = r"(\|\bar\beta\|^2 + \sum_h s_h^2 / C)^{1/2}"
    dual_formula = r"(C \sum_h \|V_h\|^2 + (1 - H) \|\sum_c V_{hc}\|^2)^{1/2}"
    architecture = "none: the predictors of all contexts as one vector, for comparison"
    geometry = "none"
    references = ("Lippl, Abbott and Chung (2022), arXiv:2202.02649",)
    invariances = ("permutations of units", "exchange between units")

    def check_gates(self, activations: Activations) -> None:
        """Raise ValueError unless each unit has exactly one context on."""
        if not np.all(open_counts(activations) == 1):
            raise ValueError(
                "the L2 norm of the predictors is defined for gates with exactly one context on "
                "per unit, got activations with none or several"
            )

    def unit_norms(self, zeta: ArrayLike) -> FloatArray:
        """Root mean square norm of the predictors, shape (1,): one kernel for all units."""
        return np.array([predictor_rms_norm(zeta)])

    def canonical(self, zeta: ArrayLike) -> FloatArray:
        """Weights of least cost in a network among all with the same predictors."""
        return canonical(zeta)

    def dual_norms(self, sums: FloatArray) -> FloatArray:
        """Norm of the functional, shape (1,): the norm of the kernel is its own dual."""
        return self.unit_norms(self.recovered(sums, np.ones(1)))

    def recovered(self, sums: FloatArray, shares: np.ndarray) -> FloatArray:
        r"""Weights :math:`\zeta_{hc} = C V_{hc} + \frac{1 - H}{H} \sum_{c'} V_{hc'}`."""
        n_units, n_contexts, _ = sums.shape
        mean = sums.sum(axis=1, keepdims=True)
        return canonical(shares[0] * (n_contexts * sums + ((1 - n_units) / n_units) * mean))

    def prox(self, zeta: ArrayLike, t: float) -> FloatArray:
        r"""Proximal map of t times the norm.

        Spreads shrink by :math:`1 + \kappa` and the mean by :math:`1 + H \kappa`, where
        :math:`\kappa` is t over C times the norm of what is left. What units exchange stays.
        """
        zeta, t = check_even(zeta), check_threshold(t)
        n_units, n_contexts, _ = zeta.shape
        beta_bar, deviations = main_effects(zeta)
        exchanged = zeta.mean(axis=1, keepdims=True) - beta_bar / n_units
        spread = float(frobenius_norms(deviations[None])[0])
        mean = math.sqrt(n_contexts) * float(frobenius_norms(beta_bar[None])[0])
        unit = t / math.sqrt(n_contexts)

        def excess(share: float) -> float:
            """Of kappa times what is left over t, for a share kappa / (1 + kappa)."""
            left = 1.0 - share
            shrunk = mean * share / (left + n_units * share), spread * share
            return math.hypot(*shrunk) - unit

        if excess(1.0) <= 0:
            return exchanged + np.zeros_like(zeta)
        share = brentq(excess, 0.0, 1.0, xtol=1e-16) if t > 0 else 0.0
        left = 1.0 - share
        kept = left / (left + n_units * share)
        return exchanged + left * deviations + kept * beta_bar / n_units

    def kernel(self, X: Any, activations: Activations) -> np.ndarray:
        """Kernel matrix, shape (n_samples, n_samples)."""
        return kernels.predictor_l2_kernel(X, activations)

    def largest_kernel(self, n_units: int, n_contexts: int) -> float:
        r"""Largest value of the kernel in units of :math:`\|x\|^2`, where all units agree."""
        return 1.0 + (n_contexts - 1) * n_units

    def gate_metric(self, factors: np.ndarray) -> np.ndarray:
        r"""Matrix M with the kernel :math:`\langle x, x' \rangle g^\top M g'` of coded gates g.

        Parameters
        ----------
        factors : ndarray of shape (n_units, n_contexts, n_gates)
            From coded gates to the contexts of each unit.

        Returns
        -------
        ndarray of shape (n_gates, n_gates)
            Positive semidefinite.
        """
        n_units, n_contexts, _ = factors.shape
        T = factors.reshape(-1, factors.shape[2])
        always = T[:n_contexts].sum(axis=0)  # some context of a unit is always on
        return n_contexts * (T.T @ T) + (1 - n_units) * np.outer(always, always)

    def expression(self, zeta: Any) -> cp.Expression:
        """Compose the norm of atoms of cvxpy."""
        from gnorm import atoms

        return atoms.predictor_rms_norm(zeta)


def predictor_rms_norm(zeta: ArrayLike) -> float:
    r"""Root mean square, over all global contexts, of the norm of the predictor.

    .. math:: \Big( C^{-H} \sum_\gamma \|\beta_\gamma\|_2^2 \Big)^{1/2}
        = \Big( \|\bar\beta\|_2^2 + \tfrac{1}{C} \sum_h s_h^2 \Big)^{1/2}

    Parameters
    ----------
    zeta : array-like of shape (n_units, n_contexts, n_features)
        Any weights with these predictors.

    Returns
    -------
    float
        Norm.

    Examples
    --------
    >>> from gnorm.norms import predictor_rms_norm
    >>> round(predictor_rms_norm([[[1.0], [3.0]], [[0.0], [8.0]]]) ** 2, 12)  # 1, 9, 3, 11
    53.0
    """
    beta_bar, deviations = main_effects(check_even(zeta))
    n_contexts = deviations.shape[1]
    mean_norm, spread = (float(frobenius_norms(a[None])[0]) for a in (beta_bar, deviations))
    return math.hypot(mean_norm, spread / math.sqrt(n_contexts))


def predictor_l2_norm(zeta: ArrayLike) -> float:
    r"""L2 norm of all predictors together.

    .. math:: \|\beta\|_2 = \Big( \sum_\gamma \|\beta_\gamma\|_2^2 \Big)^{1/2}
        = C^{H/2} \Big( \|\bar\beta\|_2^2 + \tfrac{1}{C} \sum_h s_h^2 \Big)^{1/2}

    Parameters
    ----------
    zeta : array-like of shape (n_units, n_contexts, n_features)
        Any weights with these predictors.

    Returns
    -------
    float
        Norm.

    Raises
    ------
    OverflowError
        If :math:`C^{H/2}` or the norm exceeds the range of floats.

    Notes
    -----
    As a quadratic form of the weights, :math:`\|\beta\|_2^2 = C^{H-2} \|A \zeta\|_F^2` with

    .. math:: (A \zeta)_{hc} = \sqrt{C} \, \zeta_{hc} - \tfrac{1}{\sqrt{C}} \sum_{c'} \zeta_{hc'}
        + \tfrac{1}{\sqrt{HC}} \sum_{h'c'} \zeta_{h'c'} .

    The A of equations (23) and (25) of [1]_ has other factors and is not this norm: it weighs
    spreads against the mean :math:`C^2 H` times too much in the square.

    References
    ----------
    .. [1] Lippl, Abbott and Chung (2022), arXiv:2202.02649.

    Examples
    --------
    >>> from gnorm.norms import predictor_l2_norm
    >>> round(predictor_l2_norm([[[1.0], [3.0]], [[0.0], [8.0]]]) ** 2, 12)  # 1 + 81 + 9 + 121
    212.0
    """
    zeta = check_even(zeta)
    n_units, n_contexts, _ = zeta.shape
    try:
        norm = predictor_rms_norm(zeta) * float(n_contexts) ** (n_units / 2)
    except OverflowError:
        norm = math.inf
    if math.isinf(norm):
        raise OverflowError(
            f"the L2 norm over {n_contexts}^{n_units} contexts exceeds the range of floats; "
            "use predictor_rms_norm, which divides by the square root of their number"
        )
    return norm
