"""How many units change the rule, by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_scalar, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from gnorm.estimators.data import TrainingData, all_or_nothing, in_parallel
from gnorm.estimators.selection import (
    RoutedCV,
    given_Cs,
    grid_of,
    on_part,
    scores_of,
    splits_of,
    warn_of,
)
from gnorm.selection.units import (
    check_between,
    check_count_of_units,
    entries,
    fitted,
    restricted,
    unshrunk_C,
    with_open_unit,
)

__all__ = ["UnitSelectionCV"]

# More of an output at ten times a C without shrinkage, from which it is said to have no limit: of
# separated classes the log loss goes on by log 10 = 2.3, elsewhere by next to nothing.
_UNBOUNDED = 1.0

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _delegates(name: str) -> Callable[[_Method], _Method]:
    """Let a method be there where the estimator, fitted or not, has it."""

    def has_it(selector: Any) -> bool:
        """Whether the estimator has it; else its AttributeError is raised."""
        getattr(getattr(selector, "estimator_", selector.estimator), name)
        return True

    decorator: Callable[[_Method], _Method] = available_if(has_it)
    return decorator


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
    Zero is a choice: that one rule serves all. With ``relax=True`` nothing shrinks, and k alone is
    chosen: the rule is the limit of large C,

    .. math:: \min_\zeta \sum_n C_n m(y_n, f(x_n)) ,

    least squares for the squared error, and of its solutions the one of least norm.

    Parameters
    ----------
    estimator : estimator
        Any of :mod:`gnorm.estimators` with a parameter `C`, which is chosen here.
    n_units_to_select : int or "cv", default="cv"
        How many units to select. An int selects as many, and C by cross-validation.
    relax : True or "cv", default="cv"
        How the selected units are fitted anew: with a C of their own by cross-validation, or
        without shrinkage. The relaxed lasso [1]_ shrinks them by :math:`\phi` times the penalty
        that selected, :math:`\phi` from 0, which is True, to 1; "cv" chooses among ``Cs`` instead.
        The norm itself, :math:`\phi = 1`, is the estimator with its C by cross-validation, such
        as :class:`~gnorm.GLNNormRegressorCV`.
    max_units : int, default=10
        Most units that "cv" tries.
    Cs : int or array-like of float, default=5
        Weights of the loss to choose from. An int is the length of a geometric grid over four
        decades from the least C worth solving for; at its end hardly anything is shrunk. The grid
        is of all samples, as in :class:`~sklearn.linear_model.LassoCV`; pass numbers for one in
        which no held-out part has a say. With ``relax=True`` there is nothing to choose.
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
        Weight of the loss for them. With ``relax=True`` it is :math:`10^8` times the least that is
        worth solving for: by the norm the loss exceeds its least sum by at most
        :math:`\|f\|^2 / 2 C`, with f where that is.
    Cs_ : ndarray of shape (n_Cs,)
        Those tried, increasing; `C_` alone with ``relax=True``.
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
        relax: bool | str = "cv",
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
        self.relax = relax
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
            If ``max_iter`` ends a solve above ``tol``; or, with ``relax=True``, if there is no fit
            without shrinkage: of classes that the selected units separate, wholly or in part, the
            log loss has no minimum.
        """
        with all_or_nothing(self):
            self._fit(X, y, sample_weight, params)
        return self

    def _fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None, params: dict[str, Any]
    ) -> None:
        most, is_unshrunk = self._most(), self._is_unshrunk()
        check_between(self.n_standard_errors, "n_standard_errors", 0.0, np.inf)
        model = with_open_unit(self.estimator)
        data = model._checked(X, y, sample_weight)
        of_splitter, of_scorer = self._routed(sample_weight, params)
        splits = splits_of(self.cv, data, of_splitter, is_classifier=is_classifier(model))
        whole, all_data, names = fitted(model, data)
        if self.n_units_to_select != "cv":
            check_count_of_units(most, len(names))
        given_Cs(self.Cs, model._loss_of(data))  # also where none is chosen
        Cs = None if is_unshrunk else grid_of(self.Cs, clone(model), data)
        self.n_tried_ = np.arange(most + 1) if self.n_units_to_select == "cv" else np.array([most])
        scorer = self._scorer()
        task = partial(_score_split, model, data, self.n_tried_, Cs, scorer, of_scorer)
        tasks = [partial(task, train, test) for train, test in splits]
        progress = "split" if self.verbose else None
        parts = in_parallel(self.n_jobs, tasks, progress=progress)
        scores, gaps = map(np.stack, zip(*parts, strict=True))
        warn_of(scores, gaps, model.tol)
        self.scores_ = scores
        n_units, best = self._chosen(scores)
        order = entries(whole, all_data, n_units)
        if len(order) < n_units and self.n_units_to_select != "cv":
            raise ValueError(f"expected {n_units} units that change the rule, got {len(order)}")
        self.n_units_ = len(order)
        self.selected_units_ = order - 1
        self.selected_names_ = names[self.selected_units_]
        self.estimator_ = restricted(whole, order)
        self.Cs_ = np.array([unshrunk_C(self.estimator_, all_data)]) if Cs is None else Cs
        self.C_ = float(self.Cs_[best])
        self.estimator_.set_params(C=self.C_).fit(X, y, sample_weight=sample_weight)
        if is_unshrunk and model._loss_of(all_data).has_open_domain:
            _warn_if_unbounded(self.estimator_, X, y, sample_weight)
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

    def _is_unshrunk(self) -> bool:
        if isinstance(self.relax, bool | np.bool_) and self.relax:
            return True
        if not isinstance(self.relax, str) or self.relax != "cv":
            raise ValueError(
                f"relax must be True or 'cv', got {self.relax!r}; not to fit the selected units "
                "anew is to take the estimator alone, with its C by cross-validation"
            )
        return False

    def _chosen(self, scores: np.ndarray) -> tuple[int, int]:
        """The number of units and the place of C, by the rule of so many standard errors."""
        means = scores.mean(axis=0)
        if not np.any(means > -np.inf):
            raise ValueError(
                f"expected scores that are numbers, got none; scoring={self.scoring!r}"
            )
        k, c = np.unravel_index(np.nanargmax(means), means.shape)
        error = np.std(scores[:, k, c], ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else 0.0
        best_of = np.nanmax(np.where(np.isnan(means), -np.inf, means), axis=1)
        least = int(np.argmax(best_of >= means[k, c] - self.n_standard_errors * error))
        return int(self.n_tried_[least]), int(np.nanargmax(means[least]))

    @_delegates("predict")
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

    @_delegates("decision_function")
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

    @_delegates("predict_proba")
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

    @_delegates("predict_log_proba")
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

    @_delegates("score")
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
    Cs: np.ndarray | None,
    scorer: Any,
    metadata: dict[str, Any],
    train: np.ndarray,
    test: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Score each number of units and each C on one split, None without shrinkage, in a worker."""
    model, part = on_part(model, data, train)
    order = entries(model, part, int(n_tried[-1]))
    held_out = data.part(test)
    scores: list[np.ndarray] = []
    gaps: list[np.ndarray] = []
    for n_units in n_tried:
        if scores and n_units > len(order):  # no more units come: nothing changes
            scores.append(scores[-1])
            gaps.append(gaps[-1])
            continue
        some = restricted(model, order[:n_units])
        tried = np.array([unshrunk_C(some, part)]) if Cs is None else Cs
        some._see_columns(data)
        some._fit_gates(part)
        found = scores_of(some, part, held_out, tried, scorer, metadata)
        scores.append(found[0])
        gaps.append(found[1])
    return np.stack(scores), np.stack(gaps)


def _warn_if_unbounded(fitted: Any, X: Any, y: ArrayLike, sample_weight: ArrayLike | None) -> None:
    """Warn if the outputs of a fit without shrinkage have no limit."""
    farther = clone(fitted).set_params(C=10.0 * fitted.C)
    farther.fit(X, y, sample_weight=sample_weight)
    more = np.max(np.abs(farther.decision_function(X) - fitted.decision_function(X)))
    if more > _UNBOUNDED:
        warnings.warn(
            "the selected units separate classes, wholly or in part, so that the loss has no "
            f"minimum: outputs grow by {more:.2g} from C_ = {fitted.C:.1e} to ten times as much. "
            "relax='cv' chooses a C",
            ConvergenceWarning,
            stacklevel=4,
        )
