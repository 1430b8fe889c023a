"""The worked example of Figure 1: two units with two contexts each, in the plane."""

import numpy as np

import gnorm
from gnorm import gated, max_margin, norms


def inputs(n_samples=40, seed=5):
    """Points with a constant feature; the classes are the inside and the outside of a rhomb."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1.0, 1.0, size=(4 * n_samples, 2))
    height = np.abs(points) @ [0.9, 1.1] + 0.2 * points[:, 0] - 0.8
    points, height = (a[np.abs(height) > 0.1][:n_samples] for a in (points, height))
    return np.column_stack([points, np.ones(len(points))]), np.where(height > 0, 1, -1)


def contexts(X):
    """The first unit looks at the sign of x1, the second at that of x2."""
    bits = X[:, :2] > 0
    return bits[:, :, None] == np.array([True, False])


def solve():
    """Inputs, labels, and unit weights of least GLN norm and of least L2 norm."""
    X, y = inputs()
    gates = contexts(X)
    gln = max_margin(X, y, gates, tol=1e-8).zeta
    l2 = gnorm.solve(X, y, gates, norm="predictor_l2", C=np.inf, tol=1e-8).zeta
    return X, y, {"SVM-GLN": gated.canonical(gln), "SVM-L2": gated.canonical(l2)}


def summary():
    """Norms of both predictors, for the report."""
    _, _, found = solve()
    return {
        name: {"GLN norm": norms.gln_norm(zeta), "L2 norm": norms.predictor_l2_norm(zeta)}
        for name, zeta in found.items()
    }
