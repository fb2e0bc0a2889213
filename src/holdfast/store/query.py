"""What the command line reads: the journal's records and the projections, without writing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from holdfast.domain.errors import DataRefused
from holdfast.store import rows, schema
from holdfast.store.records import Record, decode

_R = TypeVar("_R", bound=rows.Row)


def records(path: Path, *, first: int = 1) -> Iterator[tuple[int, int, Record]]:
    """(sequence, at_ns, record) of every record from number `first` on, in order.

    Raises `DataRefused` when there is no database, or at the row that cannot be read.
    """
    events = schema.events
    query = (
        sa.select(events.c.sequence, events.c.at_ns, events.c.payload)
        .where(events.c.sequence >= first)
        .order_by(events.c.sequence)
    )
    with _reading(path) as connection:
        for sequence, at_ns, payload in connection.execute(query):
            yield sequence, at_ns, decode(payload, f"{path}: events row {sequence}")


def last_at_ns(path: Path) -> int | None:
    """The latest stamp of any record; `None` when there is none. Raises `DataRefused`."""
    with _reading(path) as connection:
        return connection.execute(sa.select(sa.func.max(schema.events.c.at_ns))).scalar()


def days(path: Path) -> list[rows.Day]:
    """Every day that ran, oldest first."""
    return _rows(path, rows.Day, None)


def day_header(path: Path, day: str | None = None) -> rows.Day | None:
    """What a day ran on and came to; without `day` the latest. `None` when there is none."""
    found = days(path) if day is None else _rows(path, rows.Day, day)
    return found[-1] if found else None


def orders(path: Path, day: str | None = None) -> list[rows.Order]:
    """Orders of one day, or of all, in order of their ids."""
    return _rows(path, rows.Order, day)


def fills(path: Path, day: str | None = None) -> list[rows.Fill]:
    """Fills of one day, or of all, in the order in which they were heard of."""
    return _rows(path, rows.Fill, day)


def positions(path: Path, day: str | None = None) -> list[rows.Position]:
    """Positions of one day, or of all, by day and number."""
    return _rows(path, rows.Position, day)


def postings(path: Path, day: str | None = None) -> list[rows.Posting]:
    """Postings of one day, or of all, in order."""
    return _rows(path, rows.Posting, day)


def signals(path: Path, day: str | None = None) -> list[rows.Signal]:
    """Signals of one day, or of all, by day and time."""
    found = _rows(path, rows.Signal, day)
    return sorted(found, key=lambda signal: (signal.day, signal.at_ns, signal.signal_id))


def _rows(path: Path, kind: type[_R], day: str | None) -> list[_R]:
    table = schema.PROJECTIONS[kind]
    query = sa.select(table).order_by(*table.primary_key)
    if day is not None:
        query = query.where(table.c.day == day)
    with _reading(path) as connection:
        return [kind(**row) for row in connection.execute(query).mappings()]


@contextmanager
def _reading(path: Path) -> Iterator[sa.Connection]:
    engine = schema.open_reader(path)
    try:
        with engine.connect() as connection:
            yield connection
    except (sa.exc.DBAPIError, *schema.UNREADABLE) as error:
        raise DataRefused(
            str(path),
            f"cannot be read: {getattr(error, 'orig', error)}",
            "run `holdfast audit verify`; restore the last backup if the file was damaged",
        ) from error
    finally:
        engine.dispose()
