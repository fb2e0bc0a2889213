"""The strategy protocol: what a user writes, and what the engine hands to it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from holdfast.domain.decision import Direction, Values
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Candle, Tick


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy answers: a direction, the reason in words, the figures behind it.

    Figures are rounded where they leave indicator code (1e-6), so that a comparison never hangs
    on the last bit.
    """

    direction: Direction
    reason: str
    values: Values


class Warmup(msgspec.Struct, frozen=True, kw_only=True):
    """History a strategy needs before its first opinion: complete candles per interval."""

    interval_s: int
    candles: int


class Fed(msgspec.Struct, frozen=True, kw_only=True):
    """A candle as strategies heard it: feeding the same again makes the same indicators."""

    candle: Candle
    live: bool


class Strategy(Protocol):
    """One strategy on one underlying. It does no I/O, reads no clock, keeps its own indicators.

    The engine calls it in order of `name`. What it raises is counted, alarmed, and parks this
    strategy alone. One that hears ticks can be brought back only by stepping the whole day again:
    while it trades there are no snapshots.
    """

    name: str
    underlying: InstrumentId
    hears_ticks: bool

    def warmup(self) -> Sequence[Warmup]:
        """The candles it must be fed, longest interval last. The same in every mode."""
        ...

    def on_candle(self, candle: Candle, *, live: bool) -> Opinion | None:
        """Take one closed candle of the underlying; history comes with `live=False`.

        Returns an opinion only for live candles.
        """
        ...

    def on_tick(self, tick: Tick) -> Opinion | None:
        """Take one tick of the underlying: only asked where `hears_ticks` is set."""
        ...
