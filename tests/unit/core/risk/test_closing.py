"""Executing exits: whatever state the orders are in, one of them closes, and only what is held."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from holdfast.core import ration
from holdfast.core.orders.ids import ATTEMPT_MAX
from holdfast.core.risk import closing, limits
from holdfast.core.risk.closing import (
    EDGE_AFTER_NS,
    LADDER_BPS,
)
from holdfast.core.risk.protection import MODIFICATIONS_BEFORE_REPLACE
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import (
    Anomaly,
    EntryEnded,
    ExitDecided,
    FillsCorrected,
    PositionClosed,
    PositionOpened,
    ProtectionVerified,
)
from holdfast.domain.command import (
    CancelOrder,
    FindOrder,
    ModifyOrder,
    Notify,
    OrderRequest,
    PlaceOrder,
    ReadBook,
    Severity,
)
from holdfast.domain.decision import Exit, HaltLevel
from holdfast.domain.event import Action, OperatorRequest, Outcome, QuotesRead, SendFailed
from holdfast.domain.instrument import Product
from holdfast.domain.market import Tick
from holdfast.domain.order import (
    BrokerStatus,
    OrderState,
    OrderType,
    Purpose,
    Refusal,
    Side,
)
from tests.support import exits
from tests.support.by_hand import NOW, a_position, held, packet, ready_state
from tests.support.desk import CALL, CLOSE, NIFTY, OPEN, PUT, SECOND, Desk
from tests.support.exits import (
    a_desk,
    asked,
    close,
    ended,
    exit_of,
    partly_held,
    trailing,
    working_exit,
)

SIDES = pytest.mark.parametrize("side", Side)


# -- the decision


@pytest.mark.proves("EXE-2", "TRK-2")
def test_the_first_decision_stands() -> None:
    """Whatever touches a level later, the record names the rule that came first."""
    state, position = ready_state(), a_position()
    closing.decide(state, position, Exit(rule="one"), price_after_ns=7)
    closing.decide(state, position, Exit(rule="two"))
    assert position.exit == Exit(rule="one")
    assert (position.exit_at_ns, position.reprice_at_ns) == (NOW, NOW + 7)
    assert state.out.audits == [ExitDecided(position=1, exit=Exit(rule="one"))]
    other = a_position(2)
    closing.decide(state, other, Exit(rule="one"))
    assert other.reprice_at_ns == NOW


def test_a_position_that_ended_is_not_decided_on() -> None:
    """A person who asks to close it hears that it is flat: that is no failure (T5)."""
    state, position = ready_state(), a_position()
    held(state, position)
    position.is_closed = True
    closing.decide(state, position, Exit(rule="one"))
    assert position.exit is None
    for number in (1, 2, None):
        closing.close_by_hand(state, number, "test")
    assert [(a.what, a.values) for a in state.out.audits if isinstance(a, Anomaly)] == [
        ("no such open position", {"position": number}) for number in (2, 0)
    ]
    told = [one for one in state.out.commands if isinstance(one, Notify)]
    assert [one.severity for one in told] == [Severity.INFO, Severity.ALARM, Severity.ALARM]
    assert "position 1 is already flat" in told[0].text


def test_an_exit_waits_for_nothing_that_a_stop_waited_for() -> None:
    """Three refusals hold the stop back for seconds; the exit leaves at once."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.fail(stop.order_id, Action.PLACE, Outcome.REFUSED, Refusal.IP)
    close(desk)
    assert asked(desk) == [(PlaceOrder, exit_of(stop))]


def test_an_exit_waits_for_nothing_that_a_modification_waited_for() -> None:
    """The move of the stop was refused for its rate; the exit is asked all the same."""
    desk = a_desk()
    stop = trailing(desk)
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.RATE)
    close(desk)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]


# -- the entry's remainder (T6)


@pytest.mark.proves("T6")
@pytest.mark.parametrize(("seconds", "cancelled"), [(64.999, False), (65, True)])
def test_an_entry_lives_for_five_seconds(seconds: float, *, cancelled: bool) -> None:
    """To the nanosecond, with or without a fill."""
    for filled in (0, 65):
        desk = a_desk()
        entry = desk.intend(Side.BUY)
        desk.acknowledge(entry.order_id)
        if filled:
            desk.fill(entry, quantity=65, price=100.0)
        desk.at(seconds)
        assert bool(desk.all(CancelOrder)) is cancelled


@pytest.mark.proves("T6")
@pytest.mark.parametrize("request_", [OperatorRequest.PAUSE, OperatorRequest.FLATTEN])
def test_every_halt_takes_back_what_has_not_filled(request_: OperatorRequest) -> None:
    """All entries, also of positions that nothing else happens to."""
    desk = a_desk()
    entries = [desk.intend(Side.BUY), desk.intend(Side.BUY, instrument=PUT)]
    for entry in entries:
        desk.acknowledge(entry.order_id)
    desk.forget()
    desk.ask_operator(request_)
    assert asked(desk) == [(CancelOrder, entry.order_id) for entry in entries]


def test_the_close_out_takes_back_what_has_not_filled() -> None:
    """An entry that is still young at the close-out does not outlive it."""
    desk = Desk()
    desk.at(6 * 3600 - 2).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.at(6 * 3600 - 0.001)
    assert desk.all(CancelOrder) == []
    desk.at(6 * 3600)
    assert [c.order_id for c in desk.all(CancelOrder)] == [entry.order_id]


@pytest.mark.proves("T6")
def test_an_exit_takes_back_every_entry_in_its_key_first() -> None:
    """Another position's entry would meet the sale in the book; other contracts' stay."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    same, other = desk.intend(Side.BUY), desk.intend(Side.BUY, instrument=PUT)
    for entry in (same, other):
        desk.acknowledge(entry.order_id)
    close(desk)
    assert asked(desk) == [(CancelOrder, same.order_id), (ModifyOrder, stop.order_id)]


def test_a_position_that_is_flat_bars_no_entry_in_its_key() -> None:
    """Sold out, it waits for the end of its own entry only; the next one may work."""
    desk = a_desk()
    first = desk.intend(Side.BUY)
    desk.acknowledge(first.order_id)
    desk.fill(first, quantity=65, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=stop.terms, filled=65, price=88.0)
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.forget()
    desk.row(first.order_id, terms=first.terms, filled=65, price=100.0)
    assert asked(desk) == []


@pytest.mark.proves("T8")
def test_an_entry_in_another_product_is_not_met() -> None:
    """The broker's key has the product in it (T8)."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    other = desk.engine._state.positions[2]  # noqa: SLF001 positions of one product only are entered
    other.key = other.key._replace(product=Product.MARGIN)
    close(desk)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]


def test_a_refused_cancel_of_an_entry_is_asked_about_or_tried_again_later() -> None:
    """Not modifiable: read; else after a second; never at once again."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.at(65).forget()
    desk.fail(entry.order_id, Action.CANCEL, Outcome.REFUSED, Refusal.RATE)
    desk.at(65.9)
    assert asked(desk) == []
    desk.at(66)
    assert asked(desk) == [(CancelOrder, entry.order_id)]
    desk.fail(entry.order_id, Action.CANCEL, Outcome.REFUSED, Refusal.NOT_MODIFIABLE)
    assert [type(c) for c in desk.commands] == [FindOrder]
    desk.at(68)
    assert asked(desk) == []
    ended(desk, entry.order_id, entry.terms)
    assert desk.told(EntryEnded)[-1].position == 1


def test_an_entry_that_never_got_its_number_is_cancelled_when_it_gets_it() -> None:
    """Closed by hand before the broker answered: the cancel leaves with the answer."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    close(desk)
    assert asked(desk) == []
    desk.acknowledge(entry.order_id)
    assert asked(desk) == [(CancelOrder, entry.order_id)]
    desk.fill(entry, quantity=65, price=100.0)
    assert desk.last(PlaceOrder).purpose is Purpose.EXIT, "what filled goes out at once"


# -- an exit while the stop is in any state


@pytest.mark.proves("T2")
def test_an_exit_waits_for_the_number_of_a_stop_that_was_just_sent() -> None:
    """Nothing is placed beside it; with the number it becomes the exit."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    stop = desk.last(PlaceOrder)
    close(desk)
    desk.at(63)
    assert asked(desk) == []
    desk.acknowledge(stop.order_id)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]


@pytest.mark.proves("T3", "ORT-7", "I-45")
def test_an_exit_waits_for_evidence_of_a_stop_that_was_not_answered() -> None:
    """A second sale could be a naked short: the person is told, the order is looked for (T3)."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.forget()
    desk.fail(stop.order_id, Action.PLACE, Outcome.UNANSWERED)
    [told] = desk.all(Notify)
    assert f"no answer to {stop.order_id}: SELL 195 {CALL.symbol} by hand" in told.text
    assert asked(desk) == []
    close(desk)
    desk.at(70)
    assert len(desk.all(FindOrder)) >= 18
    assert asked(desk) == []
    desk.row(stop.order_id, terms=stop.terms, is_read=True)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]


def test_an_unanswered_entry_calls_nobody() -> None:
    """It is looked for; whatever it buys gets its stop when it is found."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.forget()
    desk.fail(entry.order_id, Action.PLACE, Outcome.UNANSWERED)
    assert [type(c) for c in desk.commands] == [FindOrder, ReadBook]


@pytest.mark.proves("T3")
def test_an_exit_overwrites_a_move_of_the_stop_that_is_in_flight() -> None:
    """The newest values win, without waiting for the older ones (T3)."""
    desk = a_desk()
    stop = trailing(desk)
    close(desk)
    change = desk.last(ModifyOrder)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]
    assert (change.terms.order_type, change.terms.limit_paise) == (OrderType.LIMIT, 11_000)
    desk.row(stop.order_id, terms=stop.terms)
    assert asked(desk) == [], "the older row is no answer"
    desk.row(stop.order_id, terms=change.terms)
    assert desk.engine.open_positions == 1


def test_where_stops_cannot_become_exits_the_move_in_flight_is_cancelled() -> None:
    """Cancel, evidence, place: that is the way for the day."""
    desk = a_desk(exit_by_modify=False)
    stop = trailing(desk)
    close(desk)
    assert asked(desk) == [(CancelOrder, stop.order_id)]
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms)
    assert asked(desk) == [], "the word is a question"
    ended(desk, stop.order_id, stop.terms)
    assert asked(desk) == [(PlaceOrder, exit_of(stop))]


def test_an_exit_waits_for_the_end_of_a_stop_that_is_being_cancelled() -> None:
    """Its quantity could not be followed, so it is being replaced; the exit takes its place."""
    desk, entry, stop = partly_held()
    desk.fill(entry, quantity=130, price=100.0)
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.OTHER)
    desk.at(61.1).forget()
    desk.at(61.2)
    assert desk.engine._state.orders[stop.order_id].state is OrderState.CANCELLING  # noqa: SLF001
    close(desk)
    assert asked(desk) == [(CancelOrder, entry.order_id)]
    ended(desk, stop.order_id, stop.terms)
    order = desk.last(PlaceOrder)
    assert (order.order_id, order.terms.quantity) == (exit_of(stop), 130)


def test_an_exit_over_a_stop_in_question_is_asked_all_the_same() -> None:
    """If it died the answer says so; if it lives no second was lost."""
    desk = a_desk()
    stop = trailing(desk)
    desk.row(stop.order_id, BrokerStatus.REJECTED, terms=stop.terms)
    close(desk)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.NOT_MODIFIABLE)
    assert asked(desk) == []
    desk.row(stop.order_id, BrokerStatus.REJECTED, terms=stop.terms, is_read=True)
    assert asked(desk) == [(PlaceOrder, exit_of(stop))]


@SIDES
def test_where_stops_cannot_become_exits_they_are_cancelled_first(side: Side) -> None:
    """The exit follows the evidence, for what is held."""
    desk = a_desk(exit_by_modify=False)
    stop = desk.hold_by_hand(side)
    close(desk)
    assert asked(desk) == [(CancelOrder, stop.order_id)]
    ended(desk, stop.order_id, stop.terms)
    order = desk.last(PlaceOrder)
    assert (order.terms.side, order.terms.order_type) == (side.opposite, OrderType.LIMIT)
    assert order.terms.quantity == 195


@pytest.mark.proves("T2")
def test_a_stop_that_triggered_needs_no_change_of_type() -> None:
    """It is in the book already: where types cannot be changed its price still can (T2)."""
    desk = a_desk(exit_by_modify=False)
    stop = desk.hold_by_hand(Side.BUY)
    released = replace(stop.terms, order_type=OrderType.LIMIT, trigger_paise=None)
    desk.at(70.25).tick(last=87.0, bid=86.9, ask=87.1)
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.TRIGGERED, terms=released)
    desk.at(71.249)
    assert asked(desk) == [], "at its limit it has a second"
    desk.at(71.25)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]


# -- modifications that fail


@pytest.mark.proves("T2")
def test_a_change_of_type_that_is_never_seen_is_not_tried_again_today() -> None:
    """Given up after four seconds; the next position's stop is cancelled at once (T2)."""
    desk = a_desk()
    stop, second = desk.hold_by_hand(Side.BUY), desk.hold_by_hand(Side.BUY, instrument=PUT)
    close(desk)
    desk.at(63.999)
    assert {kind for kind, _ in asked(desk)} == {ModifyOrder}
    desk.at(64)
    assert asked(desk) == [(CancelOrder, stop.order_id)]
    ended(desk, stop.order_id, stop.terms)
    assert asked(desk) == [(PlaceOrder, exit_of(stop))]
    close(desk, 2)
    assert asked(desk) == [(CancelOrder, second.order_id)]


def test_a_given_up_order_whose_cancel_is_refused_is_cancelled_again() -> None:
    """Never modified again: what it shows is not what we ask."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    close(desk)
    desk.at(64).forget()
    desk.fail(stop.order_id, Action.CANCEL, Outcome.REFUSED, Refusal.RATE)
    desk.at(65.5)
    assert asked(desk) == [(CancelOrder, stop.order_id)]


def test_a_new_attempt_is_worked_like_the_first() -> None:
    """Placed after a refusal, it rests a second, then it is priced by modification."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(70.25).tick()
    close(desk)
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.OTHER)
    ended(desk, stop.order_id, stop.terms)
    order = desk.last(PlaceOrder)
    desk.forget()
    desk.row(order.order_id, terms=order.terms)
    desk.at(71.249)
    assert asked(desk) == []
    desk.at(71.25)
    assert asked(desk) == [(ModifyOrder, order.order_id)]


def test_a_price_that_is_never_seen_says_nothing_about_types() -> None:
    """A re-pricing given up is replaced as well, but other stops may still become exits."""
    desk = a_desk()
    stop = working_exit(desk)
    second = desk.hold_by_hand(Side.BUY, instrument=PUT)
    desk.forget()
    for tenth in range(610, 651):
        desk.at(tenth / 10).tick()
    assert asked(desk)[-1] == (CancelOrder, stop.order_id)
    close(desk, 2)
    assert asked(desk) == [(ModifyOrder, second.order_id)]


@pytest.mark.proves("T7")
@pytest.mark.parametrize(
    ("modifications", "expected"),
    [(MODIFICATIONS_BEFORE_REPLACE - 1, ModifyOrder), (MODIFICATIONS_BEFORE_REPLACE, CancelOrder)],
)
def test_an_order_whose_modifications_are_spent_is_replaced(
    modifications: int, expected: type[OrderRequest]
) -> None:
    """At 23: cancel, evidence, next attempt (T7)."""
    desk = a_desk()
    stop = working_exit(desk)
    desk.engine._state.orders[stop.order_id].modifications = modifications  # noqa: SLF001
    desk.at(61).tick()
    assert asked(desk) == [(expected, stop.order_id)]


@pytest.mark.proves("T15")
def test_a_no_that_comes_as_a_rejected_word_is_no_end_of_the_stop() -> None:
    """The row still shows the stop: cancelled, then the exit; never two closers (T15)."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    close(desk)
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.REJECTED, terms=stop.terms)
    assert [type(c) for c in desk.commands] == [FindOrder]
    desk.row(stop.order_id, terms=stop.terms, is_read=True)
    assert asked(desk) == [(CancelOrder, stop.order_id)]
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms)
    assert asked(desk) == []
    ended(desk, stop.order_id, stop.terms)
    assert asked(desk) == [(PlaceOrder, exit_of(stop))]


@SIDES
def test_when_no_ids_are_left_a_person_is_told_again_and_again(side: Side) -> None:
    """The engine goes on; what to do by hand is in the text."""
    desk = a_desk()
    stop = desk.hold_by_hand(side)
    position = desk.engine._state.positions[1]  # noqa: SLF001 a thousand refusals take hours
    position.exit_attempts = ATTEMPT_MAX
    close(desk)
    desk.forget()
    ended(desk, stop.order_id, stop.terms)
    assert asked(desk) == []
    desk.at(119.9)
    texts = [told.text for told in desk.all(Notify) if "no more closing orders" in told.text]
    assert len(texts) == 1
    assert f"{side.opposite.value} 195 {CALL.symbol} by hand" in texts[0]
    desk.at(120.1)
    assert len([c for c in desk.all(Notify) if "no more closing orders" in c.text]) == 2


def test_a_stop_without_an_id_does_not_bar_the_exit() -> None:
    """Each purpose counts its own attempts."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    position = desk.engine._state.positions[1]  # noqa: SLF001
    position.stop_attempts = ATTEMPT_MAX
    ended(desk, stop.order_id, stop.terms)
    close(desk)
    assert asked(desk) == [(PlaceOrder, exit_of(stop))]


# -- late fills


@pytest.mark.proves("T6")
def test_an_exit_grows_at_once_with_late_fills_of_the_entry() -> None:
    """The total is what the order filled plus all that is held."""
    desk, entry, stop = partly_held()
    close(desk)
    terms = desk.last(ModifyOrder).terms
    desk.row(stop.order_id, terms=terms, filled=40, price=99.0)
    desk.forget()
    desk.fill(entry, quantity=195, price=100.0)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]
    change = replace(terms, quantity=195)
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=change, filled=195, price=99.0)
    assert desk.told(PositionClosed)[-1].quantity == 195


def test_a_fill_after_everything_was_sold_is_sold_too_and_told_once() -> None:
    """The entry was still live when the exit had closed the rest: one end, with all numbers."""
    desk, entry, stop = partly_held()
    close(desk)
    terms = desk.last(ModifyOrder).terms
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=terms, filled=65, price=99.0)
    assert desk.told(PositionClosed) == [], "the entry may still fill"
    desk.forget()
    desk.fill(entry, quantity=130, price=100.0)
    [order] = desk.all(PlaceOrder)
    assert (order.order_id, order.terms.quantity) == (exit_of(stop), 65)
    desk.acknowledge(order.order_id)
    desk.row(order.order_id, BrokerStatus.FILLED, terms=order.terms, filled=65, price=98.0)
    ended(desk, entry.order_id, entry.terms, filled=130)
    [told] = desk.told(PositionClosed)
    assert (told.quantity, told.entry_value_paise) == (130, 130 * 10_000)
    assert told.exit_value_paise == 65 * 9_900 + 65 * 9_800
    assert told.gross_paise == -65 * 100 - 65 * 200
    # three executed orders at 20 rupees each
    assert told.charges["brokerage"] == 6_000
    assert told.net_paise == told.gross_paise - sum(told.charges.values())


def test_a_fill_after_the_positions_end_opens_it_again_for_what_it_bought() -> None:
    """The entry's end had been read; the money wins, and its last end tells all of it, once."""
    desk, entry, stop = partly_held()
    close(desk)
    ended(desk, entry.order_id, entry.terms, filled=65)
    terms = desk.last(ModifyOrder).terms
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=terms, filled=65, price=99.0)
    [first] = desk.told(PositionClosed)
    desk.forget()
    desk.row(entry.order_id, BrokerStatus.CANCELLED, terms=entry.terms, filled=130, price=100.0)
    assert [told.what for told in desk.told(Anomaly)] == ["an ended position comes alive"]
    assert [told.position for told in desk.told(PositionOpened)] == [1]
    [order] = desk.all(PlaceOrder)
    assert (order.order_id, order.terms.quantity) == (exit_of(stop), 65)
    assert desk.engine.open_positions == 1
    desk.row(order.order_id, BrokerStatus.FILLED, terms=order.terms, filled=65, price=98.0)
    [second] = desk.told(PositionClosed)
    assert (first.quantity, second.quantity) == (65, 130)
    assert first.gross_paise == 65 * (9_900 - 10_000)
    assert second.gross_paise == 65 * (9_900 + 9_800) - 130 * 10_000
    assert second.opened_at_ns == first.opened_at_ns
    assert desk.engine.open_positions == 0
    realised = desk.engine._state.day.realised_net_paise  # noqa: SLF001
    assert realised == second.net_paise
    assert limits.net_today_paise(desk.state) == second.net_paise


def test_what_ended_and_was_only_shown_to_live_counts_once_and_is_not_told_again() -> None:
    """A stop that was refused turns out to live, and is taken back: nothing was sold since."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    refused = desk.last(PlaceOrder)
    desk.fail(refused.order_id, Action.PLACE, Outcome.REFUSED, Refusal.OTHER)
    desk.at(70)
    stop = desk.last(PlaceOrder)
    assert stop.order_id != refused.order_id
    quantity = stop.terms.quantity
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=stop.terms, filled=quantity, price=99.0)
    [first] = desk.told(PositionClosed)
    assert limits.net_today_paise(desk.state) == first.net_paise
    desk.forget()
    desk.row(refused.order_id, terms=refused.terms)
    desk.row(refused.order_id, terms=refused.terms, is_read=True)
    assert [one.number for one in desk.state.live] == [1]
    assert limits.net_today_paise(desk.state) == pytest.approx(first.net_paise, abs=100)
    word = desk.book_row(stop, BrokerStatus.FILLED, filled=quantity, price=99.0)
    exact = replace(word, filled_value_paise=word.filled_value_paise - 65, is_exact=True)
    desk.tell_row(exact, is_read=True)
    [corrected] = desk.told(FillsCorrected)
    assert corrected.gross_paise == first.gross_paise - 65
    ended(desk, refused.order_id, refused.terms)
    assert desk.state.live == []
    assert desk.told(PositionClosed) == []
    assert limits.net_today_paise(desk.state) == corrected.net_paise
    assert desk.state.day.trades == 1


@pytest.mark.proves("T17")
def test_what_fills_after_its_end_is_not_marked_by_a_price_of_before_it() -> None:
    """The market went on while nothing was held: no loss is believed that is not there."""
    desk, entry, stop = partly_held()
    desk.at(62).tick(last=99.0)
    ended(desk, entry.order_id, entry.terms, filled=65)
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=stop.terms, filled=65, price=99.0)
    [first] = desk.told(PositionClosed)
    marked = desk.state.positions[1].mark_paise
    assert marked is not None
    desk.at(3_600).tick(last=200.0)
    desk.row(entry.order_id, BrokerStatus.FILLED, terms=entry.terms, filled=195, price=200.0)
    assert desk.state.positions[1].is_open
    assert desk.state.positions[1].mark_paise is None
    assert limits.net_today_paise(desk.state) == pytest.approx(first.net_paise, abs=10_000)


@pytest.mark.proves("I-01")
def test_what_fills_on_after_it_was_flat_was_not_left_alone_meanwhile() -> None:
    """Nobody looks at what is flat: its clock begins with the fill, and no alarm is raised."""
    desk, entry, stop = partly_held()
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=stop.terms, filled=65, price=99.0)
    assert desk.state.live != []
    desk.at(70).forget()
    desk.row(entry.order_id, BrokerStatus.FILLED, terms=entry.terms, filled=130, price=100.0)
    assert "position not looked at" not in [told.what for told in desk.told(Anomaly)]
    assert desk.state.positions[1].evaluated_at_ns == desk.now
    assert desk.engine.deadline_ns == desk.now


def test_an_ended_entry_that_lives_is_cancelled_again() -> None:
    """Refused, it was forgotten; the broker's row shows it working."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.fail(entry.order_id, Action.PLACE, Outcome.REFUSED, Refusal.OTHER)
    assert [told.position for told in desk.told(EntryEnded)] == [1]
    desk.at(70).forget()
    desk.row(entry.order_id, terms=entry.terms)
    assert [type(c) for c in desk.commands if not isinstance(c, Notify)] == [FindOrder]
    desk.row(entry.order_id, terms=entry.terms, is_read=True)
    assert asked(desk) == [(CancelOrder, entry.order_id)]
    ended(desk, entry.order_id, entry.terms)
    assert [told.position for told in desk.told(EntryEnded)] == [1]
    assert desk.engine.live_orders == ()


@pytest.mark.proves("PLC-1")
@SIDES
def test_what_was_closed_beyond_what_was_held_is_closed_again(side: Side) -> None:
    """A dead exit's late fill after its successor filled: the excess goes back, not further."""
    desk = a_desk()
    stop = working_exit(desk, side)
    terms = desk.engine._state.orders[stop.order_id].terms  # noqa: SLF001
    ended(desk, stop.order_id, terms)
    again = desk.last(PlaceOrder)
    desk.acknowledge(again.order_id)
    desk.row(again.order_id, terms=again.terms, filled=130, price=100.0)
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=terms, filled=130, price=100.0)
    whats = [told.what for told in desk.told(Anomaly)]
    assert whats[-2].startswith("more was closed than was held")
    assert whats[-1] == "closing orders could fill more than is held"
    assert asked(desk) == [(CancelOrder, again.order_id)], "it would close still more"
    ended(desk, again.order_id, again.terms, filled=130)
    back = desk.last(PlaceOrder)
    assert (back.order_id, back.terms.side) == (exit_of(stop, 2), side)
    assert back.terms.quantity == 65
    desk.row(back.order_id, BrokerStatus.FILLED, terms=back.terms, filled=65, price=100.0)
    [told] = desk.told(PositionClosed)
    assert told.quantity == 260
    assert desk.engine.open_positions == 0


def test_an_excess_cancels_even_a_closing_order_that_is_being_changed() -> None:
    """What is in flight could fill any moment."""
    desk = a_desk()
    stop = working_exit(desk)
    terms = desk.engine._state.orders[stop.order_id].terms  # noqa: SLF001
    ended(desk, stop.order_id, terms)
    again = desk.last(PlaceOrder)
    desk.row(again.order_id, terms=again.terms, filled=130, price=100.0)
    desk.at(62).tick()
    assert asked(desk)[-1] == (ModifyOrder, again.order_id)
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=terms, filled=130, price=100.0)
    assert asked(desk) == [(CancelOrder, again.order_id)]


@pytest.mark.proves("T2", "T4", "PLC-7", "T6")
def test_a_closing_order_in_part_filled_is_asked_for_its_total() -> None:
    """A quantity is filled and open together: 65 sold and 130 to sell are 195 (T2)."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, quantity=130, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.row(stop.order_id, terms=stop.terms)
    close(desk)
    terms = desk.last(ModifyOrder).terms
    assert terms.quantity == 130
    desk.row(stop.order_id, terms=terms, filled=65, price=99.0)
    desk.forget()
    desk.fill(entry, price=100.0)
    grown = desk.last(ModifyOrder)
    assert (grown.order_id, grown.terms.quantity) == (stop.order_id, 195)
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=grown.terms, filled=195, price=99.0)
    assert [told.quantity for told in desk.told(PositionClosed)] == [195]
    assert desk.all(PlaceOrder) == []


@pytest.mark.proves("T4", "PLC-7")
def test_a_closing_order_in_part_filled_is_cut_to_its_total() -> None:
    """The successor has sold 65 of 195 when a dead exit turns out to have sold 65: 130 in all."""
    desk = a_desk()
    stop = working_exit(desk)
    terms = desk.engine._state.orders[stop.order_id].terms  # noqa: SLF001
    ended(desk, stop.order_id, terms)
    again = desk.last(PlaceOrder)
    desk.row(again.order_id, terms=again.terms, filled=65, price=100.0)
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=terms, filled=65, price=100.0)
    assert desk.last(ModifyOrder).terms.quantity == 130


@pytest.mark.proves("T4", "PLC-7")
def test_a_closing_order_is_cut_when_less_is_held_than_it_closes() -> None:
    """A dead exit's late fill leaves 65; its successor is modified down at once."""
    desk = a_desk()
    stop = working_exit(desk)
    terms = desk.engine._state.orders[stop.order_id].terms  # noqa: SLF001
    ended(desk, stop.order_id, terms)
    again = desk.last(PlaceOrder)
    desk.row(again.order_id, terms=again.terms)
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=terms, filled=130, price=100.0)
    assert desk.last(ModifyOrder).terms.quantity == 65


def orphan(desk: Desk) -> PlaceOrder:
    """Flat, while a closing order of 195 still rests: the late fill of its predecessor."""
    stop = working_exit(desk)
    terms = desk.engine._state.orders[stop.order_id].terms  # noqa: SLF001
    ended(desk, stop.order_id, terms)
    again = desk.last(PlaceOrder)
    desk.row(again.order_id, terms=again.terms)
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=terms, filled=195, price=100.0)
    return again


def test_a_closing_order_without_anything_to_close_is_cancelled() -> None:
    """Nothing is held; the position ends only when the order has."""
    desk = a_desk()
    again = orphan(desk)
    assert asked(desk)[-1] == (CancelOrder, again.order_id)
    assert desk.told(PositionClosed) == []
    ended(desk, again.order_id, again.terms)
    assert [told.quantity for told in desk.told(PositionClosed)] == [195]
    assert asked(desk) == []


def test_a_refused_cancel_of_such_an_order_is_tried_again() -> None:
    """After its pause, without a price or a fill to remind us."""
    desk = a_desk()
    again = orphan(desk)
    desk.forget()
    desk.fail(again.order_id, Action.CANCEL, Outcome.REFUSED, Refusal.RATE)
    desk.at(60.9)
    assert asked(desk) == []
    desk.at(61)
    assert asked(desk) == [(CancelOrder, again.order_id)]


def test_such_an_order_is_cancelled_while_it_is_being_changed() -> None:
    """Its modification is in flight: the cancel follows at once."""
    desk = a_desk()
    stop = working_exit(desk)
    terms = desk.engine._state.orders[stop.order_id].terms  # noqa: SLF001
    ended(desk, stop.order_id, terms)
    again = desk.last(PlaceOrder)
    desk.row(again.order_id, terms=again.terms)
    desk.at(62).tick()
    assert asked(desk)[-1] == (ModifyOrder, again.order_id)
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=terms, filled=195, price=100.0)
    assert asked(desk) == [(CancelOrder, again.order_id)]


# -- orders that come back to life


@pytest.mark.proves("T4")
def test_a_dead_closer_that_lives_beside_its_successor_is_cancelled() -> None:
    """Two would close twice; the position ends when neither can fill."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    close(desk)
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.NOT_MODIFIABLE)
    terms = stop.terms
    desk.row(stop.order_id, BrokerStatus.REJECTED, terms=terms, is_read=True)
    desk.at(62)
    again = desk.last(PlaceOrder)
    desk.row(again.order_id, terms=again.terms)
    desk.at(62.1).forget()
    desk.row(stop.order_id, terms=terms)
    assert [type(c) for c in desk.commands if not isinstance(c, Notify)] == [FindOrder]
    position = desk.engine._state.positions[1]  # noqa: SLF001
    assert position.strays == [stop.order_id]
    desk.row(stop.order_id, terms=terms, is_read=True)
    assert asked(desk) == [(CancelOrder, stop.order_id)]
    assert (position.strays, position.closers) == ([stop.order_id], [again.order_id])
    desk.row(again.order_id, BrokerStatus.FILLED, terms=again.terms, filled=195, price=99.0)
    assert desk.told(PositionClosed) == []
    ended(desk, stop.order_id, terms)
    assert len(desk.told(PositionClosed)) == 1
    assert desk.engine.live_orders == ()


@pytest.mark.proves("T4")
def test_nothing_is_placed_while_one_that_came_back_could_close_it_all() -> None:
    """The successor dies too: a third order waits until the first is seen at its end."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    close(desk)
    desk.row(stop.order_id, BrokerStatus.REJECTED, terms=stop.terms, is_read=True)
    again = desk.last(PlaceOrder)
    desk.row(again.order_id, terms=again.terms)
    desk.at(62).row(stop.order_id, terms=stop.terms, is_read=True)
    desk.forget()
    ended(desk, again.order_id, again.terms)
    desk.at(70)
    assert desk.all(PlaceOrder) == []
    ended(desk, stop.order_id, stop.terms)
    desk.at(80)
    assert [one.terms.quantity for one in desk.all(PlaceOrder)] == [195]


def test_a_dead_closer_that_lives_after_its_successors_end_is_the_closer_again() -> None:
    """Both had ended; the one that lives is worked, and no third is placed."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    close(desk)
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.NOT_MODIFIABLE)
    desk.row(stop.order_id, BrokerStatus.REJECTED, terms=stop.terms, is_read=True)
    again = desk.last(PlaceOrder)
    desk.at(61).forget()
    desk.fail(again.order_id, Action.PLACE, Outcome.REFUSED, Refusal.IP)
    desk.row(stop.order_id, terms=stop.terms)
    desk.row(stop.order_id, terms=stop.terms, is_read=True)
    desk.at(75)
    requests = asked(desk)
    assert {order_id for _, order_id in requests} == {stop.order_id}
    assert PlaceOrder not in {kind for kind, _ in requests}


def test_a_dead_stop_that_lives_with_nothing_beside_it_is_the_stop_again() -> None:
    """No second one is placed while it may rest."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.fail(stop.order_id, Action.PLACE, Outcome.REFUSED, Refusal.FUNDS)
    desk.row(stop.order_id, terms=stop.terms)
    desk.row(stop.order_id, terms=stop.terms, is_read=True)
    desk.forget()
    desk.at(70).tick()
    assert asked(desk) == []
    close(desk)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]


# -- prices


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        # 0.5, 1, 2, 5 percent through the bid of 99.95, then the edge at 60; round up for a sale
        (Side.BUY, (9_995, 9_950, 9_900, 9_800, 9_500, 6_000)),
        # through the ask of 100.05, then the edge at 140; rounded down for a purchase
        (Side.SELL, (10_005, 10_055, 10_105, 10_205, 10_505, 14_000)),
    ],
)
def test_the_ladder_of_prices(side: Side, expected: Sequence[int]) -> None:
    """Touch, steps through it, the band's edge: on the contract's step, never before the touch."""
    state, position = ready_state(), a_position(side=side)
    prices = []
    for position.ladder_step in range(len(LADDER_BPS) + 1):
        prices.append(closing.exit_price_paise(state, position))
    assert prices == list(expected)


@SIDES
def test_the_first_price_is_the_touch_itself(side: Side) -> None:
    """Not a step through it, however dear the contract."""
    state, position = ready_state(), a_position(side=side)
    now = state.now_ns = NOW + 120 * SECOND
    dear = packet(last=60_000, bid=60_000, ask=60_000, volume=130, at=now, venue=now)
    state.quotes[CALL.id].take(dear)
    assert closing.exit_price_paise(state, position) == 60_000
    position.ladder_step = 1
    assert closing.exit_price_paise(state, position) == 60_000 - side.sign * 300


@pytest.mark.parametrize(("side", "edge"), [(Side.BUY, 6_000), (Side.SELL, 14_000)])
def test_a_price_goes_no_further_than_the_band(side: Side, edge: int) -> None:
    """The touch lies outside: the exit rests at the edge."""
    state, position = ready_state(), a_position(side=side)
    bid, ask = (4_000, 10_100) if side is Side.BUY else (9_900, 18_000)
    state.quotes[CALL.id].take(packet(last=10_000, bid=bid, ask=ask, volume=65))
    assert closing.exit_price_paise(state, position) == edge


@pytest.mark.proves("T18")
@pytest.mark.parametrize(("side", "freak"), [(Side.BUY, 30_000), (Side.SELL, 3_000)])
@pytest.mark.parametrize("is_over", [False, True], ids=["it is the last", "another came after it"])
def test_a_print_that_is_no_market_keeps_no_exit_from_the_market(
    side: Side, freak: int, *, is_over: bool
) -> None:
    """
    One print at three times the price had the exit rest above every bid for a minute, and had the
    resting stop count for nothing.
    """
    state, position = ready_state(), a_position(side=side)
    state.quotes[CALL.id].take(packet(last=freak, volume=130))
    if is_over:
        state.quotes[CALL.id].take(packet(last=10_000, volume=195))
    touch = 9_995 if side is Side.BUY else 10_005
    assert closing.exit_price_paise(state, position) == touch
    position.ladder_step = len(LADDER_BPS)
    assert abs(closing.exit_price_paise(state, position) - 10_000) == pytest.approx(4_000, abs=10)
    assert 9_990 <= min(state.quotes[CALL.id].extremes(NOW)) <= 10_010
    assert 9_990 <= max(state.quotes[CALL.id].extremes(NOW)) <= 10_010


@pytest.mark.proves("T1", "T18")
def test_a_book_that_moves_away_rewrites_no_trade() -> None:
    """The exchange's reference stands while nothing trades, and with it the band at a trigger."""
    state, _ = ready_state(), a_position()
    quote = state.quotes[CALL.id]
    quote.take(packet(last=10_000, bid=9_995, ask=10_005, volume=130))
    for seconds in (1, 90):
        at_ns = NOW + seconds * SECOND
        quote.take(packet(last=10_000, bid=6_000, ask=6_500, volume=130, at=at_ns))
        assert quote.extremes(at_ns) == (10_000, 10_000)


@pytest.mark.proves("T18")
@pytest.mark.parametrize(("ask", "believed"), [(9_000, (9_000, 10_000)), (None, (10_000, 30_000))])
def test_one_side_of_a_book_is_enough_to_disbelieve_a_print(
    ask: int | None, believed: tuple[int, int]
) -> None:
    """Above every offer nobody bought. Without a book there is nothing to hold it against."""
    state, _ = ready_state(), a_position()
    quote = state.quotes[CALL.id]
    quote.take(packet(last=30_000, bid=None, ask=ask, volume=130))
    assert quote.extremes(NOW) == believed


@pytest.mark.proves("T13")
@pytest.mark.parametrize(("side", "edge"), [(Side.BUY, 11_200), (Side.SELL, 7_200)])
def test_a_touch_beyond_the_far_edge_is_priced_at_that_edge(side: Side, edge: int) -> None:
    """The book has run away from the trades: the touch itself is refused, the edge fills better."""
    state, position = ready_state(), a_position(side=side)
    for volume, last in ((130, 12_000), (195, 8_000), (260, 10_000)):
        state.quotes[CALL.id].take(packet(last=last, volume=volume))
    bid, ask = (15_000, 15_100) if side is Side.BUY else (6_900, 7_000)
    state.quotes[CALL.id].take(packet(last=10_000, bid=bid, ask=ask, volume=260))
    assert closing.exit_price_paise(state, position) == edge


@pytest.mark.proves("T13")
@pytest.mark.parametrize(("side", "prices"), [(Side.BUY, (2_115, 2_115)), (Side.SELL, (10, 505))])
def test_half_way_back_lies_inside_the_band_of_the_last_price(
    side: Side, prices: Sequence[int]
) -> None:
    """On the step too: the far edge of a cheap contract is rounded into the band."""
    state, position = ready_state(), a_position(side=side)
    now = state.now_ns = NOW + 120 * SECOND
    bid, ask = (9_000, 9_100) if side is Side.BUY else (5, 10)
    last = 118 if side is Side.BUY else 1_000
    tick = packet(last=last, bid=bid, ask=ask, volume=130, at=now, venue=now)
    state.quotes[CALL.id].take(tick)
    position.band_refused_at_ns = now
    found = []
    for position.band_refusals in range(2):
        found.append(closing.exit_price_paise(state, position))
    assert found == list(prices)


@pytest.mark.parametrize(("side", "edge"), [(Side.BUY, 7_200), (Side.SELL, 11_200)])
def test_the_band_lies_around_the_last_minutes_extreme(side: Side, edge: int) -> None:
    """For a sale the highest trade, for a purchase the lowest: the exchange may use either."""
    state, position = ready_state(), a_position(side=side)
    for volume, last in ((130, 12_000), (195, 8_000), (260, 10_000)):
        state.quotes[CALL.id].take(packet(last=last, volume=volume))
    position.ladder_step = len(LADDER_BPS)
    assert closing.exit_price_paise(state, position) == edge


@pytest.mark.proves("T16")
@pytest.mark.parametrize(
    ("side", "edge", "touch"), [(Side.BUY, 6_000, 9_890), (Side.SELL, 14_000, 9_910)]
)
def test_without_a_usable_price_the_exit_goes_to_the_edge(
    side: Side, edge: int, touch: int
) -> None:
    """A stale feed or an empty book; a fresh read of the quote is as good as the feed (T16)."""
    state, position = ready_state(), a_position(side=side)
    state.now_ns = NOW + 30 * SECOND
    assert closing.exit_price_paise(state, position) == edge
    read = packet(last=9_900, bid=9_890, ask=9_910, at=state.now_ns, venue=None)
    state.quotes[CALL.id].take_read(read)
    assert closing.exit_price_paise(state, position) == touch
    state.quotes[CALL.id].take(packet(bid=None, ask=None, at=state.now_ns, venue=state.now_ns))
    assert closing.exit_price_paise(state, position) == edge


def test_a_price_is_never_below_one_step() -> None:
    """A worthless option can still be sold."""
    state, position = ready_state(), a_position()
    state.quotes[CALL.id].take(packet(last=5, bid=5, ask=10, volume=130))
    state.now_ns += 120 * SECOND
    state.quotes[CALL.id].take(packet(last=5, bid=5, ask=10, at=state.now_ns, venue=state.now_ns))
    position.ladder_step = 4
    assert closing.exit_price_paise(state, position) == 5


@pytest.mark.parametrize(
    ("side", "prices"),
    [
        # the edge is 40 rupees from the last price: 20, 10, 5, 2.50, 1.25, 0.60 left
        (Side.BUY, (6_000, 8_000, 9_000, 9_500, 9_750, 9_875, 9_940, 9_940)),
        (Side.SELL, (14_000, 12_000, 11_000, 10_500, 10_250, 10_125, 10_060, 10_060)),
    ],
)
def test_each_refusal_by_the_band_halves_the_distance_to_the_last_price(
    side: Side, prices: Sequence[int]
) -> None:
    """Six times at most, and until the band can have moved (T13)."""
    state, position = ready_state(), a_position(side=side)
    position.ladder_step = len(LADDER_BPS)
    position.band_refused_at_ns = NOW
    found = []
    for position.band_refusals in range(len(prices)):
        found.append(closing.exit_price_paise(state, position))
    assert found == list(prices)
    state.now_ns = NOW + EDGE_AFTER_NS - 1
    assert closing.exit_price_paise(state, position) == prices[-1]
    state.now_ns = NOW + EDGE_AFTER_NS
    assert closing.exit_price_paise(state, position) == prices[0]


def test_a_refused_price_is_asked_again_at_the_same_rung() -> None:
    """The ladder goes deeper with time, not with refusals."""
    desk = a_desk()
    stop = working_exit(desk)
    desk.at(61).tick()
    assert desk.last(ModifyOrder).terms.limit_paise == 9_950
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.RATE)
    desk.at(61.9).forget()
    desk.at(62).tick()
    change = desk.last(ModifyOrder)
    assert change.terms.limit_paise == 9_950
    desk.row(stop.order_id, terms=change.terms)
    desk.at(63).tick()
    assert desk.last(ModifyOrder).terms.limit_paise == 9_900


@pytest.mark.proves("T7", "T16")
def test_at_the_bands_edge_the_exit_is_priced_twice_a_minute() -> None:
    """Only when the reference can have moved (T7); a price that would not change is not asked."""
    desk = a_desk()
    stop = working_exit(desk)
    desk.engine._state.positions[1].ladder_step = len(LADDER_BPS) - 1  # noqa: SLF001
    times = []
    for second in range(61, 190):
        desk.at(second).tick(last=100.0 + second / 10 if second > 70 else 100.0)
        for change in desk.all(ModifyOrder):
            times.append(second)
            desk.row(stop.order_id, terms=change.terms)
        desk.forget()
    assert times == [61, 91, 121, 151, 181]


def test_a_pricing_that_asks_nothing_sets_the_next_one() -> None:
    """No answer will come to remind us of it, nor does it wait for the sweep of each second."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(60.25)
    close(desk)
    desk.row(stop.order_id, terms=desk.last(ModifyOrder).terms)
    desk.state.positions[1].ladder_step = len(LADDER_BPS) - 1
    desk.at(61.25)
    desk.row(stop.order_id, terms=desk.last(ModifyOrder).terms)
    desk.at(91.249).forget()
    key = TimerKey(Rank.POSITION, 1, "price")
    for seconds in (91.25, 121.25):
        desk.at(seconds)
        assert desk.state.timers._at[key] == desk.now + EDGE_AFTER_NS  # noqa: SLF001
    assert asked(desk) == []


# -- the session


def test_outside_the_session_nothing_is_placed() -> None:
    """Neither a stop nor an exit; a closed market would refuse both."""
    desk = Desk()
    desk.at((CLOSE - OPEN) / SECOND - 1).spot()
    entry = desk.intend(Side.BUY)
    desk.at((CLOSE - OPEN) / SECOND)
    desk.forget()
    desk.fill(entry, price=100.0)
    assert desk.engine.open_positions == 1
    assert asked(desk) == []


def test_a_fill_that_must_not_be_kept_is_looked_at_at_once() -> None:
    """Bought while the account is being flattened: the rules run within the same instant."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.ask_operator(OperatorRequest.FLATTEN)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    assert desk.engine.deadline_ns == desk.now
    desk.at(60.000_001)
    assert [told.exit.rule for told in desk.told(ExitDecided)] == ["kill_switch"]


def test_a_read_quote_prices_an_exit_when_the_feed_is_silent() -> None:
    """The touch of the read, not the edge of a band around an old trade."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(90)
    read = Tick(at_ns=desk.now, instrument=CALL.id, last_paise=9_900, venue_at_ns=desk.now,
                volume=10_000, bids=((9_890, 650),), asks=((9_910, 650),))  # fmt: skip
    desk.tell(QuotesRead(at_ns=desk.now, quotes=(read,)))
    close(desk)
    assert desk.last(ModifyOrder).terms.limit_paise == 9_890
    assert desk.last(ModifyOrder).order_id == stop.order_id


# -- several orders close together (T23)

SMALL = replace(CALL, freeze_quantity=66)
"""A contract of which one lot is the most that one order may hold."""


def a_sliced_desk(freeze: int = 66, *, exit_by_modify: bool = True) -> Desk:
    """A minute into the day; the call is frozen at so much."""
    desk = Desk(ready=False, exit_by_modify=exit_by_modify)
    desk.load((NIFTY, replace(CALL, freeze_quantity=freeze), PUT))
    desk.at(60).spot()
    return desk


def sliced(desk: Desk, side: Side = Side.BUY) -> list[PlaceOrder]:
    """Three lots held, each bought by an order of its own; their stops, seen at the broker."""
    desk.intend(side, instrument=SMALL)
    for entry in desk.all(PlaceOrder):
        desk.fill(entry, price=100.0)
    stops = [order for order in desk.all(PlaceOrder) if order.purpose is Purpose.STOP]
    for stop in stops:
        desk.row(stop.order_id, terms=stop.terms)
    desk.forget()
    return stops


def test_an_entry_above_the_freeze_quantity_is_several_orders() -> None:
    """In one step, one id each, all taken back at the end of their life."""
    desk = a_sliced_desk()
    desk.intend(Side.BUY, instrument=SMALL)
    placed = desk.all(PlaceOrder)
    assert [(order.order_id[-10:], order.terms.quantity) for order in placed] == [
        ("-E0001-1-0", 65), ("-E0001-1-1", 65), ("-E0001-1-2", 65),
    ]  # fmt: skip
    for order in placed:
        desk.acknowledge(order.order_id)
    desk.forget()
    desk.at(65)
    assert asked(desk) == [(CancelOrder, order.order_id) for order in placed]
    for order in placed:
        ended(desk, order.order_id, order.terms)
    assert len(desk.told(EntryEnded)) == 1


@pytest.mark.proves("T23")
def test_each_lot_above_the_freeze_has_a_stop_of_its_own() -> None:
    """None enlarged beyond it, no id used twice; together they protect."""
    desk = a_sliced_desk()
    stops = sliced(desk)
    assert [(stop.order_id[-10:], stop.terms.quantity) for stop in stops] == [
        ("-S0001-1-0", 65), ("-S0001-2-0", 65), ("-S0001-3-0", 65),
    ]  # fmt: skip
    assert desk.state.positions[1].verified
    told = desk.told(ProtectionVerified)
    assert told == []  # forgotten with the beginning


@pytest.mark.proves("T23")
def test_what_is_bought_at_once_is_protected_by_slices_of_one_attempt() -> None:
    """In one step; each is verified by its own row, the position by all of them."""
    desk = a_sliced_desk()
    entry = desk.intend(Side.BUY, instrument=replace(CALL, freeze_quantity=1_801))
    desk.state.positions[1].instrument = SMALL
    desk.forget()
    desk.fill(entry, price=100.0)
    stops = desk.all(PlaceOrder)
    ends = [stop.order_id[-4:] for stop in stops]
    assert ends == ["-1-0", "-1-1", "-1-2"]
    for stop in stops:
        assert not desk.state.positions[1].verified
        desk.row(stop.order_id, terms=stop.terms)
    assert [told.quantity for told in desk.told(ProtectionVerified)] == [65, 65, 65]


@pytest.mark.proves("T23", "I-48")
def test_an_exit_changes_every_slice_in_one_step() -> None:
    """At one price; one that is refused is replaced by itself, and the others go on."""
    desk = a_sliced_desk()
    stops = sliced(desk)
    close(desk)
    changes = desk.all(ModifyOrder)
    assert [change.order_id for change in changes] == [stop.order_id for stop in stops]
    assert len({(change.terms.limit_paise, change.terms.quantity) for change in changes}) == 1
    desk.forget()
    desk.row(stops[0].order_id, BrokerStatus.FILLED, terms=changes[0].terms, filled=65, price=99.0)
    desk.fail(stops[1].order_id, Action.MODIFY, Outcome.REFUSED, Refusal.OTHER)
    assert asked(desk) == [(CancelOrder, stops[1].order_id)]
    ended(desk, stops[1].order_id, stops[1].terms)
    [(kind, identity)] = asked(desk)
    assert (kind, identity) == (PlaceOrder, exit_of(stops[0]))
    terms = desk.state.orders[identity].terms
    assert terms.quantity == 65
    desk.row(identity, BrokerStatus.FILLED, terms=terms, filled=65, price=98.0)
    assert desk.told(PositionClosed) == []
    desk.row(stops[2].order_id, BrokerStatus.FILLED, terms=changes[2].terms, filled=65, price=97.0)
    [told] = desk.told(PositionClosed)
    assert told.exit_value_paise == 65 * (9_900 + 9_800 + 9_700)


@pytest.mark.proves("T23", "T13")
def test_slices_that_are_refused_together_pause_once() -> None:
    """Three noes to what was asked in one step are one: none waits for the noes of the others."""
    desk = a_sliced_desk()
    stops = sliced(desk)
    close(desk)
    desk.at(60.2).forget()
    for stop in stops:
        desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.RATE)
    assert desk.state.positions[1].refusals == 1
    desk.at(61.2)
    assert asked(desk) == [(ModifyOrder, stop.order_id) for stop in stops]


def test_a_no_to_what_was_asked_before_the_exit_was_decided_is_its_first() -> None:
    """The count began anew with the decision: the pause is the shortest, and nothing raises."""
    desk = a_sliced_desk()
    stops = sliced(desk)
    position = desk.state.positions[1]
    desk.at(70).tick()
    position.refused_at_ns = desk.now
    close(desk)
    desk.fail(stops[0].order_id, Action.CANCEL, Outcome.REFUSED, Refusal.RATE)
    assert position.refusals == 1


@pytest.mark.proves("T23", "T7")
def test_slices_are_priced_together_on_one_ladder() -> None:
    """One rung deeper each time, however many they are."""
    desk = a_sliced_desk()
    stops = sliced(desk)
    close(desk)
    for change in desk.all(ModifyOrder):
        desk.row(change.order_id, terms=change.terms)
    desk.forget()
    desk.at(61).tick()
    changes = desk.all(ModifyOrder)
    assert [change.order_id for change in changes] == [stop.order_id for stop in stops]
    assert {change.terms.limit_paise for change in changes} == {9_950}
    assert desk.state.positions[1].ladder_step == 1


def test_a_slice_that_triggers_takes_the_others_with_it() -> None:
    """The stop is the exit (T2): what has not triggered is changed in the same step."""
    desk = a_sliced_desk()
    stops = sliced(desk)
    released = replace(stops[0].terms, order_type=OrderType.LIMIT, trigger_paise=None)
    desk.at(61).tick()
    desk.forget()
    desk.row(stops[0].order_id, BrokerStatus.TRIGGERED, terms=released)
    assert asked(desk) == [(ModifyOrder, stop.order_id) for stop in stops[1:]]


def test_a_late_fill_enlarges_the_last_slice_then_opens_the_next() -> None:
    """Up to the largest allowed size, filled part included (T23)."""
    desk = a_sliced_desk(freeze=131)
    contract = replace(CALL, freeze_quantity=131)
    desk.intend(Side.BUY, instrument=contract)
    first, second = desk.all(PlaceOrder)
    assert (first.terms.quantity, second.terms.quantity) == (130, 65)
    desk.acknowledge(first.order_id)
    desk.fill(first, quantity=65, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.row(stop.order_id, terms=stop.terms)
    desk.forget()
    desk.fill(first, quantity=130, price=100.0)
    assert desk.last(ModifyOrder).terms.quantity == 130
    desk.row(stop.order_id, terms=desk.last(ModifyOrder).terms)
    desk.forget()
    desk.fill(second, price=100.0)
    assert asked(desk) == [(PlaceOrder, stop.order_id[:-3] + "2-0")]


@SIDES
def test_more_slices_than_an_attempt_names_take_the_next_attempt(side: Side) -> None:
    """An exit is never denied, however many it needs (T23)."""
    desk = a_sliced_desk()
    contract = replace(CALL, freeze_quantity=1_801)
    entry = desk.intend(side, instrument=contract, quantity=12 * 65)
    desk.state.positions[1].instrument = SMALL
    close(desk)
    desk.forget()
    desk.fill(entry, price=100.0)
    ids = [order.order_id[-10:] for order in desk.all(PlaceOrder)]
    assert ids == [*(f"-X0001-1-{n}" for n in range(10)), "-X0001-2-0", "-X0001-2-1"]
    assert desk.state.positions[1].exit_attempts == 2


# -- the ration of a key (T4)


@pytest.mark.proves("T4", "I-42")
def test_two_positions_in_one_contract_never_offer_more_than_both_hold() -> None:
    """Each closes its own; the sum is what the broker nets."""
    desk = a_desk()
    desk.hold_by_hand(Side.BUY)
    desk.hold_by_hand(Side.BUY)
    state, key = desk.state, desk.state.positions[1].key
    assert ration.could_close(state, key, Side.SELL) == 390
    assert ration.room(state, key, Side.SELL) == 0
    state.positions[2].missing = 65
    assert ration.room(state, key, Side.SELL) == -65
    assert ration.room(state, key, Side.BUY) == 0


@pytest.mark.proves("T4")
def test_what_is_missing_at_the_broker_is_cut_from_the_stop() -> None:
    """The local rule covers what our fills say is there besides."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    position = desk.state.positions[1]
    position.missing = 130
    desk.forget()
    desk.at(61).tick()
    closing.tend(desk.state, position)
    assert desk.state.orders[stop.order_id].terms.quantity == 65


@pytest.mark.proves("T4", "T21")
def test_an_excess_of_one_position_has_closed_what_the_youngest_holds() -> None:
    """The broker nets both and holds neither: nothing is bought back, nothing offered for it."""
    desk = a_desk()
    stop = working_exit(desk)
    second, third = desk.hold_by_hand(Side.BUY), desk.hold_by_hand(Side.BUY)
    terms = desk.state.orders[stop.order_id].terms
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=terms, filled=195, price=100.0)
    desk.at(61).tick()
    desk.forget()
    desk.row(
        stop.order_id,
        BrokerStatus.FILLED,
        terms=replace(terms, quantity=260),
        filled=260,
        price=100.0,
    )
    desk.at(62).tick()
    assert desk.all(PlaceOrder) == []
    assert [desk.state.positions[one].holding.quantity for one in (1, 2, 3)] == [0, 195, 130]
    assert desk.state.positions[1].is_closed
    assert desk.state.orders[third.order_id].terms.quantity == 130
    assert desk.state.orders[second.order_id].terms.quantity == 195


@pytest.mark.proves("T4")
def test_more_on_offer_than_is_held_halts_entries_and_is_told_once() -> None:
    """The runtime check: a row shows an order of ours larger than what is held."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(61).tick()
    desk.forget()
    desk.row(stop.order_id, terms=replace(stop.terms, quantity=260))
    whats = [told.what for told in desk.told(Anomaly)]
    assert whats[-1] == "closing orders could fill more than is held"
    assert desk.engine.halt is HaltLevel.PAUSE
    assert desk.last(ModifyOrder).terms.quantity == 195
    desk.at(62).tick()
    assert [told.what for told in desk.told(Anomaly)] == whats
    desk.row(stop.order_id, terms=stop.terms)
    assert desk.state.over_offered == set()


def test_what_comes_back_to_life_joins_only_where_there_is_room() -> None:
    """A dead slice beside its living sibling is a closer again; beside its successor it is not."""
    desk = a_sliced_desk()
    stops = sliced(desk)
    close(desk)
    desk.fail(stops[0].order_id, Action.PLACE, Outcome.REFUSED, Refusal.IP)
    position = desk.state.positions[1]
    dead = desk.state.orders[stops[0].order_id]
    dead.state = OrderState.REJECTED
    position.closers = [stop.order_id for stop in stops[1:]]
    dead.state = OrderState.UNKNOWN
    closing.take_revival(desk.state, position, dead)
    assert (position.closers[-1], position.strays) == (dead.name, [])
    position.closers.remove(dead.name)
    more = desk.state.orders[stops[1].order_id]
    more.most_quantity = 130
    closing.take_revival(desk.state, position, dead)
    assert position.strays == [dead.name]


# -- what was outdated while it waited


@pytest.mark.proves("GWL-4", "PLC-7")
@pytest.mark.parametrize("action", [Action.PLACE, Action.MODIFY])
def test_what_fills_have_outdated_is_decided_anew(action: Action) -> None:
    """It never left: no refusal, no pause, no call; what is wanted now leaves in the same step."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, quantity=65, price=100.0)
    stop = desk.last(PlaceOrder)
    if action is Action.MODIFY:
        desk.row(stop.order_id, terms=stop.terms)
    desk.fill(entry, quantity=130, price=100.0)
    desk.forget()
    failed = SendFailed(
        at_ns=desk.now,
        order_id=stop.order_id,
        action=action,
        outcome=Outcome.NOT_SENT,
        is_outdated=True,
    )
    desk.tell(failed)
    requests = [one for one in desk.commands if isinstance(one, PlaceOrder | ModifyOrder)]
    [request] = requests
    assert isinstance(request, PlaceOrder if action is Action.PLACE else ModifyOrder)
    assert request.terms.quantity == 130
    assert request.fills_seen == 2
    assert desk.all(Notify) == []
    assert desk.state.positions[1].refusals == 0


@pytest.mark.proves("T3")
def test_a_row_is_read_once_the_line_is_quiet() -> None:
    """A modification overtook another: the older one may have come last (T3)."""
    desk = a_desk()
    stop = trailing(desk)
    close(desk)
    change = desk.last(ModifyOrder)
    desk.row(stop.order_id, terms=change.terms)
    order = desk.state.orders[stop.order_id]
    assert order.unseen == 2
    position = desk.state.positions[1]
    position.reprice_at_ns = desk.now + 60 * SECOND
    desk.at(70.9).forget()
    desk.at(71)
    assert FindOrder in {type(command) for command in desk.commands}
    desk.row(stop.order_id, terms=change.terms, is_read=True)
    assert order.unseen == 2, "it may still come"
    desk.at(74)
    desk.row(stop.order_id, terms=change.terms, is_read=True)
    assert order.unseen == 0


@pytest.mark.proves("T7")
def test_only_a_move_of_the_stop_is_ordinary() -> None:
    """An exit, and a change of quantity, go before what trails; each tells the fills it knows."""
    desk = a_desk()
    trailing_stop = desk.hold_by_hand(Side.BUY, trail=exits.TRAIL)
    desk.at(70).tick(last=110.0, bid=110.0)
    move = desk.last(ModifyOrder)
    assert (move.is_ordinary, move.position, move.fills_seen) == (True, 1, 1)
    close(desk)
    change = desk.last(ModifyOrder)
    assert change.order_id == trailing_stop.order_id
    assert (change.is_ordinary, change.position, change.fills_seen) == (False, 1, 1)


# -- again and again


@pytest.mark.proves("EXE-2")
def test_one_exit_asked_for_a_thousand_times_is_one_request() -> None:
    """Whoever asks, and whatever state the stop is in meanwhile."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.forget()
    for _ in range(500):
        desk.ask_operator(OperatorRequest.CLOSE, position=1)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]
    ended(desk, stop.order_id, stop.terms)
    for _ in range(500):
        desk.ask_operator(OperatorRequest.CLOSE, position=1)
    assert asked(desk) == [(PlaceOrder, exit_of(stop))]


@pytest.mark.proves("OUP-5", "I-40")
def test_a_fill_heard_before_the_answer_to_its_placement_counts() -> None:
    """The update overtakes the number: matched by our id."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.fill(entry, price=100.0)
    assert desk.engine.open_positions == 1
    desk.acknowledge(entry.order_id)
    stop = desk.last(PlaceOrder)
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=stop.terms, filled=195, price=88.0)
    desk.acknowledge(stop.order_id)
    assert [told.quantity for told in desk.told(PositionClosed)] == [195]


@pytest.mark.proves("T8")
def test_an_exit_and_a_stop_have_the_product_of_the_entry() -> None:
    """A sale in another product would be a new short."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.state.positions[1].key = desk.state.positions[1].key._replace(product=Product.MARGIN)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    stop = desk.last(PlaceOrder)
    ended(desk, stop.order_id, stop.terms)
    close(desk)
    assert {stop.terms.product, desk.last(PlaceOrder).terms.product} == {Product.MARGIN}
