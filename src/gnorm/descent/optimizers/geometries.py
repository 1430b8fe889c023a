r"""Norms of the weights, and the direction in which descent is steepest in each.

In a geometry :math:`\|\cdot\|` the steepest direction of a gradient g is

.. math:: d(g) = \arg\max_{\|d\| \le 1} \langle g, d \rangle, \qquad
    \langle g, d(g) \rangle = \|g\|_*,

and descent goes along :math:`-\|g\|_* \, d(g)`, which is :math:`-g` in the Euclidean one. For
homogeneous networks the limit is a stationary point of the largest margin in that norm of the
weights [1]_. A norm is one of all weights at once, given as a list of arrays: they are the layers
of any network, whatever their shapes.

References
----------
.. [1] N. Tsilivis, G. Gronich, G. Vardi and J. Kempe (2025). Flavors of margin: implicit bias of
   steepest descent in homogeneous neural networks. ICLR. arXiv:2410.22069.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from gnorm.descent.checks import is_number
from gnorm.descent.optimizers.base import Arrays
from gnorm.gated import FloatArray, as_numbers

__all__ = [
    "GEOMETRIES",
    "L1",
    "L2",
    "Geometry",
    "GeometryLike",
    "Linf",
    "Lp",
    "PerLayer",
    "Riemannian",
    "Spectral",
    "check_geometry",
]


class Geometry:
    """A norm of the weights, its dual, and where that is attained."""

    def check(self, weights: Arrays) -> None:
        """Raise a ValueError if this is no norm of such weights."""

    def norm(self, weights: Arrays) -> float:
        r"""Norm :math:`\|w\|` of the weights.

        Parameters
        ----------
        weights : list of ndarray
            Weights.

        Returns
        -------
        float
            Norm.
        """
        raise NotImplementedError

    def dual_norm(self, gradient: Arrays) -> float:
        r"""Dual norm :math:`\|g\|_* = \max_{\|d\| \le 1} \langle g, d \rangle`.

        Parameters
        ----------
        gradient : list of ndarray
            Gradient, arrays of the shapes of the weights.

        Returns
        -------
        float
            Dual norm.
        """
        return self.steepest([g.copy() for g in gradient])

    def steepest(self, gradient: Arrays) -> float:
        r"""Replace a gradient by a direction of unit norm in which it rises fastest.

        Parameters
        ----------
        gradient : list of ndarray
            Gradient g, replaced in place by d with :math:`\|d\| = 1` and
            :math:`\langle g, d \rangle = \|g\|_*`; a gradient of zero stays zero.

        Returns
        -------
        float
            Dual norm of the gradient.
        """
        raise NotImplementedError

    def unnormalized(self, gradient: Arrays) -> None:
        r"""Replace a gradient g in place by :math:`\|g\|_* \, d(g)`.

        Parameters
        ----------
        gradient : list of ndarray
            Gradient.
        """
        size = self.steepest(gradient)
        for g in gradient:
            g *= size


def _largest(arrays: Arrays) -> float:
    return max(float(np.abs(a).max()) if a.size else 0.0 for a in arrays)


def _divide(arrays: Arrays, value: float) -> None:
    for a in arrays:
        a /= value


@dataclass(frozen=True)
class Lp(Geometry):
    r"""The norm :math:`\|w\|_p = (\sum_i |w_i|^p)^{1/p}` of all weights, :math:`1 < p < \infty`.

    With :math:`1/p + 1/q = 1` its dual is :math:`\|g\|_q`, attained at
    :math:`d_i = \operatorname{sign}(g_i) \, (|g_i| / \|g\|_q)^{q-1}`.

    Parameters
    ----------
    p : float
        Exponent, above 1. For 1 and infinity see :class:`L1` and :class:`Linf`.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.descent import Lp
    >>> g = [np.array([3.0, -4.0])]
    >>> round(Lp(2).steepest(g), 12), g[0].round(12).tolist()
    (5.0, [0.6, -0.8])
    """

    p: float

    def __post_init__(self) -> None:
        if not (is_number(self.p) and 1 < self.p < math.inf):
            raise ValueError(
                f"expected 1 < p < inf, got {self.p!r}; 'l1' and 'linf' are the ends of that range"
            )

    def norm(self, weights: Arrays) -> float:
        """Norm of the weights."""
        return _power_norm(weights, self.p)

    def dual_norm(self, gradient: Arrays) -> float:
        """Norm of the conjugate exponent."""
        return _power_norm(gradient, self.p / (self.p - 1.0))

    def steepest(self, gradient: Arrays) -> float:
        """Replace a gradient by its steepest direction, and return its dual norm."""
        size = self.dual_norm(gradient)
        if size > 0:
            for g in gradient:
                ratio = np.abs(g) / size
                np.copyto(g, np.sign(g) * ratio ** (1.0 / (self.p - 1.0)))  # q - 1 = 1/(p - 1)
        return size


def _power_norm(arrays: Arrays, p: float) -> float:
    largest = _largest(arrays)  # powers of ratios neither overflow nor vanish together
    if not 0 < largest < math.inf:
        return largest
    return float(largest * sum(np.sum((np.abs(a) / largest) ** p) for a in arrays) ** (1.0 / p))


@dataclass(frozen=True)
class L2(Geometry):
    """The Euclidean norm of all weights, the geometry of gradient descent. Its own dual."""

    def norm(self, weights: Arrays) -> float:
        """Norm of the weights."""
        return math.sqrt(sum(float(np.vdot(W, W)) for W in weights))

    def dual_norm(self, gradient: Arrays) -> float:
        """Norm of the gradient."""
        return self.norm(gradient)

    def steepest(self, gradient: Arrays) -> float:
        """Replace a gradient by its direction, and return its norm."""
        size = self.norm(gradient)
        if size > 0:
            _divide(gradient, size)
        return size

    def unnormalized(self, gradient: Arrays) -> None:
        """Leave the gradient as it is."""


@dataclass(frozen=True)
class L1(Geometry):
    """The sum of the moduli of all weights: descent along the coordinate of the largest slope.

    Its dual is the largest modulus, attained in one coordinate; of several the first is taken.
    """

    def norm(self, weights: Arrays) -> float:
        """Norm of the weights."""
        return sum(float(np.abs(W).sum()) for W in weights)

    def dual_norm(self, gradient: Arrays) -> float:
        """Largest modulus."""
        return _largest(gradient)

    def steepest(self, gradient: Arrays) -> float:
        """Replace a gradient by a signed coordinate, and return its largest modulus."""
        tops = [float(np.abs(g).max()) if g.size else 0.0 for g in gradient]
        size = max(tops)
        i = tops.index(size)
        place = np.unravel_index(int(np.abs(gradient[i]).argmax()), gradient[i].shape)
        sign = np.sign(gradient[i][place])
        for g in gradient:
            g[...] = 0.0
        gradient[i][place] = sign
        return size


@dataclass(frozen=True)
class Linf(Geometry):
    """The largest modulus of a weight: descent along the signs of the gradient.

    Its dual is the sum of the moduli. A weight whose slope is exactly zero stays.
    """

    def norm(self, weights: Arrays) -> float:
        """Norm of the weights."""
        return _largest(weights)

    def dual_norm(self, gradient: Arrays) -> float:
        """Sum of the moduli."""
        return sum(float(np.abs(g).sum()) for g in gradient)

    def steepest(self, gradient: Arrays) -> float:
        """Replace a gradient by its signs, and return the sum of its moduli."""
        size = self.dual_norm(gradient)
        for g in gradient:
            np.sign(g, out=g)
        return size


@dataclass(frozen=True)
class Spectral(Geometry):
    r"""The largest singular value of any weight matrix: descent along polar factors.

    .. math:: \|w\| = \max_{l, c} \sigma_{\max}(W^l_c), \qquad
        \|g\|_* = \sum_{l, c} \|G^l_c\|_*, \qquad d(G) = U V^\top \text{ for } G = U \Sigma V^\top

    with one matrix for every context of every layer, the last two axes of the arrays. This is Muon
    without its momentum [1]_, with an exact singular value decomposition.

    References
    ----------
    .. [1] K. Jordan et al. (2024). Muon: an optimizer for hidden layers in neural networks.
    """

    def check(self, weights: Arrays) -> None:
        """Raise a ValueError if some weights are no matrices."""
        for i, W in enumerate(weights):
            if W.ndim < 2:
                raise ValueError(
                    "expected matrices of weights in the spectral geometry, got weights of shape "
                    f"{W.shape} in array {i} of {len(weights)}; give a list with a geometry for "
                    "each array, 'l2' for that one"
                )

    def norm(self, weights: Arrays) -> float:
        """Largest singular value."""
        self.check(weights)
        return max(float(np.linalg.norm(W, ord=2, axis=(-2, -1)).max()) for W in weights)

    def steepest(self, gradient: Arrays) -> float:
        """Replace every matrix by its polar factor, and return the sum of the singular values."""
        size = 0.0
        for G in gradient:
            try:
                left, values, right = np.linalg.svd(G, full_matrices=False)
            except np.linalg.LinAlgError as error:  # what NaN and infinity lead to
                raise FloatingPointError("a gradient without singular values") from error
            # directions of no slope to rounding are none that the gradient points to
            top = values[..., :1]
            kept = values > np.finfo(float).eps * max(G.shape[-2:]) * top
            np.matmul(left * kept[..., None, :], right, out=G)
            size += float(values.sum())
        return size


class Riemannian(Geometry):
    r"""A fixed metric in every layer: descent along the gradient times a matrix.

    .. math:: \|w\|^2 = \sum_l \operatorname{tr}(W_l A_l^{-1} W_l^\top), \qquad
        \|g\|_*^2 = \sum_l \operatorname{tr}(G_l A_l G_l^\top), \qquad \|g\|_* \, d(g) = (G_l A_l)_l

    Parameters
    ----------
    matrices : sequence of array-like of shape (n_in, n_in) or None
        Symmetric positive definite matrix :math:`A_l` for every layer with matrices of weights,
        None for the identity. Vectors, such as biases, have the Euclidean metric.
    """

    def __init__(self, matrices: Sequence[ArrayLike | None]) -> None:
        if not isinstance(matrices, Sequence | np.ndarray):
            raise ValueError(f"expected a preconditioner for each layer, got {matrices!r}")
        self.matrices = [
            None if A is None else as_numbers(A, f"preconditioner of layer {i}")
            for i, A in enumerate(matrices)
        ]

    def __repr__(self) -> str:
        shapes = ", ".join("None" if A is None else str(A.shape) for A in self.matrices)
        return f"Riemannian([{shapes}])"

    def check(self, weights: Arrays) -> None:
        """Raise a ValueError if the matrices are no metrics of the layers."""
        layers = [W for W in weights if W.ndim >= 2]
        if len(self.matrices) != len(layers):
            raise ValueError(
                f"expected a preconditioner for each of {len(layers)} layers, "
                f"got {len(self.matrices)}"
            )
        for i, (A, W) in enumerate(zip(self.matrices, layers, strict=True)):
            if A is None:
                continue
            n_in = W.shape[-1]
            if A.shape != (n_in, n_in):
                raise ValueError(
                    f"expected the preconditioner of layer {i} to have shape "
                    f"({n_in}, {n_in}), got {A.shape}"
                )
            is_symmetric = np.allclose(A, A.T, rtol=1e-10, atol=0.0)
            if not is_symmetric or np.linalg.eigvalsh(A)[0] <= 0:
                raise ValueError(
                    f"expected the preconditioner of layer {i} to be symmetric and positive "
                    "definite, got one that is not"
                )

    def _pairs(self, arrays: Arrays) -> list[tuple[FloatArray, FloatArray | None]]:
        rest = iter(self.matrices)
        return [(a, next(rest) if a.ndim >= 2 else None) for a in arrays]

    def norm(self, weights: Arrays) -> float:
        """Norm of the weights."""
        total = 0.0
        for W, A in self._pairs(weights):
            rows = W.reshape(-1, W.shape[-1])
            other = rows if A is None else np.linalg.solve(A, rows.T).T
            total += float(np.vdot(rows, other))
        return math.sqrt(total)

    def steepest(self, gradient: Arrays) -> float:
        """Replace a gradient by its steepest direction, and return its dual norm."""
        before = [g.copy() for g in gradient]
        self.unnormalized(gradient)
        square = sum(float(np.vdot(g, d)) for g, d in zip(before, gradient, strict=True))
        size = math.sqrt(square)
        if size > 0:
            _divide(gradient, size)
        return size

    def unnormalized(self, gradient: Arrays) -> None:
        """Multiply the gradient of every layer by its matrix."""
        for g, A in self._pairs(gradient):
            if A is not None:
                np.copyto(g, (g.reshape(-1, len(A)) @ A).reshape(g.shape))


class PerLayer(Geometry):
    r"""A geometry of its own for every array of weights, :math:`\|w\| = \max_l \|w_l\|_{(l)}`.

    The dual norms of the layers are added, and every layer takes a step of unit norm.

    Parameters
    ----------
    geometries : sequence of str or Geometry
        Geometry of every array of weights, that of a bias last.
    """

    def __init__(self, geometries: Sequence[str | Geometry]) -> None:
        self.geometries = [check_geometry(g) for g in geometries]

    def __repr__(self) -> str:
        return f"PerLayer({self.geometries})"

    def check(self, weights: Arrays) -> None:
        """Raise a ValueError if there is not a geometry for every array."""
        if len(weights) != len(self.geometries):
            raise ValueError(
                f"expected a geometry for each of {len(weights)} arrays of weights, of shapes "
                f"{[W.shape for W in weights]}, got {len(self.geometries)}"
            )
        for g, W in zip(self.geometries, weights, strict=True):
            g.check([W])

    def norm(self, weights: Arrays) -> float:
        """Largest norm of an array."""
        return max(g.norm([W]) for g, W in zip(self.geometries, weights, strict=True))

    def steepest(self, gradient: Arrays) -> float:
        """Replace every array by its steepest direction, and return the sum of the dual norms."""
        return sum(g.steepest([G]) for g, G in zip(self.geometries, gradient, strict=True))


GeometryLike: TypeAlias = str | Geometry | Sequence[str | Geometry]

GEOMETRIES: dict[str, Geometry] = {"l2": L2(), "l1": L1(), "linf": Linf(), "spectral": Spectral()}


def check_geometry(given: GeometryLike) -> Geometry:
    """Return the geometry of a name, of a list with one for every layer, or the one given.

    Parameters
    ----------
    given : {"l2", "l1", "linf", "spectral"}, Geometry, or sequence of them
        Name of a geometry, a geometry such as ``Lp(4)``, or one for each array of weights.

    Returns
    -------
    Geometry
        The geometry.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if isinstance(given, Geometry):
        return given
    if isinstance(given, str):
        if given in GEOMETRIES:
            return GEOMETRIES[given]
    elif isinstance(given, Sequence):
        return PerLayer(given)
    raise ValueError(
        f"expected a geometry to be one of {list(GEOMETRIES)}, a Geometry such as Lp(4), or a list "
        f"with one for each array of weights, got {given!r}"
    )
