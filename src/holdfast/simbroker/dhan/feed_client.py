"""One connection of the market feed: what it follows, what is due to it, and how it is sent."""

import asyncio
import math
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from holdfast.domain.instrument import InstrumentId, Segment
from holdfast.exchange.draws import draw_within
from holdfast.simbroker.dhan.board import Board, Snapshot
from holdfast.simbroker.dhan.host import Host
from holdfast.simbroker.dhan.packets import (
    MODES,
    Code,
    Reason,
    bad_price,
    disconnect,
    open_interest,
    previous_close,
    ticker,
)
from holdfast.simbroker.dhan.peer import Peer
from holdfast.simbroker.dhan.sent import SentTicks
from holdfast.simbroker.dhan.subscribing import (
    DISCONNECT,
    PER_CONNECTION_MAX,
    Subscriptions,
    Wish,
    read_wish,
)
from holdfast.simbroker.dhan.wire_faults import Endpoint, WireFault, WireFaults, WireWindow

TICKER: Final = 15
QUOTE: Final = 17
SPIKE: Final = 3.0

GARBAGE: Final = (
    bytes((99, 12, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0)),  # an unknown code
    bytes((Code.TICKER, 0, 0, 2, 1, 0, 0, 0)),  # a length of nothing
    bytes((Code.QUOTE, 255, 255, 2, 1, 0, 0, 0)),  # a length beyond the frame
    bytes((Code.TICKER, 16, 0, 77, 1, 0, 0, 0, *(0,) * 8)),  # an unknown segment
)
"""Packets that are no packets."""


class FeedManners(msgspec.Struct, frozen=True, kw_only=True):
    """How packets are told where Dhan leaves it open (`doubts`).

    `flush_ms` is how long changes of one instrument are gathered.
    """

    flush_ms: int
    is_one_a_frame: bool
    tells_first: bool
    closes_for_all: bool
    index_as_asked: bool


class Backing(NamedTuple):
    """What all connections stand on."""

    host: Host
    board: Board
    wire: WireFaults
    sent: SentTicks
    manners: FeedManners


class FeedClient:
    """One connection. What it is due is kept per instrument, so a slow reader skips, never lags."""

    def __init__(
        self, number: int, peer: Peer, backing: Backing, *, login: tuple[str, str]
    ) -> None:
        """`login` is the token and the client id that it came with."""
        self.number = number
        self.login = login
        self.since_ns = backing.host.at_ns
        self._peer = peer
        self._on = backing
        self._follows = Subscriptions()
        self._pending: dict[InstrumentId, Snapshot] = {}
        self._extra: list[bytes] = []
        self._newest_ns: dict[InstrumentId, int] = {}
        self._last: dict[tuple[InstrumentId, int], bytes] = {}
        self._farewell: Reason | None = None
        self._flushes = 0
        self._due = asyncio.Event()

    @property
    def is_ending(self) -> bool:
        """Whether it was told goodbye, or is gone."""
        return self._farewell is not None or self._peer.is_over

    def about(self) -> dict[str, Any]:
        """Its number, since when it is open (UTC nanoseconds), and what it follows."""
        follows = {str(key): mode for key, mode in self._follows.all().items()}
        return {"number": self.number, "since_ns": self.since_ns, "follows": follows}

    def end(self, reason: Reason) -> None:
        """Send the last packet, then close."""
        self._farewell = self._farewell or reason
        self._due.set()

    def reset(self) -> None:
        """Cut it without a word."""
        self._peer.reset()

    async def run(self) -> None:
        """Read and write until it is over."""
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(self._write())
            keeping = tasks.create_task(self._peer.keep())
            async for text in self._peer.texts():
                self._take(read_wish(text))
            writing.cancel()
            keeping.cancel()

    # -- what is asked

    def _take(self, wish: Wish | Reason) -> None:
        if isinstance(wish, Reason):
            self.end(wish)
        elif wish.code == DISCONNECT:
            self._peer.leave()
        elif wish.code in MODES:
            self._subscribe(wish)
        else:
            for instrument in wish.instruments:
                self._follows.remove(instrument, wish.code - 1)

    def _subscribe(self, wish: Wish) -> None:
        for instrument in wish.instruments:
            self._follows.add(instrument, wish.code)
        if len(self._follows) > PER_CONNECTION_MAX:
            self.end(Reason.TOO_MANY_INSTRUMENTS)
            return
        for instrument in wish.instruments:
            if self._on.board.has_spoken(instrument):
                self._greet(self._on.board.snapshot(instrument))

    def _greet(self, shown: Snapshot) -> None:
        """What a subscription brings at once."""
        instrument, manners = shown.contract.id, self._on.manners
        for code in Code:
            self._last.pop((instrument, code), None)
        if shown.contract.segment is Segment.IDX_I or manners.closes_for_all:
            self._extra.append(previous_close(shown))
            self._due.set()
        if manners.tells_first:
            self.tell(shown, self._on.host.at_ns)

    # -- what is due

    def tell(self, shown: Snapshot, at_ns: int) -> None:
        """Something about an instrument changed; it may be lost, spoilt or late from here on."""
        mode = self._follows.mode(shown.contract.id)
        if mode is None or self.is_ending or self._strikes(WireFault.FEED_SILENT, shown, at_ns):
            return
        old = self._strikes(WireFault.FEED_OLD_STAMP, shown, at_ns)
        if old is not None and shown.traded_at_ns is not None:
            shown = replace(shown, traded_at_ns=shown.traded_at_ns - old.wait_ns)
        late = self._strikes(WireFault.FEED_LAG, shown, at_ns)
        overtaken = self._strikes(WireFault.FEED_REORDERED, shown, at_ns)
        if late is not None:
            self._on.host.at(at_ns + late.wait_ns, lambda _at_ns: self._ready(shown))
        elif overtaken is not None:
            self._on.host.at(at_ns + overtaken.wait_ns, lambda _at_ns: self._add(shown, mode))
        elif not self._spoil(shown, mode, at_ns):
            self._ready(shown)

    def tell_status(self, segment: Segment, packet: bytes) -> None:
        """A session began or ended; told to whoever follows something of the segment."""
        if any(key.startswith(f"{segment.value}:") for key in self._follows.all()):
            self._extra.append(packet)
            self._due.set()

    def _ready(self, shown: Snapshot) -> None:
        """It may go out now, unless a newer one was there before."""
        instrument = shown.contract.id
        if shown.at_ns < self._newest_ns.get(instrument, 0):
            return
        self._newest_ns[instrument] = shown.at_ns
        self._pending[instrument] = shown
        self._due.set()

    def _add(self, shown: Snapshot, mode: int) -> None:
        self._extra.append(self._packet(shown, mode))
        self._due.set()

    def _spoil(self, shown: Snapshot, mode: int, at_ns: int) -> bool:
        """Let go wrong what may; whether the packet itself is gone by it."""
        if self._strikes(WireFault.FEED_GARBAGE, shown, at_ns):
            which = draw_within(0, "garbage", at_ns, low=0, high=len(GARBAGE) - 1)
            self._extra.append(GARBAGE[which])
        if self._strikes(WireFault.FEED_DUPLICATED, shown, at_ns):
            self._add(shown, mode)
        prices = {
            WireFault.FEED_SPIKE: shown.last_paise / 100 * SPIKE,
            WireFault.FEED_ZERO: 0.0,
            WireFault.FEED_NAN: math.nan,
        }
        for kind, price in prices.items():
            if self._strikes(kind, shown, at_ns):
                self._extra.append(bad_price(self._packet(shown, mode), price))
                self._due.set()
                return True
        return False

    def _strikes(self, kind: WireFault, shown: Snapshot, at_ns: int) -> WireWindow | None:
        if not self._on.wire.windows:
            return None
        contract = shown.contract
        fields = {
            "securityId": contract.security_id,
            "exchangeSegment": contract.segment.value,
            "connection": self.number,
        }
        key = f"{self.number} {contract.id} {at_ns}"
        return self._on.wire.strikes(kind, key, at_ns, endpoint=Endpoint.FEED, fields=fields)

    # -- what is sent

    async def _write(self) -> None:
        try:
            while self._farewell is None:
                await self._due.wait()
                self._due.clear()
                for frame in self._frames():
                    await self._peer.send_packet(frame)
                if self._farewell is None:
                    await asyncio.sleep(self._on.host.time.wall_s(self._on.manners.flush_ms / 1e3))
            await self._peer.send_packet(self._noted(disconnect(self._farewell)))
            self._peer.leave()
        except OSError:
            self._peer.is_over = True

    def _frames(self) -> list[bytes]:
        """Everything that is due, kept as sent; muted it is gone."""
        at_ns = self._on.host.at_ns
        packets, self._extra = self._extra, []
        pending, self._pending = self._pending, {}
        self._flushes += 1
        key = f"{self.number} {self._flushes}"
        if self._on.wire.strikes(WireFault.FEED_MUTE, key, at_ns, endpoint=Endpoint.FEED):
            return []
        for shown in pending.values():
            packets += self._changed(shown)
        for packet in packets:
            self._noted(packet)
        if not packets:
            return []
        frames = packets if self._on.manners.is_one_a_frame else [b"".join(packets)]
        if self._on.wire.strikes(WireFault.FEED_TRUNCATED, key, at_ns, endpoint=Endpoint.FEED):
            lost = draw_within(self.number, "truncated", key, low=1, high=len(frames[-1]) - 1)
            frames[-1] = frames[-1][:-lost]
        return frames

    def _noted(self, packet: bytes) -> bytes:
        self._on.sent.add(self._on.host.at_ns, self.number, packet)
        return packet

    def _changed(self, shown: Snapshot) -> list[bytes]:
        """The packets of a snapshot that are not as they were sent last."""
        instrument = shown.contract.id
        mode = self._follows.mode(instrument)
        if mode is None:
            return []
        packets = [self._packet(shown, mode)]
        if mode == QUOTE and shown.contract.segment in (Segment.NSE_FNO, Segment.BSE_FNO):
            packets.append(open_interest(shown))
        new = [one for one in packets if self._last.get((instrument, one[0])) != one]
        for packet in new:
            self._last[instrument, packet[0]] = packet
        return new

    def _packet(self, shown: Snapshot, mode: int) -> bytes:
        is_index = shown.contract.segment is Segment.IDX_I
        if is_index and not self._on.manners.index_as_asked:
            return ticker(shown)
        return MODES[mode](shown)
