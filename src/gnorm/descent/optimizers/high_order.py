r"""High-order gradient descent: steps for functions that do not grow quadratically.

A function f is smooth with respect to a convex, even function :math:`\Phi`, positively homogeneous
of degree p > 1, if its Bregman distance is at most

.. math:: f(x) - f(y) - \langle \nabla f(y), x - y \rangle \le \Phi(x - y),

and convex with respect to :math:`\varphi` if it is at least :math:`\varphi(x - y)`. Minimising the
upper bound gives the step :math:`x^+ = x - \nabla \Phi^*(\nabla f(x))`, of length 1 and without a
rate, with the conjugate :math:`\Phi^*`. Then

.. math:: f(x^+) \le f(x) - \Phi^*(\nabla f(x)), \qquad
    \min_{j < k} \Phi^*(\nabla f(x_j)) \le \frac{f(x_0) - \inf f}{k},

and, where :math:`f - \inf f \le \varphi^*(\nabla f) \le \kappa \, \Phi^*(\nabla f)`,
:math:`f(x_k) - \inf f \le (1 - 1/\kappa)^k \, (f(x_0) - \inf f)`.

The method and its two rates are those that the abstract of [1]_ announces; the definitions above
are a reconstruction from it, and these inequalities follow from them in one line each.

References
----------
.. [1] B. Qi (2024). Extended convexity and smoothness and their applications in deep learning.
   arXiv:2410.05807.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from gnorm.descent.checks import check_positive, is_number
from gnorm.descent.optimizers.base import Arrays, Part, State, Step
from gnorm.descent.optimizers.geometries import GeometryLike, check_geometry
from gnorm.descent.optimizers.parts import absolute

if TYPE_CHECKING:  # the trainer and what it trains know this room
    from gnorm.descent.losses import ExponentialLike
    from gnorm.descent.network import Activations, Network

__all__ = ["Conjugate", "GradientStructure", "HighOrder", "PowerGrowth", "gradient_structure"]


@runtime_checkable
class Conjugate(Protocol):
    r"""A growth function :math:`\Phi`, known by its conjugate."""

    def conjugate(self, gradient: Arrays) -> float:
        r"""Value :math:`\Phi^*(g)`."""

    def conjugate_gradient(self, gradient: Arrays) -> Arrays:
        r"""Gradient :math:`\nabla \Phi^*(g)`, arrays of the shapes of g."""


class PowerGrowth:
    r"""A power of a norm, :math:`\Phi = \frac{M}{p} \|\cdot\|^p`.

    With :math:`1/p + 1/q = 1` its conjugate is :math:`\frac{M^{1-q}}{q} \|g\|_*^q`, whose gradient
    is :math:`M^{1-q} \|g\|_*^{q-1} \, d(g)` with the steepest direction d. For p = 2 the step is
    that of steepest descent with the rate 1/M.

    Parameters
    ----------
    M : float
        Factor, positive: the larger, the shorter the steps.
    p : float
        Degree, above 1. A gradient that is Hoelder continuous of exponent :math:`p - 1` with the
        constant M makes f smooth with respect to it; p is then at most 2.
    geometry : {"l2", "l1", "linf", "spectral"}, Geometry, or sequence of them, default="l2"
        Norm.

    Raises
    ------
    ValueError
        If M or p is out of range.
    """

    def __init__(self, M: float, p: float, geometry: GeometryLike = "l2") -> None:
        check_positive(M, "M")
        if not (is_number(p) and 1 < p < math.inf):
            raise ValueError(f"expected 1 < p < inf, got {p!r}")
        self.M, self.p, self.q = M, p, p / (p - 1.0)
        self.geometry = check_geometry(geometry)

    def __repr__(self) -> str:
        return f"PowerGrowth(M={self.M}, p={self.p}, geometry={self.geometry})"

    def conjugate(self, gradient: Arrays) -> float:
        """Value of the conjugate.

        Parameters
        ----------
        gradient : list of ndarray
            Where to evaluate it.

        Returns
        -------
        float
            Value.
        """
        return self.M ** (1.0 - self.q) / self.q * self.geometry.dual_norm(gradient) ** self.q

    def conjugate_gradient(self, gradient: Arrays) -> Arrays:
        """Gradient of the conjugate.

        Parameters
        ----------
        gradient : list of ndarray
            Where to take it; not changed.

        Returns
        -------
        list of ndarray
            Gradient, zero at zero.
        """
        direction = [g.copy() for g in gradient]
        size = self.geometry.steepest(direction)
        length = self.M ** (1.0 - self.q) * size ** (self.q - 1.0)
        return [length * d for d in direction]


class HighOrder(Part):
    r"""The step :math:`-\nabla \Phi^*(\nabla f)` of high-order gradient descent.

    It needs no rate: ``Descent([HighOrder(PowerGrowth(M, p))])`` is the method.

    Parameters
    ----------
    growth : Conjugate
        Function :math:`\Phi`: a :class:`PowerGrowth`, or any object with the methods ``conjugate``
        and ``conjugate_gradient``.

    Raises
    ------
    ValueError
        If the growth has no such methods.
    """

    def __init__(self, growth: Conjugate) -> None:
        if isinstance(growth, type) or not isinstance(growth, Conjugate):
            raise ValueError(
                "expected a growth with the methods conjugate and conjugate_gradient, got "
                f"{growth!r}"
            )
        self.growth = growth

    def __repr__(self) -> str:
        return f"HighOrder({self.growth})"

    def start(self, weights: Arrays) -> State:
        """Check that a geometry knows such weights."""
        if isinstance(self.growth, PowerGrowth):
            self.growth.geometry.check(weights)
        return {}

    def apply(self, update: Arrays, state: State, step: Step) -> None:
        """Replace the gradient of the objective by the step."""
        absolute(update, step)
        for u, s in zip(update, self.growth.conjugate_gradient(update), strict=True):
            np.negative(s, out=u)


@dataclass(frozen=True)
class GradientStructure:
    r"""Bounds on the slope of a loss in the outputs by its slope in the weights.

    With the Jacobian :math:`J = \partial f / \partial w` of the outputs and :math:`A = J J^\top`,

    .. math:: \log_2 \|\nabla_w L\|^2 - \log_2 \lambda_{\max}(A) \le \log_2 \|\nabla_f L\|^2
        \le \log_2 \|\nabla_w L\|^2 - \log_2 \lambda_{\min}(A) .

    Attributes
    ----------
    lower, value, upper : float
        The three, of which the upper bound is infinite where J has not full row rank, and the lower
        one minus infinity where J is zero.
    """

    lower: float
    value: float
    upper: float


def gradient_structure(
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    activations: Activations = None,
    *,
    loss: str | ExponentialLike = "logistic",
) -> GradientStructure:
    r"""Measure whether small slopes in the weights mean small slopes in the outputs.

    As long as the upper bound is close, stationary points of the training are minima of the loss,
    convex in the outputs. Costs a backward pass an output of every sample.

    Parameters
    ----------
    network : Network
        Network.
    X : array-like of shape (n_samples, n_features)
        Inputs.
    y : array-like of shape (n_samples,)
        Labels: -1 and 1 for one output, 0 to K - 1 for K.
    activations : array-like of bool, shape (n_samples, n_units, n_contexts), or list of them
        Open gates of the layers with fixed gates; None if there are none.
    loss : {"logistic", "exponential"} or ExponentialLike, default="logistic"
        Loss of a margin, of which L is the mean.

    Returns
    -------
    GradientStructure
        The squared length of the slope in the outputs, between its bounds.

    Raises
    ------
    ValueError
        If inputs, labels or activations do not fit.
    """
    from gnorm.descent.margins import margins_of, output_coefficients
    from gnorm.descent.objective import MarginLoss

    objective = MarginLoss(network, X, y, activations, loss)
    forward = network.forward(objective.X, objective.gates)
    log_loss, slopes = objective.loss.log_mean(margins_of(forward.values, objective.y))
    jacobian = np.empty((forward.values.size, len(network.parameters)))
    for row, coef in zip(jacobian, np.eye(len(jacobian)), strict=True):
        network.backward(forward, coef.reshape(forward.values.shape), row)
    values = np.linalg.eigvalsh(jacobian @ jacobian.T)
    # slopes relative to the loss, so that none vanishes
    outputs = output_coefficients(-slopes, objective.y, network.n_outputs).ravel()
    scale = 2.0 * log_loss / math.log(2.0)
    in_weights = jacobian.T @ outputs
    with np.errstate(divide="ignore"):
        weights = float(np.log2(in_weights @ in_weights))
        value = float(np.log2(outputs @ outputs))
        # a Jacobian of zero leaves the slope anything, where both logarithms are minus infinity
        lower = weights - float(np.log2(values[-1])) if values[-1] > 0 else -math.inf
        is_full = values[0] > np.finfo(float).eps * len(values) * values[-1]
        upper = weights - float(np.log2(values[0])) if is_full else math.inf
    return GradientStructure(lower + scale, value + scale, upper + scale)
