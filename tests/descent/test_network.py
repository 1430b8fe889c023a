"""Gated networks: against loops over their definition, finite differences and Euler's identity."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from gnorm import gated
from gnorm.descent import Gate, GatedNetwork, MarginLoss, euler_residual
from gnorm.gates import ReLUGates

N, D = 9, 4

ARCHITECTURES = {
    "gln": lambda **kw: GatedNetwork.gln(D, 3, 2, **kw),
    "gln of one unit and context": lambda **kw: GatedNetwork.gln(D, 1, 1, **kw),
    "gln of depth 3": lambda **kw: GatedNetwork.gln(D, [3, 2], [2, 3], **kw),
    "shallow gln": lambda **kw: GatedNetwork.shallow_gln(D, 3, **kw),
    "frelu": lambda **kw: GatedNetwork.frelu(D, 5, **kw),
    "frelu of depth 3": lambda **kw: GatedNetwork.frelu(D, [5, 3], **kw),
    "relu": lambda **kw: GatedNetwork.relu(D, 6, **kw),
    "relu of depth 3": lambda **kw: GatedNetwork.relu(D, [6, 5], **kw),
    "linear": lambda **kw: GatedNetwork.deep_linear(D, 3, **kw),
    "linear of depth 4": lambda **kw: GatedNetwork.deep_linear(D, [3, 2, 3], **kw),
}
HAS_RELU = {"relu", "relu of depth 3"}
every_architecture = pytest.mark.parametrize("name", ARCHITECTURES)
with_and_without_bias = pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])


def random_gates(network, n_samples, one_hot, rng):
    """Activations of each layer with fixed gates; where not one-hot, any number is open."""
    gates = []
    for layer in network.layers:
        if layer.gate is Gate.FIXED:
            n_contexts, n_out, _ = layer.weights.shape
            if one_hot and n_contexts > 1:
                contexts = rng.integers(n_contexts, size=(n_samples, n_out))
                gates.append(contexts[:, :, None] == np.arange(n_contexts))
            else:
                gates.append(rng.random((n_samples, n_out, n_contexts)) < 0.6)
    return gates


def random_problem(name, bias=False, one_hot=True, seed=0):
    rng = np.random.default_rng(seed)
    network = ARCHITECTURES[name](bias=bias, random_state=seed)
    network.parameters[:] = rng.normal(size=network.parameters.shape) / np.sqrt(D)
    X = rng.normal(size=(N, D))
    y = rng.choice([-1.0, 1.0], size=N)
    return network, X, y, random_gates(network, N, one_hot, rng)


def value_by_definition(network, x, gates):
    """Value on one input: one sum for every unit, layer by layer."""
    fixed = iter(gates)
    a = x
    for layer in network.layers:
        n_contexts, n_out, _ = layer.weights.shape
        if layer.gate is Gate.FIXED:
            is_open = next(fixed)
        units = []
        for h in range(n_out):
            total = 0.0
            for c in range(n_contexts):
                z = layer.weights[c, h] @ a
                if layer.gate is Gate.RELU:
                    total += max(z, 0.0)
                elif layer.gate is Gate.LINEAR or is_open[h, c]:
                    total += z
            units.append(total)
        a = np.array(units)
    return a[0] + network.bias


def central_differences(function, w, step=1e-5):
    slopes = np.empty_like(w)
    for i, value in enumerate(w.copy()):
        w[i] = value + step
        above = function()
        w[i] = value - step
        slopes[i] = (above - function()) / (2 * step)
        w[i] = value
    return slopes


# -- values ----------------------------------------------------------------------------------------


@every_architecture
@with_and_without_bias
@pytest.mark.parametrize("one_hot", [True, False], ids=["one-hot", "any gates"])
def test_values_equal_the_definition(name, bias, one_hot):
    network, X, _, gates = random_problem(name, bias, one_hot)
    expected = [value_by_definition(network, X[n], [g[n] for g in gates]) for n in range(N)]
    assert_allclose(network.decision_function(X, gates), expected, atol=1e-14)


@every_architecture
@given(seed=st.integers(0, 2**32 - 1), alpha=st.floats(0.01, 100.0))
def test_values_are_homogeneous_of_the_degree_of_the_depth(name, seed, alpha):
    network, X, _, gates = random_problem(name, seed=seed)
    values = network.decision_function(X, gates)
    network.parameters *= alpha
    assert_allclose(
        network.decision_function(X, gates), alpha**network.depth * values, rtol=1e-9, atol=1e-12
    )


def test_a_bias_breaks_homogeneity():
    network, X, _, gates = random_problem("gln", bias=True)
    values = network.decision_function(X, gates)
    bias = network.bias
    network.parameters *= 3.0
    assert_allclose(network.decision_function(X, gates), 9 * (values - bias) + 3 * bias)


@pytest.mark.parametrize("n_contexts", [1, 2, 4])
def test_two_layers_are_the_gated_linear_map(n_contexts):
    rng = np.random.default_rng(n_contexts)
    network = GatedNetwork.gln(D, 5, n_contexts, random_state=0)
    network.parameters[:] = rng.normal(size=network.parameters.shape)
    X = rng.normal(size=(N, D))
    (activations,) = random_gates(network, N, True, rng)
    zeta = network.to_zeta()
    first, last = network.layers
    assert zeta.shape == (5, n_contexts, D)
    for h, c in np.ndindex(5, n_contexts):
        assert_allclose(zeta[h, c], last.weights[0, 0, h] * first.weights[c, h], atol=1e-15)
    assert_allclose(
        network.decision_function(X, activations),
        gated.decision_values(X, activations, zeta),
        atol=1e-13,
    )


def test_a_shallow_network_has_one_predictor_per_context():
    network = GatedNetwork.shallow_gln(D, 3, bias=True, random_state=0)
    X = np.random.default_rng(0).normal(size=(3, D))
    activations = np.eye(3, dtype=bool)[:, None, :]
    expected = np.einsum("cd,cd->c", network.layers[0].weights[:, 0], X)
    assert network.depth == 1
    assert_allclose(network.decision_function(X, activations), expected + network.bias)


# -- gradients -------------------------------------------------------------------------------------


@every_architecture
@with_and_without_bias
@pytest.mark.parametrize("loss", ["logistic", "exponential"])
@pytest.mark.parametrize("rows", [None, [4, 0, 7]], ids=["full", "batch"])
def test_gradients_of_the_loss_equal_finite_differences(name, bias, loss, rows):
    network, X, y, gates = random_problem(name, bias, one_hot=False)
    chosen = np.arange(N) if rows is None else np.array(rows)

    def loss_by_definition():
        margins = (y * network.decision_function(X, gates))[chosen]
        losses = np.exp(-margins) if loss == "exponential" else np.log1p(np.exp(-margins))
        return losses.mean()

    expected = central_differences(loss_by_definition, network.parameters)
    gradient = np.full_like(network.parameters, np.nan)
    objective = MarginLoss(network, X, y, gates, loss)
    slope = objective.gradient(None if rows is None else chosen, gradient)
    assert_allclose(slope.log_scale, np.log(loss_by_definition()), atol=1e-13)
    margins = y * network.decision_function(X, gates)
    assert_allclose(slope.min_margin, margins[chosen].min())
    assert_allclose(np.exp(slope.log_scale) * gradient, expected, atol=2e-9)
    assert np.abs(expected).max() > 1e-3


@every_architecture
@with_and_without_bias
def test_gradients_of_the_values_equal_finite_differences(name, bias):
    network, X, _, gates = random_problem(name, bias)
    coef = np.linspace(-1, 2, N)
    expected = central_differences(
        lambda: coef @ network.decision_function(X, gates), network.parameters
    )
    assert_allclose(network.gradient(X, gates, coef), expected, atol=1e-8)


@every_architecture
@with_and_without_bias
def test_factors_give_the_gradient_of_every_sample(name, bias):
    network, X, _, gates = random_problem(name, bias)
    coef = np.linspace(-1, 2, N)
    total = np.empty_like(network.parameters)
    factors = network.backward(network.forward(*network.check_inputs(X, gates)), coef, total)
    pairs = [pair for (pair,) in factors]  # no array stands in two places
    by_sample = np.empty((N, len(total)))
    for n in range(N):
        by_sample[n] = np.concatenate(
            [np.outer(left[n], right[n]).ravel() for left, right in pairs]
        )
        alone = network.gradient(X[n : n + 1], [g[n : n + 1] for g in gates], coef[n : n + 1])
        assert_allclose(by_sample[n], alone, atol=1e-14)
    assert_allclose(by_sample.sum(axis=0), total, atol=1e-13)


@pytest.mark.parametrize("size", [1.0, 1e3])
def test_gradients_stay_finite_at_any_margin(size):
    network, X, y, gates = random_problem("gln of depth 3")
    network.parameters *= size
    y = np.sign(network.decision_function(X, gates))
    gradient = np.empty_like(network.parameters)
    slope = MarginLoss(network, X, y, gates, "logistic").gradient(None, gradient)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
    assert np.isfinite(slope.log_scale)


def test_a_relu_at_its_kink_counts_as_open():
    network = GatedNetwork([[[[1.0, 0.0]]], [[[2.0]]]], ["relu", "linear"])
    X = [[0.0, 3.0]]
    assert network.activations(X)[0].all()
    assert_array_equal(network.gradient(X, None, [1.0]), [0.0, 6.0, 0.0])


# -- Euler's identity ------------------------------------------------------------------------------


@every_architecture
@given(seed=st.integers(0, 2**32 - 1))
def test_euler_identity(name, seed):
    network, X, _, gates = random_problem(name, seed=seed)
    assert euler_residual(network, X, gates) <= 1e-10
    for n in range(N):
        one = X[n : n + 1], [g[n : n + 1] for g in gates]
        product = network.gradient(*one, [1.0]) @ network.parameters
        value = network.decision_function(*one)[0]
        assert abs(product - network.depth * value) <= 1e-10 * max(1.0, abs(value))


@every_architecture
def test_a_bias_breaks_euler_identity_by_its_size(name):
    network, X, _, gates = random_problem(name, bias=True)
    network.parameters[-1] = -0.7
    L, values = network.depth, network.decision_function(X, gates)
    residual = euler_residual(network, X, gates)
    assert_allclose(residual * np.abs(L * values).max(), (L - 1) * 0.7, atol=1e-13)


def test_euler_residual_of_a_network_that_is_zero_is_zero():
    network = GatedNetwork([np.zeros((1, 2, D)), np.zeros((1, 1, 2))], ["linear", "linear"])
    assert euler_residual(network, np.ones((3, D))) == 0.0


# -- gates that move, and gates that stand still ---------------------------------------------------


@with_and_without_bias
@pytest.mark.parametrize("n_units", [6, [6, 5]], ids=["two layers", "three layers"])
def test_freezing_keeps_values_and_gradients(n_units, bias):
    network = GatedNetwork.relu(D, n_units, bias=bias, random_state=0)
    if bias:
        network.parameters[-1] = 0.3
    X = np.random.default_rng(1).normal(size=(N, D))
    activations = network.activations(X)
    frozen = network.freeze()
    assert_allclose(
        frozen.decision_function(X, activations), network.decision_function(X), atol=1e-14
    )
    coef = np.linspace(-1, 1, N)
    assert_allclose(
        frozen.gradient(X, activations, coef), network.gradient(X, None, coef), atol=1e-14
    )
    assert all(
        np.array_equal(a, b)
        for a, b in zip(frozen.activations(X, activations), activations, strict=True)
    )
    before = network.parameters.copy()
    frozen.parameters += 1.0
    assert_array_equal(network.parameters, before)


def test_activations_of_a_relu_network_are_those_of_its_first_layer_as_gates():
    network = GatedNetwork.relu(D, 7, random_state=3)
    X = np.random.default_rng(1).normal(size=(200, D))
    gates = ReLUGates(weights=network.layers[0].weights[0], always_open=False).fit(X)
    (activations,) = network.activations(X)
    assert activations.shape == (200, 7, 1)
    assert_array_equal(activations, gates.transform(X))


def test_activations_of_fixed_gates_are_the_given_ones():
    network, X, _, gates = random_problem("gln of depth 3", one_hot=False)
    for a, b in zip(network.activations(X, gates), gates, strict=True):
        assert_array_equal(a, b)
    assert ARCHITECTURES["linear"]().activations(X) == []


# -- views and copies ------------------------------------------------------------------------------


@every_architecture
@with_and_without_bias
def test_parameters_are_the_weights_of_the_layers(name, bias):
    network, *_ = random_problem(name, bias)
    tail = [[network.bias]] if bias else []
    assert_array_equal(
        np.concatenate([*(layer.weights.ravel() for layer in network.layers), *tail]),
        network.parameters,
    )
    network.layers[0].weights[0, 0, 0] = 17.0
    assert network.parameters[0] == 17.0
    network.parameters[:] = 2.0
    assert all((layer.weights == 2.0).all() for layer in network.layers)
    assert network.bias == (2.0 if bias else 0.0)


@pytest.mark.parametrize("duplicate", [GatedNetwork.copy, lambda n: pickle.loads(pickle.dumps(n))])
def test_copies_have_weights_of_their_own(duplicate):
    network, X, _, gates = random_problem("gln", bias=True)
    values = network.decision_function(X, gates)
    other = duplicate(network)
    assert repr(other) == repr(network)
    assert_array_equal(other.decision_function(X, gates), values)
    other.parameters[:] = 0.0
    assert_array_equal(network.decision_function(X, gates), values)


def test_given_weights_are_copied():
    weights = [np.ones((1, 2, D)), np.ones((1, 1, 2))]
    network = GatedNetwork(weights, [Gate.LINEAR, "linear"], bias=0.5)
    network.parameters[:] = 0.0
    assert all((W == 1.0).all() for W in weights)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 4), (5, 1, 2)])
def test_zeta_survives_the_round_trip(shape):
    zeta = np.random.default_rng(0).normal(size=shape)
    zeta[0, 0] = 0.0
    network = GatedNetwork.from_zeta(zeta)
    assert_allclose(network.to_zeta(), zeta, atol=1e-15)
    cost = np.linalg.norm(zeta.reshape(len(zeta), -1), axis=1).sum()
    assert_allclose(network.parameters @ network.parameters, 2 * cost)


def test_repr_names_shapes_and_gates():
    network = GatedNetwork.frelu(4, [3, 2], bias=True)
    assert repr(network) == "GatedNetwork(1x3x4 fixed, 1x2x3 fixed, 1x1x2 linear, bias)"


# -- initialisation --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_units", [3, 6, 11], ids=["fewer rows", "square", "more rows"])
@pytest.mark.parametrize("scale", [1.0, 0.2])
def test_orthogonal_weights_are_orthonormal_in_every_context(n_units, scale):
    network = GatedNetwork.gln(6, n_units, 3, init="orthogonal", scale=scale, random_state=0)
    first, last = network.layers
    for W in first.weights:
        gram = W @ W.T if n_units <= 6 else W.T @ W
        assert_allclose(gram, scale**2 * np.eye(min(6, n_units)), atol=1e-14)
    assert_allclose(np.linalg.norm(last.weights), scale)
    assert not np.allclose(first.weights[0], first.weights[1])


def test_orthogonal_weights_point_in_every_direction():
    # without the sign of the QR factor, the first entry would have one sign for ever
    firsts = [
        GatedNetwork.deep_linear(3, 3, random_state=seed).parameters[0] for seed in range(400)
    ]
    assert abs(np.mean(firsts)) < 0.1
    assert_allclose(np.mean(np.square(firsts)), 1 / 3, atol=0.05)


def test_kaiming_weights_have_variance_two_over_the_fan_in():
    network = GatedNetwork.relu(50, [400, 300], scale=3.0, random_state=0)
    for layer, n_in in zip(network.layers[:2], [50, 400], strict=True):
        assert_allclose(layer.weights.var(), 9 * 2 / n_in, rtol=0.05)
        assert abs(layer.weights.mean()) < 4 * np.sqrt(18 / n_in / layer.weights.size)


@every_architecture
@pytest.mark.parametrize("init", ["orthogonal", "kaiming_normal"])
def test_the_random_state_decides_the_weights(name, init):
    draw = ARCHITECTURES[name]
    one, same = (draw(init=init, random_state=5).parameters for _ in range(2))
    instance = draw(init=init, random_state=np.random.RandomState(5)).parameters
    other = draw(init=init, random_state=6).parameters
    assert_array_equal(one, same)
    assert_array_equal(one, instance)
    assert not np.isclose(one, other).any()


def test_a_bias_starts_at_zero_and_changes_no_weight():
    for draw in ARCHITECTURES.values():
        with_bias, without = draw(bias=True, random_state=0), draw(random_state=0)
        assert with_bias.bias == 0.0
        assert with_bias.has_bias
        assert not without.has_bias
        assert_array_equal(with_bias.parameters[:-1], without.parameters)


# -- what does not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GatedNetwork([], []), r"at least one layer, got 0 layers and 0 gates"),
        (lambda: GatedNetwork([np.ones((1, 1, 2))], []), "got 1 layers and 0 gates"),
        (
            lambda: GatedNetwork([np.ones((1, 3, 2)), np.ones((1, 1, 4))], ["linear"] * 2),
            r"expected layer 1 to take the 3 outputs of layer 0, got weights of shape \(1, 1, 4\)",
        ),
        (lambda: GatedNetwork([np.ones((1, 2, 3))], ["linear"]), "expected one output, got 2"),
        (
            lambda: GatedNetwork([np.ones((2, 3, 2)), np.ones((1, 1, 3))], ["relu", "linear"]),
            "expected one context in layer 0, whose gate is 'relu', got 2",
        ),
        (lambda: GatedNetwork([[[[np.nan]]]], ["linear"]), "expected finite weights of layer 0"),
        (lambda: GatedNetwork([np.ones((1, 2))], ["linear"]), "weights of layer 0"),
        (lambda: GatedNetwork([np.ones((1, 1, 2))], ["linear"], np.inf), "expected a finite bias"),
        (
            lambda: GatedNetwork([np.ones((1, 1, 2))], ["open"]),
            "expected gates to be of .*, got 'open'",
        ),
        (lambda: GatedNetwork.gln(0, 3), "expected n_features to be .* at least 1, got 0"),
        (lambda: GatedNetwork.gln(4, 0), "expected n_units to be .* at least 1, got 0"),
        (lambda: GatedNetwork.gln(4, []), "expected at least one hidden layer in n_units"),
        (lambda: GatedNetwork.gln(4, [3, True]), "expected n_units to be .* got True"),
        (lambda: GatedNetwork.gln(4, 2.5), "expected n_units .* got 2.5"),
        (lambda: GatedNetwork.gln(4, 3, 0), "expected n_contexts to be .* at least 1, got 0"),
        (lambda: GatedNetwork.gln(4, 3, 2.5), "expected n_contexts .* got 2.5"),
        (
            lambda: GatedNetwork.gln(4, [3, 2], [2]),
            r"expected n_contexts for each of 2 hidden layers, got \[2\]",
        ),
        (lambda: GatedNetwork.shallow_gln(4, 0), "expected n_contexts to be .* got 0"),
        (lambda: GatedNetwork.gln(4, 3, scale=0.0), "expected a finite scale > 0, got 0.0"),
        (lambda: GatedNetwork.gln(4, 3, scale=np.inf), "expected a finite scale > 0, got inf"),
        (
            lambda: GatedNetwork.gln(4, 3, init="ones"),
            "expected init 'orthogonal' or 'kaiming_normal', got 'ones'",
        ),
    ],
)
def test_networks_that_cannot_be(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("name", "bias"), [("gln", True), ("relu", False), ("linear", False), ("gln of depth 3", False)]
)
def test_only_two_layers_with_fixed_gates_have_a_zeta(name, bias):
    network, *_ = random_problem(name, bias)
    with pytest.raises(ValueError, match="expected a fixed-gate layer and a linear one without"):
        network.to_zeta()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, G: (X[:, :3], G), "expected X with 4 features, got 3"),
        (lambda X, G: (np.where(X > 2, np.nan, X), G), "NaN"),
        (lambda X, G: (X[0], G), "2D array"),
        (lambda X, G: (X, None), "expected activations for 1 layers with fixed gates, got 0"),
        (lambda X, G: (X, [G, G]), "expected activations for 1 layers with fixed gates, got 2"),
        (lambda X, G: (X, G.astype(int)), r"expected activations of dtype bool .* got dtype int"),
        (lambda X, G: (X, G[:-1]), rf"shape \({N}, 3, 2\), got dtype bool and shape \({N - 1}, "),
        (lambda X, G: (X, G[:, :2]), rf"shape \({N}, 3, 2\), got dtype bool and shape \({N}, 2, 2"),
        (lambda X, G: (X, G[..., :1]), rf"got dtype bool and shape \({N}, 3, 1\)"),
    ],
)
def test_inputs_that_do_not_fit(change, message):
    network, X, y, (activations,) = random_problem("gln")
    X[0, 0] = 3.0
    X, activations = change(X, activations)
    with pytest.raises(ValueError, match=message):
        network.decision_function(X, activations)
    with pytest.raises(ValueError, match=message):
        MarginLoss(network, X, y, activations)


def test_activations_for_a_network_without_fixed_gates():
    network, X, *_ = random_problem("relu")
    with pytest.raises(ValueError, match=r"expected activations for 0 layers .* got 1"):
        network.decision_function(X, np.ones((N, 6, 1), dtype=bool))


def test_coefficients_that_do_not_fit():
    network, X, _, gates = random_problem("gln")
    with pytest.raises(ValueError, match=rf"expected coef of shape \({N},\), got shape \(2,\)"):
        network.gradient(X, gates, [1.0, 2.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: np.where(y > 0, 1, 0), r"expected labels -1 and 1 in y, got \[0 1\]"),
        (lambda y: np.where(y > 0, "a", "b"), "expected labels -1 and 1 in y"),
        (lambda y: np.where(y > 0, np.nan, y), "expected labels -1 and 1 in y"),
        (lambda y: y[:-1], rf"expected y of shape \({N},\), got shape \({N - 1},\)"),
        (lambda y: y[:, None], rf"expected y of shape \({N},\), got shape \({N}, 1\)"),
    ],
)
def test_labels_that_do_not_fit(change, message):
    network, X, y, gates = random_problem("gln")
    with pytest.raises(ValueError, match=message):
        MarginLoss(network, X, change(y), gates)


@pytest.mark.parametrize("loss", ["hinge", None])
def test_losses_that_are_not_known(loss):
    network, X, y, gates = random_problem("gln")
    with pytest.raises(ValueError, match=r"expected loss to be one of \['exponential', 'logistic'"):
        MarginLoss(network, X, y, gates, loss)
