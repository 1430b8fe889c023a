r"""The whole path of max-margin predictors over C, each from the one for the next larger C.

The path is followed downwards. With C falling more and more samples come to their upper bounds and
stay there, and those inside the margin of one solution say which; upwards samples would leave their
bounds, and where to is for the solver to find out.

While C is small every sample is at its upper bound, :math:`a = C w` with the sample weights
:math:`w`, and the predictor is C times a fixed one: :math:`\zeta_h = C \mu_h V_h` with :math:`V_h =
\sum_n w_n y_n \phi_h(x_n)` and :math:`\mu` on the units of largest :math:`\|V_h\|`. That is the
optimum as long as no margin exceeds 1, which is up to

.. math::

    C_0 = 1 \Big/ \min_\mu \max_n \sum_h \mu_h y_n \langle \phi_h(x_n), V_h \rangle ,

and beyond it for no :math:`\mu`: the least C worth solving for. Usually one unit is the longest and
:math:`\mu` has no choice; among several the minimum is a linear program. At the other end, once no
sample is at its bound, a larger C changes nothing and the predictor is that of the hard margin.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_scalar

from gnorm.margin.choice import available_memory, choose
from gnorm.margin.design import GatedDesign
from gnorm.margin.engine import (
    GRAM_METHODS,
    certified,
    check_samples,
    merged_design,
    on_all,
    solve_anyhow,
    warn_if_unfinished,
)
from gnorm.margin.merge import Merged
from gnorm.margin.problem import MarginProblem, Point, relative_gap
from gnorm.margin.solution import MarginSolution, NotSeparableError, Status
from gnorm.margin.warm import Bounded, Near, Solved, is_at_bound

__all__ = [
    "NormPath",
    "Saturation",
    "check_Cs",
    "gln_norm_path",
    "near_to",
    "saturation",
    "share_gram",
    "solve_path",
]

_FARTHEST = 5.0  # times as large a C at most has a solution that is a good start
_GRAM_SHARE = 0.2  # of the memory allowed, up to which the Gram matrix of all samples is kept
_VANISHING = 1e-13  # length of a sum of features, relative to those of its terms, that is rounding
_TIED = 1e-9  # relative difference of lengths below which units count as equally long


@dataclass(frozen=True, eq=False)
class NormPath:
    """Max-margin predictors over C.

    Attributes
    ----------
    Cs : ndarray of shape (n_Cs,)
        Weights of the hinge loss, increasing; the last may be infinite.
    solutions : tuple of MarginSolution
        One for each, with its certificate.
    least_C : float
        :math:`C_0`, up to which the predictor is C times a fixed one; infinite if the classes
        coincide in every unit, so that the best predictor is zero for every C.
    seconds : float
        Wall-clock time of the whole path in seconds.
    """

    Cs: np.ndarray
    solutions: tuple[MarginSolution, ...]
    least_C: float
    seconds: float


@dataclass(frozen=True)
class Saturation:
    r"""The end of the path at which every sample is at its upper bound.

    Attributes
    ----------
    C : float
        The largest such C, :math:`C_0`.
    weights : ndarray of shape (n_units,)
        :math:`\mu`, the share of each unit.
    margins : ndarray of shape (n_samples,)
        Functional margins at C = 1.
    """

    C: float
    weights: np.ndarray
    margins: np.ndarray


def gln_norm_path(
    X: Any,
    y: ArrayLike,
    activations: ArrayLike,
    Cs: ArrayLike | None = None,
    *,
    n_Cs: int = 50,
    eps: float = 1e-4,
    method: str = "auto",
    tol: float = 1e-4,
    max_iter: int | None = None,
    memory_limit: float | None = None,
    sample_weight: ArrayLike | None = None,
    verbose: int = 0,
) -> NormPath:
    r"""Max-margin predictors of the gated norm for many C, each started from the next larger C.

    The problem for each C is that of :func:`max_margin`, and so is the certificate. Inputs, gates
    and their Gram matrix are shared. No iteration is spent on exact zeros alone: at the same gap a
    solution may have more support than that of :func:`max_margin`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs. There is no intercept: append a constant feature to have one.
    y : array-like of shape (n_samples,)
        Labels -1 and 1, both present.
    activations : array-like of bool, shape (n_samples, n_units, n_contexts)
        Gates of the inputs, see :mod:`gnorm.gates`.
    Cs : array-like of shape (n_Cs,), default=None
        Weights of the hinge loss, positive, in any order, ``inf`` for the hard margin. None makes
        a geometric grid from :math:`C_0`, below which nothing changes but the length of the
        predictor, up to the C from which on it is that of the hard margin, with ``inf`` in its
        place; if the data are not separable, up to ``C_0 / eps``.
    n_Cs : int, default=50
        Length of that grid, at least 2.
    eps : float, default=1e-4
        Least over largest C of that grid if the data are not separable.
    method : {"auto", "interior-point", "working-set", "primal", "clarabel", "scs"}, default="auto"
        See :func:`max_margin`. The first two start from the solution for a larger C; the others
        start anew.
    tol : float, default=1e-4
        Relative duality gap, over all samples, at which a problem counts as solved.
    max_iter : int, default=None
        Most iterations for each C, None for the default of the method.
    memory_limit : float, default=None
        Most memory in bytes that the engine's own methods may take beside the data; None for half
        of what is free.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative factors of ``C``. A sample of weight 0 is as if it were absent.
    verbose : int, default=0
        1 prints a line for each C.

    Returns
    -------
    NormPath
        The Cs in increasing order and a solution for each.

    Raises
    ------
    NotSeparableError
        If ``Cs`` has an infinite entry and the samples cannot be separated.
    ValueError
        For malformed input.

    Warns
    -----
    ConvergenceWarning
        If the gap reached for some C is above ``tol``, or if Ctrl-C ended the path: what is
        returned then is the path for the largest Cs.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm import HyperplaneGates, gln_norm_path
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.normal(size=(60, 8)), np.ones(60)])
    >>> y = np.where(np.abs(X[:, 0]) + X[:, 1] > 1, 1, -1)
    >>> activations = HyperplaneGates(n_units=5, random_state=0).fit_transform(X)
    >>> path = gln_norm_path(X, y, activations, n_Cs=5)
    >>> bool(path.Cs[0] == path.least_C), float(path.Cs[-1])
    (True, inf)
    >>> norms = [solution.norm for solution in path.solutions]
    >>> bool(np.all(np.diff(norms) >= 0))
    True
    """
    start = time.perf_counter()
    if Cs is None:
        check_scalar(n_Cs, "n_Cs", Integral, min_val=2)
        if not 0 < eps < 1:
            raise ValueError(f"expected eps between 0 and 1, got {eps}")
    else:
        Cs = check_Cs(Cs)
    X, labels, gates, weight = check_samples(X, y, activations, 1.0, sample_weight)
    options: dict[str, Any] = {
        "method": method,
        "tol": tol,
        "max_iter": max_iter,
    }
    design, merged = merged_design(GatedDesign, X, labels, gates, weight)
    signs = labels[merged.rows].astype(float)
    at_one = MarginProblem(design, signs, merged.upper)
    options["memory_limit"] = share_gram(at_one, method, memory_limit)
    end = saturation(at_one)
    hard: Solved | None = None
    if Cs is None:
        grid, hard = _default_grid(design, signs, merged, end, n_Cs, eps, options)
    else:
        grid = Cs
    solutions: list[MarginSolution] = []
    try:
        for solution in solve_path(design, labels, merged, grid, end=end, hard=hard, **options):
            solutions.insert(0, solution)
            if verbose:
                _print_line(grid[-len(solutions)], solution)
            warn_if_unfinished(solution, tol)
            if solution.status is Status.INTERRUPTED:
                break
    except KeyboardInterrupt:
        if not solutions:
            raise
    if len(solutions) < len(grid):
        warnings.warn(
            f"the path was interrupted after {len(solutions)} of {len(grid)} Cs",
            ConvergenceWarning,
            stacklevel=2,
        )
    done = grid[-len(solutions) :]
    return NormPath(done, tuple(solutions), end.C, time.perf_counter() - start)


def _print_line(C: float, solution: MarginSolution) -> None:
    print(
        f"C {C:9.3e}  norm {solution.norm:9.3e}  gap {solution.duality_gap:7.1e}  "
        f"support {len(solution.support)}  {solution.n_iter} iterations, {solution.seconds:.3f} s"
    )


def share_gram(problem: MarginProblem, method: str, memory_limit: float | None) -> float | None:
    """Compute the Gram matrix of all samples where methods use it and it is small enough to keep.

    Returns
    -------
    float or None
        What is left of the memory allowed; None for half of what is free.
    """
    limit = available_memory() if memory_limit is None else memory_limit
    if method == "auto":
        method = choose(problem, limit).method
    need = 8.0 * len(problem.y) ** 2
    if method not in GRAM_METHODS or need > _GRAM_SHARE * limit:
        return memory_limit
    _ = problem.design.gram  # cached, and handed on to the designs of some of the samples
    return None if memory_limit is None else memory_limit - need


def check_Cs(Cs: ArrayLike) -> np.ndarray:
    """Return the distinct Cs in increasing order; ValueError unless all are positive."""
    grid = np.asarray(Cs, dtype=float)
    if grid.ndim != 1 or len(grid) == 0:
        raise ValueError(f"expected Cs of shape (n_Cs,), not empty, got shape {grid.shape}")
    if not np.all(grid > 0):  # catches NaN as well
        raise ValueError(f"expected Cs > 0, got {np.min(grid)}")
    return np.unique(grid)


def saturation(problem: MarginProblem) -> Saturation:
    r"""Find the largest C at which every sample is at its upper bound.

    Parameters
    ----------
    problem : MarginProblem
        The problem at C = 1, with finite bounds.

    Returns
    -------
    Saturation
        :math:`C_0` and the predictor, up to its length.
    """
    sums = problem.design.sums(problem.y * problem.upper)
    lengths = problem.design.norms_of(sums)
    products = problem.y[:, None] * problem.design.products_of(sums)
    if np.max(lengths) <= _VANISHING * problem.design.max_feature_norm * np.sum(problem.upper):
        n_units = len(lengths)
        return Saturation(np.inf, np.full(n_units, 1.0 / n_units), np.zeros(len(problem.y)))
    weights = np.zeros(len(lengths))
    tied = np.flatnonzero(lengths >= (1.0 - _TIED) * np.max(lengths))
    if len(tied) == 1:
        weights[tied] = 1.0
    else:
        weights[tied] = _least_maximum(products[:, tied])
    margins = products @ weights
    # their mean is the squared length of the longest units: the largest is positive
    return Saturation(1.0 / float(np.max(margins)), weights, margins)


def _least_maximum(products: np.ndarray) -> np.ndarray:
    r"""Weights :math:`\mu` on the simplex for which the largest entry of the product is least."""
    n_samples, n_units = products.shape
    scale = float(np.max(np.abs(products)))
    program = linprog(
        np.append(np.zeros(n_units), 1.0),
        A_ub=np.column_stack([products / scale, -np.ones(n_samples)]),
        b_ub=np.zeros(n_samples),
        A_eq=np.append(np.ones(n_units), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0.0, None)] * n_units + [(None, None)],
        method="highs",
    )
    weights = np.maximum(program.x[:-1], 0.0)
    return weights / np.sum(weights)


def _default_grid(
    design: GatedDesign,
    signs: np.ndarray,
    merged: Merged,
    end: Saturation,
    n_Cs: int,
    eps: float,
    options: dict[str, Any],
) -> tuple[np.ndarray, Solved | None]:
    """Grid from the saturated end to the hard margin, and the solution of the latter."""
    if not np.isfinite(end.C):
        raise ValueError(
            "the classes coincide in every unit, so that the best predictor is zero for every C; "
            "pass Cs to solve for them nevertheless"
        )
    upper = np.full(len(signs), np.inf)
    try:
        hard = solve_anyhow(MarginProblem(design, signs, upper), None, **options)
    except NotSeparableError:
        return np.geomspace(end.C, end.C / eps, n_Cs), None
    if hard[0].status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    largest = float(np.max(hard[0].dual_coef / merged.upper))
    if largest <= end.C:  # there is nothing between the two ends
        return np.array([end.C, np.inf]), hard
    grid = np.geomspace(end.C, largest, n_Cs)
    grid[-1] = np.inf
    return grid, hard


def solve_path(
    design: GatedDesign,
    y: np.ndarray,
    merged: Merged,
    Cs: Sequence[float] | np.ndarray,
    *,
    end: Saturation | None = None,
    hard: Solved | None = None,
    tol: float,
    **options: Any,
) -> Iterator[MarginSolution]:
    """Solve on the distinct samples for each C, from the largest down, and report on all.

    Parameters
    ----------
    design : GatedDesign
        Geometry of the distinct samples.
    y : ndarray of shape (n_samples,)
        Labels -1 and 1 of all samples.
    merged : Merged
        How the samples map to the distinct ones, with the weights as bounds.
    Cs : sequence of float
        In increasing order.
    end : Saturation, default=None
        The saturated end, if it is known.
    hard : tuple of (MarginSolution, ndarray of shape (n_distinct,)), default=None
        Solution for C = inf on the distinct samples and its margins, if they are known.
    tol : float
        Relative duality gap at which a problem counts as solved.
    **options
        Further options of :func:`gnorm.margin.solve`.

    Yields
    ------
    MarginSolution
        The solution for each C, that of the largest first.
    """
    at_one = MarginProblem(design, y[merged.rows].astype(float), merged.upper)
    follower = _Follower(at_one, merged, end or saturation(at_one), tol, options)
    for C in map(float, reversed(Cs)):
        try:
            solution = follower.at(C, hard)
        except NotSeparableError as error:
            certificate = merged.times(C).expand(error.certificate)
            raise NotSeparableError(certificate, error.residual) from None
        yield on_all(solution, merged.times(C))


class _Follower:
    """Goes down the path, and knows the last two places."""

    def __init__(
        self,
        at_one: MarginProblem,
        merged: Merged,
        end: Saturation,
        tol: float,
        options: dict[str, Any],
    ) -> None:
        self.at_one = at_one
        self.merged = merged
        self.end = end
        self.tol = tol
        self.options = options | {"tol": tol}
        self.bounded = Bounded(at_one.design, at_one.y * merged.upper)
        self.known: list[_Known] = []

    def at(self, C: float, hard: Solved | None) -> MarginSolution:
        """Solve on the distinct samples for a C that is not more than the ones before."""
        start = time.perf_counter()
        upper = self.merged.times(C).upper
        problem = MarginProblem(self.at_one.design, self.at_one.y, upper)
        if np.isfinite(C) and C <= self.end.C:
            point = Point(upper, (upper, self.end.weights), Status.OPTIMAL, 0)
            return certified(problem, point, "closed form", self.tol, start)[0]
        if self.known and (same := self.known[-1].within(problem, self.tol, start)) is not None:
            return same
        if np.isinf(C) and hard is not None:
            solution, margins = hard
        else:
            options = self.options
            if np.isfinite(C):
                options = options | {"linear": partial(self.bounded.fixed, factor=C)}
            solution, margins = solve_anyhow(problem, self._near(C, upper), **options)
            solution = replace(solution, seconds=time.perf_counter() - start)
        # from this C on no sample is at its bound any more
        least = min(C, float(np.max(solution.dual_coef / self.at_one.upper)))
        near = near_to(problem, solution, margins)
        self.known = [*self.known[-1:], _Known(least, upper, near, solution)]
        return solution

    def _near(self, C: float, upper: np.ndarray) -> Near | None:
        """Where to start from what is known; None if that is too far away."""
        if not self.known or self.known[-1].C > _FARTHEST * C:
            return None
        return _ahead(self.known, C, upper)


@dataclass(frozen=True)
class _Known:
    """What is known at one C, the least that it is the solution for."""

    C: float
    upper: np.ndarray
    near: Near
    solution: MarginSolution

    def within(self, problem: MarginProblem, tol: float, start: float) -> MarginSolution | None:
        """Return the solution for smaller bounds, if no sample is at or beyond its own.

        It is the same, but a margin that is short of 1 by a rounding error costs less.
        """
        if np.any(is_at_bound(self.near.dual_coef, problem.upper)):
            return None
        value, theta = problem.scale_primal(self.solution.norm, self.near.margins)
        gap = relative_gap(value, self.solution.dual_value)
        if gap > tol:
            return None
        return replace(
            self.solution,
            zeta=theta * self.solution.zeta,
            norm=theta * self.solution.norm,
            unit_norms=theta * self.solution.unit_norms,
            primal_value=value,
            duality_gap=gap,
            status=Status.OPTIMAL,
            n_iter=0,
            seconds=time.perf_counter() - start,
        )


def _ahead(known: list[_Known], C: float, upper: np.ndarray) -> Near:
    """Where the solution for C is likely to be, on the line through the last two in log C."""
    *earlier, last = known
    a, mu, margins = last.near.dual_coef, last.near.weights, last.near.margins
    if earlier and earlier[-1].C > last.C > C:
        before = earlier[-1]
        share = float(np.log(last.C / C) / np.log(before.C / last.C))
        a = np.maximum(a + share * (a - before.near.dual_coef), 0.0)
        mu = np.maximum(mu + share * (mu - before.near.weights), 0.0)
        margins = margins + share * (margins - before.near.margins)
    # a sample at its bound goes with it
    a = np.where(is_at_bound(last.near.dual_coef, last.upper), upper, np.minimum(a, upper))
    return Near(a, mu / np.sum(mu), margins)


def near_to(problem: MarginProblem, solution: MarginSolution, margins: np.ndarray) -> Near:
    """Start for similar problems from a solution on the distinct samples and its margins."""
    lengths = problem.design.unit_norms(solution.zeta)
    total = float(np.sum(lengths))
    n_units = len(lengths)
    weights = lengths / total if total > 0 else np.full(n_units, 1.0 / n_units)
    return Near(solution.dual_coef, weights, margins)
