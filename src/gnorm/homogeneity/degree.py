r"""The degree of a function, its measurement and its test.

A function is positively homogeneous of degree :math:`\nu` if :math:`f(a x) = a^\nu f(x)` for all
:math:`a > 0`, and homogeneous under a dilation d if :math:`f(d(s) x) = e^{\nu s} f(x)`. Scaling is
the dilation with :math:`e^s = a`, and is meant where none is given. The derivative in s at zero is
Euler's identity :math:`\langle \nabla f(x), G x \rangle = \nu f(x)`, which also holds for every
element of the Clarke subdifferential of a locally Lipschitz f.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gnorm.homogeneity.dilation import Dilation
from gnorm.homogeneity.evaluation import (
    FloatArray,
    Function,
    check_rows,
    directional_derivatives,
    evaluate,
)

__all__ = [
    "Degree",
    "NotHomogeneousError",
    "check_homogeneous",
    "estimate_degree",
    "euler_residual",
]

# Powers of two scale floating point numbers without rounding.
SCALES = (0.25, 0.5, 2.0, 4.0)
# Of the largest value on the unit sphere: below it a value may be what cancellation has left of
# zero; and a value so many times larger than that is not zero, whatever was cancelled.
ROUNDING = 1e-13
VISIBLE = 1e5  # the five digits that a cancellation must have left to be seen


class NotHomogeneousError(ValueError):
    """A function does not scale by the degree that was expected of it, or by any."""


@dataclass(frozen=True, eq=False)
class Degree:
    """Degree of homogeneity, as measured along rays.

    Every attribute but `local` and `scales` is a number, or an array of shape (n_outputs,) if the
    function has an axis of outputs.

    Attributes
    ----------
    value : float or ndarray
        Median of the local degrees; NaN if there are none, or if they mean nothing because the sign
        changes along a ray.
    spread : float or ndarray
        Largest distance of a local degree from `value`; infinite if the sign changes.
    is_homogeneous : bool or ndarray
        Whether the spread is at most the tolerance and no sign changes. True for a function that
        is zero everywhere, which is homogeneous of every degree: `value` is NaN then.
    n_sign_changes : int or ndarray
        Points at which the sign is not the same at all scales, where zero is a sign.
    n_zeros : int or ndarray
        Points at which the function is zero at all scales, and which say nothing.
    local : ndarray of shape (n_scales, n_samples) or (n_scales, n_samples, n_outputs)
        log(f(a x) / f(x)) / log a; NaN where a value is zero or the sign changes.
    scales : ndarray of shape (n_scales,)
        The scales a.
    """

    value: float | FloatArray
    spread: float | FloatArray
    is_homogeneous: bool | NDArray[np.bool_]
    n_sign_changes: int | NDArray[np.int64]
    n_zeros: int | NDArray[np.int64]
    local: FloatArray
    scales: FloatArray

    def __str__(self) -> str:
        n_samples = self.local.shape[1]
        columns = (self.value, self.spread, self.is_homogeneous, self.n_sign_changes, self.n_zeros)
        texts = []
        for value, spread, fits, changes, zeros in zip(
            *(np.atleast_1d(c) for c in columns), strict=True
        ):
            if changes:
                texts.append(
                    f"not homogeneous: the sign changes along {changes} of {n_samples} rays"
                )
            elif zeros == n_samples:
                texts.append(f"zero at all {n_samples} points, homogeneous of every degree")
            elif fits:
                texts.append(f"homogeneous of degree {value:.6g} +- {spread:.1g}")
            else:
                texts.append(f"not homogeneous: local degrees {value:.3g} +- {spread:.2g}")
        if np.ndim(self.value) == 0:
            return texts[0]
        return "\n".join(f"output {k}: {text}" for k, text in enumerate(texts))


def estimate_degree(
    func: Function,
    X: ArrayLike,
    *,
    scales: ArrayLike | None = None,
    tol: float = 1e-6,
    dilation: Dilation | None = None,
) -> Degree:
    r"""Measure the degree of homogeneity of a function, or that it has none.

    .. math:: \nu = \frac{\log \bigl( f(d(\log a) x) / f(x) \bigr)}{\log a}

    at every point and scale; the answer is their median, with the largest distance from it as
    spread. A function such as :math:`f(x) = 1 + x` gets a large spread, one that changes its sign
    along a ray no number at all.

    Parameters
    ----------
    func : callable
        Function from an array of shape (n_samples, n_features) to one of shape (n_samples,) or
        (n_samples, n_outputs).
    X : array-like of shape (n_samples, n_features)
        Points to measure at. The verdict is about these points and scales.
    scales : array-like of shape (n_scales,), default=None
        Factors a > 0 other than 1; None takes 1/4, 1/2, 2 and 4.
    tol : float, default=1e-6
        Largest spread of a homogeneous function.
    dilation : Dilation, default=None
        Dilation along which the function is to scale; None for scaling.

    Returns
    -------
    Degree
        Degree, spread and verdict, for each output.

    Raises
    ------
    ValueError
        If a scale is not positive or is 1, or the function has values that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.homogeneity import Dilation, estimate_degree
    >>> X = np.random.default_rng(0).normal(size=(20, 2))
    >>> print(estimate_degree(lambda X: np.abs(X).sum(axis=1) ** 1.5, X))
    homogeneous of degree 1.5 +- ...
    >>> print(estimate_degree(lambda X: X[:, 0] + 1.0, X))
    not homogeneous: the sign changes along ... of 20 rays
    >>> print(estimate_degree(lambda X: X[:, 0] ** 2 + X[:, 1], X, dilation=Dilation([1, 2])))
    homogeneous of degree 2 +- ...
    """
    X = check_rows(X)
    factors = _check_scales(scales)
    base = evaluate(func, X)
    moved = np.stack([evaluate(func, _move(X, a, dilation)) for a in factors])
    # by a first guess of the degree, all values are compared as if their points were on the sphere
    with np.errstate(divide="ignore", invalid="ignore"):
        guesses = np.log(np.abs(moved / base)) / np.log(factors).reshape(-1, *[1] * base.ndim)
    finite = np.isfinite(guesses)
    guess = float(np.median(guesses[finite])) if finite.any() else 0.0
    radius = _radius(X, guess, dilation).reshape(-1, *[1] * (base.ndim - 1))
    base_sign = _signs(base / radius)
    moved_sign = np.stack([_signs(values / radius) for values in moved])
    changed = ((base_sign != moved_sign) & ~np.isnan(base_sign) & ~np.isnan(moved_sign)).any(axis=0)
    usable = (np.abs(base_sign) == 1) & (base_sign == moved_sign)
    local = np.where(usable, guesses, np.nan)

    columns = local.reshape(-1, *base.shape[1:])
    n_changes = changed.sum(axis=0)
    n_zeros = ((base_sign == 0) & (moved_sign == 0).all(axis=0)).sum(axis=0)
    value, spread = np.full(base.shape[1:], np.nan), np.full(base.shape[1:], np.nan)
    measured = ~np.isnan(columns).all(axis=0) & (n_changes == 0)
    if measured.any():
        value[measured] = np.nanmedian(columns[:, measured], axis=0)
        spread[measured] = np.nanmax(np.abs(columns[:, measured] - value[measured]), axis=0)
    spread = np.where(n_changes > 0, np.inf, spread)
    fits = (n_changes == 0) & ((spread <= tol) | (n_zeros == len(X)))
    if base.ndim == 1:
        return Degree(
            float(value), float(spread), bool(fits), int(n_changes), int(n_zeros), local, factors
        )
    return Degree(value, spread, fits, n_changes, n_zeros, local, factors)


def check_homogeneous(
    func: Function,
    X: ArrayLike,
    degree: ArrayLike,
    rtol: float = 1e-6,
    *,
    scales: ArrayLike | None = None,
    dilation: Dilation | None = None,
) -> float:
    r"""Raise unless :math:`f(d(\log a) x) = a^\nu f(x)` at the points and scales.

    Parameters
    ----------
    func : callable
        Function of rows, as for :func:`estimate_degree`.
    X : array-like of shape (n_samples, n_features)
        Points.
    degree : float or array-like of shape (n_outputs,)
        Degree :math:`\nu` to check.
    rtol : float, default=1e-6
        Largest difference, relative to the larger side. What cancellation can leave, 1e-13 of the
        largest value among the points, is no difference.
    scales : array-like of shape (n_scales,), default=None
        Factors a > 0 other than 1; None takes 1/4, 1/2, 2 and 4.
    dilation : Dilation, default=None
        Dilation along which the function is to scale; None for scaling.

    Returns
    -------
    float
        Largest relative difference.

    Raises
    ------
    NotHomogeneousError
        If a difference is larger than `rtol`; the message says where.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.homogeneity import check_homogeneous
    >>> check_homogeneous(np.square, [[1.0], [-3.0]], 2)
    0.0
    """
    X = check_rows(X)
    if not rtol > 0:
        raise ValueError(f"expected rtol > 0, got {rtol}")
    base = evaluate(func, X)
    degrees = _check_degrees(degree, base)
    radius = np.stack([_radius(X, nu, dilation) for nu in np.atleast_1d(degrees)], axis=1)
    radius = radius.reshape(len(X), *[-1] * (base.ndim - 1))
    worst = 0.0
    for a in _check_scales(scales):
        values, expected = evaluate(func, _move(X, a, dilation)), a**degrees * base
        size = np.maximum(np.abs(values), np.abs(expected))
        floor = ROUNDING / rtol * radius * (size / radius).max(axis=0)
        with np.errstate(invalid="ignore"):
            difference = np.nan_to_num(np.abs(values - expected) / (size + floor))
        where = np.unravel_index(np.argmax(difference), difference.shape)
        if not difference[where] <= rtol:
            raise NotHomogeneousError(
                f"expected f = {expected[where]:.6g} at row {int(where[0])} of X scaled by {a:g}, "
                f"as degree {degrees} says, got {values[where]:.6g}"
            )
        worst = max(worst, float(difference[where]))
    return worst


def euler_residual(
    func: Function,
    X: ArrayLike,
    degree: ArrayLike,
    gradient: Function | None = None,
    *,
    dilation: Dilation | None = None,
) -> FloatArray:
    r"""Residual of Euler's identity, :math:`\langle \nabla f(x), G x \rangle - \nu f(x)`.

    It is zero for every x, and for every Clarke subgradient in place of the gradient, if and only
    if f is homogeneous of degree :math:`\nu`.

    Parameters
    ----------
    func : callable
        Function of rows, as for :func:`estimate_degree`.
    X : array-like of shape (n_samples, n_features)
        Points.
    degree : float or array-like of shape (n_outputs,)
        Degree :math:`\nu`.
    gradient : callable, default=None
        From X to gradients of shape (n_samples, n_features), or (n_samples, n_outputs, n_features).
        None takes difference quotients along Gx, of fourth order; where f has a kink along Gx
        itself, which no homogeneous function has, quotients from both sides, and the larger
        residual of the two.
    dilation : Dilation, default=None
        Dilation with generator G; None for scaling, where G = I.

    Returns
    -------
    ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Residuals, in the unit of f.

    Raises
    ------
    ValueError
        If the gradient has another shape than it should.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.homogeneity import euler_residual
    >>> norm = lambda X: np.linalg.norm(X, axis=1)
    >>> bool(abs(euler_residual(norm, [[3.0, 4.0], [0.0, 1.0]], 1)).max() < 1e-10)
    True
    >>> euler_residual(lambda X: X[:, 0] + 1.0, [[3.0, 4.0]], 1).round(9)
    array([-1.])
    """
    X = check_rows(X)
    directions = X if dilation is None else X @ dilation.generator.T
    values = evaluate(func, X)
    expected = _check_degrees(degree, values) * values
    if gradient is not None:
        gradients = np.asarray(gradient(X), dtype=np.float64)
        if gradients.shape != (*values.shape, X.shape[1]):
            raise ValueError(
                f"expected gradients of shape {(*values.shape, X.shape[1])}, got {gradients.shape}"
            )
        residual: FloatArray = np.einsum("n...d,nd->n...", gradients, directions) - expected
        return residual
    forward, backward = (side - expected for side in directional_derivatives(func, X, directions))
    return np.where(np.abs(forward) >= np.abs(backward), forward, backward)


def _move(X: FloatArray, scale: float, dilation: Dilation | None) -> FloatArray:
    return scale * X if dilation is None else dilation.apply(X, float(np.log(scale)))


def _check_degrees(degree: ArrayLike, values: FloatArray) -> FloatArray:
    degrees = np.asarray(degree, dtype=np.float64)
    if degrees.shape not in ((), values.shape[1:]) or not np.isfinite(degrees).all():
        raise ValueError(
            "expected a finite degree, or one for each output of a function with an axis of them, "
            f"got {degrees} for values of shape {values.shape}"
        )
    return degrees


def _check_scales(scales: ArrayLike | None) -> FloatArray:
    factors = np.asarray(SCALES if scales is None else scales, dtype=np.float64)
    if factors.ndim != 1 or len(factors) == 0:
        raise ValueError(f"expected scales of shape (n_scales,), got shape {factors.shape}")
    if not (np.isfinite(factors).all() and (factors > 0).all() and (factors != 1).all()):
        raise ValueError(f"expected positive finite scales other than 1, got {factors}")
    return factors


def _radius(X: FloatArray, degree: float, dilation: Dilation | None) -> FloatArray:
    """Norms to the power of the degree, and 1 at zero, which has no direction."""
    logs = (Dilation.standard(X.shape[1]) if dilation is None else dilation).log_norm(X)
    return np.exp(degree * np.where(np.isneginf(logs), 0.0, logs))


def _signs(values: FloatArray) -> FloatArray:
    """-1, 0 or 1, and NaN between what may be a rounded zero and what cannot be."""
    size = np.abs(values)
    zero = ROUNDING * size.max(axis=0)
    return np.where(size > zero * VISIBLE, np.sign(values), np.where(size <= zero, 0.0, np.nan))
