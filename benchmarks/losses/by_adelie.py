"""adelie: the group lasso by coordinate descent on gated features that are never built.

It needs numpy < 2 and so an environment of its own, with adelie and nothing else of ours; the
variable GNORM_ADELIE_PYTHON names its interpreter.
"""

from time import perf_counter

import adelie
import numpy as np

SOLVES = "mean loss + lambda R"


def design(problem):
    n_samples = len(problem.y)
    return adelie.matrix.convex_relu(
        np.asfortranarray(problem.X),
        np.asfortranarray(problem.activations.reshape(n_samples, -1)),
        gated=True,
    )


def fit(problem, accuracy):
    n_units, n_contexts, n_features = problem.shape
    start = perf_counter()
    if problem.loss == "squared_error":
        loss = adelie.glm.gaussian(problem.y)
    else:
        loss = adelie.glm.binomial((problem.y > 0).astype(float))
    state = adelie.grpnet(
        design(problem),
        loss,
        groups=np.arange(n_units) * (n_contexts * n_features),
        penalty=np.ones(n_units),
        lmda_path=problem.lmdas,
        intercept=False,  # the constant is a feature
        tol=accuracy,
        irls_tol=accuracy,
        early_exit=False,
        progress_bar=False,
    )
    seconds = perf_counter() - start
    return {
        "seconds": seconds,
        "zetas": state.betas.toarray(),
        "stopped": f"own tolerance {accuracy:.0e}",
    }
