"""Work that goes on beside the day for as long as it lasts, and that nothing else waits for."""

from collections.abc import Awaitable, Callable

from typing_extensions import override

from holdfast.runtime.health import HEALTHY, Health
from holdfast.runtime.service import Group, Ready, Service


class Beside(Service):
    """Does one thing for ever. Where that fails it restarts alone, and what it tells bars entries."""

    group = Group.SIDE
    critical = False

    def __init__(
        self, name: str, work: Callable[[], Awaitable[None]], *, needs: tuple[str, ...] = ()
    ) -> None:
        """`work` returns only when it is cancelled."""
        self.name = name
        self.needs = needs
        self._work = work

    @override
    async def run(self, ready: Ready) -> None:
        ready()
        self.task(self.stay(), name=f"{self.name}Beat")
        await self._work()

    @override
    def health(self) -> Health:
        return HEALTHY
