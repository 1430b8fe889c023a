"""The estimators of networks of any width: scikit-learn's contract, and what they solve."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

import gnorm
from gnorm import relu
from gnorm.gates import ReLUGates
from gnorm.relu import (
    ReLUNormClassifier,
    ReLUNormRegressor,
    ReLUNormSVC,
    activation_patterns,
    relu_max_margin,
)
from gnorm.solvers import NotSeparableError

KINDS = [getattr(relu, name) for name in relu.__all__ if name.startswith("ReLUNorm")]


def data(n_samples=40, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 2))
    return X, np.abs(X[:, 0]) + X[:, 1]


@pytest.mark.slow
@parametrize_with_checks(
    [kind(max_iter=3, tol=1e-2, patterns=some) for kind in KINDS for some in (None, 5)]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", KINDS)
def test_solves_the_problem_with_a_constant_feature(kind):
    X, y = data()
    loss = {"ReLUNormSVC": "hinge", "ReLUNormClassifier": "log_loss"}
    targets = np.sign(y - 1) if is_classifier(kind()) else y
    model = kind(intercept_scaling=2.0, tol=1e-5).fit(X, targets)
    augmented = np.column_stack((X, np.full(len(X), 2.0)))
    solution = relu_max_margin(
        augmented, targets, 1.0, loss=loss.get(kind.__name__, "squared_error"), tol=1e-5
    )
    assert model.status_ == ["optimal"]
    assert_allclose(model.norm_, solution.norm)
    hidden, output = model.to_network()[0]
    values = np.maximum(augmented @ hidden.T, 0) @ output
    assert_allclose(values, solution.decision_values(augmented), rtol=1e-9, atol=1e-12)
    assert model.score(X, targets) > 0.8
    assert getattr(gnorm, kind.__name__) is kind


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("patterns", [30, "all", ReLUGates(20, random_state=1)])
def test_neurons_of_some_patterns(kind, patterns):
    X, y = data(15)
    targets = np.sign(y - 1) if is_classifier(kind()) else y
    weight = np.r_[0.0, 2.0, np.ones(13)]
    model = kind(patterns=patterns, tol=1e-6).fit(X, targets, weight)
    kept = np.column_stack((X, np.ones(15)))[1:]
    if isinstance(patterns, ReLUGates):
        some = patterns.fit(X[1:], sample_weight=weight[1:]).transform(X[1:])
    else:
        n_patterns = None if patterns == "all" else patterns
        some = activation_patterns(kept, n_patterns, random_state=0)
    loss = {"ReLUNormSVC": "hinge", "ReLUNormClassifier": "log_loss"}
    solution = relu_max_margin(
        kept,
        targets[1:],
        1.0,
        loss=loss.get(kind.__name__, "squared_error"),
        patterns=some,
        sample_weight=weight[1:],
        tol=1e-6,
    )
    assert model.status_ == ["optimal"]
    assert_allclose(model.norm_, solution.norm)
    if isinstance(patterns, str):  # over all patterns it is the problem over all neurons
        every = kind(tol=1e-6).fit(X, targets, weight)
        assert_allclose(model.norm_, every.norm_, rtol=1e-3)


def test_classes_against_the_rest():
    X, y = data()
    labels = np.array(["a", "b", "c"])[np.digitize(y, [0.3, 1.2])]
    model = ReLUNormClassifier(C=10.0, tol=1e-3).fit(X, labels)
    assert model.decision_function(X).shape == (40, 3)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)
    assert model.score(X, labels) > 0.9
    assert not hasattr(ReLUNormClassifier(loss="hinge"), "predict_proba")


def test_weights_and_class_weights():
    X, y = data()
    labels = (y > 1.0).astype(int)
    weight = np.where(labels == 1, 3.0, 1.0)
    by_sample = ReLUNormSVC().fit(X, labels, weight)
    by_class = ReLUNormSVC(class_weight={1: 3.0}).fit(X, labels)
    assert_allclose(by_sample.decision_function(X), by_class.decision_function(X))


def test_hard_margins():
    X, y = data(20)
    model = ReLUNormSVC(C=np.inf).fit(X, y > 1.0)
    assert model.score(X, y > 1.0) == 1.0
    assert_allclose(model.margin_, 1 / model.norm_, rtol=1e-6)
    with pytest.raises(NotSeparableError, match="the heaviest are 1, 2") as raised:
        ReLUNormSVC(C=np.inf).fit(np.zeros((3, 1)), [0, 0, 1], sample_weight=[0, 1, 1])
    assert_allclose(raised.value.certificate, [0, 0.5, 0.5])


def test_what_is_refused_and_what_is_warned_of():
    X, y = data()
    with pytest.raises(ValueError, match="expected a loss of labels"):
        ReLUNormClassifier(loss="squared_error").fit(X, y > 1)
    with pytest.raises(ValueError, match="expected a loss of targets"):
        ReLUNormRegressor(loss="hinge").fit(X, y)
    with pytest.raises(ValueError, match="expected real y, got dtype <U3"):
        ReLUNormRegressor().fit(X, np.where(y > 1, "yes", "no"))
    with pytest.raises(ValueError, match=r"expected patterns to be a number, .* got 'some'"):
        ReLUNormSVC(patterns="some").fit(X, y > 1)
    with pytest.raises(ValueError, match=r"a number, .* got an array of shape \(40, 3\)"):
        ReLUNormSVC(patterns=np.ones((40, 3), dtype=bool)).fit(X, y > 1)
    with pytest.raises(NotSeparableError, match="Use a finite C, or more patterns"):
        ReLUNormSVC(C=np.inf, patterns=1).fit(X, X[:, 0] * X[:, 0] > 0.5)
    with pytest.raises(ValueError, match="expected samples of positive weight of at least 2"):
        ReLUNormSVC().fit(X, np.ones(40))
    rng = np.random.default_rng(0)
    with pytest.warns(ConvergenceWarning, match="local"):
        ReLUNormSVC(oracle="local", tol=1e-2).fit(rng.normal(size=(8, 4)), np.arange(8) % 2)


@pytest.mark.parametrize("kind", KINDS)
def test_intercept_and_linear_part_outside_of_the_norm(kind):
    X, y = data()
    targets = y > 1.0 if is_classifier(kind()) else y
    free = {"penalize_bias": False, "penalize_linear": False}
    model = kind(tol=1e-7, **free).fit(X, targets)
    shifted = X + np.array([10.0, -5.0])
    moved = kind(tol=1e-7, **free).fit(shifted, targets)
    assert_allclose(moved.norm_, model.norm_, rtol=1e-3)
    assert np.all(model.linear_[0] != 0)
    assert model.norm_ < kind(tol=1e-7).fit(X, targets).norm_
    assert_allclose(model.score(X, targets), moved.score(shifted, targets), atol=1e-3)
