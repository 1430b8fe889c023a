"""A homogeneous function, learnt in a box and asked for far outside of it
=======================================================================

    python examples/plot_extrapolation.py [figure]

The example of Polyakov (2023): ``f = 2 |x1|^2 |x2|^(1/2) - |x1|^(1/2) |x2|^(5/4)``, of degree 3
under G = diag(1, 2), known at 1000 points of [-1, 1]^2. Four regressors learn it as they are, and
on the unit sphere of the dilation, which is known or estimated from the samples. They are tested on
new points of the box and of boxes up to 100 times as large; an error is the root mean square
relative to that of f on the same points. On boxes that the dilation itself enlarges, [-k, k] x
[-k^2, k^2], the error of a homogeneous model is k^3 times that in the first, exactly. It prints the
tables and saves a figure, by default to docs/images/extrapolation.svg.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor

from gnorm.homogeneity import Dilation, HomogeneousRegressor, find_dilation

N_TRAIN, N_TEST = 1000, 5000
SIZES = (1, 2, 5, 10, 30, 100)
DEGREE, WEIGHTS = 3.0, (1.0, 2.0)
REGRESSORS = {
    "MLP": (
        MLPRegressor(hidden_layer_sizes=(64, 64), max_iter=3000, tol=1e-6, random_state=0),
        "#0072B2",
    ),
    "forest": (RandomForestRegressor(200, random_state=0), "#009E73"),
    "boosting": (HistGradientBoostingRegressor(max_iter=300, random_state=0), "#E69F00"),
    "neighbours": (KNeighborsRegressor(5, weights="distance"), "#CC79A7"),
}


def function(X):
    a, b = np.abs(X).T
    return 2 * a**2 * b**0.5 - a**0.5 * b**1.25


def relative_error(model, X):
    f = function(X)
    return np.sqrt(np.mean((model.predict(X) - f) ** 2) / np.mean(f**2))


def train(X, y):
    """Models by name and kind."""
    kinds = {
        "as it is": lambda regressor: regressor,
        "on the sphere": lambda regressor: HomogeneousRegressor(
            regressor, dilation=WEIGHTS, degree=DEGREE
        ),
        "estimated": lambda regressor: HomogeneousRegressor(
            regressor, dilation="estimate", degree=DEGREE
        ),
    }
    return {
        (name, kind): wrap(regressor).fit(X, y)
        for kind, wrap in kinds.items()
        for name, (regressor, _) in REGRESSORS.items()
    }


def draw(errors):
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    titles = {
        "as it is": "a  as they are",
        "on the sphere": "b  on the sphere of the dilation",
        "estimated": "c  dilation estimated from the samples",
    }
    for ax, (kind, title) in zip(panels, titles.items(), strict=True):
        for name, (_, colour) in REGRESSORS.items():
            ax.plot(SIZES, errors[name, kind], color=colour, marker="o", markersize=4, label=name)
        ax.axhline(1, color="0.6", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        ax.set(xscale="log", yscale="log", xlabel="size of the box / that of training")
        ax.set_xticks(SIZES, [str(k) for k in SIZES])
        ax.minorticks_off()
        ax.set_title(title, loc="left", fontsize="medium")
    panels[0].set(ylabel="relative error")
    panels[0].annotate(
        "error of the answer 0", (1.0, 1.06), fontsize="small", color="0.3", va="bottom"
    )
    panels[0].legend(frameon=False, loc="lower right")
    return figure


def main(path="docs/images/extrapolation.svg"):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(N_TRAIN, 2))
    test = rng.uniform(-1, 1, size=(N_TEST, 2))
    print(f"dilation of {N_TRAIN} samples: {find_dilation(function(X), X, degree=DEGREE)}")
    models = train(X, function(X))
    errors = {
        key: [relative_error(model, size * test) for size in SIZES] for key, model in models.items()
    }
    print(f"\n{'relative error in boxes of size':<32}" + "".join(f"{k:>8}" for k in SIZES))
    for (name, kind), values in errors.items():
        print(f"{f'{name}, {kind}':<32}" + "".join(f"{value:8.3f}" for value in values))

    dilation = Dilation(WEIGHTS)
    model = models["MLP", "on the sphere"]
    first = np.sqrt(np.mean((model.predict(test) - function(test)) ** 2))
    print("\nMLP on the sphere, in boxes that the dilation enlarges: root mean squared error")
    for k in SIZES[1:]:
        moved = dilation.apply(test, np.log(k))
        error = np.sqrt(np.mean((model.predict(moved) - function(moved)) ** 2))
        print(f"  {k:>3} times: {error / first / k**DEGREE:.6f} times {k}^3 times that of training")

    figure = draw(errors)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
