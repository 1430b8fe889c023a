"""Identical samples as one sample of summed weight.

Weights and copies then are literally the same problem, and one degeneracy (dual mass that moves
freely between copies) is gone. The merged samples come in an order of their own, so that the order
of the rows does not matter either.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from scipy.sparse import issparse

from gnorm.gating import Activations, OpenContexts, row_blocks

__all__ = ["Merged", "merge_samples", "weighted"]


@dataclass(frozen=True, eq=False)
class Merged:
    """Distinct samples of positive weight.

    Attributes
    ----------
    rows : ndarray of shape (n_distinct,)
        Index of one representative of each distinct sample.
    group : ndarray of shape (n_samples,)
        Distinct sample of each sample, -1 for samples of weight zero.
    weight : ndarray of shape (n_distinct,)
        Summed weights, infinite for a hard margin.
    sample_weight : ndarray of shape (n_samples,)
        Weights of the samples themselves.
    """

    rows: np.ndarray
    group: np.ndarray
    weight: np.ndarray
    sample_weight: np.ndarray

    def times(self, C: float) -> np.ndarray:
        """Weights of the loss of the distinct samples, C times theirs.

        Raises
        ------
        ValueError
            If that overflows.
        """
        return weighted(C, self.weight)

    def expand(self, dual_coef: np.ndarray) -> np.ndarray:
        """Give each copy its share of the dual coefficients, proportional to its weight."""
        full = np.zeros((len(self.group), *dual_coef.shape[1:]))
        kept = self.group >= 0
        group, weight = self.group[kept], self.sample_weight[kept]
        # Copies of a hard margin share equally (finite ones beside an infinite one get nothing).
        portion = np.where(np.isinf(self.weight)[group], np.isinf(weight), weight)
        total = _summed(portion, group)
        share = portion / total[group]  # of a group of one 1 to the last bit
        full[kept] = dual_coef[group] * share.reshape(-1, *(1,) * (dual_coef.ndim - 1))
        return full


def weighted(C: float | np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return C times the weights: 0 where these are, finite where both are.

    Raises
    ------
    ValueError
        If that overflows, or underflows to less than the smallest normal number.
    """
    product = np.zeros(len(weight))
    with np.errstate(over="ignore", under="ignore"):
        np.multiply(C, weight, out=product, where=weight > 0)
    _refuse_overflow(product, np.isfinite(C) & np.isfinite(weight))
    least = float(np.min(product, initial=np.inf, where=weight > 0))
    if least < np.finfo(float).tiny:
        raise ValueError(
            f"expected C times the weights of at least {np.finfo(float).tiny:.1e}, got {least:.1e}"
        )
    return product


def merge_samples(X: Any, y: np.ndarray, activations: Activations, weight: np.ndarray) -> Merged:
    """Merge samples of the same inputs, gates and target.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Inputs in float64.
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Labels or targets of any kind.
    activations : ndarray of bool or OpenContexts, shape (n_samples, n_units, n_contexts)
        Gates.
    weight : ndarray of shape (n_samples,)
        Weights; samples of weight zero are dropped.

    Returns
    -------
    Merged
        Representatives, groups and summed weights.
    """
    kept = np.flatnonzero(weight > 0)
    codes = np.zeros(len(weight), dtype=np.uint64)  # of the kept: the others are as if absent
    codes[kept] = np.unique(y[kept], axis=0, return_inverse=True)[1].reshape(-1)
    if isinstance(activations, OpenContexts):
        gates = activations.contexts.view(np.uint8)
    else:
        gates = np.packbits(activations.reshape(len(codes), -1), axis=1)
    hashes = _row_hashes(X, codes, gates)[kept]
    keys = np.zeros(len(kept), dtype=[("hash", np.uint64), ("digest", "S16")])
    keys["hash"] = hashes
    _, place, count = np.unique(hashes, return_inverse=True, return_counts=True)
    for i in np.flatnonzero(count[place.reshape(-1)] > 1).tolist():  # equal, or by accident
        keys["digest"][i] = _digest(X, codes, gates, kept[i])
    _, first, group_of_kept = np.unique(keys, return_index=True, return_inverse=True)
    group = np.full(len(codes), -1)
    group[kept] = group_of_kept.reshape(-1)
    with np.errstate(over="ignore"):
        summed = _summed(weight[kept], group[kept])
    _refuse_overflow(summed, np.bincount(group[kept], np.isinf(weight[kept]), len(first)) == 0)
    return Merged(kept[first], group, summed, weight)


def _summed(weight: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sum weights by group, in pairs: one after the other many copies would lose digits."""
    order = np.argsort(group, kind="stable")
    sums: np.ndarray = np.add.reduceat(
        weight[order], np.flatnonzero(np.diff(group[order], prepend=-1))
    )
    return sums


def _refuse_overflow(weight: np.ndarray, is_finite: np.ndarray) -> None:
    if np.any(np.isinf(weight) & is_finite):
        raise ValueError("expected C times the weights to be finite in float64, got an overflow")


def _row_hashes(X: Any, codes: np.ndarray, gates: np.ndarray) -> np.ndarray:
    """Equal for equal samples, and for few others: sums of their words times random ones."""
    random = np.random.default_rng(0)
    width = -gates.shape[1] % 8
    words = np.ascontiguousarray(np.pad(gates, ((0, 0), (0, width)))).view(np.uint64)
    hashes = codes * _multipliers(random, 1) + words @ _multipliers(random, words.shape[1])
    multipliers = _multipliers(random, X.shape[1])
    if issparse(X):
        products = _words(X.data) * multipliers[X.indices]
        sums = np.concatenate([[np.uint64(0)], np.cumsum(products)])
        return hashes + (sums[X.indptr[1:]] - sums[X.indptr[:-1]])
    for rows in row_blocks(*X.shape):
        hashes[rows] += _words(X[rows]) @ multipliers
    return hashes


def _multipliers(random: np.random.Generator, size: int) -> np.ndarray:
    return random.integers(1 << 64, size=size, dtype=np.uint64) | np.uint64(1)


def _words(values: np.ndarray) -> np.ndarray:
    """Bits of floats, without a sign of zero.

    The low halves of simple numbers are empty, and would be so in their multiples: they are filled.
    """
    words = (values + 0.0).view(np.uint64)
    words ^= words >> np.uint64(32)
    return words


def _digest(X: Any, codes: np.ndarray, gates: np.ndarray, n: int) -> bytes:
    """128 bits: two different samples collide with probability below 1e-20 for 10^9 samples."""
    digest = blake2b(codes[n].tobytes(), digest_size=16)
    digest.update(gates[n].tobytes())
    if issparse(X):
        entries = slice(X.indptr[n], X.indptr[n + 1])
        digest.update(X.indices[entries].astype(np.int64).tobytes())
        digest.update((X.data[entries] + 0.0).tobytes())
    else:
        digest.update((X[n] + 0.0).tobytes())
    return digest.digest()
