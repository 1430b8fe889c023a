"""Every layer, found by itself, alone and put together: derivatives, scaling, sharing."""

import inspect
import itertools
import pkgutil
from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax

import gnorm.descent.layers
from gnorm.descent import (
    Descent,
    Direction,
    GradientDescent,
    Lp,
    Network,
    Rate,
    check_rates,
    layer_norms,
    layers,
)
from gnorm.descent.layers import (
    Attention,
    BatchNorm,
    Bias,
    Columns,
    Convolution,
    Dense,
    Diagonal,
    Join,
    Layer,
    LayerNorm,
    LeakyReLU,
    Quadratic,
    ReLU,
    Select,
    Split,
    Sum,
    gated,
    positionwise,
    residual,
)

N = 6
# what a constructor is given for the arguments that it asks for, by name
ARGUMENTS = {
    "n_in": 4,
    "n_out": 3,
    "n_units": 4,
    "n_positions": 2,
    "length": 4,
    "kernel_size": 3,
    "columns": [2, 0, 2],
}
# other values for optional ones, to be tried beside the default
OPTIONS = {
    "n_contexts": [2],
    "n_in_channels": [2],
    "n_out_channels": [3],
    "n_keys": [3],
    "affine": [True],
    "center": [False],
    "eps": [0.3],
    "slope": [0.25, -1.0],
}


def found():
    """All layers in the files of the package that are no parts of others."""
    kinds = set()
    for module in pkgutil.iter_modules(gnorm.descent.layers.__path__):
        for kind in vars(import_module(f"gnorm.descent.layers.{module.name}")).values():
            if (
                inspect.isclass(kind)
                and issubclass(kind, Layer)
                and not kind.__name__.startswith("_")
            ):
                kinds.add(kind)
    return sorted((k for k in kinds if not inspect.isabstract(k)), key=lambda kind: kind.__name__)


def examples():
    for kind in found():
        parameters = inspect.signature(kind).parameters.values()
        required = {p.name: ARGUMENTS[p.name] for p in parameters if p.default is p.empty}
        names = [p.name for p in parameters if p.name in OPTIONS]
        values = [[None, *OPTIONS[name]] for name in names]
        for chosen in itertools.product(*values):
            given = {n: v for n, v in zip(names, chosen, strict=True) if v is not None}
            if kind is Join:  # alone it would join samples
                continue
            yield pytest.param(
                lambda kind=kind, required=required, given=given: kind(**required, **given),
                id=f"{kind.__name__}-{given}",
            )


def alone(layer, n_in, n_out):
    return n_in, [layer]


def in_a_chain(layer, n_in, n_out):
    return 3, [Dense(3, n_in), layer, Dense(n_out, 2)]


def in_a_sum(layer, n_in, n_out):
    return 3, [Dense(3, n_in), Sum([layer], [Dense(n_in, n_out), Bias(n_out)])]


def shared(layer, n_in, n_out):
    """The layer and a matrix in two places, one before the other, and the layer alone twice."""
    matrix = Dense(n_in, n_in)
    return n_in, [matrix, Sum([layer], [layer], [matrix, LeakyReLU(0.5), layer])]


PLACES = [alone, in_a_chain, in_a_sum, shared]


def problem(layer, place, seed=0):
    rng = np.random.default_rng(seed)
    n_in = 4 if layer.n_in is None else layer.n_in
    n_features, chain = place(layer, n_in, layer.n_outputs(n_in))
    if isinstance(layer, Split):  # rows of positions are not summed with samples: joined again
        n_out = layer.n_outputs(n_in)
        n_features, chain = n_in, [Dense(n_in, n_in), layer, Dense(n_out, 2), Join(2)]
    network = Network(n_features, chain, random_state=seed)
    network.parameters[:] = rng.normal(size=network.parameters.shape)
    X = rng.normal(size=(N, n_features))
    gates = [
        rng.random((N, *node.layer.gates)) < 0.6
        for node in network.nodes
        if node.layer.gates is not None
    ]
    return network, X, gates, rng


def differences(function, w, step=1e-5):
    """Central differences of an array along every entry of w."""
    slopes = []
    for i, value in enumerate(w.copy()):
        w[i] = value + step
        above = function()
        w[i] = value - step
        slopes.append((above - function()) / (2 * step))
        w[i] = value
    return np.array(slopes)


every_example = pytest.mark.parametrize("make", list(examples()))
every_place = pytest.mark.parametrize("place", PLACES)


def test_layers_are_found():
    assert {Dense, ReLU, Attention, BatchNorm, Convolution, Columns, Select} <= set(found())
    assert {kind.__name__ for kind in found()} <= set(layers.__all__)


@every_example
@every_place
def test_derivatives_equal_finite_differences(make, place):
    network, X, gates, rng = problem(make(), place)
    checked = network.check_inputs(X, gates)
    forward = network.forward(*checked)
    n_rows = len(forward.values)
    jacobian = differences(lambda: network.forward(*checked).values, network.parameters)
    jacobian = jacobian.reshape(len(network.parameters), forward.values.size)

    coef = rng.normal(size=forward.values.shape)
    gradient = np.full_like(network.parameters, np.nan)
    network.backward(forward, coef, gradient)
    size = max(1.0, np.abs(jacobian).max(initial=0.0))
    assert_allclose(gradient, jacobian @ coef.ravel(), atol=1e-8 * size * coef.size)
    assert n_rows == N
    if network.parameters.size:
        direction = rng.normal(size=network.parameters.shape)
        change = network.tangent(forward, direction, N)
        assert_allclose(change.ravel(), direction @ jacobian, atol=1e-7 * size)
        assert_allclose(np.vdot(change, coef), gradient @ direction, rtol=1e-10, atol=1e-12)
        # the factors of the gradient of each array, one pair for every place that it stands in
        factors = network.backward(forward, coef)
        for part, pairs in zip(network.split(gradient), factors, strict=True):
            total = sum(left.T @ right for left, right in pairs)
            assert_allclose(part.ravel(), np.ravel(total), atol=1e-12 * size * coef.size)
            assert all(len(left) == len(right) and len(left) % N == 0 for left, right in pairs)


@every_example
@every_place
def test_rates_are_those_at_which_the_values_grow(make, place):
    network, X, gates, _ = problem(make(), place)
    polytope = network.rates()
    checked = network.check_inputs(X, gates)
    forward = network.forward(*checked)
    if not len(polytope.vertices()):  # nothing scales, or branches cannot scale alike
        assert polytope.degree is None
        assert polytope.reason
        with pytest.raises(ValueError, match="got one without valid rates"):
            polytope.choose()
        return
    chosen = polytope.choose()
    corners = [chosen, *polytope.vertices()]
    for ray in polytope.rays():
        corners.append(chosen + ray)
    weights = network.split(network.parameters)
    for rates in corners:
        assert polytope.violation(rates) < 1e-7
        assert check_rates(network, rates, X, gates) < 1e-9
        scaled = np.concatenate([r * W.ravel() for r, W in zip(rates, weights, strict=True)])
        product = network.tangent(forward, scaled, N)  # Euler's identity
        assert_allclose(product, forward.values, atol=1e-11 * np.abs(forward.values).max() * 10)
    if polytope.degree is not None:
        polytope.check(np.full(len(chosen), 1 / polytope.degree))
        if not len(polytope.rays()):  # of a scale-invariant block the chosen rates are 0
            assert_allclose(chosen, 1 / polytope.degree, atol=1e-8)
    else:
        assert polytope.reason


@every_example
def test_other_rates_are_not_valid(make):
    network, X, gates, _ = problem(make(), in_a_chain)
    polytope = network.rates()
    wrong = np.full(len(network.names), 0.9)
    if polytope.violation(wrong) > 1e-3:
        assert check_rates(network, wrong, X, gates) > 1e-4
        with pytest.raises(ValueError, match="expected rates for which"):
            polytope.check(wrong)


@every_example
def test_norms_of_the_arrays_in_every_geometry(make):
    """Each by its definition; a geometry of matrices acts on what the layer says is one."""
    layer = make()
    network = Network(layer.n_in or 4, [layer, Join(2)] if isinstance(layer, Split) else [layer])
    network.parameters[:] = np.random.default_rng(0).normal(size=network.parameters.shape)
    for name, exponent in [("l1", 1), ("l2", 2), ("linf", np.inf)]:
        expected = [np.linalg.norm(W.ravel(), exponent) for W in network.weights.values()]
        assert_allclose(list(layer_norms(network, name).values()), expected)
    cubes = [np.sum(np.abs(W) ** 3) ** (1 / 3) for W in network.weights.values()]
    assert_allclose(list(layer_norms(network, Lp(3)).values()), cubes)
    shapes = list(layer.matrices.values())
    assert [np.prod(s) for s in shapes] == [np.prod(s) for s in layer.shapes.values()]
    if any(len(shape) < 3 for shape in shapes):
        with pytest.raises(ValueError, match="expected matrices of weights in the spectral geom"):
            layer_norms(network, "spectral")
        return
    weights = zip(network.weights.values(), shapes, strict=True)
    largest = [max(np.linalg.norm(A, 2) for A in W.reshape(shape)) for W, shape in weights]
    assert_allclose(list(layer_norms(network, "spectral").values()), largest)


def test_the_matrix_of_a_convolution_is_what_a_place_reads_to_its_outputs():
    network = Network(8, [Convolution(4, 3, 2, 5), Dense(20, 1)], random_state=0)
    kernels, output = network.weights.values()
    got = layer_norms(network, ["spectral", "l1"])
    assert_allclose(got["convolution_0.kernels"], np.linalg.norm(kernels.reshape(5, 6), 2))
    assert_allclose(got["dense_1.weights"], np.abs(output).sum())
    before = kernels.copy()
    X, y = np.random.default_rng(0).normal(size=(6, 8)), np.array([1, -1] * 3)
    parts = [Direction("spectral", unit_steps=True), Rate(0.1)]
    Descent(parts, max_steps=1).train(network, X, y)
    # one polar factor, not one for each channel; the gradient has as many directions as places
    values = np.linalg.svd((kernels - before).reshape(5, 6), compute_uv=False)
    assert_allclose(values, [0.1] * 4 + [0], atol=1e-12)


@every_example
def test_smooth_layers_have_no_kinks_and_others_have_both_sides(make):
    layer = make()
    network, X, gates, rng = problem(layer, alone)
    inputs = rng.normal(size=X.shape)
    inputs[2, 1] = 0.0
    gate = network.check_inputs(X, gates)[1][0]
    weights = [rng.normal(size=shape) for shape in layer.shapes.values()]
    value, cache = layer.forward(weights, inputs, gate)
    mask = layer.kinks(cache, 1e-10)
    if mask is None:
        with pytest.raises(NotImplementedError, match="has no kinks"):
            layer.with_sides(cache, np.zeros((1, 1), dtype=bool), np.zeros(0, dtype=bool))
        return
    assert_array_equal(np.argwhere(mask), [[2, 1]])
    ones = np.ones_like(value)
    for side in [True, False]:
        on_side = layer.with_sides(cache, mask, np.array([side]))
        nudged = inputs.copy()
        nudged[2, 1] = 1e-9 if side else -1e-9
        _, other = layer.forward(weights, nudged, gate)
        assert_array_equal(
            layer.backward(weights, on_side, ones, True)[0],
            layer.backward(weights, other, ones, True)[0],
        )


# -- each against its definition -------------------------------------------------------------------


def value(layer, weights, a, gates=None):
    return layer.forward(weights, np.asarray(a, dtype=float), gates)[0]


def test_convolution_by_loops():
    rng = np.random.default_rng(0)
    layer = Convolution(5, 3, 2, 4)
    w, a = rng.normal(size=(4, 2, 3)), rng.normal(size=(2, 2, 5))
    expected = np.zeros((2, 4, 5))
    for n, o, i, k, t in np.ndindex(2, 4, 2, 3, 5):
        expected[n, o, t] += w[o, i, k] * a[n, i, (t + k) % 5]
    assert_allclose(value(layer, [w], a.reshape(2, -1)), expected.reshape(2, -1), atol=1e-14)


def test_full_convolution_is_a_product_of_fourier_transforms():
    rng = np.random.default_rng(0)
    w, a = rng.normal(size=7), rng.normal(size=(3, 7))
    expected = np.fft.ifft(np.conj(np.fft.fft(w)) * np.fft.fft(a, axis=1), axis=1).real
    assert_allclose(value(Convolution(7, 7), [w[None, None]], a), expected, atol=1e-13)


def test_attention_by_loops():
    rng = np.random.default_rng(0)
    layer = Attention(3, 4, 2, 5)
    q, k, v = (rng.normal(size=shape[1:]) for shape in layer.shapes.values())
    a = rng.normal(size=(2, 3, 4))
    expected = np.empty((2, 3, 2))
    for n, t in np.ndindex(2, 3):
        scores = [(q @ a[n, t]) @ (k @ a[n, s]) / np.sqrt(5) for s in range(3)]
        expected[n, t] = sum(p * (v @ a[n, s]) for s, p in enumerate(softmax(scores)))
    got = value(layer, [q[None], k[None], v[None]], a.reshape(2, -1))
    assert_allclose(got, expected.reshape(2, -1), atol=1e-14)


@pytest.mark.parametrize(("kind", "axis"), [(LayerNorm, 1), (BatchNorm, 0)])
def test_normalised_values_have_mean_zero_and_variance_one(kind, axis):
    a = 1e6 + np.random.default_rng(0).normal(size=(8, 5))
    got = value(kind(5), [], a)
    assert_allclose(got.mean(axis=axis), 0, atol=1e-14)
    assert_allclose(got.var(axis=axis), 1, atol=1e-14)
    assert_allclose(value(kind(5), [], 7.0 * a), got, atol=1e-9)
    rms = value(kind(5, center=False), [], a)
    assert_allclose((rms**2).mean(axis=axis), 1, atol=1e-14)
    gain, bias = np.arange(5.0), np.ones(5)
    assert_allclose(value(kind(5, affine=True), [gain, bias], a), gain * got + bias, atol=1e-14)


def test_simple_layers():
    a = np.array([[1.0, -2.0], [0.0, 3.0]])
    assert_array_equal(value(ReLU(), [], a), [[1, 0], [0, 3]])
    assert_array_equal(value(LeakyReLU(0.5), [], a), [[1, -1], [0, 3]])
    assert_array_equal(value(LeakyReLU(-1.0), [], a), np.abs(a))
    assert_array_equal(value(Quadratic(), [], a), a**2)
    assert_array_equal(value(Diagonal(2), [np.array([3.0, -1.0])], a), [[3, 2], [0, -3]])
    assert_array_equal(value(Bias(2), [np.array([3.0, -1.0])], a), [[4, -3], [3, 2]])
    assert_array_equal(value(Columns([1, 1, 0]), [], a), a[:, [1, 1, 0]])
    gates = np.array([[1.0, 0.0], [1.0, 1.0]])
    assert_array_equal(value(Select(1, 2), [], a, gates), [[1], [3]])
    assert_array_equal(value(Select(2), [], a, gates), [[1, 0], [0, 3]])


def test_residuals_add_and_positions_are_treated_alike():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4, 6))
    branch = [Dense(6, 5), ReLU(), Dense(5, 6)]
    network = Network(6, [residual(*branch), Dense(6, 1)], random_state=0)
    V, W, U = (A[0] for A in network.weights.values())
    expected = (X + np.maximum(X @ V.T, 0) @ W.T) @ U.T
    assert_allclose(network.decision_function(X), expected[:, 0], atol=1e-14)

    network = Network(6, positionwise(3, Dense(2, 4), Quadratic(), LayerNorm(4)), random_state=0)
    (W,) = (A[0] for A in network.weights.values())
    for t in range(3):
        hidden = (X[:, 2 * t : 2 * t + 2] @ W.T) ** 2
        hidden -= hidden.mean(axis=1, keepdims=True)
        hidden /= hidden.std(axis=1, keepdims=True)
        assert_allclose(network.decision_function(X)[:, 4 * t : 4 * t + 4], hidden, atol=1e-12)


def test_a_shared_layer_has_its_weights_once():
    matrix = Dense(3, 3)
    network = Network(3, [matrix, ReLU(), matrix, ReLU(), Dense(3, 1)], random_state=0)
    assert network.names == ("dense_0.weights", "dense_4.weights")
    assert network.parameters.shape == (12,)
    assert network.degree == 3
    vertices = network.rates().vertices()
    assert_allclose(vertices, [[0, 1], [0.5, 0]])  # twice the first and the second make 1


# -- what does not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Network(3, []), "expected at least one layer, got none"),
        (lambda: Network(0, [ReLU()]), "expected n_features to be .* at least 1, got 0"),
        (
            lambda: Network(3, [Dense(4, 2)]),
            r"expected 4 inputs of Dense\(4, 2\), got 3, as node d",
        ),
        (lambda: Network(3, ["relu"]), "expected layers, sums or sequences of them, got 'relu'"),
        (
            lambda: Network(3, [Sum([Dense(3, 2)], [Dense(3, 4)]), ReLU()]),
            r"equally many outputs before relu_2, got \[2, 4\]",
        ),
        (lambda: Sum([ReLU()]), "expected at least two branches of a Sum, got 1"),
        (lambda: Network(3, [Dense(3, 1)], parameters=[1.0]), r"expected 3 finite .* shape \(1,\)"),
        (lambda: Network(1, [Dense(1, 1)], parameters=[np.nan]), "expected 1 finite .* NaN"),
        (lambda: Dense(3, 2, init="ones"), "expected init 'orthogonal' or"),
        (lambda: Convolution(3, 4), "expected a kernel_size of at most the length 3, got 4"),
        (lambda: Network(5, [Split(2)]), r"inputs of Split\(2\) to be a multiple of 2, got 5"),
        (lambda: Network(2, [Columns([2])]), "expected at least 3 inputs .* got 2"),
        (lambda: Columns([-1]), r"expected numbers of columns from 0 on, got \[-1\]"),
        (lambda: Network(3, None), "expected layers, sums or sequences of them, got None"),
        (
            lambda: Network(3, [Sum([ReLU()], 3)]),
            "expected layers, sums or sequences of them, got 3",
        ),
        (lambda: Network(1, [Dense(1, 1)], parameters="1"), "expected real parameters, got '1'"),
        (lambda: Network(4, [Split(2), Dense(2, 1)]), "expected one row .* got 2: a Split"),
        (lambda: Network(2, [Join(2), Dense(4, 1)]), "expected a Split .* before join_0, got Join"),
        (
            lambda: Network(4, [Sum([Split(2)], [Dense(4, 2)])]),
            r"expected branches with equally many rows .* before identity_2, got \['2', '1'\]",
        ),
        (
            lambda: Network(4, positionwise(2, *gated(2, 3))),
            "expected one row of a sample before select_2, .* got 2",
        ),
        (lambda: LayerNorm(3, eps="0"), "expected a finite eps >= 0, got '0'"),
        (lambda: LeakyReLU("0.1"), "expected a finite slope, got '0.1'"),
        (lambda: Diagonal(2, scale=None), "expected a finite scale, got None"),
        (lambda: LayerNorm(3, eps=-1.0), "expected a finite eps >= 0, got -1.0"),
        (lambda: LeakyReLU(np.nan), "expected a finite slope, got nan"),
        (lambda: Diagonal(2, scale=np.inf), "expected a finite scale, got inf"),
    ],
)
def test_networks_that_cannot_be(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_batches_that_have_no_statistics():
    network = Network(3, [BatchNorm(3), Dense(3, 1)], random_state=0)
    with pytest.raises(ValueError, match=r"at least two samples in a batch of BatchNorm.*, got 1"):
        network.decision_function([[1.0, 2.0, 3.0]])
    X, y = np.random.default_rng(0).normal(size=(4, 3)), np.array([1, -1, 1, -1])
    with pytest.raises(ValueError, match=r"at least two samples in a batch of BatchNorm.*, got 1"):
        GradientDescent(0.1, batch_size=3, random_state=0).train(
            network, X, y
        )  # what is left of a pass is one
    with pytest.raises(ValueError, match="that differ along axis 0 where eps is 0, got 1 that do"):
        network.decision_function([[1.0, 2.0, 3.0], [2.0, 4.0, 3.0]])


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ([0.5, 0.5], r"expected a finite rate for each of \['dense_0.weights'"),
        ([0.5, 0.5, np.nan], "expected a finite rate for each"),
        (["1", "0", "0"], "expected real rates, got dtype"),
        ([0.5, 0.5, 0.6], "expected rates for which the outputs have rate 1, got a difference of"),
        ([0.5, 0.4, 0.5], "for which the bias and what it is added to in bias_1 have equal rates"),
        ([1.5, 1.5, -0.5], "expected rates >= 0, got -0.5 for dense_3.weights"),
        ({"dense_0.weights": 1.0}, r"expected rates of .* got \['dense_0.weights'\]"),
    ],
)
def test_rates_that_are_not_valid(rates, message):
    network = Network(2, [Dense(2, 3), Bias(3), ReLU(), Dense(3, 1)], random_state=0)
    with pytest.raises(ValueError, match=message):
        network.rates().check(rates)


@pytest.mark.parametrize(
    ("layers_", "reason"),
    [
        ([ReLU()], "the output does not scale with the weights"),
        ([residual(Dense(2, 2))], "that are summed must scale alike, but have degrees 0 and 1"),
        ([Dense(2, 2), LayerNorm(2)], "the output does not scale with the weights"),
    ],
)
def test_networks_without_rates(layers_, reason):
    polytope = Network(2, layers_).rates()
    assert polytope.degree is None
    assert reason in polytope.reason
    assert polytope.vertices().shape == (0, len(polytope.names))
    with pytest.raises(ValueError, match="quasi-homogeneous network, got one without valid rates"):
        polytope.choose()
