"""The norms: closed forms against their definitions, duals, and the errata of the paper.

The paper is Lippl, Abbott and Chung (2022), arXiv:2202.02649.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar

from gnorm.gated import NotRealizableError, accumulate, canonical, main_effects, predictors
from gnorm.gating import ContextWeights
from gnorm.norms import (
    GLN,
    L2,
    FReLU,
    GroupNorm,
    Norm,
    PredictorL2,
    dual_norm,
    frelu_norm,
    gln_norm,
    gln_norm_of_predictors,
    predictor_l2_norm,
    predictor_rms_norm,
    prox_representation_cost,
    representation_cost,
    unit_norms,
)

SHAPES = [
    *((1, 1, 1), (1, 4, 2), (5, 1, 3), (2, 2, 1), (2, 2, 4), (2, 3, 3), (2, 5, 2)),
    *((3, 2, 1), (3, 2, 3), (3, 3, 2), (4, 2, 3), (4, 3, 1), (5, 2, 2), (6, 2, 1)),
]
NORMS_OF_PREDICTORS = [gln_norm, predictor_rms_norm, predictor_l2_norm]
NORMS_OF_WEIGHTS = [representation_cost, dual_norm]

entries = st.floats(-1e3, 1e3, allow_subnormal=False)
shapes = hnp.array_shapes(min_dims=3, max_dims=3, max_side=4)
zetas = hnp.arrays(np.float64, shapes, elements=entries)
pairs = shapes.flatmap(
    lambda shape: st.tuples(*[hnp.arrays(np.float64, shape, elements=entries)] * 2)
)


TWO_TWO, TWO_THREE = np.array([2, 2]), np.array([2, 3])


def random_zeta(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def random_shifts(zeta, seed=0):
    """Another representation of the same predictors."""
    shifts = np.random.default_rng(seed).normal(size=(len(zeta), 1, zeta.shape[2]))
    return zeta + np.abs(zeta).max() * (shifts - shifts.mean(axis=0))


def solve_definition(beta):
    """Least representation cost under one equation per global context, by a conic solver."""
    cp = pytest.importorskip("cvxpy")
    n_units, n_contexts, n_features = beta.ndim - 1, beta.shape[0], beta.shape[-1]
    contexts = list(itertools.product(range(n_contexts), repeat=n_units))
    zeta = [cp.Variable((n_contexts, n_features)) for _ in range(n_units)]
    linking = [sum(zeta[h][c] for h, c in enumerate(gamma)) == beta[gamma] for gamma in contexts]
    problem = cp.Problem(cp.Minimize(sum(cp.norm(block, "fro") for block in zeta)), linking)
    problem.solve(solver="CLARABEL")
    assert problem.status == "optimal"
    return problem.value, np.array([block.value for block in zeta])


# -- the GLN norm ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_closed_form_is_the_minimum_of_the_definition(shape, seed):
    zeta = random_zeta(shape, seed)
    if seed == 1:
        zeta *= 10.0 ** np.arange(-len(zeta) // 2, len(zeta) // 2)[:, None, None]
    beta = predictors(zeta)
    value, minimiser = solve_definition(beta)
    assert_allclose(gln_norm(zeta), value, rtol=1e-6)
    assert_allclose(gln_norm_of_predictors(beta), value, rtol=1e-6)
    assert_allclose(representation_cost(minimiser), gln_norm(minimiser), rtol=1e-6)


def test_closed_form_where_some_units_have_no_spread():
    zeta = random_zeta((3, 3, 2))
    zeta[1:] = zeta[1:, :1]
    value, minimiser = solve_definition(predictors(zeta))
    assert_allclose(gln_norm(zeta), value, rtol=1e-6)
    assert_allclose(canonical(zeta), minimiser, atol=1e-5)
    zeta[0] = zeta[0, :1]
    assert_allclose(gln_norm(zeta), solve_definition(predictors(zeta))[0], rtol=1e-6)
    assert_allclose(gln_norm(zeta), math.sqrt(3) * np.linalg.norm(zeta[:, 0].sum(axis=0)))


@given(zetas, st.integers(0, 99))
def test_the_norms_of_predictors_do_not_see_the_representation(zeta, seed):
    other = random_shifts(zeta, seed)
    for norm in NORMS_OF_PREDICTORS:
        assert_allclose(norm(other), norm(zeta), rtol=1e-10, atol=1e-10 * np.abs(zeta).max())


@given(zetas)
def test_canonical_weights_cost_the_norm_and_no_others_less(zeta):
    norm = gln_norm(zeta)
    assert_allclose(representation_cost(canonical(zeta)), norm, rtol=1e-12)
    assert_allclose(gln_norm(canonical(zeta)), norm, rtol=1e-10)
    assert representation_cost(zeta) >= norm * (1 - 1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_norm_vanishes_with_the_predictors_only(shape):
    zeta = random_zeta(shape)
    zeta = np.broadcast_to(zeta[:, :1] - zeta[:, :1].mean(axis=0), shape)
    assert_allclose(gln_norm(zeta), 0, atol=1e-14)
    if shape[0] > 1:
        assert representation_cost(zeta) > 0.1


def test_norm_of_predictors_refuses_what_is_no_network():
    beta = predictors(random_zeta((3, 2, 2)))
    beta[0, 1, 1] += 1.0
    with pytest.raises(NotRealizableError, match=r"moving unit 1 .* of unit 2, .* by up to 1,"):
        gln_norm_of_predictors(beta)
    assert gln_norm_of_predictors(beta, tol=10.0) > 0


# -- norms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [*NORMS_OF_PREDICTORS, *NORMS_OF_WEIGHTS])
@given(pair=pairs, factor=st.floats(-1e3, 1e3))
def test_each_is_a_seminorm(norm, pair, factor):
    a, b = pair
    slack = 1e-12 * (np.abs(a).max() + np.abs(b).max()) * a.size**2
    assert norm(a + b) <= norm(a) + norm(b) + slack * a.shape[1] ** a.shape[0]
    assert_allclose(norm(factor * a), abs(factor) * norm(a), rtol=1e-10, atol=1e-250)
    assert norm(np.zeros_like(a)) == 0
    assert type(norm(a)) is float


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_at_extreme_scales(shape, scale):
    zeta = random_zeta(shape)
    for norm in [*NORMS_OF_PREDICTORS, *NORMS_OF_WEIGHTS, unit_norms]:
        assert_allclose(norm(scale * zeta), scale * norm(zeta), rtol=1e-12)
    assert_allclose(
        prox_representation_cost(scale * zeta, scale),
        scale * prox_representation_cost(zeta, 1.0),
        rtol=1e-12,
    )


def test_units_are_accurate_each_at_its_own_scale():
    scales = np.array([1e-320, 1e-200, 1e-150, 0.0, 1.0, 1e160, 1e300])
    zeta = scales[:, None, None] * np.array([[3.0], [4.0]])
    assert_allclose(unit_norms(zeta), 5 * scales, rtol=1e-3, atol=0)
    assert_allclose(unit_norms(zeta[1:]), 5 * scales[1:], rtol=1e-15, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_unit_norms_and_cost(shape):
    zeta = random_zeta(shape)
    expected = [np.linalg.norm(block) for block in zeta]
    assert_allclose(unit_norms(zeta), expected, rtol=1e-14)
    assert_allclose(representation_cost(zeta), sum(expected), rtol=1e-14)
    assert_allclose(dual_norm(zeta), max(expected), rtol=1e-14)


def test_frelu_norm_is_the_cost_of_units_with_one_context():
    zeta = random_zeta((4, 3))
    assert_allclose(frelu_norm(zeta), np.linalg.norm(zeta, axis=1).sum(), rtol=1e-14)
    assert frelu_norm(zeta[:, None]) == frelu_norm(zeta.tolist()) == frelu_norm(zeta)
    with pytest.raises(ValueError, match=r"expected one context per unit, .* got 2 contexts"):
        frelu_norm(random_zeta((4, 2, 3)))
    with pytest.raises(ValueError, match=r"n_features\), got shape \(3,\)"):
        frelu_norm(zeta[0])


def test_one_context_leaves_the_norm_of_the_only_predictor():
    zeta = random_zeta((5, 1, 3))
    for norm in NORMS_OF_PREDICTORS:
        assert_allclose(norm(zeta), np.linalg.norm(zeta.sum(axis=0)), rtol=1e-14)


def test_one_unit_leaves_the_norm_of_its_weights():
    zeta = random_zeta((1, 4, 3))
    for norm in (gln_norm, predictor_l2_norm, representation_cost):
        assert_allclose(norm(zeta), np.linalg.norm(zeta), rtol=1e-14)


# -- the L2 norm of the predictors -----------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_l2_norm_enumerates_all_predictors(shape):
    zeta = random_zeta(shape)
    beta = predictors(zeta)
    assert_allclose(predictor_l2_norm(zeta), np.linalg.norm(beta), rtol=1e-13)
    mean_square = (beta**2).sum(axis=-1).mean()
    assert_allclose(predictor_rms_norm(zeta), math.sqrt(mean_square), rtol=1e-13)


def test_l2_norm_says_when_the_contexts_are_too_many():
    assert_allclose(predictor_l2_norm(np.ones((1000, 2, 1))), 1000 * 2.0**500, rtol=1e-14)
    for zeta in (np.ones((3000, 2, 1)), np.full((1000, 4, 1), 1e10)):
        with pytest.raises(OverflowError, match=r"\^\d000 contexts .* use predictor_rms_norm"):
            predictor_l2_norm(zeta)
    assert_allclose(predictor_rms_norm(np.ones((3000, 2, 1))), 3000, rtol=1e-14)


# -- duality ---------------------------------------------------------------------------------------


@given(pairs)
def test_hoelder(pair):
    zeta, V = pair
    bound = representation_cost(zeta) * dual_norm(V)
    assert abs(np.vdot(zeta, V)) <= bound * (1 + 1e-12) + 1e-300


@pytest.mark.parametrize("shape", SHAPES)
def test_hoelder_is_attained_at_the_largest_unit(shape):
    V = random_zeta(shape)
    zeta = np.zeros(shape)
    largest = unit_norms(V).argmax()
    zeta[largest] = V[largest]
    assert_allclose(np.vdot(zeta, V), representation_cost(zeta) * dual_norm(V), rtol=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_dual_norm_bounds_functionals_of_one_open_context_by_the_gln_norm(shape, seed):
    rng = np.random.default_rng(seed)
    n_units, n_contexts, n_features = shape
    contexts = rng.integers(n_contexts, size=(9, n_units, 1))
    X = rng.normal(size=(9, n_features))
    V = accumulate(X, contexts == np.arange(n_contexts), rng.normal(size=9))
    zeta = random_zeta(shape, seed)
    assert abs(np.vdot(zeta, V)) <= gln_norm(zeta) * dual_norm(V) * (1 + 1e-12)
    zeta = np.zeros(shape)
    largest = unit_norms(V).argmax()
    zeta[largest] = V[largest]
    assert_allclose(np.vdot(zeta, V), gln_norm(zeta) * dual_norm(V), rtol=1e-12)


# -- the proximal map ------------------------------------------------------------------------------


@given(zetas, st.floats(0, 1e4))
def test_prox_satisfies_its_optimality_condition(zeta, t):
    point = prox_representation_cost(zeta, t)
    dual = zeta - point  # Moreau: the projection of zeta on the dual ball of radius t
    slack = 1e-14 * zeta.size * (1 + np.abs(zeta).max() ** 2)
    assert dual_norm(dual) <= t * (1 + 1e-12) + slack
    assert_allclose(np.vdot(point, dual), t * representation_cost(point), rtol=1e-9, atol=slack)


@pytest.mark.parametrize("shape", SHAPES)
def test_prox_is_the_least_of_its_neighbours(shape):
    zeta = random_zeta(shape)
    t = 0.8 * float(np.median(unit_norms(zeta)))

    def objective(point):
        return ((point - zeta) ** 2).sum() / 2 + t * representation_cost(point)

    point = prox_representation_cost(zeta, t)
    for seed, step in itertools.product(range(5), [1e-3, 1e-1]):
        assert objective(point) <= objective(point + step * random_zeta(shape, seed))


def test_prox_shrinks_whole_units():
    zeta = np.array([[[3.0, 4.0]], [[0.6, 0.8]], [[0.0, 0.0]]])
    point = prox_representation_cost(zeta, 1.0)
    assert_allclose(point[0], 0.8 * zeta[0], rtol=1e-15)
    assert_array_equal(point[1:], 0)
    assert_array_equal(prox_representation_cost(zeta, 0.0), zeta)
    assert not np.shares_memory(prox_representation_cost(zeta, 0.0), zeta)
    for t in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="expected a finite t >= 0, got"):
            prox_representation_cost(zeta, t)


# -- two units of two contexts, as the paper prints them -------------------------------------------


def square_60(beta):
    spread = np.linalg.norm(beta[0, 0] - beta[0, 1]) + np.linalg.norm(beta[0, 0] - beta[1, 0])
    return spread**2 + np.linalg.norm(beta[0, 1] + beta[1, 0]) ** 2


def square_21(beta):
    cross = sum(
        np.linalg.norm(beta[i, j] - beta[1 - i, j]) * np.linalg.norm(beta[i, j] - beta[i, 1 - j])
        for i, j in itertools.product(range(2), repeat=2)
    )
    return np.linalg.norm(beta) ** 2 + cross / 2


@pytest.mark.parametrize("seed", range(5))
def test_proposition_b9_needs_the_factor_of_its_proof(seed):
    """Equations (21) and (60) agree, but give sqrt(2) times the minimum (20); (65) halves them."""
    beta = predictors(random_zeta((2, 2, 3), seed))
    defined = solve_definition(beta)[0]
    assert_allclose(square_21(beta), square_60(beta), rtol=1e-12)
    assert math.sqrt(square_60(beta)) > 1.4 * defined  # as printed
    assert_allclose(math.sqrt(square_60(beta) / 2), defined, rtol=1e-6)  # with the factor of (65)
    assert_allclose(gln_norm_of_predictors(beta), math.sqrt(square_60(beta) / 2), rtol=1e-12)


# -- the square root of the L2 norm, as the paper prints it ----------------------------------------


def apply_root(zeta, total, row, own):
    """Apply ``total * (sum over h', c') + row * (sum over c') + own * identity`` to zeta."""
    return total * zeta.sum(axis=(0, 1)) + row * zeta.sum(axis=1, keepdims=True) + own * zeta


def square_25(zeta):
    n_units, n_contexts, _ = zeta.shape
    root = apply_root(zeta, 1 / (n_units * n_contexts), -1.0, n_contexts)
    return float(n_contexts) ** (n_units - 2) * (root**2).sum()


def square_corrected(zeta):
    n_units, n_contexts, _ = zeta.shape
    c = math.sqrt(n_contexts)
    root = apply_root(zeta, 1 / math.sqrt(n_units * n_contexts), -1 / c, c)
    return float(n_contexts) ** (n_units - 2) * (root**2).sum()


@pytest.mark.parametrize("shape", [s for s in SHAPES if s[0] > 1 and s[1] > 1])
def test_printed_root_of_the_l2_norm_is_wrong_and_the_corrected_one_right(shape):
    n_units, n_contexts, _ = shape
    zeta = random_zeta(shape)
    square = (predictors(zeta) ** 2).sum()
    assert_allclose(square_corrected(zeta), square, rtol=1e-12)
    assert_allclose(square_corrected(zeta), predictor_l2_norm(zeta) ** 2, rtol=1e-12)
    assert abs(square_25(zeta) / square - 1) > 1e-3

    mean = np.broadcast_to(zeta[:1, :1], shape)
    spread = main_effects(zeta)[1]
    ratios = [square_25(part) / (predictors(part) ** 2).sum() for part in (mean, spread)]
    assert_allclose(ratios, [1 / (n_units * n_contexts), n_contexts], rtol=1e-12)
    assert_allclose(ratios[1] / ratios[0], n_contexts**2 * n_units, rtol=1e-12)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norm", "name"),
    [
        *((norm, "zeta") for norm in (*NORMS_OF_PREDICTORS, representation_cost, unit_norms)),
        (lambda zeta: prox_representation_cost(zeta, 1.0), "zeta"),
        (dual_norm, "V"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(norm, name):
    with pytest.raises(ValueError, match=rf"expected {name} of shape .* got shape \(2, 3\)"):
        norm(np.ones((2, 3)))
    with pytest.raises(ValueError, match=f"expected finite {name}"):
        norm(np.full((1, 1, 1), np.nan))
    with pytest.raises(ValueError, match=f"expected real {name}, got dtype complex128"):
        norm(np.ones((1, 1, 1), dtype=complex))


# -- norms as objects ------------------------------------------------------------------------------

WEIGHTS = (0.5, 1.0, 3.0)
OBJECTS = [
    *(GroupNorm(), GroupNorm(WEIGHTS), GLN(), GLN(WEIGHTS), GLN((2.0, 2.0, 2.0))),
    *(FReLU(), FReLU(WEIGHTS), PredictorL2()),
]


def gates_for(norm, n_samples=25, n_contexts=2, seed=0):
    rng = np.random.default_rng(seed)
    if isinstance(norm, FReLU):
        return rng.random((n_samples, 3, 1)) < 0.6
    return rng.integers(n_contexts, size=(n_samples, 3))[..., None] == np.arange(n_contexts)


def functional(norm, n_contexts=2, seed=0):
    """Sums of samples, which do not see how predictors are represented."""
    rng = np.random.default_rng(seed)
    X, gates = rng.normal(size=(25, 4)), gates_for(norm, n_contexts=n_contexts, seed=seed)
    return accumulate(X, gates, rng.normal(size=25))


@pytest.mark.parametrize("shape", SHAPES)
def test_objects_have_the_values_of_the_functions(shape):
    zeta, V = random_zeta(shape), random_zeta(shape, seed=1)
    assert_allclose(GroupNorm().value(zeta), representation_cost(zeta), rtol=1e-14)
    assert_allclose(GroupNorm().dual(V), dual_norm(V), rtol=1e-14)
    assert_allclose(GLN().value(zeta), gln_norm(zeta), rtol=1e-12)
    assert_allclose(GLN((2.0,) * len(zeta)).value(zeta), 2 * gln_norm(zeta), rtol=1e-12)
    assert_allclose(PredictorL2().value(zeta), predictor_rms_norm(zeta), rtol=1e-12)
    if shape[1] == 1:
        assert_allclose(FReLU().value(zeta), frelu_norm(zeta), rtol=1e-12)
    weights = np.random.default_rng(2).uniform(0.1, 10, len(zeta))
    weighted = GroupNorm(tuple(weights))
    assert_allclose(weighted.value(zeta), weights @ unit_norms(zeta), rtol=1e-14)
    assert_allclose(weighted.dual(V), np.max(unit_norms(V) / weights), rtol=1e-14)


@pytest.mark.parametrize("norm", OBJECTS, ids=repr)
@pytest.mark.parametrize("seed", range(4))
def test_hoelder_with_equality_at_what_is_recovered(norm, seed):
    V = functional(norm, seed=seed)
    for other in range(20):
        zeta = random_zeta(V.shape, seed=other)
        assert np.sum(zeta * V) <= norm.value(zeta) * norm.dual(V) * (1 + 1e-12)
    longest = norm.dual_norms(V)
    shares = np.where(longest == longest.max(), 1.0, 0.0)
    zeta = norm.recovered(V, shares / shares.sum())
    assert_allclose(np.sum(zeta * V), norm.value(zeta) * norm.dual(V), rtol=1e-10)
    assert_allclose(norm.value(zeta), norm.dual(V), rtol=1e-10)  # scaled to be the duality map


@pytest.mark.parametrize("norm", OBJECTS, ids=repr)
def test_norms_are_norms(norm):
    shape = (3, 1 if isinstance(norm, FReLU) else 2, 4)
    for seed in range(10):
        zeta, other = random_zeta(shape, seed), random_zeta(shape, seed + 100)
        assert norm.value(zeta + other) <= (norm.value(zeta) + norm.value(other)) * (1 + 1e-12)
        assert_allclose(norm.value(-3.0 * zeta), 3.0 * norm.value(zeta), rtol=1e-12)
        assert_allclose(norm.dual(-3.0 * zeta), 3.0 * norm.dual(zeta), rtol=1e-12)
    assert norm.value(np.zeros(shape)) == norm.dual(np.zeros(shape)) == 0.0


@pytest.mark.parametrize("norm", OBJECTS, ids=repr)
@pytest.mark.parametrize("seed", range(3))
def test_expression_is_the_value(norm, seed):
    cp = pytest.importorskip("cvxpy")
    zeta = random_zeta((3, 1 if isinstance(norm, FReLU) else 2, 4), seed)
    variable = cp.Variable(zeta.shape)
    problem = cp.Problem(cp.Minimize(norm.expression(variable)), [variable == zeta])
    problem.solve(solver="CLARABEL")
    assert_allclose(problem.value, norm.value(zeta), rtol=1e-6)
    assert_allclose(norm.expression(cp.Constant(zeta)).value, norm.value(zeta), rtol=1e-6)
    assert norm.expression(variable).is_convex()


def least_over_shifts(weights, zeta):
    """Least weighted cost of weights with the same predictors, by a conic solver."""
    cp = pytest.importorskip("cvxpy")
    shifts = [cp.Variable(unit.shape[1]) for unit in zeta]
    terms = [
        w
        * cp.norm(
            cp.vec(unit + np.ones((len(unit), 1)) @ cp.reshape(a, (1, -1), order="C"), order="C")
        )
        for w, unit, a in zip(weights, zeta, shifts, strict=True)
    ]
    problem = cp.Problem(cp.Minimize(sum(terms)), [sum(shifts) == 0])
    options = dict.fromkeys(("tol_gap_rel", "tol_gap_abs", "tol_feas"), 1e-10)
    return problem.solve(solver="CLARABEL", **options)


@pytest.mark.parametrize(
    "shape", [(1, 2, 3), (2, 2, 2), (3, 2, 4), (4, 3, 2), (3, 1, 2), (6, 2, 3)]
)
@pytest.mark.parametrize("spread", [1.0, 1.01, 3.0, 100.0])
def test_weighted_gln_norm_is_the_least_cost_over_shifts(shape, spread):
    rng = np.random.default_rng(0)
    for scale in (1.0, 0.05, 20.0):  # of the mean beside the deviations
        zeta = random_zeta(shape, 1)
        zeta = zeta + scale * rng.normal(size=shape[2])
        weights = spread ** rng.uniform(-1, 1, shape[0])
        norm = GLN(tuple(weights))
        expected = least_over_shifts(weights, zeta)
        assert_allclose(norm.value(zeta), expected, rtol=1e-7)
        assert_allclose(norm.value(random_shifts(zeta)), expected, rtol=1e-7)
        least = norm.canonical(zeta)
        assert_allclose(weights @ unit_norms(least), norm.value(zeta), rtol=1e-12)
        assert_allclose(predictors(least), predictors(zeta), atol=1e-10 * np.abs(zeta).max())
        assert_allclose(norm.canonical(random_shifts(zeta)), least, atol=1e-6 * np.abs(zeta).max())


@st.composite
def uneven_units(draw):
    """Weights of units of one to six contexts, of any scales, and weights of the norm."""
    n_contexts = np.array(draw(st.lists(st.integers(1, 6), min_size=1, max_size=5)))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    scales = 10.0 ** rng.uniform(-1, 1, size=len(n_contexts)).repeat(n_contexts)[:, None]
    mean = draw(st.sampled_from([0.0, 0.1, 1.0, 10.0])) * rng.normal(size=3)
    spread = draw(st.sampled_from([1.0, 3.0, 100.0]))
    weights = spread ** rng.uniform(-1, 1, size=len(n_contexts))
    rows = scales * rng.normal(size=(n_contexts.sum(), 3)) + mean
    return ContextWeights(rows, n_contexts), None if spread == 1.0 else tuple(weights)


def shifted(zeta, shifts):
    return zeta + (shifts - shifts.mean(axis=0))[:, None]


@given(uneven_units(), st.integers(0, 100))
def test_gln_norm_of_uneven_units_is_the_least_cost_over_shifts(given, seed):
    """Shifts of the contexts that there are: of a padded array all cost, and it is no less."""
    zeta, weights = given
    norm, costs = GLN(weights), GroupNorm(weights)
    units = [zeta.of_unit(h) for h in range(len(zeta))]
    factors = np.ones(len(units)) if weights is None else np.array(weights)
    least, value = norm.canonical(zeta), norm.value(zeta)
    assert_allclose(value, least_over_shifts(factors, units), rtol=1e-7)
    assert value <= norm.value(np.asarray(zeta)) * (1 + 1e-12)
    assert_allclose(costs.value(least), value, rtol=1e-12)
    shifts = np.random.default_rng(seed).normal(size=(len(units), 3))
    other = shifted(zeta, shifts)
    assert_allclose(norm.value(other), value, rtol=1e-9)
    assert costs.value(other) >= value * (1 - 1e-12)
    # the same predictors: each unit is shifted, and all together not
    moved = [least.of_unit(h) - own for h, own in enumerate(units)]
    size = 1e-12 * np.abs(zeta.rows).max()
    assert all(np.ptp(own, axis=0).max() <= 10 * size for own in moved)
    assert_allclose(sum(own[0] for own in moved), 0, atol=100 * size)
    # and the dual norm is that of the functionals that do not see the shifts
    V = least * np.random.default_rng(seed).uniform(size=(len(units), 1, 1))
    means = np.stack([V.of_unit(h).sum(axis=0) for h in range(len(units))])
    V = V + ((means[0] - means) / zeta.n_contexts[:, None])[:, None]
    assert np.sum(zeta.rows * V.rows) <= value * np.max(norm.dual_norms(V)) * (1 + 1e-12)
    assert_allclose(np.sum(least.rows * V.rows), np.sum(zeta.rows * V.rows), rtol=1e-6, atol=1e-9)


def largest_dual_value(weights, units):
    """Maximum of the dual over the rate, to full accuracy; no value of it is above the norm."""
    v = weights * np.sqrt([len(unit) for unit in units])
    moves = [unit - unit[0] for unit in units]
    t = [np.linalg.norm(move - move.mean(axis=0)) / math.sqrt(len(move)) for move in moves]
    total = np.linalg.norm(sum(unit.mean(axis=0) for unit in units))
    least = v.min()
    gaps = np.sqrt((v - least) * (v + least))

    def value(log_angle):
        sine, cosine = math.sin(math.exp(log_angle)), math.cos(math.exp(log_angle))
        return least * cosine * total + np.sum(t * np.hypot(gaps, least * sine))

    grid = np.linspace(math.log(1e-18), math.log(math.pi / 2), 500)
    best = np.argmax([value(point) for point in grid])
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(lambda point: -value(point), bounds=bounds, options={"xatol": 1e-10})
    return max(-found.fun, value(grid[best]))


@st.composite
def spread_units(draw):
    """Weights whose spreads are of any size beside the mean, some of them zero."""
    n_contexts = np.array(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    exponents = st.one_of(st.floats(-12, 3), st.just(-np.inf))
    spreads = [10.0 ** draw(exponents) for _ in n_contexts]
    means = rng.normal(size=(len(n_contexts), 2)).repeat(n_contexts, axis=0)
    rows = means + np.repeat(spreads, n_contexts)[:, None] * rng.normal(size=means.shape)
    weights = draw(st.lists(st.sampled_from([1.0, 1.5, 1 + 1e-9, 30.0]), min_size=4, max_size=4))
    return ContextWeights(rows, n_contexts), weights[: len(n_contexts)]


@given(spread_units())
@example((ContextWeights(np.array([[10 + 4e-7], [10 - 4e-7], [1], [0], [-1]]), TWO_THREE), (1, 1)))
@example((ContextWeights(np.array([[1 + 5e-9], [1 - 5e-9], [1.0], [-1.0]]), TWO_TWO), (1.0, 1.5)))
@example((ContextWeights(np.array([[1e-320], [0.0], [1.0], [-1.0]]), TWO_TWO), (1.0, 1.5)))
def test_gln_norm_of_spreads_of_any_size_beside_the_mean(given):
    zeta, weights = given
    norm = GLN(tuple(weights))
    expected = largest_dual_value(np.array(weights), [zeta.of_unit(h) for h in range(len(zeta))])
    assert_allclose(norm.value(zeta), expected, rtol=1e-11)


@given(uneven_units(), st.floats(0, 20), st.booleans())
def test_prox_of_uneven_rows_satisfies_its_optimality_condition(given, t, has_costs):
    """What is taken off is t times a subgradient: a functional that does not see the shifts."""
    zeta, weights = given
    norm = GroupNorm(weights) if has_costs else GLN(weights)
    near = norm.prox(zeta, t)
    assert_array_equal(near.n_contexts, zeta.n_contexts)
    off, size = zeta - near, np.abs(zeta.rows).max()
    assert np.max(norm.dual_norms(off)) <= t + 1e-12 * size
    reach = np.max(norm.weights(len(zeta))) * size
    assert_allclose(
        np.sum(off.rows * near.rows), t * norm.value(near), rtol=1e-9, atol=1e-12 * size * reach
    )
    if not has_costs:
        totals = [off.of_unit(h).sum(axis=0) for h in range(len(zeta))]
        assert_allclose(totals, np.broadcast_to(totals[0], (len(zeta), 3)), atol=1e-12 * size)


@pytest.mark.parametrize("t", [0.0, 0.3, 9.0])
def test_prox_of_units_without_contexts(t):
    rows = np.random.default_rng(0).normal(size=(6, 2))
    zeta, only = (ContextWeights(rows, np.array(counts)) for counts in ([0, 1, 5, 0], [1, 5]))
    for kind in (GroupNorm, GLN):
        near = kind((3.0, 1.0, 2.0, 0.5)).prox(zeta, t)
        assert_allclose(near.rows, kind((1.0, 2.0)).prox(only, t).rows, atol=1e-14)


@given(uneven_units())
def test_extreme_points_of_uneven_rows(given):
    """Of rows they attain the dual norm where the functional does not see the shifts."""
    zeta, weights = given
    means = np.stack([zeta.of_unit(h).sum(axis=0) for h in range(len(zeta))])
    V = zeta + ((means[0] - means) / zeta.n_contexts[:, None])[:, None]
    for norm in (GroupNorm(weights), GLN(weights), L2()):
        point = norm.extreme_point(V)
        assert_array_equal(point.n_contexts, zeta.n_contexts)
        assert_allclose(norm.value(point), 1.0, rtol=1e-12)
        assert_allclose(np.sum(point.rows * V.rows), norm.dual(V), rtol=1e-9)


def test_even_rows_are_the_array():
    array = random_zeta((4, 3, 2))
    rows, shares = ContextWeights.from_array(array), np.array([0.5, 0.0, 0.2, 0.3])
    for norm in (GroupNorm(), GroupNorm((1, 2, 3, 4)), GLN(), GLN((1, 2, 3, 4)), L2()):
        assert type(norm).takes_rows
        assert_allclose(norm.value(rows), norm.value(array), rtol=1e-12)
        assert_allclose(norm.unit_norms(rows), norm.unit_norms(array), rtol=1e-12)
        assert_allclose(norm.dual_norms(rows), norm.dual_norms(array), rtol=1e-12)
        assert_allclose(norm.canonical(rows), norm.canonical(array), atol=1e-12)
        assert_allclose(norm.recovered(rows, shares), norm.recovered(array, shares), atol=1e-12)
        assert_allclose(norm.prox(rows, 0.7), norm.prox(array, 0.7), atol=1e-12)
        assert_allclose(norm.extreme_point(rows), norm.extreme_point(array), atol=1e-12)


def test_a_class_says_itself_whether_it_takes_rows():
    class Behind(GroupNorm, takes_rows=True): ...

    class Inside(GroupNorm):
        takes_rows = True

    class Heir(Inside): ...

    class Neither(GroupNorm, takes_rows=False): ...

    kinds = (Behind, Inside, Heir, Neither)
    assert [kind.takes_rows for kind in kinds] == [True, True, False, False]
    with pytest.raises(TypeError, match=r"expected takes_rows of a UnitNorm, .* got Wrong"):

        class Wrong(Norm, takes_rows=True): ...


@pytest.mark.parametrize("weights", [None, (3.0, 1.0, 2.0, 0.5)])
def test_units_without_contexts_or_with_one(weights):
    """What has no context can take no part of the mean; of one context alone all is mean."""
    rng, weights_of = np.random.default_rng(0), weights or (1.0,) * 4
    zeta = ContextWeights(rng.normal(size=(6, 2)), np.array([0, 1, 5, 0]))
    only = ContextWeights(zeta.rows, np.array([1, 5]))
    norm = GLN(weights_of[1:3])
    assert_allclose(GLN(weights).value(zeta), norm.value(only), rtol=1e-14)
    assert_allclose(GLN(weights).canonical(zeta).rows, norm.canonical(only).rows, atol=1e-14)
    single = ContextWeights(zeta.rows[:4], np.ones(4, dtype=int))
    expected = min(weights_of) * np.linalg.norm(single.rows.sum(axis=0))
    assert_allclose(GLN(weights).value(single), expected, rtol=1e-12)


def test_rows_that_are_not_finite_are_refused():
    zeta = ContextWeights(np.array([[1.0], [np.nan], [2.0]]), np.array([1, 2]))
    for norm in (GroupNorm(), GLN(), L2()):
        with pytest.raises(ValueError, match="expected finite zeta"):
            norm.value(zeta)


@pytest.mark.parametrize("weights", [WEIGHTS, (1.0, 1.0, 1.0), (1e-8, 1.0, 1e8)])
def test_canonical_weights_of_special_predictors(weights):
    norm = GLN(weights)
    same = np.tile(np.array([[[3.0, 4.0]]]), (3, 2, 1))  # the same predictor in every context
    assert_allclose(norm.value(same), min(weights) * 3 * 5 * math.sqrt(2), rtol=1e-9)
    deviations = np.array([[[1.0, 0.0], [-1.0, 0.0]]] * 3)  # no mean
    assert_allclose(norm.canonical(deviations), deviations)
    assert_array_equal(norm.canonical(np.zeros((3, 2, 2))), 0.0)
    for scale in (1e-150, 1e150):
        zeta = random_zeta((3, 2, 2))
        assert_allclose(norm.value(scale * zeta), scale * norm.value(zeta), rtol=1e-9)


@pytest.mark.parametrize(
    "weights", [(0.0, 1.0), (-1.0, 1.0), (np.nan, 1.0), (np.inf, 1.0), 1.0, ((1.0,),)]
)
@pytest.mark.parametrize("kind", [GroupNorm, GLN, FReLU])
def test_weights_that_are_none_are_refused(kind, weights):
    with pytest.raises(ValueError, match=r"expected unit_weights of shape \(n_units,\), positive"):
        kind(weights)


def test_weights_are_kept_as_a_tuple_of_floats():
    assert GLN([1, 2]) == GLN(np.array([1.0, 2.0])) == GLN((1.0, 2.0))
    assert hash(GLN([1, 2])) == hash(GLN((1.0, 2.0)))
    assert GLN() != GroupNorm()


def test_gates_that_do_not_suit_are_refused():
    closed, one_hot = np.zeros((4, 2, 2), dtype=bool), np.eye(2, dtype=bool)[[0, 1, 1, 0]][:, None]
    with pytest.raises(ValueError, match="the GLN norm is defined for gates with exactly one"):
        GLN().check_gates(closed)
    with pytest.raises(ValueError, match="the L2 norm of the predictors is defined for gates with"):
        PredictorL2().check_gates(closed)
    with pytest.raises(
        ValueError, match="units of one context, the open gate, got activations of 2"
    ):
        FReLU().check_gates(one_hot)
    for norm in (GLN((1.0, 2.0)), GroupNorm((1.0, 2.0))):
        with pytest.raises(
            ValueError, match=r"expected unit_weights of shape \(1,\), got 2 weights"
        ):
            norm.check_gates(one_hot)
        with pytest.raises(
            ValueError, match=r"expected unit_weights of shape \(3,\), got 2 weights"
        ):
            norm.value(np.ones((3, 2, 1)))
    GLN().check_gates(one_hot)
    PredictorL2().check_gates(one_hot)
    FReLU().check_gates(closed[:, :, :1])
    GroupNorm().check_gates(closed)
