r"""The interior point on the samples that matter, certificate over all.

Only the samples at or near the ends of affine pieces of the loss shape the solution, and the
interior point costs the cube of their number. Which they are is guessed, then corrected by the
central path itself: at a loose gap the outputs of all samples are scanned, those that were missed
become free, idle ones are pinned, and the path goes on from where it is. At the end of the path the
certificate over all samples is the last scan: if it finds still more, the path is taken up again at
the loose gap, until the gap over all samples is met.

Newton matrices are in single precision at first, which halves the time and the memory. Where that
does not reach a gap, the path is taken up again in double precision, at the loose gap or, before
there was one, at the start: from where single precision has left it, slacks and products would have
to be set apart first, and steps be short. Where the set is too large for a matrix in double, the
path goes on by conjugate gradients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from gnorm.solvers.active_set.sets import PinnedSums, Sets, depth_at, exchanged, transferred
from gnorm.solvers.active_set.start import (
    Near,
    Start,
    cold_start,
    everything,
    may_be_all,
    warm_start,
)
from gnorm.solvers.certify import Certificate, certify
from gnorm.solvers.design.gram import Precision
from gnorm.solvers.interior import solve_by_samples, solve_near_by_samples
from gnorm.solvers.interior.follow import CentralPath
from gnorm.solvers.interior.samples import SampleSystem
from gnorm.solvers.interior.state import State
from gnorm.solvers.memory import DOUBLE_BYTES, Memory
from gnorm.solvers.problem import Point, Problem
from gnorm.solvers.run import Run
from gnorm.solvers.solution import NotSeparableError, Status

__all__ = ["solve_by_active_set", "solve_near"]

FEW = 400  # samples that are not worth choosing from
_LOOSE = 1e-2  # relative gap at which the outputs of all samples are scanned
_LOOSE_NEAR = 5e-3  # ... after a warm start
_MANY = 0.05  # share of missed samples in a set that is then solved loosely once more
_ROUNDING = 1e-4  # depth up to which a pinned sample may be wrong in single precision
_DOUBLE = 12_000  # samples of a set up to which a factor in double is quicker than refinement
_IDLE = 3  # rounds without an iteration, one after another, by which the sets go in circles
_OUTGROWN = 2.0  # growth of the largest squared norm at which new samples undo the path
_LENGTHS = (10.0, 1.0, 0.1, 0.01)  # at most, of their coefficients, in units of the mean one
_SLACK = 2e-8  # how much further single precision goes, which does not see its error of the gap
_FIRST_ITERATIONS = 15  # most to the loose gap before a warm start counts as a bad one
_ROUNDS_NEAR = 8  # most rounds before it does


class _Phase(Enum):
    """What a round is for."""

    LOOSE = "find the sets, at a loose gap"
    FINAL = "meet the gap, with the sets as they are"


def solve_by_active_set(problem: Problem, run: Run) -> Certificate:
    """Solve on a working set of samples, and certify the result on all.

    Raises
    ------
    NotSeparableError
        If hard-margin samples cannot be separated.
    MemoryError
        If the samples of the set do not fit into the memory allowed.
    """
    # no sample of a loss of several outputs is on an affine piece: all are taken
    if problem.n_outputs > 1 or len(problem.y) <= FEW:
        return solve_by_samples(problem, run)
    memory = Memory(problem, run.memory_limit)
    # What becomes known of the Gram matrix ends with the solve: others of the same design are to
    # come out the same whatever was solved before.
    problem = replace(problem, design=problem.design.copied())
    start = cold_start(problem, memory)
    rounds = _Rounds(problem, run, memory, start, PinnedSums())
    solved = rounds.solve()
    if solved is None:
        rounds = _Rounds(problem, run, memory, everything(problem), PinnedSums(), best=rounds.best)
        solved = rounds.solve()
    assert solved is not None
    return solved


def solve_near(problem: Problem, run: Run, near: Near) -> Certificate | None:
    """Solve from the solution of a similar problem; None if that led nowhere.

    Raises
    ------
    NotSeparableError
        If hard-margin samples cannot be separated.
    """
    if problem.n_outputs > 1:  # all samples are free
        return solve_near_by_samples(problem, run, near.dual_coef, near.weights)
    start = warm_start(problem, near)
    # few samples are known to fit all together
    memory = Memory(problem, run.memory_limit if len(problem.y) > FEW else np.inf)
    if start is None or np.count_nonzero(start.sets.is_free) > memory.most(DOUBLE_BYTES):
        return None
    return _Rounds(problem, run, memory, start, near.pinned_sums, is_warm=True).solve()


@dataclass(frozen=True)
class _Mark:
    """Where the path can be taken up again: a state at the loose gap, and its sets."""

    state: State
    sets: Sets


class _Rounds:
    """The rounds of one solve: follow the path on the sets, scan, exchange.

    Invariant: a round begins at `mark`, the last loose end of the path, with the samples of `sets`
    in place of those of the mark and with `outputs` that say where the new ones are; before the
    first loose end it begins where the start says. From the end of the path new samples would have
    far to go: it is too near the boundary.
    """

    def __init__(
        self,
        problem: Problem,
        run: Run,
        memory: Memory,
        start: Start,
        pinned_sums: PinnedSums,
        *,
        is_warm: bool = False,
        best: Certificate | None = None,
    ) -> None:
        self.problem, self.run, self.memory, self.start = problem, run, memory, start
        self.pinned_sums = pinned_sums
        self.is_warm = is_warm
        self.sets, self.scale = start.sets, start.scale
        self.outputs: np.ndarray | None = None
        self.mark: _Mark | None = None
        self.phase = _Phase.FINAL if start.is_certain else _Phase.LOOSE
        self.best = best
        self.is_double = False
        self.n_idle = 0  # rounds without an iteration, up to now

    def solve(self) -> Certificate | None:
        """Go round until the gap over all samples is met; None if it is better to begin anew."""
        for n_rounds in range(self.run.max_iter + 1):
            if self.is_warm and n_rounds == _ROUNDS_NEAR:
                return None
            path = self._entered()
            if path is None or self.n_idle == _IDLE:
                return self._given_up()
            is_loose = self.phase is _Phase.LOOSE
            status = self._searched(path) if is_loose else self._finished(path)
            if status is None:
                continue
            if status is not Status.STALLED:
                return self._best_with(path, status)
            is_bad_start = self.is_warm and self.mark is None
            if is_bad_start or path.system.refines:
                return self._given_up()
            self.is_double = True
        return self.best

    # -- rounds ----------------------------------------------------------------------------------

    def _entered(self) -> CentralPath | None:
        """Path on the present sets; None if new samples have undone it."""
        free = self.sets.free
        self.memory.check(len(free))
        part = self.problem.restricted(free)
        pinned = self.pinned_sums.of(self.problem, self.sets, part)
        precision = self._precision(len(free))
        is_last = precision is np.float64 or not self._fits_double(len(free))
        system = SampleSystem(part, self.scale, pinned, precision, refines=is_last)
        self.scale = system.scale
        state = self._first_state(system)
        if not state.is_interior():
            return None
        path = CentralPath(system, state, self.run)
        sets = self.sets

        def best_so_far(status: Status) -> Point:
            if self.best is not None and self.best.gap <= path.gap:
                return replace(self.best.point, status=status)
            return sets.on_all(path.point(status))

        self.run.best_so_far = best_so_far
        return path

    def _first_state(self, system: SampleSystem) -> State:
        """Where the path is entered, or taken up again with the samples that are new.

        These come in by shorter lengths if they would undo the path.
        """
        if self.mark is None or self.outputs is None:
            return self.start.state(system)
        for most in _LENGTHS:
            state = transferred(
                self.problem,
                system.scale,
                self.mark.state,
                self.mark.sets,
                self.sets,
                self.outputs,
                most,
            )
            if not system.has_outgrown(state, _OUTGROWN):
                break
        return state

    def _precision(self, n_free: int) -> Precision:
        is_double = n_free <= FEW or (self.is_double and self._fits_double(n_free))
        return np.float64 if is_double else np.float32

    def _fits_double(self, n_free: int) -> bool:
        return n_free <= min(_DOUBLE, self.memory.most(DOUBLE_BYTES))

    def _followed(self, path: CentralPath, tol: float) -> Status:
        """Follow the path to a gap on the set."""
        is_first = self.is_warm and self.mark is None
        try:
            status = path.follow(
                tol,
                is_last=self.phase is _Phase.FINAL,
                n_rounding=0 if self.is_warm else 3,
                most=_FIRST_ITERATIONS if is_first else np.inf,
            )
        except NotSeparableError as error:
            raise error.scattered(self.sets.free, len(self.problem.y)) from None
        is_bad_start = status is Status.MAX_ITER and not self.run.is_spent
        return Status.STALLED if is_bad_start else status

    def _searched(self, path: CentralPath) -> Status | None:
        """Follow the path to the loose gap, and exchange samples; None to go round again."""
        before = self.run.n_iter
        status = self._followed(path, max(self.run.tol, _LOOSE_NEAR if self.is_warm else _LOOSE))
        self.n_idle = self.n_idle + 1 if self.run.n_iter == before else 0
        if status is Status.OPTIMAL:
            self.mark = _Mark(path.state, self.sets)
            self._exchange(self._outputs(path), path.state)
            return None
        if status is Status.STALLED and not self.is_warm:  # what there is, is not to be lost
            self._certified(path, status)
        return status

    def _exchange(self, outputs: np.ndarray, state: State | None) -> None:
        assert self.mark is not None
        assert self.scale is not None
        self.sets, n_missed = exchanged(self.problem, self.sets, outputs, state, self.scale)
        self.outputs = outputs
        if state is not None and n_missed <= _MANY * np.count_nonzero(self.sets.is_free):
            self.phase = _Phase.FINAL

    def _finished(self, path: CentralPath) -> Status | None:
        """Follow the path to its end and certify it over all samples; None to go round again.

        A gap that is met on the set but not over all has one of two reasons: pinned samples that
        are wrong, or digits that single precision does not have.
        """
        tol = self.run.tol
        while True:
            slack = _SLACK if path.system.is_rough else 0.0
            status = self._followed(path, max(tol - slack, 0.5 * tol))
            if status is Status.STALLED and self._certified(path, status).gap <= tol:
                return Status.OPTIMAL
            if status is not Status.OPTIMAL:
                return status
            certificate = self._certified(path, status)
            if certificate.gap <= tol:
                return Status.OPTIMAL
            # in the length that is best for the set: one missed sample must not hide others
            share = path.primal.length / certificate.length if certificate.length > 0 else 1.0
            outputs = share * certificate.outputs
            if self._is_any_misplaced(outputs):
                if self.mark is None:
                    return Status.STALLED
                self._exchange(outputs, None)
                return None
            if not path.escalate():
                return Status.STALLED

    def _is_any_misplaced(self, outputs: np.ndarray) -> bool:
        """Whether the outputs of a pinned sample name another coefficient than it has."""
        depth, named = depth_at(self.problem, outputs)
        is_wrong = np.where(
            named == self.sets.pinned, depth < -_ROUNDING, np.abs(depth) > _ROUNDING
        )
        return bool(np.any(is_wrong & ~self.sets.is_free))

    def _outputs(self, path: CentralPath) -> np.ndarray:
        """Outputs of all samples, roughly where they are not known."""
        design = self.problem.design
        outputs = np.empty(len(self.problem.y))
        outputs[self.sets.is_free] = path.primal.outputs
        others = np.flatnonzero(~self.sets.is_free)
        if len(others):
            point = self.sets.on_all(path.point(Status.OPTIMAL))
            assert isinstance(point.primal, tuple)
            coef, shares = point.primal
            zeta = design.recovered(design.rough_sums(coef), shares)
            outputs[others] = design.rough_values(zeta, others)
        return outputs

    # -- ends ------------------------------------------------------------------------------------

    def _certified(self, path: CentralPath, status: Status) -> Certificate:
        """Certify the end of a path; keep the best."""
        certificate = certify(self.problem, self.sets.on_all(path.point(status)), self.run.tol)
        if self.best is None or certificate.gap <= self.best.gap:
            self.best = certificate
        if self.run.report is not None:
            values = certificate.primal_value, certificate.dual_value
            self.run.report(self.run.n_iter, *values, 0.0)
        return certificate

    def _best_with(self, path: CentralPath, status: Status) -> Certificate:
        if status is not Status.OPTIMAL:
            self._certified(path, status)
        assert self.best is not None
        return self.best.ended(status, self.run.n_iter)

    def _given_up(self) -> Certificate | None:
        """None if all samples should be taken instead, or another start; else the best there is."""
        is_certain = self.start.is_certain
        if self.is_warm or (not is_certain and may_be_all(self.problem, self.memory)):
            return None
        if self.best is None:
            return self._nothing() if is_certain else None
        return self.best.ended(Status.STALLED, self.run.n_iter)

    def _nothing(self) -> Certificate:
        assert self.run.best_so_far is not None
        return certify(self.problem, self.run.best_so_far(Status.STALLED), self.run.tol)
