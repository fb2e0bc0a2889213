"""The journal: one run of numbers, durability on demand, nothing lost while the disk is full."""

import errno
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest
import sqlalchemy as sa

from holdfast import ports
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import Restarted, TimerFired
from holdfast.store import query, schema
from holdfast.store.audit import audit
from holdfast.store.buffers import StoreSettings
from holdfast.store.columns import Numbered
from holdfast.store.pages import DatabaseFile
from holdfast.store.records import Decided, Record, TapeRange
from holdfast.store.schema import FILE_NAME, open_writer
from holdfast.store.tape import FOLDER, TapeWriter, read_tape, segments
from holdfast.store.writer import EventsTable
from tests.support.journal import StoreJournal
from tests.unit.store.conftest import INLINE
from tests.unit.store.samples import (
    DAY,
    HEADER,
    INSTRUMENTS,
    SECOND_NS,
    T0,
    a_day,
    closed,
    flip,
    play,
    tick,
)

SETTINGS = [
    pytest.param(INLINE, id="inline"),
    pytest.param(StoreSettings(db_commit_interval_s=0.01, retry_s=0.01), id="threaded"),
]
BEGUN = Restarted(at_ns=T0, day=DAY, code_version="1", config_sha256="c")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the store goes: not there yet."""
    return tmp_path / "account" / "paper"


def records_of(folder: Path) -> list[tuple[int, Record]]:
    """Number and record of each row."""
    return [(number, record) for number, _, record in query.records(folder / FILE_NAME)]


def as_port(journal: StoreJournal) -> ports.Journal:
    """It is what the runtime asks for."""
    return journal


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_day_is_kept_whole_under_one_run_of_numbers(
    folder: Path, settings: StoreSettings
) -> None:
    """Every event under the number it got, every decision under its cause; the audit is clean."""
    journal = StoreJournal(folder, HEADER, settings=settings)
    steps = a_day(trades=4, ticks=400)
    numbers = play(journal, steps)
    report = journal.close()
    assert report.is_complete
    assert (report.last_sequence, report.durable) == (journal.last_sequence, journal.durable)
    assert len(numbers) >= 450
    assert numbers == sorted(set(numbers))

    kept: dict[int, object] = dict(read_tape(folder / FOLDER / DAY).events())
    kept |= {
        number: record
        for number, record in records_of(folder)
        if not isinstance(record, Decided | TapeRange)
    }
    assert [kept[number] for number in numbers] == [s for s in steps if not isinstance(s, tuple)]
    decided = [record for _, record in records_of(folder) if isinstance(record, Decided)]
    assert [(list(d.commands), list(d.audits)) for d in decided] == [
        step for step in steps if isinstance(step, tuple)
    ]
    assert all(d.cause in kept for d in decided)
    assert audit(folder / FILE_NAME).is_clean


def test_inline_the_same_events_make_the_same_journal(tmp_path: Path) -> None:
    """Row by row and hash by hash: numbers are a function of what was appended."""
    found = []
    for name in ("a", "b"):
        journal = StoreJournal(tmp_path / name, HEADER, settings=INLINE)
        play(journal, a_day())
        journal.close()
        with open_writer(tmp_path / name / FILE_NAME).connect() as connection:
            found.append(connection.execute(sa.text("SELECT * FROM events")).all())
    assert found[0] == found[1]


@pytest.mark.parametrize("settings", SETTINGS)
def test_who_waits_is_answered_at_once(folder: Path, settings: StoreSettings) -> None:
    """The record is on the disk when the future is done, long before a group is full."""
    journal = StoreJournal(folder, HEADER, settings=settings)
    sequence = journal.append(BEGUN)
    assert journal.wait_durable(sequence).result(timeout=10) is None
    assert records_of(folder) == [(sequence, BEGUN)]
    assert journal.wait_durable(sequence).done()
    journal.close()


def test_appending_waits_for_no_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the writer held in the middle of a commit, a thousand events are taken."""
    entered, leave = threading.Event(), threading.Event()
    commit = EventsTable.commit

    def held(table: EventsTable, records: Sequence[tuple[int, Record]]) -> None:
        entered.set()
        assert leave.wait(10)
        commit(table, records)

    monkeypatch.setattr(EventsTable, "commit", held)
    journal = StoreJournal(folder, HEADER)
    waiting = journal.wait_durable(journal.append(BEGUN))
    assert entered.wait(10)
    for number in range(1_000):
        journal.append(TimerFired(at_ns=T0 + number))
        journal.append_market(tick(number))
    assert not waiting.done()
    assert journal.lag >= 1_001
    leave.set()
    assert journal.close().is_complete
    assert waiting.done()


def test_a_decision_is_a_record_with_a_number_of_its_own(folder: Path) -> None:
    """One can wait for it; a step that decided nothing has none, and the driver keeps none."""
    journal = StoreJournal(folder, HEADER, settings=INLINE)
    first = journal.append(BEGUN)
    decided = journal.append_decision(first, T0, [], [closed(1, T0)])
    assert (decided, journal.last_sequence) == (first + 1, first + 1)
    assert journal.wait_durable(decided).done()
    assert journal.append(TimerFired(at_ns=T0)) == decided + 1
    with pytest.raises(AssertionError, match="nothing decided is not a record"):
        journal.append_decision(first, T0, [], [])
    journal.close()


def test_a_restart_goes_on_with_numbers_chain_and_tape(folder: Path) -> None:
    """Three runs of a day: one chain, one run of numbers, one tape, projections that add up."""
    for _ in range(3):
        journal = StoreJournal(folder, HEADER, settings=INLINE)
        journal.append(BEGUN)
        for number in range(30):
            journal.append_market(tick(number))
        assert journal.close().is_complete
    report = audit(folder / FILE_NAME)
    assert report.is_clean
    assert (report.records, report.tape_rows) == (6, 90)
    assert [number for number, _ in records_of(folder)] == [1, 32, 33, 64, 65, 96]
    assert [day.restarts for day in query.days(folder / FILE_NAME)] == [3]
    assert len(segments(folder / FOLDER / DAY)) == 3


def test_the_master_of_the_day_stands_in_the_tape(folder: Path) -> None:
    """A tape needs nothing beside it, though the master came after it was begun."""
    header = type(HEADER)(day=DAY, source="made")
    journal = StoreJournal(folder, header, settings=INLINE)
    play(journal, a_day(trades=0, ticks=10))
    journal.close()
    assert read_tape(folder / FOLDER / DAY).instruments == INSTRUMENTS


def test_the_tape_is_flushed_by_rows_and_by_time(folder: Path) -> None:
    """Inline: after so many rows, or when the oldest has waited so long by the events' time."""
    settings = StoreSettings(threaded=False, tape_batch_rows=20, tape_flush_ns=SECOND_NS)
    journal = StoreJournal(folder, HEADER, settings=settings)
    for number in range(20):
        journal.append_market(tick(number, at_ns=T0 + number))
    journal.append_market(tick(21, at_ns=T0 + 100))
    journal.append(TimerFired(at_ns=T0 + 99 + SECOND_NS))
    assert read_tape(folder / FOLDER / DAY).tick_rows == 20
    journal.append(TimerFired(at_ns=T0 + 100 + SECOND_NS))
    assert read_tape(folder / FOLDER / DAY).tick_rows == 21
    journal.close()


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Another program holds the database's write lock: every commit fails."""
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that meets a lock fails at once."""
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_S", 0.0)


@pytest.mark.usefixtures("impatient")
def test_a_commit_that_fails_is_told_kept_and_made_up_for(folder: Path) -> None:
    """Not durable while it lasts, told once; then everything in order, durable again."""
    told: SimpleQueue[tuple[bool, str]] = SimpleQueue()
    settings = StoreSettings(db_commit_interval_s=0.01, retry_s=0.01)
    journal = StoreJournal(
        folder,
        HEADER,
        settings=settings,
        on_changed=lambda is_durable, reason: told.put((is_durable, reason)),
    )
    with unwritable(folder):
        waiting = journal.wait_durable(journal.append(BEGUN))
        is_durable, reason = told.get(timeout=10)
        assert not is_durable
        assert "the journal cannot be written" in reason
        numbers = [journal.append(TimerFired(at_ns=T0 + n)) for n in range(250)]
        assert not waiting.done()
    assert told.get(timeout=10) == (True, "")
    assert waiting.result(timeout=10) is None
    assert journal.close().is_complete
    assert [number for number, _ in records_of(folder)] == [1, *numbers]
    assert told.empty()
    assert audit(folder / FILE_NAME).is_clean


@pytest.mark.usefixtures("impatient")
def test_inline_a_failure_is_tried_again_by_the_time_of_events(folder: Path) -> None:
    """Not at every event: a second later, in virtual time; then all that a group holds at once."""
    told: list[tuple[bool, str]] = []
    settings = StoreSettings(threaded=False, db_transaction_batch_size=5)
    journal = StoreJournal(
        folder, HEADER, settings=settings, on_changed=lambda *change: told.append(change)
    )
    with unwritable(folder):
        for number in range(10):
            journal.append(TimerFired(at_ns=T0 + number))
        assert [is_durable for is_durable, _ in told] == [False]
    journal.append(TimerFired(at_ns=T0 + SECOND_NS))
    assert journal.durable == 0
    journal.append(TimerFired(at_ns=T0 + 5 + SECOND_NS))
    assert journal.durable == 10
    assert [is_durable for is_durable, _ in told] == [False, True]
    assert journal.close().is_complete
    assert len(records_of(folder)) == 12


@pytest.mark.usefixtures("impatient")
def test_inline_a_disk_is_tried_again_though_no_group_is_full(folder: Path) -> None:
    """A second later by the events' time: a quiet market must not keep entries out."""
    told: list[bool] = []
    journal = StoreJournal(
        folder, HEADER, settings=INLINE, on_changed=lambda is_durable, _: told.append(is_durable)
    )
    with unwritable(folder):
        waiting = journal.wait_durable(journal.append(BEGUN))
        assert told == [False]
    journal.append(TimerFired(at_ns=T0))
    assert (told, journal.durable, waiting.done()) == ([False, True], 2, True)
    assert journal.close().is_complete


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("settings", SETTINGS)
def test_what_is_not_on_the_disk_at_the_end_is_said(folder: Path, settings: StoreSettings) -> None:
    """The report counts it, and who waits gets an error instead of an answer."""
    journal = StoreJournal(folder, HEADER, settings=settings)
    with unwritable(folder):
        waiting = journal.wait_durable(journal.append(BEGUN))
        report = journal.close()
    assert not report.is_complete
    assert (report.last_sequence, report.durable, report.records_unwritten) == (1, 0, 1)
    assert "the journal cannot be written" in report.reason
    with pytest.raises(DataRefused, match="closed before it was durable"):
        waiting.result(timeout=0)
    assert journal.close() is report


def test_a_tape_that_cannot_be_written_is_told_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ticks wait, the journal goes on; with space again they are written under their numbers."""
    told: SimpleQueue[tuple[bool, str]] = SimpleQueue()
    write = TapeWriter.write
    full = threading.Event()
    full.set()

    def write_or_fail(writer: TapeWriter, rows: Sequence[Numbered]) -> TapeRange:
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(writer, rows)

    monkeypatch.setattr(TapeWriter, "write", write_or_fail)
    settings = StoreSettings(db_commit_interval_s=0.01, retry_s=0.01)
    journal = StoreJournal(
        folder, HEADER, settings=settings, on_changed=lambda *change: told.put(change)
    )
    journal.append_market(tick(1))
    is_durable, reason = told.get(timeout=10)
    assert not is_durable
    assert "the tape cannot be written" in reason
    assert journal.wait_durable(journal.append(BEGUN)).result(timeout=10) is None
    journal.append_market(tick(2))
    full.clear()
    assert told.get(timeout=10) == (True, "")
    assert journal.close().is_complete
    assert list(read_tape(folder / FOLDER / DAY).events()) == [(1, tick(1)), (3, tick(2))]
    assert audit(folder / FILE_NAME).is_clean


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_that_dies_is_told_and_not_believed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours in the thread: from then on nothing counts as durable."""
    told: SimpleQueue[tuple[bool, str]] = SimpleQueue()

    def broken(*_: object) -> None:
        raise AssertionError("a fault of ours")

    monkeypatch.setattr(EventsTable, "commit", broken)
    journal = StoreJournal(folder, HEADER, on_changed=lambda *change: told.put(change))
    waiting = journal.wait_durable(journal.append(BEGUN))
    assert told.get(timeout=10) == (False, "the thread JournalWriter died")
    assert not waiting.done()
    report = journal.close()
    assert (report.records_unwritten, report.reason) == (1, "the thread JournalWriter died")


def test_two_threads_write_and_none_is_left(folder: Path) -> None:
    """By name, and gone when it is closed; inline there is none."""
    before = threading.enumerate()
    journal = StoreJournal(folder, HEADER)
    names = sorted(thread.name for thread in threading.enumerate() if thread not in before)
    assert names == ["JournalWriter", "TapeWriter"]
    journal.close()
    assert threading.enumerate() == before
    journal = StoreJournal(folder, HEADER, settings=INLINE)
    assert threading.enumerate() == before
    journal.close()


def test_a_damaged_journal_is_not_written_to(folder: Path) -> None:
    """Found at the start, refused with the row, and the file is as it was."""
    journal = StoreJournal(folder, HEADER, settings=INLINE)
    play(journal, a_day())
    journal.close()
    path = folder / FILE_NAME
    cell = next(c for c in DatabaseFile(path).cells("events") if c.child is None and c.row == 26)
    payload = next(part for part in cell.parts if part.name == "payload")
    flip(path, payload.start + 9, 1)
    content = path.read_bytes()
    with pytest.raises(DataRefused, match="events row 26") as refusal:
        StoreJournal(folder, HEADER)
    assert "holdfast audit verify" in refusal.value.remedy
    assert path.read_bytes() == content


def test_a_damaged_tape_is_not_added_to(folder: Path) -> None:
    """A stream that was not merely cut off stops the start, by name."""
    journal = StoreJournal(folder, HEADER, settings=INLINE)
    journal.append_market(tick(1))
    journal.close()
    stream = folder / FOLDER / DAY / "ticks-0002.arrows"
    stream.write_bytes(b"no stream at all")
    with pytest.raises(DataRefused, match="ticks-0002"):
        StoreJournal(folder, HEADER)


@pytest.mark.parametrize("what", ["account", FOLDER])
def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path, what: str) -> None:
    """With the remedy; no thread is left behind."""
    folder = tmp_path / "account"
    if what == FOLDER:
        folder.mkdir()
    (tmp_path / "account" / FOLDER if what == FOLDER else folder).write_text("in the way")
    before = threading.enumerate()
    with pytest.raises(DataRefused, match="make sure that its folder exists"):
        StoreJournal(folder, HEADER)
    assert threading.enumerate() == before
