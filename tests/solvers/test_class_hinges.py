"""Max margin of several classes at once: written out in cvxpy, certificates, choice of method."""

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gnorm import solve
from gnorm.losses import CrammerSinger, Hinge, OneVersusRest
from gnorm.norms import GLN, L1, FReLU, GroupNorm, Nuclear, PredictorL2
from gnorm.solvers import gln_norm_path

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
        shortfalls = [f[:, k] - label + 1.0 * (y != k) for k in range(3)]
        losses = cp.sum(cp.max(cp.vstack(shortfalls), axis=0))
    else:
        losses = cp.sum(cp.pos(1 - cp.multiply(2 * is_label - 1, f)))
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
        ({"C": np.inf}, "expected a finite C for the loss 'crammer_singer', got C=inf"),
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
        solve(X, y, activations, loss="crammer_singer", **options)


def test_a_hard_margin_of_one_output_is_not_trained():
    X, y, activations = classes()
    labels = np.where(y > 0, 1, -1)
    with pytest.raises(ValueError, match=r"a finite C, got Nuclear.* method='clarabel' takes them"):
        solve(X, labels, activations, norm="nuclear", loss=Hinge(), C=np.inf, method="factored")
