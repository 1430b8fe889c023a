"""One run of a method: what it may spend, and what there is if it is interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gnorm.solvers.certify import relative_gap
from gnorm.solvers.problem import Point
from gnorm.solvers.solution import Status

__all__ = ["Report", "Run", "print_table"]

Report = Callable[[int, float, float, float], None]
"""Called with (iteration, primal value, dual value, step) after every evaluation."""


@dataclass
class Run:
    """What a method is told, and what it leaves while it works.

    Attributes
    ----------
    tol : float
        Relative duality gap over all samples at which to stop.
    max_iter : int
        Most iterations.
    report : callable or None
        Called after every evaluation, see :data:`Report`.
    memory_limit : float
        Most memory in bytes to take beside the problem itself.
    n_iter : int
        Iterations spent.
    best_so_far : callable or None
        From a status to the best point over all samples, None while there is none: what an
        interrupted solve returns.
    """

    tol: float
    max_iter: int
    report: Report | None = None
    memory_limit: float = np.inf
    n_iter: int = 0
    best_so_far: Callable[[Status], Point] | None = None

    @property
    def is_spent(self) -> bool:
        """Whether no iteration is left."""
        return self.n_iter >= self.max_iter


def print_table(start: float) -> Report:
    """Print the head of a table, and return what adds a line to it after every evaluation."""
    print(f"{'iter':>4} {'primal':>14} {'dual':>14} {'gap':>9} {'step':>6} {'seconds':>8}")

    def report(n_iter: int, primal_value: float, dual_value: float, step: float) -> None:
        gap = relative_gap(primal_value, dual_value)
        seconds = time.perf_counter() - start
        print(
            f"{n_iter:4d} {primal_value:14.7e} {dual_value:14.7e} {gap:9.2e} {step:6.3f} "
            f"{seconds:8.3f}"
        )

    return report
