r"""The factored Newton matrix of a system through the samples, in either precision.

The matrix is :math:`M + R R^\top`: the weighted kernels with a diagonal, and what the bounds of the
squared norms add, :math:`R = (P - \bar p) W^{1/2}`, which grows without bound along the path. In
double precision it is added to M. In single precision it would push all else out of the digits:
kept apart as a border, :math:`T = L^{-1} R` with :math:`M = L L^\top` and the factor of
:math:`I + T^\top T`, what it sees of a step is exact.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_solve, get_blas_funcs, get_lapack_funcs
from scipy.linalg.lapack import dpotrf

from gnorm.solvers.design.gram import Precision
from gnorm.solvers.interior.state import checked

__all__ = ["Factor"]

# Relative, on the diagonal: in units of the rounding error at least, and what still helps at most.
_LEAST_JITTER, _MOST_JITTER = 5.0, {np.float64: 1e-6, np.float32: 1e-2}
# Conjugate-gradient steps on a system: in double precision the factor has lost few digits.
_REFINEMENTS = {np.float64: 5, np.float32: 25}
# Error of a step that further conjugate gradients would not remove, or need not.
_STEP_ERROR = {np.float64: 1e-14, np.float32: 1e-9}


class Factor:
    """Cholesky factor of a Newton matrix, with its border in single precision.

    Attributes
    ----------
    precision : type
        Precision of the factor; it may be changed between two factorisations.
    """

    def __init__(self, precision: Precision) -> None:
        self.precision = precision
        self.jitter = 0.0
        self._matrix: np.ndarray | None = None
        self._border: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def is_bordered(self) -> bool:
        """Whether the spread is kept apart from the matrix."""
        return self._border is not None

    def factorise(
        self,
        build: Callable[[Precision, np.ndarray | None], np.ndarray],
        diagonal: np.ndarray,
        spread: np.ndarray,
    ) -> bool:
        """Factorise a matrix; False if it is not positive definite, not with jitter either.

        Parameters
        ----------
        build : callable
            From a precision, and memory to overwrite or None, to the lower triangle of the
            kernels.
        diagonal : ndarray of shape (n_samples,)
            What is added to their diagonal.
        spread : ndarray of shape (n_samples, n_kernels)
            The matrix R.
        """
        precision = self.precision
        if self._matrix is not None and self._matrix.dtype != precision:
            self._matrix, self.jitter = None, 0.0
        (syrk,) = get_blas_funcs(("syrk",), dtype=precision)
        potrf, self._trtrs = get_lapack_funcs(("potrf", "trtrs"), dtype=precision)
        self._border = None
        least = _LEAST_JITTER * float(np.finfo(precision).eps)
        self.jitter = max(least, self.jitter / 10)
        while self.jitter <= _MOST_JITTER[precision]:
            S = build(precision, self._matrix)
            if precision is np.float64:
                S = syrk(1.0, spread.T, trans=1, lower=1, beta=1.0, c=S, overwrite_c=1)
            entries = np.einsum("ii->i", S)
            entries += diagonal
            entries *= 1.0 + self.jitter
            self._matrix, failed_at = potrf(S, lower=1, overwrite_a=1, clean=0)
            if failed_at == 0 and (precision is np.float64 or self._set_border(spread)):
                return True
            self.jitter *= 100
        return False

    def _set_border(self, spread: np.ndarray) -> bool:
        lifted = self.half_solve(spread)
        inner = lifted.T @ lifted
        diagonal = np.einsum("ii->i", inner)
        diagonal += 1.0
        diagonal *= 1.0 + len(inner) * np.finfo(float).eps
        factor, failed_at = dpotrf(inner, lower=1)
        self._border = (lifted, factor) if failed_at == 0 else None
        return self._border is not None

    def half_solve(self, rhs: np.ndarray, *, is_second: bool = False) -> np.ndarray:
        """Apply the inverse of the Cholesky factor, or of its transpose as the second half.

        Right-hand sides are scaled: their range may be beyond that of single precision.
        """
        largest = np.max(np.abs(rhs), axis=0)
        largest = np.where(largest > 0, largest, 1.0)
        scaled = np.asfortranarray((rhs / largest).astype(self.precision, copy=False))
        half = self._trtrs(self._matrix, scaled, lower=1, trans=int(is_second))[0]
        # at once: a single number in float64 times a vector in float32 is float32 before numpy 2
        return checked(largest * half.astype(float))

    def solve(self, rhs: np.ndarray) -> np.ndarray:
        r"""Solve with :math:`M + R R^\top`."""
        half = self.half_solve(rhs)
        if self._border is not None:
            lifted, inner = self._border
            half -= lifted @ cho_solve((inner, True), lifted.T @ half)
        return self.half_solve(half, is_second=True)

    def solve_bordered(
        self, rhs: np.ndarray, e: np.ndarray, missing: float, roots: np.ndarray, centre: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float]:
        r"""Solve for the changes of coefficients, shares and bound at once.

        With :math:`w` the squared `roots`, they are the solution of

        .. math::

            M \Delta b + P \Delta\mu = r, \quad
            P^\top \Delta b - \Delta t - W^{-1} \Delta\mu = -W^{-1} e, \quad
            \textstyle\sum_h \Delta\mu_h = m .

        Eliminating :math:`\Delta\mu` as well would add :math:`P W P^\top` to M and :math:`P e` to
        the right-hand side, two large terms whose difference single precision does not have.
        """
        assert self._border is not None
        lifted, inner = self._border
        half = self.half_solve(rhs - centre * missing)
        known = np.column_stack([lifted.T @ half + e / roots, roots])
        free, pulled = cho_solve((inner, True), known).T
        pull = (float(roots @ free) - missing) / float(roots @ pulled)
        scaled = free - pull * pulled
        change = self.half_solve(half - lifted @ scaled, is_second=True)
        return change, roots * scaled, pull + float(centre @ change)

    def refined(self, rhs: np.ndarray, multiply: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Solve by conjugate gradients on an accurate product, with the factor to precondition.

        Once features cancel, the matrix built from Gram matrices has lost digits that products
        through the features still have.
        """
        x = self.solve(rhs)
        residual = rhs - multiply(x)
        target = _STEP_ERROR[self.precision] * float(np.linalg.norm(rhs))
        step = self.solve(residual)
        direction, slope = step, float(residual @ step)
        best, best_norm = x, float(np.linalg.norm(residual))
        for _ in range(_REFINEMENTS[self.precision]):
            image = multiply(direction)
            curvature = float(direction @ image)
            if best_norm <= target or not (curvature > 0 and slope > 0):
                break
            x = x + slope / curvature * direction
            residual = residual - slope / curvature * image
            norm = float(np.linalg.norm(residual))
            if norm < best_norm:
                best, best_norm = x, norm
            step = self.solve(residual)
            slope, previous = float(residual @ step), slope
            direction = step + slope / previous * direction
        return best
