"""The whole simulated Dhan as one process: its hosts on ports of loopback, and one host behind."""

import asyncio
import socket
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from aiohttp import web

from holdfast.domain.errors import DataRefused
from holdfast.exchange.latency import Latency
from holdfast.simbroker.dhan.auth import Auth
from holdfast.simbroker.dhan.book import Book
from holdfast.simbroker.dhan.clock import Pace, ServerClock
from holdfast.simbroker.dhan.control import Control
from holdfast.simbroker.dhan.desk import Desk
from holdfast.simbroker.dhan.doubts import Doubts
from holdfast.simbroker.dhan.gate import Gate, Serving
from holdfast.simbroker.dhan.host import Host, World
from holdfast.simbroker.dhan.market import MarketSide
from holdfast.simbroker.dhan.memory import Begun, Memory
from holdfast.simbroker.dhan.orders import Orders
from holdfast.simbroker.dhan.portfolio import Guards, Portfolio
from holdfast.simbroker.dhan.profile import Addresses, Profile
from holdfast.simbroker.dhan.route import Route
from holdfast.simbroker.dhan.shown import ist_stamp
from holdfast.simbroker.dhan.tokens import Consumer, Login, Tokens
from holdfast.simbroker.dhan.truth import Truth
from holdfast.simbroker.dhan.wire_faults import WireFault, WireFaults

LOOPBACK: Final = "127.0.0.1"
SITES: Final = ("rest", "auth", "feed", "updates", "instruments", "control")
"""The hosts of the broker, one port each, in this order; the last one is not the broker's."""

FILES: Final = "/api-data"

WATCH_S: Final = 0.02
"""Seconds of the wall between two looks at whether connections are taken."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How one server behaves. `redirect` is where a login page sends the browser."""

    login: Login = Login()
    doubts: Doubts = Doubts()
    latency: Latency
    static_ip: str = LOOPBACK
    redirect: str = "http://127.0.0.1/"
    is_logged_in: bool = True


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What a client needs to know: where everything is, whose account it is, what time it is.

    The secrets are those of the simulated account; `token` is empty where nobody logged in. `clock`
    is the section of that name in a client's configuration: what time it was here, and when.
    """

    urls: dict[str, str]
    control: str
    account: Login
    token: str
    day: str
    now_ns: int
    speed: int
    clock: dict[str, str | int]
    continues: bool


class Server:
    """Everything that is served, from its ports to its memory. Closed by whoever made it."""

    def __init__(
        self, world: World, clock: ServerClock, settings: Settings, memory: Memory | None = None
    ) -> None:
        """A memory that holds a day goes on with it: same time, same ports, same orders."""
        self.host = Host(world, clock)
        self.tokens = Tokens(settings.login, world.seed)
        self.faults = WireFaults(world.seed)
        self.truth = Truth(self.host)
        self.desk = Desk(
            self.host,
            settings.doubts,
            client_id=settings.login.client_id,
            latency=settings.latency,
        )
        self.stopping = asyncio.Event()
        self._clock = clock
        self._settings = settings
        self._memory = memory
        self._world = _identity(world)
        self._market = MarketSide(
            self.host,
            tokens=self.tokens,
            wire=self.faults,
            truth=self.truth,
            doubts=settings.doubts,
        )
        self._gate = Gate(
            self.host, self.desk, tokens=self.tokens, faults=self.faults, truth=self.truth
        )
        self._control = Control(
            self.host,
            self.desk,
            clock=clock,
            tokens=self.tokens,
            truth=self.truth,
            faults=self.faults,
        )
        self._control.stop = self.stopping.set
        self._control.told_pace = self._keep_pace
        self._control.streams = {
            "feed": self._market.feed.connections,
            "updates": self._market.updates.connections,
        }
        self._control.sent = lambda after, most: list(
            self._market.feed.sent.after(after, limit=most)
        )
        self._rest = self._routes(settings)
        self._auth = Auth(self.host, self.tokens, redirect=settings.redirect)
        self._runners: list[web.AppRunner] = []
        self._bound: dict[str, socket.socket] = {}
        self._sites: dict[str, web.SockSite] = {}
        self._ports: dict[str, int] = {}

    async def start(self, ports: dict[str, int] | None = None) -> Ready:
        """Bind everything and say where it is. Raises OSError for a port that is taken.

        `ports` by the names of `SITES`; one that is absent or 0 is any free one.
        """
        begun = None if self._memory is None else self._memory.begun
        if begun is not None:
            self._refuse_another(begun)
        told = self._bind(begun.ports if begun is not None else ports or {})
        if begun is not None:
            self._resume(begun)
        elif self._memory is not None:
            self._memory.begin(Begun(world=self._world, ports=told, pace=self._clock.pace))
        if self._memory is not None:
            self.host.keep = self._memory.keep
        if begun is None and self._settings.is_logged_in:
            self.host.do("mint", {"consumer": Consumer.SELF.value, "by": "page"})
        await self._serve(told)
        return self._ready(told, continues=begun is not None)

    def _bind(self, wanted: dict[str, int]) -> dict[str, int]:
        """Listen on loopback, on the ports of a server that died too; each port by its name."""
        for name in SITES:
            self._bound[name] = socket.create_server((LOOPBACK, wanted.get(name, 0)))
        return {name: one.getsockname()[1] for name, one in self._bound.items()}

    async def _serve(self, ports: dict[str, int]) -> None:
        files_url = f"http://{LOOPBACK}:{ports['instruments']}"
        for name, app in self._apps(files_url).items():
            runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
            self._runners.append(runner)
            await runner.setup()
            self._sites[name] = web.SockSite(runner, self._bound[name], backlog=128)
            await self._sites[name].start()

    async def run(self) -> None:
        """Serve until asked to stop."""
        async with asyncio.TaskGroup() as tasks:
            parts = (self.host.run(), self._market.run(), self._watch_door())
            going = [tasks.create_task(part) for part in parts]
            await self.stopping.wait()
            for task in going:
                task.cancel()

    async def close(self) -> None:
        """Give everything back."""
        for runner in self._runners:
            await runner.cleanup()
        for one in self._bound.values():
            one.close()
        if self._memory is not None:
            self._memory.close()

    async def _watch_door(self) -> None:
        """Take no connection at the REST host, or cut those it has, while a window says so."""
        is_shut, last = False, None
        while True:
            window = self.faults.finds(WireFault.CONNECT_REFUSED, "door", self.host.at_ns)
            if window is not None and not is_shut:
                self.faults.strike(window)
                await self._shut("rest")
            elif window is None and is_shut:
                await self._open_again("rest")
            is_shut = window is not None
            cut = self.faults.finds(WireFault.CONNECTIONS_CUT, "cut", self.host.at_ns)
            if cut is not None and cut is not last:
                self.faults.strike(cut)
                self._cut("rest")
            last = cut
            await asyncio.sleep(WATCH_S)

    async def _shut(self, name: str) -> None:
        """Close the listener, and cut every connection that it has brought."""
        self._ports[name] = self._bound[name].getsockname()[1]
        await self._sites[name].stop()
        self._cut(name)

    def _cut(self, name: str) -> None:
        """Reset the connections that a host has now."""
        runner = self._runners[SITES.index(name)]
        assert runner.server is not None, "it has served"
        for connection in runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def _open_again(self, name: str) -> None:
        self._bound[name] = socket.create_server((LOOPBACK, self._ports[name]))
        runner = self._runners[SITES.index(name)]
        self._sites[name] = web.SockSite(runner, self._bound[name], backlog=128)
        await self._sites[name].start()

    def _refuse_another(self, begun: Begun) -> None:
        """Raises DataRefused when the memory is that of another day."""
        if begun.world != self._world:
            raise DataRefused(
                "the state of this server",
                f"it holds {begun.world}, asked for is {self._world}",
                "name another folder, or start with the same day, seed and cash",
            )

    def _resume(self, begun: Begun) -> None:
        assert self._memory is not None, "a memory has begun it"
        self._clock.resume(begun.pace)
        self._memory.redo(self.host)

    def _keep_pace(self) -> None:
        if self._memory is not None:
            self._memory.keep_pace(self._clock.pace)

    def _routes(self, settings: Settings) -> list[Route]:
        """What the account side offers on the REST host."""
        addresses = Addresses(self.host, self.faults, primary=settings.static_ip)
        book = Book(self.host, self.desk, self.faults)
        orders = Orders(self.host, self.desk, book=book, addresses=addresses, faults=self.faults)
        portfolio = Portfolio(
            self.host, self.desk, book=book, addresses=addresses, faults=self.faults
        )
        return [
            *Profile(self.host, self.tokens).routes(),
            *addresses.routes(),
            *orders.routes(),
            *portfolio.routes(),
            *Guards(self.host, self.desk, addresses).routes(),
        ]

    def _apps(self, files_url: str) -> dict[str, web.Application]:
        return {
            "rest": self._app([*self._rest, *self._market.routes(files_url)]),
            "auth": self._app(self._auth.routes()),
            "feed": _stream(self._market.feed.serve),
            "updates": _stream(self._market.updates.serve),
            "instruments": self._app(self._market.files()),
            "control": self._control.app(),
        }

    def _app(self, routes: Iterable[Route]) -> web.Application:
        """Routes behind the gate; what is no route is told by the gateway."""

        @web.middleware
        async def gateway(request: web.Request, handler: Serving) -> web.StreamResponse:
            # A path with another method is unknown too: slicing, for one, is not built.
            if isinstance(request.match_info.http_exception, web.HTTPException):
                return self._gate.unknown(request)
            return await handler(request)

        app = web.Application(middlewares=[gateway])
        for route in routes:
            app.router.add_route(route.method, route.path, self._gate.serving(route))
        return app

    def _ready(self, ports: dict[str, int], *, continues: bool) -> Ready:
        active = self.tokens.active
        return Ready(
            urls={
                "rest": f"http://{LOOPBACK}:{ports['rest']}/v2",
                "auth": f"http://{LOOPBACK}:{ports['auth']}",
                "feed": f"ws://{LOOPBACK}:{ports['feed']}",
                "updates": f"ws://{LOOPBACK}:{ports['updates']}",
                "instruments": f"http://{LOOPBACK}:{ports['instruments']}{FILES}",
            },
            control=f"http://{LOOPBACK}:{ports['control']}",
            account=self._settings.login,
            token="" if active is None else active.secret,
            day=self.host.facts.day,
            now_ns=self._clock.now_ns(),
            speed=self._clock.pace.speed,
            clock=_section(self._clock.pace),
            continues=continues,
        )


def _identity(world: World) -> dict[str, Any]:
    """What tells one day from another."""
    return {
        "day": world.facts.day,
        "seed": world.seed,
        "cash_paise": world.cash_paise,
        "instruments": len(world.source.instruments),
        "stop_to_limit": world.behaviour.stop_to_limit.value,
    }


def _section(pace: Pace) -> dict[str, str | int]:
    """A pace in whole seconds of India and whole milliseconds of the wall, at one instant."""
    over_ns = pace.start_ns % 1_000_000_000
    since_ns = pace.wall_ns - over_ns // pace.speed
    start = ist_stamp(pace.start_ns - over_ns)
    return {"start": start, "since_ms": round(since_ns / 1_000_000), "speed": pace.speed}


def _stream(serve: Serving) -> web.Application:
    app = web.Application()
    app.router.add_get("/", serve)
    return app
