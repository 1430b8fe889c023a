"""The hinge losses of each class against the rest, as one loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gnorm.losses.base import safe_product
from gnorm.losses.classes import ClassLoss
from gnorm.losses.hinge import Hinge

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["OneVersusRest"]


@dataclass(frozen=True)
class OneVersusRest(ClassLoss):
    r"""Hinge losses :math:`\ell(f) = C \sum_k \max(0, 1 - s_k f_k)` of several outputs.

    Classes are 0, 1, ...; :math:`s_k` is 1 for the label and -1 for the others; `f` and `b` have
    shape (n_samples, n_classes). With :math:`a_k = s_k b_k`: :math:`\ell^*(-b) = -\sum_k a_k` on
    :math:`0 \le a_k \le C`. Under a norm that is a sum over the outputs every class would be a
    problem of its own; under one that is not, such as the nuclear norm, classes share units.
    ``C = inf`` is a hard margin, :math:`s_k f_k \ge 1` for all classes.

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
    CrammerSinger : One margin a sample.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.losses import OneVersusRest
    >>> f = np.array([[3.0, -1.0, 0.0], [0.5, 0.0, 0.0]])
    >>> OneVersusRest().value(np.array([0, 2]), f, np.array([1.0, 2.0]))
    array([1., 7.])
    """

    name: ClassVar[str] = "one_versus_rest"
    is_piecewise_linear: ClassVar[bool] = True
    has_quadratic_conjugate: ClassVar[bool] = True
    allows_infinite_C: ClassVar[bool] = True

    def margins(self, y: np.ndarray, f: np.ndarray) -> np.ndarray:
        r"""Least margins :math:`\min_k s_k f_{nk}`, shape (n_samples,)."""
        margins: np.ndarray = np.min(self.signs(y, f.shape[1]) * f, axis=1)
        return margins

    def directions(self, y: np.ndarray, n_classes: int) -> np.ndarray:
        r"""Directions :math:`s_{nk} e_k`, one for each class; see :class:`ClassLoss`."""
        return self.signs(y, n_classes)[:, :, None] * np.eye(n_classes)

    def value(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Loss :math:`C_n \sum_k \max(0, 1 - s_{nk} f_{nk})` of each sample."""
        shortfall = np.maximum(0.0, 1.0 - self.signs(y, f.shape[1]) * f)
        with np.errstate(over="ignore"):
            return safe_product(C, np.sum(shortfall, axis=1))

    def derivative(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Subgradient: :math:`-C_n s_{nk}` up to a margin of 1, then 0."""
        s = self.signs(y, f.shape[1])
        return np.where(s * f < 1.0, -C[:, None] * s, 0.0)

    def curvature_along(
        self, y: np.ndarray, f: np.ndarray, direction: np.ndarray, C: np.ndarray
    ) -> float:
        """Zero, between kinks."""
        _ = y, f, direction, C
        return 0.0

    def domain(self, y: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""Ends of :math:`0 \le s_{nk} b_{nk} \le C_n`.

        Returns
        -------
        lower, upper : ndarray of shape (n_samples, n_classes)
            Ends.
        """
        s = self.signs(y, self.n_outputs(y))
        return np.where(s > 0, 0.0, -C[:, None]), np.where(s > 0, C[:, None], 0.0)

    def conjugate(self, y: np.ndarray, b: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Conjugate :math:`-\sum_k s_{nk} b_{nk}`, shape (n_samples,)."""
        _ = C
        total: np.ndarray = -np.sum(self.signs(y, b.shape[1]) * b, axis=1)
        return total

    def conjugate_derivatives(
        self, y: np.ndarray, b: np.ndarray, C: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Derivatives :math:`-s_{nk}` and zeros."""
        _ = C
        return -self.signs(y, b.shape[1]), np.zeros(b.shape)

    def conjugate_prox(
        self, y: np.ndarray, b: np.ndarray, C: np.ndarray, rate: np.ndarray
    ) -> np.ndarray:
        r"""Dual point :math:`b + r s`, cut off at the ends of the domain."""
        return self.feasible(y, b + rate[:, None] * self.signs(y, b.shape[1]), C)

    def affine_depth(self, y: np.ndarray, f: np.ndarray) -> np.ndarray:
        """Distance to the nearest kink."""
        depth: np.ndarray = np.min(np.abs(1.0 - self.signs(y, f.shape[1]) * f), axis=1)
        return depth

    def _soft_primal_multiple(
        self, y: np.ndarray, f: np.ndarray, C: np.ndarray, norm: float, slope: float
    ) -> float:
        each = self.signs(y, f.shape[1]).ravel()
        weights = np.repeat(C, f.shape[1])
        return Hinge().primal_multiple(each, f.ravel(), weights, norm, slope)

    def _expression(self, y: np.ndarray, f: cp.Expression, C: np.ndarray) -> cp.Expression:
        import cvxpy as cp

        return C @ cp.sum(cp.pos(1.0 - cp.multiply(self.signs(y, f.shape[1]), f)), axis=1)
