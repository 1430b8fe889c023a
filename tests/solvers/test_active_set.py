"""The active set: the same answer as all samples at once, proofs, memory, interruption."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning

from gnorm import HyperplaneGates, NotSeparableError, max_margin
from gnorm.losses import Hinge
from gnorm.solvers import Status
from gnorm.solvers.active_set import rounds, screening, start
from gnorm.solvers.active_set.rounds import solve_by_active_set
from gnorm.solvers.active_set.screening import Guess, screen
from gnorm.solvers.certify import certify
from gnorm.solvers.design import get_norm, make_design
from gnorm.solvers.interior import solve_by_samples
from gnorm.solvers.interior.follow import CentralPath
from gnorm.solvers.interior.samples import SampleSystem
from gnorm.solvers.memory import Memory
from gnorm.solvers.problem import Problem
from gnorm.solvers.run import Run

INF = np.inf


def noisy_problem(
    n_samples=1200, n_features=30, n_units=6, n_contexts=2, C=INF, flipped=0.0, norm=None
):
    """Labels of a random gated predictor, some of them flipped, as a problem."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(n_samples, n_features)), np.ones(n_samples)])
    gates = HyperplaneGates(n_units, n_contexts, random_state=0).fit(X).transform(X)
    zeta = rng.normal(size=(n_units, n_contexts, n_features + 1))
    f = np.einsum("nhc,hcd,nd->n", gates, zeta, X)
    y = np.where(f > 0, 1.0, -1.0)
    y[rng.random(n_samples) < flipped] *= -1
    design = make_design(get_norm(norm, gates), X, gates)
    return Problem(design, Hinge(), y, np.full(n_samples, float(C)))


def solved(problem, tol=1e-6, max_iter=100, **options):
    return solve_by_active_set(problem, Run(tol, max_iter, **options))


def value(problem, certificate):
    """Primal and dual value of the points of a certificate over all samples."""
    y, C, is_hard = problem.y, problem.C, problem.is_hard
    margins = y * problem.design.decision_values(certificate.zeta)
    assert np.all(margins[is_hard] >= 1 - 1e-9) or np.isinf(certificate.primal_value)
    primal = 0.5 * problem.design.norm.value(problem.design.of_units(certificate.zeta)) ** 2
    primal += C[~is_hard] @ np.maximum(0.0, 1.0 - margins[~is_hard])
    a = y * certificate.dual_coef
    assert np.all(a >= 0)
    assert np.all(a <= C)
    dual = a.sum() - 0.5 * problem.design.dual_norm(problem.design.sums(y * a)) ** 2
    if np.isfinite(certificate.primal_value):
        assert_allclose(certificate.primal_value, primal, rtol=1e-9)
    assert_allclose(certificate.dual_value, dual, rtol=1e-9)
    return certificate.primal_value, dual


@pytest.fixture
def systems(monkeypatch):
    """The Newton systems that are built, in order."""
    built = []

    class Recorded(SampleSystem):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            built.append(self)

    monkeypatch.setattr(rounds, "SampleSystem", Recorded)
    return built


@pytest.mark.parametrize(
    ("C", "flipped"), [(INF, 0.0), (10.0, 0.1), (0.1, 0.1), (1e-2, 0.3), (1e-4, 0.0), (1e-7, 0.0)]
)
@pytest.mark.parametrize(
    "double", [12_000, 0]
)  # 0: the Newton matrix in single precision to the end
def test_same_value_as_all_samples_at_once(C, flipped, double, monkeypatch):
    monkeypatch.setattr(rounds, "_DOUBLE", double)
    problem = noisy_problem(C=C, flipped=flipped)
    certificate = solved(problem)
    assert certificate.point.status is Status.OPTIMAL
    primal, dual = value(problem, certificate)
    assert primal - dual <= 1e-6 * primal
    at_once = solve_by_samples(problem, Run(1e-8, 100))
    assert_allclose(primal, value(problem, at_once)[0], rtol=2e-6)


def test_samples_at_their_bounds_stay_outside_the_set(monkeypatch):
    problem = noisy_problem(C=0.01, flipped=0.3)
    sizes = []
    entered = rounds._Rounds._entered

    def recorded(these):
        sizes.append((len(these.sets.free), np.count_nonzero(these.sets.pinned)))
        return entered(these)

    monkeypatch.setattr(rounds._Rounds, "_entered", recorded)
    certificate = solved(problem)
    n_bounded = np.count_nonzero(problem.y * certificate.dual_coef == problem.C)
    assert n_bounded > 300
    assert sizes[-1][1] > 0.8 * n_bounded
    assert sizes[-1][0] < 0.6 * len(problem.y)


@pytest.mark.parametrize("C", [INF, 0.1])
def test_bounds_of_each_sample(C):
    problem = noisy_problem(flipped=0.0)
    rng = np.random.default_rng(1)
    C = np.where(rng.random(1200) < 0.5, C, rng.uniform(1e-4, 1, 1200))
    problem = replace(problem, C=C)
    primal, dual = value(problem, solved(problem))
    assert primal - dual <= 1e-6 * primal


def test_inseparable_samples_are_named_among_all():
    problem = noisy_problem()
    X, y = np.vstack([problem.design.X, problem.design.X[:2]]), problem.y
    gates = np.concatenate([problem.design.activations, problem.design.activations[:2]])
    with pytest.raises(NotSeparableError) as caught:
        max_margin(X, np.concatenate([y, -y[:2]]), gates)
    certificate = caught.value.certificate
    signed = certificate * np.concatenate([y, -y[:2]])
    V = np.einsum("n,nhc,nd->hcd", signed, gates, X)
    assert np.abs(V).max() <= 1e-10 * np.linalg.norm(X, axis=1).max()
    assert_allclose(certificate.sum(), 1.0)
    assert set(np.flatnonzero(certificate)) <= {0, 1, 1200, 1201}


def test_inseparable_without_equal_inputs():
    problem = noisy_problem(flipped=0.3)  # 1,200 samples, 372 gated features
    with pytest.raises(NotSeparableError) as caught:
        solved(problem)
    certificate = caught.value.certificate
    assert np.all(certificate >= 0)
    assert problem.separability_residual(problem.y * certificate) <= 1e-10


@pytest.mark.parametrize("norm", [None, "predictor_l2"])
@pytest.mark.parametrize("container", [np.asarray, csr_array])
def test_designs_and_containers(norm, container):
    problem = noisy_problem(n_samples=600, C=1.0, flipped=0.1, norm=norm)
    design = problem.design
    design = make_design(design.norm, container(design.X), design.activations)
    problem = replace(problem, design=design)
    primal, dual = value(problem, solved(problem))
    assert primal - dual <= 1e-6 * primal


def test_samples_that_a_bad_guess_has_fixed_become_free(monkeypatch):
    monkeypatch.setattr(start, "ALL", 0)  # no way out by taking all samples
    problem = noisy_problem(n_samples=1500, n_features=60, C=0.05)
    margins = np.where(np.random.default_rng(0).random(1500) < 0.4, 0.0, 1.0)
    # a margin of 0 is deep inside: at the upper bound
    coef = np.where(margins == 0, 0.05, 0.0)
    bad = Guess(coef * problem.y, problem.y * margins)
    monkeypatch.setattr(start, "screen", lambda *arguments: bad)
    primal, dual = value(problem, solved(problem, max_iter=300))
    assert primal - dual <= 1e-6 * primal


def test_sets_that_go_in_circles_are_given_up(monkeypatch):
    problem = noisy_problem(n_samples=1500, n_features=60, C=10.0)
    margins = np.where(np.random.default_rng(0).random(1500) < 0.4, 0.0, 1.0)
    # so many at the upper bound that what they cost is below the dual value of all samples
    bad = Guess(np.where(margins == 0, 10.0, 0.0) * problem.y, problem.y * margins)
    monkeypatch.setattr(start, "screen", lambda *arguments: bad)
    n_rounds, entered = [], rounds._Rounds._entered

    def counted(these):
        n_rounds.append(these.run.n_iter)
        return entered(these)

    monkeypatch.setattr(rounds._Rounds, "_entered", counted)
    primal, dual = value(problem, solved(problem))
    assert primal - dual <= 1e-6 * primal
    assert len(n_rounds) < 15


@pytest.mark.parametrize("C", [0.05, 10.0])
def test_samples_outside_of_the_guess_are_not_at_their_bounds(C, monkeypatch):
    problem = noisy_problem(n_samples=1500, n_features=60, C=C)
    outside = np.arange(1400, 1500)
    inside = np.arange(1400)
    fitted = screen(problem.restricted(inside))
    coef, outputs = np.zeros(1500), -problem.y  # all of those outside on the wrong side
    coef[inside], outputs[inside] = fitted.coef, fitted.outputs
    monkeypatch.setattr(start, "screen", lambda *arguments: Guess(coef, outputs))
    sets = start.cold_start(problem, Memory(problem, np.inf)).sets
    assert sets.is_free[outside].all()
    assert np.count_nonzero(sets.is_free[inside]) < 1000


@pytest.mark.parametrize("C", [1e-2, 1.0, "mixed"])
@pytest.mark.parametrize("n_rare", [1, 3])
def test_a_rare_class_is_in_the_first_chunk(C, n_rare, monkeypatch):
    monkeypatch.setattr(screening, "_AT_ONCE", 300)
    monkeypatch.setattr(screening, "_FIRST", 200)
    problem = noisy_problem(n_samples=600)
    y = np.where(np.arange(600) < n_rare, 1.0, -1.0)
    upper = np.full(600, 1.0 if C == "mixed" else C)
    if C == "mixed":
        upper[::2] = INF
    problem = replace(problem, y=y, C=upper)
    assert screen(problem) is not None
    primal, dual = value(problem, solved(problem, tol=1e-4))
    assert primal - dual <= 1e-4 * primal


def test_a_gap_that_single_precision_does_not_see_is_closed_in_double(monkeypatch, systems):
    monkeypatch.setattr(rounds, "FEW", 50)  # samples from which on single precision pays
    problem = noisy_problem()
    solved(problem)
    assert {system.precision for system in systems} == {np.float32}
    judged = []

    def unseen(problem, point, tol):
        certificate = certify(problem, point, tol)
        if certificate.gap > 1e-6:  # samples are misplaced
            return certificate
        judged.append(systems[-1].precision)
        if len(judged) == 1:  # as if digits were missing
            return replace(certificate, dual_value=(1 - 1.1e-6) * certificate.primal_value)
        return certificate

    monkeypatch.setattr(rounds, "certify", unseen)
    systems.clear()
    primal, dual = value(problem, solved(problem))
    assert judged == [np.float32, np.float64]
    assert primal - dual <= 1e-6 * primal


def test_earlier_solves_of_a_design_leave_no_trace():
    problem = noisy_problem(n_samples=600)
    first, again = (solved(problem) for _ in range(2))
    assert_array_equal(first.dual_coef, again.dual_coef)
    assert np.float32 not in problem.design.gram._known


def test_single_precision_that_stalls_does_not_end_the_path():
    rng = np.random.default_rng(3)
    X = np.column_stack([rng.normal(size=(1200, 11)), np.ones(1200)])
    f = np.abs(X @ rng.normal(size=12)) - np.abs(X @ rng.normal(size=12))
    y = np.where((f > np.median(f)) ^ (rng.random(1200) < 0.1), 1.0, -1.0)
    gates = HyperplaneGates(10, 2, random_state=0).fit(X).transform(X)
    solution = max_margin(X, y, gates, 1e5, method="working-set")
    assert solution.duality_gap <= 1e-6
    assert solution.n_iter < 60


def test_double_precision_where_single_stalls(monkeypatch):
    monkeypatch.setattr(rounds, "FEW", 50)  # samples from which on single precision pays
    problem = noisy_problem(n_samples=600)
    factor = SampleSystem.factor
    precisions = []

    def no_factor_of_the_last(system, state):
        precisions.append(system.precision)
        is_fine = state.complementarity() < 1e-4
        return not (system.precision is np.float32 and is_fine) and factor(system, state)

    monkeypatch.setattr(SampleSystem, "factor", no_factor_of_the_last)
    certificate = solved(problem)
    assert set(precisions) == {np.float32, np.float64}
    assert certificate.point.status is Status.OPTIMAL
    primal, dual = value(problem, certificate)
    assert primal - dual <= 1e-6 * primal


def test_an_interrupt_in_double_precision_keeps_what_single_has(monkeypatch):
    monkeypatch.setattr(rounds, "FEW", 50)
    problem = noisy_problem(n_samples=600)
    factor, gaps = SampleSystem.factor, []

    def no_factor_of_the_last(system, state):
        if system.precision is np.float64:
            raise KeyboardInterrupt
        return state.complementarity() >= 1e-4 and factor(system, state)

    def noted(problem, point, tol):
        gaps.append(certify(problem, point, tol).gap)
        return certify(problem, point, tol)

    monkeypatch.setattr(SampleSystem, "factor", no_factor_of_the_last)
    monkeypatch.setattr(rounds, "certify", noted)
    design = problem.design
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        solution = max_margin(design.X, problem.y, design.activations, method="working-set")
    assert solution.status is Status.INTERRUPTED
    assert_allclose(solution.duality_gap, min(gaps), rtol=1e-6)
    assert solution.duality_gap < 0.1


def test_scan_takes_the_outputs_that_are_known(monkeypatch):
    problem = noisy_problem(n_samples=500)
    scans = []
    outputs = rounds._Rounds._outputs

    def scanned(these, path):
        found = outputs(these, path)
        point = these.sets.on_all(path.point(Status.OPTIMAL))
        scans.append((these.sets, path.primal.outputs, found, certify(problem, point)))
        return found

    monkeypatch.setattr(rounds._Rounds, "_outputs", scanned)
    solved(problem)
    assert scans
    for sets, known, found, certificate in scans:
        assert not sets.is_free.all()
        assert_array_equal(found[sets.is_free], known)
        exact = certificate.outputs / certificate.length
        assert_allclose(found, exact, atol=1e-4 * np.abs(exact).max())


def test_memory_limit():
    problem = noisy_problem()
    limited = solved(problem, memory_limit=1e9)
    assert_array_equal(limited.dual_coef, solved(problem).dual_coef)
    with pytest.raises(MemoryError, match="expected a memory_limit of at least"):
        solved(problem, memory_limit=1e6)
    least = Memory(problem, 1e9)
    for per_pair in (8.0, 16.0, 24.0):
        most = least.most(per_pair)
        assert most > 1000
        assert least.most(2 * per_pair) < most
    tight = Memory(problem, 1.6e8)
    with pytest.raises(MemoryError, match="for the 5000 samples of the working set"):
        tight.check(5000)


@pytest.mark.parametrize("n_reports", [1, 4, 9, 13])
def test_interrupted_solve_returns_the_best_point(n_reports):
    problem = noisy_problem(C=1.0, flipped=0.1)
    n_seen = 0

    def report(n_iter, primal_value, dual_value, step):
        nonlocal n_seen
        n_seen += 1
        if n_seen == n_reports:
            raise KeyboardInterrupt

    run = Run(1e-12, 100, report)
    with pytest.raises(KeyboardInterrupt):
        solve_by_active_set(problem, run)
    certificate = certify(problem, run.best_so_far(Status.INTERRUPTED))
    assert certificate.point.status is Status.INTERRUPTED
    primal, dual = value(problem, certificate)
    assert dual <= primal < INF


def test_interrupted_fit_warns(monkeypatch):
    problem = noisy_problem(n_samples=600)
    advance = CentralPath._advance

    def interrupted(path):
        if path.run.n_iter == 6:
            raise KeyboardInterrupt
        return advance(path)

    monkeypatch.setattr(CentralPath, "_advance", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        solution = max_margin(
            problem.design.X, problem.y, problem.design.activations, 1.0, tol=1e-10
        )
    assert solution.status is Status.INTERRUPTED
    assert 0 < solution.duality_gap < 1


def test_iterations_run_out():
    problem = noisy_problem(C=1.0, flipped=0.1)
    for max_iter in (1, 5, 9, 12):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            certificate = solved(problem, tol=1e-9, max_iter=max_iter)
        assert certificate.point.status is Status.MAX_ITER
        assert certificate.point.n_iter == max_iter
        primal, dual = value(problem, certificate)
        assert dual <= primal < INF
