"""All ten digits of MNIST by one hard-margin GLN classifier a class, each with its certificate.

    GNORM_MNIST=<folder of the MNIST files> python examples/mnist_ten_classes.py [n_samples]

Long: with all 60,000 images it takes a minute or a few on one core; 2,000 images take seconds.
Every class is printed as soon as it is solved.
"""

import os
import sys
from time import perf_counter

import numpy as np

from gnorm import HyperplaneGates, NotSeparableError, max_margin
from gnorm.datasets import load_mnist

N_UNITS, N_CONTEXTS = 50, 2
TOL = 1e-4


def with_constant(images):
    return np.column_stack([images / 127.5 - 1.0, np.ones(len(images))])


def main(n_samples=60_000):
    X, X_test, digits, digits_test = load_mnist(os.environ["GNORM_MNIST"])
    rows = np.random.default_rng(0).permutation(len(X))[: int(n_samples)]
    X, X_test, digits = with_constant(X[rows]), with_constant(X_test), digits[rows]
    gates = HyperplaneGates(N_UNITS, N_CONTEXTS, random_state=0).fit(X)
    activations, activations_test = gates.transform(X), gates.transform(X_test)

    print(f"{len(X)} images, {N_UNITS} units of {N_CONTEXTS} contexts, hard margin, gap {TOL:g}")
    print("digit   support     norm      gap  one against the rest, test error  seconds")
    values = np.full((len(X_test), 10), -np.inf)
    start = perf_counter()
    for digit in range(10):
        y = np.where(digits == digit, 1, -1)
        clock = perf_counter()
        try:
            solution = max_margin(X, y, activations, tol=TOL)
        except NotSeparableError as error:
            print(f"{digit:5d}  not separable: residual {error.residual:.0e}", flush=True)
            continue
        values[:, digit] = solution.decision_values(X_test, activations_test)
        wrong = np.mean((values[:, digit] > 0) != (digits_test == digit))
        print(
            f"{digit:5d}  {len(solution.support):8d}  {solution.norm:7.3f}  "
            f"{solution.duality_gap:7.1e}  {wrong:33.2%}  {perf_counter() - clock:7.1f}",
            flush=True,
        )
    error = np.mean(values.argmax(axis=1) != digits_test)
    print(f"ten classes: test error {error:.2%} after {perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
