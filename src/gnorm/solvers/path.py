r"""The whole path of predictors over C, each from the one for the next larger C.

The path is followed downwards. With C falling more and more samples come to the ends of their
domains and stay there, and those inside an affine piece of one solution say which.

While C is small each sample is in the affine piece where the predictor of zeros has it, with
:math:`b = -C w m'(y, 0)` for sample weights :math:`w`, and the predictor is C times a fixed one:
:math:`\zeta_h = C \mu_h V_h` with :math:`V_h = -\sum_n w_n m'(y_n, 0) \phi_h(x_n)` and :math:`\mu`
on the kernels of largest :math:`\|V_h\|`. With the hinge that is the optimum as long as no margin
exceeds 1, which is up to

.. math::

    C_0 = 1 \Big/ \min_\mu \max_n \sum_h \mu_h y_n \langle \phi_h(x_n), V_h \rangle ,

and beyond it for no :math:`\mu`: the least C worth solving for. Usually one kernel is the longest
and :math:`\mu` has no choice; among several the minimum is a linear program. For another loss it is
the largest C up to which that pair of points meets a gap, for a curved loss one of 1e-4. At the
other end of the path of a hinge, once no sample is at its bound, a larger C changes nothing and
the predictor is that of the hard margin.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_scalar

from gnorm.gated import as_numbers
from gnorm.gating import OpenContexts
from gnorm.losses import Loss, get_loss
from gnorm.norms import Norm, UnitNorm
from gnorm.solvers.active_set.sets import PinnedSums
from gnorm.solvers.active_set.start import Near
from gnorm.solvers.api import expanded, prepare, share_gram, warn_if_unfinished
from gnorm.solvers.attempts import solve_certified
from gnorm.solvers.certify import Certificate, certify, relative_gap, rescaled
from gnorm.solvers.design import Design
from gnorm.solvers.merge import Merged
from gnorm.solvers.problem import Point, Problem
from gnorm.solvers.solution import NotSeparableError, Solution, Status
from gnorm.solvers.validation import check_options, check_samples, check_unit_features

__all__ = [
    "NormPath",
    "Saturation",
    "check_Cs",
    "gln_norm_path",
    "least_C",
    "near_to",
    "saturation",
    "solve_path",
]

_FARTHEST = 5.0  # times as large a C at most has a solution that is a good start
_VANISHING = 1e-13  # length of a sum of features, relative to those of its terms, that is rounding
_TIED = 1e-9  # relative difference of lengths below which kernels count as equally long
_BOUNDARY = 1e-6  # share of a bound from which a coefficient counts as at it
_SATURATED = {True: 1e-9, False: 1e-4}  # gap at the saturated end, of affine losses and of others


@dataclass(frozen=True, eq=False)
class NormPath:
    """Predictors over C.

    Attributes
    ----------
    Cs : ndarray of shape (n_Cs,)
        Weights of the loss, increasing; the last may be infinite.
    solutions : tuple of Solution
        One for each, with its certificate.
    least_C : float
        :math:`C_0`, up to which the predictor is C times a fixed one; infinite if the classes
        coincide in every unit, so that the best predictor is zero for every C.
    seconds : float
        Wall-clock time of the whole path in seconds.
    """

    Cs: np.ndarray
    solutions: tuple[Solution, ...]
    least_C: float
    seconds: float


def gln_norm_path(
    X: Any,
    y: ArrayLike,
    activations: ArrayLike | OpenContexts,
    Cs: ArrayLike | None = None,
    *,
    norm: str | Norm | None = None,
    unit_features: ArrayLike | None = None,
    loss: str | Loss = "hinge",
    n_Cs: int = 50,
    eps: float = 1e-4,
    method: str = "auto",
    tol: float = 1e-4,
    max_iter: int | None = None,
    memory_limit: float | None = None,
    sample_weight: ArrayLike | None = None,
    verbose: int = 0,
) -> NormPath:
    r"""Predictors of least norm and loss for many C, each started from the next larger C.

    The problem for each C is that of :func:`gnorm.solve`, and so is the certificate. Inputs, gates
    and their Gram matrix are shared. No iteration is spent on exact zeros alone: at the same gap a
    solution may have more support than that of :func:`gnorm.solve`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs. There is no intercept: append a constant feature to have one.
    y : array-like of shape (n_samples,)
        Targets; labels -1 and 1, both present, for a margin loss.
    activations : array-like of bool, shape (n_samples, n_units, n_contexts)
        Gates of the inputs, see :mod:`gnorm.gates`.
    Cs : array-like of shape (n_Cs,), default=None
        Weights of the loss, positive, in any order, ``inf`` for the hard margin. None makes a
        geometric grid from :math:`C_0`, below which nothing changes but the length of the
        predictor. With the hinge it goes up to the C from which on the predictor is that of the
        hard margin, with ``inf`` in its place; with another loss, or if the data are not
        separable, up to ``C_0 / eps``.
    norm, unit_features, loss : default=None, None, "hinge"
        See :func:`gnorm.solve`.
    n_Cs : int, default=50
        Length of that grid, at least 2.
    eps : float, default=1e-4
        Least over largest C of that grid where it does not end at the hard margin.
    method : {"auto", "interior-point", "working-set", "primal", "clarabel", "scs"}, default="auto"
        See :func:`gnorm.solve`. The first two start from the solution for a larger C, and "primal"
        does with the squared error; the others start anew.
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
    loss = get_loss(loss)
    check_options(tol, max_iter, memory_limit)
    if Cs is None:
        check_scalar(n_Cs, "n_Cs", Integral, min_val=2)
        if not (isinstance(eps, Real) and 0 < eps < 1):
            raise ValueError(f"expected eps between 0 and 1, got {eps!r}")
    else:
        Cs = check_Cs(Cs)
        if np.isinf(Cs[-1]) and not loss.allows_infinite_C:
            raise ValueError(f"expected finite Cs for the loss {loss.name!r}, got inf")
    X, targets, gates, weight = check_samples(X, y, activations, loss, 1.0, sample_weight)
    loss = loss.fitted_to(targets[weight > 0])
    options: dict[str, Any] = {"method": method, "tol": tol, "max_iter": max_iter}
    mask = check_unit_features(unit_features, gates.shape[1], X.shape[1])
    design, merged = prepare(X, targets, gates, weight, norm, mask)
    at_one = Problem(design, loss, targets[merged.rows], merged.weight)
    options["memory_limit"] = share_gram(design, at_one, method, memory_limit)
    end = saturation(at_one)
    hard: tuple[Certificate, str] | None = None
    if Cs is None:
        grid, hard = _default_grid(at_one, end, n_Cs, eps, options)
    else:
        grid = Cs
    solutions: list[Solution] = []
    path = solve_path(design, merged, targets, loss, grid, end=end, hard=hard, **options)
    try:
        for solution in path:
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


def _print_line(C: float, solution: Solution) -> None:
    print(
        f"C {C:9.3e}  norm {solution.norm:9.3e}  gap {solution.duality_gap:7.1e}  "
        f"support {len(solution.support)}  {solution.n_iter} iterations, {solution.seconds:.3f} s"
    )


def check_Cs(Cs: ArrayLike) -> np.ndarray:
    """Return the distinct Cs in increasing order; ValueError unless all are positive."""
    grid = as_numbers(Cs, "Cs")
    if grid.ndim != 1 or len(grid) == 0:
        raise ValueError(f"expected Cs of shape (n_Cs,), not empty, got shape {grid.shape}")
    if not np.all(grid > 0):  # catches NaN as well
        raise ValueError(f"expected Cs > 0, got {np.min(grid)}")
    return np.unique(grid)


# -- the saturated end ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Saturation:
    r"""The end of the path at which the predictor is C times a fixed one.

    Attributes
    ----------
    C : float
        The largest such C, :math:`C_0`; infinite if the predictor is zero for every C.
    coef : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Dual coefficients at C = 1.
    weights : ndarray of shape (n_kernels,)
        :math:`\mu`, the share of each kernel.
    zeta : ndarray, default=None
        Weights at C = 1 under a norm without kernels.
    """

    C: float
    coef: np.ndarray
    weights: np.ndarray
    zeta: np.ndarray | None = None

    def point(self, C: float) -> Point:
        """The pair of points at a C."""
        coef = C * self.coef
        primal = (coef, self.weights) if self.zeta is None else C * self.zeta
        return Point(coef, primal, Status.OPTIMAL, 0)


def least_C(design: Design[Any], merged: Merged, y: np.ndarray, loss: Loss) -> float:
    """Least C worth solving for, :attr:`Saturation.C` of the distinct samples."""
    return saturation(Problem(design, loss, y[merged.rows], merged.weight)).C


def saturation(problem: Problem) -> Saturation:
    r"""Find the largest C at which the predictor is C times a fixed one.

    Parameters
    ----------
    problem : Problem
        The problem at C = 1, with finite weights.

    Returns
    -------
    Saturation
        :math:`C_0` and the predictor, up to its length.
    """
    design = problem.design
    coef, zeta = problem.steepest, None
    sums = design.sums(coef)
    lengths = design.dual_norms(sums)
    n_kernels, longest = len(lengths), float(np.max(lengths))
    if longest <= _VANISHING * design.max_feature_norm * float(np.sum(np.abs(coef))):
        return Saturation(np.inf, coef, np.full(n_kernels, 1.0 / n_kernels))
    if isinstance(design.norm, UnitNorm):
        products = design.products_of(sums)
        weights = np.zeros(n_kernels)
        tied = np.flatnonzero(lengths >= (1.0 - _TIED) * longest)
        if len(tied) == 1:
            weights[tied] = 1.0
        else:
            aligned = np.sign(coef)[..., None] * products[..., tied]
            weights[tied] = _least_maximum(aligned.reshape(-1, len(tied)))
        outputs = products @ weights
    else:
        point = design.norm.extreme_point(design.of_units(sums))
        weights, zeta = np.ones(1), longest * point.reshape(sums.shape)
        outputs = design.decision_values(zeta)
    return Saturation(_end_of(problem, coef, outputs, longest), coef, weights, zeta)


def _end_of(problem: Problem, coef: np.ndarray, outputs: np.ndarray, longest: float) -> float:
    """Largest C of a fixed predictor, in closed form for an exact penalty.

    Where every loss has a kink at 0 no coefficients are the steepest, and the predictor of those at
    hand only says of which size the largest C is.
    """
    if problem.loss.is_exact_penalty:
        # their mean is the square of the largest dual norm: the largest is positive
        return 1.0 / float(np.max(problem.y * outputs))
    if not np.any(problem.loss.affine_depth(problem.y, problem.zero_outputs)):
        return 1.0 / float(np.max(np.abs(outputs)))
    return _largest_C(problem, coef, outputs, longest)


def _largest_C(problem: Problem, coef: np.ndarray, outputs: np.ndarray, length: float) -> float:
    """Largest C up to which the fixed predictor and coefficients meet a gap, by bisection.

    At a gap of zero it is the closed form of the hinge, and of curved losses there is none. The
    values are those of the pair as it is: their best multiples would hide that it is left behind.
    """
    loss, y = problem.loss, problem.y
    most = _SATURATED[loss.is_piecewise_linear]

    def is_met(log_C: float) -> bool:
        C = float(np.exp(log_C))
        weight = C * problem.C
        norm = C * length
        primal = 0.5 * norm**2 + float(np.sum(loss.value(y, C * outputs, weight)))
        dual = -0.5 * norm**2 - float(np.sum(loss.conjugate(y, C * coef, weight)))
        return relative_gap(primal, dual) <= most

    natural = problem.output_scale / float(np.max(np.abs(outputs)))
    low, high = np.log(natural) - 60.0, np.log(natural) + 5.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if is_met(middle) else (low, middle)
    return float(np.exp(low))


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
    at_one: Problem, end: Saturation, n_Cs: int, eps: float, options: dict[str, Any]
) -> tuple[np.ndarray, tuple[Certificate, str] | None]:
    """Grid from the saturated end to the hard margin, and the solution of the latter."""
    if not np.isfinite(end.C):
        raise ValueError(
            "expected a unit in which the classes or targets do not coincide, got a best predictor "
            "of zero for every C; pass Cs to solve for them nevertheless"
        )
    to_eps = np.geomspace(end.C, end.C / eps, n_Cs)
    if not at_one.loss.is_exact_penalty:
        return to_eps, None
    try:
        infinite = np.full(len(at_one.y), np.inf)
        hard, method, _ = solve_certified(_at(at_one, infinite), None, **options)
    except NotSeparableError:
        return to_eps, None
    if hard.point.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    largest = _free_from(at_one, hard)
    if largest <= (1 + _BOUNDARY) * end.C:  # there is nothing between the two ends
        return np.array([end.C, np.inf]), (hard, method)
    grid = np.geomspace(end.C, largest, n_Cs)
    grid[-1] = np.inf
    return grid, (hard, method)


def _free_from(at_one: Problem, certificate: Certificate) -> float:
    """Least C at which no sample of an exact penalty is beyond its bound: solved up to infinity."""
    return float(np.max(np.abs(certificate.dual_coef) / at_one.C))


def _at(at_one: Problem, C: np.ndarray) -> Problem:
    """The problem with other weights, and the same typical outputs."""
    return Problem(at_one.design, at_one.loss, at_one.y, C, at_one)


# -- from one C to the next ----------------------------------------------------------------------


def solve_path(
    design: Design[Any],
    merged: Merged,
    y: np.ndarray,
    loss: Loss,
    Cs: Sequence[float] | np.ndarray,
    *,
    end: Saturation | None = None,
    hard: tuple[Certificate, str] | None = None,
    tol: float,
    **options: Any,
) -> Iterator[Solution]:
    """Solve on the distinct samples for each C, from the largest down, and report on all.

    Parameters
    ----------
    design : Design
        Geometry of the distinct samples.
    merged : Merged
        How the samples map to the distinct ones, with their weights.
    y : ndarray of shape (n_samples,)
        Targets of all samples.
    loss : Loss
        The loss.
    Cs : sequence of float
        In increasing order.
    end : Saturation, default=None
        The saturated end, if it is known.
    hard : tuple of (Certificate, str), default=None
        Solution for C = inf on the distinct samples and its method, if they are known.
    tol : float
        Relative duality gap at which a problem counts as solved.
    **options
        Further options of :func:`gnorm.solve`.

    Yields
    ------
    Solution
        The solution for each C, that of the largest first.
    """
    at_one = Problem(design, loss, y[merged.rows], merged.weight)
    follower = _Follower(at_one, merged, end or saturation(at_one), tol, options)
    for C in map(float, reversed(Cs)):
        start = time.perf_counter()
        try:
            certificate, method = follower.at(C, hard)
        except NotSeparableError as error:
            raise NotSeparableError(merged.expand(error.certificate), error.residual) from None
        seconds = time.perf_counter() - start
        yield expanded(certificate, design, merged, y, loss, C, method, tol, seconds)


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known at one C, the least that it is the solution for."""

    C: float
    problem: Problem
    near: Near
    certificate: Certificate
    method: str


class _Follower:
    """Goes down the path, and knows the last two places."""

    def __init__(
        self, at_one: Problem, merged: Merged, end: Saturation, tol: float, options: dict[str, Any]
    ) -> None:
        self.at_one, self.merged, self.end, self.tol = at_one, merged, end, tol
        self.options = options | {"tol": tol}
        self.pinned_sums = PinnedSums()
        self.known: list[_Known] = []

    def at(self, C: float, hard: tuple[Certificate, str] | None) -> tuple[Certificate, str]:
        """Solve on the distinct samples for a C that is not more than the ones before."""
        problem = _at(self.at_one, self.merged.times(C))
        if np.isfinite(C) and C <= self.end.C:
            certificate = certify(problem, self.end.point(C), self.tol)
            if certificate.gap <= self.tol:
                return certificate, "closed form"
        if self.known and (same := self._same(problem)) is not None:
            return same, self.known[-1].method
        if np.isinf(C) and hard is not None:
            certificate, method = hard
        else:
            near = self._near(C, problem)
            certificate, method, _ = solve_certified(problem, near, **self.options)
        is_exact = problem.loss.is_exact_penalty
        least = min(C, _free_from(self.at_one, certificate)) if is_exact else C
        near = replace(near_to(problem, certificate), pinned_sums=self.pinned_sums)
        self.known = [
            *self.known[-1:],
            _Known(least, problem, near, certificate, method),
        ]
        return certificate, method

    def _same(self, problem: Problem) -> Certificate | None:
        """Return the solution before for smaller weights, if no sample is at or beyond its bound.

        It is the same, but an output that is short of its kink by a rounding error costs less.
        """
        certificate = self.known[-1].certificate
        if not problem.loss.is_exact_penalty or _at_bound(problem, certificate.dual_coef).any():
            return None
        same = rescaled(problem, certificate)
        if same.gap > self.tol:
            return None
        return same.ended(Status.OPTIMAL, 0)

    def _near(self, C: float, problem: Problem) -> Near | None:
        """Where to start from what is known; None if that is too far away.

        On the line through the last two solutions in log C.
        """
        if not self.known or self.known[-1].C > _FARTHEST * C:
            return None
        *earlier, last = self.known
        b, mu, outputs = last.near.dual_coef, last.near.weights, last.near.outputs
        ahead = b
        if earlier and earlier[-1].C > last.C > C:
            before = earlier[-1]
            share = float(np.log(last.C / C) / np.log(before.C / last.C))
            ahead = b + share * (b - before.near.dual_coef)
            mu = np.maximum(mu + share * (mu - before.near.weights), 0.0)
            outputs = outputs + share * (outputs - before.near.outputs)
        if problem.n_outputs > 1:  # the domain is no box: the point that the outputs name
            b = -problem.loss.derivative(problem.y, outputs, problem.C)
        else:
            b = _in_domain(problem, last.problem, b, ahead)
        return Near(b, mu / np.sum(mu), outputs, self.pinned_sums)


def _in_domain(problem: Problem, last: Problem, b: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """Coefficients ahead of those of the last problem; a sample at its bound goes with it."""
    if problem.loss.is_margin:
        ahead = np.where(ahead * b > 0, ahead, 0.0)
    inside = np.clip(ahead, *problem.loss.domain(problem.y, problem.C))
    return np.where(_at_bound(last, b), problem.C / last.C * b, inside)


def _at_bound(problem: Problem, b: np.ndarray) -> np.ndarray:
    """Whether coefficients are at or beyond a finite bound that is not 0, but for rounding."""
    lower, upper = problem.loss.domain(problem.y, problem.C)
    slack = 1.0 - _BOUNDARY
    is_at: np.ndarray = ((upper > 0) & (b >= slack * upper)) | ((lower < 0) & (b <= slack * lower))
    return is_at & np.isfinite(problem.C)


def near_to(problem: Problem, certificate: Certificate) -> Near:
    """Start for similar problems from a solution on the distinct samples."""
    norm, zeta = problem.design.norm, problem.design.of_units(certificate.zeta)
    # methods for norms without kernels begin anew
    lengths = norm.unit_norms(zeta) if isinstance(norm, UnitNorm) else np.ones(1)
    total = float(np.sum(lengths))
    n_kernels = len(lengths)
    weights = lengths / total if total > 0 else np.full(n_kernels, 1.0 / n_kernels)
    return Near(certificate.dual_coef, weights, certificate.outputs)
