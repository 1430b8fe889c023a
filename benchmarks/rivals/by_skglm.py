"""skglm: the logistic group lasso by a prox-Newton method on explicit gated features.

They take 8 N H C D bytes, which only small problems afford.
"""

from time import perf_counter

import numpy as np
from skglm.datafits import LogisticGroup
from skglm.penalties import WeightedGroupL2
from skglm.solvers import GroupProxNewton

from rivals import cost, decision_values, gated_features, penalties

SOLVES = "mean logistic loss + lambda sum ||zeta_h||, norm just above"
TOL = 1e-4  # distance of 0 to the subdifferential of a unit, its default


def fit(X, y, activations, X_test, activations_test, *, C, tol, norm):
    """Go down the path of lambda, warm, until the norm is that of gnorm's solution."""
    _, n_units, n_contexts = activations.shape
    shape = n_units, n_contexts, X.shape[1]
    start = perf_counter()
    features = np.asfortranarray(gated_features(X, activations))
    labels = y.astype(float)
    indices = np.arange(features.shape[1], dtype=np.int32)
    ends = np.arange(n_units + 1, dtype=np.int32) * np.int32(n_contexts * X.shape[1])
    loss = LogisticGroup(ends, indices)
    solver = GroupProxNewton(tol=TOL)
    weights = np.zeros(len(indices))
    n_solved = 0
    for penalty in penalties(X, y, activations):
        lasso = WeightedGroupL2(penalty, np.ones(n_units), ends, indices)
        weights, _, distance = solver.solve(
            features, labels, loss, lasso, weights, features @ weights
        )
        n_solved += 1
        if cost(weights.reshape(shape)) >= norm:
            break
    seconds = perf_counter() - start
    zeta = weights.reshape(shape)
    return {
        "seconds": seconds,
        "decision_values": decision_values(X_test, activations_test, zeta),
        "stopped": f"subgradient {distance:.0e}, lambda {n_solved} of a path",
        "norm": cost(zeta),
    }
