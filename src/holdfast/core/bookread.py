"""Reading the broker's whole book until two passes agree: one pass may be early, torn or stale.

What is asked is asked again until it is answered. A failed read changes nothing; where two passes
disagree they change nothing, and elsewhere what they agree on stands.
"""

from collections import Counter

from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.command import ReadBook
from holdfast.domain.event import BookRead
from holdfast.domain.instrument import BrokerKey
from holdfast.domain.order import BrokerOrderId, OrderId, OrderRow

AGAIN_NS = SECOND_NS
"""Between a read that settled nothing and the next."""

ANSWER_NS = 10 * SECOND_NS
"""A read that has neither come nor failed by then was lost on the way (its time-out is 5 s)."""

SETTLED_NS = 3 * SECOND_NS
"""So long after a request or fill a read that does not show it is evidence (T3, T5)."""

UNSETTLED_NS = 10 * SECOND_NS
"""A key about which passes differ for so long is told, and bars nothing but entries there (T22)."""

_KEY = TimerKey(Rank.BOOK)


def ask(state: State) -> None:
    """Ask for a pass over the whole book, now, unless one is on its way."""
    if state.book.is_asked:
        return
    state.book.is_asked = True
    state.send(ReadBook())
    state.timers.set(_KEY, state.now_ns + ANSWER_NS)


def ask_later(state: State, after_ns: int = AGAIN_NS) -> None:
    """Ask after a while, unless a pass is on its way or wanted earlier."""
    if not state.book.is_asked:
        state.timers.set_earlier(_KEY, state.now_ns + after_ns)


def on_timer(state: State) -> None:
    """The wait is over: ask, whatever became of the pass before."""
    state.book.is_asked = False
    ask(state)


def take_answer(state: State) -> None:
    """A pass came or failed: none is on its way now."""
    state.book.is_asked = False
    state.timers.clear(_KEY)


def stop(state: State) -> None:
    """Nothing is left to be read."""
    state.timers.clear(_KEY)


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
    one, other = _views(before), _views(after)
    differing = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    return tuple(sorted(differing | _torn(after)))


def agreed_orders(before: BookRead, after: BookRead) -> set[BrokerOrderId]:
    """The orders of ours that both passes show alike, with the trades that their fills say."""
    one, torn = _shown(before), _torn_orders(after)
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
    return BrokerKey(row.terms.instrument, row.terms.product)


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
