"""skglm: the group lasso by block coordinate descent on working sets, explicit gated features."""

import warnings
from time import perf_counter

import numpy as np
from rivals import gated_features
from skglm.datafits import QuadraticGroup
from skglm.penalties import WeightedGroupL2
from skglm.solvers import GroupBCD
from sklearn.exceptions import ConvergenceWarning

SOLVES = "mean squared error / 2 + lambda R"


def fit(problem, accuracy):
    n_units = len(problem.shares)
    start = perf_counter()
    features = np.asfortranarray(gated_features(problem.X, problem.activations))
    indices = np.arange(features.shape[1], dtype=np.int32)
    ends = np.arange(n_units + 1, dtype=np.int32) * np.int32(len(indices) // n_units)
    loss = QuadraticGroup(ends, indices)
    solver = GroupBCD(max_iter=1000, tol=accuracy)
    weights, zetas = np.zeros(len(indices)), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the gap is measured
        for lmda in problem.lmdas:
            lasso = WeightedGroupL2(lmda, np.ones(n_units), ends, indices)
            weights, _, distance = solver.solve(
                features, problem.y, loss, lasso, weights, features @ weights
            )
            zetas.append(weights.copy())
    return {
        "seconds": perf_counter() - start,
        "zetas": zetas,
        "stopped": f"own tolerance {accuracy:.0e}, subgradient {distance:.0e}",
    }
