"""The multinomial log loss of logistic regression with several classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import softmax, xlog1py, xlogy

from gnorm.losses.classes import SimplexLoss

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["Multinomial"]

_TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Multinomial(SimplexLoss):
    r"""Multinomial log loss :math:`\ell(f) = C (\log \sum_k e^{f_k} - f_y)` of several outputs.

    Classes are 0, 1, ...; `f` and `b` have shape (n_samples, n_classes). With
    :math:`p = e_y - b / C`: :math:`\ell^*(-b) = C \sum_k p_k \log p_k` on the simplex,
    :math:`p \ge 0` and :math:`\sum_k b_k = 0`. That sum is for the caller to keep: domain and
    derivatives are those of the coordinates.

    Parameters
    ----------
    n_classes : int or None, default=None
        Number of classes; None takes the largest label plus one.

    Raises
    ------
    ValueError
        If `n_classes` is less than 2.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.losses import Multinomial
    >>> loss = Multinomial(n_classes=3)
    >>> loss.value(np.array([0, 2]), np.zeros((2, 3)), np.array([1.0, 2.0]))
    array([1.1, 2.2])
    """

    name: ClassVar[str] = "multinomial"
    has_open_domain: ClassVar[bool] = True

    def value(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Loss :math:`C_n (\log \sum_k e^{f_{nk}} - f_{n y_n})` of each sample."""
        rows = np.arange(len(y))
        label = f[rows, y]
        others = np.array(f)
        others[rows, y] = -np.inf
        largest = np.max(others, axis=1)
        total = np.log(np.sum(np.exp(others - largest[:, None]), axis=1))
        # by the others alone: beside a label that is all but certain 1 would swallow them
        with np.errstate(over="ignore"):
            loss: np.ndarray = C * np.logaddexp(0.0, largest - label + total)
        return loss

    def derivative(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Gradient :math:`C_n (p_n - e_{y_n})`, shape (n_samples, n_classes)."""
        p = softmax(f, axis=1)
        rows = np.arange(len(y))
        # p_y - 1 as minus the others: near 0 it keeps its relative accuracy, and the sum is 0
        p[rows, y] = 0.0
        p[rows, y] = -np.sum(p, axis=1)
        return C[:, None] * p

    def curvature_along(
        self, y: np.ndarray, f: np.ndarray, direction: np.ndarray, C: np.ndarray
    ) -> float:
        r"""Second derivative :math:`\sum_n C_n \mathrm{Var}_{p_n}(d_n)` along a direction."""
        p = softmax(f, axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            centred = direction - np.sum(p * direction, axis=1, keepdims=True)
            return float(np.sum(p * C[:, None] * centred * centred))

    def conjugate(self, y: np.ndarray, b: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Conjugate :math:`C_n \sum_k p_{nk} \log p_{nk}`, shape (n_samples,)."""
        p, complement = self._probabilities(y, b, C)
        # by the complement where it is the smaller and has its relative accuracy
        terms = np.where(
            p < 0.5, xlogy(p, p), xlog1py(1.0 - complement, -np.minimum(complement, 0.5))
        )
        return C * np.sum(terms, axis=1)

    def conjugate_derivatives(
        self, y: np.ndarray, b: np.ndarray, C: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Derivatives :math:`-(1 + \log p_{nk})` and :math:`1 / (C_n p_{nk})` by coordinate.

        Both have shape (n_samples, n_classes) and are finite at the ends, too: :math:`p` is kept
        off 0. The second derivative is diagonal in these coordinates.
        """
        p, complement = self._probabilities(y, b, C)
        log_p = np.where(
            p < 0.5, np.log(np.maximum(p, _TINY)), np.log1p(-np.minimum(complement, 0.5))
        )
        return -1.0 - log_p, 1.0 / np.maximum(C[:, None] * p, _TINY)

    def affine_depth(self, y: np.ndarray, f: np.ndarray) -> np.ndarray:
        """``-inf``: the loss is curved everywhere."""
        return np.full(len(f), -np.inf)

    def predict_proba(self, f: np.ndarray) -> np.ndarray:
        r"""Probabilities :math:`e^{f_k} / \sum_j e^{f_j}`.

        Parameters
        ----------
        f : ndarray of shape (n_samples, n_classes)
            Outputs.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Rows that sum to 1.
        """
        probabilities: np.ndarray = softmax(f, axis=1)
        return probabilities

    @staticmethod
    def _probabilities(
        y: np.ndarray, b: np.ndarray, C: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities ``p`` and ``1 - p``, each without cancellation, cut off at 0 and 1."""
        is_label = np.arange(b.shape[1]) == y[:, None]
        share = np.where(is_label, b, -b)
        small = share / C[:, None]
        large = (C[:, None] - share) / C[:, None]
        return (
            np.clip(np.where(is_label, large, small), 0.0, 1.0),
            np.clip(np.where(is_label, small, large), 0.0, 1.0),
        )

    def _expression(self, y: np.ndarray, f: cp.Expression, C: np.ndarray) -> cp.Expression:
        import cvxpy as cp

        is_label = (np.arange(f.shape[1]) == y[:, None]).astype(float)
        return C @ (cp.log_sum_exp(f, axis=1) - cp.sum(cp.multiply(is_label, f), axis=1))
