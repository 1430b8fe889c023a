"""The front door of the engine: check, merge, choose, solve, certify, expand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from gnorm import norms
from gnorm.gated import as_numbers
from gnorm.gating import Activations, ContextWeights, OpenContexts
from gnorm.losses import Hinge, Loss, get_loss
from gnorm.norms import Norm
from gnorm.solvers.active_set.start import Near
from gnorm.solvers.attempts import solve_certified
from gnorm.solvers.certify import Certificate, relative_gap
from gnorm.solvers.design import Design, get_norm, make_design
from gnorm.solvers.memory import available_memory
from gnorm.solvers.merge import Merged, merge_samples, weighted
from gnorm.solvers.methods import choose, get_method
from gnorm.solvers.problem import Problem
from gnorm.solvers.solution import (
    MarginSolution,
    NotSeparableError,
    Solution,
    Status,
    warn_if_unfinished,
)
from gnorm.solvers.validation import (
    check_lengths,
    check_samples,
    check_unit_features,
)

__all__ = [
    "expanded",
    "max_margin",
    "prepare",
    "share_gram",
    "solve",
    "solve_prepared",
    "warn_if_unfinished",
]

_GRAM_SHARE = 0.2  # of the memory allowed, up to which the Gram matrix of all samples is kept


def solve(
    X: Any,
    y: ArrayLike,
    activations: ArrayLike | OpenContexts,
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
    activations : array-like of bool or OpenContexts, shape (n_samples, n_units, n_contexts)
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
        memory for one matrix of their pairs more; ``method="primal"`` has a block of its own
        features for each unit. Only under norms that are sums of those of the units.
    method : str, default="auto"
        "interior-point" is the engine's own, in time cubic and memory quadratic in the samples.
        "working-set" runs it on the samples that shape the solution, and certifies the result on
        all. "primal" is an interior point through the features, in time and memory linear in the
        samples, for many samples of few gated features, and not for the multinomial loss, of which
        the working set is all samples. "clarabel" and "scs" solve the same problem through cvxpy,
        under any norm. "factored" trains the network of the nuclear norm, or of a sum of norms of
        units, to the same certificate, in time linear in the samples and longer for large C.
        "highs" solves it by linear programs where norm and loss are made of planes. "auto" picks
        one by the norm and the sizes of the problem, and tries others where that one gives up;
        ``verbose=1`` says which and why.
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
        If the gap reached is above ``tol``, also after an interrupt from the keyboard, which is
        raised before there is a first point, as while samples are screened. The solution
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
    return _solve(
        X, y, activations, get_loss(loss), C, norm, unit_weights, unit_features, sample_weight,
        method=method, tol=tol, max_iter=max_iter, memory_limit=memory_limit, verbose=verbose,
    )  # fmt: skip


def max_margin(
    X: Any,
    y: ArrayLike,
    activations: ArrayLike | OpenContexts,
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
    activations : array-like of bool or OpenContexts, shape (n_samples, n_units, n_contexts)
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
        If the gap reached is above ``tol``, also after an interrupt from the keyboard, which is
        raised before there is a first point, as while samples are screened. The solution
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
    solution = _solve(
        X, y, activations, Hinge(), C, norm, unit_weights, unit_features, sample_weight,
        method=method, tol=tol, max_iter=max_iter, memory_limit=memory_limit, verbose=verbose,
    )  # fmt: skip
    assert isinstance(solution, MarginSolution)
    return solution


def _solve(
    X: Any,
    y: ArrayLike,
    activations: ArrayLike | OpenContexts,
    loss: Loss,
    C: float | ArrayLike,
    norm: str | Norm | None,
    unit_weights: ArrayLike | None,
    unit_features: ArrayLike | None,
    sample_weight: ArrayLike | None,
    *,
    tol: float,
    **options: Any,
) -> Solution:
    """Check, merge, choose, solve, certify and expand; warn the caller of the caller."""
    X, targets, gates, weight = check_samples(X, y, activations, loss, C, sample_weight)
    loss = loss.fitted_to(targets[weight > 0])
    mask = check_unit_features(unit_features, gates.shape[1], X.shape[1])
    if unit_weights is not None:
        norm = _weighted_norm(norm, gates[weight > 0], unit_weights, mask)
    design, merged = prepare(X, targets, gates, weight, norm, mask)
    solution = solve_prepared(design, merged, targets, loss, 1.0, tol=tol, **options)
    warn_if_unfinished(solution, tol, stacklevel=4)
    return solution


def _weighted_norm(
    norm: str | Norm | None,
    gates: Activations,
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
    activations: Activations,
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
    activations : ndarray of bool or OpenContexts, shape (n_samples, n_units, n_contexts)
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
    if not (chosen.uses_gram and design.unit_features is None) or need > _GRAM_SHARE * limit:
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
    tol = options.get("tol", 1e-6)
    return expanded(certificate, design, merged, y, loss, C, method, tol, seconds)


def expanded(
    certificate: Certificate,
    design: Design[Any],
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
    zeta = zeta.reshape(len(zeta), -1)
    unit_norms = norms.unit_norms(design.of_units(zeta))
    if np.count_nonzero(kept) > len(merged.rows):  # the shares of copies are rounded
        dual_value -= 2 * certificate.ulp
    status, norm = certificate.point.status, certificate.norm
    gap = relative_gap(certificate.primal_value, dual_value)
    # an interrupt is told whatever the gap: who solves one problem after another is to end
    if status is not Status.INTERRUPTED and (status is Status.OPTIMAL) != (gap <= tol):
        status = Status.OPTIMAL if gap <= tol else Status.STALLED
    least = float(np.min(loss.margins(y[merged.rows], certificate.outputs)))
    margin = least / norm if norm > 0 else 0.0 * least
    if b.ndim == 2:  # the last axis holds the outputs of each feature
        zeta = np.ascontiguousarray(zeta.reshape(len(zeta), -1, b.shape[1]).transpose(2, 0, 1))
    kind = MarginSolution if isinstance(loss, Hinge) else Solution
    return kind(
        weights=ContextWeights(zeta, design.gating.n_contexts).resized(design.n_contexts),
        dual_coef=np.abs(b) if loss.is_margin else b,
        norm=norm,
        margin=margin,
        primal_value=certificate.primal_value,
        dual_value=dual_value,
        duality_gap=gap,
        unit_norms=unit_norms,
        support=np.flatnonzero(b if b.ndim == 1 else b.any(axis=1)),
        status=status,
        n_iter=certificate.point.n_iter,
        seconds=seconds,
        method=method,
    )
