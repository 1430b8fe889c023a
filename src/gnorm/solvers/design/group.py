r"""One kernel a unit, :math:`\langle x, x' \rangle \langle g_h(x), g_h(x') \rangle / w_h^2`."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import get_blas_funcs
from scipy.sparse import issparse

from gnorm import gated, kernels
from gnorm.norms import GroupNorm
from gnorm.solvers.design.base import Design
from gnorm.solvers.design.gram import Gram, Precision

__all__ = ["GroupDesign"]

_COLUMNS = 512  # of the weighted Gram matrix per block, below whose diagonal alone it is worked on


class GroupDesign(Design[GroupNorm]):
    """The feature map of a gated linear model under a sum of the norms of its units.

    For the parameters see :class:`Design`.
    """

    def __init__(
        self, norm: GroupNorm, X: Any, activations: np.ndarray, is_one_hot: bool | None = None
    ) -> None:
        super().__init__(norm, X, activations, is_one_hot)
        self.n_kernels = activations.shape[1]
        self.gram = Gram(self._gram, self.max_input_norm)
        self._inverse_squares = norm.weights(self.n_kernels) ** -2.0
        self._codes: dict[Precision, tuple[np.ndarray, float]] = {}

    def _gram(self, precision: Precision, length: float) -> np.ndarray:
        """Inner products of the inputs, shared by all units."""
        if precision is np.float64:
            return kernels.gram(self.X)
        X = (self.X / length).astype(precision)
        product = X @ X.T
        return np.asarray(product.toarray() if issparse(product) else product)

    def _coded_in(self, precision: Precision) -> tuple[np.ndarray, float]:
        r"""Rows :math:`s_h` and a number :math:`o` with <g_h, g_h'> = <s_h, s_h'> + o.

        Gates with one context on per unit are coded as the corners of a regular simplex, whose
        inner products are those of the unit vectors less :math:`1/C`: one column a unit less, so
        that the products cost half for two contexts. Other gates are their own code.
        """
        if precision in self._codes:
            return self._codes[precision]
        coded, offset = self.activations.astype(precision), 0.0
        n_contexts = coded.shape[2]
        if self.is_one_hot and n_contexts > 1:
            corners = np.linalg.svd(np.ones((1, n_contexts)))[2][1:].T
            coded, offset = coded @ corners.astype(precision), 1.0 / n_contexts
        # all units of the first column, then of the next
        flat = np.ascontiguousarray(coded.transpose(0, 2, 1)).reshape(self.n_samples, -1)
        self._codes[precision] = flat, offset
        return flat, offset

    def kernel_products(self, coef: np.ndarray, precision: Precision) -> np.ndarray:
        """Compute the products by one product with the Gram matrix, see :class:`Design`."""
        if issparse(self.X) or 2 * self.n_features < self.n_samples:
            return self.exact_products(coef)  # which is then the cheaper way
        codes, offset = self._coded_in(precision)
        length = self.gram.length(precision)
        largest = float(np.max(np.abs(coef), initial=0.0)) or 1.0
        on = np.flatnonzero(coef)
        on = on if 2 * len(on) < self.n_samples else np.arange(self.n_samples)
        relative = (coef[on] / largest).astype(precision)
        weighted = np.empty((len(on), codes.shape[1] + 1), dtype=precision)
        gram = self.gram.matrix(precision)
        gram = gram if len(on) == self.n_samples else gram[on]
        np.multiply(codes[on], relative[:, None], out=weighted[:, :-1])
        np.multiply(offset, relative, out=weighted[:, -1])
        # gram[:, on] @ weighted, transposed into the memory order of the library
        (gemm,) = get_blas_funcs(("gemm",), dtype=precision)
        products = gemm(1.0, weighted.T, gram.T, trans_b=1).T
        per_unit = np.repeat(products[:, -1:], self.n_kernels, axis=1)
        for first in range(0, codes.shape[1], self.n_kernels):
            columns = slice(first, first + self.n_kernels)
            per_unit += products[:, columns] * codes[:, columns]
        scales: np.ndarray = largest * length * length * self._inverse_squares
        return scales * per_unit.astype(float, copy=False)

    def weighted_gram(
        self, weights: np.ndarray, precision: Precision, out: np.ndarray | None = None
    ) -> np.ndarray:
        r"""Compute :math:`\sum_h w_h K_h = K \circ (G \operatorname{diag}(w) G^\top)`."""
        codes, offset = self._coded_in(precision)
        weights = weights * self._inverse_squares * self.gram.length(precision) ** 2
        roots = np.sqrt(weights).astype(precision)
        scaled = np.empty((self.n_samples, codes.shape[1] + 1), dtype=precision)
        np.multiply(codes, np.tile(roots, codes.shape[1] // self.n_kernels), out=scaled[:, :-1])
        scaled[:, -1] = np.sqrt(offset * float(np.sum(weights)))
        (syrk,) = get_blas_funcs(("syrk",), dtype=precision)
        reused = {} if out is None else {"c": out, "overwrite_c": 1}
        S: np.ndarray = syrk(1.0, scaled.T, trans=1, lower=1, **reused)
        # the transpose of the symmetric matrix only aligns memory order
        aligned = self.gram.matrix(precision).T
        for first in range(0, self.n_samples, _COLUMNS):
            block = slice(first, None), slice(first, first + _COLUMNS)
            S[block] *= aligned[block]
        return S

    def products_of(self, sums: np.ndarray) -> np.ndarray:
        """Compute the products with given sums, see :class:`Design`."""
        return self._inverse_squares * self._for_outputs(
            sums, lambda own: gated.unit_values(self.X, self.activations, own)
        )

    def _factors(self, decoding: np.ndarray) -> np.ndarray:
        return decoding * np.sqrt(self._inverse_squares)[:, None, None]

    @property
    def norm_condition(self) -> float:
        """1: norms of units are sums of squares."""
        return 1.0

    @property
    def error_length(self) -> float:
        """That of the context gates in the unit of least weight."""
        return float(np.sqrt(self.activations.shape[2] * np.max(self._inverse_squares)))

    def _largest_gate_kernel(self) -> float:
        n_open = 1 if self.is_one_hot else self.activations.shape[2]
        return n_open * float(np.max(self._inverse_squares))
