"""A service that keeps one connection up and says, as events, whether it is."""

import asyncio
from collections.abc import Callable

from typing_extensions import override

from holdfast.domain.errors import BrokerUnavailable
from holdfast.domain.event import AnyEvent, Link, LinkChanged
from holdfast.ports import Clock, Connection
from holdfast.runtime.fault import Fault
from holdfast.runtime.health import HEALTHY, Health, unhealthy
from holdfast.runtime.service import Ready, Service


class Pings(Service):
    """Connects, says that it is ready, pings, and gives the connection back.

    While a ping is unanswered for longer than `timeout_s`, or fails, the link counts as down. It is
    up again with the next one that is answered; five failures in a row, or silence, end this life
    of the service, and the supervisor begins another one, which connects anew.
    """

    start_failed_code = BrokerUnavailable.exit_code
    link: Link
    loop_name: str

    def __init__(
        self,
        connection: Connection,
        tell: Callable[[AnyEvent], None],
        clock: Clock,
        *,
        interval_s: float,
        timeout_s: float,
    ) -> None:
        """`tell` hears of each change of the link. Times are seconds."""
        self._connection = connection
        self._tell = tell
        self._clock = clock
        self._interval_s, self._timeout_s = interval_s, timeout_s
        self._is_up = self._is_lost = False

    @override
    async def run(self, ready: Ready) -> None:
        async with asyncio.timeout(self._timeout_s):
            await self._connection.connect()
            await self._connection.ping()
        await self._connected(ready)
        await self._keep()

    async def _connected(self, ready: Ready) -> None:
        """What follows on the connection's first answer."""
        self._come_up()
        ready()

    def _come_up(self) -> None:
        self._is_up, self._is_lost = True, False
        self._tell(LinkChanged(at_ns=self._clock.now_ns(), link=self.link, is_up=True))

    def _go_down(self, reason: str) -> None:
        if self._is_up:
            self._is_up = False
            self._tell(
                LinkChanged(at_ns=self._clock.now_ns(), link=self.link, is_up=False, reason=reason)
            )

    async def _keep(self) -> None:
        """Ping for as long as it is answered."""
        self.task(
            self.periodic(self.loop_name, self._ping, every_s=self._interval_s),
            name=self.loop_name,
        )

    async def _ping(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connection.ping()
        except OSError as error:  # a time-out is one
            self._is_lost = self._is_lost or self._is_up
            self._go_down(f"a ping was not answered: {Fault.of(error).text}")
            raise
        if self._is_lost:
            self._come_up()

    @override
    async def cleanup(self) -> None:
        self._is_lost = False
        self._go_down(f"{self.name} ended")
        await self._connection.close()

    @override
    def health(self) -> Health:
        return HEALTHY if self._is_up else unhealthy("not connected")
