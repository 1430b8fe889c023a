"""Every loss under every norm: all methods agree, and both values are what their formulas say."""

import warnings
from importlib.metadata import version

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import xlogy
from sklearn.exceptions import ConvergenceWarning

from gnorm import losses, solve
from gnorm.norms import GLN, FReLU, GroupNorm, PredictorL2

METHODS = ["interior-point", "working-set", "primal"]
CS = [0.01, 1.0, 100.0]
NORMS = ["gln", "frelu", "predictor_l2", "weighted"]
UNIT_WEIGHTS = (0.5, 1.0, 2.0, 3.0)


def scalar_losses():
    """One loss of each name that the table has and that takes one output a sample."""
    found = [losses.get_loss(name) for name in losses._LOSSES]
    plain = [loss for loss in found if loss.n_outputs(np.array([0, 1])) == 1]
    return [*plain, losses.Quantile(0.8), losses.Huber(0.3), losses.EpsilonInsensitive(0.5)]


LOSSES = scalar_losses()


def data(loss, norm, n_samples=90, n_features=4):
    """Inputs with a constant, targets of the kind that the loss takes, and gates of the norm."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(n_samples, n_features)), np.ones(n_samples)])
    sides = np.einsum("nd,dh->nh", X, rng.normal(size=(n_features + 1, 4))) > 0
    y = np.abs(X[:, 0]) - X[:, 1] + 0.5 * rng.normal(size=n_samples)
    if loss.is_margin:
        y = np.where(y > np.median(y), 1.0, -1.0)
    if norm == "frelu":
        return X, y, sides[:, :, None]
    return X, y, np.stack([sides, ~sides], axis=2)


def options_of(norm):
    """Arguments of ``solve`` and the object of the same norm."""
    if norm == "predictor_l2":
        return {"norm": "predictor_l2"}, PredictorL2()
    if norm == "weighted":
        return {"unit_weights": UNIT_WEIGHTS}, GLN(UNIT_WEIGHTS)
    return {}, GLN() if norm == "gln" else FReLU()


# -- the formulas, written down once more ----------------------------------------------------------


def losses_and_conjugates(loss, y, f, b, C):
    r"""Losses :math:`l_n(f_n)`, conjugates :math:`l_n^*(-b_n)` and whether b is in the domain."""
    rounding = 1e-12 * C
    a = y * b
    match loss:
        case losses.Hinge():
            is_in = (a >= 0) & (a <= C)
            return C * np.maximum(0, 1 - y * f), -a, is_in
        case losses.SquaredHinge():
            return C * np.maximum(0, 1 - y * f) ** 2, -a + a**2 / (4 * C), a >= 0
        case losses.LogLoss():
            p = np.clip(a / C, 0.0, 1.0)
            conjugate = C * (xlogy(p, p) + xlogy(1 - p, 1 - p))
            return C * np.logaddexp(0, -y * f), conjugate, (a >= 0) & (a <= C)
        case losses.SquaredError():
            return C / 2 * (y - f) ** 2, -b * y + b**2 / (2 * C), np.isfinite(b)
        case losses.EpsilonInsensitive():
            eps = loss.epsilon
            value = C * np.maximum(0, np.abs(y - f) - eps)
            return value, -b * y + eps * np.abs(b), np.abs(b) <= C + rounding
        case losses.AbsoluteError():
            return C * np.abs(y - f), -b * y, np.abs(b) <= C + rounding
        case losses.Quantile():
            tau, r = loss.quantile, y - f
            is_in = (b >= C * (tau - 1) - rounding) & (b <= C * tau + rounding)
            return C * np.maximum(tau * r, (tau - 1) * r), -b * y, is_in
        case losses.Huber():
            delta, r = loss.delta, np.abs(y - f)
            value = C * np.where(r <= delta, r**2 / 2, delta * r - delta**2 / 2)
            return value, -b * y + b**2 / (2 * C), np.abs(b) <= C * delta + rounding
    pytest.fail(f"write the formulas of {loss!r} here")


def primal_and_dual_norm(norm, zeta, V):
    """Both norms by definition: of the weights as they are, and of the sums."""
    lengths, dual_lengths = (np.linalg.norm(a.reshape(len(a), -1), axis=1) for a in (zeta, V))
    if norm == "predictor_l2":
        n_units, n_contexts, n_features = zeta.shape
        every = np.indices((n_contexts,) * n_units).reshape(n_units, -1).T
        beta = zeta[np.arange(n_units), every].sum(axis=1)  # predictors of all contexts
        # the functional <zeta, V> of predictors, as its expansion in features of all contexts
        M = np.zeros((len(every), n_units * n_contexts))
        for h in range(n_units):
            M[np.arange(len(every)), h * n_contexts + every[:, h]] = 1.0
        G = M.T @ M / len(every)  # mean square of the predictors as a form of the weights
        flat = V.reshape(-1, n_features)
        dual = np.sqrt(np.sum(flat * (np.linalg.pinv(G) @ flat)))
        return np.sqrt(np.mean(np.sum(beta**2, axis=1))), dual
    w = np.array(UNIT_WEIGHTS) if norm == "weighted" else np.ones(len(zeta))
    return w @ lengths, np.max(dual_lengths / w)


def assert_certificate(solution, loss, norm, X, y, activations, C):
    f = np.einsum("nhc,nd,hcd->n", activations, X, solution.zeta)
    b = y * solution.dual_coef if loss.is_margin else solution.dual_coef
    V = np.einsum("n,nhc,nd->hcd", b, activations, X)
    value, conjugate, is_in_domain = losses_and_conjugates(loss, y, f, b, C)
    length, dual_length = primal_and_dual_norm(norm, solution.zeta, V)
    assert np.all(is_in_domain)
    assert_allclose(solution.norm, length, rtol=1e-9)
    primal_value, dual_value = (
        length**2 / 2 + np.sum(value),
        -np.sum(conjugate) - dual_length**2 / 2,
    )
    assert_allclose(solution.primal_value, primal_value, rtol=1e-9)
    assert_allclose(solution.dual_value, dual_value, rtol=1e-9, atol=1e-9 * primal_value)
    gap = (primal_value - dual_value) / primal_value
    assert_allclose(solution.duality_gap, gap, atol=1e-9)
    assert gap >= -1e-12


def assert_description(solution, loss, norm, X, y, activations):
    """What else a solution says of itself."""
    f = np.einsum("nhc,nd,hcd->n", activations, X, solution.zeta)
    assert_allclose(solution.decision_values(X, activations), f, atol=1e-10 * np.max(np.abs(f)))
    assert_allclose(solution.unit_norms, np.linalg.norm(solution.zeta, axis=(1, 2)), rtol=1e-12)
    assert np.array_equal(solution.support, np.flatnonzero(solution.dual_coef))
    if loss.is_margin:
        assert_allclose(solution.margin, np.min(y * f) / solution.norm, rtol=1e-9)
    else:
        assert np.isnan(solution.margin)


def quietly_solved(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        return solve(*args, **options)


CLARABEL = tuple(map(int, version("clarabel").split(".")[:2]))


def solved_by_clarabel(*args, **options):
    """Solve to 1e-8, or where rounding lets CLARABEL end in an error before that, to 1e-6.

    By that it means more than our relative gap: what it finds is far better.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            return solve(*args, method="clarabel", tol=1e-8, **options)
        except RuntimeError:
            return solve(*args, method="clarabel", tol=1e-6, **options)


@pytest.mark.parametrize("C", CS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_all_methods_agree_with_clarabel(loss, norm, C, monkeypatch):
    for module in ("rounds.FEW", "sets._FEWEST"):  # the working set chooses, even on so few
        monkeypatch.setattr(f"gnorm.solvers.active_set.{module}", 10)
    X, y, activations = data(loss, norm)
    options, obj = options_of(norm)
    options |= {"loss": loss, "C": C}
    theirs = solved_by_clarabel(X, y, activations, **options)
    assert theirs.duality_gap <= (2e-7 if CLARABEL >= (0, 11) else 1e-5)  # old ones stop sooner
    assert_certificate(theirs, loss, norm, X, y, activations, C)
    for method in METHODS:
        ours = quietly_solved(X, y, activations, method=method, tol=1e-7, **options)
        assert ours.method == method
        assert ours.duality_gap <= 1e-7
        assert_certificate(ours, loss, norm, X, y, activations, C)
        assert_description(ours, loss, norm, X, y, activations)
        # two values differ by no more than the gap of the worse
        rtol = 1e-6 if theirs.duality_gap <= 2e-7 else theirs.duality_gap
        assert_allclose(ours.primal_value, theirs.primal_value, rtol=rtol)
        assert_allclose(obj.value(ours.zeta), ours.norm, rtol=1e-9)


@pytest.mark.parametrize("norm", [GroupNorm(), GroupNorm((1.0, 4.0, 0.5, 2.0))], ids=repr)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_problem_as_cvxpy_has_it(loss, norm):
    """Not by kernels, as "clarabel": unit weights, outputs and losses written out."""
    X, y, activations = data(loss, "gln", n_samples=40)
    ours = quietly_solved(X, y, activations, norm=norm, loss=loss, C=0.3, tol=1e-7)
    zeta = cp.Variable((4, 2 * X.shape[1]))
    phi = np.einsum("nhc,nd->nhcd", activations, X).reshape(len(X), 4, -1)
    f = sum(phi[:, h] @ zeta[h] for h in range(4))
    length = norm.weights(4) @ cp.norm(zeta, 2, axis=1)
    objective = 0.5 * cp.square(length) + loss.expression(y, f, np.full(len(y), 0.3))
    problem = cp.Problem(cp.Minimize(objective))
    try:
        problem.solve(solver="CLARABEL")
    except cp.SolverError:
        problem.solve(solver="SCS", eps=1e-9, max_iters=100_000)
    assert_allclose(ours.primal_value, problem.value, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_weights_are_copies(loss, method):
    X, y, activations = data(loss, "gln", n_samples=60)
    weight = np.random.default_rng(1).integers(4, size=60)
    rows = np.repeat(np.arange(60), weight)
    options = {"loss": loss, "C": 0.7, "method": method}
    weighted = quietly_solved(X, y, activations, sample_weight=weight, **options)
    copied = quietly_solved(X[rows], y[rows], activations[rows], **options)
    assert np.array_equal(weighted.zeta, copied.zeta)
    summed = np.bincount(rows, weights=copied.dual_coef, minlength=60)
    assert_allclose(weighted.dual_coef, summed, rtol=1e-12, atol=1e-300)
    assert_allclose(weighted.dual_value, copied.dual_value, rtol=1e-12)


@pytest.mark.parametrize("method", ["interior-point", "primal"])
@pytest.mark.parametrize("C", [1e3, 1e4])
@pytest.mark.parametrize("norm", ["gln", "predictor_l2"])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_large_C_on_data_that_can_be_fitted(loss, norm, C, method):
    X, y, activations = data(loss, norm)
    options, _ = options_of(norm)
    solution = quietly_solved(X, y, activations, loss=loss, C=C, method=method, **options)
    assert_certificate(solution, loss, norm, X, y, activations, C)


@pytest.mark.parametrize("unit", [1e-5, 1e5])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_units_of_inputs_and_targets_do_not_matter(loss, unit):
    """With the targets in another unit the length of a loss has it as well."""
    X, y, activations = data(loss, "gln", n_samples=60)
    plain = quietly_solved(X, y, activations, loss=loss)
    scaled = quietly_solved(unit * X, y, activations, loss=loss, C=1.0 / unit**2)
    assert_allclose(unit**2 * scaled.primal_value, plain.primal_value, rtol=2e-6)
    if loss.is_margin:
        return
    in_unit, power = loss, 2
    if isinstance(loss, losses.Huber):
        in_unit = losses.Huber(unit * loss.delta)
    elif isinstance(loss, losses.EpsilonInsensitive):
        in_unit = losses.EpsilonInsensitive(unit * loss.epsilon)
    if not isinstance(loss, losses.Huber | losses.SquaredError):
        power = 1
    C = unit ** (2 - power)
    scaled = quietly_solved(X, unit * y, activations, loss=in_unit, C=C)
    assert_allclose(scaled.primal_value, unit**2 * plain.primal_value, rtol=2e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_targets_that_the_predictor_of_zeros_meets(loss, method):
    X, y, activations = data(loss, "gln", n_samples=30)
    if loss.is_margin:
        X = np.zeros_like(X)
    else:
        y = np.zeros(30)
    solution = quietly_solved(X, y, activations, loss=loss, method=method)
    at_zero = np.sum(loss.value(y, np.zeros(30), np.ones(30)))
    assert_allclose(solution.primal_value, at_zero, atol=1e-12)
    assert_allclose(solution.dual_value, at_zero, rtol=1e-6, atol=1e-12)
    assert_allclose(solution.norm, 0.0, atol=1e-6)
