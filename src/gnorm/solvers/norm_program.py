r"""The problem under any norm, by its expression.

The unknown is zeta itself, in units in which the least norm is of order one: with the dual value
d of the steepest coefficients, a bound of the optimum from below, :math:`\zeta = \sqrt{2 d} \, u`
and the objective is divided by 2 d.
"""

from __future__ import annotations

import cvxpy as cp
import numpy as np

from gnorm.solvers.certify import dual_value
from gnorm.solvers.design import FeatureDesign
from gnorm.solvers.problem import Problem
from gnorm.solvers.program import LossProblem

__all__ = ["NormProblem", "lower_bound"]


def lower_bound(problem: Problem) -> float:
    """Dual value of the steepest coefficients, positive; 1 if the predictor of zeros is optimal."""
    b = problem.loss.feasible(problem.y, problem.steepest, problem.C)
    value, _ = dual_value(problem, b, problem.design.dual_norm(problem.design.sums(b)))
    return value if 0 < value < np.inf else 1.0


class NormProblem(LossProblem):
    """The problem as cvxpy sees it, under a norm that has an expression.

    Parameters
    ----------
    problem : Problem
        The problem, on a :class:`FeatureDesign`.
    rate : cvxpy.Parameter, default=None
        Minimise the rate times the norm in place of half its square.

    Attributes
    ----------
    weights : cvxpy.Variable of shape (n_units * n_contexts * n_features, n_outputs)
        Rows of zeta, divided by the square root of `scale`.
    """

    canon_backend = "SCIPY"  # the others do not take expressions of three axes

    def __init__(self, problem: Problem, rate: cp.Parameter | None = None) -> None:
        design = problem.design
        assert isinstance(design, FeatureDesign)
        self._shape = design.rows_shape(problem.n_outputs)
        scale = 2.0 * lower_bound(problem)
        features = design.features()
        self.weights = cp.Variable((features.shape[1], problem.n_outputs), name="weights")
        values = cp.Constant(np.sqrt(scale) * features) @ self.weights
        shape = design.array_shape(problem.n_outputs)
        norm = design.norm.expression(cp.reshape(self.weights, shape, order="C"))
        constraints = []
        if rate is None:
            bound = cp.Variable(nonneg=True, name="norm")
            constraints.append(norm <= bound)
            term = 0.5 * cp.square(bound)
        else:
            term = rate * norm
        super().__init__(
            problem, term, values[:, 0] if problem.n_outputs == 1 else values, scale, constraints
        )

    def recovery(self) -> np.ndarray:
        """Weights of the last solve, in the units of the data."""
        zeta: np.ndarray = np.sqrt(self.scale) * self.weights.value.reshape(self._shape)
        return zeta
