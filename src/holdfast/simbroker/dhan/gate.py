"""What stands before every answer: the token, the limits, and everything that the wire does to it."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from email.utils import format_datetime
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec.structs import replace

from holdfast.facts.ist import OFFSET_NS
from holdfast.simbroker.dhan.asked import INVALID_IP
from holdfast.simbroker.dhan.desk import Desk
from holdfast.simbroker.dhan.doubts import DeadToken, Doubts
from holdfast.simbroker.dhan.host import Host
from holdfast.simbroker.dhan.limits import Limits
from holdfast.simbroker.dhan.profile import INVALID_TOKEN
from holdfast.simbroker.dhan.route import (
    Answer,
    Call,
    Family,
    Limit,
    Route,
    numbered,
    order_error,
    refusal,
)
from holdfast.simbroker.dhan.shown import ist_time
from holdfast.simbroker.dhan.tokens import Tokens, TokenState
from holdfast.simbroker.dhan.truth import Truth
from holdfast.simbroker.dhan.wire_faults import Endpoint, WireFault, WireFaults, WireWindow

BODY_MAX: Final = 1 << 20
DRIPS: Final = 12
"""Into how many pieces a dripping body is cut."""

DEAD: Final = "Client ID or user generated access token is invalid or expired."
DEAD_QUOTES: Final = "Authentication Failed - Client ID or Token invalid"
TOO_MANY: Final = (
    "Too many requests on server from single user breaching rate limits. Try throttling API calls."
)
TOO_MANY_QUOTES: Final = "Too many requests. Further requests may result in the user being blocked."
GATEWAY_PAGE: Final = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    "<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
)
LOST: Final = "lost"
"""The fate of a request that nobody read."""

Serving = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gate:
    """Lets requests through to their answers, or answers itself."""

    def __init__(
        self, host: Host, desk: Desk, *, tokens: Tokens, faults: WireFaults, truth: Truth
    ) -> None:
        """One for the whole server: limits act per account, whoever asks."""
        self._host = host
        self._desk = desk
        self._tokens = tokens
        self._faults = faults
        self._truth = truth
        self._limits = Limits()
        self._asked = 0

    @property
    def doubts(self) -> Doubts:
        """How it behaves where nobody knows."""
        return self._desk.doubts

    def serving(self, route: Route) -> Serving:
        """What a web application is given for a route."""

        async def serve(request: web.Request) -> web.StreamResponse:
            return await self._serve(route, request)

        return serve

    async def _serve(self, route: Route, request: web.Request) -> web.StreamResponse:
        """One request, from its arrival to the last byte of its answer."""
        call = await self._call(route, request)
        if self._strikes(WireFault.REQUEST_LOST, call) is not None:
            self._note(call, request, LOST)
            return cut(request)
        slow = self._strikes(WireFault.REQUEST_SLOW, call)
        if slow is not None:
            await self._wait(slow.wait_ns)
            call = replace(call, at_ns=self._host.now())
        if self._strikes(WireFault.BAD_GATEWAY, call) is not None:
            self._note(call, request, "502")
            page = Answer(status=502, text=GATEWAY_PAGE, media="text/html")
            return self._response(page)
        broken = self._strikes(WireFault.SERVER_ERROR, call)
        if broken is not None and not self._faults.coin(WireFault.SERVER_ERROR, call.key):
            self._note(call, request, LOST)
            return self._response(_broken())
        answer = self._refusal(route, call) or await route.answer(call)
        self._note(call, request, f"{answer.status}", answer)
        return await self._told(request, call, _broken() if broken is not None else answer)

    async def _told(self, request: web.Request, call: Call, answer: Answer) -> web.StreamResponse:
        """Let an answer travel back, as the wire is today. What it answers is done."""
        if self._strikes(WireFault.ANSWER_LOST, call) is not None:
            return cut(request)
        is_placed = call.endpoint is Endpoint.PLACE and answer.status == 200
        first = self._strikes(WireFault.UPDATE_FIRST, call) if is_placed else None
        if first is not None:
            reaches_ns = self._desk.reaches_ns(answer.payload["orderId"])
            await self._wait(reaches_ns - self._host.at_ns + first.wait_ns)
        slow = self._strikes(WireFault.ANSWER_SLOW, call)
        if slow is not None:
            await self._wait(slow.wait_ns)
        if self._strikes(WireFault.EMPTY_BODY, call) is not None:
            return self._response(Answer(text=""))
        if self._strikes(WireFault.HALF_JSON, call) is not None:
            text = _body(answer).decode()
            answer = Answer(text=text[: len(text) // 2])
        drip = self._strikes(WireFault.SLOW_DRIP, call)
        if drip is not None:
            return await self._drip(request, answer, drip)
        return self._response(answer)

    # -- who may pass

    def _refusal(self, route: Route, call: Call) -> Answer | None:
        """The first no: too many requests, then the token (the gateway counts before it looks)."""
        storm = self._strikes(WireFault.RATE_STORM, call) is not None
        key = call.body.decode("utf-8", "replace") if route.limit is Limit.CHAIN else ""
        if storm or not self._limits.take(route.limit, call.at_ns, key=key):
            return _too_many(route.family)
        if route.family is Family.OPEN:
            return None
        struck = self._strikes(WireFault.TOKEN_DEAD, call) is not None
        if struck or self._tokens.state(call.token, call.at_ns) is not TokenState.GOOD:
            return self._dead(route.family)
        if route.needs_ip and self._strikes(WireFault.IP_REFUSED, call) is not None:
            return refusal("Input_Exception", "DH-905", INVALID_IP)
        return None

    def _dead(self, family: Family) -> Answer:
        """Each family says it in its own way (dhan.md 1.8)."""
        if family is Family.QUOTES:
            return numbered("808", DEAD_QUOTES, status=401)
        is_recent = self.doubts.dead_token is DeadToken.DH_906
        if family is Family.RECENT or is_recent:
            return order_error(INVALID_TOKEN)
        return refusal("Invalid_Authentication", "DH-901", DEAD, status=401)

    async def _call(self, route: Route, request: web.Request) -> Call:
        body = await request.read()
        named = dict(request.match_info)
        self._asked += 1
        return Call(
            at_ns=self._host.now(),
            endpoint=route.endpoint,
            key=f"{route.endpoint}/{self._asked}",
            client_id=self._tokens.login.client_id,
            token=request.headers.get("access-token", ""),
            body=body,
            payload=_read(body),
            query=dict(request.query),
            named=named,
            headers=request.headers,
            remote=request.remote or "",
        )

    def _strikes(self, kind: WireFault, call: Call) -> WireWindow | None:
        return self._faults.strikes(
            kind, call.key, call.at_ns, endpoint=call.endpoint, fields=self._fields(call)
        )

    def _fields(self, call: Call) -> Mapping[str, Any]:
        """What a window may ask of a request: its body, and the order that its path names."""
        order = self._desk.orders.get(call.named.get("order_id", ""))
        if order is None:
            return call.fields
        about = {
            "orderId": order.order_id,
            "correlationId": order.correlation_id,
            "transactionType": order.side.value,
            "securityId": str(order.instrument.security_id),
        }
        return about | call.fields

    def _note(
        self, call: Call, request: web.Request, fate: str, answer: Answer | None = None
    ) -> None:
        payload = None if answer is None else answer.payload
        told = payload.get("orderId") if isinstance(payload, dict) else None
        values = {
            "at_ns": call.at_ns,
            "method": request.method,
            "path": request.path,
            "body": call.body.decode("utf-8", "replace"),
            "fate": fate,
            "order_id": told or call.named.get("order_id"),
        }
        self._truth.request(call.endpoint, values)

    # -- bytes

    async def _wait(self, wait_ns: int) -> None:
        await asyncio.sleep(max(self._host.time.wall_s(wait_ns / 1e9), 0))

    def _headers(self, answer: Answer) -> dict[str, str]:
        """The date is that of the day that is played: clients judge their clock by it (2.12)."""
        now_ns = self._host.time.now_ns()
        skewed = self._faults.strikes(WireFault.DATE_SKEWED, "date", now_ns)
        now = ist_time(now_ns - OFFSET_NS + (0 if skewed is None else skewed.wait_ns))
        return {"Date": format_datetime(now, usegmt=True), **answer.headers}

    def _response(self, answer: Answer) -> web.Response:
        body = _body(answer)
        return web.Response(
            status=answer.status,
            body=body,
            content_type=answer.media if body else None,
            headers=self._headers(answer),
        )

    async def _drip(
        self, request: web.Request, answer: Answer, window: WireWindow
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=self._headers(answer))
        response.content_type = answer.media
        body = _body(answer)
        size = max(len(body) // DRIPS, 1)
        with suppress(ConnectionResetError):  # whoever asked had enough, and left
            await response.prepare(request)
            for begin in range(0, len(body), size):
                await response.write(body[begin : begin + size])
                await self._wait(window.wait_ns // DRIPS)
            await response.write_eof()
        return response

    def unknown(self, request: web.Request) -> web.Response:
        """What the gateway says of a path that nobody serves (error_404_unknown_path.json)."""
        payload = {
            "timestamp": self._host.time.now_ns() // 1_000_000,
            "status": 404,
            "error": "Not Found",
            "path": request.path,
        }
        return self._response(Answer(status=404, payload=payload))


def cut(request: web.Request) -> web.Response:
    """Reset the connection that a request came on; what is returned reaches nobody."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


def _body(answer: Answer) -> bytes:
    return msgspec.json.encode(answer.payload) if answer.text is None else answer.text.encode()


def _read(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        return None


def _broken() -> Answer:
    return refusal("Internal_Server_Error", "DH-908", "Internal Server Error", status=500)


def _too_many(family: Family) -> Answer:
    if family is Family.QUOTES:
        return numbered("805", TOO_MANY_QUOTES, status=429)
    return refusal("Rate_Limit", "DH-904", TOO_MANY, status=429)
