"""What importing gnorm costs, against importing the scikit-learn module it builds on.

Each row is the median over fresh interpreters, the candidates taking turns so that a busy moment
of the machine falls on all of them. `import gnorm` is lazy; the second row is what a user of the
estimators pays in full.

    python benchmarks/bench_import.py [repeats]
"""

import json
import statistics
import subprocess
import sys

BASELINE = "import sklearn.svm"
STATEMENTS = ["import gnorm", "from gnorm import GLNNormSVC", BASELINE]
TARGET = 1.2  # largest acceptable ratio to the baseline


def seconds(statement):
    """Time of the statement in a fresh interpreter, its start-up left out."""
    code = f"from time import perf_counter as t; s = t(); {statement}; print(t() - s)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(run.stdout)


def main(repeats=15):
    times = {statement: [] for statement in STATEMENTS}
    for statement in STATEMENTS:  # fill the file cache
        seconds(statement)
    for _ in range(repeats):
        for statement in STATEMENTS:
            times[statement].append(seconds(statement))

    median = {statement: statistics.median(values) for statement, values in times.items()}
    ratio = {statement: median[statement] / median[BASELINE] for statement in STATEMENTS}
    print(f"{'statement':<30} {'median [ms]':>11} {'ratio':>6}  target <= {TARGET}")
    for statement in STATEMENTS:
        verdict = "" if statement == BASELINE else "met" if ratio[statement] <= TARGET else "MISSED"
        print(f"{statement:<30} {1e3 * median[statement]:11.1f} {ratio[statement]:6.2f}  {verdict}")
    print(
        json.dumps(
            {
                "benchmark": "import",
                "repeats": repeats,
                "target": TARGET,
                "median_s": median,
                "ratio": ratio,
            }
        )
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
