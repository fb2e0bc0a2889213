"""Records: their JSON, their names, the chain through them."""

import hashlib
import math
import struct

import pytest
from msgspec.structs import replace

from holdfast.domain.audit import Denied
from holdfast.domain.decision import Denial, Values
from holdfast.domain.errors import DataRefused
from holdfast.store.records import (
    GENESIS,
    Decided,
    Record,
    TapeRange,
    decode,
    encode,
    kind_of,
    link,
    storable,
)
from tests.unit.store.samples import T0, closed, placed, signal

RECORDS: list[Record] = [
    Decided(at_ns=T0, cause=7, commands=(placed("P001E1", 1),), audits=(closed(1, T0),)),
    TapeRange(
        at_ns=T0, first=3, last=9, count=5, sha256="ab" * 32, segment="2025-12-15/ticks-0001"
    ),
]


@pytest.mark.parametrize("record", RECORDS, ids=kind_of)
def test_a_record_survives_its_json(record: Record) -> None:
    """What is read is what was written, and its `type` is its name."""
    payload = encode(record)
    assert payload.startswith(f'{{"type":"{kind_of(record)}"'.encode())
    assert decode(payload, "here") == record


@pytest.mark.parametrize(
    ("payload", "what"),
    [
        (b"", "truncated"),
        (b'{"type":"Decided"}', "missing required field"),
        (b'{"type":"Guessed","at_ns":1}', "Invalid value 'Guessed'"),
        (b'{"type":"TimerFired","at_ns":"1"}', "Expected `int`"),
        (b'{"type":"TimerFired","at_ns":1\xff}', "malformed"),
    ],
)
def test_a_payload_that_is_no_record_is_refused_where_it_stands(payload: bytes, what: str) -> None:
    """The message names the row and what is wrong with it."""
    with pytest.raises(DataRefused, match=what) as refusal:
        decode(payload, "events row 12")
    assert refusal.value.where == "events row 12"


def test_a_figure_that_is_no_number_is_kept_as_its_name() -> None:
    """JSON has neither NaN nor infinity: written as they are, the journal could not be read."""
    figures: Values = {"adx": math.nan, "band": -math.inf, "close_paise": 5, "what": "null"}
    told = Denied(signal=signal(1), denial=Denial(gate="spread", values=figures))
    record, payload = storable(Decided(at_ns=T0, cause=1, commands=(), audits=(told,)))
    named: Values = {"adx": "nan", "band": "-inf", "close_paise": 5, "what": "null"}
    assert record == decode(payload, "here")
    assert isinstance(record, Decided)
    assert record.audits == (replace(told, denial=Denial(gate="spread", values=named)),)


@pytest.mark.parametrize("record", RECORDS, ids=kind_of)
def test_a_record_without_such_figures_is_stored_as_it_is(record: Record) -> None:
    """Absent values stay absent."""
    assert storable(record) == (record, encode(record))


def test_the_hash_is_that_of_the_documented_bytes() -> None:
    """Anybody can recompute the chain from the description alone."""
    numbers = struct.pack(">qq", 5, T0)
    said = struct.pack(">Q", 4) + b"Kind" + struct.pack(">Q", 7) + b"payload"
    wanted = hashlib.sha256(bytes(32) + numbers + said).digest()
    assert bytes(32) == GENESIS
    assert link(GENESIS, 5, T0, "Kind", b"payload") == wanted


def test_the_border_between_kind_and_payload_is_part_of_the_hash() -> None:
    """Moving bytes from one to the other gives another hash."""
    assert link(GENESIS, 1, 1, "ab", b"c") != link(GENESIS, 1, 1, "a", b"bc")
