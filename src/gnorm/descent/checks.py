"""Checks of arguments: numbers, counts and matrices, each with a sentence where it fails."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gnorm.gated import FloatArray, as_numbers

__all__ = [
    "check_count",
    "check_finite",
    "check_matrix",
    "check_nonnegative",
    "check_positive",
    "is_number",
]


def is_number(value: Any) -> bool:
    """Say whether something is a real number, which True is not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_finite(value: Any, name: str) -> float:
    """Return a finite number."""
    if not (is_number(value) and math.isfinite(value)):
        raise ValueError(f"expected a finite {name}, got {value!r}")
    return float(value)


def check_positive(value: Any, name: str) -> float:
    """Return a finite number above 0."""
    if not (is_number(value) and 0 < value < math.inf):
        raise ValueError(f"expected a finite {name} > 0, got {value!r}")
    return float(value)


def check_nonnegative(value: Any, name: str) -> float:
    """Return a finite number of at least 0."""
    if not (is_number(value) and 0 <= value < math.inf):
        raise ValueError(f"expected a finite {name} >= 0, got {value!r}")
    return float(value)


def check_count(value: Any, name: str) -> int:
    """Return an integer of at least 1."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"expected {name} to be an integer of at least 1, got {value!r}")
    return int(value)


def check_matrix(values: ArrayLike, name: str) -> FloatArray:
    """Return a finite matrix that is not empty."""
    matrix = as_numbers(values, name)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"expected {name} to be a matrix, got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"expected finite {name}, got NaN or infinite entries")
    return matrix
