"""A unit that starts at zero stays there, and the limit of training is not the optimum
====================================================================================

    python examples/plot_dead_units.py [figure]

Gradient descent ends at a stationary point of the max-margin problem. With a unit whose weights are
all zero there are stationary points of larger norm than the optimum, and a network that starts with
a dead unit ends at one. Here one of the 5 units of a gated linear network starts at full size, at a
thousandth of it, at a millionth, or at zero. The task is the digits 0 to 4 against 5 to 9, 200 of
the images that come with scikit-learn. It prints a table and saves a figure, by default to
docs/images/dead_units.svg.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gnorm import HyperplaneGates, max_margin
from gnorm.datasets import load_binary_digits
from gnorm.descent import (
    GatedNetwork,
    GradientDescent,
    Normalized,
    RisingMomentum,
    compare,
)

N_TRAIN, N_UNITS, UNIT = 200, 5, 4
N_STEPS = 10_000
STARTS = {  # by factor; where curves coincide, the wide ones show below the narrow
    1.0: {"label": "full size", "color": "#0072B2", "linewidth": 3.2},
    1e-3: {"label": "$10^{-3}$", "color": "#56B4E9", "linewidth": 2.2},
    1e-6: {"label": "$10^{-6}$", "color": "#E69F00", "linewidth": 1.4},
    0.0: {"label": "zero", "color": "#000000", "linewidth": 1.4, "linestyle": (0, (3, 3))},
}
KINDS = {"momentum": "momentum alone", "accelerated": "accelerated"}
COLUMNS = {  # of the table, with their alignment and width
    "descent": "<19",
    "start": ">7",
    "margin ratio": ">14",
    "KKT residual": ">14",
    "share [%]": ">11",
    "differs [%]": ">13",
}


def with_constant(X):
    return np.column_stack([X, np.ones(len(X))])


def descent(kind, X, measure):
    if kind == "accelerated":
        return GradientDescent.accelerated(X, N_STEPS, callback=measure)
    rate = Normalized(1 / np.square(X).sum(axis=1).max())
    return GradientDescent(rate, momentum=RisingMomentum(), max_steps=N_STEPS, callback=measure)


def start(n_features, factor):
    """A random network in which the weights of one unit, in both layers, are multiplied."""
    network = GatedNetwork.gln(n_features, N_UNITS, random_state=0)
    first, last = network.layers
    first.weights[:, UNIT] *= factor
    last.weights[:, :, UNIT] *= factor
    return network


def line(cells):
    return "".join(f"{cells[column]:{form}}" for column, form in COLUMNS.items()).rstrip()


def write(ax, text, height, above=False):
    """Say what a horizontal line is, at its left end."""
    ax.annotate(
        text,
        xy=(12, height),
        xytext=(0, 3 if above else -4),
        textcoords="offset points",
        verticalalignment="bottom" if above else "top",
        fontsize="small",
        color="0.3",
    )


def draw(histories, dead_ratio, share):
    figure = Figure(figsize=(10.0, 5.6), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True, sharey="col")
    columns = ("margin_ratio", "share", "kkt_residual")
    for (kind, factor), history in histories.items():
        row = panels[list(KINDS).index(kind)]
        for ax, name in zip(row, columns, strict=True):
            ax.plot(history.step, history[name], **STARTS[factor])
    letters = iter("abcdef")
    for (margin, shares, residual), name in zip(panels, KINDS.values(), strict=True):
        margin.axhline(1, color="0.6", linewidth=0.8, zorder=0)
        margin.axhline(dead_ratio, color="0.3", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        write(margin, "optimum without\nthe unit", dead_ratio)
        write(margin, "optimum", 1)
        margin.set(xlim=(10, N_STEPS), xscale="log", ylim=(0.4, 1.04), ylabel="margin ratio")
        shares.axhline(share, color="0.6", linewidth=0.8, zorder=0)
        write(shares, "its share at the optimum", share, above=True)
        shares.set(yscale="log", ylabel="share of the unit in the norm", ylim=(None, 30))
        residual.set(yscale="log", ylabel="KKT residual")
        titles = {margin: name, shares: "zero is not shown: stays 0", residual: name}
        for ax, title in titles.items():
            ax.set_title(f"{next(letters)}  {title}", loc="left", fontsize="medium")
    for ax in panels[1]:
        ax.set_xlabel("step")
    panels[0, 2].legend(title="unit starts at", frameon=False, loc="lower left")
    return figure


def main(path="docs/images/dead_units.svg"):
    X, X_test, y, _ = load_binary_digits(test_size=1797 - N_TRAIN, random_state=0)
    X, X_test = with_constant(X), with_constant(X_test)
    gates = HyperplaneGates(N_UNITS, random_state=0).fit(X)
    open_, open_test = gates.transform(X), gates.transform(X_test)
    solution = max_margin(X, y, open_, tol=1e-9)
    without = max_margin(X, y, np.delete(open_, UNIT, axis=1), tol=1e-9)

    def measure(step, network):
        record = compare(network, solution, X, y, open_, X_test=X_test, activations_test=open_test)
        unit_norms = np.linalg.norm(network.to_zeta(), axis=(1, 2))
        return {
            "margin_ratio": record.margin_ratio,
            "kkt_residual": record.kkt_residual,
            "inconsistency": record.inconsistency,
            "share": unit_norms[UNIT] / unit_norms.sum(),
        }

    share = solution.unit_norms[UNIT] / solution.norm
    dead_ratio = solution.norm / without.norm
    print(f"optimum with all units: norm {solution.norm:.4f}, share of the unit {share:.2%}")
    print(f"optimum without the unit: norm {without.norm:.4f}, margin ratio {dead_ratio:.4f}\n")
    print(line({column: column for column in COLUMNS}))
    histories = {}
    for kind, name in KINDS.items():
        for factor in STARTS:
            network = start(X.shape[1], factor)
            history = descent(kind, X, measure).train(network, X, y, open_)
            histories[kind, factor] = history
            last = history.rows[-1]
            cells = {
                "descent": name,
                "start": f"{factor:g}",
                "margin ratio": f"{last['margin_ratio']:.4f}",
                "KKT residual": f"{last['kkt_residual']:.4f}",
                "share [%]": f"{100 * last['share']:.2f}",
                "differs [%]": f"{100 * last['inconsistency']:.2f}",
            }
            print(line(cells))

    figure = draw(histories, dead_ratio, share)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
