"""scikit-learn's LogisticRegression (lbfgs) on our objective, told what it cannot know.

R^2 is the least of sum_h ||zeta_h||^2 / mu_h over all shares mu that sum to one. With the best
shares, which gnorm has found, and features multiplied by their roots, the usual penalty is that
quantity: same optimum, same value, a smooth problem. Units of share 0 are left out.
"""

from losses import by_lbfgs

SOLVES = "R^2 / 2 + C sum of losses, shares known"


def fit(problem, accuracy):
    return by_lbfgs.fit(problem, accuracy, problem.shares)
