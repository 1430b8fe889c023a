r"""The L1 norm: what gradient descent on a diagonal linear network of depth two minimises.

With :math:`\zeta = u \odot v`, :math:`\tfrac12 (\|u\|^2 + \|v\|^2) \ge \|\zeta\|_1`, with equality
where :math:`|u| = |v|`.

References
----------
.. [1] B. Woodworth, S. Gunasekar, J. D. Lee, E. Moroshko, P. Savarese, I. Golan, D. Soudry and
   N. Srebro (2020). Kernel and rich regimes in overparametrized models. COLT. arXiv:2002.09277.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from gnorm.gated import FloatArray
from gnorm.norms.base import Network, Norm, check_weights
from gnorm.norms.simplex import check_threshold

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["L1"]


@dataclass(frozen=True)
class L1(Norm):
    r"""Sum of absolute values :math:`\sum_i |\zeta_i|` of all weights.

    See Also
    --------
    MaxAbs : Its dual.

    Examples
    --------
    >>> from gnorm.norms import L1
    >>> L1().value([[[3.0, -4.0]]]), L1().dual([[[3.0, -4.0]]])
    (7.0, 4.0)
    """

    formula = r"\sum_i |\zeta_i|"
    dual_formula = r"\max_i |V_i|"
    architecture = "diagonal linear network, depth 2"
    geometry = "l2: gradient descent"
    references = ("Woodworth et al. (2020), arXiv:2002.09277",)
    invariances = ("signs", "permutations")
    takes_outputs = True
    is_polyhedral = True

    def value(self, zeta: ArrayLike) -> float:
        """Sum of absolute values."""
        return float(np.sum(np.abs(check_weights(zeta))))

    def dual(self, sums: ArrayLike) -> float:
        """Largest absolute value."""
        return float(np.max(np.abs(check_weights(sums, "sums"))))

    def extreme_point(self, sums: ArrayLike) -> FloatArray:
        """Weight of one feature, where the sums are largest."""
        V = check_weights(sums, "sums")
        point = np.zeros_like(V)
        largest = np.argmax(np.abs(V))
        point.flat[largest] = 1.0 if V.flat[largest] >= 0 else -1.0
        return point

    def prox(self, zeta: ArrayLike, t: float) -> FloatArray:
        """Proximal map of t times the norm: soft-thresholding of every weight."""
        zeta, t = check_weights(zeta), check_threshold(t)
        return np.sign(zeta) * np.maximum(np.abs(zeta) - t, 0.0)

    def expression(self, zeta: Any) -> cp.Expression:
        """Compose the norm of atoms of cvxpy."""
        import cvxpy as cp

        return cp.sum(cp.abs(zeta))

    def network(self, shape: tuple[int, ...]) -> Network:
        r"""Two layers of the shape of zeta, :math:`\zeta = u \odot v`."""

        def weights(zeta: FloatArray) -> list[np.ndarray]:
            roots = np.sqrt(np.abs(zeta))
            return [roots, np.sign(zeta) * roots]

        return Network(
            (shape, shape),
            lambda w: w[0] * w[1],
            lambda w: 0.5 * float(np.sum(w[0] ** 2) + np.sum(w[1] ** 2)),
            weights,
        )
