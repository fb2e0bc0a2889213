"""Writes images of the engine beside the journal, off the trading path, and one behind.

The image that is written is the one before the newest: what led to it has reached the disk by then,
so that the next start finds the event that it ends with.
"""

from pathlib import Path

import structlog

from holdfast.domain.event import AnyEvent
from holdfast.store.snapshot import Origin, Snapshot, write_snapshot

_log = structlog.get_logger("snapshots")


class Snapshots:
    """The snapshot of one folder."""

    def __init__(self, folder: Path, origin: Origin, *, inline: bool) -> None:
        """`inline`: written when one is kept; otherwise whenever somebody calls `write`."""
        self._folder = folder
        self._origin = origin
        self._inline = inline
        self._newest: Snapshot | None = None
        self._due: Snapshot | None = None

    def keep(self, sequence: int, event: AnyEvent, image: bytes) -> None:
        """Take the engine's image after the step of event number `sequence`."""
        self._due = self._newest
        self._newest = Snapshot(origin=self._origin, sequence=sequence, event=event, image=image)
        if self._inline:
            self.write()

    @property
    def is_due(self) -> bool:
        """Whether there is one to be written."""
        return self._due is not None

    def write(self) -> None:
        """Write it, from any thread. A disk that takes nothing costs a restart some time, no more."""
        due, self._due = self._due, None
        if due is None:
            return
        try:
            write_snapshot(self._folder, due)
        except OSError as error:
            _log.warning("no snapshot", component="snapshots", error=str(error))
