r"""Primal-dual interior point on the dual: exact, for up to some thousands of samples.

Variables :math:`a` and :math:`t`; multipliers :math:`\mu_h` of :math:`\tfrac12 a^\top Q_h a \le t`,
:math:`z` of :math:`a \ge 0`, :math:`u` of :math:`a \le C`; slacks :math:`s_h = t - \tfrac12 a^\top
Q_h a`, :math:`v = C - a`. The conditions of optimality, relaxed by :math:`\sigma > 0`,

.. math::

    \textstyle\sum_h \mu_h Q_h a - z + u = 1, \quad \sum_h \mu_h = 1, \quad
    \tfrac12 a^\top Q_h a + s_h = t, \quad a z = \mu s = u v = \sigma,

are followed to :math:`\sigma = 0` by Newton steps with Mehrotra's predictor and corrector. All but
:math:`\Delta a` is eliminated, :math:`\Delta t` too, which leaves one symmetric positive definite
system with the matrix

.. math::

    \textstyle\sum_h \mu_h Q_h + \operatorname{diag}(z/a + u/v)
        + \sum_h w_h (p_h - \bar p)(p_h - \bar p)^\top, \qquad
    p_h = Q_h a, \quad w_h = \mu_h / s_h, \quad \bar p = \sum_h w_h p_h / \sum_h w_h .

Centring the :math:`p_h` is what eliminating :math:`\Delta t` amounts to: no border and no
cancellation.
The margins :math:`y f = \sum_h \mu_h p_h` fall out, so every iteration carries its certificate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gnorm.margin.newton import Candidate, Newton, State
from gnorm.margin.problem import MarginProblem, Point, relative_gap
from gnorm.margin.separability import PROOF, raise_if_not_separable
from gnorm.margin.solution import Status
from gnorm.margin.threads import one_blas

__all__ = ["CentralPath", "Report", "solve"]

_STEP_SHARE = 0.99  # of the way to the boundary
_CORRECTIONS = 3  # most corrections of a step for the sake of its length
_AMBITION = 0.3  # length that they are to add
_LEAST_GAIN = 0.01  # ... and that is worth another
_STRAY = 10.0  # factor within which the products of the pairs are to stay
_FEW = 500  # samples for which steps always take the curvature of the constraints along
_SHORT_STEP = 0.3  # below it they do so on any number of samples
_FINE = 1e-7  # relative gap below which Newton steps from Gram matrices alone lose their way
_ANCHOR = 1e-3  # relative gap from which the steps are too small for their rounding to matter
_THRESHOLDS = (1.0, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 0.0)  # up to which variables go to their bounds
_ROUNDING_ITERATIONS = 3  # to spend beyond the tolerance for the sake of exact zeros
_PATIENCE = 25  # iterations without a better gap before the solve counts as stalled
_LOOSE_PATIENCE = 8  # ... on a path that can be followed by other means
_RAY = 1e-6  # separability residual at which a certificate is looked for
_WEAK_PROOF = 1e-10  # ... when the iteration can make no more progress

Report = Callable[[int, float, float, float], None]


def solve(
    problem: MarginProblem, *, tol: float, max_iter: int, report: Report | None = None
) -> Point:
    r"""Solve a max-margin problem by the interior-point method, all samples at once.

    Parameters
    ----------
    problem : MarginProblem
        The problem.
    tol : float
        Relative duality gap at which to stop.
    max_iter : int
        Most iterations.
    report : callable, default=None
        Called with (iteration, primal value, dual value, step) after every evaluation.

    Returns
    -------
    Point
        The best dual point and the best recovery of a primal point.

    Raises
    ------
    NotSeparableError
        If hard-margin samples cannot be separated.

    References
    ----------
    .. [1] S. Mehrotra, "On the implementation of a primal-dual interior point method", SIAM
       Journal on Optimization 2(4), 1992.
    """
    with one_blas(len(problem.y)):
        newton = Newton(problem)
        path = CentralPath(newton, newton.start())
        status = path.follow(tol, max_iter, report)
        return path.best.point(status, path.n_iter)


class CentralPath:
    """An iteration along the central path that can stop at a gap and go on from there.

    Parameters
    ----------
    newton : Newton
        The Newton system of the problem.
    state : State
        Where to start.
    n_iter : int, default=0
        Iterations already spent, to be counted on.

    Attributes
    ----------
    state : State
        Where the iteration is.
    best : Best
        The best points so far.
    n_iter : int
        Iterations spent.
    """

    def __init__(self, newton: Newton, state: State, n_iter: int = 0) -> None:
        self.newton = newton
        self.state = state
        self.n_iter = n_iter
        self._P = newton.products(state.a)
        self.best = Best(newton.certify(state.a, state.mu, self._P), n_iter)
        self._next_ray = _RAY
        self._is_adrift = newton.precision is not np.float64
        # On few samples the curvature costs little; on many it is left out while steps are long.
        self._is_winding = len(newton.problem.y) <= _FEW

    def follow(
        self,
        tol: float,
        max_iter: int,
        report: Report | None,
        *,
        is_last: bool = True,
        n_rounding: int = _ROUNDING_ITERATIONS,
    ) -> Status:
        """Iterate until the gap is met, see :func:`solve` for the parameters.

        With ``is_last`` the variables that the path drives to a bound are set to it. Without, the
        path stops where it is, to be followed further, and it stops sooner if it gets nowhere.
        At most ``n_rounding`` iterations beyond the tolerance go into the exact zeros.
        """
        try:
            return self._follow(tol, max_iter, report, is_last, n_rounding)
        except KeyboardInterrupt:
            return Status.INTERRUPTED

    def _follow(
        self, tol: float, max_iter: int, report: Report | None, is_last: bool, n_rounding: int
    ) -> Status:
        newton = self.newton
        is_rough = newton.precision is not np.float64 and not newton.is_refined
        patience = _PATIENCE if is_last and not is_rough else _LOOSE_PATIENCE
        step, n_rounded = 0.0, 0
        spare = n_rounding if len(newton.problem.y) <= _FEW else 0
        while True:
            if report is not None:
                report(self.n_iter, self.best.primal.primal_value, self.best.dual.dual_value, step)
            if is_last and self._is_adrift and self.best.gap <= _ANCHOR:
                self._anchor()
            if self.best.gap <= tol:
                # Interior points have no exact zeros. Rounding to the face they point at shows
                # the support; where that costs too much of the gap, go on a little, and in the
                # end, or where an iteration costs more than some zeros are worth, round less.
                if not is_last:
                    return Status.OPTIMAL
                if n_rounded == spare:
                    self._round(tol, _THRESHOLDS)
                    return Status.OPTIMAL
                if self._round(tol, _THRESHOLDS[:1]):
                    return Status.OPTIMAL
                n_rounded += 1
            ray = newton.ray_residual(self.state.a, self._P)
            if ray <= self._next_ray:
                raise_if_not_separable(newton.exact, newton.scale * self.state.a, PROOF)
                self._next_ray = ray / 10
            if self.n_iter >= max_iter:
                ended = Status.MAX_ITER
                break
            if self.n_iter - self.best.n_iter > patience or not newton.factor(self.state, self._P):
                ended = Status.STALLED
                break
            newton.is_refined |= tol < self.best.gap < _FINE
            step = self._advance()
        if self.best.gap <= tol:
            return Status.OPTIMAL
        if ray <= _RAY:
            raise_if_not_separable(newton.exact, newton.scale * self.state.a, _WEAK_PROOF)
        return ended

    def _anchor(self) -> None:
        """Evaluate the point accurately; what came before had single precision."""
        self._P = self.newton.anchor(self.state.a)
        self.best = Best(self.newton.certify(self.state.a, self.state.mu, self._P), self.n_iter)
        self._is_adrift = False

    def _advance(self) -> float:
        """Take one predictor-corrector step and return its length."""
        newton, state = self.newton, self.state
        sigma = state.complementarity()
        predictor = newton.direction(0.0)
        reached = state.moved(predictor, state.reach(predictor))
        centring = (reached.complementarity() / sigma) ** 3
        corrector = newton.direction(centring * sigma, predictor, is_curved=self._is_winding)
        if len(newton.problem.y) > _FEW and not newton.is_refined:
            corrector = self._centred(corrector, centring * sigma)
        step = _STEP_SHARE * state.reach(corrector)
        self.state = state.moved(corrector, step)
        self._P = newton.products(self.state.a)
        self.n_iter += 1
        self._is_winding |= step < _SHORT_STEP
        self.best.update(newton.certify(self.state.a, self.state.mu, self._P), self.n_iter)
        return step

    def _centred(self, change: State, sigma: float) -> State:
        """Lengthen a step by bringing in the products that would stray from ``sigma`` beyond it.

        These are the multiple centrality corrections of Gondzio [1]_. On many samples they cost
        little beside the factorisation.

        References
        ----------
        .. [1] J. Gondzio, "Multiple centrality corrections in a primal-dual method for linear
           programming", Computational Optimization and Applications 6, 1996.
        """
        state = self.state
        reach = state.reach(change)
        for _ in range(_CORRECTIONS):
            beyond = state.moved(change, min(1.0, reach + _AMBITION))
            products = [x * y for x, y in beyond.pairs()]
            wanted = [np.clip(product, sigma / _STRAY, sigma * _STRAY) for product in products]
            targets = [
                np.maximum(want - product, -sigma * _STRAY)
                for want, product in zip(wanted, products, strict=True)
            ]
            longer = change.moved(self.newton.correction(targets), 1.0)
            if state.reach(longer) < reach + _LEAST_GAIN:
                break
            change, reach = longer, state.reach(longer)
        return change

    def _round(self, tol: float, thresholds: tuple[float, ...]) -> bool:
        """Take the point rounded by the first thresholds at which it meets the gap.

        Only the dual point and the unit weights are rounded: to first order that costs the dual
        value nothing, while the margins of the primal point would feel every coefficient dropped.
        """
        newton, state = self.newton, self.state
        for threshold in thresholds:
            a, _ = newton.rounded(state, threshold)
            dual = newton.certify(a, state.mu, self._P + newton.images(a - state.a))
            for weight_threshold in thresholds:
                _, mu = newton.rounded(state, weight_threshold)
                rounded = Best(newton.certify(state.a, mu, self._P))
                rounded.dual = dual
                if rounded.gap <= tol:
                    self.best = rounded
                    return True
        return False


class Best:
    """The best primal and the best dual point so far; they need not come together."""

    def __init__(self, candidate: Candidate, n_iter: int = 0) -> None:
        self.primal = self.dual = candidate
        self.n_iter = n_iter  # when either was last improved

    @property
    def gap(self) -> float:
        return relative_gap(self.primal.primal_value, self.dual.dual_value)

    def update(self, candidate: Candidate, n_iter: int) -> None:
        """Take over what is better, and note when that was."""
        if candidate.primal_value < self.primal.primal_value:
            self.primal, self.n_iter = candidate, n_iter
        # near the optimum the last digits of the dual value go on moving
        if candidate.dual_value > self.dual.dual_value * (1 + 1e-9):
            self.n_iter = n_iter
        if candidate.dual_value > self.dual.dual_value:
            self.dual = candidate

    def point(self, status: Status, n_iter: int) -> Point:
        """Return what a method returns."""
        return Point(self.dual.a, (self.primal.a, self.primal.mu), status, n_iter)
