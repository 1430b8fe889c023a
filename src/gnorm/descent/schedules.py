r"""Learning rates and momenta as functions of the step.

A schedule turns a step number into a rate. Most give the rate :math:`\eta_k` of plain descent
:math:`w \leftarrow w - \eta_k \nabla L`; the normalised one follows :math:`-\nabla \log L` and the
scale of the weights, so that training neither slows down as the loss vanishes nor overflows as the
weights grow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Protocol

import numpy as np

from gnorm.descent.checks import check_nonnegative, check_positive, is_number
from gnorm.gated import FloatArray

__all__ = [
    "Constant",
    "Damped",
    "Decaying",
    "MarginGrowth",
    "Normalized",
    "RisingMomentum",
    "Schedule",
    "Steps",
]


class Norm(Protocol):
    """A norm of all weights, such as a :class:`~gnorm.descent.Geometry`."""

    def norm(self, weights: list[FloatArray]) -> float:
        """Norm of the weights."""


_MOST_WRONG = 10.0  # times the first target: how negative a margin may be before weights shrink


class Schedule:
    """A learning rate that depends on the step alone."""

    def rate(self, step: int) -> float:
        """Rate of the step, counted from 0."""
        raise NotImplementedError

    def multiplier(self, step: int, log_scale: float, weights: Sequence[FloatArray]) -> float:
        r"""Factor of a gradient that is given relative to :math:`e^{\text{log\_scale}}`.

        Parameters
        ----------
        step : int
            Number of the step, from 0.
        log_scale : float
            Logarithm of the scale of the gradient: the gradient is :math:`e^{\text{log\_scale}}`
            times what the factor is for.
        weights : sequence of ndarray of shape (n_contexts, n_out, n_in)
            Weights of the layers.

        Returns
        -------
        float
            The factor.
        """
        # inf, where the loss overflows, is met by the trainer as a divergence
        return self.rate(step) * (math.exp(log_scale) if log_scale < 700 else math.inf)


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate in every step.

    Parameters
    ----------
    value : float
        Rate, positive.
    """

    value: float

    def __post_init__(self) -> None:
        check_positive(self.value, "rate")

    def rate(self, step: int) -> float:
        """Rate of the step."""
        return self.value


@dataclass(frozen=True)
class Steps(Schedule):
    """Constant rates one after the other; the last one stays.

    Parameters
    ----------
    stages : sequence of (int, float)
        Number of steps and rate of each stage.

    Examples
    --------
    >>> from gnorm.descent import Steps
    >>> schedule = Steps(((1600, 0.04), (1600, 0.01)))  # of the paper's experiments
    >>> schedule.rate(1599), schedule.rate(1600), schedule.rate(5000)
    (0.04, 0.01, 0.01)
    """

    stages: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        if not isinstance(self.stages, Sequence) or not self.stages:
            raise ValueError(f"expected at least one stage (n_steps, rate), got {self.stages!r}")
        for stage in self.stages:
            if not (isinstance(stage, Sequence) and len(stage) == 2):
                raise ValueError(f"expected stages (n_steps, rate), got {stage!r}")
            n_steps, rate = stage
            if not isinstance(n_steps, Integral) or n_steps < 1:
                raise ValueError(f"expected stages of at least one step, got {n_steps!r}")
            check_positive(rate, "rate")

    def rate(self, step: int) -> float:
        """Rate of the step."""
        for n_steps, rate in self.stages:
            if step < n_steps:
                return rate
            step -= n_steps
        return self.stages[-1][1]


@dataclass(frozen=True)
class Decaying(Schedule):
    r"""Rates that fall as :math:`\eta_k = \eta_0 (k + 1)^{-(1/2 + \delta)}`.

    With :math:`0 < \delta \le 1/2` they are square-summable: the regime in which gradient descent
    on a matrix factorisation stays balanced (Lemma 3.1 of [1]_).

    Parameters
    ----------
    value : float
        First rate :math:`\eta_0`, positive.
    delta : float, default=0.1
        Exponent beyond one half, in (0, 1/2].

    References
    ----------
    .. [1] S. S. Du, W. Hu and J. D. Lee (2018). Algorithmic regularization in learning deep
       homogeneous models: layers are automatically balanced. NeurIPS. arXiv:1806.00900.
    """

    value: float
    delta: float = 0.1

    def __post_init__(self) -> None:
        check_positive(self.value, "rate")
        if not (is_number(self.delta) and 0 < self.delta <= 0.5):
            raise ValueError(f"expected 0 < delta <= 0.5, got {self.delta!r}")

    def rate(self, step: int) -> float:
        """Rate of the step."""
        return float(self.value * (step + 1) ** -(0.5 + self.delta))


@dataclass(frozen=True)
class Normalized(Schedule):
    r"""Descent on :math:`\log L` in units of the weights.

    .. math:: w \leftarrow w - \frac{\eta}{s^{2 (L - 1)}} \, \nabla \log \mathcal{L}(w)

    for L layers, where the scale s is that of the network or of its largest unit,

    .. math:: s^2 = \|w\|^2 / L \qquad \text{or} \qquad
        s^2 = \max_{l, c, h} \|w^l_{ch}\|^2 ;

    of an output that reads H units each counts alone. The curvature of :math:`\log \mathcal{L}`
    grows as :math:`s^{2(L-1)}`, so that the rate keeps its distance from instability while the
    weights grow. In two layers it is at most :math:`\max_n \|x_n\|^2 \|w\|^2` up to the
    curvature of the network itself: with the scale of the network a rate of
    :math:`1 / (2 \max_n \|x_n\|^2)` keeps to that bound whatever the number of units, with that of
    the largest unit it has to fall with their number. In another geometry s is its norm of the
    weights. An objective without margins is descended on as it is, not in logarithms.

    The layers are the arrays of weights, whose number is the degree of chains of matrices. Where
    it is not, with arrays that are shared, biases or normalisation, there is no exponent that is
    right for all weights; for a degree L of n arrays take a power of :math:`2 (L - 1) / (n - 1)`,
    or :class:`Damped`.

    Parameters
    ----------
    value : float
        Rate :math:`\eta`, positive.
    scale : {"unit", "network"} or Geometry, default="unit"
        Whose scale s is, or in which norm.
    power : float, default=2.0
        Exponent in the place of the 2 of :math:`s^{2 (L - 1)}`. 1 is for directions of unit
        length, such as those of :class:`Adam`: a gradient of the logarithm is by itself about as
        long as :math:`s^{L - 1}`.
    """

    value: float
    scale: str | Norm = "unit"
    power: float = 2.0

    def __post_init__(self) -> None:
        check_positive(self.value, "rate")
        if self.scale not in ("unit", "network") and not hasattr(self.scale, "norm"):
            raise ValueError(
                f"expected scale 'unit' or 'network', got {self.scale!r}; or a Geometry"
            )
        check_nonnegative(self.power, "power")

    def rate(self, step: int) -> float:
        """Rate in units of the loss and the weights."""
        return self.value

    def multiplier(self, step: int, log_scale: float, weights: Sequence[FloatArray]) -> float:
        """Factor of the gradient of the logarithm of the loss."""
        if not isinstance(self.scale, str):
            square = self.scale.norm(list(weights)) ** 2
        elif self.scale == "network":
            square = sum(float(np.vdot(W, W)) for W in weights) / len(weights)
        else:
            if shapes := [W.shape for W in weights if W.ndim != 3]:
                raise ValueError(
                    "expected layers of matrices, of shape (n_contexts, n_out, n_in), with "
                    f"scale='unit', got weights of shape {shapes[0]}; scale='network' takes any"
                )
            squares = [float(np.einsum("coi,coi->co", W, W).max()) for W in weights[:-1]]
            square = max([*squares, float(np.square(weights[-1]).max())])
        growth = square ** (0.5 * self.power * (len(weights) - 1))
        # zero weights have no gradient in more than one layer, and any factor will do
        return self.value / growth if growth > 0 else 0.0


@dataclass(frozen=True)
class Damped(Schedule):
    r"""Descent on :math:`\log L` with rates that fall as the weights grow.

    .. math:: w \leftarrow w - \frac{\eta}{(1 + \|w\|^2)^p} \, \nabla \log \mathcal{L}(w)

    For networks whose arrays of weights are not the layers of one product, with biases or branches
    say: where the gradients of the values grow as :math:`\|w\|^p` the steps keep their size
    relative to the weights. Small steps follow gradient flow, at another speed.

    Parameters
    ----------
    value : float
        Rate :math:`\eta`, positive.
    power : float, default=1.0
        Exponent p, not negative.
    """

    value: float
    power: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self.value, "rate")
        check_nonnegative(self.power, "power")

    def rate(self, step: int) -> float:
        """Rate where the weights are zero."""
        return self.value

    def multiplier(self, step: int, log_scale: float, weights: Sequence[FloatArray]) -> float:
        """Factor of the gradient of the logarithm of the loss."""
        return float(self.value / (1.0 + sum(float(np.vdot(W, W)) for W in weights)) ** self.power)


@dataclass(frozen=True)
class RisingMomentum:
    r"""Momentum :math:`\min(m, k / (k + r))`, k = 0, 1, ..., which rises to m.

    Parameters
    ----------
    limit : float, default=0.999
        Momentum m that it rises to, in [0, 1]. With 1 it is Nesterov's sequence.
    delay : float, default=6.0
        Number r of steps at which it is one half, positive.
    """

    limit: float = 0.999
    delay: float = 6.0

    def __post_init__(self) -> None:
        if not (is_number(self.limit) and 0 <= self.limit <= 1):
            raise ValueError(f"expected 0 <= limit <= 1, got {self.limit!r}")
        check_positive(self.delay, "delay")

    def __call__(self, step: int) -> float:
        """Momentum of the step, counted from 0."""
        return min(self.limit, step / (step + self.delay))


@dataclass(frozen=True)
class MarginGrowth:
    r"""Rescale the weights after every step, so that the smallest margin grows geometrically.

    The target is :math:`M_k = M_0 (M_1 / M_0)^{k / n}` in step k. As soon as the smallest margin
    :math:`m_k` before the step is positive, the weights are multiplied after it by
    :math:`(M_k / m_k)^{1/L}`, within [1/2, 2]. Before that they shrink wherever a sample is further
    than :math:`10 M_0` on the wrong side, so that inputs and weights of any scale find their way.
    The direction of a homogeneous network does not change, nor where it is to end: the scale is
    only the temperature at which the loss sees the margins, and without rescaling it falls so fast,
    or so slowly, as the rate has it [1]_.

    Parameters
    ----------
    n_steps : int
        Step n at which the growth ends.
    last : float, default=1e4
        Smallest margin :math:`M_1` from step n on. The margin that is reached falls short of the
        largest by about one part in M.
    first : float, default=1.0
        Smallest margin :math:`M_0` that it starts from.

    References
    ----------
    .. [1] M. Wang, Z. Min and L. Wu (2024). Achieving margin maximization exponentially fast via
       progressive norm rescaling. ICML. arXiv:2311.14387.
    """

    n_steps: int
    last: float = 1e4
    first: float = 1.0

    def __post_init__(self) -> None:
        if not (is_number(self.n_steps) and 1 <= self.n_steps < math.inf):
            raise ValueError(f"expected n_steps >= 1, got {self.n_steps!r}")
        ends = self.first, self.last
        if not (all(map(is_number, ends)) and 0 < self.first <= self.last < math.inf):
            raise ValueError(
                f"expected 0 < first <= last < inf, got first={self.first!r}, last={self.last!r}"
            )

    def factor(self, step: int, min_margin: float, degree: int) -> float:
        """Factor of the weights.

        Parameters
        ----------
        step : int
            Number of the step, from 0.
        min_margin : float
            Smallest margin at present.
        degree : int
            Degree L of homogeneity.

        Returns
        -------
        float
            The factor, at most 1 while some sample is on the wrong side.
        """
        if not min_margin > 0:
            most = _MOST_WRONG * self.first
            return max(0.5, (most / max(most, -min_margin)) ** (1.0 / degree))
        share = min(1.0, step / self.n_steps)
        target = self.first * (self.last / self.first) ** share
        return min(2.0, max(0.5, (target / min_margin) ** (1.0 / degree)))
