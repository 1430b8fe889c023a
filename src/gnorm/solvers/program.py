"""Problems of cvxpy in units of order one: what all conic forms of the problem share."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, ClassVar

import cvxpy as cp
import numpy as np
import scipy.sparse as sp

from gnorm.solvers.problem import Problem

__all__ = ["LossProblem", "ScaledProblem", "signed"]


class ScaledProblem(cp.Problem):
    """A problem in the units of its data that is solved in units of order one.

    A ``cvxpy.Problem`` built from its objective, also by arithmetic, is in the units of the data
    and no longer scaled, and a solver may call a point optimal that is far from it. What is to be
    added goes through :meth:`extended`.

    Parameters
    ----------
    objective : cvxpy.Expression
        What to minimise, divided by `scale`.
    constraints : list of cvxpy.Constraint
        Constraints.
    scale : float
        Unit of the objective.

    Attributes
    ----------
    scale : float
        Unit of the objective, in which the dual coefficients are of order one.
    scaled : cvxpy.Problem
        The same constraints with the objective divided by `scale`. It is what ``solve`` solves, so
        that the tolerances of a solver mean the same whatever the units of the data.
    """

    def __init__(
        self, objective: cp.Expression, constraints: list[cp.Constraint], scale: float
    ) -> None:
        self.scale = scale
        self.scaled = cp.Problem(cp.Minimize(objective), constraints)
        super().__init__(cp.Minimize(scale * objective), constraints)

    def extended(
        self, objective: Any = 0.0, constraints: Iterable[cp.Constraint] = ()
    ) -> ScaledProblem:
        """Add to the objective and to the constraints, and keep the scaling.

        Parameters
        ----------
        objective : cvxpy.Expression or float, default=0.0
            Convex scalar to add to the objective, in the units of the data.
        constraints : iterable of cvxpy.Constraint, default=()
            Further constraints.

        Returns
        -------
        ScaledProblem
            A new problem, whose value and multipliers are in the units of the data. It shares
            variables and constraints with this one: once either is solved, what is read from them
            by way of the other are the values of that last solve.

        Raises
        ------
        TypeError
            If objective is a ``cvxpy.Minimize`` or a problem, not an expression.
        ValueError
            If objective is not a scalar.
        """
        if isinstance(objective, cp.problems.objective.Objective | cp.Problem):
            raise TypeError(
                f"expected objective as an expression to minimise, got a {type(objective).__name__}"
            )
        total = self.scaled.objective.expr + objective / self.scale
        return ScaledProblem(total, [*self.constraints, *constraints], self.scale)

    def solve(self, *args: Any, **kwargs: Any) -> float:
        """Do what ``cvxpy.Problem.solve`` does, by way of `scaled`."""
        self.scaled.solve(*args, **kwargs)
        self.unpack_scaled(self.scaled.solution)
        return self.value

    def unpack_scaled(self, solution: Any) -> None:
        """Take over a solution of `scaled`."""
        solution = copy.copy(solution)
        solution.opt_val = self.scale * solution.opt_val
        solution.dual_vars = {key: self.scale * a for key, a in solution.dual_vars.items()}
        self.unpack(solution)

    def copy(self, args: Any = None, id_objects: Any = None) -> ScaledProblem:
        """Refuse, since cvxpy would copy by way of the objective that is not scaled.

        Raises
        ------
        TypeError
            Always; use ``copy.deepcopy`` or :meth:`extended`.
        """
        raise TypeError(
            f"expected copy.deepcopy(problem), which has variables of its own, or "
            f"problem.extended(), which shares them, got a shallow copy of a {type(self).__name__}"
        )

    @property
    def solver_stats(self) -> Any:
        """What the solver says of its last run, see ``cvxpy.Problem.solver_stats``."""
        stats = self.scaled.solver_stats
        return super().solver_stats if stats is None else stats

    @property
    def compilation_time(self) -> float | None:
        """Seconds that the last compilation took."""
        seconds: float | None = self.scaled.compilation_time
        return super().compilation_time if seconds is None else seconds


class LossProblem(ScaledProblem):
    r"""Half the square of a norm and the losses of outputs, :math:`\tfrac12 R^2 + \sum_n l_n(f_n)`.

    Parameters
    ----------
    problem : Problem
        Design, loss, targets and weights.
    half_square : cvxpy.Expression
        :math:`\tfrac12 R^2`, divided by `scale`.
    values : cvxpy.Expression of shape (n_samples,) or (n_samples, n_outputs)
        Outputs, an affine expression.
    scale : float
        Unit in which the objective is of order one.
    constraints : list of cvxpy.Constraint, default=()
        What else the variables satisfy.
    is_homogeneous : bool, default=False
        Write :math:`-N m`, all margins at least m, in place of the losses.

    Attributes
    ----------
    engine_problem : Problem
        Design, loss, targets and weights.
    outputs : cvxpy.Expression of shape (n_samples,) or (n_samples, n_outputs)
        Values :math:`f(x_n)`.
    margins : cvxpy.Expression of shape (n_samples,)
        Functional margins :math:`y_n f(x_n)`; not there for several outputs.
    margin_constraint : cvxpy.Constraint
        What margins or outputs satisfy; its multipliers are the dual coefficients.
    canon_backend : str or None
        Backend of cvxpy that compiles the problem, None for its default.
    """

    canon_backend: ClassVar[str | None] = None

    def __init__(
        self,
        problem: Problem,
        half_square: cp.Expression,
        values: cp.Expression,
        scale: float,
        constraints: Iterable[cp.Constraint] = (),
        *,
        is_homogeneous: bool = False,
    ) -> None:
        self.engine_problem = problem
        if problem.n_outputs == 1:
            self.margins = cp.multiply(problem.y, values)
        # where all margins are hard, losses of margins do not differ
        is_hinge = problem.loss.is_exact_penalty or bool(problem.is_hard.all())
        self._is_of_margins = is_hinge and problem.n_outputs == 1
        constraints = list(constraints)
        if self._is_of_margins:
            term, constraint = self._hinge(problem, scale, is_homogeneous)
            self.outputs = values
        else:
            self.outputs = cp.Variable(problem.zero_outputs.shape, name="outputs")
            constraint = self.outputs == values
            term = 0.0
            loss, y, soft = problem.loss, problem.y, np.flatnonzero(~problem.is_hard)
            if len(soft):
                term = loss.expression(y[soft], self.outputs[soft], problem.C[soft]) / scale
            if len(hard := np.flatnonzero(problem.is_hard)):
                constraints.append(loss.hard_margins(y[hard], self.outputs[hard]) >= 1)
        self.margin_constraint = constraint
        super().__init__(half_square + term, [constraint, *constraints], scale)

    def _hinge(
        self, problem: Problem, scale: float, is_homogeneous: bool
    ) -> tuple[Any, cp.Constraint]:
        """Loss and constraint of the margins, with hard ones and shortfalls scaled."""
        n_samples, soft = len(problem.y), np.flatnonzero(~problem.is_hard)
        if is_homogeneous:
            m = cp.Variable(name="margin")
            return -n_samples * m, self.margins >= m
        if not len(soft):
            return 0.0, self.margins >= 1
        # The unit of xi splits a large C between cost and entry; either alone is too much.
        unit = np.sqrt(scale / problem.C[soft])
        xi = cp.Variable(len(soft), nonneg=True, name="shortfall")
        entries = (unit, (soft, np.arange(len(soft))))
        shortfall = cp.Constant(sp.csc_array(entries, shape=(n_samples, len(soft)))) @ xi
        return (1 / unit) @ xi, self.margins + shortfall >= 1

    @property
    def dual_coef(self) -> np.ndarray | None:
        """Feasible dual point: a of a margin loss, else b; None if unsolved."""
        if self.status not in cp.settings.SOLUTION_PRESENT:
            return None
        problem = self.engine_problem
        if self._is_of_margins:
            return np.clip(self.margin_constraint.dual_value, 0.0, problem.C)
        b = problem.loss.feasible(problem.y, self.margin_constraint.dual_value, problem.C)
        return problem.y * b if problem.loss.is_margin else b


def signed(problem: Problem, dual_coef: np.ndarray) -> np.ndarray:
    """Dual point b of coefficients as users know them."""
    return problem.y * dual_coef if problem.loss.is_margin else dual_coef
