r"""Neurons whose biases cost nothing.

With neurons :math:`(w \cdot x + b)_+`, :math:`\|w\| = 1`, of any bias b, a constant is the limit of
neurons with ever larger biases and ever smaller coefficients, and costs nothing either. So dual
points have :math:`\sum_n b_n = 0`, and along b

.. math:: h(w, b) = \sum_n b_n (w \cdot x_n + b)_+

is linear between the samples, zero where no sample is active and constant where all are. Its
largest value over b is at a sample :math:`x_m`, at which the neuron is zero: the search over all
neurons is one over the directions w of the samples :math:`x_n - x_m`, for each m.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gnorm.relu.columns import Best
from gnorm.relu.exact import exact_oracle
from gnorm.relu.oracle import ROUNDING, Found, Oracle, distinct

__all__ = ["FreeBias", "in_unit"]

_MOST_INPUTS = 2  # with three, the walks of all centres would take memory cubic in the samples


class FreeBias:
    """Search over the directions and biases of neurons.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples, the last feature of which is constant.

    Raises
    ------
    ValueError
        For more than two features beside the constant, and for none.
    """

    is_exact = True

    def __init__(self, X: np.ndarray) -> None:
        n_inputs = X.shape[1] - 1
        if not 1 <= n_inputs <= _MOST_INPUTS:
            raise ValueError(
                f"expected 1 or {_MOST_INPUTS} features and the constant with penalize_bias=False, "
                f"got {n_inputs} and the constant"
            )
        self.X = X
        self.constant = float(X[0, -1])
        self.centres = np.unique(X[:, :-1], axis=0)
        self.walks: list[Oracle] = []
        if n_inputs > 1:
            self.walks = [exact_oracle(X[:, :-1] - centre) for centre in self.centres]

    def find(self, b: np.ndarray, least: float = 0.0, most: int = 50) -> Found:
        r"""Maximise :math:`|h|`.

        Parameters
        ----------
        b : ndarray of shape (n_samples,)
            Dual coefficients, of sum zero but for rounding.
        least : float, default=0.0
            Value below which local maxima are of no interest.
        most : int, default=50
            How many to return.

        Returns
        -------
        Found
            The largest, and further local maxima.
        """
        U = self._along_planes(b, least) if self.walks else self._along_line(b)
        values = np.maximum(U @ self.X.T, 0.0) @ b
        order = np.argsort(-np.abs(values), kind="stable")
        # beside the sample there is the bias, up to the length of the farthest
        lengths = np.linalg.norm(self.X[:, :-1], axis=1)
        rounding = ROUNDING * float(np.abs(b) @ (lengths + np.max(lengths)))
        bound = max(least, float(np.abs(values[order[0]]))) + rounding
        order = order[: max(1, int(np.sum(np.abs(values) > least)))]
        chosen = distinct(U, order, most)
        return Found(U[chosen], values[chosen], bound)

    def _along_line(self, b: np.ndarray) -> np.ndarray:
        """Kinks at which the absolute value is no less than at those beside it."""
        kinks = self.centres[:, 0]
        group = np.searchsorted(kinks, self.X[:, 0])
        weights = np.bincount(group, b, minlength=len(kinks))
        found = []
        for sign in (1.0, -1.0):
            x, w = sign * kinks[:: -int(sign)], weights[:: -int(sign)]  # from the open end on
            values = np.abs(np.cumsum(w * x) - np.cumsum(w) * x)
            padded = np.pad(values, 1, constant_values=-np.inf)
            is_peak = (values >= padded[:-2]) & (values >= padded[2:])
            found.append(
                self._neurons(np.full((int(is_peak.sum()), 1), sign), sign * x[is_peak, None])
            )
        return np.concatenate(found)

    def _along_planes(self, b: np.ndarray, least: float) -> np.ndarray:
        """Local maxima over the directions from each sample."""
        found = []
        for centre, walk in zip(self.centres, self.walks, strict=True):
            W = walk.find(b, least).neurons
            found.append(self._neurons(W, np.broadcast_to(centre, W.shape)))
        return np.concatenate(found)

    def _neurons(self, W: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Neurons of directions and of the points at which they are zero."""
        return np.column_stack((W, -np.sum(W * centres, axis=1) / self.constant))

    def sharpened(self, b: np.ndarray, found: Found, precision: float) -> Found:
        """Return what was found: its bound is exact."""
        _ = b, precision
        return found

    def unit(self, U: np.ndarray) -> np.ndarray:
        """Neurons of unit length without their biases; those that are constant are left out."""
        lengths = np.linalg.norm(U[:, :-1], axis=1)
        kept = lengths > 1e-6 * np.linalg.norm(U, axis=1)
        return U[kept] / lengths[kept, None]

    def merged(self, neurons: np.ndarray, coefs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return all: neurons of one cell may add up to a constant."""
        return neurons, coefs


def in_unit(best: Best, unit: float) -> Best:
    r"""Points for inputs x, given those for x / r with weights :math:`r^2 C`.

    A neuron :math:`(w \cdot x / r + b)_+` is :math:`(w \cdot x + r b)_+ / r`, so that the norm is
    divided by r, and values and dual coefficients by its square.

    Parameters
    ----------
    best : Best
        Points in the unit r.
    unit : float
        The unit r.

    Returns
    -------
    Best
        The same networks and dual points; coefficients of free functions are as they were.
    """
    neurons = best.neurons * np.append(np.ones(best.neurons.shape[1] - 1), unit)
    return replace(
        best,
        neurons=neurons,
        coefs=best.coefs / unit,
        norm=best.norm / unit,
        primal_value=best.primal_value / unit**2,
        dual_coef=best.dual_coef / unit**2,
        dual_value=best.dual_value / unit**2,
        dual_norm=best.dual_norm / unit,
    )
