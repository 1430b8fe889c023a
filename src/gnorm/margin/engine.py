"""The front door of the engine: checks, choice of the method, certified answer."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from gnorm import kernels, norms
from gnorm.margin import interior_point, primal, warm, working_set
from gnorm.margin.choice import available_memory, check_memory, choose, n_coded_features
from gnorm.margin.design import GatedDesign
from gnorm.margin.merge import Merged, merge_samples
from gnorm.margin.problem import MarginProblem, Point, relative_gap
from gnorm.margin.solution import MarginSolution, NotSeparableError, Status
from gnorm.margin.warm import Linear, Near, Solved

__all__ = [
    "GRAM_METHODS",
    "certified",
    "check_activations",
    "check_lengths",
    "check_sample_weight",
    "check_samples",
    "check_upper",
    "max_margin",
    "merged_design",
    "on_all",
    "solve",
    "solve_anyhow",
    "solve_merged",
    "solve_near",
    "warn_if_unfinished",
    "weighted_upper",
]


def _solve_conic(solver: str) -> Callable[..., Point]:
    def solve_by_cvxpy(problem: MarginProblem, **options: Any) -> Point:
        from gnorm.margin import conic  # loads cvxpy

        return conic.solve(problem, solver=solver, **options)

    return solve_by_cvxpy


_METHODS: dict[str, Callable[..., Point]] = {
    "interior-point": interior_point.solve,
    "working-set": working_set.solve,
    "primal": primal.solve,
    "clarabel": _solve_conic("CLARABEL"),
    "scs": _solve_conic("SCS"),
}
GRAM_METHODS = ("interior-point", "working-set")
"""Methods that use the Gram matrix; they also start near a solution if there is one."""
_FEW_FEATURES = 2000  # gated features that "primal" may be tried with on fewer samples
_DEFAULT_MAX_ITER = {
    "interior-point": 100,
    "working-set": 100,
    "primal": 100,
    "clarabel": 200,
    "scs": 100_000,
}


def max_margin(
    X: Any,
    y: ArrayLike,
    activations: ArrayLike,
    C: float | ArrayLike = np.inf,
    *,
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

    For one-hot gates the penalty is the GLN norm, for on/off gates the FReLU norm. With ``C=inf``
    it is the hard margin: the predictor of least norm with :math:`y_n f(x_n) \ge 1`.

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
    method : {"auto", "interior-point", "working-set", "primal", "clarabel", "scs"}, default="auto"
        "interior-point" is the engine's own, in time cubic and memory quadratic in the samples.
        "working-set" runs it on the samples that come near the margin, and certifies the result on
        all. "primal" is an interior point through the features, in time and memory linear in the
        samples, for many samples of few gated features. "clarabel" and "scs" solve the same
        problem through cvxpy. "auto" picks one of the first three by the sizes of the problem, and
        tries another where that one gives up; ``verbose=1`` says which and why.
    tol : float, default=1e-6
        Relative duality gap, over all samples, at which the problem counts as solved. Rounding
        errors end the iteration at about 1e-8, later or earlier with the data.
    max_iter : int, default=None
        Most iterations of the method; None means 200 for "clarabel", 100,000 for "scs" and 100 for
        the engine's own.
    memory_limit : float, default=None
        Most memory in bytes that the engine's own methods may take beside the data; None for half
        of what is free.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative factors of ``C``. A sample of weight 0 is as if it were absent.
    verbose : int, default=0
        1 prints the method and a line an iteration.

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
    X, labels, gates, upper = check_samples(X, y, activations, C, sample_weight)
    design, merged = merged_design(GatedDesign, X, labels, gates, upper)
    solution = solve_merged(
        design,
        labels,
        merged,
        method=method,
        tol=tol,
        max_iter=max_iter,
        memory_limit=memory_limit,
        verbose=verbose,
    )
    warn_if_unfinished(solution, tol)
    return solution


def check_samples(
    X: Any,
    y: ArrayLike,
    activations: ArrayLike,
    C: float | ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """Return X, labels, activations and the bounds C times the weights, checked as arrays."""
    X = check_array(X, accept_sparse="csr", dtype=np.float64, input_name="X")
    labels = column_or_1d(y)
    gates = check_activations(activations, X.shape[0])
    check_consistent_length(X, labels)
    upper = check_upper(C, X.shape[0])
    weight = check_sample_weight(sample_weight, X.shape[0])
    upper = weighted_upper(upper, weight)
    if not set(np.unique(labels).tolist()) <= {-1, 1}:
        raise ValueError(f"expected labels -1 and 1 in y, got {np.unique(labels)[:10]}")
    present = np.unique(labels[upper > 0])
    if len(present) != 2:
        raise ValueError(
            f"expected samples of positive weight with both labels, got only {present}"
        )
    return X, labels, gates, upper


def check_lengths(X: Any) -> None:
    """Raise ValueError if a squared norm of an input overflows."""
    with np.errstate(over="ignore"):
        largest = float(np.max(kernels.squared_row_norms(X)))
    if not np.isfinite(largest):
        raise ValueError(
            "expected inputs whose squared norms are finite in float64, got entries up to "
            f"{abs(X).max():.1e}"
        )


def check_activations(activations: ArrayLike, n_samples: int) -> np.ndarray:
    """Return activations as a bool array of shape (n_samples, n_units, n_contexts)."""
    activations = np.asarray(activations)
    if (
        activations.dtype != np.bool_
        or activations.ndim != 3
        or len(activations) != n_samples
        or 0 in activations.shape
    ):
        raise ValueError(
            f"expected activations of dtype bool and shape ({n_samples}, n_units, n_contexts), "
            f"got dtype {activations.dtype} and shape {activations.shape}"
        )
    return activations


def check_upper(C: float | ArrayLike, n_samples: int) -> np.ndarray:
    """Return ``C`` as an array of shape (n_samples,), positive and possibly infinite."""
    upper = np.asarray(C, dtype=float)
    if upper.shape not in ((), (n_samples,)):
        raise ValueError(
            f"expected C to be a number or of shape ({n_samples},), got shape {upper.shape}"
        )
    if not np.all(upper > 0):  # catches NaN as well
        raise ValueError(f"expected C > 0, got {np.min(upper)}")
    return np.broadcast_to(upper, (n_samples,))


def weighted_upper(upper: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return ``upper * weight``; 0 where the weight is, finite where ``upper`` is."""
    with np.errstate(over="ignore"):
        weighted = np.multiply(upper, weight, out=np.zeros(len(weight)), where=weight > 0)
    if np.any(np.isinf(weighted) & np.isfinite(upper)):
        raise ValueError("expected C times the weights to be finite in float64, got an overflow")
    return weighted


def check_sample_weight(sample_weight: ArrayLike | None, n_samples: int) -> np.ndarray:
    """Return the weights as an array of shape (n_samples,), finite, >= 0, not all 0."""
    if sample_weight is None:
        return np.ones(n_samples)
    weight = np.asarray(sample_weight, dtype=float)
    if weight.shape != (n_samples,):
        raise ValueError(
            f"expected sample_weight of shape ({n_samples},), got shape {weight.shape}"
        )
    if not np.all(np.isfinite(weight)) or np.any(weight < 0):
        raise ValueError(
            "expected finite, non-negative sample_weight, got values between "
            f"{np.min(weight)} and {np.max(weight)}"
        )
    if not np.any(weight):
        raise ValueError("expected a positive sample_weight, got zero weight for every sample")
    return weight


def merged_design(
    kind: type[GatedDesign], X: Any, labels: np.ndarray, activations: np.ndarray, upper: np.ndarray
) -> tuple[GatedDesign, Merged]:
    """Build a design on the distinct samples of positive weight.

    Parameters
    ----------
    kind : type
        Class of the design.
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Inputs in float64.
    labels : ndarray of shape (n_samples,)
        Labels; samples that differ in label stay apart.
    activations : ndarray of bool, shape (n_samples, n_units, n_contexts)
        Gates.
    upper : ndarray of shape (n_samples,)
        Bounds of the dual coefficients.

    Returns
    -------
    design : GatedDesign
        Geometry of the distinct samples.
    merged : Merged
        How the samples map to them.
    """
    if issparse(X):  # equal rows must have equal bytes
        X = X.copy()
        X.sum_duplicates()
        X.eliminate_zeros()
    check_lengths(X)
    merged = merge_samples(X, labels, activations, upper)
    return kind(X[merged.rows], activations[merged.rows]), merged


def solve_merged(
    design: GatedDesign,
    y: np.ndarray,
    merged: Merged,
    near: Near | None = None,
    **options: Any,
) -> MarginSolution:
    """Solve on the distinct samples and report on all, without a warning.

    Parameters
    ----------
    design : GatedDesign
        Geometry of the distinct samples.
    y : ndarray of shape (n_samples,)
        Labels -1 and 1 of all samples.
    merged : Merged
        How the samples map to the distinct ones.
    near : Near, default=None
        Where to start, on the distinct samples.
    **options
        Options of :func:`solve`.

    Returns
    -------
    MarginSolution
        With ``dual_coef`` and ``support`` over all samples.
    """
    problem = MarginProblem(design, y[merged.rows].astype(float), merged.upper)
    try:
        solution, _ = solve_anyhow(problem, near, **options)
    except NotSeparableError as error:
        raise NotSeparableError(merged.expand(error.certificate), error.residual) from None
    return on_all(solution, merged)


def on_all(solution: MarginSolution, merged: Merged) -> MarginSolution:
    """Report on all samples what was solved on the distinct ones."""
    dual_coef = merged.expand(solution.dual_coef)
    return replace(solution, dual_coef=dual_coef, support=np.flatnonzero(dual_coef))


def solve(
    problem: MarginProblem,
    *,
    method: str = "auto",
    tol: float = 1e-6,
    max_iter: int | None = None,
    memory_limit: float | None = None,
    verbose: int = 0,
) -> MarginSolution:
    """Solve a max-margin problem and certify the answer on its features.

    Parameters
    ----------
    problem : MarginProblem
        The problem.
    method : {"auto", "interior-point", "working-set", "primal", "clarabel", "scs"}, default="auto"
        The method, see :func:`max_margin`.
    tol : float, default=1e-6
        Relative duality gap at which the problem counts as solved.
    max_iter : int, default=None
        Most iterations; None for the default of the method.
    memory_limit : float, default=None
        Most memory in bytes that the engine's own methods may take beside the data; None for half
        of what is free.
    verbose : int, default=0
        1 prints the method and a line an iteration.

    Returns
    -------
    MarginSolution
        Primal and dual point with both values and the relative gap.

    Raises
    ------
    MemoryError
        If the method needs more than `memory_limit`; says how much.
    """
    solution, _ = solve_anyhow(
        problem,
        None,
        method=method,
        tol=tol,
        max_iter=max_iter,
        memory_limit=memory_limit,
        verbose=verbose,
    )
    warn_if_unfinished(solution, tol)
    return solution


def solve_near(
    problem: MarginProblem,
    near: Near | None,
    *,
    linear: Linear | None = None,
    method: str = "auto",
    tol: float = 1e-6,
    max_iter: int | None = None,
    memory_limit: float | None = None,
    verbose: int = 0,
) -> Solved | None:
    """Solve a max-margin problem from the solution of a similar one, without a warning.

    Parameters
    ----------
    problem : MarginProblem
        The problem.
    near : Near or None
        Where to start; only "interior-point" and "working-set" make use of it.
    linear : callable, default=None
        What :func:`gnorm.margin.warm.solve` takes beside it.
    method, tol, max_iter, memory_limit, verbose
        Options of :func:`solve`.

    Returns
    -------
    tuple of (MarginSolution, ndarray of shape (n_samples,)) or None
        Solution and functional margins :math:`y_n f(x_n)`; None if the start led nowhere. Without
        one it is never None.
    """
    if method not in ("auto", *_METHODS):
        raise ValueError(f"method must be one of {['auto', *_METHODS]}, got {method!r}")
    if not 0 < tol < np.inf:
        raise ValueError(f"expected a finite tol > 0, got {tol}")
    if max_iter is not None and max_iter < 1:
        raise ValueError(f"expected max_iter >= 1, got {max_iter}")
    if memory_limit is not None and not memory_limit > 0:
        raise ValueError(f"expected memory_limit > 0 bytes or None, got {memory_limit}")
    limit = available_memory() if memory_limit is None else float(memory_limit)
    if method == "auto":
        choice = choose(problem, limit)
        method = choice.method
        if verbose:
            print(f"method {method}: {choice.reason}")
    check_memory(problem, method, limit)
    options: dict[str, Any] = {"memory_limit": limit} if method == "working-set" else {}
    max_iter = _DEFAULT_MAX_ITER[method] if max_iter is None else max_iter

    start = time.perf_counter()
    report = _print_table(start) if verbose else None

    def certify(point: Point) -> Solved:
        return certified(problem, point, method, tol, start)

    if near is not None and method in GRAM_METHODS:
        return warm.solve(
            problem,
            near,
            certify,
            tol=tol,
            max_iter=max_iter,
            report=report,
            linear=linear,
            **options,
        )
    return certify(_METHODS[method](problem, tol=tol, max_iter=max_iter, report=report, **options))


def solve_anyhow(problem: MarginProblem, near: Near | None, **options: Any) -> Solved:
    """Solve from a start if it leads anywhere, else without, and "auto" by another method at last.

    See :func:`solve_near` for the options.
    """
    solved = solve_near(problem, near, **options)
    while solved is None:
        solved = solve_near(problem, None, **options)
    if options.get("method", "auto") != "auto" or not _gave_up(solved[0], options["tol"]):
        return solved
    return _second_opinion(problem, solved, **options)


def _gave_up(solution: MarginSolution, tol: float) -> bool:
    """Whether a method ended above the tolerance, and not because it was told to."""
    is_spent = solution.n_iter >= _DEFAULT_MAX_ITER.get(solution.method, np.inf)
    return solution.duality_gap > tol and (solution.status is Status.STALLED or is_spent)


def _second_opinion(problem: MarginProblem, first: Solved, **options: Any) -> Solved:
    """Solve by another method and return the better of the two."""
    method = "working-set" if first[0].method == "primal" else "primal"
    if method == "primal" and n_coded_features(problem) > max(len(problem.y), _FEW_FEATURES):
        return first
    if options.get("verbose"):
        print(f"method {method}: {first[0].method} ended at a gap of {first[0].duality_gap:.1e}")
    try:
        second = solve_near(problem, None, **options | {"method": method})
    except MemoryError:  # what there is fits
        return first
    assert second is not None
    best, margins = min(first, second, key=lambda solved: solved[0].duality_gap)
    return replace(best, seconds=first[0].seconds + second[0].seconds), margins


def warn_if_unfinished(solution: MarginSolution, tol: float, stacklevel: int = 3) -> None:
    """Warn with ConvergenceWarning of a gap above the tolerance.

    Parameters
    ----------
    solution : MarginSolution
        The solution.
    tol : float
        Relative duality gap that was asked for.
    stacklevel : int, default=3
        Whom the warning names; 3 is the caller of the caller.
    """
    if solution.duality_gap <= tol:
        return
    reach = "the solution is within that gap of the optimum"
    if not np.isfinite(solution.duality_gap):
        reach = "no separating predictor was found yet"
    warnings.warn(
        f"{solution.method} stopped after {solution.n_iter} iterations ({solution.status.value}) "
        f"at a relative duality gap of {solution.duality_gap:.1e}, above tol={tol:.1e}; {reach}",
        ConvergenceWarning,
        stacklevel=stacklevel,
    )


def certified(
    problem: MarginProblem, point: Point, method: str, tol: float, start: float
) -> Solved:
    """Evaluate a point on the features themselves, whatever its method believes of it.

    Parameters
    ----------
    problem : MarginProblem
        The problem.
    point : Point
        Where the method ended.
    method : str
        Its name.
    tol : float
        Relative duality gap at which the problem counts as solved.
    start : float
        When the solve began, by :func:`time.perf_counter`.

    Returns
    -------
    solution : MarginSolution
        What the point is worth.
    margins : ndarray of shape (n_samples,)
        Functional margins :math:`y_n f(x_n)`.
    """
    design, y = problem.design, problem.y
    coef, weights = point.recovery
    sums = design.sums(y * coef)
    zeta = design.weights_of(sums, weights)
    margins = y * design.decision_values(zeta)
    primal_value, theta = problem.scale_primal(float(np.sum(design.unit_norms(zeta))), margins)
    zeta *= theta
    margins *= theta
    norm = float(np.sum(design.unit_norms(zeta)))

    a = np.clip(point.dual_coef, 0.0, problem.upper)
    sums += design.sums(y * (a - coef))  # the two points differ in few samples, if at all
    dual_value, length = problem.scale_dual(a, float(np.max(design.norms_of(sums))))
    a = np.minimum(length * a, problem.upper)

    gap = relative_gap(primal_value, dual_value)
    status = point.status
    if (status is Status.OPTIMAL) != (gap <= tol):
        status = Status.OPTIMAL if gap <= tol else Status.STALLED
    solution = MarginSolution(
        zeta=zeta,
        dual_coef=a,
        norm=norm,
        margin=float(np.min(margins)) / norm if norm > 0 else 0.0,
        primal_value=primal_value,
        dual_value=dual_value,
        duality_gap=gap,
        unit_norms=norms.unit_norms(zeta),
        support=np.flatnonzero(a),
        status=status,
        n_iter=point.n_iter,
        seconds=time.perf_counter() - start,
        method=method,
    )
    return solution, margins


def _print_table(start: float) -> Callable[[int, float, float, float], None]:
    print(f"{'iter':>4} {'primal':>14} {'dual':>14} {'gap':>9} {'step':>6} {'seconds':>8}")

    def report(n_iter: int, primal_value: float, dual_value: float, step: float) -> None:
        gap = relative_gap(primal_value, dual_value)
        seconds = time.perf_counter() - start
        print(
            f"{n_iter:4d} {primal_value:14.7e} {dual_value:14.7e} {gap:9.2e} {step:6.3f} "
            f"{seconds:8.3f}"
        )

    return report
