"""The engine as a service: recovered and tested before it is ready, and the last to be cut off."""

from collections.abc import Callable, Iterable

import structlog
from typing_extensions import override

from holdfast.domain.event import AnyEvent
from holdfast.runtime.day import Day, DayJournal
from holdfast.runtime.health import HEALTHY, Health, unhealthy
from holdfast.runtime.service import Group, Ready, Service

_log = structlog.get_logger("engine")


class Trading(Service):
    """Drives the day. A later life goes on with the engine as it is: it is the truth."""

    name = "engine"
    needs: tuple[str, ...] = ("store", "recorder", "book", "feed")
    group = Group.ORDER
    ready_within_s = 60.0

    def __init__(
        self,
        day: Day,
        *,
        journal: Callable[[], DayJournal],
        beginning: Callable[[], Iterable[AnyEvent]],
        over: Callable[[], None],
    ) -> None:
        """`beginning` is what every start tells the engine; `over` hears that the day has ended."""
        self._day = day
        self._journal = journal
        self._beginning = beginning
        self._over = over

    @override
    async def run(self, ready: Ready) -> None:
        if not self._day.has_begun:
            self._day.begin(self._journal(), self._beginning())
        ready()
        await self._day.drive(self.beat)
        if self._day.is_over:
            self._over()
        await self.stay()

    @override
    async def drain(self) -> None:
        self._day.pause()

    @override
    def health(self) -> Health:
        return HEALTHY if self._day.has_begun else unhealthy("not recovered")
