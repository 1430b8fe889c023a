"""The estimators: scikit-learn's contract, weights, rivals on the same problem, certificates."""

import ast
import inspect
import itertools
import pickle
import re
from collections import Counter

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import estimator_html_repr
from threadpoolctl import threadpool_limits

from gnorm import kernels
from gnorm.estimators import FReLUSVC, GatedL2SVC, GLNNormSVC, ShallowGLNSVC
from gnorm.gated import accumulate, canonical, decision_values, predictors
from gnorm.gates import FixedGates, HyperplaneGates, ReLUGates
from gnorm.norms import frelu_norm, gln_norm, predictor_rms_norm, representation_cost, unit_norms
from gnorm.solvers import NotSeparableError, max_margin

KINDS = [GLNNormSVC, FReLUSVC, GatedL2SVC, ShallowGLNSVC]
HARD_AND_SOFT = [1.0, np.inf]

each_kind = pytest.mark.parametrize("kind", KINDS)
must_converge = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module", autouse=True)
def one_blas_thread():
    """NumPy and SciPy each bring threads of their own; on busy cores these wait for each other."""
    with threadpool_limits(1, user_api="blas"):
        yield


def labelled(n_samples, n_features, n_classes=2, seed=0):
    """Signed data whose classes, of about equal size, are not linear in the inputs."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    score = np.abs(X[:, 0]) + X[:, 1] + 0.5 * rng.normal(size=n_samples)
    thresholds = np.quantile(score, np.arange(1, n_classes) / n_classes)
    return X, np.searchsorted(thresholds, score)


def exclusive_or(n_samples, seed=0):
    X = np.random.default_rng(seed).normal(size=(n_samples, 2))
    return X, X[:, 0] * X[:, 1] > 0


def small(kind, **params):
    """An estimator with few units: 6, or 4 global contexts."""
    params.setdefault("random_state", 0)
    return kind(n_units=2 if kind is ShallowGLNSVC else 6, **params)


def always_open(X):
    """One unit of one context that is on."""
    return np.ones((X.shape[0], 1, 1), dtype=bool)


def sign_of_first_feature(X):
    """One unit with two contexts."""
    first = X[:, [0]].toarray() if sparse.issparse(X) else X[:, [0]]
    return (first >= 0)[:, :, None] == np.array([False, True])


def activations_of(model, X):
    """Gates as zeta_ counts them: those of a shallow GLN are one unit of global contexts."""
    activations = model.gates_.transform(X)
    if not isinstance(model, ShallowGLNSVC):
        return activations
    return (activations[:, None] == model.contexts_).all(axis=(2, 3))[:, None, :]


def augmented(model, X):
    if not model.fit_intercept:
        return X
    return np.column_stack([X, np.full(len(X), model.intercept_scaling)])


def signs_of(model, y):
    """Labels -1 and 1 of each problem, shape (n_problems, n_samples)."""
    positives = model.classes_[1:] if len(model.classes_) == 2 else model.classes_
    return np.where(y == positives[:, None], 1.0, -1.0)


def as_columns(values):
    """Decision values with one column a problem, for two classes too."""
    return values.reshape(len(values), -1)


def primal_values(model, X, y, weight):
    signs = signs_of(model, y)
    if np.isinf(model.C):
        assert (signs * as_columns(model.decision_function(X)).T).min() > 1 - 1e-9
        return 0.5 * model.norm_**2
    losses = np.maximum(0, 1 - signs * as_columns(model.decision_function(X)).T)
    return 0.5 * model.norm_**2 + model.C * losses @ weight


def dual_values(model, X):
    """Values of the dual problems from what a user sees of a fitted estimator."""
    support = X[model.support_]
    gates = activations_of(model, support)
    if isinstance(model, GatedL2SVC):
        kernel = kernels.predictor_l2_kernel(augmented(model, support), gates)
        squares = [coef @ kernel @ coef for coef in model.dual_coef_]
    else:
        expansions = [accumulate(augmented(model, support), gates, c) for c in model.dual_coef_]
        squares = [unit_norms(V).max() ** 2 for V in expansions]
    return np.abs(model.dual_coef_).sum(axis=1) - 0.5 * np.array(squares)


# ------------------------------------------------------------------------------- weights and copies


def assert_same_classifier(first, second, X, atol=1e-7):
    assert_array_equal(first.classes_, second.classes_)
    assert_allclose(first.decision_function(X), second.decision_function(X), rtol=1e-7, atol=atol)
    assert_allclose(first.norm_, second.norm_, rtol=1e-7)
    assert_allclose(first.margin_, second.margin_, rtol=1e-7, atol=atol)


@each_kind
@pytest.mark.parametrize("class_weight", [None, {0: 0.5, 1: 3.0, 2: 1.5}, "balanced"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", HARD_AND_SOFT)
@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
def test_weights_are_copies(kind, class_weight, n_classes, C, storage):
    X, y = labelled(40 if C == 1.0 else 18, 8, n_classes)
    if isinstance(class_weight, dict):
        class_weight = {label: class_weight[label] for label in range(n_classes)}
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 4, len(y))
    copies = rng.permutation(np.repeat(np.arange(len(y)), weights))
    model = small(kind, C=C, class_weight=class_weight)
    by_weight = clone(model).fit(storage(X), y, sample_weight=weights)
    by_copies = clone(model).fit(storage(X[copies]), y[copies])
    assert_same_classifier(by_weight, by_copies, labelled(50, 8, seed=2)[0])


@each_kind
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
def test_weight_zero_is_absence_even_of_a_class(kind, class_weight, storage):
    X, y = labelled(45, 5, n_classes=3)
    present = y != 2
    model = small(kind, class_weight=class_weight)
    by_weight = clone(model).fit(storage(X), y, sample_weight=present.astype(float))
    absent = clone(model).fit(storage(X[present]), y[present])
    assert by_weight.classes_.tolist() == [0, 1]
    assert_same_classifier(by_weight, absent, X)
    assert_array_equal(by_weight.support_, np.flatnonzero(present)[absent.support_])


@each_kind
def test_samples_of_weight_zero_may_hold_any_class(kind):
    X, y = labelled(30, 4)
    labels = np.append(y, 7)
    model = small(kind).fit(np.vstack([X, X[:1]]), labels, np.append(np.ones(30), 0))
    assert_same_classifier(model, small(kind).fit(X, y), X)


@each_kind
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("sample_weight", [None, "random"])
def test_class_weight_is_the_sample_weight_it_stands_for(kind, n_classes, sample_weight):
    X, y = labelled(60, 4, n_classes)
    X, y = X[20:], y[20:]  # classes of different sizes
    weight = np.ones(40) if sample_weight is None else np.random.default_rng(1).uniform(size=40)
    factors = np.array([0.5, 3.0, 1.5])[:n_classes]
    totals = np.bincount(y, weights=weight)
    balanced = weight.sum() / (n_classes * totals)
    for class_weight, by_class in [(dict(enumerate(factors)), factors), ("balanced", balanced)]:
        by_class_weight = small(kind, class_weight=class_weight).fit(X, y, weight)
        by_sample_weight = small(kind).fit(X, y, weight * by_class[y])
        assert_same_classifier(by_class_weight, by_sample_weight, X)
    # weights that changed nothing would pass all of the above
    assert np.abs(by_class_weight.zeta_ - small(kind).fit(X, y).zeta_).max() > 1e-3


@each_kind
@pytest.mark.parametrize("C", HARD_AND_SOFT)
def test_class_weight_zero_is_the_absence_of_the_class(kind, C):
    X, y = labelled(24, 10, n_classes=3)
    by_class_weight = small(kind, C=C, class_weight={0: 1.0, 1: 1.0, 2: 0.0}).fit(X, y)
    absent = small(kind, C=C).fit(X[y != 2], y[y != 2])
    assert by_class_weight.classes_.tolist() == [0, 1]
    assert_same_classifier(by_class_weight, absent, X)


@each_kind
def test_weights_do_not_matter_for_the_hard_margin_but_for_the_gates(kind):
    X, y = labelled(24, 10)
    weight = np.random.default_rng(1).uniform(0.1, 1.0, 24)
    gates = HyperplaneGates(2, cutoff="zero", random_state=0)
    model = kind(gates=gates, C=np.inf)
    assert_same_classifier(clone(model).fit(X, y, weight), clone(model).fit(X, y), X)


# -------------------------------------------------------------- one unit, one context: a linear SVM


def fit_linear_svc(X, y, sample_weight=None, **params):
    reference = LinearSVC(loss="hinge", tol=1e-9, max_iter=10**6, random_state=0, **params)
    return reference.fit(X, y, sample_weight)


@must_converge
@each_kind
@pytest.mark.parametrize("C", [0.01, 1.0, 30.0])
@pytest.mark.parametrize(
    "intercept",
    [{}, {"intercept_scaling": 5.0}, {"intercept_scaling": 0.2}, {"fit_intercept": False}],
    ids=str,
)
def test_one_unit_is_the_linear_svm(kind, C, intercept):
    X, y = labelled(60, 4)
    model = kind(gates=FixedGates(always_open), C=C, tol=1e-10, **intercept).fit(X, y)
    reference = fit_linear_svc(X, y, C=C, **intercept)
    assert_allclose(model.zeta_[0, 0, 0, :4], reference.coef_[0], atol=1e-5)
    assert_allclose(model.context_intercepts_[0, 0, 0], reference.intercept_, atol=1e-5)
    assert_allclose(model.decision_function(X), reference.decision_function(X), atol=1e-4)


@must_converge
@each_kind
def test_one_unit_is_the_linear_svm_of_each_class_and_with_weights(kind):
    X, y = labelled(60, 4, n_classes=3)
    weight = np.random.default_rng(1).uniform(0, 2, 60)
    class_weight = {0: 1.0, 1: 0.3, 2: 2.0}
    model = kind(gates=FixedGates(always_open), class_weight=class_weight, tol=1e-10)
    model.fit(X, y, weight)
    # in LinearSVC a class weight belongs to the class that is on the positive side of a problem
    reference = fit_linear_svc(X, y, weight * np.array([1.0, 0.3, 2.0])[y])
    assert_allclose(model.decision_function(X), reference.decision_function(X), atol=1e-4)
    assert_array_equal(model.predict(X), reference.predict(X))


@must_converge
@each_kind
def test_default_gates_of_one_context_are_the_linear_svm(kind, capfd):
    if kind is FReLUSVC:
        gates = {"gates": ReLUGates(weights=[[0.0] * 4], always_open=False)}
    else:
        gates = {"n_units": 1, "n_contexts": 1}
    X, y = labelled(60, 4)
    model = kind(**gates, tol=1e-10).fit(X, y)
    assert_allclose(
        model.decision_function(X), fit_linear_svc(X, y).decision_function(X), atol=1e-4
    )
    assert capfd.readouterr() == ("", "")


@must_converge
@each_kind
def test_hard_margin_is_the_limit_of_soft_ones(kind):
    X, y = labelled(24, 10)
    hard = small(kind, C=np.inf, tol=1e-9).fit(X, y)
    largest = np.abs(hard.dual_coef_).max()
    assert_same_classifier(hard, small(kind, C=100 * largest, tol=1e-9).fit(X, y), X, atol=1e-4)
    soft = small(kind, C=0.5 * largest, tol=1e-9).fit(X, y)
    assert soft.norm_[0] < hard.norm_[0] * (1 - 1e-4)
    assert (signs_of(hard, y)[0] * hard.decision_function(X)).min() == pytest.approx(1)


# -------------------------------------------------------------- the rivals against their definition


def solve_l2_definition(X, y, activations, C):
    """Predictors of all contexts by a conic solver, from the sum over all of their squares."""
    n_samples, n_units, n_contexts = activations.shape
    features = np.einsum("nk,nd->nkd", activations.reshape(n_samples, -1), X)
    everywhere = list(itertools.product(range(n_contexts), repeat=n_units))
    chosen = np.array([np.eye(n_contexts)[list(contexts)].ravel() for contexts in everywhere])
    zeta = cp.Variable((n_units * n_contexts, X.shape[1]))
    squared_norm = cp.sum_squares(chosen @ zeta) / len(everywhere)
    margins = cp.multiply(
        y, features.reshape(n_samples, -1) @ cp.reshape(zeta, (zeta.size,), order="C")
    )
    if np.isinf(C):
        problem = cp.Problem(cp.Minimize(0.5 * squared_norm), [margins >= 1])
    else:
        problem = cp.Problem(cp.Minimize(0.5 * squared_norm + C * cp.sum(cp.pos(1 - margins))))
    problem.solve(solver="CLARABEL")
    assert problem.status == "optimal"
    return problem.value, predictors(zeta.value.reshape(n_units, n_contexts, -1))


@must_converge
@pytest.mark.parametrize(("n_units", "n_contexts"), [(1, 2), (3, 2), (2, 4)])
@pytest.mark.parametrize("C", [0.1, 1.0, np.inf])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_l2_rival_is_the_minimum_of_its_definition(n_units, n_contexts, C, fit_intercept):
    X, y = labelled(20, 8 if np.isinf(C) else 3)
    model = GatedL2SVC(
        n_units, n_contexts, C=C, fit_intercept=fit_intercept, tol=1e-9, random_state=0
    ).fit(X, y)
    value, beta = solve_l2_definition(
        augmented(model, X), signs_of(model, y)[0], model.gates_.transform(X), C
    )
    assert_allclose(predictors(model.zeta_[0]), beta, atol=1e-4)
    assert_allclose(primal_values(model, X, y, np.ones(20))[0], value, rtol=1e-6)


@must_converge
@pytest.mark.parametrize("C", HARD_AND_SOFT)
@pytest.mark.parametrize(
    ("kind", "kernel"),
    [(GatedL2SVC, kernels.predictor_l2_kernel), (ShallowGLNSVC, kernels.shallow_kernel)],
)
def test_rivals_are_kernel_machines(kind, kernel, C):
    X, y = labelled(24, 10, n_classes=3)
    new, _ = labelled(30, 10, seed=1)
    model = small(kind, C=C, tol=1e-10).fit(X, y)
    support, gates = X[model.support_], model.gates_.transform(X[model.support_])
    between = kernel(
        augmented(model, new), model.gates_.transform(new), augmented(model, support), gates
    )
    assert_allclose(model.decision_function(new), between @ model.dual_coef_.T, atol=1e-4)
    within = kernel(augmented(model, support), gates)
    squares = np.einsum("km,mn,kn->k", model.dual_coef_, within, model.dual_coef_)
    assert_allclose(model.norm_**2, squares, rtol=1e-5)


@must_converge
@pytest.mark.parametrize("C", [0.1, 3.0])
def test_shallow_rival_is_a_linear_svm_in_each_context(C):
    X, y = labelled(80, 3)
    model = ShallowGLNSVC(n_units=2, C=C, tol=1e-10, random_state=0).fit(X, y)
    gates = activations_of(model, X)[:, 0]
    for i, rows in enumerate(gates.T):
        reference = fit_linear_svc(X[rows], y[rows], C=C)
        assert_allclose(model.zeta_[0, 0, i, :3], reference.coef_[0], atol=1e-5)
        assert_allclose(model.context_intercepts_[0, 0, i], reference.intercept_, atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_shallow_rival_says_nothing_in_contexts_it_has_not_seen(n_classes):
    X, y = labelled(40, 3, n_classes)
    seen = X[:, 0] < 0
    model = ShallowGLNSVC(gates=FixedGates(sign_of_first_feature)).fit(X[seen], y[seen])
    assert model.contexts_.shape == (1, 1, 2)
    values = as_columns(model.decision_function(X))
    assert_array_equal(values[~seen], 0)
    assert (values[seen] != 0).all()


# ------------------------------------------------------------------- what a fitted estimator states


@must_converge
@each_kind
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", [0.05, 1.0, np.inf])
@pytest.mark.parametrize("tol", [1e-2, 1e-8])
def test_certificate_from_public_attributes(kind, n_classes, C, tol):
    X, y = labelled(24, 10, n_classes)
    weight = np.random.default_rng(1).uniform(0.1, 2.0, 24)
    model = small(kind, C=C, tol=tol).fit(X, y, weight)
    primal, dual = primal_values(model, X, y, weight), dual_values(model, X)
    assert_allclose((primal - dual) / primal, model.duality_gap_, rtol=1e-5, atol=1e-12)
    assert (model.duality_gap_ <= tol).all()
    assert (model.duality_gap_ >= -1e-12).all()
    signed = signs_of(model, y)[:, model.support_] * model.dual_coef_
    assert (signed >= 0).all()
    assert (signed <= C * weight[model.support_] * (1 + 1e-12)).all()


@each_kind
@pytest.mark.parametrize("n_classes", [2, 3])
def test_shapes(kind, n_classes):
    X, y = labelled(40, 4, n_classes)
    model = small(kind, tol=1e-8).fit(X, y)
    n_problems = 1 if n_classes == 2 else n_classes
    _, n_units, n_contexts = activations_of(model, X).shape
    n_support = len(model.support_)
    assert model.zeta_.shape == (n_problems, n_units, n_contexts, 5)
    assert model.context_intercepts_.shape == (n_problems, n_units, n_contexts)
    assert model.unit_norms_.shape == (n_problems, n_units)
    assert model.dual_coef_.shape == (n_problems, n_support)
    for name in ("norm_", "margin_", "duality_gap_", "n_iter_"):
        assert getattr(model, name).shape == (n_problems,)
    n_supporting = np.count_nonzero(model.dual_coef_, axis=1)
    assert n_supporting.min() > 0
    assert n_supporting.max() < 40
    assert (np.diff(model.support_) > 0).all()
    assert model.dual_coef_.any(axis=0).all()
    assert model.n_iter_.dtype.kind == "i"
    assert (model.n_iter_ >= 1).all()


@each_kind
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", HARD_AND_SOFT)
def test_norms_and_margin(kind, n_classes, C):
    X, y = labelled(24, 10, n_classes)
    model = small(kind, C=C, tol=0.1).fit(X, y)  # all of this holds short of the optimum
    norm = {GLNNormSVC: gln_norm, GatedL2SVC: predictor_rms_norm}.get(kind, representation_cost)
    assert_allclose(model.norm_, [norm(zeta) for zeta in model.zeta_], rtol=1e-9)
    assert_allclose(model.unit_norms_, [unit_norms(zeta) for zeta in model.zeta_], rtol=1e-12)
    if kind is FReLUSVC:
        assert_allclose(model.norm_, [frelu_norm(zeta) for zeta in model.zeta_], rtol=1e-9)
    else:  # the weights are the representation of least cost
        assert_allclose(model.zeta_, [canonical(zeta) for zeta in model.zeta_], atol=1e-12)
    if kind is GLNNormSVC:
        assert_allclose(model.norm_, model.unit_norms_.sum(axis=1), rtol=1e-9)
    smallest = (signs_of(model, y) * as_columns(model.decision_function(X)).T).min(axis=1)
    assert_allclose(model.margin_, smallest / model.norm_, rtol=1e-9)


@each_kind
def test_margin_is_that_of_the_samples_of_positive_weight(kind):
    X, y = labelled(24, 10)
    labels = np.append(y, 1 - y[0])  # a copy on the wrong side
    weight = np.append(np.ones(24), 0)
    model = small(kind, C=np.inf).fit(np.vstack([X, X[:1]]), labels, weight)
    assert model.margin_[0] > 0
    assert_allclose(model.margin_ * model.norm_, 1)


@each_kind
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("intercept_scaling", [0.5, 1.0, 4.0])
def test_decision_is_gated_part_and_intercepts(kind, n_classes, intercept_scaling):
    X, y = labelled(40, 4, n_classes)
    new, _ = labelled(30, 4, seed=1)
    model = small(kind, intercept_scaling=intercept_scaling).fit(X, y)
    gates = activations_of(model, new)
    by_hand = [
        decision_values(new, gates, zeta[..., :-1]) + np.einsum("nhc,hc->n", gates, intercept)
        for zeta, intercept in zip(model.zeta_, model.context_intercepts_, strict=True)
    ]
    assert_allclose(as_columns(model.decision_function(new)), np.transpose(by_hand), atol=1e-12)
    assert np.abs(model.context_intercepts_).max() > 1e-3


@each_kind
def test_without_intercept(kind):
    X, y = labelled(40, 4)
    model = small(kind, fit_intercept=False).fit(X, y)
    assert model.zeta_.shape[-1] == 4
    assert not model.context_intercepts_.any()
    assert_allclose(
        model.decision_function(X),
        decision_values(X, activations_of(model, X), model.zeta_[0]),
        atol=1e-12,
    )


@each_kind
def test_classes_against_the_rest(kind):
    X, y = labelled(60, 4, n_classes=4)
    model = small(kind, tol=1e-9).fit(X, y)
    values = model.decision_function(X)
    assert values.shape == (60, 4)
    assert_array_equal(model.predict(X), model.classes_[values.argmax(axis=1)])
    for k in range(4):
        alone = small(kind, tol=1e-9).fit(X, y == k)
        assert_allclose(values[:, k], alone.decision_function(X), atol=1e-4)
        assert_allclose(model.norm_[k], alone.norm_[0], rtol=1e-6)


@each_kind
def test_two_classes_are_the_sides_of_zero(kind):
    X, y = labelled(40, 4)
    model = small(kind, tol=1e-8).fit(X, np.array(["yes", "no"])[y])
    values = model.decision_function(X)
    assert values.shape == (40,)
    assert model.classes_.tolist() == ["no", "yes"]
    assert_array_equal(model.predict(X), np.where(values > 0, "yes", "no"))
    flipped = small(kind, tol=1e-8).fit(X, np.array(["a", "b"])[y])
    assert_allclose(values, -flipped.decision_function(X), atol=1e-4)


# ------------------------------------------------------------------------------ the solver's limits


@each_kind
def test_unfinished_solve_warns_and_states_its_gap(kind):
    X, y = labelled(40, 4)
    model = small(kind, max_iter=1)
    with pytest.warns(
        ConvergenceWarning, match=r"after 1 iterations .* duality gap of .*above tol"
    ):
        model.fit(X, y)
    primal, dual = primal_values(model, X, y, np.ones(40)), dual_values(model, X)
    assert model.duality_gap_[0] > model.tol
    assert model.n_iter_.tolist() == [1]
    assert_allclose((primal - dual) / primal, model.duality_gap_, rtol=1e-6)
    # it is a bound: the optimum lies between the two values
    best = small(kind, tol=1e-9).fit(X, y)
    assert dual[0] < primal_values(best, X, y, np.ones(40))[0] < primal[0]


@must_converge
@each_kind
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("random_state", [0, 1, 2])
def test_inputs_far_from_the_origin(kind, C, random_state):
    rng = np.random.default_rng(0)
    X, y = rng.normal(loc=100, size=(80, 2)), rng.integers(0, 2, 80)
    model = kind(C=C, random_state=random_state).fit(X, y)
    assert model.duality_gap_[0] <= model.tol


@must_converge
@each_kind
@pytest.mark.parametrize("C", [1e-3, 1.0])
@pytest.mark.parametrize(
    "load", [load_wine, pytest.param(load_breast_cancer, marks=pytest.mark.slow)]
)
def test_raw_data(kind, C, load):
    # features of scales from 1e-2 to 1e3, and samples in the hundreds
    X, y = load(return_X_y=True)
    model = kind(C=C, random_state=0).fit(X, y)
    assert (model.duality_gap_ <= model.tol).all()


@must_converge
@pytest.mark.slow
def test_many_raw_data():
    # more of them than the working set takes at once where it stalls
    X, y = load_breast_cancer(return_X_y=True)
    noise = np.random.default_rng(0).normal(size=(9 * 569, 30))
    X, y = np.tile(X, (9, 1)) * (1 + 0.03 * noise), np.tile(y, 9)
    model = GLNNormSVC(41, random_state=0).fit(X, y)
    assert model.duality_gap_[0] <= model.tol


@must_converge
@each_kind
@pytest.mark.parametrize(
    ("method", "max_iter", "tol"), [("clarabel", 200, 1e-4), ("scs", 10**5, 1e-3)]
)
@pytest.mark.parametrize("C", HARD_AND_SOFT)
def test_methods_agree(kind, method, max_iter, tol, C):
    X, y = labelled(24, 10)
    model = small(kind, C=C, method=method, max_iter=max_iter, tol=tol).fit(X, y)
    reference = small(kind, C=C, tol=1e-9).fit(X, y)
    ones = np.ones(24)
    assert model.duality_gap_[0] <= tol
    assert_allclose(
        primal_values(model, X, y, ones), primal_values(reference, X, y, ones), rtol=2 * tol
    )
    assert_allclose(dual_values(model, X), dual_values(reference, X), rtol=2 * tol)


@must_converge
@each_kind
@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_units_of_the_inputs_are_units_of_the_norm(kind, scale):
    X, y = labelled(40, 4)
    model = small(kind, fit_intercept=False, tol=1e-8).fit(X, y)
    scaled = small(kind, fit_intercept=False, tol=1e-8, C=scale**-2).fit(scale * X, y)
    assert_allclose(scaled.norm_, model.norm_ / scale, rtol=1e-6)
    assert_array_equal(scaled.predict(scale * X), model.predict(X))


def contradicted(n_samples=24, n_features=10):
    """Separable samples, then some of the first ones again under the other label."""
    X, y = labelled(n_samples, n_features)
    return np.vstack([X, X[:3]]), np.append(y, 1 - y[:3])


def assert_is_certificate(certificate, X, y, gates):
    """Under its weights the two classes coincide in every unit."""
    assert certificate.shape == y.shape
    assert (certificate >= 0).all()
    assert certificate.sum() == pytest.approx(1)
    X = np.column_stack([X, np.ones(len(X))])
    V = accumulate(X, gates.fit_transform(X[:, :-1]), certificate * np.where(y, 1.0, -1.0))
    assert np.abs(V).max() < 1e-9 * np.abs(X).max()


@each_kind
def test_inseparable_data_are_refused_with_a_certificate(kind):
    X, y = contradicted()
    gates = HyperplaneGates(3, cutoff="zero", random_state=0)
    with pytest.raises(NotSeparableError, match="needs separable data") as caught:
        kind(gates=gates, C=np.inf).fit(X, y)
    assert_is_certificate(caught.value.certificate, X, y, gates)
    assert caught.value.residual < 1e-9
    again = pickle.loads(pickle.dumps(caught.value))
    assert_array_equal(again.certificate, caught.value.certificate)
    kind(gates=gates, C=1e3).fit(X, y)  # what the message advises


@each_kind
def test_certificate_counts_the_samples_of_weight_zero(kind):
    X, y = contradicted()
    weight = np.ones(27)
    weight[[1, 2, 5]] = 0  # of the contradictions only that of sample 0 remains
    gates = HyperplaneGates(3, cutoff="zero", random_state=0)
    with pytest.raises(NotSeparableError) as caught:
        kind(gates=gates, C=np.inf).fit(X, y, sample_weight=weight)
    certificate = caught.value.certificate
    assert_is_certificate(certificate, X, y, gates)
    assert not certificate[weight == 0].any()
    assert min(certificate[0], certificate[24]) > 0
    heaviest = re.search(r"the heaviest are (\d+)", str(caught.value))
    assert int(heaviest[1]) == certificate.argmax()


def test_one_inseparable_class_is_enough():
    X, y = labelled(24, 10, n_classes=3)
    X, y = np.vstack([X, X[y == 2][:1]]), np.append(y, 1)
    with pytest.raises(NotSeparableError):
        small(GLNNormSVC, C=np.inf).fit(X, y)


def test_gates_decide_what_is_separable():
    X, y = exclusive_or(60)
    with pytest.raises(NotSeparableError):
        GLNNormSVC(n_contexts=1, C=np.inf).fit(X, y)
    quadrants = ReLUGates(weights=np.eye(2), always_open=True)
    assert FReLUSVC(gates=quadrants, C=1e3).fit(X, y).score(X, y) == 1.0


# ----------------------------------------------------------------------------- life in scikit-learn


@each_kind
def test_cross_validation_of_a_pipeline(kind):
    X, y = exclusive_or(120)
    pipeline = make_pipeline(StandardScaler(), kind(random_state=0))
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.75
    linear = make_pipeline(StandardScaler(), LinearSVC())
    assert cross_val_score(linear, X, y, cv=3).mean() < 0.65


def test_grid_search_over_hard_margins_and_gates():
    X, y = labelled(60, 8)
    pipeline = make_pipeline(StandardScaler(), GLNNormSVC(gates=HyperplaneGates(random_state=0)))
    grid = {
        "glnnormsvc__C": [0.1, 10.0, np.inf],
        "glnnormsvc__gates__n_units": [8],
        "glnnormsvc__gates__n_contexts": [2, 4],
    }
    weight = np.random.default_rng(1).uniform(0.5, 2.0, 60)
    parallel, serial = (
        GridSearchCV(pipeline, grid, cv=StratifiedKFold(3), n_jobs=n_jobs, error_score="raise")
        for n_jobs in (2, None)
    )
    parallel.fit(X, y, glnnormsvc__sample_weight=weight)
    serial.fit(X, y, glnnormsvc__sample_weight=weight)
    scores = parallel.cv_results_["mean_test_score"]
    assert_array_equal(scores, serial.cv_results_["mean_test_score"])
    assert len(set(scores)) > 1
    best = parallel.best_estimator_[-1]
    assert (
        best.gates_.get_params()["n_contexts"]
        == parallel.best_params_["glnnormsvc__gates__n_contexts"]
    )


@each_kind
def test_calibration(kind):
    X, y = labelled(90, 4, n_classes=3)
    model = CalibratedClassifierCV(small(kind), cv=3).fit(X, y)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert model.score(X, y) > 0.5


@must_converge
@each_kind
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", HARD_AND_SOFT)
@pytest.mark.parametrize("storage", [sparse.csr_array, sparse.csr_matrix, sparse.csc_array])
def test_sparse_is_dense(kind, n_classes, C, storage):
    X, y = labelled(24, 10, n_classes)
    X[np.random.default_rng(1).uniform(size=X.shape) < 0.3] = 0
    dense = small(kind, C=C, tol=1e-8).fit(X, y)
    stored = small(kind, C=C, tol=1e-8).fit(storage(X), y)
    assert_same_classifier(dense, stored, X)
    assert_allclose(stored.decision_function(storage(X)), stored.decision_function(X), atol=1e-12)


@each_kind
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_one_sample_stored_in_several_ways(kind, fit_intercept):
    X, y = labelled(24, 4)
    X[:, 3] = 0
    # each sample as it is, with its explicit zero; in two halves; in reverse and without the zero
    indices = np.concatenate([[0, 1, 2, 3], [0, 1, 2, 0, 1, 2], [2, 1, 0]])
    data = np.hstack([X, X[:, :3] / 2, X[:, :3] / 2, X[:, [2, 1, 0]]])
    row_ends = np.array([4, 10, 13]) + 13 * np.arange(24)[:, None]
    stored = sparse.csr_array(
        (data.ravel(), np.tile(indices, 24), np.append(0, row_ends)), shape=(72, 4)
    )
    given = stored.copy()
    assert_allclose(stored.toarray(), np.repeat(X, 3, axis=0))
    by_copies = small(kind, fit_intercept=fit_intercept).fit(stored, np.repeat(y, 3))
    by_weight = small(kind, fit_intercept=fit_intercept).fit(X, y, np.full(24, 3))
    assert_same_classifier(by_copies, by_weight, X)
    assert_array_equal(stored.data, given.data)
    assert_array_equal(stored.indices, given.indices)


@each_kind
@pytest.mark.parametrize("dtype", [np.float32, np.int8, bool])
def test_other_types_of_inputs(kind, dtype):
    X, y = labelled(40, 4)
    X = (X * 4).astype(dtype)
    model, reference = small(kind).fit(X, y), small(kind).fit(X.astype(np.float64), y)
    assert_array_equal(model.decision_function(X), reference.decision_function(X.astype(float)))


@each_kind
def test_data_frames(kind):
    X, y = labelled(40, 3)
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1].astype(np.float32), "c": X[:, 2].round()})
    frame["c"] = frame["c"].astype(int)
    labels = pd.Series(np.array(["no", "yes"])[y], index=frame.index[::-1])
    model = small(kind).fit(frame, labels)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    bare = small(kind).fit(frame.to_numpy(dtype=float), labels.to_numpy())
    assert_array_equal(model.decision_function(frame), bare.decision_function(frame.to_numpy()))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c"]])
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"a": "z"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(frame.to_numpy())


def learned_gates(X, y):
    """The gates of a trained network, and its hidden layer."""
    network = MLPClassifier((8,), max_iter=30, random_state=0)
    with pytest.warns(ConvergenceWarning):
        network.fit(X, y)
    weights, bias = network.coefs_[0].T, network.intercepts_[0]
    return ReLUGates(weights=weights, thresholds=-bias), X @ weights.T + bias >= 0


@pytest.mark.parametrize(
    "gates",
    [
        FixedGates(sign_of_first_feature),
        HyperplaneGates(4, 4, random_state=0),
        ReLUGates(weights=np.eye(3), thresholds=np.full(3, 0.1)),
    ],
    ids=lambda gates: type(gates).__name__,
)
@pytest.mark.parametrize("kind", [GLNNormSVC, FReLUSVC, ShallowGLNSVC])
def test_clone_and_pickle(kind, gates):
    X, y = labelled(40, 3)
    before = repr(gates.get_params())
    model = kind(gates=gates).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.decision_function(X), model.decision_function(X))
    copy = clone(model)
    with pytest.raises(NotFittedError):
        copy.predict(X)
    assert_array_equal(copy.fit(X, y).decision_function(X), model.decision_function(X))
    # the gates that were given stay as they were
    assert repr(gates.get_params()) == before
    assert not hasattr(gates, "n_features_in_")


def test_contexts_learned_by_a_network():
    X, y = exclusive_or(200)
    gates, is_open = learned_gates(X, y)
    model = FReLUSVC(gates=gates).fit(X, y)
    assert_array_equal(model.gates_.transform(X)[:, :8, 0], is_open)
    assert model.zeta_.shape == (1, 9, 1, 3)
    assert pickle.loads(pickle.dumps(clone(model).fit(X, y))).score(X, y) > 0.9


@each_kind
def test_random_state(kind):
    X, y = labelled(40, 4)
    first, second, other = (small(kind, random_state=seed).fit(X, y) for seed in (0, 0, 1))
    assert_array_equal(first.zeta_, second.zeta_)
    assert_array_equal(first.dual_coef_, second.dual_coef_)
    assert not np.array_equal(first.decision_function(X), other.decision_function(X))
    shared = np.random.RandomState(0)
    draws = [small(kind, random_state=shared).fit(X, y).decision_function(X) for _ in range(2)]
    assert_array_equal(draws[0], first.decision_function(X))
    assert not np.array_equal(draws[0], draws[1])


@each_kind
def test_fit_changes_nothing_it_is_given(kind):
    X, y = labelled(40, 4)
    weight = np.random.default_rng(1).uniform(size=40)
    given = (X.copy(), y.copy(), weight.copy())
    stored = sparse.csr_array(X)
    small(kind, class_weight="balanced").fit(X, y, weight)
    small(kind, class_weight="balanced").fit(stored, y, weight)
    for before, after in zip(given, (X, y, weight), strict=True):
        assert_array_equal(before, after)
    assert_array_equal(stored.toarray(), X)


@pytest.fixture(scope="module")
def digits():
    X, digit = load_digits(return_X_y=True)
    names = np.array([f"digit {k}" for k in range(10)])
    return X[:400] / 16, names[digit[:400]], X[400:800] / 16, names[digit[400:800]]


@must_converge
@each_kind
def test_ten_classes_share_gates_and_gram_matrix(kind, digits, monkeypatch):
    calls = Counter()

    def count(owner, name):
        function = getattr(owner, name)

        def counted(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    gates = ReLUGates if kind is FReLUSVC else HyperplaneGates
    count(gates, "fit")
    count(gates, "transform")
    count(kernels, "gram")
    X, y, X_test, y_test = digits
    model = small(kind, C=np.inf).fit(X, y)
    assert calls == {"fit": 1, "transform": 1, "gram": 1}
    values = model.decision_function(X_test)
    assert calls["transform"] == 2
    assert values.shape == (400, 10)
    assert model.classes_.tolist() == sorted(set(y))
    assert_array_equal(model.predict(X_test), model.classes_[values.argmax(axis=1)])
    assert model.score(X, y) == 1.0
    assert model.score(X_test, y_test) > 0.75


# ------------------------------------------------------------------------------------ documentation


@each_kind
def test_parameters_and_defaults_are_documented(kind):
    # without the indentation, which Python 3.13 drops by itself
    section = inspect.getdoc(kind).split("Attributes")[0]
    documented = re.findall(r"^(\w+) : .*default=(.+)$", section, re.M)
    signature = inspect.signature(kind).parameters.values()
    assert {name: ast.literal_eval(default) for name, default in documented} == {
        parameter.name: parameter.default for parameter in signature
    }


@each_kind
def test_attributes_are_documented(kind):
    section = re.search(r"^Attributes\n-+\n(.*?)\nSee Also", inspect.getdoc(kind), re.S | re.M)
    documented = set(re.findall(r"^(\w+) : ", section[1], re.M))
    X, y = labelled(40, 2)
    model = small(kind).set_params(segment=["a", "b"], features=["a", "b"])
    model.fit(pd.DataFrame(X, columns=["a", "b"]), y)
    stored = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    assert documented == stored | {"zeta_", "context_intercepts_"}


@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8),
    reason="scikit-learn shows the documentation of parameters from 1.8 on",
)
@each_kind
def test_html_shows_the_documentation(kind, monkeypatch):
    # it links each parameter to the pages of the package, and shows none without such a link
    monkeypatch.setattr(kind, "_doc_link_module", "gnorm", raising=False)
    monkeypatch.setattr(kind, "_doc_link_template", "https://x/{estimator_name}", raising=False)
    page = estimator_html_repr(kind())
    for name in kind().get_params():
        shown = re.search(rf"{name}: .*?<br><br>\s*(.*?)</span>", page, re.S)
        assert shown, f"{name} has no documentation"
        assert len(shown[1]) > 20


@each_kind
def test_verbose(kind, capfd):
    X, y = labelled(40, 4)
    small(kind).fit(X, y)
    assert capfd.readouterr() == ("", "")
    model = small(kind, verbose=1).fit(X, y)
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) > model.n_iter_[0]
    assert lines[0].startswith("method interior-point: 40 samples")
    assert "gap" in lines[1]


# ----------------------------------------------------------------------------------------- refusals


BAD_PARAMETERS = [
    ("C", 0, ValueError, "C == 0, must be > 0"),
    ("C", -1.0, ValueError, "C == -1.0, must be > 0"),
    ("C", np.nan, ValueError, r"\bC\b.*nan"),
    ("C", "1", TypeError, "C must be an instance of float, not str"),
    ("C", None, TypeError, "C must be an instance of float, not NoneType"),
    ("tol", 0, ValueError, "tol == 0, must be > 0"),
    ("tol", np.nan, ValueError, r"\btol\b.*nan"),
    ("tol", "small", TypeError, "tol must be an instance of float, not str"),
    ("max_iter", 0, ValueError, "max_iter == 0, must be >= 1"),
    ("max_iter", 1.5, TypeError, "max_iter must be an instance of int, not float"),
    ("intercept_scaling", 0, ValueError, "intercept_scaling == 0, must be > 0"),
    ("intercept_scaling", np.inf, ValueError, r"\bintercept_scaling\b.*inf"),
    ("intercept_scaling", np.nan, ValueError, r"\bintercept_scaling\b.*nan"),
    ("method", "newton", ValueError, r"method must be one of \['auto'.*got 'newton'"),
    ("cutoff", "mean", ValueError, r"cutoff must be one of \('median'.*got 'mean'"),
    ("n_units", 0, ValueError, "n_units == 0, must be >= 1"),
    ("n_units", 2.5, TypeError, "n_units must be an instance of int, not float"),
    ("class_weight", "auto", ValueError, r"\bclass_weight\b.*'balanced'.*'auto'"),
    ("class_weight", {0: -1.0}, ValueError, r"\bclass_weight\b.*-1"),
    ("class_weight", {0: np.nan}, ValueError, r"\bclass_weight\b.*nan"),
    ("class_weight", {5: 1.0}, ValueError, r"\[0, 1\], are not in class_weight"),
    ("gates", "hyperplane", TypeError, "'hyperplane'"),
    (
        "gates",
        HyperplaneGates,
        TypeError,
        "expected an instance with fit and transform, got <class",
    ),
    ("random_state", "seed", ValueError, "'seed' cannot be used to seed"),
]


@each_kind
@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    BAD_PARAMETERS,
    ids=[f"{name}={value!r}" for name, value, _, _ in BAD_PARAMETERS],
)
def test_bad_parameters(kind, name, value, error, message):
    X, y = labelled(20, 3)
    with pytest.raises(error, match=message):
        kind(**{name: value}).fit(X, y)


@pytest.mark.parametrize("kind", [GLNNormSVC, GatedL2SVC, ShallowGLNSVC])
def test_number_of_contexts_is_a_power_of_two(kind):
    with pytest.raises(ValueError, match="n_contexts must be a power of two, got 3"):
        kind(n_contexts=3).fit(*labelled(20, 3))


class WrongGates(BaseEstimator):
    """Gates of a user who has not read what activations are."""

    def __init__(self, activate):
        self.activate = activate

    def fit(self, X, y=None, sample_weight=None):
        return self

    def transform(self, X):
        return self.activate(X)


@each_kind
@pytest.mark.parametrize(
    ("activate", "got"),
    [
        (lambda X: X > 0, r"dtype bool and shape \(20, 3\)"),
        (lambda X: (X > 0)[:-1, :, None], r"dtype bool and shape \(19, 3, 1\)"),
        (lambda X: (X > 0)[:, :, None] * 1.0, r"dtype float64 and shape \(20, 3, 1\)"),
        (lambda X: (X > 0)[:, :0, None], r"dtype bool and shape \(20, 0, 1\)"),
    ],
    ids=["two axes", "too short", "float", "no units"],
)
def test_wrong_activations(kind, activate, got):
    X, y = labelled(20, 3)
    expected = r"expected activations of dtype bool and shape \(20, n_units, n_contexts\), got "
    with pytest.raises(ValueError, match=expected + got):
        kind(gates=WrongGates(activate)).fit(X, y)


def test_l2_rival_needs_one_context_on():
    with pytest.raises(ValueError, match="exactly one context on per unit, got activations with"):
        GatedL2SVC(gates=ReLUGates(4, random_state=0)).fit(*labelled(20, 3))


@each_kind
@pytest.mark.parametrize(
    ("sample_weight", "message"),
    [
        (np.ones(19), r"sample_weight of shape \(20,\), got shape \(19,\)"),
        (np.ones((20, 1)), r"sample_weight of shape \(20,\), got shape \(20, 1\)"),
        (-np.ones(20), "non-negative sample_weight, got values between -1.0 and -1.0"),
        (np.full(20, np.nan), "finite, non-negative sample_weight, got .* nan"),
        (np.zeros(20), "positive sample_weight, got zero weight for every sample"),
        (np.arange(20) % 2, "at least 2 classes, got 1 class"),
    ],
    ids=["short", "two axes", "negative", "NaN", "zero", "one class"],
)
def test_bad_weights(kind, sample_weight, message):
    X, _ = labelled(20, 3)
    with pytest.raises(ValueError, match=message):
        small(kind).fit(X, np.arange(20) % 2, sample_weight=sample_weight)


@each_kind
def test_bad_data(kind):
    X, y = labelled(20, 3)
    with pytest.raises(ValueError, match=r"at least 2 classes, got 1 class: .*dog"):
        small(kind).fit(X, ["dog"] * 20)
    for bad in (np.nan, np.inf):
        broken = X.copy()
        broken[3, 1] = bad
        with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
            small(kind).fit(broken, y)
        with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
            small(kind).fit(X, y).predict(broken)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        small(kind).fit(X, np.where(y == 0, np.nan, 1.0))
    with pytest.raises(ValueError, match="Unknown label type"):
        small(kind).fit(X, X[:, 0])
    with pytest.raises(ValueError, match=r"X has 2 features, but .* expecting 3 features"):
        small(kind).fit(X, y).predict(X[:, :2])


def test_the_norm_of_a_classifier_is_the_one_it_is_named_after():
    X, y = labelled(24, 10)
    l2 = small(GatedL2SVC, C=1.0).fit(X, y)
    assert l2.norm == "predictor_l2"
    assert "norm" not in l2.get_params()
    activations = l2.gates_.transform(X)
    ones = np.column_stack([X, np.ones(24)])
    labels = np.where(y == l2.classes_[1], 1, -1)
    exact = max_margin(ones, labels, activations, 1.0, norm="predictor_l2")
    assert_allclose(l2.norm_[0], exact.norm, rtol=1e-2)
    assert abs(small(GLNNormSVC, C=1.0).fit(X, y).norm_[0] / exact.norm - 1) > 0.01
