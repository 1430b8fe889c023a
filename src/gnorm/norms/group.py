r"""Sums of the norms of units: what Euclidean descent on two-layer gated networks minimises.

With weights :math:`w_h > 0`, :math:`\sum_h w_h \|\zeta_h\|_F`. Its dual norm is
:math:`\max_h \|V_h\|_F / w_h`, whatever the gates. In the language of kernels unit h has the one
:math:`\langle x, x' \rangle \langle g_h(x), g_h(x') \rangle / w_h^2`.

References
----------
.. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
   generalized gated linear networks. arXiv:2202.02649.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from gnorm.gated import FloatArray, check_zeta, even_parts, frobenius_norms
from gnorm.gating import ContextWeights
from gnorm.norms.base import Network, UnitNorm
from gnorm.norms.simplex import check_threshold
from gnorm.norms.unit_weights import WeightedUnits

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = [
    "GroupNorm",
    "dual_norm",
    "prox_representation_cost",
    "representation_cost",
    "unit_norms",
]


@dataclass(frozen=True)
class GroupNorm(WeightedUnits, UnitNorm, takes_rows=True):
    r"""Weighted sum of the Frobenius norms of the units, :math:`\sum_h w_h \|\zeta_h\|_F`.

    Parameters
    ----------
    unit_weights : tuple of float, default=None
        Weights :math:`w_h`, positive and finite, one a unit; None for ones. Any sequence is taken.

    Raises
    ------
    ValueError
        If a weight is not a positive finite number.

    Examples
    --------
    >>> from gnorm.norms import GroupNorm
    >>> norm = GroupNorm(unit_weights=(1.0, 2.0))
    >>> norm.value([[[3.0, 4.0]], [[0.0, 1.0]]]), norm.dual([[[3.0, 4.0]], [[0.0, 1.0]]])
    (7.0, 5.0)
    """

    formula = r"\sum_h w_h \|\zeta_h\|_F"
    dual_formula = r"\max_h \|V_h\|_F / w_h"
    architecture = "gated network, two layers, one unit a gate; any gates"
    geometry = "l2: gradient descent"
    references = ("Lippl, Abbott and Chung (2022), arXiv:2202.02649",)
    invariances: ClassVar[tuple[str, ...]] = (
        "signs",
        "permutations of units",
        "rotations within units",
    )

    @classmethod
    def examples(cls) -> tuple[Self, ...]:
        """Return equal weights of the units, and others."""
        return cls(), cls(unit_weights=(1.0, 2.0))

    def matrix_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Matrices, rows and columns of a zeta of a shape: one column a unit, see `Nuclear`."""
        return shape[0], math.prod(shape[1:]), 1

    def unit_norms(self, zeta: ArrayLike) -> FloatArray:
        r"""Weighted norms :math:`w_h \|\zeta_h\|_F`, shape (n_units,)."""
        norms = unit_norms(zeta)
        return norms if self.unit_weights is None else self.weights(len(norms)) * norms

    def dual_norms(self, sums: ArrayLike) -> FloatArray:
        r"""Norms :math:`\|V_h\|_F / w_h`, shape (n_units,); the dual norm is the largest."""
        norms = unit_norms(sums)
        return norms if self.unit_weights is None else norms / self.weights(len(norms))

    def recovered(self, sums: FloatArray, shares: np.ndarray) -> FloatArray:
        r"""Weights :math:`\zeta_h = \mu_h V_h / w_h^2`."""
        return sums * (shares / self.weights(len(sums)) ** 2)[:, None, None]

    def expression(self, zeta: Any) -> cp.Expression:
        r"""Compose :math:`\sum_h w_h \|\zeta_h\|_F` of atoms of cvxpy."""
        from gnorm import atoms

        return self.weights(zeta.shape[0]) @ atoms.unit_norms(zeta)

    def prox(self, zeta: ArrayLike, t: float) -> FloatArray:
        """Proximal map of t times the norm: every unit shrinks by t times its weight."""
        given: Any = zeta if isinstance(zeta, ContextWeights) else check_zeta(zeta)
        norms, t = unit_norms(given), check_threshold(t)
        left = np.maximum(norms - t * self.weights(len(norms)), 0.0)
        shrunk: FloatArray = (left / np.where(norms > 0, norms, 1.0))[:, None, None] * given
        return shrunk

    def network(self, shape: tuple[int, ...]) -> Network:
        r"""Read-out :math:`u_h` and input weights :math:`a_h` of each unit, :math:`w_h u_h a_h`."""
        scales = self.weights(shape[0])

        def weights(zeta: FloatArray) -> list[np.ndarray]:
            roots = np.sqrt(self.unit_norms(zeta))
            scaled = zeta * scales[:, None, None]
            return [roots, scaled / np.where(roots > 0, roots, 1.0)[:, None, None]]

        return Network(
            ((shape[0],), shape),
            lambda w: (w[0] / scales)[:, None, None] * w[1],
            lambda w: 0.5 * float(np.sum(w[0] ** 2) + np.sum(w[1] ** 2)),
            weights,
        )


def unit_norms(zeta: ArrayLike | ContextWeights) -> FloatArray:
    r"""Frobenius norm of the weights of each unit, :math:`\|\zeta_h\|_F`.

    Parameters
    ----------
    zeta : array-like or ContextWeights of shape (n_units, n_contexts, n_features)
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
    return np.concatenate([frobenius_norms(part) for part in even_parts(zeta)])


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
    return GroupNorm().prox(zeta, t)
