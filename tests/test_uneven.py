"""Units of very different numbers of contexts: what is kept of them has a row for each context."""

import copy
import itertools
import operator
import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from gnorm import (
    FReLUClassifier,
    GLNNormClassifier,
    GLNNormRegressor,
    ShallowGLNSVC,
    gated,
    gln_norm_path,
    norms,
    solve,
)
from gnorm.gates import CategoryGates, JoinedGates, OpenContexts, OpenGates, SelectedGates
from gnorm.gating import ContextWeights, even_runs, evened, flattened, padded
from gnorm.selection import UnitSelectionCV
from gnorm.solvers import NotSeparableError, Status
from gnorm.solvers.design import make_design
from gnorm.solvers.separation import gated_features

LEVELS = np.array([2, 1, 7, 3])
N_FEATURES = 3


@pytest.fixture
def zeta():
    """Weights that are zero where there is no context."""
    exists = np.arange(LEVELS.max()) < LEVELS[:, None]
    return np.random.default_rng(0).normal(size=(4, 7, N_FEATURES)) * exists[:, :, None]


def samples(n_samples=90, *, is_closed=False):
    """Inputs and open contexts, of uneven units and of units filled up to the largest."""
    rng = np.random.default_rng(1)
    contexts = rng.integers(-int(is_closed), LEVELS, size=(n_samples, 4))
    X = rng.normal(size=(n_samples, N_FEATURES))
    return X, OpenContexts(contexts, LEVELS), OpenContexts(contexts, 7)


def labelled(n_samples=90):
    X, uneven, even = samples(n_samples)
    slope = X[:, 0] * (uneven.contexts[:, 0] - 0.5) + 0.3 * X[:, 1]
    return X, slope + 0.1 * np.random.default_rng(2).normal(size=n_samples), uneven, even


# ------------------------------------------------------------------------------- rows and arrays


def test_weights_are_rows_of_the_contexts_that_there_are(zeta):
    weights = ContextWeights.from_array(zeta, LEVELS)
    assert weights.rows.shape == (LEVELS.sum(), N_FEATURES)
    assert weights.shape == zeta.shape
    assert repr(weights) == "<ContextWeights of shape (4, 7, 3)>"
    assert_array_equal(weights, zeta)
    assert_array_equal(np.asarray(weights, dtype=np.float32), zeta.astype(np.float32))
    for h, count in enumerate(LEVELS):
        assert_array_equal(weights.of_unit(h), zeta[h, :count])
    assert_array_equal(norms.unit_norms(weights), norms.unit_norms(zeta))
    with pytest.raises(TypeError, match="expected weights of several outputs, got <ContextWeights"):
        weights[0]
    with pytest.raises(ValueError, match="expected copy other than False"):
        weights.__array__(copy=False)


def test_weights_are_multiplied_and_shifted_as_the_array_is(zeta):
    weights, exists = ContextWeights.from_array(zeta, LEVELS), zeta.any(axis=2, keepdims=True)
    factors = np.array([2.0, 0.0, -1.0, 0.5])[:, None, None]
    vectors = np.random.default_rng(1).normal(size=(4, 1, N_FEATURES))
    assert_array_equal(weights * 3.0, zeta * 3.0)
    assert_array_equal(weights * factors, zeta * factors)
    assert_array_equal(weights + vectors, (zeta + vectors) * exists)
    assert [part.shape[:2] for part in weights.parts()] == [(1, 2), (1, 1), (1, 7), (1, 3)]
    assert all(np.shares_memory(part, weights.rows) for part in weights.parts())
    means = [zeta[h, :count].mean(axis=0) for h, count in enumerate(LEVELS)]
    beta_bar, deviations = gated.main_effects(weights)
    assert_allclose(beta_bar, np.sum(means, axis=0), atol=1e-14)
    assert_allclose(deviations, (zeta - np.array(means)[:, None]) * exists, atol=1e-14)


@pytest.mark.parametrize("n_outputs", [None, 2])
def test_arithmetic_is_that_of_the_array(zeta, n_outputs):
    exists = zeta.any(axis=2, keepdims=True)
    zeta = zeta if n_outputs is None else np.stack([zeta, zeta[::-1] * exists])
    weights = ContextWeights.from_array(zeta, LEVELS)
    random = np.random.default_rng(3)
    shapes = [(), (1,), (N_FEATURES,), (1, 1), (4, 1, 1), (4, 1, N_FEATURES), (1, 1, N_FEATURES)]
    shapes += [] if n_outputs is None else [(2, 1, 1, 1), (2, 4, 1, N_FEATURES), (1, 4, 1, 1)]
    for other in (3, 0.5, np.float64(2), *(random.normal(size=shape) for shape in shapes)):
        for got, expected in (
            (weights * other, zeta * other),
            (other * weights, zeta * other),
            (weights / other, zeta / other),
            (weights + other, zeta + other),
            (other + weights, zeta + other),
            (weights - other, zeta - other),
        ):
            assert isinstance(got, ContextWeights)
            assert_array_equal(got.n_contexts, LEVELS)
            assert_array_equal(got, expected * exists)
    other = ContextWeights(random.normal(size=weights.rows.shape), LEVELS.copy())
    assert_array_equal(weights + other, zeta + np.asarray(other))
    assert_array_equal(weights - other, zeta - np.asarray(other))
    assert_array_equal(weights * other, zeta * np.asarray(other))


def test_what_does_not_go_with_weights_is_refused(zeta):
    weights = ContextWeights.from_array(zeta, LEVELS)
    others = [
        zeta,  # one for each context, also of those that there are not
        zeta[:3, :1],
        zeta[:, :1, :2],
        zeta[None, :, :1],
        zeta[0],
        LEVELS,
        "weights",
        ContextWeights(weights.rows, LEVELS[::-1]),
        ContextWeights(weights.rows[:, :1], LEVELS),
        ContextWeights(weights.rows[None], LEVELS),
        None,
    ]
    operators = (operator.add, operator.sub, operator.mul, operator.truediv)
    for other, work in itertools.product(others, operators):
        with pytest.raises(ValueError, match=r"expected .*weights of .*contexts.*, got"):
            work(weights, other)
    with pytest.raises(ValueError, match="expected a number, weights of 7 contexts at most"):
        _ = zeta * weights
    with pytest.raises(ValueError, match="expected a number, weights of 7 contexts at most"):
        _ = zeta - weights


@pytest.mark.parametrize(
    "n_contexts",
    [[2, 2], [2, 4], [6, -1], [2.0, 3.0], [[2, 3]], 5, [], "23", [True] * 5],
)
def test_numbers_of_contexts_that_do_not_fit_are_refused(n_contexts):
    with pytest.raises(ValueError, match=r"expected n_contexts >= 0, .* of 5 rows in all, got"):
        ContextWeights(np.zeros((5, 2)), n_contexts)


@pytest.mark.parametrize("rows", [np.zeros(5), np.zeros((1, 1, 5, 2)), [["a"]] * 5])
def test_rows_that_are_none_are_refused(rows):
    with pytest.raises(ValueError, match="expected real rows of shape"):
        ContextWeights(rows, [2, 3])


def test_lists_are_taken():
    weights = ContextWeights([[1.0], [2.0], [3.0]], [1, 2])
    assert_array_equal(weights, [[[1.0], [0.0]], [[2.0], [3.0]]])
    assert_array_equal(weights.of_unit(1), [[2.0], [3.0]])
    whole = ContextWeights([[1], [2], [4]], [1, 2])
    beta_bar, deviations = gated.main_effects(whole)
    assert_array_equal(beta_bar, [4.0])
    assert_array_equal(deviations.rows, [[0.0], [-1.0], [1.0]])


@pytest.mark.parametrize(
    "function",
    [
        gated.canonical,
        gated.predictors,
        gated.free_predictors,
        norms.predictor_rms_norm,
        norms.predictor_l2_norm,
        norms.PredictorL2().value,
        norms.PredictorL2().dual,
        norms.PredictorL2().canonical,
        norms.PredictorL2().extreme_point,
        lambda zeta: norms.PredictorL2().prox(zeta, 1.0),
    ],
)
def test_what_depends_on_the_numbers_of_contexts_fills_none_up(zeta, function):
    with pytest.raises(ValueError, match=r"units with equal numbers of contexts, .* 1 to 7"):
        function(ContextWeights.from_array(zeta, LEVELS))
    assert_array_equal(function(ContextWeights.from_array(zeta)), function(zeta))


def test_weights_of_other_numbers_of_contexts(zeta):
    weights = ContextWeights.from_array(zeta, LEVELS)
    even = weights.resized(np.full(4, 7))
    assert_array_equal(even, zeta)
    assert even.rows.shape == (28, N_FEATURES)
    assert_array_equal(even.resized(LEVELS).rows, weights.rows)
    assert weights.resized(LEVELS.copy()) is weights
    others = np.array([1, 9, 0, 3])  # more than the largest has, and fewer
    expected = np.zeros((4, 9, N_FEATURES))
    for h, count in enumerate(np.minimum(others, LEVELS)):
        expected[h, :count] = zeta[h, :count]
    assert_array_equal(weights.resized(others), expected)
    both = ContextWeights.from_array(np.stack([zeta, 2 * zeta]), LEVELS)
    assert_array_equal(both.resized(others), np.stack([expected, 2 * expected]))
    with pytest.raises(ValueError, match="expected n_contexts of 4 units, got 3"):
        weights.resized(others[:3])
    _, uneven, filled = samples()
    assert_array_equal(evened(uneven).n_contexts, filled.n_contexts)
    assert_array_equal(evened(uneven).contexts, uneven.contexts)
    for gates in (filled, np.asarray(uneven)):
        assert evened(gates) is gates


def test_runs_of_even_units():
    assert even_runs(np.array([3, 3, 1, 1, 1, 0, 3])) == [(2, 3), (3, 1), (1, 0), (1, 3)]
    assert even_runs(np.full(5, 2)) == [(5, 2)]


def test_outputs_are_the_first_axis(zeta):
    both = np.stack([zeta, 2 * zeta])
    weights = ContextWeights.from_array(both, LEVELS)
    assert weights.shape == both.shape
    assert len(weights) == 2
    assert weights.rows.flags.c_contiguous
    assert_array_equal(weights, both)
    for own, expected in zip(weights, both, strict=True):
        assert_array_equal(own, expected)
    assert_array_equal(weights.of_unit(2), both[:, 2])


def test_even_weights_are_views(zeta):
    weights = ContextWeights.from_array(zeta)
    assert np.shares_memory(weights.rows, zeta)
    assert np.shares_memory(np.asarray(weights), zeta)
    assert not np.shares_memory(weights.__array__(copy=True), zeta)


@pytest.mark.parametrize("n_contexts", [LEVELS, np.full(4, 7), np.array([0, 7, 0, 2])])
def test_rows_go_to_their_places_and_back(n_contexts):
    rows = np.random.default_rng(0).normal(size=(2, n_contexts.sum(), N_FEATURES))
    zeta = padded(rows, n_contexts)
    assert zeta.shape == (2, 4, 7, N_FEATURES)
    assert_array_equal(flattened(zeta, n_contexts), rows)
    assert np.count_nonzero(zeta) == rows.size


# ----------------------------------------------------------------------------------- predictions


@pytest.mark.parametrize("is_closed", [False, True])
@pytest.mark.parametrize("evaluate", [gated.decision_values, gated.unit_values])
def test_values_are_those_of_the_array_to_the_last_bit(zeta, evaluate, is_closed):
    X, uneven, even = samples(is_closed=is_closed)
    weights = ContextWeights.from_array(zeta, LEVELS)
    expected = evaluate(X, even, zeta)
    for gates, own in ((uneven, weights), (uneven, zeta), (even, weights)):
        assert_array_equal(evaluate(X, gates, own), expected)
    assert_allclose(evaluate(X, np.asarray(uneven), weights), expected, atol=1e-12)
    coef = X[:, 0]
    assert_array_equal(gated.accumulate(X, uneven, coef), gated.accumulate(X, even, coef))


def test_values_of_no_samples(zeta):
    X, uneven, _ = samples()
    assert gated.decision_values(X[:0], uneven[:0], zeta).shape == (0,)


def test_weights_that_do_not_fit_are_refused(zeta):
    X, uneven, _ = samples()
    with pytest.raises(ValueError, match=r"activations with 4 units of 6 contexts, .*4 and 7"):
        gated.decision_values(X, uneven, zeta[:, :6])
    weights = ContextWeights.from_array(np.where(zeta == zeta[0, 0, 0], np.nan, zeta), LEVELS)
    with pytest.raises(ValueError, match="expected finite zeta"):
        gated.decision_values(X, uneven, weights)


# ------------------------------------------------------------------------------------- solutions


@pytest.mark.parametrize("unit_features", [None, np.arange(N_FEATURES) != np.arange(4)[:, None]])
@pytest.mark.parametrize("method", ["interior-point", "working-set", "primal"])
@pytest.mark.parametrize("loss", ["squared_error", "hinge"])
def test_solutions_are_those_of_filled_up_units(loss, method, unit_features):
    X, y, uneven, even = labelled()
    y = np.where(y > 0, 1.0, -1.0) if loss == "hinge" else y
    found, expected = (
        solve(X, y, gates, loss=loss, C=0.5, method=method, unit_features=unit_features)
        for gates in (uneven, even)
    )
    assert found.n_iter == expected.n_iter
    assert_allclose(found.dual_coef, expected.dual_coef, rtol=1e-12, atol=1e-14)
    # but for what rounding may have hidden, of which fewer contexts have less; and short of the
    # optimum the least cost shifts the contexts that there are by something else than all
    rtol = 1e-6 if unit_features is None else 1e-10
    assert_allclose(found.weights.rows, flattened(expected.zeta, LEVELS), rtol=rtol, atol=1e-13)
    assert found.primal_value <= expected.primal_value * (1 + 1e-12)
    values = expected.decision_values(X, even)
    assert_allclose(found.decision_values(X, uneven), values, rtol=1e-10, atol=1e-12)
    assert_allclose(found.unit_norms, norms.unit_norms(found.zeta), rtol=1e-12)
    assert_array_equal(found.decision_values(X, uneven), gated.decision_values(X, even, found.zeta))


@pytest.mark.parametrize("loss", ["squared_error", "hinge", "multinomial"])
@pytest.mark.parametrize("norm", [None, norms.GroupNorm((1.0, 3.0, 0.5, 1.0)), norms.FReLU()])
def test_descent_of_uneven_units(norm, loss):
    """Matrices of as many shapes as there are runs of even units; one unit has no context."""
    X, y, uneven, _ = labelled()
    n_contexts = np.append(LEVELS, 0) if norm is None else LEVELS
    if isinstance(norm, norms.FReLU):
        n_contexts = np.minimum(LEVELS - 1, 1)
    is_there = np.arange(len(n_contexts)) < len(LEVELS)
    contexts = np.full((len(X), len(n_contexts)), -1)
    contexts[:, is_there] = uneven.contexts
    gates = OpenContexts(np.where(contexts < n_contexts, contexts, -1), n_contexts)
    y = np.sign(y) if loss == "hinge" else y
    y = np.digitize(y, [-0.4, 0.4]) if loss == "multinomial" else y
    found, expected = (
        solve(X, y, gates, norm=norm, loss=loss, C=0.5, method=method, tol=1e-5)
        for method in ("factored", "interior-point")
    )
    assert found.duality_gap <= 1e-5
    assert found.weights.rows.shape == expected.weights.rows.shape
    assert_allclose(found.norm, expected.norm, rtol=1e-2)
    assert_allclose(found.primal_value, expected.primal_value, rtol=2e-5)


@pytest.mark.parametrize("size", [1e-8, 3e-8, 1e-7])
def test_small_effects_of_the_cheapest_unit_are_certified(size):
    """The unit of two levels takes the mean, of which its spread is hardly a part."""
    random, levels = np.random.default_rng(0), [2, 3]
    contexts, X = random.integers(0, levels, size=(300, 2)), random.normal(size=(300, 2))
    effects = size * (2 * contexts[:, 0] - 1) + 0.5 * (contexts[:, 1] - 1)
    y = X[:, 0] * (1 + effects)
    found = solve(X, y, OpenContexts(contexts, levels), loss="squared_error", C=1e6, tol=1e-8)
    assert found.status is Status.OPTIMAL
    assert found.duality_gap <= 1e-8


def test_the_norm_of_a_solution_is_that_of_its_rows():
    X, y, uneven, _ = labelled()
    solution = solve(X, y, uneven, norm="gln", loss="squared_error", C=0.5)
    assert_allclose(norms.gln_norm(solution.weights), solution.norm, rtol=1e-12)
    assert_allclose(norms.unit_norms(solution.weights).sum(), solution.norm, rtol=1e-12)


@pytest.mark.parametrize(("loss", "C"), [("hinge", np.inf), ("squared_hinge", 0.5)])
def test_margins_of_uneven_units(loss, C):
    X, y, uneven, even = labelled(40)
    y = np.where(y > 0, 1.0, -1.0)
    found, expected = (solve(X, y, gates, loss=loss, C=C) for gates in (uneven, even))
    assert_allclose(found.norm, expected.norm, rtol=1e-6)
    with pytest.raises(NotSeparableError) as both:
        solve(X[[0, 0]] * [[1.0], [2.0]], [1.0, -1.0], uneven[[0, 0]], C=np.inf)
    assert both.value.residual < 1e-11


def test_features_side_by_side_are_of_the_contexts_that_there_are():
    X, uneven, _ = samples()
    design = make_design(norms.GroupNorm(), X, uneven)
    features = gated_features(design)
    assert features.shape == (len(X), LEVELS.sum() * N_FEATURES)
    assert_allclose(X[:, 0] @ features, design.sums(X[:, 0]).ravel(), atol=1e-12)


@pytest.mark.parametrize("norm", [None, "l2", "predictor_l2", "l1", "nuclear"])
def test_solutions_of_several_outputs_and_other_norms(norm):
    X, y, uneven, even = labelled(40)
    loss = "multinomial" if norm in (None, "nuclear") else "squared_error"
    y = np.digitize(y, [-0.4, 0.4]) if loss == "multinomial" else y
    found, expected = (
        solve(X, y, gates, loss=loss, C=0.5, norm=norm, tol=1e-5) for gates in (uneven, even)
    )
    assert found.zeta.shape == expected.zeta.shape
    assert_array_equal(found.weights.n_contexts, LEVELS)
    assert_allclose(found.norm, expected.norm, rtol=1e-6)
    assert_allclose(found.decision_values(X, uneven), expected.decision_values(X, even), atol=1e-3)


def test_coded_gates_and_kernels_are_those_of_filled_up_units():
    X, uneven, even = samples()
    for name in ("group", "l2", "predictor_l2"):
        left, right = (make_design(norms.get_norm(name), X, gates) for gates in (uneven, even))
        assert_array_equal(left.coded[0], right.coded[0])
        sums, of_even = left.sums(X[:, 0]), right.sums(X[:, 0])
        rows = of_even if len(sums) == len(of_even) else flattened(right.of_units(of_even), LEVELS)
        assert_array_equal(sums, rows)
        assert len(sums) == (4 * 7 if name == "predictor_l2" else LEVELS.sum())
        assert_array_equal(left.coded_sums(sums), right.coded_sums(of_even))
        unit = np.ones(left.n_kernels)
        assert_allclose(
            left.weighted_gram(unit, np.float64), right.weighted_gram(unit, np.float64), atol=1e-12
        )


class OfArrays(norms.GroupNorm):
    """A norm of kernels that says what it is of arrays, and is handed no rows."""

    def unit_norms(self, zeta):
        assert zeta.ndim == 3
        return np.sqrt(np.sum(zeta**2, axis=(1, 2)))

    def dual_norms(self, sums):
        return self.unit_norms(sums)

    def recovered(self, sums, shares):
        assert sums.ndim == 3
        return sums * shares[:, None, None]

    def canonical(self, zeta):
        assert zeta.ndim == 3
        return zeta


@pytest.mark.parametrize("method", ["interior-point", "working-set", "primal", "factored"])
def test_a_norm_of_arrays_is_given_even_units(method):
    X, y, uneven, _ = labelled()
    assert norms.GroupNorm.takes_rows
    assert not OfArrays.takes_rows
    found, expected = (
        solve(X, y, uneven, norm=norm, loss="squared_error", C=0.5, method=method, tol=1e-8)
        for norm in (OfArrays(), norms.GroupNorm())
    )
    assert found.weights.rows.shape == expected.weights.rows.shape == (LEVELS.sum(), N_FEATURES)
    assert_allclose(found.norm, expected.norm, rtol=1e-7)
    assert_allclose(found.weights.rows, expected.weights.rows, atol=1e-3)


def test_a_solution_that_kept_the_array_is_read():
    X, y, uneven, _ = labelled(40)
    for loss, targets in (("squared_error", y), ("multinomial", np.digitize(y, [-0.4, 0.4]))):
        solution = solve(X, targets, uneven, loss=loss, C=0.5, tol=1e-4)
        before = {name: value for name, value in vars(solution).items() if name != "weights"}
        again = copy.copy(solution)
        again.__dict__.clear()
        again.__setstate__(before | {"zeta": np.array(solution.zeta)})
        assert_array_equal(again.zeta, solution.zeta)
        assert_array_equal(again.decision_values(X, uneven), solution.decision_values(X, uneven))
        again = pickle.loads(pickle.dumps(solution))
        assert_array_equal(again.zeta, solution.zeta)


# ------------------------------------------------------------------------------------ estimators


@pytest.fixture(scope="module")
def table():
    """60 samples of 50 columns of 3 levels, one of 5,000 and two numbers; gates, and targets."""
    rng = np.random.default_rng(3)
    codes = np.column_stack([rng.integers(3, size=(5_000, 50)), np.arange(5_000)])
    gates = JoinedGates([OpenGates(), FrozenEstimator(CategoryGates().fit(codes))])
    numbers = rng.normal(size=(60, 2))
    return np.hstack([codes[:60], numbers]), numbers[:, 0] * (codes[:60, 0] - 1.0), gates


SHAPE = (52, 5_000, 3)  # units, contexts and features with the constant one
PADDED = 8 * np.prod(SHAPE) / 1e6  # megabytes


def megabytes(work):
    """Most memory that a call takes."""
    work()  # imports, and what else is done once
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def test_a_fit_is_as_large_as_its_levels(table):
    X, y, gates = table
    model = GLNNormRegressor(gates=gates, segment=slice(51), tol=1e-3).fit(X, y)
    assert model.zeta_.shape == (1, *SHAPE)
    assert model.context_intercepts_.shape == (1, *SHAPE[:2])
    assert len(pickle.dumps(model)) / 1e6 < PADDED / 20
    for work in (
        lambda: pickle.loads(pickle.dumps(model)),
        lambda: copy.deepcopy(model),
        lambda: model.predict(X),
        lambda: model.effects_,
        lambda: model.unit_importances_,
    ):
        assert megabytes(work) < PADDED / 2


@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
@pytest.mark.parametrize(
    ("method", "norm"),
    [
        *itertools.product(
            ["interior-point", "working-set", "primal", "factored"],
            [None, norms.GroupNorm((1.0, 2.0) * 100)],
        ),
        ("interior-point", "l2"),
        ("working-set", "l2"),
    ],
)
def test_a_solve_holds_no_array_as_wide_as_the_largest_unit(method, norm, loss):
    """199 units of 3 contexts and one of 40,000, of which a sample each opens one."""
    rng = np.random.default_rng(0)
    levels = np.append(np.full(199, 3), 40_000)
    X = np.column_stack([rng.normal(size=60), np.ones(60)])
    contexts = np.column_stack([rng.integers(3, size=(60, 199)), np.arange(60)])
    y = X[:, 0] * (contexts[:, 0] - 1.0)
    y = y if loss == "squared_error" else np.where(y > 0, 1.0, -1.0)
    gates = OpenContexts(contexts, levels)
    one_array = 8 * len(levels) * levels.max() * X.shape[1] / 1e6  # 128 MB

    def work():
        return solve(X, y, gates, norm=norm, loss=loss, C=0.1, method=method, tol=1e-3)

    assert megabytes(work) < one_array / 2
    assert work().duality_gap <= 1e-3


def test_a_path_is_as_large_as_its_levels(table):
    X, y, gates = table
    gates = gates.fit(X[:, :51]).open_contexts(X[:, :51])
    path = gln_norm_path(X[:, 51:], y, gates, [0.1, 1.0, 10.0], loss="squared_error")
    assert path.solutions[0].zeta.shape == (52, 5_000, 2)
    assert len(pickle.dumps(path)) / 1e6 < PADDED / 10


@pytest.mark.parametrize("kind", [GLNNormRegressor, GLNNormClassifier, FReLUClassifier])
def test_estimators_that_kept_the_arrays_are_read(table, kind):
    X, y, gates = table
    y = y if kind is GLNNormRegressor else np.digitize(y, [-0.5, 0.5])
    model = kind(gates=gates, segment=slice(51), tol=1e-2, warm_start=True).fit(X, y)
    state = dict(model.__getstate__())
    del state["_zeta_"]
    state["zeta_"] = model.zeta_.copy()
    state["context_intercepts_"] = model.context_intercepts_
    state["_previous"] = replace(state["_previous"], zeta=state["zeta_"])
    again = kind()
    again.__setstate__(state)
    check_is_fitted(again)
    assert_array_equal(again.zeta_, model.zeta_)
    assert_array_equal(again.context_intercepts_, model.context_intercepts_)
    assert_array_equal(again._outputs(X), model._outputs(X))
    for own, expected in zip(again.effects_.deviations, model.effects_.deviations, strict=True):
        assert_array_equal(own, expected)
    again.fit(X, y)  # from where the last ended
    assert again.n_iter_.max() <= model.n_iter_.max()
    assert again._zeta_.rows.shape[1] == 1 + 150 + 5_000


class AsArray(CategoryGates):
    """The same gates, which tell no open contexts."""

    def transform(self, X):
        return super().transform(X)


def test_global_contexts_are_those_of_the_array():
    rng = np.random.default_rng(0)
    codes, numbers = rng.integers([2, 40], size=(80, 2)), rng.normal(size=(80, 2))
    X, y = np.hstack([codes, numbers]), numbers[:, 0] * (codes[:, 0] - 0.5) > 0
    new = X + [0, 60, 0, 0] * (rng.random(80) < 0.2)[:, None]
    found, expected = (
        ShallowGLNSVC(gates=kind(), segment=[0, 1], C=1.0).fit(X, y)
        for kind in (CategoryGates, AsArray)
    )
    assert_array_equal(found.contexts_, expected.contexts_)
    assert_array_equal(found.zeta_, expected.zeta_)
    assert_array_equal(found.decision_function(new), expected.decision_function(new))


def test_global_contexts_of_new_samples_take_no_array():
    codes = np.column_stack([np.arange(1_000) % 2, np.arange(1_000)])
    gates = FrozenEstimator(CategoryGates().fit(codes))
    X = np.column_stack([codes, np.sin(codes.sum(axis=1))])
    model = ShallowGLNSVC(gates=gates, segment=[0, 1], tol=0.1).fit(X[:30], X[:30, 2] > 0)
    assert megabytes(lambda: model.predict(np.tile(X, (4, 1)))) < 4_000 * 2 * 1_000 / 1e6


def test_an_estimator_that_is_not_fitted_has_no_weights():
    model = GLNNormRegressor()
    for name in ("zeta_", "context_intercepts_"):
        assert not hasattr(model, name)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)


class TwoColumns(BaseEstimator):
    """Gates without names, of two and of five contexts."""

    def fit(self, X, y=None, sample_weight=None):
        self.is_fitted_ = True
        return self

    def open_contexts(self, X):
        return OpenContexts(np.asarray(X).astype(int), [2, 5])

    def transform(self, X):
        return np.asarray(self.open_contexts(X))


@pytest.mark.parametrize(
    "gates",
    [
        TwoColumns(),
        JoinedGates([TwoColumns()]),
        SelectedGates(TwoColumns(), [0, 1]),
        JoinedGates([SelectedGates(TwoColumns(), [0, 1])]),
    ],
)
def test_contexts_without_names_are_as_many_as_there_are(gates):
    random = np.random.default_rng(0)
    X = np.column_stack([random.integers(0, [2, 5], size=(100, 2)), random.normal(size=(100, 2))])
    y = X[:, 2] * (X[:, 1] == 3) + X[:, 3]
    model = GLNNormRegressor(gates=gates, segment=[0, 1]).fit(X, y)
    assert [len(names) for names in model.effects_.context_names] == [2, 5]
    assert len(model.effects_.to_frame(all_units=True)) == 1 + 2 + 5
    chosen = UnitSelectionCV(GLNNormRegressor(gates=gates, segment=[0, 1]), Cs=3, cv=2).fit(X, y)
    assert set(chosen.selected_units_) <= {0, 1}


def test_a_unit_without_contexts_beside_many_levels():
    random = np.random.default_rng(0)
    contexts = np.column_stack([np.full(2000, -1), random.integers(0, 50, 2000)])
    X, y = random.normal(size=(2000, 2)), random.normal(size=2000)
    found = [
        solve(X, y, OpenContexts(own, counts), loss="squared_error", method="primal")
        for own, counts in ((contexts, [0, 50]), (contexts[:, 1:], [50]))
    ]
    assert_allclose(found[0].norm, found[1].norm, rtol=1e-4)


@pytest.mark.parametrize("levels", [[2, 2], [2, 5]])
def test_arrays_of_weights_are_not_to_be_written_to(levels):
    random = np.random.default_rng(0)
    codes, X = random.integers(0, levels, size=(60, 2)), random.normal(size=(60, 2))
    y = X[:, 0] * codes[:, 0] + X[:, 1]
    table = np.column_stack([codes, X])
    model = GLNNormRegressor(gates=CategoryGates(), segment=[0, 1]).fit(table, y)
    with pytest.raises(ValueError, match="read-only"):
        model.zeta_[...] = 0
    before = model.context_intercepts_
    model.set_params(intercept_scaling=100.0)
    assert_array_equal(model.context_intercepts_, before)
    assert np.array(model.zeta_).flags.writeable


def test_rows_are_compared_and_subtracted_as_the_array_is():
    zeta = np.arange(12.0).reshape(2, 3, 2)
    weights = ContextWeights.from_array(zeta)
    assert np.all(weights == zeta)
    assert np.all(zeta == weights)
    assert not np.any(weights != zeta)
    assert_array_equal(np.asarray(1 - weights), 1 - zeta)
    assert_array_equal(np.asarray(-weights), -zeta)
    assert_array_equal(np.abs(weights), zeta)
