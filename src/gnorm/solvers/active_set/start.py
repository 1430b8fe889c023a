r"""Where the active set begins: cold by screening, or warm from the solution of a similar problem.

A solution is a bad start as it is: it lies on the boundary, from which an interior point can hardly
move. But it says which samples are free, how long the coefficients are and which kernels are
active, and so where on the central path one can enter: with :math:`\sigma` chosen as large as the
solutions are likely to differ, coefficients, multipliers and slacks are set apart from their bounds
until their products are :math:`\sigma` [1]_.

References
----------
.. [1] E. A. Yildirim and S. J. Wright, "Warm-start strategies in interior-point methods for linear
   programming", SIAM Journal on Optimization 12(3), 2002.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from gnorm.solvers.active_set.screening import screen
from gnorm.solvers.active_set.sets import PinnedSums, Sets, depth_at
from gnorm.solvers.interior import solve_by_samples
from gnorm.solvers.interior.samples import SampleSystem
from gnorm.solvers.interior.state import State
from gnorm.solvers.memory import DOUBLE_BYTES, GUESS_BYTES, Memory
from gnorm.solvers.problem import Problem
from gnorm.solvers.run import Run

__all__ = ["ALL", "Near", "Start", "cold_start", "everything", "may_be_all", "warm_start"]

ALL = 4000  # samples up to which all are taken where choosing fails
_DEEP = 0.15  # depth in an affine piece from which a sample is pinned, by screening
_DEEP_NEAR = 0.1  # ... and by a similar solution
_LOOSE = 1e-2  # gap to which a random part of the samples is solved
_MOST_ITERATIONS = 30  # ... and iterations for that
_MOST = 0.8  # share of the samples from which on all are taken
_SIGMA = 0.01  # gap at which to enter the central path, relative to the sum of the coefficients
_BOUNDARY = 1e-6  # share of a coefficient up to which it counts as equal to another


@dataclass(frozen=True, eq=False)
class Near:
    r"""A solution of a similar problem, where a warm start begins.

    Attributes
    ----------
    dual_coef : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Dual point :math:`b`, not necessarily in the domain.
    weights : ndarray of shape (n_kernels,)
        :math:`\mu_h`, the share of each kernel in the norm.
    outputs : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        :math:`f(x_n)`.
    pinned_sums : PinnedSums
        What is known of sums over pinned samples.
    """

    dual_coef: np.ndarray
    weights: np.ndarray
    outputs: np.ndarray
    pinned_sums: PinnedSums = field(default_factory=PinnedSums)


@dataclass(frozen=True, eq=False)
class Start:
    """How the active set begins.

    Attributes
    ----------
    sets : Sets
        The first sets.
    scale : float or None
        Unit of the dual coefficients; None for the natural one.
    state : callable
        From the Newton system of these sets to where the path is entered.
    is_certain : bool
        Whether the sets need no scan, since they hold all samples.
    """

    sets: Sets
    scale: float | None
    state: Callable[[SampleSystem], State]
    is_certain: bool = False


def everything(problem: Problem) -> Start:
    """Begin with all samples."""
    n_samples = len(problem.y)
    sets = Sets.of_free(np.arange(n_samples), n_samples)
    return Start(sets, None, _from_nothing, is_certain=True)


def _from_nothing(system: SampleSystem) -> State:
    return system.start()


def may_be_all(problem: Problem, memory: Memory) -> bool:
    """Whether all samples can be taken where choosing fails."""
    return len(problem.y) <= min(ALL, memory.most(DOUBLE_BYTES))


def cold_start(problem: Problem, memory: Memory) -> Start:
    """Choose the samples near the ends of their pieces by screening, where that is known.

    Without a guess all samples are taken; of very many a random part is solved first.
    """
    n_samples, can_be_all = len(problem.y), may_be_all(problem, memory)
    guess = None
    if problem.loss.is_piecewise_linear:
        guess = screen(problem, memory.most(GUESS_BYTES))
    if guess is None:
        is_affine = np.isfinite(problem.loss.affine_depth(problem.y, problem.y)).all()
        if can_be_all or not is_affine:
            return everything(problem)
        return warm_start(problem, _near_by_some(problem)) or everything(problem)
    depth, named = depth_at(problem, guess.outputs)
    # Free whatever its depth is a coefficient that the guess has not where its output is: a sample
    # on the wrong side may be one that was missed.
    is_there = np.isfinite(named) & (np.abs(guess.coef - named) <= _BOUNDARY * np.abs(named))
    is_pinned = (depth >= _DEEP) & is_there
    sets = Sets(~is_pinned, np.where(is_pinned, named, 0.0)).with_some_free(depth)
    if can_be_all and np.count_nonzero(sets.is_free) > _MOST * n_samples:
        # a ridge regression is the better start of so many
        return Start(Sets.of_free(np.arange(n_samples), n_samples), None, _from_nothing)
    coef = guess.coef[sets.free]
    typical = float(np.mean(np.abs(coef)))
    if not typical > 0:
        return Start(sets, None, _from_nothing)
    return Start(sets, typical, lambda system: system.start(coef))


def _near_by_some(problem: Problem) -> Near:
    """Loose solution of a random part of the samples, each of which stands for several."""
    design, n_samples = problem.design, len(problem.y)
    some = np.sort(np.random.default_rng(0).permutation(n_samples)[: ALL // 2])
    share = len(some) / n_samples
    part = problem.restricted(some)
    part = replace(part, C=part.C / share)
    found = solve_by_samples(part, Run(_LOOSE, _MOST_ITERATIONS))
    outputs = design.rough_values(found.zeta)
    outputs[some] = found.outputs
    depth, named = depth_at(problem, outputs)
    coef = np.where(depth > 0, named, 0.0)
    coef[some] = share * found.dual_coef
    lengths = design.norm.unit_norms(design.of_units(found.zeta))
    return Near(coef, lengths / np.sum(lengths), outputs)


def warm_start(problem: Problem, near: Near) -> Start | None:
    """Begin from a similar solution; None if that has no coefficients to speak of."""
    coef = np.clip(near.dual_coef, *problem.loss.domain(problem.y, problem.C))
    typical = float(np.max(np.abs(coef), initial=0.0))
    depth, named = depth_at(problem, near.outputs)
    is_there = np.abs(coef - named) <= _BOUNDARY * np.where(named == 0, typical, np.abs(named))
    is_pinned = (depth >= _DEEP_NEAR) & is_there
    sets = Sets(~is_pinned, np.where(is_pinned, named, 0.0)).with_some_free(depth)
    scale = float(np.mean(np.abs(coef[sets.free])))
    if not scale > 0:
        return None

    def state(system: SampleSystem) -> State:
        total = float(np.sum(np.abs(coef))) / scale
        sigma = _SIGMA * total / (2 * np.count_nonzero(sets.is_free) + len(near.weights))
        x = system.coefficients.split(coef[sets.free] / scale)
        outputs = near.outputs[sets.free] / problem.output_scale
        with np.errstate(all="ignore"):  # out of range: no start
            return system.entered(x, outputs, near.weights, sigma)

    return Start(sets, scale, state)
