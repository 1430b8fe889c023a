r"""Problems far from the unit of their data, brought to it.

With inputs :math:`x = r x'` and targets :math:`y = s y'` predictors are
:math:`\zeta = (s / r) \zeta'`, and the objective is :math:`s^2 r^{-2}` times that for
:math:`x'` and :math:`y'` with weights :math:`C' = r^2 s^{p-2} C`, p the degree of the loss, whose
dual point is :math:`b' = r^2 b / s`. With r and s powers of two nothing is rounded.
What the iteration squares
and multiplies then is far from the ends of the range of floats. Where :math:`C'` is so small that
the predictor is C times a fixed one, to more digits than there are, it is that of a larger one; and
where it is so large that the objective is all loss, that of a smaller one. The certificate is made
for the weights as they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gnorm.losses import Loss
from gnorm.solvers.active_set.start import Near
from gnorm.solvers.certify import Certificate
from gnorm.solvers.problem import Problem

__all__ = ["Scaled", "heavier", "lighter", "scaled"]

# Weights beside larger ones, at inputs of length 1, to try where smaller ones failed: the first is
# nothing beside the value, the others are where it is large.
_FLOORS = (1e-12, 1e-9, 1e-6)
_CEILINGS = (1e14, 1e11, 1e8)  # weights at inputs of length 1 to try where larger ones failed
_FAR = 1e30  # length of the inputs, or one over it, from which they are brought to 1
_VANISHING = 1e-100  # weight at inputs of length 1 up to which outputs are nothing beside targets
_SMALL = 1e-60  # ... and one at which they are nothing, too
_LEAST = 1e-300  # of the weights at inputs of length 1 beside others that are larger
_LARGEST = 1e200  # ... and at targets of size 1
# Weights at inputs of length 1 from which on a larger one changes nothing but the length of the
# dual point, which the certificate finds. With an open domain it changes outputs by its logarithm.
_MOST = {False: 1e40, True: 1e150}


@dataclass(frozen=True, eq=False)
class Scaled:
    """A problem in the unit of its data.

    Attributes
    ----------
    original, problem : Problem
        The problem, and the same in other units.
    length, size : float
        The units r of the inputs and s of the targets, powers of two.
    unit : float
        The unit of the dual coefficients over s, :math:`r^{-2}` unless the weights were taken
        larger.
    """

    original: Problem
    problem: Problem
    length: float
    size: float
    unit: float

    def near(self, near: Near) -> Near:
        """Return a start in the other units."""
        with np.errstate(over="ignore", under="ignore"):
            coef = near.dual_coef / self.unit / self.size
            outputs = near.outputs / self.unit / self.length / self.length / self.size
        return Near(coef, near.weights, outputs)

    def certified(self, certificate: Certificate, tol: float) -> Certificate:
        """Evaluate a solution in the units of the original problem.

        Raises
        ------
        ValueError
            If its dual coefficients or its value are out of the range of float64.
        """
        with np.errstate(all="ignore"):
            zeta = certificate.zeta * (self.unit * self.length) * self.size
            b = certificate.dual_coef * self.unit * self.size
            value = certificate.primal_value * self.unit * self.size * self.size
        largest = float(np.max(np.abs(b), initial=0.0))
        is_lost = 0 < certificate.primal_value < np.inf and not _LEAST < value < np.inf
        if not np.isfinite(largest) or is_lost:
            raise ValueError(
                "expected inputs and targets in a unit in which dual coefficients and values are "
                f"in the range of float64, got coefficients up to {largest:.1e} and the value "
                f"{value:.1e} with inputs of length {self.length:.1e} and outputs of size "
                f"{self.original.output_scale:.1e}"
            )
        with np.errstate(all="ignore"):
            return certificate.on(self.original, tol, zeta=zeta, dual_coef=b)


def scaled(problem: Problem) -> Scaled | None:
    """Bring a problem to the unit of its data; None if it is near enough to that.

    Raises
    ------
    ValueError
        If the weights are not finite in that unit.
    """
    design = problem.design
    length = float(2.0 ** np.round(np.log2(design.max_input_norm)))
    loss, y, size, C = _of_targets(problem)
    is_soft = ~problem.is_hard
    with np.errstate(over="ignore", under="ignore"):
        most = float(np.max(length * problem.C * length, initial=0.0, where=is_soft))
        here = length * C * length
    if np.isinf(most):
        raise ValueError(
            "expected C times the squared lengths of the inputs to be finite in float64, got C up "
            f"to {np.max(problem.C, initial=0.0, where=is_soft):.1e} and inputs of a length up to "
            f"{design.max_input_norm:.1e}"
        )
    most = float(np.max(here, initial=0.0, where=is_soft))
    is_vanishing = most < _VANISHING and bool(is_soft.all())
    ceiling = _MOST[problem.loss.has_open_domain]
    is_near = 1.0 / _FAR < length < _FAR and size == 1.0
    if is_near and not is_vanishing and most <= ceiling:
        return None
    unit = 1.0 / length / length
    if is_vanishing:
        unit = float(np.max(C)) / _SMALL
        here = C / unit
    here = np.where(is_soft, np.clip(here, _LEAST, ceiling), np.inf)
    brought = Problem(design.scaled(1.0 / length), loss, y, here)
    return Scaled(problem, brought, length, size, unit)


def _of_targets(problem: Problem) -> tuple[Loss, np.ndarray, float, np.ndarray]:
    """Loss, targets, their unit if they are far from 1, and the weights in it."""
    size = float(2.0 ** np.round(np.log2(problem.output_scale)))
    in_unit = None if 1.0 / _FAR < size < _FAR else problem.loss.in_unit(size)
    if in_unit is None:
        return problem.loss, problem.y, 1.0, problem.C
    loss, degree = in_unit
    with np.errstate(over="ignore", under="ignore"):
        weights = np.clip(problem.C * np.power(size, degree - 2.0), _LEAST, _LARGEST)
        return loss, problem.y / size, size, weights


def heavier(problem: Problem) -> Iterator[Problem]:
    """Yield the problem with larger weights of samples that have next to none beside others.

    Their coefficients are so small that slacks and multipliers of their bounds are not seen beside
    each other, and would hold up every step; the predictor is nearly that without them.
    """
    unit = min(float(np.max(problem.C)), problem.design.max_input_norm**-2)
    for floor in _FLOORS:
        if np.min(problem.C) < 0.1 * floor * unit:
            yield replace(problem, C=np.maximum(problem.C, floor * unit))


def lighter(problem: Problem) -> Iterator[Problem]:
    """Yield the problem with weights in which rounding errors count for less.

    Where the loss is most of the value, or next to nothing of it, the predictor is nearly the same.
    """
    is_soft = ~problem.is_hard
    length = problem.design.max_input_norm
    most = float(np.max(problem.C, initial=0.0, where=is_soft)) * length * length
    for ceiling in _CEILINGS:
        if most > 10.0 * ceiling:
            weights = np.maximum(problem.C * (ceiling / most), np.finfo(float).tiny)
            yield replace(problem, C=np.where(is_soft, weights, np.inf))
