"""Reading the broker's whole book until two passes agree: one pass may be early, torn or stale.

What is asked is asked again until it is answered. A failed read changes nothing; where two passes
disagree they change nothing, and elsewhere what they agree on stands.

In session it is read each `reconcile.every_s`, more often while something of ours is believed to be
missing, and at once when a connection came back, an order lost its answer, a position ended, or
somebody else trades beside us.
"""

from collections import Counter

from msgspec.structs import replace

from holdfast.core.orders.order import Order
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.command import ReadBook
from holdfast.domain.dated import Session
from holdfast.domain.event import BOOK, BookRead, BookRepeated, Link, ReadFailed
from holdfast.domain.instrument import BrokerKey
from holdfast.domain.order import BrokerOrderId, OrderId, OrderRow, OrderState, OrderTerms

AGAIN_NS = SECOND_NS
"""Between a read that settled nothing and the next."""

ANSWER_NS = 10 * SECOND_NS
"""A read that has neither come nor failed by then was lost on the way (its time-out is 5 s)."""

SETTLED_NS = 3 * SECOND_NS
"""So long after a request or fill a read that does not show it is evidence (T3, T5)."""

UNSETTLED_NS = 10 * SECOND_NS
"""A key about which passes differ for so long is told, and bars nothing but entries there (T22)."""

MISSED_NS = 5 * SECOND_NS
"""So often while it is believed, and nobody has said why, that less is held than our fills say."""

BEFORE_SQUARE_OFF_NS = 60 * SECOND_NS
"""From so long before the broker's own square-off it may trade in our keys at any moment (T11)."""

_KEY = TimerKey(Rank.BOOK)


def ask(state: State) -> None:
    """Ask for a pass over the whole book, now, unless one is on its way."""
    if state.book.is_asked:
        return
    state.book.is_asked, state.book.asked_ns = True, state.now_ns
    state.send(ReadBook())
    state.timers.set(_KEY, state.now_ns + ANSWER_NS)


def ask_later(state: State, after_ns: int = AGAIN_NS) -> None:
    """Ask after a while, unless a pass is on its way or wanted earlier."""
    if not state.book.is_asked:
        state.timers.set_earlier(_KEY, state.now_ns + after_ns)


def ask_soon(state: State) -> None:
    """Ask now, or a second after the last was asked for: whoever waits for a read may ask often."""
    earliest_ns = state.book.asked_ns + AGAIN_NS
    if state.now_ns >= earliest_ns:
        ask(state)
    else:
        ask_later(state, earliest_ns - state.now_ns)


def note_link(state: State, link: Link) -> None:
    """A connection came back: what was said while it was down nobody heard.

    Entries wait for a read of which at least one pass began after it.
    """
    if link is Link.FEED or not state.instruments:
        return
    state.book.last = None
    if not state.book.open_points:
        state.book.open_points = (f"not read since {link.value} came back",)
    ask_soon(state)


def note_order(state: State, order: Order) -> None:
    """An order changed: one whose outcome was lost is looked for in the book too (T3).

    The search by its id answers most of them before.
    """
    if order.state is not OrderState.UNKNOWN:
        state.book.unknown.pop(order.name, None)
    elif order.name not in state.book.unknown:
        state.book.unknown[order.name] = state.now_ns
        ask_later(state)


def on_timer(state: State) -> None:
    """The wait is over: ask, whatever became of the pass before."""
    state.book.is_asked = False
    ask(state)


def take_answer(state: State) -> None:
    """A pass came or failed: none is on its way now."""
    state.book.is_asked = False
    state.timers.clear(_KEY)


def rest(state: State) -> None:
    """Nothing is awaited: read again in its time, while a session lasts or is to come."""
    next_ns = _next_ns(state)
    if next_ns is None:
        state.timers.clear(_KEY)
    else:
        state.timers.set(_KEY, next_ns)


def _next_ns(state: State) -> int | None:
    """When the book is read for no other reason than time: never for a closed market (I-99).

    What is due in the last stretch of a session falls after its end, and is the last of the day.
    What was cut because the broker seems not to hold it is unprotected if that was wrong (T5, T9).
    """
    if state.facts is None:
        return None
    every_ns = state.settings.reconcile.every_s * SECOND_NS
    windows = [window for session in state.facts.sessions for window in session.windows]
    if any(start - every_ns <= state.now_ns < end for start, end in windows):
        is_missed = any(found.is_missed for found in state.drifts.values())
        return state.now_ns + (min(MISSED_NS, every_ns) if is_missed else every_ns)
    return min((start - every_ns for start, _ in windows if start > state.now_ns), default=None)


def in_short(state: State, read: BookRead) -> BookRead | BookRepeated:
    """A pass as it is to be told: by the name of the last one where it shows nothing else."""
    shown = state.book.shown
    if shown is None or read.began_at_ns <= shown.began_at_ns or _body(read) != _body(shown):
        return read
    return BookRepeated(
        at_ns=read.at_ns,
        began_at_ns=read.began_at_ns,
        repeats_ns=shown.began_at_ns,
        funds_paise=read.funds_paise,
    )


def in_full(state: State, told: BookRepeated) -> BookRead | ReadFailed:
    """What a pass told in short shows; one that repeats what nobody knows tells nothing."""
    shown = state.book.shown
    if shown is None or shown.began_at_ns != told.repeats_ns:
        return ReadFailed(at_ns=told.at_ns, what=BOOK, reason="it repeats a pass that is not known")
    return replace(
        shown, at_ns=told.at_ns, began_at_ns=told.began_at_ns, funds_paise=told.funds_paise
    )


def _body(read: BookRead) -> tuple[object, ...]:
    return read.nets, read.orders, read.foreign, read.trades


def is_near_square_off(state: State, session: Session) -> bool:
    """Whether the broker may be closing what is held on its own, now or in a minute (T11)."""
    return state.now_ns >= session.square_off_ns - BEFORE_SQUARE_OFF_NS


def squares_off(state: State) -> bool:
    """Whether a broker's square-off is near, or over and not yet seen by a clean read after it."""
    if state.facts is None:
        return False
    clean_ns = state.book.clean_ns
    for session in state.facts.sessions:
        is_unseen = 0 < clean_ns < session.square_off_ns + SETTLED_NS
        if is_unseen and is_near_square_off(state, session):
            return True
    return False


def note_moving(state: State, keys: tuple[BrokerKey, ...]) -> None:
    """Keep since when each key does not settle; a person hears once of one that does not."""
    book = state.book
    book.moving = {key: book.moving.get(key, state.now_ns) for key in keys}
    book.unsettled.intersection_update(keys)
    for key in keys:
        if key not in book.unsettled and state.now_ns - book.moving[key] >= UNSETTLED_NS:
            book.unsettled.add(key)
            what = "the broker's book does not settle, no entries there"
            state.alarm(what, {"key": key.instrument, "product": key.product.value})
    book.awaited = {key for key in keys if key in book.awaited and key not in book.unsettled}


def may_settle(state: State, key: BrokerKey) -> bool:
    """Whether passes differ about a key, and have not done so for too long."""
    return key in state.book.moving and key not in state.book.unsettled


def unstable_keys(before: BookRead, after: BookRead) -> tuple[BrokerKey, ...]:
    """The keys about which two passes differ, or the later one contradicts itself, in order (T22).

    Marks, stamps and cash are left out: they move with every tick. A pass contradicts itself when
    the trades of an order are not what its row has filled: one of the two was read early.
    """
    if _body(before) == _body(after):  # as most of a day: nothing differs but what is torn in both
        return tuple(sorted(_torn(after)))
    one, other = _views(before), _views(after)
    differing = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    return tuple(sorted(differing | _torn(after)))


def agreed_orders(before: BookRead, after: BookRead) -> set[BrokerOrderId]:
    """The orders of ours that both passes show alike, with the trades that their fills say."""
    torn = _torn_orders(after)
    if before.orders == after.orders:
        return {row.broker_id for row in after.orders} - torn
    one = _shown(before)
    return {
        number
        for number, shown in _shown(after).items()
        if one.get(number) == shown and number not in torn
    }


def own_ids(read: BookRead) -> set[tuple[OrderId, BrokerOrderId]]:
    """Which orders of ours a pass shows; one id may name two."""
    return {(row.order_id, row.broker_id) for row in read.orders}


def key_of(row: OrderRow) -> BrokerKey:
    """What the broker nets a row's fills by."""
    return key_of_terms(row.terms)


def key_of_terms(terms: OrderTerms) -> BrokerKey:
    """What the broker nets the fills of an order with these terms by."""
    return BrokerKey(terms.instrument, terms.product)


def _shown(read: BookRead) -> dict[BrokerOrderId, tuple[object, ...]]:
    """What a pass shows of each order of ours, stamps and texts left out."""
    return {
        row.broker_id: (row.order_id, row.status, row.terms, row.filled_quantity)
        for row in read.orders
    }


def _views(read: BookRead) -> dict[BrokerKey, dict[str, object]]:
    """What each key shows, by what it is of."""
    views: dict[BrokerKey, dict[str, object]] = {}
    keys = _keys_of_orders(read)
    for number, shown in _shown(read).items():
        views.setdefault(keys[number], {})[f"order {number}"] = shown
    for foreign in read.foreign:
        views.setdefault(foreign.key, {})[f"foreign {foreign.broker_id}"] = foreign
    for net in read.nets:
        views.setdefault(net.key, {})["net"] = net
    for trade in read.trades:
        if trade.broker_id in keys:
            views[keys[trade.broker_id]][f"trade {trade.trade_id}"] = trade
    return views


def _keys_of_orders(read: BookRead) -> dict[BrokerOrderId, BrokerKey]:
    ours = {row.broker_id: key_of(row) for row in read.orders}
    return ours | {row.broker_id: row.key for row in read.foreign}


def _torn(read: BookRead) -> set[BrokerKey]:
    keys = _keys_of_orders(read)
    return {keys[number] for number in _torn_orders(read)}


def _torn_orders(read: BookRead) -> set[BrokerOrderId]:
    """Orders, foreign ones too, whose trades in the same pass are not what they have filled."""
    traded: Counter[BrokerOrderId] = Counter()
    for trade in read.trades:
        traded[trade.broker_id] += trade.quantity
    filled = {row.broker_id: row.filled_quantity for row in read.orders}
    filled |= {row.broker_id: row.filled_quantity for row in read.foreign}
    return {number for number, quantity in filled.items() if traded[number] != quantity}
