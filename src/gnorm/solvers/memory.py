"""How many samples fit into the memory allowed."""

from __future__ import annotations

import numpy as np
import psutil

from gnorm.solvers.problem import Problem

__all__ = ["DOUBLE_BYTES", "GUESS_BYTES", "SINGLE_BYTES", "Memory", "available_memory"]

# Bytes per pair of samples.
GUESS_BYTES = 24.0  # kernel and what it is made of, copies and cache of LIBSVM
SINGLE_BYTES = 8.0  # Gram matrix and Newton matrix
DOUBLE_BYTES = 16.0  # the same two in double precision


def available_memory() -> float:
    """Half of the memory that is free, in bytes."""
    return 0.5 * float(psutil.virtual_memory().available)


class Memory:
    """What the active set may take.

    Parameters
    ----------
    problem : Problem
        The problem.
    limit : float
        Bytes, possibly infinite.

    Raises
    ------
    MemoryError
        If not even the products with the features fit.
    """

    def __init__(self, problem: Problem, limit: float) -> None:
        design = problem.design
        n_gates, n_features = design.n_open_gates, design.n_features
        # blocks of the products with the features, unit weights and what is made of them
        self._base = 1.5e8 + 40.0 * n_gates * n_features + 60.0 * len(problem.y)
        # inputs of the working set in both precisions, gates, codes and products
        self._more = design.n_matrices - 2
        self._per_sample = 20.0 * n_features + 40.0 * n_gates + 100.0
        self.limit = limit
        if self.limit < self._base:
            raise MemoryError(
                f"expected a memory_limit of at least {self._base:.1e} bytes for "
                f"{len(problem.y)} samples, {n_features} features and {n_gates} gates, "
                f"got {self.limit:.1e}"
            )

    def most(self, per_pair: float) -> float:
        """Samples of the largest set that fits at so many bytes per pair of them."""
        if np.isinf(self.limit):
            return np.inf
        per_pair += 0.5 * self._more * per_pair  # each is half of the two that there are else
        half = self._per_sample / (2 * per_pair)
        return float(np.floor(np.sqrt(half**2 + (self.limit - self._base) / per_pair) - half))

    def check(self, n_samples: int) -> None:
        """Raise MemoryError if a set cannot be solved, not even in single precision."""
        if n_samples > self.most(SINGLE_BYTES):
            need = (
                self._base
                + self._per_sample * n_samples
                + SINGLE_BYTES * (1 + self._more / 2) * n_samples**2
            )
            raise MemoryError(
                f"expected a memory_limit of at least {need:.1e} bytes for the {n_samples} samples "
                f"of the working set, got {self.limit:.1e}"
            )
