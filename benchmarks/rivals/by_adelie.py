"""adelie: the logistic group lasso by coordinate descent on gated features that are never built.

It needs numpy < 2 and so an environment of its own, with adelie and nothing else of ours; the
variable GNORM_ADELIE_PYTHON names its interpreter.
"""

from time import perf_counter

import adelie
import numpy as np

from rivals import cost, decision_values, penalties

SOLVES = "mean logistic loss + lambda sum ||zeta_h||, norm just above"
TOL = 1e-7  # of both its loops, its default


def fit(X, y, activations, X_test, activations_test, *, C, tol, norm):
    """Go down the path of lambda until the norm is that of gnorm's solution."""
    n_samples, n_units, n_contexts = activations.shape
    shape = n_units, n_contexts, X.shape[1]

    def weights(state):
        return state.betas[-1].toarray().reshape(shape)

    start = perf_counter()
    state = adelie.grpnet(
        adelie.matrix.convex_relu(
            np.asfortranarray(X),
            np.asfortranarray(activations.reshape(n_samples, -1)),
            gated=True,
        ),
        adelie.glm.binomial((y > 0).astype(float)),
        groups=np.arange(n_units) * (n_contexts * X.shape[1]),
        penalty=np.ones(n_units),
        lmda_path=penalties(X, y, activations),
        intercept=False,  # the constant is a feature
        tol=TOL,
        irls_tol=TOL,
        early_exit=False,
        exit_cond=lambda state: cost(weights(state)) >= norm,
        progress_bar=False,
    )
    seconds = perf_counter() - start
    zeta = weights(state)
    return {
        "seconds": seconds,
        "decision_values": decision_values(X_test, activations_test, zeta),
        "stopped": f"own tolerance {TOL:.0e}, lambda {len(state.lmdas)} of a path",
        "norm": cost(zeta),
    }
