"""Deep linear networks: balanced factors, the flow of the product, what depth does."""

import itertools
import re

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad, solve_ivp
from scipy.linalg import polar

from gnorm.descent import (
    Average,
    DeepLinear,
    Descent,
    Direction,
    DivergenceError,
    EndToEndMetric,
    GradientDescent,
    Logarithm,
    MarginGrowth,
    MatrixFactorization,
    MatrixMargins,
    MatrixRegression,
    Normalized,
    Rate,
    Spectral,
    balanced_factors,
    effective_rank,
    end_to_end,
    unbalancedness,
)


def a_matrix(shape=(4, 3), rank=None, seed=0):
    rng = np.random.default_rng(seed)
    if rank is None:
        return rng.normal(size=shape)
    return rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))


def psd_power(S, power):
    values, vectors = np.linalg.eigh(S)
    kept = np.where(values > 1e-12 * values[-1], values, 0.0)  # a root would raise the rounding
    return (vectors * kept**power) @ vectors.T


# -- balanced factors ------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from(["svd", "polar", "random"]),
    st.integers(0, 2),
)
def test_balanced_factors_are_balanced_and_of_least_norm(shape, rank, depth, hidden, extra):
    rank = min(rank, *shape)
    W = a_matrix(shape, rank)
    width = (shape[1] if hidden == "polar" else min(shape)) + extra
    factors = balanced_factors(W, depth, hidden=hidden, width=width, random_state=0)
    assert len(factors) == depth
    assert all(F.shape[0] == width for F in factors[:-1])
    assert_allclose(end_to_end(factors), W, atol=1e-12 * max(1, np.abs(W).max()))
    values = np.linalg.svd(W, compute_uv=False)
    assert (unbalancedness(factors) <= 1e-12 * (1 + values[0] ** (2 / depth)) * width).all()
    total = sum(np.sum(F**2) for F in factors)
    assert_allclose(total, depth * np.sum(values[:rank] ** (2 / depth)), rtol=1e-9)
    # other factors of the same product are longer
    rng = np.random.default_rng(1)
    if depth > 1:
        G = np.eye(width) + 0.3 * rng.normal(size=(width, width))
        others = [G @ factors[0], factors[1] @ np.linalg.inv(G), *factors[2:]]
        assert sum(np.sum(F**2) for F in others) >= total * (1 - 1e-9)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_polar_factors_are_powers_of_the_stretch(depth):
    W = a_matrix((4, 4))
    Q, P = polar(W)
    *inner, last = balanced_factors(W, depth, hidden="polar")
    root = psd_power(P, 1 / depth)
    for factor in inner:
        assert_allclose(factor, root, atol=1e-12)
    assert_allclose(last, Q @ root, atol=1e-12)


def test_the_inner_layers_may_be_as_narrow_as_the_rank():
    W = a_matrix((5, 4), rank=2)
    factors = balanced_factors(W, 3, width=2)
    assert [F.shape for F in factors] == [(2, 4), (2, 2), (5, 2)]
    assert_allclose(end_to_end(factors), W, atol=1e-12)
    with pytest.raises(ValueError, match="expected a width of at least 2 for a matrix of rank 2"):
        balanced_factors(W, 3, width=1)


# -- the metric of the product ---------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize(("shape", "rank"), [((4, 3), 3), ((3, 5), 2), ((4, 4), 1)])
def test_the_end_to_end_gradient_is_what_factors_do_to_their_product(shape, rank, depth):
    W, G = a_matrix(shape, rank), a_matrix(shape, seed=1)
    gradient = EndToEndMetric(W, depth).gradient(G)
    powers = np.zeros(shape)
    for j in range(1, depth + 1):
        left = np.eye(shape[0]) if j == depth else psd_power(W @ W.T, (depth - j) / depth)
        right = np.eye(shape[1]) if j == 1 else psd_power(W.T @ W, (j - 1) / depth)
        powers += left @ G @ right
    assert_allclose(gradient, powers, atol=1e-9)
    # and the derivative of the product along the gradients of balanced factors
    factors = balanced_factors(W, depth, width=6, hidden="random", random_state=0)
    velocity = np.zeros(shape)
    for j in range(depth):
        above = end_to_end([np.eye(factors[j].shape[0]), *factors[j + 1 :]])
        below = end_to_end([np.eye(shape[1]), *factors[:j]])
        velocity += above @ (above.T @ G @ below.T) @ below
    assert_allclose(gradient, velocity, atol=1e-9)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_end_to_end_gradient_represents_the_derivative(depth):
    W, G, Z = (a_matrix((3, 4), seed=s) for s in range(3))
    W = W[:, :3] @ W[:, 1:].T[:3]  # square, so that no direction is shut
    G, Z = G[:, :3], Z[:, :3]
    metric = EndToEndMetric(W, depth)
    assert_allclose(metric.inner(metric.gradient(G), Z), np.sum(G * Z))
    assert metric.inner(Z, Z) > 0
    assert_allclose(metric.inner(G, Z), metric.inner(Z, G))
    if depth == 1:
        assert_allclose(metric.gradient(G), G, atol=1e-12)


def quadratic(shape=(4, 3), n_samples=20, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n_samples, *shape))
    return MatrixRegression(A, rng.normal(size=n_samples))


@pytest.mark.parametrize("depth", [2, 3])
def test_the_product_of_balanced_factors_follows_the_end_to_end_flow(depth):
    """The distance to the flow at the same time falls with the rate."""
    function = quadratic()
    start = 0.5 * a_matrix((4, 3), seed=2)

    def flow(t, w):
        W = w.reshape(start.shape)
        return -EndToEndMetric(W, depth).gradient(function.slope(W, None)[0]).ravel()

    time = 1.0
    exact = solve_ivp(flow, (0, time), start.ravel(), rtol=1e-10, atol=1e-12).y[:, -1]
    distances = []
    for rate in (0.04, 0.02, 0.01):
        objective = DeepLinear(function, balanced_factors(start, depth))
        GradientDescent(rate, max_steps=round(time / rate)).minimize(objective)
        distances.append(np.linalg.norm(objective.product.ravel() - exact))
    assert distances[0] < 0.1 * np.linalg.norm(exact - start.ravel())
    assert_allclose(np.divide(distances[:-1], distances[1:]), 2.0, rtol=0.1)
    # unbalanced factors of the same product go elsewhere
    factors = balanced_factors(start, depth)
    factors[0], factors[1] = 3.0 * factors[0], factors[1] / 3.0
    objective = DeepLinear(function, factors)
    GradientDescent(0.01, max_steps=100).minimize(objective)
    assert np.linalg.norm(objective.product.ravel() - exact) > 10 * distances[-1]


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_differences_of_gram_matrices_drift_in_proportion_to_the_rate(depth):
    """Theorem 2.2 of Du, Hu and Lee, and with its diagonals Theorem 2.1."""
    function = quadratic()
    rng = np.random.default_rng(0)
    sizes = [3, *[4] * (depth - 1), 4]
    start = [rng.normal(size=(m, n)) / 2 for n, m in itertools.pairwise(sizes)]

    def grams(factors):
        return [V @ V.T - U.T @ U for V, U in itertools.pairwise(factors)]

    drifts = []
    for rate in (0.02, 0.01, 0.005):
        objective = DeepLinear(function, start)
        history = GradientDescent(rate, max_steps=round(2 / rate)).minimize(objective)
        assert history.loss[-1] < 0.6 * history.loss[0]
        changes = np.subtract(grams(objective.factors), grams(start))
        drifts.append(np.linalg.norm(changes))
        assert_allclose(
            history["unbalancedness"][-1], [np.linalg.norm(g) for g in grams(objective.factors)]
        )
    assert_allclose(np.divide(drifts[:-1], drifts[1:]), 2.0, rtol=0.15)
    assert drifts[-1] < 0.02 * np.linalg.norm(grams(start))


# -- the objective ---------------------------------------------------------------------------------


def functions(shape):
    rng = np.random.default_rng(3)
    A = rng.normal(size=(7, *shape))
    return [
        MatrixRegression(A, rng.normal(size=7)),
        MatrixRegression(A, rng.normal(size=7), power=3.5),
        MatrixMargins(A, np.where(rng.random(7) < 0.5, -1, 1)),
        MatrixMargins(A, np.where(rng.random(7) < 0.5, -1, 1), loss="exponential"),
    ]


@pytest.mark.parametrize("sizes", [(3, 4), (3, 2, 4), (3, 5, 2, 4)])
@pytest.mark.parametrize("i", range(4))
@pytest.mark.parametrize("rows", [None, np.array([5, 0, 2])], ids=["all", "batch"])
def test_gradients_equal_finite_differences(i, sizes, rows):
    function = functions((4, 3))[i]
    rng = np.random.default_rng(0)
    factors = [rng.normal(size=(m, n)) for n, m in itertools.pairwise(sizes)]
    objective = DeepLinear(function, factors)
    batch = [function.A] if rows is None else [function.A[rows]]
    data = getattr(function, "y", getattr(function, "targets", None))
    labels = data if rows is None else data[rows]

    def loss():
        values = np.einsum("nij,ij->n", batch[0], objective.product)
        if isinstance(function, MatrixRegression):
            return np.mean(np.abs(values - labels) ** function.power) / function.power
        return np.exp(function.loss.log_mean(labels * values)[0])

    gradient = np.empty_like(objective.parameters)
    slope = objective.gradient(rows, gradient)
    w, step, expected = objective.parameters, 1e-5, np.empty_like(gradient)
    for k, value in enumerate(w.copy()):
        w[k] = value + step
        above = loss()
        w[k] = value - step
        expected[k] = (above - loss()) / (2 * step)
        w[k] = value
    assert_allclose(np.exp(slope.log_scale) * gradient, expected, rtol=1e-5, atol=1e-7)
    if rows is None:
        assert_allclose(objective.measure()["loss"], loss())


def test_two_factors_are_a_matrix_factorization():
    """So that Theorem 3.2 and Lemma 3.1, which are tested there, hold here."""
    M = a_matrix((3, 4))
    A = np.eye(12).reshape(12, 3, 4)
    U, V = a_matrix((3, 2), seed=1), a_matrix((4, 2), seed=2)
    one = MatrixFactorization(M, U, V)
    other = DeepLinear(MatrixRegression(A, M.ravel()), [V.T, U])
    first = GradientDescent(0.01, max_steps=50).minimize(one)
    second = GradientDescent(0.12, max_steps=50).minimize(other)  # a mean over 12 entries
    assert_allclose(other.parameters, one.parameters, rtol=1e-9)
    assert_allclose(12 * second.loss, first.loss, rtol=1e-9)
    assert_allclose(second["unbalancedness"][:, 0], first["imbalance"], rtol=1e-9)


def test_batches_of_measurements():
    objective = DeepLinear(quadratic(), balanced_factors(0.5 * a_matrix(), 2))
    history = GradientDescent(0.02, batch_size=5, max_steps=400, random_state=0).minimize(objective)
    assert history.loss[-1] < 0.5 * history.loss[0]


# -- what depth does -------------------------------------------------------------------------------


def test_depth_lowers_the_rank():
    """Completion of a matrix of rank one from half of its entries, from a small start."""
    rng = np.random.default_rng(0)
    M = np.outer(rng.normal(size=8), rng.normal(size=8))
    is_seen = rng.random((8, 8)) < 0.5
    A = np.eye(64)[is_seen.ravel()].reshape(-1, 8, 8)
    shares, errors = [], []
    for depth in (1, 2, 3):
        start = balanced_factors(1e-3 * np.eye(8), depth)
        objective = DeepLinear(MatrixRegression(A, M[is_seen]), start)
        history = GradientDescent(0.1, momentum=0.9, max_steps=4000).minimize(objective)
        assert history.loss[-1] < 1e-4 * history.loss[0]
        values = history["singular_values"][-1]
        shares.append(values[1] / values[0])
        errors.append(np.linalg.norm((objective.product - M)[~is_seen]) / np.linalg.norm(M))
    assert shares[0] > 3 * shares[1] > 9 * shares[2]
    assert errors[0] > errors[1] > errors[2]


def entries(M):
    """Half the squared distance from M, over the number of its entries."""
    return MatrixRegression(np.eye(M.size).reshape(-1, *M.shape), M.ravel())


def descend(M, start, depth, rate, max_steps):
    """Descent in time of the flow of half the squared distance; all steps are logged."""
    objective = DeepLinear(entries(M), balanced_factors(start, depth))
    descent = GradientDescent(rate * M.size, max_steps=max_steps, log_every=1)
    history = descent.minimize(objective)
    return rate * np.asarray(history.step), M.size * history.loss, history["singular_values"]


def time_of_a_value(depth, start, end, target):
    """Time in which a singular value grows: s' = N s^(2 - 2/N) (target - s)."""
    return quad(lambda s: 1 / (depth * s ** (2 - 2 / depth) * (target - s)), start, end)[0]


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)), st.integers(1, 5), st.integers(0, 2**32 - 1)
)
def test_the_loss_falls_between_the_least_and_the_largest_coefficient(shape, depth, seed):
    rng = np.random.default_rng(seed)
    W, G = rng.normal(size=shape), rng.normal(size=shape)
    metric = EndToEndMetric(W, depth)
    least, largest = metric.acceleration
    fall, square = np.vdot(G, metric.gradient(G)), np.vdot(G, G)
    assert least * square <= fall * (1 + 1e-12)
    assert fall <= largest * square * (1 + 1e-12)
    U, values, Vt = np.linalg.svd(W)
    for extreme, place in [(least, np.argmin), (largest, np.argmax)]:  # both are attained
        a, b = np.unravel_index(place(metric.coefficients), shape)
        H = np.outer(U[:, a], Vt[b])
        assert_allclose(np.vdot(H, metric.gradient(H)), extreme, rtol=1e-9, atol=1e-12)
    if shape[0] == shape[1]:
        assert least >= depth * values.min() ** (2 - 2 / depth) * (1 - 1e-9)
        threshold = depth ** (-depth / (2 * depth - 2)) if depth > 1 else 0.5
        scaled = EndToEndMetric(threshold * W / values.min(), depth)
        assert scaled.acceleration[0] >= 1 - 1e-9


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_depth_accelerates_from_where_its_coefficients_are_above_one(depth):
    """Any loss is reached within 1/kappa of the time of one layer, and when the formula says so."""
    threshold = depth ** (-depth / (2 * depth - 2))
    values, rate = np.array([2.0, 1.5, 1.2]), 2.5e-3
    Q, _ = np.linalg.qr(a_matrix((3, 3), seed=4))
    M, start = (Q * values) @ Q.T, np.eye(3)  # the same singular vectors: values move alone
    kappa = depth * 1.0 ** (2 - 2 / depth)
    assert kappa >= 1
    assert start[0, 0] > threshold
    times, losses, _ = descend(M, start, depth, rate, 1500)
    plain, others, _ = descend(M, start, 1, rate, 1500)
    for share in (0.5, 0.1, 0.01, 1e-3):
        goal = share * losses[0]
        reached = times[np.argmax(losses <= goal)]
        by_one = plain[np.argmax(others <= goal)]
        assert_allclose(by_one, 0.5 * np.log(1 / share), rtol=0.02, atol=2 * rate)
        assert reached <= by_one / kappa + rate
        ends = solve_ivp(
            lambda t, s: depth * s ** (2 - 2 / depth) * (values - s),
            (0, reached),
            np.ones(3),
            rtol=1e-9,
            atol=1e-12,
        ).y[:, -1]
        assert_allclose(0.5 * np.sum((values - ends) ** 2), goal, rtol=0.1)


def test_depth_slows_down_below_the_threshold_and_deeper_ones_more():
    """From a hundredth of the target, in the times that the formula says."""
    M, start, rate = np.diag([1.0, 1.0]), 0.01 * np.eye(2), 0.02
    reached = []
    for depth in (1, 2, 3, 4):
        expected = time_of_a_value(depth, 0.01, 0.9, 1.0)
        times, losses, _ = descend(M, start, depth, rate, round(1.2 * expected / rate))
        reached.append(times[np.argmax(losses <= 0.01)])
        assert_allclose(reached[-1], expected, rtol=0.03)
    assert (np.diff(reached) > 0.3).all()
    assert EndToEndMetric(start, 2).acceleration[1] < 1


def test_the_least_coefficient_bounds_the_rate_of_a_convex_loss():
    """With curvatures from mu to L, and singular vectors that turn."""
    rng = np.random.default_rng(0)
    roots = np.sqrt(np.linspace(0.5, 2.0, 9))
    rotation, _ = np.linalg.qr(rng.normal(size=(9, 9)))
    A = (roots[:, None] * rotation).reshape(9, 3, 3)
    M = 2 * np.eye(3) + 0.3 * rng.normal(size=(3, 3))
    function = MatrixRegression(A, A.reshape(9, -1) @ M.ravel())
    mu, rate = 0.5 / 9, 0.01
    for depth in (2, 3):
        objective = DeepLinear(function, balanced_factors(1.2 * np.eye(3), depth))
        kappas = []

        def watch(step, subject, kappas=kappas, depth=depth):
            kappas.append(EndToEndMetric(subject.product, depth).acceleration[0])

        descent = GradientDescent(rate, max_steps=2000, log_every=50, callback=watch)
        history = descent.minimize(objective)
        kappa = min(kappas)
        assert kappa > 1
        bound = history.loss[0] * np.exp(-2 * kappa * mu * rate * np.asarray(history.step))
        assert (history.loss <= bound * (1 + 1e-9)).all()
        assert history.loss[-1] < 1e-2 * history.loss[0]


def test_singular_values_grow_one_after_the_other_with_depth():
    """The effective rank on the way to a matrix of full rank, from a small start."""
    values, size = np.array([4.0, 2.0, 1.0]), 1e-3
    M, start = np.diag(values), size * np.eye(3)
    least = []
    for depth, rate, n_steps in [(1, 0.01, 800), (2, 0.01, 800), (3, 0.02, 1500)]:
        times, losses, seen = descend(M, start, depth, rate, n_steps)
        flow = solve_ivp(
            lambda t, s, N=depth: N * s ** (2 - 2 / N) * (values - s),
            (0, times[-1]),
            np.full(3, size),
            t_eval=times[:: n_steps // 8],
            rtol=1e-9,
            atol=1e-12,
        ).y
        ranks = effective_rank(seen)
        half = np.argmax(seen[:, 0] >= 0.5 * values[0])
        if depth == 1:  # all at once: the shares are those of the target from the start on
            assert_allclose(seen[half] / seen[half, 0], values / values[0], rtol=1e-2)
            assert (np.diff(ranks) < 1e-9).all()
        else:
            assert seen[half, 1] < 0.05 * seen[half, 0]
        assert_allclose(seen[:: n_steps // 8].T, flow, rtol=0.25, atol=0.02)
        assert losses[-1] < 1e-2 * losses[0]
        least.append(ranks.min())
    assert_allclose(least[0], effective_rank(values), rtol=1e-2)
    assert least[0] > 2.5
    assert least[1] < 1.2
    assert least[2] < least[1]


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=6).filter(lambda v: max(v) > 1e-3))
def test_the_effective_rank_is_between_one_and_the_rank(values):
    rank = effective_rank(values)
    assert 1 - 1e-9 <= rank <= np.count_nonzero(values) + 1e-9
    assert_allclose(effective_rank(np.multiply(7.0, values)), rank, rtol=1e-9)
    assert_allclose(effective_rank([3.0] * len(values)), len(values))


def test_what_has_no_effective_rank():
    assert np.isnan(effective_rank([0.0, 0.0]))
    with pytest.raises(ValueError, match=r"expected singular values >= 0, got -1\.0"):
        effective_rank([2.0, -1.0])


# -- several outputs: the norm that the optimiser induces ------------------------------------------


def matrix_margins(seed=0, n_samples=12, shape=(6, 5)):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n_samples, *shape)) / np.sqrt(shape[1])
    return A, np.where(rng.random(n_samples) < 0.5, -1, 1)


def least_norm(A, y, norm):
    Z = cp.Variable(A.shape[1:])
    margins = cp.multiply(y, A.reshape(len(A), -1) @ cp.vec(Z, order="C"))
    problem = cp.Problem(cp.Minimize(norm(Z)), [margins >= 1])
    return problem.solve(solver="CLARABEL")


@pytest.mark.parametrize(
    ("geometry", "own"), [("l2", "nuclear"), ("spectral", "operator")], ids=["l2", "spectral"]
)
def test_two_linear_layers_reach_the_norm_of_their_geometry(geometry, own):
    """Gradient descent the nuclear norm, spectral descent the operator norm, and not the other."""
    A, y = matrix_margins()
    exact = {"nuclear": least_norm(A, y, cp.normNuc), "operator": least_norm(A, y, cp.sigma_max)}
    rng = np.random.default_rng(1)
    start = [0.3 * rng.normal(size=(8, 5)), 0.3 * rng.normal(size=(6, 8))]
    objective = DeepLinear(MatrixMargins(A, y), start)
    n_steps = 2000
    growth = MarginGrowth(n_steps, last=1e3)
    if geometry == "l2":
        descent = GradientDescent(
            Normalized(0.3, scale="network"), momentum=0.9, max_steps=n_steps, rescaling=growth
        )
    else:
        parts = [Logarithm(), Average(0.9), Direction("spectral")]
        rate = Rate(Normalized(0.1, scale=Spectral()))
        descent = Descent([*parts, rate], max_steps=n_steps, rescaling=growth)
    descent.minimize(objective)
    Z = objective.product
    margin = np.min(y * np.einsum("nij,ij->n", A, Z))
    ratios = {
        "nuclear": margin * exact["nuclear"] / np.linalg.norm(Z, "nuc"),
        "operator": margin * exact["operator"] / np.linalg.norm(Z, 2),
    }
    assert 0.99 < ratios[own] <= 1 + 1e-6
    assert min(ratios.values()) < 0.8


# -- what does not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: balanced_factors(np.ones(3), 2), "expected W to be a matrix, got shape (3,)"),
        (lambda: balanced_factors(np.eye(2), 0), "expected depth to be an integer of at least 1"),
        (lambda: balanced_factors(np.eye(2), 2, hidden="qr"), "expected hidden to be 'svd', "),
        (lambda: balanced_factors(np.eye(2), 2, width=1.5), "expected a width of at least 2"),
        (lambda: balanced_factors(np.full((2, 2), np.nan), 2), "expected finite W, got NaN"),
        (lambda: end_to_end([]), "expected at least one factor, got none"),
        (
            lambda: end_to_end([np.ones((3, 2)), np.ones((4, 2))]),
            "expected factor 1 to have 3 columns, one for each row of factor 0, got shape (4, 2)",
        ),
        (
            lambda: DeepLinear(quadratic(), [np.ones((4, 4))]),
            "expected factors whose product has the shape (4, 3), got (4, 4)",
        ),
        (
            lambda: MatrixRegression(np.ones((2, 3)), [1.0, 2.0]),
            "expected finite measurements A of shape (n_samples, n_outputs, n_features), got",
        ),
        (
            lambda: MatrixRegression(np.ones((2, 3, 3)), [1.0]),
            "expected finite targets of shape (2,), got (1,)",
        ),
        (
            lambda: MatrixRegression(np.ones((1, 3, 3)), [1.0], power=1.0),
            "expected 1 < power < inf, got 1.0",
        ),
        (
            lambda: MatrixRegression(np.ones((1, 3, 3)), [1.0], power="2"),
            "expected 1 < power < inf, got '2'",
        ),
        (lambda: balanced_factors([["a"]], 2), "expected real W, got dtype"),
        (lambda: MatrixMargins(np.ones((1, 3, 3)), [0]), "expected labels -1 and 1 in y, got [0]"),
    ],
)
def test_what_does_not_fit(build, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build()


def test_a_diverging_product_stops():
    objective = DeepLinear(quadratic(), balanced_factors(a_matrix(), 3))
    with pytest.raises(DivergenceError, match="expected a smaller rate or momentum"):
        GradientDescent(50.0, max_steps=200).minimize(objective)


def test_factors_are_views_and_given_ones_are_copied():
    start = balanced_factors(a_matrix(), 2)
    objective = DeepLinear(quadratic(), start)
    objective.parameters[:] = 0.0
    assert_array_equal(objective.product, np.zeros((4, 3)))
    assert np.abs(start[0]).max() > 0
