"""Runs of every optimiser on several networks, stopped and resumed: the same to the last bit.

Optimisers are found by themselves: every part, every geometry and every trainer of the package.
"""

import inspect
import re
import signal
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gnorm.descent import (
    Adam,
    Average,
    Descent,
    Direction,
    GatedNetwork,
    Geometry,
    GradientDescent,
    HighOrder,
    History,
    Logarithm,
    Lp,
    MarginGrowth,
    Momentum,
    Network,
    Normalized,
    Part,
    PowerGrowth,
    Rate,
    WeightDecay,
)
from gnorm.descent.layers import (
    Attention,
    BatchNorm,
    Bias,
    Convolution,
    Dense,
    LayerNorm,
    ReLU,
    residual,
)
from tests.descent.test_layers import every_example, in_a_chain, problem

N, D, N_STEPS = 20, 4, 40
pytestmark = pytest.mark.filterwarnings("ignore:training ended")

# what constructors of parts and geometries are given for the arguments that they ask for, by name
ARGUMENTS = {
    "value": 0.1,
    "schedule": 0.01,
    "growth": PowerGrowth(20.0, 1.5),
    "p": 4.0,
    "matrices": [2.0 * np.eye(D), None],
    "geometries": ["spectral", "linf"],
}

# compositions as they are used
OPTIMIZERS = {
    "signs": GradientDescent(0.01, geometry="linf", unit_steps=True, max_steps=40),
    "coordinates": GradientDescent(0.1, geometry="l1", momentum=0.5, max_steps=40),
    "powers": GradientDescent(0.05, geometry=Lp(4.0), max_steps=40, weight_decay=0.01),
    "spectral": GradientDescent(0.01, geometry="spectral", unit_steps=True, max_steps=40),
    "signs of an average": Descent(
        [Average(0.8), Direction("linf", unit_steps=True), Rate(0.01)], max_steps=40
    ),
    "muon": Descent(
        [Logarithm(), Average(0.8, nesterov=True), Direction("spectral"), Rate(0.01)], max_steps=40
    ),
    "decayed momentum": Descent([WeightDecay(0.1), Rate(0.05), Momentum(0.7)], max_steps=40),
    "high order": Descent([HighOrder(PowerGrowth(20.0, 1.5, "linf"))], max_steps=40),
    "adam": Adam(0.01, max_steps=40, batch_size=7, random_state=0),
    "adam without epsilon": Adam(Normalized(0.01), epsilon=0.0, max_steps=40),
    "rescaled adam": Adam(Normalized(0.01), rescaling=MarginGrowth(40), max_steps=40),
}


def subclasses(cls):
    found = [c for sub in cls.__subclasses__() for c in (sub, *subclasses(sub))]
    return [c for c in found if c.__module__.startswith("gnorm.")]


def build(cls):
    parameters = inspect.signature(cls).parameters.values()
    return cls(
        **{
            p.name: ARGUMENTS[p.name]
            for p in parameters
            if p.default is p.empty and p.kind is not p.VAR_KEYWORD
        }
    )


def optimizers():
    """The compositions, and each part, geometry and trainer of the package by its class."""
    yield from OPTIMIZERS.items()
    for cls in subclasses(Part):
        parts = [build(cls)] if cls is Rate else [build(cls), Rate(0.01)]
        yield cls.__name__, Descent(parts, batch_size=7, random_state=0)
    for cls in subclasses(Geometry):
        yield cls.__name__, GradientDescent(0.01, geometry=build(cls), momentum=0.5)
    for cls in subclasses(Descent):
        yield cls.__name__, build(cls)


NETWORKS = {
    "gated": lambda: GatedNetwork.gln(D, 3, 2, random_state=1),
    "convolution and bias": lambda: Network(
        D,
        [Convolution(D, 2, 1, 2), Bias(8), ReLU(), residual(Dense(8, 8)), Dense(8, 1)],
        random_state=1,
    ),
    "normalised": lambda: Network(
        D, [Dense(D, 3), BatchNorm(3, affine=True), LayerNorm(3), Dense(3, 1)], random_state=1
    ),
    "attention": lambda: Network(D, [Attention(2, 2, 3), Dense(6, 1)], random_state=1),
}


def train(descent, network, history=None, max_steps=N_STEPS, callback=None):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D))
    y = np.where(X[:, 0] > 0, 1, -1)
    activations = rng.integers(2, size=(N, 3))[:, :, None] == np.arange(2)
    descent.max_steps, descent.callback = max_steps, callback
    is_gated = isinstance(network, GatedNetwork)
    return descent.train(network, X, y, activations if is_gated else None, history=history)


def refusal(descent, make):
    """Say why an optimiser does not take a network; None if it does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a single step
        try:
            train(descent, make(), max_steps=1)
        except ValueError as error:
            return str(error)
    return None


RUNS = {
    f"{name}, {network}": (descent, make, refusal(descent, make))
    for name, descent in optimizers()
    for network, make in NETWORKS.items()
}
TAKEN = {name: run[:2] for name, run in RUNS.items() if run[2] is None}
every_run = pytest.mark.parametrize(("descent", "make"), TAKEN.values(), ids=TAKEN)


def test_every_optimizer_takes_a_gated_network_and_refusals_say_why():
    assert all(f"{name}, gated" in TAKEN for name, _ in optimizers())
    refused = {name: why for name, (_, _, why) in RUNS.items() if why is not None}
    for name, why in refused.items():
        assert re.match(r"expected .*got ", why), name
    assert "of shape (8,) in array 1 of 4" in refused["Spectral, convolution and bias"]
    assert len(TAKEN) > 0.7 * len(RUNS)


@every_run
def test_a_run_in_two_parts_is_the_same_run(descent, make, tmp_path):
    whole, parts = make(), make()
    expected = train(descent, whole)
    train(descent, parts, max_steps=17).save(tmp_path / "run")
    parts.parameters[:] = 7.0  # the weights come from the history
    resumed = train(descent, parts, History.load(tmp_path / "run"))
    assert_array_equal(parts.parameters, whole.parameters)
    for name in expected.names:
        assert_array_equal(resumed[name], expected[name])
    for name, value in expected.state.items():
        assert_array_equal(resumed.state[name], value)


@every_run
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(descent, make):
    def interrupt(step, network):
        if step == 9:
            signal.raise_signal(signal.SIGINT)

    whole, parts = make(), make()
    train(descent, whole)
    with pytest.warns(UserWarning, match="training was interrupted after 10 of 40 steps"):
        history = train(descent, parts, callback=interrupt)
    parts.parameters[:] = 7.0
    train(descent, parts, history)
    assert_array_equal(parts.parameters, whole.parameters)


@every_example
def test_a_run_on_any_layer_goes_on_to_the_last_bit(make):
    """Of batches and with averages: the optimiser remembers, whatever the layer."""
    layer = make()

    def run(max_steps, history=None, callback=None):
        network, X, gates, _ = problem(layer, in_a_chain)
        labels = np.arange(len(X)) % network.n_outputs
        descent = Adam(1e-3, batch_size=4, max_steps=max_steps, callback=callback, random_state=0)
        return network, descent.train(network, X, labels, gates or None, history=history)

    def interrupt(step, network):
        if step == 5:
            signal.raise_signal(signal.SIGINT)

    whole, _ = run(12)
    with pytest.warns(UserWarning, match="training was interrupted after 6 of 12 steps"):
        _, history = run(12, callback=interrupt)
    resumed, _ = run(12, history)
    assert_array_equal(resumed.parameters, whole.parameters)
