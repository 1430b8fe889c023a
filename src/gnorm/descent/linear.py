r"""Deep linear networks as matrices: balanced factors, and the flow of their product.

The function of a linear network is its product :math:`W = W_N \cdots W_1`. Gradient flow on the
factors conserves :math:`W_j W_j^\top - W_{j+1}^\top W_{j+1}` [1]_. If they are all zero the factors
are balanced, and the product moves by an equation of its own [2]_,

.. math:: \dot W = - \sum_{j=1}^N (W W^\top)^{(N-j)/N} \, \nabla E(W) \, (W^\top W)^{(j-1)/N},

which is a gradient flow in a Riemannian metric that depends on W and on the depth: steps are longer
along the singular directions that are already large. More layers therefore accelerate descent where
singular values are large, slow it down where they are small, and prefer low rank
(:attr:`EndToEndMetric.acceleration`, :func:`effective_rank`).

References
----------
.. [1] S. S. Du, W. Hu and J. D. Lee (2018). Algorithmic regularization in learning deep
   homogeneous models: layers are automatically balanced. NeurIPS. arXiv:1806.00900.
.. [2] S. Arora, N. Cohen and E. Hazan (2018). On the optimization of deep networks: implicit
   acceleration by overparameterization. ICML. arXiv:1802.06509.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from numbers import Integral
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr
from sklearn.utils import check_random_state

from gnorm.descent.checks import check_count, check_matrix, is_number
from gnorm.descent.losses import ExponentialLike
from gnorm.descent.objective import Slope, check_labels, check_loss
from gnorm.gated import FloatArray

__all__ = [
    "DeepLinear",
    "EndToEndMetric",
    "MatrixFunction",
    "MatrixMargins",
    "MatrixRegression",
    "balanced_factors",
    "effective_rank",
    "end_to_end",
    "unbalancedness",
]


def _check_factors(factors: Sequence[ArrayLike]) -> list[FloatArray]:
    checked = [check_matrix(W, f"factor {j}") for j, W in enumerate(factors)]
    if not checked:
        raise ValueError("expected at least one factor, got none")
    for j, (before, after) in enumerate(pairwise(checked)):
        if after.shape[1] != before.shape[0]:
            raise ValueError(
                f"expected factor {j + 1} to have {before.shape[0]} columns, one for each row of "
                f"factor {j}, got shape {after.shape}"
            )
    return checked


def _without_rounding(values: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Singular values whose zeros are zero: roots would make numbers of their rounding."""
    tolerance = np.finfo(float).eps * max(shape) * values.max()
    return np.where(values > tolerance, values, 0.0)


# -- factors ---------------------------------------------------------------------------------------


def end_to_end(factors: Sequence[ArrayLike]) -> FloatArray:
    r"""Multiply the factors of a linear network, :math:`W = W_N \cdots W_1`.

    Parameters
    ----------
    factors : sequence of array-like of shape (n_out, n_in)
        Weights of the layers from the input on.

    Returns
    -------
    ndarray of shape (n_outputs, n_features)
        Product.

    Raises
    ------
    ValueError
        If they are no matrices that can be multiplied.
    """
    return reduce(lambda product, W: W @ product, _check_factors(factors))


def balanced_factors(
    W: ArrayLike,
    depth: int,
    *,
    hidden: str = "svd",
    width: int | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> list[FloatArray]:
    r"""Factorise a matrix into layers that are balanced.

    With :math:`W = U \Sigma V^\top`, :math:`Q_0 = V` and :math:`Q_N = U`,

    .. math:: W_j = Q_j \, \Sigma^{1/N} \, Q_{j-1}^\top , \qquad
        W_j W_j^\top = W_{j+1}^\top W_{j+1},

    for any matrices :math:`Q_j` with orthonormal columns. These are all balanced factors of W, and
    of all factors they have the least :math:`\sum_j \|W_j\|_F^2 = N \sum_i \sigma_i^{2/N}`.

    Parameters
    ----------
    W : array-like of shape (n_outputs, n_features)
        Matrix to factorise.
    depth : int
        Number N of factors.
    hidden : {"svd", "polar", "random"}, default="svd"
        The inner :math:`Q_j`. "svd" takes the coordinates of the singular values, so that inner
        factors are diagonal; "polar" takes V, so that with the polar decomposition W = QP the
        factors are :math:`P^{1/N}, \dots, P^{1/N}, Q P^{1/N}`; "random" draws them.
    width : int, default=None
        Size of the inner layers; None takes the smaller side of W, or with "polar" its number of
        columns.
    random_state : int, RandomState instance or None, default=None
        Draws the :math:`Q_j` of "random".

    Returns
    -------
    list of ndarray of shape (n_out, n_in)
        Factors from the input on.

    Raises
    ------
    ValueError
        If W is no finite matrix, the depth no positive integer, `hidden` not known, or the width
        too small for the rank of W.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.descent import balanced_factors, end_to_end, unbalancedness
    >>> W = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 3.0]])
    >>> factors = balanced_factors(W, depth=3)
    >>> [factor.shape for factor in factors]
    [(2, 3), (2, 2), (2, 2)]
    >>> bool(np.allclose(end_to_end(factors), W)), bool(unbalancedness(factors).max() < 1e-12)
    (True, True)
    """
    W, depth = check_matrix(W, "W"), check_count(depth, "depth")
    if hidden not in ("svd", "polar", "random"):
        raise ValueError(f"expected hidden to be 'svd', 'polar' or 'random', got {hidden!r}")
    U, values, Vt = np.linalg.svd(W, full_matrices=False)
    values = _without_rounding(values, W.shape)
    default = W.shape[1] if hidden == "polar" else len(values)
    size = default if width is None else width
    rank = int(np.count_nonzero(values))
    least = default if hidden == "polar" else rank
    if depth > 1 and (not isinstance(size, Integral) or size < max(1, least)):
        raise ValueError(
            f"expected a width of at least {max(1, least)} for a matrix of rank {rank} and "
            f"hidden={hidden!r}, got {size!r}"
        )
    kept = min(len(values), size)
    U, roots, Vt = U[:, :kept], values[:kept] ** (1.0 / depth), Vt[:kept]
    rng = check_random_state(random_state)
    bases = [Vt.T]
    for _ in range(depth - 1):
        if hidden == "random":
            bases.append(np.linalg.qr(rng.normal(size=(size, kept)))[0])
        else:
            inner = Vt.T if hidden == "polar" else np.eye(kept)
            bases.append(np.pad(inner, ((0, size - len(inner)), (0, 0))))
    bases.append(U)
    return [(after * roots) @ before.T for before, after in pairwise(bases)]


def unbalancedness(factors: Sequence[ArrayLike]) -> FloatArray:
    r"""How far adjacent layers are from balance, :math:`\|W_j W_j^\top - W_{j+1}^\top W_{j+1}\|_F`.

    Gradient flow on the product conserves the matrices themselves; descent lets them drift by an
    amount proportional to the rate.

    Parameters
    ----------
    factors : sequence of array-like of shape (n_out, n_in)
        Weights of the layers from the input on.

    Returns
    -------
    ndarray of shape (n_factors - 1,)
        One norm for every inner layer.

    Raises
    ------
    ValueError
        If they are no matrices that can be multiplied.
    """
    return _unbalancedness(_check_factors(factors))


def _unbalancedness(factors: list[FloatArray]) -> FloatArray:
    gaps = [before @ before.T - after.T @ after for before, after in pairwise(factors)]
    return np.array([float(np.linalg.norm(gap)) for gap in gaps])


def effective_rank(singular_values: ArrayLike) -> FloatArray:
    r"""Exponential of the entropy of the shares of singular values.

    .. math:: \exp \Bigl( -\sum_i p_i \log p_i \Bigr), \qquad p_i = \sigma_i / \sum_j \sigma_j

    It is the rank of a matrix with equal singular values other than zero, and less of any other.

    Parameters
    ----------
    singular_values : array-like of shape (..., n_values)
        Singular values, of one matrix or of several: the column ``singular_values`` of a history.

    Returns
    -------
    ndarray of shape (...)
        Effective rank, from 1 to `n_values`; NaN where all are zero.

    Raises
    ------
    ValueError
        If some are negative.

    References
    ----------
    .. [1] O. Roy and M. Vetterli (2007). The effective rank: a measure of effective dimensionality.
       EUSIPCO.

    Examples
    --------
    >>> from gnorm.descent import effective_rank
    >>> effective_rank([[2.0, 2.0, 0.0], [3.0, 1.0, 0.0]]).round(3)
    array([2.   , 1.755])
    """
    values = np.atleast_1d(np.asarray(singular_values, dtype=float))
    if (values < 0).any():
        raise ValueError(f"expected singular values >= 0, got {values.min()}")
    totals = values.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        shares = values / totals
    return np.exp(entr(shares).sum(axis=-1))


class EndToEndMetric:
    r"""Riemannian metric in which the product of balanced factors follows the gradient.

    In the singular vectors of W the gradient of this metric is entry by entry a multiple of the
    Euclidean one,

    .. math:: \operatorname{grad} E = \sum_{j=1}^N (W W^\top)^{(N-j)/N} \nabla E \,
        (W^\top W)^{(j-1)/N} = U \, \bigl( C \circ U^\top \nabla E \, V \bigr) \, V^\top, \qquad
        c_{ab} = \sum_{j=1}^N \sigma_a^{2(N-j)/N} \, \sigma_b^{2(j-1)/N},

    with U and V square and :math:`0^0 = 1`, and the metric is
    :math:`g_W(Y, Z) = \sum_{ab} (U^\top Y V)_{ab} (U^\top Z V)_{ab} / c_{ab}`.

    Parameters
    ----------
    W : array-like of shape (n_outputs, n_features)
        Product of the factors.
    depth : int
        Number N of factors. With 1 the metric is the Euclidean one.

    Attributes
    ----------
    coefficients : ndarray of shape (n_outputs, n_features)
        :math:`c_{ab}`.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.descent import EndToEndMetric
    >>> metric = EndToEndMetric(np.diag([4.0, 1.0]), depth=2)
    >>> metric.gradient(np.ones((2, 2)))
    array([[8., 5.],
           [5., 2.]])
    """

    def __init__(self, W: ArrayLike, depth: int) -> None:
        W, N = check_matrix(W, "W"), check_count(depth, "depth")
        self._U, values, self._Vt = np.linalg.svd(W)
        rows, columns = (np.zeros(n) for n in W.shape)
        rows[: len(values)] = columns[: len(values)] = _without_rounding(values, W.shape) ** (
            2.0 / N
        )
        # numpy has 0.0 ** 0 = 1, as the empty product of factors asks
        terms = [np.outer(rows ** (N - j), columns ** (j - 1)) for j in range(1, N + 1)]
        self.coefficients: FloatArray = np.sum(terms, axis=0)

    @property
    def acceleration(self) -> tuple[float, float]:
        r"""Least and largest coefficient: how much faster the loss falls than with one layer.

        Along the flow of the product

        .. math:: \min_{ab} c_{ab} \, \|\nabla E\|_F^2 \le -\dot E
            \le \max_{ab} c_{ab} \, \|\nabla E\|_F^2 ,

        where one layer has :math:`-\dot E = \|\nabla E\|_F^2`. So N layers are faster wherever the
        least is above 1: for a square W if all :math:`\sigma_i > N^{-N / (2N - 2)}`, since
        :math:`c_{ab} \ge N \sigma_{\min}^{2 - 2/N}`. Where it stays above :math:`\kappa`, and
        :math:`\|\nabla E\|_F^2 \ge 2 \mu (E - E^*)` as for :math:`\mu`-strongly convex E, the loss
        obeys :math:`E - E^* \le e^{-2 \kappa \mu t} (E_0 - E^*)`. If E is quadratic with a largest
        curvature of at most :math:`\kappa \mu`, any loss is reached before one layer reaches it.
        """
        return float(self.coefficients.min()), float(self.coefficients.max())

    def gradient(self, gradient: ArrayLike) -> FloatArray:
        """Riemannian gradient.

        Parameters
        ----------
        gradient : array-like of shape (n_outputs, n_features)
            Euclidean gradient.

        Returns
        -------
        ndarray of shape (n_outputs, n_features)
            The gradient in this metric.
        """
        return self._U @ (self.coefficients * (self._U.T @ gradient @ self._Vt.T)) @ self._Vt

    def inner(self, Y: ArrayLike, Z: ArrayLike) -> float:
        """Inner product of two tangent vectors.

        Parameters
        ----------
        Y, Z : array-like of shape (n_outputs, n_features)
            Velocities of the product.

        Returns
        -------
        float
            Inner product; infinite or NaN where W is singular in both directions of an entry, in
            which no flow moves.
        """
        y, z = (self._U.T @ A @ self._Vt.T for A in (Y, Z))
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.sum(y * z / self.coefficients))


# -- functions of a matrix -------------------------------------------------------------------------


class MatrixFunction(Protocol):
    """A mean over samples of a function of the product, to descend on through its factors."""

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the matrix."""

    @property
    def n_samples(self) -> int:
        """Number of samples."""

    @property
    def is_margin(self) -> bool:
        """Whether it is a loss of margins that are linear in the matrix."""

    def slope(self, W: FloatArray, rows: NDArray[np.intp] | None) -> tuple[FloatArray, Slope]:
        r"""Gradient over some samples, all if None, divided by :math:`e^s`, and that scale."""

    def measure(self, W: FloatArray) -> dict[str, Any]:
        """Loss, and what else there is to measure, over all samples."""


def _check_measurements(A: ArrayLike) -> FloatArray:
    A = np.asarray(A, dtype=float)
    if A.ndim != 3 or A.size == 0 or not np.isfinite(A).all():
        raise ValueError(
            "expected finite measurements A of shape (n_samples, n_outputs, n_features), got shape "
            f"{A.shape}"
        )
    return A


class _Measured:
    """What functions of the measurements have in common."""

    def __init__(self, A: ArrayLike) -> None:
        self.A = _check_measurements(A)
        self._rows = self.A.reshape(len(self.A), -1)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the matrix."""
        return self.A.shape[1], self.A.shape[2]

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.A)

    def _values(self, W: FloatArray, rows: NDArray[np.intp] | None) -> tuple[FloatArray, Any]:
        taken = slice(None) if rows is None else rows
        return self._rows[taken] @ W.ravel(), taken


class MatrixRegression(_Measured):
    r"""Regression on linear measurements of a matrix.

    .. math:: E(W) = \frac{1}{p N} \sum_n |\langle A_n, W \rangle - t_n|^p

    Measurements that are single entries make it matrix completion.

    Parameters
    ----------
    A : array-like of shape (n_samples, n_outputs, n_features)
        Measurements.
    targets : array-like of shape (n_samples,)
        Targets :math:`t_n`.
    power : float, default=2.0
        Exponent p, above 1.
    """

    is_margin = False

    def __init__(self, A: ArrayLike, targets: ArrayLike, power: float = 2.0) -> None:
        super().__init__(A)
        self.targets = np.asarray(targets, dtype=float)
        if self.targets.shape != (len(self.A),) or not np.isfinite(self.targets).all():
            raise ValueError(
                f"expected finite targets of shape ({len(self.A)},), got {self.targets.shape}"
            )
        if not (is_number(power) and 1 < power < math.inf):
            raise ValueError(f"expected 1 < power < inf, got {power!r}")
        self.power = float(power)

    def slope(self, W: FloatArray, rows: NDArray[np.intp] | None) -> tuple[FloatArray, Slope]:
        """Gradient, in its own scale."""
        values, taken = self._values(W, rows)
        residuals = values - self.targets[taken]
        coef = np.sign(residuals) * np.abs(residuals) ** (self.power - 1.0) / len(residuals)
        gradient = (coef @ self._rows[taken]).reshape(W.shape)
        is_finite = np.isfinite(np.vdot(residuals, residuals))
        return gradient, Slope(0.0 if is_finite else math.inf, math.nan)

    def measure(self, W: FloatArray) -> dict[str, Any]:
        """Measure the loss."""
        values, _ = self._values(W, None)
        return {"loss": float(np.mean(np.abs(values - self.targets) ** self.power)) / self.power}


class MatrixMargins(_Measured):
    r"""Exponential-like loss of margins that are linear in a matrix.

    .. math:: E(W) = \frac1N \sum_n \ell(y_n \langle A_n, W \rangle)

    For classes k of inputs x and as many outputs, the margins of a multi-class problem are those of
    the measurements :math:`(e_y - e_k) x^\top`, with labels of 1.

    Parameters
    ----------
    A : array-like of shape (n_samples, n_outputs, n_features)
        Measurements.
    y : array-like of shape (n_samples,)
        Labels -1 and 1.
    loss : {"logistic", "exponential"} or ExponentialLike, default="logistic"
        Loss of a margin.
    """

    is_margin = True

    def __init__(
        self, A: ArrayLike, y: ArrayLike, loss: str | ExponentialLike = "logistic"
    ) -> None:
        super().__init__(A)
        self.y = check_labels(y, len(self.A))
        self.loss = check_loss(loss)

    def slope(self, W: FloatArray, rows: NDArray[np.intp] | None) -> tuple[FloatArray, Slope]:
        """Gradient, relative to the loss."""
        values, taken = self._values(W, rows)
        y = self.y[taken]
        log_loss, slopes = self.loss.log_mean(y * values)
        gradient = ((-y * slopes) @ self._rows[taken]).reshape(W.shape)
        return gradient, Slope(log_loss, float((y * values).min()))

    def measure(self, W: FloatArray) -> dict[str, Any]:
        """Measure loss and smallest margin."""
        margins = self.y * self._values(W, None)[0]
        log_loss, _ = self.loss.log_mean(margins)
        return {
            "loss": math.exp(log_loss) if log_loss < 700 else math.inf,
            "log_loss": log_loss,
            "min_margin": float(margins.min()),
        }


class DeepLinear:
    r"""A function of the product of factors, :math:`E(W_N \cdots W_1)`, as an objective.

    Parameters
    ----------
    function : MatrixFunction
        Function of the product, such as :class:`MatrixRegression` or :class:`MatrixMargins`.
    factors : sequence of array-like of shape (n_out, n_in)
        Factors to start from, from the input on; copied.

    Attributes
    ----------
    parameters : ndarray of shape (n_parameters,)
        All factors one after the other. Changing it in place changes the factors.

    Raises
    ------
    ValueError
        If the factors cannot be multiplied, or their product is not of the shape of the function.

    Examples
    --------
    Two entries of a matrix are observed; descent through three factors fills in the others.

    >>> import numpy as np
    >>> from gnorm.descent import DeepLinear, GradientDescent, MatrixRegression, balanced_factors
    >>> A = np.zeros((2, 2, 2))
    >>> A[0, 0, 0] = A[1, 0, 1] = 1.0
    >>> start = balanced_factors(0.1 * np.eye(2), depth=3)
    >>> objective = DeepLinear(MatrixRegression(A, [2.0, 1.0]), start)
    >>> history = GradientDescent(0.1, max_steps=2000).minimize(objective)
    >>> objective.product[0].round(6)
    array([2., 1.])
    """

    def __init__(self, function: MatrixFunction, factors: Sequence[ArrayLike]) -> None:
        self.function = function
        checked = _check_factors(factors)
        shape = (checked[-1].shape[0], checked[0].shape[1])
        if shape != function.shape:
            raise ValueError(
                f"expected factors whose product has the shape {function.shape}, got {shape}"
            )
        self._shapes = [W.shape for W in checked]
        self.parameters = np.concatenate([W.ravel() for W in checked])

    def _split(self, vector: FloatArray) -> list[FloatArray]:
        cuts = np.cumsum([rows * columns for rows, columns in self._shapes])[:-1]
        parts = np.split(vector, cuts)
        return [part.reshape(s) for part, s in zip(parts, self._shapes, strict=True)]

    @property
    def factors(self) -> list[FloatArray]:
        """Factors from the input on, views of the parameters."""
        return self._split(self.parameters)

    @property
    def product(self) -> FloatArray:
        """Product of the factors."""
        return reduce(lambda product, W: W @ product, self.factors)

    @property
    def weights(self) -> list[FloatArray]:
        """The factors as layers of a linear network, of shape (1, n_out, n_in)."""
        return [W[None] for W in self.factors]

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.function.n_samples

    @property
    def degree(self) -> int | None:
        """Depth, of a function of margins; None for any other."""
        return len(self._shapes) if self.function.is_margin else None

    def gradient(self, rows: NDArray[np.intp] | None, out: FloatArray) -> Slope:
        r"""Write the gradient with respect to the factors, divided by :math:`e^s`.

        Parameters
        ----------
        rows : ndarray of int or None
            Samples to take the mean over; None for all.
        out : ndarray of shape (n_parameters,)
            Where to write the gradient.

        Returns
        -------
        Slope
            With that scale s.
        """
        factors, parts = self.factors, self._split(out)
        below = [np.eye(factors[0].shape[1])]  # products of what comes before each factor
        for W in factors:
            below.append(W @ below[-1])
        back, slope = self.function.slope(below[-1], rows)
        for j in reversed(range(len(factors))):
            np.dot(back, below[j].T, out=parts[j])
            back = factors[j].T @ back
        return slope

    def measure(self) -> dict[str, Any]:
        r"""Loss, norms, balance and rank.

        Returns
        -------
        dict
            What the function measures of the product, ``loss`` at least; ``squared_norm`` of all
            factors; ``layer_norms``; ``unbalancedness``; ``singular_values`` of the product.
        """
        factors, product = self.factors, self.product
        is_finite = bool(np.isfinite(product).all())  # if not, the run is about to end as diverged
        return {
            **self.function.measure(product),
            "squared_norm": float(self.parameters @ self.parameters),
            "layer_norms": np.array([float(np.linalg.norm(W)) for W in factors]),
            "unbalancedness": _unbalancedness(factors),
            "singular_values": (
                np.linalg.svd(product, compute_uv=False)
                if is_finite
                else np.full(min(product.shape), np.nan)
            ),
        }
