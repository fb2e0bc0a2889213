"""The store as two services: the one that writes the journal, the one that writes the tape."""

from collections.abc import Callable
from typing import Final

from typing_extensions import override

from holdfast.domain.event import AnyEvent, JournalChanged
from holdfast.ports import Clock
from holdfast.runtime.health import HEALTHY, Health, unhealthy
from holdfast.runtime.service import Group, Ready, Service
from holdfast.store.journal import StoreJournal

OPENING: Final = "JournalCheck"


class Store(Service):
    """The journal: schema, integrity and chain are checked before it is ready."""

    name = "store"
    group = Group.STATE
    ready_within_s = 60.0

    def __init__(
        self,
        make: Callable[[], StoreJournal],
        tell: Callable[[AnyEvent], None],
        clock: Clock,
        *,
        threaded: bool,
    ) -> None:
        """`make` opens the journal. Threaded, that is done beside the event loop."""
        self._make = make
        self._tell = tell
        self._clock = clock
        self._threaded = threaded
        self._journal: StoreJournal | None = None

    @property
    def journal(self) -> StoreJournal:
        """The journal. It is open when this service has been ready."""
        assert self._journal is not None, "the store is not open"
        return self._journal

    @property
    def is_open(self) -> bool:
        """Whether there is a journal."""
        return self._journal is not None

    @override
    async def run(self, ready: Ready) -> None:
        if self._journal is None:
            self._journal = await self._opened()
        self._tell(JournalChanged(at_ns=self._clock.now_ns(), is_durable=True))
        ready()
        await self.stay()

    async def _opened(self) -> StoreJournal:
        if self._threaded:
            return await self._threads.call(OPENING, self._make, owner=self.name)
        return self._make()

    @override
    def health(self) -> Health:
        return HEALTHY if self._journal is not None else unhealthy("not open")


class Recorder(Service):
    """The tape of the day's market."""

    name = "recorder"
    needs: tuple[str, ...] = ("store",)
    group = Group.STATE

    def __init__(self, store: Store) -> None:
        """The tape belongs to the journal of `store`: one run of numbers."""
        self._store = store

    @override
    async def run(self, ready: Ready) -> None:
        ready()
        await self.stay()

    @override
    def health(self) -> Health:
        return HEALTHY if self._store.is_open else unhealthy("no segment is open")
