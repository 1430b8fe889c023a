"""A point of the interior-point iteration, and what its steps may do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

__all__ = ["Breakdown", "Products", "State", "checked"]

Products = tuple[np.ndarray, np.ndarray, np.ndarray]
"""One array for each kind of complementary pair."""

_NOTHING = np.empty(0)


class Breakdown(ArithmeticError):
    """A step that is out of the range of floats: the iteration ends where it is."""


def checked(values: np.ndarray) -> np.ndarray:
    """Return values; raise :class:`Breakdown` if one is not finite."""
    if not np.isfinite(values).all():
        raise Breakdown
    return values


@dataclass
class State:
    r"""A point of the iteration, or a change of it.

    Dual coefficients are in units of a scale, outputs in units of theirs (see
    :class:`gnorm.solvers.interior.system.NewtonSystem`).

    Attributes
    ----------
    z, u : ndarray
        Multipliers of the lower and of the upper bounds of dual coefficients.
    mu : ndarray of shape (n_kernels,)
        Multipliers of :math:`\tfrac12 \|V_h\|^2 \le t`, the shares of the kernels.
    zeta, outputs : ndarray
        Predictor and its values, where they are variables of their own.
    x : ndarray
        Dual coefficients, in parts where the loss has a kink.
    p, v : ndarray
        Distances of these from their lower and upper bounds.
    s : ndarray of shape (n_kernels,)
        Slacks :math:`t - \tfrac12 \|V_h\|^2`.
    t : float
        Bound of the squared norms.
    sums : ndarray
        :math:`\sum_n b_n \phi(x_n)`, where it is a variable of its own.
    """

    z: np.ndarray
    u: np.ndarray
    mu: np.ndarray
    x: np.ndarray
    p: np.ndarray
    v: np.ndarray
    s: np.ndarray
    t: float
    zeta: np.ndarray = field(default_factory=lambda: _NOTHING)
    outputs: np.ndarray = field(default_factory=lambda: _NOTHING)
    sums: np.ndarray = field(default_factory=lambda: _NOTHING)

    def pairs(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """The complementary pairs: products of entries are driven to zero together."""
        return (self.p, self.z), (self.v, self.u), (self.s, self.mu)

    def products(self) -> Products:
        """Entrywise products of the complementary pairs."""
        return self.p * self.z, self.v * self.u, self.s * self.mu

    def is_finite(self) -> bool:
        """Whether all variables of the pairs are finite."""
        return all(bool(np.all(np.isfinite(x))) for pair in self.pairs() for x in pair)

    def is_interior(self) -> bool:
        """Whether all variables of the pairs are positive and finite."""
        values = [variable for pair in self.pairs() for variable in pair]
        return all(bool(np.all((value > 0) & np.isfinite(value))) for value in values)

    def complementarity(self) -> float:
        """Mean product over all pairs, the sigma of the central path."""
        total = sum(float(x @ y) for x, y in self.pairs())
        return total / sum(len(x) for x, _ in self.pairs())

    def reach(self, change: State) -> tuple[float, float]:
        """Primal and dual step at which a first variable comes to its bound, infinite for none."""
        primal = (self.z, change.z), (self.u, change.u), (self.mu, change.mu)
        dual = (self.p, change.p), (self.v, change.v), (self.s, change.s)
        return _longest(primal), _longest(dual)

    def moved(self, change: State, primal_step: float, dual_step: float) -> State:
        """The state after a step along ``change``."""
        return self._combined(change, lambda x, dx, step: x + step * dx, primal_step, dual_step)

    def blended(self, other: State, primal_share: float, dual_share: float) -> State:
        """Go a share of the way to another change, on either side."""
        return self._combined(
            other, lambda x, y, share: x + share * (y - x), primal_share, dual_share
        )

    def _combined(self, other: State, rule: Any, primal: float, dual: float) -> State:
        return State(
            **{
                name: rule(mine, getattr(other, name), primal if name in _PRIMAL else dual)
                for name, mine in self
            }
        )

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return ((item.name, getattr(self, item.name)) for item in fields(self))


_PRIMAL = {"z", "u", "mu", "zeta", "outputs"}


def _longest(variables: tuple[tuple[np.ndarray, np.ndarray], ...]) -> float:
    slowest = 0.0
    for x, dx in variables:
        with np.errstate(over="ignore"):
            slowest = min(slowest, float(np.min(dx / x, initial=0.0)))
    return -1.0 / slowest if slowest < 0 else np.inf
