"""The outbox: who goes first, what replaces what, and who is given back."""

from concurrent.futures import Future

import pytest
from msgspec.structs import replace

from holdfast.domain.command import (
    AnyCommand,
    CancelOrder,
    ExitAll,
    FindOrder,
    ModifyOrder,
    ReadBook,
    ReadFunds,
    ReadQuotes,
)
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.order import BrokerOrderId, OrderId, Purpose
from holdfast.runtime.outbox import Outbox, Waiting, category_of
from holdfast.runtime.rates import SECOND_NS, Category, Governor, Window
from tests.support.shell import placement

ONE = {category: (Window(SECOND_NS, 4, 1),) for category in Category}
TERMS = placement().terms


def modify(name: str = "A", limit: int = 10_000, *, is_ordinary: bool = False) -> ModifyOrder:
    """A modification."""
    terms = replace(TERMS, limit_paise=limit)
    broker_id = BrokerOrderId(f"B-{name}")
    return ModifyOrder(
        order_id=OrderId(name), broker_id=broker_id, terms=terms, is_ordinary=is_ordinary
    )


def cancel(name: str = "A") -> CancelOrder:
    """A cancel."""
    return CancelOrder(order_id=OrderId(name), broker_id=BrokerOrderId(f"B-{name}"))


def outbox(*commands: AnyCommand) -> Outbox:
    """One in which these wait, the broker's rate used up until a second."""
    governor = Governor(ONE)
    for category in Category:
        governor[category].take(0, 4)
    box = Outbox(governor)
    for command in commands:
        box.put(Waiting(command, 1))
    return box


def commands(box: Outbox) -> list[AnyCommand]:
    """What waits, in the order in which it leaves."""
    return [one.command for one in box]


@pytest.mark.proves("T7", "I-44")
def test_exits_and_cancels_go_first_then_stops_then_the_rest() -> None:
    """In the order in which they were decided: an entry's cancel before the exit it makes room for."""
    entry, stop = placement(name="E"), placement(Purpose.STOP, "S")
    exit_, trail = placement(Purpose.EXIT, "X"), modify("T", is_ordinary=True)
    box = outbox(entry, trail, stop, cancel("E1"), exit_, modify("M"), ExitAll())
    assert commands(box) == [cancel("E1"), exit_, modify("M"), ExitAll(), stop, entry, trail]
    assert len(box) == 7
    assert box.due_ns == SECOND_NS
    assert box.pop_due(SECOND_NS - 1) is None
    first = box.pop_due(SECOND_NS)
    assert first is not None
    assert box.may_leave(first, SECOND_NS)
    assert first.command == cancel("E1")


@pytest.mark.proves("T7")
def test_a_newer_change_of_an_order_replaces_the_one_that_waits() -> None:
    """In its place, with the newest values; a cancel too, and never the other way round."""
    box = outbox(modify("A", 1), modify("B", 1), modify("A", 2), cancel("B"), modify("B", 2))
    assert commands(box) == [modify("A", 2), cancel("B"), modify("B", 2)]
    assert box.merged == 2
    box.put(Waiting(cancel("A"), 2))
    box.put(Waiting(cancel("A"), 3))
    assert commands(box) == [cancel("A"), cancel("B"), modify("B", 2)]
    other = replace(modify("A", 9), broker_id=BrokerOrderId("another"))
    box.put(Waiting(other, 4))
    assert commands(box)[-1] == other, "one id may name two orders"
    assert box.has_change(OrderId("A"))
    assert not box.has_change(OrderId("C"))


@pytest.mark.proves("T7")
def test_what_an_exit_asked_of_an_order_does_not_become_ordinary() -> None:
    """An exit takes a trailing stop's place and goes ahead; the reverse keeps the exit's rights."""
    trail = modify("A", 1, is_ordinary=True)
    box = outbox(trail, modify("B"), modify("A", 2))
    assert commands(box) == [modify("B"), modify("A", 2)]
    box.put(Waiting(replace(trail, terms=replace(TERMS, limit_paise=3)), 2, until_ns=5))
    assert commands(box) == [modify("B"), modify("A", 3)]
    assert [one.until_ns for one in box] == [None, None]


def test_questions_that_wait_are_asked_once() -> None:
    """A search is more than a poll, quotes are wanted of all, a book is a book."""
    one, two = InstrumentId("NSE_FNO:1"), InstrumentId("NSE_FNO:2")
    box = outbox(
        FindOrder(order_id=OrderId("A"), is_poll=True),
        FindOrder(order_id=OrderId("B")),
        FindOrder(order_id=OrderId("A")),
        ReadQuotes(instruments=(two, one)),
        ReadBook(),
        ReadQuotes(instruments=(one, InstrumentId("NSE_FNO:3"))),
        ReadFunds(),
        ReadFunds(),
        ReadBook(),
    )
    assert commands(box) == [
        ReadBook(),
        FindOrder(order_id=OrderId("B")),
        FindOrder(order_id=OrderId("A")),
        ReadQuotes(instruments=(two, one, InstrumentId("NSE_FNO:3"))),
        ReadFunds(),
    ]
    assert [category_of(command) for command in commands(box)] == [
        Category.READS, Category.READS, Category.READS, Category.QUOTES, Category.READS,
    ]  # fmt: skip


def test_what_waits_for_the_disk_bars_nobody_and_is_given_back_in_time() -> None:
    """An entry is held; an exit behind it leaves."""
    box, held = Outbox(Governor(ONE)), Waiting(placement(), 5, until_ns=50)
    held.durable = Future()
    box.put(held)
    assert (box.is_holding, box.due_ns) == (True, 50)
    box.put(Waiting(cancel("X"), 6))
    assert box.due_ns == 6
    gone = box.pop_due(6)
    assert gone is not None
    assert gone.command == cancel("X")
    assert box.pop_due(49) is None
    held.durable.set_result(None)
    assert (box.is_holding, box.due_ns) == (False, 5)
    assert box.may_leave(held, 6)
    assert box.pop_due(6) is held
    assert box.due_ns is None


def test_ordinary_traffic_that_cannot_leave_in_time_is_given_back() -> None:
    """An exit that came after it has all of the rate, not only its share."""
    governor = Governor(ONE)
    box = Outbox(governor)
    governor[Category.ORDERS].take(0)
    trail = Waiting(modify("T", is_ordinary=True), 1, until_ns=100)
    box.put(trail)
    assert box.due_ns == 100
    assert box.pop_due(100) is trail
    assert not box.may_leave(trail, 100)
    box.put(Waiting(placement(Purpose.EXIT), 100))
    exit_ = box.pop_due(100)
    assert exit_ is not None
    assert box.may_leave(exit_, 100)


def test_entries_are_taken_out_and_nothing_else() -> None:
    """Nothing may be opened any more; what closes goes on waiting."""
    box = outbox(placement(name="E"), placement(Purpose.STOP, "S"), modify("A"))
    assert [one.command for one in box.pop_entries()] == [placement(name="E")]
    assert commands(box) == [modify("A"), placement(Purpose.STOP, "S")]


def test_a_pass_over_the_book_is_not_starved_by_searches() -> None:
    """It needs four calls at once: what came before it goes, what comes after it waits."""
    governor = Governor(ONE)
    for number in range(4):
        governor[Category.READS].take(number * 250_000_000, 1)
    box = Outbox(governor)
    for command in (FindOrder(order_id=OrderId("A")), ReadBook(), FindOrder(order_id=OrderId("B"))):
        box.put(Waiting(command, 1))
    assert [type(one) for one in commands(box)] == [ReadBook, FindOrder, FindOrder]
    assert box.due_ns == 1_750_000_000, "when all four are free"
    assert box.pop_due(1_749_999_999) is None
    first = box.pop_due(1_750_000_000)
    assert first is not None
    assert isinstance(first.command, ReadBook)
