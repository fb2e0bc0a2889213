"""The projections in the database: rows loaded, stored, dropped and rebuilt from the journal."""

from collections.abc import Iterable, Iterator

import msgspec
import sqlalchemy as sa

from holdfast.store import rows, schema
from holdfast.store.fold import Key, Rows, fold
from holdfast.store.records import Record, decode


def _by_key(table: sa.Table) -> sa.Select[tuple[object, ...]]:
    return sa.select(table).where(
        *(column == sa.bindparam(column.name) for column in table.primary_key)
    )


_BY_KEY = {
    kind: _by_key(schema.PROJECTIONS[kind])
    for kind, key in rows.KEYS.items()
    if key[0] != "sequence"
}
"""How a row is looked up. Those of one record are not: none is stored before it is folded."""


def load_rows(connection: sa.Connection) -> Rows:
    """Rows over the stored ones, but for those that a single record makes: fills and postings.

    Valid as long as nobody else writes and nothing is rolled back.
    """

    def load(kind: type[rows.Row], key: Key) -> rows.Row | None:
        query = _BY_KEY.get(kind)
        if query is None:
            return None
        found = connection.execute(query, dict(zip(rows.KEYS[kind], key, strict=True)))
        row = found.mappings().one_or_none()
        return None if row is None else kind(**row)

    table = schema.PROJECTIONS[rows.Day]
    latest = sa.select(table).order_by(table.c.sequence.desc()).limit(1)
    found = connection.execute(latest).mappings().one_or_none()
    return Rows(load, None if found is None else rows.Day(**found))


def store_rows(connection: sa.Connection, changed: Iterable[rows.Row]) -> None:
    """Insert or replace rows, one statement per table."""
    by_kind: dict[type[rows.Row], list[dict[str, object]]] = {}
    for row in changed:
        by_kind.setdefault(type(row), []).append(msgspec.structs.asdict(row))
    for kind, values in by_kind.items():
        insert = schema.PROJECTIONS[kind].insert().prefix_with("OR REPLACE", dialect="sqlite")
        connection.execute(insert, values)


def recreate_tables(connection: sa.Connection) -> None:
    """Drop the projections and create them empty."""
    tables = list(schema.PROJECTIONS.values())
    schema.metadata.drop_all(connection, tables=tables)
    schema.metadata.create_all(connection, tables=tables)


def rebuild(connection: sa.Connection) -> None:
    """Empty the projections and fold them anew from the journal, in the caller's transaction."""
    for table in schema.PROJECTIONS.values():
        connection.execute(table.delete())
    held = Rows()
    for sequence, record in stored_records(connection):
        fold(held, sequence, record)
    store_rows(connection, held.take_changed())


def stored_records(connection: sa.Connection) -> Iterator[tuple[int, Record]]:
    """Every record in order. Raises `DataRefused` at the row that cannot be read."""
    events = schema.events
    query = sa.select(events.c.sequence, events.c.payload).order_by(events.c.sequence)
    for sequence, payload in connection.execute(query):
        yield sequence, decode(payload, f"events row {sequence}")
