"""The binary packets of the market feed, bit for bit (dhan.md 4.2-4.4).

Little-endian throughout. Every packet begins with its code, its whole length, the segment's byte
and the security id. Prices are 32-bit floats in rupees; the time of the last trade is the wall
clock in India written as if it were UTC.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from math import isfinite
from struct import Struct
from typing import Any, Final

from holdfast.domain.instrument import Instrument, Segment
from holdfast.domain.market import Level
from holdfast.facts.ist import OFFSET_NS, SECOND_NS
from holdfast.simbroker.dhan.board import Snapshot


class Code(IntEnum):
    """What a packet is: its first byte."""

    TICKER = 2
    QUOTE = 4
    OI = 5
    PREVIOUS_CLOSE = 6
    STATUS = 7
    FULL = 8
    DISCONNECT = 50


class Reason(IntEnum):
    """Why the server lets go of a connection (dhan.md 1.9, 4.4)."""

    INTERNAL = 800
    TOO_MANY_INSTRUMENTS = 804
    TOO_MANY_CONNECTIONS = 805
    NO_DATA_PLAN = 806
    TOKEN_EXPIRED = 807
    AUTHENTICATION_FAILED = 808
    TOKEN_INVALID = 809
    CLIENT_INVALID = 810
    BAD_REQUEST = 814


SEGMENTS: Final[Mapping[Segment, int]] = {
    Segment.IDX_I: 0,
    Segment.NSE_EQ: 1,
    Segment.NSE_FNO: 2,
    Segment.BSE_EQ: 4,
    Segment.BSE_FNO: 8,
}
"""The byte of each segment (dhan.md 3, enums)."""

DEPTH: Final = 5
U16: Final = 0xFFFF

_HEADER: Final = Struct("<BHBI")
_TICKER: Final = Struct("<BHBIfI")
_QUOTE: Final = Struct("<BHBIfHIfIIIffff")
_FULL: Final = Struct("<BHBIfHIfIIIIIIffff")
_LEVEL: Final = Struct("<IIHHff")
_OI: Final = Struct("<BHBII")
_PREVIOUS: Final = Struct("<BHBIfI")
_DISCONNECT: Final = Struct("<BHBIH")

_TRADE: Final = (
    "last_paise",
    "last_quantity",
    "traded_s",
    "average_paise",
    "volume",
    "sold",
    "bought",
)
_DAY: Final = ("open_paise", "close_paise", "high_paise", "low_paise")
_NAMES: Final[Mapping[int, tuple[Struct, tuple[str, ...]]]] = {
    Code.TICKER: (_TICKER, ("last_paise", "traded_s")),
    Code.QUOTE: (_QUOTE, (*_TRADE, *_DAY)),
    Code.FULL: (_FULL, (*_TRADE, "oi", "oi_high", "oi_low", *_DAY)),
    Code.OI: (_OI, ("oi",)),
    Code.PREVIOUS_CLOSE: (_PREVIOUS, ("close_paise", "oi_before")),
    Code.STATUS: (_HEADER, ()),
    Code.DISCONNECT: (_DISCONNECT, ("reason",)),
}

FULL_SIZE: Final = _FULL.size + DEPTH * _LEVEL.size


def ticker(shown: Snapshot) -> bytes:
    """Last price and the time of its trade: 16 bytes."""
    return _TICKER.pack(
        Code.TICKER, _TICKER.size, *_address(shown.contract), _rupees(shown.last_paise), _ltt(shown)
    )


def quote(shown: Snapshot) -> bytes:
    """Trade, volume, totals and the day's prices: 50 bytes."""
    head = Code.QUOTE, _QUOTE.size, *_address(shown.contract)
    return _QUOTE.pack(*head, *_trade(shown), *_prices(shown))


def full(shown: Snapshot) -> bytes:
    """A quote with open interest before its prices, and five levels of depth: 162 bytes."""
    head = Code.FULL, FULL_SIZE, *_address(shown.contract)
    interest = shown.oi, shown.oi_high, shown.oi_low
    return _FULL.pack(*head, *_trade(shown), *interest, *_prices(shown)) + _depth(shown)


def open_interest(shown: Snapshot) -> bytes:
    """What quote mode says of a derivative besides: 12 bytes."""
    return _OI.pack(Code.OI, _OI.size, *_address(shown.contract), shown.oi)


def previous_close(shown: Snapshot) -> bytes:
    """The close of the session before, and its open interest, which nobody recorded: 16 bytes."""
    head = Code.PREVIOUS_CLOSE, _PREVIOUS.size, *_address(shown.contract)
    return _PREVIOUS.pack(*head, _rupees(shown.close_paise), 0)


def market_status(segment: Segment) -> bytes:
    """A bare header; no body was ever documented: 8 bytes."""
    return _HEADER.pack(Code.STATUS, _HEADER.size, SEGMENTS[segment], 0)


def disconnect(reason: Reason) -> bytes:
    """The last packet of a connection: 10 bytes."""
    return _DISCONNECT.pack(Code.DISCONNECT, _DISCONNECT.size, 0, 0, reason)


def bad_price(packet: bytes, price: float) -> bytes:
    """The same packet with another last price, which may be no number: for what goes wrong."""
    return packet[:8] + Struct("<f").pack(price) + packet[12:]


def read(packet: bytes) -> dict[str, Any]:
    """What a packet of ours says, by name; nothing where it was spoilt on its way out.

    Prices in paise, `None` where they are no numbers; times in seconds as they stand in it.
    """
    names = _NAMES.get(packet[0] if packet else 0)
    if names is None or len(packet) < names[0].size:
        return {}
    words, layout = names[1], names[0]
    _, _, segment, security_id, *values = layout.unpack_from(packet)
    told: dict[str, Any] = {"segment": segment, "security_id": security_id}
    for word, value in zip(words, values, strict=True):
        told[word] = paise_of(value) if isinstance(value, float) else value
    if packet[0] == Code.FULL and len(packet) == FULL_SIZE:
        rows = list(_LEVEL.iter_unpack(packet[_FULL.size :]))
        told["bids"] = [(paise_of(row[4]), row[0], row[2]) for row in rows]
        told["asks"] = [(paise_of(row[5]), row[1], row[3]) for row in rows]
    return told


def paise_of(rupees: float) -> int | None:
    """A price in rupees to the paisa, `None` where it is no number."""
    return round(rupees * 100) if isfinite(rupees) else None


MODES: Final[Mapping[int, Callable[[Snapshot], bytes]]] = {15: ticker, 17: quote, 21: full}
"""What a subscription in each mode is sent, by its request code (dhan.md 3, 4.1)."""


def _address(contract: Instrument) -> tuple[int, int]:
    return SEGMENTS[contract.segment], contract.security_id


def _rupees(paise: int) -> float:
    return paise / 100


def _ltt(shown: Snapshot) -> int:
    """Seconds of the last trade, 0 before the day's first."""
    traded_at_ns = shown.traded_at_ns
    return 0 if traded_at_ns is None else (traded_at_ns + OFFSET_NS) // SECOND_NS


def _trade(shown: Snapshot) -> tuple[float, int, int, float, int, int, int]:
    """From the last price to the totals; the last quantity is 16 bits wide and wraps."""
    return (
        _rupees(shown.last_paise),
        shown.last_quantity & U16,
        _ltt(shown),
        _rupees(shown.average_paise),
        shown.volume,
        shown.sold,
        shown.bought,
    )


def _prices(shown: Snapshot) -> tuple[float, float, float, float]:
    return (
        _rupees(shown.open_paise),
        _rupees(shown.close_paise),
        _rupees(shown.high_paise),
        _rupees(shown.low_paise),
    )


def _depth(shown: Snapshot) -> bytes:
    rows = []
    for number in range(DEPTH):
        bid_paise, bid = _level(shown.bids, number)
        ask_paise, ask = _level(shown.asks, number)
        orders = orders_in(bid, shown.contract), orders_in(ask, shown.contract)
        rows.append(_LEVEL.pack(bid, ask, *orders, _rupees(bid_paise), _rupees(ask_paise)))
    return b"".join(rows)


def _level(levels: tuple[Level, ...], number: int) -> Level:
    return levels[number] if number < len(levels) else (0, 0)


def orders_in(quantity: int, contract: Instrument) -> int:
    """How many orders a level is made of: nobody records it, so one for each four lots begun."""
    return min(-(-quantity // (4 * max(contract.lot_size, 1))), U16)
