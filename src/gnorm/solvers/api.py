"""The front door of the engine: check, merge, choose, solve, certify, expand."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from gnorm import norms
from gnorm.gated import as_numbers
from gnorm.losses import Hinge, Loss, get_loss
from gnorm.norms import Norm, UnitNorm
from gnorm.solvers.active_set.start import Near
from gnorm.solvers.certify import Certificate, better, certify, relative_gap
from gnorm.solvers.design import Design, get_norm, make_design
from gnorm.solvers.equilibrate import equilibrated
from gnorm.solvers.memory import available_memory
from gnorm.solvers.merge import Merged, merge_samples, weighted
from gnorm.solvers.methods import Method, choose, get_method, second_choice
from gnorm.solvers.pairs import paired
from gnorm.solvers.problem import Problem
from gnorm.solvers.run import Report, Run, print_table
from gnorm.solvers.scaling import lighter, scaled
from gnorm.solvers.separability import PROOF, raise_if_not_separable
from gnorm.solvers.separation import cheapest, separation
from gnorm.solvers.solution import (
    MarginSolution,
    NotSeparableError,
    Solution,
    Status,
    warn_if_unfinished,
)
from gnorm.solvers.threads import one_blas
from gnorm.solvers.validation import (
    check_lengths,
    check_options,
    check_samples,
    check_unit_features,
)

__all__ = [
    "expanded",
    "max_margin",
    "prepare",
    "share_gram",
    "solve",
    "solve_certified",
    "solve_prepared",
    "warn_if_unfinished",
]

_DISTANT = 1e15  # weight at inputs of length 1 from which on a margin is tried as a hard one
_SEPARATED = 1e-2  # gap of a predictor that is to separate
_GRAM_SHARE = 0.2  # of the memory allowed, up to which the Gram matrix of all samples is kept


def solve(
    X: Any,
    y: ArrayLike,
    activations: ArrayLike,
    *,
    norm: str | Norm | None = None,
    loss: str | Loss = "hinge",
    C: float | ArrayLike = 1.0,
    unit_weights: ArrayLike | None = None,
    unit_features: ArrayLike | None = None,
    method: str = "auto",
    tol: float = 1e-6,
    max_iter: int | None = None,
    sample_weight: ArrayLike | None = None,
    memory_limit: float | None = None,
    verbose: int = 0,
) -> Solution:
    r"""Gated linear predictor of least norm and loss, with a certificate.

    .. math::

        \min_\zeta \tfrac12 R(\zeta)^2 + \sum_n C_n m(y_n, f(x_n)), \qquad
        f(x) = \sum_{h,c} g_{hc}(x) \langle \zeta_{hc}, x \rangle

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs. There is no intercept: append a constant feature to have one.
    y : array-like of shape (n_samples,)
        Targets; labels -1 and 1, both present, for a margin loss; classes 0, 1, ... for a
        loss of several outputs.
    activations : array-like of bool, shape (n_samples, n_units, n_contexts)
        Gates of the inputs, see :mod:`gnorm.gates`.
    norm : str or Norm, default=None
        The norm R, an object of :mod:`gnorm.norms` or the name of one without parameters, see
        :func:`gnorm.norms.catalogue`. None is what the gates induce, the sum of the norms of the
        units: for one-hot gates the GLN norm, for on/off gates the FReLU norm.
    loss : str or Loss, default="hinge"
        The loss m, an object of :mod:`gnorm.losses` or scikit-learn's name of one: "hinge",
        "squared_hinge", "log_loss", "squared_error", "epsilon_insensitive", "absolute_error",
        "huber" or "quantile", with default parameters; or a loss of classes 0, 1, ..., whose
        predictor has an output a class: "multinomial", the log loss, or of the hinges
        "crammer_singer" and "one_versus_rest".
    C : float or array-like of shape (n_samples,), default=1.0
        Weight of the loss, positive; ``inf`` for samples that must have margin 1, with a hinge.
    unit_weights : array-like of shape (n_units,), default=None
        Weights :math:`w_h > 0` of the units in :math:`R(\zeta) = \sum_h w_h \|\zeta_h\|`; only for
        ``norm=None``.
    unit_features : array-like of bool, shape (n_units, n_features), default=None
        Which features each unit sees, at least one; None for all. Weights of the others are zero,
        and the kernel of a unit is :math:`\langle x_{S_h}, x'_{S_h} \rangle \langle g_h(x),
        g_h(x') \rangle`. Each iteration computes the Gram matrix over each set S of features that
        differs anew, which takes :math:`N^2 \sum_S |S|` operations for N samples of a set, and
        memory for one matrix of their pairs more. Not for ``method="primal"``, and under norms
        that are sums of those of the units.
    method : str, default="auto"
        "interior-point" is the engine's own, in time cubic and memory quadratic in the samples.
        "working-set" runs it on the samples that shape the solution, and certifies the result on
        all. "primal" is an interior point through the features, in time and memory linear in the
        samples, for many samples of few gated features, and not for the multinomial loss, of which
        the working set is all samples. "clarabel" and "scs" solve the same
        problem through cvxpy, under any norm. "factored" trains the network of the
        nuclear norm, or of a sum of norms of units, to the same certificate. "highs" solves it by
        linear programs where norm and loss are made of planes. "auto" picks one by the norm and the
        sizes of the problem, and tries another where that one gives up; ``verbose=1`` says which
        and why.
    tol : float, default=1e-6
        Relative duality gap, over all samples, at which the problem counts as solved. Rounding
        errors end the iteration at about 1e-8, later or earlier with the data.
    max_iter : int, default=None
        Most iterations of the method; None means 200 for "clarabel", 100,000 for "scs" and 100 for
        the engine's own.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative factors of ``C``. A sample of weight k is k copies, one of weight 0 is as if it
        were absent.
    memory_limit : float, default=None
        Most memory in bytes that the engine's own methods may take beside the data; None for half
        of what is free.
    verbose : int, default=0
        1 prints the method and a line an iteration.

    Returns
    -------
    Solution
        Primal and dual point with both values and the relative gap.

    Raises
    ------
    NotSeparableError
        If the samples with ``C=inf`` cannot be separated; carries a certificate.
    MemoryError
        If the method needs more than `memory_limit`; says how much.
    ValueError
        For malformed input.

    Warns
    -----
    ConvergenceWarning
        If the gap reached is above ``tol``, also after an interrupt from the keyboard. The solution
        is valid, with the gap it states.

    See Also
    --------
    max_margin : The same for the hinge loss, with a hard margin by default.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm import solve
    >>> X = np.array([[1.0, 1.0], [-1.0, 1.0], [-2.0, 1.0], [3.0, 1.0]])
    >>> y = np.abs(X[:, 0])  # a linear piece for each sign
    >>> activations = np.stack([X[:, 0] < 0, X[:, 0] >= 0], axis=-1)[:, None, :]
    >>> solution = solve(X, y, activations, loss="squared_error", C=1e6)
    >>> solution.decision_values(X, activations).round(3)
    array([1., 1., 2., 3.])
    """
    options = {
        "method": method,
        "tol": tol,
        "max_iter": max_iter,
        "memory_limit": memory_limit,
        "verbose": verbose,
    }
    solution = _solve(
        X,
        y,
        activations,
        get_loss(loss),
        C,
        norm,
        unit_weights,
        sample_weight,
        options,
        unit_features,
    )
    warn_if_unfinished(solution, tol)
    return solution


def max_margin(
    X: Any,
    y: ArrayLike,
    activations: ArrayLike,
    C: float | ArrayLike = np.inf,
    *,
    norm: str | Norm | None = None,
    unit_weights: ArrayLike | None = None,
    unit_features: ArrayLike | None = None,
    method: str = "auto",
    tol: float = 1e-6,
    max_iter: int | None = None,
    memory_limit: float | None = None,
    sample_weight: ArrayLike | None = None,
    verbose: int = 0,
) -> MarginSolution:
    r"""Max-margin gated linear predictor, with a certificate.

    .. math::

        \min_\zeta \tfrac12 \Bigl( \sum_h \|\zeta_h\| \Bigr)^2
            + \sum_n C_n \max(0, 1 - y_n f(x_n)), \qquad
        f(x) = \sum_{h,c} g_{hc}(x) \langle \zeta_{hc}, x \rangle

    It is :func:`solve` with the hinge loss; the norm is that of :func:`solve`, too, by default the
    one that the gates induce. With ``C=inf`` it is the hard margin: the predictor of least norm
    with :math:`y_n f(x_n) \ge 1`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs. There is no intercept: append a constant feature to have one.
    y : array-like of shape (n_samples,)
        Labels -1 and 1, both present.
    activations : array-like of bool, shape (n_samples, n_units, n_contexts)
        Gates of the inputs, see :mod:`gnorm.gates`.
    C : float or array-like of shape (n_samples,), default=inf
        Weight of the hinge loss, positive; ``inf`` for samples that must have margin 1.
    norm, unit_weights, unit_features, method, tol, max_iter, memory_limit, sample_weight, verbose
        See :func:`solve`.

    Returns
    -------
    MarginSolution
        Primal and dual point with both values and the relative gap.

    Raises
    ------
    NotSeparableError
        If the samples with ``C=inf`` cannot be separated; carries a certificate.
    MemoryError
        If the method needs more than `memory_limit`; says how much.
    ValueError
        For malformed input.

    Warns
    -----
    ConvergenceWarning
        If the gap reached is above ``tol``, also after an interrupt from the keyboard. The solution
        is valid, with the gap it states.

    References
    ----------
    .. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
       generalized gated linear networks. arXiv:2202.02649.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm import max_margin
    >>> X = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    >>> y = np.array([1, -1, 1, -1])  # exclusive or: no linear predictor separates it
    >>> activations = np.stack([X[:, 0] < 0, X[:, 0] >= 0], axis=-1)[:, None, :]
    >>> solution = max_margin(X, y, activations)
    >>> round(solution.norm, 6), solution.status.value
    (1.414214, 'optimal')
    """
    options = {
        "method": method,
        "tol": tol,
        "max_iter": max_iter,
        "memory_limit": memory_limit,
        "verbose": verbose,
    }
    solution = _solve(
        X, y, activations, Hinge(), C, norm, unit_weights, sample_weight, options, unit_features
    )
    assert isinstance(solution, MarginSolution)
    warn_if_unfinished(solution, tol)
    return solution


def _solve(
    X: Any,
    y: ArrayLike,
    activations: ArrayLike,
    loss: Loss,
    C: float | ArrayLike,
    norm: str | Norm | None,
    unit_weights: ArrayLike | None,
    sample_weight: ArrayLike | None,
    options: dict[str, Any],
    unit_features: ArrayLike | None = None,
) -> Solution:
    """Check, merge, choose, solve, certify and expand."""
    X, targets, gates, weight = check_samples(X, y, activations, loss, C, sample_weight)
    loss = loss.fitted_to(targets[weight > 0])
    mask = check_unit_features(unit_features, gates.shape[1], X.shape[1])
    if unit_weights is not None:
        norm = _weighted_norm(norm, gates[weight > 0], unit_weights, mask)
    design, merged = prepare(X, targets, gates, weight, norm, mask)
    return solve_prepared(design, merged, targets, loss, 1.0, **options)


def _weighted_norm(
    norm: str | Norm | None,
    gates: np.ndarray,
    unit_weights: ArrayLike,
    unit_features: np.ndarray | None,
) -> Norm:
    """Norm that the gates induce, with weights of the units."""
    if norm is not None:
        raise ValueError(f"expected norm=None beside unit_weights, got norm={norm!r}")
    weights = as_numbers(unit_weights, "unit_weights")
    if weights.shape != (gates.shape[1],):
        raise ValueError(
            f"expected unit_weights of shape ({gates.shape[1]},), got shape {weights.shape}"
        )
    induced = type(get_norm(None, gates, unit_features))
    return induced(unit_weights=tuple(weights.tolist()))  # type: ignore[call-arg]  # a GroupNorm


# -- the steps, for estimators and paths as well -----------------------------------------------


def prepare(
    X: Any,
    y: np.ndarray,
    activations: np.ndarray,
    weight: np.ndarray,
    norm: str | Norm | None = None,
    unit_features: np.ndarray | None = None,
) -> tuple[Design[Any], Merged]:
    """Build a design on the distinct samples of positive weight.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Inputs in float64.
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Labels or targets; samples that differ in them stay apart.
    activations : ndarray of bool, shape (n_samples, n_units, n_contexts)
        Gates.
    weight : ndarray of shape (n_samples,)
        Weights of the loss at C = 1.
    norm : str or Norm, default=None
        See :func:`solve`.
    unit_features : ndarray of bool, shape (n_units, n_features), default=None
        See :func:`solve`.

    Returns
    -------
    design : Design
        Geometry of the distinct samples.
    merged : Merged
        How the samples map to them.
    """
    if issparse(X):  # equal rows must have equal bytes
        X = X.copy()
        X.sum_duplicates()
        X.eliminate_zeros()
    check_lengths(X)
    merged = merge_samples(X, y, activations, weight)
    kept = activations[merged.rows]
    norm = get_norm(norm, kept, unit_features)
    return make_design(norm, X[merged.rows], kept, unit_features), merged


def share_gram(
    design: Design[Any], problem: Problem, method: str, memory_limit: float | None
) -> float | None:
    """Compute the Gram matrix of all samples where methods use it and it is small enough to keep.

    Returns
    -------
    float or None
        What is left of the memory allowed; None for half of what is free.
    """
    limit = available_memory() if memory_limit is None else memory_limit
    chosen = choose(problem, limit).method if method == "auto" else get_method(method)
    need = 8.0 * design.n_samples**2
    if not (chosen.uses_gram and design.is_coded) or need > _GRAM_SHARE * limit:
        return memory_limit
    design.gram.matrix(np.float64)  # kept, and handed on to the designs of some of the samples
    return None if memory_limit is None else memory_limit - need


def solve_prepared(
    design: Design[Any],
    merged: Merged,
    y: np.ndarray,
    loss: Loss,
    C: float,
    *,
    near: Near | None = None,
    **options: Any,
) -> Solution:
    """Solve on the distinct samples and report on all, without a warning.

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
    C : float
        Factor of the weights.
    near : Near, default=None
        Where to start, on the distinct samples.
    **options
        ``method``, ``tol``, ``max_iter``, ``memory_limit`` and ``verbose`` of :func:`solve`.

    Returns
    -------
    Solution
        With ``dual_coef`` and ``support`` over all samples.
    """
    problem = Problem(design, loss, y[merged.rows], merged.times(C))
    try:
        certificate, method, seconds = solve_certified(problem, near, **options)
    except NotSeparableError as error:
        raise NotSeparableError(merged.expand(error.certificate), error.residual) from None
    return expanded(certificate, merged, y, loss, C, method, options.get("tol", 1e-6), seconds)


def solve_certified(
    problem: Problem,
    near: Near | None = None,
    *,
    method: str = "auto",
    tol: float = 1e-6,
    max_iter: int | None = None,
    memory_limit: float | None = None,
    verbose: int = 0,
) -> tuple[Certificate, str, float]:
    """Choose, solve and certify; return the certificate, the name of the method and the seconds.

    From a start if it leads anywhere, else without, and "auto" by another method at last.
    """
    check_options(tol, max_iter, memory_limit)
    start = time.perf_counter()
    options: dict[str, Any] = {
        "method": method,
        "tol": tol,
        "max_iter": max_iter,
        "memory_limit": memory_limit,
        "verbose": verbose,
    }
    limit = available_memory() if memory_limit is None else float(memory_limit)
    found = _in_other_units(problem, near, limit, options)
    found = found or _with_hard_margins(problem, near, options)
    found = found or _as_one_output(problem, limit, options)
    found = found or _by_methods(problem, near, limit, options)
    return *found, time.perf_counter() - start


def _in_other_units(
    problem: Problem, near: Near | None, limit: float, options: dict[str, Any]
) -> tuple[Certificate, str] | None:
    """Solve in the unit of the data; None if the problem is near enough to that."""
    other_units = scaled(problem)
    if other_units is None:
        return None
    near = None if near is None else other_units.near(near)
    with np.errstate(all="ignore"):  # what is out of range ends the iteration
        certificate, name, _ = solve_certified(other_units.problem, near, **options)
    certificate = other_units.certified(certificate, options["tol"])
    return _separated_if_given_up(problem, certificate, get_method(name), limit, options), name


def _with_hard_margins(
    problem: Problem, near: Near | None, options: dict[str, Any]
) -> tuple[Certificate, str] | None:
    """Solve the hard margin in place of bounds that are too far away; None if that is not it."""
    if (hard := _as_hard(problem)) is None:
        return None
    with suppress(NotSeparableError):
        found, name, _ = solve_certified(hard, near, **options)
        point = replace(found.point, primal=found.zeta, dual_coef=found.dual_coef)
        certificate = certify(problem, point, options["tol"])
        if certificate.gap <= options["tol"] or point.status is Status.INTERRUPTED:
            return certificate, name
    return None


def _as_one_output(
    problem: Problem, limit: float, options: dict[str, Any]
) -> tuple[Certificate, str] | None:
    """Solve hard margins of several outputs, under a norm of kernels, as those of one output.

    None if that is not it, another method is asked for, or memory is short.
    """
    norm, n_outputs = problem.design.norm, problem.n_outputs
    is_asked = options["method"] in ("auto", "interior-point", "working-set", "primal")
    if n_outputs == 1 or not (isinstance(norm, UnitNorm) and problem.is_hard.all() and is_asked):
        return None
    if 8.0 * problem.design.X.size * n_outputs**2 > limit:
        return None
    pairs = paired(problem)
    try:
        certificate, name, _ = solve_certified(pairs.problem, **options)
    except NotSeparableError as error:
        raise pairs.proof(error) from None
    return pairs.certified(certificate, options["tol"]), name


def _by_methods(
    problem: Problem, near: Near | None, limit: float, options: dict[str, Any]
) -> tuple[Certificate, str]:
    """Solve by the method that was chosen, and by others where it gives up."""
    method, tol, max_iter = options["method"], options["tol"], options["max_iter"]
    if method == "auto":
        choice = choose(problem, limit)
        chosen = choice.method
        if options["verbose"]:
            print(f"method {chosen.name}: {choice.reason}")
    else:
        chosen = get_method(method)
    report = print_table(time.perf_counter()) if options["verbose"] else None
    certificate = _run(problem, chosen, near, tol, max_iter, limit, report)
    if _gave_up(certificate, chosen, tol):
        others = [(other, chosen) for other in lighter(problem)]
        second = second_choice(problem, chosen) if method == "auto" else None
        if second is not None and second.bytes_needed(problem) <= limit:
            others.insert(0, (problem, second))
        certificate, chosen = _by_other_means(
            problem, certificate, chosen, others, (tol, max_iter, limit, report)
        )
    return _separated_if_given_up(problem, certificate, chosen, limit, options), chosen.name


def _separated_if_given_up(
    problem: Problem,
    certificate: Certificate,
    chosen: Method,
    limit: float,
    options: dict[str, Any],
) -> Certificate:
    """Separate at last what a method has left without a predictor."""
    if np.isinf(certificate.gap) and _gave_up(certificate, chosen, options["tol"]):
        return _separated(problem, certificate, options["tol"], limit)
    return certificate


def _separated(problem: Problem, certificate: Certificate, tol: float, limit: float) -> Certificate:
    """Separate at equal scales what was not, and keep the dual point; raise the proof if any.

    What lacks memory is left out, and an interrupt from the keyboard ends it all.
    """
    if not problem.is_hard.any():
        return certificate
    pairs = paired(problem) if problem.n_outputs > 1 else None
    for separate in (_separate_at_equal_scales, _separate_by_linear_program):
        try:
            zeta = separate(problem if pairs is None else pairs.problem, limit)
        except MemoryError:
            continue
        except NotSeparableError as error:
            raise error if pairs is None else pairs.proof(error) from None
        except KeyboardInterrupt:
            point = replace(certificate.point, status=Status.INTERRUPTED)
            return replace(certificate, point=point)
        if zeta is not None:
            zeta = zeta if pairs is None else pairs.zeta(zeta)
            point = replace(certificate.point, primal=zeta, dual_coef=certificate.dual_coef)
            with np.errstate(over="ignore", invalid="ignore"):
                other = certify(problem, point, tol)
            if other.gap < certificate.gap:
                return other
    return certificate


def _separate_at_equal_scales(problem: Problem, limit: float) -> np.ndarray | None:
    brought = equilibrated(problem)
    method = choose(brought.problem, limit).method
    try:
        found = _run(brought.problem, method, None, _SEPARATED, None, limit, None)
    except NotSeparableError as error:
        if (proof := brought.proof(error)) is not None:
            raise proof from None
        return None
    if found.point.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    return None if np.isinf(found.gap) else brought.zeta(found.zeta)


def _separate_by_linear_program(problem: Problem, limit: float) -> np.ndarray | None:
    zeta, b = separation(problem, limit)
    if b is not None:
        raise_if_not_separable(problem, b, PROOF)
    return None if zeta is None else cheapest(problem, zeta)


def _as_hard(problem: Problem) -> Problem | None:
    """Return the hard margin in place of a hinge whose bounds are too far away to be seen."""
    soft = problem.C[~problem.is_hard]
    length = problem.design.max_input_norm
    if not problem.loss.is_exact_penalty or not len(soft):
        return None
    if float(np.min(soft)) * length * length < _DISTANT:
        return None
    return replace(problem, C=np.full(len(problem.C), np.inf))


def _by_other_means(
    problem: Problem,
    certificate: Certificate,
    chosen: Method,
    others: list[tuple[Problem, Method]],
    options: tuple[float, int | None, float, Report | None],
) -> tuple[Certificate, Method]:
    """Try others in turn where a method gave up; keep the best points, and whose weights they are.

    One that fails leaves what there is, and an interrupt from the keyboard ends them all.
    """
    tol, report = options[0], options[3]
    for other, method in others:
        if report is not None:
            print(f"method {method.name}: {chosen.name} ended at a gap of {certificate.gap:.1e}")
        try:
            found = _run(other, method, None, *options)
        except (RuntimeError, ArithmeticError, MemoryError, np.linalg.LinAlgError) as error:
            if report is not None:
                print(f"method {method.name} failed: {error}")
            continue
        is_interrupted = found.point.status is Status.INTERRUPTED
        if other is not problem:
            point = replace(found.point, primal=found.zeta, dual_coef=found.dual_coef)
            found = certify(problem, point, tol)
        chosen = method if found.primal_value < certificate.primal_value else chosen
        certificate = better(problem, certificate, found, tol)
        if is_interrupted:
            point = replace(certificate.point, status=Status.INTERRUPTED)
            return replace(certificate, point=point), chosen
        if certificate.gap <= tol:
            break
    return certificate, chosen


def _run(
    problem: Problem,
    method: Method,
    near: Near | None,
    tol: float,
    max_iter: int | None,
    limit: float,
    report: Report | None,
) -> Certificate:
    """Solve by one method. An interrupt from the keyboard ends it with the best point so far."""
    method.check_problem(problem)
    method.check_memory(problem, limit)
    run = Run(tol, method.max_iter if max_iter is None else int(max_iter), report, limit)
    try:
        with one_blas(len(problem.y)):
            if near is not None and method.solve_near is not None:
                certificate = method.solve_near(problem, run, near)
                if certificate is not None:
                    return certificate
                run = Run(tol, run.max_iter, report, limit)
            return method.solve(problem, run)
    except KeyboardInterrupt:
        if run.best_so_far is None:
            raise
        return certify(problem, run.best_so_far(Status.INTERRUPTED), tol)


def _gave_up(certificate: Certificate, method: Method, tol: float) -> bool:
    """Whether a method ended above the tolerance, and not because it was told to."""
    point = certificate.point
    is_spent = point.n_iter >= method.max_iter and point.status is not Status.INTERRUPTED
    is_unfinished = point.status in (Status.STALLED, Status.OPTIMAL)  # it may think otherwise
    return certificate.gap > tol and (is_unfinished or is_spent)


def expanded(
    certificate: Certificate,
    merged: Merged,
    y: np.ndarray,
    loss: Loss,
    C: float,
    method: str,
    tol: float,
    seconds: float,
) -> Solution:
    """Report on all samples what was solved on the distinct ones, for C times their weights."""
    # the share of a copy may be an ulp beyond the bound of its own
    b, kept = merged.expand(certificate.dual_coef), merged.group >= 0
    b[kept] = loss.feasible(y[kept], b[kept], weighted(C, merged.sample_weight[kept]))
    zeta, dual_value = certificate.zeta, certificate.dual_value
    if np.count_nonzero(kept) > len(merged.rows):  # the shares of copies are rounded
        dual_value -= 2 * certificate.ulp
    status, norm = certificate.point.status, certificate.norm
    gap = relative_gap(certificate.primal_value, dual_value)
    if (status is Status.OPTIMAL) != (gap <= tol):
        status = Status.OPTIMAL if gap <= tol else Status.STALLED
    least = float(np.min(loss.margins(y[merged.rows], certificate.outputs)))
    margin = least / norm if norm > 0 else 0.0 * least
    if b.ndim == 2:  # the last axis holds the outputs of each feature
        zeta = zeta.reshape(*zeta.shape[:2], -1, b.shape[1])
    kind = MarginSolution if isinstance(loss, Hinge) else Solution
    return kind(
        zeta=zeta,
        dual_coef=np.abs(b) if loss.is_margin else b,
        norm=norm,
        margin=margin,
        primal_value=certificate.primal_value,
        dual_value=dual_value,
        duality_gap=gap,
        unit_norms=norms.unit_norms(zeta.reshape(*zeta.shape[:2], -1)),
        support=np.flatnonzero(b if b.ndim == 1 else b.any(axis=1)),
        status=status,
        n_iter=certificate.point.n_iter,
        seconds=seconds,
        method=method,
    )
