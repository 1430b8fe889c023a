"""gnorm itself, by the method it chooses."""

from time import perf_counter

from gnorm import max_margin

SOLVES = "hinge loss * C + (sum ||zeta_h||)^2 / 2"


def fit(X, y, activations, X_test, activations_test, *, C, tol, norm):
    start = perf_counter()
    solution = max_margin(X, y, activations, C, method="auto", tol=tol)
    return {
        "seconds": perf_counter() - start,
        "decision_values": solution.decision_values(X_test, activations_test),
        "stopped": f"gap {solution.duality_gap:.0e}",
        "norm": solution.norm,
    }
