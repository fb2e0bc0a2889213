"""Polls of orders: one at a time, and only what is news is told (T9)."""

from msgspec.structs import replace

from holdfast.domain.event import OrderUpdated
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderId, OrderRow
from holdfast.runtime.polls import LOST_NS, SECOND_NS, TOLD_EVERY_NS, Polls
from tests.support.shell import placement

A, B = OrderId("A"), OrderId("B")
TERMS = placement().terms
ROW = OrderRow(
    order_id=A,
    broker_id=BrokerOrderId("B1"),
    status=BrokerStatus.WORKING,
    terms=TERMS,
    filled_quantity=0,
    filled_value_paise=0,
    venue_at_ns=0,
)
FILLED = replace(ROW, filled_quantity=65, filled_value_paise=1)


def word(at_ns: int, row: OrderRow = ROW, *, is_read: bool = True) -> OrderUpdated:
    """What the broker says of an order."""
    return OrderUpdated(at_ns=at_ns, row=row, is_read=is_read)


def polled(polls: Polls, at_ns: int, row: OrderRow = ROW) -> bool:
    """Whether the answer to a poll is news."""
    polls.ask(A, at_ns, is_poll=True)
    return polls.is_news(word(at_ns, row))


def test_one_poll_of_an_order_is_on_its_way_at_a_time() -> None:
    """Until it is answered, fails, or is lost; those of others do not matter."""
    polls = Polls()
    polls.ask(A, 0, is_poll=True)
    assert not polls.may_poll(A, LOST_NS - 1)
    assert polls.may_poll(A, LOST_NS)
    assert polls.may_poll(B, 1)
    polls.is_news(word(1))
    assert polls.may_poll(A, 1)
    polls.ask(A, 1, is_poll=True)
    polls.miss(A)
    assert polls.may_poll(A, 1)


def test_an_answer_that_tells_nothing_new_is_not_told() -> None:
    """The first one is, what changed is, and what the stream has told before is not."""
    polls = Polls()
    assert polled(polls, 0)
    assert not polled(polls, 1)
    assert polled(polls, 2, FILLED)
    assert polls.is_news(word(3, is_read=False)), "the stream is always told"
    assert not polled(polls, 4)


def test_now_and_then_an_answer_is_told_all_the_same() -> None:
    """An answered call within five seconds is how the engine knows of a working path (T9)."""
    polls = Polls()
    told = [at_ns for at_ns in range(0, 10 * SECOND_NS, SECOND_NS) if polled(polls, at_ns)]
    assert told == [0, 2 * SECOND_NS, 4 * SECOND_NS, 6 * SECOND_NS, 8 * SECOND_NS]
    assert TOLD_EVERY_NS == 2 * SECOND_NS


def test_the_answer_to_a_search_is_told_whatever_it_says() -> None:
    """An order is in question: that its row has not changed is the answer (T3, T15)."""
    polls = Polls()
    assert polled(polls, 0)
    polls.ask(A, 1, is_poll=True)
    polls.ask(A, 1, is_poll=False)
    assert polls.is_news(word(2))
    assert not polls.is_news(word(3)), "that one answered the poll"
    assert polls.is_news(word(4)), "nobody knows what that one answers"
    polls.ask(A, 5, is_poll=False)
    polls.miss(A)
    assert not polled(polls, 5)
