"""The layout of a database file: every byte has a place, and SQLite agrees with the walk."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from holdfast.domain.errors import DataRefused
from holdfast.store.pages import DatabaseFile, header_flaws, locate
from holdfast.store.schema import FILE_NAME
from tests.unit.store.samples import flip


def test_the_walk_finds_the_rows_that_sqlite_finds(finished: Path) -> None:
    """Same numbers, same values of the columns, in each row of the journal that fits its page."""
    path = finished / FILE_NAME
    content = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        wanted = {row[0]: row for row in connection.execute("SELECT * FROM events")}
    cells = [cell for cell in DatabaseFile(path).cells("events") if cell.child is None]
    assert len(cells) >= 200
    assert sorted(cell.row or 0 for cell in cells) == sorted(wanted)
    for cell in cells:
        assert cell.row is not None
        parts = {part.name: content[part.start : part.end] for part in cell.parts}
        _, at_ns, kind, payload, previous, current = wanted[cell.row]
        assert int.from_bytes(parts["at_ns"], "big") == at_ns
        assert parts["kind"] == kind.encode()
        assert payload.startswith(parts["payload"])
        if cell.overflow is None:
            assert (parts["payload"], parts["previous_hash"], parts["hash"]) == (
                payload,
                previous,
                current,
            )


def test_every_byte_of_the_file_has_a_place(finished: Path) -> None:
    """And most of them are live: the file is no larger than it must be."""
    path = finished / FILE_NAME
    layout = DatabaseFile(path)
    places = [layout.place(offset) for offset in range(0, path.stat().st_size, 7)]
    assert all(place.text for place in places)
    assert sum(place.is_live for place in places) > len(places) // 2


def built() -> Iterator[str]:
    """A file with every kind of page: long rows, an index two levels deep, free pages."""
    yield "CREATE TABLE events (sequence INTEGER PRIMARY KEY, at_ns INTEGER, kind TEXT, payload BLOB)"
    yield "CREATE INDEX by_kind ON events (kind)"
    for number in range(1, 400):
        values = f"{number}, 1, printf('%0200d', {number}), zeroblob(300)"
        yield f"INSERT INTO events VALUES ({values})"  # noqa: S608 made up here
    yield "INSERT INTO events VALUES (1000, 1, 'long', zeroblob(20640))"
    yield "DELETE FROM events WHERE sequence BETWEEN 100 AND 250"


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """The file of `built`."""
    path = tmp_path / "mixed.db"
    with closing(sqlite3.connect(path)) as connection:
        for statement in built():
            connection.execute(statement)
        connection.commit()
    return path


def test_a_byte_is_named_by_what_it_belongs_to(mixed: Path) -> None:
    """Each kind of place occurs in a file that has them all."""
    layout = DatabaseFile(mixed)
    said = "\n".join(layout.place(at).text for at in range(0, mixed.stat().st_size, 3))
    for words in (
        "file header",
        "of sqlite_schema, row 1: sql",
        "of events: the page's header",
        "of events: the pointer to cell",
        "of events, row 17: payload",
        "of events: unallocated space",
        "of events: the boundary",
        "of events: a free block",
        "of by_kind, an entry: column 1",
        "continuation of events row 1000",
        "continuation of events row 1000, unused space",
        "list of free pages",
        "free page, unused space",
    ):
        assert words in said, words


def test_no_page_is_left_unexplained(mixed: Path) -> None:
    """Every page belongs to a tree, to a row that continues, or to the free list."""
    layout = DatabaseFile(mixed)
    pages = range(0, mixed.stat().st_size, layout.page_size)
    assert [at for at in pages if "reached by no table" in layout.place(at).text] == []


@pytest.mark.parametrize(
    ("offset", "state", "what"),
    [
        (3, "live", "file header"),
        (25, "dead", "change counter"),
        (41, "dead", "schema cookie"),
        (61, "live", "user version"),
        (80, "live", "file header"),
        (97, "dead", "wrote last"),
    ],
)
def test_the_file_header_is_live_but_for_its_bookkeeping(
    finished: Path, offset: int, state: str, what: str
) -> None:
    """SQLite's own counters can have any value and the same rows are read."""
    place = DatabaseFile(finished / FILE_NAME).place(offset)
    assert place.is_live is (state == "live")
    assert what in place.text
    assert locate(finished / FILE_NAME, offset) == place.text


@pytest.mark.parametrize("offset", [5, 16, 18, 20, 22, 46, 50, 58, 62, 69, 85])
def test_a_fixed_byte_of_the_header_is_checked(damaged: Path, offset: int) -> None:
    """Also where SQLite would not mind."""
    assert header_flaws(damaged) == []
    flip(damaged, offset, 0x10)
    assert len(header_flaws(damaged)) == 1


@pytest.mark.parametrize("content", [b"", b"no database", bytes(4096), b"\xff" * 8192])
def test_what_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    """With the file's name, and not with an index out of range."""
    path = tmp_path / "some.db"
    path.write_bytes(content)
    with pytest.raises(DataRefused, match=r"some\.db"):
        locate(path, 0)
