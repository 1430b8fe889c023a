r"""The door: check, merge, solve over all neurons, expand.

A hard margin has a solution if and only if no weights :math:`a \ge 0` of the samples, not all zero,
make :math:`h(u) = \sum_n a_n y_n (x_n \cdot u)_+` vanish. On the lines of the samples h is
:math:`\sum_g w_g (g \cdot u)_+ + q \cdot u` with distinct normals g, which vanishes only if all
:math:`w_g` and q do. So a proof is a solution of linear equations, and samples on lines of their
own have no part in it.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state

from gnorm.losses import ClassLoss, Loss, get_loss
from gnorm.relu.ascent import Ascent
from gnorm.relu.columns import Best, Search, generate
from gnorm.relu.master import problem_of
from gnorm.relu.oracle import Lines, exact_oracle, walk_bytes
from gnorm.relu.solution import ReLUSolution, ReLUStatus, relu_values
from gnorm.solvers.certify import relative_gap
from gnorm.solvers.memory import available_memory
from gnorm.solvers.merge import merge_samples
from gnorm.solvers.problem import Problem
from gnorm.solvers.solution import NotSeparableError
from gnorm.solvers.validation import check_count, check_lengths, check_options, check_samples

__all__ = ["relu_max_margin"]

_N_DIRECTIONS = 1  # random ones, along which the first neurons of a hard margin have their kinks
_ORACLES = ("auto", "exact", "bounded", "local")
_N_RANDOM = 20  # further neurons at the start
_MAX_ITER = 200  # rounds; a hard margin of 150 samples in the plane took about 40


class NoNetworkError(NotSeparableError):
    """No network of any width gives every hard-margin sample a positive margin."""

    _proof = "a combination of the two classes coincides in every neuron"
    _remedy = "Use a finite C, or append a constant feature if there is none."


def relu_max_margin(
    X: Any,
    y: ArrayLike,
    C: float | ArrayLike = np.inf,
    *,
    loss: str | Loss = "hinge",
    tol: float = 1e-6,
    max_iter: int | None = None,
    max_neurons: int | None = None,
    oracle: str = "auto",
    memory_limit: float | None = None,
    sample_weight: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = 0,
    verbose: int = 0,
) -> ReLUSolution:
    r"""Two-layer ReLU network of any width, of least norm and loss, with a certificate.

    .. math::

        \min_{c, u} \tfrac12 \Bigl( \sum_j |c_j| \Bigr)^2 + \sum_n l_n(f(x_n)), \qquad
        f(x) = \sum_j c_j (x \cdot u_j)_+, \quad \|u_j\| = 1

    over any number of neurons. The norm is half the least squared length of the weights
    :math:`f(x) = \sum_j v_j (x \cdot w_j)_+` of a network that computes f [1]_. There is no
    intercept: a constant feature makes biases of the neurons, which are inside the norm like any
    other weight. The lower bound holds for networks of any width: with at most three features the
    search over all neurons is exact, by a walk along the arrangement of the samples, and with more
    they are bounded.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Inputs, the constant feature included.
    y : array-like of shape (n_samples,)
        Labels -1 and 1 for a margin loss, else real targets.
    C : float or array-like of shape (n_samples,), default=inf
        Weight of the loss, positive; ``inf`` for samples that must have margin 1.
    loss : str or Loss, default="hinge"
        Any loss of :mod:`gnorm.losses` of one output.
    tol : float, default=1e-6
        Relative duality gap at which to stop.
    max_iter : int, default=None
        Most rounds of column generation; None for 200.
    max_neurons : int, default=None
        Neurons in use, of both signs, at which to stop; None for any number. The solution has at
        most as many as samples in any case.
    oracle : {"auto", "exact", "bounded", "local"}, default="auto"
        How neurons are found. "exact" walks along the arrangement, for at most three features; with
        three it takes time and memory quadratic in the number of samples. "bounded" ascends from
        many starts and, where that finds nothing more, branches and bounds: with four features the
        gap reached is ``tol`` like that of a walk, from six on it may stay wide. "local" leaves
        the branching out; its gap is that of a relaxation. "auto" is "exact" where that can be
        afforded, else "bounded".
    memory_limit : float, default=None
        Most memory in bytes that the walk may take; None for half of what is free.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative factors of C.
    random_state : int, RandomState instance or None, default=0
        Draws the directions of the first neurons, and the starts of the ascents.
    verbose : int, default=0
        1 prints a line a round.

    Returns
    -------
    ReLUSolution
        Network and dual point with both values and the relative gap.

    Raises
    ------
    NotSeparableError
        If no network separates the samples with ``C=inf``; carries a certificate. With a constant
        feature only samples that coincide and differ in their labels are in the way.
    MemoryError
        If the walk is asked for and needs more than `memory_limit`; says how much.
    ValueError
        For malformed input, and for a walk along more than three features.

    Warns
    -----
    ConvergenceWarning
        If the gap reached is above ``tol``; the solution is valid, with the gap it states. The
        status "bounded" or "local" says that no better neuron was found, which is no certificate.

    References
    ----------
    .. [1] L. Chizat and F. Bach (2020). Implicit bias of gradient descent for wide two-layer neural
       networks trained with the logistic loss. COLT.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.relu import relu_max_margin
    >>> X = np.array([[1.0, 1.0], [-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]])
    >>> y = np.array([1, 1, -1, -1])  # exclusive or: a neuron for each sample
    >>> solution = relu_max_margin(X, y)
    >>> round(solution.norm, 6), len(solution.coefs), solution.status.value
    (2.828427, 4, 'optimal')
    """
    start = time.perf_counter()
    loss = get_loss(loss)
    if isinstance(loss, ClassLoss):
        raise ValueError(f"expected a loss of one output, got {loss.name!r}")
    check_options(tol, max_iter, memory_limit)
    check_count(max_neurons, "max_neurons")
    X = check_array(X, dtype=np.float64, input_name="X")
    gates = np.ones((len(X), 1, 1), dtype=bool)  # without gates samples merge by X and y
    X, targets, gates, weight = check_samples(X, y, gates, loss, C, sample_weight)
    check_lengths(X)
    most_rounds = _MAX_ITER if max_iter is None else int(max_iter)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    limit = available_memory() if memory_limit is None else float(memory_limit)
    loss = loss.fitted_to(targets[weight > 0])
    rows = merge_samples(X, targets, gates, weight)
    distinct = np.ascontiguousarray(X[rows.rows])
    problem = problem_of(loss, targets[rows.rows], rows.times(1.0))
    search = _search(oracle, distinct, limit, seed)
    try:
        _raise_if_not_separable(problem, Lines(distinct))
    except NotSeparableError as error:
        raise NoNetworkError(rows.expand(error.certificate), error.residual) from None
    best = generate(
        problem,
        distinct,
        _first_neurons(problem, distinct, search, seed),
        search,
        tol,
        max_iter=most_rounds,
        max_neurons=max_neurons,
        report=_print_round if verbose else None,
    )
    b = rows.expand(best.dual_coef)
    kept = rows.group >= 0
    b[kept] = loss.feasible(targets[kept], b[kept], weight[kept])
    margin = np.nan
    if loss.is_margin:
        outputs = relu_values(distinct, best.neurons, best.coefs)
        least = float(np.min(problem.y * outputs))
        margin = least / best.norm if best.norm > 0 else 0.0
    solution = ReLUSolution(
        neurons=best.neurons,
        coefs=best.coefs,
        norm=best.norm,
        margin=margin,
        primal_value=best.primal_value,
        lower_bound=best.dual_value,
        duality_gap=relative_gap(best.primal_value, best.dual_value),
        dual_norm=best.dual_norm,
        dual_coef=np.abs(b) if loss.is_margin else b,
        support=np.flatnonzero(b),
        status=_status(best, tol, most_rounds, max_neurons, search),
        n_iter=best.n_iter,
        seconds=time.perf_counter() - start,
    )
    if solution.duality_gap > tol:
        warnings.warn(
            f"column generation stopped after {solution.n_iter} rounds ({solution.status.value}) "
            f"at a relative duality gap of {solution.duality_gap:.1e}, above tol={tol:.1e}",
            ConvergenceWarning,
            stacklevel=2,
        )
    return solution


def _search(oracle: str, X: np.ndarray, limit: float, seed: int) -> Search:
    """Return what finds neurons; a walk only where it can be afforded."""
    if oracle not in _ORACLES:
        raise ValueError(f"expected oracle to be one of {_ORACLES}, got {oracle!r}")
    need = walk_bytes(*X.shape)
    if oracle == "auto":
        oracle = "exact" if need <= limit else "bounded"
    if oracle != "exact":
        return Ascent(X, oracle == "bounded", seed)
    if X.shape[1] > 3:
        raise ValueError(
            f"expected at most 3 features, the constant included, got {X.shape[1]}: the exact "
            "search over all neurons takes n_samples ** (n_features - 1) operations; "
            'oracle="bounded" takes any number, with a bound that may be less sharp'
        )
    if need > limit:
        raise MemoryError(
            f"the walk along the arrangement of {len(X)} samples needs {need:.1e} bytes, more than "
            f'the {limit:.1e} allowed; fewer samples, merged ones, or oracle="bounded" would do'
        )
    return exact_oracle(X)


def _status(
    best: Best, tol: float, max_iter: int, max_neurons: int | None, oracle: Search
) -> ReLUStatus:
    if best.gap <= tol:
        return ReLUStatus.OPTIMAL
    if best.is_interrupted:
        return ReLUStatus.INTERRUPTED
    if best.local_gap <= tol and isinstance(oracle, Ascent):
        return ReLUStatus.BOUNDED if oracle.is_branching else ReLUStatus.LOCAL
    if best.n_iter >= max_iter or (max_neurons is not None and best.n_columns > max_neurons):
        return ReLUStatus.MAX_ITER
    return ReLUStatus.STALLED


def _print_round(n_iter: int, primal: float, dual: float, n_columns: float) -> None:
    gap = relative_gap(primal, dual)
    print(f"{n_iter:4d} {primal:14.7e} {dual:14.7e} {gap:9.2e} {int(n_columns):6d}")


def _raise_if_not_separable(problem: Problem, lines: Lines) -> None:
    """Raise if the samples of a hard margin have weights under which h vanishes."""
    hard = np.flatnonzero(problem.is_hard)
    of_zeros = hard[lines.line[hard] < 0]
    if len(of_zeros):  # at the origin every network without a constant is 0
        raise NoNetworkError(np.eye(len(problem.y))[of_zeros[0]], 0.0)
    shared = np.bincount(lines.line[hard], minlength=1)[lines.line[hard]] > 1
    hard = hard[shared]
    if len(hard) == 0:
        return
    names, place = np.unique(lines.line[hard], return_inverse=True)
    signed = problem.y[hard] / np.max(np.abs(lines.length))
    folded = np.zeros((len(names), len(hard)))
    folded[place.reshape(-1), np.arange(len(hard))] = signed * np.abs(lines.length[hard])
    linear = np.where(lines.length[hard] < 0, signed, 0.0) * lines.X[hard].T
    equations = np.vstack((folded, linear, np.ones(len(hard))))
    right = np.zeros(len(equations))
    right[-1] = 1.0
    found = linprog(np.zeros(len(hard)), A_eq=equations, b_eq=right, method="highs-ds")
    if found.status == 0:
        certificate = np.zeros(len(problem.y))
        certificate[hard] = np.maximum(found.x, 0.0) / np.sum(np.maximum(found.x, 0.0))
        residual = float(np.max(np.abs(equations[:-1] @ certificate[hard])))
        raise NoNetworkError(certificate, residual)


def _first_neurons(
    problem: Problem, X: np.ndarray, search: Search, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Neurons to begin with; they separate what can be separated.

    Along a direction of a plane the samples have angles, and one neuron an arc between two
    crossings spans all functions that two-layer networks of that plane have on the samples.
    """
    rng = np.random.default_rng(random_state)
    n_features = X.shape[1]
    slope = -problem.loss.derivative(problem.y, np.zeros(len(X)), np.ones(len(X)))
    U = [search.find(slope).neurons, rng.normal(size=(_N_RANDOM, n_features)), np.eye(n_features)]
    if problem.is_hard.any():
        for _ in range(_N_DIRECTIONS if n_features > 2 else 1):
            plane = _plane(X, rng)
            U.append(_arcs(X @ plane.T, problem.y) @ plane)
    neurons = np.concatenate(U)
    neurons /= np.linalg.norm(neurons, axis=1, keepdims=True)
    return np.concatenate((neurons, neurons)), np.repeat([1.0, -1.0], len(neurons))


def _plane(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two orthonormal directions, one of them along a constant last feature if there is one."""
    n_features = X.shape[1]
    basis = rng.normal(size=(n_features, min(2, n_features)))
    if np.ptp(X[:, -1]) == 0:
        basis[:, 0] = np.eye(n_features)[-1]
    plane: np.ndarray = np.linalg.qr(basis)[0].T
    # to the side of the constant, where angles are sorted like the samples on a line
    return plane * np.where(plane @ X[0] < 0, -1.0, 1.0)[:, None]


def _arcs(Z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Directions with a kink at a sample where labels change along the angle, and between."""
    if Z.shape[1] == 1:
        return np.array([[1.0], [-1.0]])
    angle = np.sort(np.arctan2(Z[:, 1], Z[:, 0]))
    order = np.argsort(np.arctan2(Z[:, 1], Z[:, 0]))
    is_line = np.ptp(angle) < np.pi  # with a constant: as on a line, where signs change
    if is_line:
        changes = np.flatnonzero(np.diff(y[order]))
        kinks = np.unique(np.concatenate((angle[changes], angle[changes + 1])))
        turned = kinks + np.pi / 2
        return np.vstack((np.column_stack((np.cos(turned), np.sin(turned))), np.eye(2)))
    crossings = np.unique(np.concatenate((angle, angle + np.pi)) % (2 * np.pi))
    middles = crossings + np.diff(np.append(crossings, crossings[0] + 2 * np.pi)) / 2
    turned = np.concatenate((crossings, middles)) + np.pi / 2
    return np.column_stack((np.cos(turned), np.sin(turned)))
