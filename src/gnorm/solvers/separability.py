r"""Proof that a hard margin has no solution.

By a theorem of the alternative, exactly one of these exists: a predictor with
:math:`y_n f(x_n) > 0` for all :math:`n`, or weights :math:`a \ge 0`, :math:`\sum_n a_n = 1`,
with :math:`V_h(a) = 0` in every unit. A dual method that runs off along a ray has nearly found
the second; here the ray is sharpened to rounding accuracy.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from gnorm import gated
from gnorm.solvers.problem import Problem
from gnorm.solvers.solution import NotSeparableError

__all__ = ["CANCELLATION", "PROOF", "raise_if_not_separable"]

PROOF = 1e-11  # separability residual that is accepted as proof
# A proof must hold feature by feature: none, however small beside the others, keeps more than this.
CANCELLATION = 1e-8
_MAX_CORRECTIONS = 20  # each wins digits until rounding ends it; a few do


def raise_if_not_separable(problem: Problem, b: np.ndarray, tol: float) -> None:
    r"""Raise if a dual point can be sharpened to a certificate of inseparability.

    Parameters
    ----------
    problem : Problem
        The problem; samples with a finite weight cannot take part in a certificate.
    b : ndarray of shape (n_samples,)
        Dual point with a small :meth:`Problem.separability_residual`.
    tol : float
        Largest residual accepted as proof.

    Raises
    ------
    NotSeparableError
        With the certificate, if its residual is at most ``tol`` and every feature cancels: a
        feature of small scale may well be the one that separates.
    """
    ray = np.where(problem.is_hard, b, 0.0)
    lengths = np.abs(ray)
    # A ray may still carry samples that are leaving it: try its heavy part first.
    for share in (1e-2, 1e-4, 1e-6, 0.0):
        heavy = np.where(lengths > share * lengths.max(), ray, 0.0)
        if heavy.any():
            candidate, residual = _sharpen(problem, heavy / np.abs(heavy).sum())
            if residual <= tol and problem.design.cancellation(candidate) <= CANCELLATION:
                raise NotSeparableError(np.abs(candidate), residual)


def _sharpen(problem: Problem, b: np.ndarray) -> tuple[np.ndarray, float]:
    r"""Cancel :math:`V_h(b)` by multiplicative corrections :math:`b \leftarrow b (1 - s)`.

    Each is the regularised least-squares solution of :math:`V_h(b s) = V_h(b)` for all :math:`h`.
    Its normal matrix only steers: the residual is measured on the features, so that the squared
    condition number of the normal equations costs corrections and not digits.
    """
    residual = problem.separability_residual(b)
    for _ in range(_MAX_CORRECTIONS):
        on = np.flatnonzero(b)
        corrected = b.copy()
        corrected[on] *= np.maximum(0.0, 1.0 - _correction(problem, b, on))
        if not corrected.any():
            break
        corrected /= np.abs(corrected).sum()
        corrected_residual = problem.separability_residual(corrected)
        if not corrected_residual < residual:
            break
        b, residual = corrected, corrected_residual
    return b, residual


def _correction(problem: Problem, b: np.ndarray, on: np.ndarray) -> np.ndarray:
    """Solve for s on the samples with b != 0, on the side of the smaller Gram matrix."""
    design = problem.design
    gates = design.coded[0]
    if len(on) <= design.n_coded_features:
        part = design.restricted(on)
        S = part.weighted_gram(np.ones(design.n_kernels), np.float64) * np.outer(b[on], b[on])
        target = b[on] * design.exact_products(b).sum(axis=1)[on]
        return cho_solve(cho_factor(_regularised(S), lower=True), target)
    V = gated.accumulate(design.X, gates, b)
    S = _regularised(design.feature_gram(b**2))
    s = cho_solve(cho_factor(S, lower=True), V.ravel()).reshape(V.shape)
    return b[on] * gated.decision_values(design.X[on], gates[on], s)


def _regularised(S: np.ndarray) -> np.ndarray:
    S[np.diag_indices_from(S)] += 1e-13 * np.trace(S) + np.finfo(float).tiny
    return S
