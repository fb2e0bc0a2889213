"""A market day without a recording: index, option chain, books and trades, all from one seed."""

from collections.abc import Iterator, Sequence

from holdfast.domain.dated import DayFacts, Session
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import CandleLoaded
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick
from holdfast.exchange.columns import merge, ticks
from holdfast.exchange.noise import noise
from holdfast.exchange.underlying import UnderlyingDay
from holdfast.exchange.universe import Universe

CHUNK = 8_192
"""Ticks made at a time: enough for numpy, little enough for memory."""


class GeneratedDay:
    """One believable session for one or more indices and their options.

    It is a function of its arguments: called again, and in another process, everything comes out
    alike. Raises `DataRefused` where the day has no session or an expiry has passed.
    """

    def __init__(self, seed: int, facts: DayFacts, universes: Sequence[Universe]) -> None:
        self._seed = seed
        self._days = [
            UnderlyingDay(seed, universe, _session(universe, facts)) for universe in universes
        ]
        indices = tuple(universe.index for universe in universes)
        self._instruments = (*indices, *(o for universe in universes for o in universe.options()))
        ids = frozenset(instrument.id for instrument in self._instruments)
        assert len(ids) == len(self._instruments), "two universes share an instrument"

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """Every contract of the day, the indices first."""
        return self._instruments

    def history(self) -> Iterator[CandleLoaded]:
        """One-minute candles of a full session before, oldest first."""
        for minute in zip(*(day.history() for day in self._days), strict=True):
            yield from minute

    def ticks(self) -> Iterator[Tick]:
        """Every tick of the session in order of receipt."""
        said = [day.packets() for day in self._days]
        of_options = [packets for _, options in said for packets in options]
        table = merge([*(index for index, _ in said), *of_options])
        for first in range(0, len(table.instrument), CHUNK):
            chance = noise(self._seed, "depth", first)
            yield from ticks(chance, table.cut(first, first + CHUNK), self._instruments)


def _session(universe: Universe, facts: DayFacts) -> Session:
    """The hours in which a universe trades; its expiry must not have passed."""
    session = facts.session(universe.index.exchange)
    where = f"generated day {facts.day}"
    if session is None:
        what = f"{universe.index.exchange} is closed"
        raise DataRefused(where, what, "name a trading day")
    if universe.expiry < facts.day:
        what = f"the options of {universe.index.underlying} expired on {universe.expiry}"
        raise DataRefused(where, what, "name an expiry on or after the day")
    return session
