r"""Values, dual norm and proximal map of the norms that gated networks implicitly minimise.

The weights ``zeta`` of a gated linear map are of shape (n_units, n_contexts, n_features). Their
predictors are :math:`\beta_\gamma = \sum_h \zeta_{h \gamma_h}`, with mean :math:`\bar\beta` over
all :math:`C^H` global contexts and main effects :math:`d_h` of spread :math:`s_h = \|d_h\|_F`
(see :func:`gnorm.gated.main_effects`). Two functions of zeta are easily confused:

- :func:`gln_norm` is a norm of the predictors, the same for all weights that have them;
- :func:`representation_cost` is what the given weights cost, never less.

Values are accurate to rounding whatever the scale of the entries, 1e200 or 1e-200, as long as
plain sums of entries stay within the range of floats. Every function raises ValueError for an
array that is not finite, real and of the documented shape; a section Raises lists only what comes
on top of that.

References
----------
.. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
   generalized gated linear networks. arXiv:2202.02649.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from gnorm.gated import (
    FloatArray,
    check_zeta,
    frobenius_norms,
    from_predictors,
    main_effects,
)

__all__ = [
    "dual_norm",
    "frelu_norm",
    "gln_norm",
    "gln_norm_of_predictors",
    "predictor_l2_norm",
    "predictor_rms_norm",
    "prox_representation_cost",
    "representation_cost",
    "unit_norms",
]


def unit_norms(zeta: ArrayLike) -> FloatArray:
    r"""Frobenius norm of the weights of each unit, :math:`\|\zeta_h\|_F`.

    Parameters
    ----------
    zeta : array-like of shape (n_units, n_contexts, n_features)
        Unit weights.

    Returns
    -------
    ndarray of shape (n_units,)
        Norms, each accurate at its own scale.

    Examples
    --------
    >>> from gnorm.norms import unit_norms
    >>> unit_norms([[[3.0], [4.0]], [[0.0], [0.0]]])
    array([5., 0.])
    """
    return frobenius_norms(check_zeta(zeta))


def representation_cost(zeta: ArrayLike) -> float:
    r"""Cost of one representation of a gated linear map.

    .. math:: \sum_h \|\zeta_h\|_F

    It is half the least squared norm :math:`\|w\|^2` of a two-layer network with these weights.

    Parameters
    ----------
    zeta : array-like of shape (n_units, n_contexts, n_features)
        Unit weights.

    Returns
    -------
    float
        Cost, at least ``gln_norm(zeta)``, with equality for ``canonical(zeta)``.

    Examples
    --------
    >>> from gnorm.gated import canonical
    >>> from gnorm.norms import gln_norm, representation_cost
    >>> zeta = [[[3.0], [4.0]], [[-3.0], [-4.0]]]
    >>> representation_cost(zeta), round(gln_norm(zeta), 12)
    (10.0, 1.414213562373)
    >>> round(representation_cost(canonical(zeta)), 12)
    1.414213562373
    """
    return float(unit_norms(zeta).sum())


def gln_norm(zeta: ArrayLike) -> float:
    r"""Norm of the predictors that gradient descent on a two-layer GLN minimises.

    .. math:: \|\beta\|_{\mathrm{GLN}} = \min_{\zeta'} \sum_h \|\zeta'_h\|_F
        \quad \text{subject to} \quad \sum_h \zeta'_{h \gamma_h} = \beta_\gamma
        \ \text{for all } \gamma

    (equation (20) of [1]_), in closed form for any number of units and contexts:

    .. math:: \|\beta\|_{\mathrm{GLN}}^2 = \Big( \sum_h s_h \Big)^2 + C \, \|\bar\beta\|_2^2 .

    Parameters
    ----------
    zeta : array-like of shape (n_units, n_contexts, n_features)
        Any weights with these predictors; the value does not depend on which.

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


def frelu_norm(zeta: ArrayLike) -> float:
    r"""Norm of the predictors that gradient descent on a frozen-gate ReLU network minimises.

    .. math:: \|\beta\|_{\mathrm{FReLU}} = \sum_h \|\zeta_h\|_2

    (equation (22) of [1]_). The gate of a FReLU unit is open or closed, and :math:`\zeta_h` is the
    predictor where only that of unit h is open: predictors determine weights, and the norm is the
    cost of its only representation.

    Parameters
    ----------
    zeta : array-like of shape (n_units, n_features) or (n_units, 1, n_features)
        Unit weights.

    Returns
    -------
    float
        Norm.

    Raises
    ------
    ValueError
        If units have more than one context, where cost and norm differ.

    References
    ----------
    .. [1] Lippl, Abbott and Chung (2022), arXiv:2202.02649.

    Examples
    --------
    >>> from gnorm.norms import frelu_norm
    >>> frelu_norm([[3.0, 4.0], [0.0, -2.0]])
    7.0
    """
    if np.ndim(zeta) == 2:
        zeta = np.asarray(zeta)[:, None, :]
    zeta = check_zeta(zeta)
    if zeta.shape[1] != 1:
        raise ValueError(
            f"expected one context per unit, the open gate, got {zeta.shape[1]} contexts; "
            "for units of several contexts use gln_norm"
        )
    return representation_cost(zeta)


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
    beta_bar, deviations = main_effects(zeta)
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
    zeta = check_zeta(zeta)
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


def dual_norm(V: ArrayLike) -> float:
    r"""Dual norm of the representation cost.

    .. math:: \max_{\zeta} \frac{\langle \zeta, V \rangle}{\sum_h \|\zeta_h\|_F}
        = \max_h \|V_h\|_F

    Parameters
    ----------
    V : array-like of shape (n_units, n_contexts, n_features)
        Linear functional of zeta, such as :func:`gnorm.gated.accumulate` gives.

    Returns
    -------
    float
        Dual norm.

    Notes
    -----
    Where every unit has one open context in each sample, :math:`\sum_c V_{hc}` is the same for all
    units, :math:`\langle \zeta, V \rangle` depends on the predictors alone, and the value is also
    the dual of :func:`gln_norm`.

    Examples
    --------
    >>> from gnorm.norms import dual_norm
    >>> dual_norm([[[3.0], [4.0]], [[0.0], [2.0]]])
    5.0
    """
    return float(frobenius_norms(check_zeta(V, "V")).max())


def prox_representation_cost(zeta: ArrayLike, t: float) -> FloatArray:
    r"""Proximal map of t times the representation cost: block soft-thresholding.

    .. math:: \operatorname*{arg\,min}_{\xi} \tfrac{1}{2} \|\xi - \zeta\|_F^2
        + t \sum_h \|\xi_h\|_F , \qquad
        \xi_h = \max\Big( 0, 1 - \frac{t}{\|\zeta_h\|_F} \Big) \, \zeta_h

    Parameters
    ----------
    zeta : array-like of shape (n_units, n_contexts, n_features)
        Unit weights.
    t : float
        Threshold, non-negative.

    Returns
    -------
    ndarray of shape (n_units, n_contexts, n_features)
        New array; units of norm at most t are exactly zero.

    Raises
    ------
    ValueError
        If t is not a non-negative number.

    Examples
    --------
    >>> from gnorm.norms import prox_representation_cost
    >>> prox_representation_cost([[[3.0, 4.0]], [[0.5, 0.0]]], t=1.0)
    array([[[2.4, 3.2]],
    <BLANKLINE>
           [[0. , 0. ]]])
    """
    if not (math.isfinite(t) and t >= 0):
        raise ValueError(f"expected a finite t >= 0, got {t}")
    zeta = check_zeta(zeta)
    norms = frobenius_norms(zeta)
    left = np.where(norms > t, norms - t, 0.0) / np.where(norms > 0, norms, 1.0)
    return left[:, None, None] * zeta
