"""The tables, and the ways to open the database."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from holdfast.domain.errors import DataRefused
from holdfast.store import rows, schema


@pytest.mark.proves("B-12")
@pytest.mark.parametrize("kind", rows.KEYS)
def test_a_projection_has_the_fields_of_its_row_as_columns(kind: type[rows.Row]) -> None:
    """In order, with the row's key as primary key, nullable where the field may be `None`."""
    table = schema.PROJECTIONS[kind]
    fields = msgspec.structs.fields(kind)
    assert table.columns.keys() == [field.name for field in fields]
    assert tuple(table.primary_key.columns.keys()) == rows.KEYS[kind]
    for field in fields:
        assert table.c[field.name].nullable == (field.type in (int | None, str | None))


def test_the_writer_commits_to_the_disk_and_waits_for_readers(tmp_path: Path) -> None:
    """WAL, synchronous FULL (2), two seconds of patience, and the bound on the size."""
    engine = schema.open_writer(tmp_path / "a.db", pages_max=50)
    with engine.connect() as connection:
        names = ("journal_mode", "synchronous", "busy_timeout", "max_page_count")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
    assert found == ["wal", 2, 2_000, 50]


def test_a_second_writer_is_met_when_it_begins(tmp_path: Path) -> None:
    """Not in its commit, after it has worked for nothing."""
    path = tmp_path / "a.db"
    with (
        schema.open_writer(path).begin(),
        closing(sqlite3.connect(path, timeout=0)) as other,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("BEGIN IMMEDIATE")


def test_a_schema_change_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """The driver alone would have committed the first of two statements."""
    engine = schema.open_writer(tmp_path / "a.db")

    def create_twice() -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE t (x)")
            connection.exec_driver_sql("CREATE TABLE t (x)")

    with pytest.raises(sa.exc.OperationalError, match="already exists"):
        create_twice()
    with engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == []


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    """Every process but the one that trades opens the file like this."""
    path = tmp_path / "a.db"
    with schema.open_writer(path).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
    reading = schema.open_reader(path).connect()
    with reading as reader, pytest.raises(sa.exc.OperationalError, match="readonly"):
        reader.exec_driver_sql("INSERT INTO t VALUES (1)")


def test_a_reader_makes_no_database(tmp_path: Path) -> None:
    """A mistyped folder is refused and stays empty."""
    with pytest.raises(DataRefused, match="no such database"):
        schema.open_reader(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []
