"""How far descent is from its limit: what is conserved, what is reached, and what is missed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import nnls

from gnorm import max_margin
from gnorm.datasets import load_binary_digits
from gnorm.descent import (
    GatedNetwork,
    GradientDescent,
    balancedness,
    compare,
    euler_residual,
    inconsistency,
    kkt_residual,
    margin_ratio,
)
from gnorm.gates import HyperplaneGates
from gnorm.norms import representation_cost

N, D = 12, 4


def random_gates(n_samples, n_units, n_contexts, seed=0):
    rng = np.random.default_rng(seed)
    if n_contexts == 1:
        return rng.random((n_samples, n_units, 1)) < 0.6
    return rng.integers(n_contexts, size=(n_samples, n_units))[:, :, None] == np.arange(n_contexts)


def random_problem(seed=0, n_samples=N, n_features=D):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_samples, n_features)), rng.choice([-1, 1], size=n_samples)


ARCHITECTURES = {
    "gln": (lambda **kw: GatedNetwork.gln(D, 3, 2, **kw), random_gates(N, 3, 2)),
    "gln of depth 3": (
        lambda **kw: GatedNetwork.gln(D, [3, 2], [2, 3], **kw),
        [random_gates(N, 3, 2), random_gates(N, 2, 3, seed=1)],
    ),
    "frelu": (lambda **kw: GatedNetwork.frelu(D, 4, **kw), random_gates(N, 4, 1)),
    "relu": (lambda **kw: GatedNetwork.relu(D, 6, **kw), None),
    "relu of depth 3": (lambda **kw: GatedNetwork.relu(D, [6, 4], **kw), None),
    "linear": (lambda **kw: GatedNetwork.deep_linear(D, 3, **kw), None),
    "linear of depth 4": (lambda **kw: GatedNetwork.deep_linear(D, [3, 2, 3], **kw), None),
}
every_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


def conserved(network):
    """All conserved quantities in one vector."""
    balance = balancedness(network)
    matrices = [m.ravel() for m in balance.matrices if m is not None]
    return np.concatenate([*balance.units, balance.layers, *matrices])


def moved(network, X, y, gates, rate, time, **descent):
    """The network after some training time."""
    network = network.copy()
    GradientDescent(rate, max_steps=round(time / rate), **descent).train(network, X, y, gates)
    return network


def test_decision_values_that_are_no_numbers_have_no_sign():
    with pytest.raises(ValueError, match="expected finite decision values"):
        inconsistency([np.nan, 1.0], [1.0, 1.0])


def test_a_solution_of_other_samples_is_refused():
    X, y = random_problem()
    gates = random_gates(N, 3, 2)
    solution = max_margin(X, y, gates, 1.0)
    network = GatedNetwork.gln(D, 3, 2, random_state=0)
    with pytest.raises(ValueError, match=f"expected the {N} samples of the solution, got {N - 1}"):
        margin_ratio(network, solution, X[1:], y[1:], gates[1:])
    network.parameters[:] = 0.0
    with pytest.raises(ValueError, match="expected a network with weights other than zero"):
        margin_ratio(network, solution, X, y, gates)


# -- balance ---------------------------------------------------------------------------------------


def test_balance_is_what_it_says():
    network = GatedNetwork.gln(D, [3, 2], [2, 3], random_state=0)
    first, second, last = (layer.weights for layer in network.layers)
    balance = balancedness(network)
    for h in range(3):
        expected = sum(np.sum(first[c, h] ** 2) for c in range(2))
        expected -= sum(second[c, o, h] ** 2 for c in range(3) for o in range(2))
        assert_allclose(balance.units[0][h], expected)
    assert_allclose(balance.units[1], np.square(second).sum(axis=(0, 2)) - last[0, 0] ** 2)
    norms = [np.linalg.norm(W) ** 2 for W in (first, second, last)]
    assert_allclose(balance.layers, [norms[0] - norms[1], norms[1] - norms[2]], atol=1e-14)
    assert balance.matrices == [None, None]


def test_linear_layers_have_a_balance_of_matrices():
    network = GatedNetwork.deep_linear(D, [3, 2], random_state=0)
    first, second, last = (layer.weights[0] for layer in network.layers)
    balance = balancedness(network)
    assert_allclose(balance.matrices[0], first @ first.T - second.T @ second)
    assert_allclose(balance.matrices[1], second @ second.T - last.T @ last)
    for matrix, units in zip(balance.matrices, balance.units, strict=True):
        assert_allclose(np.diag(matrix), units)


@every_architecture
@pytest.mark.parametrize("loss", ["logistic", "exponential"])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
def test_the_drift_of_what_is_conserved_halves_with_the_rate(name, loss, bias):
    """Du, Hu, Lee (2018), theorems 2.1 and 2.2; a bias takes no part in any of the products."""
    (X, y), (draw, gates) = random_problem(), ARCHITECTURES[name]
    network = draw(bias=bias, scale=0.8, random_state=1)
    drifts = []
    for rate in (0.01, 0.005):
        after = moved(network, X, y, gates, rate, 2.0, loss=loss)
        drifts.append(conserved(after) - conserved(network))
        assert np.linalg.norm(after.parameters - network.parameters) > 0.1
    # a dead ReLU does not drift; entries whose first order cancels are left to their second
    is_large = np.abs(drifts[0]) > 0.02 * np.abs(drifts[0]).max()
    assert is_large.sum() >= 3
    ratios = drifts[0][is_large] / drifts[1][is_large]
    assert ratios.min() > 1.8
    assert ratios.max() < 2.2
    assert np.abs(drifts[0]).max() < 0.01


@pytest.mark.parametrize("name", ["linear", "linear of depth 4"])
def test_only_linear_layers_conserve_matrices(name):
    (X, y), (draw, _) = random_problem(), ARCHITECTURES[name]
    change = []
    relu = GatedNetwork.relu(D, 3, init="orthogonal", random_state=0)
    for network in (draw(random_state=0), relu):
        after = moved(network, X, y, None, 1e-3, 2.0)
        first = [n.layers[0].weights[0] for n in (network, after)]
        second = [n.layers[1].weights[0] for n in (network, after)]
        matrices = [W @ W.T - V.T @ V for W, V in zip(first, second, strict=True)]
        change.append(np.abs(matrices[1] - matrices[0]).max())
    assert change[0] < 1e-3
    assert change[1] > 0.02


@every_architecture
def test_what_starts_unbalanced_stays_equally_unbalanced(name):
    (X, y), (draw, gates) = random_problem(), ARCHITECTURES[name]
    network = draw(random_state=1)
    for layer, factor in zip(network.layers, [3.0, 0.3, 2.0, 0.5], strict=False):
        layer.weights[:] *= factor
    after = moved(network, X, y, gates, 1e-3, 2.0)
    before, now = balancedness(network), balancedness(after)
    assert np.abs(before.layers).min() > 0.5
    assert_allclose(now.layers, before.layers, rtol=0.01)
    for old, new in zip(before.units, now.units, strict=True):
        assert_allclose(new, old, atol=0.01 * np.abs(old).max())


@every_architecture
@pytest.mark.parametrize("decay", [0.2, 0.5])
def test_weight_decay_lets_the_balance_fall_exponentially(name, decay):
    r"""From :math:`\dot w = -\nabla L - \lambda w`: each difference b has :math:`\dot b = -2
    \lambda b`, and so is no invariant any more."""
    (X, y), (draw, gates) = random_problem(), ARCHITECTURES[name]
    network = draw(random_state=1)
    network.layers[0].weights[:] *= 2.0
    after = moved(network, X, y, gates, 1e-3, 2.0, weight_decay=decay)
    before, now = conserved(network), conserved(after)
    assert_allclose(now, np.exp(-2 * decay * 2.0) * before, atol=2e-3 * np.abs(before).max())
    assert np.abs(now - before).max() > 0.5 * np.abs(before).max()


@every_architecture
def test_a_bias_breaks_euler_and_the_sum_that_counts_it(name):
    r"""The bias b has a gradient of its own: :math:`\|W^L\|^2 + b^2` is not conserved against
    :math:`\|W^{L-1}\|^2`, but differs from it by the gain of :math:`b^2`."""
    (X, y), (draw, gates) = random_problem(), ARCHITECTURES[name]
    network = draw(bias=True, random_state=1)
    network.parameters[-1] = 0.5
    y = np.where(np.arange(N) < 3, -1, 1)  # the bias has somewhere to go
    after = moved(network, X, y, gates, 1e-3, 3.0)
    gain = after.bias**2 - network.bias**2
    assert abs(gain) > 0.05
    layers, counted = [], []
    for one in (network, after):
        last = balancedness(one).layers[-1]
        layers.append(last)
        counted.append(last - one.bias**2)
    assert abs(layers[1] - layers[0]) < 0.01 * abs(gain)
    assert_allclose(counted[1] - counted[0], -gain, rtol=0.01)
    values = network.depth * np.abs(after.decision_function(X, gates)).max()
    assert_allclose(
        euler_residual(after, X, gates) * values, (network.depth - 1) * abs(after.bias), rtol=1e-10
    )


def test_mini_batches_and_momentum_do_not_conserve_for_free():
    """The drift of batches falls with the rate too: each step is one of a loss of its own."""
    (X, y), (draw, gates) = random_problem(), ARCHITECTURES["gln"]
    network = draw(random_state=1)
    drifts = [
        np.abs(
            conserved(moved(network, X, y, gates, rate, 2.0, batch_size=3, random_state=0))
            - conserved(network)
        ).max()
        for rate in (0.02, 0.01, 0.0025)
    ]
    assert drifts[0] > drifts[1] > 2 * drifts[2] > 0


# -- against the exact solution --------------------------------------------------------------------


def a_solution(n_contexts=2, n_units=3, seed=0):
    X, y = random_problem(seed, n_samples=14, n_features=20)
    activations = random_gates(14, n_units, n_contexts, seed)
    activations[:, 0, 0] |= ~activations.any(axis=(1, 2))
    return X, y, activations, max_margin(X, y, activations, tol=1e-9)


@pytest.mark.parametrize("n_contexts", [1, 2, 4])
@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_the_network_of_the_exact_solution_is_at_the_limit(n_contexts, scale):
    X, y, activations, solution = a_solution(n_contexts)
    network = GatedNetwork.from_zeta(solution.zeta)
    network.parameters *= scale
    ratio = margin_ratio(network, solution, X, y, activations)
    assert abs(1 - ratio) <= 2 * solution.duality_gap + 1e-12
    assert kkt_residual(network, X, y, activations) < 1e-4
    record = compare(network, solution, X, y, activations)
    assert record.margin_ratio == ratio
    assert record.inconsistency == 0.0
    assert record.kkt_residual == kkt_residual(network, X, y, activations)
    assert record.imbalance < 1e-14
    assert_allclose(record.cost_ratio, 1.0)
    assert record.share_distance < 1e-12
    assert_allclose(record.min_margin, scale**2, rtol=1e-6)
    assert_allclose(record.squared_norm, 2 * solution.norm * scale**2, rtol=1e-6)


def test_no_network_has_a_margin_ratio_above_one():
    X, y, activations, solution = a_solution()
    rng = np.random.default_rng(0)
    best = GatedNetwork.from_zeta(solution.zeta)
    for size in [0.01, 0.1, 1.0, 10.0]:
        for _ in range(20):
            network = best.copy()
            network.parameters += size * rng.normal(size=network.parameters.shape)
            assert margin_ratio(network, solution, X, y, activations) <= 1.0
    best.parameters[:] = 0.0
    best.layers[0].weights[:] = rng.normal(size=best.layers[0].weights.shape)
    best.layers[1].weights[:] = -0.1
    flipped = GatedNetwork.from_zeta(-solution.zeta)
    assert_allclose(margin_ratio(flipped, solution, X, y, activations), -1.0, atol=1.0)
    assert margin_ratio(flipped, solution, X, y, activations) < 0


def test_imbalance_costs_margin():
    X, y, activations, solution = a_solution()
    network = GatedNetwork.from_zeta(solution.zeta)
    network.layers[0].weights[:] *= 2.0
    network.layers[1].weights[:] /= 2.0
    record = compare(network, solution, X, y, activations)
    # ||w||^2 = (4 + 1/4) norm instead of 2 norm
    assert_allclose(record.margin_ratio, 8 / 17, rtol=1e-7)
    assert_allclose(record.cost_ratio, 8 / 17)
    assert_allclose(
        record.imbalance, (4 - 0.25) * solution.unit_norms.max() / (4.25 * solution.norm)
    )
    assert record.share_distance < 1e-12


def test_comparison_says_who_holds_the_norm():
    X, y, activations, solution = a_solution()
    zeta = solution.zeta.copy()
    zeta[0] = 0.0
    network = GatedNetwork.from_zeta(zeta)
    record = compare(network, solution, X, y, activations)
    exact = solution.unit_norms / solution.norm
    shares = np.array([0.0, *solution.unit_norms[1:]]) / solution.unit_norms[1:].sum()
    assert_allclose(record.share_distance, np.abs(shares - exact).sum() / 2)
    assert_allclose(record.squared_norm, 2 * representation_cost(zeta))
    if record.min_margin <= 0:
        assert np.isnan(record.kkt_residual)


def test_a_network_that_does_not_separate_has_no_kkt_residual():
    X, y, activations, solution = a_solution()
    flipped = GatedNetwork.from_zeta(-solution.zeta)
    with pytest.raises(ValueError, match="expected a network that separates the samples, got mar"):
        kkt_residual(flipped, X, y, activations)
    record = compare(flipped, solution, X, y, activations)
    assert np.isnan(record.kkt_residual)
    assert record.inconsistency == 1.0


def test_predictions_are_compared_on_the_given_inputs():
    X, y, activations, solution = a_solution()
    rng = np.random.default_rng(5)
    X_test = rng.normal(size=(300, X.shape[1]))
    gates_test = random_gates(300, 3, 2, seed=6)
    network = GatedNetwork.from_zeta(solution.zeta + 0.05 * rng.normal(size=solution.zeta.shape))
    record = compare(
        network, solution, X, y, activations, X_test=X_test, activations_test=gates_test
    )
    values = network.decision_function(X_test, gates_test)
    others = solution.decision_values(X_test, gates_test)
    assert record.inconsistency == np.mean(np.sign(values) != np.sign(others)) > 0


@pytest.mark.parametrize(
    ("values", "others", "expected"),
    [([1, -2, 3, -4], [2, -1, -1, 1], 0.5), ([1.0], [1e-300], 0.0), ([0.0, 0.0], [-1.0, 1.0], 0.5)],
)
def test_inconsistency_is_a_share(values, others, expected):
    assert inconsistency(values, others) == expected


# -- the KKT residual ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["gln", "gln of depth 3", "relu of depth 3", "linear of depth 4", "bias"]
)
def test_the_kkt_residual_is_a_least_squares_problem_of_gradients(name):
    """Against the gradients written out, which the residual never builds."""
    X, _ = random_problem()
    draw, gates = ARCHITECTURES["gln" if name == "bias" else name]
    network = draw(bias=name == "bias", random_state=2)
    if name == "bias":
        network.parameters[-1] = 0.4
    y = np.where(network.decision_function(X, gates) >= 0, 1, -1)
    margins = y * network.decision_function(X, gates)
    chosen = np.flatnonzero(margins <= 1.9 * np.median(margins))
    tol = 1.9 * np.median(margins) / margins.min() - 1
    gradients = np.array([network.gradient(X, gates, y * (np.arange(N) == n)) for n in chosen])
    _, expected = nnls(gradients.T, network.parameters)
    assert len(chosen) > 5
    residual = kkt_residual(network, X, y, gates, tol=tol)
    assert_allclose(residual, expected / np.linalg.norm(network.parameters), atol=1e-10)
    assert 0 < residual <= 1


def test_the_kkt_residual_bears_equal_samples():
    X, y, activations, solution = a_solution()
    network = GatedNetwork.from_zeta(solution.zeta)
    twice = np.concatenate([X, X]), np.concatenate([y, y]), np.concatenate([activations] * 2)
    assert kkt_residual(network, *twice) < 1e-4


# -- the limit -------------------------------------------------------------------------------------


def digits(split):
    """200 images to train on and 1,597 to compare on, with a constant feature."""
    X, X_test, y, _ = load_binary_digits(test_size=1597, random_state=split)
    gates = HyperplaneGates(n_units=5, n_contexts=2, random_state=0).fit(X)
    activations = gates.transform(X), gates.transform(X_test)
    X, X_test = (np.column_stack([part, np.ones(len(part))]) for part in (X, X_test))
    return X, X_test, y, activations


def with_open_unit(activations):
    """On/off gates from the first contexts, and a unit that never closes."""
    return np.concatenate(
        [activations[:, :, :1], np.ones((len(activations), 1, 1), dtype=bool)], axis=1
    )


def record_kkt(X, y, gates):
    def callback(step, network):
        separates = (y * network.decision_function(X, gates)).min() > 0
        return {"kkt": kkt_residual(network, X, y, gates) if separates else np.nan}

    return callback


@pytest.mark.parametrize(
    ("kind", "split"), [("gln", 0), ("gln", 1), ("frelu", 0)], ids=["gln", "gln again", "frelu"]
)
def test_descent_ends_at_the_max_margin_solution(kind, split):
    X, X_test, y, (activations, activations_test) = digits(split)
    if kind == "gln":
        network = GatedNetwork.gln(65, 5, 2, random_state=0)
    else:
        activations, activations_test = map(with_open_unit, (activations, activations_test))
        network = GatedNetwork.frelu(65, 6, init="orthogonal", random_state=0)
    solution = max_margin(X, y, activations, tol=1e-8)
    descent = GradientDescent.accelerated(X, 8000, callback=record_kkt(X, y, activations))
    history = descent.train(network, X, y, activations)
    record = compare(
        network,
        solution,
        X,
        y,
        activations,
        X_test=X_test,
        activations_test=activations_test,
    )
    assert 0.9999 <= record.margin_ratio <= 1.0
    assert record.inconsistency <= 0.001
    assert record.kkt_residual < 0.01
    assert record.imbalance < 1e-4
    assert record.share_distance < 0.01
    assert_allclose(record.squared_norm, 2 * solution.norm * record.min_margin, rtol=1e-4)
    kkt = history["kkt"][np.isfinite(history["kkt"])]
    assert kkt[0] > 0.9
    assert (kkt[-1] < kkt[-6:-1]).all()
    ratios = 2 * solution.norm * history["min_margin"] / history["squared_norm"]
    assert (ratios <= 1).all()


def test_a_deeper_network_ends_at_a_stationary_point():
    X, _, y, (first, _) = digits(0)
    second = HyperplaneGates(n_units=4, random_state=1).fit_transform(X)
    network = GatedNetwork.gln(65, [5, 4], 2, random_state=0)
    history = GradientDescent.accelerated(
        X, 3000, callback=record_kkt(X, y, [first, second])
    ).train(network, X, y, [first, second])
    kkt = history["kkt"][np.isfinite(history["kkt"])]
    assert kkt[0] > 0.9
    assert kkt[-1] < 0.1
    assert (kkt[-1] < kkt[-6:-1]).all()
    assert np.abs(history["unit_balance"][-1]).max() < 1e-2 * history["squared_norm"][-1]


def test_a_dead_unit_stays_dead_and_leads_to_a_stationary_point_that_is_not_optimal():
    """With it, a zero residual is no proof: the limit is the optimum of the living units."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 10)), rng.choice([-1, 1], size=20)
    activations = rng.integers(2, size=(20, 3))[:, :, None] == np.arange(2)
    solution = max_margin(X, y, activations, tol=1e-9)
    network = GatedNetwork.gln(10, 3, 2, random_state=0)
    first, last = (layer.weights for layer in network.layers)
    first[:, 1] = 0.0
    last[:, :, 1] = 0.0
    GradientDescent.accelerated(X, 4000).train(network, X, y, activations)
    assert not network.to_zeta()[1].any()
    assert_array_equal(first[:, 1], 0.0)
    assert_array_equal(last[:, :, 1], 0.0)

    living = max_margin(X, y, activations[:, [0, 2]], tol=1e-9)
    assert living.norm > 1.1 * solution.norm
    record = compare(network, solution, X, y, activations)
    assert record.kkt_residual < 0.01
    assert_allclose(record.margin_ratio, solution.norm / living.norm, rtol=1e-3)
    assert_allclose(record.squared_norm / record.min_margin, 2 * living.norm, rtol=1e-3)
    # what the residual does not see: the dead unit would push harder than any living one
    pushes = np.linalg.norm(
        np.einsum("n,nhc,nd->hcd", living.dual_coef * y, activations, X).reshape(3, -1), axis=1
    )
    assert pushes[1] > 1.01 * pushes[[0, 2]].max()

    exact = GatedNetwork.from_zeta(np.insert(living.zeta, 1, 0.0, axis=0))
    assert kkt_residual(exact, X, y, activations) < 1e-4
    alive = GatedNetwork.gln(10, 3, 2, random_state=0)
    GradientDescent.accelerated(X, 4000).train(alive, X, y, activations)
    assert margin_ratio(alive, solution, X, y, activations) > 0.999


# -- what does not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "network",
    [
        GatedNetwork.gln(20, 3, 2, bias=True, random_state=0),
        GatedNetwork.shallow_gln(20, 2, random_state=0),
        GatedNetwork.gln(20, [3, 2], 2, random_state=0),
    ],
    ids=["bias", "one layer", "three layers"],
)
def test_only_two_layers_without_bias_have_a_margin_ratio(network):
    X, y, activations, solution = a_solution()
    with pytest.raises(ValueError, match="expected a network of two layers without bias"):
        margin_ratio(network, solution, X, y, activations)


def test_comparisons_that_do_not_fit():
    X, y, activations, solution = a_solution()
    network = GatedNetwork.from_zeta(solution.zeta)
    other = GatedNetwork.gln(20, 2, 2, random_state=0)
    with pytest.raises(ValueError, match=r"unit weights of shape \(3, 2, 20\).* got \(2, 2, 20\)"):
        compare(other, solution, X, y, activations[:, :2])
    with pytest.raises(ValueError, match="expected X_test and activations_test together"):
        compare(network, solution, X, y, activations, X_test=X)
    with pytest.raises(ValueError, match="expected a fixed-gate layer and a linear one without"):
        compare(GatedNetwork.gln(20, 3, 2, bias=True), solution, X, y, activations)


@pytest.mark.parametrize(
    ("values", "others"), [([1, 2], [1]), ([], []), ([[1], [2]], [[1], [2]]), ([1], 1)]
)
def test_predictions_that_cannot_be_compared(values, others):
    with pytest.raises(ValueError, match="expected decision values of the same inputs"):
        inconsistency(values, others)


@pytest.mark.parametrize("tol", [-0.1, -2.0, np.nan])
def test_kkt_tolerances_that_leave_no_sample(tol):
    X, y, activations, solution = a_solution()
    with pytest.raises(ValueError, match=f"expected .*tol >= 0, got {tol}"):
        kkt_residual(GatedNetwork.from_zeta(solution.zeta), X, y, activations, tol=tol)
