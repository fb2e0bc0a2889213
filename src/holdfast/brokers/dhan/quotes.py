"""Full quotes by REST: the eye on the market while the feed is down or an instrument is quiet.

Only `/marketfeed/quote` prices anything: it alone has depth and the time of the last trade (T10).
One call a second for up to 1,000 instruments (dhan.md 2): what is asked for meanwhile joins the call
that waits for its turn.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from holdfast.brokers.dhan.fields import (
    Unreadable,
    data_of,
    ist_stamp,
    items,
    objects,
    paise,
    text,
    whole,
)
from holdfast.brokers.dhan.rest import Answer, CallKind, Failed, Rest
from holdfast.domain.event import QuotesRead, ReadFailed
from holdfast.domain.instrument import Instrument, InstrumentId, Kind
from holdfast.domain.market import Level, Tick
from holdfast.facts.ist import SECOND_NS, day_start_ns, ist_date
from holdfast.ports import Timing

_log = structlog.get_logger("quotes")

PATH: Final = "/marketfeed/quote"
WHAT: Final = "quotes"
"""What a `ReadFailed` of these speaks of."""

ROOM: Final = 1_000
APART_NS: Final = SECOND_NS * 5 // 4
"""The broker counts when they arrive, so they leave a little further apart than a second."""

TOO_MANY: Final = 429
REST_NS: Final = 2 * SECOND_NS
REST_MAX_NS: Final = 60 * SECOND_NS
"""After a 429 the next call waits so long, doubled each time: more may block the account (I-60)."""

NEVER_TRADED: Final = ("", "NA")
TRADE_TIME: Final = "%d/%m/%Y %H:%M:%S"


async def read_quotes(rest: Rest, instruments: Sequence[Instrument]) -> QuotesRead | ReadFailed:
    """Read quotes once, of `ROOM` instruments at most. Ids that the broker omits are omitted.

    What is stamped with `at_ns` is when the answer came. It never raises.
    """
    assert len(instruments) <= ROOM, f"{len(instruments)} instruments in one call"
    asked: dict[str, list[int]] = {}
    for one in instruments:
        asked.setdefault(one.segment.value, []).append(one.security_id)
    reply = await rest.call("POST", PATH, body=asked, kind=CallKind.READ)
    if isinstance(reply, Failed):
        return ReadFailed(at_ns=reply.at_ns, what=WHAT, reason=reply.reason)
    if not reply.is_ok:
        return ReadFailed(at_ns=reply.at_ns, what=WHAT, reason=refusal_of(reply))
    return quotes_of(reply, instruments)


def refusal_of(answer: Answer) -> str:
    """What the broker says beside a status that is none of success (dhan.md 1.10)."""
    try:
        told = objects(objects(answer.payload, "the answer").get("data"), "data")
    except Unreadable as error:
        return f"HTTP {answer.status}: {error}"
    return (
        f"HTTP {answer.status}: "
        + ", ".join(f"{code} {words}" for code, words in told.items())[:200]
    )


def quotes_of(answer: Answer, instruments: Sequence[Instrument]) -> QuotesRead | ReadFailed:
    """The quotes of an answer. One that cannot be read is logged and left out; the rest is told."""
    try:
        data = objects(data_of(answer, "quotes"), "data")
    except Unreadable as error:
        return ReadFailed(at_ns=answer.at_ns, what=WHAT, reason=str(error))
    quotes: list[Tick] = []
    faults: list[str] = []
    for one in instruments:
        try:
            tick = _told_of(data, one, answer.at_ns)
        except Unreadable as error:
            faults.append(f"{one.id}: {error}")
        else:
            if tick is not None:
                quotes.append(tick)
    if faults:
        _log.warning("quotes cannot be read", count=len(faults), first=faults[0])
    if faults and not quotes:
        return ReadFailed(at_ns=answer.at_ns, what=WHAT, reason=faults[0])
    return QuotesRead(at_ns=answer.at_ns, quotes=tuple(quotes))


def _told_of(data: Mapping[str, object], one: Instrument, at_ns: int) -> Tick | None:
    """What is told of one instrument; `None`: nothing. Raises Unreadable."""
    rows = data.get(one.segment.value)
    row = None if rows is None else objects(rows, one.segment.value).get(str(one.security_id))
    return None if row is None else quote_of(objects(row, "a quote"), one, at_ns)


def quote_of(row: Mapping[str, object], one: Instrument, at_ns: int) -> Tick | None:
    """One quote as a tick (dhan.md 3.10). `None`: it has no price yet. Raises Unreadable."""
    last = _price(row.get("last_price"), one, "last_price")
    if not last:
        return None
    depth = objects(row.get("depth") or {}, "depth")
    return Tick(
        at_ns=at_ns,
        instrument=one.id,
        last_paise=last,
        venue_at_ns=_traded_ns(text(row, "last_trade_time"), at_ns),
        volume=_count(row.get("volume"), "volume"),
        oi=_count(row.get("oi"), "oi"),
        bids=_levels(depth.get("buy"), one),
        asks=_levels(depth.get("sell"), one),
    )


def _price(value: object, one: Instrument, what: str) -> int:
    """Paise on the contract's step, or on the paisa where there is none; 0 for none."""
    found = paise(value, what)
    if found < 0:
        raise Unreadable(f"{what} is below zero: {value}")
    step = 1 if one.kind is Kind.INDEX else one.price_step_paise
    return (found + step // 2) // step * step


def _count(value: object, what: str) -> int:
    if value is None:
        return 0
    found = whole(value, what)
    if found < 0:
        raise Unreadable(f"{what} is below zero: {value}")
    return found


def _levels(side: object, one: Instrument) -> tuple[Level, ...]:
    """One side of the book, best first; levels without a quantity are empty."""
    levels: list[Level] = []
    for entry in items(side if side is not None else [], "a side of the depth"):
        row = objects(entry, "a level")
        quantity = _count(row.get("quantity"), "quantity")
        price = _price(row.get("price"), one, "price")
        if quantity and not price:
            raise Unreadable(f"a level of {quantity} has no price")
        if quantity:
            levels.append((price, quantity))
    return tuple(levels)


def _traded_ns(told: str, at_ns: int) -> int | None:
    """When the last trade was, `None` when it was not today (T10). India's wall (dhan.md 3.10)."""
    if told in NEVER_TRADED:
        return None
    stamp_ns = ist_stamp(told, TRADE_TIME, "last_trade_time")
    return stamp_ns if stamp_ns >= day_start_ns(ist_date(at_ns)) else None


class QuoteReader:
    """Reads quotes for everybody within the broker's one call a second.

    The venue asks for what the engine wants, the feed for what it misses: they share the calls.
    """

    def __init__(
        self,
        rest: Rest,
        timing: Timing,
        *,
        contracts: Callable[[], Sequence[Instrument]],
    ) -> None:
        """`contracts` tells today's instruments; what is none of them is not asked for."""
        self._rest = rest
        self._timing = timing
        self._contracts = contracts
        self._answered = asyncio.Event()
        self._answered.set()
        self._due: dict[InstrumentId, None] = {}
        self._is_waiting = False
        self._free_ns = 0
        self._refusals = 0
        self.left_ns: int | None = None
        self.calls = 0
        self.beside: Callable[[], Sequence[InstrumentId]] = tuple

    async def read(self, instruments: Sequence[InstrumentId]) -> QuotesRead | ReadFailed | None:
        """Read these at our turn; those come first that were asked for first.

        `None`: a call that waits for its turn takes them along, and its answer tells them. It
        never raises.
        """
        self._due |= dict.fromkeys(instruments)
        if self._is_waiting:
            return None
        self._is_waiting = True
        try:
            await self._until_our_turn()
        finally:
            self._is_waiting = False
        self._answered.clear()
        try:
            return await self._call()
        finally:
            self._answered.set()

    async def _until_our_turn(self) -> None:
        """Until the call before was answered, and another one is allowed. One waits at a time."""
        await self._answered.wait()
        wait_ns = self._free_ns - self._timing.now_ns()
        if wait_ns > 0:
            await asyncio.sleep(self._timing.wall_s(wait_ns / SECOND_NS))

    async def _call(self) -> QuotesRead | ReadFailed:
        chosen, now_ns = self._chosen(), self._timing.now_ns()
        if not chosen:
            return ReadFailed(at_ns=now_ns, what=WHAT, reason="none of them is traded today")
        self.left_ns, self._free_ns = now_ns, now_ns + APART_NS
        self.calls += 1
        told = await read_quotes(self._rest, chosen)
        self._take_refusal(told)
        return told

    def _chosen(self) -> Sequence[Instrument]:
        known = {one.id: one for one in self._contracts()}
        due, self._due = self._due | dict.fromkeys(self.beside()), {}
        return [known[identity] for identity in due if identity in known][:ROOM]

    def _take_refusal(self, told: QuotesRead | ReadFailed) -> None:
        if not isinstance(told, ReadFailed) or not told.reason.startswith(f"HTTP {TOO_MANY}"):
            self._refusals = 0
            return
        self._refusals += 1
        wait_ns = min(REST_NS << (self._refusals - 1), REST_MAX_NS)
        self._free_ns = self._timing.now_ns() + wait_ns
