r"""Dilations, and the norm that they stretch.

A dilation is a group of linear maps :math:`d(s) = e^{sG}` whose generator :math:`G` has eigenvalues
of positive real part, so that :math:`d(s) x` goes from zero to infinity as s goes from
:math:`-\infty` to :math:`\infty`. Scaling, :math:`d(s) x = e^s x`, is the case :math:`G = I`. Let
:math:`\|x\|_P = \sqrt{x^\top P x}` grow along every orbit, which is to say
:math:`P G + G^\top P \succ 0`. Then each orbit meets the sphere :math:`\|z\|_P = 1` once, and

.. math:: \|x\|_d = e^s \quad\text{with}\quad \|d(-s) x\|_P = 1

is the canonical homogeneous norm: :math:`\|d(s) x\|_d = e^s \|x\|_d`. It is found by Newton's
method on :math:`\log \|d(-s) x\|_P^2 = 0`, a function whose slope lies between
:math:`-2 \beta` and :math:`-2 \alpha`, where :math:`2\alpha` and :math:`2\beta` are the
extreme eigenvalues of :math:`P G + G^\top P` relative to :math:`P`. This also brackets the root.

References
----------
.. [1] A. Polyakov (2020). Generalized Homogeneity in Systems and Control. Springer.
.. [2] A. Polyakov (2023). Homogeneous artificial neural network. arXiv:2311.17973.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh, expm, solve_continuous_lyapunov

from gnorm.homogeneity.evaluation import EPS, FloatArray, check_rows

__all__ = ["Dilation"]

# Newton's method is quadratic: after a step of this size in s the next would be below rounding.
_LAST_STEP = 1e-9
# From the bracket, bisection alone needs log2 of the width over the last step, about 40 steps; a
# step is capped at first, which costs a few more when a norm is of size 1e150.
_MAX_STEPS = 200
_BLOCK = 4096  # rows worked on at a time, few enough that their temporaries stay in the cache
# Taylor terms of exp(M) for a norm of M up to 1/4: 0.25^13 / 13! = 2e-18 is left.
_TAYLOR_TERMS = 13
# The largest entry of the table of exponentials grows the norm by at most e^64, far from overflow;
# longer ways take several of these, and one of e^100000 ends in overflow or zero anyway.
_STRIDE_GROWTH = 64.0
_MAX_GROWTH = 1e5  # exponent: far beyond the 745 at which doubles end
# A step of the general iteration changes the norm by at most e^100, so that a component that it
# makes small is still there when a later step turns back.
_STEP_GROWTH = 100.0


class Dilation:
    r"""The group of linear maps :math:`d(s) = e^{sG}`, with its norm, sphere and geometry.

    Parameters
    ----------
    generator : array-like of shape (n_features,) or (n_features, n_features)
        Weights :math:`r_i > 0` of the features, for :math:`d(s) x = (e^{r_i s} x_i)_i`; or the
        matrix :math:`G`, whose eigenvalues must have positive real part. Weights, and a diagonal
        matrix with a diagonal `P`, are much the faster case.
    P : array-like of shape (n_features, n_features), default=None
        Symmetric positive definite matrix of the norm, with :math:`P G + G^\top P` positive
        definite. None takes the identity if it is such a matrix and lets the Euclidean norm grow
        at least half as fast along orbits as the eigenvalues of G say; otherwise the solution of
        :math:`P G + G^\top P = I`, scaled to the trace of the identity.

    Attributes
    ----------
    generator : ndarray of shape (n_features, n_features)
        The matrix G.
    P : ndarray of shape (n_features, n_features)
        The matrix of the norm.
    weights : ndarray of shape (n_features,) or None
        Diagonal of the generator if it is diagonal.
    alpha, beta : float
        Least and largest rate at which :math:`\log \|d(s) x\|_P` grows with s.
    n_features : int
        Number of features.

    Raises
    ------
    ValueError
        If the generator is not real, finite and square or has an eigenvalue without positive real
        part; if `P` is not symmetric and positive definite, or the norm does not grow along every
        orbit.

    References
    ----------
    .. [1] A. Polyakov (2023). Homogeneous artificial neural network. arXiv:2311.17973.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.homogeneity import Dilation
    >>> dilation = Dilation([1.0, 2.0])
    >>> dilation.apply([[3.0, 5.0]], np.log(2.0))
    array([[ 6., 20.]])
    >>> dilation.norm([[6.0, 20.0]]) / dilation.norm([[3.0, 5.0]])
    array([2.])
    """

    def __init__(self, generator: ArrayLike, P: ArrayLike | None = None) -> None:
        G = _real_matrix(generator, "a generator")
        self.weights: FloatArray | None = None
        if G.ndim == 1 or not (G - np.diag(np.diag(G))).any():
            self.weights = G if G.ndim == 1 else np.diag(G).copy()
            G = np.diag(self.weights)
        self.generator = G
        self.n_features = len(G)
        least = float(np.linalg.eigvals(G).real.min())
        # an eigenvalue that is zero comes out as rounding of the matrix's size
        if not least > len(G) * EPS * float(np.linalg.norm(G)):
            raise ValueError(
                "expected a generator whose eigenvalues have positive real parts, so that orbits "
                f"lead from zero to infinity, got the real part {least:.3g}"
            )
        self.P = _default_norm(G, least) if P is None else _checked_norm(G, P)
        self.alpha, self.beta = _growth_rates(G, self.P)
        self._growth = self.P @ G + G.T @ self.P
        diagonal = self.weights is not None and not (self.P - np.diag(np.diag(self.P))).any()
        self._log_p: FloatArray | None = np.log(np.diag(self.P)) if diagonal else None

    def __repr__(self) -> str:
        value = self.generator if self.weights is None else self.weights
        return f"Dilation({np.array2string(value, separator=', ', precision=6)})"

    @classmethod
    def standard(cls, n_features: int) -> Dilation:
        """Build the scaling :math:`d(s) x = e^s x`, whose norm is the Euclidean one."""
        return cls(np.ones(n_features))

    def apply(self, X: ArrayLike, s: ArrayLike) -> FloatArray:
        r"""Points :math:`d(s) x`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.
        s : float or array-like of shape (n_samples,)
            How far to move them: one number for all, or one each.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Moved points.

        Raises
        ------
        ValueError
            If `s` has another shape or is not finite, or a moved point is not a finite number.
        """
        X = check_rows(X, self.n_features)
        s = np.asarray(s, dtype=np.float64)
        if s.shape not in ((), (len(X),)) or not np.isfinite(s).all():
            raise ValueError(
                f"expected finite s of shape () or ({len(X)},), one a row of X, got {s!r}"
            )
        # beyond what any number survives, all that matters is the sign
        limit = _MAX_GROWTH / self.alpha
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            moved = self._move(X, np.broadcast_to(np.clip(s, -limit, limit), len(X)))
        if not np.isfinite(moved).all():
            raise ValueError(
                f"expected s for which d(s) x is finite, got an overflow with |s| up to "
                f"{np.abs(s).max():.6g}"
            )
        return moved

    def log_norm(self, X: ArrayLike) -> FloatArray:
        r"""Logarithms of the norm, :math:`\log \|x\|_d`, which do not overflow; -inf at zero.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.

        Returns
        -------
        ndarray of shape (n_samples,)
            The s with :math:`\|d(-s) x\|_P = 1`, to 1e-12 of 1 or of s, whichever is larger, if
            the generator is diagonal.

        Notes
        -----
        A full generator mixes what it moves at different rates, so that the rounding of x itself
        changes s by about :math:`e^{(\beta - \alpha) |s|}` times the machine epsilon: far out,
        what moves slowly is lost below what moves fast. No method that is given x can know more.
        """
        X = check_rows(X, self.n_features)
        s = np.empty(len(X))
        for start in range(0, len(X), _BLOCK):
            block = slice(start, start + _BLOCK)
            s[block] = self._solve(X[block])
        return s

    def norm(self, X: ArrayLike) -> FloatArray:
        r"""Canonical homogeneous norm :math:`\|x\|_d`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.

        Returns
        -------
        ndarray of shape (n_samples,)
            Norms, zero at zero.

        Raises
        ------
        ValueError
            If a norm overflows.
        """
        return _exponentials(self.log_norm(X))

    def project(self, X: ArrayLike) -> FloatArray:
        r"""Points of the sphere on the orbits, :math:`\pi(x) = d(-\log \|x\|_d) \, x`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points other than zero.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Points with :math:`\|\pi(x)\|_P = 1`.

        Raises
        ------
        ValueError
            If a point is zero, which is an orbit of its own.
        """
        return self.decompose(X)[1]

    def decompose(self, X: ArrayLike) -> tuple[FloatArray, FloatArray]:
        r"""Polar coordinates: the logarithms of the norm, and the projection.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points other than zero.

        Returns
        -------
        log_norm : ndarray of shape (n_samples,)
            :math:`\log \|x\|_d`.
        sphere : ndarray of shape (n_samples, n_features)
            :math:`\pi(x)`.

        Raises
        ------
        ValueError
            If a point is zero.
        """
        X = check_rows(X, self.n_features)
        s = self.log_norm(X)
        if np.isneginf(s).any():
            raise ValueError(
                "expected points other than zero, since zero lies on no orbit that meets the "
                f"sphere, got zero in row {int(np.argmin(s))}"
            )
        return s, self.apply(X, -s)

    def norm_gradient(self, X: ArrayLike) -> FloatArray:
        r"""Gradients of the norm.

        .. math:: \nabla \|x\|_d = \|x\|_d \,
            \frac{d(-\log \|x\|_d)^\top P z}{z^\top P G z}, \qquad z = \pi(x)

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points other than zero.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Gradients; :math:`\langle \nabla \|x\|_d, G x \rangle = \|x\|_d`.

        Raises
        ------
        ValueError
            If a point is zero, where the norm has no gradient.
        """
        s, z = self.decompose(X)
        normal = z @ self.P / (0.5 * np.einsum("ni,ij,nj->n", z, self._growth, z))[:, None]
        moved = self._transposed.apply(normal, -s)
        # the norm as half before and half after: it may be near overflow and the rest near zero
        half = np.exp(s / 2.0)[:, None]
        gradients: FloatArray = moved * half * half
        return gradients

    def bracket(self, X: ArrayLike) -> tuple[FloatArray, FloatArray]:
        r"""Bounds of the norm in closed form.

        .. math:: \min(\|x\|_P^{1/\alpha}, \|x\|_P^{1/\beta}) \le \|x\|_d
            \le \max(\|x\|_P^{1/\alpha}, \|x\|_P^{1/\beta})

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.

        Returns
        -------
        lower, upper : ndarray of shape (n_samples,)
            The bounds; infinite where they overflow.
        """
        X = check_rows(X, self.n_features)
        size = np.abs(X).max(axis=1)
        size[size == 0] = 1.0
        Y = X / size[:, None]  # squares of 1e200 would overflow
        with np.errstate(divide="ignore", over="ignore"):
            logs = np.log(size) + 0.5 * np.log(np.einsum("ni,ij,nj->n", Y, self.P, Y))
            first, second = np.exp(logs / self.alpha), np.exp(logs / self.beta)
        return np.minimum(first, second), np.maximum(first, second)

    def phi(self, X: ArrayLike) -> FloatArray:
        r"""Coordinates in which the dilation is scaling, :math:`\Phi(x) = \|x\|_d \, \pi(x)`.

        A homeomorphism of space with :math:`\Phi(d(s) x) = e^s \Phi(x)` and
        :math:`\|\Phi(x)\|_P = \|x\|_d`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Coordinates, zero at zero.
        """
        X = check_rows(X, self.n_features)
        coordinates = np.zeros_like(X)
        nonzero = X.any(axis=1)
        if nonzero.any():
            s, z = self.decompose(X[nonzero])
            coordinates[nonzero] = _exponentials(s)[:, None] * z
        return coordinates

    def phi_inverse(self, Y: ArrayLike) -> FloatArray:
        r"""Points with given coordinates, :math:`\Phi^{-1}(y) = d(\log \|y\|_P) \, y / \|y\|_P`.

        Parameters
        ----------
        Y : array-like of shape (n_samples, n_features)
            Coordinates.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Points, zero at zero.
        """
        Y = check_rows(Y, self.n_features)
        points = np.zeros_like(Y)
        nonzero = Y.any(axis=1)
        if nonzero.any():
            rows = Y[nonzero]
            size = np.abs(rows).max(axis=1)
            unit = rows / size[:, None]
            length = np.sqrt(np.einsum("ni,ij,nj->n", unit, self.P, unit))
            points[nonzero] = self.apply(unit / length[:, None], np.log(size) + np.log(length))
        return points

    def add(self, X: ArrayLike, Y: ArrayLike) -> FloatArray:
        r"""Sum of the homogeneous geometry, :math:`\Phi^{-1}(\Phi(x) + \Phi(y))`.

        Parameters
        ----------
        X, Y : array-like of shape (n_samples, n_features)
            Points.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Sums. A dilation maps them to the sums of the moved points.
        """
        return self.phi_inverse(self.phi(X) + self.phi(Y))

    def multiply(self, X: ArrayLike, factor: float) -> FloatArray:
        r"""Product with a number in the homogeneous geometry, :math:`\Phi^{-1}(c \, \Phi(x))`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.
        factor : float
            The number c.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            :math:`\operatorname{sign}(c) \, d(\log |c|) \, x`, zero for zero.
        """
        if factor == 0:
            return np.zeros_like(check_rows(X, self.n_features))
        return float(np.sign(factor)) * self.apply(X, float(np.log(abs(factor))))

    def inner(self, X: ArrayLike, Y: ArrayLike) -> FloatArray:
        r"""Scalar product of the homogeneous geometry, :math:`\Phi(x)^\top P \, \Phi(y)`.

        Parameters
        ----------
        X, Y : array-like of shape (n_samples, n_features)
            Points.

        Returns
        -------
        ndarray of shape (n_samples,)
            Scalar products; that of a point with itself is :math:`\|x\|_d^2`.
        """
        products: FloatArray = np.einsum("ni,ij,nj->n", self.phi(X), self.P, self.phi(Y))
        return products

    @cached_property
    def _transposed(self) -> Dilation:
        """The dilation of the transposed generator, which moves gradients."""
        if self.weights is not None:
            return self
        # P^-1 is a norm for it: P^-1 G' + G P^-1 = P^-1 (G'P + PG) P^-1
        inverse = np.linalg.inv(self.P)
        return Dilation(self.generator.T, (inverse + inverse.T) / 2.0)

    @cached_property
    def _table(self) -> tuple[float, list[FloatArray], list[FloatArray]]:
        """A stride h with a norm of hG of 1/2, and exponentials of 2^k h G and of its negative."""
        h = 0.5 / float(np.linalg.norm(self.generator, 1))
        n_powers = 1 + max(0, int(np.log2(_STRIDE_GROWTH / (h * self.beta))))
        powers = [2.0**k * h * self.generator for k in range(n_powers)]
        return h, [expm(M) for M in powers], [expm(-M) for M in powers]

    def _move(self, X: FloatArray, s: FloatArray) -> FloatArray:
        """Rows d(s) x without a check."""
        if self.weights is not None:
            # the root of the factor twice: the factor may overflow where the product does not
            root = np.exp(np.multiply.outer(s / 2.0, self.weights))
            moved = X * root
            moved *= root
            if not np.isfinite(moved).all():
                moved[X == 0] = 0.0  # not 0 times infinity
            return moved
        h, forward, backward = self._table
        count = np.rint(s / h)
        rest = (s - count * h)[:, None]
        moved = X.copy()
        for k in range(_TAYLOR_TERMS, 0, -1):  # Horner: x + rG/1 (x + rG/2 (x + ...))
            moved = X + rest * (moved @ self.generator.T) / k
        for table, sign in ((forward, 1.0), (backward, -1.0)):
            left = np.maximum(sign * count, 0.0).astype(np.int64)
            while left.any():
                # the largest stride as often as it takes, then the others once each
                for k in reversed(range(len(table))):
                    rows = left >= 2**k
                    if rows.any():
                        moved[rows] = moved[rows] @ table[k].T
                        left[rows] -= 2**k
        return moved

    def _solve(self, X: FloatArray) -> FloatArray:
        """Zeros of log q(s) = log |d(-s) x|_P^2, -inf for x = 0."""
        if self.weights is not None and self._log_p is not None:
            return self._solve_diagonal(X, 2.0 * self.weights[:, None], self._log_p[:, None])
        s = np.full(len(X), -np.inf)
        nonzero = X.any(axis=1)
        if nonzero.any():
            s[nonzero] = self._solve_general(X[nonzero])
        return s

    def _solve_diagonal(self, X: FloatArray, rates: FloatArray, log_p: FloatArray) -> FloatArray:
        """Newton's method where log q(s) = log sum_i exp(2 log |x_i| + log p_i - 2 r_i s).

        It is convex and falls. The largest of the zeros of its terms lies left of its own zero, so
        that Newton's method from there climbs to it without a safeguard. Arrays are of shape
        (n_features, n_samples) here: sums over the features run through memory in order.
        """
        logs = np.abs(X.T, order="C")
        with np.errstate(divide="ignore"):
            np.log(logs, out=logs)
        logs *= 2.0
        logs += log_p
        terms = logs / rates
        s = terms.max(axis=0)
        at_zero = np.isneginf(s)
        logs[:, at_zero], s[at_zero] = 0.0, 0.0  # any numbers, until the end
        tol = _LAST_STEP * max(1.0, float(np.abs(s).max()))
        for _ in range(_MAX_STEPS):
            np.multiply(rates, s, out=terms)
            np.subtract(logs, terms, out=terms)
            np.exp(terms, out=terms)
            q = terms.sum(axis=0)
            step = q * np.log(q) / (rates[:, 0] @ terms)
            s += step
            if not step.max() > tol:
                s[at_zero] = -np.inf
                return s
        raise _not_converged(float(step.max()))

    def _solve_general(self, X: FloatArray) -> FloatArray:
        """Newton's method in a bracket, on y = d(-s) x, which moves along with s.

        y is kept at size 1 and its size apart as a logarithm, so that nothing overflows.
        """
        size = np.abs(X).max(axis=1)
        Y, log_size = X / size[:, None], np.log(size)
        s = np.zeros(len(X))
        lower, upper = np.full(len(X), -np.inf), np.full(len(X), np.inf)
        cap = _STEP_GROWTH / self.beta
        for _ in range(_MAX_STEPS):
            q = np.einsum("ni,ij,nj->n", Y, self.P, Y)
            value = 2.0 * log_size + np.log(q)
            step = value * q / np.einsum("ni,ij,nj->n", Y, self._growth, Y)
            ends = s + value / (2.0 * self.alpha), s + value / (2.0 * self.beta)
            lower = np.maximum(lower, np.minimum(*ends))
            upper = np.minimum(upper, np.maximum(*ends))
            outside = (s + step < lower) | (s + step > upper)
            # where rounding has closed the bracket the step is already below what counts
            middle = np.where(lower <= upper, (lower + upper) / 2.0 - s, step)
            close = np.abs(step) <= _LAST_STEP * np.maximum(1.0, np.abs(s))
            step = np.clip(np.where(outside & ~close, middle, step), -cap, cap)
            s = s + step
            if close.all():
                return s
            Y = self._move(Y, -step)
            size = np.abs(Y).max(axis=1)
            Y, log_size = Y / size[:, None], log_size + np.log(size)
        raise _not_converged(float(np.abs(step).max()))


def _exponentials(logs: FloatArray) -> FloatArray:
    """Norms from their logarithms, as long as they are finite."""
    with np.errstate(over="ignore"):
        norms = np.exp(logs)
    if np.isinf(norms).any():
        raise ValueError(
            "expected points whose homogeneous norm is a finite number, got one of "
            f"e^{logs.max():.0f}: log_norm has its logarithm"
        )
    return norms


def _not_converged(step: float) -> RuntimeError:
    return RuntimeError(
        f"expected Newton's method for the homogeneous norm to end in {_MAX_STEPS} steps, got a "
        f"last step of {step:.1e}"
    )


def _real_matrix(matrix: Any, name: str) -> FloatArray:
    """Vector or square matrix of finite real numbers."""
    values = np.asarray(matrix)
    if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise ValueError(f"expected {name} of real numbers, got dtype {values.dtype}")
    if values.ndim not in (1, 2) or values.size == 0 or len({*values.shape}) != 1:
        raise ValueError(
            f"expected {name} of shape (n_features,) or (n_features, n_features), got shape "
            f"{values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"expected {name} of finite numbers, got NaN or infinite entries")
    return values.astype(np.float64)


def _growth_rates(G: FloatArray, P: FloatArray) -> tuple[float, float]:
    """Half the extreme eigenvalues of PG + G'P relative to P."""
    rates = eigh(P @ G + G.T @ P, P, eigvals_only=True) / 2.0
    return float(rates[0]), float(rates[-1])


def _default_norm(G: FloatArray, least: float) -> FloatArray:
    identity = np.eye(len(G))
    if _growth_rates(G, identity)[0] >= least / 2.0:
        return identity
    P = solve_continuous_lyapunov(G.T, identity)
    P = (P + P.T) / 2.0
    normalized: FloatArray = P * len(G) / np.trace(P)
    return normalized


def _checked_norm(G: FloatArray, P: ArrayLike) -> FloatArray:
    matrix = _real_matrix(P, "a matrix P")
    if matrix.shape != G.shape:
        raise ValueError(f"expected P of shape {G.shape}, got {matrix.shape}")
    if not np.allclose(matrix, matrix.T, rtol=1e-10, atol=0.0):  # of a product that was rounded
        raise ValueError(
            "expected a symmetric P, got entries that differ from their mirror image by "
            f"{np.abs(matrix - matrix.T).max():.3g}"
        )
    matrix = (matrix + matrix.T) / 2.0
    least = float(np.linalg.eigvalsh(matrix)[0])
    if not least > len(G) * EPS * float(np.linalg.norm(matrix)):
        raise ValueError(f"expected a positive definite P, got the eigenvalue {least:.3g}")
    least = _growth_rates(G, matrix)[0]
    if not least > len(G) * EPS * float(np.linalg.norm(G)):
        raise ValueError(
            "expected P with P G + G'P positive definite, so that the norm grows along every "
            f"orbit, got the least rate of growth {least:.3g}"
        )
    return matrix
