"""A server of bytes for tests of the adapter: it says, and cuts off, exactly what a test wants.

It knows nothing of any broker. What it heard stands in `heard`, in order.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

CLIENT_ID = "1000000001"
SECRET = "a.secret.token"  # noqa: S105 a test's
PREFIX = "L000001261120"


async def until(is_so: Callable[[], object]) -> None:
    """Return once something is so. Raises TimeoutError when it does not become so."""
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 what tests look at sets no event
            await asyncio.sleep(0.002)


class Heard(NamedTuple):
    """One request: `connection` counts from 1, `peer` is the address that it came from."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    peer: str

    @property
    def json(self) -> dict[str, object]:
        """Its body, decoded."""
        decoded = json.loads(self.body)
        assert isinstance(decoded, dict)
        return decoded


class Cut(NamedTuple):
    """Say these bytes, then break the connection."""

    said: bytes = b""


class Drip(NamedTuple):
    """Say these bytes one by one, `pause_s` apart, for ever."""

    said: bytes
    pause_s: float


class Silence(NamedTuple):
    """Say nothing, and keep the connection."""


Said = bytes | Cut | Drip | Silence


def said(
    status: int,
    payload: object = None,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """An answer of HTTP: JSON of `payload`, or `body` as it stands."""
    if body is None:
        body = b"" if payload is None else json.dumps(payload).encode()
    lines = [f"HTTP/1.1 {status} Some"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class WireServer:
    """Answers each request by what `answer` makes of it. Use it as an async context."""

    def __init__(self, answer: Callable[[Heard], Said]) -> None:
        self.answer = answer
        self.heard: list[Heard] = []
        self.connections = 0
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def base(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self.break_all()
        await until(lambda: not self._open)

    def break_all(self) -> None:
        """Break every connection."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._open.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            while await self._turn(reader, writer, number):
                pass
        writer.transport.abort()
        self._open.discard(writer)

    async def _turn(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        method, path, _ = first.split(" ")
        pairs = (line.split(": ", 1) for line in lines if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        peer = writer.get_extra_info("peername")[0]
        heard = Heard(method, path, headers, body, number, peer)
        self.heard.append(heard)
        match self.answer(heard):
            case Silence():
                await reader.read()
            case Drip() as drip:
                for byte in drip.said:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(drip.pause_s)
                await reader.read()
            case Cut() as cut:
                writer.write(cut.said)
                await writer.drain()
            case bytes() as answer:
                writer.write(answer)
                await writer.drain()
                return True
        return False


class Whose:
    """Credentials of a test."""

    def __init__(self, secret: str = SECRET) -> None:
        self.client_id = CLIENT_ID
        self.secret = secret
