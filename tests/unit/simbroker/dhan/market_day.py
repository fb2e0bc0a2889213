"""A day whose every tick is written by the test, and the market side of a server around it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web
from msgspec.structs import replace

from holdfast.domain.event import CandleLoaded
from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    Kind,
    Segment,
    instrument_id,
)
from holdfast.domain.market import Candle, Level, Tick
from holdfast.exchange.universe import Universe
from holdfast.simbroker.dhan.board import Board
from holdfast.simbroker.dhan.doubts import Doubts
from holdfast.simbroker.dhan.host import Host, World
from holdfast.simbroker.dhan.market import MarketSide
from holdfast.simbroker.dhan.route import Call
from holdfast.simbroker.dhan.tokens import Consumer, Login, Tokens
from holdfast.simbroker.dhan.truth import Truth
from holdfast.simbroker.dhan.wire_faults import Endpoint, WireFault, WireFaults, WireWindow
from tests.support.desk import FACTS, OPEN, SECOND

EXPIRY = "2026-11-24"
INDEX = Instrument(
    id=instrument_id(Segment.IDX_I, 13),
    segment=Segment.IDX_I,
    security_id=13,
    symbol="NIFTY",
    exchange=Exchange.NSE,
    kind=Kind.INDEX,
    underlying="NIFTY",
    lot_size=0,
    price_step_paise=0,
    freeze_quantity=0,
)
UNIVERSE = Universe(
    index=INDEX,
    spot_paise=24_500_00,
    strike_step_paise=50_00,
    lot_size=65,
    freeze_quantity=1_756,
    price_step_paise=5,
    expiry=EXPIRY,
    strikes_each_side=2,
)
OPTIONS = UNIVERSE.options()
CALL = OPTIONS[4]
"""The call at 24,500."""

PUT = OPTIONS[5]
FOLLOWED = [INDEX, *OPTIONS]


def option_tick(  # noqa: PLR0913 a tick has many parts
    at_ns: int,
    last_paise: int,
    *,
    contract: Instrument = CALL,
    volume: int = 65,
    traded_at_ns: int | None = OPEN,
    oi: int = 6_500,
    bids: tuple[Level, ...] = ((118_40, 325), (118_35, 650)),
    asks: tuple[Level, ...] = ((118_70, 650),),
) -> Tick:
    """A tick of an option with a book."""
    return Tick(
        at_ns=at_ns,
        instrument=contract.id,
        last_paise=last_paise,
        venue_at_ns=traded_at_ns,
        volume=volume,
        oi=oi,
        bids=bids,
        asks=asks,
    )


def index_tick(at_ns: int, last_paise: int) -> Tick:
    """A tick of the index, whose trade is of this second."""
    return Tick(
        at_ns=at_ns,
        instrument=INDEX.id,
        last_paise=last_paise,
        venue_at_ns=at_ns - at_ns % SECOND,
    )


def candles(count: int, *, start_ns: int = OPEN - 86_400 * SECOND) -> list[Candle]:
    """Minutes of the index on the day before, each five paise higher than the one before."""
    return [
        Candle(
            instrument=INDEX.id,
            interval_s=60,
            start_ns=start_ns + number * 60 * SECOND,
            open_paise=24_400_00 + 5 * number,
            high_paise=24_410_00 + 5 * number,
            low_paise=24_390_00 + 5 * number,
            close_paise=24_405_00 + 5 * number,
        )
        for number in range(count)
    ]


class Script:
    """A source of exactly these ticks and candles."""

    def __init__(self, ticks: Sequence[Tick] = (), history: Sequence[Candle] = ()) -> None:
        self._ticks = ticks
        self._history = history

    @property
    def instruments(self) -> Sequence[Instrument]:
        """The index and its options."""
        return FOLLOWED

    def history(self) -> Iterator[CandleLoaded]:
        """As told."""
        return (CandleLoaded(at_ns=OPEN - SECOND, candle=one) for one in self._history)

    def ticks(self) -> Iterator[Tick]:
        """As told."""
        return iter(self._ticks)


class HandTime:
    """Time that the test moves; a second of it is a millisecond of the wall."""

    def __init__(self, at_ns: int) -> None:
        self.at_ns = at_ns

    def now_ns(self) -> int:
        """As moved last."""
        return self.at_ns

    def wall_s(self, seconds: float) -> float:
        """A thousandth."""
        return seconds / 1_000


class Day:
    """A host with its market side, a token, and time in the test's hand."""

    def __init__(
        self,
        ticks: Sequence[Tick] = (),
        history: Sequence[Candle] = (),
        *,
        at_ns: int = OPEN - SECOND,
        doubts: Doubts | None = None,
        flush_ms: int = 250,
    ) -> None:
        self.time = HandTime(at_ns)
        world = World(facts=FACTS, source=Script(ticks, history), seed=1, cash_paise=10_00_000_00)
        self.host = Host(world, self.time)
        self.host.on_market(self._trade)
        self.tokens = Tokens(Login(), seed=1)
        self.token = self.tokens.mint(self.time.at_ns, consumer=Consumer.SELF, by="web").secret
        self.wire = WireFaults(1)
        self.truth = Truth(self.host)
        self.side = MarketSide(
            self.host,
            tokens=self.tokens,
            wire=self.wire,
            truth=self.truth,
            doubts=doubts,
            flush_ms=flush_ms,
        )
        self.host.advance(at_ns)

    def _trade(self, tick: Tick) -> None:
        self.host.exchange.on_tick(tick)

    @property
    def board(self) -> Board:
        """What is shown."""
        return self.side.board

    def go(self, at_ns: int) -> None:
        """Let everything happen up to an instant."""
        self.time.at_ns = at_ns
        self.host.advance(at_ns)

    def strike(self, kind: WireFault, *, for_s: int = 3_600, **rest: Any) -> None:
        """Let a kind of fault begin now."""
        at_ns = self.host.at_ns
        window = WireWindow(kind=kind, from_ns=at_ns, until_ns=at_ns + for_s * SECOND, **rest)
        self.wire.add([window])

    def call(self, payload: Any, endpoint: Endpoint = Endpoint.QUOTES, **named: str) -> Call:
        """A request as the door hands it on."""
        return Call(
            at_ns=self.host.at_ns,
            endpoint=endpoint,
            key="1",
            client_id=self.tokens.login.client_id,
            payload=payload,
            named=named,
        )

    @asynccontextmanager
    async def served(self) -> AsyncIterator["Sockets"]:
        """Both streams on loopback, each on a port of its own."""
        async with asyncio.TaskGroup() as tasks, aiohttp.ClientSession() as session:
            watching = tasks.create_task(self.side.run())
            runners = []
            urls = []
            for serve in (self.side.feed.serve, self.side.updates.serve):
                app = web.Application()
                app.router.add_get("/", serve)
                runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
                await runner.setup()
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                runners.append(runner)
                urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}/")
            sockets = Sockets(self, session, *urls)
            try:
                yield sockets
            finally:
                watching.cancel()
                await sockets.close()
                for runner in runners:
                    await runner.cleanup()


class Client:
    """One WebSocket of the test: it answers pings whenever it reads, unless it is silent."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, *, is_silent: bool = False) -> None:
        self.socket = socket
        self.ended_by: aiohttp.WSMsgType | None = None
        self._is_silent = is_silent
        self._kept: list[Any] = []

    async def send(self, told: Any) -> None:
        """Send JSON, and wait until the server has taken it: it answers a ping behind it."""
        await self.socket.send_json(told)
        await self.socket.ping(b"taken?")
        while (message := await self._read()) is not None:
            if message.type is aiohttp.WSMsgType.PONG and message.data == b"taken?":
                return

    async def frames(self, *, for_s: float = 0.15) -> list[Any]:
        """Every frame until nothing has come for a while; pings come always, and count not."""
        ends = asyncio.get_running_loop().time() + for_s
        try:
            while self.ended_by is None:
                count = len(self._kept)
                async with asyncio.timeout_at(ends):
                    await self._read()
                if len(self._kept) > count:
                    ends = asyncio.get_running_loop().time() + for_s
        except TimeoutError:
            pass
        kept, self._kept = self._kept, []
        return kept

    async def end(self) -> aiohttp.WSMsgType:
        """Read to the end; CLOSE where the server said goodbye, something else where it did not."""
        async with asyncio.timeout(3):
            while self.ended_by is None:
                await self._read()
        return self.ended_by

    async def _read(self) -> aiohttp.WSMessage | None:
        message = await self.socket.receive()
        if message.type is aiohttp.WSMsgType.PING:
            if not self._is_silent:
                await self.socket.pong(message.data)
        elif message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
            self._kept.append(message.data)
        elif message.type is not aiohttp.WSMsgType.PONG:
            self.ended_by = message.type
            return None
        return message


class Sockets:
    """A client of its own for both streams."""

    def __init__(
        self, day: Day, session: aiohttp.ClientSession, feed_url: str, updates_url: str
    ) -> None:
        self.day = day
        self._session = session
        self._feed_url = feed_url
        self._updates_url = updates_url
        self._opened: list[aiohttp.ClientWebSocketResponse] = []

    async def close(self) -> None:
        """Close what was opened."""
        for socket in self._opened:
            await socket.close()

    async def feed(
        self, *, token: str | None = None, client_id: str = "1000000001", is_silent: bool = False
    ) -> Client:
        """A connection of the market feed."""
        query = {
            "version": "2",
            "token": self.day.token if token is None else token,
            "clientId": client_id,
            "authType": "2",
        }
        return Client(await self._open(f"{self._feed_url}?{urlencode(query)}"), is_silent=is_silent)

    async def updates(self, login: object = None) -> Client:
        """A connection of the order updates that has sent its login, by default a good one."""
        client = Client(await self._open(self._updates_url))
        request = {"MsgCode": 42, "ClientId": "1000000001", "Token": self.day.token}
        good = {"LoginReq": request, "UserType": "SELF"}
        await client.send(good if login is None else login)
        return client

    async def _open(self, url: str) -> aiohttp.ClientWebSocketResponse:
        close = aiohttp.ClientWSTimeout(ws_close=0.2)
        socket = await self._session.ws_connect(url, timeout=close, autoping=False)
        self._opened.append(socket)
        return socket


def wish(code: int, *instruments: Instrument) -> dict[str, Any]:
    """A message that subscribes or takes it back."""
    listed = [
        {"ExchangeSegment": one.segment.value, "SecurityId": str(one.security_id)}
        for one in instruments
    ]
    return {"RequestCode": code, "InstrumentCount": len(listed), "InstrumentList": listed}


def share(number: int) -> Instrument:
    """A share that nobody trades here."""
    return replace(
        INDEX,
        id=instrument_id(Segment.NSE_EQ, number),
        segment=Segment.NSE_EQ,
        security_id=number,
        kind=Kind.EQUITY,
        lot_size=1,
        price_step_paise=5,
    )
