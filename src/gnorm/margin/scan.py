"""Decision values of many samples, in single precision and in blocks."""

from __future__ import annotations

import numpy as np
from scipy.sparse import issparse

from gnorm.margin.design import GatedDesign

__all__ = ["decision_values"]

_ENTRIES = 2**21  # of the largest temporary


def decision_values(
    design: GatedDesign, zeta: np.ndarray, rows: np.ndarray | None = None
) -> np.ndarray:
    r"""Evaluate :math:`f(x_n) = \sum_{hc} g_{hc}(x_n) \langle \zeta_{hc}, x_n \rangle` roughly.

    In single precision where the inputs are dense: enough to see which samples are near the
    margin, and half the time. Memory does not grow with the number of samples.

    Parameters
    ----------
    design : GatedDesign
        Inputs and gates.
    zeta : ndarray of shape (n_units, n_contexts, n_features)
        Unit weights.
    rows : ndarray of int, shape (n_rows,), default=None
        Samples wanted, None for all.

    Returns
    -------
    ndarray of shape (n_rows,)
        Decision values, in float64.
    """
    live = np.flatnonzero(zeta.any(axis=(1, 2)))
    weights = zeta[live].reshape(-1, zeta.shape[2]).T
    largest = float(np.max(np.abs(weights), initial=0.0)) or 1.0
    length = design.max_feature_norm or 1.0
    is_dense = not issparse(design.X)
    weights = (weights / largest).astype(np.float32 if is_dense else np.float64)
    n_rows = design.n_samples if rows is None else len(rows)
    values = np.empty(n_rows)
    step = max(1, _ENTRIES // max(1, *weights.shape))
    for start in range(0, n_rows, step):
        block = slice(start, start + step)
        wanted = block if rows is None else rows[block]
        X = design.X[wanted] / length
        responses = (X.astype(np.float32) if is_dense else X) @ weights
        gates = design.activations[wanted]
        responses *= gates[:, live].reshape(len(gates), -1)
        values[block] = responses.sum(axis=1)
    return largest * length * values
