"""Gradients from samples: right for what the polynomials can say, with errors that are known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gnorm.homogeneity.local_fit import fit_locally, merge_samples, samples_needed

rng = np.random.default_rng(0)


def fit(X, y):
    return fit_locally(X, y.reshape(len(X), -1), np.ones(len(X)))


def test_quadratic_functions_are_fitted_exactly():
    X = rng.normal(size=(300, 2))
    local = fit(X, X[:, 0] * X[:, 1] + X[:, 1])
    gradients = np.column_stack([local.points[:, 1], local.points[:, 0] + 1])
    assert_allclose(local.gradients[:, 0], gradients, atol=1e-8)
    assert_allclose(
        local.values[:, 0], local.points[:, 0] * local.points[:, 1] + local.points[:, 1]
    )


def test_power_laws_are_fitted_exactly():
    X = rng.uniform(0.1, 10, size=(100, 2)) * [1.0, -1.0]
    local = fit(X, -3 * X[:, 0] ** 1.5 / X[:, 1] ** 2)
    x, y = local.points.T
    exact = np.column_stack([-4.5 * x**0.5 / y**2, 6 * x**1.5 / y**3])
    assert_allclose(local.gradients[:, 0], exact, rtol=1e-8)


def test_covariance_is_that_of_the_errors():
    X = rng.normal(size=(1000, 2))
    truth = np.array([1.0, -2.0])
    scores = []
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(scale=0.1, size=1000)
        local = fit(X, X @ truth + noise)
        errors = local.gradients[500, 0] - truth
        scores.append(errors @ np.linalg.solve(local.covariances[500, 0, :2, :2], errors))
    assert 1.0 < np.mean(scores) < 4.0  # 2 on average


def test_constant_features_and_outputs():
    X = np.column_stack([rng.normal(size=100), np.full(100, 3.0)])
    local = fit(X, X[:, 0])
    assert_allclose(local.gradients[:, 0], np.tile([1.0, 0.0], (100, 1)), atol=1e-6)
    assert_allclose(fit(X, np.zeros(100)).gradients, 0.0)


def test_features_that_are_combinations_of_others():
    plane = rng.normal(size=(60, 3))
    X = np.column_stack([plane, plane @ rng.normal(size=(3, 5))])
    local = fit(X, np.sign(X[:, 0]) + 0.1 * rng.normal(size=60))
    assert np.linalg.eigvalsh(local.covariances).min() > -1e-12 * np.abs(local.covariances).max()


def test_outputs_are_fitted_together():
    X = rng.normal(size=(100, 2))
    local = fit_locally(X, np.column_stack([X[:, 0], X[:, 1] * 2]), np.ones(100))
    assert_allclose(local.gradients[7], [[1, 0], [0, 2]], atol=1e-8)
    assert local.covariances.shape == (100, 2, 3, 3)
    assert local.overlap >= 1


def test_equal_samples_are_merged():
    X = np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0], [5.0, 5.0]])
    distinct, means, weights = merge_samples(
        X, np.array([[1.0], [2.0], [4.0], [9.0]]), np.array([1.0, 1.0, 2.0, 0.0])
    )
    assert_array_equal(distinct, [[0.0, 1.0], [1.0, 2.0]])
    assert_allclose(means[:, 0], [2.0, 3.0])
    assert_array_equal(weights, [1.0, 3.0])


def test_too_few_samples():
    n = samples_needed(2)
    fit(rng.normal(size=(n, 2)), rng.normal(size=n))
    with pytest.raises(ValueError, match="expected at least 6 different samples of 2 features"):
        fit(rng.normal(size=(n - 1, 2)), rng.normal(size=n - 1))
