"""What was appended and is not on the disk yet: kept in order until it is, within bounds.

The appending thread pushes and a writing thread writes. Both hold the lock for the lists only,
never while they touch a disk or run somebody else's code.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Final

import msgspec
import sqlalchemy as sa

from holdfast.domain.errors import DataRefused
from holdfast.domain.event import (
    OperatorAsked,
    OrderAcknowledged,
    OrderUpdated,
    SendFailed,
    TapeEvent,
)
from holdfast.domain.instrument import Instrument
from holdfast.ports import Clock
from holdfast.store.columns import KINDS, Numbered
from holdfast.store.records import Decided, Record, Stopped, TapeRange
from holdfast.store.room import MEBIBYTE, Room
from holdfast.store.tape import TapeWriter
from holdfast.store.writer import EventsTable

SECOND_NS: Final = 1_000_000_000

_ORDER_FACTS: Final = (OrderAcknowledged, OrderUpdated, SendFailed, Decided)
_FEW: Final = (OperatorAsked, TapeRange, Stopped)
"""Kept with them: what a person asked, what vouches for the tape (a few in a second), the end."""


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the store writes. The first two are settings of the product, the rest its limits.

    Not threaded, the tape is flushed each `tape_flush_ns` of the events' own time (a minute of
    virtual time passes in far less than a second); threaded, as often as records are committed.
    A buffer of records that is full takes facts about orders only. While the disk takes nothing it
    is tried again each `retry_s`; a disk with less than `free_bytes_min` counts as full. `pages_max`
    bounds the database file, in pages of 4 KiB.
    """

    db_transaction_batch_size: int = 100
    db_commit_interval_s: float = 1.0
    threaded: bool = True
    retry_s: float = 1.0
    commit_slow_ns: int = 2 * SECOND_NS
    buffered_records_max: int = 100_000
    buffered_ticks_max: int = 500_000
    tape_batch_rows: int = 2_048
    tape_flush_ns: int = 60 * SECOND_NS
    join_s_max: float = 2.0
    free_bytes_min: int = 16 * MEBIBYTE
    pages_max: int | None = None


class RecordBuffer:
    """Records on their way into `events`."""

    def __init__(
        self,
        lock: threading.Lock,
        *,
        settings: StoreSettings,
        clock: Clock | None = None,
        room: Room | None = None,
        table: EventsTable | None = None,
    ) -> None:
        """`clock` measures commits: one that takes too long is a fault until the next."""
        self.dropped = 0
        self.durable = 0
        self._table: EventsTable | None = None
        self._fault = ""
        self._has_failed = False
        self._lock = lock
        self._settings = settings
        self._clock = clock
        self._room = room
        self._began_ns: int | None = None
        self._hole: int | None = None
        self._pending: deque[tuple[int, Record]] = deque()
        self._bound: set[int] = set()
        self._waiting: list[tuple[int, Future[None]]] = []
        if table is not None:
            self.attach(table)

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def connections(self) -> int:
        """How many connections to the database are open."""
        return 0 if self._table is None else self._table.connections

    @property
    def is_due(self) -> bool:
        """Whether a group is complete, or somebody waits."""
        return self.is_behind or bool(self._waiting)

    @property
    def is_behind(self) -> bool:
        """Whether there is more to write than one group takes."""
        return len(self._pending) >= self._settings.db_transaction_batch_size

    @property
    def fault(self) -> str:
        """Why records do not become durable in time; empty when they do. From any thread."""
        began_ns = self._began_ns
        if began_ns is None or self._now_ns() - began_ns <= self._settings.commit_slow_ns:
            return self._fault
        return f"a commit takes longer than {self._settings.commit_slow_ns / SECOND_NS:.1f} s"

    def attach(self, table: EventsTable) -> None:
        """Write to `table` from here on. What it holds already is not written again."""
        self._table = table
        self._forget_written(table.last)
        self._fault, self._has_failed = "", False

    def fail(self, fault: str) -> None:
        """Write nothing more, because of `fault`, before a table is attached anew."""
        self._fault, self._has_failed = fault, True

    def detach(self, fault: str) -> EventsTable | None:
        """Write nothing from here on, because of `fault`; returns the table that was written to."""
        table, self._table = self._table, None
        self._fault = fault
        return table

    def push(self, sequence: int, record: Record, *, is_bound: bool = False) -> None:
        """Keep a record, or count it as dropped. Under the lock.

        One that is bound stands in the same group as the one before it, whatever happens.
        """
        is_full = len(self._pending) >= self._settings.buffered_records_max
        if is_full and not isinstance(record, (*_ORDER_FACTS, *_FEW)):
            self.dropped += 1
            self._hole = self._hole or sequence
            return
        self._pending.append((sequence, record))
        if is_bound:
            self._bound.add(sequence)

    def commit(self) -> bool:
        """Commit the next group, if there is one; False when it failed and is kept.

        Without one, after a fault, the disk is tried all the same: whether it takes something, and
        how long that takes, is not known otherwise.
        """
        with self._lock:
            group = self._group()
        if not group and not self._fault:
            return True
        if self._table is None or self._has_failed:
            return False
        failure, took_ns = self._tried(self._table, group)
        if failure:
            self._fault = f"the journal cannot be written: {failure}"
            return False
        is_slow = took_ns > self._settings.commit_slow_ns
        self._fault = f"a commit took {took_ns / SECOND_NS:.1f} s" if is_slow else ""
        if group:
            self._forget_written(group[-1][0])
        return True

    def _tried(self, table: EventsTable, group: list[tuple[int, Record]]) -> tuple[str, int]:
        """Why it could not be written, empty when it was, and how long that took."""
        if self._room is not None and (lack := self._room.lack()):
            return lack, 0
        self._began_ns = began_ns = self._now_ns()
        try:
            if group:
                table.commit(group)
            else:
                table.probe()
        except sa.exc.SQLAlchemyError as error:
            return str(getattr(error, "orig", None) or error), 0
        finally:
            self._began_ns = None
        return "", self._now_ns() - began_ns

    def _group(self) -> list[tuple[int, Record]]:
        """The oldest records: one group, or less where it would part what is bound together."""
        size = whole = self._settings.db_transaction_batch_size
        while size and self._is_bound(size):
            size -= 1
        while not size and self._is_bound(whole):
            whole += 1
        return list(islice(self._pending, size or whole))

    def _is_bound(self, at: int) -> bool:
        return at < len(self._pending) and self._pending[at][0] in self._bound

    def _forget_written(self, last: int) -> None:
        """Records up to number `last` are on the disk: answer those who waited for them."""
        with self._lock:
            while self._pending and self._pending[0][0] <= last:
                self._bound.discard(self._pending.popleft()[0])
        self.durable = last
        self.answer()

    def _now_ns(self) -> int:
        return self._clock.now_ns() if self._clock else 0

    def wait(self, sequence: int) -> Future[None]:
        """A future for the moment when every record up to `sequence` is on the disk.

        It fails where one of them was dropped: that moment does not come.
        """
        future: Future[None] = Future()
        with self._lock:
            self._waiting.append((sequence, future))
        self.answer()
        return future

    def answer(self) -> None:
        """Answer those whose records are on the disk; outside the lock, as answers run code."""
        with self._lock:
            lost = [row for row in self._waiting if self._is_lost(row[0])]
            done = [row for row in self._waiting if not self._holds(row[0]) and row not in lost]
            self._waiting = [row for row in self._waiting if row not in lost and row not in done]
        for _, future in done:
            if future.set_running_or_notify_cancel():
                future.set_result(None)
        _fail(lost, DataRefused("the journal", f"has a hole at {self._hole}", "start again"))

    def _holds(self, sequence: int) -> bool:
        return bool(self._pending) and self._pending[0][0] <= sequence

    def _is_lost(self, sequence: int) -> bool:
        return self._hole is not None and self._hole <= sequence

    def give_up(self, error: Exception) -> None:
        """Answer with `error` those whose records will not be written any more."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        _fail(waiting, error)


def _fail(waiting: Sequence[tuple[int, Future[None]]], error: Exception) -> None:
    for _, future in waiting:
        if future.set_running_or_notify_cancel():
            future.set_exception(error)


class TapeBuffer:
    """Market events on their way to the tape."""

    def __init__(
        self,
        lock: threading.Lock,
        *,
        settings: StoreSettings,
        vouch: Callable[[Sequence[TapeRange]], None],
        room: Room | None = None,
        writer: TapeWriter | None = None,
    ) -> None:
        """`vouch` queues what the journal says of one flush, under the lock."""
        self.instruments: tuple[Instrument, ...] | None = None
        self.fault = ""
        self.dropped = 0
        self._has_failed = False
        self._writer = writer
        self._vouch = vouch
        self._room = room
        self._lock = lock
        self._settings = settings
        self._pushed: list[Numbered] = []
        self._taken: list[Numbered] = []

    def __len__(self) -> int:
        return len(self._pushed) + len(self._taken)

    @property
    def is_due(self) -> bool:
        """Whether a batch is complete."""
        return len(self._pushed) >= self._settings.tape_batch_rows

    def oldest_ns(self) -> int | None:
        """The time of what waits longest, `None` when nothing does."""
        waiting = self._taken or self._pushed
        return waiting[0][1].at_ns if waiting else None

    def attach(self, writer: TapeWriter) -> None:
        """Write by `writer` from here on. What is on the tape already is only vouched for.

        Raises `DataRefused` where the tape cannot be read.
        """
        self._each(writer.find)
        self._writer = writer
        self.fault, self._has_failed = "", False

    def fail(self, fault: str) -> None:
        """Write nothing more, because of `fault`, before a writer is attached anew."""
        self.fault, self._has_failed = fault, True

    def detach(self, fault: str) -> TapeWriter | None:
        """Write nothing from here on, because of `fault`; returns what was written by."""
        writer, self._writer = self._writer, None
        self.fault = fault
        return writer

    def push(self, sequence: int, event: TapeEvent) -> None:
        """Keep an event, or count it as dropped. Under the lock."""
        if len(self) >= self._settings.buffered_ticks_max:
            self.dropped += 1
        else:
            self._pushed.append((sequence, event))

    def flush(self) -> None:
        """Write what waits, type by type, and vouch for it; where one fails the rest waits."""
        if self._writer is None or self._has_failed:
            return
        with self._lock:
            self._taken += self._pushed
            self._pushed = []
        # Set once: who looks meanwhile must not see it mended.
        self.fault = self._write_taken(self._writer) if self._taken else ""

    def _write_taken(self, writer: TapeWriter) -> str:
        """Returns why it could not be done; empty when it could."""
        lack = self._room.lack() if self._room is not None else ""
        try:
            if not lack:
                if self.instruments is not None:
                    writer.describe(self.instruments)
                self._each(writer.write)
        except OSError as error:
            lack = str(error)
        return f"the tape cannot be written: {lack}" if lack else ""

    def _each(self, write: Callable[[Sequence[Numbered]], TapeRange | None]) -> None:
        """Call `write` for the events of each type; what it answers for is on the tape."""
        written: list[TapeRange] = []
        try:
            for event in KINDS:
                rows = [row for row in self._taken if type(row[1]) is event]
                done = write(rows) if rows else None
                if done is not None:
                    written.append(done)
                    self._taken = [row for row in self._taken if type(row[1]) is not event]
        finally:
            if written:
                with self._lock:
                    self._vouch(written)
