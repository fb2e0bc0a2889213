"""What is done to the worlds: mixes of acts, drawn from the seed alone.

Each world is of one mix, by its seed's number, so that a campaign has all of them in equal parts.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from holdfast.domain.event import Link, OperatorRequest
from holdfast.exchange.faults import ONCE, FaultKind
from holdfast.exchange.market_faults import MOVING, MarketFaultKind
from holdfast.worlds.acts import (
    AnyAct,
    Ask,
    Boundary,
    BrokerFault,
    DiskFull,
    Kill,
    LinkDown,
    MarketFault,
    Script,
    Skew,
    Stop,
)
from holdfast.worlds.chance import Chance
from holdfast.worlds.ground import SECOND
from holdfast.worlds.terms import LEGS, RUSH

MINUTES: Final = 10
SECONDS: Final = MINUTES * 60
CALM_S: Final = 450
"""From then on nothing is done to a world any more: it must come to rest by itself."""

CLOSE_S: Final = 540
"""From then on positions are closed; a minute later everything must be flat."""

FULL_S: Final = 37 * SECONDS
"""From 09:16 to 15:26 IST: the close-out, then the broker's own."""

_MS: Final = 1_000_000


def script(seed: int, mix: str | None = None, *, full: bool = False) -> Script:
    """The script of a seed. `mix` is the seed's own where none is named.

    A full one is a whole session, a different mix in each of its stretches of ten minutes.
    """
    mixes = {**MIXES, **DIRECTED}
    name = mix or list(MIXES)[seed % len(MIXES)]
    seconds = FULL_S if full else SECONDS
    calm_s, close_s = CALM_S + seconds - SECONDS, CLOSE_S + seconds - SECONDS
    acts: list[AnyAct] = []
    for stretch in range(seconds // SECONDS):
        mixed = mix or list(MIXES)[(seed + stretch) % len(MIXES)]
        chance = Chance(seed, f"mix {mixed}" if not stretch else f"mix {mixed} {stretch}")
        later_ns = stretch * SECONDS * SECOND
        acts += (replace(act, at_ns=act.at_ns + later_ns) for act in mixes[mixed](chance, CALM_S))
    return Script(
        seed=seed,
        mix="a whole session" if full else name,
        seconds=seconds,
        calm_s=calm_s,
        close_s=close_s,
        acts=tuple(sorted(acts, key=lambda act: act.at_ns)),
    )


Mixed = Iterator[AnyAct]


def _at(chance: Chance, calm_s: int, lasts_ns: int = 0) -> int:
    """When something begins, so that it has ended when the calm begins."""
    return chance.within("at", 5_000, max(calm_s * 1_000 - lasts_ns // _MS, 5_001)) * _MS


def _broker(chance: Chance, calm_s: int, kinds: Sequence[FaultKind], count: int) -> Mixed:
    """Some faults of the broker, each for a while."""
    for number in range(count):
        part = chance.part(f"broker {number}")
        lasts_ns = part.one_of("lasts", (10, 30, 80, 200)) * SECOND
        kind = part.one_of("kind", kinds)
        share_bps = 10_000 if kind in ONCE else part.one_of("share", (3_000, 7_000, 10_000))
        yield BrokerFault(
            at_ns=_at(part, calm_s, lasts_ns), kind=kind, lasts_ns=lasts_ns, share_bps=share_bps
        )


def _market(chance: Chance, calm_s: int, kinds: Sequence[MarketFaultKind], count: int) -> Mixed:
    """Some faults of the market and its feed."""
    for number in range(count):
        part = chance.part(f"market {number}")
        kind = part.one_of("kind", kinds)
        lasts_ns = part.one_of("lasts", (2, 8, 25, 70)) * SECOND
        yield MarketFault(
            at_ns=_at(part, calm_s, lasts_ns),
            kind=kind,
            lasts_ns=lasts_ns,
            share_bps=part.one_of("share", (500, 3_000, 10_000)),
            delay_ns=part.one_of("delay", (1, 4, 20)) * SECOND,
            bps=part.one_of("bps", (-2_500, -600, 600, 2_500)),
            contract=part.one_of("contract", (None, None, 2, 3)),
        )


def _kills(chance: Chance, calm_s: int, count: int) -> Mixed:
    """Some deaths, each at a boundary of any kind."""
    for number in range(count):
        part = chance.part(f"kill {number}")
        yield Kill(
            at_ns=_at(part, calm_s - 20),
            boundary=part.one_of("boundary", tuple(Boundary)),
            skip=part.one_of("skip", (0, 0, 1, 3, 8)),
            down_ns=part.one_of("down", (200, 1_500, 4_000, 15_000)) * _MS,
        )


def _stops(chance: Chance, calm_s: int, count: int) -> Mixed:
    """Some orderly stops."""
    for number in range(count):
        part = chance.part(f"stop {number}")
        down_ns = part.one_of("down", (1_000, 10_000)) * _MS
        yield Stop(at_ns=_at(part, calm_s - 20), down_ns=down_ns)


def _people(chance: Chance, calm_s: int, count: int) -> Mixed:
    """Some requests of a person; a halt is lifted again, now and then."""
    asked = (
        OperatorRequest.PAUSE,
        OperatorRequest.FLATTEN,
        OperatorRequest.PANIC,
        OperatorRequest.CLOSE,
        OperatorRequest.CLOSE,
        OperatorRequest.RESUME,
        OperatorRequest.ACKNOWLEDGE,
    )
    for number in range(count):
        part = chance.part(f"person {number}")
        request = part.one_of("request", asked)
        at_ns = _at(part, calm_s - 60)
        yield Ask(at_ns=at_ns, request=request)
        is_halt = request in asked[:3]
        if is_halt and part.happens("lifted", 8_000):
            lifted_ns = at_ns + part.within("lifted after", 5, 50) * SECOND
            yield Ask(at_ns=lifted_ns, request=OperatorRequest.UNLOCK)


def _lines(chance: Chance, calm_s: int, count: int) -> Mixed:
    """Some connections that are gone for a while."""
    for number in range(count):
        part = chance.part(f"line {number}")
        lasts_ns = part.one_of("lasts", (1, 6, 30)) * SECOND
        link = part.one_of("link", (Link.ORDERS, Link.FEED))
        yield LinkDown(at_ns=_at(part, calm_s, lasts_ns), link=link, lasts_ns=lasts_ns)


def _disks(chance: Chance, calm_s: int, count: int) -> Mixed:
    """A disk that takes nothing for a while."""
    for number in range(count):
        part = chance.part(f"disk {number}")
        lasts_ns = part.one_of("lasts", (2, 10, 60)) * SECOND
        yield DiskFull(at_ns=_at(part, calm_s, lasts_ns), lasts_ns=lasts_ns)


def _clocks(chance: Chance, calm_s: int, count: int) -> Mixed:
    """A host whose clock is set, with the death that makes a start see it."""
    for number in range(count):
        part = chance.part(f"clock {number}")
        at_ns = _at(part, calm_s - 20)
        off_ns = part.one_of("off", (-800, -50, 120, 1_400)) * _MS
        yield Skew(at_ns=at_ns, off_ns=off_ns)
        yield Kill(at_ns=at_ns, boundary=Boundary.TURN, skip=1, down_ns=2 * SECOND)


def _of(*prefixes: str) -> tuple[FaultKind, ...]:
    return tuple(kind for kind in FaultKind if kind.value.startswith(prefixes))


_LOST: Final = tuple(kind for kind in FaultKind if kind.value.endswith("_lost"))
_SLOW: Final = _of("server_error", "request_slow", "answer_slow", "connect_failed")
_REFUSED: Final = _of("refused", "token", "ip_", "self_trade")
_CHANGED: Final = _of("modify_", "fill", "stop_to", "stop_refused", "stop_dropped")
_STREAM: Final = _of("update_", "stream_")
_READS: Final = _of("book_", "order_", "quotes_", "funds_", "guard_")
_OTHERS: Final = tuple(kind for kind in FaultKind if kind in ONCE)
_FEED: Final = tuple(kind for kind in MarketFaultKind if kind not in MOVING)
_MOVES: Final = tuple(kind for kind in MarketFaultKind if kind in MOVING)
_ALL: Final = tuple(FaultKind)
_SELDOM: Final = (
    FaultKind.EXIT_REQUEST_LOST,
    FaultKind.EXIT_ANSWER_LOST,
    FaultKind.CANCEL_REQUEST_LOST,
    FaultKind.CANCEL_ANSWER_LOST,
    FaultKind.MODIFY_IGNORED,
    FaultKind.MODIFY_REFUSED_LATER,
    FaultKind.MODIFY_OVERTAKEN,
    FaultKind.STOP_TO_LIMIT_REFUSED,
    FaultKind.FILLED_DURING_CANCEL,
    FaultKind.FILLS_SLICED,
    FaultKind.FILLS_WITHHELD,
    FaultKind.STOP_REFUSED_AT_TRIGGER,
    FaultKind.BOOK_FILL_BEHIND,
    FaultKind.REFUSED_BEYOND_TRIGGER,
)
"""What strikes only where there is something to strike: each needs long windows to be met."""

_SELDOM_CHANGED: Final = (
    FaultKind.MODIFY_REFUSED_LATER,
    FaultKind.MODIFY_OVERTAKEN,
    FaultKind.STOP_TO_LIMIT_REFUSED,
    FaultKind.STOP_REFUSED_AT_TRIGGER,
    FaultKind.MODIFY_IGNORED,
    FaultKind.REFUSED_NOT_MODIFIABLE,
)
_SELDOM_READS: Final = (FaultKind.BOOK_TORN, FaultKind.BOOK_STALE, FaultKind.STREAM_DOWN)
_SELDOM_LOST: Final = (
    FaultKind.EXIT_REQUEST_LOST,
    FaultKind.EXIT_ANSWER_LOST,
    FaultKind.ENTRY_ANSWER_LOST,
    FaultKind.STOP_ANSWER_LOST,
    FaultKind.CANCEL_ANSWER_LOST,
    FaultKind.STOP_TO_LIMIT_REFUSED,
)

_LATE: Final = (
    (FaultKind.REFUSED_OTHER, 5_000, None),
    (FaultKind.SELF_TRADE_CANCELLED, 5_000, None),
    (FaultKind.UPDATE_LOST, 4_000, None),
    (FaultKind.REFUSED_RATE, 5_000, None),
    (FaultKind.STOP_REFUSED_AT_TRIGGER, 10_000, None),
    (FaultKind.STOP_DROPPED, 6_000, None),
    (FaultKind.FILLED_DURING_CANCEL, 7_000, 65),
    (FaultKind.UPDATE_REORDERED, 5_000, None),
    (FaultKind.STREAM_MUTE, 7_000, None),
    (FaultKind.MODIFY_ANSWER_LOST, 5_000, None),
)
"""What happens to an order while answers about it are late, its share, and a quantity."""

_ENDED_UNHEARD: Final = (
    (FaultKind.SELF_TRADE_CANCELLED, 6_000),
    (FaultKind.UPDATE_LOST, 10_000),
    (FaultKind.ANSWER_SLOW, 5_000),
    (FaultKind.REFUSED_OTHER, 4_000),
)
"""An order ends and nobody says so; the answer to its cancel is a no, and late. With their shares."""


def _seldom(chance: Chance, calm_s: int, kinds: Sequence[FaultKind]) -> Mixed:
    """Long windows of what strikes seldom; most of the kinds in each world."""
    for kind in kinds:
        part = chance.part(kind.value)
        if part.happens("is in it", 7_000):
            lasts_ns = part.one_of("lasts", (120, 200, 300)) * SECOND
            share_bps = part.one_of("share", (5_000, 10_000))
            at_ns = _at(part, calm_s, lasts_ns)
            yield BrokerFault(at_ns=at_ns, kind=kind, lasts_ns=lasts_ns, share_bps=share_bps)


def _quiet_prices(chance: Chance, calm_s: int, count: int) -> Mixed:
    """Contracts that say nothing, while quotes from outside the feed fail too (T10)."""
    for number in range(count):
        part = chance.part(f"quiet {number}")
        lasts_ns = part.one_of("lasts", (12, 25, 50)) * SECOND
        at_ns = _at(part, calm_s, lasts_ns)
        kind = part.one_of("kind", (MarketFaultKind.MUTE, MarketFaultKind.SILENT_INSTRUMENT))
        yield MarketFault(
            at_ns=at_ns, kind=kind, lasts_ns=lasts_ns, share_bps=10_000, delay_ns=SECOND, bps=600
        )
        failing = FaultKind.QUOTES_FAILED
        yield BrokerFault(at_ns=at_ns, kind=failing, lasts_ns=lasts_ns, share_bps=7_000)


def _late_answers(chance: Chance, calm_s: int) -> Mixed:
    """Answers that come seconds late, to orders of which something else becomes meanwhile."""
    for number in range(4):
        part = chance.part(f"late {number}")
        lasts_ns = part.one_of("lasts", (60, 100, 140)) * SECOND
        at_ns = _at(part, calm_s, lasts_ns)
        delay_ns = part.one_of("delay", (700, 1_300, 1_700, 3_500)) * _MS
        slow = FaultKind.ANSWER_SLOW
        yield BrokerFault(
            at_ns=at_ns, kind=slow, lasts_ns=lasts_ns, share_bps=8_000, delay_ns=delay_ns
        )
        for kind, share_bps, quantity in _LATE:
            if part.happens(kind.value, 5_000):
                yield BrokerFault(
                    at_ns=at_ns,
                    kind=kind,
                    lasts_ns=lasts_ns,
                    share_bps=share_bps,
                    quantity=quantity,
                )
    for number in range(8):
        part = chance.part(f"dropped {number}")
        dropped = FaultKind.STOP_DROPPED
        at_ns = _at(part, calm_s, 2 * SECOND)
        yield BrokerFault(at_ns=at_ns, kind=dropped, lasts_ns=2 * SECOND, share_bps=10_000)


def _partly_cancelled(chance: Chance, calm_s: int) -> Mixed:
    """Entries that nobody fills until they are cancelled: then a lot, and its word comes last."""
    lasts_ns = 90 * SECOND
    at_ns = _at(chance.part("partly"), calm_s, lasts_ns)
    for kind, quantity in (
        (FaultKind.FILLS_WITHHELD, None),
        (FaultKind.FILLED_DURING_CANCEL, 65),
        (FaultKind.UPDATE_REORDERED, None),
    ):
        yield BrokerFault(
            at_ns=at_ns, kind=kind, lasts_ns=lasts_ns, share_bps=7_000, quantity=quantity
        )


def _late_refusals(chance: Chance, calm_s: int) -> Mixed:
    """Cancels of what has ended unheard, refused; the no comes when a read has told of the end."""
    part = chance.part("refused late 0")
    lasts_ns = 150 * SECOND
    at_ns = _at(part, calm_s, lasts_ns)
    delay_ns = part.one_of("delay", (1_300, 1_500, 1_700)) * _MS
    for kind, share_bps in _ENDED_UNHEARD:
        yield BrokerFault(
            at_ns=at_ns,
            kind=kind,
            lasts_ns=lasts_ns,
            share_bps=share_bps,
            delay_ns=delay_ns if kind is FaultKind.ANSWER_SLOW else None,
        )


def _stuck_stops(chance: Chance, calm_s: int) -> Mixed:
    """Stops that trigger under a change, or stay stops: all day, for the program asks seldom."""
    part = chance.part("stuck")
    kinds = (FaultKind.MODIFY_OVERTAKEN, FaultKind.STOP_TO_LIMIT_REFUSED)
    yield BrokerFault(
        at_ns=5 * SECOND,
        kind=part.one_of("kind", kinds),
        lasts_ns=(calm_s - 5) * SECOND,
        share_bps=part.one_of("share", (5_000, 10_000)),
    )


def _meddled_stops(chance: Chance, calm_s: int) -> Mixed:
    """Stops that arrive nowhere, or that others take away, alone or with what they guard."""
    kinds = (FaultKind.STOP_REQUEST_LOST,)
    yield from _seldom(chance, calm_s, kinds)
    for kind in (FaultKind.OWNER_CANCELS_STOP, FaultKind.BROKER_SQUARES_OFF):
        at_ns = _at(chance.part(f"others {kind.value}"), calm_s, 100 * SECOND)
        yield BrokerFault(at_ns=at_ns, kind=kind, lasts_ns=100 * SECOND, share_bps=6_000)


def _unguarded(_chance: Chance) -> Mixed:
    """The broker's own guard fails when it is asked for, which is soon after a start (T25)."""
    kind = FaultKind.GUARD_FAILED
    yield BrokerFault(at_ns=0, kind=kind, lasts_ns=30 * SECOND, share_bps=10_000)


def _directed(chance: Chance, calm_s: int) -> Mixed:
    """What no other mix meets often enough, where it can be met."""
    if chance.happens("late", 6_000):
        yield from _late_answers(chance, calm_s)
    else:
        yield from _seldom(chance, calm_s, _SELDOM)
    yield from _partly_cancelled(chance, calm_s)
    yield from _quiet_prices(chance, calm_s, 1)
    yield from _unguarded(chance)
    yield from _late_refusals(chance, calm_s)
    yield from _stuck_stops(chance, calm_s)
    yield from _meddled_stops(chance.part("stops"), calm_s)


def _requests(chance: Chance, calm_s: int) -> Mixed:
    """Requests that are lost, slow, or answered by nobody."""
    yield from _broker(chance, calm_s, (*_LOST, *_SLOW), 11)
    yield from _seldom(chance, calm_s, _SELDOM_LOST)
    yield from _broker(chance.part("more"), calm_s, _READS, 2)


def _answers(chance: Chance, calm_s: int) -> Mixed:
    """Refusals of every class, and modifications that are none."""
    yield from _broker(chance, calm_s, _REFUSED, 9)
    yield from _broker(chance.part("more"), calm_s, _CHANGED, 7)
    yield from _seldom(chance, calm_s, _SELDOM_CHANGED)


def _words(chance: Chance, calm_s: int) -> Mixed:
    """A stream that stammers, and reads that are wrong."""
    yield from _broker(chance, calm_s, _STREAM, 5)
    yield from _broker(chance.part("more"), calm_s, _READS, 4)
    yield from _seldom(chance, calm_s, _SELDOM_READS)


def _hands(chance: Chance, calm_s: int) -> Mixed:
    """The owner and the broker trade, and a person asks."""
    yield from _broker(chance, calm_s, _OTHERS, 7)
    yield from _people(chance, calm_s, 3)


def _deaths(chance: Chance, calm_s: int) -> Mixed:
    """A process that dies again and again, while the broker is not at its best."""
    yield from _kills(chance, calm_s, 5)
    yield from _stops(chance, calm_s, 1)
    yield from _broker(chance, calm_s, _ALL, 4)


def _sight(chance: Chance, calm_s: int) -> Mixed:
    """A feed that shows too little, too late, or nonsense, in a market that jumps."""
    yield from _market(chance, calm_s, _FEED, 4)
    yield from _market(chance.part("more"), calm_s, _MOVES, 3)
    yield from _lines(chance, calm_s, 1)
    yield from _stuck_stops(chance, calm_s)


def _machine(chance: Chance, calm_s: int) -> Mixed:
    """The host: its disk, its clock, its lines."""
    yield from _disks(chance, calm_s, 2)
    yield from _clocks(chance, calm_s, 2)
    yield from _lines(chance, calm_s, 2)
    yield from _broker(chance, calm_s, _ALL, 2)
    yield from _stuck_stops(chance, calm_s)


def _everything(chance: Chance, calm_s: int) -> Mixed:
    """All of it at once."""
    yield from _broker(chance, calm_s, _ALL, 6)
    yield from _market(chance, calm_s, tuple(MarketFaultKind), 2)
    yield from _kills(chance, calm_s, 2)
    yield from _people(chance, calm_s, 2)
    yield from _lines(chance, calm_s, 1)
    yield from _disks(chance, calm_s, 1)


def _nothing(_chance: Chance, _calm_s: int) -> Mixed:
    """A good day."""
    yield from ()


MIXES: Final = {
    "requests": _requests,
    "answers": _answers,
    "words": _words,
    "hands": _hands,
    "deaths": _deaths,
    "sight": _sight,
    "machine": _machine,
    "everything": _everything,
    "directed": _directed,
    "quiet": _nothing,
}
"""Every mix by its name, in the order in which seeds go round."""


def _only(*kinds: FaultKind, count: int = 10) -> Callable[[Chance, int], Mixed]:
    """Nothing but these, again and again: what takes several of them together is seen sooner."""

    def mixed(chance: Chance, calm_s: int) -> Mixed:
        yield from _broker(chance, calm_s, kinds, count)

    return mixed


_PLACED_LOST: Final = (
    FaultKind.ENTRY_ANSWER_LOST,
    FaultKind.EXIT_ANSWER_LOST,
    FaultKind.STOP_ANSWER_LOST,
)


def _all_day(*shares: tuple[FaultKind, int]) -> Callable[[Chance, int], Mixed]:
    """Each of these from the first minute to the calm, for so many basis points of what it strikes."""

    def mixed(_chance: Chance, calm_s: int) -> Mixed:
        lasts_ns = (calm_s - 30) * SECOND
        for kind, bps in shares:
            yield BrokerFault(at_ns=30 * SECOND, kind=kind, lasts_ns=lasts_ns, share_bps=bps)

    return mixed


def _blind(chance: Chance, calm_s: int) -> Mixed:
    """No price is shown, and none is to be had, while stops are dropped and do not arrive again."""
    lasts_ns = 25 * SECOND
    lacking = (FaultKind.STOP_DROPPED, FaultKind.STOP_REQUEST_LOST, FaultKind.QUOTES_FAILED)
    for number in range(1, 7):
        part = chance.part(f"blind {number}")
        at_ns = (calm_s * number // 7 + part.within("at", 0, 15)) * SECOND
        for kind in lacking:
            yield BrokerFault(at_ns=at_ns, kind=kind, lasts_ns=lasts_ns, share_bps=10_000)
        yield MarketFault(
            at_ns=at_ns,
            kind=part.one_of("kind", (MarketFaultKind.MUTE, MarketFaultKind.DISCONNECTED)),
            lasts_ns=lasts_ns,
            share_bps=10_000,
            delay_ns=SECOND,
            bps=0,
        )


def _bookless(chance: Chance, calm_s: int) -> Mixed:
    """The book cannot be read for minutes."""
    at_ns = chance.within("at", 30, 60) * SECOND
    lasts_ns = calm_s * SECOND - at_ns
    yield BrokerFault(at_ns=at_ns, kind=FaultKind.BOOK_FAILED, lasts_ns=lasts_ns, share_bps=10_000)


def _rush(chance: Chance, calm_s: int) -> Mixed:
    """Everything is closed at once, again and again, and the process dies in the middle of it."""
    for number in range(5):
        at_ns = (calm_s * number // 6 + chance.part(f"flat {number}").within("at", 40, 60)) * SECOND
        yield Ask(at_ns=at_ns, request=OperatorRequest.FLATTEN)
        kill = chance.part(f"kill {number}")
        if kill.happens("dies", 5_000):
            dies_ns = at_ns + kill.within("after", 0, 400) * _MS
            yield Kill(at_ns=dies_ns, boundary=Boundary.TURN, skip=0, down_ns=50 * _MS)
        yield Ask(at_ns=at_ns + 20 * SECOND, request=OperatorRequest.UNLOCK)


def _pauses(chance: Chance, calm_s: int) -> Mixed:
    """A person halts in the moment in which something is being entered."""
    for number in range(1, calm_s // 15):
        part = chance.part(f"pause {number}")
        at_ns = number * 15 * SECOND + part.within("at", 0, 1_600) * _MS
        yield Ask(at_ns=at_ns, request=OperatorRequest.PAUSE)
        yield Ask(at_ns=at_ns + 5 * SECOND, request=OperatorRequest.RESUME)


def _dropped(chance: Chance, calm_s: int) -> Mixed:
    """Stops are lost while the process dies again and again."""
    kinds = (FaultKind.STOP_DROPPED, FaultKind.STOP_REFUSED_AT_TRIGGER, FaultKind.REFUSED_OTHER)
    yield from _broker(chance, calm_s, kinds, 8)
    yield from _kills(chance, calm_s, 12)


def _crowd(chance: Chance, calm_s: int) -> Mixed:
    """People ask for everything, again and again."""
    yield from _people(chance, calm_s, 14)


DIRECTED: Final = {
    "crowd": _crowd,
    RUSH: _rush,
    "pauses": _pauses,
    LEGS: _nothing,
    "absence": _all_day(
        *((kind, 4_000) for kind in _PLACED_LOST),
        (FaultKind.ORDER_NOT_FOUND, 10_000),
        (FaultKind.UPDATE_LOST, 10_000),
        (FaultKind.BOOK_STALE, 10_000),
    ),
    "bare reads": _only(
        FaultKind.BOOK_POSITION_MISSING,
        FaultKind.BOOK_FAILED,
        FaultKind.BOOK_FILL_BEHIND,
        FaultKind.BOOK_TORN,
        FaultKind.BOOK_STALE,
    ),
    "silence": _only(
        FaultKind.STREAM_MUTE,
        FaultKind.UPDATE_LOST,
        FaultKind.FILLS_SLICED,
        FaultKind.FILLED_DURING_CANCEL,
        FaultKind.STOP_DROPPED,
        count=14,
    ),
    "unmade": _only(
        FaultKind.MODIFY_IGNORED,
        FaultKind.MODIFY_REFUSED_LATER,
        FaultKind.MODIFY_REQUEST_LOST,
        FaultKind.STOP_TO_LIMIT_REFUSED,
        FaultKind.REFUSED_NOT_MODIFIABLE,
    ),
    "late positions": _only(FaultKind.BOOK_FILL_BEHIND, count=8),
    "slices": _all_day((FaultKind.FILLS_SLICED, 10_000), (FaultKind.UPDATE_LOST, 7_000)),
    "dropped": _dropped,
    "strangers": _only(*_OTHERS, count=8),
    "blind": _blind,
    "no book": _bookless,
}
"""Mixes that are only played where they are named: what is rare elsewhere, all day long."""
