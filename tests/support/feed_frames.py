"""Packets of the market feed, packed field by field from the broker's tables (dhan.md 4.2, 4.3).

Written for the tests alone, without a look at the decoder: the two are to find each other's faults.
"""

import struct
from collections.abc import Sequence

IST_S = 19_800
SEGMENT_BYTES = {
    "IDX_I": 0,
    "NSE_EQ": 1,
    "NSE_FNO": 2,
    "NSE_CURRENCY": 3,
    "BSE_EQ": 4,
    "MCX_COMM": 5,
    "BSE_CURRENCY": 7,
    "BSE_FNO": 8,
}
Row = tuple[float, int, float, int]
"""One level: bid in rupees, its quantity, ask in rupees, its quantity."""


def header(code: int, length: int, segment: str | int, security_id: int) -> bytes:
    """Eight bytes: code, length with the header, segment, id."""
    number = SEGMENT_BYTES[segment] if isinstance(segment, str) else segment
    return (
        struct.pack("<B", code)
        + struct.pack("<H", length)
        + struct.pack("<B", number)
        + struct.pack("<I", security_id)
    )


def wall_s(at_ns: int | None) -> int:
    """A time as the wire has it: India's wall as if it were UTC, in seconds; 0 for no trade."""
    return 0 if at_ns is None else at_ns // 1_000_000_000 + IST_S


def rupees(price: float) -> bytes:
    """A price as a 32-bit float."""
    return struct.pack("<f", price)


def ticker(segment: str | int, security_id: int, last: float, traded_ns: int | None) -> bytes:
    """Code 2, 16 bytes."""
    body = rupees(last) + struct.pack("<I", wall_s(traded_ns))
    return header(2, 16, segment, security_id) + body


def close(segment: str | int, security_id: int, previous: float, oi: int = 0) -> bytes:
    """Code 6, 16 bytes."""
    return header(6, 16, segment, security_id) + rupees(previous) + struct.pack("<I", oi)


def open_interest(segment: str | int, security_id: int, oi: int) -> bytes:
    """Code 5, 12 bytes."""
    return header(5, 12, segment, security_id) + struct.pack("<I", oi)


def status(segment: str | int = 0, security_id: int = 0) -> bytes:
    """Code 7, a header alone."""
    return header(7, 8, segment, security_id)


def disconnect(reason: int) -> bytes:
    """Code 50, 10 bytes."""
    return header(50, 10, 0, 0) + struct.pack("<H", reason)


def quote(
    segment: str | int, security_id: int, last: float, traded_ns: int | None, *, volume: int = 0
) -> bytes:
    """Code 4, 50 bytes."""
    return header(4, 50, segment, security_id) + _market(last, traded_ns, volume) + _prices(last)


def full(  # noqa: PLR0913 a packet has this many fields
    segment: str | int,
    security_id: int,
    last: float,
    traded_ns: int | None,
    *,
    volume: int = 0,
    oi: int = 0,
    rows: Sequence[Row] = (),
) -> bytes:
    """Code 8, 162 bytes. `rows` are at most five levels; the others are zeros."""
    depth = b"".join(
        struct.pack("<I", bid_quantity)
        + struct.pack("<I", ask_quantity)
        + struct.pack("<HH", min(bid_quantity, 9), min(ask_quantity, 9))
        + rupees(bid)
        + rupees(ask)
        for bid, bid_quantity, ask, ask_quantity in rows
    )
    depth = depth.ljust(100, b"\0")
    interest = struct.pack("<I", oi) + struct.pack("<I", oi + 10) + struct.pack("<I", 0)
    body = _market(last, traded_ns, volume) + interest + _prices(last) + depth
    return header(8, 162, segment, security_id) + body


def _market(last: float, traded_ns: int | None, volume: int) -> bytes:
    """From the last price to the total of the buyers."""
    return (
        rupees(last)
        + struct.pack("<H", 75)
        + struct.pack("<I", wall_s(traded_ns))
        + rupees(last)
        + struct.pack("<I", volume)
        + struct.pack("<I", 4_000)
        + struct.pack("<I", 5_000)
    )


def _prices(last: float) -> bytes:
    """Open, previous close, high, low."""
    return rupees(last) + rupees(last) + rupees(last) + rupees(last)
