r"""Margins of a network with one output, or with one for each class.

With one output and labels :math:`\pm 1` the margin of a sample is :math:`y_n f(x_n)`. With K
outputs and labels 0 to K - 1 a sample has K - 1 margins, :math:`f_{y_n}(x_n) - f_k(x_n)` for
:math:`k \ne y_n`; they stand one after the other, those of a sample together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gnorm.gated import FloatArray

__all__ = ["check_labels", "margins_of", "output_coefficients"]


def check_labels(y: ArrayLike, n_samples: int, n_outputs: int = 1) -> FloatArray:
    """Return labels as floats: -1 and 1 for one output, else 0 to n_outputs - 1."""
    labels = np.asarray(y)
    if labels.shape != (n_samples,):
        raise ValueError(f"expected y of shape ({n_samples},), got shape {labels.shape}")
    allowed = (-1, 1) if n_outputs == 1 else tuple(range(n_outputs))
    if not np.isin(labels, allowed).all():
        words = "-1 and 1" if n_outputs == 1 else f"0 to {n_outputs - 1}"
        raise ValueError(f"expected labels {words} in y, got {np.unique(labels)[:10]}")
    return labels.astype(float)


def margins_of(values: FloatArray, y: FloatArray) -> FloatArray:
    """Margins of values of shape (n_samples, n_outputs).

    Returns
    -------
    ndarray of shape (n_samples * max(1, n_outputs - 1),)
        The margins.
    """
    n_outputs = values.shape[1]
    if n_outputs == 1:
        return y * values[:, 0]
    own, others = _classes(y, n_outputs)
    right = np.take_along_axis(values, own, axis=1)
    return (right - np.take_along_axis(values, others, axis=1)).ravel()


def output_coefficients(coef: FloatArray, y: FloatArray, n_outputs: int) -> FloatArray:
    """Coefficients of the outputs in a sum of margins with coefficients.

    Returns
    -------
    ndarray of shape (n_samples, n_outputs)
        The coefficients.
    """
    if n_outputs == 1:
        return (y * coef)[:, None]
    own, others = _classes(y, n_outputs)
    parts = coef.reshape(len(y), n_outputs - 1)
    result = np.zeros((len(y), n_outputs))
    np.put_along_axis(result, others, -parts, axis=1)
    np.put_along_axis(result, own, parts.sum(axis=1, keepdims=True), axis=1)
    return result


def _classes(y: FloatArray, n_outputs: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Own class of every sample, and the other ones in order, as columns."""
    own = y.astype(np.intp)[:, None]
    others = np.arange(n_outputs - 1)[None, :]
    return own, others + (others >= own)
