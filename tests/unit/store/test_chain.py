"""The chain of the journal: every change to a row is found at that row."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from holdfast.domain.errors import DataRefused
from holdfast.store.chain import ChainRow, Finding, check_file, connect, require_intact, walk_chain
from holdfast.store.pages import DatabaseFile
from holdfast.store.schema import FILE_NAME
from holdfast.store.stops import Interrupted


@contextmanager
def changing(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that commits and folds the log into the file."""
    with closing(sqlite3.connect(path)) as connection:
        yield connection
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def findings(path: Path) -> list[Finding]:
    """What file and chain say."""
    with closing(connect(path)) as connection:
        found = [*check_file(connection), *walk_chain(connection)]
    return [one for one in found if isinstance(one, Finding)]


def test_an_untouched_chain_is_read_whole(damaged: Path) -> None:
    """Every row, in order, each with its record."""
    with closing(connect(damaged)) as connection:
        rows = [row for row in walk_chain(connection) if isinstance(row, ChainRow)]
    assert len(rows) >= 200
    assert [row.sequence for row in rows] == sorted({row.sequence for row in rows})
    assert all(row.record is not None for row in rows)
    require_intact(damaged)


CHANGES = [
    (
        "UPDATE events SET at_ns = at_ns + 1 WHERE sequence = {row}",
        "hash is not that of its content",
    ),
    ("UPDATE events SET kind = 'FundsRead' WHERE sequence = {row}", "hash is not that"),
    (
        "UPDATE events SET payload = CAST(replace(payload, '0', '1') AS BLOB) WHERE sequence = {row}",
        "hash is not that",
    ),
    ("UPDATE events SET hash = zeroblob(32) WHERE sequence = {row}", "hash is not that"),
    ("UPDATE events SET previous_hash = zeroblob(32) WHERE sequence = {row}", "does not follow"),
    ("DELETE FROM events WHERE sequence = {before}", "does not follow row"),
    (
        """INSERT INTO events SELECT {row} + 100000, at_ns, kind, payload, previous_hash, hash
        FROM events WHERE sequence = {row}""",
        "does not follow row",
    ),
]


@pytest.mark.parametrize(("statement", "what"), CHANGES)
def test_a_change_is_found_at_its_row(damaged: Path, statement: str, what: str) -> None:
    """Whatever was changed, taken out or put in, by somebody who knows SQL."""
    with changing(damaged) as connection:
        rows = [row for (row,) in connection.execute("SELECT sequence FROM events ORDER BY 1")]
        row, before = rows[100], rows[99]
        connection.execute(statement.format(row=row, before=before))
    found = findings(damaged)
    named = row + 100_000 if statement.startswith("INSERT") else row
    assert [one for one in found if one.row == named and what in one.what]
    with pytest.raises(DataRefused, match=f"events row {named}: .*{what}"):
        require_intact(damaged)


def test_whoever_rewrites_the_hash_too_is_found_one_row_later(damaged: Path) -> None:
    """The chain ties each row to the one before it."""
    with changing(damaged) as connection:
        rows = [row for (row,) in connection.execute("SELECT sequence FROM events ORDER BY 1")]
        forged = "UPDATE events SET hash = zeroblob(32) WHERE sequence = ?"
        connection.execute(forged, (rows[50],))
    assert {one.row for one in findings(damaged)} == {rows[50], rows[51]}


def test_rows_behind_an_unreadable_page_are_still_read(damaged: Path) -> None:
    """The finding names the rows around the hole; those behind it are walked from the back."""
    layout = DatabaseFile(damaged)
    cells = [cell for cell in layout.cells("events") if cell.child is None]
    rows = sorted(cell.row or 0 for cell in cells)
    page = cells[100].start // layout.page_size
    with damaged.open("r+b") as file:
        file.seek(page * layout.page_size)
        file.write(bytes(16))
    with closing(connect(damaged)) as connection:
        found = list(walk_chain(connection))
    read = [row.sequence for row in found if isinstance(row, ChainRow)]
    lost = sorted(set(rows) - set(read))
    hole = next(one for one in found if isinstance(one, Finding))
    before, after = (
        max(row for row in rows if row < lost[0]),
        min(row for row in rows if row > lost[-1]),
    )
    assert 0 < len(lost) < 40
    assert hole.where == f"events, behind row {before} before row {after}"


@pytest.mark.parametrize("size", [0, 50, 3_000])
def test_a_file_cut_off_is_a_finding(damaged: Path, size: int) -> None:
    """Never an exception of the driver."""
    with damaged.open("r+b") as file:
        file.truncate(size)
    assert findings(damaged)


class EndsAfter:
    """A flag that is set once it was looked at so many times."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    @property
    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0

    def wait(self, seconds: float) -> bool:
        return self.is_set and seconds >= 0


@pytest.mark.parametrize("looks", [0, 1, 2, 3, 50, 150])
def test_a_check_ends_where_it_is_told_to(finished: Path, looks: int) -> None:
    """In SQLite's own check as in the chain; what it read so far is no finding."""
    with pytest.raises(Interrupted):
        require_intact(finished / FILE_NAME, EndsAfter(looks))
    require_intact(finished / FILE_NAME, EndsAfter(1_000_000))
