r"""Norms of two layers: train the network that induces them, and certify the optimum.

With :math:`\zeta_h = A_h B_h / w_h`, :math:`\sum_h w_h \|\zeta_h\|_* = \min \tfrac12 (\|A\|^2 +
\|B\|^2)`, and matrices of one column have their Euclidean norm. So

.. math:: \min_{A, B} \tfrac12 \bigl( \tfrac12 \|A\|^2 + \tfrac12 \|B\|^2 \bigr)^2
    + \sum_n l_n(f(x_n)),

of a smooth loss, has the optimum of the convex problem. It is minimised by L-BFGS. The slopes
:math:`b = -l'(f)` at any weights are dual feasible, and the sums :math:`V_h(b)` are needed for the
gradient anyway: one largest singular value a unit, and the gap is known. The running mean of the
slopes is feasible, too, and the errors of the last steps cancel in it. A stationary point with
:math:`\max_h \sigma_{\max}(V_h) / w_h` above the norm is a saddle: the top singular pair of that
unit is the column to add, and the descent goes on. A loss with kinks is made smooth around a dual
point that moves, see :mod:`gnorm.solvers.proximal`.

Inputs have a direction in which they are much longer than in all others, often their mean. There
the loss is curved most, and L-BFGS would spend its steps on it; so it sees the part of A in that
direction in units in which the curvature is like that elsewhere.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from gnorm.gating import even_runs
from gnorm.solvers.certify import Certificate, certify, dual_value, primal_value, relative_gap
from gnorm.solvers.design import FeatureDesign
from gnorm.solvers.problem import Point, Problem
from gnorm.solvers.proximal import ProximalLoss
from gnorm.solvers.run import Run
from gnorm.solvers.separability import PROOF, raise_if_not_separable
from gnorm.solvers.solution import Status

__all__ = ["solve"]

_MEMORY = 20  # pairs of L-BFGS; on 500 digits 10 take 650 evaluations, 20 take 445, 30 take 460
_DECAY = 0.8  # of the running mean; on 500 digits it takes as few evaluations as 0.9, and 0.95 more
_CHECK = 0.05  # share of the evaluations of a step until the next look at the gap, as dear as one
# Gap, in units of the tolerance, up to which the best multiple of a dual point is worth Newton's
# iteration: at every look that is two fifths of the time on 400 small digits.
_NEAR = 3.0
_CURVATURE = 2e-3  # of the loss, relative to that of the norm; on 500 digits 385 evaluations for
# C = 2 become 245, as many as with all directions of the inputs in such units
_POWER_STEPS = 30  # for the longest direction; it need not be exact
_LIFT = 0.05  # length of a new column, relative to the root of the norm
_FEW_COLUMNS = 20  # that every unit has from the beginning: with all there are no local minima
_RAY = 1e-3  # separability residual at which a proof is looked for: descent has few digits
_ROUNDS = 50  # descents, each from where the last one ended with new columns


class _Closed(Exception):
    """The gap is closed, or no iteration is left: the way out of L-BFGS."""


class _Moved(Exception):
    """A step of the dual point is done: L-BFGS begins anew from the weights at hand."""

    def __init__(self, scaled: np.ndarray) -> None:
        self.scaled = scaled


class _Descent:
    """The objective in the weights, with the best dual point on the way."""

    def __init__(self, problem: Problem, run: Run, rank: int) -> None:
        design = problem.design
        self.shape_of_point = design.rows_shape(problem.n_outputs)
        if not isinstance(design, FeatureDesign):
            # of all outputs at once products are several times faster
            design = FeatureDesign(design.norm, design.X, design.activations)
        self.design, self.problem, self.run, self.norm = design, problem, run, design.norm
        self.shape = design.rows_shape(problem.n_outputs)
        n_contexts, units = design.gating.n_contexts, design.gating.units
        self.n_rows = self.n_matrices = self.full_rank = 0
        self.alike: list[tuple[slice, slice, tuple[int, int]]] = []  # rows, matrices, their shape
        for even in even_runs(n_contexts[n_contexts > 0]):
            count, length, self.n_columns = self.norm.matrix_shape((*even, *self.shape[1:]))
            rows = slice(self.n_rows, self.n_rows + count * length)
            matrices = slice(self.n_matrices, self.n_matrices + count)
            self.alike.append((rows, matrices, (count, length)))
            self.n_rows, self.n_matrices = rows.stop, matrices.stop
            self.full_rank = max(self.full_rank, min(length, self.n_columns))
        scales = self.norm.weights(len(n_contexts))[units]
        self.scales = np.repeat(scales, self.n_rows // len(units))[:, None]
        self.smooth = ProximalLoss(problem) if problem.loss.is_piecewise_linear else None
        self.set_rank(rank)
        self.primal, self.dual, self.b = np.inf, -np.inf, problem.zero_outputs
        self.point = np.zeros(self.shape).reshape(self.shape_of_point)
        self._mean: tuple[np.ndarray, np.ndarray] | None = None
        self._next_look, self._began, self._next_ray = 1.0, 0, _RAY
        C = problem.C
        if self.smooth is not None:  # hard margins are curved as what is smooth in their place
            C = np.where(problem.is_hard, self.smooth.rates, C)
        self.longest, self.unit = _longest_direction(problem, C)

    @property
    def gap(self) -> float:
        """Relative gap of the best points."""
        return relative_gap(self.primal, self.dual)

    def set_rank(self, rank: int) -> None:
        """Set the number of columns of every unit."""
        self.rank = rank
        self.split = self.n_rows * rank

    def in_units(self, weights: np.ndarray) -> np.ndarray:
        """Multiply the part of A along the longest direction by its unit, in a copy."""
        weights = weights.copy()
        if self.unit != 1.0:
            A = weights[: self.split].reshape(self.shape[0], len(self.longest), -1)
            along = np.einsum("d,udr->ur", self.longest, A)
            A -= (1.0 - self.unit) * self.longest[:, None] * along[:, None]
        return weights

    def factors(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the factors A, the rows of all units, and B of flat weights."""
        A = weights[: self.split].reshape(self.n_rows, self.rank)
        return A, weights[self.split :].reshape(self.n_matrices, self.rank, self.n_columns)

    def matrices(self, rows: np.ndarray) -> list[np.ndarray]:
        """Views of rows as matrices, those of one shape together."""
        return [rows[own].reshape(*shape, rows.shape[1]) for own, _, shape in self.alike]

    def times(self, rows: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Rows of each matrix times a matrix of its own."""
        product = np.empty((self.n_rows, right.shape[2]))
        parts = zip(self.matrices(rows), self.alike, self.matrices(product), strict=True)
        for left, (_, own, _), out in parts:
            np.matmul(left, right[own], out=out)
        return product

    def largest(self, V: np.ndarray) -> float:
        """Largest singular value of all matrices, by the smaller Gram matrices."""
        most = 0.0
        for own in self.matrices(V):
            tall = own if own.shape[1] >= own.shape[2] else own.transpose(0, 2, 1)
            gram = tall.transpose(0, 2, 1) @ tall
            most = max(most, float(np.max(np.linalg.eigvalsh(gram))))
        return float(np.sqrt(most))

    def zeta(self, weights: np.ndarray) -> np.ndarray:
        """Multiply the factors, of the features that each unit sees, in the shape of a point."""
        A, B = self.factors(weights)
        product = self.times(A, B) / self.scales
        return self.problem.design.kept(product.reshape(self.shape_of_point))

    def slopes(self, weights: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """Value, outputs, the dual point that the slopes of the loss are, and its scaled sums."""
        problem = self.problem
        loss, y, C = problem.loss, problem.y, problem.C
        f = self.design.decision_values(self.zeta(weights).reshape(self.shape))
        if self.smooth is None:
            losses, b = float(np.sum(loss.value(y, f, C))), -loss.derivative(y, f, C)
        else:
            losses, b = self.smooth.slopes(f)
        sums = problem.design.kept(self.design.sums(b).reshape(self.shape_of_point))
        V = sums.reshape(self.n_rows, self.n_columns) / self.scales
        return 0.5 * (0.5 * float(weights @ weights)) ** 2 + losses, f, b, V

    def __call__(self, scaled: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient of weights in their units; raises when the gap is closed."""
        run, weights = self.run, self.in_units(scaled)
        A, B = self.factors(weights)
        norm = 0.5 * float(weights @ weights)
        value, f, b, V = self.slopes(weights)
        run.n_iter += 1
        if self._mean is None:
            self._mean = b, V
        b_mean, V_mean = self._mean
        self._mean = _DECAY * b_mean + (1 - _DECAY) * b, _DECAY * V_mean + (1 - _DECAY) * V
        if run.n_iter >= self._next_look or run.is_spent:
            self._next_look = run.n_iter + 1.0 + _CHECK * (run.n_iter - self._began)
            self._look(value, f, weights, *self._mean)
            if self.smooth is not None and self.smooth.is_done(value, b, self.largest(V)):
                self._look_for_proof(b)
                self.smooth.move_to(b)
                self._began = run.n_iter
                raise _Moved(scaled)
        slope_A = norm * A - self.times(V, B.transpose(0, 2, 1))
        slope_B = norm * B
        for left, (_, own, _), right in zip(
            self.matrices(A), self.alike, self.matrices(V), strict=True
        ):
            slope_B[own] -= left.transpose(0, 2, 1) @ right
        return value, self.in_units(np.concatenate([slope_A.ravel(), slope_B.ravel()]))

    def _look(
        self, value: float, f: np.ndarray, weights: np.ndarray, b: np.ndarray, V: np.ndarray
    ) -> None:
        """Keep the best points; raise when the gap is closed or no iteration is left."""
        if self.smooth is not None:
            value, _ = primal_value(self.problem, 0.5 * float(weights @ weights), f)
        dual = self._dual_value(b, self.largest(V), value)
        if dual > self.dual:
            self.dual, self.b = dual, b
        if value <= self.primal:
            self.primal = value
            self.point = self.zeta(weights)
        if self.run.report is not None:
            self.run.report(self.run.n_iter, value, self.dual, 1.0)
        if self.gap <= 0.9 * self.run.tol or self.run.is_spent:
            raise _Closed

    def _dual_value(self, b: np.ndarray, dual_norm: float, value: float) -> float:
        """Dual value of a point, of its best multiple where that is cheap or may close the gap."""
        problem, loss = self.problem, self.problem.loss
        if not (loss.has_quadratic_conjugate or self.run.is_spent):
            conjugates = float(np.sum(loss.conjugate(problem.y, b, problem.C)))
            dual = -conjugates - 0.5 * dual_norm * dual_norm
            if relative_gap(min(value, self.primal), dual) > _NEAR * self.run.tol:
                return dual
        return dual_value(problem, b, dual_norm)[0]

    def _look_for_proof(self, b: np.ndarray) -> None:
        """Raise where the dual point runs off along a ray because nothing separates."""
        if np.isinf(self.primal) and b.any():
            residual = self.problem.separability_residual(b)
            if residual <= self._next_ray:
                raise_if_not_separable(self.problem, b, PROOF, self.run.memory_limit)
                self._next_ray = residual / 10

    def lifted(self, scaled: np.ndarray) -> np.ndarray:
        """Weights with one more column a unit: the top singular pair of its sums, short."""
        weights = self.in_units(scaled)
        _, B = self.factors(weights)
        value, f, b, V = self.slopes(weights)
        self._look(value, f, weights, b, V)
        if self.smooth is not None:
            self.smooth.move_to(b)
        pairs = [np.linalg.svd(part, full_matrices=False) for part in self.matrices(V)]
        left = np.concatenate([U[:, :, 0].ravel() for U, _, _ in pairs])
        right = np.concatenate([Vt[:, :1] for _, _, Vt in pairs])
        length = _LIFT * np.sqrt(max(np.sqrt(0.5 * float(weights @ weights)), 1e-3))
        # the new column is short in any units, the others keep theirs
        A = np.column_stack([self.factors(scaled)[0], length * left])
        B = np.concatenate([B, length * right], axis=1)
        self.set_rank(self.rank + 1)
        return np.concatenate([A.ravel(), B.ravel()])


def _longest_direction(problem: Problem, C: np.ndarray) -> tuple[np.ndarray, float]:
    """Direction in which the inputs, of weights C, are longest, and the unit of weights along it.

    A matrix as an input has no direction for its rows to share: its unit is 1.
    """
    design = problem.design
    if getattr(design.norm, "shape", None) is not None:
        return np.zeros(0), 1.0
    X = design.X
    direction = np.asarray(X.T @ C).ravel()
    length = 0.0
    for _ in range(_POWER_STEPS):
        size = float(np.linalg.norm(direction))
        if size == 0:
            return np.zeros(0), 1.0
        direction = direction / size
        direction, length = np.asarray(X.T @ (C * (X @ direction))).ravel(), size
    return direction / float(np.linalg.norm(direction)), float((1.0 + _CURVATURE * length) ** -0.5)


def _first_rank(descent: _Descent) -> int:
    """All columns where they are few, else a share: what is missing is added."""
    full = descent.full_rank
    return min(full, max(_FEW_COLUMNS, full // 4))


def _descended(descent: _Descent, weights: np.ndarray) -> np.ndarray:
    """Weights that L-BFGS makes no better, after as many steps of the dual point as it takes."""
    options = {
        "maxcor": _MEMORY,
        "maxiter": descent.run.max_iter,
        "maxfun": 10**9,
        "ftol": 0,
        "gtol": 0,
    }
    while True:
        try:
            found = minimize(descent, weights, jac=True, method="L-BFGS-B", options=options)
        except _Moved as moved:
            weights = moved.scaled
        else:
            ended: np.ndarray = found.x
            return ended


def solve(problem: Problem, run: Run) -> Certificate:
    """Solve a problem of a norm of two layers, with hard margins where the loss has kinks.

    Parameters
    ----------
    problem : Problem
        The problem.
    run : Run
        What may be spent; an iteration is an evaluation of the network and its gradient.

    Returns
    -------
    Certificate
        The weights that the descent ended with, and the best dual point on its way.

    Raises
    ------
    NotSeparableError
        If hard-margin samples cannot be separated.
    """
    descent = _Descent(problem, run, 0)
    descent.set_rank(_first_rank(descent))
    size = descent.split + descent.n_matrices * descent.rank * descent.n_columns
    # small, as a network begins, and the same every time
    weights = 0.1 * np.random.default_rng(0).normal(size=size)

    def best_so_far(status: Status) -> Point:
        """Return the best points, the weights as those of least cost with these predictors."""
        return Point(descent.b, problem.design.canonical(descent.point), status, run.n_iter)

    run.best_so_far = best_so_far
    status = Status.STALLED
    try:
        for _ in range(_ROUNDS):
            weights = descent.lifted(_descended(descent, weights))
    except _Closed:
        status = Status.OPTIMAL if descent.gap <= run.tol else Status.MAX_ITER
    return certify(problem, best_so_far(status), run.tol)
