"""Displays of units: deviations by context, and importances along C."""

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from gnorm import CategoryGates, GLNNormClassifier, GLNNormRegressor
from gnorm.plotting import EffectsDisplay, PathDisplay
from gnorm.selection import UnitSelectionCV, unit_path

RANDOM = np.random.default_rng(0)
X = np.column_stack([RANDOM.integers(0, 3, (90, 4)), RANDOM.normal(size=(90, 2))])
X[:, 3] = np.arange(90) % 20
TARGET = (X[:, 1] - 1) * X[:, 4] + X[:, 5] + 0.3 * RANDOM.normal(size=90)
CLASSES = np.digitize(TARGET, [-0.5, 0.5])
REGRESSOR = GLNNormRegressor(gates=CategoryGates(), segment=slice(4), C=0.05)
CLASSIFIER = GLNNormClassifier(gates=CategoryGates(), segment=slice(4))


@pytest.fixture(autouse=True)
def closed_figures():
    matplotlib.use("Agg")
    yield
    pyplot.close("all")


def ticks(ticks_):
    return [label.get_text() for label in ticks_]


def test_effects_are_those_of_the_estimator():
    model = clone(REGRESSOR).set_params(C=3.0).fit(X, TARGET)
    effects = model.effects_
    display = EffectsDisplay.from_estimator(
        model, n_units=2, max_contexts=20, ax=Figure().subplots()
    )
    first, second = effects.selected[:2]
    assert first == 1
    shown = np.concatenate([effects.deviations[first][0], effects.deviations[second][0]])
    assert_array_equal(display.image_.get_array(), shown)
    low, high = display.image_.get_clim()
    assert -low == high == np.abs(shown).max()
    assert ticks(display.ax_.get_xticklabels()) == ["x4", "x5", "intercept"]
    assert ticks(display.ax_.get_yticklabels())[:3] == ["0.0", "1.0", "2.0"]
    assert display.unit_names[0] == "x1"
    assert display.colorbar_.ax.get_ylabel() == "deviation from the shared rule"


def test_of_many_contexts_the_largest_are_shown():
    model = clone(REGRESSOR).set_params(C=3.0).fit(X, TARGET)
    last = list(model.effects_.selected).index(3)
    display = EffectsDisplay.from_estimator(model, max_contexts=5)
    assert display.unit_names[last] == "x3\n(5 of 20)"
    lengths = np.linalg.norm(model.effects_.deviations[3][0], axis=1)
    assert_allclose(
        np.sort(np.linalg.norm(display.deviations[last], axis=1)), np.sort(lengths)[-5:]
    )


def test_effects_of_a_class_in_a_pipeline_or_selection():
    model = make_pipeline(CLASSIFIER).fit(X, CLASSES)
    display = EffectsDisplay.from_estimator(model, output=2)
    assert display.ax_.get_title() == "2"
    found = UnitSelectionCV(REGRESSOR, n_units_to_select=1, cv=2, Cs=[1.0]).fit(X, TARGET)
    display = EffectsDisplay.from_estimator(found)
    assert display.unit_names == ["x1"]


def test_effects_that_cannot_be_drawn():
    with pytest.raises(NotFittedError):
        EffectsDisplay.from_estimator(GLNNormRegressor())
    with pytest.raises(TypeError, match="expected an estimator of gnorm"):
        EffectsDisplay.from_estimator(LinearRegression().fit(X, TARGET))
    model = REGRESSOR.fit(X, TARGET)
    with pytest.raises(ValueError, match="expected output below 1, got 1"):
        EffectsDisplay.from_estimator(model, output=1)
    with pytest.raises(TypeError, match="output must be an instance of int"):
        EffectsDisplay.from_estimator(model, output="yes")
    with pytest.raises(ValueError, match="max_contexts == 0, must be >= 1"):
        EffectsDisplay.from_estimator(model, max_contexts=0)
    with pytest.raises(ValueError, match="n_units == -1, must be >= 1"):
        EffectsDisplay.from_estimator(model, n_units=-1)
    nothing = GLNNormRegressor(gates=CategoryGates(), segment=[0], C=1e-9).fit(X, 0 * TARGET)
    with pytest.raises(ValueError, match="expected at least one unit that changes the rule"):
        EffectsDisplay.from_estimator(nothing)
    with pytest.raises(ValueError, match="expected names for deviations of shapes"):
        EffectsDisplay(
            deviations=[np.eye(2)],
            unit_names=["a"],
            context_names=[["b"]],
            feature_names=["c", "d"],
        ).plot()
    with pytest.raises(ValueError, match="expected finite deviations, got NaN"):
        EffectsDisplay(
            deviations=[np.full((1, 2), np.nan)],
            unit_names=["a"],
            context_names=[["b"]],
            feature_names=["c", "d"],
        ).plot()


@pytest.mark.parametrize(("model", "y"), [(REGRESSOR, TARGET), (CLASSIFIER, CLASSES)])
def test_paths_are_importances_along_C(model, y):
    Cs = [0.001, 0.01, 0.1]
    path = unit_path(model, X, y, Cs=Cs)
    assert path.importances.shape == (3, 4)
    assert path.duality_gaps.max() <= model.tol
    assert list(path.unit_names) == ["x0", "x1", "x2", "x3"]
    display = PathDisplay.from_estimator(model, X, y, Cs=Cs, n_named=2, ax=Figure().subplots())
    for line, importances in zip(display.lines_, path.importances.T, strict=True):
        assert_array_equal(line.get_xdata(), Cs)
        assert_array_equal(line.get_ydata(), importances)
    named = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert len(named) == 2
    assert "x1" in named
    assert display.ax_.get_xscale() == "log"


def test_a_path_has_the_importances_of_fits():
    path = unit_path(REGRESSOR, X, TARGET, Cs=[0.01, 0.1])
    for C, importances in zip(path.Cs, path.importances, strict=True):
        from gnorm import JoinedGates, OpenGates

        gates = JoinedGates([OpenGates(), CategoryGates()])
        model = GLNNormRegressor(gates=gates, segment=slice(4), C=C).fit(X, TARGET)
        assert_allclose(importances, model.unit_importances_[1:], atol=0.02)


def test_paths_from_numbers():
    display = PathDisplay(Cs=[1.0, np.inf], importances=[[1.0], [2.0]]).plot()
    assert_array_equal(display.lines_[0].get_xdata(), [1.0])
    assert display.ax_.get_legend() is None
    with pytest.raises(ValueError, match="expected 2 Cs, one a row"):
        PathDisplay(Cs=[1.0], importances=[[1.0], [2.0]]).plot()
    with pytest.raises(ValueError, match="n_named == -1, must be >= 0"):
        PathDisplay(Cs=[1.0], importances=[[1.0]]).plot(n_named=-1)
