"""Max margin of several classes at once: written out in cvxpy, certificates, choice of method."""

import warnings

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning

from gnorm import NotSeparableError, solve
from gnorm.losses import CrammerSinger, OneVersusRest
from gnorm.norms import GLN, L1, FReLU, GroupNorm, Nuclear, PredictorL2
from gnorm.solvers import gln_norm_path
from gnorm.solvers.api import prepare
from gnorm.solvers.certify import _Dual
from gnorm.solvers.methods import METHODS, further_choices
from gnorm.solvers.problem import Problem

LOSSES = [CrammerSinger(3), OneVersusRest(3)]
UNIT_WEIGHTS = (1.0, 2.0, 0.5)
FACTORED = [Nuclear(), Nuclear(unit_weights=UNIT_WEIGHTS), GroupNorm(), GLN(UNIT_WEIGHTS), FReLU()]

each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)


def classes(n_samples=30, n_features=4, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    scores = X @ rng.normal(size=(n_features, n_classes))
    y = np.argmax(scores + 0.7 * rng.normal(size=scores.shape), axis=1)
    is_open = X @ rng.normal(size=(n_features, 3)) > 0
    return X, y, np.stack([is_open, ~is_open], axis=-1)


def gates_of(norm, activations):
    return activations[:, :, :1] if isinstance(norm, FReLU) else activations


def features(X, activations):
    """Gated features of each unit, shape (n_units, n_samples, n_contexts * n_features)."""
    phi = activations.transpose(1, 0, 2)[..., None] * X[None, :, None, :]
    return phi.reshape(*phi.shape[:2], -1)


def separable(**sizes):
    """Samples of the class of their largest output, of one linear map."""
    X, _, activations = classes(**sizes)
    y = np.argmax(X @ np.random.default_rng(0).normal(size=(X.shape[1], 3)), axis=1)
    return X, y, activations


def optimum_by_cvxpy(X, y, activations, norm, loss, C):
    """The problem from its formulas alone."""
    phi = features(X, activations)
    units = [cp.Variable((phi.shape[2], 3)) for _ in phi]
    f = sum(each @ W for each, W in zip(phi, units, strict=True))
    atom = cp.normNuc if isinstance(norm, Nuclear) else (lambda W: cp.norm(W, "fro"))
    total = sum(w * atom(W) for w, W in zip(norm.weights(len(units)), units, strict=True))
    is_label = np.eye(3)[y]
    if isinstance(loss, CrammerSinger):
        label = cp.sum(cp.multiply(is_label, f), axis=1)
        # the largest is at least that of the label, 0
        shortfalls = cp.vstack([f[:, k] - label + 1.0 * (y != k) for k in range(3)])
        losses = cp.sum(cp.max(shortfalls, axis=0))
    else:
        shortfalls = 1 - cp.multiply(2 * is_label - 1, f)
        losses = cp.sum(cp.pos(shortfalls))
    if np.isinf(C):
        problem = cp.Problem(cp.Minimize(0.5 * cp.square(total)), [shortfalls <= 0])
    else:
        problem = cp.Problem(cp.Minimize(0.5 * cp.square(total) + C * losses))
    return problem.solve(solver="CLARABEL")


@each_loss
@pytest.mark.parametrize("norm", FACTORED, ids=repr)
@pytest.mark.parametrize("C", [0.05, 1.0])
def test_optimum_of_the_formulas_written_out(norm, loss, C):
    X, y, activations = classes()
    activations = gates_of(norm, activations)
    expected = optimum_by_cvxpy(X, y, activations, norm, loss, C)
    solution = solve(X, y, activations, norm=norm, loss=loss, C=C, tol=1e-6, method="factored")
    assert solution.method == "factored"
    assert solution.duality_gap <= 1e-6
    assert_allclose(solution.primal_value, expected, rtol=2e-6)
    assert solution.dual_value <= expected * (1 + 1e-6)


@each_loss
@pytest.mark.parametrize("norm", FACTORED[:4], ids=repr)
def test_hard_margins_of_the_formulas_written_out(norm, loss):
    X, y, activations = separable()
    expected = optimum_by_cvxpy(X, y, activations, norm, loss, np.inf)
    for method in ("auto", "factored", "clarabel"):
        options = {"norm": norm, "loss": loss, "C": np.inf, "method": method}
        solution = solve(X, y, activations, tol=1e-5, **options)
        assert solution.duality_gap <= 1e-5
        assert_allclose(solution.primal_value, expected, rtol=2e-5)
        assert solution.dual_value <= expected * (1 + 1e-6)
        assert np.all(loss.margins(y, solution.decision_values(X, activations)) >= 1)
        assert_allclose(solution.margin, 1 / solution.norm, rtol=1e-8)


@each_loss
@pytest.mark.parametrize("norm", ["gln", "nuclear", "l1", "operator"])
def test_hard_margins_are_those_of_a_large_weight(loss, norm):
    X, y, activations = separable(n_samples=20)
    options = {"norm": norm, "loss": loss, "tol": 1e-4}
    hard = solve(X, y, activations, C=np.inf, **options)
    soft = solve(X, y, activations, C=1.01 * np.max(np.abs(hard.dual_coef)), **options)
    assert_allclose(soft.primal_value, hard.primal_value, rtol=2e-4)
    some = solve(X, y, activations, C=np.where(np.arange(20) < 10, np.inf, 1e-3), **options)
    margins = loss.margins(y, some.decision_values(X, activations))
    assert np.all(margins[:10] >= 1)
    assert np.any(margins[10:] < 1)
    assert some.primal_value < hard.primal_value * (1 - 1e-3)


@each_loss
@pytest.mark.parametrize(
    ("norm", "method"),
    [
        ("gln", "auto"),
        ("gln", "clarabel"),
        ("gln", "factored"),
        ("nuclear", "factored"),
        ("nuclear", "clarabel"),
        ("l1", "highs"),
        ("operator", "auto"),
    ],
)
def test_proof_that_nothing_separates(loss, norm, method):
    X, y, activations = classes(n_samples=80)
    for inputs in (X, csr_matrix(X)):
        with pytest.raises(NotSeparableError) as caught:
            solve(inputs, y, activations, loss=loss, norm=norm, C=np.inf, method=method)
        b = caught.value.certificate
        assert b.shape == (80, 3)
        # a combination of margins, all with weights of one sign, that is zero for every predictor
        assert np.all(b * (2 * np.eye(3)[y] - 1) >= 0)
        if isinstance(loss, CrammerSinger):
            assert_allclose(b.sum(axis=1), 0.0, atol=1e-15)
        assert 1 - 1e-12 <= np.abs(b).sum() <= 2 + 1e-12
        assert_allclose(np.einsum("hnd,nk->hdk", features(X, activations), b), 0.0, atol=1e-15)


def test_proof_about_all_samples():
    X, y, activations = separable()
    X, activations = np.vstack([X, X[:1]]), np.concatenate([activations, activations[:1]])
    y = np.append(y, (y[0] + 1) % 3)  # the same input with two labels
    weight = np.where(np.arange(len(y)) == 5, 0.0, 2.0)
    with pytest.raises(NotSeparableError, match="2 samples, the heaviest are") as caught:
        solve(X, y, activations, loss="crammer_singer", C=np.inf, sample_weight=weight)
    assert_array_equal(np.flatnonzero(caught.value.certificate.any(axis=1)), [0, len(y) - 1])


def test_hard_margins_in_any_unit():
    X, y, activations = separable()
    options = {"loss": "crammer_singer", "C": np.inf, "tol": 1e-6}
    norm = solve(X, y, activations, **options).norm
    for unit in (1e-40, 1e40):
        assert_allclose(solve(unit * X, y, activations, **options).norm * unit, norm, rtol=2e-6)


@each_loss
@pytest.mark.parametrize("method", ["factored", "clarabel"])
def test_certificate_by_hand(loss, method):
    X, y, activations = classes()
    C = np.random.default_rng(1).uniform(0.1, 2.0, len(y))
    solution = solve(X, y, activations, norm="nuclear", loss=loss, C=C, tol=1e-5, method=method)
    phi = features(X, activations)
    matrices = solution.zeta.reshape(3, -1, 3)
    f = np.einsum("hnd,hdk->nk", phi, matrices)
    norm = np.linalg.svd(matrices, compute_uv=False).sum()
    is_label = np.eye(3)[y]
    b = solution.dual_coef
    if isinstance(loss, CrammerSinger):
        label = np.sum(is_label * f, axis=1)
        margins = label - np.max(np.where(is_label > 0, -np.inf, f), axis=1)
        losses = np.maximum(0, 1 - margins)
        conjugate = -b[np.arange(len(y)), y]
        assert_allclose(b.sum(axis=1), 0.0, atol=1e-12)
        assert np.all(is_label - b / C[:, None] >= -1e-12)
    else:
        s = 2 * is_label - 1
        margins, losses = np.min(s * f, axis=1), np.maximum(0, 1 - s * f).sum(axis=1)
        conjugate = -np.sum(s * b, axis=1)
        assert np.all((s * b >= 0) & (s * b <= C[:, None] * (1 + 1e-12)))
    V = np.einsum("hnd,nk->hdk", phi, b)
    primal = 0.5 * norm**2 + C @ losses
    dual = -conjugate.sum() - 0.5 * np.linalg.svd(V, compute_uv=False).max() ** 2
    assert_allclose([solution.primal_value, solution.dual_value], [primal, dual], rtol=1e-8)
    assert -1e-9 <= (primal - dual) / primal <= 1e-5
    assert_allclose(solution.margin, margins.min() / norm, rtol=1e-8)


@pytest.mark.parametrize("norm", [GroupNorm(), L1(), PredictorL2()], ids=repr)
def test_two_classes_are_the_hinge_of_their_difference(norm):
    """Shortest are -f/2 and f/2: R is R(f) / sqrt(2), but R(f) where lengths of outputs add up."""
    X, y, activations = classes()
    y = np.minimum(y, 1)
    options = {"norm": norm, "tol": 1e-7}
    two = solve(X, y, activations, loss="crammer_singer", C=0.5, **options)
    one = solve(
        X, 2 * y - 1, activations, loss="hinge", C=0.5 * (1 if norm == L1() else 2), **options
    )
    assert_allclose(two.primal_value, one.primal_value / (1 if norm == L1() else 2), rtol=2e-6)


def test_one_versus_rest_shares_units_under_the_nuclear_norm_alone():
    X, y, _ = classes()
    always = np.ones((len(X), 1, 1), dtype=bool)
    each = [
        solve(X, np.where(y == k, 1, -1), always, norm="l2", C=0.3, tol=1e-8).primal_value
        for k in range(3)
    ]
    together = solve(X, y, always, norm="l2", loss="one_versus_rest", C=0.3, tol=1e-7)
    assert_allclose(together.primal_value, np.sum(each), rtol=1e-6)
    shared = solve(X, y, always, norm="nuclear", loss="one_versus_rest", C=0.3, tol=1e-6)
    assert shared.primal_value > together.primal_value * (1 + 1e-3)


def test_a_single_output_with_kinks_is_trained_as_well():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 12)), rng.choice([-1.0, 1.0], 30)
    always = np.ones((30, 1, 1), dtype=bool)
    for loss in ("hinge", "absolute_error", "epsilon_insensitive", "quantile"):
        options = {"norm": Nuclear(shape=(3, 4)), "loss": loss, "C": 0.3}
        trained = solve(X, y, always, method="factored", tol=1e-5, **options)
        conic = solve(X, y, always, tol=1e-6, **options)
        assert (trained.method, conic.method) == ("factored", "clarabel")
        assert_allclose(trained.primal_value, conic.primal_value, rtol=1e-5)


def test_which_method_is_chosen():
    X, y, activations = classes(n_samples=40)
    methods = {
        norm: solve(X, y, activations, norm=norm, loss="crammer_singer", C=0.1, tol=1e-3).method
        for norm in ("nuclear", "gln", "l1", "operator")
    }
    assert methods == {
        "nuclear": "factored",
        "gln": "clarabel",
        "l1": "highs",
        "operator": "clarabel",
    }
    X, y, activations = classes(n_samples=340)
    solution = solve(X, y, activations, loss="crammer_singer", C=0.1, tol=1e-3)
    assert solution.method == "factored"


@each_loss
def test_the_path(loss):
    X, y, activations = classes()
    path = gln_norm_path(X, y, activations, n_Cs=3, eps=1e-2, loss=loss, norm="nuclear", tol=1e-4)
    assert np.all(np.diff([solution.norm for solution in path.solutions]) > 0)
    assert all(solution.duality_gap <= 1e-4 for solution in path.solutions)
    # from its end on the norm is of the size of C
    assert 0.1 < path.solutions[0].norm / path.solutions[-1].norm * 100 < 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"loss": "multinomial", "C": np.inf},
            "expected a finite C for the loss 'multinomial', got C=inf",
        ),
        (
            {"method": "interior-point"},
            r"a loss of one output or the multinomial, got CrammerSinger\(n_classes=3\); "
            "method='clarabel' takes it",
        ),
        ({"method": "primal"}, "a loss of one output or the multinomial"),
        ({"norm": "max_abs"}, "expected one output for the norm MaxAbs, got 3; Nuclear"),
    ],
)
def test_errors_say_what_would_do(options, message):
    X, y, activations = classes()
    with pytest.raises(ValueError, match=message):
        solve(X, y, activations, **{"loss": "crammer_singer"} | options)


def test_a_hard_margin_of_one_output_is_trained_where_the_loss_has_a_kink():
    X, y, activations = separable()
    labels = np.where(y > 0, 1, -1)
    options = {"norm": "nuclear", "C": np.inf, "tol": 1e-5}
    trained = solve(X, labels, activations, loss="hinge", method="factored", **options)
    conic = solve(X, labels, activations, loss="squared_hinge", **options)
    assert (trained.method, conic.method) == ("factored", "clarabel")
    assert_allclose(trained.primal_value, conic.primal_value, rtol=2e-5)
    with pytest.raises(ValueError, match=r"a piecewise linear loss, got .* method='clarabel'"):
        solve(X, labels, activations, loss="squared_hinge", method="factored", **options)


def test_semidefinite_cones_are_no_second_choice_where_they_are_large():
    X, y, activations = separable(n_features=30)
    for n_features, names in ((4, ["clarabel"]), (30, [])):
        design, merged = prepare(X[:, :n_features], y, activations, np.ones(len(y)), norm=Nuclear())
        problem = Problem(design, CrammerSinger(3), y[merged.rows], merged.times(1.0))
        further = further_choices(problem, METHODS["factored"])
        assert [method.name for method in further] == names


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_large_weights_are_solved_by_other_means_where_a_conic_solver_fails(scale):
    rng = np.random.default_rng(0)
    X, y = scale * rng.normal(size=(12, 3)), np.arange(12) % 3
    activations = np.ones((12, 1, 1), dtype=bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solution = solve(X, y, activations, loss="crammer_singer", C=1e10 / scale**2)
    assert 0 < solution.norm < np.inf
    assert solution.duality_gap < 1e-3


def test_auto_goes_on_where_memory_is_short():
    X, y, activations = classes()
    for limit in (1e4, 1e5, 1e6):
        solution = solve(
            X, y, activations, loss="crammer_singer", C=np.inf, memory_limit=limit, tol=1e-4
        )
        assert solution.duality_gap <= 1e-4


@each_loss
def test_more_digits_do_not_change_what_a_norm_of_matrices_is(loss):
    X, y, activations = classes()
    design, merged = prepare(X, y, activations, np.ones(len(y)), norm=Nuclear())
    problem = Problem(design, loss, y[merged.rows], merged.times(1.0))
    b = -loss.derivative(problem.y, problem.zero_outputs, problem.C)
    plain = _Dual.near(problem, b, problem.zero_outputs, None)
    assert_allclose(plain.accurate().value, plain.value, rtol=1e-10)
