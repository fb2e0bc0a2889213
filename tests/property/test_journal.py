"""Any sequence of records is read back as it was, in a chain that verifies."""

import enum
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect
from msgspec.structs import replace

from holdfast.domain.event import CandleLoaded, JournalEvent, QuotesRead, TapeEvent
from holdfast.domain.instrument import Exchange, Instrument, Kind, Segment, instrument_id
from holdfast.domain.market import Tick
from holdfast.domain.order import OrderTerms, OrderType
from holdfast.store import query
from holdfast.store.audit import audit
from holdfast.store.buffers import StoreSettings
from holdfast.store.chain import require_intact
from holdfast.store.checks import EARLIEST_NS
from holdfast.store.columns import DEPTH, KINDS, KINDS_BY_NAME
from holdfast.store.records import Decided, Record, TapeRange, decode, encode
from holdfast.store.schema import FILE_NAME
from holdfast.store.segment import TapeHeader, read_segment
from holdfast.store.tape import FOLDER, TapeWriter, read_tape, segments
from holdfast.store.writer import EventsTable
from tests.support.journal import StoreJournal

WHOLE = st.integers(min_value=-(10**15), max_value=10**15)
PRICE = st.integers(min_value=1, max_value=10**9)
COUNT = st.integers(min_value=0, max_value=10**12)
TEXT = st.text(max_size=8)
REAL = st.floats(allow_nan=False, allow_infinity=False)


def any_of(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Values of a type as msgspec describes it: every field, every member of every union."""
    made: st.SearchStrategy[Any]
    match kind:
        case inspect.StructType(cls=cls):
            made = MADE[cls] if cls in MADE else any_struct(cls)
        case inspect.UnionType(types=types):
            made = st.one_of([any_of(one) for one in types])
        case inspect.VarTupleType(item_type=item):
            made = st.lists(any_of(item), max_size=2).map(tuple)
        case inspect.TupleType(item_types=items):
            made = st.tuples(*(any_of(one) for one in items))
        case inspect.NamedTupleType(cls=cls, fields=fields):
            made = st.builds(cls, **{one.name: any_of(one.type) for one in fields})
        case inspect.DictType(key_type=key, value_type=value):
            made = st.dictionaries(any_of(key), any_of(value), max_size=2)
        case inspect.EnumType(cls=cls):
            made = st.sampled_from(list[enum.Enum](cls))
        case _:
            made = PLAIN[type(kind)]
    return made


PLAIN: dict[type[inspect.Type], st.SearchStrategy[Any]] = {
    inspect.IntType: WHOLE,
    inspect.StrType: TEXT,
    inspect.FloatType: REAL,
    inspect.BoolType: st.booleans(),
    inspect.NoneType: st.none(),
}


def any_struct(
    cls: type[msgspec.Struct], **known: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    """A struct with any value in every field; `known` are fields that must agree with others."""
    described = inspect.type_info(cls)
    assert isinstance(described, inspect.StructType)
    fields = {f.name: any_of(f.type) for f in described.fields if f.name not in known}
    return st.builds(cls, **fields, **known)


def _terms(kind: OrderType) -> st.SearchStrategy[OrderTerms]:
    trigger = PRICE if kind is OrderType.STOP_LIMIT else st.none()
    return any_struct(
        OrderTerms,
        order_type=st.just(kind),
        quantity=PRICE,
        limit_paise=PRICE,
        trigger_paise=trigger,
    )


def _instrument(segment: Segment, security_id: int) -> st.SearchStrategy[Instrument]:
    return any_struct(
        Instrument,
        id=st.just(instrument_id(segment, security_id)),
        segment=st.just(segment),
        security_id=st.just(security_id),
        kind=st.sampled_from([Kind.FUTURE, Kind.EQUITY]),
        lot_size=PRICE,
        price_step_paise=PRICE,
    )


MADE: dict[type, st.SearchStrategy[Any]] = {
    OrderTerms: st.sampled_from(OrderType).flatmap(_terms),
    Instrument: st.tuples(st.sampled_from(Segment), COUNT).flatmap(lambda key: _instrument(*key)),
}
"""Structs that refuse values which do not fit together."""

LEVELS = st.lists(st.tuples(PRICE, COUNT), max_size=DEPTH).map(tuple)
TICKS = any_struct(
    Tick,
    last_paise=PRICE,
    volume=COUNT,
    oi=COUNT,
    bids=LEVELS,
    asks=LEVELS,
    venue_at_ns=st.none() | st.integers(EARLIEST_NS, 2 * EARLIEST_NS),
    count=st.integers(1, 9),
)
MARKET: dict[type[TapeEvent], st.SearchStrategy[Any]] = {
    Tick: TICKS,
    QuotesRead: st.builds(QuotesRead, at_ns=COUNT, quotes=st.lists(TICKS, max_size=3).map(tuple)),
    CandleLoaded: any_struct(CandleLoaded),
}
EVENTS = any_of(inspect.type_info(JournalEvent))
RECORDS = any_of(inspect.type_info(Record))


INSTRUMENT = Instrument(
    id=instrument_id(Segment.NSE_FNO, 1),
    segment=Segment.NSE_FNO,
    security_id=1,
    symbol="NIFTY-FUT",
    exchange=Exchange.NSE,
    kind=Kind.FUTURE,
    underlying="NIFTY",
    lot_size=75,
    price_step_paise=5,
    freeze_quantity=1_801,
)


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder for one example."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_every_record_is_tried() -> None:
    """The strategies are made from the union itself: a new member is in them at once."""
    described = inspect.type_info(Record)
    assert isinstance(described, inspect.UnionType)
    assert len(described.types) >= 14


@given(RECORDS)
def test_any_record_survives_its_json(record: Record) -> None:
    """Value for value, floats to the last bit."""
    assert decode(encode(record), "here") == record


@pytest.mark.timeout(90)
@given(st.lists(st.tuples(st.integers(1, 5), RECORDS), max_size=25), st.integers(1, 7))
def test_any_sequence_is_read_back_and_its_chain_verifies(
    steps: list[tuple[int, Record]], size: int
) -> None:
    """In groups of any size, under numbers with any gaps; projections equal their rebuild."""
    records, number = [], 0
    for step, record in steps:
        number += step
        records.append((number, record))
    with folder() as path:
        for part in (records[:10], records[10:]):  # the second goes on where the first ended
            table = EventsTable(path / FILE_NAME)
            for start in range(0, len(part), size):
                table.commit(part[start : start + size])
            table.close()
        require_intact(path / FILE_NAME)
        found = [(number, record) for number, _, record in query.records(path / FILE_NAME)]
        assert found == records
        wrong = [one for one in audit(path / FILE_NAME).findings if one.where[:5] == "table"]
        assert wrong == []


@pytest.mark.parametrize("kind", MARKET, ids=lambda kind: kind.__name__)
@given(st.data())
def test_any_market_event_survives_its_columns(kind: type[TapeEvent], data: st.DataObject) -> None:
    """Whatever levels, stamps and merged prices it has or lacks."""
    events = data.draw(st.lists(MARKET[kind], min_size=1, max_size=20))
    rows = list(enumerate(events, 1))
    table = pa.Table.from_batches([KINDS[kind].encode(rows)])
    assert list(KINDS[kind].decode(table)) == rows


@given(st.lists(TICKS, min_size=1, max_size=60), st.integers(1, 10), st.integers(1, 25))
def test_any_ticks_in_order_of_time_are_a_tape(
    ticks: list[Tick], batch: int, rows_max: int
) -> None:
    """However they are cut into batches and segments."""
    market = [
        replace(tick, at_ns=EARLIEST_NS + number, count=1, instrument=INSTRUMENT.id)
        for number, tick in enumerate(ticks)
    ]
    with folder() as path:
        header = TapeHeader(day="2025-12-15", source="made", instruments=(INSTRUMENT,))
        writer = TapeWriter(path / "day", header, rows_max=rows_max, sync=False)
        for start in range(0, len(market), batch):
            writer.write(list(enumerate(market[start : start + batch], start + 1)))
        writer.close()
        assert list(read_tape(path / "day").ticks()) == market


@pytest.mark.timeout(90)
@settings(max_examples=50)
@given(
    st.lists(st.one_of(EVENTS, *MARKET.values()), max_size=40),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 10**9),
)
def test_journal_and_tape_together_hold_what_was_appended(
    events: list[JournalEvent | TapeEvent], group: int, batch: int, flush_ns: int
) -> None:
    """Under the numbers that were given, one run of them, and the audit finds nothing."""
    chosen = StoreSettings(
        threaded=False,
        db_transaction_batch_size=group,
        tape_batch_rows=batch,
        tape_flush_ns=flush_ns,
    )
    with folder() as path:
        journal = StoreJournal(path, TapeHeader(day="d", source="made"), settings=chosen)
        given_: dict[int, object] = {}
        for event in events:
            if isinstance(event, Tick | CandleLoaded | QuotesRead):
                given_[journal.append_market(event)] = event
            else:
                given_[journal.append(event)] = event
        assert journal.close().is_complete
        report = audit(path / FILE_NAME)
        assert (report.findings, report.notes) == ((), ())
        records = {number: record for number, _, record in query.records(path / FILE_NAME)}
        market = on_tape(path / FOLDER / "d")
        assert sorted([*records, *market]) == list(range(1, journal.last_sequence + 1))
        assert {
            number: event
            for number, event in (records | market).items()
            if not isinstance(event, Decided | TapeRange)
        } == given_


def on_tape(day: Path) -> dict[int, object]:
    """What the segments hold, unchecked: these events are no market."""
    tables = [(read_segment(path).header.kind, read_segment(path).table) for path in segments(day)]
    return dict(row for kind, table in tables for row in KINDS_BY_NAME[kind].decode(table))
