"""What a row of the journal holds, its JSON form, and the chain of hashes through the rows.

A record is an event, a decision, the range of numbers that one flush put on the tape, or what a
process left behind at its end. Each has one sequence number from the same run as the events on the
tape.

The chain: `hash = sha256(previous_hash, sequence, at_ns, kind, payload)` with the numbers as eight
bytes big-endian and kind and payload preceded by their lengths, likewise. The first row's
`previous_hash` is `GENESIS`.
"""

import hashlib
import math
import struct
from typing import Any, Final

import msgspec

from holdfast.domain.audit import AnyAudit
from holdfast.domain.command import AnyCommand
from holdfast.domain.decision import HaltLevel
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import JournalEvent
from holdfast.domain.order import OrderId

GENESIS: Final = bytes(32)
"""What the first record's hash stands on: 32 zero bytes."""

_NUMBERS: Final = struct.Struct(">qqQ")
_LENGTH: Final = struct.Struct(">Q")


class Decided(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the step of event number `cause` decided. A step that decided nothing has none."""

    at_ns: int
    cause: int
    commands: tuple[AnyCommand, ...]
    audits: tuple[AnyAudit, ...]


class TapeRange(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One flush of the tape: `count` events of one kind, numbered `first` to `last`.

    Numbers between them that are not on that segment belong to other records. `sha256` is that of
    the rows' canonical content (`store/columns.py`); `segment` is `DAY/KIND-NUMBER`.
    """

    at_ns: int
    first: int
    last: int
    count: int
    sha256: str
    segment: str


class Stopped(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a process left behind when it ended as it should: a start without one finds a crash.

    `last_sequence` is the last number given before it. What may follow are the tape's last ranges
    and how the parts of the program ended; nothing that moves an order or a position.
    """

    at_ns: int
    day: str
    last_sequence: int
    open_positions: tuple[int, ...]
    live_orders: tuple[OrderId, ...]
    halt: HaltLevel
    reason: str


Record = JournalEvent | Decided | TapeRange | Stopped
"""Everything that stands in `events`."""

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Record)


def kind_of(record: Record) -> str:
    """The record's name, as in the column `kind` and in its JSON."""
    return type(record).__name__


def encode(record: Record) -> bytes:
    """The record as JSON, its `type` first."""
    return _encoder.encode(record)


def storable(record: Record) -> tuple[Record, bytes]:
    """The record and its JSON, such that the one is read back from the other.

    JSON has no NaN and no infinity, and a strategy's figures may hold one: there it is kept as its
    name. A journal that could not be read again would keep the program from starting.
    """
    payload = encode(record)
    if not isinstance(record, Decided) or b"null" not in payload:
        return record, payload
    payload = _encoder.encode(_named(msgspec.to_builtins(record)))
    return decode(payload, "a record just written"), payload


def _named(value: Any) -> Any:
    """The same value with every float that is no number replaced by its name."""
    if isinstance(value, dict):
        return {key: _named(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_named(inner) for inner in value]
    is_strange = isinstance(value, float) and not math.isfinite(value)
    return str(value) if is_strange else value


def decode(payload: bytes, where: str) -> Record:
    """The record of a payload. Raises `DataRefused` at `where` when it is none."""
    try:
        record: Record = _decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DataRefused(
            where,
            f"the record cannot be read: {error}",
            "run `holdfast audit verify`; restore the last backup if the row was damaged",
        ) from error
    return record


def link(previous_hash: bytes, sequence: int, at_ns: int, kind: str, payload: bytes) -> bytes:
    """The hash of a row that follows one with `previous_hash`."""
    name = kind.encode()
    digest = hashlib.sha256(previous_hash)
    digest.update(_NUMBERS.pack(sequence, at_ns, len(name)))
    digest.update(name)
    digest.update(_LENGTH.pack(len(payload)))
    digest.update(payload)
    return digest.digest()
