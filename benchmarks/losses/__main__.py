"""One fit in a process of its own: ``python -m losses by_<name> problem.npz accuracy limit``.

Prints its record as JSON and, if asked by a last argument, writes its solutions to that file. The
system ends the process with SIGALRM when a fit exceeds the limit in seconds, 0 for none, wherever
it is; what loads or compiles at the first call is outside both the limit and the time, and so is
the measuring of the solutions.
"""

import importlib
import json
import resource
import signal
import sys
from pathlib import Path

import numpy as np

from losses import Problem, certify


def peak_gb():
    """Most memory this process has had; ru_maxrss begins with that of the parent process."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return float(lines["VmHWM"].split()[0]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(name, path, accuracy, limit, output=None):
    try:
        solver = importlib.import_module(f"losses.{name}")
    except ModuleNotFoundError as error:
        print(json.dumps({"skipped": f"{error} for {sys.executable}"}))
        return
    with np.load(path) as file:
        values = {key: file[key] if file[key].ndim else file[key].item() for key in file}
    problem = Problem(**values)
    solver.fit(problem.few(), 1e-2)
    signal.setitimer(signal.ITIMER_REAL, float(limit))
    record = solver.fit(problem, float(accuracy))
    signal.setitimer(signal.ITIMER_REAL, 0)
    record["peak_gb"] = peak_gb()
    zetas, duals, shares = (record.pop(key, None) for key in ("zetas", "duals", "shares"))
    record["own_problem"] = shares is not None
    if zetas is not None:
        zetas = np.asarray(zetas).reshape(-1, *problem.shape)
        if len(zetas) != len(problem.Cs):
            record["skipped"] = f"{len(zetas)} of {len(problem.Cs)} solutions, {record['stopped']}"
        measured = [
            certify(problem, C, zeta, None if duals is None else duals[k], shares)
            for k, (C, zeta) in enumerate(zip(problem.Cs, zetas, strict=False))
        ]
        record["primal"] = [one["primal"] for one in measured]
        record["gap"] = max((one["gap"] for one in measured), default=np.inf)
        if output is not None:
            np.savez(output, zetas=zetas)
    print(json.dumps({"solves": solver.SOLVES, **record}))


if __name__ == "__main__":
    main(*sys.argv[1:])
