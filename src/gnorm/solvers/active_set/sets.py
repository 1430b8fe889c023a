r"""Which samples are variables, and which stay at a value that their outputs name.

Where a loss is affine in the output, the dual coefficient is known: 0 for a sample beyond the
margin, a bound for one well inside. Samples that are well within such a piece are *pinned* to its
value and leave the problem as one linear term; the others are *free*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gnorm.solvers.interior.coefficients import Coefficients
from gnorm.solvers.interior.samples import Pinned
from gnorm.solvers.interior.state import State
from gnorm.solvers.problem import Point, Problem

__all__ = ["PinnedSums", "Sets", "depth_at", "exchanged", "transferred"]

_FEWEST = 100  # least samples of a set
_WIDTH = 0.05  # distance from the end of an affine piece up to which a sample is free
_LEAST_GROWTH = 1000  # samples that may enter a set at once, however small it is


@dataclass(frozen=True, eq=False)
class Sets:
    """Where the samples are.

    Attributes
    ----------
    is_free : ndarray of bool, shape (n_samples,)
        Which are variables.
    pinned : ndarray of shape (n_samples,)
        Dual coefficients of those that are not; 0 for the free ones.
    """

    is_free: np.ndarray
    pinned: np.ndarray

    @classmethod
    def of_free(cls, free: np.ndarray, n_samples: int) -> Sets:
        """Return the sets with these samples free and all others pinned to 0."""
        is_free = np.zeros(n_samples, dtype=bool)
        is_free[free] = True
        return cls(is_free, np.zeros(n_samples))

    @property
    def free(self) -> np.ndarray:
        """Indices of the free samples, sorted."""
        return np.flatnonzero(self.is_free)

    def with_some_free(self, depth: np.ndarray) -> Sets:
        """Return the sets with at least the few samples nearest to the end of their piece free."""
        if np.count_nonzero(self.is_free) >= _FEWEST:
            return self
        is_free = self.is_free.copy()
        is_free[np.argsort(depth, kind="stable")[:_FEWEST]] = True
        return Sets(is_free, np.where(is_free, 0.0, self.pinned))

    def on_all(self, point: Point) -> Point:
        """Carry a point of the free samples over to all."""

        def scattered(free: np.ndarray) -> np.ndarray:
            coef = self.pinned.copy()
            coef[self.is_free] = free
            return coef

        assert isinstance(point.primal, tuple)
        coef, shares = point.primal
        return replace(
            point, dual_coef=scattered(point.dual_coef), primal=(scattered(coef), shares)
        )


class PinnedSums:
    """The pinned samples as a linear term, summed up from one set to the next.

    Along a path of penalties most of them stay, and their coefficients go along with C: only what
    changed beyond a common factor is summed anew. It is no frozen value, as it goes on from where
    the last solve of a path left it, and a solve returns a certificate: points over all samples,
    which do not know who was pinned, nor should in other units or by another method.
    """

    def __init__(self) -> None:
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def of(self, problem: Problem, sets: Sets, part: Problem) -> Pinned | None:
        """Return what the pinned samples are to the problem of the free ones, None if nothing."""
        coef = sets.pinned
        if not coef.any():
            return None
        design = problem.design
        if self._last is None:
            sums = design.sums(coef)
        else:
            last, sums = self._last
            both = (coef != 0) & (last != 0)
            ratio = float(np.median(coef[both] / last[both])) if both.any() else 0.0
            change = coef - ratio * last
            change[np.abs(change) <= 1e-14 * np.abs(coef)] = 0.0  # the same but for rounding
            sums = ratio * sums + design.sums(change)
        self._last = coef, sums
        conjugate = problem.loss.conjugate(problem.y, coef, problem.C)
        return Pinned(
            pull=part.design.products_of(sums),
            squares=design.dual_norms(sums) ** 2,
            conjugate=float(np.sum(conjugate[coef != 0])),
        )


def depth_at(problem: Problem, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How deep samples are in an affine piece, in units of the outputs, and its coefficients."""
    depth = problem.loss.affine_depth(problem.y, outputs) / problem.output_scale
    named = -problem.loss.derivative(problem.y, outputs, problem.C)
    return depth, np.where(depth > 0, named, 0.0)


def exchanged(
    problem: Problem, sets: Sets, outputs: np.ndarray, state: State | None, scale: float
) -> tuple[Sets, int]:
    """Sets for the outputs at hand, and how many pinned samples were wrong.

    Free samples leave by the state that they are in; without one they stay.
    """
    depth, named = depth_at(problem, outputs)
    distance = np.where(sets.is_free, np.inf, np.where(named == sets.pinned, depth, -np.abs(depth)))
    most = max(int(np.count_nonzero(sets.is_free)), _LEAST_GROWTH)
    entering = np.flatnonzero(distance < _WIDTH)
    if len(entering) > most:  # the worst first
        entering = entering[np.argsort(distance[entering], kind="stable")[:most]]
    is_free, pinned = sets.is_free.copy(), sets.pinned.copy()
    if state is not None:
        free = sets.free
        is_leaving = depth[free] > _WIDTH
        is_leaving &= _points_at(Coefficients(problem, scale, free), state, named[free])
        leaving = free[is_leaving]
        is_free[leaving] = False
        pinned[leaving] = named[leaving]
    is_free[entering] = True
    pinned[entering] = 0.0
    n_missed = int(np.count_nonzero(distance < 0))
    return Sets(is_free, pinned).with_some_free(depth), n_missed


def _points_at(variables: Coefficients, state: State, named: np.ndarray) -> np.ndarray:
    """Whether a state drives samples to the coefficients that are named."""
    is_near_lower, is_near_upper = np.zeros((2, len(state.x)), dtype=bool)
    is_near_lower[variables.at_lower] = state.p < state.z
    is_near_upper[variables.at_upper] = state.v < state.u
    parts = variables.split(named / variables.scale)
    is_at = np.where(parts == variables.lower, is_near_lower, is_near_upper)
    return np.all(is_at.reshape(len(variables.signs), -1), axis=0)


def transferred(
    problem: Problem,
    scale: float,
    state: State,
    old: Sets,
    new: Sets,
    outputs: np.ndarray,
    most: float,
) -> State:
    """Carry a state over to other sets, with those that enter at its products.

    They come in by a length of at most `most` in units of the mean coefficient of the state.
    """
    whole = Coefficients(problem, scale)
    coef = old.pinned / scale
    sigma, longest = state.complementarity(), most * float(np.mean(np.abs(state.x)))
    x = whole.split(coef)
    with np.errstate(divide="ignore"):  # out of range there is no state, see State.is_interior
        all_parts = whole.entered(x, outputs / problem.output_scale, sigma, longest)
    n_parts = len(whole.signs)
    before = Coefficients(problem, scale, old.free)
    rows = np.concatenate([old.free + k * len(coef) for k in range(n_parts)])
    all_parts["x"][rows] = state.x
    for names, at in ((("p", "z"), before.at_lower), (("v", "u"), before.at_upper)):
        for name in names:
            all_parts[name][rows[at]] = getattr(state, name)
    after = Coefficients(problem, scale, new.free)
    rows = np.concatenate([new.free + k * len(coef) for k in range(n_parts)])
    parts = after.with_multipliers({name: values[rows] for name, values in all_parts.items()})
    return State(**parts, mu=state.mu, s=state.s, t=state.t)
