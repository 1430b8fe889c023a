"""LIBLINEAR by scikit-learn's LinearSVC on explicit gated features."""

import warnings
from time import perf_counter

from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from rivals import decision_values, gated_features

SOLVES = "hinge loss * C + sum ||zeta_h||^2 / 2"


def fit(X, y, activations, X_test, activations_test, *, C, tol, norm):
    start = perf_counter()
    rival = LinearSVC(loss="hinge", C=min(C, 1e10), fit_intercept=False, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # said by the iterations
        rival.fit(gated_features(X, activations), y)
    seconds = perf_counter() - start
    zeta = rival.coef_.reshape(*activations.shape[1:], X.shape[1])
    reached = "" if rival.n_iter_ < rival.max_iter else " not reached"
    return {
        "seconds": seconds,
        "decision_values": decision_values(X_test, activations_test, zeta),
        "stopped": f"own tolerance {rival.tol:.0e}{reached}, {rival.n_iter_} iterations",
    }
