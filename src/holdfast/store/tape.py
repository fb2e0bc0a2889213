"""The tape of a day: every tick, quote and candle the engine saw, under the journal's numbers.

A folder per day holds segments, `KIND-NUMBER` with the ending of its form (`store/segment.py`).
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import replace

from holdfast.domain.errors import DataRefused
from holdfast.domain.event import CandleLoaded
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick
from holdfast.store.checks import require_sound
from holdfast.store.columns import (
    KINDS,
    KINDS_BY_NAME,
    Kind,
    Numbered,
    content_sha256,
    warm,
    whole_numbers,
)
from holdfast.store.records import TapeRange
from holdfast.store.segment import (
    GROWING,
    SEALED,
    UNFINISHED,
    GrowingSegment,
    TapeHeader,
    read_segment,
    seal,
)
from holdfast.store.stops import Interrupted, Stops

FOLDER: Final = "tape"
"""Beside the database: one folder per day in it."""

SEGMENT_ROWS_MAX: Final = 262_144
"""A segment that has grown to this is sealed, so that the last one is sealed in time at a stop."""

_SLICE: Final = 16_384
"""Ticks made at once: few enough to stay in the processor's cache (2.5 times as fast as all)."""

_NAME: Final = re.compile(r"(?P<kind>[a-z]+)-(?P<number>\d{4,})$")


class TapeWriter:
    """Writes the tape of one day. One thread at a time."""

    def __init__(
        self,
        folder: Path,
        header: TapeHeader,
        *,
        rows_max: int = SEGMENT_ROWS_MAX,
        sync: bool = True,
    ) -> None:
        """`folder` is the day's. With `sync` each batch is on the disk before it is vouched for."""
        self._folder = folder
        self._header = header
        self._rows_max = rows_max
        self._sync = sync
        self._growing: dict[str, GrowingSegment] = {}
        warm()

    def describe(self, instruments: tuple[Instrument, ...]) -> None:
        """Name the instruments of what is written from here on."""
        if instruments != self._header.instruments:
            self.close()
            self._header = replace(self._header, instruments=instruments)

    def write(self, rows: Sequence[Numbered]) -> TapeRange:
        """Append numbered events of one type, in order, as one batch; returns what to journal.

        Raises `OSError`, and then nothing was written.
        """
        kind = KINDS[type(rows[0][1])]
        batch = kind.encode(rows)
        growing = self._open(kind)
        written = self._range(rows, content_sha256(pa.Table.from_batches([batch])), growing.path)
        try:
            growing.append(batch, sync=self._sync)
        except OSError:
            if growing.is_doubtful:  # what it holds is vouched for: it goes on in the next one
                self._growing.pop(kind.name).close()
            raise
        return written

    def _range(self, rows: Sequence[Numbered], sha256: str, path: Path) -> TapeRange:
        return TapeRange(
            at_ns=max(event.at_ns for _, event in rows),
            first=rows[0][0],
            last=rows[-1][0],
            count=len(rows),
            sha256=sha256,
            segment=f"{self._folder.name}/{path.stem}",
        )

    def find(self, rows: Sequence[Numbered]) -> TapeRange | None:
        """What to journal for a batch that an earlier writer may have written; `None`: it did not.

        A batch is on the tape whole or not at all. Raises `DataRefused` at a damaged segment.
        """
        kind = KINDS[type(rows[0][1])]
        for path in reversed(segments(self._folder, kind.name)):
            table = read_segment(path).table.replace_schema_metadata(None)
            numbers = whole_numbers(table["sequence"])
            low, high = np.searchsorted(numbers, [rows[0][0], rows[-1][0] + 1]).tolist()
            if low < high:
                return self._range(rows, content_sha256(table.slice(low, high - low)), path)
        return None

    def _open(self, kind: Kind) -> GrowingSegment:
        """The stream to append to. A full one is sealed now, when what it holds is vouched for."""
        growing = self._growing.get(kind.name)
        if growing is not None and growing.rows >= self._rows_max:
            self._end(kind.name)
        return self._growing.get(kind.name) or self._begin(kind)

    def _begin(self, kind: Kind) -> GrowingSegment:
        self._folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((_number(path) for path in segments(self._folder, kind.name)), default=0)
        path = self._folder / f"{kind.name}-{number:04d}{GROWING}"
        header = replace(self._header, kind=kind.name)
        self._growing[kind.name] = GrowingSegment(path, kind.schema, header)
        return self._growing[kind.name]

    def _end(self, name: str) -> None:
        """Close a segment and seal it."""
        growing = self._growing.pop(name)
        growing.close()
        seal_if_possible(growing.path)

    def close(self) -> None:
        """End every segment. One that cannot be sealed for want of space stays a stream."""
        while self._growing:
            self._end(next(iter(self._growing)))

    def abandon(self) -> tuple[Path, ...]:
        """Close every file as it is; returns them: whoever goes on seals them."""
        left = tuple(growing.path for growing in self._growing.values())
        while self._growing:
            self._growing.popitem()[1].close()
        return left


def seal_if_possible(growing: Path, flag: Stops | None = None) -> bool:
    """Seal a closed stream; returns whether to go on: not soon after `flag` was set.

    Where that fails its rows are as safe in the stream, which the next start seals or refuses.
    """
    try:
        with contextlib.suppress(OSError, DataRefused):
            seal(growing, flag)
    except Interrupted:
        return False
    return True


def segments(folder: Path, kind: str | None = None) -> list[Path]:
    """The files of a day's folder in order of kind and number, each segment once.

    A crash between sealing and removing the stream leaves both; the sealed one counts.
    """
    found: dict[tuple[str, int], Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        name = _NAME.match(path.stem)
        if name is None or path.suffix not in (GROWING, SEALED):
            continue
        if kind is None or name["kind"] == kind:
            at = name["kind"], int(name["number"])
            found[at] = max(found.get(at, path), path, key=lambda p: p.suffix == SEALED)
    return [found[at] for at in sorted(found)]


def _number(path: Path) -> int:
    name = _NAME.match(path.stem)
    assert name is not None, "only segments are numbered"
    return int(name["number"])


def seal_leftovers(root: Path) -> int:
    """Seal the streams that a crash left in any day under `root`.

    Returns the highest sequence number on the tapes that had one, and on the latest day's; 0 when
    there are none. Raises `DataRefused` at a damaged file, `OSError` when one cannot be written.
    """
    for begun in root.glob(f"*/*{UNFINISHED}"):
        begun.unlink()
    leftovers = sorted(root.glob(f"*/*{GROWING}"))
    sealed = {path.with_suffix(SEALED) for path in leftovers}
    for path in leftovers:
        if path.with_suffix(SEALED).exists():
            path.unlink()
        else:
            seal(path)
    days = sorted(path for path in root.glob("*") if path.is_dir())
    looked_at = {*sealed, *(segments(days[-1]) if days else [])}
    return max((_last_number(path) for path in sorted(looked_at) if path.exists()), default=0)


def _last_number(path: Path) -> int:
    return cast("int", pc.max(read_segment(path).table["sequence"]).as_py())


class _Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was read once and found sound. Times are the earliest and latest `at_ns`."""

    path: Path
    kind: Kind
    rows: int
    first_sequence: int
    last_sequence: int
    first_at_ns: int
    last_at_ns: int


class TapeReader:
    """A day of recorded market: a `MarketSource`, and with `events` the half of a journal.

    Files are read anew on each pass, one at a time, so that a day needs not fit into memory.
    """

    def __init__(self, header: TapeHeader, segments: Sequence[_Segment], cut_bytes: int) -> None:
        """Made by `read_tape`."""
        self.header = header
        self.cut_bytes = cut_bytes
        self._segments = segments

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """Every instrument of the header, in its order: the underlying first."""
        return self.header.instruments

    @property
    def rows(self) -> int:
        """Rows of every kind."""
        return sum(segment.rows for segment in self._segments)

    @property
    def tick_rows(self) -> int:
        """Ticks."""
        return sum(segment.rows for segment in self._of("ticks"))

    def history(self) -> Iterator[CandleLoaded]:
        """The candles that were loaded, in the order in which they were."""
        return (cast("CandleLoaded", event) for _, event in self._numbered("candles"))

    def ticks(self) -> Iterator[Tick]:
        """The ticks in order of `at_ns`, those of one instant in order of sequence."""
        for block in _overlapping(self._of("ticks")):
            table = pa.concat_tables([_content(segment) for segment in block])
            at_ns = whole_numbers(table["at_ns"])
            if (np.diff(at_ns) < 0).any():
                table = table.take(np.argsort(at_ns, kind="stable"))
            for _, tick in _sliced(table):
                yield tick

    def events(self) -> Iterator[Numbered]:
        """Every event of the tape with its number, in the order in which the engine saw them."""
        return merge(*(self._numbered(name) for name in KINDS_BY_NAME), key=itemgetter(0))

    def _numbered(self, name: str) -> Iterator[Numbered]:
        for segment in self._of(name):
            table = _content(segment)
            yield from _sliced(table) if name == "ticks" else segment.kind.decode(table)

    def _of(self, name: str) -> list[_Segment]:
        return [segment for segment in self._segments if segment.kind.name == name]


def _content(segment: _Segment) -> pa.Table:
    """The rows that were there when the tape was opened; a stream may have grown since."""
    table = read_segment(segment.path).table.slice(0, segment.rows)
    return table.replace_schema_metadata(None)


def _sliced(ticks: pa.Table) -> Iterator[tuple[int, Tick]]:
    decode = KINDS[Tick].decode
    for start in range(0, ticks.num_rows, _SLICE):
        yield from cast("Iterator[tuple[int, Tick]]", decode(ticks.slice(start, _SLICE)))


def _overlapping(found: Sequence[_Segment]) -> list[list[_Segment]]:
    """Neighbours whose times overlap, together: a merged tick may outlast its segment."""
    blocks: list[list[_Segment]] = []
    latest_ns = 0
    for segment in found:
        if blocks and segment.first_at_ns < latest_ns:
            blocks[-1].append(segment)
        else:
            blocks.append([segment])
        latest_ns = max(latest_ns, segment.last_at_ns)
    return blocks


def last_tick_ns(folder: Path) -> int | None:
    """When the newest tick in a day's folder was received; `None` when it holds none.

    Raises `DataRefused` when its file cannot be read.
    """
    for file in reversed(segments(folder, "ticks")):
        table = read_segment(file).table
        if table.num_rows:
            newest: int = pc.max(table["at_ns"]).as_py()
            return newest
    return None


def read_tape(path: Path) -> TapeReader:
    """Open the tape of a day: its folder, or one file of it.

    Every file is read and checked before anything is returned. Raises `DataRefused` with file,
    row and remedy at the first flaw.
    """
    files = segments(path) if path.is_dir() else [path] if path.exists() else []
    if not files:
        raise DataRefused(
            str(path),
            "holds no tape",
            "name a day's folder, or make one with `holdfast tape import`",
        )
    headers: list[TapeHeader] = []
    found: list[_Segment] = []
    cut_bytes = 0
    for file in files:
        content = read_segment(file)
        headers.append(content.header)
        cut_bytes += content.cut_bytes
        if content.table.num_rows:
            found.append(_checked(file, content.header, content.table))
    _require_order(found)
    return TapeReader(_joined(headers), found, cut_bytes)


def _checked(file: Path, header: TapeHeader, table: pa.Table) -> _Segment:
    known = frozenset(str(instrument.id) for instrument in header.instruments)
    require_sound(file, header.kind, table, known)
    at_ns = "read_at_ns" if header.kind == "quotes" else "at_ns"
    bounds = {name: pc.min_max(table[name]).as_py() for name in ("sequence", at_ns)}
    return _Segment(
        path=file,
        kind=KINDS_BY_NAME[header.kind],
        rows=table.num_rows,
        first_sequence=bounds["sequence"]["min"],
        last_sequence=bounds["sequence"]["max"],
        first_at_ns=bounds[at_ns]["min"],
        last_at_ns=bounds[at_ns]["max"],
    )


def _require_order(found: Sequence[_Segment]) -> None:
    latest: dict[str, int] = {}
    for segment in found:
        if segment.first_sequence <= latest.get(segment.kind.name, 0):
            raise DataRefused(
                f"{segment.path}: row 1 (sequence {segment.first_sequence})",
                "repeats numbers of the segment before it",
                "remove the copy, or record the tape again",
            )
        latest[segment.kind.name] = segment.last_sequence


def _joined(headers: Sequence[TapeHeader]) -> TapeHeader:
    """One header for the day: the last one's words, every instrument of any."""
    known = {row.id: row for header in headers for row in header.instruments}
    notes: dict[str, Any] = {}
    for header in headers:
        notes |= header.notes
    return replace(headers[-1], kind="", notes=notes, instruments=tuple(known.values()))
