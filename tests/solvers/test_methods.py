"""Which method "auto" picks at the borders between them, and what the memory limit does."""

import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning

from gnorm import max_margin, solve
from gnorm.gates import OpenContexts
from gnorm.losses import Hinge
from gnorm.norms import GroupNorm
from gnorm.solvers import Status
from gnorm.solvers.active_set.rounds import solve_by_active_set
from gnorm.solvers.certify import certify
from gnorm.solvers.design import get_norm, make_design
from gnorm.solvers.interior.follow import CentralPath
from gnorm.solvers.methods import FEW, METHODS, TALL, UNEVEN, choose, further_choices
from gnorm.solvers.problem import Point, Problem
from gnorm.solvers.run import Run

LOTS = 1e12


def problem(n_samples, n_features=4, n_units=5, n_contexts=2, C=1.0):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, n_features))
    contexts = rng.integers(n_contexts, size=(n_samples, n_units))
    activations = contexts[:, :, None] == np.arange(n_contexts)
    if n_contexts == 1:
        activations = rng.random((n_samples, n_units, 1)) < 0.5
    y = np.where(X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=n_samples) > 0, 1.0, -1.0)
    design = make_design(get_norm(None, activations), X, activations)
    return Problem(design, Hinge(), y, np.full(n_samples, C))


def arrays(problem):
    return problem.design.X, problem.y, problem.design.activations, problem.C


def test_few_samples_are_solved_all_at_once():
    assert choose(problem(FEW), LOTS).method.name == "interior-point"
    assert choose(problem(FEW + 1), LOTS).method.name != "interior-point"


@pytest.mark.parametrize(
    ("shape", "n_coded"),
    [
        ({"n_units": 20, "n_contexts": 2}, 21),
        ({"n_units": 10, "n_contexts": 4}, 31),
        ({"n_units": 25, "n_contexts": 1}, 25),
    ],
)
def test_tall_problems_go_through_the_features(shape, n_coded):
    border = TALL * n_coded * 8
    tall = choose(problem(border, n_features=8, **shape), LOTS)
    assert tall.method.name == "primal"
    assert f"{border} samples, {n_coded * 8} gated features" in tall.reason
    wide = choose(problem(border - 1, n_features=8, **shape), LOTS)
    assert wide.method.name == "working-set"
    assert "fewer than" in wide.reason


@pytest.mark.parametrize("storage", [np.asarray, csr_array])
def test_features_of_uneven_scales_leave_the_working_set_early(storage):
    even = problem(100 * 6, n_features=100)
    scales = np.geomspace(1.0, 1.01 * UNEVEN, 100)
    X = even.design.X / np.linalg.norm(even.design.X, axis=0)

    def chosen(n_samples, scales):
        design = make_design(GroupNorm(), storage(X * scales), even.design.activations)
        part = Problem(design, even.loss, even.y, even.C).restricted(np.arange(n_samples))
        return choose(part, LOTS)

    assert chosen(600, np.ones(100)).method.name == "working-set"
    uneven = chosen(600, scales)
    assert uneven.method.name == "primal"
    assert "of norms up to 1e+03 times that of others" in uneven.reason
    assert chosen(500, scales).method.name == "working-set"


def test_hard_margins_are_left_to_the_samples():
    hard = choose(problem(2000, C=np.inf), LOTS)
    assert hard.method.name == "working-set"
    assert "hard margin" in hard.reason


def test_what_does_not_fit_is_not_chosen():
    tall = problem(2000)
    need = METHODS["primal"].bytes_needed(tall)
    assert choose(tall, need).method.name == "primal"
    smaller = choose(tall, need - 1)
    assert smaller.method.name == "working-set"
    assert "primal would take" in smaller.reason


def test_few_samples_need_little():
    with pytest.raises(
        MemoryError, match=r"at least \d\.\de\+05 bytes for method='interior-point'"
    ):
        max_margin(*arrays(problem(150)), memory_limit=10)


@pytest.mark.parametrize("method", ["interior-point", "primal", "working-set"])
def test_a_limit_that_is_too_low_is_refused_up_front(method):
    with pytest.raises(MemoryError, match=r"expected a memory_limit of at least .* bytes .*, got"):
        max_margin(*arrays(problem(2000)), method=method, memory_limit=1e5)


def test_the_stated_need_is_enough():
    tall = arrays(problem(2000))
    with pytest.raises(MemoryError) as refused:
        max_margin(*tall, method="primal", memory_limit=1.0)
    need = float(str(refused.value).split("at least ")[1].split(" bytes")[0])
    assert max_margin(*tall, method="primal", memory_limit=1.1 * need).duality_gap <= 1e-6


@pytest.mark.parametrize("limit", [0.0, -1.0, np.nan])
def test_limits_that_are_none(limit):
    with pytest.raises(ValueError, match=r"expected memory_limit > 0 bytes or None, got"):
        max_margin(*arrays(problem(20)), memory_limit=limit)


@pytest.mark.parametrize(
    "shape",
    [
        {"n_samples": 1000},
        {"n_samples": 700, "n_units": 40},
        {"n_samples": 700, "n_units": 10, "n_contexts": 4},
        {"n_samples": 700, "n_units": 10, "n_contexts": 1, "n_features": 60},
    ],
)
@pytest.mark.parametrize("method", ["interior-point", "primal"])
def test_memory_stays_within_the_estimate(method, shape):
    given = problem(**shape)
    solve, need = METHODS[method].solve, METHODS[method].bytes_needed
    solve(problem(50), Run(1e-2, 2))  # what is loaded once does not count
    tracemalloc.start()
    try:
        solve(given, Run(1e-3, 5))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.3 * need(given) <= peak <= need(given)


@pytest.mark.parametrize("method", ["interior-point", "primal", "working-set"])
def test_an_interrupt_returns_the_best_point_so_far(method, monkeypatch):
    given = arrays(problem(600))
    calls = {"count": 0}
    advance = CentralPath._advance

    def interrupted(*args):
        calls["count"] += 1
        if calls["count"] > 6:
            raise KeyboardInterrupt
        return advance(*args)

    monkeypatch.setattr(CentralPath, "_advance", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        solution = max_margin(*given, method=method, tol=1e-10)
    assert solution.status is Status.INTERRUPTED
    assert 1e-10 < solution.duality_gap < 1.0
    X, y, activations, C = given
    margins = y * solution.decision_values(X, activations)
    value = 0.5 * solution.norm**2 + C @ np.maximum(0.0, 1.0 - margins)
    np.testing.assert_allclose(solution.primal_value, value, rtol=1e-9)


def test_methods_agree_where_they_meet():
    given = arrays(problem(TALL * 6 * 4, C=0.1))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        values = [
            max_margin(*given, method=method, tol=1e-7).primal_value
            for method in ("interior-point", "working-set", "primal")
        ]
    np.testing.assert_allclose(values, values[0], rtol=2e-7)


def test_working_set_runs_on_few_samples_too():
    certificate = solve_by_active_set(problem(30), Run(1e-6, 50))
    assert certificate.point.status is Status.OPTIMAL


def stalled(problem, run):
    """A method that gets nowhere."""
    none = 1e-9 * problem.y
    recovery = none, np.full(problem.design.n_kernels, 1 / problem.design.n_kernels)
    return certify(problem, Point(none, recovery, Status.STALLED, 3))


def replaced(monkeypatch, method, solve):
    monkeypatch.setitem(METHODS, method, replace(METHODS[method], solve=solve))


@pytest.mark.parametrize("method", ["primal", "working-set"])
def test_where_a_method_gives_up_another_is_tried(method, monkeypatch, capfd):
    tall = method == "primal"
    given = problem(2000 if tall else 500, n_features=4 if tall else 40)
    assert choose(given, LOTS).method.name == method
    replaced(monkeypatch, method, stalled)
    for other in ("factored", "working-set") if tall else ("primal", "factored"):
        solution = max_margin(*arrays(given), verbose=1)
        assert solution.method == other
        assert solution.duality_gap <= 1e-6
        assert f"method {solution.method}: {method} ended at a gap of" in capfd.readouterr().out
        replaced(monkeypatch, other, stalled)
    with pytest.warns(ConvergenceWarning, match=rf"{method} stopped after 3 iterations"):
        max_margin(*arrays(given), method=method)  # as it was asked for


def test_descent_solves_what_a_feature_of_another_scale_hides_from_newton_steps():
    random = np.random.default_rng(0)
    X = random.normal(size=(2000, 5))
    y = np.where(X[:, 0] + random.normal(size=2000) > 0, 1.0, -1.0)
    X[:, 0] *= 1e5
    solution = solve(X, y, np.ones((2000, 1, 1), dtype=bool), loss="log_loss", C=1.0)
    assert solution.method == "factored"
    assert solution.duality_gap <= 1e-6


@pytest.mark.parametrize("light", [1e-20, 1.0])
@pytest.mark.parametrize("heavy", [1e17, 1e20, np.inf])
def test_weights_that_are_far_apart(light, heavy):
    random = np.random.default_rng(0)
    X = random.normal(size=(80, 4))
    activations = random.integers(0, 2, size=(80, 2, 1)) == np.arange(2)
    y = np.where(X @ random.normal(size=4) > 0, 1.0, -1.0)
    C = np.where(random.random(80) < 0.5, light, heavy)
    solution = max_margin(X, y, activations, C)
    assert solution.duality_gap <= 1e-6
    counts = C > 1e-15  # of weights that say nothing some versions of CLARABEL lose their way
    other = max_margin(X[counts], y[counts], activations[counts], C[counts], method="clarabel")
    np.testing.assert_allclose(solution.norm, other.norm, rtol=1e-5)


def test_descent_is_no_first_resort_for_tall_hard_margins():
    tall = problem(4000, C=np.inf)
    first = choose(tall, LOTS).method
    assert first.name == "working-set"
    assert further_choices(tall, first)[0].name == "primal"


def test_large_semidefinite_cones_are_left_to_descent():
    random = np.random.default_rng(0)
    X = random.normal(size=(200, 3))
    contexts = np.column_stack([np.zeros(200, dtype=int), random.integers(130, size=200)])
    y = np.sign(X[:, 0])
    # of CLARABEL the process would want 47 GB, and end without an exception
    solution = solve(X, y, OpenContexts(contexts, [1, 130]), norm="nuclear", loss="hinge", C=1.0)
    assert solution.method == "factored"
    assert solution.duality_gap <= 1e-6


def test_an_interrupt_of_a_second_method_keeps_what_the_first_has(monkeypatch):
    def interrupted(problem, run):
        raise KeyboardInterrupt

    given = problem(2000)
    replaced(monkeypatch, "primal", stalled)
    replaced(monkeypatch, "factored", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        solution = max_margin(*arrays(given))
    assert solution.status is Status.INTERRUPTED


def test_nothing_else_is_tried_where_it_would_not_fit(monkeypatch):
    given = problem(450, n_features=800)
    replaced(monkeypatch, "working-set", stalled)
    replaced(monkeypatch, "factored", stalled)
    replaced(monkeypatch, "primal", None)
    with pytest.warns(ConvergenceWarning, match="working-set stopped after 3 iterations"):
        max_margin(*arrays(given))
