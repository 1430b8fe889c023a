"""The shared rule and the deviations of units: identities, names, and levels of all kinds."""

import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from gnorm import (
    CategoryGates,
    FReLUClassifier,
    FReLURegressor,
    FReLUSVC,
    GatedL2SVC,
    GLNNormClassifier,
    GLNNormClassifierCV,
    GLNNormRegressor,
    GLNNormRegressorCV,
    GLNNormSVC,
    JoinedGates,
    OpenGates,
    QuantileGates,
    ShallowGLNSVC,
)

GATES = JoinedGates([OpenGates(), CategoryGates(["region", "tier"]), QuantileGates(["age"], 2)])
SEGMENT = ["region", "tier", "age"]
MODELS = [
    GLNNormClassifier(C=0.3),
    FReLUClassifier(C=0.3, fit_intercept=False),
    GLNNormSVC(C=0.3, intercept_scaling=3.0),
    GatedL2SVC(C=0.3),
    ShallowGLNSVC(C=0.3),
    GLNNormRegressor(C=0.3),
    FReLURegressor(C=0.3),
    GLNNormClassifierCV(Cs=[0.01, 0.1], cv=2),
    GLNNormRegressorCV(Cs=[0.01, 0.1], cv=2),
]


def table(n_samples=150, n_classes=2, seed=0):
    """Columns whose slope of price depends on the region alone, and a target of classes."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "region": pd.Categorical(rng.choice(["north", "south", "west"], n_samples)),
            "price": rng.normal(size=n_samples),
            "tier": rng.choice([1, 2], n_samples),
            "age": rng.normal(size=n_samples),
            "size": rng.normal(size=n_samples),
        }
    )
    slope = X["region"].astype(object).map({"north": -2.0, "south": 0.0, "west": 2.0}).to_numpy()
    target = slope.astype(float) * X["price"].to_numpy() - X["size"].to_numpy()
    target += 0.1 * rng.normal(size=n_samples)
    return X, np.digitize(target, [[0.0], [-0.7, 0.7]][n_classes - 2]), target


def fitted(model, n_classes=2, gates=GATES, segment=SEGMENT, **params):
    X, y, target = table(n_classes=n_classes)
    model = clone(model).set_params(gates=gates, segment=segment, **params)
    return model.fit(X, y if hasattr(model, "class_weight") else target), X


def outputs(model, X):
    values = model.decision_function(X) if hasattr(model, "classes_") else model.predict(X)
    return values.reshape(len(X), -1)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_effects_add_up_to_the_outputs(model, n_classes):
    model, X = fitted(model, n_classes)
    effects = model.effects_
    inputs = X[["price", "size"]].to_numpy()
    assert list(effects.feature_names[:2]) == ["price", "size"]
    if model.fit_intercept:
        assert effects.feature_names[2] == "intercept"
        inputs = np.column_stack([inputs, np.ones(len(X))])
    activations = np.asarray(model._activations(X[SEGMENT]))
    values = inputs @ effects.shared.T
    for h, deviations in enumerate(effects.deviations):
        assert deviations.shape[1] == len(effects.context_names[h])
        np.testing.assert_allclose(deviations.sum(axis=1), 0.0, atol=1e-9)
        of_sample = activations[:, h, : deviations.shape[1]].astype(float)
        values += np.einsum("nc,kcd,nd->nk", of_sample, deviations, inputs)
    np.testing.assert_allclose(values, outputs(model, X), atol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_the_table_has_the_names(model, n_classes):
    model, _ = fitted(model, n_classes)
    frame = model.effects_.to_frame(all_units=True)
    if len(model.zeta_) > 1:
        assert list(frame.index.get_level_values("output").unique()) == ["0", "1", "2"]
        frame = frame.loc["1"]
    np.testing.assert_array_equal(
        frame.loc[("shared", "")], model.effects_.shared[int(len(model.zeta_) > 1)]
    )
    if not isinstance(model, ShallowGLNSVC):
        units = ["shared", "region", "tier", "age"]
        assert list(model.unit_names_) == units
        assert sorted(set(frame.index.get_level_values("unit"))) == sorted(units)
        assert list(frame.loc["region"].index) == ["north", "south", "west"]


def test_the_table_begins_with_what_changes_the_rule_most():
    model, _ = fitted(GLNNormRegressor(C=0.05))
    assert model.unit_names_[model.selected_units_[0]] == "region"
    assert model.unit_importances_[0] == 0  # all samples share the open unit
    frame = model.effects_.to_frame()
    assert list(frame.index[:4]) == [
        ("shared", ""),
        ("region", "north"),
        ("region", "south"),
        ("region", "west"),
    ]
    assert np.diff(frame.loc["region", "price"]).min() > 0.5
    assert set(model.effects_.selected) == set(np.flatnonzero(model.unit_importances_))


def test_shallow_contexts_are_called_after_all_units():
    model, X = fitted(ShallowGLNSVC())
    names = model.effects_.context_names[0]
    assert list(model.unit_names_) == ["context"]
    on = model._activations(X[SEGMENT]).contexts[:, 0]
    for n in range(10):
        all_, region, tier, _ = names[on[n]].split(", ")
        assert (all_, region, tier) == ("all", X["region"].iloc[n], str(X["tier"].iloc[n]))


def test_the_shared_rule_is_that_of_unknown_levels():
    model, X = fitted(GLNNormClassifier(C=3.0))
    unknown = X.assign(region="east", tier=9)
    unknown.loc[:, "age"] = X["age"]
    effects = model.effects_
    inputs = np.column_stack([X[["price", "size"]], np.ones(len(X))])
    bins = (X["age"].to_numpy() >= model.gates_.gates_[2].edges_[0][0]).astype(int)
    rules = effects.shared[0] + effects.deviations[3][0][bins]
    expected = np.einsum("nd,nd->n", inputs, rules)
    np.testing.assert_allclose(model.decision_function(unknown), expected, atol=1e-9)


@pytest.mark.parametrize("model", [FReLUSVC(5, random_state=0), FReLURegressor(5, random_state=0)])
def test_units_that_close_share_nothing(model):
    X, y, target = table()
    X = X[["price", "size"]]
    model = model.fit(X, y if hasattr(model, "class_weight") else target)
    effects = model.effects_
    open_unit = np.flatnonzero(model._is_partition)
    assert len(open_unit) == 1
    np.testing.assert_allclose(effects.shared, model.zeta_[:, open_unit[0], 0])
    for h in np.setdiff1d(np.arange(6), open_unit):
        np.testing.assert_array_equal(effects.deviations[h], model.zeta_[:, h])
    expected = np.where(model._is_partition, 0.0, model.unit_norms_[0])
    np.testing.assert_allclose(model.unit_importances_, expected)


def test_arrays_have_numbers_for_names():
    X, _, target = table()
    model = GLNNormRegressor(n_units=3, random_state=0).fit(X[["price", "age"]].to_numpy(), target)
    effects = model.effects_
    assert list(effects.feature_names) == ["x0", "x1", "intercept"]
    assert list(effects.unit_names) == ["hyperplanegates0", "hyperplanegates1", "hyperplanegates2"]
    assert list(effects.context_names[0]) == ["0", "1"]
    two = GLNNormRegressor(n_units=3, random_state=0).fit(
        X[["price"]].to_numpy(), np.column_stack([target, -target])
    )
    assert two.effects_.output_names == ("y0", "y1")
    assert two.effects_.to_frame().index.nlevels == 3


def test_levels_of_all_kinds():
    X, y, _ = table(400)
    rng = np.random.default_rng(1)
    X["one"] = "same"
    X["of_yes"] = np.where((y == 1) & (rng.random(400) < 0.3), "special", "usual")
    X["name"] = [f"name {k}" for k in range(400)]
    X.loc[X.index[::5], "region"] = None
    segment = ["region", "one", "of_yes", "name"]
    model = GLNNormClassifier(gates=CategoryGates(), segment=segment, C=3.0).fit(X, y)
    effects = model.effects_
    assert list(effects.context_names[0]) == ["north", "south", "west", "missing"]
    assert effects.deviations[1].shape == (1, 1, 5)
    assert model.unit_importances_[1] == 0
    assert effects.deviations[3].shape == (1, 400, 5)
    special = effects.to_frame().loc[("of_yes", "special"), "intercept"]
    assert special > 0
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.effects_.shared, effects.shared)


def test_thousands_of_levels():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2000, 1200)
    X = np.column_stack([rng.normal(size=1200), codes, codes % 2])
    y = np.where(codes % 2, 1.0, -1.0) * X[:, 0] + 0.1 * rng.normal(size=1200)
    gates = JoinedGates([OpenGates(), CategoryGates()])
    model = GLNNormRegressor(gates=gates, segment=[1, 2], C=0.01).fit(X, y)
    n_levels = len(np.unique(codes))
    assert [len(names) for names in model.effects_.context_names] == [1, n_levels, 2]
    assert model.selected_units_[0] == 2


def test_sample_weights_are_copies():
    X, _, target = table(60)
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    copies = np.repeat(np.arange(len(X)), weights)
    model = GLNNormRegressor(gates=GATES, segment=SEGMENT, tol=1e-9)
    weighted = clone(model).fit(X, target, sample_weight=weights)
    copied = clone(model).fit(X.iloc[copies], target[copies])
    pd.testing.assert_frame_equal(
        weighted.effects_.to_frame(all_units=True).sort_index(),
        copied.effects_.to_frame(all_units=True).sort_index(),
        atol=1e-5,
    )


def test_what_is_missing_is_said(monkeypatch):
    with pytest.raises(NotFittedError):
        GLNNormRegressor().unit_importances_  # noqa: B018
    model, _ = fitted(GLNNormRegressor())
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_frame needs pandas"):
        model.effects_.to_frame()
