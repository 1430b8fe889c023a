"""Distances to the other side: bounds that hold, and inputs that show them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import make_blobs

from gnorm import (
    FixedGates,
    FReLUSVC,
    GatedL2SVC,
    GLNNormClassifier,
    GLNNormSVC,
    HyperplaneGates,
    ReLUGates,
    ShallowGLNSVC,
)
from gnorm.boundary import distance_to_boundary
from gnorm.datasets import load_binary_digits
from gnorm.gated import decision_values

GATES = {
    "none": HyperplaneGates(2, 1),
    "one-hot": HyperplaneGates(4, 2, random_state=0),
    "four contexts": HyperplaneGates(3, 4, cutoff="random", random_state=1),
    "on-off": ReLUGates(4, random_state=2),
    "all may close": ReLUGates(4, always_open=False, random_state=3),
}


def a_predictor(gates, n_features, constant, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, n_features))
    gates = GATES[gates].fit(X)
    _, n_units, n_contexts = gates.transform(X).shape
    zeta = rng.normal(size=(n_units, n_contexts, n_features + (constant is not None)))

    def value(X):
        inputs = X if constant is None else np.column_stack([X, np.full(len(X), constant)])
        return decision_values(inputs, gates.transform(X), zeta)

    return X, gates, zeta, value


@pytest.mark.parametrize("constant", [None, 2.0])
@pytest.mark.parametrize("n_features", [1, 2, 5])
@pytest.mark.parametrize("gates", GATES)
def test_bounds_hold(gates, n_features, constant):
    X, gates, zeta, value = a_predictor(gates, n_features, constant)
    distance = distance_to_boundary(X, gates, zeta, constant=constant)
    f = value(X)
    assert np.all(distance.lower <= distance.upper)
    found = np.isfinite(distance.upper)
    assert found.any()
    assert np.all((f * value(np.where(found[:, None], distance.nearest, X)))[found] <= 0)
    assert_allclose(
        np.linalg.norm(distance.nearest - X, axis=1)[found], distance.upper[found], rtol=1e-12
    )
    rng = np.random.default_rng(1)
    for x, sign, radius in zip(X, np.sign(f), distance.lower, strict=True):
        if 0 < radius < np.inf:
            steps = rng.normal(size=(300, n_features))
            steps *= radius * (1 - 1e-9) / np.linalg.norm(steps, axis=1)[:, None]
            steps[::2] *= rng.random((150, 1))
            assert np.all(sign * value(x + steps) > 0)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("gates", ["one-hot", "on-off", "all may close"])
def test_on_a_line_the_nearest_input_is_found(gates, seed):
    X, gates, zeta, value = a_predictor(gates, 1, 1.0, seed)
    distance = distance_to_boundary(X, gates, zeta, constant=1.0)
    line = np.linspace(-30, 30, 600_001)[:, None]
    values = value(line)
    for x, f, lower, upper in zip(X[:, 0], value(X), distance.lower, distance.upper, strict=True):
        other = line[values * f <= 0, 0]
        nearest = np.min(np.abs(other - x), initial=np.inf)
        assert lower <= nearest + 1e-4
        if nearest < 20:
            assert upper == pytest.approx(nearest, abs=2e-4)


def test_without_gates_all_distances_are_that_to_the_hyperplane():
    X, gates, zeta, value = a_predictor("none", 3, 1.5)
    distance = distance_to_boundary(X, gates, zeta, constant=1.5)
    expected = np.abs(value(X)) / np.linalg.norm(zeta[:, 0, :3].sum(axis=0))
    assert_allclose(distance.within_piece, expected)
    assert_allclose(distance.lower, expected)
    assert_allclose(distance.upper, expected)


def test_a_jump_is_nearer_than_the_piece_says():
    gates = ReLUGates(weights=[[1.0, 0.0]]).fit(np.zeros((1, 2)))
    zeta = np.array([[[0.0, -3.0]], [[0.0, 1.0]]])
    distance = distance_to_boundary([[-0.25, 1.0], [-9.0, 1.0]], gates, zeta)
    assert_allclose(distance.within_piece, 1.0)
    assert_allclose(distance.lower, [0.25, 1.0])
    assert_allclose(distance.upper, [0.25, 1.0], rtol=1e-9)
    assert_allclose(distance.nearest, [[0.0, 1.0], [-9.0, 0.0]], atol=1e-8)


def test_no_other_side():
    gates = HyperplaneGates(2, 1).fit(np.zeros((1, 2)))
    zeta = np.zeros((2, 1, 3))
    zeta[0, 0, 2] = 1.0  # the constant feature alone
    distance = distance_to_boundary([[1.0, 2.0]], gates, zeta, constant=1.0)
    assert distance.lower == distance.upper == distance.within_piece == np.inf
    assert np.isnan(distance.nearest).all()


def test_on_the_boundary():
    gates = HyperplaneGates(2, 1).fit(np.zeros((1, 2)))
    distance = distance_to_boundary([[0.0, 0.0]], gates, np.ones((2, 1, 2)))
    assert distance.lower == distance.upper == distance.within_piece == 0
    assert_array_equal(distance.nearest, [[0.0, 0.0]])


@pytest.mark.parametrize("model", [GLNNormSVC(20, C=np.inf), FReLUSVC(20, C=np.inf)], ids=repr)
def test_margin_is_a_distance_within_a_piece_only(model):
    X, _, y, _ = load_binary_digits(test_size=797, random_state=0)
    model.set_params(random_state=0).fit(X, y)
    margin = model.margin_[0]
    distance = model.distance_to_boundary(X[:100])
    assert np.all(distance.within_piece >= margin)
    assert np.any(distance.upper < margin)  # across gates another digit is nearer
    assert np.all(distance.lower > 0)
    other = model.decision_function(distance.nearest)
    assert np.all(other * model.decision_function(X[:100]) <= 0)


def test_estimators():
    X, y = make_blobs(60, 3, centers=3, random_state=0)
    for model in (GLNNormSVC(3), GatedL2SVC(3, fit_intercept=False), FReLUSVC(3)):
        model.set_params(random_state=0).fit(X, y)
        all_classes = model.distance_to_boundary(X)
        assert all_classes.lower.shape == (60, 3)
        assert all_classes.nearest.shape == (60, 3, 3)
        constant = 1.0 if model.fit_intercept else None
        one = distance_to_boundary(X, model.gates_, model.zeta_[1], constant=constant)
        assert_array_equal(all_classes.upper[:, 1], one.upper)
        of_sparse = model.distance_to_boundary(sparse.csr_array(X))
        assert_allclose(of_sparse.lower, all_classes.lower)


def test_what_is_refused():
    X, y = make_blobs(60, 3, centers=3, random_state=0)
    with pytest.raises(ValueError, match="the rest each, got those of 3 classes of one model"):
        GLNNormClassifier(3).fit(X, y).distance_to_boundary(X)
    with pytest.raises(ValueError, match=r"expected zeta of shape \(2, 2, 4\)"):
        ShallowGLNSVC(2).fit(X, y).distance_to_boundary(X)
    gates = FixedGates(lambda X: np.ones((X.shape[0], 1, 1), dtype=bool)).fit(X)
    with pytest.raises(TypeError, match="expected HyperplaneGates or ReLUGates, got FixedGates"):
        distance_to_boundary(X, gates, np.ones((1, 1, 3)))
