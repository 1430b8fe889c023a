"""Every loss of the table: conjugate pair, derivatives, domain, best multiples, conic form."""

import pickle
import re

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn import metrics
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import LinearSVC, LinearSVR

import gnorm.losses
from gnorm.losses import (
    AbsoluteError,
    ClassLoss,
    CrammerSinger,
    EpsilonInsensitive,
    Hinge,
    Huber,
    LogLoss,
    Loss,
    Multinomial,
    OneVersusRest,
    Quantile,
    SquaredError,
    SquaredHinge,
    get_loss,
)

TABLE = gnorm.losses._LOSSES
LOSSES = [loss() for loss in TABLE.values()] + [
    EpsilonInsensitive(0.0),
    EpsilonInsensitive(1.5),
    Quantile(0.9),
    Huber(0.3),
    Multinomial(4),
    CrammerSinger(4),
    OneVersusRest(4),
]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)
one_output = pytest.mark.parametrize(
    "loss", [loss for loss in LOSSES if not isinstance(loss, ClassLoss)], ids=repr
)
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=20)


class Case:
    """Targets, outputs, weights, and a point inside the domain of the conjugate."""

    def __init__(self, loss, seed, n_samples=6, scale=1.0):
        rng = np.random.default_rng(seed)
        self.rng, self.loss = rng, loss
        self.C = np.exp(rng.uniform(-3, 3, n_samples))
        if isinstance(loss, ClassLoss):
            self.shape = (n_samples, loss.n_classes or 3)
            self.y = np.append(self.shape[1] - 1, rng.integers(self.shape[1], size=n_samples - 1))
        else:
            self.shape = (n_samples,)
            labels = rng.choice([-1.0, 1.0], n_samples)
            self.y = labels if loss.is_margin else 2 * scale * rng.normal(size=n_samples)
        self.scale = scale
        self.f = self.outputs()
        share = rng.uniform(0.1, 0.9, n_samples)
        share = share if len(self.shape) == 1 else share[:, None]
        # the domain is convex and holds every negative derivative
        ends = [-loss.derivative(self.y, self.outputs(), self.C) for _ in range(2)]
        self.b = share * ends[0] + (1 - share) * ends[1]

    def outputs(self):
        return 3 * self.scale * self.rng.normal(size=self.shape)

    def pairing(self, b, f):
        product = b * f
        return product if product.ndim == 1 else product.sum(axis=1)


def far_from_kinks(case, distance):
    """Rows whose outputs lie away from where the derivative jumps or the curvature does."""
    return np.abs(case.loss.affine_depth(case.y, case.f)) > distance


# -- the conjugate pair ----------------------------------------------------------------------------


@every_loss
@given(seed=seeds)
@quick
def test_fenchel_young(loss, seed):
    case = Case(loss, seed)
    y, f, C = case.y, case.f, case.C
    value = loss.value(y, f, C)
    size = 1 + C + value
    gap = value + loss.conjugate(y, case.b, C) + case.pairing(case.b, f)
    assert np.all(gap >= -1e-13 * size)
    b = -loss.derivative(y, f, C)
    gap = value + loss.conjugate(y, b, C) + case.pairing(b, f)
    assert_allclose(gap / (size + np.abs(case.pairing(b, f))), 0, atol=1e-13)


@one_output
@pytest.mark.parametrize("seed", range(5))
def test_conjugate_is_the_supremum(loss, seed):
    case = Case(loss, seed)
    for y, b, C in zip(case.y, case.b, case.C, strict=True):
        y, b, C = np.array([y]), np.array([b]), np.array([C])

        def negative(f, y=y, b=b, C=C):
            return float(b[0] * f + loss.value(y, np.array([f]), C)[0])

        grid = np.linspace(-60, 60, 601)
        best = grid[np.argmin([negative(f) for f in grid])]
        around = (best - 0.4, best + 0.4)
        found = minimize_scalar(negative, bounds=around, method="bounded", options={"xatol": 1e-9})
        assert_allclose(loss.conjugate(y, b, C)[0], -found.fun, atol=1e-6 * (1 + C[0]))


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if isinstance(loss, ClassLoss)], ids=repr)
def test_conjugate_of_several_outputs_is_the_supremum(loss):
    case = Case(loss, 0)
    f = cp.Variable(case.shape)
    least = cp.sum(cp.multiply(case.b, f)) + loss.expression(case.y, f, case.C)
    supremum = -cp.Problem(cp.Minimize(least)).solve(solver=cp.CLARABEL)
    conjugate = np.sum(loss.conjugate(case.y, case.b, case.C))
    assert_allclose(conjugate, supremum, atol=1e-6 * (1 + np.sum(case.C)))


@every_loss
@given(seed=seeds)
@quick
def test_derivatives_are_differences(loss, seed):
    case = Case(loss, seed)
    y, f, C, step = case.y, case.f, case.C, 1e-5
    direction = case.rng.normal(size=case.shape)
    rows = far_from_kinks(case, 1e-3)

    def along(t):
        return loss.value(y, f + t * direction, C)

    slope = case.pairing(loss.derivative(y, f, C), direction)
    estimate = (along(step) - along(-step)) / (2 * step)
    assert_allclose(estimate[rows], slope[rows], rtol=1e-4, atol=1e-6 * np.max(C))
    ahead, behind = (loss.derivative(y, f + t * direction, C) for t in (step, -step))
    curvature = case.pairing(ahead - behind, direction) / (2 * step)
    for n in np.flatnonzero(rows):
        one = [n]
        computed = loss.curvature_along(y[one], f[one], direction[one], C[one])
        assert_allclose(computed, curvature[n], rtol=1e-4, atol=1e-6 * np.max(C))


@every_loss
@given(seed=seeds)
@quick
def test_conjugate_derivatives_are_differences(loss, seed):
    case = Case(loss, seed)
    y, b, C = case.y, case.b, case.C
    lower, upper = loss.domain(y, C)
    rows = np.minimum(b - lower, upper - b) > 1e-2 * (C if b.ndim == 1 else C[:, None])
    rows &= np.abs(b) > 1e-2  # a kink
    step = 1e-4 * (C if b.ndim == 1 else C[:, None])
    first, second = loss.conjugate_derivatives(y, b, C)
    assert first.shape == second.shape == b.shape
    if b.ndim == 1:
        ahead, behind = (loss.conjugate(y, b + s * step, C) for s in (1, -1))
        difference = (ahead - behind) / (2 * step)
    else:
        difference = np.empty(b.shape)
        for k in range(b.shape[1]):
            move = np.zeros(b.shape)
            move[:, [k]] = step
            ahead, behind = (loss.conjugate(y, b + s * move, C) for s in (1, -1))
            difference[:, k] = (ahead - behind) / (2 * step[:, 0])
    assert_allclose(difference[rows], first[rows], rtol=1e-3, atol=1e-3)
    ahead, behind = (loss.conjugate_derivatives(y, b + s * step, C)[0] for s in (1, -1))
    difference = (ahead - behind) / (2 * step)
    assert_allclose(difference[rows], second[rows], rtol=1e-3, atol=1e-9)


@every_loss
@given(seed=seeds)
@quick
def test_domain_is_the_range_of_the_derivative(loss, seed):
    case = Case(loss, seed, n_samples=3)
    y, C = case.y, case.C
    lower, upper = loss.domain(y, C)
    assert lower.shape == upper.shape == case.shape
    weight = C if lower.ndim == 1 else C[:, None]
    seen = []
    for far in (-1e8, -500.0, -1.0, 0.0, 1.0, 500.0, 1e8):
        f = np.zeros(case.shape)
        f[..., 0] = far
        for _ in range(case.shape[1] if len(case.shape) > 1 else 1):
            f = np.roll(f, 1, axis=-1) if f.ndim > 1 else np.full(case.shape, far)
            b = -loss.derivative(y, f, C)
            assert np.all(b >= lower - 1e-12 * weight)
            assert np.all(b <= upper + 1e-12 * weight)
            seen.append(b)
    least, most = np.min(seen, axis=0), np.max(seen, axis=0)
    with np.errstate(invalid="ignore"):
        assert np.all((np.abs(least - lower) <= 1e-6 * weight) | (least < -1e6 * weight))
        assert np.all((np.abs(most - upper) <= 1e-6 * weight) | (most > 1e6 * weight))


@every_loss
def test_open_domains_have_infinite_derivatives(loss):
    case = Case(loss, 0)
    largest = 0.0
    for end in loss.domain(case.y, case.C):
        b = np.where(np.isfinite(end), end, 1.0)
        first, second = loss.conjugate_derivatives(case.y, b, case.C)
        assert np.all(np.isfinite(first))
        assert np.all(np.isfinite(second))
        assert np.all(np.isfinite(loss.conjugate(case.y, b, case.C)))
        largest = max(largest, np.max(np.abs(first)))
    assert loss.has_open_domain == (largest > 30)  # infinite but for the precision of float64


@one_output
def test_kink_of_the_conjugate(loss):
    y, C = np.array([-1.0, 1.0]), np.ones(2)
    tiny = 1e-9
    lower, upper = loss.domain(y, C)
    before, at, after = (
        loss.conjugate_derivatives(y, np.full(2, b), C)[0] for b in (-tiny, 0, tiny)
    )
    inside = (lower < 0) & (upper > 0)
    jump = np.any((after - before)[inside] > 1e-6)
    assert loss.has_kink == jump
    assert_allclose(at[inside], 0.5 * (before + after)[inside], atol=1e-8)


@every_loss
@given(seed=seeds)
@quick
def test_affine_depth(loss, seed):
    case = Case(loss, seed)
    y, f = case.y, case.f
    ones = np.ones(len(y))
    depth = loss.affine_depth(y, f)
    assert depth.shape == (len(y),)
    inside = depth > 1e-3
    step = np.where(inside, 0.9 * depth, 0.0).reshape(len(y), *[1] * (f.ndim - 1))
    middle, ahead, behind = (loss.value(y, f + s * step, ones) for s in (0, 1, -1))
    assert_allclose((ahead + behind - 2 * middle)[inside], 0, atol=1e-12 * (1 + np.max(ahead)))
    curved = depth < -0.1
    step = np.zeros(case.shape)
    step.reshape(len(y), -1)[:, 0] = 0.05  # one output, where there are several
    ahead, behind = (loss.value(y, f + s * step, ones) for s in (1, -1))
    steep = np.abs(f.reshape(len(y), -1)).max(axis=1) < 5  # where the log loss is not yet flat
    assert np.all((ahead + behind - 2 * middle)[curved & steep] > 0)


@every_loss
@given(seed=seeds, copies=st.floats(1e-3, 1e3))
@quick
def test_a_weight_is_so_many_copies(loss, seed, copies):
    case = Case(loss, seed)
    y, f, b, C = case.y, case.f, case.b, case.C
    assert_allclose(loss.value(y, f, copies * C), copies * loss.value(y, f, C), rtol=1e-12)
    assert_allclose(
        loss.derivative(y, f, copies * C), copies * loss.derivative(y, f, C), rtol=1e-12
    )
    assert_allclose(
        loss.conjugate(y, copies * b, copies * C),
        copies * loss.conjugate(y, b, C),
        rtol=1e-10,
        atol=1e-12 * copies * np.max(C),
    )
    for one, many in zip(loss.domain(y, C), loss.domain(y, copies * C), strict=True):
        assert_allclose(many, copies * one)


@every_loss
@given(seed=seeds)
@quick
def test_proximal_map_of_the_conjugate(loss, seed):
    """No step from it within the domain is better, to first order: each is a mean with a vertex."""
    case = Case(loss, seed)
    y, C = case.y, case.C
    b, rate = 3 * case.outputs(), np.exp(case.rng.uniform(-2, 2, len(y)))
    if not loss.is_piecewise_linear:
        with pytest.raises(TypeError, match="expected a piecewise linear loss, got"):
            loss.conjugate_prox(y, b, C, rate)
        return

    def cost(x):
        squares = case.pairing(x - b, x - b) / (2 * rate)
        return loss.conjugate(y, x, C) + squares

    found = loss.conjugate_prox(y, b, C, rate)
    assert_allclose(loss.feasible(y, found, C), found, rtol=1e-14, atol=0)
    for _ in range(10):
        other = -loss.derivative(y, case.outputs(), C)
        for share in (1e-3, 0.1, 1.0):
            moved = (1 - share) * found + share * other
            assert np.all(cost(moved) >= cost(found) - 1e-10 * (1 + np.abs(cost(found))))


def test_margins_of_losses():
    f = np.array([[3.0, 1.0, -0.5], [0.5, 0.0, 2.0]])
    y = np.array([0, 0])
    assert_allclose(CrammerSinger().margins(y, f), [2.0, -1.5])
    assert_allclose(OneVersusRest().margins(y, f), [-1.0, -2.0])
    assert_allclose(Hinge().margins(np.array([1.0, -1.0]), f[:, 0]), [3.0, -0.5])
    assert np.isnan(SquaredError().margins(y, f[:, 0])).all()


# -- the best multiple of a point ------------------------------------------------------------------

norms = st.floats(-3, 3).map(np.exp)
slopes = st.just(0.0) | st.floats(-1.0, 1.0)


def best_on_ray(objective, longest=np.inf):
    """Least value of a convex function on [0, longest], by a grid and scipy."""
    grid = np.concatenate(([0.0], np.geomspace(1e-6, 1e6, 61)))
    grid = np.append(grid[grid < longest], longest) if np.isfinite(longest) else grid
    values = [objective(theta) for theta in grid]
    at = int(np.argmin(values))
    bounds = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
    found = minimize_scalar(objective, bounds=bounds, method="bounded", options={"xatol": 1e-10})
    return min(found.fun, values[at])


@every_loss
@given(seed=seeds, norm=norms, slope=slopes)
@quick
def test_primal_multiple(loss, seed, norm, slope):
    case = Case(loss, seed)

    def objective(theta):
        losses = np.sum(loss.value(case.y, theta * case.f, case.C))
        return 0.5 * (theta * norm) ** 2 + losses + slope * theta

    theta = loss.primal_multiple(case.y, case.f, case.C, norm, slope)
    assert isinstance(theta, float)
    assert 0 <= theta < np.inf
    assert objective(theta) <= best_on_ray(objective) + 1e-12 * (1 + abs(objective(0.0)))


@every_loss
@given(seed=seeds, dual_norm=norms, slope=slopes, longest=st.just(np.inf) | st.floats(0.1, 2))
@quick
def test_dual_multiple(loss, seed, dual_norm, slope, longest):
    case = Case(loss, seed)
    y, b, C = case.y, case.b, case.C
    lower, upper = loss.domain(y, C)
    moves = b != 0
    farthest = np.min((np.where(b > 0, upper, lower)[moves] / b[moves]), initial=longest)

    def objective(theta):
        conjugate = np.sum(loss.conjugate(y, theta * b, C))
        return 0.5 * (theta * dual_norm) ** 2 + conjugate + slope * theta

    theta = loss.dual_multiple(y, b, C, dual_norm, slope, longest)
    assert isinstance(theta, float)
    assert 0 <= theta <= farthest
    assert objective(theta) <= best_on_ray(objective, farthest) + 1e-12 * (1 + np.sum(C))


@every_loss
def test_multiples_of_nothing(loss):
    case = Case(loss, 0)
    y, C, zero = case.y, case.C, np.zeros(case.shape)
    assert loss.primal_multiple(y, zero, C, 0.0) == 0.0
    assert loss.primal_multiple(y, zero, C, 1.0) == 0.0
    assert loss.dual_multiple(y, zero, C, 0.0) == 1.0
    assert loss.dual_multiple(y, zero, C, 0.0, longest=0.25) == 0.25


@every_loss
def test_multiples_without_a_norm_are_finite(loss):
    case = Case(loss, 0)
    y, C = case.y, case.C
    f = np.eye(case.shape[1])[y] if isinstance(loss, ClassLoss) else y
    for slope in (0.0, 1.0, -1.0):
        theta = loss.primal_multiple(y, f, C, 0.0, slope)
        assert 0 <= theta < np.inf
        assert 0 <= loss.dual_multiple(y, case.b, C, 0.0, slope) < np.inf


@every_loss
@pytest.mark.parametrize("exponent", [-150, -75, -8, 8, 75, 150])
def test_multiples_do_not_depend_on_the_units(loss, exponent):
    case = Case(loss, 3)
    y, C = case.y, case.C
    b = -loss.derivative(y, np.zeros(case.shape), C)
    f = b / np.max(np.abs(b))  # points towards the targets
    scale = 10.0**exponent
    theta = loss.primal_multiple(y, f, C, 2.0)
    assert theta > 0
    assert_allclose(loss.primal_multiple(y, scale * f, C, 2.0 * scale) * scale, theta, rtol=1e-9)
    theta = loss.dual_multiple(y, b, C, 2.0)
    assert theta > 0
    assert_allclose(loss.dual_multiple(y, scale * b, C, 2.0 * scale) * scale, theta, rtol=1e-9)


@every_loss
@pytest.mark.parametrize("weight", [1e-150, 1.0, 1e150])
@pytest.mark.parametrize("size", [1e-150, 1.0, 1e150])
@pytest.mark.parametrize("norm", [0.0, 1e-150, 1e150])
def test_extreme_scales(loss, weight, size, norm):
    """Nothing warns, nothing is nan: warnings raised in a line of the package are errors."""
    case = Case(loss, 1)
    C = weight * case.C
    y = case.y if loss.is_margin or isinstance(loss, ClassLoss) else size * case.y
    f = size * case.f
    b = weight * case.b
    assert 0 < loss.output_scale(y, C) < np.inf
    for result in (
        loss.value(y, f, C),
        loss.derivative(y, f, C),
        loss.conjugate(y, b, C),
        *loss.conjugate_derivatives(y, b, C),
        *loss.domain(y, C),
        loss.affine_depth(y, f),
        loss.curvature_along(y, f, f, C),
    ):
        assert not np.any(np.isnan(result))
    for slope in (0.0, weight, -weight):
        assert 0 <= loss.primal_multiple(y, f, C, norm, slope) < np.inf
        assert 0 <= loss.dual_multiple(y, b, C, norm, slope) < np.inf


def test_newton_takes_few_evaluations():
    rng = np.random.default_rng(0)
    y, f, C = rng.choice([-1.0, 1.0], 1000), rng.normal(size=1000), np.ones(1000)
    f += y
    for exponent in (-100, 0, 100):
        counts = []

        class Counting(LogLoss):
            def derivative(self, y, f, C, counts=counts):
                counts.append(1)
                return super().derivative(y, f, C)

        Counting().primal_multiple(y, 10.0**exponent * f, C, 10.0**exponent)
        assert len(counts) < (12 if exponent == 0 else 30)


# -- hard margins ----------------------------------------------------------------------------------

hard_losses = pytest.mark.parametrize(
    "loss", [loss for loss in LOSSES if loss.allows_infinite_C and loss.is_margin], ids=repr
)


def test_which_losses_may_be_hard():
    assert {loss.name for loss in LOSSES if loss.allows_infinite_C} == {
        "hinge",
        "squared_hinge",
        "crammer_singer",
        "one_versus_rest",
    }


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_exact_penalties_are_steep_from_the_margin_on(loss):
    # a multiplier of any length is then met by a finite C, which a loss that begins flat never has
    if not (loss.allows_infinite_C and loss.is_margin):
        assert not loss.is_exact_penalty
        return
    shortfall = np.array([1e-3, 1e-6, 1e-9])
    slope = -loss.derivative(np.ones(3), 1.0 - shortfall, np.ones(3))
    assert loss.is_exact_penalty == bool(np.min(slope) > 0.5)


@hard_losses
def test_hard_margin(loss):
    y, f = np.array([1.0, -1.0, 1.0, -1.0]), np.array([1.0, -2.0, 0.5, 1.0])
    C = np.full(4, np.inf)
    assert_array_equal(loss.value(y, f, C), [0, 0, np.inf, np.inf])
    lower, upper = loss.domain(y, C)
    assert_array_equal(lower, [0, -np.inf, 0, -np.inf])
    assert_array_equal(upper, [np.inf, 0, np.inf, 0])
    assert_array_equal(loss.conjugate(y, 3 * y, C), -3.0)
    assert_array_equal(loss.conjugate_derivatives(y, 3 * y, C)[1], 0.0)
    # sum a = 12: the best multiple of the dual point has theta = 12 / 2^2
    assert loss.dual_multiple(y, 3 * y, C, 2.0) == 3.0
    with pytest.raises(ValueError, match="expected finite C, got inf"):
        loss.expression(y, cp.Variable(4), C)


@pytest.mark.parametrize("loss", [CrammerSinger(3), OneVersusRest(3)], ids=repr)
def test_hard_margins_of_classes(loss):
    rng = np.random.default_rng(0)
    y, f, C = np.array([0, 2, 1, 1]), 3 * rng.normal(size=(4, 3)), np.full(4, np.inf)
    directions = loss.directions(y, 3)
    margins = np.einsum("njk,nk->nj", directions, f)
    assert_allclose(loss.margins(y, f), margins.min(axis=1), rtol=1e-14)
    assert_array_equal(loss.value(y, f, C), np.where(margins.min(axis=1) >= 1, 0, np.inf))
    hard = loss.hard_margins(y, cp.Constant(f)).value
    assert_allclose(np.sort(np.ravel(hard)), np.sort(np.ravel(margins)), rtol=1e-14)
    # of the dual points, nonnegative combinations of directions, the nearest to one with the pull
    moved, rate = rng.normal(size=(4, 3)), np.array([0.1, 1.0, 3.0, 10.0])
    a = cp.Variable(directions.shape[:2], nonneg=True)
    points = [a[n] @ directions[n] for n in range(4)]
    conjugate = sum(r * cp.sum(a[n]) for n, r in enumerate(rate))
    squares = sum(0.5 * cp.sum_squares(point - b) for point, b in zip(points, moved, strict=True))
    cp.Problem(cp.Minimize(squares - conjugate)).solve(solver="CLARABEL")
    found = loss.conjugate_prox(y, moved, C, rate)
    assert_allclose(found, [point.value for point in points], atol=1e-6)
    assert_allclose(loss.feasible(y, found, C), found, atol=1e-15)
    assert_allclose(loss.conjugate(y, found, C), -a.value.sum(axis=1), atol=1e-6)


@hard_losses
@given(
    hard=st.lists(st.floats(0.01, 10.0), min_size=1, max_size=4),
    soft=st.lists(st.tuples(st.floats(-10, 10), st.floats(0.01, 100)), max_size=4),
    norm=norms,
)
@quick
def test_primal_multiple_gives_hard_samples_margin_one(loss, hard, soft, norm):
    margins = np.array([*hard, *(margin for margin, _ in soft)])
    C = np.array([np.inf] * len(hard) + [weight for _, weight in soft])
    y = np.where(np.arange(len(C)) % 2, 1.0, -1.0)
    f = y * margins

    def objective(theta):
        return 0.5 * (theta * norm) ** 2 + np.sum(loss.value(y, theta * f, C))

    theta = loss.primal_multiple(y, f, C, norm)
    least = 1.0 / min(hard)
    assert theta >= least
    assert objective(theta) < np.inf
    grid = least * (1 + np.append(1e-14, np.geomspace(1e-9, 1e6, 200)))
    assert objective(theta) <= min(objective(t) for t in grid) * (1 + 1e-12)


@hard_losses
@pytest.mark.parametrize("margin", [0.0, -1.0, 1e-310])
def test_primal_multiple_of_a_hard_sample_on_the_wrong_side(loss, margin):
    f = np.array([margin, 2.0])
    assert loss.primal_multiple(np.ones(2), f, np.array([np.inf, 1.0]), 1.0) == 1.0


def test_breakpoints_leave_no_rounding_error_of_a_large_weight():
    # Beyond 1 / 1.1 only the last sample counts: 1/2 theta^2 + 1 - theta / 3 falls up to 1/3.
    y, f, C = np.ones(2), np.array([3.3, 1 / 3]), np.array([1e15, 1.0])
    theta = Hinge().primal_multiple(y, f, C, 1.0)
    assert_allclose(theta, 1 / 3, rtol=1e-12)
    assert np.sum(Hinge().value(y, theta * f, C)) <= 1.0
    # the same for a tube: the heavy sample stays inside it
    tube = EpsilonInsensitive(0.5)
    theta = tube.primal_multiple(np.array([1.0, 2.0]), np.array([1.7, 0.3]), C, 1.0)
    assert np.sum(tube.value(np.array([1.0]), np.array([1.7 * theta]), C[:1])) == 0.0


# -- conic form ------------------------------------------------------------------------------------


@every_loss
@pytest.mark.parametrize("seed", range(3))
def test_expression(loss, seed):
    case = Case(loss, seed)
    f = cp.Variable(case.shape)
    f.value = case.f
    expression = loss.expression(case.y, f, case.C)
    assert expression.shape == ()
    assert expression.is_convex()
    assert expression.is_dcp()
    assert_allclose(expression.value, np.sum(loss.value(case.y, case.f, case.C)), rtol=1e-10)


# -- the formulas that users know ------------------------------------------------------------------


def pinball(y, f, tau):
    return np.where(y >= f, tau * (y - f), (1 - tau) * (f - y))


FORMULAS = {
    Hinge(): lambda y, f: np.maximum(0, 1 - y * f),
    SquaredHinge(): lambda y, f: np.maximum(0, 1 - y * f) ** 2,
    LogLoss(): lambda y, f: np.log(1 + np.exp(-y * f)),
    CrammerSinger(): lambda y, f: np.max(f - f[np.arange(len(y)), y, None] + (1 - np.eye(3)[y]), 1),
    OneVersusRest(): lambda y, f: np.sum(np.maximum(0, 1 - (2 * np.eye(3)[y] - 1) * f), axis=1),
    Multinomial(): lambda y, f: logsumexp(f, axis=1) - f[np.arange(len(y)), y],
    SquaredError(): lambda y, f: 0.5 * (y - f) ** 2,
    EpsilonInsensitive(1.5): lambda y, f: np.maximum(0, np.abs(y - f) - 1.5),
    AbsoluteError(): lambda y, f: np.abs(y - f),
    Quantile(0.9): lambda y, f: pinball(y, f, 0.9),
    Huber(0.3): lambda y, f: np.where(
        np.abs(y - f) <= 0.3, 0.5 * (y - f) ** 2, 0.3 * (np.abs(y - f) - 0.15)
    ),
}


def test_every_loss_has_a_formula():
    assert {loss.name for loss in FORMULAS} == set(TABLE)


@pytest.mark.parametrize(("loss", "formula"), FORMULAS.items(), ids=map(repr, FORMULAS))
def test_values(loss, formula):
    case = Case(loss, 0, n_samples=50)
    expected = case.C * formula(case.y, case.f)
    assert_allclose(loss.value(case.y, case.f, case.C), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("C", [0.1, 3.0])
def test_metrics_of_scikit_learn(C):
    case = Case(Hinge(), 0, n_samples=40)
    y, f, weight = case.y, case.f, np.full(40, C)
    mean = {loss.name: np.mean(loss.value(y, f, weight)) / C for loss in LOSSES[:3]}
    assert_allclose(mean["hinge"], metrics.hinge_loss(y, f))
    proba = LogLoss().predict_proba(f)
    assert_allclose(mean["log_loss"], metrics.log_loss(y, proba))
    for loss, expected in (
        (SquaredError(), 0.5 * metrics.mean_squared_error(y, f)),
        (AbsoluteError(), metrics.mean_absolute_error(y, f)),
        (Quantile(0.8), metrics.mean_pinball_loss(y, f, alpha=0.8)),
    ):
        assert_allclose(np.mean(loss.value(y, f, weight)) / C, expected)


def models_of_scikit_learn(C):
    options = {"fit_intercept": False, "tol": 1e-10, "max_iter": 100_000}
    return [
        (Hinge(), LinearSVC(loss="hinge", C=C, **options)),
        (SquaredHinge(), LinearSVC(C=C, **options)),
        (LogLoss(), LogisticRegression(C=C, **options)),
        (Multinomial(3), LogisticRegression(C=C, **options)),
        (CrammerSinger(3), LinearSVC(multi_class="crammer_singer", C=C, **options)),
        (OneVersusRest(3), LinearSVC(loss="hinge", C=C, **options)),
        (SquaredError(), Ridge(alpha=1 / C, fit_intercept=False)),
        (EpsilonInsensitive(0.5), LinearSVR(epsilon=0.5, C=C, **options)),
        (AbsoluteError(), LinearSVR(epsilon=0.0, C=C, **options)),
    ]


@pytest.mark.parametrize("row", range(9))
def test_one_unit_is_the_model_of_scikit_learn(row):
    C = 0.3
    loss, model = models_of_scikit_learn(C)[row]
    case = Case(loss, 0, n_samples=30)
    X = case.rng.normal(size=(30, 3))
    weights = cp.Variable((3, *case.shape[1:]))
    objective = 0.5 * cp.sum_squares(weights) + loss.expression(case.y, X @ weights, np.full(30, C))
    cp.Problem(cp.Minimize(objective)).solve(solver=cp.CLARABEL)
    found = np.squeeze(model.fit(X, case.y).coef_)
    assert_allclose(found, weights.value.T, atol=1e-4)


def test_relations_between_losses():
    case = Case(AbsoluteError(), 0)
    y, f, C = case.y, case.f, case.C
    expected = AbsoluteError().value(y, f, C)
    assert_allclose(Quantile(0.5).value(y, f, 2 * C), expected)
    assert_allclose(EpsilonInsensitive(0.0).value(y, f, C), expected)
    assert_allclose(Huber(1e9).value(y, f, C), SquaredError().value(y, f, C))
    labels = np.where(y > 0, 1.0, -1.0)
    two = np.column_stack((np.zeros(len(f)), f))
    assert_allclose(
        Multinomial().value((labels > 0).astype(int), two, C), LogLoss().value(labels, f, C)
    )


def test_relative_accuracy_of_small_probabilities():
    y, C, b = np.array([1.0]), np.array([1.0]), np.array([1e-20])
    first, second = LogLoss().conjugate_derivatives(y, b, C)
    assert_allclose(first, np.log(1e-20), rtol=1e-15)
    assert_allclose(second, 1e20, rtol=1e-14)
    # p log p - p + O(p^2)
    expected = 1e-20 * np.log(1e-20) - 1e-20
    assert_allclose(LogLoss().conjugate(y, b, C), expected, rtol=1e-14)
    b = np.array([[1e-20, -1e-20, 0.0]])
    assert_allclose(Multinomial(3).conjugate(np.array([0]), b, C), expected, rtol=1e-14)


def test_probabilities():
    with np.errstate(all="raise", under="ignore"):
        binary = LogLoss().predict_proba(np.array([0.0, 1e4, -1e4, np.log(3)]))
        several = Multinomial().predict_proba(np.array([[1e4, 0.0, -1e4], [5.0, 5.0, 5.0]]))
    assert_allclose(binary, [[0.5, 0.5], [0, 1], [1, 0], [0.25, 0.75]])
    assert_allclose(several, [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]])


# -- targets, names, parameters --------------------------------------------------------------------


@one_output
def test_targets(loss):
    y = loss.check_targets([1, -1, 1])
    assert y.dtype == np.float64
    assert_array_equal(y, [1.0, -1.0, 1.0])
    assert loss.n_outputs(y) == 1
    with pytest.raises(ValueError, match=r"expected y of shape \(n_samples,\), got \(1, 2\)"):
        loss.check_targets([[1, -1]])
    wrong = [
        ([0, 1, 1, 0], r"got \[0, 1\]"),
        (["a", "b"], r"got \['a', 'b'\]"),
        ([np.nan, 1.0], r"got \[nan, 1.0\]"),
    ]
    if not loss.is_margin:
        wrong = [
            (["a", "b"], "expected real numbers in y, got dtype <U1"),
            ([1.0, np.nan], "expected finite numbers in y, got nan"),
            ([np.inf, 1.0], "expected finite numbers in y, got inf"),
        ]
    for labels, sentence in wrong:
        with pytest.raises(ValueError, match=sentence):
            loss.check_targets(labels)
    if loss.is_margin:
        with pytest.raises(ValueError, match=r"expected labels -1 and 1 in y, got \[0, 2\]"):
            loss.check_targets(np.array([0, 2]))


@pytest.mark.parametrize("loss", [Multinomial, CrammerSinger, OneVersusRest])
def test_targets_of_classes(loss):
    y = loss().check_targets(np.array([0.0, 2.0, 1.0]))
    assert y.dtype == np.intp
    assert loss().n_outputs(y) == 3
    assert loss(5).n_outputs(y) == 5
    assert loss().n_outputs(np.zeros(3, dtype=int)) == 2
    assert loss().fitted_to(y) == loss(3)
    for labels in ([-1, 1], [0.5, 1.0], ["a"], [np.nan], [np.inf]):
        with pytest.raises(ValueError, match=r"expected labels 0, 1, \.\.\. in y, got"):
            loss().check_targets(labels)
    with pytest.raises(ValueError, match=r"expected labels 0, \.\.\., 2 in y, got \[3\]"):
        loss(3).check_targets([3])
    with pytest.raises(ValueError, match=r"expected y of shape"):
        loss().check_targets([[0]])


@every_loss
def test_output_scale(loss):
    y, C = np.array([1.0, -1.0]), np.array([1.0, 3.0])
    assert loss.output_scale(y, C) == 1.0
    if loss.is_margin or isinstance(loss, ClassLoss):
        return
    assert_allclose(loss.output_scale(np.array([2.0, -4.0]), C), np.sqrt((4 + 3 * 16) / 4))
    assert loss.output_scale(np.zeros(2), C) == 1.0
    assert_allclose(loss.output_scale(np.full(2, 1e300), 1e300 * C), 1e300)
    assert_allclose(loss.output_scale(np.full(2, 1e-300), 1e-300 * C), 1e-300)


@pytest.mark.parametrize("name", TABLE)
def test_names(name):
    loss = get_loss(name)
    assert loss.name == name
    assert type(loss) is TABLE[name]
    assert get_loss(loss) is loss
    assert type(loss).__name__ in gnorm.losses.__all__


@pytest.mark.parametrize("wrong", ["hinges", None, 3, Hinge])
def test_unknown_names(wrong):
    with pytest.raises(ValueError, match=re.escape("expected a Loss or one of ['absolute_error'")):
        get_loss(wrong)


@every_loss
def test_losses_are_values(loss):
    assert isinstance(loss, Loss)
    copy = pickle.loads(pickle.dumps(loss))
    assert copy == loss
    assert hash(copy) == hash(loss)
    assert eval(repr(loss)) == loss
    with pytest.raises(AttributeError):
        loss.epsilon = 3.0
    assert sum(loss == other for other in LOSSES) == 1


def test_parameters():
    assert EpsilonInsensitive(epsilon=1) == EpsilonInsensitive(1.0)
    assert repr(Huber(np.float64(2))) == "Huber(delta=2.0)"
    assert repr(Quantile(0.25)) == "Quantile(quantile=0.25)"
    assert repr(Multinomial(np.int64(3))) == "Multinomial(n_classes=3)"
    for make, sentence in (
        (lambda: EpsilonInsensitive(-1.0), "expected a finite epsilon >= 0, got -1.0"),
        (lambda: EpsilonInsensitive(np.nan), "expected a finite epsilon >= 0, got nan"),
        (lambda: Huber(0.0), "expected a finite delta > 0, got 0.0"),
        (lambda: Huber(np.inf), "expected a finite delta > 0, got inf"),
        (lambda: Quantile(0.0), "expected 0 < quantile < 1, got 0.0"),
        (lambda: Quantile(1.5), "expected 0 < quantile < 1, got 1.5"),
        (lambda: Multinomial(1), "expected n_classes >= 2 or None, got 1"),
        (lambda: Multinomial(2.5), "expected n_classes >= 2 or None, got 2.5"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            make()
