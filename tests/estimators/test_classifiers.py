"""Classifiers with a choice of loss: rivals of scikit-learn, probabilities, certificates."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.svm import LinearSVC

from gnorm import (
    FReLUClassifier,
    FReLUClassifierCV,
    GLNNormClassifier,
    GLNNormClassifierCV,
    GLNNormSVC,
    NotSeparableError,
)
from gnorm.gated import accumulate
from gnorm.gates import FixedGates
from gnorm.losses import CrammerSinger, Hinge, LogLoss, Multinomial, SquaredError, SquaredHinge
from gnorm.norms import unit_norms

KINDS = [GLNNormClassifier, FReLUClassifier]
CV_KINDS = [GLNNormClassifierCV, FReLUClassifierCV]
LOSSES = {"log_loss": LogLoss(), "squared_hinge": SquaredHinge(), "hinge": Hinge()}

each_kind = pytest.mark.parametrize("kind", KINDS)
each_loss = pytest.mark.parametrize("loss", LOSSES)
must_converge = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")


def labelled(n_samples, n_features, n_classes=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    score = np.abs(X[:, 0]) + X[:, 1] + 0.5 * rng.normal(size=n_samples)
    thresholds = np.quantile(score, np.arange(1, n_classes) / n_classes)
    return X, np.searchsorted(thresholds, score)


def always_open(X):
    return np.ones((X.shape[0], 1, 1), dtype=bool)


def with_constant(model, X):
    return np.column_stack([X, np.full(len(X), model.intercept_scaling)])


def outputs_of(model, X):
    values = model.decision_function(X)
    return values.reshape(len(values), -1)


# ----------------------------------------------------------------------- scikit-learn's own models


@must_converge
@each_kind
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", [0.05, 1.0, 20.0])
def test_one_unit_is_logistic_regression(kind, n_classes, C):
    X, y = labelled(60, 4, n_classes)
    weight = np.random.default_rng(1).uniform(0.1, 2.0, 60)
    model = kind(gates=FixedGates(always_open), C=C, fit_intercept=False, tol=1e-11)
    model.fit(X, y, weight)
    rival = LogisticRegression(C=C, fit_intercept=False, tol=1e-12, max_iter=10**4)
    rival.fit(X, y, weight)
    assert_allclose(model.zeta_[:, 0, 0], rival.coef_, atol=2e-5)
    assert_allclose(model.predict_proba(X), rival.predict_proba(X), atol=1e-5)
    assert_allclose(model.predict_log_proba(X), rival.predict_log_proba(X), atol=1e-4)
    assert_array_equal(model.predict(X), rival.predict(X))


@must_converge
@each_kind
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", ["squared_hinge", "hinge"])
def test_one_unit_is_a_linear_svm(kind, n_classes, loss):
    X, y = labelled(60, 4, n_classes)
    model = kind(gates=FixedGates(always_open), loss=loss, intercept_scaling=2.0, tol=1e-11)
    rival = LinearSVC(
        loss=loss, intercept_scaling=2.0, tol=1e-9, max_iter=10**6, random_state=0
    ).fit(X, y)
    model.fit(X, y)
    assert_allclose(outputs_of(model, X), outputs_of(rival, X), atol=1e-4)


@each_kind
def test_hinge_is_the_max_margin_classifier(kind):
    X, y = labelled(60, 4, n_classes=3)
    gates = {"gates": FixedGates(lambda X: X[:, :2, None] > np.array([-np.inf, 0.3]))}
    model = kind(loss="hinge", **gates).fit(X, y)
    assert_array_equal(model.zeta_, GLNNormSVC(**gates).fit(X, y).zeta_)


# ------------------------------------------------------------------------------------ certificates


@must_converge
@each_kind
@each_loss
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("tol", [1e-2, 1e-7])
def test_certificate_from_public_attributes(kind, loss, n_classes, tol):
    X, y = labelled(40, 4, n_classes)
    weight = np.random.default_rng(1).uniform(0.1, 2.0, 40)
    model = kind(5, loss=loss, C=0.7, tol=tol, random_state=0).fit(X, y, weight)
    C = 0.7 * weight
    dual_coef = np.zeros((len(model.dual_coef_), 40))
    dual_coef[:, model.support_] = model.dual_coef_
    gates, inputs = model.gates_.transform(X), with_constant(model, X)
    sums = np.array([accumulate(inputs, gates, b) for b in dual_coef])
    outputs = outputs_of(model, X)
    if loss == "log_loss" and n_classes == 3:
        problems = [(Multinomial(3), y, outputs, dual_coef.T, np.moveaxis(sums, 0, -1))]
    else:
        signs = np.where(y == model.classes_[-len(dual_coef) :, None], 1.0, -1.0)
        problems = zip([LOSSES[loss]] * len(signs), signs, outputs.T, dual_coef, sums, strict=True)
    gaps = []
    for k, (ell, target, f, b, V) in enumerate(problems):
        dual_norm = np.sqrt((V**2).reshape(len(V), -1).sum(axis=1)).max()
        primal = 0.5 * model.norm_[k] ** 2 + ell.value(target, f, C).sum()
        dual = -ell.conjugate(target, b, C).sum() - 0.5 * dual_norm**2
        gaps.append((primal - dual) / primal)
    assert_allclose(gaps, model.duality_gap_, rtol=1e-4, atol=1e-11)
    assert (model.duality_gap_ <= tol).all()
    assert (model.duality_gap_ >= -1e-12).all()
    zeta = model.zeta_ if len(model.norm_) > 1 else np.concatenate(model.zeta_, axis=-1)[None]
    assert_allclose(model.unit_norms_, [unit_norms(z) for z in zeta], rtol=1e-9)


@each_kind
@each_loss
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_weights_are_copies(kind, loss, n_classes, storage, class_weight):
    X, y = labelled(40, 5, n_classes)
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 4, len(y))
    copies = rng.permutation(np.repeat(np.arange(len(y)), weights))
    model = kind(5, loss=loss, class_weight=class_weight, random_state=0)
    by_weight = clone(model).fit(storage(X), y, sample_weight=weights)
    by_copies = clone(model).fit(storage(X[copies]), y[copies])
    new, _ = labelled(50, 5, seed=2)
    assert_allclose(outputs_of(by_weight, new), outputs_of(by_copies, new), rtol=1e-7, atol=1e-7)
    assert_allclose(by_weight.norm_, by_copies.norm_, rtol=1e-7)


# ----------------------------------------------------------------------------------- probabilities


@each_kind
@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities(kind, n_classes):
    X, y = labelled(120, 4, n_classes)
    names = np.array(["low", "mid", "top"])[y]
    model = kind(5, random_state=0).fit(X, names)
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (120, n_classes)
    assert_allclose(probabilities.sum(axis=1), 1)
    assert_allclose(np.log(probabilities), model.predict_log_proba(X))
    assert_array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X))
    prior = np.full((120, n_classes), 1 / n_classes)
    assert log_loss(names, probabilities) < 0.8 * log_loss(names, prior)
    values = outputs_of(model, X)
    if n_classes == 2:
        assert_allclose(np.log(probabilities[:, 1] / probabilities[:, 0]), values[:, 0])


@each_kind
def test_logarithms_of_tiny_probabilities_are_finite(kind):
    X, y = labelled(60, 4)
    model = kind(5, C=100.0, random_state=0).fit(X, y)
    assert np.isfinite(model.predict_log_proba(1e6 * X)).all()


@pytest.mark.parametrize("kind", [*KINDS, *CV_KINDS])
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", Hinge(), SquaredHinge(), "no such"])
def test_other_losses_have_no_probabilities(kind, loss):
    model = kind(loss=loss)
    assert not hasattr(model, "predict_proba")
    assert not hasattr(model, "predict_log_proba")
    with pytest.raises(AttributeError, match="predict_proba") as info:
        model.predict_proba([[0.0]])
    assert "expected loss='log_loss'" in str(info.value.__cause__)
    assert hasattr(kind(loss=LogLoss()), "predict_proba")
    assert hasattr(kind(), "predict_proba")


@each_kind
@each_loss
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_loss_by_its_name_or_itself(kind, loss, n_classes):
    X, y = labelled(60, 4, n_classes)
    model = kind(5, loss=loss, random_state=0)
    expected = outputs_of(clone(model).fit(X, y), X)
    assert_array_equal(outputs_of(model.set_params(loss=LOSSES[loss]).fit(X, y), X), expected)
    if loss == "log_loss":
        assert_array_equal(outputs_of(model.set_params(loss=Multinomial()).fit(X, y), X), expected)


@each_kind
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"loss": "squared_error"}, "expected a loss of labels, .* got 'squared_error'"),
        ({"loss": SquaredError()}, "expected a loss of labels, .* got SquaredError"),
        ({"loss": "logistic"}, "expected a Loss or one of .* got 'logistic'"),
        ({"loss": None}, "expected a Loss or one of .* got None"),
        ({"C": np.inf}, "C == inf, must be > 0 and finite"),
        ({"multi_class": "ova"}, r"must be one of \['auto', 'ovr', 'multinomial'\], got 'ova'"),
        (
            {"loss": "squared_hinge", "multi_class": "multinomial"},
            "'log_loss' or 'hinge' for multi_class='multinomial', got 'squared_hinge'",
        ),
        (
            {"loss": "crammer_singer", "multi_class": "ovr"},
            "expected a loss of one output such as 'hinge' for multi_class='ovr', got "
            "'crammer_singer'",
        ),
        (
            {"loss": Multinomial(), "multi_class": "ovr"},
            r"such as 'log_loss' for multi_class='ovr', got Multinomial\(n_classes=None\)",
        ),
        (
            {"loss": CrammerSinger(5)},
            "expected a loss of 2 classes, as many as there are, or of n_classes=None, got "
            r"CrammerSinger\(n_classes=5\)",
        ),
    ],
    ids=str,
)
def test_bad_parameters(kind, params, message):
    with pytest.raises(ValueError, match=message):
        kind(3, **params).fit(*labelled(20, 3))


@each_kind
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_hard_margin_of_the_hinges(kind, loss):
    X, y = labelled(24, 10)
    model = kind(5, loss=loss, C=np.inf, random_state=0).fit(X, y)
    assert_allclose(model.margin_ * model.norm_, 1)
    with pytest.raises(NotSeparableError):
        model.fit(np.vstack([X, X]), np.repeat([0, 1], 24))


@must_converge
@each_kind
@each_loss
@pytest.mark.parametrize("n_classes", [2, 3])
def test_warm_start_is_the_cold_start(kind, loss, n_classes):
    X, y = labelled(60, 6, n_classes)
    model = kind(5, loss=loss, random_state=0, tol=1e-8, warm_start=True)
    changes = [{"C": 0.1}, {"C": 0.13}, {"C": 0.03}, {"C": 30.0}, {"loss": "squared_hinge"}]
    for params in changes:
        for labels in (y, np.where(np.arange(60) < 5, y[::-1], y)):
            model.set_params(**params).fit(X, labels)
            cold = clone(model).set_params(warm_start=False).fit(X, labels)
            assert_allclose(model.norm_, cold.norm_, rtol=1e-3)
            assert_allclose(outputs_of(model, X), outputs_of(cold, X), atol=5e-3, rtol=5e-3)


def test_warm_start_of_all_classes_saves_iterations():
    X, y = load_digits(n_class=5, return_X_y=True)
    X, y = X[:150] / 16, y[:150]
    model = GLNNormClassifier(6, random_state=0, tol=1e-6, warm_start=True).fit(X, y)
    cold = clone(model).set_params(warm_start=False, C=0.8).fit(X, y)
    model.set_params(C=0.8).fit(X, y)
    assert model.n_iter_[0] < cold.n_iter_[0]
    assert_allclose(model.predict_proba(X), cold.predict_proba(X), atol=1e-3)


# ---------------------------------------------------------------------------- classes at once


@must_converge
@each_kind
def test_one_unit_is_the_linear_svm_of_crammer_and_singer(kind):
    X, y = labelled(60, 4, 3)
    model = kind(gates=FixedGates(always_open), loss="hinge", multi_class="multinomial", tol=1e-9)
    rival = LinearSVC(multi_class="crammer_singer", tol=1e-5, max_iter=10**6, random_state=0)
    with warnings.catch_warnings():  # of iterations, which scikit-learn 1.6 does not count here
        warnings.simplefilter("ignore", ConvergenceWarning)
        rival.fit(X, y)
    assert_allclose(outputs_of(model.fit(X, y), X), outputs_of(rival, X), atol=1e-4)
    assert model.norm_.shape == (1,)
    values = outputs_of(model, X)
    rest = np.where(np.arange(3) == y[:, None], -np.inf, values).max(axis=1)
    least = np.min(values[np.arange(60), y] - rest)
    assert_allclose(model.margin_ * model.norm_, least, rtol=1e-6)


@each_kind
def test_classes_that_share_units(kind):
    X, y = labelled(60, 4, 3)
    names = np.array(["low", "mid", "top"])[y]
    for loss, multi_class in [
        ("log_loss", "multinomial"),
        ("hinge", "multinomial"),
        ("one_versus_rest", "auto"),
    ]:
        model = kind(3, loss=loss, multi_class=multi_class, norm="nuclear", random_state=0, C=10.0)
        model.fit(X, names)
        assert model.duality_gap_.shape == (1,)
        assert model.duality_gap_[0] <= 1e-4
        assert model.score(X, names) > 0.8
        matrices = np.moveaxis(model.zeta_, 0, -1).reshape(model.zeta_.shape[1], -1, 3)
        values = np.linalg.svd(matrices, compute_uv=False)
        assert_allclose(model.norm_[0], values.sum(), rtol=1e-6)


@each_kind
def test_each_class_against_the_rest_by_the_log_loss(kind):
    X, y = labelled(60, 4, 3)
    model = kind(5, multi_class="ovr", random_state=0, tol=1e-8).fit(X, y)
    assert model.norm_.shape == (3,)
    for k in range(3):
        alone = kind(5, random_state=0, tol=1e-8).fit(X, y == k)
        assert_allclose(model.zeta_[k], alone.zeta_[0], atol=1e-5)
    each = 1 / (1 + np.exp(-outputs_of(model, X)))
    assert_allclose(model.predict_proba(X), each / each.sum(axis=1, keepdims=True), rtol=1e-10)


@each_kind
@pytest.mark.parametrize("loss", ["hinge", "one_versus_rest"])
def test_hard_margin_of_all_classes(kind, loss):
    X = np.random.default_rng(0).normal(size=(30, 4))
    y = np.argmax(X @ np.random.default_rng(0).normal(size=(4, 3)), axis=1)
    names = np.array(["low", "mid", "top"])[y]
    options = {"loss": loss, "multi_class": "multinomial", "random_state": 0, "tol": 1e-3}
    for norm in (None, "nuclear"):
        model = kind(3, norm=norm, C=np.inf, **options).fit(X, names)
        assert model.duality_gap_[0] <= 1e-3
        assert model.score(X, names) == 1.0
        assert_allclose(model.margin_ * model.norm_, 1.0, rtol=1e-2)
        assert model.margin_ * model.norm_ >= 1.0 - 1e-12
        twice, labels = np.vstack([X[:1], X]), np.append(names[:1], names)
        labels[0] = "mid" if names[0] == "low" else "low"
        weight = np.append(1.0, np.r_[1.0, np.zeros(3), np.ones(26)])
        with pytest.raises(NotSeparableError, match="coincide in every unit") as caught:
            model.fit(twice, labels, weight)
        lengths = np.abs(caught.value.certificate).sum(axis=1)
        assert lengths.shape == (31,)
        assert lengths[:2].sum() >= 0.99 * lengths.sum()


@each_kind
@pytest.mark.parametrize("loss", ["log_loss", "hinge", "crammer_singer", "one_versus_rest"])
def test_two_classes_have_one_output_however(kind, loss):
    X, y = labelled(40, 4)
    model = kind(4, loss=loss, multi_class="multinomial", random_state=0).fit(X, y)
    plain = "log_loss" if loss == "log_loss" else "hinge"
    assert_array_equal(model.zeta_, kind(4, loss=plain, random_state=0).fit(X, y).zeta_)


@each_kind
def test_a_loss_that_knows_the_number_of_classes(kind):
    X, y = labelled(60, 4, 3)
    model = kind(3, loss="crammer_singer", random_state=0).fit(X, y)
    known = kind(3, loss=CrammerSinger(3), random_state=0).fit(X, y)
    assert_array_equal(known.zeta_, model.zeta_)
    for n_classes in (2, 5):
        with pytest.raises(ValueError, match=rf"of 3 classes, .* got .*n_classes={n_classes}"):
            kind(3, loss=CrammerSinger(n_classes), random_state=0).fit(X, y)


@pytest.mark.parametrize("kind", CV_KINDS)
def test_C_of_classes_at_once(kind):
    X, y = labelled(60, 4, 3)
    options = {"loss": "hinge", "multi_class": "multinomial", "random_state": 0}
    model = kind(3, Cs=3, cv=2, **options).fit(X, y)
    assert model.duality_gap_[0] <= 1e-4
    assert model.score(X, y) > 0.7


# ------------------------------------------------------------------------------------ choosing C


@must_converge
@pytest.mark.parametrize("kind", CV_KINDS)
@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_and_choice_are_those_of_a_grid_search(kind, scoring, n_classes):
    X, y = labelled(60, 4, n_classes)
    Cs = [1e-3, 0.03, 1.0]
    options = {"random_state": 0, "tol": 1e-8}
    model = kind(4, Cs=Cs, cv=3, scoring=scoring, **options).fit(X, y)
    plain = KINDS[CV_KINDS.index(kind)](4, **options)
    search = GridSearchCV(plain, {"C": Cs}, cv=3, scoring=scoring).fit(X, y)
    results = search.cv_results_
    expected = [[results[f"split{k}_test_score"][i] for i in range(3)] for k in range(3)]
    assert_allclose(model.scores_, expected, atol=1e-4)
    assert search.best_params_["C"] == model.C_
    assert_array_equal(model.Cs_, Cs)
    assert_allclose(model.predict_proba(X), search.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("kind", CV_KINDS)
@each_loss
def test_default_grid(kind, loss):
    X, y = labelled(60, 4)
    model = kind(4, loss=loss, Cs=4, cv=2, random_state=0).fit(X, y)
    assert_allclose(model.Cs_, model.Cs_[0] * np.geomspace(1, 1e4, 4))
    assert model.C_ in model.Cs_
    assert model.score(X, y) > 0.6


def test_log_loss_has_no_hard_margin():
    with pytest.raises(ValueError, match=r"expected finite Cs for the loss LogLoss.*, got inf"):
        GLNNormClassifierCV(3, Cs=[1.0, np.inf]).fit(*labelled(20, 3))


def test_ten_digits_as_accurate_as_logistic_regression():
    X, y = load_digits(return_X_y=True)
    X_train, y_train, X_test, y_test = X[:600] / 16, y[:600], X[600:] / 16, y[600:]
    model = GLNNormClassifier(10, C=100.0, random_state=0).fit(X_train, y_train)
    rival = LogisticRegression(C=100.0, max_iter=1000).fit(X_train, y_train)
    ours, theirs = (log_loss(y_test, fitted.predict_proba(X_test)) for fitted in (model, rival))
    assert ours < theirs
    assert model.unit_norms_.shape == (1, 10)
    assert model.zeta_.shape == (10, 10, 2, 65)
