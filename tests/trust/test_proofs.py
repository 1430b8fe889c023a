"""Proofs of inseparability at the limits of double precision: what vanishes must do so exactly."""

import warnings
from fractions import Fraction

import numpy as np
import pytest

from gnorm import NotSeparableError, max_margin
from gnorm.losses import Hinge
from gnorm.norms import GroupNorm
from gnorm.solvers.design import make_design
from gnorm.solvers.problem import Problem
from gnorm.solvers.separability import is_proof
from gnorm.solvers.separation import separation

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def nearly_collinear(noise, n_samples=8, n_features=9, rank=4, seed=0):
    """Inputs of low rank but for noise, by which alone the labels can be told apart."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, rank)) @ rng.normal(size=(rank, n_features))
    y = np.where(np.arange(n_samples) % 2, 1, -1)
    return X + noise * rng.normal(size=X.shape), y, np.ones((n_samples, 1, 1), dtype=bool)


def exact_outputs(X, activations, zeta):
    return [
        sum(
            Fraction(float(zeta[h, c, d])) * Fraction(float(X[n, d]))
            for h, c in np.argwhere(activations[n])
            for d in range(X.shape[1])
        )
        for n in range(len(X))
    ]


def as_problem(X, y, activations):
    design = make_design(GroupNorm(), X, activations)
    return Problem(design, Hinge(), 1.0 * y, np.full(len(y), np.inf))


@pytest.mark.parametrize("noise", [1e-14, 1e-13, 1e-12, 1e-11, 1e-9])
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_that_only_the_noise_of_collinear_inputs_tells_apart(noise, seed):
    X, y, activations = nearly_collinear(noise, seed=seed)
    solution = max_margin(X, y, activations)
    assert np.isfinite(solution.duality_gap)
    outputs = exact_outputs(X, activations, solution.zeta)
    assert all(float(label) * f > 0 for label, f in zip(y, outputs, strict=True))
    # to within rounding errors the two classes coincide: that alone is not a proof
    V = np.linalg.svd(activations[:, 0] * y[:, None] * X)[0][:, -1]
    assert np.abs(V * y @ X).max() < 10 * noise


@pytest.mark.parametrize("n_samples", [7, 40])
@pytest.mark.parametrize("scale", [1.0, 1e-9])
def test_collinear_inputs_that_are_exactly_inseparable(n_samples, scale):
    rng = np.random.default_rng(0)
    X = rng.integers(-3, 4, size=(n_samples, 2)) @ rng.integers(-3, 4, size=(2, 6)) * scale
    y = np.where(np.arange(n_samples) % 2, 1, -1)
    activations = np.ones((n_samples, 1, 1), dtype=bool)
    with pytest.raises(NotSeparableError) as error:
        max_margin(X, y, activations)
    a = error.value.certificate
    assert np.all(a >= 0)
    terms = np.abs(a[:, None] * X).sum(axis=0)
    assert np.all(np.abs((a * y) @ X) <= 1e-14 * terms)


def test_copies_with_both_labels_are_a_proof_beside_any_scales():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 3)) * 10.0 ** rng.uniform(-9, 9, size=3)
    X, y = np.vstack([X, X[:1]]), np.array([1, -1, 1, -1, 1, -1, -1])
    problem = as_problem(X, y, np.ones((7, 2, 1), dtype=bool))
    b = np.zeros(7)
    b[[0, 6]] = 0.5, -0.5
    assert is_proof(problem, b)
    b[0] *= 1 + 1e-9  # the last digits are found anew
    assert is_proof(problem, b)
    b[1] = -1e-3
    assert not is_proof(problem, b)


@pytest.mark.parametrize("kind", ["one-hot", "any"])
@pytest.mark.parametrize("seed", range(4))
def test_the_linear_program_separates_or_gives_a_combination_that_vanishes(kind, seed):
    rng = np.random.default_rng(seed)
    n_samples = (6, 60)[seed % 2]
    X = rng.normal(size=(n_samples, 2)) * 10.0 ** rng.uniform(-20, 20, size=2)
    X *= 10.0 ** rng.uniform(-20, 20, size=(n_samples, 1))
    activations = rng.random((n_samples, 2, 2)) < 0.5
    if kind == "one-hot":
        activations[..., 1] = ~activations[..., 0]
    activations[:, 0, 0] |= ~activations.any(axis=(1, 2))
    y = np.where(np.arange(n_samples) % 3, 1, -1)
    zeta, b = separation(as_problem(X, y, activations))
    assert (zeta is None) != (b is None)
    if zeta is not None:
        outputs = exact_outputs(X, activations, zeta.reshape(*activations.shape[1:], -1))
        assert all(int(label) * f > 0 for label, f in zip(y, outputs, strict=True))
        return
    assert np.all(b * y >= 0)
    terms = np.einsum("n,nhc,nd->nhcd", b, activations, X)
    assert np.all(np.abs(terms.sum(axis=0)) <= 1e-7 * np.abs(terms).sum(axis=0))


def test_too_many_features_are_left_alone():
    X, y = np.ones((1100, 1000)), np.where(np.arange(1100) % 2, 1, -1)
    assert separation(as_problem(X, y, np.ones((1100, 1, 1), dtype=bool))) == (None, None)


def test_the_linear_program_keeps_the_limit_of_memory():
    X, y, activations = nearly_collinear(1e-9)
    problem = as_problem(X, y, activations)
    assert separation(problem, limit=1e4) == (None, None)
    assert separation(problem, limit=1e5)[0] is not None


def test_a_proof_does_not_warn():
    X, y, activations = nearly_collinear(1e-13)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        max_margin(X, y, activations)


@pytest.mark.parametrize("axis", ["samples", "features"])
@pytest.mark.parametrize("seed", range(3))
def test_separable_samples_of_any_scales_end_at_a_finite_gap(axis, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20, 3))
    y = np.where(X @ rng.normal(size=3) > 0, 1, -1)
    X *= 10.0 ** rng.uniform(-140, 140, size=(20, 1) if axis == "samples" else 3)
    activations = np.ones((20, 2, 1), dtype=bool)
    activations[:10, 0] = False
    solution = max_margin(X, y, activations)
    assert np.isfinite(solution.duality_gap)
    outputs = exact_outputs(X, activations, solution.zeta)
    assert all(float(label) * f > 0 for label, f in zip(y, outputs, strict=True))
