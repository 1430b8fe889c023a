"""Fewer neurons of the same outputs and no larger norm."""

from __future__ import annotations

import numpy as np

__all__ = ["folded", "merged", "reduced"]

_ZERO = 1e-11  # inner product, relative to the sample, that counts as zero in a merge
_OPPOSITE = 1e-7  # distance of a neuron from the opposite of another below which it is that


def folded(
    neurons: np.ndarray, coefs: np.ndarray, linear: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Write opposite neurons of the same sign as one and a linear function.

    .. math:: c (u \cdot x)_+ + c' (- u \cdot x)_+ = (c + c') (u \cdot x)_+ - c' u \cdot x

    Parameters
    ----------
    neurons : ndarray of shape (n_neurons, n_features)
        Neurons.
    coefs : ndarray of shape (n_neurons,)
        Coefficients.
    linear : ndarray of shape (n_features,)
        Linear function beside them.

    Returns
    -------
    neurons, coefs, linear : ndarray
        As few or fewer neurons, of the same sum of absolute coefficients.
    """
    coefs, linear, kept = coefs.copy(), linear.copy(), np.ones(len(coefs), dtype=bool)
    for j in range(len(coefs)):
        apart = np.sum((neurons[:j] + neurons[j]) ** 2, axis=1)
        is_pair = (apart < _OPPOSITE**2) & kept[:j] & (coefs[:j] * coefs[j] > 0)
        for i in np.flatnonzero(is_pair)[:1].tolist():
            coefs[i] += coefs[j]
            linear += coefs[j] * neurons[j]
            kept[j] = False
    return neurons[kept], coefs[kept], linear


def merged(X: np.ndarray, neurons: np.ndarray, coefs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Merge neurons of the same sign that are active on the same samples.

    In a cell of the arrangement, its boundary included, :math:`c (x \cdot u)_+` is linear in
    :math:`c u`: neurons become the direction of their sum, with its length as coefficient, which
    is at most theirs. The function on the samples is the same.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    neurons : ndarray of shape (n_neurons, n_features)
        Unit vectors.
    coefs : ndarray of shape (n_neurons,)
        Coefficients other than zero.

    Returns
    -------
    neurons, coefs : ndarray
        As few or fewer.
    """
    length = np.linalg.norm(X, axis=1)
    heights = X @ neurons.T
    sides = (heights > _ZERO * length[:, None]).astype(np.int8)
    sides -= heights < -_ZERO * length[:, None]
    vectors = neurons * np.abs(coefs)[:, None]
    signs = np.sign(coefs)
    together, out_sides, out_signs = (
        np.zeros_like(vectors),
        np.zeros_like(sides),
        np.zeros(len(signs)),
    )
    n_out = 0
    for j in np.argsort(-np.abs(coefs), kind="stable").tolist():
        meets = np.min(out_sides[:, :n_out] * sides[:, j, None], axis=0, initial=0) >= 0
        fits = np.flatnonzero(meets & (out_signs[:n_out] == signs[j]))
        k = int(fits[0]) if len(fits) else n_out
        n_out = max(n_out, k + 1)
        together[k] += vectors[j]
        out_sides[:, k] = np.where(out_sides[:, k] == 0, sides[:, j], out_sides[:, k])
        out_signs[k] = signs[j]
    sizes = np.linalg.norm(together, axis=1)
    kept = sizes > 0
    return together[kept] / sizes[kept, None], (out_signs * sizes)[kept]


def reduced(X: np.ndarray, neurons: np.ndarray, coefs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reduce to at most as many neurons as samples, of the same outputs and no larger norm.

    More columns than samples are linearly dependent: coefficients can move along a dependence that
    does not add to their norm, until one of them is zero.
    """
    n_samples = len(X)
    while len(coefs) > n_samples:
        some = np.argsort(np.abs(coefs))[: n_samples + 1]
        A = np.maximum(X @ neurons[some].T, 0.0)
        along = np.linalg.svd(A)[2][-1]
        if along @ np.sign(coefs[some]) > 0:
            along = -along
        against = along * coefs[some] < 0
        if not against.any():
            break
        steps = np.where(against, -coefs[some] / np.where(against, along, 1.0), np.inf)
        first = int(np.argmin(steps))
        coefs = coefs.copy()
        coefs[some] += steps[first] * along
        kept = np.arange(len(coefs)) != some[first]
        neurons, coefs = neurons[kept], coefs[kept]
    return neurons, coefs
