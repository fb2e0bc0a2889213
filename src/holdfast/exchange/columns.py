"""The packets of all instruments as one table in order of receipt, and ticks made of its rows."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick
from holdfast.exchange.depth import levels
from holdfast.exchange.noise import Integers
from holdfast.exchange.packets import NEVER, Packets


class Columns(NamedTuple):
    """One row a packet; `instrument` counts in the day's instruments."""

    instrument: Integers
    packets: Packets

    def cut(self, first: int, end: int) -> "Columns":
        """The rows from `first` up to `end`."""
        rows = slice(first, end)
        return Columns(self.instrument[rows], Packets(*(column[rows] for column in self.packets)))


def merge(spoken: Sequence[Packets]) -> Columns:
    """The table of what all instruments say; at one instant the earlier instrument comes first."""
    sizes = [len(packets.at_ns) for packets in spoken]
    instrument = np.repeat(np.arange(len(spoken)), sizes)
    at_ns = np.concatenate([packets.at_ns for packets in spoken])
    order = np.argsort(at_ns, kind="stable")
    told = zip(*spoken, strict=True)
    return Columns(instrument[order], Packets(*(np.concatenate(c)[order] for c in told)))


def ticks(
    chance: np.random.Generator, columns: Columns, instruments: Sequence[Instrument]
) -> Iterator[Tick]:
    """The rows as ticks, with the levels behind their quotes drawn from `chance`."""
    packets = columns.packets
    lots = np.array([i.lot_size for i in instruments])[columns.instrument]
    steps = np.array([i.price_step_paise for i in instruments])[columns.instrument]
    bids = levels(chance, packets.bid, lots=lots, outward=-steps)
    asks = levels(chance, packets.ask, lots=lots, outward=steps)
    names = [instrument.id for instrument in instruments]
    rows = zip(
        columns.instrument.tolist(),
        packets.at_ns.tolist(),
        packets.last.tolist(),
        packets.traded_ns.tolist(),
        packets.volume.tolist(),
        packets.oi.tolist(),
        bids,
        asks,
        strict=True,
    )
    for instrument, at_ns, last, traded_ns, volume, oi, bid, ask in rows:
        yield Tick(
            at_ns=at_ns,
            instrument=names[instrument],
            last_paise=last,
            venue_at_ns=None if traded_ns == NEVER else traded_ns,
            volume=volume,
            oi=oi,
            bids=bid,
            asks=ask,
        )
