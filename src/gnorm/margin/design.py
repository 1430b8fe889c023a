r"""Gated feature maps as operators: the geometry of a max-margin problem.

The features of unit :math:`h` are :math:`\phi_h(x) = g_h(x) \otimes x`, and its kernel is
:math:`K_h(x, x') = \langle x, x' \rangle \langle g_h(x), g_h(x') \rangle`. Neither the features
(n_samples x n_units n_contexts n_features) nor the kernels (n_units of n_samples x n_samples) are
ever built: every solver works through the products below.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg.blas import dgemm, dsyrk
from scipy.sparse import issparse

from gnorm import gated, kernels, norms

__all__ = ["GatedDesign", "PredictorL2Design"]


class GatedDesign:
    r"""Feature map of a gated linear model on one data set, one kernel a unit.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
        Inputs in float64.
    activations : ndarray of bool, shape (n_samples, n_units, n_contexts)
        Gates of the inputs.
    """

    def __init__(self, X: Any, activations: np.ndarray) -> None:
        self.X = X
        self.activations = activations
        self.n_samples, self.n_units, self.n_contexts = activations.shape
        self.is_one_hot = bool(np.all(activations.sum(axis=2) == 1))

    def restricted(self, rows: np.ndarray) -> GatedDesign:
        """Return the design of some of the samples, with what is known of its Gram matrix."""
        part = type(self)(self.X[rows], self.activations[rows])
        if "gram" in vars(self):
            part.gram = self.gram[np.ix_(rows, rows)]
        return part

    @cached_property
    def _codes(self) -> tuple[np.ndarray, float]:
        r"""Rows :math:`s_h` and a number :math:`o` with <g_h, g_h'> = <s_h, s_h'> + o.

        Gates with one context on per unit are coded as the corners of a regular simplex, whose
        inner products are those of the unit vectors less :math:`1/C`: one column a unit less, so
        that the products cost half for two contexts. Other gates are their own code.
        """
        if not self.is_one_hot or self.n_contexts == 1:
            return self.activations.reshape(self.n_samples, -1).astype(float), 0.0
        corners = np.linalg.svd(np.ones((1, self.n_contexts)))[2][1:].T
        coded = self.activations.astype(float) @ corners
        return coded.reshape(self.n_samples, -1), 1.0 / self.n_contexts

    @cached_property
    def gram(self) -> np.ndarray:
        """Inner products of the inputs, (n_samples, n_samples), shared by all units."""
        return kernels.gram(self.X)

    @cached_property
    def max_feature_norm(self) -> float:
        """Largest norm of an input, the length by which residuals are judged."""
        return float(np.sqrt(np.max(kernels.squared_row_norms(self.X), initial=0.0)))

    def unit_products(self, coef: np.ndarray, *, accurate: bool = False) -> np.ndarray:
        r"""Compute :math:`K_h c` for every unit.

        Parameters
        ----------
        coef : ndarray of shape (n_samples,)
            The vector :math:`c`.
        accurate : bool, default=False
            Go through the features instead of the Gram matrix. The error is then relative to
            :math:`\sum_n |c_n| \|x_n\|` and not to its square, which matters when the features
            cancel.

        Returns
        -------
        ndarray of shape (n_samples, n_units)
            Column h is :math:`K_h c`.
        """
        n_features = self.X.shape[1]
        if accurate or issparse(self.X) or 2 * n_features < self.n_samples:
            V = gated.accumulate(self.X, self.activations, coef)
            return gated.unit_values(self.X, self.activations, V)
        codes, offset = self._codes
        weighted = np.column_stack([codes * coef[:, None], offset * coef])
        # gram @ weighted, transposed into the memory order of the library
        products = dgemm(1.0, weighted.T, self.gram.T).T
        per_unit = (products[:, :-1] * codes).reshape(self.n_samples, self.n_units, -1).sum(axis=2)
        return per_unit + products[:, -1:]

    def weighted_gram(self, weights: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\sum_h w_h K_h = K \circ (G \operatorname{diag}(w) G^\top)`.

        Parameters
        ----------
        weights : ndarray of shape (n_units,)
            Non-negative weights.

        Returns
        -------
        ndarray of shape (n_samples, n_samples), Fortran order
            Only the lower triangle is meaningful: one symmetric product fills it, and a Cholesky
            factorisation reads no more.
        """
        codes, offset = self._codes
        scaled = codes * np.repeat(np.sqrt(weights), codes.shape[1] // self.n_units)
        S = dsyrk(1.0, scaled.T, trans=1, lower=1)
        S += offset * float(np.sum(weights))
        S *= self.gram.T  # the transpose of the symmetric matrix only aligns the memory order
        return S

    def mean_kernel(self) -> np.ndarray:
        """Mean of the kernels of all units, (n_samples, n_samples)."""
        return self.gram * (kernels.agreement(self.activations) / self.n_units)

    def unit_weights(self, coef: np.ndarray, weights: np.ndarray) -> np.ndarray:
        r"""Recover :math:`\zeta_h = w_h \sum_n c_n \phi_h(x_n)`, shape (H, C, D).

        Units that always have one of several contexts on leave :math:`\zeta` a freedom that changes
        no predictor; it is spent on the representation of least cost. On/off gates leave none:
        that a unit is open on all samples at hand does not keep it open on others.
        """
        zeta = gated.accumulate(self.X, self.activations, coef)
        zeta *= weights[:, None, None]
        return gated.canonical(zeta) if self.is_one_hot and self.n_contexts > 1 else zeta

    def unit_norms(self, zeta: np.ndarray) -> np.ndarray:
        r"""Norm of each unit, :math:`\|\zeta_h\|`; the engine minimises half their squared sum."""
        return norms.unit_norms(zeta)

    def dual_norms(self, coef: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\|V_h\|` with :math:`V_h = \sum_n c_n \phi_h(x_n)` for every unit."""
        return norms.unit_norms(gated.accumulate(self.X, self.activations, coef))

    def cancellation(self, coef: np.ndarray) -> float:
        r"""Largest share of any gated feature that is left after the samples cancel.

        The maximum over h, c, d of :math:`|V_{hcd}| / \sum_n |c_n g_{hc}(x_n) x_{nd}|`, the same in
        any units of the features.
        """
        V = np.abs(gated.accumulate(self.X, self.activations, coef))
        total = gated.accumulate(abs(self.X), self.activations, np.abs(coef))
        return float(np.max(np.divide(V, total, out=np.zeros_like(V), where=total > 0)))

    def decision_values(self, zeta: np.ndarray) -> np.ndarray:
        """Evaluate the predictor on the inputs of the design."""
        return gated.decision_values(self.X, self.activations, zeta)


class PredictorL2Design(GatedDesign):
    r"""The same predictors under the L2 norm: one kernel for all units together.

    The norm is the root mean square :math:`C^{-H/2} \|\beta\|_2` of the predictors of all
    contexts, the kernel :math:`\langle x, x' \rangle (1 - H + C a(x, x'))` with :math:`a` the
    number of units that agree (:func:`gnorm.kernels.predictor_l2_kernel`).
    """

    def __init__(self, X: Any, activations: np.ndarray) -> None:
        super().__init__(X, activations)
        if not self.is_one_hot:
            raise ValueError(
                "the L2 norm of the predictors is defined for gates with exactly one context on "
                "per unit, got activations with none or several"
            )
        self._n_gated_units = self.n_units
        self.n_units = 1  # as the engine sees it: one group, one kernel

    @cached_property
    def gram(self) -> np.ndarray:
        """The kernel matrix of the L2 norm."""
        return kernels.predictor_l2_kernel(self.X, self.activations)

    @cached_property
    def max_feature_norm(self) -> float:
        """Largest norm of a sample in the feature space of the kernel."""
        return float(np.sqrt(np.max(np.diag(self.gram), initial=0.0)))

    def unit_products(self, coef: np.ndarray, *, accurate: bool = False) -> np.ndarray:
        """Compute the product with the one kernel, shape (n_samples, 1)."""
        if accurate:
            return self.decision_values(self.unit_weights(coef, np.ones(1)))[:, None]
        return (self.gram @ coef)[:, None]

    def weighted_gram(self, weights: np.ndarray) -> np.ndarray:
        """Scale the kernel matrix, in Fortran order."""
        return np.multiply(weights[0], self.gram.T, order="F")

    def mean_kernel(self) -> np.ndarray:
        """The kernel matrix."""
        return self.gram

    def unit_weights(self, coef: np.ndarray, weights: np.ndarray) -> np.ndarray:
        r"""Recover :math:`\zeta_{hc} = C V_{hc} + \frac{1 - H}{H} \sum_{c'} V_{hc'}`."""
        V = gated.accumulate(self.X, self.activations, weights[0] * coef)
        n_units = self._n_gated_units
        zeta = self.n_contexts * V + ((1 - n_units) / n_units) * V.sum(axis=1, keepdims=True)
        return gated.canonical(zeta)

    def unit_norms(self, zeta: np.ndarray) -> np.ndarray:
        """Root mean square norm of the predictors, shape (1,)."""
        return np.array([norms.predictor_rms_norm(zeta)])

    def dual_norms(self, coef: np.ndarray) -> np.ndarray:
        """Dual norm of the expansion, shape (1,): the kernel norm is its own dual."""
        return self.unit_norms(self.unit_weights(coef, np.ones(1)))
