r"""Gated feature maps as operators: the geometry of a problem, without targets.

The features of unit :math:`h` are :math:`\phi_h(x) = g_h(x) \otimes x`. Neither they (n_samples x
n_units n_contexts n_features) nor the kernels of the units (n_units of n_samples x n_samples) are
ever built: every solver works through the products below. What a norm makes of the features are
kernels :math:`K_h(x, x') = \langle x, x' \rangle \langle F_h g(x), F_h g(x') \rangle`, h = 1 to
`n_kernels`, in as few gates g as span those of all units.

A product with the kernels goes through the Gram matrix of the inputs, in single or in double
precision, or through the features, in double precision: the error of that is relative to
:math:`\sum_n |b_n| \|x_n\|` and not to its square, which matters where features cancel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property
from typing import Any, Generic, Self, TypeVar

import numpy as np
from scipy.linalg.blas import dsyrk
from scipy.sparse import csr_matrix, issparse

from gnorm import kernels
from gnorm.gating import BLOCK_ENTRIES, Activations, ContextWeights, Gating, opened, row_blocks
from gnorm.norms import UnitNorm
from gnorm.solvers.design.arrowhead import ArrowheadFeatures, SystemSize
from gnorm.solvers.design.coded import Block, CodedFeatures, Factors
from gnorm.solvers.design.feature_gram import FeatureGram
from gnorm.solvers.design.gram import Gram, Precision
from gnorm.solvers.threads import summed

__all__ = ["Design", "coded_gates"]

_FEW = 5  # gates or inputs below which their pairs are not worth forming
_MOST_PAIRS = 2**15  # ... and pairs above which the blocks of samples become too short

AnyNorm = TypeVar("AnyNorm", bound=UnitNorm)


def coded_gates(gating: Gating) -> np.ndarray:
    """Fewest contexts whose features, with those of a gate always open, span those of all units.

    One of the contexts of a unit with one on is known from the others, and the last of them is left
    out. Of other gates all that are open in some sample are taken, or one if none is, and there is
    no further gate.
    """
    if gating.is_one_hot:
        return np.setdiff1d(gating.open, gating.references)
    return gating.open if len(gating.open) else np.zeros(1, dtype=np.intp)


class Design(ABC, Generic[AnyNorm]):
    r"""Feature map of a gated linear model on one data set, under a norm.

    Unit weights and sums are rows of the contexts, those of one unit after another.

    Parameters
    ----------
    norm : UnitNorm
        The norm, which knows the kernels.
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Inputs in float64.
    activations : ndarray of bool or OpenContexts, shape (n_samples, n_units, n_contexts)
        Gates of the inputs, of even units unless the norm takes rows.

    Attributes
    ----------
    n_samples, n_kernels : int
        Sizes; `n_kernels` is the number of units, or 1 for a norm of one kernel.
    input_norms : ndarray of shape (n_samples,)
        Lengths of the inputs.
    gram : Gram
        Inner products that all kernels share.
    gating : Gating
        The gates as products go through them.
    n_contexts : ndarray of int of shape (n_units,)
        Contexts of each unit of which weights are kept.
    unit_features : ndarray of bool of shape (n_units, n_features) or None
        Which features each unit sees, None for all.
    n_matrices : int
        Matrices of all pairs of samples that a sum of kernels takes, a kept Gram matrix included.
    """

    n_kernels: int
    gram: Gram
    unit_features: np.ndarray | None = None
    n_matrices = 2
    # The last weights relative to their largest, and the Gram matrix of the features for them: of
    # squared errors they are the same at every step and for every C.
    _weighted: tuple[np.ndarray, FeatureGram] | None = None

    def __init__(self, norm: AnyNorm, X: Any, activations: Activations) -> None:
        norm.check_gates(activations)
        self.norm = norm
        self.X = X
        self.activations = activations
        self.gating = Gating(activations)
        self.n_contexts = self.gating.n_contexts
        self.n_samples = len(activations)
        self.input_norms = _lengths(X)

    @property
    def is_one_hot(self) -> bool:
        """Whether exactly one context of each unit is on."""
        return self.gating.is_one_hot

    @property
    def n_gates(self) -> int:
        """Gates of all units together, open or not."""
        return len(self.gating.units)

    @property
    def n_terms(self) -> int:
        """Most gates that are open in one sample."""
        return int(self.activations.shape[1]) if self.gating.opens_one else self.n_gates

    @property
    def n_features(self) -> int:
        """Input features."""
        return int(self.X.shape[1])

    def array_shape(self, n_outputs: int) -> tuple[int, ...]:
        """Shape of the weights of so many outputs as an array."""
        return (*self.gating.shape[1:], self.n_features * n_outputs)

    def rows_shape(self, n_outputs: int) -> tuple[int, ...]:
        """Shape of the weights of so many outputs."""
        return self.n_gates, *self.array_shape(n_outputs)[2:]

    def of_units(self, rows: np.ndarray) -> Any:
        """Weights or sums as the norm takes them: of even units a view of three axes, or of four.

        Of others :class:`~gnorm.gates.ContextWeights`, outputs and features in one.
        """
        if self.gating.is_even:
            return rows.reshape(*self.gating.shape[1:], *rows.shape[1:])
        return ContextWeights.unchecked(rows.reshape(len(rows), -1), self.gating.n_contexts)

    def dual_norms(self, sums: np.ndarray) -> np.ndarray:
        """Dual norms of sums, one a kernel."""
        return self.norm.dual_norms(self.of_units(sums))

    def dual_norm(self, sums: np.ndarray) -> float:
        """Dual norm of sums."""
        return float(np.max(self.dual_norms(sums)))

    def recovered(self, sums: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Weights that sums and the shares of the kernels stand for."""
        return _rows(self.norm.recovered(self.of_units(sums), shares), sums)

    def canonical(self, zeta: np.ndarray) -> np.ndarray:
        """Weights of least cost among all with the same predictors."""
        return _rows(self.norm.canonical(self.of_units(zeta)), zeta)

    @property
    def n_coded_gates(self) -> int:
        """Coded gates of all blocks together."""
        return len(coded_gates(self.gating)) + self.is_one_hot

    @property
    def n_coded_features(self) -> int:
        """Features of the coded gates together, the size of a system through the features."""
        return self.n_coded_gates * self.n_features

    @property
    def blocks(self) -> list[Block]:
        """Features that the same units see, as designs of their own."""
        return [Block(slice(None), slice(None), slice(None), self)]

    @cached_property
    def system_size(self) -> SystemSize:
        """Sizes of a system through the features."""
        return SystemSize(self.n_coded_features)

    @cached_property
    def coded_features(self) -> CodedFeatures | ArrowheadFeatures:
        """The coded features as one vector."""
        return CodedFeatures(self)

    @property
    def n_open_gates(self) -> int:
        """Gates that are open in some sample, of all units together."""
        return len(self.gating.open)

    def copied(self) -> Self:
        """Return the same design; what becomes known of its Gram matrix does not of this one."""
        copied = copy(self)
        copied.gram = self.gram.copied()
        return copied

    def _with(self, X: Any, activations: Activations) -> Self:
        """Return the design of other samples."""
        return type(self)(self.norm, X, activations)

    def scaled(self, factor: float) -> Self:
        """Return the design of a multiple of the inputs."""
        return self._with(self.X * factor, self.activations)

    def restricted(self, rows: np.ndarray) -> Self:
        """Return the design of some of the samples, with what is known of its Gram matrix."""
        part = self._with(self.X[rows], self.activations[rows])
        part.gram = self.gram.part(rows, part._gram)
        return part

    def _gram(self, precision: Precision, length: float) -> np.ndarray:
        """Compute what :attr:`gram` holds, in units of the squared length."""
        raise NotImplementedError

    def forget_gram(self) -> None:
        """Forget the Gram matrix."""
        self.gram = Gram(self._gram, self.max_input_norm)

    def kept(self, sums: np.ndarray) -> np.ndarray:
        """Return sums over all features with zeros where a unit does not see the feature."""
        return sums

    @abstractmethod
    def kernel_products(self, coef: np.ndarray, precision: Precision) -> np.ndarray:
        r"""Compute :math:`K_h b` for every kernel by the Gram matrix, a column each."""

    @abstractmethod
    def weighted_gram(
        self, weights: np.ndarray, precision: Precision, out: np.ndarray | None = None
    ) -> np.ndarray:
        r"""Compute :math:`\sum_h w_h K_h`.

        Parameters
        ----------
        weights : ndarray of shape (n_kernels,)
            Non-negative weights.
        precision : type
            Precision of the result.
        out : ndarray of shape (n_samples, n_samples), Fortran order, default=None
            An earlier result to overwrite: memory that is new costs time as well.

        Returns
        -------
        ndarray of shape (n_samples, n_samples), Fortran order
            Only the lower triangle is meaningful: one symmetric product fills it, and a Cholesky
            factorisation reads no more.
        """

    @abstractmethod
    def products_of(self, sums: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\langle \phi_h(x_n), V_h \rangle`, shape (n_samples, n_kernels).

        Of sums of several outputs the shape is (n_samples, n_outputs, n_kernels). With :meth:`sums`
        of another design it is the product with the kernels between the two.
        """

    @cached_property
    def coded(self) -> tuple[np.ndarray, csr_matrix, Factors]:
        r"""Coded gates, the way back to all, and the factors of the kernels.

        Returns
        -------
        gates : ndarray of bool, shape (n_samples, n_gates, 1)
            The gates :math:`g_k`, see :func:`coded_gates`.
        decoding : CSR matrix of shape (n_rows, n_gates)
            From them to the contexts of :class:`~gnorm.gating.Gating`: of weights or sums as well.
        factors : Factors
            Matrices :math:`F_h` of the kernels.
        """
        n_samples, n_units, _ = self.activations.shape
        contexts = coded_gates(self.gating)
        gates = np.ones((n_samples, len(contexts) + self.is_one_hot, 1), dtype=bool)
        gates[:, : len(contexts), 0] = opened(self.activations, contexts)
        own = np.arange(len(contexts))
        rows, columns, entries = [contexts], [own], [np.ones(len(contexts))]
        if self.is_one_hot:
            references = self.gating.references
            rows += [references, references[self.gating.units[contexts]]]
            columns += [np.full(n_units, len(contexts)), own]
            entries += [np.ones(n_units), np.full(len(contexts), -1.0)]
        places = np.concatenate(rows), np.concatenate(columns)
        shape = self.n_gates, gates.shape[1]
        decoding = csr_matrix((np.concatenate(entries), places), shape)
        gates.setflags(write=False)  # threads may share them
        return gates, decoding, self._factors(decoding)

    def decoded(self, coded: np.ndarray) -> np.ndarray:
        """Weights or sums over all contexts from those over the coded gates, their first axis."""
        rows: np.ndarray = self.coded[1] @ coded.reshape(len(coded), -1)
        return rows.reshape(self.n_gates, *coded.shape[1:])

    def coded_sums(self, sums: np.ndarray) -> np.ndarray:
        """Sums over the coded gates from those of all contexts, shape (n_gates, 1, n_features)."""
        coded = sums[coded_gates(self.gating), None]
        if not self.is_one_hot:
            return coded
        always = sums[: self.gating.n_contexts[0]].sum(axis=0)
        return np.concatenate([coded, always[None, None]])

    @abstractmethod
    def _factors(self, decoding: csr_matrix) -> Factors:
        """Factors of the kernels in coded gates."""

    def exact_products(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`K_h b` for every kernel through the features."""
        return self.products_of(self.sums(coef))

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
        largest, S = self.relative_feature_gram(weights)
        return largest * S.toarray()

    def relative_feature_gram(self, weights: np.ndarray) -> tuple[float, FeatureGram]:
        """Return the largest weight and the Gram matrix relative to it, which is kept."""
        largest = float(np.max(weights, initial=0.0)) or 1.0
        relative = weights / largest
        kept = self._weighted  # once: problems in other threads may replace it at any time
        if kept is None or not np.array_equal(kept[0], relative):
            kept = self._weighted = None  # makes room
            kept = self._weighted = relative, self.coded_features.gram(relative)
        return largest, kept[1]

    def coded_gram(self, weights: np.ndarray) -> np.ndarray:
        """Weighted Gram matrix of the features of one code, see :meth:`feature_gram`."""
        gates = self.coded[0][:, :, 0]
        n_gates, n_features = gates.shape[1], self.n_features
        n_pairs = (n_gates * (n_gates + 1) + n_features * (n_features + 1)) // 2
        if min(n_gates, n_features) < _FEW or n_pairs > _MOST_PAIRS:
            return self._explicit_gram(weights)
        # The entry of (k, d) and (m, e) belongs to a pair of gates and a pair of inputs. Both kinds
        # of pairs have a symmetry, and using both halves the arithmetic.
        k, m = np.triu_indices(n_gates)
        d, e = np.triu_indices(n_features)

        def by_pairs_of(blocks: Sequence[np.ndarray]) -> np.ndarray:
            total = np.zeros((len(d), len(k)))
            for rows in blocks:
                x = np.ascontiguousarray(_dense(self.X[rows]).T)
                g = np.ascontiguousarray(gates[rows].T)
                pairs = (g[k] & g[m]).astype(float)  # bytes until here: memory is what this costs
                total += (x[d] * (x * weights[rows])[e]) @ pairs.T
            return total

        by_pairs = summed(by_pairs_of, list(_blocks(weights, n_pairs)))
        pair_of = np.empty((n_gates, n_gates), dtype=np.intp)
        pair_of[k, m] = pair_of[m, k] = np.arange(len(k))
        input_pair_of = np.empty((n_features, n_features), dtype=np.intp)
        input_pair_of[d, e] = input_pair_of[e, d] = np.arange(len(d))
        full = by_pairs[input_pair_of[None, :, None, :], pair_of[:, None, :, None]]
        return full.reshape(n_gates * n_features, -1)

    def _explicit_gram(self, weights: np.ndarray) -> np.ndarray:
        """Compute :meth:`coded_gram` from the features themselves, in blocks of samples."""
        size = self.n_coded_features
        S = np.zeros((size, size), order="F")
        for rows in _blocks(weights, size):
            features = self.explicit(rows) * np.sqrt(weights[rows])[:, None]
            S = dsyrk(1.0, features.T, lower=1, beta=1.0, c=S, overwrite_c=1)
        return np.tril(S) + np.tril(S, -1).T

    def explicit(self, rows: np.ndarray) -> np.ndarray:
        """Coded features of some samples, (n_rows, n_gates * n_features)."""
        features = self.coded[0][rows] * _dense(self.X[rows])[:, None, :]
        return features.reshape(len(rows), -1)

    @cached_property
    def max_input_norm(self) -> float:
        """Largest norm of an input, 1 if all are zero."""
        return float(np.max(self.input_norms, initial=0.0)) or 1.0

    @cached_property
    def max_feature_norm(self) -> float:
        """Largest norm of the features of a kernel, the length by which residuals are judged."""
        return self.max_input_norm * float(np.sqrt(self._largest_gate_kernel()))

    @property
    @abstractmethod
    def norm_condition(self) -> float:
        """How often a rounding error counts in the norm of weights, relative to that norm."""

    @property
    @abstractmethod
    def error_length(self) -> float:
        """Most dual norm of sums that have the length 1 in every context, or of none."""

    @abstractmethod
    def _largest_gate_kernel(self) -> float:
        r"""Largest :math:`\|F_h g\|^2`."""

    def sums(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`V_h = \sum_n b_n \phi_h(x_n)`, shape (n_rows, n_features).

        Samples of coefficient zero cost nothing. Of coefficients of shape (n_samples, n_outputs)
        the sums have n_outputs entries a feature, their last axis is n_features * n_outputs long.
        """
        if coef.ndim == 1:
            return self.gating.sums(self.X, coef)
        each = [self.gating.sums(self.X, column) for column in np.ascontiguousarray(coef.T)]
        return np.stack(each, axis=-1).reshape(self.n_gates, -1)

    def decision_values(self, zeta: np.ndarray) -> np.ndarray:
        """Evaluate the predictor on the inputs of the design, one column an output if several."""
        return self.for_outputs(zeta, lambda own: self.gating.values(self.X, own))

    def for_outputs(
        self, weights: np.ndarray, evaluate: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Evaluate weights of one output, or of several, which become the second axis."""
        if weights.size == self.n_gates * self.n_features:
            return evaluate(weights.reshape(self.n_gates, -1))
        each = weights.reshape(self.n_gates, self.n_features, -1).transpose(2, 0, 1)
        return np.stack([evaluate(own) for own in np.ascontiguousarray(each)], axis=1)

    def cancellation(self, coef: np.ndarray) -> float:
        r"""Largest share of any gated feature that is left after the samples cancel.

        The maximum over h, c, d of :math:`|V_{hcd}| / \sum_n |b_n g_{hc}(x_n) x_{nd}|`, the same in
        any units of the features.
        """
        V = np.abs(self.sums(coef))
        total = self.gating.sums(abs(self.X), np.abs(coef))
        return float(np.max(np.divide(V, total, out=np.zeros_like(V), where=total > 0)))

    # In single precision and in blocks: enough to see where samples are, at half the cost.

    def rough_values(self, zeta: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        r"""Evaluate the predictor roughly, in single precision where the inputs are dense.

        Memory does not grow with the number of samples.

        Parameters
        ----------
        zeta : ndarray of shape (n_gates, n_features)
            Unit weights.
        rows : ndarray of int, shape (n_rows,), default=None
            Samples wanted, None for all.

        Returns
        -------
        ndarray of shape (n_rows,)
            Decision values, in float64.
        """
        n_rows = self.n_samples if rows is None else len(rows)
        largest = float(np.max(np.abs(zeta), initial=0.0)) or 1.0
        weights = (zeta / largest).astype(self._rough_precision)
        values = np.empty(n_rows)
        for block in row_blocks(n_rows, max(self.n_open_gates, self.n_features)):
            wanted = block if rows is None else rows[block]
            values[block] = self.gating[wanted].values(self._rough_inputs(wanted), weights)
        return largest * self.max_input_norm * values

    def rough_sums(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :meth:`sums` roughly, in single precision where the inputs are dense."""
        on = np.flatnonzero(coef)
        largest = float(np.max(np.abs(coef), initial=0.0)) or 1.0
        coef = (coef / largest).astype(self._rough_precision)
        total = np.zeros((self.n_gates, self.n_features))
        for block in row_blocks(len(on), max(self.n_open_gates, self.n_features)):
            rows = on[block]
            total += self.gating[rows].sums(self._rough_inputs(rows), coef[rows])
        total *= largest * self.max_input_norm
        return total

    @property
    def _rough_precision(self) -> Precision:
        return np.float64 if issparse(self.X) else np.float32

    def _rough_inputs(self, rows: np.ndarray | slice) -> Any:
        return (self.X[rows] / self.max_input_norm).astype(self._rough_precision, copy=False)


def _rows(weights: Any, like: np.ndarray) -> np.ndarray:
    """Rows of weights that a norm returns, in the shape of others."""
    rows: np.ndarray = weights.rows if isinstance(weights, ContextWeights) else weights
    return rows.reshape(like.shape)


def _blocks(weights: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """Samples of positive weight, in blocks that keep a temporary of this width in the cache."""
    positive = np.flatnonzero(weights)
    step = max(64, BLOCK_ENTRIES // (4 * width))
    return (positive[start : start + step] for start in range(0, len(positive), step))


def _lengths(X: Any) -> np.ndarray:
    """Norms of the inputs, also of those whose squares underflow."""
    squares = kernels.squared_row_norms(X)
    lengths = np.sqrt(squares)
    tiny = np.flatnonzero(squares < 1e-280)
    if len(tiny):
        largest = float(abs(X[tiny]).max())
        if largest > 0:
            lengths[tiny] = largest * np.sqrt(kernels.squared_row_norms(X[tiny] / largest))
    return lengths


def _dense(X: Any) -> np.ndarray:
    return X.toarray() if issparse(X) else X
