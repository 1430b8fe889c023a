"""The features alone, for norms that are not made of kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from gnorm.norms import GroupNorm, Norm
from gnorm.solvers.design.group import GroupDesign

__all__ = ["FeatureDesign"]


class FeatureDesign(GroupDesign):
    """The feature map of a gated linear model under any norm.

    Its kernels are those of the Euclidean norms of the units: whether data are separable, and in
    which units they are of order one, does not depend on the norm. Weights and sums of several
    outputs have a fourth axis.

    Parameters
    ----------
    norm : Norm
        The norm.
    X, activations, is_one_hot
        See :class:`Design`.
    """

    norm: Any

    def __init__(
        self, norm: Norm, X: Any, activations: np.ndarray, is_one_hot: bool | None = None
    ) -> None:
        super().__init__(GroupNorm(), X, activations, is_one_hot)
        norm.check_gates(activations)
        self.norm = norm

    def zeta_shape(self, n_outputs: int) -> tuple[int, ...]:
        """Shape of the weights of so many outputs; the norm refuses one that is not its own."""
        shape = (*self.activations.shape[1:], self.n_features)
        shape = shape if n_outputs == 1 else (*shape, n_outputs)
        self.norm.check_shape(shape)
        return shape

    def sums(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`V_h`, see :class:`Design`; a fourth axis has the outputs."""
        sums = super().sums(coef)
        if coef.ndim == 1:
            return sums
        return sums.reshape(self.zeta_shape(coef.shape[1]))

    def decision_values(self, zeta: np.ndarray) -> np.ndarray:
        """Evaluate the predictor on the inputs of the design, one column an output if several."""
        return super().decision_values(zeta.reshape(*zeta.shape[:2], -1))

    def features(self) -> sp.csr_matrix:
        """All gated features as a sparse matrix, (n_samples, n_units * n_contexts * n_features)."""
        X = sp.csr_matrix(self.X)
        gates = self.activations.reshape(self.n_samples, -1)
        return sp.hstack([sp.diags(gate.astype(float)) @ X for gate in gates.T], format="csr")
