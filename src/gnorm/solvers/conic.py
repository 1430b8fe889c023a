r"""The problem through cvxpy: an independent check of the engine, and a cvxpy problem.

A unit enters its problem only through its kernel matrix. With a factor :math:`K_h = F_h F_h^\top`,

.. math::

    \min_{v, f} \tfrac12 \Bigl( \sum_h \|v_h\| \Bigr)^2 + \sum_n l_n(f_n)
    \quad \text{subject to} \quad f_n = \sum_h (F_h v_h)_n,

where :math:`v_h` are the coordinates of :math:`\zeta_h` in the span of the features of unit
:math:`h`, and the multipliers of the outputs are the dual point :math:`b`. For the hinge the loss
is a shortfall :math:`\xi_n \ge 0` with :math:`y_n f_n \ge 1 - \xi_n`. The number of features
is gone, and the factors are sparse: the kernel of a unit with one context on falls into a block per
context, so that its triangular factor has :math:`N^2 / 2C` entries. Both solvers take this form
faster than the dual one, spectral or shared factors, and quadratic constraints.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import cvxpy as cp
import numpy as np
import scipy.sparse as sp
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpstrf

from gnorm.norms import UnitNorm
from gnorm.solvers.certify import Certificate, certify
from gnorm.solvers.design import GroupDesign
from gnorm.solvers.interior import sample_system
from gnorm.solvers.norm_program import NormProblem
from gnorm.solvers.pairs import paired
from gnorm.solvers.problem import Point, Problem
from gnorm.solvers.program import LossProblem, ScaledProblem, signed
from gnorm.solvers.run import Run
from gnorm.solvers.separability import PROOF, raise_if_not_separable
from gnorm.solvers.solution import NotSeparableError, Status

__all__ = ["MaxMarginProblem", "ScaledProblem", "solve"]

_NOISE = 1e-14  # of a cosine: rounding errors where two samples share no context
_RIDGE = 1e-12  # relative, on a kernel matrix that may be singular
_CORRECTIONS = 2  # that make up for the ridge
_ACCURACY = {"CLARABEL": 0.1, "SCS": 0.01}  # asked of the solver, in units of the gap
_FEASIBLE = 1e-9  # residual that CLARABEL always reaches, and that the recovery makes up for
_LOOSE = 1e-2  # accuracy below which CLARABEL keeps a point to itself where rounding ends it
_MANY = 1_500_000  # entries from which on the supernodal factorisation of CLARABEL pays
_SCS_SCALE = 5.0  # its first weight of primal against dual residuals; the best of 0.1 to 100
_RAY = 1e-3  # separability residual at which a certificate is looked for
_RAY_TOL = {"CLARABEL": 1e-6, "SCS": 1e-3}  # of the ray; SCS gets no further towards V = 0


class MaxMarginProblem(LossProblem):
    r"""The problem as cvxpy sees it, in the units of its data.

    Terms and constraints are added by :meth:`extended`, never by a ``cvxpy.Problem`` built from the
    objective, which would lose the scaling.

    Parameters
    ----------
    problem : Problem
        Design, loss, targets and weights.
    is_homogeneous : bool, default=False
        Write :math:`\min_{v, m} \tfrac12 (\sum_h \|v_h\|)^2 - N m`, all margins at least m, in
        its place. This has a solution on any data; its multipliers are the point of the simplex
        where :math:`\max_h \|V_h(a)\|` is least, which is 0 if the samples are not separable.

    Attributes
    ----------
    engine_problem : Problem
        Design, loss, targets and weights.
    coordinates : cvxpy.Variable of shape (rank * n_outputs, n_units)
        Column h, times the square root of `scale`, is a unit weight in the span of its features:
        same norm, same inner products. Outputs follow each other.
    unit_norms : cvxpy.Expression of shape (n_units,)
        Norms :math:`\|\zeta_h\|`, times the weights of the units.
    outputs : cvxpy.Expression of shape (n_samples,) or (n_samples, n_outputs)
        Values :math:`f(x_n)`.
    margins : cvxpy.Expression of shape (n_samples,)
        Functional margins :math:`y_n f(x_n)`; not there for several outputs.
    margin_constraint : cvxpy.Constraint
        What margins or outputs satisfy; its multipliers are the dual coefficients.
    scale : float
        Unit in which the objective is of order one.
    scaled : cvxpy.Problem
        What ``solve`` solves, see :class:`ScaledProblem`.
    """

    def __init__(self, problem: Problem, *, is_homogeneous: bool = False) -> None:
        scale = sample_system(problem).value_unit
        n_samples, n_units = len(problem.y), problem.design.n_kernels
        n_outputs = problem.n_outputs
        factored = (_factor(problem, h, scale) for h in range(n_units))
        self._factors, self._pivots = zip(*factored, strict=True)
        rank = max(1, *map(len, self._pivots))
        for factor in self._factors:
            factor.resize(n_samples, rank)
        v = cp.Variable((n_outputs * rank, n_units), name="coordinates")
        # one sparse product; of two the second would be of expressions
        factors = cp.Constant(sp.hstack(self._factors, format="csc"))
        each = [
            factors @ cp.vec(v[first : first + rank], order="F")
            for first in range(0, n_outputs * rank, rank)
        ]
        values = each[0] if n_outputs == 1 else cp.vstack(each).T
        lengths = cp.norm(v, 2, axis=0)
        self.coordinates, self.unit_norms = v, np.sqrt(scale) * lengths
        super().__init__(
            problem,
            0.5 * cp.square(cp.sum(lengths)),
            values,
            scale,
            is_homogeneous=is_homogeneous,
        )

    @cached_property
    def zeta(self) -> cp.Expression:
        r"""Unit weights, an affine expression of shape (n_units, n_contexts, n_features).

        With the rows P that the factorisation took as pivots, where the factor :math:`F_{hP}` is
        triangular, :math:`\zeta_h = \Phi_{hP}^\top F_{hP}^{-\top} v_h / w_h^2`.
        """
        design = self.engine_problem.design
        if self.engine_problem.n_outputs > 1:
            raise TypeError("expected a loss of one output, got one of several; see recovery()")
        if not isinstance(design, GroupDesign) or design.unit_features is not None:
            raise TypeError(
                f"expected a design with one kernel a unit, got a {type(design).__name__}"
            )
        n_samples, n_units, n_contexts = design.activations.shape
        inverses = []
        squares = design.norm.weights(n_units) ** 2
        for factor, pivots, square in zip(self._factors, self._pivots, squares, strict=True):
            inverse = np.zeros(factor.shape)
            triangle = factor[pivots][:, : len(pivots)].toarray()
            inverse[pivots, : len(pivots)] = self.scale / square * np.linalg.inv(triangle).T
            inverses.append(sp.csc_array(inverse))
        to_coef = cp.Constant(sp.block_diag(inverses, format="csc"))
        coef = cp.reshape(
            to_coef @ cp.vec(self.coordinates, order="F"), (n_samples, n_units), order="F"
        )
        gates = np.asarray(design.activations, dtype=float)
        is_open = gates.transpose(0, 2, 1).reshape(n_samples, -1)
        rows = cp.multiply(is_open, cp.hstack([coef] * n_contexts)).T @ cp.Constant(design.X)
        return cp.reshape(rows, (n_units, n_contexts, design.X.shape[1]), order="F")

    def recovery(self) -> tuple[np.ndarray, np.ndarray]:
        r"""Write the primal point as :math:`\zeta_h = \mu_h V_h(c) / w_h^2`, or find a better one.

        The solver's shares :math:`\mu_h = \|\zeta_h\| / \sum_k \|\zeta_k\|` and outputs :math:`f`
        are kept. Among the unit weights with these outputs, those that minimise
        :math:`\sum_h \|\zeta_h\|^2 / \mu_h` have this form, with :math:`\sum_h \mu_h K_h c = f`;
        that sum is never below :math:`(\sum_h \|\zeta_h\|)^2`, and at the solver's point it is
        equal. The dual point in place of :math:`c` would miss the outputs by the square root of
        the gap.

        Returns
        -------
        coef : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The vector :math:`c`, or one for each output.
        shares : ndarray of shape (n_units,)
            The weights :math:`\mu`.
        """
        problem = self.engine_problem
        norms = np.linalg.norm(self.coordinates.value, axis=0)
        mu = norms / norms.sum() if norms.any() else np.full(len(norms), 1 / len(norms))
        K = problem.design.weighted_gram(mu, np.float64)
        diagonal = np.einsum("ii->i", K)
        diagonal += _RIDGE * diagonal.sum() + np.finfo(float).tiny
        cholesky = cho_factor(K, lower=True, overwrite_a=True)
        coef = signed(problem, np.asarray(self.dual_coef))
        for _ in range(_CORRECTIONS):
            missing = self.outputs.value - problem.design.exact_products(coef) @ mu
            coef = coef + cho_solve(cholesky, missing)
        return coef, mu


def _factor(problem: Problem, h: int, scale: float) -> tuple[Any, np.ndarray]:
    """Sparse factor of the kernel of a unit, shape (n_samples, rank), and its pivot rows."""
    only = np.zeros(problem.design.n_kernels)
    only[h] = scale
    cosines = problem.design.weighted_gram(only, np.float64)
    lengths = np.sqrt(np.diag(cosines))
    divisors = np.where(lengths > 0, lengths, 1.0)
    cosines /= np.outer(divisors, divisors)
    cosines[np.abs(cosines) < _NOISE] = 0.0  # else the blocks of the contexts would fill up
    # Pivoting finds the rank; that of cosines, in which samples of any length count alike.
    lower, pivots, rank, _ = dpstrf(cosines, lower=1, overwrite_a=1)
    factor = np.empty((len(lengths), rank))
    factor[pivots - 1] = np.tril(lower)[:, :rank]
    return sp.csc_array(factor * lengths[:, None]), pivots[:rank] - 1


def solve(problem: Problem, run: Run, *, solver: str) -> Certificate:
    """Solve a problem by a conic solver.

    Parameters
    ----------
    problem : Problem
        The problem.
    run : Run
        What may be spent. If it has a report, the solver prints its own log instead.
    solver : {"CLARABEL", "SCS"}
        The solver, by its name in cvxpy.

    Returns
    -------
    Certificate
        The point that the solver found.

    Raises
    ------
    NotSeparableError
        If hard-margin samples cannot be separated.
    RuntimeError
        If the solver fails; names its status.
    """
    is_verbose = run.report is not None
    has_kernels = isinstance(problem.design.norm, UnitNorm)
    program = MaxMarginProblem(problem) if has_kernels else NormProblem(problem)
    ended = _run(program, solver, run.tol, run.max_iter, is_verbose)
    ray = problem.zero_outputs
    if ended.has_solution:
        b = signed(problem, np.asarray(program.dual_coef))
        ray[problem.is_hard] = b[problem.is_hard]
        # A solver that runs off along a ray may stop before it says so.
        is_doubtful = ended.status is not Status.OPTIMAL and ray.any()
        if is_doubtful and problem.separability_residual(ray) <= _RAY:
            raise_if_not_separable(problem, ray, PROOF)
        return certify(problem, Point(b, program.recovery(), ended.status, ended.n_iter), run.tol)
    raise_without_solution(problem, run, solver, ended.said)


def raise_without_solution(problem: Problem, run: Run, solver: str, said: str) -> NoReturn:
    """Raise the proof that there is no solution, or that a solver failed.

    Parameters
    ----------
    problem : Problem
        The problem, under any norm: whether samples are separable does not depend on it.
    run : Run
        What may be spent.
    solver : str
        The solver that failed; another than CLARABEL and SCS looks for the proof by CLARABEL.
    said : str
        Its status.

    Raises
    ------
    NotSeparableError
        If hard-margin samples cannot be separated.
    RuntimeError
        Else.
    """
    if not problem.is_hard.any():
        raise RuntimeError(f"{solver} found no solution and ended with the status {said!r}")
    if problem.n_outputs > 1:
        pairs = paired(problem)
        try:
            raise_without_solution(pairs.problem, run, solver, said)
        except NotSeparableError as error:
            raise pairs.proof(error) from None
    ray = problem.zero_outputs
    hard = np.flatnonzero(problem.is_hard)
    # Equal inputs with both labels cancel from here, where a solver finds no interior.
    ray[hard] = problem.y[hard]
    raise_if_not_separable(problem, ray, PROOF)
    simplex = MaxMarginProblem(problem.restricted(hard), is_homogeneous=True)
    prover = solver if solver in _RAY_TOL else "CLARABEL"
    is_verbose = run.report is not None
    if _run(simplex, prover, _RAY_TOL[prover], run.max_iter, is_verbose).has_solution:
        ray[hard] = problem.y[hard] * np.asarray(simplex.dual_coef)
        raise_if_not_separable(problem, ray, PROOF)
    raise RuntimeError(
        f"{solver} found no solution and ended with the status {said!r}, but no certificate "
        "that the samples with C=inf are inseparable was found either; their margin may be too "
        "small for it. Use method='interior-point' or a finite C."
    )


@dataclass
class _Ended:
    """How a solver ended, and its own word for that."""

    status: Status
    said: str
    has_solution: bool
    n_iter: int


def _run(
    program: MaxMarginProblem | NormProblem,
    solver: str,
    tol: float,
    max_iter: int,
    is_verbose: bool,
) -> _Ended:
    """Do what ``program.solve`` does, without losing the status of a solver that fails."""
    data, chain, inverse_data = program.scaled.get_problem_data(
        solver, solver_opts={}, canon_backend=program.canon_backend
    )
    accuracy = _ACCURACY[solver] * tol
    options: dict[str, Any]
    if solver == "SCS":
        options = {"max_iters": max_iter, "scale": _SCS_SCALE}
        options |= dict.fromkeys(("eps_abs", "eps_rel"), accuracy)
    else:
        options = {"max_iter": max_iter}
        options |= dict.fromkeys(("tol_gap_rel", "tol_gap_abs"), accuracy)
        options["tol_feas"] = max(accuracy, _FEASIBLE)
        # What rounding errors stop short is wanted all the same: the certificate says how good.
        reduced = ("reduced_tol_gap_rel", "reduced_tol_gap_abs", "reduced_tol_feas")
        options |= dict.fromkeys(reduced, _LOOSE)
        if data[cp.settings.A].nnz < _MANY:
            options["direct_solve_method"] = "qdldl"
    try:
        raw = chain.solve_via_data(program.scaled, data, verbose=is_verbose, solver_opts=options)
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of CLARABEL's Rust, which is no Exception
            raise
        return _Ended(Status.STALLED, f"panic: {error}", has_solution=False, n_iter=0)
    solution = chain.invert(raw, inverse_data)
    has_solution = solution.status in cp.settings.SOLUTION_PRESENT
    if has_solution:
        program.unpack_scaled(solution)
    n_iter = int(solution.attr[cp.settings.NUM_ITERS])
    unsolved = Status.MAX_ITER if n_iter >= max_iter else Status.STALLED
    return _Ended(
        status=Status.OPTIMAL if solution.status == cp.OPTIMAL else unsolved,
        said=raw["info"]["status"] if solver == "SCS" else str(raw.status),
        has_solution=has_solution,
        n_iter=n_iter,
    )
