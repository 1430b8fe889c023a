"""Where descent in a geometry ends: the exact solution in the norm that the geometry induces.

One architecture, a gated linear network of two layers, has a norm of its functions for every norm
of its weights. Here min ||w||^2 over the weights of a function is its norm times a constant, and
each is compared with the solution by linear or conic programming.
"""

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import linprog

from gnorm import max_margin
from gnorm.descent import (
    L2,
    Adam,
    Average,
    Descent,
    Direction,
    GatedNetwork,
    GradientDescent,
    Linf,
    Logarithm,
    Lp,
    MarginGrowth,
    Normalized,
    Rate,
    Riemannian,
    Spectral,
)

N, D, H, C = 60, 10, 5, 2
N_STEPS = 2500
METRIC = np.diag(np.linspace(0.2, 3.0, D))


def a_problem():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D))
    y = np.where(rng.random(N) < 0.5, -1, 1)
    contexts = rng.integers(C, size=(N, H))
    return X, y, contexts[:, :, None] == np.arange(C)


def features(X, y, activations):
    """Features times labels, (n_samples, n_units * n_contexts * n_features)."""
    return (
        np.einsum("nhc,nd->nhcd", activations.astype(float), X) * y[:, None, None, None]
    ).reshape(len(X), -1)


def largest_margin_by_linear_programming(X, y, activations):
    """Largest smallest margin of unit weights between -1 and 1."""
    F = features(X, y, activations)
    n = F.shape[1]
    result = linprog(
        np.append(np.zeros(n), -1.0),
        A_ub=np.column_stack([-F, np.ones(len(F))]),
        b_ub=np.zeros(len(F)),
        bounds=[(-1, 1)] * n + [(None, None)],
        method="highs",
    )
    return -result.fun


def least_norms():
    """Least norms at margin 1 by cvxpy, with the constant of min ||w||^2, for each geometry."""
    X, y, activations = a_problem()
    Z = cp.Variable((H * C, D))
    constraints = [features(X, y, activations) @ cp.vec(Z, order="C") >= 1]
    units = [Z[h * C : (h + 1) * C] for h in range(H)]
    root = np.diag(1.0 / np.sqrt(np.diag(METRIC)))
    # max(||w2||, max_c sigma(W_c))^2 <= t iff W_c W_c' <= t for w2^2 = u, zeta_c = diag(w2) W_c
    t, u = cp.Variable(), cp.Variable(H)
    blocks = [cp.vstack([Z[h * C + c] for h in range(H)]) for c in range(C)]
    spectral = [cp.bmat([[cp.diag(u), block], [block.T, t * np.eye(D)]]) >> 0 for block in blocks]
    problems = {
        "l2": (2.0, cp.sum(cp.hstack([cp.norm(V, "fro") for V in units])), []),
        "l4": (
            np.sqrt(2.0),
            cp.norm(cp.hstack([cp.norm(cp.vec(V, order="C"), 4) for V in units]), 2),
            [],
        ),
        "linf": (1.0, cp.max(cp.abs(Z)), []),
        "spectral": (1.0, t, [*spectral, cp.sum(u) <= t]),
        "metric": (2.0, cp.sum(cp.hstack([cp.norm(V @ root, "fro") for V in units])), []),
    }
    return {
        name: constant
        * cp.Problem(cp.Minimize(cost), constraints + others).solve(solver=cp.CLARABEL)
        for name, (constant, cost, others) in problems.items()
    }


GEOMETRIES = {
    "l2": L2(),
    "l4": Lp(4.0),
    "linf": Linf(),
    "spectral": Spectral(),
    "metric": Riemannian([METRIC, None]),
}
GROWTH = MarginGrowth(N_STEPS, last=1e3)


def steepest(geometry, rate):
    """Steepest descent along an average of gradients of log L, while the margin grows."""
    parts = [Logarithm(), Average(0.9), Direction(geometry), Rate(Normalized(rate, scale=geometry))]
    return Descent(parts, max_steps=N_STEPS, rescaling=GROWTH)


def optimizers():
    X = a_problem()[0]
    inner = X @ np.sqrt(METRIC)
    return {
        "gradient descent": ("l2", GradientDescent.accelerated(X, N_STEPS, last=1e3)),
        "powers": ("l4", steepest(Lp(4.0), 0.2)),
        "signs": ("linf", steepest(Linf(), 0.006)),
        "adam": (
            "linf",
            Adam(
                Normalized(0.03, scale=Linf(), power=1.0),
                beta2=0.9,
                epsilon=0.0,
                max_steps=N_STEPS,
                rescaling=GROWTH,
            ),
        ),
        "polar factors": ("spectral", steepest(Spectral(), 0.1)),
        "metric": (
            "metric",
            GradientDescent.accelerated(inner, N_STEPS, last=1e3, preconditioner=[METRIC, None]),
        ),
    }


@pytest.fixture(scope="module")
def exact():
    return least_norms()


def ratios(network, exact):
    X, y, activations = a_problem()
    margin = float(np.min(y * network.decision_function(X, activations)))
    weights = [layer.weights for layer in network.layers]
    return {name: margin * exact[name] / g.norm(weights) ** 2 for name, g in GEOMETRIES.items()}


def test_the_exact_solutions_agree_with_other_solvers(exact):
    X, y, activations = a_problem()
    assert_allclose(exact["l2"], 2 * max_margin(X, y, activations, tol=1e-9).norm, rtol=1e-6)
    best = largest_margin_by_linear_programming(X, y, activations)
    assert_allclose(exact["linf"], 1 / best, rtol=1e-6)
    inner = max_margin(X @ np.sqrt(METRIC), y, activations, tol=1e-9).norm
    assert_allclose(exact["metric"], 2 * inner, rtol=1e-6)


@pytest.mark.parametrize("name", optimizers())
def test_an_optimizer_ends_at_the_largest_margin_in_its_own_norm(name, exact):
    X, y, activations = a_problem()
    own, descent = optimizers()[name]
    network = GatedNetwork.gln(D, H, C, random_state=0)
    descent.train(network, X, y, activations)
    reached = ratios(network, exact)
    assert 0.99 < reached[own] <= 1 + 1e-6
    assert max(reached, key=reached.get) == own
    if own == "linf":
        assert reached["l2"] < 0.5
    if own == "l2":
        assert reached["linf"] < 0.3


def test_the_gln_ratio_does_not_rise_under_sign_descent(exact):
    X, y, activations = a_problem()
    network = GatedNetwork.gln(D, H, C, random_state=0)
    rows = {}
    descent = steepest(Linf(), 0.006)
    descent.callback = lambda step, network: rows.update({step: ratios(network, exact)})
    descent.train(network, X, y, activations)
    late = [row for step, row in rows.items() if step >= N_STEPS / 10]
    assert len(late) > 10
    assert late[-1]["linf"] - late[0]["linf"] > 0.3
    assert max(row["l2"] for row in late) < 0.5


def test_epsilon_turns_adam_towards_the_euclidean_norm(exact):
    """Once gradients are below epsilon, what is left is momentum of the gradient itself."""
    X, y, activations = a_problem()
    reached = {}
    for epsilon in (0.0, 1e-2):
        network = GatedNetwork.gln(D, H, C, random_state=0)
        Adam(0.01, epsilon=epsilon, max_steps=4000).train(network, X, y, activations)
        reached[epsilon] = ratios(network, exact)
    assert reached[1e-2]["l2"] > reached[0.0]["l2"] + 0.1
    assert reached[1e-2]["linf"] < reached[0.0]["linf"]
    assert max(reached[1e-2], key=reached[1e-2].get) == "l2"
