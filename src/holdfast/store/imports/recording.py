"""A recording in Upstox's form as arrays, and the rules that mend or refuse its rows.

The rules are those that `imports/upstox.py` states. What a rule did is counted by name.
"""

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from holdfast.domain.errors import DataRefused
from holdfast.store.checks import EARLIEST_NS
from holdfast.store.columns import DEPTH

OFFSET_ROWS: Final = 500
REORDER_NS_MAX: Final = 5_000_000_000
SECOND_NS: Final = 1_000_000_000
IST_NS: Final = (5 * 3600 + 30 * 60) * SECOND_NS

_LEVELS: Final = tuple(
    (f"{side}p{n}", f"{side}q{n}") for side in ("b", "a") for n in range(1, DEPTH + 1)
)
_TIMES: Final = ("ts", "ltt")
_FLOATS: Final = ("ltp", *(price for price, _ in _LEVELS))
_WHOLES: Final = ("vtt", *(quantity for _, quantity in _LEVELS))
_COLUMNS: Final = ("symbol", "oi", *_TIMES, *_FLOATS, *_WHOLES)
_OTHER_FORM: Final = "this is no recording in the form upstox-full; choose another --format"

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Counts = dict[str, int]


class Recording:
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
        return stamps - IST_NS

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


class Book(NamedTuple):
    """Prices in paise and quantities of every row, best level first; `held`: the level is there."""

    last: Ints
    price: Ints
    quantity: Ints
    held: Mask


def load_table(source: Path) -> pa.Table:
    """Read the file whole. Raises `DataRefused` when it is damaged or has another form."""
    try:
        with pq.ParquetFile(source) as file:
            names = file.schema_arrow.names
            missing = [name for name in _COLUMNS if name not in names]
            if missing:
                raise DataRefused(
                    str(source), f"missing columns: {', '.join(missing)}", _OTHER_FORM
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
                _OTHER_FORM,
            )
    for name in ("symbol", *_TIMES, *_WHOLES):
        if table[name].null_count:
            row = pc.index(pc.is_null(table[name]), value=True).as_py() + 1
            raise DataRefused(f"{source}: row {row}", f"{name} is empty", "remove the row")
    if not table.num_rows:
        raise DataRefused(str(source), "holds no row", "copy the recording again")


def require_stamps(recording: Recording) -> None:
    """Refuse a clock that was never set, and a second day."""
    for name, stamps in (("ts", recording.ts_ns), ("ltt", recording.venue_ns)):
        recording.refuse_first(stamps < EARLIEST_NS, f"{name} is before the year 2000")
    days = (recording.ts_ns + IST_NS) // (86_400 * SECOND_NS)
    recording.refuse_first(days != days[0], "belongs to another day than row 1")


def order_rows(recording: Recording) -> Counts:
    """Sort by receipt. The file may hold instrument after instrument; each must be in order."""
    behind = recording.risen(recording.ts_ns) - recording.ts_ns
    bound_s = REORDER_NS_MAX // SECOND_NS
    recording.refuse_first(behind > REORDER_NS_MAX, f"ts goes back by more than {bound_s} s")
    recording.keep(np.argsort(recording.ts_ns, kind="stable"))
    return {"sorted_rows": int((behind > 0).sum())}


def rebase_clock(recording: Recording) -> Counts:
    """Move the receive clock to where the exchange's is at the median of the first rows."""
    first = (recording.venue_ns - recording.ts_ns)[:OFFSET_ROWS]
    offset_ns = int(np.median(first))
    recording.ts_ns = recording.ts_ns + offset_ns
    return {"receive_clock_offset_ns": offset_ns}


def drop_duplicates(recording: Recording) -> Counts:
    """Keep the first of rows that are equal in every column; count what merely repeats."""
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


def _repeats(recording: Recording) -> int:
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


def raise_overtaken(recording: Recording) -> Counts:
    """Let neither exchange time (cut to seconds) nor volume fall within an instrument."""
    venue_ns, volume = recording.risen(recording.venue_ns), recording.risen(recording.volume)
    overtaken = (venue_ns > recording.venue_ns) | (volume > recording.volume)
    recording.venue_ns = venue_ns // SECOND_NS * SECOND_NS
    recording.volume = volume
    return {"overtaken_rows": int(overtaken.sum())}


def read_book(recording: Recording) -> tuple[Book, Counts]:
    """Whole paise. A level is a price and a quantity, and stands behind no empty one."""
    last = recording.floats("ltp")
    recording.refuse_first(recording.volume < 0, "vtt is negative")
    recording.refuse_first(recording.floats("oi") < 0, "oi is negative")
    recording.refuse_first(~(np.isfinite(last) & (last > 0)), "ltp is no price: empty, NaN or <= 0")
    price = np.stack([recording.floats(name) for name, _ in _LEVELS], axis=1)
    quantity = np.stack(
        [recording.table[name].cast(pa.int64()).to_numpy() for _, name in _LEVELS], axis=1
    )
    in_any = np.logical_or.reduce
    recording.refuse_first(in_any(quantity < 0, axis=1), "a level's quantity is negative")
    wrong = ((price <= 0) | np.isinf(price)) & (quantity > 0)
    recording.refuse_first(in_any(wrong, axis=1), "a level's price is <= 0 or infinite")
    whole = (quantity > 0) & np.isfinite(price)
    sides = whole.reshape(-1, 2, DEPTH)
    held = np.logical_and.accumulate(sides, axis=2).reshape(whole.shape)
    said = (quantity > 0) | np.isfinite(price)
    paise = np.where(held, np.rint(np.where(held, price, 0) * 100), 0).astype(np.int64)
    dropped = {"levels_dropped": int((said & ~held).sum())}
    return Book(np.rint(last * 100).astype(np.int64), paise, quantity, held), dropped


def count_outside(recording: Recording) -> Counts:
    """Last prices outside the day's range of the same row: the feed's own, kept."""
    names = set(recording.table.column_names)
    if not {"d1_low", "d1_high"} <= names:
        return {"outside_day_range": 0}
    last = recording.floats("ltp")
    outside = (last < recording.floats("d1_low")) | (last > recording.floats("d1_high"))
    return {"outside_day_range": int(outside.sum())}
