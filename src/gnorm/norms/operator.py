r"""The operator norm: what spectral descent on networks of several outputs minimises.

With :math:`\zeta_h = A_h B_h`, the least :math:`\max_h \max(\sigma(A_h), \sigma(B_h))^2` is the
largest singular value. Descent along the polar factor of each layer's gradient, Muon without its
momentum, is steepest in this geometry.

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
from gnorm.norms.base import Network, check_weights
from gnorm.norms.matrices import MatrixNorm, singular_values
from gnorm.norms.simplex import check_threshold, projected_to_l1_ball

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["Operator"]


@dataclass(frozen=True)
class Operator(MatrixNorm):
    r"""Largest singular value of all units, :math:`\max_h \sigma_{\max}(\zeta_h)`.

    Parameters
    ----------
    shape : tuple of int, default=None
        Rows and columns of an input that is a matrix, its features in C order: the weights of
        every context then are a matrix of this shape. None for the matrix from the gated features
        of a unit, its rows, to the outputs.

    See Also
    --------
    Nuclear : Its dual, for gradient descent.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.norms import Operator
    >>> two_outputs = np.diag([3.0, 4.0])[None, None]
    >>> Operator().value(two_outputs), Operator().dual(two_outputs)
    (4.0, 7.0)
    """

    formula = r"\max_h \sigma_{\max}(\zeta_h)"
    dual_formula = r"\sum_h \|V_h\|_*"
    architecture = (
        "gated network, two layers, several outputs or matrix inputs, several units a gate"
    )
    geometry = "spectral norm of each layer: Muon without momentum"
    references = ("Tsilivis et al. (2025), arXiv:2410.22069",)

    def value(self, zeta: ArrayLike) -> float:
        """Largest singular value of all units."""
        return float(np.max(singular_values(self.matrices(check_weights(zeta)))))

    def dual(self, sums: ArrayLike) -> float:
        """Sum of all singular values."""
        return float(np.sum(singular_values(self.matrices(check_weights(sums, "sums")))))

    def extreme_point(self, sums: ArrayLike) -> FloatArray:
        """Polar factors of all units."""
        V = check_weights(sums, "sums")
        U, _, Vt = np.linalg.svd(self.matrices(V), full_matrices=False)
        return (U @ Vt).reshape(V.shape)

    def prox(self, zeta: ArrayLike, t: float) -> FloatArray:
        """Proximal map of t times the norm: cut off where the singular values exceed t in total."""
        zeta, t = check_weights(zeta), check_threshold(t)
        U, s, Vt = np.linalg.svd(self.matrices(zeta), full_matrices=False)
        return ((U * (s - projected_to_l1_ball(s, t))[:, None]) @ Vt).reshape(zeta.shape)

    def expression(self, zeta: Any) -> cp.Expression:
        """Compose the norm of atoms of cvxpy."""
        import cvxpy as cp

        return cp.max(cp.hstack([cp.sigma_max(matrix) for matrix in self._expressions(zeta)]))

    def network(self, shape: tuple[int, ...]) -> Network:
        r"""Input weights :math:`A_h` and read-out :math:`B_h`, with as many units as the rank."""
        n_matrices, n_rows, n_columns = self.matrix_shape(shape)
        rank = min(n_rows, n_columns)

        def weights(zeta: FloatArray) -> list[np.ndarray]:
            U, s, Vt = np.linalg.svd(self.matrices(zeta), full_matrices=False)
            root = np.sqrt(np.max(s)) or 1.0
            return [U * (s / root)[:, None], root * Vt]

        return Network(
            ((n_matrices, n_rows, rank), (n_matrices, rank, n_columns)),
            lambda w: (w[0] @ w[1]).reshape(shape),
            lambda w: max(float(np.max(singular_values(layer))) for layer in w) ** 2,
            weights,
        )
