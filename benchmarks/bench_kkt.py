"""The residual of a KKT point: gradients formed one by one against inner products by layers.

Every row is a network whose labels are its own signs, so that all samples are right, with a
tolerance that takes the nearest 3 of 10. *one by one* forms the gradient of every sample by
a pass of all samples, as for networks that normalise over the batch; *gnorm* is what
``kkt_residual`` does. For chains of matrices and gates *by hand* is the formula with one outer
product a layer, written out. All must agree. Medians, BLAS on one thread.

    python benchmarks/bench_kkt.py [repeats]
"""

import statistics
import sys
from time import perf_counter

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import nnls
from threadpoolctl import threadpool_limits

from gnorm.descent import GatedNetwork, MarginLoss, Network, kkt_residual
from gnorm.descent.layers import Bias, Convolution, Dense, ReLU, positionwise

NEAR = 0.3  # share of the samples that count as nearest


def gln(n_features, n_units, depth=2):
    def build():
        return GatedNetwork.gln(n_features, [n_units] * (depth - 1), 2, random_state=0)

    return build


def relu_with_biases():
    hidden = [Dense(785, 50), Bias(50), ReLU(), Dense(50, 50), Bias(50), ReLU()]
    return Network(785, [*hidden, Dense(50, 1), Bias(1)], random_state=0)


def convolutional():
    chain = [Convolution(64, 9, 1, 8), ReLU(), Convolution(64, 9, 8, 8), ReLU(), Dense(512, 1)]
    return Network(64, chain, random_state=0)


def positions():
    chain = [*positionwise(28, Dense(28, 32), ReLU(), Dense(32, 8)), ReLU(), Dense(224, 1)]
    return Network(784, chain, random_state=0)


PROBLEMS = {
    "GLN 65-5x2-1": (gln(65, 5), 200),
    "GLN 785-10x2-1": (gln(785, 10), 500),
    "GLN 785-50x2-1": (gln(785, 50), 500),
    "GLN 785-50x2-50x2-1": (gln(785, 50, 3), 500),
    "GLN 785-10x2-1, 1500 samples": (gln(785, 10), 1500),
    "ReLU with biases": (relu_with_biases, 500),
    "convolutions": (convolutional, 500),
    "shared by 28 positions": (positions, 500),
}


def problem(build, n_samples):
    rng = np.random.default_rng(0)
    network = build()
    X = rng.normal(size=(n_samples, network.n_features)) / np.sqrt(network.n_features)
    gates = [
        np.eye(C, dtype=bool)[rng.integers(C, size=(n_samples, H))]
        for H, C in (node.layer.gates for node in network.nodes if node.layer.gates is not None)
    ]
    values = network.decision_function(X, gates)
    margins = np.sort(np.abs(values))
    tol = margins[int(NEAR * n_samples)] / margins[0] - 1.0
    return network, X, np.where(values >= 0, 1, -1), gates, tol


def by_gnorm(network, X, y, gates, tol):
    return kkt_residual(network, X, y, gates, tol=tol)


def one_by_one(network, X, y, gates, tol):
    network.is_separable = False  # as if samples depended on each other
    try:
        return kkt_residual(network, X, y, gates, tol=tol)
    finally:
        network.is_separable = True


def by_hand(network, X, y, gates, tol):
    """For chains of matrices and gates: gradients are outer products in every layer."""
    objective = MarginLoss(network, X, y, gates)
    margins = objective.margins()
    near = np.flatnonzero(margins <= (1 + tol) * margins.min())
    gates = [None if g is None else g[near] for g in objective.gates]
    labels = objective.y[near]
    forward = network.forward(objective.X[near], gates)
    gram = np.zeros((len(near), len(near)))
    for ((left, right),) in network.backward(forward, labels):
        gram += (left @ left.T) * (right @ right.T)
    values, vectors = eigh(gram)
    kept = values > 1e-13 * values[-1]
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    products = network.depth * margins[near]
    coef, _ = nnls((vectors * roots).T, (vectors.T @ products) / roots)
    combination = np.empty_like(network.parameters)
    network.backward(forward, labels * coef, combination)
    w = network.parameters
    return float(np.linalg.norm(w - combination) / np.linalg.norm(w))


def main(repeats=5):
    print(f"1 BLAS thread, medians of {repeats} runs, milliseconds")
    print(f"{'network':30} {'N':>5} {'near':>5} {'weights':>8} {'residual':>9}", end="")
    print(f" {'one by one':>11} {'by hand':>8} {'gnorm':>8} {'ratio':>6}")
    with threadpool_limits(1):
        for name, (build, n_samples) in PROBLEMS.items():
            given = problem(build, n_samples)
            ways = {"gnorm": by_gnorm, "one by one": one_by_one}
            if isinstance(given[0], GatedNetwork):
                ways["by hand"] = by_hand
            times = {way: [] for way in ways}
            results = {}
            for _ in range(repeats):
                for way, solve in ways.items():
                    start = perf_counter()
                    results[way] = solve(*given)
                    times[way].append(1e3 * (perf_counter() - start))
            for way, residual in results.items():
                np.testing.assert_allclose(residual, results["gnorm"], rtol=1e-6, err_msg=way)
            t = {way: statistics.median(values) for way, values in times.items()}
            hand = f"{t['by hand']:8.1f}" if "by hand" in t else " " * 8
            print(
                f"{name:30} {n_samples:5d} {int(NEAR * n_samples) + 1:5d} "
                f"{len(given[0].parameters):8d} {results['gnorm']:9.4f} {t['one by one']:11.1f} "
                f"{hand} {t['gnorm']:8.1f} {t['one by one'] / t['gnorm']:6.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
