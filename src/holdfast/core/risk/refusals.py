"""What follows from the broker's no to a closing order, and from the end of one (T13, T14).

The class of a refusal decides the reaction. No class ends an exit while our fills say that
something is held, and none is repeated so fast that requests or order ids run out.
"""

from holdfast.core.books.positions import Position
from holdfast.core.orders import asking
from holdfast.core.orders.order import Order
from holdfast.core.risk.closing import BAND_HALVINGS_MAX, EDGE_AFTER_NS, decide
from holdfast.core.risk.levels import is_beyond
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.domain.command import Notify, Severity
from holdfast.domain.decision import Exit, Values
from holdfast.domain.event import Action
from holdfast.domain.order import Refusal

PAUSE_NS_MAX = 10 * SECOND_NS
REFUSAL_PAUSE_NS = {
    Refusal.SELF_TRADE: SECOND_NS // 5,
    Refusal.IP: PAUSE_NS_MAX,
    Refusal.TOKEN: PAUSE_NS_MAX,
    Refusal.CLOSED_MARKET: PAUSE_NS_MAX,
}
"""How long nothing is asked again after a first refusal of each class (T13); else a second."""

PATIENCE = 60
"""Refusals in a row after which only every half minute is asked: order ids must last the day."""

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
    return min(first_ns << (refusals - 1), PAUSE_NS_MAX)


def take_refusal(
    state: State, position: Position, order: Order, *, action: Action, reason: Refusal | None
) -> None:
    """A closing order, or a request about it, was refused: the class decides the reaction (T13).

    No class ends an exit while our fills say that something is held.
    """
    position.refusals += 1
    position.refused = reason
    wait_ns = pause_ns(reason, refusals=position.refusals)
    if reason is Refusal.BEYOND_TRIGGER and position.exit is None:
        level = position.stop_paise
        values: Values = {"refused": order.reason}
        decide(state, position, Exit(rule="stop_loss", level_paise=level, values=values))
        wait_ns = 0
    elif reason is Refusal.BAND and action is not Action.CANCEL:
        wait_ns = _band_pause_ns(state, position, wait_ns)
    elif action is Action.MODIFY and reason in _REPLACE:
        order.must_replace = True
        wait_ns = wait_ns if position.exit is None else 0
    _retry_after(state, position, order, wait_ns)
    if reason not in _ORDINARY:
        why = "not sent" if reason is None else f"refused ({reason.value})"
        text = f"{action.value} of closing order {order.id} {why}: {order.reason}"
        state.send(Notify(severity=Severity.ALARM, text=text))


def _retry_after(state: State, position: Position, order: Order, wait_ns: int) -> None:
    """Ask again after `wait_ns`, at the same rung of the ladder."""
    position.reprice_at_ns = state.now_ns + wait_ns
    position.reprice_same_rung = True
    if order.is_live:
        asking.hold(state, order, wait_ns)
    else:
        position.retry_at_ns = state.now_ns + wait_ns


def _band_pause_ns(state: State, position: Position, wait_ns: int) -> int:
    """Outside the band: an exit goes half way back at once, a stop waits for a new reference."""
    if position.exit is None:
        return EDGE_AFTER_NS
    if state.now_ns - position.band_refused_at_ns >= EDGE_AFTER_NS:
        position.band_refusals = 0
    position.band_refused_at_ns = state.now_ns
    position.band_refusals += 1
    return 0 if position.band_refusals <= BAND_HALVINGS_MAX else wait_ns


def take_death(state: State, position: Position, closer: Order, *, is_settled: bool) -> None:
    """A closing order came to its end; what is still held goes out under the next attempt.

    A stop that ends at its trigger is an exit decision in the same step (T1); one that ends
    elsewhere is placed again after a moment. `is_settled`: we had asked for the end, or know why
    it came and when to try again. An exit that keeps dying is sent again at once only the first
    time.
    """
    if not position.is_open:
        return
    if position.exit is None and _is_at_stop(state, position):
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
        text = f"closing order {closer.id} ended ({closer.state.value}): {closer.reason}"
        state.send(Notify(severity=Severity.ALARM, text=text))


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
