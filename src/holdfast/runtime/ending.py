"""What a day leaves behind: its final state written, closed, read back and compared."""

from pathlib import Path

import msgspec
import structlog

from holdfast.domain.errors import DataRefused
from holdfast.runtime.book import Compare
from holdfast.runtime.day import Day
from holdfast.runtime.shutdown import Saved
from holdfast.runtime.storing import Store
from holdfast.runtime.threads import Threads
from holdfast.store.chain import require_intact
from holdfast.store.schema import FILE_NAME

_log = structlog.get_logger("ending")


class DayEnd:
    """The final state of one day."""

    def __init__(
        self, day: Day, store: Store, threads: Threads, folder: Path, *, compare: Compare
    ) -> None:
        """`folder` holds the database. `compare` is asked once more, at the close."""
        self._compare = compare
        self._day = day
        self._store = store
        self._threads = threads
        self._path = folder / FILE_NAME

    async def save(self) -> Saved:
        """Write how the day stands, and wait until it is on the disk."""
        if self._store.is_open and not self._day.has_begun:
            self._day.keep_unbegun(self._store.journal)
        differing = await self._compare()
        if differing:
            _log.error("projections differ", component="final state", what=differing)
        standing = self._day.standing
        return Saved(
            state={**msgspec.structs.asdict(standing), "projections_differ": differing},
            open_positions=standing.open_positions,
            is_halted=standing.is_halted,
        )

    async def verify(self, saved: Saved) -> None:
        """Close the journal and read it back. Raises DataRefused when it is not as it was left."""
        del saved
        self._day.close()
        if self._store.is_open:
            await self._threads.call("FinalState", self._verify, owner="application")

    def _verify(self) -> None:
        self._store.journal.close_tape()
        closed = self._store.journal.close_database()
        if not closed.is_complete:
            raise DataRefused(
                str(self._path),
                f"not everything is written: {closed.reason or closed}",
                "the next start begins from what is on the disk",
            )
        require_intact(self._path)

    async def db_connections(self) -> int:
        """Connections to the database that are open."""
        return self._store.journal.connections
