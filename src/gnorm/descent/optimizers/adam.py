"""Adam's direction, for any scale of the gradient and with any epsilon, none included."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gnorm.descent.checks import check_nonnegative
from gnorm.descent.optimizers.base import Arrays, Part, State, Step
from gnorm.descent.optimizers.parts import blend, check_share

__all__ = ["AdaptiveMoments"]


@dataclass(frozen=True)
class AdaptiveMoments(Part):
    r"""Averages of the gradient and of its squares, and their quotient: Adam's direction.

    .. math:: m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        d = \frac{m / (1 - \beta_1^k)}{\sqrt{v / (1 - \beta_2^k)} + \varepsilon}

    after k steps, elementwise. The averages are kept with the logarithm of their scale, so that
    they are exact whatever the loss has fallen to. With :math:`\varepsilon = 0` multiples of the
    loss have the same direction, signs if both :math:`\beta` are 0, and the limit is that of the
    :math:`\ell_\infty` geometry; with any other, the direction becomes :math:`m / \varepsilon`
    once gradients are smaller, and the limit is the Euclidean one [2]_.

    Parameters
    ----------
    beta1 : float, default=0.9
        Weight of the past in the average of gradients, in [0, 1).
    beta2 : float, default=0.999
        Weight of the past in the average of squares, in [0, 1).
    epsilon : float, default=1e-8
        Addend of the denominator, in units of the gradient of the loss. Not negative.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba (2015). Adam: a method for stochastic optimization. ICLR.
       arXiv:1412.6980.
    .. [2] B. Wang, Q. Meng, W. Chen and T.-Y. Liu (2021). The implicit bias for adaptive
       optimization algorithms on homogeneous neural networks. ICML. arXiv:2012.06244.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    is_layerwise = False

    def __post_init__(self) -> None:
        check_share(self.beta1, "beta1")
        check_share(self.beta2, "beta2")
        check_nonnegative(self.epsilon, "epsilon")

    def start(self, weights: Arrays) -> State:
        """Begin with averages of zero."""
        return {
            "mean": [np.zeros_like(W) for W in weights],
            "square": [np.zeros_like(W) for W in weights],
            "moment_log_scales": [np.full(1, -math.inf), np.full(1, -math.inf)],
            "n_moments": [np.zeros(1)],
        }

    def apply(self, update: Arrays, state: State, step: Step) -> None:
        """Update the averages, and return their quotient."""
        state["n_moments"][0] += 1
        k = float(state["n_moments"][0][0])
        first, second = state["moment_log_scales"]
        old, new = blend(self.beta1, first, step.log_scale)
        old_square, new_square = blend(self.beta2, second, 2.0 * step.log_scale)
        # m = e^s1 mean, v = e^s2 square; both sides of the quotient are divided by e^(s2/2)
        ratio = math.exp(min(700.0, float(first[0]) - 0.5 * float(second[0])))
        numerator = ratio / (1.0 - self.beta1**k)
        epsilon = 0.0
        if self.epsilon > 0:
            epsilon = math.exp(min(700.0, math.log(self.epsilon) - 0.5 * float(second[0])))
        for u, m, v in zip(update, state["mean"], state["square"], strict=True):
            m *= old
            m += new * u
            v *= old_square
            u *= u
            v += new_square * u
            np.sqrt(v / (1.0 - self.beta2**k), out=u)
            u += epsilon
            is_still = u == 0  # a weight that never had a slope stays
            u[is_still] = 1.0
            np.divide(numerator * m, u, out=u)
        step.log_scale = 0.0
