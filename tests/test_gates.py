import copy
import pickle
import warnings
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    parametrize_with_checks,
)

from gnorm.gates import FixedGates, HyperplaneGates, ReLUGates


@dataclass(frozen=True)
class SignOfFirstFeature:
    """One unit with two contexts: the first feature is negative or not.

    A class, since a function is shown with its address, and a test's name must not change.
    """

    def __call__(self, X):
        first = X[:, [0]].toarray() if sparse.issparse(X) else X[:, [0]]
        return (first >= 0)[:, :, None] == np.array([False, True])


sign_of_first_feature = SignOfFirstFeature()


def normal(n_samples, n_features, seed=0):
    return np.random.default_rng(seed).normal(size=(n_samples, n_features))


# ------------------------------------------------------------------------- scikit-learn's checks


# Every check applies: none of them needs the output of a transformer to have two axes.
@parametrize_with_checks(
    [
        HyperplaneGates(n_units=5, n_contexts=4),
        HyperplaneGates(n_units=5, n_contexts=1),
        HyperplaneGates(n_units=5, cutoff="random"),
        ReLUGates(n_units=5),
        ReLUGates(n_units=5, cutoff="zero", always_open=False),
        FixedGates(sign_of_first_feature),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# The generator of checks leaves this one out.
@pytest.mark.parametrize("gates", [HyperplaneGates(5), ReLUGates(5)])
def test_column_names(gates):
    check_dataframe_column_names_consistency(type(gates).__name__, gates)


@pytest.mark.parametrize("gates", [HyperplaneGates(5), ReLUGates(5)])
def test_pandas_output_never_wraps_three_axes(gates):
    assert not hasattr(gates, "set_output")
    X = pd.DataFrame(normal(20, 3), columns=["a", "b", "c"])
    with sklearn.config_context(transform_output="pandas"):
        activations = gates.fit_transform(X)
    assert type(activations) is np.ndarray
    assert activations.ndim == 3
    assert list(gates.feature_names_in_) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "gates",
    [HyperplaneGates(5, 4, random_state=0), ReLUGates(weights=np.eye(3), thresholds=np.ones(3))],
)
def test_clone_and_pickle(gates):
    X = normal(20, 3)
    fitted = clone(gates).fit(X)
    assert repr(fitted.get_params()) == repr(gates.get_params())
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).transform(X), fitted.transform(X))


@pytest.mark.parametrize(
    "gates", [HyperplaneGates(), ReLUGates(), FixedGates(sign_of_first_feature)]
)
def test_transform_before_fit_is_refused(gates):
    with pytest.raises(NotFittedError):
        gates.transform(normal(5, 2))


# ------------------------------------------------------------------------------- the definitions


def test_first_hyperplane_is_the_high_bit():
    X = normal(200, 4)
    gates = HyperplaneGates(n_units=6, n_contexts=8, random_state=0).fit(X)
    assert gates.hyperplanes_.shape == (6, 3, 4)
    assert gates.cutoffs_.shape == (6, 3)
    new = normal(100, 4, seed=1)
    high, middle, low = (
        new @ gates.hyperplanes_[:, j].T - gates.cutoffs_[:, j] >= 0 for j in range(3)
    )
    assert np.array_equal(gates.transform(new).argmax(axis=2), 4 * high + 2 * middle + low)


@pytest.mark.parametrize("n_contexts", [1, 2, 4, 8])
@pytest.mark.parametrize("cutoff", ["median", "random", "zero"])
def test_one_context_on_per_unit(n_contexts, cutoff):
    gates = HyperplaneGates(7, n_contexts, cutoff=cutoff, random_state=0)
    activations = gates.fit_transform(normal(50, 3))
    assert activations.shape == (50, 7, n_contexts)
    assert activations.dtype == bool
    assert (activations.sum(axis=2) == 1).all()


@pytest.mark.parametrize("n_samples", [1, 2, 30, 31])
def test_median_is_the_inverted_cdf_in_exact_arithmetic(n_samples):
    X = normal(n_samples, 6)
    weights = np.random.default_rng(1).integers(1, 4, n_samples)
    gates = ReLUGates(8, always_open=False, random_state=0).fit(X, sample_weight=weights)
    activations = gates.transform(X)[:, :, 0]
    for hyperplane, is_open in zip(gates.hyperplanes_, activations.T, strict=True):
        exact = [
            sum(Fraction(w) * Fraction(x) for w, x in zip(hyperplane, row, strict=True))
            for row in X
        ]
        copies = sorted(np.repeat(np.array(exact, dtype=object), weights))
        median = copies[(len(copies) + 1) // 2 - 1]
        assert [value >= median for value in exact] == is_open.tolist()


def test_median_halves_the_weight():
    X = normal(101, 5)
    weights = np.random.default_rng(1).integers(0, 5, 101)
    is_open = ReLUGates(20, always_open=False, random_state=0).fit(X, None, weights).transform(X)
    above = weights @ is_open[:, :, 0]
    assert (above >= weights.sum() / 2).all()
    assert (above <= weights.sum() / 2 + weights.max()).all()


@pytest.mark.parametrize("directions", ["normal", "differences"])
def test_weights_whose_sum_overflows(directions):
    X = normal(101, 5)
    weights = np.random.default_rng(1).integers(0, 5, 101).astype(float)
    gates = HyperplaneGates(20, directions=directions, random_state=0)
    expected = gates.fit(X, None, weights).cutoffs_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gates.fit(X, None, 2.0**1020 * weights).cutoffs_
    assert found.tolist() == expected.tolist()


def test_cutoff_zero_and_random():
    X = normal(20, 3)
    assert not HyperplaneGates(5, cutoff="zero", random_state=0).fit(X).cutoffs_.any()
    gates = HyperplaneGates(3000, cutoff="random", scale=2.0, cutoff_scale=5.0, random_state=0)
    gates.fit(X)
    assert gates.cutoffs_.std() == pytest.approx(5.0, rel=0.05)
    assert gates.hyperplanes_.std() == pytest.approx(2.0, rel=0.05)
    assert np.array_equal(gates.cutoffs_, clone(gates).fit(X + 1).cutoffs_)


@pytest.mark.parametrize("cutoff", ["median", "random", "zero"])
def test_relu_gates_are_the_second_context_of_hyperplane_gates(cutoff):
    X = normal(60, 4)
    activations = HyperplaneGates(9, 2, cutoff=cutoff, random_state=3).fit_transform(X)
    is_open = ReLUGates(9, cutoff=cutoff, random_state=3).fit_transform(X)
    assert is_open.shape == (60, 10, 1)
    assert np.array_equal(is_open[:, :9, 0], activations[:, :, 1])
    assert is_open[:, 9].all()


def test_relu_gates_of_a_trained_network():
    rng = np.random.default_rng(0)
    weights, biases, X = rng.normal(size=(6, 4)), rng.normal(size=6), rng.normal(size=(50, 4))
    gates = ReLUGates(weights=weights, thresholds=-biases, always_open=False).fit(X)
    hidden = np.maximum(0, X @ weights.T + biases)
    assert np.array_equal(gates.transform(X)[:, :, 0], hidden > 0)
    weights[:] = 0
    assert np.array_equal(gates.transform(X)[:, :, 0], hidden > 0)


def test_relu_gates_without_thresholds_are_open_at_the_kink():
    gates = ReLUGates(weights=[[1.0, -1.0]], always_open=False).fit(np.zeros((1, 2)))
    assert gates.transform([[0, 0], [1, 1], [1, 2], [2, 1]]).ravel().tolist() == [1, 1, 0, 1]


def test_scale_does_not_matter_for_the_median():
    X = normal(50, 3)
    narrow = HyperplaneGates(scale=1.0, random_state=0).fit_transform(X)
    assert np.array_equal(narrow, HyperplaneGates(scale=32.0, random_state=0).fit_transform(X))


def test_random_state():
    X = normal(50, 3)
    first = HyperplaneGates(random_state=0).fit_transform(X)
    assert np.array_equal(first, HyperplaneGates(random_state=0).fit_transform(X))
    rng = np.random.RandomState(0)
    assert np.array_equal(first, HyperplaneGates(random_state=rng).fit_transform(X))
    assert not np.array_equal(first, HyperplaneGates(random_state=rng).fit_transform(X))
    assert not np.array_equal(first, HyperplaneGates(random_state=1).fit_transform(X))


@pytest.mark.parametrize("gates", [HyperplaneGates(random_state=0), ReLUGates(random_state=0)])
def test_labels_do_not_matter(gates):
    X = normal(30, 3)
    labels = np.arange(30) % 2
    assert np.array_equal(clone(gates).fit(X, labels).cutoffs_, clone(gates).fit(X).cutoffs_)


# ------------------------------------------------- weights, copies, order, storage: bit for bit

# Ties of all kinds: small integers give equal rows, rows of zeros and constant features; tenths
# are not exact in binary, so that equal values reached in different orders round differently.
TIED_SAMPLES = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 25), st.integers(1, 9)),
    elements=st.sampled_from([-1.0, 0.0, 0.0, 0.1, 0.3, 2.0]),
)


def same_cutoffs(gates, *fits):
    fitted = [clone(gates).fit(X, sample_weight=weights) for X, weights in fits]
    return all(np.array_equal(fitted[0].cutoffs_, other.cutoffs_) for other in fitted[1:])


@settings(deadline=None)
@given(X=TIED_SAMPLES, data=st.data())
def test_weights_are_copies_in_any_order(X, data):
    n_samples = len(X)
    weights = np.array(
        data.draw(st.lists(st.integers(0, 3), min_size=n_samples, max_size=n_samples).filter(any))
    )
    copies = np.repeat(X, weights, axis=0)
    order = data.draw(st.permutations(range(len(copies))))
    assert same_cutoffs(
        HyperplaneGates(4, 4, random_state=0),
        (X, weights),
        (X, 0.1 * weights),
        (X[weights > 0], weights[weights > 0]),
        (sparse.csr_array(X), weights),
        (copies, None),
        (copies[order], None),
        (sparse.csr_array(copies[order]), None),
    )


@settings(deadline=None)
@given(X=TIED_SAMPLES, cutoff=st.sampled_from(["median", "zero"]))
def test_activations_belong_to_the_sample_alone(X, cutoff):
    gates = HyperplaneGates(4, 4, cutoff=cutoff, random_state=0).fit(X)
    activations = gates.transform(X)
    assert np.array_equal(activations[::-1], gates.transform(X[::-1]))
    assert np.array_equal(activations, np.concatenate([gates.transform(x[None]) for x in X]))
    assert np.array_equal(activations, gates.transform(sparse.csr_array(X)))
    if cutoff == "median":
        bits = ReLUGates(4, always_open=False, random_state=0).fit_transform(X)
        assert (bits.mean(axis=0) >= 0.5).all()


# Here the matrix product itself rounds one row in several ways, and each of the 200 hyperplanes
# passes through a sample.
@pytest.mark.parametrize("gates", [HyperplaneGates(100, 4), ReLUGates(200)])
def test_rounding_of_the_matrix_product_does_not_matter(gates):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(301, 785)) * rng.lognormal(size=785)
    X[rng.random(X.shape) < 0.3] = 0
    weights = rng.integers(0, 3, 301)
    copies = np.repeat(X, weights, axis=0)
    order = rng.permutation(len(copies))
    gates.set_params(random_state=0)
    assert same_cutoffs(
        gates, (X, weights), (copies[order], None), (sparse.csr_matrix(copies), None)
    )
    gates.fit(X, sample_weight=weights)
    activations = gates.transform(X)
    assert np.array_equal(activations, np.concatenate([gates.transform(x[None]) for x in X]))
    assert np.array_equal(activations[7:90], gates.transform(X[7:90]))
    assert np.array_equal(activations, gates.transform(np.asfortranarray(X)))
    assert np.array_equal(activations, gates.transform(sparse.csr_matrix(X)))


@pytest.mark.parametrize("X", [np.ones((40, 30)) / 3, np.zeros((40, 3))])
def test_constant_samples_are_on_the_upper_side(X):
    gates = HyperplaneGates(20, 4, random_state=0).fit(X)
    for batch in (X, X[:1], sparse.csr_array(X)):
        assert gates.transform(batch)[:, :, 3].all()


def test_kinks_of_a_trained_network_are_on_one_side_in_any_batch():
    # The products cancel, so only the order in which they are added decides on the sign.
    rng = np.random.default_rng(0)
    x = rng.normal(size=15)
    X = np.tile(np.concatenate([x, -x]), (64, 1))
    gates = ReLUGates(weights=np.ones((3, 30)) / 7, always_open=False).fit(X)
    activations = gates.transform(X)
    assert (activations == activations[0]).all()
    assert np.array_equal(activations[:1], gates.transform(X[:1]))
    assert np.array_equal(activations, gates.transform(sparse.csr_array(X)))


def test_csr_with_duplicates_and_unsorted_indices():
    dense = np.array([[3.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
    untidy = sparse.csr_matrix(
        ([1.0, 1.0, 2.0, 0.0, 2.0], [2, 0, 0, 0, 1], [0, 3, 5]), shape=(2, 3)
    )
    assert np.array_equal(untidy.toarray(), dense)
    gates = HyperplaneGates(random_state=0).fit(untidy)
    assert np.array_equal(gates.cutoffs_, HyperplaneGates(random_state=0).fit(dense).cutoffs_)
    assert np.array_equal(gates.transform(untidy), gates.transform(dense))
    assert untidy.nnz == 5  # and the caller's matrix is left as it was


def test_float32_is_lifted_without_loss():
    X = normal(500, 50).astype(np.float32)
    gates = HyperplaneGates(random_state=0).fit(X)
    assert same_cutoffs(gates, (X, None), (X.astype(np.float64), None))
    assert np.array_equal(gates.transform(X), gates.transform(X.astype(np.float64)))


@pytest.mark.parametrize("scale_of_most", [1e-320, 1e-307, 1.0])
@pytest.mark.parametrize("scale_of_first", [1.0, 1e12])
def test_underflow_and_outliers_are_no_exception(scale_of_first, scale_of_most):
    X = normal(101, 20) * scale_of_most
    X[0] *= scale_of_first
    gates = ReLUGates(30, always_open=False, random_state=0).fit(X)
    activations = gates.transform(X)
    assert (activations.sum(axis=0) >= 51).all()
    assert np.array_equal(activations, np.concatenate([gates.transform(x[None]) for x in X]))
    assert np.array_equal(activations, gates.transform(sparse.csr_array(X)))


def test_sparse_samples_stay_sparse():
    # In dense form 80 GB.
    size = 10**5
    entries = np.random.default_rng(0).integers(size, size=(2, 1000))
    X = sparse.csr_array((np.ones(1000), entries), shape=(size, size))
    gates = HyperplaneGates(2, random_state=0)
    activations = gates.fit_transform(X)
    empty = np.diff(X.indptr) == 0
    # Most projections are 0, and so is the median: ties count as the upper side.
    assert not gates.cutoffs_.any()
    assert activations[empty, :, 1].all()


# --------------------------------------------------------------------------------- fixed gates


def test_clusters_are_gates():
    X = normal(60, 2)
    clusters = KMeans(3, n_init=1, random_state=0).fit(X)
    gates = FixedGates(lambda X: clusters.predict(X)[:, None, None] == np.arange(3))
    assert np.array_equal(gates.fit_transform(X)[:, 0].argmax(axis=1), clusters.labels_)
    assert (gates.n_units_, gates.n_contexts_) == (1, 3)


def test_trees_are_gates():
    X = normal(60, 2)
    trees = [DecisionTreeClassifier(max_depth=2).fit(X, X[:, j] > 0) for j in range(2)]

    def leaves(X):
        return np.stack([tree.apply(X) for tree in trees], axis=1)[:, :, None] == np.arange(7)

    activations = FixedGates(leaves).fit_transform(X)
    assert activations.shape == (60, 2, 7)
    assert np.array_equal(activations[:, 1].argmax(axis=1), trees[1].apply(X))


@pytest.mark.parametrize(
    ("func", "error", "sentence"),
    [
        ("sign", TypeError, "func must be callable, got 'sign'"),
        (lambda X: X > 0, ValueError, r"shape \(1, n_units, n_contexts\), got \(1, 2\)"),
        (lambda X: np.ones((9, 1, 1), bool), ValueError, r"shape \(1, n_units.*got \(9, 1, 1\)"),
        (lambda X: (X > 0)[:, None, :0], ValueError, r"got \(1, 1, 0\)"),
        (lambda X: (X > 0)[:, None] * 1.0, TypeError, "of dtype bool, got float64"),
    ],
)
def test_func_is_checked_by_fit(func, error, sentence):
    with pytest.raises(error, match=sentence):
        FixedGates(func).fit(normal(9, 2))


def test_contexts_that_depend_on_the_batch_are_refused():
    def contexts_in_the_batch(X):
        labels = (X[:, 0] > 0).astype(int)
        return np.eye(labels.max() + 1, dtype=bool)[labels][:, None]

    gates = FixedGates(contexts_in_the_batch).fit([[-1.0], [1.0]])
    with pytest.raises(ValueError, match=r"seen by fit, shape \(2, 1, 1\), got \(2, 1, 2\)"):
        gates.transform([[-1.0], [1.0]])


# -------------------------------------------------------------------------------------- refusals


def test_pickle_says_why_a_lambda_cannot_be_stored(tmp_path):
    X = normal(9, 2)
    gates = FixedGates(lambda X: X[:, :1, None] > np.array([-np.inf, 0.0])).fit(X)
    stores = (pickle.dumps, partial(joblib.dump, filename=tmp_path / "gates.joblib"))
    for store in stores:
        with pytest.raises(pickle.PicklingError, match=r"by def at the top .*, got .*<lambda> of"):
            store(gates)
    copied = copy.deepcopy(gates)  # asks for the state as pickle does, and stores no function
    assert copied.func is gates.func
    by_value = pytest.importorskip("cloudpickle").dumps(gates)  # as joblib does for its workers
    np.testing.assert_array_equal(pickle.loads(by_value).transform(X), gates.transform(X))


class Threshold:
    """A callable that holds what pickle may not store."""

    def __init__(self, above):
        self.above = above

    def __call__(self, X):
        return self.above(X)[:, None, None]

    def opened(self, X):
        return self(X)


def is_above(X, least=0.0):
    return (X[:, 0] > least)[:, None, None]


def closure(least):
    def of_column(X):
        return is_above(X, least)

    return of_column


@pytest.mark.parametrize(
    ("func", "got"),
    [
        (partial(lambda X, least: is_above(X, least), least=0.0), r"functools.partial\(.*lambda"),
        (closure(0.0), r"closure.<locals>.of_column of "),
        (Threshold(lambda X: X[:, 0] > 0), r"Threshold object.*lambda"),
        (Threshold(lambda X: X[:, 0] > 0).opened, r"Threshold.opened of .*lambda"),
    ],
)
def test_pickle_says_why_what_is_made_of_a_lambda_cannot_be_stored(func, got):
    X = normal(9, 2)
    gates = FixedGates(func).fit(X)
    with pytest.raises(pickle.PicklingError, match=rf"func that pickle can store.* got .*{got}"):
        pickle.dumps(gates)
    by_value = pytest.importorskip("cloudpickle").dumps(gates)
    np.testing.assert_array_equal(pickle.loads(by_value).transform(X), gates.transform(X))


@pytest.mark.parametrize("func", [is_above, partial(is_above, least=0.1), Threshold(bool).opened])
def test_functions_that_pickle_can_store(func):
    gates = FixedGates(func)
    stored = pickle.dumps(gates)
    assert b"Unstored" not in stored
    assert type(pickle.loads(stored).func) is type(func)


def test_errors_of_other_kinds_come_through_pickling():
    class Broken:
        def __call__(self, X):
            return is_above(X)

        def __reduce__(self):
            raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        pickle.dumps(FixedGates(Broken()))


@pytest.mark.parametrize(
    ("gates", "error", "sentence"),
    [
        (HyperplaneGates(0), ValueError, "n_units == 0, must be >= 1"),
        (HyperplaneGates(2.0), TypeError, "n_units must be an instance of .*, not"),
        (HyperplaneGates(5, 3), ValueError, "n_contexts must be a power of two, got 3"),
        (HyperplaneGates(5, 0), ValueError, "n_contexts must be a power of two, got 0"),
        (HyperplaneGates(5, -2), ValueError, "n_contexts must be a power of two, got -2"),
        (HyperplaneGates(5, "2"), TypeError, "n_contexts must be an instance of .*, not"),
        (HyperplaneGates(cutoff="mean"), ValueError, "cutoff must be one of .*, got 'mean'"),
        (HyperplaneGates(cutoff=None), ValueError, "cutoff must be one of .*, got None"),
        (HyperplaneGates(scale=0), ValueError, "scale must be positive and finite, got 0"),
        (HyperplaneGates(scale=np.nan), ValueError, "scale must be positive and finite, got nan"),
        (HyperplaneGates(scale="1"), TypeError, "scale must be an instance of .*, not"),
        (HyperplaneGates(cutoff_scale=-9.0), ValueError, "cutoff_scale must be positive"),
        (HyperplaneGates(random_state="0"), ValueError, "'0' cannot be used to seed"),
        (ReLUGates(0), ValueError, "n_units == 0, must be >= 1"),
        (ReLUGates(cutoff="mean"), ValueError, "cutoff must be one of .*, got 'mean'"),
        (ReLUGates(always_open=1), TypeError, "always_open must be an instance of .*, not"),
        (ReLUGates(thresholds=[0.0]), ValueError, "thresholds must come with weights, got"),
        (ReLUGates(weights=np.eye(3)), ValueError, "weights must have 2 features as X, got 3"),
        (ReLUGates(weights=np.ones(2)), ValueError, "Expected 2D array, got 1D array"),
        (ReLUGates(weights=[[np.nan, 0.0]]), ValueError, "Input weights contains NaN"),
        (
            ReLUGates(weights=np.eye(2), thresholds=np.ones(3)),
            ValueError,
            r"thresholds must have shape \(2,\), got \(3,\)",
        ),
        (
            ReLUGates(weights=np.eye(2), thresholds=[0.0, np.inf]),
            ValueError,
            "Input thresholds contains infinity",
        ),
    ],
)
def test_parameters_are_checked_by_fit(gates, error, sentence):
    with pytest.raises(error, match=sentence):
        gates.fit(normal(9, 2))


@pytest.mark.parametrize(
    ("sample_weight", "sentence"),
    [
        (np.ones(8), r"sample_weight must have shape \(9,\), got \(8,\)"),
        (np.ones((9, 1)), r"sample_weight must have shape \(9,\), got \(9, 1\)"),
        (-np.ones(9), "sample_weight must be non-negative, got -1.0"),
        (np.zeros(9), "sample_weight must have a positive entry, got only zeros"),
        (np.full(9, np.nan), "Input sample_weight contains NaN"),
    ],
)
@pytest.mark.parametrize(
    "gates", [HyperplaneGates(), ReLUGates(weights=np.eye(2)), FixedGates(sign_of_first_feature)]
)
def test_sample_weight_is_checked_by_fit(gates, sample_weight, sentence):
    with pytest.raises(ValueError, match=sentence):
        gates.fit(normal(9, 2), sample_weight=sample_weight)


def test_overflow_is_refused():
    X = np.full((3, 2), 1e307)
    with pytest.raises(ValueError, match=r"to be finite in float64, got .* value 1e\+307"):
        HyperplaneGates(random_state=0).fit(X)
    gates = HyperplaneGates(random_state=0).fit(X / 1e300)
    with pytest.raises(ValueError, match="to be finite in float64"):
        gates.transform(-X)
