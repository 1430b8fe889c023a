"""Logistic regression under the GLN norm, along a path of penalties, from one compiled problem
============================================================================================

    python examples/plot_custom_problem.py [figure]

gnorm has no estimator for this loss: the problem is written with `gnorm.atoms` in five lines of
cvxpy. Its penalty is a Parameter, so that cvxpy compiles it once. The task is the digits 0 to 4
against 5 to 9, on images that come with scikit-learn; the penalty is chosen on images of its own.
It prints the path, compares with a linear model and with a support vector machine of calibrated
probabilities, and saves a figure, by default to docs/images/custom_problem.svg.
"""

import sys
from math import sqrt
from pathlib import Path
from time import perf_counter

import cvxpy as cp
import numpy as np
from matplotlib.figure import Figure
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.svm import SVC

from gnorm import HyperplaneGates, atoms, gated, norms
from gnorm.datasets import load_binary_digits

N_UNITS, N_CONTEXTS = 10, 2
N_TRAIN = 300
PENALTIES = np.geomspace(10**-0.5, 1e-3, 11)
# Enough for a figure. At the 1e-8 of CLARABEL's defaults some penalties end "optimal_inaccurate".
ACCURACY = dict.fromkeys(["tol_gap_abs", "tol_gap_rel", "tol_feas"], 1e-6)
ACTIVE = 1e-4  # of the largest norm: at this accuracy zeros are found as 1e-6 of it
ORANGE, BLUE, GREEN, PURPLE = "#D55E00", "#0072B2", "#009E73", "#CC79A7"


def load():
    """Three parts: to fit, to choose a penalty, to test; with a constant feature."""
    X, X_test, y, y_test = load_binary_digits(test_size=1797 - 2 * N_TRAIN, random_state=0)
    parts = [X[:N_TRAIN], X[N_TRAIN:], X_test]
    parts = [np.column_stack([part, np.ones(len(part))]) for part in parts]
    return parts, [y[:N_TRAIN], y[N_TRAIN:], y_test]


def solve_path(parts, labels, n_units, penalties):
    """Solve for every penalty; a record of each."""
    gates = HyperplaneGates(n_units, N_CONTEXTS, random_state=0).fit(parts[0])
    activations = [gates.transform(part) for part in parts]

    zeta = cp.Variable((n_units * N_CONTEXTS, parts[0].shape[1]))
    f = atoms.decision_values(zeta, parts[0], activations[0])
    loss = cp.sum(cp.logistic(-cp.multiply(labels[0], f))) / len(labels[0])
    penalty = cp.Parameter(nonneg=True)
    problem = cp.Problem(cp.Minimize(loss + penalty * atoms.gln_norm(zeta, n_contexts=N_CONTEXTS)))

    path = []
    for penalty.value in penalties:
        start = perf_counter()
        problem.solve(solver="CLARABEL", **ACCURACY)
        seconds = perf_counter() - start
        # The norm does not tell apart weights of the same predictors: take the cheapest of them.
        weights = gated.canonical(zeta.value.reshape(n_units, N_CONTEXTS, -1))
        values = [
            gated.decision_values(part, is_open, weights)
            for part, is_open in zip(parts, activations, strict=True)
        ]
        losses = [np.logaddexp(0, -y * f).mean() for y, f in zip(labels, values, strict=True)]
        path.append(
            {
                "penalty": penalty.value,
                "norm": norms.gln_norm(weights),
                "unit_norms": norms.unit_norms(weights),
                "losses": losses,
                "error": np.mean((values[-1] > 0) != (labels[-1] > 0)),
                "compiling": problem.compilation_time,
                "solving": seconds - problem.compilation_time,
            }
        )
    return path


def fit_rivals(parts, labels):
    """A linear and a kernel machine for every C; records of each, under its name."""
    rivals = {
        "linear": lambda C: LogisticRegression(C=C, max_iter=10_000),
        "RBF SVM": lambda C: CalibratedClassifierCV(SVC(C=C), ensemble=False),
    }
    records = {name: [] for name in rivals}
    for name, rival in rivals.items():
        for C in np.geomspace(1e-3, 1e2, 11):
            model = rival(C).fit(parts[0], labels[0])
            losses = [
                log_loss(y, model.predict_proba(part))
                for part, y in zip(parts, labels, strict=True)
            ]
            error = 1 - model.score(parts[-1], labels[-1])
            records[name].append({"penalty": f"C={C:.3g}", "losses": losses, "error": error})
    return records


def chosen(records):
    """The record of least loss on the images kept to choose."""
    return min(records, key=lambda record: record["losses"][1])


def draw(path, best):
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    penalties = [record["penalty"] for record in path]

    styles = ["-", "--", ":", "-."]
    unit_norms = np.array([record["unit_norms"] for record in path])
    for h, curve in enumerate(unit_norms.T):
        colour = (BLUE, ORANGE, GREEN, PURPLE)[h % 4]
        left.plot(penalties, curve, color=colour, linestyle=styles[h // 4 % 4], linewidth=1.3)
    left.set(ylabel=r"unit norm  $\|\zeta_h\|$", ylim=(0, None))
    left.text(
        0.97,
        0.97,
        "one curve a unit; colours and\ndashes only tell them apart",
        transform=left.transAxes,
        ha="right",
        va="top",
        fontsize="small",
        color="0.4",
    )
    left.annotate(
        "chosen",
        xy=(best["gated"]["penalty"], 1),
        xycoords=left.get_xaxis_transform(),
        xytext=(3, -12),
        textcoords="offset points",
        fontsize="small",
        color="0.4",
    )
    left.set_title("a  norms of the units", loc="left", fontsize="medium")

    curves = zip(*(record["losses"] for record in path), strict=True)
    looks = {
        "training": {"color": "0.5", "linestyle": "--"},
        "validation": {"color": BLUE, "linestyle": "-"},
        "test": {"color": ORANGE, "linestyle": "-", "marker": "."},
    }
    for (name, look), curve in zip(looks.items(), curves, strict=True):
        right.plot(penalties, curve, label=name, **look)
    for name, style, side in (("linear", "--", "left"), ("RBF SVM", ":", "right")):
        loss = best[name]["losses"][-1]
        right.axhline(loss, color="0.2", linewidth=1.0, linestyle=style)
        right.annotate(
            f"{name}, test",
            xy=(float(side == "right"), loss),
            xycoords=right.get_yaxis_transform(),
            xytext=(3 if side == "left" else -3, 3),
            textcoords="offset points",
            ha=side,
            fontsize="small",
        )
    right.set(ylabel="log-loss", ylim=(0, None))
    right.set_title("b  loss, beside two other models", loc="left", fontsize="medium")
    right.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.25, 1.0))
    for ax in (left, right):
        ax.axvline(best["gated"]["penalty"], color="0.6", linewidth=0.8, zorder=0)
        ax.set(xscale="log", xlabel=r"penalty  $\lambda$")
        ax.set_xlim(penalties[-1], penalties[0])
    return figure


def main(path="docs/images/custom_problem.svg", n_units=N_UNITS, penalties=PENALTIES):
    parts, labels = load()
    sizes = "{} to fit, {} to choose the penalty, {} to test".format(*map(len, labels))
    print(f"digits 0-4 against 5-9, images: {sizes}\n")
    records = {"gated": solve_path(parts, labels, n_units, penalties)}
    print("penalty    norm  active   training  validation    test   compiling   solving")
    for record in records["gated"]:
        unit_norms = record["unit_norms"]
        n_active = np.count_nonzero(unit_norms > ACTIVE * unit_norms.max())
        losses = "   ".join(f"{loss:8.3f}" for loss in record["losses"])
        print(
            f"{record['penalty']:7.4f}  {record['norm']:6.3f}  {n_active:6d}   {losses}"
            f"   {record['compiling']:7.3f} s  {record['solving']:6.2f} s"
        )

    records |= fit_rivals(parts, labels)
    best = {name: chosen(rivals) for name, rivals in records.items()}
    print("\nchosen      penalty   test log-loss   test error [%]")
    for name, record in best.items():
        value, error = record["penalty"], record["error"]
        shown = value if isinstance(value, str) else f"{value:.4f}"
        standard_error = 100 * sqrt(error * (1 - error) / len(labels[-1]))
        print(
            f"{name:<10}  {shown:>7}  {record['losses'][-1]:14.3f}   {100 * error:8.1f} ± "
            f"{standard_error:.1f}"
        )

    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    draw(records["gated"], best).savefig(file, dpi=130)
    print(f"\nfigure: {file}")


if __name__ == "__main__":
    main(*sys.argv[1:])
