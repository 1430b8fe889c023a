"""High-order gradient descent: its lemma and rates, on functions for which they hold."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from gnorm.descent import (
    Descent,
    GatedNetwork,
    GradientDescent,
    HighOrder,
    Network,
    PowerGrowth,
    gradient_structure,
    layers,
)
from gnorm.descent.objective import Slope


class PowerOfDistance:
    """f(x) = 1/p sum_i |B x - b|_i^p in the plane of x, as an objective of the trainer.

    |u|^(p-1) sign(u) is Hoelder continuous of exponent p - 1 with the constant 2^(2-p), so that
    with p <= 2 the Bregman distance is at most 2^(2-p)/p sum |B(x - y)|^p.
    """

    degree, n_samples = None, 1

    def __init__(self, B, b, p):
        self.B, self.b, self.p = B, b, p
        self.parameters = np.zeros(B.shape[1])

    @property
    def weights(self):
        return [self.parameters.reshape(1, 1, -1)]

    def value(self):
        return np.sum(np.abs(self.B @ self.parameters - self.b) ** self.p) / self.p

    def slope(self):
        u = self.B @ self.parameters - self.b
        return self.B.T @ (np.sign(u) * np.abs(u) ** (self.p - 1))

    def gradient(self, rows, out):
        out[:] = self.slope()
        return Slope(0.0, math.nan)

    def measure(self):
        return {"loss": float(self.value())}


def problem(p, seed=0):
    """A function with minimum 0 and the growth of which it is smooth, in the l_p norm."""
    rng = np.random.default_rng(seed)
    B = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    f = PowerOfDistance(B, B @ rng.normal(size=4), p)
    # ||B d||_p^p <= n^(1-p/2) ||d||_2^p for orthogonal B and p <= 2
    return f, PowerGrowth(2 ** (2 - p) * 4 ** (1 - p / 2), p)


def follow(f, growth, n_steps):
    """Losses and conjugates along a run."""
    values, conjugates = [], []

    def note(step, subject):
        values.append(f.value())
        conjugates.append(growth.conjugate([f.slope()]))

    Descent([HighOrder(growth)], max_steps=n_steps, log_every=1, callback=note).minimize(f)
    return np.array(values), np.array(conjugates)


@pytest.mark.parametrize("p", [1.2, 1.5, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_descent_lemma_and_the_rate_of_the_slope(p, seed):
    f, growth = problem(p, seed)
    values, conjugates = follow(f, growth, 60)
    scale = values[0]
    assert (values[1:] <= values[:-1] - conjugates[:-1] + 1e-12 * scale).all()
    best = np.minimum.accumulate(conjugates[:-1])
    assert (best <= scale / np.arange(1, 61) * (1 + 1e-12)).all()
    assert values[-1] < 0.3 * scale


@pytest.mark.parametrize("p", [1.2, 1.5, 2.0])
def test_the_linear_rate(p):
    """f = 1/p ||x - a||^p has f = 1/p ||grad f||^q: the condition holds with equality."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=5)

    class Distance(PowerOfDistance):
        def value(self):
            return np.linalg.norm(self.parameters - a) ** p / p

        def slope(self):
            d = self.parameters - a
            size = np.linalg.norm(d)
            return d * size ** (p - 2) if size > 0 else d

    f = Distance(np.eye(5), a, p)
    growth = PowerGrowth(2 ** (2 - p), p)  # smooth with the constant of the gradient of a norm
    values, conjugates = follow(f, growth, 40)
    kappa = values[0] / conjugates[0]
    alive = values > 1e-200
    assert_allclose(values[alive], kappa * conjugates[alive], rtol=1e-6)
    assert (values <= values[0] * (1 - 1 / kappa) ** np.arange(41) * (1 + 1e-9) + 1e-200).all()
    assert (values[1:] <= values[:-1] - conjugates[:-1] + 1e-14).all()


@settings(max_examples=30)
@given(
    st.floats(1.1, 6.0),
    st.floats(0.1, 10.0),
    st.sampled_from(["l2", "linf", "spectral"]),
    st.integers(0, 1000),
)
def test_powers_satisfy_fenchel_and_young(p, M, geometry, seed):
    """Phi(x) + Phi*(g) >= <x, g>, with equality where x is the gradient of Phi* at g."""
    growth = PowerGrowth(M, p, geometry)
    rng = np.random.default_rng(seed)
    g, x = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))

    def phi(x):
        return M / p * growth.geometry.norm([x]) ** p

    assert phi(x) + growth.conjugate([g]) >= np.vdot(x, g) * (1 - 1e-9) - 1e-12
    best = growth.conjugate_gradient([g])[0]
    assert_allclose(phi(best) + growth.conjugate([g]), np.vdot(best, g), rtol=1e-8)


def test_a_quadratic_growth_is_gradient_descent():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 3)), np.where(rng.random(12) < 0.5, -1, 1)
    one, other = (GatedNetwork.relu(3, 4, random_state=0) for _ in range(2))
    Descent([HighOrder(PowerGrowth(20.0, 2.0))], max_steps=30).train(one, X, y)
    GradientDescent(1 / 20.0, max_steps=30).train(other, X, y)
    assert_allclose(one.parameters, other.parameters, rtol=1e-12)


def test_a_growth_is_given_by_its_conjugate():
    """Phi* = sum of cosh - 1, which is no power: the step is its gradient, sinh."""

    class HyperbolicCosine:
        def conjugate(self, gradient):
            return sum(float(np.sum(np.cosh(g) - 1)) for g in gradient)

        def conjugate_gradient(self, gradient):
            return [np.sinh(g) for g in gradient]

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 3)), np.where(rng.random(12) < 0.5, -1, 1)
    network = GatedNetwork.relu(3, 4, random_state=0)
    before = network.copy()
    Descent([HighOrder(HyperbolicCosine())], max_steps=1).train(network, X, y)
    u = y * before.decision_function(X)
    g = before.gradient(X, None, -y / (1 + np.exp(u)) / 12)
    assert_allclose(network.parameters, before.parameters - np.sinh(g), rtol=1e-12)


@pytest.mark.parametrize("loss", ["logistic", "exponential"])
def test_the_structure_of_the_gradient_is_bounded_along_a_run(loss):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 8)), np.where(rng.random(12) < 0.5, -1, 1)
    network = GatedNetwork.relu(8, 20, random_state=0)

    def log(step, network):
        s = gradient_structure(network, X, y, loss=loss)
        return {"lower": s.lower, "slope": s.value, "upper": s.upper}

    history = GradientDescent(0.1, loss=loss, max_steps=300, callback=log).train(network, X, y)
    assert (history["lower"] <= history["slope"] + 1e-9).all()
    assert (history["slope"] <= history["upper"] + 1e-9).all()
    assert np.isfinite(history["upper"]).all()
    u = y * network.decision_function(X)
    slopes = (np.exp(-u) if loss == "exponential" else 1 / (1 + np.exp(u))) / 12
    assert_allclose(history["slope"][-1], np.log2(slopes @ slopes))


def test_more_samples_than_weights_have_no_upper_bound():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 3)), np.where(rng.random(12) < 0.5, -1, 1)
    network = GatedNetwork.deep_linear(3, 2, random_state=0)
    assert gradient_structure(network, X, y).upper == math.inf


@pytest.mark.parametrize("norm", [[], [layers.BatchNorm(6)]])
def test_the_structure_of_several_outputs(norm):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(4, 5)), np.array([0, 1, 2, 1])
    chain = [layers.Dense(5, 6), *norm, layers.ReLU(), layers.Dense(6, 3)]
    network = Network(5, chain, random_state=0)
    found = gradient_structure(network, X, y)
    assert found.lower <= found.value <= found.upper

    values = network.decision_function(X)
    own = values[np.arange(4), y][:, None]
    others = 1 / (1 + np.exp(own - values)) / 8
    others[np.arange(4), y] = 0
    slope = others.copy()
    slope[np.arange(4), y] = -others.sum(axis=1)
    assert_allclose(found.value, np.log2(np.sum(slope**2)))


def test_the_structure_where_no_weight_has_a_slope():
    network = Network(2, [layers.Dense(2, 2), layers.Dense(2, 1)], parameters=np.zeros(6))
    found = gradient_structure(network, [[1.0, 2.0]], [1])
    assert (found.lower, found.upper) == (-math.inf, math.inf)
    assert_allclose(found.value, -2.0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PowerGrowth(0.0, 2.0), "expected a finite M > 0, got 0.0"),
        (lambda: PowerGrowth(1.0, 1.0), "expected 1 < p < inf, got 1.0"),
        (lambda: HighOrder(PowerGrowth), "expected a growth with the methods conjugate and"),
        (lambda: HighOrder(2.0), "expected a growth with the methods conjugate and"),
        (
            lambda: Descent([HighOrder(PowerGrowth(1.0, 1.5, ["l2"]))]).train(
                GatedNetwork.relu(2, 2, random_state=0), [[1.0, 2.0]], [1]
            ),
            "expected a geometry for each of 2 arrays of weights",
        ),
    ],
)
def test_growths_that_cannot_be(build, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build()
