"""The broker's list of contracts: by column name, strictly, and only what is traded."""

import csv
import datetime as dt
import gzip
from pathlib import Path

import msgspec
import pytest

from holdfast.brokers.dhan.fields import Unreadable
from holdfast.brokers.dhan.master import (
    COMPACT,
    DETAILED,
    Master,
    Wanted,
    by_kind,
    read_master,
    tick_paise,
)
from holdfast.domain.errors import DataRefused
from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    Kind,
    OptionType,
    Segment,
    instrument_id,
)

DAY = dt.date(2026, 11, 20)
NIFTY = Wanted(day=DAY, freeze={"NIFTY": 1_800})

HEADER = (
    "EXCH_ID,SEGMENT,SECURITY_ID,ISIN,INSTRUMENT,UNDERLYING_SECURITY_ID,UNDERLYING_SYMBOL,"
    "SYMBOL_NAME,DISPLAY_NAME,INSTRUMENT_TYPE,SERIES,LOT_SIZE,SM_EXPIRY_DATE,STRIKE_PRICE,"
    "OPTION_TYPE,TICK_SIZE,EXPIRY_FLAG,SM_FREEZE_QTY,"
)
INDEX = "NSE,I,13,NA,INDEX,13,NIFTY,NIFTY,Nifty 50,INDEX,NA,1.0,0001-01-01,,XX,0.0500,N,0,"
CALL = (
    "NSE,D,40001,NA,OPTIDX,26000,NIFTY,NIFTY-Nov2026-26000-CE,NIFTY 24 NOV 26000 CALL,OP,NA,65.0,"
    "2026-11-24,26000.00000,CE,5.0000,W,1756,"
)
PUT = (
    "NSE,D,40002,NA,OPTIDX,26000,NIFTY,NIFTY-Nov2026-26000-PE,NIFTY 24 NOV 26000 PUT,OP,NA,65.0,"
    "2026-11-24,26000.00000,PE,5.0000,W,1756,"
)
ABB = "NSE,E,13,INE117A01022,EQUITY,,ABB,ABB INDIA,ABB,ES,EQ,1,,,,5,NA,-1,"
FUTURE = (
    "NSE,D,49081,NA,FUTIDX,26000,NIFTY,NIFTY-Nov2026-FUT,NIFTY NOV FUT,FUT,NA,65.0,2026-11-24,"
    "-0.01000,XX,10.0000,M,1756,"
)
ROWS = (INDEX, ABB, PUT, CALL, FUTURE)


def read(folder: Path, *rows: str, wanted: Wanted = NIFTY, header: str = HEADER) -> Master:
    """What is taken from a file of these lines."""
    file = folder / "list.csv"
    file.write_text("\n".join([header, *rows, ""]), "utf-8")
    return read_master(file, wanted)


def test_the_index_and_its_options_are_taken(tmp_path: Path) -> None:
    """Indices first, calls before puts; nothing else of 200,000 rows."""
    master = read(tmp_path, *ROWS)
    index, call, put = master.instruments
    assert (index.kind, index.id, index.symbol) == (Kind.INDEX, "IDX_I:13", "NIFTY")
    assert call == Instrument(
        id=instrument_id(Segment.NSE_FNO, 40001),
        segment=Segment.NSE_FNO,
        security_id=40001,
        symbol="NIFTY-Nov2026-26000-CE",
        exchange=Exchange.NSE,
        kind=Kind.OPTION,
        underlying="NIFTY",
        lot_size=65,
        price_step_paise=5,
        freeze_quantity=1_756,
        expiry="2026-11-24",
        strike_paise=26_000_00,
        option_type=OptionType.CALL,
    )
    assert put.option_type is OptionType.PUT
    assert (master.rows, master.left_out, master.lacking) == (5, (), ())
    assert by_kind(master.instruments) == {"NIFTY index": 1, "NIFTY option": 2}


def test_one_number_names_different_contracts_in_different_segments(tmp_path: Path) -> None:
    """13 is the index and a share: whoever holds the share gets it beside the index."""
    held = frozenset({instrument_id(Segment.NSE_EQ, 13), instrument_id(Segment.NSE_FNO, 49081)})
    wanted = msgspec.structs.replace(NIFTY, held=held | {instrument_id(Segment.BSE_EQ, 13)})
    master = read(tmp_path, *ROWS, wanted=wanted)
    found = {one.id: one for one in master.instruments}
    assert found["NSE_EQ:13"].kind is Kind.EQUITY  # type: ignore[index]
    assert found["NSE_FNO:49081"].kind is Kind.FUTURE  # type: ignore[index]
    assert found["IDX_I:13"].kind is Kind.INDEX  # type: ignore[index]
    assert master.lacking == ("BSE_EQ:13",)


@pytest.mark.parametrize("column", DETAILED.needed)
def test_a_missing_column_is_named_with_what_to_do(tmp_path: Path, column: str) -> None:
    """No column is guessed by its place."""
    header = HEADER.replace(column, "SOMETHING_ELSE", 1)
    with pytest.raises(DataRefused, match=f"lacks the column {column}\n.*holdfast instruments"):
        read(tmp_path, *ROWS, header=header)


def test_columns_are_found_wherever_they_stand(tmp_path: Path) -> None:
    """In any order and case, with new ones between, with a mark of the byte order."""
    names = HEADER.split(",")
    places = sorted(range(len(names)), key=lambda place: names[place][::-1])
    shuffled = [",".join(line.split(",")[place] for place in places) for line in (HEADER, *ROWS)]
    head = "﻿NEW_COLUMN," + shuffled[0].lower()
    rows = [f"new,{line}" for line in shuffled[1:]]
    assert read(tmp_path, *rows, header=head).instruments == read(tmp_path, *ROWS).instruments


@pytest.mark.parametrize(
    ("given", "step"),
    [("5.0000", 5), ("5", 5), ("0.0500", 5), ("0.05", 5), ("10", 10), ("1", 1), ("0.01", 1)],
)
def test_a_tick_size_is_paise_or_rupees(given: str, step: int) -> None:
    """The list gives contracts' in paise and indices' in rupees."""
    assert tick_paise(given) == step


@pytest.mark.parametrize("given", ["0", "-5", "0.055", "5.5", "", "NA", "0.0025"])
def test_a_tick_size_that_is_no_price_step_is_unreadable(given: str) -> None:
    """Prices would be refused, one by one."""
    with pytest.raises(Unreadable):
        tick_paise(given)


@pytest.mark.parametrize(
    ("listed", "known", "expected"),
    [
        ("1756", 1_800, 1_756),
        ("2400", 1_800, 1_800),
        ("", 1_800, 1_800),
        ("-1", 1_800, 1_800),
        ("0", 1_800, 1_800),
        ("1756.0", 0, 1_756),
        ("", 0, 0),
    ],
)
def test_the_smaller_freeze_quantity_counts(
    tmp_path: Path, listed: str, known: int, expected: int
) -> None:
    """Of the list's and the dated facts'; where nobody knows one, nothing is traded."""
    wanted = Wanted(day=DAY, freeze={"NIFTY": known})
    call = CALL.replace("1756", listed)
    assert read(tmp_path, INDEX, call, wanted=wanted).instruments[1].freeze_quantity == expected


def test_a_list_without_a_freeze_column_leaves_the_facts(tmp_path: Path) -> None:
    """It came late to the list."""
    header = HEADER.replace("SM_FREEZE_QTY", "")
    assert read(tmp_path, INDEX, CALL, header=header).instruments[1].freeze_quantity == 1_800


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("65.0", "0", "lot size"),
        ("65.0", "65.5", "lot size"),
        ("65.0", "", "lot size"),
        ("2026-11-24", "0001-01-01", "expiry"),
        ("2026-11-24", "24-Nov", "expiry"),
        ("26000.00000", "-0.01", "strike"),
        (",CE,", ",XX,", "neither CE nor PE"),
        ("40001", "x1", "security id"),
        ("5.0000", "", "tick size"),
        ("1756", "many", "freeze"),
        ("NSE,D", "NSE,X", "segment"),
    ],
)
def test_a_row_that_cannot_be_read_is_left_out_and_told(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    """Nothing of it is guessed; the others are taken."""
    master = read(tmp_path, INDEX, CALL.replace(old, new), PUT)
    assert [one.symbol for one in master.instruments[1:]] == ["NIFTY-Nov2026-26000-PE"]
    ((text, count),) = master.left_out
    assert count == 1
    assert why in text


@pytest.mark.proves("I-118")
def test_words_of_another_case_are_none_of_ours(tmp_path: Path) -> None:
    """They are told, never taken for something else."""
    with pytest.raises(DataRefused, match=r"no option of NIFTY that can be read .*nse d"):
        read(tmp_path, INDEX, CALL.replace("NSE,D", "nse,d"))


def test_what_expired_is_no_contract_of_today(tmp_path: Path) -> None:
    """Lists keep contracts for a while; one that ends today trades."""
    past = CALL.replace("2026-11-24", "2026-11-19")
    today = PUT.replace("2026-11-24", "2026-11-20")
    master = read(tmp_path, INDEX, past, today)
    assert [one.expiry for one in master.instruments] == [None, "2026-11-20"]


def test_a_row_that_stands_twice_is_one_contract(tmp_path: Path) -> None:
    """Two that differ are told, and the first counts."""
    master = read(tmp_path, INDEX, CALL, CALL, CALL.replace("65.0", "75"))
    assert [one.lot_size for one in master.instruments] == [0, 65]
    assert master.left_out == (("one id names two contracts", 1),)


@pytest.mark.parametrize("rows", [(INDEX,), (CALL,), (), (INDEX.replace("NIFTY", "nifty"), CALL)])
def test_a_list_without_the_index_or_its_options_is_refused(
    tmp_path: Path, rows: tuple[str, ...]
) -> None:
    """Half a list, or another one."""
    with pytest.raises(DataRefused, match="NIFTY"):
        read(tmp_path, *rows)


def test_a_list_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    """In the middle of its last row."""
    with pytest.raises(DataRefused, match="cut off"):
        read(tmp_path, *ROWS, PUT[:60])
    with pytest.raises(DataRefused, match="cut off"):
        read(tmp_path, *ROWS, PUT[:-7])  # all that is needed is there, and yet it is no whole row
    whole = read(tmp_path, INDEX, PUT[:60], CALL)
    assert whole.left_out == (("a row is too short", 1),)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"<html>\n", b"\xff\xfe\x00", b'"' * 300_000, b"a\x00b\n\x00\n"]
)
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever bytes came."""
    file = tmp_path / "list.csv"
    file.write_bytes(content)
    with pytest.raises(DataRefused):
        read_master(file, NIFTY)


def test_the_compact_form_is_read_too(tmp_path: Path) -> None:
    """Its underlying is the beginning of the symbol, its expiry has a time."""
    header = ",".join(COMPACT.needed)
    columns = {
        "index": "NSE,I,13,INDEX,NIFTY,1,0001-01-01,,XX,0.05",
        "call": "NSE,D,40001,OPTIDX,NIFTY-Nov2026-26000-CE,65.0,2026-11-24 15:30:00,26000.0,CE,5.0000",
        "other": "NSE,D,40003,OPTIDX,NIFTYNXT50-Nov2026-260-CE,25.0,2026-11-24 15:30:00,260.0,CE,5.0000",
    }
    master = read(tmp_path, *columns.values(), header=header)
    assert [one.id for one in master.instruments] == ["IDX_I:13", "NSE_FNO:40001"]
    assert master.instruments[1].expiry == "2026-11-24"


def test_recorded_lists_are_read(tmp_path: Path, shared_data: Path) -> None:
    """Real headers and rows of both forms, with their real indices; options are added to them."""
    for name, call in (
        ("dhan_detailed31col_nse_eq_index_2026-04-15.csv.gz", "detailed"),
        ("dhan_compact_eq_index_2026-06-29.csv.gz", "compact"),
    ):
        source = shared_data / "04_instruments" / name
        if not source.is_file():
            pytest.skip(f"{source} does not exist")
        text = gzip.decompress(source.read_bytes()).decode("utf-8-sig")
        header = next(csv.reader([text.partition("\n")[0]]))
        form = DETAILED if call == "detailed" else COMPACT
        terms = {
            form.exchange: "NSE",
            form.segment: "D",
            form.security_id: "40001",
            form.instrument: "OPTIDX",
            form.symbol: "NIFTY-Nov2026-26000-CE",
            form.lot: "65.0",
            form.expiry: "2026-11-24",
            form.strike: "26000.00000",
            form.option_type: "CE",
            form.tick: "5.0000",
            form.underlying: "NIFTY",
        }
        file = tmp_path / name.removesuffix(".gz")
        row = ",".join(terms.get(column.strip(), "") for column in header)
        file.write_text(f"{text.rstrip()}\n{row}\n", "utf-8")
        held = frozenset({instrument_id(Segment.NSE_EQ, 1333)})
        master = read_master(file, msgspec.structs.replace(NIFTY, held=held))
        assert {one.id for one in master.instruments} == {
            "IDX_I:13",
            "NSE_EQ:1333",
            "NSE_FNO:40001",
        }
        assert master.rows > 9_000
        assert master.left_out == ()
