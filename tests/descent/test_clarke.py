"""Clarke's subdifferential in the weights, and KKT points with margins on kinks."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gnorm.descent import GatedNetwork, Network, kkt_point
from gnorm.descent.layers import BatchNorm, Bias, Convolution, Dense, LeakyReLU, ReLU, residual
from gnorm.homogeneity import clarke_subdifferential


def gradients_near(network, x, n_draws=400, size=1e-6, seed=0):
    """Gradients at random weights next to those of the network, by piece."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_draws):
        other = network.copy()
        other.parameters += size * rng.normal(size=other.parameters.shape)
        found.append(other.gradient([x], None, [1.0]))
    return np.array(found)


def on_kinks(kind):
    """A network and an input at which some inputs of ReLUs are zero."""
    if kind == "one layer":
        network = Network(2, [Dense(2, 3), ReLU(), Dense(3, 1)], random_state=0)
        network.weights["dense_0.weights"][0, :2, 0] = 0.0
        return network, np.array([1.5, 0.0])
    if kind == "two layers":
        network = Network(2, [Dense(2, 2), ReLU(), Dense(2, 2), LeakyReLU(0.2), Dense(2, 1)])
        V, W, U = network.weights.values()
        V[0], W[0], U[0] = [[0, 1], [2, 0]], [[1, 0], [1, 1]], [[1, -3]]
        return network, np.array([1.5, 0.0])  # a kink in the first, and one unit that follows it
    if kind == "shared weights":
        network = Network(3, [Convolution(3, 2), ReLU(), Dense(3, 1)])
        kernel, U = network.weights.values()
        kernel[0, 0], U[0] = [1.0, -1.0], [[1.0, 2.0, 4.0]]
        return network, np.array([1.0, 1.0, 1.0])  # three kinks that are one
    if kind == "bias":
        network = Network(2, [Dense(2, 2), Bias(2), ReLU(), Dense(2, 1)])
        V, b, U = network.weights.values()
        V[0], b[:], U[0] = [[1, 0], [0, 2]], [-1, 1], [[1, 3]]
        return network, np.array([1.0, 0.5])
    network = Network(2, [Dense(2, 2), residual(ReLU()), Dense(2, 1)])
    V, U = network.weights.values()
    V[0], U[0] = [[0, 1], [1, 0]], [[2, 1]]
    return network, np.array([1.0, 0.0])


@pytest.mark.parametrize("kind", ["one layer", "two layers", "shared weights", "bias", "residual"])
def test_the_hull_holds_the_gradients_next_to_a_kink_and_no_others(kind):
    network, x = on_kinks(kind)
    hull = network.subdifferential(x)
    near = gradients_near(network, x)
    distances = np.linalg.norm(near[:, None] - hull.extreme_gradients[None], axis=2)
    assert len(hull.extreme_gradients) > 1
    assert distances.min(axis=0).max() < 1e-4  # every piece occurs
    assert max(hull.distance(g) for g in near) < 1e-4  # and every gradient is of one
    sampled = clarke_subdifferential(
        lambda rows: np.array([_at(network, w).decision_function([x])[0] for w in rows]),
        network.parameters,
        gradient=lambda rows: np.array([_at(network, w).gradient([x], None, [1]) for w in rows]),
        n_samples=300,
    )
    assert_allclose(hull.least_norm, sampled.least_norm, atol=1e-3)


def _at(network, w):
    other = network.copy()
    other.parameters[:] = w
    return other


def test_kinks_that_are_one_have_two_pieces():
    network, x = on_kinks("shared weights")
    assert len(network.subdifferential(x).extreme_gradients) == 2


def test_the_gradient_where_the_network_is_smooth():
    network = GatedNetwork.relu(3, [4, 3], random_state=0)
    x = np.array([1.0, -2.0, 0.5])
    hull = network.subdifferential(x)
    assert_array_equal(hull.extreme_gradients, [network.gradient([x], None, [1.0])])


def test_outputs_are_chosen():
    network = Network(2, [Dense(2, 3), ReLU(), Dense(3, 2)], random_state=0)
    x = np.array([1.0, 2.0])
    gradient = network.gradient([x], None, [[0.0, 1.0]])
    assert_allclose(network.subdifferential(x, output=1).least_norm, gradient, rtol=1e-14)


def test_positive_homogeneity_holds_for_every_element():
    """Euler's identity, for the subgradients too."""
    network, x = on_kinks("two layers")
    hull = network.subdifferential(x)
    value = network.decision_function([x])[0]
    for g in [*hull.extreme_gradients, hull.least_norm]:
        assert_allclose(g @ network.parameters, network.degree * value, atol=1e-9)


# -- a KKT point on a kink -------------------------------------------------------------------------


def stationary_on_a_kink():
    """Two units a relu(u.x), the first of which is on its kink at the first sample.

    With u_1 = (0, 1), u_2 = (1, 0) and output weights 1 both margins are 1. In the first weights
    the samples must combine to u_1 = mu_1 s x_1 + mu_2 x_2 with a slope s of the ReLU from 0 to 1,
    which is 0.3 for mu = 1, and to u_2 = mu_1 x_1.
    """
    network = Network(2, [Dense(2, 2), ReLU(), Dense(2, 1)])
    U, a = network.weights.values()
    U[0], a[0] = [[0.0, 1.0], [1.0, 0.0]], [[1.0, 1.0]]
    return network, np.array([[1.0, 0.0], [-0.3, 1.0]]), np.array([1, 1])


@pytest.mark.parametrize("is_separable", [True, False], ids=["alone", "in a batch"])
def test_a_margin_on_a_kink_takes_an_average_of_gradients(is_separable):
    network, X, y = stationary_on_a_kink()
    network.is_separable = is_separable  # False has the pass of all samples taken
    point = kkt_point(network, X, y)
    assert point.n_kinks == 1
    assert point.residual < 1e-12
    assert_allclose(point.multipliers, 1.0, atol=1e-9)
    # by the convention of either side alone it is none
    gradients = np.array([network.gradient([x], None, [1.0]) for x in X])
    coef = np.linalg.lstsq(gradients.T, network.parameters, rcond=None)[0]
    assert np.linalg.norm(network.parameters - coef @ gradients) > 0.2


def test_away_from_the_kink_the_gradients_are_as_they_are():
    network, X, y = stationary_on_a_kink()
    network.parameters += 1e-3 * np.random.default_rng(0).normal(size=6)
    point = kkt_point(network, X, y)
    assert point.n_kinks == 0
    assert point.residual > 0.1


# -- what does not fit -----------------------------------------------------------------------------


def test_inputs_that_do_not_fit():
    network, x = on_kinks("one layer")
    with pytest.raises(ValueError, match=r"expected x of shape \(2,\), got shape \(1, 2\)"):
        network.subdifferential([x])
    with pytest.raises(ValueError, match="expected an output from 0 to 0, got 1"):
        network.subdifferential(x, output=1)
    with pytest.raises(ValueError, match="evaluates samples alone, got one that normalises over"):
        Network(2, [BatchNorm(2), Dense(2, 1)]).subdifferential(x)


def test_too_many_pieces(monkeypatch):
    network = GatedNetwork.relu(2, 4, random_state=0)
    network.layers[0].weights[0, :, 0] = 0.0
    assert len(network.subdifferential([1.0, 0.0]).extreme_gradients) == 16
    monkeypatch.setattr("gnorm.descent.clarke._MAX_PIECES", 8)
    with pytest.raises(ValueError, match="expected at most 8 pieces next to the weights, got more"):
        network.subdifferential([1.0, 0.0])
