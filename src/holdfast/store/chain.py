"""The database file and the chain of the journal, checked row by row without trusting either.

Used before anything is added to a journal, and by the audit.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from holdfast.domain.errors import DataRefused
from holdfast.store import schema
from holdfast.store.records import GENESIS, Record, decode, kind_of, link
from holdfast.store.stops import Stops, require_going

_COLUMNS: Final = ", ".join(column.name for column in schema.events.columns)
_TYPES: Final = {"at_ns": int, "kind": str, "payload": bytes, "previous_hash": bytes, "hash": bytes}


_PLACE: Final = re.compile(r"\b(page \d+|index \w+)", re.IGNORECASE)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fault. `row` is a number in `events` or on the tape, where the fault has one."""

    where: str
    what: str
    row: int | None = None


class ChainRow(NamedTuple):
    """A row that is there; its record, unless that could not be read."""

    sequence: int
    record: Record | None


class _Stored(NamedTuple):
    """A row of `events` as the driver gave it: any column may hold anything."""

    sequence: Any
    at_ns: Any
    kind: Any
    payload: Any
    previous_hash: Any
    hash: Any


_STEPS_PER_LOOK: Final = 10_000
"""Of SQLite's machine, between two looks at whether a check should end: under a millisecond."""


def require_intact(path: Path, flag: Stops | None = None) -> None:
    """Check file and chain; a long journal takes seconds.

    Raises `DataRefused` at the first fault, `Interrupted` soon after `flag` was set.
    """
    with closing(connect(path)) as connection:
        for found in checked(connection, flag=flag):
            raise DataRefused(
                f"{path}: {found.where}",
                found.what,
                "run `holdfast audit verify`; move the database away or restore a backup",
            )


def checked(
    connection: sqlite3.Connection, *, after: int = 0, flag: Stops | None = None
) -> Iterator[Finding]:
    """What is wrong with the file, and with the rows behind number `after`.

    Raises `Interrupted` soon after `flag` was set.
    """
    what = "the check of the journal"
    if flag is not None:
        connection.set_progress_handler(lambda: flag.is_set, _STEPS_PER_LOOK)
    for found in chain(check_file(connection), walk_chain(connection, after=after)):
        require_going(flag, what)
        if isinstance(found, Finding):
            yield found
    require_going(flag, what)


def connect(path: Path, *, is_closed: bool = False) -> sqlite3.Connection:
    """A reader for which damaged text neither ends the walk nor passes for bytes."""
    connection = schema.connect_reader(path, is_closed=is_closed)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return connection


def check_file(connection: sqlite3.Connection) -> Iterator[Finding]:
    """SQLite's own check of pages, trees, indexes and types."""
    try:
        for (said,) in connection.execute("PRAGMA integrity_check"):
            for line in str(said).splitlines():
                if line != "ok" and not line.startswith("***"):
                    place = _PLACE.search(line)
                    yield Finding(where=place[0] if place else "the database", what=line)
    except schema.UNREADABLE as error:
        yield Finding(where="the database", what=f"cannot be read: {error}")


def walk_chain(connection: sqlite3.Connection, *, after: int = 0) -> Iterator[Finding | ChainRow]:
    """Every row of `events`, each after what is wrong with it: by itself, or as a follower.

    With `after` only those behind that number, which was the last one found sound before.
    """
    previous, before = GENESIS, "the beginning"
    if after:
        previous, before = _head(connection, after), f"row {after}"
    for stored in _rows(connection, after):
        if isinstance(stored, Finding):
            yield stored
            continue
        if flaw := _mistyped(stored):
            yield flaw
            yield ChainRow(stored.sequence, None)
            continue
        if stored.previous_hash != previous:
            yield _finding(stored, f"does not follow {before}")
        yield from _read(stored)
        previous, before = stored.hash, f"row {stored.sequence}"


def _finding(stored: _Stored, what: str) -> Finding:
    return Finding(where=f"events row {stored.sequence}", row=stored.sequence, what=what)


def _head(connection: sqlite3.Connection, upto: int) -> Any:
    """The hash in the last row up to a number; nothing follows from `None`: it cannot be read."""
    query = "SELECT hash FROM events WHERE sequence <= ? ORDER BY sequence DESC LIMIT 1"
    with suppress(*schema.UNREADABLE):
        found = connection.execute(query, (upto,)).fetchone()
        return GENESIS if found is None else found[0]
    return None


def _rows(connection: sqlite3.Connection, after: int) -> Iterator[_Stored | Finding]:
    """The rows from the front; where one cannot be read, those behind it from the back."""
    last: _Stored | None = None
    try:
        for stored in _walk(connection, after=after or None, step=">"):
            last = stored
            yield stored
    except schema.UNREADABLE as error:
        behind = _from_the_back(connection, last)
        yield _unreadable(last, behind[0] if behind else None, error)
        yield from behind


def _from_the_back(connection: sqlite3.Connection, until: _Stored | None) -> list[_Stored]:
    """The last rows down to `until`, or to one that cannot be read; in order."""
    found: list[_Stored] = []
    with suppress(*schema.UNREADABLE):
        for stored in _walk(connection, after=None, step="<"):
            if until is not None and stored.sequence == until.sequence:
                break
            found.append(stored)
    return found[::-1]


def _walk(
    connection: sqlite3.Connection, *, after: int | None, step: str, limit: int = -1
) -> Iterator[_Stored]:
    """Rows behind number `after` upwards (`>`) or downwards (`<`). Raises at the unreadable one.

    The driver reads one row ahead and drops the row before the one that it cannot read; therefore
    the walk goes on in steps of a single row where it broke off.
    """
    bound = f"WHERE sequence {step} {after:d}" if after is not None else ""
    order = "ASC" if step == ">" else "DESC"
    query = f"SELECT {_COLUMNS} FROM events {bound} ORDER BY sequence {order} LIMIT {limit:d}"  # noqa: S608 ours
    try:
        for values in connection.execute(query):
            stored = _Stored(*values)
            after = stored.sequence
            yield stored
    except schema.UNREADABLE:
        if limit == 1:
            raise
        while one := next(_walk(connection, after=after, step=step, limit=1), None):
            after = one.sequence
            yield one
        raise


def _unreadable(before: _Stored | None, after: _Stored | None, error: Exception) -> Finding:
    first = "from the first row" if before is None else f"behind row {before.sequence}"
    last = "to the last" if after is None else f"before row {after.sequence}"
    return Finding(
        where=f"events, {first} {last}",
        row=1 if before is None else before.sequence + 1,
        what=f"cannot be read: {error}",
    )


def _mistyped(stored: _Stored) -> Finding | None:
    for name, wanted in _TYPES.items():
        value = getattr(stored, name)
        if type(value) is not wanted:
            return _finding(stored, f"{name} holds {type(value).__name__}, not {wanted.__name__}")
    return None


def _read(stored: _Stored) -> Iterator[Finding | ChainRow]:
    record = None
    try:
        sequence, at_ns, kind, payload, previous_hash, _ = stored
        if link(previous_hash, sequence, at_ns, kind, payload) != stored.hash:
            yield _finding(stored, "its hash is not that of its content")
        record = decode(payload, "")
        if (kind_of(record), record.at_ns) != (kind, at_ns):
            yield _finding(stored, "its kind or time is not that of its payload")
    except (DataRefused, UnicodeEncodeError) as error:
        yield _finding(stored, getattr(error, "what", "its kind is no text"))
    yield ChainRow(stored.sequence, record)
