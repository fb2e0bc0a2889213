"""One WebSocket of a client: it is pinged, let go of when silent, closed or reset on demand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from aiohttp import WSMsgType, web

from holdfast.simbroker.dhan.host import Time

PING_S: Final = 10.0
SILENT_S: Final = 40.0
"""The server pings, and drops whoever says nothing at all for so long (dhan.md 4.1)."""

LOOK_S: Final = 0.1
CLOSE_S: Final = 1.0
"""How often a reader looks whether it is over, and how long the client's Close is waited for, in
seconds of the wall."""


class Peer:
    """The server's end of a WebSocket. `send` raises `OSError` once the client is gone."""

    def __init__(self, request: web.Request, time: Time) -> None:
        """Not open yet: `open` answers the handshake."""
        self.is_over = False
        self._is_leaving = False
        self._request = request
        self._time = time
        self._heard_ns = 0
        self._ws = web.WebSocketResponse(autoping=False, max_msg_size=1 << 20, timeout=CLOSE_S)

    async def open(self) -> web.WebSocketResponse:
        """Answer the handshake; returns what the request's handler must return."""
        await self._ws.prepare(self._request)
        self._heard_ns = self._time.now_ns()
        return self._ws

    async def send_packet(self, packet: bytes) -> None:
        """One binary frame."""
        await self._ws.send_bytes(packet)

    async def send_text(self, text: str) -> None:
        """One text frame."""
        await self._ws.send_str(text)

    async def texts(self) -> AsyncIterator[str]:
        """Text frames as they come, until the client is gone; pings are answered, the rest is not.

        Binary frames are what the SDK sends on its way out: nothing is made of them.
        """
        while not self.is_over and not self._is_leaving:
            try:
                message = await self._ws.receive(timeout=LOOK_S)
            except TimeoutError:
                continue
            self._heard_ns = self._time.now_ns()
            if message.type is WSMsgType.TEXT:
                yield message.data
            elif message.type is WSMsgType.PING:
                with suppress(OSError):
                    await self._ws.pong(message.data)
            elif message.type not in (WSMsgType.PONG, WSMsgType.BINARY):
                self.is_over = True
        if not self.is_over:
            await self._ws.close()
        self.is_over = True

    async def keep(self) -> None:
        """Ping as long as it lasts, and drop a client that has gone silent."""
        while not self.is_over:
            await asyncio.sleep(self._time.wall_s(PING_S))
            if self._time.now_ns() - self._heard_ns > SILENT_S * 1e9:
                self.reset()
                return
            try:
                await self._ws.ping()
            except OSError:
                # The client went away between two pings: whoever reads hears of it by itself.
                self.is_over = True

    def leave(self) -> None:
        """Say goodbye as WebSockets do, once the reader comes to look.

        It is the reader who does so: aiohttp waits for the client's Close only where nobody reads.
        """
        self._is_leaving = True

    def reset(self) -> None:
        """Cut the connection: no Close frame, no warning."""
        self.is_over = True
        reset(self._request)


def reset(request: web.Request) -> None:
    """Cut the connection that a request came on."""
    if request.transport is not None:
        request.transport.abort()
