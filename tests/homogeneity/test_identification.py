"""Dilations are found where there is one, and families are called families."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from gnorm.homogeneity import Dilation, euler_residual, find_dilation

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 2))


def published(X):
    """Polyakov (2023): degree 3 under G = diag(1, 2)."""
    a, b = np.abs(X).T
    return 2 * a**2 * b**0.5 - a**0.5 * b**1.25


def head(X):
    return X[:, 0] + X[:, 1] ** 2 / (2 * 9.81)


def cooling(X):
    """Radiation and convection of a surface at x_0 in surroundings at x_1, coefficient x_2."""
    hot, cold, h = X.T
    return 5.67e-8 * (hot**4 - cold**4) + h * (hot - cold)


def surfaces(n_samples, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform([400, 250, 1], [1200, 350, 50], size=(n_samples, 3))


def test_published_example():
    found = find_dilation(published, X)
    assert found.is_homogeneous
    assert found.is_identifiable
    assert found.structure == "diagonal"
    assert_allclose(found.weights, [2 / 3, 4 / 3], atol=1e-7)
    assert_allclose(found.degree, 2.0, atol=1e-7)
    given_degree = find_dilation(published, X, degree=3)
    assert_allclose(given_degree.weights, [1.0, 2.0], atol=1e-7)
    assert given_degree.degree == 3.0
    assert given_degree.degree_std == 0.0
    assert_allclose(given_degree.dilation.weights, [1.0, 2.0], atol=1e-7)


@settings(max_examples=20)
@given(
    weights=st.lists(st.floats(0.3, 3.0), min_size=3, max_size=3),
    degree=st.floats(0.5, 3.0),
)
def test_what_was_made_is_found(weights, degree):
    dilation = Dilation(weights)
    points = np.random.default_rng(1).normal(size=(200, 3))

    def func(X):
        z = dilation.project(X)
        return dilation.norm(X) ** degree * (2 + z[:, 0] * z[:, 1] + z[:, 2])

    found = find_dilation(func, points, degree=degree)
    assert found.is_identifiable
    assert_allclose(found.weights, weights, rtol=1e-5)
    residual = euler_residual(func, points, degree, dilation=found.dilation)
    assert np.abs(residual).max() < 1e-4 * np.abs(func(points)).max()


def test_full_generator():
    generator = np.array([[1.0, 1.0], [0.0, 1.5]])
    dilation = Dilation(generator)

    def func(X):
        z = dilation.project(X)
        return dilation.norm(X) ** 2 * (1 + 0.5 * np.sin(3 * np.arctan2(z[:, 1], z[:, 0]) + 1))

    found = find_dilation(func, X, degree=2)
    assert found.structure == "full"
    assert_allclose(found.generator, generator, atol=1e-6)
    assert "generator [[1.0, 1.0], [0.0, 1.5]]; degree 2" in str(found)
    assert not find_dilation(func, X, structure="diagonal").is_homogeneous
    sampled = find_dilation(func(X), X, degree=2)
    assert sampled.structure == "full"
    assert (np.abs(sampled.generator - generator) < 3 * sampled.generator_std).all()


def test_samples_without_gradients():
    found = find_dilation(head(X), X, degree=2)
    assert found.is_homogeneous
    assert_allclose(found.weights, [2.0, 1.0], atol=0.01)
    points = surfaces(1000)
    found = find_dilation(cooling(points), points, degree=4)
    assert_allclose(found.weights, [1.0, 1.0, 3.0], atol=0.15)
    assert (np.abs(found.weights - [1, 1, 3]) < 3 * found.weights_std).all()


def test_error_bars_cover_the_truth():
    scores = []
    for seed in range(10):
        points = surfaces(400, seed)
        noise = 1 + 0.01 * np.random.default_rng(seed).normal(size=400)
        found = find_dilation(cooling(points) * noise, points, degree=4)
        assert found.is_homogeneous
        scores.append((found.weights - [1, 1, 3]) / found.weights_std)
    assert np.abs(scores).max() < 3
    assert np.abs(scores).max() > 0.2  # and are no excuse


def test_surrogate():
    model = GaussianProcessRegressor(RBF(1.0), alpha=1e-8)
    found = find_dilation(head(X[:150]), X[:150], degree=2, surrogate=model)
    assert_allclose(found.weights, [2.0, 1.0], atol=0.02)
    assert not hasattr(model, "X_train_")
    with pytest.raises(ValueError, match="expected a surrogate whose fit takes sample_weight"):
        find_dilation(head(X), X, surrogate=model, sample_weight=np.arange(len(X)))


def test_gradients_are_used():
    found = find_dilation(
        head, X, gradient=lambda X: np.column_stack([np.ones(len(X)), X[:, 1] / 9.81])
    )
    assert_allclose(found.weights, [4 / 3, 2 / 3], atol=1e-8)


def test_a_product_has_a_family():
    found = find_dilation(lambda X: X[:, 0] * X[:, 1], X)
    assert found.is_homogeneous
    assert not found.is_identifiable
    assert len(found.family) == 2
    assert_allclose(found.weights, [1.0, 1.0], atol=1e-7)  # the member nearest to scaling
    assert np.isinf(found.weights_std).all()
    for generator, degree in zip(found.family, found.family_degrees, strict=True):
        assert_allclose(np.trace(generator), degree, atol=1e-7)
    assert "one of a family of 2 dimensions" in str(found)
    assert not find_dilation((X[:, 0] * X[:, 1]), X).is_identifiable


def test_an_unused_feature_and_a_symmetry_have_families():
    assert len(find_dilation(lambda X: X[:, 0] ** 3, X).family) == 2
    round_ = find_dilation(lambda X: (X**2).sum(axis=1), X, structure="full")
    assert len(round_.family) == 2  # scaling, and rotation of degree 0
    assert_allclose(round_.generator, np.eye(2), atol=1e-6)
    assert find_dilation(lambda X: (X**2).sum(axis=1), X).is_identifiable


def test_units_of_measurement_do_not_matter():
    units = np.array([1e-3, 1e4])
    found = find_dilation(lambda X: head(X / units), X * units, degree=2)
    assert_allclose(found.weights, [2.0, 1.0], atol=1e-6)


def test_functions_without_a_dilation():
    for func in (lambda X: np.exp(X[:, 0]) + X[:, 1], np.exp(X[:, 0]) + X[:, 1]):
        found = find_dilation(func, X, structure="diagonal")
        assert not found.is_homogeneous
        assert found.residual > 0.3
        assert "not homogeneous under any diagonal dilation: residual" in str(found)


def test_a_generator_that_is_no_dilation():
    found = find_dilation(lambda X: X[:, 0] * (2 + np.sin(X[:, 0] * X[:, 1])), X)
    assert found.is_homogeneous
    assert found.dilation is None
    assert_allclose(found.weights, [found.degree, -found.degree], atol=1e-6)
    assert "no dilation, since" in str(found)


def test_degree_zero_cannot_be_given_another():
    def angle(X):
        return X[:, 0] ** 2 / (X[:, 0] ** 2 + X[:, 1] ** 2)

    found = find_dilation(angle, X, degree=3)
    assert not found.is_homogeneous
    assert "only with degree 0" in str(found)
    found = find_dilation(angle, X, degree=0)
    assert found.is_homogeneous
    assert_allclose(found.weights, [1.0, 1.0], atol=1e-6)


def test_outputs_share_the_dilation_and_have_degrees():
    found = find_dilation(lambda X: np.column_stack([head(X), X[:, 1] ** 3]), X)
    assert_allclose(found.weights, [4 / 3, 2 / 3], atol=1e-6)
    assert_allclose(found.degree, [4 / 3, 2.0], atol=1e-6)
    found = find_dilation(lambda X: np.column_stack([head(X), X[:, 1] ** 3]), X, degree=[2, 3])
    assert_allclose(found.weights, [2.0, 1.0], atol=1e-6)


def test_vector_fields():
    def oscillator(X):
        return np.column_stack([X[:, 1], -(X[:, 0] ** 3)])

    found = find_dilation(oscillator, X, vector_field=True, degree=1)
    assert_allclose(found.weights, [1.0, 2.0], atol=1e-6)
    sampled = find_dilation(oscillator(X), X, vector_field=True, degree=1)
    assert_allclose(sampled.weights, [1.0, 2.0], atol=0.1)
    # every linear field is one of degree 0 under scaling, and under its own flow
    linear = find_dilation(lambda X: X @ [[1.0, 2.0], [-1.0, 0.5]], X, vector_field=True)
    assert_allclose(linear.degree, 0.0, atol=1e-6)
    with pytest.raises(ValueError, match="expected a vector field with as many outputs"):
        find_dilation(head, X, vector_field=True)


def test_planets():
    # semi-major axes in astronomical units and periods in years
    axes = np.array([0.3871, 0.7233, 1.0, 1.5237, 5.2034, 9.5371, 19.1913, 30.0690])
    periods = np.array([0.2408, 0.6152, 1.0, 1.8808, 11.862, 29.457, 84.011, 164.79])
    found = find_dilation(periods, axes[:, None], degree=3)
    assert_allclose(found.weights, 2.0, atol=1e-3)
    assert 1e-6 < found.weights_std[0] < 1e-2


def test_weights_are_copies():
    points, counts = surfaces(60), np.arange(60) % 3
    values = cooling(points)
    weighted = find_dilation(values, points, degree=4, sample_weight=counts)
    repeated = find_dilation(np.repeat(values, counts), np.repeat(points, counts, axis=0), degree=4)
    assert_allclose(weighted.generator, repeated.generator, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structure": "round"}, "expected structure as one of"),
        ({"degree": [1.0, 2.0]}, "expected a finite degree or 1 of them"),
        ({"degree": np.inf}, "expected a finite degree"),
        ({"surrogate": GaussianProcessRegressor()}, "expected samples for a surrogate"),
        ({"gradient": lambda X: X[:, 0]}, r"expected gradients of shape \(400, 2\)"),
        ({"sample_weight": -np.ones(400)}, "expected 400 sample weights"),
        ({"func": X[:3, 0]}, "expected a function, or values of shape"),
        ({"func": X[:, 0], "gradient": head}, "expected a function with the gradient"),
        ({"func": lambda X: np.zeros(len(X))}, "expected a function that is not zero everywhere"),
        ({"X": X[:1]}, "expected at least 3 equations for a diagonal generator"),
        ({"func": X[:5, 0], "X": X[:5]}, "expected at least 6 different samples"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        find_dilation(**{"func": head, "X": X, **options})
