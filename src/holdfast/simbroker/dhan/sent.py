"""Every packet that the market feed sent, as it was sent: what a reader is measured against."""

from struct import Struct
from typing import Any, Final

import msgspec

from holdfast.simbroker.dhan.packets import read

_ENTRY: Final = Struct("<QIH")
"""Instant (UTC nanoseconds), number of the connection, size of the packet behind it."""


class SentTick(msgspec.Struct, frozen=True, kw_only=True):
    """One packet. `number` counts from 1; `packet` is its bytes; `code` what it is.

    `fields` are those of its kind by name, prices in paise (`None` where it is no price), times
    in seconds as they stand in it; empty where the packet cannot be read.
    """

    number: int
    at_ns: int
    connection: int
    code: int
    packet: bytes
    segment: int = 0
    security_id: int = 0
    fields: dict[str, Any] = {}


class SentTicks:
    """Kept in one piece of memory: some 180 bytes a packet."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._starts: list[int] = []

    def __len__(self) -> int:
        """How many were sent."""
        return len(self._starts)

    def add(self, at_ns: int, connection: int, packet: bytes) -> None:
        """Keep one."""
        self._starts.append(len(self._kept))
        self._kept += _ENTRY.pack(at_ns, connection, len(packet))
        self._kept += packet

    def after(self, number: int, *, limit: int = 5_000) -> list[SentTick]:
        """Those behind the first `number`, oldest first, at most `limit`."""
        first = max(number, 0)
        last = min(first + limit, len(self._starts))
        return [self._tick(number) for number in range(first, last)]

    def _tick(self, index: int) -> SentTick:
        start = self._starts[index]
        at_ns, connection, size = _ENTRY.unpack_from(self._kept, start)
        begin = start + _ENTRY.size
        packet = bytes(self._kept[begin : begin + size])
        told = read(packet)
        return SentTick(
            number=index + 1,
            at_ns=at_ns,
            connection=connection,
            code=packet[0] if packet else 0,
            packet=packet,
            segment=told.pop("segment", 0),
            security_id=told.pop("security_id", 0),
            fields=told,
        )
