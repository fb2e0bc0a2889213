"""A service that keeps one connection up and says, as events, whether it is."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from typing_extensions import override

from holdfast.domain.errors import BrokerUnavailable, HoldfastError
from holdfast.domain.event import AnyEvent, Link, LinkChanged
from holdfast.exchange.draws import draw_within
from holdfast.ports import Clock, Connection
from holdfast.runtime.fault import Fault
from holdfast.runtime.health import HEALTHY, Health, unhealthy
from holdfast.runtime.service import Ready, Service

_log = structlog.get_logger("connection")

SILENT_TRIES: Final = 3
"""So many time-outs of one try may pass between two heartbeats of a service that redials."""


class Redial(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection that was lost is made anew, again and again: pauses in seconds of the wall.

    They double from `first_s` to `most_s`, a quarter more or less by chance (T28).
    """

    first_s: float
    most_s: float

    def pause_s(self, name: str, tries: int) -> float:
        """How long to wait after so many tries. The chance is a hash, the same in a replay."""
        pause_s = min(self.first_s * 2.0 ** min(tries - 1, 16), self.most_s)
        spread = draw_within(0, "redial", f"{name}/{tries}", low=-250, high=250)
        return pause_s * (1_000 + spread) / 1_000


class Pings(Service):
    """Connects, says that it is ready, pings, and gives the connection back.

    While a ping is unanswered for longer than `timeout_s`, or fails, the link counts as down. It is
    up again with the next one that is answered; five failures in a row, or silence, end this life
    of the service, and the supervisor begins another one, which connects anew.

    With `redial` a connection that was up once is made anew within the same life, for as long as it
    takes: a broker that is away for an hour must not cost the engine its life, nor be given up.
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
        redial: Redial | None = None,
    ) -> None:
        """`tell` hears of each change of the link. Times are seconds."""
        if redial is not None:
            self.silent_s = max(self.silent_s, SILENT_TRIES * timeout_s)
        self._redial = redial
        self._dialing = asyncio.Lock()
        self._dialed = 0
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
        dialed = self._dialed
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connection.ping()
        except OSError as error:  # a time-out is one
            self._is_lost = self._is_lost or self._is_up
            reason = f"a ping was not answered: {Fault.of(error).text}"
            if self._redial is not None:
                await self._dial_again(self._redial, dialed, reason)
                return
            self._go_down(reason)
            raise
        if self._is_lost:
            self._come_up()

    async def _dial_again(self, redial: Redial, dialed: int, reason: str) -> None:
        """Make the connection anew, however long it takes; `dialed` is how often that was done.

        Two may notice at once that it is gone: the second finds it made.
        """
        async with self._dialing:
            if dialed != self._dialed:
                return
            self._go_down(reason)
            tries = 0
            while not await self._dial():
                tries += 1
                await self._wait_beating(redial.pause_s(self.name, tries))
            self._dialed += 1
            self._come_up()

    async def _dial(self) -> bool:
        """Try once; returns whether it is there."""
        self.beat()
        try:
            await self._connection.close()
            async with asyncio.timeout(self._timeout_s):
                await self._connection.connect()
                await self._connection.ping()
        except (OSError, HoldfastError) as error:
            _log.warning("not connected", component=self.name, **Fault.of(error).fields)
            return False
        return True

    @override
    async def cleanup(self) -> None:
        self._is_lost = False
        self._go_down(f"{self.name} ended")
        await self._connection.close()

    @override
    def health(self) -> Health:
        return HEALTHY if self._is_up else unhealthy("not connected")
