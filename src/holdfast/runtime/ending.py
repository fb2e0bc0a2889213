"""What a day leaves behind: its final state written, closed, read back and compared."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from holdfast.domain.decision import HaltLevel
from holdfast.domain.errors import DataRefused
from holdfast.ports import Clock
from holdfast.runtime.day import Day
from holdfast.runtime.halting import WrittenHalt
from holdfast.runtime.shutdown import Saved
from holdfast.runtime.storing import Store
from holdfast.runtime.threads import StopFlag, Threads
from holdfast.store.final import read_back, require_integrity
from holdfast.store.records import Stopped
from holdfast.store.schema import FILE_NAME

_log = structlog.get_logger("ending")

SAVE_S: Final = 0.2
"""What the last words of a stop may still wait for their answers: saving has half a second."""


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """Whose end it is: the day, its clock, the folder of its database, and whether it goes on there.

    `had_past`: an earlier process has left something of the day.
    """

    date: str
    folder: Path
    clock: Clock
    had_past: bool


class DayEnd:
    """The final state of one day."""

    def __init__(
        self, day: Day, store: Store, threads: Threads, left: Left, *, halt: WrittenHalt,
        compare: Callable[[], Sequence[str]],
    ) -> None:  # fmt: skip
        """`compare` is asked when the database is closed; `halt` is given back after all else."""
        self._day = day
        self._store = store
        self._threads = threads
        self._left = left
        self._halt = halt
        self._compare = compare
        self._written: tuple[int, Stopped] | None = None

    async def save(self) -> Saved:
        """Write how the day stands as its last record, and wait until that is on the disk.

        Where the start was ended before the past was folded nobody knows how it stands: nothing is
        written, and what the process before has left goes on to count.
        """
        self._day.pause()  # where the engine was not running, nobody has asked it to
        await self._day.settle(within_s=SAVE_S)
        if not self._day.has_begun and self._left.had_past:
            return Saved(state=None, open_positions=None, is_halted=self._halt.stands)
        standing = self._day.standing
        if self._store.is_open and self._store.journal.takes:
            if not self._day.has_begun:
                self._day.keep_unbegun(self._store.journal)
            await self._write()
        return Saved(
            state=msgspec.to_builtins(standing),
            open_positions=standing.open_positions,
            is_halted=standing.is_halted or self._halt.stands,
        )

    async def _write(self) -> None:
        journal, engine = self._store.journal, self._day.engine
        self._day.seal()
        stopped = Stopped(
            at_ns=self._left.clock.now_ns(),
            day=self._left.date,
            last_sequence=journal.last_sequence,
            open_positions=engine.open_numbers if engine is not None else (),
            live_orders=engine.live_orders if engine is not None else (),
            halt=engine.halt if engine is not None else HaltLevel.NONE,
            reason="the day is over" if self._day.is_over else "stopped",
        )
        sequence = journal.append_stopped(stopped)
        if not self._store.is_written:
            await self._threads.call("FinalRecord", journal.write_rest, owner="application")
        await asyncio.wrap_future(journal.wait_durable(sequence))
        self._written = sequence, stopped

    async def verify(self, saved: Saved) -> None:
        """Close the journal and read it back. Raises what is not as it was left."""
        del saved
        self._day.close()
        if self._store.is_open:
            await self._threads.call_until_told("FinalState", self._verify, owner="application")

    def _verify(self, flag: StopFlag) -> None:
        journal, path = self._store.journal, self._left.folder / FILE_NAME
        journal.close_tape()
        closed = journal.close_database()
        self._halt.close()
        if not closed.is_complete:
            raise DataRefused(
                str(path),
                f"not everything is written: {closed.reason or closed}",
                "the next start begins from what is on the disk",
            )
        require_integrity(path, after=journal.checked, flag=flag)
        if self._written is not None:
            read_back(path, *self._written)
            differing = self._compare()
            if differing:
                _log.error("projections differ", component="ending", what=differing)

    async def tidy(self, within_s: float) -> None:
        """Seal the tape, which is whole without it."""
        if not self._store.is_open:
            return
        sealing = self._threads.start("TapeSealing", self._seal, owner="application")
        sealing.is_errand = True
        if not await sealing.join(within_s):
            sealing.tell()
            await sealing.join()

    def _seal(self, flag: StopFlag) -> None:
        if not self._store.journal.seal_tape(flag):
            _log.info("the next start seals the tape", component="ending")

    async def db_connections(self) -> int:
        """Connections to the database that are open."""
        return self._store.journal.connections
