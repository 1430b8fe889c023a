"""The working set: the same answer as all samples at once, proofs, memory, interruption."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning

from gnorm import HyperplaneGates, NotSeparableError, max_margin
from gnorm.margin import interior_point, working_set
from gnorm.margin.design import GatedDesign, PredictorL2Design
from gnorm.margin.guess import Guess, guess
from gnorm.margin.newton import Newton
from gnorm.margin.problem import MarginProblem
from gnorm.margin.scan import decision_values
from gnorm.margin.solution import Status

INF = np.inf


def noisy_problem(n_samples=1200, n_features=30, n_units=6, n_contexts=2, C=INF, flipped=0.0):
    """Labels of a random gated predictor, some of them flipped, as a problem."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(n_samples, n_features)), np.ones(n_samples)])
    gates = HyperplaneGates(n_units, n_contexts, random_state=0).fit(X).transform(X)
    zeta = rng.normal(size=(n_units, n_contexts, n_features + 1))
    f = np.einsum("nhc,hcd,nd->n", gates, zeta, X)
    y = np.where(f > 0, 1.0, -1.0)
    y[rng.random(n_samples) < flipped] *= -1
    return MarginProblem(GatedDesign(X, gates), y, np.full(n_samples, float(C)))


def value(problem, point):
    """Primal and dual value of a point over all samples."""
    coef, weights = point.recovery
    zeta = problem.design.unit_weights(problem.y * coef, weights)
    margins = problem.y * problem.design.decision_values(zeta)
    primal, _ = problem.scale_primal(float(problem.design.unit_norms(zeta).sum()), margins)
    a = point.dual_coef
    assert np.all(a >= 0)
    assert np.all(a <= problem.upper)
    return primal, a.sum() - 0.5 * np.max(problem.design.dual_norms(problem.y * a)) ** 2


@pytest.mark.parametrize(
    ("C", "flipped"), [(INF, 0.0), (10.0, 0.1), (0.1, 0.1), (1e-2, 0.3), (1e-4, 0.0), (1e-7, 0.0)]
)
@pytest.mark.parametrize(
    "double", [12_000, 0]
)  # 0: the Newton matrix in single precision to the end
def test_same_value_as_all_samples_at_once(C, flipped, double, monkeypatch):
    monkeypatch.setattr(working_set, "_DOUBLE", double)
    problem = noisy_problem(C=C, flipped=flipped)
    point = working_set.solve(problem, tol=1e-6, max_iter=100)
    assert point.status is Status.OPTIMAL
    primal, dual = value(problem, point)
    assert primal - dual <= 1.01e-6 * primal
    at_once = interior_point.solve(problem, tol=1e-8, max_iter=100)
    assert_allclose(primal, value(problem, at_once)[0], rtol=2e-6)


def test_samples_at_their_bounds_stay_outside_the_set(monkeypatch):
    problem = noisy_problem(C=0.01, flipped=0.3)
    sizes = []
    newton = working_set.Sets.newton

    def recorded(sets, *args, **options):
        sizes.append((len(sets.free), len(sets.fixed)))
        return newton(sets, *args, **options)

    monkeypatch.setattr(working_set.Sets, "newton", recorded)
    point = working_set.solve(problem, tol=1e-6, max_iter=100)
    n_bounded = np.count_nonzero(point.dual_coef == problem.upper)
    assert n_bounded > 300
    assert sizes[-1][1] > 0.8 * n_bounded
    assert sizes[-1][0] < 0.6 * len(problem.y)


@pytest.mark.parametrize("C", [INF, 0.1])
def test_bounds_of_each_sample(C):
    problem = noisy_problem(flipped=0.0)
    rng = np.random.default_rng(1)
    problem = MarginProblem(
        problem.design, problem.y, np.where(rng.random(1200) < 0.5, C, rng.uniform(1e-4, 1, 1200))
    )
    point = working_set.solve(problem, tol=1e-6, max_iter=100)
    primal, dual = value(problem, point)
    assert primal - dual <= 1.01e-6 * primal


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
        working_set.solve(problem, tol=1e-6, max_iter=100)
    certificate = caught.value.certificate
    assert problem.separability_residual(certificate) <= 1e-10


@pytest.mark.parametrize("kind", [GatedDesign, PredictorL2Design])
@pytest.mark.parametrize("container", [np.asarray, csr_array])
def test_designs_and_containers(kind, container):
    problem = noisy_problem(n_samples=600, C=1.0, flipped=0.1)
    design = kind(container(problem.design.X), problem.design.activations)
    problem = MarginProblem(design, problem.y, problem.upper)
    primal, dual = value(problem, working_set.solve(problem, tol=1e-6, max_iter=100))
    assert primal - dual <= 1.01e-6 * primal


def test_chunks_of_the_guess(monkeypatch):
    # to the end: what LIBSVM gives at its loose tolerance depends on the rounding of the products
    monkeypatch.setattr("gnorm.margin.guess._TOL", 1e-3)
    monkeypatch.setattr("gnorm.margin.guess._STEPS", 10**4)
    problem = noisy_problem(n_samples=3500, n_features=60)
    found = guess(problem)
    monkeypatch.setattr("gnorm.margin.guess._AT_ONCE", 4000)
    whole = guess(problem)
    assert np.mean((found.margins < 1.15) == (whole.margins < 1.15)) > 0.95
    coincide = np.count_nonzero((found.coef > 0) & (whole.coef > 0))
    assert coincide > 0.9 * np.count_nonzero(whole.coef)


def test_samples_that_a_bad_guess_has_fixed_become_free(monkeypatch):
    monkeypatch.setattr(working_set, "_ALL", 0)  # no way out by taking all samples
    problem = noisy_problem(n_samples=1500, n_features=60, C=0.05)
    margins = np.where(np.random.default_rng(0).random(1500) < 0.4, 0.0, 1.0)
    bad = Guess(np.full(1500, 0.01), margins)  # a margin of 0 is deep inside: at the upper bound
    monkeypatch.setattr(working_set, "guess", lambda *arguments: bad)
    point = working_set.solve(problem, tol=1e-6, max_iter=300)
    primal, dual = value(problem, point)
    assert primal - dual <= 1.01e-6 * primal


def test_guess_of_a_hard_margin_is_the_bias_free_machine(monkeypatch):
    monkeypatch.setattr("gnorm.margin.guess._TOL", 1e-4)
    monkeypatch.setattr("gnorm.margin.guess._STEPS", 10**5)
    problem = noisy_problem(n_samples=500, n_units=1, n_contexts=1, n_features=30)
    found = guess(problem)
    exact = interior_point.solve(problem, tol=1e-8, max_iter=100)
    zeta = problem.design.unit_weights(problem.y * exact.recovery[0], exact.recovery[1])
    margins = problem.y * problem.design.decision_values(zeta)
    assert_allclose(found.margins, margins / margins.min(), atol=1e-2)


def test_newton_step_in_single_precision():
    # where the spread of the unit gradients is stiff, as at the end of the path
    problem = noisy_problem(n_samples=300, C=1.0, flipped=0.1)
    newton, rough = Newton(problem), Newton(problem, is_single=True)
    rough.is_refined = True
    path = interior_point.CentralPath(newton, newton.start())
    path.follow(1e-6, 100, None, is_last=False)
    P = newton.products(path.state.a)
    assert newton.factor(path.state, P)
    rough.scale, rough.upper = newton.scale, newton.upper
    assert rough.factor(path.state, P)
    assert rough.precision is np.float32
    exact, step = newton.direction(0.0), rough.direction(0.0)
    for wanted, got in zip(exact.pairs(), step.pairs(), strict=True):
        for wanted_change, got_change in zip(wanted, got, strict=True):
            scale = np.abs(wanted_change).max()
            assert_allclose(got_change, wanted_change, atol=1e-3 * scale)


@pytest.mark.parametrize("rows", [None, np.array([5, 2, 77])])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_rough_decision_values(rows, scale):
    problem = noisy_problem(n_samples=100)
    design = GatedDesign(scale * problem.design.X, problem.design.activations)
    zeta = np.random.default_rng(0).normal(size=(6, 2, 31))
    zeta[2] = 0.0
    exact = design.decision_values(zeta)
    exact = exact if rows is None else exact[rows]
    assert_allclose(decision_values(design, zeta, rows), exact, atol=1e-5 * np.abs(exact).max())


def test_memory_limit():
    problem = noisy_problem()
    point = working_set.solve(problem, tol=1e-6, max_iter=100, memory_limit=1e9)
    unlimited = working_set.solve(problem, tol=1e-6, max_iter=100)
    assert_array_equal(point.dual_coef, unlimited.dual_coef)
    with pytest.raises(MemoryError, match="expected a memory_limit of at least"):
        working_set.solve(problem, tol=1e-6, max_iter=100, memory_limit=1e6)
    least = working_set.Memory(problem, 1e9)
    for per_pair in (8.0, 16.0, 24.0):
        most = least.most(per_pair)
        assert most > 1000
        assert least.most(2 * per_pair) < most
    tight = working_set.Memory(problem, 1.6e8)
    with pytest.raises(MemoryError, match="for the 5000 samples near the margin"):
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

    point = working_set.solve(problem, tol=1e-12, max_iter=100, report=report)
    assert point.status is Status.INTERRUPTED
    primal, dual = value(problem, point)
    assert dual <= primal < INF


def test_interrupted_fit_warns(monkeypatch):
    problem = noisy_problem(n_samples=600)
    advance = interior_point.CentralPath._advance

    def interrupted(path):
        if path.n_iter == 6:
            raise KeyboardInterrupt
        return advance(path)

    monkeypatch.setattr(interior_point.CentralPath, "_advance", interrupted)
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
            point = working_set.solve(problem, tol=1e-9, max_iter=max_iter)
        assert point.status is Status.MAX_ITER
        assert point.n_iter == max_iter
        primal, dual = value(problem, point)
        assert dual <= primal < INF
