"""Every loss against those who solve the same problem, or what every solver begins with.

============= =================================================================== =================
row           problem                                                             rivals
============= =================================================================== =================
squared       MNIST, D = 785, N = 2000, H = 100, GLN with C = 4 contexts, which   Gram matrix and
              digit it is as a number, squared error, gap 1e-6                    KernelRidge
log           the same samples, digits 0-4 against 5-9, log loss, gap 1e-6        Gram matrix and
                                                                                  Newton
path-2000     MNIST pooled to 7 x 7 pixels, D = 50, H = 50 FReLU gates of which   celer, skglm,
              one is always open, squared error, N = 2000, 20 penalties, gap 1e-4 adelie
path-20000    the same, N = 20,000                                                the same
tall          synthetic samples of bench_tall.py, D = 10, N = 10^6, H = 20 FReLU  lbfgs, adelie
              gates, log loss, gap 1e-4
quantile      pooled as above, N = 5000, quantile 0.9, gap 1e-6                   CLARABEL
absolute      the same, absolute error, that is twice the loss of quantile 0.5    CLARABEL
============= =================================================================== =================

Weight C = 1 of the sum of losses unless it is a path; numbers to predict have mean 0,
variance 1.

Same problem, same gap. The group lasso minimises the mean loss + lambda R. Where R^2 / 2 + C sum
of losses is least, the derivative of the sum of losses in each unit that is not zero is R / C
long, so the group lasso has the same solutions for lambda = R / (C n_samples). gnorm is given C
and finds R, the rivals are told that lambda, from solutions of gnorm to a hundredth of the gap.
What comes back from any of them is measured alike: the best multiple of its weights, and of the
dual point that belongs to their predictions, give a gap of our problem for each C. Each rival runs
with one tolerance of its own after another, ten times smaller each, up to the first with which its
largest gap is that of the row: its time is that of this run alone. "excess" is by how much an
objective lies above the least one, that of the solutions by which they are told, at most over the
path and relative to it; one without a gap of its own may be near long before it can be seen from
its weights, so "near" is the time of the first run whose excess is the gap of the row.

lbfgs is scikit-learn's LogisticRegression on explicit gated features, built outside its time, once
with its own penalty, half the sum of squares, and to the same gap of that problem; and once with
our objective, which features scaled by gnorm's solution turn into that penalty. The floors have
all units alike, and their gating is not counted. Peak memory is that of the process with the data
in it.

Each fit is a process of its own, which first fits 60 samples so that nothing is loaded or compiled
in the time it reports, and is ended where it takes longer than the limit. BLAS is pinned, times
are medians; what takes more than ten seconds is not repeated. A rival whose package is absent is
skipped. adelie needs numpy < 2, and so an interpreter of its own, see bench_rivals.py.

    GNORM_ADELIE_PYTHON=adelie/bin/python GNORM_MNIST=<folder of the MNIST files> \
        python benchmarks/bench_losses.py [--rows squared log ...] [--rivals adelie ...] \
        [--limit 600] [--samples 500]
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import bench_engine
import bench_rivals
import bench_tall
import numpy as np
from losses import Problem

from gnorm.datasets import load_mnist

ONCE = 10.0  # seconds from which on a fit is not repeated
EXACT = 1e-2  # gap of the solutions that tell the rivals their lambda, in units of the row's
N_PENALTIES = 20

# Tolerances of each rival, in its own terms, from the loosest on. One is enough where it is the gap
# or where there is none.
LADDERS = {
    "floor": [0.0],
    "celer": 10.0 ** -np.arange(3, 11),
    "skglm": 10.0 ** -np.arange(2, 10),
    "adelie": 10.0 ** -np.arange(5, 17),
    "adelie_dense": 10.0 ** -np.arange(5, 17),
    "lbfgs": 10.0 ** -np.arange(1, 8),
    "lbfgs_told": 10.0 ** -np.arange(1, 8),
    "clarabel": 10.0 ** -np.arange(5, 9),
}
LASSO = "celer", "skglm", "adelie", "adelie_dense"


def standardised(y):
    return (y - y.mean()) / y.std()


def as_problem(X, y, activations, loss, tol, quantile=0.5, Cs=(1.0,)):
    n_units = activations.shape[1]
    return Problem(
        X, y, activations, loss, quantile, np.asarray(Cs), tol, np.ones(1), np.ones(n_units)
    )


def mnist(n_samples, loss):
    X, y, activations = bench_engine.problem(n_samples, 100, 4)
    y = y.astype(float) if loss == "log_loss" else digits_of(n_samples)
    return as_problem(X, y, activations, loss, 1e-6)


def digits_of(n_samples):
    """Which digits the samples of bench_engine.py are, standardised."""
    _, _, digits, _ = load_mnist(os.environ["GNORM_MNIST"])
    return standardised(digits[np.random.default_rng(0).permutation(len(digits))[:n_samples]])


def pooled(n_samples, loss, tol, **how):
    (X, _, activations), _ = bench_rivals.digits(n_samples, 50, "FReLU", pool=4)
    return as_problem(X, digits_of(n_samples), activations, loss, tol, **how)


def path(n_samples):
    """20 penalties: lambda from about 0.9 to 0.03 of the value from which on all is zero."""
    problem = pooled(n_samples, "squared_error", 1e-4)
    rows = problem.activations.transpose(1, 2, 0) * problem.y
    largest = np.linalg.norm((rows @ problem.X).reshape(len(rows), -1), axis=1).max()
    # below this C, y is hardly explained, and R is C times that length
    least = np.sum(problem.y**2) / largest**2
    return replace(problem, Cs=least * np.geomspace(0.02, 100.0, N_PENALTIES))


def tall(n_samples):
    (X, y, activations), _ = bench_tall.problem(n_samples, "FReLU")
    return as_problem(X, y.astype(float), activations, "log_loss", 1e-4)


# samples, problem, rivals, ratio to reach: of gnorm to the fastest rival
ROWS = {
    "squared": (2000, lambda n: mnist(n, "squared_error"), ("floor",), 5.0),
    "log": (2000, lambda n: mnist(n, "log_loss"), ("floor",), 5.0),
    "path-2000": (2000, path, LASSO, 1 / 3),
    "path-20000": (20_000, path, LASSO, 1 / 3),
    "tall": (1_000_000, tall, ("lbfgs", "lbfgs_told", "adelie"), 1.0),
    "quantile": (
        5000,
        lambda n: pooled(n, "quantile", 1e-6, quantile=0.9),
        ("clarabel",),
        1 / 100,
    ),
    "absolute": (
        5000,
        lambda n: pooled(n, "quantile", 1e-6, Cs=[2.0]),
        ("clarabel",),
        1 / 100,
    ),
}


def fit(name, problem_path, accuracy, limit, threads, output=None):
    """Run one solver once on the problem in a file."""
    python = sys.executable
    if name.startswith("adelie"):
        python = os.path.abspath(os.environ.get("GNORM_ADELIE_PYTHON", python))  # cwd changes below
    pools = "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS"  # CLARABEL's is the last
    pinned = dict.fromkeys(pools, str(threads))
    arguments = [f"by_{name}", problem_path, repr(float(accuracy)), repr(limit)]
    run = subprocess.run(
        [python, "-m", "losses", *arguments, *([] if output is None else [output])],
        cwd=Path(__file__).parent,
        env=os.environ | pinned,
        stdout=subprocess.PIPE,
        text=True,
    )
    if run.returncode == -signal.SIGALRM:
        return {"skipped": f"stopped after the limit of {limit:g} s"}
    run.check_returncode()
    return json.loads(run.stdout.splitlines()[-1])


def solved(problem, folder, threads):
    """The problem with what its rivals are told, and the least values, to a small gap."""
    exact, output = str(folder / "exact.npz"), str(folder / "solutions.npz")
    np.savez(exact, **asdict(replace(problem, tol=EXACT * problem.tol)))
    record = fit("gnorm", exact, EXACT * problem.tol, 0.0, threads, output)
    with np.load(output) as file:
        zetas = file["zetas"]
    unit_norms = np.linalg.norm(zetas.reshape(*zetas.shape[:2], -1), axis=2)
    norms = unit_norms.sum(axis=1)
    told = replace(
        problem,
        lmdas=norms / (problem.Cs * len(problem.y)),
        shares=unit_norms[-1] / norms[-1],
    )
    return told, np.array(record["primal"])


def is_done(record, tol):
    return "skipped" in record or record.get("gap", 0.0) <= tol


def compare(row, repeats, limit, threads, samples, chosen=None):
    n_samples, make, rivals, target = ROWS[row]
    rivals = [name for name in rivals if chosen is None or name in chosen]
    problem = make(min(n_samples, samples))
    runs, tolerances, looser = {}, {"gnorm": problem.tol}, {}
    with tempfile.TemporaryDirectory() as folder:
        problem, least = solved(problem, Path(folder), threads)
        problem_path = str(Path(folder) / "problem.npz")
        np.savez(problem_path, **asdict(problem))

        def run(name):
            record = fit(name, problem_path, tolerances[name], limit, threads)
            if "primal" in record and not record["own_problem"]:
                record["excess"] = float(np.max(record["primal"] / least) - 1)
            return record

        for name in rivals:  # one tolerance after another
            for tolerance in LADDERS[name]:
                tolerances[name] = float(tolerance)
                runs[name] = [run(name)]
                if is_done(runs[name][0], problem.tol):
                    break
                looser.setdefault(name, []).extend(runs[name])
        runs["gnorm"] = []
        for turn in range(repeats):
            for name, records in runs.items():
                is_long = records and records[0].get("seconds", np.inf) > ONCE
                if len(records) == turn and not is_long:
                    records.append(run(name))
    show(row, problem, runs, looser, target)
    return {"row": row, "runs": runs, "looser": looser}


def median(records):
    times = [record["seconds"] for record in records if "skipped" not in record]
    return statistics.median(times) if times else np.nan


def near(name, runs, looser, tol):
    """Seconds of the first run, from the loosest on, whose objective is near the least one."""
    for record in [*looser.get(name, []), *runs[name]]:
        if record.get("excess", np.inf) <= tol:
            return record["seconds"]
    return None


def show(row, problem, runs, looser, target):
    n_units, n_contexts, n_features = problem.shape
    print(
        f"\n{row}: N={len(problem.y)}, D={n_features}, H={n_units}, C={n_contexts}, "
        f"{problem.loss}, gap {problem.tol:.0e}"
    )
    print(
        f"{'solver':<13} {'time [s]':>8} {'runs':>4} {'ratio':>8} {'gap':>7} {'excess':>7} "
        f"{'near [s]':>8} {'peak [GB]':>9}  {'solves':<49} stopped at"
    )
    for name in ["gnorm", *(name for name in runs if name != "gnorm")]:
        records = runs[name]
        last = records[-1]
        if "skipped" in last:
            print(f"{name:<13} {last['skipped']}", flush=True)
            continue
        gap, excess = (f"{last[key]:7.0e}" if key in last else "" for key in ("gap", "excess"))
        seconds = near(name, runs, looser, problem.tol)
        missed = "" if is_done(last, problem.tol) else ", GAP NOT REACHED"
        print(
            f"{name:<13} {median(records):8.3f} {len(records):4d} "
            f"{median(records) / median(runs['gnorm']):8.2f} {gap:>7} {excess:>7} "
            f"{'' if seconds is None else format(seconds, '.3f'):>8} {last['peak_gb']:9.2f}  "
            f"{last['solves']:<49} {last['stopped']}{missed}",
            flush=True,
        )
    times = [
        median(records)
        for name, records in runs.items()
        if name != "gnorm" and "skipped" not in records[-1] and is_done(records[-1], problem.tol)
    ]
    if not times:
        print("no rival reached the gap within the limit", flush=True)
        return
    ratio = median(runs["gnorm"]) / min(times)
    print(
        f"gnorm takes {ratio:.3g} times the fastest rival, "
        f"{'met' if ratio <= target else 'MISSED'}: <= {target:.3g}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--rivals", nargs="+", help="only these of a row, all if not given")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds a rival may take")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, default=10**9, help="at most, for a quick look")
    chosen = parser.parse_args()
    results = [
        compare(row, chosen.repeats, chosen.limit, chosen.threads, chosen.samples, chosen.rivals)
        for row in chosen.rows
    ]
    print(json.dumps({"benchmark": "losses", "threads": chosen.threads, "results": results}))


if __name__ == "__main__":
    main()
