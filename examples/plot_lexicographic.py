"""When the largest rate is not needed, the next one counts
========================================================

    python examples/plot_lexicographic.py [figure]

A linear network of two layers with an output bias has rates (1/2, 1/2, 1): training minimises the
bias alone, if every separating function needs it. Here none does, and the condition of the limit
theorem of Kunin et al. (2023) fails. The bias falls to 0 relative to the margin, and among the
weights without one those of least norm win: the max-margin separator through the origin, though a
bias would give a wider margin. It prints angles to both, and saves a figure, by default
docs/images/lexicographic.svg.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.svm import SVC

from gnorm import max_margin
from gnorm.descent import Damped, GradientDescent, Network
from gnorm.descent.layers import Bias, Dense

N_EACH, N_STEPS, RATE = 15, 100_000, 0.3
BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"


def samples():
    rng = np.random.default_rng(1)
    X = np.concatenate(
        [
            rng.normal([2.2, 2.6], 0.45, size=(N_EACH, 2)),
            rng.normal([0.9, -0.8], 0.35, size=(N_EACH, 2)),
        ]
    )
    return X, np.repeat([1, -1], N_EACH)


def angle(u, v):
    cosine = np.dot(u, v) / np.linalg.norm(u) / np.linalg.norm(v)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def main(path="docs/images/lexicographic.svg"):
    X, y = samples()
    through_origin = max_margin(X, y, np.ones((len(X), 1, 1), dtype=bool), tol=1e-8).zeta[0, 0]
    with_bias = SVC(kernel="linear", C=1e6).fit(X, y).coef_[0]
    network = Network(2, [Dense(2, 3), Dense(3, 1), Bias(1)], random_state=0)
    network.parameters[:] *= 0.5
    rates = zip(network.names, network.rates().choose(), strict=True)
    print("rates:", ", ".join(f"{name} {rate}" for name, rate in rates))

    def measure(step, trained):
        V, W, b = trained.weights.values()
        u = (W[0] @ V[0])[0]
        return {
            "bias": abs(float(b[0])),
            "weights": float(np.linalg.norm(V) ** 2 + np.linalg.norm(W) ** 2),
            "to_origin": angle(u, through_origin),
            "to_biased": angle(u, with_bias),
        }

    descent = GradientDescent(Damped(RATE), max_steps=N_STEPS, callback=measure)
    run = descent.train(network, X, y)
    print("  steps  smallest margin   bias  squared norm  bias / margin  angle to the separator")
    print("                                                              without bias  with bias")
    for k in [i for i, step in enumerate(run.step) if step in (100, 1000, 10_000, N_STEPS)]:
        margin = run["min_margin"][k]
        print(
            f"{run.step[k]:7d}  {margin:15.2f}  {run['bias'][k]:5.3f}  {run['weights'][k]:12.1f}"
            f"  {run['bias'][k] / margin:13.4f}  {run['to_origin'][k]:12.2f}  "
            f"{run['to_biased'][k]:9.2f}"
        )
    print(f"the separators are {angle(through_origin, with_bias):.2f} degrees apart")

    figure = Figure(figsize=(10, 3.3), layout="constrained")
    plane, growth, angles = figure.subplots(1, 3)
    for label, color in ((1, BLUE), (-1, RED)):
        plane.plot(*X[y == label].T, "o", color=color, markersize=4)
    along = np.array([-through_origin[1], through_origin[0]]) / np.linalg.norm(through_origin)
    plane.plot(
        *np.array([-6 * along, 6 * along]).T,
        color=GREY,
        lw=4,
        alpha=0.5,
        label="max-margin, no bias",
    )
    line = np.linspace(-2, 5, 2)
    V, W, b = network.weights.values()
    u = (W[0] @ V[0])[0]
    plane.plot(line, -(u[0] * line + b[0]) / u[1], "--", color=GREEN, label="trained")
    plane.set(xlim=(-1.4, 5), ylim=(-2.8, 3.6), aspect="equal")
    plane.legend(fontsize=7, loc="lower right")
    steps = run.step + 1
    growth.plot(steps, run["weights"], color=BLUE, label="squared norm of the weights")
    growth.plot(steps[1:], run["bias"][1:], color=RED, label="bias")  # 0 at first
    growth.set(xscale="log", yscale="log", xlabel="steps")
    growth.legend(fontsize=7)
    angles.plot(steps, run["to_origin"], color=GREY, label="to max-margin, no bias")
    angles.plot(steps, run["to_biased"], color=RED, label="to max-margin, with bias")
    angles.set(xscale="log", yscale="log", xlabel="steps", ylabel="degrees")
    angles.legend(fontsize=7)
    titles = "a  samples and boundaries", "b  weights and bias", "c  angle of the boundary"
    for ax, title in zip(figure.axes, titles, strict=True):
        ax.set_title(title, loc="left", fontsize="medium")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
