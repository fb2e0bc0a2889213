"""A market feed's server over a raw socket: the WebSocket protocol by hand, faults included.

It knows nothing of the adapter's code nor of the simulated broker's: it reads what is sent to it,
sends what a test tells it to, and can refuse, fall silent, reset and cut in the middle of a frame.
"""

import asyncio
import base64
import hashlib
import json
import socket
import struct
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
WITHIN_S = 10.0


async def until(holds: Callable[[], bool], *, within_s: float = WITHIN_S) -> None:
    """Wait until something holds. Fails the test when it does not in time."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 anything may be asked for
            await asyncio.sleep(0.002)


class Served:
    """One connection as the server sees it."""

    def __init__(self, writer: asyncio.StreamWriter, query: dict[str, str]) -> None:
        """The handshake is done."""
        self.query = query
        self.texts: list[dict[str, Any]] = []
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.is_over = False
        self._writer = writer

    def send(self, data: bytes, *, kind: int = BINARY) -> None:
        """One whole frame."""
        if len(data) < 126:
            head = struct.pack("!BB", 0x80 | kind, len(data))
        elif len(data) < 1 << 16:
            head = struct.pack("!BBH", 0x80 | kind, 126, len(data))
        else:
            head = struct.pack("!BBQ", 0x80 | kind, 127, len(data))
        self._writer.write(head + data)

    def send_raw(self, data: bytes) -> None:
        """Bytes that need not be a frame."""
        self._writer.write(data)

    def reset(self) -> None:
        """End it without a word: a bare TCP reset."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def asked(self, code: int) -> list[tuple[str, str]]:
        """Every (segment, id) that was named with a request code, in order."""
        return [
            (entry["ExchangeSegment"], entry["SecurityId"])
            for text in self.texts
            if text["RequestCode"] == code
            for entry in text["InstrumentList"]
        ]


class FeedServer:
    """Listens on loopback while it is entered."""

    def __init__(self) -> None:
        """Nobody has connected."""
        self.connections: list[Served] = []
        self.refuse: list[int] = []
        self.attempts = 0
        self.on_connect: Callable[[Served], None] = lambda _served: None
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None, "it is entered"
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        assert self._server is not None, "it is entered"
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await until(lambda: not self._writers)

    async def connected(self, count: int = 1) -> Served:
        """Wait for that many connections in all; returns the last of them."""
        await until(lambda: len(self.connections) >= count)
        return self.connections[count - 1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            served = await self._greet(reader, writer)
            if served is not None:
                await self._hear(served, reader)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _greet(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Served | None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.attempts += 1
        lines = head.split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if self.refuse:
            answer = f"HTTP/1.1 {self.refuse.pop(0)} No\r\nContent-Length: 0\r\n\r\n"
            writer.write(answer.encode())
            await writer.drain()
            return None
        key = next(value for name, value in fields.items() if name.lower() == "sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()  # noqa: S324 RFC 6455
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        query = parse_qs(urlsplit(lines[0].split(" ")[1]).query)
        served = Served(writer, {name: values[0] for name, values in query.items()})
        self.connections.append(served)
        self.on_connect(served)
        return served

    async def _hear(self, served: Served, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                kind, data = await _frame(reader)
                if kind == TEXT:
                    served.texts.append(json.loads(data))
                elif kind == PING:
                    served.pings.append(data)
                elif kind == PONG:
                    served.pongs.append(data)
                elif kind == CLOSE:
                    served.send(data, kind=CLOSE)
                    return
        finally:
            served.is_over = True


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One frame of a client: masked, as the protocol demands."""
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", await reader.readexactly(8))
    assert second & 0x80, "a client's frames are masked"
    mask = await reader.readexactly(4)
    data = await reader.readexactly(length)
    return first & 0x0F, bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))
