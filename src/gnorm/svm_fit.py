"""What fitting a classifier consists of: its data, warm starts, and the problems of the classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_scalar
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from gnorm.margin.design import GatedDesign
from gnorm.margin.engine import solve_merged
from gnorm.margin.merge import Merged
from gnorm.margin.solution import MarginSolution, NotSeparableError
from gnorm.margin.warm import Near

__all__ = ["Before", "Data", "check_positive", "in_parallel", "of_all_samples", "solve_class"]

_FARTHEST = 1.6  # times the last C up to which its solution is a good start; downwards all are


@dataclass(frozen=True, eq=False)
class Data:
    """Training samples of positive weight.

    Attributes
    ----------
    X : {ndarray, CSR matrix} of shape (n_kept, n_features)
        Inputs.
    labels : ndarray of int, shape (n_kept,)
        Indices of their classes.
    classes : ndarray of shape (n_classes,)
        The classes.
    sample_weight : ndarray of shape (n_kept,)
        Sample weights.
    weight : ndarray of shape (n_kept,)
        Sample weights times class weights.
    kept : ndarray of int, shape (n_kept,)
        Which of all samples these are.
    n_samples : int
        How many there were.
    """

    X: Any
    labels: np.ndarray
    classes: np.ndarray
    sample_weight: np.ndarray
    weight: np.ndarray
    kept: np.ndarray
    n_samples: int

    def signs(self) -> np.ndarray:
        """Labels -1 and 1 of each problem, shape (n_problems, n_kept)."""
        positives = np.arange(len(self.classes))[1 if len(self.classes) == 2 else 0 :]
        return np.where(self.labels == positives[:, None], 1.0, -1.0)

    def part(self, rows: np.ndarray) -> Data:
        """Return some of the samples, with the weights they have among all."""
        return replace(
            self,
            X=self.X[rows],
            labels=self.labels[rows],
            sample_weight=self.sample_weight[rows],
            weight=self.weight[rows],
            kept=self.kept[rows],
        )

    @cached_property
    def digest(self) -> str:
        """Fingerprint of what gates learn from."""
        is_sparse = sparse.issparse(self.X)
        parts = (self.X.data, self.X.indices, self.X.indptr) if is_sparse else (self.X,)
        digest = blake2b(repr((is_sparse, self.X.shape)).encode(), digest_size=16)
        for part in (*parts, self.weight):
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Before:
    """What a warm start takes from the call of fit before.

    Attributes
    ----------
    gates : transformer
        The fitted gates.
    params : dict
        Their parameters as they were then.
    digest : str
        Fingerprint of what they learned from.
    Cs : ndarray of shape (n_problems,)
        The weights of the hinge loss.
    n_samples : int
        Samples of positive weight.
    support : ndarray of shape (n_support,)
        Those that support a predictor.
    zeta : ndarray of shape (n_problems, n_units, n_contexts, n_features)
        Unit weights.
    dual_coef : ndarray of shape (n_problems, n_support)
        Dual coefficients times labels.
    is_bounded : ndarray of bool, shape (n_problems, n_support)
        Which of them are at their upper bounds.
    """

    gates: Any
    params: dict[str, Any]
    digest: str
    Cs: np.ndarray
    n_samples: int
    support: np.ndarray
    zeta: np.ndarray
    dual_coef: np.ndarray
    is_bounded: np.ndarray

    def gates_like(self, gates: Any, digest: str) -> Any:
        """Return the fitted gates if these would become the same, else None."""
        now = gates.get_params()
        is_same = self.params.keys() == now.keys() and all(
            now[name] is value or np.array_equal(now[name], value)
            for name, value in self.params.items()
        )
        is_same = is_same and type(gates) is type(self.gates) and digest == self.digest
        return self.gates if is_same else None

    def starts(
        self, signs: np.ndarray, Cs: np.ndarray, design: GatedDesign, merged: Merged
    ) -> list[Near | None]:
        """Where each problem starts; None where shapes do not fit or C is far beyond the last."""
        shape = (len(signs), *design.activations.shape[1:], design.X.shape[1])
        if self.zeta.shape != shape or self.n_samples != signs.shape[1]:
            return [None] * len(signs)
        return [
            self._start(k, signs[k], merged.times(C).upper, design, merged)
            if _FARTHEST * self.Cs[k] >= C
            else None
            for k, C in enumerate(Cs)
        ]

    def _start(
        self, k: int, sign: np.ndarray, upper: np.ndarray, design: GatedDesign, merged: Merged
    ) -> Near | None:
        """Start of one problem from its solution before."""
        signed, is_bounded = np.zeros((2, len(sign)))
        signed[self.support] = self.dual_coef[k]
        is_bounded[self.support] = self.is_bounded[k]
        n_merged = len(merged.rows)
        # a sample that changed sides is no support any more
        dual_coef = np.bincount(merged.group, np.maximum(sign * signed, 0.0), n_merged)
        lengths = design.unit_norms(self.zeta[k])
        if not np.any(dual_coef) or not np.any(lengths):
            return None
        # one that was at its bound goes with it
        goes_along = np.bincount(merged.group, is_bounded, n_merged) > 0
        goes_along &= (dual_coef > 0) & np.isfinite(upper)
        dual_coef = np.where(goes_along, upper, np.minimum(dual_coef, upper))
        margins = sign[merged.rows] * design.decision_values(self.zeta[k])
        return Near(dual_coef, lengths / np.sum(lengths), margins)


def check_positive(value: Any, name: str, *, is_infinite_allowed: bool = False) -> None:
    """Raise unless a parameter is a positive number, finite unless infinity is allowed."""
    value = check_scalar(value, name, Real, min_val=0, include_boundaries="neither")
    if np.isnan(value) or (np.isinf(value) and not is_infinite_allowed):
        raise ValueError(f"{name} == {value}, must be > 0 and finite")


def in_parallel(n_jobs: int | None, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run tasks by joblib, in threads by default.

    Threads share the inputs and their Gram matrix. The limit of one BLAS thread each is set around
    all of them: set by each for itself, it would outlast the last one.
    """
    parallel = Parallel(n_jobs=n_jobs, prefer="threads")
    if len(tasks) == 1 or parallel.n_jobs == 1:
        return [task() for task in tasks]
    with threadpool_limits(1, user_api="blas"):
        return parallel(delayed(task)() for task in tasks)


def solve_class(
    design: GatedDesign,
    merged: Merged,
    sign: np.ndarray,
    C: float,
    near: Near | None,
    note: str,
    **options: Any,
) -> MarginSolution:
    """Solve one of the problems; runs in a worker. The note is for its failure, if any."""
    try:
        return solve_merged(design, sign, merged.times(C), near, **options)
    except NotSeparableError as error:
        if note:
            error.add_note(note)
        raise


def of_all_samples(error: NotSeparableError, data: Data) -> NotSeparableError:
    """Return the proof about the samples of positive weight as one about all."""
    of_all = error.scattered(data.kept, data.n_samples)
    for note in getattr(error, "__notes__", ()):
        of_all.add_note(note)
    return of_all
