r"""The largest absolute weight: what sign descent on a two-layer gated network minimises.

A unit :math:`\zeta_h = u_h a_h` has :math:`\max(|u_h|, \|a_h\|_\infty)^2 \ge \|\zeta_h\|_\infty`.
Adam without its epsilon descends in this geometry.

References
----------
.. [1] N. Tsilivis, E. Gronich, G. Vardi and J. Kempe (2025). Flavors of margin: implicit bias of
   steepest descent in homogeneous neural networks. ICLR. arXiv:2410.22069.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from gnorm.gated import FloatArray
from gnorm.norms.base import Network, Norm, check_weights
from gnorm.norms.simplex import check_threshold, projected_to_l1_ball

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["MaxAbs"]


@dataclass(frozen=True)
class MaxAbs(Norm):
    r"""Largest absolute value :math:`\max_i |\zeta_i|` of all weights.

    See Also
    --------
    L1 : Its dual.
    LpGroups : The geometries between this and the Euclidean one.

    Examples
    --------
    >>> from gnorm.norms import MaxAbs
    >>> MaxAbs().value([[[3.0, -4.0]]]), MaxAbs().dual([[[3.0, -4.0]]])
    (4.0, 7.0)
    """

    formula = r"\max_i |\zeta_i|"
    dual_formula = r"\sum_i |V_i|"
    architecture = "gated network, two layers"
    geometry = "l-infinity: sign descent, Adam without epsilon"
    references = ("Tsilivis et al. (2025), arXiv:2410.22069",)
    invariances = ("signs", "permutations")
    is_polyhedral = True

    def value(self, zeta: ArrayLike) -> float:
        """Largest absolute value."""
        return float(np.max(np.abs(check_weights(zeta))))

    def dual(self, sums: ArrayLike) -> float:
        """Sum of absolute values."""
        return float(np.sum(np.abs(check_weights(sums, "sums"))))

    def extreme_point(self, sums: ArrayLike) -> FloatArray:
        """Signs of the sums."""
        return np.where(check_weights(sums, "sums") >= 0, 1.0, -1.0)

    def prox(self, zeta: ArrayLike, t: float) -> FloatArray:
        """Proximal map of t times the norm: cut off where the excess is t in total."""
        zeta, t = check_weights(zeta), check_threshold(t)
        return zeta - projected_to_l1_ball(zeta, t)

    def expression(self, zeta: Any) -> cp.Expression:
        """Compose the norm of atoms of cvxpy."""
        import cvxpy as cp

        return cp.max(cp.abs(zeta))

    def network(self, shape: tuple[int, ...]) -> Network:
        r"""Read-out :math:`u_h` and input weights :math:`a_h` of each unit."""

        def weights(zeta: FloatArray) -> list[np.ndarray]:
            root = np.sqrt(np.max(np.abs(zeta))) or 1.0
            return [np.full(len(zeta), root), zeta / root]

        return Network(
            ((shape[0],), shape),
            lambda w: w[0][:, None, None] * w[1],
            lambda w: float(max(np.max(np.abs(layer)) for layer in w)) ** 2,
            weights,
        )
