r"""The FReLU norm: what gradient descent on a frozen-gate ReLU network minimises.

References
----------
.. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
   generalized gated linear networks. arXiv:2202.02649.
"""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from gnorm.gated import as_numbers, check_zeta
from gnorm.gating import Activations
from gnorm.norms.group import GroupNorm, representation_cost

__all__ = ["FReLU", "frelu_norm"]


@dataclass(frozen=True)
class FReLU(GroupNorm, takes_rows=True):
    r"""Weighted sum of the norms of units whose gate is open or closed.

    Parameters
    ----------
    unit_weights : tuple of float, default=None
        Weights :math:`w_h`, positive and finite, one a unit; None for ones.

    See Also
    --------
    gnorm.norms.frelu_norm : The value for equal weights.
    """

    architecture = "frozen-gate ReLU network, two layers, one unit a gate"

    def check_gates(self, activations: Activations) -> None:
        """Raise ValueError unless units have one context."""
        super().check_gates(activations)
        if activations.shape[2] != 1:
            raise ValueError(
                "the FReLU norm is defined for units of one context, the open gate, got "
                f"activations of {activations.shape[2]} contexts"
            )


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
    weights = as_numbers(zeta, "zeta")
    zeta = check_zeta(weights[:, None, :] if weights.ndim == 2 else weights)
    if zeta.shape[1] != 1:
        raise ValueError(
            f"expected one context per unit, the open gate, got {zeta.shape[1]} contexts; "
            "for units of several contexts use gln_norm"
        )
    return representation_cost(zeta)
