r"""The problem that every method solves.

.. math::

    \text{primal} \quad & \min_\zeta \tfrac12 R(\zeta)^2 + \sum_n l_n(f(x_n)),
        \qquad f(x_n) = \langle \zeta, \phi(x_n) \rangle \\
    \text{dual} \quad & \max_b - \sum_n l_n^*(-b_n) - \tfrac12 R^\circ(V(b))^2,
        \qquad V(b) = \sum_n b_n \phi(x_n)

with a norm R and its dual :math:`R^\circ`, and a loss :math:`l_n` whose weight is :math:`C_n`,
infinite for a hard margin. At the optimum :math:`b_n = -l_n'(f(x_n))`, and for a margin loss
:math:`b_n = y_n a_n` with :math:`a_n \ge 0`.

Weights :math:`\zeta` and sums :math:`V` are rows of the contexts, those of one unit after another.
Of a loss of K outputs :math:`f(x_n)` and :math:`b_n` are rows of length K, and :math:`\zeta` and
:math:`V` have as many entries for each feature. A norm of Euclidean norms does not tell these from
features, so rows then are of length ``n_features * K``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gnorm.losses import Loss
from gnorm.solvers.design import Design
from gnorm.solvers.solution import Status

__all__ = ["Point", "Problem"]


@dataclass(frozen=True, eq=False)
class Problem:
    r"""Targets, a loss and its weights on a design.

    Attributes
    ----------
    design : Design
        Inputs, gates and norm; shared by the problems of a one-versus-rest classifier.
    loss : Loss
        The loss.
    y : ndarray of shape (n_samples,)
        Targets, labels -1.0 and 1.0 for a margin loss, classes from 0 for several outputs.
    C : ndarray of shape (n_samples,)
        Weights :math:`C_n > 0` of the loss, ``inf`` for a hard margin.
    whole : Problem, default=None
        The problem that this one is a part of.
    """

    design: Design[Any]
    loss: Loss
    y: np.ndarray
    C: np.ndarray
    whole: Problem | None = None

    @cached_property
    def is_hard(self) -> np.ndarray:
        """Which samples have a hard margin."""
        return np.isinf(self.C)

    @cached_property
    def n_outputs(self) -> int:
        """Outputs a sample."""
        return self.loss.n_outputs(self.y)

    @property
    def zero_outputs(self) -> np.ndarray:
        """Outputs of the predictor of zeros, one row a sample where there are several."""
        n_samples = len(self.y)
        return np.zeros(n_samples if self.n_outputs == 1 else (n_samples, self.n_outputs))

    @property
    def steepest(self) -> np.ndarray:
        """Dual coefficients that the predictor of zeros names, for a weight of 1 where it is hard.

        Along them the dual value rises from 0 the fastest.
        """
        C = np.where(self.is_hard, 1.0, self.C)
        return -self.loss.derivative(self.y, self.zero_outputs, C)

    def nothing(self, n_iter: int = 0) -> Point:
        """Return the predictor of zeros, where there is nothing else after so many iterations."""
        zeta = np.zeros(self.design.rows_shape(self.n_outputs))
        return Point(self.zero_outputs, zeta, Status.STALLED, n_iter)

    @cached_property
    def output_scale(self) -> float:
        """Typical size of the outputs, for a part that of the whole."""
        if self.whole is not None:
            return self.whole.output_scale
        return self.loss.output_scale(self.y, self.C)

    def restricted(self, rows: np.ndarray) -> Problem:
        """Return the problem of some of the samples, itself if these are all."""
        if len(rows) == len(self.y):
            return self
        design = self.design.restricted(rows)
        return Problem(design, self.loss, self.y[rows], self.C[rows], self.whole or self)

    def separability_residual(self, b: np.ndarray) -> float:
        r""":math:`\max_h \|V_h(b)\| / (\sum_n |b_n| \max_n \|\phi(x_n)\|)`; at 0 a proof."""
        largest = self.design.dual_norm(self.design.sums(b))
        return largest / (self.design.max_feature_norm * float(np.sum(np.abs(b))))


@dataclass(frozen=True, eq=False)
class Point:
    r"""Where a method ended: a dual point and a primal one.

    Attributes
    ----------
    dual_coef : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Dual point :math:`b`.
    primal : tuple of (ndarray, ndarray of shape (n_kernels,)) or ndarray
        Unit weights, see the module, or the pair :math:`(c, \mu)` from
        which they are recovered, for group norms as :math:`\zeta_h = \mu_h V_h(c) / w_h^2`.
    status : Status
        How the method ended.
    n_iter : int
        Iterations spent.
    """

    dual_coef: np.ndarray
    primal: tuple[np.ndarray, np.ndarray] | np.ndarray
    status: Status
    n_iter: int
