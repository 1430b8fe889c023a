"""scikit-learn's LogisticRegression (lbfgs) on explicit gated features, with its own penalty.

That is half the sum of squares of all weights: not the same problem, but the same features and
loss, and its gap is that of its own problem. The time is that of `fit`; building the features is
not in it."""

import warnings
from time import perf_counter

import numpy as np
from rivals import gated_features
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

SOLVES = "sum ||zeta_h||^2 / 2 + C sum of losses"


def fit(problem, accuracy, shares=None):
    own = np.ones(problem.shape[0]) if shares is None else shares
    used = np.flatnonzero(own)
    # a weight of unit h is sqrt(mu_h) times that of the scaled feature
    scales = np.sqrt(own[used])[:, None, None]
    features = gated_features(problem.X, problem.activations[:, used])
    features *= np.broadcast_to(scales, (len(used), *problem.shape[1:])).ravel()
    rival = LogisticRegression(C=problem.Cs[0], fit_intercept=False, tol=accuracy, max_iter=10_000)
    start = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the gap is measured
        rival.fit(features, problem.y)
    seconds = perf_counter() - start
    zeta = np.zeros(problem.shape)
    zeta[used] = rival.coef_.reshape(len(used), *problem.shape[1:]) * scales
    record = {
        "seconds": seconds,
        "zetas": zeta[None],
        "stopped": f"own tolerance {accuracy:.0e}, {rival.n_iter_[0]} iterations",
    }
    return record | ({"shares": own} if shares is None else {})
