"""Over the night: what a day leaves open, and how the next one begins with it (T24)."""

from collections.abc import Mapping

import msgspec
import pytest

from holdfast.core import carrying
from holdfast.core.books.postings import Account
from holdfast.core.engine import Engine
from holdfast.domain.audit import (
    Anomaly,
    Drift,
    ExitDecided,
    PositionClosed,
    PositionResumed,
    ProtectionVerified,
    SelfTested,
)
from holdfast.domain.command import ModifyOrder, Notify, PlaceOrder, ReadBook
from holdfast.domain.decision import Exit, Trail
from holdfast.domain.event import CARRIED, OperatorRequest, PositionCarried, ReadFailed
from holdfast.domain.instrument import Instrument
from holdfast.domain.order import BrokerStatus, OrderType, Purpose, Refusal, Side
from tests.support.desk import CALL, CLOSE, DAY, NIFTY, OPEN, PUT, SECOND, Desk, settings

BEFORE = "2026-11-19"
LATE_S = (CLOSE - OPEN) // SECOND


def left(side: Side = Side.BUY, *, trail: Trail | None = None) -> PositionCarried:
    """What the day before has left: 195 calls at 100 rupees, the stop 12 away, nothing decided."""
    desk = Desk(day=BEFORE, id_prefix="SSIM001261119")
    desk.at(60).hold_by_hand(side, trail=trail)
    if trail is not None:
        desk.at(61).tick(last=130.0)
    (one,) = desk.engine.left_over
    assert one.exit is None
    return one


def next_day(
    *carried: PositionCarried,
    nets: Mapping[Instrument, int] | None = None,
    instruments: tuple[Instrument, ...] = (NIFTY, CALL, PUT),
    at_s: int = -600,
) -> Desk:
    """The next day, ten minutes before the opening: the book was read and shows what is carried."""
    desk = Desk(ready=False)
    desk.now = OPEN + at_s * SECOND
    held = sum(one.quantity for one in carried)
    desk.load(instruments, carried=carried, nets={CALL: held} if nets is None else nets)
    return desk


def carried(**changes: object) -> PositionCarried:
    """What was left, but for what is changed."""
    return msgspec.structs.replace(left(), **changes)


@pytest.mark.proves("T24")
def test_what_is_left_is_the_holding_with_its_plan_and_its_level() -> None:
    """Contracts, their cost, the stop in force with its peak, the day: all that a day can be told."""
    one = left(trail=Trail(arm_paise=11_000, giveback_bps=1_000))
    assert (one.day, one.opened_day, one.intent.position) == (BEFORE, BEFORE, 1)
    assert (one.quantity, one.cost_paise) == (195, 195 * 10_000)
    assert (one.stop_paise, one.peak_paise) == (11_695, 12_995)
    assert one.intent.plan.stop_paise == 8_800


@pytest.mark.proves("T24")
def test_a_close_out_that_failed_leaves_its_decision_with_the_position() -> None:
    """Through the last minutes to the close: what nobody bought is left, and its decision is told."""
    desk = Desk(day=BEFORE, id_prefix="SSIM001261119")
    desk.at(LATE_S - 2)
    entry = desk.intend(Side.BUY)  # its close-out was at 15:15
    desk.fill(entry, price=100.0)
    exit_ = desk.last(PlaceOrder)
    desk.at(LATE_S + 1)
    desk.row(exit_.order_id, BrokerStatus.EXPIRED, terms=exit_.terms)
    (one,) = desk.engine.left_over
    assert one.quantity == 195
    assert one.exit is not None
    assert one.exit.rule == "close_out"


@pytest.mark.proves("T24")
def test_the_next_day_holds_it_under_a_number_of_its_own() -> None:
    """Its contracts, cost, level and peak are those of before, its number and close-out today's."""
    desk = next_day(carried(intent=msgspec.structs.replace(left().intent, position=7)))
    (position,) = desk.state.live
    assert position.number == 1
    assert position.intent.position == 1
    assert position.holding == (195, 1_950_000)
    assert position.stop_paise == 8_800
    assert OPEN < position.plan.close_out_ns < CLOSE
    assert position.entries == []
    (resumed,) = desk.told(PositionResumed)
    assert (resumed.day, resumed.earlier, resumed.quantity) == (BEFORE, 7, 195)
    assert any("carried from 2026-11-19" in one.text for one in desk.all(Notify))


@pytest.mark.proves("T24")
def test_it_is_no_difference_with_the_broker() -> None:
    """The broker's net holds what is carried: nothing bars, nobody is called."""
    desk = next_day(carried())
    assert desk.told(Drift) == []
    assert desk.state.drifts == {}
    assert desk.engine.is_book_settled


@pytest.mark.proves("T24")
@pytest.mark.parametrize("theirs", [0, 65, -65, 260])
def test_what_the_broker_does_not_hold_of_it_is_a_difference(theirs: int) -> None:
    """Less, nothing, the other side, more: the broker's net decides as for any other position."""
    desk = next_day(carried(), nets={CALL: theirs})
    (drift, *_) = desk.told(Drift)
    assert (drift.ours, drift.theirs) == (195, theirs)


@pytest.mark.proves("T24")
def test_its_stop_is_placed_in_the_first_second_of_trading() -> None:
    """Not before the exchange opens, whatever is told; at its opening, before any price."""
    desk = next_day(carried())
    desk.at(-0.001)
    assert desk.all(PlaceOrder) == []
    desk.at(0)
    (stop,) = desk.all(PlaceOrder)
    assert stop.order_id == "SSIM001261120-S0001-1-0"
    assert (stop.terms.order_type, stop.terms.side) == (OrderType.STOP_LIMIT, Side.SELL)
    assert (stop.terms.quantity, stop.terms.trigger_paise) == (195, 8_800)
    assert stop.terms.product is desk.state.positions[1].key.product
    desk.acknowledge(stop.order_id)
    desk.row(stop.order_id, terms=stop.terms)
    assert len(desk.told(ProtectionVerified)) == 1


@pytest.mark.proves("T24", "T21")
def test_nothing_is_placed_before_the_book_was_read() -> None:
    """The opening comes first: the stop waits for the read, and leaves with it."""
    desk = Desk(ready=False)
    desk.now = OPEN - 5 * SECOND
    desk.begin(carried=(carried(),))
    desk.at(1).tick(last=100.0)
    assert desk.all(PlaceOrder) == []
    desk.book(nets={CALL: 195})
    desk.at(2).book(nets={CALL: 195})
    assert [one.purpose for one in desk.all(PlaceOrder)] == [Purpose.STOP]


@pytest.mark.proves("T24")
def test_an_open_beyond_the_stop_closes_it() -> None:
    """The first trades are below the level: the stop that just left becomes the exit, or is one."""
    desk = next_day(carried())
    desk.at(0)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.row(stop.order_id, terms=stop.terms)
    desk.at(0.2).tick(last=60.0, bid=59.9, ask=60.1)
    desk.at(0.4).tick(last=60.0, bid=59.9, ask=60.1)
    (decided,) = desk.told(ExitDecided)
    assert decided.exit.rule == "stop_loss"
    exit_ = desk.last(ModifyOrder)
    assert exit_.terms.order_type is OrderType.LIMIT
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=exit_.terms, filled=195, price=59.9)
    (closed,) = desk.told(PositionClosed)
    assert (closed.quantity, closed.entry_value_paise) == (195, 1_950_000)
    assert closed.gross_paise == 195 * (5_990 - 10_000)
    assert closed.net_paise == closed.gross_paise - sum(closed.charges.values())


@pytest.mark.proves("T24", "T13")
def test_a_stop_refused_at_the_open_as_passed_closes_it() -> None:
    """The exchange says that the price is beyond the trigger: that is the exit, in this step."""
    desk = next_day(carried())
    desk.at(0)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.at(0.2).tick(last=60.0, bid=59.9, ask=60.1)
    desk.row(
        stop.order_id,
        BrokerStatus.REJECTED,
        terms=stop.terms,
        refusal=Refusal.BEYOND_TRIGGER,
    )
    assert len(desk.told(ExitDecided)) == 1
    exit_ = desk.last(PlaceOrder)
    assert (exit_.purpose, exit_.terms.order_type) == (Purpose.EXIT, OrderType.LIMIT)
    assert exit_.terms.limit_paise <= 5_990


@pytest.mark.proves("T24")
def test_prices_of_before_the_opening_decide_nothing() -> None:
    """What the feed repeats of yesterday, or makes up before the open, touches no level."""
    desk = next_day(carried())
    for second in range(-60, 0):
        desk.at(second).tick(last=60.0, bid=59.9, ask=60.1)
    desk.at(-0.001)
    assert desk.told(ExitDecided) == []
    assert desk.state.positions[1].mark_paise is None
    assert desk.state.positions[1].unprotected_ns == 0
    assert desk.all(PlaceOrder) == []


@pytest.mark.proves("T24", "T9")
def test_the_night_is_not_counted_as_unprotected_and_the_morning_is() -> None:
    """A long wait for the open closes nothing; seconds of trading without stop and price do."""
    desk = next_day(carried(), at_s=-1_800)
    desk.at(-1)
    assert desk.told(ExitDecided) == []
    assert [one for one in desk.told(Anomaly) if "unprotected" in one.what] == []
    desk.at(8)  # nobody answers the stop, no price came
    (decided,) = desk.told(ExitDecided)
    assert decided.exit.rule == "unprotected"
    assert decided.exit.values["unprotected_ms"] == 5_000


def test_the_path_is_tried_by_reading_the_book() -> None:
    """It has no entry of today to ask for: while no stop is seen the book is what must answer."""
    desk = next_day(carried())
    desk.at(-1)
    desk.forget()
    desk.at(0.5)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.at(3)
    assert desk.all(ReadBook)


@pytest.mark.proves("T24")
@pytest.mark.parametrize("side", list(Side))
def test_postings_balance_and_profit_counts_from_the_carried_cost(side: Side) -> None:
    """The opening entry takes nothing from today's cash; premium is nothing once it is closed."""
    desk = next_day(left(side))
    ledger = desk.state.ledger
    cost_e4 = side.sign * 195 * 10_000 * 10_000
    assert ledger.balance_e4(Account.PREMIUM) == cost_e4
    assert ledger.balance_e4(Account.CARRIED) == -cost_e4
    assert ledger.balance_e4(Account.CASH) == 0
    desk.at(1).tick(last=100.0)
    desk.ask_operator(OperatorRequest.CLOSE, position=1)
    order = desk.last(PlaceOrder)
    desk.acknowledge(order.order_id)
    terms = desk.all(ModifyOrder)[-1].terms if desk.all(ModifyOrder) else order.terms
    desk.row(order.order_id, BrokerStatus.FILLED, terms=terms, filled=195, price=90.0)
    (closed,) = desk.told(PositionClosed)
    assert closed.gross_paise == -side.sign * 195 * 1_000
    assert ledger.balance_e4(Account.PREMIUM) == 0
    assert -ledger.balance_e4(Account.REALISED) == closed.gross_paise * 10_000
    assert desk.state.day.trades == 0


@pytest.mark.proves("T24")
def test_a_trailing_stop_goes_on_from_its_level_and_peak() -> None:
    """The stop at the open is the level that yesterday's peak has made."""
    one = left(trail=Trail(arm_paise=11_000, giveback_bps=1_000))
    desk = next_day(one)
    desk.at(0)
    assert desk.last(PlaceOrder).terms.trigger_paise == 11_695
    assert desk.state.positions[1].peak_paise == 12_995


@pytest.mark.proves("T24")
def test_yesterdays_close_out_does_not_stand_any_other_decision_does() -> None:
    """What the close-out could not close gets a stop; who was told to leave leaves at the open."""
    failed = next_day(carried(exit=Exit(rule="close_out")))
    failed.at(0)
    assert [one.purpose for one in failed.all(PlaceOrder)] == [Purpose.STOP]
    asked = next_day(carried(exit=Exit(rule="operator", values={"reason": "out"})))
    assert asked.all(PlaceOrder) == []
    asked.at(0).tick(last=100.0)
    assert [one.purpose for one in asked.all(PlaceOrder)] == [Purpose.EXIT]
    (decided,) = asked.told(ExitDecided)
    assert decided.exit.values == {"reason": "out", "decided_on": BEFORE}


@pytest.mark.proves("T24", "T4")
def test_an_excess_is_closed_and_gets_no_stop() -> None:
    """What yesterday closed too much lies on the wrong side: no plan was made for that."""
    desk = next_day(carried(quantity=-65, cost_paise=-65 * 9_000))
    desk.at(0).tick(last=90.0)
    (order,) = desk.all(PlaceOrder)
    assert (order.purpose, order.terms.side, order.terms.quantity) == (Purpose.EXIT, Side.BUY, 65)
    desk.acknowledge(order.order_id)
    desk.row(order.order_id, BrokerStatus.FILLED, terms=order.terms, filled=65, price=91.0)
    (closed,) = desk.told(PositionClosed)
    assert closed.rule == carrying.EXCESS_RULE
    assert closed.gross_paise == -65 * 100


@pytest.mark.proves("T24", "T4")
def test_two_carried_in_one_contract_share_its_ration() -> None:
    """Each has its number and its stop; a new position takes the next number."""
    first = carried()
    second = carried(intent=msgspec.structs.replace(first.intent, position=2))
    desk = next_day(first, second)
    desk.at(0)
    assert sorted(desk.state.positions) == [1, 2]
    assert [one.terms.quantity for one in desk.all(PlaceOrder)] == [195, 195]
    assert desk.state.drifts == {}
    desk.at(1).spot()
    desk.intend(Side.BUY)
    assert sorted(desk.state.positions) == [1, 2, 3]


def test_told_twice_it_is_held_once() -> None:
    """One of the same day and number is the same."""
    one = carried()
    desk = next_day(one, one, nets={CALL: 195})
    assert len(desk.state.live) == 1
    assert desk.state.drifts == {}


@pytest.mark.proves("T24")
@pytest.mark.parametrize(
    ("instrument", "what"),
    [
        (PUT, "not in today's master"),
        (msgspec.structs.replace(CALL, expiry="2026-11-19"), "has expired"),
    ],
)
def test_what_cannot_be_held_is_told_and_not_taken_over(instrument: Instrument, what: str) -> None:
    """A contract that is not traded today or has expired: a person hears, the drift then bars."""
    desk = next_day(carried(), instruments=(NIFTY, instrument), nets={})
    assert desk.state.live == []
    assert any(what in one.what for one in desk.told(Anomaly))


def test_a_day_before_that_cannot_be_read_calls_a_person() -> None:
    """Nothing is carried then, and what the broker holds is a difference that disarms."""
    desk = Desk()
    desk.tell(ReadFailed(at_ns=desk.now, what=CARRIED, reason="the journal is damaged"))
    assert any("is not carried" in one.what for one in desk.told(Anomaly))
    desk.read_book(seconds=1, nets={CALL: 195})
    assert desk.told(Drift)


@pytest.mark.proves("T24")
def test_a_second_night_keeps_the_day_on_which_it_was_opened() -> None:
    """Carried on, it comes from the day before, and was opened on the first."""
    desk = next_day(carried())
    desk.at(0)
    (one,) = desk.engine.left_over
    assert (one.day, one.opened_day) == (DAY, BEFORE)
    assert one.intent.position == 1
    assert (one.quantity, one.cost_paise, one.stop_paise) == (195, 1_950_000, 8_800)
    assert one.opened_at_ns == left().opened_at_ns


def test_an_image_keeps_it() -> None:
    """A snapshot in mid-day restores it, the day it comes from included."""
    desk = next_day(carried())
    desk.at(1).tick(last=100.0)
    image = desk.engine.image()
    assert image is not None
    again = Engine(settings(), [])
    again.restore(image)
    assert again.left_over == desk.engine.left_over
    assert again.image() == image


@pytest.mark.proves("T24", "T21")
def test_a_restart_in_mid_day_places_nothing_twice() -> None:
    """Its stop rests at the broker: the next process finds it under today's id."""
    desk = next_day(carried())
    desk.at(0)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.row(stop.order_id, terms=stop.terms)
    desk.restart(60)
    desk.forget()
    desk.read_book(desk.book_row(stop), seconds=61, nets={CALL: 195})
    assert desk.all(PlaceOrder) == []
    assert desk.state.drifts == {}


def test_legs_stay_together_in_a_structure_of_today() -> None:
    """What one structure was yesterday is one today, and is none that today makes."""
    intent = left().intent
    legs = [
        carried(intent=msgspec.structs.replace(intent, position=number, structure=structure))
        for number, structure in ((4, 9), (5, 9), (6, 2))
    ]
    desk = next_day(*legs)
    assert [one.intent.structure for one in desk.state.live] == [1, 1, 3]


def test_the_self_test_is_answered_while_something_is_carried() -> None:
    """A carried position does not stand in its way."""
    desk = next_day(carried())
    assert desk.told(SelfTested)[-1].fault == ""
