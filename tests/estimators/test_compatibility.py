"""What was made with gnorm 0.1.0: names, pickles."""

import importlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from gnorm import estimators

# Classifiers fitted by gnorm 0.1.0 on numpy 1.23, with their inputs, labels and decision values.
PICKLE = Path(__file__).parents[1] / "data/estimators_0_1_0.pickle"


@pytest.fixture
def record():
    return pickle.loads(PICKLE.read_bytes())


def test_pickles_predict_as_they_did(record):
    assert len(record["fitted"]) == 7
    for k, model in enumerate(record["fitted"]):
        assert type(model).__module__.startswith("gnorm.estimators.")
        check_is_fitted(model)
        assert_allclose(model.decision_function(record["X"]), record["decision"][k], rtol=1e-12)
        assert_array_equal(model.predict(record["X"]), record["predictions"][k])
        assert_array_equal(model.context_intercepts_, record["intercepts"][k])
        assert not hasattr(model, "intercept_")


def test_pickles_can_be_fitted_and_pickled_again(record):
    for k, model in enumerate(record["fitted"]):
        for again in (clone(model), pickle.loads(pickle.dumps(model)), model):
            again.fit(record["X"], record["y"][k])
            assert_allclose(again.norm_.shape, model.norm_.shape)
        assert model.max_iter == 100  # the default of 0.1.0, which is a parameter like any other


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("gnorm.svm", ["FReLUSVC", "GLNNormSVC", "GatedL2SVC", "ShallowGLNSVC"]),
        ("gnorm.svm_cv", ["FReLUSVCCV", "GLNNormSVCCV"]),
    ],
)
def test_old_names_are_the_new_classes(module, names):
    old = importlib.import_module(module)
    assert sorted(old.__all__) == sorted(names)
    for name in names:
        assert getattr(old, name) is getattr(estimators, name)


@pytest.mark.parametrize("kind", [estimators.GLNNormClassifier, estimators.FReLUClassifier])
def test_classifiers_from_before_all_classes_could_be_one_problem(kind):
    X, y = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 3
    model = kind(2, loss="hinge", random_state=0).fit(X, y)
    expected = model.predict(X)
    del model.multi_class  # the state that was pickled then
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), expected)
    assert "multi_class='auto'" not in repr(again)
    assert_array_equal(clone(again).fit(X, y).predict(X), expected)


def test_a_state_without_intercepts_is_read_as_it_is():
    model = estimators.GLNNormSVC(2, random_state=0)
    again = pickle.loads(pickle.dumps(model))
    assert again.get_params() == model.get_params()
    X = np.random.default_rng(0).normal(size=(20, 2))
    assert again.fit(X, X[:, 0] > 0).score(X, X[:, 0] > 0) > 0.9
