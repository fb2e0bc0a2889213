"""The log of a run: one line of JSON for each thing worth telling, in a file of the run's own.

It is for people after the fact. The journal is the record; losing a line of the log loses nothing
else, so that a full disk is no reason to stop trading.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import structlog

FILE_NAME: Final = "log.jsonl"


@contextmanager
def logging_to(folder: Path) -> Iterator[None]:
    """Send what the program logs into `folder` while the block runs. Raises OSError at its begin."""
    with (folder / FILE_NAME).open("ab", buffering=0) as file:
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(serializer=_encoded),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=lambda *_names: _Lines(file),
        )
        try:
            yield
        finally:
            structlog.reset_defaults()


class _Lines:
    """What structlog hands its lines to. `lost` counts those that could not be written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.lost = 0

    def msg(self, line: bytes) -> None:
        """Write one line whole, or count it."""
        try:
            self._file.write(line + b"\n")
        except OSError:
            self.lost += 1

    debug = info = warning = error = critical = exception = msg


def _encoded(entry: object, **_options: object) -> bytes:
    return msgspec.json.encode(entry, enc_hook=str)
