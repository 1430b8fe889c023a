"""Solvers of one loss after another, one file each; ``bench_losses.py`` compares them.

A file ``by_<name>.py`` has a sentence SOLVES and ``fit(problem, accuracy)``, which takes a
:class:`Problem` and the tolerance of the solver in its own terms, and returns a dictionary: the
seconds, where it stopped by its own account, `zetas` with one solution for each C, `duals` if it
has dual points, and `shares` if its norm is another, see :func:`certify`, by which whatever it
returns is measured. The files do not have the names of the packages they import.

This file needs numpy alone: adelie has an environment of its own.
"""

from dataclasses import dataclass

import numpy as np

BLOCK = 50_000  # samples taken at a time
_GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass
class Problem:
    """Minimise R^2 / 2 + C sum_n l(y_n, f(x_n)) for each C, R = sum_h ||zeta_h||.

    What the group lasso has in place of C, its lambda for the mean loss, is R / (C n_samples) at
    the optimum; `lmdas` are these values, and `shares` the ||zeta_h|| / R for the last C.
    """

    X: np.ndarray
    y: np.ndarray
    activations: np.ndarray
    loss: str
    quantile: float
    Cs: np.ndarray
    tol: float
    lmdas: np.ndarray
    shares: np.ndarray

    @property
    def shape(self):
        """Shape of zeta: units, contexts, features."""
        return *self.activations.shape[1:], self.X.shape[1]

    def few(self):
        """Return a small problem of the same kind, for what loads or compiles at the first call."""
        rows = slice(60)
        return Problem(
            *(np.ascontiguousarray(part[rows]) for part in (self.X, self.y, self.activations)),
            self.loss,
            self.quantile,
            self.Cs[:1],
            1e-3,
            self.lmdas[:1],
            self.shares,
        )


def losses(problem, f):
    """Losses of the samples, without C."""
    y = problem.y
    if problem.loss == "squared_error":
        return (y - f) ** 2 / 2
    if problem.loss == "log_loss":
        return np.logaddexp(0.0, -y * f)
    return np.maximum(problem.quantile * (y - f), (problem.quantile - 1) * (y - f))


def minus_gradient(problem, f):
    """Minus the derivative of the losses: the dual point that belongs to f, divided by C."""
    y = problem.y
    if problem.loss == "squared_error":
        return y - f
    if problem.loss == "log_loss":
        return y * np.exp(-np.logaddexp(0.0, y * f))
    return np.where(y > f, problem.quantile, problem.quantile - 1)


def conjugates(problem, b):
    """Conjugates of the losses at -b, divided by C, for b in units of C; inf outside the domain."""
    y = problem.y
    if problem.loss == "squared_error":
        return b**2 / 2 - b * y
    if problem.loss == "log_loss":
        p = y * b
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = np.where(p > 0, p * np.log(p), 0.0) + np.where(
                p < 1, (1 - p) * np.log1p(-p), 0.0
            )
        return np.where((p >= 0) & (p <= 1), entropy, np.inf)
    inside = (b >= problem.quantile - 1) & (b <= problem.quantile)
    return np.where(inside, -b * y, np.inf)


def predictions(problem, zeta):
    """Decision values f(x_n)."""
    weights = zeta.reshape(-1, zeta.shape[-1]).T
    f = np.empty(len(problem.y))
    for start in range(0, len(f), BLOCK):
        rows = slice(start, start + BLOCK)
        is_open = problem.activations[rows].reshape(-1, weights.shape[1])
        f[rows] = np.sum((problem.X[rows] @ weights) * is_open, axis=1)
    return f


def unit_gradients(problem, b):
    """||sum_n b_n phi_h(x_n)|| for each unit h."""
    n_units, n_contexts, n_features = problem.shape
    V = np.zeros((n_units * n_contexts, n_features))
    for start in range(0, len(b), BLOCK):
        rows = slice(start, start + BLOCK)
        is_open = problem.activations[rows].reshape(-1, len(V))
        V += (is_open * b[rows, None]).T @ problem.X[rows]
    return np.linalg.norm(V.reshape(n_units, -1), axis=1)


def best(function, least, most):
    """The least value of a convex function of one variable between two bounds."""
    a, d = least, most
    b, c = d - _GOLDEN * (d - a), a + _GOLDEN * (d - a)
    at_b, at_c = function(b), function(c)
    for _ in range(50):
        if at_b <= at_c:
            d, c, at_c = c, b, at_b
            b = d - _GOLDEN * (d - a)
            at_b = function(b)
        else:
            a, b, at_b = b, c, at_c
            c = a + _GOLDEN * (d - a)
            at_c = function(c)
    return (b, at_b) if at_b <= at_c else (c, at_c)


def certify(problem, C, zeta, dual=None, shares=None):
    """Primal and dual value and the relative gap, each point multiplied by its best number.

    Without a dual point that of the predictions is taken, which is right for smooth losses. With
    `shares` mu the norm is (sum_h ||zeta_h||^2 / mu_h)^(1/2) in place of sum_h ||zeta_h||.
    """
    unit_norms = np.linalg.norm(zeta.reshape(len(zeta), -1), axis=1)
    f = predictions(problem, zeta)
    if shares is None:
        norm = unit_norms.sum()
    else:
        norm = np.sqrt(np.sum(unit_norms[unit_norms > 0] ** 2 / shares[unit_norms > 0]))
    t, primal = best(lambda t: (t * norm) ** 2 / 2 + C * losses(problem, t * f).sum(), 0.5, 2.0)
    b = minus_gradient(problem, t * f) if dual is None else dual / C
    lengths = C * unit_gradients(problem, b)
    length = lengths.max() if shares is None else np.sqrt(np.sum(shares * lengths**2))
    _, minus_dual = best(
        lambda s: C * conjugates(problem, s * b).sum() + (s * length) ** 2 / 2, 0.5, 2.0
    )
    return {"primal": float(primal), "gap": float((primal + minus_dual) / primal)}
