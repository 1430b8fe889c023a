"""Runs tasks that have no result yet, and appends each result as soon as it is known."""

import os
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from .experiments import KINDS
from .samples import DigitsSamples, MnistSamples


@cache
def load(folder):
    """Samples of a worker, read once; the bundled digits if there is no folder."""
    return DigitsSamples() if folder is None else MnistSamples(folder)


@contextmanager
def obeyed_interrupt():
    """Raise KeyboardInterrupt in the end if there was one that went no further.

    A solve of gnorm that is interrupted returns what it has, and where that has met the tolerance
    by then, it says nothing of the interruption.
    """
    previous = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()  # others get no signals
    if not is_main or previous in (None, signal.SIG_IGN):
        yield
        return
    came = []

    def note(number, frame):
        came.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if came:
        raise KeyboardInterrupt


def execute(task, folder):
    """Run one task on one thread, whatever happens in it but an interruption."""
    samples = load(folder)
    start = time.perf_counter()
    record = {"task": asdict(task)}
    with threadpool_limits(1), obeyed_interrupt():
        try:
            record["rows"] = KINDS[task.kind](task, samples)
        except Exception as error:  # of whatever kind: the other tasks go on, and the file has it
            reason = f"{type(error).__name__}: {error}"
            record["rows"] = [{"model": task.kind, "status": "failed", "reason": reason}]
    record["seconds"] = round(time.perf_counter() - start, 3)
    return record


@cache
def end_with(parent):
    """Have this process end when its parent, of this number, is gone.

    A worker that waits for a task hears nothing of a runner that was killed, and would wait on.
    """

    def watch():
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def execute_in_worker(task, folder, parent):
    """Run one task in a process that ends with its parent."""
    if os.name == "posix":  # elsewhere the number of a parent stays, and joblib watches it
        end_with(parent)
    return execute(task, folder)


def run(tasks, results, folder, n_jobs=1, progress=True):
    """Run the tasks that ``results`` lacks, in their order; the bar counts estimated time.

    A task of which a part failed, for want of memory perhaps, is run again. Wrong data raise
    OSError or ValueError before anything is run.
    """
    load(folder)
    waiting = [task for task in tasks if not results.has(task)]
    total = sum(task.cost for task in tasks)
    bar = tqdm(
        total=total,
        initial=total - sum(task.cost for task in waiting),
        disable=not progress,
        bar_format="{percentage:3.0f}% |{bar}| {elapsed} done, {remaining} to go {postfix}",
    )
    left = len(waiting)
    with bar:
        if n_jobs == 1:
            found = (execute(task, folder) for task in waiting)
        else:
            parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
            found = parallel(
                delayed(execute_in_worker)(task, folder, os.getpid()) for task in waiting
            )
        costs = {task.key: task.cost for task in waiting}
        for record in found:
            key = results.append(record)
            left -= 1
            bar.set_postfix_str(f"({left} tasks left, last {key})", refresh=False)
            bar.update(min(costs[key], bar.total - bar.n))
    return len(waiting)
