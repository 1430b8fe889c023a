"""Values and derivatives of functions of rows, checked: what the rest of the room asks of `func`.

A function of this room takes an array of shape (n_samples, n_features) and returns one number a
row, shape (n_samples,), or several, shape (n_samples, n_outputs), as scikit-learn's `predict` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

__all__ = ["FloatArray", "Function", "directional_derivatives", "evaluate", "gradient"]

FloatArray: TypeAlias = NDArray[np.float64]
Function: TypeAlias = Callable[[FloatArray], Any]

EPS = float(np.finfo(np.float64).eps)
# Step of a difference quotient of fourth order: truncation h^4 and rounding eps / h are level here.
STEP = EPS**0.2
# Slopes from the left and from the right that differ by more than this share of the function are a
# kink. A smooth function has STEP^3 = 4e-10 times its fourth derivative here, rounding 3e-13.
KINK = 1e-4


def check_rows(X: ArrayLike, n_features: int | None = None) -> FloatArray:
    """`X` as a finite float array of shape (n_samples, n_features)."""
    rows: FloatArray = check_array(X, dtype=np.float64, input_name="X")
    if n_features is not None and rows.shape[1] != n_features:
        raise ValueError(f"expected X with {n_features} features, got {rows.shape[1]}")
    return rows


def evaluate(func: Function, X: FloatArray) -> FloatArray:
    """Values of `func` on the rows, of shape (n_samples,) or (n_samples, n_outputs).

    Raises
    ------
    TypeError
        If `func` is no function.
    ValueError
        If `func` returns another shape, or values that are not real or not finite.
    """
    if not callable(func):
        raise TypeError(f"expected a function of rows, got {type(func).__name__}")
    returned = np.asarray(func(X))
    if np.iscomplexobj(returned):
        raise ValueError("expected a function with real values, got complex ones")
    values = returned.astype(np.float64)
    if values.ndim not in (1, 2) or len(values) != len(X):
        raise ValueError(
            f"expected func(X) of shape ({len(X)},) or ({len(X)}, n_outputs), one value or one row "
            f"of outputs for each row of X, got shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("expected a function with finite values, got NaN or infinite ones")
    return values


def directional_derivatives(
    func: Function, X: FloatArray, directions: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Derivatives along `directions`, from the side they point to and from the other side.

    Where both sides agree they are one difference quotient of fourth order. Where they do not, each
    is of second order and looks to its own side. The length of a direction sets the step: a
    direction is to be as long as the function needs to change noticeably.

    Parameters
    ----------
    func : callable
        Function of rows.
    X, directions : ndarray of shape (n_samples, n_features)
        Points, and the direction at each.

    Returns
    -------
    forward, backward : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Limits of (f(x + hv) - f(x)) / h for h to zero from above and from below.
    """
    h = STEP
    centre = evaluate(func, X)
    plus, plus2, minus, minus2 = (
        evaluate(func, X + k * h * directions) for k in (1.0, 2.0, -1.0, -2.0)
    )
    central = (8.0 * (plus - minus) - (plus2 - minus2)) / (12.0 * h)
    # (f(h) - 2 f(0) + f(-h)) / h is h f'' for a smooth function and the jump of the slope at a
    # kink; twice that at h less that at 2h cancels h f'' and keeps the jump
    jump = (2.0 * plus - 2.0 * centre + 2.0 * minus - plus2 / 2.0 - minus2 / 2.0 - centre) / h
    size = np.maximum(np.abs(centre), np.maximum(np.abs(plus2 - centre), np.abs(minus2 - centre)))
    slope = np.maximum(np.abs(plus - centre), np.abs(minus - centre)) / h
    kink = np.abs(jump) > KINK * np.maximum(slope, size)
    forward = np.where(kink, (4.0 * plus - 3.0 * centre - plus2) / (2.0 * h), central)
    backward = np.where(kink, (3.0 * centre - 4.0 * minus + minus2) / (2.0 * h), central)
    return forward, backward


def gradient(func: Function, X: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Gradient by finite differences, and the rows in which it was met by a kink.

    Steps are relative to each coordinate, since a function that scales changes by factors; a
    coordinate that is zero takes the typical size of its column.

    Parameters
    ----------
    func : callable
        Function of rows.
    X : ndarray of shape (n_samples, n_features)
        Points.

    Returns
    -------
    gradients : ndarray of shape (n_samples, n_outputs, n_features)
        Mean of the slopes from both sides.
    kinks : ndarray of bool, shape (n_samples,)
        Whether the sides disagree, for any output and any coordinate.
    """
    typical = np.abs(X).mean(axis=0)
    typical[typical == 0] = 1.0
    sizes = np.where(X == 0, typical, np.abs(X))
    columns, kinks = [], np.zeros(len(X), dtype=bool)
    for j in range(X.shape[1]):
        direction = np.zeros_like(X)
        direction[:, j] = sizes[:, j]
        forward, backward = (
            side.reshape(len(X), -1) for side in directional_derivatives(func, X, direction)
        )
        columns.append((forward + backward) / (2.0 * sizes[:, j, None]))
        kinks |= (forward != backward).any(axis=1)
    return np.stack(columns, axis=2), kinks
