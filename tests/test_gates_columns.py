"""Gates from columns: categories, bins, several side by side, and what selects the columns."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.frozen import FrozenEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from gnorm.gates import (
    CategoryGates,
    FixedGates,
    HyperplaneGates,
    JoinedGates,
    OpenGates,
    QuantileGates,
    SelectedGates,
)
from gnorm.gates.base import activations_of
from gnorm.gates.columns import column_indices


def frame():
    return pd.DataFrame(
        {
            "colour": pd.Categorical(
                ["red", "blue", "red", "green", "blue", "red"], ["red", "green", "blue"]
            ),
            "shape": ["long", "round", None, "long", "long", "round"],
            "sold": [True, False, True, True, False, False],
            "size": [3, 1, 2, 3, 1, 1],
            "price": [1.5, 2.5, np.nan, 3.5, 0.5, 9.0],
        }
    )


@pytest.mark.parametrize(
    "gates",
    [
        CategoryGates(["shape", "size"], handle_unknown="shared"),
        QuantileGates(["size", "price"], n_bins=2),
        OpenGates(),
        JoinedGates([OpenGates(), (QuantileGates(n_bins=3), ["price"]), CategoryGates(["colour"])]),
        SelectedGates(JoinedGates([OpenGates(), CategoryGates(["colour", "sold"])]), [2, 0]),
        SelectedGates(FrozenEstimator(CategoryGates(["shape", "size"]).fit(frame())), [1]),
    ],
)
def test_open_contexts_are_the_activations(gates):
    table = frame()
    gates = clone(gates).fit(table)
    table.loc[0, "shape"] = "unseen"
    found = gates.open_contexts(table)
    activations = gates.transform(table)
    assert isinstance(activations, np.ndarray)
    assert found.shape == activations.shape
    assert_array_equal(np.asarray(found), activations)


def test_gates_that_open_several_contexts_tell_no_open_ones():
    X = np.arange(12.0).reshape(4, 3)
    joined = JoinedGates([OpenGates(), HyperplaneGates(2, random_state=0)])
    assert not hasattr(joined, "open_contexts")  # not before it is fitted either
    for gates in (joined, SelectedGates(joined, [0]), HyperplaneGates(2, random_state=0)):
        assert not hasattr(gates.fit(X), "open_contexts")


class ToldAsArray(OpenGates):
    """Gates of others, with a method of that name that tells something else."""

    def open_contexts(self, X):
        return np.asarray(super().transform(X))


@pytest.mark.parametrize(
    "gates", [JoinedGates([ToldAsArray(), OpenGates()]), SelectedGates(ToldAsArray(), [0])]
)
def test_open_contexts_of_others_are_checked(gates):
    with pytest.raises(
        TypeError, match="expected OpenContexts from open_contexts of ToldAsArray, got ndarray"
    ):
        gates.fit(np.zeros((3, 1))).open_contexts(np.zeros((3, 1)))


def test_activations_that_a_subclass_changes_are_those_that_are_taken():
    class Merged(CategoryGates):
        def transform(self, X):
            activations = super().transform(X)
            activations[:, 0, 0] |= activations[:, 0, 1]
            activations[:, 0, 1] = False
            return activations

    table = frame()
    gates = Merged(["shape"]).fit(table)
    for each in (
        gates,
        JoinedGates([Merged(["shape"])]),
        SelectedGates(FrozenEstimator(gates), [0]),
    ):
        assert_array_equal(activations_of(each.fit(table), table), gates.transform(table))


def first_is_positive(X):
    return (X[:, :1] > 0)[:, :, None] == np.array([False, True])


@parametrize_with_checks(
    [
        CategoryGates(),
        CategoryGates(handle_unknown="context", max_levels=3),
        QuantileGates(),
        OpenGates(),
        JoinedGates([CategoryGates(), QuantileGates(n_bins=2)]),
        JoinedGates(
            [(HyperplaneGates(3, random_state=0), [0]), HyperplaneGates(2, 4, random_state=1)]
        ),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


ALL = [
    CategoryGates(["colour", "shape", "sold", "size"]),
    QuantileGates(["size", "price"]),
    JoinedGates([CategoryGates(["colour"]), (QuantileGates(n_bins=2), ["size"])]),
    JoinedGates([OpenGates(), CategoryGates(["colour"])]),
]


@pytest.mark.parametrize("gates", ALL)
def test_clone_pickle_and_set_output(gates):
    X = frame()
    fitted = clone(gates).fit(X)
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.transform(X), fitted.transform(X))
    assert list(again.get_feature_names_out()) == list(fitted.get_feature_names_out())
    assert not hasattr(gates, "set_output")
    with sklearn.config_context(transform_output="pandas"):
        assert type(clone(gates).fit_transform(X)) is np.ndarray


@pytest.mark.parametrize("gates", ALL)
def test_column_names_are_those_of_fit(gates):
    X = frame()
    fitted = clone(gates).fit(X)
    assert list(fitted.feature_names_in_) == list(X.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.transform(X.rename(columns={"colour": "color"}))


@pytest.mark.parametrize("gates", ALL)
def test_every_sample_of_fit_has_one_context_on(gates):
    activations = clone(gates).fit_transform(frame())
    assert np.all(activations.sum(axis=2) == 1)


@pytest.mark.parametrize("gates", ALL)
@settings(max_examples=30)
@given(weights=st.lists(st.integers(0, 3), min_size=6, max_size=6).filter(any), data=st.data())
def test_weights_are_copies_in_any_order(gates, weights, data):
    X = frame()
    copies = np.repeat(np.arange(6), weights)
    order = data.draw(st.permutations(copies.tolist()))
    weighted = clone(gates).fit(X, sample_weight=weights)
    copied = clone(gates).fit(X.iloc[order])
    assert [list(names) for names in weighted.context_names_] == [
        list(names) for names in copied.context_names_
    ]
    assert np.array_equal(weighted.transform(X), copied.transform(X))


# ------------------------------------------------------------------------------------- categories


def test_each_level_is_a_context():
    gates = CategoryGates().fit(frame())
    assert list(gates.get_feature_names_out()) == ["colour", "shape", "sold", "size"]
    assert [list(names) for names in gates.context_names_] == [
        ["red", "green", "blue"],  # in the order of the categories
        ["long", "round", "missing"],
        ["False", "True"],
        ["1", "2", "3"],
    ]
    codes = gates.transform(frame()).argmax(axis=2)
    assert codes.T.tolist() == [
        [0, 2, 0, 1, 2, 0],
        [0, 1, 2, 0, 0, 1],
        [1, 0, 1, 1, 0, 0],
        [2, 0, 1, 2, 0, 0],
    ]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_kinds_of_missing_values_are_one_level(missing):
    values = np.array(["a", missing, "b", None, float("nan")], dtype=object)
    gates = CategoryGates().fit(values[:, None])
    assert list(gates.context_names_[0]) == ["a", "b", "missing"]
    assert gates.transform(values[:, None])[:, 0].argmax(axis=1).tolist() == [0, 2, 1, 2, 2]


@pytest.mark.parametrize(
    "dtype", ["object", "string", "category", pytest.param("Int64", id="nullable")]
)
def test_kinds_of_columns_have_the_same_contexts(dtype):
    values = pd.Series(["2", "1", None, "2"]) if dtype != "Int64" else pd.Series([2, 1, None, 2])
    X = pd.DataFrame({"a": values.astype(dtype)})
    gates = CategoryGates().fit(X)
    assert list(gates.context_names_[0]) == ["1", "2", "missing"]
    assert gates.transform(X)[:, 0].argmax(axis=1).tolist() == [1, 0, 2, 1]


def test_codes_that_became_floats_are_left_out_aloud():
    X = pd.DataFrame({"a": list("xyxy"), "code": [0.0, 1.0, np.nan, 1.0], "u": [0.5, np.nan, 1, 2]})
    with pytest.warns(UserWarning, match=r"\['code'\] are left out"):
        gates = CategoryGates().fit(X)
    assert_array_equal(gates.columns_, [0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_array_equal(CategoryGates(["a", "code"]).fit(X).columns_, [0, 1])
        assert_array_equal(CategoryGates().fit(X.astype({"code": "Int64"})).columns_, [0, 1])
        assert_array_equal(CategoryGates().fit(X[["a", "u"]]).columns_, [0])


def test_codes_that_became_floats_keep_their_level():
    gates = CategoryGates(["a"]).fit(pd.DataFrame({"a": [1, 2, 3]}))
    later = pd.DataFrame({"a": [3.0, np.nan, 1.0]})
    assert gates.transform(later)[:, 0].astype(int).tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_unknown_levels():
    X, later = np.array([["a"], ["b"]]), np.array([["c"], ["b"]])
    shared = CategoryGates().fit(X)
    assert shared.is_shared_.tolist() == [True]
    assert shared.transform(later)[:, 0].astype(int).tolist() == [[0, 0], [0, 1]]
    own = CategoryGates(handle_unknown="context").fit(X)
    assert own.is_shared_.tolist() == [False]
    assert own.transform(later)[:, 0].astype(int).tolist() == [[0, 0, 1], [0, 1, 0]]
    strict = CategoryGates(handle_unknown="error").fit(X)
    with pytest.raises(ValueError, match="seen by fit in column x0, got 1 others"):
        strict.transform(later)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"min_frequency": 2}, ["a", "b", "other"]),
        ({"min_frequency": 0.3}, ["a", "other"]),
        ({"max_levels": 3}, ["a", "b", "other"]),
        ({"max_levels": 4}, ["a", "b", "c", "d"]),
        ({"max_levels": 4, "handle_unknown": "context"}, ["a", "b", "d", "other"]),
        ({"max_levels": 2, "min_frequency": 1}, ["a", "other"]),
        ({"min_frequency": 100}, ["other"]),
    ],
)
def test_rare_levels_share_a_context(options, names):
    X = np.array(list("aaaabbcd"))[:, None]
    gates = CategoryGates(**options).fit(X)
    assert list(gates.context_names_[0]) == names
    codes = gates.transform(X)[:, 0].argmax(axis=1)
    own = {level: c for c, level in enumerate(names)}
    assert codes.tolist() == [own.get(level, own.get("other")) for level in X.ravel()]


def test_thousands_of_levels():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(3000, size=5000), rng.integers(2, size=5000)])
    gates = CategoryGates().fit(X)
    activations = gates.transform(X)
    assert activations.shape[2] == len(np.unique(X[:, 0]))
    assert [len(names) for names in gates.context_names_] == [activations.shape[2], 2]
    assert CategoryGates(max_levels=20).fit_transform(X).shape == (5000, 2, 20)


def test_column_of_one_level_is_always_on():
    assert CategoryGates().fit_transform(np.ones((4, 1))).tolist() == [[[True]]] * 4


@pytest.mark.parametrize(
    ("gates", "error", "sentence"),
    [
        (CategoryGates(max_levels=1), ValueError, "max_levels must be an int >= 2 or None, got 1"),
        (CategoryGates(min_frequency=1.5), ValueError, "min_frequency must be .*, got 1.5"),
        (CategoryGates(min_frequency=True), ValueError, "min_frequency must be .*, got True"),
        (CategoryGates(handle_unknown="mean"), ValueError, "handle_unknown must be .* 'mean'"),
        (CategoryGates(handle_unknown=np.ones(2)), ValueError, "handle_unknown must be one of"),
        (CategoryGates([]), ValueError, "columns must select at least one column"),
        (CategoryGates(["a"]), ValueError, "columns must be positions where X has no names"),
        (CategoryGates([7]), ValueError, "columns must be below 2 as X has columns, got 7"),
        (CategoryGates([0, -2]), ValueError, "columns must name each column once"),
        (CategoryGates(1.0), TypeError, "columns must be names, positions, .* got 1.0"),
        (QuantileGates(n_bins=0), ValueError, "n_bins == 0, must be >= 1"),
        (QuantileGates(handle_unknown="context"), ValueError, "handle_unknown must be one of"),
        (JoinedGates([]), ValueError, "gates must be a list of at least one, got"),
        (JoinedGates([3]), TypeError, "gates must have fit and transform, got 3"),
    ],
)
def test_parameters_are_checked_by_fit(gates, error, sentence):
    with pytest.raises(error, match=sentence):
        gates.fit(np.arange(8.0).reshape(4, 2))


def test_malformed_levels_and_empty_frames_are_refused():
    X = pd.DataFrame({"a": [[1], [2]]})
    with pytest.raises(TypeError, match="must be a string, a number or None, got list"):
        CategoryGates().fit(X)
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        CategoryGates().fit(X[:0])
    with pytest.raises(TypeError, match="Sparse data was passed"):
        CategoryGates().fit(sparse.csr_matrix(np.eye(3)))


# ------------------------------------------------------------------------------------------- bins


@given(
    values=st.lists(st.integers(-5, 5), min_size=1, max_size=30),
    n_bins=st.integers(1, 6),
)
def test_bins_are_between_quantiles(values, n_bins):
    X = np.array(values, dtype=float)[:, None]
    gates = QuantileGates(n_bins=n_bins).fit(X)
    codes = gates.transform(X)[:, 0].argmax(axis=1)
    (edges,) = gates.edges_
    assert len(edges) < n_bins
    assert codes.tolist() == [int(np.sum(edges <= x)) for x in X[:, 0]]
    assert set(codes) == set(range(len(edges) + 1))  # no bin is empty
    assert set(edges) <= set(np.quantile(X, np.arange(1, n_bins) / n_bins, method="inverted_cdf"))


def test_names_of_bins_and_missing_numbers():
    X = frame()[["price"]]
    gates = QuantileGates(n_bins=3).fit(X)
    assert list(gates.context_names_[0]) == ["< 1.5", "[1.5, 3.5)", ">= 3.5", "missing"]
    later = pd.DataFrame({"price": [np.nan, -100.0, 100.0]})
    assert gates.transform(later)[:, 0].argmax(axis=1).tolist() == [3, 0, 2]
    without = QuantileGates(n_bins=3).fit(X.dropna())
    assert not without.transform(later)[0].any()
    assert without.is_shared_.tolist() == [True]
    with pytest.raises(ValueError, match="others \\(handle_unknown='error'\\)"):
        QuantileGates(handle_unknown="error").fit(X.dropna()).transform(later)
    with pytest.raises(ValueError, match="finite numbers or NaN in the columns"):
        gates.transform(pd.DataFrame({"price": [np.inf]}))
    with pytest.raises(ValueError, match=r"numbers in column price: could not convert .* 'high'"):
        gates.transform(pd.DataFrame({"price": ["high"]}))
    with pytest.raises(ValueError, match="numbers in column price: Complex data not supported"):
        gates.transform(pd.DataFrame({"price": [1j]}))


# ----------------------------------------------------------------------------------- side by side


def test_units_side_by_side():
    X = frame()
    gates = JoinedGates(
        [
            CategoryGates(["colour"]),
            (HyperplaneGates(2, 4, random_state=0), ["size", "sold"]),
            (FixedGates(first_is_positive), ["size"]),
            CategoryGates(["colour"], max_levels=2),
        ]
    ).fit(X)
    activations = gates.transform(X)
    assert activations.shape == (6, 5, 4)
    assert np.array_equal(activations[:, :1, :3], CategoryGates(["colour"]).fit_transform(X))
    inner = HyperplaneGates(2, 4, random_state=0).fit_transform(X[["size", "sold"]])
    assert np.array_equal(activations[:, 1:3], inner)
    assert gates.is_shared_.tolist() == [True, False, False, False, True]
    assert [len(names) for names in gates.context_names_] == [3, 4, 4, 2, 2]
    assert list(gates.get_feature_names_out()) == [
        "colour_0",
        "hyperplanegates0",
        "hyperplanegates1",
        "fixedgates0",
        "colour_1",
    ]


def test_joined_gates_know_what_their_parts_take():
    X = sparse.csr_array(np.random.default_rng(0).normal(size=(20, 3)))
    joined = JoinedGates([HyperplaneGates(2, random_state=0), (HyperplaneGates(3), [1, 2])])
    assert joined.fit_transform(X).shape == (20, 5, 2)
    with pytest.raises(TypeError, match="Sparse data was passed"):
        JoinedGates([HyperplaneGates(2), CategoryGates()]).fit(X)


# --------------------------------------------------------------------------------------- selectors


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("size", [3]),
        (["price", "colour"], [4, 0]),
        (slice("shape", "size"), [1, 2, 3]),
        (slice(None, 2), [0, 1]),
        (-1, [4]),
        ([0, 2], [0, 2]),
        (np.array([True, False, False, False, True]), [0, 4]),
        (make_column_selector(dtype_include="number"), [3, 4]),
        (lambda X: [name for name in X.columns if name.startswith("s")], [1, 2, 3]),
        (pd.Index(["size"]), [3]),
    ],
)
def test_selectors(selector, expected):
    assert column_indices(frame(), selector).tolist() == expected


@pytest.mark.parametrize(
    ("selector", "error", "sentence"),
    [
        ("weight", ValueError, "among the columns of X once, got 'weight', which is there 0"),
        ([True, False], ValueError, "a mask of 5 columns as X has, got 2"),
        ([1.5], TypeError, "names or positions, got 1.5"),
        (None, TypeError, "segment must be names, positions, a slice, .* got None"),
    ],
)
def test_selectors_are_checked(selector, error, sentence):
    with pytest.raises(error, match=sentence):
        column_indices(frame(), selector, "segment")


def test_a_name_beside_joined_gates_is_not_for_columns():
    gates = JoinedGates([("levels", CategoryGates())])
    with pytest.raises(TypeError, match=r"got 'levels'; a tuple is \(gates, columns\), without"):
        gates.fit([["a"], ["b"]])


@pytest.mark.parametrize("kind", ["datetime64[ns]", "timedelta64[s]"])
def test_dates_are_no_numbers(kind):
    table = pd.DataFrame({"when": np.arange(4).astype(kind)})
    for X in (table, table.to_numpy()):
        with pytest.raises(
            ValueError, match=r"expected numbers in column .*: dates are no numbers"
        ):
            QuantileGates([0]).fit(X)


def test_values_that_compare_equal_are_one_level():
    gates = CategoryGates().fit(np.array([[True], [1], [1.0], [0]], dtype=object))
    assert [list(names) for names in gates.context_names_] == [["0", "True"]]
    assert_array_equal(gates.transform([[1]]), gates.transform([[True]]))
