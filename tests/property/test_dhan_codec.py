"""Whatever comes over the feed's wire: nothing but counted flaws, and never a tick of nonsense.

Frames are packed here from the broker's tables, then damaged under a seed: cut, stretched, doubled,
bits turned, fields overwritten by the values that break decoders. `make fuzz` takes a million.
"""

import json
import math
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.brokers.dhan.codec import RUPEES_MAX, Codec, Flaw
from holdfast.brokers.dhan.quotes import quotes_of
from holdfast.brokers.dhan.rest import Answer
from holdfast.domain.event import QuotesRead, ReadFailed
from holdfast.domain.instrument import Exchange, Instrument, Segment, instrument_id
from holdfast.domain.market import Tick
from tests.support import feed_frames as frames
from tests.support.desk import CALL, NIFTY, OPEN, PUT, SECOND
from tests.support.hurting import damage
from tools import CHECKOUT

INPUTS = int(os.environ.get("HOLDFAST_FUZZ", "50000"))
BODIES = INPUTS // 10
NOW = OPEN + 600 * SECOND
BSE = replace(
    CALL,
    id=instrument_id(Segment.BSE_FNO, 70_000),
    segment=Segment.BSE_FNO,
    security_id=70_000,
    exchange=Exchange.BSE,
)
KNOWN: dict[tuple[str, int], Instrument] = {
    (one.segment.value, one.security_id): one for one in (NIFTY, CALL, PUT, BSE)
}


Packing = Callable[[random.Random, str, int, float], bytes]


def _full(chance: random.Random, segment: str, identity: int, last: float) -> bytes:
    rows: list[frames.Row] = [
        (last - step / 20, chance.randrange(3) * 65, last + step / 20, chance.randrange(1, 9) * 65)
        for step in range(chance.randrange(6))
        if last - step / 20 > 0
    ]
    traded = NOW - chance.randrange(9_000) * SECOND
    return frames.full(segment, identity, last, traded, volume=5, oi=7, rows=rows)


PACKINGS: list[Packing] = [
    _full,
    _full,
    _full,
    lambda _chance, segment, identity, last: frames.ticker(segment, identity, last, NOW),
    lambda chance, segment, identity, last: frames.quote(
        segment, identity, last, NOW, volume=chance.randrange(1 << 32)
    ),
    lambda chance, segment, identity, _last: frames.open_interest(
        segment, identity, chance.randrange(1 << 32)
    ),
    lambda _chance, segment, identity, last: frames.close(segment, identity, last),
    lambda chance, _segment, _identity, _last: frames.disconnect(chance.choice([800, 807, 9])),
    lambda _chance, _segment, _identity, _last: frames.status(),
]


def packet(chance: random.Random) -> bytes:
    """One packet as the broker would send it."""
    segment, identity = chance.choice(list(KNOWN))
    return chance.choice(PACKINGS)(chance, segment, identity, chance.randrange(1, 200_000) / 20)


def inputs(seed: int, count: int) -> Iterator[bytes]:
    """Messages of one to four packets, hurt none to three times."""
    chance = random.Random(seed)
    for _ in range(count):
        message = b"".join(packet(chance) for _ in range(chance.randrange(1, 5)))
        for _ in range(chance.randrange(4)):
            message = damage(message, chance)
        yield message


def is_sane(tick: Tick) -> bool:
    """What no wire may make of a tick, whatever it says."""
    step = 1 if tick.instrument == NIFTY.id else 5
    prices = [tick.last_paise, *(price for price, _ in (*tick.bids, *tick.asks))]
    quantities = [quantity for _, quantity in (*tick.bids, *tick.asks)]
    return (
        tick.at_ns == NOW
        and all(0 < price <= RUPEES_MAX * 100 and price % step == 0 for price in prices)
        and all(0 < quantity < 1 << 32 for quantity in quantities)
        and len(tick.bids) <= 5
        and len(tick.asks) <= 5
        and (tick.venue_at_ns is None or tick.venue_at_ns % SECOND == 0)
        and 0 <= tick.volume < 1 << 32
    )


@pytest.mark.timeout(600)
def test_nothing_that_comes_over_the_wire_raises_or_makes_nonsense() -> None:
    """Damaged frames are counted; undamaged ones after them are decoded as if nothing had been."""
    codec = Codec(KNOWN.values())
    whole = frames.full("NSE_FNO", 40_001, 101.4, NOW, rows=[(101.35, 65, 101.45, 130)])
    ticks = 0
    for number, message in enumerate(inputs(7, INPUTS)):
        told = codec.decode(message, NOW)
        assert all(map(is_sane, told)), message.hex()
        ticks += len(told)
        if number % 100 == 0:
            [tick] = codec.decode(whole, NOW)
            assert (tick.last_paise, tick.bids, tick.asks) == (
                10_140,
                ((10_135, 65),),
                ((10_145, 130),),
            )
    assert ticks > INPUTS // 2, "most inputs hold something that can be told"
    missing = {Flaw.TEXT, Flaw.OVERSIZED}
    assert codec.flaws.keys() >= set(Flaw) - missing, "every flaw was met"


def sample_bodies() -> list[bytes]:
    """Quotes as REST tells them, and every other body that we know of where it is at hand."""
    level = {"quantity": 65, "orders": 1, "price": 101.35}
    one = {
        "last_price": 101.4,
        "last_trade_time": "20/11/2026 10:45:00",
        "volume": 4.5e7,
        "oi": 125,
        "depth": {"buy": [level] * 5, "sell": [level] * 5},
        "ohlc": {"open": 1, "close": 2, "high": 3, "low": 1},
    }
    data = {"NSE_FNO": {"40001": one, "40002": one}, "IDX_I": {"13": {"last_price": 24_500.05}}}
    bodies = [json.dumps({"data": data, "status": "success"}).encode()]
    shared = Path(os.environ.get("HOLDFAST_SHARED", CHECKOUT.parent / "shared"))
    samples = shared / "reference" / "dhan-samples"
    small = [path for path in sorted(samples.glob("*.json")) if path.stat().st_size < 4_096]
    return bodies * 10 + [path.read_bytes() for path in small]


@pytest.mark.timeout(600)
def test_no_body_of_the_quotes_raises() -> None:
    """Every body that the broker is known to send, damaged, is quotes or a reading that failed."""
    chance = random.Random(11)
    bodies = sample_bodies()
    read = 0
    for _ in range(BODIES):
        text = chance.choice(bodies)
        for _ in range(chance.randrange(3)):
            text = damage(text, chance)
        try:
            payload = json.loads(text)
        except ValueError:
            payload = text.decode("latin-1")
        told = quotes_of(Answer(status=200, payload=payload, body=text, at_ns=NOW), [CALL, NIFTY])
        assert isinstance(told, QuotesRead | ReadFailed)
        if isinstance(told, QuotesRead):
            read += len(told.quotes)
            assert all(map(is_sane, told.quotes))
    assert read > BODIES // 20


prices = st.integers(1, 1_800_000).map(lambda steps: steps / 20)
quantities = st.integers(0, (1 << 32) - 1)
levels = st.lists(st.tuples(prices, quantities, prices, quantities), max_size=5)


@given(st.lists(st.tuples(st.sampled_from(sorted(KNOWN)), prices, levels), max_size=8))
def test_what_was_packed_is_what_is_read(
    packed: list[tuple[tuple[str, int], float, list[frames.Row]]],
) -> None:
    """Any number of full packets in a message: each level and price to the paisa."""
    message = b"".join(
        frames.full(segment, identity, last, NOW - SECOND, volume=1, oi=2, rows=rows)
        for (segment, identity), last, rows in packed
    )
    told = Codec(KNOWN.values()).decode(message, NOW)
    assert len(told) == len(packed)
    for tick, (key, last, rows) in zip(told, packed, strict=True):
        step = 1 if key[0] == "IDX_I" else 5
        assert tick.instrument == KNOWN[key].id
        assert tick.last_paise == paise(last, step)
        assert tick.bids == tuple((paise(bid, step), bid_q) for bid, bid_q, _, _ in rows if bid_q)
        assert tick.asks == tuple((paise(ask, step), ask_q) for _, _, ask, ask_q in rows if ask_q)


def paise(price: float, step: int) -> int:
    """By the decimal that the 32-bit float stands for."""
    (sent,) = struct.unpack("<f", struct.pack("<f", price))
    steps: int = math.floor(sent * 100 / step + 0.5)
    return steps * step


@given(st.binary(max_size=400))
def test_any_bytes_at_all_make_no_nonsense(message: bytes) -> None:
    """Bytes of no form at all."""
    codec = Codec(KNOWN.values())
    told = codec.decode(message, NOW)
    assert all(map(is_sane, told))
