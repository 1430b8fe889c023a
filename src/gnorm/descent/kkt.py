r"""How far weights are from a stationary point of their max-margin problem.

For valid rates :math:`\lambda` the problem is

.. math:: \min_w \tfrac12 \sum_{i : \lambda_i = \lambda_{\max}} w_i^2
    \quad \text{subject to} \quad q_n(w) \ge 1

with the margins :math:`q_n` (Kunin et al. [1]_); for a homogeneous network all rates are equal, and
it is that of [2]_ and [3]_. The weights are rescaled to the smallest margin 1, :math:`\tilde w_i =
q_{\min}^{-\lambda_i} w_i`; at a stationary point multipliers :math:`\mu \ge 0` of the smallest
margins combine their gradients to :math:`\tilde w` in the weights of the largest rate, and to zero
in the others.

The multipliers follow by non-negative least squares from the inner products of the gradients,
which need not be formed for that: each layer says the outer products that they are made of. Only
where a network normalises over the batch, so that the gradient of a sample goes through all others,
they are formed, a block of samples at a time. Where a margin sits on a kink the gradients of all
adjacent pieces take part, so that any element of Clarke's subdifferential may.

References
----------
.. [1] D. Kunin, A. Yamamura, C. Ma and S. Ganguli (2023). The asymmetric maximum margin bias of
   quasi-homogeneous neural networks. ICLR. arXiv:2210.03820.
.. [2] K. Lyu and J. Li (2020). Gradient descent maximizes the margin of homogeneous neural
   networks. ICLR. arXiv:1906.05890.
.. [3] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
   generalized gated linear networks. arXiv:2202.02649.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from scipy.optimize import nnls

from gnorm.descent.checks import is_number
from gnorm.descent.clarke import Sides, adjacent_sides, kinked, on_sides
from gnorm.descent.layers.base import Outer
from gnorm.descent.margins import output_coefficients
from gnorm.descent.network import Activations, Network, Pass
from gnorm.descent.objective import MarginLoss
from gnorm.descent.rates import Rates
from gnorm.gated import FloatArray

__all__ = ["KKTPoint", "kkt_point", "kkt_residual"]

_RANK_TOL = 1e-13  # of the Gram matrix of gradients, below which a direction is rounding
_BLOCK_ENTRIES = 2**25  # of gradients that are held at a time: 256 MiB, two of them


@dataclass(frozen=True, eq=False)
class KKTPoint:
    r"""Weights as an approximate stationary point of their max-margin problem.

    Attributes
    ----------
    residual : float
        :math:`\epsilon / \|\tilde w\|`, the norm that of the weights of the largest rate; 0 where
        these are all zero, and so as small as can be.
    epsilon : float
        Distance of :math:`\tilde w`, zero but in the weights of the largest rate, from
        :math:`\sum_n \mu_n \, \partial q_n(\tilde w)`.
    delta : float
        Largest :math:`\mu_n (q_n(\tilde w) - 1)`.
    multipliers : ndarray of shape (n_margins,)
        The :math:`\mu_n`; zero off the smallest margins.
    n_kinks : int
        Number of the smallest margins that sit on a kink.

    References
    ----------
    .. [1] K. Lyu and J. Li (2020). Gradient descent maximizes the margin of homogeneous neural
       networks. ICLR. arXiv:1906.05890.
    """

    residual: float
    epsilon: float
    delta: float
    multipliers: FloatArray
    n_kinks: int


def kkt_point(
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    activations: Activations = None,
    *,
    rates: Rates | None = None,
    tol: float = 0.05,
) -> KKTPoint:
    r"""Multipliers that bring the weights nearest to a stationary point.

    Parameters
    ----------
    network : Network
        Network.
    X : array-like of shape (n_samples, n_features)
        Inputs.
    y : array-like of shape (n_samples,)
        Labels: -1 and 1 for one output, 0 to K - 1 for K.
    activations : array-like of bool, shape (n_samples, n_units, n_contexts), or list of them
        Open gates of the layers with fixed gates; None if there are none.
    rates : array-like of shape (n_arrays,) or dict of str to float, default=None
        Valid rates; None takes those of ``network.rates().choose()``.
    tol : float, default=0.05
        How far above the smallest margin a margin may lie to count as one of it.

    Returns
    -------
    KKTPoint
        Residual, epsilon, delta and multipliers.

    Raises
    ------
    ValueError
        If the network does not separate the samples, or rates are not valid.

    Examples
    --------
    A network of the largest margin:

    >>> import numpy as np
    >>> from gnorm.descent import Network, kkt_point, layers
    >>> network = Network(2, [layers.Dense(2, 1)], parameters=[1.0, 0.0])
    >>> point = kkt_point(network, [[2.0, 1.0], [2.0, -1.0]], [1, 1])
    >>> point.residual < 1e-12, point.multipliers
    (True, array([0.125, 0.125]))
    """
    polytope = network.rates()
    chosen = polytope.choose() if rates is None else polytope.check(rates)
    return _point(network, X, y, activations, chosen, tol)


def kkt_residual(
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    activations: Activations = None,
    *,
    tol: float = 0.05,
    rates: Rates | None = None,
) -> float:
    r"""Distance of the weights from a stationary point of the max-margin problem.

    .. math:: \min_{a \ge 0} \frac{1}{\|w\|}
        \Bigl\| w - \sum_{n \in S} a_n \, y_n \nabla_w f_w(x_n) \Bigr\|, \qquad
        S = \{ n : y_n f_w(x_n) \le (1 + \text{tol}) \min_m y_m f_w(x_m) \}

    It is zero at the limits of gradient descent on a homogeneous network of any depth
    (Theorem 3.1 of [1]_). Zero does not make a limit optimal: dead units keep it at zero too.
    With rates it is the residual of :func:`kkt_point`, for networks that are only
    quasi-homogeneous.

    Parameters
    ----------
    network : Network
        Network.
    X : array-like of shape (n_samples, n_features)
        Inputs.
    y : array-like of shape (n_samples,)
        Labels: -1 and 1 for one output, 0 to K - 1 for K.
    activations : array-like of bool, shape (n_samples, n_units, n_contexts), or list of them
        Open gates of the layers with fixed gates; None if there are none.
    tol : float, default=0.05
        How far above the smallest margin a sample may lie to count as one of it.
    rates : array-like of shape (n_arrays,) or dict of str to float, default=None
        Valid rates; None has all weights count alike.

    Returns
    -------
    float
        Residual, between 0 and 1.

    Raises
    ------
    ValueError
        If the network does not separate the samples, or rates are not valid.

    References
    ----------
    .. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
       generalized gated linear networks. arXiv:2202.02649.
    """
    if rates is not None:
        return kkt_point(network, X, y, activations, rates=rates, tol=tol).residual
    if not network.names:
        raise ValueError(f"expected a network with weights, got {network!r}")
    alike = np.full(len(network.names), 1.0 / max(1, network.depth))
    return _point(network, X, y, activations, alike, tol).residual


def _point(
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    activations: Activations,
    rates: FloatArray,
    tol: float,
) -> KKTPoint:
    """The nearest combination of gradients, for a rate of every array."""
    if not (is_number(tol) and tol >= 0):
        raise ValueError(f"expected tol >= 0, got {tol!r}")
    objective = MarginLoss(network, X, y, activations)
    margins = objective.margins()
    smallest = float(margins.min())
    if not smallest > 0:
        raise ValueError(f"expected a network that separates the samples, got margin {smallest}")
    near = np.flatnonzero(margins <= (1 + tol) * smallest)
    # gradients at the rescaled weights, from those at the given ones
    log = np.log(smallest)
    kind = _Together if network.is_separable else _OneByOne
    gradients = kind(objective, near, np.exp((rates - 1.0) * log))
    is_top = rates >= rates.max() - 1e-6
    sizes = [W.size for W in network.split(network.parameters)]
    factors = np.where(is_top, np.exp(-rates * log), 0.0)
    target = np.repeat(factors, sizes) * network.parameters
    gram, products = gradients.inner_products(target)
    values, vectors = eigh(gram)
    kept = values > _RANK_TOL * values[-1]
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    coef, _ = nnls((vectors * roots).T, (vectors.T @ products) / roots)
    epsilon = float(np.linalg.norm(target - gradients.combine(coef)))
    multipliers = np.zeros(len(margins))
    np.add.at(multipliers, gradients.margins, coef)
    size = float(np.linalg.norm(target))
    return KKTPoint(
        residual=epsilon / size if size > 0 else 0.0,  # no weights of the largest rate: the least
        epsilon=epsilon,
        delta=float((multipliers * (margins / smallest - 1.0)).max()),
        multipliers=multipliers,
        n_kinks=int(np.sum(np.bincount(gradients.margins) > 1)),
    )


class _Gradients(ABC):
    """Gradients of some margins at rescaled weights, of all pieces where one sits on a kink."""

    def __init__(self, objective: MarginLoss, near: NDArray[np.intp], scale: FloatArray) -> None:
        self.objective, self.network, self.scale = objective, objective.network, scale
        self.per_sample = max(1, self.network.n_outputs - 1)
        sizes = [W.size for W in self.network.split(self.network.parameters)]
        self.scales = np.repeat(scale, sizes)
        self.margins = near

    @abstractmethod
    def inner_products(self, target: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Of the gradients with each other, and with a vector."""

    @abstractmethod
    def combine(self, coef: FloatArray) -> FloatArray:
        """Sum of the gradients with coefficients."""

    def _pieces(self, forward: Pass, samples: NDArray[np.intp]) -> list[tuple[int, Sides]]:
        """Rows, one for each piece of each margin: its number and the sides of its kinks."""
        is_kinked = kinked(forward)
        rows: list[tuple[int, Sides]] = []
        for i, sample in enumerate(samples):
            sides = (
                adjacent_sides(self.network, forward, int(sample)) if is_kinked[sample] else [()]
            )
            rows += [(i, own) for own in sides]
        self.margins = self.margins[[i for i, _ in rows]]
        return rows


class _Together(_Gradients):
    """Of a network that evaluates samples alone: one pass with a sample for every gradient.

    Inner products come from the outer products that the gradients are made of, products with a
    vector from a tangent.
    """

    def __init__(self, objective: MarginLoss, near: NDArray[np.intp], scale: FloatArray) -> None:
        super().__init__(objective, near, scale)
        forward = self._forward()
        rows = self._pieces(forward, np.arange(len(near)))
        if len(rows) > len(near):
            forward = self._forward()
        self.forward = on_sides(forward, {i: own for i, (_, own) in enumerate(rows)})
        samples, places = np.divmod(self.margins, self.per_sample)
        unit = (np.arange(self.per_sample) == places[:, None]).astype(float)
        y = objective.y[samples]
        self.coefs = output_coefficients(unit.ravel(), y, self.network.n_outputs)

    def _forward(self) -> Pass:
        samples = self.margins // self.per_sample
        gates = [None if g is None else g[samples] for g in self.objective.gates]
        return self.network.forward(self.objective.X[samples], gates)

    def inner_products(self, target: FloatArray) -> tuple[FloatArray, FloatArray]:
        """By the factors of the gradients of each array, and by a tangent."""
        n = len(self.margins)
        gram = np.zeros((n, n))
        factors = self.network.backward(self.forward, self.coefs)
        for scale, pairs in zip(self.scale, factors, strict=True):
            if pairs:
                gram += scale**2 * gram_of(pairs, n)
        changes = self.network.tangent(self.forward, self.scales * target, n)
        return gram, np.einsum("nk,nk->n", self.coefs, changes)

    def combine(self, coef: FloatArray) -> FloatArray:
        """Backwards once more."""
        total = np.empty_like(self.scales)
        self.network.backward(self.forward, coef[:, None] * self.coefs, total)
        return self.scales * total


class _OneByOne(_Gradients):
    """Of a network that normalises over the batch: each gradient by a pass of all samples.

    They are formed a block at a time, and again where they are needed again.
    """

    def __init__(self, objective: MarginLoss, near: NDArray[np.intp], scale: FloatArray) -> None:
        super().__init__(objective, near, scale)
        self.forward = self.network.forward(objective.X, objective.gates)
        self.sides = [own for _, own in self._pieces(self.forward, near // self.per_sample)]
        self.kept: FloatArray | None = None

    def _blocks(self, stop: int | None = None) -> Iterator[tuple[slice, FloatArray]]:
        """Gradients of the rows before `stop`, a block at a time."""
        n = len(self.margins)
        stop = n if stop is None else stop
        size = max(1, _BLOCK_ENTRIES // max(1, len(self.scales)))
        if size >= n == stop:  # all at once, and once for all
            if self.kept is None:
                self.kept = self._gradients(0, n)
            yield slice(0, stop), self.kept
            return
        for start in range(0, stop, size):
            chosen = slice(start, min(start + size, stop))
            yield chosen, self._gradients(start, chosen.stop)

    def _gradients(self, start: int, stop: int) -> FloatArray:
        result = np.empty((stop - start, len(self.scales)))
        y = self.objective.y
        for i, out in zip(range(start, stop), result, strict=True):
            margin = int(self.margins[i])
            coef = np.zeros(len(y) * self.per_sample)
            coef[margin] = 1.0
            coefs = output_coefficients(coef, y, self.network.n_outputs)
            piece = on_sides(self.forward, {margin // self.per_sample: self.sides[i]})
            self.network.backward(piece, coefs, out)
        result *= self.scales
        return result

    def inner_products(self, target: FloatArray) -> tuple[FloatArray, FloatArray]:
        """By the gradients themselves."""
        n = len(self.margins)
        gram, products = np.empty((n, n)), np.empty(n)
        for rows, block in self._blocks():
            products[rows] = block @ target
            gram[rows, rows] = block @ block.T
            for columns, other in self._blocks(rows.start):
                gram[rows, columns] = block @ other.T
                gram[columns, rows] = gram[rows, columns].T
        return gram, products

    def combine(self, coef: FloatArray) -> FloatArray:
        """By the gradients themselves."""
        total = np.zeros_like(self.scales)
        for rows, block in self._blocks():
            total += coef[rows] @ block
        return total


def gram_of(pairs: list[Outer], n_samples: int) -> FloatArray:
    r"""Inner products of the gradients of samples with respect to one array.

    The gradient of sample n is :math:`\sum_r L_{nr} R_{nr}^\top`, so that with the Gram matrices of
    both factors

    .. math:: \langle G_n, G_m \rangle = \sum_{r s} (L_{nr} \cdot L_{ms}) (R_{nr} \cdot R_{ms}),

    one product for a sample in a dense layer, several where an array is shared by positions, as in
    a convolution, or by places. Where forming the gradients is less work, they are formed.

    Parameters
    ----------
    pairs : list of tuple (left, right)
        Factors of the gradient for each place of the array, arrays of shape
        (n_samples * n_rows, p) and (n_samples * n_rows, q).
    n_samples : int
        Number of samples.

    Returns
    -------
    ndarray of shape (n_samples, n_samples)
        Inner products.
    """
    left, right = (
        np.concatenate(
            [pair[side].reshape(n_samples, -1, pair[side].shape[1]) for pair in pairs], 1
        )
        for side in (0, 1)
    )
    (_, n_rows, p), q = left.shape, right.shape[2]
    gram = np.zeros((n_samples, n_samples))
    if p * q <= n_rows**2 * (p + q):
        step = max(1, _BLOCK_ENTRIES // (n_samples * q))
        for start in range(0, p, step):
            some = left[:, :, start : start + step].transpose(0, 2, 1) @ right
            some = some.reshape(n_samples, -1)
            gram += some @ some.T
        return gram
    step = max(1, _BLOCK_ENTRIES // (n_samples * n_rows**2))
    L, R = left.reshape(-1, p), right.reshape(-1, q)
    for start in range(0, n_samples, step):
        chosen = slice(start * n_rows, (start + step) * n_rows)
        products = (L[chosen] @ L.T) * (R[chosen] @ R.T)
        products = products.reshape(-1, n_rows, n_samples, n_rows)
        gram[start : start + step] = (
            products.sum(axis=(1, 3)) if n_rows > 1 else products[:, 0, :, 0]
        )
    return gram
