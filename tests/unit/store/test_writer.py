"""The one writing connection: groups are whole, the chain goes on, failures keep nothing."""

import resource
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from holdfast.domain.event import Restarted, TimerFired
from holdfast.store import query
from holdfast.store.chain import require_intact
from holdfast.store.fold import Rows, fold
from holdfast.store.records import Record
from holdfast.store.writer import EventsTable
from tests.unit.store.samples import DAY, T0, a_day, recorded

BEGUN = Restarted(at_ns=T0, day=DAY, code_version="1", config_sha256="c")


def numbered(first: int, count: int) -> list[tuple[int, Record]]:
    """Timers under numbers from `first` on."""
    return [(number, TimerFired(at_ns=T0 + number)) for number in range(first, first + count)]


def test_records_are_read_back_in_order_with_numbers_and_times(tmp_path: Path) -> None:
    """What was committed, nothing more, in one chain over several groups and openings."""
    path = tmp_path / "journal.db"
    for first in (1, 11, 21):
        table = EventsTable(path)
        assert table.last == first - 1
        table.commit([(first, BEGUN), *numbered(first + 1, 4)])
        table.commit(numbered(first + 5, 5))
        table.close()
    assert [sequence for sequence, _, _ in query.records(path)] == list(range(1, 31))
    assert [at_ns for _, at_ns, _ in query.records(path, first=29)] == [T0 + 29, T0 + 30]
    require_intact(path)


def test_closing_folds_the_log_into_the_file(tmp_path: Path) -> None:
    """What is copied then is one file."""
    table = EventsTable(tmp_path / "journal.db")
    table.commit(numbered(1, 50))
    table.close()
    assert [path.name for path in tmp_path.iterdir()] == ["journal.db"]


def test_a_group_that_fails_keeps_nothing_and_can_be_tried_again(tmp_path: Path) -> None:
    """Neither records nor projections of it; the chain goes on where it was."""
    path = tmp_path / "journal.db"
    EventsTable(path).close()
    pages = path.stat().st_size // 4096
    records = list(enumerate(recorded(a_day(trades=6)), 1))
    table = EventsTable(path, pages_max=pages + 12)

    def commit_all() -> None:
        for start in range(0, len(records), 10):
            table.commit(records[start : start + 10])

    with pytest.raises(sa.exc.OperationalError, match="full"):
        commit_all()
    done = table.last
    assert 0 < done < len(records)
    assert len(list(query.records(path))) == done
    with pytest.raises(sa.exc.OperationalError, match="full"):
        table.commit(records[done:])
    table.close()

    table = EventsTable(path)
    table.commit(records[done:])
    table.close()
    require_intact(path)
    assert [record for _, _, record in query.records(path)] == [record for _, record in records]
    assert [position.state for position in query.positions(path) if position.position < 100] == [
        "closed"
    ] * 6


def test_a_commit_that_was_stored_and_reported_as_failed_is_not_written_twice(
    tmp_path: Path,
) -> None:
    """The disk took it and did not answer: the next attempt sees it, and the chain goes on."""
    path = tmp_path / "journal.db"
    table = EventsTable(path)
    table.commit([(1, BEGUN), *numbered(2, 3)])
    lost: list[int] = []

    @sa.event.listens_for(table._engine, "commit")  # noqa: SLF001 the disk is what is played here
    def lose_the_answer(connection: sa.Connection) -> None:
        if len(lost) < 2:
            lost.append(1)
            connection.connection.cursor().execute("COMMIT")
            raise sa.exc.OperationalError("COMMIT", {}, OSError("disk I/O error"))

    for group in (numbered(5, 5), numbered(5, 7)):
        with pytest.raises(sa.exc.OperationalError, match="disk I/O error"):
            table.commit(group)
    table.commit(numbered(5, 8))
    assert table.last == 12
    table.commit(numbered(13, 1))
    table.close()
    require_intact(path)
    assert [sequence for sequence, _, _ in query.records(path)] == list(range(1, 14))


def test_a_fault_of_ours_within_a_group_keeps_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that were folded before it are forgotten too."""
    path = tmp_path / "journal.db"
    table = EventsTable(path)
    table.commit([(1, BEGUN)])
    with monkeypatch.context() as patch:
        patch.setattr(EventsTable, "_insert", broken_after_folding)
        with pytest.raises(AssertionError, match="a fault of ours"):
            table.commit([(2, BEGUN)])
    table.commit([(2, BEGUN)])
    table.close()
    assert [day.restarts for day in query.days(path)] == [2]


def broken_after_folding(
    _table: EventsTable,
    _connection: sa.Connection,
    held: Rows,
    records: Sequence[tuple[int, Record]],
    _head: bytes,
) -> bytes:
    """An insert that has changed the rows when it fails."""
    for sequence, record in records:
        fold(held, sequence, record)
    raise AssertionError("a fault of ours")


def test_a_log_that_cannot_be_folded_is_told_and_left_for_the_next_start(tmp_path: Path) -> None:
    """Here because the file may not grow: what was committed is in the log, and stays there."""
    path = tmp_path / "journal.db"
    EventsTable(path).close()
    table = EventsTable(path)
    table.commit(numbered(1, 200))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
    try:
        with pytest.raises(sa.exc.OperationalError, match="disk"):
            table.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert table.connections == 0
    require_intact(path)
    assert len(list(query.records(path))) == 200


def test_trying_the_disk_writes_nothing_that_anybody_reads(tmp_path: Path) -> None:
    """It takes the write lock and a page of the log; the record stands as it did."""
    path = tmp_path / "journal.db"
    table = EventsTable(path)
    table.commit(numbered(1, 3))
    size = path.with_name("journal.db-wal").stat().st_size
    table.probe()
    assert path.with_name("journal.db-wal").stat().st_size > size
    assert table.connections == 1
    table.commit(numbered(4, 1))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sa.exc.OperationalError, match="locked"):
            table.probe()
    table.close()
    require_intact(path)
    assert [sequence for sequence, _, _ in query.records(path)] == [1, 2, 3, 4]


def test_its_connections_are_counted(tmp_path: Path) -> None:
    """One while it writes, none when it is closed or abandoned."""
    for end in (EventsTable.close, EventsTable.abandon):
        table = EventsTable(tmp_path / "journal.db")
        counts = [table.connections]
        table.commit(numbered(table.last + 1, 1))
        counts.append(table.connections)
        end(table)
        assert [*counts, table.connections] == [0, 1, 0]


def test_projections_go_on_after_a_failure_from_what_is_stored(tmp_path: Path) -> None:
    """Rows folded for a group that was rolled back are forgotten with it."""
    path = tmp_path / "journal.db"
    table = EventsTable(path)
    table.commit([(1, BEGUN)])
    with pytest.raises(sa.exc.IntegrityError):
        table.commit([(2, BEGUN), (1, BEGUN)])
    table.commit([(2, BEGUN)])
    table.close()
    assert [day.restarts for day in query.days(path)] == [2]
