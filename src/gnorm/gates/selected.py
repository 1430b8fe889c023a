"""Some of the units of other gates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import get_tags

from gnorm.gates.base import (
    BoolArray,
    FloatArray,
    Gates,
    activations_of,
    context_names,
    unit_names,
    validate_columns,
)
from gnorm.gates.columns import take_rows
from gnorm.gating import OpenContexts, context_counts

__all__ = ["SelectedGates"]


class SelectedGates(Gates):
    """Some of the units of other gates, in the order that is given.

    Parameters
    ----------
    gates : gates
        The gates, which are cloned and fitted; fitted ones are kept as they are in
        :class:`~sklearn.frozen.FrozenEstimator`.
    units : array-like of int of shape (n_units,)
        Positions of the units to keep.

    Attributes
    ----------
    gates_ : gates
        The fitted gates.
    context_names_ : list of ndarray of str objects
        Names of the contexts of each unit.
    is_shared_ : ndarray of bool of shape (n_units,)
        Whether the unit uses the mean of its contexts where none is on.
    n_features_in_ : int
        Number of columns seen by `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if `X` has string column names.

    See Also
    --------
    gnorm.selection.UnitSelectionCV : Which units, by cross-validation.

    Examples
    --------
    >>> from gnorm.gates import CategoryGates, SelectedGates
    >>> gates = SelectedGates(CategoryGates(), [1]).fit([["red", "round"], ["blue", "long"]])
    >>> [list(names) for names in gates.context_names_]
    [['long', 'round']]
    """

    def __init__(self, gates: Any, units: ArrayLike) -> None:
        self.gates = gates
        self.units = units

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if hasattr(self.gates, "__sklearn_tags__"):
            inner = get_tags(self.gates)
            tags.input_tags, tags.target_tags = inner.input_tags, inner.target_tags
        return tags

    def _validate(self, X: Any, *, reset: bool) -> Any:
        return validate_columns(self, X, reset=reset, accept_sparse="csr")

    def _learn(self, X: Any, y: Any, weights: FloatArray) -> None:
        if not (hasattr(self.gates, "fit") and hasattr(self.gates, "transform")):
            raise TypeError(f"gates must have fit and transform, got {self.gates!r}")
        self.gates_ = clone(self.gates).fit(X, y, sample_weight=weights)
        counts = context_counts(activations_of(self.gates_, take_rows(X, slice(1))))
        n_units = len(counts)
        try:
            units = np.asarray(self.units)
        except ValueError:  # of different lengths
            units = np.empty(0)
        are_positions = units.ndim == 1 and len(units) > 0 and units.dtype.kind in "iu"
        if not are_positions or units.min() < 0 or units.max() >= n_units:
            raise ValueError(f"units must be positions below {n_units}, got {self.units!r}")
        if len(np.unique(units)) < len(units):
            raise ValueError(f"units must name each unit once, got {self.units!r}")
        self._units = units.astype(np.intp)
        names, of_units = context_names(self.gates_, counts), unit_names(self.gates_, n_units)
        self.context_names_ = [names[h] for h in self._units]
        self._names = [of_units[h] for h in self._units]
        is_shared = getattr(self.gates_, "is_shared_", np.zeros(n_units, dtype=bool))
        self.is_shared_ = is_shared[self._units]

    def _activate(self, X: Any) -> BoolArray:
        most = max(map(len, self.context_names_))
        return np.asarray(self.gates_.transform(X))[:, self._units, :most]

    def _opens_one(self) -> bool:
        return hasattr(self.gates_, "open_contexts")

    def _open_contexts(self, X: Any) -> OpenContexts:
        contexts = activations_of(self.gates_, X).contexts
        return OpenContexts(contexts[:, self._units], [len(names) for names in self.context_names_])

    def _n_units(self) -> int:
        return len(self._units)

    def _unit_names(self) -> list[str]:
        return self._names
