"""Orders are read by id each second; a mute stream and a dead order path are noticed by it (T9)."""

import pytest
from msgspec.structs import replace

from holdfast.core.orders import asking
from holdfast.core.orders.ids import OrderReason
from holdfast.core.readiness import first_failing
from holdfast.core.risk import polling, protection
from holdfast.core.risk.closing import BAND_HALVINGS_MAX
from holdfast.core.risk.polling import POLLS_MAX, is_path_working
from holdfast.core.settings import GuardSettings
from holdfast.core.state import State
from holdfast.domain.audit import Anomaly, EntriesBlocked, ExitDecided, PositionClosed
from holdfast.domain.command import FindOrder, Notify, PlaceOrder
from holdfast.domain.event import (
    BOOK,
    Action,
    Guard,
    GuardAnswered,
    Link,
    LinkChanged,
    Outcome,
    ReadFailed,
    SendFailed,
)
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderRow, Purpose, Refusal, Side
from tests.support.by_hand import a_position, held, ready_state
from tests.support.desk import CALL, OPEN, PUT, SECOND, Desk


def is_suspect(desk: Desk) -> bool:
    """Whether the stream is not believed to tell everything."""
    return desk.state.path.suspect_since_ns is not None


def polls(desk: Desk) -> list[tuple[str, bool]]:
    """What was asked by id: the order and whether an answer without news may stay untold."""
    return [(find.order_id, find.is_poll) for find in desk.all(FindOrder)]


def unstopped(desk: Desk) -> PlaceOrder:
    """A position of a minute whose stop the band refused again and again, and nothing else; its entry."""
    desk.at(60).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    for _ in range(BAND_HALVINGS_MAX + 1):
        desk.fail(desk.last(PlaceOrder).order_id, Action.PLACE, Outcome.REFUSED, Refusal.BAND)
    desk.forget()
    return entry


def hears(desk: Desk, *, until: int, since: int = 61, answers: bool = True) -> None:
    """Packets each second, and the answer to each poll."""
    for second in range(since, until + 1):
        desk.at(second).tick()
        if answers:
            desk.answer_poll()


def is_awaited(desk: Desk) -> bool:
    """Whether an answer that must be told has not come."""
    return desk.state.path.waiting_since_ns is not None


# -- orders


@pytest.mark.proves("T9")
def test_an_order_that_rests_is_read_each_second_whatever_the_stream_says() -> None:
    """The stream has told of it; a fill that it loses is heard a second later all the same."""
    desk = Desk()
    desk.at(60).spot()
    stop = desk.hold_by_hand(Side.BUY)
    desk.forget()
    for second in (61, 62, 63):
        desk.at(second).tick()
    assert polls(desk) == [(stop.order_id, True)] * 3
    terms = stop.terms
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=terms, filled=195, price=88.0, is_read=True)
    assert [one.rule for one in desk.told(PositionClosed)] == ["stop_loss"]
    desk.forget()
    desk.at(80)
    assert polls(desk) == [], "what is at its end is not asked for"


@pytest.mark.proves("T9")
def test_an_entry_that_works_is_read_each_second() -> None:
    """A fill on a mute stream is known a second after it."""
    desk = Desk()
    desk.at(60).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.forget()
    desk.at(61.5)
    assert polls(desk) == [(entry.order_id, True)]


@pytest.mark.proves("B-18", "PRM-4", "OUH-3")
def test_a_fill_while_the_stream_is_down_is_found_by_reading_and_protected_at_once() -> None:
    """No word will ever come: the next read by id, a second later, brings fill and stop."""
    desk = Desk()
    desk.at(60).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.tell(LinkChanged(at_ns=desk.now, link=Link.UPDATES, is_up=False, reason="reset"))
    desk.forget()
    desk.at(61.5)
    assert polls(desk) == [(entry.order_id, True)]
    desk.row(
        entry.order_id, BrokerStatus.FILLED, terms=entry.terms, filled=195, price=100, is_read=True
    )
    stop = desk.last(PlaceOrder)
    assert (stop.purpose, stop.terms.side, stop.terms.quantity) == (Purpose.STOP, Side.SELL, 195)
    desk.acknowledge(stop.order_id)
    desk.forget()
    desk.at(62.7)
    assert [name for name, _ in polls(desk)] == [stop.order_id], "and so is what becomes of it"


def test_more_orders_than_reads_take_turns() -> None:
    """Twenty reads a second are allowed: those read longest ago go first."""
    state = ready_state()
    for number in range(1, 31):
        working(state, number)
    polling.on_timer(state)
    first = [one.order_id for one in state.out.commands if isinstance(one, FindOrder)]
    state.out.commands.clear()
    polling.on_timer(state)
    second = [one.order_id for one in state.out.commands if isinstance(one, FindOrder)]
    assert (len(first), len(second)) == (POLLS_MAX, POLLS_MAX)
    assert len({*first, *second}) == 30


def working(state: State, number: int) -> None:
    """A working entry of position `number`."""
    position = a_position(number, quantity=0)
    held(state, position)
    terms = protection.stop_terms(state, a_position(), quantity=195)
    order = asking.place(state, position, OrderReason(Purpose.ENTRY, number, 1, 0), terms=terms)
    order.acknowledge(BrokerOrderId(f"B{number}"))
    state.out.commands.clear()


# -- the stream


@pytest.mark.proves("T9")
def test_a_stream_without_a_word_two_seconds_after_an_answer_is_suspect() -> None:
    """Told once, entries stop; its next word clears it."""
    desk = Desk()
    desk.at(60).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.tick(PUT)
    desk.forget()
    desk.at(61.9)
    assert desk.state.path.suspect_since_ns is None
    desk.at(62.5)
    desk.at(64)
    assert [told.what for told in desk.told(Anomaly)] == [
        "the update stream is mute, orders are read by id"
    ]
    assert "stream" in [told.term for told in desk.told(EntriesBlocked)]
    desk.row(entry.order_id, terms=entry.terms)
    assert desk.state.path.suspect_since_ns is None


def test_a_fill_that_only_a_read_shows_is_owed_by_the_stream() -> None:
    """It told of the order and not of the fill: suspect two seconds later."""
    desk = Desk()
    desk.at(60).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.row(entry.order_id, terms=entry.terms)
    desk.at(61)
    desk.row(entry.order_id, terms=entry.terms, filled=65, price=100.0, is_read=True)
    desk.at(63.5)
    assert desk.state.path.suspect_since_ns is not None


@pytest.mark.parametrize("read_first", [False, True])
def test_a_stream_that_is_late_but_not_mute_is_not_suspect(*, read_first: bool) -> None:
    """Its word comes within the two seconds, before or after that of a read."""
    desk = Desk()
    desk.at(60).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.at(61)
    if read_first:
        desk.row(entry.order_id, terms=entry.terms, filled=65, price=100.0, is_read=True)
    desk.at(61.5)
    desk.row(entry.order_id, terms=entry.terms, filled=65, price=100.0)
    desk.at(64)
    assert desk.state.path.suspect_since_ns is None


def test_a_connection_that_is_down_owes_nothing_and_a_new_one_begins_anew() -> None:
    """That it is down is told by itself."""
    desk = Desk()
    desk.tell(LinkChanged(at_ns=desk.now, link=Link.UPDATES, is_up=False))
    desk.at(60).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.at(64)
    assert desk.state.path.suspect_since_ns is None
    desk.state.path.suspect_since_ns = desk.now
    desk.tell(LinkChanged(at_ns=desk.now, link=Link.UPDATES, is_up=True))
    assert desk.state.path.suspect_since_ns is None


def test_a_suspect_stream_that_owes_nothing_is_tried_again_after_half_a_minute() -> None:
    """Without an order it cannot clear itself: the next one, read by id anyway, tells."""
    desk = Desk()
    desk.at(60).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.at(63)
    desk.row(entry.order_id, BrokerStatus.CANCELLED, terms=entry.terms, is_read=True)
    desk.at(91)
    assert desk.state.path.suspect_since_ns is not None
    desk.at(95)
    assert desk.state.path.suspect_since_ns is None


def test_a_lost_word_about_an_order_that_rests_bars_entries_for_half_a_minute() -> None:
    """It will never come; what a read has shown in its place is owed no longer."""
    desk = Desk()
    desk.at(60).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.row(entry.order_id, BrokerStatus.FILLED, terms=entry.terms, filled=195, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.at(61)
    desk.row(stop.order_id, terms=stop.terms, is_read=True)
    desk.at(65)
    assert is_suspect(desk)
    desk.at(91)
    assert is_suspect(desk)
    desk.at(95)
    assert not is_suspect(desk)
    assert desk.state.orders[stop.order_id].is_live


# -- the order path


@pytest.mark.proves("T9")
def test_a_local_rule_counts_while_calls_about_orders_are_answered() -> None:
    """No stop rests: an answer each second proves that an exit could leave."""
    desk = Desk()
    entry = unstopped(desk)
    hears(desk, until=85)
    assert desk.told(ExitDecided) == []
    assert set(polls(desk)) == {(entry.order_id, False)}, "its answers must be told"


@pytest.mark.proves("T9")
def test_what_nothing_protects_for_five_seconds_is_closed() -> None:
    """Polls go unanswered: five seconds on the path is dead, two more and entries stop, five: out."""
    desk = Desk()
    unstopped(desk)
    hears(desk, until=80, answers=False)
    [decided] = desk.told(ExitDecided)
    assert decided.exit.rule == "unprotected"
    began = desk.state.positions[1].unprotected_since_ns
    assert began is not None
    assert (began - OPEN) // SECOND == 65, "the last answer came at 60"
    closed_at = desk.state.positions[1].exit_at_ns
    assert closed_at - began == 5 * SECOND
    assert desk.last(PlaceOrder).purpose is Purpose.EXIT
    unprotected = [one for one in desk.told(Anomaly) if one.what == "position unprotected"]
    assert len(unprotected) == 1, "a person hears at two seconds"


def test_the_bound_is_configured() -> None:
    """Any number of seconds, but there is one."""
    desk = Desk(guards=GuardSettings(unprotected_s=9))
    unstopped(desk)
    hears(desk, until=73, answers=False)
    assert desk.told(ExitDecided) == []
    hears(desk, since=74, until=74, answers=False)
    assert [one.exit.rule for one in desk.told(ExitDecided)] == ["unprotected"]


@pytest.mark.proves("T9")
def test_a_stop_at_the_broker_protects_without_price_and_path() -> None:
    """Both are gone for a minute: nothing is closed."""
    desk = Desk()
    desk.hold_by_hand(Side.BUY)
    desk.tell(LinkChanged(at_ns=desk.now, link=Link.ORDERS, is_up=False))
    desk.at(110)
    assert [one for one in desk.told(ExitDecided) if one.exit.rule == "unprotected"] == []
    assert desk.state.positions[1].unprotected_ns == 0


@pytest.mark.proves("T9")
def test_a_person_hears_once_when_nobody_answers_while_something_is_held() -> None:
    """A stop that was seen to rest may be gone by now; a new outage is told anew."""
    desk = Desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.fail(stop.order_id, Action.FIND, Outcome.UNANSWERED)
    told = "calls to the broker are not answered, no exit could leave"
    start = (desk.now - OPEN) / SECOND
    for seconds, calls in ((4.9, 0), (6.1, 1), (30.0, 1)):
        desk.at(start + seconds)
        assert sum(told in one.text for one in desk.all(Notify)) == calls
    desk.row(stop.order_id, terms=stop.terms, is_read=True)
    desk.at(start + 31.1)
    desk.fail(stop.order_id, Action.FIND, Outcome.UNANSWERED)
    desk.at(start + 38)
    assert sum(told in one.text for one in desk.all(Notify)) == 2


@pytest.mark.proves("T9")
@pytest.mark.parametrize("refusal", [Refusal.TOKEN, Refusal.IP])
def test_a_refusal_for_token_or_address_is_no_order_path(refusal: Refusal) -> None:
    """Reads are answered from any address: they prove nothing then (T27)."""
    desk = Desk()
    desk.at(60).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    desk.fail(desk.last(PlaceOrder).order_id, Action.PLACE, Outcome.REFUSED, refusal)
    desk.forget()
    hears(desk, until=65)
    assert [one.exit.rule for one in desk.told(ExitDecided)] == ["unprotected"]


def test_a_failed_call_is_asked_again_with_an_answer_to_be_told() -> None:
    """And until that comes nothing is taken for granted."""
    desk = Desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(80).tick()
    assert is_path_working(desk.state)
    desk.fail(stop.order_id, Action.FIND, Outcome.UNANSWERED)
    assert not is_path_working(desk.state), "the last answer that was told is twenty seconds old"
    desk.forget()
    desk.at(81)
    assert polls(desk) == [(stop.order_id, False)]
    desk.row(stop.order_id, terms=stop.terms, is_read=True)
    assert is_path_working(desk.state)
    desk.forget()
    desk.at(82)
    assert polls(desk) == [(stop.order_id, True)]


def test_silent_good_answers_are_believed_until_one_fails() -> None:
    """While a stop protected they were not told; when it goes, the path counts from the last poll."""
    desk = Desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(90).tick()
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms)
    desk.at(91).tick()
    assert is_path_working(desk.state)
    desk.tell(ReadFailed(at_ns=desk.now, what=BOOK, reason="test"))
    assert not is_path_working(desk.state)


def test_what_was_outdated_or_is_no_book_says_nothing_of_the_path() -> None:
    """The router kept it back; a quote that failed was none about orders."""
    desk = Desk()
    stop = desk.hold_by_hand(Side.BUY)
    outdated = SendFailed(
        at_ns=desk.now,
        order_id=stop.order_id,
        action=Action.FIND,
        outcome=Outcome.NOT_SENT,
        is_outdated=True,
    )
    desk.tell(outdated)
    desk.tell(ReadFailed(at_ns=desk.now, what="quotes", reason="test"))
    assert desk.state.path.waiting_since_ns is None


def test_a_guard_that_was_taken_and_a_link_that_comes_up_are_answers() -> None:
    """Both got through; one that was refused says nothing."""
    desk = Desk()
    desk.state.path.waiting_since_ns = desk.now
    no = GuardAnswered(at_ns=desk.now, guard=Guard.EXIT_ALL, is_done=False, reason="no")
    desk.tell(no)
    assert is_awaited(desk)
    desk.tell(GuardAnswered(at_ns=desk.now, guard=Guard.EXIT_ALL, is_done=True))
    assert not is_awaited(desk)
    desk.state.path.waiting_since_ns = desk.now
    desk.state.path.barred_until_ns = desk.now + SECOND
    desk.tell(LinkChanged(at_ns=desk.now, link=Link.ORDERS, is_up=True))
    assert is_path_working(desk.state)


@pytest.mark.proves("T9")
def test_a_fill_learnt_late_counts_from_the_exchanges_time() -> None:
    """Six seconds on a mute stream without a price: closed in the step that hears of it."""
    desk = Desk()
    desk.at(60).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.tell(LinkChanged(at_ns=desk.now, link=Link.ORDERS, is_up=False))
    desk.at(66.2)
    row = OrderRow(
        order_id=entry.order_id,
        broker_id=desk.broker_id(entry.order_id),
        status=BrokerStatus.FILLED,
        terms=entry.terms,
        filled_quantity=195,
        filled_value_paise=195 * 10_000,
        venue_at_ns=OPEN + 60 * SECOND,
    )
    desk.tell_row(row, is_read=True)
    desk.at(67.3)
    [decided] = desk.told(ExitDecided)
    assert decided.exit.rule == "unprotected"
    assert int(decided.exit.values["unprotected_ms"]) >= 6_000


@pytest.mark.proves("T9")
def test_a_start_is_given_the_time_that_a_stop_needs() -> None:
    """The process before died an hour after the fill: five seconds count from this one's start."""
    desk = Desk()
    unstopped(desk)
    desk.restart(3_600, links=False)
    desk.at(3_604.9)
    assert desk.told(ExitDecided) == []
    desk.at(3_606)
    assert [one.exit.rule for one in desk.told(ExitDecided)] == ["unprotected"]
    assert first_failing(desk.state) is not None
    assert CALL.id in desk.state.held


@pytest.mark.proves("T9")
@pytest.mark.parametrize(
    ("trigger", "limit", "quantity", "protects"),
    [
        (8_800, 7_920, 195, True),
        (9_000, 8_100, 195, True),
        (8_795, 7_920, 195, False),
        (8_800, 8_805, 195, False),
        (8_800, 7_920, 130, False),
    ],
    ids=["ours", "tighter", "moved away", "limit before the trigger", "less than is held"],
)
def test_a_stop_protects_only_as_its_row_shows_it(
    trigger: int, limit: int, quantity: int, *, protects: bool
) -> None:
    """Type, trigger, limit and open quantity: what somebody else made of it holds nothing planned."""
    desk = Desk()
    desk.at(60).spot()
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(61).tick()
    terms = replace(stop.terms, trigger_paise=trigger, limit_paise=limit, quantity=quantity)
    desk.row(stop.order_id, terms=terms)
    assert desk.state.positions[1].verified is protects
