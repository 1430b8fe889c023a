"""Gates from the levels of categorical columns."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gnorm.gates.base import FloatArray, PartitionGates, check_handle_unknown
from gnorm.gates.columns import column, is_frame

__all__ = ["CategoryGates"]

MISSING = "missing"
OTHER = "other"


class CategoryGates(PartitionGates):
    r"""A unit for each categorical column, whose contexts are the levels of the column.

    Under the GLN norm the model is a linear rule that all samples share and deviations
    :math:`d_{hc}` for the levels of the columns that change it, which the norm selects:

    .. math:: f(x) = \langle \bar\beta + \sum_h d_{h c_h}, x \rangle

    Parameters
    ----------
    columns : selector, default=None
        Names, positions, a slice, a mask or a callable, as in
        :class:`~sklearn.compose.ColumnTransformer`. None are all columns of an array, and of a
        data frame those that are not of floats, or all if all are. Integers become floats in
        pandas where some are missing: of such a column that is left out a warning tells.
    max_levels : int, default=None
        Most contexts of a unit, at least 2: where there are more levels, the rarest share the last.
        None for no limit.
    min_frequency : int or float, default=None
        Levels of less weight share a context, called "other". An int is a sum of sample weights, a
        float a share of their total, as in :class:`~sklearn.preprocessing.OneHotEncoder`. None
        joins none.
    handle_unknown : {"shared", "context", "error"}, default="shared"
        What becomes of a level, or of missing values, that `fit` has not seen. "shared" opens no
        context, and the estimators of gnorm then use the mean of all contexts of the unit, which
        is the shared rule. With "context" there always is a context "other", which is theirs
        together with that of rare levels. "error" raises.

    Attributes
    ----------
    columns_ : ndarray of int of shape (n_units,)
        Positions of the columns.
    levels_ : list of list
        Levels of each column that have a context of their own, in the order of the categories or
        sorted. None stands for missing values, which are a level where `fit` sees some. Values
        that compare equal are one level, such as 1, 1.0 and True.
    context_names_ : list of ndarray of str objects
        Names of the contexts of each unit: of the levels, then "other", if there is one.
    is_shared_ : ndarray of bool of shape (n_units,)
        Whether the unit uses the mean of its contexts where none is on.
    n_features_in_ : int
        Number of columns seen by `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if `X` has string column names.

    See Also
    --------
    QuantileGates : Contexts from bins of numeric columns.
    JoinedGates : Units of several gates side by side.

    Notes
    -----
    Units may have different numbers of contexts, of which a solve takes those that are open in some
    sample: its memory and time follow these, whatever the largest unit has. What `transform`
    returns is as wide as the largest unit; estimators take `open_contexts` instead.

    Examples
    --------
    >>> from gnorm.gates import CategoryGates
    >>> gates = CategoryGates().fit([["red", "round"], ["blue", "round"], ["red", "long"]])
    >>> [list(names) for names in gates.context_names_]
    [['blue', 'red'], ['long', 'round']]
    >>> gates.transform([["red", "oval"]]).astype(int)
    array([[[0, 1],
            [0, 0]]])
    """

    def __init__(
        self,
        columns: Any = None,
        *,
        max_levels: int | None = None,
        min_frequency: int | float | None = None,
        handle_unknown: str = "shared",
    ) -> None:
        self.columns = columns
        self.max_levels = max_levels
        self.min_frequency = min_frequency
        self.handle_unknown = handle_unknown

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    def _learn(self, X: Any, y: Any, weights: FloatArray) -> None:
        check_handle_unknown(self.handle_unknown)
        if self.max_levels is not None and (
            not isinstance(self.max_levels, Integral) or self.max_levels < 2
        ):
            raise ValueError(f"max_levels must be an int >= 2 or None, got {self.max_levels!r}")
        least = self.min_frequency
        is_number = isinstance(least, Real) and not isinstance(least, bool)
        is_share = is_number and not isinstance(least, Integral)
        if least is not None and not (is_number and least > 0 and (least < 1 or not is_share)):
            raise ValueError(
                f"min_frequency must be an int >= 1, a float between 0 and 1 or None, got {least!r}"
            )
        self.levels_: list[list[Any]] = []
        self._tables: list[dict[Any, int]] = []
        super()._learn(X, y, weights)

    def _default_columns(self, X: Any) -> NDArray[np.intp]:
        if not is_frame(X):
            return np.arange(X.shape[1])
        kinds = [_kind(X.iloc[:, j]) if hasattr(X, "iloc") else "O" for j in range(X.shape[1])]
        are_floats = np.array([kind in "fc" for kind in kinds])
        if np.all(are_floats):
            return np.arange(len(kinds))
        codes = [X.columns[j] for j in np.flatnonzero(are_floats) if _are_codes(column(X, int(j)))]
        if codes:
            warnings.warn(
                f"the columns {codes} are left out, as they are of floats; all of these are whole "
                "numbers or missing, as integer codes become beside a missing value: name such "
                "columns in columns=, or make them of type Int64 or category",
                UserWarning,
                stacklevel=2,
            )
        return np.flatnonzero(~are_floats)

    def _values(self, X: Any, j: int) -> Any:
        categories = None
        if hasattr(X, "iloc"):
            categories = getattr(X.iloc[:, j].dtype, "categories", None)
        return _Column(column(X, j), categories)

    def _learn_column(self, values: _Column, weights: FloatArray) -> list[str]:
        uniques, inverse = _factorised(values.values)
        totals = np.bincount(inverse, weights, len(uniques))
        order = _order(uniques, values.categories)
        uniques, totals = [uniques[i] for i in order], totals[order]
        kept = np.ones(len(uniques), dtype=bool)
        if self.min_frequency is not None:
            is_count = isinstance(self.min_frequency, Integral)
            least = self.min_frequency * (1.0 if is_count else float(np.sum(totals)))
            kept = totals >= (1.0 - 1e-12) * least  # less the rounding of the sums
        has_other = self.handle_unknown == "context" or not np.all(kept)
        if self.max_levels is not None and np.count_nonzero(kept) + has_other > self.max_levels:
            rarest_first = np.argsort(np.where(kept, totals, -np.inf), kind="stable")
            kept[rarest_first[: len(kept) - self.max_levels + 1]] = False
            has_other = True
        own = [level for level, is_kept in zip(uniques, kept, strict=True) if is_kept]
        table = {level: c for c, level in enumerate(own)}
        if has_other:
            rare = [level for level, is_kept in zip(uniques, kept, strict=True) if not is_kept]
            table |= dict.fromkeys(rare, len(own))
        self.levels_.append(own)
        self._tables.append(table)
        names = [MISSING if level is None else str(level) for level in own]
        return [*names, OTHER] if has_other else names

    def _codes(self, h: int, values: _Column) -> NDArray[np.intp]:
        uniques, inverse = _factorised(values.values)
        unknown = len(self.levels_[h]) if self.handle_unknown == "context" else -1
        codes = np.array([self._tables[h].get(level, unknown) for level in uniques], dtype=np.intp)
        return codes[inverse]


class _Column:
    """Values of a column, and the order of its categories if it has one."""

    def __init__(self, values: NDArray[Any], categories: Any) -> None:
        self.values = values
        self.categories = categories

    def __getitem__(self, rows: Any) -> _Column:
        return _Column(self.values[rows], self.categories)


def _kind(series: Any) -> str:
    return getattr(series.dtype, "kind", "O")


def _are_codes(values: NDArray[Any]) -> bool:
    """Whether floats may have been integers before some of them were missing."""
    if values.dtype.kind != "f":
        return False
    is_missing = np.isnan(values)
    return bool(np.any(is_missing) and np.all(is_missing | (values == np.round(values))))


def _is_missing(value: Any) -> bool:
    # pandas' NA compares as NA, which has no truth value; NaN and NaT differ from themselves
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def _factorised(values: NDArray[Any]) -> tuple[list[Any], NDArray[np.intp]]:
    """Distinct values as Python objects, None for those that are missing, and where each is."""
    if values.dtype.kind in "biufUS":  # sorting these is faster than hashing objects
        distinct, inverse = np.unique(values, return_inverse=True)
        objects, inverse = distinct.tolist(), inverse.reshape(-1)
    else:
        places: dict[Any, int] = {}
        objects, inverse = [], np.empty(len(values), dtype=np.intp)
        for n, value in enumerate(values.tolist() if values.dtype.kind == "O" else values):
            try:
                place = places.setdefault(value, len(objects))
            except TypeError as error:
                raise TypeError(
                    "a level argument must be a string, a number or None, "
                    f"got {type(value).__name__}"
                ) from error
            if place == len(objects):
                objects.append(value)
            inverse[n] = place
    table: dict[Any, int] = {}
    merged = [table.setdefault(None if _is_missing(v) else v, len(table)) for v in objects]
    return list(table), np.array(merged, dtype=np.intp)[inverse]


def _order(levels: list[Any], categories: Any) -> NDArray[np.intp]:
    """Order of the categories, else sorted, by their names if they do not compare; missing last."""
    if categories is not None:
        place = {level: n for n, level in enumerate(categories)}
        keys: list[Any] = [place.get(level, len(place)) for level in levels]
    else:
        rest = [level for level in levels if level is not None]
        are_numbers = all(isinstance(level, Real) for level in rest)
        keys = [
            (level is None, (0.0 if level is None else level) if are_numbers else str(level))
            for level in levels
        ]
    return np.array(sorted(range(len(levels)), key=keys.__getitem__), dtype=np.intp)
