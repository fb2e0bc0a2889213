"""The import of a day of Upstox's full feed: a tape like our own, with everything mended said."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from holdfast.domain.errors import DataRefused
from holdfast.domain.instrument import Kind, OptionType, Segment
from holdfast.store.imports.upstox import import_upstox_full
from holdfast.store.tape import read_tape
from tests.unit.store.imports.recordings import CALL, DAY, PUT, SHARE, TERMS, a_minute, written

RECORDED = "03_ticks/upstox_full_depth5_2025-12-15.parquet"


def test_a_recording_becomes_a_tape(tmp_path: Path) -> None:
    """Every row a tick, the underlying between them, numbers without a gap."""
    report = import_upstox_full(written(tmp_path, a_minute()), tmp_path / "tape", terms=TERMS)
    tape = read_tape(tmp_path / "tape")
    assert report.rows_read == 360
    assert report.synthetic_ticks == 239
    assert (report.rows_written, tape.tick_rows) == (599, 599)
    assert [number for number, _ in tape.events()] == list(range(1, 600))
    ticks = list(tape.ticks())
    assert (ticks[0].at_ns, ticks[-1].at_ns) == (report.first_at_ns, report.last_at_ns)
    assert [tick.at_ns for tick in ticks] == sorted(tick.at_ns for tick in ticks)
    assert list(tape.history()) == []
    assert report.day == tape.header.day == DAY


def test_instruments_are_described_and_the_underlying_is_marked(tmp_path: Path) -> None:
    """Index first, then options with their terms, then shares that cannot be traded."""
    import_upstox_full(written(tmp_path, a_minute()), tmp_path / "tape", terms=TERMS)
    index, call, put, share = read_tape(tmp_path / "tape").instruments
    assert (index.kind, index.segment, index.underlying) == (Kind.INDEX, Segment.IDX_I, "BANKNIFTY")
    assert index.symbol == "BANKNIFTY (synthetic)"
    assert (call.symbol, call.option_type, call.strike_paise) == (CALL, OptionType.CALL, 5_940_000)
    assert (put.symbol, put.option_type, put.expiry) == (PUT, OptionType.PUT, "2025-12-30")
    assert (call.lot_size, call.price_step_paise, call.freeze_quantity) == (35, 5, 601)
    assert (share.symbol, share.kind, share.freeze_quantity) == (SHARE, Kind.EQUITY, 0)
    assert share.price_step_paise == 5


def test_the_underlying_follows_the_packet_that_moved_it(tmp_path: Path) -> None:
    """At the same instant, right behind it, without a book and without volume."""
    import_upstox_full(written(tmp_path, a_minute()), tmp_path / "tape", terms=TERMS)
    tape = read_tape(tmp_path / "tape")
    index, call, put, _ = tape.instruments
    ticks = list(tape.ticks())
    for before, tick in pairwise(ticks):
        if tick.instrument == index.id:
            assert before.instrument in (call.id, put.id)
            assert before.at_ns == tick.at_ns
            assert (tick.bids, tick.asks, tick.volume) == ((), (), 0)


def test_what_was_done_stands_in_the_header(tmp_path: Path) -> None:
    """The offset of the clock, the underlying, the ids, each count, and which file it was."""
    report = import_upstox_full(written(tmp_path, a_minute()), tmp_path / "tape", terms=TERMS)
    header = read_tape(tmp_path / "tape").header
    assert header.notes["receive_clock_offset_ns"] == report.receive_clock_offset_ns == 5 * 10**9
    assert "parity forward" in str(header.notes["synthetic_underlying"])
    assert "CRC-32" in str(header.notes["security_ids"])
    assert header.notes["duplicates_dropped"] == 0
    assert header.source.startswith("upstox-full recording.parquet, sha256 ")


def test_prices_off_the_step_are_moved_onto_it_and_counted(tmp_path: Path) -> None:
    """To the nearest step of five paise."""
    rows = a_minute()
    rows[125]["ltp"], rows[126]["bp1"] = 524.32, 524.28
    report = import_upstox_full(written(tmp_path, rows), tmp_path / "tape", terms=TERMS)
    assert report.off_step_prices == 2
    tape = read_tape(tmp_path / "tape")
    call = [tick for tick in tape.ticks() if tick.instrument == tape.instruments[1].id]
    assert (call[5].last_paise, call[6].bid_paise) == (52_430, 52_430)


BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("a bad price", {"ltp": 0.0}, r"recording.parquet: row 51: ltp is no price"),
    ("no terms", {"symbol": "NIFTY25DEC26000CE"}, "no terms for options on NIFTY"),
    ("terms of another month", {"symbol": CALL.replace("DEC", "NOV")}, "expire in 25NOV"),
]


@pytest.mark.parametrize(
    ("change", "what"), [pytest.param(change, what, id=name) for name, change, what in BROKEN]
)
def test_a_refused_recording_leaves_nothing(
    tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    """Neither a tape nor half of one."""
    rows = a_minute()
    rows[50] |= change
    source = written(tmp_path, rows)
    with pytest.raises(DataRefused, match=what):
        import_upstox_full(source, tmp_path / "tape", terms=TERMS)
    assert list(tmp_path.iterdir()) == [source]


def test_an_existing_tape_is_not_written_over(tmp_path: Path) -> None:
    """It may be the only one."""
    source = written(tmp_path, a_minute())
    (tmp_path / "tape").mkdir()
    with pytest.raises(DataRefused, match="exists already"):
        import_upstox_full(source, tmp_path / "tape", terms=TERMS)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """With the remedy, and nothing is left."""
    source = written(tmp_path, a_minute())
    with pytest.raises(DataRefused, match="choose a folder that can be written"):
        import_upstox_full(source, source / "tape", terms=TERMS)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.timeout(60)
def test_the_recorded_day_is_imported_whole(shared_data: Path, tmp_path: Path) -> None:
    """184,690 rows of 2025-12-15: what README of the data says of them is what is counted."""
    report = import_upstox_full(shared_data / RECORDED, tmp_path / "tape", terms=TERMS)
    tape = read_tape(tmp_path / "tape")
    assert report.rows_read >= 184_690
    assert report.rows_read - report.duplicates_dropped + report.synthetic_ticks == tape.tick_rows
    assert report.receive_clock_offset_ns == 5_093_000_000
    assert report.duplicates_dropped == 5
    assert report.overtaken_rows == 11
    assert report.off_step_prices == report.levels_dropped == report.sorted_rows == 0
    assert report.synthetic_ticks >= 50_000
    assert len(tape.instruments) == 9
    assert tape.instruments[0].symbol == "BANKNIFTY (synthetic)"

    ticks = list(tape.ticks())
    at_ns = [tick.at_ns for tick in ticks]
    gaps = [after - before for before, after in pairwise(at_ns)]
    longest = sorted(round(gap / 10**9, 1) for gap in gaps if gap > 30 * 10**9)
    assert {39.0, 74.1, 91.2, 124.4} <= set(longest)
    index = [tick for tick in ticks if tick.instrument == tape.instruments[0].id]
    assert all(5_850_000 < tick.last_paise < 6_050_000 for tick in index)
    assert all(tick.venue_at_ns is not None and tick.venue_at_ns % 10**9 == 0 for tick in ticks)
