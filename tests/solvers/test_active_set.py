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
from gnorm.margin.scan import decision_values, sums
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
    monkeypatch.setattr("gnorm.margin.guess._HARD_TOL", 1e-3)
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


@pytest.mark.parametrize("C", [1e-2, 1.0, "mixed"])
@pytest.mark.parametrize("n_rare", [1, 3])
def test_a_rare_class_is_in_the_first_chunk(C, n_rare, monkeypatch):
    monkeypatch.setattr("gnorm.margin.guess._AT_ONCE", 300)
    monkeypatch.setattr("gnorm.margin.guess._FIRST", 200)
    problem = noisy_problem(n_samples=600)
    y = np.where(np.arange(600) < n_rare, 1.0, -1.0)
    upper = np.full(600, 1.0 if C == "mixed" else C)
    if C == "mixed":
        upper[::2] = INF
    problem = MarginProblem(problem.design, y, upper)
    assert guess(problem) is not None
    primal, dual = value(problem, working_set.solve(problem, tol=1e-4, max_iter=100))
    assert primal - dual <= 1.01e-4 * primal


def test_a_gap_that_single_precision_does_not_see_is_closed_in_double(monkeypatch):
    precisions, build = [], working_set.Sets.newton

    def noted(*arguments, **options):
        newton = build(*arguments, **options)
        precisions.append(newton.precision)
        return newton

    monkeypatch.setattr(working_set.Sets, "newton", noted)
    problem = noisy_problem()
    working_set.solve(problem, tol=1e-6, max_iter=100)
    assert set(precisions) == {np.float32}
    monkeypatch.setattr(working_set, "_exact_gap", lambda problem, point: 1.1e-6)
    primal, dual = value(problem, working_set.solve(problem, tol=1e-6, max_iter=100))
    assert precisions[-2:] == [np.float32, np.float64]
    assert primal - dual <= 1.01e-6 * primal


def test_there_is_no_guess_from_one_label():
    problem = noisy_problem(C=1.0)
    assert guess(MarginProblem(problem.design, np.ones(1200), problem.upper)) is None


def test_guess_of_a_hard_margin_is_the_bias_free_machine(monkeypatch):
    monkeypatch.setattr("gnorm.margin.guess._HARD_TOL", 1e-4)
    monkeypatch.setattr("gnorm.margin.guess._STEPS", 10**5)
    problem = noisy_problem(n_samples=500, n_units=1, n_contexts=1, n_features=30)
    found = guess(problem)
    exact = interior_point.solve(problem, tol=1e-8, max_iter=100)
    zeta = problem.design.unit_weights(problem.y * exact.recovery[0], exact.recovery[1])
    margins = problem.y * problem.design.decision_values(zeta)
    assert_allclose(found.margins, margins / margins.min(), atol=1e-2)


@pytest.mark.parametrize("is_refined", [False, True])
@pytest.mark.parametrize(("C", "flipped"), [(1.0, 0.1), (INF, 0.0)])
def test_newton_step_in_single_precision(C, flipped, is_refined):
    # where the spread of the unit gradients is stiff, as at the end of the path
    problem = noisy_problem(n_samples=300, C=C, flipped=flipped)
    newton, rough = Newton(problem), Newton(problem, is_single=True)
    rough.is_refined = is_refined
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
            scale = np.max(np.abs(wanted_change), initial=0.0)
            atol = 1e-2 * scale
            assert_allclose(got_change, wanted_change, atol=atol)


@pytest.mark.parametrize("is_single", [False, True])
@pytest.mark.parametrize(("C", "flipped"), [(1.0, 0.1), (INF, 0.0)])
def test_centrality_corrections_lengthen_the_step(C, flipped, is_single):
    problem = noisy_problem(n_samples=600, C=C, flipped=flipped)
    newton = Newton(problem, is_single=is_single)
    path = interior_point.CentralPath(newton, newton.start())
    path.follow(0.3, 100, None, is_last=False)
    state = path.state
    assert newton.factor(state, newton.products(state.a))
    sigma = 0.1 * state.complementarity()
    change = newton.direction(sigma)
    longer = path._centred(change, sigma)
    assert state.reach(longer) > state.reach(change) + 0.01
    # the linear conditions are those of the step itself: mu sums up to one, dual gradients vanish
    assert_allclose(np.sum(longer.mu), np.sum(change.mu), atol=1e-5)
    step = newton.scale * (longer.a - change.a)
    residual = problem.products(step, accurate=True) @ state.mu
    residual += newton.P @ (longer.mu - change.mu) - (longer.z - change.z)
    residual[newton.bounded] += longer.u - change.u
    assert_allclose(residual, 0.0, atol=1e-4 * np.max(np.abs(change.z)))


def test_products_in_single_precision_err_by_a_part_of_the_step():
    problem = noisy_problem(n_samples=300, C=1.0, flipped=0.1)
    newton = Newton(problem, is_single=True)
    rng = np.random.default_rng(0)
    a = newton.upper * rng.uniform(size=300)
    newton.anchor(a)
    for size in (1e-2, 1e-4):
        a = a + size * newton.upper * rng.uniform(size=300)
        exact = problem.products(newton.scale * a, accurate=True)
        assert_allclose(newton.products(a), exact, atol=1e-5 * size * np.abs(exact).max())


@pytest.mark.parametrize("kind", [GatedDesign, PredictorL2Design])
@pytest.mark.parametrize("n_on", [0, 1, 40, 99])
def test_products_of_few_samples(kind, n_on):
    plain = noisy_problem(n_samples=100, n_features=60).design
    design = kind(plain.X, plain.activations)
    coef = np.zeros(100)
    coef[np.random.default_rng(0).permutation(100)[:n_on]] = 1.5
    exact = design.unit_products(coef, accurate=True)
    assert_allclose(design.unit_products(coef), exact, atol=1e-12 * np.abs(exact).max())


@pytest.mark.parametrize("kind", [GatedDesign, PredictorL2Design])
@pytest.mark.parametrize("longest", [1.0, 1e6])
def test_part_of_a_gram_matrix(kind, longest):
    plain = noisy_problem(n_samples=100).design
    X = plain.X.copy()
    X[0] *= longest  # a sample that the others are short beside
    rows = np.arange(1, 60)
    anew = kind(X[rows], plain.activations[rows]).in_single.gram
    whole = kind(X, plain.activations)
    assert whole.in_single.gram.dtype == np.float32
    part = whole.restricted(rows)
    assert "gram" in vars(part.in_single)
    assert_allclose(part.in_single.gram, anew, atol=1e-6 * np.abs(anew).max())


def test_earlier_solves_of_a_design_leave_no_trace():
    problem = noisy_problem(n_samples=600)
    first, again = (working_set.solve(problem, tol=1e-6, max_iter=100) for _ in range(2))
    assert_array_equal(first.dual_coef, again.dual_coef)
    assert "in_single" not in vars(problem.design)


def test_double_precision_where_single_stalls(monkeypatch):
    problem = noisy_problem(n_samples=600)
    factor = Newton.factor
    precisions = []

    def no_factor_of_the_last(newton, state, P):
        precisions.append(newton.precision)
        is_fine = state.complementarity() < 1e-4
        return not (newton.precision is np.float32 and is_fine) and factor(newton, state, P)

    monkeypatch.setattr(Newton, "factor", no_factor_of_the_last)
    point = working_set.solve(problem, tol=1e-6, max_iter=100)
    assert set(precisions) == {np.float32, np.float64}
    assert point.status is Status.OPTIMAL
    primal, dual = value(problem, point)
    assert primal - dual <= 1e-6 * primal


def test_scan_takes_the_margins_that_are_known():
    problem = noisy_problem(n_samples=500)
    point = interior_point.solve(problem, tol=1e-3, max_iter=100)
    coef, weights = point.recovery
    zeta = problem.design.unit_weights(problem.y * coef, weights)
    margins = problem.y * problem.design.decision_values(zeta)
    norm, scanned = working_set.scan(problem, point)
    assert_allclose(norm, problem.design.unit_norms(zeta).sum(), rtol=1e-5)
    assert_allclose(scanned, margins, atol=1e-4)
    rows = np.array([3, 1, 400])
    _, scanned = working_set.scan(problem, point, (rows, np.array([7.0, 8.0, 9.0])))
    assert_array_equal(scanned[rows], [7.0, 8.0, 9.0])
    others = np.setdiff1d(np.arange(500), rows)
    assert_allclose(scanned[others], margins[others], atol=1e-4)


@pytest.mark.parametrize("kind", [GatedDesign, PredictorL2Design])
@pytest.mark.parametrize("container", [np.asarray, csr_array])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_rough_sums(kind, container, scale):
    plain = noisy_problem(n_samples=100).design
    design = kind(container(scale * plain.X), plain.activations)
    coef = np.random.default_rng(0).normal(size=100)
    coef[::3] = 0.0
    exact = design.sums(coef)
    assert_allclose(sums(design, coef), exact, atol=1e-5 * np.abs(exact).max())
    assert not np.any(sums(design, np.zeros(100)))


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
