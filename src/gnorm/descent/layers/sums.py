"""How layers are put together beside chains: sums, residual branches, positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, Union

from gnorm.descent.layers.base import Layer
from gnorm.descent.layers.columns import Join, Split

__all__ = ["Chain", "Sum", "positionwise", "residual"]

Chain: TypeAlias = Sequence[Union[Layer, "Sum", "Chain"]]


class Sum:
    r"""Sum of branches that all read the same stream, :math:`a \mapsto \sum_b f_b(a)`.

    The branches must have equally many outputs, and their rates must be equal.

    Parameters
    ----------
    *branches : sequence of layers
        The branches; an empty one is the identity.
    """

    def __init__(self, *branches: Chain) -> None:
        if len(branches) < 2:
            raise ValueError(f"expected at least two branches of a Sum, got {len(branches)}")
        self.branches = branches

    def __repr__(self) -> str:
        return f"Sum({', '.join(map(repr, self.branches))})"


def residual(*layers: Layer | Sum | Chain) -> Sum:
    r"""The stream plus what layers make of it, :math:`a \mapsto a + f(a)`.

    The weights of the branch must have rates that sum to 0, so that with every rate
    non-negative they are 0: in the limit of training they are free.

    Parameters
    ----------
    *layers : Layer
        The branch.

    Returns
    -------
    Sum
        Of the identity and the branch.
    """
    return Sum([], layers)


def positionwise(n_positions: int, *layers: Layer | Sum | Chain) -> Chain:
    """The same layers for every position of a sequence.

    Parameters
    ----------
    n_positions : int
        Length of the sequence; a row of the inputs is its positions one after the other.
    *layers : Layer
        What is applied to each position.

    Returns
    -------
    list of Layer
        The layers between a :class:`Split` and a :class:`Join`.
    """
    return [Split(n_positions), *layers, Join(n_positions)]
