"""Solve by the method that suits, and by other means where it gives up.

In other units where inputs are of extreme lengths, with hard margins where bounds are too far away
to be seen, with heavier weights of some samples, by the second choice and with lighter weights
where a method ends above the tolerance, at equal scales and by linear programs where nothing has
separated. What is returned is certified on the problem as it was given.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from gnorm.norms import UnitNorm
from gnorm.solvers.active_set.start import Near
from gnorm.solvers.certify import Certificate, better, certify
from gnorm.solvers.equilibrate import equilibrated
from gnorm.solvers.memory import available_memory
from gnorm.solvers.methods import Method, choose, further_choices, get_method
from gnorm.solvers.pairs import paired
from gnorm.solvers.problem import Problem
from gnorm.solvers.run import Report, Run, print_table
from gnorm.solvers.scaling import heavier, lighter, scaled
from gnorm.solvers.separability import PROOF, raise_if_not_separable
from gnorm.solvers.separation import separation
from gnorm.solvers.solution import NotSeparableError, Status
from gnorm.solvers.threads import one_blas
from gnorm.solvers.validation import check_options

__all__ = ["solve_certified"]

_DISTANT = 1e15  # weight at inputs of length 1 from which on a margin is tried as a hard one
_SEPARATED = 1e-2  # gap of a predictor that is to separate


def solve_certified(
    problem: Problem,
    near: Near | None = None,
    *,
    method: str = "auto",
    tol: float = 1e-6,
    max_iter: int | None = None,
    memory_limit: float | None = None,
    verbose: int = 0,
) -> tuple[Certificate, str, float]:
    """Choose, solve and certify; return the certificate, the name of the method and the seconds.

    From a start if it leads anywhere, else without, and "auto" by another method at last.
    """
    check_options(tol, max_iter, memory_limit)
    start = time.perf_counter()
    options: dict[str, Any] = {
        "method": method,
        "tol": tol,
        "max_iter": max_iter,
        "memory_limit": memory_limit,
        "verbose": verbose,
    }
    limit = available_memory() if memory_limit is None else float(memory_limit)
    found = _in_other_units(problem, near, limit, options)
    found = found or _with_hard_margins(problem, near, options)
    found = found or _as_one_output(problem, limit, options)
    found = found or _by_methods(problem, near, limit, options)
    return *found, time.perf_counter() - start


def _in_other_units(
    problem: Problem, near: Near | None, limit: float, options: dict[str, Any]
) -> tuple[Certificate, str] | None:
    """Solve in the unit of the data; None if the problem is near enough to that."""
    other_units = scaled(problem)
    if other_units is None:
        return None
    near = None if near is None else other_units.near(near)
    with np.errstate(all="ignore"):  # what is out of range ends the iteration
        certificate, name, _ = solve_certified(other_units.problem, near, **options)
    certificate = other_units.certified(certificate, options["tol"])
    return _separated_if_given_up(problem, certificate, get_method(name), limit, options), name


def _with_hard_margins(
    problem: Problem, near: Near | None, options: dict[str, Any]
) -> tuple[Certificate, str] | None:
    """Solve the hard margin in place of bounds that are too far away; None if that is not it."""
    if (hard := _as_hard(problem)) is None:
        return None
    with suppress(NotSeparableError):
        found, name, _ = solve_certified(hard, near, **options)
        certificate = found.on(problem, options["tol"])
        if certificate.gap <= options["tol"] or found.point.status is Status.INTERRUPTED:
            return certificate, name
    return None


def _as_one_output(
    problem: Problem, limit: float, options: dict[str, Any]
) -> tuple[Certificate, str] | None:
    """Solve hard margins of several outputs, under a norm of kernels, as those of one output.

    None if that is not it, another method is asked for, or memory is short.
    """
    norm, n_outputs = problem.design.norm, problem.n_outputs
    is_asked = options["method"] in ("auto", "interior-point", "working-set", "primal")
    if n_outputs == 1 or not (isinstance(norm, UnitNorm) and problem.is_hard.all() and is_asked):
        return None
    if 8.0 * problem.design.X.size * n_outputs**2 > limit:
        return None
    pairs = paired(problem)
    try:
        certificate, name, _ = solve_certified(pairs.problem, **options)
    except MemoryError:
        if options["method"] != "auto":
            raise
        return None
    except NotSeparableError as error:
        raise pairs.proof(error) from None
    return pairs.certified(certificate, options["tol"]), name


def _by_methods(
    problem: Problem, near: Near | None, limit: float, options: dict[str, Any]
) -> tuple[Certificate, str]:
    """Solve by the method that was chosen, and by others where it gives up."""
    method, tol, max_iter = options["method"], options["tol"], options["max_iter"]
    if method == "auto":
        choice = choose(problem, limit)
        chosen = choice.method
        if options["verbose"]:
            print(f"method {chosen.name}: {choice.reason}")
    else:
        chosen = get_method(method)
    report = print_table(time.perf_counter()) if options["verbose"] else None
    try:
        certificate = _run(problem, chosen, near, tol, max_iter, limit, report)
    except RuntimeError:  # of a conic solver
        if method != "auto":
            raise
        certificate = certify(problem, problem.nothing())
    if _gave_up(certificate, chosen, tol):
        others = [(other, chosen) for other in lighter(problem)]
        if method == "auto":
            further = further_choices(problem, chosen)
            fits = [each for each in further if each.bytes_needed(problem) <= limit]
            others = [*((problem, each) for each in fits), *others]
        others = [*((other, chosen) for other in heavier(problem)), *others]
        certificate, chosen = _by_other_means(
            problem, certificate, chosen, others, (tol, max_iter, limit, report)
        )
    return _separated_if_given_up(problem, certificate, chosen, limit, options), chosen.name


def _separated_if_given_up(
    problem: Problem,
    certificate: Certificate,
    chosen: Method,
    limit: float,
    options: dict[str, Any],
) -> Certificate:
    """Separate at last what a method has left without a predictor."""
    if np.isinf(certificate.gap) and _gave_up(certificate, chosen, options["tol"]):
        return _separated(problem, certificate, options["tol"], limit)
    return certificate


def _separated(problem: Problem, certificate: Certificate, tol: float, limit: float) -> Certificate:
    """Separate at equal scales what was not, and keep the dual point; raise the proof if any.

    What lacks memory is left out, and an interrupt from the keyboard ends it all.
    """
    if not problem.is_hard.any():
        return certificate
    pairs = paired(problem) if problem.n_outputs > 1 else None
    for separate in (_separate_at_equal_scales, _separate_by_linear_program):
        try:
            zeta = separate(problem if pairs is None else pairs.problem, limit)
        except MemoryError:
            continue
        except NotSeparableError as error:
            raise error if pairs is None else pairs.proof(error) from None
        except KeyboardInterrupt:
            return certificate.ended(Status.INTERRUPTED)
        if zeta is not None:
            zeta = zeta if pairs is None else pairs.zeta(zeta)
            with np.errstate(over="ignore", invalid="ignore"):
                other = certificate.on(problem, tol, zeta=zeta)
            if other.gap < certificate.gap:
                return other
    return certificate


def _separate_at_equal_scales(problem: Problem, limit: float) -> np.ndarray | None:
    brought = equilibrated(problem)
    method = choose(brought.problem, limit).method
    try:
        found = _run(brought.problem, method, None, _SEPARATED, None, limit, None)
    except NotSeparableError as error:
        if (proof := brought.proof(error)) is not None:
            raise proof from None
        return None
    if found.point.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    return None if np.isinf(found.gap) else brought.zeta(found.zeta)


def _separate_by_linear_program(problem: Problem, limit: float) -> np.ndarray | None:
    zeta, b = separation(problem, limit)
    if b is not None:
        raise_if_not_separable(problem, b, PROOF)
    return None if zeta is None else problem.design.canonical(zeta)


def _as_hard(problem: Problem) -> Problem | None:
    """Return hard margins in place of the bounds of a hinge that are too far away to be seen."""
    length = problem.design.max_input_norm
    is_distant = ~problem.is_hard & (problem.C * length * length >= _DISTANT)
    if not problem.loss.is_exact_penalty or not np.any(is_distant):
        return None
    return replace(problem, C=np.where(is_distant, np.inf, problem.C))


def _by_other_means(
    problem: Problem,
    certificate: Certificate,
    chosen: Method,
    others: list[tuple[Problem, Method]],
    options: tuple[float, int | None, float, Report | None],
) -> tuple[Certificate, Method]:
    """Try others in turn where a method gave up; keep the best points, and whose weights they are.

    One that fails leaves what there is, and an interrupt from the keyboard ends them all.
    """
    tol, report = options[0], options[3]
    for other, method in others:
        if report is not None:
            weights = "" if other is problem else " with other weights"
            ended = f"{chosen.name} ended at a gap of {certificate.gap:.1e}"
            print(f"method {method.name}{weights}: {ended}")
        try:
            found = _run(other, method, None, *options)
        except (RuntimeError, ArithmeticError, MemoryError, np.linalg.LinAlgError) as error:
            if report is not None:
                print(f"method {method.name} failed: {error}")
            continue
        except KeyboardInterrupt:  # before it had a point of its own
            return certificate.ended(Status.INTERRUPTED), chosen
        is_interrupted = found.point.status is Status.INTERRUPTED
        if other is not problem:
            found = found.on(problem, tol)
        chosen = method if found.primal_value < certificate.primal_value else chosen
        certificate = better(problem, certificate, found, tol)
        if is_interrupted:
            return certificate.ended(Status.INTERRUPTED), chosen
        if certificate.gap <= tol:
            break
    return certificate, chosen


def _run(
    problem: Problem,
    method: Method,
    near: Near | None,
    tol: float,
    max_iter: int | None,
    limit: float,
    report: Report | None,
) -> Certificate:
    """Solve by one method. An interrupt from the keyboard ends it with the best point so far."""
    method.check_problem(problem)
    method.check_memory(problem, limit)
    run = Run(tol, method.max_iter if max_iter is None else int(max_iter), report, limit)
    try:
        with one_blas(len(problem.y)):
            if near is not None and method.solve_near is not None:
                certificate = method.solve_near(problem, run, near)
                if certificate is not None:
                    return certificate
                run = Run(tol, run.max_iter, report, limit)
            return method.solve(problem, run)
    except KeyboardInterrupt:
        if run.best_so_far is None:
            raise
        return certify(problem, run.best_so_far(Status.INTERRUPTED), tol)


def _gave_up(certificate: Certificate, method: Method, tol: float) -> bool:
    """Whether a method ended above the tolerance, and not because it was told to."""
    point = certificate.point
    is_spent = point.n_iter >= method.max_iter and point.status is not Status.INTERRUPTED
    is_unfinished = point.status in (Status.STALLED, Status.OPTIMAL)  # it may think otherwise
    return certificate.gap > tol and (is_unfinished or is_spent)
