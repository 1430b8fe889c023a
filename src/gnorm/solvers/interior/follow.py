r"""The interior point: the central path followed to its end, whatever solves the Newton systems.

The conditions of optimality, relaxed by :math:`\sigma > 0` in the products of the complementary
pairs, are followed to :math:`\sigma = 0` by Newton steps with Mehrotra's predictor and corrector
[1]_ and the multiple centrality corrections of Gondzio [2]_, [3]_. Every iterate carries its
certificate, on which alone the iteration ends.

References
----------
.. [1] S. Mehrotra, "On the implementation of a primal-dual interior point method", SIAM Journal on
   Optimization 2(4), 1992.
.. [2] J. Gondzio, "Multiple centrality corrections in a primal-dual method for linear programming",
   Computational Optimization and Applications 6, 1996.
.. [3] M. Colombo and J. Gondzio, "Further development of multiple centrality correctors for
   interior point methods", Computational Optimization and Applications 41, 2008.
"""

from __future__ import annotations

import numpy as np

from gnorm.solvers.certify import relative_gap
from gnorm.solvers.interior.state import Breakdown, Products, State
from gnorm.solvers.interior.system import Dual, NewtonSystem, Primal
from gnorm.solvers.problem import Point
from gnorm.solvers.run import Run
from gnorm.solvers.separability import PROOF, raise_if_not_separable
from gnorm.solvers.solution import Status

__all__ = ["CentralPath"]

_STEP_SHARE = 0.99  # of the way to the boundary
_CORRECTIONS = 3  # most corrections of a step for the sake of its length
_LONG_STEP = 0.9  # from which none is needed
_AIM = 0.3  # length that each tries to add
_LEAST_GAIN = 0.01  # ... and that is worth another
_NEIGHBOURHOOD = 10.0  # factor within which the products of the pairs are to stay
_BLENDS = 4  # lengths of a correction that are tried
_BLOCKED = 0.5  # step to the end of an open domain below which its slopes are taken anew
_RETRIES = 3  # ... at most so often
# Step that all others take even if some sample comes to an open end before: that one stops short
# by itself. Outputs far beyond what a probability can express would hold up the path for good.
_LEAST_TO_END = 0.1
_FEW = 500  # samples up to which exact zeros are worth iterations of their own
# Relative gap from which steps are too small for their rounding to matter, and the end is near.
_ANCHOR = 1e-3
_THRESHOLDS = (1.0, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 0.0)  # up to which variables go to their bounds
_ROUNDING_ITERATIONS = 3  # to spend beyond the tolerance for the sake of exact zeros
_PATIENCE = 25  # iterations without a better gap before the solve counts as stalled
_PATIENCE_ROUGH = 3  # ... where more digits may help
_PATIENCE_LOOSE = 8  # ... where the path can be followed by other means
_PROGRESS = 0.6  # factor of the gap or of sigma that counts as progress where digits are few
_SPARE = 0.25  # of the limit of memory, of which the matrices take the most
_RAY = 1e-6  # separability residual at which a certificate is looked for
_WEAK_PROOF = 1e-10  # ... when the iteration can make no more progress


class CentralPath:
    """An iteration along the central path that can stop at a gap and go on from there.

    Parameters
    ----------
    system : NewtonSystem
        The Newton system of the problem.
    state : State
        Where to start.
    run : Run
        What may be spent; its iterations are counted on.

    Attributes
    ----------
    state : State
        Where the iteration is.
    primal, dual : Primal, Dual
        The best points so far; they need not come together.
    """

    def __init__(self, system: NewtonSystem, state: State, run: Run) -> None:
        self.system = system
        self.state = state
        self.run = run
        self.primal: Primal = system.primal(state)
        self.dual: Dual = system.dual(state)
        self._is_anchored = not system.is_rough
        self._ray, self._next_ray = np.inf, _RAY
        self._improved_at = self._progressed_at = run.n_iter
        self._least = (self.gap, state.complementarity())

    @property
    def gap(self) -> float:
        """Relative gap of the best points."""
        return relative_gap(self.primal.value, self.dual.value)

    def point(self, status: Status) -> Point:
        """Return the best points as those of a method."""
        return Point(self.dual.coef, self.system.recovered(self.primal), status, self.run.n_iter)

    @np.errstate(over="ignore", invalid="ignore")  # a step out of range is a breakdown
    def follow(
        self,
        tol: float,
        *,
        is_last: bool = True,
        n_rounding: int = _ROUNDING_ITERATIONS,
        most: float = np.inf,
    ) -> Status:
        """Iterate until the gap is met, or no further.

        Each iteration is: stop if the gap is met, look for a proof of inseparability, give up or
        refine steps after a stall, factorise, step, evaluate. A stall in few digits is seen soon,
        also where it is another system that has more.

        Parameters
        ----------
        tol : float
            Relative duality gap over the samples of the system.
        is_last : bool, default=True
            Whether variables that the path drives to a bound are set to it at the end. Without,
            the path stops where it is, to be followed further, and it gives up sooner.
        n_rounding : int, default=3
            Most iterations beyond the tolerance to spend on exact zeros, on few samples.
        most : float, default=inf
            Most iterations of this call, where the run has more of them.

        Returns
        -------
        Status
            How it ended.

        Raises
        ------
        NotSeparableError
            If hard-margin samples cannot be separated.
        """
        spare = n_rounding if len(self.system.problem.y) <= _FEW else 0
        step, first = 0.0, self.run.n_iter
        while True:
            self._report(step)
            if self.gap <= tol:
                if not is_last or self.run.n_iter == first:  # no step has shown a face yet
                    return Status.OPTIMAL
                if self._is_rounded(tol, spare):
                    return Status.OPTIMAL
                spare -= 1
            self._look_for_proof()
            if self.run.is_spent or self.run.n_iter - first >= most:
                return self._ended(Status.MAX_ITER, tol)
            if self._has_stalled(is_last) and not self.escalate():
                return self._ended(Status.STALLED, tol)
            while not self.system.factor(self.state):
                if not self.escalate():
                    return self._ended(Status.STALLED, tol)
            self.system.sharpen(self.gap, tol)
            try:
                step = self._advance()
                self._evaluate(is_last)
            except Breakdown:  # the state is the last one, and so are the points
                if not self.escalate():
                    return self._ended(Status.STALLED, tol)

    def _report(self, step: float) -> None:
        if self.run.report is not None:
            self.run.report(self.run.n_iter, self.primal.value, self.dual.value, step)

    # -- checkpoints -----------------------------------------------------------------------------

    @property
    def _spare(self) -> float:
        """Bytes that a proof may take beside the iteration."""
        return _SPARE * self.run.memory_limit

    def _look_for_proof(self) -> None:
        """Try to prove the problem inseparable where the dual point runs off along a ray."""
        self._ray = self.system.ray_residual(self.state)
        if self._ray <= self._next_ray:
            coef = self.system.coefficients.dual_coef(self.state.x)
            raise_if_not_separable(self.system.problem, coef, PROOF, self._spare)
            self._next_ray = self._ray / 10

    def _ended(self, status: Status, tol: float) -> Status:
        if self.gap <= tol:
            return Status.OPTIMAL
        if self._ray <= _RAY:
            coef = self.system.coefficients.dual_coef(self.state.x)
            raise_if_not_separable(self.system.problem, coef, _WEAK_PROOF, self._spare)
        return status

    def _has_stalled(self, is_last: bool) -> bool:
        """Whether too many iterations brought nothing."""
        if self.system.has_more_digits and self.run.n_iter - self._progressed_at > _PATIENCE_ROUGH:
            return True
        patience = _PATIENCE if is_last else _PATIENCE_LOOSE
        return self.run.n_iter - self._improved_at > patience

    def escalate(self) -> bool:
        """Go on in more digits, from the points as they are in these; False if that cannot be."""
        try:
            state = self.system.escalate(self.state)
        except Breakdown:  # out of the range of floats there; the best points stay
            return False
        if state is None:
            return False
        self.state = state
        if self.system.is_rough:
            self.primal, self.dual = self.system.primal(self.state), self.system.dual(self.state)
        self._is_anchored = True
        self._least = (self.gap, self.state.complementarity())
        self._improved_at = self._progressed_at = self.run.n_iter
        return True

    # -- evaluation ------------------------------------------------------------------------------

    def _evaluate(self, is_last: bool) -> None:
        """Evaluate the new state, take over what is better and note when that was."""
        self._update()
        if is_last and not self._is_anchored and self.gap <= _ANCHOR:
            # accurately once; what came before had single precision
            self.system.anchor(self.state)
            self.primal, self.dual = self.system.primal(self.state), self.system.dual(self.state)
            self._is_anchored = True
        gap, sigma = self.gap, self.state.complementarity()
        least_gap, least_sigma = self._least
        # Far out the gap may wait for the path; near its end a falling sigma alone is no progress.
        is_nearer = sigma <= _PROGRESS * least_sigma and not gap <= _ANCHOR
        if gap <= _PROGRESS * least_gap or is_nearer:
            self._progressed_at = self.run.n_iter
            self._least = min(gap, least_gap), min(sigma, least_sigma)

    def _update(self) -> None:
        primal, dual = self.system.primal(self.state), self.system.dual(self.state)
        if primal.value < self.primal.value:
            self.primal, self._improved_at = primal, self.run.n_iter
        # near the optimum the last digits of the dual value go on moving
        if dual.value > self.dual.value + 1e-9 * abs(self.dual.value):
            self._improved_at = self.run.n_iter
        if dual.value > self.dual.value:
            self.dual = dual

    def _is_rounded(self, tol: float, spare: int) -> bool:
        """Round the point; False if an iteration is to be spent on more exact zeros.

        Interior points have none. Rounding to the face they point at shows the support; where that
        costs too much of the gap, go on a little, and in the end, or where an iteration costs more
        than some zeros are worth, round less.
        """
        if spare > 0:
            return self._round(tol, _THRESHOLDS[:1])
        self._round(tol, _THRESHOLDS)
        return True

    def _round(self, tol: float, thresholds: tuple[float, ...]) -> bool:
        """Take the point rounded by the first thresholds at which it meets the gap.

        Only the dual point and the unit weights are rounded: to first order that costs the dual
        value nothing, while the outputs of the primal point would feel every coefficient dropped.
        """
        system, state = self.system, self.state
        primal = system.primal(state)
        for threshold in thresholds:
            dual = system.dual(state, system.coefficients.rounded(state, threshold))
            if relative_gap(primal.value, dual.value) > tol:
                continue
            for share_threshold in thresholds:
                slack = np.minimum(state.s / state.t, share_threshold)
                mu = np.where(state.mu / np.max(state.mu) < slack, 0.0, state.mu)
                rounded = system.primal(state, mu)
                if relative_gap(rounded.value, dual.value) <= tol:
                    self.primal, self.dual = rounded, dual
                    return True
        return False

    # -- steps -----------------------------------------------------------------------------------

    def _advance(self) -> float:
        """Take one predictor-corrector step and return the shorter of its two lengths."""
        system, state = self.system, self.state
        products = state.products()
        sigma = state.complementarity()
        predictor = system.direction(_targets(products, 0.0))
        for _ in range(_RETRIES):
            is_blocked = system.coefficients.barrier_reach(state.x, predictor.x) < _BLOCKED
            if not is_blocked or not system.refactor(predictor):
                break
            predictor = system.direction(_targets(products, 0.0))
        reached = state.moved(predictor, *self._reach(predictor))
        sigma *= (reached.complementarity() / sigma) ** 3
        second_order = tuple(dx * dy for dx, dy in predictor.pairs())
        targets = _minus(_targets(products, sigma), second_order)
        change = system.direction(targets, predictor)
        change, steps = self._lengthened(change, predictor, targets, sigma)
        moved = state.moved(change, *steps)
        moved.x = system.coefficients.kept_inside(state.x, moved.x, _STEP_SHARE)
        settled = system.settled(moved)
        is_finite = np.isfinite(settled.t) and np.isfinite(settled.x).all()
        if not (is_finite and settled.is_interior() and np.isfinite(settled.complementarity())):
            raise Breakdown
        self.state = settled
        self.run.n_iter += 1
        system.note_step(min(steps))
        return min(steps)

    def _reach(self, change: State) -> tuple[float, float]:
        """Longest steps, at most 1, that stay a share of the way off the boundary."""
        primal, dual = self.state.reach(change)
        to_end = self.system.coefficients.barrier_reach(self.state.x, change.x)
        dual = min(dual, max(to_end, _LEAST_TO_END))
        if self.system.is_coupled:
            primal = dual = min(primal, dual)
        return min(1.0, _STEP_SHARE * primal), min(1.0, _STEP_SHARE * dual)

    def _lengthened(
        self, change: State, predictor: State, targets: Products, sigma: float
    ) -> tuple[State, tuple[float, float]]:
        """Correct a step, from the same factor, where its products would stray from the path."""
        steps = self._reach(change)
        for _ in range(_CORRECTIONS):
            if min(steps) >= _LONG_STEP:
                break
            aims = [min(1.0, step + _AIM) for step in steps]
            stray = _excess(self.state.moved(change, *aims).products(), sigma)
            other = self.system.corrected(change, targets, stray, predictor)
            longer, reached = self._blended(change, other)
            if sum(reached) < sum(steps) + _LEAST_GAIN * 2:
                break
            change, steps = longer, reached
            targets = _minus(targets, tuple(-product for product in stray))
        return change, steps

    def _blended(self, change: State, other: State) -> tuple[State, tuple[float, float]]:
        """Go from one change towards another as far as makes the steps longest."""
        shares = np.arange(1, _BLENDS + 1) / _BLENDS
        reach = np.array([self._reach(change.blended(other, share, share)) for share in shares])
        primal, dual = np.argmax(reach, axis=0)
        blended = change.blended(other, float(shares[primal]), float(shares[dual]))
        return blended, (float(reach[primal, 0]), float(reach[dual, 1]))


def _targets(products: Products, sigma: float) -> Products:
    p, v, s = products
    return sigma - p, sigma - v, sigma - s


def _minus(first: Products, second: tuple[np.ndarray, ...]) -> Products:
    p, v, s = (x - y for x, y in zip(first, second, strict=True))
    return p, v, s


def _excess(products: Products, sigma: float) -> Products:
    """What brings the products within a factor of sigma, large ones not at any price."""
    low, high = sigma / _NEIGHBOURHOOD, sigma * _NEIGHBOURHOOD
    p, v, s = (np.maximum(np.clip(p, low, high) - p, -high) for p in products)
    return p, v, s
