"""One connection of the market feed over real sockets: what is sent, and what is spoilt."""

import asyncio
import math
import struct

import pytest

from holdfast.simbroker.dhan.doubts import Doubts, Frames, IndexPackets
from holdfast.simbroker.dhan.wire_faults import WireFault
from tests.support.desk import OPEN, SECOND
from tests.unit.simbroker.dhan.feeding import (
    START,
    TICKS,
    codes,
    cut,
    follow,
    last_price,
    receive,
    run,
    wait_until,
)
from tests.unit.simbroker.dhan.market_day import (
    CALL,
    INDEX,
    PUT,
    Day,
    Sockets,
    candles,
    option_tick,
    wish,
)


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
