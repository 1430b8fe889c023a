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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gnorm.gated import FloatArray
from gnorm.norms.l1 import L1
from gnorm.norms.matrices import MatrixNorm
from gnorm.norms.unit_weights import WeightedUnits

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["Nuclear"]


@dataclass(frozen=True)
class Nuclear(WeightedUnits, MatrixNorm):
    r"""Weighted sum of the singular values of all units, :math:`\sum_h w_h \|\zeta_h\|_*`.

    Parameters
    ----------
    shape : tuple of int, default=None
        Rows and columns of an input that is a matrix, its features in C order: the weights of
        every context then are a matrix of this shape. None for the matrix from the gated features
        of a unit, its rows, to the outputs; of one output its norm is Euclidean.
    unit_weights : tuple of float, default=None
        Weights :math:`w_h`, positive and finite, one a unit; None for ones. Any sequence is taken.

    Raises
    ------
    ValueError
        If the shape is not of two positive integers, or a weight no positive finite number.

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

    gauge = L1()
    formula = r"\sum_h w_h \|\zeta_h\|_*"
    dual_formula = r"\max_h \sigma_{\max}(V_h) / w_h"
    geometry = "l2: gradient descent"
    references = ("Srebro, Rennie and Jaakkola (2004)", "Gunasekar et al. (2018), arXiv:1806.00468")

    def __post_init__(self) -> None:
        MatrixNorm.__post_init__(self)
        WeightedUnits.__post_init__(self)

    @classmethod
    def examples(cls) -> tuple[Nuclear, ...]:
        """Return the norm of outputs, that of inputs that are matrices, and a weighted one."""
        return *super().examples(), cls(unit_weights=(1.0, 2.0))

    def _weights(self, values: FloatArray) -> FloatArray | float:
        """Weights of the units; with matrices as inputs the contexts of a unit share them."""
        if self.unit_weights is None:
            return 1.0
        n_contexts = 1 if self.shape is None else max(1, len(values) // len(self.unit_weights))
        each = np.repeat(self.weights(len(values) // n_contexts), n_contexts)
        return np.broadcast_to(each[:, None, None], values.shape)

    def _shrunk(self, s: FloatArray, t: float) -> FloatArray:
        """Soft-threshold, by t times the weight of the unit."""
        return np.maximum(s - t * self._weights(s), 0.0)

    def expression(self, zeta: Any) -> cp.Expression:
        """Compose the norm of atoms of cvxpy."""
        import cvxpy as cp

        matrices = self._expressions(zeta)
        ones = np.ones((len(matrices), 1, 1))
        weights = np.ravel(ones * self._weights(ones))
        return sum(w * cp.normNuc(matrix) for w, matrix in zip(weights, matrices, strict=True))

    @staticmethod
    def _shared(s: FloatArray) -> tuple[FloatArray, FloatArray]:
        roots = np.sqrt(s)
        return roots, roots

    @staticmethod
    def _cost(layers: Sequence[np.ndarray]) -> float:
        return 0.5 * sum(float(np.sum(layer**2)) for layer in layers)
