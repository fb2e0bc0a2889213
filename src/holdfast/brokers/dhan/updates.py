"""The stream of order updates: what happens to every order of the account, from whatever platform.

The broker says nothing to a good login and resets the connection at a bad one (dhan.md 5). It pings,
we answer and never ping ourselves (T28); words may be hours apart, so the age of its pings tells
whether it is there. Nothing is told again after a reconnect: the book must be read then, which the
engine does when it hears that the link is up.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Final

import aiohttp
import msgspec
import structlog

from holdfast.brokers.dhan.fields import Unreadable, objects, shown
from holdfast.brokers.dhan.handshake import refuse_redirects
from holdfast.brokers.dhan.rest import Credentials
from holdfast.brokers.dhan.rows import OrderWords, lowered
from holdfast.domain.event import (
    AnyEvent,
    ForeignUpdated,
    Link,
    LinkChanged,
    OrderUpdated,
)
from holdfast.domain.order import OrderRow
from holdfast.ports import Timing

_log = structlog.get_logger("dhan")

SILENT_NS: Final = 25_000_000_000
"""The broker pings each 10 s: two of them were missed."""

REFUSED_S: Final = 0.5
"""A bad token is answered by a reset some 10 ms after the login: so long it is waited for."""

CLOSE_S: Final = 0.2
"""So long, of the wall's time, the broker is given to say goodbye."""

REFUSED_S_MIN: Final = 0.1
"""The same at least, of the wall's time: a broker that is played fast is no faster at it."""

MESSAGE_MAX: Final = 1 << 20
_LOGIN_CODE: Final = 42
_ALERT: Final = "order_alert"
_ENDS: Final = frozenset(
    {
        aiohttp.WSMsgType.CLOSE,
        aiohttp.WSMsgType.CLOSING,
        aiohttp.WSMsgType.CLOSED,
        aiohttp.WSMsgType.ERROR,
    }
)

_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)


class UpdateStream:
    """A `Connection`: brought up by the service that owns it, read by a task of its own."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        timing: Timing,
        *,
        words: OrderWords,
        tell: Callable[[AnyEvent], None],
    ) -> None:
        """`tell` hears of every word about an order, ours and those of others."""
        self._url = url
        self._credentials = credentials
        self._timing = timing
        self._words = words
        self._tell = tell
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._heard_ns = 0
        self._kept: asyncio.Task[None] | None = None
        self._logged: set[str] = set()
        self.words_heard = 0
        self.refused = 0

    async def connect(self) -> None:
        """Log in, and see that the broker keeps the connection. Raises ConnectionError."""
        await self.close()
        if not self._credentials.secret:
            raise ConnectionError("order updates: no token")
        session = self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), middlewares=(refuse_redirects,)
        )
        try:
            self._socket = await session.ws_connect(
                self._url, autoping=False, heartbeat=None, max_msg_size=MESSAGE_MAX
            )
            await self._socket.send_str(self._login())
        except aiohttp.ClientError as error:
            status = getattr(error, "status", None)
            said = f" (HTTP {status})" if status else ""
            raise ConnectionError(f"order updates: {type(error).__name__}{said}") from None
        self._heard_ns = self._timing.now_ns()
        loop = asyncio.get_running_loop()
        self._reading = loop.create_task(self._read(self._socket), name="OrderUpdates.read")
        self._reading.add_done_callback(self._ended)
        wait_s = max(self._timing.wall_s(REFUSED_S), REFUSED_S_MIN)
        await asyncio.wait({self._reading}, timeout=wait_s)
        if self._reading.done():
            raise ConnectionResetError("order updates: reset after the login, as for a dead token")
        self._kept = self._reading

    def _login(self) -> str:
        request = {
            "LoginReq": {
                "MsgCode": _LOGIN_CODE,
                "ClientId": self._credentials.client_id,
                "Token": self._credentials.secret,
            },
            "UserType": "SELF",
        }
        return msgspec.json.encode(request).decode()

    @property
    def is_up(self) -> bool:
        """Whether the connection stands, as far as it says so itself."""
        return self._reading is not None and not self._reading.done()

    async def ping(self) -> None:
        """Return while the broker's own pings come. Raises ConnectionError when it is gone."""
        if not self.is_up:
            raise ConnectionError("order updates: the connection is gone")
        silent_ns = self._timing.now_ns() - self._heard_ns
        if silent_ns > SILENT_NS:
            await self.close()
            raise ConnectionError(f"order updates: no ping for {silent_ns // 1_000_000_000} s")

    async def close(self) -> None:
        """End the connection and its task."""
        reading, self._reading = self._reading, None
        socket, self._socket = self._socket, None
        session, self._session = self._session, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait({reading})
        if socket is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await socket.close()
        if session is not None:
            await session.close()
            await asyncio.sleep(0)  # what was closed is gone after a turn of the loop

    def _ended(self, reading: asyncio.Task[None]) -> None:
        """Tell at once that it is gone: the next ping, at which it is made anew, is seconds away."""
        if reading.cancelled():
            return
        reason = "the connection ended"
        if (error := reading.exception()) is not None:
            reason = f"{type(error).__name__}: {error}"
            _log.error("order updates failed", error=reason)
        if reading is self._kept:  # it was up, and nobody closed it
            at_ns = self._timing.now_ns()
            self._tell(LinkChanged(at_ns=at_ns, link=Link.UPDATES, is_up=False, reason=reason))

    # -- what comes

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Take messages until the connection ends; that ends the task, and the next ping tells."""
        while True:
            message = await socket.receive()
            if message.type in _ENDS:
                _log.warning("order updates ended", code=socket.close_code)
                return
            self._heard_ns = self._timing.now_ns()
            try:
                await self._take(socket, message)
            except OSError as error:  # the answer to a ping did not leave
                _log.warning("order updates ended", error=type(error).__name__)
                return

    async def _take(
        self, socket: aiohttp.ClientWebSocketResponse, message: aiohttp.WSMessage
    ) -> None:
        if message.type is aiohttp.WSMsgType.PING:
            await socket.pong(message.data)
        elif message.data in ("2", b"2"):
            await socket.send_str("3")  # a heartbeat that some clients have met (dhan.md 5)
        elif message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            self.take(message.data)

    def take(self, data: str | bytes) -> None:
        """Tell what one message says. What cannot be read is counted, and logged once per kind."""
        try:
            event = self._event(data)
        except (Unreadable, msgspec.MsgspecError, ValueError, ArithmeticError) as error:
            self._refuse(type(error).__name__, str(error))
        except RecursionError:
            self._refuse("RecursionError", "nested too deep")
        else:
            if event is not None:
                self.words_heard += 1
                self._tell(event)

    def _event(self, data: str | bytes) -> OrderUpdated | ForeignUpdated | None:
        message = lowered(objects(_decoder.decode(data), "a message"))
        if message.get("type") != _ALERT:
            raise Unreadable(f"a message of type {shown(message.get('type'))}")
        row = self._words.order(lowered(objects(message.get("data"), "an alert")))
        if row is None:
            return None
        at_ns = self._timing.now_ns()
        if isinstance(row, OrderRow):
            return OrderUpdated(at_ns=at_ns, row=row)
        return ForeignUpdated(at_ns=at_ns, row=row)

    def _refuse(self, kind: str, what: str) -> None:
        self.refused += 1
        if kind not in self._logged:
            self._logged.add(kind)
            _log.error("an order update that cannot be read", kind=kind, what=what)
