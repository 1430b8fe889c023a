r"""Gated networks as functions of their weights: forward and backward passes in BLAS calls.

A network is a chain of layers. Layer :math:`l` holds a weight matrix per context and selects by a
gate,

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
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_random_state

from gnorm import gated
from gnorm.gated import BoolArray, FloatArray

__all__ = ["Gate", "GatedNetwork", "Layer", "Pass"]

Activations: TypeAlias = ArrayLike | Sequence[ArrayLike] | None


class Gate(Enum):
    """What opens the gates of a layer."""

    FIXED = "fixed"
    """Activations that are given with the input."""
    RELU = "relu"
    """The pre-activation itself, where it is at least 0."""
    LINEAR = "linear"
    """Nothing: they are always open."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a network.

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


@dataclass(frozen=True, eq=False)
class Pass:
    """What a forward pass leaves for the backward pass.

    Attributes
    ----------
    output : ndarray of shape (n_samples,)
        Values of the network.
    inputs : list of ndarray of shape (n_samples, n_in)
        What each layer was given.
    gates : list of ndarray of shape (n_samples, n_contexts * n_out) or None
        Gates of each layer as numbers, contexts outermost; None where all are open.
    """

    output: FloatArray
    inputs: list[FloatArray]
    gates: list[FloatArray | None]


class GatedNetwork:
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
    layers : tuple of Layer
        Layers, whose weights are views of `parameters`.

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
        if bias is not None and (
            not isinstance(bias, Real) or isinstance(bias, bool) or not np.isfinite(bias)
        ):
            raise ValueError(f"expected a finite bias or None, got {bias}")
        self.has_bias = bias is not None
        tail = [np.array([bias], dtype=float)] if self.has_bias else []
        self.parameters = np.concatenate([*(W.ravel() for W in arrays), *tail])
        self._shapes = tuple(W.shape for W in arrays)
        self._gates = tuple(kinds)

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
            Initialisation. "orthogonal" gives every context a random matrix with orthonormal rows,
            or columns where it has more rows [1]_; "kaiming_normal" independent entries of
            variance :math:`2 / n_{in}` [2]_.
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

        References
        ----------
        .. [1] A. M. Saxe, J. L. McClelland and S. Ganguli (2014). Exact solutions to the nonlinear
           dynamics of learning in deep linear neural networks. ICLR. arXiv:1312.6120.
        .. [2] K. He, X. Zhang, S. Ren and J. Sun (2015). Delving deep into rectifiers. ICCV.
           arXiv:1502.01852.
        """
        widths = _hidden(n_units)
        contexts: list[Any]
        if isinstance(n_contexts, Sequence | np.ndarray):
            contexts = list(n_contexts)
        else:
            contexts = [n_contexts] * len(widths)
        if len(contexts) != len(widths):
            raise ValueError(
                f"expected n_contexts for each of {len(widths)} hidden layers, got {contexts}"
            )
        return cls._random(
            n_features, widths, contexts, Gate.FIXED, init, scale, bias, random_state
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
        rng = check_random_state(random_state)
        shape = (_count(n_contexts, "n_contexts"), 1, _count(n_features, "n_features"))
        weights = _initial(shape, init, scale, rng)
        return cls([weights], [Gate.FIXED], 0.0 if bias else None)

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
        widths = _hidden(n_units)
        contexts = [1] * len(widths)
        return cls._random(
            n_features, widths, contexts, Gate.FIXED, init, scale, bias, random_state
        )

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
        widths = _hidden(n_units)
        contexts = [1] * len(widths)
        return cls._random(n_features, widths, contexts, Gate.RELU, init, scale, bias, random_state)

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
        widths = _hidden(n_units)
        contexts = [1] * len(widths)
        return cls._random(
            n_features, widths, contexts, Gate.LINEAR, init, scale, bias, random_state
        )

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
        widths: Sequence[int],
        contexts: Sequence[int],
        gate: Gate,
        init: str,
        scale: float,
        bias: bool,
        random_state: int | np.random.RandomState | None,
    ) -> Self:
        rng = check_random_state(random_state)
        counts = [*(_count(C, "n_contexts") for C in contexts), 1]
        sizes = [_count(n_features, "n_features"), *widths, 1]
        shapes = [
            (C, n_out, n_in) for C, (n_in, n_out) in zip(counts, pairwise(sizes), strict=True)
        ]
        weights = [_initial(shape, init, scale, rng) for shape in shapes]
        gates = [gate] * len(widths) + [Gate.LINEAR]
        return cls(weights, gates, 0.0 if bias else None)

    # -- the network as an object ------------------------------------------------------------------

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers from the input on; their weights are views of the parameters."""
        return tuple(map(Layer, self.unflatten(self.parameters), self._gates))

    @property
    def depth(self) -> int:
        """Number of layers, the degree of homogeneity of a network without bias."""
        return len(self._shapes)

    @property
    def n_features(self) -> int:
        """Number of input features."""
        return int(self._shapes[0][2])

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
            One view a layer.
        """
        views, start = [], 0
        for shape in self._shapes:
            stop = start + shape[0] * shape[1] * shape[2]
            views.append(vector[start:stop].reshape(shape))
            start = stop
        return views

    def copy(self) -> Self:
        """Return a network with weights of its own."""
        return deepcopy(self)

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

    # -- the network as a function -----------------------------------------------------------------

    def check_inputs(self, X: ArrayLike, activations: Activations) -> tuple[FloatArray, list[Any]]:
        """Check inputs and activations, and bring them into the form that the passes work on.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.
        activations : array-like of bool, shape (n_samples, n_units, n_contexts), or list of them
            Open gates of each layer with fixed gates, one array where there is one such layer,
            None where there is none.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Inputs in float64, C order.
        gates : list of ndarray of shape (n_samples, n_contexts * n_out) or None
            One entry a layer: gates as numbers, contexts outermost.

        Raises
        ------
        ValueError
            If inputs or activations do not fit the network.
        """
        X = np.asarray(check_array(X, dtype=np.float64, order="C", input_name="X"))
        if X.shape[1] != self.n_features:
            raise ValueError(f"expected X with {self.n_features} features, got {X.shape[1]}")
        given: list[Any]
        if activations is None:
            given = []
        elif isinstance(activations, list | tuple) and all(np.ndim(a) == 3 for a in activations):
            given = list(activations)
        else:
            given = [activations]
        n_fixed = self._gates.count(Gate.FIXED)
        if len(given) != n_fixed:
            raise ValueError(
                f"expected activations for {n_fixed} layers with fixed gates, got {len(given)}"
            )
        rest = iter(given)
        gates = [
            _gates_as_numbers(next(rest), len(X), shape) if gate is Gate.FIXED else None
            for shape, gate in zip(self._shapes, self._gates, strict=True)
        ]
        return X, gates

    def forward(self, X: FloatArray, gates: Sequence[FloatArray | None]) -> Pass:
        """Evaluate the network, and keep what the backward pass needs.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Inputs.
        gates : list of ndarray or None
            Fixed gates, as :meth:`check_inputs` returns them.

        Returns
        -------
        Pass
            Values, inputs and gates of all layers.
        """
        a, inputs, opened = X, [], []
        for layer, gate in zip(self.layers, gates, strict=True):
            inputs.append(a)
            z = a @ layer.matrix.T
            g = (z >= 0).astype(float) if layer.gate is Gate.RELU else gate
            if g is not None:
                z *= g
            opened.append(g)
            n_contexts, n_out, _ = layer.weights.shape
            a = z if n_contexts == 1 else z.reshape(len(z), n_contexts, n_out).sum(axis=1)
        output = a[:, 0]
        if self.has_bias:
            output = output + self.bias
        return Pass(output, inputs, opened)

    def backward(
        self, forward: Pass, coef: FloatArray, gradient: FloatArray | None = None
    ) -> list[FloatArray]:
        r"""Propagate coefficients of the outputs back through the network.

        Parameters
        ----------
        forward : Pass
            The forward pass.
        coef : ndarray of shape (n_samples,)
            Coefficients :math:`a_n`.
        gradient : ndarray of shape (n_parameters,), default=None
            Where to write :math:`\nabla_w \sum_n a_n f_w(x_n)`; None leaves it out.

        Returns
        -------
        list of ndarray of shape (n_samples, n_contexts * n_out)
            Sensitivities :math:`a_n \, \partial f(x_n) / \partial z^l` of each layer. The gradient
            of a sample in a layer is the outer product of its row with that of the inputs.
        """
        parts = None if gradient is None else self.unflatten(gradient)
        if gradient is not None and self.has_bias:
            gradient[-1] = coef.sum()
        delta = coef[:, None]
        sensitivities: list[FloatArray] = []
        layers = self.layers
        for i in reversed(range(self.depth)):
            layer, g = layers[i], forward.gates[i]
            n_contexts, n_out, n_in = layer.weights.shape
            if g is not None:
                spread = delta[:, None, :] * g.reshape(len(g), n_contexts, n_out)
                delta = spread.reshape(len(g), n_contexts * n_out)
            sensitivities.insert(0, delta)
            if parts is not None:
                np.dot(delta.T, forward.inputs[i], out=parts[i].reshape(-1, n_in))
            if i > 0:
                delta = delta @ layer.matrix
        return sensitivities

    def decision_function(self, X: ArrayLike, activations: Activations = None) -> FloatArray:
        """Values of the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.
        activations : array-like of bool, shape (n_samples, n_units, n_contexts), or list of them
            Open gates of the layers with fixed gates.

        Returns
        -------
        ndarray of shape (n_samples,)
            Values.

        Raises
        ------
        ValueError
            If inputs or activations do not fit the network.
        """
        return self.forward(*self.check_inputs(X, activations)).output

    def gradient(self, X: ArrayLike, activations: Activations, coef: ArrayLike) -> FloatArray:
        r"""Gradient of a weighted sum of outputs, :math:`\nabla_w \sum_n a_n f_w(x_n)`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.
        activations : array-like of bool, shape (n_samples, n_units, n_contexts), or list of them
            Open gates of the layers with fixed gates; None if there are none.
        coef : array-like of shape (n_samples,)
            Coefficients :math:`a_n`.

        Returns
        -------
        ndarray of shape (n_parameters,)
            Gradient with respect to `parameters`. Of a ReLU at its kink it is the one of the side
            where the gate is open.

        Raises
        ------
        ValueError
            If inputs, activations or coefficients do not fit the network.
        """
        X, gates = self.check_inputs(X, activations)
        coef = np.asarray(coef, dtype=float)
        if coef.shape != (len(X),):
            raise ValueError(f"expected coef of shape ({len(X)},), got shape {coef.shape}")
        gradient = np.empty_like(self.parameters)
        self.backward(self.forward(X, gates), coef, gradient)
        return gradient

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
        opened = self.forward(*self.check_inputs(X, activations)).gates
        return [
            (g > 0).reshape(len(g), shape[0], shape[1]).transpose(0, 2, 1)
            for g, shape in zip(opened, self._shapes, strict=True)
            if g is not None
        ]


def _gate(gate: Gate | str) -> Gate:
    names = [kind.value for kind in Gate]
    if not isinstance(gate, Gate) and gate not in names:
        raise ValueError(f"expected gates to be of {names}, got {gate!r}")
    return Gate(gate)


def _count(value: Any, name: str) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"expected {name} to be integers of at least 1, got {value!r}")
    return int(value)


def _hidden(n_units: Any) -> list[int]:
    widths = list(n_units) if isinstance(n_units, Sequence | np.ndarray) else [n_units]
    if not widths:
        raise ValueError("expected at least one hidden layer in n_units, got none")
    return [_count(width, "n_units") for width in widths]


def _initial(
    shape: tuple[int, int, int], init: str, scale: float, rng: np.random.RandomState
) -> FloatArray:
    """Random weights of a layer."""
    if not (isinstance(scale, Real) and np.isfinite(scale) and scale > 0):
        raise ValueError(f"expected a finite scale > 0, got {scale}")
    n_contexts, n_out, n_in = shape
    if init == "kaiming_normal":
        return rng.normal(scale=scale * np.sqrt(2.0 / n_in), size=shape)
    if init != "orthogonal":
        raise ValueError(f"expected init 'orthogonal' or 'kaiming_normal', got {init!r}")
    normal = rng.normal(size=(n_contexts, max(n_out, n_in), min(n_out, n_in)))
    weights = np.empty(shape)
    for W, entries in zip(weights, normal, strict=True):
        # The signs make the orthonormal factor uniformly distributed.
        q, r = np.linalg.qr(entries)
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)
        W[:] = scale * (q if n_out >= n_in else q.T)
    return weights


def _gates_as_numbers(
    activations: ArrayLike, n_samples: int, shape: tuple[int, int, int]
) -> FloatArray:
    n_contexts, n_out, _ = shape
    given = np.asarray(activations)
    if given.dtype != np.bool_ or given.shape != (n_samples, n_out, n_contexts):
        raise ValueError(
            f"expected activations of dtype bool and shape ({n_samples}, {n_out}, {n_contexts}), "
            f"got dtype {given.dtype} and shape {given.shape}"
        )
    # contexts outermost, as in the weights of a layer
    return given.transpose(0, 2, 1).reshape(n_samples, -1).astype(float)
