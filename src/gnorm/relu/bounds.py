r"""Upper bounds of :math:`|h(u)|`, :math:`h(u) = \sum_n b_n (x_n \cdot u)_+`, over the unit sphere.

Both hold for every u, and neither needs a search to have found the maximum.

**Relaxation.** With :math:`(z)_+ = \tfrac12 (z + |z|)` and any :math:`c_n > 0`

.. math::

    |z_n| \le \frac{z_n^2}{2 c_n} + \frac{c_n}{2}, \qquad -|z_n| \le - \frac{z_n^2}{\|x_n\|},

so that h is at most a quadratic function, whose maximum over the sphere is known. The best c solves
a convex problem, whose dual mixes second moments :math:`U = \sum_k w_k u_k u_k^\top` and takes
:math:`c_n^2 = x_n^\top U x_n`; a few Frank-Wolfe steps come near. Equal c give
:math:`\tfrac12 \|\sum_n b_n x_n\| + \tfrac12 \sqrt{\sum_{b_n > 0} b_n \,
\lambda_{\max}(\sum_{b_n > 0} b_n x_n x_n^\top)}` at most.

**Branch and bound.** On the cone of D unit vectors :math:`v_i` every u is
:math:`\sum_i \lambda_i v_i`, :math:`\lambda \ge 0`. There :math:`b_n (x_n \cdot u)_+ \le \sum_i
\lambda_i b_n (x_n \cdot v_i)_+` for :math:`b_n > 0`, by convexity, and for :math:`b_n < 0` both 0
and :math:`b_n x_n \cdot u` are above. So :math:`h(u) \le \ell \cdot \lambda = L \cdot u`, at most
:math:`\|L\|` and at most :math:`\max_i \ell_i` times the largest :math:`\sum_i \lambda_i`. Both are
wrong by the square of the width of the cone, and its longest edge is cut in half where they are
above what is attained.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

__all__ = ["branch_and_bound", "relaxation"]

_N_STEPS = 30  # Frank-Wolfe steps of a relaxation
_CUSHION = 1e-12  # relative, for the rounding of a bound
_MOST_FEATURES = 6  # beyond, the cones allowed leave the bound wider than the relaxation does
_MOST_CONES = 500_000  # of one bound
_AT_A_TIME = 1000  # cones that are cut at once: enough that numpy's calls cost little beside them
_ON = 1e-12  # height of an edge of a cone that counts as on the hyperplane of a sample
_ENTRIES = 4_000_000  # products of cones and samples at a time


def relaxation(X: np.ndarray, b: np.ndarray) -> float:
    r"""Upper bound of :math:`|h|` by quadratic functions.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    b : ndarray of shape (n_samples,)
        Coefficients.

    Returns
    -------
    float
        The bound.
    """
    on = (b != 0) & X.any(axis=1)
    if not on.any():
        return 0.0
    return max(_of_sign(X[on], b[on]), _of_sign(X[on], -b[on])) * (1.0 + _CUSHION)


def _of_sign(X: np.ndarray, b: np.ndarray) -> float:
    linear = 0.5 * b @ X
    up = b > 0
    P, weights = X[up], b[up]
    N = X[~up] * np.sqrt(-0.5 * b[~up] / np.linalg.norm(X[~up], axis=1))[:, None]
    below = N.T @ N
    if not up.any():
        return max(_quadratic(linear, -below)[0], 0.0)
    _, vectors = np.linalg.eigh((P * weights[:, None]).T @ P)
    moment = np.outer(vectors[:, -1], vectors[:, -1])
    best = np.inf
    floor = 1e-6 * np.linalg.norm(P, axis=1)
    for k in range(_N_STEPS):
        c = np.sqrt(np.maximum(np.einsum("nd,de,ne->n", P, moment, P, optimize=True), floor**2))
        curved = (P * (0.25 * weights / c)[:, None]).T @ P - below
        value, u = _quadratic(linear, curved)
        best = min(best, value + 0.25 * float(weights @ c))
        share = 2.0 / (k + 3.0)
        moment = (1.0 - share) * moment + share * np.outer(u, u)
    return max(best, 0.0)


def _quadratic(g: np.ndarray, M: np.ndarray) -> tuple[float, np.ndarray]:
    r"""Upper bound of :math:`g \cdot u + u^\top M u` over the unit sphere, and where it is.

    For every :math:`\mu > \lambda_{\max}(M)` a bound is :math:`\mu + \tfrac14 g^\top (\mu - M)^{-1}
    g`, the smallest of which is the maximum.
    """
    values, vectors = np.linalg.eigh(M)
    h = vectors.T @ g
    top = float(values[-1])
    length = float(np.linalg.norm(g))
    scale = float(np.max(np.abs(values))) + length
    if scale == 0.0:
        return 0.0, vectors[:, -1]

    def bound(log_shift: float) -> float:
        mu = top + np.exp(log_shift)
        return float(mu + 0.25 * np.sum(h * h / (mu - values)))

    low, high = np.log(1e-12 * scale), np.log(scale)
    found = minimize_scalar(bound, bounds=(low, high), method="bounded", options={"xatol": 1e-9})
    u = vectors @ (0.5 * h / (top + np.exp(found.x) - values))
    missing = 1.0 - float(u @ u)
    if missing > 0:  # the eigenvector of the top makes up for it
        side = np.sign(u @ vectors[:, -1]) or 1.0
        u = u + side * np.sqrt(missing) * vectors[:, -1]
    return float(found.fun), u / np.linalg.norm(u)


def branch_and_bound(
    X: np.ndarray, b: np.ndarray, attained: float, precision: float
) -> tuple[float, list[tuple[np.ndarray, float]]]:
    r"""Upper bound of :math:`|h|` over the cones of the sphere.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    b : ndarray of shape (n_samples,)
        Coefficients.
    attained : float
        A value of :math:`|h|` that is attained.
    precision : float
        How close to what is attained the bound is to come, relative.

    Returns
    -------
    bound : float
        The bound; infinite for more features than cones can be cut for.
    better : list of tuple
        Unit vectors of larger values that came by, with the sign of h.
    """
    if X.shape[1] > _MOST_FEATURES:
        return np.inf, []
    on = b != 0
    better, bound, left = [], attained, _MOST_CONES
    for sign in (1.0, -1.0):
        reached, u, above, used = _one_sign(X[on], sign * b[on], attained, precision, left)
        left -= used
        bound = max(bound, above)
        if u is not None and reached > attained:
            attained = reached
            better.append((u, sign))
    return bound * (1.0 + _CUSHION), better


def _one_sign(
    X: np.ndarray, b: np.ndarray, attained: float, precision: float, most: int
) -> tuple[float, np.ndarray | None, float, int]:
    """Bound h; return the largest value met, where, the bound, and the cones it took."""
    n_features = X.shape[1]
    signs = 2.0 * ((np.arange(2**n_features)[:, None] >> np.arange(n_features)) & 1) - 1.0
    fresh = signs[:, :, None] * np.eye(n_features)
    cones, bounds = np.empty((0, n_features, n_features)), np.empty(0)
    best, where, settled, n_used = attained, None, 0.0, 0
    while True:
        fresh_bounds, values = _cone_bounds(X, b, fresh)
        n_used += len(fresh)
        k, i = np.unravel_index(int(np.argmax(values)), values.shape)
        if values[k, i] > best:
            best, where = float(values[k, i]), fresh[k, i]
        cones = np.concatenate((cones, fresh))
        bounds = np.concatenate((bounds, fresh_bounds))
        is_open = bounds > best * (1.0 + precision)
        settled = max(settled, float(np.max(bounds[~is_open], initial=0.0)))
        cones, bounds = cones[is_open], bounds[is_open]
        if len(cones) == 0 or n_used >= most:
            return best, where, max(settled, float(np.max(bounds, initial=0.0))), n_used
        size = min(_AT_A_TIME, len(cones))
        order = np.argpartition(-bounds, size - 1)
        fresh = _halved(X, b, cones[order[:size]])
        cones, bounds = cones[order[size:]], bounds[order[size:]]


def _cut(cones: np.ndarray, ends: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Cut each cone in two through a point of one of its edges."""
    rows = np.arange(len(cones))
    first, second = cones.copy(), cones.copy()
    first[rows, ends[0]] = middle
    second[rows, ends[1]] = middle
    return np.concatenate((first, second))


def _halved(X: np.ndarray, b: np.ndarray, cones: np.ndarray) -> np.ndarray:
    """Cut each cone where a sample changes sides, else in the middle of its longest edge.

    A sample on one side of a cone adds nothing to the error of its bound. The one that may add most
    is cut off first; the width of the cone is next where that adds more.
    """
    n_features = cones.shape[1]
    rows = np.arange(len(cones))
    gram = np.einsum("nid,njd->nij", cones, cones)
    gram[:, np.arange(n_features), np.arange(n_features)] = 2.0
    flat = np.argmin(gram.reshape(len(cones), -1), axis=1)
    ends = np.array(np.unravel_index(flat, gram.shape[1:]))
    Z = cones @ X.T
    above, below = np.max(Z, axis=1), np.max(-Z, axis=1)
    errors = np.abs(b) * above * below / np.maximum(above + below, 1e-300)
    errors[(above <= _ON) | (below <= _ON)] = 0.0
    worst = np.argmax(errors, axis=1)
    width = (1.0 - gram[rows, ends[0], ends[1]]) * np.max(np.maximum(Z, 0.0) @ b, axis=1)
    heights = Z[rows, :, worst]
    is_cut = errors[rows, worst] > np.maximum(width, 0.0)
    ends = np.where(is_cut, (np.argmax(heights, axis=1), np.argmin(heights, axis=1)), ends)
    shares = np.where(is_cut, np.abs(heights[rows, ends[::-1]]), 1.0)
    middle = np.einsum("in,ind->nd", shares, cones[rows, ends])
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    return _cut(cones, ends, middle)


def _cone_bounds(X: np.ndarray, b: np.ndarray, cones: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper bound of h on each cone, and its values at their edges."""
    n_features = cones.shape[1]
    up = b > 0
    bounds, values = np.empty(len(cones)), np.empty(cones.shape[:2])
    n_rows = max(1, _ENTRIES // (max(1, len(b)) * n_features))
    for start in range(0, len(cones), n_rows):
        block = slice(start, start + n_rows)
        part = cones[block]
        Z = part @ X.T
        positive = np.maximum(Z, 0.0)
        values[block] = positive @ b
        heights = positive[:, :, up] @ b[up]
        below = Z[:, :, ~up]
        # the nearer of 0 and the line, over the edges of the cone
        is_line = np.sum(np.abs(below), axis=1) < 2.0 * np.sum(positive[:, :, ~up], axis=1)
        heights += np.where(is_line[:, None, :], below, 0.0) @ b[~up]
        L = np.linalg.solve(part, heights[:, :, None])[:, :, 0]
        gram = np.einsum("nid,njd->nij", part, part)
        least = np.min(gram.reshape(len(part), -1), axis=1)
        nearest = np.maximum(least + (1.0 - least) / n_features, 1e-300)
        flat = np.maximum(np.max(heights, axis=1), 0.0) / np.sqrt(nearest)
        # what rounding lost where the edges are nearly dependent
        lost = heights - np.einsum("nid,nd->ni", part, L)
        length = np.linalg.norm(L, axis=1) + np.max(np.maximum(lost, 0.0), axis=1) / np.sqrt(
            nearest
        )
        bounds[block] = np.fmin(length, flat)
    return bounds, values
