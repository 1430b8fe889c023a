"""Matrix factorisation: balance is kept without being asked for (Du, Hu and Lee 2018)."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gnorm.descent import (
    Constant,
    Decaying,
    DivergenceError,
    GradientDescent,
    MarginGrowth,
    MatrixFactorization,
    matrix_factorization,
)


def low_rank(singular_values=(2.0, 1.5, 1.0), shape=(20, 15), seed=0):
    rng = np.random.default_rng(seed)
    rank = len(singular_values)
    left, right = (np.linalg.qr(rng.normal(size=(n, rank)))[0] for n in shape)
    return left * singular_values @ right.T


def imbalance(factors):
    return factors.U.T @ factors.U - factors.V.T @ factors.V


# -- the objective ---------------------------------------------------------------------------------


@pytest.mark.parametrize("balancing", [0.0, 0.7])
@pytest.mark.parametrize(("shape", "rank"), [((5, 4), 2), ((3, 6), 1), ((2, 2), 4)])
def test_gradient_equals_finite_differences(shape, rank, balancing):
    rng = np.random.default_rng(0)
    M = rng.normal(size=shape)
    U, V = (rng.normal(size=(n, rank)) for n in shape)
    factors = MatrixFactorization(M, U, V, balancing)

    def energy():
        penalty = balancing / 4 * np.sum(imbalance(factors) ** 2)
        return 0.5 * np.sum((factors.U @ factors.V.T - M) ** 2) + penalty

    w, step = factors.parameters, 1e-5
    expected = np.empty_like(w)
    for i, value in enumerate(w.copy()):
        w[i] = value + step
        above = energy()
        w[i] = value - step
        expected[i] = (above - energy()) / (2 * step)
        w[i] = value
    gradient = np.full_like(w, np.nan)
    slope = factors.gradient(None, gradient)
    assert_allclose(np.exp(slope.log_scale) * gradient, expected, atol=1e-7)
    assert np.isnan(slope.min_margin)


def test_factors_are_views_and_given_ones_are_copied():
    U, V = np.ones((3, 2)), np.ones((4, 2))
    factors = MatrixFactorization(np.zeros((3, 4)), U, V)
    factors.parameters[:] = np.arange(14.0)
    assert_array_equal(factors.V.T.ravel(), np.arange(8.0))
    assert_array_equal(factors.U.ravel(), np.arange(8.0, 14.0))
    assert (U == 1).all()
    assert (V == 1).all()
    first, second = factors.weights
    assert_array_equal(second[0] @ first[0], factors.U @ factors.V.T)
    factors.U[0, 0] = 5.0
    assert second[0, 0, 0] == 5.0


def test_measures_are_what_their_names_say():
    M = low_rank()
    factors = matrix_factorization(M, 3, scale=0.3, random_state=0)
    row = factors.measure()
    U, V = factors.U, factors.V
    assert_allclose(row["loss"], 0.5 * np.linalg.norm(U @ V.T - M) ** 2)
    assert_allclose(row["imbalance"], np.linalg.norm(U.T @ U - V.T @ V))
    assert_allclose(row["norm_ratio"], (np.linalg.norm(U) / np.linalg.norm(V)) ** 2)
    assert_allclose(row["squared_norm"], np.linalg.norm(U) ** 2 + np.linalg.norm(V) ** 2)
    assert_allclose(row["layer_norms"], [np.linalg.norm(V), np.linalg.norm(U)])
    assert_allclose(row["unit_balance"], np.diag(V.T @ V - U.T @ U))


def test_random_factors_have_the_given_scale_and_state():
    M = np.zeros((300, 200))
    one, same, other = (matrix_factorization(M, 5, scale=0.3, random_state=s) for s in (0, 0, 1))
    assert_array_equal(one.parameters, same.parameters)
    assert not np.isclose(one.parameters, other.parameters).any()
    assert_allclose(one.parameters.std(), 0.3, rtol=0.05)
    assert one.U.shape == (300, 5)
    assert one.V.shape == (200, 5)


def test_descent_equals_its_formula():
    M = low_rank()
    factors = matrix_factorization(M, 2, scale=0.3, random_state=0)
    U, V = factors.U.copy(), factors.V.copy()
    GradientDescent(0.05, max_steps=20).minimize(factors)
    for _ in range(20):
        residual = U @ V.T - M
        U, V = U - 0.05 * residual @ V, V - 0.05 * residual.T @ U
    assert_allclose(factors.U, U, rtol=1e-12)
    assert_allclose(factors.V, V, rtol=1e-12)


# -- balance ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_the_drift_of_the_imbalance_halves_with_the_rate(rank):
    M, drifts = low_rank(), []
    for rate in (0.01, 0.005):
        factors = matrix_factorization(M, rank, scale=0.3, random_state=0)
        before = imbalance(factors)
        GradientDescent(rate, max_steps=round(2 / rate)).minimize(factors)
        drifts.append(imbalance(factors) - before)
    # entries whose first order happens to cancel are left to their second
    is_large = np.abs(drifts[0]) > 0.05 * np.abs(drifts[0]).max()
    ratios = drifts[0][is_large] / drifts[1][is_large]
    assert ratios.min() > 1.8
    assert ratios.max() < 2.2
    assert np.abs(drifts[0]).max() > 1e-5


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_what_starts_unbalanced_stays_equally_unbalanced(factor):
    rng = np.random.default_rng(0)
    U, V = factor * rng.normal(size=(20, 3)) / 4, rng.normal(size=(15, 3)) / (4 * factor)
    factors = MatrixFactorization(low_rank(), U, V)
    before = imbalance(factors)
    history = GradientDescent(2e-3, max_steps=10_000).minimize(factors)
    assert history.loss[-1] < 1e-6
    change = np.linalg.norm(imbalance(factors) - before)
    assert change < 0.02 * np.linalg.norm(before)


def test_the_penalty_balances_what_starts_unbalanced():
    rng = np.random.default_rng(0)
    U, V = rng.normal(size=(20, 3)), rng.normal(size=(15, 3)) / 9
    factors = MatrixFactorization(low_rank(), U, V, balancing=1.0)
    history = GradientDescent(0.01, max_steps=5000).minimize(factors)
    assert history["imbalance"][0] > 10
    assert history["imbalance"][-1] < 1e-4
    assert history.loss[-1] < 1e-6


@pytest.mark.parametrize("balancing", [0.0, 1.0])
@pytest.mark.parametrize("scale", [0.1, 0.02])
def test_decaying_rates_keep_factors_of_any_rank_balanced(scale, balancing):
    """Lemma 3.1: small normal factors and square-summable rates."""
    factors = matrix_factorization(low_rank(), 3, scale=scale, balancing=balancing, random_state=0)
    history = GradientDescent(Decaying(0.3, delta=0.1), max_steps=2000).minimize(factors)
    assert history.loss[-1] < 1e-7 * history.loss[0]
    # the start is as unbalanced as normal factors are, about 20 scale^2
    assert history["imbalance"].max() < 1.01 * history["imbalance"][0]
    assert history["imbalance"][0] < 25 * scale**2


@pytest.mark.parametrize("balancing", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_rank_one_converges_linearly_with_a_bounded_ratio_of_norms(seed, balancing):
    """Theorem 3.2, from a start on the side of the matrix."""
    M = low_rank([2.0])
    factors = matrix_factorization(M, 1, scale=0.01, balancing=balancing, random_state=seed)
    history = GradientDescent(0.02, max_steps=1500, log_every=5).minimize(factors)
    is_late = (history.loss < 1e-2 * history.loss[0]) & (history.loss > 1e-24)
    assert is_late.sum() > 50
    steps, log_loss = history.step[is_late], np.log(history.loss[is_late])
    assert np.corrcoef(steps, log_loss)[0, 1] ** 2 > 0.99
    # what is left turns the factors: near the minimum it shrinks by 1 - rate * u^2 in every step,
    # where u^2 = v^2 is the singular value
    slope = np.polyfit(steps[-50:], log_loss[-50:], 1)[0]
    assert_allclose(slope, 2 * np.log1p(-0.04), rtol=0.02)
    ratio = history["norm_ratio"]
    assert ratio.min() > 0.25
    assert ratio.max() < 4.0
    assert history.loss[-1] < 1e-24


# -- what does not fit -----------------------------------------------------------------------------


def test_a_diverging_factorisation_stops():
    factors = matrix_factorization(5 * np.ones((3, 3)), 1, scale=1.0, random_state=0)
    with pytest.raises(DivergenceError, match=re.escape("Constant(value=1.0)")) as caught:
        GradientDescent(Constant(1.0), max_steps=500, log_every=1).minimize(factors)
    assert caught.value.history.n_steps < 100
    assert np.isfinite(caught.value.history.loss).all()


def test_a_preconditioner_acts_on_its_own_layer():
    """Layers are V^T and U: A acts on the columns of V^T, the rows of V."""
    rng = np.random.default_rng(0)
    M = low_rank()
    root = rng.normal(size=(15, 15)) / 8
    A = root @ root.T + 0.5 * np.eye(15)
    factors = matrix_factorization(M, 2, scale=0.3, random_state=0)
    U, V = factors.U.copy(), factors.V.copy()
    GradientDescent(0.05, max_steps=1, preconditioner=[A, None]).minimize(factors)
    residual = U @ V.T - M
    assert_allclose(factors.U, U - 0.05 * residual @ V, rtol=1e-12)
    assert_allclose(factors.V, V - 0.05 * A @ residual.T @ U, rtol=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: matrix_factorization(np.ones((3, 2)), 0), "expected rank .* got 0"),
        (lambda: matrix_factorization(np.ones((3, 2)), 1.5), "expected rank .* got 1.5"),
        (lambda: matrix_factorization(np.ones((3, 2)), scale=0.0), "expected a finite scale > 0"),
        (
            lambda: matrix_factorization(np.full((3, 2), np.inf)),
            "expected finite M, got NaN or infinite entries",
        ),
        (lambda: matrix_factorization(np.ones(3)), r"expected M to be a matrix, got shape \(3,\)"),
        (
            lambda: matrix_factorization(np.ones((3, 2)), balancing=-1.0),
            "expected a finite balancing >= 0, got -1.0",
        ),
        (
            lambda: MatrixFactorization(np.ones((3, 2)), np.ones((3, 1)), np.ones((3, 1))),
            r"expected factors of shape \(3, rank\) and \(2, rank\), got \(3, 1\) and \(3, 1\)",
        ),
        (
            lambda: MatrixFactorization(np.ones((3, 2)), np.ones((3, 1)), np.ones((2, 2))),
            r"expected factors of shape \(3, rank\) and \(2, rank\)",
        ),
        (
            lambda: MatrixFactorization(np.ones((3, 2)), np.ones(3), np.ones(2)),
            r"expected U to be a matrix, got shape \(3,\)",
        ),
        (
            lambda: MatrixFactorization(np.ones((3, 2)), np.full((3, 1), np.nan), np.ones((2, 1))),
            "expected finite U, got NaN or infinite entries",
        ),
        (
            lambda: matrix_factorization(np.eye(2), scale="1"),
            "expected a finite scale > 0, got '1'",
        ),
        (
            lambda: matrix_factorization(np.eye(2), balancing=None),
            "expected a finite balancing >= 0, got None",
        ),
    ],
)
def test_factorisations_that_cannot_be(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_factors_have_no_margin_to_rescale_by():
    factors = matrix_factorization(np.ones((3, 2)), random_state=0)
    with pytest.raises(ValueError, match=r"expected a homogeneous network .* without margins"):
        GradientDescent(0.1, rescaling=MarginGrowth(10)).minimize(factors)
