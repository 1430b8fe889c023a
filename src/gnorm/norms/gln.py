r"""The GLN norm: what gradient descent on a two-layer gated linear network minimises.

Unit h of a gated linear network has exactly one of :math:`C_h` contexts on, so that shifts
:math:`\zeta_{hc} \to \zeta_{hc} + a_h` with :math:`\sum_h a_h = 0` change no predictor. The norm is
the least cost over these shifts. With the main effects of :func:`gnorm.gated.main_effects`, spreads
:math:`s_h = \sqrt{C_h} \, t_h` and :math:`B = \|\bar\beta\|`, and weights :math:`w_h = v_h /
\sqrt{C_h}` of the units, it is

.. math::

    \min_{x \ge 0, \, \sum_h x_h = B} \sum_h v_h \sqrt{t_h^2 + x_h^2}
    = \max_{0 \le \lambda \le \min_h v_h} \lambda B + \sum_h t_h \sqrt{v_h^2 - \lambda^2},

where all that a unit takes of the mean, :math:`x_h = t_h \lambda / \sqrt{v_h^2 - \lambda^2}`, is
along :math:`\bar\beta`. For equal :math:`v_h` this is the closed form of :func:`gln_norm`.

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

from gnorm.gated import (
    FloatArray,
    canonical,
    check_zeta,
    frobenius_norms,
    from_predictors,
    main_effects,
    unit_means,
)
from gnorm.gating import Activations, ContextWeights, open_counts
from gnorm.norms.group import GroupNorm, unit_norms
from gnorm.norms.simplex import check_threshold

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["GLN", "gln_norm", "gln_norm_of_predictors"]


@dataclass(frozen=True)
class GLN(GroupNorm, takes_rows=True):
    r"""Least cost :math:`\sum_h w_h \|\zeta_h\|_F` over all weights with the same predictors.

    Parameters
    ----------
    unit_weights : tuple of float, default=None
        Weights :math:`w_h`, positive and finite, one a unit; None for ones.

    See Also
    --------
    gnorm.norms.gln_norm : The value for equal weights.

    Examples
    --------
    >>> from gnorm.norms import GLN, gln_norm
    >>> zeta = [[[1.0], [3.0]], [[0.0], [8.0]]]
    >>> bool(abs(GLN().value(zeta) - gln_norm(zeta)) < 1e-12)
    True
    """

    formula = r"((\sum_h s_h)^2 + C \|\bar\beta\|^2)^{1/2}"
    architecture = "gated linear network, two layers, one context of a unit open"
    invariances = ("permutations of units", "exchange between units")

    def check_gates(self, activations: Activations) -> None:
        """Raise ValueError unless each unit has exactly one context on."""
        super().check_gates(activations)
        if not np.all(open_counts(activations) == 1):
            raise ValueError(
                "the GLN norm is defined for gates with exactly one context on per unit, got "
                "activations with none or several"
            )

    def value(self, zeta: ArrayLike) -> float:
        """Norm of the predictors of any weights that have them."""
        return float(np.sum(self.unit_norms(self.canonical(zeta))))

    def canonical(self, zeta: ArrayLike) -> FloatArray:
        """Weights of least cost among all with the same predictors, of the same shape."""
        given: Any = zeta if isinstance(zeta, ContextWeights) else check_zeta(zeta)
        n_contexts, v = self._mean_weights(given)
        if isinstance(given, np.ndarray) and np.all(v == v[0]):
            return canonical(given)
        beta_bar, deviations = main_effects(given)
        total = float(frobenius_norms(beta_bar[None])[0])
        if total == 0:
            return deviations
        t = unit_norms(deviations) / np.sqrt(np.maximum(n_contexts, 1))
        taken = _shares_of_mean(t, v, total)
        shifted: FloatArray = deviations + (taken / total)[:, None, None] * beta_bar
        return shifted

    def _mean_weights(self, zeta: Any) -> tuple[np.ndarray, np.ndarray]:
        """Count the contexts of each unit, and find its weight v in a norm of means.

        Of a unit without contexts it is above all others, so that this takes no part of the mean.
        """
        is_rows = isinstance(zeta, ContextWeights)
        n_contexts = zeta.n_contexts if is_rows else np.full(len(zeta), zeta.shape[1])
        v = self.weights(len(n_contexts)) * np.sqrt(n_contexts)
        return n_contexts, np.where(n_contexts > 0, v, 2.0 * np.max(v))

    def prox(self, zeta: ArrayLike, t: float) -> FloatArray:
        r"""Proximal map of t times the norm.

        With the :math:`t_h` of zeta written as :math:`t^0_h`, its :math:`\|\bar\beta\|` as
        :math:`B_0`, a rate :math:`\lambda \le \min_h v_h`, :math:`r_h = \sqrt{v_h^2 - \lambda^2}`
        and :math:`K = \sum_h 1 / C_h`,

        .. math:: t_h = \max(0, t^0_h - t r_h / C_h), \qquad
            B = \lambda \sum_h t_h / r_h = B_0 - K t \lambda ,

        or :math:`B = B_0 - K t \lambda` at the largest rate. What units exchange stays as it is.
        """
        given: Any = zeta if isinstance(zeta, ContextWeights) else check_zeta(zeta)
        t = check_threshold(t)
        n_contexts, v = self._mean_weights(given)
        shares = 1.0 / np.maximum(n_contexts, 1)
        moved = float(np.sum(shares[n_contexts > 0]))
        least = float(np.min(v))
        beta_bar, deviations = main_effects(given)
        before = float(frobenius_norms(beta_bar[None])[0])
        spreads = unit_norms(deviations) * np.sqrt(shares)

        def left(angle: float) -> tuple[np.ndarray, np.ndarray]:
            # the rate is the least weight times the sine: near it the cosine has the digits
            roots = np.hypot(np.sqrt((v - least) * (v + least)), least * math.cos(angle))
            return np.maximum(spreads - t * roots * shares, 0.0), roots

        def excess(angle: float) -> float:
            own, roots = left(angle)
            return least * math.sin(angle) * (float(np.sum(own / roots)) + moved * t) - before

        angle, end = 0.0, 0.5 * math.pi
        is_inside = excess(end) > 0
        if before > 0:
            angle = brentq(excess, 0.0, end, xtol=1e-16) if is_inside else end
        own, _ = left(angle)
        after = max(before - moved * t * least * math.sin(angle), 0.0)
        if is_inside and not np.any(own):
            after = 0.0  # by the other equation, but for rounding
        factors = own / np.where(spreads > 0, spreads, 1.0)
        lost = (1.0 - after / before if before > 0 else 0.0) * beta_bar
        means = unit_means(given) - np.multiply.outer(shares / moved, lost)
        mapped: FloatArray = deviations * factors[:, None, None] + means[:, None]
        return mapped

    def recovered(self, sums: FloatArray, shares: np.ndarray) -> FloatArray:
        """Weights of least cost with the predictors of a dual point."""
        return self.canonical(super().recovered(sums, shares))

    def expression(self, zeta: Any) -> cp.Expression:
        """Compose the norm of the predictors of atoms of cvxpy.

        With unequal weights the shares of the mean are a variable of the expression.
        """
        import cvxpy as cp
        from cvxpy.transforms.partial_optimize import partial_optimize

        from gnorm import atoms

        if self.unit_weights is None or len(set(self.unit_weights)) == 1:
            scale = 1.0 if self.unit_weights is None else self.unit_weights[0]
            return scale * atoms.gln_norm(zeta)
        n_units, n_contexts, n_features = zeta.shape
        shifts = cp.Variable((n_units, n_features))
        rows = cp.reshape(zeta, (n_units, n_contexts * n_features), order="C")
        shifted = rows + cp.hstack(
            [shifts - cp.sum(shifts, axis=0, keepdims=True) / n_units] * n_contexts
        )
        return partial_optimize(
            cp.Problem(cp.Minimize(self.weights(n_units) @ cp.norm(shifted, 2, axis=1))), [shifts]
        )


def _shares_of_mean(t: np.ndarray, v: np.ndarray, total: float) -> np.ndarray:
    r"""Lengths :math:`x_h` that the units take of a mean of length `total`, see the module.

    Of :math:`\kappa = \sqrt{v^2 - \lambda^2} / \lambda` with v the least of the weights, they are
    :math:`x_h = t_h v / \sqrt{v_h^2 - v^2 + v_h^2 \kappa^2}`. Unlike the rate, which has no digits
    near its largest value, it has all of them for any lengths of the spreads.
    """
    least = float(np.min(v))
    is_least = v == least
    gaps = np.sqrt((v - least) * (v + least))  # exact for weights that hardly differ
    has_spread = t > 0
    own_t, own_v, own_gaps = t[has_spread], v[has_spread], gaps[has_spread]

    def taken(scaled: float) -> np.ndarray:
        # parts of the mean, of kappa times its length, which is of the scale of the spreads
        return least * own_t / np.hypot(total * own_gaps, own_v * scaled)

    def excess(scaled: float) -> float:
        return 1.0 / float(np.sum(taken(scaled))) - 1.0  # linear where all weights are equal

    # All x_h are at most t_h / kappa, and those of the least weight just that. Where kappa is lost
    # to rounding beside the gaps of all others, these take what they take at zero.
    tiny = float(np.finfo(float).tiny)
    scaled, is_dear = max(float(np.sum(t[is_least])), tiny), own_gaps > 0
    if is_dear.any():
        scaled = max(scaled, 1e-9 * total * float(np.min(own_gaps[is_dear] / own_v[is_dear])))
    if np.sum(taken(scaled)) > 1:
        scaled = brentq(excess, scaled, 2.0 * float(np.sum(t)), xtol=tiny, maxiter=2000)
    x = np.zeros(len(t))
    x[has_spread] = taken(scaled)
    # what is left, at no further cost to units of the least weight, like their spreads
    of_least = t[is_least] if np.any(t[is_least]) else np.ones(np.count_nonzero(is_least))
    rest = max(1.0 - float(np.sum(x[~is_least])), 0.0)
    x[is_least] = rest * (of_least / np.sum(of_least))
    lengths: np.ndarray = x * (total / np.sum(x))
    return lengths


def gln_norm(zeta: ArrayLike | ContextWeights) -> float:
    r"""Norm of the predictors that gradient descent on a two-layer GLN minimises.

    .. math:: \|\beta\|_{\mathrm{GLN}} = \min_{\zeta'} \sum_h \|\zeta'_h\|_F
        \quad \text{subject to} \quad \sum_h \zeta'_{h \gamma_h} = \beta_\gamma
        \ \text{for all } \gamma

    (equation (20) of [1]_), in closed form for any number of units and contexts:

    .. math:: \|\beta\|_{\mathrm{GLN}}^2 = \Big( \sum_h s_h \Big)^2 + C \, \|\bar\beta\|_2^2 .

    Parameters
    ----------
    zeta : array-like or ContextWeights of shape (n_units, n_contexts, n_features)
        Any weights with these predictors; the value does not depend on which. Of units of uneven
        numbers of contexts it is the least cost over those that there are.

    Returns
    -------
    float
        Norm.

    Notes
    -----
    The minimum is attained at :func:`gnorm.gated.canonical`, which explains why. For two units of
    two contexts the closed form is Proposition B.9 of [1]_ with the factor of its equation (65);
    equations (21) and (60) there are larger by :math:`\sqrt{2}` than what (20) defines.

    References
    ----------
    .. [1] Lippl, Abbott and Chung (2022), arXiv:2202.02649.

    Examples
    --------
    >>> from gnorm.norms import gln_norm
    >>> round(gln_norm([[[1.0], [3.0]], [[0.0], [8.0]]]), 12)  # sqrt(2 * (1 + 4)^2 + 2 * 6^2)
    11.045361017187
    """
    if isinstance(zeta, ContextWeights):  # which may be uneven
        return GLN().value(zeta)
    beta_bar, deviations = main_effects(zeta)
    n_contexts = deviations.shape[1]
    mean_norm = float(frobenius_norms(beta_bar[None])[0])
    return math.hypot(float(frobenius_norms(deviations).sum()), math.sqrt(n_contexts) * mean_norm)


def gln_norm_of_predictors(beta: ArrayLike, tol: float = 1e-8) -> float:
    r"""GLN norm of a family of predictors, one for each global context.

    Parameters
    ----------
    beta : array-like of shape (n_contexts,) * n_units + (n_features,)
        Predictors.
    tol : float, default=1e-8
        Violation of realisability put down to rounding, see :func:`gnorm.gated.from_predictors`.

    Returns
    -------
    float
        :func:`gln_norm` of any weights with these predictors.

    Raises
    ------
    NotRealizableError
        If no gated linear network has these predictors.

    Examples
    --------
    >>> from gnorm.norms import gln_norm_of_predictors
    >>> round(gln_norm_of_predictors([[[1.0], [9.0]], [[3.0], [11.0]]]), 12)
    11.045361017187
    """
    return gln_norm(from_predictors(beta, tol))
