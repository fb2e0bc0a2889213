"""The tables of the database, and the only ways to open it.

`events` is the journal: append-only, hash-chained. The other tables are projections of it, written
in the same transaction, and can be dropped and rebuilt. There is one writing connection in the
whole system; everybody else reads with `mode=ro`.
"""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

import msgspec
import sqlalchemy as sa

from holdfast.domain.errors import DataRefused
from holdfast.store import rows
from holdfast.store.files import DATABASE

FILE_NAME = DATABASE
APPLICATION_ID = 0x484F4C44
"""`HOLD`: in the header of the file, so that a stranger's database is told from ours."""

BUSY_TIMEOUT_S = 2.0

UNREADABLE = (sqlite3.Error, UnicodeDecodeError, MemoryError)
"""What the driver raises over a damaged file: also for text in its own messages that is none."""

# SQLite only makes a column the row's own number when its type is exactly INTEGER.
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

metadata = sa.MetaData()

events = sa.Table(
    "events",
    metadata,
    sa.Column("sequence", _NUMBER, primary_key=True, autoincrement=False),
    sa.Column("at_ns", _NUMBER, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("previous_hash", sa.LargeBinary, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sqlite_strict=True,
)


def _columns(row: type[rows.Row]) -> list[sa.Column[object]]:
    """Columns of a projection, read off its row: `int` a number, `str` a text, `| None` nullable."""
    columns: list[sa.Column[object]] = []
    for field in msgspec.structs.fields(row):
        kind = _NUMBER if field.type in (int, int | None) else sa.Text()
        is_key = field.name in rows.KEYS[row]
        nullable = field.type in (int | None, str | None)
        columns.append(sa.Column(field.name, kind, primary_key=is_key, nullable=nullable))
    return columns


def _projection(name: str, row: type[rows.Row]) -> sa.Table:
    table = sa.Table(name, metadata, *_columns(row), sqlite_strict=True)
    for column in table.primary_key:
        column.autoincrement = False
    return table


PROJECTIONS: dict[type[rows.Row], sa.Table] = {
    rows.Order: _projection("orders", rows.Order),
    rows.Fill: _projection("fills", rows.Fill),
    rows.Position: _projection("positions", rows.Position),
    rows.Posting: _projection("postings", rows.Posting),
    rows.Signal: _projection("signals", rows.Signal),
    rows.Day: _projection("days", rows.Day),
}


class Connections:
    """How many connections an engine holds open."""

    def __init__(self, engine: sa.Engine) -> None:
        """Count from here on."""
        self.count = 0
        sa.event.listen(engine, "connect", lambda *_: self._add(1))
        sa.event.listen(engine, "close", lambda *_: self._add(-1))

    def _add(self, change: int) -> None:
        self.count += change


def open_writer(path: Path, *, pages_max: int | None = None) -> sa.Engine:
    """The engine of the one writing connection. A commit that returns is on the disk.

    `pages_max` bounds the file in pages of 4 KiB. Nothing is touched before the first connection.
    """

    def connect() -> sqlite3.Connection:
        connection = _connect(f"file:{quote(str(path))}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if pages_max is not None:
            connection.execute(f"PRAGMA max_page_count = {pages_max:d}")
        return connection

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool)
    # The driver begins a transaction before DML only; a migration that dies half-way must leave
    # nothing, so transactions are ours. IMMEDIATE: a second writer is met at once, not in commit.
    sa.event.listen(engine, "begin", _begin_immediate)
    return engine


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def open_reader(path: Path) -> sa.Engine:
    """An engine that cannot write. Raises `DataRefused` when there is no file."""
    if not path.is_file():
        raise DataRefused(
            str(path), "no such database", "name the folder of an account and mode that has run"
        )
    return sa.create_engine(
        "sqlite://", creator=lambda: connect_reader(path), poolclass=sa.NullPool
    )


def connect_reader(path: Path, *, is_closed: bool = False) -> sqlite3.Connection:
    """A read-only connection of the driver.

    Reading a WAL database needs its shared-memory file. Where the folder cannot be written, or the
    caller knows that the database `is_closed`, and nothing is in its log (there is no `-wal`), the
    file is read as the immutable thing that it is there.
    """
    wal = path.with_name(path.name + "-wal")
    is_shared = wal.exists() or (os.access(path.parent, os.W_OK) and not is_closed)
    return _connect(f"file:{quote(str(path))}?mode=ro{'' if is_shared else '&immutable=1'}")


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
