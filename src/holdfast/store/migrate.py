"""Brings a database to the schema of this program, or refuses it.

An older schema is backed up beside the file first; the upgrade is one transaction. A schema that
this program does not know was written by a newer one, and is left alone.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from holdfast.domain.errors import DataRefused
from holdfast.store import projections, schema
from holdfast.store.migrations.versions import (
    r0001_journal,
    r0002_projections,
    r0003_fills_of_a_book,
    r0004_carried_positions,
)
from holdfast.store.segment import UNFINISHED

REVISIONS: Final = (
    r0001_journal.revision,
    r0002_projections.revision,
    r0003_fills_of_a_book.revision,
    r0004_carried_positions.revision,
)
"""Every revision this program knows, oldest first."""

HEAD: Final = REVISIONS[-1]


def open_current(path: Path, *, pages_max: int | None = None) -> sa.Engine:
    """The writing engine of the database at `path`, created or upgraded as needed.

    Raises `DataRefused` when the folder cannot be written, the disk is full, the file is no
    database of ours, or its schema is newer than this program.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = revision_of(path)
        engine = schema.open_writer(path, pages_max=pages_max)
        if found != HEAD:
            _upgrade(engine, path, found)
        else:
            with engine.begin():  # whether it can be written is known now, not at the first record
                pass
    except (OSError, sqlite3.Error, sa.exc.SQLAlchemyError) as error:
        raise unusable(path, error) from error
    return engine


def unusable(path: Path, error: Exception) -> DataRefused:
    """The refusal of a database that the system does not let us open or write."""
    cause = getattr(error, "orig", None) or error
    return DataRefused(
        str(path),
        f"the database cannot be used: {cause}",
        "make sure that its folder exists, can be written and has free space",
    )


def revision_of(path: Path) -> str | None:
    """The revision of the database at `path`, `None` when there is none yet.

    Raises `DataRefused` when it is not ours or newer than this program.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        with closing(schema.connect_reader(path)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
            found = read_revision(connection) if "alembic_version" in tables else None
    except schema.UNREADABLE as error:
        raise DataRefused(
            str(path),
            f"is no database: {error}",
            "run `holdfast audit verify`; move it away, or restore the last backup",
        ) from error
    if found is None and tables:
        raise DataRefused(str(path), "is not a database of holdfast", "choose another folder")
    if found is not None and found not in REVISIONS:
        raise DataRefused(
            str(path),
            f"schema {found} is newer than this program knows ({HEAD})",
            "upgrade holdfast, or restore the backup that the newer one made beside the file",
        )
    return found


def read_revision(connection: sqlite3.Connection) -> str | None:
    """What `alembic_version` holds, `None` when it is empty."""
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _upgrade(engine: sa.Engine, path: Path, found: str | None) -> None:
    if found is not None:
        _back_up(path, found)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        upgrade(connection)
        projections.rebuild(connection)


def upgrade(connection: sa.Connection) -> None:
    """Run every revision that is missing, inside the caller's transaction."""
    config = Config()
    config.set_main_option("script_location", "holdfast.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _back_up(path: Path, found: str) -> None:
    """Copy the database, log included, to `NAME.REVISION.backup`; whole or not at all."""
    target = path.with_name(f"{path.name}.{found}.backup")
    unfinished = target.with_name(target.name + UNFINISHED)
    unfinished.unlink(missing_ok=True)
    with (
        closing(schema.connect_reader(path)) as source,
        closing(sqlite3.connect(unfinished)) as copy,
    ):
        source.backup(copy)
    unfinished.rename(target)
