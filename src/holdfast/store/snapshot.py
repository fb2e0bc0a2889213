"""A snapshot of the engine beside the journal: a cache, which only ever saves time.

It is written whole or not at all, and read only when it is sound and of the very code,
configuration, facts and master in force; otherwise the day is folded from its beginning.
"""

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec

from holdfast.domain.event import AnyEvent

FILE: Final = "snapshot"
"""Its name beside the database. The newest replaces the one before."""

_MAGIC: Final = b"holdfast snapshot 1\n"
_UNFINISHED: Final = ".unfinished"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot hangs on: with any other of these the same events make another state."""

    code_version: str
    config_sha256: str
    facts_sha256: str
    master_sha256: str


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's image after the step of event number `sequence`, and that event."""

    origin: Origin
    sequence: int
    event: AnyEvent
    image: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Snapshot)


def write_snapshot(folder: Path, snapshot: Snapshot) -> None:
    """Replace the snapshot in `folder`, readable by its owner only. Raises `OSError`.

    It waits for the disk: not on the thread that trades.
    """
    body = _encoder.encode(snapshot)
    unfinished = folder / (FILE + _UNFINISHED)
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(file, "wb", buffering=0) as raw:
            for part in (_MAGIC, hashlib.sha256(body).digest(), body):
                _write_all(raw.fileno(), part)
            os.fsync(raw.fileno())
        unfinished.replace(folder / FILE)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _write_all(file: int, part: bytes) -> None:
    rest = memoryview(part)
    while rest:
        rest = rest[os.write(file, rest) :]


def read_snapshot(folder: Path, origin: Origin) -> Snapshot | None:
    """The snapshot in `folder`, `None` when there is none that is sound and of this origin."""
    try:
        whole = (folder / FILE).read_bytes()
    except OSError:
        return None
    digest, body = whole[len(_MAGIC) : len(_MAGIC) + 32], whole[len(_MAGIC) + 32 :]
    if not whole.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        return None
    try:
        snapshot = _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError):
        return None
    return snapshot if snapshot.origin == origin else None
