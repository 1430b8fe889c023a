"""Networks that are only quasi-homogeneous: what is conserved, what rises, where they end
=======================================================================================

    python examples/plot_rates.py [figure]

A ReLU network with a bias in every layer and a residual network learn digits. For every vertex of
the polytope of their rates the normalised margin log(1/loss) / ||w||^(1/max rate) rises, with the
norm in which the rates weigh the weights; squared norms of different rates differ by what they
differed by at the start; and the KKT residual of the weights of the largest rate falls. It prints
the ends of the curves and saves a figure, by default docs/images/rates.svg.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gnorm.datasets import load_binary_digits
from gnorm.descent import Damped, GradientDescent, MarginLoss, Network, kkt_point
from gnorm.descent.layers import Bias, Dense, ReLU, residual

N_TRAIN, N_STEPS, RATE = 200, 60_000, 4.0
SMALL = 0.05  # a KKT residual that is printed as a number
COLORS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7")


def networks(n_features):
    hidden = [Dense(n_features, 12), Bias(12), ReLU(), Dense(12, 8), Bias(8), ReLU()]
    block = residual(Dense(12, 12), Bias(12), ReLU(), Dense(12, 12))
    chains = {
        "ReLU with biases": [*hidden, Dense(8, 1), Bias(1)],
        "residual": [Dense(n_features, 12), block, ReLU(), Dense(12, 1)],
    }
    return {name: Network(n_features, chain, random_state=0) for name, chain in chains.items()}


def train(network, X, y):
    vectors = network.rates().vertices()

    def residuals(step, objective):
        separates = objective.margins().min() > 0
        if not separates:
            return {"kkt": np.full(len(vectors), np.nan)}
        return {"kkt": np.array([kkt_point(network, X, y, rates=r).residual for r in vectors])}

    objective = MarginLoss(network, X, y, loss="exponential", rates=vectors)
    descent = GradientDescent(
        Damped(RATE, 2.0), loss="exponential", max_steps=N_STEPS, callback=residuals
    )
    return vectors, descent.minimize(objective)


def draw(runs, path):
    figure = Figure(figsize=(11, 6), layout="constrained")
    grid = figure.subplots(len(runs), 3, sharex=True)
    letters = iter("abcdef")
    for row, (name, (vectors, run)) in zip(grid, runs.items(), strict=True):
        steps = run.step + 1
        for i, color in zip(range(len(vectors)), COLORS, strict=False):
            label = f"vertex {i + 1}"
            margins = run["normalized_margins"][:, i]
            positive = margins > 0
            relative = margins[positive] / margins[-1]
            row[0].plot(steps[positive], relative, color=color, label=label)
            row[1].plot(steps, run["seminorms"][:, i] ** 2, color=color, label=label)
            if i:
                row[1].plot(steps, np.abs(run["conserved"][:, i - 1]), ":", color=color)
            row[2].plot(steps, run["kkt"][:, i], color=color, label=label)
        ylabels = (
            "normalised margin / its last value",
            "squared norms in the rates;\ndotted, their differences",
            "KKT residual of the weights\nof the largest rate",
        )
        for ax, ylabel in zip(row, ylabels, strict=True):
            ax.set_title(f"{next(letters)}  {name}", loc="left", fontsize="medium")
            ax.set_ylabel(ylabel)
        for ax in row[1:]:
            ax.set_yscale("log")
        row[0].legend(fontsize=7)
    for ax in grid.ravel():
        ax.set(xscale="log")
        ax.tick_params(labelbottom=True)
    for ax in grid[-1]:
        ax.set_xlabel("steps")
    figure.savefig(path, dpi=110)


def main(path="docs/images/rates.svg"):
    X, _, y, _ = load_binary_digits(test_size=1797 - N_TRAIN, random_state=0)
    runs = {}
    for name, network in networks(X.shape[1]).items():
        polytope = network.rates()
        print(f"{name}:", *polytope.reason.split("; "), sep="\n  ")
        runs[name] = vectors, run = train(network, X, y)
        drift = np.abs(run["conserved"][-1] - run["conserved"][0]).max()
        growth = (run["seminorms"][-1] ** 2 - run["seminorms"][0] ** 2).min()
        falls = np.minimum(np.diff(run["normalized_margins"], axis=0), 0)
        falls = falls[(run["normalized_margins"][:-1] > 0).all(axis=1)]
        print(f"  rates of {', '.join(polytope.names)},")
        print("  and the KKT residual, from the first step that separates the images to the last")
        kkt = run["kkt"][np.isfinite(run["kkt"][:, 0])]
        for vector, column in zip(vectors, kkt.T, strict=True):
            rates = "  ".join(f"{rate:.0f}" for rate in vector)
            # residuals of slow layers still jump from step to step, and with another rounding
            last = f"{column[-1]:.3f}" if column[-1] < SMALL else f"above {SMALL}"
            print(f"    {rates}   {column[0]:.3f} -> {last}")
        print(f"  smallest margin {run['min_margin'][-1]:.1f}")
        print(f"  least growth of a squared norm {growth:.2f}, largest drift {drift:.4f}")
        print(f"  largest fall of a normalised margin {abs(falls.min(initial=0.0)):.6f}")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    draw(runs, path)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
