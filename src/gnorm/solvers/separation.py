r"""A predictor that separates, by a linear program.

With features side by side, times the label, as the rows of a matrix :math:`F = U S W^\top` it
maximises t under :math:`U u \ge t`, :math:`|u_i| \le 1`; the weights are :math:`W S^{-1} u`.
Whether samples can be separated does not depend on their units, nor on those of features: rows and
columns are balanced before the decomposition, after which a direction of any small size is as good
as others. Where none is found the multipliers are a combination of the samples that vanishes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import svd
from scipy.optimize import linprog

from gnorm.gating import opened
from gnorm.solvers.accurate import UNIT, accurate_outputs, dense
from gnorm.solvers.design import Design
from gnorm.solvers.problem import Problem

__all__ = ["gated_features", "is_small", "separation"]

_MOST = 2**20  # entries of the matrix up to which it is made
_BYTES = 150  # an entry, of the decomposition and HiGHS: up to 123 were seen
_SWEEPS = 8  # over rows and columns, to balance them


def is_small(n_entries: int, limit: float) -> bool:
    """Whether features side by side are few enough to be decomposed, in so many bytes."""
    return n_entries <= min(_MOST, limit / _BYTES)


def separation(
    problem: Problem, limit: float = np.inf
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return unit weights that separate, or a combination of samples that nearly vanishes.

    Parameters
    ----------
    problem : Problem
        The problem.
    limit : float, default=inf
        Bytes that it may take.

    Returns
    -------
    zeta : ndarray of shape (n_gates, n_features) or None
        Weights whose outputs have the sign of the label in exact arithmetic.
    b : ndarray of shape (n_samples,) or None
        Else the multipliers, to be made a proof. None for both if the program is too large or
        comes to no end.
    """
    design, rows = problem.design, np.flatnonzero(problem.is_hard)
    if not is_small(len(rows) * design.n_gates * design.n_features, limit):
        return None, None
    design = design.restricted(rows)
    F = problem.y[rows, None] * gated_features(design)
    kept = np.flatnonzero(F.any(axis=0))
    F, of_rows, of_columns = _balanced(F[:, kept])
    if len(kept) == 0 or not np.isfinite(F).all():
        return None, None
    U, lengths, W = svd(F, full_matrices=False)
    rank = np.count_nonzero(lengths > UNIT * lengths[0])
    result = linprog(
        np.append(np.zeros(rank), -1.0),
        A_ub=np.hstack([-U[:, :rank], np.ones((len(F), 1))]),
        b_ub=np.zeros(len(F)),
        bounds=[(-1.0, 1.0)] * rank + [(None, 1.0)],
        method="highs",
    )
    if result.status != 0:
        return None, None
    flat = np.zeros(design.n_gates * design.n_features)
    flat[kept] = (result.x[:-1] / lengths[:rank]) @ W[:rank] * of_columns
    zeta = flat.reshape(design.n_gates, -1)
    outputs, error = accurate_outputs(design, zeta)
    if np.all(problem.y[rows] * outputs > error):
        return zeta, None
    b = problem.zero_outputs
    b[rows] = problem.y[rows] * np.maximum(-result.ineqlin.marginals, 0.0) * of_rows
    return None, b if b.any() else None


def gated_features(design: Design[Any]) -> np.ndarray:
    """Return the features of all gates side by side, shape (n_samples, n_gates * n_features)."""
    X = dense(design.X)
    gates = opened(design.activations, np.arange(design.n_gates))
    features = gates[:, :, None] * X[:, None, :]
    if design.unit_features is not None:
        features *= design.unit_features[design.gating.units]
    return features.reshape(len(X), -1)


def _balanced(F: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale rows and columns by powers of two, largest and smallest entries about one."""
    of_rows, of_columns = np.ones(F.shape[0]), np.ones(F.shape[1])
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for _ in range(_SWEEPS):
            for axis, factors in ((1, of_rows), (0, of_columns)):
                size = np.abs(F) * of_rows[:, None] * of_columns
                most = np.max(size, axis=axis)
                least = np.min(size, axis=axis, where=size > 0, initial=np.inf)
                is_any = most > 0
                mean = np.sqrt(np.where(is_any, most, 1.0)) * np.sqrt(np.where(is_any, least, 1.0))
                factors /= np.exp2(np.round(np.log2(mean)))
        return F * of_rows[:, None] * of_columns, of_rows, of_columns
