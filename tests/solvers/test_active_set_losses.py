"""The active set with every loss: samples are really pinned, and the answer is that of all."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gnorm import HyperplaneGates, ReLUGates, gln_norm_path, losses, solve
from gnorm.solvers.active_set import rounds, sets, start
from gnorm.solvers.active_set.rounds import solve_by_active_set, solve_near
from gnorm.solvers.api import prepare
from gnorm.solvers.attempts import solve_certified
from gnorm.solvers.design import get_norm, make_design
from gnorm.solvers.interior import solve_by_features, solve_by_samples
from gnorm.solvers.path import near_to, solve_path
from gnorm.solvers.problem import Problem
from gnorm.solvers.run import Run

AFFINE = [
    losses.Hinge(),
    losses.SquaredHinge(),
    losses.EpsilonInsensitive(0.3),
    losses.AbsoluteError(),
    losses.Quantile(0.8),
    losses.Huber(0.2),
]
EVERY = [*AFFINE, losses.LogLoss(), losses.SquaredError()]


@pytest.fixture(autouse=True)
def choosing(monkeypatch):
    """Sets are chosen, and nothing is solved with all samples because they are few."""
    monkeypatch.setattr(rounds, "FEW", 50)
    monkeypatch.setattr(sets, "_FEWEST", 20)
    monkeypatch.setattr(start, "ALL", 300)


@pytest.fixture
def pinned(monkeypatch):
    """Numbers of the free samples, the pinned ones and those pinned elsewhere than at 0."""
    seen = []
    entered = rounds._Rounds._entered

    def recorded(these):
        is_free = these.sets.is_free
        n_at_bound = np.count_nonzero(these.sets.pinned)
        seen.append((np.count_nonzero(is_free), np.count_nonzero(~is_free), n_at_bound))
        return entered(these)

    monkeypatch.setattr(rounds._Rounds, "_entered", recorded)
    return seen


def arrays(loss, n_samples=800, n_features=12, gates=HyperplaneGates, flipped=0.1):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(n_samples, n_features)), np.ones(n_samples)])
    activations = gates(4, random_state=0).fit_transform(X)
    zeta = rng.normal(size=(*activations.shape[1:], n_features + 1))
    f = np.einsum("nhc,hcd,nd->n", activations, zeta, X)
    y = f / np.std(f) + 0.5 * rng.standard_t(3, size=n_samples)
    if loss.is_margin:
        y = np.where(f > 0, 1.0, -1.0)
        y[rng.random(n_samples) < flipped] *= -1
    return X, y, activations


def problem_of(loss, C, norm=None, **sizes):
    X, y, activations = arrays(loss, **sizes)
    design = make_design(get_norm(norm, activations), X, activations)
    return Problem(design, loss, y, np.full(len(y), float(C)))


def assert_solved(problem, certificate, tol=1e-6):
    expected = solve_by_samples(problem, Run(1e-8, 100))
    assert expected.gap <= 1e-8
    assert certificate.gap <= tol
    assert_allclose(certificate.primal_value, expected.primal_value, rtol=tol)
    assert certificate.dual_value <= expected.primal_value


@pytest.mark.parametrize("norm", [None, "predictor_l2"])
@pytest.mark.parametrize("C", [0.003, 0.1, 3.0])
@pytest.mark.parametrize("loss", AFFINE, ids=repr)
def test_same_value_as_all_samples_at_once(loss, C, norm, pinned):
    problem = problem_of(loss, C, norm)
    assert_solved(problem, solve_by_active_set(problem, Run(1e-6, 200)))
    n_free, n_pinned, _ = pinned[-1]
    assert n_free + n_pinned == 800
    if C < 1 and not isinstance(loss, losses.SquaredHinge | losses.Huber):
        assert n_pinned > 100


@pytest.mark.parametrize("loss", AFFINE, ids=repr)
def test_samples_at_their_bounds_are_pinned(loss, pinned):
    problem = problem_of(loss, 0.003, n_samples=1500)
    certificate = solve_by_active_set(problem, Run(1e-6, 200))
    assert_solved(problem, certificate)
    lower, upper = problem.loss.domain(problem.y, problem.C)
    b = certificate.dual_coef
    is_at_end = (b == lower) | (b == upper)
    if not isinstance(loss, losses.SquaredHinge):
        assert pinned[-1][2] > 0.5 * np.count_nonzero(is_at_end & (b != 0))
        assert pinned[-1][2] > 100


def test_hard_margin(pinned):
    problem = problem_of(losses.Hinge(), np.inf, n_features=60, flipped=0.0, n_samples=700)
    assert_solved(problem, solve_by_active_set(problem, Run(1e-6, 200)))
    assert pinned[-1][1] > 50


@pytest.mark.parametrize("loss", [losses.LogLoss(), losses.SquaredError()], ids=repr)
def test_curved_losses_take_all_samples(loss, pinned):
    problem = problem_of(loss, 0.1)
    assert_solved(problem, solve_by_active_set(problem, Run(1e-6, 200)))
    assert {n_pinned for _, n_pinned, _ in pinned} == {0}


# -- warm starts and paths -------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.0])
@pytest.mark.parametrize("norm", [None, "predictor_l2"])
@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_near_solutions(loss, norm, factor):
    before = problem_of(loss, 0.05, norm)
    problem = replace(before, C=factor * before.C)
    near = near_to(before, solve_by_samples(before, Run(1e-5, 100)))
    certificate = solve_near(problem, Run(1e-6, 100), near)
    if factor <= 1:  # the way of a path
        assert certificate is not None
    if certificate is None:
        certificate, _, _ = solve_certified(problem, near, tol=1e-6)
    assert_solved(problem, certificate)


@pytest.mark.parametrize("gates", [HyperplaneGates, ReLUGates])
@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_every_place_of_a_path_is_the_cold_solution(loss, gates):
    X, y, activations = arrays(loss, n_samples=300, gates=gates)
    weight = np.random.default_rng(1).uniform(0.2, 2.0, 300)
    weight[::9] = 0
    options = {"loss": loss, "tol": 1e-6, "sample_weight": weight}
    path = gln_norm_path(X, y, activations, np.geomspace(1e-3, 1.0, 7), **options)
    for C, solution in zip(path.Cs, path.solutions, strict=True):
        cold = solve(X, y, activations, C=C, method="interior-point", **options)
        assert solution.duality_gap <= 1e-6
        assert_allclose(solution.primal_value, cold.primal_value, rtol=2e-6)
        lower, upper = loss.domain(y, C * weight)
        b = y * solution.dual_coef if loss.is_margin else solution.dual_coef
        assert np.all((b >= lower) & (b <= upper))


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_up_to_the_least_C_the_predictor_is_C_times_a_fixed_one(loss):
    X, y, activations = arrays(loss, n_samples=200)
    path = gln_norm_path(X, y, activations, n_Cs=4, eps=1e-3, loss=loss, tol=1e-4)
    assert path.Cs[0] == path.least_C
    below = gln_norm_path(X, y, activations, path.least_C * np.array([0.1, 1.0]), loss=loss)
    first, second = below.solutions
    assert first.method == second.method == "closed form"
    assert_allclose(first.zeta / first.norm, second.zeta / second.norm, atol=1e-12)
    assert_allclose(10 * first.norm, second.norm, rtol=2e-2)  # each in its best length
    for C, solution in zip(below.Cs, below.solutions, strict=True):
        cold = solve(X, y, activations, loss=loss, C=C, tol=1e-7)
        assert_allclose(solution.primal_value, cold.primal_value, rtol=1e-4)


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_weights_are_copies_where_sets_are_chosen(loss):
    X, y, activations = arrays(loss, n_samples=400)
    weight = np.random.default_rng(1).integers(4, size=400)
    rows = np.repeat(np.arange(400), weight)
    options = {"loss": loss, "C": 0.02, "method": "working-set"}
    weighted = solve(X, y, activations, sample_weight=weight, **options)
    copied = solve(X[rows], y[rows], activations[rows], **options)
    np.testing.assert_array_equal(weighted.zeta, copied.zeta)
    summed = np.bincount(rows, weights=copied.dual_coef, minlength=400)
    assert_allclose(weighted.dual_coef, summed, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_both_ways_to_the_newton_systems_agree(loss):
    problem = problem_of(loss, 0.3)
    values = [
        solver(problem, Run(1e-8, 100)).primal_value
        for solver in (solve_by_samples, solve_by_features)
    ]
    assert_allclose(*values, rtol=2e-8)


def test_solve_path_is_lazy_and_goes_down():
    X, y, activations = arrays(losses.Huber(), n_samples=100)
    design, merged = prepare(X, y, activations, np.ones(100))
    path = solve_path(design, merged, y, losses.Huber(), [0.1, 1.0], tol=1e-6)
    first, second = next(path), next(path)
    assert first.norm > second.norm
    with pytest.raises(StopIteration):
        next(path)
