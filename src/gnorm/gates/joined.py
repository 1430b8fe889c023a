"""Units of several gates side by side."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
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
from gnorm.gates.columns import column_indices, take_columns, take_rows
from gnorm.gating import Activations, OpenContexts, context_counts, side_by_side

__all__ = ["JoinedGates"]


class JoinedGates(Gates):
    """Units of several gates side by side.

    Parameters
    ----------
    gates : list of gates or of tuples (gates, columns)
        Gates, which are cloned and fitted; with `columns`, a selector as in
        :class:`~sklearn.compose.ColumnTransformer`, to these columns alone.

    Attributes
    ----------
    gates_ : list of gates
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
    CategoryGates : Contexts from the levels of categorical columns.
    QuantileGates : Contexts from bins of numeric columns.

    Notes
    -----
    Under gates with one context on in each unit the norm is the GLN norm; as soon as one of the
    joined gates has units that may close, it is the sum of the norms of the units.

    Examples
    --------
    >>> from gnorm.gates import CategoryGates, JoinedGates, QuantileGates
    >>> gates = JoinedGates([CategoryGates([0]), QuantileGates([1], n_bins=2)])
    >>> gates.fit_transform([["a", 1], ["b", 2], ["c", 3], ["a", 4]]).shape
    (4, 2, 3)
    """

    def __init__(self, gates: list[Any]) -> None:
        self.gates = gates

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        members = self.gates if isinstance(self.gates, list | tuple) else []
        gates = [_pair(member)[0] for member in members]
        each = [get_tags(own) for own in gates if hasattr(own, "__sklearn_tags__")]
        tags.input_tags.sparse = all(own.input_tags.sparse for own in each)
        tags.input_tags.allow_nan = all(own.input_tags.allow_nan for own in each)
        tags.target_tags.required = any(own.target_tags.required for own in each)
        return tags

    def _validate(self, X: Any, *, reset: bool) -> Any:
        return validate_columns(self, X, reset=reset, accept_sparse="csr")

    def _learn(self, X: Any, y: Any, weights: FloatArray) -> None:
        if not isinstance(self.gates, list | tuple) or not self.gates:
            raise ValueError(f"gates must be a list of at least one, got {self.gates!r}")
        self.gates_, self._columns = [], []
        for member in self.gates:
            gates, columns = _pair(member)
            if not (hasattr(gates, "fit") and hasattr(gates, "transform")):
                hint = "; a tuple is (gates, columns), without a name"
                raise TypeError(
                    f"gates must have fit and transform, got {gates!r}"
                    f"{hint if isinstance(member, tuple) else ''}"
                )
            indices = None if columns is None else column_indices(X, columns)
            part = X if indices is None else take_columns(X, indices)
            self.gates_.append(clone(gates).fit(part, y, sample_weight=weights))
            self._columns.append(indices)
        self._n_contexts = [context_counts(part) for part in self._parts(take_rows(X, slice(1)))]
        self.context_names_ = [
            names
            for gates, of_units in zip(self.gates_, self._n_contexts, strict=True)
            for names in context_names(gates, of_units)
        ]
        self.is_shared_ = np.concatenate(
            [
                getattr(gates, "is_shared_", np.zeros(len(of_units), dtype=bool))
                for gates, of_units in zip(self.gates_, self._n_contexts, strict=True)
            ]
        )

    def _parts(self, X: Any) -> list[Activations]:
        parts = [
            activations_of(gates, X if columns is None else take_columns(X, columns))
            for gates, columns in zip(self.gates_, self._columns, strict=True)
        ]
        return [part if isinstance(part, OpenContexts) else np.asarray(part) for part in parts]

    def _activate(self, X: Any) -> BoolArray:
        return np.asarray(side_by_side(self._parts(X)))

    def _opens_one(self) -> bool:
        return all(hasattr(gates, "open_contexts") for gates in self.gates_)

    def _open_contexts(self, X: Any) -> OpenContexts:
        return cast(OpenContexts, side_by_side(self._parts(X)))  # as all parts are

    def _n_units(self) -> int:
        return len(self.context_names_)

    def _unit_names(self) -> list[str]:
        names: list[str] = []
        for gates, of_units in zip(self.gates_, self._n_contexts, strict=True):
            names += unit_names(gates, len(of_units))
        return [
            name if names.count(name) == 1 else f"{name}_{names[:h].count(name)}"
            for h, name in enumerate(names)
        ]


def _pair(member: Any) -> tuple[Any, NDArray[Any] | Any]:
    """Gates and their columns, None for all."""
    if isinstance(member, tuple) and len(member) == 2:
        return member
    return member, None
