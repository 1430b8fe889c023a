"""Which method solves a problem, and whether it fits into memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import psutil
from scipy.sparse import issparse

from gnorm.margin.problem import MarginProblem

__all__ = ["Choice", "available_memory", "check_memory", "choose", "n_coded_features"]

FEW = 400  # samples that are not worth choosing from
TALL = 4  # samples a coded feature from which on the features are the smaller side
UNEVEN = 1e3  # largest over smallest norm of a feature from which on single precision gets lost


@dataclass(frozen=True)
class Choice:
    """A method and the reason for it.

    Attributes
    ----------
    method : str
        Name of the method.
    reason : str
        Why this one, with the numbers that decided.
    """

    method: str
    reason: str


def available_memory() -> float:
    """Half of the memory that is free, in bytes."""
    return 0.5 * float(psutil.virtual_memory().available)


def _interior_point_bytes(problem: MarginProblem) -> float:
    """Peak memory of the interior point on all samples."""
    design = problem.design
    n_samples, n_gates = len(problem.y), design.n_units * design.n_contexts
    per_sample = 6 * n_gates + 4 * design.n_units + 40
    return 8.0 * (2.2 * n_samples**2 + per_sample * n_samples + 4 * n_gates * design.X.shape[1])


def _primal_bytes(problem: MarginProblem) -> float:
    """Peak memory of the interior point through the features."""
    design = problem.design
    n_features = design.X.shape[1]
    n_coded = n_coded_gates(problem)
    per_sample = 8 * (40 + 3.5 * design.n_units + 1.5 * n_features) + 2 * n_coded
    return 1e6 + per_sample * len(problem.y) + 44.0 * (n_coded * n_features) ** 2


_BYTES = {"interior-point": _interior_point_bytes, "primal": _primal_bytes}


def n_coded_gates(problem: MarginProblem) -> int:
    """Columns that the gates take: C - 1 a unit and one more if one of C contexts is on."""
    design = problem.design
    n_units, n_contexts = design.activations.shape[1:]
    is_coded = design.is_one_hot and n_contexts > 1
    return int(n_units * (n_contexts - 1) + 1 if is_coded else n_units * n_contexts)


def n_coded_features(problem: MarginProblem) -> int:
    """Features of these gates together, the size of the systems of "primal"."""
    return n_coded_gates(problem) * int(problem.design.X.shape[1])


def check_memory(problem: MarginProblem, method: str, limit: float) -> None:
    """Raise MemoryError if a method is known to need more than the limit in bytes.

    The working set checks what it needs itself, since it depends on the samples near the margin.
    """
    if method in _BYTES and (need := _BYTES[method](problem)) > limit:
        raise MemoryError(
            f"expected a memory_limit of at least {need:.1e} bytes for method={method!r} on "
            f"{len(problem.y)} samples, got {limit:.1e}"
        )


def _spread(problem: MarginProblem) -> float:
    """Largest over smallest norm of an input feature that is not zero."""
    X = problem.design.X
    squares = X.multiply(X).sum(axis=0) if issparse(X) else np.einsum("nd,nd->d", X, X)
    norms = np.sqrt(squares[squares > 0])
    return float(norms.max() / norms.min()) if len(norms) else 1.0


def choose(problem: MarginProblem, limit: float) -> Choice:
    """Choose the method that is likely the fastest of those that fit.

    Parameters
    ----------
    problem : MarginProblem
        The problem.
    limit : float
        Memory in bytes.

    Returns
    -------
    Choice
        Method and reason.
    """
    n_samples = len(problem.y)
    if n_samples <= FEW:  # the least memory, too
        return Choice("interior-point", f"{n_samples} samples are few (at most {FEW})")
    n_coded = n_coded_features(problem)
    ratio, sizes = TALL, f"{n_samples} samples, {n_coded} gated features"
    if (spread := _spread(problem)) > UNEVEN:
        # the working set would stall, and start again and again
        ratio, sizes = 1, f"{sizes} of norms up to {spread:.0e} times that of others"
    is_tall = n_samples >= ratio * n_coded
    if is_tall and problem.is_hard.any():
        # hard margins of tall data are nearly degenerate, and through the features they may stall
        return Choice("working-set", f"{sizes}, but a hard margin")
    need = _primal_bytes(problem)
    if is_tall and need <= limit:
        return Choice("primal", f"{sizes}: at least {ratio} samples a feature")
    if is_tall:
        return Choice("working-set", f"{sizes}: primal would take {need:.1e} bytes of {limit:.1e}")
    return Choice("working-set", f"{sizes}: fewer than {ratio} samples a feature")
