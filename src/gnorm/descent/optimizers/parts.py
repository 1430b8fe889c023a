r"""The parts that most optimisers are made of.

:class:`~gnorm.descent.GradientDescent` is ``[WeightDecay, Direction, Rate, Momentum]``; signs of an
average, known as Signum, are ``[Average(0.9), Direction("linf"), Rate(rate)]``, and the same with
``"spectral"`` is Muon.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gnorm.descent.checks import check_nonnegative, is_number
from gnorm.descent.optimizers.base import Arrays, Part, State, Step
from gnorm.descent.optimizers.geometries import GeometryLike, check_geometry
from gnorm.descent.schedules import Constant, Schedule
from gnorm.gated import FloatArray

__all__ = [
    "Average",
    "Direction",
    "Logarithm",
    "Momentum",
    "MomentumRule",
    "Rate",
    "WeightDecay",
    "absolute",
    "blend",
    "check_share",
]

MomentumRule: TypeAlias = float | Callable[[int], float]


def absolute(update: Arrays, step: Step) -> None:
    """Bring a gradient into the scale of the loss, and say so."""
    scale = math.exp(step.log_scale) if step.log_scale < 700 else math.inf
    if not math.isfinite(scale):
        raise FloatingPointError(f"a gradient of scale exp({step.log_scale})")
    for u in update:
        u *= scale
    step.log_scale = 0.0


@dataclass(frozen=True)
class Logarithm(Part):
    r"""Descend on :math:`\log L`, whose gradient is that of L divided by L.

    A constant rate then keeps its effect while the loss vanishes.
    """

    is_layerwise = False

    def apply(self, update: Arrays, state: State, step: Step) -> None:
        """Take the scale of the loss out of its gradient."""
        step.log_scale = 0.0


@dataclass(frozen=True)
class WeightDecay(Part):
    r"""Add the gradient :math:`\lambda w` of :math:`\frac{\lambda}{2} \|w\|_2^2`.

    Parameters
    ----------
    value : float
        Weight :math:`\lambda`, not negative.
    """

    value: float

    def __post_init__(self) -> None:
        check_nonnegative(self.value, "weight_decay")

    def apply(self, update: Arrays, state: State, step: Step) -> None:
        """Add the gradient of the penalty."""
        absolute(update, step)
        for u, W in zip(update, step.weights, strict=True):
            u += self.value * W


class Direction(Part):
    r"""Turn a gradient g into that of a geometry, :math:`\|g\|_* \, d(g)`, or :math:`d(g)`.

    Parameters
    ----------
    geometry : {"l2", "l1", "linf", "spectral"}, Geometry, or sequence of them, default="l2"
        Norm in which descent is steepest.
    unit_steps : bool, default=False
        Whether to leave the dual norm of the gradient out, so that a rate is the length of a step.

    See Also
    --------
    gnorm.descent : the norms and their directions.
    """

    def __init__(self, geometry: GeometryLike = "l2", unit_steps: bool = False) -> None:
        self.geometry = check_geometry(geometry)
        self.unit_steps = unit_steps

    def __repr__(self) -> str:
        return f"Direction({self.geometry}, unit_steps={self.unit_steps})"

    def start(self, weights: Arrays) -> State:
        """Check that the geometry knows such weights."""
        self.geometry.check(weights)
        return {}

    def apply(self, update: Arrays, state: State, step: Step) -> None:
        """Replace the gradient."""
        if self.unit_steps:
            self.geometry.steepest(update)
            step.log_scale = 0.0
        else:
            self.geometry.unnormalized(update)


class Rate(Part):
    """Multiply by the negative rate of the step.

    Parameters
    ----------
    schedule : float or Schedule
        Rates.
    """

    is_layerwise = False

    def __init__(self, schedule: float | Schedule) -> None:
        self.schedule = schedule if isinstance(schedule, Schedule) else Constant(schedule)

    def __repr__(self) -> str:
        return f"Rate({self.schedule})"

    def apply(self, update: Arrays, state: State, step: Step) -> None:
        """Multiply."""
        factor = self.schedule.multiplier(step.number, step.log_scale, step.layers)
        if not math.isfinite(factor):
            raise FloatingPointError(f"a rate of {factor}")
        for u in update:
            u *= -factor


def _momentum(rule: MomentumRule, number: int) -> float:
    value = rule(number) if callable(rule) else rule
    if not (is_number(value) and 0 <= value <= 1):
        raise ValueError(f"expected momenta from 0 to 1, got {value!r} in step {number}")
    return value


def check_momentum(rule: MomentumRule) -> None:
    """Raise a ValueError if a momentum is neither a function nor in [0, 1)."""
    if not callable(rule):
        check_share(rule, "momentum")


def check_share(value: float, name: str) -> None:
    """Raise a ValueError if a weight of the past is not in [0, 1)."""
    if not (is_number(value) and 0 <= value < 1):
        raise ValueError(f"expected 0 <= {name} < 1, got {value!r}")


@dataclass(frozen=True)
class Momentum(Part):
    r"""Add the update u to a velocity, :math:`v \leftarrow m v + u`, and follow that.

    Parameters
    ----------
    value : float or callable, default=0.9
        Momentum m in [0, 1), or a function of the step.
    nesterov : bool, default=False
        Look ahead: follow :math:`m v + u` with the new v.
    """

    value: MomentumRule = 0.9
    nesterov: bool = False
    is_layerwise = False

    def __post_init__(self) -> None:
        check_momentum(self.value)

    def start(self, weights: Arrays) -> State:
        """Begin at rest."""
        return {"velocity": [np.zeros_like(W) for W in weights]}

    def apply(self, update: Arrays, state: State, step: Step) -> None:
        """Change the velocity, and follow it."""
        m = _momentum(self.value, step.number)
        for u, v in zip(update, state["velocity"], strict=True):
            v *= m
            v += u
            if self.nesterov:
                u += m * v
            else:
                np.copyto(u, v)

    def rescale(self, state: State, factor: float) -> None:
        """Multiply the velocity, which is in units of the weights."""
        for v in state["velocity"]:
            v *= factor


@dataclass(frozen=True)
class Average(Part):
    r"""Replace the gradient by its exponential average, :math:`a \leftarrow m a + (1 - m) g`.

    Before a direction, where :class:`Momentum` comes after a rate: signs of an average, not an
    average of signs. It is one of the gradients of the loss, however small that is; after
    :class:`Logarithm`, of those of its logarithm.

    Parameters
    ----------
    value : float or callable, default=0.9
        Weight m of the past in [0, 1), or a function of the step.
    nesterov : bool, default=False
        Follow :math:`m a + (1 - m) g` with the new a.
    """

    value: MomentumRule = 0.9
    nesterov: bool = False
    is_layerwise = False

    def __post_init__(self) -> None:
        check_momentum(self.value)

    def start(self, weights: Arrays) -> State:
        """Begin with zero, in whatever scale the first gradient has."""
        return {
            "average": [np.zeros_like(W) for W in weights],
            "average_log_scale": [np.full(1, -math.inf)],
        }

    def apply(self, update: Arrays, state: State, step: Step) -> None:
        """Update the average, and follow it."""
        m = _momentum(self.value, step.number)
        old, new = blend(m, state["average_log_scale"][0], step.log_scale)
        for u, a in zip(update, state["average"], strict=True):
            a *= old
            a += new * u
            if self.nesterov:
                u *= new
                u += m * a
            else:
                np.copyto(u, a)
        step.log_scale = float(state["average_log_scale"][0][0])


def blend(m: float, log_scale: FloatArray, present: float) -> tuple[float, float]:
    r"""Factors of past and present in an exponential average of numbers in different scales.

    The average is :math:`e^s a`, the present number :math:`e^t x`, and the new average
    :math:`m e^s a + (1 - m) e^t x` is given the scale :math:`\max(s + \log m, t)`, in which neither
    overflows, and in which not both vanish, whatever the loss does.

    Parameters
    ----------
    m : float
        Weight of the past, from 0 to 1.
    log_scale : ndarray of shape (1,)
        Scale s; replaced in place by that of the new average.
    present : float
        Scale t.

    Returns
    -------
    old, new : float
        Factors of a and of x.
    """
    past = float(log_scale[0]) + math.log(m) if m > 0 else -math.inf
    scale = max(past, present)
    log_scale[0] = scale
    return math.exp(past - scale), (1.0 - m) * math.exp(present - scale)
