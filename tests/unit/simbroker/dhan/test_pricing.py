"""Implied volatility and greeks."""

import numpy as np
import pytest

from holdfast.domain.instrument import OptionType
from holdfast.exchange.chain import black76
from holdfast.simbroker.dhan.pricing import (
    Greeks,
    Terms,
    greeks,
    implied_volatility,
    years_until,
)

CALL = Terms(24_500.0, 24_450.0, 4 / 365, OptionType.CALL)
PUT = CALL._replace(option_type=OptionType.PUT)


def fair(terms: Terms, volatility: float) -> float:
    """What the exchange's own chain would ask."""
    one = np.array([terms.forward])
    call, put = black76(
        one, terms.strike, volatility=np.array([volatility]), years=np.array([terms.years])
    )
    return float((call if terms.option_type is OptionType.CALL else put)[0])


@pytest.mark.parametrize("terms", [CALL, PUT])
def test_the_volatility_of_a_fair_price_is_found_again(terms: Terms) -> None:
    """What the exchange priced at 13 % implies 13 %."""
    assert implied_volatility(terms, fair(terms, 0.13)) == pytest.approx(0.13, abs=1e-5)


def test_a_price_below_intrinsic_value_implies_nothing() -> None:
    """Zero stands for it, and its greeks are zeros."""
    assert implied_volatility(CALL, 49.0) == 0.0
    assert implied_volatility(CALL, 1e9) == 0.0
    assert greeks(CALL, 0.0) == Greeks()


@pytest.mark.parametrize("terms", [CALL, PUT])
def test_greeks_are_slopes_of_the_price(terms: Terms) -> None:
    """Each agrees with the price a little further along."""
    told, base = greeks(terms, 0.13), fair(terms, 0.13)
    up, down = (fair(terms._replace(spot=terms.spot + d), 0.13) for d in (1, -1))
    assert told.delta == pytest.approx((up - down) / 2, abs=1e-3)
    assert told.gamma == pytest.approx(up - 2 * base + down, rel=0.02)
    assert told.vega == pytest.approx(fair(terms, 0.14) - base, rel=0.02)
    tomorrow = terms._replace(years=terms.years - 0.1 / 365)
    assert told.theta == pytest.approx((fair(tomorrow, 0.13) - base) * 10, rel=0.03)


def test_the_last_minute_does_not_pass() -> None:
    """No division by no time at all."""
    assert years_until(0, 10**18) == years_until(60 * 10**9, 0) > 0
