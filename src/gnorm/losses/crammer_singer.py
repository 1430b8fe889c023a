"""The hinge loss of several classes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gnorm.losses.base import safe_product
from gnorm.losses.classes import SimplexLoss
from gnorm.losses.hinge import Hinge

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["CrammerSinger"]


@dataclass(frozen=True)
class CrammerSinger(SimplexLoss):
    r"""Hinge loss :math:`\ell(f) = C \max(0, 1 - f_y + \max_{k \ne y} f_k)` of several outputs.

    Classes are 0, 1, ...; `f` and `b` have shape (n_samples, n_classes). It is the hinge of the
    margin :math:`f_y - \max_{k \ne y} f_k`, that of scikit-learn's
    ``LinearSVC(multi_class="crammer_singer")`` [1]_. With :math:`p = e_y - b / C`:
    :math:`\ell^*(-b) = -b_y` on the simplex, :math:`p \ge 0` and :math:`\sum_k b_k = 0`. That sum
    is for the caller to keep: domain and derivatives are those of the coordinates. ``C = inf`` is a
    hard margin, :math:`f_y - f_k \ge 1` for all other classes.

    Parameters
    ----------
    n_classes : int or None, default=None
        Number of classes; None takes the largest label plus one.

    Raises
    ------
    ValueError
        If `n_classes` is less than 2.

    See Also
    --------
    OneVersusRest : Where every output has a margin of its own.

    References
    ----------
    .. [1] K. Crammer and Y. Singer, "On the algorithmic implementation of multiclass kernel-based
       vector machines", Journal of Machine Learning Research 2, 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.losses import CrammerSinger
    >>> f = np.array([[3.0, 1.0, 0.0], [0.5, 0.0, 0.0]])
    >>> CrammerSinger().value(np.array([0, 2]), f, np.array([1.0, 2.0]))
    array([0., 3.])
    """

    name: ClassVar[str] = "crammer_singer"
    is_piecewise_linear: ClassVar[bool] = True
    has_quadratic_conjugate: ClassVar[bool] = True
    allows_infinite_C: ClassVar[bool] = True

    def margins(self, y: np.ndarray, f: np.ndarray) -> np.ndarray:
        r"""Margins :math:`f_{n y_n} - \max_{k \ne y_n} f_{nk}`, shape (n_samples,)."""
        label, others = self._label_and_others(y, f)
        margins: np.ndarray = label - np.max(others, axis=1)
        return margins

    def directions(self, y: np.ndarray, n_classes: int) -> np.ndarray:
        r"""Directions :math:`e_{y_n} - e_k`, one for each other class; see :class:`ClassLoss`."""
        each = np.eye(n_classes)
        others = np.nonzero(np.arange(n_classes) != y[:, None])[1].reshape(len(y), -1)
        directions: np.ndarray = each[y][:, None] - each[others]
        return directions

    @staticmethod
    def _label_and_others(y: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Outputs of the labels, and all outputs with those lowered to minus infinity."""
        rows, others = np.arange(len(y)), np.array(f)
        others[rows, y] = -np.inf
        return f[rows, y], others

    def value(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Loss :math:`C_n \max(0, 1 - m_n)` of the margin of each sample."""
        return safe_product(C, np.maximum(0.0, 1.0 - self.margins(y, f)))

    def derivative(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Subgradient :math:`C_n (p_n - e_{y_n})`, shape (n_samples, n_classes).

        p is shared by the largest of the other classes where they tie, as all do at zero; it is
        :math:`e_{y_n}` from a margin of 1 on.
        """
        label, others = self._label_and_others(y, f)
        largest = np.max(others, axis=1)
        p = (others == largest[:, None]).astype(float)
        p *= ((label - largest < 1.0) / np.sum(p, axis=1))[:, None]
        p[np.arange(len(y)), y] = -np.sum(p, axis=1)
        return C[:, None] * p

    def curvature_along(
        self, y: np.ndarray, f: np.ndarray, direction: np.ndarray, C: np.ndarray
    ) -> float:
        """Zero, between kinks."""
        _ = y, f, direction, C
        return 0.0

    def conjugate(self, y: np.ndarray, b: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Conjugate :math:`-b_{n y_n}`, shape (n_samples,)."""
        _ = C
        return -b[np.arange(len(y)), y]

    def conjugate_derivatives(
        self, y: np.ndarray, b: np.ndarray, C: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """-1 for the label, 0 for the other classes, and zeros."""
        _ = C
        return -np.maximum(self.signs(y, b.shape[1]), 0.0), np.zeros(b.shape)

    def conjugate_prox(
        self, y: np.ndarray, b: np.ndarray, C: np.ndarray, rate: np.ndarray
    ) -> np.ndarray:
        r"""Dual point with :math:`p = \Pi(e_y - (b + r e_y) / C)`, projected onto the simplex."""
        is_label = np.maximum(self.signs(y, b.shape[1]), 0.0)
        moved = b + rate[:, None] * is_label
        # no projection is longer than what is projected: a bound of that length is none
        lengths = np.linalg.norm(moved, axis=1)
        bound = np.where(np.isinf(C), np.where(lengths > 0, lengths, 1.0), C)[:, None]
        p = projected_to_simplex(is_label - moved / bound)
        return self.feasible(y, -bound * p, C)

    def affine_depth(self, y: np.ndarray, f: np.ndarray) -> np.ndarray:
        r"""Half the lead of the largest of 0 and :math:`1 - f_y + f_k` over the next.

        Two outputs that move towards each other both make up for it.
        """
        label, others = self._label_and_others(y, f)
        pieces = np.column_stack([np.zeros(len(y)), 1.0 - label[:, None] + others])
        second, first = np.partition(pieces, -2, axis=1)[:, -2:].T
        return 0.5 * (first - second)

    def _soft_primal_multiple(
        self, y: np.ndarray, f: np.ndarray, C: np.ndarray, norm: float, slope: float
    ) -> float:
        ones = np.ones(len(y))
        return Hinge().primal_multiple(ones, self.margins(y, f), C, norm, slope)

    def _expression(self, y: np.ndarray, f: cp.Expression, C: np.ndarray) -> cp.Expression:
        import cvxpy as cp

        is_label = np.maximum(self.signs(y, f.shape[1]), 0.0)
        label = cp.sum(cp.multiply(is_label, f), axis=1)
        # the largest of all, that of the label with 0 in place of 1: no less than it
        return C @ (cp.max(f + (1.0 - is_label), axis=1) - label)


def projected_to_simplex(rows: np.ndarray) -> np.ndarray:
    r"""Nearest point with :math:`p \ge 0`, :math:`\sum_k p_k = 1` to each row."""
    descending = np.sort(rows, axis=1)[:, ::-1]
    thresholds = (np.cumsum(descending, axis=1) - 1.0) / np.arange(1, rows.shape[1] + 1)
    last = np.count_nonzero(descending > thresholds, axis=1) - 1
    projected: np.ndarray = np.maximum(rows - thresholds[np.arange(len(rows)), last, None], 0.0)
    return projected
