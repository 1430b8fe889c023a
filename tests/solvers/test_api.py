"""What `solve` and `max_margin` accept, refuse, print and return."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning

from gnorm import max_margin, solve
from gnorm.norms import GLN, GroupNorm
from gnorm.solvers import MarginSolution, Status


def random_problem(n_samples=12, n_features=4, n_units=3, n_contexts=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    y = np.where(np.arange(n_samples) % 2, 1, -1)
    contexts = rng.integers(n_contexts, size=(n_samples, n_units))
    return X, y, contexts[:, :, None] == np.arange(n_contexts)


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


@pytest.mark.parametrize("light", [1e-15, 1e-20])
@pytest.mark.parametrize("heavy", [1.0, np.inf])
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_samples_of_next_to_no_weight_are_as_if_absent(loss, heavy, light):
    rng = np.random.default_rng(155)
    X = np.column_stack([rng.normal(size=(155, 5)), np.ones(155)])
    activations = (X @ rng.normal(size=(6, 3)) > 0)[:, :, None]
    activations = np.concatenate([activations, ~activations], axis=2)
    y, is_light = np.sign(X[:, 0] + 0.3 * X[:, 1]), rng.random(155) < 0.05
    y[is_light] *= -1.0  # on the wrong side, where they would pull
    C = np.where(is_light, light, heavy)
    solution = solve(X, y, activations, loss=loss, C=C)
    assert solution.duality_gap <= 1e-6
    kept = ~is_light
    without = solve(
        X[kept], y[kept], activations[kept], loss=loss, C=heavy, method="clarabel", tol=1e-8
    )
    assert_allclose(solution.primal_value, without.primal_value, rtol=2e-6)
    assert_allclose(solution.norm, without.norm, rtol=1e-3)


def test_features_of_zeros_alone():
    X, y, activations = random_problem()
    solution = max_margin(np.zeros_like(X), y, activations, 2.0)
    assert solution.norm == 0
    assert_allclose([solution.primal_value, solution.dual_value], 2.0 * len(y), rtol=1e-13)
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
    ({"y": [0, 1]}, "expected labels -1 and 1 in y, got [0, 1]"),
    ({"y": ["a", "b"]}, "expected labels -1 and 1 in y, got ['a', 'b']"),
    ({"y": [1.0, np.nan]}, "expected labels -1 and 1 in y, got [1.0, nan]"),
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
    ({"activations": [[[True]], [[True, False]]]}, "expected activations of dtype bool and"),
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
        "method must be one of ['auto', 'interior-point', 'working-set', 'primal', 'factored', "
        "'highs', 'clarabel', 'scs'], got 'simplex'",
    ),
    ({"tol": 0.0}, "expected a finite tol > 0, got 0.0"),
    ({"tol": np.nan}, "expected a finite tol > 0, got nan"),
    ({"max_iter": 2.5}, "expected max_iter >= 1, an integer, or None, got 2.5"),
    ({"max_iter": 0}, "expected max_iter >= 1, an integer, or None, got 0"),
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


# -- losses and norms ------------------------------------------------------------------------------


def test_targets_that_are_numbers_kept_as_objects():
    X, _, activations = random_problem()
    y = X[:, 0] + 1.0
    expected = solve(X, y, activations, loss="huber")
    assert_array_equal(solve(X, y.astype(object), activations, loss="huber").zeta, expected.zeta)


def test_max_margin_is_solve_with_the_hinge():
    X, y, activations = random_problem()
    solution, same = max_margin(X, y, activations, 0.3), solve(X, y, activations, C=0.3)
    assert isinstance(solution, MarginSolution)
    assert isinstance(same, MarginSolution)
    assert_array_equal(solution.zeta, same.zeta)
    assert not isinstance(solve(X, y, activations, loss="log_loss"), MarginSolution)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_solution_of_a_regression_agrees_with_its_own_description(loss):
    X, _, activations = random_problem(n_samples=30)
    y = np.random.default_rng(1).normal(size=30)
    solution = solve(X, y, activations, loss=loss)
    assert np.isnan(solution.margin)
    assert_array_equal(solution.support, np.flatnonzero(solution.dual_coef))
    assert_allclose(solution.unit_norms, np.linalg.norm(solution.zeta, axis=(1, 2)))
    assert_allclose(solution.norm, solution.unit_norms.sum())
    assert np.any(solution.dual_coef < 0)
    assert np.any(solution.dual_coef > 0)
    assert solution.seconds > 0


@pytest.mark.parametrize("method", ["auto", "primal", "clarabel"])
def test_numbers_of_a_solution_are_those_of_python(method):
    solution = solve(*random_problem(), C=0.3, method=method)
    numbers = [value for value in vars(solution).values() if np.ndim(value) == 0]
    assert not [value for value in numbers if isinstance(value, np.generic)]


@pytest.mark.parametrize("unit_weights", [(1.0, 2.0, 0.5), [3.0, 3.0, 3.0]])
@pytest.mark.parametrize("C", [np.inf, 1.0])
def test_unit_weights_are_a_weighted_norm(unit_weights, C):
    X, y, activations = random_problem(n_features=20)
    solution = max_margin(X, y, activations, C, unit_weights=unit_weights)
    norm = GLN(unit_weights=tuple(unit_weights))
    assert_array_equal(solution.zeta, solve(X, y, activations, norm=norm, C=C).zeta)
    assert_allclose(solution.norm, np.array(unit_weights) @ solution.unit_norms)
    assert_allclose(solution.norm, norm.value(solution.zeta), rtol=1e-12)


def test_closed_gates_have_the_norm_of_the_units():
    X, y, activations = random_problem()
    activations[0, 0] = False
    solution = solve(X, y, activations, C=1.0)
    assert_array_equal(solve(X, y, activations, norm=GroupNorm(), C=1.0).zeta, solution.zeta)
    with pytest.raises(ValueError, match="the GLN norm is defined for gates with exactly one"):
        solve(X, y, activations, norm=GLN(), C=1.0)


GOOD_REGRESSION = {**GOOD, "y": np.array([0.5, 2.0]), "loss": "squared_error"}
REFUSED_BY_SOLVE = [
    ({"loss": "hinges"}, "expected a Loss or one of ['absolute_error', 'crammer_singer', "),
    ({"norm": "l3"}, "norm must be None, one of ['gln', 'frelu', 'group', 'predictor_l2', "),
    ({"C": np.inf}, "expected a finite C for the loss 'squared_error', got C=inf"),
    ({"C": [1.0, np.inf]}, "expected a finite C for the loss 'squared_error', got C=inf"),
    ({"y": [1.0, np.nan]}, "expected finite numbers in y, got nan"),
    ({"y": ["a", "b"]}, "expected real numbers in y, got dtype <U1"),
    ({"loss": "log_loss"}, "expected labels -1 and 1 in y, got [0.5, 2.0]"),
    ({"unit_weights": [1.0, 2.0]}, "expected unit_weights of shape (1,), got shape (2,)"),
    ({"unit_weights": [0.0]}, "expected unit_weights of shape (n_units,), positive and finite"),
    (
        {"unit_weights": [1.0], "norm": GroupNorm()},
        "expected norm=None beside unit_weights, got norm=GroupNorm(unit_weights=None)",
    ),
    ({"norm": GroupNorm((1.0, 2.0))}, "expected unit_weights of shape (1,), got 2 weights"),
]


@pytest.mark.parametrize(
    ("change", "sentence"),
    REFUSED_BY_SOLVE,
    ids=[f"{next(iter(change))}-{i}" for i, (change, _) in enumerate(REFUSED_BY_SOLVE)],
)
def test_malformed_input_of_a_regression_is_refused(change, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        solve(**{**GOOD_REGRESSION, **change})
