r"""One kernel a unit, :math:`\langle x, x' \rangle \langle g_h(x), g_h(x') \rangle / w_h^2`."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import get_blas_funcs
from scipy.sparse import csr_matrix, diags, issparse, tril

from gnorm import kernels
from gnorm.gating import Activations, Gating, open_context
from gnorm.norms import GroupNorm
from gnorm.solvers.design.arrowhead import ArrowheadFeatures, Levels, SystemSize
from gnorm.solvers.design.base import Design
from gnorm.solvers.design.coded import CodedFeatures, Factors
from gnorm.solvers.design.gram import Gram, Precision

__all__ = ["GroupDesign"]

_GAIN = 2.0  # in operations, from which eliminating levels, in smaller products, is faster as well
_COLUMNS = 512  # of the weighted Gram matrix per block, below whose diagonal alone it is worked on


class GroupDesign(Design[GroupNorm]):
    """The feature map of a gated linear model under a sum of the norms of its units.

    For the parameters see :class:`Design`.
    """

    def __init__(self, norm: GroupNorm, X: Any, activations: Activations) -> None:
        super().__init__(norm, X, activations)
        self.n_kernels = activations.shape[1]
        self.gram = Gram(self._gram, self.max_input_norm)
        self._inverse_squares = norm.weights(self.n_kernels) ** -2.0
        self._codes: dict[Precision, _Codes] = {}

    def _gram(self, precision: Precision, length: float) -> np.ndarray:
        """Inner products of the inputs, shared by all units."""
        if precision is np.float64:
            return kernels.gram(self.X)
        X = (self.X / length).astype(precision)
        product = X @ X.T
        return np.asarray(product.toarray() if issparse(product) else product)

    def _coded_in(self, precision: Precision) -> _Codes:
        if precision not in self._codes:
            self._codes[precision] = _coded(self.gating, precision)
        return self._codes[precision]

    def kernel_products(self, coef: np.ndarray, precision: Precision) -> np.ndarray:
        """Compute the products by one product with the Gram matrix, see :class:`Design`."""
        is_wide = 2 * self.n_features >= self.n_samples
        if issparse(self.X) or not is_wide or self.gating.rare is not None:
            return self.exact_products(coef)  # which is then the cheaper way
        codes = self._coded_in(precision)
        length = self.gram.length(precision)
        largest = float(np.max(np.abs(coef), initial=0.0)) or 1.0
        on = np.flatnonzero(coef)
        on = on if 2 * len(on) < self.n_samples else np.arange(self.n_samples)
        relative = (coef[on] / largest).astype(precision)
        weighted = np.empty((len(on), codes.columns.shape[1] + 1), dtype=precision)
        gram = self.gram.matrix(precision)
        gram = gram if len(on) == self.n_samples else gram[on]
        np.multiply(codes.columns[on], relative[:, None], out=weighted[:, :-1])
        weighted[:, -1] = relative
        # gram[:, on] @ weighted, transposed into the memory order of the library
        (gemm,) = get_blas_funcs(("gemm",), dtype=precision)
        products = gemm(1.0, weighted.T, gram.T, trans_b=1).T
        per_unit = products[:, -1:] * codes.offsets
        for part, units in codes.parts:
            per_unit[:, units] += products[:, part] * codes.columns[:, part]
        scales: np.ndarray = largest * length * length * self._inverse_squares
        return scales * per_unit.astype(float, copy=False)

    def weighted_gram(
        self, weights: np.ndarray, precision: Precision, out: np.ndarray | None = None
    ) -> np.ndarray:
        r"""Compute :math:`\sum_h w_h K_h = K \circ (G \operatorname{diag}(w) G^\top)`."""
        codes = self._coded_in(precision)
        weights = weights * self._inverse_squares * self.gram.length(precision) ** 2
        roots = np.sqrt(weights).astype(precision)
        scaled = np.empty((self.n_samples, codes.columns.shape[1] + 1), dtype=precision)
        for part, units in codes.parts:
            np.multiply(codes.columns[:, part], roots[units], out=scaled[:, part])
        scaled[:, -1] = np.sqrt(float(codes.offsets @ weights))
        (syrk,) = get_blas_funcs(("syrk",), dtype=precision)
        reused = {} if out is None else {"c": out, "overwrite_c": 1}
        S: np.ndarray = syrk(1.0, scaled.T, trans=1, lower=1, **reused)
        if self.gating.rare is not None:
            rare = self.gating.rare @ diags(roots[self.gating.units])
            agreeing = tril(rare @ rare.T).tocoo()
            S[agreeing.row, agreeing.col] += agreeing.data.astype(precision)
        # the transpose of the symmetric matrix only aligns memory order
        aligned = self.gram.matrix(precision).T
        for first in range(0, self.n_samples, _COLUMNS):
            block = slice(first, None), slice(first, first + _COLUMNS)
            S[block] *= aligned[block]
        return S

    def products_of(self, sums: np.ndarray) -> np.ndarray:
        """Compute the products with given sums, see :class:`Design`."""
        return self._inverse_squares * self.for_outputs(
            sums, lambda own: self.gating.values_by_unit(self.X, own)
        )

    def without(self, unit: int) -> GroupDesign:
        """Return the design of all units but one."""
        others = np.delete(np.arange(self.n_kernels), unit)
        norm = GroupNorm(tuple(self._inverse_squares[others] ** -0.5))
        return GroupDesign(norm, self.X, self.activations[:, others])

    @cached_property
    def _by_levels(self) -> tuple[SystemSize, Levels | None]:
        """Sizes of a system through the features, and the unit whose levels it eliminates."""
        dense = SystemSize(self.n_coded_features)
        seen = np.ones((self.n_kernels, self.n_features), dtype=bool)
        seen = seen if self.unit_features is None else self.unit_features
        n_levels = np.bincount(self.gating.units[self.gating.open], minlength=self.n_kernels)
        unit = int(np.argmax(n_levels * seen.sum(axis=1)))  # the one with most gated features
        size = int(n_levels[unit]), int(np.count_nonzero(seen[unit]))
        n_others = dense.n_others - (size[0] - self.is_one_hot) * size[1]
        arrowhead = SystemSize(n_others, self.n_kernels, *size)
        is_cheaper = _GAIN * arrowhead.steps(self.n_samples) < dense.steps(self.n_samples)
        # at least the gate that is always open
        has_others = size[0] < len(self.gating.open) or (
            self.is_one_hot and self.unit_features is None
        )
        contexts = open_context(self.activations, unit) if is_cheaper and has_others else None
        if contexts is None:
            return dense, None
        features = slice(None) if seen[unit].all() else np.flatnonzero(seen[unit])
        inverse_square = float(self._inverse_squares[unit])
        return arrowhead, Levels(unit, self.X[:, features], features, contexts, inverse_square)

    @property
    def system_size(self) -> SystemSize:
        """Sizes of a system through the features."""
        return self._by_levels[0]

    @cached_property
    def coded_features(self) -> CodedFeatures | ArrowheadFeatures:
        """The coded features as one vector, those of one unit level by level if that is cheaper."""
        levels = self._by_levels[1]
        if levels is None:
            return CodedFeatures(self)
        return ArrowheadFeatures(self, self.without(levels.unit), levels)

    def _factors(self, decoding: csr_matrix) -> Factors:
        rows = np.flatnonzero(np.diff(decoding.indptr))  # of contexts that are open in no sample
        units = self.gating.units[rows]
        scales = np.sqrt(self._inverse_squares)[units]
        return Factors(decoding[rows].toarray() * scales[:, None], units, self.n_kernels)

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


class _Codes(NamedTuple):
    r"""Rows :math:`s_h` and numbers :math:`o_h` with <g_h, g_h'> = <s_h, s_h'> + o_h.

    Contexts that are open in few samples have no part in this.

    Attributes
    ----------
    columns : ndarray of shape (n_samples, n_columns)
        The rows of all units, the first columns of some units, then their next.
    parts : list of (slice, ndarray or slice)
        Columns that belong to different units, and these units.
    offsets : ndarray of shape (n_units,)
        The numbers.
    """

    columns: np.ndarray
    parts: list[tuple[slice, Any]]
    offsets: np.ndarray


def _coded(gating: Gating, precision: Precision) -> _Codes:
    r"""Code the gates that are open in many samples.

    Those of a unit with one context on are coded as the corners of a regular simplex, whose inner
    products are those of the unit vectors less :math:`1/C`: one column a unit less, so that the
    products cost half for two contexts. Other gates are their own code.
    """
    n_samples, n_units, _ = gating.shape
    n_columns = np.bincount(gating.units[gating.columns], minlength=n_units)
    firsts = np.cumsum(n_columns) - n_columns
    is_whole = np.bincount(gating.units[gating.open], minlength=n_units) == n_columns
    is_simplex = is_whole & gating.is_one_hot & (n_columns > 1)
    blocks: list[np.ndarray] = []
    parts: list[tuple[slice, Any]] = []
    offsets, n_coded = np.zeros(n_units, dtype=precision), 0
    for count, simplex in np.unique(np.stack([n_columns, is_simplex], axis=1), axis=0):
        units = np.flatnonzero((n_columns == count) & (is_simplex == simplex))
        code = np.eye(count)
        if simplex:
            code = np.linalg.svd(np.ones((1, count)))[2][1:].T
            offsets[units] = 1.0 / count
        gates = gating.gates[:, firsts[units, None] + np.arange(count)].astype(precision)
        coded = (gates @ code.astype(precision)).transpose(0, 2, 1)
        blocks.append(coded.reshape(n_samples, -1))
        for _ in range(code.shape[1]):
            part = slice(n_coded, n_coded + len(units))
            parts.append((part, units if len(units) < n_units else slice(None)))
            n_coded += len(units)
    return _Codes(np.ascontiguousarray(np.concatenate(blocks, axis=1)), parts, offsets)
