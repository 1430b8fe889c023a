"""One Gram matrix and the fit of one kernel machine with the mean kernel of all units.

That is ridge regression by KernelRidge for the squared error, and logistic regression by Newton's
method for the log loss, to a relative duality gap of `tol`. The gating of the kernel is not
counted."""

from time import perf_counter

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.kernel_ridge import KernelRidge

from gnorm import kernels

SOLVES = "H sum ||zeta_h||^2 / 2 + C sum of losses: all units alike"
MOST = 100  # Newton steps


def fit(problem, accuracy):
    start = perf_counter()
    gram = kernels.gram(problem.X)
    seconds = perf_counter() - start
    agreement = kernels.agreement(problem.activations)
    K = gram * agreement / problem.activations.shape[1]
    C, y = problem.Cs[0], problem.y
    start = perf_counter()
    if problem.loss == "squared_error":
        KernelRidge(alpha=1 / C, kernel="precomputed").fit(K, y)
        stopped = "one Cholesky factor"
    else:
        n_iter, gap = logistic(K, y, C, problem.tol)
        stopped = f"gap {gap:.0e}, {n_iter} Newton steps"
    return {"seconds": seconds + perf_counter() - start, "stopped": stopped}


def logistic(K, y, C, tol):
    """Minimise a'Ka / 2 + C sum_n log(1 + exp(-y_n f_n)) with f = Ka by Newton's method.

    With W the second derivatives and b minus the first ones, the Newton point is
    (K + 1/W)^-1 (f + b/W), computed by the Cholesky factor of 1 + sqrt(W) K sqrt(W), which is
    never ill-conditioned. The dual point of the gap is b.
    """

    def value(a, f):
        return a @ f / 2 + C * np.logaddexp(0.0, -y * f).sum()

    a = f = np.zeros(len(y))
    primal, gap = value(a, f), np.inf
    for n_iter in range(MOST + 1):
        p = np.exp(-np.logaddexp(0.0, y * f))
        b = C * y * p
        log_p, log_q = -np.logaddexp(0.0, y * f), -np.logaddexp(0.0, -y * f)
        dual = -C * np.sum(p * log_p + (1 - p) * log_q) - b @ (K @ b) / 2
        gap = (primal - dual) / primal
        if gap <= tol or n_iter == MOST:
            return n_iter, gap
        roots = np.sqrt(C * p * (1 - p))
        B = roots[:, None] * K * roots
        B.flat[:: len(y) + 1] += 1.0
        factor = cho_factor(B, lower=True, overwrite_a=True, check_finite=False)
        rhs = roots**2 * f + b
        step = rhs - roots * cho_solve(factor, roots * (K @ rhs), check_finite=False) - a
        ahead = K @ step
        slope = step @ (f - K @ b)
        size = 1.0
        while value(a + size * step, f + size * ahead) > primal + 1e-4 * size * slope:
            size /= 2
            if size < 1e-10:
                return n_iter, gap
        a, f = a + size * step, f + size * ahead
        primal = value(a, f)
    raise AssertionError
