r"""The norm of short filters: gradient descent on a convolution, then linear, minimises it.

Filters :math:`u_r` of K entries and read-outs :math:`v_r` of d have
:math:`\beta = \sum_r u_r * v_r` circularly. With the matrix :math:`W = \sum_r u_r v_r^\top`, whose
row k is shifted by k before the rows add up,

.. math:: R(\beta) = \min \{ \|W\|_* : \textstyle\sum_k S^k W_k = \beta \} , \qquad
    R^\circ(V) = \sigma_{\max}(M), \ M_{kj} = V_{(j + k) \bmod d} .

By :math:`\|W\|_* = \min_{Q \succ 0} \tfrac12 \operatorname{tr}(Q + W^\top Q^{-1} W)` and the
unitary Fourier transform it is the least value of a convex function of the K x K matrix Q alone,

.. math:: R(\beta) = \min_{Q \succeq 0} \tfrac12 \operatorname{tr} Q
    + \tfrac12 \sum_f |\hat\beta_f|^2 / p_f , \qquad
    p_f = e_f^* Q e_f,\ e_{fk} = e^{-2 \pi i f k / d},

which is found with :math:`Q = L L^\top`; K columns leave no local minima. The polynomial p is
non-negative and hence the squared amplitude of one filter, so that more channels change nothing
[1]_. For K = 1 it is the L2 norm, for K = d that of :class:`gnorm.norms.FourierL1`.

References
----------
.. [1] M. Jagadeesan, I. Razenshteyn and S. Gunasekar (2022). Inductive bias of multi-channel linear
   convolutional networks with bounded weight norm. COLT. arXiv:2102.12238.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from gnorm.gated import FloatArray
from gnorm.norms.base import Network, Norm, check_weights
from gnorm.norms.matrices import singular_values

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["Convolution"]

_ACCURACY = 1e-8  # relative gap of a value, above which the search starts from another point
_STARTS = 4  # of that search at most, each as dear as the first


@dataclass(frozen=True)
class Convolution(Norm):
    r"""Least nuclear norm of the filters and read-outs of a circular convolution.

    Parameters
    ----------
    kernel_size : int
        Entries K of a filter, at least 1 and at most the number of features.

    Raises
    ------
    ValueError
        If kernel_size is not an integer of at least 1.

    Notes
    -----
    The value is found by a search, to a relative accuracy of about 1e-8, and never too small; the
    dual norm is in closed form. Of several units and contexts the norms add up.

    See Also
    --------
    FourierL1 : Filters as long as the input.

    Examples
    --------
    >>> from gnorm.norms import Convolution
    >>> zeta = [[[3.0, 4.0, 0.0, 0.0]]]
    >>> [round(Convolution(k).value(zeta), 4) for k in (1, 2, 4)]
    [5.0, 4.5277, 4.5]
    """

    kernel_size: int

    formula = r"\min \{ \|W\|_* : \sum_k S^k W_k = \zeta \}"
    dual_formula = r"\sigma_{\max}(M),\ M_{kj} = V_{(j + k) \bmod d}"
    architecture = "circular convolution with K entries, then linear; any number of channels"
    geometry = "l2: gradient descent"
    references = ("Jagadeesan, Razenshteyn and Gunasekar (2022), arXiv:2102.12238",)
    invariances = ("circular shifts", "permutations of units")

    def __post_init__(self) -> None:
        size = self.kernel_size
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(f"expected an integer kernel_size >= 1, got {size!r}")
        object.__setattr__(self, "kernel_size", int(size))

    @classmethod
    def examples(cls) -> tuple[Convolution, ...]:
        """Return some sizes."""
        return cls(1), cls(3)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError if a filter is longer than the input, or there are several outputs."""
        super().check_shape(shape)
        if self.kernel_size > shape[2]:
            raise ValueError(
                f"expected kernel_size of at most {shape[2]}, the number of features, "
                f"got {self.kernel_size}"
            )

    def value(self, zeta: ArrayLike) -> float:
        """Norm of these weights."""
        zeta = check_weights(zeta)
        self.check_shape(zeta.shape)
        rows = zeta.reshape(-1, zeta.shape[2])
        return sum(_least(row, self.kernel_size)[1] for row in rows if row.any())

    def _shifted(self, V: FloatArray) -> FloatArray:
        """The matrices M, shape (n_units * n_contexts, kernel_size, n_features)."""
        n = V.shape[2]
        index = (np.arange(self.kernel_size)[:, None] + np.arange(n)) % n
        return V.reshape(-1, n)[:, index]

    def dual(self, sums: ArrayLike) -> float:
        """Largest singular value of the shifted sums."""
        V = check_weights(sums, "sums")
        self.check_shape(V.shape)
        return float(np.max(singular_values(self._shifted(V))))

    def extreme_point(self, sums: ArrayLike) -> FloatArray:
        """Convolution of the top singular pair of the shifted sums."""
        V = check_weights(sums, "sums")
        U, s, Vt = np.linalg.svd(self._shifted(V), full_matrices=False)
        top = int(np.argmax(s[:, 0]))
        point = np.zeros((len(s), V.shape[2]))
        point[top] = _convolved(U[top, :, 0], Vt[top, 0])
        return point.reshape(V.shape)

    def expression(self, zeta: Any) -> cp.Expression:
        """Compose the definition of atoms of cvxpy; the matrices W are variables of it."""
        import cvxpy as cp
        from cvxpy.transforms.partial_optimize import partial_optimize

        n_units, n_contexts, n = zeta.shape
        rows = cp.reshape(zeta, (n_units * n_contexts, n), order="C")
        eye, links, total, variables = np.eye(n), [], 0.0, []
        for i in range(rows.shape[0]):
            W = cp.Variable((self.kernel_size, n))
            shifted = [W[k] @ np.roll(eye, k, axis=1) for k in range(self.kernel_size)]
            links.append(sum(shifted) == rows[i])
            total = total + cp.normNuc(W)
            variables.append(W)
        return partial_optimize(cp.Problem(cp.Minimize(total), links), variables)

    def network(self, shape: tuple[int, ...]) -> Network:
        """Filters and read-outs of as many channels as a filter has entries."""
        K, n = self.kernel_size, shape[2]
        n_rows = math.prod(shape[:2])

        def zeta_of(w: Any) -> FloatArray:
            r"""Compute :math:`\zeta_i = \sum_r u_{ir} * v_{ir}` of filters and read-outs."""
            total = [
                sum(_convolved(u, v) for u, v in zip(*channels, strict=True))
                for channels in zip(*w, strict=True)
            ]
            return np.stack(total).reshape(shape)

        def weights(zeta: FloatArray) -> list[np.ndarray]:
            """Cheapest filters (n_rows, K, K) and read-outs (n_rows, K, n) of given zeta."""
            filters, outs = np.zeros((n_rows, K, K)), np.zeros((n_rows, K, n))
            for i, row in enumerate(zeta.reshape(n_rows, n)):
                if row.any():
                    L, _ = _least(row, K)
                    filters[i], outs[i] = L.T, _read_outs(L, row)
            return [filters, outs]

        return Network(
            ((n_rows, K, K), (n_rows, K, n)),
            zeta_of,
            lambda w: 0.5 * float(np.sum(w[0] ** 2) + np.sum(w[1] ** 2)),
            weights,
        )


def _convolved(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Circular convolution of a filter and a read-out."""
    n = len(v)
    product: np.ndarray = np.fft.irfft(np.fft.rfft(u, n) * np.fft.rfft(v), n)
    return product


def _read_outs(L: np.ndarray, beta: np.ndarray) -> np.ndarray:
    r"""Cheapest read-outs for filters, the columns of L: :math:`\bar{\hat u}_r \hat\beta / p`."""
    n = len(beta)
    filters = np.fft.rfft(L, n, axis=0)
    p = np.sum(np.abs(filters) ** 2, axis=1)
    shares = np.divide(np.fft.rfft(beta), p, out=np.zeros(len(p), complex), where=p > 0)
    outs: np.ndarray = np.fft.irfft(filters.conj() * shares[:, None], n, axis=0).T
    return outs


def _least(beta: np.ndarray, kernel_size: int) -> tuple[np.ndarray, float]:
    """Filters of least cost, shape (kernel_size, kernel_size), and the norm that they show."""
    n, scale = len(beta), float(np.max(np.abs(beta)))
    spectrum = np.fft.fft(beta / scale)
    energies = np.abs(spectrum) ** 2 / n
    E = np.exp(-2j * math.pi * np.outer(np.arange(n), np.arange(kernel_size)) / n)
    present = energies > 1e-30 * np.max(energies)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        r"""Cost of filters L with their cheapest read-outs, and its slope in L.

        It is :math:`\tfrac12 \|L\|_F^2 + \tfrac12 \sum_k |\hat\beta_k|^2 / (n p_k)` for the power
        :math:`p_k = \sum_r |\hat u_{rk}|^2` of the filters at frequency k.
        """
        L = flat.reshape(kernel_size, kernel_size)
        responses = E[present] @ L
        p = np.maximum(np.sum(np.abs(responses) ** 2, axis=1), 1e-300)
        shares = energies[present] / p
        slope = L - (E[present].conj().T @ (responses * (shares / p)[:, None])).real
        return 0.5 * float(np.sum(L**2) + np.sum(shares)), slope.ravel()

    best, least = np.zeros((kernel_size, kernel_size)), np.inf
    norm = Convolution(kernel_size)
    for seed in range(_STARTS):
        start = np.random.default_rng(seed).normal(size=kernel_size**2)
        start *= math.sqrt(float(np.sum(energies)) ** 0.5 / kernel_size**2)
        options = {"maxiter": 5000, "maxfun": 20_000, "ftol": 1e-16, "gtol": 1e-11, "maxcor": 30}
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
        if found.fun < least:
            best, least = found.x.reshape(kernel_size, kernel_size), float(found.fun)
        # A bound from below: the functional that is aligned with the read-outs.
        p = np.sum(np.abs(E @ best) ** 2, axis=1)
        aligned = np.fft.ifft(
            np.divide(spectrum, p, out=np.zeros(n, complex), where=present & (p > 0))
        ).real
        below = float(aligned @ (beta / scale)) / norm.dual(aligned[None, None])
        if least - below <= _ACCURACY * least:
            break
    return math.sqrt(scale) * best, scale * least
