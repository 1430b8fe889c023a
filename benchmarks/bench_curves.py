"""Units of features of their own: through the features, and through the samples.

A sum of curves: 20 inputs, a basis of 8 splines for each, an open unit for each basis. Targets of
`make_friedman1`, which has 5 inputs that matter, noise 1, squared error at C = 30 / N, relative gap
1e-4. The same with 4 bins of the input in place of the curve: a unit sees its input and a constant,
and its 4 contexts are bins. Each row is one solve in a process of its own, BLAS on one thread;
peak memory beside what was there before the solve (Linux), seconds of processor time.

    python benchmarks/bench_curves.py [rows ...]
"""

import json
import subprocess
import sys
from pathlib import Path
from time import process_time

import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.preprocessing import SplineTransformer
from threadpoolctl import threadpool_limits

from gnorm import QuantileGates, solve

N_INPUTS, TOL = 20, 1e-4
N_SAMPLES = [2_000, 5_000, 200_000]
MOST_BY_SAMPLES = 5_000  # rows up to which the working set is tried: it is slow beyond


def memory(field):
    """Memory of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(field))


def problem(model, n_samples):
    """Inputs, targets, gates and the mask of the features of each unit."""
    X, y = make_friedman1(n_samples, n_features=N_INPUTS, noise=1.0, random_state=0)
    y = (y - y.mean()) / y.std()
    if model == "splines":
        basis = SplineTransformer(6).fit_transform(X)
        width = basis.shape[1] // N_INPUTS
        mask = np.repeat(np.eye(N_INPUTS, dtype=bool), width, axis=1)
        return basis, y, np.ones((n_samples, N_INPUTS, 1), dtype=bool), mask
    mask = np.column_stack([np.eye(N_INPUTS), np.ones(N_INPUTS)]).astype(bool)
    activations = QuantileGates(n_bins=4).fit(X).transform(X)
    return np.column_stack([X, np.ones(n_samples)]), y, activations, mask


def run(model, n_samples, method):
    """One solve; prints its record as JSON."""
    X, y, activations, mask = problem(model, n_samples)
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    start = process_time()
    with threadpool_limits(1):
        found = solve(
            *(X, y, activations),
            loss="squared_error",
            C=30.0 / n_samples,
            unit_features=mask,
            method=method,
            tol=TOL,
        )
    seconds, peak = process_time() - start, memory("VmHWM") - before
    lengths = np.linalg.norm(found.zeta.reshape(N_INPUTS, -1), axis=1)
    record = {"seconds": seconds, "MB": peak, "gap": found.duality_gap, "value": found.primal_value}
    print(json.dumps(record | {"units": int(np.count_nonzero(lengths))}))


def main(sizes):
    print(f"{'model':<10}{'rows':>9}  {'method':<13}{'seconds':>8}{'MB':>7}{'gap':>9}{'units':>6}")
    for model in ("splines", "bins"):
        for n_samples in sizes:
            for method in ("primal", "working-set"):
                if method == "working-set" and n_samples > MOST_BY_SAMPLES:
                    continue
                arguments = repr(model), str(n_samples), repr(method)
                code = f"import bench_curves as b; b.run({', '.join(arguments)})"
                done = subprocess.run(
                    [sys.executable, "-c", code],
                    cwd=Path(__file__).parent,
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                row = json.loads(done.stdout)
                print(
                    f"{model:<10}{n_samples:>9,}  {method:<13}{row['seconds']:>8.2f}"
                    f"{row['MB']:>7.0f}{row['gap']:>9.0e}{row['units']:>6}",
                    flush=True,
                )


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or N_SAMPLES)
