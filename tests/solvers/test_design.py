"""Products with the features of all units, in both precisions, and what designs hand on."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array, csr_matrix

from gnorm import solve
from gnorm.gates import OpenContexts
from gnorm.gating import open_counts, side_by_side
from gnorm.norms import GLN, FReLU, GroupNorm, MaxAbs, PredictorL2
from gnorm.solvers.accurate import accurate_outputs, accurate_sums
from gnorm.solvers.design import (
    FeatureDesign,
    GroupDesign,
    QuadraticDesign,
    get_norm,
    make_design,
)
from gnorm.solvers.design.coded import Factors


def random_design(n_samples=100, n_features=31, n_units=6, n_contexts=2, norm=None):
    """Random inputs with a constant, and units with one of several contexts on, or on and off."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(n_samples, n_features - 1)), np.ones(n_samples)])
    gates = rng.integers(n_contexts, size=(n_samples, n_units))[:, :, None] == np.arange(n_contexts)
    if n_contexts == 1:
        gates = rng.random((n_samples, n_units, 1)) < 0.6
    return make_design(get_norm(norm, gates), X, gates)


NORMS = [None, "predictor_l2", GLN(unit_weights=(1.0, 0.3, 2.0, 1.0, 5.0, 1.0))]


def remade(design, X):
    """The same gates and norm on other inputs."""
    return make_design(design.norm, X, design.activations)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n_on", [0, 1, 40, 99])
def test_products_of_few_samples(norm, n_on):
    design = random_design(n_features=61, norm=norm)
    coef = np.zeros(100)
    coef[np.random.default_rng(0).permutation(100)[:n_on]] = 1.5
    exact = design.exact_products(coef)
    products = design.kernel_products(coef, np.float64)
    assert_allclose(products, exact, atol=1e-12 * np.abs(exact).max())
    products = design.kernel_products(coef, np.float32)
    assert_allclose(products, exact, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("norm", NORMS)
def test_kernels_are_what_the_norm_says_of_the_features(norm):
    """The dual norms of the sums are the square roots of the quadratic forms of the kernels."""
    design = random_design(norm=norm)
    coef = np.random.default_rng(1).normal(size=100)
    squares = design.dual_norms(design.sums(coef)) ** 2
    assert_allclose(coef @ design.exact_products(coef), squares, rtol=1e-10)
    for h, unit in enumerate(np.eye(design.n_kernels)):
        kernel = np.tril(design.weighted_gram(unit, np.float64))
        kernel += np.tril(kernel, -1).T
        assert_allclose(coef @ kernel @ coef, squares[h], rtol=1e-10)
        assert_allclose(kernel @ coef, design.exact_products(coef)[:, h], atol=1e-9)
    rough = design.weighted_gram(np.ones(design.n_kernels), np.float32)
    assert rough.dtype == np.float32
    exact = np.tril(design.weighted_gram(np.ones(design.n_kernels), np.float64))
    assert_allclose(np.tril(rough), exact, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("norm", NORMS)
def test_shares_recover_the_predictor_of_the_kernels(norm):
    design = random_design(norm=norm)
    rng = np.random.default_rng(1)
    coef, shares = rng.normal(size=100), rng.dirichlet(np.ones(design.n_kernels))
    zeta = design.recovered(design.sums(coef), shares)
    assert_allclose(design.decision_values(zeta), design.exact_products(coef) @ shares, atol=1e-9)


@pytest.mark.parametrize("norm", [None, "predictor_l2"])
@pytest.mark.parametrize("longest", [1.0, 1e6])
def test_part_of_a_gram_matrix(norm, longest):
    plain = random_design(norm=norm)
    X = plain.X.copy()
    X[0] *= longest  # a sample that the others are short beside
    rows = np.arange(1, 60)
    anew = make_design(plain.norm, X[rows], plain.activations[rows])
    whole = remade(plain, X)
    assert whole.gram.matrix(np.float32).dtype == np.float32
    part = whole.restricted(rows)
    assert list(part.gram._known) == [np.float32]
    exact = anew.gram.matrix(np.float64)
    inherited = part.gram.matrix(np.float32) * part.gram.length(np.float32) ** 2
    assert_allclose(inherited, exact, atol=1e-6 * np.abs(exact).max())
    # what is computed with the length that was handed on, too
    coef = np.random.default_rng(0).normal(size=59)
    products = part.kernel_products(coef, np.float32)
    exact = anew.exact_products(coef)
    assert_allclose(products, exact, atol=1e-5 * np.abs(exact).max())


def test_part_of_a_gram_matrix_in_both_precisions():
    whole = random_design()
    rows = np.arange(0, 100, 3)
    for precision in (np.float64, np.float32):
        whole.gram.matrix(precision)
    part = whole.restricted(rows)
    assert set(part.gram._known) == {np.float64, np.float32}
    assert_allclose(part.gram.matrix(np.float64), whole.X[rows] @ whole.X[rows].T, atol=1e-12)


@pytest.mark.parametrize("norm", [None, "predictor_l2"])
@pytest.mark.parametrize("container", [np.asarray, csr_array])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_rough_sums(norm, container, scale):
    plain = random_design(norm=norm)
    design = remade(plain, container(scale * plain.X))
    coef = np.random.default_rng(0).normal(size=100)
    coef[::3] = 0.0
    exact = design.sums(coef)
    assert_allclose(design.rough_sums(coef), exact, atol=1e-5 * np.abs(exact).max())
    assert not np.any(design.rough_sums(np.zeros(100)))


@pytest.mark.parametrize("rows", [None, np.array([5, 2, 77])])
@pytest.mark.parametrize("n_contexts", [1, 2, 3])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_rough_decision_values(rows, n_contexts, scale):
    plain = random_design(n_contexts=n_contexts)
    design = remade(plain, scale * plain.X)
    zeta = np.random.default_rng(0).normal(size=(6 * n_contexts, 31))
    zeta[2 * n_contexts : 3 * n_contexts] = 0.0
    exact = design.decision_values(zeta)
    exact = exact if rows is None else exact[rows]
    assert_allclose(design.rough_values(zeta, rows), exact, atol=1e-5 * np.abs(exact).max())


# -- through the features --------------------------------------------------------------------------


@pytest.mark.parametrize("n_contexts", [1, 3])
@pytest.mark.parametrize(("n_units", "n_features"), [(3, 4), (6, 7)])  # outer product, pairs
@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
def test_feature_gram_is_that_of_the_explicit_features(n_contexts, n_units, n_features, container):
    plain = random_design(70, n_features, n_units, n_contexts)
    design = remade(plain, container(plain.X))
    gates = design.coded[0]
    features = (gates * plain.X[:, None, :]).reshape(70, -1)
    weights = np.random.default_rng(0).random(70)
    weights[:10] = 0.0
    assert_allclose(
        design.feature_gram(weights), features.T @ (weights[:, None] * features), atol=1e-12
    )


def test_feature_gram_of_multiples_of_the_same_weights_is_computed_once(monkeypatch):
    design, weights = random_design(), np.random.default_rng(1).random(100)
    others = weights[::-1].copy()
    expected = [(4.0 * weights, 4.0), (others, None), (weights, 1.0)]
    gram, computed = design.feature_gram(weights), []
    compute = type(design).coded_gram

    def counted(self, weights):
        computed.append(weights)
        return compute(self, weights)

    monkeypatch.setattr(type(design), "coded_gram", counted)
    for given, multiple in expected:
        found = design.feature_gram(given)
        if multiple is not None:
            assert_allclose(found, multiple * gram, rtol=1e-13)
        assert_allclose(found, random_design().feature_gram(given), rtol=1e-13)
    # those of the fresh designs, and of this one where the weights were others than before
    assert len(computed) == len(expected) + 2


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n_contexts", [2, 3])
def test_coded_gates_give_the_kernels_of_all_units(norm, n_contexts):
    design = random_design(30, 5, n_contexts=n_contexts, norm=norm)
    X = design.X
    gates, _, factors = design.coded
    longest = 0.0
    for h, factor in enumerate(factors):
        mapped = gates[:, :, 0] @ factor.T
        kernel = np.tril(design.weighted_gram(np.eye(design.n_kernels)[h], np.float64))
        atol = 1e-12 * np.abs(kernel).max()
        assert_allclose(np.tril((X @ X.T) * (mapped @ mapped.T)), kernel, atol=atol)
        longest = max(longest, np.sqrt(np.diag(kernel).max()))
    assert_allclose(design.max_feature_norm, longest)
    decoded = design.of_units(design.decoded(gates[:, :, 0].T))
    assert_allclose(np.moveaxis(decoded, -1, 0), design.activations, atol=1e-12)


# -- which design for which norm -------------------------------------------------------------------


def test_norms_of_names_and_gates():
    one_hot = np.eye(2, dtype=bool)[[0, 1, 1]][:, None, :]
    assert get_norm(None, one_hot) == GLN()
    assert get_norm(None, one_hot[:, :, :1]) == get_norm(None, ~one_hot & False) == GroupNorm()
    assert get_norm("predictor_l2", one_hot) == PredictorL2()
    assert get_norm(FReLU(), one_hot) == FReLU()
    assert get_norm("gln", one_hot) == GLN()
    for unknown in ("glm", object()):
        with pytest.raises(ValueError, match=r"norm must be None, one of .* or an object of"):
            get_norm(unknown, one_hot)


def test_designs_of_norms():
    X, one_hot = np.ones((3, 2)), np.eye(2, dtype=bool)[[0, 1, 1]][:, None, :]
    assert isinstance(make_design(GLN(), X, one_hot), GroupDesign)
    assert isinstance(make_design(PredictorL2(), X, one_hot), QuadraticDesign)
    assert isinstance(make_design(MaxAbs(), X, one_hot), FeatureDesign)
    for norm in (GLN(), PredictorL2()):
        with pytest.raises(ValueError, match="exactly one context on per unit"):
            make_design(norm, X, one_hot & False)
    with pytest.raises(
        ValueError, match="units of one context, the open gate, got activations of 2"
    ):
        make_design(FReLU(), X, one_hot)
    with pytest.raises(ValueError, match=r"expected unit_weights of shape \(1,\), got 2 weights"):
        make_design(GLN(unit_weights=(1.0, 2.0)), X, one_hot)


# -- units of different sizes ----------------------------------------------------------------------


def uneven_design(norm=None, n_samples=200):
    """Units of 1, 2, 5 and 60 contexts, some of them never open, on or off if not one-hot."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 5))
    gates = np.zeros((n_samples, 4, 70), dtype=bool)
    for h, n_contexts in enumerate([1, 2, 5, 60]):
        gates[np.arange(n_samples), h, 2 + rng.integers(n_contexts, size=n_samples)] = True
    if isinstance(norm, GroupNorm) and not isinstance(norm, GLN):
        gates[rng.random(n_samples) < 0.3, 2:] = False
    return make_design(get_norm(norm, gates), X, gates)


UNEVEN = [None, "predictor_l2", GroupNorm(unit_weights=(1.0, 0.5, 2.0, 3.0))]


@pytest.mark.parametrize("norm", UNEVEN)
@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
def test_products_of_uneven_units_are_those_of_the_features(norm, container):
    plain = uneven_design(norm)
    design, rng = remade(plain, container(plain.X)), np.random.default_rng(1)
    features = plain.activations.reshape(200, -1, 1) * plain.X[:, None]
    coef, zeta = rng.normal(size=200), rng.normal(size=features.shape[1:])
    assert_allclose(design.sums(coef), np.tensordot(coef, features, 1), atol=1e-12)
    values = np.einsum("nrd,rd->n", features, zeta)
    assert_allclose(design.decision_values(zeta), values, atol=1e-12)
    rows = rng.permutation(200)[:50]
    assert_allclose(design.rough_values(zeta, rows), values[rows], atol=1e-4)
    assert_allclose(design.rough_sums(coef), design.sums(coef), atol=1e-4)
    assert_allclose(accurate_outputs(design, zeta)[0], values, atol=1e-12)
    assert_allclose(accurate_sums(design, coef)[0], design.sums(coef), atol=1e-12)


@pytest.mark.parametrize("norm", UNEVEN)
@pytest.mark.parametrize("rows", [np.arange(200), np.arange(0, 200, 3)])
def test_kernels_of_uneven_units_are_those_of_the_features(norm, rows):
    design = uneven_design(norm).restricted(rows)
    coef = np.random.default_rng(1).normal(size=len(rows))
    products = design.exact_products(coef)
    assert_allclose(coef @ products, design.dual_norms(design.sums(coef)) ** 2, rtol=1e-9)
    gates, _, factors = design.coded
    decoded = design.of_units(design.decoded(gates[:, :, 0].T))
    assert_allclose(np.moveaxis(decoded, -1, 0), design.activations, atol=1e-12)
    for h, (unit, factor) in enumerate(zip(np.eye(design.n_kernels), factors, strict=True)):
        kernel = np.tril(design.weighted_gram(unit, np.float64))
        kernel += np.tril(kernel, -1).T
        assert_allclose(kernel @ coef, products[:, h], atol=1e-9)
        mapped = gates[:, :, 0] @ factor.T
        assert_allclose((design.X @ design.X.T) * (mapped @ mapped.T), kernel, atol=1e-9)


@pytest.mark.parametrize("is_closed", [False, True])
def test_open_contexts_say_what_activations_do(is_closed):
    random = np.random.default_rng(2)
    levels = np.array([2, 3, 40, 300])
    contexts = random.integers(-int(is_closed), levels, size=(200, 4))
    coded = OpenContexts(contexts, 300)
    array = np.asarray(coded)
    assert coded.contexts.dtype == np.int16
    assert (coded.shape, len(coded), coded.nbytes) == (array.shape, 200, 200 * 4 * 2)
    assert_array_equal(array, contexts[:, :, None] == np.arange(300))
    assert_array_equal(open_counts(coded), array.sum(axis=2))
    assert_array_equal(open_counts(array), array.sum(axis=2))
    assert_array_equal(coded[5:9], array[5:9])
    assert_array_equal(coded[:, [2, 0]], array[:, [2, 0]])
    other = side_by_side([coded, array])
    assert_array_equal(other, side_by_side([coded, coded]))
    X, coef = random.normal(size=(200, 3)), random.normal(size=200)
    left, right = (make_design(GroupNorm(), X, each) for each in (coded, array))
    assert_array_equal(left.gating.counts, right.gating.counts)
    assert_array_equal(left.gating.gates, right.gating.gates)
    assert (left.gating.rare != right.gating.rare).nnz == 0
    assert left.is_one_hot == right.is_one_hot != is_closed
    assert_allclose(left.sums(coef), right.sums(coef), rtol=1e-12)
    assert_array_equal(left.coded[0], right.coded[0])
    with pytest.raises(ValueError, match="expected copy other than False"):
        coded.__array__(copy=False)


@pytest.mark.parametrize(
    ("contexts", "n_contexts", "sentence"),
    [
        ([[0.5, 1.0]], 3, r"expected contexts of integers .*got dtype float64 and shape \(1, 2\)"),
        ([[True, False]], 3, "got dtype bool"),
        ([0, 1], 3, r"shape \(n_samples, n_units\), got dtype int64 and shape \(2,\)"),
        ([[0, 3]], 3, "expected contexts from -1, for none, to 2 of unit 1, got 3 to 3"),
        ([[0, 256]], 3, "got 256 to 256"),  # which are 0 in a byte
        ([[0, -2]], 3, "got -2 to -2"),
        ([[0, 3], [0, 2]], [1, 3], "to 2 of unit 1, got 2 to 3"),
        ([[0, 0]], [1, 3, 4], r"an integer or one for each unit, got \[1, 3, 4\]"),
        ([[0, 1]], 2.5, "expected n_contexts >= 0, an integer or one for each unit, got 2.5"),
        ([[0, 1]], -1, "expected n_contexts >= 0, an integer or one for each unit, got -1"),
        ([[0, 1]], True, "expected n_contexts >= 0, an integer or one for each unit, got True"),
    ],
)
def test_open_contexts_are_checked(contexts, n_contexts, sentence):
    with pytest.raises(ValueError, match=sentence):
        OpenContexts(np.array(contexts), n_contexts)


def test_open_contexts_show_their_shape_and_are_indexed_by_samples_and_units():
    coded = OpenContexts([[0, 2], [-1, 1]], 3)
    assert repr(coded) == "<OpenContexts of shape (2, 2, 3)>"
    assert_array_equal(coded[[True, False]].contexts, [[0, 2]])
    for key in (0, (slice(None), 1), ([0, 1], [0, 1]), None):
        with pytest.raises(ValueError, match=r"expected contexts .*shape \(n_samples, n_units\)"):
            coded[key]


@pytest.mark.parametrize("loss", ["squared_error", "hinge"])
def test_a_solve_of_open_contexts_is_that_of_the_array(loss):
    random = np.random.default_rng(3)
    coded = OpenContexts(random.integers(0, [2, 3, 30], size=(120, 3)), 30)
    X = random.normal(size=(120, 2))
    y = X[:, 0] * (coded.contexts[:, 0] - 0.5) + 0.3 * random.normal(size=120)
    y = np.sign(y) if loss == "hinge" else y
    found, expected = (
        solve(X, y, each, loss=loss, C=0.5, tol=1e-9) for each in (coded, np.asarray(coded))
    )
    assert_allclose(found.primal_value, expected.primal_value, rtol=1e-8)
    assert_allclose(found.decision_values(X, coded), expected.decision_values(X, coded), atol=1e-4)
    with pytest.raises(ValueError, match=r"expected activations .*got dtype bool and shape"):
        solve(X, y, coded[:9], loss=loss)


def test_factors_take_the_rows_of_each_kernel():
    random = np.random.default_rng(4)
    kernels = np.array([0, 0, 2, 2, 2])  # none of kernel 1
    factors = Factors(random.normal(size=(5, 4)), kernels, 3)
    V, mu = random.normal(size=(4, 6)), np.array([0.5, 2.0, 3.0])
    each = list(factors)
    assert [len(F) for F in each] == [2, 0, 3]
    assert_allclose(factors.squares(V), [np.sum((F @ V) ** 2) for F in each])
    projected = np.stack([F.T @ F @ V for F in each])
    assert_allclose(factors.projected(V), projected)
    assert_allclose(factors.combined(mu, V), np.tensordot(mu, projected, 1))
    assert_allclose(factors.metric(mu), sum(m * F.T @ F for m, F in zip(mu, each, strict=True)))


def test_contexts_that_are_never_open_cost_nothing():
    few, many = uneven_design(), uneven_design()
    padded = np.pad(many.activations, [(0, 0), (0, 0), (0, 500)])
    many = make_design(many.norm, many.X, padded)
    assert many.n_open_gates == few.n_open_gates <= 68
    assert many.n_coded_features == few.n_coded_features
    assert many.coded[0].shape == few.coded[0].shape
