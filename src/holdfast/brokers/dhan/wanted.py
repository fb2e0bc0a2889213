"""What the feed is to bring: a set of its own, which outlives every connection (MFH-3).

A connection is told the whole set when it begins and only differences afterwards (I-59). What is
held cannot be taken out of it (I-62).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec

from holdfast.domain.instrument import Instrument, InstrumentId, Kind

MESSAGE_ROOM: Final = 100
"""Instruments that one message may name (dhan.md 2)."""

LINE_ROOM: Final = 5_000
"""Instruments that one connection may bring (dhan.md 2)."""

SUBSCRIBE_TICKER, SUBSCRIBE_FULL = 15, 21
UNSUBSCRIBE_TICKER, UNSUBSCRIBE_FULL = 16, 22
"""Request codes (dhan.md 3, 4.1). Indices have no depth: the ticker tells all that there is of them."""


class Wanted:
    """The instruments that are asked for, in the order in which they were wanted first."""

    def __init__(self, held: Callable[[], Collection[InstrumentId]]) -> None:
        """`held` tells what is held, or has an order working, at the moment."""
        self._known: dict[InstrumentId, Instrument] = {}
        self._wanted: dict[InstrumentId, Instrument] = {}
        self._early: dict[InstrumentId, None] = {}
        self._held = held
        self.version = 0
        self._sorted_for: tuple[int, frozenset[InstrumentId]] | None = None
        self._all: Sequence[Instrument] = ()
        self._doubled: Sequence[Instrument] = ()

    def know(self, instruments: Iterable[Instrument]) -> None:
        """These exist today. Indices are wanted from now on: they show whether the feed lives (T10)."""
        for one in instruments:
            self._known[one.id] = one
            if one.kind is Kind.INDEX:
                self.want([one.id])
        early, self._early = list(self._early), {}
        self.want(early)

    def want(self, instruments: Iterable[InstrumentId]) -> None:
        """Bring these as well. What today's master does not hold waits until it does."""
        for identity in instruments:
            one = self._known.get(identity)
            if one is None:
                self._early[identity] = None
            elif identity not in self._wanted:
                self._wanted[identity] = one
                self.version += 1

    def drop(self, instruments: Iterable[InstrumentId]) -> tuple[InstrumentId, ...]:
        """Bring these no longer; returns those that stay, because they are held, or indices."""
        held, stay = self._held(), []
        for identity in instruments:
            one = self._wanted.get(identity)
            if one is not None and (identity in held or one.kind is Kind.INDEX):
                stay.append(identity)
            elif self._wanted.pop(identity, None) is not None:
                self.version += 1
        return tuple(stay)

    def all(self) -> Sequence[Instrument]:
        """Everything wanted: what is held first, then indices. The same object until it changes."""
        self._sort()
        return self._all

    def held(self) -> Sequence[Instrument]:
        """What of it is held, and the indices beside; nothing when nothing is held."""
        self._sort()
        return self._doubled

    def _sort(self) -> None:
        held = frozenset(self._held())
        if (self.version, held) == self._sorted_for:
            return
        self._sorted_for = self.version, held
        ranked = sorted(self._wanted.values(), key=lambda one: _rank(one, held))
        self._all = ranked[:LINE_ROOM]
        heads = [one for one in self._all if _rank(one, held) < _OTHERS]
        self._doubled = heads if heads and heads[0].id in held else []


_OTHERS: Final = 2


def _rank(one: Instrument, held: Collection[InstrumentId]) -> int:
    if one.id in held:
        return 0
    return 1 if one.kind is Kind.INDEX else _OTHERS


def messages(instruments: Iterable[Instrument], *, is_wanted: bool = True) -> Iterator[str]:
    """The texts that subscribe to instruments, or end that, a hundred in each (dhan.md 4.1)."""
    ticker, full = (
        (SUBSCRIBE_TICKER, SUBSCRIBE_FULL) if is_wanted else (UNSUBSCRIBE_TICKER, UNSUBSCRIBE_FULL)
    )
    by_code: dict[int, list[Instrument]] = {ticker: [], full: []}
    for one in instruments:
        by_code[ticker if one.kind is Kind.INDEX else full].append(one)
    for code, chosen in by_code.items():
        rest = iter(chosen)
        while batch := list(islice(rest, MESSAGE_ROOM)):
            yield _message(code, batch)


def _message(code: int, instruments: Sequence[Instrument]) -> str:
    entries = [
        {"ExchangeSegment": one.segment.value, "SecurityId": str(one.security_id)}
        for one in instruments
    ]
    asked = {
        "RequestCode": code,
        "InstrumentCount": len(entries),
        "InstrumentList": entries,
    }
    return msgspec.json.encode(asked).decode()
