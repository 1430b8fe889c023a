"""Two checkouts of the project in turns: the speeds of the documentation before and after a change.

Each row is a problem of another benchmark, whose name it carries, solved by the package of one
checkout and then of the other. Every solve is a process of its own that first solves a small
problem, and what takes less than a second once before it counts, so that nothing is loaded or set
up in its time; threads are pinned; times are medians of the turns, and what takes more than ten
seconds is not repeated. Ratio is the time after over the
time before. What is solved is written in this file alone, so a checkout may be of any version that
has the functions called here; where one fails, its last line of error stands in its place.

    git worktree add ../before <commit>
    GNORM_MNIST=<folder of the MNIST files> python benchmarks/bench_before.py ../before \
        [--rows engine large-2000 ...] [--repeats 3] [--threads 1] [--json file]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path
from time import perf_counter

import bench_atoms
import bench_engine
import bench_path
import bench_predict
import bench_rivals
import bench_scales
import bench_tall
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from gnorm import HyperplaneGates, max_margin

ONCE = 10.0  # seconds from which on a solve is not repeated
AGAIN = 1.0  # seconds below which what a first solve sets up would be seen
AFTER = Path(__file__).parents[1]


def timed(function):
    """Seconds of a solve, its gap and iterations."""
    start = perf_counter()
    solution = function()
    seconds = perf_counter() - start
    return {"seconds": seconds, "gap": solution.duality_gap, "iterations": solution.n_iter}


def solve(make, C=np.inf, tol=1e-6):
    problem = make()
    return timed(lambda: max_margin(*problem, C, tol=tol))


def mnist(n_samples, n_units, n_contexts, C=np.inf, tol=1e-6):
    return solve(partial(bench_engine.problem, n_samples, n_units, n_contexts), C, tol)


def absolute(n_samples, n_units, C):
    """Absolute error of a noisy sum of pixels."""
    from gnorm import solve as solve_loss  # which the first versions have not

    X, _, activations = bench_engine.problem(n_samples, n_units, 2)
    noise = np.random.default_rng(0).normal(size=n_samples)
    y = X[:, 100:200].sum(axis=1) / 10 + noise
    return timed(lambda: solve_loss(X, y, activations, loss="absolute_error", C=C, tol=1e-6))


def absolute_of_few_columns():
    """Absolute error of a table of few columns at a large weight, of targets with heavy tails."""
    from gnorm import solve as solve_loss

    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(2500, 39)), np.ones(2500)])
    activations = HyperplaneGates(30, 2, random_state=0).fit_transform(X)
    f = np.abs(X @ rng.normal(size=40)) - np.abs(X @ rng.normal(size=40))
    y = f / f.std() + 0.3 * rng.standard_t(2, size=2500)
    return timed(lambda: solve_loss(X, y, activations, loss="absolute_error", C=1e3, tol=1e-6))


def hard_margin_of_few_columns():
    """Hard margin of labels that a gated map of the same gates gives."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(4000, 11)), np.ones(4000)])
    activations = HyperplaneGates(10, 2, random_state=0).fit_transform(X)
    f = np.einsum("nhc,hcd,nd->n", activations, rng.normal(size=(10, 2, 12)), X)
    return timed(lambda: max_margin(X, np.where(f > 0, 1.0, -1.0), activations, tol=1e-6))


def rival(make, C, tol):
    return solve(lambda: make()[0], C, tol)


def tall(model):
    problem, _ = bench_tall.problem(1_000_000, model)
    return timed(lambda: max_margin(*problem, bench_tall.C, method="primal", tol=bench_tall.TOL))


def path(n_samples, n_Cs):
    seconds, found = bench_path.along(bench_engine.problem(n_samples, 50, 2), n_Cs)
    return {
        "seconds": seconds,
        "gap": max(solution.duality_gap for solution in found.solutions),
        "iterations": sum(solution.n_iter for solution in found.solutions),
    }


def digits(scale):
    """Ten classes of scikit-learn's digits, each against the rest."""
    from sklearn.datasets import load_digits
    from sklearn.preprocessing import StandardScaler

    X, classes = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X[:1437]) if scale == "standardised" else X[:1437] / 16
    X = np.column_stack([X, np.ones(len(X))])
    activations = HyperplaneGates(50, 2, random_state=0).fit_transform(X)
    records = [
        timed(partial(max_margin, X, np.where(classes[:1437] == k, 1, -1), activations, 1.0))
        for k in range(10)
    ]
    return {
        "seconds": sum(record["seconds"] for record in records),
        "gap": max(record["gap"] for record in records),
        "iterations": sum(record["iterations"] for record in records),
    }


def scales(scaled):
    problem = bench_scales.problem(scaled, 2.0)
    return timed(lambda: max_margin(*problem, tol=bench_scales.TOL))


def predict(name):
    candidate = bench_predict.candidates()[name]
    candidate()
    start = perf_counter()
    candidate()
    return {"seconds": perf_counter() - start}


def atom(solver):
    """One problem with the closed form as an atom, compiled and solved."""
    X, _, y, _ = bench_atoms.load_binary_digits(test_size=797, random_state=0)
    X, y = np.column_stack([X, np.ones(len(X))])[:100], y[:100]
    gates = HyperplaneGates(64, 2, random_state=0).fit_transform(X)
    record = bench_atoms.run(bench_atoms.closed_form, X, y, gates, solver)
    return {"seconds": record["compile_s"] + record["solve_s"]}


def imported(statement):
    start = perf_counter()
    done = subprocess.run([sys.executable, "-c", statement], check=True)
    return {"seconds": perf_counter() - start, "status": done.returncode}


ROWS = {
    "engine": partial(mnist, 500, 50, 2),
    "large-2000": partial(mnist, 2000, 100, 4),
    "large-10000": partial(mnist, 10_000, 50, 2),
    "growth-2000": partial(mnist, 2000, 50, 2, tol=1e-5),
    "growth-5000": partial(mnist, 5000, 50, 2, tol=1e-5),
    "growth-10000": partial(mnist, 10_000, 50, 2, tol=1e-5),
    "growth-20000": partial(mnist, 20_000, 50, 2, tol=1e-5),
    "soft-5000": partial(mnist, 5000, 10, 2, 1.0),
    "soft-10000": partial(mnist, 10_000, 10, 2, 1.0),
    "absolute-5000": partial(absolute, 5000, 20, 1.0),
    "few-absolute": absolute_of_few_columns,
    "few-hard": hard_margin_of_few_columns,
    "rivals-small": partial(
        rival, partial(bench_rivals.digits, 500, 50, "FReLU", pool=4), np.inf, 1e-6
    ),
    "rivals-more": partial(
        rival, partial(bench_rivals.digits, 2000, 50, "FReLU", pool=4), np.inf, 1e-6
    ),
    "rivals-tall": partial(rival, partial(bench_tall.problem, 20_000, "FReLU"), 1.0, 1e-4),
    **{
        f"path-{n_samples}-{n_Cs}": partial(path, n_samples, n_Cs)
        for n_samples in (1000, 2000, 5000)
        for n_Cs in (10, 20, 50)
    },
    "tables-digits-standardised": partial(digits, "standardised"),
    "tables-digits-divided": partial(digits, "divided"),
    "scales-rows": partial(scales, "rows"),
    "scales-columns": partial(scales, "columns"),
    "predict-values": partial(predict, "decision values, gates given"),
    "predict-half": partial(predict, "... half of the units inactive"),
    "predict-decision_function": partial(predict, "decision_function"),
    "atoms-CLARABEL": partial(atom, "CLARABEL"),
    "atoms-SCS": partial(atom, "SCS"),
    "import": partial(imported, "import gnorm"),
    "import-GLNNormSVC": partial(imported, "from gnorm import GLNNormSVC"),
    "tall-FReLU": partial(tall, "FReLU"),
    "tall-GLN": partial(tall, "GLN"),
    "large-60000": partial(mnist, 60_000, 50, 2, tol=1e-5),
    "large-60000-soft": partial(mnist, 60_000, 50, 2, 1e-3, 1e-4),
}


def measure(row):
    """One row in this process."""
    max_margin(*bench_engine.problem(500, 10, 2), 1.0, tol=1e-3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        record = ROWS[row]()
        if record["seconds"] < AGAIN:
            record = ROWS[row]()
    return record | {"warned": any(w.category is ConvergenceWarning for w in caught)}


def in_a_process_of_its_own(checkout, row, threads):
    pinned = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json, sys, bench_before; print(json.dumps(bench_before.measure(sys.argv[1])))",
            row,
        ],
        cwd=Path(__file__).parent,
        env=os.environ | pinned | {"PYTHONPATH": str(checkout / "src")},
        capture_output=True,
        text=True,
    )
    if run.returncode:
        return {"failed": run.stderr.splitlines()[-1] if run.stderr else "no word"}
    return json.loads(run.stdout.splitlines()[-1])


def described(records):
    """Median seconds and what the last run says."""
    last = records[-1]
    if "failed" in last:
        return np.nan, last["failed"][:60]
    notes = [f"{last['iterations']} iterations"] if "iterations" in last else []
    notes += [f"gap {last['gap']:.0e}{'*' * last['warned']}"] if "gap" in last else []
    return statistics.median(record["seconds"] for record in records), ", ".join(notes)


def compare(row, checkouts, repeats, threads):
    runs = {name: [] for name in checkouts}
    for turn in range(repeats):
        for name, records in runs.items():
            is_long = records and records[0].get("seconds", np.inf) > ONCE
            if len(records) == turn and not is_long:
                records.append(in_a_process_of_its_own(checkouts[name], row, threads))
    (before, notes_before), (after, notes_after) = map(described, runs.values())
    print(
        f"{row:<28} {before:9.3f} {after:9.3f} {after / before:6.2f}  "
        f"{notes_before:<34} {notes_after}",
        flush=True,
    )
    return {"row": row, "runs": runs, "ratio": after / before}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="folder of the other checkout")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the records of all runs")
    chosen = parser.parse_args()
    if not (chosen.before / "src" / "gnorm").is_dir():
        parser.error(f"expected a checkout with src/gnorm, got {chosen.before}")
    checkouts = {"before": chosen.before.resolve(), "after": AFTER}
    print(f"{'row':<28} {'before':>9} {'after':>9} {'ratio':>6}  notes before, after")
    results = []
    for row in chosen.rows:
        results.append(compare(row, checkouts, chosen.repeats, chosen.threads))
        if chosen.json is not None:  # what is measured is not lost where the rest is stopped
            chosen.json.write_text(json.dumps({"benchmark": "before", "results": results}) + "\n")


if __name__ == "__main__":
    main()
