r"""Neurons of many features: local maxima of :math:`|h|` that are found, and bounds that hold.

Over the sphere of many features the arrangement has too many cells to walk. A local
maximum is then a neuron worth adding and no more than that: what the certificate takes is the bound
of :mod:`gnorm.relu.bounds`, which holds for all neurons.
"""

from __future__ import annotations

import numpy as np

from gnorm.relu.bounds import branch_and_bound, relaxation
from gnorm.relu.oracle import Found, distinct
from gnorm.relu.reduction import merged

__all__ = ["Ascent", "ascend", "circle_maximum"]

_N_STARTS = 20  # random starts of a search, for each sign
_N_KEPT = 40  # neurons of earlier searches from which the next ones start
_MOST_STEPS = 60  # circles along which an ascent goes
_ON = 1e-9  # inner product, relative to the sample, that counts as zero
_FLAT = 1e-10  # gradient along a face, relative, that counts as none
_STEEP = 1e-4  # ... from which on the circle along it is sure to gain
_GAIN = 1e-12  # relative gain of a circle that counts


class Ascent:
    """Search by ascent from many starts, with an upper bound over the sphere.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    is_branching : bool
        Whether a sharp bound is sought by branch and bound.
    random_state : int
        Seed of the starts.
    """

    is_exact = False

    def __init__(self, X: np.ndarray, is_branching: bool, random_state: int) -> None:
        self.X = X
        self.lengths = np.linalg.norm(X, axis=1)
        self.rng = np.random.default_rng(random_state)
        self.is_branching = is_branching
        self.earlier = np.empty((0, X.shape[1]))

    def find(self, b: np.ndarray, least: float = 0.0, most: int = 50) -> Found:
        r"""Local maxima of :math:`|h|`, the largest first, and the bound of a relaxation.

        Parameters
        ----------
        b : ndarray of shape (n_samples,)
            Dual coefficients.
        least : float, default=0.0
            Value below which local maxima are of no interest.
        most : int, default=50
            How many to return.

        Returns
        -------
        Found
            The largest that was found, others above `least`, and the bound.
        """
        U = np.concatenate([self._of_sign(b, sign) for sign in (1.0, -1.0)])
        values = np.maximum(U @ self.X.T, 0.0) @ b
        order = np.argsort(-np.abs(values), kind="stable")
        order = order[: max(1, int(np.sum(np.abs(values) > least)))]
        chosen = distinct(U, order, most)
        self.earlier = np.concatenate((U[chosen], self.earlier))[:_N_KEPT]
        bound = max(relaxation(self.X, b), float(np.abs(values[order[0]])))
        return Found(U[chosen], values[chosen], bound)

    def sharpened(self, b: np.ndarray, found: Found, precision: float) -> Found:
        """Branch and bound; larger values that come by are ascended from and come first."""
        if not self.is_branching:
            return found
        bound, met = branch_and_bound(self.X, b, float(np.abs(found.values[0])), precision)
        U = np.array([self._ascend(b, u, sign) for u, sign in met]).reshape(-1, self.X.shape[1])
        values = np.maximum(U @ self.X.T, 0.0) @ b
        U, values = np.concatenate((U, found.neurons)), np.concatenate((values, found.values))
        order = np.argsort(-np.abs(values), kind="stable")
        bound = max(min(bound, found.bound), float(np.abs(values[order[0]])))
        return Found(U[order], values[order], bound)

    def unit(self, U: np.ndarray) -> np.ndarray:
        """Unit vectors of the rows."""
        return U / np.linalg.norm(U, axis=1, keepdims=True)

    def merged(self, neurons: np.ndarray, coefs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Merge neurons of the same cell, see :func:`gnorm.relu.reduction.merged`."""
        return merged(self.X, neurons, coefs)

    def _of_sign(self, b: np.ndarray, sign: float) -> np.ndarray:
        starts = np.concatenate(
            (
                self.earlier,
                self.rng.normal(size=(_N_STARTS, self.X.shape[1])),
                [sign * b @ self.X, np.maximum(sign * b, 0.0) @ self.X],
            )
        )
        lengths = np.linalg.norm(starts, axis=1)
        starts = starts[lengths > 0] / lengths[lengths > 0, None]
        return np.array([self._ascend(b, u, sign) for u in starts])

    def _ascend(self, b: np.ndarray, u: np.ndarray, sign: float) -> np.ndarray:
        on = b != 0
        if not on.any():
            return u
        return ascend(self.X[on], sign * b[on], u, self.lengths[on])


def ascend(
    X: np.ndarray, b: np.ndarray, u: np.ndarray, lengths: np.ndarray | None = None
) -> np.ndarray:
    r"""Ascend :math:`h(u) = \sum_n b_n (x_n \cdot u)_+` on the unit sphere.

    Each step maximises h over a whole great circle: along the gradient inside the face on which u
    lies, or off one of the ridges that hold it there, where the multipliers of the ridges say so.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    b : ndarray of shape (n_samples,)
        Coefficients.
    u : ndarray of shape (n_features,)
        Unit vector to start from.
    lengths : ndarray of shape (n_samples,), default=None
        Lengths of the samples.

    Returns
    -------
    ndarray of shape (n_features,)
        Unit vector of no smaller value. Leaving a single ridge or valley gains nothing there; where
        several meet it may be short of a local maximum.
    """
    lengths = np.linalg.norm(X, axis=1) if lengths is None else lengths
    z = X @ u
    value = float(b @ np.maximum(z, 0.0))
    for _ in range(_MOST_STEPS):
        for direction in _directions(X, b, u, z, lengths):
            y = X @ direction
            angle, reached = circle_maximum(z, y, b)
            if reached > value + _GAIN * abs(value):
                u = np.cos(angle) * u + np.sin(angle) * direction
                u = u / np.linalg.norm(u)
                z = X @ u
                value = float(b @ np.maximum(z, 0.0))
                break
        else:
            break
    return u


def _directions(
    X: np.ndarray, b: np.ndarray, u: np.ndarray, z: np.ndarray, lengths: np.ndarray
) -> list[np.ndarray]:
    """Tangents worth a circle, best first: inside the face, else off each ridge that pushes."""
    is_on = np.abs(z) <= _ON * lengths
    ridges = np.flatnonzero(is_on & (b < 0))
    V = b[(z > 0) & ~is_on] @ X[(z > 0) & ~is_on]
    scale = float(np.linalg.norm(V)) or 1.0
    along, multipliers = _inside(V, u, X[ridges])
    steepness = float(np.linalg.norm(along))
    directions = [along / steepness] if steepness > _FLAT * scale else []
    if steepness > _STEEP * scale:
        return directions
    # at rest on its face: a multiplier outside of [0, -b] leaves the face on the side where it is
    excess = np.maximum(-multipliers, multipliers + b[ridges]) * lengths[ridges]
    for i in np.argsort(-excess, kind="stable").tolist():
        if excess[i] <= _FLAT * scale:
            break
        opened = V + (b[ridges[i]] * X[ridges[i]] if multipliers[i] > 0 else 0.0)
        off, _ = _inside(opened, u, X[np.delete(ridges, i)])
        if np.linalg.norm(off) > _FLAT * scale:
            directions.append(off / np.linalg.norm(off))
    # a valley rises on both sides
    for i in np.flatnonzero(is_on & (b > 0)).tolist():
        off, _ = _inside(V + b[i] * X[i], u, X[ridges])
        if np.linalg.norm(off) > _FLAT * scale:
            directions.append(off / np.linalg.norm(off))
    return directions


def _inside(V: np.ndarray, u: np.ndarray, G: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part of V orthogonal to u and to the rows of G, and the multipliers of these rows."""
    tangent = V - (V @ u) * u
    if len(G) == 0:
        return tangent, np.empty(0)
    multipliers = np.linalg.lstsq(G.T, tangent, rcond=None)[0]
    rest = tangent - multipliers @ G
    return rest - (rest @ u) * u, multipliers


def circle_maximum(z: np.ndarray, y: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    r"""Maximise :math:`\sum_n b_n (z_n \cos t + y_n \sin t)_+` over all angles t, exactly.

    Parameters
    ----------
    z, y : ndarray of shape (n_samples,)
        Coordinates of the samples in the plane.
    b : ndarray of shape (n_samples,)
        Coefficients.

    Returns
    -------
    angle, value : float
        The maximiser in [0, 2 pi) and the maximum.
    """
    turn = 2.0 * np.pi
    middle = np.arctan2(y, z)
    events = np.concatenate((middle - np.pi / 2, middle + np.pi / 2)) % turn
    order = np.argsort(events)
    events = events[order]
    is_active = (z > 0) | ((z == 0) & (y > 0))
    jumps = np.concatenate((b, -b))[order]
    bz, by = b * z, b * y
    A = bz[is_active].sum() + np.cumsum(jumps * np.concatenate((z, z))[order])
    B = by[is_active].sum() + np.cumsum(jumps * np.concatenate((y, y))[order])
    corners = A * np.cos(events) + B * np.sin(events)
    widths = np.diff(np.append(events, events[0] + turn))
    tops = np.arctan2(B, A)
    is_inside = (tops - events) % turn < widths
    heights = np.where(is_inside, np.hypot(A, B), -np.inf)
    corner, top = int(np.argmax(corners)), int(np.argmax(heights))
    if heights[top] > corners[corner]:
        return float(tops[top] % turn), float(heights[top])
    return float(events[corner]), float(corners[corner])
