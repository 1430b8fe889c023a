r"""Functions that know their degree, and what can be made of them.

The rules, for f of degree r and g of degree s: the product :math:`f g` has degree :math:`r + s`,
the composition :math:`f \circ g` has :math:`r s`, a power :math:`f^p` has :math:`p r`, an average
of functions of one degree has that degree, and any function of a function of degree 0 has degree 0.
All that depends on :math:`\|x\|` is in the degree: :math:`f(x) = \|x\|^r f(x / \|x\|)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from gnorm.homogeneity.degree import NotHomogeneousError, check_homogeneous
from gnorm.homogeneity.dilation import Dilation
from gnorm.homogeneity.evaluation import FloatArray, Function, check_rows, evaluate

__all__ = [
    "HomogeneousFunction",
    "average",
    "compose",
    "limit_along",
    "multiply",
    "power",
    "radial_spherical",
]

# A continuous function of degree 0 differs from its limit along a x + y by about |y| / (a |x|): at
# 2^k for k up to here that is rounding, and y is not yet lost in the sum.
_LAST_DOUBLING = 45
_SETTLED = 8  # doublings without change, so that a slow oscillation is not taken for a limit


@dataclass(frozen=True, eq=False)
class HomogeneousFunction:
    r"""A function with its degree, :math:`f(a x) = a^r f(x)` for :math:`a > 0`.

    Parameters
    ----------
    func : callable
        Function from an array of shape (n_samples, n_features) to one of shape (n_samples,) or
        (n_samples, n_outputs).
    degree : float
        Its degree r. It is believed: :meth:`check` measures it.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.homogeneity import HomogeneousFunction, multiply
    >>> norm = HomogeneousFunction(lambda X: np.linalg.norm(X, axis=1), 1)
    >>> multiply(norm, norm).degree
    2.0
    """

    func: Function
    degree: float

    def __post_init__(self) -> None:
        if not callable(self.func):
            raise TypeError(f"expected a function, got {type(self.func).__name__}")
        if not np.isfinite(self.degree):
            raise ValueError(f"expected a finite degree, got {self.degree}")

    def __call__(self, X: FloatArray) -> FloatArray:
        """Values at the rows of X."""
        return np.asarray(self.func(X), dtype=np.float64)

    def check(self, X: ArrayLike, rtol: float = 1e-6) -> HomogeneousFunction:
        """Return the function itself, once its degree is checked at the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.
        rtol : float, default=1e-6
            Largest relative difference.

        Returns
        -------
        HomogeneousFunction
            The function.

        Raises
        ------
        NotHomogeneousError
            If it does not scale by its degree there.
        """
        check_homogeneous(self.func, X, self.degree, rtol)
        return self


def compose(outer: Function, inner: HomogeneousFunction) -> HomogeneousFunction:
    r"""Composition :math:`f \circ g`, of degree :math:`r s`; of degree 0 for any f if g has that.

    Parameters
    ----------
    outer : HomogeneousFunction or callable
        Function f of what `inner` returns.
    inner : HomogeneousFunction
        Function g.

    Returns
    -------
    HomogeneousFunction
        The composition.

    Raises
    ------
    NotHomogeneousError
        If `inner` has no degree, or `outer` has none and the degree of `inner` is not 0.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.homogeneity import HomogeneousFunction, compose
    >>> direction = HomogeneousFunction(lambda X: X / np.linalg.norm(X, axis=1)[:, None], 0)
    >>> compose(np.exp, direction).degree
    0.0
    """
    degree = _degree(inner)
    if degree != 0:
        if not isinstance(outer, HomogeneousFunction):
            raise NotHomogeneousError(
                "expected an outer function of known degree, or an inner function of degree 0, got "
                f"a function without degree of one of degree {degree:g}"
            )
        degree *= outer.degree
    return HomogeneousFunction(lambda X: outer(inner(X)), degree)


def multiply(*functions: HomogeneousFunction) -> HomogeneousFunction:
    """Product of the functions, whose degree is the sum of theirs.

    Parameters
    ----------
    *functions : HomogeneousFunction
        Factors.

    Returns
    -------
    HomogeneousFunction
        The product.

    Raises
    ------
    NotHomogeneousError
        If a factor has no degree.
    ValueError
        If there are no factors.
    """
    degrees = _degrees(functions)

    def product(X: FloatArray) -> FloatArray:
        r"""Compute :math:`\prod_i f_i(x_n)`, shape (n_samples,), or (n_samples, n_outputs)."""
        values = functions[0](X)
        for function in functions[1:]:
            values = values * function(X)
        return values

    return HomogeneousFunction(product, float(sum(degrees)))


def average(
    *functions: HomogeneousFunction, weights: ArrayLike | None = None
) -> HomogeneousFunction:
    """Arithmetic mean of functions of one degree, which is that of the mean.

    Parameters
    ----------
    *functions : HomogeneousFunction
        Functions.
    weights : array-like of shape (n_functions,), default=None
        Their weights; None for equal ones.

    Returns
    -------
    HomogeneousFunction
        The mean.

    Raises
    ------
    NotHomogeneousError
        If a function has no degree or the degrees differ: such a sum scales by no power.
    ValueError
        If there are no functions, or not as many weights, or weights whose sum is zero.
    """
    degrees = _degrees(functions)
    if len({*degrees}) != 1:
        listed = ", ".join(f"{degree:g}" for degree in degrees)
        raise NotHomogeneousError(
            "expected functions of one degree, whose average scales like each, got degrees "
            + listed
        )
    shares = np.ones(len(functions)) if weights is None else np.asarray(weights, dtype=np.float64)
    if shares.shape != (len(functions),) or not np.isfinite(shares).all() or shares.sum() == 0:
        raise ValueError(
            f"expected {len(functions)} finite weights whose sum is not zero, got {shares}"
        )
    shares = shares / shares.sum()
    return HomogeneousFunction(
        lambda X: np.sum([w * f(X) for w, f in zip(shares, functions, strict=True)], axis=0),
        degrees[0],
    )


def power(function: HomogeneousFunction, exponent: float) -> HomogeneousFunction:
    r"""Power :math:`f^p`, of degree :math:`p r`.

    Parameters
    ----------
    function : HomogeneousFunction
        Function f, not negative where p is no integer and not zero where p is negative.
    exponent : float
        Exponent p.

    Returns
    -------
    HomogeneousFunction
        The power. It raises ValueError at points where it is not a finite number.

    Raises
    ------
    NotHomogeneousError
        If the function has no degree.
    """
    degree = _degree(function)

    def raised(X: FloatArray) -> FloatArray:
        r"""Compute :math:`f(x_n)^p`, in the shape of the values of f.

        Raises
        ------
        ValueError
            If a value has no such power: it is negative, or zero under a negative exponent.
        """
        values = function(X)
        if (exponent != round(exponent) and (values < 0).any()) or (
            exponent < 0 and (values == 0).any()
        ):
            raise ValueError(
                f"expected values that have a power of {exponent:g}, got {values.min():.6g}"
                if exponent != round(exponent)
                else f"expected values other than zero for a power of {exponent:g}, got zero"
            )
        result: FloatArray = values**exponent
        return result

    return HomogeneousFunction(raised, degree * exponent)


def radial_spherical(
    func: Function, norm: float | Dilation = 2, *, degree: float | None = None
) -> tuple[HomogeneousFunction, HomogeneousFunction]:
    r"""Split a function of degree r into what it does along rays and what it does on the sphere.

    .. math:: f(x) = \|x\|^r \cdot f(x / \|x\|)

    and under a dilation :math:`f(x) = \|x\|_d^r \cdot f(\pi(x))`.

    Parameters
    ----------
    func : HomogeneousFunction or callable
        Function f.
    norm : float or Dilation, default=2
        Order of the norm, at least 1 and up to infinity, or the dilation under which f is
        homogeneous.
    degree : float, default=None
        Degree of f; None asks `func`.

    Returns
    -------
    radial, spherical : HomogeneousFunction
        The factors, of degrees r and 0 (under the dilation). The second is not defined at zero and
        raises ValueError there.

    Raises
    ------
    NotHomogeneousError
        If the degree is neither given nor known.
    ValueError
        If the order of the norm is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.homogeneity import HomogeneousFunction, radial_spherical
    >>> f = HomogeneousFunction(lambda X: X[:, 0] * X[:, 1], 2)
    >>> radial, spherical = radial_spherical(f)
    >>> radial(np.array([[3.0, 4.0]])), spherical(np.array([[3.0, 4.0]]))
    (array([25.]), array([0.48]))
    """
    r = _degree(func) if degree is None else float(degree)
    if isinstance(norm, Dilation):
        dilation = norm
        return (
            HomogeneousFunction(lambda X: dilation.norm(X) ** r, r),
            HomogeneousFunction(lambda X: evaluate(func, dilation.project(X)), 0.0),
        )
    order = norm
    if not isinstance(order, Real) or not order >= 1:
        raise ValueError(f"expected the order of a norm, at least 1, or a Dilation, got {norm!r}")

    def length(X: FloatArray) -> FloatArray:
        r"""Compute :math:`\|x_n\|`, shape (n_samples,)."""
        return np.linalg.norm(check_rows(X), ord=order, axis=1)

    def spherical(X: FloatArray) -> FloatArray:
        r"""Compute :math:`f(x_n / \|x_n\|)`, in the shape of the values of f.

        Raises
        ------
        ValueError
            If a point is zero.
        """
        lengths = length(X)
        if not lengths.all():
            raise ValueError(
                "expected points other than zero, which has no direction, got zero in row "
                f"{int(np.argmin(lengths))}"
            )
        return evaluate(func, X / lengths[:, None])

    return HomogeneousFunction(lambda X: length(X) ** r, r), HomogeneousFunction(spherical, 0.0)


def limit_along(
    func: Function,
    direction: ArrayLike,
    *,
    offset: ArrayLike | None = None,
    rtol: float = 1e-8,
) -> float | FloatArray:
    r"""Limit of :math:`f(a x + y)` as a goes to infinity.

    A function of degree 0 that is continuous at x tends to f(x), whatever y is: far away only the
    direction is seen. The limit is computed, not assumed, so that it is also right for a function
    that becomes one of degree 0, such as a normalisation with a small constant in it.

    Parameters
    ----------
    func : callable
        Function of rows.
    direction : array-like of shape (n_features,)
        Direction x, not zero.
    offset : array-like of shape (n_features,), default=None
        Start y of the ray; None for zero.
    rtol : float, default=1e-8
        Change over the last doublings of a, relative to the largest value on the ray, that counts
        as none.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        The limit.

    Raises
    ------
    NotHomogeneousError
        If the values have not settled after 45 doublings of a: the function grows or oscillates
        along the ray.
    ValueError
        If the direction is zero, or it or the offset is not one vector.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.homogeneity import limit_along
    >>> direction = lambda X: X / np.linalg.norm(X, axis=1)[:, None]
    >>> limit_along(direction, [3.0, 4.0], offset=[5.0, -7.0]).round(6)
    array([0.6, 0.8])
    """
    x = check_rows(np.atleast_2d(np.asarray(direction, dtype=np.float64)))
    y = np.zeros_like(x) if offset is None else check_rows(np.atleast_2d(offset), x.shape[1])
    if len(x) != 1 or len(y) != 1 or not x.any():
        raise ValueError("expected one direction other than zero and one offset, got other vectors")
    # twice as far as the offset is long, so that no point is zero
    start = max(1.0, 2.0 * float(np.abs(y).max() / np.abs(x).max()))
    factors = start * 2.0 ** np.arange(_LAST_DOUBLING + 1)
    values = evaluate(func, factors[:, None] * x + y)
    change = np.abs(np.diff(values[-_SETTLED:], axis=0)).max(axis=0)
    if not (change <= rtol * np.abs(values).max(axis=0)).all():
        raise NotHomogeneousError(
            "expected a function that settles along the direction, as one of degree 0 does, got "
            f"{values[-2]} at a = {factors[-2]:.2g} and {values[-1]} at twice that"
        )
    limit = values[-1]
    return float(limit) if values.ndim == 1 else limit


def _degree(function: Function) -> float:
    if not isinstance(function, HomogeneousFunction):
        raise NotHomogeneousError(
            "expected a function that knows its degree, as HomogeneousFunction(func, degree) does, "
            f"got {function!r}"
        )
    return float(function.degree)


def _degrees(functions: tuple[HomogeneousFunction, ...]) -> list[float]:
    if not functions:
        raise ValueError("expected at least one function, got none")
    return [_degree(function) for function in functions]
