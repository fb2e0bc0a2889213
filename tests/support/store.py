"""A journal whose halves are owned by two parties with threads from the register, as in a program."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import closing, contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest

from holdfast.ports import Clock
from holdfast.runtime.clock import WallClock
from holdfast.runtime.threads import Threads
from holdfast.store import query
from holdfast.store.buffers import StoreSettings
from holdfast.store.columns import KINDS_BY_NAME
from holdfast.store.migrate import revision_of
from holdfast.store.records import Record
from holdfast.store.schema import FILE_NAME
from holdfast.store.segment import read_segment
from holdfast.store.served import CloseReport, ServedJournal
from holdfast.store.tape import FOLDER, segments
from tests.unit.store.samples import HEADER

QUICK = StoreSettings(db_commit_interval_s=0.01, retry_s=0.02)


_STARTED: "list[Owners]" = []


@pytest.fixture(autouse=True)
def end_owners() -> Iterator[None]:
    """End what a test that failed has left: a thread of it would keep the process alive."""
    yield
    while _STARTED:
        _STARTED.pop().stop()


class Owners:
    """The two owners: each opens its half, runs its writer, and closes it."""

    def __init__(
        self, folder: Path, *, settings: StoreSettings = QUICK, clock: Clock | None = None
    ) -> None:
        self.told: SimpleQueue[tuple[bool, str]] = SimpleQueue()
        self.threads = Threads()
        _STARTED.append(self)
        self.beats = 0
        self.journal = ServedJournal(
            folder,
            HEADER,
            settings=settings,
            on_changed=lambda *change: self.told.put(change),
            clock=clock or WallClock(),
        )

    def start(self) -> ServedJournal:
        """Both, the database first."""
        self.start_records()
        self.start_tape()
        return self.journal

    def start_records(self) -> None:
        """Open the database and write to it."""
        self.journal.open_database()
        self._run("JournalWriter")

    def start_tape(self) -> None:
        """Open the tape and write to it."""
        self.journal.open_tape()
        self._run("TapeWriter")

    def _run(self, name: str) -> None:
        journal = self.journal
        target = journal.write_records if name == "JournalWriter" else journal.write_tape
        wake = journal.wake_records if name == "JournalWriter" else journal.wake_tape
        self.threads.start(name, lambda flag: target(flag, beat=self._beat), owner=name, wake=wake)

    def _beat(self) -> None:
        self.beats += 1

    def stop(self, name: str | None = None) -> tuple[str, ...]:
        """End one writer, or both; the names of those that stay."""
        return asyncio.run(self.threads.stop(name, within_s=10))

    def wait_lost(self, name: str, give_work: Callable[[], object]) -> None:
        """Give a writer work, a piece each few milliseconds, until it has ended by itself."""
        (thread,) = self.threads.of(name)
        for _ in range(2_000):
            give_work()
            if asyncio.run(thread.join(0.005)):
                break
        assert self.threads.lost(name) == name

    def end(self) -> CloseReport:
        """The whole stop: the tape's writer and its half, then the records'."""
        assert self.stop("TapeWriter") == ()
        self.journal.close_tape()
        self.journal.seal_tape()
        assert self.stop("JournalWriter") == ()
        return self.journal.close_database()


def contents(folder: Path) -> tuple[list[tuple[int, Record]], dict[int, object]]:
    """The records of a journal, and the events of its tapes by their numbers; nothing twice."""
    path = folder / FILE_NAME
    is_made = revision_of(path) is not None  # a kill may come before that
    records = [(number, record) for number, _, record in query.records(path)] if is_made else []
    market: dict[int, object] = {}
    for segment in (one for day in sorted((folder / FOLDER).glob("*")) for one in segments(day)):
        content = read_segment(segment)
        rows = dict(KINDS_BY_NAME[content.header.kind].decode(content.table))
        assert not rows.keys() & market.keys()
        market |= rows
    assert not market.keys() & {number for number, _ in records}
    return records, market


def first_missing(numbers: AbstractSet[int]) -> int:
    """Where the fold of the past ends (decisions 4.11)."""
    number = 1
    while number in numbers:
        number += 1
    return number


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Another program holds the database's write lock: every commit fails."""
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
