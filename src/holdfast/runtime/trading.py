"""The engine as a service: recovered and tested before it is ready, and the last to be cut off."""

from collections.abc import Awaitable, Callable
from typing import Final

from typing_extensions import override

from holdfast.domain.errors import HoldfastError, StepGivenUp
from holdfast.ports import VenueDriver
from holdfast.runtime.day import Begun, Day, DayJournal
from holdfast.runtime.health import HEALTHY, Health, unhealthy
from holdfast.runtime.service import Group, Ready, Service

HALF_DONE: Final = (
    "the engine was left in the middle of an event\n"
    "  the log says by what; the next start recovers from the journal"
)


class Trading(Service):
    """Drives the day. A later life goes on with the engine as it is: it is the truth."""

    name = "engine"
    needs: tuple[str, ...] = ("store", "recorder", "book", "feed")
    group = Group.ORDER
    ready_within_s = 120.0

    def __init__(
        self,
        day: Day,
        venue: VenueDriver,
        journal: DayJournal,
        *,
        recover: Callable[[], Awaitable[Begun]],
        over: Callable[[], None],
        give_up: Callable[[HoldfastError], None],
    ) -> None:
        """`recover` makes the engine; `over` hears that the day has ended.

        `give_up` hears why the engine cannot go on: the program must end.
        """
        self._day = day
        self._venue = venue
        self._journal = journal
        self._recover = recover
        self._over = over
        self._give_up = give_up

    @override
    async def run(self, ready: Ready) -> None:
        if self._day.is_whole:
            await self._trade(ready)
        else:
            self._end(StepGivenUp(HALF_DONE))
        if self._day.is_over:
            self._over()
        await self.stay()

    async def _trade(self, ready: Ready) -> None:
        try:
            if not self._day.has_begun:
                self._day.begin(await self._recover(), self._venue, self._journal)
            ready()
            await self._day.drive(self.beat)
        except StepGivenUp as error:
            self._end(error)

    def _end(self, error: StepGivenUp) -> None:
        """Nobody may step this engine again, in the stop neither."""
        self._day.close()
        self._give_up(error)

    @override
    async def drain(self) -> None:
        self._day.pause()

    @override
    def health(self) -> Health:
        return HEALTHY if self._day.has_begun else unhealthy("not recovered")
