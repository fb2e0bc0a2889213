"""What was appended and is not on the disk yet: kept in order until it is, within bounds.

The appending thread pushes and a writing thread writes. Both hold the lock for the lists only,
never while they touch a disk or run somebody else's code.
"""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import islice, takewhile
from typing import Final

import msgspec
import sqlalchemy as sa

from holdfast.domain.event import OrderAcknowledged, OrderUpdated, SendFailed, TapeEvent
from holdfast.domain.instrument import Instrument
from holdfast.ports import Clock
from holdfast.store.columns import KINDS, Numbered
from holdfast.store.records import Decided, Record, TapeRange
from holdfast.store.tape import TapeWriter
from holdfast.store.writer import EventsTable

SECOND_NS: Final = 1_000_000_000

_ORDER_FACTS: Final = (OrderAcknowledged, OrderUpdated, SendFailed, Decided)


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the store writes. The first two are settings of the product, the rest its limits.

    Not threaded, the tape is flushed each `tape_flush_ns` of the events' own time (a minute of
    virtual time passes in far less than a second); threaded, as often as records are committed.
    A buffer of records that is full takes facts about orders only. `pages_max` bounds the database
    file, in pages of 4 KiB.
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
    pages_max: int | None = None


class RecordBuffer:
    """Records on their way into `events`."""

    def __init__(
        self,
        table: EventsTable,
        lock: threading.Lock,
        *,
        settings: StoreSettings,
        clock: Clock | None,
    ) -> None:
        """`clock` measures commits: one that takes too long is a fault until the next."""
        self.table = table
        self.fault = ""
        self.dropped = 0
        self._lock = lock
        self._settings = settings
        self._clock = clock
        self._pending: deque[tuple[int, Record]] = deque()
        self._waiting: list[tuple[int, Future[None]]] = []

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def is_due(self) -> bool:
        """Whether a group is complete, or somebody waits."""
        return len(self._pending) >= self._settings.db_transaction_batch_size or bool(self._waiting)

    def push(self, sequence: int, record: Record) -> None:
        """Keep a record, or count it as dropped. Under the lock."""
        is_full = len(self._pending) >= self._settings.buffered_records_max
        if is_full and not isinstance(record, _ORDER_FACTS):
            self.dropped += 1
        else:
            self._pending.append((sequence, record))

    def commit(self) -> bool:
        """Commit the next group, if there is one; False when it failed and is kept."""
        with self._lock:
            group = self._group()
        if not group:
            return True
        began_ns = self._now_ns()
        try:
            self.table.commit(group)
        except sa.exc.SQLAlchemyError as error:
            self.fault = f"the journal cannot be written: {getattr(error, 'orig', None) or error}"
            return False
        took_ns = self._now_ns() - began_ns
        is_slow = took_ns > self._settings.commit_slow_ns
        self.fault = f"a commit took {took_ns / SECOND_NS:.1f} s" if is_slow else ""
        with self._lock:
            for _ in group:
                self._pending.popleft()
        self.answer()
        return True

    def _group(self) -> list[tuple[int, Record]]:
        """The oldest records, at most a group, but the ranges of one flush are never parted.

        A crash between them would make numbers that are on the tape look lost.
        """
        waiting = iter(self._pending)
        group = list(islice(waiting, self._settings.db_transaction_batch_size))
        return [*group, *takewhile(lambda row: isinstance(row[1], TapeRange), waiting)]

    def _now_ns(self) -> int:
        return self._clock.now_ns() if self._clock else 0

    def wait(self, sequence: int) -> Future[None]:
        """A future for the moment when every record up to `sequence` is on the disk."""
        future: Future[None] = Future()
        with self._lock:
            self._waiting.append((sequence, future))
        self.answer()
        return future

    def answer(self) -> None:
        """Answer those whose records are on the disk; outside the lock, as answers run code."""
        with self._lock:
            done = [row for row in self._waiting if not self._holds(row[0])]
            self._waiting = [row for row in self._waiting if self._holds(row[0])]
        for _, future in done:
            if future.set_running_or_notify_cancel():
                future.set_result(None)

    def _holds(self, sequence: int) -> bool:
        return bool(self._pending) and self._pending[0][0] <= sequence

    def give_up(self, error: Exception) -> None:
        """Answer with `error` those whose records will not be written any more."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)


class TapeBuffer:
    """Market events on their way to the tape."""

    def __init__(
        self, writer: TapeWriter, lock: threading.Lock, *, settings: StoreSettings
    ) -> None:
        """Nothing is written before the first flush."""
        self.writer = writer
        self.instruments: tuple[Instrument, ...] | None = None
        self.fault = ""
        self.dropped = 0
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

    def push(self, sequence: int, event: TapeEvent) -> None:
        """Keep an event, or count it as dropped. Under the lock."""
        if len(self) >= self._settings.buffered_ticks_max:
            self.dropped += 1
        else:
            self._pushed.append((sequence, event))

    def flush(self) -> Sequence[TapeRange]:
        """Write what waits, type by type; returns what was written, also when the rest failed."""
        with self._lock:
            self._taken += self._pushed
            self._pushed = []
            instruments = self.instruments
        if instruments is not None:
            self.writer.describe(instruments)
        written: list[TapeRange] = []
        fault = ""
        try:
            for event in KINDS:
                rows = [row for row in self._taken if type(row[1]) is event]
                if rows:
                    written.append(self.writer.write(rows))
                    self._taken = [row for row in self._taken if type(row[1]) is not event]
        except OSError as error:
            fault = f"the tape cannot be written: {error}"
        self.fault = fault  # set once: who looks meanwhile must not see it mended
        return written
