"""Reading the book until two passes agree: what counts as agreement, and how often it is asked."""

from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.core import drift
from holdfast.core.bookread import ANSWER_NS, agreed_orders, unstable_keys
from holdfast.core.readiness import first_failing
from holdfast.core.settings import ReconcileSettings
from holdfast.domain.book import BookNet, BookTrade, ForeignRow
from holdfast.domain.command import Notify, ReadBook
from holdfast.domain.event import (
    BOOK,
    Action,
    BookRead,
    BookRepeated,
    Link,
    LinkChanged,
    Outcome,
    ReadFailed,
)
from holdfast.domain.instrument import BrokerKey, Product
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderState,
    OrderTerms,
    OrderType,
    Side,
)
from tests.support.desk import CALL, CLOSE, OPEN, PUT, SECOND, SESSION, Desk

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


def at(seconds: int, read: BookRead = READ, rupees: int = 1) -> BookRead:
    """The same pass, read later."""
    later_ns = OPEN + seconds * SECOND
    return replace(read, at_ns=later_ns, began_at_ns=later_ns - 1, funds_paise=rupees * 100)


def test_a_pass_that_repeats_the_one_before_is_told_in_short_and_means_the_same() -> None:
    """Whatever stood in the book, and however often: the engine ends up as if told in full."""
    passes = [at(1), at(2), at(3, rupees=7), at(4, with_row(filled_quantity=0)), at(5), at(6)]
    in_full, in_short = Desk(), Desk()
    told = []
    for read in passes:
        in_full.tell(read)
        told.append(in_short.engine.in_short(read))
        in_short.tell(told[-1])
    repeated = [isinstance(one, BookRepeated) for one in told]
    assert repeated == [False, True, True, False, False, True]
    assert in_short.engine.image() == in_full.engine.image()
    assert in_short.state.funds_paise == in_full.state.funds_paise


def test_a_pass_that_began_before_the_last_is_told_in_full() -> None:
    """It is no news, and must not become what the next one repeats."""
    desk = Desk()
    desk.tell(at(5))
    assert desk.engine.in_short(at(4)) == at(4)


def test_a_pass_that_repeats_an_unknown_one_is_a_read_that_failed() -> None:
    """The journal lacks what it speaks of: failed is not empty."""
    desk = Desk()
    desk.tell(at(5))
    before = desk.state.book.last
    desk.tell(BookRepeated(at_ns=OPEN + 9 * SECOND, began_at_ns=OPEN + 8 * SECOND,
                           repeats_ns=OPEN + 7 * SECOND, funds_paise=1))  # fmt: skip
    assert desk.state.book.last == before


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


CLOSE_S = (CLOSE - OPEN) / SECOND


def seen(desk: Desk) -> None:
    """Packets of everything, so that only what is tested bars an entry."""
    desk.spot()
    desk.tick()
    desk.tick(PUT)


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


# -- in session


def timed(**changes: Any) -> Desk:
    """A desk whose book is read by the clock too."""
    return Desk(reconcile=ReconcileSettings(**changes))


def reads(desk: Desk) -> int:
    return len(desk.all(ReadBook))


@pytest.mark.proves("REC-2", "PSY-1", "PHB-1")
def test_in_session_the_whole_book_is_read_every_thirty_seconds() -> None:
    """One pass is enough while it agrees with the one before; the next is due after its answer."""
    desk = timed()
    asked = reads(desk)
    desk.at(29.9)
    assert reads(desk) == asked
    desk.at(30)
    assert reads(desk) == asked + 1
    desk.at(30.2).book()
    desk.at(60.1)
    assert reads(desk) == asked + 1
    desk.at(60.2)
    assert reads(desk) == asked + 2


@pytest.mark.proves("I-99")
def test_a_closed_market_is_read_at_its_start_and_before_its_opening_only() -> None:
    """The last read of the day falls after the close; nothing is asked in the night."""
    desk = timed()
    asked = reads(desk)
    desk.at(CLOSE_S - 10)
    desk.book()
    asked = reads(desk)
    desk.at(CLOSE_S + 20)
    assert reads(desk) == asked + 1
    desk.book()
    desk.at(CLOSE_S + 20_000)
    assert reads(desk) == asked + 1


@pytest.mark.proves("I-102")
def test_before_the_opening_it_is_read_at_the_start_and_again_when_it_opens() -> None:
    """08:30 with a mismatch is no reason to look away (no gate of time before the read)."""
    desk = Desk(ready=False, reconcile=ReconcileSettings())
    desk.now = OPEN - 2_700 * SECOND
    desk.load()
    asked = reads(desk)
    assert asked > 0
    assert desk.state.book.open_points == ()
    desk.at(-31)
    assert reads(desk) == asked
    desk.at(-30)
    assert reads(desk) == asked + 1


@pytest.mark.proves("I-102")
def test_a_mismatch_before_the_opening_bars_entries_until_it_is_seen() -> None:
    """At 08:30 the broker holds what we do not know of: told at once, and it still bars at 09:15."""
    desk = Desk(ready=False, reconcile=ReconcileSettings())
    desk.now = OPEN - 2_700 * SECOND
    desk.load()
    assert drift.barring(desk.state) == ()
    desk.read_book(seconds=-2_690, nets={CALL: 65})
    [key] = drift.barring(desk.state)
    assert key.instrument == CALL.id
    assert any("65 at the broker" in told.text for told in desk.all(Notify))
    desk.at(1)
    assert drift.barring(desk.state) == (key,)


@pytest.mark.proves("OUH-3")
@pytest.mark.parametrize("link", [Link.UPDATES, Link.ORDERS])
def test_a_connection_that_came_back_has_the_book_read_before_anything_is_entered(
    link: Link,
) -> None:
    """What was said meanwhile nobody heard; a pass of before proves nothing by itself."""
    desk = Desk()
    asked = reads(desk)
    desk.at(20).tell(LinkChanged(at_ns=desk.now, link=link, is_up=False))
    assert reads(desk) == asked
    desk.at(25).tell(LinkChanged(at_ns=desk.now, link=link, is_up=True))
    assert reads(desk) == asked + 1
    seen(desk)
    assert first_failing(desk.state) == (
        "book",
        {"book": f"not read since {link.value} came back", "points": 1},
    )
    desk.at(25.2).book()
    assert desk.state.book.open_points
    desk.at(25.4).book()
    seen(desk)
    assert first_failing(desk.state) is None
    desk.tell(LinkChanged(at_ns=desk.now, link=link, is_up=True))
    assert desk.state.book.open_points == (), "it was up"


def test_the_feed_has_no_say_in_the_book() -> None:
    """It tells prices; what became of orders it never told."""
    desk = Desk()
    asked = reads(desk)
    desk.at(20).tell(LinkChanged(at_ns=desk.now, link=Link.FEED, is_up=False))
    desk.tell(LinkChanged(at_ns=desk.now, link=Link.FEED, is_up=True))
    assert reads(desk) == asked
    assert desk.state.book.open_points == ()


def test_a_clean_read_is_young_for_ninety_seconds() -> None:
    """Failed reads do not make it younger (REC: clean and young)."""
    desk = timed()
    for second in range(30, 91, 10):
        desk.at(second).tell(ReadFailed(at_ns=desk.now, what=BOOK, reason="504"))
    seen(desk)
    assert first_failing(desk.state) is None
    desk.at(92).tell(ReadFailed(at_ns=desk.now, what=BOOK, reason="504"))
    seen(desk)
    assert first_failing(desk.state) == ("book", {"book": "not read of late", "age_s": 91})
    desk.book()
    seen(desk)
    assert first_failing(desk.state) is None


def test_an_order_without_an_outcome_is_looked_for_in_the_book() -> None:
    """Its id is searched and the book read at once, and each second until it is known."""
    desk = Desk()
    entry = desk.enter()
    asked = reads(desk)
    desk.fail(entry.order_id, Action.PLACE, Outcome.UNANSWERED)
    assert reads(desk) == asked + 1
    start = (desk.now - OPEN) / SECOND
    desk.at(start + 0.9)
    assert reads(desk) == asked + 1


@pytest.mark.proves("I-45")
def test_in_session_an_unanswered_order_is_absent_after_two_reads_that_lack_it() -> None:
    """The first three seconds after the answer was lost, the second three later (T3)."""
    desk = Desk()
    entry = desk.enter()
    order = desk.state.orders[entry.order_id]
    desk.fail(entry.order_id, Action.PLACE, Outcome.UNANSWERED)
    for second in range(61, 66):
        desk.at(second).book()
    assert order.is_live
    desk.at(66.1).book()
    assert order.is_live
    desk.at(67).book()
    assert order.state is OrderState.REJECTED


def test_an_order_that_waits_its_turn_is_no_absent_one() -> None:
    """It has not left yet, for the exits before it: no read of the book proves anything of it."""
    desk = Desk()
    entry = desk.enter()
    for second in range(61, 80):
        desk.at(second).book()
    assert desk.state.orders[entry.order_id].state is OrderState.SENT


def test_the_end_of_a_position_has_the_book_read_three_seconds_later() -> None:
    """What could still rest there would open another."""
    desk = Desk()
    stop = desk.hold()
    desk.at(70)
    asked = reads(desk)
    desk.fill(stop, price=87.0)
    assert desk.state.live == []
    desk.at(72.9)
    assert reads(desk) == asked
    desk.at(73)
    assert reads(desk) == asked + 1


@pytest.mark.proves("T11")
def test_from_a_minute_before_the_brokers_own_square_off_nothing_is_entered() -> None:
    """Until a clean read of three seconds after it: the broker may trade at any moment."""
    desk = timed(age_s=10**6)
    at_s = (SESSION.square_off_ns - OPEN) // SECOND
    for second, term in [(-61, None), (-60, "book"), (2, "book"), (3, None)]:
        desk.at(at_s + second)
        seen(desk)
        desk.book()
        desk.book()
        failing = first_failing(desk.state)
        assert (None if failing is None else failing[0]) == term, second
