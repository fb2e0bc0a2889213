"""A whole server on loopback, its market written by the test, its time in the test's hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from holdfast.domain.market import Candle, Tick
from holdfast.exchange.checks import Behaviour
from holdfast.exchange.latency import MILLISECOND_NS, Latency
from holdfast.simbroker.dhan.clock import ServerClock
from holdfast.simbroker.dhan.doubts import Doubts
from holdfast.simbroker.dhan.host import World
from holdfast.simbroker.dhan.memory import Memory
from holdfast.simbroker.dhan.server import Ready, Server, Settings
from holdfast.simbroker.dhan.tokens import Login
from tests.support.desk import FACTS, OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import CALL, Script, option_tick

CLIENT = Login().client_id
SPEED = 1_000
START = OPEN - 60 * SECOND
TRANSIT = 100 * MILLISECOND_NS
"""How long an order is in TRANSIT here."""

BOOK = option_tick(OPEN, 118_50, traded_at_ns=OPEN - SECOND)
"""Bids 118.40 for 325 and 118.35 for 650, asks 118.70 for 650, in lots of 65."""


class HandWall:
    """The wall's time, moved by the test alone."""

    def __init__(self, at_ns: int = 0) -> None:
        self.at_ns = at_ns

    def now_ns(self) -> int:
        """As moved last."""
        return self.at_ns


class Served:
    """A server that serves, and a client that sends what a test wants."""

    def __init__(
        self, server: Server, ready: Ready, session: aiohttp.ClientSession, wall: HandWall
    ) -> None:
        self.server = server
        self.ready = ready
        self.session = session
        self.token = ready.token
        self._wall = wall

    def go(self, at_ns: int) -> None:
        """Let the day go on up to an instant."""
        self._wall.at_ns = (at_ns - START) // SPEED
        self.server.host.now()

    def wait(self, seconds: float) -> None:
        """Let so much of the day pass."""
        self.go(self.server.host.at_ns + round(seconds * SECOND))

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        host: str = "rest",
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Status and body of one request, the body read as JSON where it is JSON."""
        status, text, _ = await self.raw(
            method, path, body, host=host, headers=headers, query=query
        )
        return status, json.loads(text) if text else None

    async def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        host: str = "rest",
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> tuple[int, str, dict[str, str]]:
        """The same with the body as it came, and the headers."""
        base = self.ready.control if host == "control" else self.ready.urls[host]
        sent = {"access-token": self.token, "client-id": CLIENT, **(headers or {})}
        async with self.session.request(
            method,
            base + path,
            json=body,
            headers=sent,
            params=query,
            allow_redirects=False,
        ) as answered:
            return answered.status, await answered.text(), dict(answered.headers)

    async def place(self, **fields: Any) -> tuple[int, Any]:
        """Place an order: one lot of the call bought at 118.70 where nothing else is said."""
        return await self.ask("POST", "/orders", order_body(**fields))

    async def placed(self, **fields: Any) -> str:
        """The same, once it has reached the exchange; returns its id."""
        status, told = await self.place(**fields)
        assert (status, told["orderStatus"]) == (200, "TRANSIT"), told
        self.wait(0.2)
        order_id: str = told["orderId"]
        return order_id

    async def row(self, order_id: str) -> dict[str, Any]:
        """The row of an order."""
        _, rows = await self.ask("GET", f"/orders/{order_id}")
        row: dict[str, Any] = rows[0]
        return row

    async def faults(self, *asked: dict[str, Any]) -> None:
        """Let these go wrong from now on."""
        status, told = await self.ask("POST", "/faults", list(asked), host="control")
        assert status == 200, told

    async def truth(self) -> dict[str, Any]:
        """What the control endpoint tells."""
        _, told = await self.ask("GET", "/truth", host="control")
        truth: dict[str, Any] = told
        return truth


def order_body(**fields: Any) -> dict[str, Any]:
    """What a client sends to buy one lot of the call at 118.70; `None` leaves a key out."""
    body = {
        "dhanClientId": CLIENT,
        "transactionType": "BUY",
        "exchangeSegment": "NSE_FNO",
        "productType": "INTRADAY",
        "orderType": "LIMIT",
        "validity": "DAY",
        "securityId": str(CALL.security_id),
        "quantity": 65,
        "price": 118.7,
        **fields,
    }
    return {name: value for name, value in body.items() if value is not None}


@asynccontextmanager
async def serving(  # noqa: PLR0913 what may differ between servers
    ticks: Sequence[Tick] = (BOOK,),
    *,
    doubts: Doubts | None = None,
    behaviour: Behaviour | None = None,
    state: Path | None = None,
    wall: HandWall | None = None,
    at_ns: int = OPEN + SECOND,
    static_ip: str = "127.0.0.1",
    cash_paise: int = 2_00_000_00,
    history: Sequence[Candle] = (),
) -> AsyncIterator[Served]:
    """A server at `at_ns` of the day, one second after the open."""
    hand = wall or HandWall()
    world = World(
        facts=FACTS,
        source=Script(ticks, history),
        seed=1,
        cash_paise=cash_paise,
        behaviour=behaviour or Behaviour(quote_age_ns_max=3_600 * SECOND),
    )
    settings = Settings(
        doubts=doubts or Doubts(),
        latency=Latency(seed=1, request_ns=(TRANSIT, TRANSIT)),
        static_ip=static_ip,
    )
    memory = None if state is None else Memory(state)
    server = Server(world, ServerClock(START, SPEED, wall=hand), settings, memory)
    try:
        ready = await server.start()
        async with aiohttp.ClientSession() as session:
            served = Served(server, ready, session, hand)
            served.go(max(at_ns, server.host.time.now_ns()))
            yield served
    finally:
        await server.close()


def in_server(test: Callable[[Served], Awaitable[None]], **how: Any) -> None:
    """Run `test` against a server of its own."""

    async def run() -> None:
        async with serving(**how) as served:
            await test(served)

    asyncio.run(run())
