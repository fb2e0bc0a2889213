"""Which print of an index can be true: one a tenth away from the one before it is not (T18).

NSE and BSE halt their markets where an index has moved by 10 %, so no two prints of one that trades
lie that far apart. A print that does is kept from candles, strategies and the choice of a strike:
three times the index once would bend a smoothed range for the rest of the day, and at that instant
name the last strike of the list. It is believed once it has stood: after a halt, a gap is true.
"""

import msgspec

from holdfast.core.settings import SECOND_NS
from holdfast.domain.market import Tick

APART_PERCENT = 10
"""Of the print before. The first of the three circuit breakers of an index."""

STANDS_NS = 5 * SECOND_NS
"""A print far from those before is believed when all that came since lie near it for so long."""


class Prints:
    """The prints of one index, each judged by those before it."""

    __slots__ = ("_far_paise", "_far_since_ns", "_last_paise", "refused")

    def __init__(self) -> None:
        """None was seen: the first is believed. `refused` counts those that were not."""
        self._last_paise = 0
        self._far_paise = 0
        self._far_since_ns = 0
        self.refused = 0

    def believed(self, tick: Tick) -> Tick | None:
        """The packet without what cannot be true of it; `None`: its last price cannot."""
        if not self._takes(tick.last_paise, tick.at_ns):
            self.refused += 1
            return None
        low, high = tick.last_low_paise, tick.last_high_paise
        if low is None or high is None or (self._is_near(low) and self._is_near(high)):
            return tick
        return msgspec.structs.replace(tick, last_low_paise=None, last_high_paise=None)

    def _takes(self, paise: int, at_ns: int) -> bool:
        if paise <= 0:
            return False
        if self._last_paise and not self._is_near(paise) and not self._stands(paise, at_ns):
            return False
        self._last_paise, self._far_paise = paise, 0
        return True

    def _stands(self, paise: int, at_ns: int) -> bool:
        """Whether prints have been around this one for long enough, none of them near the last."""
        if not self._far_paise or not _is_around(paise, self._far_paise):
            self._far_paise, self._far_since_ns = paise, at_ns
        return at_ns - self._far_since_ns >= STANDS_NS

    def _is_near(self, paise: int) -> bool:
        return _is_around(paise, self._last_paise)


def _is_around(paise: int, other_paise: int) -> bool:
    return abs(paise - other_paise) * 100 <= other_paise * APART_PERCENT
