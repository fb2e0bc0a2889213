"""Expiries, lots and limits of the index contracts against what was recorded."""

import csv
import datetime as dt
import gzip
import io
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from holdfast.domain.errors import UnknownDay
from holdfast.domain.instrument import Exchange
from holdfast.facts.contracts import ContractTerms, Cycle
from holdfast.facts.load import contract_terms

UNDERLYINGS = ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "SENSEX", "BANKEX")
FIRST = dt.date(2024, 1, 1)
LAST = dt.date(2026, 12, 31)

Listed = tuple[str, dt.date, int]
"""One row of a master: underlying, expiry, lot."""


def terms_of(underlying: str) -> ContractTerms:
    """The terms with every expiry of the three years."""
    return contract_terms(underlying, FIRST)


def test_nifty_expires_as_the_bhavcopies_prove(shared_data: Path) -> None:
    """All 140 proven NIFTY expiries of 2024-2026: day, cycle and lot, and none between them."""
    table = pq.read_table(shared_data / "07_calendar" / "nse_actual_expiry_calendar.parquet")
    proven = {
        dt.date.fromisoformat(row["actual_expiry_date"]): (row["expiry_type"], row["market_lot"])
        for row in table.to_pylist()
        if row["actual_expiry_date"] >= str(FIRST)
    }
    assert len(proven) == 140
    ours = {e.day: (str(e.cycle), e.lot_size) for e in terms_of("NIFTY").expiries}
    assert {day: ours.get(day) for day in proven} == proven
    # The list is complete up to the August expiry; of later contracts only the monthly one stood.
    complete_until = dt.date(2026, 8, 25)
    assert [day for day in ours if day <= complete_until and day not in proven] == []


def _bhavcopies(shared_data: Path) -> list[dict[str, Any]]:
    columns = ["TradDt", "TckrSymb", "XpryDt", "NewBrdLotQty"]
    path = shared_data / "02_options_minute" / "nse_fo_bhavcopy_index_daily.parquet"
    rows: list[dict[str, Any]] = (
        pq.read_table(path, columns=columns).group_by(columns).aggregate([]).to_pylist()
    )
    return [row for row in rows if row["TckrSymb"] in UNDERLYINGS]


def test_the_next_expiry_is_the_nearest_that_was_listed(shared_data: Path) -> None:
    """On 44 days of 2025 and 2026 and four underlyings; the exceptions are one day's.

    On 1 January 2025 three underlyings still listed their old weekdays: the change to Thursday
    was made in the evening. Our rows go by the day an expiry is due.
    """
    nearest: dict[tuple[str, dt.date], dt.date] = {}
    for row in _bhavcopies(shared_data):
        key, expiry = (row["TckrSymb"], row["TradDt"].date()), row["XpryDt"].date()
        nearest[key] = min(expiry, nearest.get(key, expiry))
    assert len(nearest) == 44 * 4
    differing = {
        key: expiry
        for key, expiry in nearest.items()
        if contract_terms(*key).next_expiry(key[1]) != expiry
    }
    new_year = dt.date(2025, 1, 1)
    assert differing == {
        ("BANKNIFTY", new_year): dt.date(2025, 1, 29),
        ("FINNIFTY", new_year): dt.date(2025, 1, 28),
        ("MIDCPNIFTY", new_year): dt.date(2025, 1, 27),
    }


def _listed_in_bhavcopies(shared_data: Path) -> Iterator[Listed]:
    for row in _bhavcopies(shared_data):
        yield row["TckrSymb"], row["XpryDt"].date(), row["NewBrdLotQty"]


def _listed_in_dump(name: str, shared_data: Path) -> Iterator[Listed]:
    with gzip.open(shared_data / "04_instruments" / name, "rt") as lines:
        for row in csv.DictReader(lines):
            if row["expiry"]:
                yield row["name"], dt.date.fromisoformat(row["expiry"]), int(row["lot_size"])


def _listed_at_upstox(shared_data: Path) -> Iterator[Listed]:
    table = pq.read_table(shared_data / "04_instruments" / "upstox_index_fo_2025-12-18.parquet")
    ist = dt.timezone(dt.timedelta(hours=5, minutes=30))
    for row in table.to_pylist():
        if "_FO" in row["segment"]:
            expiry = dt.datetime.fromtimestamp(row["expiry"] / 1_000, ist).date()
            yield row["name"], expiry, int(row["lot_size"])


def _listed_at_icici(shared_data: Path) -> Iterator[Listed]:
    names = {"BSESEN": "SENSEX", "BANKEX": "BANKEX"}
    master = shared_data / "04_instruments" / "icici_security_master_2026-07-30.zip"
    with zipfile.ZipFile(master) as files, files.open("FOBSEScripMaster.txt") as raw:
        for row in csv.DictReader(io.TextIOWrapper(raw, "utf-8")):
            if row["ShortName"] in names:
                expiry = dt.datetime.strptime(row["ExpiryDate"], "%d-%b-%Y").date()  # noqa: DTZ007
                yield names[row["ShortName"]], expiry, int(row["LotSize"])


# Long-dated contracts that carried their old lot until the evening of 30 December 2025
# (NSE/FAOP/70616), in dumps of before that day.
OLD_LOTS_OF_2025 = {
    ("NIFTY", dt.date(2026, 6, 30), 75),
    ("NIFTY", dt.date(2026, 9, 29), 75),
    ("NIFTY", dt.date(2026, 12, 29), 75),
    ("BANKNIFTY", dt.date(2026, 6, 30), 35),
    ("BANKNIFTY", dt.date(2026, 9, 29), 35),
}

# Expiries listed before the holiday list of their year, or before 15 January 2026 was made one.
MOVED_BY_LATER_HOLIDAYS = {
    ("NIFTY", dt.date(2026, 3, 31)),
    ("BANKNIFTY", dt.date(2026, 3, 31)),
    ("SENSEX", dt.date(2026, 3, 26)),
    ("SENSEX", dt.date(2026, 1, 15)),
}


RECORDINGS: dict[str, tuple[Callable[[Path], Iterator[Listed]], int, bool]] = {
    "bhavcopies of 44 days": (_listed_in_bhavcopies, 59, False),
    "Kite, NSE, 2025-11": (
        partial(_listed_in_dump, "kite_nfo_instruments_2025-11.csv.gz"),
        21,
        True,
    ),
    "Kite, BSE, 2025-09": (
        partial(_listed_in_dump, "kite_bfo_instruments_2025-09.csv.gz"),
        15,
        False,
    ),
    "Upstox, 2025-12-18": (_listed_at_upstox, 34, True),
    "Upstox, 2026-08": (partial(_listed_in_dump, "upstox_nse_complete_2026-08.csv.gz"), 18, False),
    "ICICI, 2026-07-30": (_listed_at_icici, 12, False),
}
"""What reads a recording, how many of its expiries we know, whether it is from before the change."""


@pytest.mark.parametrize("name", RECORDINGS)
def test_lots_are_those_of_the_recorded_masters(shared_data: Path, name: str) -> None:
    """Per underlying and expiry, six recordings; each disagreement is named above with its cause."""
    read, known, has_old_lots = RECORDINGS[name]
    rows = read(shared_data)
    listed = sorted({row for row in rows if row[0] in UNDERLYINGS and row[1] <= LAST})
    ours = {
        (u, expiry.day): expiry.lot_size for u in UNDERLYINGS for expiry in terms_of(u).expiries
    }
    compared = [row for row in listed if row[:2] in ours]
    assert len(compared) == known
    differing = {row for row in compared if ours[row[:2]] != row[2]}
    assert differing == (OLD_LOTS_OF_2025 if has_old_lots else set())
    missing = {row[:2] for row in listed} - ours.keys()
    if read is _listed_in_bhavcopies:
        # Eighteen were listed for weekdays that two later changes of rule took away.
        assert len(missing) == 18
        assert all(day.weekday() in {0, 1, 2, 3} for _, day in missing)
    else:
        assert missing <= MOVED_BY_LATER_HOLIDAYS


@pytest.mark.parametrize(
    ("underlying", "day", "expected"),
    [
        # NIFTY's weekly of 21 Oct 2025 moved off Muhurat to Monday.
        ("NIFTY", dt.date(2025, 10, 15), dt.date(2025, 10, 20)),
        ("NIFTY", dt.date(2026, 11, 18), dt.date(2026, 11, 23)),  # 24 Nov 2026 is a holiday
        # The last Thursday, then the first Tuesday.
        ("NIFTY", dt.date(2025, 8, 28), dt.date(2025, 8, 28)),
        ("NIFTY", dt.date(2025, 8, 29), dt.date(2025, 9, 2)),
        # The monthly week of a Wednesday weekly with a Thursday monthly has one expiry only.
        ("BANKNIFTY", dt.date(2024, 1, 22), dt.date(2024, 1, 25)),
        ("BANKNIFTY", dt.date(2024, 3, 21), dt.date(2024, 3, 27)),
        ("BANKNIFTY", dt.date(2024, 11, 14), dt.date(2024, 11, 27)),  # no weekly ones any more
        # 22 Jan 2024 became a holiday, and the Saturday before a full day (NSE/MSD/60340).
        ("MIDCPNIFTY", dt.date(2024, 1, 19), dt.date(2024, 1, 20)),
        ("FINNIFTY", dt.date(2024, 12, 27), dt.date(2024, 12, 31)),
        # SENSEX kept one Friday while its Tuesdays began.
        ("SENSEX", dt.date(2024, 12, 30), dt.date(2025, 1, 3)),
        ("SENSEX", dt.date(2025, 1, 4), dt.date(2025, 1, 7)),
        ("SENSEX", dt.date(2025, 9, 1), dt.date(2025, 9, 4)),
        ("SENSEX", dt.date(2025, 9, 26), dt.date(2025, 10, 1)),  # 2 Oct 2025 is a holiday
        ("BANKEX", dt.date(2025, 12, 1), dt.date(2025, 12, 24)),
    ],
)
def test_expiries_follow_the_rules_of_their_day(
    underlying: str, day: dt.date, expected: dt.date
) -> None:
    """Weekdays changed four times in three years; holidays move an expiry to the day before."""
    assert contract_terms(underlying, day).next_expiry(day) == expected


@pytest.mark.parametrize(
    ("underlying", "day", "lot_size", "freeze", "strike_step", "exchange"),
    [
        ("NIFTY", dt.date(2024, 4, 25), 50, 1_800, 50_00, Exchange.NSE),
        ("NIFTY", dt.date(2024, 4, 26), 25, 1_800, 50_00, Exchange.NSE),
        ("NIFTY", dt.date(2025, 1, 22), 75, 1_800, 50_00, Exchange.NSE),
        ("NIFTY", dt.date(2025, 1, 27), 25, 1_800, 50_00, Exchange.NSE),  # the January monthly
        ("NIFTY", dt.date(2026, 1, 1), 65, 1_800, 50_00, Exchange.NSE),
        ("BANKNIFTY", dt.date(2025, 9, 1), 35, 900, 100_00, Exchange.NSE),
        ("BANKNIFTY", dt.date(2026, 3, 27), 30, 600, 100_00, Exchange.NSE),
        ("FINNIFTY", dt.date(2026, 2, 2), 60, 1_800, 50_00, Exchange.NSE),
        ("FINNIFTY", dt.date(2026, 3, 27), 60, 1_200, 50_00, Exchange.NSE),
        ("MIDCPNIFTY", dt.date(2026, 3, 27), 120, 2_800, 25_00, Exchange.NSE),
        ("SENSEX", dt.date(2026, 3, 27), 20, 1_000, 100_00, Exchange.BSE),
        ("BANKEX", dt.date(2026, 3, 27), 30, 900, 100_00, Exchange.BSE),
    ],
)
def test_terms_are_those_of_the_day(
    *,
    underlying: str,
    day: dt.date,
    lot_size: int,
    freeze: int,
    strike_step: int,
    exchange: Exchange,
) -> None:
    """Lot of the nearest expiry, the first quantity refused, the strike step, the exchange."""
    terms = contract_terms(underlying, day)
    assert (terms.underlying, terms.day, terms.exchange) == (underlying, day.isoformat(), exchange)
    assert (terms.lot_size, terms.freeze_quantity) == (lot_size, freeze)
    assert (terms.price_step_paise, terms.strike_step_paise) == (5, strike_step)


@pytest.mark.parametrize("underlying", UNDERLYINGS)
def test_every_day_of_three_years_has_terms(underlying: str) -> None:
    """From any day on, expiries ascend, lie on trading days, and have a lot under the freeze."""
    for number in range(0, (dt.date(2026, 12, 29) - FIRST).days + 1, 7):
        day = FIRST + dt.timedelta(days=number)
        terms = contract_terms(underlying, day)
        days = [expiry.day for expiry in terms.expiries]
        assert days == sorted(set(days))
        assert days[0] >= day
        assert days[0] == terms.next_expiry(day)
        assert terms.expiries[0].lot_size == terms.lot_size < terms.freeze_quantity
    months = [e.day for e in terms_of(underlying).expiries if e.cycle is Cycle.MONTHLY]
    assert len(months) == 36
    assert len({(day.year, day.month) for day in months}) == 36


@pytest.mark.parametrize("day", [dt.date(2026, 12, 30), dt.date(2026, 12, 31)])
def test_an_expiry_beyond_the_calendar_is_unknown(day: dt.date) -> None:
    """The next Tuesday lies in 2027, whose holidays might move it."""
    with pytest.raises(UnknownDay, match=r"next expiry of NIFTY lies beyond the calendar"):
        contract_terms("NIFTY", day)
    december = contract_terms("NIFTY", dt.date(2026, 12, 1))
    with pytest.raises(UnknownDay, match=f"{day}"):
        december.next_expiry(day)


def test_terms_before_the_facts_are_unknown() -> None:
    """There is no guess for 2023."""
    with pytest.raises(UnknownDay, match="known from 2024-01-01 on"):
        contract_terms("NIFTY", dt.date(2023, 12, 29))
