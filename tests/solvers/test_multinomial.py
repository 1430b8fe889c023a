"""The multinomial loss in the engine: rivals, identities, independent certificates."""

import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax, xlogy
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from gnorm import solve
from gnorm.gates import HyperplaneGates, ReLUGates
from gnorm.losses import LogLoss, Multinomial
from gnorm.norms import GroupNorm, PredictorL2
from gnorm.solvers import Near, gln_norm_path
from gnorm.solvers.active_set.rounds import solve_near
from gnorm.solvers.certify import certify
from gnorm.solvers.design import get_norm, make_design
from gnorm.solvers.interior import MultinomialSystem
from gnorm.solvers.methods import METHODS, choose, further_choices
from gnorm.solvers.path import saturation
from gnorm.solvers.problem import Point, Problem
from gnorm.solvers.run import Run
from gnorm.solvers.solution import Status

GATES = {"gln": HyperplaneGates, "l2": HyperplaneGates, "frelu": ReLUGates}


def labelled(n_samples=60, n_features=5, n_classes=3, n_units=4, kind="gln", seed=0):
    """Inputs, classes that overlap, and gates."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    scores = X @ rng.normal(size=(n_features, n_classes)) + np.abs(X[:, :1]) * np.arange(n_classes)
    y = np.argmax(scores + rng.gumbel(size=scores.shape), axis=1)
    return X, y, GATES[kind](n_units, random_state=seed).fit_transform(X)


def always_open(X):
    return np.ones((len(X), 1, 1), dtype=bool)


def features(X, gates):
    """Gated features of each unit, shape (n_units, n_samples, n_contexts * n_features)."""
    phi = gates.transpose(1, 0, 2)[..., None] * X[None, :, None, :]
    return phi.reshape(*phi.shape[:2], -1)


def values_by_hand(solution, X, y, gates, C, weights):
    """Primal and dual value from the arrays alone, with numpy."""
    zeta, b = solution.zeta, solution.dual_coef
    flat = zeta.reshape(len(zeta), -1, zeta.shape[3])
    f = np.einsum("hnd,hdk->nk", features(X, gates), flat)
    norm = weights @ np.sqrt(np.sum(flat**2, axis=(1, 2)))
    rows = np.arange(len(y))
    primal = 0.5 * norm**2 - np.sum(C * log_softmax(f, axis=1)[rows, y])
    p = -b / C[:, None]
    p[rows, y] += 1.0
    assert np.min(p) >= -1e-12
    assert_allclose(np.sum(b, axis=1), 0.0, atol=1e-12 * np.max(C))
    V = np.einsum("hnd,nk->hdk", features(X, gates), b)
    dual_norm = np.max(np.sqrt(np.sum(V**2, axis=(1, 2))) / weights)
    p = np.maximum(p, 0.0)
    return primal, -np.sum(C[:, None] * xlogy(p, p)) - 0.5 * dual_norm**2


# ------------------------------------------------------------------------------------------ rivals


@pytest.mark.parametrize("n_classes", [3, 4])
@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_same_optimum_as_clarabel(n_classes, kind, is_weighted, C):
    X, y, gates = labelled(50, 5, n_classes, 4, kind)
    options = {"loss": Multinomial(n_classes), "C": C}
    if kind == "l2":
        options["norm"] = "predictor_l2"
    elif is_weighted:
        options["unit_weights"] = np.linspace(0.5, 2.0, gates.shape[1])
    if is_weighted:
        options["sample_weight"] = np.random.default_rng(1).uniform(0.1, 2.0, len(y))
    ours = solve(X, y, gates, tol=1e-8, **options)
    theirs = solve(X, y, gates, method="clarabel", tol=1e-7, **options)
    assert (ours.method, theirs.method) == ("interior-point", "clarabel")
    assert ours.duality_gap <= 1e-8
    assert ours.n_iter <= 15
    assert_allclose(ours.primal_value, theirs.primal_value, rtol=1e-6)
    assert_allclose(ours.norm, theirs.norm, rtol=1e-3)
    f, g = ours.decision_values(X, gates), theirs.decision_values(X, gates)
    assert f.shape == (len(y), n_classes)
    assert_allclose(f, g, atol=2e-3 * np.max(np.abs(g)))


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("C", [0.05, 1.0, 50.0])
def test_one_unit_is_logistic_regression(n_classes, C):
    X, y, _ = labelled(80, 4, n_classes)
    ours = solve(X, y, always_open(X), loss="multinomial", C=C, tol=1e-13)
    # scikit-learn has no softmax for two classes: it is the log loss of their difference
    factor = 2.0 if n_classes == 2 else 1.0
    theirs = LogisticRegression(C=factor * C, fit_intercept=False, tol=1e-12, max_iter=10**4)
    coef = theirs.fit(X, y).coef_
    zeta = ours.zeta[0, 0].T
    if n_classes == 2:
        assert_allclose(zeta[0], -zeta[1], atol=1e-6)
        zeta = zeta[1:] - zeta[:1]
    assert_allclose(zeta, coef, atol=1e-6 * max(1.0, np.max(np.abs(coef))))


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("C", [0.1, 1.0, 30.0])
def test_two_classes_are_the_log_loss_of_twice_the_weight(kind, C):
    r"""With f = f_1 - f_0, the shortest of both are -f/2 and f/2, of norm ||f|| / sqrt(2).

    So the problem is :math:`\tfrac14 \|f\|^2 + C \sum m(y f)`, half the binary one with 2C.
    """
    X, y, gates = labelled(60, 5, 2, 4, kind)
    norm = "predictor_l2" if kind == "l2" else None
    two = solve(X, y, gates, loss=Multinomial(2), C=C, norm=norm, tol=1e-10)
    one = solve(X, 2 * y - 1, gates, loss=LogLoss(), C=2 * C, norm=norm, tol=1e-10)
    assert_allclose(two.primal_value, one.primal_value / 2, rtol=1e-8)
    assert_allclose(two.norm, one.norm / np.sqrt(2), rtol=1e-5)
    f = two.decision_values(X, gates)
    assert_allclose(f[:, 1] - f[:, 0], one.decision_values(X, gates), atol=2e-4)
    assert_allclose(2 * two.dual_coef[:, 1], (2 * y - 1) * one.dual_coef, atol=1e-3 * C)


# ------------------------------------------------------------------------------------ certificates


@pytest.mark.parametrize("kind", ["gln", "frelu"])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0, 1e4, 1e6])
def test_certificate_by_hand(kind, C):
    X, y, gates = labelled(60, 5, 4, 5, kind)
    rng = np.random.default_rng(1)
    weight, w = rng.uniform(0.2, 2.0, len(y)), rng.uniform(0.5, 2.0, gates.shape[1])
    solution = solve(
        X, y, gates, loss="multinomial", C=C, sample_weight=weight, unit_weights=w, tol=1e-7
    )
    primal, dual = values_by_hand(solution, X, y, gates, C * weight, w)
    assert_allclose([solution.primal_value, solution.dual_value], [primal, dual], rtol=1e-9)
    assert -1e-12 <= (primal - dual) / primal <= 1e-7
    assert solution.n_iter <= (15 if C <= 100 else 25)
    assert solution.zeta.shape == (*gates.shape[1:], X.shape[1], 4)
    assert solution.unit_norms.shape == (gates.shape[1],)
    assert np.isnan(solution.margin)
    assert_array_equal(solution.support, np.arange(len(y)))


@pytest.mark.parametrize("norm", [GroupNorm(), PredictorL2()])
def test_any_pair_of_points_brackets_the_optimum(norm):
    X, y, gates = labelled(40, 4, 3, 3)
    problem = Problem(make_design(norm, X, gates), Multinomial(3), y, np.ones(len(y)))
    best = solve(X, y, gates, norm=norm, loss=Multinomial(3), tol=1e-10)
    rng = np.random.default_rng(0)
    n_kernels = problem.design.n_kernels
    for _ in range(5):
        coef = rng.normal(size=(len(y), 3))
        shares = rng.dirichlet(np.ones(n_kernels))
        found = certify(problem, Point(coef, (coef, shares), Status.OPTIMAL, 0))
        assert_allclose(found.dual_coef.sum(axis=1), 0.0, atol=1e-12)
        assert found.dual_value <= best.primal_value * (1 + 1e-10)
        assert found.primal_value >= best.dual_value * (1 - 1e-10)


def test_feasible_coefficients_keep_their_digits():
    loss, y, C = Multinomial(3), np.array([0, 1, 2]), np.array([1.0, 2.0, 3.0])
    b = np.array([[5.0, -1e-20, 1.0], [-3.0, 0.0, -1.0], [-1.0, -1.0, 2.0]])
    expected = [[1e-20, -1e-20, 0.0], [-4 / 3, 2.0, -2 / 3], [-1.0, -1.0, 2.0]]
    assert_allclose(loss.feasible(y, b, C), expected, rtol=1e-15)


@pytest.mark.parametrize("kind", GATES)
def test_weights_are_copies(kind):
    X, y, gates = labelled(40, 5, 3, 4, kind)
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, len(y))
    copies = rng.permutation(np.repeat(np.arange(len(y)), weight))
    options = {"loss": "multinomial", "norm": "predictor_l2" if kind == "l2" else None}
    one = solve(X, y, gates, sample_weight=weight, **options)
    other = solve(X[copies], y[copies], gates[copies], **options)
    assert_allclose(one.zeta, other.zeta, rtol=1e-7, atol=1e-9)
    assert_allclose(one.dual_coef[copies], weight[copies, None] * other.dual_coef, atol=1e-9)
    assert_array_equal(one.support, np.flatnonzero(weight))


def test_order_of_classes_does_not_matter():
    X, y, gates = labelled(60, 5, 4, 5)
    order = np.array([2, 0, 3, 1])
    one = solve(X, y, gates, loss="multinomial", tol=1e-9)
    other = solve(X, order[y], gates, loss="multinomial", tol=1e-9)
    assert_allclose(other.zeta[..., order], one.zeta, atol=1e-5)


def test_a_class_without_samples():
    X, y, gates = labelled(60, 5, 3, 5)
    solution = solve(X, y, gates, loss=Multinomial(4), tol=1e-8)
    assert solution.duality_gap <= 1e-8
    assert np.all(solution.decision_values(X, gates).argmax(axis=1) < 3)
    weight = np.where(y == 2, 0.0, 1.0)  # its samples are as if they were absent
    assert solve(X, y, gates, loss="multinomial", sample_weight=weight).zeta.shape[3] == 2


def test_decision_values_of_new_inputs():
    X, y, gates = labelled(60, 5, 3, 5)
    solution = solve(X, y, gates, loss="multinomial")
    new = np.random.default_rng(1).normal(size=(7, 5))
    new_gates = HyperplaneGates(5, random_state=0).fit(X).transform(new)
    expected = np.einsum("nhc,nd,hcdk->nk", new_gates, new, solution.zeta)
    assert_allclose(solution.decision_values(new, new_gates), expected, atol=1e-12)


# ------------------------------------------------------------------------------- methods and memory


@pytest.mark.parametrize("method", ["interior-point", "working-set"])
def test_methods_take_all_samples(method):
    X, y, gates = labelled(450, 4, 3, 3)
    solution = solve(X, y, gates, loss="multinomial", method=method)
    assert solution.duality_gap <= 1e-6
    assert solution.n_iter <= 15


def test_primal_refuses_several_outputs():
    X, y, gates = labelled()
    sentence = (
        "method='primal' expected a loss of one output, got 'multinomial' of 3; "
        "method='interior-point' takes it"
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        solve(X, y, gates, loss="multinomial", method="primal")


@pytest.mark.parametrize(("n_samples", "chosen"), [(60, "interior-point"), (2000, "factored")])
def test_auto_goes_by_the_samples(n_samples, chosen):
    X, y, gates = labelled(n_samples, 3, 3, 2)
    design = make_design(get_norm(None, gates), X, gates)
    problem = Problem(design, Multinomial(3), y, np.ones(len(y)))
    assert choose(problem, np.inf).method.name == chosen
    second = further_choices(problem, METHODS[chosen])[0]
    assert {chosen, second.name} == {"interior-point", "factored"}
    assert choose(problem, 1e3).method.name == "factored"  # in little memory
    steep = replace(problem, C=np.full(len(y), 1e8))
    assert choose(steep, np.inf).method.name == "interior-point"


def test_conic_solver_has_the_last_word_on_few_samples():
    rng = np.random.default_rng(10)
    X, y = 100 * rng.normal(size=(30, 3)), rng.integers(0, 3, 30)
    gates = rng.random((30, 2, 2)) < 0.6
    solution = solve(X, y, gates, loss="multinomial", C=2e3)
    assert solution.duality_gap <= 1e-6


def test_many_samples_are_descended_on():
    X, y, gates = labelled(3000, 4, 3, 2)
    solution = solve(X, y, gates, loss="multinomial", tol=1e-5, memory_limit=1e7)
    assert solution.method == "factored"
    some = slice(None, None, 6)  # few enough for the interior point, each of weight 6
    part = X[some], y[some], gates[some]
    exact = solve(*part, loss="multinomial", C=6.0, method="interior-point", tol=1e-7)
    alike = solve(*part, loss="multinomial", C=6.0, method="factored", tol=1e-7)
    assert_allclose(alike.primal_value, exact.primal_value, rtol=2e-7)


def test_descent_ends_at_weights_of_least_cost():
    X, y, gates = labelled(60, 4, 3, 3)
    with pytest.warns(ConvergenceWarning):  # before descent has made them so
        solution = solve(X, y, gates, loss="multinomial", method="factored", max_iter=5, tol=1e-9)
    assert_allclose(solution.norm, np.sum(solution.unit_norms), rtol=1e-12)


def test_memory_is_named():
    X, y, gates = labelled(500, 3, 4, 2)
    expected = r"expected a memory_limit of at least 1\.\de\+07 bytes .* on 500 samples"
    for method in ("interior-point", "working-set"):
        with pytest.raises(MemoryError, match=expected):
            solve(X, y, gates, loss="multinomial", method=method, memory_limit=1e7)
    for limit, method in (1e7, "auto"), (3e7, "interior-point"):
        solution = solve(X, y, gates, loss="multinomial", method=method, memory_limit=limit)
        assert solution.duality_gap <= 1e-6


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        ([0.5] * 60, {}, r"expected labels 0, 1, ... in y"),
        ([-1] * 60, {}, r"expected labels 0, 1, ... in y"),
        ([3] * 60, {"loss": Multinomial(3)}, r"expected labels 0, ..., 2 in y, got \[3\]"),
        ([0, 1] * 30, {"C": np.inf}, "expected a finite C for the loss 'multinomial'"),
    ],
)
def test_malformed_input(y, options, message):
    X, _, gates = labelled()
    with pytest.raises(ValueError, match=message):
        solve(X, y, gates, **({"loss": "multinomial"} | options))


def test_iteration_ends_at_max_iter():
    X, y, gates = labelled()
    with pytest.warns(UserWarning, match="stopped after 2 iterations"):
        solution = solve(X, y, gates, loss="multinomial", C=10.0, max_iter=2)
    assert solution.status is Status.MAX_ITER
    assert solution.dual_value <= solution.primal_value


def test_newton_step_solves_its_equations():
    X, y, gates = labelled(30, 4, 3, 3)
    problem = Problem(make_design(get_norm(None, gates), X, gates), Multinomial(3), y, np.ones(30))
    system = MultinomialSystem(problem)
    state = system.start()
    assert system.factor(state)
    wanted = np.empty(0), np.empty(0), 0.1 - state.s * state.mu
    change = system.direction(wanted)
    P, turned = system.P, system._images(change.x)
    slopes, way = system.coefficients.slopes(state.x, system._outputs(state))
    lack = slopes * (way - change.x) - turned @ state.mu - P @ change.mu
    by_sample = lack.reshape(30, 3)
    assert_allclose(by_sample, by_sample.mean(axis=1, keepdims=True) * np.ones(3), atol=1e-10)
    assert_allclose(change.x.reshape(30, 3).sum(axis=1), 0.0, atol=1e-12)
    assert_allclose(np.sum(state.mu + change.mu), 1.0, atol=1e-12)
    assert_allclose(P.T @ change.x + change.s, change.t * np.ones(len(P.T)), atol=1e-10)
    assert_allclose(state.mu * change.s + state.s * change.mu, wanted[2], atol=1e-10)


# -------------------------------------------------------------------------------------------- path


def test_path_is_a_solve_for_each_C():
    X, y, gates = labelled(60, 5, 3, 4)
    path = gln_norm_path(X, y, gates, loss="multinomial", n_Cs=6, tol=1e-7)
    assert path.Cs[0] == path.least_C
    assert_allclose(path.Cs, path.least_C * np.geomspace(1, 1e4, 6))
    for C, solution in zip(path.Cs, path.solutions, strict=True):
        alone = solve(X, y, gates, loss="multinomial", C=C, tol=1e-9)
        assert solution.duality_gap <= 1e-7
        assert_allclose(solution.primal_value, alone.primal_value, rtol=1e-6)
        assert solution.zeta.shape == alone.zeta.shape
    assert np.all(np.diff([solution.norm for solution in path.solutions]) > 0)


def test_path_starts_from_the_solution_before():
    X, y, gates = labelled(60, 5, 3, 4)
    cold = [solve(X, y, gates, loss="multinomial", C=C).n_iter for C in np.geomspace(0.1, 10, 20)]
    path = gln_norm_path(X, y, gates, loss="multinomial", Cs=np.geomspace(0.1, 10, 20), tol=1e-6)
    assert sum(solution.n_iter for solution in path.solutions) < 0.75 * sum(cold)


def test_start_out_of_range_is_none():
    X, y, gates = labelled(60, 5, 3, 4)
    problem = Problem(make_design(get_norm(None, gates), X, gates), Multinomial(3), y, np.ones(60))
    coef = np.full((60, 3), 1e300)
    near = Near(coef, np.full(gates.shape[1], 1 / gates.shape[1]), coef)
    assert solve_near(problem, Run(1e-6, 100), near) is None


def test_saturated_end_is_a_closed_form():
    X, y, gates = labelled(60, 5, 3, 4)
    problem = Problem(make_design(get_norm(None, gates), X, gates), Multinomial(3), y, np.ones(60))
    end = saturation(problem)
    assert_allclose(end.coef, (np.arange(3) == y[:, None]) - 1 / 3)
    # short of the end, which another order of the samples rounds otherwise
    path = gln_norm_path(
        X, y, gates, Cs=[end.C / 4, 0.999999 * end.C], loss="multinomial", tol=2e-4
    )
    assert [solution.method for solution in path.solutions] == ["closed form"] * 2
    small, large = (solution.zeta for solution in path.solutions)
    assert_allclose(4 * small, large, rtol=0.02, atol=1e-12)  # each in its best length


def test_path_by_symmetric_units():
    """Units of the same longest sums share the predictor of the saturated end."""
    X, y, _ = labelled(40, 4, 3)
    gates = np.ones((40, 3, 1), dtype=bool)
    problem = Problem(make_design(GroupNorm(), X, gates), Multinomial(3), y, np.ones(40))
    end = saturation(problem)
    assert_allclose(np.sum(end.weights), 1.0)
    path = gln_norm_path(X, y, gates, Cs=[end.C, 1.0], norm=GroupNorm(), loss="multinomial")
    assert max(solution.duality_gap for solution in path.solutions) <= 1e-4


# ------------------------------------------------------------------------------------------ digits


def test_ten_digits():
    X, y = load_digits(return_X_y=True)
    X, y = np.column_stack([X[:500] / 16, np.ones(500)]), y[:500]
    gates = HyperplaneGates(5, random_state=0).fit_transform(X)
    solution = solve(X, y, gates, loss="multinomial", method="interior-point", tol=1e-6)
    assert solution.duality_gap <= 1e-6
    assert solution.n_iter <= 15
    primal, dual = values_by_hand(solution, X, y, gates, np.ones(500), np.ones(5))
    # the cost of the weights themselves, which for these gates are those of least cost
    assert_allclose([primal, dual], [solution.primal_value, solution.dual_value], rtol=1e-9)
    assert np.mean(solution.decision_values(X, gates).argmax(axis=1) == y) > 0.95
