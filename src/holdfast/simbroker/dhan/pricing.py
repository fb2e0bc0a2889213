"""What an option's price implies: volatility and greeks by Black-76 on the forward.

Prices and strikes are in one unit, whichever; volatility is a year's, as a ratio. Vega is for one
point of volatility, theta for one calendar day: the broker's own units (dhan.md, appendix A).
"""

from math import erf, exp, log, pi, sqrt
from typing import Final, NamedTuple

from holdfast.domain.instrument import OptionType
from holdfast.exchange.chain import RATE, SECONDS_LEFT_MIN, YEAR_S

STEPS: Final = 60
VOLATILITY_MAX: Final = 5.0
DAYS: Final = 365


class Terms(NamedTuple):
    """An option to be priced: the spot now, its strike, the years to its expiry."""

    spot: float
    strike: float
    years: float
    option_type: OptionType

    @property
    def forward(self) -> float:
        """Where the spot would be at the expiry at the riskless rate."""
        return self.spot * exp(RATE * self.years)


class Greeks(NamedTuple):
    """How the price moves with its causes."""

    delta: float = 0.0
    theta: float = 0.0
    gamma: float = 0.0
    vega: float = 0.0


def years_until(expiry_ns: int, at_ns: int) -> float:
    """Years from one instant (UTC nanoseconds) to the other; the last minute does not pass."""
    return max((expiry_ns - at_ns) / 1e9, SECONDS_LEFT_MIN) / YEAR_S


def implied_volatility(terms: Terms, premium: float) -> float:
    """The volatility at which `premium` is fair; 0.0 where none is, as below intrinsic value."""
    if not _price(terms, 1e-6) < premium < _price(terms, VOLATILITY_MAX):
        return 0.0
    low, high = 1e-6, VOLATILITY_MAX
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _price(terms, middle) < premium:
            low = middle
        else:
            high = middle
    return high


def greeks(terms: Terms, volatility: float) -> Greeks:
    """All of them at a volatility; zeros where there is none."""
    if volatility <= 0.0:
        return Greeks()
    d1, d2 = _deviations(terms, volatility)
    root = sqrt(terms.years)
    density = exp(-d1 * d1 / 2) / sqrt(2 * pi)
    sign = 1 if terms.option_type is OptionType.CALL else -1
    decay = -terms.spot * density * volatility / (2 * root)
    carry = sign * RATE * terms.strike * exp(-RATE * terms.years) * _normal(sign * d2)
    return Greeks(
        delta=_normal(d1) - (0 if sign > 0 else 1),
        theta=(decay - carry) / DAYS,
        gamma=density / (terms.spot * volatility * root),
        vega=terms.spot * density * root / 100,
    )


def _price(terms: Terms, volatility: float) -> float:
    d1, d2 = _deviations(terms, volatility)
    sign = 1 if terms.option_type is OptionType.CALL else -1
    forward, strike = terms.forward * _normal(sign * d1), terms.strike * _normal(sign * d2)
    return sign * exp(-RATE * terms.years) * (forward - strike)


def _deviations(terms: Terms, volatility: float) -> tuple[float, float]:
    spread = volatility * sqrt(terms.years)
    d1 = log(terms.forward / terms.strike) / spread + spread / 2
    return d1, d1 - spread


def _normal(x: float) -> float:
    return (1 + erf(x / sqrt(2))) / 2
