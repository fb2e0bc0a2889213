"""A program that is started for one thing: when that is done, and that it ends then, or in time."""

import asyncio
from typing import Any

import msgspec
import pytest

from holdfast.app.mandate import (
    READ_EVERY_NS,
    WITHIN_NS,
    WITHIN_S,
    Mandate,
    Until,
    is_flat,
    is_unlocked,
)
from holdfast.core.bookread import SETTLED_NS
from holdfast.core.view import View
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import OperatorAsked, OperatorRequest
from holdfast.domain.order import OrderId
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.day import Day
from tests.support.chain import living, until
from tests.support.desk import Desk
from tests.support.virtual import virtually


def flat(**changes: Any) -> View:
    """A settled account, read long after our last order."""
    view = Desk().engine.view
    settled = msgspec.structs.replace(
        view, broker_read_ns=view.now_ns, touched_ns=view.now_ns - SETTLED_NS, open_points=()
    )
    return msgspec.structs.replace(settled, **changes)


def test_flat_is_what_a_late_read_of_the_brokers_book_shows() -> None:
    """Early is not true: not our own belief, not a read that may not know of our last order (T5)."""
    view = flat()
    assert is_flat(view)
    assert view.broker_read_ns is not None
    desk = Desk()
    desk.hold()
    for change in (
        {"broker_read_ns": None},
        {"broker_read_ns": view.broker_read_ns - 1},
        {"open_points": ("an order may still be on its way",)},
        {"live_orders": (OrderId("x"),)},
        {"positions": desk.engine.view.positions},
    ):
        assert not is_flat(flat(**change)), change


class Standing:
    """A day that stands as it is told, and counts how often its book was asked for."""

    def __init__(self, view: View) -> None:
        self.view, self.has_begun, self.reads = view, True, 0
        self.told: list[OperatorAsked] = []

    @property
    def engine(self) -> "Standing":
        return self

    def read_book(self) -> None:
        self.reads += 1

    def tell(self, asked: OperatorAsked) -> None:
        self.told.append(asked)


def ended(day: Any, mandate: Mandate, *, passes_ns: int = 0, waits_s: float = 10.0) -> list[str]:
    """Why the program was ended; `passes_ns` of the market's time pass with each look."""
    said: list[str] = []

    async def story() -> None:
        async with living(Until(day, mandate, said.append)):
            for _ in range(1_000):
                if said:
                    return
                day.view = msgspec.structs.replace(day.view, now_ns=day.view.now_ns + passes_ns)
                await until_next(waits_s)

    virtually(story())
    return said[:1]


async def until_next(seconds: float) -> None:
    """Let so much of our own time pass."""
    await asyncio.sleep(seconds)


@pytest.mark.parametrize("is_done", [True, False])
def test_it_ends_when_done_and_in_its_time_when_not(is_done: bool) -> None:  # noqa: FBT001 a case
    """Of the market's time; the book is asked for each second until then."""
    day = Standing(flat())
    mandate = Mandate(told=(), is_done=lambda _view: is_done)
    said = ended(day, mandate, passes_ns=READ_EVERY_NS, waits_s=0.02)
    assert said == ["it is done" if is_done else "it was not done in time"]
    if not is_done:
        assert WITHIN_NS // READ_EVERY_NS * 0.9 < day.reads <= WITHIN_NS // READ_EVERY_NS + 1


@pytest.mark.parametrize("read_ns", [None, 1])
def test_what_needs_the_brokers_book_is_told_once_it_is_read(read_ns: int | None) -> None:
    """An unlock before that would be refused."""
    asked = OperatorAsked(at_ns=0, request=OperatorRequest.UNLOCK, reason="looked")
    day = Standing(flat(broker_read_ns=read_ns))
    ended(day, Mandate(told=(), told_settled=(asked,), is_done=lambda _view: False))
    assert [one.request for one in day.told] == ([] if read_ns is None else [asked.request])


def test_an_unlock_is_over_when_it_is_lifted_or_something_is_in_the_way() -> None:
    """What is in the way is known once the broker's book is read."""
    halted = flat(halt=HaltLevel.PANIC)
    assert is_unlocked(flat())
    assert not is_unlocked(halted)
    assert not is_unlocked(msgspec.structs.replace(halted, in_the_way="x", broker_read_ns=None))
    assert is_unlocked(msgspec.structs.replace(halted, in_the_way="position 1 is open"))


def test_where_the_markets_time_stands_still_our_own_ends_it() -> None:
    """A dead feed keeps nobody waiting for ever."""
    said = ended(
        Standing(flat()), Mandate(told=(), is_done=lambda _view: False), waits_s=WITHIN_S / 4
    )
    assert said == ["it was not done in time"]


def test_it_waits_for_the_engine() -> None:
    """Nothing is done, and nothing is read, before there is one."""

    async def story() -> list[str]:
        day = Day(VirtualClock(0), ends_ns=1, progress=lambda _: None, notify=lambda _: None)
        said: list[str] = []
        service = Until(day, Mandate(told=(), is_done=lambda _view: True), said.append)
        async with living(service) as ready:
            await until(lambda: ready == [(True, "")])
            await until_next(1.0)
        assert service.health().is_healthy
        return said

    assert virtually(story()) == []
