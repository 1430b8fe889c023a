"""Weights of the units in a norm that is a sum over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gnorm.gated import as_numbers
from gnorm.gating import Activations

__all__ = ["WeightedUnits"]


@dataclass(frozen=True)
class WeightedUnits:
    """A norm with a factor a unit, for a norm to inherit from.

    Parameters
    ----------
    unit_weights : tuple of float, default=None
        Weights :math:`w_h`, positive and finite, one a unit; None for ones. Any sequence is taken.

    Raises
    ------
    ValueError
        If a weight is not a positive finite number.
    """

    unit_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.unit_weights is None:
            return
        weights = as_numbers(self.unit_weights, "unit_weights")
        if weights.ndim != 1 or not np.all((weights > 0) & np.isfinite(weights)):
            raise ValueError(
                "expected unit_weights of shape (n_units,), positive and finite, "
                f"got {self.unit_weights!r}"
            )
        object.__setattr__(self, "unit_weights", tuple(weights.tolist()))

    def check_gates(self, activations: Activations) -> None:
        """Raise ValueError if there is not one weight a unit."""
        self.weights(activations.shape[1])

    def weights(self, n_units: int) -> np.ndarray:
        """Weights of the units, shape (n_units,).

        Raises
        ------
        ValueError
            If there are weights for another number of units.
        """
        if self.unit_weights is None:
            return np.ones(n_units)
        if len(self.unit_weights) != n_units:
            raise ValueError(
                f"expected unit_weights of shape ({n_units},), got {len(self.unit_weights)} weights"
            )
        return np.array(self.unit_weights)
