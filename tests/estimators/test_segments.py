"""Estimators on data frames: some columns for the gates, others for the linear map."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.inspection import partial_dependence
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from gnorm import (
    FReLUClassifier,
    FReLURegressor,
    GatedL2SVC,
    GLNNormClassifier,
    GLNNormClassifierCV,
    GLNNormRegressor,
    GLNNormRegressorCV,
    GLNNormSVC,
    ShallowGLNSVC,
    estimators,
)
from gnorm.gates import CategoryGates, HyperplaneGates, JoinedGates, QuantileGates

SEGMENT, FEATURES = ["region", "tier", "noise"], ["price", "age"]


def table(n_samples=240, seed=0):
    """A frame whose slope of price depends on the region, with labels and targets."""
    rng = np.random.default_rng(seed)
    region = rng.choice(["north", "south", "west"], n_samples)
    X = pd.DataFrame(
        {
            "region": pd.Categorical(region),
            "price": rng.normal(size=n_samples),
            "tier": rng.choice([1, 2], n_samples),
            "age": rng.normal(size=n_samples),
            "noise": rng.choice(list("abcde"), n_samples),
        }
    )
    slope = X["region"].astype(object).map({"north": -1.0, "south": 0.5, "west": 2.0}).to_numpy()
    target = slope.astype(float) * X["price"].to_numpy() - X["age"].to_numpy()
    target += 0.1 * rng.normal(size=n_samples)
    return X, np.where(target > 0, "yes", "no"), target


MODELS = [
    GLNNormClassifier(C=0.3),
    FReLUClassifier(C=0.3),
    GLNNormSVC(C=0.3),
    GatedL2SVC(C=0.3),
    ShallowGLNSVC(C=0.3),
    GLNNormRegressor(C=0.3),
    FReLURegressor(C=0.3),
    GLNNormClassifierCV(Cs=[0.01, 0.1], cv=2),
    GLNNormRegressorCV(Cs=[0.01, 0.1], cv=2),
]


def answers(model, X):
    return model.decision_function(X) if hasattr(model, "classes_") else model.predict(X)


def fitted(model, X, y, target, **params):
    model = clone(model).set_params(**params)
    return model.fit(X, y if hasattr(model, "class_weight") else target)


@parametrize_with_checks([GLNNormRegressor(5, segment=slice(None), features=slice(None))])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def with_gates(kind):
    """An estimator of this kind with gates given, and few solves where it chooses C."""
    few = {"Cs": [0.01, 0.1], "cv": 2} if "cv" in kind().get_params() else {}
    return kind(gates=QuantileGates(n_bins=2), **few)


@pytest.mark.slow
@parametrize_with_checks(
    [
        *(with_gates(getattr(estimators, name)) for name in estimators.__all__),
        GLNNormRegressor(gates=JoinedGates([QuantileGates(n_bins=3), CategoryGates(max_levels=2)])),
        FReLUClassifier(features=slice(None), gates=QuantileGates(n_bins=2)),
    ]
)
def test_scikit_learn_checks_with_gates(estimator, check):
    check(estimator)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_columns_of_a_frame_are_parted(model):
    X, y, target = table()
    params = {"gates": CategoryGates(), "segment": SEGMENT}
    model = fitted(model, X, y, target, **params)
    assert model.n_features_in_ == 5
    assert list(model.feature_names_in_) == list(X.columns)
    assert model.segment_columns_.tolist() == [0, 2, 4]
    assert model.feature_columns_.tolist() == [1, 3]
    assert model.zeta_.shape[-1] == 3  # with the constant
    # the same by hand: gates of their own columns, the linear map on an array
    by_hand = fitted(
        model,
        np.column_stack([X[FEATURES], X[SEGMENT].apply(lambda column: pd.factorize(column)[0])]),
        y,
        target,
        segment=[2, 3, 4],
    )
    other = np.column_stack([X[FEATURES], X[SEGMENT].apply(lambda column: pd.factorize(column)[0])])
    np.testing.assert_allclose(answers(model, X), answers(by_hand, other), atol=0.03)
    assert model.score(X, y if hasattr(model, "classes_") else target) > 0.85
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(answers(again, X), answers(model, X))


@pytest.mark.parametrize(
    "selectors",
    [
        {"segment": [0, 2, 4]},
        {"segment": SEGMENT, "features": FEATURES},
        {"segment": np.array([True, False, True, False, True])},
        {"segment": lambda X: [name for name in X if name not in FEATURES]},
        {"features": FEATURES, "gates": CategoryGates(SEGMENT)},
        {
            "segment": SEGMENT,
            "features": make_column_selector(dtype_include="float"),
        },
    ],
)
def test_selectors_mean_the_same(selectors):
    X, _, target = table()
    expected = GLNNormRegressor(gates=CategoryGates(), segment=SEGMENT).fit(X, target).predict(X)
    model = GLNNormRegressor(gates=CategoryGates()).set_params(**selectors).fit(X, target)
    assert np.array_equal(model.predict(X), expected)
    mixed = X.astype(object).to_numpy()
    if not any(callable(chosen) for chosen in selectors.values()) and "features" not in selectors:
        assert np.array_equal(model.fit(mixed, target).predict(mixed), expected)


def test_unknown_and_missing_levels_follow_the_shared_rule():
    X, y, _ = table()
    model = GLNNormClassifier(gates=CategoryGates(), segment=SEGMENT, C=10.0).fit(X, y)
    later = X.iloc[:20].copy()
    mean = np.zeros(20)
    for region in ["north", "south", "west"]:
        later["region"] = region
        mean += model.decision_function(later) / 3
    for unknown in ["east", None, np.nan]:
        later["region"] = unknown
        np.testing.assert_allclose(model.decision_function(later), mean, rtol=1e-9, atol=1e-9)
    # all unknown: one rule for everybody
    later["tier"], later["noise"] = 99, None
    rule = Ridge(alpha=1e-12).fit(later[FEATURES], model.decision_function(later))
    assert rule.score(later[FEATURES], model.decision_function(later)) == pytest.approx(1.0)


def test_units_that_close_do_not_follow_a_shared_rule():
    X, _, target = table()
    joined = JoinedGates(
        [CategoryGates(["region"]), (HyperplaneGates(3, random_state=0), ["tier"])]
    )
    model = GLNNormRegressor(gates=joined, segment=SEGMENT).fit(X, target)
    rules = model._shared_rules()
    assert rules[0, 0].any()
    assert not rules[0, 1:].any()


def test_missing_values_of_the_segment_are_a_level_and_of_features_an_error():
    X, y, _ = table()
    X.loc[X.index[::7], "noise"] = None
    model = GLNNormClassifier(gates=CategoryGates(), segment=SEGMENT).fit(X, y)
    assert "missing" in model.gates_.context_names_[2]
    X["price"] = X["price"].where(X["price"] < 2)
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(X, y)


def test_sample_weights_are_copies():
    X, _, target = table(60)
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    copies = np.repeat(np.arange(len(X)), weights)
    gates = JoinedGates([CategoryGates(["region"], min_frequency=25), QuantileGates(["tier"])])
    model = GLNNormRegressor(gates=gates, segment=SEGMENT, tol=1e-9)
    weighted = clone(model).fit(X, target, sample_weight=weights)
    copied = clone(model).fit(X.iloc[copies], target[copies])
    np.testing.assert_allclose(weighted.predict(X), copied.predict(X), atol=1e-6)


def test_levels_of_all_kinds():
    X, y, _ = table(300)
    rng = np.random.default_rng(1)
    X["one"] = "same"
    X["of_yes"] = np.where((y == "yes") & (rng.random(300) < 0.3), "special", "usual")
    X["name"] = [f"name {k}" for k in range(300)]
    model = GLNNormClassifier(
        gates=CategoryGates(), segment=[*SEGMENT, "one", "of_yes", "name"], C=10.0
    ).fit(X, y)
    assert model.duality_gap_[0] <= model.tol
    assert model.zeta_.shape[1:3] == (6, 300)
    # who has a level of its own by name only is answered for by the others
    unseen = X.assign(name="nobody")
    assert np.all(np.isfinite(model.predict_log_proba(unseen)))
    assert model.score(unseen, y) > 0.85
    assert model.predict_proba(X[X["of_yes"] == "special"])[:, 1].min() > 0.5


class NumberOfSamples(CategoryGates):
    """Category gates that note what they were fitted to."""

    seen: list = []  # noqa: RUF012

    def _learn(self, X, y, weights):
        self.seen.append((X, np.asarray(y), weights))
        super()._learn(X, y, weights)


def test_splits_fit_gates_to_their_part_with_its_targets():
    X, y, _ = table(90)
    NumberOfSamples.seen.clear()
    GLNNormClassifierCV(Cs=[0.1], cv=3, gates=NumberOfSamples(), segment=SEGMENT).fit(X, y)
    assert [len(part) for part, _, _ in NumberOfSamples.seen] == [60, 60, 60, 90]
    for part, labels, _ in NumberOfSamples.seen:
        assert list(part.columns) == SEGMENT
        assert np.array_equal(labels, y[part.index])


def test_warm_start_knows_the_raw_columns():
    X, _, target = table()
    model = GLNNormRegressor(
        gates=CategoryGates(), segment=SEGMENT, warm_start=True, random_state=0
    ).fit(X, target)
    gates = model.gates_
    assert model.set_params(C=0.5).fit(X, target).gates_ is gates
    assert model.fit(X.assign(noise="x"), target).gates_ is not gates


def test_scikit_learn_around_it():
    X, y, target = table()
    model = GLNNormClassifier(gates=CategoryGates(), segment=SEGMENT)
    search = GridSearchCV(model, {"gates__min_frequency": [1, 60], "C": [0.1, 1.0]}, cv=2)
    assert search.fit(X, y).best_score_ > 0.85
    assert cross_val_score(model, X, y, cv=3).mean() > 0.85
    regressor = GLNNormRegressor(gates=CategoryGates(), segment=SEGMENT).fit(X, target)
    dependence = partial_dependence(regressor, X, ["price"], kind="average")
    assert dependence["average"].shape[0] == 1
    levels = partial_dependence(regressor, X, ["region"], categorical_features=["region"])
    assert levels["average"].shape == (1, 3)


@pytest.mark.parametrize(
    ("selectors", "error", "sentence"),
    [
        ({"segment": "colour"}, ValueError, "segment must be among the columns of X once"),
        ({"segment": []}, ValueError, "expected segment to leave at least one column, got none"),
        ({"segment": slice(None)}, ValueError, "expected features to leave at least one column"),
        ({"features": 1.5}, TypeError, "features must be names, positions"),
        (
            {"segment": ["price"]},
            ValueError,
            "expected numbers in features, got text in 'region', ",
        ),
    ],
)
def test_selectors_are_checked(selectors, error, sentence):
    X, _, target = table(20)
    with pytest.raises(error, match=sentence):
        GLNNormRegressor(gates=CategoryGates(), **selectors).fit(X, target)


def test_text_among_the_numbers_of_later_samples_is_named():
    X, _, target = table(40)
    model = GLNNormRegressor(gates=CategoryGates(), segment=SEGMENT).fit(X, target)
    later = X.astype({"age": object})
    later.loc[later.index[3], "age"] = "unknown"
    with pytest.raises(ValueError, match="expected numbers in features, got text in 'age'"):
        model.predict(later)
    later.loc[later.index[3], "age"] = np.inf
    with pytest.raises(ValueError, match="contains infinity"):
        model.predict(later)


@pytest.mark.parametrize("of_type", [pd.DataFrame, np.asarray])
def test_text_without_a_segment_is_named(of_type):
    X, _, target = table(20)
    name = "region" if of_type is pd.DataFrame else "x0"
    model = GLNNormRegressor(gates=CategoryGates())
    with pytest.raises(ValueError, match=rf"got text in '{name}'; .* go to segment"):
        model.fit(of_type(X[["region", "tier", "price"]]), target)
    model.fit(X[["tier", "price"]], target)
    with pytest.raises(ValueError, match=r"got text in 'tier'; .* go to segment"):
        model.predict(X[["tier", "price"]].assign(tier="high"))


def test_other_columns_are_refused():
    X, _, target = table(40)
    model = GLNNormRegressor(gates=CategoryGates(), segment=SEGMENT).fit(X, target)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X.rename(columns={"age": "years"}))
    with pytest.raises(ValueError, match="expecting 5 features"):
        model.predict(X.to_numpy()[:, :4])


def test_sparse_columns():
    X = sparse.random(60, 8, density=0.4, format="csr", random_state=0)
    target = X[:, [7]].toarray().ravel()
    model = GLNNormRegressor(segment=[0, 1], n_units=3, random_state=0).fit(X, target)
    dense = GLNNormRegressor(segment=[0, 1], n_units=3, random_state=0).fit(X.toarray(), target)
    np.testing.assert_allclose(model.predict(X), dense.predict(X.toarray()), atol=1e-3)
