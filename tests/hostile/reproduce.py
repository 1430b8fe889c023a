"""A failure made as small as it gets, as a script of a few lines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from .attempt import attempt
from .generator import Problem

SHRINKABLE = ("solve", "path")


def shrunk(problem: Problem, seconds: float = 5.0) -> Problem:
    """A smaller problem that fails in the same way; the problem itself if none is found in time."""
    is_dense = isinstance(problem.X, np.ndarray) and problem.X.dtype == float
    if problem.entry not in SHRINKABLE or not is_dense:
        return problem
    end = time.monotonic() + seconds
    kind = attempt(problem).kind
    found = True
    while found:
        found = False
        for smaller in smaller_ones(problem):
            if time.monotonic() > end:
                return problem
            if attempt(smaller).kind == kind:
                problem, found = smaller, True
                break
    return problem


def smaller_ones(problem: Problem) -> Iterator[Problem]:
    """Fewer samples, units, features, options and digits, the largest steps first."""
    X, activations, options = problem.X, problem.activations, problem.options
    for name in ("sample_weight", "unit_weights", "norm", "method", "max_iter"):
        if name in options:
            yield with_options(problem, {k: v for k, v in options.items() if k != name})
    n_samples = len(X)
    for size in sorted({n_samples // 2, n_samples // 4, 1}, reverse=True):
        for start in range(0, n_samples if size else 0, max(size, 1)):
            rows = np.delete(np.arange(n_samples), slice(start, start + size))
            if len(rows) >= 2:
                yield of_rows(problem, rows)
    if activations.shape[1] > 1 and "unit_weights" not in options:
        for h in range(activations.shape[1]):
            yield replace(problem, activations=np.delete(activations, h, axis=1))
    if X.shape[1] > 1:
        for d in range(X.shape[1]):
            yield replace(problem, X=np.delete(X, d, axis=1))
    for digits in (1, 2, 4):
        rounded = significant(X, digits)
        if not np.array_equal(rounded, X):
            yield replace(problem, X=rounded)
        if problem.y.dtype.kind == "f" and np.any(
            (y := significant(problem.y, digits)) != problem.y
        ):
            yield replace(problem, y=y)
        if np.ndim(C := options.get("C", 1.0)) == 0 and float(f"{C:.{digits - 1}e}") != C:
            yield with_options(problem, options | {"C": float(f"{C:.{digits - 1}e}")})


def with_options(problem: Problem, options: dict[str, Any]) -> Problem:
    return replace(problem, options=options)


def of_rows(problem: Problem, rows: np.ndarray) -> Problem:
    options = {
        name: value[rows]
        if np.shape(value) == (len(problem.X),) and name in ("C", "sample_weight")
        else value
        for name, value in problem.options.items()
    }
    return replace(
        problem,
        X=problem.X[rows],
        y=problem.y[rows],
        activations=problem.activations[rows],
        options=options,
    )


def significant(values: np.ndarray, digits: int) -> np.ndarray:
    return np.vectorize(lambda v: float(f"{v:.{digits - 1}e}"), otypes=[float])(values)


def script(problem: Problem, kind: str, text: str, seed: int) -> str:
    """Python code that shows the failure, run in the root of the checkout."""
    origin = f"Family {problem.family!r}, number {problem.number}, seed {seed}."
    head = f'"""{kind}: {text}\n\n{origin}\n"""\n\n'
    if problem.entry in SHRINKABLE and np.size(problem.X) <= 400:
        with np.printoptions(threshold=10**6, linewidth=10**6, precision=17, floatmode="unique"):
            arrays = [
                f"X = {problem.X!r}",
                f"y = {problem.y!r}",
                f"activations = {problem.activations.astype(int)!r} == 1",
                f"options = {problem.options!r}",
            ]
        known = f"{problem.family!r}, {problem.number}"
        call = f"Problem({known}, X, y, activations, options, {problem.entry!r})"
        imports = "from numpy import array, inf, nan\n\n"
        body = "\n".join(arrays)
    else:
        call = f"make({problem.family!r}, {problem.number}, {seed})"
        imports, body = "", ""
    return (
        f"{head}{imports}from tests.hostile.attempt import attempt\n"
        f"from tests.hostile.generator import Problem, make\n\n{body}\nprint(attempt({call}))\n"
    )
