"""Reading the book until two passes agree: what counts as agreement, and how often it is asked."""

import pytest
from msgspec.structs import replace

from holdfast.core.bookread import ANSWER_NS, agreed_orders, unstable_keys
from holdfast.domain.book import BookNet, BookTrade, ForeignRow
from holdfast.domain.command import ReadBook
from holdfast.domain.event import BOOK, BookRead, ReadFailed
from holdfast.domain.instrument import BrokerKey, Product
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderTerms,
    OrderType,
    Side,
)
from tests.support.desk import CALL, OPEN, PUT, SECOND, Desk

TERMS = OrderTerms(
    instrument=CALL.id,
    product=Product.INTRADAY,
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    quantity=130,
    limit_paise=10_000,
)
ROW = OrderRow(
    order_id=OrderId("A"),
    broker_id=BrokerOrderId("1"),
    status=BrokerStatus.WORKING,
    terms=TERMS,
    filled_quantity=65,
    filled_value_paise=650_000,
    venue_at_ns=OPEN,
)
TRADE = BookTrade(trade_id="7", broker_id=BrokerOrderId("1"), quantity=65, value_paise=650_000)
NET = BookNet(instrument=CALL.id, product=Product.INTRADAY, bought=65, sold=0)
FOREIGN = ForeignRow(
    broker_id=BrokerOrderId("9"),
    instrument=PUT.id,
    product=Product.INTRADAY,
    side=Side.SELL,
    quantity=65,
    filled_quantity=0,
    is_live=True,
)
READ = BookRead(
    at_ns=OPEN,
    began_at_ns=OPEN,
    nets=(NET,),
    orders=(ROW,),
    foreign=(FOREIGN,),
    trades=(TRADE,),
    funds_paise=1,
)
CALL_KEY, PUT_KEY = BrokerKey(CALL.id, Product.INTRADAY), BrokerKey(PUT.id, Product.INTRADAY)


def with_row(**changes: object) -> BookRead:
    return replace(READ, orders=(replace(ROW, **changes),))


@pytest.mark.parametrize(
    ("other", "keys"),
    [
        (READ, ()),
        (replace(READ, at_ns=OPEN + 9, began_at_ns=OPEN + 8, funds_paise=2), ()),
        (with_row(venue_at_ns=OPEN + 5, reason="moved"), ()),
        (with_row(filled_value_paise=650_005), ()),
        (with_row(status=BrokerStatus.CANCELLED), (CALL_KEY,)),
        (with_row(terms=replace(TERMS, limit_paise=10_005)), (CALL_KEY,)),
        (with_row(order_id=OrderId("B")), (CALL_KEY,)),
        (replace(READ, orders=(), trades=()), (CALL_KEY,)),
        (replace(READ, nets=(replace(NET, sold=65),)), (CALL_KEY,)),
        (replace(READ, nets=()), (CALL_KEY,)),
        (replace(READ, trades=(replace(TRADE, value_paise=1),)), (CALL_KEY,)),
        (replace(READ, foreign=()), (PUT_KEY,)),
        (replace(READ, foreign=(replace(FOREIGN, is_live=False),)), (PUT_KEY,)),
        (replace(READ, orders=(), trades=(), foreign=()), (CALL_KEY, PUT_KEY)),
    ],
)
def test_passes_agree_per_key_in_all_but_stamps_and_cash(
    other: BookRead, keys: tuple[BrokerKey, ...]
) -> None:
    """T22: order, trade and net decide; marks, texts and cash move with every tick."""
    assert unstable_keys(READ, other) == keys
    assert unstable_keys(other, READ)[:1] == keys[:1]


@pytest.mark.parametrize("trades", [(), (TRADE, replace(TRADE, trade_id="8"))])
def test_a_pass_whose_trades_are_not_its_fills_contradicts_itself(
    trades: tuple[BookTrade, ...],
) -> None:
    """The order book was read one fill before the trades, or after: twice the same is no proof."""
    torn = replace(READ, trades=trades)
    assert unstable_keys(torn, torn) == (CALL_KEY,)


@pytest.mark.parametrize(
    ("other", "agreed"),
    [
        (READ, {"1"}),
        (replace(READ, nets=(), foreign=()), {"1"}),
        (with_row(venue_at_ns=OPEN + 5, reason="moved"), {"1"}),
        (with_row(status=BrokerStatus.CANCELLED), set()),
        (replace(READ, trades=()), set()),
        (replace(READ, orders=(ROW, replace(ROW, broker_id=BrokerOrderId("2")))), {"1"}),
    ],
)
def test_an_order_may_be_agreed_in_a_key_that_moves(other: BookRead, agreed: set[str]) -> None:
    """What the owner does in a key says nothing about our order, its own trades do."""
    assert agreed_orders(READ, other) == agreed


def start(desk: Desk) -> Desk:
    desk.enter()
    desk.restart(70)
    desk.forget()
    return desk


def test_a_pass_is_asked_again_a_second_after_it_failed() -> None:
    """Failed is not empty: nothing is listed by it."""
    desk = start(Desk())
    desk.tell(ReadFailed(at_ns=desk.now, what=BOOK, reason="504"))
    desk.at(70.9)
    assert desk.all(ReadBook) == []
    desk.at(71)
    assert len(desk.all(ReadBook)) == 1
    assert not desk.state.book.is_listed


def test_another_read_that_failed_asks_for_nothing() -> None:
    """Only the book's own failure repeats the read of the book."""
    desk = start(Desk())
    desk.tell(ReadFailed(at_ns=desk.now, what="quotes", reason="504"))
    desk.at(72)
    assert desk.all(ReadBook) == []


def test_a_pass_of_which_nothing_is_heard_is_asked_again() -> None:
    """After its time-out and twice that; never two on the way at once."""
    desk = start(Desk())
    desk.at(70 + ANSWER_NS / SECOND - 0.1)
    assert desk.all(ReadBook) == []
    desk.at(70 + ANSWER_NS / SECOND)
    assert len(desk.all(ReadBook)) == 1


def test_the_second_pass_follows_at_once_a_third_after_a_second() -> None:
    """Where the first two do not agree."""
    desk = Desk()
    entry = desk.enter()
    desk.restart(70)
    desk.forget()
    desk.book(desk.book_row(entry))
    assert len(desk.all(ReadBook)) == 1
    desk.at(70.2).book(desk.book_row(entry, BrokerStatus.CANCELLED))
    assert len(desk.all(ReadBook)) == 1
    desk.at(71.2)
    assert len(desk.all(ReadBook)) == 2
    assert entry.order_id in desk.engine.live_orders, "two passes that differ decide nothing"
    desk.at(71.4).book(desk.book_row(entry, BrokerStatus.CANCELLED))
    assert desk.engine.live_orders == ()
