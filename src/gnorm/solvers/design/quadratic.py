"""One kernel for all units together."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from gnorm.gating import Activations
from gnorm.norms import QuadraticNorm
from gnorm.solvers.design.base import Design
from gnorm.solvers.design.coded import Factors
from gnorm.solvers.design.gram import Gram, Precision

__all__ = ["QuadraticDesign"]


class QuadraticDesign(Design[QuadraticNorm]):
    """The feature map of a gated linear model under a norm of one kernel.

    For the parameters see :class:`Design`.
    """

    def __init__(self, norm: QuadraticNorm, X: Any, activations: Activations) -> None:
        super().__init__(norm, X, activations)
        self.n_kernels = 1
        self.gram = Gram(self._gram, self.max_input_norm)

    def _gram(self, precision: Precision, length: float) -> np.ndarray:
        kernel = self.norm.kernel(self.X, self.activations)
        if precision is not np.float64:
            kernel /= length**2
        return kernel.astype(precision, copy=False)

    def kernel_products(self, coef: np.ndarray, precision: Precision) -> np.ndarray:
        """Compute the product with the one kernel, shape (n_samples, 1)."""
        largest = float(np.max(np.abs(coef), initial=0.0)) or 1.0
        products = self.gram.matrix(precision) @ (coef / largest).astype(precision)
        scale = largest * self.gram.length(precision) ** 2
        return scale * products.astype(float, copy=False)[:, None]

    def weighted_gram(
        self, weights: np.ndarray, precision: Precision, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Scale the kernel matrix, in Fortran order."""
        weight = precision(weights[0] * self.gram.length(precision) ** 2)
        return np.multiply(weight, self.gram.matrix(precision).T, order="F", out=out)

    def products_of(self, sums: np.ndarray) -> np.ndarray:
        """Evaluate the predictor of the sums, see :class:`Design`."""
        return self.decision_values(self.recovered(sums, np.ones(1)))[..., None]

    def _factors(self, decoding: csr_matrix) -> Factors:
        metric = self.norm.gate_metric(self.of_units(decoding.toarray()))
        values, vectors = np.linalg.eigh(metric)
        rows = (np.sqrt(np.maximum(values, 0.0)) * vectors).T
        return Factors(rows, np.zeros(len(rows), dtype=np.intp), 1)

    @property
    def norm_condition(self) -> float:
        """Most ratio of the lengths of canonical weights to their norm, as for the predictor L2."""
        return float(np.sqrt(2.0 * self.n_gates))

    @property
    def error_length(self) -> float:
        """The same for sums, of which all units are in one."""
        return float(np.sqrt(2.0 * self.n_gates))

    def _largest_gate_kernel(self) -> float:
        return self.norm.largest_kernel(*self.activations.shape[1:])
