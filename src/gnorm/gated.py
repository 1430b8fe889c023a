r"""The gated linear map: decision values, predictors, and the network behind them.

Unit :math:`h` has :math:`C` local contexts, each with a gate :math:`g_{hc}(x) \in \{0, 1\}` and
a weight vector :math:`\zeta_{hc} \in \mathbb{R}^D`, and the map is

.. math:: f(x) = \sum_{h,c} g_{hc}(x) \, \langle \zeta_{hc}, x \rangle .

A gated linear network opens one context per unit, so each global context
:math:`\gamma \in \{1, \dots, C\}^H` has its linear predictor
:math:`\beta_\gamma = \sum_h \zeta_{h \gamma_h}`. This module moves between the views ``zeta``
(weights), ``beta`` (predictors) and ``w`` (network), as the paper [1]_ does; the norms are in
:mod:`gnorm.norms`.
Units, contexts and features are counted from 0, as the arrays are. Every function raises
ValueError for an array that is not finite, real and of the documented shape; a section Raises
lists only what comes on top of that.

References
----------
.. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
   generalized gated linear networks. arXiv:2202.02649.
"""

from __future__ import annotations

import itertools
import math
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from gnorm.gating import (
    ContextWeights,
    Gating,
    OpenContexts,
    flattened,
    padded,
)

__all__ = [
    "NotRealizableError",
    "accumulate",
    "as_array",
    "as_numbers",
    "canonical",
    "check_zeta",
    "decision_values",
    "free_predictors",
    "from_free_predictors",
    "from_network",
    "from_predictors",
    "main_effects",
    "predictors",
    "to_network",
    "unit_values",
]

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]

MAX_PREDICTOR_ENTRIES = 10**7  # entries of beta, which grows as n_contexts ** n_units
MAX_UNITS_IN_PREDICTORS = 31  # beta has one axis per unit and one of features; numpy 1 allows 32


def _is_finite(values: Any) -> bool:
    # NaN and infinity survive max and min, which need no temporary as np.isfinite does.
    return values.size == 0 or bool(np.isfinite(values.max()) and np.isfinite(values.min()))


def as_array(values: ArrayLike, expected: str) -> NDArray[Any]:
    """Return an array of any type.

    Parameters
    ----------
    values : array-like
        The entries.
    expected : str
        What is expected, for the error message.

    Returns
    -------
    ndarray
        The array; the values themselves if they are one.

    Raises
    ------
    ValueError
        If that is a ragged sequence.
    """
    try:
        return np.asarray(values)
    except ValueError:
        raise ValueError(f"expected {expected}, got sequences of different lengths") from None


def as_numbers(values: ArrayLike, name: str) -> FloatArray:
    """Return real numbers as a float64 array; whether they are finite is for the caller to say.

    Parameters
    ----------
    values : array-like
        Numbers, also as objects.
    name : str
        What error messages call them.

    Returns
    -------
    ndarray
        The array; the values themselves if they are one.

    Raises
    ------
    ValueError
        If that is a sparse matrix or a ragged sequence, or holds anything but real numbers.
    """
    if sparse.issparse(values):
        raise ValueError(f"expected real {name} as a dense array, got a sparse matrix")
    array = as_array(values, f"real {name}")
    if array.dtype.kind == "O" and all(isinstance(value, Real) for value in array.flat):
        array = array.astype(float)
    if array.dtype.kind not in "biuf":
        got = f"dtype {array.dtype}" if array.ndim else repr(values)
        raise ValueError(f"expected real {name}, got {got}")
    return np.asarray(array, dtype=np.float64)


def _as_real(values: ArrayLike, name: str, *shape: int | str) -> FloatArray:
    """Finite float64 array in C order; a str in `shape` names an axis of any positive length."""
    array = as_numbers(values, name)
    fits = array.ndim == len(shape) and all(
        got == wanted if isinstance(wanted, int) else got > 0
        for got, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise ValueError(f"expected {name} of shape ({wanted}), got shape {array.shape}")
    array = np.asarray(array, order="C")
    if not _is_finite(array):
        raise ValueError(f"expected finite {name}, got NaN or infinite entries")
    return array


def check_zeta(zeta: ArrayLike, name: str = "zeta") -> FloatArray:
    """Return zeta, called `name` in messages, as a finite float64 array in C order.

    Parameters
    ----------
    zeta : array-like of shape (n_units, n_contexts, n_features)
        Array to check; copied only if its type or memory order has to change.
    name : str, default="zeta"
        What error messages call it.

    Returns
    -------
    ndarray of shape (n_units, n_contexts, n_features)
        The array.
    """
    return _as_real(zeta, name, "n_units", "n_contexts", "n_features")


def check_even(zeta: ArrayLike | ContextWeights, name: str = "zeta") -> FloatArray:
    """Return weights as :func:`check_zeta` does, if units have equal numbers of contexts.

    What depends on means over the contexts, or on their number, is another thing of an array that
    is filled up with contexts that there are not.
    """
    if isinstance(zeta, ContextWeights) and len(np.unique(zeta.n_contexts)) > 1:
        raise ValueError(
            f"expected {name} of units with equal numbers of contexts, got {zeta!r} with "
            f"{zeta.n_contexts.min()} to {zeta.n_contexts.max()}"
        )
    return check_zeta(zeta, name)


def even_parts(zeta: ArrayLike | ContextWeights, name: str = "zeta") -> list[FloatArray]:
    """Finite weights as arrays of units with as many contexts, of three axes each.

    Parameters
    ----------
    zeta : array-like or ContextWeights of shape (n_units, n_contexts, n_features)
        Weights to check and to part; an array is its only part.
    name : str, default="zeta"
        What error messages call them.

    Returns
    -------
    list of ndarray
        The parts, one unit after another in their order.
    """
    if not isinstance(zeta, ContextWeights):
        return [check_zeta(zeta, name)]
    check_zeta(zeta.rows[None], name)
    return list(zeta.parts())


def _check_samples(X: Any, activations: ArrayLike | OpenContexts | Gating) -> tuple[Any, Gating]:
    expected = "X of shape (n_samples, n_features)"
    X = X.tocsr() if sparse.issparse(X) else as_array(X, expected)
    if X.ndim != 2:
        raise ValueError(f"expected {expected}, got shape {X.shape}")
    if X.dtype.kind not in "biuf":
        raise ValueError(f"expected real X, got dtype {X.dtype}")
    if not _is_finite(X.data if sparse.issparse(X) else X):
        raise ValueError("expected finite X, got NaN or infinite entries")
    if isinstance(activations, Gating):
        return X, activations
    if isinstance(activations, OpenContexts) and len(activations) == X.shape[0]:
        return X, Gating(activations)
    expected = f"activations of shape ({X.shape[0]}, n_units, n_contexts)"
    gates = as_array(activations, expected)
    if gates.dtype != np.bool_:
        raise ValueError(f"expected activations of dtype bool, got {gates.dtype}")
    if gates.ndim != 3 or len(gates) != X.shape[0]:
        raise ValueError(f"expected {expected}, got shape {gates.shape}")
    return X, Gating(gates)


def _check_rows(X: Any, gating: Gating, zeta: ArrayLike | ContextWeights) -> FloatArray:
    """Rows of the weights in the flat list of these gates."""
    weights = zeta if isinstance(zeta, ContextWeights) else check_zeta(zeta)
    n_units, n_contexts, n_features = weights.shape
    if X.shape[1] != n_features or gating.shape[1:] != (n_units, n_contexts):
        raise ValueError(
            f"expected X with {n_features} features and activations with {n_units} units of "
            f"{n_contexts} contexts, as zeta has, got {X.shape[1]}, {gating.shape[1]} and "
            f"{gating.shape[2]}"
        )
    if not isinstance(weights, ContextWeights):
        return flattened(weights, gating.n_contexts)
    return check_zeta(weights.resized(gating.n_contexts).rows[None])[0]


def unit_values(
    X: Any, activations: ArrayLike | OpenContexts | Gating, zeta: ArrayLike | ContextWeights
) -> FloatArray:
    r"""Contribution of every unit to the decision value of every sample.

    .. math:: f_h(x_n) = \sum_c g_{hc}(x_n) \, \langle \zeta_{hc}, x_n \rangle

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples; sparse formats are read as CSR.
    activations : array-like of bool of shape (n_samples, n_units, n_contexts)
        Open gates. Any number of contexts of a unit may be open at once.
    zeta : array-like of shape (n_units, n_contexts, n_features)
        Unit weights.

    Returns
    -------
    ndarray of shape (n_samples, n_units)
        Contribution of each unit.

    Raises
    ------
    ValueError
        If activations are not bool.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.gated import unit_values
    >>> activations = np.array([[[True, False], [False, True]]])
    >>> unit_values([[1.0, 2.0]], activations, np.arange(8.0).reshape(2, 2, 2))
    array([[ 2., 20.]])
    """
    X, gating = _check_samples(X, activations)
    return gating.values_by_unit(X, _check_rows(X, gating, zeta))


def decision_values(
    X: Any, activations: ArrayLike | OpenContexts | Gating, zeta: ArrayLike | ContextWeights
) -> FloatArray:
    r"""Decision values of the gated linear map.

    .. math:: f(x_n) = \sum_{h,c} g_{hc}(x_n) \, \langle \zeta_{hc}, x_n \rangle

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples; sparse formats are read as CSR.
    activations : array-like of bool of shape (n_samples, n_units, n_contexts)
        Open gates. Any number of contexts of a unit may be open at once.
    zeta : array-like of shape (n_units, n_contexts, n_features)
        Unit weights. Units whose weights are all zero cost nothing.

    Returns
    -------
    ndarray of shape (n_samples,)
        Decision values.

    Raises
    ------
    ValueError
        If activations are not bool.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.gated import decision_values
    >>> activations = np.array([[[True, False], [False, True]]])
    >>> decision_values([[1.0, 2.0]], activations, np.arange(8.0).reshape(2, 2, 2))
    array([22.])
    """
    X, gating = _check_samples(X, activations)
    return gating.values(X, _check_rows(X, gating, zeta))


def accumulate(
    X: Any, activations: ArrayLike | OpenContexts | Gating, coef: ArrayLike
) -> FloatArray:
    r"""Weighted sum of the gated features: the adjoint of :func:`decision_values` in zeta.

    .. math:: V_{hc} = \sum_n a_n \, g_{hc}(x_n) \, x_n , \qquad
        \sum_n a_n f_\zeta(x_n) = \langle \zeta, V \rangle

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples; sparse formats are read as CSR.
    activations : array-like of bool of shape (n_samples, n_units, n_contexts)
        Open gates.
    coef : array-like of shape (n_samples,)
        Coefficients :math:`a_n`. Samples of coefficient zero cost nothing.

    Returns
    -------
    ndarray of shape (n_units, n_contexts, n_features)
        The accumulated features V.

    Raises
    ------
    ValueError
        If activations are not bool.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.gated import accumulate
    >>> activations = np.array([[[True], [False]], [[True], [True]]])
    >>> accumulate([[1.0, 2.0], [3.0, 4.0]], activations, [10.0, 1.0])
    array([[[13., 24.]],
    <BLANKLINE>
           [[ 3.,  4.]]])
    """
    X, gating = _check_samples(X, activations)
    sums = gating.sums(X, _as_real(coef, "coef", gating.shape[0]))
    return padded(sums, gating.n_contexts)


def frobenius_norms(blocks: FloatArray) -> FloatArray:
    """Euclidean norm of each ``blocks[i]``, accurate at any scale of its own.

    The plain sum of squares is kept wherever it neither overflows nor loses digits to underflow.
    """
    flat = blocks.reshape(len(blocks), -1)
    with np.errstate(over="ignore", under="ignore"):
        squares = np.einsum("ij,ij->i", flat, flat)
    norms = np.sqrt(squares)
    extreme = np.flatnonzero((squares < 1e-280) | (squares == np.inf))
    for i in extreme[flat[extreme].any(axis=1)]:
        largest = np.abs(flat[i]).max()
        norms[i] = largest * np.linalg.norm(flat[i] / largest)
    return norms


def main_effects(zeta: ArrayLike | ContextWeights) -> tuple[FloatArray, Any]:
    r"""Mean predictor and main effects of the units: an analysis of variance of beta.

    With :math:`m_h` the mean of :math:`\zeta_{hc}` over its contexts,

    .. math:: \bar\beta = \sum_h m_h , \qquad d_{hc} = \zeta_{hc} - m_h , \qquad
        \beta_\gamma = \bar\beta + \sum_h d_{h \gamma_h} .

    The predictors determine :math:`\bar\beta` and d, and have no interaction terms. Weights with
    the same predictors differ by shifts :math:`\zeta_{hc} + a_h` with :math:`\sum_h a_h = 0`.

    Parameters
    ----------
    zeta : array-like or ContextWeights of shape (n_units, n_contexts, n_features)
        Unit weights, of the contexts that there are.

    Returns
    -------
    beta_bar : ndarray of shape (n_features,)
        Mean of the predictors over all global contexts.
    deviations : ndarray or ContextWeights of shape (n_units, n_contexts, n_features)
        Main effects; they sum to zero over contexts.

    Examples
    --------
    >>> from gnorm.gated import main_effects
    >>> beta_bar, deviations = main_effects([[[1.0], [3.0]], [[0.0], [8.0]]])
    >>> beta_bar
    array([6.])
    >>> deviations[:, :, 0]
    array([[-1.,  1.],
           [-4.,  4.]])
    """
    parts = [_effects_of_even(part) for part in even_parts(zeta)]
    beta_bar = np.sum([of_part for of_part, _ in parts], axis=0)
    if not isinstance(zeta, ContextWeights):
        return beta_bar, parts[0][1]
    rows = np.concatenate([own.reshape(-1, len(beta_bar)) for _, own in parts])
    return beta_bar, ContextWeights.unchecked(rows, zeta.n_contexts)


def _effects_of_even(zeta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Main effects of units with as many contexts; without any they have no part in the mean."""
    if zeta.shape[1] == 0:
        return np.zeros(zeta.shape[2]), zeta
    # Differences to the first context before the mean: equal contexts then have no deviation at
    # all, and a small spread about a large mean keeps its digits.
    pivots = zeta[:, 0]
    deviations = zeta - pivots[:, None]
    offsets = deviations.mean(axis=1)
    deviations -= offsets[:, None]
    return pivots.sum(axis=0) + offsets.sum(axis=0), deviations


def unit_means(zeta: ArrayLike | ContextWeights) -> FloatArray:
    """Mean weights of each unit over its contexts, (n_units, n_features); of none zero."""
    parts = even_parts(zeta)
    return np.concatenate([part.sum(axis=1) / max(part.shape[1], 1) for part in parts])


def predictors(zeta: ArrayLike) -> FloatArray:
    r"""Predictors of all global contexts, :math:`\beta_\gamma = \sum_h \zeta_{h \gamma_h}`.

    Parameters
    ----------
    zeta : array-like of shape (n_units, n_contexts, n_features)
        Unit weights.

    Returns
    -------
    ndarray of shape (n_contexts,) * n_units + (n_features,)
        ``beta[c_0, ..., c_(H-1)]`` is the predictor when unit h is in context c_h.

    Raises
    ------
    ValueError
        If beta would have more than 10^7 entries or 31 units.

    Examples
    --------
    >>> from gnorm.gated import predictors
    >>> predictors([[[1.0], [3.0]], [[0.0], [8.0]]])[:, :, 0]
    array([[ 1.,  9.],
           [ 3., 11.]])
    """
    zeta = check_even(zeta)
    n_units, n_contexts, n_features = zeta.shape
    size = n_contexts**n_units * n_features
    if size > MAX_PREDICTOR_ENTRIES or n_units > MAX_UNITS_IN_PREDICTORS:
        raise ValueError(
            f"expected at most {MAX_PREDICTOR_ENTRIES:,} entries of beta and "
            f"{MAX_UNITS_IN_PREDICTORS} units, got {n_contexts}^{n_units} * {n_features} = "
            f"10^{math.log10(size):.1f} entries and {n_units} units; use free_predictors"
        )
    beta = zeta[0].copy()
    for weights in zeta[1:]:
        beta = beta[..., None, :] + weights
    return beta


def free_predictors(zeta: ArrayLike) -> FloatArray:
    r"""Give the predictors that can be chosen freely and determine all others.

    By Lemma B.7 of the paper they belong to the global contexts with at most one unit outside
    context 0. Row 0 is :math:`\sum_h \zeta_{h0}`; row :math:`1 + h (C - 1) + (c - 1)` is the
    predictor of unit h in context c > 0 and all others in context 0.

    Parameters
    ----------
    zeta : array-like of shape (n_units, n_contexts, n_features)
        Unit weights.

    Returns
    -------
    ndarray of shape ((n_contexts - 1) * n_units + 1, n_features)
        Free predictors.

    Examples
    --------
    >>> from gnorm.gated import free_predictors
    >>> free_predictors([[[1.0], [3.0]], [[0.0], [8.0]]]).ravel()
    array([1., 3., 9.])
    """
    zeta = check_even(zeta)
    first = zeta[:, 0].sum(axis=0)
    moved = first + (zeta[:, 1:] - zeta[:, :1])
    return np.concatenate([first[None], moved.reshape(-1, zeta.shape[2])])


def from_free_predictors(free: ArrayLike, n_units: int, n_contexts: int) -> FloatArray:
    """Canonical weights with the given free predictors: the inverse of :func:`free_predictors`.

    Parameters
    ----------
    free : array-like of shape ((n_contexts - 1) * n_units + 1, n_features)
        Free predictors, in the order of :func:`free_predictors`. Any values are realisable.
    n_units : int
        Number of units.
    n_contexts : int
        Number of contexts per unit.

    Returns
    -------
    ndarray of shape (n_units, n_contexts, n_features)
        The weights of least cost with these predictors, see :func:`canonical`.

    Raises
    ------
    ValueError
        If a number is below 1.

    Examples
    --------
    >>> from gnorm.gated import free_predictors, from_free_predictors
    >>> zeta = from_free_predictors([[1.0], [3.0], [9.0]], n_units=2, n_contexts=2)
    >>> free_predictors(zeta).round(12).ravel()
    array([1., 3., 9.])
    """
    if n_units < 1 or n_contexts < 1:
        raise ValueError(
            f"expected at least one unit and one context, got n_units={n_units}, "
            f"n_contexts={n_contexts}"
        )
    free = _as_real(free, "free", (n_contexts - 1) * n_units + 1, "n_features")
    # The first predictor joins as part of the mean, not of a unit, where rounding would mix it
    # into the deviations.
    n_features = free.shape[1]
    moves = np.zeros((n_units, n_contexts, n_features))
    moves[:, 1:] = (free[1:] - free[0]).reshape(n_units, n_contexts - 1, n_features)
    beta_bar, deviations = main_effects(moves)
    return _share_mean(free[0] + beta_bar, deviations)


class NotRealizableError(ValueError):
    r"""A family of predictors that no gated linear network has.

    Moving one unit between two of its contexts must change the predictor by the same vector
    whatever the contexts of the other units. It does not: with a, b, c, d the four `contexts`,
    ``beta[a] - beta[b]`` differs from ``beta[c] - beta[d]``.

    Parameters
    ----------
    units : tuple of int
        Unit that moves, and unit whose context makes the difference.
    contexts : tuple of four tuples of int
        Global contexts a, b, c, d, indices of beta.
    violation : float
        Largest entry of ``abs((beta[a] - beta[b]) - (beta[c] - beta[d]))``.
    largest : float
        Largest entry of ``abs(beta)``.
    tol : float
        Violation that was allowed, relative to `largest`.
    """

    def __init__(
        self,
        units: tuple[int, int],
        contexts: tuple[tuple[int, ...], ...],
        violation: float,
        largest: float,
        tol: float,
    ) -> None:
        super().__init__(units, contexts, violation, largest, tol)  # what pickle restores from
        self.units = units
        self.contexts = contexts
        self.violation = violation
        self.largest = largest
        self.tol = tol

    def __str__(self) -> str:
        (h, k), (a, b, c, d) = self.units, self.contexts
        return (
            f"no gated linear network has these predictors: moving unit {h} from context {b[h]} "
            f"to context {a[h]} must change the predictor by the same vector in context {a[k]} "
            f"and in context {c[k]} of unit {k}, but beta{list(a)} - beta{list(b)} and "
            f"beta{list(c)} - beta{list(d)} differ by up to {self.violation:.3g}, "
            f"{self.violation / self.largest:.3g} of the largest entry of beta (tol={self.tol:g})"
        )


def _check_equivariance(beta: FloatArray, tol: float) -> None:
    """Raise if some difference between predictors depends on a context they share.

    For units h < k, all others before k stay in context 0 and all after k range freely. Every
    global context with two or more units outside context 0 is so met once, and compared with
    contexts that have fewer such units; by induction beta is additive if each comparison holds.
    """
    largest = float(np.abs(beta).max())
    # From the last pair, so that the error names contexts with few units outside context 0.
    for h, k in reversed(list(itertools.combinations(range(beta.ndim - 1), 2))):
        before, between = (0,) * h, (0,) * (k - h - 1)
        index: tuple[Any, ...] = (*before, slice(None), *between)
        part = beta[index]
        moves = part[1:] - part[:1]
        gaps = np.abs(moves[:, 1:] - moves[:, :1]).max(axis=-1)
        violations = np.argwhere(gaps > tol * largest)
        if len(violations):
            i, j, *rest = violations[0].tolist()
            contexts = tuple(
                (*before, c, *between, e, *rest)
                for c, e in ((i + 1, j + 1), (0, j + 1), (i + 1, 0), (0, 0))
            )
            raise NotRealizableError((h, k), contexts, float(gaps[i, j, *rest]), largest, tol)


def from_predictors(beta: ArrayLike, tol: float = 1e-8) -> FloatArray:
    r"""Canonical weights of a family of predictors, one for each global context.

    Such weights exist exactly if the difference between two predictors does not depend on the
    contexts they share, equations (16) and (46) of the paper: for every two units, in contexts
    c, c' and e, e', and any contexts of the others,

    .. math:: \beta_{c e} - \beta_{c' e} = \beta_{c e'} - \beta_{c' e'} .

    Parameters
    ----------
    beta : array-like of shape (n_contexts,) * n_units + (n_features,)
        Predictors.
    tol : float, default=1e-8
        Violation of an equation that is put down to rounding, as a fraction of the largest entry
        of beta. The weights then reproduce the free predictors.

    Returns
    -------
    ndarray of shape (n_units, n_contexts, n_features)
        The weights of least cost with these predictors, see :func:`canonical`.

    Raises
    ------
    NotRealizableError
        If no gated linear network has these predictors.
    ValueError
        If tol is not a non-negative number.

    Examples
    --------
    >>> from gnorm.gated import from_predictors, predictors
    >>> zeta = from_predictors([[[1.0], [9.0]], [[3.0], [11.0]]])
    >>> predictors(zeta).round(12)[:, :, 0]
    array([[ 1.,  9.],
           [ 3., 11.]])
    """
    if not (isinstance(tol, Real) and math.isfinite(tol) and tol >= 0):
        raise ValueError(f"expected a finite tol >= 0, got {tol!r}")
    shape = np.shape(beta)
    if len(shape) < 2 or len(set(shape[:-1])) != 1:
        raise ValueError(
            f"expected beta of shape (n_contexts,) * n_units + (n_features,), got shape {shape}"
        )
    n_units, n_contexts = len(shape) - 1, shape[0]
    beta = _as_real(beta, "beta", *["n_contexts"] * n_units, "n_features")
    _check_equivariance(beta, tol)
    first = (0,) * n_units
    lines: list[tuple[Any, ...]] = [
        (*first[:h], slice(1, None), *first[h + 1 :]) for h in range(n_units)
    ]
    free = np.concatenate([beta[first][None], *(beta[line] for line in lines)])
    return from_free_predictors(free, n_units, n_contexts)


def _share_mean(beta_bar: FloatArray, deviations: FloatArray) -> FloatArray:
    """Weights with these main effects, every unit with a share of the mean like its spread.

    They take the place of the deviations, as what a solve keeps beside each other is what it takes.
    """
    spreads = frobenius_norms(deviations)
    total = spreads.sum()
    shares = spreads / total if total > 0 else np.full(len(spreads), 1 / len(spreads))
    deviations += shares[:, None, None] * beta_bar
    return deviations


def canonical(zeta: ArrayLike) -> FloatArray:
    r"""Find the weights of least cost among all with the same predictors.

    With :math:`\bar\beta`, d of :func:`main_effects` and the spreads :math:`s_h = \|d_h\|_F`,

    .. math:: \zeta^*_{hc} = d_{hc} + \frac{s_h}{\sum_k s_k} \bar\beta

    minimises :math:`\sum_h \|\zeta_h\|_F`, and its cost is :func:`gnorm.norms.gln_norm`. Where all
    spreads are zero, any convex shares of the mean do; they are taken equal.

    Parameters
    ----------
    zeta : array-like of shape (n_units, n_contexts, n_features)
        Unit weights.

    Returns
    -------
    ndarray of shape (n_units, n_contexts, n_features)
        Canonical weights.

    Notes
    -----
    With :math:`\zeta_{hc} = d_{hc} + u_h` and :math:`\sum_h u_h = \bar\beta`, the cost is the sum
    of the lengths of the vectors :math:`(s_h, \sqrt{C} u_h)`, so at least the length of their sum
    :math:`(\sum_h s_h, \sqrt{C} \bar\beta)`, with equality where they are parallel.

    Examples
    --------
    >>> from gnorm.gated import canonical
    >>> canonical([[[1.0], [3.0]], [[0.0], [8.0]]])[:, :, 0].round(12)
    array([[0.2, 2.2],
           [0.8, 8.8]])
    """
    return _share_mean(*main_effects(check_even(zeta)))


def to_network(zeta: ArrayLike) -> tuple[FloatArray, FloatArray]:
    r"""Build the two-layer network of least squared norm with unit weights zeta.

    Among all w with :math:`w^2_h w^1_h = \zeta_h` it is the balanced one (equation (18) of the
    paper), :math:`|w^2_h| = \|w^1_h\|_F = \sqrt{\|\zeta_h\|_F}`, and
    :math:`\|w\|^2 = 2 \sum_h \|\zeta_h\|_F`.

    Parameters
    ----------
    zeta : array-like of shape (n_units, n_contexts, n_features)
        Unit weights.

    Returns
    -------
    w1 : ndarray of shape (n_units, n_contexts, n_features)
        First layer.
    w2 : ndarray of shape (n_units,)
        Second layer, non-negative.

    Examples
    --------
    >>> from gnorm.gated import to_network
    >>> w1, w2 = to_network([[[0.0, 4.0]]])
    >>> w1, w2
    (array([[[0., 2.]]]), array([2.]))
    """
    zeta = check_zeta(zeta)
    w2 = np.sqrt(frobenius_norms(zeta))
    return zeta / np.where(w2 > 0, w2, 1.0)[:, None, None], w2


def from_network(w1: ArrayLike, w2: ArrayLike) -> FloatArray:
    r"""Multiply the layers of a network into its unit weights :math:`\zeta_h = w^2_h w^1_h`.

    Parameters
    ----------
    w1 : array-like of shape (n_units, n_contexts, n_features)
        First layer.
    w2 : array-like of shape (n_units,)
        Second layer, of any sign.

    Returns
    -------
    ndarray of shape (n_units, n_contexts, n_features)
        Unit weights.

    Examples
    --------
    >>> from gnorm.gated import from_network
    >>> from_network([[[0.0, 2.0]]], [2.0])
    array([[[0., 4.]]])
    """
    w1 = check_zeta(w1, "w1")
    return w1 * _as_real(w2, "w2", len(w1))[:, None, None]
