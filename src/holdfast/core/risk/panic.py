"""Panic: the order in which an account is brought to nothing, and how that is known (T25).

The halt is written before anything is done. Entries are cancelled and positions closed by the same
code and under the same ids as ever; this only looks how far that has come, has the book read until
it shows an account flat of ours, and asks the broker's guards where ours did not get through.
"""

from enum import StrEnum
from typing import Final

from holdfast.core import bookread, ration
from holdfast.core.bookread import SETTLED_NS
from holdfast.core.books.positions import Position
from holdfast.core.risk import closing, guards, leaving, polling
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.command import Notify, Severity
from holdfast.domain.decision import HaltLevel, Values
from holdfast.domain.event import BookRead, Guard
from holdfast.domain.order import Purpose

STUCK_NS: Final = 30 * SECOND_NS
"""So long a panic tries by itself before the broker's exit-all may be asked for."""

TELL_NS: Final = 30 * SECOND_NS
AGAIN_NS: Final = SECOND_NS

_KEY: Final = TimerKey(Rank.PANIC)


class Stage(StrEnum):
    """How far a panic has come; each stage waits for the one before it.

    ENTRIES are being taken back, then CLOSING, then the remaining ORDERS of ours end, then the
    book is VERIFYING it; FLAT: a stable read has shown it. NONE: there is no panic.
    """

    NONE = "none"
    ENTRIES = "entries"
    CLOSING = "closing"
    ORDERS = "orders"
    VERIFYING = "verifying"
    FLAT = "flat"


def stage(state: State) -> Stage:
    """How far the panic has come."""
    if state.halt is not HaltLevel.PANIC:
        return Stage.NONE
    live = state.living()
    if any(order.purpose is Purpose.ENTRY for order in live):
        return Stage.ENTRIES
    if _held(state):
        return Stage.CLOSING
    if live:
        return Stage.ORDERS
    return Stage.VERIFYING if state.guard.flat_since_ns is None else Stage.FLAT


def left(state: State) -> tuple[str, ...]:
    """What a person would have to do by hand, in words; empty where nothing of ours is left."""
    todo = [leaving.by_hand(position) for position in _held(state)]
    for name in sorted(state.orders):
        order = state.orders[name]
        if order.is_live:
            number = order.broker_id or "without a number"
            todo.append(f"CANCEL {order.id} ({number})")
    return tuple(todo)


def _held(state: State) -> list[Position]:
    """The positions of which the broker, too, holds something."""
    return [one for one in state.live if one.is_open and one.closable_quantity]


def watch(state: State) -> None:
    """Begin with a panic, end with it; call it after everything that may change the halt."""
    watched = state.guard
    if state.halt is not HaltLevel.PANIC:
        if watched.panic_since_ns is not None:
            watched.begin()
            state.timers.clear(_KEY)
        return
    if watched.panic_since_ns is None:
        watched.begin()
        watched.panic_since_ns = state.now_ns
        state.timers.set(_KEY, state.now_ns + AGAIN_NS)
    elif not state.timers.is_set(_KEY):
        state.timers.set(_KEY, state.now_ns + AGAIN_NS)


def on_timer(state: State) -> None:
    """A second has passed: do what the present stage asks for, and come back."""
    if state.guard.panic_since_ns is None:
        return
    present = stage(state)
    if present is Stage.FLAT:
        _when_flat(state)
    else:
        state.guard.flat_since_ns = None
        if present is Stage.VERIFYING or Guard.EXIT_ALL.value in state.guard.asks:
            bookread.ask(state)
        if present in (Stage.ENTRIES, Stage.CLOSING):
            _when_stuck(state)
        _tell_left(state, present)
    watch(state)


def _when_stuck(state: State) -> None:
    """Nothing closes and nothing gets through: the broker may close what we cannot (T25)."""
    assert state.guard.panic_since_ns is not None
    if state.now_ns - state.guard.panic_since_ns < STUCK_NS:
        return
    if any(_is_stuck(state, position) for position in _held(state)):
        guards.ask_exit_all(state)


def _is_stuck(state: State, position: Position) -> bool:
    """Whether a position is neither closing nor could be closed now."""
    at_work = sum(
        order.open_quantity
        for order in closing.live_closers(state, position)
        if order.broker_id is not None and order.is_released
    )
    is_closing = at_work >= position.closable_quantity
    gets_through = polling.is_path_working(state) and not position.refusals
    return not is_closing and not gets_through


def _tell_left(state: State, present: Stage) -> None:
    """A person hears what is left, each half minute, beginning with the first."""
    assert state.guard.panic_since_ns is not None
    told_ns = max(state.guard.told_ns.get("panic", 0), state.guard.panic_since_ns)
    if state.now_ns - told_ns >= TELL_NS:
        state.guard.told_ns["panic"] = state.now_ns
        todo = "; ".join(left(state)) or "the broker's book must show it"
        text = f"panic is not done ({present.value}): {todo}"
        state.send(Notify(severity=Severity.ALARM, text=text))


def take_read(state: State, before: BookRead | None, read: BookRead) -> None:
    """Look whether two passes that agree show an account flat of ours; called after each pass."""
    if stage(state) is not Stage.VERIFYING or before is None:
        return
    if not is_flat(state, before, read):
        return
    state.guard.flat_since_ns = state.now_ns
    text = "panic: the account is flat of ours, the broker's book shows it"
    state.send(Notify(severity=Severity.WARNING, text=text))
    _when_flat(state)


def is_flat(state: State, before: BookRead, read: BookRead) -> bool:
    """Whether a stable read, begun late enough, shows neither a position nor an order of ours.

    What orders that are not ours have made is the owner's.
    """
    if read.began_at_ns - state.touched_ns < SETTLED_NS:
        return False
    if bookread.unstable_keys(before, read):
        return False
    if any(not row.status.is_terminal for row in read.orders):
        return False
    ours = {position.key for position in state.positions.values()}
    for key in sorted(ours):
        net = sum(one.net for one in read.nets if one.key == key)
        if net not in (0, ration.outside(state, key)):
            return False
    return True


def _when_flat(state: State) -> None:
    """The kill switch demands an account without positions and without orders, anybody's."""
    read = state.book.last
    is_asked_for = state.settings.guards.kill_switch
    if read is None or not is_asked_for or Guard.KILL_SWITCH.value in state.guard.taken:
        return
    if state.now_ns - read.at_ns >= guards.AGAIN_NS:
        bookread.ask(state)
    others = [str(row.broker_id) for row in read.foreign if row.is_live]
    others += [str(net.key.instrument) for net in read.nets if net.net]
    if not others:
        guards.ask_kill_switch(state)
    elif "kill_switch" not in state.guard.told_ns:
        state.guard.told_ns["kill_switch"] = state.now_ns
        values: Values = {"in_the_way": ", ".join(others)}
        state.alarm("the broker's kill switch is not asked, the account holds more", values)
