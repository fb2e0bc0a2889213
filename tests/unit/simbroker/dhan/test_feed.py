"""The market feed over real sockets: who is let in, who is let go of, what is kept."""

import struct

import aiohttp
import pytest

from holdfast.simbroker.dhan.tokens import Consumer
from holdfast.simbroker.dhan.wire_faults import WireFault
from tests.support.desk import CLOSE, OPEN, SECOND
from tests.unit.simbroker.dhan.feeding import (
    START,
    TICKS,
    codes,
    follow,
    receive,
    run,
    wait_until,
)
from tests.unit.simbroker.dhan.market_day import (
    CALL,
    INDEX,
    Day,
    Sockets,
    candles,
    share,
    wish,
)


@pytest.mark.parametrize(
    ("token", "client_id", "reason"),
    [("a.b.c", "1000000001", 809), ("nonsense", "1000000001", 808), (None, "2", 810)],
)
def test_a_bad_login_gets_its_reason(token: str | None, client_id: str, reason: int) -> None:
    """Code 50, then the end."""
    day = Day(TICKS)
    day.go(START)

    async def story(sockets: Sockets) -> None:
        socket = await sockets.feed(token=token, client_id=client_id)
        (packet,) = await receive(socket)
        assert struct.unpack("<BHBIH", packet) == (50, 10, 0, 0, reason)
        assert await socket.end() is aiohttp.WSMsgType.CLOSE

    run(day, story)


def test_a_token_that_dies_ends_the_connection() -> None:
    """By the end of its day, or by another one that was made."""

    async def story(sockets: Sockets) -> None:
        day = sockets.day
        yesterday = OPEN - 86_400 * SECOND
        day.token = day.tokens.mint(yesterday, consumer=Consumer.SELF, by="web").secret
        socket = await follow(sockets, 15, CALL)
        assert await receive(socket) == []
        day.go(OPEN)
        assert struct.unpack("<BHBIH", (await receive(socket))[-1])[4] == 807

    run(Day(), story)

    async def killed(sockets: Sockets) -> None:
        socket = await follow(sockets, 15, CALL)
        sockets.day.tokens.mint(OPEN, consumer=Consumer.SELF, by="the owner")
        assert struct.unpack("<BHBIH", (await receive(socket))[-1])[4] == 809

    run(Day(), killed)


def test_the_sixth_connection_evicts_the_oldest() -> None:
    """With 805; the others go on."""
    day = Day(TICKS)
    day.go(START)

    async def story(sockets: Sockets) -> None:
        made = [await follow(sockets, 15, INDEX) for _ in range(6)]
        assert struct.unpack("<BHBIH", (await receive(made[0]))[-1])[4] == 805
        assert await made[0].end() is aiohttp.WSMsgType.CLOSE
        assert len(await receive(made[1])) == 2
        day.go(OPEN + 3 * SECOND)
        assert [len(await receive(one)) for one in made[2:]] == [3] * 4
        assert len(day.side.feed.connections()) == 5

    run(day, story)


def test_too_many_instruments_end_the_connection() -> None:
    """A hundred a message, five thousand a connection."""

    async def story(sockets: Sockets) -> None:
        socket = await sockets.feed()
        for first in range(0, 5_000, 100):
            await socket.send(wish(15, *(share(first + number) for number in range(100))))
        assert await receive(socket) == []
        await socket.send(wish(15, INDEX))
        assert struct.unpack("<BHBIH", (await receive(socket))[-1])[4] == 804

    run(Day(), story)


def test_connecting_too_often_is_answered_429() -> None:
    """And again until a minute has passed."""
    day = Day()

    async def story(sockets: Sockets) -> None:
        for _ in range(10):
            await (await sockets.feed()).socket.close()
        for _ in range(2):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await sockets.feed()
            assert refused.value.status == 429
        day.go(OPEN + 61 * SECOND)
        await sockets.feed()

    run(day, story)


def test_the_server_pings_and_drops_who_is_silent() -> None:
    """Who answers stays; who does not is cut off after forty seconds, without a Close frame."""
    day = Day(TICKS)

    async def story(sockets: Sockets) -> None:
        talking, silent = await sockets.feed(), await sockets.feed(is_silent=True)
        for second in range(0, 50, 5):
            day.go(OPEN + second * SECOND)
            await talking.frames(for_s=0.05)
        assert await silent.end() is not aiohttp.WSMsgType.CLOSE
        assert [one["number"] for one in day.side.feed.connections()] == [1]

    run(day, story)


def test_disconnecting_is_asked_for_with_code_12() -> None:
    """The server closes as WebSockets do; the binary word that the SDK sends besides is nothing."""

    async def story(sockets: Sockets) -> None:
        client = await sockets.feed()
        await client.socket.send_bytes(bytes(83))
        await client.send({"RequestCode": 12})
        assert await client.end() is aiohttp.WSMsgType.CLOSE

    run(Day(), story)


@pytest.mark.parametrize("edge_ns", [OPEN, CLOSE])
def test_a_session_that_begins_or_ends_is_told(edge_ns: int) -> None:
    """A bare header for each segment that is followed."""
    day = Day(at_ns=edge_ns - SECOND)

    async def story(sockets: Sockets) -> None:
        socket = await follow(sockets, 15, CALL)
        day.go(edge_ns)
        assert await receive(socket) == [struct.pack("<BHBI", 7, 8, 2, 0)]

    run(day, story)


def test_every_packet_that_was_sent_is_kept() -> None:
    """What the reader got is what the server says that it sent."""
    day = Day(TICKS, candles(2))
    day.go(OPEN + SECOND)

    async def story(sockets: Sockets) -> None:
        socket = await follow(sockets, 21, INDEX, CALL)
        got = await receive(socket)
        day.go(OPEN + 4 * SECOND)
        got += await receive(socket)
        sent = day.side.feed.sent.after(0)
        assert [one.packet for one in sent] == got
        assert [one.connection for one in sent] == [1] * len(got)
        assert sent[-1].at_ns >= OPEN + 2 * SECOND

    run(day, story)


@pytest.mark.parametrize("kind", [WireFault.FEED_DROP, WireFault.FEED_RESET_300])
def test_a_connection_can_be_reset_without_a_word(kind: WireFault) -> None:
    """No packet 50 and no Close frame; a drop lets nobody in until its end."""
    day = Day(TICKS)
    day.go(START)

    async def story(sockets: Sockets) -> None:
        socket = await follow(sockets, 15, CALL)
        day.go(START + 1)
        day.strike(kind, for_s=600)
        if kind is WireFault.FEED_RESET_300:
            await wait_until(day, START + 299 * SECOND, socket)
            assert len(day.side.feed.connections()) == 1
            day.go(START + 300 * SECOND)
        assert await socket.end() is not aiohttp.WSMsgType.CLOSE
        assert 50 not in codes(await receive(socket))
        if kind is WireFault.FEED_DROP:
            with pytest.raises(aiohttp.ClientError):
                await sockets.feed()
            day.go(START + 601 * SECOND)
            await sockets.feed()

    run(day, story)


def test_an_eviction_and_a_refused_handshake() -> None:
    """805 once for those who were there; 429 for whoever comes."""
    day = Day(TICKS)
    day.go(START)

    async def story(sockets: Sockets) -> None:
        socket = await sockets.feed()
        day.go(START + 1)
        day.strike(WireFault.FEED_EVICT, for_s=60)
        assert struct.unpack("<BHBIH", (await receive(socket))[-1])[4] == 805
        again = await sockets.feed()
        assert await receive(again) == []
        assert again.ended_by is None
        assert len(day.side.feed.connections()) == 1
        day.strike(WireFault.FEED_HANDSHAKE_429, for_s=60)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await sockets.feed()

    run(day, story)
