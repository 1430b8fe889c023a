"""Sums and decision values of many samples, in single precision and in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse

from gnorm import gated
from gnorm.margin.design import GatedDesign

__all__ = ["decision_values", "sums"]


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
    zeta, n_coded = zeta[live], design.n_contexts
    n_rows = design.n_samples if rows is None else len(rows)
    shared = np.zeros(zeta.shape[2])
    if design.is_one_hot and design.n_contexts > 1:
        # what the last context of a unit adds is there for all, and the others differ from it
        shared = zeta[:, -1].sum(axis=0)
        zeta = zeta[:, :-1] - zeta[:, -1:]
        n_coded -= 1
    weights = np.vstack([zeta.reshape(-1, zeta.shape[2]), shared]).T
    largest = float(np.max(np.abs(weights), initial=0.0)) or 1.0
    length = design.max_feature_norm or 1.0
    weights = (weights / largest).astype(_precision(design))
    values = np.empty(n_rows)
    for block in gated.row_blocks(n_rows, max(weights.shape)):
        wanted = block if rows is None else rows[block]
        responses = _inputs(design, wanted, length) @ weights
        is_open = design.activations[wanted][:, live, :n_coded].reshape(len(responses), -1)
        values[block] = np.einsum("nk,nk->n", responses[:, :-1], is_open) + responses[:, -1]
    return largest * length * values


def sums(design: GatedDesign, coef: np.ndarray) -> np.ndarray:
    r"""Compute :math:`V_h = \sum_n c_n \phi_h(x_n)` as roughly, shape (H, C, D)."""
    on = np.flatnonzero(coef)
    largest = float(np.max(np.abs(coef), initial=0.0)) or 1.0
    length = design.max_feature_norm or 1.0
    coef = (coef / largest).astype(_precision(design))
    n_units, n_contexts = design.activations.shape[1:]
    total = np.zeros((n_units * n_contexts, design.X.shape[1]))
    for block in gated.row_blocks(len(on), max(total.shape)):
        rows = on[block]
        weighted = design.activations[rows].reshape(len(rows), -1) * coef[rows, None]
        total += weighted.T @ _inputs(design, rows, length)
    total *= largest * length
    return total.reshape(n_units, n_contexts, -1)


def _precision(design: GatedDesign) -> type[np.floating[Any]]:
    return np.float64 if issparse(design.X) else np.float32


def _inputs(design: GatedDesign, rows: np.ndarray | slice, length: float) -> Any:
    return (design.X[rows] / length).astype(_precision(design), copy=False)
