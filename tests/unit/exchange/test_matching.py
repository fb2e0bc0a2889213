"""When orders trade, and at what price."""

import pytest

from holdfast.domain.order import BrokerOrderId, OrderTerms, Side
from holdfast.exchange.book import Book
from holdfast.exchange.market import Trade
from holdfast.exchange.matching import fill_from_book, fill_from_trade, is_touched
from holdfast.exchange.order import LiveOrder
from tests.unit.exchange.floor import at, buy, oid, sell, stop, told


def order(terms: OrderTerms) -> LiveOrder:
    """An order that arrived at the open."""
    return LiveOrder(oid("A"), BrokerOrderId("1"), terms=terms, rank=1, at_ns=at(0))


def passive(terms: OrderTerms, ahead: int | None) -> LiveOrder:
    """An order that waits at its own price behind `ahead` contracts."""
    made = order(terms)
    made.is_passive, made.ahead = True, ahead
    return made


def book(**changes: object) -> Book:
    """A book told at the open."""
    made = Book()
    made.tell(told(0, **changes))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(
    ("side", "low", "high", "touched"),
    [
        (Side.SELL, 9_000, 9_500, True),
        (Side.SELL, 9_001, 9_500, False),
        (Side.SELL, 8_000, 8_000, True),
        (Side.BUY, 8_500, 9_000, True),
        (Side.BUY, 8_500, 8_999, False),
        (Side.BUY, 9_900, 9_900, True),
    ],
)
def test_a_trade_at_the_trigger_touches_it(
    side: Side, low: int, high: int, *, touched: bool
) -> None:
    """A sale's from above, a buy's from below; extremes of merged ticks count."""
    assert is_touched(stop(side, 9_000, 9_000), Trade(low, high, 65)) is touched


def test_an_arrival_takes_levels_at_their_prices_and_waits_at_its_own() -> None:
    """A level beyond its limit was seen: the rest is passive, first in an empty queue."""
    made = order(buy(10_005, 195))
    assert fill_from_book(made, book()) == (130, 130 * 10_005)
    assert (made.is_passive, made.ahead) == (True, 0)


def test_a_passive_order_trades_at_its_own_price_when_the_other_side_comes() -> None:
    """Who crosses a resting order pays its price, not a better one of later."""
    made = passive(buy(10_000, 195), 0)
    assert fill_from_book(made, book(asks=((9_900, 130), (10_001, 650)))) == (130, 130 * 10_000)


def test_an_order_that_swept_the_book_takes_what_comes_at_its_price() -> None:
    """Deeper levels existed and were not told, so its limit never became the market."""
    made, swept = order(sell(9_000, 455)), book()
    quantity, value = fill_from_book(made, swept)
    made.fill(quantity, value, at(0))
    assert (quantity, made.is_passive) == (390, False)
    assert fill_from_book(made, swept) == (0, 0)
    assert fill_from_book(made, book(bids=((9_985, 650),))) == (65, 65 * 9_985)


@pytest.mark.parametrize(
    ("terms", "ahead", "trade", "filled", "left_ahead"),
    [
        (buy(10_000), 100, Trade(10_000, 10_000, 99), 0, 1),  # the queue goes first
        (buy(10_000), 100, Trade(10_000, 10_000, 130), 30, 0),
        (buy(10_000), 0, Trade(10_000, 10_000, 650), 65, 0),
        (buy(10_000), 100, Trade(9_995, 10_100, 40), 40, 100),  # printed through: no queue left
        (buy(10_000), 100, Trade(10_005, 10_005, 650), 0, 100),  # traded above: not our price
        (buy(10_000), None, Trade(10_000, 10_000, 650), 0, None),  # nobody knows the queue
        (buy(10_000), None, Trade(9_995, 9_995, 650), 65, None),
        (sell(10_000), 100, Trade(10_000, 10_000, 130), 30, 0),
        (sell(10_000), 100, Trade(9_000, 10_005, 650), 65, 100),
        (sell(10_000), 100, Trade(9_000, 9_995, 650), 0, 100),
        (buy(10_000), 0, Trade(9_995, 9_995, 0), 0, 0),  # a trade of unknown size fills nobody
    ],
)
def test_a_passive_order_trades_by_prints_after_its_queue(
    terms: OrderTerms, ahead: int | None, trade: Trade, filled: int, left_ahead: int | None
) -> None:
    """By traded quantity, never more than it."""
    made = passive(terms, ahead)
    assert fill_from_trade(made, trade, volume=trade.quantity) == filled
    assert made.ahead == left_ahead


def test_an_order_that_met_no_book_yet_does_not_trade_by_prints() -> None:
    """Nobody knows where it stands; the next book decides."""
    trade = Trade(9_000, 9_000, 650)
    assert fill_from_trade(order(buy(10_000)), trade, volume=650) == 0


def test_a_queue_too_deep_to_be_told_is_counted_once_it_is() -> None:
    """An order joins at the sixth price; when the price comes into view its queue is known."""
    bids = tuple((9_995 - 5 * level, 65) for level in range(5))
    made = order(buy(9_970))
    fill_from_book(made, book(bids=bids))
    assert (made.is_passive, made.ahead) == (True, None)
    fill_from_book(made, book(bids=((9_980, 65), (9_970, 195))))
    assert made.ahead == 195


def test_what_trades_at_once_may_be_bounded() -> None:
    """By whoever slices fills; the rest goes on as before."""
    made = order(buy(10_010, 195))
    offered = book(asks=((10_005, 195),))
    assert fill_from_book(made, offered, most=65) == (65, 65 * 10_005)
    made.fill(65, 65 * 10_005, at(0))
    assert fill_from_book(made, offered) == (130, 130 * 10_005)
    passive = order(buy(10_000, 195))
    fill_from_book(passive, book(bids=((9_000, 65),)))
    trade = Trade(low_paise=9_990, high_paise=9_990, quantity=650)
    assert fill_from_trade(passive, trade, volume=650, most=65) == 65
    assert fill_from_trade(passive, trade, volume=650) == 195
