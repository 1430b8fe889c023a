"""The features alone, for norms that are not made of kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from gnorm.gating import Activations, row_blocks
from gnorm.norms import GroupNorm, Norm
from gnorm.solvers.design.group import GroupDesign

__all__ = ["FeatureDesign"]


class FeatureDesign(GroupDesign):
    """The feature map of a gated linear model under any norm.

    Its kernels are those of the Euclidean norms of the units: whether data are separable, and in
    which units they are of order one, does not depend on the norm. Weights and sums of several
    outputs have a third axis, which is the fourth of what the norm is given.

    Parameters
    ----------
    norm : Norm
        The norm.
    X, activations
        See :class:`Design`.
    """

    norm: Any

    def __init__(self, norm: Norm, X: Any, activations: Activations) -> None:
        super().__init__(GroupNorm(getattr(norm, "unit_weights", None)), X, activations)
        norm.check_gates(activations)
        self.norm = norm

    def array_shape(self, n_outputs: int) -> tuple[int, ...]:
        """Shape of the weights of so many outputs; the norm refuses one that is not its own."""
        shape = (*self.activations.shape[1:], self.n_features)
        shape = shape if n_outputs == 1 else (*shape, n_outputs)
        self.norm.check_shape(shape)
        return shape

    def sums(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`V_h`, see :class:`Design`; a third axis has the outputs."""
        if coef.ndim == 1:
            return super().sums(coef)
        gates, _, _ = self.coded
        n_outputs, n_gates = coef.shape[1], gates.shape[1]
        total = np.zeros((n_gates * n_outputs, self.n_features))
        for rows in row_blocks(self.n_samples, len(total)):
            weighted = gates[rows] * coef[rows, None, :]
            total += weighted.reshape(len(weighted), -1).T @ self.X[rows]
        by_gate = total.reshape(n_gates, n_outputs, -1).transpose(0, 2, 1)
        return self.decoded(by_gate)

    def decision_values(self, zeta: np.ndarray) -> np.ndarray:
        """Evaluate the predictor on the inputs of the design, one column an output if several."""
        if zeta.ndim == 2:
            return super().decision_values(zeta)
        gates, decoding, _ = self.coded
        n_outputs, n_gates = zeta.shape[2], gates.shape[1]
        flat = decoding.T @ zeta.reshape(len(zeta), -1)
        weights = flat.reshape(n_gates, self.n_features, n_outputs).transpose(1, 0, 2)
        weights = np.ascontiguousarray(weights).reshape(self.n_features, -1)
        values = np.empty((self.n_samples, n_outputs))
        for rows in row_blocks(self.n_samples, weights.shape[1]):
            responses = (self.X[rows] @ weights).reshape(-1, n_gates, n_outputs)
            open_gates = gates[rows].astype(float).transpose(0, 2, 1)
            values[rows] = (open_gates @ responses)[:, 0]
        return values

    def features(self) -> sp.csr_matrix:
        """All gated features as a sparse matrix, (n_samples, n_units * n_contexts * n_features)."""
        X = sp.csr_matrix(self.X)
        gates = np.asarray(self.activations).reshape(self.n_samples, -1)
        return sp.hstack([sp.diags(gate.astype(float)) @ X for gate in gates.T], format="csr")
