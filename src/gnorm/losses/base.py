r"""What the engine asks of a loss.

The problem is the pair

.. math::

    \text{primal} \quad & \min_\zeta \tfrac12 R(\zeta)^2 + \sum_n \ell_n(f(x_n)) \\
    \text{dual} \quad & \max_b - \sum_n \ell_n^*(-b_n) - \tfrac12 R^\circ(V(b))^2

with :math:`\ell_n(f) = C_n m(y_n, f)`: a sample of weight :math:`k` is :math:`k` copies.
At the optimum :math:`b_n = -\ell_n'(f_n)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Real
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gnorm.losses.multiples import newton_multiple, quadratic_multiple

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["Loss", "safe_product"]


# Relative, from that of one output on: those of a difference of large outputs are larger.
_SLACKS = (0.0, 1e-14, 1e-12, 1e-10)


def safe_product(weights: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """Multiply, where zero times infinity is zero and what overflows is infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(terms == 0, 0.0, weights * terms)


class Loss(ABC):
    r"""A convex loss :math:`\ell_n(f) = C_n m(y_n, f)` of one output, with its conjugate.

    All methods are vectorised over samples; `y`, `f`, `b` and `C` are ndarrays of shape
    (n_samples,), float64, unless a loss says otherwise.

    Attributes
    ----------
    name : str
        Name of the loss, scikit-learn's where it has one.
    is_margin : bool
        Whether the loss depends on :math:`y f` only, with labels -1 and 1.
    has_open_domain : bool
        Whether the derivative of the conjugate is infinite at the ends of its domain.
    has_kink : bool
        Whether :math:`b \mapsto \ell^*(-b)` has a kink at 0.
    allows_infinite_C : bool
        Whether ``C = inf`` makes sense, as a hard constraint that margins are at least 1.
    is_exact_penalty : bool
        Whether, of one output, the solution for ``C = inf`` is that for all C from some finite one
        on.
    is_piecewise_linear : bool
        Whether the loss is affine between its kinks.
    has_quadratic_conjugate : bool
        Whether the conjugate is a quadratic on either side of 0 in its domain, so that the best
        multiple of a dual point has a closed form; else it is found by Newton's method.
    """

    name: ClassVar[str]
    is_margin: ClassVar[bool] = False
    has_open_domain: ClassVar[bool] = False
    allows_infinite_C: ClassVar[bool] = False
    is_exact_penalty: ClassVar[bool] = False
    is_piecewise_linear: ClassVar[bool] = False
    has_quadratic_conjugate: ClassVar[bool] = False

    @property
    def has_kink(self) -> bool:
        r"""Whether :math:`b \mapsto \ell^*(-b)` has a kink at 0."""
        return False

    # -- targets -----------------------------------------------------------------------------------

    def check_targets(self, y: np.ndarray) -> np.ndarray:
        """Targets as float64 of shape (n_samples,).

        Raises
        ------
        ValueError
            If `y` is not one-dimensional, is not made of labels -1 and 1 (margin losses), or
            is not finite (the others).
        """
        y = np.asarray(y)
        if y.ndim != 1:
            raise ValueError(f"expected y of shape (n_samples,), got {y.shape}")
        if y.dtype.kind == "O" and all(isinstance(value, Real) for value in y):
            y = y.astype(float)  # numbers kept as objects
        is_real = y.dtype.kind in "biuf"
        if self.is_margin:
            if not (is_real and np.all((y == 1) | (y == -1))):
                labels = list(dict.fromkeys(y.tolist()))[:10]
                raise ValueError(f"expected labels -1 and 1 in y, got {labels}")
            return y.astype(float)
        if not is_real:
            raise ValueError(f"expected real numbers in y, got dtype {y.dtype}")
        y = y.astype(float)
        if not np.isfinite(y).all():
            raise ValueError(f"expected finite numbers in y, got {y[~np.isfinite(y)][0]}")
        return y

    def output_scale(self, y: np.ndarray, C: np.ndarray) -> float:
        r"""Typical size of the outputs.

        1 for margin losses, else :math:`\sqrt{\sum_n C_n y_n^2 / \sum_n C_n}`, or 1 if that is 0.
        """
        largest = float(np.max(np.abs(y), initial=0.0))
        if self.is_margin or largest == 0:
            return 1.0
        weights = C / np.max(C)
        mean_square = np.sum(weights * (y / largest) ** 2) / np.sum(weights)
        return largest * float(np.sqrt(mean_square)) or 1.0

    def n_outputs(self, y: np.ndarray) -> int:
        """Outputs per sample: 1, except for a multinomial."""
        return 1

    def fitted_to(self, y: np.ndarray) -> Loss:
        """Return the loss with what it takes from the targets fixed, itself if that is nothing."""
        _ = y
        return self

    def in_unit(self, unit: float) -> tuple[Loss, int] | None:
        r"""Return the same loss in another unit of targets and outputs.

        Parameters
        ----------
        unit : float
            The unit :math:`u > 0`.

        Returns
        -------
        loss : Loss
            A loss :math:`m'` with :math:`m(u y, u f) = u^p m'(y, f)`.
        power : int
            The exponent :math:`p`.

        None if there is none, as for labels and classes.
        """
        _ = unit
        return None

    # -- the loss and its conjugate ----------------------------------------------------------------

    @abstractmethod
    def value(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Loss :math:`\ell_n(f_n)` of each sample."""

    def largest_value(
        self, y: np.ndarray, f: np.ndarray, error: np.ndarray, C: np.ndarray
    ) -> np.ndarray:
        r"""Largest loss of each sample over outputs within an error of :math:`f_n`.

        A convex loss has it at an end.
        """
        return np.maximum(self.value(y, f - error, C), self.value(y, f + error, C))

    def least_favourable(
        self, y: np.ndarray, f: np.ndarray, error: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Outputs of the largest loss within an error of :math:`f_n`, and what is left of it.

        The outputs and the error as they are where it is not known which these are.
        """
        return (f - y * error, np.zeros_like(error)) if self.is_margin else (f, error)

    def margins(self, y: np.ndarray, f: np.ndarray) -> np.ndarray:
        r"""Margins of the samples, shape (n_samples,): :math:`y_n f_n` for labels -1 and 1.

        NaN where the loss is none of margins.
        """
        return y * f if self.is_margin else np.full(len(y), np.nan)

    @abstractmethod
    def derivative(self, y: np.ndarray, f: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Element of the subdifferential of :math:`\ell_n` at :math:`f_n`.

        At a kink it is the derivative of the flat side, 0 where there is none.
        """

    @abstractmethod
    def curvature_along(
        self, y: np.ndarray, f: np.ndarray, direction: np.ndarray, C: np.ndarray
    ) -> float:
        r"""Second derivative of :math:`\sum_n \ell_n(f_n + t d_n)` in :math:`t` at 0.

        One-sided where it jumps.
        """

    @abstractmethod
    def domain(self, y: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""Ends of the interval of :math:`b_n` on which :math:`\ell_n^*(-b_n)` is finite.

        Returns
        -------
        lower, upper : ndarray of shape (n_samples,)
            Ends, possibly infinite.
        """

    def feasible(self, y: np.ndarray, b: np.ndarray, C: np.ndarray) -> np.ndarray:
        """Bring dual coefficients that are outside of the domain, if only by rounding, into it."""
        lower, upper = self.domain(y, C)
        return np.clip(b, lower, upper)

    @abstractmethod
    def conjugate(self, y: np.ndarray, b: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Conjugate :math:`\ell_n^*(-b_n) = \sup_f -b_n f - \ell_n(f)` of each sample.

        `b` must lie in the domain but for rounding.
        """

    @abstractmethod
    def conjugate_derivatives(
        self, y: np.ndarray, b: np.ndarray, C: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""First and second derivative of :math:`b_n \mapsto \ell_n^*(-b_n)` inside the domain.

        At a kink the first is the mean of its two sides.
        """

    def conjugate_prox(
        self, y: np.ndarray, b: np.ndarray, C: np.ndarray, rate: np.ndarray
    ) -> np.ndarray:
        r"""Proximal map of :math:`r_n` times :math:`b_n \mapsto \ell_n^*(-b_n)`.

        Every piecewise linear loss has it in closed form.

        Parameters
        ----------
        y, C, rate : ndarray of shape (n_samples,)
            Targets, weights and rates :math:`r_n > 0`.
        b : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Any coefficients.

        Returns
        -------
        ndarray
            Coefficients in the domain, of the shape of `b`.

        Raises
        ------
        TypeError
            If the loss does not say how.
        """
        raise TypeError(f"expected a piecewise linear loss, got {self!r}")

    @abstractmethod
    def affine_depth(self, y: np.ndarray, f: np.ndarray) -> np.ndarray:
        r"""How far :math:`f_n` lies inside a piece on which :math:`m(y_n, \cdot)` is affine.

        Negative in curved pieces, ``-inf`` if there are only those.
        """

    # -- the best multiple of a point --------------------------------------------------------------

    def primal_multiple(
        self, y: np.ndarray, f: np.ndarray, C: np.ndarray, norm: float, slope: float = 0.0
    ) -> float:
        r"""Length of the best multiple of a predictor.

        Minimises :math:`\tfrac12 (\theta \|f\|)^2 + \sum_n \ell_n(\theta f_n) + s \theta` over
        :math:`\theta \ge 0`.

        Parameters
        ----------
        y, f, C : ndarray of shape (n_samples,)
            Targets, outputs and weights, ``inf`` for a hard margin.
        norm : float
            Norm :math:`\|f\|` of the predictor.
        slope : float, default=0.0
            Slope :math:`s` of a linear term.

        Returns
        -------
        theta : float
            The minimiser. 1 if a hard-margin sample is on the wrong side, where no multiple has a
            finite value. 1 if the objective has no lower bound.
        """
        is_hard = np.isinf(C)
        if not is_hard.any():
            return self._soft_primal_multiple(y, f, C, norm, slope)
        smallest = float(np.min(self.margins(y[is_hard], f[is_hard])))
        # the smallest theta that satisfies the hard samples
        least = 1.0 / smallest if smallest > 0 else np.inf
        if not np.isfinite(least):
            return 1.0
        soft = ~is_hard
        theta = max(least, self._soft_primal_multiple(y[soft], f[soft], C[soft], norm, slope))
        # the smallest margin may be an ulp of its outputs short of 1, which costs infinity
        for slack in _SLACKS:
            longer = theta * (1.0 + slack)
            if np.all(self.margins(y[is_hard], longer * f[is_hard]) >= 1):
                return longer
        return theta

    def _soft_primal_multiple(
        self, y: np.ndarray, f: np.ndarray, C: np.ndarray, norm: float, slope: float
    ) -> float:
        def derivatives(theta: float) -> tuple[float, float]:
            r"""Two of :math:`\sum_n \ell_n(\theta f_n) + s \theta + \tfrac12 \theta^2 \nu^2`."""
            outputs = theta * f
            first = float(np.sum(self.derivative(y, outputs, C) * f))
            return (
                first + slope + theta * norm * norm,
                self.curvature_along(y, outputs, f, C) + norm * norm,
            )

        return newton_multiple(derivatives)

    def dual_multiple(
        self,
        y: np.ndarray,
        b: np.ndarray,
        C: np.ndarray,
        dual_norm: float,
        slope: float = 0.0,
        longest: float = np.inf,
    ) -> float:
        r"""Length of the best feasible multiple of a dual point.

        Maximises :math:`-\sum_n \ell_n^*(-\theta b_n) - s \theta - \tfrac12 (\theta v)^2` over the
        :math:`0 \le \theta \le` `longest` that keep :math:`\theta b` in the domain.

        Parameters
        ----------
        y, b, C : ndarray of shape (n_samples,)
            Targets, a point of the domain, and weights.
        dual_norm : float
            Dual norm :math:`v = R^\circ(V(b))`.
        slope : float, default=0.0
            Slope :math:`s` of a linear term.
        longest : float, default=inf
            Largest multiple allowed.

        Returns
        -------
        theta : float
            The maximiser. 1 (or `longest`, if that is smaller) along an unbounded ray and for
            ``b = 0``.
        """
        if not self.has_quadratic_conjugate:
            return self._newton_dual_multiple(y, b, C, dual_norm, slope, longest)
        longest = min(longest, self._longest_multiple(y, b, C))
        # Inside the domain the conjugate is linear + curvature b^2 / 2: the linear part is what
        # is left of the derivative at a b of the same sign but without size.
        linear, curvature = self.conjugate_derivatives(y, np.sign(b) * np.finfo(float).tiny, C)
        with np.errstate(over="ignore", invalid="ignore"):
            total = -float(np.sum(safe_product(linear, b))) - slope
        return quadratic_multiple(total, dual_norm, np.sqrt(curvature) * b, longest)

    def _longest_multiple(self, y: np.ndarray, b: np.ndarray, C: np.ndarray) -> float:
        lower, upper = self.domain(y, C)
        ends = np.where(b > 0, upper, lower)
        moves = b != 0
        with np.errstate(over="ignore"):
            return float(np.min(ends[moves] / b[moves], initial=np.inf))

    def _newton_dual_multiple(
        self,
        y: np.ndarray,
        b: np.ndarray,
        C: np.ndarray,
        dual_norm: float,
        slope: float,
        longest: float,
    ) -> float:
        longest = min(longest, self._longest_multiple(y, b, C))
        if not b.any():
            return min(1.0, longest)

        def derivatives(theta: float) -> tuple[float, float]:
            r"""Two of :math:`\sum_n \ell_n^*(\theta b_n) + s \theta + \tfrac12 \theta^2 \nu^2`."""
            first, second = self.conjugate_derivatives(y, theta * b, C)
            return (
                float(np.sum(first * b)) + slope + theta * dual_norm * dual_norm,
                float(np.sum(second * b * b)) + dual_norm * dual_norm,
            )

        return newton_multiple(derivatives, longest)

    # -- conic form --------------------------------------------------------------------------------

    def hard_margins(self, y: np.ndarray, f: cp.Expression) -> cp.Expression:
        """Affine expressions, of any shape, that a hard margin keeps at 1 or more."""
        import cvxpy as cp

        return cp.multiply(y, f)

    def expression(self, y: np.ndarray, f: cp.Expression, C: np.ndarray) -> cp.Expression:
        r"""Convex expression :math:`\sum_n \ell_n(f_n)` of an affine one.

        Parameters
        ----------
        y, C : ndarray of shape (n_samples,)
            Targets and finite weights.
        f : cvxpy.Expression of shape (n_samples,)
            Outputs.

        Raises
        ------
        ValueError
            If a weight is infinite: a hard margin is a constraint.
        """
        if not np.isfinite(C).all():
            raise ValueError("expected finite C, got inf: a hard margin is a constraint")
        return self._expression(y, f, C)

    @abstractmethod
    def _expression(self, y: np.ndarray, f: cp.Expression, C: np.ndarray) -> cp.Expression:
        """Sum of the losses for finite `C`."""
