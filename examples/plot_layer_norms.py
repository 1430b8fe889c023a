"""Layers gain alike, though they do not move alike
================================================

    python examples/plot_layer_norms.py [figure]

Where the value of a network is homogeneous of degree 1 in each layer, gradient flow adds the same
to the squared norm of every one, half of it being minus the integral of sum_n l'_n f_n. Of the
distances of the layers from where they started this is not true. A convolution, a matrix and an
output learn digits from weights of different sizes; it prints both for each and saves a figure, by
default docs/images/layer_norms.svg.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gnorm.datasets import load_binary_digits
from gnorm.descent import GradientDescent, Network
from gnorm.descent.layers import Convolution, Dense, ReLU

N_TRAIN, N_STEPS, RATE = 200, 4000, 0.01
LAYERS = {"convolution": "#0072B2", "matrix": "#D55E00", "output": "#009E73"}


def main(path="docs/images/layer_norms.svg"):
    X, _, y, _ = load_binary_digits(test_size=1797 - N_TRAIN, random_state=0)
    X = X / 8.0
    d = X.shape[1]
    chain = [Convolution(d, 9, 1, 4), ReLU(), Dense(4 * d, 10), ReLU(), Dense(10, 1)]
    network = Network(d, chain, random_state=0)
    start = [W.copy() for W in network.weights.values()]

    def measure(step, trained):
        arrays = list(trained.weights.values())
        pairs = list(zip(arrays, start, strict=True))
        return {
            "gained": np.array([0.5 * (np.sum(W**2) - np.sum(V**2)) for W, V in pairs]),
            "moved": np.array([0.5 * np.sum((W - V) ** 2) for W, V in pairs]),
        }

    descent = GradientDescent(RATE, max_steps=N_STEPS, log_every=20, callback=measure)
    run = descent.train(network, X, y)
    print("layer        1/2 ||W||^2 at first  gained  1/2 ||W - W(0)||^2")
    for i, name in enumerate(LAYERS):
        first = 0.5 * np.sum(start[i] ** 2)
        print(f"{name:<12} {first:20.3f}  {run['gained'][-1, i]:6.3f}  {run['moved'][-1, i]:18.3f}")
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    gained, moved = figure.subplots(1, 2)
    styles = ("-", "--", ":")
    for i, (name, color) in enumerate(LAYERS.items()):
        options = {"color": color, "linestyle": styles[i], "linewidth": 3 - 0.8 * i, "label": name}
        gained.plot(run.step, run["gained"][:, i], **options)
        moved.plot(run.step, run["moved"][:, i], **options)
    gained.set(ylabel=r"$\frac{1}{2}\|W(t)\|^2 - \frac{1}{2}\|W(0)\|^2$", xlabel="steps")
    moved.set(ylabel=r"$\frac{1}{2}\|W(t) - W(0)\|^2$", xlabel="steps")
    gained.set_title("a  gained", loc="left")
    moved.set_title("b  moved", loc="left")
    gained.legend(fontsize=8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
