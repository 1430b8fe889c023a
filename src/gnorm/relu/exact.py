"""The exact search of samples, by the number of their features."""

from __future__ import annotations

import numpy as np

from gnorm.relu.oracle import BLOCK, STATIC_COPIES, Circle, Oracle, Point, Sphere, principal_axes
from gnorm.relu.space import Space

__all__ = ["MOST_FEATURES", "exact_oracle", "is_quick", "walk_bytes"]

MOST_FEATURES = 4  # of five the crossings would be of four samples, their number N^4
_MOST_CROSSINGS = 15_000_000  # of four features, unless asked for: a search takes about 8 seconds


def walk_bytes(n_samples: int, n_features: int) -> float:
    """Memory in bytes that the exact oracle takes, infinite where there is none."""
    if n_features <= 2:
        return 1e3 * n_samples
    if n_features == 3:
        return 8.0 * STATIC_COPIES * n_samples**2 + 8.0 * 40 * min(BLOCK, n_samples**2)
    if n_features == 4:
        return Space.n_bytes(n_samples)
    return np.inf


def is_quick(n_samples: int, n_features: int) -> bool:
    """Whether a search is one of seconds, even if all samples have a coefficient."""
    return n_features < 4 or n_samples**3 <= 2 * _MOST_CROSSINGS


def exact_oracle(X: np.ndarray) -> Oracle:
    """Exact oracle of samples with at most four features.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.

    Raises
    ------
    ValueError
        If there are more features.
    """
    if X.shape[1] > MOST_FEATURES:
        raise ValueError(
            f"expected at most {MOST_FEATURES} features, the constant included, for the exact "
            f"oracle, got {X.shape[1]}"
        )
    return _Exact(X)


class _Exact(Oracle):
    """Walk along the arrangement of the samples that have a coefficient.

    The others do not change h. A hard margin has few of them, and the next search often the same.
    """

    def __init__(self, X: np.ndarray) -> None:
        super().__init__(X)
        self.on = np.zeros(len(X), dtype=bool)

    def candidates(self, b: np.ndarray, least: float) -> np.ndarray:
        """Those of the samples that have a coefficient."""
        on = b != 0
        if not on.any():
            return np.empty((0, self.lines.X.shape[1]))
        if not np.array_equal(on, self.on):
            self.on, self.walk = on, _walk(self.lines.X[on])
        return self.walk.candidates(b[on], least)


def _walk(X: np.ndarray) -> Oracle:
    """The walk for a number of features; of four in the span of the samples."""
    n_features = X.shape[1]
    if n_features < 4:
        return (Point, Circle, Sphere)[n_features - 1](X)
    _, axes = principal_axes(X)
    return Space(X) if len(axes) == 4 else _Span(X, axes if len(axes) else np.eye(1, 4))


class _Span(Oracle):
    """Samples in a subspace: the largest value is attained there."""

    def __init__(self, X: np.ndarray, basis: np.ndarray) -> None:
        super().__init__(X)
        self.basis = basis
        self.inner = _walk(X @ basis.T)

    def candidates(self, b: np.ndarray, least: float) -> np.ndarray:
        """Those of the subspace."""
        return self.inner.candidates(b, least) @ self.basis
