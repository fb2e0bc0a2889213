"""The packets of the market feed, read by an independent writing of the layout."""

import math
import struct

import pytest

from holdfast.domain.instrument import Segment
from holdfast.simbroker.dhan import packets
from holdfast.simbroker.dhan.board import Snapshot
from holdfast.simbroker.dhan.packets import Reason
from tests.unit.simbroker.dhan.market_day import CALL, INDEX

TRADED_NS = (1_781_084_997 - 19_800) * 1_000_000_000
"""09:49:57 in India, which the feed writes as 1781084997 (dhan.md 4.3)."""

SHOWN = Snapshot(
    contract=CALL,
    at_ns=TRADED_NS,
    last_paise=368_15,
    last_quantity=65_601,
    traded_at_ns=TRADED_NS,
    average_paise=360_05,
    volume=123_500,
    oi=6_500,
    oi_high=7_150,
    oi_low=5_850,
    open_paise=350_00,
    high_paise=372_45,
    low_paise=349_95,
    close_paise=340_10,
    bids=((368_10, 650), (368_05, 130)),
    asks=((368_20, 65),),
)


def f32(rupees: float) -> float:
    """What is left of a price in 32 bits."""
    return float(struct.unpack("<f", struct.pack("<f", rupees))[0])


def test_a_ticker_is_sixteen_bytes() -> None:
    """Code, length, segment, id, price, and the wall clock in India as if it were UTC."""
    packet = packets.ticker(SHOWN)
    assert len(packet) == 16
    assert struct.unpack("<BHBIfI", packet) == (2, 16, 2, CALL.security_id, f32(368.15), 1781084997)
    assert round(f32(368.15) * 100) == 36815 != f32(368.15) * 100


def test_a_quote_is_fifty_bytes() -> None:
    """The last quantity is sixteen bits wide, sold comes before bought, close is yesterday's."""
    packet = packets.quote(SHOWN)
    assert len(packet) == 50
    code, length, segment, number, *rest = struct.unpack("<BHBIfHIfIIIffff", packet)
    assert (code, length, segment, number) == (4, 50, 2, CALL.security_id)
    assert rest[:3] == [f32(368.15), 65_601 - 65_536, 1781084997]
    assert rest[3:7] == [f32(360.05), 123_500, 65, 780]
    assert rest[7:] == [f32(350.0), f32(340.1), f32(372.45), f32(349.95)]


def test_a_full_packet_is_a_hundred_and_sixty_two_bytes() -> None:
    """Open interest stands before the prices; levels that nobody quotes are zeros."""
    packet = packets.full(SHOWN)
    assert packet[:3] == bytes.fromhex("08a200")
    assert len(packet) == 162
    assert struct.unpack_from("<III", packet, 34) == (6_500, 7_150, 5_850)
    assert struct.unpack_from("<ffff", packet, 46) == (
        f32(350.0),
        f32(340.1),
        f32(372.45),
        f32(349.95),
    )
    rows = list(struct.iter_unpack("<IIHHff", packet[62:]))
    assert rows[0] == (650, 65, 3, 1, f32(368.10), f32(368.20))
    assert rows[1] == (130, 0, 1, 0, f32(368.05), 0.0)
    assert rows[2:] == [(0, 0, 0, 0, 0.0, 0.0)] * 3


def test_the_small_packets() -> None:
    """Open interest, close before, status and the goodbye."""
    number = CALL.security_id
    assert packets.open_interest(SHOWN) == struct.pack("<BHBII", 5, 12, 2, number, 6_500)
    assert packets.previous_close(SHOWN) == struct.pack("<BHBIfI", 6, 16, 2, number, 340.10, 0)
    assert packets.market_status(Segment.BSE_FNO) == struct.pack("<BHBI", 7, 8, 8, 0)
    goodbye = packets.disconnect(Reason.TOO_MANY_CONNECTIONS)
    assert goodbye == struct.pack("<BHBIH", 50, 10, 0, 0, 805)


def test_before_the_first_trade_there_is_no_time() -> None:
    """Zero stands where nothing has traded."""
    shown = Snapshot(contract=INDEX, at_ns=0, last_paise=24_500_05)
    assert struct.unpack("<BHBIfI", packets.ticker(shown)) == (2, 16, 0, 13, f32(24500.05), 0)


@pytest.mark.parametrize("price", [math.nan, 0.0, 1104.45])
def test_a_spoilt_price_leaves_the_rest_alone(price: float) -> None:
    """Only four bytes differ."""
    packet, spoilt = packets.full(SHOWN), packets.bad_price(packets.full(SHOWN), price)
    assert (packet[:8], packet[12:]) == (spoilt[:8], spoilt[12:])
    assert struct.pack("<f", price) == spoilt[8:12]


def test_what_was_packed_is_read_to_the_paisa() -> None:
    """The other way round, for whoever compares; what is spoilt has no price."""
    told = packets.read(packets.full(SHOWN))
    assert (told["last_paise"], told["traded_s"], told["volume"]) == (368_15, 1781084997, 123_500)
    assert told["bids"][:2] == [(368_10, 650, 3), (368_05, 130, 1)]
    assert told["asks"][0] == (368_20, 65, 1)
    assert packets.read(packets.bad_price(packets.ticker(SHOWN), math.nan))["last_paise"] is None
    assert packets.read(packets.full(SHOWN)[:40]) == {}
    assert packets.read(b"") == {}
