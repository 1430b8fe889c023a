r"""What a layer is: a function of inputs and weights, its derivatives, and how it scales.

A layer owns no numbers. It says which arrays of weights it needs, and the network keeps them in one
vector; so one layer object may stand in several places of a network, which then share its weights.
Inputs and outputs are rows, one a sample.

Scaling is said by **rates** (Kunin et al. [1]_). If the weights of array i are multiplied by
:math:`e^{\lambda_i s}`, the stream of activations is multiplied by :math:`e^{\rho s}`, where
:math:`\rho` is a sum of rates: a layer takes the rate of its inputs and those of its arrays, and
says the rate of its outputs and what must hold for them to have one. A network is quasi-homogeneous
where all conditions can be met and its outputs have rate 1, and homogeneous of degree L where all
rates can be 1/L.

References
----------
.. [1] D. Kunin, A. Yamamura, C. Ma and S. Ganguli (2023). The asymmetric maximum margin bias of
   quasi-homogeneous neural networks. ICLR. arXiv:2210.03820.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gnorm.gated import BoolArray, FloatArray

__all__ = [
    "Arrays",
    "Back",
    "Condition",
    "DegreeOne",
    "Layer",
    "Outer",
    "Rate",
    "rows",
]

Arrays: TypeAlias = Sequence[FloatArray]
Outer: TypeAlias = tuple[FloatArray, FloatArray]
r"""Factors L, (n_rows, p), and R, (n_rows, q), of a gradient :math:`L^\top R` of p q weights."""
Back: TypeAlias = tuple[FloatArray | None, list[Outer]]
Rate: TypeAlias = FloatArray
"""Coefficients of a rate as a linear function of the rates of all arrays of the network."""


class Condition(NamedTuple):
    """Two rates that must be equal.

    Attributes
    ----------
    left, right : ndarray of shape (n_arrays,)
        The rates.
    words : str
        What they are, for messages: "the bias and the stream that it is added to".
    """

    left: Rate
    right: Rate
    words: str


class Layer(ABC):
    """One layer of a :class:`~gnorm.descent.Network`.

    A subclass defines :meth:`forward`, :meth:`tangent`, :meth:`backward` and :meth:`rates`, and
    what differs from the defaults of the rest.

    Attributes
    ----------
    n_in : int or None
        Number of inputs; None for any.
    gates : tuple (n_out, n_contexts) or None
        Shape of the activations that must be given with every sample; None for none.
    row_factor : Fraction
        Number of rows that come out for each that goes in, other than 1 where the positions of a
        sequence become rows of their own.
    is_separable : bool
        Whether the output of a sample depends on that sample alone.
    is_unitwise : bool
        Whether output i is a positive multiple of input i, or 0, with a factor that small changes
        of the input leave as it is: then a unit's incoming weights can be traded for its outgoing
        ones.
    """

    n_in: int | None = None
    gates: tuple[int, int] | None = None
    row_factor: Fraction = Fraction(1)
    is_separable: bool = True
    is_unitwise: bool = False

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each array of weights, by name."""
        return {}

    @property
    def matrices(self) -> dict[str, tuple[int, ...]]:
        """Shape of each array for norms of matrices, (n_matrices, n_out, n_in), by name.

        As it is by default; what is a vector stays one, and has no such norm.
        """
        return self.shapes

    def n_outputs(self, n_in: int) -> int:
        """Number of outputs for a number of inputs.

        Raises
        ------
        ValueError
            If the layer takes another number of inputs.
        """
        if self.n_in is not None and n_in != self.n_in:
            raise ValueError(f"expected {self.n_in} inputs of {self}, got {n_in}")
        return n_in

    def initial(self, rng: np.random.RandomState) -> list[FloatArray]:
        """Weights to start from, one array for each of `shapes`."""
        return [np.zeros(shape) for shape in self.shapes.values()]

    @abstractmethod
    def forward(
        self, weights: Arrays, a: FloatArray, gates: FloatArray | None
    ) -> tuple[FloatArray, Any]:
        """Outputs of shape (n_samples, n_out), and what :meth:`tangent` and :meth:`backward` need.

        Parameters
        ----------
        weights : sequence of ndarray
            The arrays, in the order of `shapes`.
        a : ndarray of shape (n_samples, n_in)
            Inputs, not to be changed.
        gates : ndarray of shape (n_samples, n_contexts * n_out) or None
            Activations as numbers, contexts outermost, for a layer that has `gates`.
        """

    @abstractmethod
    def tangent(self, weights: Arrays, cache: Any, da: FloatArray, dweights: Arrays) -> FloatArray:
        """Derivative of the outputs along a change of inputs and weights."""

    @abstractmethod
    def backward(self, weights: Arrays, cache: Any, delta: FloatArray, wants_input: bool) -> Back:
        r"""Gradient of a sum of outputs with coefficients.

        Parameters
        ----------
        weights : sequence of ndarray
            The arrays.
        cache : object
            What :meth:`forward` left.
        delta : ndarray of shape (n_samples, n_out)
            Coefficients of the outputs, not to be changed.
        wants_input : bool
            Whether the gradient with respect to the inputs is needed; it costs a matrix product in
            a dense layer.

        Returns
        -------
        back : ndarray of shape (n_samples, n_in) or None
            Gradient with respect to the inputs.
        outer : list of tuple (left, right)
            For each array the gradient as a sum of outer products,
            :math:`\sum_r L_r R_r^\top`, with :math:`p q` the size of the array in its order. Each
            sample has equally many rows r, those of a sample together; where q = 1 with
            :math:`R_r = 1` the rows of L are the gradients themselves. The network multiplies them,
            and finds from them the inner products of the gradients of samples, which need not be
            formed.
        """

    @abstractmethod
    def rates(self, stream: Rate, own: Sequence[Rate]) -> tuple[Rate, list[Condition]]:
        """Rate of the outputs, and what must hold for them to have one.

        Parameters
        ----------
        stream : ndarray of shape (n_arrays,)
            Rate of the inputs.
        own : sequence of ndarray of shape (n_arrays,)
            Rate of each array of the layer.
        """

    # -- kinks -------------------------------------------------------------------------------------

    def kinks(self, cache: Any, tol: float) -> BoolArray | None:
        """Which inputs are so close to a kink that both sides count; None for a smooth layer."""
        return None

    def with_sides(self, cache: Any, mask: BoolArray, sides: BoolArray) -> Any:
        """Copy of a cache in which the masked inputs are on given sides, True for the upper."""
        raise NotImplementedError(f"{self} has no kinks")

    def __repr__(self) -> str:
        size = "" if self.n_in is None else str(self.n_in)
        return f"{type(self).__name__}({size})"


class DegreeOne(Layer):
    """A layer of degree 1 in its inputs and in each of its arrays: their rates add."""

    def rates(self, stream: Rate, own: Sequence[Rate]) -> tuple[Rate, list[Condition]]:
        """The rate of every array comes on top of that of the inputs."""
        return sum(own, start=stream), []


def rows(gradients: FloatArray) -> Outer:
    """A gradient that is a sum of rows, (n_rows, size), as :meth:`Layer.backward` returns it."""
    return gradients, np.ones((len(gradients), 1))
