r"""The k-support norm: what gradient descent on all selections of k features minimises.

For every support I of size k the network has a scalar times a vector, :math:`u_I a_I`, which add
up. Its unit ball is the hull of the vectors of at most k entries and length 1. With entries sorted
downwards in absolute value and r the number in 0 to k - 1 for which

.. math::

    |\zeta|_{k-r-1} > \frac1{r + 1} \sum_{i \ge k - r} |\zeta|_i \ge |\zeta|_{k-r}, \qquad
    R(\zeta)^2 = \sum_{i \le k-r-1} |\zeta|_i^2
        + \frac1{r + 1} \Bigl( \sum_{i \ge k - r} |\zeta|_i \Bigr)^2 .

References
----------
.. [1] A. Argyriou, R. Foygel and N. Srebro (2012). Sparse prediction with the k-support norm.
   NeurIPS. arXiv:1204.5043.
.. [2] A. McDonald, M. Pontil and D. Stamos (2016). New perspectives on k-support and cluster
   norms. JMLR 17. arXiv:1512.08204.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from gnorm.gated import FloatArray, frobenius_norms
from gnorm.norms.base import Network, Norm, check_weights
from gnorm.norms.simplex import check_threshold

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["KSupport"]


@dataclass(frozen=True)
class KSupport(Norm):
    r"""Norm whose unit ball is the hull of the vectors with k entries and length 1.

    For k = 1 it is the L1 norm, for k the number of weights the L2 norm.

    Parameters
    ----------
    k : int
        Size of the supports, at least 1 and at most the number of weights.

    Raises
    ------
    ValueError
        If k is not an integer of at least 1.

    Examples
    --------
    >>> from gnorm.norms import KSupport
    >>> zeta = [[[3.0, -4.0, 0.0]]]
    >>> KSupport(1).value(zeta), KSupport(2).value(zeta), KSupport(2).dual([[[3.0, -4.0, 1.0]]])
    (7.0, 5.0, 5.0)
    """

    k: int

    formula = r"\min \{ \sum_I \|a_I\|_2 : \sum_I a_I = \zeta, |I| = k \}"
    dual_formula = r"\|V\|_2 \text{ of the } k \text{ largest}"
    architecture = "sum over all supports of k features of a scalar times a vector"
    geometry = "l2: gradient descent"
    references = ("Argyriou, Foygel and Srebro (2012), arXiv:1204.5043",)
    invariances = ("signs", "permutations")

    def __post_init__(self) -> None:
        if not isinstance(self.k, Integral) or isinstance(self.k, bool) or self.k < 1:
            raise ValueError(f"expected an integer k >= 1, got k={self.k!r}; k=1 is the norm L1()")
        object.__setattr__(self, "k", int(self.k))

    @classmethod
    def examples(cls) -> tuple[KSupport, ...]:
        """Return some sizes."""
        return cls(1), cls(2), cls(4)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError if there are fewer weights than k, or several outputs."""
        super().check_shape(shape)
        if self.k > math.prod(shape):
            raise ValueError(
                f"expected k of at most {math.prod(shape)}, the weights of shape {shape}, "
                f"got k={self.k}; with k of all weights it is the norm L2()"
            )

    def value(self, zeta: ArrayLike) -> float:
        """Norm of these weights, in closed form."""
        zeta = check_weights(zeta)
        self.check_shape(zeta.shape)
        descending = np.sort(np.abs(zeta), axis=None)[::-1]
        first = self._first_shared(descending)
        shared = float(np.sum(descending[first:])) / math.sqrt(self.k - first)
        return float(frobenius_norms(np.append(descending[:first], shared)[None])[0])

    def _first_shared(self, descending: np.ndarray) -> int:
        """Number of entries that count by themselves: k - r - 1; the others count by their sum."""
        tails = np.cumsum(descending[::-1])[::-1]
        for r in range(self.k):
            first = self.k - r - 1
            before = descending[first - 1] if first else np.inf
            if before > tails[first] / (r + 1) >= descending[first]:
                return first
        # ties lost to rounding: r = k - 1, where the left inequality always holds
        return 0

    def dual(self, sums: ArrayLike) -> float:
        """Euclidean norm of the k largest absolute values."""
        V = check_weights(sums, "sums")
        self.check_shape(V.shape)
        largest = np.sort(np.abs(V), axis=None)[::-1][: self.k]
        return float(frobenius_norms(largest[None])[0])

    def extreme_point(self, sums: ArrayLike) -> FloatArray:
        """Sums at their k largest, normalised."""
        V = check_weights(sums, "sums")
        length = self.dual(V)
        point = np.zeros_like(V)
        largest = np.argsort(-np.abs(V), axis=None, kind="stable")[: self.k]
        point.flat[largest] = V.flat[largest] / (length or 1.0)
        return point

    def prox(self, zeta: ArrayLike, t: float) -> FloatArray:
        r"""Proximal map of t times the norm.

        With shares :math:`\theta_i = \min(1, \max(0, \alpha |\zeta_i| - \tau))`,
        :math:`\sum_i \theta_i = k`, it is :math:`\zeta_i \theta_i / (\theta_i + \tau)` for the
        :math:`\tau` that is t over the norm of that (McDonald, Pontil and Stamos 2016).
        """
        zeta, t = check_weights(zeta), check_threshold(t)
        self.check_shape(zeta.shape)
        if self.dual(zeta) <= t:
            return np.zeros_like(zeta)
        lengths = np.abs(zeta)

        def left(tau: float) -> FloatArray:
            shares = _shares(lengths, self.k, tau)
            return zeta * (shares / (shares + tau))

        def excess(log_tau: float) -> float:
            """Of the dual norm of what is taken, which is t where there is anything left."""
            return self.dual(zeta - left(math.exp(log_tau))) - t

        if t == 0:
            return zeta
        # from all but nothing taken to nothing left but rounding
        log_tau = brentq(excess, math.log(1e-16 * t / self.dual(zeta)), 80.0, xtol=1e-14)
        return left(math.exp(log_tau))

    def expression(self, zeta: Any) -> cp.Expression:
        r"""Least :math:`\tfrac12 \sum_i \zeta_i^2 / \theta_i + \tfrac12 \tau` of shares.

        The shares have :math:`0 \le \theta_i \le \tau` and :math:`\sum_i \theta_i \le k \tau`, as
        McDonald, Pontil and Stamos (2016) show.
        """
        import cvxpy as cp
        from cvxpy.transforms.partial_optimize import partial_optimize

        flat = cp.vec(zeta, order="F")
        theta, tau = cp.Variable(flat.size, nonneg=True), cp.Variable(nonneg=True)
        squares = cp.Variable(flat.size, nonneg=True)  # at least zeta^2 / theta
        cones = cp.SOC(theta + squares, cp.vstack([2 * flat, theta - squares]), axis=0)
        least = cp.Minimize(0.5 * cp.sum(squares) + 0.5 * tau)
        limits = [cones, theta <= tau, cp.sum(theta) <= self.k * tau]
        return partial_optimize(cp.Problem(least, limits), [theta, squares, tau])

    def network(self, shape: tuple[int, ...]) -> Network:
        """A scalar and a vector for every support; few weights only, for there are many."""
        size = math.prod(shape)
        supports = np.array(list(combinations(range(size), self.k)))
        n_supports = len(supports)

        def zeta_of(w: Any) -> FloatArray:
            zeta = np.zeros(size)
            np.add.at(zeta, supports, w[0][:, None] * w[1])
            return zeta.reshape(shape)

        def weights(zeta: FloatArray) -> list[np.ndarray]:
            parts = _decomposed(zeta.ravel(), self.k)
            scalars, vectors = np.zeros(n_supports), np.zeros((n_supports, self.k))
            place = {tuple(support): i for i, support in enumerate(supports.tolist())}
            for support, part in parts:
                i, root = place[support], math.sqrt(float(np.linalg.norm(part)))
                scalars[i], vectors[i] = root, part / (root or 1.0)
            return [scalars, vectors]

        return Network(
            ((n_supports,), (n_supports, self.k)),
            zeta_of,
            lambda w: 0.5 * float(np.sum(w[0] ** 2) + np.sum(w[1] ** 2)),
            weights,
        )


def _shares(lengths: np.ndarray, k: int, tau: float) -> np.ndarray:
    r"""Shares :math:`\min(1, \max(0, \alpha |\zeta_i| - \tau))` of sum k, or ones if so few are.

    The sum is piecewise linear in :math:`\alpha`: its kinks are sorted, and it is met between two.
    """
    positive = lengths[lengths > 0]
    if len(positive) <= k:
        return (lengths > 0).astype(float)
    kinks = np.sort(np.concatenate([tau / positive, (1.0 + tau) / positive]))
    totals = np.array([np.sum(np.clip(rate * positive - tau, 0.0, 1.0)) for rate in kinks])
    return np.clip(np.interp(k, totals, kinks) * lengths - tau, 0.0, 1.0)


def _decomposed(zeta: np.ndarray, k: int) -> list[tuple[tuple[int, ...], np.ndarray]]:
    r"""Write zeta as a sum of vectors of k entries whose lengths add up to the norm.

    All have the same direction on their supports: that of :math:`\zeta_i / \theta_i`, where the
    shares :math:`\theta_i \le 1`, :math:`\sum_i \theta_i = k` are those of the largest entries, all
    of one, and in proportion to the entries below. Any such shares are a mean of supports.
    """
    lengths = np.abs(zeta)
    order = np.argsort(-lengths, kind="stable")
    first = KSupport(k)._first_shared(lengths[order])
    theta = np.ones(len(zeta))
    rest = order[first:]
    total = float(np.sum(lengths[rest]))
    theta[rest] = (k - first) * lengths[rest] / total if total > 0 else (k - first) / len(rest)
    direction = np.divide(zeta, theta, out=np.zeros_like(zeta), where=theta > 0)
    parts: dict[tuple[int, ...], np.ndarray] = {}
    left = 1.0
    while left > 1e-14:
        support = np.sort(np.argsort(-theta, kind="stable")[:k])
        outside = np.setdiff1d(np.arange(len(theta)), support)
        # as long as what is inside is there and what is outside still fits into what is left
        step = min(
            left,
            float(np.min(theta[support])),
            left - float(np.max(theta[outside], initial=0.0)),
        )
        if step <= 1e-15:
            break
        key = tuple(support.tolist())
        parts[key] = parts.get(key, np.zeros(k)) + step * direction[support]
        theta[support] -= step
        left -= step
    return list(parts.items())
