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
from holdfast.domain.event import Action
from holdfast.domain.order import BrokerStatus, OrderState, OrderTerms, OrderType, Side

BAND_MOVES_NS = 30 * SECOND_NS
"""After so long the reference of the price band can have moved (T7)."""

TRAIL_MOVES_MAX = 10
TRAIL_PAUSE_NS = 5 * SECOND_NS

MODIFICATIONS_BEFORE_REPLACE = MODIFICATIONS_MAX - 2
EXIT_MODIFICATIONS = 12
"""Of an order's budget so much stays for the exit (T7)."""


_STANDING = (OrderState.WORKING, OrderState.MODIFYING)
"""States of a stop that rests; a modification of one keeps it (T2)."""


def stop_terms(state: State, position: Position, *, quantity: int) -> OrderTerms:
    """A resting stop as this position should have it now; `quantity` is filled plus open."""
    quote = state.quote(position.id)
    limit = stop_limit_paise(
        position.instrument,
        sign=position.sign,
        trigger_paise=position.stop_paise,
        extremes=quote.extremes(state.now_ns),
        rules=state.price_rules(position.instrument),
        distance_bps=_distance_bps(state, position),
    )
    return OrderTerms(
        instrument=position.id,
        product=position.key.product,
        side=position.side.opposite,
        order_type=OrderType.STOP_LIMIT,
        quantity=quantity,
        limit_paise=limit,
        trigger_paise=position.stop_paise,
    )


def _distance_bps(state: State, position: Position) -> int:
    """How far behind its trigger the limit lies: half as far after each refusal for it (T13)."""
    halvings = min(position.distance_refusals, 1)
    if state.now_ns - position.band_refused_at_ns < BAND_MOVES_NS:
        halvings += position.band_refusals
    return state.settings.exits.stop_limit_bps >> halvings


def follow(state: State, position: Position, stop: Order, share: int) -> None:
    """Bring a settled stop in line with its share (at once) and the level (in its own time).

    One that can no longer be modified is replaced for its quantity, never for its level alone: the
    local rule holds that, and a replacement leaves a gap. One that is a person's by now is only
    cut (T14).
    """
    if not share:
        asking.cancel(state, stop)
        return
    if position.stop_is_owners and share >= stop.open_quantity:
        return
    wanted = stop_terms(state, position, quantity=stop.filled_quantity + share)
    if wanted.quantity != stop.terms.quantity:
        if stop.must_replace or stop.modifications >= MODIFICATIONS_BEFORE_REPLACE:
            asking.cancel(state, stop)
        else:
            asking.modify(state, stop, wanted)
    elif wanted.trigger_paise != stop.terms.trigger_paise and _may_trail(state, stop):
        stop.trail_moves += 1
        stop.trail_moved_at_ns = state.now_ns
        asking.modify(state, stop, wanted, is_ordinary=True)


def _may_trail(state: State, stop: Order) -> bool:
    """Whether the budget and the pace of T7 allow another move of the stop."""
    return (
        not stop.must_replace
        and stop.trail_moves < TRAIL_MOVES_MAX
        and stop.modifications < MODIFICATIONS_BEFORE_REPLACE - EXIT_MODIFICATIONS
        and state.now_ns - stop.trail_moved_at_ns >= TRAIL_PAUSE_NS
    )


def stops_of(state: State, position: Position) -> list[Order]:
    """The closing orders that rest as stops at the broker, as their rows show them.

    One that may have ended, or whose end we have asked for, protects nothing by itself: where
    nobody answers it may be gone (T9, T15).
    """
    orders = [state.orders[name] for name in position.closers]
    return [
        order
        for order in orders
        if order.is_live
        and order.state in _STANDING
        and not (order.may_have_ended or order.asked is Action.CANCEL)
        and order.seen is not None
        and order.status is BrokerStatus.WORKING
        and order.seen.order_type is OrderType.STOP_LIMIT
        and _is_at_our_level(position, order.seen)
    ]


def covered(stop: Order) -> int:
    """What a resting stop closes, as its row shows it, in contracts."""
    assert stop.seen is not None
    return stop.seen.quantity - stop.filled_quantity


def rests(state: State, position: Position) -> bool:
    """Whether stops at the broker, as their rows show them, cover everything that is held."""
    stops = stops_of(state, position)
    return bool(stops) and sum(covered(stop) for stop in stops) >= position.closable_quantity


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
    stops = stops_of(state, position)
    is_local_live = is_local_rule_live(state, position) or leaving.is_hedge(state, position)
    resting = position.is_open and rests(state, position)
    if resting and not is_local_live:
        resting = all(is_in_band(state, position, stop) for stop in stops)
    if resting and not position.verified:
        for stop in stops:
            _tell_verified(state, position, stop)
    elif position.verified and position.is_open and not resting and position.exit is None:
        state.tell(ProtectionLost(position=position.number, reason=_why_lost(state, position)))
    position.verified = resting
    _run_clock(state, position, is_local_live=is_local_live)


def _tell_verified(state: State, position: Position, stop: Order) -> None:
    assert stop.seen is not None
    state.tell(
        ProtectionVerified(
            position=position.number,
            order_id=stop.id,
            quantity=covered(stop),
            trigger_paise=stop.seen.trigger_paise or 0,
            limit_paise=stop.seen.limit_paise,
        )
    )


def _why_lost(state: State, position: Position) -> str:
    words = [f"stop is {state.orders[name].state.value}" for name in position.closers]
    return ", ".join(words) or "no closing order"


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


def _counted_until_ns(state: State, position: Position) -> int:
    """Now, or when it ended; what is carried is counted from the opening: the night is told (T24)."""
    if not position.is_open:
        return min(position.closed_at_ns, state.now_ns)
    session = state.session(position.instrument.exchange)
    return state.now_ns if session is None else max(state.now_ns, session.open_ns)


def _run_clock(state: State, position: Position, *, is_local_live: bool) -> None:
    # What others have closed needs no protection: the broker does not hold it (T5).
    is_exposed = position.closable_quantity > 0
    now = _counted_until_ns(state, position)
    if not position.verified and is_exposed:
        if position.stop_missing_since_ns is None:
            position.stop_missing_since_ns = now
    elif position.stop_missing_since_ns is not None:
        position.without_stop_ns += max(now - position.stop_missing_since_ns, 0)
        position.stop_missing_since_ns = None
    if is_exposed and not position.verified and not is_local_live:
        if position.unprotected_since_ns is None:
            position.unprotected_since_ns = now
    elif position.unprotected_since_ns is not None:
        position.unprotected_ns += max(now - position.unprotected_since_ns, 0)
        position.unprotected_since_ns = None
