r"""The coded features of a design as one vector, on which the kernels act block by block.

Features that the same units see make a block, all features one if every unit sees all. With the
coded gates of these units a block has the features :math:`\phi_b(x) = g_b(x) \otimes x_b`, and

.. math:: K_h(x, x') = \textstyle\sum_b \langle F_{hb} \phi_b(x), F_{hb} \phi_b(x') \rangle ,

where :math:`F_{hb}` mixes the gates and leaves the inputs apart; it is zero in a block that unit h
does not see. Vectors V and zeta over the coded features have the blocks one after another, the
gates of each varying slowest; :math:`E_h V` stands for all :math:`F_{hb} V_b` together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from gnorm.gating import Gating
from gnorm.solvers.design.feature_gram import JITTER, DenseGram

if TYPE_CHECKING:
    from gnorm.solvers.design.base import Design

__all__ = ["Block", "CodedFeatures", "Factors", "Root"]


class Block(NamedTuple):
    """Features that the same units see.

    Attributes
    ----------
    kernels : ndarray of int or slice
        Kernels that they take part in; the units, where each unit has one.
    rows : ndarray of int or slice
        Contexts of these units.
    features : ndarray of int or slice
        The features.
    design : Design
        The design of these units and features alone.
    """

    kernels: Any
    rows: Any
    features: Any
    design: Design[Any]


class Factors:
    r"""Matrices :math:`F_h` of the kernels, whose rows are those of one matrix F.

    Units have as many rows as they have open contexts, and products cost as much.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_gates)
        The rows, those of a kernel one after another.
    kernels : ndarray of int of shape (n_rows,)
        Kernel of each, in increasing order.
    n_kernels : int
        How many kernels there are; those without rows are zero.
    """

    def __init__(self, rows: np.ndarray, kernels: np.ndarray, n_kernels: int) -> None:
        self._rows, self._kernels, self.n_kernels = rows, kernels, n_kernels
        self._ends = np.searchsorted(kernels, np.arange(n_kernels + 1))
        rows.setflags(write=False)  # threads may share them

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the matrices one after another."""
        return (self._rows[first:end] for first, end in pairwise(self._ends))

    def squares(self, part: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\|F_h V\|^2` of sums of shape (n_gates, n_features)."""
        own = self._rows @ part
        return np.bincount(self._kernels, np.einsum("rd,rd->r", own, own), self.n_kernels)

    def projected(self, part: np.ndarray) -> np.ndarray:
        r"""Compute :math:`F_h^\top F_h V`, shape (n_kernels, n_gates, n_features)."""
        own = self._rows @ part
        total = np.empty((self.n_kernels, *part.shape))
        for h, (first, end) in enumerate(pairwise(self._ends)):
            np.matmul(self._rows[first:end].T, own[first:end], out=total[h])
        return total

    def combined(self, mu: np.ndarray, part: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\sum_h \mu_h F_h^\top F_h V`, shape (n_gates, n_features)."""
        weighted: np.ndarray = mu[self._kernels, None] * (self._rows @ part)
        return self._rows.T @ weighted

    def metric(self, mu: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\sum_h \mu_h F_h^\top F_h`, shape (n_gates, n_gates)."""
        weighted = np.sqrt(mu)[self._kernels, None] * self._rows
        return weighted.T @ weighted


class CodedFeatures:
    """Products with the coded features of a design, and with the factors of its kernels.

    Parameters
    ----------
    design : Design
        The design.

    Attributes
    ----------
    size : int
        Coded features, of all blocks together.
    """

    def __init__(self, design: Design[Any]) -> None:
        self._design = design
        self._shape = (design.n_kernels, design.n_coded_features)
        self.size = self._shape[1]
        self._blocks = [_Coded(block) for block in design.blocks]

    def _parts(self, vector: np.ndarray) -> Iterator[tuple[_Coded, np.ndarray]]:
        """Each block with its part of a vector, shape (..., n_gates, n_features)."""
        parts = _split(vector, [block.shape for block in self._blocks])
        return zip(self._blocks, parts, strict=True)

    def sums(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\Phi^\top b`, shape (size,)."""
        total = np.empty(self.size)
        for block, part in self._parts(total):
            part[:] = block.gating.sums(block.X, coef)
        return total

    def values(self, zeta: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\Phi \zeta`, shape (n_samples,)."""
        values = np.zeros(self._design.n_samples)
        for block, part in self._parts(zeta):
            values += block.gating.values(block.X, part)
        return values

    def squares(self, V: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\|E_h V\|^2`, shape (n_kernels,)."""
        squares = np.zeros(self._shape[0])
        for block, part in self._parts(V):
            squares[block.kernels] += block.factors.squares(part)
        return squares

    def projected(self, V: np.ndarray) -> np.ndarray:
        r"""Compute :math:`E_h^\top E_h V`, shape (n_kernels, size)."""
        total = np.zeros(self._shape)
        for (block, part), (_, out) in zip(self._parts(V), self._parts(total), strict=True):
            out[block.kernels] = block.factors.projected(part)
        return total

    def combined(self, mu: np.ndarray, V: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\sum_h \mu_h E_h^\top E_h V`, shape (size,)."""
        total = np.empty(self.size)
        for (block, part), (_, out) in zip(self._parts(V), self._parts(total), strict=True):
            out[:] = block.factors.combined(mu[block.kernels], part)
        return total

    def root(self, mu: np.ndarray) -> Root:
        r"""Factorise :math:`\sum_h \mu_h E_h^\top E_h`."""
        factors = [_root(block.factors, mu[block.kernels]) for block in self._blocks]
        return Root(factors, [block.shape for block in self._blocks])

    def decoded(self, V: np.ndarray) -> np.ndarray:
        """Sums over all contexts and features of the units, zero where a unit does not see one."""
        design = self._design
        total = np.zeros(design.rows_shape(1))
        for block, part in self._parts(V):
            decoded = block.design.decoded(part)
            own = np.zeros((len(decoded), design.n_features))
            own[:, block.features] = decoded
            total[block.rows] += own
        return total

    def of(self, sums: np.ndarray) -> np.ndarray:
        """Sums over the coded features from those over all contexts, the inverse of decoding."""
        total = np.empty(self.size)
        for block, part in self._parts(total):
            own = sums[block.rows][:, block.features]
            part[:] = block.design.coded_sums(own)[:, 0]
        return total

    def explicit(self, rows: np.ndarray) -> np.ndarray:
        """Return the features of some samples, shape (n_rows, size)."""
        return self._design.explicit(rows)

    def gram(self, weights: np.ndarray) -> DenseGram:
        r"""Compute :math:`\sum_n w_n \phi(x_n) \phi(x_n)^\top`."""
        return DenseGram(self._design.coded_gram(weights))


class _Coded:
    """What products with one block take."""

    def __init__(self, block: Block) -> None:
        self.kernels, self.rows, self.features, self.design = block
        gates, _, self.factors = self.design.coded
        self.gating, self.X = Gating(gates), self.design.X
        self.shape = gates.shape[1], self.design.n_features


class Root:
    r"""Triangular R with :math:`R^\top R = \sum_h \mu_h E_h^\top E_h`, a factor for each block.

    It mixes the gates of a block and leaves the inputs apart.

    Parameters
    ----------
    factors : sequence of ndarray of shape (n_gates, n_gates)
        Upper triangular factors of the blocks.
    shapes : sequence of tuple of int
        Gates and features of each.
    """

    def __init__(self, factors: Sequence[np.ndarray], shapes: Sequence[tuple[int, int]]) -> None:
        self._factors, self._shapes = factors, shapes

    def times(self, x: np.ndarray) -> np.ndarray:
        """Compute R x of vectors, shape (..., size)."""
        return self._each(x, np.matmul)

    def adjoint(self, x: np.ndarray) -> np.ndarray:
        r"""Compute :math:`R^\top x` of a vector."""
        return self._each(x, lambda factor, part: factor.T @ part)

    def solved(self, x: np.ndarray) -> np.ndarray:
        r"""Compute :math:`R^{-1} x` of a vector."""
        return self._each(x, solve_triangular)

    def adjoint_solved(self, x: np.ndarray) -> np.ndarray:
        r"""Compute :math:`R^{-\top} x` of vectors, shape (..., size)."""
        return self._each(x, lambda factor, part: solve_triangular(factor, part, trans=1))

    def in_coordinates(self, S: np.ndarray) -> np.ndarray:
        r"""Compute :math:`R S R^\top` of a matrix."""
        if all(np.count_nonzero(factor) == len(factor) for factor in self._factors):
            # gates that are their own code: R is diagonal, and memory is what a product costs
            blocks = zip(self._factors, self._shapes, strict=True)
            scales = np.concatenate([np.repeat(np.diag(factor), d) for factor, (_, d) in blocks])
            scaled = S * scales
            scaled *= scales[:, None]
            return scaled
        half, full, size = np.empty(S.shape), np.empty(S.shape), len(S)
        start = 0
        for factor, (n_gates, n_features) in zip(self._factors, self._shapes, strict=True):
            rows = slice(start, start + n_gates * n_features)
            shape = (n_gates, n_features * size)
            np.matmul(factor, S[rows].reshape(shape), out=half[rows].reshape(shape))
            start = rows.stop
        for factor, part, out in self._zip(half, full):
            np.matmul(factor, part, out=out)
        return full

    def _each(self, x: np.ndarray, apply: Any) -> np.ndarray:
        out = np.empty(x.shape)
        for factor, part, of_part in self._zip(x, out):
            moved = np.moveaxis(part, -2, 0)  # the gates first, whatever else there is
            found = apply(factor, moved.reshape(len(factor), -1))
            of_part[:] = np.moveaxis(found.reshape(moved.shape), 0, -2)
        return out

    def _zip(self, *vectors: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        return zip(self._factors, *(_split(x, self._shapes) for x in vectors), strict=True)


def _split(vector: np.ndarray, shapes: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
    """Views of the parts of a vector, its last axis in two."""
    start = 0
    for n_gates, n_features in shapes:
        stop = start + n_gates * n_features
        yield vector[..., start:stop].reshape(*vector.shape[:-1], n_gates, n_features)
        start = stop


def _root(factors: Factors, mu: np.ndarray) -> np.ndarray:
    """Cholesky factor of one block, whose entries may be of any scale."""
    metric = factors.metric(mu)
    length = np.sqrt(np.diag(metric))
    length = np.where(length > 0, length, 1.0)
    metric /= np.outer(length, length)
    metric += JITTER * np.eye(len(metric))
    return np.asarray(np.linalg.cholesky(metric).T * length)
