r"""Networks of layers as functions of their weights: values, gradients and tangents in BLAS calls.

A network is an acyclic graph of :mod:`~gnorm.descent.layers`. Every node applies a layer to the sum
of what its parents return; chains have one parent a node, sums several. All weights are one vector,
and a layer that stands in several places has its weights once.

Three passes over the nodes are all there is: values forwards; derivatives along a change of the
weights forwards (:math:`J v`); and coefficients of the outputs backwards (:math:`J^\top a`).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_random_state

from gnorm.descent.checks import check_count
from gnorm.descent.clarke import subdifferential
from gnorm.descent.layers import Dense, Identity, Layer, Sum
from gnorm.descent.layers.base import Outer
from gnorm.descent.layers.sums import Chain
from gnorm.descent.rates import RatePolytope, assemble
from gnorm.gated import FloatArray, as_numbers
from gnorm.homogeneity import ClarkeSubdifferential

__all__ = ["Activations", "Network", "Node", "Pass"]

Activations: TypeAlias = ArrayLike | Sequence[ArrayLike] | None

_INPUT = -1  # the parent that stands for the inputs of the network


@dataclass(frozen=True, eq=False)
class Node:
    """A layer in its place.

    Attributes
    ----------
    layer : Layer
        The layer.
    parents : tuple of int
        Nodes whose outputs are summed to its input, by number; -1 is the input of the network.
    arrays : tuple of int
        Its arrays of weights, by their number in the network.
    name : str
        Its kind and number, for messages.
    """

    layer: Layer
    parents: tuple[int, ...]
    arrays: tuple[int, ...]
    name: str


@dataclass(frozen=True, eq=False)
class Pass:
    """What a forward pass leaves for the others.

    Attributes
    ----------
    values : ndarray of shape (n_samples, n_outputs)
        Values of the network.
    nodes : tuple of Node
        Nodes of the network.
    caches : list
        What the layer of each node left.
    """

    values: FloatArray
    nodes: tuple[Node, ...]
    caches: list[Any]

    @property
    def output(self) -> FloatArray:
        """Values, of shape (n_samples,) if there is one output."""
        return self.values[:, 0] if self.values.shape[1] == 1 else self.values

    @property
    def inputs(self) -> list[FloatArray]:
        """What each dense layer was given, shape (n_samples, n_in)."""
        pairs = zip(self.nodes, self.caches, strict=True)
        return [cache for node, cache in pairs if isinstance(node.layer, Dense)]


class _Graph:
    """Nodes of a network and its arrays of weights, while layers are chained and summed.

    Invariant: `widths` and `heights` are those of the input, then of every node.
    """

    def __init__(self, n_features: int) -> None:
        self.nodes: list[Node] = []
        self.widths = [n_features]  # outputs
        self.heights = [Fraction(1)]  # rows of a sample
        self.owners: list[Layer] = []  # layers that bring weights of their own
        self.names: list[str] = []
        self.shapes: list[tuple[int, ...]] = []
        self.matrices: list[tuple[int, ...]] = []  # the same, as the trainer takes them
        self._owned: dict[int, tuple[int, ...]] = {}

    def chain(self, items: Any, parents: tuple[int, ...]) -> tuple[int, ...]:
        """Append layers one after the other; return the nodes whose sum comes out."""
        if not isinstance(items, Sequence) or isinstance(items, str):
            raise ValueError(f"expected layers, sums or sequences of them, got {items!r}")
        for item in items:
            if isinstance(item, Layer):
                parents = (self.add(item, parents),)
            elif isinstance(item, Sum):
                ends = [self.chain(branch, parents) for branch in item.branches]
                parents = tuple(p for end in ends for p in end)
            else:
                parents = self.chain(item, parents)
        return parents

    def add(self, layer: Layer, parents: tuple[int, ...]) -> int:
        """Append a node of the sum of its parents; a layer met before brings no new weights."""
        name = f"{type(layer).__name__.lower()}_{len(self.nodes)}"
        given = [self.widths[p + 1] for p in parents]
        if len(set(given)) != 1:
            raise ValueError(
                f"expected branches with equally many outputs before {name}, got {given}"
            )
        self.heights.append(_height(layer, [self.heights[p + 1] for p in parents], name))
        try:
            self.widths.append(layer.n_outputs(given[0]))
        except ValueError as error:
            raise ValueError(f"{error}, as node {name}") from None
        if id(layer) not in self._owned:
            first = len(self.shapes)
            self.shapes.extend(layer.shapes.values())
            self.matrices.extend(layer.matrices[own] for own in layer.shapes)
            self.names.extend(f"{name}.{own}" for own in layer.shapes)
            self._owned[id(layer)] = tuple(range(first, len(self.shapes)))
            self.owners.append(layer)
        self.nodes.append(Node(layer, parents, self._owned[id(layer)], name))
        return len(self.nodes) - 1

    def close(self, end: tuple[int, ...]) -> None:
        """Make what comes out one node, a row for every sample."""
        if end == (_INPUT,):
            raise ValueError("expected at least one layer, got none")
        if end != (len(self.nodes) - 1,):
            self.add(Identity(), end)
        if self.heights[-1] != 1:
            raise ValueError(
                f"expected one row of outputs for every sample, got {self.heights[-1]}: a Split "
                "needs a Join behind it"
            )


class Network:
    r"""Chains and sums of layers, with any number of outputs.

    Parameters
    ----------
    n_features : int
        Number of input features.
    layers : sequence of Layer, Sum, or sequences of them
        Layers from the input on. A layer that occurs more than once shares its weights.
    parameters : array-like of shape (n_parameters,), default=None
        Weights; copied. None draws them, as each layer says.
    random_state : int, RandomState instance or None, default=None
        Draws the weights.

    Attributes
    ----------
    parameters : ndarray of shape (n_parameters,)
        All weights one after the other. Changing it in place changes the network.
    nodes : tuple of Node
        Layers in the order of evaluation, each with its parents.
    names : tuple of str
        Names of the arrays of weights: kind and number of the node, then the layer's name.
    n_features, n_outputs : int
        Numbers of inputs and outputs.
    is_separable : bool
        Whether the value of a sample depends on that sample alone.

    Raises
    ------
    ValueError
        If layers do not fit together, or parameters do not fit them.

    Examples
    --------
    >>> from gnorm.descent import Network, layers
    >>> network = Network(
    ...     3, [layers.Dense(3, 5), layers.Bias(5), layers.ReLU(), layers.Dense(5, 2)]
    ... )
    >>> network.names
    ('dense_0.weights', 'bias_1.bias', 'dense_3.weights')
    >>> network.decision_function([[1.0, 2.0, 3.0]]).shape
    (1, 2)
    >>> network.rates().names == network.names
    True
    """

    def __init__(
        self,
        n_features: int,
        layers: Chain,
        *,
        parameters: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_features = check_count(n_features, "n_features")
        self._build(layers)
        if parameters is None:
            rng = check_random_state(random_state)
            initial = [W for layer in self._owners for W in layer.initial(rng)]
            parameters = np.concatenate([*(W.ravel() for W in initial), np.empty(0)])
        size = self._n_parameters
        values = np.array(as_numbers(parameters, "parameters"))
        if values.shape != (size,) or not np.isfinite(values).all():
            raise ValueError(
                f"expected {size} finite parameters, got shape {values.shape}"
                + ("" if np.isfinite(values).all() else " with NaN or infinite entries")
            )
        self.parameters: FloatArray = values

    def _build(self, layers: Chain) -> None:
        graph = _Graph(self.n_features)
        graph.close(graph.chain([layers] if isinstance(layers, Layer | Sum) else layers, (_INPUT,)))
        self.nodes = tuple(graph.nodes)
        self.names = tuple(graph.names)
        self.n_outputs = graph.widths[-1]
        self.is_separable = all(node.layer.is_separable for node in graph.nodes)
        self._owners, self._matrices = graph.owners, graph.matrices
        sizes = [int(np.prod(shape)) for shape in graph.shapes]
        ends = np.cumsum([0, *sizes]).tolist()
        self._parts = [(slice(*ends[i : i + 2]), shape) for i, shape in enumerate(graph.shapes)]
        self._n_parameters = ends[-1]
        self._plan_passes()

    def _plan_passes(self) -> None:
        """Which nodes the backward pass reaches, and when the forward pass can forget outputs."""
        nodes = self.nodes
        # whether anything at or before a node has weights; the input has none
        is_active = [False]
        for node in nodes:
            is_active.append(bool(node.arrays) or any(is_active[p + 1] for p in node.parents))
        self._is_active = is_active
        # outputs that no later node needs, so that they are freed
        last_use = {p: i for i, node in enumerate(nodes) for p in node.parents}
        self._done: list[list[int]] = [[] for _ in nodes]
        for p, i in last_use.items():
            self._done[i].append(p)

    def __repr__(self) -> str:
        chain = ", ".join(
            repr(node.layer)
            if node.parents == (i - 1,)
            else f"{node.layer!r} of {' + '.join(self._called(p) for p in node.parents)}"
            for i, node in enumerate(self.nodes)
        )
        return f"{type(self).__name__}({self.n_features}: {chain})"

    def _called(self, node: int) -> str:
        return "input" if node == _INPUT else self.nodes[node].name

    # -- weights -----------------------------------------------------------------------------------

    def split(self, vector: FloatArray) -> list[FloatArray]:
        """Views of the parts of a vector like `parameters` that belong to the arrays of weights.

        Parameters
        ----------
        vector : ndarray of shape (n_parameters,)
            Weights, or a gradient with respect to them.

        Returns
        -------
        list of ndarray
            One view an array, in the order of `names`.
        """
        return [vector[part].reshape(shape) for part, shape in self._parts]

    def unflatten(self, vector: FloatArray) -> list[FloatArray]:
        """Views of the arrays as the trainer takes them: as matrices where they are any.

        Parameters
        ----------
        vector : ndarray of shape (n_parameters,)
            Weights, or a gradient with respect to them.

        Returns
        -------
        list of ndarray
            One view an array, in the shapes that the layers say in ``matrices``.
        """
        return [
            a.reshape(shape) for a, shape in zip(self.split(vector), self._matrices, strict=True)
        ]

    @property
    def weights(self) -> dict[str, FloatArray]:
        """Arrays of weights by name; views of `parameters`."""
        return dict(zip(self.names, self.split(self.parameters), strict=True))

    def unit_balance(self) -> list[FloatArray]:
        r"""Difference of the squared norms of incoming and outgoing weights of every hidden unit.

        .. math:: b^l_h = \sum_{c, i} (w^l_{c h i})^2 - \sum_{c, o} (w^{l+1}_{c o h})^2

        Gradient flow conserves each of them: no loss changes when the incoming weights of a unit
        are multiplied by :math:`\alpha > 0` and the outgoing ones divided by it [1]_. A bias on
        the way counts among the incoming weights. Hidden are the units between two dense layers
        with nothing but gates, ReLUs and biases in between, whose weights are not shared.

        Returns
        -------
        list of ndarray of shape (n_units,)
            One array for each hidden layer.

        References
        ----------
        .. [1] S. S. Du, W. Hu and J. D. Lee (2018). Algorithmic regularization in learning deep
           homogeneous models: layers are automatically balanced. NeurIPS. arXiv:1806.00900.
        """
        arrays = self.split(self.parameters)
        uses = [i for node in self.nodes for i in node.arrays]
        consumers = [[n for n in self.nodes if i in n.parents] for i in range(len(self.nodes))]
        found = []
        for number, node in enumerate(self.nodes):
            if not isinstance(node.layer, Dense) or uses.count(node.arrays[0]) > 1:
                continue
            incoming = np.einsum("coi,coi->co", *[arrays[node.arrays[0]]] * 2).ravel()
            while len(consumers[number]) == 1 and len(consumers[number][0].parents) == 1:
                after = consumers[number][0]
                if any(uses.count(i) > 1 for i in after.arrays):
                    break
                if isinstance(after.layer, Dense):
                    W = arrays[after.arrays[0]]
                    found.append(incoming - np.einsum("coi,coi->i", W, W))
                if not after.layer.is_unitwise:
                    break
                for i in after.arrays:
                    incoming = incoming + np.square(arrays[i])
                incoming = incoming.reshape(-1, after.layer.n_outputs(len(incoming))).sum(axis=0)
                number = self.nodes.index(after)
        return found

    def subdifferential(
        self, x: ArrayLike, activations: Activations = None, *, output: int = 0
    ) -> ClarkeSubdifferential:
        """Clarke's subdifferential of an output with respect to the weights.

        Parameters
        ----------
        x : array-like of shape (n_features,)
            Input.
        activations : array-like of bool, shape (1, n_units, n_contexts), or list of them
            Open gates of the layers with fixed gates; None if there are none.
        output : int, default=0
            Which output.

        Returns
        -------
        ClarkeSubdifferential
            Hull of the gradients of the smooth pieces next to the weights, with its element of
            least norm.

        Raises
        ------
        ValueError
            If the network normalises over a batch, x is not one input, or there are too many
            pieces.

        Examples
        --------
        >>> from gnorm.descent import GatedNetwork
        >>> network = GatedNetwork([[[[1.0, 0.0]]], [[[2.0]]]], ["relu", "linear"])
        >>> network.subdifferential([0.0, 3.0]).extreme_gradients
        array([[0., 0., 0.],
               [0., 6., 0.]])
        """
        return subdifferential(self, x, activations, output=output)

    def copy(self) -> Self:
        """Return a network with weights of its own."""
        return deepcopy(self)

    # -- how it scales -----------------------------------------------------------------------------

    def rates(self) -> RatePolytope:
        r"""All rates at which the weights can grow so that the values grow at rate 1.

        Returns
        -------
        RatePolytope
            The polytope of valid rate vectors, one rate for each array of weights.
        """
        return assemble(self)

    @property
    def degree(self) -> int | None:
        """Degree of homogeneity in the weights; None if all rates cannot be equal.

        ``rates().reason`` says why.
        """
        return self.rates().degree

    @property
    def depth(self) -> int:
        """Largest number of weights that are multiplied on the way from input to output."""
        return self.rates().depth

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
            One entry a node: gates as numbers, contexts outermost.

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
        shapes = [node.layer.gates for node in self.nodes]
        n_fixed = len(shapes) - shapes.count(None)
        if len(given) != n_fixed:
            raise ValueError(
                f"expected activations for {n_fixed} layers with fixed gates, got {len(given)}"
            )
        rest = iter(given)
        gates = [
            None if shape is None else _gates_as_numbers(next(rest), len(X), shape)
            for shape in shapes
        ]
        return X, gates

    def forward(self, X: FloatArray, gates: Sequence[FloatArray | None]) -> Pass:
        """Evaluate the network, and keep what the other passes need.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Inputs.
        gates : list of ndarray or None
            Fixed gates, as :meth:`check_inputs` returns them.

        Returns
        -------
        Pass
            Values, and what each layer left.
        """
        arrays = self.split(self.parameters)
        values: list[Any] = [X]
        caches = []
        for node, gate, done in zip(self.nodes, gates, self._done, strict=True):
            a = _total(values, node.parents)
            out, cache = node.layer.forward([arrays[i] for i in node.arrays], a, gate)
            values.append(out)
            caches.append(cache)
            for p in done:
                values[p + 1] = None
        return Pass(values[-1], self.nodes, caches)

    def tangent(self, forward: Pass, direction: FloatArray, n_samples: int) -> FloatArray:
        r"""Derivative of the values along a change of the weights, :math:`J v`.

        Parameters
        ----------
        forward : Pass
            The forward pass.
        direction : ndarray of shape (n_parameters,)
            Change v of the weights.
        n_samples : int
            Number of samples of the forward pass.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            The derivative.
        """
        arrays, changes = self.split(self.parameters), self.split(direction)
        values: list[Any] = [np.zeros((n_samples, self.n_features))]
        for node, cache, done in zip(self.nodes, forward.caches, self._done, strict=True):
            own = [arrays[i] for i in node.arrays], [changes[i] for i in node.arrays]
            values.append(node.layer.tangent(own[0], cache, _total(values, node.parents), own[1]))
            for p in done:
                values[p + 1] = None
        return values[-1]

    def backward(
        self, forward: Pass, coef: FloatArray, gradient: FloatArray | None = None
    ) -> list[list[Outer]]:
        r"""Propagate coefficients of the outputs back through the network, :math:`J^\top a`.

        Parameters
        ----------
        forward : Pass
            The forward pass.
        coef : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Coefficients a.
        gradient : ndarray of shape (n_parameters,), default=None
            Where to write :math:`\nabla_w \sum_{nk} a_{nk} f_w(x_n)_k`; None leaves it out.

        Returns
        -------
        list of list of tuple (left, right)
            For every array of weights, one entry for each place that it stands in: the factors of
            its gradient, see :meth:`~gnorm.descent.layers.Layer.backward`.
        """
        delta = coef[:, None] if coef.ndim == 1 else coef
        return self.propagate(forward, (len(self.nodes) - 1,), delta, gradient)

    def propagate(
        self,
        forward: Pass,
        ends: tuple[int, ...],
        delta: FloatArray,
        gradient: FloatArray | None = None,
    ) -> list[list[Outer]]:
        """Propagate coefficients of a sum of nodes back, as :meth:`backward` does of the last one.

        Parameters
        ----------
        forward : Pass
            The forward pass.
        ends : tuple of int
            Numbers of the nodes.
        delta : ndarray of shape (n_samples, n_out)
            Coefficients of their outputs.
        gradient : ndarray of shape (n_parameters,), default=None
            Where to write the gradient; None leaves it out.

        Returns
        -------
        list of list of tuple (left, right)
            Factors of the gradient of every array of weights.
        """
        arrays = self.split(self.parameters)
        deltas: list[FloatArray | None] = [None] * len(self.nodes)
        for end in ends:
            _add(deltas, end, delta)
        factors: list[list[Outer]] = [[] for _ in arrays]
        for i in range(max(ends), -1, -1):
            node, at_output = self.nodes[i], deltas[i]
            if at_output is None:
                continue
            deltas[i] = None
            wanted = [p for p in node.parents if self._is_active[p + 1]]
            own = [arrays[j] for j in node.arrays]
            back, outer = node.layer.backward(own, forward.caches[i], at_output, bool(wanted))
            for j, pair in zip(node.arrays, outer, strict=True):
                factors[j].append(pair)
            if back is not None:
                for p in wanted:
                    _add(deltas, p, back)
        if gradient is not None:
            for part, pairs in zip(self.split(gradient), factors, strict=True):
                _multiply(pairs, part)
        return factors

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
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
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
        coef : array-like of shape (n_samples,) or (n_samples, n_outputs)
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
        coef = as_numbers(coef, "coef")
        expected = (len(X),) if self.n_outputs == 1 else (len(X), self.n_outputs)
        if coef.shape != expected:
            raise ValueError(f"expected coef of shape {expected}, got shape {coef.shape}")
        gradient = np.empty_like(self.parameters)
        self.backward(self.forward(X, gates), coef, gradient)
        return gradient


def _height(layer: Layer, given: list[Fraction], name: str) -> Fraction:
    """Rows of a sample behind a layer, from those of what is summed before it."""
    if len(set(given)) != 1:
        raise ValueError(
            f"expected branches with equally many rows of a sample before {name}, got "
            f"{[str(n) for n in given]}: a Split needs a Join in the same branch"
        )
    if layer.gates is not None and given[0] != 1:
        raise ValueError(
            f"expected one row of a sample before {name}, whose gates are given for samples, got "
            f"{given[0]}: positions that a Split has made have none"
        )
    height = given[0] * layer.row_factor
    if height.denominator != 1:
        raise ValueError(f"expected a Split of as many positions before {name}, got {layer!r}")
    return height


def _total(values: list[Any], parents: tuple[int, ...]) -> FloatArray:
    """Sum of the outputs of the parents."""
    total = values[parents[0] + 1]
    for p in parents[1:]:
        total = total + values[p + 1]
    return np.asarray(total)


def _add(deltas: list[FloatArray | None], node: int, delta: FloatArray) -> None:
    present = deltas[node]
    deltas[node] = delta if present is None else present + delta


def _multiply(pairs: list[Outer], out: FloatArray) -> None:
    """Write the sum of products of factors, one for each place of an array; 0 if there is none."""
    if not pairs:
        out[...] = 0.0
    for i, (left, right) in enumerate(pairs):
        matrix = out.reshape(left.shape[1], right.shape[1])
        if i == 0:
            np.dot(left.T, right, out=matrix)
        else:
            matrix += left.T @ right


def _gates_as_numbers(activations: ArrayLike, n_samples: int, shape: tuple[int, int]) -> FloatArray:
    n_out, n_contexts = shape
    given = np.asarray(activations)
    if given.dtype != np.bool_ or given.shape != (n_samples, n_out, n_contexts):
        raise ValueError(
            f"expected activations of dtype bool and shape ({n_samples}, {n_out}, {n_contexts}), "
            f"got dtype {given.dtype} and shape {given.shape}"
        )
    # contexts outermost, as in the weights of a layer
    return given.transpose(0, 2, 1).reshape(n_samples, -1).astype(float)
