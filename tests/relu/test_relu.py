"""Networks of any width against hand-solved cases, enumeration and brute force over the sphere."""

import itertools
import pickle
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix

from gnorm.losses import _LOSSES, ClassLoss, get_loss
from gnorm.relu import ReLUStatus, activation_patterns, relu_max_margin
from gnorm.relu.columns import _Columns, _Generation
from gnorm.relu.exact import exact_oracle, is_quick, walk_bytes
from gnorm.relu.master import problem_of
from gnorm.relu.patterns import Cells
from gnorm.relu.reduction import merged, reduced
from gnorm.relu.saddle import SaddleSystem
from gnorm.solvers import NotSeparableError
from tests.relu.reference import by_clarabel

LOSSES = [name for name, loss in _LOSSES.items() if not issubclass(loss, ClassLoss)]
SOFT = [(name, 1.0) for name in LOSSES] + [("hinge", np.inf), ("squared_hinge", np.inf)]


def data(n_samples, n_features, seed=0):
    rng = np.random.default_rng(seed)
    X = np.column_stack((rng.normal(size=(n_samples, n_features - 1)), np.ones(n_samples)))
    y = np.where(rng.normal(size=n_samples) > 0, 1.0, -1.0)
    y[:2] = 1, -1
    return X, y


def sphere(n_features, n=100_000):
    if n_features == 1:
        return np.array([[1.0], [-1.0]])
    U = np.random.default_rng(1).normal(size=(n, n_features))
    return U / np.linalg.norm(U, axis=1, keepdims=True)


def largest(X, b, U):
    return np.max(np.abs(b @ np.maximum(X @ U.T, 0.0)))


# ---------------------------------------------------------------------------------- the oracle


@pytest.mark.parametrize("n_features", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["constant", "general", "lattice"])
@pytest.mark.parametrize("n_samples", [1, 2, 7, 25])
def test_oracle_is_never_below_brute_force_and_is_attained(n_features, kind, n_samples):
    rng = np.random.default_rng(n_samples)
    X = rng.normal(size=(n_samples, n_features))
    if kind == "constant":
        X[:, -1] = 1
    if kind == "lattice":  # samples on one line, opposite ones, zeros, crossings in one point
        X = np.round(1.5 * X)
    b = rng.normal(size=n_samples)
    found = exact_oracle(X).find(b)
    brute = largest(X, b, sphere(n_features))
    assert found.bound >= brute * (1 - 1e-12)
    assert found.bound <= brute * (1.1 if n_features < 4 else 1.3) + 1e-12
    assert_allclose(largest(X, b, found.neurons[:1]), found.bound, rtol=1e-12)
    assert_allclose(np.linalg.norm(found.neurons, axis=1), 1.0)
    # where nothing is as large as asked for, that is the bound
    for least in (0.5 * found.bound, 1.5 * found.bound + 1.0):
        assert_allclose(exact_oracle(X).find(b, least).bound, max(found.bound, least), rtol=1e-12)


def over_all_patterns(X, b):
    """The largest value over the cells, each by its own small convex program."""
    cells, V = Cells(X, activation_patterns(X)), b[:, None] * X
    gradients = cells.patterns.T @ V
    projected = [
        cells._projected(i, sign * v) for i, v in enumerate(gradients) for sign in (1.0, -1.0)
    ]
    return np.max(np.linalg.norm(projected, axis=1), initial=0.0)


@pytest.mark.parametrize("n_features", [1, 2, 3, 4])
def test_bound_covers_the_rounding_of_values(n_features):
    X, b = np.ones((3, n_features)), np.array([1e16, 1.0, -1e16])  # h(x / |x|) is the length of x
    assert exact_oracle(X).find(b).bound >= np.sqrt(n_features)


COINCIDING = {  # samples that are crossed by many circles in one, and nearly so
    "general": lambda rng: rng.normal(size=(8, 4)),
    "bits": lambda rng: rng.integers(0, 2, size=(9, 4)).astype(float),
    "lattice": lambda rng: np.column_stack((rng.integers(-1, 2, size=(8, 3)), np.ones(8))),
    "copies": lambda rng: np.round(rng.normal(size=(8, 4)))[rng.integers(0, 8, size=10)],
    "subspace": lambda rng: rng.normal(size=(8, 3)) @ rng.normal(size=(3, 4)),
    "plane": lambda rng: rng.normal(size=(8, 2)) @ rng.normal(size=(2, 4)),
    "nearly": lambda rng: rng.integers(0, 2, size=(8, 4)) + 1e-9 * rng.normal(size=(8, 4)),
}


@pytest.mark.parametrize("kind", COINCIDING)
@pytest.mark.parametrize("seed", range(3))
def test_four_features_equal_brute_force_over_all_patterns(kind, seed):
    rng = np.random.default_rng(seed)
    X = COINCIDING[kind](rng)
    b = rng.normal(size=len(X)) if seed else rng.choice([-1.0, 0.0, 1.0], size=len(X))
    assert_allclose(exact_oracle(X).find(b).bound, over_all_patterns(X, b), rtol=1e-8)


@pytest.mark.parametrize("C", [1.0, np.inf])
def test_four_features_are_certified(C):
    X, y = data(30, 4)
    solution = relu_max_margin(X, y, C, tol=1e-7)
    assert solution.status is ReLUStatus.OPTIMAL
    assert largest(X, y * solution.dual_coef, sphere(4)) <= solution.dual_norm * (1 + 1e-12)


def test_four_features_equal_the_program_over_all_patterns():
    X, y = data(6, 4, seed=3)
    assert_allclose(
        relu_max_margin(X, y, tol=1e-7).primal_value, by_clarabel(X, y, None, np.inf), rtol=2e-5
    )


@pytest.mark.parametrize(("n_features", "seed", "tol"), [(3, 0, 1e-7), (3, 2, 1e-6), (2, 4, 1e-6)])
def test_light_neurons_are_left_out(n_features, seed, tol):
    X, y = data(40, n_features, seed)
    solution = relu_max_margin(X, y, tol=tol)
    assert solution.status is ReLUStatus.OPTIMAL
    assert np.min(np.abs(solution.coefs)) > 1e-6 * solution.norm
    # the network and the proof are those of the neurons that stay
    assert np.min(y * solution.decision_values(X)) >= 1 - 1e-12
    assert_allclose(np.sum(np.abs(solution.coefs)), solution.norm, rtol=1e-12)
    assert_allclose(solution.primal_value, 0.5 * solution.norm**2, rtol=1e-12)
    assert solution.lower_bound >= (1 - tol) * solution.primal_value


def test_interrupt_while_light_neurons_are_left_out_keeps_the_solution(monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(_Generation, "lighten", interrupted)
    X, y = data(20, 3)
    assert relu_max_margin(X, y).status is ReLUStatus.OPTIMAL


@pytest.mark.parametrize(("n_samples", "is_quick_one"), [(310, True), (311, False)])
def test_auto_walks_four_features_where_that_takes_seconds(n_samples, is_quick_one):
    assert is_quick(n_samples, 4) is is_quick_one
    assert is_quick(100_000, 3)


@pytest.mark.parametrize(("n_samples", "n_features"), [(60, 4), (120, 4), (400, 3), (2000, 2)])
def test_a_walk_takes_no_more_memory_than_it_says(n_samples, n_features):
    X, _ = data(n_samples, n_features)
    b = np.random.default_rng(0).normal(size=n_samples)
    least = 0.9 * exact_oracle(X).find(b).bound  # as in a round
    tracemalloc.start()
    try:
        exact_oracle(X).find(b, least)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= walk_bytes(n_samples, n_features) <= 4 * peak


def test_merged_neurons_compute_the_same_on_the_samples():
    rng = np.random.default_rng(0)
    X, _ = data(12, 3)
    neurons, coefs = sphere(3, 300), rng.normal(size=300)
    fewer, sums = merged(X, neurons, coefs)
    assert len(sums) < 300
    assert_allclose(
        np.maximum(X @ fewer.T, 0) @ sums, np.maximum(X @ neurons.T, 0) @ coefs, atol=1e-10
    )
    assert np.sum(np.abs(sums)) < np.sum(np.abs(coefs))


def test_reduced_to_as_many_neurons_as_samples():
    X, _ = data(12, 3)
    neurons, coefs = sphere(3, 40), np.random.default_rng(0).normal(size=40)
    fewer, left = reduced(X, neurons, coefs)
    assert len(left) == 12
    assert_allclose(
        np.maximum(X @ fewer.T, 0) @ left, np.maximum(X @ neurons.T, 0) @ coefs, atol=1e-10
    )
    assert np.sum(np.abs(left)) < np.sum(np.abs(coefs))


@pytest.mark.parametrize("is_gained", [True, False])
def test_idle_columns_stay_unless_a_round_gains(is_gained):
    # left out without a gain they would come back, and the rounds go in circles
    X, y = data(12, 3)
    problem = problem_of(get_loss("hinge"), y, np.full(12, np.inf))
    columns = _Columns(X, np.repeat(sphere(3, 60), 2, axis=0), np.tile([1.0, -1.0], 60))
    run = _Generation(problem, X, exact_oracle(X), columns, 1e-6, np.empty((12, 0)))
    point, found = run.solve(), run.look()
    idle = {tuple(u) for u in columns.signed[point.coefs < 1e-9 * np.max(point.coefs)]}
    run.value = np.inf if is_gained else run.best.primal_value
    run.exchange(point, found)
    assert (idle <= {tuple(u) for u in columns.signed}) is not is_gained


@pytest.mark.parametrize("shape", [(30, 8), (8, 30), (20, 20)])
def test_saddle_system_is_solved_by_either_side(shape):
    rng = np.random.default_rng(0)
    A, spread = rng.normal(size=shape), 10.0 ** rng.uniform(-8, 8, size=sum(shape))
    first, second = np.split(spread, [shape[0]])
    second[0] = 0.0  # of a column without a bound
    f, g = rng.normal(size=shape[0]), rng.normal(size=shape[1])
    x, y = SaddleSystem(A, first, second).solve(f, g)
    matrix = np.block([[np.diag(first), A], [-A.T, np.diag(second)]])
    assert_allclose(np.concatenate((x, y)), np.linalg.solve(matrix, np.append(f, g)), rtol=1e-6)


# ------------------------------------------------------------------------------- known solutions


def test_one_feature_by_hand():
    # one neuron a side, of 1 / |x| of the nearest sample
    solution = relu_max_margin([[2.0], [4.0], [-0.5]], [1, 1, -1])
    assert_allclose(solution.norm, 0.5 + 2.0, rtol=1e-6)


def test_two_samples_by_hand():
    # orthogonal samples: neurons of their directions, 1 / |x| each
    solution = relu_max_margin([[3.0, 0.0], [0.0, 0.25]], [1, -1], tol=1e-9)
    assert_allclose(solution.norm, 1 / 3 + 4.0, rtol=1e-8)


def test_exclusive_or_by_hand():
    X = np.array([[1.0, 1.0], [-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]])
    y = np.array([1, 1, -1, -1])
    solution = relu_max_margin(X, y, tol=1e-9)
    assert_allclose(solution.norm, 4 / np.sqrt(2), rtol=1e-8)
    with_constant = relu_max_margin(np.column_stack((X, np.ones(4))), y, tol=1e-8)
    assert_allclose(with_constant.norm, solution.norm, rtol=1e-7)  # a constant is of no use
    assert_allclose(
        with_constant.primal_value,
        by_clarabel(np.column_stack((X, np.ones(4))), y, None, np.inf),
        rtol=1e-6,
    )


def test_on_a_line_the_norm_is_a_weighted_variation_of_the_slope():
    # a neuron with its kink at x has the coefficient |jump of f' at x| sqrt(1 + x^2)
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-3, 3, size=300))
    X = np.column_stack((x, np.ones(300)))
    y = np.sin(2 * x) + 0.1 * rng.normal(size=300)
    solution = relu_max_margin(X, y, 1.0, loss="squared_error", tol=1e-8)
    assert solution.status is ReLUStatus.OPTIMAL
    kinks = np.unique(np.round(-solution.neurons[:, 1] / solution.neurons[:, 0], 9))
    apart = np.concatenate((kinks[:1] - 1, kinks, kinks[-1:] + 1))
    values = solution.decision_values(np.column_stack((apart, np.ones(len(apart)))))
    jumps = np.diff(np.diff(values) / np.diff(apart))
    assert_allclose(np.sum(np.abs(jumps) * np.sqrt(1 + kinks**2)), solution.norm, rtol=1e-6)


# ------------------------------------------------------------------------------ all losses


@pytest.mark.parametrize(("name", "C"), SOFT)
@pytest.mark.parametrize("n_features", [2, 3])
def test_equals_the_program_over_all_patterns(name, C, n_features):
    X, y = data(7 - n_features, n_features, seed=3)
    loss = get_loss(name)
    y = y if loss.is_margin else y + X[:, 0]
    solution = relu_max_margin(X, y, C, loss=name, tol=1e-7)
    assert solution.status is ReLUStatus.OPTIMAL
    assert_allclose(solution.primal_value, by_clarabel(X, y, loss, C), rtol=2e-5)


@pytest.mark.parametrize(("name", "C"), SOFT)
def test_certificate_holds_by_its_definition(name, C):
    X, y = data(12, 3)
    loss = get_loss(name)
    y = y if loss.is_margin else y + X[:, 0]
    solution = relu_max_margin(X, y, C, loss=name, tol=1e-5)
    assert solution.status is ReLUStatus.OPTIMAL
    assert len(solution.coefs) <= len(y)
    weights = np.full(len(y), C)
    outputs = solution.decision_values(X)
    norm = np.sum(np.abs(solution.coefs))
    at_least = 1 + 1e-14  # a margin of 1 but for rounding is no infinite loss
    primal = 0.5 * norm**2 + np.sum(loss.value(y, at_least * outputs, weights))
    assert_allclose(solution.primal_value, primal, rtol=1e-9)
    b = solution.dual_coef * (y if loss.is_margin else 1.0)
    # a bound from a dense sample of the sphere: the oracle has no part in it
    dual_norm = largest(X, b, sphere(3))
    assert dual_norm <= solution.dual_norm * (1 + 1e-9)
    dual = -np.sum(loss.conjugate(y, b, weights)) - 0.5 * solution.dual_norm**2
    assert_allclose(solution.lower_bound, dual, rtol=1e-9)
    assert primal >= dual


# ---------------------------------------------------------------------------------- invariance


def test_rotation_and_scale():
    X, y = data(10, 3, seed=5)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    first = relu_max_margin(X, y, tol=1e-7)
    assert_allclose(relu_max_margin(X @ rotation, y, tol=1e-7).norm, first.norm, rtol=1e-6)
    assert_allclose(relu_max_margin(8 * X, y, tol=1e-7).norm, first.norm / 8, rtol=1e-6)


def test_weights_are_copies():
    X, y = data(15, 3, seed=6)
    weight = np.arange(15) % 3
    copies = np.repeat(np.arange(15), weight)
    weighted = relu_max_margin(X, y, 1.0, sample_weight=weight, tol=1e-8)
    copied = relu_max_margin(X[copies], y[copies], 1.0, tol=1e-8)
    assert_allclose(weighted.primal_value, copied.primal_value, rtol=1e-10)


def test_network_is_balanced_and_the_same():
    X, y = data(15, 3, seed=6)
    solution = relu_max_margin(X, y, 1.0)
    hidden, output = solution.to_network()
    assert_allclose(np.maximum(X @ hidden.T, 0) @ output, solution.decision_values(X))
    assert_allclose(0.5 * (np.sum(hidden**2) + np.sum(output**2)), solution.norm)


# ---------------------------------------------------------------------------------- bad input


def test_coinciding_samples_of_different_labels_are_a_proof():
    X, y = data(10, 3)
    X[3], y[3], X[7], y[7] = X[5], -y[5], 2 * X[1], y[1]
    with pytest.raises(NotSeparableError) as raised:
        relu_max_margin(X, y)
    a = raised.value.certificate
    assert_allclose(a[[3, 5]], 0.5)
    assert largest(X, a * y, sphere(3)) < 1e-12
    assert relu_max_margin(X, y, 1.0).status is ReLUStatus.OPTIMAL


def test_odd_part_of_a_network_is_linear():
    # opposite samples of opposite labels, of which no linear function has the signs
    X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    X, y = np.concatenate((X, -X)), np.array([1, 1, -1, -1, -1, 1])
    with pytest.raises(NotSeparableError) as raised:
        relu_max_margin(X, y)
    assert largest(X, raised.value.certificate * y, sphere(2)) < 1e-12


def test_one_feature_without_constant():
    with pytest.raises(NotSeparableError, match=r"in every neuron .* constant feature") as raised:
        relu_max_margin([[1.0], [2.0]], [1, -1])
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
    assert relu_max_margin([[1.0], [2.0]], [1, -1], 1.0).status is ReLUStatus.OPTIMAL


def test_what_the_walk_cannot_take():
    with pytest.raises(ValueError, match="expected at most 4 features"):
        relu_max_margin(np.ones((4, 5)), [1, -1, 1, -1], 1.0, oracle="exact")
    X, y = data(100, 4)
    with pytest.raises(MemoryError, match=r"samples needs .* more than"):
        relu_max_margin(X, y, memory_limit=1e4, oracle="exact")


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"X": csr_matrix(np.eye(2))}, TypeError, "dense data is required"),
        ({"X": 3.0}, ValueError, "Expected 2D array, got scalar"),
        ({"max_neurons": "many"}, ValueError, "expected max_neurons >= 1, .* got 'many'"),
        ({"max_neurons": 0}, ValueError, "expected max_neurons >= 1, .* got 0"),
    ],
)
def test_arguments_are_checked(change, error, sentence):
    with pytest.raises(error, match=sentence):
        relu_max_margin(**({"X": np.eye(2), "y": [1, -1], "C": 1.0} | change))


@pytest.mark.parametrize(
    "signs", [signs for signs in itertools.product([1, -1], repeat=3) if len(set(signs)) == 2]
)
def test_any_labels_on_a_line_are_separable(signs):
    X = np.array([[0.0, 1.0], [1.0, 1.0], [3.0, 1.0]])
    solution = relu_max_margin(X, signs, tol=1e-8)
    assert np.min(solution.decision_values(X) * signs) >= 1 - 1e-9
