"""Several outputs: the interior point against descent on the weights, at the same gap.

Multinomial loss, random hyperplane gates with 2 contexts, gap 1e-6. "digits" are the ten digits
bundled with scikit-learn, D = 65, H = 20; "tall" are synthetic samples of three classes, D = 10,
H = 10. The choice of ``method="auto"`` is marked.

    python benchmarks/bench_classes.py [--samples 250 500 1000] [--limit 300]

Both in turns, one thread; the interior point is left out where its last size took a tenth of the
limit, in seconds: with twice the samples it takes up to eight times as long.
"""

import argparse
import json
from time import perf_counter

import numpy as np
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from gnorm import HyperplaneGates, solve

TOL = 1e-6
WEIGHTS = 0.01, 1.0, 100.0
METHODS = "interior-point", "factored"


def digits(n_samples):
    X, y = load_digits(return_X_y=True)
    return with_gates(X[:n_samples] / 16, 20, y[:n_samples])


def tall(n_samples):
    random = np.random.default_rng(0)
    X, _, gates = with_gates(random.normal(size=(n_samples, 9)), 10)
    weights = random.normal(size=(*gates.shape[1:], X.shape[1], 3))
    outputs = np.einsum("nhc,nd,hcdk->nk", gates, X, weights, optimize=True)
    noise = random.gumbel(size=outputs.shape)
    return X, np.argmax(outputs / outputs.std() + noise, axis=1), gates


def with_gates(X, n_units, y=None):
    X = np.column_stack([X, np.ones(len(X))])
    return X, y, HyperplaneGates(n_units, 2, random_state=0).fit_transform(X)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[250, 500, 1000])
    parser.add_argument("--limit", type=float, default=300.0)
    arguments = parser.parse_args()
    results, last = [], {}
    print("data          N      C method            time [s] iterations      gap")
    for make in (digits, tall):
        for n_samples in arguments.samples:
            X, y, gates = make(n_samples)
            for C in WEIGHTS:
                auto = solve(X, y, gates, loss="multinomial", C=C, tol=0.5).method
                for method in METHODS:
                    key = make.__name__, C, method
                    if method == METHODS[0] and last.get(key, 0.0) > arguments.limit / 10:
                        continue
                    start = perf_counter()
                    solution = solve(X, y, gates, loss="multinomial", C=C, method=method, tol=TOL)
                    last[key] = perf_counter() - start
                    name = f"{method}{' *' if method == auto else ''}"
                    numbers = last[key], solution.n_iter, solution.duality_gap
                    results.append([make.__name__, n_samples, C, method, *numbers])
                    print(
                        f"{make.__name__:<8} {n_samples:>6} {C:>6} {name:<16} {numbers[0]:>9.2f} "
                        f"{numbers[1]:>10} {numbers[2]:>8.0e}",
                        flush=True,
                    )
    print(json.dumps({"benchmark": "classes", "tol": TOL, "results": results}))


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
