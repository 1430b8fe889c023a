"""The max-margin problem: its two values, the best multiples, and what `max_margin` accepts."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning

from gnorm import max_margin
from gnorm.margin import Status
from gnorm.margin.design import GatedDesign
from gnorm.margin.problem import MarginProblem, relative_gap


def problem_with(upper):
    """A problem of which only the bounds matter."""
    n_samples = len(upper)
    design = GatedDesign(np.ones((n_samples, 1)), np.ones((n_samples, 1, 1), dtype=bool))
    return MarginProblem(design, np.ones(n_samples), np.asarray(upper, dtype=float))


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
    expected = np.einsum("n,nhf,mhf,m,m->nh", y, phi, phi, y, a)
    problem = MarginProblem(GatedDesign(X, activations), y.astype(float), np.full(len(y), np.inf))
    for accurate in (False, True):
        assert_allclose(problem.products(a, accurate=accurate), expected, atol=1e-12)


def test_separability_residual_of_two_equal_inputs():
    X = np.array([[3.0, 4.0], [3.0, 4.0], [1.0, 0.0]])
    design = GatedDesign(X, np.ones((3, 2, 1), dtype=bool))
    problem = MarginProblem(design, np.array([1.0, -1.0, 1.0]), np.full(3, np.inf))
    assert problem.separability_residual(np.array([2.0, 2.0, 0.0])) == 0.0
    # V = 3 (3, 4) - (3, 4) has length 10; the weights sum to 4, the longest input has length 5
    assert problem.separability_residual(np.array([3.0, 1.0, 0.0])) == 0.5


def test_separability_residual_without_features():
    design = GatedDesign(np.zeros((2, 3)), np.ones((2, 1, 1), dtype=bool))
    problem = MarginProblem(design, np.array([1.0, -1.0]), np.full(2, np.inf))
    assert problem.separability_residual(np.ones(2)) == 0.0


# -- the best multiple of a point ------------------------------------------------------------------

lengths = st.floats(0.1, 10.0)
weights = st.floats(0.01, 100.0)
margins = st.floats(-10.0, 10.0).filter(lambda m: m == 0 or abs(m) > 1e-6)


def best_by_scipy(objective, low, high):
    """Least value of a convex function of one variable, from above."""
    result = minimize_scalar(objective, bounds=(low, high), method="bounded")
    return min(result.fun, objective(low), objective(high))


@given(st.lists(st.tuples(margins, weights), min_size=1, max_size=8), lengths)
def test_scale_primal_is_the_best_multiple(samples, norm):
    m, C = np.array(samples).T

    def objective(theta):
        return 0.5 * (theta * norm) ** 2 + C @ np.maximum(0.0, 1.0 - theta * m)

    value, theta = problem_with(C).scale_primal(norm, m)
    assert theta >= 0
    assert_allclose(value, objective(theta), rtol=1e-12)
    beyond = 1.0 + C @ np.abs(m) / norm**2  # the slope of the objective is positive from here on
    assert value <= best_by_scipy(objective, 0.0, beyond) * (1 + 1e-12)


@given(
    st.lists(st.floats(0.01, 10.0), min_size=1, max_size=4),
    st.lists(st.tuples(margins, weights), max_size=4),
    lengths,
)
def test_scale_primal_gives_hard_samples_margin_one(hard, soft, norm):
    m = np.array([*hard, *(margin for margin, _ in soft)])
    upper = np.array([np.inf] * len(hard) + [C for _, C in soft])
    finite = np.isfinite(upper)

    def objective(theta):
        shortfall = np.maximum(0.0, 1.0 - theta * m[finite])
        return 0.5 * (theta * norm) ** 2 + upper[finite] @ shortfall

    value, theta = problem_with(upper).scale_primal(norm, m)
    least = 1.0 / min(hard)
    assert theta >= least
    assert_allclose(value, objective(theta), rtol=1e-12)
    beyond = least + 1.0 + upper[finite] @ np.abs(m[finite]) / norm**2
    assert value <= best_by_scipy(objective, least, beyond) * (1 + 1e-12)


@pytest.mark.parametrize("margin", [0.0, -1.0])
def test_scale_primal_of_a_hard_sample_on_the_wrong_side(margin):
    value, _ = problem_with([np.inf, 1.0]).scale_primal(1.0, np.array([margin, 2.0]))
    assert value == np.inf


def test_scale_primal_of_the_zero_predictor():
    assert problem_with([2.0, 3.0]).scale_primal(0.0, np.zeros(2)) == (5.0, 0.0)


@given(
    st.lists(
        st.tuples(st.floats(0.0, 1.0), weights | st.just(np.inf)), min_size=1, max_size=8
    ).filter(lambda samples: sum(share for share, _ in samples) > 1e-3),
    lengths,
)
def test_scale_dual_is_the_best_feasible_multiple(samples, dual_norm):
    share, upper = np.array(samples).T
    a = share * np.where(np.isinf(upper), 10.0, upper)

    def objective(theta):
        return 0.5 * (theta * dual_norm) ** 2 - theta * a.sum()

    value, theta = problem_with(upper).scale_dual(a, dual_norm)
    assert np.all(theta * a <= upper * (1 + 1e-15))
    assert_allclose(value, -objective(theta), rtol=1e-12)
    with np.errstate(over="ignore"):
        longest = np.min(upper[a > 0] / a[a > 0])
    beyond = min(longest, 2.0 * a.sum() / dual_norm**2)
    assert -value <= best_by_scipy(objective, 0.0, beyond) * (1 - 1e-12)


def test_scale_dual_goes_to_the_nearest_bound_along_a_ray():
    value, theta = problem_with([4.0, 9.0]).scale_dual(np.array([1.0, 3.0]), 0.0)
    assert (value, theta) == (12.0, 3.0)


# -- what the front door accepts -------------------------------------------------------------------


@pytest.mark.parametrize("C", [np.inf, 10.0, 0.1])
@pytest.mark.parametrize("n_units", [1, 3])
def test_one_sample_a_class_one_feature_one_context(C, n_units):
    # f(x) = w x with w = 1 at the hard margin, and w = 2 C as long as the bounds hold it back
    solution = max_margin(
        np.array([[1.0], [-1.0]]), [1, -1], np.ones((2, n_units, 1), dtype=bool), C
    )
    expected = min(1.0, 2 * C)
    assert_allclose(solution.norm, expected, rtol=1e-6)
    assert_allclose(
        solution.decision_values([[2.0]], np.ones((1, n_units, 1), dtype=bool)),
        2 * expected,
        rtol=1e-6,
    )
    assert_allclose(solution.dual_coef, min(0.5, C), rtol=1e-6)
    assert_allclose(solution.margin, 1.0)
    assert solution.status is Status.OPTIMAL


def test_more_units_than_samples():
    X, y, activations = random_problem(n_samples=4, n_units=50, n_features=2, seed=1)
    solution = max_margin(X, y, activations)
    assert solution.duality_gap <= 1e-6
    assert np.min(y * solution.decision_values(X, activations)) >= 1 - 1e-9


def test_features_of_zeros_alone():
    X, y, activations = random_problem()
    solution = max_margin(np.zeros_like(X), y, activations, 2.0)
    assert solution.norm == 0
    assert solution.primal_value == solution.dual_value == 2.0 * len(y)
    assert solution.margin == 0
    assert_array_equal(solution.dual_coef, 2.0)


@pytest.mark.parametrize("C", [np.inf, 1.0])
def test_column_of_zeros_changes_nothing(C):
    X, y, activations = random_problem(n_features=10)
    padded = np.insert(X, 3, 0.0, axis=1)
    solution = max_margin(padded, y, activations, C)
    assert_array_equal(solution.zeta[:, :, 3], 0.0)
    assert_allclose(solution.norm, max_margin(X, y, activations, C).norm, rtol=1e-6)


@pytest.mark.parametrize("C", [np.inf, 1.0])
def test_constant_column_is_an_intercept(C):
    X, y, activations = random_problem(n_features=10)
    with_constant = np.column_stack([X + 5.0, np.ones(len(X))])
    solution = max_margin(with_constant, y, activations, C)
    assert solution.duality_gap <= 1e-6
    # the same function of X alone, the last feature taken as the intercept of each context
    values = np.einsum("nhc,hcd,nd->n", activations, solution.zeta[:, :, :-1], X + 5.0)
    values += np.einsum("nhc,hc->n", activations, solution.zeta[:, :, -1])
    assert_allclose(solution.decision_values(with_constant, activations), values, atol=1e-12)
    assert np.any(np.abs(solution.zeta[:, :, -1]) > 1e-3)


def test_float32_is_lifted_without_loss():
    X, y, activations = random_problem()
    X = X.astype(np.float32)
    single, double = (max_margin(Z, y, activations, 1.0) for Z in (X, X.astype(np.float64)))
    assert_array_equal(single.zeta, double.zeta)


@pytest.mark.parametrize("dtype", [np.int8, np.float32, object])
def test_labels_of_any_type(dtype):
    X, y, activations = random_problem()
    expected = max_margin(X, y, activations, 1.0)
    assert_array_equal(max_margin(X, y.astype(dtype), activations, 1.0).zeta, expected.zeta)


def test_arguments_are_left_alone():
    X, y, activations = random_problem()
    C, weight = np.full(len(y), 1.0), np.arange(len(y), dtype=float)
    given = [X, y, activations, C, weight]
    copies = [array.copy() for array in given]
    max_margin(X, y, activations, C, sample_weight=weight)
    for array, copy in zip(given, copies, strict=True):
        assert_array_equal(array, copy)


def test_sparse_argument_is_left_alone():
    X, y, activations = random_problem()
    X[np.abs(X) < 0.5] = 0.0
    X = csr_matrix(X)
    X.data[::3] = 0.0  # stored zeros
    X.indices[: X.indptr[1]] = X.indices[: X.indptr[1]][::-1].copy()
    copies = X.data.copy(), X.indices.copy(), X.indptr.copy()
    max_margin(X, y, activations, 1.0)
    for array, copy in zip((X.data, X.indices, X.indptr), copies, strict=True):
        assert_array_equal(array, copy)


GOOD = {
    "X": np.array([[1.0], [-1.0]]),
    "y": np.array([1, -1]),
    "activations": np.ones((2, 1, 1), dtype=bool),
}
REFUSED = [
    ({"X": [1.0, 2.0]}, "Expected 2D array, got 1D array instead"),
    ({"X": [[np.nan], [1.0]]}, "Input X contains NaN"),
    ({"X": [[np.inf], [1.0]]}, "Input X contains infinity"),
    ({"X": np.zeros((2, 0))}, "0 feature(s)"),
    ({"y": [1, -1, 1]}, "inconsistent numbers of samples: [2, 3]"),
    ({"y": [[1, -1], [1, 1]]}, "y should be a 1d array"),
    ({"y": [0, 1]}, "expected labels -1 and 1 in y, got [0 1]"),
    ({"y": ["a", "b"]}, "expected labels -1 and 1 in y, got ['a' 'b']"),
    ({"y": [1.0, np.nan]}, "expected labels -1 and 1 in y, got [ 1. nan]"),
    ({"y": [1, 1]}, "expected samples of positive weight with both labels, got only [1]"),
    (
        {"sample_weight": [0, 1]},
        "expected samples of positive weight with both labels, got only [-1]",
    ),
    (
        {"activations": np.ones((3, 1, 1), dtype=bool)},
        "expected activations of dtype bool and shape (2, n_units, n_contexts), "
        "got dtype bool and shape (3, 1, 1)",
    ),
    ({"activations": np.ones((2, 1), dtype=bool)}, "got dtype bool and shape (2, 1)"),
    ({"activations": np.ones((2, 0, 1), dtype=bool)}, "got dtype bool and shape (2, 0, 1)"),
    ({"activations": np.ones((2, 1, 1))}, "got dtype float64 and shape (2, 1, 1)"),
    ({"C": 0.0}, "expected C > 0, got 0.0"),
    ({"C": [1.0, -2.0]}, "expected C > 0, got -2.0"),
    ({"C": np.nan}, "expected C > 0, got nan"),
    ({"C": [1.0, 2.0, 3.0]}, "expected C to be a number or of shape (2,), got shape (3,)"),
    ({"sample_weight": [1.0]}, "expected sample_weight of shape (2,), got shape (1,)"),
    ({"sample_weight": [1.0, -1.0]}, "expected finite, non-negative sample_weight, got"),
    ({"sample_weight": [1.0, np.inf]}, "expected finite, non-negative sample_weight, got"),
    ({"sample_weight": [1.0, np.nan]}, "expected finite, non-negative sample_weight, got"),
    (
        {"method": "simplex"},
        "method must be one of ['auto', 'interior-point', 'working-set', 'primal', 'clarabel', "
        "'scs'], got 'simplex'",
    ),
    ({"tol": 0.0}, "expected a finite tol > 0, got 0.0"),
    ({"tol": np.nan}, "expected a finite tol > 0, got nan"),
    ({"max_iter": 0}, "expected max_iter >= 1, got 0"),
]


@pytest.mark.parametrize(
    ("change", "sentence"),
    REFUSED,
    ids=[f"{next(iter(change))}-{i}" for i, (change, _) in enumerate(REFUSED)],
)
def test_malformed_input_is_refused(change, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        max_margin(**{**GOOD, **change})


def test_verbose_prints_the_choice_and_a_line_an_iteration(capsys):
    X, y, activations = random_problem()
    solution = max_margin(X, y, activations, 1.0, verbose=1)
    choice, header, *lines = capsys.readouterr().out.splitlines()
    assert choice.startswith("method interior-point: ")
    assert header.split() == ["iter", "primal", "dual", "gap", "step", "seconds"]
    assert [int(line.split()[0]) for line in lines] == list(range(solution.n_iter + 1))
    assert float(lines[-1].split()[3]) <= 1e-6


@pytest.mark.parametrize("n_contexts", [1, 2, 3])
def test_quiet_by_default(capfd, n_contexts):
    max_margin(*random_problem(n_contexts=n_contexts), 1.0)
    assert capfd.readouterr() == ("", "")  # nor a word from LAPACK


def test_unfinished_solve_says_so():
    X, y, activations = random_problem()
    with pytest.warns(
        ConvergenceWarning,
        match=r"stopped after 2 iterations \(max_iter\) at a relative duality gap of",
    ):
        solution = max_margin(X, y, activations, 1.0, max_iter=2, tol=1e-9)
    assert solution.status is Status.MAX_ITER
    assert solution.n_iter == 2
    assert solution.method == "interior-point"
