"""Where descent in a geometry ends: the exact solution in the norm that the geometry induces.

One architecture, a gated linear network of two layers, has a norm of its functions for every norm
of its weights; ``examples/plot_geometries.py`` has the problem, its exact solutions and the
optimisers. A linear network of two layers with several outputs is the other case.
"""

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import linprog

from examples.plot_geometries import (
    GROWTH,
    METRIC,
    N_STEPS,
    C,
    D,
    H,
    least_squared_norms,
    margin_ratios,
    samples,
    steepest,
    ways,
)
from gnorm.descent import (
    Adam,
    GatedNetwork,
    GradientDescent,
    Network,
    Normalized,
    Schedule,
    Spectral,
)
from gnorm.descent.layers import Dense

X, Y, ACTIVATIONS = samples()


@pytest.fixture(scope="module")
def least():
    return least_squared_norms(X, Y, ACTIVATIONS)


def a_network():
    return GatedNetwork.gln(D, H, C, random_state=0)


def features():
    """Features times labels, (n_samples, n_units * n_contexts * n_features)."""
    opened = np.einsum("nhc,nd->nhcd", ACTIVATIONS.astype(float), X)
    return (opened * Y[:, None, None, None]).reshape(len(X), -1)


def test_the_exact_solutions_agree_with_other_solvers(least):
    Z = cp.Variable((H * C, D))
    separates = features() @ cp.vec(Z, order="C") >= 1
    units = [Z[h * C : (h + 1) * C] for h in range(H)]
    root = np.diag(1.0 / np.sqrt(np.diag(METRIC)))
    costs = {
        "l2": 2.0 * cp.sum(cp.hstack([cp.norm(V, "fro") for V in units])),
        "metric": 2.0 * cp.sum(cp.hstack([cp.norm(V @ root, "fro") for V in units])),
        "l4": np.sqrt(2.0)
        * cp.norm(cp.hstack([cp.norm(cp.vec(V, order="C"), 4) for V in units]), 2),
    }
    for name, cost in costs.items():
        exact = cp.Problem(cp.Minimize(cost), [separates]).solve(solver=cp.CLARABEL)
        assert_allclose(least[name], exact, rtol=1e-5)


def test_the_exact_solution_for_signs_is_that_of_a_linear_program(least):
    """Largest smallest margin of unit weights between -1 and 1."""
    F = features()
    n = F.shape[1]
    result = linprog(
        np.append(np.zeros(n), -1.0),
        A_ub=np.column_stack([-F, np.ones(len(F))]),
        b_ub=np.zeros(len(F)),
        bounds=[(-1, 1)] * n + [(None, None)],
        method="highs",
    )
    assert_allclose(least["linf"], -1.0 / result.fun, rtol=1e-6)


@pytest.mark.parametrize("name", ways(X))
def test_an_optimizer_ends_at_the_largest_margin_in_its_own_norm(name, least):
    own, descent = ways(X)[name]
    network = a_network()
    rows = {}
    descent.callback = lambda step, network: rows.update(
        {step: margin_ratios(network, least, X, Y, ACTIVATIONS)}
    )
    descent.train(network, X, Y, ACTIVATIONS)
    reached = rows[N_STEPS]
    assert 0.99 < reached[own] <= 1 + 1e-6
    assert max(reached, key=reached.get) == own
    late = [row for step, row in rows.items() if step >= N_STEPS / 10]
    assert len(late) > 10
    # the other norms are left where they are: it is not that all margins become large
    if own == "linf":
        assert late[-1]["linf"] - late[0]["linf"] > 0.3
        assert max(row["l2"] for row in late) < 0.5
    if own == "l2":
        assert late[-1]["l2"] - late[0]["l2"] > 0.3
        assert max(row["linf"] for row in late) < 0.3


class Rising(Schedule):
    """Rates that rise so that the loss falls by a factor a step."""

    def rate(self, step):
        return 0.01 * np.exp(0.01 * step)


def test_epsilon_turns_adam_to_the_euclidean_norm(least):
    """Once gradients are below epsilon, what is left is momentum of the gradient itself."""
    reached = {}
    for epsilon in (1e-8, 1e-2):
        network = a_network()
        Adam(Rising(), epsilon=epsilon, max_steps=6000).train(network, X, Y, ACTIVATIONS)
        reached[epsilon] = margin_ratios(network, least, X, Y, ACTIVATIONS)
    assert 0.95 < reached[1e-2]["l2"] <= 1 + 1e-6
    assert max(reached[1e-2], key=reached[1e-2].get) == "l2"
    assert reached[1e-2]["l2"] > reached[1e-8]["l2"] + 0.3
    assert reached[1e-2]["linf"] < reached[1e-8]["linf"]


# -- several outputs -------------------------------------------------------------------------------

N_CLASSES, N_INPUTS = 4, 10


def classes():
    rng = np.random.default_rng(0)
    return rng.normal(size=(12, N_INPUTS)) / np.sqrt(N_INPUTS), rng.integers(N_CLASSES, size=12)


def least_norm_of_classes(norm):
    """Least norm of Z with f_y(x) - f_k(x) >= 1 for f = Z x and all k but the label y."""
    inputs, labels = classes()
    Z = cp.Variable((N_CLASSES, N_INPUTS))
    values = inputs @ Z.T
    constraints = [
        values[n, label] - values[n, k] >= 1
        for n, label in enumerate(labels)
        for k in range(N_CLASSES)
        if k != label
    ]
    return cp.Problem(cp.Minimize(norm(Z)), constraints).solve(solver=cp.CLARABEL)


def euclidean():
    rate = Normalized(0.3, scale="network")
    return GradientDescent(rate, momentum=0.9, max_steps=N_STEPS, rescaling=GROWTH)


@pytest.mark.parametrize(
    ("own", "descent"),
    [("nuclear", euclidean()), ("operator", steepest(Spectral(), 0.5))],
    ids=["gradient descent", "spectral descent"],
)
def test_a_linear_network_with_several_outputs_reaches_the_norm_of_its_geometry(own, descent):
    inputs, labels = classes()
    network = Network(N_INPUTS, [Dense(N_INPUTS, 10), Dense(10, N_CLASSES)], random_state=0)
    margin = descent.train(network, inputs, labels)["min_margin"][-1]
    first, last = (W[0] for W in network.weights.values())
    values = np.linalg.svd(last @ first, compute_uv=False)
    reached = {
        "nuclear": margin * least_norm_of_classes(cp.normNuc) / values.sum(),
        "operator": margin * least_norm_of_classes(cp.sigma_max) / values[0],
    }
    assert 0.99 < reached[own] <= 1 + 1e-6
    assert min(reached.values()) < 0.9
