r"""Separation at equal scales, where samples or features of very different ones hid it.

A hard margin has a solution or none whatever the units of samples and features: with
:math:`x'_{nd} = r_n x_{nd} c_d` a predictor that separates is one with weights
:math:`\zeta_d = c_d \zeta'_d`, and a proof that there is none has weights :math:`a_n = r_n a'_n`.
The least norm is another matter: what comes back separates, and its gap says how good it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import diags, issparse

from gnorm.losses import Hinge
from gnorm.norms import GroupNorm
from gnorm.solvers.design import make_design
from gnorm.solvers.problem import Problem
from gnorm.solvers.separability import PROOF, is_proof
from gnorm.solvers.solution import NotSeparableError

__all__ = ["Equilibrated", "equilibrated"]

_SWEEPS = 5  # over rows and columns, each of which halves the spread of the logarithms


@dataclass(frozen=True, eq=False)
class Equilibrated:
    """The hard margins of a problem, with samples and features of similar length.

    Attributes
    ----------
    original, problem : Problem
        The problem, and its hard margins at equal scales.
    rows : ndarray of int, shape (n_hard,)
        Which samples these are.
    of_samples, of_features : ndarray
        Their factors, powers of two.
    """

    original: Problem
    problem: Problem
    rows: np.ndarray
    of_samples: np.ndarray
    of_features: np.ndarray

    def zeta(self, zeta: np.ndarray) -> np.ndarray:
        """Return unit weights for the inputs as they were, of least cost."""
        return self.original.design.canonical(zeta * self.of_features)

    def proof(self, error: NotSeparableError) -> NotSeparableError | None:
        """Return a proof for the samples as they were; None if it is none for these."""
        a = np.zeros(len(self.original.y))
        a[self.rows] = error.certificate * self.of_samples
        a /= np.sum(a)
        b = self.original.y * a
        residual = self.original.separability_residual(b)
        if residual <= PROOF and is_proof(self.original, b):
            return NotSeparableError(a, residual)
        return None


def equilibrated(problem: Problem) -> Equilibrated:
    """Bring the samples with hard margins, and the features, to similar lengths."""
    rows = np.flatnonzero(problem.is_hard)
    X = problem.design.X[rows]
    of_samples, of_features = np.ones(X.shape[0]), np.ones(X.shape[1])
    for _ in range(_SWEEPS):
        size = abs(_scaled(X, of_samples, of_features))
        of_samples = of_samples / _roots(size, 1)
        of_features = of_features / _roots(size, 0)
    # all samples alike in the end, since margins are
    of_samples = of_samples / _roots(abs(_scaled(X, of_samples, of_features)), 1) ** 2
    of_samples, of_features = _powers(of_samples), _powers(of_features)
    design = make_design(
        GroupNorm(),
        _scaled(X, of_samples, of_features),
        problem.design.activations[rows],
        problem.design.unit_features,
    )
    hard = Problem(design, Hinge(), problem.y[rows], np.full(len(rows), np.inf))
    return Equilibrated(problem, hard, rows, of_samples, of_features)


def _scaled(X: Any, of_samples: np.ndarray, of_features: np.ndarray) -> Any:
    if issparse(X):
        return (diags(of_samples) @ X @ diags(of_features)).tocsr()
    return of_samples[:, None] * X * of_features


def _roots(size: Any, axis: int) -> np.ndarray:
    """Square roots of the largest entries, 1 where all are zero."""
    largest = size.max(axis=axis)
    largest = largest.toarray().ravel() if issparse(largest) else largest
    return np.sqrt(np.where(largest > 0, largest, 1.0))


def _powers(factors: np.ndarray) -> np.ndarray:
    return np.exp2(np.round(np.log2(factors)))
