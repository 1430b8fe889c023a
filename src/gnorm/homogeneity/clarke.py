r"""Clarke's subdifferential: what stands for the gradient at a kink.

For a locally Lipschitz f it is the convex hull of the limits of gradients,

.. math:: \partial f(x) = \operatorname{conv} \{ \lim \nabla f(x_i) : x_i \to x,\;
    \nabla f(x_i) \text{ exists} \},

and for a piecewise smooth f the hull of the gradients, at x, of the pieces whose regions have
interior points arbitrarily close to x. Zero is in it at every local minimum and maximum, and the
negative of its element of least norm is the direction of steepest descent. What automatic
differentiation returns at a kink, by its convention for the derivative of max(0, z) at z = 0, need
not be an element.

References
----------
.. [1] F. H. Clarke (1990). Optimization and Nonsmooth Analysis. SIAM.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog, nnls
from sklearn.utils import check_random_state

from gnorm.homogeneity.evaluation import FloatArray, Function, check_rows, evaluate

__all__ = [
    "ClarkeSubdifferential",
    "MaxAffine",
    "PiecewiseAffine",
    "ReLUComposition",
    "clarke_subdifferential",
]

# Of the largest gradient: gradients that are closer are one, and a point that is closer to the hull
# is in it. The least squares that decide it are right to about 1e-14 of the gradients.
TOL = 1e-9
# Of the size of x and the function: values that are closer to a kink are on it.
KINK_TOL = 1e-10
# Open cones next to a point: a linear program for each, of about a millisecond.
_MAX_CELLS = 4096
# A cone with less of an opening, as a margin on normalised inequalities, is rounding.
_OPENING = 1e-9
# Of the radius: short enough that few segments cross a kink, long enough that the rounding of
# values, 1e-16, is 1e-7 of the slope at the default radius of 1e-5.
_DIFFERENCE = 1e-4
# Gradients of one smooth piece differ within the ball by the radius times the curvature, those by
# differences also by their rounding: closer than this, relative to the largest, they are one piece.
_SAME_PIECE = 1e-3


class ClarkeSubdifferential:
    r"""Convex hull of finitely many gradients.

    Parameters
    ----------
    gradients : array-like of shape (n_gradients, n_features)
        Gradients of the adjacent pieces, in any order, repeated or not.
    exact : bool, default=True
        Whether none can be missing.
    share, confidence : float, default=0.0 and 1.0
        If some can be missing: with probability at least `confidence` no piece is that fills a
        `share` of the sampled ball or more.

    Attributes
    ----------
    extreme_gradients : ndarray of shape (n_extreme, n_features)
        The gradients that are no averages of others.
    least_norm : ndarray of shape (n_features,)
        Element of least Euclidean norm; its negative is the direction of steepest descent.
    is_exact : bool
        Whether no piece can be missing.
    share, confidence : float
        As given.

    Examples
    --------
    >>> from gnorm.homogeneity import ClarkeSubdifferential
    >>> hull = ClarkeSubdifferential([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    >>> hull.extreme_gradients
    array([[0., 1.],
           [1., 0.]])
    >>> hull.least_norm
    array([0.5, 0.5])
    >>> hull.contains([0.2, 0.8]), hull.contains([0.0, 0.0])
    (True, False)
    """

    def __init__(
        self,
        gradients: ArrayLike,
        *,
        exact: bool = True,
        share: float = 0.0,
        confidence: float = 1.0,
    ) -> None:
        rows = check_rows(gradients)
        self._size = float(np.abs(rows).max()) or 1.0
        self.extreme_gradients = _extreme_points(rows, TOL * self._size)
        self.is_exact = exact
        self.share = share
        self.confidence = confidence
        self.least_norm = _least_norm(self.extreme_gradients)

    def __repr__(self) -> str:
        kind = "exact" if self.is_exact else f"all pieces of a share {self.share:.2g} or more"
        return (
            f"ClarkeSubdifferential({len(self.extreme_gradients)} extreme gradients in "
            f"{self.extreme_gradients.shape[1]} dimensions, {kind})"
        )

    def distance(self, g: ArrayLike) -> float:
        """Euclidean distance of a vector from the subdifferential.

        Parameters
        ----------
        g : array-like of shape (n_features,)
            The vector.

        Returns
        -------
        float
            The distance.

        Raises
        ------
        ValueError
            If the vector has another length.
        """
        vector = check_rows(np.atleast_2d(g), self.extreme_gradients.shape[1])
        return float(np.linalg.norm(_least_norm(self.extreme_gradients - vector[0])))

    def contains(self, g: ArrayLike, tol: float = 1e-8) -> bool:
        """Whether a vector is in the subdifferential.

        Parameters
        ----------
        g : array-like of shape (n_features,)
            The vector.
        tol : float, default=1e-8
            Distance, relative to the largest entry of a gradient, that counts as none.

        Returns
        -------
        bool
            Whether it is.
        """
        return self.distance(g) <= tol * self._size

    @property
    def is_stationary(self) -> bool:
        """Whether zero is an element, as it is at every local minimum and maximum."""
        return self.contains(np.zeros(self.extreme_gradients.shape[1]))

    def directional_derivative(self, direction: ArrayLike) -> float:
        r"""Clarke's directional derivative, the support function of the subdifferential.

        Parameters
        ----------
        direction : array-like of shape (n_features,)
            Direction v.

        Returns
        -------
        float
            :math:`f^\circ(x; v) = \max_{g \in \partial f(x)} \langle g, v \rangle`.
        """
        v = check_rows(np.atleast_2d(direction), self.extreme_gradients.shape[1])[0]
        return float((self.extreme_gradients @ v).max())


@runtime_checkable
class PiecewiseAffine(Protocol):
    """A function of rows that knows the gradients of its pieces next to a point."""

    def __call__(self, X: FloatArray) -> FloatArray:
        """Values of shape (n_samples,)."""

    def limit_gradients(self, x: FloatArray) -> FloatArray:
        """All limits of gradients at x, of shape (n_gradients, n_features)."""


class MaxAffine:
    r"""Largest of affine functions, :math:`f(x) = \max_i \, \langle a_i, x \rangle + b_i`.

    Parameters
    ----------
    slopes : array-like of shape (n_pieces, n_features)
        The :math:`a_i`.
    offsets : array-like of shape (n_pieces,), default=None
        The :math:`b_i`; None for zero.

    Raises
    ------
    ValueError
        If there are not as many offsets as slopes.

    Examples
    --------
    >>> from gnorm.homogeneity import MaxAffine, clarke_subdifferential
    >>> absolute = MaxAffine([[1.0], [-1.0]])
    >>> clarke_subdifferential(absolute, [0.0]).extreme_gradients
    array([[-1.],
           [ 1.]])
    """

    def __init__(self, slopes: ArrayLike, offsets: ArrayLike | None = None) -> None:
        self.slopes = check_rows(slopes)
        self.offsets = _vector(offsets, len(self.slopes))

    def __call__(self, X: FloatArray) -> FloatArray:
        """Values at the rows of X."""
        values: FloatArray = (X @ self.slopes.T + self.offsets).max(axis=1)
        return values

    def limit_gradients(self, x: FloatArray) -> FloatArray:
        """Slopes of the pieces that are largest at x: their hull is the subdifferential."""
        x = check_rows(x[None], self.slopes.shape[1])[0]
        values = self.slopes @ x + self.offsets
        size = np.abs(self.slopes) @ np.abs(x) + np.abs(self.offsets)
        active: FloatArray = self.slopes[values >= values.max() - KINK_TOL * size.max()]
        return active


class ReLUComposition:
    r"""Affine maps with :math:`\max(0, \cdot)` between them, down to one number.

    .. math:: f(x) = A_L \max(0, A_{L-1} \cdots \max(0, A_1 x + b_1) \cdots + b_{L-1}) + b_L

    Every piecewise affine function that is continuous can be written so.

    Parameters
    ----------
    matrices : sequence of array-like
        :math:`A_1` of shape (n_1, n_features), :math:`A_2` of shape (n_2, n_1), ..., the last with
        one row.
    offsets : sequence of array-like, default=None
        :math:`b_1` of shape (n_1,), ...; None for zero, as a whole or for one map.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    Examples
    --------
    The identity, as a difference of two kinks. Automatic differentiation that takes 0 for the
    derivative of max(0, z) at zero says that the gradient is 0 there:

    >>> from gnorm.homogeneity import ReLUComposition, clarke_subdifferential
    >>> identity = ReLUComposition([[[1.0], [-1.0]], [[1.0, -1.0]]])  # max(0, x) - max(0, -x)
    >>> subdifferential = clarke_subdifferential(identity, [0.0])
    >>> subdifferential.extreme_gradients
    array([[1.]])
    >>> subdifferential.contains([0.0])
    False
    """

    def __init__(
        self, matrices: Sequence[ArrayLike], offsets: Sequence[ArrayLike | None] | None = None
    ) -> None:
        self.matrices = [check_rows(matrix) for matrix in matrices]
        shapes = [matrix.shape for matrix in self.matrices]
        fits = all(b[1] == a[0] for a, b in pairwise(shapes))
        if not shapes or shapes[-1][0] != 1 or not fits:
            raise ValueError(
                "expected matrices that can be multiplied, the last with one row, got shapes "
                f"{shapes}"
            )
        if offsets is not None and len(offsets) != len(self.matrices):
            raise ValueError(f"expected {len(self.matrices)} offsets, got {len(offsets)}")
        given = [None] * len(self.matrices) if offsets is None else list(offsets)
        self.offsets = [_vector(b, len(A)) for A, b in zip(self.matrices, given, strict=True)]

    def __call__(self, X: FloatArray) -> FloatArray:
        """Values at the rows of X."""
        values = X
        for A, b in zip(self.matrices[:-1], self.offsets[:-1], strict=True):
            values = np.maximum(values @ A.T + b, 0.0)
        result: FloatArray = (values @ self.matrices[-1].T + self.offsets[-1])[:, 0]
        return result

    def limit_gradients(self, x: FloatArray, max_pieces: int = _MAX_CELLS) -> FloatArray:
        r"""Gradients on all open cones next to x, without repetition.

        Close to x every unit is :math:`z + \langle J, v \rangle` in the displacement v. Where
        :math:`z = 0`, the unit splits each cone of displacements by the sign of
        :math:`\langle J, v \rangle`; the halves that have an interior, which a linear program
        decides, go on to the next layer. More than `max_pieces` cones are an error.
        """
        x = check_rows(x[None], self.matrices[0].shape[1])[0]
        # a cone: the normals n of its inequalities <n, v> >= 0, and the Jacobian of the layer on it
        cones: list[tuple[FloatArray, FloatArray]] = [(np.empty((0, len(x))), np.eye(len(x)))]
        activation, size = x, np.abs(x)
        for A, b in zip(self.matrices[:-1], self.offsets[:-1], strict=True):
            values = A @ activation + b
            size = np.abs(A) @ size + np.abs(b)  # of the terms: the rounding of the values
            on_kink = np.abs(values) <= KINK_TOL * size
            slopes = (values > 0) & ~on_kink
            cones = [(normals, J * (slopes | on_kink)[:, None]) for normals, J in _times(A, cones)]
            for unit in np.flatnonzero(on_kink):
                cones = [half for cone in cones for half in _split(cone, int(unit))]
                if len(cones) > max_pieces:
                    raise ValueError(
                        f"expected at most {max_pieces} pieces next to the point, got more: too "
                        "many units are zero there; sample instead, by passing a function that "
                        "calls this one"
                    )
            activation = np.where(slopes, values, 0.0)
        gradients = np.concatenate([J for _, J in _times(self.matrices[-1], cones)])
        return np.unique(gradients, axis=0)


def clarke_subdifferential(
    func: PiecewiseAffine | Function,
    x: ArrayLike,
    *,
    gradient: Function | None = None,
    radius: float = 1e-5,
    n_samples: int = 2000,
    confidence: float = 0.999,
    random_state: int | np.random.RandomState | None = 0,
) -> ClarkeSubdifferential:
    r"""Clarke's subdifferential of a piecewise smooth function at a point.

    Exact for :class:`MaxAffine`, :class:`ReLUComposition` and every function with a method
    `limit_gradients`. Any other function is sampled: its gradients at points drawn uniformly from a
    small ball around x, those of one piece merged. A piece that fills a share p of the ball is
    missed by all n points with probability :math:`(1 - p)^n`, and at most 1/p pieces are so large:
    the p for which :math:`(1 - p)^n / p = 1 - \text{confidence}` is stated as `share`. A piece
    whose share shrinks to zero with the ball (a cusp) may be missed at any radius.

    Parameters
    ----------
    func : PiecewiseAffine or callable
        Function of rows, from (n_samples, n_features) to (n_samples,).
    x : array-like of shape (n_features,)
        The point.
    gradient : callable, default=None
        Gradients of `func` where it has them, from (n_samples, n_features) to the same shape; None
        takes central differences, and leaves out points whose differences straddle a kink.
    radius : float, default=1e-5
        Radius of the ball, relative to the largest entry of x, or to 1 if that is smaller.
        Gradients of curved pieces are off by this times the curvature, and a kink that is closer
        than this counts as one at x.
    n_samples : int, default=2000
        Points to draw.
    confidence : float, default=0.999
        Probability with which every piece of the stated share is among the gradients.
    random_state : int or RandomState, default=0
        Of the points.

    Returns
    -------
    ClarkeSubdifferential
        Extreme gradients, membership, element of least norm.

    Raises
    ------
    ValueError
        If x is not one vector, `func` returns more than one number a row, or all samples straddle
        kinks.

    See Also
    --------
    ClarkeSubdifferential : From gradients of the pieces that one knows.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.homogeneity import clarke_subdifferential
    >>> f = lambda X: np.abs(X[:, 0]) + X[:, 1] ** 2
    >>> clarke_subdifferential(f, [0.0, 1.0]).extreme_gradients.round(3) + 0.0
    array([[-1.,  2.],
           [ 1.,  2.]])
    """
    point = check_rows(np.atleast_2d(np.asarray(x, dtype=np.float64)))
    if len(point) != 1:
        raise ValueError(f"expected one point of shape (n_features,), got {len(point)} of them")
    if isinstance(func, PiecewiseAffine):
        return ClarkeSubdifferential(func.limit_gradients(point[0]))
    if not radius > 0:
        raise ValueError(f"expected a positive radius, got {radius}")
    if not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"expected n_samples >= 1, got {n_samples}")
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, got {confidence}")
    length = radius * max(1.0, float(np.abs(point).max()))
    random = check_random_state(random_state)
    directions = random.normal(size=(n_samples, point.shape[1]))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    depths = random.uniform(size=n_samples) ** (1.0 / point.shape[1])
    points = point + length * depths[:, None] * directions
    if gradient is None:
        gradients = _difference_gradients(func, points, _DIFFERENCE * length)
    else:
        gradients = check_rows(gradient(points), point.shape[1])
    if len(gradients) == 0:
        raise ValueError(
            "expected points next to x at which the function has a gradient, got kinks only"
        )
    return ClarkeSubdifferential(
        _merge_pieces(gradients),
        exact=False,
        share=_missed_share(len(gradients), confidence),
        confidence=confidence,
    )


def _difference_gradients(func: Function, points: FloatArray, h: float) -> FloatArray:
    """Central differences at the points whose differences to both sides agree."""
    centre = evaluate(func, points)
    if centre.ndim != 1:
        raise ValueError(f"expected a function of one number a row, got shape {centre.shape}")
    steps = h * np.eye(points.shape[1])
    plus = np.stack([evaluate(func, points + step) for step in steps], axis=1)
    minus = np.stack([evaluate(func, points - step) for step in steps], axis=1)
    gradients = (plus - minus) / (2.0 * h)
    jump = np.abs(plus + minus - 2.0 * centre[:, None]).max(axis=1) / h
    size = np.abs(gradients).max() or 1.0
    smooth: FloatArray = gradients[jump <= _SAME_PIECE * size]
    return smooth


def _merge_pieces(gradients: FloatArray) -> FloatArray:
    """One gradient a piece: the mean of those that are alike."""
    tol = _SAME_PIECE * (float(np.abs(gradients).max()) or 1.0)
    left, means = gradients, []
    while len(left):
        alike = np.abs(left - left[0]).max(axis=1) <= tol
        means.append(left[alike].mean(axis=0))
        left = left[~alike]
    return np.stack(means)


def _missed_share(n_samples: int, confidence: float) -> float:
    """The p of (1 - p)^n / p = 1 - confidence, by bisection; the left side falls with p."""
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        p = (low + high) / 2.0
        if n_samples * np.log1p(-p) - np.log(p) > np.log1p(-confidence):
            low = p
        else:
            high = p
    return high


def _least_norm(points: FloatArray) -> FloatArray:
    r"""Element of least norm of the convex hull of the points.

    It is the :math:`\sum_i \lambda_i g_i / \sum_i \lambda_i` of the :math:`\lambda \ge 0` that
    minimise :math:`\|\sum_i \lambda_i g_i\|^2 + (\sum_i \lambda_i - 1)^2`: for given shares
    the best sum of the :math:`\lambda_i` makes this :math:`n / (1 + n)`, which rises with
    the squared norm n of the average.
    """
    size = float(np.abs(points).max())
    if size == 0:
        return np.zeros(points.shape[1])
    coef, _ = nnls(np.vstack([points.T / size, np.ones(len(points))]), _last(points.shape[1] + 1))
    element: FloatArray = coef @ points / coef.sum()
    return element


def _last(n: int) -> FloatArray:
    unit = np.zeros(n)
    unit[-1] = 1.0
    return unit


def _extreme_points(points: FloatArray, tol: float) -> FloatArray:
    """Points that are not in the hull of the others, in lexicographic order."""
    left, distinct = np.unique(points, axis=0), []
    while len(left):
        distinct.append(left[0])
        left = left[np.abs(left - left[0]).max(axis=1) > tol]
    kept = list(range(len(distinct)))
    for i in range(len(distinct)):
        others = [distinct[j] for j in kept if j != i]
        if others and np.linalg.norm(_least_norm(np.stack(others) - distinct[i])) <= tol:
            kept.remove(i)
    return np.stack([distinct[i] for i in kept])


def _times(
    A: FloatArray, cones: list[tuple[FloatArray, FloatArray]]
) -> list[tuple[FloatArray, FloatArray]]:
    return [(normals, A @ J) for normals, J in cones]


def _split(cone: tuple[FloatArray, FloatArray], unit: int) -> list[tuple[FloatArray, FloatArray]]:
    """Halves of the cone with an interior, on which max(0, <J_unit, v>) is linear."""
    normals, J = cone
    length = float(np.linalg.norm(J[unit]))
    if length <= KINK_TOL * max(1.0, float(np.abs(J).max())):
        return [cone]  # the unit stays zero
    normal = J[unit] / length
    halves = []
    for sign in (1.0, -1.0):
        bounded = np.vstack([normals, sign * normal])
        if _has_interior(bounded):
            jacobian = J.copy()
            if sign < 0:
                jacobian[unit] = 0.0
            halves.append((bounded, jacobian))
    return halves


def _has_interior(normals: FloatArray) -> bool:
    """Whether some v has <n, v> > 0 for all normals: the largest t with <n, v> >= t, |v| <= 1."""
    n_features = normals.shape[1]
    result = linprog(
        c=-_last(n_features + 1),
        A_ub=np.column_stack([-normals, np.ones(len(normals))]),
        b_ub=np.zeros(len(normals)),
        bounds=[(-1.0, 1.0)] * n_features + [(None, 1.0)],
        method="highs",
    )
    if not result.success:
        raise RuntimeError(f"expected a solved linear program, got: {result.message}")
    return bool(-result.fun > _OPENING)


def _vector(values: ArrayLike | None, length: int) -> FloatArray:
    vector = np.zeros(length) if values is None else np.asarray(values, dtype=np.float64)
    if vector.shape != (length,) or not np.isfinite(vector).all():
        raise ValueError(f"expected finite offsets of shape ({length},), got {vector}")
    return vector
