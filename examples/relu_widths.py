"""How far machines on the gates of ReLU networks, and trained ones, are from the exact solution.

    GNORM_MNIST=<folder of the MNIST files> python examples/relu_widths.py [run] [figure]

The hard-margin ReLU network of any width is solved with a certificate: for a wavy boundary in the
plane, and for the digits 3 and 8 of MNIST projected to their first two or three principal
components. Beside it are the predictors with which the paper approximates ReLU networks, at widths
from 50 to 10,000:

- SVM-RC, the least FReLU norm over random gates;
- trained, gradient descent on the ReLU network itself, from small and from large weights;
- SVM-LC, the least FReLU norm over the gates that this network has learned;
- SVM-HL, a linear machine on its hidden layer.

``run`` appends the rows that examples/relu_widths.csv lacks, as they come; without it the table is
printed from the stored ones. ``figure`` draws docs/images/relu_widths.svg. All rows take about ten
minutes on one core.
"""

import csv
import os
import sys
import warnings
from itertools import product
from pathlib import Path
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure

from gnorm import NotSeparableError, max_margin
from gnorm.datasets import load_mnist
from gnorm.descent import GatedNetwork, GradientDescent
from gnorm.gates import ReLUGates
from gnorm.relu import relu_max_margin

ROWS = Path(__file__).with_suffix(".csv")
FIGURE = Path(__file__).parents[1] / "docs" / "images" / "relu_widths.svg"
WIDTHS = (50, 200, 1000, 10_000)
STARTS = {"small": 0.03, "large": 10.0}  # factors of Kaiming's initial weights
N_STEPS = 6000
NEAR = np.cos(np.deg2rad(5.0))  # to an exact neuron: what counts as aligned
LEAST = 1e-3  # of the norm: exact neurons of less are not counted
COLUMNS = (
    "data",
    "width",
    "model",
    "start",
    "seed",
    "ratio",
    "differs",
    "error",
    "aligned",
    "seconds",
)
MODELS = {"trained": "#000000", "SVM-RC": "#E69F00", "SVM-LC": "#56B4E9", "SVM-HL": "#009E73"}


def with_constant(X):
    return np.column_stack([X, np.ones(len(X))])


def plane(n_train=50, n_test=10_000):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(n, 2)) for n in (n_train, n_test)])
    return with_constant(X), np.sign(np.sin(2 * X[:, 0]) + X[:, 1] + 0.2), n_train


def digits(n_components, n_train=60):
    """The digits 3 and 8 among the first 10,000 images, each component of unit variance."""
    images, _, digits, _ = load_mnist(os.environ["GNORM_MNIST"])
    chosen = np.flatnonzero(np.isin(digits[:10_000], (3, 8)))
    X = images[chosen] / 255.0
    X -= X.mean(axis=0)
    Z = X @ np.linalg.svd(X, full_matrices=False)[2][:n_components].T
    return with_constant(Z / Z.std(axis=0)), np.where(digits[chosen] == 3, 1.0, -1.0), n_train


DATA = {
    "plane": plane,
    "MNIST 2": lambda: digits(2),
    "MNIST 3": lambda: digits(3),
}
TITLES = {"plane": "plane", "MNIST 2": "MNIST, 2 components", "MNIST 3": "MNIST, 3 components"}


class Recorder:
    """Measure predictors against the exact solution of one data set, and store the rows."""

    def __init__(self, name, stored, write):
        self.name, self.stored, self.write = name, stored, write
        self.X, self.y, self.n = DATA[name]()
        self.train = self.X[: self.n], self.y[: self.n]
        start = perf_counter()
        self.exact = relu_max_margin(*self.train, tol=1e-6)
        self.values = self.exact.decision_values(self.X)
        if (name, "0", "exact", "", "0") not in stored:
            self.add(0, "exact", "", 0, self.values, self.exact.margin, perf_counter() - start)

    def has(self, width, start, seed):
        return (self.name, str(width), "SVM-HL", start, str(seed)) in self.stored

    def add(self, width, model, start, seed, values, margin, seconds, aligned=""):
        """Store a row; a predictor that could not be made has the values None."""
        facts = {"ratio": "", "differs": "", "error": ""}
        if values is not None:
            held_out = slice(self.n, None)
            facts = {
                "ratio": "" if margin is None else f"{margin * self.exact.norm:.4f}",
                "differs": f"{np.mean((values > 0) != (self.values > 0), where=self.mask()):.4f}",
                "error": f"{np.mean((values[held_out] > 0) != (self.y[held_out] > 0)):.4f}",
            }
        row = {"data": self.name, "width": width, "model": model, "start": start, "seed": seed}
        self.write(row | facts | {"aligned": aligned, "seconds": f"{seconds:.2f}"})

    def mask(self):
        return np.arange(len(self.y)) >= self.n

    def machine(self, width, model, start, seed, X, gates, **options):
        """The least FReLU norm over given gates, of which the margin ratio is that of the norms."""
        clock = perf_counter()
        try:
            solution = max_margin(X[: self.n], self.train[1], gates[: self.n], tol=1e-6, **options)
        except NotSeparableError:
            values, margin = None, None
        else:
            values = solution.decision_values(X, gates)
            margin = solution.margin if model != "SVM-HL" else None
        self.add(width, model, start, seed, values, margin, perf_counter() - clock)

    def random_gates(self, width, seed):
        gates = ReLUGates(width, cutoff="zero", random_state=seed).fit(self.train[0])
        self.machine(width, "SVM-RC", "", seed, self.X, gates.transform(self.X))

    def trained(self, width, start, seed):
        clock = perf_counter()
        network = GatedNetwork.relu(self.X.shape[1], width, scale=STARTS[start], random_state=seed)
        history = GradientDescent.accelerated(self.train[0], N_STEPS).train(network, *self.train)
        margin = 2 * history["min_margin"][-1] / history["squared_norm"][-1]
        values = network.decision_function(self.X)
        aligned = f"{self.aligned(network):.4f}"
        self.add(width, "trained", start, seed, values, margin, perf_counter() - clock, aligned)
        (opened,) = network.activations(self.X)
        self.machine(width, "SVM-LC", start, seed, self.X, opened)
        hidden = np.maximum(self.X @ network.layers[0].weights[0].T, 0.0)
        always = np.ones((len(hidden), 1, 1), dtype=bool)
        self.machine(width, "SVM-HL", start, seed, hidden, always, method="interior-point")

    def aligned(self, network):
        """Share of the norm in neurons within 5 degrees of an exact one of the same sign."""
        hidden, output = (
            layer.weights.reshape(-1, layer.weights.shape[-1]) for layer in network.layers
        )
        lengths = np.linalg.norm(hidden, axis=1)
        coefs = lengths * output.ravel()
        heavy = np.abs(self.exact.coefs) > LEAST * self.exact.norm
        cosines = hidden @ self.exact.neurons[heavy].T / np.maximum(lengths, 1e-300)[:, None]
        is_near = cosines >= NEAR
        is_near &= np.sign(coefs)[:, None] == np.sign(self.exact.coefs[heavy])
        return np.sum(np.abs(coefs), where=is_near.any(axis=1)) / np.sum(np.abs(coefs))


def run():
    """Append the rows that are not stored."""
    warnings.simplefilter("ignore", UserWarning)  # the rows say where training did not separate
    stored = {tuple(row[name] for name in COLUMNS[:5]) for row in read()}
    with ROWS.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not stored:
            writer.writeheader()

        def write(row):
            writer.writerow(row)
            file.flush()

        for name in DATA:
            recorder = Recorder(name, stored, write)
            for width in WIDTHS:
                for seed in range(3 if width <= 1000 else 1):
                    if (name, str(width), "SVM-RC", "", str(seed)) not in stored:
                        recorder.random_gates(width, seed)
                    for start in STARTS:
                        if not recorder.has(width, start, seed):
                            recorder.trained(width, start, seed)


def read():
    if not ROWS.exists():
        return []
    with ROWS.open(newline="") as file:
        return list(csv.DictReader(file))


def summary(rows):
    """Median and range over the seeds of each predictor, and how many separate the samples."""
    groups = {}
    for row in rows:
        key = row["data"], row["model"], row["start"], int(row["width"])
        groups.setdefault(key, []).append(row)
    table = {}
    for key, group in groups.items():
        done = [row for row in group if row["differs"] and not row["ratio"].startswith("-")]
        table[key] = {"n": len(group), "n_separated": len(done)} | {
            name: np.median([float(row[name]) for row in done if row[name]])
            if any(row[name] for row in done)
            else np.nan
            for name in ("ratio", "differs", "error", "aligned")
        }
        for name in ("ratio", "differs"):  # the spread that is drawn
            values = [float(row[name]) for row in done if row[name]]
            table[key][f"{name} range"] = (min(values), max(values)) if values else (np.nan,) * 2
    return table


def show(table):
    forms = {"ratio": "7.3f", "differs": "8.2%", "error": "7.2%", "aligned": "8.1%"}
    heads = " ".join(f"{name:>{form.split('.')[0]}}" for name, form in forms.items())
    print(f"{'data':>8} {'model':>8} {'start':>6} {'width':>6} {'separates':>9} {heads}")
    for (data, model, start, width), row in table.items():
        cells = " ".join(
            " " * int(form[0]) if np.isnan(row[name]) else f"{row[name]:{form}}"
            for name, form in forms.items()
        )
        separates = f"{row['n_separated']} of {row['n']}"
        print(f"{data:>8} {model:>8} {start:>6} {width:>6} {separates:>9} {cells}".rstrip())


def draw(table):
    figure = Figure(figsize=(10.0, 5.2), layout="constrained")
    panels = figure.subplots(2, len(DATA), sharex=True, sharey="row")
    for column, name in enumerate(DATA):
        for (model, color), start in product(MODELS.items(), ("", *STARTS)):
            points = [
                (width, row)
                for (data, kind, begun, width), row in table.items()
                if (data, kind, begun) == (name, model, start) and row["n_separated"]
            ]
            if not points:
                continue
            style = {"color": color, "marker": "o", "markersize": 4, "linewidth": 1.2}
            if model == "trained":  # seen beside SVM-HL, which is hardly elsewhere
                style |= {"linewidth": 3.0, "markersize": 7}
            style["linestyle"] = "--" if start == "large" else "-"
            label = model + (f", {start} start" if start else "")
            for ax, fact in zip(panels[:, column], ("ratio", "differs"), strict=True):
                factor = 100 if fact == "differs" else 1
                widths = [width for width, _ in points]
                heights = np.array([row[fact] for _, row in points]) * factor
                low, high = np.array([row[f"{fact} range"] for _, row in points]).T * factor
                if not np.all(np.isnan(heights)):
                    ax.plot(widths, heights, label=label, **style)
                    ax.fill_between(widths, low, high, color=color, alpha=0.15, linewidth=0)
        panels[0, column].axhline(1.0, color="0.6", linewidth=0.8, zorder=0)
        for row, letter in zip(panels, ("abc"[column], "def"[column]), strict=True):
            row[column].set_title(f"{letter}  {TITLES[name]}", loc="left", fontsize="medium")
        panels[0, column].set(xscale="log", yscale="log")
        panels[1, column].set_xlabel("width")
    panels[1, 0].set_ylim(0, None)
    panels[0, 0].set_ylabel("margin over the largest of\nReLU networks")
    panels[1, 0].set_ylabel("held-out signs that differ\nfrom the exact ones [%]")
    handles, labels = panels[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize="small")
    figure.savefig(FIGURE, dpi=110)


if __name__ == "__main__":
    if "run" in sys.argv[1:]:
        run()
    medians = summary(read())
    show(medians)
    if "figure" in sys.argv[1:]:
        draw(medians)
