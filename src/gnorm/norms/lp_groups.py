r"""Norms of units under descent in an l_p geometry, p between 2 and infinity.

A unit :math:`\zeta_h = u_h a_h` costs :math:`|u_h|^p + \|a_h\|_p^p \ge 2 \|\zeta_h\|_p^{p/2}`, so
that :math:`(\tfrac12 \|w\|_p^p)^{2/p}` is at least

.. math:: R(\zeta) = \Bigl( \sum_h \|\zeta_h\|_p^{p/2} \Bigr)^{2/p},

the :math:`l_{p/2}` norm over units of the :math:`l_p` norms within. For p = 2 it is the group norm
of gradient descent, for infinity the largest absolute value, that of sign descent.

References
----------
.. [1] N. Tsilivis, E. Gronich, G. Vardi and J. Kempe (2025). Flavors of margin: implicit bias of
   steepest descent in homogeneous neural networks. ICLR. arXiv:2410.22069.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from gnorm.gated import FloatArray
from gnorm.norms.base import Network, Norm, check_weights
from gnorm.norms.group import GroupNorm
from gnorm.norms.max_abs import MaxAbs

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["LpGroups"]


@dataclass(frozen=True)
class LpGroups(Norm):
    r"""The :math:`l_{p/2}` norm over units of the :math:`l_p` norms of their weights.

    .. math::

        R(\zeta) = \Bigl( \sum_h \|\zeta_h\|_p^{p/2} \Bigr)^{2/p}, \qquad
        R^\circ(V) = \Bigl( \sum_h \|V_h\|_q^s \Bigr)^{1/s}, \quad
        q = \tfrac{p}{p - 1},\ s = \tfrac{p}{p - 2}

    It is a norm of the weights. Where a unit always has one context open, weights with the same
    predictors differ in it, and a solution has the least.

    Parameters
    ----------
    p : float
        Exponent of the geometry, from 2 to ``inf``.

    Raises
    ------
    ValueError
        If p is less than 2, where no norm is induced.

    Examples
    --------
    >>> from gnorm.norms import LpGroups
    >>> zeta = [[[3.0, -4.0]], [[0.0, 2.0]]]
    >>> [round(LpGroups(p).value(zeta), 6) for p in (2, 4, float("inf"))]
    [7.0, 4.728378, 4.0]
    """

    p: float

    formula = r"(\sum_h \|\zeta_h\|_p^{p/2})^{2/p}"
    dual_formula = r"(\sum_h \|V_h\|_q^s)^{1/s},\ q = p/(p-1),\ s = p/(p-2)"
    architecture = "gated network, two layers"
    geometry = "l_p, p from 2 to infinity: steepest descent"
    references = ("Tsilivis et al. (2025), arXiv:2410.22069",)
    invariances = ("signs", "permutations of units", "permutations within units")

    def __post_init__(self) -> None:
        if not isinstance(self.p, Real) or not self.p >= 2:
            raise ValueError(
                f"expected p >= 2, possibly inf, got p={self.p!r}: below 2 the units cost a power "
                "of their norms that is not convex; p=2 is the GroupNorm() of gradient descent"
            )
        object.__setattr__(self, "p", float(self.p))

    @classmethod
    def examples(cls) -> tuple[LpGroups, ...]:
        """Return the ends of the range of p, and between."""
        return cls(2.0), cls(3.0), cls(4.0), cls(math.inf)

    @property
    def _exponents(self) -> tuple[float, float, float, float]:
        """Exponents within and over units, of the norm and of its dual."""
        p = self.p
        if math.isinf(p):
            return p, p, 1.0, 1.0
        return p, p / 2, p / (p - 1), p / (p - 2) if p > 2 else math.inf

    def value(self, zeta: ArrayLike) -> float:
        """Norm of these weights."""
        zeta = check_weights(zeta)
        within, over, _, _ = self._exponents
        return _norm(_norms(zeta.reshape(len(zeta), -1), within), over)

    def dual(self, sums: ArrayLike) -> float:
        """Dual norm, of the conjugate exponents."""
        V = check_weights(sums, "sums")
        _, _, within, over = self._exponents
        return _norm(_norms(V.reshape(len(V), -1), within), over)

    def extreme_point(self, sums: ArrayLike) -> FloatArray:
        """Weights of norm 1 that attain the dual norm, by the gradients of both parts of it."""
        V = check_weights(sums, "sums")
        rows = V.reshape(len(V), -1)
        _, _, within, over = self._exponents
        lengths = _norms(rows, within)
        units = _gradient(lengths, over)
        return (units[:, None] * np.stack([_gradient(row, within) for row in rows])).reshape(
            V.shape
        )

    def prox(self, zeta: ArrayLike, t: float) -> FloatArray:
        """Proximal map of t times the norm, at both ends of the range of p.

        Raises
        ------
        TypeError
            If p is between 2 and infinity, where there is no closed form.
        """
        if self.p == 2:
            zeta = check_weights(zeta)
            return GroupNorm().prox(zeta.reshape(*zeta.shape[:2], -1), t).reshape(zeta.shape)
        return MaxAbs().prox(zeta, t) if math.isinf(self.p) else super().prox(zeta, t)

    def expression(self, zeta: Any) -> cp.Expression:
        """Compose the norm of atoms of cvxpy; by power cones for p between 2 and infinity."""
        import cvxpy as cp

        within, over, _, _ = self._exponents
        rows = cp.reshape(zeta, (zeta.shape[0], math.prod(zeta.shape[1:])), order="C")
        units = [cp.pnorm(rows[h], within) for h in range(rows.shape[0])]
        return cp.pnorm(cp.hstack(units), over)

    def network(self, shape: tuple[int, ...]) -> Network:
        r"""Read-out :math:`u_h` and input weights :math:`a_h` of each unit."""
        p = self.p

        def weights(zeta: FloatArray) -> list[np.ndarray]:
            roots = np.sqrt(_norms(zeta.reshape(len(zeta), -1), p))
            divisors = np.where(roots > 0, roots, 1.0)
            return [roots, zeta / divisors[:, None, None]]

        def cost(w: Any) -> float:
            layers = np.concatenate([np.ravel(each) for each in w])
            half = 1.0 if math.isinf(p) else 0.5 ** (2 / p)
            return half * _norm(layers, p) ** 2

        return Network(((shape[0],), shape), lambda w: w[0][:, None, None] * w[1], cost, weights)


def _norm(values: np.ndarray, p: float) -> float:
    return float(_norms(np.ravel(values)[None], p)[0])


def _norms(rows: np.ndarray, p: float) -> np.ndarray:
    """The l_p norm of each row, at any scale."""
    lengths = np.abs(rows)
    largest = np.max(lengths, axis=1)
    if math.isinf(p):
        return largest
    shares = lengths / np.where(largest > 0, largest, 1.0)[:, None]
    return largest * np.sum(shares**p, axis=1) ** (1 / p)


def _gradient(values: np.ndarray, p: float) -> np.ndarray:
    """A subgradient of the l_p norm, of conjugate norm 1."""
    lengths = np.abs(values)
    largest = float(np.max(lengths))
    if math.isinf(p):
        only = np.zeros_like(values)
        first = np.argmax(lengths)
        only[first] = 1.0 if values[first] >= 0 else -1.0
        return only
    if largest == 0:
        return np.zeros_like(values)
    return np.sign(values) * (lengths / (largest * _norm(lengths / largest, p))) ** (p - 1)
