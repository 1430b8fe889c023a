"""Convex gated and convex ReLU regression on the same patterns, by gnorm and by scnn.

    python benchmarks/bench_relu_scnn.py gnorm
    python benchmarks/bench_relu_scnn.py scnn     # with the PyPI package pyscnn
    python benchmarks/bench_relu_scnn.py stored   # scnn's own examples: their data, with pyscnn
    python benchmarks/bench_relu_scnn.py gnorm-examples
    python benchmarks/bench_relu_scnn.py scnn-examples      # with pyscnn, and so the last one
    python benchmarks/bench_relu_scnn.py scnn-examples-own

scnn (Mishkin, Sahiner and Pilanci, 2022) minimises a loss plus lambda times the sum of lengths
R, gnorm the loss plus R^2 / 2. Both have the same solutions where lambda is the R of gnorm's, which
is what it is set to: the first call stores it in relu_scnn.npz beside this file. All points are
evaluated by the same lines, R^2 / 2 + sum_n (f(x_n) - y_n)^2 / 2, in float64, those of scnn first
multiplied by the best factor. Its tolerance is 1e-6, its own, and for gates 1e-10; programs with
cones end after 20 rounds of its augmented Lagrangian.

The examples are those of the notebooks in its repository (solver-demo, regularization-path and
convex-vs-nonconvex): labels of its generator of teacher networks on which its squared error is
minimised, columns of unit length, its draw of the gates and its lambda. The other way round, C is
set so that R / (N C) of gnorm's solution is that lambda, which the rows tell; C was found by secant
steps before. Values are lambda R + sum_n (f(x_n) - y_n)^2 / (2 N), as scnn prints them.
"""

import argparse
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np

N_ROUNDS = 5  # of the search over all neurons, which takes a minute each for the larger size
STORED = Path(__file__).with_name("relu_scnn.npz")
EXAMPLES = Path(__file__).with_name("relu_scnn_examples.npz")
# samples, features, condition number, patterns
SHAPES = {
    "solver-demo": (1000, 50, 10, 500),
    "regularization-path": (250, 50, 10, 500),
    "convex-vs-nonconvex": (1000, 25, 1000, 1000),
}
RUNS = (  # lambda of the notebook, and the C that belongs to it
    ("solver-demo", "gated", 0.01, 1.5444),
    ("solver-demo", "cones", 0.01, 1.2942),
    ("regularization-path", "gated", 0.001, 138.96),
    ("regularization-path", "cones", 0.001, 197.49),
    ("convex-vs-nonconvex", "gated", 0.001, 70.151),
)
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


def store_examples():
    """Data of the notebooks by scnn's own generator, with its seed."""
    from scnn.activations import sample_gate_vectors
    from scnn.private.utils.data import gen_classification_data
    from scnn.private.utils.data.transforms import unitize_columns

    arrays = {}
    for name, (n_samples, n_features, kappa, n_patterns) in SHAPES.items():
        train, test = gen_classification_data(123, n_samples, n_samples, n_features, 100, kappa)
        (X, y), _, _ = unitize_columns(train, test)
        gates = sample_gate_vectors(123, n_features, n_patterns)
        arrays |= {f"{name} X": X, f"{name} y": y.ravel().astype(float), f"{name} G": gates}
    np.savez(EXAMPLES, **arrays)


def example(name):
    with np.load(EXAMPLES) as stored:
        return tuple(stored[f"{name} {part}"] for part in "XyG")


def run_gnorm_examples():
    import gnorm
    from gnorm.relu import relu_max_margin

    for name, program, lam, C in RUNS:
        X, y, G = example(name)
        patterns = X @ G >= 0
        for tol in (1e-2, 1e-3, 1e-6):
            options = {"loss": "squared_error", "tol": tol}
            start = perf_counter()
            if program == "gated":
                solution = gnorm.solve(X, y, patterns[:, :, None], norm="frelu", C=C, **options)
            else:
                solution = relu_max_margin(X, y, C, patterns=patterns, **options)
            seconds, length = perf_counter() - start, solution.norm
            loss = (solution.primal_value - 0.5 * length**2) / C
            note = f"gap {solution.duality_gap:.1e}, lambda {length / (len(X) * C):.6f}"
            row(name, program, f"gnorm {tol:.0e}", seconds, lam * length + loss / len(X), note)


def run_scnn_examples(is_own):
    """By settings that the notebooks have, or by tighter ones and fewer rounds."""
    from scnn.metrics import Metrics
    from scnn.models import ConvexGatedReLU, ConvexReLU
    from scnn.optimize import optimize_model
    from scnn.regularizers import NeuronGL1
    from scnn.solvers import AL, RFISTA

    few = {"tol": 1e-6, "constraint_tol": 1e-6, "max_dual_iters": 5, "max_primal_iters": 1000}
    settings = {
        ("gated", True): ({"tol": 1e-6}, "float32"),
        ("gated", False): ({"tol": 1e-10}, "float64"),
        ("cones", True): ({}, "float32"),
        ("cones", False): (few, "float32"),
    }
    for name, program, lam, _ in RUNS:
        X, y, G = example(name)
        limits, dtype = settings[program, is_own]
        kind, solver = (ConvexGatedReLU, RFISTA) if program == "gated" else (ConvexReLU, AL)
        model = kind(G)
        start = perf_counter()
        model, _ = optimize_model(
            model,
            solver(model, **limits),
            Metrics(),
            X,
            y,
            regularizer=NeuronGL1(lam),
            return_convex=True,
            unitize_data=False,
            dtype=dtype,
        )
        seconds = perf_counter() - start
        V = [np.asarray(part, dtype=float).reshape(-1, X.shape[1]) for part in model.parameters]
        length = sum(np.sum(np.linalg.norm(part, axis=1)) for part in V)

        def value(outputs, y=y, lam=lam, length=length):
            return lam * length + 0.5 * np.mean((outputs - y) ** 2)

        note = ""
        if program == "cones":
            sums = [np.sum(np.maximum(X @ part.T, 0.0), axis=1) for part in V]
            inwards = np.where(X @ model.G >= 0, 1.0, -1.0)
            beyond = max(np.max(-inwards * (X @ part.T)) for part in V)
            note = (
                f"outside of the cones by {beyond:.1e}; as a network {value(sums[0] - sums[1]):.8f}"
            )
        which = "its own" if is_own else "other"
        row(name, program, f"scnn {which}", seconds, value(np.asarray(model(X)).ravel()), note)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    tables = {
        "gnorm": run_gnorm,
        "scnn": run_scnn,
        "stored": store_examples,
        "gnorm-examples": run_gnorm_examples,
        "scnn-examples": lambda: run_scnn_examples(is_own=False),
        "scnn-examples-own": lambda: run_scnn_examples(is_own=True),
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=list(tables))
    table = parser.parse_args().table
    print(f"{'size':>10} {'':>6} {'solver':>12} {'seconds':>8} {'objective':>14}")
    tables[table]()
