"""One architecture, six ways to descend, five norms: each way ends at the optimum of its own
==========================================================================================

    python examples/plot_geometries.py [figure]

A gated linear network of two layers separates 60 random samples with random labels. Every norm of
its weights makes a norm of its functions, and steepest descent in the one is to reach the largest
margin in the other. All five problems are solved exactly, and the margin of the network is followed
relative to the largest in each, from the same initial weights. It prints the last ratios, a row for
each optimiser, and saves a figure, by default docs/images/geometries.svg.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import cvxpy as cp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gnorm import max_margin, norms
from gnorm.descent import (
    L2,
    Adam,
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

N, D, H, C = 60, 10, 5, 2  # samples, features, units, contexts
N_STEPS, LAST = 2500, 1e3
METRIC = np.diag(np.linspace(0.2, 3.0, D))  # of the first layer
GROWTH = MarginGrowth(N_STEPS, last=LAST)

GEOMETRIES = {
    "l2": L2(),
    "metric": Riemannian([METRIC, None]),
    "l4": Lp(4.0),
    "linf": Linf(),
    "spectral": Spectral(),
}
LABELS = {
    "l2": r"$\ell_2$",
    "metric": r"$\ell_2$ in a metric",
    "l4": r"$\ell_4$",
    "linf": r"$\ell_\infty$",
    "spectral": "spectral",
}
COLORS = {
    "l2": "#0072B2",
    "metric": "#56B4E9",
    "l4": "#009E73",
    "linf": "#D55E00",
    "spectral": "#CC79A7",
}


def samples():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D))
    y = np.where(rng.random(N) < 0.5, -1, 1)
    contexts = rng.integers(C, size=(N, H))
    return X, y, contexts[:, :, None] == np.arange(C)


# -- the exact solutions ---------------------------------------------------------------------------


def spectral_norm_at_margin_one(X, y, activations):
    """Least (max_l sigma(W_l))^2 of weights with all margins at least 1, a semidefinite program.

    With u = w_2^2 and zeta_c = diag(w_2) W_c the norms are below t iff zeta_c zeta_c' <= t diag(u)
    for all contexts and sum u <= t.
    """
    t, u = cp.Variable(), cp.Variable(H)
    zeta = [cp.Variable((H, D)) for _ in range(C)]
    values = sum(
        cp.sum(cp.multiply(activations[:, :, c].astype(float), X @ zeta[c].T), axis=1)
        for c in range(C)
    )
    blocks = [cp.bmat([[cp.diag(u), Z], [Z.T, t * np.eye(D)]]) for Z in zeta]
    constraints = [cp.multiply(y, values) >= 1, cp.sum(u) <= t, *(B >> 0 for B in blocks)]
    return cp.Problem(cp.Minimize(t), constraints).solve(solver=cp.CLARABEL)


def least_squared_norms(X, y, activations):
    """Least ||w||^2 of weights with all margins at least 1, in each geometry of the weights.

    Of the weights of one function it is a norm of that function, up to the factor of this table.
    """
    inner = X @ np.sqrt(METRIC)
    return {
        "l2": 2.0 * max_margin(X, y, activations, tol=1e-8).norm,
        "metric": 2.0 * max_margin(inner, y, activations, tol=1e-8).norm,
        "l4": np.sqrt(2.0) * max_margin(X, y, activations, norm=norms.LpGroups(4.0)).norm,
        "linf": max_margin(X, y, activations, norm="max_abs").norm,
        "spectral": spectral_norm_at_margin_one(X, y, activations),
    }


def margin_ratios(network, least, X, y, activations):
    """Smallest margin over squared norm, relative to the largest, in each geometry."""
    margin = float(np.min(y * network.decision_function(X, activations)))
    weights = [layer.weights for layer in network.layers]
    return {name: margin * least[name] / g.norm(weights) ** 2 for name, g in GEOMETRIES.items()}


# -- the optimisers --------------------------------------------------------------------------------


class Way(NamedTuple):
    """An optimiser, and the geometry whose norm it is to minimise."""

    own: str
    descent: Descent


def steepest(geometry: Geometry, rate: float) -> Descent:
    """Steepest descent along an average of the gradients of log L, while the margin grows."""
    parts = [Logarithm(), Average(0.9), Direction(geometry), Rate(Normalized(rate, scale=geometry))]
    return Descent(parts, max_steps=N_STEPS, rescaling=GROWTH)


def ways(X):
    """The optimisers by name, with rates found by trial."""
    inner = X @ np.sqrt(METRIC)
    adam = Adam(
        Normalized(0.03, scale=Linf(), power=1.0),
        beta2=0.9,
        epsilon=0.0,
        max_steps=N_STEPS,
        rescaling=GROWTH,
    )
    return {
        "gradient descent": Way("l2", GradientDescent.accelerated(X, N_STEPS, last=LAST)),
        "preconditioned": Way(
            "metric",
            GradientDescent.accelerated(inner, N_STEPS, last=LAST, preconditioner=[METRIC, None]),
        ),
        "powers": Way("l4", steepest(Lp(4.0), 0.15)),
        "signs": Way("linf", steepest(Linf(), 0.006)),
        "Adam": Way("linf", adam),
        "polar factors": Way("spectral", steepest(Spectral(), 0.1)),
    }


def draw(histories):
    figure = Figure(figsize=(9.6, 5.4), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    rows = zip(panels.flat, "abcdef", histories.items(), strict=True)
    for ax, letter, (name, (own, history)) in rows:
        for norm in sorted(GEOMETRIES, key=lambda norm: norm == own):  # its own on top
            is_own = norm == own
            ax.plot(
                history.step + 1,
                history[norm],
                color=COLORS[norm],
                linewidth=2.6 if is_own else 1.0,
                alpha=1.0 if is_own else 0.8,
                label=LABELS[norm],
            )
        ax.axhline(1.0, color="0.6", linewidth=0.8, zorder=0)
        title = f"{letter}  {name}: {LABELS[own]}"
        ax.set_title(title, loc="left", fontsize="medium", color=COLORS[own])
        ax.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set(xscale="log", xlim=(100, N_STEPS + 1), ylim=(0.0, 1.04))
    for ax in panels[-1]:
        ax.set_xlabel("steps")
    for ax in panels[:, 0]:
        ax.set_ylabel("margin, relative to the largest")
    lines = [Line2D([], [], color=COLORS[norm], label=LABELS[norm]) for norm in GEOMETRIES]
    figure.legend(
        handles=lines,
        loc="upper center",
        ncol=len(lines),
        frameon=False,
        title="norm of the weights",
    )
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.89))  # the legend is above
    return figure


def main(path="docs/images/geometries.svg"):
    X, y, activations = samples()
    least = least_squared_norms(X, y, activations)

    def measure(step, network):
        return margin_ratios(network, least, X, y, activations)

    print(f"{'optimiser':<17}  own norm " + "".join(f"{name:>10}" for name in GEOMETRIES))
    histories = {}
    for name, (own, descent) in ways(X).items():
        network = GatedNetwork.gln(D, H, C, random_state=0)
        descent.callback = measure
        history = descent.train(network, X, y, activations)
        histories[name] = own, history
        reached = "".join(f"{history[norm][-1]:10.3f}" for norm in GEOMETRIES)
        print(f"{name:<17}  {own:<9}{reached}")

    figure = draw(histories)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
