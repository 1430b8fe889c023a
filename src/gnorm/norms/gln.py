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
        is_array = isinstance(given, np.ndarray)
        roots = np.sqrt(np.full(*given.shape[:2]) if is_array else given.n_contexts)
        weights = self.weights(len(roots)) * roots
        if is_array and np.all(weights == weights[0]):
            return canonical(given)
        beta_bar, deviations = main_effects(given)
        total = float(frobenius_norms(beta_bar[None])[0])
        if total == 0:
            return deviations
        taken = np.zeros(len(roots))
        has_any = roots > 0  # a unit without contexts has none that a part of the mean could be in
        spreads = unit_norms(deviations)[has_any] / roots[has_any]
        taken[has_any] = _shares_of_mean(spreads, weights[has_any], total)
        shifted: FloatArray = deviations + (taken / total)[:, None, None] * beta_bar
        return shifted

    def prox(self, zeta: ArrayLike, t: float) -> FloatArray:
        r"""Proximal map of t times the norm.

        With spreads :math:`a_h`, :math:`y = \sqrt C \|\bar\beta\|`, a rate :math:`\lambda` up to
        the least weight and :math:`r_h = \sqrt{w_h^2 - \lambda^2}`,

        .. math:: s_h = \max(0, a_h - t r_h), \qquad
            x = \lambda \sum_h s_h / r_h = y - H t \lambda ,

        or :math:`x = y - H t \lambda` at the least weight. What units exchange stays as it is.
        """
        zeta, t = check_zeta(zeta), check_threshold(t)
        n_units, n_contexts, _ = zeta.shape
        weights = self.weights(n_units)
        least = float(np.min(weights))
        beta_bar, deviations = main_effects(zeta)
        exchanged = zeta.mean(axis=1) - beta_bar / n_units
        a = frobenius_norms(deviations)
        y = math.sqrt(n_contexts) * float(frobenius_norms(beta_bar[None])[0])

        def spreads(angle: float) -> tuple[np.ndarray, np.ndarray]:
            # the rate is the least weight times the sine: near it the cosine has the digits
            roots = np.hypot(
                np.sqrt((weights - least) * (weights + least)), least * math.cos(angle)
            )
            return np.maximum(a - t * roots, 0.0), roots

        def excess(angle: float) -> float:
            s, roots = spreads(angle)
            return least * math.sin(angle) * (float(np.sum(s / roots)) + n_units * t) - y

        angle, end = 0.0, 0.5 * math.pi
        is_inside = excess(end) > 0
        if y > 0:
            angle = brentq(excess, 0.0, end, xtol=1e-16) if is_inside else end
        s, _ = spreads(angle)
        x = max(y - n_units * t * least * math.sin(angle), 0.0)
        if is_inside and not np.any(s):
            x = 0.0  # by the other equation, but for rounding
        shrunk = deviations * (s / np.where(a > 0, a, 1.0))[:, None, None]
        mean = beta_bar * (x / (n_units * y) if y > 0 else 0.0)
        return shrunk + (exchanged + mean)[:, None]

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


def _shares_of_mean(spreads: np.ndarray, weights: np.ndarray, total: float) -> np.ndarray:
    r"""Lengths :math:`x_h` that the units take of a mean of length `total`, see the module."""
    cheapest = float(np.min(weights))

    def taken(rate: float) -> np.ndarray:
        # (w - r)(w + r): near the pole of the cheapest unit the difference must be exact
        roots = np.sqrt((weights - cheapest * rate) * (weights + cheapest * rate))
        return spreads * cheapest * rate / roots

    largest = 1.0 - 1e-15  # at 1 the cheapest units take any length at no further cost
    if float(np.sum(taken(largest))) <= total:
        x = taken(largest)
        is_cheapest = weights == cheapest
        x[is_cheapest] += (total - np.sum(x)) / np.count_nonzero(is_cheapest)
        return x
    rate = brentq(lambda rate: float(np.sum(taken(rate))) / total - 1.0, 0.0, largest, xtol=1e-16)
    x = taken(rate)
    return x * (total / np.sum(x))


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
