"""The journal of the runtime: numbers at once, durability in groups, nothing lost on a full disk.

Appending gives a number and returns. Records are committed in groups: a hundred, or what came
within a second, or at once when somebody waits. Market events go to the tape under the same run of
numbers, and the journal keeps their range and hash.

A commit that fails, or takes too long, opens a breaker: from then on the journal says that it is
not durable, keeps what comes, tries again each second, and writes all of it in order before it
says that it is durable again.

It has two halves, database and tape, each opened, written and closed by its owner: who starts
threads gives `write_records` and `write_tape` one each. The tape ends first, since its last ranges
are records. Not threaded, the caller writes, which makes numbers and files a function of what was
appended, as virtual time demands.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa

from holdfast.domain.audit import AnyAudit
from holdfast.domain.command import AnyCommand
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import InstrumentsLoaded, JournalEvent, TapeEvent
from holdfast.ports import Clock
from holdfast.store import schema
from holdfast.store.buffers import SECOND_NS, RecordBuffer, StoreSettings, TapeBuffer
from holdfast.store.chain import Finding, connect, require_intact, walk_chain
from holdfast.store.migrate import revision_of, unusable
from holdfast.store.records import Decided, Record, Stopped, TapeRange
from holdfast.store.room import Room
from holdfast.store.schema import FILE_NAME
from holdfast.store.segment import TapeHeader
from holdfast.store.stops import Stops, require_going
from holdfast.store.tape import FOLDER, TapeWriter, seal_if_possible, seal_leftovers
from holdfast.store.writer import EventsTable

OnChanged = Callable[[bool, str], None]
"""Told whether what is appended becomes durable, and why not: for the shell's `JournalChanged`."""

SLICE_S: Final = 0.1
"""The longest time that a waiting writer does not look at its stop flag."""

CHECK_ROWS: Final = 5_000
"""So many rows a check looks at: a few hundredths of a second."""


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


class _Turn:
    """Held by whoever works on one half's files: a writer that hangs keeps the next one out."""

    def __init__(self, where: Path) -> None:
        self._where = where
        self._lock = threading.Lock()

    @contextmanager
    def taken(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise DataRefused(
                str(self._where),
                "an earlier writer of this process has not ended yet",
                "it waits for the disk: look at the disk",
            )
        try:
            yield
        finally:
            self._lock.release()


class ServedJournal:
    """A `Journal` over the database and the tape in one folder.

    Nothing can be appended before both halves were opened once; from then on always.
    """

    def __init__(
        self,
        folder: Path,
        header: TapeHeader,
        *,
        settings: StoreSettings | None = None,
        on_changed: OnChanged | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Nothing is touched yet. `header` names the day and the market's source.

        `on_changed` is called by the thread that writes or by the caller of `watch`, one at a time.
        With a `clock` a commit that takes too long counts as not durable.
        """
        self._settings = settings or StoreSettings()
        self._path = folder / FILE_NAME
        self._tape = folder / FOLDER
        self._header = header
        self._on_changed = on_changed
        self._told = ""
        self._telling = threading.RLock()
        self._retry_at_ns = 0
        self._last = self._checked = 0
        self._report: CloseReport | None = None
        self._unsealed: tuple[Path, ...] = ()
        self._lock = threading.Lock()
        self._records_due = threading.Condition(self._lock)
        self._tape_due = threading.Condition(self._lock)
        self._records_turn, self._tape_turn = _Turn(self._path), _Turn(self._tape)
        self._is_database_read = self._is_tape_read = False
        self._room = Room(folder, self._settings.free_bytes_min)
        self._records = RecordBuffer(
            self._lock, settings=self._settings, clock=clock, room=self._room
        )
        self._market = TapeBuffer(
            self._lock, settings=self._settings, vouch=self._vouch, room=self._room
        )

    @property
    def last_sequence(self) -> int:
        """The last number given."""
        return self._last

    @property
    def durable(self) -> int:
        """The number of the last record on the disk."""
        return self._records.durable

    @property
    def checked(self) -> int:
        """The last record that was found sound: when the database was opened, or since."""
        return self._checked

    @property
    def lag(self) -> int:
        """How many records and market events were appended and are not on the disk yet."""
        return len(self._records) + len(self._market)

    @property
    def connections(self) -> int:
        """How many connections to the database it holds open."""
        return self._records.connections

    @property
    def reason(self) -> str:
        """Why what is appended does not become durable in time; empty when it does."""
        faults = [fault for fault in (self._records.fault, self._market.fault) if fault]
        if self._told and not faults and self._records.is_behind:
            faults.append(f"{len(self._records)} records wait to be written")
        if dropped := self._records.dropped + self._market.dropped:
            faults.append(f"{dropped} events did not fit into the buffers: the record has a hole")
        return "; ".join(faults)

    # -- appending, on the caller's thread

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

    def append_stopped(self, stopped: Stopped) -> int:
        """Keep what the process leaves behind; returns the record's number."""
        with self._lock:
            sequence = self._take(stopped)
        self._write_if_due(stopped.at_ns)
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
        only with `DataRefused`, when the database is closed before, or the record has a hole.
        """
        future = self._records.wait(sequence)
        if self._settings.threaded:
            self.wake_records()
        else:
            self._commit_all()
            self._tell()
        return future

    def _number(self) -> int:
        """The next number. Under the lock, together with pushing what bears it."""
        assert self._is_database_read and self._is_tape_read, "both halves know numbers"  # noqa: PT018
        self._last += 1
        return self._last

    def _take(self, record: Record, *, is_bound: bool = False) -> int:
        """Number a record and queue it. Under the lock, so that the queue is in order."""
        sequence = self._number()
        self._records.push(sequence, record, is_bound=is_bound)
        if self._records.is_due:
            self._records_due.notify()
        return sequence

    def _vouch(self, written: Sequence[TapeRange]) -> None:
        """Queue the ranges of one flush. Under the lock.

        They are committed together: a crash between them would make numbers that are on the tape
        look lost.
        """
        for number, part in enumerate(written):
            self._take(part, is_bound=number > 0)
        self._records_due.notify()

    # -- the database, by its owner

    def open_database(self, flag: Stops | None = None) -> None:
        """Open or create the database; its file and chain are checked before anything is written.

        A long journal takes seconds. Opened again, the journal goes on where the disk stands.
        Raises `DataRefused` when it cannot be used as it is, `Interrupted` when `flag` was set.
        """
        with self._records_turn.taken():
            self._abandon_table()
            self._require_room()
            try:
                if revision_of(self._path) is not None:
                    require_intact(self._path, flag)
                table = EventsTable(self._path, pages_max=self._settings.pages_max)
            except OSError as error:
                raise unusable(self._path, error) from error
            self._require_ours(table)
            with self._lock:
                self._last = max(self._last, table.last)
                self._is_database_read = True
            self._checked = table.last
            self._records.attach(table)
            self._report = None

    def _require_room(self) -> None:
        self._room.is_end = False
        if lack := self._room.lack():
            raise unusable(self._path, OSError(lack))

    def _abandon_table(self) -> None:
        table = self._records.detach("the database is not open" if self._is_database_read else "")
        if table is not None:
            table.abandon()

    def _require_ours(self, table: EventsTable) -> None:
        if self._is_database_read and table.last > self._last:
            table.abandon()
            raise DataRefused(
                str(self._path),
                f"holds {table.last} records where this process wrote {self._last}",
                "end the other program that writes there, and start again",
            )

    def write_records(self, flag: Stops, *, beat: Callable[[], None] = lambda: None) -> None:
        """What the thread `JournalWriter` runs: group after group until `flag` is set, then all.

        `beat` is called at least each few seconds while the disk answers at all. Raises
        `DataRefused` when an earlier writer has not ended.
        """
        with self._records_turn.taken(), self._dying_aloud("JournalWriter", self._records):
            while not flag.is_set:
                if self._records.fault:
                    flag.wait(self._settings.retry_s)
                else:
                    self._wait(flag, self._records_due, self._is_commit_due)
                self._records.commit()
                self._tell()
                beat()
            self._room.is_end = True
            self._commit_all()
            self._tell()

    def wake_records(self) -> None:
        """Make the writer of records look at its flag, and whether it has work."""
        with self._lock:
            self._records_due.notify_all()

    def check(self, flag: Stops | None = None) -> str:
        """Read some of what was written since the last one found sound; returns what is wrong.

        A stop reads what is behind `checked`, and a whole day would take it too long. What is not
        sound stays behind it. Raises `Interrupted` soon after `flag` was set.
        """
        if self.durable <= self._checked:
            return ""
        try:
            with closing(connect(self._path)) as connection:
                for found in islice(walk_chain(connection, after=self._checked), CHECK_ROWS):
                    require_going(flag, "the check of the journal")
                    if isinstance(found, Finding):
                        return f"{found.where}: {found.what}"
                    self._checked = found.sequence
        except schema.UNREADABLE as error:
            return f"cannot be read: {error}"
        return ""

    def close_database(self) -> CloseReport:
        """Write what is left, fold the log into the file, close; says how the journal ended.

        It is the writer's last work where that died. A second call returns the first one's answer.
        Raises `DataRefused` while a writer has not ended.
        """
        with self._records_turn.taken():
            if self._report is None:
                self._room.is_end = True
                self._commit_all()
                self._report = self._ended(self._close_table())
                self._records.give_up(self._closed(self._report.reason))
        return self._report

    def _close_table(self) -> str:
        """Returns why it could not be done; empty when it could."""
        reason = self.reason
        table = self._records.detach(self._records.fault)
        try:
            if table is not None and self._room.lack():
                table.abandon()
            elif table is not None:
                table.close()
        except sa.exc.SQLAlchemyError as error:
            return reason or str(unusable(self._path, error))
        return reason

    def _closed(self, reason: str) -> DataRefused:
        return DataRefused(
            str(self._path),
            f"closed before it was durable: {reason}",
            "the next start begins from what is on the disk",
        )

    def _ended(self, reason: str) -> CloseReport:
        return CloseReport(
            last_sequence=self.last_sequence,
            durable=self.durable,
            records_unwritten=len(self._records),
            market_unwritten=len(self._market),
            dropped=self._records.dropped + self._market.dropped,
            reason=reason,
        )

    # -- the tape, by its owner

    def open_tape(self) -> None:
        """Seal what a crash left of any day's tape, and make ready to write the day's.

        Opened again, the journal vouches for what an earlier writer wrote without saying so. Raises
        `DataRefused` when folder or tape cannot be used as they are.
        """
        with self._tape_turn.taken():
            self._abandon_tape()
            self._require_room()
            day = self._tape / self._header.day
            try:
                day.mkdir(parents=True, exist_ok=True)
                highest = seal_leftovers(self._tape)
            except OSError as error:
                raise unusable(self._tape, error) from error
            with self._lock:
                self._last = max(self._last, highest)
                self._is_tape_read = True
            self._market.attach(TapeWriter(day, self._header, sync=self._settings.threaded))
            self._report = None

    def _abandon_tape(self) -> None:
        writer = self._market.detach("the tape is not open" if self._is_tape_read else "")
        if writer is not None:
            writer.abandon()

    def write_tape(self, flag: Stops, *, beat: Callable[[], None] = lambda: None) -> None:
        """What the thread `TapeWriter` runs: a batch, or what came within the interval, until
        `flag` is set.

        `beat` is called as in `write_records`, and so does it raise.
        """
        with self._tape_turn.taken(), self._dying_aloud("TapeWriter", self._market):
            while not flag.is_set:
                if self._market.fault:
                    flag.wait(self._settings.retry_s)
                else:
                    self._wait(flag, self._tape_due, lambda: self._market.is_due)
                self._market.flush()
                beat()
            self._end_tape()

    def wake_tape(self) -> None:
        """Make the writer of the tape look at its flag, and whether it has work."""
        with self._lock:
            self._tape_due.notify_all()

    def close_tape(self) -> None:
        """Write what is left, where the writer of the tape has not; its last segments stay streams.

        Before the database is closed, which vouches for them. Raises `DataRefused` while that writer has not ended.
        """
        with self._tape_turn.taken():
            self._end_tape()

    def _end_tape(self) -> None:
        self._room.is_end = True
        self._market.flush()
        writer = self._market.detach(self._market.fault)
        if writer is not None:
            self._unsealed = writer.abandon()

    def seal_tape(self, flag: Stops | None = None) -> bool:
        """Seal the last segments, once the tape is closed; returns whether all of them are.

        What a `flag` that is set leaves undone the next start does: a stream is as safe, and only
        larger.
        """
        with self._tape_turn.taken():
            while self._unsealed and seal_if_possible(self._unsealed[0], flag):
                self._unsealed = self._unsealed[1:]
        return not self._unsealed

    # -- what the halves share

    def watch(self) -> None:
        """Report a commit that does not come back: its own thread cannot. From any thread."""
        self._tell()

    def _tell(self) -> None:
        """Report a change. One at a time, so that the last report is the truth."""
        with self._telling:
            reason = self.reason
            is_changed = bool(reason) != bool(self._told)
            self._told = reason
            if is_changed and self._on_changed is not None:
                self._on_changed(not reason, reason)

    @contextmanager
    def _dying_aloud(self, name: str, half: RecordBuffer | TapeBuffer) -> Iterator[None]:
        """A fault of ours ends that thread: nobody may believe that it still writes."""
        is_over = False
        try:
            yield
            is_over = True
        finally:
            if not is_over:
                half.fail(f"the thread {name} died")
                self._tell()

    def _wait(self, flag: Stops, due: threading.Condition, is_due: Callable[[], bool]) -> None:
        """Wait for work, or as long as records may wait at most, or until told to end."""
        slices = max(round(self._settings.db_commit_interval_s / SLICE_S), 1)
        slice_s = self._settings.db_commit_interval_s / slices
        with self._lock:
            for _ in range(slices):
                if flag.is_set or is_due():
                    return
                due.wait(slice_s)

    def _is_commit_due(self) -> bool:
        return self._records.is_due or bool(self.reason) != bool(self._told)

    def _commit_all(self) -> None:
        while len(self._records) and self._records.commit():
            pass

    def _write_if_due(self, at_ns: int) -> None:
        """Not threaded: write what is due by `at_ns`; after a failure, a while later."""
        if self._settings.threaded or at_ns < self._retry_at_ns:
            return
        oldest_ns = self._market.oldest_ns()
        is_old = oldest_ns is not None and at_ns - oldest_ns >= self._settings.tape_flush_ns
        if self._market.is_due or is_old:
            self._market.flush()
        if self._records.is_due or self._records.fault:
            self._records.commit()
        while self._told and self._records.is_behind and self._records.commit():
            pass
        if self._records.fault or self._market.fault:
            self._retry_at_ns = at_ns + int(self._settings.retry_s * SECOND_NS)
        self._tell()
