"""The interior point through the features: the answers of the dual method, in linear memory."""

import tracemalloc
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from gnorm import NotSeparableError, max_margin, solve
from gnorm.losses import Hinge
from gnorm.norms import GroupNorm
from gnorm.solvers import Status
from gnorm.solvers.attempts import solve_certified
from gnorm.solvers.design import make_design
from gnorm.solvers.problem import Problem

INF = np.inf


def one_hot(contexts, n_contexts):
    return contexts[:, :, None] == np.arange(n_contexts)


def problem_with_a_boundary(
    n_samples=400, n_features=5, n_units=4, n_contexts=2, gates="gln", noise=0.1, seed=0
):
    """Labels by a random gated predictor, some flipped: separable without noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    X[:, -1] = 1.0
    sides = X @ rng.normal(size=(n_features, n_units * n_contexts)) > 0
    if gates == "gln":
        activations = one_hot(sides[:, ::n_contexts] % n_contexts, n_contexts)
        if n_contexts > 2:
            activations = one_hot(rng.integers(n_contexts, size=(n_samples, n_units)), n_contexts)
    else:  # any number of contexts open, none included
        activations = sides.reshape(n_samples, n_units, n_contexts)
        activations[:, 0, 0] = True
    zeta = rng.normal(size=(n_units, n_contexts, n_features))
    y = np.where(np.einsum("nhc,nd,hcd->n", activations, X, zeta) > 0, 1, -1)
    y[rng.random(n_samples) < noise] *= -1
    return X, y, activations


KINDS = [("gln", 2), ("gln", 3), ("any", 1), ("any", 2)]


def assert_agree(X, y, activations, C, **options):
    solution = max_margin(X, y, activations, C, method="primal", **options)
    other = max_margin(X, y, activations, C, method="interior-point", **options)
    assert solution.method == "primal"
    assert solution.status is Status.OPTIMAL
    assert solution.duality_gap <= 1e-6
    # each is certified: neither dual value can exceed the other's primal value
    assert solution.dual_value <= other.primal_value * (1 + 1e-12)
    assert other.dual_value <= solution.primal_value * (1 + 1e-12)
    assert_allclose(solution.primal_value, other.primal_value, rtol=2e-6)
    return solution, other


# -- agreement -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gates", "n_contexts"), KINDS)
@pytest.mark.parametrize("C", [1e-3, 1.0, 1e2])
def test_soft_margin_agrees_with_the_dual_method(gates, n_contexts, C):
    assert_agree(*problem_with_a_boundary(gates=gates, n_contexts=n_contexts), C)


@pytest.mark.parametrize(("gates", "n_contexts"), KINDS)
def test_hard_margin_agrees_with_the_dual_method(gates, n_contexts):
    problem = problem_with_a_boundary(
        n_samples=250, n_features=8, gates=gates, n_contexts=n_contexts, noise=0.0
    )
    solution, other = assert_agree(*problem, INF)
    assert_allclose(solution.margin, other.margin, rtol=2e-6)
    # the samples are few beside the 250, and the same to the last few
    assert len(solution.support) < 150


def test_bounds_of_each_sample_and_weights():
    X, y, activations = problem_with_a_boundary(noise=0.0)
    rng = np.random.default_rng(1)
    C = np.where(np.arange(len(y)) % 3 == 0, INF, rng.uniform(0.01, 1.0, len(y)))
    weight = rng.integers(0, 4, len(y)).astype(float)
    solution, _ = assert_agree(X, y, activations, C, sample_weight=weight)
    margins = y * solution.decision_values(X, activations)
    assert np.all(margins[np.isinf(C) & (weight > 0)] >= 1 - 1e-9)
    assert np.all(solution.dual_coef[weight == 0] == 0)


@pytest.mark.parametrize("C", [0.1, INF])
def test_l2_norm_of_the_predictors(C):
    X, y, activations = problem_with_a_boundary(n_samples=200, noise=0.0, n_contexts=3)
    values = [
        solve(X, y, activations, norm="predictor_l2", C=C, method=method).primal_value
        for method in ("primal", "interior-point")
    ]
    assert_allclose(*values, rtol=2e-6)


@pytest.mark.parametrize("C", [1e-2, 1.0])
def test_one_unit_and_context_is_the_linear_svm(C):
    X, y, _ = problem_with_a_boundary()
    solution = max_margin(X, y, np.ones((len(y), 1, 1), dtype=bool), C, method="primal", tol=1e-7)
    rival = LinearSVC(
        loss="hinge", C=C, fit_intercept=False, tol=1e-10, max_iter=10**6, random_state=0
    ).fit(X, y)
    assert_allclose(solution.zeta[0, 0], rival.coef_[0], atol=2e-3 * np.abs(rival.coef_).max())


@pytest.mark.parametrize(("gates", "n_contexts"), KINDS)
def test_more_features_than_samples(gates, n_contexts):
    problem = problem_with_a_boundary(
        n_samples=60, n_features=40, gates=gates, n_contexts=n_contexts
    )
    assert_agree(*problem, 1.0)
    assert_agree(*problem, INF)


# -- form and scale of the data --------------------------------------------------------------------


@pytest.mark.parametrize("C", [1.0, INF])
def test_sparse_inputs(C):
    X, y, activations = problem_with_a_boundary(n_samples=250, n_features=8, noise=0.0)
    dense = max_margin(X, y, activations, C, method="primal")
    sparse = max_margin(csr_matrix(X), y, activations, C, method="primal")
    assert_allclose(sparse.primal_value, dense.primal_value, rtol=2e-6)


@pytest.mark.parametrize(("scale", "C"), [(1e-4, 1.0), (1e4, 1.0), (1e-2, INF), (1e2, INF)])
def test_feature_of_another_length(C, scale):
    X, y, activations = problem_with_a_boundary(n_samples=250, n_features=8, noise=0.0)
    X[:, 2] *= scale
    assert_agree(X, y, activations, C)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_length_of_the_inputs_does_not_matter(scale):
    X, y, activations = problem_with_a_boundary()
    solution = max_margin(X, y, activations, 1.0, method="primal")
    scaled = max_margin(scale * X, y, activations, 1.0 / scale**2, method="primal")
    assert_allclose(scaled.primal_value * scale**2, solution.primal_value, rtol=2e-6)


def test_degenerate_features():
    # rows of zeros, a feature of zeros, a repeated feature, repeated units and units never open
    X, y, activations = problem_with_a_boundary(gates="any", n_contexts=1)
    X = np.column_stack([X, X[:, 0], np.zeros(len(y))])
    X[:5] = 0.0
    closed = np.zeros_like(activations[:, :2])
    activations = np.concatenate([activations, activations, closed], axis=1)
    solution, _ = assert_agree(X, y, activations, 1.0)
    assert_array_equal(solution.unit_norms[-2:], 0.0)


def test_unused_units_are_exactly_so():
    X, y, activations = problem_with_a_boundary(gates="any", n_units=8, n_contexts=1)
    solution, other = assert_agree(X, y, activations, 1e-3)
    assert_array_equal(solution.unit_norms == 0, other.unit_norms == 0)
    assert np.any(solution.unit_norms == 0)


# -- endings ---------------------------------------------------------------------------------------


def assert_proved_inseparable(X, y, activations, C=INF):
    with pytest.raises(NotSeparableError) as caught:
        max_margin(X, y, activations, C, method="primal")
    a = caught.value.certificate
    assert np.all(a >= 0)
    assert_allclose(a.sum(), 1.0)
    V = np.einsum("n,nhc,nd->hcd", a * y, activations, X)
    assert np.abs(V).max() <= 1e-10 * np.linalg.norm(X, axis=1).max()
    return a


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("n_samples", [150, 3000])
def test_inseparable_samples_are_proved_so(n_samples, seed):
    assert_proved_inseparable(*problem_with_a_boundary(n_samples, noise=0.2, seed=seed))


def test_two_samples_that_contradict_each_other_among_many():
    X, y, activations = problem_with_a_boundary(n_samples=2000, noise=0.0)
    X[1], activations[1], y[1] = X[0], activations[0], -y[0]
    a = assert_proved_inseparable(X, y, activations)
    assert a[1] > 1e-2  # without it the samples are separable


def test_inseparable_samples_among_bounded_ones():
    X, y, activations = problem_with_a_boundary(n_samples=1000, noise=0.2)
    C = np.where(np.arange(len(y)) < 500, INF, 1.0)
    a = assert_proved_inseparable(X, y, activations, C)
    assert_array_equal(a[500:], 0.0)


def test_max_iter_is_respected():
    problem = problem_with_a_boundary()
    best = INF
    for max_iter in (1, 3, 6):
        with pytest.warns(ConvergenceWarning, match=f"stopped after {max_iter} iterations"):
            solution = max_margin(*problem, 1.0, method="primal", max_iter=max_iter)
        assert solution.status is Status.MAX_ITER
        assert solution.n_iter == max_iter
        assert solution.dual_value <= best
        best = min(best, solution.primal_value)


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6, 1e-7])
def test_tolerance_is_met(tol):
    problem = problem_with_a_boundary(n_samples=3000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert max_margin(*problem, 1.0, method="primal", tol=tol).duality_gap <= tol


# -- size ------------------------------------------------------------------------------------------


def test_memory_does_not_hold_the_gated_features():
    X, y, activations = problem_with_a_boundary(n_samples=50_000, n_features=20, n_units=20)
    design = make_design(GroupNorm(), X, activations)
    problem = Problem(design, Hinge(), y.astype(float), np.ones(len(y)))
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            solve_certified(problem, method="primal", max_iter=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    gates = problem.design.coded[0]
    explicit = 8 * gates.size * X.shape[1]
    assert peak < explicit / 2


def test_a_start_that_overflows_ends_as_it_is():
    rng = np.random.default_rng(0)
    X, y = 1e-150 * rng.normal(size=(50, 2)), np.where(rng.random(50) < 0.5, 1, -1)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solution = max_margin(X, y, np.ones((50, 1, 1), dtype=bool), 1.0, method="primal")
    assert solution.duality_gap >= 0


@pytest.mark.parametrize("method", ["interior-point", "primal", "working-set"])
def test_a_tiny_weight_of_the_loss(method):
    solution = max_margin(*problem_with_a_boundary(), 1e-300, method=method)
    assert_allclose(solution.dual_coef, 1e-300)
    assert solution.duality_gap <= 1e-6
