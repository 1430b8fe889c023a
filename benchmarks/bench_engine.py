"""The engine against its rivals, on MNIST digits 0-4 against 5-9 with random hyperplane gates.

Two comparisons, each a ratio measured in one run, candidates taking turns, BLAS pinned:

* CLARABEL through cvxpy on the same problem, in the best formulation known to us: N = 500, H = 50,
  C = 2, hard margin. Both times include the construction of the problem.
* The floor of any multiple-kernel solver, one Gram matrix and one LIBSVM fit with the mean kernel:
  N = 2000, H = 100, C = 4, hard margin. The floor solves another, easier problem.

    GNORM_MNIST=<folder of the MNIST files> python benchmarks/bench_engine.py [repeats] [threads]
"""

import json
import os
import statistics
import sys
from time import perf_counter

import numpy as np
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from gnorm import HyperplaneGates, kernels, max_margin
from gnorm.datasets import load_mnist

TOL = 1e-6


def problem(n_samples, n_units, n_contexts):
    """Random MNIST training images, scaled to [-1, 1] with a constant feature, and their gates."""
    images, _, digits, _ = load_mnist(os.environ["GNORM_MNIST"])
    rows = np.random.default_rng(0).permutation(len(images))[:n_samples]
    pixels = images[rows] / 127.5 - 1.0
    X = np.column_stack([pixels, np.ones(n_samples)])
    y = np.where(digits[rows] < 5, 1, -1)
    return X, y, HyperplaneGates(n_units, n_contexts, random_state=0).fit(X).transform(X)


def solve(X, y, activations, method):
    start = perf_counter()
    solution = max_margin(X, y, activations, method=method, tol=TOL)
    return perf_counter() - start, {"gap": solution.duality_gap, "iterations": solution.n_iter}


def floor(X, y, activations):
    """One Gram matrix and one LIBSVM fit; the gating of the kernel is not counted."""
    start = perf_counter()
    gram = kernels.gram(X)
    seconds = perf_counter() - start
    mean_kernel = gram * kernels.agreement(activations) / activations.shape[1]
    start = perf_counter()
    fitted = SVC(kernel="precomputed", C=1e10, cache_size=1000).fit(mean_kernel, y)
    return seconds + perf_counter() - start, {"iterations": int(fitted.n_iter_[0])}


def compare(name, candidates, repeats):
    """Time the candidates in turns; ratios are of medians, to the last candidate."""
    times = {label: [] for label in candidates}
    notes = {}
    for run in range(max(repeats.values()) + 1):  # the first run warms up
        for label, candidate in candidates.items():
            if run <= repeats[label]:
                seconds, notes[label] = candidate()
                times[label] += [seconds] if run or repeats[label] == 0 else []
    median = {label: statistics.median(values) for label, values in times.items()}
    *_, last = candidates
    print(f"\n{name}")
    print(f"{'candidate':<28} {'median [s]':>10} {'runs':>5} {'ratio':>8}  notes")
    for label in candidates:
        text = ", ".join(
            f"{key} {value:.1e}" if key == "gap" else f"{key} {value}"
            for key, value in notes[label].items()
        )
        print(
            f"{label:<28} {median[label]:10.3f} {len(times[label]):5d} "
            f"{median[label] / median[last]:8.2f}  {text}"
        )
    return {"problem": name, "median_s": median, "runs_s": times, "notes": notes}


def main(repeats=7, threads=1):
    with threadpool_limits(threads):
        small = problem(500, 50, 2)
        results = [
            compare(
                f"N=500, H=50, C=2, D=785, hard margin, {threads} threads",
                {
                    "CLARABEL through cvxpy": lambda: solve(*small, "clarabel"),
                    "gnorm": lambda: solve(*small, "auto"),
                },
                {"CLARABEL through cvxpy": 0, "gnorm": repeats},
            )
        ]
        large = problem(2000, 100, 4)
        results.append(
            compare(
                f"N=2000, H=100, C=4, D=785, hard margin, {threads} threads",
                {
                    "gnorm": lambda: solve(*large, "auto"),
                    "Gram matrix + LIBSVM": lambda: floor(*large),
                },
                {"gnorm": repeats, "Gram matrix + LIBSVM": repeats},
            )
        )
    print(json.dumps({"benchmark": "engine", "tol": TOL, "threads": threads, "results": results}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
