"""Opening a database: made, upgraded with a backup, or refused and left as it was."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from holdfast.domain.errors import DataRefused
from holdfast.store import migrate, query
from holdfast.store.migrate import HEAD, REVISIONS, open_current, revision_of
from holdfast.store.schema import PROJECTIONS, metadata, open_reader


def downgraded(path: Path) -> None:
    """Make the database what revision 0001 left: a journal, and no projections."""
    with closing(sqlite3.connect(path)) as connection:
        for table in PROJECTIONS.values():
            connection.execute(f"DROP TABLE {table.name}")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_the_revisions_are_those_of_the_folder() -> None:
    """A revision that the program does not list would be taken for a newer program's."""
    config = Config()
    config.set_main_option("script_location", "holdfast.store:migrations")
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    assert tuple(reversed([script.revision for script in scripts])) == REVISIONS


def test_a_new_database_is_made_in_a_new_folder(tmp_path: Path) -> None:
    """At the newest revision, without a backup of nothing."""
    path = tmp_path / "deep" / "journal.db"
    assert revision_of(path) is None
    open_current(path).dispose()
    assert revision_of(path) == HEAD
    assert not list(path.parent.glob("*.backup"))


@pytest.mark.proves("B-12")
def test_a_new_database_has_every_column_that_the_code_reads(tmp_path: Path) -> None:
    """What the revisions made, table by table: the names, kinds and keys are those of the code."""
    path = tmp_path / "journal.db"
    open_current(path).dispose()
    with open_reader(path).connect() as connection:
        made = sa.inspect(connection)
        assert set(made.get_table_names()) == {*metadata.tables, "alembic_version"}
        for name, table in metadata.tables.items():
            columns = {one["name"]: one for one in made.get_columns(name)}
            assert list(columns) == table.columns.keys()
            for column in table.columns:
                found = columns[column.name]
                assert str(found["type"]) == column.type.compile(connection.dialect)
                assert found["nullable"] == column.nullable
            keys = made.get_pk_constraint(name)["constrained_columns"]
            assert keys == list(table.primary_key.columns.keys())
        for kind, table in PROJECTIONS.items():
            connection.execute(sa.select(table))
            assert table.columns.keys() == [field.name for field in msgspec.structs.fields(kind)]


def test_an_older_schema_is_backed_up_upgraded_and_its_projections_filled(damaged: Path) -> None:
    """The journal is untouched, the projections come from it, the backup is the old file."""
    before, orders = list(query.records(damaged)), query.orders(damaged)
    downgraded(damaged)
    open_current(damaged).dispose()
    assert revision_of(damaged) == HEAD
    assert list(query.records(damaged)) == before
    assert query.orders(damaged) == orders
    backup = damaged.with_name("journal.db.0001.backup")
    assert revision_of(backup) == "0001"
    assert list(query.records(backup)) == before


def test_an_upgrade_that_fails_changes_nothing(damaged: Path) -> None:
    """One transaction: a record that cannot be folded leaves the old schema, and the backup."""
    downgraded(damaged)
    with closing(sqlite3.connect(damaged)) as connection:
        connection.execute("UPDATE events SET payload = x'00' WHERE sequence = 1")
        connection.commit()
    with pytest.raises(DataRefused, match="events row 1: the record cannot be read"):
        open_current(damaged)
    assert revision_of(damaged) == "0001"
    with closing(sqlite3.connect(damaged)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE name = 'orders'")
        assert tables.fetchall() == []


REFUSED = [
    ("UPDATE alembic_version SET version_num = '9999'", "schema 9999 is newer than this program"),
    ("DROP TABLE alembic_version", "is not a database of holdfast"),
]


@pytest.mark.parametrize(("statement", "what"), REFUSED)
def test_a_schema_that_is_not_known_is_left_alone(damaged: Path, statement: str, what: str) -> None:
    """Refused with the remedy, and the file is byte for byte what it was."""
    with closing(sqlite3.connect(damaged)) as connection:
        connection.execute(statement)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = damaged.read_bytes()
    with pytest.raises(DataRefused, match=what) as refusal:
        open_current(damaged)
    assert refusal.value.where == str(damaged)
    assert refusal.value.remedy
    assert damaged.read_bytes() == content


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """Somebody's notes under our name."""
    path = tmp_path / "journal.db"
    path.write_text("not a database, but longer than its header would be" * 10)
    content = path.read_bytes()
    with pytest.raises(DataRefused, match="is no database"):
        open_current(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """With what to do about it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DataRefused, match="make sure that its folder exists"):
        open_current(tmp_path / "file" / "journal.db")


def test_a_database_that_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    """A full disk at the first start: refused, and no half-made schema."""
    path = tmp_path / "journal.db"
    with pytest.raises(DataRefused, match="full"):
        open_current(path, pages_max=5)
    assert migrate.revision_of(path) is None
    open_current(path).dispose()
    assert revision_of(path) == HEAD
