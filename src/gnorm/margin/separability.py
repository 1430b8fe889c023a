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
from gnorm.margin.problem import MarginProblem
from gnorm.margin.solution import NotSeparableError

__all__ = ["PROOF", "raise_if_not_separable"]

PROOF = 1e-11  # separability residual that is accepted as proof
_CANCELLATION = 1e-8  # ... if no feature, however small beside the others, keeps more than this
_MAX_CORRECTIONS = 20


def raise_if_not_separable(problem: MarginProblem, a: np.ndarray, tol: float) -> None:
    r"""Raise if a dual point can be sharpened to a certificate of inseparability.

    Parameters
    ----------
    problem : MarginProblem
        The problem; samples with a finite bound cannot take part in a certificate.
    a : ndarray of shape (n_samples,)
        Dual point with a small :meth:`MarginProblem.separability_residual`.
    tol : float
        Largest residual accepted as proof.

    Raises
    ------
    NotSeparableError
        With the certificate, if its residual is at most ``tol`` and every feature cancels: a
        feature of small scale may well be the one that separates.
    """
    ray = np.where(problem.is_hard, a, 0.0)
    # A ray may still carry samples that are leaving it: try its heavy part first.
    for share in (1e-2, 1e-4, 1e-6, 0.0):
        heavy = np.where(ray > share * ray.max(), ray, 0.0)
        if heavy.any():
            candidate, residual = _sharpen(problem, heavy / heavy.sum())
            if (
                residual <= tol
                and problem.design.cancellation(problem.y * candidate) <= _CANCELLATION
            ):
                raise NotSeparableError(candidate, residual)


def _sharpen(problem: MarginProblem, a: np.ndarray) -> tuple[np.ndarray, float]:
    r"""Cancel :math:`V_h(a)` by multiplicative corrections :math:`a \leftarrow a (1 - s)`.

    Each is the regularised least-squares solution of :math:`V_h(a s) = V_h(a)` for all :math:`h`.
    Its normal matrix only steers: the residual is measured on the features, so that the squared
    condition number of the normal equations costs corrections and not digits.
    """
    residual = problem.separability_residual(a)
    for _ in range(_MAX_CORRECTIONS):
        on = np.flatnonzero(a)
        corrected = a.copy()
        corrected[on] *= np.maximum(0.0, 1.0 - _correction(problem, a, on))
        if not corrected.any():
            break
        corrected /= corrected.sum()
        corrected_residual = problem.separability_residual(corrected)
        if not corrected_residual < residual:
            break
        a, residual = corrected, corrected_residual
    return a, residual


def _correction(problem: MarginProblem, a: np.ndarray, on: np.ndarray) -> np.ndarray:
    """Solve for s on the samples with a > 0, on the side of the smaller Gram matrix."""
    design = problem.design
    signed = problem.y[on] * a[on]
    gates, _ = design.coded
    if len(on) <= gates.shape[1] * design.X.shape[1]:
        part = design.restricted(on)
        S = part.weighted_gram(np.ones(design.n_units)) * np.outer(signed, signed)
        target = a[on] * problem.products(a, accurate=True).sum(axis=1)[on]
        return cho_solve(cho_factor(_regularised(S), lower=True), target)
    V = gated.accumulate(design.X, gates, problem.y * a)
    S = _regularised(design.feature_gram(a**2))
    s = cho_solve(cho_factor(S, lower=True), V.ravel()).reshape(V.shape)
    return signed * gated.decision_values(design.X[on], gates[on], s)


def _regularised(S: np.ndarray) -> np.ndarray:
    S[np.diag_indices_from(S)] += 1e-13 * np.trace(S) + np.finfo(float).tiny
    return S
