r"""The L2 norm of all weights: what gradient descent on a linear model minimises.

Its kernel is :math:`\langle x, x' \rangle a(x, x')`, with :math:`a` the number of contexts that are
open for both (:func:`gnorm.kernels.plain_kernel`).

References
----------
.. [1] D. Soudry, E. Hoffer, M. S. Nacson, S. Gunasekar and N. Srebro (2018). The implicit bias of
   gradient descent on separable data. JMLR 19. arXiv:1710.10345.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from gnorm import kernels
from gnorm.gated import FloatArray, frobenius_norms
from gnorm.gating import Activations, ContextWeights
from gnorm.norms.base import Network, QuadraticNorm, check_weights
from gnorm.norms.simplex import check_threshold

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["L2"]


@dataclass(frozen=True)
class L2(QuadraticNorm, takes_rows=True):
    r"""Euclidean norm :math:`\|\zeta\|_F` of all weights together.

    Examples
    --------
    >>> from gnorm.norms import L2
    >>> L2().value([[[3.0, -4.0]]]), L2().dual([[[3.0, -4.0]]])
    (5.0, 5.0)
    """

    formula = r"\|\zeta\|_F"
    dual_formula = r"\|V\|_F"
    architecture = "linear in its weights: a linear model, gated or not"
    geometry = "l2: gradient descent"
    references = ("Soudry et al. (2018), arXiv:1710.10345",)
    invariances = ("signs", "permutations", "rotations")

    def unit_norms(self, zeta: ArrayLike) -> FloatArray:
        """Norm of all weights, shape (1,): one kernel for all units."""
        array = zeta.rows[None] if isinstance(zeta, ContextWeights) else zeta
        return frobenius_norms(check_weights(array)[None])

    def dual_norms(self, sums: FloatArray) -> FloatArray:
        """Norm of the sums, shape (1,): the norm is its own dual."""
        return self.unit_norms(sums)

    def recovered(self, sums: FloatArray, shares: np.ndarray) -> FloatArray:
        r"""Weights :math:`\zeta = V`."""
        return sums * shares[0]

    def kernel(self, X: Any, activations: Activations) -> np.ndarray:
        """Kernel matrix, shape (n_samples, n_samples)."""
        return kernels.plain_kernel(X, activations)

    def largest_kernel(self, n_units: int, n_contexts: int) -> float:
        r"""Largest value of the kernel in units of :math:`\|x\|^2`, where all gates are open."""
        return float(n_units * n_contexts)

    def gate_metric(self, factors: np.ndarray | ContextWeights) -> np.ndarray:
        """Count the contexts that two coded gates have in common."""
        rows = factors.rows if isinstance(factors, ContextWeights) else factors
        T = rows.reshape(-1, factors.shape[2])
        return T.T @ T

    def prox(self, zeta: ArrayLike, t: float) -> FloatArray:
        """Proximal map of t times the norm: all weights shrink together."""
        given: Any = zeta if isinstance(zeta, ContextWeights) else check_weights(zeta)
        norm, t = self.value(given), check_threshold(t)
        shrunk: FloatArray = given * (max(norm - t, 0.0) / norm if norm > 0 else 0.0)
        return shrunk

    def expression(self, zeta: Any) -> cp.Expression:
        """Compose the norm of atoms of cvxpy."""
        import cvxpy as cp

        return cp.norm(cp.vec(zeta, order="F"), 2)

    def network(self, shape: tuple[int, ...]) -> Network:
        """One layer, the weights themselves; its cost is their norm, of degree one like them."""
        return Network(
            (shape,),
            lambda w: np.asarray(w[0]),
            lambda w: float(np.linalg.norm(w[0])),
            lambda zeta: [zeta],
        )
