"""Cross-validation along the path, for an estimator to inherit from before its kind."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from numbers import Integral
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv
from sklearn.utils import check_scalar
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from gnorm.estimators.base import of_all_samples
from gnorm.estimators.data import TrainingData, all_or_nothing, in_parallel
from gnorm.losses import Loss
from gnorm.solvers import NotSeparableError, Solution, Status
from gnorm.solvers.api import share_gram
from gnorm.solvers.path import check_Cs, least_C, solve_path
from gnorm.solvers.problem import Problem

__all__ = [
    "PathCV",
    "RoutedCV",
    "given_Cs",
    "grid_of",
    "on_part",
    "path_of",
    "scorer_of",
    "scores_of",
    "splits_of",
    "warn_of",
    "warn_of_gaps",
]

_DECADES = 4.0  # of the default grid, beginning at the least C worth solving for


class RoutedCV:
    """Metadata for the splitter ``cv`` and the scorer ``scoring``, for a class to inherit from."""

    def get_metadata_routing(self: Any) -> MetadataRouter:
        """Say who may request the metadata of ``fit``: the splitter and the scorer.

        Returns
        -------
        MetadataRouter
            See :mod:`sklearn.utils.metadata_routing`.
        """
        return (
            MetadataRouter(owner=type(self).__name__)
            .add_self_request(self)
            .add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
            .add(
                scorer=self._scorer(),
                method_mapping=MethodMapping().add(caller="fit", callee="score"),
            )
        )

    def _routed(
        self: Any, sample_weight: ArrayLike | None, params: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What of the metadata goes to the splitter, and what to the scorer."""
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", sample_weight=sample_weight, **params)
            return routed.splitter.split, routed.scorer.score
        if params:
            raise TypeError(
                "expected X, y and sample_weight, as metadata routing is not enabled "
                f"(sklearn.set_config(enable_metadata_routing=True)), got {sorted(params)} as well"
            )
        return {}, {} if sample_weight is None else {"sample_weight": sample_weight}

    def _scorer(self: Any) -> Any:
        return scorer_of(self, self.scoring)


class PathCV(RoutedCV):
    """The choice of C by cross-validation."""

    warm_start = False  # there is no one C to start from

    def fit(
        self: Any, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, **params: Any
    ) -> Any:
        """Choose C by cross-validation, then fit.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training inputs.
        y : array-like of shape (n_samples,) or, for a regressor, (n_samples, n_targets)
            Class labels or targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative factors of ``C``. A sample of weight k counts as k copies that stay
            together in the splits, one of weight 0 as absent. Without metadata routing they go to
            the scorer, too; with it, if the scorer requests them.
        **params : dict
            Metadata that the scorer or the splitter of ``cv`` requests, such as ``groups``.
            scikit-learn's metadata routing must be enabled for it.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        NotSeparableError
            If ``Cs`` has an infinite entry and the training part of a split is not separable.
        TypeError
            If ``params`` are passed and metadata routing is not enabled.
        ValueError
            For malformed input; if a class is missing in the training part of a split; or if every
            C has a score that is NaN.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` ends a solve above ``tol``.
        UserWarning
            If some scores are NaN.
        """
        with all_or_nothing(self):
            data = self._checked(X, y, sample_weight)
            of_splitter, of_scorer = self._routed(sample_weight, params)
            splits = splits_of(self.cv, data, of_splitter, is_classifier=is_classifier(self))
            self.Cs_ = grid_of(self.Cs, self._for_worker(), data)
            task = partial(_score, self._for_worker(), data, self.Cs_, self._scorer(), of_scorer)
            tasks = [
                partial(task, train, test, f"split {number} of {len(splits)}")
                for number, (train, test) in enumerate(splits, 1)
            ]
            scores, gaps = map(np.stack, zip(*in_parallel(self.n_jobs, tasks), strict=True))
            warn_of(scores, gaps, self.tol)
            self.scores_ = scores
            self.C_ = self._best(scores)
            if self.refit:
                self._refit(data)
        return self

    def _refit(self: Any, data: TrainingData) -> None:
        self._fit_gates(data)
        self._fit_predictors(data, self.C_)

    def _best(self: Any, scores: np.ndarray) -> float:
        """The C of the best mean score."""
        means = scores.mean(axis=0)
        if not np.any(means > -np.inf):
            got = "NaN on some split" if np.isnan(means).any() else "minus infinity"
            raise ValueError(
                f"expected scores that are numbers, got {got} for every C; scoring={self.scoring!r}"
            )
        return float(self.Cs_[np.nanargmax(means)])

    def _for_worker(self: Any) -> Any:
        """Return the estimator without what is of no use to a worker and may not get there."""
        return clone(type(self)(**self.get_params(deep=False) | {"cv": None, "scoring": None}))


def scorer_of(estimator: Any, scoring: Any) -> Any:
    """Return the scorer of a name or callable; None is the accuracy or R²."""
    default = "accuracy" if is_classifier(estimator) else "r2"
    return get_scorer(default if scoring is None else scoring)


def warn_of(scores: np.ndarray, gaps: np.ndarray, tol: float) -> None:
    """Warn of what the splits found, which may have been in other processes."""
    warn_of_gaps(gaps, tol, "solves of the cross-validation", stacklevel=4)
    if n_without := np.count_nonzero(np.isnan(scores)):
        warnings.warn(
            f"{n_without} of {scores.size} scores are NaN; a C with one of them is not chosen",
            stacklevel=3,
        )


def warn_of_gaps(gaps: np.ndarray, tol: float, what: str, stacklevel: int = 3) -> None:
    """Warn once of gaps above the tolerance."""
    if unfinished := np.count_nonzero(gaps > tol):
        warnings.warn(
            f"{unfinished} of {gaps.size} {what} stopped above tol={tol:.1e}, at relative duality "
            f"gaps up to {np.max(gaps):.1e}",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )


def splits_of(
    given: Any, data: TrainingData, metadata: dict[str, Any], *, is_classifier: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test part of each split, as indices of the samples of positive weight.

    An int splits these; splits of the caller are about all samples.
    """
    if isinstance(given, list | tuple):
        for split in given:
            _checked_split(split, data.n_samples)
    cv = check_cv(given, data.y, classifier=is_classifier)
    if given is None or isinstance(given, Integral):
        return list(cv.split(data.X, data.y))
    position = np.full(data.n_samples, -1)
    position[data.kept] = np.arange(len(data.kept))
    y = np.zeros((data.n_samples, *data.y.shape[1:]), dtype=data.y.dtype)
    y[data.kept] = data.y
    splits = cv.split(np.zeros((data.n_samples, 1)), y, **metadata)
    parts = []
    for split in splits:
        rows = [position[part] for part in _checked_split(split, data.n_samples)]
        parts.append((rows[0][rows[0] >= 0], rows[1][rows[1] >= 0]))
    if not parts:
        raise ValueError("expected at least one split, got none")
    if any(len(part) == 0 for split in parts for part in split):
        raise ValueError("expected splits with samples of positive weight, got an empty part")
    return parts


def given_Cs(given: Any, loss: Loss) -> np.ndarray | None:
    """Return the Cs that are given, increasing, None where it is how many; raise if neither."""
    if not hasattr(given, "__len__") or isinstance(given, str):
        check_scalar(given, "Cs", Integral, min_val=1)
        return None
    Cs = check_Cs(given)
    if np.isinf(Cs[-1]) and not loss.allows_infinite_C:
        raise ValueError(f"expected finite Cs for the loss {loss!r}, got inf")
    return Cs


def grid_of(given: Any, model: Any, data: TrainingData) -> np.ndarray:
    """Return the Cs to choose from, increasing, for an estimator that may be fitted for it."""
    loss = model._loss_of(data)
    Cs = given_Cs(given, loss)
    if Cs is not None:
        return Cs
    model._see_columns(data)
    model._fit_gates(data)
    design, merged = model._prepare(data)
    least = min(least_C(design, merged, y, loss) for y in model._problems(data))
    if not np.isfinite(least):
        raise ValueError(
            "expected a unit in which classes do not coincide and targets are not zero, got a "
            "best predictor of zero for every C and no scale for C; pass the Cs to choose from"
        )
    return np.geomspace(least, 10.0**_DECADES * least, given)


def _checked_split(split: Any, n_samples: int) -> list[np.ndarray]:
    """Training and test part of a split of the caller, as indices or masks of all samples."""
    try:
        parts = [np.asarray(part) for part in split]
    except TypeError:
        parts = []
    if len(parts) != 2:
        raise ValueError(f"expected splits of a training and a test part, got {split!r}")
    for part in parts:
        is_mask = part.dtype == np.bool_ and part.shape == (n_samples,)
        is_index = part.dtype.kind in "iu" and part.ndim == 1
        is_index = is_index and bool(np.all((part >= -n_samples) & (part < n_samples)))
        if not (is_mask or is_index or part.size == 0):
            raise ValueError(
                f"expected splits by indices below {n_samples} or masks of {n_samples} samples, "
                f"got {part!r}"
            )
    return [part if part.size else np.empty(0, dtype=int) for part in parts]


def _score(
    model: Any,
    data: TrainingData,
    Cs: np.ndarray,
    scorer: Any,
    metadata: dict[str, Any],
    train: np.ndarray,
    test: np.ndarray,
    name: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Score each C on one split; runs in a worker.

    Returns
    -------
    scores : ndarray of shape (n_Cs,)
        The scores on the held-out part.
    gaps : ndarray of shape (n_problems, n_Cs)
        Duality gaps of what was scored.
    """
    start = perf_counter()
    model, part = on_part(model, data, train)
    scores, gaps = scores_of(model, part, data.part(test), Cs, scorer, metadata)
    if model.verbose:
        best = int(np.argmax(np.where(np.isnan(scores), -np.inf, scores)))
        print(
            f"{name}: best score {scores[best]:.4g} at C = {Cs[best]:.3g}, "
            f"{perf_counter() - start:.1f} s",
            flush=True,
        )
    return scores, gaps


def on_part(model: Any, data: TrainingData, train: np.ndarray) -> tuple[Any, TrainingData]:
    """Return a clone with gates fitted to the training part of a split, and that part."""
    model = clone(model)
    model._see_columns(data)
    part = model._weighted(data.part(train))
    model._check_part(part)
    model._fit_gates(part)
    return model, part


def scores_of(
    model: Any,
    part: TrainingData,
    held_out: TrainingData,
    Cs: np.ndarray,
    scorer: Any,
    metadata: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray]:
    """Score an estimator with fitted gates, solved on a part for each C, on what is held out."""
    metadata = {key: _of_samples(value, held_out) for key, value in metadata.items()}
    scores = np.empty(len(Cs))
    gaps: list[list[float]] = []
    # from the largest C down
    for k, solutions in zip(reversed(range(len(Cs))), path_of(model, part, Cs), strict=True):
        scores[k] = scorer(model, held_out.inputs, held_out.truth, **metadata)
        gaps.insert(0, [solution.duality_gap for solution in solutions])
    return scores, np.transpose(gaps)


def path_of(
    model: Any, part: TrainingData, Cs: np.ndarray, *, prepared: tuple[Any, Any] | None = None
) -> Iterator[list[Solution]]:
    """Let an estimator with fitted gates have the solutions for each C, from the largest down."""
    design, merged = model._prepare(part) if prepared is None else prepared
    loss, problems = model._loss_of(part), model._problems(part)
    options = {option: getattr(model, option) for option in ("method", "tol", "max_iter")}
    at_one = Problem(design, loss, problems[0][merged.rows], merged.times(1.0))
    options["memory_limit"] = share_gram(design, at_one, model.method, model.memory_limit)
    paths = [solve_path(design, merged, y, loss, Cs, **options) for y in problems]
    try:
        for solutions in zip(*paths, strict=True):  # all problems side by side
            if any(solution.status is Status.INTERRUPTED for solution in solutions):
                raise KeyboardInterrupt  # some of the solutions are no basis for a choice
            model._take(list(solutions), problems, loss, part)
            yield list(solutions)
    except NotSeparableError as error:
        raise of_all_samples(error, part) from None


def _of_samples(value: Any, data: TrainingData) -> Any:
    """Return the entries of these samples, if it has one for each of all, else the value."""
    entries = np.asarray(value)
    is_by_sample = entries.ndim > 0 and len(entries) == data.n_samples
    return entries[data.kept] if is_by_sample else value
