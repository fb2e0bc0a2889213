"""The cash that working orders and shorts hold back."""

import pytest
from msgspec.structs import replace

from holdfast.domain.instrument import Instrument, Kind, OptionType, Product
from holdfast.exchange.margin import (
    Leg,
    OpenOrder,
    hedge_relief,
    held_back,
    leg,
    short_margin,
    short_quantity,
)
from tests.support.desk import CALL, PUT, option
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


HIGHER = option(40_003, 24_600, OptionType.CALL)
LOWER_PUT = option(40_004, 24_300, OptionType.PUT)
NAKED = 294_000  # 12 % of 24,500


def short(contract: Instrument, shorts: int, product: Product = Product.INTRADAY) -> Leg:
    """A short leg."""
    return Leg(contract, product, shorts=shorts, longs=0)


def long(contract: Instrument, longs: int, product: Product = Product.INTRADAY) -> Leg:
    """A long leg that is not for sale."""
    return Leg(contract, product, shorts=0, longs=longs)


@pytest.mark.parametrize(
    ("legs", "relief"),
    [
        ([], 0),
        ([short(CALL, 65)], 0),
        ([short(CALL, 65), long(HIGHER, 65)], 65 * (NAKED - 10_000)),  # 100 points at risk
        ([short(CALL, 65), long(HIGHER, 130)], 65 * (NAKED - 10_000)),
        ([short(CALL, 130), long(HIGHER, 65)], 65 * (NAKED - 10_000)),
        ([short(HIGHER, 65), long(CALL, 65)], 65 * 295_200),  # nothing at risk but premium
        ([short(PUT, 65), long(LOWER_PUT, 65)], 65 * (NAKED - 20_000)),
        ([short(CALL, 65), long(PUT, 65)], 0),  # another type bounds nothing
        ([short(CALL, 65), long(HIGHER, 65, Product.MARGIN)], 0),
        ([short(CALL, 65), long(replace(HIGHER, expiry="2026-12-01"), 65)], 0),
        ([short(CALL, 65), long(replace(HIGHER, underlying="OTHER"), 65)], 0),
        ([short(CALL, 65), short(HIGHER, 65), long(option(1, 24_700, OptionType.CALL), 65)],
         65 * (NAKED - 20_000)),  # one long hedges one short, the first
    ],
)  # fmt: skip
@pytest.mark.proves("T29")
def test_a_long_bounds_the_loss_of_a_short(legs: list[Leg], relief: int) -> None:
    """The short then holds back what the pair can lose, and no more; each contract serves once."""
    assert hedge_relief(legs) == relief


def test_a_long_that_is_for_sale_hedges_nothing() -> None:
    """A resting stop too: the relief is gone when it is placed (T12)."""
    held = leg(CALL, Product.INTRADAY, net=130, orders=[SELL])
    assert held == Leg(CALL, Product.INTRADAY, shorts=0, longs=65)
    assert leg(CALL, Product.INTRADAY, net=-65, orders=[SELL]).shorts == 130
