"""Columns of data frames and arrays: which are meant, and what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = [
    "column",
    "column_indices",
    "column_names",
    "columns_of_text",
    "is_frame",
    "take_columns",
    "take_rows",
]


def is_frame(X: Any) -> bool:
    """Whether these are columns with names and types of their own."""
    return hasattr(X, "columns") and hasattr(X, "shape")


def column_names(X: Any) -> list[str]:
    """Names of the columns, x0, x1 ... where they have none, as in scikit-learn."""
    if is_frame(X):
        return [str(name) for name in X.columns]
    return [f"x{j}" for j in range(X.shape[1])]


def columns_of_text(X: Any) -> list[str]:
    """Names of the columns in which some value is a string."""
    if sparse.issparse(X):
        return []
    return [
        name
        for j, name in enumerate(column_names(X))
        if any(isinstance(value, str) for value in column(X, j).tolist())
    ]


def column_indices(X: Any, columns: Any, what: str = "columns") -> NDArray[np.intp]:
    """Indices of the columns that a selector means.

    Parameters
    ----------
    X : {data frame, ndarray, sparse matrix} of shape (n_samples, n_columns)
        Columns to choose from.
    columns : str, int, slice, sequence of str, int or bool, or callable
        The selector, as in :class:`~sklearn.compose.ColumnTransformer`: names of a data frame, of
        which a slice includes its end; positions, negative ones from the end; a mask; or a
        function of `X` that returns one of these, such as
        :func:`~sklearn.compose.make_column_selector`.
    what : str, default="columns"
        What error messages call the selector.

    Returns
    -------
    ndarray of int of shape (n_selected,)
        Their positions.

    Raises
    ------
    TypeError
        If the selector is none of these.
    ValueError
        If a column does not exist, is named twice in `X` or selected twice, or if `X` has no names.
    """
    selector = columns(X) if callable(columns) else columns
    n_columns = int(X.shape[1])
    if isinstance(selector, slice):
        return np.arange(n_columns)[_of_positions(X, selector, what)]
    if isinstance(selector, str | Integral) and not isinstance(selector, bool | np.bool_):
        selector = [selector]
    is_list = isinstance(selector, Sequence) or hasattr(selector, "__array__")
    if not is_list or getattr(selector, "shape", None) == ():  # a number of NumPy has a shape
        raise TypeError(
            f"{what} must be names, positions, a slice, a mask or a callable, got {columns!r}"
        )
    entries = list(selector)
    if entries and all(isinstance(entry, bool | np.bool_) for entry in entries):
        if len(entries) != n_columns:
            raise ValueError(
                f"{what} must be a mask of {n_columns} columns as X has, got {len(entries)}"
            )
        return np.flatnonzero(entries)
    indices = np.array([_position(X, entry, what) for entry in entries], dtype=np.intp)
    if len(np.unique(indices)) != len(indices):
        raise ValueError(f"{what} must name each column once, got {entries}")
    return indices


def _of_positions(X: Any, selector: slice, what: str) -> slice:
    """The slice by positions; one of names includes its end."""
    if not (isinstance(selector.start, str) or isinstance(selector.stop, str)):
        return selector
    start, stop = (
        None if end is None else _position(X, end, what) for end in (selector.start, selector.stop)
    )
    return slice(start, None if stop is None else stop + 1, selector.step)


def _position(X: Any, entry: Any, what: str) -> int:
    n_columns = int(X.shape[1])
    if isinstance(entry, str):
        if not is_frame(X):
            raise ValueError(f"{what} must be positions where X has no names, got {entry!r}")
        places = [j for j, name in enumerate(X.columns) if name == entry]
        if len(places) != 1:
            raise ValueError(
                f"{what} must be among the columns of X once, got {entry!r}, which is there "
                f"{len(places)} times"
            )
        return places[0]
    if isinstance(entry, Integral) and not isinstance(entry, bool | np.bool_):
        place = int(entry)
        if not -n_columns <= place < n_columns:
            raise ValueError(f"{what} must be below {n_columns} as X has columns, got {place}")
        return place % n_columns
    raise TypeError(f"{what} must be names or positions, got {entry!r}")


def take_columns(X: Any, indices: NDArray[np.intp]) -> Any:
    """Return some of the columns, of the kind that `X` is."""
    return X.iloc[:, indices] if hasattr(X, "iloc") else X[:, indices]


def take_rows(X: Any, rows: Any) -> Any:
    """Return some of the rows, of the kind that `X` is."""
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def column(X: Any, j: int) -> NDArray[Any]:
    """Return the values of a column, objects where they are no plain numbers."""
    values = X.iloc[:, j] if hasattr(X, "iloc") else X[:, j]
    if sparse.issparse(values):
        values = values.toarray().ravel()
    if hasattr(getattr(values, "dtype", None), "na_value"):  # of pandas' own types
        return values.to_numpy(dtype=object)
    return np.asarray(values)
