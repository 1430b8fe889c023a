"""LIBSVM with the RBF kernel and usual parameters: what one would run without gates."""

from time import perf_counter

from sklearn.svm import SVC

SOLVES = "another model: RBF kernel, C = 10"


def fit(X, y, activations, X_test, activations_test, *, C, tol, norm):
    start = perf_counter()
    rival = SVC(kernel="rbf", C=10, gamma="scale").fit(X, y)
    return {
        "seconds": perf_counter() - start,
        "decision_values": rival.decision_function(X_test),
        "stopped": f"own tolerance {rival.tol:.0e}, {rival.n_iter_[0]} iterations",
    }
