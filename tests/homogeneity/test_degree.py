"""Degrees: measured where there is one, and refused where there is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from gnorm.homogeneity import (
    Dilation,
    NotHomogeneousError,
    check_homogeneous,
    estimate_degree,
    euler_residual,
)

X = np.random.default_rng(0).normal(size=(40, 3))


def relu_network(X):
    rng = np.random.default_rng(1)
    return np.maximum(X @ rng.normal(size=(3, 5)), 0) @ rng.normal(size=5)


HOMOGENEOUS = {
    "norm": (lambda X: np.linalg.norm(X, axis=1), 1.0),
    "product": (lambda X: X[:, 0] * X[:, 1] * X[:, 2], 3.0),
    "relu network": (relu_network, 1.0),
    "sign": (lambda X: np.sign(X[:, 0]), 0.0),
    "inverse": (lambda X: 1 / np.abs(X).sum(axis=1), -1.0),
    "root": (lambda X: np.sqrt(np.abs(X[:, 0])), 0.5),
    "softmax of directions": (lambda X: np.exp(X[:, 0] / np.linalg.norm(X, axis=1)), 0.0),
}
homogeneous = pytest.mark.parametrize("name", HOMOGENEOUS)


@homogeneous
def test_degree_is_measured(name):
    func, degree = HOMOGENEOUS[name]
    for scales in (None, [0.3, 1.7, 10.0]):
        measured = estimate_degree(func, X, scales=scales)
        assert measured.is_homogeneous
        assert_allclose(measured.value, degree, atol=1e-10)
        assert measured.spread < 1e-9
    assert check_homogeneous(func, X, degree) < 1e-12
    assert str(measured).startswith("homogeneous of degree")


@homogeneous
def test_eulers_identity(name):
    func, degree = HOMOGENEOUS[name]
    size = np.abs(func(X)).max()
    assert np.abs(euler_residual(func, X, degree)).max() < 1e-10 * size
    assert np.abs(euler_residual(func, X, degree + 1.0) + func(X)).max() < 1e-10 * size


@given(degree=st.floats(-3, 3), weights=st.lists(st.floats(0.2, 3.0), min_size=3, max_size=3))
def test_degree_under_a_dilation(degree, weights):
    dilation = Dilation(weights)

    def func(X):
        return dilation.norm(X) ** degree * (2 + np.sin(dilation.project(X)[:, 0]))

    measured = estimate_degree(func, X, dilation=dilation)
    assert measured.is_homogeneous
    assert_allclose(measured.value, degree, atol=1e-9)
    check_homogeneous(func, X, degree, dilation=dilation)
    assert_allclose(euler_residual(func, X, degree, dilation=dilation) / func(X), 0, atol=1e-9)


def test_a_sign_that_changes_along_a_ray_leaves_no_number():
    measured = estimate_degree(lambda X: X[:, 0] + 1.0, X)
    assert not measured.is_homogeneous
    assert np.isnan(measured.value)
    assert measured.spread == np.inf
    assert measured.n_sign_changes > 0
    assert "not homogeneous: the sign changes along" in str(measured)


def test_zero_at_one_scale_only_is_a_change_of_sign():
    measured = estimate_degree(lambda X: np.maximum(np.abs(X[:, 0]) - 1.0, 0.0), [[0.8], [0.3]])
    assert measured.n_sign_changes == 2
    assert not measured.is_homogeneous


def test_a_function_without_degree_has_an_honest_spread():
    measured = estimate_degree(lambda X: np.linalg.norm(X, axis=1) + 1.0, X)
    assert not measured.is_homogeneous
    assert 0 < measured.value < 1
    assert measured.spread > 0.1
    assert_allclose(np.nanmax(np.abs(measured.local - measured.value)), measured.spread)
    assert "not homogeneous: local degrees" in str(measured)


def test_zero_everywhere_is_homogeneous_of_every_degree():
    measured = estimate_degree(lambda X: np.zeros(len(X)), X)
    assert measured.is_homogeneous
    assert np.isnan(measured.value)
    assert measured.n_zeros == len(X)
    assert "homogeneous of every degree" in str(measured)
    check_homogeneous(lambda X: np.zeros(len(X)), X, 5.0)


def test_a_relu_that_is_off_says_nothing():
    measured = estimate_degree(lambda X: np.maximum(X[:, 0], 0.0), X)
    assert measured.n_zeros == (X[:, 0] <= 0).sum()
    assert measured.is_homogeneous
    assert measured.value == 1.0


def test_outputs_have_degrees_of_their_own():
    measured = estimate_degree(
        lambda X: np.column_stack([X[:, 0], X[:, 0] * X[:, 1], X[:, 0] + 1.0]), X
    )
    assert_array_equal(measured.is_homogeneous, [True, True, False])
    assert_allclose(measured.value[:2], [1.0, 2.0])
    assert np.isnan(measured.value[2])
    assert str(measured).splitlines()[1].startswith("output 1: homogeneous of degree 2")


def test_rounded_zeros_are_zeros():
    # the centred features of a constant row are what rounding leaves of zero
    def centred(X):
        return X - X.mean(axis=1, keepdims=True)

    rows = np.vstack([X, np.full(3, 0.1)])
    measured = estimate_degree(centred, rows, scales=[0.3, 3.0])
    assert measured.is_homogeneous.all()
    check_homogeneous(centred, rows, 1.0, scales=[0.3, 3.0])


def test_points_of_very_different_size():
    rows = X * np.logspace(-6, 6, len(X))[:, None]
    measured = estimate_degree(lambda X: X[:, 0] ** 3, rows)
    assert measured.is_homogeneous
    assert measured.n_zeros == 0


def test_not_homogeneous_says_where():
    with pytest.raises(
        NotHomogeneousError, match=r"expected f = 4 at row 0 of X scaled by 2, .* got 3"
    ):
        check_homogeneous(lambda X: X[:, 0] + 1.0, [[1.0]], 1, scales=[2.0])


def test_a_tolerance_of_zero_is_refused():
    with pytest.raises(ValueError, match="expected rtol > 0, got 0"):
        check_homogeneous(lambda X: X[:, 0], X, 1, rtol=0)


def test_kinks_along_the_ray_give_the_larger_residual():
    # |x - 1| at 1: slopes -1 and 1, value 0
    assert_allclose(np.abs(euler_residual(lambda X: np.abs(X[:, 0] - 1), [[1.0]], 1)), 1.0)


def test_gradients_are_used():
    residual = euler_residual(lambda X: (X**2).sum(axis=1), X, 2, gradient=lambda X: 2 * X)
    assert_allclose(residual, 0, atol=1e-12)
    outputs = euler_residual(
        lambda X: X**2, X, [2, 2, 2], gradient=lambda X: 2 * X[:, :, None] * np.eye(3)
    )
    assert_allclose(outputs, 0, atol=1e-12)
    with pytest.raises(ValueError, match=r"expected gradients of shape \(40, 3\), got \(40,\)"):
        euler_residual(lambda X: X[:, 0], X, 1, gradient=lambda X: X[:, 0])


def test_every_clarke_subgradient_satisfies_eulers_identity():
    # at x_1 = 0 the subgradients of |x_1| + |x_2| are (t, sign x_2), t in [-1, 1]
    points = np.array([[0.0, 2.0], [0.0, -3.0]])
    for t in (-1.0, 0.3, 1.0):
        residual = euler_residual(
            lambda X: np.abs(X).sum(axis=1),
            points,
            1,
            gradient=lambda X, t=t: np.column_stack([np.full(len(X), t), np.sign(X[:, 1])]),
        )
        assert_allclose(residual, 0, atol=1e-15)


@pytest.mark.parametrize(
    ("scales", "message"),
    [([1.0, 2.0], "other than 1"), ([-1.0], "positive"), ([np.inf], "finite"), ([], "n_scales")],
)
def test_bad_scales(scales, message):
    with pytest.raises(ValueError, match=f"expected .*{message}"):
        estimate_degree(lambda X: X[:, 0], X, scales=scales)


def test_bad_functions():
    with pytest.raises(ValueError, match=r"expected func\(X\) of shape \(40,\).*got shape \(3,\)"):
        estimate_degree(lambda X: X.sum(axis=0), X)
    with pytest.raises(ValueError, match="expected a function with real values, got complex"):
        estimate_degree(lambda X: X[:, 0] + 1j, X)
    with pytest.raises(TypeError, match="expected a function of rows, got str"):
        estimate_degree("f", X)
    with pytest.raises(ValueError, match="expected a finite degree, or one for each output"):
        check_homogeneous(lambda X: X, X, [1, 1])
    with pytest.raises(ValueError, match=r"got \[1. 1.\] for values of shape \(40,\)"):
        euler_residual(lambda X: X[:, 0], X, [1, 1])
    with pytest.raises(ValueError, match="expected a function with finite values, got NaN"):
        estimate_degree(lambda X: np.full(len(X), np.nan), X)
