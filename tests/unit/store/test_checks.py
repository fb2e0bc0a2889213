"""What a tape must satisfy: the first row that does not is named with what is wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from holdfast.domain.errors import DataRefused
from holdfast.domain.event import CandleLoaded, QuotesRead, TapeEvent
from holdfast.domain.market import Tick
from holdfast.store.checks import require_sound
from holdfast.store.columns import KINDS
from tests.unit.store.samples import CALL, INSTRUMENTS, T0, candle, merged, quotes, tick

KNOWN = frozenset(str(instrument.id) for instrument in INSTRUMENTS)
FILE = Path("ticks-0001.parquet")


def table(kind: type[TapeEvent], events: Sequence[TapeEvent]) -> pa.Table:
    """Rows numbered from 1."""
    return pa.Table.from_batches([KINDS[kind].encode(list(enumerate(events, 1)))])


def changed(rows: pa.Table, column: str, row: int, value: object) -> pa.Table:
    """One cell changed; `row` counts from 1, as in messages."""
    at = rows.column_names.index(column)
    values: list[Any] = rows[column].to_pylist()
    values[row - 1] = value
    return rows.set_column(at, column, pa.array(values, rows.schema.field(column).type))


TICK_FLAWS = [
    ("sequence", 11, "the sequence number repeats"),
    ("sequence", 5, "the sequence goes back"),
    ("sequence", None, "sequence is empty"),
    ("at_ns", T0, "its time goes back"),
    ("at_ns", 0, "stamped before the year 2000"),
    ("at_ns", 19_800 * 10**9, "stamped before the year 2000"),
    ("venue_at_ns", 0, "traded before the year 2000"),
    ("last_paise", 0, "the last price is zero or negative"),
    ("last_paise", -5, "the last price is zero or negative"),
    ("last_paise", None, "last_paise is empty"),
    ("bid1_paise", 0, "bid1_paise is zero or negative"),
    ("ask5_paise", -1, "ask5_paise is zero or negative"),
    ("ask2_quantity", -75, "ask2_quantity is negative"),
    ("bid1_quantity", None, "bid1_paise without quantity, or the reverse"),
    ("volume", -1, "a negative volume or interest"),
    ("count", 0, "it stands for no tick at all"),
    ("instrument", "NSE_FNO:1", "instrument NSE_FNO:1 is not in the header"),
    ("instrument", None, "instrument is empty"),
]


@pytest.mark.parametrize(("column", "value", "what"), TICK_FLAWS)
def test_a_flawed_tick_is_refused_with_its_row(column: str, value: object, what: str) -> None:
    """File, row and sequence number, what is wrong, and what to do."""
    rows = changed(table(Tick, [tick(number) for number in range(30)]), column, 12, value)
    with pytest.raises(DataRefused, match=what) as refusal:
        require_sound(FILE, "ticks", rows, KNOWN)
    assert refusal.value.where.startswith(f"{FILE}: row 12 (sequence ")
    assert "import or record the tape again" in refusal.value.remedy


def test_a_level_behind_an_empty_one_is_refused() -> None:
    """A book has no holes."""
    rows = table(Tick, [tick(number) for number in range(30)])
    for what in ("paise", "quantity"):
        rows = changed(rows, f"ask2_{what}", 12, None)
    with pytest.raises(DataRefused, match="ask3_paise stands behind an empty level"):
        require_sound(FILE, "ticks", rows, KNOWN)


def test_sound_rows_pass() -> None:
    """Also contracts that did not trade, one-sided books and merged ticks."""
    require_sound(FILE, "ticks", table(Tick, [tick(1), merged(2), tick(3)]), KNOWN)
    require_sound(FILE, "candles", table(CandleLoaded, [candle(1), candle(2)]), KNOWN)
    require_sound(FILE, "quotes", table(QuotesRead, [quotes(1), quotes(1, count=0)]), KNOWN)


def test_a_merged_tick_may_be_later_than_its_followers() -> None:
    """It bears its last part's time and stands in its first part's place."""
    late = Tick(at_ns=T0 + 10**9, instrument=CALL, last_paise=100, count=2)
    require_sound(FILE, "ticks", table(Tick, [tick(1), late, tick(3)]), KNOWN)
    single = Tick(at_ns=T0 + 10**9, instrument=CALL, last_paise=100)
    with pytest.raises(DataRefused, match=r"row 3 .*\n?.*time goes back"):
        require_sound(FILE, "ticks", table(Tick, [tick(1), single, tick(3)]), KNOWN)


CANDLE_FLAWS = [
    ("start_ns", 0, "begins before the year 2000"),
    ("interval_s", 0, "its interval is no time at all"),
    ("low_paise", 0, "a price is zero or negative"),
    ("high_paise", 2_599_600, "open or close lies outside high and low"),
    ("low_paise", 2_600_050, "open or close lies outside high and low"),
    ("sequence", 3, "the sequence number repeats"),
]


@pytest.mark.parametrize(("column", "value", "what"), CANDLE_FLAWS)
def test_a_flawed_candle_is_refused_with_its_row(column: str, value: object, what: str) -> None:
    """As ticks are."""
    rows = changed(table(CandleLoaded, [candle(number) for number in range(10)]), column, 4, value)
    with pytest.raises(DataRefused, match=what) as refusal:
        require_sound(FILE, "candles", rows, KNOWN)
    assert refusal.value.where.startswith(f"{FILE}: row 4 (sequence ")


QUOTE_FLAWS = [
    ("sequence", 1, "the sequence goes back"),
    ("read_at_ns", 5, "stamped before the year 2000"),
    ("last_paise", 0, "the last price is zero or negative"),
]


@pytest.mark.parametrize(("column", "value", "what"), QUOTE_FLAWS)
def test_a_flawed_quote_is_refused_with_its_row(column: str, value: object, what: str) -> None:
    """Quotes of one read share a number; they may not fall behind it."""
    rows = changed(table(QuotesRead, [quotes(n) for n in range(5)]), column, 5, value)
    with pytest.raises(DataRefused, match=what) as refusal:
        require_sound(FILE, "quotes", rows, KNOWN)
    assert refusal.value.where.startswith(f"{FILE}: row 5 (sequence ")
