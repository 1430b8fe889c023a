"""Gates from the leaves of trees."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from gnorm.gates.base import FloatArray, Gates
from gnorm.gating import OpenContexts

__all__ = ["TreeGates"]


class TreeGates(Gates):
    """A unit for each tree of an ensemble, whose contexts are the leaves of the tree.

    These gates learn from the labels or targets. In a cross-validation fit them inside each split,
    as the estimators of gnorm do, or the held-out part is not held out.

    Parameters
    ----------
    ensemble : estimator
        A tree, a forest or a boosting with a method ``apply``, such as
        :class:`~sklearn.ensemble.ExtraTreesRegressor` or
        :class:`~sklearn.ensemble.GradientBoostingClassifier`. It is cloned and fitted; a fitted one
        is kept as it is in :class:`~sklearn.frozen.FrozenEstimator`.

    Attributes
    ----------
    ensemble_ : estimator
        The fitted ensemble.
    leaves_ : list of ndarray of int
        Numbers of the leaves of each tree that the fitting data reach.
    context_names_ : list of ndarray of str objects
        "leaf" and its number, for each context of each unit.
    is_shared_ : ndarray of bool of shape (n_units,)
        True: a sample in a leaf that no fitting data reach opens no context, and the estimators
        of gnorm then use the mean of all contexts of the unit.
    n_features_in_ : int
        Number of features seen by `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` has string column names.

    See Also
    --------
    FixedGates : Gates from any function.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.ensemble import ExtraTreesRegressor
    >>> from gnorm.gates import TreeGates
    >>> X, y = load_diabetes(return_X_y=True)
    >>> trees = ExtraTreesRegressor(n_estimators=5, max_depth=2, random_state=0)
    >>> TreeGates(trees).fit_transform(X, y).shape
    (442, 5, 4)
    """

    def __init__(self, ensemble: Any) -> None:
        self.ensemble = ensemble

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _learn(self, X: Any, y: Any, weights: FloatArray) -> None:
        if not hasattr(self.ensemble, "fit") or not hasattr(self.ensemble, "apply"):
            raise TypeError(f"ensemble must have fit and apply, got {self.ensemble!r}")
        if y is None:
            raise ValueError("TreeGates requires y to be passed, but the target y is None")
        kept = np.flatnonzero(weights)  # a tree would count a sample of weight 0 in its leaves
        X, y, weights = X[kept], np.asarray(y)[kept], weights[kept]
        ensemble = clone(self.ensemble)
        if has_fit_parameter(ensemble, "sample_weight"):
            self.ensemble_ = ensemble.fit(X, y, sample_weight=weights)
        elif np.all(weights == weights[0]):
            self.ensemble_ = ensemble.fit(X, y)
        else:
            raise ValueError(
                "expected an ensemble that takes sample_weight where weights differ, "
                f"got {self.ensemble!r}"
            )
        self.leaves_ = [np.unique(leaves) for leaves in self._apply(X).T]
        self.context_names_ = [
            np.array([f"leaf {leaf}" for leaf in leaves], dtype=object) for leaves in self.leaves_
        ]
        self.is_shared_ = np.ones(len(self.leaves_), dtype=bool)

    def _apply(self, X: Any) -> np.ndarray:
        """Leaf of each sample in each tree."""
        leaves = np.asarray(self.ensemble_.apply(X)).astype(np.intp)
        return leaves.reshape(len(leaves), -1)

    def _opens_one(self) -> bool:
        return True

    def _open_contexts(self, X: Any) -> OpenContexts:
        reached = self._apply(X)
        contexts = np.empty_like(reached)
        for h, (column, leaves) in enumerate(zip(reached.T, self.leaves_, strict=True)):
            codes = np.minimum(np.searchsorted(leaves, column), len(leaves) - 1)
            contexts[:, h] = np.where(leaves[codes] == column, codes, -1)
        return OpenContexts(contexts, [len(leaves) for leaves in self.leaves_])

    def _n_units(self) -> int:
        return len(self.leaves_)
