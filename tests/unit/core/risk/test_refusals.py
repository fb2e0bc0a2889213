"""The broker's no: each class has its reaction, and none ends an exit (T13)."""

import pytest
from msgspec.structs import replace

from holdfast.core.books.postings import Account
from holdfast.core.orders.ids import ATTEMPT_MAX
from holdfast.core.risk import refusals
from holdfast.core.risk.closing import (
    BAND_HALVINGS_MAX,
    LADDER_BPS,
)
from holdfast.core.risk.refusals import pause_ns
from holdfast.core.settings import SECOND_NS
from holdfast.domain.audit import (
    Anomaly,
    ExitDecided,
    Halted,
    PositionClosed,
    ProtectionLost,
)
from holdfast.domain.command import (
    CancelOrder,
    ModifyOrder,
    Notify,
    PlaceOrder,
    ReadBook,
)
from holdfast.domain.decision import Trail
from holdfast.domain.event import Action, Outcome
from holdfast.domain.order import (
    BrokerStatus,
    OrderType,
    Purpose,
    Refusal,
    Side,
)
from tests.support.desk import CLOSE, OPEN, Desk
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


@pytest.mark.proves("T13")
def test_a_band_refusal_is_answered_at_once_half_way_back() -> None:
    """At the same rung, without a pause, until six halvings are used up."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(70).tick(last=100.0, bid=90.0, ask=110.0)
    close(desk)
    prices = [desk.last(ModifyOrder).terms.limit_paise]
    for _ in range(7):
        desk.forget()
        desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.BAND)
        prices += [change.terms.limit_paise for change in desk.all(ModifyOrder)]
    assert prices == [9_000, 9_500, 9_750, 9_875, 9_940, 9_970, 9_985]
    desk.forget()
    desk.at(79.999)
    assert asked(desk) == [], "then it waits"
    desk.at(80)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]


def test_a_band_refusal_at_the_edge_does_not_wait_for_the_next_pricing() -> None:
    """Half a minute would pass; half way back at once (T7)."""
    desk = a_desk()
    stop = working_exit(desk)
    desk.engine._state.positions[1].ladder_step = len(LADDER_BPS) - 1  # noqa: SLF001
    desk.at(61.5).tick()
    assert desk.last(ModifyOrder).terms.limit_paise == 6_000
    desk.forget()
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.BAND)
    assert desk.last(ModifyOrder).terms.limit_paise == 8_000


def test_band_refusals_are_forgotten_when_the_band_can_have_moved() -> None:
    """Half a minute later the next one is the first again."""
    desk = a_desk()
    stop = working_exit(desk)
    position = desk.engine._state.positions[1]  # noqa: SLF001
    for at, count in ((61, 1), (90.999, 2), (120.999, 1)):
        desk.at(at).spot()
        refusals.take_refusal(
            desk.engine._state,  # noqa: SLF001
            position,
            desk.engine._state.orders[stop.order_id],  # noqa: SLF001
            action=Action.MODIFY,
            reason=Refusal.BAND,
        )
        assert position.band_refusals == count


@pytest.mark.proves("T13", "EXE-7", "I-36")
@pytest.mark.parametrize("refusal", Refusal)
@pytest.mark.parametrize("action", [Action.MODIFY, Action.CANCEL])
def test_no_refusal_makes_the_exit_spin_or_stop(refusal: Refusal, action: Action) -> None:
    """Ten times the same no, at once: a few requests, and within half a minute another (T13)."""
    desk = a_desk(exit_by_modify=action is Action.MODIFY)
    stop = desk.hold_by_hand(Side.BUY)
    close(desk)
    for _ in range(10):
        is_cancel = isinstance(desk.commands[-1], CancelOrder)
        last = Action.CANCEL if is_cancel else action
        desk.fail(stop.order_id, last, Outcome.REFUSED, refusal)
        desk.row(stop.order_id, terms=stop.terms, is_read=True)
    most = BAND_HALVINGS_MAX + 1 if refusal is Refusal.BAND and action is Action.MODIFY else 2
    assert len(asked(desk)) <= most
    desk.at(95)
    assert asked(desk), "no class ends an exit"


@pytest.mark.proves("I-43", "I-25")
@pytest.mark.parametrize("refusal", Refusal)
def test_where_placements_are_switched_off_nothing_is_closed_on_paper(refusal: Refusal) -> None:
    """Every sale is refused for minutes: it is held as before, earns nothing and is sold anew."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.fill(entry, price=100.0)
    before = {account: desk.state.ledger.balance_e4(account) for account in Account}
    desk.fail(desk.last(PlaceOrder).order_id, Action.PLACE, Outcome.REFUSED, Refusal.OTHER)
    close(desk)
    for second in range(61, 240, 3):
        desk.at(second).tick(last=90.0)
        for order in desk.all(PlaceOrder):
            desk.fail(order.order_id, Action.PLACE, Outcome.REFUSED, refusal)
    position = desk.state.positions[1]
    assert (position.open_quantity, position.exit_quantity) == (195, 0)
    assert not position.is_closed
    assert desk.told(PositionClosed) == []
    assert {account: desk.state.ledger.balance_e4(account) for account in Account} == before
    assert len([one for one in desk.all(PlaceOrder) if one.purpose is Purpose.EXIT]) > 3


@pytest.mark.proves("T13", "I-37", "I-25", "GWL-6")
@pytest.mark.parametrize("refusal", Refusal)
def test_no_refusal_makes_placements_spin_or_stop(refusal: Refusal) -> None:
    """The same for exits that are placed: few ids are used, and it goes on."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.fill(entry, price=100.0)
    desk.fail(desk.last(PlaceOrder).order_id, Action.PLACE, Outcome.REFUSED, Refusal.OTHER)
    close(desk)
    for _ in range(60):
        for order in desk.all(PlaceOrder):
            desk.fail(order.order_id, Action.PLACE, Outcome.REFUSED, refusal)
    placed = len(desk.all(PlaceOrder))
    assert placed <= BAND_HALVINGS_MAX + 2
    desk.at(95).tick()
    assert len(desk.all(PlaceOrder)) > placed


@pytest.mark.parametrize(
    ("reason", "refusals", "seconds"),
    [
        (None, 1, 1),
        (Refusal.RATE, 1, 1),
        (Refusal.RATE, 4, 1),
        (Refusal.RATE, 5, 2),
        (Refusal.RATE, 8, 10),
        (Refusal.FUNDS, 60, 10),
        (Refusal.FUNDS, 61, 30),
        (Refusal.SELF_TRADE, 1, 0.2),
        (Refusal.SELF_TRADE, 3, 0.8),
        (Refusal.IP, 1, 10),
        (Refusal.IP, 9, 10),
        (Refusal.TOKEN, 1, 10),
        (Refusal.CLOSED_MARKET, 1, 10),
    ],
)
def test_pauses_grow_with_refusals_in_a_row(
    reason: Refusal | None, refusals: int, seconds: float
) -> None:
    """Doubled up to ten seconds; after ten minutes of them half a minute, so that ids last."""
    assert pause_ns(reason, refusals=refusals) == round(seconds * SECOND_NS)


def test_order_ids_last_a_day_of_refusals() -> None:
    """Refused from the open to the close, there is an attempt left."""
    at_ns = attempts = 0
    while at_ns < CLOSE - OPEN:
        attempts += 1
        at_ns += pause_ns(Refusal.FUNDS, refusals=attempts)
    assert attempts < ATTEMPT_MAX


# -- deaths


@pytest.mark.proves("T2", "OUP-6", "I-39")
@SIDES
def test_an_exit_that_dies_is_sent_again_at_once_and_then_ever_more_slowly(side: Side) -> None:
    """Somebody cancels each of them: the next attempt, then pauses of 2, 4, 8 seconds (T2)."""
    desk = a_desk()
    stop = working_exit(desk, side)
    terms = desk.engine._state.orders[stop.order_id].terms  # noqa: SLF001
    ended(desk, stop.order_id, terms)
    times: list[float] = []
    for tenth in range(600, 900):
        desk.at(tenth / 10).spot()
        for order in desk.all(PlaceOrder)[len(times) :]:
            desk.row(order.order_id, terms=order.terms)
            ended(desk, order.order_id, order.terms)
            times.append(tenth / 10)
    assert times == [60, 62, 66, 74, 84]


def test_an_exit_that_lasted_is_sent_again_at_once() -> None:
    """Deaths in a row count; one that rested for five seconds ends the row."""
    desk = a_desk()
    stop = working_exit(desk)
    terms = desk.engine._state.orders[stop.order_id].terms  # noqa: SLF001
    ended(desk, stop.order_id, terms)
    again = desk.last(PlaceOrder)
    desk.row(again.order_id, terms=again.terms)
    desk.at(64).tick()
    terms = desk.last(ModifyOrder).terms
    desk.at(65).row(again.order_id, terms=terms)
    desk.forget()
    ended(desk, again.order_id, terms)
    assert asked(desk) == [(PlaceOrder, exit_of(stop, 2))]


@pytest.mark.proves("T1")
@pytest.mark.parametrize(
    ("side", "last", "bid", "ask", "rule"),
    [
        (Side.BUY, 88.0, 90.0, 90.1, "stop_loss"),
        (Side.BUY, 88.05, 87.95, 90.1, "stop_loss"),
        (Side.BUY, 88.05, 88.05, 90.1, None),
        (Side.BUY, 88.05, 0.0, 90.1, None),
        (Side.SELL, 112.0, 110.0, 110.1, "stop_loss"),
        (Side.SELL, 111.95, 110.0, 112.05, "stop_loss"),
        (Side.SELL, 111.95, 110.0, 111.95, None),
    ],
)
def test_a_stop_that_dies_at_its_level_is_an_exit_in_the_same_step(
    side: Side, last: float, bid: float, ask: float, rule: str | None
) -> None:
    """By the last trade or the closing side (T1); elsewhere it is placed again after a second."""
    desk = a_desk()
    stop = desk.hold_by_hand(side)
    desk.at(70).tick(last=(last + 100) / 2, traded=False)
    desk.tick(last=last, bid=bid, ask=ask, traded=False)
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.REJECTED, terms=stop.terms, refusal=Refusal.OTHER)
    assert [told.exit.rule for told in desk.told(ExitDecided)] == ([rule] if rule else [])
    purposes = [order.purpose for order in desk.all(PlaceOrder)]
    assert purposes == ([Purpose.EXIT] if rule else [])


def test_a_closing_order_that_dies_unasked_calls_a_person() -> None:
    """With the broker's words: something is wrong."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(70).tick()
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.EXPIRED, terms=stop.terms, reason="for the day")
    [told] = desk.all(Notify)
    assert told.text == f"closing order {stop.order_id} ended (expired): for the day"


@pytest.mark.proves("T1")
@pytest.mark.parametrize("refusal", [Refusal.BAND, Refusal.TRIGGER_DISTANCE])
def test_a_stop_refused_for_what_is_checked_at_the_trigger_was_triggered(
    refusal: Refusal,
) -> None:
    """Our price is late: the exit leaves in the same step, under the next attempt (T1)."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(70).tick()
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.REJECTED, terms=stop.terms, refusal=refusal)
    assert [told.exit.rule for told in desk.told(ExitDecided)] == ["stop_loss"]
    [order] = desk.all(PlaceOrder)
    assert (order.order_id, order.terms.order_type) == (exit_of(stop), OrderType.LIMIT)


# -- somebody else's hand on the stop (T14)


@pytest.mark.proves("T14")
def test_a_stop_that_somebody_cancels_is_placed_once_more() -> None:
    """With an alarm; the second time it is that person's will, and nothing is placed (T14)."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(70).tick()
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms, reason="by the client")
    assert [told.what for told in desk.told(Anomaly)] == [
        "somebody cancelled a stop of ours: it is asked for again, once"
    ]
    assert desk.told(Anomaly)[0].values["text"] == "by the client"
    desk.at(71).tick()
    again = desk.last(PlaceOrder)
    assert (again.purpose, again.terms.quantity) == (Purpose.STOP, 195)
    desk.row(again.order_id, terms=again.terms)
    desk.keep(until=80)
    desk.forget()
    desk.row(again.order_id, BrokerStatus.CANCELLED, terms=again.terms)
    desk.keep(until=200)
    assert asked(desk) == []
    desk.breach(210)
    assert asked(desk) == [(PlaceOrder, exit_of(stop))], "the local rule closes all the same"


def test_a_stop_left_to_a_person_is_told_and_shown() -> None:
    """An alarm, and no protection at the broker."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(70).tick()
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms)
    desk.at(71).tick()
    again = desk.last(PlaceOrder)
    desk.row(again.order_id, terms=again.terms)
    desk.at(72).forget()
    desk.row(again.order_id, BrokerStatus.CANCELLED, terms=again.terms)
    assert [told.what for told in desk.told(Anomaly)] == [
        "somebody cancelled a stop of ours again: it is left so"
    ]
    assert len(desk.told(ProtectionLost)) == 1
    assert not desk.state.positions[1].verified


@pytest.mark.proves("T14")
def test_a_stop_that_somebody_changes_is_brought_back_once() -> None:
    """To the terms that we asked for last; the second time it is left as it is (T14)."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    theirs = replace(stop.terms, trigger_paise=8_000, limit_paise=7_200)
    desk.at(70).tick()
    desk.forget()
    desk.row(stop.order_id, terms=theirs)
    assert desk.last(ModifyOrder).terms == stop.terms
    assert len(desk.told(Anomaly)) == 1
    desk.row(stop.order_id, terms=stop.terms)
    desk.keep(until=80)
    desk.forget()
    desk.row(stop.order_id, terms=theirs)
    desk.keep(until=100)
    assert asked(desk) == []
    assert desk.state.positions[1].stop_is_owners


def test_a_stop_left_to_a_person_is_still_cut_to_what_is_held() -> None:
    """More than is held would open a position, whoever asked for it."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.state.positions[1].stop_is_owners = True
    desk.at(70).tick()
    desk.forget()
    desk.row(stop.order_id, terms=replace(stop.terms, quantity=260))
    assert desk.last(ModifyOrder).terms.quantity == 195


def test_our_own_terms_are_nobody_elses() -> None:
    """A move given up that shows after all is ours, however late (T3)."""
    desk = a_desk()
    stop = trailing(desk)
    moved = desk.state.orders[stop.order_id].terms
    desk.at(75).row(stop.order_id, terms=stop.terms, is_read=True)
    desk.at(76).forget()
    desk.row(stop.order_id, terms=moved)
    assert desk.told(Anomaly) == []
    assert desk.state.positions[1].stop_touched_ns is None


@pytest.mark.proves("T1")
def test_a_stop_that_died_after_its_release_is_an_exit_wherever_the_price_is() -> None:
    """Its row says that it was in the book: it had been touched."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    released = replace(stop.terms, order_type=OrderType.LIMIT, trigger_paise=None)
    desk.at(70).tick()
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=released)
    assert [told.exit.rule for told in desk.told(ExitDecided)] == ["stop_loss"]
    assert desk.last(PlaceOrder).purpose is Purpose.EXIT


def test_a_trailed_stop_that_fills_is_a_trailing_exit() -> None:
    """The rule is that of the trigger that the order had, not of the level we have now."""
    for moved, rule, level in ((True, "trailing_stop", 10_670), (False, "stop_loss", 8_800)):
        desk = a_desk()
        stop = trailing(desk)
        if moved:
            terms = replace(stop.terms, trigger_paise=10_670, limit_paise=9_605)
            desk.at(71).row(stop.order_id, terms=terms)
        released = replace(stop.terms, order_type=OrderType.LIMIT, trigger_paise=None)
        desk.at(72).row(
            stop.order_id, BrokerStatus.TRIGGERED, terms=released, filled=65, price=88.0
        )
        [told] = desk.told(ExitDecided)
        assert (told.exit.rule, told.exit.level_paise) == (rule, level)


def test_a_stop_replaced_for_its_quantity_is_placed_at_once() -> None:
    """We had asked for its end: no moment is lost."""
    desk, entry, stop = partly_held()
    desk.fill(entry, quantity=195, price=100.0)
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.OTHER)
    desk.at(61).forget()
    ended(desk, stop.order_id, stop.terms)
    order = desk.last(PlaceOrder)
    assert (order.purpose, order.terms.quantity) == (Purpose.STOP, 195)


# -- refusals, one by one


def refused_stop(refusal: Refusal | None, outcome: Outcome = Outcome.REFUSED) -> Desk:
    """A new position whose first stop was refused."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.forget()
    desk.fail(stop.order_id, Action.PLACE, outcome, refusal)
    return desk


@pytest.mark.parametrize(
    ("refusal", "seconds"),
    [(None, 1), (Refusal.RATE, 1), (Refusal.OTHER, 1)],
)
def test_a_refused_stop_is_placed_again_after_its_pause(
    refusal: Refusal | None, seconds: int
) -> None:
    """The local rule holds meanwhile: but not where nothing could leave (T9)."""
    desk = refused_stop(refusal)
    assert [told.severity.value for told in desk.all(Notify)] == ["alarm"]
    desk.at(60 + seconds - 0.001).spot()
    assert asked(desk) == []
    desk.at(60 + seconds).spot()
    desk.at(60 + seconds + 0.001)
    assert [kind for kind, _ in asked(desk)] == [PlaceOrder]


@pytest.mark.proves("T13")
def test_a_stop_outside_the_band_comes_half_way_back_at_once() -> None:
    """Its limit comes nearer each time; then it waits for a new reference (T13)."""
    desk = refused_stop(Refusal.BAND)
    limits = [desk.last(PlaceOrder).terms.limit_paise]
    for _ in range(6):
        order = desk.last(PlaceOrder)
        desk.forget()
        desk.fail(order.order_id, Action.PLACE, Outcome.REFUSED, Refusal.BAND)
        limits += [placed.terms.limit_paise for placed in desk.all(PlaceOrder)]
    # 10 % behind the trigger of 88.00, then 5 %, 2.5 %, ...
    assert limits == [8_360, 8_580, 8_690, 8_750, 8_775, 8_790]
    desk.keep(until=89)
    assert asked(desk) == []
    desk.at(90).tick()
    desk.at(90.1)
    assert [kind for kind, _ in asked(desk)] == [PlaceOrder]


@pytest.mark.proves("T13")
def test_a_stop_too_far_from_its_trigger_is_recomputed_once() -> None:
    """Half the distance at once; refused again it waits like any (T13)."""
    desk = refused_stop(Refusal.TRIGGER_DISTANCE)
    again = desk.last(PlaceOrder)
    assert (again.terms.trigger_paise, again.terms.limit_paise) == (8_800, 8_360)
    desk.forget()
    desk.fail(again.order_id, Action.PLACE, Outcome.REFUSED, Refusal.TRIGGER_DISTANCE)
    assert asked(desk) == []
    desk.at(70).tick()
    assert desk.last(PlaceOrder).terms.limit_paise == 8_360


@pytest.mark.proves("T13")
def test_a_refused_quantity_is_sliced() -> None:
    """Half as much in one order, at once, down to a lot (T13)."""
    desk = refused_stop(Refusal.QUANTITY)
    assert [placed.terms.quantity for placed in desk.all(PlaceOrder)] == [65, 65, 65]
    order = desk.last(PlaceOrder)
    desk.forget()
    desk.fail(order.order_id, Action.PLACE, Outcome.REFUSED, Refusal.QUANTITY)
    assert asked(desk) == [], "a lot is the least"
    desk.at(70).tick()
    assert [placed.terms.quantity for placed in desk.all(PlaceOrder)] == [65]


@pytest.mark.proves("T12", "T13")
def test_a_stop_without_funds_stops_entries() -> None:
    """The local rule holds the position, a person hears of it, the stop is tried again (T12)."""
    desk = refused_stop(Refusal.FUNDS)
    assert [told.reason for told in desk.told(Halted)] == ["no funds for the stop of position 1"]
    assert {told.severity.value for told in desk.all(Notify)} == {"alarm"}
    desk.at(62).tick()
    assert [kind for kind, _ in asked(desk)] == [PlaceOrder]


@pytest.mark.proves("T13")
def test_an_exit_without_funds_takes_back_what_else_works_in_its_key() -> None:
    """An entry and another position's stop; then it is sent again (T13)."""
    desk = a_desk(exit_by_modify=False)
    stop, other = desk.hold_by_hand(Side.SELL), desk.hold_by_hand(Side.SELL)
    entry = desk.intend(Side.SELL)
    desk.acknowledge(entry.order_id)
    close(desk)
    ended(desk, stop.order_id, stop.terms)
    order = desk.last(PlaceOrder)
    desk.forget()
    desk.fail(order.order_id, Action.PLACE, Outcome.REFUSED, Refusal.FUNDS)
    desk.at(60.2)
    requests = asked(desk)
    assert (CancelOrder, other.order_id) in requests
    assert requests[-1] == (PlaceOrder, exit_of(stop, 2))
    ended(desk, other.order_id, other.terms)
    desk.at(62).tick()
    assert Purpose.STOP not in {placed.purpose for placed in desk.all(PlaceOrder)}
    again = exit_of(stop, 2)
    terms = desk.state.orders[again].terms
    desk.row(again, BrokerStatus.FILLED, terms=terms, filled=195, price=100.0)
    desk.at(63).tick()
    assert desk.last(PlaceOrder).purpose is Purpose.STOP, "the cash is free again"


@pytest.mark.proves("T13", "I-41")
@pytest.mark.parametrize("action", [Action.PLACE, Action.MODIFY])
def test_a_no_that_nobody_knows_has_the_book_read(action: Action) -> None:
    """Read, alarmed, and tried again (T13)."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    if action is Action.PLACE:
        ended(desk, stop.order_id, stop.terms)
    close(desk)
    order_id = stop.order_id if action is Action.MODIFY else desk.last(PlaceOrder).order_id
    desk.forget()
    desk.fail(order_id, action, Outcome.REFUSED, Refusal.OTHER)
    assert len(desk.all(ReadBook)) == 1
    assert [told.severity.value for told in desk.all(Notify)] == ["alarm"]
    desk.at(62).tick()
    assert asked(desk)


@pytest.mark.proves("T7")
def test_a_move_of_the_stop_that_found_no_turn_calls_nobody() -> None:
    """It waits for its next turn; the old stop stands (T7)."""
    desk = a_desk()
    stop = trailing(desk)
    desk.fail(stop.order_id, Action.MODIFY, Outcome.NOT_SENT)
    for second in (71, 72, 73, 74):
        desk.at(second).tick(last=110.0, bid=110.0)
        desk.answer_poll()
    desk.at(74.9).tick(last=110.0, bid=110.0)
    assert desk.all(Notify) == []
    assert asked(desk) == []
    desk.at(75).tick(last=110.0, bid=110.0)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]


def test_a_stop_that_never_left_is_placed_again() -> None:
    """The text says so, and that it was no refusal."""
    desk = refused_stop(None, Outcome.NOT_SENT)
    [told] = desk.all(Notify)
    assert "not sent" in told.text
    desk.at(61)
    assert [kind for kind, _ in asked(desk)] == [PlaceOrder]


@pytest.mark.proves("T13")
@SIDES
def test_a_moved_stop_beyond_the_price_is_a_breach(side: Side) -> None:
    """The broker refuses the new trigger because the price is through it: exit now (T13)."""
    sign = side.sign
    desk = a_desk()
    trail = Trail(arm_paise=10_000 + sign * 200, giveback_bps=300)
    stop = desk.hold_by_hand(side, trail=trail)
    best = 100 + sign * 10
    desk.at(70).tick(last=best, bid=best, ask=best)
    desk.forget()
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.BEYOND_TRIGGER)
    [told] = desk.told(ExitDecided)
    assert (told.exit.rule, told.exit.level_paise) == ("stop_loss", 10_670 if sign > 0 else 9_270)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]


def test_a_late_breach_does_not_spin_an_exit_that_is_decided() -> None:
    """The exit is on its way already: the word means a request from before."""
    desk = a_desk()
    stop = trailing(desk)
    close(desk)
    desk.forget()
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.BEYOND_TRIGGER)
    desk.at(70.9)
    assert asked(desk) == []
    desk.at(71)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]


@pytest.mark.parametrize("refusal", [Refusal.OTHER, Refusal.TRIGGER_DISTANCE, Refusal.QUANTITY])
def test_a_refused_exit_is_replaced_without_a_pause(refusal: Refusal) -> None:
    """Cancel at once, and the next attempt on evidence (T13)."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    close(desk)
    desk.forget()
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, refusal)
    assert asked(desk) == [(CancelOrder, stop.order_id)]


def test_a_modification_that_never_left_is_sent_again() -> None:
    """The router had tried three times; nothing is cancelled for it."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    close(desk)
    desk.forget()
    desk.fail(stop.order_id, Action.MODIFY, Outcome.NOT_SENT)
    assert asked(desk) == []
    desk.at(61)
    assert asked(desk) == [(ModifyOrder, stop.order_id)]


@pytest.mark.proves("T6")
def test_an_exit_that_met_our_entry_goes_again_when_the_entry_is_dead() -> None:
    """The exchange cancelled it (self-trade check): not before, and not later (T6)."""
    desk, entry, stop = partly_held()
    close(desk)
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms, is_read=True,
             refusal=Refusal.SELF_TRADE)  # fmt: skip
    desk.at(60.1).forget()
    ended(desk, entry.order_id, entry.terms, filled=65)
    assert asked(desk) == [(PlaceOrder, exit_of(stop))]


def test_an_exit_that_met_an_order_of_ours_is_tried_again_by_itself() -> None:
    """After a fifth of a second, if the entry's end is not heard before."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, quantity=65, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.at(60.05)
    close(desk)
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms, is_read=True,
             refusal=Refusal.SELF_TRADE)  # fmt: skip
    desk.at(60.249)
    assert asked(desk) == []
    desk.at(60.25)
    assert asked(desk) == [(PlaceOrder, exit_of(stop))]


def test_the_death_of_an_entry_ends_no_other_pause() -> None:
    """A line that refuses our address is not asked sooner for it."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, quantity=65, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.fail(stop.order_id, Action.PLACE, Outcome.REFUSED, Refusal.IP)
    desk.forget()
    ended(desk, entry.order_id, entry.terms, filled=65)
    assert asked(desk) == []


@pytest.mark.parametrize(
    ("refusal", "calls"),
    [(Refusal.SELF_TRADE, 0), (Refusal.NOT_MODIFIABLE, 0), (Refusal.BEYOND_TRIGGER, 0),
     (Refusal.BAND, 1), (Refusal.FUNDS, 1), (Refusal.OTHER, 1)],
)  # fmt: skip
def test_a_person_is_called_unless_the_no_is_ordinary(refusal: Refusal, calls: int) -> None:
    """What the day brings by itself calls nobody."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    close(desk)
    desk.forget()
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, refusal)
    texts = [told.text for told in desk.all(Notify)]
    assert len(texts) == calls
    assert all(f"modify of closing order {stop.order_id} refused" in text for text in texts)


@pytest.mark.proves("T7")
def test_a_move_of_the_stop_that_found_no_turn_is_quiet_and_comes_back_in_its_time() -> None:
    """No call, no refusal, nothing of the budget; and whatever must go goes at once."""
    desk = a_desk()
    stop = trailing(desk)
    order, position = desk.state.orders[stop.order_id], desk.state.positions[1]
    assert (order.modifications, order.trail_moves) == (1, 1)
    desk.fail(stop.order_id, Action.MODIFY, Outcome.NOT_SENT)
    assert (desk.all(Notify), desk.told(Anomaly)) == ([], [])
    assert (position.refusals, position.refused, order.held_until_ns) == (0, None, 0)
    assert (order.modifications, order.trail_moves) == (0, 0)
    desk.at(74.9).tick(last=110.0, bid=110.0)
    assert desk.all(ModifyOrder) == []
    desk.at(75).tick(last=110.0, bid=110.0)
    [again] = desk.all(ModifyOrder)
    assert (again.terms.trigger_paise, again.is_ordinary) == (10_670, True)
    desk.fail(stop.order_id, Action.MODIFY, Outcome.NOT_SENT)
    desk.forget()
    close(desk)
    [exit_] = desk.all(ModifyOrder)
    assert exit_.terms.order_type is OrderType.LIMIT


@pytest.mark.proves("T3", "T13", "PLC-5")
def test_an_exit_that_never_arrived_is_sent_again_when_that_is_proved() -> None:
    """However often: eight seconds of silence and two reads were pause enough."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.fill(entry, price=100.0)
    filled = entry.terms.quantity
    held = desk.book_row(entry, BrokerStatus.FILLED, filled=filled, price=100.0)
    desk.fail(desk.last(PlaceOrder).order_id, Action.PLACE, Outcome.REFUSED, Refusal.OTHER)
    close(desk)
    second = (desk.now - OPEN) // SECOND_NS
    for attempt in range(1, 9):
        lost = desk.last(PlaceOrder)
        assert lost.order_id.endswith(f"-{attempt}-0")
        desk.forget()
        second += 8
        desk.at(second).tick()
        desk.fail(lost.order_id, Action.PLACE, Outcome.UNANSWERED)
        while desk.state.orders[lost.order_id].is_live:
            second += 1
            desk.at(second).tick()
            desk.book(held)
        assert desk.all(PlaceOrder), f"attempt {attempt + 1} waits"
