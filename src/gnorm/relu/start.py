r"""Neurons to begin with, and the proof that there are none where a hard margin has no solution.

A hard margin has a solution if and only if no weights :math:`a \ge 0` of the samples, not all zero,
make :math:`h(u) = \sum_n a_n y_n (x_n \cdot u)_+` vanish. On the lines of the samples h is
:math:`\sum_g w_g (g \cdot u)_+ + q \cdot u` with distinct normals g, which vanishes only if all
:math:`w_g` and q do. So a proof is a solution of linear equations, and samples on lines of their
own have no part in it.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from gnorm.relu.columns import Drawn
from gnorm.relu.master import separated_by_free
from gnorm.relu.oracle import Lines
from gnorm.solvers.problem import Problem
from gnorm.solvers.solution import NotSeparableError

__all__ = [
    "NoNetworkError",
    "NoNetworkOfPatternsError",
    "first_neurons",
    "raise_if_free",
    "raise_if_not_separable",
]

_N_DIRECTIONS = 1  # random ones, along which the first neurons of a hard margin have their kinks
_N_RANDOM = 20  # further neurons at the start


class NoNetworkError(NotSeparableError):
    """No network of any width gives every hard-margin sample a positive margin."""

    _proof = "combinations of the two classes coincide in every neuron"
    _remedy = "Use a finite C, or append a constant feature if there is none."


class NoNetworkOfPatternsError(NoNetworkError):
    """No network of the given patterns gives every hard-margin sample a positive margin."""

    _proof = "combinations of the two classes coincide in every neuron of the given patterns"
    _remedy = "Use a finite C, or more patterns."


def raise_if_free(problem: Problem, free: np.ndarray) -> None:
    """Raise ValueError if free functions separate the labels and the loss has no minimum."""
    y, C = problem.y, problem.C
    if np.any(problem.loss.value(y, y, C)) and separated_by_free(problem, free) is not None:
        raise ValueError(
            "expected labels that no linear function separates with penalize_linear=False: one "
            f"does, at no cost, and {problem.loss.name} has no minimum over its length"
        )


def raise_if_not_separable(problem: Problem, lines: Lines) -> None:
    """Raise if the samples of a hard margin have weights under which h vanishes."""
    hard = np.flatnonzero(problem.is_hard)
    of_zeros = hard[lines.line[hard] < 0]
    if len(of_zeros):  # at the origin every network without a constant is 0
        raise NoNetworkError(np.eye(len(problem.y))[of_zeros[0]], 0.0)
    shared = np.bincount(lines.line[hard], minlength=1)[lines.line[hard]] > 1
    hard = hard[shared]
    if len(hard) == 0:
        return
    names, place = np.unique(lines.line[hard], return_inverse=True)
    signed = problem.y[hard] / np.max(np.abs(lines.length))
    folded = np.zeros((len(names), len(hard)))
    folded[place.reshape(-1), np.arange(len(hard))] = signed * np.abs(lines.length[hard])
    linear = np.where(lines.length[hard] < 0, signed, 0.0) * lines.X[hard].T
    equations = np.vstack((folded, linear, np.ones(len(hard))))
    right = np.zeros(len(equations))
    right[-1] = 1.0
    found = linprog(np.zeros(len(hard)), A_eq=equations, b_eq=right, method="highs-ds")
    if found.status == 0:
        certificate = np.zeros(len(problem.y))
        certificate[hard] = np.maximum(found.x, 0.0) / np.sum(np.maximum(found.x, 0.0))
        residual = float(np.max(np.abs(equations[:-1] @ certificate[hard])))
        raise NoNetworkError(certificate, residual)


def first_neurons(
    problem: Problem, X: np.ndarray, search: Drawn, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Neurons to begin with; they separate what can be separated.

    Along a direction of a plane the samples have angles, and one neuron an arc between two
    crossings spans all functions that two-layer networks of that plane have on the samples.
    """
    rng = np.random.default_rng(random_state)
    n_features = X.shape[1]
    slope = -problem.loss.derivative(problem.y, np.zeros(len(X)), np.ones(len(X)))
    U = [search.find(slope).neurons, rng.normal(size=(_N_RANDOM, n_features)), np.eye(n_features)]
    if problem.is_hard.any():
        for _ in range(_N_DIRECTIONS if n_features > 2 else 1):
            plane = _plane(X, rng)
            U.append(_arcs(X @ plane.T, problem.y) @ plane)
    neurons = search.unit(np.concatenate(U))
    return np.concatenate((neurons, neurons)), np.repeat([1.0, -1.0], len(neurons))


def _plane(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two orthonormal directions, one of them along a constant last feature if there is one."""
    n_features = X.shape[1]
    basis = rng.normal(size=(n_features, min(2, n_features)))
    if np.ptp(X[:, -1]) == 0:
        basis[:, 0] = np.eye(n_features)[-1]
    plane: np.ndarray = np.linalg.qr(basis)[0].T
    # to the side of the constant, where angles are sorted like the samples on a line
    return plane * np.where(plane @ X[0] < 0, -1.0, 1.0)[:, None]


def _arcs(Z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Directions with a kink at a sample where labels change along the angle, and between."""
    if Z.shape[1] == 1:
        return np.array([[1.0], [-1.0]])
    angle = np.sort(np.arctan2(Z[:, 1], Z[:, 0]))
    order = np.argsort(np.arctan2(Z[:, 1], Z[:, 0]))
    is_line = np.ptp(angle) < np.pi  # with a constant: as on a line, where signs change
    if is_line:
        changes = np.flatnonzero(np.diff(y[order]))
        kinks = np.unique(np.concatenate((angle[changes], angle[changes + 1])))
        turned = kinks + np.pi / 2
        return np.vstack((np.column_stack((np.cos(turned), np.sin(turned))), np.eye(2)))
    crossings = np.unique(np.concatenate((angle, angle + np.pi)) % (2 * np.pi))
    middles = crossings + np.diff(np.append(crossings, crossings[0] + 2 * np.pi)) / 2
    turned = np.concatenate((crossings, middles)) + np.pi / 2
    return np.column_stack((np.cos(turned), np.sin(turned)))
