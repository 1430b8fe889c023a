"""The certificate: the two values of any points, and the best multiples of these."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

from gnorm import losses
from gnorm.losses import Hinge
from gnorm.norms import GLN, GroupNorm
from gnorm.solvers import Status
from gnorm.solvers.certify import (
    _Dual,
    _Primal,
    certify,
    dual_value,
    primal_value,
    relative_gap,
)
from gnorm.solvers.design import get_norm, make_design
from gnorm.solvers.interior import solve_by_samples
from gnorm.solvers.problem import Point, Problem
from gnorm.solvers.run import Run


def problem_with(C):
    """A problem of which only the weights of the hinge matter."""
    n_samples = len(C)
    ones = np.ones((n_samples, 1)), np.ones((n_samples, 1, 1), dtype=bool)
    design = make_design(GroupNorm(), *ones)
    return Problem(design, Hinge(), np.ones(n_samples), np.asarray(C, dtype=float))


def random_problem(n_samples=12, n_features=4, n_units=3, n_contexts=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    y = np.where(np.arange(n_samples) % 2, 1, -1)
    contexts = rng.integers(n_contexts, size=(n_samples, n_units))
    return X, y, contexts[:, :, None] == np.arange(n_contexts)


# -- values ----------------------------------------------------------------------------------------


def test_relative_gap():
    assert relative_gap(2.0, 1.5) == 0.25
    assert relative_gap(np.inf, 1.0) == np.inf
    assert relative_gap(0.0, 0.0) == 0.0


def test_products_are_those_of_the_features():
    X, y, activations = random_problem()
    a = np.random.default_rng(1).random(len(y))
    phi = np.einsum("nhc,nd->nhcd", activations, X).reshape(len(X), activations.shape[1], -1)
    expected = np.einsum("nhf,mhf,m->nh", phi, phi, y * a)
    design = make_design(GLN(), X, activations)
    assert_allclose(design.kernel_products(y * a, np.float64), expected, atol=1e-12)
    assert_allclose(design.exact_products(y * a), expected, atol=1e-12)


def test_separability_residual_of_two_equal_inputs():
    X = np.array([[3.0, 4.0], [3.0, 4.0], [1.0, 0.0]])
    design = make_design(GroupNorm(), X, np.ones((3, 2, 1), dtype=bool))
    problem = Problem(design, Hinge(), np.array([1.0, -1.0, 1.0]), np.full(3, np.inf))
    assert problem.separability_residual(np.array([2.0, -2.0, 0.0])) == 0.0
    # V = 3 (3, 4) - (3, 4) has length 10; the weights sum to 4, the longest input has length 5
    assert problem.separability_residual(np.array([3.0, -1.0, 0.0])) == 0.5


def test_separability_residual_without_features():
    design = make_design(GroupNorm(), np.zeros((2, 3)), np.ones((2, 1, 1), dtype=bool))
    problem = Problem(design, Hinge(), np.array([1.0, -1.0]), np.full(2, np.inf))
    assert problem.separability_residual(np.array([1.0, -1.0])) == 0.0


# -- the best multiple of a point ------------------------------------------------------------------

lengths = st.floats(0.1, 10.0)
weights = st.floats(0.01, 100.0)
margins = st.floats(-10.0, 10.0).filter(lambda m: m == 0 or abs(m) > 1e-6)


def best_by_scipy(objective, low, high):
    """Least value of a convex function of one variable, from above."""
    result = minimize_scalar(objective, bounds=(low, high), method="bounded")
    return min(result.fun, objective(low), objective(high))


@given(st.lists(st.tuples(margins, weights), min_size=1, max_size=8), lengths)
def test_primal_value_is_of_the_best_multiple(samples, norm):
    m, C = np.array(samples).T

    def objective(theta):
        return 0.5 * (theta * norm) ** 2 + C @ np.maximum(0.0, 1.0 - theta * m)

    value, theta = primal_value(problem_with(C), norm, m)
    assert theta >= 0
    assert_allclose(value, objective(theta), rtol=1e-12)
    beyond = 1.0 + C @ np.abs(m) / norm**2  # the slope of the objective is positive from here on
    assert value <= best_by_scipy(objective, 0.0, beyond) * (1 + 1e-12)


@given(
    st.lists(st.floats(0.01, 10.0), min_size=1, max_size=4),
    st.lists(st.tuples(margins, weights), max_size=4),
    lengths,
)
def test_primal_value_gives_hard_samples_margin_one(hard, soft, norm):
    m = np.array([*hard, *(margin for margin, _ in soft)])
    upper = np.array([np.inf] * len(hard) + [C for _, C in soft])
    finite = np.isfinite(upper)

    def objective(theta):
        shortfall = np.maximum(0.0, 1.0 - theta * m[finite])
        return 0.5 * (theta * norm) ** 2 + upper[finite] @ shortfall

    value, theta = primal_value(problem_with(upper), norm, m)
    least = 1.0 / min(hard)
    assert theta >= least
    assert_allclose(value, objective(theta), rtol=1e-12)
    beyond = least + 1.0 + upper[finite] @ np.abs(m[finite]) / norm**2
    assert value <= best_by_scipy(objective, least, beyond) * (1 + 1e-12)


@pytest.mark.parametrize("margin", [0.0, -1.0])
def test_primal_value_of_a_hard_sample_on_the_wrong_side(margin):
    value, _ = primal_value(problem_with([np.inf, 1.0]), 1.0, np.array([margin, 2.0]))
    assert value == np.inf


def test_primal_value_of_the_zero_predictor():
    assert primal_value(problem_with([2.0, 3.0]), 0.0, np.zeros(2)) == (5.0, 0.0)


@given(
    st.lists(
        st.tuples(st.floats(0.0, 1.0), weights | st.just(np.inf)), min_size=1, max_size=8
    ).filter(lambda samples: sum(share for share, _ in samples) > 1e-3),
    lengths,
)
def test_dual_value_is_of_the_best_feasible_multiple(samples, dual_norm):
    share, upper = np.array(samples).T
    a = share * np.where(np.isinf(upper), 10.0, upper)

    def objective(theta):
        return 0.5 * (theta * dual_norm) ** 2 - theta * a.sum()

    value, theta = dual_value(problem_with(upper), a, dual_norm)
    assert np.all(theta * a <= upper * (1 + 1e-15))
    assert_allclose(value, -objective(theta), rtol=1e-12)
    with np.errstate(over="ignore"):
        longest = np.min(upper[a > 0] / a[a > 0])
    beyond = min(longest, 2.0 * a.sum() / dual_norm**2)
    assert -value <= best_by_scipy(objective, 0.0, beyond) * (1 - 1e-12)


def test_dual_value_goes_to_the_nearest_bound_along_a_ray():
    value, theta = dual_value(problem_with([4.0, 9.0]), np.array([1.0, 3.0]), 0.0)
    assert (value, theta) == (12.0, 3.0)


# -- any pair of points ----------------------------------------------------------------------------

SCALAR = [loss() for loss in losses._LOSSES.values() if not issubclass(loss, losses.ClassLoss)]


def some_problem(loss, norm, n_samples=40):
    X, y, activations = random_problem(n_samples)
    if not loss.is_margin:
        y = X[:, 0] + np.random.default_rng(2).normal(size=n_samples)
    C = np.random.default_rng(3).uniform(0.1, 2.0, n_samples)
    return Problem(make_design(get_norm(norm, activations), X, activations), loss, 1.0 * y, C)


@pytest.mark.parametrize("norm", [None, "predictor_l2", GLN(unit_weights=(1.0, 0.2, 3.0))])
@pytest.mark.parametrize("loss", SCALAR, ids=repr)
@pytest.mark.parametrize("size", [1e-6, 1e-2, 1.0, 100.0])
def test_perturbed_points_bracket_the_optimum(loss, norm, size):
    problem = some_problem(loss, norm)
    best = solve_by_samples(problem, Run(1e-8, 100))
    assert best.gap <= 1e-8
    rng = np.random.default_rng(0)
    length = np.abs(best.dual_coef).mean()
    for _ in range(20):
        b = best.dual_coef + size * length * rng.normal(size=40)  # out of the domain as well
        shares = rng.dirichlet(np.ones(problem.design.n_kernels))
        zeta = best.zeta + size * np.abs(best.zeta).mean() * rng.normal(size=best.zeta.shape)
        coef = best.dual_coef + size * length * rng.normal(size=40)
        for primal in ((b, shares), (coef, shares), zeta):
            found = certify(problem, Point(b, primal, Status.STALLED, 7))
            assert found.dual_value <= best.primal_value * (1 + 1e-9)
            assert found.primal_value >= best.dual_value * (1 - 1e-9)
            assert found.gap >= -1e-12
            lower, upper = loss.domain(problem.y, problem.C)
            assert np.all((found.dual_coef >= lower) & (found.dual_coef <= upper))
            assert found.point.n_iter == 7
            # what is reported is what the points have
            outputs = problem.design.decision_values(found.zeta)
            assert_allclose(found.outputs, outputs, atol=1e-9 * np.abs(outputs).max())
            value = 0.5 * problem.design.norm.value(problem.design.of_units(found.zeta)) ** 2
            value += np.sum(loss.value(problem.y, outputs, problem.C))
            assert_allclose(found.primal_value, value, rtol=1e-9)
            dual = -np.sum(loss.conjugate(problem.y, found.dual_coef, problem.C))
            dual -= 0.5 * problem.design.dual_norm(problem.design.sums(found.dual_coef)) ** 2
            assert_allclose(found.dual_value, dual, rtol=1e-9, atol=1e-9 * best.primal_value)


@pytest.mark.parametrize("loss", SCALAR, ids=repr)
def test_near_points_have_a_gap_that_is_near(loss):
    """To first order a perturbation of the dual point costs nothing."""
    problem = some_problem(loss, None)
    best = solve_by_samples(problem, Run(1e-8, 100))
    b = best.dual_coef * (1 + 1e-4 * np.random.default_rng(0).normal(size=40))
    found = certify(problem, Point(b, best.zeta, Status.OPTIMAL, 0))
    assert 0 <= found.gap <= 1e-3


def test_more_digits_only_where_they_may_close_the_gap(monkeypatch):
    rng = np.random.default_rng(1)
    X = np.column_stack([1e6 + rng.normal(size=(12, 4)), np.ones(12)])  # features nearly cancel
    y = np.where(np.arange(12) % 2, 1.0, -1.0)
    design = make_design(GroupNorm(), X, rng.random((12, 9, 1)) < 0.7)
    problem = Problem(design, Hinge(), y, np.full(12, np.inf))
    found = solve_by_samples(problem, Run(1e-4, 100))
    point = Point(found.dual_coef, found.zeta, Status.OPTIMAL, 0)
    primal, dual = _Primal(problem, found.zeta), _Dual.near(problem, found.dual_coef, 0 * y, None)
    gap = relative_gap(primal.value, dual.value)
    least = relative_gap(primal.hoped, dual.hoped)
    assert least < gap - 1e-10  # what rounding hides is not negligible
    counted = []
    accurate = _Primal.accurate
    monkeypatch.setattr(_Primal, "accurate", lambda self: counted.append(1) or accurate(self))
    assert certify(problem, point, least / 2).gap <= gap  # which no digits would meet
    assert not counted
    assert certify(problem, point, (least + gap) / 2).gap < gap
    assert counted
