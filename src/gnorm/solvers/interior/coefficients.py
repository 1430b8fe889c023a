r"""The dual coefficients of the samples as variables of the interior point.

Steps know a loss by what is here alone. A coefficient :math:`b_n` has the cost
:math:`l_n^*(-b_n)`, with two derivatives, on an interval:

- a bound that the coefficient may reach has a multiplier, and joins the complementary pairs;
- a bound at which the derivative is infinite (an open domain) keeps itself, and steps stop short;
- where the cost has a kink at 0 the coefficient is the difference of two non-negative parts.

A Newton step sees the sample through one diagonal entry and one right-hand side, into which the
parts and their multipliers are condensed and from which they are found again.
"""

from __future__ import annotations

import numpy as np

from gnorm.solvers.interior.state import State, checked
from gnorm.solvers.problem import Problem

__all__ = ["Coefficients"]

_LEAST_START = 0.1  # share of the mean that every coefficient gets that has a bound at 0
_MOST_DIAGONAL = 1e30  # beyond it a variable does not move, and single precision ends at 3e38

Index = slice | np.ndarray


def _index_of(mask: np.ndarray) -> Index:
    """Where a mask is true; a slice, which takes no copy, where that is all or nothing."""
    if mask.all() or not mask.any():
        return slice(0, len(mask) if mask.all() else 0)
    return np.flatnonzero(mask)


class Coefficients:
    """Dual coefficients of a problem, in units of a scale.

    Parameters
    ----------
    problem : Problem
        The problem.
    scale : float
        Unit of the coefficients. That of the outputs is the problem's.
    rows : ndarray of int, default=None
        Samples wanted, None for all.

    Attributes
    ----------
    signs : tuple of float
        Signs of the parts of a coefficient.
    lower, upper : ndarray of shape (n_parts * n_samples,)
        Bounds of the parts, one part after the other, in units of the scale.
    at_lower, at_upper : slice or ndarray of int
        Where they are finite and have a multiplier.
    """

    def __init__(self, problem: Problem, scale: float, rows: np.ndarray | None = None) -> None:
        self.loss = loss = problem.loss
        self.y: np.ndarray = problem.y if rows is None else problem.y[rows]
        self.C: np.ndarray = problem.C if rows is None else problem.C[rows]
        self.scale, self.unit = scale, problem.output_scale
        lower, upper = (bound / scale for bound in loss.domain(self.y, self.C))
        self.signs: tuple[float, ...] = (1.0, -1.0) if loss.has_kink else (1.0,)
        if loss.has_kink:
            lower, upper = np.zeros(2 * len(lower)), np.concatenate([upper, -lower])
        self.lower, self.upper = lower, upper
        has_multiplier = not loss.has_open_domain
        self.at_lower = _index_of(np.isfinite(lower) & has_multiplier)
        self.at_upper = _index_of(np.isfinite(upper) & has_multiplier)

    @property
    def has_barrier(self) -> bool:
        """Whether ends of an open domain hold coefficients inside."""
        return self.loss.has_open_domain

    def total(self, x: np.ndarray) -> np.ndarray:
        """Coefficients of the samples, shape (n_samples,)."""
        if len(self.signs) == 1:
            return x
        first, second = np.split(x, 2)
        return first - second

    def split(self, coef: np.ndarray) -> np.ndarray:
        """Parts of coefficients of the samples, one of which is zero where there are two."""
        if len(self.signs) == 1:
            return coef
        return np.concatenate([np.maximum(coef, 0.0), np.maximum(-coef, 0.0)])

    def parts(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs as each part sees them, with its sign."""
        return outputs if len(self.signs) == 1 else np.concatenate([outputs, -outputs])

    def dual_coef(self, x: np.ndarray) -> np.ndarray:
        """Dual point in the units of the problem, inside the domain."""
        lower, upper = self.loss.domain(self.y, self.C)
        return np.clip(self.scale * self.total(x), lower, upper)

    def derivatives(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and second derivative of the cost, in units of outputs and of the scale."""
        of_parts = [
            (sign * first / self.unit, second * (self.scale / self.unit))
            for sign, part in zip(self.signs, np.split(x, len(self.signs)), strict=True)
            for first, second in [
                self.loss.conjugate_derivatives(self.y, sign * self.scale * part, self.C)
            ]
        ]
        if len(of_parts) == 1:
            return of_parts[0]
        first, second = (np.concatenate(halves) for halves in zip(*of_parts, strict=True))
        return first, second

    # -- points ----------------------------------------------------------------------------------

    def inside(self, coef: np.ndarray) -> np.ndarray:
        """Parts of given coefficients of the samples, moved well inside of the bounds.

        Those that have a bound at 0, and both that a sample could have of either sign, get at least
        a share of the mean length.
        """
        least = _LEAST_START * max(float(np.mean(np.abs(coef))), 1e-3)
        if len(self.signs) > 1:
            parts = self.split(coef)
            return np.minimum(parts, self.upper / 2) + np.minimum(least, self.upper / 4)
        away = np.where(self.lower == 0, least, 0.0) - np.where(self.upper == 0, least, 0.0)
        coef = np.where(away > 0, np.maximum(coef, away), coef)
        coef = np.where(away < 0, np.minimum(coef, away), coef)
        return np.clip(coef, self.lower / 2, self.upper / 2)

    def entered(
        self, x: np.ndarray, outputs: np.ndarray, sigma: float, most: float
    ) -> dict[str, np.ndarray]:
        r"""Parts, slacks and multipliers near to given parts, with products of :math:`\sigma`.

        A part whose derivative is :math:`d` is :math:`\sigma / z` off its lower bound with
        :math:`z - \sigma / z = d`, and as far off the upper one with the opposite sign, but at most
        `most` and half the way between the bounds. Between the two it is what it is.

        Returns
        -------
        dict
            ``x``, ``p``, ``v``, ``z``, ``u`` for all parts, as if all had both bounds.
        """
        x = np.clip(x, self.lower, self.upper)
        d = self.parts(outputs) + self.derivatives(x)[0]
        root = np.sqrt(d**2 + 4.0 * sigma)
        # both from the sum that does not cancel
        small, large = 2.0 * sigma / (root + np.abs(d)), 0.5 * (root + np.abs(d))
        room = np.minimum(most, (self.upper - self.lower) / 2)
        from_lower = np.minimum(np.where(d > 0, small, large), room)
        from_upper = np.minimum(np.where(d > 0, large, small), room)
        x = np.maximum(x, self.lower + from_lower)
        x = np.minimum(x, self.upper - from_upper)
        # at a bound the slack itself, which the sum with the bound would round
        p = np.maximum(x - self.lower, from_lower)
        v = np.maximum(self.upper - x, from_upper)
        return {"x": x, "p": p, "v": v, "z": sigma / p, "u": sigma / v}

    def with_multipliers(self, parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Keep of slacks and multipliers those that are variables."""
        at = {"p": self.at_lower, "z": self.at_lower, "v": self.at_upper, "u": self.at_upper}
        return {name: values if name == "x" else values[at[name]] for name, values in parts.items()}

    def slacks(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances from the bounds that have multipliers."""
        return (x - self.lower)[self.at_lower], (self.upper - x)[self.at_upper]

    def barrier_reach(self, x: np.ndarray, change: np.ndarray) -> float:
        """Step at which the first coefficient comes to the end of an open domain."""
        if not self.has_barrier:
            return np.inf
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            to_bound = np.where(change < 0, (self.lower - x) / change, (self.upper - x) / change)
        return float(np.min(to_bound, initial=np.inf, where=change != 0))

    def kept_inside(self, x: np.ndarray, moved: np.ndarray, share: float) -> np.ndarray:
        """Where coefficients move to, but each at most a share of its way to an open end."""
        if not self.has_barrier:
            return moved
        return np.clip(moved, x + share * (self.lower - x), x + share * (self.upper - x))

    def rounded(self, state: State, threshold: float) -> np.ndarray:
        """Set to its bound what is closer to it than its multiplier to zero, and `threshold`.

        Distances are relative to the bound, or for a bound of 0 to the largest coefficient.
        """
        x = state.x.copy()
        largest = float(np.max(np.abs(x)))
        for at, bounds, slack, multiplier in (
            (self.at_lower, self.lower, state.p, state.z),
            (self.at_upper, self.upper, state.v, state.u),
        ):
            bounds = bounds[at]
            length = np.where(bounds == 0, largest, np.abs(bounds))
            is_at_bound = slack / length < np.minimum(multiplier, threshold)
            x[at] = np.where(is_at_bound, bounds, x[at])
        return x

    # -- Newton steps ----------------------------------------------------------------------------

    def gradient(self, state: State, outputs: np.ndarray) -> np.ndarray:
        """Derivative of the Lagrangian in each part, with given outputs."""
        gradient = self.parts(outputs) + self._first
        gradient[self.at_lower] -= state.z
        gradient[self.at_upper] += state.u
        return gradient

    def linearise(self, state: State, outputs: np.ndarray) -> np.ndarray:
        """Take the derivatives at a state; return the diagonal entry of each sample."""
        self._first, self._curvature = self.derivatives(state.x)
        curvature = self._curvature
        if self.loss.has_open_domain:
            curvature = self._secant(state.x, outputs, curvature)
        return self._with_multipliers(state, curvature)

    def _with_multipliers(self, state: State, curvature: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", divide="ignore"):
            diagonal = np.array(curvature)
            diagonal[self.at_lower] += state.z / state.p
            diagonal[self.at_upper] += state.u / state.v
            self._diagonal = np.minimum(diagonal, _MOST_DIAGONAL)
        if len(self.signs) == 1:
            return self._diagonal
        first, second = np.split(self._diagonal, 2)
        return first * second / (first + second)

    def _secant(self, x: np.ndarray, outputs: np.ndarray, curvature: np.ndarray) -> np.ndarray:
        r"""Slope of the derivative from a coefficient to that of the outputs at hand.

        Where the derivative is infinite at the bounds, Newton's method with the slope at the
        coefficient would overshoot them, or come nearer by a constant factor. The secant to
        :math:`b = -l'(f)` leads just there if the outputs stay, and becomes the tangent.
        """
        wanted = -self.loss.derivative(self.y, self.unit * outputs, self.C) / self.scale
        way = wanted - x
        rise = -outputs - self._first
        is_far = np.abs(rise) > 1e-3 * np.abs(curvature * x)
        with np.errstate(divide="ignore", invalid="ignore"):
            self._slope = np.where((rise * way > 0) & is_far, rise / way, curvature)
        self._way = way
        return self._slope

    def with_tangents(self, state: State, change: np.ndarray) -> np.ndarray | None:
        """Diagonal with the tangent for samples that a direction moves against their secant.

        None if it moves none so. The secant of such a sample may be far too flat on that side.
        """
        if not self.has_barrier:
            return None
        is_against = (change * self._way < 0) & (self._slope < self._curvature)
        if not np.any(is_against):
            return None
        self._slope = np.where(is_against, self._curvature, self._slope)
        return self._with_multipliers(state, self._slope)

    def condensed(
        self, state: State, gradient: np.ndarray, to_z: np.ndarray, to_u: np.ndarray
    ) -> np.ndarray:
        """Right-hand side of each sample, for targets of the products of the pairs."""
        rhs = -gradient
        rhs[self.at_lower] += to_z / state.p
        rhs[self.at_upper] -= to_u / state.v
        self._rhs = checked(rhs)
        if len(self.signs) == 1:
            return rhs
        (first, second), (one, two) = np.split(self._diagonal, 2), np.split(rhs, 2)
        return checked((one * second - two * first) / (first + second))

    def expanded(
        self,
        state: State,
        change: np.ndarray,
        outputs: np.ndarray,
        to_z: np.ndarray,
        to_u: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Changes of parts, slacks and multipliers, from those of coefficients and outputs."""
        dx = change
        if len(self.signs) > 1:
            dx = (self._rhs - self.parts(outputs)) / self._diagonal
            # What the stiffer part leaves is the other's: its own quotient would lose digits.
            (first, second), (one, two) = np.split(dx, 2), np.split(self._diagonal, 2)
            dx = np.concatenate(
                [
                    np.where(one < two, change + second, first),
                    np.where(one < two, second, first - change),
                ]
            )
        dp, dv = dx[self.at_lower], -dx[self.at_upper]
        return {
            "x": dx,
            "p": dp,
            "v": dv,
            "z": (to_z - state.z * dp) / state.p,
            "u": (to_u - state.u * dv) / state.v,
        }
