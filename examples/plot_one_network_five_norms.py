"""One network under five geometries: decision regions of the exact solutions and of training
==========================================================================================

    python examples/plot_one_network_five_norms.py [figure]

A gated linear network of two layers separates two moons. Its gates and its data stay the same; only
the norm of the weights in which descent is steepest changes, and with it the norm of the function
that training minimises: the group norm under the Euclidean one, LpGroups(4) under the l4 norm,
MaxAbs under signs, a norm of all units together under the spectral norm of each layer, and the
group norm of stretched inputs under a metric of the first layer. For each, the upper row has the
exact solution and the lower one what descent ends with. Printed are the margin ratio, the smallest
margin over the cost of the weights in units of the largest there is, and the share of the square
where both rows agree. It saves a figure, by default docs/images/one_network_five_norms.svg.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cvxpy as cp
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from sklearn.datasets import make_moons

from gnorm import HyperplaneGates, gated, max_margin, norms
from gnorm.descent import (
    L2,
    Average,
    Descent,
    Direction,
    GatedNetwork,
    Geometry,
    GradientDescent,
    Linf,
    Logarithm,
    Lp,
    MarginGrowth,
    Normalized,
    Rate,
    Riemannian,
    Spectral,
)

N_SAMPLES, N_UNITS, N_STEPS = 30, 10, 10_000
METRIC = np.diag([0.02, 1.0, 1.0])  # weights of the first coordinate are dear
BLUE, RED = "#0072B2", "#D55E00"
PIXELS = {"origin": "lower", "aspect": "auto", "interpolation": "none"}
PIXELS |= {"cmap": ListedColormap([RED, BLUE]), "alpha": 0.25}


def inputs(points):
    """Two coordinates and a constant."""
    return np.column_stack([points, np.ones(len(points))])


def data():
    points, labels = make_moons(N_SAMPLES, noise=0.12, random_state=0)
    points = points - points.mean(axis=0)
    gates = HyperplaneGates(n_units=N_UNITS, random_state=1).fit(points)
    return points, 2 * labels - 1, gates


def by_norm(norm):
    """Exact zeta and norm of one of the catalogue."""

    def solve(X, y, activations):
        solution = max_margin(X, y, activations, norm=norm)
        return solution.zeta, solution.norm

    return solve


def by_metric(X, y, activations):
    """The group norm of inputs that are stretched by the root of the metric."""
    root = np.sqrt(METRIC)
    solution = max_margin(X @ root, y, activations, norm="group")
    return solution.zeta @ root, solution.norm


def by_spectral_norms(X, y, activations):
    """Least max(|w2|, max_c sigma(W_c))^2: with u = w2^2, W_c W_c' <= t means a block matrix."""
    n_units, n_contexts, n_features = activations.shape[1], activations.shape[2], X.shape[1]
    Z = cp.Variable((n_units * n_contexts, n_features))
    t, u = cp.Variable(), cp.Variable(n_units)
    blocks = [Z[c::n_contexts] for c in range(n_contexts)]
    limits = [
        cp.bmat([[cp.diag(u), block], [block.T, t * np.eye(n_features)]]) >> 0 for block in blocks
    ]
    phi = np.einsum("nhc,nd->nhcd", activations.astype(float), X).reshape(len(X), -1)
    margins = cp.multiply(y, phi @ cp.vec(Z, order="C")) >= 1
    cp.Problem(cp.Minimize(t), [margins, cp.sum(u) <= t, *limits]).solve(solver="CLARABEL")
    return Z.value.reshape(n_units, n_contexts, n_features), float(t.value)


@dataclass(frozen=True, eq=False)
class Panel:
    """A geometry, its exact solution, and the cost of weights whose norm is 1."""

    name: str
    geometry: Geometry
    solve: Callable
    constant: float
    rate: float | None = None  # None for accelerated gradient descent, which has its own


PANELS = (
    Panel("l2", L2(), by_norm("group"), 0.5),
    Panel("l4", Lp(4.0), by_norm(norms.LpGroups(4)), 0.5**0.5, 0.8),
    Panel("signs", Linf(), by_norm("max_abs"), 1.0, 0.02),
    Panel("spectral", Spectral(), by_spectral_norms, 1.0, 0.4),
    Panel("metric", Riemannian([METRIC, None]), by_metric, 0.5),
)


def descent_of(panel, X):
    """Steepest descent on the logarithm of the loss, while the smallest margin grows."""
    if panel.rate is None:
        metric = getattr(panel.geometry, "matrices", None)
        inner = X if metric is None else X @ np.sqrt(metric[0])
        return GradientDescent.accelerated(inner, N_STEPS, last=1e3, preconditioner=metric)
    rate = Rate(Normalized(panel.rate, scale=panel.geometry))
    parts = [Logarithm(), Average(0.9), Direction(panel.geometry), rate]
    return Descent(parts, max_steps=N_STEPS, rescaling=MarginGrowth(N_STEPS, last=1e3))


def train(panel, X, y, activations):
    """Zeta of the trained network, scaled to margin 1, and its cost."""
    network = GatedNetwork.gln(X.shape[1], N_UNITS, random_state=0)
    descent_of(panel, X).train(network, X, y, activations)
    margin = float(np.min(y * network.decision_function(X, activations)))
    weights = [layer.weights for layer in network.layers]
    return network.to_zeta() / margin, panel.constant * panel.geometry.norm(weights) ** 2 / margin


def draw(regions, points, y, grid, path):
    figure = Figure(figsize=(13, 5.4), layout="constrained")
    axes = figure.subplots(2, len(PANELS), sharex=True, sharey=True)
    box = [end for side in grid for end in (side.min(), side.max())]
    for column, letter, (title, exact, trained) in zip(axes.T, "abcde", regions, strict=True):
        for ax, values in zip(column, (exact, trained), strict=True):
            surface = values.reshape(grid[0].shape)
            # regions as pixels, lines through every second point: all vertices would be heavy
            ax.imshow(surface > 0, extent=box, **PIXELS)
            coarse = (values[::2, ::2] for values in (*grid, surface))
            ax.contour(*coarse, levels=[-1, 0, 1], colors="k", linewidths=[0.4, 1.2, 0.4])
            for label, color in ((1, BLUE), (-1, RED)):
                ax.scatter(*points[y == label].T, s=8, color=color)
        column[0].set_title(f"{letter}  {title}", loc="left", fontsize="medium")
    axes[0, 0].set_ylabel("exact")
    axes[1, 0].set_ylabel("trained")
    figure.savefig(path, dpi=110)


def main(path="docs/images/one_network_five_norms.svg"):
    points, y, gates = data()
    X, activations = inputs(points), gates.transform(points)
    sides = np.linspace(points.min(0) - 0.4, points.max(0) + 0.4, 300).T
    grid = np.meshgrid(*sides)
    places = np.column_stack([side.ravel() for side in grid])
    at = inputs(places), gates.transform(places)
    regions = []
    for panel in PANELS:
        exact, norm = panel.solve(X, y, activations)
        trained, cost = train(panel, X, y, activations)
        both = [gated.decision_values(*at, zeta) for zeta in (exact, trained)]
        agree = np.mean((both[0] > 0) == (both[1] > 0))
        print(f"{panel.name:9} margin ratio {norm / cost:.4f}, regions agree on {agree:.4f}")
        regions.append((f"{panel.name}, ratio {norm / cost:.3f}", *both))
    names = [panel.name for panel in PANELS]
    signs = [exact > 0 for _, exact, _ in regions]
    print("exact regions of two geometries agree on")
    for name, one in zip(names, signs, strict=True):
        print(f"{name:9}", *(f"{np.mean(one == other):.3f}" for other in signs))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    draw(regions, points, y, grid, path)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
