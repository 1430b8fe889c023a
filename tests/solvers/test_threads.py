"""Sums over blocks of samples on several threads."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from threadpoolctl import threadpool_info, threadpool_limits

from gnorm import HyperplaneGates
from gnorm.norms import GLN
from gnorm.solvers.design import make_design
from gnorm.solvers.threads import one_blas_thread, summed


def squares(rows):
    return sum((np.outer(row, row) for row in rows), np.zeros((3, 3)))


@pytest.mark.parametrize("n_blocks", [0, 1, 2, 7])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_sum_is_that_of_one_thread(n_threads, n_blocks):
    blocks = list(np.random.default_rng(0).normal(size=(n_blocks, 3)))
    with threadpool_limits(n_threads):
        assert_allclose(summed(squares, blocks), squares(blocks), rtol=1e-14, atol=1e-15)


def test_as_many_threads_as_blas_may_use_and_the_limit_is_left_as_it_was():
    met = threading.Barrier(2, timeout=20)

    def together(blocks):
        met.wait()  # breaks where the other does not run beside it
        blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert set(blas) == {1}
        return np.ones(len(blocks))

    with threadpool_limits(2, user_api="blas"):
        before = threadpool_info()
        assert_array_equal(summed(together, [0, 0, 0, 0]), [2, 2])
        assert threadpool_info() == before


def test_no_threads_where_tasks_run_beside_each_other():
    def where(blocks):
        assert threading.current_thread() is threading.main_thread()
        return np.zeros(1)

    with threadpool_limits(2, user_api="blas"), one_blas_thread():
        summed(where, [0, 0])


def test_floating_point_errors_are_handled_as_by_the_caller():
    def product(blocks):
        return np.full(1, 1e300) * blocks[0]

    with threadpool_limits(2, user_api="blas"):
        with np.errstate(over="ignore"):
            assert np.isinf(summed(product, [1e300, 1e300]))
        with np.errstate(over="raise"), pytest.raises(FloatingPointError):
            summed(product, [1e300, 1e300])


def test_gram_matrix_of_the_features_is_that_of_one_thread():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50_000, 9))
    design = make_design(GLN(), X, HyperplaneGates(12, 2, random_state=0).fit_transform(X))
    weights = rng.random(len(X)) * (rng.random(len(X)) < 0.9)
    with threadpool_limits(1, user_api="blas"):
        expected = design.coded_gram(weights)
    with threadpool_limits(2, user_api="blas"):
        assert_allclose(design.coded_gram(weights), expected, rtol=1e-12, atol=1e-9)


def test_threads_that_share_a_design_each_get_the_gram_matrix_of_their_weights():
    rng = np.random.default_rng(0)
    gates = HyperplaneGates(2, 2, random_state=0)
    X = rng.normal(size=(9, 2))
    design = make_design(GLN(), X, gates.fit_transform(X))
    weights = rng.random((4, 9))
    expected = [design.coded_gram(each) for each in weights]

    def differences(k):
        return max(np.abs(design.feature_gram(weights[k]) - expected[k]).max() for _ in range(200))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # as often as threads of long solves meet
    try:
        with ThreadPoolExecutor(4) as pool:
            assert max(pool.map(differences, range(4))) < 1e-12
    finally:
        sys.setswitchinterval(interval)
