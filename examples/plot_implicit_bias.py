"""Gradient descent finds the max-margin predictor of the GLN norm, and not another one
====================================================================================

    python examples/plot_implicit_bias.py [figure]

A gated linear network of 5 units with 2 contexts each learns the digits 0 to 4 against 5 to 9 from
200 of the 8 x 8 images that come with scikit-learn. Three kinds of gradient descent are compared
with the exact solution, and with the solution of another norm, whose groups mix the contexts of
different units. It prints a table and saves a figure, by default to docs/images/implicit_bias.svg.
"""

import sys
from pathlib import Path
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gnorm import HyperplaneGates, max_margin
from gnorm.datasets import load_binary_digits
from gnorm.descent import (
    GatedNetwork,
    GradientDescent,
    Normalized,
    RisingMomentum,
    compare,
    inconsistency,
)
from gnorm.plotting import HistoryDisplay

N_TRAIN, N_UNITS = 200, 5
N_LONG, N_SHORT = 30_000, 6_000
TITLES = (
    "a  loss",
    "b  margin",
    "c  balance",
    "d  held-out signs",
    "e  right and wrong solution",
    "f  shares of the units",
)
COLUMNS = {  # of the table, with their alignment and width
    "descent": "<21",
    "steps": ">7",
    "time": ">8",
    "1 - margin ratio": ">18",
    "KKT residual": ">14",
    "differs [%]": ">13",
    "from wrong [%]": ">16",
}


def with_constant(X):
    return np.column_stack([X, np.ones(len(X))])


def in_wrong_groups(activations):
    """Group r gets the flat (unit, context) indices r, r + n_units, r + 2 n_units, ..."""
    n_samples, n_units, n_contexts = activations.shape
    flat = activations.reshape(n_samples, n_units * n_contexts)
    return np.stack([flat[:, r::n_units] for r in range(n_units)], axis=1)


def distance(values, others):
    """Between the directions of two predictors, in their values on the same inputs."""
    return np.linalg.norm(values / np.linalg.norm(values) - others / np.linalg.norm(others))


def descents(X, callback):
    """The three, by name."""
    rate = Normalized(1 / np.square(X).sum(axis=1).max())
    return {
        "plain": GradientDescent(rate, max_steps=N_LONG, callback=callback),
        "momentum": GradientDescent(
            rate, momentum=RisingMomentum(), max_steps=N_LONG, callback=callback
        ),
        "accelerated": GradientDescent.accelerated(X, N_SHORT, callback=callback),
    }


def line(cells):
    return "".join(f"{cells[column]:{form}}" for column, form in COLUMNS.items()).rstrip()


def draw(histories, between):
    """Four panels of a history, and two of what the theorem is about."""
    figure = Figure(figsize=(10.0, 5.6), layout="constrained")
    panels = figure.subplots(2, 3)
    toward, shares = panels[1, 1:]
    colours = {}
    for name, history in histories.items():
        display = HistoryDisplay.from_history(history, name=name, axes=[*panels[0], panels[1, 0]])
        colours[name] = display.lines_[0].get_color()
    for name, history in histories.items():
        style = {"color": colours[name], "linewidth": 1.2}
        toward.plot(history.step, history["to_right"], **style)
        toward.plot(history.step, history["to_wrong"], linestyle="--", **style)
        shares.plot(history.step, history["share_distance"], **style)
    toward.axhline(between, color="0.6", linewidth=0.8, zorder=0)
    for ax in (toward, shares):
        ax.set(xlabel="step", xscale="log", yscale="log")
    for ax, title in zip(panels.flat, TITLES, strict=True):
        ax.set_title(title, loc="left", fontsize="medium")
    toward.set_ylabel("distance of the predictors")
    shares.set_ylabel("distance of the unit shares")
    kinds = [
        Line2D([], [], color="0.2", linewidth=1.2, label="to the solution"),
        Line2D([], [], color="0.2", linewidth=1.2, linestyle="--", label="to the wrong one"),
        Line2D([], [], color="0.6", linewidth=0.8, label="between the two"),
    ]
    toward.legend(handles=kinds, frameon=False, fontsize="small", loc="lower left")
    return figure


def main(path="docs/images/implicit_bias.svg"):
    X, X_test, y, _ = load_binary_digits(test_size=1797 - N_TRAIN, random_state=0)
    X, X_test = with_constant(X), with_constant(X_test)
    gates = HyperplaneGates(N_UNITS, random_state=0).fit(X)
    open_, open_test = gates.transform(X), gates.transform(X_test)
    solution = max_margin(X, y, open_, tol=1e-9)
    wrong = max_margin(X, y, in_wrong_groups(open_), tol=1e-9)
    right_values = solution.decision_values(X_test, open_test)
    wrong_values = wrong.decision_values(X_test, in_wrong_groups(open_test))

    def measure(step, network):
        values = network.decision_function(X_test, open_test)
        record = compare(network, solution, X, y, open_, X_test=X_test, activations_test=open_test)
        return {
            "margin_ratio": record.margin_ratio,
            "inconsistency": record.inconsistency,
            "kkt_residual": record.kkt_residual,
            "share_distance": record.share_distance,
            "to_right": distance(values, right_values),
            "to_wrong": distance(values, wrong_values),
            "differs_from_wrong": inconsistency(values, wrong_values),
        }

    print(f"digits 0-4 against 5-9: {len(y)} training images, {len(X_test)} held out")
    print(f"least GLN norm at margin 1: {solution.norm:.4f}, in wrong groups {wrong.norm:.4f}\n")
    print(line({column: column for column in COLUMNS}))
    histories = {}
    for name, descent in descents(X, measure).items():
        network = GatedNetwork.gln(X.shape[1], N_UNITS, random_state=0)
        start = perf_counter()
        history = descent.train(network, X, y, open_)
        seconds = perf_counter() - start
        histories[name] = history
        last = history.rows[-1]
        cells = {
            "descent": name,
            "steps": history.n_steps,
            "time": f"{seconds:.1f} s",
            "1 - margin ratio": f"{1 - last['margin_ratio']:.5f}",
            "KKT residual": f"{last['kkt_residual']:.4f}",
            "differs [%]": f"{100 * last['inconsistency']:.2f}",
            "from wrong [%]": f"{100 * last['differs_from_wrong']:.2f}",
        }
        print(line(cells))
    print(f"\nright and wrong solution differ on {inconsistency(right_values, wrong_values):.2%}")

    figure = draw(histories, distance(right_values, wrong_values))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
