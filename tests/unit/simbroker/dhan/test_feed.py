"""The market feed over real sockets, read by an independent writing of its packets."""

import asyncio
import math
import struct
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from holdfast.domain.instrument import Instrument
from holdfast.simbroker.dhan.doubts import Doubts, Frames, IndexPackets
from holdfast.simbroker.dhan.tokens import Consumer
from holdfast.simbroker.dhan.wire_faults import WireFault
from tests.support.desk import CLOSE, OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import (
    CALL,
    INDEX,
    PUT,
    Client,
    Day,
    Sockets,
    candles,
    index_tick,
    option_tick,
    share,
    wish,
)

SIZES = {2: 16, 4: 50, 5: 12, 6: 16, 7: 8, 8: 162, 50: 10}
START = OPEN + 1
"""The session has begun: whoever connects is not told so."""

TICKS = [
    index_tick(START, 24_500_00),
    option_tick(OPEN + SECOND, 118_50, volume=65),
    option_tick(OPEN + SECOND, 99_00, contract=PUT, volume=130),
    option_tick(OPEN + 2 * SECOND, 119_00, volume=130, traded_at_ns=OPEN + 2 * SECOND),
    index_tick(OPEN + 3 * SECOND, 24_501_00),
    option_tick(OPEN + 4 * SECOND, 119_00, volume=130, traded_at_ns=OPEN + 2 * SECOND),
    option_tick(OPEN + 30 * SECOND, 120_00, volume=195, traded_at_ns=OPEN + 30 * SECOND),
]

Story = Callable[[Sockets], Awaitable[None]]


def run(day: Day, story: Story) -> None:
    """Tell a story over sockets of `day`."""

    async def told() -> None:
        async with asyncio.timeout(15), day.served() as sockets:
            await story(sockets)

    asyncio.run(told())


def cut(frame: bytes) -> list[bytes]:
    """The packets of a frame, by the size of each code."""
    found = []
    while frame:
        size = SIZES[frame[0]]
        assert struct.unpack_from("<H", frame, 1) == (size,), "the length says otherwise"
        found.append(frame[:size])
        frame = frame[size:]
    return found


async def receive(client: Client, *, for_s: float = 0.15) -> list[bytes]:
    """Every packet that comes until nothing has come for a while."""
    return [packet for frame in await client.frames(for_s=for_s) for packet in cut(frame)]


async def wait_until(day: Day, at_ns: int, socket: Client) -> list[bytes]:
    """Let time pass in steps in which pings are answered; every packet that came."""
    found = []
    for step_ns in range(day.time.at_ns, at_ns, 15 * SECOND):
        day.go(step_ns)
        found += await receive(socket, for_s=0.05)
    day.go(at_ns)
    return found + await receive(socket)


def last_price(packet: bytes) -> float:
    """The float behind the header, to the paisa."""
    price: float = struct.unpack_from("<f", packet, 8)[0]
    return price if math.isnan(price) else round(price, 2)


def codes(packets: list[bytes]) -> list[int]:
    """What each packet is."""
    return [packet[0] for packet in packets]


async def follow(sockets: Sockets, code: int, *instruments: Instrument) -> Client:
    """A connection that has subscribed."""
    client = await sockets.feed()
    await client.send(wish(code, *instruments))
    return client


def test_each_mode_has_its_packets() -> None:
    """Ticker, quote with open interest beside it, full; the close before for the index alone."""
    day = Day(TICKS, candles(2))
    day.go(OPEN + SECOND)

    async def story(sockets: Sockets) -> None:
        quoted = await follow(sockets, 17, INDEX, CALL)
        full = await follow(sockets, 21, PUT)
        assert sorted(codes(await receive(quoted))) == [2, 4, 5, 6]
        (packet,) = await receive(full)
        assert struct.unpack_from("<BHBI", packet) == (8, 162, 2, PUT.security_id)
        assert last_price(packet) == 99.0
        day.go(OPEN + 2 * SECOND)
        (packet,) = await receive(quoted)
        assert last_price(packet) == 119.0
        assert struct.unpack_from("<I", packet, 14) == ((OPEN + 2 * SECOND) // SECOND + 19_800,)
        assert await receive(full) == []

    run(day, story)


def test_only_changes_are_told_and_what_is_taken_back_is_not() -> None:
    """A tick that changes nothing of a ticker brings none; after code 16 nothing comes at all."""
    day = Day(TICKS)
    day.go(OPEN + 2 * SECOND)

    async def story(sockets: Sockets) -> None:
        socket = await follow(sockets, 15, CALL, INDEX)
        assert len(await receive(socket)) == 3
        day.go(OPEN + 4 * SECOND)
        assert [last_price(packet) for packet in await receive(socket)] == [24_501.0]
        await socket.send(wish(16, CALL))
        day.go(OPEN + 30 * SECOND)
        assert await receive(socket) == []

    run(day, story)


def test_what_is_due_together_goes_in_one_frame_unless_told_otherwise() -> None:
    """The official SDK reads the first packet of a frame and no more."""

    async def counted(sockets: Sockets) -> list[int]:
        socket = await sockets.feed()
        await socket.send(wish(15, INDEX, CALL, PUT))
        return [len(cut(frame)) for frame in await socket.frames()]

    for doubts, expected in (
        (Doubts(), [4]),
        (Doubts(frames=Frames.SINGLE), [1, 1, 1, 1]),
    ):
        day = Day(TICKS, doubts=doubts)
        day.go(OPEN + SECOND)
        found: list[list[int]] = []

        async def story(sockets: Sockets, found: list[list[int]] = found) -> None:
            found.append(await counted(sockets))

        run(day, story)
        assert found == [expected]


def test_changes_within_a_quarter_second_are_one_packet() -> None:
    """A snapshot stream, not every tick."""
    ticks = [option_tick(START + number, 118_00 + 5 * number) for number in range(50)]
    day = Day(ticks, flush_ms=100_000)
    day.go(OPEN)

    async def story(sockets: Sockets) -> None:
        socket = await follow(sockets, 15, CALL)
        for number in range(50):
            day.go(START + number)
            await asyncio.sleep(0)
        prices = [last_price(packet) for packet in await receive(socket, for_s=0.4)]
        assert prices[-1] == 120.45
        assert len(prices) <= 3

    run(day, story)


def test_a_first_packet_is_not_promised() -> None:
    """The next change is the first that is told; an index may come as asked for."""
    day = Day(TICKS, doubts=Doubts(first_packet=False, index_packets=IndexPackets.ASKED))
    day.go(OPEN + SECOND)

    async def story(sockets: Sockets) -> None:
        socket = await follow(sockets, 21, INDEX, CALL)
        assert codes(await receive(socket)) == [6]
        day.go(OPEN + 3 * SECOND)
        assert codes(await receive(socket)) == [8, 8]

    run(day, story)


def test_the_close_before_can_be_told_of_every_segment() -> None:
    """The documents promise it; measured it came for indices alone."""
    day = Day(TICKS, doubts=Doubts(closes_for_all=True))
    day.go(OPEN + SECOND)

    async def story(sockets: Sockets) -> None:
        socket = await follow(sockets, 15, INDEX, CALL)
        closes = [packet for packet in await receive(socket) if packet[0] == 6]
        assert [packet[3] for packet in closes] == [0, 2]

    run(day, story)


def test_who_does_not_read_holds_nobody_up() -> None:
    """Others get every change at its time, and he the newest in the end."""
    ticks = [
        option_tick(START + number * SECOND, 118_00 + 5 * number, traded_at_ns=START)
        for number in range(20)
    ]
    day = Day(ticks)
    day.go(OPEN)

    async def story(sockets: Sockets) -> None:
        slow, other = await follow(sockets, 15, CALL), await follow(sockets, 15, CALL)
        for number in range(20):
            day.go(START + number * SECOND)
            assert [last_price(one) for one in await receive(other, for_s=0.03)] == [
                round(118 + 0.05 * number, 2)
            ]
        assert last_price((await receive(slow))[-1]) == 118.95

    run(day, story)


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


# -- what goes wrong


def test_a_mute_feed_is_open_and_says_nothing() -> None:
    """What was said meanwhile is gone."""
    day = Day(TICKS)
    day.go(START)

    async def story(sockets: Sockets) -> None:
        socket = await sockets.feed()
        day.strike(WireFault.FEED_MUTE, for_s=3)
        await socket.send(wish(15, CALL, INDEX))
        day.go(OPEN + SECOND)
        assert await receive(socket) == []
        assert socket.ended_by is None
        told = await wait_until(day, OPEN + 30 * SECOND, socket)
        assert sorted(last_price(packet) for packet in told) == [119.0, 120.0, 24_501.0]

    run(day, story)


def test_a_lagging_feed_tells_old_trades_now() -> None:
    """Forty seconds later, with the time of the trade as it was."""
    day = Day(TICKS)
    day.go(START)

    async def story(sockets: Sockets) -> None:
        socket = await follow(sockets, 15, CALL)
        day.strike(WireFault.FEED_LAG, delay_ns=40 * SECOND)
        assert await wait_until(day, OPEN + 40 * SECOND, socket) == []
        day.go(OPEN + 41 * SECOND)
        (packet,) = await receive(socket)
        assert struct.unpack_from("<fI", packet, 8) == (118.5, OPEN // SECOND + 19_800)

    run(day, story)


def test_one_exchange_can_freeze_while_others_go_on() -> None:
    """And one instrument alone."""
    day = Day(TICKS)
    day.go(START)

    async def story(sockets: Sockets) -> None:
        socket = await follow(sockets, 15, CALL, PUT, INDEX)
        day.strike(WireFault.FEED_SILENT, only={"exchangeSegment": "NSE_FNO"})
        day.go(OPEN + 4 * SECOND)
        assert {packet[3] for packet in await receive(socket)} == {0}

    run(day, story)


@pytest.mark.parametrize(
    ("kind", "price"),
    [
        (WireFault.FEED_SPIKE, 355.5),
        (WireFault.FEED_ZERO, 0.0),
        (WireFault.FEED_NAN, math.nan),
    ],
)
def test_a_price_can_be_spoilt(kind: WireFault, price: float) -> None:
    """The packet is whole but for it."""
    day = Day(TICKS)
    day.go(START)

    async def story(sockets: Sockets) -> None:
        socket = await follow(sockets, 21, CALL)
        day.strike(kind)
        day.go(OPEN + SECOND)
        (packet,) = await receive(socket)
        assert last_price(packet) == price or math.isnan(last_price(packet)) == math.isnan(price)
        assert day.wire.struck[kind] == 1

    run(day, story)


def test_frames_can_be_cut_short_and_mixed_with_rubbish() -> None:
    """Whoever reads them must not believe their lengths."""
    day = Day(TICKS)
    day.go(START)

    async def story(sockets: Sockets) -> None:
        socket = await follow(sockets, 21, CALL)
        day.strike(WireFault.FEED_TRUNCATED, times=1)
        day.go(OPEN + SECOND)
        (frame,) = await socket.frames()
        assert 0 < len(frame) < 162
        day.strike(WireFault.FEED_GARBAGE)
        day.go(OPEN + 2 * SECOND)
        (frame,) = await socket.frames()
        assert frame[-162] == 8
        assert len(frame) > 162

    run(day, story)


def test_packets_can_come_twice_late_or_with_an_older_trade() -> None:
    """Each for itself."""
    day = Day(TICKS)
    day.go(START)

    async def story(sockets: Sockets) -> None:
        socket = await follow(sockets, 15, CALL)
        day.strike(WireFault.FEED_DUPLICATED, times=1)
        day.go(OPEN + SECOND)
        first, second = await receive(socket)
        assert first == second
        day.strike(WireFault.FEED_REORDERED, times=1, delay_ns=10 * SECOND)
        day.go(OPEN + 2 * SECOND)
        assert await receive(socket) == []
        day.go(OPEN + 12 * SECOND)  # and one that overtook it says the same
        assert [last_price(packet) for packet in await receive(socket)] == [119.0, 119.0]
        day.strike(WireFault.FEED_OLD_STAMP, delay_ns=30 * SECOND)
        (packet,) = await wait_until(day, OPEN + 30 * SECOND, socket)
        assert struct.unpack_from("<I", packet, 12) == (OPEN // SECOND + 19_800,)

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
