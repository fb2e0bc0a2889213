"""The journal per event: what appending costs the one who appends, and what a durable record costs.

Goal (reference/performance E): one durable record at most 1.3 times append and fdatasync of the
same bytes; 50,000 events a second sustained by groups.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.yardstick import Row, compare
from holdfast.domain.event import JournalEvent, TimerFired
from holdfast.store.segment import TapeHeader
from tests.support.journal import StoreJournal

EVENTS = 20_000
DURABLE = 300
RECORD = b"x" * 300


def events(count: int) -> list[JournalEvent]:
    """Timers, the commonest record of a day."""
    return [TimerFired(at_ns=1_795_146_300_000_000_000 + n) for n in range(count)]


class Folder:
    """A journal in a fresh folder for every round."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self.journal: StoreJournal | None = None

    def renew(self) -> None:
        """Throw the last round's away and open a new one."""
        self.close()
        self._path = Path(tempfile.mkdtemp(prefix="bench-journal-"))
        header = TapeHeader(day="2026-11-20", source="bench")
        self.journal = StoreJournal(self._path, header)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.journal is not None and self._path is not None:
            self.journal.close()
            shutil.rmtree(self._path)
        self.journal = None


def appended(folder: Folder, batch: list[JournalEvent], *, wait: bool) -> Callable[[], int]:
    """Append all; with `wait` until the last is on the disk."""

    def run() -> int:
        journal = folder.journal
        assert journal is not None
        sequence = 0
        for event in batch:
            sequence = journal.append(event)
        if wait:
            journal.wait_durable(sequence).result()
        return len(batch)

    return run


def one_by_one(folder: Folder, batch: list[JournalEvent]) -> Callable[[], int]:
    """Append and wait for each: what an entry pays."""

    def run() -> int:
        journal = folder.journal
        assert journal is not None
        for event in batch:
            journal.wait_durable(journal.append(event)).result()
        return len(batch)

    return run


def floor() -> int:
    """The disk's own price: append 300 bytes and fdatasync, each."""
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(DURABLE):
            file.write(RECORD)
            file.flush()
            os.fdatasync(file.fileno())
    return DURABLE


def rows() -> Iterator[Row]:
    """The caller's cost, the sustained cost by groups, one durable record, and the disk's floor."""
    folder = Folder()
    many, few = events(EVENTS), events(DURABLE)
    try:
        work = appended(folder, many, wait=False)
        yield compare("journal: append, as the loop pays it", work, unit="event",
                      done_min=EVENTS, prepare=folder.renew)  # fmt: skip
        work = appended(folder, many, wait=True)
        yield compare("journal: durable by groups, sustained", work, unit="event",
                      done_min=EVENTS, prepare=folder.renew)  # fmt: skip
        yield compare("journal: one record durable at a time", one_by_one(folder, few),
                      unit="event", done_min=DURABLE, prepare=folder.renew)  # fmt: skip
        yield compare("disk: append 300 bytes + fdatasync", floor, unit="event", done_min=DURABLE)
    finally:
        folder.close()
