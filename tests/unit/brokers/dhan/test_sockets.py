"""One connection by itself: when it may be dialled, how long it is silent, what it asks for."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

import aiohttp
import pytest
from msgspec.structs import replace

from holdfast.brokers.dhan.dialing import Dialing, Ended, Loss
from holdfast.brokers.dhan.sockets import CONNECT_S, MUTE_NS, QUIET_NS, Hours, Line, Place
from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    InstrumentId,
    Segment,
    instrument_id,
)
from holdfast.domain.market import Tick
from holdfast.runtime.clock import ScaledClock
from tests.support import feed_frames as frames
from tests.support.desk import CALL, CLOSE, NIFTY, OPEN, SECOND, SESSION
from tests.support.feed_desk import NOON, Holder
from tests.support.feed_server import FeedServer, until


class Owner:
    """Hears everything, and says whether there is an outage."""

    def __init__(self) -> None:
        """There is none."""
        self.ticks: list[Tick] = []
        self.links: list[tuple[bool, str]] = []
        self.ends: list[Ended] = []
        self.unseen: list[InstrumentId] = []
        self.outage = False

    def deliver(self, _line: Line, ticks: Sequence[Tick]) -> None:
        self.ticks += ticks

    def note_link(self, line: Line, reason: str) -> None:
        self.links.append((line.is_up, reason))

    def note_end(self, _line: Line, ended: Ended) -> None:
        self.ends.append(ended)

    def note_unseen(self, _line: Line, instruments: Sequence[InstrumentId]) -> None:
        self.unseen += instruments

    def is_silent(self, _now_ns: int) -> bool:
        return self.outage


class Desk:
    """A line, what it is to bring, and who hears it."""

    def __init__(self, url: str, *, start_ns: int = NOON, speed: int = 10) -> None:
        """The line is not kept yet."""
        self.owner = Owner()
        self.timing = ScaledClock(start_ns, speed)
        self.desired: list[Instrument] = [NIFTY]
        sessions = [SESSION, replace(SESSION, exchange=Exchange.BSE)]
        self.place = Place(url, Holder(), self.timing, Hours(sessions))
        self.dialing = Dialing([SESSION])
        self.line = Line(
            3, self.place, self.dialing, desired=lambda: self.desired, owner=self.owner
        )

    async def keep(self) -> None:
        """Keep it until cancelled."""
        async with aiohttp.ClientSession() as self.line.session:
            await self.line.keep()


@pytest.mark.parametrize(
    ("at_ns", "since"), [(OPEN - 1, None), (OPEN, OPEN), (CLOSE - 1, OPEN), (CLOSE, None)]
)
def test_hours_are_half_open(at_ns: int, since: int | None) -> None:
    """An exchange without a session today is never open."""
    hours = Hours([SESSION])
    assert hours.open_since(Exchange.NSE, at_ns) == since
    assert hours.open_since(Exchange.BSE, at_ns) is None


@pytest.mark.proves("I-69")
def test_silence_counts_from_the_making_the_last_packet_or_the_open() -> None:
    """Whichever was last; outside of hours there is none."""
    desk = Desk("ws://127.0.0.1:9")
    line = desk.line
    line._began_ns = OPEN - 60 * SECOND  # noqa: SLF001 as if it was made then
    assert line.silence_ns(OPEN - 1) == 0
    assert line.silence_ns(OPEN + 3 * SECOND) == 3 * SECOND
    line.newest_ns = OPEN + 2 * SECOND
    assert line.silence_ns(OPEN + 3 * SECOND) == SECOND
    assert line.silence_ns(CLOSE) == 0


def test_a_port_without_a_server_is_a_reset_without_an_address() -> None:
    """What is told of it names the fault's kind only."""

    async def story() -> None:
        desk = Desk("ws://127.0.0.1:9")
        keeping = asyncio.ensure_future(desk.keep())
        await until(lambda: len(desk.owner.ends) == 2)
        keeping.cancel()
        await asyncio.wait([keeping])
        assert {ended.loss for ended in desk.owner.ends} == {Loss.RESET}
        assert "127.0.0.1" not in repr(desk.owner.ends)

    asyncio.run(story())


def test_a_server_that_does_not_greet_is_given_up() -> None:
    """A handshake that drips for ever must not hold the feed."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101")
        await reader.read()
        writer.close()

    async def story() -> None:
        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        desk = Desk(f"ws://127.0.0.1:{port}", speed=20)
        keeping = asyncio.ensure_future(desk.keep())
        began = desk.timing.now_ns()
        await until(lambda: len(desk.owner.ends) == 1)
        assert desk.timing.now_ns() - began >= CONNECT_S * SECOND * 0.9
        assert desk.owner.ends[0].reason == "it could not be made in time"
        keeping.cancel()
        await asyncio.wait([keeping])
        server.close()

    asyncio.run(story())


def test_it_is_not_connected_while_nothing_is_desired() -> None:
    """And is within a look once something is."""

    async def story() -> None:
        async with FeedServer() as server:
            desk = Desk(server.url)
            desk.desired = []
            keeping = asyncio.ensure_future(desk.keep())
            await asyncio.sleep(desk.timing.wall_s(2))
            assert server.attempts == 0
            desk.desired = [NIFTY]
            await server.connected()
            keeping.cancel()
            await asyncio.wait([keeping])
            await until(lambda: server.connections[0].is_over)

    asyncio.run(story())


@pytest.mark.proves("T28")
def test_the_rush_of_the_open_is_waited_for_unless_there_is_an_outage() -> None:
    """Only the owner, who sees every connection, knows whether there is one (T28)."""

    async def story() -> None:
        async with FeedServer() as server:
            desk = Desk(server.url, start_ns=OPEN + 10 * SECOND)
            keeping = asyncio.ensure_future(desk.keep())
            await asyncio.sleep(desk.timing.wall_s(3))
            assert server.attempts == 0
            desk.owner.outage = True
            await server.connected()
            keeping.cancel()
            await asyncio.wait([keeping])

    asyncio.run(story())


def test_each_instrument_is_told_unseen_once() -> None:
    """Those that were seen are not; one that is asked for again begins anew."""

    async def story() -> None:
        async with FeedServer() as server:
            desk = Desk(server.url)
            far = replace(CALL, id=CALL.id)
            desk.desired = [NIFTY, far]
            keeping = asyncio.ensure_future(desk.keep())
            served = await server.connected()
            for _ in range(25):
                served.send(frames.ticker("IDX_I", 13, 24_500.0, desk.timing.now_ns()))
                await asyncio.sleep(desk.timing.wall_s(0.4))
            assert desk.owner.unseen == [CALL.id]
            desk.line.ask_again([CALL.id])
            for _ in range(25):
                served.send(frames.ticker("IDX_I", 13, 24_500.0, desk.timing.now_ns()))
                await asyncio.sleep(desk.timing.wall_s(0.4))
            assert desk.owner.unseen == [CALL.id] * 2
            assert desk.line.silence_ns(desk.timing.now_ns()) < QUIET_NS
            keeping.cancel()
            await asyncio.wait([keeping])

    asyncio.run(story())


@pytest.mark.proves("I-71", "T10")
def test_an_exchange_that_is_mute_by_itself_is_asked_for_again() -> None:
    """The other one streams, so the connection stays; once a minute at most (T10)."""
    other = replace(
        CALL,
        id=instrument_id(Segment.BSE_FNO, 70_000),
        segment=Segment.BSE_FNO,
        security_id=70_000,
        exchange=Exchange.BSE,
    )

    async def story() -> None:
        async with FeedServer() as server:
            desk = Desk(server.url)
            desk.desired = [NIFTY, other]
            keeping = asyncio.ensure_future(desk.keep())
            served = await server.connected()
            await until(lambda: len(served.texts) == 2)
            served.send(frames.full("BSE_FNO", 70_000, 8.0, desk.timing.now_ns()))
            for _ in range(35):
                served.send(frames.ticker("IDX_I", 13, 24_500.0, desk.timing.now_ns()))
                await asyncio.sleep(desk.timing.wall_s(0.4))
            assert served.asked(21) == [("BSE_FNO", "70000")] * 2
            assert served.asked(15) == [("IDX_I", "13")]
            assert len(server.connections) == 1
            keeping.cancel()
            await asyncio.wait([keeping])

    asyncio.run(story())


def test_a_process_that_stood_still_judges_nobody_by_that() -> None:
    """Whoever was silent meanwhile is judged by what follows."""

    async def story() -> None:
        async with FeedServer() as server:
            desk = Desk(server.url, speed=20)
            keeping = asyncio.ensure_future(desk.keep())
            served = await server.connected()
            served.send(frames.ticker("IDX_I", 13, 24_500.0, desk.timing.now_ns()))
            await until(lambda: desk.line.is_up)
            time.sleep(desk.timing.wall_s(12))  # noqa: ASYNC251 the loop itself stands still
            resumed_ns = desk.timing.now_ns()
            await server.connected(2)
            assert desk.timing.now_ns() - resumed_ns >= MUTE_NS
            keeping.cancel()
            await asyncio.wait([keeping])

    asyncio.run(story())


class Goodbye(NamedTuple):
    """The message of a connection that has ended."""

    type: aiohttp.WSMsgType = aiohttp.WSMsgType.CLOSED
    data: None = None


class Ending:
    """A connection that says nothing until it ends."""

    close_code = 1006

    def __init__(self) -> None:
        """It is open."""
        self.is_heard = self.is_closed = False
        self.over = asyncio.Event()

    async def send_json(self, _told: object) -> None:
        """Taken."""

    async def send_str(self, _told: str) -> None:
        """Taken."""

    async def receive(self) -> Goodbye:
        """The end, once it has come."""
        self.is_heard = True
        await self.over.wait()
        return Goodbye()

    async def close(self) -> None:
        """Give it back."""
        self.is_closed = True


def test_one_that_ends_at_the_instant_it_is_stopped_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The end must not hide that nobody wants it any more: it would be dialled for ever."""

    async def story() -> None:
        desk, socket = Desk("ws://127.0.0.1:9"), Ending()

        async def dial(_secret: str) -> Ending:
            return socket

        monkeypatch.setattr(desk.line, "_dial", dial)
        keeping = asyncio.ensure_future(desk.line.keep())
        await until(lambda: socket.is_heard)
        socket.over.set()
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(5):
                await keeping
        assert (socket.is_closed, desk.line.dials) == (True, 1)

    asyncio.run(story())
