"""Rows and columns of very different size: how much longer the default method takes on them.

N = 2000 samples of 49 normal features and a constant, H = 50 units of 2 contexts with random
hyperplanes; the label is the sign of a random network of 16 units before the scaling. "rows"
multiplies each sample, the constant too, by exp(sigma z) with z standard normal, "columns" each
feature. C = 1, of the sum of hinge losses, or a hard margin; gap 1e-4. Ratio is the time over that
of sigma = 0. * where the fit warned that it had not converged.

    python benchmarks/bench_scales.py [--sigmas 0 1 2 3] [--repeats 3] [--threads 1]
"""

import argparse
import json
import statistics
import warnings
from time import perf_counter

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from gnorm import HyperplaneGates, max_margin

N_SAMPLES, N_FEATURES, N_UNITS = 2000, 50, 50
TOL = 1e-4


def problem(scaled, sigma):
    """Inputs, labels and gates with rows or columns times exp(sigma z)."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_SAMPLES, N_FEATURES))
    X[:, -1] = 1.0
    inner, outer = rng.normal(size=(N_FEATURES, 16)), rng.normal(size=16)
    score = np.maximum(X @ inner, 0.0) @ outer
    y = np.where(score > np.median(score), 1, -1)
    size = (N_SAMPLES, 1) if scaled == "rows" else (1, N_FEATURES)
    X *= np.exp(sigma * rng.normal(size=size))
    activations = HyperplaneGates(N_UNITS, 2, random_state=0).fit_transform(X)
    return X, y, activations


def fit(X, y, activations, C):
    """Seconds, gap, iterations, the method, and whether it warned."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        start = perf_counter()
        solution = max_margin(X, y, activations, C, tol=TOL)
        seconds = perf_counter() - start
    return {
        "seconds": seconds,
        "gap": solution.duality_gap,
        "iterations": solution.n_iter,
        "method": solution.method,
        "warned": bool(caught),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sigmas", type=float, nargs="+", default=[0.0, 1.0, 2.0, 3.0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    runs = []
    print("| scaled | C | sigma | time [s] | ratio | gap | iterations | method |")
    print("|---|---|---|---|---|---|---|---|")
    with threadpool_limits(args.threads):
        fit(*(part[:200] for part in problem("rows", 0.0)), 1.0)  # loads what the first call loads
        for scaled in ("rows", "columns"):
            for C in (1.0, np.inf):
                tame = None
                for sigma in args.sigmas:
                    data = problem(scaled, sigma)
                    fits = [fit(*data, C) for _ in range(args.repeats)]
                    seconds = statistics.median(run["seconds"] for run in fits)
                    tame = tame or seconds
                    last = fits[-1]
                    star = "*" if any(run["warned"] for run in fits) else ""
                    print(
                        f"| {scaled} | {C:g} | {sigma:g} | {seconds:.2f} | {seconds / tame:.1f} | "
                        f"{last['gap']:.0e}{star} | {last['iterations']} | {last['method']} |",
                        flush=True,
                    )
                    runs.append({"scaled": scaled, "C": C, "sigma": sigma, "fits": fits})
    print(json.dumps(runs))


if __name__ == "__main__":
    main()
