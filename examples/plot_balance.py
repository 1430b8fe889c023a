"""Layers stay balanced without being asked to
===========================================

    python examples/plot_balance.py [figure]

The experiments of Du, Hu and Lee (2018) on a matrix factorisation and on deep networks: descent
without a penalty on imbalance converges as well as with one; the difference between the squared
norms of adjacent layers stays what it was at the start, while the norms grow. It prints what the
panels show and saves a figure, by default to docs/images/balance.svg: (a) to (d) are
of the factorisation, (e) and (f) of the networks, whose dashed differences stay level.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gnorm import HyperplaneGates
from gnorm.datasets import load_binary_digits
from gnorm.descent import (
    Decaying,
    GatedNetwork,
    GradientDescent,
    MatrixFactorization,
    matrix_factorization,
)

SHAPE, SINGULAR_VALUES = (100, 100), (10.0, 8.0, 6.0, 4.0, 2.0)
RANK = len(SINGULAR_VALUES)
RATE, N_STEPS = 0.005, 4000
N_TRAIN, WIDTHS = 200, (16, 8)
BLUE, RED, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PENALTIES = {0.0: ("no penalty", RED, "-"), 1.0: ("with penalty", BLUE, "--")}


def low_rank(rng):
    left, right = (np.linalg.qr(rng.normal(size=(n, RANK)))[0] for n in SHAPE)
    return left * SINGULAR_VALUES @ right.T


def factorise(M, scales, rng):
    """Histories with and without the penalty, from the same factors of the given scales."""
    U, V = (rng.normal(scale=s, size=(n, RANK)) for s, n in zip(scales, SHAPE, strict=True))
    return {
        penalty: GradientDescent(RATE, max_steps=N_STEPS).minimize(
            MatrixFactorization(M, U, V, balancing=penalty)
        )
        for penalty in PENALTIES
    }


def train_networks():
    """Histories of a linear and a gated network of three layers on digits."""
    X, _, y, _ = load_binary_digits(test_size=1797 - N_TRAIN, random_state=0)
    gates = [HyperplaneGates(H, random_state=i).fit_transform(X) for i, H in enumerate(WIDTHS)]
    options = {"init": "kaiming_normal", "scale": 0.5, "random_state": 0}
    linear = GatedNetwork.deep_linear(X.shape[1], WIDTHS, **options)
    gated = GatedNetwork.gln(X.shape[1], WIDTHS, **options)
    descent = GradientDescent(0.02, max_steps=5000)
    return {
        "linear network of three layers": descent.train(linear, X, y),
        "gated linear network of three layers": descent.train(gated, X, y, gates),
    }


def draw_penalties(ax, histories, name):
    for penalty, (label, colour, dashes) in PENALTIES.items():
        history = histories[penalty]
        ax.plot(history.step, history[name], color=colour, linestyle=dashes, label=label)
    ax.legend(frameon=False, fontsize="small")


def draw_layers(ax, history):
    squares = history["layer_norms"] ** 2
    for i, colour in enumerate((BLUE, GREEN, ORANGE)):
        ax.plot(history.step, squares[:, i], color=colour, label=f"$\\|W_{i + 1}\\|^2$")
    for i, dashes in enumerate(((0, (4, 2)), (0, (1, 1.5)))):
        ax.plot(
            history.step,
            squares[:, i] - squares[:, i + 1],
            color="0.2",
            linestyle=dashes,
            label=f"$\\|W_{i + 1}\\|^2 - \\|W_{i + 2}\\|^2$",
        )
    ax.set(ylabel="squared norm", ylim=(None, 1.5 * squares.max()))  # room for the legend


def draw(equal, unequal, decaying, networks):
    figure = Figure(figsize=(10.0, 5.8), layout="constrained")
    (loss, ratio, difference), (bounded, *deep) = figure.subplots(2, 3)

    draw_penalties(loss, equal, "loss")
    loss.set(yscale="log", ylabel="loss", ylim=(1e-26, 1e3))
    loss.set_title("a  loss, equal start", loc="left", fontsize="medium")

    draw_penalties(ratio, equal, "norm_ratio")
    ratio.set(ylim=(0, 2), ylabel=r"$\|U\|^2 / \|V\|^2$")
    ratio.set_title("b  ratio of the factors, equal start", loc="left", fontsize="medium")

    for penalty, (label, colour, dashes) in PENALTIES.items():
        history = unequal[penalty]
        squares = history["layer_norms"] ** 2  # of V, then of U
        gap = squares[:, 1] - squares[:, 0]
        difference.plot(history.step, gap, color=colour, linestyle=dashes, label=label)
    difference.set(ylim=(-1, None), ylabel=r"$\|U\|^2 - \|V\|^2$")
    difference.set_title("c  difference, unequal start", loc="left", fontsize="medium")
    difference.legend(frameon=False, fontsize="small", loc="center right")

    for (scale, history), colour in zip(decaying.items(), (BLUE, GREEN, ORANGE), strict=True):
        style = {"color": colour, "fontsize": "small", "va": "bottom"}
        bounded.plot(history.step, history["imbalance"], color=colour)
        bounded.annotate(
            f"start {scale:g}", (N_STEPS, history["imbalance"][-1]), ha="right", **style
        )
    bounded.set(yscale="log", ylabel="imbalance", ylim=(1e-5, 5))
    bounded.set_title("d  decaying rates, three starts", loc="left", fontsize="medium")

    for ax, letter, (title, history) in zip(deep, "ef", networks.items(), strict=True):
        draw_layers(ax, history)
        ax.set_title(f"{letter}  {title}", loc="left", fontsize="medium")
        ax.legend(frameon=False, fontsize="small", loc="upper left")
    for ax in figure.axes:
        ax.set(xlabel="step")
        ax.set_xscale("symlog", linthresh=1)  # the start, step 0, is on it
        ax.set_xlim(0, None)
    return figure


def main(path="docs/images/balance.svg"):
    rng = np.random.default_rng(0)
    M = low_rank(rng)
    equal, unequal = factorise(M, (0.1, 0.1), rng), factorise(M, (0.2, 0.1), rng)
    decaying = {
        scale: GradientDescent(Decaying(0.1), max_steps=N_STEPS).minimize(
            matrix_factorization(M, RANK, scale=scale, random_state=0)
        )
        for scale in (1e-1, 1e-2, 1e-3)
    }
    networks = train_networks()

    print(f"matrix factorisation, {N_STEPS} steps")
    for penalty, (name, *_) in PENALTIES.items():
        history = equal[penalty]
        ratios = history["norm_ratio"][[0, -1]]
        print(f"  {name:<13} loss {history.loss[-1]:.0e}", end="  ")
        print(f"ratio of the squared norms {ratios[0]:.3f} -> {ratios[1]:.3f}")
    print("from an unequal start")
    for penalty, (name, *_) in PENALTIES.items():
        squares = unequal[penalty]["layer_norms"][[0, -1]] ** 2
        gaps = squares[:, 1] - squares[:, 0]
        print(f"  {name:<13} difference of the squared norms {gaps[0]:.3f} -> {gaps[1]:.3f}")
    print("decaying rates")
    for scale, history in decaying.items():
        first, last = history["imbalance"][[0, -1]]
        print(f"  start {scale:<7g} imbalance {first:.2e} -> {last:.2e}", end="  ")
        print(f"squared norm {history['squared_norm'][-1]:.1f}")
    for name, history in networks.items():
        print(name)
        squares = history["layer_norms"][[0, -1]] ** 2
        for i in range(2):
            before, after = squares[:, i]
            gaps = squares[:, i] - squares[:, i + 1]
            print(f"  layer {i + 1}  squared norm {before:.3f} -> {after:.3f}", end="  ")
            print(f"less that of the next {gaps[0]:.3f} -> {gaps[1]:.3f}")

    figure = draw(equal, unequal, decaying, networks)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
