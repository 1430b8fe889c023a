"""Gated classifiers and a regressor next to scikit-learn's own, on bundled data.

    make demo
    python examples/quickstart.py [figure]

The task is the digits 0 to 4 against 5 to 9, on the 8 x 8 images that come with scikit-learn. It
prints a table and saves a figure, by default to build/quickstart.png. Two lines are about other
losses: probabilities of these digits, and the progress of diabetes as a number.
"""

import sys
from math import inf, sqrt
from pathlib import Path
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from gnorm import FReLUSVC, GatedL2SVC, GLNNormClassifier, GLNNormRegressor, GLNNormSVC
from gnorm.datasets import load_binary_digits
from gnorm.plotting import MarginDisplay, UnitNormsDisplay

N_UNITS = 100
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


def report(what, models, values):
    named = (
        f"{type(model).__name__} {value:.3f}" for model, value in zip(models, values, strict=True)
    )
    return f"{what}: {', '.join(named)}"


def draw(gln, l2, hard, X_train, X_test, y_train, y_test):
    """Which units the predictors use, and how far from the boundary the images are."""
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)

    UnitNormsDisplay.from_estimator(l2, ax=left, color="0.5")
    UnitNormsDisplay.from_estimator(gln, ax=left, color="#009E73")
    left.set_title("The GLN norm does without some units", loc="left", fontsize="medium")

    MarginDisplay.from_estimator(hard, X_train, y_train, name="training", ax=right, linewidth=3)
    MarginDisplay.from_estimator(hard, X_test, y_test, name="held out", ax=right)
    right.set_title("No training image has a smaller margin", loc="left", fontsize="medium")
    error = 1 - hard.score(X_test, y_test)
    right.annotate(
        f"held-out\nerror {error:.1%}",
        xy=(0, 100 * error),
        xytext=(0.04, 0.3),
        textcoords="axes fraction",
        fontsize="small",
        arrowprops={"arrowstyle": "-", "color": "0.4"},
    )
    figure.supxlabel(
        f"Left: C = {gln.C}. Right: GLNNormSVC, hard margin {hard.margin_[0]:.4f}, certified as "
        f"the largest possible by a duality gap of {hard.duality_gap_[0]:.0e}.",
        fontsize="small",
        color="0.3",
    )
    return figure


def main(path="build/quickstart.png"):
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
    # For C=inf the dual value bounds the norm from below, and so the margin from above.
    excess = 1 / sqrt(1 - hard.duality_gap_[0]) - 1
    print(f"""
most accurate on the held-out images: {max(scores, key=scores.get)}
certified: the hard margin is the largest of its network, to a factor of 1 + {excess:.0e}
norms and margins compare within one kind of model only

{compare_probabilities(X_train, X_test, y_train, y_test)}
{compare_regressors()}""")

    figure = draw(
        models["GLNNormSVC"], models["GatedL2SVC"], hard, X_train, X_test, y_train, y_test
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, pil_kwargs={"optimize": True})
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
