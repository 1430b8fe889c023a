"""Searches and classes on the workers of a dask cluster: processes that talk over the network."""

import os

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV

from gnorm import GLNNormSVC, GLNNormSVCCV, NotSeparableError

distributed = pytest.importorskip(
    "distributed", reason="the oldest dependencies are without dask, which needs newer ones"
)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            local_directory=str(tmp_path_factory.mktemp("dask")),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:300] / 16, y[:300]


def accuracy_and_process(model, X, y):
    """A score that brings along who computed it."""
    return {"accuracy": accuracy_score(y, model.predict(X)), "process": os.getpid()}


def test_grid_search(client, digits):
    X, y = digits
    grid = {"C": [0.01, 1.0], "n_units": [5, 10]}
    search = GridSearchCV(
        GLNNormSVC(random_state=0), grid, cv=2, scoring=accuracy_and_process, refit=False
    )
    here = clone(search).fit(X, y < 5)
    with joblib.parallel_config(backend="dask"):
        there = search.fit(X, y < 5)
    assert_allclose(there.cv_results_["mean_test_accuracy"], here.cv_results_["mean_test_accuracy"])
    processes = np.concatenate([there.cv_results_[f"split{k}_test_process"] for k in range(2)])
    assert os.getpid() not in processes
    assert set(processes) <= set(client.run(os.getpid).values())


def test_class_problems(client, digits):
    X, y = digits
    here = GLNNormSVC(8, C=0.1, random_state=0).fit(X, y)
    n_before = client.run_on_scheduler(n_transitions)
    with joblib.parallel_config(backend="dask"):
        there = clone(here).fit(X, y)
    assert client.run_on_scheduler(n_transitions) > n_before
    assert_array_equal(there.classes_, here.classes_)
    assert_allclose(there.decision_function(X), here.decision_function(X), atol=1e-9)


def n_transitions(dask_scheduler):
    """Changes of state that tasks have gone through so far."""
    return dask_scheduler.transition_counter


def test_cross_validation_along_the_path(client, digits):
    X, y = digits
    here = GLNNormSVCCV(5, Cs=3, cv=2, random_state=0).fit(X, y < 5)
    n_before = client.run_on_scheduler(n_transitions)
    with joblib.parallel_config(backend="dask"):
        there = clone(here).fit(X, y < 5)
    assert client.run_on_scheduler(n_transitions) > n_before
    assert_allclose(there.scores_, here.scores_)
    assert there.C_ == here.C_


def test_errors_come_back_with_their_certificate(client, digits):
    X, y = digits
    model = GLNNormSVC(1, n_contexts=1, C=np.inf, fit_intercept=False)
    with joblib.parallel_config(backend="dask"), pytest.raises(NotSeparableError) as info:
        model.fit(X[:, :20], y)
    assert info.value.certificate.shape == (300,)
    assert "against the rest" in info.value.__notes__[0]
