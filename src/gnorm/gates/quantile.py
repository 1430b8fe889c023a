"""Gates from bins of numeric columns."""

from __future__ import annotations

from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_scalar

from gnorm.gates.base import FloatArray, PartitionGates, check_handle_unknown
from gnorm.gates.columns import column, column_names, is_frame
from gnorm.gates.hyperplanes import weighted_quantiles

__all__ = ["QuantileGates"]


class QuantileGates(PartitionGates):
    r"""A unit for each numeric column, whose contexts are bins of equal weight.

    The edges are the quantiles :math:`k / B`, k = 1 to B - 1, of the fitting data by the inverted
    CDF, and the number of a bin is that of the edges :math:`\le x`. Equal edges are one: a column
    of few values has fewer contexts.

    Parameters
    ----------
    columns : selector, default=None
        Names, positions, a slice, a mask or a callable, as in
        :class:`~sklearn.compose.ColumnTransformer`. None are all columns of an array, and of a
        data frame those of floats and integers.
    n_bins : int, default=4
        Most bins of a column, at least 1.
    handle_unknown : {"shared", "error"}, default="shared"
        What becomes of missing values (NaN) in a column where `fit` has seen none. "shared" opens
        no context, and the estimators of gnorm then use the mean of all contexts of the unit;
        "error" raises. Where `fit` sees missing values they have a context of their own.

    Attributes
    ----------
    columns_ : ndarray of int of shape (n_units,)
        Positions of the columns.
    edges_ : list of ndarray
        Increasing edges of the bins of each column.
    context_names_ : list of ndarray of str objects
        Names of the contexts of each unit, "< 2", "[2, 5)", ">= 5", "missing".
    is_shared_ : ndarray of bool of shape (n_units,)
        Whether the unit uses the mean of its contexts where none is on.
    n_features_in_ : int
        Number of columns seen by `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if `X` has string column names.

    See Also
    --------
    CategoryGates : Contexts from the levels of categorical columns.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.gates import QuantileGates
    >>> gates = QuantileGates(n_bins=2).fit(np.arange(6.0)[:, None])
    >>> list(gates.context_names_[0])
    ['< 2', '>= 2']
    """

    def __init__(
        self, columns: Any = None, n_bins: int = 4, *, handle_unknown: str = "shared"
    ) -> None:
        self.columns = columns
        self.n_bins = n_bins
        self.handle_unknown = handle_unknown

    def _learn(self, X: Any, y: Any, weights: FloatArray) -> None:
        check_scalar(self.n_bins, "n_bins", Integral, min_val=1)
        check_handle_unknown(self.handle_unknown, ("shared", "error"))
        self.edges_: list[FloatArray] = []
        self._has_missing: list[bool] = []
        super()._learn(X, y, weights)

    def _default_columns(self, X: Any) -> NDArray[np.intp]:
        if not is_frame(X):
            return np.arange(X.shape[1])
        types = list(X.dtypes)
        return np.flatnonzero([getattr(dtype, "kind", "O") in "iuf" for dtype in types])

    def _values(self, X: Any, j: int) -> Any:
        values = X.iloc[:, j] if hasattr(X, "iloc") else column(X, j)
        try:
            if hasattr(values, "to_numpy") and hasattr(values.dtype, "na_value"):
                values = values.to_numpy(dtype=np.float64, na_value=np.nan)
            kind = np.asarray(values).dtype.kind
            if kind == "c":
                raise ValueError("Complex data not supported")
            if kind in "mM":  # NumPy reads a missing one as the least of all
                raise ValueError(
                    "dates are no numbers, convert them, to days since one of them say"
                )
            numbers = np.asarray(values, dtype=np.float64)
        except ValueError as error:
            raise ValueError(
                f"expected numbers in column {column_names(X)[j]}: {error}; levels that are no "
                "numbers are for CategoryGates"
            ) from None
        if np.any(np.isinf(numbers)):
            raise ValueError("expected finite numbers or NaN in the columns, got infinity")
        return numbers

    def _learn_column(self, values: Any, weights: FloatArray) -> list[str]:
        is_missing = np.isnan(values)
        known = values[~is_missing]
        edges = np.empty(0)
        if len(known):
            shares = np.arange(1, self.n_bins) / self.n_bins
            edges = np.unique(weighted_quantiles(known, weights[~is_missing], shares))
            edges = edges[edges > known.min()]  # below it there is nothing
        self.edges_.append(edges)
        self._has_missing.append(bool(np.any(is_missing)))
        texts = [f"{edge:.4g}" for edge in edges]
        if len(set(texts)) < len(texts):
            texts = [repr(float(edge)) for edge in edges]
        names = ["any"] if not texts else [f"< {texts[0]}"]
        names += [f"[{low}, {high})" for low, high in pairwise(texts)]
        if texts:
            names.append(f">= {texts[-1]}")
        return [*names, "missing"] if self._has_missing[-1] else names

    def _codes(self, h: int, values: Any) -> NDArray[np.intp]:
        codes = np.searchsorted(self.edges_[h], values, side="right")
        missing = len(self.edges_[h]) + 1 if self._has_missing[h] else -1
        return np.where(np.isnan(values), missing, codes)
