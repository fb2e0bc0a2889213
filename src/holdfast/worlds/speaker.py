"""The strategy of a world: it has opinions by the seed, about as often as a bad one would."""

from collections.abc import Sequence

from typing_extensions import override

from holdfast.core.strategy import Opinion, Strategy, Warmup
from holdfast.domain.decision import Direction
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Candle, Tick
from holdfast.worlds.chance import Chance
from holdfast.worlds.ground import INDEX

INTERVAL_S = 15


class Speaker(Strategy):
    """Speaks after a candle or does not, and in either direction: all by the candle's time."""

    name: str = "speaker"
    underlying: InstrumentId = INDEX.id
    hears_ticks: bool = False

    def __init__(self, seed: int, *, bps: int) -> None:
        """`bps` of the candles get an opinion."""
        self._chance = Chance(seed, "speaker")
        self._bps = bps

    @override
    def warmup(self) -> Sequence[Warmup]:
        return (Warmup(interval_s=INTERVAL_S, candles=0),)

    @override
    def on_candle(self, candle: Candle, *, live: bool) -> Opinion | None:
        key = str(candle.start_ns)
        if not live or not self._chance.happens(key, self._bps):
            return None
        directions = (Direction.UP, Direction.DOWN)
        return Opinion(
            direction=self._chance.one_of(f"{key}/side", directions), reason="the seed", values={}
        )

    @override
    def on_tick(self, tick: Tick) -> Opinion | None:
        return None
