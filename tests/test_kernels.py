"""Gate-agreement kernels: against explicit features, and inside scikit-learn."""

import pickle
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array, csr_matrix
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from gnorm.datasets import load_binary_digits
from gnorm.gates import HyperplaneGates, OpenContexts
from gnorm.kernels import (
    GateKernel,
    agreement,
    gram,
    plain_kernel,
    predictor_l2_kernel,
    shallow_kernel,
    squared_row_norms,
)

SHAPES = [(1, 1), (1, 3), (3, 1), (2, 2), (3, 2), (2, 3), (4, 2)]  # units, contexts
NORMS = {
    "predictor_l2": predictor_l2_kernel,
    "plain": plain_kernel,
    "shallow": shallow_kernel,
}


def random_samples(n_samples, n_units, n_contexts, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 3))
    contexts = rng.integers(n_contexts, size=(n_samples, n_units))
    return X, contexts, contexts[:, :, None] == np.arange(n_contexts)


@pytest.fixture(params=SHAPES, ids=lambda shape: f"H{shape[0]}-C{shape[1]}")
def samples(request):
    """Rows and columns of a kernel matrix: inputs, contexts and activations of each."""
    n_units, n_contexts = request.param
    return random_samples(9, n_units, n_contexts, 0), random_samples(6, n_units, n_contexts, 1)


def unit_features(X, activations):
    """Features of zeta: the input in the open context of every unit."""
    return np.einsum("nhc,nd->nhcd", activations, X).reshape(len(X), -1)


# -- parts -----------------------------------------------------------------------------------------


def test_agreement_counts_units(samples):
    (_, left, left_on), (_, right, right_on) = samples
    expected = [[sum(c == d for c, d in zip(a, b, strict=True)) for b in right] for a in left]
    assert_array_equal(agreement(left_on, right_on), expected)
    assert_array_equal(agreement(left_on), agreement(left_on, left_on))


def test_agreement_of_any_gates():
    rng = np.random.default_rng(0)
    left, right = rng.random((5, 3, 4)) < 0.5, rng.random((6, 3, 4)) < 0.5
    expected = (left[:, None] & right[None]).sum(axis=(2, 3))
    assert_array_equal(agreement(left, right), expected)


def test_kernels_of_open_contexts_are_those_of_the_array():
    rng = np.random.default_rng(0)
    X, levels = rng.normal(size=(11, 3)), [2, 3, 50]
    gates, others = (OpenContexts(rng.integers(levels, size=(n, 3)), levels) for n in (6, 5))
    for kernel in NORMS.values():
        of_arrays = kernel(X[:6], np.asarray(gates), X[6:], np.asarray(others))
        for left, right in ((gates, others), (gates, np.asarray(others))):
            assert_array_equal(kernel(X[:6], left, X[6:], right), of_arrays)
        assert_array_equal(kernel(X[:6], gates), kernel(X[:6], np.asarray(gates)))
    wider = OpenContexts(others.contexts, [2, 4, 50])
    assert_array_equal(agreement(gates, wider), agreement(gates, others))


def test_agreement_needs_three_axes():
    sentence = (
        r"expected activations of shape \(n_samples, n_units, n_contexts\), got shape \(2, 3\)"
    )
    with pytest.raises(ValueError, match=sentence):
        agreement(np.ones((2, 3), dtype=bool))


@pytest.mark.parametrize("container", [np.asarray, csr_matrix, csr_array])
def test_gram_and_row_norms(container):
    rng = np.random.default_rng(0)
    X, Y = (rng.normal(size=(n, 7)) * (rng.random((n, 7)) < 0.5) for n in (5, 4))
    K = gram(container(X))
    assert type(K) is np.ndarray
    assert_allclose(K, [[x @ z for z in X] for x in X], atol=1e-15)
    assert_array_equal(K, K.T)
    assert_allclose(gram(container(X), container(Y)), X @ Y.T, atol=1e-15)
    assert_allclose(squared_row_norms(container(X)), [x @ x for x in X])


# -- kernels ---------------------------------------------------------------------------------------


def test_plain_kernel_is_that_of_the_unit_features(samples):
    (X, _, X_on), (Y, _, Y_on) = samples
    expected = unit_features(X, X_on) @ unit_features(Y, Y_on).T
    assert_allclose(plain_kernel(X, X_on, Y, Y_on), expected, atol=1e-14)


def test_shallow_kernel_has_one_predictor_a_global_context(samples):
    (X, left, X_on), (Y, right, Y_on) = samples
    n_units, n_contexts = X_on.shape[1:]
    global_contexts = list(product(range(n_contexts), repeat=n_units))

    def features(inputs, contexts):
        is_open = np.array([[tuple(c) == gamma for gamma in global_contexts] for c in contexts])
        return np.einsum("ng,nd->ngd", is_open, inputs).reshape(len(inputs), -1)

    expected = features(X, left) @ features(Y, right).T
    assert_allclose(shallow_kernel(X, X_on, Y, Y_on), expected, atol=1e-14)


def test_predictor_l2_kernel_reproduces_the_mean_square_of_all_predictors(samples):
    (X, _, X_on), (Y, _, Y_on) = samples
    n_units, n_contexts = X_on.shape[1:]
    # the squared norm as a quadratic form in zeta: the mean of ||sum_h zeta_{h, gamma_h}||^2
    blocks = []
    for gamma in product(range(n_contexts), repeat=n_units):
        is_open = np.array(gamma)[:, None] == np.arange(n_contexts)
        blocks.append(np.kron(is_open.reshape(1, -1), np.eye(X.shape[1])))
    form = np.mean([block.T @ block for block in blocks], axis=0)
    # features in the range of the form, so that its pseudo-inverse gives the reproducing kernel
    left, right = unit_features(X, X_on), unit_features(Y, Y_on)
    inverse = np.linalg.pinv(form, rcond=1e-10)
    assert_allclose(form @ inverse @ left.T, left.T, atol=1e-12)
    expected = left @ inverse @ right.T
    assert_allclose(predictor_l2_kernel(X, X_on, Y, Y_on), expected, atol=1e-12)


@pytest.mark.parametrize("kernel", NORMS.values(), ids=NORMS)
def test_kernel_of_one_set(kernel, samples):
    (X, _, activations), _ = samples
    K = kernel(X, activations)
    assert_array_equal(K, K.T)
    assert_allclose(K, kernel(X, activations, X, activations), atol=1e-14)
    assert np.linalg.eigvalsh(K).min() >= -1e-12 * np.trace(K)


@pytest.mark.parametrize("kernel", NORMS.values(), ids=NORMS)
def test_kernels_of_one_context_are_linear_up_to_a_factor(kernel):
    X, _, activations = random_samples(9, 4, 1, 0)
    factor = 4 if kernel is plain_kernel else 1  # four units share the norm of plain zeta
    assert_allclose(kernel(X, activations), factor * X @ X.T)


@pytest.mark.parametrize("kernel", NORMS.values(), ids=NORMS)
def test_kernel_of_sparse_inputs(kernel, samples):
    (X, _, X_on), (Y, _, Y_on) = samples
    expected = kernel(X, X_on, Y, Y_on)
    assert_allclose(kernel(csr_matrix(X), X_on, csr_matrix(Y), Y_on), expected, atol=1e-14)


# -- inside scikit-learn ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    X, y = load_binary_digits()
    gates = HyperplaneGates(n_units=8, random_state=0).fit(X[:200])
    return gates, X[:200], y[:200], X[200:400], y[200:400]


@pytest.mark.parametrize("norm", NORMS)
def test_callable_equals_precomputed_matrix(digits, norm):
    gates, X, y, X_test, _ = digits
    on, on_test = gates.transform(X), gates.transform(X_test)
    kernel = NORMS[norm]
    machine = SVC(kernel=GateKernel(gates, norm=norm)).fit(X, y)
    rival = SVC(kernel="precomputed").fit(kernel(X, on), y)
    assert_allclose(
        machine.decision_function(X_test),
        rival.decision_function(kernel(X_test, on_test, X, on)),
        atol=1e-6,
    )


def test_default_norm_is_that_of_the_predictors(digits):
    gates, X, *_ = digits
    expected = predictor_l2_kernel(X, gates.transform(X))
    assert_array_equal(GateKernel(gates)(X), expected)
    assert_array_equal(GateKernel(gates)(X, X), expected)


@pytest.mark.parametrize("copy", [clone, lambda machine: pickle.loads(pickle.dumps(machine))])
def test_clone_and_pickle(digits, copy):
    gates, X, y, X_test, _ = digits
    machine = SVC(kernel=GateKernel(gates, norm="plain")).fit(X, y)
    again = copy(machine)
    assert repr(again.kernel) == repr(machine.kernel)
    assert_array_equal(again.fit(X, y).predict(X_test), machine.predict(X_test))


def test_fitted_machine_survives_pickle(digits):
    gates, X, y, X_test, _ = digits
    machine = SVC(kernel=GateKernel(gates)).fit(X, y)
    again = pickle.loads(pickle.dumps(machine))
    assert_array_equal(again.decision_function(X_test), machine.decision_function(X_test))


def test_grid_search_over_norms(digits):
    gates, X, y, X_test, y_test = digits
    kernels = [GateKernel(gates, norm=norm) for norm in NORMS]
    search = GridSearchCV(SVC(), {"kernel": kernels, "C": [1e-3, 1.0]}, cv=3, error_score="raise")
    search.fit(X, y)
    assert search.best_params_["kernel"] in kernels
    assert len(set(np.round(search.cv_results_["mean_test_score"], 6))) > 1
    assert search.score(X_test, y_test) > 0.8


def test_repr_names_gates_and_norm(digits):
    gates, *_ = digits
    assert repr(GateKernel(gates, norm="plain")) == f"GateKernel({gates!r}, norm='plain')"


def test_unknown_norm(digits):
    sentence = r"norm must be one of \['plain', 'predictor_l2', 'shallow'\], got 'l2'"
    with pytest.raises(ValueError, match=sentence):
        GateKernel(digits[0], norm="l2")
