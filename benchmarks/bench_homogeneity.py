"""Homogeneous norm and projection of 10^6 points of 8 features.

Beside them stands the Euclidean norm of numpy, which is the least that a norm can cost, and an
exponential of the same array, of which every step of Newton's method takes one. The diagonal
dilations differ in how many steps that is. A full generator is measured on 10^5 points. Candidates
take turns; times are medians.

    python benchmarks/bench_homogeneity.py [repeats] [threads]
"""

import json
import statistics
import sys
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from gnorm.homogeneity import Dilation

N_SAMPLES, N_FULL, N_FEATURES = 1_000_000, 100_000, 8


def candidates():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_SAMPLES, N_FEATURES))
    scaling = Dilation.standard(N_FEATURES)
    moments = Dilation([2.0, 3.0, 3.0, 4.0, 4.0, 4.0, 5.0, 5.0])
    wide = Dilation(np.geomspace(0.1, 10.0, N_FEATURES))
    full = Dilation(3.0 * np.eye(N_FEATURES) + 0.5 * rng.normal(size=(N_FEATURES, N_FEATURES)))
    return {
        "numpy: Euclidean norm": lambda: np.linalg.norm(X, axis=1),
        "numpy: exponential": lambda: np.exp(X),
        "norm, weights 1": lambda: scaling.norm(X),
        "norm, weights 2 to 5": lambda: moments.norm(X),
        "norm, weights 0.1 to 10": lambda: wide.norm(X),
        "projection, weights 2 to 5": lambda: moments.project(X),
        "gradient, weights 2 to 5": lambda: moments.norm_gradient(X),
        "norm, full generator, 10^5 points": lambda: full.norm(X[:N_FULL]),
    }


def main():
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with threadpool_limits(threads):
        named = candidates()
        times = {name: [] for name in named}
        for run in range(repeats + 1):  # the first run warms up
            for name, candidate in named.items():
                start = perf_counter()
                candidate()
                times[name] += [perf_counter() - start] if run else []
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"{N_SAMPLES:,} points of {N_FEATURES} features, {threads} thread(s)")
    print(f"{'candidate':<36} {'median [s]':>10}")
    for name, seconds in median.items():
        print(f"{name:<36} {seconds:10.3f}")
    print(json.dumps({"benchmark": "homogeneity", "threads": threads, "median_s": median}))


if __name__ == "__main__":
    main()
