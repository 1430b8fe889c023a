"""What holds for every estimator: a new one in the room is found by its name."""

import ast
import inspect
import pickle
import re
import subprocess
import sys
import warnings
from threading import Thread

import joblib
import matplotlib
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.inspection import DecisionBoundaryDisplay, permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr, get_tags
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    parametrize_with_checks,
)
from threadpoolctl import threadpool_info, threadpool_limits

import gnorm
from gnorm import estimators
from gnorm.estimators.data import in_parallel

KINDS = [getattr(estimators, name) for name in estimators.__all__]
CLASSIFIERS = [kind for kind in KINDS if is_classifier(kind())]
REGRESSORS = [kind for kind in KINDS if is_regressor(kind())]
FAMILIES = ["GatedRegressor", "LossClassifier", "GatedClassifier"]  # a class is of the first
CLASSIFIER_LOSSES = ["log_loss", "squared_hinge", "hinge"]
REGRESSOR_LOSSES = ["squared_error", "absolute_error", "epsilon_insensitive", "huber", "quantile"]

each_kind = pytest.mark.parametrize("kind", KINDS)
each_classifier = pytest.mark.parametrize("kind", CLASSIFIERS)
each_regressor = pytest.mark.parametrize("kind", REGRESSORS)
must_converge = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")


def small(kind, **params):
    """An estimator with few units, and few solves where it chooses C."""
    names = inspect.signature(kind).parameters
    defaults = {"n_units": 3, "random_state": 0}
    if "cv" in names:
        defaults |= {"Cs": [0.01, 0.1], "cv": 2}
    return kind(**defaults | params)


def variants(kind):
    """The estimator as it is, and weighted."""
    # with five splits the checks have too few samples of a class
    default = small(kind) if "cv" in inspect.signature(kind).parameters else kind()
    yield default
    if is_classifier(default):
        yield clone(default).set_params(class_weight="balanced")


def losses_of(kind):
    """The estimator with each loss but the default one, if there is a choice."""
    if "loss" in inspect.signature(kind).parameters:
        losses = CLASSIFIER_LOSSES if is_classifier(kind()) else REGRESSOR_LOSSES
        for loss in losses[1:]:
            yield small(kind, loss=loss)
    if "multi_class" in inspect.signature(kind).parameters:
        yield small(kind, loss="hinge", multi_class="multinomial")
        yield small(kind, multi_class="multinomial", norm="nuclear")


def data_for(kind, n_samples=60, n_features=3, n_classes=2, seed=0):
    """Inputs and classes or targets that are not linear in them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    score = np.abs(X[:, 0]) + X[:, 1] + 0.3 * rng.normal(size=n_samples)
    if is_regressor(kind()):
        return X, score
    thresholds = np.quantile(score, np.arange(1, n_classes) / n_classes)
    return X, np.searchsorted(thresholds, score)


def values_of(model, X):
    return model.predict(X) if is_regressor(model) else model.decision_function(X)


def test_every_estimator_is_a_name_of_the_package():
    assert {*estimators.__all__} <= {*gnorm.__all__}
    assert len(CLASSIFIERS) + len(REGRESSORS) == len(KINDS) == 14


# ------------------------------------------------------------------------- life in scikit-learn


@parametrize_with_checks([estimator for kind in KINDS for estimator in variants(kind)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([estimator for kind in KINDS for estimator in losses_of(kind)])
def test_scikit_learn_checks_of_the_losses(estimator, check):
    check(estimator)


# The generator of checks leaves this one out.
@each_kind
def test_column_names(kind):
    check_dataframe_column_names_consistency(kind.__name__, small(kind))


@each_kind
def test_tags(kind):
    tags = get_tags(kind())
    assert tags.input_tags.sparse
    assert not tags.input_tags.allow_nan
    assert tags.target_tags.required
    assert tags.target_tags.multi_output == (kind in REGRESSORS)
    if kind in CLASSIFIERS:
        assert tags.classifier_tags.multi_class


@each_kind
def test_pipeline_and_cross_validation(kind):
    X, y = data_for(kind, 120)
    pipeline = make_pipeline(StandardScaler(), small(kind, n_units=10))
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.5
    pipeline.set_output(transform="pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = pipeline.set_params(**{f"{kind.__name__.lower()}__tol": 1e-8}).fit(frame, y)[-1]
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    plain = clone(pipeline).set_output(transform="default").fit(X, y)
    assert_allclose(values_of(pipeline, frame), values_of(plain, X), atol=1e-4)


@each_kind
def test_search_in_parallel(kind):
    X, y = data_for(kind)
    grid = {"n_units": [1, 2], "fit_intercept": [True, False]}
    search = GridSearchCV(small(kind), grid, cv=2, error_score="raise")
    serial, parallel = clone(search).fit(X, y), search.set_params(n_jobs=2).fit(X, y)
    scores = parallel.cv_results_["mean_test_score"]
    assert_allclose(scores, serial.cv_results_["mean_test_score"])
    assert len(set(scores)) > 1


@each_kind
def test_data_frames(kind):
    X, y = data_for(kind)
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1].astype(np.float32), "c": X[:, 2].round()})
    frame["c"] = frame["c"].astype(int)
    targets = pd.Series(y, index=frame.index[::-1])
    model = small(kind).fit(frame, targets)
    bare = small(kind).fit(frame.to_numpy(dtype=float), y)
    assert_array_equal(values_of(model, frame), values_of(bare, frame.to_numpy()))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(frame.to_numpy())


@each_kind
@pytest.mark.parametrize("storage", [sparse.csr_array, sparse.csr_matrix, sparse.csc_array])
def test_sparse_is_dense(kind, storage):
    X, y = data_for(kind)
    X[np.random.default_rng(1).uniform(size=X.shape) < 0.3] = 0
    dense, stored = small(kind, tol=1e-8).fit(X, y), small(kind, tol=1e-8).fit(storage(X), y)
    assert_allclose(values_of(stored, storage(X)), values_of(dense, X), atol=1e-6)
    assert_allclose(stored.norm_, dense.norm_, rtol=1e-6)


@each_classifier
@pytest.mark.parametrize("n_classes", [2, 3])
def test_calibration(kind, n_classes):
    X, y = data_for(kind, 90, n_classes=n_classes)
    model = CalibratedClassifierCV(small(kind), cv=3).fit(X, y)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert model.score(X, y) > 0.5


@each_kind
def test_permutation_importance(kind):
    X, y = data_for(kind, 120)
    importance = permutation_importance(small(kind).fit(X, y), X, y, random_state=0)
    first, second, third = importance.importances_mean
    assert max(first, second) > third


@pytest.mark.parametrize("kind", KINDS)
def test_decision_boundary(kind):
    matplotlib.use("Agg")
    X, y = data_for(kind, n_features=2)
    display = DecisionBoundaryDisplay.from_estimator(small(kind).fit(X, y), X, grid_resolution=5)
    assert np.isfinite(display.response).all()
    matplotlib.pyplot.close("all")


@each_kind
def test_clone_and_pickle(kind):
    X, y = data_for(kind)
    model = small(kind).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(values_of(again, X), values_of(model, X))
    copy = clone(model)
    with pytest.raises(NotFittedError):
        copy.predict(X)
    assert_array_equal(values_of(copy.fit(X, y), X), values_of(model, X))


@each_kind
def test_nothing_is_printed_and_a_line_at_verbose(kind, capfd):
    X, y = data_for(kind)
    small(kind).fit(X, y)
    assert capfd.readouterr() == ("", "")
    small(kind, verbose=1).fit(X, y)
    assert capfd.readouterr().out


@each_kind
def test_a_fit_that_fails_changes_nothing(kind):
    X, y = data_for(kind)
    model = small(kind).fit(X, y)
    before = values_of(model, X)
    with pytest.raises(ValueError, match="'mean'"):
        model.set_params(cutoff="mean").fit(X + 1, y)
    assert_array_equal(values_of(model, X), before)


# ----------------------------------------------------------------------------------- processors


@each_kind
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_jobs_change_nothing(kind, backend):
    X, y = data_for(kind, n_classes=3)
    if kind in REGRESSORS:
        y = np.column_stack([y, X @ [1.0, 2.0, 3.0]])
    one = small(kind).fit(X, y)
    with joblib.parallel_config(backend, n_jobs=2):
        two = clone(one).fit(X, y)
    assert_array_equal(two.zeta_, one.zeta_)
    assert_array_equal(clone(one).set_params(n_jobs=2).fit(X, y).zeta_, one.zeta_)


def test_fits_that_overlap_leave_the_threads_of_the_linear_algebra_as_they_were():
    def n_threads():
        return [library["num_threads"] for library in threadpool_info()]

    def work():
        for _ in range(5):
            in_parallel(2, [n_threads, n_threads])

    with threadpool_limits(2, user_api="blas"):
        before = n_threads()
        workers = [Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert n_threads() == before


def test_the_filters_of_warnings_stay_as_they_are():
    X, y = data_for(estimators.GLNNormSVC, n_classes=3)
    before = list(warnings.filters)
    small(estimators.GLNNormSVC, n_jobs=2).fit(X, y)
    assert warnings.filters == before


# -------------------------------------------------------------------------------- documentation


def entries(kind, section):
    """Texts of the entries of a section of the docstring, by name."""
    pattern = rf"^{section}\n-+\n(.*?)\n\n\w[\w ]*\n-+\n"
    text = re.search(pattern, inspect.getdoc(kind), re.S | re.M)
    return {
        match[1]: match[0] for match in re.finditer(r"^(\w+) : .*\n(?:    .*\n?)+", text[1], re.M)
    }


def family(kind):
    bases = [base.__name__ for base in kind.__mro__]
    return next(name for name in FAMILIES if name in bases)


@each_kind
def test_parameters_and_defaults_are_documented(kind):
    documented = {
        name: ast.literal_eval(re.search(r"default=(.+)$", text, re.M)[1])
        for name, text in entries(kind, "Parameters").items()
    }
    signature = inspect.signature(kind).parameters.values()
    assert documented == {parameter.name: parameter.default for parameter in signature}
    assert list(documented) == list(inspect.signature(kind).parameters)


@each_kind
@pytest.mark.parametrize("n_classes", [2, 3])
def test_attributes_are_documented(kind, n_classes):
    X, y = data_for(kind, 40, 2, n_classes)
    model = small(kind).set_params(segment=["a", "b"], features=["a", "b"])
    model.fit(pd.DataFrame(X, columns=["a", "b"]), y)
    documented = entries(kind, "Attributes")
    stored = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    assert {*documented} == stored | {"zeta_", "context_intercepts_"}
    sizes = {
        "n_problems": len(model.norm_),
        "n_targets": len(model.norm_),
        "n_outputs": len(model.zeta_),
        "n_support": len(model.support_),
        "n_features": model.zeta_.shape[-1],
        "n_units": model.zeta_.shape[1],
        "n_contexts": model.zeta_.shape[2],
        "n_classes": n_classes,
        "n_segment_columns": 2,
        "n_feature_columns": 2,
        "n_splits": 2,
        "n_Cs": 2,
    }
    for name, text in documented.items():
        shape = re.match(r"\w+ : ndarray of shape \(([\w, ]+?),?\)\n", text)
        if shape:
            expected = tuple(sizes[size] for size in shape[1].split(", "))
            assert getattr(model, name).shape == expected, name


def test_what_the_docstrings_share_is_the_same():
    """Every docstring stands in full; this keeps them from drifting apart."""
    by_family = {"C", "Cs", "scoring", "loss", "norm"}
    by_gates = {"n_units"}
    attributes_by_family = {"zeta_", "dual_coef_", "support_", "unit_norms_"}
    attributes_by_family |= {"context_intercepts_", "margin_", "norm_", "duality_gap_", "n_iter_"}
    texts = {}
    for kind in KINDS:
        for section, special in [("Parameters", by_family), ("Attributes", attributes_by_family)]:
            for name, text in entries(kind, section).items():
                key = (section, name)
                if name in special:
                    key += (family(kind),)
                if name in by_gates:
                    key += (kind.__name__[:3],)
                texts.setdefault(key, {}).setdefault(text, []).append(kind.__name__)
    assert len(texts) > 40
    assert {key: users for key, users in texts.items() if len(users) > 1} == {}


@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8),
    reason="scikit-learn shows the documentation of parameters from 1.8 on",
)
@each_kind
def test_html_shows_the_documentation(kind, monkeypatch):
    # it links each parameter to the pages of the package, and shows none without such a link
    monkeypatch.setattr(kind, "_doc_link_module", "gnorm", raising=False)
    monkeypatch.setattr(kind, "_doc_link_template", "https://x/{estimator_name}", raising=False)
    page = estimator_html_repr(kind())
    for name in kind().get_params():
        shown = re.search(rf"{name}: .*?<br><br>\s*(.*?)</span>", page, re.S)
        assert shown, f"{name} has no documentation"
        assert len(shown[1]) > 20


def test_without_docstrings():
    code = """
import numpy as np
import gnorm
X = np.random.default_rng(0).normal(size=(30, 2))
for name in gnorm.estimators.__all__:
    kind = getattr(gnorm, name)
    params = {"Cs": [0.1, 1.0], "cv": 2} if name.endswith("CV") else {}
    model = kind(n_units=2, random_state=0, **params).fit(X, (X[:, 0] > 0).astype(int))
    print(name, model.predict(X).shape, kind.__doc__ is None)
"""
    run = subprocess.run(
        [sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == [f"{kind.__name__} (30,) True" for kind in KINDS]
