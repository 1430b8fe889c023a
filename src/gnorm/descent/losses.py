r"""Exponential-like losses, in logarithms so that they reach any margin.

A loss of the margin :math:`u = y f(x)` is exponential-like (Definition B.10 of [1]_) if it falls
to zero, has a Lipschitz derivative, and its slope has a tight exponential tail: with constants
c, a, :math:`\mu_\pm > 0`,

.. math:: c \, (1 - e^{-\mu_- u}) \, e^{-a u} \le -\ell'(u) \le c \, (1 + e^{-\mu_+ u}) \, e^{-a u}

for all large u. The slope of a margin of :math:`10^4` is no floating-point number, so losses are
given by their logarithms, and gradients relative to the loss itself.

References
----------
.. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
   generalized gated linear networks. arXiv:2202.02649.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from gnorm.gated import FloatArray

__all__ = ["LOSSES", "Exponential", "ExponentialLike", "Logistic"]

_UNDERFLOW = 700.0  # exp(-u) is a normal number up to here
_TAIL = 37.0  # from here on log(1 + e^-u) is e^-u to the last digit


@dataclass(frozen=True)
class ExponentialLike:
    r"""A loss with a tight exponential tail.

    Attributes
    ----------
    c, a : float
        Factor and rate of the tail.
    mu_plus, mu_minus : float
        Rates at which the upper and the lower bound of the tail become tight.
    u_plus, u_minus : float
        Margins from which on the bounds hold.
    """

    c: ClassVar[float] = 1.0
    a: ClassVar[float] = 1.0
    mu_plus: ClassVar[float] = 1.0
    mu_minus: ClassVar[float] = 1.0
    u_plus: ClassVar[float] = 0.0
    u_minus: ClassVar[float] = 0.0

    def log_value(self, u: ArrayLike) -> FloatArray:
        r"""Logarithm of the loss, :math:`\log \ell(u)`, elementwise."""
        raise NotImplementedError

    def log_slope(self, u: ArrayLike) -> FloatArray:
        r"""Logarithm of the slope, :math:`\log (-\ell'(u))`, elementwise."""
        raise NotImplementedError

    def inverse(self, log_value: ArrayLike) -> FloatArray:
        r"""Margin at which the loss has a given logarithm: the inverse of :meth:`log_value`."""
        raise NotImplementedError

    def log_mean(self, u: ArrayLike) -> tuple[float, FloatArray]:
        r"""Mean loss and its gradient, whatever the size of the margins.

        Parameters
        ----------
        u : array-like of shape (n_samples,)
            Margins.

        Returns
        -------
        log_loss : float
            :math:`\log L` with :math:`L = \frac{1}{N} \sum_n \ell(u_n)`.
        slopes : ndarray of shape (n_samples,)
            :math:`-\frac{1}{N} \ell'(u_n) / L`, the weights of the samples in the gradient of
            :math:`-\log L`; non-negative, and never all zero.
        """
        u = np.asarray(u, dtype=float)
        log_values = self.log_value(u)
        largest = log_values.max()
        total = np.exp(log_values - largest).sum()
        slopes = np.exp(self.log_slope(u) - largest) / total
        return float(largest + np.log(total / len(u))), slopes


@dataclass(frozen=True)
class Exponential(ExponentialLike):
    r"""Exponential loss, :math:`\ell(u) = e^{-u}`: its own tail.

    Its derivative is Lipschitz where the loss is bounded, so along any descent.

    Examples
    --------
    >>> from gnorm.descent.losses import Exponential
    >>> log_loss, slopes = Exponential().log_mean([1e4, 1e4])
    >>> log_loss, slopes
    (-10000.0, array([0.5, 0.5]))
    """

    def log_value(self, u: ArrayLike) -> FloatArray:
        r"""Logarithm of the loss, :math:`-u`."""
        return -np.asarray(u, dtype=float)

    def log_slope(self, u: ArrayLike) -> FloatArray:
        r"""Logarithm of the slope, :math:`-u`."""
        return -np.asarray(u, dtype=float)

    def inverse(self, log_value: ArrayLike) -> FloatArray:
        r"""Margin of a given loss, :math:`-\log \ell`."""
        return -np.asarray(log_value, dtype=float)


@dataclass(frozen=True)
class Logistic(ExponentialLike):
    r"""Logistic loss, :math:`\ell(u) = \log(1 + e^{-u})`.

    Its slope :math:`e^{-u} / (1 + e^{-u})` lies between :math:`(1 - e^{-u}) e^{-u}` and
    :math:`e^{-u}`.

    Examples
    --------
    >>> from gnorm.descent.losses import Logistic
    >>> log_loss, slopes = Logistic().log_mean([1e4, 1e4])
    >>> log_loss, slopes
    (-10000.0, array([0.5, 0.5]))
    """

    def log_value(self, u: ArrayLike) -> FloatArray:
        r"""Logarithm of the loss, :math:`\log \log (1 + e^{-u})`."""
        u = np.asarray(u, dtype=float)
        with np.errstate(over="ignore"):
            inner = np.log(np.logaddexp(0.0, -np.minimum(u, _UNDERFLOW)))
        return np.where(u > _UNDERFLOW, -u, inner)

    def log_slope(self, u: ArrayLike) -> FloatArray:
        r"""Logarithm of the slope, :math:`-\log (1 + e^u)`."""
        return -np.logaddexp(0.0, np.asarray(u, dtype=float))

    def log_mean(self, u: ArrayLike) -> tuple[float, FloatArray]:
        """Mean loss and its gradient, without logarithms where the losses are numbers."""
        u = np.asarray(u, dtype=float)
        least = u.min()
        if least > _TAIL:
            return Exponential().log_mean(u)
        if not least >= -_TAIL:
            return super().log_mean(u)
        decay = np.exp(-np.abs(u))
        values = np.log1p(decay)
        values += np.maximum(-u, 0.0)
        total = values.sum()
        slopes = np.where(u > 0, decay, 1.0)
        slopes /= (1.0 + decay) * total
        return float(np.log(total / len(u))), slopes

    def inverse(self, log_value: ArrayLike) -> FloatArray:
        r"""Margin of a given loss, :math:`-\log(e^{\ell} - 1)`."""
        log_value = np.asarray(log_value, dtype=float)
        value = np.exp(np.clip(log_value, -_UNDERFLOW, np.log(_UNDERFLOW)))
        # -log(e^l - 1), where e^l neither overflows nor rounds to 1
        margin = -value - np.log(-np.expm1(-value))
        margin = np.where(log_value < -_UNDERFLOW, -log_value, margin)
        return np.where(log_value > np.log(_UNDERFLOW), -np.exp(log_value), margin)


LOSSES: dict[str, ExponentialLike] = {"exponential": Exponential(), "logistic": Logistic()}
