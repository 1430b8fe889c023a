"""Gated classifiers and a regressor next to scikit-learn's own, on bundled data.

    make demo
    python examples/quickstart.py [figure]

First a gated network in two dimensions: its solution of least norm, and gradient descent on its way
there. Then the digits 0 to 4 against 5 to 9, on the 8 x 8 images that come with scikit-learn, as a
table; two lines are about other losses, probabilities of these digits, and the progress of diabetes
as a number. It saves a figure, by default to build/quickstart.svg, and beside it the same with its
panels below each other, for narrow pages.
"""

import sys
from math import inf, sqrt
from pathlib import Path
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, make_moons
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
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
from gnorm.datasets import load_binary_digits
from gnorm.descent import GatedNetwork, GradientDescent, margin_ratio

N_UNITS = 100
BLUE, RED = "#0072B2", "#D55E00"
STEPS = {20: "#a1d99b", 100: "#41ab5d", 1000: "#006d2c", 10_000: "black"}  # shown, in these colours
WIDE = {"figsize": (10.0, 2.9), "ncols": 3, "width_ratios": [1.3, 1.3, 1]}
TALL = {"figsize": (4.2, 7.6), "nrows": 3}
COLUMNS = {  # of the table, with their alignment and width
    "model": "<16",
    "C": ">4",
    "held out [%]": ">14",
    "norm": ">8",
    "margin": ">8",
    "duality gap": ">13",
    "support vectors": ">17",
    "active units": ">14",
    "seconds": ">9",
}


def svm(kernel, C):
    """A support vector machine with the C that cross-validation on the training images picks."""
    return GridSearchCV(SVC(kernel=kernel), {"C": C})


def line(cells):
    return "".join(f"{cells.get(column, ''):{form}}" for column, form in COLUMNS.items())


def measure(model, X, y):
    """What the table says of a fitted model."""
    accuracy = model.score(X, y)
    standard_error = sqrt(accuracy * (1 - accuracy) / len(y))
    cells = {
        "C": f"{model.C:g}",
        "held out [%]": f"{100 * accuracy:.1f} ± {100 * standard_error:.1f}",
        "support vectors": len(model.support_),
    }
    if not isinstance(model, SVC):
        (norms,) = model.unit_norms_  # two classes: one predictor
        cells["norm"] = f"{model.norm_[0]:.3f}"
        cells["margin"] = f"{model.margin_[0]:.3f}"
        cells["duality gap"] = f"{model.duality_gap_[0]:.0e}"
        cells["active units"] = f"{np.count_nonzero(norms)} of {len(norms)}"
    return cells


def compare_probabilities(X_train, X_test, y_train, y_test):
    """Log loss of held-out images, for C set by hand."""
    models = (
        GLNNormClassifier(N_UNITS, C=10, random_state=0),
        LogisticRegression(C=10, max_iter=1000),
    )
    losses = [
        log_loss(y_test, model.fit(X_train, y_train).predict_proba(X_test)) for model in models
    ]
    return report("log loss of probabilities, lower is better", models, losses)


def compare_regressors():
    """R2 of five folds of the diabetes data, for penalties set by hand."""
    X, y = load_diabetes(return_X_y=True)
    models = GLNNormRegressor(N_UNITS, C=0.01, random_state=0), Ridge(100)
    scores = []
    for model in models:
        scaled = make_pipeline(StandardScaler(), model)
        centred = TransformedTargetRegressor(scaled, transformer=StandardScaler())
        scores.append(cross_val_score(centred, X, y).mean())
    return report("R2 on diabetes, 442 samples, 5 folds", models, scores)


def relative_excess(gap):
    """By how much the largest margin can exceed a hard margin of this gap, at most.

    For C=inf the dual value bounds the norm from below, and so the margin from above.
    """
    return 1 / sqrt(1 - gap) - 1


def report(what, models, values):
    named = (
        f"{type(model).__name__} {value:.3f}" for model, value in zip(models, values, strict=True)
    )
    return f"{what}: {', '.join(named)}"


class TwoDimensions:
    """A network of four gates on the plane: its solution of least norm, and descent towards it."""

    def __init__(self, n_samples=40, n_units=4):
        points, labels = make_moons(n_samples, noise=0.1, random_state=0)
        self.points, self.y = points - points.mean(axis=0), 2 * labels - 1
        self.gates = HyperplaneGates(n_units, random_state=3).fit(self.points)
        self.X, self.activations = self.inputs(self.points)
        self.axes = [
            np.linspace(low - 0.35, high + 0.35, 300)
            for low, high in zip(self.points.min(axis=0), self.points.max(axis=0), strict=True)
        ]
        self.grid = self.inputs(np.stack(np.meshgrid(*self.axes), axis=-1).reshape(-1, 2))
        self.solution = max_margin(self.X, self.y, self.activations)
        self.ratios, self.values = {}, {}
        self.train(n_units)

    def inputs(self, points):
        """The coordinates and a constant, and the gates that they open."""
        return np.column_stack([points, np.ones(len(points))]), self.gates.transform(points)

    def train(self, n_units):
        network = GatedNetwork.gln(n_features=3, n_units=n_units, random_state=0)

        def look(step, network):
            ratio = margin_ratio(network, self.solution, self.X, self.y, self.activations)
            self.ratios[step] = ratio
            if step in STEPS:
                self.values[step] = self.on_grid(network.decision_function(*self.grid))

        descent = GradientDescent.accelerated(self.X, n_steps=max(STEPS), callback=look)
        descent.train(network, self.X, self.y, self.activations)

    def on_grid(self, values):
        return values.reshape(len(self.axes[1]), len(self.axes[0]))

    def draw(self, figsize, **grid):
        figure = Figure(figsize=figsize, layout="constrained")
        exact, trained, margins = figure.subplots(**grid)
        for ax in (exact, trained):
            for label, colour, marker in ((1, BLUE, "o"), (-1, RED, "s")):
                chosen = self.points[self.y == label].T
                ax.plot(*chosen, marker, color=colour, markersize=4.5, markeredgecolor="white")
            ax.set(xticks=[], yticks=[], aspect="equal")
        self.draw_solution(exact)
        margins.plot(list(self.ratios), list(self.ratios.values()), color="0.6", zorder=1)
        for step, colour in STEPS.items():
            trained.contour(*self.axes, self.values[step], levels=[0], colors=[colour])
            margins.plot(step, self.ratios[step], "o", color=colour)
        margins.axhline(1, color="black", linewidth=0.8)
        margins.set(xscale="log", xlim=(10, 1.3 * max(STEPS)), ylim=(0, 1.05), box_aspect=0.8)
        margins.set(xlabel="steps of gradient descent", ylabel="margin / largest margin")
        titles = "gates, and the least norm", "the network, while it learns", "its margin"
        for letter, ax, title in zip("abc", (exact, trained, margins), titles, strict=True):
            ax.set_title(f"{letter}  {title}", loc="left", fontsize="medium")
        return figure

    def draw_solution(self, ax):
        X, activations = self.grid
        values = self.on_grid(self.solution.decision_values(X, activations))
        ends = -np.abs(values).max() - 1, np.abs(values).max() + 1
        ax.contourf(
            *self.axes, values, levels=[ends[0], 0, ends[1]], colors=[RED, BLUE], alpha=0.18
        )
        for unit in range(activations.shape[1]):
            is_open = self.on_grid(activations[:, unit, 0].astype(float))
            ax.contour(*self.axes, is_open, levels=[0.5], colors="0.6", linewidths=0.8)
        ax.contour(
            *self.axes, values, levels=[-1, 1], colors="black", linewidths=0.7, linestyles=":"
        )
        ax.contour(*self.axes, values, levels=[0], colors="black", linewidths=2.0)


def main(path="build/quickstart.svg"):
    plane = TwoDimensions()
    excess = relative_excess(plane.solution.duality_gap)
    print(f"""a network of 4 gates in two dimensions
largest margin {plane.solution.margin:.4f}, certified to a factor of 1 + {excess:.0e}
trained by gradient descent, {plane.ratios[max(STEPS)]:.4f} of it
""")
    X_train, X_test, y_train, y_test = load_binary_digits(test_size=797, random_state=0)
    models = {
        "linear SVM": svm("linear", C=[0.01, 0.1, 1, 10]),
        "RBF SVM": svm("rbf", C=[0.1, 1, 10, 100]),
        "GatedL2SVC": GatedL2SVC(N_UNITS, C=0.1, random_state=0),
        "FReLUSVC": FReLUSVC(N_UNITS, C=0.1, random_state=0),
        "GLNNormSVC": GLNNormSVC(N_UNITS, C=0.1, random_state=0),
        "GLNNormSVC hard": GLNNormSVC(N_UNITS, C=inf, random_state=0),
    }
    print(f"digits 0-4 against 5-9: {len(y_train)} training images, {len(y_test)} held out\n")
    print(line({column: column for column in COLUMNS}))
    scores = {}
    for name, model in models.items():
        start = perf_counter()
        model.fit(X_train, y_train)
        seconds = perf_counter() - start
        if isinstance(model, GridSearchCV):
            model, seconds = model.best_estimator_, model.refit_time_
        scores[name] = model.score(X_test, y_test)
        cells = measure(model, X_test, y_test)
        print(line({"model": name, **cells, "seconds": f"{seconds:.2f}"}))

    hard = models["GLNNormSVC hard"]
    excess = relative_excess(hard.duality_gap_[0])
    print(f"""
most accurate on the held-out images: {max(scores, key=scores.get)}
certified: the hard margin is the largest of its network, to a factor of 1 + {excess:.0e}
norms and margins compare within one kind of model only

{compare_probabilities(X_train, X_test, y_train, y_test)}
{compare_regressors()}""")

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    plane.draw(**WIDE).savefig(path, dpi=130)
    plane.draw(**TALL).savefig(path.with_stem(f"{path.stem}_tall"), dpi=130)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
