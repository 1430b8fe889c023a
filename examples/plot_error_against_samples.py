"""Held-out error against the number of training images, digits 0-4 against 5-9 of MNIST
=====================================================================================

The hard-margin predictors of the GLN norm, of the FReLU norm and of the L2 norm of the predictors,
the same gates under all of them, and a linear machine, whose C is chosen on images that are in no
training set. Errors fall with the number of images, alike under all three norms; those of the
linear machine hardly do.

    GNORM_MNIST=<folder of the MNIST files> python examples/plot_error_against_samples.py \\
        [figure.svg] [largest number of images] [results.csv]

Long: with 60,000 images about half an hour on one core. Results are written as they come, and what
is in the file is not done again.
"""

import csv
import os
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure
from sklearn.svm import LinearSVC

from gnorm import HyperplaneGates, NotSeparableError, max_margin, solve
from gnorm.datasets import load_mnist

SIZES = (500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000)
N_UNITS, N_CONTEXTS = 50, 2
TOL = 1e-4
COLUMNS = ("norm", "n_samples", "error", "support", "gap", "seconds")
# Okabe and Ito: told apart with any colour vision
STYLES = {
    "GLN norm": {"color": "#0072B2", "marker": "o"},
    "FReLU norm": {"color": "#D55E00", "marker": "s"},
    "L2 norm": {"color": "#009E73", "marker": "^"},
    "linear": {"color": "0.3", "marker": "x", "linestyle": "--"},
}


def with_constant(images):
    return np.column_stack([images / 127.5 - 1.0, np.ones(len(images))])


def as_frelu(activations):
    """One context as an on/off gate, and a unit that is always open."""
    always = np.ones((len(activations), 1, 1), dtype=bool)
    return np.concatenate([activations[:, :, 1:], always], axis=1)


def l2_solution(X, y, activations):
    return solve(X, y, activations, norm="predictor_l2", C=np.inf, tol=TOL)


def fit(norm, X, y, activations, X_test, activations_test):
    """Decision values on the test images, support and gap."""
    if norm == "linear":
        # no hard margin: the classes overlap for a linear map; C from a few powers of ten
        held = slice(0, len(y) // 5)
        fitted = [LinearSVC(C=10.0**k, dual=False) for k in range(-5, 0)]
        scores = [
            machine.fit(X[len(y) // 5 :], y[len(y) // 5 :]).score(X[held], y[held])
            for machine in fitted
        ]
        best = LinearSVC(C=fitted[int(np.argmax(scores))].C, dual=False).fit(X, y)
        return best.decision_function(X_test), "", ""
    if norm == "FReLU norm":
        activations, activations_test = as_frelu(activations), as_frelu(activations_test)
    if norm == "L2 norm":
        solution = l2_solution(X, y, activations)
    else:
        solution = max_margin(X, y, activations, tol=TOL)
    values = solution.decision_values(X_test, activations_test)
    return values, len(solution.support), solution.duality_gap


def draw(rows):
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    ax = figure.subplots()
    for norm, style in STYLES.items():
        points = sorted((int(r["n_samples"]), float(r["error"])) for r in rows if r["norm"] == norm)
        if points:
            sizes, errors = np.array(points).T
            ax.plot(sizes, 100 * errors, label=norm, linewidth=1.2, markersize=4, **style)
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="training images",
        ylabel="error on 10,000 test images [%]",
    )
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_yticks([4, 5, 6, 8, 10, 12, 15, 20])
    ax.set_yticks([], minor=True)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.legend(frameon=False)
    return figure


def main(path="docs/images/error_against_samples.svg", largest=60_000, results="error.csv"):
    images, images_test, digits, digits_test = load_mnist(os.environ["GNORM_MNIST"])
    order = np.random.default_rng(0).permutation(len(images))
    X_all, X_test = with_constant(images), with_constant(images_test)
    y_all, y_test = (np.where(d < 5, 1, -1) for d in (digits, digits_test))
    gates = HyperplaneGates(N_UNITS, N_CONTEXTS, random_state=0).fit(X_all)
    activations_all, activations_test = gates.transform(X_all), gates.transform(X_test)

    file = Path(results)
    if not file.exists():
        file.write_text(",".join(COLUMNS) + "\n")
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    done = {(row["norm"], int(row["n_samples"])) for row in rows}
    print(f"{'norm':<12}{'images':>8}{'error':>9}{'support':>9}{'gap':>9}{'seconds':>9}")
    for n_samples in SIZES:
        for norm in STYLES:
            if n_samples > int(largest) or (norm, n_samples) in done:
                continue
            some = order[:n_samples]
            start = perf_counter()
            try:
                values, support, gap = fit(
                    norm, X_all[some], y_all[some], activations_all[some], X_test, activations_test
                )
            except NotSeparableError as error:
                print(f"{norm:<12}{n_samples:8d}  not separable: residual {error.residual:.0e}")
                continue
            seconds = perf_counter() - start
            wrong = float(np.mean((values > 0) != (y_test > 0)))
            row = dict(zip(COLUMNS, (norm, n_samples, wrong, support, gap, seconds), strict=True))
            rows.append(row)
            with file.open("a", newline="") as lines:
                csv.DictWriter(lines, COLUMNS).writerow(row)
            gap_text = f"{gap:.1e}" if gap != "" else ""
            print(
                f"{norm:<12}{n_samples:8d}{wrong:9.2%}{support!s:>9}{gap_text:>9}{seconds:9.1f}",
                flush=True,
            )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(rows).savefig(path, dpi=130)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
