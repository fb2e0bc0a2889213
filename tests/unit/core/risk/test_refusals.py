"""The broker's no: each class has its reaction, and none ends an exit (T13)."""

import pytest
from msgspec.structs import replace

from holdfast.core.orders.ids import ATTEMPT_MAX
from holdfast.core.risk import refusals
from holdfast.core.risk.closing import (
    BAND_HALVINGS_MAX,
    LADDER_BPS,
)
from holdfast.core.risk.refusals import pause_ns
from holdfast.core.settings import SECOND_NS
from holdfast.domain.audit import (
    ExitDecided,
)
from holdfast.domain.command import (
    CancelOrder,
    ModifyOrder,
    Notify,
    PlaceOrder,
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
    trailing,
    working_exit,
)

SIDES = pytest.mark.parametrize("side", Side)


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
        (Refusal.RATE, 2, 2),
        (Refusal.RATE, 4, 8),
        (Refusal.RATE, 5, 10),
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
    desk.row(stop.order_id, BrokerStatus.REJECTED, terms=stop.terms, refusal=Refusal.BAND)
    assert [told.exit.rule for told in desk.told(ExitDecided)] == ([rule] if rule else [])
    purposes = [order.purpose for order in desk.all(PlaceOrder)]
    assert purposes == ([Purpose.EXIT] if rule else [])


def test_a_closing_order_that_dies_unasked_calls_a_person() -> None:
    """With the broker's words: it was the owner, or something is wrong (T14)."""
    desk = a_desk()
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(70).tick()
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms, reason="by the client")
    [told] = desk.all(Notify)
    assert told.text == f"closing order {stop.order_id} ended (cancelled): by the client"


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
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, quantity=65, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.row(stop.order_id, terms=stop.terms)
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
    [(None, 1), (Refusal.FUNDS, 1), (Refusal.BAND, 30), (Refusal.IP, 10), (Refusal.OTHER, 1)],
)
def test_a_refused_stop_is_placed_again_after_its_pause(
    refusal: Refusal | None, seconds: int
) -> None:
    """Outside the band it waits for a new reference; the local rule holds meanwhile."""
    desk = refused_stop(refusal)
    assert [told.severity.value for told in desk.all(Notify)] == ["alarm"]
    desk.at(60 + seconds - 0.001).spot()
    assert asked(desk) == []
    desk.at(60 + seconds).spot()
    desk.at(60 + seconds + 0.001)
    assert [kind for kind, _ in asked(desk)] == [PlaceOrder]


def test_a_stop_that_never_left_is_placed_again() -> None:
    """The text says so, and that it was no refusal."""
    desk = refused_stop(None, Outcome.NOT_SENT)
    [told] = desk.all(Notify)
    assert "not sent" in told.text
    desk.at(61)
    assert [kind for kind, _ in asked(desk)] == [PlaceOrder]


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


def test_an_exit_that_met_our_entry_goes_again_when_the_entry_is_dead() -> None:
    """The exchange cancelled it (self-trade check): not before, and not later (T6)."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, quantity=65, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.row(stop.order_id, terms=stop.terms)
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
