"""What one run came to: a pure fold over its journal, in simulated time only.

Equal journals give equal reports, byte for byte. No clock, no locale and no machine enters.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from holdfast.research.parts import Report, Totals, Trade, Work
from holdfast.research.topics import (
    Denying,
    Failing,
    Feeding,
    Readying,
    Running,
    Topic,
    Trading,
    Working,
)
from holdfast.store.records import Decided, Record, Stopped, TapeRange


def fold_report(records: Iterable[tuple[int, Record]]) -> Report:
    """Tell a run from its journal, given in order of sequence; a short journal gives a short tale."""
    running, working, denying, trading = Running(), Working(), Denying(), Trading()
    readying, feeding, failing = Readying(), Feeding(), Failing()
    topics: tuple[Topic, ...] = (running, working, denying, trading, readying, feeding, failing)
    for _sequence, record in records:
        match record:
            case TapeRange():
                working.take_tape(record)
            case Stopped():
                pass
            case Decided():
                for topic in topics:
                    topic.take_decision(record)
            case _:
                for topic in topics:
                    topic.take_event(record)
    end_ns = running.end_ns
    return Report(
        run=running.told(),
        work=working.told(),
        denials=denying.told(),
        trades=tuple(trading.trades),
        totals=_totals(trading.trades),
        exits=trading.exits(),
        still_open=trading.still_open(),
        unfilled=tuple(trading.unfilled),
        exposure=trading.exposure(end_ns),
        outages=feeding.outages(readying, end_ns),
        stale=feeding.stale_instruments(trading, end_ns),
        stale_acts=tuple(feeding.acts),
        blocked=readying.told(end_ns),
        halts=tuple(failing.halts),
        oddities=failing.oddities(),
        failures=tuple(failing.failures),
    )


def shortfalls(work: Work, floor: Mapping[str, int]) -> tuple[str, ...]:
    """What of `floor` (names of `Work`) was not reached, in words. Raises KeyError on another name."""
    done: dict[str, int] = msgspec.structs.asdict(work)
    return tuple(
        f"{name} {done[name]} of at least {least}"
        for name, least in floor.items()
        if done[name] < least
    )


def _totals(trades: Sequence[Trade]) -> Totals:
    charges: Counter[str] = Counter()
    for trade in trades:
        charges.update(trade.charges)
    return Totals(
        gained=sum(trade.net_paise > 0 for trade in trades),
        lost=sum(trade.net_paise <= 0 for trade in trades),
        gross_paise=sum(trade.gross_paise for trade in trades),
        charges=dict(charges),
        charges_paise=charges.total(),
        net_paise=sum(trade.net_paise for trade in trades),
        unprotected_ns=sum(trade.unprotected_ns for trade in trades),
        without_stop_ns=sum(trade.without_stop_ns for trade in trades),
    )
