"""Approximate homogeneity: exact where the function is, and a measure where it is not."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gnorm.homogeneity import approximate_homogeneity

rng = np.random.default_rng(0)
x = rng.normal(size=(7, 3))
W, b, V = rng.normal(size=(3, 5)), rng.normal(size=5), rng.normal(size=(5, 4))


def network(w):
    return np.maximum(x @ w["W"] + w["b"], 0) @ w["V"]


def test_a_homogeneous_function():
    measured = approximate_homogeneity(network, {"W": W, "b": 0 * b, "V": V})
    assert_allclose(measured.degree, 2.0)
    assert_allclose(measured.local_degrees, 2.0)
    assert_allclose(measured.cosine, 1.0)
    assert_allclose(measured.deviation, 0.0, atol=1e-13)


def test_a_bias_turns_the_direction_until_it_no_longer_counts():
    def biased(w):  # the weights of the second layer alone are multiplied
        return np.maximum(x @ W, 0) @ w[0] + w[1]

    same = approximate_homogeneity(biased, [V, rng.normal(size=4)])
    assert_allclose(same.cosine, 1.0)  # of degree 1 in both

    measured = approximate_homogeneity(network, {"W": W, "b": 0 * b, "V": V}, degree=1.0)
    assert_allclose(measured.deviation, measured.scales - 1.0, atol=1e-12)

    both = approximate_homogeneity(
        lambda w: np.maximum(x @ w[0], 0) @ w[1] + w[2], [W, V, b[:4]], [1.0, 10.0, 100.0, 1000.0]
    )
    assert (np.diff(both.local_degrees) > 0).all()
    assert_allclose(both.local_degrees[-1], 2.0, atol=0.02)


def test_reference_scale():
    tanh = approximate_homogeneity(lambda w: np.tanh(x @ w), W, [1.0, 10.0, 100.0], reference=1e6)
    assert (np.diff(tanh.cosine) > 0).all()
    assert (np.diff(tanh.deviation[[0, 2]]) < 0).all()
    assert_array_equal(tanh.scales, [1, 10, 100])
    assert tanh.reference == 1e6


def test_structures_keep_their_precision():
    seen = []

    def look(w):
        seen.append(w)
        return np.ones(2)

    approximate_homogeneity(look, {"a": np.ones(2, np.float32), "b": [np.ones(1), [2, 3]]}, [1, 2])
    assert seen[1]["a"].dtype == np.float32
    assert_array_equal(seen[1]["b"][1], [4.0, 6.0])


@pytest.mark.parametrize(
    ("scales", "message"),
    [([1.0], "at least two different"), ([1.0, -2.0], "positive finite"), (2.0, "at least two")],
)
def test_bad_scales(scales, message):
    with pytest.raises(ValueError, match=f"expected {message}"):
        approximate_homogeneity(network, {"W": W, "b": b, "V": V}, scales)


def test_bad_values():
    with pytest.raises(ValueError, match="got a zero vector at scale 1"):
        approximate_homogeneity(lambda w: np.zeros(3), W)
    with pytest.raises(ValueError, match="got NaN or infinite values at scale 2"):
        approximate_homogeneity(lambda w: w if w[0] == 1 else w * np.inf, np.ones(1), [1, 2])
