"""The audit: an untouched store is clean, and nothing can be changed in it unseen."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from holdfast.domain.errors import DataRefused
from holdfast.domain.event import Restarted, TimerFired
from holdfast.store.audit import FINDINGS_MAX, AuditReport, audit
from holdfast.store.buffers import StoreSettings
from holdfast.store.pages import DatabaseFile
from holdfast.store.records import TapeRange
from holdfast.store.schema import FILE_NAME, PROJECTIONS, events
from holdfast.store.tape import FOLDER, TapeWriter, segments
from holdfast.store.writer import EventsTable
from tests.support.journal import StoreJournal
from tests.unit.store.conftest import INLINE
from tests.unit.store.samples import DAY, HEADER, T0, a_day, flip, play, tick

ROWS_FLOOR = 200
BYTES_FLOOR = 500
BYTE_RUNS = 5


def test_an_untouched_store_is_clean(finished: Path) -> None:
    """Every record, row of tape and row of a projection was looked at; nothing was written."""
    path = finished / FILE_NAME
    content = path.read_bytes()
    report = audit(path)
    assert report.is_clean
    assert report.notes == ()
    assert report.records >= ROWS_FLOOR
    assert report.tape_rows >= 600
    assert report.projected_rows >= ROWS_FLOOR
    assert path.read_bytes() == content
    assert {file.name for file in finished.glob("*[!lm]")} == {FILE_NAME, FOLDER}


@pytest.fixture
def flipped(dense: Path, tmp_path: Path) -> Path:
    """The database of a copy of the dense day."""
    shutil.copytree(dense, tmp_path / "copy")
    return tmp_path / "copy" / FILE_NAME


@pytest.mark.timeout(90)
@pytest.mark.parametrize("column", events.columns.keys())
def test_a_flip_in_any_column_of_200_rows_is_found_at_its_row(flipped: Path, column: str) -> None:
    """One byte of the column's bytes in the file, in each of 200 rows in turn."""
    part_name = "the row's number" if column == "sequence" else column
    content = flipped.read_bytes()
    cells = [cell for cell in DatabaseFile(flipped).cells("events") if cell.child is None]
    chance = random.Random(column)
    found = 0
    for cell in cells[:ROWS_FLOOR]:
        part = next(part for part in cell.parts if part.name == part_name)
        flipped.write_bytes(content)
        flip(flipped, chance.randrange(part.start, part.end), chance.randrange(1, 256))
        named = {finding.row for finding in audit(flipped).findings}
        assert cell.row in named, f"row {cell.row}, {column}: {named}"
        found += 1
    assert found >= ROWS_FLOOR


def every_value(path: Path) -> list[list[tuple[object, ...]]]:
    """Whatever a reader with SQL can see of our tables."""
    tables = ["events", *(table.name for table in PROJECTIONS.values()), "alembic_version"]
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        queries = [f"SELECT * FROM {table}" for table in tables]  # noqa: S608 the names are ours
        return [connection.execute(query).fetchall() for query in queries]


@pytest.mark.timeout(90)
@pytest.mark.parametrize("run", range(BYTE_RUNS))
def test_a_flip_of_any_byte_of_the_file_is_found_or_lies_outside_live_data(
    flipped: Path, run: int
) -> None:
    """100 random bytes a run. What is not found is shown to be nobody's, and changes no value."""
    content, values = flipped.read_bytes(), every_value(flipped)
    layout = DatabaseFile(flipped)
    chance = random.Random(run)
    found = outside = 0
    for _ in range(BYTES_FLOOR // BYTE_RUNS):
        flipped.write_bytes(content)
        offset = chance.randrange(len(content))
        flip(flipped, offset, chance.randrange(1, 256))
        if audit(flipped).findings:
            found += 1
        else:
            place = layout.place(offset)
            assert not place.is_live, f"byte {offset} is live and was not found: {place.text}"
            assert every_value(flipped) == values
            outside += 1
    assert found + outside >= BYTES_FLOOR // BYTE_RUNS
    assert found >= BYTES_FLOOR // BYTE_RUNS // 2


def sql(statement: str) -> Callable[[Path], None]:
    """A change by somebody who knows SQL."""

    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(statement)
            connection.commit()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    return change


def on_tape(change: Callable[[Path], object]) -> Callable[[Path], None]:
    """A change to the only segment of ticks."""

    def changed(path: Path) -> None:
        (segment,) = segments(path.parent / FOLDER / DAY, "ticks")
        change(segment)

    return changed


CHANGES = [
    (
        sql("UPDATE orders SET filled_quantity = 50 WHERE order_id = 'P001E1'"),
        "filled_quantity is 50",
    ),
    (sql("UPDATE positions SET net_paise = 1 WHERE position = 1"), "the journal says 28300"),
    (sql("DELETE FROM fills WHERE order_id = 'P001E1'"), "is missing"),
    (
        sql(
            "INSERT INTO postings SELECT sequence, line + 99, day, position, account, 1, at_ns"
            " FROM postings"
        ),
        "does not follow from the journal",
    ),
    (sql("UPDATE signals SET gate = NULL WHERE outcome = 'denied'"), "the journal says 'spread'"),
    (sql("UPDATE days SET halt = 'panic'"), "the journal says 'none'"),
    (sql("DROP TABLE fills"), "cannot be read: no such table"),
    (sql("CREATE TABLE mine (x)"), "is not ours"),
    (sql("CREATE INDEX mine ON events (kind)"), "is not ours"),
    (sql("UPDATE alembic_version SET version_num = '0001'"), "its version is 0001"),
    (on_tape(lambda path: path.unlink()), "is missing, with 600 events"),
    (on_tape(lambda path: flip(path, 2_000, 1)), "truncated, damaged or no tape"),
    (on_tape(lambda path: path.write_bytes(path.read_bytes()[:-9])), "truncated, damaged"),
    (
        on_tape(lambda path: shutil.copy(path, path.with_name("ticks-0002.parquet"))),
        "the number was given twice",
    ),
    (lambda path: path.write_bytes(b"SQLite format 3\0 and then nothing"), "cannot be read"),
    (lambda path: path.write_bytes(b""), "file header"),
]


@pytest.mark.parametrize(("change", "what"), CHANGES, ids=map(str, range(len(CHANGES))))
def test_a_change_is_found(damaged: Path, change: Callable[[Path], None], what: str) -> None:
    """In a projection, the schema, the tape or the whole file: in words that say what."""
    change(damaged)
    report = audit(damaged)
    assert not report.is_clean
    said = [f"{finding.where}: {finding.what}" for finding in report.findings]
    assert any(what in line for line in said), said


def test_there_must_be_something_to_audit(tmp_path: Path) -> None:
    """A mistyped path is no clean store."""
    with pytest.raises(DataRefused, match="no such database"):
        audit(tmp_path / FILE_NAME)


def test_findings_of_one_kind_are_bounded(damaged: Path) -> None:
    """A store that is all wrong is told so, not listed."""
    sql("UPDATE events SET hash = zeroblob(32)")(damaged)
    report = audit(damaged)
    assert report.findings[FINDINGS_MAX].what == "and more of this kind"
    assert report.records >= ROWS_FLOOR


def after_crash(folder: Path) -> AuditReport:
    """A day that died in the middle and was started again, audited."""
    again = StoreJournal(folder, HEADER, settings=INLINE)
    again.append(Restarted(at_ns=T0 + 10**12, day=DAY, code_version="1", config_sha256="c"))
    again.append_market(tick(20_000))
    assert again.close().is_complete
    return audit(folder / FILE_NAME)


def test_what_a_crash_lost_is_a_note_and_no_finding(tmp_path: Path) -> None:
    """Numbers given and not written before a restart, rows of tape that nothing vouches for."""
    settings = StoreSettings(threaded=False, tape_flush_ns=10**18, tape_batch_rows=100)
    journal = StoreJournal(tmp_path / "running", HEADER, settings=settings)
    play(journal, a_day(trades=2, ticks=250))
    shutil.copytree(tmp_path / "running", tmp_path / "crashed")
    journal.close()
    report = after_crash(tmp_path / "crashed")
    assert report.findings == ()
    assert any("were lost in a crash" in note for note in report.notes)


def test_rows_of_the_tape_that_the_journal_never_heard_of_are_a_note(tmp_path: Path) -> None:
    """The tape was flushed, the crash came before its range was committed."""
    settings = StoreSettings(threaded=False, tape_batch_rows=50, db_transaction_batch_size=10_000)
    journal = StoreJournal(tmp_path / "running", HEADER, settings=settings)
    for number in range(120):
        journal.append_market(tick(number))
    shutil.copytree(tmp_path / "running", tmp_path / "crashed")
    journal.close()
    report = after_crash(tmp_path / "crashed")
    assert report.findings == ()
    assert any("100 rows from 1 on that the journal does not name" in note for note in report.notes)
    assert report.tape_rows == 101


def test_the_end_of_a_journal_cut_off_looks_like_a_crash(damaged: Path) -> None:
    """Nothing stands behind the last row to miss it, but the tape is longer than the journal."""
    sql("DELETE FROM events WHERE sequence = (SELECT max(sequence) FROM events)")(damaged)
    report = audit(damaged)
    assert report.is_clean
    assert len(report.notes) == 1


def test_a_number_that_is_missing_before_the_last_flush_is_a_finding(tmp_path: Path) -> None:
    """A crash cannot take one out of the middle; nor can it give one twice."""
    table = EventsTable(tmp_path / FILE_NAME)
    written = TapeRange(at_ns=T0, first=5, last=6, count=2, sha256="", segment=f"{DAY}/ticks-0001")
    begun = Restarted(at_ns=T0, day=DAY, code_version="1", config_sha256="c")
    table.commit([(1, begun), (2, TimerFired(at_ns=T0)), (4, TimerFired(at_ns=T0)), (7, written)])
    table.close()
    found = {finding.where: finding.what for finding in audit(tmp_path / FILE_NAME).findings}
    missing = "missing: neither in the journal nor on the tape"
    assert [found[f"sequence {number}"] for number in (3, 5, 6)] == [missing] * 3

    writer = TapeWriter(tmp_path / FOLDER / DAY, HEADER)
    writer.write([(4, tick(4)), (5, tick(5)), (6, tick(6))])
    writer.close()
    found = {finding.where: finding.what for finding in audit(tmp_path / FILE_NAME).findings}
    assert found["sequence 4"] == "the number was given twice"
