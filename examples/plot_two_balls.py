"""Two balls: a network whose weights have different rates prefers some features
=============================================================================

    python examples/plot_two_balls.py [figure]

Two balls of radius r around mu and -mu are to be told apart by f(x) = a x_1 + b c x_2 (Kunin,
Yamamura, Ma and Ganguli, 2023). Its weights have rates 1 and (1/2, 1/2), so that training minimises
``|a|`` alone: while the second feature separates the balls, ``r <= |mu_2|``, nothing else is used,
and the distance of the centres from the boundary is ``|mu_2|``; for larger r the direction is
``(sqrt(r^2 - mu_2^2), mu_2) / r``. The linear model a x_1 + b x_2 has mu as its direction
throughout. It prints measured against predicted values, and saves a figure, by default
docs/images/two_balls.svg.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gnorm.descent import Damped, GradientDescent, Network, kkt_point
from gnorm.descent.layers import Columns, Dense, Sum

MU = np.array([1.0, 0.8])
RADII = (0.6, 0.9, 1.0, 1.1)
N_POINTS, N_STEPS, RATE = 120, 40_000, 4.0
BLUE, RED, GREY = "#0072B2", "#D55E00", "#666666"


def balls(radius):
    angles = 2 * np.pi * np.arange(N_POINTS) / N_POINTS
    circle = radius * np.column_stack([np.cos(angles), np.sin(angles)])
    return np.concatenate([MU + circle, -MU + circle]), np.repeat([1, -1], N_POINTS)


def two_rates():
    branches = [Columns([0]), Dense(1, 1)], [Columns([1]), Dense(1, 1), Dense(1, 1)]
    return Network(2, [Sum(*branches)], parameters=[0.5, 0.5, 0.5])


def linear():
    return Network(2, [Dense(2, 1)], parameters=[0.5, 0.5])


def direction(network):
    values = network.decision_function(np.eye(2))  # both are linear in x
    return values / np.linalg.norm(values)


def predicted(radius):
    if radius <= MU[1]:
        return np.array([0.0, 1.0])
    return np.array([np.sqrt(radius**2 - MU[1] ** 2), MU[1]]) / radius


def train(make, radius):
    network = make()
    X, y = balls(radius)
    GradientDescent(Damped(RATE), max_steps=N_STEPS).train(network, X, y)
    return network, X, y


def draw(results, path):
    figure = Figure(figsize=(12.5, 2.9), layout="constrained")
    *axes, last = figure.subplots(1, len(RADII) + 1)
    for ax, (radius, measured, straight) in zip(axes, results, strict=True):
        X, y = balls(radius)
        for label, color in ((1, BLUE), (-1, RED)):
            ax.fill(*X[y == label].T, color=color, alpha=0.4, linewidth=0)
        for normal, style, name in ((measured, "-", "a, b c"), (straight, ":", "linear")):
            along = np.array([-normal[1], normal[0]])
            ax.plot(*np.array([-3 * along, 3 * along]).T, "k" + style, linewidth=1.2, label=name)
        ax.set(xlim=(-2.3, 2.3), ylim=(-2.3, 2.3), aspect="equal", xlabel="$x_1$")
    axes[0].set_ylabel("$x_2$")
    axes[0].legend(fontsize=7, loc="lower right", framealpha=1)
    radii = np.linspace(0.4, np.linalg.norm(MU), 100)
    last.plot(radii, [predicted(r) @ MU for r in radii], color=GREY, label="formula")
    last.axhline(np.linalg.norm(MU), color=GREY, linestyle=":", label="linear model")
    last.plot(RADII, [d @ MU for _, d, _ in results], "o", color=BLUE, label="trained")
    last.set(xlabel="radius r", ylabel="distance of the centres", box_aspect=1)
    last.legend(fontsize=7, loc="lower right")
    titles = [*(f"r = {radius}" for radius in RADII), "all radii"]
    for ax, letter, title in zip(figure.axes, "abcde", titles, strict=True):
        ax.set_title(f"{letter}  {title}", loc="left", fontsize="medium")
    figure.savefig(path, dpi=110)


def main(path="docs/images/two_balls.svg"):
    print("radius  direction         predicted         distance  predicted  KKT residual  linear")
    results = []
    for radius in RADII:
        network, X, y = train(two_rates, radius)
        measured, formula = direction(network), predicted(radius)
        straight = direction(train(linear, radius)[0])
        residual = kkt_point(network, X, y, rates=[1.0, 0.5, 0.5], tol=0.02).residual
        results.append((radius, measured, straight))
        print(
            f"{radius:6.1f}  ({measured[0]:.4f}, {measured[1]:.4f})  ({formula[0]:.4f}, "
            f"{formula[1]:.4f})  {measured @ MU:8.4f}  {formula @ MU:9.4f}  {residual:12.4f}"
            f"  {straight @ MU:.4f}"
        )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    draw(results, path)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
