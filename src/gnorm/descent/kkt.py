r"""How far weights are from a stationary point of their max-margin problem.

For valid rates :math:`\lambda` the problem is

.. math:: \min_w \tfrac12 \sum_{i : \lambda_i = \lambda_{\max}} w_i^2
    \quad \text{subject to} \quad q_n(w) \ge 1

with the margins :math:`q_n` (Kunin et al. [1]_); for a homogeneous network all rates are equal, and
it is that of [2]_ and [3]_. The weights are rescaled to the smallest margin 1, :math:`\tilde w_i =
q_{\min}^{-\lambda_i} w_i`; at a stationary point multipliers :math:`\mu \ge 0` of the smallest
margins combine their gradients to :math:`\tilde w` in the weights of the largest rate, and to zero
in the others.

Gradients that would take more memory than a block has are formed a block of samples at a time, and
again where they are needed again: for their inner products, from which the multipliers follow by
non-negative least squares, and for the combination. Where a margin sits
on a kink the gradients of all adjacent pieces take part, so that any element of Clarke's
subdifferential may.

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

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from scipy.optimize import nnls

from gnorm.descent.clarke import pieces
from gnorm.descent.margins import output_coefficients
from gnorm.descent.network import Activations, Network, Pass
from gnorm.descent.objective import MarginLoss
from gnorm.descent.rates import Rates, spread
from gnorm.gated import FloatArray

__all__ = ["KKTPoint", "kkt_point", "kkt_residual"]

_RANK_TOL = 1e-13  # of the Gram matrix of gradients, below which a direction is rounding
_BLOCK_ENTRIES = 2**25  # of gradients that are held at a time: 256 MiB, two of them


@dataclass(frozen=True, eq=False)
class KKTPoint:
    r"""Weights as an approximate stationary point, in the sense of [1]_.

    Attributes
    ----------
    residual : float
        :math:`\epsilon / \|\tilde w\|`, the norm that of the weights of the largest rate.
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
    given = spread(network, chosen)
    return _point(network, X, y, activations, given, tol)


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
    alike = np.full_like(network.parameters, 1.0 / max(1, network.depth))
    return _point(network, X, y, activations, alike, tol).residual


def _point(
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    activations: Activations,
    rates: FloatArray,
    tol: float,
) -> KKTPoint:
    """The nearest combination of gradients, for a rate of every weight."""
    if not tol >= 0:
        raise ValueError(f"expected tol >= 0, got {tol}")
    objective = MarginLoss(network, X, y, activations)
    margins = objective.margins()
    smallest = float(margins.min())
    if not smallest > 0:
        raise ValueError(f"expected a network that separates the samples, got margin {smallest}")
    near = np.flatnonzero(margins <= (1 + tol) * smallest)
    # gradients at the rescaled weights, from those at the given ones
    log = np.log(smallest)
    gradients = _Gradients(objective, near, np.exp((rates - 1.0) * log))
    is_top = rates >= rates.max() - 1e-6
    target = np.where(is_top, np.exp(-rates * log) * network.parameters, 0.0)
    gram, products = gradients.inner_products(target)
    values, vectors = eigh(gram)
    kept = values > _RANK_TOL * values[-1]
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    coef, _ = nnls((vectors * roots).T, (vectors.T @ products) / roots)
    epsilon = float(np.linalg.norm(target - gradients.combine(coef)))
    multipliers = np.zeros(len(margins))
    np.add.at(multipliers, gradients.margins, coef)
    return KKTPoint(
        residual=epsilon / float(np.linalg.norm(target)),
        epsilon=epsilon,
        delta=float((multipliers * (margins / smallest - 1.0)).max()),
        multipliers=multipliers,
        n_kinks=int(np.sum(np.bincount(gradients.margins) > 1)),
    )


class _Gradients:
    """Gradients of some margins, those of all pieces where one sits on a kink."""

    def __init__(self, objective: MarginLoss, near: NDArray[np.intp], scale: FloatArray) -> None:
        self.objective, self.network, self.scale = objective, objective.network, scale
        self.per_sample = max(1, self.network.n_outputs - 1)
        # of one that normalises over the batch, gradients need the pass of all samples
        self.whole = None
        if not self.network.is_separable:
            self.whole = self.network.forward(objective.X, objective.gates)
        self.rows: list[tuple[int, int]] = []  # margin and piece
        for margin in near:
            self.rows += [(int(margin), i) for i in range(len(self._pieces(int(margin))))]
        self.margins = np.array([margin for margin, _ in self.rows])
        self.kept: FloatArray | None = None

    def _pieces(self, margin: int) -> list[Pass]:
        sample = margin // self.per_sample
        if self.whole is not None:
            return pieces(self.network, self.whole, slice(sample, sample + 1))
        one = slice(sample, sample + 1)
        gates = [None if g is None else g[one] for g in self.objective.gates]
        alone = self.network.forward(self.objective.X[one], gates)
        return pieces(self.network, alone, slice(0, 1))

    def _blocks(self, stop: int | None = None) -> Iterator[tuple[slice, FloatArray]]:
        """Gradients of the rows before `stop`, a block at a time."""
        stop = len(self.rows) if stop is None else stop
        size = max(1, _BLOCK_ENTRIES // max(1, len(self.scale)))
        if size >= len(self.rows) == stop:  # all at once, and once for all
            if self.kept is None:
                self.kept = self._gradients(self.rows)
            yield slice(0, stop), self.kept
            return
        for start in range(0, stop, size):
            chosen = slice(start, min(start + size, stop))
            yield chosen, self._gradients(self.rows[chosen])

    def _gradients(self, rows: list[tuple[int, int]]) -> FloatArray:
        result = np.empty((len(rows), len(self.scale)))
        found: tuple[int, list[Pass]] = (-1, [])
        for out, (margin, piece) in zip(result, rows, strict=True):
            if found[0] != margin:
                found = margin, self._pieces(margin)
            sample, place = divmod(margin, self.per_sample)
            is_alone = self.whole is None
            y = self.objective.y[sample : sample + 1] if is_alone else self.objective.y
            coef = np.zeros(len(y) * self.per_sample)
            coef[place if is_alone else margin] = 1.0
            coefs = output_coefficients(coef, y, self.network.n_outputs)
            self.network.backward(found[1][piece], coefs, out)
        result *= self.scale
        return result

    def inner_products(self, target: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Of the gradients with each other, and with a vector."""
        n = len(self.rows)
        gram, products = np.empty((n, n)), np.empty(n)
        for rows, block in self._blocks():
            products[rows] = block @ target
            gram[rows, rows] = block @ block.T
            for columns, other in self._blocks(rows.start):
                gram[rows, columns] = block @ other.T
                gram[columns, rows] = gram[rows, columns].T
        return gram, products

    def combine(self, coef: FloatArray) -> FloatArray:
        """Sum of the gradients with coefficients."""
        total = np.zeros_like(self.scale)
        for rows, block in self._blocks():
            total += coef[rows] @ block
        return total
