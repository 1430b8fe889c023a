r"""The nuclear norm of the units: what gradient descent on networks of several outputs minimises.

With several units behind every gate, :math:`\zeta_h = A_h B_h`, the least
:math:`\tfrac12 (\|A_h\|^2 + \|B_h\|^2)` is the sum of the singular values of :math:`\zeta_h`. One
gate that is always open is the linear network of depth two, and a matrix as the input makes it the
norm of matrix completion.

References
----------
.. [1] N. Srebro, J. Rennie and T. Jaakkola (2004). Maximum-margin matrix factorization. NeurIPS.
.. [2] S. Gunasekar, J. D. Lee, D. Soudry and N. Srebro (2018). Implicit bias of gradient descent on
   linear convolutional networks. NeurIPS. arXiv:1806.00468.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from gnorm.gated import FloatArray
from gnorm.norms.base import Network, check_weights
from gnorm.norms.matrices import MatrixNorm, singular_values
from gnorm.norms.simplex import check_threshold

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["Nuclear"]


@dataclass(frozen=True)
class Nuclear(MatrixNorm):
    r"""Sum of the singular values of all units, :math:`\sum_h \|\zeta_h\|_*`.

    Parameters
    ----------
    shape : tuple of int, default=None
        Rows and columns of an input that is a matrix, its features in C order: the weights of
        every context then are a matrix of this shape. None for the matrix from the gated features
        of a unit, its rows, to the outputs; of one output its norm is Euclidean.

    See Also
    --------
    Operator : Its dual, for spectral descent.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.norms import Nuclear
    >>> two_outputs = np.diag([3.0, 4.0])[None, None]
    >>> Nuclear().value(two_outputs), Nuclear().dual(two_outputs)
    (7.0, 4.0)
    >>> Nuclear(shape=(2, 2)).value([[[3.0, 0.0, 0.0, 4.0]]])
    7.0
    """

    formula = r"\sum_h \|\zeta_h\|_*"
    dual_formula = r"\max_h \sigma_{\max}(V_h)"
    architecture = (
        "gated network, two layers, several outputs or matrix inputs, several units a gate"
    )
    geometry = "l2: gradient descent"
    references = ("Srebro, Rennie and Jaakkola (2004)", "Gunasekar et al. (2018), arXiv:1806.00468")

    def value(self, zeta: ArrayLike) -> float:
        """Sum of all singular values."""
        return float(np.sum(singular_values(self.matrices(check_weights(zeta)))))

    def dual(self, sums: ArrayLike) -> float:
        """Largest singular value of all units."""
        return float(np.max(singular_values(self.matrices(check_weights(sums, "sums")))))

    def extreme_point(self, sums: ArrayLike) -> FloatArray:
        """Outer product of the top singular pair, in the unit where it is largest."""
        V = check_weights(sums, "sums")
        U, s, Vt = np.linalg.svd(self.matrices(V), full_matrices=False)
        top = int(np.argmax(s[:, 0]))
        point = np.zeros(self.matrix_shape(V.shape))
        point[top] = np.outer(U[top, :, 0], Vt[top, 0])
        return point.reshape(V.shape)

    def prox(self, zeta: ArrayLike, t: float) -> FloatArray:
        """Proximal map of t times the norm: soft-thresholding of the singular values."""
        zeta, t = check_weights(zeta), check_threshold(t)
        U, s, Vt = np.linalg.svd(self.matrices(zeta), full_matrices=False)
        return ((U * np.maximum(s - t, 0.0)[:, None]) @ Vt).reshape(zeta.shape)

    def expression(self, zeta: Any) -> cp.Expression:
        """Compose the norm of atoms of cvxpy."""
        import cvxpy as cp

        return sum(cp.normNuc(matrix) for matrix in self._expressions(zeta))

    def network(self, shape: tuple[int, ...]) -> Network:
        r"""Input weights :math:`A_h` and read-out :math:`B_h`, with as many units as the rank."""
        n_matrices, n_rows, n_columns = self.matrix_shape(shape)
        rank = min(n_rows, n_columns)

        def weights(zeta: FloatArray) -> list[np.ndarray]:
            U, s, Vt = np.linalg.svd(self.matrices(zeta), full_matrices=False)
            roots = np.sqrt(s)
            return [U * roots[:, None], roots[:, :, None] * Vt]

        return Network(
            ((n_matrices, n_rows, rank), (n_matrices, rank, n_columns)),
            lambda w: (w[0] @ w[1]).reshape(shape),
            lambda w: 0.5 * float(np.sum(w[0] ** 2) + np.sum(w[1] ** 2)),
            weights,
        )
