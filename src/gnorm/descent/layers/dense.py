"""Matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnorm.descent.checks import check_count, check_positive
from gnorm.descent.layers.base import Arrays, Back, DegreeOne
from gnorm.gated import FloatArray

__all__ = ["Dense"]


class Dense(DegreeOne):
    r"""A matrix, or one for each of several contexts, :math:`z_c = W_c a`.

    Parameters
    ----------
    n_in, n_out : int
        Numbers of inputs and of outputs of a context.
    n_contexts : int, default=1
        Number of contexts. Their outputs stand one after the other, contexts outermost; a
        :class:`Select` chooses among them.
    init : {"orthogonal", "kaiming_normal"}, default="orthogonal"
        Initialisation. "orthogonal" gives every context a random matrix with orthonormal rows, or
        columns where it has more rows [1]_; "kaiming_normal" independent entries of variance
        :math:`2 / n_{in}` [2]_.
    scale : float, default=1.0
        Factor of the initial weights, positive.

    References
    ----------
    .. [1] A. M. Saxe, J. L. McClelland and S. Ganguli (2014). Exact solutions to the nonlinear
       dynamics of learning in deep linear neural networks. ICLR. arXiv:1312.6120.
    .. [2] K. He, X. Zhang, S. Ren and J. Sun (2015). Delving deep into rectifiers. ICCV.
       arXiv:1502.01852.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        n_contexts: int = 1,
        *,
        init: str = "orthogonal",
        scale: float = 1.0,
    ) -> None:
        self.n_in: int = check_count(n_in, "n_in")
        self.n_out = check_count(n_out, "n_out")
        self.n_contexts = check_count(n_contexts, "n_contexts")
        if init not in ("orthogonal", "kaiming_normal"):
            raise ValueError(f"expected init 'orthogonal' or 'kaiming_normal', got {init!r}")
        self.init, self.scale = init, check_positive(scale, "scale")

    def __repr__(self) -> str:
        contexts = "" if self.n_contexts == 1 else f", {self.n_contexts}"
        return f"Dense({self.n_in}, {self.n_out}{contexts})"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """One array, of shape (n_contexts, n_out, n_in)."""
        return {"weights": (self.n_contexts, self.n_out, self.n_in)}

    def n_outputs(self, n_in: int) -> int:
        """Outputs of all contexts."""
        super().n_outputs(n_in)
        return self.n_contexts * self.n_out

    def initial(self, rng: np.random.RandomState) -> list[FloatArray]:
        """Random weights."""
        shape = (self.n_contexts, self.n_out, self.n_in)
        if self.init == "kaiming_normal":
            return [rng.normal(scale=self.scale * np.sqrt(2.0 / self.n_in), size=shape)]
        sizes = self.n_out, self.n_in
        normal = rng.normal(size=(self.n_contexts, max(sizes), min(sizes)))
        weights = np.empty(shape)
        for W, entries in zip(weights, normal, strict=True):
            # The signs make the orthonormal factor uniformly distributed.
            q, r = np.linalg.qr(entries)
            q *= np.where(np.diag(r) < 0, -1.0, 1.0)
            W[:] = self.scale * (q if self.n_out >= self.n_in else q.T)
        return [weights]

    def forward(
        self, weights: Arrays, a: FloatArray, gates: FloatArray | None
    ) -> tuple[FloatArray, Any]:
        """Products with all contexts at once."""
        return a @ weights[0].reshape(-1, self.n_in).T, a

    def tangent(self, weights: Arrays, cache: Any, da: FloatArray, dweights: Arrays) -> FloatArray:
        r""":math:`W \, da + dW \, a`."""
        W, dW = (A.reshape(-1, self.n_in) for A in (weights[0], dweights[0]))
        return da @ W.T + cache @ dW.T

    def backward(self, weights: Arrays, cache: Any, delta: FloatArray, wants_input: bool) -> Back:
        r""":math:`W^\top \delta` and :math:`\sum_n \delta_n a_n^\top`."""
        back = delta @ weights[0].reshape(-1, self.n_in) if wants_input else None
        return back, [(delta, cache)]
