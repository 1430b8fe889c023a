r"""Hard margins of several outputs as those of one output: a sample for each margin.

With :math:`d_{nj}` the directions of a loss of classes, :math:`d_{nj} \cdot f(x_n) \ge 1` is the
margin of one output on the input :math:`x_n d_{nj}^\top`, whose gates are those of :math:`x_n`, and
with the same unit weights. The dual point of the outputs is :math:`b_n = \sum_j a_{nj} d_{nj}`. So
norms of kernels have all methods for hard margins, and any norm the proof that there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from gnorm.losses import ClassLoss, Hinge
from gnorm.norms import GroupNorm, UnitNorm
from gnorm.solvers.certify import Certificate
from gnorm.solvers.design import make_design
from gnorm.solvers.problem import Problem
from gnorm.solvers.solution import NotSeparableError

__all__ = ["Pairs", "paired"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """The hard margins of a problem of several outputs.

    Attributes
    ----------
    original, problem : Problem
        The problem, and its hard margins as one of one output; under a norm that is not made of
        kernels, in the Euclidean norms of the units.
    rows : ndarray of int, shape (n_hard,)
        Which samples have one.
    directions : ndarray of shape (n_hard, n_directions, n_outputs)
        Directions :math:`d_{nj}`.
    """

    original: Problem
    problem: Problem
    rows: np.ndarray
    directions: np.ndarray

    def dual_coef(self, a: np.ndarray) -> np.ndarray:
        """Return the dual point of the outputs, of that of the margins."""
        b = self.original.zero_outputs
        each = a.reshape(self.directions.shape[:2])
        b[self.rows] = np.einsum("nj,njk->nk", each, self.directions)
        return b

    def margins(self, b: np.ndarray) -> np.ndarray:
        """Return the dual point of the margins, of one of the outputs: the reverse."""
        # a direction has a class of its own: its only one, or that beside the label
        is_only = np.count_nonzero(self.directions, axis=2, keepdims=True) == 1
        own = np.where(is_only | (self.directions < 0), self.directions, 0.0)
        return np.einsum("njk,nk->nj", own, b[self.rows]).ravel()

    def zeta(self, zeta: np.ndarray) -> np.ndarray:
        """Return unit weights in the shape that the design of the outputs gives them."""
        return zeta.reshape(self.original.design.rows_shape(self.original.n_outputs))

    def certified(self, certificate: Certificate, tol: float) -> Certificate:
        """Evaluate a solution of the margins on the outputs."""
        zeta, b = self.zeta(certificate.zeta), self.dual_coef(certificate.dual_coef)
        return certificate.on(self.original, tol, zeta=zeta, dual_coef=b)

    def proof(self, error: NotSeparableError) -> NotSeparableError:
        """Return a proof about the margins as one about the outputs."""
        return NotSeparableError(self.dual_coef(error.certificate), error.residual)


def paired(problem: Problem) -> Pairs:
    """Write the hard margins of a problem of several outputs as those of one output."""
    assert isinstance(problem.loss, ClassLoss)
    rows = np.flatnonzero(problem.is_hard)
    directions = problem.loss.directions(problem.y[rows], problem.n_outputs)
    design = problem.design
    norm = design.norm if isinstance(design.norm, UnitNorm) else GroupNorm()
    gates = design.activations[np.repeat(rows, directions.shape[1])]
    inputs = _products(design.X[rows], directions)
    mask = design.unit_features
    mask = None if mask is None else np.repeat(mask, problem.n_outputs, axis=1)
    n_pairs = len(gates)
    margins = Problem(
        make_design(norm, inputs, gates, mask), Hinge(), np.ones(n_pairs), np.full(n_pairs, np.inf)
    )
    return Pairs(problem, margins, rows, directions)


def _products(X: Any, directions: np.ndarray) -> Any:
    """All products of inputs with the directions of their samples, features before outputs."""
    n_samples, n_directions, n_outputs = directions.shape
    n_pairs, n_columns = n_samples * n_directions, X.shape[1] * n_outputs
    if not sp.issparse(X):
        return np.einsum("nd,njk->njdk", X, directions).reshape(n_pairs, n_columns)
    entries = X[np.repeat(np.arange(n_samples), n_directions)].tocoo()
    values = entries.data[:, None] * directions.reshape(n_pairs, -1)[entries.row]
    columns = entries.col[:, None] * n_outputs + np.arange(n_outputs)
    where = np.repeat(entries.row, n_outputs), columns.ravel()
    products = sp.csr_matrix((values.ravel(), where), shape=(n_pairs, n_columns))
    products.eliminate_zeros()
    return products
