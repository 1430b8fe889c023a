"""celer: the group lasso by block coordinate descent on working sets, explicit gated features."""

import warnings
from time import perf_counter

import numpy as np
from celer import celer_path
from rivals import gated_features
from sklearn.exceptions import ConvergenceWarning

SOLVES = "mean squared error / 2 + lambda R"


def fit(problem, accuracy):
    start = perf_counter()
    features = np.asfortranarray(gated_features(problem.X, problem.activations))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the gap is measured
        _, weights, gaps = celer_path(
            features,
            problem.y,
            "grouplasso",
            alphas=problem.lmdas,
            groups=features.shape[1] // len(problem.shares),
            max_iter=1000,
            tol=accuracy,
        )
    return {
        "seconds": perf_counter() - start,
        "zetas": weights.T,
        "stopped": f"own tolerance {accuracy:.0e}, own gap {gaps.max():.0e}",
    }
