"""Clarke's subdifferential: exact against known kinks, sampled against exact."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from gnorm.homogeneity import (
    ClarkeSubdifferential,
    MaxAffine,
    PiecewiseAffine,
    ReLUComposition,
    clarke_subdifferential,
)

seeds = st.integers(0, 10_000)


def random_network(seed, n_features=2, widths=(4, 3)):
    rng = np.random.default_rng(seed)
    sizes = (n_features, *widths, 1)
    return ReLUComposition([rng.normal(size=(b, a)) for a, b in pairwise(sizes)])


@given(seed=seeds, n_points=st.integers(1, 8))
def test_least_norm_element(seed, n_points):
    gradients = np.random.default_rng(seed).normal(size=(n_points, 3)) + 0.5
    hull = ClarkeSubdifferential(gradients)
    g = hull.least_norm
    # the projection of zero: <g, h - g> >= 0 for all h of the hull
    assert (gradients @ g >= g @ g - 1e-9).all()
    assert hull.contains(g)
    assert_allclose(hull.distance(np.zeros(3)), np.linalg.norm(g), atol=1e-12)
    assert hull.is_stationary == (np.linalg.norm(g) < 1e-9)


@given(seed=seeds)
def test_extreme_gradients_span_the_same_hull(seed):
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(6, 2))
    averages = rng.dirichlet(np.ones(6), size=5) @ gradients
    hull = ClarkeSubdifferential(np.vstack([averages, gradients, gradients]))
    assert {*map(tuple, hull.extreme_gradients)} <= {*map(tuple, gradients)}
    assert all(hull.contains(g) for g in np.vstack([gradients, averages]))
    v = rng.normal(size=2)
    assert_allclose(hull.directional_derivative(v), (gradients @ v).max())
    far = gradients[np.argmax(gradients @ v)] + v
    assert not hull.contains(far)
    assert hull.distance(far) <= np.linalg.norm(v) + 1e-12


def test_least_norm_is_the_direction_of_steepest_descent():
    f = MaxAffine([[3.0, 1.0], [-1.0, 1.0], [0.0, -0.2]], [0.0, 0.0, -1.0])
    descent = -clarke_subdifferential(f, [0.0, 0.0]).least_norm
    assert_allclose(descent, [0.0, -1.0], atol=1e-12)
    angles = np.linspace(0, 2 * np.pi, 20_001)
    slopes = f(1e-3 * np.column_stack([np.cos(angles), np.sin(angles)])) / 1e-3
    assert_allclose(slopes.min(), -np.linalg.norm(descent), rtol=1e-3)


def test_relu_minus_reflected_relu_is_the_identity():
    # automatic differentiation with relu'(0) = 0 answers 0, with 1 it answers 2
    f = ReLUComposition([[[1.0], [-1.0]], [[1.0, -1.0]]])
    hull = clarke_subdifferential(f, [0.0])
    assert_allclose(hull.extreme_gradients, [[1.0]])
    assert not hull.contains([0.0])
    assert not hull.contains([2.0])
    assert not hull.is_stationary
    sampled = clarke_subdifferential(lambda X: f(X), [0.0])
    assert_allclose(sampled.extreme_gradients, [[1.0]])


def test_max_affine():
    f = MaxAffine([[1.0], [-1.0], [0.0]], [0.0, 0.0, -5.0])
    assert_allclose(clarke_subdifferential(f, [0.0]).extreme_gradients, [[-1.0], [1.0]])
    assert_allclose(clarke_subdifferential(f, [2.0]).extreme_gradients, [[1.0]])
    assert clarke_subdifferential(f, [0.0]).is_stationary
    assert isinstance(f, PiecewiseAffine)


@settings(max_examples=20)
@given(seed=seeds)
def test_relu_composition_has_the_gradients_of_its_neighbourhood(seed):
    f = random_network(seed)
    hull = clarke_subdifferential(f, [0.0, 0.0])
    angles = np.linspace(0, 2 * np.pi, 2000)
    v = np.column_stack([np.cos(angles), np.sin(angles)])
    h = 1e-6
    turned = np.column_stack([-np.sin(angles), np.cos(angles)])
    # f is homogeneous of degree 1: its gradient at v has the parts f(v) along v and this across
    plus, minus, centre = f(v + h * turned), f(v - h * turned), f(v)
    smooth = np.abs(plus + minus - 2 * centre) < 1e-9
    gradients = centre[:, None] * v + ((plus - minus) / (2 * h))[:, None] * turned
    distances = [hull.distance(g) for g in gradients[smooth][::20]]
    assert max(distances) < 1e-6
    # and the support function of the hull is attained by them, but for the narrowest pieces
    for g in hull.extreme_gradients:
        assert (np.abs(gradients - g).max(axis=1) < 1e-6).any() or len(hull.extreme_gradients) > 2


def test_euler_holds_for_every_extreme_gradient():
    # the last layer is on a kink at x, the function is homogeneous of degree 1
    f = ReLUComposition([[[1, 1], [1, -1], [-1, 0.5]], [[1.0, -2.0, 1.0]]])
    for x in ([1.0, 1.0], [2.0, -2.0], [0.5, 1.0], [0.0, 0.0]):
        hull = clarke_subdifferential(f, x)
        assert_allclose(hull.extreme_gradients @ np.array(x), f(np.array([x]))[0], atol=1e-12)
    assert len(clarke_subdifferential(f, [1.0, 1.0]).extreme_gradients) == 2


def test_depth():
    # |x| as max(0, max(0, x) + max(0, -x)): the inner kink shows, the outer one only at 0
    f = ReLUComposition([[[1.0], [-1.0]], [[1.0, 1.0]], [[1.0]]])
    assert_allclose(clarke_subdifferential(f, [0.0]).extreme_gradients, [[-1.0], [1.0]])
    # a unit that is zero next to the point has no kink there
    dead = ReLUComposition([[[1.0]], [[-1.0], [1.0]], [[5.0, 1.0]]])
    assert_allclose(clarke_subdifferential(dead, [0.0]).extreme_gradients, [[0.0], [1.0]])


@given(seed=seeds)
def test_sampled_is_inside_exact(seed):
    f = random_network(seed, widths=(3,))
    exact = clarke_subdifferential(f, [0.0, 0.0])
    sampled = clarke_subdifferential(lambda X: f(X), [0.0, 0.0], random_state=seed)
    assert not sampled.is_exact
    assert all(exact.distance(g) < 1e-6 for g in sampled.extreme_gradients)


def test_sampled_with_gradients_of_a_curved_function():
    def f(X):
        return np.maximum(X[:, 0] ** 2 + X[:, 1], np.exp(X[:, 1]) - 1)

    def gradient(X):
        first = X[:, 0] ** 2 + X[:, 1] > np.exp(X[:, 1]) - 1
        return np.where(
            first[:, None],
            np.column_stack([2 * X[:, 0], np.ones(len(X))]),
            np.column_stack([np.zeros(len(X)), np.exp(X[:, 1])]),
        )

    x = [np.sqrt(np.e - 2), 1.0]
    for derivative in (None, gradient):
        hull = clarke_subdifferential(f, x, gradient=derivative)
        assert_allclose(hull.extreme_gradients, [[0, np.e], [2 * x[0], 1]], atol=1e-4)


def test_stated_share_is_what_it_says():
    hull = clarke_subdifferential(lambda X: np.abs(X[:, 0]), [0.0], n_samples=500, confidence=0.99)
    p = hull.share
    assert_allclose((1 - p) ** 500 / p, 0.01, rtol=1e-6)
    assert "all pieces of a share" in repr(hull)
    assert "exact" in repr(ClarkeSubdifferential([[1.0]]))


def test_local_minimum_is_stationary():
    f = MaxAffine([[1.0, 2.0], [-2.0, 0.5], [0.3, -1.0]], [0.1, 0.0, 0.2])
    found = minimize(lambda x: f(x[None])[0], [0.0, 0.0], method="Nelder-Mead", tol=1e-13)
    # the vertex of the three pieces
    A = np.column_stack([f.slopes, -np.ones(3)])
    vertex = np.linalg.solve(A, -f.offsets)
    assert_allclose(found.fun, vertex[2], atol=1e-6)
    assert clarke_subdifferential(f, vertex[:2]).is_stationary
    assert not clarke_subdifferential(f, vertex[:2] + 0.1).is_stationary


def test_too_many_pieces_are_refused():
    rng = np.random.default_rng(0)
    f = ReLUComposition([rng.normal(size=(13, 13)), rng.normal(size=(1, 13))])
    with pytest.raises(ValueError, match=r"expected at most .* pieces next to the point, got more"):
        f.limit_gradients(np.zeros(13), max_pieces=20)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReLUComposition([[[1.0]], [[1.0, 2.0]]]), "expected matrices that can be multi"),
        (lambda: ReLUComposition([[[1.0], [2.0]]]), "the last with one row"),
        (lambda: ReLUComposition([[[1.0]]], [[1.0], [2.0]]), "expected 1 offsets, got 2"),
        (lambda: MaxAffine([[1.0]], [1.0, 2.0]), r"expected finite offsets of shape \(1,\)"),
        (lambda: clarke_subdifferential(np.sum, [[1.0], [2.0]]), "expected one point"),
        (lambda: clarke_subdifferential(np.abs, [0.0]), "expected a function of one number a row"),
        (lambda: clarke_subdifferential(np.abs, [0.0], radius=0), "expected a positive radius"),
        (lambda: clarke_subdifferential(np.abs, [0.0], n_samples=0), "expected n_samples >= 1"),
        (lambda: clarke_subdifferential(np.abs, [0.0], confidence=1), "expected a confidence"),
        (lambda: clarke_subdifferential(MaxAffine([[1.0]]), [0, 1]), "expected X with 1 features"),
        (
            lambda: clarke_subdifferential(ReLUComposition([[[1.0, 1.0]]]), [0]),
            "expected X with 2 features, got 1",
        ),
        (lambda: ClarkeSubdifferential([[1.0]]).contains([1.0, 2.0]), "expected X with 1 features"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
