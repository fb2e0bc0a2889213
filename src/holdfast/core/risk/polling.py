"""Reading every living order by id each second, and judging by it what can be relied on (T9).

The update stream may be mute without anybody noticing, so that nothing is believed of it that a
read would not show. The same reads tell whether an exit could leave: an order path that has not
answered for five seconds is none.
"""

from typing import Final

from holdfast.core import bookread
from holdfast.core.books.positions import Position
from holdfast.core.orders.order import Order
from holdfast.core.settings import MINUTE_NS, SECOND_NS
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.command import FindOrder
from holdfast.domain.decision import Values
from holdfast.domain.event import (
    BOOK,
    AnyEvent,
    BookRead,
    GuardAnswered,
    Link,
    LinkChanged,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    ReadFailed,
    SendFailed,
)
from holdfast.domain.order import OrderId, Refusal

POLL_NS: Final = SECOND_NS
POLLS_MAX: Final = 20
"""Reads that the broker allows in a second; with more orders than that they take turns."""

PATH_NS: Final = 5 * SECOND_NS
"""A call must have succeeded within so long for the order path to count as working."""

STREAM_NS: Final = 2 * SECOND_NS
"""The stream owes a word about an order so soon after the broker's answer."""

SUSPECT_NS: Final = MINUTE_NS // 2
"""A suspect stream that owes nothing any more is tried again after so long."""

BARRED_NS: Final = 15 * SECOND_NS
"""A refusal for token or address speaks for so long; such orders are tried each 10 s (T13)."""

_KEY: Final = TimerKey(Rank.POLL)
_BARRING: Final = (Refusal.TOKEN, Refusal.IP)


def arm(state: State) -> None:
    """Poll in a second, while there is anything to poll for."""
    if not state.timers.is_set(_KEY) and _is_wanted(state):
        state.timers.set(_KEY, state.now_ns + POLL_NS)


def _is_wanted(state: State) -> bool:
    if any(position.is_open for position in state.live) or state.path.unheard:
        return True
    return state.path.suspect_since_ns is not None or bool(state.living())


def on_timer(state: State) -> None:
    """A second has passed: read the orders, judge path and stream, come back."""
    _poll(state)
    _judge_path(state)
    _judge_stream(state)
    arm(state)


def _poll(state: State) -> None:
    """Read what rests at the broker; what is in flight or unknown is looked for already (T3).

    While a position hangs on our own rules alone, or a call has failed, answers must be told, and
    there is always one to come.
    """
    anchor = _hangs_on_path(state)
    must_tell = state.path.waiting_since_ns is not None or anchor is not None
    due = _due(state)
    for order in due:
        state.send(FindOrder(order_id=order.id, is_poll=not must_tell))
        state.path.polled = order.name
    if not must_tell:
        state.path.presumed_ns = state.now_ns
        return
    _expect_answer(state)
    if not due and anchor is not None:
        _try_path(state, anchor)


def _try_path(state: State, position: Position) -> None:
    """Ask for what must be answered: its entry, or the book where no order of today opened it."""
    if position.entries:
        state.send(FindOrder(order_id=state.orders[position.entry].id))
    else:
        bookread.ask_soon(state)


def _due(state: State) -> list[Order]:
    """The orders that rest, those read longest ago first."""
    resting = [order.name for order in state.living() if order.is_settled]
    after = [name for name in resting if name > state.path.polled]
    before = [name for name in resting if name <= state.path.polled]
    return [state.orders[name] for name in (*after, *before)[:POLLS_MAX]]


def _hangs_on_path(state: State) -> Position | None:
    """The first open position that no stop at the broker protects, once the day has opened for it."""
    for position in state.live:
        if not position.is_open or position.verified:
            continue
        if position.entries:
            return position if position.entry in state.orders else None
        if not state.is_before_open(position.instrument.exchange):
            return position
    return None


def _expect_answer(state: State) -> None:
    if state.path.waiting_since_ns is None:
        state.path.waiting_since_ns = state.now_ns


def is_path_working(state: State) -> bool:
    """Whether an exit could leave now: the shell says so, and a call succeeded lately."""
    path = state.path
    if not state.links[Link.ORDERS] or state.now_ns < path.barred_until_ns:
        return False
    if path.waiting_since_ns is None:
        return True
    return state.now_ns - max(path.answered_ns, path.presumed_ns) < PATH_NS


def _judge_path(state: State) -> None:
    """Call a person when no exit could leave while something is held, once in an outage.

    Whether the stops still rest at the broker is not known then, however they were last read.
    """
    path = state.path
    if is_path_working(state):
        path.is_told = False
        return
    since_ns = path.waiting_since_ns
    if since_ns is None or state.now_ns - since_ns < PATH_NS or path.is_told:
        return
    held = sum(position.is_open for position in state.live)
    if held:
        path.is_told = True
        silent_ms = (state.now_ns - since_ns) // 1_000_000
        values: Values = {"silent_ms": silent_ms, "positions": held}
        state.alarm("calls to the broker are not answered, no exit could leave", values)


def hear(state: State, event: AnyEvent) -> None:
    """Learn from an event, before it is applied, what it says of the order path and the stream."""
    match event:
        case OrderAcknowledged():
            _hear_acknowledgement(state, event)
        case OrderUpdated():
            _hear_row(state, event)
        case BookRead() | GuardAnswered(is_done=True):
            _succeeded(state)
        case SendFailed():
            _hear_failure(state, event)
        case ReadFailed(what=what) if what == BOOK:
            _failed(state)
        case LinkChanged():
            _hear_link(state, event)
        case _:
            pass


def _hear_acknowledgement(state: State, event: OrderAcknowledged) -> None:
    """An order got through; unless the stream was quicker, it owes a word of it now."""
    _succeeded(state)
    state.path.barred_until_ns = 0
    order = state.orders.get(event.order_id)
    if order is not None and order.status is None:
        _owe(state, event.order_id)


def _succeeded(state: State) -> None:
    state.path.answered_ns = state.now_ns
    state.path.waiting_since_ns = None


def _failed(state: State) -> None:
    """A call got no answer: nothing is taken for granted until one is told to have."""
    state.path.presumed_ns = 0
    _expect_answer(state)


def _hear_failure(state: State, event: SendFailed) -> None:
    if event.outcome is Outcome.REFUSED:
        if event.refusal in _BARRING:
            state.path.barred_until_ns = state.now_ns + BARRED_NS
    elif not event.is_outdated:
        _failed(state)


def _hear_link(state: State, event: LinkChanged) -> None:
    path = state.path
    if event.link is Link.ORDERS and event.is_up:
        path.barred_until_ns = 0
        _succeeded(state)  # the shell has tried it
    elif event.link is Link.UPDATES:
        path.unheard.clear()  # a new connection owes nothing of before
        path.suspect_since_ns = None


def _hear_row(state: State, event: OrderUpdated) -> None:
    """A word of the stream redeems it; a fill that only a read shows is one that it owes."""
    if not event.is_read:
        state.path.unheard.pop(event.row.order_id, None)
        state.path.suspect_since_ns = None
        return
    _succeeded(state)
    order = state.orders.get(event.row.order_id)
    is_news = order is not None and event.row.filled_quantity > order.filled_quantity
    if is_news and event.row.venue_at_ns > state.book.began_ns:
        _owe(state, event.row.order_id)


def _owe(state: State, order_id: OrderId) -> None:
    """The stream must tell of an order from now on, unless it is known to be down."""
    if state.links[Link.UPDATES]:
        state.path.unheard.setdefault(order_id, state.now_ns)


def _judge_stream(state: State) -> None:
    """Tell once of a stream that does not tell, and try it again when it owes nothing.

    What a read has shown in its place is owed no longer: a word that was lost never comes, while
    the order may rest all day. Each such word makes it suspect anew.
    """
    path = state.path
    late = [name for name in sorted(path.unheard) if _is_late(state, name)]
    if late and path.suspect_since_ns is None:
        path.suspect_since_ns = state.now_ns
        state.alarm("the update stream is mute, orders are read by id", {"order": late[0]})
    for name in late:
        order = state.orders.get(name)
        if order is None or not order.is_live or order.status is not None:
            del path.unheard[name]
            path.suspect_since_ns = state.now_ns
    since_ns = path.suspect_since_ns
    if since_ns is not None and not path.unheard and state.now_ns - since_ns >= SUSPECT_NS:
        path.suspect_since_ns = None


def _is_late(state: State, name: OrderId) -> bool:
    return state.now_ns - state.path.unheard[name] >= STREAM_NS
