"""Identical samples as one sample of summed weight.

Weights and copies then are literally the same problem, and one degeneracy (dual mass that moves
freely between copies) is gone. The merged samples come in an order of their own, so that the order
of the rows does not matter either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from scipy.sparse import issparse

__all__ = ["Merged", "merge_samples"]


@dataclass
class Merged:
    """Distinct samples of positive weight.

    Attributes
    ----------
    rows : ndarray of shape (n_distinct,)
        Index of one representative of each distinct sample.
    group : ndarray of shape (n_samples,)
        Distinct sample of each sample, -1 for samples of weight zero.
    upper : ndarray of shape (n_distinct,)
        Summed bounds of the dual coefficients.
    sample_upper : ndarray of shape (n_samples,)
        Bounds of the samples themselves.
    """

    rows: np.ndarray
    group: np.ndarray
    upper: np.ndarray
    sample_upper: np.ndarray

    def times(self, factor: float) -> Merged:
        """Return the same samples with all bounds times a factor, which may be infinite.

        Raises
        ------
        ValueError
            If a finite factor makes a bound overflow.
        """
        with np.errstate(over="ignore"):
            upper, sample_upper = (
                np.multiply(factor, bounds, out=np.zeros(len(bounds)), where=bounds > 0)
                for bounds in (self.upper, self.sample_upper)
            )
        if np.isfinite(factor) and not np.all(np.isfinite(upper)):
            raise ValueError(
                "expected C times the weights to be finite in float64, got an overflow"
            )
        return replace(self, upper=upper, sample_upper=sample_upper)

    def expand(self, dual_coef: np.ndarray) -> np.ndarray:
        """Give each copy its share of the dual coefficient, proportional to its bound."""
        full = np.zeros(len(self.group))
        kept = self.group >= 0
        group, upper = self.group[kept], self.sample_upper[kept]
        # Copies without a bound share equally (finite ones beside an infinite one get nothing).
        portion = np.where(np.isinf(self.upper)[group], np.isinf(upper), upper)
        total = np.bincount(group, weights=portion, minlength=len(self.rows))
        full[kept] = dual_coef[group] * (portion / total[group])  # a group of one to the last bit
        return np.minimum(full, self.sample_upper)


def merge_samples(X: Any, labels: np.ndarray, activations: np.ndarray, upper: np.ndarray) -> Merged:
    """Merge samples of the same inputs, gates and label.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Inputs in float64.
    labels : ndarray of shape (n_samples,)
        Labels of any kind.
    activations : ndarray of bool, shape (n_samples, n_units, n_contexts)
        Gates.
    upper : ndarray of shape (n_samples,)
        Bounds of the dual coefficients; samples of bound zero are dropped.

    Returns
    -------
    Merged
        Representatives, groups and summed bounds.
    """
    codes = np.unique(labels, return_inverse=True)[1].astype(np.int64).reshape(-1)
    gates = np.packbits(activations.reshape(len(codes), -1), axis=1)
    kept = np.flatnonzero(upper > 0)
    digests = np.empty(len(kept), dtype="S16")
    for i, n in enumerate(kept.tolist()):
        # 128 bits: two different samples collide with probability below 1e-20 for 10^9 samples
        digest = blake2b(codes[n].tobytes(), digest_size=16)
        digest.update(gates[n].tobytes())
        for part in _row_bytes(X, n):
            digest.update(part)
        digests[i] = digest.digest()
    _, first, group_of_kept = np.unique(digests, return_index=True, return_inverse=True)
    group = np.full(len(codes), -1)
    group[kept] = group_of_kept.reshape(-1)
    summed = np.bincount(group[kept], weights=upper[kept], minlength=len(first))
    return Merged(kept[first], group, summed, upper)


def _row_bytes(X: Any, n: int) -> tuple[bytes, ...]:
    if issparse(X):
        entries = slice(X.indptr[n], X.indptr[n + 1])
        return X.indices[entries].astype(np.int64).tobytes(), X.data[entries].tobytes()
    return ((X[n] + 0.0).tobytes(),)  # + 0.0 makes -0.0 and 0.0 the same bytes
