"""What a solve over all neurons returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from sklearn.utils import check_array

__all__ = ["ReLUSolution", "ReLUStatus", "relu_values"]

_BLOCK = 4_000_000  # entries of the activations of neurons at a time


class ReLUStatus(Enum):
    """How a solve over all neurons ended."""

    OPTIMAL = "optimal"
    """The relative gap over all neurons is at most ``tol``."""
    BOUNDED = "bounded"
    """No neuron was found that improves it; the bound over all neurons leaves the gap it says."""
    LOCAL = "local"
    """No neuron was found that improves it, and no sharp bound was asked for."""
    MAX_ITER = "max_iter"
    """The rounds or neurons allowed were spent first; the gap says how far the point is."""
    STALLED = "stalled"
    """Rounding errors leave nothing to gain; the gap says how far the point is."""
    INTERRUPTED = "interrupted"
    """Stopped from the keyboard; the gap says how far the point is."""


def relu_values(X: np.ndarray, neurons: np.ndarray, coefs: np.ndarray) -> np.ndarray:
    r"""Values :math:`\sum_j c_j (x \cdot u_j)_+` of a two-layer ReLU network.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Inputs.
    neurons : ndarray of shape (n_neurons, n_features)
        Neurons :math:`u_j`.
    coefs : ndarray of shape (n_neurons,)
        Output weights :math:`c_j`.

    Returns
    -------
    ndarray of shape (n_samples,)
        Values.
    """
    values = np.empty(len(X))
    n_rows = max(1, _BLOCK // max(1, len(coefs)))
    for first in range(0, len(X), n_rows):
        rows = slice(first, first + n_rows)
        values[rows] = np.maximum(X[rows] @ neurons.T, 0.0) @ coefs
    return values


@dataclass(frozen=True, eq=False)
class ReLUSolution:
    r"""A two-layer ReLU network of least norm and loss, with the proof of how good it is.

    Attributes
    ----------
    neurons : ndarray of shape (n_neurons, n_features)
        Unit vectors :math:`u_j`, at most one a sample; without their biases of unit length where
        these cost nothing.
    coefs : ndarray of shape (n_neurons,)
        Output weights :math:`c_j`.
    linear : ndarray of shape (n_features,)
        What the network has outside of the norm: :math:`q` of a term :math:`q \cdot x`.
    norm : float
        :math:`\sum_j |c_j|`.
    margin : float
        For a margin loss :math:`\min_n y_n f(x_n) / \text{norm}` over the samples of positive
        weight, infinite where what is outside of the norm separates alone; else NaN.
    primal_value : float
        Objective :math:`\tfrac12 \text{norm}^2 + \sum_n l_n(f(x_n))`.
    lower_bound : float
        Dual value: no network of any width has an objective below it; with given patterns, none
        of these patterns.
    duality_gap : float
        :math:`(\text{primal} - \text{bound}) / \text{primal}`.
    dual_norm : float
        The bound of :math:`|\sum_n b_n (x_n \cdot u)_+|` over the sphere at the dual point.
    dual_coef : ndarray of shape (n_samples,)
        Dual point: :math:`y_n b_n \ge 0` for a margin loss, else :math:`b_n`.
    support : ndarray of shape (n_support,)
        Indices of the samples with a dual coefficient other than zero.
    status : ReLUStatus
        How the solve ended.
    n_iter : int
        Rounds, each with one master problem and one search over the neurons.
    seconds : float
        Wall-clock time of the solve in seconds.
    """

    neurons: np.ndarray
    coefs: np.ndarray
    linear: np.ndarray
    norm: float
    margin: float
    primal_value: float
    lower_bound: float
    duality_gap: float
    dual_norm: float
    dual_coef: np.ndarray
    support: np.ndarray
    status: ReLUStatus
    n_iter: int
    seconds: float

    def decision_values(self, X: Any) -> np.ndarray:
        """Evaluate the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, with the same features as in training.

        Returns
        -------
        ndarray of shape (n_samples,)
            Signed values.
        """
        X = check_array(X, dtype=np.float64, input_name="X")
        if X.shape[1] != self.neurons.shape[1]:
            raise ValueError(f"expected X of {self.neurons.shape[1]} features, got {X.shape[1]}")
        return relu_values(X, self.neurons, self.coefs) + X @ self.linear

    def to_network(self) -> tuple[np.ndarray, np.ndarray]:
        r"""Balanced weights of a network :math:`\sum_j v_j (x \cdot w_j)_+`, `linear` apart.

        Both layers have the squared length ``norm``, so that :math:`\tfrac12 \|(w, v)\|^2` is the
        norm: there are no shorter weights of the same function where the solution is optimal.

        Returns
        -------
        hidden : ndarray of shape (n_neurons, n_features)
            :math:`w_j = \sqrt{|c_j|} u_j`.
        output : ndarray of shape (n_neurons,)
            :math:`v_j = \operatorname{sign}(c_j) \sqrt{|c_j|}`.
        """
        root = np.sqrt(np.abs(self.coefs))
        return root[:, None] * self.neurons, np.sign(self.coefs) * root
