"""The book of one instrument: what the last tick told, less what our own orders took since."""

from collections.abc import Iterator

from holdfast.domain.market import Level, Tick
from holdfast.domain.order import Side

DEPTH = 5
"""Levels a side that the feed tells; fewer than these are the whole book."""


class Book:
    """At most five levels a side, as told; every tick tells all of them anew.

    What we take is missing until the next tick and no longer: the market that the ticks record
    never knew of us. `side` is always that of *our* order: a buy trades with the asks.
    """

    __slots__ = ("_taken", "tick")

    def __init__(self) -> None:
        self.tick: Tick | None = None
        self._taken: dict[tuple[Side, int], int] = {}

    def tell(self, tick: Tick) -> None:
        """Replace everything by what `tick` says."""
        self.tick = tick
        if self._taken:
            self._taken = {}

    def is_fresh(self, at_ns: int, age_ns_max: int) -> bool:
        """Whether the last tick is young enough to match on."""
        return self.tick is not None and at_ns - self.tick.at_ns <= age_ns_max

    def take(self, side: Side, *, quantity: int, limit_paise: int | None) -> tuple[int, int]:
        """Trade up to `quantity` against the levels within the limit (`None`: at any price).

        Returns the contracts traded and their value in paise, each level at its own price.
        """
        traded, value_paise = 0, 0
        for price_paise, offered in self._offered(side):
            is_beyond = limit_paise is not None and (price_paise - limit_paise) * side.sign > 0
            if is_beyond:
                break
            part = min(offered, quantity - traded)
            key = (side, price_paise)
            self._taken[key] = self._taken.get(key, 0) + part
            traded += part
            value_paise += part * price_paise
        return traded, value_paise

    def reach(self, side: Side, *, limit_paise: int) -> int:
        """Contracts offered within the limit; nothing is taken."""
        return sum(
            offered
            for price_paise, offered in self._offered(side)
            if (price_paise - limit_paise) * side.sign <= 0
        )

    def is_swept(self, side: Side) -> bool:
        """Whether we took all that was told: what lies deeper is not known."""
        told = self._told(side)
        return bool(told) and not any(offered for _, offered in self._offered(side))

    def ahead(self, side: Side, price_paise: int) -> int | None:
        """Contracts that wait before a new order of `side` at this price.

        `None` where the price lies deeper than the told levels, so that nobody knows.
        """
        waiting = self._told(side.opposite)
        for price, quantity in waiting:
            if price == price_paise:
                return quantity
            if (price_paise - price) * side.sign > 0:
                return 0
        return 0 if len(waiting) < DEPTH else None

    def _told(self, side: Side) -> tuple[Level, ...]:
        if self.tick is None:
            return ()
        return self.tick.asks if side is Side.BUY else self.tick.bids

    def _offered(self, side: Side) -> Iterator[Level]:
        for price, quantity in self._told(side):
            yield price, max(quantity - self._taken.get((side, price), 0), 0)
