"""What two connections bring of one contract, made into one: each thing counts once, and none twice.

Both tell the same states in the same order, but one may be later than the other, and may leave out
what the other told. So a state that the other has told already is none, also where the other has
told newer ones since: a book never goes back to what stood before (T28).
"""

from collections import deque
from typing import Final

from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Tick
from holdfast.facts.ist import SECOND_NS

AGAIN_NS: Final = SECOND_NS
"""The newest state said by the other so much later is a sign that it still stands."""

LATE_NS: Final = 3 * SECOND_NS
"""So much later than the other a connection may be; beyond, its prices bar themselves (T10)."""

AHEAD_MAX: Final = 64
"""So many states of one contract are remembered until the other connection has told them too."""


class Doubled:
    """The two connections of one feed, by number: 0 and 1."""

    def __init__(self) -> None:
        """Nobody has told anything."""
        self._newest: tuple[dict[InstrumentId, Tick], ...] = ({}, {})
        self._ahead: tuple[dict[InstrumentId, deque[Tick]], ...] = ({}, {})
        self._given: dict[InstrumentId, Tick] = {}

    def forget(self, number: int) -> None:
        """A connection has ended: what comes of the other is compared with nothing."""
        self._newest[number].clear()
        self._ahead[number].clear()

    def is_news(self, number: int, tick: Tick) -> bool:
        """Whether what one of them tells was not told by the other, and is not older.

        Trades are compared with the newest word of the other only: one wrong stamp is forgotten
        with the next tick of the connection that brought it, and mutes nobody.
        """
        one = tick.instrument
        self._newest[number][one] = tick
        other = self._newest[1 - number].get(one)
        is_news = other is None or self._is_news(number, tick, other)
        if is_news:
            self._given[one] = tick
            if other is not None:  # most contracts come over one connection only
                self._ahead[number].setdefault(one, deque(maxlen=AHEAD_MAX)).append(tick)
        return is_news

    def _is_news(self, number: int, tick: Tick, other: Tick) -> bool:
        was_told = self._meet(self._ahead[1 - number].get(tick.instrument), tick)
        if _is_same(tick, other) and tick.at_ns - other.at_ns < AGAIN_NS:
            # What was given last is older where this connection told of something in between.
            return not _is_same(tick, self._given[tick.instrument])
        return not was_told and _moment(tick) >= _moment(other)

    def _meet(self, ahead: deque[Tick] | None, tick: Tick) -> bool:
        """Whether the other told this before something newer; what it told until then is met."""
        while ahead and tick.at_ns - ahead[0].at_ns >= LATE_NS:
            ahead.popleft()
        if not ahead:
            return False
        for count, told in enumerate(ahead, 1):
            if _is_same(tick, told):
                is_older = count < len(ahead)
                for _ in range(count):
                    ahead.popleft()
                return is_older
        return False


def _is_same(one: Tick, other: Tick) -> bool:
    """Whether two ticks tell the same, but for when they came."""
    return (
        one.volume == other.volume
        and one.last_paise == other.last_paise
        and one.venue_at_ns == other.venue_at_ns
        and one.oi == other.oi
        and one.bids == other.bids
        and one.asks == other.asks
    )


def _moment(tick: Tick) -> tuple[int, int]:
    """How far the market had come when a tick was made, as far as it tells."""
    return tick.venue_at_ns or 0, tick.volume
