"""Frames of the market feed, decoded in one place: bytes in, ticks out, never an exception.

A message holds one packet or several, laid end to end (dhan.md 4.2). What cannot be a packet of the
documented layouts is a `MalformedPacket`: counted by its flaw, logged once for each flaw with what
was seen, and the rest of the message is decoded where the sizes allow. Nothing is guessed: a packet
with one impossible price is refused as a whole.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final

import structlog

from holdfast.domain.instrument import Exchange, Instrument, InstrumentId, Kind, Segment
from holdfast.domain.market import Level, Tick
from holdfast.facts.ist import DAY_NS, OFFSET_NS, SECOND_NS, day_start_ns, ist_date

_log = structlog.get_logger("feed")

SEGMENTS: Final[Mapping[int, Segment | None]] = {
    0: Segment.IDX_I,
    1: Segment.NSE_EQ,
    2: Segment.NSE_FNO,
    3: None,
    4: Segment.BSE_EQ,
    5: None,
    7: None,
    8: Segment.BSE_FNO,
}
"""The feed's bytes of the exchange segments (dhan.md 3); `None`: one that holdfast does not trade."""

TICKER, QUOTE, OI, CLOSE, STATUS, FULL, DISCONNECT = 2, 4, 5, 6, 7, 8, 50
_V1_DEPTH: Final = 3

SIZES: Final[Mapping[int, int]] = {
    TICKER: 16,
    _V1_DEPTH: 112,
    QUOTE: 50,
    OI: 12,
    CLOSE: 16,
    STATUS: 8,
    FULL: 162,
    DISCONNECT: 10,
}
"""The size of each known packet in bytes, its header included (dhan.md 4.3)."""

_FULL_SIZE, _QUOTE_SIZE, _TICKER_SIZE = SIZES[FULL], SIZES[QUOTE], SIZES[TICKER]
HEADER: Final = 8
MESSAGE_MAX: Final = 1 << 20
"""Bytes of the longest message that is looked at: six thousand full packets."""

RUPEES_MAX: Final = 10_000_000.0
PRICES_MAX: Final = 65_536
SHOWN: Final = 24

# Only what is used is unpacked: each field costs as much as a comparison. Prices are taken as their
# four bytes, which are the key to the paise computed before: a third of what computing them costs.
_FULL = struct.Struct("<xH5s4s2xI4xI8xI24x100s")
_DEPTH = struct.Struct("<" + "II4x4s4s" * 5)
_QUOTE = struct.Struct("<xH5s4s2xI4xI24x")
_TICKER = struct.Struct("<xH5s4sI")
_OI = struct.Struct("<xH5sI")
_DISCONNECT = struct.Struct("<xH5xH")
_KEY = struct.Struct("<BI")
_LENGTH = struct.Struct("<xH")
_F32 = struct.Struct("<f")
_ZERO: Final = bytes(4)

assert {
    FULL: _FULL.size,
    QUOTE: _QUOTE.size,
    TICKER: _TICKER.size,
    OI: _OI.size,
    DISCONNECT: _DISCONNECT.size,
}.items() <= SIZES.items(), "a layout has another size than its packet"


class Flaw(StrEnum):
    """What is wrong with a message or a packet of it."""

    EMPTY = "empty message"
    OVERSIZED = "oversized message"
    TEXT = "text message"
    TRUNCATED = "truncated packet"
    NO_LENGTH = "length too short for a packet"
    LENGTH = "length of another packet"
    CODE = "unknown packet code"
    SEGMENT = "unknown segment"
    INSTRUMENT = "unknown instrument"
    PRICE = "impossible price"


class MalformedPacket(ValueError):
    """The one error of this module, and it does not leave it: `Codec` counts it."""

    def __init__(self, flaw: Flaw, seen: object) -> None:
        """`seen` is the value that cannot be."""
        super().__init__(f"{flaw.value}: {seen}")
        self.flaw = flaw


class _Prices:
    """Paise by the four bytes of a price in rupees, on steps of one size; each is computed once.

    A price on the wire is a 32-bit float: 368.15 arrives as 368.149994 (dhan.md 4.3).
    """

    __slots__ = ("paise", "step_paise")

    def __init__(self, step_paise: int) -> None:
        """None is known yet."""
        self.step_paise = step_paise
        self.paise: dict[bytes, int] = {}

    def learn(self, wire: bytes) -> int:
        """Compute one. Raises MalformedPacket for NaN, infinities, negative ones and zero."""
        (rupees,) = _F32.unpack(wire)
        if not 0.0 < rupees < RUPEES_MAX:
            raise MalformedPacket(Flaw.PRICE, rupees)
        found: int = int(rupees * 100.0 / self.step_paise + 0.5) * self.step_paise
        if not found:
            raise MalformedPacket(Flaw.PRICE, rupees)
        if len(self.paise) >= PRICES_MAX:
            self.paise.clear()
        self.paise[wire] = found
        return found


class Wire:
    """One instrument as this connection has shown it.

    `tick` is the last one; `seen_ns` is when the last packet came, also one that made no tick.
    `depth` are the bytes of the last full packet's five rows; `bids` and `asks` are what they say.
    `traded` is the last trade's stamp as it was sent, `venue_at_ns` the same moment in UTC.
    """

    __slots__ = (
        "asks",
        "bids",
        "depth",
        "exchange",
        "id",
        "oi",
        "paise",
        "prices",
        "seen_ns",
        "tick",
        "traded",
        "venue_at_ns",
    )

    def __init__(self, instrument: Instrument, prices: _Prices) -> None:
        """Nothing was shown yet."""
        self.id: InstrumentId = instrument.id
        self.exchange: Exchange = instrument.exchange
        self.prices = prices
        self.paise = prices.paise
        self.tick: Tick | None = None
        self.seen_ns: int | None = None
        self.oi = 0
        self.depth = b""
        self.bids: tuple[Level, ...] = ()
        self.asks: tuple[Level, ...] = ()
        self.traded = 0
        self.venue_at_ns: int | None = None


_Take = Callable[[bytes, int, int], Tick | None]


def _take_nothing(_message: bytes, _offset: int, _at_ns: int) -> Tick | None:
    raise AssertionError("a packet of no known kind is passed over")


_NO_KIND: Final[tuple[int, _Take]] = (MESSAGE_MAX + 1, _take_nothing)
"""A code that nobody documents: a packet that no message is long enough for."""


class Codec:
    """Decodes the messages of one connection.

    What a packet does not carry stays as the last packet of the instrument on this connection left
    it; a connection made anew begins with a codec of its own, so that nothing from before an outage
    looks new. Prices lie on the contract's step; those of indices on the paisa (T30).
    """

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        """`instruments` are those that packets may speak of."""
        self.flaws: dict[Flaw, int] = {}
        self.skipped: dict[int, int] = {}
        self.reason: int | None = None
        self.wires: dict[InstrumentId, Wire] = {}
        self._by_key: dict[bytes, Wire] = {}
        self._steps: dict[int, _Prices] = {}
        self._day_s = self._next_ns = 0
        takes: dict[int, _Take] = {
            **dict.fromkeys((_V1_DEPTH, CLOSE, STATUS), self._leave),
            FULL: self._full,
            QUOTE: self._quote,
            TICKER: self._ticker,
            OI: self._open_interest,
            DISCONNECT: self._disconnect,
        }
        self._kinds = [_NO_KIND] * 256
        for code, take in takes.items():
            self._kinds[code] = (SIZES[code], take)
        self.know(instruments)

    def know(self, instruments: Iterable[Instrument]) -> None:
        """Packets may speak of these as well; what is known already stays as it is."""
        codes = {segment: code for code, segment in SEGMENTS.items() if segment is not None}
        for one in instruments:
            if one.id in self.wires:
                continue
            step = 1 if one.kind is Kind.INDEX else one.price_step_paise
            prices = self._steps.setdefault(step, _Prices(step))
            wire = self.wires[one.id] = Wire(one, prices)
            self._by_key[_KEY.pack(codes[one.segment], one.security_id)] = wire

    def decode(self, message: bytes, at_ns: int) -> list[Tick]:
        """The ticks of one message that was received at `at_ns` (UTC), in its order.

        `reason` holds the broker's code once a packet has said that the connection ends.
        """
        if at_ns >= self._next_ns:
            self._begin_day(at_ns)
        ticks: list[Tick] = []
        offset, end, kinds = 0, len(message), self._kinds
        if not 0 < end <= MESSAGE_MAX:
            self.count(Flaw.OVERSIZED if end else Flaw.EMPTY, f"{end} bytes")
            return ticks
        while offset < end:
            size, take = kinds[message[offset]]
            try:
                if offset + size > end:
                    size = self._pass_over(message, offset)
                elif (tick := take(message, offset, at_ns)) is not None:
                    ticks.append(tick)
            except MalformedPacket as error:
                size = self._recover(error, message, offset, at_ns=at_ns, ticks=ticks)
                if not size:
                    break
            offset += size
        return ticks

    def count(self, flaw: Flaw, seen: str) -> None:
        """Count a flaw; the first of its kind is a line of the log."""
        count = self.flaws.get(flaw, 0) + 1
        self.flaws[flaw] = count
        if count == 1:
            _log.warning("the feed sent what cannot be", flaw=flaw.value, seen=seen)

    # -- one packet: each raises MalformedPacket; `None` is one that makes no tick

    def _full(self, message: bytes, offset: int, at_ns: int) -> Tick | None:
        length, key, last, traded, volume, oi, depth = _FULL.unpack_from(message, offset)
        if length != _FULL_SIZE:
            raise MalformedPacket(Flaw.LENGTH, length)
        try:
            wire = self._by_key[key]
            last_paise = wire.paise[last]
            # Many packets repeat the rows of the one before: two of five in a recorded morning.
            if depth != wire.depth:
                _take_depth(wire, depth)
        except KeyError:
            return self._full_anew(message, offset, at_ns)
        if traded != wire.traded:
            self._trade(wire, traded)
        wire.seen_ns = at_ns
        wire.oi = oi
        wire.tick = tick = Tick(
            at_ns=at_ns,
            instrument=wire.id,
            last_paise=last_paise,
            venue_at_ns=wire.venue_at_ns,
            volume=volume,
            oi=oi,
            bids=wire.bids,
            asks=wire.asks,
        )
        return tick

    def _full_anew(self, message: bytes, offset: int, at_ns: int) -> Tick | None:
        """A full packet with something that was not seen before: learn it, and take it again."""
        _, key, last, traded, _, oi, depth = _FULL.unpack_from(message, offset)
        rows = _DEPTH.unpack(depth)
        wire = self._known(key)
        prices = wire.prices
        for quantity, price in zip(
            (*rows[0::4], *rows[1::4]), (*rows[2::4], *rows[3::4]), strict=True
        ):
            if quantity and price not in prices.paise:
                prices.learn(price)
        if self._learn(wire, last, traded):
            return self._full(message, offset, at_ns)
        wire.seen_ns = at_ns
        wire.oi = oi
        return None

    def _quote(self, message: bytes, offset: int, at_ns: int) -> Tick | None:
        length, key, last, traded, volume = _QUOTE.unpack_from(message, offset)
        if length != _QUOTE_SIZE:
            raise MalformedPacket(Flaw.LENGTH, length)
        return self._without_depth(key, last, traded, at_ns, volume)

    def _ticker(self, message: bytes, offset: int, at_ns: int) -> Tick | None:
        length, key, last, traded = _TICKER.unpack_from(message, offset)
        if length != _TICKER_SIZE:
            raise MalformedPacket(Flaw.LENGTH, length)
        return self._without_depth(key, last, traded, at_ns, None)

    def _without_depth(
        self, key: bytes, last: bytes, traded: int, at_ns: int, volume: int | None
    ) -> Tick | None:
        """A packet that tells no depth: packets come on change, so the depth is still the last one.

        `volume` is `None` where it tells none of that either.
        """
        wire = self._by_key.get(key) or self._known(key)
        last_paise = wire.paise.get(last) or self._learn(wire, last, traded)
        wire.seen_ns = at_ns
        if not last_paise:
            return None
        if traded != wire.traded:
            self._trade(wire, traded)
        if volume is None:
            volume = 0 if wire.tick is None else wire.tick.volume
        wire.tick = tick = Tick(
            at_ns=at_ns,
            instrument=wire.id,
            last_paise=last_paise,
            venue_at_ns=wire.venue_at_ns,
            volume=volume,
            oi=wire.oi,
            bids=wire.bids,
            asks=wire.asks,
        )
        return tick

    def _trade(self, wire: Wire, traded: int) -> None:
        """Another trade was the last one: one of before this day is none (T10)."""
        is_todays = traded >= self._day_s
        wire.venue_at_ns = traded * SECOND_NS - OFFSET_NS if is_todays else None
        wire.traded = traded

    def _learn(self, wire: Wire, last: bytes, traded: int) -> int:
        """The last price in paise; 0 for none, which can be before the day's first trade only."""
        if last == _ZERO and traded < self._day_s:
            return 0
        return wire.prices.learn(last)

    def _known(self, key: bytes) -> Wire:
        """Whom a packet speaks of. Raises MalformedPacket when nobody asked for that."""
        wire = self._by_key.get(key)
        if wire is not None:
            return wire
        segment, security = _KEY.unpack(key)
        if segment not in SEGMENTS:
            raise MalformedPacket(Flaw.SEGMENT, segment)
        raise MalformedPacket(Flaw.INSTRUMENT, f"{segment}:{security}")

    def _disconnect(self, message: bytes, offset: int, _at_ns: int) -> Tick | None:
        length, reason = _DISCONNECT.unpack_from(message, offset)
        if length != SIZES[DISCONNECT]:
            raise MalformedPacket(Flaw.LENGTH, length)
        self.reason = reason
        return None

    def _leave(self, message: bytes, offset: int, _at_ns: int) -> Tick | None:
        """A packet whose content nobody needs: the previous close, the market's status."""
        (length,) = _LENGTH.unpack_from(message, offset)
        if length != SIZES[message[offset]]:
            raise MalformedPacket(Flaw.LENGTH, length)
        return None

    def _open_interest(self, message: bytes, offset: int, at_ns: int) -> Tick | None:
        """Open interest alone is told with the last tick; without one it is kept until there is."""
        length, key, oi = _OI.unpack_from(message, offset)
        if length != SIZES[OI]:
            raise MalformedPacket(Flaw.LENGTH, length)
        wire = self._known(key)
        wire.seen_ns = at_ns
        wire.oi = oi
        before = wire.tick
        if before is None:
            return None
        wire.tick = Tick(
            at_ns=at_ns,
            instrument=wire.id,
            last_paise=before.last_paise,
            venue_at_ns=before.venue_at_ns,
            volume=before.volume,
            oi=oi,
            bids=before.bids,
            asks=before.asks,
        )
        return wire.tick

    # -- what is odd

    def _begin_day(self, at_ns: int) -> None:
        """A trade of before this midnight in India is none of today (T10).

        The wire counts seconds since 1970 as if India's wall showed UTC (dhan.md 4.3).
        """
        start_ns = day_start_ns(ist_date(at_ns))
        self._next_ns = start_ns + DAY_NS
        self._day_s = (start_ns + OFFSET_NS) // SECOND_NS
        for wire in self.wires.values():
            self._trade(wire, wire.traded)

    def _pass_over(self, message: bytes, offset: int) -> int:
        """The length of a packet of a code that nobody documents. Raises MalformedPacket."""
        size = _odd_size(message, offset, len(message))
        code = message[offset]
        self.skipped[code] = self.skipped.get(code, 0) + 1
        self.count(Flaw.CODE, _shown(message, offset))
        return size

    def _recover(
        self, error: MalformedPacket, message: bytes, offset: int, *, at_ns: int, ticks: list[Tick]
    ) -> int:
        """Count a flaw; returns how far the next packet is, 0 when nobody knows."""
        self._note(error, message, offset)
        if error.flaw is not Flaw.LENGTH:
            return 0 if error.flaw in _ENDING else SIZES[message[offset]]
        if _leads_to_end(message, offset, by_code=True):
            tick = self._reread(message, offset, at_ns)
            if tick is not None:
                ticks.append(tick)
            return SIZES[message[offset]]
        if _leads_to_end(message, offset, by_code=False):
            return int(_LENGTH.unpack_from(message, offset)[0])
        return 0

    def _reread(self, message: bytes, offset: int, at_ns: int) -> Tick | None:
        """Take a packet as one of its code's size, which leads exactly to the message's end.

        Where the lengths do instead, it is of a new layout and is passed over; where neither does,
        the message ends here.
        """
        code = message[offset]
        size = SIZES[code]
        packet = bytes((code, size, 0)) + message[offset + 3 : offset + size]
        try:
            return self._kinds[code][1](packet, 0, at_ns)
        except MalformedPacket as error:
            self._note(error, message, offset)
        return None

    def _note(self, error: MalformedPacket, message: bytes, offset: int) -> None:
        self.count(error.flaw, f"{error} in {_shown(message, offset)}")


def _take_depth(wire: Wire, depth: bytes) -> None:
    """Five rows, best first. Raises KeyError for a price that was not seen before.

    A level is empty without a quantity; a quantity without a price cannot be.
    """
    # fmt: off
    (
        bq0, aq0, bp0, ap0, bq1, aq1, bp1, ap1, bq2, aq2, bp2, ap2,
        bq3, aq3, bp3, ap3, bq4, aq4, bp4, ap4,
    ) = _DEPTH.unpack(depth)
    paise = wire.paise
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    if bq4 and aq4 and bq3 and aq3 and bq2 and aq2 and bq1 and aq1 and bq0 and aq0:
        bids = (
            (paise[bp0], bq0), (paise[bp1], bq1), (paise[bp2], bq2), (paise[bp3], bq3),
            (paise[bp4], bq4),
        )
        asks = (
            (paise[ap0], aq0), (paise[ap1], aq1), (paise[ap2], aq2), (paise[ap3], aq3),
            (paise[ap4], aq4),
        )
    else:
        of_bids = (bp0, bq0), (bp1, bq1), (bp2, bq2), (bp3, bq3), (bp4, bq4)
        of_asks = (ap0, aq0), (ap1, aq1), (ap2, aq2), (ap3, aq3), (ap4, aq4)
        bids = tuple([(paise[price], quantity) for price, quantity in of_bids if quantity])
        asks = tuple([(paise[price], quantity) for price, quantity in of_asks if quantity])
    # fmt: on
    wire.depth, wire.bids, wire.asks = depth, bids, asks


_ENDING: Final = frozenset({Flaw.TRUNCATED, Flaw.NO_LENGTH})
"""After these nobody knows where the next packet begins."""


def _odd_size(message: bytes, offset: int, end: int) -> int:
    """The size of a packet of unknown code, by its length. Raises MalformedPacket."""
    if message[offset] in SIZES or offset + HEADER > end:
        raise MalformedPacket(Flaw.TRUNCATED, f"{end - offset} bytes")
    length: int = _LENGTH.unpack_from(message, offset)[0]
    if length < HEADER:
        raise MalformedPacket(Flaw.NO_LENGTH, length)
    if offset + length > end:
        raise MalformedPacket(Flaw.TRUNCATED, f"{end - offset} of {length} bytes")
    return length


def _leads_to_end(message: bytes, offset: int, *, by_code: bool) -> bool:
    """Whether stepping from packet to packet ends exactly where the message does."""
    end = len(message)
    while offset < end:
        if offset + HEADER > end:
            return False
        length: int = _LENGTH.unpack_from(message, offset)[0]
        step = SIZES.get(message[offset], length) if by_code else length
        if step < HEADER:
            return False
        offset += step
    return offset == end


def _shown(message: bytes, offset: int) -> str:
    """The beginning of a packet, as hexadecimal digits."""
    return message[offset : offset + SHOWN].hex(" ")
