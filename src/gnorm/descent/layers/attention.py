"""Softmax attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from gnorm.descent.checks import check_count, check_positive
from gnorm.descent.layers.base import (
    Arrays,
    Back,
    Condition,
    Layer,
    Rate,
)
from gnorm.gated import FloatArray

__all__ = ["Attention"]


class Attention(Layer):
    r"""One head of softmax attention over the positions of a sequence.

    .. math:: \operatorname{softmax}\!\left(\frac{(A W_Q^\top)(A W_K^\top)^\top}{\sqrt{k}}\right)
        A W_V^\top, \qquad A \in \mathbb{R}^{T \times d}

    Only in its values it is homogeneous: the softmax is not, so that its inputs, queries and keys
    must have rate 0. For large weights it tends to a maximum, which is [1]_.

    Parameters
    ----------
    n_positions : int
        Length T of the sequence; a row of the inputs is its positions one after the other.
    n_in, n_out : int
        Numbers of inputs and outputs of a position.
    n_keys : int, default=None
        Dimension k of queries and keys; None for `n_in`.
    scale : float, default=1.0
        Factor of the initial weights, which are normal with variance 1 / `n_in`.

    References
    ----------
    .. [1] W. Merrill, V. Ramanujan, Y. Goldberg, R. Schwartz and N. A. Smith (2021). Effects of
       parameter norm growth during transformer training: inductive bias from gradient descent.
       EMNLP. arXiv:2010.09697.
    """

    def __init__(
        self,
        n_positions: int,
        n_in: int,
        n_out: int,
        n_keys: int | None = None,
        *,
        scale: float = 1.0,
    ) -> None:
        self.n_positions = check_count(n_positions, "n_positions")
        self.width = check_count(n_in, "n_in")
        self.n_out = check_count(n_out, "n_out")
        self.n_keys = self.width if n_keys is None else check_count(n_keys, "n_keys")
        self.n_in = self.n_positions * self.width
        self.scale = check_positive(scale, "scale")

    def __repr__(self) -> str:
        return f"Attention({self.n_positions}, {self.width}, {self.n_out}, {self.n_keys})"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Three matrices, each of shape (1, n_out, n_in) like those of a dense layer."""
        keys = (1, self.n_keys, self.width)
        return {"queries": keys, "keys": keys, "values": (1, self.n_out, self.width)}

    def n_outputs(self, n_in: int) -> int:
        """Outputs of all positions."""
        super().n_outputs(n_in)
        return self.n_positions * self.n_out

    def initial(self, rng: np.random.RandomState) -> list[FloatArray]:
        """Normal weights."""
        size = self.scale / np.sqrt(self.width)
        return [rng.normal(scale=size, size=shape) for shape in self.shapes.values()]

    def _sequences(self, rows: FloatArray) -> FloatArray:
        return rows.reshape(len(rows), self.n_positions, -1)

    def forward(
        self, weights: Arrays, a: FloatArray, gates: FloatArray | None
    ) -> tuple[FloatArray, Any]:
        """Averages of the values, weighted by the softmax of the scores."""
        A = self._sequences(a)
        Q, K, V = (A @ W[0].T for W in weights)
        P = softmax(Q @ K.transpose(0, 2, 1) / np.sqrt(self.n_keys), axis=2)
        return (P @ V).reshape(len(a), -1), (A, Q, K, V, P)

    def _through_softmax(self, P: FloatArray, d: FloatArray) -> FloatArray:
        """The derivative of the softmax, which is symmetric, over the root of the key dimension."""
        return P * (d - (P * d).sum(axis=2, keepdims=True)) / np.sqrt(self.n_keys)

    def tangent(self, weights: Arrays, cache: Any, da: FloatArray, dweights: Arrays) -> FloatArray:
        """Product rule."""
        A, Q, K, V, P = cache
        dA = self._sequences(da)
        dQ, dK, dV = (dA @ W[0].T + A @ dW[0].T for W, dW in zip(weights, dweights, strict=True))
        dS = dQ @ K.transpose(0, 2, 1) + Q @ dK.transpose(0, 2, 1)
        return (self._through_softmax(P, dS) @ V + P @ dV).reshape(len(da), -1)

    def backward(self, weights: Arrays, cache: Any, delta: FloatArray, wants_input: bool) -> Back:
        """The same products, transposed."""
        A, Q, K, V, P = cache
        D = self._sequences(delta)
        dS = self._through_softmax(P, D @ V.transpose(0, 2, 1))
        parts = dS @ K, dS.transpose(0, 2, 1) @ Q, P.transpose(0, 2, 1) @ D
        positions = A.reshape(-1, self.width)
        outer = [(part.reshape(len(positions), -1), positions) for part in parts]
        back = sum(part @ W[0] for part, W in zip(parts, weights, strict=True))
        return np.asarray(back).reshape(len(delta), -1), outer

    def rates(self, stream: Rate, own: Sequence[Rate]) -> tuple[Rate, list[Condition]]:
        """That of the values comes on top; the scores must have rate 0."""
        queries, keys, values = own
        scores = 2.0 * stream + queries + keys
        return stream + values, [Condition(scores, np.zeros_like(stream), "its scores and 0")]
