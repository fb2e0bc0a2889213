"""A web socket that is sent elsewhere: the token stays where it was meant to go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from typing_extensions import override

from holdfast.brokers.dhan.rest import Answer, CallKind, Rest
from holdfast.brokers.dhan.rows import OrderWords
from holdfast.brokers.dhan.updates import UpdateStream
from holdfast.runtime.clock import ScaledClock
from tests.support.desk import CALL, SESSION
from tests.support.dhan_wire import PREFIX, Whose, WireServer, said
from tests.support.feed_desk import NOON, FeedDesk
from tests.support.feed_server import FeedServer, until

PLACES = (301, 302, 303, 307, 308)


class Named(FeedServer):
    """A feed's server by its address alone."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address

    @property
    @override
    def url(self) -> str:
        return self.address


@asynccontextmanager
async def sending_to(elsewhere: str, status: int) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that names another place; its address, and what it was asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.Response(status=status, headers={"Location": elsewhere})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("status", PLACES)
def test_the_login_of_the_order_stream_is_sent_to_nobody_else(status: int) -> None:
    """It would hold the token; the refusal names neither place."""

    async def main() -> None:
        async with FeedServer() as other:
            elsewhere = other.url.replace("ws:", "http:")
            async with sending_to(elsewhere, status) as (url, asked):
                stream = UpdateStream(
                    url, Whose(), ScaledClock(NOON, 20), words=OrderWords(PREFIX), tell=print
                )
                with pytest.raises(ConnectionError, match=f"HTTP {status}") as refused:
                    await stream.connect()
                await stream.close()
            assert len(asked) == 1
            assert "127.0.0.1" not in str(refused.value)
            assert (other.attempts, other.connections) == (0, [])

    asyncio.run(main())


def test_no_proxy_that_the_environment_names_sees_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither requests nor web sockets go there: whoever sets it would read every order."""

    async def main() -> None:
        async with (
            FeedServer() as broker,
            sending_to("http://127.0.0.1:1/", 302) as (proxy, asked),
            WireServer(lambda _heard: said(200, {})) as web_broker,
        ):
            for name in ("http_proxy", "https_proxy", "ws_proxy", "wss_proxy", "all_proxy"):
                monkeypatch.setenv(name, proxy.replace("ws:", "http:"))
            clock = ScaledClock(NOON, 10)
            rest = Rest(web_broker.base, Whose(), clock)
            for kind in CallKind:
                assert isinstance(await rest.call("GET", "/x", kind=kind), Answer)
            await rest.close()
            stream = UpdateStream(broker.url, Whose(), clock, words=OrderWords(PREFIX), tell=print)
            await stream.connect()
            await stream.close()
            desk = FeedDesk(broker, start_ns=NOON, sessions=(SESSION,), until_ns=None, speed=10)
            await desk.feed.connect()
            keeping = asyncio.ensure_future(desk.feed.keep(desk.hear, desk.told.append))
            await broker.connected(2)
            keeping.cancel()
            await asyncio.wait([keeping])
            await desk.feed.close()
            assert asked == []

    asyncio.run(main())


@pytest.mark.parametrize("status", PLACES)
def test_the_feed_takes_no_other_place_for_the_brokers(status: int) -> None:
    """Its address holds the token, and its prices would be anybody's."""

    async def main() -> None:
        async with FeedServer() as other:
            elsewhere = other.url.replace("ws:", "http:")
            async with sending_to(elsewhere, status) as (url, asked):
                desk = FeedDesk(
                    Named(url), start_ns=NOON, sessions=(SESSION,), until_ns=None, speed=10
                )
                desk.feed.want([CALL.id])
                await desk.feed.connect()
                keeping = asyncio.ensure_future(desk.feed.keep(desk.hear, desk.told.append))
                await until(lambda: len(asked) >= 2)
                keeping.cancel()
                await asyncio.wait([keeping])
                await desk.feed.close()
            assert (desk.links, other.attempts, other.connections) == ([], 0, [])

    asyncio.run(main())
