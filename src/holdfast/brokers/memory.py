"""What a simulated broker remembers of a day outside our process, as a real one would.

One line for each request that was handed to it and for each merged tick that it was shown, written
at once and whole; a last line that was cut off was not received. With the source of the market it
is enough to build the same exchange again: draws are hashes and matching has no other input.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from holdfast.domain.command import GuardRequest, OrderRequest, ReadRequest
from holdfast.domain.errors import DataRefused
from holdfast.domain.market import Tick

FILE: Final = "broker.jsonl"
"""Its name in the folder of a run."""

Request = OrderRequest | ReadRequest | GuardRequest


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """A request, or a merged tick, after `ticks` ticks had been shown; one of the two stands."""

    at_ns: int
    ticks: int
    request: Request | None = None
    merged: Tick | None = None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Remembered)


class BrokerMemory:
    """Appends to the file, one system call to a line, no buffer. Close it at the end.

    While the disk takes nothing the lines wait here, in order: a broker does not fall silent because
    our disk is full. What still waits when the process is killed is forgotten.
    """

    def __init__(self, path: Path) -> None:
        """Go on behind the last whole line. Raises `OSError`; `DataRefused` at a damaged file."""
        kept = sum(len(line) for line, _ in _lines(path))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(path, flags, 0o600)
        os.ftruncate(self._file, kept)
        self._waiting = b""

    def keep(self, remembered: Remembered) -> None:
        """Write one line, and what waits before it."""
        self._waiting += _encoder.encode(remembered) + b"\n"
        with suppress(OSError):
            while self._waiting:
                self._waiting = self._waiting[os.write(self._file, self._waiting) :]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_memory(path: Path) -> list[Remembered]:
    """What was received, in order; nothing when there is no file. Raises `DataRefused`."""
    return [remembered for _, remembered in _lines(path)]


def _lines(path: Path) -> Iterator[tuple[bytes, Remembered]]:
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            return
        try:
            yield line, _decoder.decode(line)
        except (msgspec.MsgspecError, ValueError) as error:
            raise DataRefused(
                f"{path}: line {number}", str(error), "remove the run and make it again"
            ) from error
