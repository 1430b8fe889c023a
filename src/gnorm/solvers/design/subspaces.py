r"""Units that see some of the features each, with a kernel of their own features.

With the features :math:`S_h` of unit h and its weight :math:`w_h` the kernels are

.. math:: K_h(x, x') = \langle x_{S_h}, x'_{S_h} \rangle \langle g_h(x), g_h(x') \rangle / w_h^2 .

Units of the same features are a design of their own, in which all features count, and products
are those of these parts side by side. Weights and sums have zeros where a unit does not see a
feature. The Gram matrices of the parts are not kept, since with few features each they are cheap
and many: of N samples a sum of kernels takes :math:`N^2 \sum_S |S|` operations more than one with
all features, over the different sets S, and two matrices.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnorm.norms import GroupNorm
from gnorm.solvers.design.base import Design
from gnorm.solvers.design.gram import Precision
from gnorm.solvers.design.group import GroupDesign

__all__ = ["SubspaceDesign"]

_Part = tuple[np.ndarray, np.ndarray, Design[GroupNorm]]  # units, features, and their design


class SubspaceDesign(Design[GroupNorm]):
    """The feature map of a gated linear model whose units see some of the features each.

    Parameters
    ----------
    norm : GroupNorm
        Sum of the norms of the units.
    X, activations
        See :class:`Design`.
    unit_features : ndarray of bool, shape (n_units, n_features)
        Which features each unit sees.
    parts : list of tuple, default=None
        Units, features and design of each part; None makes them.
    """

    unit_features: np.ndarray
    is_coded = False
    n_matrices = 3  # one Gram matrix at a time, its product with the gates, and the sum

    def __init__(
        self,
        norm: GroupNorm,
        X: Any,
        activations: np.ndarray,
        unit_features: np.ndarray,
        parts: list[_Part] | None = None,
    ) -> None:
        super().__init__(norm, X, activations)
        self.unit_features = unit_features
        self.n_kernels = activations.shape[1]
        self._parts = self._made() if parts is None else parts

    def _made(self) -> list[_Part]:
        weights = self.norm.weights(self.n_kernels)
        sets, of_unit = np.unique(self.unit_features, axis=0, return_inverse=True)
        parts: list[_Part] = []
        for k, is_seen in enumerate(sets):
            units, seen = np.flatnonzero(of_unit.reshape(-1) == k), np.flatnonzero(is_seen)
            norm = GroupNorm(unit_weights=tuple(weights[units]))
            design = GroupDesign(norm, self.X[:, seen], self.activations[:, units])
            parts.append((units, seen, design))
        return parts

    def copied(self) -> SubspaceDesign:
        """Return the same design, of which nothing becomes known."""
        return self

    def scaled(self, factor: float) -> SubspaceDesign:
        """Return the design of a multiple of the inputs."""
        return SubspaceDesign(self.norm, self.X * factor, self.activations, self.unit_features)

    def restricted(self, rows: np.ndarray) -> SubspaceDesign:
        """Return the design of some of the samples."""
        parts = [(units, seen, part.restricted(rows)) for units, seen, part in self._parts]
        X, activations = self.X[rows], self.activations[rows]
        return SubspaceDesign(self.norm, X, activations, self.unit_features, parts)

    def kernel_products(self, coef: np.ndarray, precision: Precision) -> np.ndarray:
        """Compute the products through the features, where no Gram matrix is kept."""
        _ = precision
        return self.exact_products(coef)

    def weighted_gram(
        self, weights: np.ndarray, precision: Precision, out: np.ndarray | None = None
    ) -> np.ndarray:
        r"""Compute :math:`\sum_h w_h K_h`, the sum over the parts."""
        S, added = out, None
        if S is None:
            S = np.empty((self.n_samples, self.n_samples), dtype=precision, order="F")
        S.fill(0.0)
        for units, _, part in self._parts:
            if np.any(weights[units]):
                added = part.weighted_gram(weights[units], precision, added)
                part.forget_gram()
                S += added
        return S

    def products_of(self, sums: np.ndarray) -> np.ndarray:
        """Compute the products with given sums, see :class:`Design`."""
        each = [part.products_of(self._seen(sums, *seen)) for *seen, part in self._parts]
        products = np.empty((*each[0].shape[:-1], self.n_kernels))
        for (units, _, _), of_part in zip(self._parts, each, strict=True):
            products[..., units] = of_part
        return products

    def _seen(self, sums: np.ndarray, units: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Sums of some units over some features, of one output or of several."""
        by_feature = sums.reshape(*sums.shape[:2], self.n_features, -1)
        return by_feature[units][:, :, features].reshape(len(units), sums.shape[1], -1)

    def sums(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`V_h` over the features of each unit, see :class:`Design`."""
        n_outputs = coef.shape[1] if coef.ndim == 2 else 1
        total = np.zeros((*self.activations.shape[1:], self.n_features, n_outputs))
        for units, seen, part in self._parts:
            own = part.sums(coef).reshape(len(units), -1, len(seen), n_outputs)
            total[units[:, None], :, seen] = own.transpose(0, 2, 1, 3)
        return total.reshape(*total.shape[:2], -1)

    def rough_sums(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :meth:`sums` roughly, in single precision where the inputs are dense."""
        return self.kept(super().rough_sums(coef))

    def kept(self, sums: np.ndarray) -> np.ndarray:
        """Return sums over all features with zeros where a unit does not see the feature."""
        n_outputs = sums.shape[2] // self.n_features
        return sums * np.repeat(self.unit_features, n_outputs, axis=1)[:, None, :]

    def _factors(self, decoding: np.ndarray) -> np.ndarray:
        raise NotImplementedError("expected units that see all features")  # see is_coded

    @property
    def norm_condition(self) -> float:
        """1: norms of units are sums of squares."""
        return 1.0

    @property
    def error_length(self) -> float:
        """That of the context gates in the unit of least weight."""
        return max(part.error_length for _, _, part in self._parts)

    def _largest_gate_kernel(self) -> float:
        return max(part._largest_gate_kernel() for _, _, part in self._parts)
