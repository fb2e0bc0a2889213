"""The store as two services: the one that writes the journal, the one that writes the tape."""

import asyncio
from collections.abc import Callable
from typing import Final

from typing_extensions import override

from holdfast.domain.event import AnyEvent, JournalChanged
from holdfast.ports import Clock
from holdfast.runtime.halting import WrittenHalt
from holdfast.runtime.health import HEALTHY, Health, unhealthy
from holdfast.runtime.service import BEAT_S, Group, Ready, Service
from holdfast.runtime.snapshots import Snapshots
from holdfast.store.served import ServedJournal

OPENING_S: Final = 60.0
"""How long the checks of a long journal may take."""


class _Half(Service):
    """One half of the journal. Threaded, what touches the disk runs beside the event loop."""

    group = Group.STATE
    ready_within_s = OPENING_S

    def __init__(self, journal: ServedJournal, *, threaded: bool) -> None:
        """Nothing is opened yet. A later life opens again, where the disk stands."""
        self.journal = journal
        self.is_open = False
        self.threaded = threaded

    async def _do(self, name: str, work: Callable[[], None]) -> None:
        if self.threaded:
            await self._threads.call(name, work, owner=self.name)
        else:
            work()

    @override
    def health(self) -> Health:
        return HEALTHY if self.is_open else unhealthy("not open")


class Store(_Half):
    """The journal: schema, integrity and chain are checked before it is ready.

    A disk that hangs or is full ends nothing here: the journal says that it is not durable.
    """

    name = "store"

    def __init__(
        self,
        journal: ServedJournal,
        tell: Callable[[AnyEvent], None],
        clock: Clock,
        *,
        threaded: bool,
        halt: WrittenHalt,
    ) -> None:
        """`tell` hears that the journal writes. The file of `halt` comes before the database."""
        self._halt = halt
        super().__init__(journal, threaded=threaded)
        self._tell = tell
        self._clock = clock

    @override
    async def run(self, ready: Ready) -> None:
        if not self.is_open:
            self._halt.open()
        await self._do("JournalOpening", self.journal.open_database)
        self.is_open = True
        if self.threaded:
            self.thread("JournalWriter", self.journal.write_records, self.journal.wake_records)
        self._tell(JournalChanged(at_ns=self._clock.now_ns(), is_durable=True))
        ready()
        while True:
            self.beat()
            self.journal.watch()
            await asyncio.sleep(BEAT_S / 2)


class Recorder(_Half):
    """The tape of the day's market; and the snapshots, which like it only ever save time."""

    name = "recorder"
    needs: tuple[str, ...] = ("store",)

    def __init__(self, journal: ServedJournal, snapshots: Snapshots, *, threaded: bool) -> None:
        """`snapshots` are written each second while they are due."""
        super().__init__(journal, threaded=threaded)
        self._snapshots = snapshots

    @override
    async def run(self, ready: Ready) -> None:
        await self._do("TapeOpening", self.journal.open_tape)
        self.is_open = True
        if self.threaded:
            self.thread("TapeWriter", self.journal.write_tape, self.journal.wake_tape)
        ready()
        while True:
            self.beat()
            if self._snapshots.is_due:
                await self._do("SnapshotWriter", self._snapshots.write)
            await asyncio.sleep(BEAT_S)
