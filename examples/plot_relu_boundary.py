"""Neurons of wide networks move to those of the exact ReLU network
================================================================

    python examples/plot_relu_boundary.py [figure]

Fifty points of the plane have labels with a wavy boundary. The ReLU network of any width and of
the largest margin is solved exactly; networks of 1000 neurons are trained beside it, from small
initial weights (0.03 times Kaiming's) and from large ones (10 times). Each is looked at when it
first separates the points, and at the end of 6000 steps of accelerated descent: its decision
boundary, and its neurons. A neuron is drawn as its kink, the line w . x + b = 0: at the direction
of w and the distance of the line from the origin. It prints a table and saves a figure, by default
to docs/images/relu_boundary.svg.
"""

import sys

import numpy as np
from matplotlib.figure import Figure

from gnorm import relu_max_margin
from gnorm.descent import GatedNetwork, GradientDescent

N_SAMPLES, N_NEURONS, N_STEPS = 50, 1000, 6000
STARTS = {"small": 0.03, "large": 10.0}  # factors of Kaiming's initial weights
NEAR = np.cos(np.deg2rad(5.0))  # to an exact neuron: what counts as aligned
LEAST = 1e-3  # of the norm: exact neurons of less are left by rounding
SIDE = 3.0  # half of the square that is drawn
COLORS = {1: "#D55E00", -1: "#0072B2"}
AREA = 3000.0  # of a circle or dot that has all of the norm, in square points
TIMES = {"first separation": ("#E69F00", "--"), "end": ("#CC79A7", "-")}


def with_constant(X):
    return np.column_stack([X, np.ones(len(X))])


def data():
    X = np.random.default_rng(0).normal(size=(N_SAMPLES, 2))
    return with_constant(X), np.sign(np.sin(2 * X[:, 0]) + X[:, 1] + 0.2)


def train(X, y, scale):
    """Neurons and output weights at the first row that separates, with its step, and at the end."""
    rows = []

    def look(step, network):
        layers = (layer.weights.reshape(-1, layer.weights.shape[-1]) for layer in network.layers)
        hidden, output = layers
        least = np.min(y * network.decision_function(X))
        rows.append((step, least, hidden.copy(), output.ravel().copy()))

    network = GatedNetwork.relu(3, N_NEURONS, scale=scale, random_state=0)
    GradientDescent.accelerated(X, N_STEPS, callback=look).train(network, X, y)
    first = next(row for row in rows if row[1] > 0)
    return dict(zip(TIMES, (first, rows[-1]), strict=True))


def values(points, hidden, output):
    return np.maximum(points @ hidden.T, 0.0) @ output


def shares(hidden, output):
    """Coefficients of the unit neurons, as shares of their sum."""
    coefs = np.linalg.norm(hidden, axis=1) * output
    return coefs / np.sum(np.abs(coefs))


def aligned(exact, hidden, output):
    """Share of the norm in neurons within 5 degrees of an exact one of the same sign."""
    coefs = shares(hidden, output)
    unit = hidden / np.maximum(np.linalg.norm(hidden, axis=1, keepdims=True), 1e-300)
    heavy = np.abs(exact.coefs) > LEAST * exact.norm
    is_near = unit @ exact.neurons[heavy].T >= NEAR
    is_near &= np.sign(coefs)[:, None] == np.sign(exact.coefs[heavy])
    return np.sum(np.abs(coefs), where=is_near.any(axis=1))


def kinks(hidden):
    """Direction of w in degrees, and distance of the kink from the origin along it."""
    w, b = hidden[:, :2], hidden[:, 2]
    return np.rad2deg(np.arctan2(w[:, 1], w[:, 0])), -b / np.linalg.norm(w, axis=1)


def draw(X, y, exact, runs):
    figure = Figure(figsize=(10.0, 6.4), layout="constrained")
    panels = figure.subplots(2, 3)
    axis = np.linspace(-SIDE, SIDE, 301)
    grid = with_constant(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2))
    letters = iter("abcdef")

    def boundary(ax, heights, **style):
        ax.contour(axis, axis, heights.reshape(301, 301), levels=[0.0], **style)

    for row, (start, times) in zip(panels, runs.items(), strict=True):
        ax = row[0]
        ax.set_title(f"{next(letters)}  {start} start: boundary", loc="left", fontsize="medium")
        boundary(ax, exact.decision_values(grid), colors="0.75", linewidths=6)
        for time, (_, _, hidden, output) in times.items():
            color, line = TIMES[time]
            heights = values(grid, hidden, output)
            boundary(ax, heights, colors=color, linestyles=line, linewidths=1.6)
        for label, color in COLORS.items():
            ax.plot(*X[y == label, :2].T, "o", color=color, markersize=4)
        ax.set(aspect="equal", xlabel="first input", ylabel="second input")
        for ax, (time, (_, _, hidden, output)) in zip(row[1:], times.items(), strict=True):
            ax.set_title(f"{next(letters)}  neurons, {time}", loc="left", fontsize="medium")
            for sign, color in COLORS.items():
                mine = sign * exact.coefs > LEAST * exact.norm
                sizes = AREA * np.abs(exact.coefs[mine]) / exact.norm
                at = kinks(exact.neurons[mine])
                ax.scatter(*at, s=sizes, facecolors="none", edgecolors=color, linewidths=1.0)
                coefs = shares(hidden, output)
                mine = np.sign(coefs) == sign
                sizes = np.maximum(AREA * np.abs(coefs[mine]), 1.0)  # seen at any size
                at = kinks(hidden[mine])
                # a thousand sizes would be as many shapes in a vector graphic
                ax.scatter(*at, s=sizes, color=color, alpha=0.35, linewidths=0, rasterized=True)
            ax.set(xlim=(-180, 180), ylim=(-SIDE, SIDE), xticks=(-180, -90, 0, 90, 180))
            ax.set(xlabel="direction of w [degrees]", ylabel="distance of the kink")
    handles = [panels[0, 0].plot([], [], color="0.75", linewidth=6)[0]]
    handles += [panels[0, 0].plot([], [], color=c, linestyle=s)[0] for c, s in TIMES.values()]
    marks = {"w": {"markeredgecolor": "0.3"}, "0.3": {"markeredgewidth": 0, "alpha": 0.5}}
    handles += [
        panels[0, 1].plot([], [], "o", color=color, markersize=8, **more)[0]
        for color, more in marks.items()
    ]
    handles += [panels[0, 1].plot([], [], "o", color=color)[0] for color in COLORS.values()]
    names = ["exact boundary", *TIMES, "exact neuron", "trained neuron"]
    names += [f"label or sign {label}" for label in COLORS]
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
    return figure


def main(path="docs/images/relu_boundary.svg"):
    X, y = data()
    exact = relu_max_margin(X, y, tol=1e-8)
    runs = {start: train(X, y, scale) for start, scale in STARTS.items()}
    axis = np.linspace(-SIDE, SIDE, 301)
    grid = with_constant(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2))
    signs = exact.decision_values(grid) > 0
    n_heavy = np.sum(np.abs(exact.coefs) > LEAST * exact.norm)
    print(f"exact: norm {exact.norm:.4f}, gap {exact.duality_gap:.0e}, {n_heavy} neurons")
    print(f"{'start':>6} {'at':>16} {'step':>5} {'margin ratio':>12} {'aligned':>8} {'differs':>8}")
    for start, times in runs.items():
        for time, (step, least, hidden, output) in times.items():
            ratio = 2 * least / (np.sum(hidden**2) + np.sum(output**2)) * exact.norm
            differs = np.mean((values(grid, hidden, output) > 0) != signs)
            share = aligned(exact, hidden, output)
            print(f"{start:>6} {time:>16} {step:5d} {ratio:12.4f} {share:8.1%} {differs:8.2%}")
    draw(X, y, exact, runs).savefig(path, dpi=150)
    print(f"saved {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
