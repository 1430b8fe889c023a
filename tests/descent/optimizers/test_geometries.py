"""Geometries: the steepest direction attains the dual norm, whatever the norm."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from gnorm.descent import Geometry, GradientDescent, Lp, PerLayer, Riemannian, Spectral
from gnorm.descent.optimizers.geometries import GEOMETRIES, check_geometry

SHAPES = [(2, 2, 3), (1, 1, 2)]  # of a layer with two contexts and its output


def spd(n, seed):
    root = np.random.default_rng(seed).normal(size=(n, n))
    return root @ root.T + 0.3 * np.eye(n)


# Examples of the geometries that take arguments; those that take none are found by themselves.
EXAMPLES = {
    Lp: [Lp(1.25), Lp(2.0), Lp(4.0), Lp(17.0)],
    Riemannian: [Riemannian([spd(3, 0), spd(2, 1)]), Riemannian([None, spd(2, 1)])],
    PerLayer: [PerLayer(["spectral", "linf"]), PerLayer([Lp(3.0), "l1"])],
}


def subclasses(cls):
    return [cls, *(c for sub in cls.__subclasses__() for c in subclasses(sub))]


def every_geometry():
    found = [c for c in subclasses(Geometry)[1:] if c.__module__.startswith("gnorm.")]
    return [g for c in found for g in (EXAMPLES[c] if c in EXAMPLES else [c()])]


every = pytest.mark.parametrize("geometry", every_geometry(), ids=repr)


def inner(one, other):
    return sum(float(np.vdot(a, b)) for a, b in zip(one, other, strict=True))


def copies(values):
    return [a.copy() for a in values]


# multiples of 1/8, so that squares neither vanish nor overflow; zeros and ties are frequent
weights = st.tuples(
    *(arrays(int, shape, elements=st.integers(-16, 16)).map(lambda a: a / 8) for shape in SHAPES)
).map(list)


@every
@settings(max_examples=40)
@given(g=weights, w=weights)
def test_the_steepest_direction_attains_the_dual_norm(geometry, g, w):
    geometry.check(g)
    d = copies(g)
    size = geometry.steepest(d)
    assert_allclose(size, geometry.dual_norm(g), rtol=1e-10)
    assert_allclose(inner(g, d), size, rtol=1e-7, atol=1e-300)
    if any(a.any() for a in g):
        assert_allclose(geometry.norm(d), 1.0, rtol=1e-7)
    else:
        assert size == 0
        assert not any(a.any() for a in d)
    # no other weights do better: Hoelder's inequality
    assert inner(g, w) <= size * geometry.norm(w) * (1 + 1e-9) + 1e-300
    u = copies(g)
    geometry.unnormalized(u)
    for a, b in zip(u, d, strict=True):
        assert_allclose(a, size * b, rtol=1e-7, atol=1e-9 * size)


@every
@settings(max_examples=40)
@given(one=weights, other=weights, factor=st.integers(-9, 9))
def test_a_geometry_is_a_norm(geometry, one, other, factor):
    total = [a + b for a, b in zip(one, other, strict=True)]
    assert geometry.norm(total) <= (geometry.norm(one) + geometry.norm(other)) * (1 + 1e-9)
    scaled = [factor * a for a in one]
    assert_allclose(geometry.norm(scaled), abs(factor) * geometry.norm(one), rtol=1e-9)
    assert (geometry.norm(one) > 0) == any(a.any() for a in one)


@every
@pytest.mark.parametrize("factor", [1e-150, 1e150])
def test_the_direction_does_not_depend_on_the_scale(geometry, factor):
    rng = np.random.default_rng(0)
    g = [rng.normal(size=shape) for shape in SHAPES]
    d, scaled = copies(g), [factor * a for a in g]
    size = geometry.steepest(d)
    assert_allclose(geometry.steepest(scaled), factor * size, rtol=1e-9)
    for a, b in zip(scaled, d, strict=True):
        assert_allclose(a, b, rtol=1e-7, atol=1e-12)


def test_directions_by_hand():
    g = np.array([[3.0, -4.0], [0.0, 0.0]])
    expected = {
        "l2": (5.0, [[0.6, -0.8], [0, 0]]),
        "l1": (4.0, [[0, -1.0], [0, 0]]),
        "linf": (7.0, [[1.0, -1.0], [0, 0]]),
        "spectral": (5.0, [[0.6, -0.8], [0, 0]]),
    }
    assert expected.keys() == GEOMETRIES.keys()
    for name, (size, direction) in expected.items():
        d = [g.copy()]
        assert_allclose(check_geometry(name).steepest(d), size)
        assert_allclose(d[0], direction, atol=1e-15)


def test_powers_tend_to_the_ends_of_their_range():
    rng = np.random.default_rng(0)
    g = [rng.normal(size=(3, 4))]
    for name, p in [("l1", 1.001), ("linf", 1e4)]:
        near, end = copies(g), copies(g)
        assert_allclose(Lp(p).steepest(near), check_geometry(name).steepest(end), rtol=1e-2)
        assert_allclose(near[0], end[0], atol=1e-2)


def test_a_list_is_a_geometry_for_every_layer():
    geometry = check_geometry(["spectral", Lp(3.0)])
    assert isinstance(geometry, PerLayer)
    assert isinstance(geometry.geometries[0], Spectral)
    rng = np.random.default_rng(0)
    g = [rng.normal(size=shape) for shape in SHAPES]
    d, parts = copies(g), copies(g)
    geometry.steepest(d)
    Spectral().steepest(parts[:1])
    Lp(3.0).steepest(parts[1:])
    assert_array_equal(d[0], parts[0])
    assert_array_equal(d[1], parts[1])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: check_geometry("l3"), "expected a geometry to be one of ['l2', 'l1', 'linf', "),
        (lambda: check_geometry(4), "a Geometry such as Lp(4), or a list"),
        (lambda: check_geometry(["l2", "max"]), "got 'max'"),
        (lambda: Lp(1.0), "expected 1 < p < inf, got 1.0; 'l1' and 'linf' are the ends"),
        (lambda: Lp(math.inf), "expected 1 < p < inf, got inf"),
        (lambda: Lp("4"), "expected 1 < p < inf, got '4'"),
        (lambda: Riemannian(5), "expected a preconditioner for each layer, got 5"),
        (
            lambda: Spectral().check([np.ones((2, 3)), np.ones(4)]),
            "expected matrices of weights in the spectral geometry, got weights of shape (4,) in "
            "array 1 of 2; give a list with a geometry for each array, 'l2' for that one",
        ),
        (
            lambda: PerLayer(["l2"]).check([np.ones((2, 3)), np.ones(4)]),
            "expected a geometry for each of 2 arrays of weights, of shapes [(2, 3), (4,)], got 1",
        ),
        (
            lambda: GradientDescent(0.1, geometry="linf", preconditioner=[None]),
            "expected geometry='l2' with a preconditioner, which is a geometry of its own, got",
        ),
    ],
)
def test_geometries_that_cannot_be(build, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build()


def test_a_gradient_that_is_not_finite_has_no_polar_factor():
    with pytest.raises(FloatingPointError):
        Spectral().steepest([np.full((2, 2), np.nan)])
