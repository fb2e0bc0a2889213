"""The cash that working orders and shorts hold back."""

import pytest
from msgspec.structs import replace

from holdfast.domain.instrument import Kind
from holdfast.exchange.margin import OpenOrder, held_back, short_margin, short_quantity
from tests.support.desk import CALL
from tests.unit.exchange.floor import buy, sell

BUY: OpenOrder = (buy(10_000), 65)
SELL: OpenOrder = (sell(12_000), 65)

SHORT_65 = 65 * (10_000 + 294_000)  # the last price, and 12 % of a strike of 24,500 rupees


@pytest.mark.parametrize(
    ("net", "orders", "short"),
    [
        (0, [], 0),
        (65, [], 0),
        (-65, [], 65),
        (65, [SELL], 0),
        (65, [SELL, SELL], 65),  # the second closer is a new short (T4)
        (0, [SELL], 65),
        (-65, [SELL], 130),
        (-65, [BUY], 65),  # a buy frees nothing before it fills
    ],
)
def test_sales_beyond_what_is_held_are_shorts(
    net: int, orders: list[OpenOrder], short: int
) -> None:
    """Every working sale counts, resting stops too."""
    assert short_quantity(net, orders) == short


@pytest.mark.parametrize(
    ("net", "orders", "last", "held"),
    [
        (0, [BUY], 9_000, 65 * 10_000),  # a buy holds back its limit, whatever the price
        (130, [SELL], 10_000, 0),
        (-65, [], 10_000, SHORT_65),
        (-65, [BUY], 10_000, SHORT_65 + 65 * 10_000),  # a resting buy stop eats cash (T12)
        (0, [SELL], 10_000, SHORT_65),
        (0, [SELL], None, 65 * (12_000 + 294_000)),  # nothing traded: at its own limit
        (0, [], None, 0),
    ],
)
def test_a_key_holds_back_its_buys_and_its_shorts(
    net: int, orders: list[OpenOrder], last: int | None, held: int
) -> None:
    """Premium for buys, premium and 12 % of the strike for shorts."""
    assert held_back(CALL, net=net, orders=orders, last_paise=last) == held


def test_without_a_strike_the_price_takes_its_place() -> None:
    """As of a future."""
    future = replace(CALL, kind=Kind.FUTURE, strike_paise=None, option_type=None)
    assert short_margin(future, quantity=10, premium_paise=1_000) == 10 * 1_120
