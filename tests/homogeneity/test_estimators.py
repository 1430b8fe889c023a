"""Estimators on the sphere: scikit-learn's contract, and exact extrapolation."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    parametrize_with_checks,
)

from gnorm.homogeneity import (
    Dilation,
    HomogeneityWarning,
    HomogeneousClassifier,
    HomogeneousRegressor,
)

rng = np.random.default_rng(0)
X = rng.uniform(-1, 1, size=(400, 2))
published_dilation = Dilation([1.0, 2.0])


def published(X):
    a, b = np.abs(X).T
    return 2 * a**2 * b**0.5 - a**0.5 * b**1.25


# Callables shown without an address: names of tests must be the same in every process.
@dataclass(frozen=True)
class RisingWeights:
    def __call__(self, n_features):
        return np.linspace(1.0, 2.0, n_features)


@dataclass(frozen=True)
class Shear:
    def __call__(self, n_features):
        return np.eye(n_features) + 0.5 * np.eye(n_features, k=1)


rising_weights = RisingWeights()
shear = Shear()

CHECKED = [
    HomogeneousRegressor(Ridge()),
    HomogeneousRegressor(Ridge(), degree=2.0, weighting="space"),
    HomogeneousRegressor(Ridge(), dilation=rising_weights, degree=0.0),
    HomogeneousRegressor(Ridge(), dilation=shear),
    HomogeneousRegressor(Ridge(), dilation="estimate"),
    HomogeneousRegressor(DecisionTreeRegressor(random_state=0), degree=0.5),
    HomogeneousClassifier(LogisticRegression()),
    HomogeneousClassifier(LogisticRegression(), dilation=rising_weights),
    HomogeneousClassifier(LogisticRegression(), dilation=shear),
    HomogeneousClassifier(LogisticRegression(), dilation="estimate"),
    HomogeneousClassifier(DecisionTreeClassifier(random_state=0)),
]


@pytest.mark.filterwarnings("ignore::gnorm.homogeneity.HomogeneityWarning")
@parametrize_with_checks(CHECKED)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [CHECKED[0], CHECKED[6]])
def test_feature_names(estimator):
    check_dataframe_column_names_consistency("name", estimator)


@settings(max_examples=20)
@given(s=st.floats(-5, 5), degree=st.floats(-1, 3))
def test_error_scales_exactly(s, degree):
    d = published_dilation
    model = HomogeneousRegressor(KNeighborsRegressor(3), dilation=d, degree=degree)
    target = d.norm(X) ** (degree - 3) * published(X)
    model.fit(X[:200], target[:200])
    near, far = X[200:], d.apply(X[200:], s)
    assert_allclose(model.predict(far), np.exp(degree * s) * model.predict(near), rtol=1e-7)
    error = ((model.predict(near) - target[200:]) ** 2).sum()
    error_far = ((model.predict(far) - np.exp(degree * s) * target[200:]) ** 2).sum()
    assert_allclose(error_far, np.exp(2 * degree * s) * error, rtol=1e-6)


def test_training_data_may_be_moved():
    d = published_dilation
    moves = rng.uniform(-3, 3, size=len(X))
    moved = d.apply(X, moves)
    here = HomogeneousRegressor(Ridge(), dilation=d, degree=3).fit(X, published(X))
    there = HomogeneousRegressor(Ridge(), dilation=d, degree=3).fit(moved, published(moved))
    assert_allclose(here.predict(X), there.predict(X), rtol=1e-8)


@pytest.mark.parametrize("dilation", [[1.0, 2.0], [[1.0, 1.0], [0.0, 1.5]]])
def test_vector_fields_scale_exactly(dilation):
    d = Dilation(dilation)
    field = np.column_stack([X[:, 1], -(X[:, 0] ** 3)])
    model = HomogeneousRegressor(
        RandomForestRegressor(5, random_state=0), dilation=d, degree=1, vector_field=True
    ).fit(X, field)
    moved = model.predict(d.apply(X, 1.5))
    assert_allclose(moved, d.apply(np.exp(1.5) * model.predict(X), 1.5), rtol=1e-9, atol=1e-9)
    if d.weights is not None:  # under which it is homogeneous
        assert np.abs(model.predict(X) - field).mean() < 0.05


def test_classes_are_constant_along_orbits():
    labels = np.where(X[:, 1] > X[:, 0] ** 2, "above", "below")
    d = published_dilation
    model = HomogeneousClassifier(SVC(), dilation=d).fit(X, labels)
    moved = d.apply(X, 4.0)
    assert_array_equal(model.predict(moved), model.predict(X))
    assert_allclose(model.decision_function(moved), model.decision_function(X), atol=1e-9)
    assert model.score(X, labels) > 0.97
    assert not hasattr(HomogeneousClassifier(SVC()), "predict_proba")
    probabilities = HomogeneousClassifier(GaussianNB(), dilation=d).fit(X, labels).predict_proba(X)
    assert_allclose(probabilities.sum(axis=1), 1.0)


def test_weightings_minimise_what_they_say():
    d, y = published_dilation, published(X) + 0.1 * rng.normal(size=len(X))
    for weighting, power in (("sphere", 0.0), ("space", 2 * 3.0)):
        model = HomogeneousRegressor(LinearRegression(), dilation=d, degree=3, weighting=weighting)
        model.fit(X, y)
        # the normal equations of sum_n |x_n|^power (y_n / |x_n|^3 - g(z_n))^2
        norm, sphere = d.norm(X), d.project(X)
        design = np.column_stack([np.ones(len(X)), sphere])
        residual = (y - model.predict(X)) / norm**3 * norm**power
        assert_allclose(design.T @ residual / np.abs(residual).sum(), 0.0, atol=1e-10)


def test_estimated_dilation():
    points = rng.uniform(0.1, 2, size=(500, 2))
    model = HomogeneousRegressor(KNeighborsRegressor(5), dilation="estimate", degree=2)
    model.fit(points, points[:, 0] + points[:, 1] ** 2)
    assert_allclose(model.dilation_.weights, [2.0, 1.0], atol=0.02)


def test_estimated_dilation_of_classes():
    # a class is a function of degree 0: of x_2 / x_1^2, found from the borders between classes
    points = rng.uniform(0.2, 2, size=(1500, 2))
    ratio = np.log(points[:, 1] / points[:, 0] ** 2)
    model = HomogeneousClassifier(RandomForestClassifier(5, random_state=0), dilation="estimate")
    model.fit(points, np.digitize(ratio, [-1.0, 0.0, 1.0]))
    assert_allclose(model.dilation_.weights[1] / model.dilation_.weights[0], 2.0, rtol=0.25)


def test_an_estimate_that_the_samples_do_not_support_warns():
    model = HomogeneousRegressor(Ridge(), dilation="estimate")
    with pytest.warns(HomogeneityWarning, match="expected at least 6 different samples"):
        model.fit(X[:5], X[:5, 0])
    with pytest.warns(HomogeneityWarning, match="values other than zero"):
        model.fit(X, np.zeros(len(X)))
    with pytest.warns(HomogeneityWarning, match="expected samples that point to a dilation, got"):
        model.fit(X, np.exp(3 * X[:, 0]) + X[:, 1])
    assert_array_equal(model.dilation_.weights, [1.0, 1.0])
    with pytest.warns(HomogeneityWarning, match=r"under one dilation only, got .* family"):
        model.set_params(degree=2.0).fit(X, X[:, 0] * X[:, 1])


def test_zero_vectors():
    with_zero = np.vstack([X, np.zeros((2, 2))])
    y = np.append(published(X), [0.0, 7.0])
    d = published_dilation
    model = HomogeneousRegressor(Ridge(), dilation=d, degree=3)
    assert_array_equal(model.fit(with_zero, y).predict(with_zero)[-2:], 0.0)
    assert_allclose(model.predict(X), model.fit(X, published(X)).predict(X))
    with pytest.raises(ValueError, match="expected a sample other than zero, got zeros only"):
        model.fit(np.zeros((3, 2)), [1.0, 2.0, 3.0])
    # of degree 0 it may have any value there
    flat = HomogeneousRegressor(DecisionTreeRegressor(), dilation=d, degree=0)
    assert_allclose(flat.fit(with_zero[:-1], np.append(X[:, 0], 5.0)).predict([[0, 0]]), 5.0)
    negative = HomogeneousRegressor(Ridge(), degree=-1.0).fit(with_zero, y)
    with pytest.raises(ValueError, match=r"expected samples other than zero, .* in row 1"):
        negative.predict([[1.0, 0.0], [0.0, 0.0]])
    classifier = HomogeneousClassifier(DecisionTreeClassifier())
    classifier.fit(with_zero, np.append(np.sign(X[:, 0]), [2, 2]))
    assert_array_equal(classifier.predict(np.zeros((1, 2))), [2])


def test_norms_whose_power_is_no_number_are_refused():
    model = HomogeneousRegressor(Ridge(), dilation=[0.01, 1.0], degree=2)
    with pytest.raises(ValueError, match=r"norm to the power of 2 is a number, got one of e\^"):
        model.fit(1e4 * X, X[:, 0])
    model.set_params(dilation=None).fit(X, X[:, 0])
    with pytest.raises(ValueError, match=r"is a number, got one of e\^"):
        model.predict([[1e200, 0.0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degree": np.nan}, "expected a finite number as degree, got nan"),
        ({"degree": "2"}, "expected a finite number as degree, got '2'"),
        ({"weighting": "far"}, "expected weighting as one of"),
        ({"vector_field": True, "weighting": "space"}, "expected weighting='sphere' for a vector"),
        ({"vector_field": True}, r"expected a vector field of shape \(400, 2\), got \(400,\)"),
        ({"dilation": "guess"}, "expected dilation='estimate', got 'guess'"),
        ({"dilation": [1.0, 2.0, 3.0]}, "expected a dilation of 2 features, .* one of 3"),
        ({"dilation": [1.0, -2.0]}, "expected a generator whose eigenvalues"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        HomogeneousRegressor(Ridge(), **options).fit(X, X[:, 0])


def test_weights_that_the_estimator_does_not_take():
    model = HomogeneousRegressor(KNeighborsRegressor())
    with pytest.raises(ValueError, match="whose fit takes sample_weight, got KNeighborsRegressor"):
        model.fit(X, X[:, 0], sample_weight=np.ones(len(X)))
    with pytest.raises(ValueError, match="expected 400 sample weights"):
        HomogeneousClassifier(SVC()).fit(X, X[:, 0] > 0, sample_weight=np.ones(3))
    assert HomogeneousClassifier(KNeighborsClassifier()).fit(X, X[:, 0] > 0).score(X, X[:, 0] > 0)
