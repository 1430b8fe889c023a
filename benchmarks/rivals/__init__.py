"""Other solvers on the problems of gnorm, one file each; ``bench_rivals.py`` compares them.

A file ``by_<rival>.py`` has a sentence SOLVES, what problem that is (seldom the same), and

    fit(X, y, activations, X_test, activations_test, *, C, tol, norm)

which returns the seconds, the decision values of the test samples, where it stopped by its own
account, and the norm sum_h ||zeta_h|| of its solution if it has one. Of `C`, the weight of the
hinge loss, `tol`, the relative duality gap, and `norm`, that of gnorm's solution, a rival uses
those that mean something to it. The files do not have the names of the packages they import.

This file needs numpy alone: adelie has an environment of its own.
"""

import numpy as np


def gated_features(X, activations):
    """The features of all units, (n_samples, n_units * n_contexts * n_features): large."""
    return (activations[:, :, :, None] * X[:, None, None, :]).reshape(len(X), -1)


def decision_values(X, activations, zeta):
    """f(x) = sum_hc g_hc(x) <zeta_hc, x>, for zeta of shape (n_units, n_contexts, n_features)."""
    products = X @ zeta.reshape(-1, X.shape[1]).T
    return np.sum(products * activations.reshape(len(X), -1), axis=1)


def cost(zeta):
    """sum_h ||zeta_h||: lambda times this is the penalty of the group lasso."""
    return float(np.linalg.norm(zeta.reshape(len(zeta), -1), axis=1).sum())


def penalties(X, y, activations):
    """Values of lambda, ten to a decade, down from where the logistic group lasso is 0.

    There the gradient of the mean loss at 0, half the mean of y_n phi_h(x_n), is no longer than
    lambda in any unit h.
    """
    gradient = np.einsum("nhc,nd->hcd", activations, y[:, None] * X, optimize=True) / (2 * len(X))
    largest = np.linalg.norm(gradient.reshape(len(gradient), -1), axis=1).max()
    return largest * np.logspace(-0.1, -5, 50)
