"""A client of the market feed, with a writing of its packets of its own."""

import asyncio
import math
import struct
from collections.abc import Awaitable, Callable

from holdfast.domain.instrument import Instrument
from tests.support.desk import OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import (
    PUT,
    Client,
    Day,
    Sockets,
    index_tick,
    option_tick,
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
