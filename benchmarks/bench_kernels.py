"""The engine on the kernels of several processors: MNIST digits 0-4 against 5-9.

OpenBLAS carries kernels for many processors and chooses by the one it runs on, or by the variable
OPENBLAS_CORETYPE. Each kernel rounds differently, and on hard problems an iteration may go another
way for it. Here every problem is solved under three of them,

* SkylakeX, AVX-512;
* Haswell, AVX2;
* Nehalem, SSE4.2;

each solve in a process of its own that asks with threadpoolctl which kernel really runs; what the
processor lacks is left out. A slower kernel takes longer for the same work, so a time is given
again in matrix products: how often one of single and one of double precision, 1500 x 1500, could
be done one after the other in the meantime, by the same process. These should be alike, the largest
at most 1.5 times the smallest. (What is not linear algebra does not slow down with the kernel and
makes the slowest look best, the more so the smaller the problem.)

========== ================================================= =========
problem    what                                              when
========== ================================================= =========
2000       N = 2000, H = 100, C = 4, hard margin, gap 1e-6   always
10000      N = 10,000, H = 50, C = 2, hard margin, gap 1e-6  always
60000      N = 60,000, H = 50, C = 2, hard margin, gap 1e-5  --large
========== ================================================= =========

    GNORM_MNIST=<folder of the MNIST files> python benchmarks/bench_kernels.py \
        [--large] [--problems 2000 ...] [--repeats 3] [--threads 1]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import bench_engine
import numpy as np
import scipy.linalg  # noqa: F401 (brings an OpenBLAS of its own, which threadpoolctl shall see)
from threadpoolctl import threadpool_info

from gnorm import max_margin

KERNELS = {"SkylakeX": "AVX-512", "Haswell": "AVX2", "Nehalem": "SSE4.2"}
FLAGS = {"SkylakeX": "avx512f", "Haswell": "avx2", "Nehalem": "sse4_2"}  # in /proc/cpuinfo
TARGET = 1.5  # largest acceptable ratio of the times, once multiplied by the speed
SIDE = 1500  # of the matrices of the product


def hinge(n_samples, n_units, n_contexts, tol):
    """A hard-margin problem, solved; new problems go into PROBLEMS."""
    problem = bench_engine.problem(n_samples, n_units, n_contexts)
    few = [part[:500] for part in problem]
    max_margin(*few, 1.0, tol=1e-3)  # what is loaded or set up at the first call
    start = perf_counter()
    solution = max_margin(*problem, tol=tol)
    return {
        "seconds": perf_counter() - start,
        "gap": solution.duality_gap,
        "iterations": solution.n_iter,
        "support": len(solution.support),
    }


PROBLEMS = {
    "2000": lambda: hinge(2000, 100, 4, 1e-6),
    "10000": lambda: hinge(10_000, 50, 2, 1e-6),
    "60000": lambda: hinge(60_000, 50, 2, 1e-5),
}
LARGE = ("60000",)  # with --large only, and once


def speed(dtype):
    """Gigaflops a second of the matrix product, the best of five."""
    a = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(dtype)
    a @ a
    seconds = []
    for _ in range(5):
        start = perf_counter()
        a @ a
        seconds.append(perf_counter() - start)
    return 2e-9 * SIDE**3 / min(seconds)


def measure(problem):
    """One solve in this process, and what the process runs on."""
    running = {
        entry["architecture"] for entry in threadpool_info() if entry["internal_api"] == "openblas"
    }
    # the speed on either side of the solve, the better of both: the machine may be shared
    before = {name: speed(name) for name in ("float32", "float64")}
    record = PROBLEMS[problem]()
    after = {name: speed(name) for name in before}
    record["gflops"] = {name: max(before[name], after[name]) for name in before}
    return record | {"running": sorted(running)}


def in_a_process_of_its_own(kernel, problem, threads):
    pinned = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    code = "import json, sys, bench_kernels; print(json.dumps(bench_kernels.measure(sys.argv[1])))"
    run = subprocess.run(
        [sys.executable, "-c", code, problem],
        cwd=Path(__file__).parent,
        env=os.environ | pinned | {"OPENBLAS_CORETYPE": kernel},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


def available():
    """The kernels whose instructions the processor has, as far as one can tell."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set(FLAGS.values())
    lacking = [kernel for kernel, flag in FLAGS.items() if flag not in flags]
    for kernel in lacking:
        print(f"{kernel} left out: the processor has no {KERNELS[kernel]}")
    return [kernel for kernel in KERNELS if kernel not in lacking]


def compare(problem, kernels, repeats, threads):
    """Solve one problem under each kernel, by turns."""
    runs = {kernel: [] for kernel in kernels}
    for _ in range(1 if problem in LARGE else repeats):
        for kernel, records in runs.items():
            records.append(in_a_process_of_its_own(kernel, problem, threads))
    work = {}
    for kernel, records in runs.items():
        last = records[-1]
        if last["running"] != [kernel]:
            print(f"{problem:<8} {kernel}: {', '.join(last['running'])} runs instead, left out")
            continue
        seconds = statistics.median(record["seconds"] for record in records)
        gflops = {
            name: max(record["gflops"][name] for record in records) for name in last["gflops"]
        }
        pair = sum(2e-9 * SIDE**3 / value for value in gflops.values())
        work[kernel] = seconds / pair
        print(
            f"{problem:<8} {kernel:<9} {KERNELS[kernel]:<8} {seconds:9.2f} {len(records):4d} "
            f"{gflops['float32']:8.1f} {gflops['float64']:8.1f} {work[kernel]:9.2f}  "
            f"gap {last['gap']:.1e}, {last['iterations']} iterations, support {last['support']}",
            flush=True,
        )
    if not work:
        print(f"{problem:<8} none of the kernels runs here: is this OpenBLAS?\n", flush=True)
        return {"problem": problem, "runs": runs}
    ratio = max(work.values()) / min(work.values())
    verdict = "met" if ratio <= TARGET else "MISSED"
    print(
        f"{problem:<8} largest over smallest in products: {ratio:.2f}, {verdict}: <= {TARGET}\n",
        flush=True,
    )
    return {"problem": problem, "runs": runs, "products": work, "ratio": ratio}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS))
    parser.add_argument("--large", action="store_true", help="60,000 samples, too")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    problems = chosen.problems or [name for name in PROBLEMS if chosen.large or name not in LARGE]
    kernels = available()
    print(f"{'':<42} {'Gflop/s':<17} {'time in':>9}")
    print(
        f"{'problem':<8} {'kernel':<9} {'':<8} {'time [s]':>9} {'runs':>4} {'single':>8} "
        f"{'double':>8} {'products':>9}  notes of the last run"
    )
    results = [compare(name, kernels, chosen.repeats, chosen.threads) for name in problems]
    print(json.dumps({"benchmark": "kernels", "threads": chosen.threads, "results": results}))


if __name__ == "__main__":
    main()
