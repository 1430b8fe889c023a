r"""Proof that a hard margin has no solution.

By a theorem of the alternative, exactly one of these exists: a predictor with
:math:`y_n f(x_n) > 0` for all :math:`n`, or weights :math:`a \ge 0`, :math:`\sum_n a_n = 1`,
with :math:`V_h(a) = 0` in every unit. A dual method that runs off along a ray has nearly found
the second; here the ray is sharpened to rounding accuracy.

What vanishes up to rounding is no proof yet. Inputs that are collinear but for 1e-13 are separated
by weights of 1e13, and no double can tell their combination from one that vanishes. So the
combination is carried on in twice the digits. Only where it vanishes in these it is certain, and
else a predictor is sought by a linear program, which finds all that weights in double precision
express.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve, lstsq

from gnorm.solvers.accurate import UNIT, accurate_sums, two_sum
from gnorm.solvers.pairs import paired
from gnorm.solvers.problem import Problem
from gnorm.solvers.separation import gated_features, is_small, separation
from gnorm.solvers.solution import NotSeparableError

__all__ = ["CANCELLATION", "PROOF", "is_proof", "raise_if_not_separable"]

PROOF = 1e-11  # separability residual that is accepted as proof
# A proof must hold feature by feature: none, however small beside the others, keeps more than this.
CANCELLATION = 1e-8
_MAX_CORRECTIONS = 20  # each wins digits until rounding ends it; a few do
_PROGRESS = 0.9  # factor of the residual that is worth another
# Where samples without features are the proof, the others are corrected away, never to zero; what
# is left of them does not cancel, and its squares leave the range of floats.
_NOTHING = 1e-100
_CERTAIN = 1e-2 * UNIT  # share of a feature that no predictor in double precision can live on
_MOST_STEPS = 1e9  # of a decomposition up to which features are taken side by side
_RANK = 1e-13  # of singular values, relative: below it they may be rounding errors


def raise_if_not_separable(
    problem: Problem, b: np.ndarray, tol: float, limit: float = np.inf
) -> None:
    r"""Raise if a dual point can be sharpened to a certificate of inseparability.

    Parameters
    ----------
    problem : Problem
        The problem; samples with a finite weight cannot take part in a certificate.
    b : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Dual point with a small :meth:`Problem.separability_residual`.
    tol : float
        Largest residual accepted as proof.
    limit : float, default=inf
        Bytes that it may take.

    Raises
    ------
    NotSeparableError
        With the certificate, if its residual is at most ``tol`` and every feature cancels: a
        feature of small scale may well be the one that separates.
    """
    if problem.n_outputs > 1:
        pairs = paired(problem)
        try:
            raise_if_not_separable(pairs.problem, pairs.margins(b), tol, limit)
        except NotSeparableError as error:
            raise pairs.proof(error) from None
        return
    ray = np.where(problem.is_hard, b, 0.0)
    lengths = np.abs(ray)
    # A ray may still carry samples that are leaving it: try its heavy part first.
    for share in (1e-2, 1e-4, 1e-6, 0.0):
        heavy = np.where(lengths > share * lengths.max(), ray, 0.0)
        if heavy.any():
            candidate, residual = _sharpen(problem, heavy / np.abs(heavy).sum())
            if residual <= tol and is_proof(problem, candidate, limit):
                raise NotSeparableError(np.abs(candidate), residual)


def is_proof(problem: Problem, b: np.ndarray, limit: float = np.inf) -> bool:
    """Whether a combination of samples that vanishes up to rounding proves them inseparable.

    Parameters
    ----------
    problem : Problem
        The problem.
    b : ndarray of shape (n_samples,)
        The combination.
    limit : float, default=inf
        Bytes that it may take.

    Returns
    -------
    bool
        True if it vanishes in twice the digits after a change of the last ones, or if every feature
        cancels and no predictor in double precision separates the samples involved; these are not
        looked at where they and their features are many, or memory is short.
    """
    if problem.design.cancellation(b) > CANCELLATION:
        return False
    on = np.flatnonzero(b)
    part = problem.restricted(on)
    return _vanishes(part, b[on], limit) or separation(part, limit)[0] is None


def _vanishes(problem: Problem, b: np.ndarray, limit: float) -> bool:
    """Whether corrections in the last digits make features vanish in twice the digits."""
    design = problem.design
    mass = design.gating.sums(abs(design.X), np.abs(b))
    high, low, before = b, np.zeros(len(b)), np.inf
    for _ in range(_MAX_CORRECTIONS):
        V = accurate_sums(design, high)[0] + accurate_sums(design, low)[0]
        share = np.divide(V, mass, out=np.zeros_like(V), where=mass > 0)
        left = float(np.max(np.abs(share)))
        if left <= _CERTAIN:
            return True
        if left > 0.5 * before:
            return False
        change = _fine_correction(problem, high, V, mass, limit)
        if np.max(np.abs(change)) > 0.5:  # a combination of nothing always vanishes
            return False
        high, rounded = two_sum(high, -high * change)
        low, before = low + rounded, left
    return False


def _fine_correction(
    problem: Problem, b: np.ndarray, V: np.ndarray, mass: np.ndarray, limit: float
) -> np.ndarray:
    """Solve for s as :func:`_correction` does, feature by feature in the unit of its terms."""
    design = problem.design
    n_samples, n_features = len(b), design.n_gates * design.n_features
    n_entries = n_samples * n_features
    if not is_small(n_entries, limit) or n_entries * min(n_samples, n_features) > _MOST_STEPS:
        return _correction(problem, b, np.arange(n_samples), V)
    V, mass = V.ravel(), mass.ravel()
    kept = mass > 0
    terms = gated_features(design)[:, kept] * b[:, None] / mass[kept]
    found = lstsq(terms.T, V[kept] / mass[kept], cond=_RANK)[0]
    return np.asarray(found)


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
        V = problem.design.sums(b)
        corrected[on] *= np.maximum(0.0, 1.0 - _correction(problem, b, on, V))
        if not corrected.any():
            break
        corrected /= np.abs(corrected).sum()
        corrected[np.abs(corrected) < _NOTHING] = 0.0
        corrected_residual = problem.separability_residual(corrected)
        if not corrected_residual < _PROGRESS * residual:
            break
        b, residual = corrected, corrected_residual
    return b, residual


def _correction(problem: Problem, b: np.ndarray, on: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Solve for s on the samples with b != 0, on the side of the smaller Gram matrix."""
    design = problem.design
    if len(on) <= design.n_coded_features:
        part = design.restricted(on)
        S = part.weighted_gram(np.ones(design.n_kernels), np.float64) * np.outer(b[on], b[on])
        target = b[on] * design.products_of(V).sum(axis=1)[on]
        return cho_solve(cho_factor(_regularised(S), lower=True), target)
    S, coded = _regularised(design.feature_gram(b**2)), design.coded_features
    return b[on] * coded.values(cho_solve(cho_factor(S, lower=True), coded.of(V)))[on]


def _regularised(S: np.ndarray) -> np.ndarray:
    S[np.diag_indices_from(S)] += 1e-13 * np.trace(S) + np.finfo(float).tiny
    return S
