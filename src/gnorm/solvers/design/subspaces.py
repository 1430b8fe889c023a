r"""Units that see some of the features each, with a kernel of their own features.

With the features :math:`S_h` of unit h and its weight :math:`w_h` the kernels are

.. math:: K_h(x, x') = \langle x_{S_h}, x'_{S_h} \rangle \langle g_h(x), g_h(x') \rangle / w_h^2 .

Sums are those over all features, with zeros where a unit does not see the feature, and so are
weights, which are multiples of sums. A sum of kernels is that of as many designs as there are
different sets of features, each of the units that see the set. Their Gram matrices are not kept,
since with few features each they are cheap and many: of N samples a sum of kernels takes
:math:`N^2 \sum_S |S|` operations more than one with all features, over the different sets S.

Through the features the blocks are the other way round: features that the same units see, with the
coded gates of these units. There are as many coded features as the units need, and no more.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import numpy as np

from gnorm.gating import Activations
from gnorm.norms import GroupNorm
from gnorm.solvers.design.coded import Block
from gnorm.solvers.design.gram import Precision
from gnorm.solvers.design.group import GroupDesign

__all__ = ["SubspaceDesign"]


class SubspaceDesign(GroupDesign):
    """The feature map of a gated linear model whose units see some of the features each.

    Parameters
    ----------
    norm : GroupNorm
        Sum of the norms of the units.
    X, activations
        See :class:`Design`.
    unit_features : ndarray of bool, shape (n_units, n_features)
        Which features each unit sees.
    """

    unit_features: np.ndarray
    n_matrices = 3  # one Gram matrix at a time, its product with the gates, and the sum

    def __init__(
        self, norm: GroupNorm, X: Any, activations: Activations, unit_features: np.ndarray
    ) -> None:
        super().__init__(norm, X, activations)
        self.unit_features = unit_features

    def _with(self, X: Any, activations: Activations) -> Self:
        return type(self)(self.norm, X, activations, self.unit_features)

    def without(self, unit: int) -> SubspaceDesign:
        """Return the design of all units but one."""
        others = np.delete(np.arange(self.n_kernels), unit)
        norm = GroupNorm(tuple(self.norm.weights(self.n_kernels)[others]))
        gates = self.activations[:, others]
        return SubspaceDesign(norm, self.X, gates, self.unit_features[others])

    def kept(self, sums: np.ndarray) -> np.ndarray:
        """Return sums over all features with zeros where a unit does not see the feature."""
        n_outputs = sums.shape[1] // self.n_features
        return sums * np.repeat(self.unit_features, n_outputs, axis=1)[self.gating.units]

    def sums(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`V_h` over the features of each unit, see :class:`Design`."""
        return self.kept(super().sums(coef))

    def rough_sums(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :meth:`sums` roughly, in single precision where the inputs are dense."""
        return self.kept(super().rough_sums(coef))

    def kernel_products(self, coef: np.ndarray, precision: Precision) -> np.ndarray:
        """Compute the products through the features, where no Gram matrix is kept."""
        _ = precision
        return self.exact_products(coef)

    def weighted_gram(
        self, weights: np.ndarray, precision: Precision, out: np.ndarray | None = None
    ) -> np.ndarray:
        r"""Compute :math:`\sum_h w_h K_h`, a sum over the sets of features."""
        S, added = out, None
        if S is None:
            S = np.empty((self.n_samples, self.n_samples), dtype=precision, order="F")
        S.fill(0.0)
        for units, part in self._parts:
            if np.any(weights[units]):
                added = part.weighted_gram(weights[units], precision, added)
                part.forget_gram()
                S += added
        return S

    @property
    def n_coded_gates(self) -> int:
        """Coded gates of all blocks together."""
        return sum(block.design.n_coded_gates for block in self.blocks)

    @property
    def n_coded_features(self) -> int:
        """Coded features of all blocks together."""
        return sum(block.design.n_coded_features for block in self.blocks)

    @cached_property
    def blocks(self) -> list[Block]:
        """Features that the same units see, as designs of their own."""
        unit_weights = self.norm.weights(self.n_kernels)
        seen_by, of_feature = np.unique(self.unit_features.T, axis=0, return_inverse=True)
        blocks = []  # whole before other threads see it
        for k, sees in enumerate(seen_by):
            units, features = np.flatnonzero(sees), np.flatnonzero(of_feature.reshape(-1) == k)
            if len(units):
                norm = GroupNorm(unit_weights=tuple(unit_weights[units]))
                design = GroupDesign(norm, self.X[:, features], self.activations[:, units])
                rows = np.flatnonzero(sees[self.gating.units])
                blocks.append(Block(units, rows, features, design))
        return blocks

    def coded_gram(self, weights: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\sum_n w_n \phi(x_n) \phi(x_n)^\top` of the coded features, by blocks."""
        return self._explicit_gram(weights)

    def explicit(self, rows: np.ndarray) -> np.ndarray:
        """Coded features of some samples, one block after another."""
        return np.hstack([block.design.explicit(rows) for block in self.blocks])

    @cached_property
    def _parts(self) -> list[tuple[np.ndarray, GroupDesign]]:
        """Units that see the same features, and the design of these units and features."""
        unit_weights = self.norm.weights(self.n_kernels)
        sets, of_unit = np.unique(self.unit_features, axis=0, return_inverse=True)
        parts = []  # whole before other threads see it
        for k, is_seen in enumerate(sets):
            units = np.flatnonzero(of_unit.reshape(-1) == k)
            norm = GroupNorm(unit_weights=tuple(unit_weights[units]))
            X = self.X[:, np.flatnonzero(is_seen)]
            parts.append((units, GroupDesign(norm, X, self.activations[:, units])))
        return parts
