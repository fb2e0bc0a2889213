"""Decoding the broker's feed: wire bytes to ticks, with every price in paise and all five levels.

The rows' ratio is to the least that Python can do with the same packets: a loop over
`struct.unpack_from` of every documented field into a tuple. Where HOLDFAST_DHANHQ names a Python
that has the official SDK (dhanhq 2.3.0, in an environment of its own), its parser is measured there
over the same bytes, beside the same bare loop, and ours is told as a share of it.

The goals of the reference (15 times the SDK, 600 ns beside a bare loop of 517) were measured for the
hot fields alone; here the whole depth is decoded, because paper matches on it and the tape keeps it.
A packet that repeats the rows of the one before (two of five in a recorded morning) costs little more
than the hot fields do.
"""

import os
import random
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Final

import msgspec

from bench.yardstick import Row
from holdfast.brokers.dhan.codec import Codec
from holdfast.domain.instrument import Instrument, OptionType
from tests.support import feed_frames as frames
from tests.support.desk import OPEN, SECOND, option

PACKETS: Final = 4_000
NOW: Final = OPEN + 600 * SECOND
FULL: Final = struct.Struct("<BHBIfHIfIIIIIIffff" + "IIHHff" * 5)
QUOTE: Final = struct.Struct("<BHBIfHIfIIIffff")
DEPTH_AT: Final = 62
TICKER: Final = struct.Struct("<BHBIfI")
BY_CODE: Final = {8: FULL, 4: QUOTE, 2: TICKER}
CALLS: Final = [option(40_000 + n, 20_000 + 50 * n, OptionType.CALL) for n in range(50)]

Packing = Callable[[random.Random, Instrument, float], bytes]


def full(chance: random.Random, one: Instrument, last: float) -> bytes:
    """A full packet with five levels on each side."""
    rows: list[frames.Row] = [
        (last - (level + 1) / 20, chance.randrange(1, 10_000), last + level / 20, 65 * level + 65)
        for level in range(5)
    ]
    at_ns = NOW - chance.randrange(600) * SECOND
    return frames.full(one.segment, one.security_id, last, at_ns, volume=9, oi=9, rows=rows)


def quote(chance: random.Random, one: Instrument, last: float) -> bytes:
    """A quote packet."""
    return frames.quote(one.segment, one.security_id, last, NOW, volume=chance.randrange(10**6))


def ticker(_chance: random.Random, one: Instrument, last: float) -> bytes:
    """A ticker packet."""
    return frames.ticker(one.segment, one.security_id, last, NOW)


def packets(kinds: Sequence[Packing]) -> list[bytes]:
    """Packets of fifty instruments, each walking around a price of its own."""
    chance = random.Random(7)
    bases = [100 + chance.randrange(8_000) / 20 for _ in CALLS]
    made = []
    for _ in range(PACKETS):
        number = chance.randrange(len(CALLS))
        last = bases[number] + chance.randrange(-10, 10) / 20
        made.append(chance.choice(kinds)(chance, CALLS[number], last))
    return made


def repeated(made: Sequence[bytes]) -> list[bytes]:
    """The same trades, each on the depth that its instrument showed first."""
    first: dict[bytes, bytes] = {}
    return [packet[:DEPTH_AT] + first.setdefault(packet[:8], packet)[DEPTH_AT:] for packet in made]


def stacked(made: Sequence[bytes], size: int) -> list[bytes]:
    """Messages of `size` packets each."""
    return [b"".join(made[at : at + size]) for at in range(0, len(made), size)]


def decoder(messages: Sequence[bytes]) -> Callable[[], int]:
    """A round of ours over all messages; counts the ticks."""
    codec = Codec(CALLS)

    def run() -> int:
        decode = codec.decode
        return sum(len(decode(message, NOW)) for message in messages)

    return run


def unpacker(made: Sequence[bytes]) -> Callable[[], int]:
    """A round of the bare loop over the same packets, one by one."""

    def run() -> int:
        unpacks = {code: layout.unpack_from for code, layout in BY_CODE.items()}
        for packet in made:
            unpacks[packet[0]](packet, 0)
        return len(made)

    return run


def rows() -> Iterator[Row]:
    """Single packets of each kind, mixed messages of five, full ones stacked by forty, the SDK."""
    singles = {"full": packets([full]), "quote": packets([quote]), "ticker": packets([ticker])}
    for name, made in singles.items():
        yield against(name, f"decode, {name} packet, to bare unpacks", made, made)
    kept = repeated(singles["full"])
    yield against("repeated", "decode, full, same depth again, to bare unpacks", kept, kept)
    mixed, whole = packets([full, quote, ticker]), singles["full"]
    five, forty = stacked(mixed, 5), stacked(whole, 40)
    yield against("mixed", "decode, mixed, five a message, to bare unpacks", five, mixed)
    yield against("stacked", "decode, full, forty a message, to bare unpacks", forty, whole)
    python = os.environ.get("HOLDFAST_DHANHQ")
    if python is None:
        print("  (the official SDK was not measured: HOLDFAST_DHANHQ names no Python that has it)")
        return
    for name, made in singles.items():
        yield beside_sdk(name, made, python)


BOUNDS: Final = {
    "full": 7.0,
    "repeated": 3.0,
    "quote": 5.0,
    "ticker": 12.0,
    "mixed": 8.0,
    "stacked": 7.0,
}
"""No row may cost more than so many bare unpacks of its packets."""

ROUNDS: Final = 15


def against(name: str, what: str, messages: Sequence[bytes], made: Sequence[bytes]) -> Row:
    """Our decoder over `messages` beside the bare loop over the packets in them, interleaved.

    Processor time, because rounds of so different lengths suffer differently from who else runs.
    """
    ours, bare = decoder(messages), unpacker(made)
    costs: list[tuple[float, float]] = []
    done = PACKETS
    for _ in range(ROUNDS):
        bare_ns, _ = timed(bare)
        our_ns, count = timed(ours)
        costs.append((our_ns / max(count, 1), bare_ns / len(made)))
        done = min(done, count)
    each_ns, bare_ns = (median(one) for one in zip(*costs, strict=True))
    return Row(what, "packet", done, PACKETS, each_ns, bare_ns, BOUNDS[name])


def timed(call: Callable[[], int]) -> tuple[int, int]:
    """What a round cost in nanoseconds of the processor, and how many units it did."""
    began = time.process_time_ns()
    count = call()
    return time.process_time_ns() - began, count


def beside_sdk(name: str, made: Sequence[bytes], python: str) -> Row:
    """Ours as a share of the SDK's parser, each in bare unpacks of its own process."""
    ours = against(name, name, made, made)
    told = subprocess.run(  # a Python that the developer named
        [python, "-c", SDK], input=b"".join(made), capture_output=True, check=True, timeout=300
    )
    sdk: dict[str, float] = msgspec.json.decode(told.stdout.splitlines()[-1])
    sdk_ns = ours.bare_ns * sdk["sdk_ns"] / sdk["bare_ns"]
    what = f"decode, {name} packet, to the official SDK's parser"
    return Row(what, "packet", ours.done, PACKETS, ours.each_ns, sdk_ns, 0.5)


SDK: Final = """
import asyncio, json, struct, sys, time
asyncio.set_event_loop(asyncio.new_event_loop())
from statistics import median
from dhanhq.marketfeed import MarketFeed
layouts = {
    8: struct.Struct("<BHBIfHIfIIIIIIffff" + "IIHHff" * 5),
    4: struct.Struct("<BHBIfHIfIIIffff"),
    2: struct.Struct("<BHBIfI"),
}
stream, packets = sys.stdin.buffer.read(), []
while stream:
    size = layouts[stream[0]].size
    packets.append(stream[:size])
    stream = stream[size:]
feed = MarketFeed.__new__(MarketFeed)
feed.on_close = None
unpack = layouts[packets[0][0]].unpack_from
def bare():
    for packet in packets:
        unpack(packet, 0)
def sdk():
    for packet in packets:
        feed.process_data(packet)
def timed(call):
    began = time.process_time_ns()
    call()
    return (time.process_time_ns() - began) / len(packets)
pairs = [(timed(bare), timed(sdk)) for _ in range(9)]
bare_ns, sdk_ns = (median(one) for one in zip(*pairs))
print(json.dumps({"bare_ns": bare_ns, "sdk_ns": sdk_ns}))
"""
