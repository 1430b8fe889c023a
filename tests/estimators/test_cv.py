"""Choosing C along the path, starting from the last solution, and the classes in parallel."""

import pickle

import joblib
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import (
    ConvergenceWarning,
    NotFittedError,
    UnsetMetadataPassedError,
)
from sklearn.metrics import get_scorer, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneGroupOut,
    PredefinedSplit,
    StratifiedKFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from gnorm.estimators import (
    FReLUSVC,
    FReLUSVCCV,
    GatedL2SVC,
    GLNNormSVC,
    GLNNormSVCCV,
    ShallowGLNSVC,
    data,
)
from gnorm.gates import FixedGates, HyperplaneGates
from gnorm.solvers import NotSeparableError
from gnorm.solvers.interior.follow import CentralPath

KINDS = [GLNNormSVCCV, FReLUSVCCV]
WITHOUT_CV = {GLNNormSVCCV: GLNNormSVC, FReLUSVCCV: FReLUSVC}

each_kind = pytest.mark.parametrize("kind", KINDS)
each_estimator = pytest.mark.parametrize("kind", [GLNNormSVC, FReLUSVC, GatedL2SVC, ShallowGLNSVC])
must_converge = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module", autouse=True)
def one_blas_thread():
    with threadpool_limits(1, user_api="blas"):
        yield


def labelled(n_samples, n_features, n_classes=2, seed=0):
    """Signed data whose classes, of about equal size, are not linear in the inputs."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    score = np.abs(X[:, 0]) + X[:, 1] + 0.5 * rng.normal(size=n_samples)
    thresholds = np.quantile(score, np.arange(1, n_classes) / n_classes)
    return X, np.searchsorted(thresholds, score)


# ---------------------------------------------------------------------------------- choosing C


@must_converge
@each_kind
@pytest.mark.parametrize("scoring", [None, "roc_auc"])
def test_scores_and_choice_are_those_of_a_grid_search(kind, scoring):
    X, y = labelled(90, 4)
    Cs = [1e-3, 0.03, 1.0, 30.0]
    model = kind(n_units=6, Cs=Cs, scoring=scoring, random_state=0, tol=1e-7).fit(X, y)
    search = GridSearchCV(
        WITHOUT_CV[kind](n_units=6, random_state=0, tol=1e-7), {"C": Cs}, scoring=scoring
    ).fit(X, y)
    expected = [[search.cv_results_[f"split{k}_test_score"][i] for i in range(4)] for k in range(5)]
    assert_allclose(model.scores_, expected, atol=1e-12)
    assert search.best_params_["C"] == model.C_
    assert_array_equal(model.Cs_, Cs)
    best = search.best_estimator_
    assert_allclose(model.decision_function(X), best.decision_function(X), atol=1e-2)
    assert_allclose(model.norm_, best.norm_, rtol=1e-4)


@must_converge
@pytest.mark.parametrize("scoring", [None, "balanced_accuracy", "neg_mean_squared_error"])
def test_one_C_for_all_classes_by_the_score_of_them_together(scoring):
    X, y = labelled(120, 4, n_classes=3)
    if scoring != "neg_mean_squared_error":
        y = np.array(["low", "mid", "top"])[y]
    Cs = np.geomspace(1e-3, 10, 5)
    options = {"random_state": 0, "tol": 1e-7}
    model = GLNNormSVCCV(6, Cs=Cs, cv=4, scoring=scoring, **options).fit(X, y)
    search = GridSearchCV(GLNNormSVC(6, **options), {"C": Cs}, cv=4, scoring=scoring)
    search.fit(X, y)
    results = search.cv_results_
    expected = [[results[f"split{k}_test_score"][i] for i in range(5)] for k in range(4)]
    assert_allclose(model.scores_, expected, atol=1e-12)
    assert type(model.C_) is float
    assert model.C_ == search.best_params_["C"] == Cs[np.argmax(model.scores_.mean(axis=0))]
    assert_allclose(model.norm_, search.best_estimator_.norm_, rtol=1e-3)


def test_every_split_prints_a_line(capfd):
    X, y = labelled(60, 4, n_classes=3)
    model = GLNNormSVCCV(3, Cs=[0.01, 0.1], cv=2, random_state=0, verbose=1, refit=False)
    best = model.fit(X, y).scores_[1].max()
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[-1].startswith(f"split 2 of 2: best score {best:.4g} at C = 0.")


@pytest.mark.parametrize("kind", [GLNNormSVC, FReLUSVC, GatedL2SVC, ShallowGLNSVC, *KINDS])
def test_memory_limit_is_that_of_the_engine(kind):
    X, y = labelled(500, 4)
    with pytest.raises(MemoryError, match=r"expected a memory_limit of at least .* got 1\.0e"):
        kind(3, memory_limit=1e6).fit(X, y)


def test_a_score_that_is_no_number_is_not_the_best():
    X, y = labelled(60, 4)

    def scorer(model, X, y):
        return np.nan if np.abs(model.zeta_).sum() > 5 else 0.9

    model = GLNNormSVCCV(4, Cs=[0.001, 1.0, 10.0], cv=2, random_state=0, scoring=scorer)
    with pytest.warns(UserWarning, match="4 of 6 scores are NaN"):
        model.fit(X, y)
    assert model.C_ == 0.001


@pytest.mark.parametrize("which", ["all", "one split of each"])
def test_without_a_C_that_has_a_score_there_is_no_choice(which):
    X, y = labelled(60, 4)
    seen = []

    def scorer(model, X, y):
        seen.append(1)
        return np.nan if which == "all" or len(seen) <= 2 else 0.5

    model = GLNNormSVCCV(4, Cs=[0.01, 1.0], cv=2, random_state=0).fit(X, y)
    before = model.C_
    model.set_params(scoring=scorer)
    with (
        pytest.warns(UserWarning, match="scores are NaN"),
        pytest.raises(ValueError, match="got NaN on some split for every C"),
    ):
        model.fit(X, y)
    assert before == model.C_


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_routing_reaches_the_workers(backend):
    X, y = labelled(60, 4)
    weight = np.random.default_rng(0).uniform(size=60)
    model = GLNNormSVCCV(4, Cs=[0.01, 1.0], cv=3, random_state=0, refit=False)
    expected = clone(model).fit(X, y, weight)
    unweighted = clone(model).fit(X, y)
    with sklearn.config_context(enable_metadata_routing=True):
        model.set_params(scoring=get_scorer("accuracy").set_score_request(sample_weight=True))
        with joblib.parallel_config(backend, n_jobs=2):
            model.fit(X, y, weight)
    assert_allclose(model.scores_, expected.scores_)
    assert np.abs(model.scores_ - unweighted.scores_).max() > 1e-3


def test_splits_from_a_generator():
    X, y = labelled(60, 4)
    cv = StratifiedKFold(3)
    options = {"Cs": [0.01, 1.0], "random_state": 0}
    expected = GLNNormSVCCV(4, cv=cv, **options).fit(X, y)
    model = GLNNormSVCCV(4, cv=cv.split(X, y), n_jobs=2, **options).fit(X, y)
    assert_array_equal(model.scores_, expected.scores_)
    with pytest.raises(ValueError, match="expected at least one split, got none"):
        GLNNormSVCCV(4, cv=[], **options).fit(X, y)


def test_class_weights_are_no_weights_of_the_score():
    X, y = labelled(90, 4)
    y[(y == 1) & (np.random.default_rng(0).random(90) < 0.7)] = 0
    scoring = make_scorer(lambda truth, predicted: np.mean(truth == predicted))
    cv, Cs = StratifiedKFold(3), [1e-3, 0.1, 10.0]
    options = {"class_weight": "balanced", "random_state": 0}
    model = GLNNormSVCCV(4, Cs=Cs, cv=cv, scoring=scoring, **options).fit(X, y)
    search = GridSearchCV(GLNNormSVC(4, **options), {"C": Cs}, cv=cv, scoring=scoring).fit(X, y)
    assert_allclose(model.scores_.mean(axis=0), search.cv_results_["mean_test_score"])
    with pytest.raises(TypeError, match="sample_weight"):  # which the scorer does not take
        model.fit(X, y, np.ones(90))
    with sklearn.config_context(enable_metadata_routing=True):
        scoring.set_score_request(sample_weight=False)
        weighted = model.fit(X, y, np.ones(90))
    assert_allclose(weighted.scores_.mean(axis=0), search.cv_results_["mean_test_score"])


def test_a_class_without_weight_is_absent():
    X, y = labelled(90, 4, n_classes=3)
    options = {"class_weight": {0: 0.0}, "random_state": 0}
    model = GLNNormSVCCV(4, Cs=[0.01, 1.0], cv=3, **options).fit(X, y)
    assert model.classes_.tolist() == GLNNormSVC(4, **options).fit(X, y).classes_.tolist() == [1, 2]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_unfinished_splits_warn_once_where_fit_is_called(n_jobs):
    X, y = labelled(60, 12)
    model = GLNNormSVCCV(4, Cs=[0.1, 1.0], cv=2, max_iter=2, refit=False, n_jobs=n_jobs)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X, y)
    (warning,) = caught
    assert "4 of 4 solves of the cross-validation stopped above tol" in str(warning.message)
    assert warning.filename == __file__


@each_estimator
def test_a_fit_that_fails_changes_nothing(kind):
    X, y = labelled(60, 4)
    model = kind(3, random_state=0).fit(X, y)
    before = model.decision_function(X)
    noise = np.vstack([X, X])
    with pytest.raises(NotSeparableError):
        model.set_params(C=np.inf).fit(noise, np.repeat(["a", "b"], 60))
    assert model.classes_.tolist() == [0, 1]
    assert_array_equal(model.decision_function(X), before)


@each_kind
def test_without_refit_the_fit_before_is_forgotten(kind):
    X, y = labelled(60, 4)
    model = kind(3, Cs=[0.1, 1.0], cv=2, random_state=0).fit(X, y)
    model.set_params(refit=False).fit(X, 2 * y)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_interrupted_cross_validation_makes_no_choice(monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    X, y = labelled(60, 4)
    monkeypatch.setattr(CentralPath, "_advance", interrupted)
    model = GLNNormSVCCV(3, Cs=[0.01, 0.1], cv=2, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert not hasattr(model, "C_")


@each_kind
def test_default_grid_begins_where_the_path_does(kind):
    X, y = labelled(60, 4)
    model = kind(6, Cs=6, cv=2, random_state=0).fit(X, y)
    assert_allclose(model.Cs_, model.Cs_[0] * np.geomspace(1, 1e4, 6))
    gates = model.gates_
    for factor, is_saturated in [(0.99, True), (1.05, False)]:
        bound = factor * model.Cs_[0]
        at = WITHOUT_CV[kind](gates=gates, C=bound, tol=1e-9).fit(X, y)
        coef = np.abs(at.dual_coef_[0])
        is_full = len(coef) == 60 and coef.min() > bound * (1 - 1e-4)
        assert bool(is_full) is is_saturated


def test_predefined_splits_are_about_all_samples():
    X, y = labelled(60, 4)
    weight = np.ones(60)
    weight[:7] = 0
    folds = np.arange(60) % 3
    model = GLNNormSVCCV(4, Cs=[0.1, 1.0], cv=PredefinedSplit(folds), random_state=0)
    by_weight = clone(model).fit(X, y, weight)
    absent = model.set_params(cv=PredefinedSplit(folds[7:])).fit(X[7:], y[7:])
    assert_allclose(by_weight.scores_, absent.scores_)
    with pytest.raises(ValueError, match="samples of positive weight, got an empty part"):
        model.set_params(cv=PredefinedSplit(folds)).fit(X, y, (folds > 0).astype(float))


@each_kind
@pytest.mark.parametrize("class_weight", [None, {0: 1.0, 1: 3.0}, "balanced"])
def test_weights_are_copies_that_stay_together(kind, class_weight):
    X, y = labelled(48, 4)
    groups, weight = np.arange(48) % 3, np.random.default_rng(1).integers(0, 4, 48)
    copies = np.repeat(np.arange(48), weight)
    model = kind(5, Cs=[0.01, 0.1, 1.0], class_weight=class_weight, random_state=0, tol=1e-8)
    cv = list(LeaveOneGroupOut().split(X, y, groups))
    by_weight = clone(model).set_params(cv=cv).fit(X, y, weight)
    cv = list(LeaveOneGroupOut().split(X[copies], y[copies], groups[copies]))
    by_copies = clone(model).set_params(cv=cv).fit(X[copies], y[copies])
    if class_weight is None:  # scores of copies are unweighted, and count the same
        assert_allclose(by_weight.scores_, by_copies.scores_)
    assert by_weight.C_ == by_copies.C_
    assert_allclose(by_weight.decision_function(X), by_copies.decision_function(X), atol=1e-3)


class WeightSpy:
    """A metric that keeps the weights it is called with."""

    def __init__(self):
        self.seen = []

    def __call__(self, y_true, y_pred, sample_weight=None):
        assert set(y_true) == {0, 1}
        self.seen.append(sample_weight)
        return 0.5


def spied_weights(model, X, y, weight, **request):
    """What a metric sees of the weights, those of all splits together."""
    spy = WeightSpy()
    scorer = make_scorer(spy)
    if request:
        scorer.set_score_request(**request)
    model.set_params(scoring=scorer).fit(X, y, weight)
    assert [w is None for w in spy.seen] == [spy.seen[0] is None] * 2
    return None if spy.seen[0] is None else np.sort(np.concatenate(spy.seen))


def test_weights_go_to_the_scorer():
    X, y = labelled(60, 4)
    weight = np.random.default_rng(0).uniform(size=60)
    model = GLNNormSVCCV(4, Cs=[0.1], cv=2, refit=False)
    assert spied_weights(model, X, y, None) is None
    assert_allclose(spied_weights(model, X, y, weight), np.sort(weight))
    assert_allclose(spied_weights(model, X, y, weight.tolist()), np.sort(weight))
    absent = np.where(np.arange(60) < 7, 0.0, weight)
    assert_allclose(spied_weights(model, X, y, absent), np.sort(weight[7:]))

    def takes_none(model, X, y):
        return 0.5

    model.set_params(scoring=takes_none).fit(X, y)
    with pytest.raises(TypeError, match="sample_weight"):
        model.fit(X, y, weight)


def test_weights_go_to_the_scorer_that_requests_them():
    X, y = labelled(60, 4)
    weight = np.random.default_rng(0).uniform(size=60)
    model = GLNNormSVCCV(4, Cs=[0.1], cv=2, refit=False)
    with sklearn.config_context(enable_metadata_routing=True):
        assert_allclose(spied_weights(model, X, y, weight, sample_weight=True), np.sort(weight))
        assert spied_weights(model, X, y, weight, sample_weight=False) is None
        assert spied_weights(model, X, y, None, sample_weight=True) is None
        if sklearn.__version__.startswith("1.6."):  # where scorers ask for nothing unless told
            assert spied_weights(model, X, y, weight) is None
        else:
            with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
                spied_weights(model, X, y, weight)
        # a function cannot request anything
        model.set_params(scoring=lambda model, X, y: 0.5).fit(X, y, weight)


def test_groups_go_to_the_splitter_that_requests_them():
    X, y = labelled(60, 4)
    groups, weight = np.arange(60) % 3, np.ones(60)
    weight[:7] = 0
    model = GLNNormSVCCV(4, Cs=[0.1, 1.0], random_state=0, refit=False)
    cv = list(LeaveOneGroupOut().split(X, y, groups))
    expected = clone(model).set_params(cv=cv).fit(X, y, weight)
    with pytest.raises(TypeError, match=r"metadata routing is not enabled.*got \['groups'\]"):
        model.set_params(cv=LeaveOneGroupOut()).fit(X, y, groups=groups)
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = get_scorer("accuracy").set_score_request(sample_weight=True)
        model.set_params(cv=LeaveOneGroupOut(), scoring=scorer)
        assert_allclose(model.fit(X, y, weight, groups=groups).scores_, expected.scores_)
        with pytest.raises(TypeError, match="unexpected"):
            model.fit(X, y, shapes=groups)
        with pytest.raises(TypeError, match="groups"):  # an int splits without groups
            model.set_params(cv=3).fit(X, y, groups=groups)
        # and the estimator requests weights as any other does
        inner = GLNNormSVCCV(4, Cs=[0.1], cv=2, scoring=scorer).set_fit_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), inner)
        assert_allclose(pipeline.fit(X, y, sample_weight=weight)[-1].scores_.shape, (2, 1))


def test_without_refit_there_is_a_choice_only():
    X, y = labelled(60, 4)
    model = GLNNormSVCCV(4, Cs=3, cv=2, refit=False).fit(X, y)
    assert model.C_ in model.Cs_
    assert not hasattr(model, "zeta_")


@each_kind
def test_hard_margins_are_chosen_or_refused(kind):
    X, y = labelled(40, 30)
    model = kind(6, Cs=[0.01, np.inf], cv=2, random_state=0).fit(X, y)
    assert model.scores_.shape == (2, 2)
    X, y = labelled(40, 2)
    with pytest.raises(NotSeparableError) as info:
        kind(1, Cs=[0.01, np.inf], cv=2, random_state=0).fit(X, y)
    assert info.value.certificate.shape == (40,)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Cs", 0, "Cs == 0, must be >= 1"),
        ("Cs", [0.0], "expected Cs > 0, got 0.0"),
        ("Cs", [], "not empty"),
        ("tol", 0, "tol == 0, must be > 0"),
        ("scoring", "wit", "wit"),
        ("max_iter", 0, "max_iter == 0, must be >= 1"),
        ("cv", [([0, 1, 2, 3], [4, 5])], "all classes in the training part of every split"),
    ],
)
def test_bad_parameters(name, value, message):
    X, y = labelled(20, 3)
    order = np.argsort(y, kind="stable")
    with pytest.raises(ValueError, match=message):
        GLNNormSVCCV(4, **{name: value}).fit(X[order], y[order])


# --------------------------------------------------------------------------------- warm starts


@must_converge
@each_estimator
@pytest.mark.parametrize("n_classes", [2, 3])
def test_warm_start_is_the_cold_start(kind, n_classes):
    X, y = labelled(80, 20, n_classes)
    n_units = 2 if kind is ShallowGLNSVC else 6
    model = kind(n_units, random_state=0, tol=1e-8, warm_start=True)
    for params, rows in [
        ({"C": 0.1}, slice(None)),
        ({"C": 0.3}, slice(None)),
        ({"C": 1000.0}, slice(None)),
        ({"C": 0.3}, slice(5, None)),  # other samples, fewer
        ({"C": 0.3, "random_state": 1}, slice(5, None)),  # other gates
        ({"C": 0.3, "n_units": n_units - 1}, slice(5, None)),
    ]:
        model.set_params(**params).fit(X[rows], y[rows])
        cold = clone(model).set_params(warm_start=False).fit(X[rows], y[rows])
        assert_allclose(model.norm_, cold.norm_, rtol=1e-4)
        assert_allclose(model.decision_function(X), cold.decision_function(X), atol=2e-3, rtol=1e-3)
        assert (model.duality_gap_ <= 1e-8).all()
    assert_array_equal(pickle.loads(pickle.dumps(model)).fit(X, y).classes_, model.classes_)


@must_converge
@pytest.mark.parametrize("kind", [GLNNormSVC, FReLUSVC])
def test_warm_start_saves_iterations(kind):
    X, y = load_digits(return_X_y=True)
    X, y = X[:600] / 16, y[:600] < 5
    model = kind(20, C=0.1, random_state=0, warm_start=True).fit(X, y)
    for C in [0.11, 0.1, 0.09]:
        cold = kind(20, C=C, random_state=0).fit(X, y)
        model.set_params(C=C).fit(X, y)
        assert model.n_iter_[0] <= 0.7 * cold.n_iter_[0]
        assert_allclose(model.norm_, cold.norm_, rtol=1e-2)


def test_warm_start_keeps_no_gates_of_another_fit():
    X, y = labelled(60, 4)
    cold = GLNNormSVC(6, C=0.1, random_state=0).fit(X, y)
    model = GLNNormSVC(6, C=0.1, random_state=0, warm_start=True).fit(X, y)
    other = np.vstack([X + 1, X + 1])
    with pytest.raises(NotSeparableError):
        model.set_params(C=np.inf).fit(other, np.repeat([0, 1], 60))
    assert_allclose(model.set_params(C=0.1).fit(X, y).norm_, cold.norm_, rtol=1e-3)
    model.set_params(warm_start=False).fit(X + 1, y)
    assert_allclose(model.set_params(warm_start=True).fit(X, y).norm_, cold.norm_, rtol=1e-3)


class FlippedGates(HyperplaneGates):
    """Gates of the same parameters that are others."""

    def transform(self, X):
        return super().transform(-X)


def test_warm_start_keeps_no_gates_of_another_kind():
    X, y = labelled(60, 4)
    model = GLNNormSVC(gates=HyperplaneGates(5, random_state=0), warm_start=True).fit(X, y)
    model.set_params(gates=FlippedGates(5, random_state=0)).fit(X, y)
    assert type(model.gates_) is FlippedGates


def test_warm_start_keeps_gates_of_the_same_parameters_and_data():
    X, y = labelled(60, 4)
    model = GLNNormSVC(5, warm_start=True).fit(X, y)  # drawn without a seed
    gates = model.gates_
    assert model.set_params(C=0.5).fit(X, y).gates_ is gates
    assert model.fit(X, 1 - y).gates_ is gates
    assert model.fit(X[1:], y[1:]).gates_ is not gates
    gates = model.gates_
    assert model.fit(X[1:], y[1:], np.full(59, 2.0)).gates_ is not gates
    gates = model.gates_
    assert model.set_params(cutoff="zero").fit(X[1:], y[1:], np.full(59, 2.0)).gates_ is not gates
    cold = GLNNormSVC(5).fit(X, y)
    assert cold.gates_ is not cold.fit(X, y).gates_


# ------------------------------------------------------------------------------------- parallel


def by_sign(X):
    return (X[:, :3] >= 0)[:, :, None] == np.array([False, True])


@must_converge
@each_estimator
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_classes_in_parallel_are_the_same(kind, backend):
    X, y = labelled(90, 4, n_classes=3)
    one = kind(gates=FixedGates(by_sign), C=0.3).fit(X, y)
    with joblib.parallel_config(backend, n_jobs=2):
        two = clone(one).fit(X, y)
    assert_array_equal(two.zeta_, one.zeta_)
    assert_array_equal(clone(one).set_params(n_jobs=2).fit(X, y).zeta_, one.zeta_)


def test_splits_in_parallel_are_the_same():
    X, y = labelled(90, 4, n_classes=3)
    one = GLNNormSVCCV(4, Cs=3, cv=3, random_state=0).fit(X, y)
    two = clone(one).set_params(n_jobs=2).fit(X, y)
    assert_array_equal(two.zeta_, one.zeta_)
    assert_array_equal(two.scores_, one.scores_)


def test_parallel_classes_leave_the_threads_of_the_linear_algebra_as_they_were():
    X, y = labelled(60, 4, n_classes=3)
    with threadpool_limits(2, user_api="blas"):
        before = [library["num_threads"] for library in threadpool_info()]
        GLNNormSVC(4, n_jobs=3).fit(X, y)
        assert [library["num_threads"] for library in threadpool_info()] == before


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_an_inseparable_class_is_named(n_jobs):
    X, y = labelled(60, 2, n_classes=3)
    with pytest.raises(NotSeparableError) as info:
        GLNNormSVC(1, C=np.inf, n_jobs=n_jobs, random_state=0).fit(X, y)
    assert "against the rest" in info.value.__notes__[0]
    assert info.value.certificate.shape == (60,)


def test_workers_get_what_they_need_and_no_more(monkeypatch):
    seen = []

    def in_parallel(n_jobs, tasks):
        seen.extend(len(pickle.dumps(task)) for task in tasks)
        return [task() for task in tasks]

    monkeypatch.setattr("gnorm.estimators.base.in_parallel", in_parallel)
    X, y = labelled(200, 100, n_classes=3)
    GLNNormSVC(4).fit(X, y)
    gram, inputs = 8 * 200**2, 8 * 200 * 101
    assert max(seen) < 1.2 * (gram + inputs)
    assert data.in_parallel is not in_parallel
