"""Prediction against its matrix product: 60,000 samples x 785 features, H = 100, C = 2.

The product of the inputs with all unit weights, X @ W with W of shape (785, 200), is what a
prediction amounts to if nothing is left out. Beside it stand the gated decision values for given
gates, the gates themselves (a product with 100 hyperplanes, and the bits of it), and the estimator,
which does both and checks its input. Candidates take turns; ratios are of medians to the product.
Peak memory is that of the arrays one prediction allocates.

    python benchmarks/bench_predict.py [repeats] [threads]
"""

import json
import statistics
import sys
import tracemalloc
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from gnorm import GLNNormSVC
from gnorm.gated import decision_values

N_SAMPLES, N_PIXELS, N_UNITS = 60_000, 784, 100


def fitted():
    """An estimator with dense random weights: no unit can be left out."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, N_PIXELS)), rng.random(400) < 0.5
    model = GLNNormSVC(N_UNITS, 2, random_state=0, tol=0.1).fit(X, y)
    # as pickles of the first version have them, which all versions load
    zeta, intercepts = rng.normal(size=model.zeta_.shape), np.zeros(model.zeta_.shape[:-1])
    model.__setstate__(model.__getstate__() | {"zeta_": zeta, "intercept_": intercepts})
    return model


def candidates():
    model = fitted()
    X = np.random.default_rng(1).normal(size=(N_SAMPLES, N_PIXELS))
    augmented = np.column_stack([X, np.ones(N_SAMPLES)])
    activations = model.gates_.transform(X)
    zeta = model.zeta_[0]
    weights = np.ascontiguousarray(zeta.reshape(-1, N_PIXELS + 1).T)
    half = zeta.copy()
    half[::2] = 0.0  # every other unit is not needed
    return {
        "matrix product": lambda: augmented @ weights,
        "decision values, gates given": lambda: decision_values(augmented, activations, zeta),
        "... half of the units inactive": lambda: decision_values(augmented, activations, half),
        "gates": lambda: model.gates_.transform(X),
        "decision_function": lambda: model.decision_function(X),
    }


def peak_megabytes(candidate):
    tracemalloc.start()
    candidate()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


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
        memory = {name: peak_megabytes(candidate) for name, candidate in named.items()}
    median = {name: statistics.median(values) for name, values in times.items()}
    base = median["matrix product"]
    print(f"{'candidate':<32} {'median [s]':>10} {'ratio':>6} {'peak [MB]':>10}")
    for name, seconds in median.items():
        print(f"{name:<32} {seconds:10.3f} {seconds / base:6.2f} {memory[name]:10.0f}")
    result = {"benchmark": "predict", "threads": threads, "median_s": median, "peak_mb": memory}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
