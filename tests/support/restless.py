"""`holdfast run` with a strategy that is never satisfied, for tests that need many short positions.

`python -m tests.support.restless ARGUMENTS`: the real program from its first line, in its own
process; only what its one strategy answers is another's. It speaks at every candle of ten seconds,
up and down in turn, so that a day of real time has hundreds of signals and not three an hour. The
minutes of a past make none of ten seconds: the broker must have none to tell.
"""

import sys
from collections.abc import Sequence
from typing import Any, Final

from holdfast.core.strategy import Opinion, Warmup
from holdfast.domain.decision import Direction
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Candle, Tick

INTERVAL_S: Final = 10


class Restless:
    """An opinion for every candle: which way, its number in the day decides, and nothing else."""

    def __init__(self, *, name: str, underlying: InstrumentId, settings: Any) -> None:
        """`settings` are those of the strategy whose place it takes."""
        del settings
        self.name = name
        self.underlying = underlying
        self.hears_ticks = False

    def warmup(self) -> Sequence[Warmup]:
        """It needs no past; this says which candles it hears."""
        return (Warmup(interval_s=INTERVAL_S, candles=1),)

    def on_candle(self, candle: Candle, *, live: bool) -> Opinion | None:
        """Speak, also of half a candle: a restart lies within most of them."""
        if not live or candle.interval_s != INTERVAL_S:
            return None
        number = candle.start_ns // (INTERVAL_S * 1_000_000_000)
        way = Direction.UP if number % 2 == 0 else Direction.DOWN
        return Opinion(direction=way, reason="another candle", values={"number": number})

    def on_tick(self, tick: Tick) -> Opinion | None:
        """Ticks say nothing to it."""
        del tick
        return None


def main() -> None:
    """The real entry point."""
    from holdfast.app.main import main as program  # noqa: PLC0415 its own order of imports
    from holdfast.strategies import registry  # noqa: PLC0415 as above
    from holdfast.strategies.supertrend import SupertrendSettings  # noqa: PLC0415 as above

    built_in = registry.BuiltIn(SupertrendSettings, Restless)
    registry.BUILT_IN = {"supertrend": built_in}  # type: ignore[misc]
    sys.argv = ["holdfast", *sys.argv[1:]]
    program()


if __name__ == "__main__":
    main()
