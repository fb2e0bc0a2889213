"""A start in mid-day: books stay, nothing is armed, and what hung on the process is forgotten."""

import pytest

from holdfast.core.readiness import TERMS, first_failing
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import Access
from holdfast.domain.audit import Anomaly, SelfTested
from holdfast.domain.command import (
    CancelOrder,
    FindOrder,
    ModifyOrder,
    Notify,
    PlaceOrder,
    ReadBook,
    ReadFunds,
    Severity,
    Subscribe,
)
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import Action, Link, OperatorRequest
from holdfast.domain.instrument import OptionType
from holdfast.domain.order import BrokerStatus, OrderState, Side
from tests.support.desk import CALL, NIFTY, OPEN, PUT, SECOND, Desk, option


def kinds(commands: tuple[object, ...]) -> list[type]:
    return [type(command) for command in commands]


def prices(desk: Desk) -> None:
    """A packet of each instrument."""
    desk.spot()
    desk.tick()
    desk.tick(PUT)


@pytest.mark.proves("B-06")
def test_nothing_is_armed_before_the_book_was_read_and_agreed() -> None:
    """Not even where nobody knows of an order: it is no word in a log but a result that is awaited."""
    desk = Desk()
    desk.restart(61.0)
    failing = dict(TERMS)["book"](desk.state)
    assert failing is not None
    assert "not read since the start" in str(failing["book"])
    desk.read_book(seconds=65)
    assert dict(TERMS)["book"](desk.state) is None


def test_a_fresh_start_costs_one_read_of_an_empty_book() -> None:
    """Subscribe, funds, and two passes that agree; then nothing is asked any more."""
    desk = Desk(ready=False)
    desk.load()
    assert kinds(tuple(desk.commands)) == [Subscribe, ReadFunds, ReadBook, ReadBook]
    desk.forget()
    desk.at(30)
    assert desk.all(ReadBook) == []
    assert desk.state.book.is_listed
    assert [told.fault for told in desk.told(SelfTested)] == []


def test_the_first_command_subscribes_entries_go_next_then_the_book_is_asked() -> None:
    """T6: an entry that works is cancelled before anything is asked, however young it is."""
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    desk.row(entry.order_id, terms=entry.terms)
    step = desk.restart(61.0)
    asked = step.commands
    assert isinstance(asked[0], Subscribe)
    assert set(asked[0].instruments) == {NIFTY.id, CALL.id, PUT.id}
    assert kinds(asked[1:]) == [CancelOrder, ReadFunds, ReadBook]
    assert isinstance(asked[1], CancelOrder)
    assert asked[1].order_id == entry.order_id


@pytest.mark.proves("I-07", "PIX-2", "MFH-4")
def test_what_is_held_is_subscribed_and_must_be_seen_before_anything_is_entered() -> None:
    """Three positions in three contracts: entries wait for a packet of the last of them."""
    third = option(40_003, 24_600, OptionType.CALL)
    desk = Desk(ready=False)
    desk.load((NIFTY, CALL, PUT, third))
    desk.at(60).spot()
    for contract in (CALL, PUT, third):
        desk.hold_by_hand(Side.BUY, instrument=contract)
    rows = list(desk.all(PlaceOrder))
    step = desk.restart(100)
    subscribed = step.commands[0]
    assert isinstance(subscribed, Subscribe)
    assert {CALL.id, PUT.id, third.id} <= set(subscribed.instruments)
    desk.at(104).spot()
    shown = []
    for placed in rows:
        is_stop = placed.terms.side is Side.SELL
        status = BrokerStatus.WORKING if is_stop else BrokerStatus.FILLED
        filled = 0 if is_stop else placed.terms.quantity
        shown.append(desk.book_row(placed, status, filled=filled, price=100, venue_ns=OPEN))
    desk.read_book(*shown, seconds=104)
    for contract, waits in ((CALL, True), (PUT, True), (third, False)):
        desk.tick(contract)
        failing = first_failing(desk.state)
        assert (failing is not None and failing[0] == "seen") is waits, failing


def test_what_another_process_was_told_is_forgotten() -> None:
    """Links, services, durability and funds: all must be told anew."""
    desk = Desk()
    desk.restart(60, links=False)
    state = desk.state
    assert (state.services, state.journal_durable, state.funds_paise) == ({}, False, None)
    assert state.links == dict.fromkeys(Link, False)
    assert vars(state.access) == vars(Access())
    assert state.book.began_ns == OPEN + 60 * SECOND
    assert not state.book.is_listed
    assert state.self_test_fault is None, "it is put to the rules in the same step"


def test_halts_positions_and_limits_stay() -> None:
    """Nothing that was folded changes; a halt survives every start."""
    desk = Desk()
    desk.hold()
    desk.ask_operator(OperatorRequest.PAUSE)
    before = desk.state.positions[1]
    desk.restart(100)
    assert desk.state.halt is HaltLevel.PAUSE
    assert desk.state.positions == {1: before}
    assert before.open_quantity == 195


def test_deadlines_of_the_dead_time_fall_due_at_the_start() -> None:
    """Nobody was called meanwhile: no deadline lies before the start."""
    desk = Desk()
    desk.hold()
    assert desk.engine.deadline_ns is not None
    assert desk.engine.deadline_ns < OPEN + 400 * SECOND
    step = desk.restart(400)
    assert step.commands
    assert desk.engine.deadline_ns == desk.now


def test_requests_of_the_dead_process_are_questions_and_are_looked_up() -> None:
    """A modification in flight is not repeated: what was asked after it is not known."""
    desk = Desk()
    stop = desk.hold()
    desk.at(80).tick(last=112.0, bid=111.9, ask=112.1)
    [moved] = desk.all(ModifyOrder)
    step = desk.restart(81)
    order = desk.state.orders[stop.order_id]
    assert (order.state, order.asked) == (OrderState.UNKNOWN, None)
    assert FindOrder(order_id=stop.order_id) in step.commands
    assert moved not in step.commands
    desk.row(stop.order_id, terms=moved.terms, is_read=True)
    assert order.state is OrderState.WORKING
    assert order.terms == moved.terms


def test_a_placement_of_the_dead_process_is_never_sent_again() -> None:
    """It stays a placement that is looked for."""
    desk = Desk()
    desk.hold(stop_rests=False)
    order = desk.state.orders[desk.last(PlaceOrder).order_id]
    assert (order.state, order.asked) == (OrderState.SENT, Action.PLACE)
    desk.restart(62)
    assert (order.state, order.asked) == (OrderState.UNKNOWN, Action.PLACE)


def test_an_end_word_just_after_a_start_is_a_question() -> None:
    """It may mean the modification that the dead process had in flight (T15)."""
    desk = Desk()
    stop = desk.hold()
    desk.at(80).tick(last=112.0, bid=111.9, ask=112.1)
    desk.restart(81)
    desk.row(stop.order_id, BrokerStatus.REJECTED, terms=stop.terms)
    assert desk.state.orders[stop.order_id].state is OrderState.UNKNOWN


def test_half_a_wait_from_before_proves_nothing() -> None:
    """A spike that nothing contradicted while nobody looked is no exit."""
    desk = Desk()
    desk.hold()
    position = desk.state.positions[1]
    position.spike_at_ns = desk.now
    position.beyond_since_ns, position.beyond_packets = desk.now, 5
    position.stale_since_ns = desk.now
    desk.restart(120)
    names = ("spike_at_ns", "beyond_since_ns", "stale_since_ns", "beyond_packets")
    assert [getattr(position, name) for name in names] == [None, None, None, 0]
    desk.at(125)
    assert position.exit is None


def test_an_exit_without_an_order_waits_for_the_book_and_a_person_hears_of_it() -> None:
    """Each ten seconds, with what to do by hand; an exit by modification waits for nothing."""
    desk = Desk()
    stop = desk.hold()
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms)
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms, is_read=True)
    desk.at(62)
    placed = len(desk.all(PlaceOrder))
    desk.restart(70)
    prices(desk)
    desk.breach(72)
    for second in range(73, 104):
        desk.at(second).tick(last=88.0, bid=87.9, ask=88.1)
    assert len(desk.all(PlaceOrder)) == placed, "no order leaves before the book was read"
    waits = [told for told in desk.told(Anomaly) if "waits for the broker's book" in told.what]
    assert len(waits) == 3
    assert waits[0].values["by_hand"] == f"SELL 195 {CALL.symbol}"


def test_a_person_may_close_without_waiting_for_the_book() -> None:
    """`close --anyway`: that position, and no other."""
    desk = Desk()
    stop = desk.hold()
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms)
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms, is_read=True)
    desk.restart(70)
    prices(desk)
    desk.forget()
    desk.ask_operator(OperatorRequest.CLOSE, position=1)
    assert desk.all(PlaceOrder) == []
    desk.close_anyway(position=1)
    assert [one.terms.side for one in desk.all(PlaceOrder)] == [Side.SELL]


@pytest.mark.proves("T21")
def test_an_exit_by_modification_waits_for_no_book() -> None:
    """The resting stop's number is known (T21)."""
    desk = Desk()
    stop = desk.hold()
    desk.restart(70)
    prices(desk)
    desk.breach(72)
    assert [one.order_id for one in desk.all(ModifyOrder)] == [stop.order_id]


def test_candles_know_of_the_gap() -> None:
    """The one that was forming, and each up to the start, is not complete."""
    desk = Desk()
    desk.at(50).spot()
    desk.restart(90)
    desk.at(95).spot()
    desk.at(121).spot()
    [series] = [series for key, series in desk.engine._series.items()]  # noqa: SLF001
    assert [(one.start_ns, one.complete) for one in series] == [
        (OPEN, False),
        (OPEN + 60 * SECOND_NS, False),
    ]


@pytest.mark.proves("I-05")
def test_a_risk_loop_with_nobody_in_it_is_not_armed() -> None:
    """Rules that decide nothing fail the self-test: entries stay off, a person is called."""
    desk = Desk()
    desk.engine._rules = ()  # noqa: SLF001 the loop is there, and nobody in it
    step = desk.restart(60)
    fault = "a breach of the stop decided no exit"
    assert SelfTested(fault=fault) in step.audits
    assert Notify(severity=Severity.ALARM, text=f"not armed: {fault}") in step.commands
    assert first_failing(desk.state) == ("self_test", {"self_test": fault})
