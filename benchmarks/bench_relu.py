"""Two-layer ReLU networks of any width, solved over all neurons: time, gap and size.

python benchmarks/bench_relu.py [--rows hard-50 ...]
"""

import argparse
import warnings

import numpy as np

from gnorm.relu import relu_max_margin


def wavy(n_samples):
    rng = np.random.default_rng(0)
    X = np.column_stack((rng.normal(size=(n_samples, 2)), np.ones(n_samples)))
    return X, np.sign(np.sin(2 * X[:, 0]) + X[:, 1] + 0.2)


def cube(n_samples):
    rng = np.random.default_rng(0)
    X = np.column_stack((rng.normal(size=(n_samples, 3)), np.ones(n_samples)))
    return X, np.sign(np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.2)


def line(n_samples):
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-3, 3, size=n_samples))
    y = np.sin(2 * x) + 0.3 * rng.normal(size=n_samples)
    return np.column_stack((x, np.ones(n_samples))), y


PROBLEMS = {
    "hard-50": (wavy(50), {"tol": 1e-8}),
    "hard-150": (wavy(150), {"tol": 1e-8}),
    "hard-500": (wavy(500), {"tol": 1e-6}),
    "soft-500": (wavy(500), {"C": 1.0, "tol": 1e-6}),
    "cube-40": (cube(40), {"tol": 1e-6}),
    "cube-100": (cube(100), {"tol": 1e-6}),
    "cube-200": (cube(200), {"tol": 1e-6}),
    "line-1000": (line(1000), {"C": 0.1, "loss": "squared_error", "tol": 1e-8}),
    "line-10000": (line(10_000), {"C": 0.01, "loss": "squared_error", "tol": 1e-8}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    rows = parser.parse_args().rows
    warnings.simplefilter("ignore")  # the gap is in the table
    print(f"{'problem':>12} {'seconds':>8} {'rounds':>6} {'neurons':>7} {'norm':>10} {'gap':>8}")
    for name in rows:
        (X, y), options = PROBLEMS[name]
        solution = relu_max_margin(X, y, **options)
        print(
            f"{name:>12} {solution.seconds:8.2f} {solution.n_iter:6d} {len(solution.coefs):7d} "
            f"{solution.norm:10.6f} {solution.duality_gap:8.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
