"""Reading the broker's whole book until two passes agree: one pass may be early, torn or stale.

What is asked is asked again until it is answered; failed and disagreeing reads change nothing.
"""

from collections import Counter

from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.command import ReadBook
from holdfast.domain.event import BookRead
from holdfast.domain.instrument import BrokerKey
from holdfast.domain.order import BrokerOrderId

AGAIN_NS = SECOND_NS
"""Between a read that settled nothing and the next."""

ANSWER_NS = 10 * SECOND_NS
"""A read that has neither come nor failed by then was lost on the way (its time-out is 5 s)."""

SETTLED_NS = 3 * SECOND_NS
"""So long after a request or fill a read that does not show it is evidence (T3, T5)."""

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


def unstable_keys(before: BookRead, after: BookRead) -> tuple[BrokerKey, ...]:
    """The keys about which two passes differ, or the later one contradicts itself, in order (T22).

    Marks, stamps and cash are left out: they move with every tick. A pass contradicts itself when
    the trades of an order are not what its row has filled: one of the two was read early.
    """
    one, other = _views(before), _views(after)
    differing = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    return tuple(sorted(differing | _torn(after)))


def _views(read: BookRead) -> dict[BrokerKey, dict[str, object]]:
    """What each key shows, by what it is of."""
    views: dict[BrokerKey, dict[str, object]] = {}
    keys = _keys_of_orders(read)
    for row in read.orders:
        shown = (row.order_id, row.status, row.terms, row.filled_quantity)
        views.setdefault(keys[row.broker_id], {})[f"order {row.broker_id}"] = shown
    for foreign in read.foreign:
        views.setdefault(foreign.key, {})[f"foreign {foreign.broker_id}"] = foreign
    for net in read.nets:
        views.setdefault(net.key, {})["net"] = net
    for trade in read.trades:
        if trade.broker_id in keys:
            views[keys[trade.broker_id]][f"trade {trade.trade_id}"] = trade
    return views


def _keys_of_orders(read: BookRead) -> dict[BrokerOrderId, BrokerKey]:
    ours = {
        row.broker_id: BrokerKey(row.terms.instrument, row.terms.product) for row in read.orders
    }
    return ours | {row.broker_id: row.key for row in read.foreign}


def _torn(read: BookRead) -> set[BrokerKey]:
    traded: Counter[BrokerOrderId] = Counter()
    for trade in read.trades:
        traded[trade.broker_id] += trade.quantity
    keys = _keys_of_orders(read)
    filled = {row.broker_id: row.filled_quantity for row in read.orders}
    filled |= {row.broker_id: row.filled_quantity for row in read.foreign}
    return {keys[number] for number, quantity in filled.items() if traded[number] != quantity}
