"""The rules for rows of a recording: mended and counted, or refused with their row."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from holdfast.domain.errors import DataRefused
from holdfast.store.imports.recording import (
    Recording,
    drop_duplicates,
    load_table,
    order_rows,
    raise_overtaken,
    read_book,
    rebase_clock,
    require_stamps,
)
from tests.unit.store.imports.recordings import (
    CALL,
    SCHEMA,
    SHARE,
    Row,
    a_minute,
    at,
    row,
    written,
)


def loaded(folder: Path, rows: list[Row]) -> Recording:
    """The rows as a recording."""
    path = written(folder, rows)
    return Recording(path, load_table(path))


def test_a_recording_is_read_with_its_symbols_and_times(tmp_path: Path) -> None:
    """Naive IST becomes UTC: 10:00 there is 04:30 here."""
    recording = loaded(tmp_path, a_minute())
    assert len(recording.row) == 360
    assert recording.symbols == [SHARE, CALL, CALL.replace("CE", "PE")]
    assert recording.ts_ns[0] == 1_765_773_000 * 10**9


def test_rows_are_put_in_order_of_receipt(tmp_path: Path) -> None:
    """A file laid instrument after instrument is no disorder; a row out of turn is counted."""
    rows = a_minute()
    rows[10], rows[12] = rows[12], rows[10]
    recording = loaded(tmp_path, rows)
    assert order_rows(recording) == {"sorted_rows": 2}
    assert (recording.ts_ns[1:] >= recording.ts_ns[:-1]).all()
    assert sorted(recording.row) == list(range(1, 361))


def test_the_clock_is_moved_by_the_median_of_the_first_rows(tmp_path: Path) -> None:
    """Five seconds behind: half the first 500 rows may lie about it."""
    rows = [row(CALL, n / 2, 100.0) for n in range(600)]
    for n in (*range(0, 400, 2), *range(500, 600)):
        rows[n]["ltt"] = at(n / 2 - 60)
    recording = loaded(tmp_path, rows)
    assert rebase_clock(recording) == {"receive_clock_offset_ns": 5 * 10**9}
    assert recording.ts_ns[0] == 1_765_773_005 * 10**9


def test_rows_equal_in_every_column_are_one(tmp_path: Path) -> None:
    """Another time of receipt makes it a repeat, which stays: the connection lived."""
    rows = [row(CALL, 1, 100.0), row(CALL, 1, 100.0), row(CALL, 1, 100.05), row(CALL, 2, 100.0)]
    rows += [rows[3] | {"ts": at(2.4)}, row(SHARE, 1, 100.0), rows[0]]
    rows.sort(key=lambda made: made["ts"])
    recording = loaded(tmp_path, rows)
    assert drop_duplicates(recording) == {"duplicates_dropped": 2, "repeats_kept": 1}
    assert len(recording.row) == 5


def test_an_overtaken_packet_claims_no_older_trade_and_no_less_volume(tmp_path: Path) -> None:
    """Per instrument; times are cut to whole seconds."""
    rows = [
        row(CALL, 1, 100.0, ltt=at(6.4), vtt=70),
        row(CALL, 2, 100.0, ltt=at(5.9), vtt=35),
        row(SHARE, 2.5, 100.0, ltt=at(3.1), vtt=5),
        row(CALL, 3, 100.0, ltt=at(7.0), vtt=105),
    ]
    recording = loaded(tmp_path, rows)
    assert raise_overtaken(recording) == {"overtaken_rows": 1}
    assert recording.volume.tolist() == [70, 70, 5, 105]
    seconds = [(stamp // 10**9) - 1_765_773_000 for stamp in recording.venue_ns.tolist()]
    assert seconds == [6, 6, 3, 7]
    assert all(stamp % 10**9 == 0 for stamp in recording.venue_ns.tolist())


def test_levels_are_whole_and_without_holes(tmp_path: Path) -> None:
    """An empty level ends a side; what stands behind it, and halves of levels, are counted."""
    empty = {"bp1": None, "bq1": 0}
    rows = [
        row(CALL, 1, 100.0),
        row(
            CALL,
            2,
            100.0,
            **{f"{c}{n}": None if c == "ap" else 0 for c in ("ap", "aq") for n in range(1, 6)},
        ),
        row(CALL, 3, 100.0, **empty),
        row(CALL, 4, 100.0, aq3=0),
    ]
    book, counts = read_book(loaded(tmp_path, rows))
    assert book.held.sum(axis=1).tolist() == [10, 5, 5, 7]
    assert counts == {"levels_dropped": 4 + 3}
    assert book.last.tolist() == [10_000] * 4
    assert book.price[0].tolist()[:5] == [9_995, 9_990, 9_985, 9_980, 9_975]


REFUSED: list[tuple[str, Row, str]] = [
    ("NaN", {"ltp": float("nan")}, "ltp is no price"),
    ("absent price", {"ltp": None}, "ltp is no price"),
    ("zero", {"ltp": 0.0}, "ltp is no price"),
    ("negative", {"ltp": -5.0}, "ltp is no price"),
    ("infinite", {"ltp": float("inf")}, "ltp is no price"),
    ("zero level", {"bp2": 0.0}, "a level's price is <= 0 or infinite"),
    ("infinite level", {"ap1": float("inf")}, "a level's price is <= 0 or infinite"),
    ("negative volume", {"vtt": -1}, "vtt is negative"),
    ("negative interest", {"oi": -1.0}, "oi is negative"),
    ("negative quantity", {"aq4": -35}, "a level's quantity is negative"),
    ("receipt in 1970", {"ts": datetime(1970, 1, 1, 5, 30)}, "ts is before the year 2000"),  # noqa: DTZ001
    ("trade in 1970", {"ltt": datetime(1970, 1, 1, 5, 30)}, "ltt is before the year 2000"),  # noqa: DTZ001
    ("another day", {"ts": at(86_400)}, "belongs to another day"),
    ("back in time", {"ts": at(-3)}, "ts goes back by more than 5 s"),
]


@pytest.mark.parametrize(
    ("change", "what"), [pytest.param(change, what, id=name) for name, change, what in REFUSED]
)
def test_a_row_that_no_rule_covers_is_refused_with_its_place(
    tmp_path: Path, change: Row, what: str
) -> None:
    """Row 18 of the file, whatever order it was put in."""
    rows = a_minute()
    rows[17] |= change
    recording = loaded(tmp_path, rows)

    def apply_rules() -> None:
        require_stamps(recording)
        order_rows(recording)
        read_book(recording)

    with pytest.raises(DataRefused, match=what) as refusal:
        apply_rules()
    assert refusal.value.where.endswith("recording.parquet: row 18")
    assert refusal.value.remedy


FORMS: list[tuple[str, Callable[[pa.Schema], pa.Schema], str]] = [
    ("no bid", lambda schema: schema.remove(schema.get_field_index("bp3")), "missing columns: bp3"),
    (
        "text for a price",
        lambda schema: schema.set(3, pa.field("ltp", pa.int64())),
        "column ltp holds int64, not prices in rupees",
    ),
    (
        "a time zone",
        lambda schema: schema.set(0, pa.field("ts", pa.timestamp("us", "UTC"))),
        "column ts holds",
    ),
]


@pytest.mark.parametrize(
    ("changed", "what"), [pytest.param(changed, what, id=name) for name, changed, what in FORMS]
)
def test_another_form_is_refused(
    tmp_path: Path, changed: Callable[[pa.Schema], pa.Schema], what: str
) -> None:
    """Missing or mistyped columns, all named at once."""
    rows = [made | {"ltp": int(made["ltp"])} for made in a_minute()]
    with pytest.raises(DataRefused, match=what):
        load_table(written(tmp_path, rows, changed(SCHEMA)))


def test_an_empty_cell_is_refused_with_its_row(tmp_path: Path) -> None:
    """Where the form demands a value."""
    rows = a_minute()
    rows[4]["ltt"] = None
    with pytest.raises(DataRefused, match="ltt is empty") as refusal:
        load_table(written(tmp_path, rows))
    assert refusal.value.where.endswith("row 5")


@pytest.mark.parametrize("left", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, left: float) -> None:
    """Whatever is left of it."""
    path = written(tmp_path, a_minute())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left)])
    with pytest.raises(DataRefused, match="truncated, damaged or no Parquet file"):
        load_table(path)


def test_a_recording_without_rows_is_refused(tmp_path: Path) -> None:
    """There is nothing to import."""
    with pytest.raises(DataRefused, match="holds no row"):
        load_table(written(tmp_path, []))
