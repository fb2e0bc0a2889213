"""The journal of the runtime: numbers at once, durability in groups, nothing lost on a full disk.

Appending gives a number and returns. Records are committed in groups: a hundred, or what came
within a second, or at once when somebody waits. Market events go to the tape under the same run of
numbers, and the journal keeps their range and hash. What cannot be written is kept, tried again
each second and written in order when there is space; until then the journal says that it is not
durable.

Threaded, two threads write: `JournalWriter` and `TapeWriter`. Otherwise the caller does, which
makes numbers and files a function of what was appended, as virtual time demands.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec
import sqlalchemy as sa

from holdfast.domain.audit import AnyAudit
from holdfast.domain.command import AnyCommand
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import InstrumentsLoaded, JournalEvent, TapeEvent
from holdfast.ports import Clock
from holdfast.store.buffers import SECOND_NS, RecordBuffer, StoreSettings, TapeBuffer
from holdfast.store.chain import require_intact
from holdfast.store.migrate import revision_of, unusable
from holdfast.store.records import Decided, Record
from holdfast.store.schema import FILE_NAME
from holdfast.store.segment import TapeHeader
from holdfast.store.tape import FOLDER, TapeWriter, seal_leftovers
from holdfast.store.writer import EventsTable

OnChanged = Callable[[bool, str], None]
"""Told whether what is appended becomes durable, and why not: for the shell's `JournalChanged`."""


class CloseReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a journal ended.

    `durable` is the number of the last record on the disk. `dropped` counts what did not fit into
    the buffers while the disk took nothing.
    """

    last_sequence: int
    durable: int
    records_unwritten: int
    market_unwritten: int
    dropped: int
    reason: str

    @property
    def is_complete(self) -> bool:
        """Whether everything that was appended is on the disk."""
        return not (self.records_unwritten or self.market_unwritten or self.dropped or self.reason)


class StoreJournal:
    """A `Journal` over the database and the tape in one folder. Close it, whatever happens."""

    def __init__(
        self,
        folder: Path,
        header: TapeHeader,
        *,
        settings: StoreSettings | None = None,
        on_changed: OnChanged | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Open `folder`, making it if need be. `header` names the day and the market's source.

        File and chain are checked, and what a crash left of the tape is sealed, before anything is
        written. `on_changed` is called by the thread that writes. With a `clock` a commit that
        takes too long counts as not durable. Raises `DataRefused` when folder, database or tape
        cannot be used as they are.
        """
        self._settings = settings or StoreSettings()
        self._on_changed = on_changed
        self._told = ""
        self._retry_at_ns = 0
        self._report: CloseReport | None = None
        self._path = folder / FILE_NAME
        table, last = _open(self._path, header.day, self._settings)
        self._next = last + 1
        self._lock = threading.Lock()
        self._records_due = threading.Condition(self._lock)
        self._tape_due = threading.Condition(self._lock)
        self._records_end = self._tape_ends = False
        self._records = RecordBuffer(table, self._lock, settings=self._settings, clock=clock)
        tape = TapeWriter(folder / FOLDER / header.day, header, sync=self._settings.threaded)
        self._market = TapeBuffer(tape, self._lock, settings=self._settings)
        self._tape_thread = threading.Thread(target=self._write_tape, name="TapeWriter")
        self._records_thread = threading.Thread(target=self._write_records, name="JournalWriter")
        if self._settings.threaded:
            self._tape_thread.start()
            self._records_thread.start()

    @property
    def last_sequence(self) -> int:
        """The last number given."""
        return self._next - 1

    @property
    def durable(self) -> int:
        """The number of the last record on the disk."""
        return self._records.table.last

    @property
    def lag(self) -> int:
        """How many records and market events were appended and are not on the disk yet."""
        return len(self._records) + len(self._market)

    def append(self, event: JournalEvent) -> int:
        """Keep an event; returns its number. Threaded, it waits for nothing."""
        with self._lock:
            sequence = self._take(event)
            if isinstance(event, InstrumentsLoaded):
                self._market.instruments = event.instruments
        self._write_if_due(event.at_ns)
        return sequence

    def append_decision(
        self, cause: int, at_ns: int, commands: Sequence[AnyCommand], audits: Sequence[AnyAudit]
    ) -> int:
        """Keep what the step of event number `cause` decided; returns the record's number."""
        assert commands or audits, "nothing decided is not a record"
        decided = Decided(at_ns=at_ns, cause=cause, commands=tuple(commands), audits=tuple(audits))
        with self._lock:
            sequence = self._take(decided)
        self._write_if_due(at_ns)
        return sequence

    def append_market(self, event: TapeEvent) -> int:
        """Keep a market event on the tape; returns its number. Threaded, it waits for nothing."""
        with self._lock:
            sequence = self._number()
            self._market.push(sequence, event)
            if self._market.is_due:
                self._tape_due.notify()
        self._write_if_due(event.at_ns)
        return sequence

    def wait_durable(self, sequence: int) -> Future[None]:
        """A future that is done once every record up to `sequence` is on the disk.

        Asking makes the writer commit at once. How long to wait is the asker's business: it fails
        only with `DataRefused`, when the journal is closed before.
        """
        future = self._records.wait(sequence)
        if self._settings.threaded:
            with self._lock:
                self._records_due.notify()
        else:
            self._commit_all()
            self._tell()
        return future

    def close(self) -> CloseReport:
        """Write what is left, seal the tape, fold the log into the file; says how it went.

        A second call returns the first one's answer.
        """
        if self._report is None:
            reason = self._end_threads() if self._settings.threaded else self._end_inline()
            self._report = CloseReport(
                last_sequence=self.last_sequence,
                durable=self.durable,
                records_unwritten=len(self._records),
                market_unwritten=len(self._market),
                dropped=self._records.dropped + self._market.dropped,
                reason=reason,
            )
            self._records.give_up(
                DataRefused(
                    str(self._path),
                    f"closed before it was durable: {reason}",
                    "the next start begins from what is on the disk",
                )
            )
        return self._report

    def _number(self) -> int:
        """The next number. Under the lock, together with pushing what bears it."""
        sequence = self._next
        self._next += 1
        return sequence

    def _take(self, record: Record) -> int:
        """Number a record and queue it. Under the lock, so that the queue is in order."""
        sequence = self._number()
        self._records.push(sequence, record)
        if self._records.is_due:
            self._records_due.notify()
        return sequence

    def _write_if_due(self, at_ns: int) -> None:
        """Not threaded: write what is due by `at_ns`; after a failure, a while later."""
        if self._settings.threaded or at_ns < self._retry_at_ns:
            return
        oldest_ns = self._market.oldest_ns()
        is_old = oldest_ns is not None and at_ns - oldest_ns >= self._settings.tape_flush_ns
        if self._market.is_due or is_old:
            self._flush()
        if self._records.is_due:
            self._records.commit()
        if self._reason():
            self._retry_at_ns = at_ns + int(self._settings.retry_s * SECOND_NS)
        self._tell()

    def _flush(self) -> None:
        """Write the tape and queue, under numbers of their own, the ranges that vouch for it."""
        written = self._market.flush()
        with self._lock:
            for part in written:
                self._take(part)
            self._records_due.notify()

    def _commit_all(self) -> None:
        while len(self._records) and self._records.commit():
            pass

    def _reason(self) -> str:
        """Why what is appended does not become durable; empty when it does."""
        faults = [fault for fault in (self._records.fault, self._market.fault) if fault]
        dropped = self._records.dropped + self._market.dropped
        if faults and dropped:
            faults.append(f"{dropped} events did not fit into the buffers")
        return "; ".join(faults)

    def _tell(self) -> None:
        """Report a change. Called by one thread only, so that the last report is the truth."""
        reason = self._reason()
        if bool(reason) != bool(self._told) and self._on_changed is not None:
            self._on_changed(not reason, reason)
        self._told = reason

    def _write_tape(self) -> None:
        """The thread `TapeWriter`: a batch, or what came within the interval, until the end."""
        failed = ends = False
        try:
            while not ends:
                ends = self._wait_for_market(failed=failed)
                self._flush()
                failed = bool(self._market.fault)
            self._market.writer.close()
        finally:
            if not ends:  # a fault of ours ends this thread: nobody may believe it still writes
                self._market.fault = "the thread TapeWriter died"

    def _write_records(self) -> None:
        """The thread `JournalWriter`: group after group until the end, and the reports."""
        failed = ends = False
        try:
            while not ends or (len(self._records) and not failed):
                ends = self._wait_for_records(failed=failed)
                failed = not self._records.commit()
                self._tell()
        finally:
            if not ends:  # as above, and there is no other thread to tell
                self._records.fault = "the thread JournalWriter died"
                self._tell()

    def _wait_for_market(self, *, failed: bool) -> bool:
        """Wait for a batch or the interval; after a failure, a while. True: it is the end."""
        with self._lock:
            self._tape_due.wait_for(
                lambda: self._tape_ends or (not failed and self._market.is_due),
                timeout=self._pause_s(failed=failed),
            )
            return self._tape_ends

    def _wait_for_records(self, *, failed: bool) -> bool:
        """The same for a group of records, somebody who waits, or a change to tell."""
        with self._lock:
            self._records_due.wait_for(
                lambda: self._records_end or (not failed and self._is_commit_due()),
                timeout=self._pause_s(failed=failed),
            )
            return self._records_end

    def _pause_s(self, *, failed: bool) -> float:
        return self._settings.retry_s if failed else self._settings.db_commit_interval_s

    def _is_commit_due(self) -> bool:
        return self._records.is_due or bool(self._reason()) != bool(self._told)

    def _end_inline(self) -> str:
        self._flush()
        self._market.writer.close()
        self._commit_all()
        self._tell()
        return self._reason() or self._close_table()

    def _end_threads(self) -> str:
        """End the tape first: its last ranges are records still to be written."""
        with self._lock:
            self._tape_ends = True
            self._tape_due.notify()
        self._tape_thread.join(self._settings.join_s_max)
        with self._lock:
            self._records_end = True
            self._records_due.notify()
        self._records_thread.join(self._settings.join_s_max)
        for thread in (self._tape_thread, self._records_thread):
            if thread.is_alive():
                return f"the thread {thread.name} did not end in time"
        return self._reason() or self._close_table()

    def _close_table(self) -> str:
        try:
            self._records.table.close()
        except sa.exc.SQLAlchemyError as error:
            return str(unusable(self._path, error))
        return ""


def _open(path: Path, day: str, settings: StoreSettings) -> tuple[EventsTable, int]:
    """The checked table and the highest number in use, in the journal or on the tape.

    Raises `DataRefused`.
    """
    tape = path.parent / FOLDER
    try:
        if revision_of(path) is not None:
            require_intact(path)
        table = EventsTable(path, pages_max=settings.pages_max)
        (tape / day).mkdir(parents=True, exist_ok=True)
        return table, max(table.last, seal_leftovers(tape))
    except OSError as error:
        raise unusable(tape, error) from error
