r"""The largest value over all neurons of four features, exactly.

The spheres :math:`g \cdot u = 0` of the samples, see :mod:`gnorm.relu.oracle`, cut the unit sphere
of four dimensions into cells. Where the normals span the space every cell has an edge: an arc of a
great circle in which two of the spheres meet, or more. A walk along all circles, each in the order
in which the others cross it, visits all edges; and at each one the cells and faces around it, on
which h is :math:`V \cdot u` with gradients V that are those of the arc and the jumps of the spheres
that meet there. A local maximum is the direction of a V, projected on its face, or a crossing. Time
and memory are cubic in the number of samples: there are :math:`N^3 / 2` crossings, of two bytes
each.

A gradient no longer than the largest value known cannot give a larger one, and the cell that holds
the direction of its own gradient lies on the right side of all spheres: what is longer is tested on
those of its edge alone, and evaluated by the definition of h.

More than two spheres that meet in one circle come in the order of their angles around it. Walked
from each of them, they have two faces, on either side of all others, and the four cells beside
these. What is parallel only nearly, by an angle d, is taken as such: the cells between are thinner
than d, and their largest value is attained on their boundary but for :math:`d^2 / 2`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from gnorm.relu.oracle import BLOCK, SLACK, Oracle, crossing_angles

__all__ = ["Space"]

_PARALLEL = 1e-14  # 1 - cosine of an angle of 1.4e-7, below which it is lost in the rounding of one
_ENOUGH = 6000  # candidates of one walk: a search returns 300 neurons, each met about ten times


class Space(Oracle):
    """Four features whose samples span the space: a walk along each great circle.

    Parameters
    ----------
    X : ndarray of shape (n_samples, 4)
        Samples of rank 4.
    """

    def __init__(self, X: np.ndarray) -> None:
        super().__init__(X)
        G = self.lines.normals
        n_lines = len(G)
        groups = [_around(G, i) for i in range(n_lines)]
        alone = np.zeros((n_lines, n_lines), dtype=bool)
        for i, (first, size, _) in enumerate(groups):
            alone[i, first[size == 1]] = True
        # a circle in which two spheres meet is walked from one of them
        walked = [
            ~(alone[i, first] & alone[first, i] & (first < i))
            for i, (first, _, _) in enumerate(groups)
        ]
        shift = np.cumsum([0] + [np.count_nonzero(each) for each in walked])
        # of each circle: its first sphere, the frame, what crosses it, whether two spheres meet
        self.sphere = np.repeat(np.arange(n_lines), np.diff(shift))
        self.frames = np.empty((shift[-1], 4, 4))
        kind = np.int16 if 2 * n_lines < 2**15 else np.int32
        self.order = np.empty((shift[-1], n_lines - 1), dtype=kind)
        parts = []
        for i, (first, size, group) in enumerate(groups):
            rows, first = slice(shift[i], shift[i + 1]), first[walked[i]]
            belongs = group == first[:, None]
            self.frames[rows], self.order[rows] = self._circles(i, first, belongs)
            circle, member = np.nonzero(belongs)
            parts.append((first, size[walked[i]], circle + shift[i], member))
        other, n_others, self.member_circle, self.member = (
            np.concatenate(part) for part in zip(*parts, strict=True)
        )
        self.is_pair = n_others == 1
        self.lean = np.einsum("nij,nj->ni", self.frames[:, 2:], G[other])
        sides = np.einsum(
            "nd,nd->n", G[self.member], self.frames[self.member_circle, 3], optimize=True
        )
        self.member_side = np.where(sides > 0, 1.0, -1.0)

    def _circles(
        self, i: int, first: np.ndarray, belongs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Frames of circles on sphere i, and what crosses them, given the spheres of each."""
        G = self.lines.normals
        n_lines = len(G)
        basis = np.linalg.svd(G[i][None])[2][1:]
        H = G @ basis.T
        normal = H[first] / np.linalg.norm(H[first], axis=1, keepdims=True)
        along = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal), axis=1)])
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        plane = np.stack((along, np.cross(normal, along), normal), axis=1) @ basis
        frames = np.insert(plane, 2, G[i], axis=1)  # two directions along the circle, two off it
        p, q = (H @ along.T).T, (H @ np.cross(normal, along).T).T
        angle, enters = crossing_angles(p, q)
        entries = np.arange(n_lines) + n_lines * ~enters
        # the spheres that meet in the circle do not cross it
        entries = np.where(belongs, 2 * n_lines, entries)
        order = np.argsort(angle, axis=1, kind="stable")
        order = order[order != i].reshape(len(first), n_lines - 1)
        return frames, np.take_along_axis(entries, order, axis=1)

    @staticmethod
    def n_bytes(n_samples: int) -> float:
        """Memory in bytes that a walk takes: crossings, frames of the circles, and a block."""
        return 1.0 * n_samples**3 + 300.0 * n_samples**2 + 8.0 * 96 * BLOCK

    def candidates(self, b: np.ndarray, least: float) -> np.ndarray:
        """Crossings, and directions of gradients above `least` that may lie in their cells."""
        weights, linear = self.lines.folded(b)
        walk = _Walk(self, weights, linear, least)
        rows = max(1, BLOCK // max(1, self.order.shape[1]))
        best, values = np.empty((0, 4)), np.empty(0)
        for first in range(0, len(self.order), rows):
            U = walk.along(slice(first, first + rows))
            best = np.concatenate((best, U))
            values = np.concatenate((values, np.abs(self.lines.values(b, U))))
            if len(values) > _ENOUGH:  # fewer are looked at: from now on they must be larger
                order = np.argpartition(-values, _ENOUGH)[:_ENOUGH]
                best, values = best[order], values[order]
                walk.least = max(least, float(np.min(values)))
        return best


def _around(G: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group spheres that cross one in the same circle: first ones, sizes, group of each."""
    H = G - np.outer(G @ G[i], G[i])
    H[i] = 0.0
    lengths = np.linalg.norm(H, axis=1)
    H /= np.where(lengths > 0, lengths, 1.0)[:, None]
    group = np.argmax(np.abs(H @ H.T) > 1.0 - _PARALLEL, axis=1)
    group[i] = -1
    first, size = np.unique(group[group >= 0], return_counts=True)
    return first, size, group


class _Walk:
    """A walk with the weights of the lines."""

    def __init__(self, space: Space, weights: np.ndarray, linear: np.ndarray, least: float) -> None:
        self.space, self.weights, self.least = space, weights, least
        G = space.lines.normals
        moments = weights[:, None] * G
        self.signed_normals = np.concatenate((G, -G, np.zeros((1, 4))))
        self.jumps = np.concatenate((moments, -moments, np.zeros((1, 4)))).T.copy()
        self.own = moments[space.sphere]
        # crossing the group of a circle towards the fourth direction of its frame
        sides = np.zeros((2, len(space.order), 4))
        of_member = moments[space.member]
        for side, is_open in enumerate((space.member_side < 0, space.member_side > 0)):
            for d in range(4):
                sides[side, :, d] = np.bincount(
                    space.member_circle[is_open],
                    of_member[is_open, d],
                    minlength=len(space.order),
                )
        self.other = sides[1] - sides[0]
        total = np.sum(moments, axis=0)
        # on either half of a circle the spheres are open that are not on the other
        self.start = linear + sides[0] + 0.5 * (total - self.own - sides[0] - sides[1])
        self.back = total + 2 * linear
        self.scale = SLACK * (float(np.sum(np.abs(weights))) + float(np.linalg.norm(linear)))

    def along(self, rows: slice) -> np.ndarray:
        """Candidates on and beside some of the circles."""
        order = self.space.order[rows]
        V = np.take(self.jumps, order, axis=1)
        np.cumsum(V, axis=2, out=V)
        V += self.start[rows].T[:, :, None] - 0.5 * V[:, :, -1:]
        found = []
        for side in (1.0, -1.0):
            if side < 0:  # h(-u) is the same sum with another linear part
                V -= self.back[:, None, None]
            longest = self._longest(V, rows)
            circle, at = np.nonzero(longest > self.least**2)
            if len(circle):
                found.append(side * self._candidates(V[:, circle, at].T, circle + rows.start, at))
        return np.concatenate(found) if found else np.empty((0, 4))

    def _longest(self, V: np.ndarray, rows: slice) -> np.ndarray:
        """Largest squared length of the gradients of the four cells around each arc."""
        own, other = self.own[rows], self.other[rows]
        squares = np.einsum("dnm,dnm->nm", V, V)
        by_own = 2.0 * np.einsum("dnm,nd->nm", V, own) + np.sum(own**2, axis=1)[:, None]
        by_other = 2.0 * np.einsum("dnm,nd->nm", V, other) + np.sum(other**2, axis=1)[:, None]
        both = by_own + by_other + 2.0 * np.einsum("nd,nd->n", own, other)[:, None]
        longest = np.maximum(by_own, by_other, out=by_own)
        np.maximum(longest, both, out=longest)
        np.maximum(longest, 0.0, out=longest)
        squares += longest
        return squares

    def _candidates(self, V: np.ndarray, circle: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Candidates on and beside some arcs, of h and of -h."""
        frames = self.space.frames[circle]
        z = np.einsum("nij,nj->in", frames, V)
        own = self.weights[self.space.sphere[circle]]
        other = np.einsum("nij,nj->in", frames[:, 2:], self.other[circle])
        inwards, outwards = self._ends(circle, at)
        found = [self._crossings(V, circle, at)]
        for sign in (1.0, -1.0):
            for which, coordinates in self._directions(circle, sign * z, sign * own, sign * other):
                U = np.einsum("ni,nij->nj", coordinates, frames[which])
                U /= np.linalg.norm(U, axis=1, keepdims=True)
                inside = np.einsum("nj,nj->n", inwards[which], U) >= -SLACK
                inside &= np.einsum("nj,nj->n", outwards[which], U) >= -SLACK
                found.append(U[inside])
        return np.concatenate(found)

    def _ends(self, circle: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normals of the spheres at both ends of arcs, towards the inside."""
        order, normals = self.space.order[circle], self.signed_normals
        rows, n_crossings = np.arange(len(at)), order.shape[1]
        last = at + 1 == n_crossings  # the next one is the first, half a turn on
        following = normals[order[rows, np.where(last, 0, at + 1)]]
        return normals[order[rows, at]], np.where(last, 1.0, -1.0)[:, None] * following

    def _directions(
        self, circle: np.ndarray, z: np.ndarray, own: np.ndarray, other: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Directions on and around arcs, in their frames, on the right side of both spheres."""
        (a, b, c, d), (s, t), scale = z, self.space.lean[circle].T, self.scale
        other_own = other[0] * s + other[1] * t
        for up, side in product((-1.0, 1.0), (-1.0, 1.0)):
            C = c + (up > 0) * own + (side > 0) * other[0]
            D = d + (side > 0) * other[1]
            zero = np.zeros_like(C)
            # inside of a cell
            tests = [((up * C >= -scale) & (side * (s * C + t * D) >= -scale), C, D)]
            if up < 0:  # inside of a face on the first sphere, which is a ridge there
                is_ridge = (-scale <= C) & (C + own <= scale)
                tests.append((is_ridge & (side * D >= -scale), zero, D))
            if side < 0:  # ... and on the second
                m, k = C * t - D * s, C * s + D * t
                is_ridge = (k >= -scale) & (k + other_own <= scale) & self.space.is_pair[circle]
                tests.append((is_ridge & (up * m >= -scale), m * t, -m * s))
            if up < 0 and side < 0:  # on the circle
                tests.append(((-scale <= D) & (D + other[1] <= scale), zero, zero))
            for passes, third, fourth in tests:
                passes &= a * a + b * b + third * third + fourth * fourth > self.least**2
                which = np.flatnonzero(passes)
                if len(which):
                    yield which, np.stack((a, b, third, fourth), axis=1)[which]

    def _crossings(self, V: np.ndarray, circle: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Crossings at the starts of arcs that are peaks of h or of -h along their circles."""
        entries = self.space.order[circle, at]
        normals = self.signed_normals[entries]
        p, q = np.einsum("nij,nj->in", self.space.frames[circle, :2], normals)
        rho = np.hypot(p, q)
        kept = rho > 0
        circle, V, p, q, rho = circle[kept], V[kept], p[kept], q[kept], rho[kept]
        x, y = np.swapaxes(self.space.frames[circle, :2], 0, 1)
        U = (q[:, None] * x - p[:, None] * y) / rho[:, None]
        onwards = (p[:, None] * x + q[:, None] * y) / rho[:, None]
        after = np.einsum("nj,nj->n", V, onwards)
        before = after - np.einsum("nj,nj->n", self.jumps.T[entries[kept]], onwards)
        value = np.einsum("nj,nj->n", V, U)
        turns = np.where(value > 0, after <= self.scale, after >= -self.scale)
        turns &= np.where(value > 0, before >= -self.scale, before <= self.scale)
        return U[turns & (np.abs(value) > self.least)]
