r"""Outputs and sums in about twice the digits of float64, each with a bound of its error.

A matrix is split into parts of so few bits that BLAS multiplies two of them without any rounding
error [1]_; what is left is to add the products, which :func:`math.fsum` does exactly. Rows and
columns are brought to powers of two before, so that the error is relative to the largest terms of
each inner product, whatever the scales of samples and features are.

References
----------
.. [1] K. Ozaki, T. Ogita, S. Oishi and S. M. Rump, "Error-free transformations of matrix
   multiplication by using fast routines of matrix multiplication and its applications", Numerical
   Algorithms 59, 2012.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.sparse import issparse

from gnorm.gating import opened, row_blocks
from gnorm.solvers.design import Design

__all__ = ["UNIT", "accurate_outputs", "accurate_sums", "dense", "two_sum"]

UNIT = float(np.finfo(float).eps) / 2  # largest relative error of one rounding
_PARTS = 4  # of a matrix
_COPIES = 16  # of a block, in parts and products: blocks are shorter by as much
_LONGEST = 1024  # inner products: longer ones would leave the parts too few bits


def accurate_outputs(design: Design[Any], zeta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Evaluate :math:`f(x_n)` and a bound of the error of each.

    Parameters
    ----------
    design : Design
        Inputs and gates.
    zeta : ndarray of shape (n_gates, n_features)
        Unit weights.

    Returns
    -------
    outputs, error : ndarray of shape (n_samples,)
        The outputs, to the last bit or nearly, and the bounds.
    """
    outputs, error = np.zeros((2, design.n_samples))
    live = design.gating.open[zeta[design.gating.open].any(axis=1)]
    if len(live) == 0:
        return outputs, error
    weights = zeta[live].T
    columns = list(row_blocks(weights.shape[1], _COPIES * len(weights)))
    for rows in row_blocks(design.n_samples, _COPIES * max(weights.shape)):
        is_open = opened(design.activations[rows], live)
        X = dense(design.X[rows])
        terms = []
        for block in columns:
            *products, dropped = _product(X, weights[:, block])
            terms += [np.where(is_open[:, block], part, 0.0) for part in products]
            error[rows] += np.sum(dropped, axis=1)
        outputs[rows] = [math.fsum(row) for row in np.hstack(terms)]
    return outputs, error + UNIT * np.abs(outputs)


def accurate_sums(design: Design[Any], coef: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Compute :math:`V_h = \sum_n b_n \phi_h(x_n)` and a bound of the error of each entry.

    Parameters
    ----------
    design : Design
        Inputs and gates.
    coef : ndarray of shape (n_samples,)
        Coefficients :math:`b_n`.

    Returns
    -------
    sums, error : ndarray of shape (n_gates, n_features)
        The sums and the bounds.
    """
    total = np.zeros((3, design.n_open_gates, design.n_features))
    on = np.flatnonzero(coef)
    for block in row_blocks(len(on), _COPIES * max(total.shape[1:])):
        rows = on[block]
        weighted = opened(design.activations[rows], design.gating.open).T * coef[rows]
        _add(total, *_product(weighted, dense(design.X[rows])))
    high, low, error = total
    sums, bounds = np.zeros((2, design.n_gates, design.n_features))
    of_open = high + low
    sums[design.gating.open] = of_open
    bounds[design.gating.open] = error + UNIT * np.abs(of_open)
    return design.kept(sums), design.kept(bounds)


def _product(A: np.ndarray, B: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Product of two matrices as a sum of two, and a bound of what these miss."""
    if A.shape[1] > _LONGEST:
        sums = np.zeros((3, len(A), B.shape[1]))
        for first in range(0, A.shape[1], _LONGEST):
            inner = slice(first, first + _LONGEST)
            _add(sums, *_product(A[:, inner], B[inner]))
        high, low, error = sums
        return high, low, error
    of_inner = _exponents(B, 1)
    A, B = np.ldexp(A, of_inner.T), np.ldexp(B, -of_inner)
    of_rows, of_columns = _exponents(A, 1), _exponents(B, 0)
    n_inner = A.shape[1]
    bits = (53 - math.ceil(math.log2(n_inner))) // 2
    left = _parts(np.ldexp(A, -of_rows), bits)
    right = _parts(np.ldexp(B, -of_columns), bits)
    high, low = np.zeros((2, len(A), B.shape[1]))
    for total in reversed(range(_PARTS)):  # the small products first
        for i in range(total + 1):
            high, rounded = two_sum(high, left[i] @ right[total - i])
            low += rounded
    exponents = of_rows + of_columns
    # entries are below 1, and a part is below 2^-(bits + 1) times the one before: what is dropped
    # of them and of their products, and what the sum of the low parts rounds
    dropped = n_inner * (16.0 * 2.0 ** (-_PARTS * (bits + 1)) + 16.0 * UNIT**2)
    return np.ldexp(high, exponents), np.ldexp(low, exponents), np.ldexp(dropped, exponents)


def _add(total: np.ndarray, high: np.ndarray, low: np.ndarray, error: np.ndarray) -> None:
    """Add a number of two parts, and the bound of what these miss, to such a sum in its place."""
    total[2] += error
    for part in (high, low):
        total[0], rounded = two_sum(total[0], part)
        total[1] += rounded
        total[2] += UNIT * (np.abs(rounded) + np.abs(total[1]))


def _exponents(A: np.ndarray, axis: int) -> np.ndarray:
    """Exponents of the largest entries, 0 where all are zero."""
    return np.frexp(np.max(np.abs(A), axis=axis, keepdims=True, initial=0.0))[1]


def _parts(A: np.ndarray, bits: int) -> list[np.ndarray]:
    """Split entries up to 1 into multiples of ever smaller powers of two, `bits` bits each."""
    parts = []
    for k in range(1, _PARTS + 1):
        shift = 1.5 * 2.0 ** (52 + 1 - k * (bits + 1))
        part = (A + shift) - shift
        parts.append(part)
        A = A - part
    return parts


def two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of two numbers and its rounding error."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


def dense(X: Any) -> np.ndarray:
    """Inputs as an array."""
    return X.toarray() if issparse(X) else X
