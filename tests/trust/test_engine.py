"""What the engine claims, checked from outside: in long double or exactly, by other formulas."""

import re
import sys
import tracemalloc
import warnings
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_info, threadpool_limits

import gnorm.solvers
from gnorm import (
    GatedL2SVC,
    GLNNormSVC,
    HyperplaneGates,
    NotSeparableError,
    losses,
    max_margin,
    solve,
)
from gnorm.losses import (
    AbsoluteError,
    EpsilonInsensitive,
    Hinge,
    Huber,
    Multinomial,
    Quantile,
    SquaredError,
)
from gnorm.norms import GLN, GroupNorm
from gnorm.solvers import attempts, methods
from gnorm.solvers.accurate import accurate_outputs, accurate_sums
from gnorm.solvers.active_set import screening
from gnorm.solvers.certify import certify, relative_gap
from gnorm.solvers.design import make_design
from gnorm.solvers.problem import Point, Problem
from gnorm.solvers.solution import Status
from gnorm.solvers.threads import one_blas, one_blas_thread

# -- an evaluation that shares nothing with the package --------------------------------------------


def values_of(X, y, activations, solution, C):
    """Primal and dual value of the arrays of a solution of the hinge loss, in long double."""
    X, y, C = (np.asarray(values, dtype=np.longdouble) for values in (X, y, C))
    gates, zeta = activations.astype(np.longdouble), solution.zeta.astype(np.longdouble)
    margins = y * np.einsum("nhc,nd,hcd->n", gates, X, zeta)
    short = np.maximum(0, 1 - margins)
    C = np.broadcast_to(C, short.shape)
    losses = np.where(short > 0, C, 0) * np.where(short > 0, short, 0)
    primal = np.sum(np.sqrt(np.sum(zeta**2, axis=(1, 2)))) ** 2 / 2 + np.sum(losses)
    a = solution.dual_coef.astype(np.longdouble)
    assert np.all((a >= 0) & (a <= C))
    V = np.einsum("n,nhc,nd->hcd", y * a, gates, X)
    dual = np.sum(a) - np.max(np.sum(V**2, axis=(1, 2))) / 2
    return float(primal), float(dual)


TARGETS = ("squared_error", "absolute_error", "epsilon_insensitive", "huber", "quantile")


def problem_of_scale(seed):
    """A problem of some scale of inputs, features or samples, and some C."""
    rng = np.random.default_rng(seed)
    n_samples, n_features, n_units = rng.integers([4, 1, 1], [60, 8, 6])
    X = rng.normal(size=(n_samples, n_features)) * 10.0 ** rng.integers(-9, 10)
    if seed % 3 == 0:
        X *= 10.0 ** rng.uniform(-3, 3, size=n_features)
    if seed % 3 == 1:
        X *= 10.0 ** rng.uniform(-3, 3, size=(n_samples, 1))
    y = np.where(np.arange(n_samples) % 2, 1, -1)
    gates = HyperplaneGates(int(n_units), int(rng.choice([2, 4])), random_state=seed)
    C = 10.0 ** rng.integers(-6, 16) if seed % 5 else np.inf
    method = ["auto", "interior-point", "primal", "working-set"][seed % 4]
    return X, y, gates.fit_transform(X), C, method


# -- no gap is false -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [28, 37, 55, 60, 63, 64, 69, 82, 104])
def test_the_gap_is_that_of_the_arrays_that_are_returned(seed):
    X, y, activations, C, method = problem_of_scale(seed)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            solution = max_margin(X, y, activations, C, method=method)
    except NotSeparableError:
        return
    primal, dual = values_of(X, y, activations, solution, C)
    gap = solution.duality_gap
    assert (primal - dual) / primal <= gap + 1e-12 or gap == np.inf
    is_warned = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    assert is_warned == (gap > 1e-6)
    assert (solution.status.value == "optimal") == (gap <= 1e-6)
    if gap <= 1e-6:  # then the bounds are what they bound
        assert_allclose(solution.primal_value, primal, rtol=1e-7)
        assert_allclose(solution.dual_value, dual, rtol=1e-7)


def test_a_large_penalty_beside_rounding_errors_of_the_outputs():
    rng = np.random.default_rng(0)
    X, y = 1e8 * rng.normal(size=(12, 4)), np.where(np.arange(12) % 2, 1, -1)
    activations = HyperplaneGates(3, random_state=0).fit_transform(X)
    solution = max_margin(X, y, activations, C=1e12)
    primal, dual = values_of(X, y, activations, solution, 1e12)
    assert (primal - dual) / primal <= solution.duality_gap <= 1e-6


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", ["squared_hinge", "log_loss", "absolute_error", "huber"])
def test_values_of_other_losses_are_bounds(loss):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(30, 3)) * [1e-4, 1.0, 1e5]
    activations = HyperplaneGates(2, random_state=0).fit_transform(X)
    y = np.where(X[:, 0] > 0, 1.0, -1.0) if loss in ("squared_hinge", "log_loss") else X[:, 2]
    solution = solve(X, y, activations, loss=loss, C=1e6)
    outputs = np.einsum("nhc,nd,hcd->n", activations, X, solution.zeta.astype(np.longdouble))
    error, margins = y - outputs, y * outputs
    losses = {
        "squared_hinge": np.maximum(0, 1 - margins) ** 2,
        "log_loss": np.log1p(np.exp(-margins)),
        "absolute_error": abs(error),
        "huber": np.where(abs(error) < 1.35, error**2 / 2, 1.35 * (abs(error) - 1.35 / 2)),
    }[loss]
    norm = np.sum(np.sqrt(np.sum(solution.zeta.astype(np.longdouble) ** 2, axis=(1, 2))))
    primal = float(norm**2 / 2 + 1e6 * np.sum(losses))
    # outputs of 1e5 have errors of 1e-11, a millionth of the value at this penalty each
    assert primal <= solution.primal_value <= primal * (1 + 1e-3)


def test_the_loss_of_a_class_that_is_all_but_certain():
    """Beside 1 it would vanish, and with a large C much would be missing."""
    f = np.array([[50.0, 0.0, 0.0], [0.0, 0.0, 40.0]])
    found = Multinomial(3).value(np.array([0, 2]), f, np.array([1e20, 1e20]))
    assert_allclose(found, 1e20 * np.log1p(2 * np.exp([-50.0, -40.0])), rtol=1e-14)


def test_relative_gap_of_values_that_are_not_positive():
    assert relative_gap(0.0, -1.0) == np.inf
    assert relative_gap(-1.0, -1.5) == 0.5


# -- more digits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0, 5, 30])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_accurate_products_are_within_their_bounds(spread, is_sparse):
    rng = np.random.default_rng(spread)
    n_samples, n_features, shape = 9, 5, (2, 2)
    X = rng.normal(size=(n_samples, n_features))
    X *= 10.0 ** rng.uniform(-spread, spread, size=n_features)
    X *= 10.0 ** rng.uniform(-spread, spread, size=(n_samples, 1))
    activations = rng.random((n_samples, *shape)) < 0.6
    design = make_design(GroupNorm(), csr_matrix(X) if is_sparse else X, activations)
    zeta = rng.normal(size=(*shape, n_features)) * 10.0 ** rng.uniform(-spread, spread, n_features)
    outputs, error = accurate_outputs(design, zeta.reshape(-1, n_features))
    exact = [
        sum(
            Fraction(zeta[h, c, d]) * Fraction(X[n, d])
            for h, c in np.argwhere(activations[n])
            for d in range(n_features)
        )
        for n in range(n_samples)
    ]
    for found, bound, wanted in zip(outputs, error, exact, strict=True):
        assert abs(Fraction(found) - wanted) <= Fraction(bound)
    mass = np.einsum("nd,hcd->n", abs(X), abs(zeta))
    assert np.all(error <= 2.0**-52 * np.abs(outputs) + 1e-20 * mass)

    coef = rng.normal(size=n_samples)
    sums, error = map(design.of_units, accurate_sums(design, coef))
    for h, c, d in np.ndindex(sums.shape):
        wanted = sum(
            Fraction(coef[n]) * Fraction(X[n, d]) for n in np.flatnonzero(activations[:, h, c])
        )
        assert abs(Fraction(sums[h, c, d]) - Fraction(wanted)) <= Fraction(error[h, c, d])
    mass = np.einsum("n,nhc,nd->hcd", abs(coef), activations, abs(X))
    assert np.all(error <= 2.0**-52 * np.abs(sums) + 1e-20 * mass)


# -- threads ---------------------------------------------------------------------------------------


def labelled_digits(n_samples):
    X, digit = load_digits(return_X_y=True)
    return X[:n_samples, 10:30], digit[:n_samples]


@pytest.mark.parametrize("estimator", [GLNNormSVC, GatedL2SVC])
@pytest.mark.parametrize("method", ["primal", "working-set"])
def test_a_fit_in_threads_is_the_serial_one_and_leaves_nothing_behind(estimator, method):
    X, y = labelled_digits(450)
    filters, threads = list(warnings.filters), threadpool_info()
    model = estimator(n_units=3, C=1e-3, method=method, random_state=0)
    serial = model.fit(X, y).zeta_
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        parallel = clone(model).set_params(n_jobs=6).fit(X, y).zeta_
    finally:
        sys.setswitchinterval(interval)
    assert_array_equal(parallel, serial)
    assert warnings.filters == filters
    assert [pool["num_threads"] for pool in threadpool_info()] == [
        pool["num_threads"] for pool in threads
    ]


def test_a_guess_that_comes_to_no_end_does_not_warn(monkeypatch):
    """Filters are global: ignored there by fits that overlap, a warning is ignored for good."""
    X, digit = labelled_digits(450)
    y = np.where(digit < 5, 1, -1)
    activations = HyperplaneGates(3, random_state=0).fit_transform(X)
    steps, tolerances = ("_STEPS", "_HARD_STEPS"), ("_TOL", "_HARD_TOL")
    for name, value in (*((name, 1) for name in steps), *((name, 1e-12) for name in tolerances)):
        monkeypatch.setattr(screening, name, value)
    for C in (np.inf, 1e3):
        problem = Problem(
            make_design(GLN(), X / 16.0, activations), Hinge(), 1.0 * y, np.full(len(y), C)
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            guess = screening.screen(problem)
        assert (guess is None) == np.isinf(C)  # without its end a hard margin may have none
        assert not caught
    for source in Path(gnorm.solvers.__file__).parent.rglob("*.py"):
        assert "catch_warnings" not in source.read_text(), source


def test_limits_of_threads_that_overlap_are_all_lifted():
    """Whoever leaves first must not lift the limit of the others, nor leave its own behind."""

    def numbers():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before = numbers()
        first, second, third = one_blas(10_000), one_blas(10), one_blas_thread()
        for limit in (first, second, third):
            limit.__enter__()
        assert numbers() == [1] * len(before)
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert numbers() == [1] * len(before)
        third.__exit__(None, None, None)
        assert numbers() == before


# -- degenerate gates ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["primal", "working-set"])
def test_units_of_one_context_are_the_linear_machine(method):
    """The norm of the predictors has one kernel, of one gate that is always open."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 4))
    y = np.where(X[:, 0] + 0.3 * rng.normal(size=500) > 0, 1, -1)
    model = GatedL2SVC(n_units=3, n_contexts=1, method=method, fit_intercept=False, tol=1e-6)
    linear = LinearSVC(loss="hinge", fit_intercept=False, tol=1e-8, max_iter=10**6)
    weights = linear.fit(X, y).coef_[0]
    assert_allclose(model.fit(X, y).zeta_[0].sum(axis=(0, 1)), weights, rtol=1e-2)
    assert model.duality_gap_[0] <= 1e-6


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["working-set", "interior-point", "primal"])
@pytest.mark.parametrize("sizes", [(60, 3, 2, 1), (200, 20, 10, 2), (150, 200, 3, 1)])
def test_few_samples_take_no_more_memory_than_is_allowed(method, sizes):
    """They are solved at once, in the least memory that the refusal of less names."""
    n_samples, n_features, *shape = sizes
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, n_features))
    y = np.where(X[:, 0] * X[:, 1] + 0.3 * rng.normal(size=n_samples) > 0, 1, -1)
    activations = rng.random((n_samples, *shape)) < 0.5
    max_margin(X, y, activations, C=1.0, method=method)  # what is loaded at the first call stays
    with pytest.raises(MemoryError) as refused:
        max_margin(X, y, activations, C=1.0, method=method, memory_limit=1.0)
    limit = 1.06 * float(re.search(r"at least (\S+) bytes", str(refused.value))[1])
    tracemalloc.start()
    try:
        solution = max_margin(X, y, activations, C=1.0, method=method, memory_limit=limit)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert solution.duality_gap <= 1e-6
    assert peak <= limit


# -- a second method -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "error", [RuntimeError, np.linalg.LinAlgError, ZeroDivisionError, MemoryError]
)
def test_a_second_method_that_fails_leaves_the_first_solution(error, monkeypatch, capsys):
    def fail(problem, run):
        raise error("expected a solution, got none")

    X, y, activations = some_margins()
    first = methods.METHODS["interior-point"]
    monkeypatch.setitem(methods.METHODS, "interior-point", replace(first, max_iter=2))
    for name in ("factored", "primal"):
        monkeypatch.setitem(methods.METHODS, name, replace(methods.METHODS[name], solve=fail))
    solution = solve(X, y, activations, C=10.0, verbose=1)
    assert solution.method == "interior-point"
    assert np.isfinite(solution.duality_gap)
    assert "method primal failed: expected a solution" in capsys.readouterr().out
    with pytest.raises(error):  # asked for by name it is the user's to hear of
        solve(X, y, activations, C=10.0, method="primal")


def test_ctrl_c_in_a_second_method_ends_all(monkeypatch):
    """What was best by then comes back, and no third method begins."""
    tried = []

    def interrupt(problem, run):
        tried.append(problem)
        run.best_so_far = lambda status: Point(0 * problem.y, zeta, status, 1)
        raise KeyboardInterrupt

    X, y, activations = some_margins()
    zeta = np.zeros((activations[0].size, 3))
    first, second = methods.METHODS["interior-point"], methods.METHODS["primal"]
    monkeypatch.setitem(methods.METHODS, "interior-point", replace(first, max_iter=2))
    monkeypatch.setitem(methods.METHODS, "primal", replace(second, solve=interrupt))
    with pytest.warns(ConvergenceWarning, match=r"interior-point .*\(interrupted\)"):
        solution = solve(X, y, activations, loss="squared_hinge", C=1e13)
    assert len(tried) == 1
    assert 0 < solution.duality_gap < 1


@pytest.fixture
def stalling(monkeypatch):
    """A method that separates nothing, and the problems that it was given."""
    given = []

    def stall(problem, run):
        given.append(problem)
        zeta = np.zeros(problem.design.rows_shape(1))
        run.best_so_far = lambda status: Point(0 * problem.y, zeta, status, 1)
        return certify(problem, run.best_so_far(Status.STALLED))

    for name in ("interior-point", "factored", "primal"):
        stalls = replace(methods.METHODS[name], solve=stall)
        monkeypatch.setitem(methods.METHODS, name, stalls)
    return given


def test_ctrl_c_in_the_linear_program_leaves_the_solution(stalling, monkeypatch):
    def interrupt(problem, limit):
        raise KeyboardInterrupt

    monkeypatch.setattr(attempts, "separation", interrupt)
    with pytest.warns(ConvergenceWarning, match=r"\(interrupted\)"):
        assert solve(*some_margins(), C=np.inf).duality_gap == np.inf


def test_ctrl_c_at_equal_scales_begins_no_linear_program(stalling, monkeypatch):
    stalls = methods.METHODS["interior-point"]

    def interrupt_the_second(problem, run):
        certificate = stalls.solve(problem, run)
        if len(stalling) == 2:
            raise KeyboardInterrupt
        return certificate

    interrupted = replace(stalls, solve=interrupt_the_second)
    monkeypatch.setitem(methods.METHODS, "interior-point", interrupted)
    monkeypatch.setattr(attempts, "separation", lambda problem, limit: pytest.fail("went on"))
    with pytest.warns(ConvergenceWarning, match=r"\(interrupted\)"):
        solve(*some_margins(), C=np.inf, method="interior-point")
    assert len(stalling) == 2


def test_a_separation_that_lacks_memory_leaves_the_solution(stalling, monkeypatch):
    def lacks(problem):
        raise MemoryError

    monkeypatch.setattr(attempts, "equilibrated", lacks)
    monkeypatch.setattr(attempts, "separation", lambda problem, limit: (None, None))
    with pytest.warns(ConvergenceWarning, match="no separating predictor"):
        solve(*some_margins(), C=np.inf)


# -- the ends of the range of floats ---------------------------------------------------------------


def some_margins():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 3))
    return X, np.where(X[:, 0] > 0, 1, -1), HyperplaneGates(2, random_state=0).fit_transform(X)


@pytest.mark.parametrize("exponent", [-150, -40, 40, 150])
@pytest.mark.parametrize("method", ["auto", "primal"])
def test_inputs_of_any_length_have_the_same_hard_margin(exponent, method):
    X, y, activations = some_margins()
    wanted = max_margin(X, y, activations, method=method, tol=1e-7)
    length = 10.0**exponent
    found = max_margin(length * X, y, activations, method=method, tol=1e-7)
    assert found.duality_gap <= 1e-7
    assert_allclose(length * found.norm, wanted.norm, rtol=1e-6)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "log_loss", "squared_error"])
@pytest.mark.parametrize("length", [1e-150, 1e-40, 1.0])
@pytest.mark.parametrize("C", [1e-150, 1.0])
def test_where_outputs_vanish_the_predictor_is_C_times_a_fixed_one(loss, length, C):
    X, y, activations = some_margins()
    if C * length**2 > 1e-30:
        return
    solution = solve(length * X, y, activations, loss=loss, C=C)
    assert solution.duality_gap <= 1e-6
    slope = 2.0 if loss == "squared_hinge" else 0.5 if loss == "log_loss" else 1.0
    assert_allclose(np.abs(solution.dual_coef), slope * C, rtol=1e-6)


@pytest.mark.parametrize("C", [1e20, 1e100, 1e300])
@pytest.mark.parametrize("method", ["auto", "primal", "working-set"])
def test_a_hinge_of_any_weight_is_a_hard_margin(C, method):
    X, y, activations = some_margins()
    solution = max_margin(X, y, activations, C, method=method)
    assert solution.duality_gap <= 1e-6
    assert_allclose(solution.norm, max_margin(X, y, activations).norm, rtol=1e-5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", ["absolute_error", "squared_error", "log_loss"])
@pytest.mark.parametrize("C", [1e60, 1e200, 1e300])
def test_a_loss_of_any_weight_ends_in_words(loss, C):
    X, y, activations = some_margins()
    for method in ("auto", "primal"):
        solution = solve(X, y, activations, loss=loss, C=C, method=method)
        assert (solution.status.value == "optimal") == (solution.duality_gap <= 1e-6)


@pytest.mark.parametrize("name", sorted(losses._LOSSES))
@pytest.mark.parametrize("unit", [0.25, 3.0, 1e60])
def test_a_loss_in_another_unit_is_the_same_but_for_a_power(name, unit):
    loss, rng = losses.get_loss(name), np.random.default_rng(0)
    if (found := loss.in_unit(unit)) is None:
        assert loss.is_margin or isinstance(
            loss, losses.ClassLoss
        )  # labels and classes have no unit
        return
    other, degree = found
    y, f, C = rng.normal(size=(3, 50)) * [[unit], [unit], [1.0]]
    wanted = loss.value(y, f, np.abs(C)) / unit**degree
    assert_allclose(other.value(y / unit, f / unit, np.abs(C)), wanted, rtol=1e-12)


@pytest.mark.parametrize(
    "loss", [SquaredError(), AbsoluteError(), Quantile(0.3), Huber(1.0), EpsilonInsensitive(0.2)]
)
@pytest.mark.parametrize("exponent", [-134, -60, 60, 134])
def test_targets_of_any_size_give_the_predictor_of_that_size(loss, exponent):
    X, _, activations = some_margins()
    y, size = np.random.default_rng(1).normal(size=len(X)), 10.0**exponent
    lengths = [item.name for item in fields(loss) if item.name in ("delta", "epsilon")]
    brought = replace(loss, **{name: getattr(loss, name) * size for name in lengths})
    degree = loss.in_unit(1.0)[1]
    wanted = solve(X, y, activations, loss=loss, C=3.0, tol=1e-8)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        C = 3.0 * size ** (2 - degree)
        found = solve(X, size * y, activations, loss=brought, C=C, tol=1e-8)
    assert found.duality_gap <= 1e-8
    assert_allclose(found.norm, wanted.norm * size, rtol=1e-3)
    assert_allclose(found.primal_value / size, wanted.primal_value * size, rtol=1e-7)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("exponent", [-320, -300, -160, -140, 140, 156, 300])
@pytest.mark.parametrize("name", TARGETS)
def test_targets_at_the_ends_of_the_range_are_solved_or_refused_in_words(name, exponent):
    X, _, activations = some_margins()
    y = np.random.default_rng(1).normal(size=len(X)) * 10.0 ** (exponent // 2)
    y = y * 10.0 ** (exponent - exponent // 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            solution = solve(X, y, activations, loss=name, C=1.0)
        except ValueError as error:
            solution, said = None, str(error)
    if solution is None:
        assert said.startswith("expected inputs and targets in a unit")
        assert abs(exponent) > 150
        return
    assert np.all(np.isfinite(solution.zeta))
    assert (solution.status.value == "optimal") == (solution.duality_gap <= 1e-6)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "quantile", "huber"])
@pytest.mark.parametrize("C", [1e16, 1e18])
def test_a_loss_that_is_most_of_the_value_is_that_of_a_lighter_one(loss, C):
    """The Newton systems of such weights have too few digits, and nobody needs to solve them."""
    X, _, activations = some_margins()
    y = np.random.default_rng(1).normal(size=len(X))
    activations, X = activations[:, :1], X[:, :2]  # too few to fit
    found = solve(X, y, activations, loss=loss, C=C)
    wanted = solve(X, y, activations, loss=loss, C=1e6, tol=1e-8)
    assert found.duality_gap <= 1e-6
    assert_allclose(found.primal_value / C, wanted.primal_value / 1e6, rtol=1e-4)


def test_what_cannot_be_represented_is_refused():
    X, y, activations = some_margins()
    with pytest.raises(ValueError, match=r"squared norms are at least 1e-300 .* got entries up to"):
        max_margin(np.full_like(X, 5e-324), y, activations)
    with pytest.raises(ValueError, match="C times the squared lengths of the inputs to be finite"):
        max_margin(1e100 * X, y, activations, C=1e200)
    with pytest.raises(ValueError, match=r"expected C times the weights of at least 2.2e-308"):
        max_margin(X, y, activations, C=1e-300, sample_weight=np.full(len(y), 1e-20))
    with pytest.raises(
        ValueError, match="dual coefficients and values are in the range of float64"
    ):
        max_margin(1e153 * X, y, activations)


# -- samples and features of very different lengths ------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("seed", [0, 1, 2, 4])
@pytest.mark.parametrize("is_separable", [True, False])
def test_separable_or_not_is_decided_at_any_scales(seed, is_separable):
    """Whatever the units of samples and features, there is a predictor or a proof of none."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 4))
    activations = HyperplaneGates(2, random_state=seed).fit_transform(X)
    y = np.where(X[:, 0] > 0, 1, -1) if is_separable else rng.permutation([1, -1] * 20)
    X *= 10.0 ** rng.uniform(-8, 8, size=(40, 1) if seed % 3 == 0 else 4)
    X *= 10.0 ** rng.uniform(-8, 8, size=(40, 1) if seed % 3 == 1 else 4)
    if is_separable:
        solution = max_margin(X, y, activations)
        assert np.isfinite(solution.duality_gap)
        margins = y * np.einsum("nhc,nd,hcd->n", activations, X, solution.zeta.astype("longdouble"))
        assert np.all(margins >= 1)
        return
    with pytest.raises(NotSeparableError) as error:
        max_margin(X, y, activations)
    terms = np.einsum("n,nhc,nd->nhcd", y * error.value.certificate, activations, X)
    assert np.all(np.abs(terms.sum(axis=0)) <= 1e-8 * np.abs(terms).sum(axis=0))
