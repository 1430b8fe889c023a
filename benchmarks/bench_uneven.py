"""Columns of very different numbers of levels: seconds and memory of one solve.

50 columns, one of which changes the rule of 11 numbers, and an open unit; squared error, C = 0.01,
to a gap of 1e-5. The columns have 4 levels each, or 3 and one of them 500, or 2 to 500 in equal
steps.

    python benchmarks/bench_uneven.py [--samples 2000]

Printed for each: levels in all, the method, seconds of processor time on one thread, the most
memory beside data and activations (Linux), and what activations and weights take, which are as wide
as the largest column, in MB.
"""

import argparse
from pathlib import Path
from time import process_time

import numpy as np
from threadpoolctl import threadpool_limits

from gnorm import solve

N_COLUMNS, N_NUMBERS = 50, 10
LEVELS = {
    "4 each": np.full(N_COLUMNS, 4),
    "3 each, one 500": np.append(np.full(N_COLUMNS - 1, 3), 500),
    "2 to 500": np.linspace(2, 500, N_COLUMNS).astype(int),
}


def generate(levels, n_samples):
    """Inputs with a constant, targets, and activations of the open unit and the columns."""
    random = np.random.default_rng(0)
    codes = random.integers(levels, size=(n_samples, len(levels)))
    X = np.column_stack([random.normal(size=(n_samples, N_NUMBERS)), np.ones(n_samples)])
    rules = random.normal(size=(levels[1], N_NUMBERS + 1))
    f = X @ random.normal(size=N_NUMBERS + 1) + np.sum(X * rules[codes[:, 1]], axis=1)
    y = f + 0.5 * f.std() * random.normal(size=n_samples)
    activations = np.zeros((n_samples, len(levels) + 1, levels.max()), dtype=bool)
    activations[:, 0, 0] = True
    for h, code in enumerate(codes.T, 1):
        activations[np.arange(n_samples), h, code] = True
    return X, y, activations


def memory(field):
    """Memory of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(field))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2000)
    n_samples = parser.parse_args().samples
    solve(np.ones((2, 1)), [0.0, 1.0], np.ones((2, 1, 1), dtype=bool), loss="squared_error")
    for name, levels in LEVELS.items():
        X, y, activations = generate(levels, n_samples)
        Path("/proc/self/clear_refs").write_text("5")
        before, start = memory("VmRSS"), process_time()
        with threadpool_limits(1):
            found = solve(X, y, activations, loss="squared_error", C=0.01, tol=1e-5)
        seconds, megabytes = process_time() - start, memory("VmHWM") - before
        arrays = f"{activations.nbytes / 1e6:.1f} and {found.zeta.nbytes / 1e6:.1f} MB"
        cost = f"{found.method} {seconds:8.2f} s {megabytes:6.0f} MB, arrays {arrays}"
        print(f"{name:<17}{levels.sum():6} levels  {cost}", flush=True)


if __name__ == "__main__":
    main()
