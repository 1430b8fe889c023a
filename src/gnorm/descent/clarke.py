r"""Clarke's subdifferential of a network with respect to its weights.

At weights where an input of a ReLU is zero the gradient jumps. Close by, the network is one of
several smooth pieces, one for each choice of sides of these inputs that some change of the weights
brings about; the subdifferential is the hull of their gradients. Every ReLU has weights of its own
before it, so that mostly all choices occur; where weights are shared, or a unit reads units that
are on a kink themselves, a linear program decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog

from gnorm.gated import BoolArray, FloatArray, as_numbers
from gnorm.homogeneity import ClarkeSubdifferential

if TYPE_CHECKING:
    from gnorm.descent.network import Activations, Network, Pass

__all__ = ["KINK_TOL", "Side", "Sides", "adjacent_sides", "kinked", "on_sides", "subdifferential"]

# Of the largest input of the layer: the rounding of a sum of thousands of products is 1e-13 of it.
KINK_TOL = 1e-10
# Of the weights of the unit: a change that moves its input by less is rounding.
_STILL = 1e-13
# A cone of changes with less of an opening, as a margin on normalised inequalities, is rounding.
_OPENING = 1e-9
_MAX_PIECES = 4096  # adjacent to a kink, of which each costs a gradient: twelve closing gates


class Side(NamedTuple):
    """Which side of its kink a unit is on.

    Attributes
    ----------
    node : int
        Number of the node.
    row : int
        Row of the unit among those of its sample.
    unit : int
        Number of the unit.
    is_upper : bool
        Whether its input is positive.
    """

    node: int
    row: int
    unit: int
    is_upper: bool


Sides: TypeAlias = tuple[Side, ...]


def kinked(forward: Pass, tol: float = KINK_TOL) -> BoolArray:
    """Samples at which an input of a ReLU counts as zero.

    Parameters
    ----------
    forward : Pass
        Forward pass.
    tol : float, default=1e-10
        What counts as zero, relative to the largest input of the same layer.

    Returns
    -------
    ndarray of bool, shape (n_samples,)
        Whether there is more than one piece, or may be.
    """
    n_samples = len(forward.values)
    found = np.zeros(n_samples, dtype=bool)
    for node, cache in zip(forward.nodes, forward.caches, strict=True):
        mask = node.layer.kinks(cache, tol)
        if mask is not None:
            found |= mask.reshape(n_samples, -1).any(axis=1)
    return found


def adjacent_sides(
    network: Network, forward: Pass, sample: int, tol: float = KINK_TOL
) -> list[Sides]:
    """Sides of the kinks that changes of the weights bring about at one sample.

    Parameters
    ----------
    network : Network
        The network.
    forward : Pass
        Forward pass of the sample, alone or among others.
    sample : int
        Its place among the samples of the pass.
    tol : float, default=1e-10
        What counts as zero before a ReLU, relative to the largest input of the same layer.

    Returns
    -------
    list of tuple of Side
        For each smooth piece next to the weights the sides of the units on a kink, none of them
        where there is no kink.

    Raises
    ------
    ValueError
        If there are more than 4096 pieces.
    """
    found: list[tuple[Sides, list[FloatArray]]] = [((), [])]
    for number, node in enumerate(network.nodes):
        mask = node.layer.kinks(forward.caches[number], tol)
        if mask is None:
            continue
        per_sample = len(mask) // len(forward.values)  # rows: more than one where positions split
        first = sample * per_sample
        for row, unit in np.argwhere(mask[first : first + per_sample]):
            one = np.zeros(mask.shape)
            one[first + row, unit] = 1.0
            halves = []
            for sides, normals in found:
                slope = np.empty_like(network.parameters)
                piece = on_sides(forward, {sample: sides})
                network.propagate(piece, node.parents, one, slope)
                size = float(np.linalg.norm(slope))
                if size <= _STILL * max(1.0, float(np.linalg.norm(network.parameters))):
                    halves.append((sides, normals))  # no change of the weights moves it
                    continue
                for is_upper in (True, False):
                    cone = [*normals, slope / size if is_upper else -slope / size]
                    if _has_interior(np.array(cone)):
                        side = Side(number, int(row), int(unit), is_upper)
                        halves.append(((*sides, side), cone))
            found = halves
            if len(found) > _MAX_PIECES:
                raise ValueError(
                    f"expected at most {_MAX_PIECES} pieces next to the weights, got more: too "
                    "many units are zero"
                )
    return [sides for sides, _ in found]


def on_sides(forward: Pass, sides: Mapping[int, Sides]) -> Pass:
    """Pass in which some samples are on given sides of their kinks.

    Parameters
    ----------
    forward : Pass
        Forward pass.
    sides : mapping of int to tuple of Side
        The sides of the samples that are on kinks, by their place in the pass.

    Returns
    -------
    Pass
        Pass whose derivatives are those of the pieces.
    """
    caches = list(forward.caches)
    for number in {side.node for given in sides.values() for side in given}:
        layer, cache = forward.nodes[number].layer, caches[number]
        shape = np.asarray(layer.kinks(cache, 0.0)).shape
        mask, is_upper = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        per_sample = shape[0] // len(forward.values)
        for sample, given in sides.items():
            for side in given:
                if side.node == number:
                    place = sample * per_sample + side.row, side.unit
                    mask[place], is_upper[place] = True, side.is_upper
        caches[number] = layer.with_sides(cache, mask, is_upper[mask])
    return replace(forward, caches=caches)


def _has_interior(normals: FloatArray) -> bool:
    """Whether some vector has positive products with all of the unit vectors."""
    gram = normals @ normals.T
    if np.linalg.eigvalsh(gram)[0] > 1e-8:  # independent: any signs can be had
        return True
    k = len(gram)
    # the vector as a combination of the normals; the last variable is the least product
    result = linprog(
        np.append(np.zeros(k), -1.0),
        A_ub=np.column_stack([-gram, np.ones(k)]),
        b_ub=np.zeros(k),
        bounds=[(-1.0, 1.0)] * k + [(None, 1.0)],
        method="highs",
    )
    return bool(-result.fun > _OPENING)


def subdifferential(
    network: Network,
    x: ArrayLike,
    activations: Activations = None,
    *,
    output: int = 0,
    tol: float = KINK_TOL,
) -> ClarkeSubdifferential:
    r"""Clarke's subdifferential of an output with respect to the weights.

    Parameters
    ----------
    network : Network
        Network that evaluates samples alone.
    x : array-like of shape (n_features,)
        Input.
    activations : array-like of bool, shape (1, n_units, n_contexts), or list of them
        Open gates of the layers with fixed gates; None if there are none.
    output : int, default=0
        Which output.
    tol : float, default=1e-10
        What counts as zero before a ReLU, relative to the largest input of the same layer.

    Returns
    -------
    ClarkeSubdifferential
        Hull of the gradients of the adjacent pieces, with its element of least norm; one gradient
        where the network is smooth.

    Raises
    ------
    ValueError
        If the network normalises over a batch, x is not one input, or there are too many pieces.
    """
    if not network.is_separable:
        raise ValueError(
            "expected a network that evaluates samples alone, got one that normalises over a batch"
        )
    point = as_numbers(x, "x")
    if point.shape != (network.n_features,):
        raise ValueError(f"expected x of shape ({network.n_features},), got shape {point.shape}")
    if not (isinstance(output, Integral) and 0 <= output < network.n_outputs):
        raise ValueError(f"expected an output from 0 to {network.n_outputs - 1}, got {output!r}")
    forward = network.forward(*network.check_inputs(point[None], activations))
    coef = np.zeros((1, network.n_outputs))
    coef[0, output] = 1.0
    gradients = []
    for sides in adjacent_sides(network, forward, 0, tol):
        gradient = np.empty_like(network.parameters)
        network.backward(on_sides(forward, {0: sides}), coef, gradient)
        gradients.append(gradient)
    return ClarkeSubdifferential(gradients)
