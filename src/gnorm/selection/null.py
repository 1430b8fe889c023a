"""Units against permuted ones: what chance would give."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state, check_scalar, get_tags

from gnorm.estimators.data import TrainingData, check_positive, completed
from gnorm.estimators.selection import warn_of_gaps
from gnorm.gating import Activations, open_counts, side_by_side
from gnorm.selection.units import fitted, of_units, with_open_unit
from gnorm.solvers import Status
from gnorm.solvers.api import solve_prepared

__all__ = ["PermutationNull", "permutation_null"]


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

    Warns
    -----
    ConvergenceWarning
        If Ctrl-C ends it early; what is returned is of the permutations that were done. Once, if
        some of these ended at a gap above ``tol`` of the estimator.

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
    model = with_open_unit(estimator)
    if get_tags(model.gates).target_tags.required:
        raise ValueError(f"expected gates that do not learn from targets, got {estimator.gates!r}")
    data = model._checked(X, y, sample_weight)
    is_infinite_allowed = model._loss_of(data).allows_infinite_C
    check_positive(model.C, "C", is_infinite_allowed=is_infinite_allowed)
    model, data, names = fitted(model, data)
    activations = model._activations(model._seen_by_gates(data.X, data.source))
    random = check_random_state(random_state)
    orders = [random.permutation(len(data.kept)) for _ in range(n_permutations)]
    tasks = [partial(_beside_permuted, model, data, activations, order) for order in orders]
    found, gaps = zip(*completed(n_jobs, tasks, unit="permutation", progress=progress), strict=True)
    warn_of_gaps(np.array(gaps), model.tol, "permutations")
    importances, null = np.split(np.stack(found), 2, axis=1)
    is_chance = (null.max(axis=1)[:, None] >= importances) | (importances == 0)
    pvalues = (1 + is_chance.sum(axis=0)) / (1 + len(found))
    return PermutationNull(importances, null, names, pvalues)


def _beside_permuted(
    model: Any, data: TrainingData, activations: Activations, order: np.ndarray
) -> tuple[np.ndarray, float]:
    """Importances of the units and of the permuted ones, and their gap; runs in a worker."""
    loss = model._loss_of(data)
    both = side_by_side([activations, activations[order][:, 1:]])
    is_partition = np.all(open_counts(both) == 1, axis=0)
    n_units = activations.shape[1]
    model = of_units(copy(model), [*range(n_units), *range(1, n_units)])
    design, merged = model._prepare(data, both)
    options = {name: getattr(model, name) for name in ("method", "tol", "max_iter", "memory_limit")}
    squares = np.zeros(both.shape[1])
    counts = [len(names) for names in model.gates_.context_names_]
    counts += counts[1:]
    gap = 0.0
    for y in model._problems(data):
        solution = solve_prepared(design, merged, y, loss, float(model.C), **options)
        if solution.status is Status.INTERRUPTED:
            raise KeyboardInterrupt  # what there is of it is no chance
        gap = max(gap, solution.duality_gap)
        for h, count in enumerate(counts):
            weights = solution.weights.of_unit(h)[..., :count, :]
            mean = weights.mean(axis=-2, keepdims=True) if is_partition[h] else 0.0
            squares[h] += np.sum(np.square(weights - mean))
    return np.sqrt(squares[1:]), gap
