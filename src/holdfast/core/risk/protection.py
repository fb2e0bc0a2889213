"""The stop that rests at the broker: what it should be, whether it is seen, and the clocks.

A stop protects only once its row has shown our type, trigger, limit and quantity. Until then, and
whenever it does not, the local rules do, if the price is fresh and orders can leave.
"""

from holdfast.core.books.positions import Position
from holdfast.core.orders import asking
from holdfast.core.orders.order import MODIFICATIONS_MAX, Order
from holdfast.core.risk import leaving, polling
from holdfast.core.risk.levels import stop_limit_paise
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.domain.audit import ProtectionLost, ProtectionVerified
from holdfast.domain.order import BrokerStatus, OrderTerms, OrderType, Purpose, Side

TRAIL_MOVES_MAX = 10
TRAIL_PAUSE_NS = 5 * SECOND_NS

MODIFICATIONS_BEFORE_REPLACE = MODIFICATIONS_MAX - 2
EXIT_MODIFICATIONS = 12
"""Of an order's budget so much stays for the exit (T7)."""


def stop_terms(state: State, position: Position, *, filled_quantity: int) -> OrderTerms:
    """The resting stop this position should have now; quantity is filled plus open."""
    quote = state.quote(position.id)
    limit = stop_limit_paise(
        position.instrument,
        sign=position.sign,
        trigger_paise=position.stop_paise,
        extremes=quote.extremes(state.now_ns),
        rules=state.price_rules(position.instrument),
        distance_bps=state.settings.exits.stop_limit_bps,
    )
    return OrderTerms(
        instrument=position.id,
        product=position.key.product,
        side=position.side.opposite,
        order_type=OrderType.STOP_LIMIT,
        quantity=filled_quantity + position.closable_quantity,
        limit_paise=limit,
        trigger_paise=position.stop_paise,
    )


def place_stop(state: State, position: Position) -> None:
    """Send the first or next stop of a position."""
    position.stop_attempts += 1
    order = asking.place(
        state,
        position,
        Purpose.STOP,
        attempt=position.stop_attempts,
        terms=stop_terms(state, position, filled_quantity=0),
    )
    position.closer = order.id
    position.replace_closer = False
    position.trail_moves = 0


def follow(state: State, position: Position, stop: Order) -> None:
    """Bring a settled stop in line with quantity (at once) and level (in its own time).

    One that can no longer be modified is replaced for its quantity, never for its level alone: the
    local rule holds that, and a replacement leaves a gap.
    """
    wanted = stop_terms(state, position, filled_quantity=stop.filled_quantity)
    if wanted.quantity != stop.terms.quantity:
        if position.replace_closer or stop.modifications >= MODIFICATIONS_BEFORE_REPLACE:
            asking.cancel(state, stop)
        else:
            asking.modify(state, stop, wanted)
    elif wanted.trigger_paise != stop.terms.trigger_paise and _may_trail(state, position, stop):
        position.trail_moves += 1
        position.trail_moved_at_ns = state.now_ns
        asking.modify(state, stop, wanted)


def _may_trail(state: State, position: Position, stop: Order) -> bool:
    """Whether the budget and the pace of T7 allow another move of the stop."""
    return (
        not position.replace_closer
        and position.trail_moves < TRAIL_MOVES_MAX
        and stop.modifications < MODIFICATIONS_BEFORE_REPLACE - EXIT_MODIFICATIONS
        and state.now_ns - position.trail_moved_at_ns >= TRAIL_PAUSE_NS
    )


def rests(position: Position, closer: Order | None) -> bool:
    """Whether a stop at the broker, as its row shows it, covers everything that is held."""
    if closer is None or not closer.is_live or closer.seen is None:
        return False
    return (
        closer.status is BrokerStatus.WORKING
        and closer.seen.order_type is OrderType.STOP_LIMIT
        and closer.seen.quantity - closer.filled_quantity >= position.closable_quantity
        and _is_at_our_level(position, closer.seen)
    )


def _is_at_our_level(position: Position, seen: OrderTerms) -> bool:
    """Whether a stop's row shows a trigger that we could have asked for: it only ever tightens.

    One that lies further away was moved by somebody else, and does not hold what was planned (T9).
    """
    trigger = seen.trigger_paise
    return trigger is not None and not (
        position.sign * trigger < position.sign * position.plan.stop_paise
        or position.sign * seen.limit_paise > position.sign * trigger
    )


def keep_clocks(state: State, position: Position) -> None:
    """Note when protection comes and goes, and count the time without it.

    Both clocks start at the exchange's time of the first fill, which lies before we heard of it.
    """
    closer = state.orders.get(position.closer) if position.closer is not None else None
    is_local_live = is_local_rule_live(state, position) or leaving.is_hedge(state, position)
    resting = position.is_open and rests(position, closer)
    if resting and not is_local_live:
        assert closer is not None
        resting = is_in_band(state, position, closer)
    if resting and not position.verified:
        assert closer is not None
        assert closer.seen is not None
        state.tell(
            ProtectionVerified(
                position=position.number,
                order_id=closer.id,
                quantity=closer.seen.quantity - closer.filled_quantity,
                trigger_paise=closer.seen.trigger_paise or 0,
                limit_paise=closer.seen.limit_paise,
            )
        )
    elif position.verified and position.is_open and not resting and position.exit is None:
        reason = "no closing order" if closer is None else f"stop is {closer.state.value}"
        state.tell(ProtectionLost(position=position.number, reason=reason))
    position.verified = resting
    _run_clock(state, position, is_local_live=is_local_live)


def is_in_band(state: State, position: Position, stop: Order) -> bool:
    """Whether a stop could be released at the present price.

    One that could not is refused at its trigger; it protects only beside a live local rule (T1).
    """
    assert stop.seen is not None
    low, high = state.quote(position.id).extremes(state.now_ns)
    rules = state.price_rules(position.instrument)
    if position.side is Side.BUY:
        return stop.seen.limit_paise >= rules.band(high)[0]
    return stop.seen.limit_paise <= rules.band(low)[1]


def is_local_rule_live(state: State, position: Position) -> bool:
    """Whether our own rule can close: a fresh price and a working order path (T9)."""
    fault = state.quote(position.id).fault(state.now_ns, state.settings.freshness)
    return fault is None and polling.is_path_working(state)


def _run_clock(state: State, position: Position, *, is_local_live: bool) -> None:
    now = state.now_ns if position.is_open else min(position.closed_at_ns, state.now_ns)
    if not position.verified and position.is_open:
        if position.stop_missing_since_ns is None:
            position.stop_missing_since_ns = now
    elif position.stop_missing_since_ns is not None:
        position.without_stop_ns += max(now - position.stop_missing_since_ns, 0)
        position.stop_missing_since_ns = None
    if position.is_open and not position.verified and not is_local_live:
        if position.unprotected_since_ns is None:
            position.unprotected_since_ns = now
    elif position.unprotected_since_ns is not None:
        position.unprotected_ns += max(now - position.unprotected_since_ns, 0)
        position.unprotected_since_ns = None
