"""Estimators under the norms of the catalogue."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from gnorm import (
    FReLUClassifierCV,
    FReLURegressor,
    FReLURegressorCV,
    FReLUSVC,
    FReLUSVCCV,
    GLNNormClassifier,
    GLNNormClassifierCV,
    GLNNormRegressorCV,
    GLNNormSVC,
    GLNNormSVCCV,
)
from gnorm.norms import LpGroups, MaxAbs


def digits(n_classes=3, n_samples=120):
    X, y = load_digits(n_class=n_classes, return_X_y=True)
    return X[:n_samples, ::4] / 16, y[:n_samples]


def test_classes_share_units_under_the_nuclear_norm():
    X, y = digits()
    classifier = GLNNormClassifier(n_units=3, norm="nuclear", random_state=0).fit(X, y)
    assert classifier.duality_gap_[0] <= 1e-4
    assert classifier.score(X, y) > 0.9
    matrices = classifier.zeta_.transpose(1, 2, 3, 0).reshape(3, -1, 3)
    values = np.linalg.svd(matrices, compute_uv=False)
    assert np.isclose(classifier.norm_[0], values.sum(), rtol=1e-9)
    group = GLNNormClassifier(n_units=3, random_state=0).fit(X, y)
    assert not np.allclose(group.zeta_, classifier.zeta_, rtol=1e-3)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_warm_start_under_a_norm_without_kernels_begins_anew(n_classes):
    X, y = digits(n_classes)
    loss = "squared_hinge" if n_classes == 2 else "multinomial"
    classifier = GLNNormClassifier(n_units=2, norm="l1", loss=loss, warm_start=True, random_state=0)
    cold = GLNNormClassifier(n_units=2, norm="l1", loss=loss, C=0.5, random_state=0).fit(X, y)
    again = classifier.fit(X, y).set_params(C=0.5).fit(X, y)
    np.testing.assert_array_equal(again.zeta_, cold.zeta_)


def test_grid_search_over_norms():
    X, y = digits(n_classes=2, n_samples=60)
    norms = [None, "max_abs", "l1", "l2", LpGroups(4)]
    classifier = GLNNormClassifier(n_units=2, loss="hinge", random_state=0)
    search = GridSearchCV(classifier, {"norm": norms}, cv=2).fit(X, y)
    assert len(set(map(str, search.cv_results_["param_norm"]))) == len(norms)
    assert np.all(search.cv_results_["mean_test_score"] > 0.9)


def test_regression_under_sign_descents_norm():
    X, y = digits()
    regressor = FReLURegressor(n_units=2, norm=MaxAbs(), C=10.0, random_state=0).fit(X, y)
    assert np.isclose(regressor.norm_[0], np.abs(regressor.zeta_).max())
    assert regressor.duality_gap_[0] <= 1e-4


@pytest.mark.parametrize("estimator", [GLNNormSVC, FReLUSVC])
def test_max_margin_classifiers_take_norms(estimator):
    X, y = digits(n_classes=2, n_samples=60)
    classifier = estimator(n_units=2, norm="max_abs", random_state=0).fit(X, y)
    assert np.isclose(classifier.norm_[0], np.abs(classifier.zeta_).max())
    assert classifier.duality_gap_[0] <= 1e-4
    with pytest.raises(ValueError, match="method='highs' takes"):
        estimator(n_units=2, norm="max_abs", method="interior-point").fit(X, y)


@pytest.mark.parametrize(
    "estimator",
    [
        FReLUClassifierCV,
        FReLURegressorCV,
        FReLUSVCCV,
        GLNNormClassifierCV,
        GLNNormRegressorCV,
        GLNNormSVCCV,
    ],
)
def test_cross_validation_along_the_path_of_another_norm(estimator):
    X, y = digits(n_classes=2, n_samples=40)
    if "Regressor" in estimator.__name__:
        y = X.sum(axis=1)
    options = {"n_units": 2, "norm": "l2", "cv": 2, "Cs": [0.01, 1.0], "random_state": 0}
    search = estimator(**options).fit(X, y)
    assert np.isclose(search.norm_[0], np.linalg.norm(search.zeta_))
    induced = estimator(**(options | {"norm": None})).fit(X, y)
    assert not np.isclose(search.norm_[0], induced.norm_[0], rtol=1e-2)


def test_the_path_of_a_polyhedral_norm():
    X, y = digits(n_classes=2, n_samples=40)
    search = GLNNormSVCCV(n_units=2, norm="max_abs", cv=2, Cs=3, random_state=0).fit(X, y)
    assert np.isclose(search.norm_[0], np.abs(search.zeta_).max())
    assert search.scores_.shape == (2, 3)
    single = GLNNormSVC(n_units=2, norm="max_abs", C=search.C_, random_state=0).fit(X, y)
    assert np.isclose(single.norm_[0], search.norm_[0], rtol=1e-3)


def test_classes_share_units_along_the_path():
    X, y = digits(n_samples=60)
    search = GLNNormClassifierCV(n_units=2, norm="nuclear", cv=2, Cs=[0.1, 1.0], random_state=0)
    search.fit(X, y)
    values = np.linalg.svd(search.zeta_.transpose(1, 2, 3, 0).reshape(2, -1, 3), compute_uv=False)
    assert np.isclose(search.norm_[0], values.sum(), rtol=1e-9)
    assert search.duality_gap_[0] <= 1e-4


@pytest.mark.parametrize("norm", ["l3", "deep_linear", 2])
def test_unknown_norms_are_refused(norm):
    X, y = digits()
    with pytest.raises(ValueError, match=r"norm must be None, one of|not convex and has no solver"):
        GLNNormClassifier(n_units=2, norm=norm).fit(X, y)
