"""Inner products of gradients from their factors, against gradients that are formed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from gnorm.descent import Damped, GatedNetwork, GradientDescent, MarginLoss, Network, kkt_point
from gnorm.descent.kkt import gram_of
from gnorm.descent.layers import (
    Attention,
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
    positionwise,
    residual,
)
from gnorm.descent.margins import output_coefficients

N, D = 14, 6


def in_two_places():
    matrix = Dense(D, D)
    return [matrix, ReLU(), matrix, Bias(D), Dense(D, 3)]


ARCHITECTURES = {
    "biases": lambda: [Dense(D, 5), Bias(5), ReLU(), Dense(5, 1), Bias(1)],
    "residual": lambda: [Dense(D, 5), residual(Dense(5, 5), LeakyReLU(0.3)), Dense(5, 1)],
    "convolutions": lambda: [Convolution(D, 3, 1, 3), ReLU(), Dense(3 * D, 3)],
    "diagonal": lambda: [Diagonal(D), Diagonal(D), Dense(D, 1)],
    "layer norm": lambda: [Dense(D, 5), LayerNorm(5, affine=True), Dense(5, 3)],
    "several classes": lambda: [Dense(D, 4), Quadratic(), Dense(4, 4)],
    "in two places": in_two_places,
    "by positions": lambda: [*positionwise(3, Dense(2, 4), ReLU(), Dense(4, 1)), Dense(3, 1)],
    "attention": lambda: [Attention(3, 2, 2), Dense(D, 1)],
    "an array without gradient": lambda: [Sum([Dense(D, 2)], [Columns([0, 1]), Diagonal(2)])],
}
every_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


def problem(name, seed=0):
    rng = np.random.default_rng(seed)
    network = Network(D, ARCHITECTURES[name](), random_state=seed)
    network.parameters += 0.3 * rng.normal(size=network.parameters.shape)
    X = rng.normal(size=(N, D))
    values = network.decision_function(X)
    y = np.where(values >= 0, 1, -1) if network.n_outputs == 1 else values.argmax(axis=1)
    return network, X, y


def assert_same(point, other):
    assert_allclose(point.epsilon, other.epsilon, rtol=1e-6, atol=1e-9)
    assert_allclose(point.residual, other.residual, rtol=1e-6, atol=1e-9)
    assert point.n_kinks == other.n_kinks


@every_architecture
@pytest.mark.parametrize("tol", [0.5, 1e9], ids=["near", "all"])
@pytest.mark.parametrize("entries", [2**25, 200], ids=["whole", "blocks"])
def test_factors_and_formed_gradients_lead_to_the_same_point(name, tol, entries, monkeypatch):
    monkeypatch.setattr("gnorm.descent.kkt._BLOCK_ENTRIES", entries)
    network, X, y = problem(name)
    rates = network.rates()
    for given_rates in [*rates.vertices(), rates.choose()]:
        point = kkt_point(network, X, y, rates=given_rates, tol=tol)
        network.is_separable = False  # as if samples depended on each other: one at a time
        assert_same(point, kkt_point(network, X, y, rates=given_rates, tol=tol))
        network.is_separable = True
        assert np.count_nonzero(point.multipliers) > 0


def test_with_fixed_gates():
    rng = np.random.default_rng(0)
    network = GatedNetwork.gln(D, [5, 4], [2, 3], bias=True, random_state=0)
    network.parameters += 0.1 * rng.normal(size=network.parameters.shape)
    X = rng.normal(size=(N, D))
    gates = [rng.random((N, 5, 2)) < 0.6, rng.random((N, 4, 3)) < 0.6]
    y = np.where(network.decision_function(X, gates) >= 0, 1, -1)
    point = kkt_point(network, X, y, gates, tol=3.0)
    network.is_separable = False
    assert_same(point, kkt_point(network, X, y, gates, tol=3.0))


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_on_kinks_and_beside_them(n_outputs):
    """Some samples on one kink, some on two, some on none, in one pass."""
    rng = np.random.default_rng(0)
    chain = [Dense(3, 4), ReLU(), Dense(4, 3), LeakyReLU(0.2), Dense(3, n_outputs)]
    network = Network(3, [Sum(chain, [Dense(3, 3), Dense(3, n_outputs)])], random_state=0)
    V = network.split(network.parameters)[0]
    V[0, 0], V[0, 1] = [0, 1, 0], [0, 0, 1]
    X = rng.normal(size=(N, 3))
    X[2:5, 1] = 0.0
    X[4:7, 2] = 0.0
    values = network.decision_function(X)
    y = np.where(values >= 0, 1, -1) if n_outputs == 1 else values.argmax(axis=1)
    point = kkt_point(network, X, y, tol=1e9)
    assert point.n_kinks == 5 * max(1, n_outputs - 1)
    network.is_separable = False
    assert_same(point, kkt_point(network, X, y, tol=1e9))


def test_weights_of_the_largest_rate_that_are_all_zero_are_the_least():
    network = Network(2, [Dense(2, 1), Dense(1, 1), Bias(1)], parameters=[1.0, 0.0, 1.0, 0.0])
    assert_allclose(network.rates().choose(), [0.5, 0.5, 1.0])
    point = kkt_point(network, [[1.0, 1.0], [-1.0, 1.0]], [1, -1])
    assert (point.residual, point.epsilon, point.delta) == (0.0, 0.0, 0.0)
    assert not point.multipliers.any()


def test_training_brings_both_to_zero():
    network, X, y = problem("several classes")
    GradientDescent(0.01, max_steps=300).train(network, X, y)
    point = kkt_point(network, X, y, tol=5.0)
    network.is_separable = False
    other = kkt_point(network, X, y, tol=5.0)
    assert_same(point, other)
    assert_allclose(point.multipliers, other.multipliers, atol=1e-8)


@pytest.mark.parametrize("name", ["convolutions", "diagonal", "in two places", "by positions"])
def test_the_multipliers_of_lyu_and_li_are_no_better(name):
    """Theirs are explicit on the exponential loss, with a residual that is an angle.

    With margins q, degree L and the gradient of the sum of losses, they are
    mu_n = q_min^(1 - 2/L) |w| e^(-q_n) / |grad|, and with gamma = q_min / |w|^L they have
    epsilon = gamma^(-1/L) sqrt(2 - 2 cos(w, -grad)). (Lyu and Li, 2020.)
    """
    network, X, y = problem(name)
    if "in two places" in name:
        chain = [layer for layer in in_two_places() if not isinstance(layer, Bias)]
        network = Network(D, chain, parameters=network.parameters[: 2 * D * D - 3 * D])
        y = network.decision_function(X).argmax(axis=1)
    degree = network.degree
    network.parameters *= 3.0
    gap = []
    for _ in range(4):
        objective = MarginLoss(network, X, y, loss="exponential")
        q, w = objective.margins(), network.parameters
        gradient = np.empty_like(w)
        objective.gradient(None, gradient)
        size = np.linalg.norm(w)
        cosine = -(w @ gradient) / (size * np.linalg.norm(gradient))
        gamma = q.min() / size**degree
        theirs = gamma ** (-1 / degree) * np.sqrt(2 - 2 * cosine)
        log_loss = np.log(np.mean(np.exp(q.min() - q))) - q.min()
        slopes = np.exp(-q - log_loss) / len(q)  # those that the gradient, relative to it, has
        mu = q.min() ** (1 - 2 / degree) * size * slopes / np.linalg.norm(gradient)
        point = kkt_point(network, X, y, tol=1e9)
        assert point.epsilon <= theirs * (1 + 1e-9)
        # by hand: their combination of the gradients at the rescaled weights
        other = network.copy()
        other.parameters /= q.min() ** (1 / degree)
        forward = other.forward(*other.check_inputs(X, None))
        combined = np.empty_like(w)
        labels = y.astype(float)
        other.backward(forward, output_coefficients(mu, labels, other.n_outputs), combined)
        assert_allclose(np.linalg.norm(other.parameters - combined), theirs, rtol=1e-6)
        gap.append(theirs)
        GradientDescent(Damped(0.1), loss="exponential", max_steps=100).train(network, X, y)
    assert gap[-1] < gap[0]


# -- inner products --------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.integers(1, 6),  # samples
    st.lists(st.integers(1, 5), min_size=1, max_size=3),  # rows of a sample, in each place
    st.integers(1, 7),
    st.integers(1, 7),
    st.sampled_from([1, 20, 2**20]),
)
def test_inner_products_of_sums_of_outer_products(n, n_rows, p, q, entries):
    rng = np.random.default_rng(n + 7 * p + 49 * q)
    pairs = [(rng.normal(size=(n * r, p)), rng.normal(size=(n * r, q))) for r in n_rows]
    gradients = np.zeros((n, p, q))
    for left, right in pairs:
        gradients += np.einsum(
            "nrp,nrq->npq", left.reshape(n, -1, p), right.reshape(n, -1, q), optimize=False
        )
    flat = gradients.reshape(n, -1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gnorm.descent.kkt._BLOCK_ENTRIES", entries)
        assert_allclose(gram_of(pairs, n), flat @ flat.T, atol=1e-10)
