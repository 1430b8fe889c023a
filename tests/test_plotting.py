import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from gnorm import (
    FReLUSVC,
    GatedL2SVC,
    GLNNormClassifier,
    GLNNormRegressor,
    GLNNormSVC,
    HyperplaneGates,
    max_margin,
)
from gnorm.descent import (
    GatedNetwork,
    GradientDescent,
    History,
    Normalized,
    RisingMomentum,
    matrix_factorization,
)
from gnorm.plotting import HistoryDisplay, MarginDisplay, UnitNormsDisplay

PIXELS, DIGITS = load_digits(return_X_y=True)
X, DIGIT = PIXELS[:200] / 16, DIGITS[:200]
IS_SMALL = DIGIT < 5
NAMES = np.array(["five to nine", "zero to four"])[IS_SMALL.astype(int)]


@pytest.fixture(autouse=True)
def closed_figures():
    matplotlib.use("Agg")
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def two_classes():
    return GLNNormSVC(30, C=0.1, random_state=0).fit(X, IS_SMALL)


@pytest.fixture(scope="module")
def ten_classes():
    return GLNNormSVC(10, random_state=0).fit(X, DIGIT)


@pytest.fixture
def ax():
    return Figure().subplots()


def texts(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def draw_unit_norms(classifier, **kwargs):
    return UnitNormsDisplay.from_estimator(classifier, **kwargs)


def draw_margins(classifier, **kwargs):
    labels = np.resize(classifier.classes_, len(X)) if hasattr(classifier, "classes_") else IS_SMALL
    return MarginDisplay.from_estimator(classifier, X, labels, **kwargs)


both = pytest.mark.parametrize("draw", [draw_unit_norms, draw_margins])


# ------------------------------------------------------------------------------- what is drawn


@pytest.mark.parametrize("kind", [GLNNormSVC, FReLUSVC, GatedL2SVC])
def test_unit_norms_are_those_of_the_estimator(kind):
    classifier = kind(10, random_state=0).fit(X, IS_SMALL)
    display = UnitNormsDisplay.from_estimator(classifier)
    (line,) = display.lines_
    assert_array_equal(line.get_ydata(), np.sort(classifier.unit_norms_[0])[::-1])
    assert_array_equal(line.get_xdata(), np.arange(1, 1 + classifier.unit_norms_.shape[1]))
    n_active = np.count_nonzero(classifier.unit_norms_)
    n_units = classifier.unit_norms_.size
    assert texts(display) == [f"{kind.__name__}: {n_active} of {n_units} active"]


def test_unit_norms_of_several_classes(ten_classes):
    display = UnitNormsDisplay.from_estimator(ten_classes, name="digits")
    assert len(display.lines_) == 10
    for line, norms in zip(display.lines_, ten_classes.unit_norms_, strict=True):
        assert_array_equal(line.get_ydata(), np.sort(norms)[::-1])
    assert texts(display)[3].startswith("3: ")
    assert display.ax_.get_legend().get_title().get_text() == "digits"


def test_unit_norms_of_a_solution():
    gates = np.ones((4, 3, 1), dtype=bool)
    gates[:2, 0] = False
    solution = max_margin(np.eye(4), [1, -1, 1, -1], gates)
    display = UnitNormsDisplay(unit_norms=solution.unit_norms).plot()
    assert_array_equal(display.lines_[0].get_ydata(), np.sort(solution.unit_norms)[::-1])


@pytest.mark.parametrize("y", [IS_SMALL, NAMES, np.where(IS_SMALL, 1, -1), NAMES.tolist()])
def test_margins_are_those_of_the_estimator(y):
    classifier = GLNNormSVC(10, C=np.inf, random_state=0).fit(X, y)
    display = MarginDisplay.from_estimator(classifier, X, y)
    (line,) = display.lines_
    signed = np.where(IS_SMALL, 1, -1) * classifier.decision_function(X) / classifier.norm_[0]
    assert_allclose(line.get_xdata(), np.sort(np.append(signed, signed.min())))
    assert_allclose(line.get_xdata()[0], classifier.margin_[0])
    assert_allclose(display.margins[:, 0], signed)


def test_height_at_zero_is_the_error_rate(two_classes):
    X_test, y_test = PIXELS[200:] / 16, DIGITS[200:] < 5
    display = MarginDisplay.from_estimator(two_classes, X_test, y_test)
    (line,) = display.lines_
    height = line.get_ydata()[line.get_xdata() <= 0].max()
    assert 0 < height < 50
    assert_allclose(height, 100 * (1 - two_classes.score(X_test, y_test)))
    assert line.get_ydata()[0] == 0
    assert line.get_ydata()[-1] == 100


def test_dashed_line_is_where_the_hinge_loss_begins(two_classes):
    display = MarginDisplay.from_estimator(two_classes, X, IS_SMALL)
    dashed = display.ax_.lines[-1]
    assert_allclose(dashed.get_xdata(), 1 / two_classes.norm_[0])
    assert texts(display) == ["GLNNormSVC", rf"$1/\|f\|$ = {1 / two_classes.norm_[0]:.3g}"]


def test_margins_of_several_classes(ten_classes):
    y = np.roll(DIGIT, 3)  # some are wrong
    display = MarginDisplay.from_estimator(ten_classes, X, y)
    signs = np.where(y[:, None] == np.arange(10), 1, -1)
    expected = np.sort(signs * ten_classes.decision_function(X) / ten_classes.norm_, axis=0)
    assert_allclose(np.stack([line.get_xdata()[1:] for line in display.lines_], 1), expected)
    assert texts(display) == [str(digit) for digit in range(10)]
    assert "each class against the rest" in display.ax_.get_xlabel()


def test_margins_under_the_multinomial_loss():
    classifier = GLNNormClassifier(5, random_state=0).fit(X, DIGIT)
    y = np.roll(DIGIT, 3)  # some are wrong
    display = MarginDisplay.from_estimator(classifier, X, y)
    values = classifier.decision_function(X)
    others = np.where(y[:, None] == np.arange(10), -np.inf, values).max(axis=1)
    expected = (values[np.arange(200), y] - others) / classifier.norm_[0]
    (line,) = display.lines_
    assert_allclose(line.get_xdata()[1:], np.sort(expected))
    height = line.get_ydata()[line.get_xdata() <= 0].max()
    assert_allclose(height, 100 * (1 - classifier.score(X, y)))
    assert texts(display) == ["GLNNormClassifier"]  # and no dashed line
    (line,) = UnitNormsDisplay.from_estimator(classifier).lines_
    assert_array_equal(line.get_ydata(), np.sort(classifier.unit_norms_[0])[::-1])


def test_unit_norms_of_targets():
    regressor = GLNNormRegressor(5, random_state=0).fit(X, np.column_stack([DIGIT, DIGIT**2]))
    display = UnitNormsDisplay.from_estimator(regressor)
    assert [text.split(":")[0] for text in texts(display)] == ["target 0", "target 1"]
    with pytest.raises(TypeError, match=r"expected a classifier, got GLNNormRegressor"):
        MarginDisplay.from_estimator(regressor, X, DIGIT)


def test_margins_of_one_class_only(two_classes):
    display = MarginDisplay.from_estimator(two_classes, X[~IS_SMALL], IS_SMALL[~IS_SMALL])
    assert len(display.lines_[0].get_xdata()) == 1 + np.count_nonzero(~IS_SMALL)


def test_zero_predictor():
    # the two labels of the one input cancel
    classifier = GLNNormSVC(2, random_state=0).fit(np.ones((2, 3)), [0, 1])
    assert classifier.norm_[0] == 0
    display = MarginDisplay.from_estimator(classifier, np.ones((2, 3)), [0, 1])
    assert_array_equal(display.lines_[0].get_xdata(), 0)
    assert texts(display) == ["GLNNormSVC"]


# --------------------------------------------------------------------------------- training runs


def train(max_steps=200, callback=None, **options):
    open_ = HyperplaneGates(5, random_state=0).fit_transform(X)
    network = GatedNetwork.gln(X.shape[1], 5, random_state=0)
    descent = GradientDescent(Normalized(0.05), max_steps=max_steps, callback=callback, **options)
    return descent.train(network, X, np.where(IS_SMALL, 1, -1), open_)


def made_up_measures(step, network):
    return {"margin_ratio": 1 - 1 / (step + 2), "inconsistency": 0.5 / (step + 1)}


@pytest.fixture(scope="module")
def run():
    return train(callback=made_up_measures)


def titles(display):
    return [ax.get_ylabel() for ax in display.axes_]


def test_history_panels_are_its_measures(run):
    display = HistoryDisplay.from_history(run)
    assert titles(display) == ["loss", "1 - margin ratio", "drift of the balance", "inconsistency"]
    balance = run["unit_balance"]
    drift = np.abs(balance - balance[0]).max(axis=1) / run["squared_norm"]
    assert drift[-1] > 0
    expected = [np.log10(run.loss), 1 - run["margin_ratio"], drift, run["inconsistency"]]
    for line, values in zip(display.lines_, expected, strict=True):
        assert_array_equal(line.get_xdata(), run.step)
        assert_allclose(line.get_ydata(), values)
    assert display.axes_[0].get_legend() is None
    assert {ax.get_xscale() for ax in display.axes_} == {"log"}
    assert [ax.get_yscale() for ax in display.axes_] == ["linear", "log", "log", "log"]


def test_history_without_measures_of_a_callback():
    assert titles(HistoryDisplay.from_history(train(20))) == ["loss", "drift of the balance"]


def test_history_of_a_factorisation():
    history = GradientDescent(0.01, max_steps=20).minimize(matrix_factorization(np.eye(3)))
    display = HistoryDisplay.from_history(history)
    assert titles(display) == ["loss", "drift of the balance"]
    assert_allclose(display.lines_[0].get_ydata(), np.log10(history.loss))


def test_history_of_a_single_layer_has_no_balance():
    network = GatedNetwork.shallow_gln(X.shape[1], 1, random_state=0)
    y, open_ = np.where(IS_SMALL, 1, -1), np.ones((len(X), 1, 1), dtype=bool)
    history = GradientDescent(max_steps=5).train(network, X, y, open_)
    assert titles(HistoryDisplay.from_history(history)) == ["loss"]


def test_loss_below_the_smallest_number_is_drawn():
    history = train(2000, momentum=RisingMomentum())
    assert history.loss[-1] == 0
    display = HistoryDisplay.from_history(history)
    assert_allclose(display.lines_[0].get_ydata()[-1], history["log_loss"][-1] / np.log(10))
    # in such a range powers of ten are themselves spaced by powers of ten
    display.figure_.draw_without_rendering()
    labels = [label.get_text() for label in display.axes_[0].get_yticklabels()]
    assert {"$10^{-1}$", "$10^{-10}$", "$10^{-100}$"} <= set(labels)


def test_second_run_into_the_same_panels(run):
    first = HistoryDisplay.from_history(run, name="one")
    other = train(100, callback=made_up_measures)
    second = HistoryDisplay.from_history(other, name="two", axes=first.axes_, linewidth=3)
    assert second.figure_ is first.figure_
    for ax, one, two in zip(first.axes_, first.lines_, second.lines_, strict=True):
        assert one.axes is two.axes is ax
        assert one.get_color() != two.get_color()
        assert two.get_linewidth() == 3
    legend = first.axes_[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["one", "two"]


def test_history_into_given_panels_without_pyplot(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    figure = Figure()
    display = HistoryDisplay.from_history(run, axes=figure.subplots(2, 2))
    assert display.figure_ is figure
    assert display.axes_.shape == (4,)


def test_history_makes_one_figure_with_its_panels_alone(run):
    display = HistoryDisplay.from_history(run)
    assert display.figure_.axes == list(display.axes_)
    assert len(pyplot.get_fignums()) == 1


# --------------------------------------------------------------------------------- into which axes


@both
def test_own_figure(draw, two_classes):
    first, second = draw(two_classes), draw(two_classes)
    assert first.figure_ is first.ax_.figure
    assert first.ax_ is not second.ax_


@both
def test_given_axes_without_pyplot(draw, two_classes, ax, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    display = draw(two_classes, ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


@both
def test_two_displays_in_one_axes(draw, two_classes, ax):
    first, second = draw(two_classes, ax=ax, name="one"), draw(two_classes, ax=ax, name="two")
    (one,), (two,) = first.lines_, second.lines_
    assert one.get_color() != two.get_color()
    assert texts(first)[0].startswith("one")
    assert texts(first)[1].startswith("two")
    assert len(set(texts(first))) == len(texts(first))  # the dashed line once
    second.figure_.draw_without_rendering()


def test_later_curves_stay_in_view(ax):
    UnitNormsDisplay(unit_norms=[3.0, 2.0]).plot(ax)
    assert ax.get_ylim()[0] <= 0
    UnitNormsDisplay(unit_norms=[5.0, 4.0, 0.0]).plot(ax)
    assert ax.get_ylim()[1] >= 5
    assert ax.get_xlim()[1] >= 3


@both
def test_line_options(draw, two_classes, ten_classes):
    for classifier in (two_classes, ten_classes):
        for line in draw(classifier, color="red", linewidth=7, label="mine").lines_:
            assert (line.get_color(), line.get_linewidth(), line.get_label()) == ("red", 7, "mine")


@both
def test_no_two_curves_look_alike(draw, ten_classes):
    looks = {(line.get_color(), line.get_linestyle()) for line in draw(ten_classes).lines_}
    assert len(looks) == 10


def test_pipeline_and_search():
    search = GridSearchCV(GLNNormSVC(5, random_state=0), {"C": [0.1, 1]}, cv=2)
    pipeline = make_pipeline(StandardScaler(), search).fit(X, IS_SMALL)
    best = pipeline[-1].best_estimator_
    (line,) = UnitNormsDisplay.from_estimator(pipeline).lines_
    assert_array_equal(line.get_ydata(), np.sort(best.unit_norms_[0])[::-1])
    display = MarginDisplay.from_estimator(pipeline, X, IS_SMALL)
    signed = np.where(IS_SMALL, 1, -1) * pipeline.decision_function(X) / best.norm_[0]
    assert_allclose(display.margins[:, 0], signed)


# ------------------------------------------------------------------------------------------ errors


@both
def test_without_matplotlib(draw, two_classes, monkeypatch):
    for module in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install gnorm\[plot\]"):
        draw(two_classes)


def test_import_loads_no_matplotlib():
    code = "import sys, gnorm.plotting; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@both
def test_not_fitted(draw):
    with pytest.raises(NotFittedError, match="GLNNormSVC"):
        draw(GLNNormSVC())


@both
def test_other_estimator(draw):
    with pytest.raises(TypeError, match=r"expected an estimator of gnorm, .*got SVC\(\)"):
        draw(SVC().fit(X, IS_SMALL))


@both
def test_wrong_axes(draw, two_classes):
    with pytest.raises(TypeError, match="expected matplotlib Axes as ax, got ndarray"):
        draw(two_classes, ax=Figure().subplots(2))


def test_unknown_label(two_classes):
    with pytest.raises(ValueError, match=r"of the classes \[False  True\], got \[3\]"):
        MarginDisplay.from_estimator(two_classes, X, np.where(IS_SMALL, 3, 0))


def test_wrong_history(run):
    with pytest.raises(ValueError, match="expected a history with rows, got an empty one"):
        HistoryDisplay.from_history(History())
    with pytest.raises(ValueError, match="expected at least one measure of a run, got none"):
        HistoryDisplay(step=[1, 2]).plot()
    with pytest.raises(ValueError, match="expected 4 axes, one a measure, got 2"):
        HistoryDisplay.from_history(run, axes=Figure().subplots(2))
    with pytest.raises(TypeError, match="expected matplotlib Axes as ax, got str"):
        HistoryDisplay(step=[1, 2], log_loss=[0, 1]).plot(axes=["panel"])


def test_history_without_matplotlib(run, monkeypatch):
    for module in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install gnorm\[plot\]"):
        HistoryDisplay.from_history(run)


def test_wrong_number_of_labels(two_classes):
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[200, 199\]"):
        MarginDisplay.from_estimator(two_classes, X, IS_SMALL[1:])


def test_wrong_constructor_arguments():
    with pytest.raises(ValueError, match="expected a list of 1 labels, one a predictor, got 'gln'"):
        UnitNormsDisplay(unit_norms=[1.0], labels="gln").plot()
    with pytest.raises(ValueError, match=r"expected a list of 2 labels.*got \['a'\]"):
        MarginDisplay(margins=np.ones((3, 2)), labels=["a"]).plot()
    with pytest.raises(ValueError, match="expected 2 norms, one a predictor, got 1"):
        MarginDisplay(margins=np.ones((3, 2)), norms=1.0).plot()
    with pytest.raises(ValueError, match="unit_norms contains NaN"):
        UnitNormsDisplay(unit_norms=[1.0, np.nan]).plot()
    with pytest.raises(ValueError, match="0 sample"):
        MarginDisplay(margins=[]).plot()
