"""Identical samples as one: weights are copies, and what each copy gets of the dual coefficient."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array, csr_matrix

from gnorm import max_margin
from gnorm.losses import Hinge
from gnorm.norms import GroupNorm
from gnorm.solvers.api import expanded, prepare
from gnorm.solvers.certify import Certificate
from gnorm.solvers.design import make_design
from gnorm.solvers.merge import Merged, merge_samples
from gnorm.solvers.problem import Point
from gnorm.solvers.solution import Status


def random_problem(n_samples=30, n_features=4, n_units=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    y = np.where(np.arange(n_samples) % 2, 1, -1)
    contexts = rng.integers(2, size=(n_samples, n_units))
    return X, y, contexts[:, :, None] == np.arange(2)


def all_on(n_samples):
    return np.ones((n_samples, 1, 1), dtype=bool)


def merge(X, labels=None, activations=None, weight=None):
    n_samples = X.shape[0]
    return merge_samples(
        X,
        np.ones(n_samples) if labels is None else np.asarray(labels),
        all_on(n_samples) if activations is None else activations,
        np.ones(n_samples) if weight is None else np.asarray(weight, dtype=float),
    )


def partition(merged):
    """Groups as sets of samples."""
    return {frozenset(np.flatnonzero(merged.group == g).tolist()) for g in range(len(merged.rows))}


# -- which samples are one -------------------------------------------------------------------------


def test_equal_inputs_gates_and_labels_are_one_sample():
    merged = merge(np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]), weight=[1.0, 2.0, 4.0])
    assert partition(merged) == {frozenset({0, 2}), frozenset({1})}
    for row, group, weight in zip(merged.rows, range(2), merged.weight, strict=True):
        assert merged.group[row] == group
        assert weight == (2.0 if row == 1 else 5.0)


def test_any_difference_keeps_samples_apart():
    X = np.array([[1.0], [1.0], [1.0], [np.nextafter(1.0, 2.0)]])
    activations = all_on(4)
    activations[1] = False
    assert len(merge(X, [1, 1, -1, 1], activations).rows) == 4


def test_gates_in_any_order_of_memory():
    gates = np.random.default_rng(0).random((6, 20, 1)) > 0.5
    X, y = np.arange(6.0)[:, None], np.ones(6)
    merged = merge_samples(X, y, np.asfortranarray(gates), np.ones(6))
    assert_allclose(merged.rows, merge_samples(X, y, gates, np.ones(6)).rows)


def test_labels_of_any_kind():
    merged = merge(np.ones((4, 1)), ["a", "b", "a", "b"])
    assert partition(merged) == {frozenset({0, 2}), frozenset({1, 3})}


def test_zeros_of_either_sign_are_equal():
    assert len(merge(np.array([[0.0, 1.0], [-0.0, 1.0]])).rows) == 1


@pytest.mark.parametrize("container", [csr_matrix, csr_array])
def test_sparse_rows_are_merged_as_dense_ones(container):
    # the row (0, 3, 0, 7) as it is, unsorted, with a stored zero, of -0.0, and in two parts
    data = [3.0, 7.0, 7.0, 3.0, 0.0, 3.0, 7.0, -0.0, 3.0, 7.0, 1.0, 2.0, 7.0]
    indices = [1, 3, 3, 1, 0, 1, 3, 2, 1, 3, 1, 1, 3]
    X = container((data, indices, [0, 2, 4, 7, 10, 13]), shape=(5, 4))
    assert_array_equal(X.toarray(), np.tile([0.0, 3.0, 0.0, 7.0], (5, 1)))
    design, merged = prepare(X, np.ones(5), all_on(5), np.ones(5))
    assert design.n_samples == len(merged.rows) == 1
    assert_array_equal(merged.weight, [5.0])
    assert X.nnz == 13  # the caller's matrix is not tidied up


def test_samples_of_weight_zero_are_absent():
    merged = merge(np.array([[1.0], [2.0], [1.0]]), weight=[1.0, 0.0, 0.0])
    assert_array_equal(merged.rows, [0])
    assert_array_equal(merged.group, [0, -1, -1])
    assert_array_equal(merged.expand(np.array([0.5])), [0.5, 0.0, 0.0])


def test_order_of_the_merged_samples_does_not_depend_on_that_of_the_rows():
    X, y, activations = random_problem()
    order = np.random.default_rng(1).permutation(len(X))
    merged = merge(X, y, activations)
    permuted = merge(X[order], y[order], activations[order])
    assert_array_equal(order[permuted.rows], merged.rows)


# -- what each copy gets ---------------------------------------------------------------------------


def test_copies_share_in_proportion_to_their_weights():
    merged = merge(np.zeros((3, 1)), weight=[1.0, 3.0, 4.0])
    assert_array_equal(merged.expand(np.array([4.0])), [0.5, 1.5, 2.0])


def test_copies_of_a_hard_margin_share_equally_and_leave_nothing_to_others():
    merged = merge(np.zeros((3, 1)), weight=[np.inf, 5.0, np.inf])
    assert_array_equal(merged.weight, [np.inf])
    assert_array_equal(merged.expand(np.array([8.0])), [4.0, 0.0, 4.0])


def on_all_samples(dual_coef, merged):
    """Dual coefficients of copies of label 1, as a solution has them."""
    n_distinct = len(dual_coef)
    certificate = Certificate(
        zeta=np.zeros((1, 1, 1)),
        outputs=np.zeros(n_distinct),
        error=np.zeros(n_distinct),
        norm=0.0,
        primal_value=0.0,
        length=1.0,
        dual_coef=dual_coef,
        dual_value=0.0,
        ulp=0.0,
        point=Point(dual_coef, np.zeros((1, 1, 1)), Status.OPTIMAL, 0),
    )
    y = np.ones(len(merged.group))
    inputs, open_gate = np.zeros((n_distinct, 1)), np.ones((n_distinct, 1, 1), dtype=bool)
    design = make_design(GroupNorm(), inputs, open_gate)
    return expanded(certificate, design, merged, y, Hinge(), 1.0, "none", 1e-6, 0.0).dual_coef


bounds = st.floats(1e-6, 1e6)


@given(st.lists(st.tuples(bounds, st.integers(0, 2)), min_size=1, max_size=12), st.data())
def test_shares_are_feasible_and_sum_up(samples, data):
    weight, group = np.array([C for C, _ in samples]), [g for _, g in samples]
    merged = merge(np.array(group, dtype=float)[:, None], weight=weight)
    share = data.draw(st.floats(0.0, 1.0) | st.just(1.0))
    dual_coef = share * merged.weight
    full = on_all_samples(dual_coef, merged)
    assert np.all(full >= 0)
    assert np.all(full <= weight)
    assert_allclose(np.bincount(merged.group, weights=full), dual_coef, rtol=1e-14, atol=1e-300)


def test_group_of_one_gets_its_coefficient_to_the_last_bit():
    weight = np.random.default_rng(0).random(1000)
    merged = Merged(np.arange(1000), np.arange(1000), weight, weight)
    assert_array_equal(merged.expand(weight), weight)


# -- what that does to solutions -------------------------------------------------------------------


@pytest.mark.parametrize("C", [np.inf, 1.0, 0.01])
@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
def test_weights_are_copies(C, container):
    X, y, activations = random_problem(n_features=20)
    weight = np.random.default_rng(1).integers(4, size=len(y))
    copies = np.repeat(np.arange(len(y)), weight)
    weighted = max_margin(container(X), y, activations, C, sample_weight=weight)
    copied = max_margin(container(X[copies]), y[copies], activations[copies], C)
    assert_array_equal(weighted.zeta, copied.zeta)
    summed = np.bincount(copies, weights=copied.dual_coef, minlength=len(y))
    assert_allclose(weighted.dual_coef, summed, rtol=1e-14, atol=0)


@pytest.mark.parametrize("C", [np.inf, 1.0])
def test_weight_zero_is_absent(C):
    X, y, activations = random_problem(n_features=20)
    weight = np.where(np.arange(len(y)) % 3 == 0, 0.0, 1.0)
    X[0], y[0], activations[0] = X[1], -y[1], activations[1]  # would make a hard margin impossible
    kept = weight > 0
    weighted = max_margin(X, y, activations, C, sample_weight=weight)
    reduced = max_margin(X[kept], y[kept], activations[kept], C)
    assert_array_equal(weighted.zeta, reduced.zeta)
    assert_array_equal(weighted.dual_coef[kept], reduced.dual_coef)
    assert_array_equal(weighted.dual_coef[~kept], 0.0)
    assert weighted.margin == reduced.margin


def test_weights_scale_a_finite_bound():
    X, y, activations = random_problem()
    weight = np.random.default_rng(1).uniform(0.1, 2.0, len(y))
    weighted = max_margin(X, y, activations, 0.3, sample_weight=weight)
    assert_array_equal(weighted.zeta, max_margin(X, y, activations, 0.3 * weight).zeta)


@pytest.mark.parametrize("C", [np.inf, 1.0])
@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
def test_order_of_the_rows_does_not_matter(C, container):
    X, y, activations = random_problem(n_features=20)
    order = np.random.default_rng(1).permutation(len(y))
    solution = max_margin(container(X), y, activations, C)
    permuted = max_margin(container(X[order]), y[order], activations[order], C)
    assert_array_equal(permuted.zeta, solution.zeta)
    assert_array_equal(permuted.dual_coef, solution.dual_coef[order])
    assert_array_equal(np.sort(order[permuted.support]), solution.support)


def test_support_names_every_copy():
    X, y, activations = random_problem(n_samples=10, n_features=20)
    twice = np.tile(np.arange(10), 2)
    single = max_margin(X, y, activations)
    double = max_margin(X[twice], y[twice], activations[twice])
    assert_array_equal(double.support, np.concatenate([single.support, single.support + 10]))


def test_a_sum_of_weights_that_overflows_is_refused():
    X, gates = np.ones((4, 2)), np.ones((4, 1, 1), dtype=bool)
    with pytest.raises(ValueError, match="expected C times the weights to be finite in float64"):
        merge_samples(X, np.ones(4), gates, np.full(4, 1e308))
    assert merge_samples(X, np.ones(4), gates, np.full(4, np.inf)).weight.tolist() == [np.inf]


def test_many_copies_are_summed_to_the_last_digits():
    n_copies = 200_000
    weight = np.full(n_copies, 0.1)
    merged = merge_samples(np.ones((n_copies, 2)), np.ones(n_copies), all_on(n_copies), weight)
    exact = math.fsum(weight.tolist())
    assert_allclose(merged.weight, [exact], rtol=1e-15)
    assert_allclose(merged.expand(np.ones(1)), 0.1 / exact, rtol=1e-15)


def test_samples_whose_hashes_agree_are_still_compared(monkeypatch):
    no_hash = "gnorm.solvers.merge._row_hashes"
    monkeypatch.setattr(no_hash, lambda X, codes, gates: np.zeros(len(codes), np.uint64))
    X = np.random.default_rng(0).integers(2, size=(40, 3)).astype(float)
    merged = merge_samples(X, np.ones(40), np.ones((40, 1, 1), dtype=bool), np.ones(40))
    assert len(merged.rows) == len(np.unique(X, axis=0))
    assert_array_equal(X[merged.rows[merged.group]], X)
