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
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

from holdfast.domain.errors import DataRefused
from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    Kind,
    OptionType,
    Segment,
    instrument_id,
)
from holdfast.store.columns import TICKS, level_names
from holdfast.store.imports.parity import Forward, parity_forward
from holdfast.store.imports.recording import (
    IST_NS,
    SECOND_NS,
    Book,
    Counts,
    Ints,
    Recording,
    count_outside,
    drop_duplicates,
    load_table,
    order_rows,
    raise_overtaken,
    read_book,
    rebase_clock,
    require_stamps,
)
from holdfast.store.segment import SEALED, UNFINISHED, TapeHeader, write_sealed
from holdfast.store.tape import SEGMENT_ROWS_MAX

_MONTHS: Final = (
    "JAN",
    "FEB",
    "MAR",
    "APR",
    "MAY",
    "JUN",
    "JUL",
    "AUG",
    "SEP",
    "OCT",
    "NOV",
    "DEC",
)
_OPTION: Final = re.compile(
    rf"(?P<underlying>[A-Z]+)(?P<month>\d\d(?:{'|'.join(_MONTHS)}))(?P<strike>\d+)(?P<type>CE|PE)$"
)


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


def import_upstox_full(source: Path, target: Path, *, terms: Sequence[OptionTerms]) -> ImportReport:
    """Write the recording `source` as a tape into the new folder `target`, whole or not at all.

    Raises `DataRefused` when the recording has another form or a row that no rule covers, when an
    option is in none of the `terms`, or when `target` exists or cannot be written.
    """
    if target.exists():
        raise DataRefused(str(target), "exists already", "name a new folder, or remove this one")
    recording = Recording(source, load_table(source))
    counts = {"rows_read": len(recording.row)} | _mend(recording)
    book, dropped = read_book(recording)
    contracts = contracts_of(recording, book, terms)
    counts |= dropped | _snap(recording, book, contracts)
    forward = parity_forward(recording, book, contracts)
    instruments = [*contracts, *([] if forward is None else [_index(forward.legs[0].underlying)])]
    table = _rows(recording, book, forward, instruments)
    report = ImportReport(
        target=str(target),
        day=_day(int(recording.ts_ns[0])),
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
        source=f"upstox-full {source.name}, sha256 {hashlib.sha256(source.read_bytes()).hexdigest()}",
        notes=_notes(report, forward),
        instruments=tuple(sorted(instruments, key=_place)),
    )
    _write(target, table, header)
    return report


def _mend(recording: Recording) -> Counts:
    """Every rule that concerns rows, in the order in which they build on each other."""
    require_stamps(recording)
    counts = order_rows(recording)
    counts |= rebase_clock(recording)
    counts |= drop_duplicates(recording)
    counts |= count_outside(recording)
    return counts | raise_overtaken(recording)


def contracts_of(
    recording: Recording, book: Book, terms: Sequence[OptionTerms]
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


def _snap(recording: Recording, book: Book, contracts: Sequence[Instrument]) -> Counts:
    """Move prices onto the contract's step, in place."""
    steps = np.array([contract.price_step_paise for contract in contracts])[recording.symbol]
    off_step = 0
    for prices, step in ((book.last, steps), (book.price, steps[:, None])):
        snapped = (prices + step // 2) // step * step
        off_step += int((snapped != prices).sum())
        prices[:] = snapped
    return {"off_step_prices": off_step}


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


def _rows(
    recording: Recording, book: Book, forward: Forward | None, instruments: Sequence[Instrument]
) -> pa.Table:
    """Rows of `TICKS`, numbered from 1; a synthetic tick follows the packet that moved it."""
    names = pa.array([instrument.id for instrument in instruments], pa.string())
    columns: dict[str, pa.Array] = {
        "at_ns": pa.array(recording.ts_ns),
        "instrument": names.take(pa.array(recording.symbol)),
        "last_paise": pa.array(book.last),
        "venue_at_ns": pa.array(recording.venue_ns),
        "volume": pa.array(recording.volume),
        "oi": pa.array(np.nan_to_num(recording.floats("oi")).astype(np.int64)),
    }
    for number, name in enumerate([*level_names("bid"), *level_names("ask")]):
        values = (book.price, book.quantity)[number % 2][:, number // 2]
        absent = ~book.held[:, number // 2]
        columns[name] = pa.array(np.ascontiguousarray(values), mask=np.ascontiguousarray(absent))
    table = _filled(columns, len(recording.row))
    order = 2 * np.arange(table.num_rows)
    if forward is not None:
        count = len(forward.at)
        synthetic = {
            "at_ns": pa.array(recording.ts_ns[forward.at]),
            "instrument": names.take(pa.array(np.full(count, len(names) - 1))),
            "last_paise": pa.array(forward.last),
            "venue_at_ns": pa.array(forward.venue_ns),
        }
        table = pa.concat_tables([table, _filled(synthetic, count)])
        order = np.concatenate([order, 2 * forward.at + 1])
    table = table.take(pa.array(np.argsort(order)))
    return table.set_column(0, TICKS.field(0), pa.array(np.arange(1, table.num_rows + 1)))


def _filled(columns: dict[str, pa.Array], count: int) -> pa.Table:
    """A table of `TICKS` from the columns given: others are empty, or 0 (count: 1) where required."""
    zero: Ints = np.zeros(count, np.int64)
    rest = {
        field.name: pa.nulls(count, field.type) if field.nullable else pa.array(zero)
        for field in TICKS
    }
    return pa.table({**rest, "count": pa.array(zero + 1), **columns}, schema=TICKS)


def _place(instrument: Instrument) -> tuple[bool, bool, str, int, str]:
    """The underlying first, then options by strike, then the rest by name."""
    return (
        instrument.kind is not Kind.INDEX,
        instrument.kind is not Kind.OPTION,
        instrument.expiry or "",
        instrument.strike_paise or 0,
        instrument.symbol,
    )


def _day(at_ns: int) -> str:
    """The IST date of an instant."""
    return str((datetime.fromtimestamp((at_ns + IST_NS) // SECOND_NS, UTC)).date())


def _notes(report: ImportReport, forward: Forward | None) -> dict[str, str | int]:
    figures = msgspec.structs.asdict(report)
    notes = {name: figures[name] for name in figures if name not in ("target", "day")}
    if forward is not None:
        call, put = forward.legs
        notes["synthetic_underlying"] = (
            f"{call.underlying} is the parity forward of {call.symbol} and {put.symbol}: call mid "
            "minus put mid plus strike, at each packet of either while both have two-sided books "
            "younger than 5 s; traded when the later of both was; no book, no volume"
        )
    notes["receive_clock"] = (
        "moved by receive_clock_offset_ns, the median of exchange time minus receive time over "
        "the first 500 rows in order of receipt"
    )
    notes["security_ids"] = "not in the recording: CRC-32 of the symbol"
    return notes


def _write(target: Path, table: pa.Table, header: TapeHeader) -> None:
    """Write every segment into a folder beside the target, then give it its name."""
    unfinished = target.with_name(target.name + UNFINISHED)
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for number, start in enumerate(range(0, table.num_rows, SEGMENT_ROWS_MAX), 1):
            part = table.slice(start, SEGMENT_ROWS_MAX)
            write_sealed(unfinished / f"ticks-{number:04d}{SEALED}", part, header)
        unfinished.rename(target)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise DataRefused(
            str(target),
            f"the tape cannot be written: {error}",
            "choose a folder that can be written and has free space",
        ) from error
