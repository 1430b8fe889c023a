"""Systems through the features that eliminate the levels of one unit: the dense ones, faster."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix

from gnorm import NotSeparableError, gln_norm_path, max_margin, solve
from gnorm.gating import OpenContexts, context_counts, flattened, open_context
from gnorm.losses import SquaredError, get_loss
from gnorm.norms import GLN, GroupNorm, PredictorL2
from gnorm.solvers.accurate import accurate_outputs
from gnorm.solvers.certify import _rounding_of_outputs
from gnorm.solvers.design import group, make_design
from gnorm.solvers.design.coded import CodedFeatures
from gnorm.solvers.design.feature_gram import Prior
from gnorm.solvers.interior.features import FeatureSystem
from gnorm.solvers.methods import METHODS, choose
from gnorm.solvers.problem import Problem
from gnorm.solvers.run import Run
from tests.solvers.products import check_products

N_LEVELS = 40
MASK = np.array([[1, 1, 0, 1], [0, 0, 1, 1], [1, 0, 0, 1]], dtype=bool)


def data(n_samples=160, n_levels=N_LEVELS, *, is_closed=False, seed=0):
    """Inputs with a constant, levels of three units, the second with many, targets and labels.

    The units have a context more, which is never open.
    """
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(n_samples, 3)), np.ones(n_samples)])
    contexts = rng.integers([2, n_levels, 3], size=(n_samples, 3))
    if is_closed:
        contexts[rng.random(contexts.shape) < 0.1] = -1
    contexts[:n_levels, 1] = np.arange(n_levels)
    y = X[:, 0] * contexts[:, 0] + rng.normal(size=n_levels)[contexts[:, 1]] * X[:, 1]
    y += 0.5 * rng.normal(size=n_samples)
    return X, OpenContexts(contexts, n_levels + 1), y, np.where(y > np.median(y), 1.0, -1.0)


DESIGNS = {
    "gln": (GLN(), {}, None),
    "weights": (GLN(unit_weights=(1.0, 0.5, 2.0)), {}, None),
    "closed": (GroupNorm(unit_weights=(1.0, 0.5, 2.0)), {"is_closed": True}, None),
    "own features": (GroupNorm(unit_weights=(1.0, 0.5, 2.0)), {}, MASK),
    "own features, closed": (GroupNorm(), {"is_closed": True}, MASK),
}
LOSSES = ["squared_error", "absolute_error", "huber", "hinge", "squared_hinge", "log_loss"]
OF_TARGETS = LOSSES[:3]


def of_columns(function, size):
    return np.stack([function(unit) for unit in np.eye(size)], axis=1)


@pytest.fixture
def dense(monkeypatch):
    """A function that does what it is given with one dense system."""

    def run(function):
        with monkeypatch.context() as patched:
            patched.setattr(group, "_GAIN", np.inf)
            return function()

    return run


# -- the features and the factor -------------------------------------------------------------------


@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
@pytest.mark.parametrize("as_array", [False, True])
@pytest.mark.parametrize("name", DESIGNS)
def test_features_are_those_of_the_units(name, as_array, container):
    norm, options, mask = DESIGNS[name]
    X, gates, *_ = data(**options)
    gates = np.asarray(gates) if as_array else gates
    design, rng = make_design(norm, container(X), gates, mask), np.random.default_rng(0)
    coded = design.coded_features
    assert design.system_size.n_levels == N_LEVELS
    most = design.system_size.n_others + design.system_size.n_eliminated
    assert coded.size == most - (name == "own features")  # a feature that no other unit sees
    coef, mu = rng.normal(size=len(X)), rng.random(3)
    weights = rng.random(len(X)) * (rng.random(len(X)) < 0.8)
    explicit, V = of_columns(coded.values, coded.size), coded.sums(coef)
    check_products(design, explicit, coef, weights, mu)
    gram = coded.gram(weights).toarray()
    assert_allclose(gram, explicit.T * weights @ explicit, atol=1e-11)
    assert_allclose(coded.gram(weights) @ V, gram @ V, atol=1e-9)


@pytest.mark.parametrize("length", [None, 1.0, 1e4])
@pytest.mark.parametrize("name", DESIGNS)
def test_a_factor_solves_with_its_matrix(name, length):
    norm, options, mask = DESIGNS[name]
    X, gates, *_ = data(**options)
    coded, rng = make_design(norm, X, gates, mask).coded_features, np.random.default_rng(0)
    gram, root = coded.gram(rng.random(len(X))), coded.root(rng.random(3))
    R = of_columns(root.times, coded.size)
    matrix = 0.3 * R @ gram.toarray() @ R.T
    assert_allclose(gram.trace(root), np.trace(matrix) / 0.3)
    prior = None
    if length is not None:
        prior = Prior(length * rng.normal(size=(coded.size, 3)))
        matrix += of_columns(prior.times, coded.size)
    else:
        matrix += np.eye(coded.size)
    x = rng.normal(size=coded.size)
    found = gram.factorised(root, 0.3, prior).solve(matrix @ x)
    assert_allclose(found, x, atol=1e-13 * np.linalg.cond(matrix))


def test_a_matrix_that_is_not_positive_definite_has_no_factor():
    X, gates, *_ = data()
    coded = make_design(GLN(), X, gates).coded_features
    root = coded.root(np.ones(3))
    assert coded.gram(np.ones(len(X))).factorised(root, -1.0) is None
    assert coded.gram(np.zeros(len(X))).factorised(root, -1.0) is not None


# -- the Newton system -----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", DESIGNS)
def test_newton_directions_are_those_of_the_dense_system(name, loss, dense):
    norm, options, mask = DESIGNS[name]
    X, gates, targets, labels = data(**options)
    y = targets if loss in OF_TARGETS else labels

    def first_directions():
        design = make_design(norm, X, gates, mask)
        system = FeatureSystem(Problem(design, get_loss(loss), y, np.full(len(y), 0.3)))
        state = system.start()
        assert system.factor(state)
        targets = tuple(-product for product in state.products())
        predictor = system.direction(targets)
        return type(design.coded_features), predictor, system.direction(targets, predictor)

    kind, *found = first_directions()
    other, *expected = dense(first_directions)
    assert kind is not other is CodedFeatures
    for mine, its in zip(found, expected, strict=True):
        for each in ("x", "p", "v", "z", "u", "mu", "s", "outputs"):
            want = getattr(its, each)
            scale = np.max(np.abs(want), initial=0.0)
            assert_allclose(getattr(mine, each), want, atol=1e-6 * scale, rtol=0)
        assert_allclose(mine.t, its.t, rtol=1e-6)


# -- solutions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", sorted({*LOSSES} - {"squared_hinge"}))  # of that CLARABEL gives up
@pytest.mark.parametrize("name", DESIGNS)
def test_the_optimum_is_that_of_clarabel(name, loss):
    norm, options, mask = DESIGNS[name]
    X, gates, targets, labels = data(**options)
    y = targets if loss in OF_TARGETS else labels
    given = {"norm": norm, "loss": loss, "C": 0.3, "unit_features": mask, "tol": 1e-7}
    found = solve(X, y, gates, method="primal", **given)
    other = solve(X, y, np.asarray(gates), method="clarabel", **given)
    assert found.duality_gap <= 1e-7
    assert_allclose(found.primal_value, other.primal_value, rtol=1e-6)
    assert found.dual_value <= other.primal_value * (1 + 1e-9)


def test_one_unit_alone():
    X, gates, y, _ = data()
    gates = gates[:, [1]]
    design = make_design(GLN(), X, gates)
    assert design.system_size.n_levels == N_LEVELS
    coef = np.random.default_rng(0).normal(size=len(X))
    assert_allclose(
        design.coded_features.of(design.sums(coef)), design.coded_features.sums(coef), atol=1e-12
    )
    options = {"loss": "squared_error", "C": 0.3, "tol": 1e-9}
    found = solve(X, y, gates, method="primal", **options)
    other = solve(X, y, gates, method="interior-point", **options)
    assert_allclose(found.primal_value, other.primal_value, rtol=1e-8)
    assert_allclose(found.zeta, other.zeta, atol=1e-4)


def test_one_unit_alone_that_is_closed_at_times_is_not_taken_apart():
    X, gates, *_ = data(is_closed=True)
    contexts = gates.contexts[:, [1]]
    contexts[:3] = -1
    design = make_design(GroupNorm(), X, OpenContexts(contexts, N_LEVELS))
    assert design.system_size.n_levels == 0


@pytest.mark.parametrize("n_units", [1, 3])
def test_samples_that_contradict_each_other_are_proved_so(n_units):
    X, gates, _, y = data(n_samples=400)
    contexts = np.roll(gates.contexts, -1, axis=1)[:, :n_units]
    X[1], contexts[1], y[1] = X[0], contexts[0], -y[0]
    with pytest.raises(NotSeparableError):
        max_margin(X, y, OpenContexts(contexts, N_LEVELS), method="primal")


@pytest.mark.parametrize("C", [1.0, np.inf])
def test_hard_margins(C):
    X, gates, _, _ = data(seed=1)
    y = np.sign(X[:, 0] + 0.1)
    found, other = (
        solve(X, y, gates, loss="hinge", C=C, method=method) for method in ("primal", "working-set")
    )
    assert_allclose(found.primal_value, other.primal_value, rtol=2e-6)


def test_a_path_starts_near_the_solution_before(dense):
    X, gates, y, _ = data()
    options = {"loss": "squared_error", "method": "primal"}

    def path():
        return gln_norm_path(X, y, gates, [0.03, 0.1, 0.3], **options).solutions

    for found, expected in zip(path(), dense(path), strict=True):
        assert_allclose(found.primal_value, expected.primal_value, rtol=2e-6)
        assert found.n_iter == expected.n_iter


@pytest.mark.parametrize("as_array", [False, True])
@pytest.mark.parametrize("name", ["gln", "closed", "several"])
def test_the_error_of_outputs_is_bounded_by_the_gates_that_are_open(name, as_array):
    """Weights that nearly cancel between units: what is left is rounding."""
    X, gates, y, _ = data(is_closed=name == "closed")
    gates = np.asarray(gates) if as_array or name == "several" else gates
    if name == "several":
        gates = gates | np.roll(gates, 1, axis=2)
    rng = np.random.default_rng(0)
    shifts = 1e8 * rng.normal(size=(3, 1, 4))
    zeta = rng.normal(size=(*gates.shape[1:], 4)) + shifts - shifts.mean(axis=0)
    zeta = flattened(zeta, context_counts(gates))
    design = make_design(GroupNorm(), X, gates)
    assert design.n_terms == (design.n_gates if name == "several" else 3)
    problem = Problem(design, SquaredError(), y, np.ones(len(y)))
    error = _rounding_of_outputs(problem, zeta, design.n_features + design.n_terms + 4)
    outputs, left = accurate_outputs(design, zeta)
    missed = np.abs(design.decision_values(zeta) - outputs)
    assert np.all(missed <= error + left)
    assert np.max(missed) > 0


# -- the choice ------------------------------------------------------------------------------------


def test_levels_are_eliminated_where_that_is_cheaper():
    X, gates, *_ = data()
    assert make_design(GLN(), X, gates).system_size.n_levels == N_LEVELS
    even = OpenContexts(gates.contexts % 3, 3)
    assert make_design(GLN(), X, even).system_size.n_levels == 0
    assert make_design(PredictorL2(), X, gates).system_size.n_levels == 0


def test_contexts_that_overlap_stay_together():
    X, gates, *_ = data()
    several = np.array(gates)
    several[0, 1, :2] = True
    assert open_context(several, 1) is None
    assert make_design(GroupNorm(), X, several).system_size.n_levels == 0
    assert make_design(GroupNorm(), X, np.asarray(gates)).system_size.n_levels == N_LEVELS


def test_open_context_of_a_unit():
    _, gates, *_ = data(is_closed=True)
    for h in range(3):
        for each in (gates, np.asarray(gates)):
            assert_allclose(open_context(each, h), gates.contexts[:, h])


def many_levels(n_samples=3000, n_levels=1500):
    X, gates, y, _ = data(n_samples, n_levels)
    return Problem(make_design(GLN(), X, gates), SquaredError(), y, np.ones(len(y)))


def test_auto_goes_through_the_features_of_many_levels():
    problem = many_levels()
    assert problem.design.n_coded_features > len(problem.y)
    found = choose(problem, np.inf)
    assert found.method.name == "primal"
    assert "gated features, in levels as fast as" in found.reason


def test_memory_stays_within_the_estimate():
    problem, need = many_levels(), METHODS["primal"].bytes_needed
    METHODS["primal"].solve(many_levels(400, 100), Run(1e-2, 2))  # what is loaded once
    tracemalloc.start()
    try:
        METHODS["primal"].solve(problem, Run(1e-3, 5))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.3 * need(problem) <= peak <= need(problem)
    assert peak < 8 * problem.design.n_coded_features**2 / 10
