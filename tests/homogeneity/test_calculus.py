"""Functions that know their degree: what is made of them scales as the rules say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from gnorm.homogeneity import (
    Dilation,
    HomogeneousFunction,
    NotHomogeneousError,
    average,
    check_homogeneous,
    compose,
    limit_along,
    multiply,
    power,
    radial_spherical,
)

X = np.random.default_rng(0).normal(size=(30, 2))
degrees = st.floats(-3, 3)


def of_degree(degree):
    """A positive function of two features, that depends on the direction."""
    return HomogeneousFunction(
        lambda X: np.linalg.norm(X, axis=1) ** degree * (2 + X[:, 0] / np.linalg.norm(X, axis=1)),
        degree,
    )


direction = HomogeneousFunction(lambda X: X / np.linalg.norm(X, axis=1)[:, None], 0)
plain = np.exp


@given(r=degrees, s=degrees, p=degrees)
def test_rules(r, s, p):
    f, g = of_degree(r), of_degree(s)
    for made, degree in (
        (multiply(f, g, f), 2 * r + s),
        (power(f, p), p * r),
        (average(f, power(f, 1.0), weights=[3, 1]), r),
        (compose(HomogeneousFunction(lambda z: z**3, 3), f), 3 * r),
    ):
        assert_allclose(made.degree, degree, atol=1e-12)
        made.check(X)


def test_any_function_of_degree_0_has_degree_0():
    assert compose(plain, direction).check(X).degree == 0
    assert compose(lambda Z: Z.sum(axis=1) + 1.0, direction).check(X).degree == 0


def test_values():
    f = HomogeneousFunction(lambda X: X[:, 0], 1)
    g = HomogeneousFunction(lambda X: X[:, 1], 1)
    rows = np.array([[3.0, 4.0]])
    assert multiply(f, g)(rows) == 12.0
    assert average(f, g)(rows) == 3.5
    assert average(f, g, weights=[3, 1])(rows) == 3.25
    assert power(f, -2)(rows) == 1 / 9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: compose(plain, of_degree(1)), "inner function of degree 0, got .* degree 1"),
        (lambda: compose(plain, plain), "expected a function that knows its degree"),
        (lambda: multiply(of_degree(1), plain), "expected a function that knows its degree"),
        (lambda: power(plain, 2), "expected a function that knows its degree"),
        (lambda: average(of_degree(1), of_degree(2)), "of one degree, .*got degrees 1, 2"),
        (lambda: radial_spherical(plain), "expected a function that knows its degree"),
        (lambda: of_degree(1).check(X) and HomogeneousFunction(plain, 1).check(X), "expected f ="),
    ],
)
def test_what_has_no_degree_is_refused(make, message):
    with pytest.raises(NotHomogeneousError, match=message):
        make()


def test_bad_arguments():
    with pytest.raises(ValueError, match="expected at least one function, got none"):
        multiply()
    with pytest.raises(ValueError, match="expected 1 finite weights whose sum is not zero"):
        average(of_degree(1), weights=[1, 2])
    with pytest.raises(TypeError, match="expected a function, got int"):
        HomogeneousFunction(3, 1)
    with pytest.raises(ValueError, match="expected a finite degree, got nan"):
        HomogeneousFunction(plain, np.nan)
    with pytest.raises(ValueError, match=r"expected values that have a power of 0.5, got -1"):
        power(HomogeneousFunction(lambda X: X[:, 0], 1), 0.5)(np.array([[-1.0]]))
    with pytest.raises(ValueError, match=r"expected values other than zero for a power of -1"):
        power(HomogeneousFunction(lambda X: X[:, 0], 1), -1)(np.array([[0.0]]))
    for norm in (0.5, "l2"):
        with pytest.raises(ValueError, match="expected the order of a norm, at least 1"):
            radial_spherical(of_degree(1), norm=norm)


@pytest.mark.parametrize("norm", [1, 2, 3.5, np.inf, Dilation([1.0, 1.0])])
def test_radial_and_spherical_factors(norm):
    f = of_degree(1.5)
    radial, spherical = radial_spherical(f, norm)
    assert_allclose(radial(X) * spherical(X), f(X), rtol=1e-12)
    assert (radial.degree, spherical.degree) == (1.5, 0.0)
    radial.check(X)
    spherical.check(X)
    with pytest.raises(ValueError, match="expected points other than zero"):
        spherical(np.zeros((1, 2)))


def test_factors_under_a_dilation():
    dilation = Dilation([1.0, 2.0])

    def f(X):
        return X[:, 0] ** 2 + X[:, 1]

    radial, spherical = radial_spherical(f, dilation, degree=2)
    assert_allclose(radial(X) * spherical(X), f(X), rtol=1e-12, atol=1e-12)
    check_homogeneous(spherical, X, 0, dilation=dilation)


@given(y=st.lists(st.floats(-100, 100), min_size=2, max_size=2))
def test_only_the_direction_is_seen_from_far(y):
    x = [3.0, -4.0]
    assert_allclose(limit_along(direction, x, offset=y), [0.6, -0.8], atol=1e-10)


def test_limits():
    assert limit_along(lambda X: X[:, 1] / np.linalg.norm(X, axis=1), [1, 0], offset=[0, 3]) < 1e-12
    # not continuous in this direction: the limit is not the value there
    assert limit_along(lambda X: np.sign(X[:, 1]), [1, 0], offset=[0, 3]) == 1.0
    # a normalisation with a small constant becomes one of degree 0
    normalised = limit_along(lambda X: X / np.sqrt((X**2).mean(axis=1) + 1e-5)[:, None], [3.0, 4.0])
    assert_allclose(normalised, np.array([3, 4]) / np.sqrt(12.5))
    for grows in (
        lambda X: X[:, 0],
        lambda X: X[:, 0] ** 0.01,
        lambda X: np.sin(np.log(X[:, 0])),
    ):
        with pytest.raises(NotHomogeneousError, match="expected a function that settles"):
            limit_along(grows, [1.0, 0.0])
    with pytest.raises(ValueError, match="expected one direction other than zero"):
        limit_along(direction, [0.0, 0.0])
