"""What all gates share: validation, documentation, names; and gates that part the samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from gnorm.gates.columns import column_indices, column_names, is_frame
from gnorm.gating import OpenContexts

__all__ = [
    "BoolArray",
    "FloatArray",
    "Gates",
    "PartitionGates",
    "activations_of",
    "check_sample_weight",
    "context_names",
    "unit_names",
    "validate_columns",
]

FloatArray: TypeAlias = NDArray[np.float64]
_Method = TypeVar("_Method", bound=Callable[..., Any])
BoolArray: TypeAlias = NDArray[np.bool_]


def check_sample_weight(sample_weight: ArrayLike | None, n_samples: int) -> FloatArray:
    """Return weights as an array of floats, ones for None.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or None
        Weights.
    n_samples : int
        How many there must be.

    Returns
    -------
    ndarray of shape (n_samples,)
        The weights.

    Raises
    ------
    ValueError
        If they have another shape, are not finite, negative, or all zero.
    """
    if sample_weight is None:
        return np.ones(n_samples)
    weights: FloatArray = check_array(
        sample_weight, dtype=np.float64, ensure_2d=False, input_name="sample_weight"
    )
    if weights.shape != (n_samples,):
        raise ValueError(f"sample_weight must have shape ({n_samples},), got {weights.shape}")
    if weights.min() < 0:
        raise ValueError(f"sample_weight must be non-negative, got {weights.min()}")
    if weights.max() == 0:
        raise ValueError("sample_weight must have a positive entry, got only zeros")
    return weights


def _where_units_open_one(method: _Method) -> _Method:
    """Let a method be there where units open one context at most."""

    def are_told(gates: Gates) -> bool:
        """Whether they are; not of a subclass whose activations are its own."""
        return type(gates).transform is Gates.transform and gates._opens_one()

    decorator: Callable[[_Method], _Method] = available_if(are_told)
    return decorator(method)


class Gates(TransformerMixin, BaseEstimator):
    """Validation and documentation of `fit` and `transform`; a gate adds _learn and _activate.

    One whose units open one context at most says so (_opens_one) and adds _open_contexts instead.

    scikit-learn wraps no output and offers no set_output, which is right for activations: their
    three axes fit no table.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**({"auto_wrap_output_keys": None} | kwargs))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _validate(self, X: Any, *, reset: bool) -> Any:
        # float32 is lifted, without loss: the same numbers have the same gates in either precision.
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=reset)
        if sparse.issparse(X) and not X.has_canonical_format:
            X = X.copy()  # the caller's matrix stays as it is, which X.max() would not ensure
            X.sum_duplicates()
        return X

    def _learn(self, X: Any, y: Any, weights: FloatArray) -> None:
        raise NotImplementedError

    def _opens_one(self) -> bool:
        """Whether units open one context at most."""
        return False

    def _open_contexts(self, X: Any) -> OpenContexts:
        raise NotImplementedError

    def _activate(self, X: Any) -> BoolArray:
        return np.asarray(self._open_contexts(X))

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        r"""Check the parameters and learn the gates.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Fitting data.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Labels or targets. Only gates that say so learn from them.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer k counts as k copies of the sample.

        Returns
        -------
        self : object
            The fitted gates.

        Raises
        ------
        TypeError
            If a parameter has the wrong type.
        ValueError
            If a parameter has a wrong value; if an array is not finite or has a wrong shape; if
            a weight is negative or none is positive; if :math:`\langle w, x \rangle` overflows.
        """
        X = self._validate(X, reset=True)
        self._learn(X, y, check_sample_weight(sample_weight, X.shape[0]))
        return self

    def transform(self, X: Any) -> BoolArray:
        """Activations of the samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        activations : ndarray of bool of shape (n_samples, n_units, n_contexts)
            Whether each context of each unit is on. Those of a sample are the same in any batch,
            at any position and for dense and sparse `X`.
        """
        check_is_fitted(self)
        return self._activate(self._validate(X, reset=False))

    @_where_units_open_one
    def open_contexts(self, X: Any) -> OpenContexts:
        """Which context of each unit is open: the activations in the space of one context.

        Only of gates whose units open one context at most.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        OpenContexts
            Their numbers, read as what `transform` gives wherever gnorm takes activations.
        """
        check_is_fitted(self)
        return self._open_contexts(self._validate(X, reset=False))

    def _unit_names(self) -> list[str]:
        prefix = type(self).__name__.lower()
        return [f"{prefix}{h}" for h in range(self._n_units())]

    def _n_units(self) -> int:
        raise NotImplementedError

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Names of the units.

        Parameters
        ----------
        input_features : array-like of str of shape (n_features,), default=None
            Must be the names that `X` had in `fit`, if it had names, and as many as its columns.

        Returns
        -------
        ndarray of str objects of shape (n_units,)
            Names.

        Raises
        ------
        ValueError
            If `input_features` are others.
        """
        check_is_fitted(self)
        if input_features is not None:
            given = np.asarray(input_features, dtype=object)
            known = getattr(self, "feature_names_in_", None)
            if known is not None and not np.array_equal(known, given):
                raise ValueError("input_features is not equal to feature_names_in_")
            if len(given) != self.n_features_in_:
                raise ValueError(
                    "input_features should have length equal to number of features "
                    f"({self.n_features_in_}), got {len(given)}"
                )
        return np.array(self._unit_names(), dtype=object)


def unit_names(gates: Any, n_units: int) -> list[str]:
    """Names of the units of fitted gates, numbers where they give none."""
    own = getattr(gates, "get_feature_names_out", None)
    return list(own()) if own else [f"unit{h}" for h in range(n_units)]


def context_names(gates: Any, n_contexts: Sequence[int] | NDArray[np.intp]) -> list[NDArray[Any]]:
    """Names of the contexts of each unit of fitted gates, numbers where they give none."""
    names = getattr(gates, "context_names_", [[str(c) for c in range(n)] for n in n_contexts])
    return [np.asarray(of_unit, dtype=object) for of_unit in names]


def validate_columns(gates: Any, X: Any, *, reset: bool, **options: Any) -> Any:
    """Return columns of any type, a data frame as it is, anything else as an array."""
    if is_frame(X):  # its columns have types of their own
        if min(X.shape) == 0:
            axis = "sample(s)" if X.shape[0] == 0 else "feature(s)"
            raise ValueError(
                f"Found array with 0 {axis} (shape={X.shape}) while a minimum of 1 is required"
            )
        validate_data(gates, X, reset=reset, skip_check_array=True)
        return X
    return validate_data(gates, X, dtype=None, ensure_all_finite=False, reset=reset, **options)


def activations_of(gates: Any, X: Any) -> Any:
    """Activations by fitted gates, as open contexts where the gates can tell these.

    Raises
    ------
    TypeError
        If they tell something else.
    """
    if not hasattr(gates, "open_contexts"):
        return gates.transform(X)
    found = gates.open_contexts(X)
    if not isinstance(found, OpenContexts):
        raise TypeError(
            f"expected OpenContexts from open_contexts of {type(gates).__name__}, "
            f"got {type(found).__name__}"
        )
    return found


class PartitionGates(Gates):
    """Units that part the samples by a column each; a gate adds _learn_column and _codes.

    A unit has as many contexts as its column has parts. In the activations of a sample of no known
    part all contexts of the unit are off.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        tags.input_tags.allow_nan = True
        return tags

    def _validate(self, X: Any, *, reset: bool) -> Any:
        return validate_columns(self, X, reset=reset)

    def _default_columns(self, X: Any) -> NDArray[np.intp]:
        raise NotImplementedError

    def _learn_column(self, values: Any, weights: FloatArray) -> list[str]:
        """Learn the parts of the next column, and give their names."""
        raise NotImplementedError

    def _codes(self, h: int, values: Any) -> NDArray[np.intp]:
        """Which part of unit h the values are in, -1 for none."""
        raise NotImplementedError

    def _values(self, X: Any, j: int) -> Any:
        raise NotImplementedError

    def _learn(self, X: Any, y: Any, weights: FloatArray) -> None:
        chosen = (
            self._default_columns(X) if self.columns is None else column_indices(X, self.columns)
        )
        if len(chosen) == 0:
            raise ValueError(
                f"columns must select at least one column, got none of {column_names(X)}"
            )
        self.columns_ = chosen
        names = column_names(X)
        self._names = [names[j] for j in chosen]
        kept = weights > 0
        self.context_names_ = [
            np.array(self._learn_column(self._values(X, j)[kept], weights[kept]), dtype=object)
            for j in chosen
        ]
        self.is_shared_ = np.full(len(chosen), self.handle_unknown == "shared")

    def _opens_one(self) -> bool:
        return True

    def _open_contexts(self, X: Any) -> OpenContexts:
        contexts = np.empty((X.shape[0], len(self.columns_)), dtype=np.intp)
        for h, j in enumerate(self.columns_):
            contexts[:, h] = codes = self._codes(h, self._values(X, j))
            if self.handle_unknown == "error" and np.any(codes < 0):
                raise ValueError(
                    f"expected values seen by fit in column {self._names[h]}, got "
                    f"{np.count_nonzero(codes < 0)} others (handle_unknown='error')"
                )
        return OpenContexts(contexts, [len(names) for names in self.context_names_])

    def _n_units(self) -> int:
        return len(self.columns_)

    def _unit_names(self) -> list[str]:
        return list(self._names)


HANDLE_UNKNOWN = ("shared", "context", "error")


def check_handle_unknown(handle_unknown: Any, allowed: tuple[str, ...] = HANDLE_UNKNOWN) -> None:
    """Raise ValueError unless it is one of the ways there are."""
    if not isinstance(handle_unknown, str) or handle_unknown not in allowed:
        raise ValueError(f"handle_unknown must be one of {allowed}, got {handle_unknown!r}")
