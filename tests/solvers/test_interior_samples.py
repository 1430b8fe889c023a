"""The interior point: certificates that hold, at every iteration, scale and size."""

import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array, csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC, LinearSVC

from gnorm import NotSeparableError, max_margin
from gnorm.datasets import load_binary_digits
from gnorm.gates import HyperplaneGates
from gnorm.norms import gln_norm
from gnorm.solvers import Status

INF = np.inf


def one_hot(contexts, n_contexts):
    return contexts[:, :, None] == np.arange(n_contexts)


def random_problem(n_samples=40, n_features=5, n_units=3, n_contexts=2, gates="gln", seed=0):
    """Random inputs and labels; separable once n_features is about n_samples."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    y = np.where(rng.random(n_samples) < 0.5, 1, -1)
    y[:2] = 1, -1
    if gates == "gln":
        activations = one_hot(rng.integers(n_contexts, size=(n_samples, n_units)), n_contexts)
    else:  # any number of contexts open, none included
        activations = rng.random((n_samples, n_units, n_contexts)) < 0.6
    return X, y, activations


@pytest.fixture(scope="module")
def digits():
    """300 images of digits with a constant feature, and gates of 10 units."""
    X, y = load_binary_digits()
    gates = HyperplaneGates(n_units=10, random_state=0).fit(X)
    X, y = X[:300], y[:300]
    return np.column_stack([X, np.ones(len(X))]), y, gates.transform(X)


def gap_by_parts(solution, X, y, activations, C):
    r"""The gap as a sum of terms that weak duality says are not negative, on explicit features.

    With :math:`A = \sum_h \|\zeta_h\|`, :math:`B = \max_h \|V_h\|` and the shortfalls
    :math:`\xi_n = \max(0, 1 - y_n f(x_n))`.
    """
    phi = np.einsum("nhc,nd->nhcd", activations, X).reshape(len(X), activations.shape[1], -1)
    zeta = solution.zeta.reshape(len(solution.zeta), -1)
    a, margins = solution.dual_coef, y * np.einsum("nhf,hf->n", phi, zeta)
    V = np.einsum("n,nhf->hf", a * y, phi)
    A, B = np.linalg.norm(zeta, axis=1).sum(), np.linalg.norm(V, axis=1).max()
    shortfall = np.maximum(0.0, 1.0 - margins)
    is_soft = np.isfinite(np.broadcast_to(C, len(a)))
    unused = np.where(is_soft, C, 0.0) - np.where(is_soft, a, 0.0)
    return {
        "lengths": 0.5 * (A - B) ** 2,
        "units": np.linalg.norm(zeta, axis=1) * B - np.einsum("hf,hf->h", zeta, V),
        "inside": a * np.maximum(0.0, margins - 1.0),
        "outside": unused * shortfall,
        "hard": np.where(is_soft, 0.0, shortfall),
    }


# -- certificates ----------------------------------------------------------------------------------

problems = st.fixed_dictionaries(
    {
        "n_samples": st.integers(2, 40),
        "n_features": st.integers(1, 20),
        "n_units": st.integers(1, 6),
        "n_contexts": st.integers(1, 3),
        "gates": st.sampled_from(["gln", "any"]),
        "seed": st.integers(0, 10**6),
    }
)
constants = st.sampled_from([1e-3, 0.1, 1.0, 10.0, INF])


@settings(max_examples=150)
@given(problems, constants)
def test_gap_is_the_sum_of_its_parts(sizes, C):
    X, y, activations = random_problem(**sizes)
    try:
        with warnings.catch_warnings():
            # a hard margin next to nothing may be out of reach; the certificate holds all the same
            warnings.simplefilter("ignore", ConvergenceWarning)
            solution = max_margin(X, y, activations, C)
    except NotSeparableError:
        assert C == INF
        return
    parts = gap_by_parts(solution, X, y, activations, C)
    rounding = 1e-12 * (1 + solution.primal_value)
    assert all(np.all(part >= -rounding) for part in parts.values())
    assert np.all(parts["hard"] <= 1e-12)
    gap = solution.primal_value - solution.dual_value
    assert_allclose(sum(np.sum(part) for part in parts.values()), gap, atol=100 * rounding)
    assert solution.duality_gap == gap / solution.primal_value
    assert (solution.duality_gap <= 1e-6) == (solution.status is Status.OPTIMAL)


@settings(max_examples=60)
@given(problems, constants)
def test_every_iteration_has_a_certificate(sizes, C):
    X, y, activations = random_problem(**sizes)
    best = INF
    for max_iter in (1, 2, 3, 5, 8):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                solution = max_margin(X, y, activations, C, max_iter=max_iter, tol=1e-8)
            except NotSeparableError:
                assert C == INF
                return
        assert np.all(solution.dual_coef >= 0)
        assert np.all(solution.dual_coef <= C)
        assert solution.duality_gap >= -1e-12
        assert solution.dual_value <= best * (1 + 1e-12)
        best = min(best, solution.primal_value)
        assert solution.n_iter <= max_iter
        if solution.status is Status.OPTIMAL:
            assert solution.duality_gap <= 1e-8
            assert not caught
        else:
            assert solution.duality_gap > 1e-8
            assert [warning.category for warning in caught] == [ConvergenceWarning]
            assert f"relative duality gap of {solution.duality_gap:.1e}" in str(caught[0].message)


@pytest.mark.parametrize("C", [1e-3, 0.1, 1.0, 10.0, 1e2])
@pytest.mark.parametrize("gates", ["gln", "any"])
def test_strong_duality(gates, C):
    rng = np.random.default_rng(0)
    for seed in range(50):
        sizes = rng.integers([2, 1, 1, 1], [40, 20, 7, 4])
        solution = max_margin(*random_problem(*sizes, gates=gates, seed=seed), C)
        assert solution.status is Status.OPTIMAL
        assert solution.duality_gap <= 1e-6


@pytest.mark.parametrize(
    ("sizes", "gates", "seed", "C"),
    [
        ((2, 11, 3, 1), "any", 130700, 1e2),
        ((3, 17, 3, 1), "any", 540961, 1e2),
        ((4, 19, 2, 1), "any", 43680, 1e2),
        ((6, 6, 6, 1), "any", 1, 10.0),
        ((11, 16, 3, 3), "gln", 129226, 1e2),
        ((27, 1, 2, 2), "gln", 960696, 1e2),
        ((49, 1, 5, 1), "any", 380548, 1e2),
        ((34, 5, 5, 1), "any", 153350, INF),
        ((49, 8, 2, 2), "any", 905849, INF),
        ((56, 5, 6, 1), "any", 896374, INF),
    ],
)
def test_small_problems_with_a_winding_path(sizes, gates, seed, C):
    # Steps that neglect the curvature of the constraints run in circles on these.
    solution = max_margin(*random_problem(*sizes, gates=gates, seed=seed), C)
    assert solution.duality_gap <= 1e-6
    assert solution.n_iter <= 40


@pytest.mark.parametrize("C", [INF, 0.1])
def test_values_improve_from_iteration_to_iteration(digits, C):
    primal_values, dual_values = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for max_iter in range(1, 12):
            solution = max_margin(*digits, C, max_iter=max_iter)
            primal_values.append(solution.primal_value)
            dual_values.append(solution.dual_value)
    # up to the tolerance, which rounding to exact zeros may spend
    assert np.all(np.array(primal_values[1:]) <= np.array(primal_values[:-1]) * (1 + 1e-6))
    assert np.all(np.array(dual_values[1:]) >= np.array(dual_values[:-1]) * (1 - 1e-6))


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("C", [INF, 0.1])
def test_tolerance_is_met(digits, C, tol):
    solution = max_margin(*digits, C, tol=tol)
    assert solution.duality_gap <= tol
    # the norm of the function even far from the optimum, where representations cost more
    assert_allclose(solution.norm, gln_norm(solution.zeta), rtol=1e-12)
    accurate = max_margin(*digits, C, tol=1e-7)
    assert solution.dual_value <= accurate.primal_value
    assert_allclose(solution.primal_value, accurate.primal_value, rtol=tol)


@pytest.mark.parametrize("C", [INF, 1.0, 1e-2])
def test_solution_agrees_with_its_own_description(digits, C):
    X, y, activations = digits
    solution = max_margin(X, y, activations, C)
    margins = y * solution.decision_values(X, activations)
    assert_allclose(solution.unit_norms, np.linalg.norm(solution.zeta, axis=(1, 2)))
    assert_allclose(solution.norm, solution.unit_norms.sum())
    assert_allclose(solution.margin, margins.min() / solution.norm)
    hinge = 0.0 if C == INF else C * np.maximum(0.0, 1.0 - margins).sum()
    assert_allclose(solution.primal_value, 0.5 * solution.norm**2 + hinge)
    assert_array_equal(solution.support, np.flatnonzero(solution.dual_coef))
    assert solution.seconds > 0


@pytest.mark.parametrize("C", [INF, 10.0, 0.1, 1e-2])
@pytest.mark.parametrize("n_units", [1, 3, 10, 40])
def test_dual_coefficients_off_the_margin_are_at_their_bounds(C, n_units):
    X, y = load_binary_digits()
    gates = HyperplaneGates(n_units=n_units, random_state=1).fit(X)
    X, y = X[:200], y[:200]
    solution = max_margin(X, y, gates.transform(X), C)
    margins = y * solution.decision_values(X, gates.transform(X))
    beyond = solution.dual_coef[margins > 1.01]
    assert len(beyond) >= 30
    # exactly so, but for some that a gap of 1e-6 leaves undecided
    assert np.mean(beyond == 0) > 0.75
    if np.any(margins < 0.99):
        inside = solution.dual_coef[margins < 0.99]
        assert np.mean(np.abs(inside - C) <= 1e-12 * C) > 0.75


# -- known solutions -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def linear_digits():
    """Images with a constant feature, and activations that make the model linear."""
    X, y = load_binary_digits()
    X = np.column_stack([X, np.ones(len(X))])[:300]
    return X, y[:300], np.ones((300, 1, 1), dtype=bool)


@pytest.mark.parametrize("C", [1e-3, 1e-2, 0.1])
def test_one_unit_and_context_is_the_linear_svm(linear_digits, C):
    X, y, activations = linear_digits
    weights = max_margin(X, y, activations, C, tol=1e-7).zeta[0, 0]
    rival = LinearSVC(
        loss="hinge", C=C, fit_intercept=False, tol=1e-10, max_iter=10**6, random_state=0
    ).fit(X, y)
    assert_allclose(weights, rival.coef_[0], atol=1e-3 * np.abs(weights).max())
    free_bias = SVC(kernel="linear", C=C, tol=1e-10).fit(X, y)
    assert np.abs(weights - free_bias.coef_[0]).max() > 0.02 * np.abs(weights).max()


def test_one_unit_and_context_is_the_hard_margin_svm():
    X, y, activations = random_problem(n_samples=60, n_features=80, n_units=1, n_contexts=1, seed=1)
    X[:, -1] = 1.0
    solution = max_margin(X, y, activations, tol=1e-8)
    C = 2 * solution.dual_coef.max()  # no bound is active
    rival = LinearSVC(
        loss="hinge", C=C, fit_intercept=False, tol=1e-9, max_iter=10**6, random_state=0
    ).fit(X, y)
    assert_allclose(solution.zeta[0, 0], rival.coef_[0], atol=1e-5)
    free_bias = SVC(kernel="linear", C=C, tol=1e-10).fit(X, y)
    assert np.abs(solution.zeta[0, 0] - free_bias.coef_[0]).max() > 1e-3


def test_exclusive_or():
    X = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    y = np.array([1, -1, 1, -1])
    activations = np.stack([X[:, 0] < 0, X[:, 0] >= 0], axis=-1)[:, None, :]
    solution = max_margin(X, y, activations, tol=1e-10)
    # the label is the sign of x_1 x_2: f(x) = x_2 where x_1 >= 0, -x_2 where x_1 < 0
    assert_allclose(solution.zeta, [[[0.0, -1.0], [0.0, 1.0]]], atol=1e-8)
    assert_allclose(solution.dual_coef, 0.5, rtol=1e-8)


def test_unit_that_helps_less_is_not_used():
    # Unit 0 separates with weight 1 on the long feature; unit 1 is closed for one of the samples.
    X = np.array([[2.0], [-2.0]])
    activations = np.array([[[True], [True]], [[True], [False]]])
    solution = max_margin(X, np.array([1, -1]), activations)
    assert_allclose(solution.unit_norms, [0.5, 0.0], atol=1e-6)


# -- units of measurement --------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("C", [INF, 1.0, 1e-2])
def test_length_of_the_inputs_does_not_matter(digits, C, scale):
    X, y, activations = digits
    solution = max_margin(X, y, activations, C)
    scaled = max_margin(scale * X, y, activations, C / scale**2)
    assert scaled.duality_gap <= 1e-6
    assert_allclose(scaled.norm * scale, solution.norm, rtol=1e-5)
    assert_allclose(scaled.primal_value * scale**2, solution.primal_value, rtol=2e-6)
    # the same C is another problem, but no harder to solve
    assert max_margin(scale * X, y, activations, C).duality_gap <= 1e-6


@pytest.mark.parametrize("scale", [1e-4, 1e4])
@pytest.mark.parametrize("C", [INF, 1.0])
def test_feature_of_another_length(digits, C, scale):
    X, y, activations = digits
    X = X.copy()
    X[:, 20] *= scale
    assert max_margin(X, y, activations, C).duality_gap <= 1e-6


def test_samples_of_other_lengths(digits):
    X, y, activations = digits
    X = X * np.logspace(-2, 2, len(X))[:, None]
    assert max_margin(X, y, activations).duality_gap <= 1e-6


@pytest.mark.parametrize("C", [1e-4, 1e-2, 1.0, 1e2, 1e4, INF])
def test_iterations_do_not_depend_on_the_bound(digits, C):
    assert max_margin(*digits, C).n_iter <= 30


@pytest.mark.parametrize("C", [0.1, 1.0, 10.0, 1e2, 1e3, 1e4, 1e6])
@pytest.mark.parametrize("n_units", [1, 2])
def test_large_bound_on_data_that_cannot_be_separated(C, n_units):
    X, y, activations = random_problem(n_samples=400, n_features=3, n_units=n_units)
    solution = max_margin(X, y, activations, C)
    assert solution.duality_gap <= 1e-6
    assert solution.n_iter <= 50


def test_bounds_of_each_sample(digits):
    X, y, activations = digits
    C = np.where(np.arange(len(y)) % 3 == 0, INF, 0.01)
    solution = max_margin(X, y, activations, C)
    margins = y * solution.decision_values(X, activations)
    assert solution.duality_gap <= 1e-6
    assert np.all(margins[C == INF] >= 1 - 1e-9)
    assert np.any(margins[C < INF] < 0.9)
    assert np.all(solution.dual_coef <= C)
    assert np.any(solution.dual_coef[C == INF] > 0.01)
    parts = gap_by_parts(solution, X, y, activations, C)
    gap = solution.primal_value - solution.dual_value
    assert_allclose(sum(np.sum(part) for part in parts.values()), gap, atol=1e-9)


def test_hard_margin_is_the_limit_of_large_bounds(digits):
    hard = max_margin(*digits)
    soft = max_margin(*digits, 2 * hard.dual_coef.max())
    assert_allclose(soft.primal_value, hard.primal_value, rtol=2e-6)
    half = max_margin(*digits, 0.5 * hard.dual_coef.max())
    assert half.primal_value < hard.primal_value * (1 - 1e-4)


# -- form of the data ------------------------------------------------------------------------------


@pytest.mark.parametrize("container", [csr_matrix, csr_array, np.asfortranarray, np.ndarray.tolist])
@pytest.mark.parametrize("C", [INF, 1e-2])
def test_container_does_not_matter(digits, container, C):
    X, y, activations = digits
    X = np.where(X == -1, 0.0, X)  # the background, most of each image
    solution = max_margin(X, y, activations, C)
    other = max_margin(container(X), y, activations, C)
    assert other.duality_gap <= 1e-6
    assert_allclose(other.norm, solution.norm, rtol=2e-6 if C == INF else 1e-3)
    assert_allclose(
        other.decision_values(X, activations), solution.decision_values(X, activations), atol=5e-3
    )


def test_same_input_same_output(digits):
    first, again = max_margin(*digits, 1.0), max_margin(*digits, 1.0)
    assert_array_equal(first.zeta, again.zeta)
    assert_array_equal(first.dual_coef, again.dual_coef)


def test_units_that_are_copies_or_never_open(digits):
    X, y, activations = digits
    solution = max_margin(X, y, activations)
    closed = np.zeros_like(activations[:, :2])
    more = max_margin(X, y, np.concatenate([activations, activations, closed], axis=1))
    assert more.duality_gap <= 1e-6
    assert_allclose(more.norm, solution.norm, rtol=2e-6)
    assert_array_equal(more.unit_norms[-2:], 0.0)


@pytest.mark.parametrize("gates", ["gln", "any"])
@pytest.mark.parametrize("n_features", [3, 200])
def test_tall_and_wide_data(gates, n_features):
    X, y, activations = random_problem(n_samples=150, n_features=n_features, gates=gates)
    solution = max_margin(X, y, activations, 1.0)
    parts = gap_by_parts(solution, X, y, activations, 1.0)
    gap = solution.primal_value - solution.dual_value
    assert_allclose(sum(np.sum(part) for part in parts.values()), gap, atol=1e-9)
    assert solution.duality_gap <= 1e-6


def test_message_of_an_unfinished_solve_names_the_tolerance(digits):
    with pytest.warns(ConvergenceWarning, match=re.escape("above tol=1.0e-09")):
        max_margin(*digits, max_iter=3, tol=1e-9)
