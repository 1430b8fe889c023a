"""Dilations: group, norm, projection, gradient and geometry, by their defining identities."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm

from gnorm.homogeneity import Dilation

# Growth rates that differ little, so that rounding of a point far out is not all there is of it.
DILATIONS = {
    "scaling": Dilation.standard(3),
    "weights": Dilation([0.5, 1.0, 2.0]),
    "weights and a diagonal P": Dilation([0.5, 1.0, 2.0], np.diag([1.0, 4.0, 0.1])),
    "weights and a full P": Dilation([1.0, 1.5, 2.0], [[2, 0.3, 0], [0.3, 1, 0.1], [0, 0.1, 1]]),
    "jordan": Dilation([[1, 1, 0], [0, 1, 1], [0, 0, 1]]),
    "spiral": Dilation([[1, -2, 0], [2, 1, 0], [0, 0, 1.5]]),
    "not monotone": Dilation([[1, 8, 0], [0, 1, 0], [0, 0, 1.2]]),
}
every_dilation = pytest.mark.parametrize("name", DILATIONS)
entries = st.floats(-10, 10).map(lambda x: 0.0 if abs(x) < 1e-3 else x)
points = hnp.arrays(float, (5, 3), elements=entries).filter(lambda X: X.any(axis=1).all())
moves = st.floats(-2, 2)


def euclidean(dilation, X):
    return np.sqrt(np.einsum("ni,ij,nj->n", X, dilation.P, X))


@every_dilation
@given(X=points, s=moves, t=moves)
def test_group_law(name, X, s, t):
    d = DILATIONS[name]
    assert_allclose(d.apply(X, 0.0), X, rtol=1e-12, atol=1e-12)
    assert_allclose(d.apply(d.apply(X, s), t), d.apply(X, s + t), rtol=1e-9, atol=1e-9)
    assert_allclose(d.apply(X, s), X @ expm(s * d.generator).T, rtol=1e-9, atol=1e-9)


@every_dilation
@given(X=points, s=moves)
def test_norm_is_homogeneous(name, X, s):
    d = DILATIONS[name]
    assert_allclose(d.log_norm(d.apply(X, s)), d.log_norm(X) + s, rtol=0, atol=1e-8)


@every_dilation
@given(X=points)
def test_norm_and_projection_meet_their_definitions(name, X):
    d = DILATIONS[name]
    sphere = d.project(X)
    assert_allclose(euclidean(d, sphere), 1.0, rtol=1e-10)
    assert_allclose(d.apply(sphere, d.log_norm(X)), X, rtol=1e-9, atol=1e-9)
    lower, upper = d.bracket(X)
    assert (lower <= d.norm(X) * (1 + 1e-9)).all()
    assert (d.norm(X) <= upper * (1 + 1e-9)).all()


def test_weights_give_the_norm_to_1e_12():
    X = np.random.default_rng(0).normal(size=(2000, 8))
    for weights in (np.ones(8), np.arange(1.0, 9.0), np.geomspace(0.1, 10, 8)):
        d = Dilation(weights)
        assert_allclose(euclidean(d, d.project(X)), 1.0, rtol=0, atol=1e-12)


@every_dilation
@given(X=points)
def test_gradient_of_the_norm(name, X):
    d = DILATIONS[name]
    gradient, norm = d.norm_gradient(X), d.norm(X)
    euler = np.einsum("ni,ni->n", gradient, X @ d.generator.T)
    assert_allclose(euler, norm, rtol=1e-9)
    h = 1e-5 * np.abs(X).max(axis=1)
    size = np.abs(gradient).max(axis=1)
    for i, e in enumerate(np.eye(3)):
        difference = (d.norm(X + h[:, None] * e) - d.norm(X - h[:, None] * e)) / (2 * h)
        # the curvature of |x_3|^(1/2) next to zero is what a difference quotient misses
        assert (np.abs(difference - gradient[:, i]) <= 1e-3 * (size + norm)).all()


@every_dilation
@given(X=points, Y=points, s=moves, c=st.floats(-3, 3))
def test_homogeneous_geometry(name, X, Y, s, c):
    d = DILATIONS[name]
    close = {"rtol": 1e-7, "atol": 1e-7}
    assert_allclose(d.phi_inverse(d.phi(X)), X, **close)
    assert_allclose(euclidean(d, d.phi(X)), d.norm(X), rtol=1e-9)
    assert_allclose(d.phi(d.apply(X, s)), np.exp(s) * d.phi(X), **close)
    assert_allclose(d.phi(d.multiply(X, c)), c * d.phi(X), **close)
    assert_allclose(d.inner(X, X), d.norm(X) ** 2, rtol=1e-8)
    assert_allclose(d.inner(X, Y), d.inner(Y, X), **close)
    assert_allclose(d.phi(d.add(X, Y)), d.phi(X) + d.phi(Y), **close)


def test_zero():
    for d in DILATIONS.values():
        X = np.array([[0.0, 0, 0], [1, 2, 3], [0, 0, 0]])
        assert_array_equal(d.norm(X) == 0, [True, False, True])
        assert_array_equal(d.phi(X)[0], 0)
        assert_array_equal(d.phi_inverse(X)[2], 0)
        assert_array_equal(d.multiply(X, 0.0), 0)
        assert_array_equal(d.bracket(X)[1] == 0, [True, False, True])
        for method in (d.project, d.norm_gradient):
            with pytest.raises(ValueError, match=r"expected points other than zero.*row 0"):
                method(X)


@pytest.mark.parametrize("name", ["scaling", "weights", "weights and a diagonal P"])
def test_huge_and_tiny_points(name):
    d = DILATIONS[name]
    X = np.array(
        [[1e-150, 0, 0], [1e150, -1e150, 1e150], [1e-150, 1e150, 0], [3e-320, 0, 0], [0, 0, 1e300]]
    )
    assert_allclose(euclidean(d, d.project(X)), 1.0, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["jordan", "spiral", "not monotone", "weights and a full P"])
def test_huge_and_tiny_points_of_a_full_generator(name):
    d = DILATIONS[name]
    X = np.array([[1e-150, 0, 0], [0, 0, 1e150], [1e150, 0, 0], [0, 0, 1e-150]])
    assert_allclose(euclidean(d, d.project(X)), 1.0, rtol=0, atol=1e-9)


def test_a_norm_that_overflows_has_a_logarithm():
    d = Dilation([0.1, 1.0])
    X = [[1e150, 0.0]]
    assert_allclose(d.log_norm(X), 10 * np.log(1e150), rtol=1e-14)
    with pytest.raises(ValueError, match=r"expected points whose homogeneous norm.*got one of e\^"):
        d.norm(X)
    assert d.bracket(X)[1] == np.inf
    with pytest.raises(ValueError, match=r"expected s for which .* is finite, got an overflow"):
        d.apply(X, 1e6)


def test_moves_beyond_all_numbers():
    for d in (DILATIONS["weights"], DILATIONS["jordan"]):
        assert_array_equal(d.apply([[1.0, 1.0, 0.0]], -1e300), 0.0)
        with pytest.raises(ValueError, match=r"expected s for which .* got an overflow"):
            d.apply([[1.0, 1.0, 1.0]], 1e300)
    # many turns in one stretch: the table of exponentials must not take a step a turn
    fast = Dilation([[0.01, -1000.0], [1000.0, 0.01]])
    assert_allclose(fast.log_norm([[1e150, 0.0]]), np.log(1e150) / 0.01, rtol=1e-7)


def test_published_example():
    # Polyakov (2023): G = diag(1, 2), degree 3
    d = Dilation([1.0, 2.0])
    X = np.random.default_rng(0).uniform(-1, 1, size=(50, 2))
    f = 2 * np.abs(X[:, 0]) ** 2 * np.abs(X[:, 1]) ** 0.5
    f -= np.abs(X[:, 0]) ** 0.5 * np.abs(X[:, 1]) ** 1.25
    Y = d.apply(X, 1.7)
    g = 2 * np.abs(Y[:, 0]) ** 2 * np.abs(Y[:, 1]) ** 0.5
    g -= np.abs(Y[:, 0]) ** 0.5 * np.abs(Y[:, 1]) ** 1.25
    assert_allclose(g, np.exp(3 * 1.7) * f, rtol=1e-12, atol=1e-9)
    # x1^2 / q + x2^2 / q^2 = 1 at q = |x|_d^2 has the closed form q = (x1^2 + root) / 2
    q = (X[:, 0] ** 2 + np.sqrt(X[:, 0] ** 4 + 4 * X[:, 1] ** 2)) / 2
    assert_allclose(d.norm(X), np.sqrt(q), rtol=1e-13)


def test_default_norm():
    assert_array_equal(Dilation([1.0, 3.0]).P, np.eye(2))
    assert_array_equal(Dilation([[1.0, 0.5], [0.0, 1.0]]).P, np.eye(2))
    d = DILATIONS["not monotone"]  # the Euclidean norm shrinks along some orbits of it
    assert np.linalg.eigvalsh(d.generator + d.generator.T)[0] < 0
    assert d.alpha > 0
    assert_allclose(np.trace(d.P), 3.0)
    growth = d.P @ d.generator + d.generator.T @ d.P
    assert_allclose(growth, growth[0, 0] * np.eye(3), atol=1e-12)


def test_a_diagonal_matrix_is_weights():
    assert_array_equal(Dilation(np.diag([1.0, 2.0])).weights, [1.0, 2.0])
    assert DILATIONS["jordan"].weights is None
    assert repr(Dilation([1, 2])) == "Dilation([1., 2.])"


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        ([1.0, -1.0], "eigenvalues have positive real parts.*got the real part -1"),
        ([[0.0, 1.0], [-1.0, 0.0]], "positive real parts.*got the real part"),
        ([[1.0, 2.0], [2.0, 4.0]], "positive real parts.*got the real part"),
        ([[1.0, 1j], [0.0, 1.0]], "of real numbers, got dtype complex128"),
        (["a", "b"], "of real numbers, got dtype"),
        ([1.0, np.nan], "of finite numbers, got NaN"),
        ([[1.0, 2.0, 3.0]], r"of shape .*, got shape \(1, 3\)"),
        ([], r"got shape \(0,\)"),
        (3.0, r"got shape \(\)"),
    ],
)
def test_bad_generators(generator, message):
    with pytest.raises(ValueError, match=f"expected a generator .*{message}"):
        Dilation(generator)


@pytest.mark.parametrize(
    ("P", "message"),
    [
        (np.eye(3), r"expected P of shape \(2, 2\), got \(3, 3\)"),
        ([[1.0, 2.0], [0.0, 1.0]], "expected a symmetric P, got .* by 2"),
        ([[1.0, 0.0], [0.0, -1.0]], "expected a positive definite P, got the eigenvalue -1"),
        ([[1.0, 0.0], [0.0, 1.0]], "expected P with P G .* got the least rate of growth -1.5"),
    ],
)
def test_bad_norms(P, message):
    with pytest.raises(ValueError, match=message):
        Dilation([[1.0, 5.0], [0.0, 1.0]], P)


@pytest.mark.parametrize("s", [[1.0, 2.0, 3.0], np.nan, [[1.0]]])
def test_bad_moves(s):
    with pytest.raises(ValueError, match=r"expected finite s of shape \(\) or \(1,\)"):
        Dilation([1.0, 2.0]).apply([[1.0, 1.0]], s)


def test_points_of_other_features():
    with pytest.raises(ValueError, match="expected X with 2 features, got 3"):
        Dilation([1.0, 2.0]).norm([[1.0, 1.0, 1.0]])
