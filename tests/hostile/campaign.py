"""The hostile campaign: many problems, an independent judge, a table.

    make hostile                          2,000 problems, a few minutes
    make hostile HOSTILE_PROBLEMS=20000   more
    python -m tests.hostile.campaign --problems 500 --families "large C" gates

Failures are written to build/hostile as short scripts, each with what is wrong in its first line.
Ctrl-C ends it with the table of what was tried.
The exit status is 1 if a problem ended in the columns false, silent, raw or over memory.

Problems run in a worker process, which is replaced where one of them ends or hangs it. The families
and how they are drawn are in generator.py, the judge is checker.py.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pickle
import re
import signal
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # many small problems; read by NumPy's import

import numpy as np

from .attempt import Outcome, attempt, status_of_memory
from .generator import FAMILIES, Problem, make
from .reproduce import script, shrunk

SLOW = 20.0  # seconds, for problems that take milliseconds in the median
HUNG = 300.0
PATIENCE = 1.0  # for a worker that is asked to end
FAILURES = ("false", "silent", "raw")
COLUMNS = ("tried", "solved", "proven", "refused", "warned", *FAILURES, "slow", "over memory")
SCRIPTS = 3  # a family and kind of failure
ALLOWANCE = 3e7  # bytes that the interpreter may take for itself


# -- the worker ------------------------------------------------------------------------------------


def run_one(family: str, number: int, seed: int) -> Outcome:
    problem = make(family, number, seed)
    if "memory_limit" in problem.options and Path("/proc/self/clear_refs").exists():
        return with_peak(problem)
    return attempt(problem)


def with_peak(problem: Problem) -> Outcome:
    """Solve in a fork of this process, whose peak of memory is its own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            before = status_of_memory("VmRSS")
            outcome = attempt(problem)
            data = problem.X.nbytes + problem.activations.nbytes
            taken = outcome.peak - before - 2 * data - ALLOWANCE
            outcome.over = max(0.0, taken - problem.options["memory_limit"])
            with os.fdopen(writer, "wb") as file:
                pickle.dump(outcome, file)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    return pickle.loads(data) if data else Outcome("raw", 0.0, "the process ended without a word")


def work(connection: Any, seed: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    while (task := connection.recv()) is not None:
        what, family, number = task
        if what == "run":
            connection.send(run_one(family, number, seed))
        else:
            problem = shrunk(make(family, number, seed))
            outcome = attempt(problem)
            connection.send(script(problem, outcome.kind, outcome.text, seed))


class Worker:
    """A process that can be asked again after it ended or hung."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.process: Any = None

    def ask(self, what: str, family: str, number: int) -> Any:
        """The answer, or None if the process ended or did not answer in time."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.connection, other = context.Pipe()
            self.process = context.Process(target=work, args=(other, self.seed), daemon=True)
            self.process.start()
            other.close()
        try:
            self.connection.send((what, family, number))
            if self.connection.poll(HUNG):
                return self.connection.recv()
        except (EOFError, ConnectionError):
            pass  # it ended; None says so
        self.close()
        return None

    def close(self) -> None:
        if self.process is not None:
            with suppress(ConnectionError):  # where it has ended itself
                self.connection.send(None)
            self.process.join(PATIENCE)  # one that ends by itself leaves nothing behind
            self.process.kill()
            self.process.join()
            self.process = None


# -- the table -------------------------------------------------------------------------------------


@dataclass
class Row:
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COLUMNS, 0))
    seconds: list[float] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.counts["tried"] += 1
        self.counts[outcome.kind] += 1
        self.counts["slow"] += outcome.seconds > SLOW
        self.counts["over memory"] += outcome.over > 0
        self.seconds.append(outcome.seconds)


def table(rows: dict[str, Row]) -> str:
    """Markdown, with the median time of each family in milliseconds and against the tame one."""
    head = ["family", *COLUMNS, "median ms", "x tame"]
    reference = np.median(rows["tame"].seconds) if "tame" in rows else np.nan
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    total = Row()
    for name, row in rows.items():
        if not row.seconds:
            continue
        median = float(np.median(row.seconds))
        cells = [str(row.counts[column]) for column in COLUMNS]
        cells += [f"{1e3 * median:.0f}", f"{median / reference:.1f}"]
        lines.append("| " + " | ".join([name, *cells]) + " |")
        for column in COLUMNS:
            total.counts[column] += row.counts[column]
    cells = [str(total.counts[column]) for column in COLUMNS]
    lines.append("| " + " | ".join(["**all**", *cells, "", ""]) + " |")
    return "\n".join(lines)


def campaign(families: list[str], n_problems: int, seed: int, out: Path) -> dict[str, Row]:
    """Try as many problems of each family, or until Ctrl-C; write scripts of the failures."""
    each = -(-n_problems // len(families))
    worker = Worker(seed)
    written: dict[tuple[str, str], int] = defaultdict(int)
    out.mkdir(parents=True, exist_ok=True)
    rows = {family: Row() for family in families}
    with (out / "outcomes.csv").open("w") as log, suppress(KeyboardInterrupt):
        for number in range(each):
            for family in families:  # side by side: all meet the same load of the machine
                outcome = worker.ask("run", family, number)
                if outcome is None:
                    outcome = Outcome("raw", HUNG, "the process ended or hung")
                rows[family].add(outcome)
                text = re.sub(r"\s+", " ", outcome.text)
                log.write(f"{family},{number},{outcome.kind},{outcome.seconds:.4f},{text}\n")
                is_over = outcome.over > 0
                if outcome.kind not in FAILURES and not is_over:
                    continue
                key = (family, outcome.kind)
                written[key] += 1
                print(
                    f"{family} {number}: {outcome.kind} {text[:150]} {outcome.over:.1e}", flush=True
                )
                if written[key] <= SCRIPTS:
                    code = worker.ask("shrink", family, number) or f"# make({family!r}, {number})\n"
                    path = out / f"{family.replace(' ', '_')}-{number}.py"
                    path.write_text(code)
    worker.close()
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--out", type=Path, default=Path("build/hostile"))
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    rows = campaign(options.families, options.problems, options.seed, options.out)
    print(table(rows))
    print(f"{time.perf_counter() - start:.0f} s, seed {options.seed}")
    bad = sum(row.counts[name] for row in rows.values() for name in (*FAILURES, "over memory"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
