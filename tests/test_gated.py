"""The gated linear map: against loops over the definition, and round trips between its views."""

import itertools
import pickle
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from gnorm import gating
from gnorm.gated import (
    NotRealizableError,
    accumulate,
    canonical,
    check_zeta,
    decision_values,
    free_predictors,
    from_free_predictors,
    from_network,
    from_predictors,
    main_effects,
    predictors,
    to_network,
    unit_values,
)

SHAPES = [(1, 1, 1), (1, 3, 2), (4, 1, 3), (2, 2, 1), (2, 2, 5), (3, 2, 2), (2, 4, 3), (4, 3, 2)]

entries = st.floats(-1e3, 1e3, allow_subnormal=False)
zetas = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=3, max_dims=3, max_side=4), elements=entries
)


def random_zeta(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def random_problem(n_samples=23, n_units=5, n_contexts=3, n_features=4, one_hot=True, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) * (rng.random((n_samples, n_features)) < 0.6)
    if one_hot:
        contexts = rng.integers(n_contexts, size=(n_samples, n_units))
        activations = contexts[:, :, None] == np.arange(n_contexts)
    else:
        activations = rng.random((n_samples, n_units, n_contexts)) < 0.5
    return X, activations, rng.normal(size=(n_units, n_contexts, n_features))


def enumerate_predictors(zeta):
    """Predictors by their definition: one sum over units for every global context."""
    n_units, n_contexts, n_features = zeta.shape
    beta = np.empty((n_contexts,) * n_units + (n_features,))
    for context in itertools.product(range(n_contexts), repeat=n_units):
        beta[context] = sum(zeta[h, c] for h, c in enumerate(context))
    return beta


def random_shifts(zeta, seed=0):
    """Another representation of the same predictors."""
    shifts = np.random.default_rng(seed).normal(size=(len(zeta), 1, zeta.shape[2]))
    return zeta + shifts - shifts.mean(axis=0)


# -- the map on data -------------------------------------------------------------------------------


@pytest.mark.parametrize("one_hot", [True, False], ids=["one-hot", "any-gates"])
@pytest.mark.parametrize(
    "container",
    [np.asarray, np.asfortranarray, np.ndarray.tolist, sparse.csr_matrix, sparse.csc_array],
)
def test_map_and_adjoint_equal_their_sums(container, one_hot):
    X, activations, zeta = random_problem(one_hot=one_hot)
    coef = np.linspace(-1, 1, len(X))
    expected = np.zeros(activations.shape[:2])
    V = np.zeros_like(zeta)
    for n, h, c in np.argwhere(activations):
        expected[n, h] += zeta[h, c] @ X[n]
        V[h, c] += coef[n] * X[n]
    assert_allclose(unit_values(container(X), activations, zeta), expected, atol=1e-14)
    assert_allclose(
        decision_values(container(X), activations, zeta), expected.sum(axis=1), atol=1e-14
    )
    assert_allclose(accumulate(container(X), activations, coef), V, atol=1e-14)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("block_entries", [1, 50, 10**9])
def test_blocks_do_not_show(container, block_entries, monkeypatch):
    X, activations, zeta = random_problem()
    coef = np.linspace(-1, 1, len(X))
    X = container(X)
    values = unit_values(X, activations, zeta)
    V = accumulate(X, activations, coef)
    monkeypatch.setattr(gating, "BLOCK_ENTRIES", block_entries)
    assert_allclose(unit_values(X, activations, zeta), values, atol=1e-14)
    assert_allclose(decision_values(X, activations, zeta), values.sum(axis=1), atol=1e-14)
    assert_allclose(accumulate(X, activations, coef), V, atol=1e-14)


def test_extra_memory_does_not_grow_with_samples(monkeypatch):
    monkeypatch.setattr(gating, "BLOCK_ENTRIES", 2**10)
    X, activations, zeta = random_problem(n_samples=20_000, n_units=8, n_contexts=4)
    coef = np.ones(len(X))
    dense_size = 8 * activations.size
    for call in (
        lambda: decision_values(X, activations, zeta),
        lambda: accumulate(X, activations, coef),
    ):
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < dense_size / 10


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_accumulate_is_the_adjoint_of_decision_values(seed, one_hot, is_sparse):
    X, activations, zeta = random_problem(one_hot=one_hot, seed=seed)
    X = sparse.csr_array(X) if is_sparse else X
    coef = np.random.default_rng(seed + 1).normal(size=X.shape[0])
    left = decision_values(X, activations, zeta) @ coef
    assert_allclose(left, np.vdot(zeta, accumulate(X, activations, coef)), atol=1e-10)


@pytest.mark.parametrize("live", [[], [3], [0, 1, 4]])
def test_units_of_zero_weight_and_samples_of_zero_coefficient_are_left_out(live):
    X, activations, zeta = random_problem()
    zeta[np.setdiff1d(range(len(zeta)), live)] = 0
    values = unit_values(X, activations, zeta)
    part = np.ascontiguousarray(activations[:, live])
    assert_array_equal(np.flatnonzero(values.any(axis=0)), live)
    if live:
        assert_allclose(values[:, live], unit_values(X, part, zeta[live]), atol=1e-15)
    assert_allclose(decision_values(X, activations, zeta), values.sum(axis=1), atol=1e-14)
    coef = np.where(np.isin(np.arange(len(X)), live), 2.0, 0.0)
    assert_allclose(
        accumulate(X, activations, coef),
        accumulate(X[live], activations[live], coef[live]),
        atol=1e-15,
    )


def test_single_precision_and_integer_samples_are_mapped_in_double_precision():
    X, activations, zeta = random_problem()
    X = np.round(4 * X)
    for dtype in (np.float32, np.int8):
        values = decision_values(X.astype(dtype), activations, zeta)
        assert values.dtype == np.float64
        assert_allclose(values, decision_values(X, activations, zeta), atol=1e-14)


def test_no_samples_give_no_values():
    X, activations, zeta = random_problem()
    assert decision_values(X[:0], activations[:0], zeta).shape == (0,)
    assert unit_values(X[:0], activations[:0], zeta).shape == (0, len(zeta))
    assert_array_equal(accumulate(X[:0], activations[:0], []), np.zeros_like(zeta))


def test_global_contexts_select_their_predictor():
    X, activations, zeta = random_problem()
    beta = predictors(zeta)
    contexts = activations.argmax(axis=2)
    expected = [beta[tuple(gamma)] @ x for gamma, x in zip(contexts, X, strict=True)]
    assert_allclose(decision_values(X, activations, zeta), expected, atol=1e-13)


# -- predictors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_predictors_enumerate_all_contexts(shape):
    zeta = random_zeta(shape)
    assert_allclose(predictors(zeta), enumerate_predictors(zeta), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("shape", SHAPES)
def test_main_effects_decompose_the_predictors(shape):
    zeta = random_zeta(shape)
    beta = enumerate_predictors(zeta)
    beta_bar, deviations = main_effects(zeta)
    units = tuple(range(len(zeta)))
    assert_allclose(beta_bar, beta.mean(axis=units), atol=1e-14)
    for h in units:
        others = tuple(k for k in units if k != h)
        assert_allclose(deviations[h], beta.mean(axis=others) - beta_bar, atol=1e-14)
    assert_allclose(deviations.sum(axis=1), 0, atol=1e-14)
    assert_allclose(beta_bar + enumerate_predictors(deviations), beta, atol=1e-13)


def test_small_spread_about_a_large_mean_keeps_its_digits():
    spread = np.array([[[1.0], [2.0], [6.0]], [[0.0], [0.0], [0.0]]]) * 2.0**-20
    _, deviations = main_effects(2.0**30 + spread)
    expected = np.array([-2.0, -1.0, 3.0, 0.0, 0.0, 0.0]) * 2.0**-20
    assert_array_equal(deviations.ravel(), expected)


def test_equal_contexts_have_no_deviation_at_all():
    zeta = np.repeat(random_zeta((4, 1, 5)) / 3, 3, axis=1)  # a plain mean of three would round
    assert not main_effects(zeta)[1].any()
    assert_allclose(canonical(zeta), np.broadcast_to(zeta.sum(axis=0) / 4, zeta.shape), atol=1e-15)


@given(zetas, st.integers(0, 99))
def test_shifts_that_cancel_change_nothing(zeta, seed):
    size = 1 + np.abs(zeta).max()
    other = random_shifts(zeta, seed)
    assert_allclose(predictors(other), predictors(zeta), atol=1e-12 * size)
    for a, b in zip(main_effects(other), main_effects(zeta), strict=True):
        assert_allclose(a, b, atol=1e-12 * size)


@given(zetas)
def test_canonical_has_the_same_predictors(zeta):
    size = 1 + np.abs(zeta).max()
    assert_allclose(predictors(canonical(zeta)), predictors(zeta), atol=1e-12 * size)


@pytest.mark.parametrize("shape", SHAPES)
def test_canonical_is_the_same_for_all_weights_of_the_predictors(shape):
    zeta = random_zeta(shape)
    assert_allclose(canonical(random_shifts(zeta)), canonical(zeta), atol=1e-13)
    assert_allclose(canonical(canonical(zeta)), canonical(zeta), atol=1e-13)
    assert_allclose(canonical(1e200 * zeta), 1e200 * canonical(zeta), rtol=1e-13)
    assert_allclose(canonical(1e-200 * zeta), 1e-200 * canonical(zeta), rtol=1e-13)


def test_predictors_refuse_what_would_not_fit():
    with pytest.raises(ValueError, match=r"got 2\^24 \* 1 = 10\^7\.2 entries and 24 units; use fr"):
        predictors(np.ones((24, 2, 1)))
    with pytest.raises(ValueError, match=r"got 4\^1000 \* 785 = 10\^605\.0 entries"):
        predictors(np.ones((1000, 4, 785)))
    with pytest.raises(ValueError, match=r"31 units, got .* and 32 units"):
        predictors(np.ones((32, 1, 1)))
    assert predictors(np.ones((31, 1, 1))).size == 1
    assert free_predictors(np.ones((1000, 4, 785))).shape == (3001, 785)


@pytest.mark.parametrize("shape", SHAPES)
def test_free_predictors_are_those_of_at_most_one_moved_unit_in_order(shape):
    zeta = random_zeta(shape)
    n_units, n_contexts, _ = shape
    beta = enumerate_predictors(zeta)
    first = (0,) * n_units
    contexts = [first] + [
        (*first[:h], c, *first[h + 1 :]) for h in range(n_units) for c in range(1, n_contexts)
    ]
    assert_allclose(free_predictors(zeta), [beta[gamma] for gamma in contexts], atol=1e-14)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.data())
def test_free_predictors_can_be_chosen_freely(n_units, n_contexts, n_features, data):
    shape = ((n_contexts - 1) * n_units + 1, n_features)
    free = data.draw(hnp.arrays(np.float64, shape, elements=entries))
    zeta = from_free_predictors(free, n_units, n_contexts)
    assert zeta.shape == (n_units, n_contexts, n_features)
    assert_allclose(free_predictors(zeta), free, atol=1e-12 * (1 + np.abs(free).max()))


@pytest.mark.parametrize("shape", SHAPES)
def test_free_and_all_predictors_lead_back_to_canonical_weights(shape):
    zeta = random_zeta(shape)
    expected = canonical(zeta)
    assert_allclose(from_free_predictors(free_predictors(zeta), *shape[:2]), expected, atol=1e-13)
    assert_allclose(from_predictors(predictors(zeta)), expected, atol=1e-13)


# -- realisability ---------------------------------------------------------------------------------


def check_sentence(error, beta):
    """Evaluate on beta what the sentence says, and return the violation found there."""
    named = re.findall(r"beta\[[\d, ]+\]", str(error))
    assert len(named) == 4
    a, b, c, d = (eval(name, {"beta": beta}) for name in named)
    contexts = [tuple(map(int, re.findall(r"\d+", name))) for name in named]
    assert tuple(contexts) == error.contexts
    h, k = error.units
    (ah, bh, ch, dh), (ak, bk, ck, dk) = zip(*((g[h], g[k]) for g in contexts), strict=True)
    assert (ah, bh, ak, ck) == (ch, dh, bk, dk)
    assert f"moving unit {h} from context {bh} to context {ah} must" in str(error)
    assert f"in context {ak} and in context {ck} of unit {k}," in str(error)
    rest = {tuple(c for unit, c in enumerate(g) if unit not in (h, k)) for g in contexts}
    assert len(rest) == 1
    violation = np.abs((a - b) - (c - d)).max()
    assert_allclose(error.violation, violation, rtol=1e-12)
    share = violation / np.abs(beta).max()
    assert f"differ by up to {violation:.3g}, {share:.3g} of the largest" in str(error)
    return violation


def test_the_condition_for_two_units_of_two_contexts():
    beta = np.array([[[1.0], [9.0]], [[3.0], [11.0]]])  # beta_21 - beta_22 = beta_11 - beta_12
    assert_allclose(predictors(from_predictors(beta)), beta, atol=1e-13)
    beta[1, 1] += 0.5
    with pytest.raises(NotRealizableError) as caught:
        from_predictors(beta)
    assert check_sentence(caught.value, beta) == 0.5
    assert str(caught.value) == (
        "no gated linear network has these predictors: moving unit 0 from context 0 to context 1 "
        "must change the predictor by the same vector in context 1 and in context 0 of unit 1, "
        "but beta[1, 1] - beta[0, 1] and beta[1, 0] - beta[0, 0] differ by up to 0.5, 0.0435 of "
        "the largest entry of beta (tol=1e-08)"
    )


@given(st.sampled_from([s for s in SHAPES if s[0] > 1 and s[1] > 1]), st.integers(0, 999))
def test_any_changed_predictor_is_found(shape, seed):
    beta = predictors(random_zeta(shape, seed))
    rng = np.random.default_rng(seed)
    gamma = tuple(rng.integers(shape[1], size=shape[0]))
    beta[(*gamma, rng.integers(shape[2]))] += 1e-3
    with pytest.raises(NotRealizableError) as caught:
        from_predictors(beta)
    assert_allclose(check_sentence(caught.value, beta), 1e-3, rtol=1e-9)


def test_an_interaction_of_three_units_alone_is_found():
    beta = np.zeros((2, 2, 2, 1))
    beta[1, 1, 1] = 1.0
    with pytest.raises(NotRealizableError) as caught:
        from_predictors(beta)
    assert check_sentence(caught.value, beta) == 1.0
    assert caught.value.contexts == ((1, 1, 1), (0, 1, 1), (1, 0, 1), (0, 0, 1))


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_tolerance_is_relative_to_the_largest_predictor(scale):
    beta = predictors(random_zeta((3, 3, 2)))
    beta /= np.abs(beta).max()
    beta[2, 0, 1, 0] += 1e-6
    with pytest.raises(NotRealizableError, match="1e-06 of the largest entry"):
        from_predictors(scale * beta, tol=0.9e-6)
    zeta = from_predictors(scale * beta, tol=1.1e-6)
    assert_allclose(predictors(zeta), scale * beta, rtol=0, atol=3e-6 * scale)


def test_error_is_a_value_error_that_survives_pickling():
    beta = np.zeros((2, 2, 1))
    beta[0, 1] = 1.0
    with pytest.raises(ValueError, match="unit 0") as caught:
        from_predictors(beta)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(copy, NotRealizableError)
    assert str(copy) == str(caught.value)
    assert (copy.units, copy.largest, copy.tol) == ((0, 1), 1.0, 1e-8)


@pytest.mark.parametrize("shape", [(1, 3, 2), (4, 1, 2), (1, 1, 1)])
def test_one_unit_or_one_context_realises_everything(shape):
    n_units, n_contexts, n_features = shape
    beta = random_zeta((n_contexts,) * n_units + (n_features,))
    assert_allclose(predictors(from_predictors(beta, tol=0)), beta, atol=1e-14)


# -- networks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_network_is_balanced_and_has_the_weights(scale):
    zeta = scale * random_zeta((5, 3, 4))
    zeta[2] = 0
    w1, w2 = to_network(zeta)
    assert_allclose(from_network(w1, w2), zeta, rtol=1e-14)
    norms = scale * np.linalg.norm((zeta / scale).reshape(5, -1), axis=1)
    assert (w2 >= 0).all()
    assert_allclose(w2, np.sqrt(norms), rtol=1e-14)
    assert_allclose(np.linalg.norm(w1.reshape(5, -1), axis=1), w2, rtol=1e-14)
    assert_allclose((w1**2).sum() + (w2**2).sum(), 2 * norms.sum(), rtol=1e-14)


def test_other_scalings_of_the_layers_have_a_larger_norm():
    zeta = random_zeta((5, 3, 4))
    w1, w2 = to_network(zeta)
    least = (w1**2).sum() + (w2**2).sum()
    factors = np.exp(random_zeta(5)) * [1, -1, 1, -1, -1]
    w1, w2 = w1 / factors[:, None, None], w2 * factors
    assert_allclose(from_network(w1, w2), zeta, rtol=1e-14)
    assert (w1**2).sum() + (w2**2).sum() > least


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zeta", "message"),
    [
        (np.ones((2, 3)), r"of shape \(n_units, n_contexts, n_features\), got shape \(2, 3\)"),
        (np.ones((2, 0, 3)), r"n_features\), got shape \(2, 0, 3\)"),
        (np.full((1, 1, 1), np.nan), "expected finite zeta, got NaN or infinite entries"),
        (np.full((1, 1, 1), -np.inf), "expected finite zeta, got NaN or infinite entries"),
        (np.ones((1, 1, 1), dtype=complex), "expected real zeta, got dtype complex128"),
        (np.array([[["1"]]]), "expected real zeta, got dtype <U1"),
    ],
)
def test_zeta_that_is_no_zeta_is_refused(zeta, message):
    for function in (check_zeta, main_effects, predictors, free_predictors, canonical, to_network):
        with pytest.raises(ValueError, match=message):
            function(zeta)


def test_check_zeta_copies_only_if_it_must():
    zeta = random_zeta((2, 3, 4))
    assert check_zeta(zeta) is zeta
    for other in (zeta.astype(np.float32), zeta.transpose(1, 0, 2), zeta.tolist()):
        checked = check_zeta(other)
        assert checked.dtype == np.float64
        assert checked.flags.c_contiguous


def test_results_never_share_memory_with_weights():
    zeta = random_zeta((1, 2, 3))
    for result in (predictors(zeta), free_predictors(zeta), canonical(zeta), *to_network(zeta)):
        assert not np.shares_memory(result, zeta)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": np.ones(4)}, r"expected X of shape \(n_samples, n_features\), got shape \(4,\)"),
        ({"X": np.full((23, 4), np.nan)}, "expected finite X"),
        ({"X": sparse.csr_array(np.full((23, 4), np.inf))}, "expected finite X"),
        ({"X": np.ones((23, 4), dtype=complex)}, "expected real X, got dtype complex128"),
        ({"X": np.ones((23, 7))}, "expected X with 4 features .* as zeta has, got 7, 5 and 3"),
        ({"X": np.ones((22, 4))}, r"shape \(22, n_units, n_contexts\), got shape \(23, 5, 3\)"),
        ({"activations": np.ones((23, 5, 3))}, "activations of dtype bool, got float64"),
        # NumPy before 1.24 makes objects of sequences of different lengths
        ({"activations": [[True], [True, False]]}, "got (sequences of different lengths|object)"),
        ({"X": [[1.0], [1.0, 2.0]]}, "X of shape .*, got (sequences of different lengths|shape)"),
        ({"activations": np.ones((23, 5), dtype=bool)}, r"got shape \(23, 5\)"),
        ({"activations": np.ones((23, 4, 3), dtype=bool)}, "got 4, 4 and 3"),
    ],
)
def test_samples_that_do_not_fit_are_refused(changes, message):
    X, activations, zeta = random_problem()
    arguments = {"X": X, "activations": activations, "zeta": zeta, **changes}
    for function in (decision_values, unit_values):
        with pytest.raises(ValueError, match=message):
            function(**arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: accumulate(np.ones((3, 2)), np.ones((3, 1, 1), dtype=bool), [1.0, 2.0]),
            r"expected coef of shape \(3,\), got shape \(2,\)",
        ),
        (
            lambda: from_free_predictors(np.ones((4, 1)), 2, 2),
            r"expected free of shape \(3, n_features\), got shape \(4, 1\)",
        ),
        (lambda: from_free_predictors(np.ones((1, 1)), 0, 2), "got n_units=0, n_contexts=2"),
        (
            lambda: from_predictors(np.ones((2, 3, 1))),
            r"shape \(n_contexts,\) \* n_units \+ \(n_features,\), got shape \(2, 3, 1\)",
        ),
        (lambda: from_predictors(np.ones(3)), r"got shape \(3,\)"),
        (lambda: from_predictors([[np.nan]]), "expected finite beta"),
        (lambda: from_predictors([[1.0]], tol=-1), "expected a finite tol >= 0, got -1"),
        (lambda: from_network(np.ones((2, 1)), [1.0]), "expected w1 of shape"),
        (
            lambda: from_network(np.ones((2, 1, 1)), [1.0]),
            r"expected w2 of shape \(2,\), got shape \(1,\)",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
