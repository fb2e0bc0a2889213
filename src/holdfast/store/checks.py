"""What a tape must satisfy before anybody trades on it; the first row that does not is named.

A flaw is data that no feed of ours writes: it came from outside, or the file was damaged.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from holdfast.domain.errors import DataRefused
from holdfast.store.columns import DEPTH, level_names, whole_numbers

EARLIEST_NS: Final = 946_684_800 * 1_000_000_000
"""2000-01-01 UTC. A stamp before it comes from a clock that was never set (1970) or from a zero."""

Mask = npt.NDArray[np.bool_]


class Flaw(NamedTuple):
    """Rows that are wrong, and what is wrong with them."""

    wrong: Mask
    what: str


def require_sound(path: Path, kind: str, table: pa.Table, instruments: frozenset[str]) -> None:
    """Raise `DataRefused` at the first row that is wrong. `instruments` are those of the header."""
    for flaw in CHECKS[kind](table):
        _refuse_first(path, table, flaw)
    named = pc.unique(table["instrument"]).to_pylist()
    for name in named:
        if name is not None and name not in instruments:
            stranger = pc.equal(table["instrument"], name).fill_null(False)  # noqa: FBT003
            what = f"instrument {name} is not in the header"
            _refuse_first(path, table, Flaw(stranger.to_numpy(), what))


def _refuse_first(path: Path, table: pa.Table, flaw: Flaw) -> None:
    if not flaw.wrong.any():
        return
    row = int(flaw.wrong.argmax())
    raise DataRefused(
        f"{path}: row {row + 1} (sequence {table['sequence'][row].as_py()})",
        flaw.what,
        "import or record the tape again; `holdfast tape import` says what it drops and why",
    )


def _tick_flaws(table: pa.Table) -> Iterator[Flaw]:
    yield from _absent(table, "sequence", "at_ns", "instrument", "last_paise", "volume", "oi")
    numbers, at_ns = whole_numbers(table["sequence"]), whole_numbers(table["at_ns"])
    yield Flaw(_falls(numbers, strictly=False), "the sequence number repeats")
    yield Flaw(_falls(numbers), "the sequence goes back")
    yield Flaw(at_ns < EARLIEST_NS, "stamped before the year 2000")
    yield Flaw(_goes_back(at_ns, whole_numbers(table["count"])), "its time goes back")
    yield from _quote_flaws(table)


def _quote_flaws(table: pa.Table) -> Iterator[Flaw]:
    yield Flaw(_below(table, "last_paise", 1), "the last price is zero or negative")
    yield Flaw(_below(table, "venue_at_ns", EARLIEST_NS), "traded before the year 2000")
    yield Flaw(_below(table, "volume", 0) | _below(table, "oi", 0), "a negative volume or interest")
    yield Flaw(_below(table, "count", 1), "it stands for no tick at all")
    for side in ("bid", "ask"):
        yield from _level_flaws(table, side)


def _level_flaws(table: pa.Table, side: str) -> Iterator[Flaw]:
    names = level_names(side)
    before: Mask = np.ones(table.num_rows, dtype=np.bool_)
    for level in range(DEPTH):
        price, quantity = names[2 * level : 2 * level + 2]
        yield Flaw(_below(table, price, 1), f"{price} is zero or negative")
        yield Flaw(_below(table, quantity, 0), f"{quantity} is negative")
        held = _held(table, price)
        yield Flaw(held != _held(table, quantity), f"{price} without quantity, or the reverse")
        yield Flaw(held & ~before, f"{price} stands behind an empty level")
        before = held


def _read_flaws(table: pa.Table) -> Iterator[Flaw]:
    yield from _absent(table, "sequence", "read_at_ns")
    yield Flaw(_falls(whole_numbers(table["sequence"])), "the sequence goes back")
    yield Flaw(_below(table, "read_at_ns", EARLIEST_NS), "stamped before the year 2000")
    yield Flaw(_below(table, "at_ns", EARLIEST_NS), "stamped before the year 2000")
    yield from _quote_flaws(table)


def _candle_flaws(table: pa.Table) -> Iterator[Flaw]:
    yield from _absent(table, *table.column_names)
    numbers = whole_numbers(table["sequence"])
    yield Flaw(_falls(numbers, strictly=False), "the sequence number repeats")
    yield Flaw(_falls(numbers), "the sequence goes back")
    yield Flaw(_below(table, "at_ns", EARLIEST_NS), "stamped before the year 2000")
    yield Flaw(_below(table, "start_ns", EARLIEST_NS), "begins before the year 2000")
    yield Flaw(_below(table, "interval_s", 1), "its interval is no time at all")
    yield Flaw(_below(table, "low_paise", 1), "a price is zero or negative")
    first, high, low, last = (
        whole_numbers(table[f"{name}_paise"]) for name in ("open", "high", "low", "close")
    )
    yield Flaw(
        (high < np.maximum(first, last)) | (low > np.minimum(first, last)),
        "open or close lies outside high and low",
    )


CHECKS: Final[dict[str, Callable[[pa.Table], Iterator[Flaw]]]] = {
    "ticks": _tick_flaws,
    "quotes": _read_flaws,
    "candles": _candle_flaws,
}


def _absent(table: pa.Table, *names: str) -> Iterator[Flaw]:
    for name in names:
        yield Flaw(~_held(table, name), f"{name} is empty")


def _held(table: pa.Table, name: str) -> Mask:
    held: Mask = pc.is_valid(table[name]).to_numpy()
    return held


def _below(table: pa.Table, name: str, least: int) -> Mask:
    """Rows that hold a value less than `least`; an empty cell is not one."""
    below: Mask = whole_numbers(table[name]) < least
    return below & _held(table, name) if table[name].null_count else below


def _falls(numbers: npt.NDArray[np.int64], *, strictly: bool = True) -> Mask:
    """Rows below the one before them, or (not `strictly`) equal to it."""
    step = np.diff(numbers, prepend=numbers[:1] - 1)
    return step < 0 if strictly else step == 0


def _goes_back(at_ns: npt.NDArray[np.int64], count: npt.NDArray[np.int64]) -> Mask:
    """Rows earlier than a single tick before them.

    A merged tick carries the time of its last part but stands in the place of its first, so it may
    be later than its followers; single ticks are received in order.
    """
    single = np.where(count == 1, at_ns, np.iinfo(np.int64).min)
    return at_ns < np.maximum.accumulate(single)
