"""The methods: what each costs, when it suits. Tables and errors are made from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

from gnorm.norms import GroupNorm, Nuclear, UnitNorm
from gnorm.solvers.active_set.rounds import FEW, solve_by_active_set, solve_near
from gnorm.solvers.active_set.start import Near
from gnorm.solvers.certify import Certificate
from gnorm.solvers.factored import solve as solve_by_factors
from gnorm.solvers.interior import (
    multinomial,
    solve_by_features,
    solve_by_samples,
    solve_near_by_features,
)
from gnorm.solvers.problem import Problem
from gnorm.solvers.run import Run

__all__ = ["METHODS", "Choice", "Method", "choose", "further_choices", "get_method", "table"]

TALL = 4  # samples a coded feature from which on the features are the smaller side
UNEVEN = 1e3  # largest over smallest norm of a feature from which on single precision gets lost
# Passes of a descent on the weights, and C times the squared length of inputs from which on they
# grow with its root, see benchmarks/bench_classes.py.
_PASSES, _STEEP = 100.0, 10.0
_FEW_OUTPUTS = 1000  # samples times outputs up to which CLARABEL is faster than descent on kinks
_FEW_ROWS = 50  # of the semidefinite matrices of a nuclear norm; of 42 CLARABEL takes a minute
_FEW_FEATURES = 2000  # gated features that "primal" may be tried with on fewer samples


def _sample_bytes(problem: Problem) -> float:
    if problem.n_outputs > 1:
        return multinomial.bytes_needed(problem)
    design, n_samples = problem.design, len(problem.y)
    per_sample = 6 * design.n_open_gates + 4 * design.n_kernels + 4 * design.n_features + 40
    inputs = 4 * design.n_open_gates * design.n_features
    return 1e5 + 8.0 * ((design.n_matrices + 0.2) * n_samples**2 + per_sample * n_samples + inputs)


def _feature_bytes(problem: Problem) -> float:
    design = problem.design
    per_sample = 8 * (60 + 3.5 * design.n_kernels + 1.5 * design.n_features)
    size = design.system_size
    per_sample += 2 * design.n_coded_gates * size.n_others / design.n_coded_features
    return 1e6 + per_sample * len(problem.y) + 8.0 * size.n_numbers


def _few_bytes(problem: Problem) -> float:
    """Of the working set where that is all samples; of others it depends on the solution."""
    is_all = len(problem.y) <= FEW or problem.n_outputs > 1
    return _sample_bytes(problem) if is_all else 0.0


def _none(problem: Problem) -> float:
    """Of a solver that does not say."""
    _ = problem
    return 0.0


def _takes_kernels(problem: Problem) -> str | None:
    norm, loss = problem.design.norm, problem.loss
    if not isinstance(norm, UnitNorm):
        expected, given = "a norm of kernels", norm
    elif _has_hinges(problem):
        expected, given = "a loss of one output or the multinomial", loss
    else:
        return None
    other = choose(problem, np.inf).method.name
    return f"{expected}, got {given!r}; method={other!r} takes it"


def _is_linear(problem: Problem) -> bool:
    is_linear = problem.loss.is_piecewise_linear or bool(problem.is_hard.all())
    return problem.design.norm.is_polyhedral and is_linear


def _takes_lines(problem: Problem) -> str | None:
    if _is_linear(problem):
        return None
    return (
        "a polyhedral norm, L1 or MaxAbs, and a piecewise linear loss or a hard margin, got "
        f"{problem.design.norm!r} and {problem.loss.name!r}; "
        f"method={choose(problem, np.inf).method.name!r} takes them"
    )


def _is_factored(problem: Problem) -> bool:
    is_smoothed = problem.loss.is_piecewise_linear or not problem.is_hard.any()
    return isinstance(problem.design.norm, Nuclear | GroupNorm) and is_smoothed


def _takes_factors(problem: Problem) -> str | None:
    if _is_factored(problem):
        return None
    return (
        "the norm Nuclear or a sum of norms of units, and a finite C or a piecewise linear loss, "
        f"got {problem.design.norm!r}, C up to {np.max(problem.C)} and {problem.loss.name!r}; "
        f"method={choose(problem, np.inf).method.name!r} takes them"
    )


def _has_hinges(problem: Problem) -> bool:
    """Whether each sample has several outputs, with kinks."""
    return problem.n_outputs > 1 and problem.loss.is_piecewise_linear


def _one_output(problem: Problem) -> str | None:
    if (expected := _takes_kernels(problem)) is not None or problem.n_outputs == 1:
        return expected
    return (
        f"a loss of one output, got {problem.loss.name!r} of {problem.n_outputs}; "
        "method='interior-point' takes it"
    )


def _near_by_features(problem: Problem, run: Run, near: Near) -> Certificate | None:
    return solve_near_by_features(problem, run, near.dual_coef, near.weights)


def _linear_program(problem: Problem, run: Run) -> Certificate:
    from gnorm.solvers import linear_program  # loads cvxpy

    return linear_program.solve(problem, run)


def _conic(solver: str) -> Callable[[Problem, Run], Certificate]:
    def solve_by_cvxpy(problem: Problem, run: Run) -> Certificate:
        from gnorm.solvers import conic  # loads cvxpy

        return conic.solve(problem, run, solver=solver)

    return solve_by_cvxpy


@dataclass(frozen=True)
class Method:
    """One way to solve a problem.

    Attributes
    ----------
    name : str
        What users call it.
    summary : str
        What it is and when it suits.
    solve : callable
        From a problem and a run to a certificate.
    max_iter : int
        Most iterations by default.
    bytes_needed : callable
        From a problem to the memory that it is known to need, in bytes.
    solve_near : callable, default=None
        From a problem, a run and a solution of a similar problem to a certificate, or None if the
        start led nowhere; None for a method that always begins anew.
    refuses : callable, default=None
        From a problem to what the method expects and would do instead, None if it takes it; None
        for a method that takes every problem.
    uses_gram : bool, default=False
        Whether it uses the Gram matrix, which problems of one design can share.
    """

    name: str
    summary: str
    solve: Callable[[Problem, Run], Certificate]
    max_iter: int
    bytes_needed: Callable[[Problem], float]
    solve_near: Callable[[Problem, Run, Near], Certificate | None] | None = None
    refuses: Callable[[Problem], str | None] | None = None
    uses_gram: bool = False

    def check_problem(self, problem: Problem) -> None:
        """Raise ValueError if it does not take such a problem."""
        if self.refuses is not None and (expected := self.refuses(problem)) is not None:
            raise ValueError(f"method={self.name!r} expected {expected}")

    def check_memory(self, problem: Problem, limit: float) -> None:
        """Raise MemoryError if it is known to need more than the limit in bytes."""
        if (need := self.bytes_needed(problem)) > limit:
            raise MemoryError(
                f"expected a memory_limit of at least {need:.1e} bytes for method={self.name!r} on "
                f"{len(problem.y)} samples, got {limit:.1e}"
            )


METHODS = {
    method.name: method
    for method in (
        Method(
            "interior-point",
            "interior point with all samples at once, in time cubic and memory quadratic in them",
            solve_by_samples,
            100,
            _sample_bytes,
            solve_near,
            _takes_kernels,
            uses_gram=True,
        ),
        Method(
            "working-set",
            "interior point on the samples that shape the solution, certified on all",
            solve_by_active_set,
            100,
            _few_bytes,
            solve_near,
            _takes_kernels,
            uses_gram=True,
        ),
        Method(
            "primal",
            "interior point through the features, in time and memory linear in the samples, for "
            "many samples of few gated features",
            solve_by_features,
            100,
            _feature_bytes,
            _near_by_features,
            _one_output,
        ),
        Method(
            "factored",
            "L-BFGS on the weights of the network, for the nuclear norm and for several outputs of "
            "many samples",
            solve_by_factors,
            10_000,
            _none,
            refuses=_takes_factors,
        ),
        Method(
            "highs",
            "linear programs, for L1 and MaxAbs with hard margins or piecewise linear losses",
            _linear_program,
            100,
            _none,
            refuses=_takes_lines,
        ),
        Method(
            "clarabel", "interior point of CLARABEL through cvxpy", _conic("CLARABEL"), 200, _none
        ),
        Method("scs", "first-order method of SCS through cvxpy", _conic("SCS"), 100_000, _none),
    )
}


@dataclass(frozen=True)
class Choice:
    """A method and the reason for it, with the numbers that decided."""

    method: Method
    reason: str


def get_method(name: str) -> Method:
    """Return a method by its name.

    Raises
    ------
    ValueError
        If there is none; names those there are.
    """
    if not isinstance(name, str) or name not in METHODS:
        raise ValueError(f"method must be one of {['auto', *METHODS]}, got {name!r}")
    return METHODS[name]


def table() -> str:
    """Markdown table of the methods, for the documentation."""
    rows = [
        f"| `{method.name}` | {method.summary} | {method.max_iter:,} | "
        f"{'a solution near' if method.solve_near is not None else 'anew'} |"
        for method in METHODS.values()
    ]
    head = ["| method | what it is | most iterations | starts from |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def choose(problem: Problem, limit: float) -> Choice:
    """Choose the method that is likely the fastest of those that fit into a memory of `limit`."""
    n_samples, norm = len(problem.y), problem.design.norm
    if not isinstance(norm, UnitNorm) or _has_hinges(problem):
        return _choose_for_norm(problem)
    if problem.n_outputs > 1:
        return _choose_for_outputs(problem, limit)
    if n_samples <= FEW:  # the least memory, too
        return _choice("interior-point", f"{n_samples} samples are few (at most {FEW})")
    n_coded, size = problem.design.n_coded_features, problem.design.system_size.equivalent
    ratio, sizes = TALL, f"{n_samples} samples, {n_coded} gated features"
    if size < n_coded:
        sizes = f"{sizes}, in levels as fast as {size}"
    if (spread := _spread(problem.design.X)) > UNEVEN:
        # the working set would lose digits, and go on in double precision
        ratio, sizes = 1, f"{sizes} of norms up to {spread:.0e} times that of others"
    is_tall = n_samples >= ratio * size
    if is_tall and problem.is_hard.any():
        # hard margins of tall data are nearly degenerate, and through the features they may stall
        return _choice("working-set", f"{sizes}, but a hard margin")
    need = METHODS["primal"].bytes_needed(problem)
    if is_tall and need <= limit:
        return _choice("primal", f"{sizes}: at least {ratio} samples a feature")
    if is_tall:
        return _choice("working-set", f"{sizes}: primal would take {need:.1e} bytes of {limit:.1e}")
    return _choice("working-set", f"{sizes}: fewer than {ratio} samples a feature")


def _choose_for_outputs(problem: Problem, limit: float) -> Choice:
    """Choose for a smooth loss of several outputs.

    An interior point takes some ten Cholesky factors an output. Descent takes a hundred passes over
    the samples, more where the loss is steep, and these cost the less where samples are many.
    """
    sizes = f"{len(problem.y)} samples of {problem.n_outputs} outputs"
    if not _is_factored(problem):
        return _choice("interior-point", f"{sizes}, and the norm is not one of two layers")
    need = METHODS["interior-point"].bytes_needed(problem)
    if need > limit:
        return _choice("factored", f"{sizes}: interior-point takes {need:.1e} bytes of {limit:.1e}")
    design = problem.design
    curvature = float(np.mean(problem.C)) * design.max_input_norm**2
    n_passes = _PASSES * np.sqrt(max(curvature / _STEEP, 1.0))
    most = max(float(FEW), float(np.sqrt(n_passes * design.n_gates * design.n_features)))
    if len(problem.y) <= most:
        return _choice("interior-point", f"{sizes} are few (at most {most:.0f})")
    return _choice("factored", f"{sizes} are many (more than {most:.0f})")


def _choose_for_norm(problem: Problem) -> Choice:
    """Choose for a norm that is not made of kernels."""
    norm = type(problem.design.norm).__name__
    is_smooth = not problem.loss.is_piecewise_linear
    is_small = (
        isinstance(problem.design.norm, UnitNorm) and problem.zero_outputs.size <= _FEW_OUTPUTS
    )
    is_large = (problem.n_outputs > 1 and not is_small) or not _has_small_cones(problem)
    if _is_factored(problem) and (is_smooth or is_large):
        return _choice("factored", f"{norm} is the least cost of two factors")
    if _is_linear(problem):
        return _choice("highs", f"{norm} is polyhedral, and the loss piecewise linear")
    return _choice("clarabel", f"{norm} has no method of its own for this loss")


def further_choices(problem: Problem, first: Method) -> list[Method]:
    """Methods to try in turn where one that was chosen gave up, as far as they may do better."""
    names: list[str] = []
    if not isinstance(problem.design.norm, UnitNorm) or _has_hinges(problem):
        if first.name == "clarabel":
            names += ["factored"] * (_has_hinges(problem) and _is_factored(problem))
        else:
            names += ["clarabel"] * _has_small_cones(problem)
    elif problem.n_outputs > 1:
        names += ["interior-point", *["factored"] * _is_factored(problem)]
        names += ["clarabel"] * (problem.zero_outputs.size <= _FEW_OUTPUTS)
    else:
        if problem.design.system_size.equivalent <= max(len(problem.y), _FEW_FEATURES):
            names += ["primal"]
        # Descent needs no digits of a Newton matrix.
        names += ["factored"] * _is_factored(problem)
        names += ["working-set"] * (first.name == "primal")
    return [METHODS[name] for name in names if name != first.name]


def _has_small_cones(problem: Problem) -> bool:
    """Whether CLARABEL comes to an end: one that is given semidefinite matrices may take hours."""
    norm = problem.design.norm
    if not isinstance(norm, Nuclear):
        return True
    _, n_rows, n_columns = norm.matrix_shape(problem.design.array_shape(problem.n_outputs))
    return n_rows + n_columns <= _FEW_ROWS


def _choice(name: str, reason: str) -> Choice:
    return Choice(METHODS[name], reason)


def _spread(X: Any) -> float:
    """Largest over smallest norm of an input feature that is not zero."""
    squares = X.multiply(X).sum(axis=0) if issparse(X) else np.einsum("nd,nd->d", X, X)
    norms = np.sqrt(squares[squares > 0])
    return float(norms.max() / norms.min()) if len(norms) else 1.0
