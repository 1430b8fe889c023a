"""The path over C: its saturated end, its solutions, and warm starts that change nothing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from gnorm import (
    HyperplaneGates,
    NotSeparableError,
    ReLUGates,
    gated,
    gln_norm_path,
    max_margin,
    norms,
    solve,
)
from gnorm.losses import AbsoluteError, Hinge, Huber, LogLoss, SquaredError, SquaredHinge
from gnorm.solvers.active_set import rounds
from gnorm.solvers.active_set.rounds import solve_by_active_set, solve_near
from gnorm.solvers.active_set.sets import PinnedSums, Sets
from gnorm.solvers.active_set.start import Near
from gnorm.solvers.api import prepare, share_gram
from gnorm.solvers.attempts import solve_certified
from gnorm.solvers.certify import relative_gap
from gnorm.solvers.design import get_norm, make_design
from gnorm.solvers.interior.follow import CentralPath
from gnorm.solvers.methods import METHODS
from gnorm.solvers.path import near_to, saturation, solve_path
from gnorm.solvers.problem import Problem
from gnorm.solvers.run import Run

must_converge = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module", autouse=True)
def one_blas_thread():
    with threadpool_limits(1, user_api="blas"):
        yield


def labelled(n_samples, n_features, n_units=6, gates=HyperplaneGates, seed=0):
    """Signed data with a constant feature, labels that are not linear in them, and gates."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(n_samples, n_features)), np.ones(n_samples)])
    score = np.abs(X[:, 0]) + X[:, 1] + 0.3 * rng.normal(size=n_samples)
    y = np.where(score > np.median(score), 1, -1)
    return X, y, gates(n_units, random_state=seed).fit_transform(X)


def problem_at(C, X, y, activations, weight=None, norm=None, loss=None):
    weight = np.ones(len(y)) if weight is None else weight
    design = make_design(get_norm(norm, activations), X, activations)
    return Problem(design, loss or Hinge(), y.astype(float), C * weight)


# ---------------------------------------------------------------------------- the saturated end


@given(seed=st.integers(0, 10**6), n_units=st.integers(1, 6), is_on_off=st.booleans())
def test_saturation_is_where_the_solution_leaves_its_bounds(seed, n_units, is_on_off):
    X, y, activations = labelled(14, 3, n_units, ReLUGates if is_on_off else HyperplaneGates, seed)
    weight = np.random.default_rng(seed).uniform(0.2, 3.0, 14)
    least = saturation(problem_at(1.0, X, y, activations, weight)).C
    options = {"sample_weight": weight, "tol": 1e-9}
    below = max_margin(X, y, activations, 0.99 * least, **options)
    above = max_margin(X, y, activations, 1.01 * least, **options)
    assert_allclose(below.dual_coef, 0.99 * least * weight, rtol=1e-4)
    assert np.min(above.dual_coef / (1.01 * least * weight)) < 1 - 1e-4
    assert np.max(below_margins(X, y, activations, below)) <= 1 + 1e-5


def below_margins(X, y, activations, solution):
    return y * solution.decision_values(X, activations)


@must_converge
def test_up_to_saturation_the_predictor_is_C_times_a_fixed_one():
    X, y, activations = labelled(40, 4)
    least = saturation(problem_at(1.0, X, y, activations)).C
    path = gln_norm_path(X, y, activations, [0.1 * least, 0.5 * least, least], tol=1e-9)
    assert path.least_C == least
    for C, solution in zip(path.Cs, path.solutions, strict=True):
        assert solution.method == "closed form"
        assert abs(solution.duality_gap) < 1e-12
        assert_allclose(solution.zeta / C, path.solutions[0].zeta / path.Cs[0], atol=1e-9)
        cold = max_margin(X, y, activations, C, tol=1e-9)
        assert_allclose(solution.primal_value, cold.primal_value, rtol=1e-8)
    # one margin has reached 1, and none is above
    margins = below_margins(X, y, activations, path.solutions[-1])
    assert margins.max() == pytest.approx(1)


@must_converge
@pytest.mark.parametrize("seed", range(3))
def test_saturation_of_units_that_tie_is_a_linear_program(seed):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(8, 2))
    X = np.column_stack([np.vstack([half, half[:, ::-1]]), np.ones(16)])
    y = np.tile(np.where(np.arange(8) < 4, 1, -1), 2)
    activations = (X[:, :2] >= 0)[:, :, None] == np.array([False, True])
    # exchanging the features exchanges the units: they are equally long, and the best is half each
    end = saturation(problem_at(1.0, X, y, activations))
    problem = problem_at(1.0, X, y, activations)
    products = problem.y[:, None] * problem.design.exact_products(problem.y * problem.C)
    assert pytest.approx(np.max(products.mean(axis=1))) == 1 / end.C
    assert 1.001 / np.min(np.max(products, axis=0)) < end.C
    below = max_margin(X, y, activations, 0.99 * end.C, tol=1e-9)
    above = max_margin(X, y, activations, 1.01 * end.C, tol=1e-9)
    assert_allclose(below.dual_coef, 0.99 * end.C, rtol=1e-4)
    assert above.dual_coef.min() < 1.01 * end.C * (1 - 1e-4)


def test_without_a_difference_between_the_classes_there_is_no_end():
    X, _, activations = labelled(10, 3)
    twice, gates = np.vstack([X, X]), np.concatenate([activations, activations])
    y = np.repeat([1, -1], 10)
    assert np.inf == saturation(problem_at(1.0, twice, y, gates)).C
    path = gln_norm_path(twice, y, gates, [0.1, 10.0])
    assert_allclose([solution.norm for solution in path.solutions], 0, atol=1e-6)
    assert path.least_C == np.inf
    with pytest.raises(ValueError, match="targets do not coincide, got a best predictor of zero"):
        gln_norm_path(twice, y, gates)


# -------------------------------------------------------------------------------------- the path


@must_converge
@pytest.mark.parametrize("gates", [HyperplaneGates, ReLUGates])
@pytest.mark.parametrize(
    ("n_samples", "method"), [(60, "auto"), (600, "auto"), (600, "working-set")]
)
@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
def test_path_is_the_cold_solves(gates, n_samples, method, storage):
    X, y, activations = labelled(n_samples, 40, 4, gates)
    weight = np.random.default_rng(1).uniform(0.2, 2.0, n_samples)
    weight[::9] = 0
    options = {"tol": 1e-6, "sample_weight": weight, "method": method}
    path = gln_norm_path(storage(X), y, activations, n_Cs=8, **options)
    assert (np.diff(path.Cs) > 0).all()
    for C, solution in zip(path.Cs, path.solutions, strict=True):
        cold = max_margin(X, y, activations, C, **options)
        assert solution.duality_gap <= 1e-6
        assert_allclose(solution.primal_value, cold.primal_value, rtol=2e-6)
        assert_allclose(solution.norm, cold.norm, rtol=1e-3)
        assert np.isinf(C) or (solution.dual_coef <= C * weight).all()
        assert_array_equal(solution.support, np.flatnonzero(solution.dual_coef))


@must_converge
def test_default_grid_ends_at_the_hard_margin():
    X, y, activations = labelled(60, 30)
    path = gln_norm_path(X, y, activations, n_Cs=6, tol=1e-8)
    assert path.Cs[0] == path.least_C
    assert path.Cs[-1] == np.inf
    hard = max_margin(X, y, activations, tol=1e-8)
    assert path.solutions[-1].norm == pytest.approx(hard.norm, rel=1e-7)
    # the next C on the grid would be that of the largest coefficient, which is bounded no more
    ratio = path.Cs[2] / path.Cs[1]
    assert path.Cs[4] * ratio == pytest.approx(hard.dual_coef.max(), rel=1e-3)
    assert np.any(path.solutions[4].dual_coef >= path.Cs[4] * (1 - 1e-9))


def test_default_grid_without_anything_between_its_ends():
    path = gln_norm_path([[1.0], [-1.0]], [1, -1], np.ones((2, 1, 1), dtype=bool), n_Cs=5)
    assert path.Cs.tolist() == [0.5, np.inf]


def test_a_grid_has_a_whole_number_of_places():
    with pytest.raises(TypeError, match="n_Cs must be an instance of int, not float"):
        gln_norm_path(*labelled(20, 3), n_Cs=2.5)


@must_converge
def test_inseparable_data_have_a_default_grid_without_the_hard_margin():
    X, y, activations = labelled(80, 2, 2)
    path = gln_norm_path(X, y, activations, n_Cs=4, eps=1e-2)
    assert_allclose(path.Cs, path.least_C * np.geomspace(1, 100, 4))
    with pytest.raises(NotSeparableError) as info:
        gln_norm_path(X, y, activations, [0.1, np.inf])
    assert info.value.certificate.shape == (80,)


@must_converge
def test_beyond_the_hard_margin_nothing_is_solved():
    X, y, activations = labelled(60, 30)
    largest = max_margin(X, y, activations, tol=1e-8).dual_coef.max()
    path = gln_norm_path(X, y, activations, [2 * largest, 10 * largest, np.inf], tol=1e-6)
    assert path.solutions[2].n_iter > 0
    assert [solution.n_iter for solution in path.solutions[:2]] == [0, 0]
    for solution in path.solutions:
        assert solution.duality_gap <= 1e-6
        assert (y * solution.decision_values(X, activations)).min() >= 1 - 1e-6


def test_Cs_are_sorted_and_printed(capfd):
    X, y, activations = labelled(30, 3)
    path = gln_norm_path(X, y, activations, [1.0, 0.1, 1.0], verbose=1)
    assert path.Cs.tolist() == [0.1, 1.0]
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["1.000e+00", "1.000e-01"]


def test_unfinished_solves_warn_and_state_their_gap():
    X, y, activations = labelled(60, 12)
    with pytest.warns(ConvergenceWarning, match="above tol=1.0e-09"):
        path = gln_norm_path(X, y, activations, [0.5], tol=1e-9, max_iter=2)
    assert path.solutions[0].duality_gap > 1e-9


def test_starts_that_all_lead_nowhere_end_in_cold_solves():
    X, y, activations = labelled(60, 12)
    with pytest.warns(ConvergenceWarning, match="above tol=1.0e-09"):
        path = gln_norm_path(X, y, activations, [0.1, 0.5, 2.0], tol=1e-9, max_iter=2)
    for C, solution in zip(path.Cs, path.solutions, strict=True):
        gap = relative_gap(*values_at(C, X, y, activations, solution))
        assert_allclose(solution.duality_gap, gap, atol=1e-9)


def values_at(C, X, y, activations, solution):
    """Primal and dual value by their definitions."""
    losses = np.maximum(0, 1 - y * solution.decision_values(X, activations))
    lengths = norms.unit_norms(gated.accumulate(X, activations, y * solution.dual_coef))
    dual = solution.dual_coef.sum() - 0.5 * lengths.max() ** 2
    return 0.5 * norms.representation_cost(solution.zeta) ** 2 + C * losses.sum(), dual


def interrupt_solve(monkeypatch, at):
    """Interrupt the n-th time that the central path is followed."""
    follow, left = CentralPath.follow, iter(range(at - 1, -1, -1))

    def interrupted(path, *arguments, **options):
        if next(left) == 0:
            raise KeyboardInterrupt
        return follow(path, *arguments, **options)

    monkeypatch.setattr(CentralPath, "follow", interrupted)


def test_an_interrupted_path_ends_with_what_there_is(monkeypatch):
    X, y, activations = labelled(60, 12)
    Cs = [0.05, 0.1, 0.5, 2.0]
    whole = gln_norm_path(X, y, activations, Cs)
    assert [solution.method == "closed form" for solution in whole.solutions] == [False] * 4
    interrupt_solve(monkeypatch, at=4)
    with pytest.warns(ConvergenceWarning, match="interrupted after [123] of 4 Cs"):
        path = gln_norm_path(X, y, activations, Cs)
    assert 0 < len(path.solutions) == len(path.Cs) < 4
    assert path.Cs[-1] == 2.0
    for solution, expected in zip(path.solutions[:0:-1], whole.solutions[::-1], strict=False):
        assert solution.primal_value == pytest.approx(expected.primal_value, rel=1e-3)


@must_converge
@pytest.mark.parametrize("method", ["interior-point", "working-set", "primal"])
def test_methods_agree(method):
    X, y, activations = labelled(100, 4)
    values = [
        [s.primal_value for s in gln_norm_path(X, y, activations, [0.1, 1.0], **options).solutions]
        for options in ({"tol": 1e-7}, {"tol": 1e-7, "method": method})
    ]
    assert_allclose(*values, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"Cs": []}, r"expected Cs of shape \(n_Cs,\), not empty, got shape \(0,\)"),
        ({"Cs": 1.0}, r"expected Cs of shape \(n_Cs,\), not empty, got shape \(\)"),
        ({"Cs": [1.0, 0.0]}, "expected Cs > 0, got 0.0"),
        ({"Cs": [np.nan]}, "expected Cs > 0, got nan"),
        ({"n_Cs": 1}, "n_Cs == 1, must be >= 2"),
        ({"eps": 1.0}, "expected eps between 0 and 1, got 1.0"),
        ({"tol": -1.0}, "expected a finite tol > 0, got -1.0"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        gln_norm_path(*labelled(20, 3), **arguments)


# ------------------------------------------------------------------------------------ warm starts


@must_converge
@pytest.mark.parametrize("norm", [None, "predictor_l2"])
@pytest.mark.parametrize("C", [0.02, 0.3, np.inf])
@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_near_solution_changes_nothing_but_the_time(norm, C, factor):
    X, y, activations = labelled(500, 60, 10)
    before = problem_at(C, X, y, activations, norm=norm)
    problem = Problem(before.design, before.loss, before.y, factor * before.C)
    solution, _, _ = solve_certified(before, tol=1e-5)
    cold, _, _ = solve_certified(problem, tol=1e-8)
    warmed = solve_near(problem, Run(1e-8, 100), near_to(before, solution))  # no way back
    assert_allclose(warmed.primal_value, cold.primal_value, rtol=2e-8)
    assert warmed.gap <= 1e-8


@must_converge
@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("unit_features", [None, np.eye(3, dtype=bool)[[0, 1, 2, 0, 1]]])
def test_a_near_solution_through_the_features(factor, unit_features):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 3)), rng.normal(size=600)
    activations = HyperplaneGates(5, 2, random_state=0).fit_transform(X)
    design, merged = prepare(X, y, activations, np.ones(600), None, unit_features)
    before, problem = (
        Problem(design, SquaredError(), y[merged.rows], weight * merged.weight)
        for weight in (0.02, 0.02 * factor)
    )
    options = {"method": "primal", "tol": 1e-8}
    near = near_to(before, solve_certified(before, **options)[0])
    cold, _, _ = solve_certified(problem, **options)
    warmed, _, _ = solve_certified(problem, near, **options)
    assert_allclose(warmed.primal_value, cold.primal_value, rtol=2e-8)
    assert warmed.gap <= 1e-8
    own = METHODS["primal"].solve_near
    for coef in (np.zeros(600), rng.normal(size=600) * 1e300):
        assert own(problem, Run(1e-8, 100), replace(near, dual_coef=coef)) is None
        found, _, _ = solve_certified(problem, replace(near, dual_coef=coef), **options)
        assert_allclose(found.primal_value, cold.primal_value, rtol=2e-8)


def test_a_path_through_the_features_takes_fewer_iterations_than_its_problems():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 10))
    y = np.abs(X[:, 0]) + X[:, 1] + rng.normal(size=2000)
    activations = ReLUGates(8, random_state=0).fit_transform(X)
    options = {"loss": "squared_error", "method": "primal", "tol": 1e-4}
    path = gln_norm_path(X, y, activations, np.geomspace(1e-4, 1e-2, 10), **options)
    cold = [solve(X, y, activations, C=C, **options) for C in path.Cs]
    assert sum(s.n_iter for s in path.solutions) < 0.8 * sum(s.n_iter for s in cold)


@pytest.mark.parametrize("loss", [Hinge(), SquaredHinge(), LogLoss(), Huber(1.0), AbsoluteError()])
def test_coefficients_with_bounds_have_no_near_start_through_the_features(loss):
    X, y, activations = labelled(500, 3, 4)
    problem = problem_at(0.1, X, y, activations, loss=loss)
    solution, _, _ = solve_certified(problem, method="primal", tol=1e-4)
    near = near_to(problem, solution)
    assert METHODS["primal"].solve_near(problem, Run(1e-6, 100), near) is None


@must_converge
@pytest.mark.parametrize("seed", range(3))
def test_features_of_very_uneven_scales(seed):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(150, 6)), np.ones(150)]) * np.logspace(-4, 4, 7)
    y = np.where(X[:, 3] > 0, 1, -1) * np.where(rng.random(150) < 0.2, -1, 1)
    activations = HyperplaneGates(6, random_state=seed).fit_transform(X)
    path = gln_norm_path(X, y, activations, np.logspace(-10, 1, 8))
    for C, solution in zip(path.Cs, path.solutions, strict=True):
        cold = max_margin(X, y, activations, C, tol=1e-4)
        assert_allclose(solution.primal_value, cold.primal_value, rtol=2e-4)


@must_converge
def test_a_bad_start_is_given_up(monkeypatch):
    X, y, activations = labelled(500, 20, 10)
    problem = problem_at(0.1, X, y, activations)
    rng = np.random.default_rng(0)
    near = Near(y * rng.uniform(0, 1e6, 500), np.eye(10)[0], y * rng.normal(0, 1e3, 500))
    cold, _, _ = solve_certified(problem, tol=1e-6)
    found, _, _ = solve_certified(problem, near, tol=1e-6)
    assert_allclose(found.primal_value, cold.primal_value, rtol=2e-6)
    far = near_to(problem, solve_certified(problem_at(5.0, X, y, activations), tol=1e-6)[0])
    for limit, start in (("_ROUNDS_NEAR", near), ("_FIRST_ITERATIONS", far)):
        with monkeypatch.context() as patched:
            patched.setattr(rounds, limit, 1)
            assert solve_near(problem, Run(1e-6, 100), start) is None
            found, _, _ = solve_certified(problem, start, tol=1e-6)
        assert_allclose(found.primal_value, cold.primal_value, rtol=2e-6)
    lost = replace(near, dual_coef=np.zeros(500))
    assert solve_near(problem, Run(1e-6, 100), lost) is None
    assert_allclose(solve_certified(problem, lost, tol=1e-6)[0].gap, cold.gap)


def test_a_start_that_does_not_fit_into_the_memory_is_not_taken(monkeypatch):
    X, y, activations = labelled(500, 20, 10)
    problem = problem_at(0.1, X, y, activations)
    near = near_to(problem, solve_by_active_set(problem, Run(1e-6, 100, memory_limit=1e9)))
    assert solve_near(problem, Run(1e-6, 100, memory_limit=1e9), near) is not None
    monkeypatch.setattr(rounds, "DOUBLE_BYTES", 1e9)  # of each pair of samples
    assert solve_near(problem, Run(1e-6, 100, memory_limit=1e9), near) is None


@must_converge
def test_what_is_kept_counts_as_memory():
    X, y, activations = labelled(500, 20, 10)
    limit = 1e9
    for method in ["auto", "working-set"]:
        problem = problem_at(1.0, X, y, activations)
        assert share_gram(problem.design, problem, method, limit) == limit - 8 * 500**2
        assert np.float64 in problem.design.gram._known
    assert share_gram(problem.design, problem, "auto", None) is None
    problem = problem_at(1.0, X, y, activations)
    room = 8 * 500**2
    assert share_gram(problem.design, problem, "auto", room) == room  # there is none for it
    assert share_gram(problem.design, problem, "primal", limit) == limit  # nor a use
    assert not problem.design.gram._known
    with pytest.raises(MemoryError, match="expected a memory_limit of at least"):
        gln_norm_path(X, y, activations, [0.1], memory_limit=1e6)


def test_linear_term_is_the_same_however_it_was_summed_up():
    X, y, activations = labelled(50, 4)
    problem = problem_at(0.7, X, y, activations)
    sums, design = PinnedSums(), problem.design
    rng = np.random.default_rng(0)
    for C in (1.0, 0.7, 0.7, 0.1):
        problem = Problem(design, problem.loss, problem.y, np.full(50, C))
        is_pinned = rng.random(50) < 0.5
        coef = np.where(is_pinned, C * problem.y, 0.0)
        sets = Sets(~is_pinned, coef)
        part = problem.restricted(sets.free)
        pinned = sums.of(problem, sets, part)
        # anew, on explicit features
        phi = np.einsum("nhc,nd->nhcd", activations, X).reshape(50, len(activations[0]), -1)
        V = np.einsum("n,nhf->hf", coef, phi)
        assert_allclose(pinned.pull, np.einsum("nhf,hf->nh", phi[sets.free], V), atol=1e-12)
        assert_allclose(pinned.squares, np.sum(V**2, axis=1), atol=1e-12)
        assert pinned.conjugate == pytest.approx(-C * np.count_nonzero(is_pinned))
        anew = PinnedSums().of(problem, sets, part)
        assert_allclose(pinned.pull, anew.pull, atol=1e-12)
    assert sums.of(problem, Sets.of_free(np.arange(50), 50), problem) is None


@must_converge
def test_path_of_another_norm():
    X, y, activations = labelled(60, 12)
    y = y.astype(float)
    design, merged = prepare(X, y, activations, np.ones(60), "predictor_l2")
    Cs = [0.01, 0.1, 1.0]
    path = solve_path(design, merged, y, Hinge(), Cs, tol=1e-7)
    for C, solution in zip(reversed(Cs), path, strict=True):
        problem = Problem(design, Hinge(), y[merged.rows], merged.times(C))
        cold, _, _ = solve_certified(problem, tol=1e-7)
        assert_allclose(solution.primal_value, cold.primal_value, rtol=1e-6)
