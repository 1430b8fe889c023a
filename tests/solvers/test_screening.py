"""Which samples will matter: machines with the mean kernel, chunk by chunk."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gnorm import HyperplaneGates
from gnorm.losses import AbsoluteError, EpsilonInsensitive, Hinge, Quantile
from gnorm.solvers.active_set import screening
from gnorm.solvers.active_set.screening import screen
from gnorm.solvers.design import get_norm, make_design
from gnorm.solvers.interior import solve_by_samples
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


def test_chunks_of_the_guess(monkeypatch):
    # to the end: what LIBSVM gives at its loose tolerance depends on the rounding of the products
    monkeypatch.setattr(screening, "_HARD_TOL", 1e-3)
    monkeypatch.setattr(screening, "_HARD_STEPS", 10**4)
    monkeypatch.setattr(screening, "_FIRST", 400)
    monkeypatch.setattr(screening, "_AT_ONCE", 600)
    problem = noisy_problem(n_samples=700, n_features=60)
    found = screen(problem)
    monkeypatch.setattr(screening, "_AT_ONCE", 1000)
    whole, y = screen(problem), problem.y
    assert np.mean((y * found.outputs < 1.15) == (y * whole.outputs < 1.15)) > 0.95
    assert np.all(y * whole.coef >= 0)
    coincide = np.count_nonzero((y * found.coef > 0) & (y * whole.coef > 0))
    assert coincide > 0.9 * np.count_nonzero(whole.coef)


def test_there_is_no_guess_from_one_label():
    problem = noisy_problem(C=1.0)
    assert screen(replace(problem, y=np.ones(1200))) is None


def test_guess_of_a_hard_margin_is_the_bias_free_machine(monkeypatch):
    monkeypatch.setattr(screening, "_HARD_TOL", 1e-4)
    monkeypatch.setattr(screening, "_HARD_STEPS", 10**5)
    problem = noisy_problem(n_samples=150, n_units=1, n_contexts=1, n_features=30)
    found = screen(problem)
    exact = solve_by_samples(problem, Run(1e-8, 100))
    margins = problem.y * exact.outputs
    assert_allclose(problem.y * found.outputs, margins / margins.min(), atol=1e-2)


@pytest.mark.parametrize(
    "loss", [Quantile(0.9), AbsoluteError(), EpsilonInsensitive(0.2)], ids=lambda loss: loss.name
)
@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_guess_of_other_losses_is_the_bias_free_machine(monkeypatch, loss, scale):
    monkeypatch.setattr(screening, "_TUBE_TOL", 1e-5)
    monkeypatch.setattr(screening, "_STEPS", 10**4)
    problem = noisy_problem(n_samples=500, n_units=1, n_contexts=1, n_features=10, C=0.1)
    rng = np.random.default_rng(0)
    y = scale * (problem.y + 0.5 * rng.normal(size=500))
    if isinstance(loss, EpsilonInsensitive):
        loss = EpsilonInsensitive(scale * loss.epsilon)
    problem = replace(problem, loss=loss, y=y)
    found = screen(problem)
    exact = solve_by_samples(problem, Run(1e-8, 100))
    assert_allclose(found.outputs / scale, exact.outputs / scale, atol=1e-2)
    low, high = problem.loss.domain(problem.y, problem.C)
    assert np.all((found.coef >= low * (1 + 1e-9)) & (found.coef <= high * (1 + 1e-9)))


def test_a_loss_without_chunks_has_no_guess_for_too_many_samples(monkeypatch):
    monkeypatch.setattr(screening, "_LARGEST", 1000)
    assert screen(replace(noisy_problem(C=1.0), loss=Quantile(0.9))) is None
