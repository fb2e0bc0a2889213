"""One connection of the market feed: dialled when it may be, judged by its data, made anew (T28).

The broker pings and we answer; we send none, because a client's pings end connections that live
(dhan.md 4.1). A connection is dead when its newest data is old while an exchange is open, from the
moment on at which it was made: one that never brought anything is dead too (I-69).
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple, Protocol

import aiohttp
import structlog
from yarl import URL

from holdfast.brokers.dhan.codec import MESSAGE_MAX, Codec, Flaw
from holdfast.brokers.dhan.dialing import Dialing, Ended, Loss, ended_by_code, ended_by_status
from holdfast.brokers.dhan.wanted import messages
from holdfast.domain.dated import Session
from holdfast.domain.instrument import Exchange, Instrument, InstrumentId
from holdfast.domain.market import Tick
from holdfast.facts.ist import SECOND_NS
from holdfast.ports import Timing

_log = structlog.get_logger("feed")

LOOK_S: Final = 0.25
"""How often a connection is looked at."""

CONNECT_S: Final = 5.0
SEND_S: Final = 5.0
CLOSE_S: Final = 0.25
"""So long the other side may take to say goodbye: a mute one never does."""

QUIET_NS: Final = 2 * SECOND_NS
"""In session a connection that is silent for longer is down: its data is stale (T10)."""

MUTE_NS: Final = 5 * SECOND_NS
"""And for so long: it is given up."""

STALLED_NS: Final = SECOND_NS
"""A look that comes so late says that we stood still: nobody was silent meanwhile but us."""

ASK_AGAIN_NS: Final = 60 * SECOND_NS
"""So often the instruments of an exchange that is mute by itself are asked for again."""

UNSEEN_NS: Final = 5 * SECOND_NS
"""An instrument without a packet for so long after it was asked for is asked for again (MFH-3)."""


class Speaker(Protocol):
    """Whose feed it is. `secret` is the newest token, empty while there is none."""

    @property
    def secret(self) -> str: ...

    @property
    def client_id(self) -> str: ...


class Owner(Protocol):
    """Whom the connections of a feed belong to."""

    def deliver(self, line: "Line", ticks: Sequence[Tick]) -> None:
        """Ticks of one message, in its order."""
        ...

    def note_link(self, line: "Line", reason: str) -> None:
        """`line.is_up` has changed."""
        ...

    def note_end(self, line: "Line", ended: Ended) -> None:
        """A connection ended, or could not be made."""
        ...

    def note_unseen(self, line: "Line", instruments: Sequence[InstrumentId]) -> None:
        """These were asked for, and nothing came."""
        ...

    def is_silent(self, now_ns: int) -> bool:
        """Whether no connection has brought anything for so long that there is an outage."""
        ...


class Hours:
    """When each exchange is open."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        """`sessions` are the day's."""
        self.sessions = tuple(sessions)
        self._windows = {one.exchange: one.windows for one in sessions}

    def open_since(self, exchange: Exchange, at_ns: int) -> int | None:
        """When the window that is open began (UTC ns); `None` while none is."""
        for start_ns, end_ns in self._windows.get(exchange, ()):
            if start_ns <= at_ns < end_ns:
                return start_ns
        return None


class Place(NamedTuple):
    """Where a connection goes, and on whose behalf."""

    url: str
    speaker: Speaker
    timing: Timing
    hours: Hours


class _Over(Exception):
    """The connection has ended."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.reason)
        self.ended = ended


async def _to_its_end(work: Coroutine[Any, Any, None], over: asyncio.Future[Ended]) -> None:
    """Do `work` until it says that the connection has ended."""
    try:
        await work
    except _Over as error:
        if not over.done():
            over.set_result(error.ended)


class Line:
    """One of the feed's connections, through all of its lives.

    `is_up`: it brings data, or is connected while no exchange is open. `newest_ns` is when this
    connection brought something last, `None` before that.
    """

    def __init__(
        self,
        number: int,
        place: Place,
        dialing: Dialing,
        *,
        desired: Callable[[], Sequence[Instrument]],
        owner: Owner,
    ) -> None:
        """`desired` tells what it is to bring; it is not connected while that is nothing."""
        self.number = number
        self._place = place
        self._dialing = dialing
        self._desired = desired
        self._owner = owner
        self._timing = place.timing
        self.session: aiohttp.ClientSession | None = None
        self.is_up = self.is_connected = self.was_connected = False
        self.newest_ns: int | None = None
        self.dials = 0
        self.codec = Codec(())
        self.flaws: dict[Flaw, int] = {}
        self._began_ns = self._looked_ns = self._resumed_ns = 0
        self._asked_again_ns: dict[Exchange, int] = {}
        self._asked: dict[InstrumentId, Instrument] = {}
        self._asked_for: Sequence[Instrument] | None = None
        self._unseen: dict[InstrumentId, int] = {}
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """What is wanted may have changed: look now."""
        self._poked.set()

    def ask_again(self, instruments: Sequence[InstrumentId]) -> None:
        """Their packets were lost: ask for them anew, with the next look."""
        for identity in instruments:
            self._asked.pop(identity, None)
        self._asked_for = None

    def silence_ns(self, now_ns: int) -> int:
        """For how long this connection has brought nothing while an exchange of it is open."""
        exchanges = {one.exchange for one in self._desired()}
        hours = self._place.hours
        opened = [at for one in exchanges if (at := hours.open_since(one, now_ns)) is not None]
        if not opened:
            return 0
        since_ns = self._began_ns if self.newest_ns is None else self.newest_ns
        return max(now_ns - max(since_ns, self._resumed_ns, min(opened)), 0)

    # -- its lives

    async def keep(self) -> None:
        """Be connected for as long as something is desired and the broker allows, until cancelled."""
        self.is_up = False
        while True:
            while not self._may_dial():
                await self._pause()
            ended = await self._live()
            self._set_up(is_up=False, reason=ended.reason)

    def _may_dial(self) -> bool:
        now_ns = self._timing.now_ns()
        secret = self._place.speaker.secret
        if not secret or not self._desired():
            return False
        is_silent = self._owner.is_silent(now_ns)
        return self._dialing.may_dial(self.number, now_ns, mark=secret, is_silent=is_silent)

    async def _live(self) -> Ended:
        """One connection from its making to its end."""
        now_ns, secret = self._timing.now_ns(), self._place.speaker.secret
        self._begin(now_ns)
        try:
            ended = await self._connected(secret)
        finally:
            self.is_connected = False
        now_ns = self._timing.now_ns()
        steady_ns = 0 if self.newest_ns is None else self.newest_ns - self._began_ns
        _log.warning("a connection of the feed ended", line=self.number, reason=ended.reason)
        self._dialing.end(self.number, ended, now_ns, mark=secret, steady_ns=steady_ns)
        self._owner.note_end(self, ended)
        return ended

    def _begin(self, now_ns: int) -> None:
        """Nothing of an earlier connection counts: not its data, not what it was asked for."""
        self.dials += 1
        self._dialing.dial(now_ns)
        self._began_ns, self.newest_ns, self._asked_again_ns = now_ns, None, {}
        flaws = self.codec.flaws
        self.codec = Codec(())
        self.codec.flaws = flaws  # counted, and logged once, for the whole day
        self._asked, self._asked_for, self._unseen = {}, None, {}

    async def _connected(self, secret: str) -> Ended:
        try:
            async with asyncio.timeout(self._timing.wall_s(CONNECT_S)):
                socket = await self._dial(secret)
        except aiohttp.WSServerHandshakeError as error:
            return ended_by_status(error.status)
        except TimeoutError:
            return Ended(Loss.RESET, "it could not be made in time")
        except (aiohttp.ClientError, OSError) as error:
            # Without its text: that may show the address, which holds the token.
            return Ended(Loss.RESET, f"it could not be made: {type(error).__name__}")
        self.is_connected = self.was_connected = True
        try:
            return await self._on(socket)
        finally:
            await socket.close()

    async def _dial(self, secret: str) -> aiohttp.ClientWebSocketResponse[bool]:
        assert self.session is not None, "the feed is open"
        speaker = self._place.speaker
        query = {"version": "2", "token": secret, "clientId": speaker.client_id, "authType": "2"}
        closing = aiohttp.ClientWSTimeout(ws_close=self._timing.wall_s(CLOSE_S))
        return await self.session.ws_connect(
            URL(self._place.url).with_query(query),
            timeout=closing,
            autoping=True,
            heartbeat=None,
            max_msg_size=MESSAGE_MAX,
        )

    async def _on(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> Ended:
        """Ask and listen until it ends.

        The end is a value and no exception out of the group: a group that fails at the instant it is
        cancelled tells of the failure alone, and nobody would ever stop.
        """
        over: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(
                _to_its_end(self._watch(socket), over), name=f"feed {self.number} watch"
            )
            listening = group.create_task(
                _to_its_end(self._listen(socket), over), name=f"feed {self.number} listen"
            )
            ended = await over
            watching.cancel()
            listening.cancel()
        return ended

    # -- what comes

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                self._take(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                self.codec.count(Flaw.TEXT, f"{len(message.data)} characters")
            else:
                raise _Over(self._ended_by(message.data, socket.close_code))

    def _ended_by(self, told: object, code: int | None) -> Ended:
        """The end as the socket tells it: a fault of the other side's frames, or its goodbye."""
        if not isinstance(told, Exception):
            return Ended(Loss.RESET, f"it was closed with {code}")
        is_long = isinstance(told, aiohttp.WebSocketError) and (
            told.code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        )
        if is_long:
            self.codec.count(Flaw.OVERSIZED, f"over {MESSAGE_MAX} bytes")
        return Ended(Loss.RESET, f"it broke: {type(told).__name__}")

    def _take(self, message: bytes) -> None:
        now_ns = self._timing.now_ns()
        codec = self.codec
        ticks = codec.decode(message, now_ns)
        if ticks:
            self.newest_ns = now_ns
            if not self.is_up:
                self._set_up(is_up=True)
            self._owner.deliver(self, ticks)
        if codec.reason is not None:
            raise _Over(ended_by_code(codec.reason))

    # -- what is asked for, and how it is judged

    async def _watch(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        while True:
            await self._ask(socket)
            now_ns = self._timing.now_ns()
            if now_ns - self._looked_ns > STALLED_NS:
                self._resumed_ns = now_ns
            self._looked_ns = now_ns
            self._judge(now_ns)
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._timing.wall_s(LOOK_S)):
                await self._poked.wait()
        except TimeoutError:
            pass
        self._poked.clear()

    async def _ask(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        """Send what was not asked for yet, take back what is not desired, ask again for the unseen."""
        desired = self._desired()
        now_ns = self._timing.now_ns()
        if desired is not self._asked_for:
            fresh = [one for one in desired if one.id not in self._asked]
            chosen = {one.id for one in desired}
            gone = [one for one in self._asked.values() if one.id not in chosen]
            self.codec.know(fresh)
            await self._send(socket, fresh)
            await self._send(socket, gone, is_wanted=False)
            self._asked = {one.id: one for one in desired}
            self._asked_for = desired
            self._unseen |= {one.id: now_ns for one in fresh}
            for one in gone:
                self._unseen.pop(one.id, None)
        unseen = self._unseen_by(now_ns)
        if unseen:
            await self._send(socket, [self._asked[identity] for identity in unseen])
            self._owner.note_unseen(self, unseen)
        await self._send(socket, self._mute_by(now_ns))

    def _unseen_by(self, now_ns: int) -> Sequence[InstrumentId]:
        """What was asked for so long ago, in session, and has not been seen: each is told once."""
        due: list[InstrumentId] = []
        for identity, asked_ns in list(self._unseen.items()):
            wire = self.codec.wires[identity]
            if wire.seen_ns is not None and wire.seen_ns >= asked_ns:
                del self._unseen[identity]
                continue
            open_ns = self._place.hours.open_since(wire.exchange, now_ns)
            if open_ns is not None and now_ns - max(asked_ns, open_ns) >= UNSEEN_NS:
                del self._unseen[identity]
                due.append(identity)
        return due

    def _mute_by(self, now_ns: int) -> Sequence[Instrument]:
        """What is asked for on an exchange that is mute while another one streams (T10)."""
        mute: list[Exchange] = []
        for exchange in {one.exchange for one in self._asked.values()}:
            open_ns = self._place.hours.open_since(exchange, now_ns)
            seen = [
                wire.seen_ns
                for wire in self.codec.wires.values()
                if wire.exchange is exchange and wire.seen_ns is not None
            ]
            if open_ns is None or not seen or now_ns - max(*seen, open_ns) <= MUTE_NS:
                continue
            if now_ns - self._asked_again_ns.get(exchange, 0) > ASK_AGAIN_NS:
                self._asked_again_ns[exchange] = now_ns
                mute.append(exchange)
        if mute:
            _log.warning("an exchange is mute", line=self.number, exchanges=sorted(mute))
        return [one for one in self._asked.values() if one.exchange in mute]

    async def _send(
        self,
        socket: aiohttp.ClientWebSocketResponse[bool],
        instruments: Sequence[Instrument],
        *,
        is_wanted: bool = True,
    ) -> None:
        for text in messages(instruments, is_wanted=is_wanted):
            try:
                async with asyncio.timeout(self._timing.wall_s(SEND_S)):
                    await socket.send_str(text)
            except (aiohttp.ClientError, OSError) as error:  # a time-out is one
                raise _Over(
                    Ended(Loss.RESET, f"it takes nothing: {type(error).__name__}")
                ) from None

    def _judge(self, now_ns: int) -> None:
        """Say whether it is up. Raises when it is mute."""
        silence_ns = self.silence_ns(now_ns)
        if silence_ns > MUTE_NS:
            text = "never brought anything" if self.newest_ns is None else "has fallen silent"
            raise _Over(Ended(Loss.MUTE, f"it {text}: {silence_ns / SECOND_NS:.1f} s in session"))
        if silence_ns > QUIET_NS:
            self._set_up(is_up=False, reason=f"silent for {silence_ns / SECOND_NS:.1f} s")
        elif self.newest_ns is not None or not self._is_in_session(now_ns):
            self._set_up(is_up=True)

    def _is_in_session(self, now_ns: int) -> bool:
        hours = self._place.hours
        return any(hours.open_since(one.exchange, now_ns) is not None for one in self._desired())

    def _set_up(self, *, is_up: bool, reason: str = "") -> None:
        """Each change is told once (I-66)."""
        if is_up != self.is_up:
            self.is_up = is_up
            self._owner.note_link(self, reason)
