"""One order as the exchange keeps it."""

import pytest

from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderTerms, OrderType, Refusal, Side
from holdfast.exchange.order import LiveOrder
from tests.unit.exchange.floor import at, buy, oid, stop


def order(terms: OrderTerms) -> LiveOrder:
    """An order that arrived at the open."""
    return LiveOrder(oid("A"), BrokerOrderId("1"), terms=terms, rank=1, at_ns=at(0))


def test_fills_add_up_and_the_last_one_ends_it() -> None:
    """Rows are cumulative: quantity, value, and the time of the last thing that happened."""
    made = order(buy(10_005, 130))
    made.fill(65, 65 * 10_000, at(1))
    row = made.row()
    assert (row.status, row.filled_quantity, made.open_quantity) == (BrokerStatus.WORKING, 65, 65)
    made.fill(65, 65 * 10_005, at(2))
    row = made.row()
    assert (row.status, row.filled_quantity) == (BrokerStatus.FILLED, 130)
    assert (row.filled_value_paise, row.venue_at_ns) == (65 * 20_005, at(2))
    assert made.open_quantity == 0


@pytest.mark.parametrize("quantity", [0, 66])
def test_it_never_fills_with_nothing_nor_beyond_what_is_open(quantity: int) -> None:
    """Either is a fault of the exchange itself."""
    with pytest.raises(AssertionError, match="open"):
        order(buy(10_005)).fill(quantity, 1, at(1))


def test_a_released_stop_is_a_limit_order_at_its_limit() -> None:
    """The row of that moment says triggered; from then on it works."""
    made = order(stop(Side.SELL, 9_000, 8_900))
    row = made.release(rank=7, at_ns=at(3))
    assert (row.status, row.venue_at_ns) == (BrokerStatus.TRIGGERED, at(3))
    assert row.terms.order_type is OrderType.LIMIT
    assert (row.terms.limit_paise, row.terms.trigger_paise) == (8_900, None)
    assert (made.status, made.rank, made.is_stop) == (BrokerStatus.WORKING, 7, False)
    with pytest.raises(AssertionError, match="trigger"):
        made.release(rank=8, at_ns=at(4))


def test_a_modification_loses_its_place() -> None:
    """Queue and time begin anew; fills stay."""
    made = order(buy(10_000, 130))
    made.fill(65, 65 * 10_000, at(1))
    made.is_passive, made.ahead = True, 30
    made.modify(buy(9_990, 195), rank=9, at_ns=at(2))
    assert [made.is_passive, made.ahead, made.rank] == [False, None, 9]
    assert (made.open_quantity, made.filled_quantity) == (130, 65)


def test_a_total_cut_to_what_has_filled_is_a_full_fill() -> None:
    """Nothing is left that could trade."""
    made = order(buy(10_000, 130))
    made.fill(65, 65 * 10_000, at(1))
    made.modify(buy(10_000, 65), rank=2, at_ns=at(2))
    assert made.row().status is BrokerStatus.FILLED
    assert not made.is_live


def test_an_end_keeps_fills_and_says_why() -> None:
    """And nothing happens after it."""
    made = order(buy(10_000, 130))
    made.fill(65, 65 * 10_000, at(1))
    row = made.end(BrokerStatus.REJECTED, at(2), refusal=Refusal.BAND, reason="so")
    assert (row.filled_quantity, row.refusal, row.reason) == (65, Refusal.BAND, "so")
    with pytest.raises(AssertionError, match="once"):
        made.end(BrokerStatus.CANCELLED, at(3))
    with pytest.raises(AssertionError, match="ended"):
        made.modify(buy(10_000, 130), rank=2, at_ns=at(3))
