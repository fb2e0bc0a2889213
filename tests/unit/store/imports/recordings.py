"""Recordings in Upstox's form, made small: what the imports' tests damage."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.store.imports.upstox import OptionTerms

DAY = "2025-12-15"
CALL, PUT = "BANKNIFTY25DEC59400CE", "BANKNIFTY25DEC59400PE"
SHARE = "BHARATFORG"
BEHIND = timedelta(seconds=5)
"""How far the receive clock is behind the exchange's."""

TERMS = [
    OptionTerms(
        underlying="BANKNIFTY",
        expiry="2025-12-30",
        lot_size=35,
        price_step_paise=5,
        freeze_quantity=601,
    )
]

Row = dict[str, Any]


def at(second: float) -> datetime:
    """A naive IST time this long after 10:00."""
    return datetime(2025, 12, 15, 10) + timedelta(seconds=second)  # noqa: DTZ001 as in the files


def row(symbol: str, second: float, price: float, **changes: Any) -> Row:
    """One packet, received at `second` by a clock that is behind; traded as it was received."""
    made: Row = {
        "ts": at(second),
        "symbol": symbol,
        "ltt": at(second) + BEHIND,
        "ltp": price,
        "vtt": int(second * 10),
        "oi": None if symbol == SHARE else 1_000.0,
    }
    for level in range(1, 6):
        made |= {
            f"bp{level}": round(price - 0.05 * level, 2),
            f"bq{level}": 35 * level,
            f"ap{level}": round(price + 0.05 * level, 2),
            f"aq{level}": 35 * level,
        }
    return made | changes


def a_minute() -> list[Row]:
    """Instrument after instrument, a packet of each every half second, as the files are laid."""
    return [
        row(symbol, n / 2 + offset, price + n % 5 * 0.05)
        for symbol, price, offset in ((SHARE, 1_405.5, 0.0), (CALL, 524.3, 0.1), (PUT, 498.15, 0.2))
        for n in range(120)
    ]


SCHEMA = pa.schema(
    [
        ("ts", pa.timestamp("us")),
        ("symbol", pa.large_string()),
        ("ltt", pa.timestamp("us")),
        ("ltp", pa.float64()),
        ("vtt", pa.int64()),
        ("oi", pa.float64()),
        *((f"{side}p{n}", pa.float64()) for side in "ba" for n in range(1, 6)),
        *((f"{side}q{n}", pa.int64()) for side in "ba" for n in range(1, 6)),
    ]
)


def written(folder: Path, rows: list[Row], schema: pa.Schema = SCHEMA) -> Path:
    """The rows as a file."""
    path = folder / "recording.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path
