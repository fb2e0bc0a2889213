"""Executing exits: the closing orders of a position, brought in line with what is needed now.

`tend` is level-triggered: it looks at the position and its orders and sends what is missing. It
may be called after any event and any number of times; what is already asked is not asked again.
One order closes a position, several where one would be above the freeze quantity (T23). Nothing
here lets them fill more than is held: what is sent or enlarged is only what those that live, at
worst, would leave open (T4).
"""

from collections.abc import Sequence

from msgspec.structs import replace

from holdfast.core import bookread, ration
from holdfast.core.books.positions import Position
from holdfast.core.orders import asking
from holdfast.core.orders.ids import ATTEMPT_MAX, SLICE_MAX, OrderReason
from holdfast.core.orders.order import Order
from holdfast.core.orders.slices import may_take_more, most_of, share_out, split
from holdfast.core.risk import leaving, protection
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import Drifted, State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import ExitDecided
from holdfast.domain.command import Notify, Severity
from holdfast.domain.decision import Exit, HaltLevel, Values
from holdfast.domain.event import Action
from holdfast.domain.order import OrderId, OrderTerms, OrderType, Purpose, Refusal, Side

LADDER_BPS = (0, 50, 100, 200, 500)
"""How far through the touch each pricing goes; after these it is the band's edge."""

REPRICE_AFTER_S = (1, 1, 2, 3, 5)
"""Seconds from each pricing to the next; at the edge it is `EDGE_AFTER_NS`."""

EDGE_AFTER_NS = protection.BAND_MOVES_NS
BAND_HALVINGS_MAX = 6

BARRED_NS = 10 * SECOND_NS
"""So long an exit, or the next stop, may wait for the broker's book before a person is called."""


def decide(state: State, position: Position, exit_: Exit, *, price_after_ns: int = 0) -> None:
    """Take a rule's decision. The first one stands; its orders leave in this step.

    A closing order that works already is priced again only after `price_after_ns`. Nothing that a
    stop had to wait for holds the exit back.
    """
    if position.exit is not None or position.is_closed:
        return
    position.exit = exit_
    position.exit_at_ns = state.now_ns
    position.reprice_at_ns = state.now_ns + price_after_ns
    position.retry_at_ns = 0
    position.refusals = position.deaths = position.band_refusals = 0
    for closer in live_closers(state, position):
        closer.held_until_ns = 0
    state.tell(ExitDecided(position=position.number, exit=exit_))


def close_by_hand(
    state: State, number: int | None, reason: str, *, is_anyway: bool = False
) -> None:
    """A person asked to close one position; `is_anyway`: without waiting for the broker's book."""
    position = state.positions.get(number) if number is not None else None
    if position is None:
        state.alarm("no such open position", {"position": number or 0})
        return
    if is_anyway and not position.is_closed:
        state.book.anyway.add(position.number)
    decide(state, position, Exit(rule="operator", values={"reason": reason}))
    if position.is_closed or (position.is_open and not position.closable_quantity):
        text = f"position {position.number} is already flat at the broker: nothing is left to close"
        state.send(Notify(severity=Severity.INFO, text=text))


def tend(state: State, position: Position) -> None:
    """Bring the position's orders in line with what it needs now."""
    if position.is_closed or state.book.is_applying:
        return
    _tend_entries(state, position)
    _tend_strays(state, position)
    closers = live_closers(state, position)
    _call_barred(state, position, closers)
    allowed = 0 if _yields(state, position) else position.closable_quantity
    unwanted = [c for c in closers if not allowed or c.terms.side is not position.closing_side]
    for closer in unwanted:
        _tend_unwanted(state, closer)
    if not allowed or unwanted or leaving.must_wait(state, position):
        return
    if ration.must_read(state, position):
        _wait_for_read(state, position, closers, allowed)
    else:
        _tend_closers(state, position, closers, allowed)


def _tend_closers(state: State, position: Position, closers: Sequence[Order], allowed: int) -> None:
    """Share out what is to be closed among the orders that close, and send what they lack."""
    shares, left = _share(state, position, closers, allowed)
    if position.exit is not None:
        _tend_exit(state, position, closers, shares)
    else:
        for closer in closers:
            if asking.may_ask(state, closer):
                protection.follow(state, position, closer, shares[closer.name])
    most = most_of_slice(position)
    waits = any(may_take_more(one, most=most, now_ns=state.now_ns) for one in closers)
    if left and not waits:
        _place_closers(state, position, split(left, most))


def _share(
    state: State, position: Position, closers: Sequence[Order], allowed: int
) -> tuple[dict[OrderId, int], int]:
    """What each closing order should still fill, and what is left for new ones."""
    most = most_of_slice(position)
    strays = sum(stray.could_fill for stray in _live_strays(state, position))
    return share_out(closers, allowed, most=most, strays=strays, now_ns=state.now_ns)


def _yields(state: State, position: Position) -> bool:
    """Whether its stop takes the cash that an exit in its key was refused for (T13).

    The local rule holds it meanwhile.
    """
    return position.exit is None and any(
        other.key == position.key
        and other.is_open
        and other.exit is not None
        and other.refused is Refusal.FUNDS
        for other in state.live
    )


def live_closers(state: State, position: Position) -> list[Order]:
    """The orders that close a position and could still fill, the oldest first."""
    orders = [state.orders[name] for name in position.closers]
    return [order for order in orders if order.is_live]


def _live_strays(state: State, position: Position) -> list[Order]:
    """Those that came back to life beside them, on the closing side."""
    orders = [state.orders[name] for name in position.strays]
    return [o for o in orders if o.is_live and o.terms.side is position.closing_side]


def most_of_slice(position: Position) -> int:
    """The largest closing order: that of the contract, less where the broker refused it (T13)."""
    most = most_of(position.instrument)
    return most if position.slice_most is None else min(most, position.slice_most)


# -- entries and strays


def _tend_entries(state: State, position: Position) -> None:
    """Cancel what is left of entries that must not fill any more (T6), before anything is sold.

    An exit takes back every entry in its key: it would meet them in the book.
    """
    is_leaving = position.exit is not None and position.is_open
    for other in state.live:
        is_met = is_leaving and other.key == position.key
        for name in other.entries:
            entry = state.orders[name]
            if not entry.is_settled:  # most have filled: each look at one walks over all of them
                continue
            if asking.may_ask(state, entry) and (is_met or _is_entry_over(state, other, entry)):
                asking.cancel(state, entry)


def _is_entry_over(state: State, position: Position, entry: Order) -> bool:
    life_ns = state.settings.entries.life_s * SECOND_NS
    return (
        entry.sent_at_ns <= state.book.began_ns  # another process sent it: nobody waits for it now
        or position.exit is not None
        or state.halt is not HaltLevel.NONE
        or state.is_stopping
        or state.now_ns >= entry.sent_at_ns + life_ns
        or state.now_ns >= position.plan.close_out_ns
    )


def _tend_strays(state: State, position: Position) -> None:
    """Former closing orders that came back to life would close twice."""
    for name in position.strays:
        stray = state.orders[name]
        if asking.may_ask(state, stray):
            asking.cancel(state, stray)


def _tend_unwanted(state: State, closer: Order) -> None:
    """Nothing is held, or on the other side: what it could still fill would open a position."""
    is_modifying = closer.asked is Action.MODIFY and not closer.is_settled
    if is_modifying or asking.may_ask(state, closer):
        asking.cancel(state, closer)


def _place_closers(state: State, position: Position, quantities: Sequence[int]) -> None:
    """The orders that live do not close it all: send more, when they may go."""
    session = state.session(position.instrument.exchange)
    if session is None or not session.is_open(state.now_ns):
        return
    if not _may_place(state, position):
        return
    if position.exit is None and not leaving.wants_stop(position):
        return
    attempts = position.stop_attempts if position.exit is None else position.exit_attempts
    if position.exit is None and position.stop_is_owners:
        return  # twice somebody took it away (T14): the local rule holds
    if state.now_ns < position.retry_at_ns:
        _come_back(state, position, position.retry_at_ns)
    elif attempts + attempts_for(quantities) > ATTEMPT_MAX:
        _give_up(state, position)
    else:
        _place_slices(state, position, quantities)


def attempts_for(quantities: Sequence[int]) -> int:
    """How many numbers of attempts so many slices take."""
    return -(-len(quantities) // (SLICE_MAX + 1))


def _place_slices(state: State, position: Position, quantities: Sequence[int]) -> None:
    """One order for each quantity, in one step, as a stop or as the exit."""
    is_stop = position.exit is None
    position.closers = [closer.name for closer in live_closers(state, position)]
    attempts = position.stop_attempts if is_stop else position.exit_attempts
    for number, quantity in enumerate(quantities):
        further, slice_number = divmod(number, SLICE_MAX + 1)
        purpose = Purpose.STOP if is_stop else Purpose.EXIT
        reason = OrderReason(purpose, position.number, attempts + 1 + further, slice_number)
        terms_of = protection.stop_terms if is_stop else exit_terms
        terms = terms_of(state, position, quantity=quantity)
        position.closers.append(asking.place(state, position, reason, terms=terms).name)
    if is_stop:
        position.stop_attempts += attempts_for(quantities)
    else:
        position.exit_attempts += attempts_for(quantities)
        _priced(state, position)


def _wait_for_read(
    state: State, position: Position, closers: Sequence[Order], allowed: int
) -> None:
    """Others may close what we hold: only what could close too much is taken away (T11).

    The orders that rest go on; whoever waits to get out calls a person each 10 s.
    """
    bookread.ask_soon(state)
    if not closers:
        return  # `_call_barred` speaks of these
    shares, _ = _share(state, position, closers, allowed)
    for closer in closers:
        if asking.may_ask(state, closer) and shares[closer.name] < closer.open_quantity:
            _cut(state, closer, shares[closer.name])
    since_ns = max(position.exit_at_ns, position.barred_told_ns)
    if position.exit is not None and state.now_ns - since_ns >= BARRED_NS:
        position.barred_told_ns = state.now_ns
        values: Values = {"position": position.number, "by_hand": leaving.by_hand(position)}
        state.alarm("an exit waits for the broker's book: others trade there", values)


def _cut(state: State, closer: Order, share: int) -> None:
    """Leave an order only its share, at its own price; nothing left of it is a cancel."""
    if share:
        quantity = closer.filled_quantity + share
        asking.modify(state, closer, replace(closer.terms, quantity=quantity))
    else:
        asking.cancel(state, closer)


def _may_place(state: State, position: Position) -> bool:
    """Whether a new closing order may exist: none that we do not know of can be at the broker.

    Not before a read has listed today's orders (T21), nor in a key that has moved since the start
    and may yet settle (T22); not while the broker holds less than our fills say and nobody knows
    why (T5).
    """
    if ration.must_read(state, position):
        return False
    is_read = state.book.is_listed and position.key not in state.book.awaited
    return (is_read or position.number in state.book.anyway) and _doubt(state, position) is None


def _doubt(state: State, position: Position) -> Drifted | None:
    """A difference with the broker in the position's key that nobody explains yet."""
    drifted = state.drifts.get(position.key)
    return drifted if drifted is not None and drifted.is_doubt else None


def _call_barred(state: State, position: Position, closers: Sequence[Order]) -> None:
    """Too little known rests at the broker, no more may be placed: a person hears each 10 s."""
    resting = sum(one.open_quantity for one in closers if one.broker_id is not None)
    if resting >= position.closable_quantity or _may_place(state, position):
        return
    is_leaving = position.exit is not None
    since_ns = position.exit_at_ns if is_leaving else position.stop_missing_since_ns
    if since_ns is None:
        return  # it was protected until this step
    since_ns = max(state.book.began_ns, since_ns, position.barred_told_ns)
    if state.now_ns - since_ns < BARRED_NS:
        return
    position.barred_told_ns = state.now_ns
    who = "an exit" if is_leaving else "a position without a stop"
    doubt = _doubt(state, position)
    values: Values = {"position": position.number, "by_hand": leaving.by_hand(position)}
    more: Values = {"or": "close it anyway"} if doubt is None else {"at_broker": doubt.theirs}
    state.alarm(f"{who} waits for the broker's book", {**values, **more})


def _give_up(state: State, position: Position) -> None:
    """The day's order ids for this purpose are used up: a person must know, again and again."""
    position.retry_at_ns = state.now_ns + EDGE_AFTER_NS
    todo = leaving.by_hand(position)
    text = f"no more closing orders for position {position.number} today: {todo} by hand"
    state.send(Notify(severity=Severity.ALARM, text=text))


def _tend_exit(
    state: State, position: Position, closers: Sequence[Order], shares: dict[OrderId, int]
) -> None:
    """An exit is decided: make every closing order that lives part of it, at one price (T23)."""
    free = [closer for closer in closers if asking.may_ask(state, closer)]
    fitting = [
        closer
        for closer in free
        if closer.is_released
        and not _must_replace(state, closer)
        and shares[closer.name] == closer.open_quantity
    ]
    is_due = bool(fitting) and state.now_ns >= position.reprice_at_ns
    position.ladder_step += is_due and not position.reprice_same_rung
    for closer in closers:
        if closer in fitting:
            if is_due:
                _reprice(state, position, closer)
        elif closer in free:
            _adjust(state, position, closer, shares[closer.name])
        elif closer.asked is Action.MODIFY and not closer.is_settled:
            _tend_modifying(state, position, closer)
        # Else its number is not known yet, its end or an answer is awaited, or it is held back.
    if is_due:
        _priced(state, position)
    elif fitting:
        _come_back(state, position, position.reprice_at_ns)


def _tend_modifying(state: State, position: Position, closer: Order) -> None:
    """What was asked of a closing order has not been seen yet."""
    if asking.is_given_up(state, closer):
        # The change was never seen: cancel, wait for evidence, place (T2).
        state.exit_by_modify = state.exit_by_modify and closer.is_released
        closer.must_replace = True
        asking.cancel(state, closer)
    elif closer.terms.order_type is OrderType.STOP_LIMIT and not closer.is_released:
        # A stop was being moved when the exit was decided: the newest values win (T3). The total
        # stays as asked: one that is cut waits for an answer, an older request may come last.
        if state.exit_by_modify:
            terms = exit_terms(state, position, quantity=closer.terms.quantity)
            asking.modify(state, closer, terms)
            _priced(state, position)
        else:
            asking.cancel(state, closer)


def _adjust(state: State, position: Position, closer: Order, share: int) -> None:
    """A closing order rests, and is not yet the exit, or for another quantity than its share."""
    if not share or _must_replace(state, closer):
        asking.cancel(state, closer)
        return
    terms = exit_terms(state, position, quantity=closer.filled_quantity + share)
    asking.modify(state, closer, terms)
    _priced(state, position)


def _must_replace(state: State, closer: Order) -> bool:
    """Whether a closing order cannot become what is needed by a modification."""
    return (
        closer.must_replace
        or closer.modifications >= protection.MODIFICATIONS_BEFORE_REPLACE
        or not (closer.is_released or state.exit_by_modify)
    )


def _reprice(state: State, position: Position, closer: Order) -> None:
    terms = exit_terms(state, position, quantity=closer.terms.quantity)
    if terms != closer.terms:
        asking.modify(state, closer, terms)


def _priced(state: State, position: Position) -> None:
    """Set when the exit is priced again."""
    position.reprice_same_rung = False
    is_at_edge = position.ladder_step >= len(LADDER_BPS)
    after_ns = EDGE_AFTER_NS if is_at_edge else REPRICE_AFTER_S[position.ladder_step] * SECOND_NS
    position.reprice_at_ns = state.now_ns + after_ns
    _come_back(state, position, position.reprice_at_ns)


def _come_back(state: State, position: Position, at_ns: int) -> None:
    state.timers.set(TimerKey(Rank.POSITION, position.number, "price"), at_ns)


def exit_terms(state: State, position: Position, *, quantity: int) -> OrderTerms:
    """A closing limit order at the present rung of the ladder; `quantity` is filled plus open."""
    return OrderTerms(
        instrument=position.id,
        product=position.key.product,
        side=position.closing_side,
        order_type=OrderType.LIMIT,
        quantity=quantity,
        limit_paise=exit_price_paise(state, position),
    )


def newest_terms(state: State, order: Order) -> OrderTerms:
    """What a repeated modification asks for: an exit at the present price, the total as asked (T3)."""
    position = state.positions[order.position]
    is_exit = order.asked is Action.MODIFY and order.terms.order_type is OrderType.LIMIT
    if position.exit is None or not is_exit or order.purpose is Purpose.ENTRY:
        return order.terms
    return exit_terms(state, position, quantity=order.terms.quantity)


def exit_price_paise(state: State, position: Position) -> int:
    """A marketable price inside the band, deeper with every rung.

    With no usable price it is the band's edge around the last known one; every refusal by the band
    halves the distance to the last price (T13, T16) until the band can have moved.
    """
    quote = state.quote(position.id)
    last, extremes = quote.last_paise, quote.extremes(state.now_ns)
    price = _into_band(state, position, _rung_paise(state, position), extremes)
    if state.now_ns - position.band_refused_at_ns < EDGE_AFTER_NS:
        halvings = min(position.band_refusals, BAND_HALVINGS_MAX)
        price = last + (price - last) // 2**halvings
        price = _into_band(state, position, price, (last, last))
    return max(price, position.instrument.price_step_paise)


def _into_band(
    state: State, position: Position, price_paise: int, extremes: tuple[int, int]
) -> int:
    """The nearest price on the step that is allowed around every reference between the extremes.

    Where no price is, it is the edge at which a counterpart is likeliest.
    """
    instrument, rules = position.instrument, state.price_rules(position.instrument)
    low, high = extremes
    lowest = instrument.round_up(rules.band(high)[0])
    highest = instrument.round_down(rules.band(low)[1])
    if position.closing_side is Side.SELL:
        return max(min(instrument.round_up(price_paise), highest), lowest)
    return min(max(instrument.round_down(price_paise), lowest), highest)


def _rung_paise(state: State, position: Position) -> int:
    """The price of the present rung: the touch or beyond it; without one the band decides."""
    quote = state.quote(position.id)
    now, limits = state.now_ns, state.settings.freshness
    usable = quote.fault(now, limits) is None or quote.has_read(now, limits)
    side = position.closing_side
    touch = quote.closing_paise(side.opposite.sign) if usable else None
    if touch is None or position.ladder_step >= len(LADDER_BPS):
        low, high = quote.extremes(now)
        rules = state.price_rules(position.instrument)
        return rules.band(high)[0] if side is Side.SELL else rules.band(low)[1]
    return touch + side.sign * (touch * LADDER_BPS[position.ladder_step] // 10_000)


def take_revival(state: State, position: Position, order: Order) -> None:
    """An order that was at its end lives. It closes beside the others as far as there is room.

    One for which there is none is cancelled, and with nothing beside it is cut to what is held.
    """
    if order.purpose is Purpose.ENTRY or order.name in position.strays:
        return
    if order.name in position.closers:
        position.closers.remove(order.name)
    join(state, position, order)


def join(state: State, position: Position, order: Order) -> None:
    """Take a closing order in: beside others only where together they close no more than held."""
    others = sum(one.could_fill for one in ration.closing_orders(state, position))
    if not others or others + order.could_fill <= position.closable_quantity:
        names = [closer.name for closer in live_closers(state, position)]
        position.closers = [*names, order.name]
    else:
        position.strays.append(order.name)
