"""What a fit consists of beside its problems: checked data, the record of the last, and workers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import blake2b
from numbers import Integral, Real
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from joblib import hash as joblib_hash
from scipy import sparse
from sklearn import config_context, get_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_scalar
from tqdm import tqdm

from gnorm.estimators.filters import kept_filters
from gnorm.gates.columns import take_rows
from gnorm.gating import ContextWeights
from gnorm.losses import Loss
from gnorm.norms import UnitNorm
from gnorm.solvers import Near
from gnorm.solvers.threads import one_blas_thread

__all__ = [
    "PreviousFit",
    "TrainingData",
    "all_or_nothing",
    "at_bounds",
    "check_positive",
    "completed",
    "in_parallel",
]

_FARTHEST = 1.6  # times the last C up to which its solution is a good start; downwards all are
_BOUNDARY = 1e-6  # share of a bound from which a dual coefficient counts as at it


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Training samples of positive weight.

    Attributes
    ----------
    X : {ndarray, CSR matrix} of shape (n_kept, n_features)
        Inputs.
    y : ndarray of shape (n_kept,) or (n_kept, n_targets)
        Indices of their classes, or their targets.
    classes : ndarray of shape (n_classes,)
        The classes, none for targets.
    sample_weight : ndarray of shape (n_kept,)
        Sample weights.
    weight : ndarray of shape (n_kept,)
        Sample weights times class weights.
    kept : ndarray of int, shape (n_kept,)
        Which of all samples these are.
    n_samples : int
        How many there were.
    source : {data frame, ndarray, CSR matrix} of shape (n_kept, n_columns), default=None
        All columns as the user gave them, where the gates see others than the linear map.
    feature_names : ndarray of str objects of shape (n_features,), default=None
        Names of the inputs, where they have names that are all strings.
    """

    X: Any
    y: np.ndarray
    classes: np.ndarray
    sample_weight: np.ndarray
    weight: np.ndarray
    kept: np.ndarray
    n_samples: int
    source: Any = None
    feature_names: np.ndarray | None = None

    def part(self, rows: np.ndarray) -> TrainingData:
        """Return some of the samples, with the weights they have among all."""
        return replace(
            self,
            X=self.X[rows],
            y=self.y[rows],
            sample_weight=self.sample_weight[rows],
            weight=self.weight[rows],
            kept=self.kept[rows],
            source=None if self.source is None else take_rows(self.source, rows),
        )

    def weighted(self, factors: np.ndarray) -> TrainingData:
        """Return the same samples with these class weights, shape (n_kept,)."""
        return replace(self, weight=self.sample_weight * factors)

    @property
    def inputs(self) -> Any:
        """Inputs as the user gave them, for what predicts."""
        return self.X if self.source is None else self.source

    @cached_property
    def truth(self) -> np.ndarray:
        """Labels or targets as the user gave them, shape (n_kept,) or (n_kept, n_targets)."""
        return self.classes[self.y] if len(self.classes) else self.y

    @cached_property
    def digest(self) -> str:
        """Fingerprint of the inputs and weights, which gates learn from."""
        is_sparse = sparse.issparse(self.X)
        parts = (self.X.data, self.X.indices, self.X.indptr) if is_sparse else (self.X,)
        digest = blake2b(repr((is_sparse, self.X.shape)).encode(), digest_size=16)
        for part in (*parts, self.weight):
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest() + ("" if self.source is None else joblib_hash(self.source))

    @cached_property
    def target_digest(self) -> str:
        """Fingerprint of the labels or targets, which some gates learn from."""
        return joblib_hash(np.ascontiguousarray(self.truth))


@dataclass(frozen=True, eq=False)
class PreviousFit:
    """What a warm start takes from the call of ``fit`` before.

    Attributes
    ----------
    gates : transformer
        The fitted gates.
    params : dict
        Their parameters as they were then.
    digest : str
        Fingerprint of what they learned from.
    loss : Loss
        The loss.
    C : float
        Its weight.
    n_samples : int
        Samples of positive weight.
    support : ndarray of int, shape (n_support,)
        Those with a dual coefficient other than zero.
    zeta : ContextWeights of shape (n_outputs, n_units, n_contexts, n_features)
        Unit weights.
    dual_coef : ndarray of shape (n_outputs, n_support)
        Their dual coefficients, signed.
    is_bounded : ndarray of bool, shape (n_outputs, n_support)
        Which of these are at an end of their domain.
    """

    gates: Any
    params: dict[str, Any]
    digest: str
    loss: Loss
    C: float
    n_samples: int
    support: np.ndarray
    zeta: ContextWeights
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
        self, problems: np.ndarray, loss: Loss, C: float, design: Any, merged: Any
    ) -> list[Near | None]:
        """Where each problem starts; None where it is another one or C is far beyond the last.

        Methods for norms that are not made of kernels begin anew.
        """
        shape = (*design.activations.shape[1:], design.X.shape[1])
        is_similar = self.zeta.shape[1:] == shape and self.n_samples == problems.shape[1]
        is_similar = is_similar and isinstance(design.norm, UnitNorm)
        if not is_similar or loss != self.loss or _FARTHEST * self.C < C:
            return [None] * len(problems)
        weights: Any = self.zeta  # that of a pickle may be an array
        if not isinstance(weights, ContextWeights):
            weights = ContextWeights.from_array(weights)
        each = weights.resized(design.gating.n_contexts).rows
        if len(problems) == 1 and loss.n_outputs(problems[0]) == len(each) > 1:
            return [self._joint_start(each, problems[0][merged.rows], C, design, merged)]
        if len(problems) != len(each):
            return [None] * len(problems)
        return [self._start(k, each[k], y, C, design, merged) for k, y in enumerate(problems)]

    def _joint_start(
        self, each: np.ndarray, y: np.ndarray, C: float, design: Any, merged: Any
    ) -> Near | None:
        """Start of the one problem of all classes: the point that its outputs name."""
        zeta = np.moveaxis(each, 0, -1).reshape(each.shape[1], -1)
        shares = design.norm.unit_norms(design.of_units(zeta))
        if not np.any(shares):
            return None
        outputs = design.decision_values(zeta)
        coef = -self.loss.derivative(y, outputs, merged.times(C))
        return Near(coef, shares / np.sum(shares), outputs)

    def _start(
        self, k: int, zeta: np.ndarray, y: np.ndarray, C: float, design: Any, merged: Any
    ) -> Near | None:
        """Start of one problem from its solution before."""
        signed, is_bounded = np.zeros((2, len(y)))
        signed[self.support] = self.dual_coef[k]
        is_bounded[self.support] = self.is_bounded[k]
        n_distinct = len(merged.rows)
        coef = np.bincount(merged.group, signed, n_distinct)
        # a coefficient that was at its bound goes with it, and none is beyond: the label of a
        # sample that changed sides makes it zero
        lower, upper = self.loss.domain(y[merged.rows], merged.times(C))
        ends = np.where(coef > 0, upper, lower)
        goes_along = np.bincount(merged.group, is_bounded, n_distinct) > 0
        goes_along &= (coef != 0) & np.isfinite(ends)
        coef = np.where(goes_along, ends, np.clip(coef, lower, upper))
        shares = design.norm.unit_norms(design.of_units(zeta))
        if not np.any(coef) or not np.any(shares):
            return None
        return Near(coef, shares / np.sum(shares), design.decision_values(zeta))


def at_bounds(
    loss: Loss, problems: np.ndarray, dual_coef: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Which signed dual coefficients are at an end of their domain, but for rounding.

    Parameters
    ----------
    loss : Loss
        Loss of one output.
    problems : ndarray of shape (n_problems, n_samples)
        Targets of each problem.
    dual_coef : ndarray of shape (n_problems, n_samples)
        Dual coefficients.
    weight : ndarray of shape (n_samples,)
        Weights of the losses.

    Returns
    -------
    ndarray of bool, shape (n_problems, n_samples)
        Whether they are.
    """
    domains = [loss.domain(y, weight) for y in problems]
    ends = np.array(
        [
            np.where(b > 0, upper, lower)
            for b, (lower, upper) in zip(dual_coef, domains, strict=True)
        ]
    )
    is_at: np.ndarray = np.abs(dual_coef) >= (1.0 - _BOUNDARY) * np.abs(ends)
    return is_at & (dual_coef != 0)


@contextmanager
def all_or_nothing(estimator: Any) -> Iterator[None]:
    """Forget the fit before; come back to it if the new one fails."""
    before = estimator.__dict__.copy()
    for name in before:
        if name.endswith("_"):
            delattr(estimator, name)
    try:
        yield
    except BaseException:  # Ctrl-C as well; it is raised again
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        raise


def check_positive(value: Any, name: str, *, is_infinite_allowed: bool = False) -> None:
    """Raise unless a parameter is a positive number, finite unless infinity is allowed."""
    value = check_scalar(value, name, Real, min_val=0, include_boundaries="neither")
    if np.isnan(value) or (np.isinf(value) and not is_infinite_allowed):
        raise ValueError(f"{name} == {value}, must be > 0 and finite")


def in_parallel(
    n_jobs: int | None, tasks: Sequence[Callable[[], Any]], *, progress: str | None = None
) -> list[Any]:
    """Run tasks by joblib, in threads by default, which share the inputs and their Gram matrix.

    With ``progress``, what to call one of them, a bar shows how many are done.

    Workers see scikit-learn's configuration, which each thread has of its own. Its own ``Parallel``
    sets the filters of warnings in each worker as well; those are global, and left behind by
    threads that overlap. Where scikit-learn checks arrays it sets them, too: what that leaves
    behind ends with the tasks.
    """
    return_as = "list" if progress is None else "generator"
    return list(_results(n_jobs, tasks, progress, return_as))


def completed(
    n_jobs: int | None,
    tasks: Sequence[Callable[[], Any]],
    *,
    unit: str,
    progress: bool,
    group: int = 1,
) -> list[Any]:
    """Run tasks as :func:`in_parallel` does; after Ctrl-C return what is done of them.

    Parameters
    ----------
    n_jobs : int or None
        Tasks that run at the same time.
    tasks : sequence of callable
        The tasks, each as good a sample as the others.
    unit : str
        What to call one of them.
    progress : bool
        Whether to show a bar.
    group : int, default=1
        How many in a row count only together.

    Returns
    -------
    list
        Results in the order of the tasks.

    Raises
    ------
    KeyboardInterrupt
        If none is done.

    Warns
    -----
    ConvergenceWarning
        If not all are done.
    """
    done: list[Any] = []
    try:
        with closing(_results(n_jobs, tasks, unit if progress else None, "generator")) as results:
            for result in results:
                done.append(result)
    except KeyboardInterrupt:
        n_done = len(done) // group * group
        if n_done == 0:
            raise
        warnings.warn(
            f"interrupted: {n_done} of {len(tasks)} are done, and the result is of these",
            ConvergenceWarning,
            stacklevel=3,
        )
        return done[:n_done]
    return done


def _results(
    n_jobs: int | None, tasks: Sequence[Callable[[], Any]], progress: str | None, return_as: str
) -> Generator[Any, None, None]:
    is_number = isinstance(n_jobs, Integral) and n_jobs != 0
    if n_jobs is not None and not is_number:
        raise ValueError(f"expected n_jobs other than 0, an integer, or None, got {n_jobs!r}")
    parallel = Parallel(n_jobs=n_jobs, prefer="threads", return_as=return_as)
    bar = partial(tqdm, total=len(tasks), disable=progress is None, unit=progress or "")
    if len(tasks) == 1 or parallel.n_jobs == 1:
        yield from bar(task() for task in tasks)
        return
    config = get_config()
    with one_blas_thread(), kept_filters():
        yield from bar(parallel(delayed(_configured)(config, task) for task in tasks))


def _configured(config: dict[str, Any], task: Callable[[], Any]) -> Any:
    with config_context(**config):
        return task()
