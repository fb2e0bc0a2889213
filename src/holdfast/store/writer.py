"""The one writing connection: records become rows of the journal and of its projections."""

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
        self._connection: sa.Connection | None = None
        self._rows: Rows | None = None
        with self._engine.connect() as connection:
            self.last, self._hash = _head(connection)

    def commit(self, records: Sequence[tuple[int, Record]]) -> None:
        """Append the records. Raises `SQLAlchemyError`, and then none of them was kept."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            with self._connection.begin():
                head = self._append(self._connection, records)
        except sa.exc.SQLAlchemyError:
            self._forget()
            raise
        self.last, self._hash = records[-1][0], head

    def _append(self, connection: sa.Connection, records: Sequence[tuple[int, Record]]) -> bytes:
        if self._rows is None:
            self._rows = projections.load_rows(connection)
        values, head = [], self._hash
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
            fold(self._rows, sequence, kept)
        connection.execute(schema.events.insert(), values)
        projections.store_rows(connection, self._rows.take_changed())
        return head

    def _forget(self) -> None:
        """Drop connection and rows: after a failure neither is known to be what is stored."""
        self._rows = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Move the log into the file and close. Raises `SQLAlchemyError` when that fails."""
        self._forget()
        with self._engine.connect() as connection:
            connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._engine.dispose()


def _head(connection: sa.Connection) -> tuple[int, bytes]:
    """Number and hash of the last row, 0 and the genesis when there is none."""
    events = schema.events
    query = sa.select(events.c.sequence, events.c.hash).order_by(events.c.sequence.desc()).limit(1)
    found = connection.execute(query).one_or_none()
    return (0, GENESIS) if found is None else (found[0], found[1])
