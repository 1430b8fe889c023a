r"""The largest value over all neurons, exactly: one walk along the arrangement of the samples.

The dual norm of the two-layer ReLU network is the largest :math:`|h(u)|` over the unit sphere,

.. math:: h(u) = \sum_n b_n (x_n \cdot u)_+ = \sum_g w_g (g \cdot u)_+ + q \cdot u,

where the second sum has one unit normal :math:`g` for each line through a sample and the origin:
:math:`(-z)_+ = (z)_+ - z` folds opposite samples onto one normal and leaves a linear part. The
great spheres :math:`g \cdot u = 0` cut the unit sphere into cells on which :math:`h` is linear,
:math:`V \cdot u`. A local maximum is the direction of :math:`V` inside a cell, or that of its
projection inside a face, or a vertex. In two dimensions the cells are arcs between sorted angles,
:math:`O(N \log N)`. In three every cell has an edge on some great circle, and walking along each
circle in the order of its crossings, with the running sum of what opens and closes there, visits
all cells, edges and vertices in :math:`O(N^2)`. Orders and coordinates depend on the samples
alone and are kept. Four dimensions have a module of their own, :mod:`gnorm.relu.space`.

All candidates are evaluated once more by the definition of :math:`h`, so that a value that is
reported is attained, and the largest with an allowance for rounding is a bound; the candidates of
degenerate arrangements (crossings in one point) are only more than needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from gnorm.relu.reduction import merged

__all__ = [
    "BLOCK",
    "ROUNDING",
    "SLACK",
    "STATIC_COPIES",
    "Circle",
    "Found",
    "Lines",
    "Oracle",
    "Point",
    "Sphere",
    "crossing_angles",
    "distinct",
    "principal_axes",
]

_PARALLEL = 1e-13  # sine of the angle below which two samples are on one line
SLACK = 1e-12  # relative, in the tests of local maxima: rounding may not lose one
# Of h, relative to the sum of |b_n| |x_n|: found were up to 4e-15, where one feature is 1e8 times
# the others and cancels in h.
ROUNDING = 1e-14
BLOCK = 50_000  # crossings that are walked at a time: what is made of them stays in the cache
_FEW = 256  # neurons that are evaluated at a time: their activations stay in the cache
STATIC_COPIES = 7.5  # arrays of the size of all crossings that are kept
# Spacing of the grid on which directions count as one: of the cloud of vertices around a maximum
# few bring anything. Without it the row hard-500 of benchmarks/bench_relu.py takes twice as long.
_SAME = 1e-3


def principal_axes(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal axes of the span of samples, and the sizes of these along each.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.

    Returns
    -------
    sizes : ndarray of shape (rank,)
        Singular values above what rounding may make of zero, the largest first.
    axes : ndarray of shape (rank, n_features)
        Right singular vectors.
    """
    _, sizes, axes = np.linalg.svd(X, full_matrices=False)
    kept = sizes > sizes[0] * max(X.shape) * np.finfo(float).eps
    return sizes[kept], axes[kept]


class Found(NamedTuple):
    """Local maxima of :math:`|h|`, the largest first.

    Attributes
    ----------
    neurons : ndarray of shape (n_found, n_features)
        Unit vectors u.
    values : ndarray of shape (n_found,)
        :math:`h(u)`, signed.
    bound : float
        Upper bound of :math:`|h|` over the sphere; where the oracle is exact the first value, with
        an allowance for rounding.
    """

    neurons: np.ndarray
    values: np.ndarray
    bound: float

    @property
    def largest(self) -> float:
        """Largest value found, 0 where there is none."""
        return float(np.max(np.abs(self.values), initial=0.0))


class Lines:
    r"""The lines of the samples, and :math:`h` as a sum over them.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.

    Attributes
    ----------
    normals : ndarray of shape (n_lines, n_features)
        Unit vectors g.
    line : ndarray of int, shape (n_samples,)
        Line of each sample, -1 for a sample of zeros.
    length : ndarray of shape (n_samples,)
        :math:`\|x_n\|`, negative for a sample that points away from its normal.
    """

    def __init__(self, X: np.ndarray) -> None:
        self.X = X
        length = np.linalg.norm(X, axis=1)
        kept = np.flatnonzero(length > 0)
        unit = X[kept] / length[kept, None]
        # the half-space of the normals: the first entry that is not nearly zero is positive
        first = np.argmax(np.abs(unit) > 1e-8, axis=1)
        sign = np.sign(unit[np.arange(len(unit)), first])
        folded = unit * sign[:, None]
        order = np.lexsort(np.round(folded, 9).T)
        steps = np.abs(np.diff(folded[order], axis=0)).max(axis=1, initial=0.0)
        ids = np.concatenate(([0], np.cumsum(steps > _PARALLEL))) if len(kept) else np.empty(0, int)
        self.line = np.full(len(X), -1)
        self.line[kept[order]] = ids
        self.length = np.zeros(len(X))
        self.length[kept] = sign * length[kept]
        _, representatives = np.unique(ids, return_index=True)
        self.normals: np.ndarray = folded[order[representatives]]

    def folded(self, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights :math:`w_g` of the lines and the linear part :math:`q`."""
        on = self.line >= 0
        weights = np.bincount(
            self.line[on], b[on] * np.abs(self.length[on]), minlength=len(self.normals)
        )
        away = self.length < 0
        return weights, b[away] @ self.X[away]

    def values(self, b: np.ndarray, U: np.ndarray) -> np.ndarray:
        """:math:`h(u)` by its definition, for rows u."""
        on = np.flatnonzero(b)
        values = np.empty(len(U))
        for first in range(0, len(U), _FEW):
            block = slice(first, first + _FEW)
            values[block] = b[on] @ np.maximum(self.X[on] @ U[block].T, 0.0)
        return values


class Oracle(ABC):
    """Largest :math:`|h|` over the sphere, and further local maxima."""

    is_exact = True

    def __init__(self, X: np.ndarray) -> None:
        self.lines = Lines(X)

    @abstractmethod
    def candidates(self, b: np.ndarray, least: float) -> np.ndarray:
        r"""Unit vectors among which are all local maxima of :math:`|h|` above `least`."""

    def find(self, b: np.ndarray, least: float = 0.0, most: int = 50) -> Found:
        r"""Maximise :math:`|h|`.

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
            The largest, and up to ``most - 1`` other local maxima.
        """
        U = self.candidates(b, least)
        if len(U) == 0:  # all below: any direction will do
            U = np.eye(self.lines.X.shape[1])
        values = self.lines.values(b, U)
        order = np.argsort(-np.abs(values), kind="stable")
        chosen = distinct(U, order, most)
        rounding = ROUNDING * float(np.abs(b) @ np.abs(self.lines.length))
        bound = max(least, float(np.abs(values[order[0]]))) + rounding
        return Found(U[chosen], values[chosen], bound)

    def sharpened(self, b: np.ndarray, found: Found, precision: float) -> Found:
        """Return what was found: its bound is exact."""
        _ = b, precision
        return found

    def unit(self, U: np.ndarray) -> np.ndarray:
        """Unit vectors of the rows."""
        return U / np.linalg.norm(U, axis=1, keepdims=True)

    def merged(self, neurons: np.ndarray, coefs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Merge neurons of the same cell, see :func:`gnorm.relu.reduction.merged`."""
        return merged(self.lines.X, neurons, coefs)


def distinct(U: np.ndarray, order: np.ndarray, most: int, apart: float = _SAME) -> np.ndarray:
    """The first `most` of an order of unit vectors that differ on a grid of spacing `apart`."""
    some = order[: 20 * most]
    _, first = np.unique(np.round(U[some] / apart), axis=0, return_index=True)
    chosen: np.ndarray = some[np.sort(first)[:most]]
    return chosen


def crossing_angles(p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Where :math:`(\cos a, \sin a)` crosses the lines :math:`p \cos a + q \sin a = 0`.

    Parameters
    ----------
    p, q : ndarray of the same shape
        Normals of the lines.

    Returns
    -------
    angle : ndarray
        Angles :math:`0 \le a \le \pi`; half a turn on there is another crossing.
    enters : ndarray of bool
        Whether the sum turns positive there.
    """
    angle = np.arctan2(-p, q)
    enters = (angle >= 0) & (angle < np.pi)
    return np.where(enters, angle, np.where(angle < 0, angle + np.pi, 0.0)), enters


class Point(Oracle):
    """One feature: the sphere is two points."""

    def candidates(self, b: np.ndarray, least: float) -> np.ndarray:
        """Both points."""
        _ = b, least
        return np.array([[1.0], [-1.0]])


class Circle(Oracle):
    """Two features: arcs between sorted angles."""

    def __init__(self, X: np.ndarray) -> None:
        super().__init__(X)
        normals = self.lines.normals
        # h changes where u is orthogonal to a normal: there u turns into its half-plane
        angle, enters = crossing_angles(*normals.T)
        self._order = np.argsort(angle, kind="stable")
        self._angle = angle[self._order]
        self._enters = np.where(enters, 1.0, -1.0)[self._order]
        crossings = np.concatenate((self._angle, self._angle + np.pi))
        self._crossings = np.column_stack((np.cos(crossings), np.sin(crossings)))

    def candidates(self, b: np.ndarray, least: float) -> np.ndarray:
        """Directions of :math:`V` inside of their arcs, and vertices."""
        weights, linear = self.lines.folded(b)
        moments = weights[:, None] * self.lines.normals
        jumps = self._enters[:, None] * moments[self._order]
        closed = self._enters < 0  # before the first crossing these are open
        V = linear + moments[self._order][closed].sum(axis=0) + np.cumsum(jumps, axis=0)
        # half a turn on, the others are open
        V = np.concatenate((V, 2 * linear + moments.sum(axis=0) - V))
        return np.concatenate((self._maxima(V, least), self._maxima(-V, least)))

    def _maxima(self, V: np.ndarray, least: float) -> np.ndarray:
        start, end = self._crossings, np.roll(self._crossings, -1, axis=0)
        scale = SLACK * float(np.max(np.abs(V), initial=0.0))
        slope = _cross(start, V)  # of h along the arc, at its start and at its end
        slope_end = _cross(end, V)
        length = np.linalg.norm(V, axis=1)
        inside = (slope >= -scale) & (slope_end <= scale) & (length > least)
        inside &= np.einsum("ij,ij->i", V, start + end) >= -scale
        before = np.roll(slope_end, 1)
        value = np.einsum("ij,ij->i", V, start)
        peak = (before >= -scale) & (slope <= scale) & (value > least)
        return np.concatenate((V[inside] / length[inside, None], start[peak]))


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


class Sphere(Oracle):
    """Three features: a walk along each great circle."""

    def __init__(self, X: np.ndarray) -> None:
        super().__init__(X)
        G = self.lines.normals
        n_lines = len(G)
        # a frame of each circle: two directions along it and its normal
        first = np.cross(G, np.eye(3)[np.argmin(np.abs(G), axis=1)])
        first /= np.linalg.norm(first, axis=1, keepdims=True)
        second = np.cross(G, first)
        self.frames = np.stack((first, second, G), axis=1)
        shape = (n_lines, max(n_lines - 1, 0))
        self.order = np.empty(shape, dtype=np.int32)
        self.p, self.q, self.r = (np.empty(shape) for _ in range(3))
        self.enters = np.empty(shape)
        self.cos, self.sin = np.empty(shape), np.empty(shape)
        for n in range(n_lines):
            along = G @ self.frames[n].T
            angle, enters = crossing_angles(along[:, 0], along[:, 1])
            order = np.argsort(angle, kind="stable")
            order = order[order != n]
            self.order[n] = order
            self.p[n], self.q[n], self.r[n] = along[order].T
            self.enters[n] = np.where(enters[order], 1.0, -1.0)
            self.cos[n], self.sin[n] = np.cos(angle[order]), np.sin(angle[order])
        self.rho = np.hypot(self.p, self.q)

    def candidates(self, b: np.ndarray, least: float) -> np.ndarray:
        """Local maxima on each circle and in the cells beside it."""
        weights, linear = self.lines.folded(b)
        n_lines = len(self.order)
        if n_lines < 2:
            return self._of_few(weights, linear)
        rows = max(1, BLOCK // (n_lines - 1))
        found = [
            self._along(slice(first, first + rows), weights, linear, least)
            for first in range(0, n_lines, rows)
        ]
        return np.concatenate(found)

    def _of_few(self, weights: np.ndarray, linear: np.ndarray) -> np.ndarray:
        """At most one circle: its two sides, and the circle."""
        G = self.lines.normals
        V = [linear, linear + weights @ G]
        if len(G):
            V.append(linear - (linear @ G[0]) * G[0])
            V.append(self.frames[0, 0])
        rows = np.array([*V, *(-v for v in V)])
        length = np.linalg.norm(rows, axis=1)
        return rows[length > 0] / length[length > 0, None]

    def _along(
        self, rows: slice, weights: np.ndarray, linear: np.ndarray, least: float
    ) -> np.ndarray:
        """Local maxima of h and of -h on some of the circles, and in the cells beside them."""
        frames, own = self.frames[rows], weights[rows, None]
        jump = weights[self.order[rows]]
        signed = jump * self.enters[rows]
        open_first = np.where(self.enters[rows] < 0, jump, 0.0)
        start = frames @ linear
        a, b, c = (
            start[:, axis, None]
            + np.einsum("ij,ij->i", open_first, moment[rows])[:, None]
            + np.cumsum(signed * moment[rows], axis=1)
            for axis, moment in enumerate((self.p, self.q, self.r))
        )
        # On the other half of the circle the others are open: h(-u) is the same sum with another
        # linear part.
        back = (frames @ (weights @ self.lines.normals + 2 * linear))[:, :, None]
        scale = SLACK * (float(np.sum(np.abs(weights))) + float(np.linalg.norm(linear)))
        found = []
        for side, V in ((1.0, (a, b, c)), (-1.0, (a - back[:, 0], b - back[:, 1], c - back[:, 2]))):
            for sign in (1.0, -1.0):
                local = self._maxima(
                    rows, tuple(sign * part for part in V), sign * jump, sign * own, least, scale
                )
                found.append(side * local)
        return np.concatenate(found)

    def _maxima(
        self,
        rows: slice,
        V: tuple[np.ndarray, ...],
        jump: np.ndarray,
        own: np.ndarray,
        least: float,
        scale: float,
    ) -> np.ndarray:
        """Local maxima at and between the crossings.

        An arc leads from its crossing to the next one, the last to the first one half a turn on. On
        it V is (a, b, c) in the frame of the circle on the lower side, (a, b, c + own) on the
        upper one.
        """
        a, b, c = V
        cos, sin, rho = self.cos[rows], self.sin[rows], self.rho[rows]
        slope = b * cos - a * sin  # along the circle, at the start of each arc
        peak = (slope <= scale) & (slope - jump * rho >= -scale)
        peak &= a * cos + b * sin > least
        cos_end, sin_end = _next(cos, -1.0), _next(sin, -1.0)
        rises_in = (slope >= -scale) & (b * cos_end - a * sin_end <= scale)
        # a half turn may lie between the ends: the stationary point must not be its antipode
        rises_in &= a * (cos + cos_end) + b * (sin + sin_end) >= -scale
        squares = a * a + b * b
        ridge = rises_in & (c >= -scale) & (c + own <= scale) & (squares > least**2)

        frames = self.frames[rows]
        circle, at = np.nonzero(peak)
        found = [_in_frame(frames, circle, cos[circle, at], sin[circle, at], 0.0 * at)]
        circle, at = np.nonzero(ridge)
        found.append(_in_frame(frames, circle, a[circle, at], b[circle, at], 0.0 * at))
        for height, is_beside in ((c, c <= scale), (c + own, c + own >= -scale)):
            circle, at = np.nonzero(is_beside & (squares + height * height > least**2))
            if len(circle):
                z = a[circle, at], b[circle, at], height[circle, at]
                inside = self._is_inside(rows, circle, at, z, scale)
                found.append(_in_frame(frames, circle[inside], *(part[inside] for part in z)))
        return np.concatenate(found)

    def _is_inside(
        self,
        rows: slice,
        circle: np.ndarray,
        at: np.ndarray,
        z: tuple[np.ndarray, ...],
        scale: float,
    ) -> np.ndarray:
        """Whether directions lie between the two circles at the ends of their arcs."""
        n_crossings = self.order.shape[1]
        circle = circle + (rows.start or 0)
        following = (at + 1) % n_crossings
        turn = np.where(at + 1 == n_crossings, 1.0, -1.0)
        inside = np.ones(len(at), dtype=bool)
        for crossing, sign in ((at, 1.0), (following, turn)):
            place = circle, crossing
            height = self.p[place] * z[0] + self.q[place] * z[1] + self.r[place] * z[2]
            inside &= sign * self.enters[place] * height >= -scale
        return inside


def _next(values: np.ndarray, sign: float) -> np.ndarray:
    """Values at the following crossing; beyond the last one is the first, half a turn on."""
    return np.concatenate((values[:, 1:], sign * values[:, :1]), axis=1)


def _in_frame(frames: np.ndarray, circle: np.ndarray, *z: np.ndarray) -> np.ndarray:
    """Unit vectors of coordinates in the frames of their circles."""
    coordinates = np.stack(z, axis=1)
    U = np.einsum("ni,nij->nj", coordinates, frames[circle])
    length = np.linalg.norm(U, axis=1)
    return U[length > 0] / length[length > 0, None]
