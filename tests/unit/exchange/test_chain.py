"""Fair prices of an option chain."""

from math import erf, exp, log, sqrt

import numpy as np
import pytest

from holdfast.exchange.chain import RATE, black76, normal_cdf, smile, years_left


def one(value: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A single value as a column."""
    return np.array([value])


def cdf(x: float) -> float:
    """The normal distribution from the standard library."""
    return (1 + erf(x / sqrt(2))) / 2


def test_the_normal_distribution_is_right_to_seven_digits() -> None:
    """In both tails and between."""
    xs = np.linspace(-8, 8, 401)
    assert np.abs(normal_cdf(xs) - [cdf(x) for x in xs.tolist()]).max() < 1e-7


@pytest.mark.parametrize("strike", [22_000.0, 24_000.0, 24_500.0, 25_000.0, 27_000.0])
@pytest.mark.parametrize("years", [1e-5, 0.01, 0.2])
def test_calls_and_puts_are_blacks(strike: float, years: float) -> None:
    """The formula written out once more, with the library's error function."""
    forward, volatility = 24_510.0, 0.14
    spread = volatility * sqrt(years)
    d1 = log(forward / strike) / spread + spread / 2
    discount = exp(-RATE * years)
    call = discount * (forward * cdf(d1) - strike * cdf(d1 - spread))
    put = call - discount * (forward - strike)
    made_call, made_put = black76(
        one(forward), strike, volatility=one(volatility), years=one(years)
    )
    assert made_call[0] == pytest.approx(call, abs=0.01)
    assert made_put[0] == pytest.approx(put, abs=0.01)


def test_calls_and_puts_keep_parity_and_are_never_negative() -> None:
    """Call less put is the discounted forward less the strike, to the last bit that matters."""
    forwards = np.linspace(20_000, 29_000, 91)
    years = np.full(91, 1e-4)
    call, put = black76(forwards, 24_500.0, volatility=np.full(91, 0.2), years=years)
    assert np.abs(call - put - np.exp(-RATE * years) * (forwards - 24_500)).max() < 1e-9
    assert min(call.min(), put.min()) > -1e-9


def test_the_smile_is_lowest_near_the_money_and_skewed_to_the_downside() -> None:
    """A put costs more volatility than a call as far away."""
    forward, level, years = one(24_500.0), one(0.13), one(0.01)
    low, money, high, far = (
        smile(forward, strike, at_the_money=level, years=years)[0]
        for strike in (23_900.0, 24_500.0, 25_100.0, 40_000.0)
    )
    assert low > high > 0.12
    assert low > money == pytest.approx(0.13)
    assert far < 0.2  # beyond three deviations it stays flat


def test_time_runs_out_but_for_its_last_minute() -> None:
    """So that no price is undefined at expiry."""
    assert years_left(np.array([86_400.0 * 365, 60.0, 1.0, -5.0])).tolist() == pytest.approx(
        [1.0, *[60 / (365 * 86_400)] * 3]
    )
