"""What follows from the broker's no to a closing order, and from the end of one (T13, T14).

The class of a refusal decides the reaction. No class ends an exit while our fills say that
something is held, and none is repeated so fast that requests or order ids run out.
"""

from holdfast.core import bookread
from holdfast.core.books.positions import Position
from holdfast.core.orders import asking
from holdfast.core.orders.order import Order
from holdfast.core.risk.closing import BAND_HALVINGS_MAX, EDGE_AFTER_NS, decide, tend
from holdfast.core.risk.halt import raise_halt
from holdfast.core.risk.levels import is_beyond
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.domain.command import Notify, Severity
from holdfast.domain.decision import Exit, HaltLevel, Values
from holdfast.domain.event import Action
from holdfast.domain.order import OrderState, Refusal

PAUSE_NS_MAX = 10 * SECOND_NS

FREED_NS = SECOND_NS // 5
"""So long after the first refusal for funds the cash of other orders may be free."""

REFUSAL_PAUSE_NS = {
    Refusal.SELF_TRADE: SECOND_NS // 5,
    Refusal.IP: PAUSE_NS_MAX,
    Refusal.TOKEN: PAUSE_NS_MAX,
    Refusal.CLOSED_MARKET: PAUSE_NS_MAX,
}
"""How long nothing is asked again after a first refusal of each class (T13); else a second."""

RATE_TURNS = 4
"""Refusals for the rate are so often asked again after the first pause: the window goes by."""

PATIENCE = 60
"""Refusals in a row after which only every half minute is asked: order ids must last the day."""

_AT_THE_TRIGGER = (Refusal.BAND, Refusal.TRIGGER_DISTANCE)
_ORDINARY = (Refusal.SELF_TRADE, Refusal.NOT_MODIFIABLE, Refusal.BEYOND_TRIGGER)
_REPLACE = (Refusal.OTHER, Refusal.NOT_MODIFIABLE, Refusal.TRIGGER_DISTANCE, Refusal.QUANTITY)
"""Refusals of a modification after which the order is cancelled and placed anew."""


def pause_ns(reason: Refusal | None, *, refusals: int) -> int:
    """How long to wait after so many refusals in a row: doubled each time, ten seconds at most.

    `None` is a request that never left.
    """
    if refusals > PATIENCE:
        return EDGE_AFTER_NS
    first_ns = SECOND_NS if reason is None else REFUSAL_PAUSE_NS.get(reason, SECOND_NS)
    if reason is Refusal.RATE:
        refusals = max(refusals - RATE_TURNS + 1, 1)
    return min(first_ns << (refusals - 1), PAUSE_NS_MAX)


def take_refusal(
    state: State, position: Position, order: Order, *, action: Action, reason: Refusal | None
) -> None:
    """A closing order, or a request about it, was refused: the class decides the reaction (T13).

    No class ends an exit while our fills say that something is held. A move of the stop that found
    no turn among what is more urgent is no refusal: it waits for its next turn (T7).
    """
    if reason is None and action is Action.MODIFY and order.is_ordinary and order.is_live:
        _leave_move(order)
        return
    _count(state, position, order)
    position.refused = reason
    wait_ns = pause_ns(reason, refusals=position.refusals)
    if action is not Action.CANCEL:
        wait_ns = _react(state, position, order, reason, wait_ns)
    if action is Action.MODIFY and _must_replace(position, reason):
        order.must_replace = True
        wait_ns = wait_ns if position.exit is None else 0
    if reason is Refusal.OTHER:
        bookread.ask(state)  # nobody knows what it means: the book is read, and a person looks
    if reason is None and not order.is_live:
        # One that never arrived was waited for long enough: its pause began when it was sent.
        wait_ns = max(wait_ns - (state.now_ns - order.sent_at_ns), 0)
    _retry_after(state, position, order, wait_ns)
    if reason not in _ORDINARY:
        why = "not sent" if reason is None else f"refused ({reason.value})"
        text = f"{action.value} of closing order {order.id} {why}: {order.reason}"
        state.send(Notify(severity=Severity.ALARM, text=text))


def _count(state: State, position: Position, order: Order) -> None:
    """One more refusal in a row. Slices that were asked together are refused together, once."""
    asked_at_ns = max(order.sent_at_ns, order.asked_at_ns)
    if not position.refusals or asked_at_ns >= position.refused_at_ns:
        position.refusals += 1
        position.refused_at_ns = state.now_ns


def _leave_move(order: Order) -> None:
    """The move never left: it costs nothing of the order's budget, and holds nothing else back.

    The next one is asked for at the pace of trailing.
    """
    order.is_ordinary = False
    order.modifications = max(order.modifications - 1, 0)
    order.trail_moves = max(order.trail_moves - 1, 0)


def _react(
    state: State, position: Position, order: Order, reason: Refusal | None, wait_ns: int
) -> int:
    """Change what the next request asks, by the class of the refusal; returns how long it waits."""
    match reason:
        case Refusal.BEYOND_TRIGGER if position.exit is None:
            values: Values = {"refused": order.reason}
            exit_ = Exit(rule="stop_loss", level_paise=position.stop_paise, values=values)
            decide(state, position, exit_)
            return 0
        case Refusal.BAND:
            return _halve(state, position, wait_ns)
        case Refusal.TRIGGER_DISTANCE if position.exit is None:
            return _recompute(position, wait_ns)
        case Refusal.QUANTITY:
            return _slice_smaller(position, order, wait_ns)
        case Refusal.FUNDS:
            return _free_funds(state, position, wait_ns)
        case _:
            return wait_ns


def _must_replace(position: Position, reason: Refusal | None) -> bool:
    """Whether a refused modification is not asked again: the order is cancelled and placed anew."""
    if reason is Refusal.TRIGGER_DISTANCE and position.exit is None:
        return position.distance_refusals > 1
    return reason in _REPLACE


def _halve(state: State, position: Position, wait_ns: int) -> int:
    """Outside the band: half way back towards the last price at once, until it can have moved."""
    if state.now_ns - position.band_refused_at_ns >= EDGE_AFTER_NS:
        position.band_refusals = 0
    position.band_refused_at_ns = state.now_ns
    position.band_refusals += 1
    if position.band_refusals <= BAND_HALVINGS_MAX:
        return 0
    return EDGE_AFTER_NS if position.exit is None else wait_ns


def _recompute(position: Position, wait_ns: int) -> int:
    """The stop's limit lies too far behind its trigger: half as far, at once, but only once."""
    position.distance_refusals += 1
    return 0 if position.distance_refusals == 1 else wait_ns


def _slice_smaller(position: Position, order: Order, wait_ns: int) -> int:
    """So much is not taken, whatever the master says: half as much in one order, down to a lot."""
    lot, refused = position.instrument.lot_size, order.own_terms[-1].quantity
    if refused <= lot:
        return wait_ns
    position.slice_most = max(refused // 2 // lot * lot, lot)
    return 0


def _free_funds(state: State, position: Position, wait_ns: int) -> int:
    """No cash for a closing order. For an exit the other orders of its key are taken back first.

    A stop leaves the position to the local rule, and nothing more is entered (T12).
    """
    if position.exit is None:
        raise_halt(state, HaltLevel.PAUSE, f"no funds for the stop of position {position.number}")
        return wait_ns
    for other in tuple(state.live):
        if other.key == position.key and other is not position:
            tend(state, other)
    return FREED_NS if position.refusals == 1 else wait_ns


def _retry_after(state: State, position: Position, order: Order, wait_ns: int) -> None:
    """Ask again after `wait_ns`, at the same rung of the ladder."""
    position.reprice_at_ns = state.now_ns + wait_ns
    position.reprice_same_rung = True
    if order.is_live:
        asking.hold(state, order, wait_ns)
    else:
        position.retry_at_ns = state.now_ns + wait_ns


def take_death(state: State, position: Position, closer: Order, *, is_settled: bool) -> None:
    """A closing order came to its end; what is still held goes out under the next attempt.

    A stop that ends at its trigger is an exit decision in the same step (T1); one that ends
    elsewhere is placed again after a moment. `is_settled`: we had asked for the end, or know why
    it came and when to try again. An exit that keeps dying is sent again at once only the first
    time.
    """
    if not position.is_open:
        return
    if position.exit is None and (_is_at_stop(state, position) or _was_released(closer)):
        quote = state.quote(position.id)
        values: Values = {"stop": closer.state.value, "text": closer.reason}
        exit_ = Exit(
            rule=stop_rule(position, position.stop_paise),
            level_paise=position.stop_paise,
            price_paise=quote.last_paise,
            values=values,
        )
        decide(state, position, exit_)
    elif not is_settled:
        position.deaths += 1
        is_first_exit = position.exit is not None and position.deaths == 1
        wait_ns = 0 if is_first_exit else pause_ns(None, refusals=position.deaths)
        position.retry_at_ns = state.now_ns + wait_ns
        if position.exit is None and closer.state is OrderState.CANCELLED:
            _take_touch(state, position, closer, "cancelled")
        else:
            text = f"closing order {closer.id} ended ({closer.state.value}): {closer.reason}"
            state.send(Notify(severity=Severity.ALARM, text=text))


def _was_released(stop: Order) -> bool:
    """Whether a stop that rested died of what is checked only when it triggers (T1).

    The price that triggered it may reach us later than its end.
    """
    return stop.has_rested and stop.state is OrderState.REJECTED and stop.refusal in _AT_THE_TRIGGER


def take_change(state: State, position: Position, stop: Order) -> None:
    """Somebody gave a stop of ours other terms: ours are asked for again, once (T14)."""
    if position.exit is not None or stop.name not in position.closers:
        return
    _take_touch(state, position, stop, "changed")
    if not position.stop_is_owners and asking.may_ask(state, stop):
        asking.modify(state, stop, stop.own_terms[-1])


def _take_touch(state: State, position: Position, stop: Order, what: str) -> None:
    """Somebody cancelled or changed a stop of ours. A second time, it is that person's will (T14).

    Slices that were touched together count once: a second time is one that we have asked for
    since.
    """
    values: Values = {"position": position.number, "order": stop.id, "text": stop.reason}
    if position.stop_touched_ns is None or stop.asked_at_ns < position.stop_touched_ns:
        position.stop_touched_ns = state.now_ns
        state.alarm(f"somebody {what} a stop of ours: it is asked for again, once", values)
    elif not position.stop_is_owners:
        position.stop_is_owners = True
        state.alarm(f"somebody {what} a stop of ours again: it is left so", values)


def _is_at_stop(state: State, position: Position) -> bool:
    """Whether the last trade or the closing side is at the stop level or past it."""
    quote = state.quote(position.id)
    closing = quote.closing_paise(position.sign)
    prices = [quote.last_paise] if closing is None else [quote.last_paise, closing]
    return any(is_beyond(position.sign, price, position.stop_paise) for price in prices)


def stop_rule(position: Position, level_paise: int | None) -> str:
    """The rule that a stop at a level stands for."""
    return "stop_loss" if level_paise == position.plan.stop_paise else "trailing_stop"


def take_entry_end(state: State, position: Position) -> None:
    """The entry is dead: an exit that met it in the book may go at once (T6)."""
    if position.refused is Refusal.SELF_TRADE:
        position.retry_at_ns = state.now_ns
