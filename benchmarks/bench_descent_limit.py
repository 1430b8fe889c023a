"""How fast gradient descent comes to the max-margin solution, by method, on MNIST.

Full-batch training of two-layer networks without bias on 500 images with the published gates, with

* plain: descent along -grad log L, steps of 0.002 in units of the largest unit;
* rising: the same with momentum that rises to 0.999;
* nesterov: Nesterov's method, steps of 4 / max ||x||^2 in units of the network;
* heavy ball: momentum 0.99 while the margin is made to grow slowly to 2e4;
* accelerated: Nesterov's method with the same growth, `GradientDescent.accelerated`.

The first three are followed along one run. The growth of the last two depends on the length of the
run, so that every length is a run of its own. At each length: the margin ratio, the share of the
12,000 validation images on which the network and the exact SVM-GLN differ, the same share for the
SVM-GLN with the published, wrong groups, and the residual of the KKT conditions. "Units" is the
part of 1 - ratio that the sizes of the units leave: what it would be if the first layer were the
best for the second layer as it is, an ordinary SVM. The rest is the directions of the weights, and
the smoothing of the loss. For each method the exponent of 1 - ratio against steps, from 1,000 on
and below one half, and the steps at which one per cent of the images differ, interpolated or, in
brackets, extrapolated by at most a factor of ten.

    GNORM_MNIST=<folder of the MNIST files> python benchmarks/bench_descent_limit.py \\
        [longest run] [problem,...] [file.csv]

Problems are GLN-10, GLN-50, FReLU-10, FReLU-50, and GLN-10-10 of three layers, of which only the
KKT residual is known. The longest run is of 10,000 steps unless given, which takes half an hour for
all problems.
"""

import csv
import os
import sys
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import nnls
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1]))  # examples is no installed package

from examples.paper.data import Experiment, in_published_groups
from gnorm import max_margin
from gnorm.descent import (
    GatedNetwork,
    GradientDescent,
    Normalized,
    RisingMomentum,
    compare,
    inconsistency,
    kkt_residual,
)

N_TRAIN = 500
LENGTHS = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
PROBLEMS = ("GLN-10", "FReLU-10", "GLN-50", "FReLU-50", "GLN-10-10")
GROWING = ("heavy ball", "accelerated")


def as_frelu(activations):
    """The second context as an on/off gate, and a unit that is always open."""
    always = np.ones((len(activations), 1, 1), dtype=bool)
    return np.concatenate([activations[:, :, 1:], always], axis=1)


class Problem:
    """A network to train, and what to compare it with."""

    def __init__(self, name, experiment):
        kind, *widths = name.split("-")
        n_units = int(widths[0])
        gates = experiment.activations(n_units, 2, "median")
        gates = as_frelu(gates) if kind == "FReLU" else gates
        self.rows, self.validation = slice(N_TRAIN), experiment.validation
        self.X, self.y, self.gates = experiment.X, experiment.y, gates
        make = GatedNetwork.frelu if kind == "FReLU" else GatedNetwork.gln
        self.is_deep = len(widths) > 1
        shape = [int(width) for width in widths] if self.is_deep else gates.shape[1]
        self.network = make(self.X.shape[1], shape, random_state=0)
        if self.is_deep:
            # every hidden layer has gates of the input; the second takes those of other hyperplanes
            self.gates = [gates, experiment.activations(int(widths[1]), 2, "random")]
            return
        self.right = self.solve(gates)
        self.values = self.right.decision_values(self.X[self.validation], gates[self.validation])
        self.wrong_values = None
        if kind == "GLN":
            groups = in_published_groups(gates)
            wrong = self.solve(groups)
            validation = self.validation
            self.wrong_values = wrong.decision_values(self.X[validation], groups[validation])

    def solve(self, gates):
        return max_margin(self.X[self.rows], self.y[self.rows], gates[self.rows], tol=1e-7)

    def of(self, rows):
        """Inputs and gates of some rows."""
        gates = [g[rows] for g in self.gates] if self.is_deep else self.gates[rows]
        return self.X[rows], gates

    def measure(self, network):
        """Distance of a network from the limit, as far as it is known."""
        X, gates = self.of(self.rows)
        y = self.y[self.rows]
        unknown = float("nan")
        if self.is_deep:
            is_separating = np.all(y * network.decision_function(X, gates) > 0)
            residual = kkt_residual(network, X, y, gates) if is_separating else unknown
            names = ("ratio", "units", "unlike", "unlike_wrong")
            return dict.fromkeys(names, unknown) | {"kkt": residual}
        found = compare(network, self.right, X, y, gates)
        values = network.decision_function(*self.of(self.validation))
        return {
            "ratio": found.margin_ratio,
            "units": self.part_of_units(network),
            "unlike": inconsistency(values, self.values),
            "unlike_wrong": (
                unknown if self.wrong_values is None else inconsistency(values, self.wrong_values)
            ),
            "kkt": found.kkt_residual,
        }

    def part_of_units(self, network):
        r"""1 - ratio at the best first layer for the second layer u that the network has.

        With the kernel sum_h u_h^2 Q_h of an SVM without bias, min ||w_1||^2 is the sum of its dual
        coefficients, and the squared norm at margin 1 is 2 ||w_1|| ||u|| after balancing.
        """
        X, gates = self.of(self.rows)
        y = self.y[self.rows]
        u = network.layers[1].weights[0, 0]
        agreement = np.einsum("nhc,h,mhc->nm", gates.astype(float), u**2, gates, optimize=True)
        Q = np.outer(y, y) * (X @ X.T) * agreement
        values, vectors = eigh(Q)
        kept = values > 1e-13 * values[-1]
        roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
        coef, _ = nnls((vectors * roots).T, vectors.sum(axis=0) / roots)
        return 1 - self.right.norm / np.sqrt(coef.sum() * (u @ u))


def descents(X, longest):
    """Trainers by method; those whose run depends on its length for every length."""
    along = {"max_steps": longest, "log_every": 100}
    yield "plain", [GradientDescent(Normalized(0.002), **along)]
    yield "rising", [GradientDescent(Normalized(0.002), momentum=RisingMomentum(0.999), **along)]
    yield "nesterov", [GradientDescent.accelerated(X, longest, rescaling=None, log_every=100)]
    lengths = [length for length in LENGTHS if length <= longest]
    heavy = {"momentum": 0.99, "nesterov": False}
    yield "heavy ball", [GradientDescent.accelerated(X, length, **heavy) for length in lengths]
    yield "accelerated", [GradientDescent.accelerated(X, length) for length in lengths]


def curve(problem, name, trainers):
    """Measures at every length, and the seconds of training up to there."""
    X, gates = problem.of(problem.rows)
    y = problem.y[problem.rows]
    rows = []
    for trainer in trainers:
        network = problem.network.copy()
        clock = {"measuring": 0.0, "start": perf_counter()}

        def log(step, network, trainer=trainer, clock=clock):
            is_due = step == trainer.max_steps if name in GROWING else step in LENGTHS
            if is_due:
                before = perf_counter()
                seconds = before - clock["start"] - clock["measuring"]
                rows.append({"steps": step, "seconds": seconds, **problem.measure(network)})
                clock["measuring"] += perf_counter() - before

        trainer.callback = log
        trainer.train(network, X, y, gates)
    return rows


def exponent(rows, key):
    """Slope of log(key) against log(steps) from 1,000 steps on, where key is below one half."""
    points = [
        (row["steps"], value)
        for row in rows
        if row["steps"] >= 1000 and 0 < (value := key(row)) < 0.5
    ]
    if len(points) < 2:
        return float("nan"), float("nan")
    slope, offset = np.polyfit(*np.log(np.array(points)).T, 1)
    return slope, offset


def steps_to_one_per_cent(rows):
    """Steps at which one per cent differ: between two lengths, or in brackets beyond the last."""
    for before, after in pairwise(rows):
        if before["unlike"] > 0.01 >= after["unlike"]:
            # straight line in logarithms; no difference at all counts as half an image
            low, high = (np.log(max(row["unlike"], 0.5 / 12_000)) for row in (after, before))
            share = (high - np.log(0.01)) / (high - low)
            log_steps = np.log(before["steps"])
            log_steps += share * np.log(after["steps"] / before["steps"])
            return f"{np.exp(log_steps):.0f}"
    slope, offset = exponent(rows[-2:], lambda row: row["unlike"])
    log_steps = (np.log(0.01) - offset) / slope if slope < 0 else np.inf
    most = 10 * rows[-1]["steps"]
    return f"({np.exp(log_steps):.0e})" if log_steps <= np.log(most) else f"over {most}"


def main(longest=10_000, names=None, path=None):
    if "GNORM_MNIST" not in os.environ:
        sys.exit("expected the folder of the MNIST files in the environment variable GNORM_MNIST")
    names = PROBLEMS if names is None else names.split(",")
    if not set(names) <= set(PROBLEMS) or longest < LENGTHS[0]:
        sys.exit(f"expected at least {LENGTHS[0]} steps and problems of {PROBLEMS}")
    experiment = Experiment.from_mnist(os.environ["GNORM_MNIST"])
    table = []
    with threadpool_limits(1):
        for name in names:
            problem = Problem(name, experiment)
            print(f"\n{name}: {problem.network}")
            print(f"{'method':<12} {'steps':>7} {'seconds':>8} {'1 - ratio':>10}", end="")
            print(f" {'units':>9} {'unlike %':>9} {'wrong %':>8} {'KKT':>8}")
            for method, trainers in descents(problem.X[problem.rows], longest):
                rows = curve(problem, method, trainers)
                for row in rows:
                    print(
                        f"{method:<12} {row['steps']:7d} {row['seconds']:8.1f} "
                        f"{1 - row['ratio']:10.2e} {row['units']:9.1e} {100 * row['unlike']:9.3f} "
                        f"{100 * row['unlike_wrong']:8.2f} {row['kkt']:8.1e}"
                    )
                    table.append({"problem": name, "method": method, **row})
                if not problem.is_deep:
                    slope, _ = exponent(rows, lambda row: 1 - row["ratio"])
                    print(
                        f"{'':<12} exponent {slope:.2f}; 1 % at {steps_to_one_per_cent(rows)} steps"
                    )
                sys.stdout.flush()
    if path is not None:
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, table[0])
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    given = sys.argv[1:]
    main(*map(int, given[:1]), *given[1:3])
