"""Soft margins of ReLU networks on the same activation patterns: gnorm, ADMM and scnn.

    python benchmarks/bench_relu_margin.py gnorm admm
    python benchmarks/bench_relu_margin.py scnn     # with the PyPI package pyscnn

Labels of a teacher network with noise, 1000 samples of 20 features, 100 patterns, C = 1. The hinge
loss is solved by gnorm and by the alternating direction method of multipliers, which is what CRONOS
is (Feng, Frangella and Pilanci, 2024), here in numpy with exact linear systems: a Cholesky factor
of the size of the samples, as all cones have the same Gram matrix. scnn has the squared error
alone, on which gnorm is run too. The other two minimise the loss plus lambda R, with lambda the R
of gnorm's solution: both have the same solutions then. The first call stores it in relu_margin.npz
beside this file. All values are R^2 / 2 + loss, by the same lines; points outside of their cones
are also evaluated as networks.
"""

import argparse
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
from bench_relu_scnn import data, row
from scipy.linalg import cho_factor, cho_solve

STORED = Path(__file__).with_name("relu_margin.npz")
SIZE = "1000 x 20"
RHO = (0.1, 1.0, 10.0)  # penalties of the ADMM, each from the start
LIMITS = (30, 100, 300, 1000, 3000)  # iterations after which it is measured
LOSSES = {
    "hinge": lambda y, f: np.sum(np.maximum(1 - y * f, 0.0)),
    "squared_error": lambda y, f: 0.5 * np.sum((f - y) ** 2),
}


def problem():
    X, targets, G = data(1000, 20, 100)
    noise = np.random.default_rng(1).normal(size=len(X))
    return X, np.sign(targets - np.median(targets) + 0.3 * noise), X @ G >= 0


def run_gnorm():
    from gnorm.relu import relu_max_margin

    X, y, patterns = problem()
    norms = {}
    for loss in LOSSES:
        solution = relu_max_margin(X, y, 1.0, loss=loss, patterns=patterns, tol=1e-6)
        note = f"gap {solution.duality_gap:.1e}, {len(solution.coefs)} neurons"
        row(SIZE, loss, "gnorm", solution.seconds, solution.primal_value, note)
        norms[loss] = solution.norm
        network = relu_max_margin(X, y, 1.0, loss=loss, tol=1e-2, oracle="local", max_iter=5)
        note = f"all neurons: gap of the bound {network.duality_gap:.2f}"
        row(SIZE, loss, "gnorm", network.seconds, network.primal_value, note)
    np.savez(STORED, **norms)


def measured(loss, y, X, patterns, V):
    """Value of the program, that of the network, and how far V is outside of its cones."""
    length = np.sum(np.linalg.norm(V, axis=2))
    heights = X @ np.swapaxes(V, 1, 2)  # of the samples over each neuron, (2, N, P)
    linear = np.sum(np.where(patterns, heights, 0.0), axis=2)
    active = np.sum(np.maximum(heights, 0.0), axis=2)
    beyond = np.max(np.where(patterns, -heights, heights))
    values = [0.5 * length**2 + LOSSES[loss](y, f[0] - f[1]) for f in (linear, active)]
    return *values, beyond


def run_admm():
    X, y, patterns = problem()
    weight = float(np.load(STORED)["hinge"])
    signs, sides = np.array([1.0, -1.0])[:, None, None], np.where(patterns, 1.0, -1.0)
    for rho in RHO:
        start, spent = perf_counter(), 0.0
        # min ||F v - f||^2 + ||v - w||^2 + sum_i ||(2 D_i - 1) X v_i - s_i||^2, by the samples
        inner = cho_factor(np.eye(X.shape[1]) + X.T @ X)
        kernel = 2 * (X @ cho_solve(inner, X.T)) * (patterns.astype(float) @ patterns.T)
        outer = cho_factor(np.eye(len(X)) + kernel)

        def through(V):
            return np.sum(signs * np.where(patterns, X @ np.swapaxes(V, 1, 2), 0.0), axis=(0, 2))

        def back(f):
            return signs * ((patterns * f[:, None]).T @ X)

        shape = (2, patterns.shape[1], X.shape[1])
        w, b = np.zeros(shape), np.zeros(shape)
        f, a = np.zeros(len(X)), np.zeros(len(X))
        s, c = np.zeros((2, *patterns.shape)), np.zeros((2, *patterns.shape))
        for step in range(1, LIMITS[-1] + 1):
            right = back(f - a) + (w - b) + np.swapaxes(sides * (s - c), 1, 2) @ X
            v = cho_solve(inner, right.reshape(-1, shape[2]).T).T.reshape(shape)
            lack = cho_solve(outer, through(v))
            v -= cho_solve(inner, back(lack).reshape(-1, shape[2]).T).T.reshape(shape)
            outputs, heights = through(v), sides * (X @ np.swapaxes(v, 1, 2))
            # hinge: up to the margin by at most 1 / rho
            f = outputs + a
            f = f + y * np.clip(1 - y * f, 0.0, 1 / rho)
            lengths = np.linalg.norm(v + b, axis=2, keepdims=True)
            w = (v + b) * np.maximum(1 - weight / rho / np.maximum(lengths, 1e-300), 0.0)
            s = np.maximum(heights + c, 0.0)
            a, b, c = a + outputs - f, b + v - w, c + heights - s
            if step in LIMITS:
                spent += perf_counter() - start
                value, network, beyond = measured("hinge", y, X, patterns, w)
                note = f"{step} steps; outside by {beyond:.1e}; as a network {network:.5f}"
                row(SIZE, "hinge", f"ADMM {rho:g}", spent, value, note)
                start = perf_counter()


def run_scnn():
    from scnn.metrics import Metrics
    from scnn.models import ConvexReLU
    from scnn.optimize import optimize_model
    from scnn.regularizers import NeuronGL1
    from scnn.solvers import AL

    X, y, _ = problem()
    weight = float(np.load(STORED)["squared_error"])
    model = ConvexReLU(data(1000, 20, 100)[2])
    # its own limits, of 10,000 each, would take hours
    limits = {"tol": 1e-6, "constraint_tol": 1e-6, "max_primal_iters": 2000, "max_dual_iters": 20}
    start = perf_counter()
    model, _ = optimize_model(
        model,
        AL(model, **limits),
        Metrics(),
        X,
        y,
        regularizer=NeuronGL1(weight / len(X)),
        return_convex=True,
        unitize_data=False,
        dtype="float64",
    )
    seconds = perf_counter() - start
    V = np.array([np.asarray(part).reshape(-1, X.shape[1]) for part in model.parameters])
    value, network, beyond = measured("squared_error", y, X, X @ model.G >= 0, V)
    note = f"outside by {beyond:.1e}; as a network {network:.5f}"
    row(SIZE, "squared_error", "scnn", seconds, value, note)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    solvers = {"gnorm": run_gnorm, "admm": run_admm, "scnn": run_scnn}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("solvers", nargs="+", choices=list(solvers))
    for name in parser.parse_args().solvers:
        solvers[name]()
