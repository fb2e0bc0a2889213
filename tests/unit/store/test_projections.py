"""Projections in the database: rebuilt from the journal they are what they were."""

from pathlib import Path

import msgspec
import sqlalchemy as sa

from holdfast.store import projections, rows, schema
from holdfast.store.fold import Rows


def stored(connection: sa.Connection) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every projection, in order of keys."""
    return {
        table.name: [
            tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))
        ]
        for table in schema.PROJECTIONS.values()
    }


def test_dropped_and_rebuilt_they_are_identical(damaged: Path) -> None:
    """Row by row and column by column, with at least 200 rows over all tables."""
    engine = schema.open_writer(damaged)
    with engine.begin() as connection:
        before = stored(connection)
        projections.recreate_tables(connection)
        assert not any(stored(connection).values())
        projections.rebuild(connection)
        after = stored(connection)
    assert sum(map(len, before.values())) >= 200
    assert all(before.values())
    assert after == before


def test_a_row_is_loaded_when_it_is_asked_for(damaged: Path) -> None:
    """After a start the fold goes on from what is stored, in the latest day."""
    with schema.open_reader(damaged).connect() as connection:
        held = projections.load_rows(connection)
        position = held.get(rows.Position, held.day, 3)
        assert position is not None
        assert (position.day, position.state) == (held.day, "closed")
        assert held.get(rows.Order, "nobody's") is None
        assert held.take_changed() == []


def test_what_is_not_stored_is_looked_up_once_and_what_a_record_makes_never(damaged: Path) -> None:
    """A writer that asked for each posting took the interpreter from whoever sends an exit."""
    asked: list[str] = []
    engine = schema.open_reader(damaged)
    with engine.connect() as connection:
        held = projections.load_rows(connection)
        sa.event.listen(engine, "before_cursor_execute", lambda *of: asked.append(of[2]))
        for _ in range(3):
            assert held.get(rows.Order, "nobody's") is None
            assert held.get(rows.Posting, 10**9, 0) is None
            assert held.get(rows.Fill, 10**9, "nobody's") is None
        assert len(asked) == 1
        known = held.get(rows.Position, held.day, 3)
        assert known is not None
        new = msgspec.structs.replace(known, position=999)
        assert held.get(rows.Position, held.day, 999) is None
        held.put(new)
        assert held.get(rows.Position, held.day, 999) is new
        assert len(asked) == 3


def test_rows_replace_the_ones_of_their_key(damaged: Path) -> None:
    """Storing is inserting or replacing, never a second row."""
    engine = schema.open_writer(damaged)
    with engine.begin() as connection:
        held: Rows = projections.load_rows(connection)
        day = held.get(rows.Day, held.day)
        assert day is not None
        projections.store_rows(connection, [day, day])
        assert stored(connection)["days"] == [
            tuple(getattr(day, name) for name in type(day).__struct_fields__)
        ]
