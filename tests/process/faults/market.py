"""A market for faults: an index that turns every two minutes, and few options around it.

The strategy speaks at every turn, so a position is never far away; nothing moves far enough to touch
a stop unless a scenario moves it.
"""

import datetime as dt
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from typing_extensions import override

from holdfast.app.wiring import universe
from holdfast.domain.event import CandleLoaded
from holdfast.domain.market import Tick
from holdfast.exchange.generator import GeneratedDay
from holdfast.exchange.noise import Integers
from holdfast.exchange.underlying import UnderlyingDay
from holdfast.facts.load import load_day_facts
from holdfast.store.segment import TapeHeader
from holdfast.store.tape import TapeWriter

DAY: Final = dt.date(2026, 11, 20)
MINUTES: Final = 180
"""So long after the opening the tape goes."""

MOVES: Final = (600, 200, -600, -200)
"""What the index does in each minute, in paise: the trend turns with the first and the third."""

STRIKES: Final = 2
ROWS: Final = 20_000
SECOND_NS: Final = 1_000_000_000


class _Waves(UnderlyingDay):
    """An index whose way is the same in every four minutes."""

    @override
    def history(self) -> Iterator[CandleLoaded]:
        """The session before, in the same waves: the strategy knows them when the day begins."""
        turns = [self._universe.spot_paise + int(turn) for turn in np.cumsum([0, *MOVES])]
        for number, loaded in enumerate(super().history()):
            phase = number % len(MOVES)
            begun, ended = turns[phase], turns[phase + 1]
            candle = msgspec.structs.replace(
                loaded.candle,
                open_paise=begun,
                high_paise=max(begun, ended),
                low_paise=min(begun, ended),
                close_paise=ended,
            )
            yield msgspec.structs.replace(loaded, candle=candle)

    @override
    def _path(self) -> Integers:
        """Paise for each second: the moves, each in a straight line."""
        turns = np.cumsum([0, *MOVES])
        minutes = np.arange(len(self._starts_ns)) / 60 % len(MOVES)
        way: Integers = np.interp(minutes, np.arange(len(turns)), turns).astype(np.int64)
        return self._universe.spot_paise + way


class WavingDay(GeneratedDay):
    """The day of the scenarios."""

    def __init__(self, seed: int) -> None:
        facts = load_day_facts(DAY)
        chain = msgspec.structs.replace(universe("NIFTY", DAY, 0), strikes_each_side=STRIKES)
        super().__init__(seed, facts, [chain])
        session = facts.session(chain.index.exchange)
        assert session is not None
        self._days = [_Waves(seed, chain, session)]
        self._until_ns = session.open_ns + MINUTES * 60 * SECOND_NS

    @override
    def ticks(self) -> Iterator[Tick]:
        """Its first hours."""
        return takewhile(lambda tick: tick.at_ns < self._until_ns, super().ticks())


def write_tape(folder: Path, seed: int) -> int:
    """Write the day as a tape for the simulated broker; returns how many ticks it has."""
    day = WavingDay(seed)
    header = TapeHeader(
        day=DAY.isoformat(), source="waves, generated", instruments=tuple(day.instruments)
    )
    writer = TapeWriter(folder, header, sync=False)
    candles = list(enumerate(day.history(), 1))
    writer.write(candles)
    ticks = list(enumerate(day.ticks(), len(candles) + 1))
    for first in range(0, len(ticks), ROWS):
        writer.write(ticks[first : first + ROWS])
    writer.close()
    return len(ticks)
