"""The log loss of logistic regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import expit, xlog1py, xlogy

from gnorm.losses.base import Loss

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["LogLoss"]

# the smallest normal number, and the distance from 1 to the number before it
_TINY = float(np.finfo(float).tiny)
_HALF_ULP = float(np.finfo(float).epsneg)


@dataclass(frozen=True)
class LogLoss(Loss):
    r"""Log loss :math:`\ell(f) = C \log(1 + e^{-y f})` with labels -1 and 1.

    With :math:`p = y b / C`: :math:`\ell^*(-b) = C (p \log p + (1 - p) \log(1 - p))` on
    :math:`0 < p < 1`.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.losses import LogLoss
    >>> LogLoss().value(np.array([1.0, -1.0]), np.array([0.0, 2.0]), np.array([1.0, 1.0]))
    array([0.69, 2.13])
    """

    name: ClassVar[str] = "log_loss"
    is_margin: ClassVar[bool] = True
    has_open_domain: ClassVar[bool] = True

    def value(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Loss :math:`C_n \log(1 + e^{-y_n f_n})` of each sample."""
        with np.errstate(over="ignore"):
            return C * np.logaddexp(0.0, -y * f)

    def derivative(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Derivative :math:`-C_n y_n / (1 + e^{y_n f_n})`."""
        return -C * y * expit(-y * f)

    def curvature_along(
        self, y: np.ndarray, f: np.ndarray, direction: np.ndarray, C: np.ndarray
    ) -> float:
        r"""Second derivative :math:`\sum_n C_n p_n (1 - p_n) d_n^2` along a direction."""
        with np.errstate(over="ignore"):
            # in this order a saturated sample is zero before the direction can overflow
            return float(np.sum(expit(f) * expit(-f) * C * direction * direction))

    def domain(self, y: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""Ends of :math:`0 < y_n b_n < C_n`."""
        return np.where(y < 0, -C, 0.0), np.where(y > 0, C, 0.0)

    def conjugate(self, y: np.ndarray, b: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Conjugate :math:`C_n (p_n \log p_n + (1 - p_n) \log(1 - p_n))`, 0 at the ends."""
        a = y * b
        # by the smaller of the two probabilities, which has its relative accuracy
        smaller = np.clip(np.minimum(a, C - a) / C, 0.0, 0.5)
        return C * (xlogy(smaller, smaller) + xlog1py(1.0 - smaller, -smaller))

    def conjugate_derivatives(
        self, y: np.ndarray, b: np.ndarray, C: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Derivatives :math:`y_n \log(p_n / (1 - p_n))` and :math:`1 / (C_n p_n (1 - p_n))`.

        Finite at the ends, too: :math:`p_n` is kept off 0 and 1.
        """
        a = y * b
        p = np.clip(a / C, _TINY, 1.0)
        q = np.clip((C - a) / C, _HALF_ULP, 1.0)
        second = 1.0 / np.maximum(C * p * q, _TINY)
        return y * (np.log(p) - np.log(q)), second

    def affine_depth(self, y: np.ndarray, f: np.ndarray) -> np.ndarray:
        """``-inf``: the loss is curved everywhere."""
        return np.full(len(f), -np.inf)

    def predict_proba(self, f: np.ndarray) -> np.ndarray:
        r"""Probabilities of the labels -1 and 1.

        Parameters
        ----------
        f : ndarray of shape (n_samples,)
            Outputs.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, 2)
            :math:`1 / (1 + e^f)` and :math:`1 / (1 + e^{-f})`.
        """
        return np.column_stack((expit(-f), expit(f)))

    def _expression(self, y: np.ndarray, f: cp.Expression, C: np.ndarray) -> cp.Expression:
        import cvxpy as cp

        return C @ cp.logistic(-cp.multiply(y, f))
