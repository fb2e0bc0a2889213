"""Calls to the broker's REST API: what was asked, and how it ended, as values.

No call is ever repeated here, the HTTP client's own resending is off (decisions M1, 2.8), and none
raises: a reply is an answer of the broker, or says why there is none and whether the request can have
left. The token goes in headers only, and no redirect is followed with it.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import aiohttp
import msgspec

from holdfast.brokers.dhan.errors import is_address_refused, is_token_dead, text_of
from holdfast.brokers.dhan.skew import SkewWatch
from holdfast.domain.event import AccountChecked, AnyEvent, Outcome, TokenChanged
from holdfast.ports import Timing

SECOND_NS: Final = 1_000_000_000
BODY_MAX: Final = 8 * 1_024 * 1_024
"""No answer is longer: a day's book of 7,000 orders has some 6 MB."""

FRESH_NS: Final = 15 * SECOND_NS
"""A connection carries an order only when it answered within this (T26)."""

WARM_LINES: Final = 2
READ_CONNECTIONS: Final = 16
KEEPALIVE_S: Final = 15.0
"""A connection that was idle for longer is not used again: the other side may have closed it."""

PATIENCE_S_MIN: Final = 0.25
"""No time-out is shorter, of the wall's time: where a day is played fast the machine is no faster."""

CLOSE_S: Final = 0.2
"""So long, of the wall's time, a connection that is given back may keep the next request waiting."""

WARM_PATH: Final = "/fundlimit"
"""The shortest read that the order path answers (dhan.md 3.7)."""

_OK: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)


class CallKind(StrEnum):
    """What a call is: it decides its time-out and the connection that it goes over.

    READ has 5 s and the connections for reads. PLACE and GUARD have 8 s, CHANGE (modify, cancel)
    2 s, all on the warm connections for orders (T3, T26). POLL is a read over the same ones.
    """

    READ = "read"
    POLL = "poll"
    PLACE = "place"
    CHANGE = "change"
    GUARD = "guard"


TIMEOUT_S: Final[Mapping[CallKind, float]] = {
    CallKind.READ: 5.0,
    CallKind.POLL: 5.0,
    CallKind.PLACE: 8.0,
    CallKind.CHANGE: 2.0,
    CallKind.GUARD: 8.0,
}
"""How long a call may last, connecting included, in seconds of the clock (T3)."""


class Credentials(Protocol):
    """Whose calls they are. `secret` is the newest token, empty while there is none."""

    client_id: str

    @property
    def secret(self) -> str: ...


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker said, whatever its status. Redirects and unreadable bodies are no answer.

    `payload` is the decoded JSON, `None` for an empty body; numbers with a fraction or an exponent
    are `Decimal`, exact. `body` are the same bytes. `date_ns` is the broker's own stamp (UTC, whole
    seconds), `None` where it gave none. `at_ns` is when its last byte came.
    """

    status: int
    payload: object
    body: bytes
    at_ns: int
    date_ns: int | None = None

    @property
    def is_ok(self) -> bool:
        """Whether the status says that it was done or taken (2xx). The body may differ (dhan.md 1.10)."""
        return self.status in _OK


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """There is no answer. NOT_SENT: no byte of the request left. UNANSWERED: it may have.

    `reason` holds neither token nor URL.
    """

    outcome: Outcome
    reason: str
    at_ns: int


Reply = Answer | Failed


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One call as it goes out. `timeout_s` in seconds of the clock."""

    method: str
    url: str
    headers: Mapping[str, str]
    timeout_s: float
    body: bytes | None = None
    query: Mapping[str, str] | None = None


_encoder: Final = msgspec.json.Encoder(decimal_format="number")
_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)


class _Unreadable(ValueError):
    """An answer that says nothing: too long, no JSON, or a redirect."""


class _Way:
    """How far one request came."""

    def __init__(self) -> None:
        self.is_connected = False


async def _connected(_session: object, context: object, _params: object) -> None:
    way = getattr(context, "trace_request_ctx", None)
    if isinstance(way, _Way):
        way.is_connected = True


def _tracing() -> aiohttp.TraceConfig:
    """Tells from when on a byte of a request can have been written."""
    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(_connected)
    config.on_connection_reuseconn.append(_connected)
    return config


class Source(NamedTuple):
    """Where connections leave from (T27).

    `family` is the only one they connect by, `AF_UNSPEC` for either; `address` one that this machine
    has, empty: whichever it takes.
    """

    family: socket.AddressFamily = socket.AF_UNSPEC
    address: str = ""


ANYWHERE: Final = Source()


class Line:
    """Connections of ours to one host; `limit` of them, made when needed and kept."""

    def __init__(self, timing: Timing, *, source: Source, limit: int) -> None:
        """Nothing is connected yet."""
        self._timing = timing
        self._source = source
        self._limit = limit
        self._session: aiohttp.ClientSession | None = None
        self.is_busy = False
        self.answered_ns: int | None = None

    def age_ns(self) -> int | None:
        """How long ago it answered last; `None` when it is new."""
        return None if self.answered_ns is None else self._timing.now_ns() - self.answered_ns

    async def send(self, request: Request) -> Reply:
        """Ask once. Raises nothing but CancelledError."""
        way = _Way()
        try:
            async with asyncio.timeout(self._patience_s(request.timeout_s)):
                reply = await self._exchange(request, way)
        except TimeoutError:
            reason = f"no answer within {request.timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
            reason = _reason(error)
        else:
            self.answered_ns = reply.at_ns
            return reply
        outcome = Outcome.UNANSWERED if way.is_connected else Outcome.NOT_SENT
        return Failed(outcome=outcome, reason=reason, at_ns=self._timing.now_ns())

    def _patience_s(self, timeout_s: float) -> float:
        """A time-out in seconds of the wall."""
        return max(self._timing.wall_s(timeout_s), min(timeout_s, PATIENCE_S_MIN))

    async def _exchange(self, request: Request, way: _Way) -> Answer:
        async with self._opened().request(
            request.method,
            request.url,
            data=request.body,
            params=request.query,
            headers=request.headers,
            allow_redirects=False,
            trace_request_ctx=way,
        ) as response:
            body = await _bounded(response)
        if response.status in _REDIRECTS:
            raise _Unreadable(f"redirected (HTTP {response.status})")
        return Answer(
            status=response.status,
            payload=_payload(response, body),
            body=body,
            at_ns=self._timing.now_ns(),
            date_ns=_date_ns(response.headers.get("Date", "")),
        )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._limit,
                    family=self._source.family,
                    local_addr=(self._source.address, 0) if self._source.address else None,
                    keepalive_timeout=KEEPALIVE_S,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                trace_configs=[_tracing()],
            )
            # Private, there is no public switch: else PUT and DELETE are sent twice (M1).
            self._session._retry_connection = False  # noqa: SLF001
        return self._session

    async def close(self) -> None:
        """Give its connections back; the next request makes new ones."""
        session, self._session, self.answered_ns = self._session, None, None
        if session is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await session.close()


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """The whole body. Raises `_Unreadable` once it is longer than any answer."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > BODY_MAX:
            raise _Unreadable(f"HTTP {response.status} with more than {BODY_MAX} bytes")
    return bytes(body)


def _payload(response: aiohttp.ClientResponse, body: bytes) -> object:
    """The decoded JSON. Raises `_Unreadable` for HTML, half a JSON and the like."""
    if not body.strip():
        return None
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, ArithmeticError, ValueError, RecursionError):
        kind = "HTML" if body.lstrip().startswith(b"<") else "no JSON"
        text = f"HTTP {response.status} with a body that is {kind}, {len(body)} bytes"
        raise _Unreadable(text) from None


def _date_ns(text: str) -> int | None:
    """A `Date` header in UTC nanoseconds; `None` where it tells no time."""
    try:
        return int(parsedate_to_datetime(text).timestamp()) * SECOND_NS
    except (TypeError, ValueError, OverflowError):
        return None


def _reason(error: Exception) -> str:
    """What went wrong, without addresses: those of some requests hold secrets."""
    if isinstance(error, _Unreadable):
        return str(error)
    words = [type(error).__name__]
    if isinstance(error, OSError) and error.strerror:
        words.append(error.strerror)
    if isinstance(error, aiohttp.ClientResponseError):
        words.append(f"HTTP {error.status}")
    return ": ".join(words)


class WarmLines:
    """The connections that orders go over: two are always open, none carries an order when cold (T26)."""

    def __init__(self, make: Callable[[], Line]) -> None:
        """`make` gives a line that has one connection."""
        self._make = make
        self._lines: list[Line] = [make() for _ in range(WARM_LINES)]
        self._is_retired = False

    @property
    def spare(self) -> bool:
        """Whether a request that is no order leaves one of them free."""
        return sum(not line.is_busy for line in self._lines) > 1

    @property
    def is_warm(self) -> bool:
        """Whether one of them answered lately."""
        ages_ns = (line.age_ns() for line in self._lines)
        return any(age_ns is not None and age_ns < FRESH_NS for age_ns in ages_ns)

    async def send(self, request: Request, *, is_order: bool) -> Reply:
        """Send an order over the line that answered last, a read over the other to keep it warm.

        A cold one is replaced first, and one more is opened where all are busy.
        """
        free = [line for line in self._lines if not line.is_busy]
        line = (min if is_order else max)(free, key=_coldness, default=None)
        if line is None:
            line = self._make()
            self._lines.append(line)
        return await self._over(line, request)

    async def refresh(self, request: Request, *, older_ns: int) -> Sequence[Reply]:
        """Ask over each free line that has not answered for `older_ns`; the coldest first."""
        cold = [line for line in self._lines[:WARM_LINES] if not line.is_busy]
        cold = [line for line in cold if (age := line.age_ns()) is None or age >= older_ns]
        return [await self._over(line, request) for line in sorted(cold, key=_coldness)[::-1]]

    async def _over(self, line: Line, request: Request) -> Reply:
        line.is_busy = True
        try:
            age_ns = line.age_ns()
            if age_ns is not None and age_ns >= FRESH_NS:
                await line.close()
            reply = await line.send(request)
            if isinstance(reply, Failed):
                await line.close()  # whatever becomes of it, no order goes over it any more
            return reply
        finally:
            line.is_busy = False
            await self._shed(line)

    async def _shed(self, line: Line) -> None:
        """Give a line back that was opened because the others were busy, or that is used no more."""
        if self._is_retired or line in self._lines[WARM_LINES:]:
            self._lines = [one for one in self._lines if one is not line]
            await line.close()

    async def retire(self) -> None:
        """Give every connection back, those that still carry an order once it is answered."""
        self._is_retired = True
        for line in [line for line in self._lines if not line.is_busy]:
            await line.close()
            self._lines = [one for one in self._lines if one is not line]

    @property
    def is_empty(self) -> bool:
        """Whether nothing of them is left."""
        return not self._lines

    async def close(self) -> None:
        """Give every connection back; the next request makes new ones."""
        for line in self._lines:
            await line.close()


def _coldness(line: Line) -> int:
    age_ns = line.age_ns()
    return FRESH_NS - 1 if age_ns is None else age_ns


def _is_wrong_source(reply: Reply) -> bool:
    """Whether another address might do better: this one is refused, or nothing leaves from it."""
    if isinstance(reply, Answer):
        return is_address_refused(text_of(reply.payload))
    return reply.outcome is Outcome.NOT_SENT


class Rest:
    """The REST API of one host for one account."""

    def __init__(
        self,
        base: str,
        credentials: Credentials | None,
        timing: Timing,
        *,
        tell: Callable[[AnyEvent], None] = lambda _event: None,
        order_sources: Sequence[Source] = (),
    ) -> None:
        """`base` is the address before every path. Without `credentials` no token is sent.

        `tell` hears of a dead token, a refused address and a clock that is off. `order_sources` are
        what is registered with the broker (T27), anywhere without any: after an order that was
        refused for its address, or that nothing could leave with, the next leave from the next of
        them, in turn.
        """
        self._base = base
        self._credentials = credentials
        self._timing = timing
        self._tell = tell
        self._skew = SkewWatch()
        self._dead = ""
        self._is_closed = False
        self._reads = Line(timing, source=ANYWHERE, limit=READ_CONNECTIONS)
        self._sources = deque(order_sources or (ANYWHERE,))
        self._orders = self._lines_from(self._sources[0])
        self._retired: list[WarmLines] = []

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        kind: CallKind = CallKind.READ,
    ) -> Reply:
        """Ask once and wait for how it ends. `body` goes as JSON; `headers` beside the token's."""
        secret = "" if self._credentials is None else self._credentials.secret
        reason = self._hindrance(secret)
        if reason:
            return Failed(outcome=Outcome.NOT_SENT, reason=reason, at_ns=self._timing.now_ns())
        request = Request(
            method=method,
            url=f"{self._base}{path}",
            headers={**self._own_headers(secret), **(headers or {})},
            timeout_s=TIMEOUT_S[kind],
            body=None if body is None else _encoder.encode(body),
            query=query,
        )
        return await self._ask(request, kind, secret)

    async def keep_warm(self, *, older_ns: int) -> Sequence[Reply]:
        """Ask something over each connection for orders that has been silent for `older_ns`."""
        secret = "" if self._credentials is None else self._credentials.secret
        reason = self._hindrance(secret)
        if reason:
            now_ns = self._timing.now_ns()
            return [Failed(outcome=Outcome.NOT_SENT, reason=reason, at_ns=now_ns)]
        request = Request(
            method="GET",
            url=f"{self._base}{WARM_PATH}",
            headers=self._own_headers(secret),
            timeout_s=TIMEOUT_S[CallKind.READ],
        )
        sent_ns = self._timing.now_ns()
        lines = self._orders
        replies = await lines.refresh(request, older_ns=older_ns)
        for reply in replies:
            if isinstance(reply, Answer):
                self._notice(reply, sent_ns, secret)
            elif reply.outcome is Outcome.NOT_SENT:
                await self._leave_elsewhere(lines)
        return replies

    @property
    def is_warm(self) -> bool:
        """Whether an order would find a connection that answered lately (T26)."""
        return self._orders.is_warm

    async def cool_down(self) -> None:
        """Give the connections for orders back; the next order makes a new one."""
        await self._orders.close()

    async def close(self) -> None:
        """Give every connection back. Calls after it are NOT_SENT."""
        self._is_closed = True
        for lines in (self._orders, *self._retired):
            await lines.close()
        await self._reads.close()
        await asyncio.sleep(0)  # what was closed is gone after a turn of the loop

    def _hindrance(self, secret: str) -> str:
        """Why nothing can leave at all."""
        if self._is_closed:
            return "the connection to the broker was given back"
        return "no token" if self._credentials is not None and not secret else ""

    def _own_headers(self, secret: str) -> dict[str, str]:
        """`client-id` is documented for some paths only and taken by all (dhan.md 1.1)."""
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self._credentials is not None:
            headers["access-token"] = secret
            headers["client-id"] = self._credentials.client_id
        return headers

    async def _ask(self, request: Request, kind: CallKind, secret: str) -> Reply:
        sent_ns = self._timing.now_ns()
        is_order = kind not in (CallKind.READ, CallKind.POLL)
        lines = self._orders
        if is_order or (kind is CallKind.POLL and lines.spare):
            reply = await lines.send(request, is_order=is_order)
            if _is_wrong_source(reply):
                await self._leave_elsewhere(lines)
        else:
            reply = await self._reads.send(request)
        if isinstance(reply, Answer):
            self._notice(reply, sent_ns, secret)
        return reply

    async def _leave_elsewhere(self, lines: WarmLines) -> None:
        """Orders leave from the next source; `lines` are those over which one could not.

        Of several that were in flight together only the first changes it.
        """
        if len(self._sources) > 1 and lines is self._orders and not self._is_closed:
            self._sources.rotate(-1)
            self._orders = self._lines_from(self._sources[0])
            self._retired = [one for one in self._retired if not one.is_empty]
            self._retired.append(lines)
            await lines.retire()

    def _lines_from(self, source: Source) -> WarmLines:
        return WarmLines(lambda: Line(self._timing, source=source, limit=1))

    def _notice(self, answer: Answer, sent_ns: int, secret: str) -> None:
        """Tell what an answer says beside what was asked."""
        if answer.is_ok and answer.date_ns is not None:
            changed = self._skew.hear(sent_ns, answer.at_ns, answer.date_ns)
            if changed is not None:
                self._tell(changed)
        if self._credentials is None:
            return
        if not (text := text_of(answer.payload)):
            if answer.is_ok and secret == self._dead:
                self._dead = ""  # it is taken again: its next death is news
            return
        is_newest = secret == self._credentials.secret
        if is_token_dead(text) and is_newest and secret != self._dead:
            self._dead = secret  # told once: every later answer says the same, until it is taken
            self._tell(TokenChanged(at_ns=answer.at_ns, is_valid=False, reason=text))
        elif is_address_refused(text):
            self._tell(AccountChecked(at_ns=answer.at_ns, orders_allowed=False, reason=text))
