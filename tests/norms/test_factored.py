"""The nuclear norm by training the network that induces it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning

from gnorm import gated, solve
from gnorm.norms import Nuclear
from gnorm.solvers.design import make_design


def classes(n_samples=60, n_classes=4):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 7))
    y = np.argmax(X @ rng.normal(size=(7, n_classes)) + rng.normal(size=(n_samples, n_classes)), 1)
    is_open = X @ rng.normal(size=(7, 3)) > 0
    return X, y, np.stack([is_open, ~is_open], axis=-1)


@pytest.mark.parametrize("C", [1e-3, 0.1, 3.0])
def test_agrees_with_the_conic_solver(C):
    X, y, activations = classes()
    options = {"norm": "nuclear", "loss": "multinomial", "C": C}
    solution = solve(X, y, activations, tol=1e-7, **options)
    assert solution.method == "factored"
    assert solution.duality_gap <= 1e-7
    conic = solve(X, y, activations, tol=1e-5, method="clarabel", **options)
    assert_allclose(solution.primal_value, conic.primal_value, rtol=1e-5)
    zeta = solution.zeta.reshape(3, 14, 4)
    b = solution.dual_coef
    V = np.einsum("nhc,nd,nk->hcdk", activations, X, b).reshape(3, 14, 4)
    largest = np.linalg.svd(V, compute_uv=False).max()
    assert_allclose(np.sum(V * zeta), largest * solution.norm, rtol=1e-3)


@pytest.mark.parametrize("loss", ["log_loss", "squared_error", "squared_hinge", "huber"])
def test_smooth_losses_of_matrix_inputs(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 12))
    y = np.sign(X @ np.outer(rng.normal(size=3), rng.normal(size=4)).ravel())
    activations = np.ones((40, 1, 1), dtype=bool)
    options = {"norm": Nuclear(shape=(3, 4)), "loss": loss}
    solution = solve(X, y, activations, tol=1e-7, **options)
    conic = solve(X, y, activations, tol=1e-5, method="clarabel", **options)
    assert_allclose(solution.primal_value, conic.primal_value, rtol=1e-5)
    assert solution.method == "factored"


def test_matrix_completion():
    """Observed entries as samples: the rank comes out, and the entries that were not seen."""
    rng = np.random.default_rng(0)
    n_rows, n_columns, rank = 20, 15, 2
    M = rng.normal(size=(n_rows, rank)) @ rng.normal(size=(rank, n_columns))
    seen = np.flatnonzero(rng.random(M.size) < 0.6)
    entries = np.ones(len(seen)), (np.arange(len(seen)), seen)
    X = csr_matrix(entries, shape=(len(seen), M.size))
    solution = solve(
        X,
        M.ravel()[seen],
        np.ones((len(seen), 1, 1), dtype=bool),
        norm=Nuclear(shape=M.shape),
        loss="squared_error",
        C=1e4,
        tol=1e-6,
    )
    found = solution.zeta.reshape(M.shape)
    values = np.linalg.svd(found, compute_uv=False)
    assert np.count_nonzero(values > 1e-2 * values[0]) == rank
    assert np.linalg.norm(found - M) < 0.05 * np.linalg.norm(M)


def test_columns_are_added_where_there_are_too_few(monkeypatch):
    from gnorm.solvers import factored

    ranks = []
    lifted = factored._Descent.lifted

    def noted(self, weights):
        ranks.append(self.rank)
        return lifted(self, weights)

    monkeypatch.setattr(factored._Descent, "lifted", noted)
    monkeypatch.setattr(factored, "_first_rank", lambda descent: 1)
    X, y, activations = classes()
    solution = solve(X, y, activations, norm="nuclear", loss="multinomial", tol=1e-6)
    assert solution.duality_gap <= 1e-6
    assert ranks == list(range(1, 1 + len(ranks)))
    assert ranks


def test_unfinished_solve_says_so():
    X, y, activations = classes()
    with pytest.warns(ConvergenceWarning, match="factored stopped after 10 iterations"):
        solution = solve(X, y, activations, norm="nuclear", loss="multinomial", max_iter=10)
    assert solution.duality_gap > 1e-6


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("is_one_hot", [False, True])
def test_products_of_several_outputs(is_sparse, is_one_hot):
    X, _, activations = classes()
    activations = activations if is_one_hot else activations[:, :, :1]
    design = make_design(Nuclear(), csr_matrix(X) if is_sparse else X, activations)
    rng = np.random.default_rng(0)
    zeta, b = rng.normal(size=design.rows_shape(4)), rng.normal(size=(len(X), 4))
    values, sums = design.decision_values(zeta), design.of_units(design.sums(b))
    for k in range(4):
        expected = gated.decision_values(X, activations, design.of_units(zeta)[..., k])
        assert_allclose(values[:, k], expected, atol=1e-12)
        assert_allclose(sums[..., k], gated.accumulate(X, activations, b[:, k]), atol=1e-12)
