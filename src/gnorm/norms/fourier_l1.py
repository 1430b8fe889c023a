r"""The L1 norm of the spectrum: gradient descent on full-width circular convolutions minimises it.

A filter u and a read-out v of as many entries as features have :math:`\beta = u * v`, in the
unitary Fourier transform :math:`\hat\beta = \sqrt d \, \hat u \hat v`, so that
:math:`\tfrac12 (\|u\|^2 + \|v\|^2) \ge d^{-1/2} \sum_f |\hat\beta_f|`.

References
----------
.. [1] S. Gunasekar, J. D. Lee, D. Soudry and N. Srebro (2018). Implicit bias of gradient descent on
   linear convolutional networks. NeurIPS. arXiv:1806.00468.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from gnorm.gated import FloatArray
from gnorm.norms.base import Network, Norm, check_weights
from gnorm.norms.simplex import check_threshold

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["FourierL1"]


@dataclass(frozen=True)
class FourierL1(Norm):
    r"""Sum of the amplitudes :math:`d^{-1/2} \sum_f |\hat\zeta_f|` of the spectrum of d features.

    The transform is unitary, along the features of each context.

    See Also
    --------
    Convolution : The same for filters of fewer entries.

    Examples
    --------
    >>> from gnorm.norms import FourierL1
    >>> FourierL1().value([[[1.0, 1.0, 1.0, 1.0]]]), FourierL1().dual([[[1.0, 1.0, 1.0, 1.0]]])
    (1.0, 4.0)
    """

    formula = r"d^{-1/2} \sum_f |\hat\zeta_f|"
    dual_formula = r"d^{1/2} \max_f |\hat V_f|"
    architecture = "full-width circular convolution, then linear; depth 2"
    geometry = "l2: gradient descent"
    references = ("Gunasekar et al. (2018), arXiv:1806.00468",)
    invariances = ("circular shifts", "permutations of units")

    def value(self, zeta: ArrayLike) -> float:
        """Sum of the amplitudes over the square root of the number of features."""
        zeta = check_weights(zeta)
        self.check_shape(zeta.shape)
        return float(np.sum(np.abs(np.fft.fft(zeta, axis=2)))) / zeta.shape[2]

    def dual(self, sums: ArrayLike) -> float:
        """Largest amplitude times the square root of the number of features."""
        V = check_weights(sums, "sums")
        self.check_shape(V.shape)
        return float(np.max(np.abs(np.fft.fft(V, axis=2))))

    def extreme_point(self, sums: ArrayLike) -> FloatArray:
        """Wave of the largest amplitude, in its phase."""
        V = check_weights(sums, "sums")
        spectrum = np.fft.rfft(V, axis=2)
        place = np.unravel_index(np.argmax(np.abs(spectrum)), spectrum.shape)
        n = V.shape[2]
        phase = float(np.angle(spectrum[place]))
        point = np.zeros_like(V)
        point[place[:2]] = np.cos(2 * math.pi * int(place[2]) * np.arange(n) / n + phase)
        return point / self.value(point)

    def prox(self, zeta: ArrayLike, t: float) -> FloatArray:
        """Proximal map of t times the norm: soft-thresholding of the amplitudes."""
        zeta, t = check_weights(zeta), check_threshold(t)
        self.check_shape(zeta.shape)
        spectrum = np.fft.rfft(zeta, axis=2)
        lengths = np.abs(spectrum)  # of a plain transform, sqrt(d) times the unitary one
        shares = np.maximum(lengths - t, 0.0) / np.where(lengths > 0, lengths, 1.0)
        prox: FloatArray = np.fft.irfft(shares * spectrum, n=zeta.shape[2], axis=2)
        return prox

    def expression(self, zeta: Any) -> cp.Expression:
        """Compose the norm of atoms of cvxpy; conjugate frequencies once, with weight two."""
        import cvxpy as cp

        n_units, n_contexts, n = zeta.shape
        rows = cp.reshape(zeta, (n_units * n_contexts, n), order="C")
        angles = 2 * math.pi * np.outer(np.arange(n), np.arange(n // 2 + 1)) / n
        counts = np.where((np.arange(n // 2 + 1) == 0) | (2 * np.arange(n // 2 + 1) == n), 1, 2)
        waves = [rows @ np.cos(angles), rows @ np.sin(angles)]
        amplitudes = cp.norm(cp.vstack([cp.vec(wave, order="C") for wave in waves]), 2, axis=0)
        return cp.sum(np.tile(counts, n_units * n_contexts) @ amplitudes) / n

    def network(self, shape: tuple[int, ...]) -> Network:
        r"""Filters u and read-outs v, :math:`\zeta = u * v` circularly."""
        n = shape[2]

        def zeta_of(w: Any) -> FloatArray:
            r"""Compute :math:`\zeta = u * v`, in the shape of both."""
            zeta: FloatArray = np.fft.irfft(
                np.fft.rfft(w[0], axis=2) * np.fft.rfft(w[1], axis=2), n=n, axis=2
            )
            return zeta

        def weights(zeta: FloatArray) -> list[np.ndarray]:
            r"""Cheapest u and v: both of spectrum :math:`|\hat\zeta_k|^{1/2}`, the phases in v."""
            spectrum = np.fft.rfft(zeta, axis=2)
            lengths = np.abs(spectrum)
            phases = spectrum / np.where(lengths > 0, lengths, 1.0)
            roots = np.sqrt(lengths)
            return [np.fft.irfft(each, n=n, axis=2) for each in (roots, roots * phases)]

        return Network(
            (shape, shape),
            zeta_of,
            lambda w: 0.5 * float(np.sum(w[0] ** 2) + np.sum(w[1] ** 2)),
            weights,
        )
