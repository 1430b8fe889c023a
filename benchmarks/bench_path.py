"""The whole path over C against solving for each C alone: MNIST digits 0-4 against 5-9.

Random hyperplane gates, H = 50, C = 2. `gln_norm_path` on its default grid, then `max_margin` for
each C of that grid, at the same tolerance and with the same arguments: what the path shares between
the solves and takes over from one to the next is the difference. Both turn by turn, threads pinned;
a ratio is of medians.

    GNORM_MNIST=<folder of the MNIST files> python benchmarks/bench_path.py \
        [--sizes 1000 2000 5000] [--lengths 10 20 50] [--repeats 3] [--threads 1] [--each]
"""

import argparse
import json
import statistics
from time import perf_counter

import bench_engine
from threadpoolctl import threadpool_limits

from gnorm import gln_norm_path, max_margin

TOL = 1e-4


def along(problem, n_Cs):
    start = perf_counter()
    path = gln_norm_path(*problem, n_Cs=n_Cs, tol=TOL)
    return perf_counter() - start, path


def alone(problem, Cs):
    seconds, solutions = [], []
    for C in Cs:
        start = perf_counter()
        solutions.append(max_margin(*problem, C, tol=TOL))
        seconds.append(perf_counter() - start)
    return seconds, solutions


def compare(n_samples, n_Cs, repeats, is_each):
    problem = bench_engine.problem(n_samples, 50, 2)
    runs = {"path": [], "alone": []}
    for _ in range(repeats):
        seconds, path = along(problem, n_Cs)
        each, solutions = alone(problem, path.Cs)
        runs["path"].append(seconds)
        runs["alone"].append(sum(each))
    if is_each:
        print(f"{'C':>9} {'path [s]':>9} {'alone [s]':>9}  iterations")
        rows = zip(path.Cs, path.solutions, each, solutions, strict=True)
        for C, solution, alone_s, cold in rows:
            print(
                f"{C:9.2e} {solution.seconds:9.3f} {alone_s:9.3f}  "
                f"{solution.n_iter} / {cold.n_iter}"
            )
    medians = {name: statistics.median(values) for name, values in runs.items()}
    pairs = [
        [sum(solution.n_iter for solution in part) for part in (path.solutions, solutions)],
        [max(solution.duality_gap for solution in part) for part in (path.solutions, solutions)],
    ]
    ratio = medians["path"] / medians["alone"]
    print(
        f"{n_samples:6d} {n_Cs:5d} {medians['path']:9.2f} {medians['alone']:10.2f} {ratio:6.2f}  "
        f"{pairs[0][0]} / {pairs[0][1]}  {pairs[1][0]:.1e} / {pairs[1][1]:.1e}",
        flush=True,
    )
    return {"n_samples": n_samples, "n_Cs": n_Cs, "ratio": ratio, "runs": runs}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 2000, 5000])
    parser.add_argument("--lengths", type=int, nargs="+", default=[10, 20, 50])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--each", action="store_true", help="print a line for each C")
    chosen = parser.parse_args()
    with threadpool_limits(chosen.threads):
        alone(bench_engine.problem(500, 50, 2), [1e-3])  # what is set up at the first call
        print(f"gap {TOL:.0e}, {chosen.threads} threads; iterations and largest gap: path / alone")
        print(f"{'N':>6} {'n_Cs':>5} {'path [s]':>9} {'alone [s]':>10} {'ratio':>6}")
        results = [
            compare(n_samples, n_Cs, chosen.repeats, chosen.each)
            for n_samples in chosen.sizes
            for n_Cs in chosen.lengths
        ]
    print(json.dumps({"benchmark": "path", "threads": chosen.threads, "results": results}))


if __name__ == "__main__":
    main()
