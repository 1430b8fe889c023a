r"""What a part of an optimiser is.

An optimiser is a list of parts. Every step begins with the gradient as the update; each part
changes it in place, one after the other, and what comes out is added to the weights. A part holds
settings only: what it remembers between steps is given back to it by the trainer, which saves it
with the weights, so that a run is resumed to the last bit whatever its parts are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from gnorm.gated import FloatArray

__all__ = ["Arrays", "Part", "State", "Step"]

Arrays: TypeAlias = list[FloatArray]
State: TypeAlias = dict[str, Arrays]


@dataclass
class Step:
    r"""What a part may know of the step it takes part in.

    Attributes
    ----------
    number : int
        Number of the step, from 0.
    log_scale : float
        Logarithm s of the scale of the gradient: of the loss it is :math:`e^s` times the update
        before any part has changed it. A part that changes the scale says so here.
    layers : list of ndarray
        Weights of the layers.
    weights : list of ndarray
        All weights: those of the layers, and a vector of what is in no layer, such as a bias.
    """

    number: int
    log_scale: float
    layers: Arrays
    weights: Arrays


class Part:
    """A part of an optimiser.

    Attributes
    ----------
    is_layerwise : bool
        Whether the part looks at the arrays of the layers. One that does not, as it treats every
        entry alike, is given all of them as a single vector, which is faster.
    """

    is_layerwise: ClassVar[bool] = True

    def start(self, weights: Arrays) -> State:
        """Check the weights, and return what to remember between steps, as it is at the start.

        Parameters
        ----------
        weights : list of ndarray
            Weights, as :meth:`apply` gets the update.

        Returns
        -------
        dict of str to list of ndarray
            Arrays by a name that neither another part of the optimiser has nor the rest of the
            state of a history, such as ``parameters`` and ``order``.

        Raises
        ------
        ValueError
            If the part does not know what to do with such weights.
        """
        return {}

    def apply(self, update: Arrays, state: State, step: Step) -> None:
        """Change the update and the state in place.

        Parameters
        ----------
        update : list of ndarray
            What is to be added to the weights, as the parts before have left it.
        state : dict of str to list of ndarray
            What :meth:`start` returned, as the steps before have left it.
        step : Step
            The step.

        Raises
        ------
        FloatingPointError
            If the update cannot be a finite one; the run then ends as diverged.
        """
        raise NotImplementedError

    def rescale(self, state: State, factor: float) -> None:
        """Follow the weights when these are multiplied by a factor, after the update.

        Parameters
        ----------
        state : dict of str to list of ndarray
            State, to change in place where it is in units of the weights.
        factor : float
            Factor of the weights, positive.
        """
