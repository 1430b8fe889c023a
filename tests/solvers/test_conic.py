"""The conic solvers against the interior point: two ways to one certificate."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale
from sklearn.utils.class_weight import compute_sample_weight

import gnorm
from gnorm import NotSeparableError, gated, max_margin
from gnorm.losses import Hinge
from gnorm.norms import PredictorL2
from gnorm.solvers import Status, conic
from gnorm.solvers.attempts import solve_certified
from gnorm.solvers.certify import primal_value
from gnorm.solvers.design import get_norm, make_design
from gnorm.solvers.problem import Problem

INF = np.inf
METHODS = ["interior-point", "clarabel", "scs"]
CONIC = ["clarabel", "scs"]
GATES = ["gln-2", "gln-4", "frelu", "several", "always-on"]


def gates_of(kind, X, n_units, seed=0):
    rng = np.random.default_rng(seed)
    is_above = np.einsum("nd,dhk->nhk", X, rng.normal(size=(X.shape[1], n_units, 2))) > 0
    if kind == "gln-2":
        return np.stack([is_above[..., 0], ~is_above[..., 0]], axis=2)
    if kind == "gln-4":
        return (is_above @ [1, 2])[..., None] == np.arange(4)
    if kind == "several":  # any number of contexts open, none included
        return rng.random((len(X), n_units, 3)) < 0.5
    activations = is_above[..., :1].copy()
    if kind == "always-on":
        activations[:, 0] = True
    return activations


def cancer(n_samples=150):
    """Tall: 31 features."""
    X, y = load_breast_cancer(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[:n_samples]
    return np.column_stack([scale(X)[rows], np.ones(n_samples)]), 2 * y[rows] - 1


def digits(n_samples=100):
    """Two groups of digits: 65 features, separable."""
    X, y = load_digits(return_X_y=True)
    X = np.column_stack([X[:n_samples] / 16, np.ones(n_samples)])
    return X, np.where(y[:n_samples] < 5, 1, -1)


def noise(n_samples=60, n_features=50):
    """Random labels and wide data: separable with an effort of nearly all samples."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(n_samples, n_features)), np.where(rng.random(n_samples) < 0.5, 1, -1)


def solve(method, *args, tol, **options):
    """Solve, and check the certificate on explicit features and all samples."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        solution = max_margin(*args, method=method, tol=tol, **options)
    X, y, activations, C = args
    weight = options.get("sample_weight")
    upper = np.array(np.broadcast_to(C, len(y)))
    if weight is not None:
        upper[weight == 0] = 0.0
        upper[weight > 0] *= weight[weight > 0]
    is_hard, a = np.isinf(upper), solution.dual_coef
    margins = y * np.einsum("nhc,hcd,nd->n", activations, solution.zeta, X)
    V = np.einsum("n,nhc,nd->hcd", a * y, activations, X)
    norm = np.sqrt(np.sum(solution.zeta**2, axis=(1, 2))).sum()
    loss = upper[~is_hard] @ np.maximum(0.0, 1.0 - margins[~is_hard])
    assert np.all(margins[is_hard] >= 1 - 1e-9)
    assert np.all((a >= 0) & (a <= upper))
    primal_value = norm**2 / 2 + loss
    dual_value = np.sum(a) - np.max(np.sum(V**2, axis=(1, 2))) / 2
    assert_allclose(solution.primal_value, primal_value, rtol=1e-9)
    assert_allclose(solution.dual_value, dual_value, rtol=1e-9)
    assert -1e-12 <= solution.duality_gap <= tol
    assert solution.status is Status.OPTIMAL
    assert solution.method == method
    return solution


def assert_agree(*args, solvers=(("clarabel", 1e-5),), **options):
    ours = solve("interior-point", *args, tol=1e-8, **options)
    for solver, tol in solvers:
        theirs = solve(solver, *args, tol=tol, **options)
        assert_allclose(theirs.primal_value, ours.primal_value, rtol=tol)
        # half the squared distance of the norms is at most what the values are apart
        distance = np.sqrt(2 * tol * ours.primal_value)
        assert_allclose(theirs.norm, ours.norm, rtol=1e-6, atol=2 * distance)


# -- agreement -------------------------------------------------------------------------------------


@pytest.mark.parametrize("C", [1e-4, 1e-2, 1.0, 100.0, INF])
@pytest.mark.parametrize("gates", GATES)
def test_clarabel_agrees_on_separable_data(gates, C):
    X, y = digits()
    assert_agree(X, y, gates_of(gates, X, 10), C)


@pytest.mark.parametrize("C", [1e-4, 1e-2, 1.0, 100.0])
@pytest.mark.parametrize("gates", GATES)
def test_clarabel_agrees_on_tall_data(gates, C):
    X, y = cancer()
    assert_agree(X, y, gates_of(gates, X, 2), C)


@pytest.mark.parametrize("C", [1e-4, 1.0, INF])
@pytest.mark.parametrize("gates", ["gln-2", "several", "always-on"])
def test_scs_agrees(gates, C):
    X, y = digits()
    assert_agree(X, y, gates_of(gates, X, 5), C, solvers=[("scs", 1e-4)])


@pytest.mark.parametrize("C", [1e-2, 1.0, INF])
def test_all_agree_on_random_labels(C):
    X, y = noise()
    activations = gates_of("gln-2", X, 10)
    assert_agree(X, y, activations, C, solvers=[("clarabel", 1e-6), ("scs", 1e-4)])


@pytest.mark.parametrize("gates", ["gln-4", "always-on"])
def test_bounds_of_each_sample(gates):
    X, y = cancer()
    rng = np.random.default_rng(2)
    C = 10.0 ** rng.uniform(-4, 2, len(y))
    C[rng.choice(len(y), 20, replace=False)] = INF  # fewer than features, hence separable
    assert_agree(X, y, gates_of(gates, X, 5), C, solvers=[("clarabel", 1e-5), ("scs", 1e-4)])


@pytest.mark.parametrize("norm", [None, "predictor_l2"])
def test_hard_margins_among_squared_ones(norm):
    X, y = digits()
    C = np.where(np.arange(len(y)) % 5 == 0, INF, 0.01)  # soft ones fall short of their margins
    problem = X, y, gates_of("gln-2", X, 5)
    options = {"loss": "squared_hinge", "C": C, "norm": norm}
    ours = gnorm.solve(*problem, **options, tol=1e-8)
    assert np.min(y * ours.decision_values(*problem[::2])) < 0.9
    for method, tol in ("clarabel", 1e-5), ("scs", 1e-4):
        theirs = gnorm.solve(*problem, **options, method=method, tol=tol)
        assert_allclose(theirs.primal_value, ours.primal_value, rtol=tol)


@pytest.mark.parametrize("C", [0.1, INF])
def test_weights(C):
    X, y = digits()
    weight = compute_sample_weight("balanced", y) * np.random.default_rng(3).integers(3, size=100)
    assert_agree(X, y, gates_of("gln-2", X, 5), C, sample_weight=weight)


@pytest.mark.parametrize("C", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("gates", ["gln-2", "frelu"])
def test_clarabel_meets_a_tight_tolerance(gates, C):
    X, y = cancer()
    solve("clarabel", X, y, gates_of(gates, X, 10), C, tol=1e-9)


@pytest.mark.parametrize(("solver", "tol"), [("clarabel", 1e-8), ("scs", 1e-6)])
def test_unit_weights_agree(solver, tol):
    X, y = digits()
    activations = gates_of("gln-2", X, 5)
    ours = solve("interior-point", X, y, activations, 0.1, tol=1e-8)
    theirs = solve(solver, X, y, activations, 0.1, tol=tol)
    distance = np.linalg.norm(theirs.zeta - ours.zeta)
    assert distance <= 10 * np.sqrt(tol) * np.linalg.norm(ours.zeta)
    assert_allclose(theirs.unit_norms, ours.unit_norms, atol=10 * np.sqrt(tol) * ours.norm)


@pytest.mark.parametrize("C", [1e-3, 1.0, INF])
def test_predictor_l2_norm(C):
    X, y = digits()
    activations = gates_of("gln-2", X, 5)
    problem = hinge_problem(X, y, activations, C, "predictor_l2")
    ours, _, _ = solve_certified(problem, tol=1e-8)
    for method, tol in (("clarabel", 1e-6), ("scs", 1e-4)):
        theirs, _, _ = solve_certified(problem, method=method, tol=tol)
        assert_allclose(theirs.primal_value, ours.primal_value, rtol=tol)
        assert -1e-12 <= theirs.gap <= tol


@pytest.mark.parametrize("solver", CONIC)
@pytest.mark.parametrize("unit", [1e-6, 1e6])
@pytest.mark.parametrize("C", [1.0, INF])
def test_units_of_the_data_do_not_matter(solver, unit, C):
    X, y = digits()
    activations = gates_of("gln-2", X, 5)
    solution = solve(solver, X, y, activations, C, tol=1e-4)
    rescaled = solve(solver, unit * X, y, activations, C / unit**2, tol=1e-4)
    assert_allclose(rescaled.primal_value * unit**2, solution.primal_value, rtol=1e-4)


@pytest.mark.parametrize("solver", CONIC)
def test_sparse_inputs(solver):
    X, y = digits()
    activations = gates_of("frelu", X, 5)
    dense = max_margin(X, y, activations, 1.0, method=solver, tol=1e-4)
    sparse = max_margin(csr_matrix(X), y, activations, 1.0, method=solver, tol=1e-4)
    assert_allclose(sparse.primal_value, dense.primal_value, rtol=1e-4)


# -- the program -----------------------------------------------------------------------------------


def hinge_problem(X, y, activations, C, norm=None):
    design = make_design(get_norm(norm, activations), X, activations)
    return Problem(design, Hinge(), y * 1.0, np.full(len(y), C))


def problem_of(gates, C, n_units=5):
    X, y = digits()
    return hinge_problem(X, y, gates_of(gates, X, n_units), C)


@pytest.mark.parametrize("gates", GATES)
def test_factors_are_those_of_the_kernels(gates):
    problem = problem_of(gates, 1.0)
    for h, unit in enumerate(np.eye(5)):
        factor = conic._factor(problem, h, 3.0)[0].toarray()
        kernel = np.tril(problem.design.weighted_gram(3 * unit, np.float64))
        assert_allclose(np.tril(factor @ factor.T), kernel, atol=1e-12 * np.max(np.abs(kernel)))


def test_factors_of_one_hot_gates_have_a_triangle_per_context():
    problem = problem_of("gln-2", 1.0)
    for h in range(5):
        sizes = np.count_nonzero(problem.design.activations[:, h], axis=0)
        assert conic._factor(problem, h, 1.0)[0].nnz <= np.sum(sizes * (sizes + 1) // 2)


def test_factors_have_the_rank_of_the_features():
    X, y = cancer()
    problem = hinge_problem(X, y, gates_of("gln-2", X, 3), 1.0)
    assert conic.MaxMarginProblem(problem).coordinates.shape == (62, 3)


@pytest.mark.parametrize("C", [1e-2, 1.0, INF])
def test_value_of_the_program_is_the_value_of_the_problem(C):
    problem = problem_of("gln-2", C)
    margin = conic.MaxMarginProblem(problem)
    value = margin.solve(solver="CLARABEL")
    optimum, _, _ = solve_certified(problem, tol=1e-8)
    assert_allclose(value, optimum.primal_value, rtol=1e-6)
    a = problem.y * optimum.dual_coef
    assert_allclose(margin.dual_coef, a, atol=1e-3 * a.max())
    lengths = problem.design.norm.unit_norms(problem.design.of_units(optimum.zeta))
    assert_allclose(margin.recovery()[1], lengths / optimum.norm, atol=1e-3)


@pytest.mark.parametrize("gates", GATES)
@pytest.mark.parametrize("C", [1e-2, INF])
def test_recovery_is_no_worse_than_the_point_of_the_solver(gates, C):
    problem = problem_of(gates, C, n_units=10)
    margin = conic.MaxMarginProblem(problem)
    loose = {f"tol_{kind}": 1e-2 for kind in ("gap_rel", "gap_abs", "feas")}
    margin.solve(solver="CLARABEL", **loose)
    # its point as it stands: margins and norm from the coordinates
    lengths = np.sqrt(margin.scale) * np.linalg.norm(margin.coordinates.value, axis=0)
    value, _ = primal_value(problem, lengths.sum(), margin.outputs.value)
    coef, shares = margin.recovery()
    zeta = problem.design.recovered(problem.design.sums(coef), shares)
    margins = problem.y * problem.design.decision_values(zeta)
    assert_allclose(margins, margin.margins.value, atol=1e-8)
    outputs = problem.design.decision_values(zeta)
    norm = problem.design.norm.value(problem.design.of_units(zeta))
    recovered, _ = primal_value(problem, norm, outputs)
    assert recovered <= value * (1 + 1e-8)


@pytest.mark.parametrize("solver", CONIC)
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("C", [1.0, INF])
def test_program_speaks_the_units_of_the_data(solver, unit, C):
    X, y = digits()
    activations = gates_of("gln-2", X, 5)
    bounds = np.full(len(y), C / unit**2)
    problem = hinge_problem(unit * X, y, activations, C / unit**2)
    margin = conic.MaxMarginProblem(problem)
    assert margin.value is margin.dual_coef is None
    margin.solve(solver=solver.upper())
    assert_allclose(margin.value, solve_certified(problem, tol=1e-8)[0].primal_value, rtol=1e-5)
    assert_allclose(margin.objective.value, margin.value)
    assert_allclose(margin.scale * margin.scaled.value, margin.value)
    a = margin.dual_coef
    assert np.all((a >= 0) & (a <= bounds))
    assert_allclose(a, margin.margin_constraint.dual_value, atol=1e-4 * a.max())
    dual_value = a.sum() - problem.design.dual_norm(problem.design.sums(y * a)) ** 2 / 2
    assert_allclose(dual_value, margin.value, rtol=1e-3)
    assert margin.solver_stats.num_iters > 0
    assert margin.compilation_time > 0


@pytest.mark.parametrize("gates", GATES)
@pytest.mark.parametrize("data", [digits, cancer])
def test_zeta_has_the_norms_and_margins_of_the_program(data, gates):
    """More features than samples, and fewer; also at a point that is not optimal."""
    X, y = data()
    activations = gates_of(gates, X, 5)
    activations[:, 1] = False  # a unit without features
    problem = hinge_problem(X, y, activations, 1.0)
    margin = conic.MaxMarginProblem(problem)
    for factor, pivots in zip(margin._factors, margin._pivots, strict=True):
        assert len(pivots) == np.linalg.matrix_rank(factor.toarray())
    margin.solve(solver="CLARABEL")
    for _ in range(2):
        zeta = margin.zeta.value
        assert zeta.shape == (*activations.shape[1:], X.shape[1])
        lengths = problem.design.norm.unit_norms(zeta)
        assert_allclose(lengths, margin.unit_norms.value, atol=1e-6 * lengths.max())
        margins = y * gated.decision_values(X, activations, zeta)
        assert_allclose(margins, margin.margins.value, atol=1e-9 * np.abs(margins).max())
        # Coordinates beyond the rank of a unit belong to no feature.
        v = np.random.default_rng(0).normal(size=margin.coordinates.shape)
        v[np.arange(len(v))[:, None] >= [len(pivots) for pivots in margin._pivots]] = 0.0
        margin.coordinates.value = v


def test_zeta_of_one_kernel_for_all_units_is_refused():
    X, y = digits()
    problem = hinge_problem(X, y, gates_of("gln-2", X, 5), 1.0, PredictorL2())
    margin = conic.MaxMarginProblem(problem)
    with pytest.raises(TypeError, match="one kernel a unit, got a QuadraticDesign"):
        margin.zeta  # noqa: B018


def test_homogeneous_program_finds_the_margin():
    problem = problem_of("gln-2", INF)
    margin = conic.MaxMarginProblem(problem, is_homogeneous=True)
    margin.solve(solver="CLARABEL")
    a = margin.dual_coef
    optimum, _, _ = solve_certified(problem, tol=1e-8)
    longest = problem.design.dual_norm(problem.design.sums(problem.y * a))
    assert_allclose(
        longest / a.sum(), np.min(problem.y * optimum.outputs) / optimum.norm, rtol=1e-5
    )


# -- data without a solution, solvers without an answer --------------------------------------------


def contradiction(C=INF):
    """One input with both labels, under the same gates."""
    X, y = digits()
    X, y = np.vstack([X, X[:1]]), np.append(y, -y[0])
    return X, y, gates_of("gln-2", X, 5), np.full(101, C)


def closed_sample():
    X, y = digits()
    activations = gates_of("frelu", X, 5)
    activations[7] = False
    return X, y, activations, np.full(100, INF)


def random_labels():
    X, y = noise(n_samples=80, n_features=5)
    return X, y, gates_of("gln-2", X, 3), np.full(80, INF)


def some_hard():
    X, y, activations, C = random_labels()
    C[::3] = 1.0
    return X, y, activations, C


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("data", [contradiction, closed_sample, random_labels, some_hard])
def test_inseparable_data_come_with_a_certificate(data, method):
    X, y, activations, C = data()
    with pytest.raises(NotSeparableError, match="coincide in every unit") as raised:
        max_margin(X, y, activations, C, method=method)
    a = raised.value.certificate
    V = np.einsum("n,nhc,nd->hcd", a * y, activations, X)
    assert np.all(a >= 0)
    assert_allclose(a.sum(), 1.0)
    assert_array_equal(a[np.isfinite(C)], 0.0)
    assert np.max(np.abs(V)) <= 1e-10 * np.max(np.linalg.norm(X, axis=1))


@pytest.mark.parametrize("solver", CONIC)
def test_contradiction_between_soft_samples_is_allowed(solver):
    X, y, activations, C = contradiction()
    C[[0, 100]] = 1.0
    assert_agree(X, y, activations, C, solvers=[(solver, 1e-4)])


@pytest.mark.parametrize("method", METHODS)
def test_features_of_zeros_alone(method):
    X, y, activations = np.zeros((6, 2)), np.tile([-1, 1], 3), np.ones((6, 2, 1), dtype=bool)
    solution = max_margin(X, y, activations, 2.0, method=method, tol=1e-4)
    assert_allclose(solution.primal_value, 12.0, rtol=1e-4)
    with pytest.raises(NotSeparableError):
        max_margin(X, y, activations, method=method)


@pytest.mark.parametrize("solver", CONIC)
def test_margin_below_the_accuracy_of_the_solvers(solver):
    X, y, activations, C = contradiction()
    X[-1, :10] += 1e-7  # separable, by next to nothing
    with pytest.raises(RuntimeError, match=r"(?i)status '.*infeasible.*'.*margin may be too small"):
        max_margin(X, y, activations, C, method=solver)


@pytest.mark.parametrize("solver", CONIC)
def test_failure_names_the_status_of_the_solver(solver, monkeypatch):
    failed = conic._Ended(Status.STALLED, "Ate the homework", has_solution=False, n_iter=3)
    monkeypatch.setattr(conic, "_run", lambda *args: failed)
    X, y = digits()
    with pytest.raises(RuntimeError, match=f"{solver.upper()} found no.*'Ate the homework'"):
        max_margin(X, y, gates_of("gln-2", X, 2), 1.0, method=solver)


@pytest.mark.parametrize(("solver", "max_iter"), [("clarabel", 4), ("scs", 30)])
def test_unfinished_solve_says_so(solver, max_iter):
    X, y = digits()
    with pytest.warns(ConvergenceWarning, match=f"{solver} stopped after {max_iter} iterations"):
        solution = max_margin(X, y, gates_of("gln-2", X, 5), 1.0, method=solver, max_iter=max_iter)
    assert solution.status is Status.MAX_ITER
    assert solution.duality_gap > 1e-6


@pytest.mark.parametrize("solver", CONIC)
@pytest.mark.parametrize("verbose", [0, 1])
def test_log_of_the_solver_is_passed_through(solver, verbose, capfd):
    X, y = digits()
    max_margin(X, y, gates_of("gln-2", X, 2), 1.0, method=solver, verbose=verbose)
    printed = capfd.readouterr()
    assert (solver in (printed.out + printed.err).lower()) == bool(verbose)
    assert verbose or printed == ("", "")
