"""One WebSocket of a client, from the server's side."""

import asyncio

import aiohttp
from aiohttp import web

from holdfast.simbroker.dhan.peer import Peer
from tests.unit.simbroker.dhan.market_day import HandTime


def test_a_client_that_is_gone_when_it_is_pinged_ends_quietly() -> None:
    """Its transport closes between two pings: no error reaches the server."""
    over: list[bool] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        peer = Peer(request, HandTime(0))
        response = await peer.open()
        assert request.transport is not None
        request.transport.abort()
        async with asyncio.timeout(5):
            await peer.keep()
        over.append(peer.is_over)
        return response

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/", serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            async with aiohttp.ClientSession() as session:
                url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
                async with session.ws_connect(url) as socket:
                    await socket.receive()
        finally:
            await runner.cleanup()

    asyncio.run(run())
    assert over == [True]
