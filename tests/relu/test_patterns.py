"""Networks of given patterns: the patterns, CLARABEL on the same program, and all neurons."""

import itertools
from math import comb

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import linprog

import gnorm
from gnorm.gates import ReLUGates
from gnorm.losses import get_loss
from gnorm.relu import ReLUStatus, activation_patterns, relu_max_margin
from gnorm.solvers import NotSeparableError
from tests.relu.reference import by_clarabel
from tests.relu.test_relu import SOFT, data


def as_set(patterns):
    return set(map(bytes, patterns.T.astype(np.uint8)))


# ------------------------------------------------------------------------------- enumeration


@pytest.mark.parametrize(("n_samples", "n_features"), [(1, 1), (6, 1), (9, 2), (8, 3), (7, 4)])
def test_as_many_patterns_as_cells(n_samples, n_features):
    X = np.random.default_rng(0).normal(size=(n_samples, n_features))
    patterns = activation_patterns(X)
    n_lines = n_samples if n_features > 1 else 1  # on a line all hyperplanes are the origin
    n_cells = 2 * sum(comb(n_lines - 1, k) for k in range(n_features))
    assert len(as_set(patterns)) == patterns.shape[1]
    # a cell without an active sample is left out
    n_silent = int(
        linprog(np.zeros(n_features), X, -np.ones(n_samples), bounds=(None, None)).status == 0
    )
    assert patterns.shape[1] == n_cells - n_silent


@pytest.mark.parametrize("kind", ["lattice", "low rank"])
def test_patterns_are_those_with_an_inner_point(kind):
    rng = np.random.default_rng(1)
    if kind == "lattice":  # parallel samples, zeros, crossings in one point
        X = np.array(
            [[1, 1, 0], [2, 2, 0], [-1, -1, 0], [0, 0, 0], [1, 0, 1], [0, 1, -1], [1, 0, 0.0]]
        )
    else:
        X = rng.normal(size=(7, 2)) @ rng.normal(size=(2, 5))
    found = as_set(activation_patterns(X))
    on = X.any(axis=1)
    for signs in itertools.product([False, True], repeat=len(X)):
        pattern = np.array(signs)
        inwards = np.where(pattern[:, None], X, -X)[on]
        inside = linprog(
            np.zeros(X.shape[1]), -inwards, -np.ones(len(inwards)), bounds=(None, None)
        )
        is_pattern = inside.status == 0 and pattern.any() and not pattern[~on].any()
        assert (pattern.astype(np.uint8).tobytes() in found) == is_pattern


def test_drawn_patterns_are_some_of_all():
    X, _ = data(12, 3)
    drawn = activation_patterns(X, 40, random_state=0)
    assert 10 < drawn.shape[1] <= 40
    assert as_set(drawn) < as_set(activation_patterns(X))
    with pytest.raises(ValueError, match=r"expected at most 2e\+08 entries of all patterns"):
        activation_patterns(np.random.default_rng(0).normal(size=(200, 8)))


# ----------------------------------------------------------------------------- the programs


@pytest.mark.parametrize(("name", "C"), SOFT)
def test_some_patterns_equal_clarabel(name, C):
    X, y = data(8, 3, seed=3)
    loss = get_loss(name)
    y = y if loss.is_margin else y + X[:, 0]
    # enough of them to separate
    patterns = activation_patterns(X, 12, random_state=0)
    solution = relu_max_margin(X, y, C, loss=name, patterns=patterns, tol=1e-7)
    assert solution.status is ReLUStatus.OPTIMAL
    assert_allclose(solution.primal_value, by_clarabel(X, y, loss, C, patterns), rtol=2e-5)
    # the network has no neurons of other patterns, and at most one of each and either sign
    heights = X @ solution.neurons.T
    for height in heights.T:
        fits = np.all(np.where(patterns, height[:, None] > -1e-9, height[:, None] < 1e-9), axis=0)
        assert fits.any()
    hidden, output = solution.to_network()
    assert_allclose(np.maximum(X @ hidden.T, 0) @ output, solution.decision_values(X))


@pytest.mark.parametrize("C", [1.0, np.inf])
def test_multipliers_of_the_cones_prove_the_bound(C):
    X, y = data(10, 3, seed=4)
    patterns = activation_patterns(X, 25, random_state=1)
    solution = relu_max_margin(X, y, C, patterns=patterns, tol=1e-7)
    b = solution.dual_coef * y
    lengths = []
    for pattern, sign in itertools.product(patterns.T, (1.0, -1.0)):
        multipliers = cp.Variable(len(X), nonneg=True)
        rest = sign * (b * pattern) @ X + (X * (2.0 * pattern - 1.0)[:, None]).T @ multipliers
        lengths.append(cp.Problem(cp.Minimize(cp.norm(rest))).solve(solver="CLARABEL"))
    assert_allclose(np.max(lengths), solution.dual_norm, rtol=1e-6)
    bound = np.sum(solution.dual_coef) - 0.5 * solution.dual_norm**2
    assert_allclose(solution.lower_bound, bound, rtol=1e-9)


@pytest.mark.parametrize(
    ("n_samples", "n_features", "name", "C"),
    [
        (25, 2, "hinge", np.inf),
        (10, 3, "hinge", np.inf),
        (12, 3, "squared_error", 1.0),
        (8, 4, "squared_error", 1.0),
    ],
)
def test_all_patterns_are_all_neurons(n_samples, n_features, name, C):
    X, y = data(n_samples, n_features, seed=2)
    over_patterns = relu_max_margin(X, y, C, loss=name, patterns=activation_patterns(X), tol=1e-6)
    over_neurons = relu_max_margin(X, y, C, loss=name, tol=1e-6)
    assert over_patterns.status is over_neurons.status is ReLUStatus.OPTIMAL
    assert_allclose(over_patterns.primal_value, over_neurons.primal_value, rtol=2e-6)


def test_gates_of_a_network_with_and_without_cones():
    X, y = data(15, 3, seed=6)
    gates = ReLUGates(20, cutoff="zero", always_open=False, random_state=0).fit_transform(X)
    with_cones = relu_max_margin(X, y, 1.0, loss="squared_error", patterns=gates, tol=1e-7)
    gated = gnorm.solve(
        X, y, gates, C=1.0, norm=gnorm.norms.FReLU(), loss="squared_error", tol=1e-7
    )
    value = by_clarabel(X, y, get_loss("squared_error"), 1.0, gates[:, :, 0], with_cones=False)
    assert_allclose(gated.primal_value, value, rtol=1e-5)
    over_neurons = relu_max_margin(X, y, 1.0, loss="squared_error", tol=1e-7)
    # some neurons of a network; gates without their neurons
    assert gated.primal_value < with_cones.primal_value
    assert over_neurons.primal_value < with_cones.primal_value


def test_patterns_that_cannot_separate_have_a_proof():
    X, y = data(8, 3, seed=3)
    X = np.vstack((X, X[:1]))
    patterns = activation_patterns(X)[:, :2]
    with pytest.raises(NotSeparableError, match="every neuron of the given patterns") as raised:
        relu_max_margin(X, np.append(y, y[0]), patterns=patterns)
    b = raised.value.certificate * np.append(y, y[0])
    assert_allclose(np.sum(np.abs(b)), 1.0)
    for pattern, sign in itertools.product(patterns.T, (1.0, -1.0)):
        inwards = X * (2.0 * pattern - 1.0)[:, None]
        u = cp.Variable(3)
        largest = cp.Problem(
            cp.Maximize(sign * (b * pattern) @ X @ u), [inwards @ u >= 0, cp.norm(u) <= 1]
        )
        assert abs(largest.solve(solver="CLARABEL")) < 1e-7


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"patterns": np.ones((3, 2), dtype=bool)}, r"shape \(8, n_patterns\), got .* \(3, 2\)"),
        ({"patterns": np.ones((8, 2))}, "expected patterns of dtype bool .* got dtype float64"),
        ({"patterns": np.ones((8, 2, 3), dtype=bool)}, r"expected patterns .* got .* \(8, 2, 3\)"),
        ({"patterns": np.zeros((8, 2), dtype=bool)}, "expected a pattern that is active"),
        ({"oracle": "bounded"}, 'expected oracle="auto" beside patterns'),
        ({"penalize_bias": False}, "expected penalize_bias=True beside patterns"),
    ],
)
@pytest.mark.parametrize("C", [1.0, np.inf])
def test_what_does_not_go_with_patterns(change, sentence, C):
    X, y = data(8, 3)
    with pytest.raises(ValueError, match=sentence):
        relu_max_margin(X, y, C, **({"patterns": activation_patterns(X)} | change))


def test_patterns_that_no_neuron_has():
    X, y = data(24, 3)
    patterns = np.random.default_rng(0).random((24, 4)) > 0.5
    with pytest.raises(ValueError, match="expected a pattern that a neuron has"):
        relu_max_margin(X, y, 1.0, patterns=patterns)


def test_targets_of_zero_need_no_neurons():
    X, y = data(8, 3)
    for patterns in (None, activation_patterns(X)):
        solution = relu_max_margin(X, 0.0 * y, 1.0, loss="squared_error", patterns=patterns)
        assert (solution.norm, solution.duality_gap) == (0.0, 0.0)
        assert solution.status is ReLUStatus.OPTIMAL


def test_one_cone_is_found_from_any_seed():
    X, y = data(8, 3)
    pattern = activation_patterns(X)[:, :1]
    for seed in range(8):
        solution = relu_max_margin(
            X, y**2, 1.0, loss="squared_error", patterns=pattern, random_state=seed
        )
        assert solution.status is ReLUStatus.OPTIMAL


def test_samples_of_zero_have_no_pattern():
    assert activation_patterns(np.zeros((3, 2))).shape == (3, 0)
    assert activation_patterns(np.zeros((3, 2)), 4).shape == (3, 0)
