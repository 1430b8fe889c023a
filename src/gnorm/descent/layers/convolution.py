"""Circular convolution, with channels and shared weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnorm.descent.checks import check_count, check_positive
from gnorm.descent.layers.base import Arrays, Back, DegreeOne
from gnorm.gated import FloatArray

__all__ = ["Convolution"]


class Convolution(DegreeOne):
    r"""Circular convolution (as a correlation) of signals of length d in several channels.

    .. math:: z_{o t} = \sum_{i, k} w_{o i k} \, a_{i, (t + k) \bmod d}

    Channels stand one after the other, of shape (n_channels * d,) in a row.

    Parameters
    ----------
    length : int
        Length d of the signals.
    kernel_size : int
        Number of weights from one channel to another, at most `length`.
    n_in_channels, n_out_channels : int, default=1
        Numbers of channels.
    scale : float, default=1.0
        Factor of the initial weights, which are normal with variance
        :math:`1 / (\text{channels} \cdot \text{kernel size})`.
    """

    def __init__(
        self,
        length: int,
        kernel_size: int,
        n_in_channels: int = 1,
        n_out_channels: int = 1,
        *,
        scale: float = 1.0,
    ) -> None:
        self.length = check_count(length, "length")
        self.kernel_size = check_count(kernel_size, "kernel_size")
        if self.kernel_size > self.length:
            raise ValueError(
                f"expected a kernel_size of at most the length {length}, got {kernel_size}"
            )
        self.n_in_channels = check_count(n_in_channels, "n_in_channels")
        self.n_out_channels = check_count(n_out_channels, "n_out_channels")
        self.n_in = self.n_in_channels * self.length
        self.scale = check_positive(scale, "scale")
        # what each place reads: of the inputs forwards, and of the outputs backwards
        places, shifts = np.arange(self.length)[:, None, None], np.arange(self.kernel_size)
        first, last = (
            self.length * np.arange(n)[:, None] for n in (self.n_in_channels, self.n_out_channels)
        )
        self._ahead = (first + (places + shifts) % self.length).reshape(self.length, -1)
        self._back = (last + (places - shifts) % self.length).reshape(self.length, -1)

    def __repr__(self) -> str:
        return (
            f"Convolution({self.length}, {self.kernel_size}, {self.n_in_channels}, "
            f"{self.n_out_channels})"
        )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """One array, of shape (n_out_channels, n_in_channels, kernel_size)."""
        return {"kernels": (self.n_out_channels, self.n_in_channels, self.kernel_size)}

    @property
    def matrices(self) -> dict[str, tuple[int, ...]]:
        """One matrix, from what a place reads to its outputs."""
        return {"kernels": (1, self.n_out_channels, self.n_in_channels * self.kernel_size)}

    def n_outputs(self, n_in: int) -> int:
        """Channels times length."""
        super().n_outputs(n_in)
        return self.n_out_channels * self.length

    def initial(self, rng: np.random.RandomState) -> list[FloatArray]:
        """Normal weights."""
        size = self.scale / np.sqrt(self.n_in_channels * self.kernel_size)
        return [rng.normal(scale=size, size=self.shapes["kernels"])]

    def _windows(self, a: FloatArray, places: Any) -> FloatArray:
        """What each place reads, (n_samples * length, n_channels * kernel_size)."""
        # np.take leaves it side by side, where indexing would not
        return np.take(a, places, axis=1).reshape(len(a) * self.length, -1)

    def _rows(self, a: FloatArray) -> FloatArray:
        """Channels of each place, (n_samples * length, n_channels)."""
        return (
            a.reshape(len(a), -1, self.length).transpose(0, 2, 1).reshape(len(a) * self.length, -1)
        )

    def _channels(self, rows: FloatArray) -> FloatArray:
        """The inverse of :meth:`_rows`."""
        channels = rows.reshape(-1, self.length, rows.shape[1]).transpose(0, 2, 1)
        return channels.reshape(len(channels), -1)

    def _convolved(self, kernels: FloatArray, windows: FloatArray) -> FloatArray:
        return self._channels(windows @ kernels.reshape(self.n_out_channels, -1).T)

    def forward(
        self, weights: Arrays, a: FloatArray, gates: FloatArray | None
    ) -> tuple[FloatArray, Any]:
        """One matrix product with the shifted signals."""
        windows = self._windows(a, self._ahead)
        return self._convolved(weights[0], windows), windows

    def tangent(self, weights: Arrays, cache: Any, da: FloatArray, dweights: Arrays) -> FloatArray:
        """Product rule."""
        return self._convolved(weights[0], self._windows(da, self._ahead)) + self._convolved(
            dweights[0], cache
        )

    def backward(self, weights: Arrays, cache: Any, delta: FloatArray, wants_input: bool) -> Back:
        """Correlations with the kernels, shifted the other way, and with the inputs."""
        outer = [(self._rows(delta), cache)]
        if not wants_input:
            return None, outer
        flipped = weights[0].transpose(1, 0, 2).reshape(self.n_in_channels, -1)
        return self._channels(self._windows(delta, self._back) @ flipped.T), outer
