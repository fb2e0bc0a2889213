"""A disk without a disk: what of journal and tape would still be there if the process died now.

Journal and tape are one run of numbers, kept apart as they are on a real disk: the journal lasts
up to its last commit, the tape up to its last flush. While the disk takes nothing both only grow
in memory, and whoever waits for a commit waits in vain.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import msgspec

from holdfast.domain.audit import AnyAudit, Halted
from holdfast.domain.command import AnyCommand, PlaceOrder
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import (
    AnyEvent,
    JournalEvent,
    OperatorAsked,
    OperatorRequest,
    TapeEvent,
)
from holdfast.domain.order import OrderId
from holdfast.runtime.driver import ON_TAPE
from holdfast.runtime.recover import Numbered
from holdfast.store.records import Decided

RETRY_NS = 250_000_000
"""So often a disk that takes nothing is tried again."""

_REQUESTS = {
    HaltLevel.PAUSE: OperatorRequest.PAUSE,
    HaltLevel.FLATTEN: OperatorRequest.FLATTEN,
    HaltLevel.PANIC: OperatorRequest.PANIC,
}
_LEVELS = (HaltLevel.NONE, *_REQUESTS)


class DiskPace(msgspec.Struct, frozen=True, kw_only=True):
    """How often the journal is committed and the tape flushed, in nanoseconds; 0: each record.

    `wait_ns` is how long a commit takes that somebody waits for.
    """

    commit_ns: int
    flush_ns: int
    wait_ns: int


class Disk:
    """What outlives a process of ours: records, and the word about a halt, which is written at once.

    `whole` is the number up to which the last process left every record.
    """

    def __init__(self, pace: DiskPace) -> None:
        self.pace = pace
        self.rows: list[Numbered] = []
        self.whole = 0
        self.halted: Halted | None = None
        self.takes_nothing = False

    def asked(self, present: HaltLevel, at_ns: int) -> OperatorAsked | None:
        """What an engine that is halted to `present` is told at a start, where the word says more."""
        written = self.halted
        if written is None or _LEVELS.index(written.level) <= _LEVELS.index(present):
            return None
        return OperatorAsked(at_ns=at_ns, request=_REQUESTS[written.level], reason=written.reason)


class DiskJournal:
    """The journal of one process on a disk: numbers records, and knows which of them would last.

    `die` is called with each record; what should have followed it never happens where it raises.
    `later` does something after a while.
    """

    def __init__(
        self,
        disk: Disk,
        die: Callable[[], None],
        later: Callable[[int, Callable[[], None]], None],
    ) -> None:
        self._disk = disk
        self._die = die
        self._later = later
        self._waits: list[tuple[int, Future[None]]] = []
        self._first = len(disk.rows)
        self._next = disk.rows[-1][0] + 1 if disk.rows else 1
        self._committed = self._flushed = self._next - 1
        self._commit_ns = self._flush_ns = 0
        self._entries: dict[OrderId, int] = {}
        self.is_lost = False

    @property
    def last(self) -> int:
        """The last number given."""
        return self._next - 1

    def is_durable(self, order_id: OrderId) -> bool:
        """Whether the decision to place this entry is on the disk."""
        return self._entries.get(order_id, self._committed + 1) <= self._committed

    def append(self, event: JournalEvent) -> int:
        """Keep an event."""
        return self._take(event)

    def append_market(self, event: TapeEvent) -> int:
        """Keep a market event."""
        return self._take(event)

    def append_decision(
        self, cause: int, at_ns: int, commands: Sequence[AnyCommand], audits: Sequence[AnyAudit]
    ) -> int:
        """Keep what the step of event number `cause` decided."""
        for command in commands:
            if isinstance(command, PlaceOrder):
                self._entries[command.order_id] = self._next
        return self._take(
            Decided(at_ns=at_ns, cause=cause, commands=tuple(commands), audits=tuple(audits))
        )

    def wait_durable(self, sequence: int) -> Future[None]:
        """Commit for somebody who waits: at once, in a while, or not while the disk takes nothing."""
        future: Future[None] = Future()
        self._waits.append((sequence, future))
        if self._disk.pace.wait_ns:
            self._later(self._disk.pace.wait_ns, self._commit_waited)
        else:
            self._commit_waited()
        return future

    def _commit_waited(self) -> None:
        if self._disk.takes_nothing:
            self._later(RETRY_NS, self._commit_waited)
            return
        waits, self._waits = self._waits, []
        for sequence, future in waits:
            self._committed = max(self._committed, sequence)
            future.set_result(None)

    def _take(self, record: AnyEvent | Decided) -> int:
        sequence = self._next
        self._next += 1
        if not self.is_lost:
            self._disk.rows.append((sequence, record))
        if not self._disk.takes_nothing:
            self._write(sequence, record.at_ns)
        self._die()
        return sequence

    def _write(self, sequence: int, at_ns: int) -> None:
        pace = self._disk.pace
        if at_ns - self._commit_ns >= pace.commit_ns:
            self._commit_ns, self._committed = at_ns, sequence
        if at_ns - self._flush_ns >= pace.flush_ns:
            self._flush_ns, self._flushed = at_ns, sequence

    def end(self) -> None:
        """The process ended in order: everything is written."""
        self._disk.whole = self.last

    def die(self) -> None:
        """The process is gone: what had not reached the disk is gone with it."""
        rows, whole = self._disk.rows, min(self._committed, self._flushed)
        own = bisect_right(rows, whole, key=lambda row: row[0])
        kept = [row for row in rows[own:] if self._lasts(row)]
        del rows[own:]
        rows += kept
        self._disk.whole = whole
        self.is_lost = True

    def _lasts(self, row: Numbered) -> bool:
        number, record = row
        return number <= (self._flushed if isinstance(record, ON_TAPE) else self._committed)
