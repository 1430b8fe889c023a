"""Units that see some of the features each: against cvxpy written out, by every method."""

import sys
from concurrent.futures import ThreadPoolExecutor

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix

from gnorm import NotSeparableError, gln_norm_path, max_margin, solve
from gnorm.norms import GLN, GroupNorm, MaxAbs
from gnorm.solvers.accurate import accurate_sums
from gnorm.solvers.design import make_design
from gnorm.solvers.separation import gated_features
from tests.solvers.products import check_products

MASK = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1], [0, 0, 1, 1]], dtype=bool)
METHODS = ["interior-point", "working-set", "primal", "factored", "clarabel"]


def data(n_contexts=3, n_samples=90, seed=0):
    """Inputs with a constant, gates of four units, targets and labels."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(n_samples, 3)), np.ones(n_samples)])
    contexts = rng.integers(n_contexts, size=(n_samples, 4))
    gates = contexts[:, :, None] == np.arange(n_contexts)
    if n_contexts == 1:
        gates = rng.random((n_samples, 4, 1)) < 0.6
    y = X[:, 0] * contexts[:, 0] - np.abs(X[:, 2]) + rng.normal(size=n_samples)
    return X, gates, y, np.where(y > np.median(y), 1.0, -1.0)


def of_features(X, gates):
    """Gated features that the units see, written out, (n_samples, n_units, n_contexts * D)."""
    features = gates[..., None] * X[:, None, None] * MASK[:, None]
    return features.reshape(*gates.shape[:2], -1)


LOSSES = {
    "squared_error": lambda y, f: 0.5 * cp.sum_squares(y - f),
    "absolute_error": lambda y, f: cp.norm1(y - f),
    "hinge": lambda y, f: cp.sum(cp.pos(1 - cp.multiply(y, f))),
    "log_loss": lambda y, f: cp.sum(cp.logistic(-cp.multiply(y, f))),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_contexts", [1, 3])
@pytest.mark.parametrize("weights", [None, (1.0, 0.5, 2.0, 1.0)])
def test_every_method_finds_the_optimum_of_cvxpy(loss, n_contexts, weights):
    X, gates, targets, labels = data(n_contexts)
    y = targets if loss.endswith("error") else labels
    features = of_features(X, gates)
    zeta = [cp.Variable(features.shape[2]) for _ in MASK]
    norm = sum(w * cp.norm(own) for w, own in zip(weights or np.ones(4), zeta, strict=True))
    f = sum(features[:, h] @ own for h, own in enumerate(zeta))
    problem = cp.Problem(cp.Minimize(0.5 * cp.square(norm) + 0.3 * LOSSES[loss](y, f)))
    problem.solve(solver="CLARABEL")
    for method in METHODS:
        found = solve(
            *(X, y, gates),
            **{"loss": loss, "C": 0.3, "unit_features": MASK, "unit_weights": weights},
            **{"method": method, "tol": 1e-6},
        )
        assert found.duality_gap <= 1e-6
        assert_allclose(found.primal_value, problem.value, rtol=2e-6)
        assert not np.any(found.zeta * ~MASK[:, None])
        assert_allclose(found.decision_values(X, gates), f.value, atol=2e-2)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "primal"])
def test_several_outputs(method):
    X, gates, targets, _ = data()
    y = np.digitize(targets, [-1.0, 1.0])
    found = solve(X, y, gates, loss="multinomial", unit_features=MASK, method=method)
    assert found.duality_gap <= 1e-6
    assert not np.any(found.zeta * ~MASK[:, None, :, None])
    features = of_features(X, gates)
    zeta = [cp.Variable((features.shape[2], 3)) for _ in MASK]
    f = sum(features[:, h] @ own for h, own in enumerate(zeta))
    losses = cp.sum(cp.log_sum_exp(f, axis=1)) - cp.sum(cp.multiply(np.eye(3)[y], f))
    norm = sum(cp.norm(own, "fro") for own in zeta)
    problem = cp.Problem(cp.Minimize(0.5 * cp.square(norm) + losses))
    assert_allclose(found.primal_value, problem.solve(solver="CLARABEL"), rtol=2e-6)


@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
@pytest.mark.parametrize("rows", [np.arange(90), np.arange(0, 90, 4)])
def test_products_are_those_of_the_features_that_units_see(container, rows):
    X, gates, *_ = data()
    norm = GroupNorm(unit_weights=(1.0, 0.5, 2.0, 3.0))
    design = make_design(norm, container(X), gates, MASK).restricted(rows)
    features, rng = of_features(X, gates)[rows], np.random.default_rng(1)
    coef = rng.normal(size=len(rows))
    sums = design.sums(coef)
    assert_allclose(sums.reshape(4, -1), np.tensordot(coef, features, 1), atol=1e-12)
    assert_allclose(accurate_sums(design, coef)[0], sums, atol=1e-12)
    assert_allclose(design.rough_sums(coef), sums, atol=1e-4)
    assert_allclose(gated_features(design), features.reshape(len(rows), -1))
    outputs = design.sums(np.column_stack([coef, 2 * coef]))
    assert_allclose(outputs.reshape(*sums.shape, 2)[..., 1], 2 * sums, atol=1e-12)
    assert_allclose(design.products_of(outputs)[:, 1], 2 * design.products_of(sums), atol=1e-9)
    products = design.exact_products(coef)
    assert_allclose(coef @ products, design.dual_norms(sums) ** 2, rtol=1e-10)
    wide = make_design(norm, np.tile(X, 30)[rows], gates[rows], np.tile(MASK, 30))
    for own in (design, wide):  # through the features, and through the Gram matrices
        products = own.exact_products(coef)
        assert_allclose(own.kernel_products(coef, np.float64), products, atol=1e-8)
        for h, unit in enumerate(np.eye(4)):
            kernel = np.tril(own.weighted_gram(unit, np.float64))
            kernel += np.tril(kernel, -1).T
            assert_allclose(kernel @ coef, products[:, h], atol=1e-8)


def test_threads_that_come_first_at_once_share_a_design():
    X = np.random.default_rng(0).normal(size=(20, 5))
    mask = np.array([[bool(number & 2**j) for j in range(5)] for number in range(1, 32)])
    gates, ones = np.ones((20, 31, 1), dtype=bool), np.ones(31)
    expected = X @ np.diag(mask.sum(axis=0)) @ X.T
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(15):
                design = make_design(GroupNorm(), X, gates, mask)
                each = [pool.submit(design.weighted_gram, ones, np.float64) for _ in range(4)]
                for found in each:
                    assert_allclose(np.tril(found.result()), np.tril(expected), atol=1e-12)
    finally:
        sys.setswitchinterval(before)


def test_all_features_are_no_choice():
    X, gates, y, _ = data()
    options = {"loss": "squared_error", "C": 0.3}
    every = solve(X, y, gates, unit_features=np.ones_like(MASK), **options)
    assert_allclose(every.primal_value, solve(X, y, gates, **options).primal_value, rtol=2e-6)


def test_path_has_the_solutions_of_each_C():
    X, gates, _, y = data()
    path = gln_norm_path(X, y, gates, [0.01, 0.1, 1.0], unit_features=MASK, tol=1e-7)
    for C, solution in zip(path.Cs, path.solutions, strict=True):
        alone = solve(X, y, gates, C=C, unit_features=MASK, method="clarabel", tol=1e-7)
        assert_allclose(solution.primal_value, alone.primal_value, rtol=1e-6)
        assert not np.any(solution.zeta * ~MASK[:, None])


@pytest.mark.parametrize("scale", [1.0, 1e-40])
def test_what_separates_is_seen_by_some_unit(scale):
    """Labels by the sign of the second input, which no unit but the first sees."""
    X, gates, *_ = data(1)
    gates = np.ones_like(gates)
    y = np.where(X[:, 1] > 0, 1, -1)
    found = max_margin(scale * X, y, gates, unit_features=MASK)
    assert found.margin > 0
    assert not np.any(found.zeta * ~MASK[:, None])
    blind = MASK.copy()
    blind[0, 1] = False
    with pytest.raises(NotSeparableError):
        max_margin(scale * X, y, gates, unit_features=blind)


def test_what_is_refused():
    X, gates, y, _ = data()
    options = {"loss": "squared_error", "unit_features": MASK}
    several = np.digitize(y, [-1.0, 1.0])
    with pytest.raises(ValueError, match=r"'primal' expected a loss of one output"):
        solve(X, several, gates, loss="multinomial", unit_features=MASK, method="primal")
    for norm in ("gln", GLN(), "predictor_l2", MaxAbs()):
        with pytest.raises(ValueError, match=r"expected norm=None or a sum of the norms"):
            solve(X, y, gates, norm=norm, **options)
    with pytest.raises(ValueError, match=r"shape \(4, 4\), got dtype bool and shape \(3, 4\)"):
        solve(X, y, gates, **options | {"unit_features": MASK[1:]})
    with pytest.raises(ValueError, match=r"dtype bool and shape \(4, 4\), got dtype float64"):
        solve(X, y, gates, **options | {"unit_features": MASK.astype(float)})
    with pytest.raises(ValueError, match=r"shape \(4, 4\), got (sequences|dtype object)"):
        solve(X, y, gates, **options | {"unit_features": [[True], [True, False], [True], [True]]})
    with pytest.raises(ValueError, match="at least one feature for each unit, got none for unit 2"):
        solve(X, y, gates, **options | {"unit_features": MASK & (np.arange(4) != 2)[:, None]})


@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
@pytest.mark.parametrize("n_contexts", [1, 3])
def test_coded_features_are_those_that_the_units_need(n_contexts, container):
    X, gates, *_ = data(n_contexts)
    mask = np.column_stack([MASK, np.zeros(4, dtype=bool)])  # the last feature, no unit sees
    X = np.column_stack([X, X[:, 0]])
    norm = GroupNorm(unit_weights=(1.0, 0.5, 2.0, 3.0))
    design, rng = make_design(norm, container(X), gates, mask), np.random.default_rng(0)
    coded = design.coded_features
    # features 0, 1, 2 and 3 are seen by units 0 and 2, 0, 1 and 3, and 1 to 3
    n_gates = [2, 1, 2, 3] if n_contexts == 1 else [5, 3, 5, 7]
    assert coded.size == design.n_coded_features == design.n_coded_gates == sum(n_gates)
    coef, weights, mu = rng.normal(size=90), rng.random(90), rng.random(4)
    explicit = np.stack([coded.sums(unit) for unit in np.eye(90)])
    check_products(design, explicit, coef, weights, mu)
    root = coded.root(mu)
    R, S = np.stack([root.times(unit) for unit in np.eye(coded.size)], 1), explicit.T @ explicit
    assert_allclose(root.in_coordinates(S), R @ S @ R.T, atol=1e-9)


@pytest.mark.parametrize("loss", ["squared_error", "hinge", "log_loss"])
@pytest.mark.parametrize("n_contexts", [1, 3])
def test_tall_data_go_through_the_features(loss, n_contexts):
    X, gates, targets, labels = data(n_contexts, n_samples=900)
    y = targets if loss == "squared_error" else labels
    options = {"loss": loss, "C": 0.3, "unit_features": MASK}
    found = solve(X, y, gates, **options)
    assert found.method == "primal"
    assert found.duality_gap <= 1e-6
    other = solve(X, y, gates, method="working-set", **options)
    assert_allclose(found.primal_value, other.primal_value, rtol=2e-6)
    assert_allclose(found.dual_value, other.dual_value, rtol=2e-6)
    assert not np.any(found.zeta * ~MASK[:, None])


@pytest.mark.parametrize("sees_it", [True, False])
def test_hard_margins_through_the_features(sees_it):
    """Labels by the sign of the second input of many samples, which no unit sees or one."""
    X, gates, *_ = data(n_samples=600)
    y, mask = np.where(X[:, 1] > 0, 1, -1), MASK.copy()
    if sees_it:
        options = {"unit_features": mask, "tol": 1e-5}
        found = max_margin(X, y, gates, method="primal", **options)
        other = max_margin(X, y, gates, method="working-set", **options)
        assert_allclose(found.margin, other.margin, rtol=2e-5)
        return
    mask[0, 1] = False
    with pytest.raises(NotSeparableError) as caught:
        max_margin(X, y, gates, unit_features=mask, method="primal")
    a = caught.value.certificate
    sums = make_design(GroupNorm(), X, gates, mask).sums(a * y)
    assert np.abs(sums).max() <= 1e-11 * np.linalg.norm(X, axis=1).max()
