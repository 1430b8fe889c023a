r"""Neurons of given activation patterns: Pilanci and Ergen's convex programs.

A pattern :math:`D_i`, a diagonal of zeros and ones, says on which samples neurons are active. They
are those of the cone :math:`K_i = \{u : (2 D_i - 1) X u \ge 0\}`, and over some patterns the
problem is

.. math::

    \min_{v_i, w_i \in K_i} \tfrac12 \Bigl( \sum_i \|v_i\| + \|w_i\| \Bigr)^2 + \sum_n l_n(f_n),
    \qquad f = \sum_i D_i X (v_i - w_i),

and over all patterns it is that over all neurons [1]_. Without the cones it is a gated network with
frozen gates, which :func:`gnorm.solve` takes. With them the dual norm is the largest length of the
projections of :math:`\pm V_i`, :math:`V_i = X^\top D_i b`, on the cones,

.. math::

    \max_{u \in K_i, \|u\| \le 1} V_i \cdot u
    = \min_{\lambda \ge 0} \|V_i + X^\top (2 D_i - 1) \lambda\| .

Any multipliers :math:`\lambda \ge 0` bound it from above. Non-negative least squares find the best
ones, and what they leave is the neuron.

References
----------
.. [1] M. Pilanci and T. Ergen (2020). Neural networks are convex regularizers: exact
   polynomial-time convex optimization formulations for two-layer networks. ICML.
"""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog, nnls
from scipy.sparse import block_diag, csr_matrix, hstack, vstack
from sklearn.utils import check_array, check_random_state

from gnorm.relu.oracle import Found, Lines, distinct, principal_axes
from gnorm.relu.start import NoNetworkOfPatternsError
from gnorm.solvers.problem import Problem
from gnorm.solvers.validation import check_count

__all__ = ["Cells", "activation_patterns", "check_patterns"]

_MOST_ENTRIES = 200_000_000  # of all patterns: a byte each
_ON = 1e-10  # height of a neuron over a sample, relative, that counts as zero
# length of a projection, relative, that counts as zero: the cone has no neuron there
_EMPTY = 1e-12
_N_DRAWN = 20  # cones from each of which one neuron is drawn at the start
_SEPARATED = 1e-9  # margin of neurons in the unit cube, relative to the samples, that separates


def activation_patterns(
    X: Any,
    n_patterns: int | None = None,
    *,
    random_state: int | np.random.RandomState | None = None,
) -> np.ndarray:
    r"""Which sets of samples a ReLU neuron can be active on, all of them or some.

    A neuron u is active where :math:`x_n \cdot u > 0`. The hyperplanes of N samples of rank r in
    general position cut the space of the neurons into :math:`2 \sum_{k < r} \binom{N - 1}{k}` cells
    [1]_. All are enumerated by recursion: each cell has a facet, which is a cell of the arrangement
    of the others on one of the hyperplanes. The pattern of no sample is left out.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Inputs, the constant feature included.
    n_patterns : int, default=None
        Normal neurons to draw; None for all patterns.
    random_state : int, RandomState instance or None, default=None
        Draws them.

    Returns
    -------
    ndarray of bool, shape (n_samples, n_patterns)
        Distinct patterns, one a column; of drawn neurons at most as many as were drawn.

    Raises
    ------
    ValueError
        If there are too many patterns to enumerate.

    References
    ----------
    .. [1] T. M. Cover (1965). Geometrical and statistical properties of systems of linear
       inequalities with applications in pattern recognition. IEEE Transactions on Electronic
       Computers 14(3).

    Examples
    --------
    >>> from gnorm.relu import activation_patterns
    >>> activation_patterns([[0.0, 1.0], [2.0, 1.0]]).astype(int)  # two points on a line
    array([[0, 1, 1],
           [1, 0, 1]])
    """
    X = check_array(X, dtype=np.float64, input_name="X")
    check_count(n_patterns, "n_patterns")
    if n_patterns is not None:
        U = check_random_state(random_state).normal(size=(n_patterns, X.shape[1]))
    else:
        _, basis = principal_axes(X)
        if len(basis) == 0:  # samples that are all zero
            return np.zeros((len(X), 0), dtype=bool)
        lines = Lines(X @ basis.T)
        count = 2 * sum(comb(max(len(lines.normals) - 1, 0), k) for k in range(len(basis)))
        if count * len(X) > _MOST_ENTRIES:
            raise ValueError(
                f"expected at most {_MOST_ENTRIES:.0e} entries of all patterns, got up to "
                f"{count:.1e} patterns of {len(X)} samples; draw some with n_patterns"
            )
        U = _witnesses(lines.normals) @ basis
    patterns = _unique(X @ U.T > 0)
    return patterns[:, patterns.any(axis=0)]


def _unique(patterns: np.ndarray) -> np.ndarray:
    """Distinct columns, in the order of their bits."""
    _, first = np.unique(np.packbits(patterns, axis=0), axis=1, return_index=True)
    return patterns[:, first]


def _witnesses(normals: np.ndarray) -> np.ndarray:
    """A point inside each cell of the arrangement of distinct normals."""
    n_lines, n_features = normals.shape
    if n_lines == 0:
        return np.zeros((1, n_features))
    if n_features == 1:
        return np.array([[1.0], [-1.0]])
    if n_features == 2:  # in the middle of each arc
        angles = np.sort(np.arctan2(normals[:, 0], -normals[:, 1]) % np.pi)
        ends = np.concatenate((angles, angles + np.pi))
        middles = ends + 0.5 * np.diff(np.append(ends, angles[0] + 2 * np.pi))
        return np.column_stack((np.cos(middles), np.sin(middles)))
    found = []
    for n in range(n_lines):
        g, others = normals[n], np.delete(normals, n, axis=0)
        basis = np.linalg.svd(g[None])[2][1:]
        W = _witnesses(Lines(others @ basis.T).normals) @ basis
        # off the hyperplane by half of what changes no other side
        with np.errstate(divide="ignore"):
            steps = 0.5 * np.min(np.abs(W @ others.T) / np.abs(others @ g), axis=1, initial=2.0)
        found += [W + steps[:, None] * g, W - steps[:, None] * g]
    W = np.concatenate(found)
    _, first = np.unique(np.packbits(normals @ W.T > 0, axis=0), axis=1, return_index=True)
    return W[first]


def check_patterns(patterns: ArrayLike, n_samples: int) -> np.ndarray:
    """Return patterns, or gates of one context, as an array of shape (n_samples, n_patterns)."""
    patterns = np.asarray(patterns)
    shape, is_of_gates = patterns.shape, patterns.ndim == 3 and patterns.shape[2] == 1
    if patterns.ndim == 2 or is_of_gates:
        patterns = patterns.reshape(shape[:2])
    if patterns.dtype != bool or patterns.ndim != 2 or len(patterns) != n_samples:
        raise ValueError(
            f"expected patterns of dtype bool and shape ({n_samples}, n_patterns), "
            f"got dtype {patterns.dtype} and shape {shape}"
        )
    if not patterns.any():
        raise ValueError(
            f"expected a pattern that is active on one of {n_samples} samples, got none"
        )
    return patterns


class Cells:
    """Search over the neurons of given patterns.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    patterns : ndarray of bool, shape (n_samples, n_patterns)
        Samples on which neurons are active.
    """

    is_exact = True

    def __init__(self, X: np.ndarray, patterns: np.ndarray) -> None:
        self.X = X
        patterns = np.logical_and(patterns, X.any(axis=1, keepdims=True))
        self.patterns = _unique(patterns[:, patterns.any(axis=0)])
        lengths = np.linalg.norm(X, axis=1)
        self.normals = X / np.where(lengths > 0, lengths, 1.0)[:, None]
        # what multipliers added to V when a cone was last searched, for V and for -V
        self.pushes = np.zeros((2 * self.patterns.shape[1], X.shape[1]))

    def find(self, b: np.ndarray, least: float = 0.0, most: int = 50) -> Found:
        r"""Project :math:`\pm V_i` on the cones.

        Parameters
        ----------
        b : ndarray of shape (n_samples,)
            Dual coefficients.
        least : float, default=0.0
            Value below which neurons are of no interest.
        most : int, default=50
            How many to return.

        Returns
        -------
        Found
            Neurons, the best first, and the largest length that the multipliers leave.
        """
        V = (self.patterns.T * b) @ self.X
        V = np.concatenate((V, -V))
        # multipliers of an earlier search, at their best multiple, may do to rule a cone out
        squares = np.maximum(np.sum(self.pushes**2, axis=1), np.finfo(float).tiny)
        multiples = np.maximum(-np.sum(V * self.pushes, axis=1) / squares, 0.0)
        bounds = np.linalg.norm(V + multiples[:, None] * self.pushes, axis=1)
        open_ = np.flatnonzero(bounds > least)
        P = np.array([self._projected(i, V[i]) for i in open_.tolist()]).reshape(-1, V.shape[1])
        self.pushes[open_] = P - V[open_]
        lengths = np.linalg.norm(P, axis=1)
        bound = float(np.max(lengths, initial=least))
        is_neuron = lengths > max(least, _EMPTY * float(np.max(np.abs(V), initial=0.0)))
        U = P[is_neuron] / lengths[is_neuron, None]
        values = np.maximum(U @ self.X.T, 0.0) @ b
        order = np.argsort(-np.abs(values), kind="stable")
        chosen = distinct(U, order, most)
        return Found(U[chosen], values[chosen], bound)

    def _projected(self, i: int, v: np.ndarray) -> np.ndarray:
        """Projection of v on a cone: v and the multiples of its normals that shorten it most."""
        pattern = self.patterns[:, i % self.patterns.shape[1], None]
        inwards = np.where(pattern, self.normals, -self.normals)
        multipliers, _ = nnls(inwards.T, -v, maxiter=10 * len(inwards) + 100)
        rest: np.ndarray = v + multipliers @ inwards
        return rest

    def sharpened(self, b: np.ndarray, found: Found, precision: float) -> Found:
        """Return what was found: its bound is exact."""
        _ = b, precision
        return found

    def merged(self, neurons: np.ndarray, coefs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Merge neurons of the same pattern and sign, whose cone has their sum."""
        heights = self.normals @ neurons.T
        misses = self.patterns.T.astype(float) @ (heights < -_ON)
        misses += (~self.patterns).T.astype(float) @ (heights > _ON)
        cells = np.argmin(misses, axis=0)
        _, group = np.unique(np.column_stack((cells, coefs > 0)), axis=0, return_inverse=True)
        sums = np.zeros((int(np.max(group, initial=-1)) + 1, neurons.shape[1]))
        np.add.at(sums, group.reshape(-1), np.abs(coefs)[:, None] * neurons)
        signs = np.zeros(len(sums))
        signs[group.reshape(-1)] = np.sign(coefs)
        sizes = np.linalg.norm(sums, axis=1)
        kept = sizes > 0
        return sums[kept] / sizes[kept, None], (signs * sizes)[kept]

    def start(
        self, problem: Problem, free: np.ndarray, random_state: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Neurons to begin with and their signs; they separate what can be separated.

        Raises
        ------
        NotSeparableError
            If no network of these patterns gives every hard-margin sample a positive margin.
        ValueError
            If no neuron has one of the patterns.
        """
        rng = np.random.default_rng(random_state)
        slope = -problem.loss.derivative(problem.y, np.zeros(len(self.X)), np.ones(len(self.X)))
        drawn = rng.permutation(self.patterns.shape[1])[:_N_DRAWN]
        directions = rng.normal(size=(len(drawn), self.X.shape[1]))
        # of opposite directions one at least is not normal to the cone
        P = [
            self._projected(i, s * v)
            for i, v in zip(drawn.tolist(), directions, strict=True)
            for s in (1.0, -1.0)
        ]
        U = np.concatenate([self.find(slope).neurons, np.array(P)])
        if problem.is_hard.any():
            U = np.concatenate((U, self._separating(problem, free)))
        lengths = np.linalg.norm(U, axis=1)
        kept = lengths > _EMPTY * np.sqrt(U.shape[1])
        if not kept.any():
            raise ValueError("expected a pattern that a neuron has, got none")
        U = U[kept] / lengths[kept, None]
        return np.concatenate((U, U)), np.repeat([1.0, -1.0], len(U))

    def _separating(self, problem: Problem, free: np.ndarray) -> np.ndarray:
        r"""Neurons of the largest margin in the unit cube, by a linear program.

        The multipliers of the margins, of sum 1, are a proof if that is zero: their :math:`V_i` and
        :math:`-V_i` project to nothing on every cone.
        """
        hard = np.flatnonzero(problem.is_hard)
        n_features, n_patterns = self.X.shape[1], self.patterns.shape[1]
        signed = problem.y[hard, None] * self.X[hard] / np.max(np.abs(self.X))
        outputs = (self.patterns[hard, :, None] * signed[:, None]).reshape(len(hard), -1)
        lines = problem.y[hard, None] * free[hard]
        margins = np.hstack((-outputs, outputs, -lines, np.ones((len(hard), 1))))
        cones = [
            csr_matrix(np.where(pattern[:, None], -self.normals, self.normals))
            for pattern in self.patterns.T
        ] * 2
        rest = csr_matrix((2 * n_patterns * len(self.X), free.shape[1] + 1))
        A = vstack((margins, hstack((block_diag(cones), rest))), format="csr")
        cost = np.zeros(A.shape[1])
        cost[-1] = -1.0
        bounds = [(-1.0, 1.0)] * (2 * n_patterns * n_features) + [(None, None)] * free.shape[1]
        solved = linprog(
            cost, A_ub=A, b_ub=np.zeros(A.shape[0]), bounds=[*bounds, (None, 1.0)], method="highs"
        )
        if solved.status == 0 and -solved.fun <= _SEPARATED:
            a = np.zeros(len(self.X))
            a[hard] = np.maximum(-solved.ineqlin.marginals[: len(hard)], 0.0)
            a /= np.sum(a)
            b = a * problem.y
            raise NoNetworkOfPatternsError(a, self.find(b).bound + float(np.sum(np.abs(b @ free))))
        if solved.status != 0:
            raise RuntimeError(f"expected a solution of the linear program, got: {solved.message}")
        return np.asarray(solved.x[: 2 * n_patterns * n_features].reshape(-1, n_features))
