r"""Gate-agreement kernels: quadratic norms of gated predictors as ordinary kernel machines.

With :math:`a(x, x')` the number of units whose contexts agree on :math:`x` and :math:`x'`,

=====================================  ====================================================
norm of the predictor                  kernel
=====================================  ====================================================
root mean square over all contexts     :math:`\langle x, x' \rangle (1 - H + C a(x, x'))`
:math:`\|\zeta\|_2`                    :math:`\langle x, x' \rangle a(x, x')`
shallow GLN (no sharing)               :math:`\langle x, x' \rangle [a(x, x') = H]`
=====================================  ====================================================

The first is :math:`C^{-H/2} \|\beta\|_2`. Its kernel follows from writing the predictor of a
context as :math:`\bar\beta + \sum_h d_{h c_h}` with :math:`\sum_c d_{hc} = 0`: the features of the
mean give :math:`\langle x, x' \rangle`, those of unit :math:`h` give
:math:`\langle x, x' \rangle (C [c_h = c'_h] - 1)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from gnorm.gating import Gating, OpenContexts, open_counts, opened

__all__ = [
    "GateKernel",
    "agreement",
    "gram",
    "plain_kernel",
    "predictor_l2_kernel",
    "shallow_kernel",
    "squared_row_norms",
]


def gram(X: Any, Y: Any = None) -> np.ndarray:
    r"""Inner products of the rows of two matrices, dense or sparse.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples_X, n_features)
        Rows.
    Y : {ndarray, sparse matrix} of shape (n_samples_Y, n_features), default=None
        Columns of the result, ``X`` itself if None (the result is then exactly symmetric).

    Returns
    -------
    ndarray of shape (n_samples_X, n_samples_Y)
        :math:`\langle x, y \rangle`.

    Raises
    ------
    ValueError
        If the rows differ in length.
    """
    if Y is not None and X.shape[1] != Y.shape[1]:
        raise ValueError(
            f"expected inputs of as many features on both sides, got {X.shape[1]} and {Y.shape[1]}"
        )
    product = X @ (X if Y is None else Y).T
    return np.asarray(product.toarray() if issparse(product) else product, dtype=float)


def squared_row_norms(X: Any) -> np.ndarray:
    r"""Squared Euclidean norms of the rows, dense or sparse.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
        Rows.

    Returns
    -------
    ndarray of shape (n_samples,)
        :math:`\|x_n\|^2`.
    """
    if issparse(X):
        return np.asarray(X.multiply(X).sum(axis=1), dtype=float).ravel()
    return np.einsum("nd,nd->n", X, X)


def agreement(
    activations: ArrayLike | OpenContexts, activations_Y: ArrayLike | OpenContexts | None = None
) -> np.ndarray:
    """Count the contexts that two samples have on in common.

    Parameters
    ----------
    activations : ndarray of bool, shape (n_samples_X, n_units, n_contexts)
        Gates of the rows.
    activations_Y : ndarray of bool, shape (n_samples_Y, n_units, n_contexts), default=None
        Gates of the columns, those of the rows if None.

    Returns
    -------
    ndarray of shape (n_samples_X, n_samples_Y)
        For one-hot gates the number of units that agree.
    """
    if activations_Y is not None and np.shape(activations)[1:] != np.shape(activations_Y)[1:]:
        raise ValueError(
            "expected activations of as many units and contexts on both sides, got "
            f"{np.shape(activations)[1:]} and {np.shape(activations_Y)[1:]}"
        )
    both = [activations] if activations_Y is None else [activations, activations_Y]
    coded = [gates for gates in both if isinstance(gates, OpenContexts)]
    if len(coded) == len(both) and np.array_equal(coded[0].n_contexts, coded[-1].n_contexts):
        on = Gating(coded[0]).open  # what is open in no row has no part in it
        flat = [opened(gates, on) for gates in coded]
    else:
        flat = [_flat(gates) for gates in both]
    # counts up to 2^24 are exact in single precision, at half the cost
    flat = [gates.astype(np.float32) for gates in flat]
    return (flat[0] @ flat[-1].T).astype(float)


def _flat(activations: ArrayLike | OpenContexts) -> np.ndarray:
    gates = np.asarray(activations)
    if gates.ndim != 3:
        raise ValueError(
            "expected activations of shape (n_samples, n_units, n_contexts), "
            f"got shape {gates.shape}"
        )
    return gates.reshape(len(gates), -1)


def predictor_l2_kernel(
    X: Any,
    activations: ArrayLike | OpenContexts,
    Y: Any = None,
    activations_Y: ArrayLike | OpenContexts | None = None,
) -> np.ndarray:
    r"""Kernel :math:`\langle x, x' \rangle (1 - H + C a(x, x'))` of the L2 norm of the predictors.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples_X, n_features)
        Inputs.
    activations : ndarray of bool, shape (n_samples_X, n_units, n_contexts)
        Their gates, exactly one context on per unit.
    Y, activations_Y : like ``X`` and ``activations``, default=None
        Inputs and gates of the columns, those of the rows if None.

    Returns
    -------
    ndarray of shape (n_samples_X, n_samples_Y)
        Kernel matrix.
    """
    _check_one_hot(activations)
    _check_one_hot(activations_Y)
    _check_lengths(X, activations, Y, activations_Y)
    _, n_units, n_contexts = np.shape(activations)
    return gram(X, Y) * (1.0 - n_units + n_contexts * agreement(activations, activations_Y))


def plain_kernel(
    X: Any,
    activations: ArrayLike | OpenContexts,
    Y: Any = None,
    activations_Y: ArrayLike | OpenContexts | None = None,
) -> np.ndarray:
    r"""Kernel :math:`\langle x, x' \rangle a(x, x')` of the norm :math:`\|\zeta\|_2`.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples_X, n_features)
        Inputs.
    activations : ndarray of bool, shape (n_samples_X, n_units, n_contexts)
        Their gates.
    Y, activations_Y : like ``X`` and ``activations``, default=None
        Inputs and gates of the columns, those of the rows if None.

    Returns
    -------
    ndarray of shape (n_samples_X, n_samples_Y)
        Kernel matrix.
    """
    _check_lengths(X, activations, Y, activations_Y)
    return gram(X, Y) * agreement(activations, activations_Y)


def shallow_kernel(
    X: Any,
    activations: ArrayLike | OpenContexts,
    Y: Any = None,
    activations_Y: ArrayLike | OpenContexts | None = None,
) -> np.ndarray:
    r"""Kernel :math:`\langle x, x' \rangle [a(x, x') = H]` of the shallow GLN.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples_X, n_features)
        Inputs.
    activations : ndarray of bool, shape (n_samples_X, n_units, n_contexts)
        Their gates, exactly one context on per unit.
    Y, activations_Y : like ``X`` and ``activations``, default=None
        Inputs and gates of the columns, those of the rows if None.

    Returns
    -------
    ndarray of shape (n_samples_X, n_samples_Y)
        Kernel matrix.
    """
    _check_one_hot(activations)
    _check_one_hot(activations_Y)
    _check_lengths(X, activations, Y, activations_Y)
    n_units = np.shape(activations)[1]
    return gram(X, Y) * (agreement(activations, activations_Y) == n_units)


def _check_lengths(
    X: Any,
    activations: ArrayLike | OpenContexts,
    Y: Any,
    activations_Y: ArrayLike | OpenContexts | None,
) -> None:
    for inputs, gates in ((X, activations), (Y, activations_Y)):
        if inputs is None or gates is None:
            continue
        if np.shape(inputs)[0] != np.shape(gates)[0]:
            raise ValueError(
                "expected activations of as many samples as inputs, got "
                f"{np.shape(gates)[0]} and {np.shape(inputs)[0]}"
            )


def _check_one_hot(activations: ArrayLike | OpenContexts | None) -> None:
    if activations is None:
        return
    if isinstance(activations, OpenContexts):
        n_open = open_counts(activations)
    else:
        n_open = np.sum(activations, axis=-1)
    if not np.all(n_open == 1):
        raise ValueError(
            "expected activations with exactly one context on per unit, got none or several; "
            "without that this is no kernel"
        )


_KERNELS = {
    "predictor_l2": predictor_l2_kernel,
    "plain": plain_kernel,
    "shallow": shallow_kernel,
}


class GateKernel:
    """A gate-agreement kernel as a callable, for ``SVC(kernel=GateKernel(gates))``.

    Parameters
    ----------
    gates : fitted transformer of :mod:`gnorm.gates`
        Gives the activations of any inputs.
    norm : {"predictor_l2", "plain", "shallow"}, default="predictor_l2"
        The quadratic norm whose kernel is wanted.

    See Also
    --------
    gnorm.GatedL2SVC : The same machine as an estimator, without the free bias of SVC.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.svm import SVC
    >>> from gnorm.gates import HyperplaneGates
    >>> from gnorm.kernels import GateKernel
    >>> X, digit = load_digits(return_X_y=True)
    >>> gates = HyperplaneGates(n_units=20, random_state=0).fit(X)
    >>> SVC(kernel=GateKernel(gates)).fit(X[:500], digit[:500] < 5).score(X[500:], digit[500:] < 5)
    ... # doctest: +SKIP
    """

    def __init__(self, gates: Any, norm: str = "predictor_l2") -> None:
        if norm not in _KERNELS:
            raise ValueError(f"norm must be one of {sorted(_KERNELS)}, got {norm!r}")
        self.gates = gates
        self.norm = norm

    def __call__(self, X: Any, Y: Any = None) -> np.ndarray:
        """Evaluate the kernel between the rows of ``X`` and of ``Y``."""
        activate = getattr(self.gates, "open_contexts", self.gates.transform)
        activations = activate(X)
        activations_Y = None if Y is None or Y is X else activate(Y)
        return _KERNELS[self.norm](X, activations, None if Y is X else Y, activations_Y)

    def __repr__(self) -> str:
        return f"GateKernel({self.gates!r}, norm={self.norm!r})"
