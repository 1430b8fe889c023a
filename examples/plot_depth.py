"""What depth does to a linear network: it accelerates large singular values, and delays small ones
================================================================================================

    python examples/plot_depth.py [figure]

Balanced factors of depth N descend on half the squared distance of their product from a matrix. In
the flow of that, each singular value moves by s' = N s^(2 - 2/N) (m - s) towards its target m, so
that N layers are faster than one above s = N^(-N / (2N - 2)) and slower below. It prints and draws
the time in which one value grows to nine tenths of its target, against its start, as descent takes
it and as the formula has it; and the effective rank on the way to a matrix with singular values 4,
2 and 1 from a small start. The figure is saved, by default as docs/images/depth.svg.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.integrate import quad

from gnorm.descent import (
    DeepLinear,
    GradientDescent,
    MatrixRegression,
    balanced_factors,
    effective_rank,
)

DEPTHS = (1, 2, 3, 4)
COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73")
STARTS = np.array([0.01, 0.03, 0.1, 0.3, 0.5, 0.8])
TARGET, SHARE = 1.0, 0.9
RATE = 0.01


def descend(M, start, depth, time):
    """Times, losses and singular values along descent on 1/2 ||W - M||^2."""
    entries = MatrixRegression(np.eye(M.size).reshape(-1, *M.shape), M.ravel())
    objective = DeepLinear(entries, balanced_factors(start, depth))
    descent = GradientDescent(RATE * M.size, max_steps=round(time / RATE), log_every=1)
    run = descent.minimize(objective)
    return RATE * run.step, M.size * run.loss, run["singular_values"]


def time_to_grow(depth, start):
    """Time of the flow from the start to nine tenths of the target."""
    return quad(
        lambda s: 1 / (depth * s ** (2 - 2 / depth) * (TARGET - s)),
        start,
        SHARE * TARGET,
        limit=200,
    )[0]


def main(path="docs/images/depth.svg"):
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    times, ranks = figure.subplots(1, 2)
    print("time in which a value grows to nine tenths of 1, by descent (by the formula)")
    print("  N" + "".join(f"     from {s:4.2f}" for s in STARTS) + "   N layers are faster above")
    grid = np.geomspace(STARTS[0], STARTS[-1], 50)
    for depth, color in zip(DEPTHS, COLORS, strict=True):
        expected = [time_to_grow(depth, start) for start in STARTS]
        found = []
        for start, time in zip(STARTS, expected, strict=True):
            when, _, values = descend(np.full((1, 1), TARGET), [[start]], depth, 1.1 * time)
            found.append(when[np.argmax(values[:, 0] >= SHARE * TARGET)])
        cells = "".join(f"{f:7.2f} ({e:4.2f})" for f, e in zip(found, expected, strict=True))
        above = f"{depth ** (-depth / (2 * depth - 2)):9.3f}" if depth > 1 else ""
        print(f"  {depth}{cells}{above}")
        label = f"{depth} layers" if depth > 1 else "1 layer"
        times.plot(grid, [time_to_grow(depth, s) for s in grid], color=color, label=label)
        times.plot(STARTS, found, "o", color=color, markersize=4)

    M = np.diag([4.0, 2.0, 1.0])
    print("\neffective rank on the way to singular values 4, 2, 1, from 0.001 each")
    print("  N   least   when half of the loss is left   at the end")
    for depth, color in zip(DEPTHS[:3], COLORS, strict=False):
        _, losses, values = descend(M, 1e-3 * np.eye(3), depth, {1: 8, 2: 8, 3: 30}[depth])
        rank = effective_rank(values)
        half = rank[np.argmax(losses <= 0.5 * losses[0])]
        print(f"  {depth}  {rank.min():6.3f}  {half:30.3f}  {rank[-1]:11.3f}")
        ranks.plot(losses / losses[0], rank, color=color)
    times.set(xscale="log", yscale="log", xlabel="singular value at first")
    times.set(ylabel="time to nine tenths of the target 1")
    times.set_title("a  one singular value", loc="left")
    ticks = [0.2, 0.5, 1, 2, 5]
    times.set_yticks(ticks, map(str, ticks))
    times.minorticks_off()
    times.legend(fontsize=8)
    ranks.set(xscale="log", xlabel="loss relative to the first", ylabel="effective rank")
    ranks.set_title("b  three singular values", loc="left")
    ranks.set_xlim(1.1, 1e-4)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
