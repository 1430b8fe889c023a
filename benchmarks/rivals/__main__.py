"""Run one rival in a process of its own: ``python -m rivals by_<rival> problem.npz``.

Prints its record as JSON. The system ends the process with SIGALRM when a fit exceeds the limit,
wherever it is; what loads or compiles at the first call is outside both the limit and the time.
"""

import importlib
import json
import resource
import signal
import sys

import numpy as np


def main(name, path):
    try:
        rival = importlib.import_module(f"rivals.{name}")
    except ModuleNotFoundError as error:
        print(json.dumps({"skipped": f"{error} for {sys.executable}"}))
        return
    with np.load(path) as file:
        problem = dict(file)
    y_test, limit = problem.pop("y_test"), float(problem.pop("limit"))
    few = {
        key: value[:60, :10] if key.startswith("X") else value[:60]
        for key, value in problem.items()
        if value.ndim
    }
    rival.fit(**few, C=1.0, tol=1e-3, norm=0.0)
    numbers = {key: float(value) for key, value in problem.items() if not value.ndim}
    signal.setitimer(signal.ITIMER_REAL, limit)
    record = rival.fit(**{**problem, **numbers})
    signal.setitimer(signal.ITIMER_REAL, 0)
    record["accuracy"] = float(np.mean((record.pop("decision_values") > 0) == (y_test > 0)))
    record["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"solves": rival.SOLVES, **record}))


if __name__ == "__main__":
    main(*sys.argv[1:])
