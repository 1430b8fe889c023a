"""Normalised features collapse to a simplex
=========================================

    python examples/plot_neural_collapse.py [figure]

Every sample has features of its own, free to move but normalised, over their units or over the
batch, and a matrix reads the class from them. Only the matrix has a rate above 0, so that training
minimises its norm. The least is reached when all samples of a class have the same features and the
classes are the corners of a simplex: with K classes and features of length 1, ||W||^2 = (K - 1)^2 /
K per squared margin, 2.25 for K = 4, and cosines between classes of -1 / (K - 1) (Kunin et al.,
2023). Normalised features of d units have length sqrt(d), and batch normalisation reaches the same.
It prints both, and saves a figure, by default docs/images/neural_collapse.svg.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gnorm.descent import Damped, GradientDescent, Network
from gnorm.descent.layers import BatchNorm, Dense, LayerNorm

N_CLASSES, N_UNITS, N_EACH = 4, 3, 10
N_STEPS, RATE = 20_000, 1.0
KINDS = {
    "layer normalisation": LayerNorm(N_UNITS, center=False),
    "batch normalisation": BatchNorm(N_UNITS),
}
COLORS = {"layer normalisation": "#0072B2", "batch normalisation": "#D55E00"}
LEAST = (N_CLASSES - 1) ** 2 / N_CLASSES


def features(network, X):
    """What the matrix is given, with rows of length 1."""
    given = network.forward(*network.check_inputs(X, None)).inputs[-1]
    return given / np.linalg.norm(given, axis=1, keepdims=True)


def class_means(network, X, y):
    rows = features(network, X)
    return np.array([rows[y == k].mean(axis=0) for k in range(N_CLASSES)])


def train(layer):
    y = np.repeat(np.arange(N_CLASSES), N_EACH)
    X = np.eye(len(y))
    network = Network(
        len(y),
        [Dense(len(y), N_UNITS, init="kaiming_normal"), layer, Dense(N_UNITS, N_CLASSES)],
        random_state=0,
    )

    def measure(step, trained):
        W = list(trained.weights.values())[-1]
        values = trained.decision_function(X)
        own = values[np.arange(len(y)), y]
        values[np.arange(len(y)), y] = -np.inf
        margin = (own - values.max(axis=1)).min()
        means = class_means(trained, X, y)
        spread = max(1 - (means**2).sum(axis=1).mean(), 1e-16)  # of rows of length 1
        return {
            "value": N_UNITS * np.sum(W**2) / margin**2 if margin > 0 else np.nan,
            "spread": spread,
        }

    descent = GradientDescent(Damped(RATE), max_steps=N_STEPS, callback=measure)
    history = descent.train(network, X, y)
    return network, history, class_means(network, X, y)


def draw(results, path):
    figure = Figure(figsize=(10, 3.3), layout="constrained")
    value, spread, *grams = figure.subplots(1, 4)
    for name, (_, history, _) in results.items():
        steps = history.step + 1
        value.plot(steps, history["value"] - LEAST, color=COLORS[name], label=name)
        spread.plot(steps, history["spread"], color=COLORS[name], label=name)
    value.set(ylabel=f"squared norm less {LEAST}")
    spread.set(ylabel="spread within classes")
    for ax in (value, spread):
        ax.set(xscale="log", yscale="log", xlabel="steps", box_aspect=1)
    value.legend(fontsize=7)
    for ax, (name, (_, _, means)) in zip(grams, results.items(), strict=True):
        gram = means @ means.T
        ax.imshow(gram, vmin=-1, vmax=1, cmap="RdBu")
        for i, j in np.ndindex(gram.shape):
            color = "white" if i == j else "black"
            ax.text(j, i, f"{gram[i, j]:.2f}", ha="center", va="center", fontsize=7, color=color)
        ax.set(xticks=[], yticks=[], xlabel=name)
    titles = "a  norm", "b  spread", "c  products of means", "d  products of means"
    for ax, title in zip(figure.axes, titles, strict=True):
        ax.set_title(title, loc="left", fontsize="medium")
    figure.savefig(path, dpi=110)


def main(path="docs/images/neural_collapse.svg"):
    results = {}
    for name, layer in KINDS.items():
        results[name] = network, history, means = train(layer)
        gram = means @ means.T
        off = gram[~np.eye(N_CLASSES, dtype=bool)]
        rates = zip(network.names, network.rates().choose(), strict=True)
        print(f"{name}: rates {', '.join(f'{array} {rate}' for array, rate in rates)}")
        print(f"  squared norm x d / squared margin {history['value'][-1]:.4f}, least {LEAST}")
        print(f"  products of class means from {off.min():.4f} to {off.max():.4f}, simplex -0.3333")
        print(f"  spread within classes {history['spread'][-1]:.6f}")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    draw(results, path)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
