"""Executing exits: one closing order per position, brought in line with what is needed now.

`tend` is level-triggered: it looks at the position and its orders and sends what is missing. It
may be called after any event and any number of times; what is already asked is not asked again.
Nothing here can make two closing orders live at once: a new one is placed only when the one
before is known to be at its end.
"""

from holdfast.core.books.positions import Position
from holdfast.core.orders import asking
from holdfast.core.orders.order import MODIFICATIONS_MAX, Order
from holdfast.core.risk import protection
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import ExitDecided
from holdfast.domain.command import Notify, Severity
from holdfast.domain.decision import Exit, HaltLevel, Values
from holdfast.domain.event import Action
from holdfast.domain.order import OrderState, OrderTerms, OrderType, Purpose, Refusal

LADDER_BPS = (0, 50, 100, 200, 500)
"""How far through the touch each pricing goes; after these it is the band's edge."""

REPRICE_AFTER_S = (1, 1, 2, 3, 5)
"""Seconds between pricings; the last one repeats."""

EDGE_AFTER_NS = 30 * SECOND_NS
MODIFICATIONS_BEFORE_REPLACE = MODIFICATIONS_MAX - 2


def decide(state: State, position: Position, exit_: Exit, *, price_after_ns: int = 0) -> None:
    """Take a rule's decision. The first one stands; its orders leave in this step.

    A closing order that works already is priced again only after `price_after_ns`.
    """
    if position.exit is not None or position.is_closed:
        return
    position.exit = exit_
    position.exit_at_ns = state.now_ns
    position.ladder_step = 0
    position.reprice_at_ns = state.now_ns + price_after_ns
    position.retry_at_ns = 0
    state.tell(ExitDecided(position=position.number, exit=exit_))


def close_by_hand(state: State, number: int | None, reason: str) -> None:
    """A person asked to close one position."""
    position = state.positions.get(number) if number is not None else None
    if position is None or position.is_closed:
        state.alarm("no such open position", {"position": number or 0})
        return
    decide(state, position, Exit(rule="operator", values={"reason": reason}))


def tend(state: State, position: Position) -> None:
    """Bring the position's orders in line with what it needs now."""
    if position.is_closed:
        return
    _tend_entry(state, position)
    closer = _closer(state, position)
    if not position.is_open:
        _tend_orphan(state, closer)
    elif closer is None or not closer.is_live:
        _place_closer(state, position)
    elif position.exit is None:
        if closer.is_settled:
            protection.follow(state, position, closer)
    else:
        _tend_exit(state, position, closer)


def _closer(state: State, position: Position) -> Order | None:
    return None if position.closer is None else state.orders[position.closer]


def _tend_entry(state: State, position: Position) -> None:
    """Cancel what is left of the entry when it must not fill any more (T6)."""
    entry = state.orders[position.entry]
    if not entry.is_live:
        return
    life_ns = state.settings.entries.life_s * SECOND_NS
    is_over = (
        position.exit is not None
        or state.halt is not HaltLevel.NONE
        or state.now_ns >= entry.sent_at_ns + life_ns
        or state.now_ns >= position.plan.close_out_ns
    )
    if is_over and entry.is_settled:
        asking.cancel(state, entry)


def _tend_orphan(state: State, closer: Order | None) -> None:
    """Nothing is held: a closing order that still rests would open a position."""
    if closer is not None and closer.is_settled:
        asking.cancel(state, closer)


def _place_closer(state: State, position: Position) -> None:
    """No closing order lives: send the next one, when it may go."""
    session = state.session(position.instrument.exchange)
    if session is None or not session.is_open(state.now_ns):
        return
    if state.now_ns < position.retry_at_ns:
        _come_back(state, position, position.retry_at_ns)
        return
    if position.exit is None:
        protection.place_stop(state, position)
        return
    position.exit_attempts += 1
    terms = exit_terms(state, position, filled_quantity=0)
    order = asking.place(
        state, position, Purpose.EXIT, attempt=position.exit_attempts, terms=terms
    )
    position.closer = order.id
    position.replace_closer = False
    _priced(state, position)


def _tend_exit(state: State, position: Position, closer: Order) -> None:
    """An exit is decided and a closing order lives: make it the exit, and price it."""
    match closer.state:
        case OrderState.WORKING | OrderState.PARTLY_FILLED:
            _work_exit(state, position, closer)
        case OrderState.MODIFYING | OrderState.UNKNOWN:
            if closer.asked is not Action.MODIFY:
                return
            if asking.is_given_up(state, closer):
                # The change was never seen: cancel, wait for evidence, place (T2).
                state.exit_by_modify = False
                position.replace_closer = True
                asking.cancel(state, closer)
            elif closer.terms.order_type is OrderType.STOP_LIMIT:
                # A stop was being moved when the exit was decided: the newest values win (T3).
                _modify_to_exit(state, position, closer)
        case _:
            return  # sent: its number is not known; cancelling: its end is awaited


def _work_exit(state: State, position: Position, closer: Order) -> None:
    """The closing order rests and nothing is in flight."""
    is_limit = closer.terms.order_type is OrderType.LIMIT or closer.was_triggered
    is_spent = closer.modifications >= MODIFICATIONS_BEFORE_REPLACE
    if position.replace_closer or is_spent or not (is_limit or state.exit_by_modify):
        asking.cancel(state, closer)
        return
    covers = closer.terms.quantity - closer.filled_quantity == position.open_quantity
    if not is_limit or not covers:
        _modify_to_exit(state, position, closer)
    elif state.now_ns >= position.reprice_at_ns:
        position.ladder_step += 1
        _reprice(state, position, closer)
    else:
        _come_back(state, position, position.reprice_at_ns)


def _modify_to_exit(state: State, position: Position, closer: Order) -> None:
    terms = exit_terms(state, position, filled_quantity=closer.filled_quantity)
    asking.modify(state, closer, terms)
    _priced(state, position)


def _reprice(state: State, position: Position, closer: Order) -> None:
    terms = exit_terms(state, position, filled_quantity=closer.filled_quantity)
    if terms != closer.terms:
        asking.modify(state, closer, terms)
    _priced(state, position)


def _priced(state: State, position: Position) -> None:
    """Set when the exit is priced again."""
    step = position.ladder_step
    if step >= len(LADDER_BPS):
        after_ns = EDGE_AFTER_NS
    else:
        after_ns = REPRICE_AFTER_S[min(step, len(REPRICE_AFTER_S) - 1)] * SECOND_NS
    position.reprice_at_ns = state.now_ns + after_ns
    _come_back(state, position, position.reprice_at_ns)


def _come_back(state: State, position: Position, at_ns: int) -> None:
    state.timers.set(TimerKey(Rank.POSITION, position.number, "price"), at_ns)


def exit_terms(state: State, position: Position, *, filled_quantity: int) -> OrderTerms:
    """The closing limit order at the present rung of the ladder; quantity is filled plus open."""
    return OrderTerms(
        instrument=position.id,
        product=position.key.product,
        side=position.side.opposite,
        order_type=OrderType.LIMIT,
        quantity=filled_quantity + position.open_quantity,
        limit_paise=exit_price_paise(state, position),
    )


def exit_price_paise(state: State, position: Position) -> int:
    """A marketable price inside the band, deeper with every rung.

    With no usable price it is the band's edge around the last known one; every refusal by the band
    halves the distance to the last price (T13, T16).
    """
    quote = state.quote(position.id)
    now = state.now_ns
    limits = state.settings.freshness
    usable = quote.fault(now, limits) is None or quote.has_read(now, limits)
    touch = quote.closing_paise(position.sign) if usable else None
    rules = state.price_rules(position.instrument)
    low, high = quote.extremes(now)
    edge = rules.band(high)[0] if position.sign > 0 else rules.band(low)[1]
    if touch is None or position.ladder_step >= len(LADDER_BPS):
        price = edge
    else:
        bps = LADDER_BPS[position.ladder_step]
        through = touch * bps // 10_000
        deepest = max if position.sign > 0 else min
        price = deepest(touch - position.sign * through, edge)
    price = quote.last_paise + (price - quote.last_paise) // 2**position.band_refusals
    instrument = position.instrument
    rounded = instrument.round_up(price) if position.sign > 0 else instrument.round_down(price)
    return max(rounded, instrument.price_step_paise)


REFUSAL_PAUSE_NS = {
    Refusal.RATE: SECOND_NS,
    Refusal.FUNDS: SECOND_NS,
    Refusal.QUANTITY: SECOND_NS,
    Refusal.TRIGGER_DISTANCE: SECOND_NS,
    Refusal.SELF_TRADE: SECOND_NS // 5,
    Refusal.IP: 10 * SECOND_NS,
    Refusal.TOKEN: 10 * SECOND_NS,
    Refusal.CLOSED_MARKET: 10 * SECOND_NS,
}
"""How long nothing is asked again after a refusal of each class (T13); the others do not wait."""

_ORDINARY = frozenset({Refusal.SELF_TRADE, Refusal.NOT_MODIFIABLE, Refusal.BEYOND_TRIGGER})


def take_refusal(
    state: State, position: Position, order: Order, action: Action, refusal: Refusal | None
) -> None:
    """A closing order, or a request about it, was refused: the class decides the reaction (T13).

    No class ends an exit while our fills say that something is held.
    """
    reason = refusal or Refusal.OTHER
    if reason in REFUSAL_PAUSE_NS:
        position.retry_at_ns = state.now_ns + REFUSAL_PAUSE_NS[reason]
        position.reprice_at_ns = position.retry_at_ns
    elif reason is Refusal.BEYOND_TRIGGER:
        level = position.stop_paise
        values: Values = {"refused": order.reason}
        decide(state, position, Exit(rule="stop_loss", level_paise=level, values=values))
    elif reason is Refusal.BAND:
        _take_band(state, position)
    elif reason is Refusal.NOT_MODIFIABLE or action is Action.CANCEL:
        asking.find(state, order)
    elif action is Action.MODIFY:
        position.replace_closer = True
    else:
        position.retry_at_ns = state.now_ns + SECOND_NS
    if reason not in _ORDINARY:
        text = f"{action.value} of closing order {order.id} refused ({reason.value}): {order.reason}"
        state.send(Notify(severity=Severity.ALARM, text=text))


def _take_band(state: State, position: Position) -> None:
    """Outside the band: an exit goes half way back at once, a stop waits for a new reference."""
    if position.exit is None:
        position.retry_at_ns = state.now_ns + EDGE_AFTER_NS
        return
    position.band_refusals = min(position.band_refusals + 1, 6)
    position.retry_at_ns = position.reprice_at_ns = state.now_ns


def take_death(state: State, position: Position, closer: Order) -> None:
    """A closing order came to its end with contracts still held.

    A stop that ends at its trigger is an exit decision in the same step (T1); one that ends
    elsewhere is placed again after a moment.
    """
    if not position.is_open or position.exit is not None:
        return
    quote = state.quote(position.id)
    closing = quote.closing_paise(position.sign)
    touched = position.sign * quote.last_paise <= position.sign * position.stop_paise or (
        closing is not None and position.sign * closing <= position.sign * position.stop_paise
    )
    if closer.was_triggered or touched:
        values: Values = {"stop": closer.state.value, "text": closer.reason}
        moved = position.stop_paise != position.plan.stop_paise
        rule = "trailing_stop" if moved else "stop_loss"
        level, price = position.stop_paise, quote.last_paise
        decide(state, position, Exit(rule=rule, level_paise=level, price_paise=price, values=values))
    else:
        position.retry_at_ns = max(position.retry_at_ns, state.now_ns + SECOND_NS)
