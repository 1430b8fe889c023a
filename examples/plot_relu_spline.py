"""On a line the largest margin is a linear spline, and a trained network finds its knots
======================================================================================

    python examples/plot_relu_spline.py [figure]

Twelve points on a line have labels that change five times. The ReLU network of any width, of least
norm with margins of at least 1, is a spline of straight pieces; the norm is the variation of its
slope, in which a knot at x counts sqrt(1 + x^2) times where biases cost what other weights do, and
once where they are free. A network of 100 neurons is trained beside it. It prints a table of both
variations and saves a figure, by default to docs/images/relu_spline.svg.
"""

import sys

import numpy as np
from matplotlib.figure import Figure

from gnorm import relu_max_margin
from gnorm.descent import GatedNetwork, GradientDescent

N_SAMPLES, N_NEURONS, N_STEPS = 12, 100, 10_000
SAME = (
    0.02  # distance of kinks that count as one knot; those of trained neurons are not quite equal
)
LEAST = 0.01  # of the largest change of slope: less is no knot
COLORS = {
    "exact": "#000000",
    "trained": "#D55E00",
    "biases free": "#009E73",
}


def with_constant(x):
    return np.column_stack([x, np.ones(len(x))])


def data():
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(-3, 3, size=N_SAMPLES))
    return x, np.where(np.sin(2.5 * x) > 0, 1.0, -1.0)


def train(X, y):
    """A network scaled to the least margin 1: its neurons and output weights."""
    network = GatedNetwork.relu(2, N_NEURONS, scale=0.1, random_state=0)
    GradientDescent.accelerated(X, N_STEPS).train(network, X, y)
    hidden, output = (
        layer.weights.reshape(-1, layer.weights.shape[-1]) for layer in network.layers
    )
    least = np.min(y * network.decision_function(X))
    return hidden / np.sqrt(least), output.ravel() / np.sqrt(least)


def knots_of(neurons, coefs):
    """Places of the knots and the changes of the slope there, kinks that are close together."""
    on = np.abs(neurons[:, 0]) > 1e-9 * np.linalg.norm(neurons, axis=1)
    kinks = -neurons[on, 1] / neurons[on, 0]
    jumps = coefs[on] * np.abs(neurons[on, 0])
    order = np.argsort(kinks)
    kinks, jumps = kinks[order], jumps[order]
    group = np.cumsum(np.diff(kinks, prepend=kinks[0]) > SAME)
    summed = np.bincount(group, jumps)
    heavy = np.bincount(group, np.abs(jumps))
    places = np.bincount(group, np.abs(jumps) * kinks) / np.maximum(heavy, 1e-300)
    kept = np.abs(summed) > LEAST * np.max(np.abs(summed))
    return places[kept], summed[kept]


def facts(name, neurons, coefs, linear, norm):
    knots, jumps = knots_of(neurons, coefs)
    return {
        "name": name,
        "norm": norm,
        "variation": np.sum(np.abs(jumps)),
        "weighted": np.abs(jumps) @ np.sqrt(1 + knots**2),
        "knots": knots,
        "jumps": jumps,
        "values": lambda x: (
            np.maximum(with_constant(x) @ neurons.T, 0) @ coefs + with_constant(x) @ linear
        ),
    }


def draw(x, y, splines):
    figure = Figure(figsize=(8.6, 5.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    grid = np.linspace(-3.3, 3.3, 2000)
    for spline in splines[:3]:  # the last one covers the one before
        style = {"color": COLORS[spline["name"]], "label": spline["name"]}
        is_trained = spline["name"] == "trained"
        line = {"linewidth": 1.4, "linestyle": "--" if is_trained else "-"}
        if spline["name"] == "biases free":  # seen below the exact one where both are the same
            line = {"linewidth": 5.0, "alpha": 0.4, "zorder": 1}
        upper.plot(grid, spline["values"](grid), **line, **style)
        if spline["name"] in ("exact", "trained"):
            inside = np.abs(spline["knots"]) < 3.3
            lower.vlines(
                spline["knots"][inside],
                0,
                spline["jumps"][inside],
                color=style["color"],
                linewidth=1.2 if is_trained else 4.0,
                alpha=1.0 if is_trained else 0.3,
            )
            lower.plot(
                spline["knots"][inside],
                spline["jumps"][inside],
                "o" if is_trained else "s",
                markersize=4 if is_trained else 7,
                alpha=1.0 if is_trained else 0.3,
                **style,
            )
    upper.plot(x, y, "o", color="0.4", markersize=6, zorder=3, label="label of a sample")
    upper.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    lower.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    upper.set_title("a  functions", loc="left", fontsize="medium")
    lower.set_title("b  changes of the slope at the knots", loc="left", fontsize="medium")
    upper.set(ylabel="f(x)")
    lower.set(ylabel="change of slope", xlabel="x", xlim=(-3.3, 3.3))
    upper.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    lower.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def main(path="docs/images/relu_spline.svg"):
    x, y = data()
    X = with_constant(x)
    splines = []
    for name, options in {
        "exact": {},
        "biases free": {"penalize_bias": False},
        "biases and a line free": {"penalize_bias": False, "penalize_linear": False},
    }.items():
        solution = relu_max_margin(X, y, tol=1e-8, **options)
        splines.append(
            facts(name, solution.neurons, solution.coefs, solution.linear, solution.norm)
        )
    hidden, output = train(X, y)
    norm = 0.5 * (np.sum(hidden**2) + np.sum(output**2))
    splines.insert(1, facts("trained", hidden, output, np.zeros(2), norm))

    print(f"{'spline':>23} {'norm':>8} {'knots':>6} {'variation':>10} {'weighted':>9}")
    for spline in splines:
        print(
            f"{spline['name']:>23} {spline['norm']:8.4f} {len(spline['knots']):6d} "
            f"{spline['variation']:10.4f} {spline['weighted']:9.4f}"
        )
    exact, trained = splines[:2]
    grid = np.linspace(x[0], x[-1], 2000)
    apart = np.max(np.abs(exact["values"](grid) - trained["values"](grid)))
    distances = np.min(np.abs(exact["knots"][:, None] - trained["knots"]), axis=1)
    print(
        f"\ntrained network: {exact['norm'] / trained['norm']:.4f} of the largest margin, "
        f"at most {apart:.1e} from the exact spline between the samples"
    )
    for name, spline in (("exact", exact), ("trained", trained)):
        print(f"{name} knots at {np.round(spline['knots'], 3)}")
    print(f"exact knots are at most {np.max(distances):.1e} from trained ones")
    draw(x, y, splines).savefig(path, dpi=110)
    print(f"saved {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
