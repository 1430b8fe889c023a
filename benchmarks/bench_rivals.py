"""gnorm and other solvers on the same samples and gates, time beside held-out accuracy.

======= ========================================================================= ==============
row     problem                                                                   test samples
======= ========================================================================= ==============
small   MNIST pooled to 7 x 7 pixels, D = 50, N = 500, H = 50 FReLU gates of      5000
        which one is always open, hard margin, gap 1e-6
more    the same, N = 2000                                                        5000
mnist   MNIST, D = 785, N = 500, H = 50, GLN with C = 2 contexts, hard margin,    5000
        gap 1e-6
tall    synthetic samples of bench_tall.py, D = 10, N = 20,000, H = 20 FReLU      100,000
        gates, weight 1 of the hinge loss, gap 1e-4
======= ========================================================================= ==============

MNIST is digits 0-4 against 5-9. The rivals seldom solve the same problem; the table says what they
solve, and ``rivals/`` how. The logistic group lasso is solved for one lambda after another, ten to
a decade, each from the solution before, down to the first whose sum of unit norms is at least that
of gnorm's solution: its time is that of this path, as it would be without knowing where it ends.

Each fit is a process of its own, which first fits 60 samples so that nothing is loaded or compiled
in the time it reports, and is ended where it takes longer than the limit. Rivals take turns, BLAS
is pinned, times are medians; what takes more than ten seconds is not repeated. A rival whose
package is absent is skipped. adelie needs numpy < 2, and so an interpreter of its own:

    python -m venv adelie && adelie/bin/python -m pip install adelie "numpy<2"
    GNORM_ADELIE_PYTHON=adelie/bin/python GNORM_MNIST=<folder of the MNIST files> \
        python benchmarks/bench_rivals.py [--rows small mnist ...] [--limit 60] [--json file]
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import bench_engine
import bench_tall
import numpy as np

from gnorm import HyperplaneGates

N_TEST = 5000
ONCE = 10.0  # seconds from which on a fit is not repeated
CONIC = "clarabel", "scs"
LASSO = "adelie", "skglm"
LIBSVM = "libsvm", "libsvm_rbf"


def digits(n_samples, n_units, model, pool=1):
    """Training and test samples with gates fitted on the former."""
    X, y, _ = bench_engine.problem(n_samples + N_TEST, 1, 2)
    side = 28 // pool
    pixels = X[:, :-1].reshape(-1, side, pool, side, pool).mean(axis=(2, 4))
    X = np.column_stack([pixels.reshape(len(X), -1), np.ones(len(X))])
    gates = HyperplaneGates(n_units, 2, random_state=0).fit(X[:n_samples])
    activations = gates.transform(X)
    if model == "FReLU":
        activations = np.ascontiguousarray(activations[:, :, 1:])
        activations[:, -1] = True
    train, test = slice(n_samples), slice(n_samples, None)
    return (X[train], y[train], activations[train]), (X[test], y[test], activations[test])


ROWS = {
    "small": (
        lambda: digits(500, 50, "FReLU", pool=4),
        np.inf,
        1e-6,
        (*CONIC, *LASSO, *LIBSVM),
    ),
    "more": (lambda: digits(2000, 50, "FReLU", pool=4), np.inf, 1e-6, (*LASSO, *LIBSVM)),
    "mnist": (lambda: digits(500, 50, "GLN"), np.inf, 1e-6, (*CONIC, *LASSO, *LIBSVM)),
    "tall": (lambda: bench_tall.problem(20_000, "FReLU"), 1.0, 1e-4, (*LASSO, "liblinear")),
}


def fit(rival, path, limit, threads):
    """Run a rival once on the problem in a file."""
    python = sys.executable
    if rival == "adelie":
        python = os.path.abspath(os.environ.get("GNORM_ADELIE_PYTHON", python))  # cwd changes below
    pinned = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    run = subprocess.run(
        [python, "-m", "rivals", f"by_{rival}", path],
        cwd=Path(__file__).parent,
        env=os.environ | pinned,
        stdout=subprocess.PIPE,
        text=True,
    )
    if run.returncode == -signal.SIGALRM:
        return {"skipped": f"stopped after the limit of {limit:g} s"}
    run.check_returncode()
    return json.loads(run.stdout.splitlines()[-1])


def compare(row, repeats, limit, threads):
    make, C, tol, rivals = ROWS[row]
    (X, y, activations), (X_test, y_test, activations_test) = make()
    problem = {"X": X, "y": y, "activations": activations, "X_test": X_test}
    problem |= {"y_test": y_test, "activations_test": activations_test}
    runs = {rival: [] for rival in ("gnorm", *rivals)}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "problem.npz")
        norm = np.nan  # until gnorm, the first, has found it
        for _ in range(repeats):
            for rival, records in runs.items():
                if records and records[0].get("seconds", np.inf) > ONCE:
                    continue
                most = 0.0 if rival == "gnorm" else limit  # 0 is no limit
                np.savez(path, **problem, C=C, tol=tol, norm=norm, limit=most)
                records.append(fit(rival, path, limit, threads))
                if rival == "gnorm":
                    norm = records[-1]["norm"]
    show(row, X, activations, runs)
    return {"row": row, "runs": runs}


def median(records):
    return statistics.median(record["seconds"] for record in records if "seconds" in record)


def show(row, X, activations, runs):
    _, n_units, n_contexts = activations.shape
    print(f"\n{row}: N={len(X)}, D={X.shape[1]}, H={n_units}, C={n_contexts}")
    print(
        f"{'rival':<10} {'time [s]':>8} {'runs':>4} {'gnorm / it':>11} {'accuracy':>8} "
        f"{'norm':>6}  {'solves':<56} stopped at"
    )
    for rival, records in runs.items():
        last = records[-1]
        if "skipped" in last:  # also if it came in below the limit before
            print(f"{rival:<10} {last['skipped']}", flush=True)
            continue
        ratio = median(runs["gnorm"]) / median(records)
        norm = f"{last['norm']:6.2f}" if "norm" in last else " " * 6
        print(
            f"{rival:<10} {median(records):8.2f} {len(records):4d} "
            f"{ratio:11.2g} {last['accuracy']:8.4f} {norm}  "
            f"{last['solves']:<56} {last['stopped']}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds a fit may take")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the records of all runs")
    chosen = parser.parse_args()
    results = [compare(row, chosen.repeats, chosen.limit, chosen.threads) for row in chosen.rows]
    if chosen.json is not None:
        report = {"benchmark": "rivals", "threads": chosen.threads, "limit_s": chosen.limit}
        chosen.json.write_text(json.dumps(report | {"results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
