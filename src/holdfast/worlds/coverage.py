"""Which rows of the order table a world has reached: counted where orders move through it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from holdfast.core.orders import order
from holdfast.core.orders.life import ALARMS, FORBIDDEN, TABLE, OrderEvent, advance
from holdfast.domain.order import OrderState

Pair = tuple[OrderState, OrderEvent]

UNREACHED: Final[dict[Pair, str]] = {
    (OrderState.PLANNED, event): "an order is sent in the step that makes it"
    for event in OrderEvent
    if event is not OrderEvent.SEND
}
"""Pairs that no world can reach, each with the reason. All others must be reached."""


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
