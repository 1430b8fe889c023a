"""The convex program over patterns and their cones, by CLARABEL."""

import itertools

import cvxpy as cp
import numpy as np

from gnorm.relu import activation_patterns


def by_clarabel(
    X,
    y,
    loss,
    C,
    patterns=None,
    *,
    with_cones=True,
    penalize_bias=True,
    penalize_linear=True,
):
    """Value over given patterns, or all, with their cones or gated, and with what is free."""
    patterns = activation_patterns(X) if patterns is None else patterns
    inside = slice(None) if penalize_bias else slice(-1)
    free = cp.Variable(X.shape[1])
    outputs, costs, constraints = X @ free, 0, []
    if penalize_linear:
        constraints.append(free[: X.shape[1] - (not penalize_bias)] == 0)
    for pattern, sign in itertools.product(patterns.T, (1.0, -1.0)):
        v = cp.Variable(X.shape[1])
        outputs += sign * cp.multiply(pattern, X @ v)
        costs += cp.norm(v[inside])
        if with_cones:
            constraints.append(cp.multiply(2.0 * pattern - 1.0, X @ v) >= 0)
    objective = 0.5 * cp.square(costs)
    if np.isinf(C):
        constraints.append(cp.multiply(y, outputs) >= 1)
    else:
        objective += loss.expression(y, outputs, np.full(len(y), C))
    return cp.Problem(cp.Minimize(objective), constraints).solve(solver="CLARABEL")
