"""Max-margin classifiers that choose C by cross-validation along the path."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from numbers import Integral
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv
from sklearn.utils import check_scalar

from gnorm.margin.path import check_Cs, saturation, share_gram, solve_path
from gnorm.margin.problem import MarginProblem
from gnorm.margin.solution import NotSeparableError, Status
from gnorm.svm import FReLUSVC, GLNNormSVC, with_shared_sections
from gnorm.svm_fit import Data, in_parallel, of_all_samples

__all__ = ["FReLUSVCCV", "GLNNormSVCCV"]

_DECADES = 4.0  # of the default grid, beginning at the least C worth solving for

_CV_PARAMETERS = """
    Cs : int or array-like of float, default=10
        Weights of the hinge loss to choose from, positive. An int is the length of a geometric grid
        over four decades, from the least C worth solving for, that of gates drawn for it: below it
        the predictor changes nothing but its length. ``numpy.inf`` is the hard margin; it raises
        :class:`gnorm.NotSeparableError` if the training part of a split is not separable.
    cv : int, cross-validation generator or iterable, default=None
        Splits, as in :class:`~sklearn.model_selection.GridSearchCV`: None is 5-fold, stratified.
        Gates are fitted to the training part of each split. For groups pass the splits themselves,
        ``list(GroupKFold(5).split(X, y, groups))``.
    scoring : str or callable, default=None
        What to maximise: a name, see :func:`~sklearn.metrics.get_scorer_names`, or a callable
        ``scorer(estimator, X, y)``. None is the accuracy. With more than two classes each against
        the rest is scored by itself, with labels -1 and 1. Sample weights, but not class weights,
        are passed on to scorers that take ``sample_weight``.
    refit : bool, default=True
        Whether to fit the gates and the predictors to all samples at the C chosen. Without it there
        are the scores and the choice, but nothing to predict with: the splits have gates of their
        own, whose predictors cannot be averaged.
"""

_CV_ATTRIBUTES = """
    C_ : ndarray of shape (n_problems,)
        The C of the best mean score over the splits, the least of several.
    Cs_ : ndarray of shape (n_Cs,)
        All of them, increasing.
    scores_ : dict
        For each class the scores of its problem, an ndarray of shape (n_splits, n_Cs); for two
        classes of the second.
"""


def _with_sections(cls: type) -> type:
    """Fill in what the docstrings have in common, with the choice of C in place of C."""
    cls.__doc__ = (
        (cls.__doc__ or "")
        .replace("    {cv_parameters}", _CV_PARAMETERS.strip("\n"))
        .replace("    {cv_attributes}", _CV_ATTRIBUTES.strip("\n"))
    )
    return with_shared_sections(cls, without=("C", "warm_start"))


class _PathCV:
    """Cross-validation along the path, for a classifier to inherit from before its kind."""

    warm_start = False  # there is no one C to start from

    def fit(self: Any, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """Choose C by cross-validation, then fit.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training inputs.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative factors of ``C``. A sample of weight k counts as k copies that stay
            together in the splits, one of weight 0 as absent.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        NotSeparableError
            If ``Cs`` has an infinite entry and the training part of a split is not separable.
        ValueError
            For malformed input, or if a class is missing in the training part of a split.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` ends a solve above ``tol``.
        UserWarning
            If a score is NaN.
        """
        with self._all_or_nothing():
            data = self._checked(X, y, sample_weight)
            splits = self._splits(data)
            scorer = get_scorer("accuracy" if self.scoring is None else self.scoring)
            self.Cs_ = self._grid(data)
            is_weighted = sample_weight is not None
            task = partial(_score, self._for_worker(), data, self.Cs_, scorer, is_weighted)
            tasks = [
                partial(task, train, test, f"split {number} of {len(splits)}")
                for number, (train, test) in enumerate(splits, 1)
            ]
            # each of shape (split, problem, C)
            scores, gaps = map(np.stack, zip(*in_parallel(self.n_jobs, tasks), strict=True))
            self._warn(scores, gaps)
            self.classes_ = data.classes
            positives = data.classes[1:] if len(data.classes) == 2 else data.classes
            self.scores_ = dict(zip(positives, scores.swapaxes(0, 1), strict=True))
            means = scores.mean(axis=0)
            self.C_ = self.Cs_[np.argmax(np.where(np.isnan(means), -np.inf, means), axis=1)]
            if self.refit:
                self._fit_gates(data)
                self._fit_predictors(data, self.C_)
        return self

    def _warn(self: Any, scores: np.ndarray, gaps: np.ndarray) -> None:
        """Warn of what the splits found, which may have been in other processes."""
        if unfinished := np.count_nonzero(gaps > self.tol):
            warnings.warn(
                f"{unfinished} of {gaps.size} solves of the cross-validation stopped above "
                f"tol={self.tol:.1e}, at relative duality gaps up to {np.max(gaps):.1e}",
                ConvergenceWarning,
                stacklevel=3,
            )
        if n_without := np.count_nonzero(np.isnan(scores)):
            warnings.warn(
                f"{n_without} of {scores.size} scores are NaN; a C with one of them is not chosen",
                stacklevel=3,
            )

    def _for_worker(self: Any) -> Any:
        """Return the estimator without what is of no use to a worker and may not get there."""
        return clone(type(self)(**self.get_params(deep=False) | {"cv": None, "scoring": None}))

    def _splits(self: Any, data: Data) -> list[tuple[np.ndarray, np.ndarray]]:
        """Training and test part of each split, as indices of the samples of positive weight.

        An int splits these; splits of the caller are about all samples.
        """
        cv = check_cv(self.cv, data.labels, classifier=True)
        if self.cv is None or isinstance(self.cv, Integral):
            return list(cv.split(data.X, data.labels))
        position = np.full(data.n_samples, -1)
        position[data.kept] = np.arange(len(data.kept))
        labels = np.zeros(data.n_samples, dtype=int)
        labels[data.kept] = data.labels
        splits = cv.split(np.zeros((data.n_samples, 1)), labels)
        parts = [tuple(position[part][position[part] >= 0] for part in split) for split in splits]
        if not parts:
            raise ValueError("expected at least one split, got none")
        if any(len(part) == 0 for split in parts for part in split):
            raise ValueError("expected splits with samples of positive weight, got an empty part")
        return parts

    def _grid(self: Any, data: Data) -> np.ndarray:
        if np.ndim(self.Cs) > 0:
            return check_Cs(self.Cs)
        check_scalar(self.Cs, "Cs", Integral, min_val=1)
        model = self._for_worker()
        model._fit_gates(data)
        design, merged = model._design_of(data)
        ends = [
            saturation(MarginProblem(design, sign[merged.rows], merged.upper)).C
            for sign in data.signs()
        ]
        least = min(ends)
        if not np.isfinite(least):
            raise ValueError(
                "the classes coincide in every unit, so that there is no scale for C; "
                "pass the Cs to choose from"
            )
        return np.geomspace(least, 10.0**_DECADES * least, self.Cs)


def _score(
    model: Any,
    data: Data,
    Cs: np.ndarray,
    scorer: Any,
    is_weighted: bool,
    train: np.ndarray,
    test: np.ndarray,
    name: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and duality gaps of one split, shape (n_problems, n_Cs); runs in a worker."""
    part, held_out = data.part(train), data.part(test)
    missing = np.setdiff1d(np.arange(len(data.classes)), part.labels)
    if len(missing):
        raise ValueError(
            "expected all classes in the training part of every split, "
            f"got one without {', '.join(map(str, data.classes[missing]))}"
        )
    model = clone(model)
    model.n_features_in_ = data.X.shape[1]
    if model.class_weight == "balanced":
        factors = model._class_factors(part.classes[part.labels], part.sample_weight)
        part = replace(part, weight=part.sample_weight * factors)
    model._fit_gates(part)
    design, merged = model._design_of(part)
    signs, truths = part.signs(), held_out.signs().astype(int)
    at_one = MarginProblem(design, signs[0][merged.rows], merged.upper)
    options = {option: getattr(model, option) for option in ("method", "tol", "max_iter")}
    options["memory_limit"] = share_gram(at_one, model.method, model.memory_limit)
    model.classes_ = np.array([-1, 1])
    weight = held_out.sample_weight if is_weighted else None
    scores, gaps = np.empty((2, len(signs), len(Cs)))
    for problem, (sign, truth) in enumerate(zip(signs, truths, strict=True)):
        start = perf_counter()
        try:
            path = solve_path(design, sign, merged, Cs, **options)  # from the largest C down
            for k, solution in zip(reversed(range(len(Cs))), path, strict=True):
                if solution.status is Status.INTERRUPTED:
                    raise KeyboardInterrupt  # some of the scores are no basis for a choice
                model.zeta_ = solution.zeta[None]
                scores[problem, k] = _scored(scorer, model, held_out.X, truth, weight)
                gaps[problem, k] = solution.duality_gap
        except NotSeparableError as error:
            raise of_all_samples(error, part) from None
        if model.verbose:
            row = np.where(np.isnan(scores[problem]), -np.inf, scores[problem])
            print(
                f"{name}, problem {problem + 1} of {len(signs)}: best score {max(row):.4g} at "
                f"C = {Cs[np.argmax(row)]:.3g}, {perf_counter() - start:.1f} s",
                flush=True,
            )
    return scores, gaps


def _scored(scorer: Any, model: Any, X: Any, truth: np.ndarray, weight: np.ndarray | None) -> float:
    """Score with the sample weights, or without them if the scorer takes none."""
    if weight is not None:
        try:
            return scorer(model, X, truth, sample_weight=weight)
        except TypeError as error:
            if "sample_weight" not in str(error):
                raise
    return scorer(model, X, truth)


@_with_sections
class GLNNormSVCCV(_PathCV, GLNNormSVC):
    r"""Max-margin classifier of the GLN norm with C chosen by cross-validation.

    :class:`GLNNormSVC` along the path of :func:`gnorm.gln_norm_path`: on each split all ``Cs`` are
    solved, each from the solution for the next larger one.

    Parameters
    ----------
    n_units : int, default=50
        Number of gated units of the default gates. Not used if ``gates`` is given.
    n_contexts : int, default=2
        Contexts of each unit, a power of two. Not used if ``gates`` is given.
    {cv_parameters}
    {shared_parameters}

    Attributes
    ----------
    {cv_attributes}
    {shared_attributes}

    See Also
    --------
    GLNNormSVC : The same at a given C.
    gnorm.gln_norm_path : The path, for given activations.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gnorm import GLNNormSVCCV
    >>> X, digit = load_digits(return_X_y=True)
    >>> classifier = GLNNormSVCCV(n_units=10, Cs=4, cv=3, random_state=0)
    >>> classifier = classifier.fit(X[:300] / 16, digit[:300] < 5)
    >>> classifier.scores_[True].shape
    (3, 4)
    >>> bool(classifier.score(X[300:] / 16, digit[300:] < 5) > 0.8)
    True
    """

    def __init__(
        self,
        n_units: int = 50,
        n_contexts: int = 2,
        *,
        Cs: int | ArrayLike = 10,
        cv: Any = None,
        scoring: Any = None,
        refit: bool = True,
        gates: Any = None,
        cutoff: str = "median",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        class_weight: dict[Any, float] | str | None = None,
        method: str = "auto",
        tol: float = 1e-4,
        max_iter: int = 100,
        memory_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_units = n_units
        self.n_contexts = n_contexts
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.gates = gates
        self.cutoff = cutoff
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.method = method
        self.tol = tol
        self.max_iter = max_iter
        self.memory_limit = memory_limit
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose


@_with_sections
class FReLUSVCCV(_PathCV, FReLUSVC):
    r"""Max-margin classifier of the FReLU norm with C chosen by cross-validation.

    :class:`FReLUSVC` along the path of :func:`gnorm.gln_norm_path`: on each split all ``Cs`` are
    solved, each from the solution for the next larger one.

    Parameters
    ----------
    n_units : int, default=50
        Number of gated units of the default gates, to which comes one unit that is always open.
        Not used if ``gates`` is given.
    {cv_parameters}
    {shared_parameters}

    Attributes
    ----------
    {cv_attributes}
    {shared_attributes}

    See Also
    --------
    FReLUSVC : The same at a given C.
    gnorm.gln_norm_path : The path, for given activations.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gnorm import FReLUSVCCV
    >>> X, digit = load_digits(return_X_y=True)
    >>> classifier = FReLUSVCCV(n_units=10, Cs=4, cv=3, random_state=0)
    >>> classifier = classifier.fit(X[:300] / 16, digit[:300] < 5)
    >>> classifier.scores_[True].shape
    (3, 4)
    >>> bool(classifier.score(X[300:] / 16, digit[300:] < 5) > 0.8)
    True
    """

    def __init__(
        self,
        n_units: int = 50,
        *,
        Cs: int | ArrayLike = 10,
        cv: Any = None,
        scoring: Any = None,
        refit: bool = True,
        gates: Any = None,
        cutoff: str = "median",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        class_weight: dict[Any, float] | str | None = None,
        method: str = "auto",
        tol: float = 1e-4,
        max_iter: int = 100,
        memory_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_units = n_units
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.gates = gates
        self.cutoff = cutoff
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.method = method
        self.tol = tol
        self.max_iter = max_iter
        self.memory_limit = memory_limit
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
