"""The stop that rests at the broker: what it is, when it counts, and the time without it."""

import pytest
from msgspec.structs import replace

from holdfast.core.orders.life import OrderEvent
from holdfast.core.orders.order import Order
from holdfast.core.risk import closing, protection
from holdfast.core.risk.protection import (
    EXIT_MODIFICATIONS,
    MODIFICATIONS_BEFORE_REPLACE,
    TRAIL_MOVES_MAX,
    TRAIL_PAUSE_NS,
)
from holdfast.core.state import State
from holdfast.domain.audit import PositionClosed, ProtectionLost, ProtectionVerified
from holdfast.domain.command import CancelOrder, ModifyOrder, PlaceOrder
from holdfast.domain.decision import Trail
from holdfast.domain.event import Action, Link, LinkChanged, Outcome
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderState,
    OrderTerms,
    OrderType,
    Purpose,
    Refusal,
    Side,
)
from tests.support.by_hand import NOW, a_position, held, plan, ready_state
from tests.support.desk import OPEN, SECOND, Desk

SIDES = pytest.mark.parametrize("side", Side)


def a_stop(state: State, terms: OrderTerms, status: BrokerStatus = BrokerStatus.WORKING) -> Order:
    """A stop of position 1 whose row shows these terms."""
    order = Order(OrderId("SSIM001261120-S0001-1-0"), Purpose.STOP, 1, terms)
    order.ask(Action.PLACE, terms, NOW)
    row = OrderRow(
        order_id=order.id,
        broker_id=BrokerOrderId("B1"),
        status=status,
        terms=terms,
        filled_quantity=0,
        filled_value_paise=0,
        venue_at_ns=NOW,
    )
    order.fold_row(row, is_read=False, at_ns=NOW)
    state.orders[order.id] = order
    return order


def test_the_budget_is_that_of_the_rules() -> None:
    """Ten moves five seconds apart, replaced at 23 of 25, twelve for the exit (T7)."""
    assert (TRAIL_MOVES_MAX, EXIT_MODIFICATIONS, MODIFICATIONS_BEFORE_REPLACE) == (10, 12, 23)
    assert TRAIL_PAUSE_NS == 5 * SECOND


@pytest.mark.proves("T1", "T8")
@pytest.mark.parametrize(
    ("side", "closing", "trigger", "limit"),
    # ten percent of the trigger behind it: 88.00 less 8.80, 112.00 plus 11.20
    [(Side.BUY, Side.SELL, 8_800, 7_920), (Side.SELL, Side.BUY, 11_200, 12_320)],
)
def test_the_stop_closes_what_is_held_from_the_stop_level(
    side: Side, closing: Side, trigger: int, limit: int
) -> None:
    """Same contract and product, the other side, the total quantity with what it filled itself."""
    state = ready_state()
    position = a_position(side=side, exits=plan(stop=trigger), quantity=130)
    assert protection.stop_terms(state, position, quantity=195) == OrderTerms(
        instrument=position.id,
        product=position.key.product,
        side=closing,
        order_type=OrderType.STOP_LIMIT,
        quantity=195,
        limit_paise=limit,
        trigger_paise=trigger,
    )


def test_each_stop_has_its_own_number_and_budget() -> None:
    """The next attempt is one more; moves and the wish to replace begin anew."""
    state, position = ready_state(), a_position()
    held(state, position)
    position.stop_attempts, position.entries = 4, []
    closing.tend(state, position)
    [name] = position.closers
    assert (name, position.stop_attempts) == ("SSIM001261120-S0001-5-0", 5)
    stop = state.orders[name]
    assert (stop.trail_moves, stop.must_replace, stop.modifications) == (0, False, 0)


# -- following


def following(*, quantity: int = 65, modifications: int = 0) -> tuple[State, Order]:
    """A stop of 65 contracts at 88 for a long that now holds `quantity`."""
    state, position = ready_state(), a_position(quantity=65)
    held(state, position)
    stop = a_stop(state, protection.stop_terms(state, position, quantity=65))
    stop.modifications = modifications
    held_now = a_position(quantity=quantity)
    state.positions[1] = held_now
    return state, stop


def asked(state: State, stop: Order) -> list[type]:
    """What following the stop asks."""
    state.out.commands.clear()
    position = state.positions[1]
    protection.follow(state, position, stop, position.closable_quantity)
    return [type(command) for command in state.out.commands]


def test_a_stop_that_fits_is_left_alone() -> None:
    """Quantity and trigger as wanted: nothing is asked, whatever its limit."""
    state, stop = following()
    state.settings = replace(
        state.settings, exits=replace(state.settings.exits, stop_limit_bps=500)
    )
    assert asked(state, stop) == []


@pytest.mark.parametrize(
    ("modifications", "expected"),
    [(0, ModifyOrder), (MODIFICATIONS_BEFORE_REPLACE - 1, ModifyOrder),
     (MODIFICATIONS_BEFORE_REPLACE, CancelOrder)],
)  # fmt: skip
def test_a_quantity_is_followed_at_once_and_by_replacement_when_the_budget_is_spent(
    modifications: int, expected: type
) -> None:
    """Of the broker's 25 modifications two are never used (T7)."""
    state, stop = following(quantity=130, modifications=modifications)
    stop.trail_moved_at_ns = NOW
    assert asked(state, stop) == [expected]


def test_a_stop_whose_modification_was_refused_is_replaced_for_its_quantity() -> None:
    """It would be refused again; for its level alone it is left where it is."""
    state, stop = following(quantity=130)
    stop.must_replace = True
    assert asked(state, stop) == [CancelOrder]
    state, stop = following()
    stop.must_replace = True
    state.positions[1].stop_paise = 9_000
    assert asked(state, stop) == []


@pytest.mark.proves("T7")
@pytest.mark.parametrize(
    ("rested_ns", "moves", "modifications", "expected"),
    [
        (TRAIL_PAUSE_NS, 0, 0, [ModifyOrder]),
        (TRAIL_PAUSE_NS - 1, 0, 0, []),
        (TRAIL_PAUSE_NS, TRAIL_MOVES_MAX - 1, 0, [ModifyOrder]),
        (TRAIL_PAUSE_NS, TRAIL_MOVES_MAX, 0, []),
        (TRAIL_PAUSE_NS, 0, MODIFICATIONS_BEFORE_REPLACE - EXIT_MODIFICATIONS - 1, [ModifyOrder]),
        (TRAIL_PAUSE_NS, 0, MODIFICATIONS_BEFORE_REPLACE - EXIT_MODIFICATIONS, []),
    ],
)
def test_a_level_is_followed_within_pace_and_budget(
    rested_ns: int, moves: int, modifications: int, expected: list[type]
) -> None:
    """Five seconds apart, ten times at most, and twelve modifications stay for the exit (T7)."""
    state, stop = following(modifications=modifications)
    position = state.positions[1]
    position.stop_paise, stop.trail_moves = 9_000, moves
    stop.trail_moved_at_ns = NOW - rested_ns
    assert asked(state, stop) == expected
    if expected:
        assert (stop.trail_moves, stop.trail_moved_at_ns) == (moves + 1, NOW)
        assert stop.terms.trigger_paise == 9_000


def test_a_refused_move_of_the_level_keeps_the_stop_and_is_not_tried_again() -> None:
    """The old stop protects, the local rule holds the new level, and the budget is the exit's."""
    desk = Desk()
    desk.at(60).spot()
    stop = desk.hold_by_hand(Side.BUY, trail=Trail(arm_paise=10_200, giveback_bps=300))
    desk.at(70).tick(last=110.0, bid=110.0)
    assert desk.last(ModifyOrder).terms.trigger_paise == 10_670
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.OTHER)
    desk.forget()
    for second in range(71, 90):
        desk.at(second).tick(last=110.0 + second / 10, bid=110.0 + second / 10)
    assert [c for c in desk.commands if isinstance(c, ModifyOrder | CancelOrder | PlaceOrder)] == []
    assert desk.told(ProtectionLost) == []


# -- what counts


@pytest.mark.parametrize(
    ("status", "order_type", "quantity", "filled", "counts"),
    [
        (BrokerStatus.WORKING, OrderType.STOP_LIMIT, 65, 0, True),
        (BrokerStatus.WORKING, OrderType.STOP_LIMIT, 64, 0, False),
        (BrokerStatus.WORKING, OrderType.STOP_LIMIT, 130, 65, True),
        (BrokerStatus.WORKING, OrderType.STOP_LIMIT, 130, 66, False),
        (BrokerStatus.TRIGGERED, OrderType.STOP_LIMIT, 65, 0, False),
        (BrokerStatus.WORKING, OrderType.LIMIT, 65, 0, False),
        (BrokerStatus.TRANSIT, OrderType.STOP_LIMIT, 65, 0, False),
    ],
)
def test_a_stop_protects_once_its_row_covers_all_that_is_held(
    status: BrokerStatus, order_type: OrderType, quantity: int, filled: int, *, counts: bool
) -> None:
    """By its status, its type and its open quantity, as the broker shows them (T9)."""
    state, position = ready_state(), a_position(quantity=65)
    is_stop = order_type is OrderType.STOP_LIMIT
    terms = replace(
        protection.stop_terms(state, position, quantity=65),
        order_type=order_type,
        quantity=quantity,
        trigger_paise=8_800 if is_stop else None,
    )
    stop = a_stop(state, terms, status)
    stop.filled_quantity = filled
    position.closers = [stop.name]
    assert protection.rests(state, position) is counts
    stop.state = OrderState.CANCELLED
    assert not protection.rests(state, position), "an order at its end protects nothing"


@pytest.mark.proves("T9", "T15")
def test_a_stop_that_may_have_ended_protects_nothing_until_a_row_shows_it_open() -> None:
    """The word may mean a request of ours; where nobody answers the stop may be gone."""
    state, position = ready_state(), a_position(quantity=65)
    stop = a_stop(state, protection.stop_terms(state, position, quantity=65))
    position.closers = [stop.name]
    assert protection.rests(state, position)
    stop.note(OrderEvent.QUESTION)
    assert not protection.rests(state, position)
    stop.ask(Action.MODIFY, stop.terms, NOW)
    assert not protection.rests(state, position), "a repeated request is no word of the broker"
    stop.note(OrderEvent.NO_ANSWER)
    assert not protection.rests(state, position)
    stop.note(OrderEvent.OPEN)
    assert protection.rests(state, position)


@pytest.mark.proves("T9")
def test_a_stop_of_unknown_fate_protects_nothing() -> None:
    """While a modification is in flight the old order stands; unanswered, nobody knows."""
    state, position = ready_state(), a_position(quantity=65)
    stop = a_stop(state, protection.stop_terms(state, position, quantity=65))
    position.closers = [stop.name]
    stop.ask(Action.MODIFY, stop.terms, NOW)
    assert protection.rests(state, position)
    stop.note(OrderEvent.NO_ANSWER)
    assert not protection.rests(state, position)


@pytest.mark.proves("T9")
def test_a_stop_that_we_take_back_protects_nothing() -> None:
    """The cancel may have arrived, and its answer be lost with everything else."""
    state, position = ready_state(), a_position(quantity=65)
    stop = a_stop(state, protection.stop_terms(state, position, quantity=65))
    position.closers = [stop.name]
    stop.ask(Action.CANCEL, stop.terms, NOW)
    assert stop.is_live
    assert not protection.rests(state, position)
    stop.note(OrderEvent.NO_ANSWER)
    assert stop.is_live
    assert not protection.rests(state, position)


@pytest.mark.proves("T9", "T14")
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(
    ("tighter", "behind", "counts"), [(0, 5, True), (100, 5, True), (-5, 5, False), (0, -5, False)]
)
def test_a_stop_that_somebody_moved_away_protects_nothing(
    side: Side, tighter: int, behind: int, *, counts: bool
) -> None:
    """Ours only tighten, and their limit lies behind the trigger; in paise from the plan's."""
    state, position = ready_state(), a_position(side=side, quantity=65)
    terms = protection.stop_terms(state, position, quantity=65)
    trigger = position.plan.stop_paise + side.sign * tighter
    moved = replace(terms, trigger_paise=trigger, limit_paise=trigger - side.sign * behind)
    position.closers = [a_stop(state, moved).name]
    assert protection.rests(state, position) is counts


def test_what_was_never_seen_protects_nothing() -> None:
    """No order, or one that was only answered."""
    state, position = ready_state(), a_position()
    held(state, position)
    position.entries = []
    assert not protection.rests(state, position)
    closing.tend(state, position)
    [name] = position.closers
    state.orders[name].acknowledge(BrokerOrderId("B1"))
    assert not protection.rests(state, position)


@pytest.mark.proves("T1")
@pytest.mark.parametrize(
    ("side", "stop", "limit", "inside"),
    [
        # around 100.00 the band reaches from 60.00 to 140.00
        (Side.BUY, 8_800, 6_000, True),
        (Side.BUY, 8_800, 5_995, False),
        (Side.SELL, 11_200, 14_000, True),
        (Side.SELL, 11_200, 14_005, False),
    ],
)
def test_a_stop_outside_the_present_band_protects_only_beside_the_local_rule(
    side: Side, stop: int, limit: int, *, inside: bool
) -> None:
    """Released now it would be refused; without a fresh price nothing else stands by (T1)."""
    state = ready_state()
    position = a_position(side=side, exits=plan(stop=stop))
    held(state, position)
    terms = protection.stop_terms(state, position, quantity=65)
    position.closers = [a_stop(state, replace(terms, limit_paise=limit)).id]
    protection.keep_clocks(state, position)
    assert position.verified
    state.now_ns = NOW + 30 * SECOND
    protection.keep_clocks(state, position)
    assert position.verified is inside
    lost = [audit for audit in state.out.audits if isinstance(audit, ProtectionLost)]
    assert len(lost) == (not inside)


# -- clocks


def test_a_local_rule_needs_a_fresh_price_and_a_way_out() -> None:
    """Either missing, it is no protection (T9)."""
    state, position = ready_state(), a_position()
    assert protection.is_local_rule_live(state, position)
    state.links[Link.ORDERS] = False
    assert not protection.is_local_rule_live(state, position)
    state.links[Link.ORDERS] = True
    state.now_ns += 30 * SECOND
    assert not protection.is_local_rule_live(state, position)


def test_both_clocks_start_at_the_exchanges_time_of_the_fill() -> None:
    """Heard of a second later, the fill had been without a stop for that second (T9)."""
    desk = Desk()
    desk.tell(LinkChanged(at_ns=OPEN, link=Link.ORDERS, is_up=False))
    desk.at(60).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.at(61).spot()
    row = OrderRow(
        order_id=entry.order_id,
        broker_id=desk.broker_id(entry.order_id),
        status=BrokerStatus.FILLED,
        terms=entry.terms,
        filled_quantity=195,
        filled_value_paise=195 * 10_000,
        venue_at_ns=OPEN + 60 * SECOND,
    )
    desk.tell_row(row)
    stop = desk.last(PlaceOrder)
    desk.at(62).spot()
    desk.acknowledge(stop.order_id)
    desk.at(63).spot()
    desk.row(stop.order_id, terms=stop.terms)
    [verified] = desk.told(ProtectionVerified)
    assert (verified.quantity, verified.trigger_paise, verified.limit_paise) == (195, 8_800, 7_920)
    desk.at(70).tick(last=93.0)
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms)
    assert [told.reason for told in desk.told(ProtectionLost)] == ["stop is cancelled"]
    desk.tell(LinkChanged(at_ns=desk.now, link=Link.ORDERS, is_up=True))
    desk.at(71).tick(last=92.0)
    again = desk.last(PlaceOrder)
    desk.at(74).tick(last=92.0)
    desk.row(again.order_id, terms=again.terms)
    desk.at(75).tick(last=88.0, bid=87.9)
    change = desk.last(ModifyOrder)
    desk.at(76).tick(last=88.0, bid=87.9)
    desk.row(again.order_id, BrokerStatus.FILLED, terms=change.terms, filled=195, price=87.9)
    [closed] = desk.told(PositionClosed)
    # 60 to 63 and 70 to 74 without a stop; without a way out as well until 71
    assert closed.without_stop_ns == 7 * SECOND
    assert closed.unprotected_ns == 4 * SECOND


@SIDES
def test_the_exit_itself_is_no_loss_of_protection(side: Side) -> None:
    """The stop becomes the closing order because we want it to; nobody is told."""
    desk = Desk()
    desk.at(60).spot()
    stop = desk.hold_by_hand(side, target=100 + side.sign * 5)
    bid = 105.0 if side is Side.BUY else 94.9
    desk.at(62).tick(last=bid, bid=bid, ask=bid + 0.1)
    desk.row(stop.order_id, terms=desk.last(ModifyOrder).terms)
    assert desk.told(ProtectionLost) == []
