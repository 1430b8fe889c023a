r"""What the trainer descends on: a function of a vector of parameters.

An objective has the attributes ``parameters``, a flat vector that the trainer changes in place,
and ``weights``, its parts as layers, and gives its gradient on some or all of its samples.
:class:`MarginLoss` makes one from a network and data, :class:`MatrixFactorization` is another.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from gnorm.descent.checks import check_count, check_matrix, check_nonnegative, check_positive
from gnorm.descent.losses import LOSSES, ExponentialLike
from gnorm.descent.margins import check_labels, margins_of, output_coefficients
from gnorm.descent.network import Activations, Network
from gnorm.descent.rates import spread
from gnorm.gated import FloatArray, as_numbers

__all__ = [
    "MarginLoss",
    "MatrixFactorization",
    "Objective",
    "Slope",
    "check_labels",
    "matrix_factorization",
]

Measures = dict[str, Any]


class Slope(NamedTuple):
    """What is known of an objective besides its gradient.

    Attributes
    ----------
    log_scale : float
        Logarithm s of what the gradient was divided by.
    min_margin : float
        Smallest margin of the samples; NaN where there are no margins.
    """

    log_scale: float
    min_margin: float


@runtime_checkable
class Objective(Protocol):
    """What the trainer needs of a function."""

    @property
    def parameters(self) -> FloatArray:
        """Vector that the trainer changes in place, shape (n_parameters,)."""

    @property
    def weights(self) -> list[FloatArray]:
        """Views of it as layers, each of shape (n_contexts, n_out, n_in)."""

    @property
    def n_samples(self) -> int:
        """Number of samples that a batch may be drawn from."""

    @property
    def degree(self) -> int | None:
        """Degree of homogeneity of the margins in the parameters; None if they are not."""

    def gradient(self, rows: NDArray[np.intp] | None, out: FloatArray) -> Slope:
        r"""Write the gradient over some samples, all if None, divided by :math:`e^s`."""

    def measure(self) -> Measures:
        """Loss and norms at the parameters, over all samples."""


def _measure_weights(
    parameters: FloatArray, weights: list[FloatArray], balance: list[FloatArray]
) -> Measures:
    return {
        "squared_norm": float(parameters @ parameters),
        "layer_norms": np.array([float(np.linalg.norm(W)) for W in weights]),
        "unit_balance": np.concatenate([*balance, np.empty(0)]),
    }


class MarginLoss:
    r"""Mean exponential-like loss of a network, :math:`L(w) = \frac1N \sum_n \ell(y_n f_w(x_n))`.

    Parameters
    ----------
    network : Network
        Network, whose parameters are the parameters.
    X : array-like of shape (n_samples, n_features)
        Inputs.
    y : array-like of shape (n_samples,)
        Labels: -1 and 1 for one output. For K outputs 0 to K - 1, and a sample has a margin
        :math:`f_{y_n}(x_n) - f_k(x_n)` for each other class k, over all of which the mean goes.
    activations : array-like of bool, shape (n_samples, n_units, n_contexts), or list of them
        Open gates of the layers with fixed gates; None if there are none.
    loss : {"logistic", "exponential"} or ExponentialLike, default="logistic"
        Loss of a margin.
    rates : array-like of shape (n_vectors, n_arrays), default=None
        Valid rate vectors of the network, whose seminorms are measured.

    Raises
    ------
    ValueError
        If inputs, labels, activations or rates do not fit, or the loss is not known.
    """

    def __init__(
        self,
        network: Network,
        X: ArrayLike,
        y: ArrayLike,
        activations: Activations = None,
        loss: str | ExponentialLike = "logistic",
        *,
        rates: ArrayLike | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise ValueError(f"expected a Network, got {network!r}")
        self.network = network
        self.loss = check_loss(loss)
        self.X, self.gates = network.check_inputs(X, activations)
        self.y = check_labels(y, len(self.X), network.n_outputs)
        self.rates: FloatArray | None = None
        if rates is not None:
            given = np.atleast_2d(as_numbers(rates, "rates"))
            self.rates = np.array([spread(network, vector) for vector in given])

    @property
    def parameters(self) -> FloatArray:
        """Parameters of the network."""
        return self.network.parameters

    @property
    def weights(self) -> list[FloatArray]:
        """Weights of the layers."""
        return self.network.unflatten(self.network.parameters)

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.y)

    @property
    def degree(self) -> int | None:
        """Degree of homogeneity of the network; None if it has none."""
        return self.network.degree

    def gradient(self, rows: NDArray[np.intp] | None, out: FloatArray) -> Slope:
        r"""Write :math:`\nabla L / L`.

        Parameters
        ----------
        rows : ndarray of int or None
            Samples to take the mean over; None for all.
        out : ndarray of shape (n_parameters,)
            Where to write the gradient, relative to the loss.

        Returns
        -------
        Slope
            With the logarithm of the loss as scale.
        """
        X, y, gates = self.X, self.y, self.gates
        if rows is not None:
            X, y, gates = X[rows], y[rows], [None if g is None else g[rows] for g in gates]
        forward = self.network.forward(X, gates)
        margins = margins_of(forward.values, y)
        log_loss, slopes = self.loss.log_mean(margins)
        coef = output_coefficients(-slopes, y, self.network.n_outputs)
        self.network.backward(forward, coef, out)
        return Slope(log_loss, float(margins.min()))

    def margins(self) -> FloatArray:
        r"""Margins :math:`y_n f_w(x_n)`, shape (n_samples,); for K outputs K - 1 a sample."""
        return margins_of(self.network.forward(self.X, self.gates).values, self.y)

    def measure(self) -> Measures:
        r"""Loss, margins and norms.

        Returns
        -------
        dict
            ``loss``, without weight decay, and ``log_loss``; ``min_margin``; ``smoothed_margin``,
            the margin :math:`\ell^{-1}(N L)` that is never above it; ``squared_norm`` of all
            parameters; ``layer_norms``; ``unit_balance`` of all hidden units. With rates also, for
            each vector, the ``seminorms`` :math:`\|w\|_\Lambda`; the ``normalized_margins``
            :math:`-\log(M L) / \|w\|_\Lambda^{1 / \lambda_{\max}}` of M margins, which gradient
            flow on the exponential loss never lets fall once they are positive; and the
            differences ``conserved`` of the squared seminorms to that of the first vector.
        """
        margins = self.margins()
        log_loss, _ = self.loss.log_mean(margins)
        row = {
            "loss": _exp(log_loss),
            "log_loss": log_loss,
            "min_margin": float(margins.min()),
            "smoothed_margin": float(self.loss.inverse(log_loss + np.log(len(margins)))),
            **_measure_weights(self.parameters, self.weights, self.network.unit_balance()),
        }
        if self.rates is not None:
            squares = self.rates @ np.square(self.parameters)
            exponents = 0.5 / self.rates.max(axis=1)
            row["seminorms"] = np.sqrt(squares)
            row["normalized_margins"] = -(log_loss + np.log(len(margins))) / squares**exponents
            row["conserved"] = squares[1:] - squares[0]
        return row


class MatrixFactorization:
    r"""Square loss of a product of two factors, with an optional penalty on their imbalance.

    .. math:: E(U, V) = \tfrac12 \|U V^\top - M\|_F^2
        + \tfrac{\lambda}{4} \|U^\top U - V^\top V\|_F^2

    The first term does not change when U is multiplied and V divided by the same number: gradient
    flow on it conserves :math:`U^\top U - V^\top V` [1]_, and the penalty that forces balance is
    not needed.

    Parameters
    ----------
    M : array-like of shape (n_rows, n_columns)
        Matrix to factorise.
    U : array-like of shape (n_rows, rank)
        First factor to start from; copied.
    V : array-like of shape (n_columns, rank)
        Second factor to start from; copied.
    balancing : float, default=0.0
        Weight :math:`\lambda` of the penalty.

    Attributes
    ----------
    parameters : ndarray of shape ((n_rows + n_columns) * rank,)
        :math:`V^\top`, then U. Changing it in place changes the factors.

    References
    ----------
    .. [1] S. S. Du, W. Hu and J. D. Lee (2018). Algorithmic regularization in learning deep
       homogeneous models: layers are automatically balanced. NeurIPS. arXiv:1806.00900.
    """

    def __init__(self, M: ArrayLike, U: ArrayLike, V: ArrayLike, balancing: float = 0.0) -> None:
        self.M = check_matrix(M, "M")
        U, V = check_matrix(U, "U"), check_matrix(V, "V")
        n_rows, n_columns = self.M.shape
        rank = U.shape[1]
        if U.shape != (n_rows, rank) or V.shape != (n_columns, rank):
            raise ValueError(
                f"expected factors of shape ({n_rows}, rank) and ({n_columns}, rank), "
                f"got {U.shape} and {V.shape}"
            )
        self.balancing = check_nonnegative(balancing, "balancing")
        self.parameters = np.concatenate([V.T.ravel(), U.ravel()])
        self._shapes = ((rank, n_columns), (n_rows, rank))

    def _layers(self, vector: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Split a vector like the parameters into V^T and U."""
        first, last = self._shapes
        cut = first[0] * first[1]
        return vector[:cut].reshape(first), vector[cut:].reshape(last)

    @property
    def U(self) -> FloatArray:
        """First factor, a view of the parameters."""
        return self._layers(self.parameters)[1]

    @property
    def V(self) -> FloatArray:
        """Second factor, a view of the parameters."""
        return self._layers(self.parameters)[0].T

    @property
    def weights(self) -> list[FloatArray]:
        r"""The factors as layers of a linear network, :math:`V^\top` and U."""
        return [W[None] for W in self._layers(self.parameters)]

    @property
    def n_samples(self) -> int:
        """Number of samples: the whole matrix is one."""
        return 1

    @property
    def degree(self) -> None:
        """None: there are no margins."""
        return None

    def gradient(self, rows: NDArray[np.intp] | None, out: FloatArray) -> Slope:
        r"""Write the gradient of E, in its own scale."""
        Vt, U = self._layers(self.parameters)
        to_Vt, to_U = self._layers(out)
        residual = U @ Vt - self.M
        np.dot(U.T, residual, out=to_Vt)
        np.dot(residual, Vt.T, out=to_U)
        if self.balancing:
            imbalance = self.balancing * (U.T @ U - Vt @ Vt.T)
            to_Vt -= imbalance @ Vt
            to_U += U @ imbalance
        is_finite = np.isfinite(np.vdot(residual, residual))
        return Slope(0.0 if is_finite else math.inf, math.nan)

    def measure(self) -> Measures:
        r"""Loss and balance of the factors.

        Returns
        -------
        dict
            ``loss``, :math:`\frac12 \|U V^\top - M\|_F^2` without the penalty; ``imbalance``,
            :math:`\|U^\top U - V^\top V\|_F`; ``norm_ratio``, :math:`\|U\|_F^2 / \|V\|_F^2`;
            ``squared_norm``, ``layer_norms`` and ``unit_balance`` as for a network of the layers
            :math:`V^\top` and U.
        """
        U, V = self.U, self.V
        return {
            "loss": 0.5 * float(np.sum((U @ V.T - self.M) ** 2)),
            "imbalance": float(np.linalg.norm(U.T @ U - V.T @ V)),
            "norm_ratio": float(np.sum(U**2) / np.sum(V**2)),
            **_measure_weights(
                self.parameters, self.weights, [np.sum(V**2, axis=0) - np.sum(U**2, axis=0)]
            ),
        }


def matrix_factorization(
    M: ArrayLike,
    rank: int = 1,
    *,
    scale: float = 0.1,
    balancing: float = 0.0,
    random_state: int | np.random.RandomState | None = None,
) -> MatrixFactorization:
    r"""Factorisation :math:`U V^\top` of a matrix from random normal factors.

    Parameters
    ----------
    M : array-like of shape (n_rows, n_columns)
        Matrix to factorise.
    rank : int, default=1
        Number of columns of the factors.
    scale : float, default=0.1
        Standard deviation of the entries of both factors.
    balancing : float, default=0.0
        Weight of the penalty on imbalance, see :class:`MatrixFactorization`.
    random_state : int, RandomState instance or None, default=None
        Draws the factors.

    Returns
    -------
    MatrixFactorization
        Objective for :meth:`gnorm.descent.GradientDescent.minimize`.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.descent import GradientDescent, matrix_factorization
    >>> M = np.outer([1.0, 2.0], [3.0, 0.0, 4.0])
    >>> factors = matrix_factorization(M, rank=1, random_state=0)
    >>> history = GradientDescent(0.02, max_steps=500).minimize(factors)
    >>> bool(np.allclose(factors.U @ factors.V.T, M))
    True
    """
    rank = check_count(rank, "rank")
    scale = check_positive(scale, "scale")
    rng = check_random_state(random_state)
    M = check_matrix(M, "M")
    n_rows, n_columns = M.shape
    U, V = (rng.normal(scale=scale, size=(n, rank)) for n in (n_rows, n_columns))
    return MatrixFactorization(M, U, V, balancing)


def _exp(log_value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(log_value))


def check_loss(loss: str | ExponentialLike) -> ExponentialLike:
    """Return the loss of a name, or the one given."""
    if isinstance(loss, ExponentialLike):
        return loss
    if not isinstance(loss, str) or loss not in LOSSES:
        raise ValueError(f"expected loss to be one of {list(LOSSES)}, got {loss!r}")
    return LOSSES[loss]
