"""Optimisers as lists of parts: against their formulas, and resumed to the last bit."""

import itertools
import math
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from gnorm.descent import (
    Adam,
    AdaptiveMoments,
    Average,
    Descent,
    Direction,
    DivergenceError,
    GatedNetwork,
    GradientDescent,
    Logarithm,
    Lp,
    MarginLoss,
    Momentum,
    Network,
    Normalized,
    Part,
    Rate,
    Spectral,
    Step,
    WeightDecay,
)
from gnorm.descent.layers import Bias, Dense, ReLU

N, D = 20, 4


class Remembering(Part):
    """A part with memories of names that the rest of the state has."""

    def start(self, weights):
        return {"order": [np.zeros(1)], "parameters": [np.zeros_like(W) for W in weights]}


def random_problem(seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, D))
    contexts = rng.integers(2, size=(N, 3))
    return X, np.where(X[:, 0] > 0, 1, -1), contexts[:, :, None] == np.arange(2)


def a_network():
    return GatedNetwork.gln(D, 3, 2, random_state=1)


def gradients(network, n_steps, X, y, activations, is_logarithm=False):
    """Gradients at the weights of the moment, step by step."""
    for k in range(n_steps):
        u = y * network.decision_function(X, activations)
        slopes = expit(-u) / N
        if is_logarithm:
            slopes = slopes / np.mean(np.logaddexp(0, -u))
        yield k, network.gradient(X, activations, -y * slopes)


# -- against the formulas --------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize("unit_steps", [False, True])
@pytest.mark.parametrize("name", ["l2", "l1", "linf", "spectral", Lp(3.0)], ids=str)
def test_descent_in_a_geometry_equals_its_formula(name, unit_steps, momentum):
    X, y, activations = random_problem()
    network, reference = a_network(), a_network()
    GradientDescent(
        0.02, geometry=name, unit_steps=unit_steps, momentum=momentum, max_steps=20
    ).train(network, X, y, activations)
    v = 0.0
    for _, g in gradients(reference, 20, X, y, activations):
        if name == "l2":
            size, d = np.linalg.norm(g), g / np.linalg.norm(g)
        elif name == "l1":
            size, d = np.abs(g).max(), np.sign(g) * (np.abs(g) == np.abs(g).max())
        elif name == "linf":
            size, d = np.abs(g).sum(), np.sign(g)
        elif name == "spectral":
            factors = [np.linalg.svd(G, full_matrices=False) for G in reference.unflatten(g)]
            size = sum(values.sum() for _, values, _ in factors)
            d = np.concatenate([(U @ Vt).ravel() for U, _, Vt in factors])
        else:
            size = np.sum(np.abs(g) ** 1.5) ** (2 / 3)
            d = np.sign(g) * (np.abs(g) / size) ** 0.5
        v = momentum * v - 0.02 * (d if unit_steps else size * d)
        reference.parameters += v
    assert_allclose(network.parameters, reference.parameters, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("is_logarithm", [False, True])
def test_signs_of_an_average_equal_their_formula(is_logarithm, nesterov):
    X, y, activations = random_problem()
    network, reference = a_network(), a_network()
    first = [Logarithm()] if is_logarithm else []
    parts = [*first, Average(0.8, nesterov), Direction("linf"), Rate(0.01)]
    Descent(parts, max_steps=20).train(network, X, y, activations)
    a = 0.0
    for _, g in gradients(reference, 20, X, y, activations, is_logarithm):
        a = 0.8 * a + 0.2 * g
        followed = 0.8 * a + 0.2 * g if nesterov else a
        reference.parameters -= 0.01 * np.abs(followed).sum() * np.sign(followed)
    assert_allclose(network.parameters, reference.parameters, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("epsilon", [0.0, 1e-8, 0.1])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.9), (0.5, 0.2)])
def test_adam_equals_its_formula(epsilon, betas):
    X, y, activations = random_problem()
    network, reference = a_network(), a_network()
    beta1, beta2 = betas
    descent = Adam(0.01, beta1=beta1, beta2=beta2, epsilon=epsilon, max_steps=30)
    descent.train(network, X, y, activations)
    m = v = 0.0
    for k, g in gradients(reference, 30, X, y, activations):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        root = np.sqrt(v / (1 - beta2 ** (k + 1)))
        reference.parameters -= 0.01 * m / (1 - beta1 ** (k + 1)) / (root + epsilon)
    assert_allclose(network.parameters, reference.parameters, rtol=1e-9, atol=1e-12)


def test_adam_without_memory_and_epsilon_follows_signs():
    X, y, activations = random_problem()
    one, other = a_network(), a_network()
    Adam(0.01, beta1=0.0, beta2=0.0, epsilon=0.0, max_steps=20).train(one, X, y, activations)
    signs = GradientDescent(0.01, geometry="linf", unit_steps=True, max_steps=20)
    signs.train(other, X, y, activations)
    assert_allclose(one.parameters, other.parameters, rtol=1e-10)


def test_adam_without_epsilon_does_not_stop_where_no_loss_is_left():
    """Of a loss of exp(-1500) the averages are those of the same gradients in another scale."""
    X, y, activations = random_problem()
    parts = {0.0: None, 1e-8: None}
    for epsilon in parts:
        network = a_network()
        GradientDescent.accelerated(X, 500, last=1500.0).train(network, X, y, activations)
        before = network.parameters.copy()
        Adam(0.01, epsilon=epsilon, max_steps=10).train(network, X, y, activations)
        parts[epsilon] = np.abs(network.parameters - before).max()
    assert parts[0.0] > 0.05
    assert parts[1e-8] == 0.0


def test_an_average_of_gradients_in_falling_scales_is_exact():
    """Losses that fall by factors of 1e-400 a step, against integers of logarithms."""
    part = Average(0.5)
    weights = [np.zeros(2)]
    state = part.start(weights)
    exact, exact_scale = np.zeros(2), 0.0
    for k in range(6):
        g = np.array([1.0, -(2.0**k)])
        step = Step(k, -900.0 * k, weights, weights)
        update = [g.copy()]
        part.apply(update, state, step)
        # in the scale of the last: what went before is larger by exp(900) and halves
        if k == 0:
            exact, exact_scale = 0.5 * g, 0.0
        else:
            exact, exact_scale = 0.5 * exact, exact_scale  # g has vanished beside it
        value = update[0] * math.exp(step.log_scale - exact_scale)
        assert_allclose(value, exact, rtol=1e-12)


def test_a_weight_without_slope_stays_under_adam():
    part = AdaptiveMoments(epsilon=0.0)
    weights = [np.zeros(2)]
    state = part.start(weights)
    update = [np.array([0.0, -3.0])]
    part.apply(update, state, Step(0, 0.0, weights, weights))
    assert_allclose(update[0], [0.0, -1.0])


def test_a_list_of_parts_is_gradient_descent():
    X, y, activations = random_problem()
    one, other = a_network(), a_network()
    first = GradientDescent(0.05, momentum=0.9, nesterov=True, max_steps=30).train(
        one, X, y, activations
    )
    parts = [Rate(0.05), Momentum(0.9, nesterov=True)]
    second = Descent(parts, max_steps=30).train(other, X, y, activations)
    assert_array_equal(one.parameters, other.parameters)
    assert_array_equal(first["loss"], second["loss"])


def test_a_history_of_another_optimizer_is_not_resumed():
    X, y, activations = random_problem()
    for one, other in itertools.permutations([Adam(0.01, max_steps=3), GradientDescent(0.1)], 2):
        one.max_steps, other.max_steps = 3, 6
        network = a_network()
        history = one.train(network, X, y, activations)
        before = network.parameters.copy()
        with pytest.raises(ValueError, match="expected a history of an optimiser that remembers"):
            other.train(network, X, y, activations, history=history)
        assert_array_equal(network.parameters, before)


# -- what cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Descent([]), "expected a list of at least one Part of an optimiser, got []"),
        (lambda: Descent(["linf"]), "at least one Part of an optimiser, got ['linf']"),
        (lambda: Momentum(1.0), "expected 0 <= momentum < 1, got 1.0"),
        (lambda: Average(-0.1), "expected 0 <= momentum < 1, got -0.1"),
        (lambda: Adam(beta1=1.0), "expected 0 <= beta1 < 1, got 1.0"),
        (lambda: Adam(beta2=-1.0), "expected 0 <= beta2 < 1, got -1.0"),
        (lambda: Adam(epsilon=-1.0), "expected a finite epsilon >= 0, got -1.0"),
        (lambda: WeightDecay(math.nan), "expected a finite weight_decay >= 0, got nan"),
        (lambda: Rate(-1.0), "expected a finite rate > 0, got -1.0"),
        (lambda: Momentum("0.9"), "expected 0 <= momentum < 1, got '0.9'"),
        (lambda: Adam(beta1=lambda k: 0.9), "expected 0 <= beta1 < 1, got <function"),
        (lambda: Adam(epsilon=None), "expected a finite epsilon >= 0, got None"),
        (lambda: WeightDecay("0.1"), "expected a finite weight_decay >= 0, got '0.1'"),
        (lambda: Normalized(0.1, power=-1.0), "expected a finite power >= 0, got -1.0"),
        (lambda: Normalized(0.1, scale=2.0), "expected scale 'unit' or 'network', got 2.0; or a"),
        (lambda: Descent(Rate(0.1)), "a list of at least one Part of an optimiser, got Rate("),
        (
            lambda: Descent([Average(lambda k: "0.9"), Rate(0.1)]).train(
                a_network(), *random_problem()
            ),
            "expected momenta from 0 to 1, got '0.9' in step 0",
        ),
        (
            lambda: Descent([Momentum(), Rate(0.1), Momentum()]).train(
                a_network(), *random_problem()
            ),
            "expected parts that remember different things, got twice some of ['velocity'",
        ),
        (
            lambda: Descent([Remembering(), Rate(0.1)]).train(a_network(), *random_problem()),
            "'random_rest'], which a history has itself, got ['order', 'parameters']",
        ),
        (
            lambda: GradientDescent(0.1, geometry="spectral").train(
                GatedNetwork.gln(D, 3, 2, bias=True), *random_problem()
            ),
            "got weights of shape (1,) in array 2 of 3",
        ),
        (
            lambda: GradientDescent(Normalized(0.1, scale=Spectral())).train(
                Network(D, [Dense(D, 3), Bias(3), ReLU(), Dense(3, 1)]), *random_problem()[:2]
            ),
            "expected matrices of weights in the spectral geometry, got weights of shape (3,) in",
        ),
        (
            lambda: GradientDescent(Normalized(0.1)).train(
                Network(D, [Dense(D, 3), Bias(3), ReLU(), Dense(3, 1)]), *random_problem()[:2]
            ),
            "expected layers of matrices, of shape (n_contexts, n_out, n_in), with scale='unit', "
            "got weights of shape (3,); scale='network' takes any",
        ),
    ],
)
def test_optimizers_that_cannot_be(build, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build()


def test_a_divergence_names_the_parts():
    X, y, activations = random_problem()
    descent = Descent([Direction("linf"), Rate(1e5)], loss="exponential")
    with pytest.raises(DivergenceError, match=re.escape("[Direction(Linf(), unit_steps=False)")):
        descent.train(a_network(), X, y, activations)


@pytest.mark.filterwarnings("ignore:training ended")
@pytest.mark.parametrize("name", [["spectral", "spectral", "l2"], "linf", Lp(4.0)], ids=str)
def test_a_bias_is_an_array_of_weights(name):
    X, y, activations = random_problem()
    network = GatedNetwork.gln(D, 3, 2, bias=True, random_state=0)
    GradientDescent(0.02, geometry=name, max_steps=50).train(network, X, y, activations)
    assert network.bias != 0


def test_the_loss_of_an_objective_falls_in_every_geometry():
    X, y, activations = random_problem()
    for name in ("l2", "l1", "linf", "spectral", Lp(3.0)):
        network = a_network()
        before = MarginLoss(network, X, y, activations).measure()["loss"]
        history = GradientDescent(0.002, geometry=name, max_steps=100).train(
            network, X, y, activations
        )
        assert (np.diff(history.loss) < 0).all(), name
        assert history.loss[-1] < before
