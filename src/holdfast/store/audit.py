"""Whether a store is what was written: file, schema, chain, tape, numbers, projections. Reads only.

Nothing is trusted to be readable. Every fault is a finding with its row, file or page; a database
too broken to open is one.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from holdfast.domain.errors import DataRefused
from holdfast.domain.event import Restarted
from holdfast.store import migrate, pages, rows, schema
from holdfast.store.chain import Finding, check_file, connect, walk_chain
from holdfast.store.columns import content_sha256, whole_numbers
from holdfast.store.fold import Rows, fold, key_of
from holdfast.store.records import Record, TapeRange
from holdfast.store.segment import read_segment
from holdfast.store.tape import FOLDER, segments

FINDINGS_MAX: Final = 100
"""Of each check: beyond it one more says that there are more."""

_SCHEMA: Final = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at and what is wrong. `notes` are losses that a crash explains."""

    path: str
    records: int
    tape_rows: int
    projected_rows: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether everything is as it was written."""
        return not self.findings


class _Walk:
    """The store under audit, and what earlier checks read of it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.tape = path.parent / FOLDER
        self.connection = connection
        self.numbers: list[int] = []
        self.records: list[tuple[int, Record]] = []
        self.tape_numbers: list[npt.NDArray[np.int64]] = []
        self.tape_rows = 0
        self.projected_rows = 0
        self.is_whole = True
        self.notes: list[str] = []


def audit(path: Path) -> AuditReport:
    """Check the database at `path` and the tape beside it. Raises `DataRefused` if there is none."""
    if not path.is_file():
        raise DataRefused(str(path), "no such database", "name the database of a run")
    findings = [Finding(where="file header", what=flaw) for flaw in pages.header_flaws(path)]
    with closing(connect(path)) as connection:
        walk = _Walk(path, connection)
        findings += _limited(check_file(connection))
        for step in (_schema, _chain, _tape, _numbers, _projections):
            findings += _limited(step(walk))
    return AuditReport(
        path=str(path),
        records=len(walk.numbers),
        tape_rows=walk.tape_rows,
        projected_rows=walk.projected_rows,
        findings=tuple(findings),
        notes=tuple(walk.notes),
    )


def _limited(found: Iterator[Finding]) -> list[Finding]:
    kept = list(islice(found, FINDINGS_MAX))
    if next(found, None) is not None:
        kept.append(Finding(where=kept[-1].where, what="and more of this kind"))
        for _ in found:  # a later check needs what this one reads to its end
            pass
    return kept


def _schema(walk: _Walk) -> Iterator[Finding]:
    try:
        found = walk.connection.execute(_SCHEMA).fetchall()
        revision = migrate.read_revision(walk.connection)
    except schema.UNREADABLE as error:
        yield Finding(where="schema", what=f"cannot be read: {error}")
        return
    if revision != migrate.HEAD:
        yield Finding(where="schema", what=f"its version is {revision}, not {migrate.HEAD}")
    wanted = _wanted_schema()
    for row in found:
        if row not in wanted:
            yield Finding(where=f"schema of {row[1]}", what=f"is not ours: {row[3]}")
    for row in wanted:
        if row not in found:
            yield Finding(where=f"schema of {row[1]}", what="is missing or was changed")


@cache
def _wanted_schema() -> tuple[tuple[Any, ...], ...]:
    """The schema as the migrations make it in an empty database."""
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        migrate.upgrade(connection)
        found = tuple(tuple(row) for row in connection.exec_driver_sql(_SCHEMA))
    engine.dispose()
    return found


def _chain(walk: _Walk) -> Iterator[Finding]:
    for found in walk_chain(walk.connection):
        if isinstance(found, Finding):
            walk.is_whole = False
            yield found
        else:
            walk.numbers.append(found.sequence)
            if found.record is not None:
                walk.records.append((found.sequence, found.record))


def _tape(walk: _Walk) -> Iterator[Finding]:
    """Every segment against the ranges that vouch for its rows, and every range for its segment."""
    vouched: dict[str, list[tuple[int, TapeRange]]] = {}
    for sequence, record in walk.records:
        if isinstance(record, TapeRange):
            vouched.setdefault(record.segment, []).append((sequence, record))
    days = sorted(day for day in walk.tape.glob("*") if day.is_dir())
    there = {f"{day.name}/{path.stem}": path for day in days for path in segments(day)}
    for name in sorted({*vouched, *there}):
        ranges = vouched.get(name, [])
        if name in there:
            yield from _segment_flaws(walk, there[name], ranges)
        else:
            what = f"is missing, with {sum(written.count for _, written in ranges)} events"
            yield Finding(where=f"{walk.tape / name}", row=ranges[0][1].first, what=what)


def _segment_flaws(
    walk: _Walk, path: Path, ranges: Sequence[tuple[int, TapeRange]]
) -> Iterator[Finding]:
    try:
        table = read_segment(path).table.replace_schema_metadata(None)
    except DataRefused as refusal:
        row = ranges[0][1].first if ranges else None
        yield Finding(where=str(path), row=row, what=refusal.what)
        return
    numbers = whole_numbers(table["sequence"])
    walk.tape_rows += table.num_rows
    walk.tape_numbers.append(np.unique(numbers))
    vouched = np.zeros(table.num_rows, dtype=np.bool_)
    for sequence, written in ranges:
        low, high = np.searchsorted(numbers, [written.first, written.last + 1]).tolist()
        vouched[low:high] = True
        where = f"{path}: rows {written.first} to {written.last}, events row {sequence}"
        if flaw := _range_flaw(table.slice(low, high - low), written):
            yield Finding(where=where, row=written.first, what=flaw)
    if not vouched.all():
        first = int(numbers[~vouched][0])
        what = f"{int((~vouched).sum())} rows from {first} on that the journal does not name"
        if any(written.last > first for _, written in ranges) or not walk.is_whole:
            yield Finding(where=str(path), row=first, what=what)
        else:
            walk.notes.append(f"{path}: {what}: the last before a crash")


def _range_flaw(found: pa.Table, written: TapeRange) -> str | None:
    count = len(np.unique(whole_numbers(found["sequence"])))
    if count != written.count:
        return f"{count} events where {written.count} were written"
    if content_sha256(found) != written.sha256:
        return "the content is not what was written"
    return None


def _numbers(walk: _Walk) -> Iterator[Finding]:
    """One run of numbers through journal and tape: from 1 on, without gap or double."""
    given = np.sort(np.concatenate([np.array(walk.numbers, np.int64), *walk.tape_numbers]))
    for at in np.flatnonzero(np.diff(given, prepend=0) != 1).tolist():
        before, after = (int(given[at - 1]) if at else 0), int(given[at])
        if before == after:
            yield Finding(where=f"sequence {after}", row=after, what="the number was given twice")
        elif excuse := _excuse(walk, before + 1, after - 1):
            walk.notes.append(f"numbers {before + 1} to {after - 1} {excuse}")
        else:
            yield from _missing(before + 1, after - 1)


def _missing(first: int, last: int) -> Iterator[Finding]:
    """Each number of a gap by itself, unless it is so long that nobody would read that."""
    what = "missing: neither in the journal nor on the tape"
    if last - first < FINDINGS_MAX:
        for number in range(first, last + 1):
            yield Finding(where=f"sequence {number}", row=number, what=what)
    else:
        yield Finding(where=f"sequence {first} to {last}", row=first, what=what)


def _excuse(walk: _Walk, first: int, last: int) -> str | None:
    """Why numbers may be missing, if they may.

    A crash loses what was given and not written: numbers behind the last flush of the tape. Only a
    restart, or the end of a journal that is whole, can follow. That no row of the journal itself
    was taken out there, the chain proves.
    """
    restart = next((n for n, r in walk.records if n > last and isinstance(r, Restarted)), None)
    if restart is None and not walk.is_whole:
        return None
    flushed = [
        record.last
        for number, record in walk.records
        if isinstance(record, TapeRange) and (restart is None or number < restart)
    ]
    if first <= max(flushed, default=0):
        return None
    return "are not on the disk (yet)" if restart is None else "were lost in a crash"


def _projections(walk: _Walk) -> Iterator[Finding]:
    """Every row of every projection against the fold of the journal, where that is whole."""
    if not walk.is_whole:
        walk.notes.append("projections were not compared: the journal itself is damaged")
        return
    held = Rows()
    for sequence, record in walk.records:
        fold(held, sequence, record)
    for kind, table in schema.PROJECTIONS.items():
        names = table.columns.keys()
        wanted = {key_of(row): msgspec.structs.asdict(row) for row in held.held(kind)}
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        try:
            query = f"SELECT {', '.join(names)} FROM {table.name}"  # noqa: S608 the names are ours
            for values in walk.connection.execute(query):
                row = dict(zip(names, values, strict=True))
                found[tuple(row[name] for name in rows.KEYS[kind])] = row
        except schema.UNREADABLE as error:
            yield Finding(where=f"table {table.name}", what=f"cannot be read: {error}")
            continue
        walk.projected_rows += len(found)
        yield from _differences(table.name, found, wanted)


def _differences(
    name: str,
    found: Mapping[tuple[Any, ...], Mapping[str, Any]],
    wanted: Mapping[tuple[Any, ...], Mapping[str, Any]],
) -> Iterator[Finding]:
    for key, row in found.items():
        where = f"table {name}, row {', '.join(map(str, key))}"
        if key not in wanted:
            yield Finding(where=where, what="does not follow from the journal")
        else:
            for column, value in row.items():
                if (type(value), value) != (type(wanted[key][column]), wanted[key][column]):
                    what = f"{column} is {value!r}; the journal says {wanted[key][column]!r}"
                    yield Finding(where=where, what=what)
    for key in wanted:
        if key not in found:
            where = f"table {name}, row {', '.join(map(str, key))}"
            yield Finding(where=where, what="is missing")
