"""gnorm itself, by the method it chooses: one C alone, more along the path."""

from time import perf_counter

import numpy as np

import gnorm

SOLVES = "R^2 / 2 + C sum of losses"


def fit(problem, accuracy):
    loss, Cs = problem.loss, problem.Cs
    if loss == "quantile" and problem.quantile == 0.5:
        loss, Cs = "absolute_error", Cs / 2
    elif loss == "quantile":
        loss = gnorm.losses.Quantile(problem.quantile)
    data = problem.X, problem.y, problem.activations
    start = perf_counter()
    if len(Cs) == 1:
        solutions = [gnorm.solve(*data, loss=loss, C=Cs[0], tol=problem.tol)]
        order = [0]
    else:
        path = gnorm.gln_norm_path(*data, Cs, loss=loss, tol=problem.tol)
        solutions = path.solutions
        order = np.argsort(path.Cs)  # the Cs of a problem ascend
    seconds = perf_counter() - start
    solutions = [solutions[k] for k in order]
    sign = problem.y if problem.loss == "log_loss" else 1.0
    return {
        "seconds": seconds,
        "zetas": np.stack([solution.zeta for solution in solutions]),
        "duals": np.stack([sign * solution.dual_coef for solution in solutions]),
        "stopped": f"gap {max(solution.duality_gap for solution in solutions):.0e}, "
        f"{sum(solution.n_iter for solution in solutions)} iterations, {solutions[-1].method}",
    }
