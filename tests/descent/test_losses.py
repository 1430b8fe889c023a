"""Exponential-like losses: the constants of their tails, and no margin too large."""

import decimal
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from gnorm.descent import Exponential, ExponentialLike, Logistic

LOSSES = [Exponential(), Logistic()]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
margins = st.floats(-1e4, 1e4, allow_subnormal=False)


def exact(loss, u):
    """log of the loss and of its slope, by 60 digits and the definition."""
    with decimal.localcontext() as context:
        context.prec = 60
        context.Emin, context.Emax = -(10**7), 10**7
        e = (-Decimal(u)).exp()
        if isinstance(loss, Exponential):
            value, slope = e, e
        elif u < 100:
            value, slope = (1 + e).ln(), e / (1 + e)
        else:  # 60 digits of 1 + e are not enough: two terms of the series are
            value, slope = e - e * e / 2, e - e * e
        return float(value.ln()), float(slope.ln())


# -- the definition --------------------------------------------------------------------------------


@every_loss
def test_the_tail_has_the_stated_constants(loss):
    """Definition B.10, divided by the tail, so that no margin underflows."""
    assert min(loss.c, loss.a, loss.mu_plus, loss.mu_minus) > 0
    for start, sign, rate in [(loss.u_plus, 1, loss.mu_plus), (loss.u_minus, -1, loss.mu_minus)]:
        u = start + np.concatenate([np.logspace(-6, 4, 400), np.linspace(0.01, 40, 400)])
        relative = np.exp(loss.log_slope(u) + loss.a * u - np.log(loss.c))
        bound = 1 + sign * np.exp(-rate * u)
        assert (sign * (bound - relative) >= -1e-11).all()


@every_loss
def test_the_tail_would_not_bear_other_constants(loss):
    u = np.array([20.0, 30.0])
    assert_allclose(np.exp(loss.log_slope(u) + loss.a * u), loss.c, rtol=1e-8)
    assert_allclose(np.diff(loss.log_slope(u)), -10 * loss.a, rtol=1e-8)


@every_loss
def test_losses_fall_to_zero(loss):
    u = np.linspace(-1e4, 1e4, 20_001)
    assert (np.diff(loss.log_value(u)) < 0).all()
    assert loss.log_value(1e4) == pytest.approx(-1e4)


def test_the_logistic_slope_is_lipschitz():
    u = np.linspace(-50, 50, 100_001)
    slopes = np.exp(Logistic().log_slope(u))
    assert np.abs(np.diff(slopes) / np.diff(u)).max() <= 0.25 + 1e-9


@every_loss
@given(u=margins)
def test_values_and_slopes_in_logarithms_are_exact(loss, u):
    log_value, log_slope = exact(loss, u)
    assert_allclose(loss.log_value(u), log_value, rtol=1e-13, atol=1e-13)
    assert_allclose(loss.log_slope(u), log_slope, rtol=1e-13, atol=1e-13)


@every_loss
@pytest.mark.parametrize("u", [-30.0, -1.0, 0.0, 0.7, 5.0, 20.0])
def test_the_slope_is_the_derivative(loss, u):
    step = 1e-5
    difference = (np.exp(loss.log_value(u - step)) - np.exp(loss.log_value(u + step))) / (2 * step)
    assert_allclose(np.exp(loss.log_slope(u)), difference, rtol=1e-6)


@every_loss
@given(u=margins)
def test_the_inverse_inverts(loss, u):
    log_value = loss.log_value(u)
    assert_allclose(loss.log_value(loss.inverse(log_value)), log_value, rtol=1e-12, atol=1e-12)
    # below about -37 the logistic loss is -u to the last digit, and still so is its inverse
    assert_allclose(loss.inverse(log_value), u, rtol=1e-12, atol=1e-9)


@every_loss
def test_the_inverse_is_continuous_where_its_formula_changes(loss):
    for at in (-700.0, np.log(700.0)):
        u = loss.inverse([at * (1 - 1e-12), at, at * (1 + 1e-12)])
        assert_allclose(u, u[1], rtol=1e-9)


# -- means -----------------------------------------------------------------------------------------


@every_loss
@given(st.lists(st.floats(-30, 30), min_size=1, max_size=8))
def test_log_mean_is_the_logarithm_of_the_mean(loss, u):
    u = np.array(u)
    values, slopes = np.exp(loss.log_value(u)), np.exp(loss.log_slope(u))
    log_loss, weights = loss.log_mean(u)
    assert_allclose(log_loss, np.log(values.mean()), rtol=1e-12, atol=1e-12)
    assert_allclose(weights, slopes / values.sum(), rtol=1e-11)


@every_loss
@given(st.lists(st.floats(-60, 60), min_size=1, max_size=8), st.floats(-45, 45))
def test_log_mean_is_the_same_by_logarithms(loss, u, shift):
    """Wherever the smallest margin is, and so whichever formula is taken."""
    u = np.array(u) + shift
    log_loss, weights = loss.log_mean(u)
    expected = ExponentialLike.log_mean(loss, u)
    assert_allclose(log_loss, expected[0], rtol=1e-12, atol=1e-13)
    assert_allclose(weights, expected[1], rtol=1e-11)


@every_loss
@pytest.mark.parametrize("size", [1e4, 1e6])
@pytest.mark.parametrize("signs", [[1, 1], [-1, -1], [-1, 1], [1, 1.0001, -1e-9]])
def test_margins_of_any_size_have_finite_means_and_slopes(loss, size, signs):
    u = size * np.array(signs)
    with np.errstate(all="raise", under="ignore"):
        log_loss, slopes = loss.log_mean(u)
    assert np.isfinite(log_loss)
    assert np.isfinite(slopes).all()
    assert (slopes >= 0).all()
    assert slopes.max() > 0
    assert slopes.argmax() == u.argmin()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_exponential_slopes_are_a_distribution(u):
    _, slopes = Exponential().log_mean(u)
    assert_allclose(slopes.sum(), 1.0, rtol=1e-9)  # the last digit of a margin of 1e6


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8))
def test_logistic_slopes_become_one(u):
    """Their sum is between that of a single margin of 0 and 1."""
    _, slopes = Logistic().log_mean(u)
    assert 0.5 / np.log(2) - 1e-9 <= slopes.sum() <= 1 + 1e-9


@every_loss
@given(st.lists(margins, min_size=1, max_size=8))
def test_the_smoothed_margin_is_never_above_the_smallest(loss, u):
    log_loss, _ = loss.log_mean(u)
    smoothed = loss.inverse(log_loss + np.log(len(u)))
    assert smoothed <= min(u) + 1e-9 * max(1.0, abs(min(u)))


@every_loss
def test_losses_take_arrays_and_have_value_semantics(loss):
    u = np.array([[0.0, 1.0], [2.0, -3.0]])
    for function in (loss.log_value, loss.log_slope, loss.inverse):
        assert_array_equal(function(u), [[function(v) for v in row] for row in u.tolist()])
    assert loss == type(loss)()


def test_a_loss_must_be_written():
    with pytest.raises(NotImplementedError):
        ExponentialLike().log_mean([1.0])
