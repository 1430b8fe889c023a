r"""Clarke's subdifferential of a network with respect to its weights.

At weights where an input of a ReLU is zero the gradient jumps. Close by, the network is one of
several smooth pieces, one for each choice of sides of these inputs that some change of the weights
brings about; the subdifferential is the hull of their gradients. Every ReLU has weights of its own
before it, so that mostly all choices occur; where weights are shared, or a unit reads units that
are on a kink themselves, a linear program decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog

from gnorm.gated import FloatArray
from gnorm.homogeneity import ClarkeSubdifferential

if TYPE_CHECKING:
    from gnorm.descent.network import Activations, Network, Pass

__all__ = ["KINK_TOL", "pieces", "subdifferential"]

# Of the largest input of the layer: the rounding of a sum of thousands of products is 1e-13 of it.
KINK_TOL = 1e-10
# Of the weights of the unit: a change that moves its input by less is rounding.
_STILL = 1e-13
# A cone of changes with less of an opening, as a margin on normalised inequalities, is rounding.
_OPENING = 1e-9
_MAX_PIECES = 4096  # adjacent to a kink, of which each costs a gradient: twelve closing gates


def pieces(network: Network, forward: Pass, rows: slice, tol: float = KINK_TOL) -> list[Pass]:
    """Smooth pieces of a network next to its weights, at one sample.

    Parameters
    ----------
    network : Network
        The network.
    forward : Pass
        Forward pass of the sample, alone or among others.
    rows : slice
        Its place among the samples of the pass, as a slice of one.
    tol : float, default=1e-10
        What counts as zero before a ReLU, relative to the largest input of the same layer.

    Returns
    -------
    list of Pass
        One pass for each piece, which differ in the slopes of the units on a kink; the given one
        where there is none.

    Raises
    ------
    ValueError
        If there are more than 4096 pieces.
    """
    n_samples = len(forward.values)
    found: list[tuple[Pass, list[FloatArray]]] = [(forward, [])]
    for number, node in enumerate(network.nodes):
        mask = node.layer.kinks(forward.caches[number], tol)
        if mask is None:
            continue
        per_sample = len(mask) // n_samples  # rows, more than one where positions are split
        own = np.zeros(len(mask), dtype=bool)
        own[rows.start * per_sample : rows.stop * per_sample] = True
        for row, unit in np.argwhere(mask & own[:, None]):
            one = np.zeros_like(mask)
            one[row, unit] = True
            halves = []
            for piece, normals in found:
                slope = np.empty_like(network.parameters)
                network.propagate(piece, node.parents, one.astype(float), slope)
                size = float(np.linalg.norm(slope))
                if size <= _STILL * max(1.0, float(np.linalg.norm(network.parameters))):
                    halves.append((piece, normals))  # no change of the weights moves it
                    continue
                for side in (True, False):
                    cone = [*normals, slope / size if side else -slope / size]
                    if _has_interior(np.array(cone)):
                        cache = node.layer.with_sides(piece.caches[number], one, np.array([side]))
                        halves.append((piece.with_cache(number, cache), cone))
            found = halves
            if len(found) > _MAX_PIECES:
                raise ValueError(
                    f"expected at most {_MAX_PIECES} pieces next to the weights, got more: too "
                    "many units are zero"
                )
    return [piece for piece, _ in found]


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
    point = np.asarray(x, dtype=float)
    if point.shape != (network.n_features,):
        raise ValueError(f"expected x of shape ({network.n_features},), got shape {point.shape}")
    if not 0 <= output < network.n_outputs:
        raise ValueError(f"expected an output from 0 to {network.n_outputs - 1}, got {output}")
    forward = network.forward(*network.check_inputs(point[None], activations))
    coef = np.zeros((1, network.n_outputs))
    coef[0, output] = 1.0
    gradients = []
    for piece in pieces(network, forward, slice(0, 1), tol):
        gradient = np.empty_like(network.parameters)
        network.backward(piece, coef, gradient)
        gradients.append(gradient)
    return ClarkeSubdifferential(gradients)
