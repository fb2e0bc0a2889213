"""The store as two services: the one that writes the journal, the one that writes the tape."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog
from typing_extensions import override

from holdfast.domain.event import AnyEvent, JournalChanged
from holdfast.ports import Clock
from holdfast.runtime.halting import WrittenHalt
from holdfast.runtime.health import HEALTHY, Health, unhealthy
from holdfast.runtime.service import BEAT_S, Group, Ready, Service
from holdfast.runtime.snapshots import Snapshots
from holdfast.runtime.threads import StopFlag
from holdfast.store.served import ServedJournal
from holdfast.store.stops import Interrupted

_log = structlog.get_logger("store")

OPENING_S: Final = 60.0
"""How long the checks of a long journal may take."""

CHECK_S: Final = 1.0
"""So often what was written is read back while the day goes on."""


class _Half(Service):
    """One half of the journal. What takes long on the disk runs beside the event loop."""

    group = Group.STATE
    ready_within_s = OPENING_S

    def __init__(self, journal: ServedJournal, *, threaded: bool) -> None:
        """Nothing is opened yet. A later life opens again, where the disk stands."""
        self.journal = journal
        self.is_open = False
        self.threaded = threaded

    async def _do(self, name: str, work: Callable[[StopFlag], None]) -> None:
        """Beside the event loop; where nothing is threaded at once, so that the order is always one."""
        if self.threaded:
            await self._threads.call_until_told(name, work, owner=self.name)
        else:
            work(StopFlag())

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
        self._unsound = ""

    @override
    async def run(self, ready: Ready) -> None:
        if not self.is_open:
            self._halt.open()
        await self._do("JournalOpening", self.journal.open_database)
        self.is_open = True
        if self.threaded:
            self.thread("JournalWriter", self.journal.write_records, self.journal.wake_records)
            self.thread("JournalCheck", self._check)
        self._tell(JournalChanged(at_ns=self._clock.now_ns(), is_durable=True))
        ready()
        while True:
            self.beat()
            self.journal.watch()
            await asyncio.sleep(BEAT_S / 2)

    def _check(self, flag: StopFlag) -> None:
        """What `JournalCheck` runs: what is read back now the stop need not read."""
        with suppress(Interrupted):
            while not flag.wait(CHECK_S):
                self._note(self.journal.check(flag))

    def _note(self, unsound: str) -> None:
        """Tell once of a journal that is not as it was written; the stop's verification fails."""
        if unsound and unsound != self._unsound:
            _log.error("the journal is not sound", component=self.name, what=unsound)
        self._unsound = unsound


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
        await self._do("TapeOpening", lambda _flag: self.journal.open_tape())
        self.is_open = True
        if self.threaded:
            self.thread("TapeWriter", self.journal.write_tape, self.journal.wake_tape)
        ready()
        while True:
            self.beat()
            if self._snapshots.is_due:
                await self._do("SnapshotWriter", lambda _flag: self._snapshots.write())
            await asyncio.sleep(BEAT_S)
