"""cvxpy and CLARABEL, an interior point on cones.

In the primal problem on explicit gated features, which has N x H C D numbers and so is for few
features; residuals are split into what lies above and below. The supernodal factorisation is asked
for, since the default one is slower on rows this dense.
"""

from time import perf_counter

import cvxpy as cp
import numpy as np
from rivals import gated_features

SOLVES = "R^2 / 2 + C sum of losses"


def fit(problem, accuracy):
    start = perf_counter()
    n_units, y = problem.shape[0], problem.y
    zetas, duals = [], []
    features = gated_features(problem.X, problem.activations)
    width = features.shape[1] // n_units
    for C in problem.Cs:
        v = cp.Variable((width, n_units))
        cost = cp.square(cp.sum(cp.norm(v, 2, axis=0))) / (2 * C * len(y))
        f = features @ cp.vec(v, order="F")
        if problem.loss == "log_loss":
            margins = cp.Variable(len(y))
            constraint = cp.multiply(y, f) == margins
            cost += cp.sum(cp.logistic(-margins)) / len(y)
        elif problem.loss == "squared_error":
            residual = cp.Variable(len(y))
            constraint = y - f == residual
            cost += cp.sum_squares(residual) / (2 * len(y))
        else:
            above, below = cp.Variable(len(y), nonneg=True), cp.Variable(len(y), nonneg=True)
            constraint = y - f == above - below
            q = problem.quantile
            cost += (q * cp.sum(above) + (1 - q) * cp.sum(below)) / len(y)
        program = cp.Problem(cp.Minimize(cost), [constraint])
        program.solve(
            cp.CLARABEL,
            direct_solve_method="faer",
            tol_gap_rel=accuracy,
            tol_gap_abs=accuracy * 1e-3,
            tol_feas=max(accuracy, 1e-9),
        )
        zetas.append(v.value.T)
        if problem.loss == "quantile":
            b = C * len(y) * constraint.dual_value
            b *= np.sign(b @ y)  # whichever sign cvxpy gives an equation
            duals.append(np.clip(b, C * (q - 1), C * q))
    record = {"seconds": perf_counter() - start, "zetas": np.stack(zetas)}
    record["stopped"] = f"own tolerance {accuracy:.0e}, {program.solver_stats.num_iters} iterations"
    return record | ({"duals": np.stack(duals)} if duals else {})
