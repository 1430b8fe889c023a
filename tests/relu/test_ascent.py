"""Neurons of many features: what is found is attained, and the bounds hold."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from gnorm.relu import ReLUStatus, relu_max_margin
from gnorm.relu.ascent import Ascent, ascend, circle_maximum
from gnorm.relu.bounds import branch_and_bound, relaxation
from gnorm.relu.exact import exact_oracle


def data(n_samples, n_features, seed=0):
    rng = np.random.default_rng(seed)
    X = np.column_stack((rng.normal(size=(n_samples, n_features - 1)), np.ones(n_samples)))
    return X, np.where(rng.normal(size=n_samples) > 0, 1.0, -1.0), rng.normal(size=n_samples)


def on_sphere(n_features, n=50_000):
    U = np.random.default_rng(1).normal(size=(n, n_features))
    return U / np.linalg.norm(U, axis=1, keepdims=True)


def values(X, b, U):
    return np.maximum(U @ X.T, 0.0) @ b


@pytest.mark.parametrize("n_samples", [1, 2, 30])
def test_circle_maximum_equals_a_fine_grid(n_samples):
    rng = np.random.default_rng(n_samples)
    z, y, b = rng.normal(size=(3, n_samples))
    angle, value = circle_maximum(z, y, b)
    t = np.linspace(0, 2 * np.pi, 20_001)
    grid = np.maximum(np.outer(np.cos(t), z) + np.outer(np.sin(t), y), 0) @ b
    assert_allclose(np.maximum(np.cos(angle) * z + np.sin(angle) * y, 0) @ b, value, atol=1e-12)
    assert np.max(grid) <= value + 1e-12
    assert np.max(grid) >= value - 1e-2


@pytest.mark.parametrize("n_features", [2, 3])
def test_ascents_end_in_local_maxima(n_features):
    X, _, b = data(20, n_features)
    rng = np.random.default_rng(3)
    for start in on_sphere(n_features, 10):
        u = ascend(X, b, start)
        value = values(X, b, u[None])[0]
        assert value >= values(X, b, start[None])[0]
        around = u + 1e-5 * rng.normal(size=(2000, n_features))
        around /= np.linalg.norm(around, axis=1, keepdims=True)
        assert np.max(values(X, b, around)) <= value + 1e-9


@pytest.mark.parametrize("n_features", [2, 3, 4, 9])
@pytest.mark.parametrize("kind", ["general", "lattice", "positive", "nothing"])
def test_bounds_hold(n_features, kind):
    X, _, b = data(15, n_features)
    if kind == "lattice":  # samples of zeros, opposite ones, crossings in one point
        X = np.round(X)
        X[0] = 0
    if kind == "positive":
        b = np.abs(b)
    if kind == "nothing":
        b = np.zeros(15)
    found = Ascent(X, True, 0).find(b)
    brute = np.max(np.abs(values(X, b, on_sphere(n_features))))
    attained = np.abs(found.values[0])
    assert found.bound >= max(brute, attained)
    by_lengths = 0.5 * np.linalg.norm(b @ X) + max(
        0.5 * np.sqrt(part.sum() * np.linalg.eigvalsh((X * part[:, None]).T @ X)[-1])
        for part in (np.maximum(b, 0), np.maximum(-b, 0))
    )
    assert relaxation(X, b) <= by_lengths * (1 + 1e-9)
    sharp, better = branch_and_bound(X, b, attained, 1e-5)
    assert sharp >= max(brute, attained) * (1 - 1e-12)
    if n_features <= 4:
        assert not better
        assert sharp <= attained * (1 + 2e-5) + 1e-12
    if n_features <= 3:
        assert_allclose(sharp, exact_oracle(X).find(b).bound, rtol=2e-5)


def test_branch_and_bound_meets_what_an_ascent_missed():
    X, _, b = data(20, 3)
    most = exact_oracle(X).find(b).bound
    bound, better = branch_and_bound(X, b, 0.5 * most, 1e-6)
    assert better
    assert_allclose(bound, most, rtol=2e-6)
    for u, sign in better:
        assert sign * values(X, b, u[None])[0] > 0.5 * most


@pytest.mark.parametrize("C", [1.0, np.inf])
def test_ascents_with_bounds_equal_the_walk(C):
    X, y, _ = data(9, 3)
    exact = relu_max_margin(X, y, C, tol=1e-6)
    bounded = relu_max_margin(X, y, C, tol=1e-5, oracle="bounded")
    assert bounded.status is ReLUStatus.OPTIMAL
    assert_allclose(bounded.primal_value, exact.primal_value, rtol=2e-5)
    assert bounded.lower_bound <= exact.primal_value


def test_four_features_are_certified():
    X, y, _ = data(12, 4)
    solution = relu_max_margin(X, y, 1.0, tol=1e-4)
    assert solution.status is ReLUStatus.OPTIMAL
    b = y * solution.dual_coef
    assert np.max(np.abs(values(X, b, on_sphere(4)))) <= solution.dual_norm * (1 + 1e-9)


@pytest.mark.parametrize(
    ("oracle", "status"), [("auto", ReLUStatus.BOUNDED), ("local", ReLUStatus.LOCAL)]
)
def test_a_local_maximum_is_no_certificate(oracle, status):
    X, y, _ = data(12, 7)
    with pytest.warns(ConvergenceWarning, match=status.value):
        solution = relu_max_margin(X, y, 1.0, tol=1e-3, oracle=oracle)
    assert solution.status is status
    assert solution.duality_gap > 1e-3
    b = y * solution.dual_coef
    assert np.max(np.abs(values(X, b, on_sphere(7)))) <= solution.dual_norm
    dual = np.sum(solution.dual_coef) - 0.5 * solution.dual_norm**2
    assert_allclose(solution.lower_bound, dual, rtol=1e-9)


def test_neurons_allowed():
    X, y, _ = data(20, 3)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        solution = relu_max_margin(X, y, max_neurons=5, tol=1e-9)
    assert solution.n_iter == 1
    with pytest.raises(ValueError, match="expected oracle to be one of"):
        relu_max_margin(X, y, oracle="all")
