"""Gates that learn more of the data: leaves of trees, hyperplanes across differences of samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from gnorm import GLNNormClassifierCV, GLNNormRegressor
from gnorm.gates import HyperplaneGates, JoinedGates, QuantileGates, TreeGates


def normal(n_samples, n_features, seed=0):
    return np.random.default_rng(seed).normal(size=(n_samples, n_features))


@parametrize_with_checks(
    [
        HyperplaneGates(5, 4, directions="differences"),
        TreeGates(DecisionTreeRegressor(max_depth=2, random_state=0)),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# ------------------------------------------------------------------------------------------ leaves


@pytest.mark.parametrize(
    ("ensemble", "n_units"),
    [
        (DecisionTreeClassifier(max_depth=3, random_state=0), 1),
        (ExtraTreesClassifier(4, max_depth=3, random_state=0), 4),
        (GradientBoostingClassifier(n_estimators=3, max_depth=2, random_state=0), 3 * 3),
        (RandomForestRegressor(4, max_leaf_nodes=5, random_state=0), 4),
    ],
)
def test_units_are_trees_and_contexts_are_leaves(ensemble, n_units):
    X = normal(120, 3)
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    gates = TreeGates(ensemble).fit(X, y)
    activations = gates.transform(X)
    assert activations.shape[:2] == (120, n_units)
    assert len(gates.get_feature_names_out()) == n_units
    assert np.all(activations.sum(axis=2) == 1)
    leaves = clone(ensemble).fit(X, y, sample_weight=np.ones(120)).apply(X).reshape(120, -1)
    for h in range(n_units):
        same = leaves[:, None, h] == leaves[None, :, h]
        assert np.array_equal(same, activations[:, h] @ activations[:, h].T)


def test_weights_are_copies():
    X, weights = normal(60, 3), np.random.default_rng(1).integers(0, 3, 60)
    y, copies = X[:, 0] * X[:, 1], np.repeat(np.arange(60), weights)
    gates = TreeGates(DecisionTreeRegressor(max_leaf_nodes=6, random_state=0))
    weighted = clone(gates).fit(X, y, sample_weight=weights)
    copied = clone(gates).fit(X[copies], y[copies])
    assert np.array_equal(weighted.transform(X), copied.transform(X))


def test_a_fitted_ensemble_is_kept():
    X = normal(100, 2)
    forest = RandomForestRegressor(3, max_depth=4, random_state=0).fit(X, X[:, 0])
    gates = TreeGates(FrozenEstimator(forest)).fit(X[:5], X[:5, 1])
    reached = forest.apply(X)
    for h, leaves in enumerate(gates.leaves_):
        assert set(leaves) == set(reached[:5, h])
        is_on = gates.transform(X)[:, h].any(axis=1)
        assert np.array_equal(is_on, np.isin(reached[:, h], leaves))
    assert gates.is_shared_.all()


@pytest.mark.parametrize(
    ("ensemble", "y", "error", "sentence"),
    [
        (3, np.ones(9), TypeError, "ensemble must have fit and apply, got 3"),
        (DecisionTreeRegressor(), None, ValueError, "requires y to be passed"),
    ],
)
def test_parameters_are_checked(ensemble, y, error, sentence):
    with pytest.raises(error, match=sentence):
        TreeGates(ensemble).fit(normal(9, 2), y)


def test_labels_do_not_leak_into_the_held_out_part():
    # Labels are noise: gates grown from all of them would seem to predict them.
    X, y = normal(150, 5), np.random.default_rng(1).integers(2, size=150)
    gates = TreeGates(ExtraTreesClassifier(20, random_state=0))
    model = GLNNormClassifierCV(Cs=[0.1], cv=5, gates=gates).fit(X, y)
    assert model.scores_.mean() < 0.62
    assert model.score(X, y) > 0.95


def test_warm_start_knows_the_targets_of_gates_that_learn_from_them():
    X = normal(60, 3)
    trees = TreeGates(DecisionTreeRegressor(max_depth=2, random_state=0))
    for gates in (trees, JoinedGates([QuantileGates(), trees])):
        model = GLNNormRegressor(gates=gates, warm_start=True).fit(X, X[:, 0])
        before = model.gates_
        assert model.fit(X, X[:, 1]).gates_ is not before
        expected = clone(model).fit(X, X[:, 1]).predict(X)
        np.testing.assert_allclose(model.predict(X), expected, atol=1e-2)


# ------------------------------------------------------------------------------------- differences


def test_hyperplanes_are_differences_of_samples():
    X = normal(30, 4)
    gates = HyperplaneGates(8, 4, directions="differences", scale=2.0, random_state=0).fit(X)
    differences = 2.0 * (X[:, None] - X[None]).reshape(-1, 4)
    for hyperplane in gates.hyperplanes_.reshape(-1, 4):
        distance = np.abs(differences - hyperplane).max(axis=1).min()
        assert distance < 1e-12
        assert np.abs(hyperplane).max() > 0


def test_pairs_are_drawn_by_weight():
    X, weights = np.eye(3), np.array([1.0, 2.0, 5.0])
    gates = HyperplaneGates(20_000, 2, directions="differences", scale=1.0, random_state=0)
    hyperplanes = gates.fit(X, sample_weight=weights).hyperplanes_[:, 0]
    first, second = hyperplanes.argmax(axis=1), hyperplanes.argmin(axis=1)
    shares = weights / weights.sum()
    for i in range(3):
        for j in set(range(3)) - {i}:
            share = shares[i] * shares[j] / (1 - shares[i])
            assert np.mean((first == i) & (second == j)) == pytest.approx(share, abs=0.012)


@settings(max_examples=30)
@given(data=st.data())
def test_differences_of_weights_and_copies_in_any_order(data):
    X = np.random.default_rng(0).integers(-1, 2, size=(12, 3)).astype(float)
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=12, max_size=12).filter(any)))
    order = data.draw(st.permutations(np.repeat(np.arange(12), weights).tolist()))
    gates = HyperplaneGates(10, 4, directions="differences", random_state=0)
    weighted = clone(gates).fit(X, sample_weight=weights)
    for copies in (X[order], sparse.csr_matrix(X[order])):
        copied = clone(gates).fit(copies)
        assert np.array_equal(weighted.hyperplanes_, copied.hyperplanes_)
        assert np.array_equal(weighted.cutoffs_, copied.cutoffs_)


def test_equal_samples_have_no_differences():
    gates = HyperplaneGates(3, directions="differences", random_state=0).fit(np.ones((5, 2)))
    assert not gates.hyperplanes_.any()


def test_directions_are_checked():
    with pytest.raises(ValueError, match=r"directions must be one of .*, got 'samples'"):
        HyperplaneGates(directions="samples").fit(normal(5, 2))
