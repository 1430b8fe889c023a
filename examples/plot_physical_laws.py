"""Physical laws whose dilation is found from their data
=====================================================

    python examples/plot_physical_laws.py [figure]

A hot surface of temperature T in surroundings of temperature T0 loses heat by radiation
(Stefan-Boltzmann) and convection,

    q = sigma (T^4 - T0^4) + h (T - T0).

It has one dilation up to its scale: temperatures of weight 1 and the coefficient h of weight 3 make
q one of degree 4. find_dilation is given samples of T, T0, h and q, and not the law; with noise of
one per cent, and without. Kepler's third law is found from the eight planets, period against
semi-major axis. The pressure drop in a pipe, 8 mu L Q / (pi R^4), is a product of powers: weights
of any four numbers give it a degree, and find_dilation says that it can tell no more than that
family. It prints what is found, and saves a figure of error against the number of samples, where
more than half of the repeats leave no family, by default to docs/images/physical_laws.svg.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gnorm.homogeneity import find_dilation

SIGMA = 5.670374419e-8  # W m^-2 K^-4
WEIGHTS, DEGREE = np.array([1.0, 1.0, 3.0]), 4
FEATURES = ("T", "T0", "h")
COLOURS = ("#0072B2", "#009E73", "#D55E00")
SIZES = (100, 200, 500, 1000, 2000)
N_REPEATS = 10
# Semi-major axes in astronomical units and sidereal periods in years, from the planetary fact
# sheets of NASA: Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus, Neptune.
AXES = np.array([0.3871, 0.7233, 1.0, 1.5237, 5.2034, 9.5371, 19.1913, 30.0690])
PERIODS = np.array([0.2408, 0.6152, 1.0, 1.8808, 11.862, 29.457, 84.011, 164.79])


def cooling(X):
    hot, cold, h = X.T
    return SIGMA * (hot**4 - cold**4) + h * (hot - cold)


def surfaces(n_samples, rng):
    return rng.uniform([400, 250, 1], [1200, 350, 50], size=(n_samples, 3))


def pipe(X):
    viscosity, length, flow, radius = X.T
    return 8 * viscosity * length * flow / (np.pi * radius**4)


def study(noise):
    """Errors and stated standard errors of the weights, by number of samples and repeat."""
    errors, stds = [], []
    for n_samples in SIZES:
        found = []
        for seed in range(N_REPEATS):
            rng = np.random.default_rng(seed)
            X = surfaces(n_samples, rng)
            q = cooling(X) * (1 + noise * rng.normal(size=n_samples))
            found.append(find_dilation(q, X, degree=DEGREE, structure="diagonal"))
        errors.append([f.weights - WEIGHTS for f in found])
        stds.append([f.weights_std for f in found])
    return np.array(errors), np.array(stds)


def draw(studies):
    figure = Figure(figsize=(8.4, 3.8), layout="constrained")
    panels = figure.subplots(1, len(studies), sharey=True)
    for ax, letter, (title, (errors, stds)) in zip(panels, "ab", studies.items(), strict=True):
        for i, (name, colour) in enumerate(zip(FEATURES, COLOURS, strict=True)):
            stated = np.ma.masked_invalid(np.median(stds[:, :, i], axis=1))
            rms = np.ma.array(np.sqrt((errors[:, :, i] ** 2).mean(axis=1)), mask=stated.mask)
            label = f"weight of ${name.replace('0', '_0')}$"
            ax.plot(SIZES, rms, color=colour, marker="o", markersize=4, label=label)
            ax.plot(SIZES, stated, color=colour, linestyle=":", linewidth=1.3)
        ax.set(xscale="log", yscale="log", xlabel="samples", xlim=(90, 2200))
        ax.set_xticks(SIZES, [str(n) for n in SIZES])
        ax.minorticks_off()
        ax.set_title(f"{letter}  {title}", loc="left", fontsize="medium")
        last = SIZES[int(stated.mask.sum()) - 1]  # of the sizes that leave a family
        ax.axvspan(0, 1.2 * last, color="0.93", zorder=0)
        ax.text(98, 8e-4, "a family fits", color="0.3", fontsize="small", rotation=90)
    panels[0].set_ylabel("error of the weight (dotted: stated)")
    panels[0].legend(frameon=False)
    return figure


def main(path="docs/images/physical_laws.svg"):
    rng = np.random.default_rng(0)
    X = surfaces(2000, rng)
    print("cooling of a surface, features T, T0, h")
    print(f"  from the law itself:    {find_dilation(cooling, X, degree=DEGREE)}")
    q = cooling(X)
    print(f"  from 2000 samples:      {find_dilation(q, X, degree=DEGREE)}")
    noisy = q * (1 + 0.01 * rng.normal(size=2000))
    print(f"  the same, noise of 1%:  {find_dilation(noisy, X, degree=DEGREE)}")
    kepler = find_dilation(PERIODS, AXES[:, None])
    print(f"planets, period by semi-major axis: {kepler}")
    pipes = rng.uniform(0.5, 2.0, size=(500, 4))
    print(f"flow in a pipe, features mu, L, Q, R: {find_dilation(pipe, pipes)}")

    studies = {
        "Exact samples": study(0.0),
        "Samples with noise of 1%": study(0.01),
    }
    print("\nroot mean squared error of the weights of T, T0, h (median standard error stated)")
    for title, (errors, stds) in studies.items():
        print(f"{title.lower()}, {N_REPEATS} repeats")
        for i, n_samples in enumerate(SIZES):
            rms = np.sqrt((errors[i] ** 2).mean(axis=0))
            pairs = zip(rms, np.median(stds[i], axis=0), strict=True)
            cells = "  ".join(f"{error:8.4f} ({std:.4f})" for error, std in pairs)
            print(f"  {n_samples:>5} samples {cells}")

    figure = draw(studies)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
