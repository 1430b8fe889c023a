"""The norms as cvxpy expressions: by property over all, and in problems with known answers."""

import copy
import itertools
import math
import pickle
import warnings
from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

from gnorm import atoms, gated, max_margin, norms
from gnorm.gates import HyperplaneGates, ReLUGates

# Told by a solver that rounding errors stopped at 1e-8 or better; the numbers are tested.
pytestmark = pytest.mark.filterwarnings("ignore:Solution may be inaccurate")

SOLVERS = ["CLARABEL", "SCS"]
SIZES = [(1, 1, 1), (3, 1, 2), (1, 3, 2), (2, 2, 1), (3, 4, 5), (4, 5, 2)]


def unit_weights(n_units):
    return np.abs(np.arange(n_units) - 1.0)  # that of the second unit is zero


@dataclass(frozen=True)
class Atom:
    """A scalar atom of zeta: as an expression, and as a number by the numpy norms."""

    name: str
    build: Any
    value: Any
    is_increasing: bool  # in non-negative zeta
    sees_representation: bool  # is not a function of the predictors alone
    one_context: bool = False

    def __call__(self, zeta, n_contexts=None):
        if zeta.ndim == 2 and not self.one_context:
            return self.build(zeta, n_contexts=n_contexts)
        return self.build(zeta)


def norm_of_free(zeta, n_contexts=None):
    """The norm of the free predictors of zeta, which are an affine expression of it."""
    is_flat = zeta.ndim == 2
    n_units, n_contexts = (zeta.shape[0] // n_contexts, n_contexts) if is_flat else zeta.shape[:2]
    basis = np.eye(n_units * n_contexts).reshape(n_units, n_contexts, -1)
    if not is_flat:  # rows in the column-major order of cvxpy
        zeta = cp.reshape(zeta, (len(basis) * n_contexts, zeta.shape[2]), order="F")
        basis = basis.reshape(n_units, n_contexts, n_units, n_contexts).swapaxes(2, 3)
        basis = basis.reshape(n_units, n_contexts, -1)
    free = gated.free_predictors(basis) @ zeta
    return atoms.gln_norm_of_predictors(free, n_units, n_contexts)


def weighted_cost(zeta, n_contexts=None):
    n_units = zeta.shape[0] if zeta.ndim == 3 else zeta.shape[0] // n_contexts
    return atoms.representation_cost(zeta, unit_weights(n_units), n_contexts=n_contexts)


ATOMS = {
    atom.name: atom
    for atom in [
        Atom("gln_norm", atoms.gln_norm, norms.gln_norm, False, False),
        Atom("norm_of_free", norm_of_free, norms.gln_norm, False, False),
        Atom(
            "representation_cost", atoms.representation_cost, norms.representation_cost, True, True
        ),
        Atom(
            "weighted_cost",
            weighted_cost,
            lambda zeta: float(unit_weights(len(zeta)) @ norms.unit_norms(zeta)),
            True,
            True,
        ),
        Atom("frelu_norm", atoms.frelu_norm, norms.frelu_norm, True, True, one_context=True),
        Atom(
            "predictor_rms_norm", atoms.predictor_rms_norm, norms.predictor_rms_norm, False, False
        ),
        Atom("predictor_l2_norm", atoms.predictor_l2_norm, norms.predictor_l2_norm, False, False),
        Atom("dual_norm", atoms.dual_norm, norms.dual_norm, True, True),
    ]
}
CASES = [
    pytest.param(atom, size, id=f"{name}-{'x'.join(map(str, size))}")
    for name, atom in ATOMS.items()
    for size in SIZES
    if size[1] == 1 or not atom.one_context
]
for_each_case = pytest.mark.parametrize(("atom", "size"), CASES)


def sizes_of(atom):
    sides = st.integers(1, 4)
    return st.tuples(sides, st.just(1) if atom.one_context else sides, sides)


def random_zeta(size, seed=0):
    return np.random.default_rng(seed).normal(size=size)


def degenerate(size, seed=0):
    """Points at which some norm has a kink: nothing, equal contexts, no mean, a unit of zeros."""
    zeta = random_zeta(size, seed)
    equal = np.broadcast_to(zeta[:, :1], size).copy()
    no_mean = zeta - zeta.mean(axis=(0, 1))
    off = zeta.copy()
    off[0] = 0.0
    return [np.zeros(size), equal, no_mean, off, equal - equal.mean(axis=0)]


def points(size):
    return [random_zeta(size), 1e6 * random_zeta(size, 1), *degenerate(size)]


def rows_of(zeta):
    return zeta.reshape(-1, zeta.shape[2])


def variable_at(zeta):
    variable = cp.Variable(zeta.shape)
    variable.value = zeta
    return variable


def gradient(expression, variable):
    """Gradient in the shape of the variable; cvxpy gives a column, or a number for one entry."""
    column = expression.grad[variable]
    column = column.toarray() if sp.issparse(column) else np.asarray(column)
    return column.reshape(variable.shape, order="F")


# -- by property, over all atoms -------------------------------------------------------------------


@for_each_case
def test_sign_and_curvature(atom, size):
    for zeta in (cp.Variable(size), cp.Variable((size[0] * size[1], size[2]))):
        expression = atom(zeta, size[1])
        assert expression.shape == ()
        assert expression.is_nonneg()
        assert not expression.is_nonpos()
        assert expression.is_convex()
        assert not expression.is_affine()
        assert (-expression).is_concave()
        assert not (-expression).is_convex()
        affine = atom(2.0 * zeta - np.ones(zeta.shape), size[1])
        assert affine.is_convex()


@for_each_case
def test_monotonicity(atom, size):
    zeta = cp.Variable((size[0] * size[1], size[2]))
    # Of one context nothing but the mean predictor enters, which grows with every entry.
    is_monotone = atom.is_increasing or size[1] == 1
    if atom.name != "norm_of_free":  # its free predictors come from zeta by differences
        assert atom(cp.square(zeta), size[1]).is_convex() == is_monotone
    assert not atom(cp.sqrt(zeta), size[1]).is_convex()
    assert not atom(cp.sqrt(zeta), size[1]).is_concave()
    assert not atom(cp.exp(zeta) - 1, size[1]).is_convex()  # convex, but of either sign


@for_each_case
def test_value_of_everything_cvxpy_knows(atom, size):
    for zeta in points(size):
        expected = atom.value(zeta)
        tolerance = {"rtol": 1e-12, "atol": 1e-13 * np.abs(zeta).max()}
        parameter = cp.Parameter(size, value=zeta)
        flat = cp.Parameter(rows_of(zeta).shape, value=rows_of(zeta))
        for form in (zeta, rows_of(zeta), cp.Constant(zeta), variable_at(zeta), parameter, flat):
            assert_allclose(atom(form, size[1]).value, expected, **tolerance)
        assert_allclose(atom(2 * flat - flat / 2, size[1]).value, 1.5 * expected, **tolerance)


@pytest.mark.parametrize("name", ["gln_norm", "representation_cost", "dual_norm", "unit_norms"])
def test_value_of_lists_and_sparse_matrices(name):
    zeta = random_zeta((2, 3, 4))
    expected = getattr(norms, name)(zeta)
    atom = getattr(atoms, name)
    assert_allclose(atom(zeta.tolist()).value, expected)
    assert_allclose(atom(sp.csr_matrix(rows_of(zeta)), n_contexts=3).value, expected)
    assert_array_equal(atom(np.ones((2, 3, 4), dtype=int)).value, getattr(norms, name)(zeta**0))


@pytest.mark.parametrize("atom", ATOMS.values(), ids=ATOMS)
@given(data=st.data(), seed=st.integers(0, 2**16), exponent=st.integers(-50, 50))
def test_value(atom, data, seed, exponent):
    zeta = 10.0**exponent * random_zeta(data.draw(sizes_of(atom)), seed)
    assert_allclose(atom(zeta, zeta.shape[1]).value, atom.value(zeta), rtol=1e-11)


@for_each_case
def test_gradient_by_finite_differences(atom, size):
    zeta, step = random_zeta(size), 1e-6
    variable = variable_at(zeta)
    found = gradient(atom(variable, size[1]), variable)
    for i in itertools.islice(np.ndindex(size), 10):
        change = np.zeros(size)
        change[i] = step
        difference = atom.value(zeta + change) - atom.value(zeta - change)
        assert_allclose(found[i], difference / (2 * step), rtol=1e-6, atol=1e-7)


@for_each_case
def test_gradient_is_a_subgradient_at_kinks(atom, size):
    for zeta in degenerate(size):
        variable = variable_at(zeta)
        expression = atom(variable, size[1])
        value, found = expression.value, gradient(expression, variable)
        assert np.all(np.isfinite(found))
        for seed in range(5):
            for length in (1e-3, 1.0, 1e3):
                step = length * random_zeta(size, 100 + seed)
                bound = value + np.sum(found * step)
                assert atom.value(zeta + step) >= bound - 1e-9 * (1 + length + value)


@for_each_case
def test_parameters_change_without_recompiling(atom, size):
    n_contexts = size[1]
    shape = (size[0] * n_contexts, size[2])
    variable, target, penalty = cp.Variable(shape), cp.Parameter(shape), cp.Parameter(nonneg=True)

    def objective(variable, target, penalty):
        costs = penalty * atom(variable, n_contexts) + atom(variable - target, n_contexts)
        return cp.Minimize(costs + cp.sum_squares(variable))

    problem = cp.Problem(objective(variable, target, penalty))
    assert problem.is_dcp(dpp=True)
    programs = []
    for seed, penalty.value in enumerate([0.1, 0.5]):
        target.value = random_zeta(shape, seed)
        programs.append(problem.get_problem_data("CLARABEL")[0][cp.settings.PARAM_PROB])
        problem.solve(solver="CLARABEL")
        constant = cp.Problem(objective(cp.Variable(shape), target.value, penalty.value))
        assert_allclose(problem.value, constant.solve(solver="CLARABEL"), rtol=1e-6)
    assert programs[0] is programs[1]


@for_each_case
def test_pickling(atom, size):
    zeta = random_zeta(size)
    expression = atom(variable_at(zeta), size[1])
    copied = pickle.loads(pickle.dumps(expression))
    assert_allclose(copied.value, atom.value(zeta), rtol=1e-12)
    assert copied.is_convex()
    assert copied.is_nonneg()


@pytest.mark.parametrize("atom", ATOMS.values(), ids=ATOMS)
def test_non_convex_use_is_refused(atom):
    zeta = cp.Variable((3, 2))
    norm = atom(zeta, 1)
    for problem in (
        cp.Problem(cp.Minimize(cp.sum(zeta)), [norm >= 1]),
        cp.Problem(cp.Minimize(cp.sum(zeta)), [norm == 1]),
        cp.Problem(cp.Maximize(norm), [zeta <= 1]),
    ):
        assert not problem.is_dcp()
        with pytest.raises(cp.DCPError):
            problem.solve(solver="CLARABEL")


@pytest.mark.parametrize(
    "atom", [atom for atom in ATOMS.values() if not atom.sees_representation], ids=lambda a: a.name
)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_function_of_the_predictors_alone(atom, data, seed):
    zeta = random_zeta(data.draw(sizes_of(atom)), seed)
    shifts = random_zeta((len(zeta), 1, zeta.shape[2]), seed + 1)
    other = zeta + shifts - shifts.mean(axis=0)
    found = atom(other, zeta.shape[1]).value
    assert_allclose(found, atom(zeta, zeta.shape[1]).value, rtol=1e-9)


@given(st.tuples(*[st.integers(1, 4)] * 3), st.integers(0, 2**16))
def test_unit_norms(size, seed):
    zeta = random_zeta(size, seed)
    found = atoms.unit_norms(zeta)
    assert found.shape == (size[0],)
    assert_allclose(found.value, norms.unit_norms(zeta), rtol=1e-12)


GATES = np.random.default_rng(7).random((5, 3, 2)) < 0.6
INPUTS = random_zeta((5, 4), 8)
OF_SHAPE_3_2_4 = {
    "unit_norms": (lambda zeta: cp.sum(atoms.unit_norms(zeta, n_contexts=2)), norms.unit_norms),
    "decision_values": (
        lambda zeta: cp.sum_squares(atoms.decision_values(zeta, INPUTS, GATES)),
        lambda zeta: gated.decision_values(INPUTS, GATES, zeta) ** 2,
    ),
    "decision_values_sparse": (
        lambda zeta: cp.sum_squares(atoms.decision_values(zeta, sp.csr_array(INPUTS), GATES)),
        lambda zeta: gated.decision_values(INPUTS, GATES, zeta) ** 2,
    ),
    "predictors": (
        lambda zeta: cp.sum_squares(atoms.predictors(zeta, [1, 0, 1], n_contexts=2)),
        lambda zeta: gated.predictors(zeta)[1, 0, 1] ** 2,
    ),
}
for_each_vector = pytest.mark.parametrize(
    ("build", "value"), OF_SHAPE_3_2_4.values(), ids=OF_SHAPE_3_2_4
)


@for_each_vector
def test_gradient_through_vectors(build, value):
    zeta, step = random_zeta((3, 2, 4)), 1e-6
    variable = variable_at(rows_of(zeta))
    found = gradient(build(variable), variable).reshape(zeta.shape)
    for i in np.ndindex(zeta.shape):
        change = np.zeros(zeta.shape)
        change[i] = step
        difference = np.sum(value(zeta + change)) - np.sum(value(zeta - change))
        assert_allclose(found[i], difference / (2 * step), rtol=1e-6, atol=1e-7)


@for_each_vector
def test_parameters_in_vectors_change_without_recompiling(build, value):
    variable, target, penalty = cp.Variable((6, 4)), cp.Parameter((6, 4)), cp.Parameter(nonneg=True)

    def objective(variable, target, penalty):
        costs = penalty * build(variable) + build(variable - target)
        return cp.Minimize(costs + cp.sum_squares(variable - 1.0))

    problem = cp.Problem(objective(variable, target, penalty))
    assert problem.is_dcp(dpp=True)
    programs = []
    for seed, penalty.value in enumerate([0.1, 0.5]):
        target.value = random_zeta((6, 4), seed)
        programs.append(problem.get_problem_data("CLARABEL")[0][cp.settings.PARAM_PROB])
        problem.solve(solver="CLARABEL")
        constant = cp.Problem(objective(cp.Variable((6, 4)), target.value, penalty.value))
        assert_allclose(problem.value, constant.solve(solver="CLARABEL"), rtol=1e-6)
    assert programs[0] is programs[1]


@for_each_vector
def test_pickling_of_vectors(build, value):
    zeta = random_zeta((3, 2, 4))
    copied = pickle.loads(pickle.dumps(build(variable_at(rows_of(zeta)))))
    assert_allclose(copied.value, np.sum(value(zeta)), rtol=1e-12)
    assert copied.is_convex()


# -- what reaches the solver -----------------------------------------------------------------------


@pytest.mark.parametrize("n_contexts", [*range(1, 12), 37, 64])
def test_contrasts_are_an_orthonormal_basis_of_deviations(n_contexts):
    basis = atoms._contrast_basis(n_contexts).toarray()
    assert basis.shape == (n_contexts - 1, n_contexts)
    centring = np.eye(n_contexts) - 1 / n_contexts
    assert_allclose(basis.T @ basis, centring, atol=1e-14)
    assert_allclose(basis @ basis.T, np.eye(n_contexts - 1), atol=1e-14)
    assert np.count_nonzero(basis) <= n_contexts * math.ceil(math.log2(n_contexts) + 1e-9)


@pytest.mark.parametrize("name", ["gln_norm", "representation_cost", "predictor_rms_norm"])
def test_compiled_norms_are_sparse(name):
    n_units, n_contexts, n_features = 30, 8, 20
    size = n_units * n_contexts * n_features
    zeta = cp.Variable((n_units * n_contexts, n_features))
    problem = cp.Problem(cp.Minimize(getattr(atoms, name)(zeta, n_contexts=n_contexts)))
    data, _, _ = problem.get_problem_data("CLARABEL")
    assert data["A"].nnz <= 5 * size  # contrasts log2(C), the mean one, and a few a unit
    assert sum(constant.size for constant in problem.constants()) <= (n_units * n_contexts) ** 2


@pytest.mark.parametrize("is_sparse", [False, True])
def test_gated_features_are_not_built(is_sparse):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 7))
    activations = np.arange(4) == rng.integers(4, size=(50, 20, 1))
    f = atoms.decision_values(
        cp.Variable((80, 7)), sp.csr_array(X) if is_sparse else X, activations
    )
    assert max(constant.size for constant in f.constants()) <= 50 * 80
    problem = cp.Problem(cp.Minimize(cp.sum_squares(f)))
    data, _, _ = problem.get_problem_data("SCS")
    assert data["A"].nnz <= 50 * 20 * 7 + 2 * 50 + 10


@pytest.mark.parametrize("name", ["gln_norm", "representation_cost", "predictor_rms_norm"])
def test_three_dimensions_compile_as_two(name):
    """A three-dimensional variable is compiled by the SCIPY backend; cvxpy chooses it and warns."""
    target = random_zeta((3, 2, 4))
    gates = np.arange(2) == np.random.default_rng(0).integers(2, size=(10, 3, 1))
    X = random_zeta((10, 4))
    values = []
    for shape in (target.shape, (6, 4)):
        zeta = cp.Variable(shape)
        fitted = atoms.decision_values(zeta, X, gates)
        loss = cp.sum_squares(fitted - gated.decision_values(X, gates, target))
        norm = getattr(atoms, name)(zeta, n_contexts=2)
        problem = cp.Problem(cp.Minimize(loss + norm))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            options = {"canon_backend": "SCIPY"} if len(shape) == 3 else {}
            values.append(problem.solve(solver="CLARABEL", **options))
        if len(shape) == 3:
            with pytest.warns(UserWarning, match="dimension greater than 2"):
                again = cp.Problem(problem.objective).solve(solver="CLARABEL")
            assert_allclose(again, values[0], rtol=1e-7)
    assert_allclose(*values, rtol=1e-6)


# -- affine maps -----------------------------------------------------------------------------------


@given(
    size=st.tuples(*[st.integers(1, 4)] * 3),
    n_samples=st.integers(1, 6),
    seed=st.integers(0, 2**16),
    density=st.sampled_from([0.0, 0.4, 1.0]),
)
def test_decision_values(size, n_samples, seed, density):
    rng = np.random.default_rng(seed)
    zeta, X = rng.normal(size=size), rng.normal(size=(n_samples, size[2]))
    activations = rng.random((n_samples, *size[:2])) < density
    expected = gated.decision_values(X, activations, zeta)
    for form in (zeta, rows_of(zeta), variable_at(zeta), variable_at(rows_of(zeta))):
        for inputs in (X, X.tolist(), sp.csr_matrix(X), sp.coo_array(X)):
            found = atoms.decision_values(form, inputs, activations)
            assert found.shape == (n_samples,)
            assert found.is_affine()
            assert_allclose(found.value, expected, rtol=1e-12, atol=1e-12)


def test_gradient_of_decision_values_is_the_accumulated_features():
    rng = np.random.default_rng(0)
    X, coef = rng.normal(size=(8, 4)), rng.normal(size=8)
    activations = rng.random((8, 2, 3)) < 0.5
    for inputs in (X, sp.csr_matrix(X)):
        zeta = variable_at(random_zeta((2, 3, 4)))
        found = gradient(coef @ atoms.decision_values(zeta, inputs, activations), zeta)
        assert_allclose(found, gated.accumulate(X, activations, coef), atol=1e-12)


@given(size=st.tuples(*[st.integers(1, 3)] * 3), seed=st.integers(0, 2**16))
def test_predictors(size, seed):
    zeta = random_zeta(size, seed)
    beta = gated.predictors(zeta)
    for context in itertools.product(range(size[1]), repeat=size[0]):
        for form in (zeta, variable_at(zeta)):
            found = atoms.predictors(form, context)
            assert found.is_affine()
            assert_allclose(found.value, beta[context], rtol=1e-12, atol=1e-14)
        flat = atoms.predictors(rows_of(zeta), np.array(context), n_contexts=size[1])
        assert_allclose(flat.value, beta[context], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", np.typecodes["AllInteger"])
def test_predictors_of_contexts_of_any_integer_type(dtype):
    zeta = random_zeta((100, 4, 2))  # 3 * 100 rows are more than eight bits count
    context = np.arange(100) % 4
    expected = zeta[np.arange(100), context].sum(axis=0)
    assert_allclose(atoms.predictors(zeta, context.astype(dtype)).value, expected, rtol=1e-12)


@given(st.tuples(*[st.integers(1, 4)] * 3), st.integers(0, 2**16))
def test_norm_of_free_predictors(size, seed):
    free = random_zeta(((size[1] - 1) * size[0] + 1, size[2]), seed)
    expected = norms.gln_norm(gated.from_free_predictors(free, *size[:2]))
    for form in (free, free.tolist(), cp.Constant(free), variable_at(free)):
        found = atoms.gln_norm_of_predictors(form, *size[:2])
        assert_allclose(found.value, expected, rtol=1e-11)


# -- errors ----------------------------------------------------------------------------------------

NAMED = ["gln_norm", "representation_cost", "predictor_rms_norm", "predictor_l2_norm", "dual_norm"]


@pytest.mark.parametrize("name", [*NAMED, "unit_norms"])
def test_malformed_zeta(name):
    atom = getattr(atoms, name)
    with pytest.raises(
        ValueError, match=r"expected (zeta|V) of shape \(n_units, .* got shape \(4,"
    ):
        atom(cp.Variable(4))
    with pytest.raises(ValueError, match=r"expected (zeta|V) with entries, got shape \(2, 0, 3\)"):
        atom(np.ones((2, 0, 3)))
    with pytest.raises(ValueError, match=r"expected n_contexts with .* got shape \(4, 3\) alone"):
        atom(cp.Variable((4, 3)))
    with pytest.raises(ValueError, match=r"divides .* got n_contexts=3 and 4 rows"):
        atom(cp.Variable((4, 3)), n_contexts=3)
    for bad in (0, -1, 2.0, True, np.True_, "2", [2]):
        for shape in ((4, 3), (2, 2, 3)):
            with pytest.raises(
                ValueError, match="n_contexts as an integer of at least 1, got"
            ) as e:
                atom(cp.Variable(shape), n_contexts=bad)
            assert str(e.value).endswith(repr(bad))
    assert atom(cp.Variable((4, 3)), n_contexts=np.int8(2)).is_convex()
    with pytest.raises(ValueError, match=r"with 3 contexts per unit, got shape \(2, 2, 3\)"):
        atom(cp.Variable((2, 2, 3)), n_contexts=3)
    for form in (cp.Variable((2, 2, 3), complex=True), 1j * np.ones((2, 2, 3))):
        with pytest.raises(ValueError, match=r"expected real .* got a complex expression"):
            atom(form)
    with pytest.raises(ValueError, match=r"expected real .* got dtype <U1"):
        atom([[["a"]]])
    for bad in (np.nan, np.inf):
        for form in (np.full((2, 2, 3), bad), cp.Constant(np.full((2, 2, 3), bad))):
            with pytest.raises(ValueError, match=r"expected finite .* got NaN or infinite"):
                atom(form)


@pytest.mark.parametrize("atom", [atoms.representation_cost, atoms.frelu_norm])
def test_malformed_weights(atom):
    zeta = cp.Variable((3, 1, 2))
    with pytest.raises(ValueError, match=r"expected weights of shape \(3,\), got shape \(2,\)"):
        atom(zeta, [1.0, 2.0])
    with pytest.raises(ValueError, match=r"expected weights of shape \(3,\), got shape \(\)"):
        atom(zeta, cp.Parameter(nonneg=True))
    with pytest.raises(ValueError, match=r"weights >= 0, .* got values between -1\.0 and 2\.0"):
        atom(zeta, [1.0, -1.0, 2.0])
    with pytest.raises(ValueError, match=r"such as Parameter\(3, nonneg=True\), got Parameters of"):
        atom(zeta, cp.Parameter(3))
    with pytest.raises(ValueError, match="weights of constants and Parameters, got an expression"):
        atom(zeta, cp.Variable(3, nonneg=True))
    with pytest.raises(ValueError, match="expected finite weights, got NaN"):
        atom(zeta, [1.0, np.nan, 2.0])


def test_frelu_norm_takes_one_context():
    with pytest.raises(
        ValueError, match=r"one context per unit, the open gate, got 2 contexts; .*gln"
    ):
        atoms.frelu_norm(cp.Variable((3, 2, 4)))


def test_overflow_of_the_number_of_predictors():
    zeta = cp.Variable((6000, 2))
    with pytest.raises(OverflowError, match=r"over 2\^3000 contexts .* use predictor_rms_norm"):
        atoms.predictor_l2_norm(zeta, n_contexts=2)
    assert atoms.predictor_rms_norm(zeta, n_contexts=2).is_convex()


def test_malformed_free_predictors():
    with pytest.raises(ValueError, match=r"free of shape \(7, n_features\), got shape \(6, 2\)"):
        atoms.gln_norm_of_predictors(cp.Variable((6, 2)), n_units=2, n_contexts=4)
    with pytest.raises(ValueError, match=r"free of shape \(7, n_features\), got shape \(7,\)"):
        atoms.gln_norm_of_predictors(cp.Variable(7), n_units=2, n_contexts=4)
    for bad in (0, 1.0, True, "1"):
        with pytest.raises(ValueError, match="n_units as an integer of at least 1, got"):
            atoms.gln_norm_of_predictors(cp.Variable((1, 2)), n_units=bad, n_contexts=4)
        with pytest.raises(ValueError, match="n_contexts as an integer of at least 1, got"):
            atoms.gln_norm_of_predictors(cp.Variable((1, 2)), n_units=1, n_contexts=bad)


def test_samples_that_do_not_fit_zeta():
    X, activations = np.ones((5, 3)), np.ones((5, 2, 4), dtype=bool)
    message = "X with 3 features and activations with 2 units of 3 contexts, .* got 3, 2 and 4"
    with pytest.raises(ValueError, match=r"with 4 contexts per unit, got shape \(2, 3, 3\)"):
        atoms.decision_values(cp.Variable((2, 3, 3)), X, activations)
    message = "X with 2 features and activations with 3 units of 4 contexts, .* got 3, 2 and 4"
    with pytest.raises(ValueError, match=message):
        atoms.decision_values(cp.Variable((12, 2)), X, activations)
    with pytest.raises(ValueError, match="got n_contexts=4 and 7 rows of zeta"):
        atoms.decision_values(cp.Variable((7, 3)), X, activations)
    with pytest.raises(ValueError, match=r"activations of dtype bool and shape \(5, n_units"):
        atoms.decision_values(cp.Variable((8, 3)), X, activations[:4])
    with pytest.raises(ValueError, match="NaN"):
        atoms.decision_values(cp.Variable((8, 3)), np.full((5, 3), np.nan), activations)
    with pytest.raises(ValueError, match="expected X as an array, got a cvxpy expression"):
        atoms.decision_values(cp.Variable((8, 3)), cp.Constant(X), activations)


@pytest.mark.parametrize("context", [[0.0, 1.0], [0], [[0, 1]], 0])
def test_context_of_the_wrong_kind(context):
    with pytest.raises(
        ValueError, match=r"expected context of integers and shape \(2,\), got dtype"
    ):
        atoms.predictors(cp.Variable((2, 3, 4)), context)


@pytest.mark.parametrize("context", [[0, 3], [-1, 0]])
def test_context_that_does_not_exist(context):
    with pytest.raises(ValueError, match="expected context between 0 and 2, got values between"):
        atoms.predictors(cp.Variable((2, 3, 4)), context)


# -- in problems -----------------------------------------------------------------------------------


def solve(problem, solver):
    """Solve, and return the relative accuracy to expect of the value."""
    options = {"SCS": {"eps": 1e-8, "max_iters": 100_000}}
    problem.solve(solver=solver, **options.get(solver, {}))
    assert problem.status in cp.settings.SOLUTION_PRESENT
    return {"CLARABEL": 1e-6, "SCS": 1e-4}[solver]


def cancer(n_samples=40, n_features=6):
    """Six features and a constant, labels, and gates of either kind."""
    X, y = load_breast_cancer(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[:n_samples]
    X = np.column_stack([scale(X)[rows, :n_features], np.ones(n_samples)])
    gln = HyperplaneGates(n_units=3, n_contexts=2, random_state=0).fit(X).transform(X)
    frelu = ReLUGates(n_units=4, random_state=0).fit(X).transform(X)
    return X, 2.0 * y[rows] - 1, {"gln": gln, "frelu": frelu}


def new_zeta(activations, n_features):
    _, n_units, n_contexts = activations.shape
    return cp.Variable((n_units * n_contexts, n_features))


def shaped(zeta, activations):
    return zeta.value.reshape(*activations.shape[1:], -1)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("size", [(2, 2, 3), (3, 3, 2), (1, 4, 2), (3, 1, 2)])
def test_cost_under_given_predictors_is_the_closed_form(size, solver):
    """Definition (20): the least cost of weights with given predictors is the norm of these."""
    known = random_zeta(size)
    zeta = cp.Variable((size[0] * size[1], size[2]))
    contexts = itertools.product(range(size[1]), repeat=size[0])
    linking = [
        atoms.predictors(zeta, gamma, n_contexts=size[1]) == gated.predictors(known)[gamma]
        for gamma in contexts
        if np.count_nonzero(gamma) <= 1  # the free ones determine all
    ]
    cost = atoms.representation_cost(zeta, n_contexts=size[1])
    norm = atoms.gln_norm(zeta, n_contexts=size[1])
    problem = cp.Problem(cp.Minimize(cost), linking)
    rtol = solve(problem, solver)
    assert_allclose(problem.value, norms.gln_norm(known), rtol=rtol)
    assert_allclose(norm.value, norms.gln_norm(known), rtol=rtol)
    # the minimiser is known to the square root of the accuracy of the value
    assert_allclose(zeta.value.reshape(size), gated.canonical(known), atol=3 * math.sqrt(rtol))
    problem = cp.Problem(cp.Minimize(norm), linking)
    solve(problem, solver)
    assert_allclose(problem.value, norms.gln_norm(known), rtol=rtol)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ["gln_norm", "representation_cost"])
def test_least_norm_through_one_point(name, solver):
    """With gates that are one-hot, f(x) <= norm ||x||, attained."""
    x, target = random_zeta((1, 4)), 3.0
    activations = np.arange(3) == np.array([2, 0, 1, 1]).reshape(1, 4, 1)
    zeta = new_zeta(activations, 4)
    norm = getattr(atoms, name)(zeta, n_contexts=3)
    through = atoms.decision_values(zeta, x, activations) == target
    problem = cp.Problem(cp.Minimize(norm), [through])
    rtol = solve(problem, solver)
    assert_allclose(problem.value, target / np.linalg.norm(x), rtol=rtol)
    # the multiplier is the derivative of the least norm in the target
    assert_allclose(abs(through.dual_value), 1 / np.linalg.norm(x), rtol=10 * rtol)


@pytest.mark.parametrize("solver", SOLVERS)
def test_exclusive_or(solver):
    X = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    activations = np.stack([X[:, 0] < 0, X[:, 0] >= 0], axis=-1)[:, None, :]
    zeta = new_zeta(activations, 2)
    values = atoms.decision_values(zeta, X, activations)
    problem = cp.Problem(
        cp.Minimize(atoms.gln_norm(zeta, n_contexts=2)), [values == [1, -1, 1, -1]]
    )
    rtol = solve(problem, solver)
    assert_allclose(problem.value, math.sqrt(2), rtol=rtol)
    assert_allclose(zeta.value, [[0, -1], [0, 1]], atol=10 * rtol)


LOSSES = {
    "square": (lambda f, y: cp.sum_squares(f - y) / 2, lambda f, y: f - y),
    "logistic": (
        lambda f, y: cp.sum(cp.logistic(cp.multiply(-y, f))),
        lambda f, y: -y / (1 + np.exp(y * f)),
    ),
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["gln", "frelu"])
def test_multiplier_of_a_norm_ball_is_the_dual_norm_of_the_gradient(kind, loss, solver):
    X, y, activations = cancer()
    activations = activations[kind]
    n_contexts = activations.shape[2]
    zeta = new_zeta(activations, X.shape[1])
    norm = atoms.gln_norm(zeta, n_contexts=n_contexts) if kind == "gln" else atoms.frelu_norm(zeta)
    ball = norm <= 0.5
    value, derivative = LOSSES[loss]
    f = atoms.decision_values(zeta, X, activations)
    rtol = solve(cp.Problem(cp.Minimize(value(f, y)), [ball]), solver)
    assert_allclose(norm.value, 0.5, rtol=rtol)
    slope = gated.accumulate(X, activations, derivative(f.value, y))
    assert_allclose(ball.dual_value, norms.dual_norm(slope), rtol=30 * rtol)
    assert_allclose(ball.dual_value, atoms.dual_norm(slope).value, rtol=30 * rtol)
    # and the ball is the largest set with its support function
    assert_allclose(
        np.sum(slope * shaped(zeta, activations)), -0.5 * norms.dual_norm(slope), rtol=1e-3
    )


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["gln", "frelu"])
def test_optimality_of_a_penalized_loss(kind, loss, solver):
    """The gradient lies in the ball of the dual norm, and units inside it are off."""
    X, y, activations = cancer()
    activations = activations[kind]
    zeta = new_zeta(activations, X.shape[1])
    value, derivative = LOSSES[loss]
    f = atoms.decision_values(zeta, X, activations)
    cost = atoms.representation_cost(zeta, n_contexts=activations.shape[2])
    problem = cp.Problem(cp.Minimize(value(f, y) + 6.0 * cost))
    rtol = solve(problem, solver)
    slope = gated.accumulate(X, activations, derivative(f.value, y))
    lengths, units = norms.unit_norms(slope), norms.unit_norms(shaped(zeta, activations))
    assert norms.dual_norm(slope) <= 6.0 * (1 + 30 * rtol)
    assert_allclose(units[lengths < 5.9], 0.0, atol=30 * rtol)
    assert np.any(units > 0.01)
    if kind == "gln":
        norm = atoms.gln_norm(zeta, n_contexts=2)
        by_norm = cp.Problem(cp.Minimize(value(f, y) + 6.0 * norm))
        expected = problem.value
        solve(by_norm, solver)
        assert_allclose(by_norm.value, expected, rtol=10 * rtol)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("C", [0.1, 10.0, np.inf])
@pytest.mark.parametrize("kind", ["gln", "frelu"])
def test_hinge_loss_is_the_max_margin_problem(kind, C, solver):
    X, y, activations = cancer(n_samples=25)
    activations = activations[kind]
    zeta = new_zeta(activations, X.shape[1])
    norm = atoms.gln_norm(zeta, n_contexts=2) if kind == "gln" else atoms.frelu_norm(zeta)
    margins = cp.multiply(y, atoms.decision_values(zeta, X, activations))
    if np.isinf(C):
        problem = cp.Problem(cp.Minimize(cp.square(norm) / 2), [margins >= 1])
    else:
        problem = cp.Problem(cp.Minimize(cp.square(norm) / 2 + C * cp.sum(cp.pos(1 - margins))))
    rtol = solve(problem, solver)
    expected = max_margin(X, y, activations, C, tol=1e-8)
    assert_allclose(problem.value, expected.primal_value, rtol=rtol)
    assert_allclose(norm.value, expected.norm, rtol=10 * rtol)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_minimising_over_free_predictors(loss, solver):
    X, y, activations = cancer()
    activations = activations["gln"]
    n_units = activations.shape[1]
    value, _ = LOSSES[loss]
    zeta = new_zeta(activations, X.shape[1])
    f = atoms.decision_values(zeta, X, activations)
    over_zeta = cp.Problem(cp.Minimize(value(f, y) + atoms.gln_norm(zeta, n_contexts=2)))
    rtol = solve(over_zeta, solver)
    # The predictor of a sample is the first one and what each unit out of context 0 adds to it.
    moved = activations[:, :, 1].astype(float)
    of_sample = np.column_stack([1 - moved.sum(axis=1), moved])
    free = cp.Variable((n_units + 1, X.shape[1]))
    f = cp.sum(cp.multiply(X, of_sample @ free), axis=1)
    norm = atoms.gln_norm_of_predictors(free, n_units, 2)
    over_free = cp.Problem(cp.Minimize(value(f, y) + norm))
    solve(over_free, solver)
    assert_allclose(over_free.value, over_zeta.value, rtol=10 * rtol)
    weights = gated.from_free_predictors(free.value, n_units, 2)
    assert_allclose(norms.gln_norm(weights), norm.value, rtol=1e-9)
    assert_allclose(gated.decision_values(X, activations, weights), f.value, atol=1e-9)


def test_instances_with_different_weights_in_one_problem():
    """Two penalties on one variable add up, and do not share their weights."""
    X, y, activations = cancer()
    activations = activations["frelu"]
    light, heavy = np.array([1.0, 2.0, 0.0, 1.0, 1.0]), np.array([0.0, 3.0, 5.0, 1.0, 0.5])
    zeta = new_zeta(activations, X.shape[1])
    loss = cp.sum_squares(atoms.decision_values(zeta, X, activations) - y)
    two = atoms.frelu_norm(zeta, light) + atoms.frelu_norm(zeta, heavy)
    one = atoms.frelu_norm(zeta, light + heavy)
    values = [cp.Problem(cp.Minimize(loss + cost)).solve(solver="CLARABEL") for cost in (two, one)]
    assert_allclose(*values, rtol=1e-7)
    budget = cp.Problem(
        cp.Minimize(loss + atoms.frelu_norm(zeta, heavy)), [atoms.frelu_norm(zeta, light) <= 0.1]
    )
    solve(budget, "CLARABEL")
    found = norms.unit_norms(zeta.value[:, None])
    assert light @ found <= 0.1 + 1e-6
    assert budget.value > cp.Problem(cp.Minimize(loss + atoms.frelu_norm(zeta, heavy))).solve(
        solver="CLARABEL"
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_weights_as_a_parameter_switch_units(solver):
    X, y, activations = cancer()
    activations = activations["frelu"]
    n_units = activations.shape[1]
    weights = cp.Parameter(n_units, nonneg=True)
    zeta = new_zeta(activations, X.shape[1])
    loss = cp.sum_squares(atoms.decision_values(zeta, X, activations) - y)
    cost = atoms.frelu_norm(zeta, weights)
    problem = cp.Problem(cp.Minimize(loss + cost))
    assert cost.is_convex()
    assert cost.is_nonneg()
    assert problem.is_dcp(dpp=True)
    programs = []
    for unit in range(n_units):
        is_cheap = np.arange(n_units) == unit
        weights.value = np.where(is_cheap, 1.0, 1e3)
        programs.append(problem.get_problem_data(solver)[0][cp.settings.PARAM_PROB])
        rtol = solve(problem, solver)
        assert_array_equal(norms.unit_norms(zeta.value[:, None]) > 100 * rtol, is_cheap)
    assert all(program is programs[0] for program in programs)


# -- the max-margin problem ------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("C", [1e-3, 0.1, 10.0, np.inf])
@pytest.mark.parametrize("kind", ["gln", "frelu"])
def test_max_margin_problem(kind, C, solver):
    X, y, activations = cancer(n_samples=25)
    activations = activations[kind]
    problem = atoms.max_margin_problem(X, y, activations, C)
    assert isinstance(problem, cp.Problem)
    assert problem.is_dcp()
    assert problem.dual_coef is None
    solve(problem, solver)
    expected = max_margin(X, y, activations, C, tol=1e-8)
    assert_allclose(problem.value, expected.primal_value, rtol=1e-6)
    a = problem.dual_coef
    assert np.all((a >= 0) & (a <= C))
    V = gated.accumulate(X, activations, y * a)
    assert_allclose(a.sum() - norms.dual_norm(V) ** 2 / 2, expected.dual_value, rtol=1e-5)
    assert_allclose(problem.unit_norms.value.sum(), expected.norm, rtol=1e-3)
    zeta = problem.zeta
    assert zeta.shape == expected.zeta.shape
    assert zeta.is_affine()
    assert_allclose(norms.unit_norms(zeta.value), problem.unit_norms.value, atol=1e-9)
    margins = y * gated.decision_values(X, activations, zeta.value)
    assert_allclose(margins, problem.margins.value, atol=1e-9)
    assert_allclose(zeta.value, expected.zeta, atol=3e-3 * np.abs(expected.zeta).max())


def test_max_margin_problem_agrees_with_the_engine_by_the_same_solver():
    X, y, activations = cancer(n_samples=25)
    problem = atoms.max_margin_problem(sp.csr_matrix(X), y, activations["gln"], C=np.full(25, 0.1))
    problem.solve(solver="CLARABEL")
    solution = max_margin(X, y, activations["gln"], C=0.1, method="clarabel")
    assert_allclose(problem.value, solution.primal_value, rtol=1e-6)
    assert_allclose(problem.dual_coef, solution.dual_coef, atol=1e-4)
    assert problem.solver_stats.num_iters > 0
    assert problem.compilation_time > 0


def test_max_margin_problem_takes_terms_in_margins_and_unit_norms():
    """Equal to the same problem written out in a variable that is free of the span."""
    X, y, activations = cancer(n_samples=25)
    activations = activations["gln"]
    problem = atoms.max_margin_problem(X, y, activations, C=1.0)
    by_span = problem.extended(cp.sum_squares(problem.unit_norms), [cp.sum(problem.margins) <= 5.0])
    zeta = new_zeta(activations, X.shape[1])
    margins = cp.multiply(y, atoms.decision_values(zeta, X, activations))
    units = atoms.unit_norms(zeta, n_contexts=2)
    by_weights = cp.Problem(
        cp.Minimize(
            cp.square(cp.sum(units)) / 2 + cp.sum(cp.pos(1 - margins)) + cp.sum_squares(units)
        ),
        [cp.sum(margins) <= 5.0],
    )
    values = [p.solve(solver="CLARABEL") for p in (by_span, by_weights)]
    assert_allclose(*values, rtol=1e-6)
    assert by_span.value > 1.01 * problem.solve(solver="CLARABEL")  # the terms matter


@pytest.mark.parametrize("kind", ["gln", "frelu"])
@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_extended_max_margin_problem_in_any_unit_of_the_data(unit, kind):
    X, y, activations = cancer(n_samples=25)
    activations = activations[kind]
    problem = atoms.max_margin_problem(unit * X, y, activations)
    expected = max_margin(X, y, activations, tol=1e-8)
    harmless = problem.extended(constraints=[cp.sum(problem.margins) <= 1e4])
    assert_allclose(harmless.solve(solver="CLARABEL") * unit**2, expected.primal_value, rtol=1e-5)
    assert problem.status is problem.value is None  # the other problem was not solved

    cap = 0.8 * expected.unit_norms.max()
    at_most = unit * problem.unit_norms <= cap
    extended = problem.extended(cp.sum_squares(problem.unit_norms), [at_most])
    extended = extended.extended(cp.sum(problem.margins) / (100 * unit**2))
    value = extended.solve(solver="CLARABEL") * unit**2
    assert extended.status == cp.OPTIMAL
    assert_allclose(extended.objective.value, extended.value, rtol=1e-9)
    assert extended.solver_stats.num_iters > 0
    assert extended.compilation_time > 0
    # in a variable free of the span, and in the unit of order one
    zeta = new_zeta(activations, X.shape[1])
    margins = cp.multiply(y, atoms.decision_values(zeta, X, activations))
    units = atoms.unit_norms(zeta, n_contexts=activations.shape[2])
    capped = units <= cap
    objective = cp.square(cp.sum(units)) / 2 + cp.sum_squares(units) + cp.sum(margins) / 100
    written_out = cp.Problem(cp.Minimize(objective), [margins >= 1, capped])
    assert_allclose(value, written_out.solve(solver="CLARABEL"), rtol=1e-5)
    multipliers = unit**2 * at_most.dual_value
    assert_allclose(multipliers, capped.dual_value, rtol=1e-3, atol=1e-4)

    # Variables are shared: now they are those of this solve.
    problem.solve(solver="CLARABEL")
    assert_allclose(problem.value * unit**2, expected.primal_value, rtol=1e-5)
    assert extended.objective.value > extended.value * (1 + 1e-4)


def test_extended_max_margin_problem_takes_parameters():
    X, y, activations = cancer(n_samples=25)
    problem = atoms.max_margin_problem(X, y, activations["gln"], C=1.0)
    strength = cp.Parameter(nonneg=True)
    extended = problem.extended(strength * cp.sum_squares(problem.unit_norms))
    assert extended.is_dcp(dpp=True)
    for strength.value in (0.0, 2.0):
        constant = problem.extended(strength.value * cp.sum_squares(problem.unit_norms))
        values = [p.solve(solver="CLARABEL") for p in (extended, constant)]
        assert_allclose(*values, rtol=1e-7)


def test_extended_max_margin_problem_takes_an_expression():
    X, y, activations = cancer(n_samples=25)
    problem = atoms.max_margin_problem(X, y, activations["gln"])
    more = cp.Minimize(cp.sum(problem.unit_norms))
    for bad, name in ((more, "Minimize"), (cp.Problem(more), "Problem")):
        with pytest.raises(TypeError, match=f"an expression to minimise, got a {name}"):
            problem.extended(bad)
    with pytest.raises(ValueError, match="scalar"):
        problem.extended(problem.unit_norms)


def test_copies_of_the_max_margin_problem():
    X, y, activations = cancer(n_samples=25)
    problem = atoms.max_margin_problem(X, y, activations["gln"], C=0.1)
    copies = [pickle.loads(pickle.dumps(problem)), copy.deepcopy(problem)]
    value = problem.solve(solver="CLARABEL")
    for other in copies:
        assert other.status is other.dual_coef is None
        assert_allclose(other.solve(solver="CLARABEL"), value, rtol=1e-9)
        assert_allclose(other.dual_coef, problem.dual_coef, atol=1e-9)
        assert_allclose(other.zeta.value, problem.zeta.value, atol=1e-9)
    for bad in (problem, problem.extended()):
        with pytest.raises(
            TypeError, match=r"deepcopy.* or problem\.extended\(\), .* got a shallow"
        ):
            copy.copy(bad)


def test_statistics_of_the_max_margin_problem_unpacked_by_hand():
    X, y, activations = cancer(n_samples=25)
    problem = atoms.max_margin_problem(X, y, activations["gln"], C=0.1)
    assert problem.solver_stats is problem.compilation_time is None
    data, chain, inverse = problem.get_problem_data("CLARABEL", solver_opts={})
    raw = chain.solve_via_data(problem, data, solver_opts={})
    problem.unpack_results(raw, chain, inverse)
    assert problem.solver_stats.num_iters > 0
    assert problem.compilation_time > 0


def test_max_margin_problem_without_a_solution():
    X, y, activations = cancer(n_samples=25)
    X[1], activations = X[0], np.ones((25, 2, 1), dtype=bool)
    y[:2] = -1, 1
    problem = atoms.max_margin_problem(X, y, activations)
    problem.solve(solver="CLARABEL")
    assert problem.status == cp.INFEASIBLE
    assert problem.value == np.inf
    assert problem.dual_coef is None
    assert problem.zeta.value is None


def test_max_margin_problem_checks_its_input():
    X, y, activations = cancer(n_samples=25)
    activations = activations["gln"]
    with pytest.raises(ValueError, match=r"activations of dtype bool and shape \(25, n_units"):
        atoms.max_margin_problem(X, y, activations[1:])
    with pytest.raises(ValueError, match="expected labels -1 and 1 in y, got"):
        atoms.max_margin_problem(X, y + 1, activations)
    with pytest.raises(ValueError, match="samples of positive weight with both labels, got only"):
        atoms.max_margin_problem(X, np.ones(25), activations)
    with pytest.raises(ValueError, match="expected C > 0, got 0"):
        atoms.max_margin_problem(X, y, activations, C=0.0)
    with pytest.raises(ValueError, match="inputs whose squared norms are finite"):
        atoms.max_margin_problem(1e200 * X, y, activations)
