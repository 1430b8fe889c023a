"""Biases and linear functions that cost nothing, against CLARABEL and closed forms on a line."""

from fractions import Fraction

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gnorm.losses import get_loss
from gnorm.relu import ReLUStatus, relu_max_margin
from gnorm.relu.free_bias import FreeBias
from gnorm.relu.master import balanced, problem_of
from gnorm.relu.reduction import folded
from tests.relu.reference import by_clarabel
from tests.relu.test_relu import SOFT, data

FREE = [
    {"penalize_bias": False},
    {"penalize_linear": False},
    {"penalize_bias": False, "penalize_linear": False},
]


def on_a_line(n_samples=60):
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-3, 3, size=n_samples))
    return np.column_stack((x, np.ones(n_samples))), np.sin(2 * x) + 0.1 * rng.normal(
        size=n_samples
    )


def spline(solution):
    """Knots, changes of the slope, and the slopes at either end."""
    w, b = solution.neurons.T
    knots, place = np.unique(np.round(-b / w, 6), return_inverse=True)
    jumps = np.bincount(place.reshape(-1), solution.coefs * np.abs(w))
    left = solution.linear[0] + solution.coefs[w < 0] @ w[w < 0]
    return knots, jumps, left, left + jumps.sum()


@pytest.mark.parametrize(
    ("name", "C", "n_features"),
    [(*each, 2) for each in SOFT] + [("hinge", np.inf, 3), ("squared_error", 1.0, 3)],
)
@pytest.mark.parametrize("free", FREE)
def test_equals_the_program_over_all_patterns(name, C, free, n_features):
    X, y = data(10 - n_features, n_features, seed=3)
    y = np.where(X[:, 0] ** 2 > np.median(X[:, 0] ** 2), 1.0, -1.0)
    loss = get_loss(name)
    y = y if loss.is_margin else y + X[:, 0] ** 2
    solution = relu_max_margin(X, y, C, loss=name, tol=1e-7, **free)
    assert solution.status is ReLUStatus.OPTIMAL
    assert_allclose(solution.primal_value, by_clarabel(X, y, loss, C, **free), rtol=2e-5)
    norm = np.sum(np.abs(solution.coefs))
    outputs = solution.decision_values(X) * (1 + 1e-12)  # rounding may take hard margins
    primal = 0.5 * norm**2 + np.sum(loss.value(y, outputs, np.full(len(y), C)))
    assert_allclose(solution.primal_value, primal, rtol=1e-8)
    # the dual point has no part along what costs nothing
    b = solution.dual_coef * (y if loss.is_margin else 1.0)
    Z = X if not free.get("penalize_linear", True) else X[:, -1:]
    assert_allclose(b @ Z, 0.0, atol=1e-9 * np.sum(np.abs(b)))
    dual = -np.sum(loss.conjugate(y, b, np.full(len(y), C))) - 0.5 * solution.dual_norm**2
    assert_allclose(solution.lower_bound, dual, rtol=1e-7)


def test_variations_of_the_slope_on_a_line():
    X, y = on_a_line()
    options = {"C": 1.0, "loss": "squared_error", "tol": 1e-8}
    solution = relu_max_margin(X, y, **options, penalize_bias=False)
    _, jumps, left, right = spline(solution)
    assert_allclose(solution.norm, max(np.sum(np.abs(jumps)), abs(left + right)), rtol=1e-6)
    solution = relu_max_margin(X, y, **options, penalize_linear=False)
    knots, jumps, _, _ = spline(solution)
    assert_allclose(solution.norm, np.abs(jumps) @ np.sqrt(1 + knots**2), rtol=1e-5)
    assert len(knots) == len(solution.coefs)
    solution = relu_max_margin(X, y, **options, penalize_bias=False, penalize_linear=False)
    knots, jumps, _, _ = spline(solution)
    assert_allclose(solution.norm, np.sum(np.abs(jumps)), rtol=1e-6)
    assert np.max(np.min(np.abs(knots[:, None] - X[:, 0]), axis=1)) < 1e-5  # at samples


@pytest.mark.parametrize("penalize_linear", [True, False])
def test_equals_the_spline_of_least_variation(penalize_linear):
    X, y = on_a_line()
    z, ends = cp.Variable(len(X)), cp.Variable(2)
    slopes = cp.multiply(1 / np.diff(X[:, 0]), cp.diff(z))
    variation = cp.norm(cp.diff(slopes), 1)
    if penalize_linear:
        variation += cp.abs(slopes[0] - ends[0]) + cp.abs(ends[1] - slopes[-1])
        variation = cp.maximum(variation, cp.abs(cp.sum(ends)))
    objective = 0.5 * cp.square(variation) + 0.5 * cp.sum_squares(z - y)
    value = cp.Problem(cp.Minimize(objective)).solve(solver="CLARABEL")
    solution = relu_max_margin(
        X,
        y,
        1.0,
        loss="squared_error",
        tol=1e-8,
        penalize_bias=False,
        penalize_linear=penalize_linear,
    )
    assert_allclose(solution.primal_value, value, rtol=1e-6)


@pytest.mark.parametrize("free", FREE)
def test_what_is_free_is_invariant(free):
    X, y = data(15, 3)
    y = y + X[:, 0] ** 2
    options = {"C": 1.0, "loss": "squared_error", "tol": 1e-7}
    first = relu_max_margin(X, y, **options, **free)
    shift = X @ [3.0, -2.0, 10.0] if "penalize_linear" in free else 10.0
    other = relu_max_margin(X, y + shift, **options, **free)
    assert_allclose(other.primal_value, first.primal_value, rtol=1e-6)
    if "penalize_bias" in free:  # and wherever the origin is
        moved = relu_max_margin(X + np.array([5.0, -7.0, 0.0]), y, **options, **free)
        assert_allclose(moved.primal_value, first.primal_value, rtol=1e-6)


@pytest.mark.parametrize("free", FREE[::2])
@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_the_unit_of_the_inputs_is_that_of_the_norm(free, unit):
    X, y = data(12, 3)
    options = {"loss": "squared_error", "tol": 1e-6} | free
    first = relu_max_margin(X, y, 1.0, **options)
    X[:, :-1] *= unit
    other = relu_max_margin(X, y, unit**-2, **options)
    assert_allclose(other.norm, first.norm / unit, rtol=1e-4)  # gaps are of values
    assert_allclose(other.lower_bound, first.lower_bound / unit**2, rtol=1e-5)
    assert_allclose(other.dual_coef, first.dual_coef / unit**2, atol=1e-3 / unit**2)
    norm, outputs = np.sum(np.abs(other.coefs)), other.decision_values(X)
    primal = 0.5 * norm**2 + 0.5 * unit**-2 * np.sum((outputs - y) ** 2)
    assert_allclose(other.primal_value, primal, rtol=1e-6)


def test_folded_neurons_compute_the_same():
    X, _ = data(12, 3)
    neurons = np.random.default_rng(1).normal(size=(5, 3))
    neurons = np.vstack((neurons, -neurons[:3]))
    coefs = np.array([1.0, -2.0, 1.0, 1.0, 1.0, 0.5, -0.5, -1.0])
    fewer, left, linear = folded(neurons, coefs, np.ones(3))
    assert len(left) == 6
    assert_allclose(
        np.maximum(X @ fewer.T, 0) @ left + X @ linear,
        np.maximum(X @ neurons.T, 0) @ coefs + X @ np.ones(3),
        atol=1e-12,
    )


def test_what_cannot_be_free():
    X, y = data(12, 4)
    with pytest.raises(ValueError, match="log_loss has no minimum"):
        relu_max_margin(X, np.sign(X[:, 0]), 1.0, loss="log_loss", penalize_linear=False)
    with pytest.raises(ValueError, match="expected 1 or 2 features and the constant"):
        relu_max_margin(X, y, 1.0, penalize_bias=False)
    with pytest.raises(ValueError, match="expected a constant last feature"):
        relu_max_margin(X[:, :3], y, 1.0, penalize_bias=False)
    with pytest.raises(ValueError, match="expected an exact oracle with penalize_bias=False"):
        relu_max_margin(X[:, 2:], y, 1.0, penalize_bias=False, oracle="local")
    for name in ("penalize_bias", "penalize_linear"):
        with pytest.raises(ValueError, match=f"expected {name} to be True or False, got 'no'"):
            relu_max_margin(X, y, 1.0, **{name: "no"})


@pytest.mark.parametrize("free", FREE[1:])
@pytest.mark.parametrize(("name", "C"), [("hinge", np.inf), ("hinge", 1.0), ("squared_hinge", 1.0)])
def test_what_is_free_separates_at_no_cost(free, name, C):
    X, _ = on_a_line(20)
    y = np.sign(X[:, 0] - 0.3)
    solution = relu_max_margin(X, y, C, loss=name, **free)
    assert solution.status is ReLUStatus.OPTIMAL
    assert solution.norm == solution.primal_value == solution.lower_bound == 0
    assert len(solution.coefs) == 0
    assert not solution.dual_coef.any()
    assert np.isinf(solution.margin)
    assert np.min(y * solution.decision_values(X)) >= 1


@pytest.mark.parametrize("free", FREE[1:])
@pytest.mark.parametrize("name", ["squared_error", "absolute_error", "quantile"])
def test_what_is_free_fits_at_no_cost(free, name):
    X, _ = on_a_line(20)
    solution = relu_max_margin(X, 2 * X[:, 0] + 1, 1.0, loss=name, **free)
    assert (solution.norm, solution.primal_value, solution.duality_gap) == (0.0, 0.0, 0.0)
    assert solution.status is ReLUStatus.OPTIMAL
    assert_allclose(solution.decision_values(X), 2 * X[:, 0] + 1, rtol=1e-12)


def test_flags_of_numpy():
    X, y = data(10, 3)
    options = {"penalize_bias": np.False_, "penalize_linear": np.False_}
    solution = relu_max_margin(X, y, 1.0, **options)
    assert solution.norm == relu_max_margin(X, y, 1.0, **FREE[2]).norm


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_free_biases_in_any_units(scale):
    X, y = data(24, 3)
    reference = relu_max_margin(X, y, 1.0, penalize_bias=False)
    scaled = X * [scale, scale, 1.0]
    solution = relu_max_margin(scaled, y, scale**-2, penalize_bias=False)
    assert solution.status is ReLUStatus.OPTIMAL
    assert_allclose(solution.norm * scale, reference.norm, rtol=1e-2)


@pytest.mark.parametrize("seed", range(5))
def test_bound_of_free_biases_is_none_below_the_value_in_exact_arithmetic(seed):
    rng = np.random.default_rng(seed)
    X, b = np.column_stack((rng.normal(size=12) + 1e6, np.ones(12))), rng.normal(size=12)
    b -= np.mean(b)
    xs, bs = [Fraction(x) for x in X[:, 0]], [Fraction(weight) for weight in b]

    def value(sign, kink):
        terms = zip(bs, xs, strict=True)
        return abs(sum(weight * max(sign * (x - kink), Fraction()) for weight, x in terms))

    largest = max(value(sign, kink) for sign in (1, -1) for kink in xs)
    assert largest <= Fraction(FreeBias(X).find(b).bound) <= largest + Fraction(1e-6)


@pytest.mark.parametrize("name", ["hinge", "log_loss", "squared_error", "absolute_error"])
def test_dual_points_are_balanced_inside_the_domain(name):
    rng = np.random.default_rng(0)
    loss, y, C = get_loss(name), np.repeat([1.0, -1.0], 10), rng.uniform(1, 2, size=20)
    Z = np.ones((20, 1))
    b = y * rng.uniform(0.4, 0.6, size=20)
    b[:4] = 1e-12  # hardly off the end of the domain
    b[10:14] = -1e-12
    moved = balanced(problem_of(loss, y, C), Z, b)
    assert abs(np.sum(moved)) < 1e-13
    lower, upper = loss.domain(y, C)
    assert np.all((moved > lower) & (moved < upper))
    assert_allclose(moved, b, atol=0.2)
    assert balanced(problem_of(loss, y, C), Z, np.full(20, np.nan)) is None


@pytest.mark.parametrize("name", ["hinge", "squared_hinge", "log_loss"])
@pytest.mark.parametrize("penalize_bias", [True, False])
def test_some_samples_that_are_separated_at_no_cost(name, penalize_bias):
    # the first feature separates four samples, and is zero on the others
    X = [[-2, 0, 1], [-1, 0, 1], [1, 0, 1], [2, 0, 1], [0, 1, 1], [0, -1, 1], [0, 2, 1], [0, -2, 1]]
    X, y = np.array(X, dtype=float), np.array([-1, -1, 1, 1, 1, -1, -1, 1])
    free = {"penalize_bias": penalize_bias, "penalize_linear": False}
    solution = relu_max_margin(X, y, 1.0, loss=name, **free)
    assert solution.status is ReLUStatus.OPTIMAL
    rest = relu_max_margin(X[4:, 1:], y[4:], 1.0, loss=name, **free)
    assert_allclose(solution.primal_value, rest.primal_value, rtol=3e-6)


def test_a_hard_margin_of_many_samples_beside_a_free_linear_part():
    rng = np.random.default_rng(1)
    X = np.column_stack((rng.normal(size=(60, 2)), np.ones(60)))
    y = np.sign(np.sin(3 * X[:, 0]) + 0.3 * rng.normal(size=60))
    solution = relu_max_margin(X, y, penalize_linear=False)
    assert solution.status is ReLUStatus.OPTIMAL
    assert_allclose(solution.norm, 148.181, rtol=1e-4)
