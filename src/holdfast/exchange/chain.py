"""Fair prices of an option chain: Black-76 on the forward, with a smile, calls and puts in parity."""

import numpy as np

from holdfast.exchange.noise import Floats

RATE = 0.065
"""The riskless rate a year, continuously."""

YEAR_S = 365 * 86_400
SECONDS_LEFT_MIN = 60.0

SMILE_SKEW = -0.045
SMILE_CURVE = 0.018
"""Volatility relative to at the money, per standard deviation from the forward and per square."""


def years_left(seconds_left: Floats) -> Floats:
    """Time to expiry in years; the last minute does not pass, so that no price is undefined."""
    return np.maximum(seconds_left, SECONDS_LEFT_MIN) / YEAR_S


def smile(forward: Floats, strike: float, *, at_the_money: Floats, years: Floats) -> Floats:
    """The volatility of one strike: higher below the forward, a little higher far above."""
    deviations = np.log(strike / forward) / (at_the_money * np.sqrt(years))
    away = np.clip(deviations, -3.0, 3.0)
    volatility: Floats = at_the_money * (1.0 + SMILE_SKEW * away + SMILE_CURVE * away**2)
    return volatility


def black76(
    forward: Floats, strike: float, *, volatility: Floats, years: Floats
) -> tuple[Floats, Floats]:
    """Call and put in the unit of their arguments. They keep parity with the forward exactly."""
    spread = volatility * np.sqrt(years)
    d1 = np.log(forward / strike) / spread + spread / 2
    discount = np.exp(-RATE * years)
    call = discount * (forward * normal_cdf(d1) - strike * normal_cdf(d1 - spread))
    parity = discount * (forward - strike)
    call = np.maximum(call, np.maximum(parity, 0.0))
    return call, call - parity


def normal_cdf(x: Floats) -> Floats:
    """The normal distribution to 1e-7 (Abramowitz and Stegun 26.2.17)."""
    t = 1.0 / (1.0 + 0.2316419 * np.abs(x))
    poly = t * (
        0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429)))
    )
    tail = np.exp(-x * x / 2) / np.sqrt(2 * np.pi) * poly
    below: Floats = np.where(x >= 0, 1.0 - tail, tail)
    return below
