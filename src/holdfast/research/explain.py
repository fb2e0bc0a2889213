"""Why a position was opened, held and closed, or why a signal was not: the whole chain."""

import re
from collections.abc import Iterable

import msgspec

from holdfast.domain.audit import FillsCorrected, PositionClosed, PositionResumed
from holdfast.domain.decision import Denial, Intent, Signal
from holdfast.research.stories import Moment, OrderStory, SignalStory, Stories
from holdfast.store.records import Record


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The chain from candle to charges, as far as it went. `denial` and `intent` exclude each other.

    `underlying` and `symbol` are the plain names. `moments` are what was told about the position:
    protection, levels, the exit decided, the end. `resumed`: an earlier day had left it open, and
    what led to it is told there.
    """

    asked: str
    number: int
    seen_at_ns: int
    underlying: str
    signal: Signal
    denial: Denial | None
    symbol: str | None
    intent: Intent | None
    orders: tuple[OrderStory, ...]
    moments: tuple[Moment, ...]
    resumed: PositionResumed | None = None

    @property
    def closed(self) -> PositionClosed | None:
        """The end of the position, when it has come: as told last, with what was corrected since."""
        found: PositionClosed | None = None
        for moment in self.moments:
            match moment.audit:
                case PositionClosed() as told:
                    found = told
                case FillsCorrected() as corrected if found is not None:
                    found = corrected.applied_to(found)
                case _:
                    pass
        return found


def explain(records: Iterable[tuple[int, Record]], asked: str) -> Explanation | None:
    """The story behind `asked`: a position ("3"), an order id, a signal ("s5") or a signal's id.

    `None` when the journal holds nothing of that name.
    """
    stories = Stories()
    for _sequence, record in records:
        stories.take(record)
    signal = _wanted(stories, asked)
    return _explanation(stories, asked, signal) if signal else None


def _wanted(stories: Stories, asked: str) -> SignalStory | None:
    """Every position has one signal, so that every question comes down to a signal."""
    position = int(asked) if re.fullmatch(r"\d{1,9}", asked) else stories.position_of(asked)
    number = re.fullmatch(r"[sS](\d{1,9})", asked)
    for story in stories.signals():
        if story.signal.id == asked or (number and story.number == int(number[1])):
            return story
        if position is not None and story.position == position:
            return story
    return None


def _explanation(stories: Stories, asked: str, story: SignalStory) -> Explanation:
    position = None if story.position is None else stories.position(story.position)
    return Explanation(
        asked=asked,
        number=story.number,
        seen_at_ns=story.at_ns,
        underlying=stories.symbol(story.signal.underlying),
        signal=story.signal,
        denial=story.denial,
        symbol=stories.symbol(position.intent.instrument) if position else None,
        intent=position.intent if position else None,
        orders=position.orders if position else (),
        moments=position.moments if position else (),
        resumed=position.resumed if position else None,
    )
