r"""The norms as cvxpy expressions, for convex problems of one's own.

Every function takes ``zeta`` as a cvxpy Variable, Parameter or expression, or as an array, and
returns a cvxpy expression composed of cvxpy's own atoms: it has a value, sign, curvature and
gradient, goes into objectives and constraints, and may hold Parameters that change between solves
(DPP). ``zeta`` has the shape (n_units, n_contexts, n_features), or (n_units * n_contexts,
n_features) with the contexts of a unit in consecutive rows and ``n_contexts=`` given.

========================================  =====================================  =================
function                                  formula                                of an affine zeta
========================================  =====================================  =================
:func:`gln_norm`                          :math:`((\sum_h s_h)^2                 convex, >= 0
                                          + C \|\bar\beta\|^2)^{1/2}`
:func:`gln_norm_of_predictors`            the same of the free predictors        convex, >= 0
:func:`representation_cost`               :math:`\sum_h w_h \|\zeta_h\|`         convex, >= 0
:func:`frelu_norm`                        the same, one context a unit           convex, >= 0
:func:`predictor_rms_norm`                :math:`(\|\bar\beta\|^2                convex, >= 0
                                          + \sum_h s_h^2 / C)^{1/2}`
:func:`predictor_l2_norm`                 :math:`C^{H/2}` times that             convex, >= 0
:func:`unit_norms`                        :math:`\|\zeta_h\|` of every unit      convex, >= 0
:func:`dual_norm`                         :math:`\max_h \|\zeta_h\|`             convex, >= 0
:func:`decision_values`                   :math:`f(x_n)` of every sample         affine
:func:`predictors`                        :math:`\sum_h \zeta_{h \gamma_h}`      affine
========================================  =====================================  =================

with :math:`\bar\beta` and :math:`s_h` as in :mod:`gnorm.norms`, which has the same functions of
arrays and says what they mean. Which to choose:

- :func:`gln_norm` is a norm of the predictors. It does not tell apart weights with the same
  predictors, so a solver may return any of them; :func:`gnorm.gated.canonical` picks one.
- :func:`representation_cost` is what the given weights cost, never less. As objective or as upper
  bound, with zeta entering the rest of a problem through its predictors alone, the two lead to the
  same optimal value; this one is the better objective, cheaper to solve with many contexts, and
  easier to solve to the end, since the solutions of the norm are an unbounded set. They differ with
  weights, beside terms that see zeta itself, and wherever a value is read off at a point that is
  not optimal. If the gates of a unit may be all closed, as in frozen ReLU networks, the function
  determines zeta, and this is the norm.

cvxpy compiles expressions of three dimensions by its SCIPY backend only, and warns when it has to
choose it: ``problem.solve(canon_backend="SCIPY")`` makes the choice explicit, a variable of two
dimensions does not need it.

:func:`max_margin_problem` is the problem of :func:`gnorm.max_margin` as a ``cvxpy.Problem``, to be
extended by :meth:`ScaledProblem.extended`.

Every function raises ValueError for a ``zeta`` that is complex, of a shape other than the
documented ones, or constant and not finite, and for an ``n_contexts`` that is no integer or does
not fit; a section Raises lists only what comes on top of that.

Examples
--------
The least GLN norm at which a gated linear network takes given values:

>>> import cvxpy as cp
>>> import numpy as np
>>> from gnorm import atoms
>>> X = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
>>> activations = np.stack([X[:, 0] < 0, X[:, 0] >= 0], axis=-1)[:, None, :]
>>> zeta = cp.Variable((2, 2))  # one unit of two contexts
>>> f = atoms.decision_values(zeta, X, activations)
>>> problem = cp.Problem(cp.Minimize(atoms.gln_norm(zeta, n_contexts=2)), [f == [1, -1, 1, -1]])
>>> round(float(problem.solve()), 4)
1.4142
"""

from __future__ import annotations

import math
import operator
from typing import Any

import cvxpy as cp
import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.utils import check_array

from gnorm.losses import Hinge
from gnorm.solvers.conic import MaxMarginProblem, ScaledProblem
from gnorm.solvers.design import get_norm, make_design
from gnorm.solvers.problem import Problem
from gnorm.solvers.validation import check_activations, check_lengths, check_samples

__all__ = [
    "MaxMarginProblem",
    "ScaledProblem",
    "decision_values",
    "dual_norm",
    "frelu_norm",
    "gln_norm",
    "gln_norm_of_predictors",
    "max_margin_problem",
    "predictor_l2_norm",
    "predictor_rms_norm",
    "predictors",
    "representation_cost",
    "unit_norms",
]


def unit_norms(zeta: Any, *, n_contexts: int | None = None) -> cp.Expression:
    r"""Frobenius norm of the weights of each unit, :math:`\|\zeta_h\|_F`.

    Convex, non-negative, and non-decreasing in non-negative entries of zeta.

    Parameters
    ----------
    zeta : Expression or array-like of shape (n_units, n_contexts, n_features)
        Unit weights, or of shape (n_units * n_contexts, n_features).
    n_contexts : int, default=None
        Number of contexts per unit, needed if zeta has two dimensions.

    Returns
    -------
    Expression of shape (n_units,)
        Norms.

    Examples
    --------
    >>> from gnorm.atoms import unit_norms
    >>> unit_norms([[[3.0], [4.0]], [[0.0], [0.0]]]).value
    array([5., 0.])
    """
    rows, n_units, _ = _rows(zeta, n_contexts)
    return _norms_by_unit(rows, n_units)


def representation_cost(
    zeta: Any, weights: Any = None, *, n_contexts: int | None = None
) -> cp.Expression:
    r"""Cost of one representation of a gated linear map, a group lasso over units.

    .. math:: \sum_h w_h \|\zeta_h\|_F

    Convex, non-negative, and non-decreasing in non-negative entries of zeta.

    Parameters
    ----------
    zeta : Expression or array-like of shape (n_units, n_contexts, n_features)
        Unit weights, or of shape (n_units * n_contexts, n_features).
    weights : array-like or Expression of shape (n_units,), default=None
        Non-negative weights :math:`w`, a Parameter with ``nonneg=True`` if they are to change
        between solves; None for 1.
    n_contexts : int, default=None
        Number of contexts per unit, needed if zeta has two dimensions.

    Returns
    -------
    scalar Expression
        Cost, see :func:`gnorm.norms.representation_cost`.

    Raises
    ------
    ValueError
        If weights are not constant, of this shape and known to be non-negative.

    Examples
    --------
    >>> from gnorm.atoms import representation_cost
    >>> float(representation_cost([[[3.0], [4.0]], [[1.0], [0.0]]], weights=[1.0, 10.0]).value)
    15.0
    """
    norms = unit_norms(zeta, n_contexts=n_contexts)
    return cp.sum(norms) if weights is None else _checked_weights(weights, norms.size) @ norms


def gln_norm(zeta: Any, *, n_contexts: int | None = None) -> cp.Expression:
    r"""Norm of the predictors that gradient descent on a two-layer GLN minimises.

    .. math:: \Big( \Big( \sum_h s_h \Big)^2 + C \, \|\bar\beta\|_2^2 \Big)^{1/2}

    Convex and non-negative; the same for all weights with the same predictors.

    Parameters
    ----------
    zeta : Expression or array-like of shape (n_units, n_contexts, n_features)
        Unit weights, or of shape (n_units * n_contexts, n_features).
    n_contexts : int, default=None
        Number of contexts per unit, needed if zeta has two dimensions.

    Returns
    -------
    scalar Expression
        Norm, see :func:`gnorm.norms.gln_norm`.

    Examples
    --------
    >>> from gnorm.atoms import gln_norm
    >>> round(float(gln_norm([[[1.0], [3.0]], [[0.0], [8.0]]]).value), 12)
    11.045361017187
    """
    rows, n_units, n_contexts = _rows(zeta, n_contexts)
    beta_bar = cp.sum(rows, axis=0) / n_contexts
    if n_contexts == 1:
        return cp.norm(beta_bar, 2)
    spread = cp.sum(_norms_by_unit(_contrasts(rows, n_units, n_contexts), n_units))
    return cp.norm(cp.hstack([spread, math.sqrt(n_contexts) * cp.norm(beta_bar, 2)]), 2)


def gln_norm_of_predictors(free: Any, n_units: int, n_contexts: int) -> cp.Expression:
    r"""GLN norm of a family of predictors, given by those that can be chosen freely.

    Convex and non-negative.

    Parameters
    ----------
    free : Expression or array-like of shape ((n_contexts - 1) * n_units + 1, n_features)
        Free predictors, in the order of :func:`gnorm.gated.free_predictors`.
    n_units : int
        Number of units.
    n_contexts : int
        Number of contexts per unit.

    Returns
    -------
    scalar Expression
        :func:`gln_norm` of any weights with these predictors.

    Raises
    ------
    ValueError
        If a number is not an integer of at least 1, or free has another shape.

    Examples
    --------
    >>> from gnorm.atoms import gln_norm_of_predictors
    >>> norm = gln_norm_of_predictors([[1.0], [3.0], [9.0]], n_units=2, n_contexts=2)
    >>> round(float(norm.value), 12)
    11.045361017187
    """
    n_units, n_contexts = _count(n_units, "n_units"), _count(n_contexts, "n_contexts")
    n_free = (n_contexts - 1) * n_units + 1
    free = _expression(free, "free")
    if free.ndim != 2 or free.shape[0] != n_free:
        raise ValueError(f"expected free of shape ({n_free}, n_features), got shape {free.shape}")
    # Weights with these predictors: of unit 0 the predictors while all others are in context 0, of
    # each other unit what the predictor gains when it alone leaves context 0.
    own = np.zeros((n_units, n_contexts), dtype=int)
    own[:, 1:] = 1 + np.arange(n_free - 1).reshape(n_units, n_contexts - 1)
    others = np.arange(n_contexts, own.size)
    first = (np.ones(len(others)), (others, np.zeros(len(others), dtype=int)))
    to_zeta = sp.identity(n_free, format="csr")[own.ravel()]
    to_zeta -= sp.csr_matrix(first, shape=to_zeta.shape)
    return gln_norm(cp.Constant(to_zeta) @ free, n_contexts=n_contexts)


def frelu_norm(zeta: Any, weights: Any = None) -> cp.Expression:
    r"""Norm of the predictors that gradient descent on a frozen-gate ReLU network minimises.

    .. math:: \sum_h w_h \|\zeta_h\|_2

    Convex, non-negative, and non-decreasing in non-negative entries of zeta.

    Parameters
    ----------
    zeta : Expression or array-like of shape (n_units, n_features) or (n_units, 1, n_features)
        Unit weights.
    weights : array-like or Expression of shape (n_units,), default=None
        Non-negative weights :math:`w`, a Parameter with ``nonneg=True`` if they are to change
        between solves; None for 1, which is the norm.

    Returns
    -------
    scalar Expression
        Norm, see :func:`gnorm.norms.frelu_norm`.

    Raises
    ------
    ValueError
        If units have more than one context, where cost and norm differ, or if weights are not
        constant, of this shape and known to be non-negative.

    Examples
    --------
    >>> from gnorm.atoms import frelu_norm
    >>> float(frelu_norm([[3.0, 4.0], [0.0, -2.0]]).value)
    7.0
    """
    zeta = _expression(zeta, "zeta")
    if zeta.ndim == 3 and zeta.shape[1] != 1:
        raise ValueError(
            f"expected one context per unit, the open gate, got {zeta.shape[1]} contexts; "
            "for units of several contexts use gln_norm"
        )
    return representation_cost(zeta, weights, n_contexts=1)


def predictor_rms_norm(zeta: Any, *, n_contexts: int | None = None) -> cp.Expression:
    r"""Root mean square, over all global contexts, of the norm of the predictor.

    .. math:: \Big( \|\bar\beta\|_2^2 + \tfrac{1}{C} \sum_h s_h^2 \Big)^{1/2}

    Convex and non-negative; the same for all weights with the same predictors.

    Parameters
    ----------
    zeta : Expression or array-like of shape (n_units, n_contexts, n_features)
        Unit weights, or of shape (n_units * n_contexts, n_features).
    n_contexts : int, default=None
        Number of contexts per unit, needed if zeta has two dimensions.

    Returns
    -------
    scalar Expression
        Norm, see :func:`gnorm.norms.predictor_rms_norm`.

    Examples
    --------
    >>> from gnorm.atoms import predictor_rms_norm
    >>> round(float(predictor_rms_norm([[[1.0], [3.0]], [[0.0], [8.0]]]).value) ** 2, 12)
    53.0
    """
    rows, n_units, n_contexts = _rows(zeta, n_contexts)
    parts = [cp.sum(rows, axis=0) / n_contexts]
    if n_contexts > 1:
        contrasts = _contrasts(rows, n_units, n_contexts)
        parts.append(cp.vec(contrasts, order="F") / math.sqrt(n_contexts))
    return cp.norm(cp.hstack(parts), 2)


def predictor_l2_norm(zeta: Any, *, n_contexts: int | None = None) -> cp.Expression:
    r"""L2 norm of all predictors together.

    .. math:: C^{H/2} \Big( \|\bar\beta\|_2^2 + \tfrac{1}{C} \sum_h s_h^2 \Big)^{1/2}

    Convex and non-negative; the same for all weights with the same predictors. The factor grows
    fast: :func:`predictor_rms_norm`, without it, is the better scaled for a solver.

    Parameters
    ----------
    zeta : Expression or array-like of shape (n_units, n_contexts, n_features)
        Unit weights, or of shape (n_units * n_contexts, n_features).
    n_contexts : int, default=None
        Number of contexts per unit, needed if zeta has two dimensions.

    Returns
    -------
    scalar Expression
        Norm, see :func:`gnorm.norms.predictor_l2_norm`.

    Raises
    ------
    OverflowError
        If :math:`C^{H/2}` exceeds the range of floats.

    Examples
    --------
    >>> from gnorm.atoms import predictor_l2_norm
    >>> round(float(predictor_l2_norm([[[1.0], [3.0]], [[0.0], [8.0]]]).value) ** 2, 12)
    212.0
    """
    _, n_units, n_contexts = _rows(zeta, n_contexts)
    try:
        factor = float(n_contexts) ** (n_units / 2)
    except OverflowError:
        raise OverflowError(
            f"the L2 norm over {n_contexts}^{n_units} contexts exceeds the range of floats; "
            "use predictor_rms_norm, which divides by the square root of their number"
        ) from None
    return factor * predictor_rms_norm(zeta, n_contexts=n_contexts)


def dual_norm(V: Any, *, n_contexts: int | None = None) -> cp.Expression:
    r"""Dual norm of the representation cost, :math:`\max_h \|V_h\|_F`.

    Convex, non-negative, and non-decreasing in non-negative entries of V.

    Parameters
    ----------
    V : Expression or array-like of shape (n_units, n_contexts, n_features)
        Linear functional of zeta, or of shape (n_units * n_contexts, n_features).
    n_contexts : int, default=None
        Number of contexts per unit, needed if V has two dimensions.

    Returns
    -------
    scalar Expression
        Dual norm, see :func:`gnorm.norms.dual_norm`.

    Examples
    --------
    >>> from gnorm.atoms import dual_norm
    >>> float(dual_norm([[[3.0], [4.0]], [[0.0], [2.0]]]).value)
    5.0
    """
    rows, n_units, _ = _rows(V, n_contexts, "V")
    return cp.max(_norms_by_unit(rows, n_units))


def decision_values(zeta: Any, X: Any, activations: ArrayLike) -> cp.Expression:
    r"""Decision values of the gated linear map.

    .. math:: f(x_n) = \sum_{h,c} g_{hc}(x_n) \, \langle \zeta_{hc}, x_n \rangle

    Affine. The expression holds X and the gates, not the gated features of the samples, which
    would be n_samples times the size of zeta. The compiled problem has an entry for every sample,
    open context and non-zero feature of the sample.

    Parameters
    ----------
    zeta : Expression or array-like of shape (n_units, n_contexts, n_features)
        Unit weights, or of shape (n_units * n_contexts, n_features).
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples.
    activations : array-like of bool of shape (n_samples, n_units, n_contexts)
        Open gates. Any number of contexts of a unit may be open at once.

    Returns
    -------
    Expression of shape (n_samples,)
        Decision values, see :func:`gnorm.gated.decision_values`.

    Raises
    ------
    ValueError
        If X or activations are malformed or do not fit zeta.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.atoms import decision_values
    >>> activations = np.array([[[True, False], [False, True]]])
    >>> decision_values(np.arange(8.0).reshape(2, 2, 2), [[1.0, 2.0]], activations).value
    array([22.])
    """
    if isinstance(X, cp.Expression):
        raise ValueError("expected X as an array, got a cvxpy expression")
    X = check_array(X, accept_sparse="csr", dtype=np.float64, input_name="X")
    gates = check_activations(activations, X.shape[0])
    rows, n_units, n_contexts = _rows(zeta, gates.shape[2])
    if gates.shape[1:] != (n_units, n_contexts) or X.shape[1] != rows.shape[1]:
        raise ValueError(
            f"expected X with {rows.shape[1]} features and activations with {n_units} units of "
            f"{n_contexts} contexts, as zeta has, got {X.shape[1]}, {gates.shape[1]} and "
            f"{gates.shape[2]}"
        )
    is_open = sp.csr_matrix(gates.transpose(0, 2, 1).reshape(len(gates), -1), dtype=np.float64)
    # Summed over open gates and then over features, or the other way: what is sparse goes first.
    if sp.issparse(X):
        return cp.sum(cp.multiply(cp.Constant(is_open), cp.Constant(X) @ rows.T), axis=1)
    return cp.sum(cp.multiply(X, cp.Constant(is_open) @ rows), axis=1)


def predictors(zeta: Any, context: ArrayLike, *, n_contexts: int | None = None) -> cp.Expression:
    r"""Predictor of one global context, :math:`\beta_\gamma = \sum_h \zeta_{h \gamma_h}`.

    Affine.

    Parameters
    ----------
    zeta : Expression or array-like of shape (n_units, n_contexts, n_features)
        Unit weights, or of shape (n_units * n_contexts, n_features).
    context : array-like of int of shape (n_units,)
        Global context :math:`\gamma`: the context of every unit, counted from 0.
    n_contexts : int, default=None
        Number of contexts per unit, needed if zeta has two dimensions.

    Returns
    -------
    Expression of shape (n_features,)
        The predictor.

    Raises
    ------
    ValueError
        If context does not name one of the contexts of each unit.

    Examples
    --------
    >>> from gnorm.atoms import predictors
    >>> predictors([[[1.0], [3.0]], [[0.0], [8.0]]], context=[1, 0]).value
    array([3.])
    """
    rows, n_units, n_contexts = _rows(zeta, n_contexts)
    gamma = np.asarray(context)
    if gamma.dtype.kind not in "iu" or gamma.shape != (n_units,):
        raise ValueError(
            f"expected context of integers and shape ({n_units},), got dtype {gamma.dtype} and "
            f"shape {gamma.shape}"
        )
    if np.any(gamma < 0) or np.any(gamma >= n_contexts):
        raise ValueError(
            f"expected context between 0 and {n_contexts - 1}, got values between "
            f"{np.min(gamma)} and {np.max(gamma)}"
        )
    return cp.sum(rows[gamma.astype(np.intp) * n_units + np.arange(n_units)], axis=0)


def max_margin_problem(
    X: Any, y: ArrayLike, activations: ArrayLike, C: float | ArrayLike = np.inf
) -> MaxMarginProblem:
    r"""Write the max-margin problem of :func:`gnorm.max_margin` for cvxpy.

    .. math::

        \min_\zeta \tfrac12 \Bigl( \sum_h \|\zeta_h\| \Bigr)^2
            + \sum_n C_n \max(0, 1 - y_n f(x_n))

    It is what ``gnorm.max_margin(..., method="clarabel")`` solves, and its
    :class:`MaxMarginProblem` says what can be read off it.

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

    Returns
    -------
    MaxMarginProblem
        The problem. ``solve`` leaves its status "infeasible" if the samples with ``C=inf`` cannot
        be separated; :func:`gnorm.max_margin` proves it.

    Raises
    ------
    ValueError
        For malformed input.

    Notes
    -----
    The unknowns are coordinates of the weights in the span of the features of the samples, where
    the solution lies as long as a problem sees zeta through ``margins`` and non-decreasing
    functions of ``unit_norms`` alone. Terms and constraints in these two are added by
    ``problem.extended(more, constraints)``. A ``cvxpy.Problem`` built from ``problem.objective`` is
    not the way: the objective is in the units of the data, and with features far from order one a
    solver ends at points it calls optimal that are not. Both problems share their variables and
    constraints, so that values read from the first are those of whichever was solved last.

    A term in anything else of ``zeta``, such as single entries or the decision value of another
    input, must not be added: its solution may lie outside the span, and would not be found. Write
    that problem with :func:`decision_values` and :func:`representation_cost` of a variable.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.atoms import max_margin_problem
    >>> X = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    >>> y = np.array([1, -1, 1, -1])
    >>> activations = np.stack([X[:, 0] < 0, X[:, 0] >= 0], axis=-1)[:, None, :]
    >>> problem = max_margin_problem(X, y, activations)
    >>> round(float(problem.solve(solver="CLARABEL")), 6)
    1.0
    >>> problem.dual_coef.round(6)
    array([0.5, 0.5, 0.5, 0.5])
    """
    X, labels, gates, upper = check_samples(X, y, activations, Hinge(), C)
    check_lengths(X)
    design = make_design(get_norm(None, gates), X, gates)
    return MaxMarginProblem(Problem(design, Hinge(), labels, upper))


def _expression(values: Any, name: str) -> cp.Expression:
    """Return what cvxpy or numpy has as a real expression, finite if it is constant."""
    if 0 in np.shape(values):
        raise ValueError(f"expected {name} with entries, got shape {np.shape(values)}")
    if not isinstance(values, cp.Expression):
        array = values if sp.issparse(values) else np.asarray(values)
        if array.dtype.kind not in "biufc":
            raise ValueError(f"expected real {name}, got dtype {array.dtype}")
        values = cp.Constant(array)
    if values.is_complex():
        raise ValueError(f"expected real {name}, got a complex expression")
    if not (values.variables() or values.parameters()):
        entries = values.value
        if not np.all(np.isfinite(entries.data if sp.issparse(entries) else entries)):
            raise ValueError(f"expected finite {name}, got NaN or infinite entries")
    return values


def _count(value: Any, name: str) -> int:
    """Return an integer of at least 1 of any integer type; True is none."""
    try:
        count = 0 if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(f"expected {name} as an integer of at least 1, got {value!r}")
    return count


def _rows(zeta: Any, n_contexts: int | None, name: str = "zeta") -> tuple[cp.Expression, int, int]:
    """Weights in row ``c * n_units + h``, with the numbers of units and contexts.

    In this order a reshape of zeta to rows, and of rows to one row a unit, keep entries in their
    place in the column-major order in which cvxpy counts them: both cost nothing to compile.
    """
    zeta = _expression(zeta, name)
    if n_contexts is not None:
        n_contexts = _count(n_contexts, "n_contexts")
    if zeta.ndim not in (2, 3):
        raise ValueError(
            f"expected {name} of shape (n_units, n_contexts, n_features) or (n_units * n_contexts, "
            f"n_features), got shape {zeta.shape}"
        )
    if zeta.ndim == 3:
        n_units, found, n_features = zeta.shape
        if n_contexts not in (None, found):
            raise ValueError(
                f"expected {name} with {n_contexts} contexts per unit, got shape {zeta.shape}"
            )
        return cp.reshape(zeta, (n_units * found, n_features), order="F"), n_units, found
    if n_contexts is None:
        raise ValueError(
            f"expected n_contexts with {name} of two dimensions, got shape {zeta.shape} alone"
        )
    n_rows = zeta.shape[0]
    if n_rows % n_contexts:
        raise ValueError(
            f"expected n_contexts that divides the number of rows, got n_contexts={n_contexts} "
            f"and {n_rows} rows of {name}"
        )
    order = np.arange(n_rows).reshape(-1, n_contexts).T.ravel()
    return zeta[order], n_rows // n_contexts, n_contexts


def _norms_by_unit(rows: cp.Expression, n_units: int) -> cp.Expression:
    return cp.norm(cp.reshape(rows, (n_units, rows.size // n_units), order="F"), 2, axis=1)


def _contrasts(rows: cp.Expression, n_units: int, n_contexts: int) -> cp.Expression:
    """C - 1 rows a unit, whose length is the spread of its C rows."""
    basis = sp.kron(_contrast_basis(n_contexts), sp.identity(n_units), format="csc")
    return cp.Constant(basis) @ rows


def _contrast_basis(n: int) -> Any:
    """Orthonormal rows that span the vectors of sum zero, shape (n - 1, n).

    Each is constant on two halves of a range of indices, so that there are about n log2(n)
    entries; the deviations from the mean would have n^2.
    """
    if n == 1:
        return sp.csr_matrix((0, 1))
    left, right = n // 2, n - n // 2
    halves = np.repeat([right, -left], [left, right]) / math.sqrt(left * right * n)
    return sp.vstack([halves, sp.block_diag([_contrast_basis(left), _contrast_basis(right)])])


def _checked_weights(weights: Any, n_units: int) -> cp.Expression:
    weights = _expression(weights, "weights")
    if weights.shape != (n_units,):
        raise ValueError(f"expected weights of shape ({n_units},), got shape {weights.shape}")
    if weights.variables():
        raise ValueError(
            "expected weights of constants and Parameters, got an expression of Variables"
        )
    if not weights.is_nonneg():
        got = "Parameters of unknown sign"
        if not weights.parameters():
            got = f"values between {np.min(weights.value)} and {np.max(weights.value)}"
        raise ValueError(
            f"expected weights >= 0, such as Parameter({n_units}, nonneg=True), got {got}"
        )
    return weights
