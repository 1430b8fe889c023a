"""What users pass in, checked once."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from gnorm import kernels
from gnorm.gated import as_array, as_numbers
from gnorm.gating import OpenContexts
from gnorm.losses import Loss
from gnorm.solvers.merge import weighted

__all__ = [
    "check_activations",
    "check_count",
    "check_lengths",
    "check_options",
    "check_sample_weight",
    "check_samples",
    "check_unit_features",
    "check_upper",
]


def check_samples(
    X: Any,
    y: ArrayLike,
    activations: ArrayLike | OpenContexts,
    loss: Loss,
    C: float | ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """Return X, targets, activations and the weights of the loss, checked as arrays."""
    X = check_array(X, accept_sparse="csr", dtype=np.float64, input_name="X")
    targets = loss.check_targets(column_or_1d(y))
    gates = check_activations(activations, X.shape[0])
    check_consistent_length(X, targets)
    upper = check_upper(C, X.shape[0])
    if not loss.allows_infinite_C and np.any(np.isinf(upper)):
        raise ValueError(f"expected a finite C for the loss {loss.name!r}, got C=inf")
    weight = weighted(upper, check_sample_weight(sample_weight, X.shape[0]))
    if loss.is_margin and len(present := np.unique(targets[weight > 0])) != 2:
        raise ValueError(
            f"expected samples of positive weight with both labels, got only {present.astype(int)}"
        )
    return X, targets, gates, weight


def check_lengths(X: Any) -> None:
    """Raise ValueError if the squared norms of the inputs overflow, or all underflow."""
    with np.errstate(over="ignore", under="ignore"):
        largest = float(np.max(kernels.squared_row_norms(X)))
    entry = float(abs(X).max()) if not 1e-300 < largest < np.inf else 0.0
    if np.isinf(largest) or (largest < 1e-300 and entry > 0):
        range_of = "finite" if np.isinf(largest) else "at least 1e-300"
        raise ValueError(
            f"expected inputs whose squared norms are {range_of} in float64, got entries up to "
            f"{entry:.1e}"
        )


def check_activations(activations: ArrayLike | OpenContexts, n_samples: int) -> Any:
    """Return activations of shape (n_samples, n_units, n_contexts), bool or open contexts."""
    expected = f"activations of dtype bool and shape ({n_samples}, n_units, n_contexts)"
    if not isinstance(activations, OpenContexts):
        activations = as_array(activations, expected)
    if (
        activations.dtype != np.bool_
        or activations.ndim != 3
        or len(activations) != n_samples
        or 0 in activations.shape
    ):
        raise ValueError(
            f"expected {expected}, got dtype {activations.dtype} and shape {activations.shape}"
        )
    return activations


def check_unit_features(mask: ArrayLike | None, n_units: int, n_features: int) -> np.ndarray | None:
    """Return the features that units see as a bool array, (n_units, n_features); None for all."""
    if mask is None:
        return None
    expected = f"unit_features of dtype bool and shape ({n_units}, {n_features})"
    mask = as_array(mask, expected)
    if mask.dtype != np.bool_ or mask.shape != (n_units, n_features):
        raise ValueError(f"expected {expected}, got dtype {mask.dtype} and shape {mask.shape}")
    if not np.all(mask.any(axis=1)):
        raise ValueError(
            "expected unit_features with at least one feature for each unit, got none for unit "
            f"{int(np.argmin(mask.any(axis=1)))}"
        )
    return mask


def check_upper(C: float | ArrayLike, n_samples: int) -> np.ndarray:
    """Return ``C`` as an array of shape (n_samples,), positive and possibly infinite."""
    upper = as_numbers(C, "C")
    if upper.shape not in ((), (n_samples,)):
        raise ValueError(
            f"expected C to be a number or of shape ({n_samples},), got shape {upper.shape}"
        )
    if not np.all(upper > 0):  # catches NaN as well
        raise ValueError(f"expected C > 0, got {np.min(upper)}")
    return np.broadcast_to(upper, (n_samples,))


def check_sample_weight(sample_weight: ArrayLike | None, n_samples: int) -> np.ndarray:
    """Return the weights as an array of shape (n_samples,), finite, >= 0, not all 0."""
    if sample_weight is None:
        return np.ones(n_samples)
    weight = as_numbers(sample_weight, "sample_weight")
    if weight.shape != (n_samples,):
        raise ValueError(
            f"expected sample_weight of shape ({n_samples},), got shape {weight.shape}"
        )
    if not np.all(np.isfinite(weight)) or np.any(weight < 0):
        raise ValueError(
            "expected finite, non-negative sample_weight, got values between "
            f"{np.min(weight)} and {np.max(weight)}"
        )
    if not np.any(weight):
        raise ValueError("expected a positive sample_weight, got zero weight for every sample")
    return weight


def check_count(value: int | None, name: str) -> None:
    """Raise ValueError unless the value is None or a positive integer."""
    is_count = isinstance(value, Integral) and not isinstance(value, bool)
    if value is not None and not (is_count and value >= 1):
        raise ValueError(f"expected {name} >= 1, an integer, or None, got {value!r}")


def check_options(tol: float, max_iter: int | None, memory_limit: float | None) -> None:
    """Raise ValueError for options of a solve that make no sense."""
    if isinstance(tol, bool) or not isinstance(tol, Real) or not 0 < tol < np.inf:
        raise ValueError(f"expected a finite tol > 0, got {tol!r}")
    check_count(max_iter, "max_iter")
    is_number = isinstance(memory_limit, Real) and not isinstance(memory_limit, bool)
    if memory_limit is not None and not (is_number and memory_limit > 0):
        raise ValueError(f"expected memory_limit > 0 bytes or None, got {memory_limit!r}")
