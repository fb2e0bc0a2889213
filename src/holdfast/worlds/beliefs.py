"""Checkers of what the engine promises about itself: halts, readiness, plans, clocks, postings."""

from typing import TYPE_CHECKING

from typing_extensions import override

from holdfast.core.books.postings import Account
from holdfast.core.state import State
from holdfast.domain.audit import EntryEnded, Halted, IntentFormed, PositionClosed
from holdfast.domain.command import AnyCommand, CancelOrder, ModifyOrder, PlaceOrder
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import (
    BookRead,
    BookRepeated,
    JournalChanged,
    Link,
    LinkChanged,
    OperatorAsked,
    OperatorRequest,
    OrderUpdated,
    Restarted,
    StopAsked,
    TimerFired,
)
from holdfast.domain.market import Tick
from holdfast.domain.order import Purpose
from holdfast.worlds.checkers import Checker, Seen, shown
from holdfast.worlds.ground import SECOND

if TYPE_CHECKING:
    from holdfast.worlds.world import World

_LEVELS = (HaltLevel.NONE, HaltLevel.PAUSE, HaltLevel.FLATTEN, HaltLevel.PANIC)
_ASKS = {
    OperatorRequest.PAUSE: HaltLevel.PAUSE,
    OperatorRequest.FLATTEN: HaltLevel.FLATTEN,
    OperatorRequest.PANIC: HaltLevel.PANIC,
}
_FREQUENT = (Tick, TimerFired, OrderUpdated)
_LIFTS = (OperatorRequest.RESUME, OperatorRequest.UNLOCK)


class HaltStands(Checker):
    """A halt is lifted by a person and by nothing else; no start forgets it."""

    promise = "2.8, invariant 10, I-96"

    def __init__(self) -> None:
        """Nobody has halted anything."""
        self._level = HaltLevel.NONE
        self._is_starting = False

    @override
    def after_step(self, seen: Seen) -> None:
        event, halt = seen.event, seen.state.halt
        if halt is self._level and type(event) in _FREQUENT:
            return
        asked = event.request if isinstance(event, OperatorAsked) else None
        least = _ASKS.get(asked, HaltLevel.NONE) if asked is not None else HaltLevel.NONE
        if asked in _LIFTS:
            self._level = halt
        self._level = max(self._level, least, key=_LEVELS.index)
        if isinstance(event, Restarted | JournalChanged):
            self._is_starting = isinstance(event, Restarted)
        if self._is_starting:
            return  # what the file says more than the journal is told before the start is over
        if _LEVELS.index(halt) < _LEVELS.index(self._level):
            self.broken(f"{self._level.value} became {halt.value}, and nobody lifted it")
        self._level = halt


class NoEntryInTheDark(Checker):
    """Nothing is entered while halted, unready, or before the book was read since the start."""

    promise = "2.4, invariant 10, I-99"
    wants_quiet = False

    def __init__(self) -> None:
        """Its own reading of what the engine was told, beside the engine's."""
        self._links: dict[Link, bool] = {}
        self._is_durable = self._is_read = self._is_stopping = False
        self._read_ns = 0

    @override
    def after_step(self, seen: Seen) -> None:
        match seen.event:
            case Restarted():
                self._links = {}
                self._is_durable = self._is_read = self._is_stopping = False
            case LinkChanged():
                self._links[seen.event.link] = seen.event.is_up
            case JournalChanged():
                self._is_durable = seen.event.is_durable
            case BookRead() | BookRepeated():
                self._is_read, self._read_ns = True, seen.event.began_at_ns
            case StopAsked():
                self._is_stopping = True
            case _:
                pass
        for command in seen.done.commands:
            if isinstance(command, PlaceOrder) and command.purpose is Purpose.ENTRY:
                self._look(seen)

    def _look(self, seen: Seen) -> None:
        down = [link.value for link in Link if not self._links.get(link, False)]
        age_ns = seen.state.now_ns - self._read_ns
        age_max_ns = seen.state.settings.reconcile.age_s * SECOND
        faults = {
            f"halted to {seen.state.halt.value}": seen.state.halt is not HaltLevel.NONE,
            f"without {', '.join(down)}": bool(down),
            "on a journal that is not durable": not self._is_durable,
            "before the book was read": not self._is_read,
            f"{age_ns // SECOND} s after the book was last read": age_ns > age_max_ns,
            "while something in the book is awaited": bool(seen.state.book.open_points),
            "while stopping": self._is_stopping,
        }
        for text, is_so in faults.items():
            if is_so:
                self.broken(f"entered {text}")

    @override
    def on_send(self, world: "World", command: AnyCommand, at_ns: int) -> None:
        is_entry = isinstance(command, PlaceOrder) and command.purpose is Purpose.ENTRY
        if is_entry and world.state.halt is not HaltLevel.NONE:
            self.broken(f"an entry left while halted to {world.state.halt.value}")


class WhatMustCloseIsClosing(Checker):
    """Two seconds after a flattening was asked for, or the close-out, every position has its exit."""

    promise = "2.8, PLC-5, T25"

    def __init__(self) -> None:
        """Since when each position should have been closing."""
        self._since_ns: dict[int, int] = {}

    @override
    def after_step(self, seen: Seen) -> None:
        state = seen.state
        if isinstance(seen.event, Restarted):
            self._since_ns = {}
        is_flattening = state.halt in (HaltLevel.FLATTEN, HaltLevel.PANIC)
        late = [
            one.number
            for one in state.live
            if one.is_open
            and one.exit is None
            and (is_flattening or state.now_ns >= one.plan.close_out_ns)
        ]
        self._since_ns = {one: self._since_ns.get(one, state.now_ns) for one in late}
        for number, since_ns in self._since_ns.items():
            if state.now_ns - since_ns > 2 * SECOND:
                self.broken(f"position {number} should be closing, and is not")


class NoPlacementBeforeTheBook(Checker):
    """After a start no order is placed before the broker's book has been read."""

    promise = "2.9, T21"
    wants_quiet = False

    def __init__(self) -> None:
        """Not read."""
        self._is_read = self._is_anyway = False

    @override
    def after_step(self, seen: Seen) -> None:
        if type(seen.event) is Tick:
            pass
        elif isinstance(seen.event, Restarted):
            self._is_read = self._is_anyway = False
        elif isinstance(seen.event, BookRead | BookRepeated):
            self._is_read = True
        elif isinstance(seen.event, OperatorAsked):
            self._is_anyway = self._is_anyway or seen.event.is_anyway
        if self._is_read or self._is_anyway:
            return
        for command in seen.done.commands:
            if isinstance(command, PlaceOrder):
                self.broken(f"{command.order_id} was placed before the book was read")


class EveryPositionHasAPlan(Checker):
    """Stop, close-out and somebody who looks: no position is open without."""

    promise = "invariant 7, RSK-4"

    @override
    def after_step(self, seen: Seen) -> None:
        state = seen.state
        deadline_ns = state.timers.deadline_ns
        for position in state.live:
            if not position.is_open:
                continue
            if position.stop_paise <= 0 or position.plan.close_out_ns <= 0:
                self.broken(f"position {position.number} has no stop or no close-out")
            if deadline_ns is None or deadline_ns > state.now_ns + SECOND:
                self.broken(f"nobody looks at position {position.number} within a second")


class PostingsSumToZero(Checker):
    """Money is neither made nor lost in the books."""

    promise = "invariant 11"
    wants_quiet = False

    @override
    def after_step(self, seen: Seen) -> None:
        if isinstance(seen.event, Tick) or not seen.done.audits:
            return
        total = sum(seen.state.ledger.balance_e4(account) for account in Account)
        if total:
            self.broken(f"the postings sum to {total} ten-thousandths of a paisa")


class RequestsNameWhatLives(Checker):
    """No request is made about an order whose state forbids it, or that the broker never had."""

    promise = "design 6, B-15"
    wants_quiet = False

    @override
    def after_step(self, seen: Seen) -> None:
        for command in seen.done.commands:
            if isinstance(command, ModifyOrder | CancelOrder):
                self._look(seen, command)

    def _look(self, seen: Seen, command: AnyCommand) -> None:
        assert isinstance(command, ModifyOrder | CancelOrder)
        known = [one for one in seen.state.orders.values() if one.id == command.order_id]
        if not known:
            self.broken(f"a request about {command.order_id}, which is not in the books")
        if all(one.state.is_terminal for one in known):
            self.broken(f"a request about {shown(known[0])}")


class UnknownIsNeverForgotten(Checker):
    """An order once in the books stays there; one that is unknown ends on evidence only."""

    promise = "2.1, invariant 3"

    def __init__(self) -> None:
        """Nothing is unknown."""
        self._count = 0

    @override
    def after_step(self, seen: Seen) -> None:
        if isinstance(seen.event, Restarted):
            self._count = len(seen.state.orders)
            return
        if isinstance(seen.event, Tick) and not seen.done.commands:
            return
        count = len(seen.state.orders)
        if count < self._count:
            self.broken(f"{self._count} orders were in the books, {count} are")
        self._count = count


class NothingLivesOfWhatEnded(Checker):
    """A position ends when no order of it can fill any more; what lives belongs to one that has not."""

    promise = "2.1, T6"
    wants_quiet = False

    @override
    def after_step(self, seen: Seen) -> None:
        if isinstance(seen.event, BookRead | BookRepeated):
            self._look_at_living(seen.state)
        for audit in seen.done.audits:
            if isinstance(audit, PositionClosed | EntryEnded):
                position = seen.state.positions[audit.position]
                for name in (*position.entries, *position.closers, *position.strays):
                    order = seen.state.orders[name]
                    if position.is_closed and order.is_live:
                        self.broken(f"position {position.number} ended, {shown(order)} lives")

    def _look_at_living(self, state: State) -> None:
        living = {order.name for order in state.living()}
        for name in sorted(state.orders):
            if state.orders[name].is_live and name not in living:
                self.broken(f"{shown(state.orders[name])} lives, and its position has ended")


class NothingClosesBesideOthers(Checker):
    """No closing order is placed in a key in which others have traded since it was read."""

    promise = "T11"
    wants_quiet = False

    @override
    def after_step(self, seen: Seen) -> None:
        book = seen.state.book
        if not book.strangers:
            return
        for command in seen.done.commands:
            if isinstance(command, PlaceOrder) and command.purpose is not Purpose.ENTRY:
                position = seen.state.positions[command.position]
                if position.key in book.strangers and position.number not in book.anyway:
                    self.broken(f"{command.order_id} was placed while others trade beside it")


class IntentBeforeOrder(Checker):
    """An entry is asked for by the step that formed its intent, and never by another."""

    promise = "invariant 2, I-25"
    wants_quiet = False

    @override
    def after_step(self, seen: Seen) -> None:
        formed = {
            audit.intent.position: audit.intent.quantity
            for audit in seen.done.audits
            if isinstance(audit, IntentFormed)
        }
        seen.world.intents.update(formed)
        for command in seen.done.commands:
            if isinstance(command, PlaceOrder) and command.purpose is Purpose.ENTRY:
                known = seen.world.intents.get(command.position)
                if known is None:
                    self.broken(f"{command.order_id} was placed without an intent")


class HaltIsWritten(Checker):
    """What halts is on the disk before the next event is taken."""

    promise = "2.8"

    def __init__(self) -> None:
        """Nothing was halted."""
        self._last: Halted | None = None

    @override
    def after_step(self, seen: Seen) -> None:
        if self._last is not None and seen.world.disk.halted != self._last:
            self.broken(f"{self._last.level.value} was not written down")
        for audit in seen.done.audits:
            if isinstance(audit, Halted):
                self._last = audit
        if isinstance(seen.event, Restarted):
            self._last = None


BELIEFS: tuple[type[Checker], ...] = (
    IntentBeforeOrder,
    HaltStands,
    HaltIsWritten,
    NoEntryInTheDark,
    WhatMustCloseIsClosing,
    NoPlacementBeforeTheBook,
    EveryPositionHasAPlan,
    PostingsSumToZero,
    RequestsNameWhatLives,
    UnknownIsNeverForgotten,
    NothingLivesOfWhatEnded,
    NothingClosesBesideOthers,
)
