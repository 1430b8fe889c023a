"""Layer and batch normalisation, with an affine part or without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gnorm.descent.checks import check_count, check_nonnegative
from gnorm.descent.layers.base import Arrays, Back, Condition, Layer, Rate, rows
from gnorm.gated import FloatArray

__all__ = ["BatchNorm", "LayerNorm"]


class _Normalization(Layer):
    r"""Inputs less their mean, over their standard deviation, along an axis."""

    axis: int

    def __init__(
        self, n_units: int, *, affine: bool = False, center: bool = True, eps: float = 0.0
    ) -> None:
        self.n_in: int = check_count(n_units, "n_units")
        self.eps = check_nonnegative(eps, "eps")
        self.affine, self.center = affine, center

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Two arrays of shape (n_units,), `gain` and `bias`, if there is an affine part."""
        return {"gain": (self.n_in,), "bias": (self.n_in,)} if self.affine else {}

    def initial(self, rng: np.random.RandomState) -> list[FloatArray]:
        """Gains of 1 and biases of 0."""
        return [np.ones(self.n_in), np.zeros(self.n_in)] if self.affine else []

    def _mean(self, a: FloatArray) -> FloatArray:
        mean: FloatArray = a.mean(axis=self.axis, keepdims=True)
        return mean

    def forward(
        self, weights: Arrays, a: FloatArray, gates: FloatArray | None
    ) -> tuple[FloatArray, Any]:
        """Normalised inputs, times the gain plus the bias."""
        if self.center:
            # less the mean twice: the first leaves rounding of the size of the mean
            a = a - self._mean(a)
            a = a - self._mean(a)
        size = np.sqrt(self._mean(a * a) + self.eps)
        if not size.all():
            raise ValueError(
                f"expected inputs of {self} that differ along axis {self.axis} where eps is 0, got "
                f"{np.count_nonzero(size == 0)} that do not"
            )
        normalized = a / size
        cache = normalized, size
        return (weights[0] * normalized + weights[1] if self.affine else normalized), cache

    def _derivative(self, cache: Any, d: FloatArray) -> FloatArray:
        """The derivative of the normalisation, which is symmetric."""
        normalized, size = cache
        change = d - normalized * self._mean(normalized * d)
        return (change - self._mean(d) if self.center else change) / size

    def tangent(self, weights: Arrays, cache: Any, da: FloatArray, dweights: Arrays) -> FloatArray:
        """Product rule."""
        change = self._derivative(cache, da)
        if not self.affine:
            return change
        return weights[0] * change + dweights[0] * cache[0] + dweights[1]

    def backward(self, weights: Arrays, cache: Any, delta: FloatArray, wants_input: bool) -> Back:
        """The derivative once more, and sums over the samples."""
        if not self.affine:
            return self._derivative(cache, delta), []
        outer = [rows(delta * cache[0]), rows(delta)]
        return self._derivative(cache, delta * weights[0]), outer

    def rates(self, stream: Rate, own: Sequence[Rate]) -> tuple[Rate, list[Condition]]:
        """0, whatever that of the inputs; with an affine part that of the gain.

        Without eps the inputs may have any rate, since their scale is divided out; with it, they
        must have rate 0.
        """
        none = np.zeros_like(stream)
        conditions = [Condition(stream, none, "its inputs and its eps")] if self.eps else []
        if not self.affine:
            return none, conditions
        gain, bias = own
        return gain, [*conditions, Condition(bias, gain, "its bias and its gain")]


class LayerNorm(_Normalization):
    r"""Normalisation of every sample over its units.

    .. math:: \hat a_i = \frac{a_i - \bar a}{\sqrt{\frac1d \sum_j (a_j - \bar a)^2 + \epsilon}},
        \qquad \hat a_i \mapsto g_i \hat a_i + b_i

    Parameters
    ----------
    n_units : int
        Number d of units.
    affine : bool, default=False
        Whether there are gains g and biases b.
    center : bool, default=True
        Whether the mean is subtracted; False is root-mean-square normalisation.
    eps : float, default=0.0
        What is added to the variance. With 0 the layer is exactly invariant to the scale of its
        inputs, and refuses those that have none.
    """

    axis = 1


class BatchNorm(_Normalization):
    r"""Normalisation of every unit over the samples that are evaluated together.

    There are no running averages: the statistics are those of the batch, in training and after, so
    that the network is one function of its weights for given data. A batch of one has none.

    Parameters
    ----------
    n_units : int
        Number of units.
    affine, center, eps
        As for :class:`LayerNorm`.
    """

    axis = 0
    is_separable = False

    def forward(
        self, weights: Arrays, a: FloatArray, gates: FloatArray | None
    ) -> tuple[FloatArray, Any]:
        """Normalised inputs, times the gain plus the bias."""
        if len(a) < 2:
            raise ValueError(f"expected at least two samples in a batch of {self}, got {len(a)}")
        return super().forward(weights, a, gates)
