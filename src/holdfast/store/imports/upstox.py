"""Imports a day of Upstox's full feed (five levels), recorded as one Parquet file.

What the recording lacks is added and said so in the tape's header; what it has wrong is mended by
a stated rule and counted, or refused with its row. The rules:

- The receive clock (`ts`) is moved by the median of exchange time minus receive time over the first
  500 rows in order of receipt, so that the lag of a packet is about what it was.
- Rows equal in every column are one row. A packet repeated at another time stays: it proves that
  the connection lived.
- Rows of one instrument received out of order by less than five seconds are sorted.
- A packet that was overtaken on its way (exchange time or day's volume below what the instrument
  already had) keeps its book and price, but claims neither an older trade nor less volume.
- Exchange times are cut to whole seconds, as our feed sends them.
- The underlying is not in the recording: its ticks are the parity forward of one strike, call mid
  minus put mid plus strike, at each packet of either leg while both have two-sided books younger
  than five seconds. It is an index whose symbol says that it is synthetic.
- The recording names no security ids: they are the CRC-32 of the symbols.
"""

import hashlib
import re
import shutil
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from math import gcd
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from holdfast.domain.errors import DataRefused
from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    Kind,
    OptionType,
    Segment,
    instrument_id,
)
from holdfast.store.checks import EARLIEST_NS
from holdfast.store.columns import DEPTH, TICKS, level_names
from holdfast.store.segment import SEALED, TapeHeader, write_sealed
from holdfast.store.tape import SEGMENT_ROWS_MAX

OFFSET_ROWS: Final = 500
REORDER_NS_MAX: Final = 5_000_000_000
FRESH_NS: Final = 5_000_000_000

_SECOND_NS: Final = 1_000_000_000
_IST_NS: Final = (5 * 3600 + 30 * 60) * _SECOND_NS
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_OPTION: Final = re.compile(
    rf"(?P<underlying>[A-Z]+)(?P<month>\d\d(?:{'|'.join(_MONTHS)}))(?P<strike>\d+)(?P<type>CE|PE)$"
)
_LEVELS: Final = tuple(
    (f"{side}p{n}", f"{side}q{n}") for side in ("b", "a") for n in range(1, DEPTH + 1)
)
_TIMES: Final = ("ts", "ltt")
_FLOATS: Final = ("ltp", *(price for price, _ in _LEVELS))
_WHOLES: Final = ("vtt", *(quantity for _, quantity in _LEVELS))
_COLUMNS: Final = ("symbol", "oi", *_TIMES, *_FLOATS, *_WHOLES)

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class OptionTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What the recording does not say of the options of one underlying and expiry (ISO date)."""

    underlying: str
    expiry: str
    lot_size: int
    price_step_paise: int
    freeze_quantity: int


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, mended and written. Counts are rows; all of it stands in the header too."""

    target: str
    day: str
    instruments: int
    rows_read: int
    rows_written: int
    synthetic_ticks: int
    receive_clock_offset_ns: int
    duplicates_dropped: int
    repeats_kept: int
    sorted_rows: int
    overtaken_rows: int
    levels_dropped: int
    off_step_prices: int
    outside_day_range: int
    first_at_ns: int
    last_at_ns: int


class _Recording:
    """The recording on its way: rows of `table`, each with its place in the file, from 1.

    Exchange times and volumes are `venue_ns` and `volume` once they were made to rise.
    """

    def __init__(self, source: Path, table: pa.Table) -> None:
        self.source = source
        self.table = table
        self.row: Ints = np.arange(1, table.num_rows + 1)
        encoded = pc.dictionary_encode(table["symbol"].combine_chunks())
        self.symbols: list[str] = encoded.dictionary.to_pylist()
        self.symbol: Ints = encoded.indices.to_numpy().astype(np.int64)
        self.ts_ns = self._times("ts")
        self.venue_ns = self._times("ltt")
        self.volume: Ints = table["vtt"].to_numpy().astype(np.int64)

    def _times(self, name: str) -> Ints:
        stamps: Ints = self.table[name].cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy()
        return stamps - _IST_NS

    def floats(self, name: str) -> Floats:
        """A column of prices in rupees, NaN where empty."""
        values: Floats = self.table[name].cast(pa.float64()).to_numpy()
        return values

    def keep(self, at: Ints | Mask) -> None:
        """Keep or reorder rows."""
        self.table = self.table.take(pa.array(np.arange(len(self.row))[at]))
        self.row, self.symbol = self.row[at], self.symbol[at]
        self.ts_ns, self.venue_ns, self.volume = self.ts_ns[at], self.venue_ns[at], self.volume[at]

    def before(self) -> Ints:
        """For each row where the row of its instrument before it is; itself where none is."""
        by_symbol = np.argsort(self.symbol, kind="stable")
        before: Ints = np.arange(len(self.row))
        same = self.symbol[by_symbol[1:]] == self.symbol[by_symbol[:-1]]
        before[by_symbol[1:][same]] = by_symbol[:-1][same]
        return before

    def risen(self, values: Ints) -> Ints:
        """The highest value of each row's instrument so far."""
        risen = values.copy()
        for number in range(len(self.symbols)):
            own = self.symbol == number
            risen[own] = np.maximum.accumulate(values[own])
        return risen

    def refuse_first(self, wrong: Mask, what: str) -> None:
        """Raise `DataRefused` at the first row of the file that is wrong."""
        if wrong.any():
            raise DataRefused(
                f"{self.source}: row {self.row[wrong].min()}",
                what,
                "remove the row from the recording if you know better; it is not guessed at",
            )


class _Book(NamedTuple):
    """Prices in paise and quantities of every row, best level first; `held`: the level is there."""

    last: Ints
    price: Ints
    quantity: Ints
    held: Mask


def import_upstox_full(source: Path, target: Path, *, terms: Sequence[OptionTerms]) -> ImportReport:
    """Write the recording `source` as a tape into the new folder `target`, whole or not at all.

    Raises `DataRefused` when the recording has another form or a row that no rule covers, when an
    option is in none of the `terms`, or when `target` exists or cannot be written.
    """
    if target.exists():
        raise DataRefused(str(target), "exists already", "name a new folder, or remove this one")
    recording = _Recording(source, _load(source))
    counts = {"rows_read": len(recording.row)}
    _require_stamps(recording)
    counts |= _order(recording)
    counts |= _rebase(recording)
    counts |= _drop_duplicates(recording)
    counts |= _raise_overtaken(recording)
    book, dropped = _book(recording)
    contracts = _contracts(recording, book, terms)
    counts |= dropped | _snap(recording, book, contracts) | _outside(recording)
    forward = _forward(recording, book, contracts)
    table, instruments = _ticks(recording, book, contracts, forward)
    report = ImportReport(
        target=str(target),
        day=_day(recording),
        instruments=len(instruments),
        rows_written=table.num_rows,
        synthetic_ticks=0 if forward is None else len(forward.at),
        first_at_ns=int(recording.ts_ns[0]),
        last_at_ns=int(recording.ts_ns[-1]),
        **counts,
    )
    header = TapeHeader(
        kind="ticks",
        day=report.day,
        source=f"upstox-full {source.name} sha256 {hashlib.sha256(source.read_bytes()).hexdigest()}",
        notes=_notes(report, forward),
        instruments=instruments,
    )
    _write(target, table, header)
    return report


def _load(source: Path) -> pa.Table:
    try:
        with pq.ParquetFile(source) as file:
            names = file.schema_arrow.names
            missing = [name for name in _COLUMNS if name not in names]
            if missing:
                raise DataRefused(
                    str(source),
                    f"missing columns: {', '.join(missing)}",
                    "this is no recording in the form upstox-full; choose another --format",
                )
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise DataRefused(
            str(source),
            f"truncated, damaged or no Parquet file: {str(error).partition(chr(10))[0]}",
            "copy the recording again",
        ) from error
    _require_types(source, table)
    return table


def _require_types(source: Path, table: pa.Table) -> None:
    wanted = {
        **dict.fromkeys(_TIMES, (pa.types.is_timestamp, "times")),
        **dict.fromkeys(_FLOATS, (pa.types.is_floating, "prices in rupees")),
        **dict.fromkeys(_WHOLES, (pa.types.is_integer, "whole numbers")),
    }
    for name, (is_right, what) in wanted.items():
        kind = table.schema.field(name).type
        if not is_right(kind) or getattr(kind, "tz", None):
            raise DataRefused(
                str(source),
                f"column {name} holds {kind}, not {what} (naive IST for times)",
                "this is no recording in the form upstox-full; choose another --format",
            )
    for name in ("symbol", *_TIMES, *_WHOLES):
        if table[name].null_count:
            row = pc.index(pc.is_null(table[name]), value=True).as_py() + 1
            raise DataRefused(f"{source}: row {row}", f"{name} is empty", "remove the row")
    if not table.num_rows:
        raise DataRefused(str(source), "holds no row", "copy the recording again")


def _require_stamps(recording: _Recording) -> None:
    for name, stamps in (("ts", recording.ts_ns), ("ltt", recording.venue_ns)):
        recording.refuse_first(stamps < EARLIEST_NS, f"{name} is before the year 2000")
    days = (recording.ts_ns + _IST_NS) // (86_400 * _SECOND_NS)
    recording.refuse_first(days != days[0], "belongs to another day than row 1")


def _order(recording: _Recording) -> dict[str, int]:
    """Sort by receipt. The file may hold instrument after instrument; each must be in order."""
    behind = recording.risen(recording.ts_ns) - recording.ts_ns
    bound_s = REORDER_NS_MAX // _SECOND_NS
    recording.refuse_first(behind > REORDER_NS_MAX, f"ts goes back by more than {bound_s} s")
    recording.keep(np.argsort(recording.ts_ns, kind="stable"))
    return {"sorted_rows": int((behind > 0).sum())}


def _rebase(recording: _Recording) -> dict[str, int]:
    first = (recording.venue_ns - recording.ts_ns)[:OFFSET_ROWS]
    offset_ns = int(np.median(first))
    recording.ts_ns = recording.ts_ns + offset_ns
    return {"receive_clock_offset_ns": offset_ns}


def _drop_duplicates(recording: _Recording) -> dict[str, int]:
    before = recording.before()
    is_other = before != np.arange(len(before))
    twins = is_other & (recording.ts_ns == recording.ts_ns[before])
    seen: set[str] = set()
    keep = np.ones(len(before), dtype=np.bool_)
    for at in np.flatnonzero(twins | np.isin(np.arange(len(before)), before[twins])).tolist():
        said = repr(recording.table.slice(at, 1).to_pylist())
        keep[at] = said not in seen
        seen.add(said)
    recording.keep(keep)
    return {"duplicates_dropped": int((~keep).sum()), "repeats_kept": _repeats(recording)}


def _repeats(recording: _Recording) -> int:
    """Rows that tell nothing new of their instrument but that the connection lives."""
    before = recording.before()
    same = before != np.arange(len(before))
    for name in ("ltt", *_WHOLES):
        values = recording.table[name].cast(pa.int64()).to_numpy()
        same &= values == values[before]
    for name in (*_FLOATS, "oi"):
        prices = recording.floats(name)
        same &= (prices == prices[before]) | (np.isnan(prices) & np.isnan(prices[before]))
    return int(same.sum())


def _raise_overtaken(recording: _Recording) -> dict[str, int]:
    venue_ns, volume = recording.risen(recording.venue_ns), recording.risen(recording.volume)
    overtaken = (venue_ns > recording.venue_ns) | (volume > recording.volume)
    recording.venue_ns = venue_ns // _SECOND_NS * _SECOND_NS
    recording.volume = volume
    return {"overtaken_rows": int(overtaken.sum())}


def _book(recording: _Recording) -> tuple[_Book, dict[str, int]]:
    """Whole paise. A level is a price and a quantity, and stands behind no empty one."""
    last = recording.floats("ltp")
    recording.refuse_first(~(np.isfinite(last) & (last > 0)), "ltp is no price: empty, NaN or <= 0")
    price = np.stack([recording.floats(name) for name, _ in _LEVELS], axis=1)
    quantity = np.stack(
        [recording.table[name].cast(pa.int64()).to_numpy() for _, name in _LEVELS], axis=1
    )
    recording.refuse_first((quantity < 0).any(axis=1), "a level's quantity is negative")
    wrong = (price <= 0) | np.isinf(price)
    recording.refuse_first((wrong & (quantity > 0)).any(axis=1), "a level's price is <= 0 or infinite")
    whole = (quantity > 0) & np.isfinite(price)
    sides = whole.reshape(-1, 2, DEPTH)
    held = np.logical_and.accumulate(sides, axis=2).reshape(whole.shape)
    said = (quantity > 0) | np.isfinite(price)
    paise = np.where(held, np.rint(np.where(held, price, 0) * 100), 0).astype(np.int64)
    dropped = {"levels_dropped": int((said & ~held).sum())}
    return _Book(np.rint(last * 100).astype(np.int64), paise, quantity, held), dropped


def _contracts(
    recording: _Recording, book: _Book, terms: Sequence[OptionTerms]
) -> list[Instrument]:
    """One instrument per symbol of the recording, in the order of their numbers there."""
    made = []
    for number, symbol in enumerate(recording.symbols):
        option = _OPTION.match(symbol)
        if option is None:
            own = recording.symbol == number
            prices = np.concatenate([book.last[own], book.price[own][book.held[own]]])
            made.append(_equity(symbol, step_paise=int(np.gcd.reduce(prices))))
        else:
            made.append(_option(recording.source, option, terms))
    ids = [instrument.id for instrument in made]
    assert len(set(ids)) == len(ids), "CRC-32 tells the few symbols of a recording apart"
    return made


def _number(symbol: str) -> int:
    return zlib.crc32(symbol.encode())


def _equity(symbol: str, *, step_paise: int) -> Instrument:
    """A share; its step is the widest that all recorded prices lie on. It is not traded."""
    return Instrument(
        id=instrument_id(Segment.NSE_EQ, _number(symbol)),
        segment=Segment.NSE_EQ,
        security_id=_number(symbol),
        symbol=symbol,
        exchange=Exchange.NSE,
        kind=Kind.EQUITY,
        underlying=symbol,
        lot_size=1,
        price_step_paise=step_paise,
        freeze_quantity=0,
    )


def _option(source: Path, named: re.Match[str], terms: Sequence[OptionTerms]) -> Instrument:
    known = next((row for row in terms if (row.underlying, _month(row)) == named.group(1, 2)), None)
    if known is None:
        raise DataRefused(
            f"{source}: symbol {named.string}",
            f"no terms for options on {named['underlying']} that expire in {named['month']}",
            "add lot size, price step, freeze quantity and expiry of that month to the facts",
        )
    return Instrument(
        id=instrument_id(Segment.NSE_FNO, _number(named.string)),
        segment=Segment.NSE_FNO,
        security_id=_number(named.string),
        symbol=named.string,
        exchange=Exchange.NSE,
        kind=Kind.OPTION,
        underlying=named["underlying"],
        lot_size=known.lot_size,
        price_step_paise=known.price_step_paise,
        freeze_quantity=known.freeze_quantity,
        expiry=known.expiry,
        strike_paise=int(named["strike"]) * 100,
        option_type=OptionType(named["type"]),
    )


def _month(terms: OptionTerms) -> str:
    """An expiry as option symbols write it: `25DEC`."""
    expiry = date.fromisoformat(terms.expiry)
    return f"{expiry.year % 100:02d}{_MONTHS[expiry.month - 1]}"


def _snap(recording: _Recording, book: _Book, contracts: Sequence[Instrument]) -> dict[str, int]:
    """Move prices onto the contract's step, in place."""
    steps = np.array([contract.price_step_paise for contract in contracts])[recording.symbol]
    off_step = 0
    for prices, step in ((book.last, steps), (book.price, steps[:, None])):
        snapped = (prices + step // 2) // step * step
        off_step += int((snapped != prices).sum())
        prices[:] = snapped
    return {"off_step_prices": off_step}


def _outside(recording: _Recording) -> dict[str, int]:
    """Last prices outside the day's range of the same row: the feed's own, kept."""
    names = set(recording.table.column_names)
    if not {"d1_low", "d1_high"} <= names:
        return {"outside_day_range": 0}
    last = recording.floats("ltp")
    outside = (last < recording.floats("d1_low")) | (last > recording.floats("d1_high"))
    return {"outside_day_range": int(outside.sum())}


class _Forward(NamedTuple):
    """The synthetic underlying: behind which rows it ticks, at what price, traded when."""

    instrument: Instrument
    legs: tuple[Instrument, Instrument]
    at: Ints
    last: Ints
    venue_ns: Ints


def _forward(
    recording: _Recording, book: _Book, contracts: Sequence[Instrument]
) -> _Forward | None:
    """The parity forward of the pair that ticks most; `None` when no strike has both legs."""
    pair = _pair(recording, contracts)
    if pair is None:
        return None
    call, put = pair
    at = np.flatnonzero(np.isin(recording.symbol, pair))
    latest = [
        np.maximum.accumulate(np.where(recording.symbol[at] == leg, np.arange(len(at)), -1))
        for leg in pair
    ]
    both = (latest[0] >= 0) & (latest[1] >= 0)
    rows = [at[np.maximum(leg, 0)] for leg in latest]
    for leg in rows:
        both &= recording.ts_ns[at] - recording.ts_ns[leg] <= FRESH_NS
        both &= book.held[leg, 0] & book.held[leg, DEPTH]
    calls, puts = (book.price[leg, 0] + book.price[leg, DEPTH] for leg in rows)
    strike_paise = contracts[call].strike_paise
    assert strike_paise is not None, "an option has a strike"
    last = (calls - puts + 2 * strike_paise) // 2
    both &= last > 0
    venue_ns = np.maximum(recording.venue_ns[rows[0]], recording.venue_ns[rows[1]])
    return _Forward(
        _index(contracts[call].underlying),
        (contracts[call], contracts[put]),
        at[both],
        last[both],
        np.maximum.accumulate(venue_ns)[both],
    )


def _pair(recording: _Recording, contracts: Sequence[Instrument]) -> tuple[int, int] | None:
    """Call and put of one contract; of several pairs the one whose quieter leg ticks most."""
    ticks = np.bincount(recording.symbol, minlength=len(contracts))
    legs: dict[tuple[str, str | None, int | None], dict[OptionType, int]] = {}
    for number, contract in enumerate(contracts):
        if contract.option_type is not None:
            key = contract.underlying, contract.expiry, contract.strike_paise
            legs.setdefault(key, {})[contract.option_type] = number
    pairs = [(leg[OptionType.CALL], leg[OptionType.PUT]) for leg in legs.values() if len(leg) == 2]
    return max(
        pairs,
        key=lambda pair: (min(ticks[pair[0]], ticks[pair[1]]), -(contracts[pair[0]].strike_paise or 0)),
        default=None,
    )


def _index(underlying: str) -> Instrument:
    symbol = f"{underlying} (synthetic)"
    return Instrument(
        id=instrument_id(Segment.IDX_I, _number(symbol)),
        segment=Segment.IDX_I,
        security_id=_number(symbol),
        symbol=symbol,
        exchange=Exchange.NSE,
        kind=Kind.INDEX,
        underlying=underlying,
        lot_size=0,
        price_step_paise=0,
        freeze_quantity=0,
    )


def _ticks(
    recording: _Recording,
    book: _Book,
    contracts: Sequence[Instrument],
    forward: _Forward | None,
) -> tuple[pa.Table, tuple[Instrument, ...]]:
    """Rows of `TICKS`, numbered from 1; a synthetic tick follows the packet that moved it."""
    count = len(recording.row)
    oi = np.nan_to_num(recording.floats("oi")).astype(np.int64)
    columns: dict[str, Ints] = {
        "at_ns": recording.ts_ns,
        "instrument": recording.symbol,
        "last_paise": book.last,
        "venue_at_ns": recording.venue_ns,
        "volume": recording.volume,
        "oi": oi,
    }
    names = [*level_names("bid"), *level_names("ask")]
    for number in range(2 * DEPTH):
        columns[names[2 * number]] = book.price[:, number]
        columns[names[2 * number + 1]] = book.quantity[:, number]
    order: Ints = np.arange(count)
    held = book.held
    instruments = list(contracts)
    if forward is not None:
        instruments.append(forward.instrument)
        extra = {
            "at_ns": recording.ts_ns[forward.at],
            "instrument": np.full(len(forward.at), len(contracts)),
            "last_paise": forward.last,
            "venue_at_ns": forward.venue_ns,
        }
        nothing: Ints = np.zeros(len(forward.at), np.int64)
        columns = {
            name: np.concatenate([values, extra.get(name, nothing)])
            for name, values in columns.items()
        }
        held = np.concatenate([held, np.zeros((len(forward.at), 2 * DEPTH), np.bool_)])
        order = np.argsort(np.concatenate([2 * order, 2 * forward.at + 1]))
    return _table(columns, held, order, instruments), _sorted(instruments)
