"""Tape events as columns and back, without loss, and the canonical hash of columns.

Levels that a tick does not have are null. The canonical content of rows, whatever file holds them:
for each column in the schema's order its name, its validity as packed bits (most significant
first), and its values, as little-endian int64 with 0 for null; a text column's values are indices
into the distinct texts in order of appearance, which follow joined by zero bytes.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from holdfast.domain.event import CandleLoaded, QuotesRead, TapeEvent
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Candle, Level, Tick
from holdfast.store.stops import Stops, require_going

DEPTH: Final = 5
"""Levels of each side that the tape keeps: as many as the feed sends."""

Numbered = tuple[int, TapeEvent]

_NO_LEVELS: Final[tuple[Level, ...]] = ((0, 0),) * DEPTH
_SIDES: Final = ("bid", "ask")
_MERGED: Final = (
    "last_low_paise",
    "last_high_paise",
    "bid_low_paise",
    "bid_high_paise",
    "ask_low_paise",
    "ask_high_paise",
)


def level_names(side: str) -> list[str]:
    """The columns of one side, best level first, price before quantity."""
    return [f"{side}{n}_{what}" for n in range(1, DEPTH + 1) for what in ("paise", "quantity")]


def _whole(name: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, pa.int64(), nullable=nullable)


def _tick_fields(*, nullable: bool) -> list[pa.Field]:
    return [
        _whole("at_ns", nullable=nullable),
        pa.field("instrument", pa.string(), nullable=nullable),
        _whole("last_paise", nullable=nullable),
        _whole("venue_at_ns", nullable=True),
        _whole("volume", nullable=nullable),
        _whole("oi", nullable=nullable),
        *(_whole(name, nullable=True) for side in _SIDES for name in level_names(side)),
        _whole("count", nullable=nullable),
        *(_whole(name, nullable=True) for name in _MERGED),
    ]


TICKS: Final = pa.schema([_whole("sequence"), *_tick_fields(nullable=False)])
"""One row per tick."""

QUOTES: Final = pa.schema([_whole("sequence"), _whole("read_at_ns"), *_tick_fields(nullable=True)])
"""One row per quote of a read; a read that brought none is one row without an instrument."""

CANDLES: Final = pa.schema(
    [
        _whole("sequence"),
        _whole("at_ns"),
        pa.field("instrument", pa.string(), nullable=False),
        *(_whole(name) for name in ("interval_s", "start_ns", "open_paise", "high_paise")),
        *(_whole(name) for name in ("low_paise", "close_paise", "volume")),
        pa.field("complete", pa.bool_(), nullable=False),
    ]
)
"""One row per candle of history."""


def encode_ticks(rows: Sequence[tuple[int, Tick]]) -> pa.RecordBatch:
    """Ticks, each with its number, as rows of `TICKS`."""
    columns = [_numbers([number for number, _ in rows]), *_tick_columns([t for _, t in rows])]
    return pa.record_batch(columns, schema=TICKS)


def _numbers(values: Sequence[int | None]) -> pa.Array:
    return pa.array(values, pa.int64())


def _tick_columns(ticks: Sequence[Tick]) -> list[pa.Array]:
    return [
        _numbers([tick.at_ns for tick in ticks]),
        pa.array([tick.instrument for tick in ticks], pa.string()),
        _numbers([tick.last_paise for tick in ticks]),
        _numbers([tick.venue_at_ns for tick in ticks]),
        _numbers([tick.volume for tick in ticks]),
        _numbers([tick.oi for tick in ticks]),
        *_level_columns([tick.bids for tick in ticks]),
        *_level_columns([tick.asks for tick in ticks]),
        _numbers([tick.count for tick in ticks]),
        _numbers([tick.last_low_paise for tick in ticks]),
        _numbers([tick.last_high_paise for tick in ticks]),
        _numbers([tick.bid_low_paise for tick in ticks]),
        _numbers([tick.bid_high_paise for tick in ticks]),
        _numbers([tick.ask_low_paise for tick in ticks]),
        _numbers([tick.ask_high_paise for tick in ticks]),
    ]


def _level_columns(books: Sequence[tuple[Level, ...]]) -> list[pa.Array]:
    held = np.fromiter(map(len, books), np.int64, len(books))
    assert held.max(initial=0) <= DEPTH, "the feed sends five levels"
    padded = [book + _NO_LEVELS[len(book) :] for book in books]
    flat = chain.from_iterable(chain.from_iterable(padded))
    values = np.fromiter(flat, np.int64, len(books) * DEPTH * 2).reshape(len(books), DEPTH * 2)
    absent = held[:, None] <= np.arange(DEPTH)
    return [
        pa.array(np.ascontiguousarray(values[:, n]), mask=np.ascontiguousarray(absent[:, n // 2]))
        for n in range(DEPTH * 2)
    ]


def encode_quotes(rows: Sequence[tuple[int, QuotesRead]]) -> pa.RecordBatch:
    """Reads of quotes, each with its number, as rows of `QUOTES`."""
    slots = [(number, read, quote) for number, read in rows for quote in read.quotes or (None,)]
    columns = _tick_columns([quote for _, _, quote in slots if quote is not None])
    head = [
        _numbers([number for number, _, _ in slots]),
        _numbers([read.at_ns for _, read, _ in slots]),
    ]
    spread = _spread(columns, [quote is not None for _, _, quote in slots])
    return pa.record_batch([*head, *spread], schema=QUOTES)


def _spread(columns: Sequence[pa.Array], held: Sequence[bool]) -> list[pa.Array]:
    """Rows where `held` is true, in order, nulls elsewhere."""
    numbers = iter(range(sum(held)))
    at = pa.array([next(numbers) if is_held else None for is_held in held], pa.int64())
    return [column.take(at) for column in columns]


def encode_candles(rows: Sequence[tuple[int, CandleLoaded]]) -> pa.RecordBatch:
    """Candles of history, each with its number, as rows of `CANDLES`."""
    candles = [event.candle for _, event in rows]
    columns = [
        _numbers([number for number, _ in rows]),
        _numbers([event.at_ns for _, event in rows]),
        pa.array([candle.instrument for candle in candles], pa.string()),
        _numbers([candle.interval_s for candle in candles]),
        _numbers([candle.start_ns for candle in candles]),
        _numbers([candle.open_paise for candle in candles]),
        _numbers([candle.high_paise for candle in candles]),
        _numbers([candle.low_paise for candle in candles]),
        _numbers([candle.close_paise for candle in candles]),
        _numbers([candle.volume for candle in candles]),
        pa.array([candle.complete for candle in candles], pa.bool_()),
    ]
    return pa.record_batch(columns, schema=CANDLES)


def decode_ticks(table: pa.Table) -> Iterator[tuple[int, Tick]]:
    """The ticks of rows of `TICKS` with their numbers, in the table's order."""
    return zip(_values(table["sequence"]), _ticks(table), strict=True)


def decode_quotes(table: pa.Table) -> Iterator[tuple[int, QuotesRead]]:
    """The reads of rows of `QUOTES` with their numbers; neighbours of one number are one read."""
    held = pc.is_valid(table["instrument"])
    quotes = _ticks(table.filter(held))
    owners = zip(
        _values(table["sequence"]), _values(table["read_at_ns"]), held.to_pylist(), strict=True
    )
    for (number, at_ns), group in groupby(owners, key=lambda owner: owner[:2]):
        found = tuple(next(quotes) for _, _, is_held in group if is_held)
        yield number, QuotesRead(at_ns=at_ns, quotes=found)


def decode_candles(table: pa.Table) -> Iterator[tuple[int, CandleLoaded]]:
    """The candles of rows of `CANDLES` with their numbers."""
    names = table.column_names[3:10]
    columns = zip(*(_values(table[name]) for name in names), strict=True)
    complete = table["complete"].to_pylist()
    owners = zip(_values(table["sequence"]), _values(table["at_ns"]), strict=True)
    for (number, at_ns), instrument, figures, whole in zip(
        owners, _instruments(table["instrument"]), columns, complete, strict=True
    ):
        terms = dict(zip(names, figures, strict=True))
        candle = Candle(instrument=instrument, complete=whole, **terms)
        yield number, CandleLoaded(at_ns=at_ns, candle=candle)


def _ticks(table: pa.Table) -> Iterator[Tick]:
    rows = zip(
        _values(table["at_ns"]),
        _instruments(table["instrument"]),
        _values(table["last_paise"]),
        _optional(table["venue_at_ns"]),
        _values(table["volume"]),
        _values(table["oi"]),
        _levels(table, "bid"),
        _levels(table, "ask"),
        _values(table["count"]),
        zip(*(_optional(table[name]) for name in _MERGED), strict=True),
        strict=True,
    )
    for at_ns, instrument, last, venue, volume, oi, bids, asks, count, merged in rows:
        if merged == _UNMERGED and count == 1:
            yield Tick(
                at_ns=at_ns,
                instrument=instrument,
                last_paise=last,
                venue_at_ns=venue,
                volume=volume,
                oi=oi,
                bids=bids,
                asks=asks,
            )
        else:
            yield Tick(
                at_ns=at_ns,
                instrument=instrument,
                last_paise=last,
                venue_at_ns=venue,
                volume=volume,
                oi=oi,
                bids=bids,
                asks=asks,
                count=count,
                **dict(zip(_MERGED, merged, strict=True)),
            )


_UNMERGED: Final = (None,) * len(_MERGED)


def _values(column: pa.ChunkedArray) -> list[int]:
    """A column's numbers, 0 where null."""
    values: list[int] = whole_numbers(column).tolist()
    return values


def _optional(column: pa.ChunkedArray) -> Sequence[int | None]:
    if column.null_count == len(column):
        return (None,) * len(column)
    values = _values(column)
    if not column.null_count:
        return values
    valid = pc.is_valid(column).to_pylist()
    return [value if is_valid else None for value, is_valid in zip(values, valid, strict=True)]


def _instruments(column: pa.ChunkedArray) -> list[InstrumentId]:
    indices, texts = _distinct(column)
    names = [InstrumentId(text) for text in texts]
    return [names[index] for index in indices.tolist()]


def _levels(table: pa.Table, side: str) -> Iterator[tuple[Level, ...]]:
    """The book of one side, row by row: the levels before the first absent one."""
    names = level_names(side)
    pairs = [
        zip(_values(table[price]), _values(table[quantity]), strict=True)
        for price, quantity in zip(names[::2], names[1::2], strict=True)
    ]
    books = zip(*pairs, strict=True)
    held = np.zeros(table.num_rows, np.int64)
    for name in names[::2]:
        held += pc.is_valid(table[name]).to_numpy()
    return (book[:count] for book, count in zip(books, held.tolist(), strict=True))


def whole_numbers(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """A column of numbers or truths as int64, 0 where null."""
    filled = (
        pc.fill_null(column.cast(pa.int64()), 0) if column.null_count else column.cast(pa.int64())
    )
    numbers: npt.NDArray[np.int64] = filled.to_numpy()
    return numbers


def _distinct(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Indices into the distinct texts in order of appearance, and those texts; 0 where null."""
    encoded = pc.dictionary_encode(column.combine_chunks())
    return whole_numbers(pa.chunked_array([encoded.indices])), encoded.dictionary.to_pylist()


def content_sha256(table: pa.Table, flag: Stops | None = None) -> str:
    """The hash of the rows' canonical content, in hex. Raises `Interrupted` once `flag` is set."""
    digest = hashlib.sha256()
    for name in table.column_names:
        require_going(flag, "hashing a tape")
        column = table[name]
        digest.update(name.encode())
        digest.update(np.packbits(pc.is_valid(column).to_numpy()).tobytes())
        if pa.types.is_string(column.type):
            numbers, texts = _distinct(column)
            digest.update("\0".join(texts).encode())
        else:
            numbers = whole_numbers(column)
        digest.update(numbers.astype("<i8", copy=False).tobytes())
    return digest.hexdigest()


def warm() -> None:
    """Have the libraries load what they load at first use: 30 ms that no batch of a day may take."""
    content_sha256(pa.Table.from_batches([encode_ticks(())]))


class Kind(NamedTuple):
    """How the tape events of one type are written and read."""

    name: str
    schema: pa.Schema
    encode: Callable[[Sequence[tuple[int, Any]]], pa.RecordBatch]
    decode: Callable[[pa.Table], Iterator[Numbered]]


KINDS: Final[dict[type[TapeEvent], Kind]] = {
    CandleLoaded: Kind("candles", CANDLES, encode_candles, decode_candles),
    QuotesRead: Kind("quotes", QUOTES, encode_quotes, decode_quotes),
    Tick: Kind("ticks", TICKS, encode_ticks, decode_ticks),
}
"""Every type of tape event, in the order in which one flush writes them."""

KINDS_BY_NAME: Final = {kind.name: kind for kind in KINDS.values()}
