"""A DhanHQ feed on loopback for tests: the adapter's, the raw server, fast time, and what was told."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

from typing_extensions import override

from holdfast.brokers.dhan.feed import DhanFeed, FeedDay, TokenRefused
from holdfast.brokers.dhan.quotes import QuoteReader
from holdfast.brokers.dhan.rest import Answer, Failed, Reply, Rest
from holdfast.domain.dated import Session
from holdfast.domain.event import AnyEvent, Outcome
from holdfast.domain.instrument import Instrument, InstrumentId
from holdfast.domain.market import Tick
from holdfast.ports import Timing
from holdfast.runtime.clock import ScaledClock
from tests.support import feed_frames as frames
from tests.support.desk import CALL, NIFTY, OPEN, PUT, SECOND, SESSION
from tests.support.feed_server import FeedServer, Served

NOON = OPEN + 3 * 3_600 * SECOND
EVENING = OPEN + 10 * 3_600 * SECOND
SPEED = 10
SECRET = "eyJ.very-secret.token"  # noqa: S105 nobody's


class Holder:
    """Whose token it is."""

    def __init__(self) -> None:
        """One that is valid."""
        self.secret = SECRET
        self.client_id = "1000000001"


class Quoting(Rest):
    """The broker's REST side, answering quotes from what a test puts in; no socket."""

    def __init__(self, timing: Timing) -> None:
        """It answers with nothing at all."""
        super().__init__("http://127.0.0.1:9", None, timing)
        self.timing = timing
        self.asked: list[tuple[int, dict[str, list[int]]]] = []
        self.rows: dict[str, dict[str, Any]] = {}
        self.status = 200
        self.is_down = False

    @override
    async def call(self, method: str, path: str, **given: Any) -> Reply:
        """Answer after a moment."""
        assert (method, path) == ("POST", "/marketfeed/quote")
        self.asked.append((self.timing.now_ns(), given["body"]))
        await asyncio.sleep(0.001)
        at_ns = self.timing.now_ns()
        if self.is_down:
            return Failed(outcome=Outcome.UNANSWERED, reason="time-out", at_ns=at_ns)
        ok: dict[str, object] = {"data": self.rows, "status": "success"}
        bad: dict[str, object] = {"data": {"805": "Too many requests."}, "status": "failed"}
        payload = ok if self.status == 200 else bad
        return Answer(status=self.status, payload=payload, body=b"", at_ns=at_ns)

    @override
    async def close(self) -> None:
        """Nothing is open."""


def row(last: float, traded: str = "", **fields: Any) -> dict[str, Any]:
    """One quote as REST tells it (dhan.md 3.10)."""
    return {
        "last_price": last,
        "last_trade_time": traded,
        "volume": 0,
        "oi": 0,
        "depth": {"buy": [], "sell": []},
    } | fields


class FeedDesk:
    """A feed that is kept, its server, and everything that it told."""

    def __init__(
        self,
        server: FeedServer,
        *,
        start_ns: int,
        sessions: Sequence[Session],
        until_ns: int | None,
        speed: int,
    ) -> None:
        """Made by `feeding`."""
        self.server = server
        self.timing = ScaledClock(start_ns, speed)
        self.holder = Holder()
        self.rest = Quoting(self.timing)
        self.contracts: list[Instrument] = [NIFTY, CALL, PUT]
        self.held: set[InstrumentId] = set()
        self.links: list[tuple[bool, str]] = []
        self.told: list[AnyEvent] = []
        self.rejected: list[TokenRefused] = []
        self.ticks: list[Tick] = []
        self.is_ended = False
        day = FeedDay(self._contracts, sessions, self._held, until_ns)
        self.reader = QuoteReader(self.rest, self.timing, contracts=self._contracts)
        self.feed = DhanFeed(
            server.url,
            self.holder,
            self.timing,
            day=day,
            reader=self.reader,
            reject=self.rejected.append,
        )

    def _contracts(self) -> Sequence[Instrument]:
        return self.contracts

    def _held(self) -> Collection[InstrumentId]:
        return self.held

    def now(self) -> int:
        """The time that it is on this desk."""
        return self.timing.now_ns()

    def tick_index(self, served: Served, value: float = 24_500.0) -> None:
        """An index packet with a trade of now."""
        served.send(frames.ticker("IDX_I", 13, value, self.now()))

    async def speak(self, served: Served) -> None:
        """Tick on one connection twice a second until cancelled or over."""
        while not served.is_over:
            self.tick_index(served)
            await asyncio.sleep(self.timing.wall_s(0.5))

    async def take(self) -> None:
        """Take packets as the service does, until the feed ends."""
        while batch := await self.feed.packets():
            self.ticks += batch
        self.is_ended = True

    def hear(self, is_up: bool, reason: str) -> None:  # noqa: FBT001 a callback
        """Hear of the link."""
        self.links.append((is_up, reason))


@asynccontextmanager
async def feeding(
    *,
    start_ns: int = NOON,
    sessions: Sequence[Session] = (SESSION,),
    until_ns: int | None = None,
    speed: int = SPEED,
) -> AsyncIterator[FeedDesk]:
    """A desk whose feed is connected and kept."""
    async with FeedServer() as server:
        desk = FeedDesk(
            server, start_ns=start_ns, sessions=sessions, until_ns=until_ns, speed=speed
        )
        await desk.feed.connect()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(desk.feed.keep(desk.hear, desk.told.append)),
                    group.create_task(desk.take()),
                ]
                yield desk
                for task in tasks:
                    task.cancel()
        finally:
            await desk.feed.close()
