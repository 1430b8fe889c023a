"""Columns of very different numbers of levels: seconds and memory from the table to predictions.

50 columns, one of which changes the rule of some numbers and a constant, and an open unit; squared
error, C = 0.01, to a gap of 1e-5. With 2,000 samples and 10 numbers the columns have 4 levels each,
or 3 and one of them 500, or 2 to 500 in equal steps, or 3 and a further one 5,000, of which 1,600
occur, also with 100 numbers; with more samples and one number 3 levels, and a further column 500 or
5,000, or two, 1,000 and 2,000.

    python benchmarks/bench_uneven.py [--rows NAME ...] [--method METHOD] [--dense]

With --dense a solve through the features takes one dense system in place of one that eliminates the
levels of the largest column: of 5,000 levels and 50,000 samples it does not end within ten minutes.

Printed for each: samples, levels in all and the gap; seconds of processor time on one thread and
most memory beside the table (Linux, in a process of its own) of `fit`, then of `predict` on the
same samples; what the activations take as an array of bool and as open contexts, the pickled
estimator and its weights as an array, in MB.
"""

import argparse
import pickle
from multiprocessing import Pool
from pathlib import Path
from time import process_time

import numpy as np
from threadpoolctl import threadpool_limits

from gnorm import CategoryGates, GLNNormRegressor, JoinedGates, OpenGates
from gnorm.gates.base import activations_of
from gnorm.gating import Gating
from gnorm.solvers.design import group

CASES = {  # samples, numbers, levels
    "4 each": (2_000, 10, np.full(50, 4)),
    "3 each, one 500": (2_000, 10, np.append(np.full(49, 3), 500)),
    "2 to 500": (2_000, 10, np.linspace(2, 500, 50).astype(int)),
    "3 each, one 5,000": (2_000, 10, np.append(np.full(50, 3), 5_000)),
    "wide, one 5,000": (2_000, 100, np.append(np.full(50, 3), 5_000)),
    "5,000, one 500": (5_000, 1, np.append(np.full(50, 3), 500)),
    "5,000, one 5,000": (5_000, 1, np.append(np.full(50, 3), 5_000)),
    "tall, one 500": (50_000, 1, np.append(np.full(50, 3), 500)),
    "1,000 and 2,000": (20_000, 1, np.append(np.full(50, 3), [1_000, 2_000])),
    "tall, one 5,000": (50_000, 1, np.append(np.full(50, 3), 5_000)),
}


def generate(n_samples, n_numbers, levels):
    """A table of levels and numbers, and targets."""
    random = np.random.default_rng(0)
    codes = random.integers(levels, size=(n_samples, len(levels)))
    X = np.column_stack([random.normal(size=(n_samples, n_numbers)), np.ones(n_samples)])
    rules = random.normal(size=(levels[1], n_numbers + 1))
    f = X @ random.normal(size=n_numbers + 1) + np.sum(X * rules[codes[:, 1]], axis=1)
    y = f + 0.5 * f.std() * random.normal(size=n_samples)
    return np.hstack([codes, X[:, :-1]]), y


def measured(work):
    """Seconds of processor time and megabytes of what a function does, and what it returns."""

    def memory(field):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(field))

    Path("/proc/self/clear_refs").write_text("5")
    before, start = memory("VmRSS"), process_time()
    result = work()
    return f"{process_time() - start:6.2f} s {memory('VmHWM') - before:6.0f} MB", result


def of_case(name, method, is_dense):
    if is_dense:
        group._GAIN = np.inf  # eliminating levels never pays
    n_samples, n_numbers, levels = CASES[name]
    table, y = generate(n_samples, n_numbers, levels)
    gates = JoinedGates([OpenGates(), CategoryGates()])
    segment = slice(len(levels))
    model = GLNNormRegressor(gates=gates, segment=segment, C=0.01, tol=1e-5, method=method)
    with threadpool_limits(1):
        of_fit, _ = measured(lambda: model.fit(table, y))
        of_predict, _ = measured(lambda: model.predict(table))
    gating = Gating(activations_of(model.gates_, table[:, : len(levels)]))
    return (
        f"{name:<18}{n_samples:6} samples {levels.sum():6} levels  "
        f"gap {model.duality_gap_[0]:.0e}  fit {of_fit}, predict {of_predict}, "
        f"{sizes_of(gating)}, estimator {len(pickle.dumps(model)) / 1e6:.2f} MB, "
        f"weights as an array {model.zeta_.nbytes / 1e6:.1f}"
    )


def sizes_of(gating):
    """What the gates take in both forms."""
    n_samples, n_units, n_contexts = gating.shape
    as_numbers = n_samples * n_units * np.min_scalar_type(-n_contexts).itemsize
    return f"activations {np.prod(gating.shape) / 1e6:.1f} MB or {as_numbers / 1e6:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--method", default="auto")
    parser.add_argument("--dense", action="store_true", help="one dense system of all features")
    given = parser.parse_args()
    warm = GLNNormRegressor(gates=OpenGates())
    warm.fit(np.ones((2, 1)), [0.0, 1.0]).predict(np.ones((2, 1)))  # imports what a fit needs
    with Pool(1, maxtasksperchild=1) as pool:
        for name in given.rows:
            print(pool.apply(of_case, (name, given.method, given.dense)), flush=True)


if __name__ == "__main__":
    main()
