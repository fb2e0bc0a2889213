"""The journal in two halves: each opened, written and closed by its owner, and begun anew."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
import sqlalchemy as sa

from holdfast import ports
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import Restarted, TimerFired
from holdfast.runtime.threads import StopFlag
from holdfast.store import query, schema, served
from holdfast.store.audit import audit
from holdfast.store.buffers import StoreSettings
from holdfast.store.final import NotAsWritten, require_integrity
from holdfast.store.records import Decided, Record, TapeRange
from holdfast.store.schema import FILE_NAME
from holdfast.store.served import ServedJournal
from holdfast.store.stops import Interrupted
from holdfast.store.tape import FOLDER, TapeWriter, read_tape
from holdfast.store.writer import EventsTable
from tests.support.store import Owners, unwritable
from tests.unit.store.conftest import INLINE
from tests.unit.store.samples import DAY, HEADER, SECOND_NS, T0, a_day, candle, closed, play, tick

BEGUN = Restarted(at_ns=T0, day=DAY, code_version="1", config_sha256="c")
LONG_S = 10.0

Records = Sequence[tuple[int, Record]]


@pytest.fixture
def owners(tmp_path: Path) -> Iterator[Owners]:
    """Both halves open, both writers at work; ended at the end."""
    both = Owners(tmp_path)
    both.start()
    yield both
    both.stop()
    both.journal.close_database()


def kept(folder: Path) -> dict[int, object]:
    """Every event by its number, from journal and tape; twice is a fault."""
    market = list(read_tape(folder / FOLDER / DAY).events())
    records = [
        (number, record)
        for number, _, record in query.records(folder / FILE_NAME)
        if not isinstance(record, Decided | TapeRange)
    ]
    found: dict[int, object] = dict([*market, *records])
    assert len(found) == len(market) + len(records)
    return found


def as_port(journal: ServedJournal) -> ports.Journal:
    """It is what the runtime asks for."""
    return journal


def test_a_day_is_kept_whole_by_two_owners(tmp_path: Path) -> None:
    """One run of numbers, a clean audit; the store itself has started no thread."""
    owners = Owners(tmp_path)
    journal = owners.start()
    steps = a_day(trades=4, ticks=400)
    numbers = play(journal, steps)
    assert owners.threads.alive() == ("JournalWriter", "TapeWriter")
    report = owners.end()
    assert report.is_complete
    assert report.durable == report.last_sequence
    assert owners.threads.alive() == ()
    events = [step for step in steps if not isinstance(step, tuple)]
    assert len(events) >= 450
    assert kept(tmp_path) == dict(zip(numbers, events, strict=True))
    assert audit(tmp_path / FILE_NAME).is_clean
    assert owners.beats >= 2


def test_a_stop_that_has_no_time_to_seal_the_tape_loses_nothing(tmp_path: Path) -> None:
    """Its last segments stay streams, vouched for and read as they are; the next start seals them."""
    journal = ServedJournal(tmp_path, HEADER, settings=INLINE)
    journal.open_database()
    journal.open_tape()
    play(journal, a_day(trades=2, ticks=200))
    journal.close_tape()
    assert journal.close_database().is_complete
    told = StopFlag()
    told.set()
    assert not journal.seal_tape(told)
    day = tmp_path / FOLDER / DAY
    assert {path.suffix for path in day.iterdir()} == {".arrows"}
    assert audit(tmp_path / FILE_NAME).is_clean
    before = kept(tmp_path)
    again = ServedJournal(tmp_path, HEADER, settings=INLINE)
    again.open_database()
    again.open_tape()
    assert {path.suffix for path in day.iterdir()} == {".parquet"}
    assert kept(tmp_path) == before
    again.close_tape()
    again.close_database()


def test_a_stop_that_has_the_time_seals_the_tape(tmp_path: Path) -> None:
    """Once the database is closed, and once only."""
    journal = ServedJournal(tmp_path, HEADER, settings=INLINE)
    journal.open_database()
    journal.open_tape()
    journal.append(BEGUN)
    journal.append_market(tick(1))
    journal.close_tape()
    assert journal.close_database().is_complete
    assert journal.seal_tape()
    assert {path.suffix for path in (tmp_path / FOLDER / DAY).iterdir()} == {".parquet"}
    assert journal.seal_tape()


def test_the_store_starts_no_thread(tmp_path: Path) -> None:
    """Neither opened nor appended to nor closed."""
    before = threading.enumerate()
    journal = ServedJournal(tmp_path, HEADER)
    journal.open_database()
    journal.open_tape()
    journal.append(BEGUN)
    journal.append_market(tick(1))
    assert threading.enumerate() == before
    journal.close_tape()
    assert journal.close_database().is_complete


def test_nothing_is_appended_before_both_halves_know_their_numbers(tmp_path: Path) -> None:
    """A number given before the tape was read could be on it already."""
    journal = ServedJournal(tmp_path, HEADER, settings=INLINE)
    with pytest.raises(AssertionError, match="both halves know numbers"):
        journal.append(BEGUN)
    journal.open_database()
    with pytest.raises(AssertionError, match="both halves know numbers"):
        journal.append_market(tick(1))
    journal.open_tape()
    assert journal.append(BEGUN) == 1
    journal.close_tape()
    journal.close_database()


def test_what_was_never_opened_is_closed_all_the_same(tmp_path: Path) -> None:
    """A start that failed leaves nothing, and nothing to complain of."""
    journal = ServedJournal(tmp_path / "never", HEADER)
    journal.close_tape()
    assert journal.close_database().is_complete
    assert not (tmp_path / "never").exists()


def test_a_number_that_only_the_tape_knows_is_not_given_again(tmp_path: Path) -> None:
    """Killed between the flush of a tape and the commit of what vouches for it."""
    journal = ServedJournal(tmp_path, HEADER, settings=INLINE)
    journal.open_database()
    journal.open_tape()
    writer = TapeWriter(tmp_path / FOLDER / DAY, HEADER)
    writer.write([(41, tick(1)), (42, tick(2))])
    writer.abandon()
    again = ServedJournal(tmp_path, HEADER, settings=INLINE)
    again.open_database()
    again.open_tape()
    assert again.append(BEGUN) == 43
    for one in (journal, again):
        one.close_tape()
        one.close_database()


# -- a writer that dies and is begun anew


def dying(call: Callable[..., Any], *, when: str, at: int) -> Callable[..., Any]:
    """A call that ends its thread the time `at`, before or after it did its work."""
    times = iter(range(1, 1_000_000))

    def called(*args: Any) -> Any:
        is_last = next(times) == at
        assert not (is_last and when == "before"), "a fault of ours"
        done = call(*args)
        assert not is_last, "a fault of ours"
        return done

    return called


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 5])
def test_a_writer_of_records_goes_on_where_the_dead_one_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, at: int
) -> None:
    """Nothing lost and nothing twice, also where the commit was done and not told."""
    monkeypatch.setattr(EventsTable, "commit", dying(EventsTable.commit, when=when, at=at))
    owners = Owners(tmp_path)
    journal = owners.start()
    steps = a_day(trades=4, ticks=100)
    numbers = play(journal, steps)

    def go_on() -> None:
        steps.append(TimerFired(at_ns=T0 + 60 * SECOND_NS))
        numbers.append(journal.append(TimerFired(at_ns=T0 + 60 * SECOND_NS)))

    owners.wait_lost("JournalWriter", go_on)
    assert owners.told.get(timeout=LONG_S) == (False, "the thread JournalWriter died")
    go_on()
    waiting = journal.wait_durable(numbers[-1])
    assert not waiting.done()
    owners.start_records()
    assert waiting.result(timeout=LONG_S) is None
    assert owners.told.get(timeout=LONG_S) == (True, "")
    assert owners.end().is_complete
    events = [step for step in steps if not isinstance(step, tuple)]
    assert kept(tmp_path) == dict(zip(numbers, events, strict=True))
    assert audit(tmp_path / FILE_NAME).is_clean


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_writer_of_the_tape_goes_on_where_the_dead_one_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, at: int
) -> None:
    """What it wrote and never vouched for is vouched for, and not written twice."""
    monkeypatch.setattr(TapeWriter, "write", dying(TapeWriter.write, when=when, at=at))
    owners = Owners(tmp_path)
    journal = owners.start()
    given: dict[int, object] = {}

    def go_on() -> None:
        for event in (candle(len(given)), tick(len(given))):
            given[journal.append_market(event)] = event

    owners.wait_lost("TapeWriter", go_on)
    assert owners.told.get(timeout=LONG_S) == (False, "the thread TapeWriter died")
    go_on()
    owners.start_tape()
    assert owners.told.get(timeout=LONG_S) == (True, "")
    go_on()
    assert owners.end().is_complete
    assert kept(tmp_path) == given
    assert audit(tmp_path / FILE_NAME).is_clean


def test_a_writer_that_hangs_keeps_the_next_one_out(
    owners: Owners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two would write the same records: the half is refused until the first has ended."""
    entered, leave = threading.Event(), threading.Event()
    commit = EventsTable.commit

    def held(table: EventsTable, records: Records) -> None:
        entered.set()
        assert leave.wait(LONG_S)
        commit(table, records)

    monkeypatch.setattr(EventsTable, "commit", held)
    waiting = owners.journal.wait_durable(owners.journal.append(BEGUN))
    assert entered.wait(LONG_S)
    for attempt in (
        owners.journal.open_database,
        owners.journal.close_database,
        lambda: owners.journal.write_records(StopFlag()),
    ):
        with pytest.raises(DataRefused, match="has not ended yet"):
            attempt()
    leave.set()
    assert waiting.result(timeout=LONG_S) is None


def test_a_database_that_somebody_else_wrote_to_is_not_gone_on_with(owners: Owners) -> None:
    """Begun anew in one process, it must hold what this process gave it."""
    owners.journal.append(BEGUN)
    assert owners.stop("JournalWriter") == ()
    folder = owners.journal._path  # noqa: SLF001 where it lies
    stranger = EventsTable(folder)
    stranger.commit([(2, BEGUN), (3, BEGUN)])
    stranger.close()
    with pytest.raises(DataRefused, match="holds 3 records where this process wrote 1"):
        owners.journal.open_database()


def test_a_check_that_takes_long_ends_when_told(finished: Path) -> None:
    """The chain and SQLite's own check both: a stop during the start does not wait for them."""
    flag = StopFlag()
    flag.set()
    journal = ServedJournal(finished, HEADER)
    with pytest.raises(Interrupted, match="told to end"):
        journal.open_database(flag)
    assert journal.close_database().is_complete


def test_what_was_written_is_read_back_while_the_day_goes_on(
    owners: Owners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some rows at a time; what is left for the stop is what came since."""
    monkeypatch.setattr(served, "CHECK_ROWS", 40)
    journal = owners.journal
    play(journal, a_day(trades=4, ticks=400))
    journal.wait_durable(journal.last_sequence).result(timeout=LONG_S)
    seen = [journal.checked]
    while journal.checked < journal.durable:
        assert journal.check() == ""
        seen.append(journal.checked)
    assert seen == sorted({*seen})
    assert len(seen) >= 3
    assert journal.check() == ""
    require_integrity(owners.journal._path, after=journal.checked)  # noqa: SLF001 where it lies


def test_a_row_that_was_damaged_meanwhile_is_told_and_never_passed(owners: Owners) -> None:
    """Each check says so, the stop's too, until a person has looked at it."""
    journal = owners.journal
    for _ in range(5):
        journal.append(BEGUN)
    journal.wait_durable(5).result(timeout=LONG_S)
    path = journal._path  # noqa: SLF001 where it lies
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE events SET payload = x'00' WHERE sequence = 3")
    for _ in range(2):
        assert "events row 3: its hash is not that of its content" in journal.check()
        assert journal.checked == 2
    with pytest.raises(NotAsWritten, match="row 3"):
        require_integrity(path, after=journal.checked)


def test_a_check_beside_the_day_ends_when_told(owners: Owners) -> None:
    """A stop does not wait for it."""
    journal = owners.journal
    journal.wait_durable(journal.append(BEGUN)).result(timeout=LONG_S)
    flag = StopFlag()
    flag.set()
    with pytest.raises(Interrupted, match="told to end"):
        journal.check(flag)


# -- the breaker


class Limit:
    """How many pages the database may have, for every connection from now on."""

    pages = 1_000_000


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    """A disk whose free space is the test's choice: SQLite's own limit on a real file."""
    chosen, open_writer = Limit(), schema.open_writer

    def bounded(path: Path, *, pages_max: int | None = None) -> sa.Engine:
        engine = open_writer(path, pages_max=pages_max)

        @sa.event.listens_for(engine, "connect")
        def bound(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute(f"PRAGMA max_page_count = {chosen.pages}")

        return engine

    monkeypatch.setattr(schema, "open_writer", bounded)
    return chosen


def fill(owners: Owners) -> str:
    """Append until it is told that nothing becomes durable; returns the reason."""
    for number in range(100_000):
        owners.journal.append(TimerFired(at_ns=T0 + number))
        if number % 500 == 0:
            try:
                is_durable, reason = owners.told.get(timeout=0.01)
            except Empty:
                continue
            assert not is_durable
            return reason
    raise AssertionError("the disk did not fill")


@pytest.mark.proves("CBR-3")
def test_a_full_disk_opens_the_breaker_and_space_closes_it(tmp_path: Path, limit: Limit) -> None:
    """Told once; what comes is kept, then written in order, and only then it is told again."""
    owners = Owners(tmp_path)
    ServedJournal(tmp_path, HEADER).open_database()
    limit.pages = (tmp_path / FILE_NAME).stat().st_size // 4096 + 40
    journal = owners.start()
    reason = fill(owners)
    assert reason == "the journal cannot be written: database or disk is full"
    more = [journal.append(TimerFired(at_ns=T0 + n)) for n in range(5_000)]
    waiting = journal.wait_durable(more[-1])
    behind = journal.lag
    assert behind >= 5_000
    assert owners.told.empty()
    assert not waiting.done()
    limit.pages = 1_000_000
    assert owners.told.get(timeout=LONG_S) == (True, "")
    assert journal.lag < owners.journal._settings.db_transaction_batch_size  # noqa: SLF001 its group
    assert waiting.result(timeout=LONG_S) is None
    assert owners.end().is_complete
    numbers = [number for number, _, _ in query.records(tmp_path / FILE_NAME)]
    assert numbers == list(range(1, more[-1] + 1))
    assert audit(tmp_path / FILE_NAME).is_clean
    assert owners.told.empty()


class Held:
    """A clock that stands where the test puts it."""

    def __init__(self) -> None:
        self.at_ns = T0

    def now_ns(self) -> int:
        return self.at_ns


@pytest.mark.proves("CBR-3")
def test_a_commit_that_takes_over_two_seconds_opens_the_breaker_while_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own thread cannot say so: whoever watches does. The next quick one closes it."""
    entered, leave = threading.Event(), threading.Event()
    commit, clock = EventsTable.commit, Held()

    def held(table: EventsTable, records: Records) -> None:
        entered.set()
        assert leave.wait(LONG_S)
        commit(table, records)

    owners = Owners(tmp_path, clock=clock)
    journal = owners.start()
    monkeypatch.setattr(EventsTable, "commit", held)
    waiting = journal.wait_durable(journal.append(BEGUN))
    assert entered.wait(LONG_S)
    clock.at_ns += 2 * SECOND_NS
    journal.watch()
    assert owners.told.empty()
    clock.at_ns += 1
    journal.watch()
    journal.watch()
    assert owners.told.get(timeout=LONG_S) == (False, "a commit takes longer than 2.0 s")
    assert journal.reason
    leave.set()
    assert waiting.result(timeout=LONG_S) is None
    assert owners.told.get(timeout=LONG_S) == (True, "")  # though nothing more was appended
    assert owners.told.empty()
    assert owners.end().is_complete


@pytest.mark.proves("CBR-3")
def test_beyond_its_bound_only_order_events_are_kept_and_the_hole_is_told(tmp_path: Path) -> None:
    """A record with a hole does not become durable again: what follows it cannot be folded."""
    settings = StoreSettings(db_commit_interval_s=0.01, retry_s=0.02, buffered_records_max=10)
    owners = Owners(tmp_path, settings=settings)
    journal = owners.start()
    with unwritable(tmp_path):
        numbers = [journal.append(TimerFired(at_ns=T0 + n)) for n in range(20)]
        decided = journal.append_decision(numbers[0], T0, [], [closed(1, T0)])
        before, behind = journal.wait_durable(numbers[9]), journal.wait_durable(decided)
        with pytest.raises(DataRefused, match="has a hole at 11"):
            behind.result(timeout=LONG_S)
        assert not before.done()
    assert before.result(timeout=LONG_S) is None
    report = owners.end()
    assert (report.dropped, report.records_unwritten) == (10, 0)
    assert "10 events did not fit" in report.reason
    told = [owners.told.get(timeout=LONG_S)]
    assert told[0][0] is False
    assert owners.told.empty()
    found = [number for number, _, _ in query.records(tmp_path / FILE_NAME)]
    assert found == [*numbers[:10], decided]


@pytest.mark.proves("STM-4", "SET-4")
def test_at_most_a_hundred_records_are_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default, with ranges of the tape among them; and all of them are written."""
    groups: list[int] = []
    commit = EventsTable.commit

    def counted(table: EventsTable, records: Records) -> None:
        groups.append(len(records))
        commit(table, records)

    monkeypatch.setattr(EventsTable, "commit", counted)
    owners = Owners(tmp_path, settings=StoreSettings(tape_batch_rows=7))
    journal = owners.start()
    play(journal, a_day(trades=40, ticks=1_200))
    assert owners.end().is_complete
    assert max(groups) == StoreSettings().db_transaction_batch_size == 100
    assert sum(groups) == len(list(query.records(tmp_path / FILE_NAME)))
    assert len(groups) >= 5


@pytest.mark.proves("STM-4", "SET-4")
def test_a_record_waits_a_second_for_company_at_most(tmp_path: Path) -> None:
    """Alone, and with nobody who asks for it, it is on the disk within the interval."""
    assert StoreSettings().db_commit_interval_s == 1.0
    alone = Owners(tmp_path, settings=StoreSettings())
    journal = alone.start()
    began = time.monotonic()
    journal.append(BEGUN)
    while not journal.durable:
        assert time.monotonic() - began < 3
        time.sleep(0.005)
    assert time.monotonic() - began < 1.5
    assert alone.end().is_complete


def test_its_connections_are_counted(owners: Owners, tmp_path: Path) -> None:
    """What is open of the database in this process is what it says; closed, there is nothing."""
    journal = owners.journal
    journal.wait_durable(journal.append(BEGUN)).result(timeout=LONG_S)
    assert (journal.connections, open_here(tmp_path / FILE_NAME)) == (1, 1)
    owners.end()
    assert (journal.connections, open_here(tmp_path / FILE_NAME)) == (0, 0)


def open_here(path: Path) -> int:
    """How often this process holds a file open, as the system says."""
    handles = list(Path("/proc/self/fd").glob("*"))
    if not handles:
        pytest.skip("this system does not list the open files of a process")
    found = 0
    for handle in handles:
        with suppress(FileNotFoundError):  # the one that listed them
            found += handle.readlink() == path
    return found
