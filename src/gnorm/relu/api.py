"""The door: check, merge, solve over all neurons, expand."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state

from gnorm.losses import ClassLoss, Loss, get_loss
from gnorm.relu.ascent import Ascent
from gnorm.relu.columns import Best, Drawn, Search, generate
from gnorm.relu.exact import MOST_FEATURES, exact_oracle, is_quick, walk_bytes
from gnorm.relu.free_bias import FreeBias, in_unit
from gnorm.relu.master import problem_of
from gnorm.relu.oracle import Lines, principal_axes
from gnorm.relu.patterns import Cells, check_patterns
from gnorm.relu.reduction import folded
from gnorm.relu.solution import ReLUSolution, ReLUStatus, relu_values
from gnorm.relu.start import (
    NoNetworkError,
    NoNetworkOfPatternsError,
    first_neurons,
    raise_if_free,
    raise_if_not_separable,
)
from gnorm.solvers.certify import relative_gap
from gnorm.solvers.memory import available_memory
from gnorm.solvers.merge import merge_samples
from gnorm.solvers.solution import NotSeparableError
from gnorm.solvers.validation import check_count, check_lengths, check_options, check_samples

__all__ = ["relu_max_margin"]

_ORACLES = ("auto", "exact", "bounded", "local")
_MAX_ITER = 200  # rounds; a hard margin of 150 samples in the plane took about 40


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
    patterns: ArrayLike | None = None,
    penalize_bias: bool = True,
    penalize_linear: bool = True,
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
    other weight unless `penalize_bias` is False. The lower bound holds for networks of any width:
    with at most four features the search over all neurons is exact, by a walk along the
    arrangement of the samples, and with more they are bounded. Nor does it depend on the size of
    what is added at no cost.

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
        How neurons are found. "exact" walks along the arrangement, for at most four features. Time
        and memory are quadratic in the number of samples with three and cubic with four, of the
        samples with a dual coefficient alone: of a hard margin these are few. "bounded" ascends
        from many starts and, where that finds nothing more, branches and bounds: with five features
        the gap reached may be ``tol`` like that of a walk, from six on it may stay wide. "local"
        leaves the branching out; its gap is that of a relaxation. "auto" is "exact" where that fits
        into memory and, with four features, for up to 310 samples, else "bounded".
    patterns : array-like of bool, shape (n_samples, n_patterns), default=None
        Samples on which neurons may be active, and no others: the problem over these neurons alone,
        a convex program of Pilanci and Ergen [2]_, of which gap and bound then are. From
        :func:`gnorm.relu.activation_patterns`, all of them or drawn, or the gates of
        :class:`gnorm.gates.ReLUGates` with their axis of one context. None for all neurons.
    penalize_bias : bool, default=True
        Whether biases, the weights of a constant last feature, are inside the norm. If not,
        :math:`\|u_j\| = 1` without them, and a constant costs nothing either; for one or two
        features and the constant. On a line the norm then is [3]_
        :math:`\max(\int |f''|, |f'(-\infty) + f'(\infty)|)`.
    penalize_linear : bool, default=True
        Whether a linear function costs what neurons that compute it do. If not, a term
        :math:`q \cdot x` is added to the network outside of the norm. On a line that is
        :math:`\int |f''| \sqrt{1 + x^2}` [4]_, without penalised biases :math:`\int |f''|`.
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
        For malformed input, for a walk along more than four features, for patterns or free biases
        that do not go with the other options, and for labels that what is free separates alone
        under a loss that has no minimum there, such as the log loss. Under others the norm is 0.

    Warns
    -----
    ConvergenceWarning
        If the gap reached is above ``tol``; the solution is valid, with the gap it states. The
        status "bounded" or "local" says that no better neuron was found, which is no certificate.

    References
    ----------
    .. [1] L. Chizat and F. Bach (2020). Implicit bias of gradient descent for wide two-layer neural
       networks trained with the logistic loss. COLT.
    .. [2] M. Pilanci and T. Ergen (2020). Neural networks are convex regularizers: exact
       polynomial-time convex optimization formulations for two-layer networks. ICML.
    .. [3] P. Savarese, I. Evron, D. Soudry and N. Srebro (2019). How do infinite width bounded norm
       networks look in function space? COLT.
    .. [4] E. Boursier and N. Flammarion (2023). Penalising the biases in norm regularisation
       enforces sparsity. NeurIPS.

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
    _check_switch(penalize_bias, "penalize_bias")
    _check_switch(penalize_linear, "penalize_linear")
    X = check_array(X, dtype=np.float64, input_name="X")
    gates = np.ones((len(X), 1), dtype=bool)  # without patterns samples merge by X and y
    if patterns is not None:
        gates = check_patterns(patterns, len(X))
    X, targets, _, weight = check_samples(X, y, gates[:, :, None], loss, C, sample_weight)
    check_lengths(X)
    basis = _free_basis(X, penalize_bias, penalize_linear)
    most_rounds = _MAX_ITER if max_iter is None else int(max_iter)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    limit = available_memory() if memory_limit is None else float(memory_limit)
    loss = loss.fitted_to(targets[weight > 0])
    rows = merge_samples(X, targets, gates[:, :, None], weight)
    # where biases are free the unit of the inputs changes that of the norm alone
    unit = 1.0 if penalize_bias else _unit(X[rows.rows, :-1])
    distinct = X[rows.rows] / np.append(np.full(X.shape[1] - 1, unit), 1.0)
    problem = problem_of(loss, targets[rows.rows], rows.times(unit**2))
    free = X[rows.rows] @ basis
    raise_if_free(problem, free)
    search: Search
    try:
        raise_if_not_separable(problem, Lines(distinct))
        if patterns is not None:
            _refuse_beside_patterns(oracle, penalize_bias)
            search = cells = Cells(distinct, gates[rows.rows])
            start_neurons = cells.start(problem, free, seed)
        else:
            search = drawn = _search(oracle, distinct, limit, seed, penalize_bias)
            start_neurons = first_neurons(problem, distinct, drawn, seed)
    except NotSeparableError as error:
        kind = NoNetworkError if patterns is None else NoNetworkOfPatternsError
        raise kind(rows.expand(error.certificate), error.residual) from None
    best = generate(
        problem,
        distinct,
        start_neurons,
        search,
        tol,
        free=free,
        max_iter=most_rounds,
        max_neurons=max_neurons,
        report=_print_round if verbose else None,
    )
    outputs = relu_values(distinct, best.neurons, best.coefs) + free @ best.free
    best = in_unit(best, unit)
    neurons, coefs, linear = best.neurons, best.coefs, basis @ best.free
    if not penalize_linear:
        neurons, coefs, linear = folded(neurons, coefs, linear)
    b = rows.expand(best.dual_coef)
    kept = rows.group >= 0
    b[kept] = loss.feasible(targets[kept], b[kept], weight[kept])
    margin = np.nan
    if loss.is_margin:
        least = float(np.min(problem.y * outputs))
        with np.errstate(divide="ignore"):  # infinite where what is free separates
            margin = float(np.divide(least, best.norm)) if least != 0 else 0.0
    solution = ReLUSolution(
        neurons=neurons,
        coefs=coefs,
        linear=linear,
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


def _check_switch(value: Any, name: str) -> None:
    """Raise ValueError unless this is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"expected {name} to be True or False, got {value!r}")


def _free_basis(X: np.ndarray, penalize_bias: bool, penalize_linear: bool) -> np.ndarray:
    """Coefficients of linear functions of X that cost nothing, of order one on the samples."""
    if not penalize_bias and (np.ptp(X[:, -1]) > 0 or X[0, -1] == 0):
        raise ValueError(
            "expected a constant last feature with penalize_bias=False, got values between "
            f"{X[:, -1].min()} and {X[:, -1].max()}"
        )
    if penalize_linear:
        constant = np.eye(X.shape[1])[:, -1:]
        return constant[:, :0] if penalize_bias else constant / X[0, -1]
    sizes, axes = principal_axes(X)
    basis: np.ndarray = axes.T / sizes * np.sqrt(len(X))
    return basis


def _unit(inputs: np.ndarray) -> float:
    """Power of two next to the largest input, with which nothing is rounded."""
    largest = float(np.max(np.abs(inputs), initial=0.0))
    return float(2.0 ** np.round(np.log2(largest))) if largest > 0 else 1.0


def _refuse_beside_patterns(oracle: str, penalize_bias: bool) -> None:
    """Raise ValueError for what has no part in the problem over given patterns."""
    if oracle != "auto":
        raise ValueError(f'expected oracle="auto" beside patterns, got {oracle!r}')
    if not penalize_bias:
        raise ValueError("expected penalize_bias=True beside patterns, got False")


def _search(oracle: str, X: np.ndarray, limit: float, seed: int, penalize_bias: bool) -> Drawn:
    """Return what finds neurons; a walk only where it can be afforded."""
    if oracle not in _ORACLES:
        raise ValueError(f"expected oracle to be one of {_ORACLES}, got {oracle!r}")
    if not penalize_bias:
        if oracle not in ("auto", "exact"):
            raise ValueError(f"expected an exact oracle with penalize_bias=False, got {oracle!r}")
        return FreeBias(X)
    need = walk_bytes(*X.shape)
    if oracle == "auto":
        oracle = "exact" if need <= limit and is_quick(*X.shape) else "bounded"
    if oracle != "exact":
        return Ascent(X, oracle == "bounded", seed)
    if X.shape[1] > MOST_FEATURES:
        raise ValueError(
            f"expected at most {MOST_FEATURES} features, the constant included, "
            f"got {X.shape[1]}: the exact search over all neurons takes n_samples ** "
            "(n_features - 1) operations; "
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
