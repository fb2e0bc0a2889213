"""What the server remembers outside of its process, as a real broker would: every act, in order.

One line for each, written at once and whole; a last line that was cut off did not happen. With the
source of the market it is enough to stand where the server that was killed stood: draws are hashes,
and matching has no other input. No secret is in it: tokens are made again from seed and instant.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.domain.errors import DataRefused
from holdfast.simbroker.dhan.clock import Pace
from holdfast.simbroker.dhan.host import Host, Values

FILE: Final = "sim-broker.jsonl"
"""Its name in the folder of the state."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What a server was begun with: `world` tells one day from another, `ports` are kept."""

    world: dict[str, Any]
    ports: dict[str, int]
    pace: Pace


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """One act of the host at its instant; the first line holds what was begun, a pace its change."""

    at_ns: int = 0
    name: str = ""
    values: dict[str, Any] = {}
    begun: Begun | None = None
    pace: Pace | None = None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Remembered)


class Memory:
    """Appends to the file, one system call to a line, no buffer. Close it at the end."""

    def __init__(self, folder: Path) -> None:
        """Read what is there and go on behind it. Raises `OSError`, `DataRefused` when damaged."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE
        lines = list(_lines(self._path))
        self.past = [one for _, one in lines]
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.ftruncate(self._file, sum(size for size, _ in lines))

    @property
    def begun(self) -> Begun | None:
        """What the server was begun with, at its newest pace; `None`: it was not yet."""
        first = self.past[0].begun if self.past else None
        if first is None:
            return None
        paces = [one.pace for one in self.past if one.pace is not None]
        return msgspec.structs.replace(first, pace=paces[-1]) if paces else first

    def begin(self, begun: Begun) -> None:
        """Write the first line."""
        self._write(Remembered(begun=begun))

    def keep(self, name: str, values: Values, at_ns: int) -> None:
        """Write an act before it is done."""
        self._write(Remembered(at_ns=at_ns, name=name, values=dict(values)))

    def keep_pace(self, pace: Pace) -> None:
        """Write how the time goes on from here."""
        self._write(Remembered(pace=pace))

    def redo(self, host: Host) -> None:
        """Do everything again."""
        for one in self.past:
            if one.name:
                host.redo(one.name, one.values, one.at_ns)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, one: Remembered) -> None:
        line = _encoder.encode(one) + b"\n"
        while line:
            line = line[os.write(self._file, line) :]


def _lines(path: Path) -> Iterator[tuple[int, Remembered]]:
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            return
        try:
            yield len(line), _decoder.decode(line)
        except (msgspec.MsgspecError, ValueError) as error:
            raise DataRefused(
                f"{path}: line {number}", str(error), "name another folder, or remove the file"
            ) from error
