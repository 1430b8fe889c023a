"""Descent: against ten lines that say the same, stopped and resumed bit for bit."""

import base64
import math
import os
import pickle
import re
import signal
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from gnorm import max_margin
from gnorm.descent import (
    Constant,
    Damped,
    Decaying,
    DivergenceError,
    Exponential,
    GatedNetwork,
    GradientDescent,
    History,
    MarginGrowth,
    MarginLoss,
    Network,
    Normalized,
    RisingMomentum,
    Schedule,
    Steps,
    Stop,
    kkt_residual,
    trainer,
)
from gnorm.descent.layers import Columns, Dense

N, D = 20, 4


def random_problem(seed=0, n_samples=N, n_units=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, D))
    contexts = rng.integers(2, size=(n_samples, n_units))
    return X, np.where(X[:, 0] > 0, 1, -1), contexts[:, :, None] == np.arange(2)


def a_network(bias=False, n_units=3):
    return GatedNetwork.gln(D, n_units, 2, bias=bias, random_state=1)


def separable_problem():
    """Inputs that are separable, with a unit whose gate never moves."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(12, 3))
    X[:, 2] = 1.0
    return X, np.where(X @ [1.0, -0.5, 0.2] > 0, 1, -1), np.ones((12, 1, 1), dtype=bool)


def columns_equal(one, other):
    assert one.names == other.names
    for name in one.names:
        assert_array_equal(one[name], other[name], err_msg=name)
    return True


# -- the step --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["logistic", "exponential"])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize(
    ("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True), (RisingMomentum(0.8), True)]
)
def test_descent_equals_its_formula(momentum, nesterov, bias, loss):
    X, y, activations = random_problem()
    network, reference = a_network(bias), a_network(bias)
    GradientDescent(0.1, loss=loss, momentum=momentum, nesterov=nesterov, max_steps=50).train(
        network, X, y, activations
    )
    w, v = reference.parameters, 0.0
    for k in range(50):
        u = y * reference.decision_function(X, activations)
        slopes = expit(-u) if loss == "logistic" else np.exp(-u)
        g = reference.gradient(X, activations, -y * slopes / N)
        m = momentum(k) if callable(momentum) else momentum
        v = m * v - 0.1 * g
        w += m * v - 0.1 * g if nesterov else v
    assert_allclose(network.parameters, w, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "schedule", [Constant(0.2), Steps(((3, 0.2), (4, 0.05))), Decaying(0.3, delta=0.2)]
)
def test_descent_follows_the_schedule(schedule):
    X, y, activations = random_problem()
    network, reference = a_network(), a_network()
    GradientDescent(schedule, max_steps=20).train(network, X, y, activations)
    for k in range(20):
        u = y * reference.decision_function(X, activations)
        g = reference.gradient(X, activations, -y * expit(-u) / N)
        reference.parameters -= schedule.rate(k) * g
    assert_allclose(network.parameters, reference.parameters, rtol=1e-12, atol=1e-12)


def log_loss(network, X, y, activations):
    return np.log(np.mean(np.logaddexp(0, -y * network.decision_function(X, activations))))


@pytest.mark.parametrize("scale", ["unit", "network"])
@pytest.mark.parametrize("n_units", [3, [3, 2]], ids=["two layers", "three layers"])
def test_the_normalized_schedule_descends_on_the_logarithm_in_units_of_the_weights(n_units, scale):
    X, y, activations = random_problem()
    if n_units != 3:
        activations = [activations, activations[:, :2]]
    network, reference = a_network(n_units=n_units), a_network(n_units=n_units)
    network.parameters *= 1.5
    reference.parameters *= 1.5
    GradientDescent(Normalized(0.03, scale), max_steps=10).train(network, X, y, activations)
    for _ in range(10):
        u = y * reference.decision_function(X, activations)
        slopes = expit(-u) / np.logaddexp(0, -u).sum()
        g = reference.gradient(X, activations, -y * slopes)
        *hidden, last = (layer.weights for layer in reference.layers)
        rows = [np.linalg.norm(W[c, h]) for W in hidden for c, h in np.ndindex(W.shape[:2])]
        L, w = reference.depth, reference.parameters
        s = max(*rows, np.abs(last).max()) if scale == "unit" else np.linalg.norm(w) / np.sqrt(L)
        w -= 0.03 / s ** (2 * (L - 1)) * g
    assert_allclose(network.parameters, reference.parameters, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_the_normalized_schedule_on_one_layer_is_descent_on_the_logarithm(start):
    X, y, activations = random_problem()
    network = GatedNetwork.shallow_gln(D, 2, random_state=0)
    network.parameters *= start
    reference = network.copy()
    gates = activations[:, :1]
    GradientDescent(Normalized(0.03), max_steps=10).train(network, X, y, gates)
    for _ in range(10):
        u = y * reference.decision_function(X, gates)
        slopes = expit(-u) / np.logaddexp(0, -u).sum()
        reference.parameters -= 0.03 * reference.gradient(X, gates, -y * slopes)
    assert_allclose(network.parameters, reference.parameters, rtol=1e-12, atol=1e-12)
    assert np.abs(network.parameters).max() > 0


def test_zero_weights_stay_where_no_gradient_leads_away():
    X, y, activations = random_problem()
    for schedule in (Constant(0.1), Normalized(0.1)):
        network = a_network()
        network.parameters[:] = 0.0
        GradientDescent(schedule, max_steps=5).train(network, X, y, activations)
        assert (network.parameters == 0).all()


def test_the_loss_falls_with_a_small_rate():
    X, y, activations = random_problem()
    history = GradientDescent(0.02, max_steps=500).train(a_network(), X, y, activations)
    assert (np.diff(history.loss) < 0).all()
    assert_allclose(np.log(history.loss), history["log_loss"])


def test_weight_decay_is_the_gradient_of_half_the_squared_norm():
    X, y, activations = random_problem()
    network, reference = a_network(bias=True), a_network(bias=True)
    GradientDescent(0.1, weight_decay=0.3, max_steps=20).train(network, X, y, activations)
    for _ in range(20):
        u = y * reference.decision_function(X, activations)
        g = reference.gradient(X, activations, -y * expit(-u) / N)
        reference.parameters -= 0.1 * (g + 0.3 * reference.parameters)
    assert_allclose(network.parameters, reference.parameters, rtol=1e-12, atol=1e-12)


def test_rescaling_makes_the_margin_grow_and_keeps_the_direction():
    X, y, activations = separable_problem()
    network = GatedNetwork.gln(3, 1, 1, random_state=0)
    rescaling = MarginGrowth(200, last=1e3, first=0.5)
    history = GradientDescent(
        Normalized(0.1), rescaling=rescaling, max_steps=400, log_every=1
    ).train(network, X, y, activations)
    first = np.flatnonzero(history["min_margin"] > 0)[0]
    targets = np.array([0.5 * 2000 ** min(1.0, k / 200) for k in range(401)])
    # a step late, but for the growth within a step
    assert_allclose(history["min_margin"][first + 30 :], targets[first + 29 : -1], rtol=0.05)
    assert_allclose(history["min_margin"][-1], 1e3, rtol=1e-3)


def test_rescaling_multiplies_the_weights_and_nothing_else():
    """One step with it is one step without it, times a number."""
    X, y, activations = separable_problem()
    network = GatedNetwork.from_zeta(max_margin(X, y, activations).zeta)
    network.parameters *= 2.0
    other = network.copy()
    GradientDescent(0.1, max_steps=1).train(other, X, y, activations)
    rescaling = MarginGrowth(10, last=3.0, first=3.0)
    GradientDescent(0.1, rescaling=rescaling, max_steps=1).train(network, X, y, activations)
    assert_allclose(network.parameters, other.parameters * math.sqrt(3.0 / 4.0))


# -- schedules -------------------------------------------------------------------------------------


def test_the_schedule_of_the_paper():
    schedule = Steps(((1600, 0.04), (1600, 0.01)))
    rates = [schedule.rate(k) for k in range(4000)]
    assert rates == [0.04] * 1600 + [0.01] * 2400


def test_stages_follow_each_other():
    schedule = Steps(((2, 0.3), (1, 0.2), (3, 0.1), (1, 0.05)))
    assert [schedule.rate(k) for k in range(9)] == [0.3] * 2 + [0.2] + [0.1] * 3 + [0.05] * 3


@given(st.floats(1e-3, 10.0), st.floats(0.01, 0.5), st.integers(0, 10**6))
def test_decaying_rates_fall_as_they_say(value, delta, step):
    schedule = Decaying(value, delta)
    assert schedule.rate(0) == value
    assert_allclose(schedule.rate(step), value * (step + 1) ** -(0.5 + delta))


def test_decaying_rates_are_square_summable_and_not_summable():
    rates = np.array([Decaying(1.0, 0.25).rate(k) for k in range(10_000)])
    assert np.square(rates).sum() < 2.7  # zeta(3/2) = 2.612
    assert rates.sum() > 30


def test_multipliers():
    weights = [np.ones((1, 2, 3)), np.full((1, 1, 2), 2.0)]
    assert_allclose(Constant(0.1).multiplier(3, math.log(5.0), weights), 0.5)
    assert Constant(0.1).multiplier(3, -1e5, weights) == 0.0
    assert Constant(0.1).multiplier(3, 1e5, weights) == math.inf
    assert_allclose(Normalized(0.1).multiplier(3, -1e5, weights), 0.1 / 4)
    with pytest.raises(NotImplementedError):
        Schedule().rate(0)


def test_a_number_is_a_constant_rate():
    assert GradientDescent(0.3).schedule == Constant(0.3)
    assert [Constant(0.3).rate(k) for k in (0, 10**6)] == [0.3, 0.3]


def test_rising_momentum_rises_to_its_limit():
    values = [RisingMomentum(0.9)(k) for k in range(200)]
    assert_allclose(values[:3], [0, 1 / 7, 2 / 8])
    assert values[-1] == 0.9
    assert (np.diff(values) >= 0).all()


@pytest.mark.parametrize("n_units", [3, (3, 2)])
def test_the_scale_of_the_network_leaves_the_relative_step(n_units):
    """A larger network of the same direction takes the same step in its own units."""
    network = GatedNetwork.gln(D, n_units, random_state=0)
    schedule = Normalized(0.5, scale="network")
    small, large = (
        schedule.multiplier(0, 0.0, [factor * layer.weights for layer in network.layers])
        for factor in (1.0, 3.0)
    )
    # the gradient of log L grows as the power L - 1, relative to weights of their own power
    assert_allclose(large * 3.0 ** (2 * (network.depth - 1)), small)
    square = network.parameters @ network.parameters / network.depth
    assert_allclose(small, 0.5 / square ** (network.depth - 1))


def test_margin_growth_is_geometric_and_careful():
    growth = MarginGrowth(100, last=1e4, first=1.0)
    assert_allclose(growth.factor(50, 100.0, 2), 1.0)
    assert_allclose(growth.factor(100, 5e3, 1), 2.0)
    assert_allclose(growth.factor(1000, 9e3, 2), math.sqrt(10 / 9))
    assert_allclose(growth.factor(100, 1e4 / 3.375, 3), 1.5)
    assert growth.factor(100, 1e-300, 2) == 2.0
    assert growth.factor(100, 1e300, 2) == 0.5
    assert [growth.factor(100, margin, 2) for margin in (0.0, -1.0, math.nan)] == [1.0] * 3


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Constant(0.0), "expected a finite rate > 0, got 0.0"),
        (lambda: Constant(math.nan), "expected a finite rate > 0, got nan"),
        (lambda: Constant(math.inf), "expected a finite rate > 0, got inf"),
        (lambda: Normalized(-1.0), "expected a finite rate > 0, got -1.0"),
        (lambda: Steps(()), "expected at least one stage"),
        (lambda: Steps(((10, 0.0),)), "expected a finite rate > 0, got 0.0"),
        (lambda: Steps(((0, 0.1),)), "expected stages of at least one step, got 0"),
        (lambda: Decaying(-0.1), "expected a finite rate > 0, got -0.1"),
        (lambda: Decaying(0.1, 0.0), "expected 0 < delta <= 0.5, got 0.0"),
        (lambda: Decaying(0.1, 0.6), "expected 0 < delta <= 0.5, got 0.6"),
        (lambda: Steps(3), "expected at least one stage .* got 3"),
        (lambda: Decaying(0.1, "0.5"), "expected 0 < delta <= 0.5, got '0.5'"),
        (lambda: RisingMomentum("1"), "expected 0 <= limit <= 1, got '1'"),
        (lambda: RisingMomentum(delay=None), "expected a finite delay > 0, got None"),
        (lambda: MarginGrowth("10"), "expected n_steps >= 1, got '10'"),
        (lambda: MarginGrowth(math.nan), "expected n_steps >= 1, got nan"),
        (lambda: MarginGrowth(10, last="100"), "expected 0 < first <= last < inf, .* last='100'"),
        (lambda: RisingMomentum(1.1), "expected 0 <= limit <= 1, got 1.1"),
        (lambda: RisingMomentum(1.0, delay=0.0), "expected a finite delay > 0, got 0.0"),
        (lambda: Normalized(0.1, scale="layer"), "expected scale 'unit' or 'network', got 'layer'"),
        (lambda: MarginGrowth(0), "expected n_steps >= 1, got 0"),
        (lambda: MarginGrowth(10, last=0.5), "expected 0 < first <= last < inf"),
        (lambda: MarginGrowth(10, first=0.0), "expected 0 < first <= last < inf, got first=0.0"),
        (lambda: MarginGrowth(10, last=math.inf), "expected 0 < first <= last < inf"),
        (lambda: GradientDescent(-0.1), "expected a finite rate > 0, got -0.1"),
        (lambda: GradientDescent(momentum=1.0), "expected 0 <= momentum < 1, got 1.0"),
        (lambda: GradientDescent(momentum=-0.1), "expected 0 <= momentum < 1, got -0.1"),
        (lambda: GradientDescent(batch_size=0), "expected batch_size .* at least 1, got 0"),
        (lambda: GradientDescent(batch_size=2.5), "expected batch_size .* at least 1, got 2.5"),
        (lambda: GradientDescent(max_steps=0), "expected max_steps .* at least 1, got 0"),
        (lambda: GradientDescent(log_every=0), "expected log_every .* at least 1, got 0"),
        (lambda: GradientDescent(weight_decay=-1.0), "expected a finite weight_decay >= 0"),
        (
            lambda: GradientDescent(Normalized(0.1), weight_decay=0.1),
            "expected weight_decay=0 with a Normalized schedule.* got 0.1",
        ),
        (
            lambda: GradientDescent(Damped(0.1), weight_decay=0.1),
            "expected weight_decay=0 with a Damped schedule.* got 0.1",
        ),
    ],
)
def test_descents_that_cannot_be(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_accelerated_descent_is_descent_with_settings():
    X, y, activations = separable_problem()
    R = np.linalg.norm(X, axis=1).max()
    settings = GradientDescent(
        Normalized(4 / R**2, scale="network"),
        momentum=RisingMomentum(limit=1.0, delay=4.0),
        nesterov=True,
        rescaling=MarginGrowth(300, last=1e3),
        max_steps=300,
        loss="exponential",
        log_every=50,
    )
    descents = [
        settings,
        GradientDescent.accelerated(X, 300, last=1e3, loss="exponential", log_every=50),
    ]
    networks = [GatedNetwork.gln(3, 1, 1, random_state=0) for _ in descents]
    one, other = (
        descent.train(network, X, y, activations)
        for descent, network in zip(descents, networks, strict=True)
    )
    assert columns_equal(one, other)
    assert_array_equal(one.step, np.arange(0, 301, 50))
    assert_allclose(one["min_margin"][-1], 1e3, rtol=0.05)
    assert GradientDescent.accelerated(X, 300, momentum=0.5).momentum == 0.5


@pytest.mark.parametrize(
    ("X", "options", "message"),
    [
        (np.zeros((3, 2)), {}, "expected inputs that are not all zero"),
        ([[np.nan, 1.0]], {}, "X contains NaN"),
        (np.ones((3, 2)), {"n_steps": 2.5}, "expected max_steps .* got 2.5"),
        (np.ones((3, 2)), {"last": 0.5}, "expected 0 < first <= last"),
        (
            np.ones((3, 2)),
            {"geometry": "linf"},
            r"expected geometry='l2' or a preconditioner, .* got Linf\(\); use Descent\(\[",
        ),
    ],
)
def test_accelerated_descents_that_cannot_be(X, options, message):
    with pytest.raises(ValueError, match=message):
        GradientDescent.accelerated(X, **options)


# -- batches ---------------------------------------------------------------------------------------


def record_batches(monkeypatch):
    batches, gradient = [], MarginLoss.gradient

    def recorded(self, rows, out):
        batches.append(None if rows is None else rows.copy())
        return gradient(self, rows, out)

    monkeypatch.setattr(MarginLoss, "gradient", recorded)
    return batches


@pytest.mark.parametrize("batch_size", [1, 3, 7, N, N + 5])
def test_a_pass_sees_each_sample_once(batch_size, monkeypatch):
    X, y, activations = random_problem()
    batches = record_batches(monkeypatch)
    per_pass = math.ceil(N / batch_size)
    GradientDescent(0.01, batch_size=batch_size, max_steps=3 * per_pass, random_state=0).train(
        a_network(), X, y, activations
    )
    passes = [np.concatenate(batches[i * per_pass : (i + 1) * per_pass]) for i in range(3)]
    for rows in passes:
        assert_array_equal(np.sort(rows), np.arange(N))
    assert not np.array_equal(passes[0], passes[1])
    sizes = [len(rows) for rows in batches[:per_pass]]
    assert sizes[:-1] == [batch_size] * (per_pass - 1)
    assert sizes[-1] == N - sum(sizes[:-1])


def test_a_batch_step_is_a_step_on_the_mean_over_the_batch(monkeypatch):
    X, y, activations = random_problem()
    batches = record_batches(monkeypatch)
    network, reference = a_network(), a_network()
    GradientDescent(0.1, batch_size=6, max_steps=10, random_state=0).train(
        network, X, y, activations
    )
    for rows in batches:
        u = y[rows] * reference.decision_function(X[rows], activations[rows])
        coef = -y[rows] * expit(-u) / len(rows)
        reference.parameters -= 0.1 * reference.gradient(X[rows], activations[rows], coef)
    assert_allclose(network.parameters, reference.parameters, rtol=1e-12, atol=1e-12)


def test_the_random_state_decides_the_batches():
    X, y, activations = random_problem()

    def trained(random_state):
        network = a_network()
        GradientDescent(0.1, batch_size=4, max_steps=12, random_state=random_state).train(
            network, X, y, activations
        )
        return network.parameters

    assert_array_equal(trained(0), trained(0))
    assert_array_equal(trained(0), trained(np.random.RandomState(0)))
    assert not np.array_equal(trained(0), trained(1))


def test_full_batches_use_no_random_number():
    X, y, activations = random_problem()
    rng = np.random.RandomState(0)
    GradientDescent(0.1, max_steps=5, random_state=rng).train(a_network(), X, y, activations)
    assert rng.randint(2**31) == np.random.RandomState(0).randint(2**31)


# a pickle of GradientDescent(Steps(((3, 0.2), (4, 0.05))), momentum=0.9, nesterov=True,
# max_steps=20, weight_decay=0.1) from before optimisers had parts
OLD_PICKLE = (
    "gASVZgEAAAAAAACMFWdub3JtLmRlc2NlbnQudHJhaW5lcpSMD0dyYWRpZW50RGVzY2VudJSTlCmBlH2UKIwIc2NoZWR1"
    "bGWUjBdnbm9ybS5kZXNjZW50LnNjaGVkdWxlc5SMBVN0ZXBzlJOUKYGUfZSMBnN0YWdlc5RLA0c/yZmZmZmZmoaUSwRH"
    "P6mZmZmZmZqGlIaUc2KMBGxvc3OUjBRnbm9ybS5kZXNjZW50Lmxvc3Nlc5SMCExvZ2lzdGljlJOUKYGUjAhtb21lbnR1"
    "bZRHP+zMzMzMzM2MCG5lc3Rlcm92lIiMCmJhdGNoX3NpemWUTowJbWF4X3N0ZXBzlEsUjAx3ZWlnaHRfZGVjYXmURz+5"
    "mZmZmZmajA5wcmVjb25kaXRpb25lcpROjAlyZXNjYWxpbmeUTowJbG9nX2V2ZXJ5lE6MCGNhbGxiYWNrlE6MCHByb2dy"
    "ZXNzlImMDHJhbmRvbV9zdGF0ZZROdWIu"
)


def test_gradient_descent_is_read_from_pickles_old_and_new():
    X, y, activations = random_problem()
    new = GradientDescent(
        Steps(((3, 0.2), (4, 0.05))), momentum=0.9, nesterov=True, max_steps=20, weight_decay=0.1
    )
    networks = []
    for descent in (
        new,
        pickle.loads(base64.b64decode(OLD_PICKLE)),
        pickle.loads(pickle.dumps(new)),
    ):
        networks.append(a_network())
        descent.train(networks[-1], X, y, activations)
    for network in networks[1:]:
        assert_array_equal(network.parameters, networks[0].parameters)
    with pytest.raises(AttributeError, match="has no attribute 'Ascent'"):
        _ = trainer.Ascent


# -- stopping and resuming -------------------------------------------------------------------------


RUNS = {
    "plain": {"schedule": 0.1},
    "momentum": {"schedule": 0.1, "momentum": 0.9},
    "nesterov, normalized, rescaled": {
        "schedule": Normalized(0.02),
        "momentum": RisingMomentum(),
        "nesterov": True,
        "rescaling": MarginGrowth(40),
    },
    "batches": {"schedule": 0.1, "momentum": 0.5, "batch_size": 6, "random_state": 0},
    "decaying, every 7 steps": {"schedule": Decaying(0.3), "log_every": 7},
    "preconditioned, decayed": {
        "schedule": 0.1,
        "weight_decay": 0.01,
        "preconditioner": [np.diag([1.0, 2.0, 3.0, 4.0]), None],
    },
}
every_run = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)


def uninterrupted(run, n_steps=60, callback=None):
    X, y, activations = random_problem()
    network = a_network()
    history = GradientDescent(max_steps=n_steps, callback=callback, **run).train(
        network, X, y, activations
    )
    return network, history


def interrupt_by_exception():
    raise KeyboardInterrupt


def interrupt_by_signal():
    signal.raise_signal(signal.SIGINT)


def interrupt_by_thread():
    thread = threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGINT))
    thread.start()
    thread.join()


@every_run
@pytest.mark.parametrize("at", [1, 20, 59])
def test_a_run_in_two_parts_is_the_same_run(run, at, tmp_path):
    expected_network, expected = uninterrupted(run)
    X, y, activations = random_problem()
    network = a_network()
    first = GradientDescent(max_steps=at, **run).train(network, X, y, activations)
    names, n_rows = first.names, len(first)
    first.save(tmp_path / "run.npz")
    for history in (first, History.load(tmp_path / "run.npz")):
        network = a_network()  # its weights come from the history
        network.parameters[:] = 17.0
        whole = GradientDescent(max_steps=60, **run).train(
            network, X, y, activations, history=history
        )
        assert_array_equal(network.parameters, expected_network.parameters)
        assert columns_equal(whole, expected)
        assert whole.n_steps == 60
        assert whole.stop is Stop.MAX_STEPS
    assert (first.names, len(first), first.n_steps) == (names, n_rows, at)


@every_run
@pytest.mark.parametrize(
    "interrupt", [interrupt_by_exception, interrupt_by_signal, interrupt_by_thread]
)
@pytest.mark.parametrize("at", [0, 14, 35])
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(run, interrupt, at):
    def callback(step, network):
        if step >= at and is_armed:
            interrupted_at.append(step)
            interrupt()
        return {"first": network.parameters[0]}

    interrupted_at = []

    is_armed = False
    expected_network, expected = uninterrupted(run, callback=callback)
    is_armed = True
    X, y, activations = random_problem()
    network = a_network()
    descent = GradientDescent(max_steps=60, callback=callback, **run)
    with pytest.warns(UserWarning, match="interrupted after .* of 60 steps") as caught:
        history = descent.train(network, X, y, activations)
    assert caught[0].filename == __file__
    assert history.stop is Stop.INTERRUPTED
    assert len(interrupted_at) == 1
    assert history.n_steps - interrupted_at[0] in (0, 1)
    assert_array_equal(history.state["parameters"], network.parameters)
    is_armed = False
    whole = descent.train(network, X, y, activations, history=history)
    assert_array_equal(network.parameters, expected_network.parameters)
    assert columns_equal(whole, expected)
    assert whole.stop is Stop.MAX_STEPS


def test_a_run_can_be_interrupted_more_than_once():
    expected_network, expected = uninterrupted(RUNS["batches"])
    X, y, activations = random_problem()
    network, history = a_network(), None

    def callback(step, network):
        if step in remaining:
            remaining.remove(step)
            raise KeyboardInterrupt

    remaining = {3, 4, 10, 57}
    descent = GradientDescent(max_steps=60, callback=callback, **RUNS["batches"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        while history is None or history.stop is Stop.INTERRUPTED:
            history = descent.train(network, X, y, activations, history=history)
    assert not remaining
    assert_array_equal(network.parameters, expected_network.parameters)
    assert columns_equal(history, expected)


@pytest.mark.parametrize("at", [7, 10], ids=["in the last step", "in the last row"])
def test_an_interrupt_at_the_end_is_not_lost(at):
    X, y, activations = random_problem()

    def callback(step, network):
        if step == at:
            signal.raise_signal(signal.SIGINT)

    run = {"max_steps": 8 if at == 7 else 10, "callback": callback}
    with pytest.warns(UserWarning, match="interrupted after"):
        history = GradientDescent(0.1, **run).train(a_network(), X, y, activations)
    assert history.stop is Stop.INTERRUPTED
    assert history.n_steps == run["max_steps"]


def test_a_second_interrupt_is_obeyed_at_once():
    X, y, activations = random_problem()

    class Impatient(Schedule):
        def rate(self, step):
            if step == 5:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            return 0.1

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        GradientDescent(Impatient()).train(a_network(), X, y, activations)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_of_a_factorisation_names_the_line_that_called():
    from gnorm.descent import matrix_factorization

    factors = matrix_factorization(np.eye(3), random_state=0)
    descent = GradientDescent(callback=lambda step, factors: interrupt_by_exception())
    with pytest.warns(UserWarning, match="interrupted after 0 of 1000 steps") as caught:
        descent.minimize(factors)
    assert caught[0].filename == __file__


def test_the_handler_of_interrupts_is_put_back():
    X, y, activations = random_problem()

    def mine(number, frame):
        raise AssertionError("this handler is not in charge during a run")

    def fail(step, network):
        assert signal.getsignal(signal.SIGINT) is not mine
        raise ZeroDivisionError

    previous = signal.signal(signal.SIGINT, mine)
    try:
        GradientDescent(0.1, max_steps=3).train(a_network(), X, y, activations)
        assert signal.getsignal(signal.SIGINT) is mine
        with pytest.raises(ZeroDivisionError):
            GradientDescent(0.1, callback=fail).train(a_network(), X, y, activations)
        assert signal.getsignal(signal.SIGINT) is mine
        with pytest.raises(DivergenceError):
            GradientDescent(1e6, loss="exponential").train(a_network(), X, y, activations)
        assert signal.getsignal(signal.SIGINT) is mine
        with pytest.warns(UserWarning, match="interrupted"):
            GradientDescent(0.1, callback=lambda *_: interrupt_by_signal()).train(
                a_network(), X, y, activations
            )
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_process_that_ignores_interrupts_goes_on_ignoring_them():
    X, y, activations = random_problem()
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        history = GradientDescent(0.1, max_steps=20, callback=lambda *_: interrupt_by_signal())
        history = history.train(a_network(), X, y, activations)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert history.stop is Stop.MAX_STEPS


def test_a_run_off_the_main_thread_is_the_same():
    expected, _ = uninterrupted(RUNS["batches"])
    results = []
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=lambda: results.append(uninterrupted(RUNS["batches"])))
    thread.start()
    thread.join()
    (network, history), *_ = results
    assert history.stop is Stop.MAX_STEPS
    assert_array_equal(network.parameters, expected.parameters)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("run", "other", "message"),
    [
        ({}, {"network": GatedNetwork.gln(D, 3, 2, bias=True)}, "state of 28 parameters, got"),
        ({}, {"history": History()}, "expected a history with a state of 27 parameters, got None"),
        ({"batch_size": 5}, {"n_samples": 15}, "with batches of 15 samples, got 20"),
        ({"batch_size": 5}, {"batch_size": None}, "with batches of 0 samples, got 20"),
    ],
)
def test_histories_that_do_not_fit(run, other, message):
    X, y, activations = random_problem()
    history = GradientDescent(0.1, max_steps=4, **run).train(a_network(), X, y, activations)
    history = other.get("history", history)
    network = other.get("network", a_network())
    rows = slice(other.get("n_samples", N))
    descent = GradientDescent(
        0.1, max_steps=8, batch_size=other.get("batch_size", 5 if run else None)
    )
    before = network.parameters.copy()
    with pytest.raises(ValueError, match=message):
        descent.train(network, X[rows], y[rows], activations[rows], history=history)
    assert_array_equal(network.parameters, before)


def test_a_run_that_has_all_its_steps_takes_no_more():
    network, history = uninterrupted(RUNS["plain"])
    before = network.parameters.copy()
    X, y, activations = random_problem()
    again = GradientDescent(0.1, max_steps=60).train(network, X, y, activations, history=history)
    assert_array_equal(network.parameters, before)
    assert columns_equal(again, history)


# -- the history of a run --------------------------------------------------------------------------


def test_rows_hold_what_was_measured_before_their_step():
    X, y, activations = random_problem()
    network = a_network()
    weights = {}
    history = GradientDescent(
        0.1, max_steps=30, callback=lambda k, n: weights.update({k: n.parameters.copy()})
    ).train(network, X, y, activations)
    assert_array_equal(weights[0], a_network().parameters)
    assert_array_equal(weights[30], network.parameters)
    assert_array_equal(history.step, list(weights))
    for i, w in enumerate(weights.values()):
        network.parameters[:] = w
        margins = y * network.decision_function(X, activations)
        losses = np.logaddexp(0, -margins)
        assert_allclose(history.loss[i], losses.mean())
        assert_allclose(history["min_margin"][i], margins.min())
        assert_allclose(history["smoothed_margin"][i], -np.log(np.expm1(losses.sum())))
        assert history["smoothed_margin"][i] <= history["min_margin"][i]
        assert_allclose(history["squared_norm"][i], w @ w)
        first, last = (layer.weights for layer in network.layers)
        assert_allclose(history["layer_norms"][i], [np.linalg.norm(first), np.linalg.norm(last)])
        balance = np.square(first).sum(axis=(0, 2)) - np.square(last[0, 0])
        assert_allclose(history["unit_balance"][i], balance, atol=1e-14)


def test_rows_are_spaced_geometrically_and_so_stay_few():
    X, y, activations = random_problem(n_samples=4, n_units=1)
    descents = [GradientDescent(1e-3, max_steps=n) for n in (100, 1000, 10_000)]
    histories = [d.train(a_network(n_units=1), X, y, activations) for d in descents]
    counts = [len(history) for history in histories]
    assert_allclose(np.diff(counts), 20, atol=1)
    assert counts[0] < 40
    steps = histories[-1].step
    assert_array_equal(steps[:11], np.arange(11))
    assert steps[-1] == 10_000
    assert (np.diff(steps) > 0).all()
    ratios = steps[20:-1] / steps[19:-2]
    assert ratios.max() < 1.2
    for shorter in histories[:-1]:  # the rows of a run do not depend on its length
        assert set(shorter.step) <= set(steps)


def test_memory_does_not_grow_with_the_steps():
    X, y, activations = random_problem(n_samples=4, n_units=1)
    peaks = []
    for n_steps in (300, 3000):
        network = a_network(n_units=1)
        tracemalloc.start()
        GradientDescent(1e-3, batch_size=2, max_steps=n_steps, random_state=0).train(
            network, X, y, activations
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 50_000


@pytest.mark.parametrize(
    ("log_every", "expected"), [(1, range(11)), (4, [0, 4, 8, 10]), (99, [0, 10])]
)
def test_rows_every_so_many_steps_and_at_the_end(log_every, expected):
    X, y, activations = random_problem()
    history = GradientDescent(0.1, max_steps=10, log_every=log_every).train(
        a_network(), X, y, activations
    )
    assert_array_equal(history.step, expected)


def test_a_callback_adds_columns():
    X, y, activations = random_problem()
    network = a_network()
    seen = []

    def callback(step, subject):
        seen.append((step, subject is network))
        return {"twice": 2 * step, "weights": subject.parameters[:3].copy()}

    history = GradientDescent(0.1, max_steps=6, callback=callback).train(network, X, y, activations)
    assert seen == [(step, True) for step in range(7)]
    assert_array_equal(history["twice"], 2 * np.arange(7))
    assert history["weights"].shape == (7, 3)
    assert_array_equal(history["weights"][-1], network.parameters[:3])


@pytest.mark.parametrize(
    ("callback", "error", "message"),
    [
        (lambda k, n: {"even": 1} if k % 2 == 0 else {"odd": 1}, ValueError, "same names in every"),
        (lambda k, n: {"late": 1} if k else None, ValueError, "same names in every row"),
        (lambda k, n: 3.0, TypeError, "expected the callback to return a dict or None, got float"),
        (lambda k, n: 0.0, TypeError, "expected the callback to return a dict or None, got float"),
        (lambda k, n: {"step": 7}, ValueError, r"names other than .* got \['step'\]"),
        (lambda k, n: {"loss": 7.0, "x": 1}, ValueError, r"names other than .* got \['loss'\]"),
    ],
)
def test_callbacks_that_return_what_fits_no_row(callback, error, message):
    X, y, activations = random_problem()
    with pytest.raises(error, match=message):
        GradientDescent(0.1, max_steps=6, callback=callback).train(a_network(), X, y, activations)


def test_a_progress_bar_on_request_only(capsys):
    X, y, activations = random_problem()
    GradientDescent(0.1, max_steps=30).train(a_network(), X, y, activations)
    silent = capsys.readouterr()
    assert silent.out == silent.err == ""
    history = GradientDescent(0.1, max_steps=30, progress=True).train(
        a_network(), X, y, activations
    )
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "30/30" in shown.err
    assert "loss=" in shown.err
    GradientDescent(0.1, max_steps=40, progress=True).train(
        a_network(), X, y, activations, history=history
    )
    assert "40/40" in capsys.readouterr().err


# -- divergence ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "rate", "size"),
    [("logistic", 1e4, 1.0), ("exponential", 1e3, 1.0), ("exponential", 0.1, 1e3)],
)
def test_a_diverging_run_stops_where_it_diverged(loss, rate, size):
    X, y, activations = random_problem()
    network = a_network()
    network.parameters *= size
    descent = GradientDescent(rate, loss=loss, momentum=0.9, max_steps=500, log_every=1)
    with pytest.raises(DivergenceError, match=re.escape(f"Constant(value={rate})")) as caught:
        descent.train(network, X, y, activations)
    history = caught.value.history
    assert f"after {history.n_steps} steps" in str(caught.value)
    assert "momentum=0.9" in str(caught.value)
    assert history.stop is Stop.DIVERGED
    assert history.n_steps < 100
    # a row for every step with a finite loss, and none without
    assert [row["step"] for row in history.rows] == list(range(history.n_steps))
    for name, column in history.columns.items():
        assert np.isfinite(column).all(), name
    with np.errstate(all="ignore"):
        margins = y * network.decision_function(X, activations)
        losses = np.exp(-margins) if loss == "exponential" else np.logaddexp(0, -margins)
        assert not losses.mean() < 1e300


def test_a_divergence_survives_pickling():
    X, y, activations = random_problem()
    with pytest.raises(DivergenceError) as caught:
        GradientDescent(1e4, max_steps=500).train(a_network(), X, y, activations)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert columns_equal(again.history, caught.value.history)


def test_normalized_descent_goes_on_where_no_loss_is_left():
    X, y, activations = separable_problem()
    network = GatedNetwork.gln(3, 1, 1, random_state=0)
    history = GradientDescent(
        Normalized(0.1), rescaling=MarginGrowth(500, last=1e4), max_steps=800, loss=Exponential()
    ).train(network, X, y, activations)
    assert history["min_margin"][-1] > 9e3
    assert history.loss[-1] == 0.0
    margins = y * network.decision_function(X, activations)
    smallest = margins.min()
    expected = np.log(np.mean(np.exp(smallest - margins))) - smallest
    assert_allclose(history["log_loss"][-1], expected)
    normalized = history["min_margin"] / history["squared_norm"]
    assert normalized[-1] > normalized[-5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y, G: (X, (y + 1) // 2, G), r"expected labels -1 and 1 in y, got \[0 1\]"),
        (lambda X, y, G: (X, y, G[:, :2]), r"expected activations of dtype bool and shape \(20, 3"),
        (lambda X, y, G: (X, y, None), "expected activations for 1 layers"),
        (lambda X, y, G: (np.where(X > 1, np.nan, X), y, G), "X contains NaN"),
        (lambda X, y, G: (X[:, :2], y, G), "expected X with 4 features, got 2"),
        (lambda X, y, G: (X, y[:5], G), r"expected y of shape \(20,\), got shape \(5,\)"),
    ],
)
def test_data_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        GradientDescent(0.1).train(a_network(), *change(*random_problem()))


def test_a_bias_has_no_margin_to_rescale_by():
    with pytest.raises(ValueError, match="expected a homogeneous network for rescaling"):
        GradientDescent(0.1, rescaling=MarginGrowth(10)).train(a_network(True), *random_problem())


def test_a_loss_that_is_not_known():
    with pytest.raises(ValueError, match=r"expected loss to be one of .* got 'hinge'"):
        GradientDescent(0.1, loss="hinge").train(a_network(), *random_problem())


# -- preconditioning -------------------------------------------------------------------------------


def spd(n, seed=0):
    """A symmetric positive definite matrix, with its square root."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    values = np.linspace(0.5, 3.0, n)
    return (Q * values) @ Q.T, (Q * np.sqrt(values)) @ Q.T


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
def test_a_preconditioner_is_descent_in_other_coordinates(momentum, bias):
    """W A^(-1/2) on X A^(1/2), layer by layer; here of the first."""
    X, y, activations = random_problem()
    A, root = spd(D)
    network, plain = a_network(bias), a_network(bias)
    first = plain.layers[0].weights
    first[:] = first @ np.linalg.inv(root)
    run = {"schedule": 0.1, "momentum": momentum, "max_steps": 40}
    history = GradientDescent(preconditioner=[A, None], **run).train(network, X, y, activations)
    expected = GradientDescent(**run).train(plain, X @ root, y, activations)
    assert_allclose(network.layers[0].weights, first @ root, rtol=1e-9, atol=1e-12)
    assert_allclose(network.layers[1].weights, plain.layers[1].weights, rtol=1e-9)
    assert_allclose(history.loss, expected.loss, rtol=1e-10)


def test_every_layer_has_its_preconditioner():
    X, y, activations = random_problem()
    A, _ = spd(D)
    B, _ = spd(3, seed=1)
    network, reference = a_network(), a_network()
    GradientDescent(0.1, preconditioner=[A, B], max_steps=5).train(network, X, y, activations)
    for _ in range(5):
        u = y * reference.decision_function(X, activations)
        g = reference.gradient(X, activations, -y * expit(-u) / N)
        parts = reference.unflatten(g)
        for layer, part, matrix in zip(reference.layers, parts, [A, B], strict=True):
            layer.weights[:] -= 0.1 * part @ matrix
    assert_allclose(network.parameters, reference.parameters, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        ([None], "expected a preconditioner for each of 2 layers, got 1"),
        ([np.eye(3), None], r"of layer 0 to have shape \(4, 4\), got \(3, 3\)"),
        ([None, np.eye(4)], r"of layer 1 to have shape \(3, 3\), got \(4, 4\)"),
        ([np.triu(np.ones((4, 4))), None], "of layer 0 to be symmetric and positive definite"),
        ([np.diag([1.0, 1.0, 1.0, 0.0]), None], "of layer 0 to be symmetric and positive"),
        ([np.diag([1.0, 1.0, 1.0, -1.0]), None], "of layer 0 to be symmetric and positive"),
        ([np.full((4, 4), np.nan), None], "of layer 0 to be symmetric and positive"),
    ],
)
def test_preconditioners_that_are_no_metric(matrices, message):
    with pytest.raises(ValueError, match=message):
        GradientDescent(0.1, preconditioner=matrices).train(a_network(), *random_problem())


def test_a_preconditioner_leads_to_the_max_margin_solution_of_its_metric():
    """On one always-open unit it is a linear SVM, of X or of X A^(1/2)."""
    rng = np.random.default_rng(0)
    X, y, activations = rng.normal(size=(8, 6)), np.repeat([1, -1], 4), np.ones((8, 1, 1), bool)
    A, root = spd(6)
    plain = max_margin(X, y, activations).zeta.ravel()
    other = root @ max_margin(X @ root, y, activations).zeta.ravel()

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    assert cosine(plain, other) < 0.99
    for preconditioner, expected in [(None, plain), ([A, None], other)]:
        network = GatedNetwork.gln(6, 1, 1, random_state=0)
        GradientDescent(
            Normalized(0.02),
            momentum=RisingMomentum(),
            nesterov=True,
            preconditioner=preconditioner,
            rescaling=MarginGrowth(3000, last=1e4),
            max_steps=4000,
        ).train(network, X, y, activations)
        assert cosine(network.to_zeta().ravel(), expected) > 0.9999


# -- what ends oddly -------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1e-3, 255.0, 1e6])
def test_accelerated_descent_is_the_same_in_any_units(factor):
    X, y, activations = random_problem(n_samples=12)
    network = a_network()
    GradientDescent.accelerated(factor * X, 4000).train(network, factor * X, y, activations)
    norm = max_margin(factor * X, y, activations, tol=1e-8).norm
    margins = y * network.decision_function(factor * X, activations)
    ratio = 2 * norm * margins.min() / (network.parameters @ network.parameters)
    assert 0.997 <= ratio <= 1.0


def test_accelerated_descent_finds_its_way_from_large_weights():
    X, y, activations = random_problem(n_samples=12)
    network = GatedNetwork.gln(D, 3, 2, scale=30.0, random_state=1)
    history = GradientDescent.accelerated(X, 2000).train(network, X, y, activations)
    assert history["min_margin"][0] < -100
    assert_allclose(history["min_margin"][-1], 2e4, rtol=0.01)


def test_a_run_that_diverges_in_its_last_step_is_no_success():
    X, y, activations = random_problem()
    with pytest.raises(DivergenceError, match="after 1 steps") as error:
        GradientDescent(1e5, loss="exponential", max_steps=1).train(a_network(), X, y, activations)
    assert error.value.history.step.tolist() == [0]


def test_a_history_that_diverged_is_not_resumed():
    X, y, activations = random_problem()
    with pytest.raises(DivergenceError) as error:
        GradientDescent(1e5, loss="exponential").train(a_network(), X, y, activations)
    with pytest.raises(ValueError, match="expected a history of a run that did not diverge"):
        GradientDescent(0.1).train(a_network(), X, y, activations, history=error.value.history)


def test_a_run_that_ends_above_its_start_is_doubted():
    X, y, activations = random_problem()
    with pytest.warns(UserWarning, match="training ended at a higher loss than it began with"):
        GradientDescent(Normalized(1e4), max_steps=200).train(a_network(), X, y, activations)


def test_a_run_that_never_separates_is_doubted():
    X, y, activations = random_problem()
    X, y, activations = np.vstack([X, X]), np.concatenate([y, -y]), np.vstack([activations] * 2)
    with pytest.warns(UserWarning, match="training ended with samples on the wrong side"):
        GradientDescent.accelerated(X, 200).train(a_network(), X, y, activations)


def test_rescaling_needs_all_samples():
    with pytest.raises(ValueError, match="expected batch_size=None with rescaling"):
        GradientDescent(0.1, rescaling=MarginGrowth(10), batch_size=4)


@pytest.mark.parametrize("momentum", [2.0, math.nan])
def test_momenta_of_a_function_are_checked(momentum):
    X, y, activations = random_problem()
    with pytest.raises(ValueError, match="expected momenta from 0 to 1, got"):
        GradientDescent(0.1, momentum=lambda step: momentum).train(a_network(), X, y, activations)


def test_what_is_no_network_or_has_no_weights():
    X, y = np.array([[2.0, 1.0], [-1.0, -2.0]]), np.array([1, -1])
    network = Network(2, [Columns([0])])
    for geometry in ["l2", "l1"]:
        with pytest.raises(ValueError, match=r"expected weights to train, got none in Net"):
            GradientDescent(geometry=geometry).train(network, X, y)
    with pytest.raises(ValueError, match="expected a network with weights, got Network"):
        kkt_residual(network, X, y)
    assert network.rates().violation([]) == 1.0
    with pytest.raises(ValueError, match="expected a Network, got 'network'"):
        GradientDescent().train("network", X, y)
    with pytest.raises(ValueError, match=r"expected an objective, such as .* got GatedNetwork"):
        GradientDescent().minimize(GatedNetwork.relu(2, 3))


def test_strings_where_numbers_are_asked_for():
    X, y = [[2.0, 1.0], [-1.0, -2.0]], [1, -1]
    network = Network(2, [Dense(2, 1)], parameters=[1.0, 1.0])
    refused = [
        (lambda: kkt_residual(network, X, y, tol="0"), "expected tol >= 0, got '0'"),
        (lambda: network.subdifferential(X[0], output="0"), "an output from 0 to 0, got '0'"),
        (lambda: network.subdifferential(X[0], output=0.5), "an output from 0 to 0, got 0.5"),
        (lambda: network.subdifferential("x"), "expected real x, got 'x'"),
        (lambda: network.gradient(X, None, ["a", "b"]), "expected real coef, got dtype"),
        (lambda: MarginLoss(network, X, y, rates="1"), "expected real rates, got '1'"),
        (lambda: GradientDescent(preconditioner="A"), "expected real preconditioner of layer 0"),
    ]
    for call, message in refused:
        with pytest.raises(ValueError, match=re.escape(message)):
            call()
