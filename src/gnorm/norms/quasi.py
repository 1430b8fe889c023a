r"""What deeper networks minimise: quasi-norms, which are not convex.

By the inequality of the means, the least :math:`\sum_i s_i^2` at a fixed product of D factors c is
:math:`D c^{2/D}`. So depth D makes an exponent of 2/D out of every norm of depth two. Such a
function is homogeneous, but its balls are not convex: a problem with it has local minima, and no
dual value bounds its optimum. The values are for comparisons.

References
----------
.. [1] S. Gunasekar, J. D. Lee, D. Soudry and N. Srebro (2018). Implicit bias of gradient descent on
   linear convolutional networks. NeurIPS. arXiv:1806.00468.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike

from gnorm.norms.base import Network, QuasiNorm, check_weights
from gnorm.norms.matrices import singular_values

__all__ = ["DeepDiagonal", "DeepFourier", "DeepLinear", "QuadraticActivation"]


def _check_depth(depth: int) -> int:
    if not isinstance(depth, Integral) or isinstance(depth, bool) or depth < 2:
        raise ValueError(f"expected an integer depth >= 2, got {depth!r}")
    return int(depth)


def _quasi_norm(values: np.ndarray, p: float) -> float:
    largest = float(np.max(values, initial=0.0))
    return largest * float(np.sum((values / largest) ** p)) ** (1 / p) if largest > 0 else 0.0


@dataclass(frozen=True)
class _Deep(QuasiNorm):
    """An exponent of 2/D of some lengths of the weights."""

    depth: int

    geometry = "l2: gradient descent"
    references = ("Gunasekar et al. (2018), arXiv:1806.00468",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", _check_depth(self.depth))

    @classmethod
    def examples(cls) -> tuple[_Deep, ...]:
        """Return some depths."""
        return cls(2), cls(3), cls(4)

    @abstractmethod
    def _lengths(self, zeta: np.ndarray) -> np.ndarray:
        """Lengths of which the quasi-norm is made."""

    def value(self, zeta: ArrayLike) -> float:
        r"""Quasi-norm :math:`(\sum_i l_i^{2/D})^{D/2}` of the lengths."""
        return _quasi_norm(self._lengths(check_weights(zeta)), 2 / self.depth)

    def least_cost(self, zeta: ArrayLike) -> float:
        r"""Least :math:`\tfrac12 \|w\|^2`: D / 2 times the power 2 / D of the value."""
        return 0.5 * self.depth * self.value(zeta) ** (2 / self.depth)


@dataclass(frozen=True)
class DeepDiagonal(_Deep):
    r"""Quasi-norm :math:`l_{2/D}` of a diagonal linear network of depth D.

    Parameters
    ----------
    depth : int
        Depth D, at least 2; there it is the L1 norm.

    Examples
    --------
    >>> from gnorm.norms import DeepDiagonal
    >>> round(DeepDiagonal(4).value([[[1.0, 4.0]]]), 12)
    9.0
    """

    formula = r"(\sum_i |\zeta_i|^{2/D})^{D/2}"
    architecture = "diagonal linear network, depth D"
    convex_name = "L1()"

    def _lengths(self, zeta: np.ndarray) -> np.ndarray:
        return np.abs(zeta).ravel()

    def network(self, shape: tuple[int, ...]) -> Network:
        """D layers of the shape of zeta, multiplied entry by entry."""

        def weights(zeta: np.ndarray) -> list[np.ndarray]:
            roots = np.abs(zeta) ** (1 / self.depth)
            return [np.sign(zeta) * roots, *[roots] * (self.depth - 1)]

        return _deep_network((shape,) * self.depth, lambda w: np.prod(np.stack(w), axis=0), weights)


@dataclass(frozen=True)
class DeepLinear(_Deep):
    r"""Schatten quasi-norm 2/D of a linear network of several outputs and depth D.

    Parameters
    ----------
    depth : int
        Depth D, at least 2; there it is the nuclear norm.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.norms import DeepLinear
    >>> round(DeepLinear(4).value(np.diag([1.0, 4.0])[None, None]), 12)
    9.0
    """

    formula = r"(\sum_i \sigma_i(\zeta)^{2/D})^{D/2}"
    architecture = "linear network of several outputs, depth D"
    convex_name = "Nuclear()"

    def _lengths(self, zeta: np.ndarray) -> np.ndarray:
        matrices = zeta.reshape(len(zeta), -1, zeta.shape[3] if zeta.ndim == 4 else 1)
        return singular_values(matrices).ravel()

    def network(self, shape: tuple[int, ...]) -> Network:
        """D layers for every unit, as wide as the rank."""
        n, rows, columns = shape[0], shape[1] * shape[2], shape[3] if len(shape) == 4 else 1
        rank = min(rows, columns)
        inner = [(n, rank, rank)] * (self.depth - 2)

        def zeta_of(w: Sequence[np.ndarray]) -> np.ndarray:
            product = w[0]
            for layer in w[1:]:
                product = product @ layer
            return product.reshape(shape)

        def weights(zeta: np.ndarray) -> list[np.ndarray]:
            U, s, Vt = np.linalg.svd(zeta.reshape(n, rows, columns), full_matrices=False)
            roots = s ** (1 / self.depth)
            middle = roots[:, :, None] * np.eye(rank)
            return [U * roots[:, None], *[middle] * (self.depth - 2), roots[:, :, None] * Vt]

        return _deep_network(((n, rows, rank), *inner, (n, rank, columns)), zeta_of, weights)


@dataclass(frozen=True)
class DeepFourier(_Deep):
    r"""Quasi-norm 2/D of the spectrum, of D - 1 full-width circular convolutions, then linear.

    Parameters
    ----------
    depth : int
        Depth D, at least 2; there it is the norm FourierL1.

    Examples
    --------
    >>> from gnorm.norms import DeepFourier
    >>> round(DeepFourier(3).value([[[1.0, 1.0, 1.0, 1.0]]]), 12)
    0.5
    """

    formula = r"d^{-(D-1)/2} (\sum_f |\hat\zeta_f|^{2/D})^{D/2}"
    architecture = "D - 1 full-width circular convolutions, then linear"
    convex_name = "FourierL1()"

    def _lengths(self, zeta: np.ndarray) -> np.ndarray:
        # of a plain transform: sqrt(d) times the unitary one, and d^{-D/2} in place of d^{-(D-1)/2}
        return np.abs(np.fft.fft(zeta, axis=2)).ravel() * zeta.shape[2] ** (-self.depth / 2)

    def network(self, shape: tuple[int, ...]) -> Network:
        """D filters for every context, convolved with each other."""
        n = shape[2]

        def zeta_of(w: Sequence[np.ndarray]) -> np.ndarray:
            spectra = np.prod(np.stack([np.fft.rfft(layer, axis=2) for layer in w]), axis=0)
            zeta: np.ndarray = np.fft.irfft(spectra, n=n, axis=2)
            return zeta

        def weights(zeta: np.ndarray) -> list[np.ndarray]:
            spectrum = np.fft.rfft(zeta, axis=2)
            lengths = np.abs(spectrum)
            roots = lengths ** (1 / self.depth)
            first = roots * spectrum / np.where(lengths > 0, lengths, 1.0)
            each = [first, *[roots.astype(complex)] * (self.depth - 1)]
            return [np.fft.irfft(layer, n=n, axis=2) for layer in each]

        return _deep_network((shape,) * self.depth, zeta_of, weights)


@dataclass(frozen=True)
class QuadraticActivation(QuasiNorm):
    r"""Schatten quasi-norm 2/3 of a quadratic form, :math:`f(x) = \sum_i a_i (u_i \cdot x)^2`.

    The form is a zeta of one unit and one context whose features are the pairs of inputs, in C
    order: a symmetric d x d matrix.

    Examples
    --------
    >>> from gnorm.norms import QuadraticActivation
    >>> round(QuadraticActivation().value([[[1.0, 0.0, 0.0, 8.0]]]) ** (2 / 3), 12)
    5.0
    """

    formula = r"\|M\|_{S_{2/3}} = (\sum_i |\lambda_i|^{2/3})^{3/2}"
    architecture = "two layers with squares as activations"
    geometry = "l2: gradient descent"
    references = ("Li, Ma and Zhang (2018), arXiv:1712.09203",)
    convex_name = "Nuclear(shape=(d, d))"

    def _eigen(self, zeta: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        zeta = check_weights(zeta)
        d = math.isqrt(zeta.shape[2])
        if zeta.shape != (1, 1, d * d):
            raise ValueError(f"expected zeta of shape (1, 1, d * d), got shape {zeta.shape}")
        M = zeta.reshape(d, d)
        if not np.allclose(M, M.T, rtol=0, atol=1e-12 * float(np.max(np.abs(M), initial=0.0))):
            raise ValueError("expected a symmetric matrix as zeta, got one that is not")
        values, vectors = np.linalg.eigh(M)
        return values, vectors

    def value(self, zeta: ArrayLike) -> float:
        r"""Quasi-norm :math:`(\sum_i |\lambda_i|^{2/3})^{3/2}` of the eigenvalues."""
        return _quasi_norm(np.abs(self._eigen(zeta)[0]), 2 / 3)

    def least_cost(self, zeta: ArrayLike) -> float:
        r"""Least :math:`\tfrac12 \|w\|^2`: :math:`3 \cdot 2^{-5/3}` of the power 2/3."""
        return 3 * 2 ** (-5 / 3) * self.value(zeta) ** (2 / 3)

    def network(self, shape: tuple[int, ...]) -> Network:
        """As many units as inputs, with their read-outs."""
        d = math.isqrt(shape[2])

        def weights(zeta: np.ndarray) -> list[np.ndarray]:
            values, vectors = self._eigen(zeta)
            outs = np.cbrt(values / 2)  # the cheapest have |u| = sqrt(2) |a|
            return [outs, vectors.T * (math.sqrt(2) * np.abs(outs))[:, None]]

        return _deep_network(
            ((d,), (d, d)), lambda w: ((w[1].T * w[0]) @ w[1]).reshape(shape), weights
        )


def _deep_network(
    shapes: tuple[tuple[int, ...], ...],
    zeta_of: Callable[[Sequence[np.ndarray]], np.ndarray],
    weights: Callable[[np.ndarray], Sequence[np.ndarray]],
) -> Network:
    """Layers whose cost is half the sum of their squares."""
    return Network(
        shapes, zeta_of, lambda w: 0.5 * sum(float(np.sum(layer**2)) for layer in w), weights
    )
