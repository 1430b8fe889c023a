"""Gates from any function of the samples, and the unit that is always on."""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from pickle import Pickler, PicklingError
from typing import Any, NoReturn

import numpy as np

from gnorm.gates.base import (
    BoolArray,
    FloatArray,
    Gates,
    validate_columns,
)
from gnorm.gating import OpenContexts

__all__ = ["FixedGates", "OpenGates"]


class _Unstored(type):
    """Metaclass of a class made to hold a function that pickle cannot store.

    Picklers that store what a function does, as joblib's for its workers, store such a class by
    what it holds. Those that store names call :func:`_refuse`, which says why they cannot.
    """

    func: Callable[[Any], BoolArray]
    reason: str


def _refuse(holder: _Unstored) -> NoReturn:
    func = holder.func
    name = f"{func.__qualname__} of {func.__module__}" if hasattr(func, "__qualname__") else func
    raise PicklingError(
        "FixedGates expected a func that pickle can store, and it stores functions by the name "
        "that they are imported by, defined by def at the top of a module, got "
        f"{name}: {holder.reason}"
    )


copyreg.pickle(_Unstored, _refuse)


class _Nowhere:
    """A file that forgets what is written."""

    def write(self, data: Any) -> int:
        """Forget the data."""
        return memoryview(data).nbytes


def _reason_against(func: Any) -> str | None:
    """Why pickle cannot store a function, in its words; None if it can."""
    try:
        Pickler(_Nowhere()).dump(func)
    except (PicklingError, AttributeError, TypeError) as error:  # those that pickle raises for it
        return str(error)
    return None


class FixedGates(Gates):
    """Gates from any function of the samples, such as a clustering or a tree.

    Parameters
    ----------
    func : callable
        Takes samples, a float64 array or CSR matrix of shape (n_samples, n_features), and returns
        their activations, a bool array of shape (n_samples, n_units, n_contexts). Those of a
        sample must not depend on the rest of the batch. A lambda, or whatever is made of one,
        works, also in workers of joblib, but ``pickle`` and ``joblib.dump`` cannot store it and say
        so: to save the fit, give the function a name in a module that can be imported.

    Attributes
    ----------
    n_units_ : int
        Number of units of the activations.
    n_contexts_ : int
        Number of contexts of the activations.
    n_features_in_ : int
        Number of features seen by `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` has string column names.

    See Also
    --------
    HyperplaneGates : Contexts from random hyperplanes.
    ReLUGates : On/off gates, random or of a trained network.

    Examples
    --------
    One unit, whose context is the cluster of the sample:

    >>> import numpy as np
    >>> from sklearn.cluster import KMeans
    >>> from gnorm.gates import FixedGates
    >>> X = np.array([[0.0], [0.1], [5.0], [5.1]])
    >>> clusters = KMeans(2, n_init=1, random_state=0).fit(X)
    >>> gates = FixedGates(lambda X: clusters.predict(X)[:, None, None] == np.arange(2))
    >>> gates.fit_transform(X).shape
    (4, 1, 2)
    """

    def __init__(self, func: Callable[[Any], BoolArray]) -> None:
        self.func = func

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        reason = _reason_against(self.func)
        if reason is not None:
            holder = _Unstored("Unstored", (), {"func": self.func, "reason": reason})
            state = state | {"func": holder}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        func = state["func"]
        super().__setstate__(state | {"func": func.func if isinstance(func, _Unstored) else func})

    def _learn(self, X: Any, y: Any, weights: FloatArray) -> None:
        if not callable(self.func):
            raise TypeError(f"func must be callable, got {self.func!r}")
        # A single sample shows a func whose contexts are only those that occur in the batch.
        _, self.n_units_, self.n_contexts_ = self._call(X[:1]).shape

    def _n_units(self) -> int:
        return self.n_units_

    def _activate(self, X: Any) -> BoolArray:
        activations = self._call(X)
        expected = (X.shape[0], self.n_units_, self.n_contexts_)
        if activations.shape != expected:
            raise ValueError(
                f"func must return the units and contexts seen by fit, shape {expected}, "
                f"got {activations.shape}"
            )
        return activations

    def _call(self, X: Any) -> BoolArray:
        activations = np.asarray(self.func(X))
        # Two axes are ambiguous: the second could be units that are on or off, or contexts.
        if activations.ndim != 3 or activations.shape[0] != X.shape[0] or activations.size == 0:
            raise ValueError(
                f"func must return activations of shape ({X.shape[0]}, n_units, n_contexts), "
                f"got {activations.shape}"
            )
        if activations.dtype != bool:
            raise TypeError(f"func must return activations of dtype bool, got {activations.dtype}")
        return activations


class OpenGates(Gates):
    """One unit that is always on: its weights are a rule that all samples share.

    Joined with others (:class:`JoinedGates`), it lets the norm keep the shared rule without any of
    their units. Without it some unit that parts the samples must carry the shared rule, and those
    are kept that change nothing.

    Attributes
    ----------
    context_names_ : list of ndarray of str objects
        Name of the context.
    n_features_in_ : int
        Number of columns seen by `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if `X` has string column names.

    Examples
    --------
    >>> from gnorm.gates import CategoryGates, JoinedGates, OpenGates
    >>> gates = JoinedGates([OpenGates(), CategoryGates()]).fit([["red"], ["blue"]])
    >>> [list(names) for names in gates.context_names_]
    [['all'], ['blue', 'red']]
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    def _validate(self, X: Any, *, reset: bool) -> Any:
        return validate_columns(self, X, reset=reset, accept_sparse="csr")

    def _learn(self, X: Any, y: Any, weights: FloatArray) -> None:
        self.context_names_ = [np.array(["all"], dtype=object)]

    def _opens_one(self) -> bool:
        return True

    def _open_contexts(self, X: Any) -> OpenContexts:
        return OpenContexts(np.zeros((X.shape[0], 1), dtype=np.intp), 1)

    def _n_units(self) -> int:
        return 1

    def _unit_names(self) -> list[str]:
        return ["shared"]
