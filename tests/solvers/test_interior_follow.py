"""Steps of the interior point: in either precision, and longer by centrality corrections."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gnorm import HyperplaneGates
from gnorm.losses import Hinge
from gnorm.solvers.design import get_norm, make_design
from gnorm.solvers.interior.features import FeatureSystem
from gnorm.solvers.interior.follow import CentralPath
from gnorm.solvers.interior.samples import SampleSystem
from gnorm.solvers.problem import Problem
from gnorm.solvers.run import Run

INF = np.inf


def noisy_problem(
    n_samples=1200, n_features=30, n_units=6, n_contexts=2, C=INF, flipped=0.0, norm=None
):
    """Labels of a random gated predictor, some of them flipped, as a problem."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(n_samples, n_features)), np.ones(n_samples)])
    gates = HyperplaneGates(n_units, n_contexts, random_state=0).fit(X).transform(X)
    zeta = rng.normal(size=(n_units, n_contexts, n_features + 1))
    f = np.einsum("nhc,hcd,nd->n", gates, zeta, X)
    y = np.where(f > 0, 1.0, -1.0)
    y[rng.random(n_samples) < flipped] *= -1
    design = make_design(get_norm(norm, gates), X, gates)
    return Problem(design, Hinge(), y, np.full(n_samples, float(C)))


def targets(state, sigma):
    """What brings all products to sigma."""
    return tuple(sigma - product for product in state.products())


@pytest.mark.parametrize("is_refined", [False, True])
@pytest.mark.parametrize(("C", "flipped"), [(1.0, 0.1), (INF, 0.0)])
def test_newton_step_in_single_precision(C, flipped, is_refined):
    # where the spread of the unit gradients is stiff, as at the end of the path
    problem = noisy_problem(n_samples=280, C=C, flipped=flipped)
    system = SampleSystem(problem)
    rough = SampleSystem(problem, system.scale, precision=np.float32)
    rough.is_refined = is_refined
    path = CentralPath(system, system.start(), Run(1e-6, 100))
    path.follow(1e-6, is_last=False)
    assert system.factor(path.state)
    rough.anchor(path.state)
    assert rough.factor(path.state)
    assert rough.precision is np.float32
    aim = targets(path.state, 0.0)
    exact, step = system.direction(aim), rough.direction(aim)
    for wanted, got in zip(exact.pairs(), step.pairs(), strict=True):
        for wanted_change, got_change in zip(wanted, got, strict=True):
            scale = np.max(np.abs(wanted_change), initial=0.0)
            atol = 1e-2 * scale
            assert_allclose(got_change, wanted_change, atol=atol)


@pytest.mark.parametrize("is_single", [False, True])
@pytest.mark.parametrize(("C", "flipped"), [(1.0, 0.1), (INF, 0.0)])
def test_centrality_corrections_lengthen_the_step(C, flipped, is_single):
    problem = noisy_problem(n_samples=600, C=C, flipped=flipped)
    precision = np.float32 if is_single else np.float64
    system = SampleSystem(problem, precision=precision)
    path = CentralPath(system, system.start(), Run(1e-6, 100))
    path.follow(0.3, is_last=False)
    state = path.state
    assert system.factor(state)
    sigma = 0.001 * state.complementarity()
    aim = targets(state, sigma)
    change = system.direction(aim)
    longer, steps = path._lengthened(change, change, aim, sigma)
    assert min(state.reach(longer)) > min(state.reach(change)) + 0.01
    assert steps == path._reach(longer)
    # the linear conditions are those of the step itself: mu sums up to one, dual gradients vanish
    assert_allclose(np.sum(longer.mu), np.sum(change.mu), atol=1e-5)
    step = system.scale * (longer.x - change.x)
    residual = problem.design.exact_products(step) @ state.mu
    residual += system.P @ (longer.mu - change.mu)
    residual[system.coefficients.at_lower] -= longer.z - change.z
    residual[system.coefficients.at_upper] += longer.u - change.u
    assert_allclose(
        residual, 0.0, atol=1e-4 * max(np.max(np.abs(change.z)), np.max(np.abs(change.u)))
    )


@pytest.mark.parametrize("system_of", [SampleSystem, FeatureSystem])
@pytest.mark.parametrize(("C", "flipped"), [(1.0, 0.1), (INF, 0.0)])
def test_both_systems_have_the_same_steps_of_the_dual_point(system_of, C, flipped):
    """A step solves the linear equations of the products, whatever else is a variable."""
    problem = noisy_problem(n_samples=300, n_features=20, C=C, flipped=flipped)
    system = system_of(problem)
    path = CentralPath(system, system.start(), Run(1e-6, 100))
    path.follow(1e-2, is_last=False)
    state = path.state
    assert system.factor(state)
    aim = targets(state, 0.1 * state.complementarity())
    change = system.direction(aim)
    for (x, y), (dx, dy), wanted in zip(state.pairs(), change.pairs(), aim, strict=True):
        atol = 1e-6 * max(1e-300, np.max(np.abs(wanted), initial=0.0))
        assert_allclose(x * dy + y * dx, wanted, atol=atol)
    assert_allclose(np.sum(state.mu + change.mu), 1.0, rtol=1e-8)


def test_products_in_single_precision_err_by_a_part_of_the_step():
    problem = noisy_problem(n_samples=300, C=1.0, flipped=0.1)
    system = SampleSystem(problem, precision=np.float32)
    variables, rng = system.coefficients, np.random.default_rng(0)
    x = variables.lower + (variables.upper - variables.lower) * rng.uniform(size=300)
    system.anchor(SimpleNamespace(x=x))
    for size in (1e-2, 1e-4):
        x = x + size * (variables.upper - variables.lower) * rng.uniform(size=300)
        exact = problem.design.exact_products(system.scale * x)
        atol = 1e-5 * size * np.abs(exact).max()
        assert_allclose(system._at(x)[1], exact, atol=atol)
