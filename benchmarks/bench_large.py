"""The engine on many samples: MNIST digits 0-4 against 5-9 with random hyperplane gates.

========== ============================================================ =======================
row        problem                                                      rival
========== ============================================================ =======================
2000       N = 2000, H = 100, C = 4, hard margin, gap 1e-6              Gram matrix + LIBSVM
10000      N = 10,000, H = 50, C = 2, hard margin, gap 1e-6             Gram matrix + LIBSVM
60000      N = 60,000, H = 50, C = 2, hard margin, gap 1e-5             RBF machine
60000-soft N = 60,000, H = 50, C = 2, regularisation 1e-3, gap 1e-4     RBF machine
growth     N = 2000, 5000, 10,000, 20,000, 60,000, H = 50, C = 2, hard, none
           gap 1e-5: the exponent of time against N
========== ============================================================ =======================

The Gram matrix and one LIBSVM fit with the mean kernel of all units are the floor of any
multiple-kernel solver; they solve an easier problem, and so does the RBF machine, scikit-learn's
SVC(C=10, gamma="scale") on the same samples: it is what one would otherwise run on them. Every
solve is a fresh process, which reports its time and its peak memory with the data in it; the times
of a row and of its rival are taken in turns, and a ratio is of medians. From 20,000 samples on
nothing is repeated, nor is the RBF machine for a second row. Seconds of the processor are given
beside those of the wall clock for machines that are shared.

    GNORM_MNIST=<folder of the MNIST files> python benchmarks/bench_large.py \
        [--rows 2000 10000 ...] [--repeats 3] [--threads 1]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter, process_time

import bench_engine
import numpy as np
from sklearn.svm import SVC

from gnorm import max_margin

ROWS = {
    "2000": ((2000, 100, 4), np.inf, 1e-6, "floor"),
    "10000": ((10_000, 50, 2), np.inf, 1e-6, "floor"),
    "60000": ((60_000, 50, 2), np.inf, 1e-5, "rbf"),
    "60000-soft": ((60_000, 50, 2), 1e-3, 1e-4, "rbf"),
}
GROWTH = (2000, 5000, 10_000, 20_000, 60_000)
ONCE = 20_000  # samples from which on a solve is not repeated


def engine(X, y, activations, C, tol):
    solution = max_margin(X, y, activations, C, tol=tol)
    return {
        "gap": solution.duality_gap,
        "iterations": solution.n_iter,
        "support": len(solution.support),
    }


def rbf(X, y):
    fitted = SVC(kernel="rbf", C=10, gamma="scale").fit(X, y)
    return {"iterations": int(fitted.n_iter_[0]), "support": len(fitted.support_)}


def measure(name, sizes, C, tol):
    """Run one candidate once, in this process."""
    X, y, activations = bench_engine.problem(*sizes)
    if name == "engine":  # what is loaded or set up at the first call is not the solver's
        engine(X[:500], y[:500], activations[:500], 1.0, 1e-3)
    clock, processor = perf_counter(), process_time()
    if name == "floor":  # without the gating of its kernel
        seconds, notes = bench_engine.floor(X, y, activations)
    else:
        notes = rbf(X, y) if name == "rbf" else engine(X, y, activations, C, tol)
        seconds = perf_counter() - clock
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    notes |= {"processor_s": process_time() - processor, "peak_memory_mb": megabytes}
    return {"seconds": seconds, **notes}


def in_a_process_of_its_own(threads, *what):
    code = (
        "import json, sys, bench_large\n"
        "name, sizes, C, tol = json.loads(sys.argv[1])\n"
        "print(json.dumps(bench_large.measure(name, sizes, float(C), tol)))"
    )
    name, sizes, C, tol = what
    run = subprocess.run(
        [sys.executable, "-c", code, json.dumps([name, sizes, str(C), tol])],
        cwd=Path(__file__).parent,
        env=os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), str(threads)),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


def median(runs):
    return statistics.median(run["seconds"] for run in runs)


def line(label, runs, ratio=""):
    notes = ", ".join(
        f"{key} {value:.2g}" if key == "gap" else f"{key} {value:.0f}"
        for key, value in runs[-1].items()
        if key != "seconds"
    )
    print(f"{label:<12} {median(runs):10.2f} {len(runs):5d} {ratio:>8}  {notes}", flush=True)


def compare(row, repeats, threads, known):
    """Time the engine and its rival; a long run of the rival is kept in `known`."""
    sizes, C, tol, rival = ROWS[row]
    is_long = sizes[0] >= ONCE
    runs = {rival: list(known.get((rival, sizes), [])), "engine": []}
    for turn in range(1 if is_long else repeats):
        for name in runs:
            if turn == len(runs[name]):
                runs[name].append(in_a_process_of_its_own(threads, name, sizes, C, tol))
    if is_long:
        known[rival, sizes] = runs[rival]
    print(f"\nN={sizes[0]}, H={sizes[1]}, C={sizes[2]}, regularisation {C}, gap {tol:.0e}")
    print(f"{'candidate':<12} {'median [s]':>10} {'runs':>5} {'ratio':>8}  notes of the last run")
    line(rival, runs[rival])
    line("engine", runs["engine"], f"{median(runs['engine']) / median(runs[rival]):.2f}")
    return {"row": row, "runs": runs}


def growth(repeats, threads):
    print(f"\nH=50, C=2, hard margin, gap 1e-05\n{'N':<12} {'median [s]':>10} {'runs':>5}")
    results = {}
    for n_samples in GROWTH:
        what = "engine", (n_samples, 50, 2), np.inf, 1e-5
        times = 1 if n_samples >= ONCE else repeats
        results[n_samples] = [in_a_process_of_its_own(threads, *what) for _ in range(times)]
        line(str(n_samples), results[n_samples])
    logs = np.log([[n, median(runs)] for n, runs in results.items()])
    exponent = float(np.polyfit(*logs.T, 1)[0])
    print(f"time grows as N to the power {exponent:.2f}")
    return {"row": "growth", "runs": results, "exponent": exponent}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=[*ROWS, "growth"], default=[*ROWS, "growth"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    known = {}
    results = [
        growth(chosen.repeats, chosen.threads)
        if row == "growth"
        else compare(row, chosen.repeats, chosen.threads, known)
        for row in chosen.rows
    ]
    print(json.dumps({"benchmark": "large", "threads": chosen.threads, "results": results}))


if __name__ == "__main__":
    main()
