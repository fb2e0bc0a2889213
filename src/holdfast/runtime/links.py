"""The two lines of an account: the one that orders go out on, the one that words about them come on."""

import asyncio
from collections.abc import Awaitable, Callable

from typing_extensions import override

from holdfast.domain.event import AnyEvent, Link
from holdfast.ports import Clock, Connection
from holdfast.runtime.connected import Pings, Redial
from holdfast.runtime.service import Group


class Updates(Pings):
    """The stream of order updates: alive by its ping, not by chatter."""

    name = "updates"
    needs: tuple[str, ...] = ("login", "engine")
    group = Group.ORDER
    link = Link.UPDATES
    loop_name = "OrderUpdates"


class Routing(Pings):
    """The way out for orders: a warm connection, and the last to end what is in flight."""

    name = "router"
    needs: tuple[str, ...] = ("engine", "updates")
    group = Group.ORDER
    link = Link.ORDERS
    loop_name = "OrderLine"

    def __init__(  # noqa: PLR0913 what every connection has, and its settling
        self,
        connection: Connection,
        tell: Callable[[AnyEvent], None],
        clock: Clock,
        *,
        interval_s: float,
        timeout_s: float,
        settle: Callable[[], Awaitable[None]],
        redial: Redial | None = None,
    ) -> None:
        """`settle` returns when every request that left has been answered."""
        super().__init__(
            connection, tell, clock, interval_s=interval_s, timeout_s=timeout_s, redial=redial
        )
        self._settle = settle

    @override
    async def drain(self) -> None:
        await self._settle()
        await asyncio.sleep(0)
