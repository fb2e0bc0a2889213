"""Recorded minutes of the NIFTY, as candles."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from holdfast.core.settings import SECOND_NS
from holdfast.domain.instrument import Segment, instrument_id
from holdfast.domain.market import Candle

IST_NS = 19_800 * SECOND_NS
DAY_NS = 86_400 * SECOND_NS
OPEN_NS = (9 * 3_600 + 15 * 60) * SECOND_NS
CLOSE_NS = (15 * 3_600 + 30 * 60) * SECOND_NS
NIFTY = instrument_id(Segment.IDX_I, 13)


@pytest.fixture(scope="session")
def nifty_minutes(shared_data: Path) -> list[Candle]:
    """Every minute of regular hours from January to June 2024, oldest first."""
    table = pq.read_table(shared_data / "01_index" / "nifty_1m_2024.parquet")
    ist_ns = table["ts"].cast("int64").to_numpy() * 1_000
    prices = [np.rint(table[name].to_numpy() * 100).astype(np.int64).tolist() for name in _PRICES]
    return [
        Candle(
            instrument=NIFTY,
            interval_s=60,
            start_ns=at - IST_NS,
            open_paise=open_,
            high_paise=high,
            low_paise=low,
            close_paise=close,
        )
        for at, open_, high, low, close in zip(ist_ns.tolist(), *prices, strict=True)
        if OPEN_NS <= at % DAY_NS < CLOSE_NS
    ]


_PRICES = ("open", "high", "low", "close")
