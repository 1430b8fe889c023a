"""What holds for every norm of the catalogue, found there by itself."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from gnorm.gated import accumulate
from gnorm.norms import (
    L1,
    L2,
    Convolution,
    DeepDiagonal,
    DeepFourier,
    DeepLinear,
    FourierL1,
    GroupNorm,
    KSupport,
    LpGroups,
    MaxAbs,
    Norm,
    Nuclear,
    Operator,
    QuasiNorm,
    UnitNorm,
    catalogue,
    get_norm,
    table,
)

ALL = [example for row in catalogue() for example in row.norm.examples()]
NORMS = [norm for norm in ALL if isinstance(norm, Norm)]
QUASI = [norm for norm in ALL if isinstance(norm, QuasiNorm)]
SCALAR = (2, 2, 6)  # units, contexts, features
OUTPUTS = (2, 1, 6, 3)


def shapes_of(norm):
    """Shapes that a norm takes; those with kernels see outputs as further features."""
    if isinstance(norm, UnitNorm):
        return [SCALAR]
    shapes = []
    for shape in (SCALAR, OUTPUTS):
        try:
            norm.check_shape(shape)
        except ValueError:
            continue
        shapes.append(shape)
    return shapes


def name(norm):
    return repr(norm)


CASES = [
    pytest.param(norm, shape, id=f"{norm!r}-{len(shape)}")
    for norm in NORMS
    for shape in shapes_of(norm)
]


def weights(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def sums(shape, seed=0):
    """Gated sums, each unit with one context open: of those every norm of predictors has a dual."""
    rng = np.random.default_rng(seed)
    n_units, n_contexts, n_features, n_outputs = (*shape, 1)[:4]
    X = rng.normal(size=(5, n_features))
    activations = np.eye(n_contexts, dtype=bool)[rng.integers(n_contexts, size=(5, n_units))]
    each = [accumulate(X, activations, rng.normal(size=5)) for _ in range(n_outputs)]
    return np.stack(each, axis=-1).reshape(shape)


def test_every_row_says_all():
    rows = catalogue()
    assert len({row.name for row in rows}) == len(rows) >= 17
    for row in rows:
        assert row.architecture
        assert row.geometry
        assert row.formula
        assert row.references or not row.is_convex
        assert row.is_convex == bool(row.dual_formula)
        assert f"~gnorm.norms.{row.norm.__name__}`" in table()


# -- norms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("norm", "shape"), CASES)
@pytest.mark.parametrize("function", ["value", "dual"])
def test_homogeneity_and_triangle(norm, shape, function):
    draw = weights if function == "value" else sums
    evaluate = getattr(norm, function)
    a, b = draw(shape), draw(shape, seed=1)
    assert type(evaluate(a)) is float
    assert evaluate(np.zeros(shape)) == 0
    assert evaluate(a) > 0
    for factor in (-2.0, 1e-9, 1e9):
        assert_allclose(evaluate(factor * a), abs(factor) * evaluate(a), rtol=1e-7)
    for t in (0.1, 0.5, 0.9):
        mixed = evaluate(t * a + (1 - t) * b)
        assert mixed <= (t * evaluate(a) + (1 - t) * evaluate(b)) * (1 + 1e-7)


@pytest.mark.parametrize(("norm", "shape"), CASES)
def test_hoelder_with_equality_attained(norm, shape):
    for seed in range(5):
        V = sums(shape, seed)
        point = norm.extreme_point(V)
        assert point.shape == shape
        assert_allclose(norm.value(point), 1.0, rtol=1e-7)
        assert_allclose(np.sum(point * V), norm.dual(V), rtol=1e-10)
        zeta = weights(shape, seed)
        assert np.sum(zeta * V) <= norm.value(zeta) * norm.dual(V) * (1 + 1e-10)


WITHOUT_PROX = {LpGroups(3), LpGroups(4), Convolution(1), Convolution(3)}


@pytest.mark.parametrize(("norm", "shape"), CASES)
def test_moreau(norm, shape):
    """What the proximal map takes is t times a subgradient of the norm where it ends."""
    if norm in WITHOUT_PROX:
        with pytest.raises(TypeError, match="a norm with a proximal map in closed form, got"):
            norm.prox(weights(shape), 1.0)
        return
    for seed in range(3):
        zeta = weights(shape, seed)
        for t in (0.0, 0.05, 0.3, 1.0, 3.0, 100.0):
            left = norm.prox(zeta, t)
            taken = zeta - left
            assert norm.dual(taken) <= t * (1 + 1e-9) + 1e-12
            assert_allclose(np.sum(left * taken), t * norm.value(left), atol=1e-9 * (1 + t))
    with pytest.raises(ValueError, match="expected a finite t >= 0, got -1"):
        norm.prox(zeta, -1)


def solved_by_cvxpy(problem):
    problem.solve(solver="CLARABEL", canon_backend="SCIPY")
    return problem.value


@pytest.mark.parametrize(("norm", "shape"), CASES)
def test_biduality(norm, shape):
    """The dual norm is the support function of the ball of the expression, and both agree."""
    cp = pytest.importorskip("cvxpy")
    V = sums(shape, seed=3)
    flat = cp.Variable((math.prod(shape[:3]), shape[3] if len(shape) == 4 else 1))
    expression = norm.expression(cp.reshape(flat, shape, order="C"))
    assert expression.is_convex()
    assert expression.shape == ()
    support = cp.Problem(
        cp.Maximize(cp.sum(cp.multiply(flat, V.reshape(flat.shape)))), [expression <= 1]
    )
    assert_allclose(solved_by_cvxpy(support), norm.dual(V), rtol=1e-5)
    zeta = weights(shape, seed=4)
    value = cp.Problem(cp.Minimize(expression), [flat == zeta.reshape(flat.shape)])
    assert_allclose(solved_by_cvxpy(value), norm.value(zeta), rtol=1e-5)


def rotation(n, seed=0):
    return -np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def rotate(zeta, matrix):
    """Rotate rows of whatever the matrix has the length of."""
    return (matrix @ zeta.reshape(len(matrix), -1)).reshape(zeta.shape)


TRANSFORMATIONS = {
    "signs": lambda zeta: zeta * np.random.default_rng(1).choice([-1.0, 1.0], size=zeta.shape),
    "permutations": lambda zeta: (
        np.random.default_rng(1).permutation(zeta.ravel()).reshape(zeta.shape)
    ),
    "permutations of units": lambda zeta: zeta[::-1],
    "permutations within units": lambda zeta: zeta[:, ::-1, ::-1],
    "rotations": lambda zeta: rotate(zeta, rotation(zeta.size)),
    "rotations within units": lambda zeta: np.stack(
        [rotate(unit, rotation(unit.size)) for unit in zeta]
    ),
    "circular shifts": lambda zeta: np.roll(zeta, 2, axis=2),
    "exchange between units": lambda zeta: zeta + np.array([1.0, -1.0])[:, None, None] * zeta[0, 0],
}
MATRIX_TRANSFORMATIONS = {
    "rotations of outputs": lambda m: m @ rotation(m.shape[2]),
    "rotations of features": lambda m: rotation(m.shape[1]) @ m,
}


@pytest.mark.parametrize(("norm", "shape"), CASES)
def test_invariances(norm, shape):
    assert norm.invariances
    zeta = weights(shape)
    is_weighted = getattr(norm, "unit_weights", None) is not None
    for invariance in norm.invariances:
        if is_weighted and invariance == "permutations of units":
            continue
        if invariance in MATRIX_TRANSFORMATIONS:
            turned = MATRIX_TRANSFORMATIONS[invariance](norm.matrices(zeta)).reshape(shape)
        else:
            turned = TRANSFORMATIONS[invariance](zeta)
        assert np.abs(turned - zeta).max() > 1e-3
        assert_allclose(norm.value(turned), norm.value(zeta), rtol=1e-7)


# -- the networks ----------------------------------------------------------------------------------


def network_cases():
    for norm in ALL:
        if norm.architecture.startswith("none"):
            continue
        if isinstance(norm, Norm):
            shapes = [(1, 1, 6)] if isinstance(norm, KSupport) else shapes_of(norm)
            least = norm.value
        else:
            shapes = [(1, 1, 4)] if norm.convex_name == "Nuclear(shape=(d, d))" else [SCALAR]
            shapes += [OUTPUTS] if isinstance(norm, DeepLinear) else []
            least = norm.least_cost
        for shape in shapes:
            yield pytest.param(norm, shape, least, id=f"{norm!r}-{len(shape)}")


NETWORKS = list(network_cases())


def target(norm, shape, seed):
    zeta = weights(shape, seed)
    if shape == (1, 1, 4) and isinstance(norm, QuasiNorm):  # a quadratic form
        matrix = zeta.reshape(2, 2)
        zeta = (matrix + matrix.T).reshape(shape)
    return zeta


@pytest.mark.parametrize(("norm", "shape", "least"), NETWORKS)
def test_the_weights_of_least_cost_cost_the_norm(norm, shape, least):
    network = norm.network(shape)
    for seed in range(3):
        zeta = target(norm, shape, seed)
        layers = network.weights(zeta)
        assert tuple(layer.shape for layer in layers) == network.shapes
        expected = (
            norm.canonical(zeta)
            if "exchange between units" in getattr(norm, "invariances", ())
            else zeta
        )
        if expected is not zeta:
            layers = network.weights(expected)
        assert_allclose(network.zeta(layers), expected, atol=1e-9)
        assert_allclose(network.cost(layers), least(zeta), rtol=1e-6)


@pytest.mark.parametrize(("norm", "shape", "least"), NETWORKS)
def test_no_weights_cost_less_than_the_norm(norm, shape, least):
    """Descent on the cost in units of the norm, from several random weights."""
    network = norm.network(shape)
    sizes = [math.prod(layer) for layer in network.shapes]

    def layers_of(flat):
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        return [part.reshape(layer) for part, layer in zip(parts, network.shapes, strict=True)]

    def excess(flat):
        layers = layers_of(flat)
        return math.log(network.cost(layers) / least(network.zeta(layers)))

    for seed in range(4):
        start = np.random.default_rng(seed).normal(size=sum(sizes))
        assert excess(start) >= -1e-9
    options = {"maxfev": 30} if isinstance(norm, Convolution) else {"maxfev": 300}
    found = minimize(excess, start, method="Powell", options=options)
    assert -1e-7 <= found.fun < excess(start) or excess(start) < 1e-9


def test_a_quasi_norm_of_depth_two_is_the_norm_it_names():
    zeta = weights(SCALAR)
    assert_allclose(DeepDiagonal(2).value(zeta), L1().value(zeta))
    assert_allclose(DeepFourier(2).value(zeta), FourierL1().value(zeta))
    assert_allclose(DeepLinear(2).value(weights(OUTPUTS)), Nuclear().value(weights(OUTPUTS)))


@pytest.mark.parametrize("quasi", [q for q in QUASI if getattr(q, "depth", 3) > 2], ids=name)
def test_a_quasi_norm_is_not_convex(quasi):
    shape = (1, 1, 4)
    a, b = np.zeros(shape), np.zeros(shape)
    a[..., 0], b[..., 3] = 1.0, 1.0
    if isinstance(quasi, DeepFourier):
        a, b = np.cos(np.pi * np.arange(4)).reshape(shape), np.ones(shape)
    if isinstance(quasi, DeepLinear):
        a, b = a.reshape(1, 1, 2, 2), b.reshape(1, 1, 2, 2)
    assert quasi.value(a + b) > 1.1 * (quasi.value(a) + quasi.value(b))


# -- ends of families, where one norm is another ---------------------------------------------------


def test_families_end_at_other_norms():
    zeta, row = weights(SCALAR), weights((1, 1, 6))
    pairs = [
        (LpGroups(2), GroupNorm(), zeta),
        (LpGroups(math.inf), MaxAbs(), zeta),
        (KSupport(1), L1(), zeta),
        (KSupport(24), L2(), zeta),
        (Convolution(1), GroupNorm(), row),
        (Convolution(6), FourierL1(), zeta),
        (Nuclear(), GroupNorm(), zeta),
    ]
    for one, other, at in pairs:
        assert_allclose(one.value(at), other.value(at), rtol=1e-8)
        assert_allclose(one.dual(at), other.dual(at), rtol=1e-8)
    for norm, other in ((Nuclear, Operator), (L1, MaxAbs)):
        assert_allclose(norm().value(zeta), other().dual(zeta))
        assert_allclose(norm().dual(zeta), other().value(zeta))


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LpGroups(1.5), "expected p >= 2, possibly inf, got p=1.5"),
        (lambda: KSupport(0), "expected an integer k >= 1, got k=0"),
        (lambda: KSupport(2.5), "expected an integer k >= 1, got k=2.5"),
        (lambda: KSupport(25).value(weights(SCALAR)), "k of at most 24, .* got k=25"),
        (lambda: Convolution(0), "expected an integer kernel_size >= 1, got 0"),
        (lambda: Convolution(7).value(weights(SCALAR)), "kernel_size of at most 6.* got 7"),
        (lambda: Nuclear(shape=(2, 0)), r"two positive integers, got \(2, 0\)"),
        (
            lambda: Nuclear(shape=(2, 2)).value(weights(SCALAR)),
            "expected 4 features and one output",
        ),
        (lambda: MaxAbs().check_shape(OUTPUTS), "one output for the norm MaxAbs, got 3; Nuclear"),
        (lambda: Nuclear(3), "expected shape of two positive integers, got 3"),
        (lambda: LpGroups("2"), "expected p >= 2, possibly inf, got p='2'"),
        (lambda: DeepLinear(1), "expected an integer depth >= 2, got 1"),
        (lambda: get_norm("l3"), "norm must be None, one of .*'nuclear'.* got 'l3'"),
        (lambda: get_norm("lp_groups"), r"which has parameters, such as LpGroups\(p=inf\)"),
        (lambda: get_norm("deep_linear"), r"not convex and has no solver; Nuclear\(\) is"),
        (lambda: get_norm(DeepDiagonal(3)), r"not convex and has no solver; L1\(\) is"),
    ],
)
def test_errors_say_what_would_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()
