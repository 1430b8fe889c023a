"""How many units, how surely, and against chance."""

import pickle
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linprog
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from gnorm import (
    CategoryGates,
    FReLURegressor,
    GLNNormClassifier,
    GLNNormRegressor,
    GLNNormRegressorCV,
    GLNNormSVC,
    HyperplaneGates,
    JoinedGates,
    OpenGates,
    SelectedGates,
    TreeGates,
)
from gnorm.norms import GLN
from gnorm.selection import (
    StabilitySelection,
    UnitSelectionCV,
    null,
    permutation_null,
    stability,
    stability_selection,
    unit_path,
)
from gnorm.selection.units import entries, first_units, fitted, with_open_unit
from gnorm.solvers import Status

SEGMENT = [f"s{k}" for k in range(8)]
GATES = CategoryGates()
REGRESSOR = GLNNormRegressor(gates=GATES, segment=SEGMENT, C=0.05)
CLASSIFIER = GLNNormClassifier(gates=GATES, segment=SEGMENT, C=0.3)


def table(n_samples=160, changes=(3,), seed=0):
    """Columns s0 to s7, of which some change the slope of x, and y of the sum of the rules."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({name: rng.choice(list("abc"), n_samples) for name in SEGMENT})
    X["x"], X["z"] = rng.normal(size=(2, n_samples))
    target = X["x"] + X["z"] + 0.3 * rng.normal(size=n_samples)
    for k in changes:
        target += X[f"s{k}"].map({"a": -2.0, "b": 0.0, "c": 2.0}) * X["x"]
    return X, np.where(target > 0, "yes", "no"), target.to_numpy()


def selector(estimator, **options):
    return UnitSelectionCV(estimator, **({"cv": 3, "max_units": 2, "Cs": 3} | options))


# ------------------------------------------------------------------------------- selected gates


@parametrize_with_checks([SelectedGates(HyperplaneGates(3, random_state=0), [2, 0])])
def test_scikit_learn_checks_of_gates(estimator, check):
    check(estimator)


def test_selected_gates_are_those_units():
    X, _, _ = table()
    gates = CategoryGates(SEGMENT).fit(X)
    some = SelectedGates(FrozenEstimator(gates), [5, 0]).fit(X)
    assert_array_equal(some.transform(X), gates.transform(X)[:, [5, 0]])
    assert list(some.get_feature_names_out()) == ["s5", "s0"]
    assert some.is_shared_.all()
    assert [list(names) for names in some.context_names_] == [["a", "b", "c"]] * 2
    one = SelectedGates(JoinedGates([OpenGates(), CategoryGates(SEGMENT)]), [0]).fit(X)
    assert one.transform(X).shape == (len(X), 1, 1)


@pytest.mark.parametrize("units", [[], [8], [-1], [0, 0], [0.5], 1, [[0], [1, 2]]])
def test_units_are_checked(units):
    X, _, _ = table(20)
    with pytest.raises(ValueError, match="units must"):
        SelectedGates(CategoryGates(SEGMENT), units).fit(X)


# ------------------------------------------------------------------------------------- how many


@pytest.mark.slow
@parametrize_with_checks(
    [
        UnitSelectionCV(GLNNormRegressor(2, random_state=0), cv=2, Cs=2, max_units=1),
        UnitSelectionCV(GLNNormClassifier(2, random_state=0), cv=2, Cs=2, max_units=1),
        UnitSelectionCV(GLNNormRegressor(2, random_state=0), cv=2, relax=True, max_units=1),
        UnitSelectionCV(GLNNormClassifier(2, random_state=0), cv=2, relax=True, max_units=1),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "estimator",
    [REGRESSOR, CLASSIFIER, GLNNormSVC(gates=GATES, segment=SEGMENT)],
)
def test_the_unit_that_changes_the_rule_is_selected(estimator):
    X, y, target = table()
    found = selector(estimator).fit(X, y if is_classifier(estimator) else target)
    assert found.selected_names_[0] == "s3"
    assert 1 <= found.n_units_ == len(found.selected_units_) == len(found.selected_names_)
    assert list(found.estimator_.unit_names_) == ["shared", *found.selected_names_]
    assert found.scores_.shape == (3, 3, 3)
    assert found.C_ in found.Cs_
    assert list(found.feature_names_in_) == list(X.columns)
    assert is_classifier(found) == is_classifier(estimator)
    assert is_regressor(found) == is_regressor(estimator)
    again = pickle.loads(pickle.dumps(found))
    assert_array_equal(again.predict(X), found.predict(X))
    assert found.score(X, y if is_classifier(estimator) else target) > 0.9


def test_no_unit_is_a_choice():
    X, _, target = table(changes=())
    found = selector(REGRESSOR).fit(X, target)
    assert (found.n_units_, list(found.selected_units_)) == (0, [])
    assert found.score(X, target) > 0.9
    # one rule for all: that of a linear model
    ends = LinearRegression().fit(X[["x", "z"]], found.predict(X))
    assert_allclose(ends.predict(X[["x", "z"]]), found.predict(X), atol=1e-9)


def test_a_number_of_units():
    X, _, target = table(changes=(3, 6))
    found = selector(REGRESSOR, n_units_to_select=2).fit(X, target)
    assert sorted(found.selected_names_) == ["s3", "s6"]
    assert found.n_tried_.tolist() == [2]
    by_hand = clone(REGRESSOR).set_params(
        gates=JoinedGates([OpenGates(), CategoryGates(sorted(found.selected_names_))]),
        C=found.C_,
    )
    assert_allclose(by_hand.fit(X, target).predict(X), found.predict(X), atol=0.05)


def test_the_rule_of_standard_errors():
    scores = np.zeros((4, 3, 2))
    scores[:, 0] = 0.5
    scores[:, 1, 1] = [0.8, 0.9, 1.0, 0.9]
    scores[:, 2, 0] = [0.83, 0.93, 1.03, 0.93]
    one, none = selector(REGRESSOR), selector(REGRESSOR, n_standard_errors=0)
    for each in (one, none):
        each.n_tried_, each.Cs_ = np.arange(3), np.array([0.1, 1.0])
    assert one._chosen(scores) == (1, 1)  # within 0.041 of the best
    assert none._chosen(scores) == (2, 0)
    scores[0, 2, 0] = np.nan
    assert none._chosen(scores) == (1, 1)


@pytest.mark.slow
def test_less_shrinkage_than_of_all_units():
    """The trial that this is for: fewer units, and a smaller error."""
    X, _, target = table(300)
    later, _, truth = table(1000, seed=1)
    found = selector(REGRESSOR, Cs=6).fit(X, target)
    path = GLNNormRegressorCV(gates=GATES, segment=SEGMENT, cv=3, Cs=6).fit(X, target)
    assert found.n_units_ < len(path.selected_units_)
    assert found.score(later, truth) > path.score(later, truth)


def gated_columns(X, units):
    """Numbers and a constant, alone and times the indicator of each level of these units."""
    numbers = np.column_stack([X[["x", "z"]], np.ones(len(X))])
    on = [X[f"s{h}"].to_numpy() == level for h in units for level in "abc"]
    return np.hstack([numbers, *(numbers * each[:, None] for each in on)])


@pytest.mark.parametrize("weights", [None, np.random.default_rng(5).uniform(0.1, 2.0, 160)])
def test_without_shrinkage_a_regression_is_least_squares_on_the_selected_units(weights):
    X, _, target = table(changes=(3, 6))
    later, _, _ = table(50, seed=1)
    found = selector(REGRESSOR, n_units_to_select=2, relax=True)
    found.fit(X, target, sample_weight=weights)
    assert sorted(found.selected_names_) == ["s3", "s6"]
    assert found.scores_.shape == (3, 1, 1)
    assert_array_equal(found.Cs_, [found.C_])
    assert found.get_params()["relax"] is True
    assert clone(found).relax is True
    root = np.ones(len(X)) if weights is None else np.sqrt(weights)
    of_units = gated_columns(X, found.selected_units_) * root[:, None]
    coef = np.linalg.lstsq(of_units, root * target, rcond=None)[0]
    expected = gated_columns(later, found.selected_units_) @ coef
    assert_allclose(found.predict(later), expected, atol=1e-3 * expected.std())
    shrunk = selector(REGRESSOR, n_units_to_select=2, Cs=[1e-3]).fit(X, target)
    assert np.max(np.abs(shrunk.predict(later) - expected)) > 0.1 * expected.std()


def test_without_shrinkage_the_excess_of_the_loss_is_bounded():
    """By the norm of a predictor of least loss; for absolute errors, say, which lstsq is not of."""
    X, _, target = table()
    model = clone(REGRESSOR).set_params(loss="absolute_error", tol=1e-8)
    found = selector(model, n_units_to_select=1, relax=True).fit(X, target)
    Z = gated_columns(X, found.selected_units_)
    best = linprog(  # of the positive and the negative part of the errors
        np.append(np.zeros(Z.shape[1]), np.ones(2 * len(X))),
        A_eq=np.hstack([Z, np.eye(len(X)), -np.eye(len(X))]),
        b_eq=target,
        bounds=[(None, None)] * Z.shape[1] + [(0, None)] * (2 * len(X)),
    )
    excess = np.abs(target - found.predict(X)).sum() - best.fun
    bound = found.estimator_.norm_[0] ** 2 / (2 * found.C_)
    assert -1e-9 * best.fun <= excess <= 2 * bound + 1e-6 * best.fun


def test_without_shrinkage_the_margin_of_separated_classes_is_hard():
    X, _, _ = table(changes=())
    y = np.where(X["x"] + 0.5 * X["z"] > 0, 1, -1)
    model = GLNNormSVC(gates=GATES, segment=SEGMENT, tol=1e-8)
    found = selector(model, n_units_to_select=0, relax=True).fit(X, y)
    hard = clone(found.estimator_).set_params(C=np.inf).fit(X, y)
    values = hard.decision_function(X)
    assert_allclose(found.decision_function(X), values, atol=1e-4 * np.abs(values).max())


def test_no_fit_without_shrinkage_is_said():
    X, y, _ = table()
    y = np.where(np.arange(len(X)) % 4 == 0, "no", y)  # which no rule separates
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = selector(CLASSIFIER, n_units_to_select=1, relax=True, cv=2).fit(X, y)
    y = np.where(X["s3"] == "a", "no", y)  # a level in one class only
    with pytest.warns(ConvergenceWarning, match="separate classes, wholly or in part"):
        found.fit(X, y)
    assert list(found.selected_names_) == ["s3"]


@pytest.mark.parametrize("relax", [True, "cv"])
@pytest.mark.parametrize(
    ("Cs", "error", "sentence"),
    [
        ([1.0, -1.0], ValueError, "expected Cs > 0, got -1.0"),
        ([], ValueError, "expected Cs of shape"),
        ([1.0, np.inf], ValueError, "expected finite Cs for the loss .*, got inf"),
        (0, ValueError, "Cs == 0, must be >= 1"),
        ("many", TypeError, "Cs must be an instance of int"),
    ],
)
def test_Cs_are_checked_also_where_none_is_chosen(relax, Cs, error, sentence):
    X, _, target = table(20)
    with pytest.raises(error, match=sentence):
        selector(REGRESSOR, relax=relax, Cs=Cs).fit(X, target)


@pytest.mark.parametrize("relax", [False, "True", 1, None, "CV"])
def test_values_of_relax(relax):
    X, _, target = table(40)
    with pytest.raises(ValueError, match=r"relax must be True or 'cv', got .*; not to fit"):
        selector(REGRESSOR, relax=relax).fit(X, target)


def test_unknown_levels_follow_the_shared_rule():
    X, y, _ = table()
    X["s0"], X["s3"] = "same", X["s3"].where(X.index % 9 > 0, None)
    found = selector(CLASSIFIER).fit(X, y)
    effects = found.estimator_.effects_
    unknown = X.assign(**dict.fromkeys(SEGMENT, "new"))
    expected = X[["x", "z"]].to_numpy() @ effects.shared[0, :2] + effects.shared[0, 2]
    assert_allclose(found.decision_function(unknown), expected, atol=1e-9)
    assert_allclose(found.predict_proba(unknown).sum(axis=1), 1.0)
    assert np.all(found.predict_log_proba(X) < 0)


def test_sample_weights_are_copies_that_stay_together():
    X, _, target = table(40)
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    copies = np.repeat(np.arange(len(X)), weights)
    splits = [(np.arange(0, 20), np.arange(20, 40)), (np.arange(20, 40), np.arange(0, 20))]
    of_copies = [tuple(np.flatnonzero(np.isin(copies, part)) for part in split) for split in splits]
    estimator = clone(REGRESSOR).set_params(tol=1e-9)
    options = {"max_units": 1, "Cs": [0.1, 1.0]}
    weighted = selector(estimator, cv=splits, **options).fit(X, target, sample_weight=weights)
    copied = selector(estimator, cv=of_copies, **options).fit(X.iloc[copies], target[copies])
    assert_allclose(weighted.scores_, copied.scores_, atol=1e-5)
    assert_allclose(weighted.predict(X), copied.predict(X), atol=1e-5)


def test_within_scikit_learn():
    X, _, target = table()
    scores = cross_val_score(selector(REGRESSOR, max_units=1, Cs=2), X, target, cv=2)
    assert scores.min() > 0.8
    with pytest.raises(NotFittedError):
        selector(REGRESSOR).predict(X)
    assert not hasattr(selector(REGRESSOR), "predict_proba")
    assert not hasattr(selector(GLNNormSVC()), "predict_proba")
    assert hasattr(selector(CLASSIFIER), "predict_proba")


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"estimator": LinearRegression()}, TypeError, "expected an estimator of gnorm at a given"),
        ({"estimator": GLNNormRegressorCV()}, TypeError, "expected an estimator of gnorm at a"),
        ({"n_units_to_select": "all"}, ValueError, "n_units_to_select must be an int or 'cv'"),
        ({"n_units_to_select": -1}, ValueError, "n_units_to_select == -1, must be >= 0"),
        ({"max_units": 0}, ValueError, "max_units == 0, must be >= 1"),
        ({"n_standard_errors": "one"}, TypeError, "n_standard_errors must be an instance of"),
        ({"n_standard_errors": -1}, ValueError, "n_standard_errors == -1, must be >= 0"),
        ({"n_units_to_select": 8}, ValueError, r"expected 8 units that change the rule, got \d"),
    ],
)
def test_parameters_are_checked(options, error, sentence):
    X, _, target = table(40)
    with pytest.raises(error, match=sentence):
        selector(**({"estimator": REGRESSOR, "Cs": [1.0], "cv": 2} | options)).fit(X, target)


def test_more_units_than_there_are_are_refused_before_any_fit(monkeypatch):
    X, _, y = table()
    monkeypatch.setattr("gnorm.selection.units.path_of", None)  # not callable: no path is to begin
    with pytest.raises(ValueError, match="n_units_to_select of at most 8, the units of the gates"):
        selector(REGRESSOR, n_units_to_select=9).fit(X, y)
    with pytest.raises(ValueError, match=r"n_units_to_select of at most 8, .*, got 9"):
        stability_selection(REGRESSOR, X, y, n_units_to_select=9)


def test_a_fit_that_fails_leaves_the_one_before():
    X, _, y = table()
    found = selector(REGRESSOR, n_units_to_select=1).fit(X, y)
    predicted, before = found.predict(X), sorted(vars(found))
    with pytest.raises(ValueError, match="at most 8"):
        found.set_params(n_units_to_select=9).fit(X, y)
    scoring = make_scorer(lambda truth, predicted: np.nan)
    found.set_params(n_units_to_select=1, scoring=scoring)
    with pytest.raises(ValueError, match="expected scores that are numbers"), pytest.warns():
        found.fit(X, y)
    assert sorted(vars(found)) == before
    assert_array_equal(found.predict(X), predicted)


def test_groups_go_to_the_splitter():
    X, _, y = table()
    groups = np.arange(len(X)) % 5
    splits = list(GroupKFold(3).split(X, y, groups))
    expected = selector(REGRESSOR, n_units_to_select=1, cv=splits).fit(X, y)
    with sklearn.config_context(enable_metadata_routing=True):
        cv = GroupKFold(3).set_split_request(groups=True)
        found = selector(REGRESSOR, n_units_to_select=1, cv=cv).fit(X, y, groups=groups)
    assert_array_equal(found.scores_, expected.scores_)
    with pytest.raises(TypeError, match=r"metadata routing is not enabled .*, got \['groups'\]"):
        found.fit(X, y, groups=groups)


def test_units_that_close():
    X, _, target = table()
    model = FReLURegressor(4, random_state=0)
    found = selector(model, max_units=2, Cs=[0.1, 1.0], cv=2).fit(X[["x", "z"]], target)
    assert 0 <= found.n_units_ <= 2


def test_weights_of_the_units_go_with_them():
    """A unit that weighs much comes late; the open one weighs 1, and is not counted."""
    X, _, y = table(changes=(3, 6))
    weights = np.ones(8)
    weights[3] = 30.0
    model = clone(REGRESSOR).set_params(norm=GLN(unit_weights=tuple(weights)))
    found = selector(model, n_units_to_select=1).fit(X, y)
    assert list(found.selected_names_) == ["s6"]
    assert found.estimator_.norm.unit_weights == (1.0, 1.0)
    stable = stability_selection(model, X, y, n_units_to_select=1, n_resamples=4, random_state=0)
    assert stable.unit_names[stable.selected].tolist() == ["s6"]
    found = permutation_null(model, X, y, n_permutations=3, random_state=0)
    assert found.importances[:, 6].min() > 10 * found.importances[:, 3].max()
    model.set_params(norm=GLN(unit_weights=(1.0, 2.0)))
    functions = unit_path, stability_selection, permutation_null
    for find in (selector(model).fit, *(partial(function, model) for function in functions)):
        with pytest.raises(ValueError, match=r"unit_weights of shape \(8,\), got 2 weights"):
            find(X, y)


# ----------------------------------------------------------------------------------- how surely


@pytest.mark.parametrize("estimator", [REGRESSOR, CLASSIFIER])
def test_stable_units(estimator):
    X, y, target = table()
    truth = y if is_classifier(estimator) else target
    options = {"n_resamples": 4, "random_state": 0, "n_units_to_select": 1}
    found = stability_selection(estimator, X, truth, **options)
    assert isinstance(found, StabilitySelection)
    assert found.unit_names[found.selected].tolist() == ["s3"]
    assert found.mean_selected == 1
    assert found.bound == pytest.approx(1 / (0.8 * 8))
    again = stability_selection(estimator, X, truth, **options)
    assert_array_equal(again.frequencies, found.frequencies)
    assert_allclose(found.frequencies.sum(), 1.0)


@pytest.mark.parametrize("near", [0, 7, 23])
@pytest.mark.parametrize("estimator", [REGRESSOR, CLASSIFIER])
def test_first_units_are_those_of_the_path_wherever_it_is_sought(estimator, near):
    X, y, target = table(changes=(3, 6))
    model = with_open_unit(estimator)
    data = model._checked(X, y if is_classifier(estimator) else target, None)
    whole, part, _ = fitted(model, data)
    for most in (1, 2, 3):
        found, step = first_units(whole, part, most, near)
        assert sorted(found) == sorted(entries(whole, part, most))
        assert 0 <= step < 23
    assert sorted(found[:2]) == [4, 7]  # the open unit is the first
    every, _ = first_units(whole, part, 9, near)  # more than there are
    assert_array_equal(every, entries(whole, part, 9))


@pytest.mark.parametrize("n_done", [0, 1, 5])
def test_ctrl_c_keeps_the_halves_that_are_done(monkeypatch, n_done):
    X, _, y = table(60)
    options = {"n_units_to_select": 1, "n_resamples": 8, "random_state": 0}
    selected, calls = stability._selected, iter(range(8))

    def interrupted(*arguments):
        if next(calls) == n_done:
            raise KeyboardInterrupt
        return selected(*arguments)

    monkeypatch.setattr(stability, "_selected", interrupted)
    if n_done < 2:
        with pytest.raises(KeyboardInterrupt):
            stability_selection(REGRESSOR, X, y, **options)
        return
    with pytest.warns(ConvergenceWarning, match="interrupted: 4 of 8 are done"):
        found = stability_selection(REGRESSOR, X, y, **options)
    monkeypatch.undo()
    whole = stability_selection(REGRESSOR, X, y, **options | {"n_resamples": 4})
    assert found.n_resamples == whole.n_resamples == 4
    assert_array_equal(found.frequencies, whole.frequencies)
    assert found.bound == whole.bound


@pytest.mark.slow
def test_the_bound_holds_where_nothing_changes_the_rule():
    X, _, _ = table(changes=())
    # q = 2 of 8 units in halves; few are stable, at most q² / ((2 pi - 1) M) in the mean
    false = [
        len(
            stability_selection(
                REGRESSOR,
                X.sample(frac=1, random_state=seed).reset_index(drop=True)[[*SEGMENT, "x", "z"]],
                np.random.default_rng(seed).normal(size=len(X)),
                n_units_to_select=2,
                n_resamples=10,
                random_state=seed,
            ).selected
        )
        for seed in range(3)
    ]
    assert np.mean(false) <= 4 / (0.8 * 8)


@pytest.mark.parametrize(
    ("threshold", "error", "sentence"),
    [
        (0.4, ValueError, "threshold == 0.4, must be >= 0.5"),
        (np.nan, ValueError, "threshold must be a number, got nan"),
        ("most", TypeError, "threshold must be an instance of"),
    ],
)
def test_thresholds_are_checked(threshold, error, sentence):
    X, _, target = table(40)
    with pytest.raises(error, match=sentence):
        stability_selection(REGRESSOR, X, target, threshold=threshold)


def test_halves_have_no_sample_in_common():
    X, y, _ = table(61)
    data = with_open_unit(CLASSIFIER)._checked(X, y, None)
    first, second = stability._halves(data, np.random.RandomState(0))
    assert len(np.intersect1d(first, second)) == 0
    assert abs(len(first) - 30) <= 1
    assert len(first) == len(second)
    with pytest.raises(ValueError, match="expected 2 samples of each class or more, got 1"):
        stability_selection(CLASSIFIER, X.iloc[:5], ["a", "a", "b", "a", "a"], n_resamples=2)


def test_weight_zero_is_absence():
    X, _, target = table(80)
    weight = (np.arange(80) < 60).astype(float)
    options = {"n_resamples": 4, "random_state": 0}
    whole = stability_selection(REGRESSOR, X, target, sample_weight=weight, **options)
    part = stability_selection(REGRESSOR, X.iloc[:60], target[:60], **options)
    assert_array_equal(whole.frequencies, part.frequencies)


# --------------------------------------------------------------------------------- against chance


@pytest.mark.parametrize("estimator", [REGRESSOR, CLASSIFIER])
def test_permuted_units(estimator, capsys):
    X, y, target = table()
    truth = y if is_classifier(estimator) else target
    options = {"n_permutations": 19, "random_state": 0, "progress": True}
    found = permutation_null(estimator, X, truth, **options)
    assert "permutation" in capsys.readouterr().err
    assert found.importances.shape == found.null_importances.shape == (19, 8)
    assert found.pvalues[3] == 0.05
    assert found.pvalues.min() == 0.05
    assert np.median(np.delete(found.pvalues, 3)) > 0.05
    assert list(found.unit_names) == SEGMENT
    by_two = permutation_null(estimator, X, truth, n_jobs=2, **options)
    assert_array_equal(by_two.pvalues, found.pvalues)


def test_ctrl_c_keeps_the_permutations_that_are_done(monkeypatch):
    X, _, y = table(60)
    beside, calls = null._beside_permuted, iter(range(8))

    def interrupted(*arguments):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return beside(*arguments)

    monkeypatch.setattr(null, "_beside_permuted", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted: 3 of 8 are done"):
        found = permutation_null(REGRESSOR, X, y, n_permutations=8, random_state=0)
    assert found.importances.shape == (3, 8)
    assert found.pvalues.min() == 0.25


def test_interrupted_solve_is_no_permutation(monkeypatch):
    X, _, y = table(60)
    solve, calls = null.solve_prepared, iter(range(8))

    def interrupted(*arguments, **options):
        solution = solve(*arguments, **options)
        return replace(solution, status=Status.INTERRUPTED) if next(calls) == 3 else solution

    monkeypatch.setattr(null, "solve_prepared", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted: 3 of 8 are done"):
        permutation_null(REGRESSOR, X, y, n_permutations=8, random_state=0)


def test_unfinished_solves_are_warned_of():
    X, _, y = table(60)
    model = clone(REGRESSOR).set_params(max_iter=2, tol=1e-12)
    with pytest.warns(ConvergenceWarning, match="3 of 3 permutations stopped above tol=1.0e-12"):
        permutation_null(model, X, y, n_permutations=3, random_state=0)
    with pytest.warns(ConvergenceWarning, match="4 of 4 halves stopped above"):
        stability_selection(model, X, y, n_units_to_select=1, n_resamples=4, random_state=0)


def test_C_of_permutations_is_checked():
    X, _, y = table(60)
    with pytest.raises(ValueError, match="C == inf, must be > 0 and finite"):
        permutation_null(clone(REGRESSOR).set_params(C=np.inf), X, y)


def test_without_permutation_both_are_the_same():
    """The importances of a unit and of its copy, for an order that changes nothing."""
    from gnorm.estimators.selection import on_part

    X, _, target = table(80)
    model = with_open_unit(REGRESSOR).set_params(tol=1e-10)
    data = model._checked(X, target, None)
    model, data = on_part(model, data, np.arange(80))
    activations = model._activations(model._seen_by_gates(data.X, data.source))
    both, _ = null._beside_permuted(model, data, activations, np.arange(80))
    assert both[3] + both[8 + 3] > 0.5
    alone = clone(model).fit(X, target).unit_importances_[1:]
    assert_allclose(both[:8] + both[8:], alone, atol=1e-3)


def test_gates_that_know_the_targets_have_no_null():
    from sklearn.ensemble import ExtraTreesRegressor

    X, _, target = table(40)
    model = GLNNormRegressor(gates=TreeGates(ExtraTreesRegressor(3)))
    with pytest.raises(ValueError, match="expected gates that do not learn from targets"):
        permutation_null(model, X[["x", "z"]], target)
