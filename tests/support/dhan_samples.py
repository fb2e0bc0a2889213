"""What the broker really said: sample bodies and recorded exchanges, where they are at hand."""

import gzip
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from holdfast.brokers.dhan.rest import Answer

_decoder = msgspec.json.Decoder(float_hook=Decimal)


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded request and its answer."""

    method: str
    uri: str
    status: int
    body: str
    cassette: str


def folder(shared_data: Path) -> Path:
    """Where the sample bodies lie; skips the test where they do not."""
    found = shared_data.parent / "reference" / "dhan-samples"
    if not found.is_dir():
        pytest.skip(f"no sample bodies: {found} does not exist")
    return found


def sample(shared_data: Path, name: str) -> bytes:
    """The bytes of one sample body."""
    return (folder(shared_data) / name).read_bytes()


def answer(body: bytes, status: int = 200) -> Answer:
    """The answer that carries a body."""
    payload = _decoder.decode(body) if body.strip() else None
    return Answer(status=status, payload=payload, body=body, at_ns=1)


def exchanges(shared_data: Path) -> Sequence[Exchange]:
    """The recorded REST exchanges, in their order."""
    found = shared_data / "06_feed_frames" / "dhan_rest_recorded_vcr.jsonl.gz"
    if not found.is_file():
        pytest.skip(f"no recorded exchanges: {found} does not exist")
    lines = gzip.decompress(found.read_bytes()).splitlines()
    return [msgspec.json.decode(line, type=Exchange, strict=False) for line in lines if line]
