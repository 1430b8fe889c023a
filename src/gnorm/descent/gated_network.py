r"""Gated networks: chains of matrices and gates with one output.

Layer :math:`l` holds a weight matrix per context and selects by a gate,

.. math:: z^l_{c} = W^l_c \, a^{l-1}, \qquad
    a^l_h = \sum_c g^l_{hc} \, z^l_{ch}, \qquad a^0 = x, \quad f_w(x) = a^L \; (+ b),

where the gates :math:`g^l_{hc} \in \{0, 1\}` are fixed functions of the input (gated linear and
frozen ReLU networks), the sign of the pre-activation (ReLU), or always open (linear). Multiplying
all weights by :math:`\alpha > 0` multiplies :math:`f_w` by :math:`\alpha^L`: the network is
homogeneous of degree L, as the theorem on its implicit bias [1]_ asks. An output bias b breaks
that: the degree of b is 1, and the network is only quasi-homogeneous.

References
----------
.. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
   generalized gated linear networks. arXiv:2202.02649.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from gnorm import gated
from gnorm.descent.checks import check_count
from gnorm.descent.layers import Bias, Dense, Layer, ReLU, Select
from gnorm.descent.network import Activations, Network
from gnorm.gated import BoolArray, FloatArray

__all__ = ["Gate", "GatedLayer", "GatedNetwork"]


class Gate(Enum):
    """What opens the gates of a layer."""

    FIXED = "fixed"
    """Activations that are given with the input."""
    RELU = "relu"
    """The pre-activation itself, where it is at least 0."""
    LINEAR = "linear"
    """Nothing: they are always open."""


@dataclass(frozen=True, eq=False)
class GatedLayer:
    """One layer of a gated network.

    Attributes
    ----------
    weights : ndarray of shape (n_contexts, n_out, n_in)
        Weight matrix of every context; a view of the parameters of the network.
    gate : Gate
        What selects among the contexts, or switches a single one on and off.
    """

    weights: FloatArray
    gate: Gate

    @property
    def matrix(self) -> FloatArray:
        """The matrices of all contexts below each other, (n_contexts * n_out, n_in)."""
        n_contexts, n_out, n_in = self.weights.shape
        return self.weights.reshape(n_contexts * n_out, n_in)


class GatedNetwork(Network):
    r"""Network of gated layers with one output.

    Use a constructor for the kind of network: :meth:`gln`, :meth:`shallow_gln`, :meth:`frelu`,
    :meth:`relu`, :meth:`deep_linear`, or :meth:`from_zeta`.

    Parameters
    ----------
    weights : sequence of array-like of shape (n_contexts, n_out, n_in)
        Weights of the layers from the input on; copied.
    gates : sequence of Gate or str
        Gate of each layer: "fixed", "relu" or "linear".
    bias : float, default=None
        Output bias; None for none. With one, the network is quasi-homogeneous: Euler's identity
        and the limit theorems do not hold.

    Attributes
    ----------
    parameters : ndarray of shape (n_parameters,)
        All weights one after the other, the bias last. Changing it in place changes the network.
    layers : tuple of GatedLayer
        Layers, whose weights are views of `parameters`.
    has_bias : bool
        Whether there is an output bias.

    Raises
    ------
    ValueError
        If layers do not fit together, the last has more than one output, a layer without fixed
        gates has several contexts, or weights are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.descent import GatedNetwork
    >>> network = GatedNetwork.gln(n_features=3, n_units=4, n_contexts=2, random_state=0)
    >>> network
    GatedNetwork(2x4x3 fixed, 1x1x4 linear)
    >>> activations = np.zeros((1, 4, 2), dtype=bool)
    >>> activations[:, :, 1] = True
    >>> zeta = network.to_zeta()
    >>> value = network.decision_function([[1.0, 2.0, 3.0]], activations)
    >>> bool(np.isclose(value[0], zeta[:, 1].sum(axis=0) @ [1.0, 2.0, 3.0]))
    True
    """

    def __init__(
        self,
        weights: Sequence[ArrayLike],
        gates: Sequence[Gate | str],
        bias: float | None = None,
    ) -> None:
        arrays = [gated.check_zeta(W, f"weights of layer {i}") for i, W in enumerate(weights)]
        kinds = [_gate(gate) for gate in gates]
        _check_chain(arrays, kinds)
        ends = [] if bias is None else [_check_bias(bias)]
        self.has_bias = bool(ends)
        self._gates = tuple(kinds)
        super().__init__(
            arrays[0].shape[2],
            [*map(_layer, arrays, kinds), *(Bias(1) for _ in ends)],
            parameters=np.concatenate([*(W.ravel() for W in arrays), ends]),
        )

    def __repr__(self) -> str:
        chain = ", ".join(
            f"{'x'.join(map(str, layer.weights.shape))} {layer.gate.value}" for layer in self.layers
        )
        return f"GatedNetwork({chain}{', bias' if self.has_bias else ''})"

    # -- constructors ------------------------------------------------------------------------------

    @classmethod
    def gln(
        cls,
        n_features: int,
        n_units: int | Sequence[int],
        n_contexts: int | Sequence[int] = 2,
        *,
        init: str = "orthogonal",
        scale: float = 1.0,
        bias: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> Self:
        r"""Gated linear network: hidden layers with fixed gates, and a linear output.

        Parameters
        ----------
        n_features : int
            Number of input features.
        n_units : int or sequence of int
            Number of units of the hidden layer, or of each of several.
        n_contexts : int or sequence of int, default=2
            Number of contexts of the units of every hidden layer.
        init : {"orthogonal", "kaiming_normal"}, default="orthogonal"
            Initialisation of the matrices, see :class:`~gnorm.descent.layers.Dense`.
        scale : float, default=1.0
            Factor of the initial weights, positive.
        bias : bool, default=False
            Whether to add an output bias, which starts at 0.
        random_state : int, RandomState instance or None, default=None
            Draws the weights.

        Returns
        -------
        GatedNetwork
            The network.
        """
        return cls._random(
            n_features, n_units, n_contexts, Gate.FIXED, init, scale, bias, random_state
        )

    @classmethod
    def shallow_gln(
        cls,
        n_features: int,
        n_contexts: int,
        *,
        init: str = "orthogonal",
        scale: float = 1.0,
        bias: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> Self:
        """One linear predictor for each context of the input: a single layer, without constraints.

        Parameters
        ----------
        n_features : int
            Number of input features.
        n_contexts : int
            Number of global contexts; activations are of shape (n_samples, 1, n_contexts).
        init, scale, bias, random_state
            As for :meth:`gln`.

        Returns
        -------
        GatedNetwork
            The network, of depth 1.
        """
        n_features = check_count(n_features, "n_features")
        weights = Dense(n_features, 1, n_contexts, init=init, scale=scale)
        rng = check_random_state(random_state)
        return cls(weights.initial(rng), [Gate.FIXED], 0.0 if bias else None)

    @classmethod
    def frelu(
        cls,
        n_features: int,
        n_units: int | Sequence[int],
        *,
        init: str = "kaiming_normal",
        scale: float = 1.0,
        bias: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> Self:
        """Frozen-gate ReLU network: units that given activations switch on and off.

        Parameters
        ----------
        n_features : int
            Number of input features.
        n_units : int or sequence of int
            Number of units of the hidden layer, or of each of several.
        init, scale, bias, random_state
            As for :meth:`gln`.

        Returns
        -------
        GatedNetwork
            The network.
        """
        return cls._random(n_features, n_units, 1, Gate.FIXED, init, scale, bias, random_state)

    @classmethod
    def relu(
        cls,
        n_features: int,
        n_units: int | Sequence[int],
        *,
        init: str = "kaiming_normal",
        scale: float = 1.0,
        bias: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> Self:
        """ReLU network, whose gates move with its weights; :meth:`freeze` stops them.

        Parameters
        ----------
        n_features : int
            Number of input features.
        n_units : int or sequence of int
            Number of units of the hidden layer, or of each of several.
        init, scale, bias, random_state
            As for :meth:`gln`.

        Returns
        -------
        GatedNetwork
            The network.
        """
        return cls._random(n_features, n_units, 1, Gate.RELU, init, scale, bias, random_state)

    @classmethod
    def deep_linear(
        cls,
        n_features: int,
        n_units: int | Sequence[int],
        *,
        init: str = "orthogonal",
        scale: float = 1.0,
        bias: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> Self:
        """Product of weight matrices, without gates.

        Parameters
        ----------
        n_features : int
            Number of input features.
        n_units : int or sequence of int
            Number of units of the hidden layer, or of each of several.
        init, scale, bias, random_state
            As for :meth:`gln`.

        Returns
        -------
        GatedNetwork
            The network.
        """
        return cls._random(n_features, n_units, 1, Gate.LINEAR, init, scale, bias, random_state)

    @classmethod
    def from_zeta(cls, zeta: ArrayLike) -> Self:
        r"""Balanced two-layer network with given unit weights.

        Parameters
        ----------
        zeta : array-like of shape (n_units, n_contexts, n_features)
            Unit weights :math:`\zeta_{hc} = w^2_h w^1_{hc}`.

        Returns
        -------
        GatedNetwork
            The network of least squared norm, see :func:`gnorm.gated.to_network`.
        """
        w1, w2 = gated.to_network(zeta)
        return cls([w1.transpose(1, 0, 2), w2[None, None]], [Gate.FIXED, Gate.LINEAR])

    @classmethod
    def _random(
        cls,
        n_features: int,
        n_units: int | Sequence[int],
        n_contexts: int | Sequence[int],
        gate: Gate,
        init: str,
        scale: float,
        bias: bool,
        random_state: int | np.random.RandomState | None,
    ) -> Self:
        """Hidden layers with one kind of gate, and a linear output."""
        given: Any = n_units, n_contexts
        widths, contexts = (list(n) if np.ndim(n) else [n] for n in given)
        if not widths:
            raise ValueError("expected at least one hidden layer in n_units, got none")
        if np.ndim(given[1]) == 0:
            contexts *= len(widths)
        if len(contexts) != len(widths):
            raise ValueError(
                f"expected n_contexts for each of {len(widths)} hidden layers, got {contexts}"
            )
        sizes = [
            check_count(n_features, "n_features"),
            *(check_count(width, "n_units") for width in widths),
        ]
        rng = check_random_state(random_state)
        weights = [
            W
            for (n_in, n_out), C in zip(pairwise([*sizes, 1]), [*contexts, 1], strict=True)
            for W in Dense(n_in, n_out, C, init=init, scale=scale).initial(rng)
        ]
        return cls(weights, [gate] * len(widths) + [Gate.LINEAR], 0.0 if bias else None)

    # -- the network as an object ------------------------------------------------------------------

    @property
    def layers(self) -> tuple[GatedLayer, ...]:
        """Layers from the input on; their weights are views of the parameters."""
        return tuple(map(GatedLayer, self.unflatten(self.parameters), self._gates))

    @property
    def bias(self) -> float:
        """Output bias, 0 if there is none."""
        return float(self.parameters[-1]) if self.has_bias else 0.0

    def unflatten(self, vector: FloatArray) -> list[FloatArray]:
        """Views of the parts of a vector like `parameters` that belong to the layers.

        Parameters
        ----------
        vector : ndarray of shape (n_parameters,)
            Weights, or a gradient with respect to them.

        Returns
        -------
        list of ndarray of shape (n_contexts, n_out, n_in)
            One view a layer; an output bias belongs to none.
        """
        return self.split(vector)[: len(self._gates)]

    def freeze(self) -> GatedNetwork:
        """Turn the gates of a ReLU network into fixed ones, and keep the weights.

        The activations that go with an input are those of this network at this moment,
        ``network.activations(X)``; those of the frozen network's hidden layers must be given.

        Returns
        -------
        GatedNetwork
            Frozen network with weights of its own.
        """
        kinds = [Gate.FIXED if gate is Gate.RELU else gate for gate in self._gates]
        return GatedNetwork(
            [layer.weights for layer in self.layers], kinds, self.bias if self.has_bias else None
        )

    def to_zeta(self) -> FloatArray:
        r"""Multiply the two layers into unit weights, :math:`\zeta_{hc} = w^2_h w^1_{hc}`.

        Returns
        -------
        ndarray of shape (n_units, n_contexts, n_features)
            Unit weights.

        Raises
        ------
        ValueError
            If the network is not one hidden layer with fixed gates and a linear output, or has a
            bias, which no unit weights express.
        """
        if self._gates != (Gate.FIXED, Gate.LINEAR) or self.has_bias:
            raise ValueError(
                "expected a fixed-gate layer and a linear one without bias, got "
                f"{self}; freeze a ReLU network first"
            )
        first, last = self.layers
        return gated.from_network(first.weights.transpose(1, 0, 2), last.weights[0, 0])

    def activations(self, X: ArrayLike, activations: Activations = None) -> list[BoolArray]:
        """Gates of the moment: which units are open, in every layer that has gates.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.
        activations : array-like of bool, shape (n_samples, n_units, n_contexts), or list of them
            Open gates of the layers with fixed gates; None if there are none.

        Returns
        -------
        list of ndarray of bool, shape (n_samples, n_units, n_contexts)
            One array for each layer with fixed or ReLU gates.
        """
        forward = self.forward(*self.check_inputs(X, activations))
        opened = []
        for node, cache in zip(self.nodes, forward.caches, strict=True):
            if isinstance(node.layer, Select):
                n_units, n_contexts = node.layer.n_units, node.layer.n_contexts
                opened.append(cache.reshape(-1, n_contexts, n_units).transpose(0, 2, 1) > 0)
            elif isinstance(node.layer, ReLU):
                opened.append(cache[0][:, :, None] > 0)
        return opened


def _check_chain(arrays: list[FloatArray], kinds: list[Gate]) -> None:
    """Raise a ValueError unless the layers fit to each other and to their gates."""
    if not arrays or len(arrays) != len(kinds):
        raise ValueError(
            f"expected a gate for each of at least one layer, got {len(arrays)} layers and "
            f"{len(kinds)} gates"
        )
    for i, (before, after) in enumerate(pairwise(arrays)):
        if after.shape[2] != before.shape[1]:
            raise ValueError(
                f"expected layer {i + 1} to take the {before.shape[1]} outputs of layer {i}, "
                f"got weights of shape {after.shape}"
            )
    if arrays[-1].shape[1] != 1:
        raise ValueError(f"expected one output, got {arrays[-1].shape[1]}")
    for i, (W, kind) in enumerate(zip(arrays, kinds, strict=True)):
        if kind is not Gate.FIXED and len(W) != 1:
            raise ValueError(
                f"expected one context in layer {i}, whose gate is {kind.value!r}, got {len(W)}"
            )


def _check_bias(bias: Any) -> float:
    if not isinstance(bias, Real) or isinstance(bias, bool) or not np.isfinite(float(bias)):
        raise ValueError(f"expected a finite bias or None, got {bias}")
    return float(bias)


def _layer(weights: FloatArray, gate: Gate) -> list[Layer]:
    """Matrices and the gate behind them."""
    n_contexts, n_out, n_in = weights.shape
    behind: dict[Gate, list[Layer]] = {
        Gate.FIXED: [Select(n_out, n_contexts)],
        Gate.RELU: [ReLU()],
        Gate.LINEAR: [],
    }
    return [Dense(n_in, n_out, n_contexts), *behind[gate]]


def _gate(gate: Gate | str) -> Gate:
    names = [kind.value for kind in Gate]
    if not isinstance(gate, Gate) and gate not in names:
        raise ValueError(f"expected gates to be of {names}, got {gate!r}")
    return Gate(gate)
