r"""Both values and the gap of any pair of points: the only place.

Whatever zeta and whatever b in the domain a method ends with, their values bracket the optimum.
Both points are first brought to the multiple that is best for them, a problem of one dimension
that the loss solves.

The values are those of the arrays as they are returned, and bounds: the primal value is raised by
all that rounding may have taken from it, and the dual value is lowered. Outputs may be off by
:math:`\gamma \|x_n\| \sum_{hc} \|\zeta_{hc}\|` with :math:`\gamma` the length of the sums times the
unit of rounding; for a margin loss the least favourable of them are found before the best
multiple, which then is longer by as much: where C is large, outputs short of the margin by an ulp
would cost everything else. Where these bounds decide whether the gap is met, outputs and sums are
computed once more, in twice the digits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gnorm.gated import frobenius_norms
from gnorm.gating import ContextWeights
from gnorm.solvers.accurate import UNIT, accurate_outputs, accurate_sums
from gnorm.solvers.problem import Point, Problem
from gnorm.solvers.solution import Status

__all__ = [
    "Affine",
    "Certificate",
    "better",
    "certify",
    "dual_value",
    "primal_value",
    "relative_gap",
    "rescaled",
]

_NEGLIGIBLE = 1e-9  # relative uncertainty of the values up to which more digits are not worth it
_SHARE = 0.1  # ... and as a share of a gap that no digits would close


def relative_gap(primal_value: float, dual_value: float) -> float:
    """Duality gap relative to the primal value; infinite while there is no primal point."""
    if not np.isfinite(primal_value):
        return np.inf
    if primal_value == 0:
        return 0.0 if dual_value >= 0 else np.inf
    return (primal_value - dual_value) / abs(primal_value)


@dataclass(frozen=True)
class Affine:
    r"""What samples outside of a problem add to its values, as far as their losses are affine.

    With a dual coefficient :math:`b_n` that stays what it is, the loss of a sample is
    :math:`-l_n^*(-b_n) - b_n f_n` on its affine piece, and no less elsewhere.

    Attributes
    ----------
    conjugate : float
        :math:`\sum_n l_n^*(-b_n)`.
    aligned : float
        :math:`\sum_n b_n f_n`.
    """

    conjugate: float = 0.0
    aligned: float = 0.0


def primal_value(
    problem: Problem, norm: float, outputs: np.ndarray, others: Affine | None = None
) -> tuple[float, float]:
    r"""Value and length of the best multiple of a predictor.

    Parameters
    ----------
    problem : Problem
        The problem.
    norm : float
        Norm of the predictor.
    outputs : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Its values :math:`f(x_n)`.
    others : Affine, default=None
        Further samples. The value then is a lower bound of that over all.

    Returns
    -------
    value : float
        Primal value, ``inf`` if a hard-margin sample is on the wrong side.
    theta : float
        The minimiser.
    """
    others = others or Affine()
    loss, y, C = problem.loss, problem.y, problem.C
    theta = loss.primal_multiple(y, outputs, C, norm, -others.aligned)
    with np.errstate(over="ignore"):
        losses = float(np.sum(loss.value(y, theta * outputs, C)))
        value = (
            0.5 * (theta * norm) * (theta * norm)
            + losses
            - others.conjugate
            - theta * others.aligned
        )
    return value, theta


def dual_value(
    problem: Problem, b: np.ndarray, dual_norm: float, others: Affine | None = None
) -> tuple[float, float]:
    r"""Value and length of the best multiple of a dual point that is in the domain.

    Parameters
    ----------
    problem : Problem
        The problem.
    b : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Point of the domain.
    dual_norm : float
        :math:`R^\circ(V(b))`, further samples included.
    others : Affine, default=None
        Further samples, whose coefficients may become shorter but not longer.

    Returns
    -------
    value : float
        Dual value.
    theta : float
        The maximiser.
    """
    loss, y, C = problem.loss, problem.y, problem.C
    longest = np.inf if others is None else 1.0
    others = others or Affine()
    theta = loss.dual_multiple(y, b, C, dual_norm, others.conjugate, longest)
    # conjugates are convex and 0 at 0: of those outside a share theta is an upper bound
    conjugate = float(np.sum(loss.conjugate(y, theta * b, C))) + theta * others.conjugate
    return -conjugate - 0.5 * (theta * dual_norm) * (theta * dual_norm), theta


@dataclass(frozen=True, eq=False)
class Certificate:
    """A pair of points, evaluated on the features themselves and over all samples.

    Attributes
    ----------
    zeta : ndarray of the shape that `Design.rows_shape` says
        Primal point.
    outputs : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Its values.
    error : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Bound of the rounding errors of these.
    norm, primal_value : float
        Its norm, and the value of the problem at it or a little more: rounding errors are added.
    length : float
        The multiple of the point of the method that it is.
    dual_coef : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Dual point b.
    dual_value : float
        Its value or a little less.
    ulp : float
        What that may lose if every dual coefficient is rounded once more.
    point : Point
        Where they come from.
    """

    zeta: np.ndarray
    outputs: np.ndarray
    error: np.ndarray
    norm: float
    primal_value: float
    length: float
    dual_coef: np.ndarray
    dual_value: float
    ulp: float
    point: Point

    @property
    def gap(self) -> float:
        """Relative duality gap, what rounding may have hidden of it included."""
        return relative_gap(self.primal_value, self.dual_value)

    def ended(self, status: Status, n_iter: int | None = None) -> Certificate:
        """Return the same points, where a method ended so, after so many iterations if given."""
        n_iter = self.point.n_iter if n_iter is None else n_iter
        return replace(self, point=replace(self.point, status=status, n_iter=n_iter))

    def on(
        self,
        problem: Problem,
        tol: float,
        *,
        zeta: np.ndarray | None = None,
        dual_coef: np.ndarray | None = None,
    ) -> Certificate:
        """Evaluate the points, or others in place of one or both, on a problem."""
        zeta = self.zeta if zeta is None else zeta
        dual_coef = self.dual_coef if dual_coef is None else dual_coef
        return certify(problem, replace(self.point, primal=zeta, dual_coef=dual_coef), tol)


def certify(problem: Problem, point: Point, tol: float = 0.0) -> Certificate:
    """Evaluate a pair of points on the features, whatever a method believes of it.

    Parameters
    ----------
    problem : Problem
        The problem.
    point : Point
        Where a method ended.
    tol : float, default=0.0
        Relative gap that is asked for. More digits than it takes to meet it are not computed.

    Returns
    -------
    Certificate
        The best multiples of the points, with their values.
    """
    design = problem.design
    if isinstance(point.primal, tuple):
        coef, shares = point.primal
        sums = design.sums(coef)
        zeta = design.recovered(sums, shares)
    else:
        coef, sums, zeta = problem.zero_outputs, None, point.primal
    primal = _Primal(problem, zeta)
    b = problem.loss.feasible(problem.y, point.dual_coef, problem.C)
    dual = _Dual.near(problem, b, coef, sums)
    if _is_hidden(primal, dual, tol):
        primal, dual = primal.accurate(), dual.accurate()
    return Certificate(
        **primal.named(), dual_coef=dual.coef, dual_value=dual.value, ulp=dual.ulp, point=point
    )


def better(problem: Problem, one: Certificate, other: Certificate, tol: float = 0.0) -> Certificate:
    """Return the better primal point and the better dual point of two pairs.

    Parameters
    ----------
    problem : Problem
        The problem.
    one, other : Certificate
        Two pairs. Where both points of one are better it is returned as it is.
    tol : float, default=0.0
        See :func:`certify`.

    Returns
    -------
    Certificate
        The pair, ended as that of the better primal point.
    """
    primal = min(one, other, key=lambda each: each.primal_value)
    dual = max(one, other, key=lambda each: each.dual_value)
    if primal is dual:
        return primal
    return primal.on(problem, tol, dual_coef=dual.dual_coef)


def rescaled(problem: Problem, certificate: Certificate) -> Certificate:
    """Bring the primal point of a certificate to the multiple that is best for other weights."""
    primal = _Primal(problem, certificate.zeta, certificate.outputs, certificate.error)
    primal.length *= certificate.length
    return replace(certificate, **primal.named())


def _is_hidden(primal: _Primal, dual: _Dual, tol: float) -> bool:
    """Whether more digits of the values may meet the tolerance, or make much of a gap vanish."""
    if relative_gap(primal.value, dual.value) <= tol or not np.isfinite(primal.hoped):
        return False
    if np.isinf(primal.value):
        return True
    hidden = primal.value - primal.hoped + dual.hoped - dual.value
    is_open = relative_gap(primal.hoped, dual.hoped) > tol
    share = _SHARE * (primal.hoped - dual.hoped) if is_open else 0.0
    return not hidden <= max(share, _NEGLIGIBLE * primal.value)


class _Primal:
    """The best multiple of unit weights, and a bound of the value at it.

    Parameters
    ----------
    problem : Problem
        The problem.
    zeta : ndarray of the shape that `Design.rows_shape` says
        Unit weights.
    outputs, error, ulp : ndarray, default=None
        Their values, a bound of the errors of these, and one of what it adds to round the weights
        once more, if they are known.

    Attributes
    ----------
    zeta, outputs, error, norm, value, length
        See :class:`Certificate`.
    hoped : float
        The value if what was rounded is in favour of the point.
    """

    def __init__(
        self,
        problem: Problem,
        zeta: np.ndarray,
        outputs: np.ndarray | None = None,
        error: np.ndarray | None = None,
        ulp: np.ndarray | None = None,
    ) -> None:
        design, self.problem = problem.design, problem
        if outputs is None or error is None:
            outputs = design.decision_values(zeta)
            error = _rounding_of_outputs(problem, zeta, design.n_features + design.n_terms + 4)
        # the product with the multiple is rounded as well, in the weights and here
        ulp = _rounding_of_outputs(problem, zeta, 2) if ulp is None else ulp
        widened = error + ulp + 4 * UNIT * np.abs(outputs)
        norm = design.norm.value(design.of_units(zeta))
        most, _ = problem.loss.least_favourable(problem.y, outputs, -widened)
        self.hoped, _ = primal_value(problem, norm, most)
        longer = norm * (1.0 + _rounding_of_norms(problem, zeta))
        self.value, self.length = self._best(longer, outputs, widened)
        self.zeta, self.norm = self.length * zeta, self.length * norm
        self.outputs, self.error = self.length * outputs, self.length * widened
        as_it_is = self._value(longer, outputs, error + 2 * UNIT * np.abs(outputs), 1.0)
        if as_it_is <= self.value:
            self.value, self.length = as_it_is, 1.0
            self.zeta, self.norm, self.outputs, self.error = zeta, norm, outputs, error

    def named(self) -> dict[str, Any]:
        """What a certificate says of it."""
        names = ("zeta", "outputs", "error", "norm", "length")
        return {"primal_value": self.value} | {name: getattr(self, name) for name in names}

    def accurate(self) -> _Primal:
        """Return the same point, with outputs in more digits."""
        outputs, error = _accurate_outputs(self.problem, self.zeta)
        ulp = 3 * UNIT * _sizes_of_terms(self.problem, self.zeta)
        found = _Primal(self.problem, self.zeta, outputs, error, ulp)
        if found.length != 1.0:  # the multiple is rounded, and what is told of it is of that
            found.outputs, found.error = _accurate_outputs(self.problem, found.zeta)
        found.length *= self.length
        return found

    def _best(self, norm: float, outputs: np.ndarray, error: np.ndarray) -> tuple[float, float]:
        problem = self.problem
        least, _ = problem.loss.least_favourable(problem.y, outputs, error)
        length = problem.loss.primal_multiple(problem.y, least, problem.C, norm)
        return self._value(norm, outputs, error, length), length

    def _value(self, norm: float, outputs: np.ndarray, error: np.ndarray, length: float) -> float:
        loss, y, C = self.problem.loss, self.problem.y, self.problem.C
        least, left = loss.least_favourable(y, outputs, error)
        with np.errstate(over="ignore", invalid="ignore"):
            losses = float(np.sum(loss.largest_value(y, length * least, length * left, C)))
            value = 0.5 * (length * norm) * (length * norm) + losses
        return value * (1.0 + _rounding_of_sum(y)) if np.isfinite(value) else np.inf


class _Dual:
    """The best multiple of a dual point in the domain, and a bound of its value.

    Parameters
    ----------
    problem : Problem
        The problem.
    b : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Point of the domain.
    sums : ndarray of the shape that `Design.rows_shape` says
        :math:`V(b)`.
    error : float
        Bound of the rounding errors of these, in the dual norm.

    Attributes
    ----------
    coef, value, ulp
        The multiple, the bound, and what it loses if every coefficient is rounded once more.
    hoped : float
        The value as if nothing had been rounded.
    """

    def __init__(self, problem: Problem, b: np.ndarray, sums: np.ndarray, error: float) -> None:
        self.problem, design = problem, problem.design
        longest = design.dual_norm(sums)
        self.hoped, _ = dual_value(problem, b, longest)
        longest = longest * (1.0 + _rounding_of_norms(problem, sums)) + error
        # the product with the multiple is rounded as well
        ulp = UNIT * _total(b, design.input_norms) * design.error_length
        length = problem.loss.dual_multiple(problem.y, b, problem.C, longest + 2 * ulp)
        multiple = problem.loss.feasible(problem.y, length * b, problem.C)
        candidates = (
            (b, *self._value(b, longest, ulp)),
            (multiple, *self._value(multiple, length * (longest + 2 * ulp), length * ulp)),
        )
        self.coef, self.value, self.ulp = max(candidates, key=lambda candidate: candidate[1])

    def _value(self, b: np.ndarray, longest: float, ulp: float) -> tuple[float, float]:
        loss, y, C = self.problem.loss, self.problem.y, self.problem.C
        with np.errstate(over="ignore", invalid="ignore"):
            conjugates = loss.conjugate(y, b, C)
            # a coefficient that is off by an ulp costs its share of the slope
            slopes = loss.conjugate_derivatives(y, b, C)[0]
            size = float(np.sum(np.abs(conjugates)))
            size += float(np.sum(np.abs(np.where(b == 0, 0.0, slopes * b))))
            value = -float(np.sum(conjugates)) - 0.5 * longest * longest
            return value - _rounding_of_sum(y) * size, (longest + ulp) * ulp + UNIT * size

    @classmethod
    def near(
        cls, problem: Problem, b: np.ndarray, coef: np.ndarray, sums: np.ndarray | None
    ) -> _Dual:
        """Return a point given other coefficients and their sums, None if these are not known."""
        design, lengths = problem.design, problem.design.input_norms
        # The two points differ in few samples, if at all. Where the difference is as long as they
        # are, the sum of both would lose digits.
        total, differing = _total(b, lengths), _total(b - coef, lengths)
        if sums is None or differing > total:
            sums = design.sums(b)
        elif differing > 0:
            sums, total = sums + design.sums(b - coef), 2 * total + 3 * differing
        n_terms = int(np.count_nonzero(b)) + design.n_open_gates + 4
        return cls(problem, b, sums, n_terms * UNIT * total * design.error_length)

    def accurate(self) -> _Dual:
        """Return the same point, with sums in more digits."""
        design = self.problem.design
        sums, error = _accurate_sums(self.problem, self.coef)
        rounding = float(np.max(frobenius_norms(error)))
        return _Dual(self.problem, self.coef, sums, rounding * design.error_length)


# -- rounding errors -----------------------------------------------------------------------------


def _rounding_of_outputs(problem: Problem, zeta: np.ndarray, n_rounded: int) -> np.ndarray:
    """Bound of the errors of outputs, each a sum with so many roundings."""
    design = problem.design
    by_context = design.for_outputs(zeta, frobenius_norms).reshape(len(zeta), -1)
    # of the contexts of a unit, as many as it may open at once
    most = np.max if design.gating.opens_one else np.sum
    parts = ContextWeights.unchecked(by_context, design.gating.n_contexts).parts()
    by_unit = np.concatenate([most(part, axis=1, initial=0.0) for part in parts])
    # where contexts are one-hot, outputs are made of differences of two weights
    lengths = [3.0 * float(np.sum(own)) for own in by_unit.T]
    error = n_rounded * UNIT * np.outer(design.input_norms, lengths)
    return error if problem.n_outputs > 1 else error[:, 0]


def _rounding_of_norms(problem: Problem, weights: np.ndarray) -> float:
    """Bound of the relative error of a norm of unit weights or sums."""
    _, n_units, n_contexts = problem.design.gating.shape
    n_features = weights[0].size  # with outputs
    n_rounded = n_contexts * n_features + 8 * (n_units + n_contexts) + 16
    return n_rounded * UNIT * problem.design.norm_condition


def _rounding_of_sum(y: np.ndarray) -> float:
    """Bound of the relative error of a sum over samples, which NumPy adds in pairs."""
    return UNIT * (64.0 + float(np.log2(len(y))))


def _total(coef: np.ndarray, lengths: np.ndarray) -> float:
    """Sum of the lengths of the terms of a sum of features."""
    return float(np.sum(np.abs(coef).T * lengths))


def _sizes_of_terms(problem: Problem, zeta: np.ndarray) -> np.ndarray:
    """Sum of the terms of each output without their signs."""
    by_unit, X = problem.design.gating.values_by_unit, abs(problem.design.X)
    return problem.design.for_outputs(np.abs(zeta), lambda own: by_unit(X, own).sum(axis=1))


def _accurate_outputs(problem: Problem, zeta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    design = problem.design
    both = design.for_outputs(zeta, lambda own: np.stack(accurate_outputs(design, own), axis=-1))
    return both[..., 0], both[..., 1]


def _accurate_sums(problem: Problem, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if problem.n_outputs == 1:
        return accurate_sums(problem.design, coef)
    found = [accurate_sums(problem.design, column) for column in coef.T]
    sums, error = (np.stack(columns, axis=-1) for columns in zip(*found, strict=True))
    shape = problem.design.rows_shape(problem.n_outputs)
    return sums.reshape(shape), error.reshape(len(error), -1)
