"""One unit and one context, always open: the models of scikit-learn, with their C."""

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import LinearSVC, LinearSVR

from gnorm import losses, solve

CS = [0.01, 0.3, 10.0]
NO_LIMIT = {"fit_intercept": False, "tol": 1e-12, "max_iter": 10**6, "random_state": 0}


def data(is_margin, n_samples=100, n_features=6):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(n_samples, n_features)), np.ones(n_samples)])
    y = X @ rng.normal(size=n_features + 1) + rng.standard_t(2, size=n_samples)
    return X, np.where(y > 0, 1.0, -1.0) if is_margin else y


def assert_same(weights, loss, C, atol=1e-6):
    """The predictor, and not worse in value."""
    X, y = data(loss.is_margin)
    ones = np.ones((len(y), 1, 1), dtype=bool)
    solution = solve(X, y, ones, loss=loss, C=C, tol=1e-11, method="interior-point")
    theirs = 0.5 * weights @ weights + np.sum(loss.value(y, X @ weights, np.full(len(y), C)))
    assert solution.dual_value <= theirs * (1 + 1e-12)
    assert_allclose(solution.primal_value, theirs, rtol=1e-6)
    assert_allclose(solution.zeta[0, 0], weights, atol=atol * np.abs(weights).max())


# gaps end at about 1e-10, and half the square of a distance is what is left of a value
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("C", [0.01, 0.1, 0.3])  # with larger ones LIBLINEAR does not get there
@pytest.mark.parametrize("name", ["hinge", "squared_hinge"])
def test_linear_svc(name, C):
    X, y = data(is_margin=True)
    model = LinearSVC(loss=name, C=C, dual=name == "hinge", **NO_LIMIT).fit(X, y)
    assert_same(model.coef_[0], losses.get_loss(name), C)


@pytest.mark.parametrize("C", CS)
def test_logistic_regression(C):
    X, y = data(is_margin=True)
    model = LogisticRegression(C=C, fit_intercept=False, tol=1e-12, max_iter=10**5).fit(X, y)
    assert_same(model.coef_[0], losses.LogLoss(), C)


@pytest.mark.parametrize("C", CS)
def test_ridge(C):
    X, y = data(is_margin=False)
    model = Ridge(alpha=1 / C, fit_intercept=False, solver="cholesky").fit(X, y)
    assert_same(model.coef_, losses.SquaredError(), C)


@pytest.mark.parametrize("C", CS)
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
def test_linear_svr(epsilon, C):
    X, y = data(is_margin=False)
    model = LinearSVR(epsilon=epsilon, C=C, dual=True, **NO_LIMIT).fit(X, y)
    loss = losses.EpsilonInsensitive(epsilon) if epsilon else losses.AbsoluteError()
    assert_same(model.coef_, loss, C)


@pytest.mark.parametrize("C", CS)
@pytest.mark.parametrize("delta", [0.3, 1.35])
def test_huber_regression_of_a_given_scale(delta, C):
    X, y = data(is_margin=False)

    def objective(w):
        r = y - X @ w
        inside = np.clip(r, -delta, delta)
        value = np.sum(inside * (r - inside / 2))
        return 0.5 * w @ w + C * value, w - C * X.T @ inside

    options = {"gtol": 1e-10, "maxiter": 10**4}
    found = minimize(objective, np.zeros(X.shape[1]), jac=True, method="BFGS", options=options)
    assert_same(found.x, losses.Huber(delta), C)


@pytest.mark.parametrize("C", CS)
@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9])
def test_quantile_regression_with_an_l2_penalty(quantile, C):
    X, y = data(is_margin=False)
    w = cp.Variable(X.shape[1])
    pinball = cp.sum(cp.maximum(quantile * (y - X @ w), (quantile - 1) * (y - X @ w)))
    problem = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(w) + C * pinball))
    options = dict.fromkeys(("tol_gap_rel", "tol_gap_abs", "tol_feas"), 1e-11)
    problem.solve(solver="CLARABEL", **options)
    assert_same(w.value, losses.Quantile(quantile), C)
