"""One instrument at the exchange."""

import pytest
from msgspec.structs import replace

from holdfast.domain.market import Tick
from holdfast.domain.order import BrokerOrderId, OrderTerms
from holdfast.exchange.market import Market, Trade
from holdfast.exchange.order import LiveOrder
from tests.support.desk import CALL, NIFTY, OPEN, PRICES, SECOND
from tests.unit.exchange.floor import at, buy, oid, sell, told

FIRST = told(0)
UNTRADED = replace(told(0, volume=0), venue_at_ns=None)


@pytest.mark.parametrize(
    ("before", "tick", "trade"),
    [
        (None, FIRST, None),  # nothing to compare with
        (FIRST, told(1), None),  # the book moved
        (FIRST, told(1, volume=1_065), Trade(10_000, 10_000, 65)),
        (FIRST, replace(told(1), venue_at_ns=OPEN + SECOND), Trade(10_000, 10_000, 0)),
        (FIRST, told(1, volume=900), None),  # an older packet
        (FIRST, replace(told(1), venue_at_ns=OPEN - SECOND), None),
        (UNTRADED, told(1, volume=65), Trade(10_000, 10_000, 65)),
        (UNTRADED, UNTRADED, None),
        (
            FIRST,
            replace(told(1, volume=1_130), count=3, last_low_paise=9_900, last_high_paise=10_100),
            Trade(9_900, 10_100, 130),
        ),
    ],
)
@pytest.mark.proves("T29")
def test_a_tick_trades_when_its_volume_or_trade_time_moved(
    before: Tick | None, tick: Tick, trade: Trade | None
) -> None:
    """Merged ticks bring the extremes of all of them."""
    market = Market(CALL, PRICES)
    if before is not None:
        market.tell(before)
    assert market.tell(tick) == trade


def test_reference_and_last_price_come_from_trades_alone() -> None:
    """The close of the day before is no price of today."""
    market = Market(CALL, PRICES)
    market.tell(UNTRADED)
    assert (market.last_paise, market.reference_paise(at(0))) == (None, None)
    market.tell(told(1, last=9_000, volume=65))
    market.tell(told(2, last=11_000, volume=65))  # the book moved, and an odd last price with it
    assert (market.last_paise, market.reference_paise(at(40))) == (11_000, 9_000)


def test_what_cannot_be_traded_keeps_no_reference() -> None:
    """An index is told for those who read quotes."""
    market = Market(NIFTY, None)
    market.tell(told(0, instrument=NIFTY))
    assert market.book.tick is not None
    assert market.reference_paise(at(40)) is None


def test_orders_stand_by_price_then_time() -> None:
    """The highest bid and the lowest offer first; among equals the earlier."""

    def order(name: str, terms: OrderTerms, rank: int) -> LiveOrder:
        return LiveOrder(oid(name), BrokerOrderId(name), terms=terms, rank=rank, at_ns=at(0))

    market = Market(CALL, PRICES)
    market.orders = [
        order("late", buy(9_990), 3),
        order("low", buy(9_980), 1),
        order("early", buy(9_990), 2),
        order("dear", sell(10_100), 4),
        order("cheap", sell(10_050), 5),
    ]
    names = [found.order_id for found in market.by_priority()]
    assert [n for n in names if n in ("early", "late", "low")] == ["early", "late", "low"]
    assert [n for n in names if n in ("cheap", "dear")] == ["cheap", "dear"]
