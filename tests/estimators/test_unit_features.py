"""Estimators whose units see some of the features each."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from gnorm import (
    CategoryGates,
    FReLURegressor,
    GatedL2SVC,
    GLNNormClassifier,
    GLNNormRegressor,
    GLNNormRegressorCV,
    GLNNormSVC,
    QuantileGates,
)
from gnorm.selection import UnitSelectionCV, permutation_null, stability_selection, unit_path

NAMES = ["a", "b", "c"]
OWN = [["a"], ["b"], ["c"]]


def curves(n_samples=240):
    """Targets that are a curve of the first input and a kink of the second."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(n_samples, 3)), columns=NAMES)
    f = np.sin(2 * X["a"]) + 1.5 * np.abs(X["b"])
    return X, (f + 0.2 * rng.normal(size=n_samples)).to_numpy()


def additive(**params):
    return GLNNormRegressor(gates=QuantileGates(n_bins=5), C=1.0, **params)


def test_selectors_and_masks_are_the_same():
    X, y = curves()
    one = additive(unit_features=OWN).fit(X, y)
    mask = np.eye(3, dtype=bool)
    frame = pd.DataFrame(mask, columns=["c", "a", "b"])  # a mask, and its columns no selectors
    for same in (mask, frame, [0, [1], slice(2, 3)], ["a", "b", "c"]):
        other = additive(unit_features=same).fit(X, y)
        assert_array_equal(other.zeta_, one.zeta_)
    seen = np.column_stack([np.eye(3, dtype=bool), np.ones(3, dtype=bool)])  # and the constant
    assert not np.any(one.zeta_ * ~seen[:, None])
    assert np.all(one.duality_gap_ <= one.tol)
    assert np.any(one.zeta_[0, :, :, 3])
    without = additive(unit_features=OWN, fit_intercept=False).fit(X, y)
    assert not np.any(without.zeta_ * ~np.eye(3, dtype=bool)[:, None])
    again = pickle.loads(pickle.dumps(one))
    assert_array_equal(again.predict(X), one.predict(X))


def test_a_unit_moves_with_its_own_feature_alone():
    """An additive model: what a change of one input adds does not depend on the others."""
    X, y = curves()
    model = additive(unit_features=OWN).fit(X, y)
    moved, others = X.assign(a=0.7), X.sample(frac=1, random_state=0).reset_index(drop=True)
    at_others = others.assign(a=X["a"])
    change = model.predict(moved) - model.predict(X)
    same = model.predict(at_others.assign(a=0.7)) - model.predict(at_others)
    assert_allclose(same, change, atol=1e-9)


def test_names_within_splits_and_beside_segments():
    X, y = curves()
    model = GLNNormRegressorCV(gates=QuantileGates(n_bins=5), unit_features=OWN, Cs=4, cv=3)
    model.fit(X, y)
    assert model.unit_importances_[2] < 0.1 * model.unit_importances_[:2].min()
    assert cross_val_score(additive(unit_features=OWN), X, y, cv=3).min() > 0.8
    table = X.assign(region=np.where(X["c"] > 0, "north", "south"))
    model = additive().set_params(
        gates=CategoryGates(), segment=["region"], unit_features=[["a", "b"]]
    )
    model.fit(table, y)
    assert not np.any(model.zeta_[..., 2])
    assert list(model.effects_.to_frame().columns) == [*NAMES, "intercept"]


def test_classes_and_gates_that_open_and_close():
    X, y = curves()
    label = np.where(y > np.median(y), "high", "low")
    for model in (
        GLNNormClassifier(gates=QuantileGates(n_bins=5), unit_features=OWN),
        GLNNormSVC(gates=QuantileGates(n_bins=5), unit_features=OWN),
        GLNNormClassifier(gates=QuantileGates(n_bins=5), unit_features=OWN, loss="multinomial"),
    ):
        assert model.fit(X, label).score(X, label) > 0.8
    model = FReLURegressor(6, unit_features=[[0, 1]] * 3 + [[2]] * 4, random_state=0).fit(X, y)
    assert not np.any(model.zeta_[0, :3, :, 2])
    assert not np.any(model.zeta_[0, 3:, :, :2])


FUNCTIONS = (unit_path, stability_selection, permutation_null)


def test_selection_of_units_keeps_their_features():
    X, y = curves()
    found = UnitSelectionCV(additive(unit_features=OWN), cv=2, max_units=3, Cs=[0.3, 3]).fit(X, y)
    assert sorted(found.selected_units_) == [0, 1]
    assert len(found.estimator_.unit_features) == 3
    null = permutation_null(additive(unit_features=OWN), X, y, n_permutations=9, random_state=0)
    assert np.all((null.pvalues <= 0.1) == [True, True, False])


def test_what_is_refused():
    X, y = curves()
    for wrong in ([["a"]], np.ones((2, 3), dtype=bool)):
        with pytest.raises(ValueError, match="a selector for each of 3 units"):
            additive(unit_features=wrong).fit(X, y)
        # the open unit that selection adds is none of the user's
        for find in (UnitSelectionCV(additive(unit_features=wrong)).fit, *FUNCTIONS):
            options = {} if find not in FUNCTIONS else {"estimator": additive(unit_features=wrong)}
            with pytest.raises(ValueError, match=r"a selector for each of 3 units, got [12]: \["):
                find(X=X, y=y, **options)
    for wrong in ("abc", 3, np.array(3), dict.fromkeys("abc", "a")):
        with pytest.raises(ValueError, match="a selector for each unit, got"):
            additive(unit_features=wrong).fit(X, y)
        with pytest.raises(ValueError, match="a selector for each unit, got"):
            unit_path(additive(unit_features=wrong), X, y)
    for wrong in ([True] * 3, np.ones(3, dtype=bool), np.ones(3)):
        with pytest.raises(TypeError, match="unit_features must be names, positions, a slice"):
            additive(unit_features=wrong).fit(X, y)
    with pytest.raises(ValueError, match="unit_features must be among the columns of X once"):
        additive(unit_features=[["z"], ["b"], ["c"]]).fit(X, y)
    with pytest.raises(ValueError, match="must be positions where X has no names"):
        additive(unit_features=OWN).fit(X.to_numpy(), y)
    with pytest.raises(ValueError, match="at least one feature for each unit"):
        additive(unit_features=[[], [1], [2]], fit_intercept=False).fit(X, y)
    assert "unit_features" not in GatedL2SVC().get_params()
    assert clone(additive(unit_features=OWN)).unit_features == OWN
