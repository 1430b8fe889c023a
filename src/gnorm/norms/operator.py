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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gnorm.gated import FloatArray
from gnorm.norms.matrices import MatrixNorm, singular_values
from gnorm.norms.max_abs import MaxAbs

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

    gauge = MaxAbs()
    formula = r"\max_h \sigma_{\max}(\zeta_h)"
    dual_formula = r"\sum_h \|V_h\|_*"
    geometry = "spectral norm of each layer: Muon without momentum"
    references = ("Tsilivis et al. (2025), arXiv:2410.22069",)

    def expression(self, zeta: Any) -> cp.Expression:
        """Compose the norm of atoms of cvxpy."""
        import cvxpy as cp

        return cp.max(cp.hstack([cp.sigma_max(matrix) for matrix in self._expressions(zeta)]))

    @staticmethod
    def _shared(s: FloatArray) -> tuple[FloatArray, FloatArray]:
        root = np.sqrt(np.max(s)) or 1.0
        return s / root, np.full(s.shape, root)

    @staticmethod
    def _cost(layers: Sequence[np.ndarray]) -> float:
        return max(float(np.max(singular_values(layer))) for layer in layers) ** 2
