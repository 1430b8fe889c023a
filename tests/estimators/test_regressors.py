"""Regressors: rivals of scikit-learn, several targets, certificates, choosing C."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVR

from gnorm import FReLURegressor, FReLURegressorCV, GLNNormRegressor, GLNNormRegressorCV
from gnorm.gated import accumulate
from gnorm.gates import FixedGates, HyperplaneGates
from gnorm.losses import (
    AbsoluteError,
    EpsilonInsensitive,
    Hinge,
    Huber,
    Multinomial,
    Quantile,
    SquaredError,
)
from gnorm.norms import unit_norms

KINDS = [GLNNormRegressor, FReLURegressor]
CV_KINDS = [GLNNormRegressorCV, FReLURegressorCV]
LOSSES = {
    "squared_error": SquaredError(),
    "absolute_error": AbsoluteError(),
    "epsilon_insensitive": EpsilonInsensitive(0.2),
    "huber": Huber(0.7),
    "quantile": Quantile(0.8),
}
PARAMS = {"epsilon": 0.2, "delta": 0.7, "quantile": 0.8}

each_kind = pytest.mark.parametrize("kind", KINDS)
each_loss = pytest.mark.parametrize("loss", LOSSES)
must_converge = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")


def measured(n_samples, n_features, n_targets=None, seed=0):
    """Targets that are not linear in the inputs; None is one of a single axis."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    y = np.abs(X) @ rng.normal(size=(n_features, n_targets or 1)) + X[:, [1]]
    y += 0.3 * rng.normal(size=y.shape)
    return X, y[:, 0] if n_targets is None else y


def always_open(X):
    return np.ones((X.shape[0], 1, 1), dtype=bool)


def as_columns(values):
    return values.reshape(len(values), -1)


# ----------------------------------------------------------------------- scikit-learn's own models


@must_converge
@each_kind
@pytest.mark.parametrize("n_targets", [None, 1, 3])
@pytest.mark.parametrize("C", [0.01, 1.0, 50.0])
def test_one_unit_is_ridge(kind, n_targets, C):
    X, y = measured(60, 4, n_targets)
    weight = np.random.default_rng(1).uniform(0.1, 2.0, 60)
    gates = FixedGates(always_open)
    model = kind(gates=gates, C=C, fit_intercept=False, tol=1e-11).fit(X, y, weight)
    rival = Ridge(1 / C, fit_intercept=False).fit(X, y, weight)
    assert_allclose(model.zeta_[:, 0, 0], np.atleast_2d(rival.coef_), atol=2e-5)
    assert_allclose(as_columns(model.predict(X)), as_columns(rival.predict(X)), atol=1e-4)
    assert_array_equal(model.context_intercepts_, 0)
    with_constant = kind(gates=gates, C=C, intercept_scaling=3.0, tol=1e-11).fit(X, y, weight)
    rival.fit(np.column_stack([X, np.full(60, 3.0)]), y, weight)
    coef = np.atleast_2d(rival.coef_)
    assert_allclose(with_constant.context_intercepts_[:, 0, 0], 3 * coef[:, -1], atol=1e-4)


@must_converge
@each_kind
@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_one_unit_is_a_linear_support_vector_regression(kind, epsilon):
    X, y = measured(60, 4)
    model = kind(
        gates=FixedGates(always_open), loss="epsilon_insensitive", epsilon=epsilon, tol=1e-10
    ).fit(X, y)
    rival = LinearSVR(epsilon=epsilon, tol=1e-9, max_iter=10**6, random_state=0).fit(X, y)
    assert_allclose(model.predict(X), rival.predict(X), atol=1e-3)


@must_converge
@each_kind
def test_absolute_error_is_a_limit_of_others(kind):
    X, y = measured(60, 4)
    options = {"n_units": 4, "random_state": 0, "tol": 1e-9}
    model = kind(loss="absolute_error", **options).fit(X, y)
    for params in [
        {"loss": "epsilon_insensitive", "epsilon": 0.0},
        {"loss": "quantile", "quantile": 0.5, "C": 2.0},
        {"loss": "huber", "delta": 1e-7, "C": 1e7},
    ]:
        other = kind(**options | params).fit(X, y)
        assert_allclose(other.predict(X), model.predict(X), atol=1e-3)
    squares = kind(loss="huber", delta=1e3, **options).fit(X, y)
    assert_allclose(squares.predict(X), kind(**options).fit(X, y).predict(X), atol=1e-4)


@must_converge
@each_kind
@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_share_of_samples_below_the_quantile(kind, quantile):
    X, y = measured(200, 3)
    model = kind(3, loss="quantile", quantile=quantile, C=10.0, random_state=0).fit(X, y)
    assert np.mean(y <= model.predict(X)) == pytest.approx(quantile, abs=0.1)


# ------------------------------------------------------------------------------------ certificates


@must_converge
@each_kind
@each_loss
@pytest.mark.parametrize("tol", [1e-2, 1e-7])
def test_certificate_from_public_attributes(kind, loss, tol):
    X, y = measured(40, 4, 2)
    weight = np.random.default_rng(1).uniform(0.1, 2.0, 40)
    model = kind(5, loss=loss, C=0.7, tol=tol, random_state=0, **PARAMS).fit(X, y, weight)
    C, ell = 0.7 * weight, LOSSES[loss]
    dual_coef = np.zeros((2, 40))
    dual_coef[:, model.support_] = model.dual_coef_
    gates, inputs = model.gates_.transform(X), np.column_stack([X, np.ones(40)])
    for k, (target, f, b) in enumerate(zip(y.T, model.predict(X).T, dual_coef, strict=True)):
        primal = 0.5 * model.norm_[k] ** 2 + ell.value(target, f, C).sum()
        dual_norm = unit_norms(accumulate(inputs, gates, b)).max()
        dual = -ell.conjugate(target, b, C).sum() - 0.5 * dual_norm**2
        assert_allclose((primal - dual) / primal, model.duality_gap_[k], rtol=1e-4, atol=1e-11)
        assert -1e-12 <= model.duality_gap_[k] <= tol
        assert_allclose(model.unit_norms_[k], unit_norms(model.zeta_[k]), rtol=1e-9)
        assert_allclose(model.norm_[k], model.unit_norms_[k].sum(), rtol=1e-9)


@each_kind
@each_loss
@pytest.mark.parametrize("n_targets", [None, 2])
@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
def test_weights_are_copies(kind, loss, n_targets, storage):
    X, y = measured(40, 5, n_targets)
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 4, len(y))
    copies = rng.permutation(np.repeat(np.arange(len(y)), weights))
    model = kind(5, loss=loss, random_state=0, **PARAMS)
    by_weight = clone(model).fit(storage(X), y, sample_weight=weights)
    by_copies = clone(model).fit(storage(X[copies]), y[copies])
    new, _ = measured(50, 5, seed=2)
    assert_allclose(by_weight.predict(new), by_copies.predict(new), rtol=1e-7, atol=1e-7)
    assert_allclose(by_weight.norm_, by_copies.norm_, rtol=1e-7)
    assert set(by_weight.support_) <= set(np.flatnonzero(weights))


# --------------------------------------------------------------------------------- several targets


@must_converge
@each_kind
@each_loss
def test_targets_are_problems_of_their_own(kind, loss):
    X, y = measured(50, 4, 3)
    model = kind(5, loss=loss, random_state=0, tol=1e-8, **PARAMS).fit(X, y)
    assert model.predict(X).shape == (50, 3)
    for k in range(3):
        alone = clone(model).fit(X, y[:, k])
        assert_allclose(model.predict(X)[:, k], alone.predict(X), atol=1e-3)
        assert_allclose(model.norm_[k], alone.norm_[0], rtol=1e-4)


@each_kind
def test_predictions_have_the_shape_of_the_targets(kind):
    X, y = measured(50, 4)
    model = kind(3, random_state=0)
    flat = clone(model).fit(X, y).predict(X)
    assert flat.shape == (50,)
    assert_array_equal(clone(model).fit(X, y[:, None]).predict(X), flat[:, None])
    assert_array_equal(clone(model).fit(X, list(y)).predict(X), flat)


def test_gates_are_fitted_once(monkeypatch):
    calls = []
    fit = HyperplaneGates.fit

    def counted(*args, **kwargs):
        calls.append(1)
        return fit(*args, **kwargs)

    monkeypatch.setattr(HyperplaneGates, "fit", counted)
    GLNNormRegressor(3, random_state=0).fit(*measured(50, 4, 3))
    assert len(calls) == 1


# -------------------------------------------------------------------------------------- parameters


@each_kind
@each_loss
def test_a_loss_by_its_name_or_itself(kind, loss):
    X, y = measured(50, 4)
    model = kind(5, loss=loss, random_state=0, **PARAMS)
    expected = clone(model).fit(X, y).predict(X)
    itself = kind(5, loss=LOSSES[loss], random_state=0)  # whatever the parameters of the others
    assert_array_equal(itself.fit(X, y).predict(X), expected)


@each_kind
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"loss": "hinge"}, "expected a loss of targets, .* got 'hinge'"),
        ({"loss": Hinge()}, r"expected a loss of targets, .* got Hinge\(\)"),
        ({"loss": Multinomial()}, r"expected a loss of targets, .* got Multinomial"),
        ({"loss": "squares"}, "expected a Loss or one of .* got 'squares'"),
        ({"C": np.inf}, "C == inf, must be > 0 and finite"),
        ({"loss": "quantile", "quantile": 1.0}, "expected 0 < quantile < 1, got 1.0"),
        ({"loss": "huber", "delta": 0.0}, "expected a finite delta > 0, got 0.0"),
        ({"loss": "epsilon_insensitive", "epsilon": -1.0}, r"epsilon.*-1\.0"),
    ],
    ids=str,
)
def test_bad_parameters(kind, params, message):
    with pytest.raises(ValueError, match=message):
        kind(3, **params).fit(*measured(20, 3))


@each_kind
def test_bad_targets(kind):
    X, y = measured(20, 3)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"Input y contains (NaN|infinity)"):
            kind(3).fit(X, np.where(np.arange(20) == 3, bad, y))
    with pytest.raises(ValueError, match="expected real y, got dtype"):
        kind(3).fit(X, ["a"] * 20)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        kind(3).fit(X, y[:-1])
    with pytest.raises(ValueError, match="expected a positive sample_weight, got zero weight"):
        kind(3).fit(X, y, np.zeros(20))


@each_kind
@each_loss
def test_constant_targets(kind, loss):
    X, _ = measured(30, 3)
    model = kind(3, loss=loss, random_state=0, **PARAMS)
    assert_allclose(model.fit(X, np.zeros(30)).predict(X), 0, atol=1e-6)
    assert_allclose(model.fit(X, np.full(30, 5.0)).predict(X).mean(), 5, atol=1)


@must_converge
@each_kind
@each_loss
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_of_the_targets(kind, loss, scale):
    X, y = measured(50, 4)
    params = {"epsilon": 0.2 * scale, "delta": 0.7 * scale, "quantile": 0.8}
    # a loss that is linear in the errors weighs as the norm does only times their scale
    is_square = loss in ("squared_error", "huber")
    model = kind(4, loss=loss, random_state=0, tol=1e-8, **PARAMS).fit(X, y)
    params["C"] = 1.0 if is_square else scale
    scaled = kind(4, loss=loss, random_state=0, tol=1e-8, **params).fit(X, scale * y)
    assert_allclose(scaled.predict(X) / scale, model.predict(X), atol=1e-3)


@must_converge
@each_kind
@each_loss
def test_warm_start_is_the_cold_start(kind, loss):
    X, y = measured(60, 6, 2)
    model = kind(5, loss=loss, random_state=0, tol=1e-8, warm_start=True, **PARAMS)
    for params in [{"C": 0.1}, {"C": 0.13}, {"C": 0.03}, {"C": 30.0}, {"loss": "squared_error"}]:
        for targets in (y, y + 0.01):
            model.set_params(**params).fit(X, targets)
            cold = clone(model).set_params(warm_start=False).fit(X, targets)
            assert_allclose(model.norm_, cold.norm_, rtol=1e-3)
            assert_allclose(model.predict(X), cold.predict(X), atol=5e-3, rtol=5e-3)


@each_kind
def test_targets_far_from_zero_are_centred_by_a_transformer(kind):
    X, y = measured(80, 4)
    model = TransformedTargetRegressor(kind(5, random_state=0), transformer=StandardScaler())
    expected = clone(model).fit(X, y).predict(X)
    assert_allclose(model.fit(X, y + 1e4).predict(X), expected + 1e4, atol=1e-4)


# ------------------------------------------------------------------------------------ choosing C


@must_converge
@pytest.mark.parametrize("kind", CV_KINDS)
@pytest.mark.parametrize("scoring", [None, "neg_mean_absolute_error"])
@pytest.mark.parametrize("n_targets", [None, 2])
def test_scores_and_choice_are_those_of_a_grid_search(kind, scoring, n_targets):
    X, y = measured(60, 4, n_targets)
    Cs = [1e-3, 0.03, 1.0]
    options = {"random_state": 0, "tol": 1e-8}
    model = kind(4, Cs=Cs, cv=3, scoring=scoring, **options).fit(X, y)
    plain = KINDS[CV_KINDS.index(kind)](4, **options)
    search = GridSearchCV(plain, {"C": Cs}, cv=3, scoring=scoring).fit(X, y)
    results = search.cv_results_
    expected = [[results[f"split{k}_test_score"][i] for i in range(3)] for k in range(3)]
    assert_allclose(model.scores_, expected, atol=1e-4)
    assert search.best_params_["C"] == model.C_
    assert_allclose(model.predict(X), search.predict(X), atol=1e-3)


@pytest.mark.parametrize("kind", CV_KINDS)
@each_loss
def test_default_grid(kind, loss):
    X, y = measured(60, 4)
    model = kind(4, loss=loss, Cs=4, cv=2, random_state=0, **PARAMS).fit(X, y)
    assert_allclose(model.Cs_, model.Cs_[0] * np.geomspace(1, 1e4, 4))
    assert model.C_ in model.Cs_


@pytest.mark.parametrize("kind", CV_KINDS)
@pytest.mark.parametrize("n_targets", [None, 2])
def test_weights_are_copies_that_stay_together(kind, n_targets):
    X, y = measured(48, 4, n_targets)
    groups, weight = np.arange(48) % 3, np.random.default_rng(1).integers(0, 4, 48)
    copies = np.repeat(np.arange(48), weight)
    model = kind(5, Cs=[0.01, 0.1, 1.0], random_state=0, tol=1e-8)
    cv = list(LeaveOneGroupOut().split(X, y, groups))
    by_weight = clone(model).set_params(cv=cv).fit(X, y, weight)
    cv = list(LeaveOneGroupOut().split(X[copies], y[copies], groups[copies]))
    by_copies = clone(model).set_params(cv=cv).fit(X[copies], y[copies])
    assert_allclose(by_weight.scores_, by_copies.scores_)
    assert by_weight.C_ == by_copies.C_


@pytest.mark.parametrize("kind", CV_KINDS)
def test_targets_of_zero_need_Cs(kind):
    X, y = measured(30, 3)
    with pytest.raises(ValueError, match="no scale for C; pass the Cs"):
        kind(3, cv=2).fit(X, 0 * y)
    assert_allclose(kind(3, cv=2, Cs=[1.0]).fit(X, 0 * y).predict(X), 0, atol=1e-6)


def test_diabetes_beside_ridge():
    X, y = load_diabetes(return_X_y=True)
    ours = make_pipeline(StandardScaler(), GLNNormRegressor(50, C=0.01, random_state=0))
    theirs = make_pipeline(StandardScaler(), Ridge(100.0))
    ours = TransformedTargetRegressor(ours, transformer=StandardScaler(with_std=False))
    scores = [cross_val_score(model, X, y, cv=5).mean() for model in (ours, theirs)]
    assert scores[0] > scores[1] - 0.05
