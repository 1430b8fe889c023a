"""The one estimator behind all of them: gates fitted to the inputs, a norm, a loss, a method.

A fit checks its data, fits the gates, prepares the design of the distinct samples, solves one
problem after the other or at the same time, and keeps what the solutions say. A subclass names
gates, norm and loss, and says which problems its labels or targets pose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from numbers import Integral
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_array, check_scalar, check_X_y, get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from gnorm import gated
from gnorm.estimators.data import (
    PreviousFit,
    TrainingData,
    all_or_nothing,
    at_bounds,
    check_positive,
    in_parallel,
)
from gnorm.estimators.effects import ReadableUnits, context_means
from gnorm.gates import HyperplaneGates, ReLUGates
from gnorm.gates.base import Gates, activations_of
from gnorm.gates.columns import (
    column_indices,
    columns_of_text,
    is_frame,
    take_columns,
    take_rows,
)
from gnorm.gating import Activations, ContextWeights, Gating, open_counts, row_blocks
from gnorm.losses import Loss
from gnorm.norms import Norm
from gnorm.solvers import Near, NotSeparableError, Solution
from gnorm.solvers.api import prepare, share_gram, solve_prepared, warn_if_unfinished
from gnorm.solvers.problem import Problem
from gnorm.solvers.validation import (
    check_activations,
    check_options,
    check_sample_weight,
    check_unit_features,
)

__all__ = ["ContextGates", "GatedEstimator", "OnOffGates", "of_all_samples", "unit_selectors"]


class ContextGates:
    """Hyperplane contexts are the default gates."""

    def _default_gates(self: Any) -> HyperplaneGates:
        return HyperplaneGates(
            self.n_units, self.n_contexts, cutoff=self.cutoff, random_state=self.random_state
        )


class OnOffGates:
    """Gates that open and close are the default gates."""

    def _default_gates(self: Any) -> ReLUGates:
        return ReLUGates(self.n_units, cutoff=self.cutoff, random_state=self.random_state)


class GatedEstimator(ReadableUnits, BaseEstimator):
    """Fit, warm start and evaluation, for a classifier or regressor to inherit from.

    A subclass gives parameters and default gates, the loss (:meth:`_loss_of`), the training data
    (:meth:`_training_data`) and the problems that these pose (:meth:`_problems`).
    """

    norm: str | Norm | None = None  # that of the gates, unless a parameter says another
    unit_features: Any = None  # all, unless a parameter says others
    # scikit-learn shows the documentation of parameters, in HTML, beside a link to more of it. The
    # package has no address, so the link leads nowhere else.
    _doc_link_module = "gnorm"
    _doc_link_template = "#{estimator_name}"

    # -- what a subclass says ----------------------------------------------------------------------

    def _loss_of(self, data: TrainingData) -> Loss:
        """Loss of each problem."""
        raise NotImplementedError

    def _training_data(self, X: Any, y: np.ndarray, sample_weight: np.ndarray) -> TrainingData:
        """Samples of positive weight; X is checked, y not yet."""
        raise NotImplementedError

    def _problems(self, data: TrainingData) -> np.ndarray:
        """Targets of each problem, shape (n_problems, n_kept)."""
        raise NotImplementedError

    def _notes(self, data: TrainingData) -> list[str]:
        """What to add to the failure of each problem, empty for nothing."""
        return [""] * len(self._problems(data))

    def _weighted(self, data: TrainingData) -> TrainingData:
        """Return the training part of a split with the class weights that it has by itself."""
        return data

    def _check_part(self, part: TrainingData) -> None:
        """Raise ValueError if the training part of a split does not do."""

    def _fit_activations(self, X: Any) -> Activations:
        """Activations of the training data; a subclass may learn from them."""
        return self._activations(X)

    def _keep(self, solutions: list[Solution], data: TrainingData) -> None:
        """Take attributes of its own from the solutions."""

    # -- fit ---------------------------------------------------------------------------------------

    def _fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None) -> Self:
        with all_or_nothing(self):
            data = self._checked(X, y, sample_weight)
            loss = self._loss_of(data)
            check_positive(self.C, "C", is_infinite_allowed=loss.allows_infinite_C)
            previous = self.__dict__.pop("_previous", None)
            previous = previous if self.warm_start else None
            self._fit_gates(data, previous)
            self._fit_predictors(data, float(self.C), previous)
        return self

    def _checked(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None) -> TrainingData:
        """Return the samples of positive weight; parameters that concern them are checked."""
        is_class = isinstance(self.gates, type)
        if self.gates is not None and (is_class or not hasattr(self.gates, "transform")):
            raise TypeError(f"expected an instance with fit and transform, got {self.gates!r}")
        source = self._source(X)
        X, targets = self._validated(X if source is None else source, y)
        check_positive(self.intercept_scaling, "intercept_scaling")
        check_positive(self.tol, "tol")
        if self.max_iter is not None:
            check_scalar(self.max_iter, "max_iter", Integral, min_val=1)
        check_options(self.tol, self.max_iter, self.memory_limit)
        weight = check_sample_weight(sample_weight, len(targets))
        data = self._training_data(X, targets, weight)
        if hasattr(self, "feature_names_in_"):
            data = replace(data, feature_names=self._names_of_features())
        return data if source is None else replace(data, source=take_rows(source, data.kept))

    def _validated(self, X: Any, y: ArrayLike, **options: Any) -> tuple[Any, np.ndarray]:
        if not self._has_selectors:
            with _text_named(X):
                return validate_data(self, X, y, accept_sparse="csr", dtype=np.float64, **options)
        self._choose_columns(X)
        features = take_columns(X, self.feature_columns_)
        with _text_named(features):
            return check_X_y(
                features, y, accept_sparse="csr", dtype=np.float64, estimator=self, **options
            )

    @property
    def _has_selectors(self) -> bool:
        return self.segment is not None or self.features is not None

    def _source(self, X: Any) -> Any:
        """Columns as the user gave them, if the gates see others than the linear map, else None."""
        if not self._has_selectors:
            return None
        if is_frame(X):
            return X
        values = X if hasattr(X, "dtype") else np.asarray(X, dtype=object)
        return check_array(values, accept_sparse="csr", dtype=None, ensure_all_finite=False)

    def _choose_columns(self, source: Any) -> None:
        """Take the columns that the selectors mean in what a fit sees."""
        validate_data(self, source, skip_check_array=True)
        every = np.arange(source.shape[1])
        given = [
            every if selector is None else column_indices(source, selector, name)
            for name, selector in (("segment", self.segment), ("features", self.features))
        ]
        self.segment_columns_, self.feature_columns_ = given
        if self.features is None:
            self.feature_columns_ = np.setdiff1d(every, self.segment_columns_)
        for name, columns in (("segment", given[0]), ("features", self.feature_columns_)):
            if len(columns) == 0:
                raise ValueError(f"expected {name} to leave at least one column, got none")

    def _see_columns(self, data: TrainingData) -> None:
        """Know the columns of checked data, without the check."""
        if data.source is None:
            self.n_features_in_ = data.X.shape[1]
        else:
            self._choose_columns(data.source)

    def _seen_by_gates(self, X: Any, source: Any) -> Any:
        return X if source is None else take_columns(source, self.segment_columns_)

    def _fit_gates(self, data: TrainingData, previous: PreviousFit | None = None) -> None:
        """Fit the gates, or keep those of the call before if they would be the same."""
        gates = self._default_gates() if self.gates is None else clone(self.gates)
        kept = None
        if previous is not None:
            kept = previous.gates_like(gates, _learned_from(gates, data))
        if kept is None:
            seen = self._seen_by_gates(data.X, data.source)
            kept = gates.fit(seen, data.truth, sample_weight=data.weight)
        self.gates_ = kept

    def _prepare(
        self, data: TrainingData, activations: Activations | None = None
    ) -> tuple[Any, Any]:
        """Return the design of the distinct samples and how the samples map to them."""
        if activations is None:
            activations = self._fit_activations(self._seen_by_gates(data.X, data.source))
        self._note_partition(activations)
        X = self._augmented(data.X)
        seen = self._features_of_units(data, activations.shape[1])
        return prepare(X, data.y, activations, data.weight, self.norm, seen)

    def _features_of_units(self, data: TrainingData, n_units: int) -> np.ndarray | None:
        """Which features each unit sees, the constant one always; None for all."""
        if self.unit_features is None:
            return None
        n_features, selectors = data.X.shape[1], unit_selectors(self.unit_features)
        check_selectors(selectors, n_units)
        columns: Any = np.empty((0, n_features))
        if data.feature_names is not None:
            columns = SimpleNamespace(columns=data.feature_names, shape=(0, n_features))
        seen = np.zeros((n_units, n_features), dtype=bool)
        for h, selector in enumerate(selectors):
            seen[h, column_indices(columns, selector, "unit_features")] = True
        if self.fit_intercept:
            seen = np.column_stack([seen, np.ones(n_units, dtype=bool)])
        return check_unit_features(seen, *seen.shape)

    def _fit_predictors(
        self, data: TrainingData, C: float, previous: PreviousFit | None = None
    ) -> None:
        """Solve the problems, which share the gates and the Gram matrix."""
        design, merged = self._prepare(data)
        loss, problems = self._loss_of(data), self._problems(data)
        options = {name: getattr(self, name) for name in ("method", "tol", "max_iter", "verbose")}
        options["memory_limit"] = self.memory_limit
        if len(problems) > 1:
            first = Problem(design, loss, problems[0][merged.rows], merged.times(C))
            options["memory_limit"] = share_gram(design, first, self.method, self.memory_limit)
        starts: list[Near | None] = [None] * len(problems)
        if previous is not None:
            starts = previous.starts(problems, loss, C, design, merged)
        tasks = [
            partial(_solve, design, merged, y, loss, C, near=near, note=note, **options)
            for y, near, note in zip(problems, starts, self._notes(data), strict=True)
        ]
        try:
            solutions = in_parallel(self.n_jobs, tasks)
        except NotSeparableError as error:
            raise of_all_samples(error, data) from None
        for solution in solutions:
            warn_if_unfinished(solution, self.tol, stacklevel=5)
        self._take(solutions, problems, loss, data)
        if self.warm_start:
            self._previous = self._remembered(problems, loss, C, data)

    def _remembered(
        self, problems: np.ndarray, loss: Loss, C: float, data: TrainingData
    ) -> PreviousFit:
        """What the next fit may start from."""
        supporting = np.searchsorted(data.kept, self.support_)
        is_bounded = np.zeros(self.dual_coef_.shape, dtype=bool)
        if len(problems) == len(self.dual_coef_):  # each of one output
            weight = C * data.weight[supporting]
            is_bounded = at_bounds(loss, problems[:, supporting], self.dual_coef_, weight)
        return PreviousFit(
            gates=self.gates_,
            params=self.gates_.get_params(),
            digest=_learned_from(self.gates_, data),
            loss=loss,
            C=C,
            n_samples=len(data.kept),
            support=supporting,
            zeta=self._zeta_,
            dual_coef=self.dual_coef_,
            is_bounded=is_bounded,
        )

    def _take(
        self, solutions: list[Solution], problems: np.ndarray, loss: Loss, data: TrainingData
    ) -> None:
        """Keep what the solutions say; a solution of several outputs has a row for each."""
        each = [solution.weights for solution in solutions]
        rows = np.concatenate([own.rows.reshape(-1, *own.rows.shape[-2:]) for own in each])
        self._zeta_ = ContextWeights(rows, each[0].n_contexts)
        constant = rows[..., -1:] * (self.intercept_scaling if self.fit_intercept else 0.0)
        self._intercepts_ = ContextWeights(constant, each[0].n_contexts)
        self.norm_ = np.array([solution.norm for solution in solutions])
        self.unit_norms_ = np.stack([solution.unit_norms for solution in solutions])
        self.duality_gap_ = np.array([solution.duality_gap for solution in solutions])
        self.n_iter_ = np.array([solution.n_iter for solution in solutions])
        signed = [
            np.atleast_2d(solution.dual_coef.T) * (y if loss.is_margin else 1.0)
            for y, solution in zip(problems, solutions, strict=True)
        ]
        dual_coef = np.concatenate(signed)
        supporting = np.flatnonzero(dual_coef.any(axis=0))
        self.support_ = data.kept[supporting]
        self.dual_coef_ = dual_coef[:, supporting]
        self._keep(solutions, data)

    def _augmented(self, X: Any) -> Any:
        """Inputs with the constant feature."""
        if not self.fit_intercept:
            return X
        constant = np.full((X.shape[0], 1), float(self.intercept_scaling))
        if sparse.issparse(X):
            return sparse.hstack([X, constant], format="csr")
        return np.hstack([X, constant])

    @property
    def zeta_(self) -> np.ndarray:
        """Unit weights, zero where a unit has fewer contexts than another; not to be written to.

        The shape is (n_outputs, n_units, n_contexts, n_features).
        """
        check_is_fitted(self, "_zeta_")
        return np.asarray(self._zeta_)

    @property
    def context_intercepts_(self) -> np.ndarray:
        """What the constant feature adds to the output in each context.

        The shape is (n_outputs, n_units, n_contexts).
        """
        check_is_fitted(self, "_zeta_")
        return np.asarray(self._intercepts_)[..., 0]

    # -- evaluation --------------------------------------------------------------------------------

    def _activations(self, X: Any) -> Activations:
        return check_activations(activations_of(self.gates_, X), X.shape[0])

    def _outputs(self, X: Any) -> np.ndarray:
        """Evaluate the predictors, shape (n_samples, n_outputs)."""
        check_is_fitted(self, "_zeta_")
        source = self._source(X)
        if source is None:
            with _text_named(X):
                X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        else:
            validate_data(self, source, reset=False, skip_check_array=True)
            features = take_columns(source, self.feature_columns_)
            with _text_named(features):
                X = check_array(features, accept_sparse="csr", dtype=np.float64)
        seen = self._seen_by_gates(X, source)
        shared = self._shared_rules()
        values = np.empty((X.shape[0], len(self._zeta_)))
        n_units, n_contexts = self._zeta_.shape[1:3]
        n_gates = n_units if hasattr(self.gates_, "open_contexts") else n_units * n_contexts
        width = n_gates if sparse.issparse(X) else max(n_gates, X.shape[1])
        for rows in row_blocks(X.shape[0], width):
            activations = self._activations(take_rows(seen, rows))
            augmented, gating = self._augmented(X[rows]), Gating(activations)
            closed = open_counts(activations)[:, :, None] == 0
            for k, zeta in enumerate(self._zeta_):
                values[rows, k] = gated.decision_values(augmented, gating, zeta)
                if shared is not None and closed.any():
                    values[rows, k] += gated.decision_values(augmented, closed, shared[k])
        return values

    def _shared_rules(self) -> np.ndarray | None:
        """Weights of units whose contexts are all off, (n_outputs, n_units, 1, n_features).

        The mean of the contexts of units that part the samples, zeros for the others; None if there
        are no such units.
        """
        is_shared = getattr(self.gates_, "is_shared_", None)
        if is_shared is None or not np.any(is_shared) or len(is_shared) != self._zeta_.shape[1]:
            return None
        return context_means(self._zeta_, self._context_counts(), is_shared)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        takes_all = self.gates is None or not hasattr(self.gates, "__sklearn_tags__")
        tags.input_tags.sparse = takes_all or get_tags(self.gates).input_tags.sparse
        return tags

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read what was pickled; gnorm 0.1.0 kept the array of weights and the intercepts in it.

        It had no selectors of columns either.
        """
        state = {"segment": None, "features": None} | state
        if "zeta_" in state:
            state["_zeta_"] = ContextWeights.from_array(state.pop("zeta_"))
            old = "context_intercepts_" if "context_intercepts_" in state else "intercept_"
            state["_intercepts_"] = ContextWeights.from_array(state.pop(old)[..., None])
        state.pop("_before", None)  # a start in the words of that version: the next fit starts anew
        super().__setstate__(state)


@contextmanager
def _text_named(features: Any) -> Iterator[None]:
    """Say which columns of text are no numbers, where that is why a check fails."""
    try:
        yield
    except ValueError as error:
        texts = columns_of_text(features) if len(getattr(features, "shape", ())) == 2 else []
        if not texts:
            raise
        raise ValueError(
            f"expected numbers in features, got text in {', '.join(map(repr, texts))}; columns of "
            "levels go to segment"
        ) from error


def unit_selectors(unit_features: Any) -> list[Any]:
    """List the selectors of the features of each unit, or the rows of a mask."""
    if is_frame(unit_features):  # a mask, whose columns are what it would list
        unit_features = np.asarray(unit_features)
    try:
        selectors = [] if isinstance(unit_features, str | Mapping) else list(unit_features)
    except TypeError:
        selectors = []
    if not selectors:
        raise ValueError(
            f"expected unit_features with a selector for each unit, got {unit_features!r}"
        )
    return selectors


def check_selectors(selectors: list[Any], n_units: int) -> None:
    """Raise unless there is a selector for each unit."""
    if len(selectors) != n_units:
        raise ValueError(
            f"expected unit_features with a selector for each of {n_units} units, "
            f"got {len(selectors)}: {selectors!r}"
        )


def _learned_from(gates: Any, data: TrainingData) -> str:
    """Fingerprint of what these gates learn from; those of others may learn from targets."""
    is_blind = isinstance(gates, Gates) and not get_tags(gates).target_tags.required
    return data.digest if is_blind else data.digest + data.target_digest


def _solve(*problem: Any, note: str, **options: Any) -> Solution:
    """Solve one of the problems; runs in a worker. The note is for its failure, if any."""
    try:
        return solve_prepared(*problem, **options)
    except NotSeparableError as error:
        if note:
            error.add_note(note)
        raise


def of_all_samples(error: NotSeparableError, data: TrainingData) -> NotSeparableError:
    """Return the proof about the samples of positive weight as one about all."""
    of_all = error.scattered(data.kept, data.n_samples)
    for note in getattr(error, "__notes__", ()):
        of_all.add_note(note)
    return of_all
