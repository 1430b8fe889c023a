"""Several outputs: the nuclear norm by the method "factored", cvxpy's solvers, one versus rest.

    python benchmarks/bench_nuclear.py [digits] [rivals] [hinges] [mnist]

Multinomial loss, K = 10 classes, gates of random hyperplanes with two contexts a unit, one thread:

* digits: 500 of the bundled 8 x 8 digits, H = 5, to a relative gap of 1e-6, and what the products
  with the gated inputs alone take, two for each evaluation;
* rivals: the largest of a doubling series of numbers of samples that CLARABEL and SCS solve through
  cvxpy within a minute, on digits averaged to 4 x 4 pixels, H = 3, to a relative gap of 1e-4;
* hinges: Crammer and Singer's and one versus rest in place of the multinomial loss, under the
  nuclear norm and under the sum of norms, C = 1, H = 3, to a relative gap of 1e-4; on 60 digits
  averaged to 4 x 4 pixels, beside CLARABEL, and on 500 whole ones;
* mnist: 10,000 of MNIST, H = 20, C = 0.1 and 1, to a relative gap of 1e-4, or what there is after
  as many evaluations as take five minutes; and 2,000 test images by it and by one versus rest
  (GLNNormSVC with the same gates and C, to its default tolerance).

What was tried against the time of the small digits, two fifths of which went into Newton's
iteration for the best multiple of the dual point: to look for it only at three times the tolerance,
which is kept, takes 25 to 40 % off; half as many looks at the gap, a start at the top singular
pairs of the slopes at zero, 10 or 30 pairs of L-BFGS in place of 20, one dense matrix of all gated
inputs, value and slopes of the loss from the same exponentials, and two plain loops in place of
SciPy's L-BFGS-B each won on some rows and lost as much on others.

Without arguments all four. Rows are printed as they come. A time is that of the whole call; of
digits and rivals the best of 3 of "factored". MNIST is read from the folder in GNORM_MNIST.
"""

import os
import sys
import warnings
from time import perf_counter

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from gnorm import GLNNormSVC, HyperplaneGates, solve
from gnorm.datasets import load_mnist
from gnorm.norms import Nuclear
from gnorm.solvers.design import FeatureDesign

OPTIONS = {"norm": "nuclear", "loss": "multinomial"}
PATIENCE = 60.0  # seconds for a rival
BUDGET = 300.0  # seconds for the problem of MNIST
HINGES = [  # samples, norm, loss, and whether CLARABEL can do it in a minute or two
    (60, "nuclear", "crammer_singer", True),
    (60, "gln", "crammer_singer", True),
    (60, "gln", "one_versus_rest", True),
    (500, "nuclear", "crammer_singer", False),
    (500, "nuclear", "one_versus_rest", False),
    (500, "gln", "crammer_singer", False),
    (500, "gln", "one_versus_rest", False),
]
MNIST_WEIGHTS = (0.1, 1.0)
PROBE = 10  # evaluations that say how long one takes


def timed(X, y, activations, repeats=1, **options):
    """Solution and shortest time."""
    times = []
    for _ in range(repeats):
        start = perf_counter()
        solution = solve(X, y, activations, **OPTIONS | options)
        times.append(perf_counter() - start)
    return solution, min(times)


def small_digits(n_samples, n_units, is_averaged=False):
    images, y = load_digits(return_X_y=True)
    if is_averaged:
        images = images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(len(images), -1)
    rows = np.random.default_rng(0).permutation(len(images))[:n_samples]
    X = images[rows] / 16
    gates = HyperplaneGates(n_units=n_units, random_state=0).fit(X)
    return X, y[rows], gates.transform(X)


def products(X, activations, n_outputs=10):
    """Shortest time of the two products that an evaluation makes, alone."""
    design = FeatureDesign(Nuclear(), X, activations)
    zeta, coef = np.ones(design.zeta_shape(n_outputs)), np.ones((len(X), n_outputs))
    times = []
    for _ in range(20):
        start = perf_counter()
        design.decision_values(zeta)
        design.sums(coef)
        times.append(perf_counter() - start)
    return min(times)


def digits():
    problem = small_digits(500, 5)
    floor = products(problem[0], problem[2])
    print("|   C | evaluations |     gap |  norm | seconds | products alone |")
    print("|---|---|---|---|---|---|")
    for C in (0.1, 1.0, 2.0):
        solution, seconds = timed(*problem, C=C, tol=1e-6, repeats=3)
        print(
            f"| {C:3g} | {solution.n_iter:11} | {solution.duality_gap:.1e} | {solution.norm:5.2f} "
            f"| {seconds:7.2f} | {floor * solution.n_iter:.2f} |",
            flush=True,
        )


def rivals():
    print("| samples | factored | CLARABEL | SCS | factored / CLARABEL, SCS |")
    print("|---|---|---|---|---|")
    waiting = {"clarabel", "scs"}
    n_samples = 50
    while waiting and n_samples <= 1600:
        problem = small_digits(n_samples, 3, is_averaged=True)
        _, ours = timed(*problem, C=1.0, tol=1e-4, repeats=3)
        cells, ratios = [], []
        for method in ("clarabel", "scs"):
            if method not in waiting:
                cells.append("-")
                continue
            solution, seconds = timed(*problem, C=1.0, tol=1e-4, method=method)
            cells.append(f"{seconds:.2f} s (gap {solution.duality_gap:.0e})")
            ratios.append(f"{ours / seconds:.2g}")
            if seconds > PATIENCE / 2:  # twice the samples would take longer than there is
                waiting.discard(method)
        print(f"| {n_samples} | {ours:.3f} s | {' | '.join(cells)} | {', '.join(ratios)} |")
        sys.stdout.flush()
        n_samples *= 2


def hinges():
    print("| samples | norm | loss | factored | evaluations | CLARABEL |")
    print("|---|---|---|---|---|---|")
    for n_samples, norm, loss, is_compared in HINGES:
        problem = small_digits(n_samples, 3, is_averaged=n_samples < 500)
        options = {"norm": norm, "loss": loss, "C": 1.0, "tol": 1e-4}
        ours, seconds = timed(*problem, method="factored", **options)
        cell = "-"
        if is_compared:
            theirs, slow = timed(*problem, method="clarabel", **options)
            cell = f"{slow:.2f} s (gap {theirs.duality_gap:.0e})"
        print(
            f"| {n_samples} | {norm} | {loss} | {seconds:.2f} s (gap {ours.duality_gap:.0e}) "
            f"| {ours.n_iter} | {cell} |",
            flush=True,
        )


def mnist():
    X, X_test, y, y_test = load_mnist(os.environ.get("GNORM_MNIST", "mnist"))
    X, y = X[:10_000] / 255, y[:10_000].astype(int)
    X_test, y_test = X_test[:2000] / 255, y_test[:2000]
    gates = HyperplaneGates(n_units=20, random_state=0).fit(X)
    activations, gates_test = gates.transform(X), gates.transform(X_test)
    print("| machine | C | seconds | evaluations | gap | test accuracy |")
    print("|---|---|---|---|---|---|")
    for C in MNIST_WEIGHTS:
        _, seconds = timed(X, y, activations, C=C, tol=1e-4, max_iter=PROBE)
        max_iter = int(BUDGET / seconds * PROBE)
        solution, seconds = timed(X, y, activations, C=C, tol=1e-4, max_iter=max_iter)
        values = solution.decision_values(X_test, gates_test)
        accuracy = np.mean(np.argmax(values, axis=1) == y_test)
        print(
            f"| nuclear, multinomial | {C:g} | {seconds:.0f} | {solution.n_iter} "
            f"| {solution.duality_gap:.0e} | {accuracy:.4f} |",
            flush=True,
        )
        start = perf_counter()
        machine = GLNNormSVC(C=C, gates=gates, fit_intercept=False).fit(X, y)
        seconds, gap = perf_counter() - start, np.max(machine.duality_gap_)
        accuracy = machine.score(X_test, y_test)
        print(
            f"| one versus rest, hinge | {C:g} | {seconds:.0f} | - | {gap:.0e} | {accuracy:.4f} |",
            flush=True,
        )


def main(names):
    parts = {"digits": digits, "rivals": rivals, "hinges": hinges, "mnist": mnist}
    warnings.simplefilter("ignore", ConvergenceWarning)  # the gap is in the table
    with threadpool_limits(1):
        for name in names or parts:
            print(f"\n{name}\n", flush=True)
            parts[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
