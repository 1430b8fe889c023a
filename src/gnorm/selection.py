r"""Which units change the rule: how many, how surely, and against what chance would give.

The norms of gnorm set the weights of most units to zero. How many are left depends on `C`, and the
`C` that predicts best leaves too many, since the same shrinkage that drops a unit also shortens
the weights of those that stay. Here the two are parted: the path of the norm says in which order
units come, and each number of units is fitted anew with a `C` of its own, on these units alone.

A unit that is always open (:class:`gnorm.gates.OpenGates`) joins the gates of the estimator in all
of this. It carries the rule that all samples share, and is never counted.

References
----------
.. [1] N. Meinshausen (2007). Relaxed Lasso. Computational Statistics & Data Analysis 52.
.. [2] N. Meinshausen and P. Bühlmann (2010). Stability selection. Journal of the Royal Statistical
   Society B 72.
.. [3] L. Breiman, J. Friedman, R. Olshen and C. Stone (1984). Classification and Regression Trees;
   the rule of one standard error, section 3.4.3.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state, check_scalar, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from gnorm.estimators.base import GatedEstimator, unit_selectors
from gnorm.estimators.data import TrainingData, all_or_nothing, in_parallel
from gnorm.estimators.selection import (
    PathCV,
    RoutedCV,
    grid_of,
    on_part,
    path_of,
    scores_of,
    splits_of,
    warn_of,
)
from gnorm.gates import JoinedGates, OpenGates, SelectedGates
from gnorm.solvers.api import solve_prepared
from gnorm.solvers.path import least_C

__all__ = [
    "PermutationNull",
    "StabilitySelection",
    "UnitPath",
    "UnitSelectionCV",
    "permutation_null",
    "stability_selection",
    "unit_path",
]

_DECADES = 4  # of the path on which units come, from the least C worth solving for
_STEPS = 6  # of each of them


# -- the order of the units ------------------------------------------------------------------------


def _with_open_unit(estimator: Any) -> Any:
    """Clone of an estimator whose gates have an open unit in front."""
    is_fit = isinstance(estimator, GatedEstimator) and not isinstance(estimator, PathCV)
    if not is_fit:
        raise TypeError(
            "expected an estimator of gnorm at a given C, such as GLNNormRegressor(), "
            f"got {estimator!r}"
        )
    model = clone(estimator)
    gates = model._default_gates() if model.gates is None else model.gates
    model.set_params(gates=JoinedGates([OpenGates(), gates]), warm_start=False)
    if model.unit_features is not None:
        model.set_params(unit_features=[slice(None), *unit_selectors(model.unit_features)])
    return model


def _entries(model: Any, part: TrainingData, most: int) -> np.ndarray:
    """Positions of the first units to come with C, for an estimator with fitted gates.

    A unit has come when its importance is more than an inexact solution may leave of it. Those
    that come at the same step of the path are in the order of their importance there.
    """
    loss = model._loss_of(part)
    design, merged = model._prepare(part)
    least = min(least_C(design, merged, y, loss) for y in model._problems(part))
    if not np.isfinite(least):
        return np.empty(0, dtype=np.intp)
    order: list[np.intp] = []
    # upwards half a decade at a time: beyond the units that are asked for it would get slow
    n_steps = _STEPS // 2
    for part_of_path in range(2 * _DECADES):
        powers = (part_of_path * n_steps + np.arange(n_steps)) / _STEPS
        path = path_of(model, part, least * 10.0**powers, prepared=(design, merged))
        steps = [(model.unit_importances_, model.norm_) for _ in path]
        for importances, norms in steps[::-1]:
            # a gap leaves of a unit that the optimum drops up to gap / (1 - |V_h|^2 / max |V|^2)
            least_importance = 10 * model.tol * np.linalg.norm(norms)
            coming = np.argsort(-importances, kind="stable")
            order += [h for h in coming if importances[h] > least_importance and h not in order]
        if len(order) >= most:
            break
    return np.array(order[:most], dtype=np.intp)


@dataclass(frozen=True, eq=False)
class UnitPath:
    """Importances of units along C.

    Attributes
    ----------
    Cs : ndarray of shape (n_Cs,)
        Weights of the loss, increasing.
    importances : ndarray of shape (n_Cs, n_units)
        ``unit_importances_`` at each C, without the open unit.
    unit_names : ndarray of str objects of shape (n_units,)
        Names of the units.
    duality_gaps : ndarray of shape (n_Cs,)
        Largest certified gap of the problems at each C.
    """

    Cs: np.ndarray
    importances: np.ndarray
    unit_names: np.ndarray
    duality_gaps: np.ndarray


def unit_path(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    Cs: int | ArrayLike = 20,
    sample_weight: ArrayLike | None = None,
) -> UnitPath:
    """How important each unit is along C: which come first, and how they grow.

    Parameters
    ----------
    estimator : estimator
        Any of :mod:`gnorm.estimators` with a parameter `C`; it stays unfitted.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Labels or targets.
    Cs : int or array-like of float, default=20
        Weights of the loss. An int is the length of a geometric grid over four decades from the
        least C worth solving for.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative factors of ``C``.

    Returns
    -------
    UnitPath
        Importances for each C.

    Raises
    ------
    TypeError
        If the estimator is none of gnorm with a parameter `C`.
    ValueError
        For malformed input.
    """
    model = _with_open_unit(estimator)
    data = model._checked(X, y, sample_weight)
    grid = grid_of(Cs, clone(model), data)
    model, data = on_part(model, data, np.arange(len(data.kept)))
    steps = [
        (model.unit_importances_[1:], max(solution.duality_gap for solution in solutions))
        for solutions in path_of(model, data, grid)
    ][::-1]
    importances, gaps = map(np.array, zip(*steps, strict=True))
    return UnitPath(grid, importances, model.gates_.gates_[1].get_feature_names_out(), gaps)


def _check_between(value: Any, name: str, least: float, most: float) -> None:
    """Raise unless this is a number between two others, one of which it may be; NaN is none."""
    check_scalar(value, name, Real, min_val=least, max_val=most)
    if np.isnan(value):
        raise ValueError(f"{name} must be a number, got {value}")


def _check_count_of_units(n_units_to_select: int, n_units: int) -> None:
    if n_units_to_select > n_units:
        raise ValueError(
            f"expected n_units_to_select of at most {n_units}, the units of the gates, "
            f"got {n_units_to_select}"
        )


def _restricted(model: Any, units: np.ndarray) -> Any:
    """Clone whose gates are the fitted open unit and some of the others."""
    kept = [0, *map(int, units)]
    some = clone(model).set_params(gates=SelectedGates(FrozenEstimator(model.gates_), kept))
    if some.unit_features is not None:
        some.set_params(unit_features=[some.unit_features[h] for h in kept])
    return some


# -- how many --------------------------------------------------------------------------------------


def _delegates(name: str) -> Any:
    """Raise AttributeError unless the estimator has the method."""

    def has_it(selector: Any) -> bool:
        getattr(getattr(selector, "estimator_", selector.estimator), name)
        return True

    return available_if(has_it)


class UnitSelectionCV(RoutedCV, MetaEstimatorMixin, BaseEstimator):
    r"""How many units change the rule, by cross-validation, and the rule fitted to these alone.

    On each split the path of the estimator's norm says in which order units come. With
    :math:`S_k` the open unit and the first k of them, for each k and each C it solves

    .. math::

        \min_\zeta \tfrac12 \Bigl( \sum_{h \in S_k} \|\zeta_h\|_F \Bigr)^2
            + \sum_n C_n m(y_n, f(x_n)), \qquad
        f(x) = \sum_{h \in S_k} \langle \zeta_{h c_h(x)}, x \rangle ,

    the problem of the estimator on these units alone, as in the relaxed lasso [1]_: the C that
    selected is not the one that shrinks. Both are chosen together, k by the rule of one standard
    error: the least for which some C scores as well as the best pair, less one standard error.
    Zero is a choice: that one rule serves all.

    Parameters
    ----------
    estimator : estimator
        Any of :mod:`gnorm.estimators` with a parameter `C`, which is chosen here.
    n_units_to_select : int or "cv", default="cv"
        How many units to select. An int selects as many, and C by cross-validation.
    max_units : int, default=10
        Most units that "cv" tries.
    Cs : int or array-like of float, default=5
        Weights of the loss to choose from. An int is the length of a geometric grid over four
        decades from the least C worth solving for; at its end hardly anything is shrunk. The grid
        is of all samples, as in :class:`~sklearn.linear_model.LassoCV`; pass numbers for one in
        which no held-out part has a say.
    n_standard_errors : float, default=1.0
        How many standard errors below the best score count as well; 0 takes the best.
    cv : int, cross-validation generator or iterable, default=None
        Splits, as in :class:`~sklearn.model_selection.GridSearchCV`: None is 5-fold, stratified
        for classes. Gates are fitted, and units selected, in the training part of each split.
    scoring : str or callable, default=None
        What to maximise: a name or a callable ``scorer(estimator, X, y)``. None is the accuracy of
        a classifier, R² of a regressor. Sample weights go to it if they are given.
    n_jobs : int, default=None
        Splits that are worked on at the same time, in threads unless a
        :class:`joblib.parallel_config` says otherwise.
    verbose : int, default=0
        1 shows a bar of the splits.

    Attributes
    ----------
    estimator_ : estimator
        The estimator, fitted to all samples on the selected units.
    n_units_ : int
        How many units are selected, without the open one.
    selected_units_ : ndarray of int of shape (n_selected,)
        Their positions in the gates of `estimator`, in the order in which they come.
    selected_names_ : ndarray of str objects of shape (n_selected,)
        Their names.
    C_ : float
        Weight of the loss for them.
    Cs_ : ndarray of shape (n_Cs,)
        Those tried, increasing.
    scores_ : ndarray of shape (n_splits, n_tried, n_Cs)
        Score of each number of units (from 0, or the one asked for) and each C on the held-out
        part of each split.
    n_tried_ : ndarray of int of shape (n_tried,)
        Those numbers.
    classes_ : ndarray of shape (n_classes,)
        Class labels, of a classifier.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where ``X`` has names that are all strings.

    See Also
    --------
    stability_selection : How surely units are selected.
    gnorm.estimators.effects.Effects : ``estimator_.effects_`` shows what they change.

    References
    ----------
    .. [1] N. Meinshausen (2007). Relaxed Lasso. Computational Statistics & Data Analysis 52.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm import CategoryGates, GLNNormRegressor
    >>> from gnorm.selection import UnitSelectionCV
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.integers(0, 3, (200, 20)), rng.normal(size=200)])
    >>> y = np.array([-1.0, 0.0, 2.0])[X[:, 4].astype(int)] * X[:, 20] + rng.normal(size=200) / 2
    >>> model = GLNNormRegressor(gates=CategoryGates(), segment=slice(20))
    >>> UnitSelectionCV(model, cv=3, max_units=3).fit(X, y).selected_units_
    array([4])
    """

    def __init__(
        self,
        estimator: Any,
        *,
        n_units_to_select: int | str = "cv",
        max_units: int = 10,
        Cs: int | ArrayLike = 5,
        n_standard_errors: float = 1.0,
        cv: Any = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_units_to_select = n_units_to_select
        self.max_units = max_units
        self.Cs = Cs
        self.n_standard_errors = n_standard_errors
        self.cv = cv
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        for name in ("estimator_type", "classifier_tags", "regressor_tags"):
            setattr(tags, name, getattr(inner, name))
        tags.target_tags, tags.input_tags = inner.target_tags, inner.input_tags
        return tags

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, **params: Any
    ) -> Self:
        """Choose the number of units and C, then fit to all samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training inputs.
        y : array-like of shape (n_samples,) or, for a regressor, (n_samples, n_targets)
            Class labels or targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative factors of ``C``; a sample of weight k counts as k copies that stay
            together in the splits. Without metadata routing they go to the scorer, too; with it,
            if the scorer requests them.
        **params : dict
            Metadata that the scorer or the splitter of ``cv`` requests, such as ``groups``.
            scikit-learn's metadata routing must be enabled for it.

        Returns
        -------
        self : object
            The fitted selector. A fit that fails leaves it as it was.

        Raises
        ------
        TypeError
            If the estimator is none of gnorm with a parameter `C`, or if ``params`` are passed and
            metadata routing is not enabled.
        ValueError
            For malformed input, or fewer units, or units that change anything, than are to be
            selected.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` ends a solve above ``tol``.
        """
        with all_or_nothing(self):
            self._fit(X, y, sample_weight, params)
        return self

    def _fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None, params: dict[str, Any]
    ) -> None:
        most = self._most()
        _check_between(self.n_standard_errors, "n_standard_errors", 0.0, np.inf)
        model = _with_open_unit(self.estimator)
        data = model._checked(X, y, sample_weight)
        of_splitter, of_scorer = self._routed(sample_weight, params)
        splits = splits_of(self.cv, data, of_splitter, is_classifier=is_classifier(model))
        whole, all_data = on_part(model, data, np.arange(len(data.kept)))
        names = whole.gates_.gates_[1].get_feature_names_out()
        if self.n_units_to_select != "cv":
            _check_count_of_units(most, len(names))
        self.Cs_ = grid_of(self.Cs, clone(model), data)
        self.n_tried_ = np.arange(most + 1) if self.n_units_to_select == "cv" else np.array([most])
        scorer = self._scorer()
        task = partial(_score_split, model, data, self.n_tried_, self.Cs_, scorer, of_scorer)
        tasks = [partial(task, train, test) for train, test in splits]
        progress = "split" if self.verbose else None
        parts = in_parallel(self.n_jobs, tasks, progress=progress)
        scores, gaps = map(np.stack, zip(*parts, strict=True))
        warn_of(scores, gaps, model.tol)
        self.scores_ = scores
        n_units, self.C_ = self._chosen(scores)
        order = _entries(whole, all_data, n_units)
        if len(order) < n_units and self.n_units_to_select != "cv":
            raise ValueError(f"expected {n_units} units that change the rule, got {len(order)}")
        self.n_units_ = len(order)
        self.selected_units_ = order - 1
        self.selected_names_ = names[self.selected_units_]
        self.estimator_ = _restricted(whole, order).set_params(C=self.C_)
        self.estimator_.fit(X, y, sample_weight=sample_weight)
        for name in ("n_features_in_", "feature_names_in_", "classes_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))

    def _most(self) -> int:
        if isinstance(self.n_units_to_select, str):
            if self.n_units_to_select != "cv":
                raise ValueError(
                    f"n_units_to_select must be an int or 'cv', got {self.n_units_to_select!r}"
                )
            return int(check_scalar(self.max_units, "max_units", Integral, min_val=1))
        return int(check_scalar(self.n_units_to_select, "n_units_to_select", Integral, min_val=0))

    def _chosen(self, scores: np.ndarray) -> tuple[int, float]:
        """The number of units and C, by the rule of so many standard errors."""
        means = scores.mean(axis=0)
        if not np.any(means > -np.inf):
            raise ValueError(
                f"expected scores that are numbers, got none; scoring={self.scoring!r}"
            )
        k, c = np.unravel_index(np.nanargmax(means), means.shape)
        error = np.std(scores[:, k, c], ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else 0.0
        best_of = np.nanmax(np.where(np.isnan(means), -np.inf, means), axis=1)
        least = int(np.argmax(best_of >= means[k, c] - self.n_standard_errors * error))
        return int(self.n_tried_[least]), float(self.Cs_[np.nanargmax(means[least])])

    @_delegates("predict")  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> np.ndarray:
        """Predict class labels or targets, by the selected units.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict(X)

    @_delegates("decision_function")  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> np.ndarray:
        """Evaluate the predictors of a classifier.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Decision values.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.decision_function(X)

    @_delegates("predict_proba")  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class, where the loss is the log loss.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict_proba(X)

    @_delegates("predict_log_proba")  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Their logarithms.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict_log_proba(X)

    @_delegates("score")  # type: ignore[untyped-decorator]
    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy of a classifier, R² of a regressor.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Labels or targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        float
            The score.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.score(X, y, sample_weight=sample_weight)


def _score_split(
    model: Any,
    data: TrainingData,
    n_tried: np.ndarray,
    Cs: np.ndarray,
    scorer: Any,
    metadata: dict[str, Any],
    train: np.ndarray,
    test: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Score each number of units and each C on one split; runs in a worker."""
    model, part = on_part(model, data, train)
    order = _entries(model, part, int(n_tried[-1]))
    held_out = data.part(test)
    scores: list[np.ndarray] = []
    gaps: list[np.ndarray] = []
    for n_units in n_tried:
        if scores and n_units > len(order):  # no more units come: nothing changes
            scores.append(scores[-1])
            gaps.append(gaps[-1])
            continue
        some = _restricted(model, order[:n_units])
        some._see_columns(data)
        some._fit_gates(part)
        found = scores_of(some, part, held_out, Cs, scorer, metadata)
        scores.append(found[0])
        gaps.append(found[1])
    return np.stack(scores), np.stack(gaps)


# -- how surely ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class StabilitySelection:
    """How often units are selected in halves of the samples.

    Attributes
    ----------
    frequencies : ndarray of shape (n_units,)
        Share of the halves in which each unit is among those selected.
    unit_names : ndarray of str objects of shape (n_units,)
        Names of the units.
    selected : ndarray of int of shape (n_selected,)
        Units of at least the threshold, the most frequent first.
    threshold : float
        That share.
    mean_selected : float
        Mean number of units selected in a half.
    bound : float
        Bound on the expected number of false ones among ``selected``, infinite where the
        threshold is a half.
    """

    frequencies: np.ndarray
    unit_names: np.ndarray
    selected: np.ndarray
    threshold: float
    mean_selected: float
    bound: float


def stability_selection(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    n_units_to_select: int | None = None,
    threshold: float = 0.9,
    n_resamples: int = 100,
    sample_weight: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
) -> StabilitySelection:
    r"""Select the units that come first on most halves of the samples.

    On each half the first q units of the path are selected. With M units, at most

    .. math:: E[V] \le \frac{q^2}{(2 \pi - 1) M}

    false ones are expected among those that are selected in a share :math:`\pi > 1/2` of the
    halves [1]_. The bound holds if the units that change nothing are exchangeable, and found no
    worse than by chance. It is of many halves; 100 are usual.

    Parameters
    ----------
    estimator : estimator
        Any of :mod:`gnorm.estimators` with a parameter `C`, which plays no part.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Labels or targets.
    n_units_to_select : int, default=None
        Units selected on each half, q. None for :math:`\sqrt{(2 \pi - 1) M}`, rounded down and at
        least 1, with which the bound is at most 1 false unit unless q is 1.
    threshold : float, default=0.9
        Share of the halves, :math:`\pi`, between 0.5 and 1.
    n_resamples : int, default=100
        Halves, drawn in pairs that have no sample in common; of a classifier with its classes
        halved as well. An odd number leaves out the last.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative factors of ``C``, which go with their samples. A sample of weight 0 is absent;
        one of weight k is drawn as one.
    random_state : int, RandomState instance or None, default=None
        Draws the halves.
    n_jobs : int, default=None
        Halves that are worked on at the same time.
    progress : bool, default=False
        Whether to show a bar.

    Returns
    -------
    StabilitySelection
        Frequencies, what is selected, and the bound.

    Raises
    ------
    TypeError
        If the estimator is none of gnorm with a parameter `C`.
    ValueError
        For malformed input, more units to select than there are, or a class of a single sample.

    References
    ----------
    .. [1] N. Meinshausen and P. Bühlmann (2010). Stability selection. Journal of the Royal
       Statistical Society B 72, theorem 1.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm import CategoryGates, GLNNormRegressor
    >>> from gnorm.selection import stability_selection
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.integers(0, 3, (200, 20)), rng.normal(size=200)])
    >>> y = np.array([-1.0, 0.0, 2.0])[X[:, 4].astype(int)] * X[:, 20] + rng.normal(size=200) / 2
    >>> model = GLNNormRegressor(gates=CategoryGates(), segment=slice(20))
    >>> found = stability_selection(model, X, y, n_resamples=10, random_state=0)
    >>> found.selected, round(found.bound, 2)
    (array([4]), 1.0)
    """
    _check_between(threshold, "threshold", 0.5, 1.0)
    check_scalar(n_resamples, "n_resamples", Integral, min_val=2)
    model = _with_open_unit(estimator)
    data = model._checked(X, y, sample_weight)
    whole, _ = on_part(model, data, np.arange(len(data.kept)))
    names = whole.gates_.gates_[1].get_feature_names_out()
    n_units = len(names)
    if n_units_to_select is None:
        q = max(int(np.sqrt((2 * threshold - 1) * n_units)), 1)
    else:
        q = int(check_scalar(n_units_to_select, "n_units_to_select", Integral, min_val=1))
        _check_count_of_units(q, n_units)
    random = check_random_state(random_state)
    halves = [half for _ in range(n_resamples // 2) for half in _halves(data, random)]
    tasks = [partial(_first_units, model, data, half, q) for half in halves]
    orders = in_parallel(n_jobs, tasks, progress="half" if progress else None)
    frequencies = np.bincount(np.concatenate(orders), minlength=n_units) / len(halves)
    ranked = np.argsort(-frequencies, kind="stable")
    mean_selected = float(np.mean([len(order) for order in orders]))
    excess = (2 * threshold - 1) * n_units
    return StabilitySelection(
        frequencies=frequencies,
        unit_names=names,
        selected=ranked[frequencies[ranked] >= threshold],
        threshold=float(threshold),
        mean_selected=mean_selected,
        bound=mean_selected**2 / excess if excess > 0 else np.inf,
    )


def _halves(data: TrainingData, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of the samples that have none in common, each with half of each class."""
    groups = data.y if len(data.classes) else np.zeros(len(data.kept), dtype=int)
    first, second = [], []
    for group in np.unique(groups):
        rows = random.permutation(np.flatnonzero(groups == group))
        if len(rows) < 2:
            raise ValueError(f"expected 2 samples of each class or more, got {len(rows)}")
        first.append(rows[: len(rows) // 2])
        second.append(rows[len(rows) // 2 : 2 * (len(rows) // 2)])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))


def _first_units(model: Any, data: TrainingData, rows: np.ndarray, most: int) -> np.ndarray:
    """First units to come on some of the samples; runs in a worker.

    Gates that learn levels may know fewer of them there, but have the same units.
    """
    model, part = on_part(model, data, rows)
    return _entries(model, part, most) - 1


# -- against chance --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PermutationNull:
    """Importances of units beside those of permuted ones.

    Attributes
    ----------
    importances : ndarray of shape (n_permutations, n_units)
        Importance of each unit, fitted beside the permuted ones of each permutation.
    null_importances : ndarray of shape (n_permutations, n_units)
        Those of the permuted units.
    unit_names : ndarray of str objects of shape (n_units,)
        Names of the units.
    pvalues : ndarray of shape (n_units,)
        For each unit, :math:`(1 + b) / (1 + B)` with b of the B permutations in which some permuted
        unit is at least as important, or it has no importance. Adjusted for all units.
    """

    importances: np.ndarray
    null_importances: np.ndarray
    unit_names: np.ndarray
    pvalues: np.ndarray


def permutation_null(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    n_permutations: int = 99,
    sample_weight: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
) -> PermutationNull:
    """Compare units with the same ones after a permutation of the samples.

    Each permutation gives all contexts of a sample together to another sample, so that permuted
    units are related to each other as the units are, and to nothing else. They are fitted beside
    the units, at the `C` of the estimator, and what importance they get is chance.

    Parameters
    ----------
    estimator : estimator
        Any of :mod:`gnorm.estimators` with a parameter `C`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Labels or targets.
    n_permutations : int, default=99
        Permutations.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative factors of ``C``, which stay with their samples.
    random_state : int, RandomState instance or None, default=None
        Draws the permutations.
    n_jobs : int, default=None
        Permutations that are worked on at the same time.
    progress : bool, default=False
        Whether to show a bar.

    Returns
    -------
    PermutationNull
        Importances of both, and p-values.

    Raises
    ------
    TypeError
        If the estimator is none of gnorm with a parameter `C`.
    ValueError
        For malformed input, or if the gates learn from targets, where units know what permuted
        ones do not.

    Notes
    -----
    A unit that is related to one that changes the rule is no chance, and may be found as well. So
    is one that changes the intercept alone.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm import CategoryGates, GLNNormRegressor
    >>> from gnorm.selection import permutation_null
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.integers(0, 3, (200, 20)), rng.normal(size=200)])
    >>> y = np.array([-1.0, 0.0, 2.0])[X[:, 4].astype(int)] * X[:, 20] + rng.normal(size=200) / 2
    >>> model = GLNNormRegressor(gates=CategoryGates(), segment=slice(20), C=0.05)
    >>> null = permutation_null(model, X, y, n_permutations=19, random_state=0)
    >>> np.flatnonzero(null.pvalues <= 0.05)
    array([4])
    """
    check_scalar(n_permutations, "n_permutations", Integral, min_val=1)
    model = _with_open_unit(estimator)
    if get_tags(model.gates).target_tags.required:
        raise ValueError(f"expected gates that do not learn from targets, got {estimator.gates!r}")
    data = model._checked(X, y, sample_weight)
    model, data = on_part(model, data, np.arange(len(data.kept)))
    activations = model._activations(model._seen_by_gates(data.X, data.source))
    names = model.gates_.gates_[1].get_feature_names_out()
    random = check_random_state(random_state)
    orders = [random.permutation(len(data.kept)) for _ in range(n_permutations)]
    tasks = [partial(_beside_permuted, model, data, activations, order) for order in orders]
    found = in_parallel(n_jobs, tasks, progress="permutation" if progress else None)
    importances, null = np.split(np.stack(found), 2, axis=1)
    is_chance = (null.max(axis=1)[:, None] >= importances) | (importances == 0)
    pvalues = (1 + is_chance.sum(axis=0)) / (1 + n_permutations)
    return PermutationNull(importances, null, names, pvalues)


def _beside_permuted(
    model: Any, data: TrainingData, activations: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Importances of the units and of the permuted ones; runs in a worker."""
    loss = model._loss_of(data)
    both = np.concatenate([activations, activations[order, 1:]], axis=1)
    is_partition = np.all(both.sum(axis=2) == 1, axis=0)
    if model.unit_features is not None:
        seen = [*model.unit_features, *model.unit_features[1:]]
        model = copy(model).set_params(unit_features=seen)
    design, merged = model._prepare(data, both)
    options = {name: getattr(model, name) for name in ("method", "tol", "max_iter", "memory_limit")}
    squares = np.zeros(both.shape[1])
    counts = [len(names) for names in model.gates_.context_names_]
    counts += counts[1:]
    for y in model._problems(data):
        zeta = solve_prepared(design, merged, y, loss, float(model.C), **options).zeta
        for h, count in enumerate(counts):
            weights = zeta[h, :count]
            mean = weights.mean(axis=0) if is_partition[h] else 0.0
            squares[h] += np.sum(np.square(weights - mean))
    return np.sqrt(squares[1:])
