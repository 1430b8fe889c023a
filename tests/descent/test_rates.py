"""Rates of quasi-homogeneity: what flow conserves, what never falls, and where training ends."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize, nnls

from gnorm.descent import (
    Damped,
    GatedNetwork,
    GradientDescent,
    MarginLoss,
    Network,
    conserved,
    euler_residual,
    kkt_point,
    seminorm,
)
from gnorm.descent.layers import (
    BatchNorm,
    Bias,
    Columns,
    Convolution,
    Dense,
    Diagonal,
    LayerNorm,
    LeakyReLU,
    Quadratic,
    ReLU,
    Sum,
    residual,
)

N, D = 12, 4


def relu_with_biases():
    hidden = [Dense(D, 5), Bias(5), ReLU(), Dense(5, 4), Bias(4), ReLU()]
    return [*hidden, Dense(4, 1), Bias(1)]


def residual_net():
    block = residual(Dense(5, 6), Bias(6), ReLU(), Dense(6, 5))
    return [Dense(D, 5), block, ReLU(), Dense(5, 1)]


def normalized():
    return [Dense(D, 5), BatchNorm(5, affine=True), ReLU(), Dense(5, 1)]


def shared():
    matrix = Dense(D, D)
    return [matrix, ReLU(), matrix, Bias(D), ReLU(), Dense(D, 3)]


ARCHITECTURES = {
    "ReLU with biases": relu_with_biases,
    "residual": residual_net,
    "batch norm": normalized,
    "layer norm": lambda: [Dense(D, 5), LayerNorm(5), Dense(5, 3)],
    "diagonal": lambda: [Diagonal(D), Diagonal(D), Dense(D, 1)],
    "convolution": lambda: [Convolution(D, 3, 1, 2), LeakyReLU(0.3), Dense(2 * D, 1)],
    "quadratic": lambda: [Dense(D, 3), Bias(3), Quadratic(), Dense(3, 1)],
    "several classes": lambda: [Dense(D, 5), Bias(5), ReLU(), Dense(5, 3)],
    "shared": shared,
    "two rates": lambda: [
        Sum([Columns([0]), Dense(1, 1)], [Columns([1, 2]), Dense(2, 1), Dense(1, 1)])
    ],
}
every_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


def problem(name, seed=0):
    rng = np.random.default_rng(seed)
    network = Network(D, ARCHITECTURES[name](), random_state=seed)
    network.parameters += 0.3 * rng.normal(size=network.parameters.shape)
    X = rng.normal(size=(N, D))
    values = network.decision_function(X)
    # labels that the network gets right, so that it is past the point of separability
    y = np.where(values >= 0, 1, -1) if network.n_outputs == 1 else values.argmax(axis=1)
    return network, X, y


def two_rate_vectors(network):
    polytope = network.rates()
    return [polytope.choose(), *polytope.vertices(), *(polytope.choose() + polytope.rays())]


# -- known polytopes -------------------------------------------------------------------------------


def test_rates_of_a_chain_are_those_that_sum_to_one():
    network = GatedNetwork.gln(D, [3, 2], 2, random_state=0)
    polytope = network.rates()
    assert polytope.degree == 3 == network.degree
    assert polytope.reason == ""
    assert_allclose(polytope.vertices(), np.eye(3)[::-1])
    assert_allclose(polytope.choose(), 1 / 3)
    assert polytope.rays().shape == (0, 3)


def test_biases_carry_the_rate_of_the_stream():
    polytope = Network(D, relu_with_biases()).rates()
    weights = [name.endswith("weights") for name in polytope.names]
    for corner in polytope.vertices():
        W, b = corner[weights], corner[np.logical_not(weights)]
        assert_allclose(W.sum(), 1)
        assert_allclose(b, np.cumsum(W))
    assert len(polytope.vertices()) == 3
    assert polytope.degree is None
    assert (
        "in bias_4, the bias and what it is added to must scale alike, but have degrees 1 and 2"
        in (polytope.reason)
    )
    # the output bias has rate 1 whatever the others do; next come the last weights and the second
    # bias, which add to 1, then the two first weights, which add to the rate of that bias
    assert_allclose(polytope.choose()[weights], [0.25, 0.25, 0.5])


def test_weights_of_a_residual_branch_have_rate_zero():
    network = Network(D, residual_net())
    chosen = dict(zip(network.names, network.rates().choose(), strict=True))
    for corner in network.rates().vertices():
        rates = dict(zip(network.names, corner, strict=True))
        stream = rates["dense_0.weights"]
        assert rates["dense_1.weights"] == rates["dense_4.weights"] == 0
        assert_allclose(rates["bias_2.bias"], stream)
        assert_allclose(rates["dense_6.weights"], 1 - stream)
    assert_allclose([chosen["dense_0.weights"], chosen["dense_6.weights"]], 0.5)


def test_normalisation_resets_the_stream():
    network = Network(D, normalized())
    polytope = network.rates()
    assert_allclose(polytope.rays(), [[1, 0, 0, 0]])  # the scale-invariant block
    assert_allclose(polytope.vertices(), [[0, 0, 0, 1], [0, 1, 1, 0]])
    with_eps = Network(D, [Dense(D, 5), LayerNorm(5, eps=1e-5), Dense(5, 1)]).rates()
    assert_allclose(with_eps.vertices(), [[0, 1]])
    assert with_eps.rays().shape == (0, 2)
    assert "its inputs and its eps" in with_eps.reason


def test_symmetries_change_no_value_and_span_what_the_vertices_differ_in():
    for name in ARCHITECTURES:
        network, X, _ = problem(name)
        polytope = network.rates()
        basis = polytope.symmetries()
        corners = np.vstack([polytope.vertices(), polytope.choose() + polytope.rays()])
        differences = corners - corners[0]
        assert_allclose(differences @ basis.T @ basis, differences, atol=1e-12)
        values = network.decision_function(X)
        for rates in basis:
            other = network.copy()
            for W, rate in zip(other.split(other.parameters), rates, strict=True):
                W *= np.exp(rate)
            assert_allclose(other.decision_function(X), values, rtol=1e-9, atol=1e-12)


def test_chosen_rates_are_the_least_of_their_kind():
    """Against minimising a high power mean, which tends to the lexicographic optimum."""
    polytope = Network(D, relu_with_biases()).rates()
    result = minimize(
        lambda r: np.sum(r**12),
        polytope.vertices().mean(axis=0),
        bounds=[(0, None)] * 6,
        constraints={"type": "eq", "fun": lambda r: polytope.equations @ r - polytope.values},
        options={"maxiter": 500, "ftol": 1e-14},
    )
    chosen = polytope.choose()
    assert_allclose(chosen.max(), 1.0)
    assert np.sum(np.sort(chosen)[::-1] > np.sort(result.x)[::-1] + 0.05) <= 2
    assert polytope.violation(chosen) < 1e-12


# -- what holds along descent ----------------------------------------------------------------------


@every_architecture
def test_euler_identity_for_all_rates(name):
    network, X, _ = problem(name)
    for rates in two_rate_vectors(network):
        assert euler_residual(network, X, rates=rates) < 1e-11


@every_architecture
def test_what_flow_conserves_drifts_in_proportion_to_the_rate(name):
    drifts = []
    for rate in (0.01, 0.005, 0.0025):
        network, X, y = problem(name)
        vectors = two_rate_vectors(network)
        objective = MarginLoss(network, X, y, rates=vectors)
        run = GradientDescent(rate, max_steps=round(1 / rate)).minimize(objective)
        assert run["conserved"].shape[1] == len(vectors) - 1
        drifts.append(np.abs(run["conserved"][-1] - run["conserved"][0]))
        for rates, value in zip(vectors[1:], run["conserved"][-1], strict=True):
            assert_allclose(conserved(network, rates, vectors[0]), value, atol=1e-12)
        assert_allclose([seminorm(network, r) for r in vectors], run["seminorms"][-1])
    if len(vectors) > 1:
        moved = np.abs(run["seminorms"][-1] - run["seminorms"][0]).max()
        assert moved > 1e-3
        assert drifts[0].max() < 0.2 * moved
        kept = drifts[0] > 1e-10
        assert_allclose(drifts[1][kept] / drifts[0][kept], 0.5, atol=0.12)
        assert_allclose(drifts[2][kept] / drifts[1][kept], 0.5, atol=0.08)


@every_architecture
def test_normalised_margins_never_fall(name):
    network, X, y = problem(name)
    vectors = [r for r in two_rate_vectors(network) if r.max() > 0]
    # larger weights, at rates of the network, until all margins together have a loss below 1
    for W, rate in zip(network.split(network.parameters), vectors[0], strict=True):
        W *= np.exp(4 * rate)
    objective = MarginLoss(network, X, y, loss="exponential", rates=vectors)
    before = objective.measure()
    sizes = 1e-3 * float(network.parameters @ network.parameters)
    gradient = np.empty_like(network.parameters)
    objective.gradient(None, gradient)
    descent = GradientDescent(
        min(1e-3, 0.01 * sizes / float(gradient @ gradient)) / before["loss"],
        loss="exponential",
        max_steps=200,
        log_every=10,
    )
    margins = descent.minimize(objective)["normalized_margins"]
    is_positive = margins[0] > 0
    assert is_positive.any()
    rises = np.diff(margins[:, is_positive], axis=0)
    assert (rises >= -1e-6 * np.abs(margins[0, is_positive])).all()
    assert (margins[-1] > margins[0])[is_positive].all()


def test_the_normalised_margin_of_a_homogeneous_network_is_that_of_lyu_and_li():
    network, X, y = problem("convolution")
    row = MarginLoss(network, X, y, loss="exponential", rates=[0.5, 0.5]).measure()
    sum_of_losses = np.exp(-y * network.decision_function(X)).sum()
    assert_allclose(
        row["normalized_margins"], 2 * np.log(1 / sum_of_losses) / row["squared_norm"], rtol=1e-12
    )


def test_unit_balance_counts_biases_and_is_conserved():
    network = Network(D, relu_with_biases(), random_state=0)
    network.parameters += 0.2
    V, b, W, c, U, _ = network.weights.values()
    first = (V[0] ** 2).sum(axis=1) + b**2 - (W[0] ** 2).sum(axis=0)
    second = (W[0] ** 2).sum(axis=1) + c**2 - (U[0] ** 2).sum(axis=0)
    for got, expected in zip(network.unit_balance(), [first, second], strict=True):
        assert_allclose(got, expected, atol=1e-13)
    assert Network(D, [Dense(D, 3), residual(Dense(3, 3)), Dense(3, 1)]).unit_balance() == []
    assert Network(D, shared()).unit_balance() == []


# -- margins of several classes --------------------------------------------------------------------


def test_margins_and_gradients_of_several_classes():
    network, X, y = problem("several classes")
    values = network.decision_function(X)
    objective = MarginLoss(network, X, y, loss="exponential")
    expected = [values[n, y[n]] - values[n, k] for n in range(N) for k in range(3) if k != y[n]]
    assert_allclose(objective.margins(), expected)
    gradient = np.empty_like(network.parameters)
    log_scale, _ = objective.gradient(None, gradient)
    w = network.parameters
    for i in range(0, len(w), 7):
        value = w[i]
        sides = []
        for step in (1e-6, -1e-6):
            w[i] = value + step
            sides.append(np.exp(-objective.margins()).mean())
        w[i] = value
        assert_allclose(np.exp(log_scale) * gradient[i], (sides[0] - sides[1]) / 2e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.arange(N) % 4, r"expected labels 0 to 2 in y, got \[0 1 2 3\]"),
        (-np.ones(N), "labels 0"),
    ],
)
def test_labels_of_several_classes_that_do_not_fit(y, message):
    network, X, _ = problem("several classes")
    with pytest.raises(ValueError, match=message):
        MarginLoss(network, X, y)


def test_rates_of_an_objective_that_are_not_valid():
    network, X, y = problem("convolution")
    with pytest.raises(ValueError, match="expected rates for which the outputs have rate 1"):
        MarginLoss(network, X, y, rates=[0.5, 0.7])


# -- approximate KKT points ------------------------------------------------------------------------


@every_architecture
def test_kkt_points_are_least_squares_of_gradients_at_rescaled_weights(name):
    network, X, y = problem(name)
    objective = MarginLoss(network, X, y)
    margins = objective.margins()
    smallest = margins.min()
    for rates in two_rate_vectors(network):
        point = kkt_point(network, X, y, rates=rates, tol=1.0)
        # rescaled weights have the smallest margin 1; gradients there by finite differences
        rescaled = network.copy()
        lengths = [W.size for W in network.split(network.parameters)]
        each = np.repeat(rates, lengths)
        rescaled.parameters *= smallest**-each
        other = MarginLoss(rescaled, X, y)
        assert_allclose(other.margins(), margins / smallest, rtol=1e-9)
        near = np.flatnonzero(margins <= 2 * smallest)
        gradients = np.empty((len(near), len(each)))
        for i in range(len(each)):
            value = rescaled.parameters[i]
            step = 1e-6 * max(1.0, abs(value))
            rescaled.parameters[i] = value + step
            above = other.margins()[near]
            rescaled.parameters[i] = value - step
            gradients[:, i] = (above - other.margins()[near]) / (2 * step)
            rescaled.parameters[i] = value
        is_top = each == each.max()
        target = np.where(is_top, rescaled.parameters, 0.0)
        _, expected = nnls(gradients.T, target)
        assert_allclose(point.epsilon, expected, rtol=1e-5, atol=1e-6 * np.linalg.norm(target))
        assert_allclose(point.residual, point.epsilon / np.linalg.norm(target))
        assert_allclose(point.delta, (point.multipliers * (margins / smallest - 1)).max())
        assert (point.multipliers >= 0).all()
        assert not np.delete(point.multipliers, near).any()
        assert point.n_kinks == 0


def test_blocks_of_gradients_change_nothing(monkeypatch):
    network, X, y = problem("several classes")
    GradientDescent(0.1, max_steps=300).train(network, X, y)
    whole = kkt_point(network, X, y, tol=5.0)
    monkeypatch.setattr("gnorm.descent.kkt._BLOCK_ENTRIES", 3 * len(network.parameters))
    parts = kkt_point(network, X, y, tol=5.0)
    assert np.count_nonzero(whole.multipliers) > 3
    assert_allclose(parts.multipliers, whole.multipliers, atol=1e-9)
    assert_allclose(parts.epsilon, whole.epsilon)


# -- layers grow alike -----------------------------------------------------------------------------


def chain_of_unlike_layers(seed=0):
    """Three layers, each of degree 1: a convolution, a matrix and a matrix with ReLUs between."""
    chain = [Convolution(D, 3, 1, 2), ReLU(), Dense(2 * D, 5), ReLU(), Dense(5, 1)]
    rng = np.random.default_rng(seed)
    network = Network(D, chain, random_state=seed)
    network.parameters += 0.2 * rng.normal(size=network.parameters.shape)
    for W, factor in zip(network.split(network.parameters), [0.5, 1.0, 1.5], strict=True):
        W *= factor
    X = rng.normal(size=(N, D))
    return network, X, np.where(rng.random(N) < 0.5, -1, 1)


def test_squared_norms_of_the_layers_grow_alike_and_their_distances_do_not():
    spreads = []
    for rate in (0.02, 0.01, 0.005):
        network, X, y = chain_of_unlike_layers()
        before = [W.copy() for W in network.split(network.parameters)]
        pushes = []

        def push(step, trained, X=X, y=y, pushes=pushes):
            """The growth at the moment, - sum_n l'(y f) y f / N."""
            margins = y * trained.decision_function(X)
            pushes.append(np.mean(margins / (1 + np.exp(margins))))

        run = GradientDescent(rate, max_steps=round(6 / rate), log_every=1, callback=push)
        run.train(network, X, y)
        after = network.split(network.parameters)
        growth = [(np.sum(W**2) - np.sum(V**2)) / 2 for W, V in zip(after, before, strict=True)]
        integral = rate * (np.sum(pushes) - 0.5 * (pushes[0] + pushes[-1]))
        spreads.append(np.abs(np.array(growth) - integral).max())
    distances = [np.linalg.norm(W - V) for W, V in zip(after, before, strict=True)]
    assert min(growth) > 0.1
    assert spreads[2] < 0.05 * min(growth)
    assert_allclose([spreads[1] / spreads[0], spreads[2] / spreads[1]], 0.5, atol=0.1)
    assert max(distances) > 1.3 * min(distances)


# -- runs go on ------------------------------------------------------------------------------------


@every_architecture
@pytest.mark.parametrize("batch_size", [None, 5])
def test_a_run_in_two_parts_is_the_same_run(name, batch_size, tmp_path):
    options = {"momentum": 0.9, "batch_size": batch_size, "random_state": 0}
    whole, X, y = problem(name)
    GradientDescent(0.01, max_steps=30, **options).train(whole, X, y)
    parts, *_ = problem(name)
    first = GradientDescent(0.01, max_steps=11, **options).train(parts, X, y)
    GradientDescent(0.01, max_steps=30, **options).train(parts, X, y, history=first)
    assert_array_equal(parts.parameters, whole.parameters)


def test_an_interrupted_run_goes_on():
    def interrupt(step, network):
        if step == 7:
            raise KeyboardInterrupt

    whole, X, y = problem("batch norm")
    GradientDescent(Damped(0.1), max_steps=20).train(whole, X, y)
    parts, *_ = problem("batch norm")
    descent = GradientDescent(Damped(0.1), max_steps=20, callback=interrupt)
    with pytest.warns(UserWarning, match="interrupted after 7 of 20 steps"):
        history = descent.train(parts, X, y)
    GradientDescent(Damped(0.1), max_steps=20).train(parts, X, y, history=history)
    assert_array_equal(parts.parameters, whole.parameters)


@pytest.mark.parametrize("power", [-1.0, np.inf, np.nan])
def test_damping_that_is_none(power):
    with pytest.raises(ValueError, match=f"expected a finite power >= 0, got {power}"):
        Damped(0.1, power)


def test_damped_rates_fall_with_the_weights():
    weights = [np.full((1, 2, 2), 1.0), np.full(5, 1.0)]
    assert_allclose(Damped(3.0, 2.0).multiplier(7, -1e9, weights), 3.0 / 10.0**2)


# -- the limit -------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [0.6, 1.0])
def test_two_balls_are_separated_along_the_direction_of_the_formula(radius):
    """The direction (sqrt(r^2 - mu_2^2), mu_2) / r of Kunin et al., with all of it on x_2 below."""
    mu = np.array([1.0, 0.8])
    angles = 2 * np.pi * np.arange(60) / 60
    circle = radius * np.column_stack([np.cos(angles), np.sin(angles)])
    X, y = np.concatenate([mu + circle, -mu + circle]), np.repeat([1, -1], 60)
    branches = [Columns([0]), Dense(1, 1)], [Columns([1]), Dense(1, 1), Dense(1, 1)]
    network = Network(2, [Sum(*branches)], parameters=[0.5, 0.5, 0.5])
    GradientDescent(Damped(4.0), max_steps=8000).train(network, X, y)
    direction = network.decision_function(np.eye(2))
    direction /= np.linalg.norm(direction)
    expected = np.array([np.sqrt(max(0.0, radius**2 - mu[1] ** 2)), mu[1]])
    assert_allclose(direction, expected / np.linalg.norm(expected), atol=0.01)
    if radius > mu[1]:  # below, the weight of the largest rate is not needed
        assert kkt_point(network, X, y, rates=[1.0, 0.5, 0.5]).residual < 1e-6


def test_an_output_bias_that_is_not_needed_is_left_behind():
    """The largest rate is not needed to separate: lower rates are minimised, without the bias."""
    rng = np.random.default_rng(0)
    y = np.where(np.arange(40) < 20, 1, -1)
    X = rng.normal(size=(40, 2)) + np.outer(y, [1.0, 0.5]) * 3 + [1.5, -1.0]
    network = Network(2, [Dense(2, 3), Dense(3, 1), Bias(1)], random_state=0)
    assert_allclose(network.rates().choose(), [0.5, 0.5, 1.0])
    GradientDescent(Damped(0.2), max_steps=6000).train(network, X, y)
    V, W, bias = network.weights.values()
    direction = (W[0] @ V[0])[0]
    margins = y * network.decision_function(X)
    separators = []
    for with_bias in (False, True):
        A = np.column_stack([X, np.ones(40)]) if with_bias else X
        result = minimize(
            lambda u: 0.5 * u[:2] @ u[:2],
            np.append(direction, bias)[: A.shape[1]] / margins.min(),
            constraints={"type": "ineq", "fun": lambda u, A=A: y * (A @ u) - 1},
        )
        separators.append(result.x[:2])
    angles = [
        np.arccos(direction @ u / np.linalg.norm(direction) / np.linalg.norm(u)) for u in separators
    ]
    assert angles[1] > 0.2  # the two separators are far from each other
    assert angles[0] < 0.02
    assert abs(bias[0]) < 0.02 * margins.min()


def test_normalised_features_of_a_class_collapse_and_classes_form_a_simplex():
    y = np.repeat(np.arange(4), 5)
    for layer in (LayerNorm(3, center=False), BatchNorm(3)):
        chain = [Dense(20, 3, init="kaiming_normal"), layer, Dense(3, 4)]
        network = Network(20, chain, random_state=0)
        GradientDescent(Damped(1.0), max_steps=2000).train(network, np.eye(20), y)
        objective = MarginLoss(network, np.eye(20), y)
        W = network.split(network.parameters)[-1]
        value = 3 * np.sum(W**2) / objective.margins().min() ** 2
        assert 2.25 - 1e-9 <= value <= 2.30
        checked = network.check_inputs(np.eye(20), None)
        features = network.forward(*checked).inputs[-1] / np.sqrt(3)
        same = y[:, None] == y
        assert_allclose(features @ features.T, np.where(same, 1.0, -1 / 3), atol=0.02)
        point = kkt_point(network, np.eye(20), y)
        assert point.residual < 0.1
