"""The one writing connection: records become rows of the journal and of its projections."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from holdfast.store import migrate, projections, schema
from holdfast.store.fold import Rows, fold
from holdfast.store.records import GENESIS, Record, kind_of, link, storable


class EventsTable:
    """Appends records in order of their numbers. One thread at a time.

    A group of records is one transaction, projections included: on the disk or not there at all.
    """

    def __init__(self, path: Path, *, pages_max: int | None = None) -> None:
        """Open or create the database. Raises `DataRefused` as `migrate.open_current` does."""
        self._engine = migrate.open_current(path, pages_max=pages_max)
        self._connections = schema.Connections(self._engine)
        self._connection: sa.Connection | None = None
        self._rows: Rows | None = None
        with self._engine.connect() as connection:
            self.last, self._hash = _head(connection)

    @property
    def connections(self) -> int:
        """How many connections it holds open."""
        return self._connections.count

    def commit(self, records: Sequence[tuple[int, Record]]) -> None:
        """Append the records. Raises `SQLAlchemyError`, and then they may be given again.

        After a failure it is read what is stored: a commit that was reported as failed, because
        the disk did not answer, may be there all the same, and nothing is written twice.
        """
        is_kept = False
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            with self._connection.begin():
                last, head = self._append(self._connection, records)
            is_kept = True
        finally:
            if not is_kept:  # neither connection nor rows are known to be what is stored
                self._forget()
        self.last, self._hash = last, head

    def probe(self) -> None:
        """Write nothing that anybody reads, as durably as a record. Raises `SQLAlchemyError`."""
        with self._engine.connect() as connection, connection.begin():
            connection.exec_driver_sql("PRAGMA user_version = 0")

    def _append(
        self, connection: sa.Connection, records: Sequence[tuple[int, Record]]
    ) -> tuple[int, bytes]:
        """Insert what is new; returns number and hash of the last row."""
        last, head = self.last, self._hash
        if self._rows is None:
            self._rows = projections.load_rows(connection)
            last, head = _head(connection)
            records = [row for row in records if row[0] > last]
        if records:
            head = self._insert(connection, self._rows, records, head)
            last = records[-1][0]
        return last, head

    def _insert(
        self,
        connection: sa.Connection,
        held: Rows,
        records: Sequence[tuple[int, Record]],
        head: bytes,
    ) -> bytes:
        values = []
        for sequence, record in records:
            kept, payload = storable(record)
            kind, previous = kind_of(kept), head
            head = link(previous, sequence, kept.at_ns, kind, payload)
            values.append(
                {
                    "sequence": sequence,
                    "at_ns": kept.at_ns,
                    "kind": kind,
                    "payload": payload,
                    "previous_hash": previous,
                    "hash": head,
                }
            )
            fold(held, sequence, kept)
        connection.execute(schema.events.insert(), values)
        projections.store_rows(connection, held.take_changed())
        return head

    def _forget(self) -> None:
        self._rows = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Move the log into the file and close. Raises `SQLAlchemyError` when that fails."""
        try:
            connection = self._connection or self._engine.connect()
            self._connection = connection
            connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:  # that of the driver: in a transaction it cannot be done
            raise sa.exc.OperationalError("PRAGMA wal_checkpoint", {}, error) from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close; the log stays where it is until somebody opens the database again."""
        self._forget()
        self._engine.dispose()


def _head(connection: sa.Connection) -> tuple[int, bytes]:
    """Number and hash of the last row, 0 and the genesis when there is none."""
    events = schema.events
    query = sa.select(events.c.sequence, events.c.hash).order_by(events.c.sequence.desc()).limit(1)
    found = connection.execute(query).one_or_none()
    return (0, GENESIS) if found is None else (found[0], found[1])
