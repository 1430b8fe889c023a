r"""Coded features of which one unit has many levels, of which each sample has one at most.

In place of a code of all units together that unit keeps a gate for each of its levels, behind the
code of the others. No sample opens two of these gates, so that the weighted Gram matrix is a block
arrowhead,

.. math::

    S = \begin{pmatrix} S_{oo} & S_{lo}^\top \\ S_{lo} & \operatorname{diag}(S_1, S_2, \dots)
    \end{pmatrix},

with a block of D rows for each level, and the metric of the kernels is :math:`R_o^\top R_o` for the
others and :math:`\rho^2 I = \mu I / w^2` for the levels. With the directions
:math:`P = U \tau`, :math:`\tau^2 = \sigma^2 / (1 + \sigma^2)`, of
:class:`gnorm.solvers.design.feature_gram.Prior` a solution of a Newton system is
:math:`A^{-1} = G (\Lambda + \lambda G^\top R S R^\top G)^{-1} G^\top` with :math:`G = (I, P)` and
:math:`\Lambda = \operatorname{diag}(I, 1 - \tau^2)`: a sum of nothing but positive terms, whose
leading part is block diagonal. Its Cholesky factor eliminates the levels one by one. The dense
system that is left has the size b of the other features and the directions together, and of L
levels a factor takes :math:`L D b^2 + b^3 / 3` operations and the space of L D b numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrs
from scipy.sparse import csr_matrix, issparse

from gnorm.gating import BLOCK_ENTRIES, Gating, OpenContexts
from gnorm.solvers.design.coded import CodedFeatures, Root
from gnorm.solvers.design.feature_gram import JITTER, Factor, FeatureGram, Prior, cholesky

if TYPE_CHECKING:
    from gnorm.solvers.design.base import Design

__all__ = ["ArrowheadFeatures", "ArrowheadGram", "ArrowheadRoot", "Levels", "SystemSize"]

# Steps of a dense product that one of a sparse product takes (OpenBLAS, one thread, float64).
_SPARSE = 16.0


@dataclass(frozen=True)
class SystemSize:
    """Sizes of a system through the features.

    Attributes
    ----------
    n_others : int
        Coded features, but for those of the levels; at most, where units see some features each.
    n_directions : int
        Kernels, where levels are eliminated.
    n_levels, n_seen : int
        Levels that are eliminated, and features of each.
    """

    n_others: int
    n_directions: int = 0
    n_levels: int = 0
    n_seen: int = 0

    @property
    def n_dense(self) -> int:
        """Size of the dense system."""
        return self.n_others + self.n_directions

    @property
    def n_eliminated(self) -> int:
        """Features of the levels."""
        return self.n_levels * self.n_seen

    def steps(self, n_samples: int) -> float:
        """Operations of a factor and of the Gram matrix, whose symmetries save three quarters."""
        gram = n_samples * self.n_others * (self.n_others / 4 + _SPARSE * self.n_seen)
        return gram + self.n_dense**2 * (self.n_dense / 3 + self.n_eliminated)

    @property
    def equivalent(self) -> int:
        """Size of the dense system of which a factor takes as many operations."""
        steps = self.n_dense**2 * (self.n_dense + 3 * self.n_eliminated)
        return round(steps ** (1 / 3))

    @property
    def n_numbers(self) -> float:
        """Numbers in memory beside those of the samples, a little more than measured peaks."""
        border = self.n_eliminated * (3 * self.n_dense + 5 * self.n_directions + 6 * self.n_seen)
        return 6.5 * self.n_dense**2 + border


class Levels:
    """The features of one unit with one level a sample, or with none.

    Parameters
    ----------
    unit : int
        Its number.
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Features that it sees.
    features : ndarray of int or slice
        Which of all features these are.
    contexts : ndarray of int of shape (n_samples,)
        Open context of each sample, -1 for none.
    inverse_square : float
        Of the weight of the unit in the norm.

    Attributes
    ----------
    open : ndarray of int of shape (n_levels,)
        Contexts that are open in some sample.
    shape : tuple of int
        Levels and features.
    """

    def __init__(
        self, unit: int, X: Any, features: Any, contexts: np.ndarray, inverse_square: float
    ) -> None:
        self.unit, self.features, self.inverse_square = unit, features, inverse_square
        self._X = X
        self.open = np.unique(contexts[contexts >= 0])
        self._level = np.where(contexts < 0, -1, np.searchsorted(self.open, contexts))
        self._gating = Gating(OpenContexts(self._level[:, None], len(self.open)))
        self.shape = len(self.open), X.shape[1]
        self.size = self.shape[0] * self.shape[1]

    def sums(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\Phi_l^\top b`, shape (size,)."""
        return self._gating.sums(self._X, coef).ravel()

    def values(self, zeta: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\Phi_l \zeta`, shape (n_samples,)."""
        return self._gating.values(self._X, zeta.reshape(self.shape))

    def weighted(
        self, weights: np.ndarray, width: int
    ) -> Iterator[tuple[np.ndarray, slice, np.ndarray, Any]]:
        """Features times weights, a block of samples of neighbouring levels at a time.

        Yields
        ------
        rows : ndarray of int
            The samples, as many as keep a temporary of a width a sample small.
        levels : slice
            Their levels.
        X : ndarray
            Their inputs.
        weighted : CSR matrix of shape (n_levels * n_features, n_rows)
            The weighted features of these samples and levels, transposed.
        """
        has_any = np.flatnonzero((weights > 0) & (self._level >= 0))
        order = has_any[np.argsort(self._level[has_any], kind="stable")]
        step, d = max(64, BLOCK_ENTRIES // (4 * width)), self.shape[1]
        for start in range(0, len(order), step):
            rows = order[start : start + step]
            own = self._level[rows]
            levels = slice(int(own[0]), int(own[-1]) + 1)
            X = self._X[rows].toarray() if issparse(self._X) else self._X[rows]
            columns = (own - levels.start)[:, None] * d + np.arange(d)
            starts = np.arange(len(rows) + 1) * d
            entries = (X * weights[rows, None]).ravel()
            shape = len(rows), (levels.stop - levels.start) * d
            yield rows, levels, X, csr_matrix((entries, columns.ravel(), starts), shape).T.tocsr()


class ArrowheadFeatures:
    """The coded features of all units but one, then those of its levels.

    Products are those of :class:`gnorm.solvers.design.coded.CodedFeatures`.

    Parameters
    ----------
    design : Design
        The design of all units.
    others : Design
        The design of the other units.
    levels : Levels
        The unit of many levels.

    Attributes
    ----------
    size : int
        Features of both together.
    """

    def __init__(self, design: Design[Any], others: Design[Any], levels: Levels) -> None:
        self._shape, self._levels = design.rows_shape(1), levels
        self._others = CodedFeatures(others)
        self._units = np.delete(np.arange(design.n_kernels), levels.unit)
        rows = design.gating.units == levels.unit
        self._other_rows, self._rows = np.flatnonzero(~rows), np.flatnonzero(rows)[levels.open]
        self._end = self._others.size
        self.size = self._end + levels.size

    def sums(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\Phi^\top b`, shape (size,)."""
        return np.concatenate([self._others.sums(coef), self._levels.sums(coef)])

    def values(self, zeta: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\Phi \zeta`, shape (n_samples,)."""
        return self._others.values(zeta[: self._end]) + self._levels.values(zeta[self._end :])

    def squares(self, V: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\|E_h V\|^2`, shape (n_kernels,)."""
        own = V[self._end :]
        return self._of_units(
            self._others.squares(V[: self._end]), self._levels.inverse_square * float(own @ own)
        )

    def projected(self, V: np.ndarray) -> np.ndarray:
        r"""Compute :math:`E_h^\top E_h V`, shape (n_kernels, size)."""
        total = np.zeros((1 + len(self._units), self.size))
        total[self._units, : self._end] = self._others.projected(V[: self._end])
        total[self._levels.unit, self._end :] = self._levels.inverse_square * V[self._end :]
        return total

    def combined(self, mu: np.ndarray, V: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\sum_h \mu_h E_h^\top E_h V`, shape (size,)."""
        others = self._others.combined(mu[self._units], V[: self._end])
        share = float(mu[self._levels.unit]) * self._levels.inverse_square
        return np.concatenate([others, share * V[self._end :]])

    def root(self, mu: np.ndarray) -> ArrowheadRoot:
        r"""Factorise :math:`\sum_h \mu_h E_h^\top E_h`."""
        share = float(mu[self._levels.unit]) * self._levels.inverse_square
        return ArrowheadRoot(self._others.root(mu[self._units]), self._end, float(np.sqrt(share)))

    def decoded(self, V: np.ndarray) -> np.ndarray:
        """Sums over all contexts and features of the units, zero where a unit does not see one."""
        levels, total = self._levels, np.zeros(self._shape)
        total[self._other_rows] = self._others.decoded(V[: self._end])
        of_unit = np.zeros((len(levels.open), self._shape[1]))
        of_unit[:, levels.features] = V[self._end :].reshape(levels.shape)
        total[self._rows] = of_unit
        return total

    def of(self, sums: np.ndarray) -> np.ndarray:
        """Sums over the coded features from those over all contexts, the inverse of decoding."""
        levels = self._levels
        own = sums[self._rows][:, levels.features]
        if len(self._units) == 0:  # the others are the gate that is always open
            return np.concatenate([own.sum(axis=0), own.ravel()])
        return np.concatenate([self._others.of(sums[self._other_rows]), own.ravel()])

    def gram(self, weights: np.ndarray) -> ArrowheadGram:
        r"""Compute :math:`\sum_n w_n \phi(x_n) \phi(x_n)^\top`."""
        n_levels, d = self._levels.shape
        cross, blocks = np.zeros((n_levels, d, self._end)), np.zeros((n_levels, d, d))
        for rows, levels, X, weighted in self._levels.weighted(weights, self._end):
            shape = levels.stop - levels.start, d, -1
            cross[levels] += (weighted @ self._others.explicit(rows)).reshape(shape)
            blocks[levels] += (weighted @ X).reshape(shape)
        others = self._others.gram(weights).toarray()
        return ArrowheadGram(others, cross.reshape(-1, self._end), blocks)

    def _of_units(self, others: np.ndarray, own: float) -> np.ndarray:
        return np.insert(others, self._levels.unit, own)


class ArrowheadRoot:
    r"""R with :math:`R^\top R` the metric of the kernels: that of the others, and a multiple of I.

    Products are those of :class:`gnorm.solvers.design.coded.Root`.

    Parameters
    ----------
    others : Root
        The factor of the others.
    end : int
        Its size.
    multiple : float
        That of the levels.
    """

    def __init__(self, others: Root, end: int, multiple: float) -> None:
        self.others, self.multiple, self._end = others, multiple, end

    def times(self, x: np.ndarray) -> np.ndarray:
        """Compute R x of a vector."""
        return self._each(x, self.others.times, self.multiple)

    def adjoint(self, x: np.ndarray) -> np.ndarray:
        r"""Compute :math:`R^\top x` of a vector."""
        return self._each(x, self.others.adjoint, self.multiple)

    def solved(self, x: np.ndarray) -> np.ndarray:
        r"""Compute :math:`R^{-1} x` of a vector."""
        return self._each(x, self.others.solved, 1.0 / self.multiple)

    def adjoint_solved(self, x: np.ndarray) -> np.ndarray:
        r"""Compute :math:`R^{-\top} x` of vectors, shape (..., size)."""
        return self._each(x, self.others.adjoint_solved, 1.0 / self.multiple)

    def _each(self, x: np.ndarray, apply: Any, multiple: float) -> np.ndarray:
        others = apply(x[..., : self._end])
        return np.concatenate([others, multiple * x[..., self._end :]], axis=-1)


class ArrowheadGram(FeatureGram):
    """A weighted Gram matrix whose last features come in blocks.

    Parameters
    ----------
    others : ndarray of shape (n_others, n_others)
        That of the other features.
    cross : ndarray of shape (n_levels * n_features, n_others)
        Between those of the levels and the others.
    blocks : ndarray of shape (n_levels, n_features, n_features)
        Of each level.
    """

    def __init__(self, others: np.ndarray, cross: np.ndarray, blocks: np.ndarray) -> None:
        self._others, self._cross, self._blocks = others, cross, blocks

    def toarray(self) -> np.ndarray:
        """Return all of its entries, shape (size, size)."""
        return self @ np.eye(len(self._others) + len(self._cross))

    def __matmul__(self, x: np.ndarray) -> np.ndarray:
        first, last = x[: len(self._others)], x[len(self._others) :]
        own = _by_level(self._blocks, last)
        return np.concatenate(
            [self._others @ first + self._cross.T @ last, own + self._cross @ first]
        )

    def trace(self, root: ArrowheadRoot) -> float:
        """Trace in the coordinates of a root."""
        others = np.trace(root.others.in_coordinates(self._others))
        return float(others + root.multiple**2 * np.einsum("ldd->", self._blocks))

    def factorised(
        self, root: ArrowheadRoot, unit: float, prior: Prior | None = None
    ) -> Factor | None:
        """Eliminate the levels, see :class:`FeatureGram` and the module."""
        seen, end = self._in_coordinates(root, unit), len(self._others)
        directions, left = np.empty((end + len(self._cross), 0)), np.empty(0)
        if prior is not None:
            directions, left = prior.shrunk, prior.left
        image = seen @ directions
        corner = np.block(
            [
                [seen._others + np.eye(end), image[:end]],
                [image[:end].T, directions.T @ image + np.diag(left)],
            ]
        )
        try:
            inverses = np.linalg.inv(np.linalg.cholesky(_one_more(seen._blocks)))
        except np.linalg.LinAlgError:
            return None
        border = np.hstack([seen._cross, image[end:]])
        del seen, image  # makes room
        border = _by_level(inverses, border)
        # the transpose is in the memory order of the library
        corner = dsyrk(-1.0, border.T, lower=1, beta=1.0, c=corner.T, overwrite_c=1)
        factor = cholesky(corner)
        return None if factor is None else _ArrowheadFactor(inverses, border, factor, directions)

    def _in_coordinates(self, root: ArrowheadRoot, unit: float) -> ArrowheadGram:
        r"""Compute :math:`\lambda R S R^\top`."""
        cross = root.others.times(self._cross)
        cross *= unit * root.multiple
        others = unit * root.others.in_coordinates(self._others)
        return ArrowheadGram(others, cross, unit * root.multiple**2 * self._blocks)


class _ArrowheadFactor(Factor):
    """Inverse factors of the blocks, what they make of the border, and the factor of the rest."""

    def __init__(
        self, inverses: np.ndarray, border: np.ndarray, corner: np.ndarray, directions: np.ndarray
    ) -> None:
        self._inverses, self._border, self._corner = inverses, border, corner
        self._directions = directions

    def solve(self, rhs: np.ndarray) -> np.ndarray:
        end = len(rhs) - len(self._border)
        own = _by_level(self._inverses, rhs[end:])
        others = np.concatenate([rhs[:end], self._directions.T @ rhs]) - self._border.T @ own
        others = dpotrs(self._corner, others, lower=1)[0]
        own = _by_level(self._inverses.transpose(0, 2, 1), own - self._border @ others)
        return np.concatenate([others[:end], own]) + self._directions @ others[end:]


def _one_more(blocks: np.ndarray) -> np.ndarray:
    """Blocks with 1 added to the diagonal, and what rounding may have taken from it."""
    return blocks + np.eye(blocks.shape[1]) * (1.0 + JITTER * np.abs(blocks))


def _by_level(blocks: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Each block times its rows of vectors in columns, or of one."""
    rows = x.reshape(*blocks.shape[:2], -1)
    return np.asarray(np.matmul(blocks, rows)).reshape(x.shape)
