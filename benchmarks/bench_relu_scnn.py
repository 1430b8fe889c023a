"""Convex gated and convex ReLU regression on the same patterns, by gnorm and by scnn.

    python benchmarks/bench_relu_scnn.py gnorm
    python benchmarks/bench_relu_scnn.py scnn     # with the PyPI package pyscnn

scnn (Mishkin, Sahiner and Pilanci, 2022) minimises a loss plus lambda times the sum of lengths
R, gnorm the loss plus R^2 / 2. Both have the same solutions where lambda is the R of gnorm's, which
is what it is set to: the first call stores it in relu_scnn.npz beside this file. All points are
evaluated by the same lines, R^2 / 2 + sum_n (f(x_n) - y_n)^2 / 2, in float64, those of scnn first
multiplied by the best factor. Its tolerance is 1e-6, its own, and for gates 1e-10; programs with
cones end after 20 rounds of its augmented Lagrangian.
"""

import sys
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np

N_ROUNDS = 5  # of the search over all neurons, which takes a minute each for the larger size
STORED = Path(__file__).with_name("relu_scnn.npz")
SIZES = {"1000 x 20": (1000, 20, 100), "200 x 5": (200, 5, 100)}  # samples, features, patterns


def data(n_samples, n_features, n_patterns):
    """A teacher network of ten neurons with noise; directions that draw the patterns."""
    rng = np.random.default_rng(0)
    X = np.column_stack((rng.normal(size=(n_samples, n_features - 1)), np.ones(n_samples)))
    hidden, output = rng.normal(size=(10, n_features)), rng.normal(size=10)
    y = np.maximum(X @ hidden.T, 0.0) @ output / np.sqrt(n_features)
    return X, y + 0.1 * rng.normal(size=n_samples), rng.normal(size=(n_features, n_patterns))


def objective(y, outputs, length):
    """The value of the best multiple."""
    factor = max(y @ outputs / (outputs @ outputs + length**2), 0.0)
    return 0.5 * (factor * length) ** 2 + 0.5 * np.sum((factor * outputs - y) ** 2)


def row(size, program, solver, seconds, value, note=""):
    print(f"{size:>10} {program:>6} {solver:>12} {seconds:8.2f} {value:14.8f}  {note}", flush=True)


def run_gnorm():
    import gnorm
    from gnorm.relu import relu_max_margin

    stored = {}
    for size, shape in SIZES.items():
        X, y, G = data(*shape)
        patterns = X @ G >= 0
        options = {"loss": "squared_error", "tol": 1e-6}
        start = perf_counter()
        gated = gnorm.solve(X, y, patterns[:, :, None], norm="frelu", C=1.0, **options)
        seconds = perf_counter() - start
        row(size, "gated", "gnorm", seconds, gated.primal_value, f"gap {gated.duality_gap:.1e}")
        cones = relu_max_margin(X, y, 1.0, patterns=patterns, **options)
        note = f"gap {cones.duality_gap:.1e}, {len(cones.coefs)} neurons"
        row(size, "cones", "gnorm", cones.seconds, cones.primal_value, note)
        # no network of the patterns' neurons alone: all neurons, found by ascents, in few rounds
        network = relu_max_margin(
            X, y, 1.0, loss="squared_error", tol=1e-2, oracle="local", max_iter=N_ROUNDS
        )
        note = f"gap of the bound {network.duality_gap:.1e}, {len(network.coefs)} neurons"
        row(size, "all", "gnorm", network.seconds, network.primal_value, note)
        stored |= {f"{size} gated": gated.norm, f"{size} cones": cones.norm}
    np.savez(STORED, **stored)


def run_scnn():
    from scnn.metrics import Metrics
    from scnn.models import ConvexGatedReLU, ConvexReLU
    from scnn.optimize import optimize_model
    from scnn.regularizers import NeuronGL1
    from scnn.solvers import AL, RFISTA

    lengths = np.load(STORED)
    for size, shape in SIZES.items():
        X, y, G = data(*shape)
        for program, kind, solver in (
            ("gated", ConvexGatedReLU, RFISTA),
            ("cones", ConvexReLU, AL),
        ):
            for tol in (1e-6, 1e-10) if solver is RFISTA else (1e-6,):
                model = kind(G)
                limits = {"tol": tol}
                if solver is AL:  # its own limits, of 10,000 each, would take hours
                    limits |= {"constraint_tol": tol, "max_primal_iters": 2000}
                    limits |= {"max_dual_iters": 20}
                start = perf_counter()
                model, _ = optimize_model(
                    model,
                    solver(model, **limits),
                    Metrics(),
                    X,
                    y,
                    regularizer=NeuronGL1(float(lengths[f"{size} {program}"]) / len(X)),
                    return_convex=True,
                    unitize_data=False,
                    dtype="float64",
                )
                seconds = perf_counter() - start
                V = [np.asarray(part).reshape(-1, X.shape[1]) for part in model.parameters]
                length = sum(np.sum(np.linalg.norm(part, axis=1)) for part in V)
                outputs, note = np.asarray(model(X)).ravel(), ""
                if solver is AL:  # its points are not quite in the cones
                    sums = [np.sum(np.maximum(X @ part.T, 0.0), axis=1) for part in V]
                    value = objective(y, sums[0] - sums[1], length)
                    inwards = np.where(X @ model.G >= 0, 1.0, -1.0)
                    beyond = max(np.max(-inwards * (X @ part.T)) for part in V)
                    note = f"outside of the cones by {beyond:.1e}; as a network {value:.8f}"
                row(size, program, f"scnn {tol:.0e}", seconds, objective(y, outputs, length), note)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(f"{'size':>10} {'':>6} {'solver':>12} {'seconds':>8} {'objective':>14}")
    {"gnorm": run_gnorm, "scnn": run_scnn}[sys.argv[1]]()
