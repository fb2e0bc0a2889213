"""Which rows of the order table a world has reached: counted where orders move through it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from holdfast.core.orders import order
from holdfast.core.orders.life import ALARMS, FORBIDDEN, TABLE, OrderEvent, advance
from holdfast.domain.order import OrderState

Pair = tuple[OrderState, OrderEvent]

_S, _E = OrderState, OrderEvent
_ENDS: Final = (_S.FILLED, _S.CANCELLED, _S.EXPIRED, _S.REJECTED)
_TAKEN: Final = (_S.WORKING, _S.MODIFYING, _S.CANCELLING)


def _pairs(states: Iterable[OrderState], *events: OrderEvent) -> tuple[Pair, ...]:
    return tuple((state, event) for state in states for event in events)


_GROUPS: Final[tuple[tuple[str, tuple[Pair, ...]], ...]] = (
    (
        "an order is sent in the step that makes it",
        _pairs((_S.PLANNED,), *(event for event in _E if event is not _E.SEND)),
    ),
    (
        "the simulated broker says 'expired' at the close alone, and a world ends before it",
        (*_pairs(_S, _E.END_EXPIRED), *_pairs((_S.EXPIRED,), *_E)),
    ),
    (
        "a placement has one answer: what was taken, or told to be unanswered, gets no other",
        _pairs((*_TAKEN, _S.UNKNOWN, *_ENDS), _E.NOT_SENT, _E.REFUSED),
    ),
    (
        "the acknowledgement is the answer; where silence or a death made it unknown none comes",
        ((_S.UNKNOWN, _E.ACKNOWLEDGED),),
    ),
    (
        "of a placement in flight nothing else was asked that could be refused or unchanged",
        _pairs((_S.SENT,), _E.MODIFY_REFUSED, _E.CANCEL_REFUSED, _E.OPEN_UNCHANGED),
    ),
    (
        "the first word about an order is news, and the simulated broker knows its own words",
        ((_S.SENT, _E.QUESTION),),
    ),
    (
        "only of an order that is modifying or unknown can a row lack a modification",
        _pairs((_S.WORKING, _S.CANCELLING, *_ENDS), _E.OPEN_UNCHANGED),
    ),
    (
        "one cancel is out at a time: only a false end word and a read could overtake its refusal",
        _pairs((_S.WORKING, _S.MODIFYING, _S.UNKNOWN), _E.CANCEL_REFUSED),
    ),
    (
        "coincidence, in one world of 500: a late no to a change beats every word of its cancel",
        ((_S.CANCELLING, _E.MODIFY_REFUSED),),
    ),
    (
        "what this process sent is owed an answer, and a start makes all in flight unknown",
        ((_S.SENT, _E.ABSENT),),
    ),
    (
        "absence is looked for of orders that could still fill, never of those at an end",
        _pairs(_ENDS, _E.ABSENT),
    ),
    (
        "a book is five seconds old at most: no two reads in three seconds lack what had answered",
        _pairs(_TAKEN, _E.ABSENT),
    ),
    (
        "the simulated exchange ends an order once, and a false end word is a question by its age",
        (
            *_pairs((_S.FILLED,), _E.END_CANCELLED, _E.END_REJECTED),
            *_pairs((_S.CANCELLED,), _E.END_REJECTED, _E.LAST_FILL),
            *_pairs((_S.REJECTED,), _E.END_CANCELLED, _E.LAST_FILL, _E.OPEN),
        ),
    ),
)

UNREACHED: Final[dict[Pair, str]] = {pair: reason for reason, pairs in _GROUPS for pair in pairs}
"""Pairs that no world can reach, or by mere coincidence, each with the reason; others must be."""


@contextmanager
def counting(reached: set[Pair]) -> Iterator[None]:
    """Note every pair of state and event that an order goes through inside."""

    def noting(
        state: OrderState, event: OrderEvent, *, filled_quantity: int
    ) -> tuple[OrderState, bool]:
        reached.add((state, event))
        return advance(state, event, filled_quantity=filled_quantity)

    order.advance = noting  # type: ignore[attr-defined]
    try:
        yield
    finally:
        order.advance = advance  # type: ignore[attr-defined]


def wanted() -> list[Pair]:
    """The pairs that the worlds must reach, in order of their names."""
    pairs = [*TABLE, *ALARMS]
    return sorted(pair for pair in pairs if pair not in FORBIDDEN and pair not in UNREACHED)
