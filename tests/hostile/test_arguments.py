"""Arguments that make no sense are refused in a sentence that says what was expected and got."""

import re

import cvxpy as cp
import numpy as np
import pytest
from scipy import sparse

import gnorm
from gnorm import gated, kernels, losses, norms

rng = np.random.default_rng(0)
N = 30
X = rng.normal(size=(N, 3))
Y = np.where(X[:, 0] > 0, 1, -1)
GATES = gnorm.HyperplaneGates(3, random_state=0).fit_transform(X)
ZETA = rng.normal(size=(3, 2, 3))
NUMBERS = ["a", None, 1j, np.nan, cp.Parameter(), cp.Parameter(value=1.0), [1.0, [2.0]]]
ARRAYS = [
    "a",
    ["a"] * N,
    [None] * N,
    np.ones(N) * (1 + 1j),
    np.full(N, np.nan),
    cp.Parameter(N),
    [1.0, [2.0, 3.0]],
    sparse.csr_matrix(np.ones((N, 1))),
]


def refused(name, function, *args, **options):
    """The message is in the words of this package, and names the argument."""
    with pytest.raises((ValueError, TypeError)) as info:
        function(*args, **options)
    message = str(info.value)
    assert re.search(r"expected|must|contains", message), message
    assert name in message, message


@pytest.fixture(params=["solve", "max_margin", "path"])
def engine(request):
    function = {"path": gnorm.gln_norm_path}.get(request.param) or getattr(gnorm, request.param)
    return lambda **options: function(X, Y, GATES, **options)


@pytest.mark.parametrize("value", [*NUMBERS, True, -1.0], ids=repr)
@pytest.mark.parametrize("name", ["tol", "memory_limit"])
def test_options_that_are_no_positive_numbers(engine, name, value):
    if name == "memory_limit" and value is None:
        return  # the default
    refused(name, engine, **{name: value})


@pytest.mark.parametrize("value", ["a", 1.5, np.nan, True, 0, 1j], ids=repr)
def test_max_iter_that_is_no_count(engine, value):
    refused("max_iter", engine, max_iter=value)


@pytest.mark.parametrize("value", ARRAYS, ids=lambda value: type(value).__name__)
def test_sample_weight(engine, value):
    refused("sample_weight", engine, sample_weight=value)


@pytest.mark.parametrize("value", [*NUMBERS, *ARRAYS, 0.0], ids=lambda value: type(value).__name__)
def test_C(value):
    refused("C", gnorm.solve, X, Y, GATES, C=value)
    refused("C", gnorm.GLNNormSVC(3, C=value).fit, X, Y)


@pytest.mark.parametrize(
    "value",
    ["a", ["a"] * 3, [None] * 3, np.ones(3) * (1 + 1j), cp.Parameter(3), [1.0, [2.0]], 1.0],
    ids=lambda value: type(value).__name__,
)
def test_unit_weights(value):
    refused("unit_weights", gnorm.solve, X, Y, GATES, unit_weights=value)
    refused("unit_weights", norms.GroupNorm, unit_weights=value)
    refused("unit_weights", norms.GLN, unit_weights=value)


@pytest.mark.parametrize("value", ["a", ["a"], [None], [1j], [np.nan], [], [1.0, [2.0]]], ids=repr)
def test_Cs(value):
    refused("Cs", gnorm.gln_norm_path, X, Y, GATES, Cs=value)
    refused("Cs", gnorm.GLNNormSVCCV(3, Cs=value).fit, X, Y)


@pytest.mark.parametrize("value", ["a", None, 1j, np.nan, 2.0], ids=repr)
def test_eps(value):
    refused("eps", gnorm.gln_norm_path, X, Y, GATES, eps=value)


@pytest.mark.parametrize("value", [None, 1, ("a",), 1.5], ids=repr)
@pytest.mark.parametrize("name", ["GLNNormSVC", "GLNNormClassifier", "GLNNormSVCCV"])
def test_a_label_of_another_kind_among_strings(name, value):
    labels = np.where(Y > 0, "a", "b").astype(object)
    labels[1] = value
    refused("labels", getattr(gnorm, name)(3).fit, X, labels)


@pytest.mark.parametrize("value", [None, "a"], ids=repr)
def test_a_label_that_is_no_number_among_numbers(value):
    refused("labels", gnorm.GLNNormSVC(3).fit, X, np.array([value, *Y[1:]], dtype=object))
    refused("labels", gnorm.solve, X, np.array([value, *Y[1:]], dtype=object), GATES)


@pytest.mark.parametrize(
    "value", [[None] * N, ["a"] * N, [1.0] * (N - 1) + [None], [[1, 2]] * (N - 1) + [[1]]]
)
def test_targets_that_are_no_numbers(value):
    refused("y", gnorm.GLNNormRegressor(3).fit, X, value)


@pytest.mark.parametrize("value", ["a", 1.5, 0], ids=repr)
def test_n_jobs(value):
    model = gnorm.GLNNormSVC(3, n_jobs=value)
    refused("n_jobs", model.fit, X, np.arange(N) % 3)


@pytest.mark.parametrize(
    "split",
    [
        (np.arange(20), [40]),
        ([0, 1, 40], [3]),
        (np.arange(20), [-31]),
        ([0.5, 1.0], [2.0]),
        (["a"], ["b"]),
        (None, None),
        (np.arange(20),),
        7,
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["GLNNormSVCCV", "GLNNormRegressorCV"])
def test_splits(name, split):
    y = X[:, 0] if "Regressor" in name else Y
    refused("split", getattr(gnorm, name)(3, cv=[split]).fit, X, y)


def test_splits_by_masks_and_from_the_end_are_taken():
    is_test = np.arange(N) % 3 == 0
    by_mask = gnorm.GLNNormSVCCV(3, Cs=[0.1, 1.0], cv=[(~is_test, is_test)], random_state=0)
    numbers = (np.flatnonzero(~is_test), np.flatnonzero(is_test) - N)
    by_number = gnorm.GLNNormSVCCV(3, Cs=[0.1, 1.0], cv=[numbers], random_state=0)
    np.testing.assert_array_equal(by_mask.fit(X, Y).scores_, by_number.fit(X, Y).scores_)


@pytest.mark.parametrize("score", [np.nan, None, -np.inf], ids=repr)
def test_no_C_is_chosen_without_a_score(score):
    model = gnorm.GLNNormSVCCV(3, Cs=[0.1, 1.0], cv=2, scoring=lambda *_: score)
    with pytest.raises(ValueError, match="expected scores that are numbers, got"):
        model.fit(X, Y)


@pytest.mark.parametrize(
    "value",
    [
        sparse.csr_matrix(ZETA[:, 0]),
        1j * ZETA,
        [["a"]],
        None,
        [[1.0], [1.0, 2.0]],
        cp.Variable((3, 2)),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    "function",
    [
        norms.frelu_norm,
        norms.gln_norm,
        norms.representation_cost,
        norms.predictor_l2_norm,
        norms.predictor_rms_norm,
        norms.unit_norms,
        gated.canonical,
        lambda zeta: gated.decision_values(X, GATES, zeta),
    ],
)
def test_weights_that_are_no_arrays_of_numbers(function, value):
    refused("zeta", function, value)


@pytest.mark.parametrize("value", ["a", None, 1j, np.nan], ids=repr)
def test_numbers_of_norms(value):
    refused("t", norms.prox_representation_cost, ZETA, value)
    refused("tol", norms.gln_norm_of_predictors, gated.predictors(ZETA), value)


@pytest.mark.parametrize("value", ["a", None, 1j, np.nan, [1.0]], ids=repr)
@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (losses.EpsilonInsensitive, "epsilon"),
        (losses.Huber, "delta"),
        (losses.Quantile, "quantile"),
        (losses.Multinomial, "n_classes"),
    ],
)
def test_parameters_of_losses(loss, name, value):
    if loss is losses.Multinomial and value is None:
        return  # the default
    refused(name, loss, value)


@pytest.mark.parametrize("kernel", ["plain_kernel", "predictor_l2_kernel", "shallow_kernel"])
def test_kernels_of_different_widths(kernel):
    kernel = getattr(kernels, kernel)
    refused("features", kernel, X, GATES, X[:, :2], GATES)
    refused("features", kernel, sparse.csr_matrix(X), GATES, sparse.csr_matrix(X[:, :2]), GATES)
    refused("units", kernel, X, GATES, X, GATES[:, :2])
    refused("samples", kernel, X, GATES[:4])
    refused("samples", kernel, X, GATES, X, GATES[:4])
