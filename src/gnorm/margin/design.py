r"""Gated feature maps as operators: the geometry of a max-margin problem.

The features of unit :math:`h` are :math:`\phi_h(x) = g_h(x) \otimes x`, and its kernel is
:math:`K_h(x, x') = \langle x, x' \rangle \langle g_h(x), g_h(x') \rangle`. Neither the features
(n_samples x n_units n_contexts n_features) nor the kernels (n_units of n_samples x n_samples) are
ever built: every solver works through the products below.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import get_blas_funcs
from scipy.linalg.blas import dgemm, dsyrk
from scipy.sparse import issparse

from gnorm import gated, kernels, norms

__all__ = ["GatedDesign", "PredictorL2Design"]

_COLUMNS = 512  # of the weighted Gram matrix per block, below whose diagonal alone it is worked on
_FEW = 5  # gates or inputs below which their pairs are not worth forming
_MOST_PAIRS = 2**15  # ... and pairs above which the blocks of samples become too short


class GatedDesign:
    r"""Feature map of a gated linear model on one data set, one kernel a unit.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
        Inputs in float64.
    activations : ndarray of bool, shape (n_samples, n_units, n_contexts)
        Gates of the inputs.

    Attributes
    ----------
    precision : type
        Floating-point type of the Gram matrix and of what is computed from it. All that goes
        through the features is in float64 whatever it is.
    """

    precision: type[np.floating[Any]] = np.float64

    def __init__(self, X: Any, activations: np.ndarray) -> None:
        self.X = X
        self.activations = activations
        self.n_samples, self.n_units, self.n_contexts = activations.shape

    @cached_property
    def is_one_hot(self) -> bool:
        """Whether exactly one context of each unit is on."""
        return bool(np.all(self.activations.sum(axis=2) == 1))

    def restricted(self, rows: np.ndarray) -> GatedDesign:
        """Return the design of some of the samples, with what is known of its Gram matrix."""
        part = type(self)(self.X[rows], self.activations[rows])
        part.precision = self.precision
        part._inherit(self, rows)
        if "in_single" in vars(self):
            rough = part.in_single
            rough._inherit(self.in_single, rows)
        return part

    def _inherit(self, whole: GatedDesign, rows: np.ndarray) -> None:
        """Take over what is known of a design that this one is some rows of."""
        if whole.is_one_hot:
            self.is_one_hot = True
        if "gram" in vars(whole):
            self.gram = whole.gram.take(rows, axis=0).take(rows, axis=1)
            self.gram *= self.precision((whole._length / self._length) ** 2)

    @cached_property
    def in_single(self) -> GatedDesign:
        """The same design with a Gram matrix in single precision."""
        rough = type(self)(self.X, self.activations)
        rough.precision = np.float32
        rough.is_one_hot = self.is_one_hot
        return rough

    @cached_property
    def _codes(self) -> tuple[np.ndarray, float]:
        r"""Rows :math:`s_h` and a number :math:`o` with <g_h, g_h'> = <s_h, s_h'> + o.

        Gates with one context on per unit are coded as the corners of a regular simplex, whose
        inner products are those of the unit vectors less :math:`1/C`: one column a unit less, so
        that the products cost half for two contexts. Other gates are their own code.
        """

        def flat(coded: np.ndarray) -> np.ndarray:  # all units of the first column, then the next
            return np.ascontiguousarray(coded.transpose(0, 2, 1)).reshape(self.n_samples, -1)

        if not self.is_one_hot or self.n_contexts == 1:
            return flat(self.activations.astype(self.precision)), 0.0
        corners = np.linalg.svd(np.ones((1, self.n_contexts)))[2][1:].T
        coded = self.activations.astype(self.precision) @ corners.astype(self.precision)
        return flat(coded), 1.0 / self.n_contexts

    @cached_property
    def coded(self) -> tuple[np.ndarray, np.ndarray]:
        r"""Fewest gates whose features span those of all units, and the way back.

        One of the contexts of a unit with one on is known from the others: the features of all
        units are linear in those of C - 1 contexts a unit and of one gate that is always open.

        Returns
        -------
        gates : ndarray of bool, shape (n_samples, n_gates, 1)
            The gates :math:`g_k`, as activations of units with one context.
        factors : ndarray of shape (n_units, rank, n_gates)
            Matrices with :math:`K_h(x, x') = \langle x, x' \rangle \langle F_h g(x), F_h g(x')
            \rangle`: the sum :math:`V_h` is ``factors[h]`` times the sums of the coded features.
        """
        n_units, n_contexts = self.activations.shape[1:]
        if not self.is_one_hot or n_contexts == 1:
            gates = self.activations.reshape(self.n_samples, -1, 1)
            return gates, np.eye(n_units * n_contexts).reshape(n_units, n_contexts, -1)
        n_free = n_contexts - 1
        gates = np.ones((self.n_samples, n_units * n_free + 1, 1), dtype=bool)
        gates[:, :-1, 0] = self.activations[:, :, :-1].reshape(self.n_samples, -1)
        factors = np.zeros((n_units, n_contexts, gates.shape[1]))
        for h in range(n_units):
            own = slice(h * n_free, (h + 1) * n_free)
            factors[h, :-1, own] = np.eye(n_free)
            factors[h, -1, own] = -1.0
            factors[h, -1, -1] = 1.0
        return gates, factors

    def feature_gram(self, weights: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\sum_n w_n \phi(x_n) \phi(x_n)^\top` of the coded features.

        Parameters
        ----------
        weights : ndarray of shape (n_samples,)
            Non-negative weights. Samples of weight zero cost nothing.

        Returns
        -------
        ndarray of shape (n_gates * n_features, n_gates * n_features)
            The weighted Gram matrix of the features, gates varying slowest.
        """
        gates = self.coded[0][:, :, 0]
        n_gates, n_features = gates.shape[1], self.X.shape[1]
        size = n_gates * n_features
        n_pairs = (n_gates * (n_gates + 1) + n_features * (n_features + 1)) // 2
        if min(n_gates, n_features) < _FEW or n_pairs > _MOST_PAIRS:
            S = np.zeros((size, size), order="F")
            for rows in _blocks(weights, size):
                x = _dense(self.X[rows]) * np.sqrt(weights[rows])[:, None]
                features = (gates[rows][:, :, None] * x[:, None, :]).reshape(len(rows), size)
                S = dsyrk(1.0, features.T, lower=1, beta=1.0, c=S, overwrite_c=1)
            return np.tril(S) + np.tril(S, -1).T
        # The entry of (k, d) and (m, e) belongs to a pair of gates and a pair of inputs. Both kinds
        # of pairs have a symmetry, and using both halves the arithmetic.
        k, m = np.triu_indices(n_gates)
        d, e = np.triu_indices(n_features)
        by_pairs = np.zeros((len(d), len(k)), order="F")
        for rows in _blocks(weights, n_pairs):
            x = np.ascontiguousarray(_dense(self.X[rows]).T)
            g = np.ascontiguousarray(gates[rows].T, dtype=float)
            pairs = (g * weights[rows])[k] * g[m]
            by_pairs = dgemm(1.0, (x[d] * x[e]).T, pairs.T, 1.0, by_pairs, 1, 0, 1)
        pair_of = np.empty((n_gates, n_gates), dtype=np.intp)
        pair_of[k, m] = pair_of[m, k] = np.arange(len(k))
        input_pair_of = np.empty((n_features, n_features), dtype=np.intp)
        input_pair_of[d, e] = input_pair_of[e, d] = np.arange(len(d))
        full = by_pairs[input_pair_of[None, :, None, :], pair_of[:, None, :, None]]
        return full.reshape(size, size)

    @cached_property
    def gram(self) -> np.ndarray:
        r"""Inner products of the inputs, (n_samples, n_samples), shared by all units.

        Those of inputs divided by :attr:`max_feature_norm` in single precision, which cannot
        overflow.
        """
        if self.precision is np.float64:
            return kernels.gram(self.X)
        X = (self.X / self._length).astype(self.precision)
        product = X @ X.T
        return np.asarray(product.toarray() if issparse(product) else product)

    @property
    def _length(self) -> float:
        """What the inputs are divided by for the Gram matrix."""
        if self.precision is np.float64:
            return 1.0
        return self.max_feature_norm or 1.0

    @cached_property
    def max_feature_norm(self) -> float:
        """Largest norm of an input, the length by which residuals are judged."""
        return float(np.sqrt(np.max(kernels.squared_row_norms(self.X), initial=0.0)))

    def unit_products(self, coef: np.ndarray, *, accurate: bool = False) -> np.ndarray:
        r"""Compute :math:`K_h c` for every unit.

        Parameters
        ----------
        coef : ndarray of shape (n_samples,)
            The vector :math:`c`.
        accurate : bool, default=False
            Go through the features instead of the Gram matrix. The error is then relative to
            :math:`\sum_n |c_n| \|x_n\|` and not to its square, which matters when the features
            cancel.

        Returns
        -------
        ndarray of shape (n_samples, n_units)
            Column h is :math:`K_h c`.
        """
        n_features = self.X.shape[1]
        if accurate or issparse(self.X) or 2 * n_features < self.n_samples:
            return self.products_of(self.sums(coef))
        codes, offset = self._codes
        length = self._length
        largest = float(np.max(np.abs(coef), initial=0.0)) or 1.0
        on = np.flatnonzero(coef)
        on = on if 2 * len(on) < self.n_samples else np.arange(self.n_samples)
        relative = (coef[on] / largest).astype(self.precision)
        weighted = np.empty((len(on), codes.shape[1] + 1), dtype=self.precision)
        gram = self.gram if len(on) == self.n_samples else self.gram[on]
        np.multiply(codes[on], relative[:, None], out=weighted[:, :-1])
        np.multiply(offset, relative, out=weighted[:, -1])
        # gram[:, on] @ weighted, transposed into the memory order of the library
        (gemm,) = get_blas_funcs(("gemm",), dtype=self.precision)
        products = gemm(1.0, weighted.T, gram.T, trans_b=1).T
        per_unit = np.repeat(products[:, -1:], self.n_units, axis=1)
        for first in range(0, codes.shape[1], self.n_units):
            columns = slice(first, first + self.n_units)
            per_unit += products[:, columns] * codes[:, columns]
        return largest * length * length * per_unit.astype(float, copy=False)

    def sums(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`V_h = \sum_n c_n \phi_h(x_n)`, shape (H, C, D).

        Samples of coefficient zero cost nothing.
        """
        return gated.accumulate(self.X, self.activations, coef)

    def products_of(self, sums: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\langle \phi_h(x_n), V_h \rangle`, shape (n_samples, n_units).

        With :meth:`sums` of another design it is the product with the kernels between the two.
        """
        return gated.unit_values(self.X, self.activations, sums)

    def norms_of(self, sums: np.ndarray) -> np.ndarray:
        r"""Norm of each :math:`V_h`."""
        return norms.unit_norms(sums)

    def weighted_gram(self, weights: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        r"""Compute :math:`\sum_h w_h K_h = K \circ (G \operatorname{diag}(w) G^\top)`.

        Parameters
        ----------
        weights : ndarray of shape (n_units,)
            Non-negative weights.
        out : ndarray of shape (n_samples, n_samples), Fortran order, default=None
            An earlier result to overwrite: memory that is new costs time as well.

        Returns
        -------
        ndarray of shape (n_samples, n_samples), Fortran order
            Only the lower triangle is meaningful: one symmetric product fills it, and a Cholesky
            factorisation reads no more.
        """
        codes, offset = self._codes
        weights = weights * self._length**2
        roots = np.sqrt(weights).astype(self.precision)
        scaled = np.empty((self.n_samples, codes.shape[1] + 1), dtype=self.precision)
        np.multiply(codes, np.tile(roots, codes.shape[1] // self.n_units), out=scaled[:, :-1])
        scaled[:, -1] = np.sqrt(offset * float(np.sum(weights)))
        (syrk,) = get_blas_funcs(("syrk",), dtype=self.precision)
        reused = {} if out is None else {"c": out, "overwrite_c": 1}
        S: np.ndarray = syrk(1.0, scaled.T, trans=1, lower=1, **reused)
        aligned = self.gram.T  # the transpose of the symmetric matrix only aligns memory order
        for first in range(0, self.n_samples, _COLUMNS):
            block = slice(first, None), slice(first, first + _COLUMNS)
            S[block] *= aligned[block]
        return S

    def unit_weights(self, coef: np.ndarray, weights: np.ndarray) -> np.ndarray:
        r"""Recover :math:`\zeta` from a dual point, :meth:`weights_of` of its sums."""
        return self.weights_of(self.sums(coef), weights)

    def weights_of(self, sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
        r"""Recover :math:`\zeta_h = w_h V_h`, shape (H, C, D).

        Units that always have one of several contexts on leave :math:`\zeta` a freedom that changes
        no predictor; it is spent on the representation of least cost. On/off gates leave none:
        that a unit is open on all samples at hand does not keep it open on others.
        """
        zeta = sums * weights[:, None, None]
        return gated.canonical(zeta) if self.is_one_hot and self.n_contexts > 1 else zeta

    def unit_norms(self, zeta: np.ndarray) -> np.ndarray:
        r"""Norm of each unit, :math:`\|\zeta_h\|`; the engine minimises half their squared sum."""
        return norms.unit_norms(zeta)

    def dual_norms(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\|V_h\|` with :math:`V_h = \sum_n c_n \phi_h(x_n)` for every unit."""
        return self.norms_of(self.sums(coef))

    def cancellation(self, coef: np.ndarray) -> float:
        r"""Largest share of any gated feature that is left after the samples cancel.

        The maximum over h, c, d of :math:`|V_{hcd}| / \sum_n |c_n g_{hc}(x_n) x_{nd}|`, the same in
        any units of the features.
        """
        V = np.abs(self.sums(coef))
        total = gated.accumulate(abs(self.X), self.activations, np.abs(coef))
        return float(np.max(np.divide(V, total, out=np.zeros_like(V), where=total > 0)))

    def decision_values(self, zeta: np.ndarray) -> np.ndarray:
        """Evaluate the predictor on the inputs of the design."""
        return gated.decision_values(self.X, self.activations, zeta)


def _blocks(weights: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """Samples of positive weight, in blocks that keep a temporary of this width in the cache."""
    positive = np.flatnonzero(weights)
    step = max(64, gated.BLOCK_ENTRIES // (4 * width))
    return (positive[start : start + step] for start in range(0, len(positive), step))


def _dense(X: Any) -> np.ndarray:
    return X.toarray() if issparse(X) else X


class PredictorL2Design(GatedDesign):
    r"""The same predictors under the L2 norm: one kernel for all units together.

    The norm is the root mean square :math:`C^{-H/2} \|\beta\|_2` of the predictors of all
    contexts, the kernel :math:`\langle x, x' \rangle (1 - H + C a(x, x'))` with :math:`a` the
    number of units that agree (:func:`gnorm.kernels.predictor_l2_kernel`).
    """

    def __init__(self, X: Any, activations: np.ndarray) -> None:
        super().__init__(X, activations)
        if not self.is_one_hot:
            raise ValueError(
                "the L2 norm of the predictors is defined for gates with exactly one context on "
                "per unit, got activations with none or several"
            )
        self._n_gated_units = self.n_units
        self.n_units = 1  # as the engine sees it: one group, one kernel

    @cached_property
    def gram(self) -> np.ndarray:
        """The kernel matrix of the L2 norm, over the squared length in single precision."""
        kernel = kernels.predictor_l2_kernel(self.X, self.activations)
        kernel /= self._length**2
        return kernel.astype(self.precision, copy=False)

    @cached_property
    def coded(self) -> tuple[np.ndarray, np.ndarray]:
        r"""The coded gates; one factor F for all, with the kernel :math:`F^\top F` of the gates."""
        gates, factors = super().coded
        T = factors.reshape(-1, factors.shape[2])
        always = T[: self.n_contexts].sum(axis=0)  # some context of a unit is always on
        metric = self.n_contexts * (T.T @ T) + (1 - self._n_gated_units) * np.outer(always, always)
        return gates, np.linalg.cholesky(metric).T[None]

    @cached_property
    def max_feature_norm(self) -> float:
        """Largest norm of a sample in the feature space of the kernel."""
        agreeing = 1 + (self.n_contexts - 1) * self._n_gated_units
        return float(np.sqrt(agreeing)) * super().max_feature_norm

    def unit_products(self, coef: np.ndarray, *, accurate: bool = False) -> np.ndarray:
        """Compute the product with the one kernel, shape (n_samples, 1)."""
        if accurate:
            return self.products_of(self.sums(coef))
        largest = float(np.max(np.abs(coef), initial=0.0)) or 1.0
        products = self.gram @ (coef / largest).astype(self.precision)
        return largest * self._length**2 * products.astype(float, copy=False)[:, None]

    def weighted_gram(self, weights: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Scale the kernel matrix, in Fortran order."""
        weight = self.precision(weights[0] * self._length**2)
        return np.multiply(weight, self.gram.T, order="F", out=out)

    def weights_of(self, sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
        r"""Recover :math:`\zeta_{hc} = C V_{hc} + \frac{1 - H}{H} \sum_{c'} V_{hc'}`."""
        n_units = self._n_gated_units
        mean = sums.sum(axis=1, keepdims=True)
        zeta = self.n_contexts * sums + ((1 - n_units) / n_units) * mean
        return gated.canonical(weights[0] * zeta)

    def products_of(self, sums: np.ndarray) -> np.ndarray:
        """Evaluate the predictor of the sums, shape (n_samples, 1)."""
        return self.decision_values(self.weights_of(sums, np.ones(1)))[:, None]

    def norms_of(self, sums: np.ndarray) -> np.ndarray:
        """Dual norm of the expansion, shape (1,): the kernel norm is its own dual."""
        return self.unit_norms(self.weights_of(sums, np.ones(1)))

    def unit_norms(self, zeta: np.ndarray) -> np.ndarray:
        """Root mean square norm of the predictors, shape (1,)."""
        return np.array([norms.predictor_rms_norm(zeta)])
