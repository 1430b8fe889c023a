r"""Problems far from the unit of their data, brought to it.

With inputs :math:`x = r x'` and :math:`\zeta = \zeta' / r` outputs stay what they are, and the
objective is :math:`r^{-2}` times that for :math:`x'` with weights :math:`C' = r^2 C`, whose dual
point is :math:`b' = r^2 b`. With r a power of two nothing is rounded. What the iteration squares
and multiplies then is far from the ends of the range of floats. Where :math:`C'` is so small that
the predictor is C times a fixed one, to more digits than there are, it is that of a larger one; and
where it is so large that the objective is all loss, that of a smaller one. The certificate is made
for the weights as they were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gnorm.solvers.active_set.start import Near
from gnorm.solvers.certify import Certificate, certify
from gnorm.solvers.problem import Problem

__all__ = ["Scaled", "scaled"]

_FAR = 1e30  # length of the inputs, or one over it, from which they are brought to 1
_VANISHING = 1e-100  # weight at inputs of length 1 up to which outputs are nothing beside targets
_SMALL = 1e-60  # ... and one at which they are nothing, too
_LEAST = 1e-300  # of the weights at inputs of length 1 beside others that are larger
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
    length : float
        The unit r of the inputs, a power of two.
    unit : float
        The unit of the dual coefficients and of the value, :math:`r^{-2}` unless the weights were
        taken larger.
    """

    original: Problem
    problem: Problem
    length: float
    unit: float

    def near(self, near: Near) -> Near:
        """Return a start in the other units."""
        with np.errstate(over="ignore", under="ignore"):
            coef = near.dual_coef / self.unit
            outputs = near.outputs / self.unit / self.length / self.length
        return Near(coef, near.weights, outputs)

    def certified(self, certificate: Certificate, tol: float) -> Certificate:
        """Evaluate a solution in the units of the original problem.

        Raises
        ------
        ValueError
            If its dual coefficients or its value are out of the range of float64.
        """
        with np.errstate(all="ignore"):
            zeta = certificate.zeta * self.unit * self.length
            b = certificate.dual_coef * self.unit
            value = certificate.primal_value * self.unit
        largest = float(np.max(np.abs(b), initial=0.0))
        is_lost = certificate.primal_value > 0 and value < _LEAST
        if not np.isfinite(largest) or is_lost:
            raise ValueError(
                "expected inputs in a unit in which dual coefficients and values are in the range "
                f"of float64, got coefficients up to {largest:.1e} and the value {value:.1e} with "
                f"inputs of length {self.length:.1e}"
            )
        with np.errstate(all="ignore"):
            return certify(self.original, replace(certificate.point, dual_coef=b, primal=zeta), tol)


def scaled(problem: Problem) -> Scaled | None:
    """Bring a problem to the unit of its data; None if it is near enough to that.

    Raises
    ------
    ValueError
        If the weights are not finite in that unit.
    """
    design = problem.design
    length = float(2.0 ** np.round(np.log2(design.max_input_norm)))
    is_soft = ~problem.is_hard
    with np.errstate(over="ignore", under="ignore"):
        C = length * problem.C * length
    most = float(np.max(C, initial=0.0, where=is_soft))
    if np.isinf(most):
        raise ValueError(
            "expected C times the squared lengths of the inputs to be finite in float64, got C up "
            f"to {np.max(problem.C, initial=0.0, where=is_soft):.1e} and inputs of a length up to "
            f"{design.max_input_norm:.1e}"
        )
    is_vanishing = most < _VANISHING and bool(is_soft.all())
    ceiling = _MOST[problem.loss.has_open_domain]
    if 1.0 / _FAR < length < _FAR and not is_vanishing and most <= ceiling:
        return None
    unit = 1.0 / length / length
    if is_vanishing:
        unit = float(np.max(problem.C)) / _SMALL
        C = problem.C / unit
    C = np.where(is_soft, np.clip(C, _LEAST, ceiling), np.inf)
    brought = Problem(design.scaled(1.0 / length), problem.loss, problem.y, C)
    return Scaled(problem, brought, length, unit)
