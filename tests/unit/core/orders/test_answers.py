"""What the broker says, folded into orders, positions and the ledger: the money always counts."""

import pytest
from msgspec.structs import replace

from holdfast.core.books.postings import Account
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import (
    Anomaly,
    EntryEnded,
    EntryFilled,
    ExitDecided,
    PositionClosed,
    PositionOpened,
)
from holdfast.domain.command import FindOrder, ModifyOrder, Notify, PlaceOrder, ReadFunds
from holdfast.domain.event import Action, OperatorRequest, Outcome, SendFailed
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderState,
    OrderType,
    Purpose,
    Refusal,
    Side,
)
from tests.support.desk import CALL, OPEN, SECOND, Desk

SIDES = pytest.mark.parametrize("side", Side)


def a_desk() -> Desk:
    """A minute into the day, the index just seen."""
    desk = Desk()
    desk.at(60).spot()
    return desk


def state_of(desk: Desk, order: PlaceOrder) -> OrderState:
    """Where the engine believes an order to be."""
    return desk.engine._state.orders[order.order_id].state  # noqa: SLF001


STRANGER = OrderId("SSIM001261120-S0009-1-0")


def test_words_about_orders_that_are_not_ours_change_nothing() -> None:
    """An answer, a failure and a row: each is an alarm that names the order."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.forget()
    desk.acknowledge(STRANGER)
    desk.fail(STRANGER, Action.PLACE, Outcome.REFUSED)
    desk.row(STRANGER, BrokerStatus.FILLED, terms=stop.terms, filled=195, price=1.0)
    assert [(told.what, told.values) for told in desk.told(Anomaly)] == [
        (f"{what} for an order that is not ours", {"order": STRANGER})
        for what in ("acknowledgement", "failed request", "order row")
    ]
    assert desk.engine.live_orders == (stop.order_id,)


# -- fills


@pytest.mark.proves("OUP-2", "I-27", "I-50")
@SIDES
def test_fills_move_the_position_the_ledger_and_the_charges(side: Side) -> None:
    """Brokerage once an order, taxes by side, and postings that sum to the cash that moved."""
    desk = a_desk()
    entry = desk.intend(side)
    desk.acknowledge(entry.order_id)
    desk.forget()
    desk.fill(entry, quantity=65, price=100.0)
    desk.fill(entry, price=101.0)
    assert [(told.quantity, told.value_paise) for told in desk.told(EntryFilled)] == [
        (65, 650_000),
        (195, 1_969_500),
    ]
    assert len(desk.all(ReadFunds)) == 2, "free cash is read after each fill (T19)"
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.row(stop.order_id, terms=replace(stop.terms, quantity=195))
    state = desk.engine._state  # noqa: SLF001
    assert state.fills == 2
    assert state.day.trades == 1
    position = state.positions[1]
    assert position.charges.brokerage_e4 == 2_000 * 10_000
    assert (position.charges.stt_e4 > 0) is (side is Side.SELL)
    assert (position.charges.stamp_e4 > 0) is (side is Side.BUY)
    charges_e4 = position.charges.total_e4
    cash_e4 = -side.sign * 1_969_500 * 10_000 - charges_e4
    assert state.ledger.balance_e4(Account.CASH) == cash_e4
    assert state.ledger.balance_e4(Account.PREMIUM) == side.sign * 1_969_500 * 10_000
    desk.ask_operator(OperatorRequest.CLOSE, position=1)
    terms = desk.last(ModifyOrder).terms
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=terms, filled=195, price=99.0)
    [closed] = desk.told(PositionClosed)
    gross = -side.sign * (1_969_500 - 195 * 9_900)
    assert (closed.gross_paise, closed.charges["brokerage"]) == (gross, 4_000)
    assert closed.net_paise == gross - sum(closed.charges.values())
    assert (closed.entry_value_paise, closed.exit_value_paise) == (1_969_500, 195 * 9_900)
    assert state.ledger.balance_e4(Account.REALISED) == -gross * 10_000
    assert state.ledger.balance_e4(Account.PREMIUM) == 0
    assert state.day.realised_net_paise == closed.net_paise
    assert state.live == []
    assert state.held[CALL.id] == []


def test_the_first_fill_opens_the_position_and_starts_its_clocks() -> None:
    """Once, at the exchange's time; the rules look at it from then on every second."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.at(60.5).forget()
    state = desk.engine._state  # noqa: SLF001
    for filled in (65, 130):
        row = OrderRow(
            order_id=entry.order_id,
            broker_id=BrokerOrderId("B"),
            status=BrokerStatus.WORKING,
            terms=entry.terms,
            filled_quantity=filled,
            filled_value_paise=filled * 10_000,
            venue_at_ns=OPEN + 60 * SECOND + filled,
        )
        desk.tell_row(row)
        assert state.timers._at[TimerKey(Rank.SWEEP)] == desk.now + SECOND  # noqa: SLF001
    [opened] = desk.told(PositionOpened)
    assert opened.venue_at_ns == OPEN + 60 * SECOND + 65
    position = state.positions[1]
    assert position.stop_missing_since_ns == position.opened_at_ns == opened.venue_at_ns
    assert position.unprotected_ns == desk.now - opened.venue_at_ns, "until we heard of it"
    assert position.evaluated_at_ns == desk.now
    assert state.live_net_paise == -position.charges.total_paise


@pytest.mark.parametrize("when", ["halted", "lost", "late"])
def test_a_fill_that_must_go_out_again_is_looked_at_in_the_same_instant(when: str) -> None:
    """Flattening, the day's loss reached, or after the close-out: not a second later."""
    desk = Desk()
    desk.at(6 * 3600 - 1).spot()
    entry = desk.intend(Side.BUY)
    state = desk.engine._state  # noqa: SLF001
    if when == "halted":
        desk.ask_operator(OperatorRequest.PANIC)
    elif when == "lost":
        state.loss.is_confirmed = True
    else:
        desk.at(6 * 3600)
    desk.fill(entry, price=100.0)
    assert desk.engine.deadline_ns == desk.now


def test_a_pause_lets_what_was_bought_be_held() -> None:
    """The rules look a second later, and find nothing wrong."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.ask_operator(OperatorRequest.PAUSE)
    desk.fill(entry, price=100.0)
    desk.at(63)
    assert desk.told(ExitDecided) == []


# -- triggers


@pytest.mark.parametrize(
    ("status", "is_limit", "filled"),
    [(BrokerStatus.TRIGGERED, False, 0), (BrokerStatus.WORKING, True, 0),
     (BrokerStatus.WORKING, False, 65)],
)  # fmt: skip
def test_a_stop_that_was_released_is_the_exit(
    status: BrokerStatus, filled: int, *, is_limit: bool
) -> None:
    """By its word, its type or a fill; it is left alone for a second (T2)."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    terms = stop.terms
    if is_limit:
        terms = replace(terms, order_type=OrderType.LIMIT, trigger_paise=None)
    desk.at(70).tick()
    desk.row(stop.order_id, status, terms=terms, filled=filled, price=88.0)
    [told] = desk.told(ExitDecided)
    assert (told.exit.rule, told.exit.level_paise) == ("stop_loss", 8_800)
    assert told.exit.values == {"by": "resting stop"}
    position = desk.engine._state.positions[1]  # noqa: SLF001
    assert position.exit_at_ns == desk.now


def test_an_entry_that_fills_triggers_nothing() -> None:
    """It is a limit order from the start, and no stop."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.fill(entry, quantity=65, price=100.0)
    assert desk.told(ExitDecided) == []


# -- failures


def test_a_failed_search_changes_nothing_and_asks_nothing() -> None:
    """The placement's own answer is still to come, and is understood when it does."""
    desk = a_desk()
    desk.intend(Side.BUY)
    entry = desk.last(PlaceOrder)
    desk.at(61.2).forget()
    desk.fail(entry.order_id, Action.FIND, Outcome.UNANSWERED)
    assert desk.commands == []
    assert state_of(desk, entry) is OrderState.SENT
    desk.fail(entry.order_id, Action.PLACE, Outcome.REFUSED, Refusal.FUNDS)
    assert [told.reason for told in desk.told(EntryEnded)] == ["test says refused"]


def test_a_no_that_comes_after_the_end_is_not_heard() -> None:
    """Filled and closed: the late refusal of a modification asks nothing."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.ask_operator(OperatorRequest.CLOSE, position=1)
    terms = desk.last(ModifyOrder).terms
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=terms, filled=195, price=99.0)
    desk.forget()
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.OTHER)
    assert (desk.commands, desk.audits) == ([], [])


def test_a_placement_refused_that_the_broker_has_taken_is_looked_for() -> None:
    """Two answers that cannot both be true: an alarm, and the row decides."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.forget()
    desk.fail(stop.order_id, Action.PLACE, Outcome.REFUSED, Refusal.OTHER)
    assert [type(c) for c in desk.commands if not isinstance(c, Notify)] == [FindOrder]
    assert [told.what for told in desk.told(Anomaly)] == ["the broker contradicts itself"]
    desk.at(61)
    assert desk.all(PlaceOrder) == [], "it may live"
    desk.row(stop.order_id, terms=stop.terms, is_read=True)
    assert state_of(desk, stop) is OrderState.WORKING
    desk.at(62).forget()
    desk.row(stop.order_id, terms=stop.terms)
    assert desk.told(Anomaly) == [], "told once"


def test_an_entry_refused_for_lack_of_funds_ends_its_position() -> None:
    """With the broker's words; without words, with the state's name."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.row(entry.order_id, BrokerStatus.REJECTED, terms=entry.terms)
    assert [told.reason for told in desk.told(EntryEnded)] == ["rejected"]
    assert desk.told(PositionClosed) == []
    assert desk.engine._state.live == []  # noqa: SLF001


# -- questions


def test_a_question_is_asked_at_once_and_again_after_half_a_second() -> None:
    """An answer that leaves it open is not asked for at once again."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.UNKNOWN, terms=stop.terms)
    assert [type(c) for c in desk.commands] == [FindOrder]
    for _ in range(5):
        desk.row(stop.order_id, BrokerStatus.UNKNOWN, terms=stop.terms, is_read=True)
    assert len(desk.all(FindOrder)) == 1
    desk.at(60.5)
    assert len(desk.all(FindOrder)) == 2


def test_a_read_that_puts_an_order_in_question_is_asked_again() -> None:
    """Nobody had been waiting for it; half a second later somebody looks."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.row(stop.order_id, BrokerStatus.UNKNOWN, terms=stop.terms, is_read=True)
    desk.at(60.499).forget()
    assert desk.all(FindOrder) == []
    desk.at(60.5)
    assert [find.order_id for find in desk.all(FindOrder)] == [stop.order_id]


def test_a_settled_order_is_watched_no_more() -> None:
    """Its row has answered: no search follows, but the poll of every living order (T9)."""
    desk = a_desk()
    desk.hold_by_hand(Side.BUY)
    desk.forget()
    desk.at(75).tick()
    assert [find for find in desk.all(FindOrder) if not find.is_poll] == []


def test_refusals_in_a_row_end_with_progress() -> None:
    """A fill, or five seconds at rest, and the next no is a first one."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    position = desk.engine._state.positions[1]  # noqa: SLF001
    for at, filled, expected in ((64.999, 0, 3), (65, 0, 0), (66, 65, 0)):
        position.refusals = position.deaths = 3
        if filled:
            desk.engine._state.orders[stop.order_id].sent_at_ns = desk.now + SECOND  # noqa: SLF001
        desk.at(at).row(stop.order_id, terms=stop.terms, filled=filled, price=88.0)
        assert (position.refusals, position.deaths) == (expected, expected)


# -- ends


@pytest.mark.proves("OUP-4", "I-29", "I-38")
def test_a_position_ends_when_nothing_of_it_can_fill() -> None:
    """Flat, but its entry lives: not yet. Its timers go with it."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, quantity=65, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=stop.terms, filled=65, price=88.0)
    assert desk.told(PositionClosed) == []
    assert desk.engine.open_positions == 0
    desk.row(entry.order_id, BrokerStatus.CANCELLED, terms=entry.terms, filled=65, price=100.0,
             is_read=True)  # fmt: skip
    [closed] = desk.told(PositionClosed)
    assert (closed.rule, closed.opened_at_ns, closed.closed_at_ns) == (
        "stop_loss",
        OPEN + 60 * SECOND,
        OPEN + 60 * SECOND,
    )
    keys = desk.engine._state.timers._at  # noqa: SLF001
    assert not [key for key in keys if key.rank in (Rank.POSITION, Rank.ORDER)]
    signal = desk.engine._state.positions[1].intent.signal  # noqa: SLF001
    assert desk.engine._state.day.last_exit_ns == {  # noqa: SLF001
        (signal.underlying, signal.direction): desk.now
    }


def test_positions_stay_in_the_order_of_their_numbers() -> None:
    """Also when one that had ended comes alive: the books are walked in key order."""
    desk = a_desk()
    first = desk.intend(Side.BUY)
    desk.fail(first.order_id, Action.PLACE, Outcome.REFUSED, Refusal.OTHER)
    desk.hold_by_hand(Side.BUY)
    desk.fill(first, price=100.0)
    state = desk.engine._state  # noqa: SLF001
    assert [position.number for position in state.live] == [1, 2]
    assert desk.last(PlaceOrder).purpose is Purpose.STOP
    assert state.day.trades == 2


@pytest.mark.proves("GWL-4")
def test_what_never_left_because_fills_came_is_asked_anew_in_the_same_step() -> None:
    """No pause, no alarm, no refusal counted: nobody said no, the exit goes on with what is held."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.breach(70)
    first = desk.last(ModifyOrder)
    desk.forget()
    desk.at(70.2)
    desk.tell(
        SendFailed(
            at_ns=desk.now,
            order_id=stop.order_id,
            action=Action.MODIFY,
            outcome=Outcome.NOT_SENT,
            is_outdated=True,
        )
    )
    assert desk.last(ModifyOrder).order_id == first.order_id
    assert desk.all(Notify) == []
    assert desk.state.positions[1].refusals == 0


@pytest.mark.proves("GWL-4")
def test_a_closing_order_that_never_left_because_fills_came_is_placed_anew_at_once() -> None:
    """Under the next attempt: an id is never used twice."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.forget()
    desk.at(60.4)
    desk.tell(
        SendFailed(
            at_ns=desk.now,
            order_id=stop.order_id,
            action=Action.PLACE,
            outcome=Outcome.NOT_SENT,
            is_outdated=True,
        )
    )
    again = desk.last(PlaceOrder)
    assert (again.purpose, again.terms) == (Purpose.STOP, stop.terms)
    assert again.order_id != stop.order_id
    assert desk.all(Notify) == []


@pytest.mark.proves("RSK-4")
def test_what_fills_on_after_it_was_flat_is_looked_at_at_once() -> None:
    """Its stop had closed the first part; nobody had come to look at it since."""
    desk = Desk()
    desk.at(60).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, quantity=65, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    released = replace(stop.terms, order_type=OrderType.LIMIT, trigger_paise=None)
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=released, filled=65, price=88.0)
    assert desk.engine.open_positions == 0
    desk.at(75)
    desk.fill(entry, quantity=130, price=100.0)
    assert desk.engine.open_positions == 1
    desk.at(75.001)
    assert desk.engine.evaluated_ns == OPEN + 75 * SECOND
