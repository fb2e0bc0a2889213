"""The world behind the server: what was asked and what becomes due happen in order."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from holdfast.domain.market import Tick
from holdfast.simbroker.dhan.clock import ServerClock
from holdfast.simbroker.dhan.host import Host, Values, World
from tests.support.desk import FACTS, OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import HandTime, Script, option_tick

TICKS = [option_tick(OPEN + number * SECOND, 118_00 + 5 * number) for number in range(5)]


def a_host(time: HandTime | None = None) -> Host:
    """A host of five ticks, a second apart, and the second before them."""
    world = World(facts=FACTS, source=Script(TICKS), seed=1, cash_paise=1_00_000_00)
    return Host(world, time or HandTime(OPEN - SECOND))


def test_everything_happens_in_order_of_time() -> None:
    """At one instant what arrives comes before the market; what is late comes next, in order."""
    time = HandTime(OPEN - SECOND)
    host = a_host(time)
    seen: list[Any] = []
    host.on_market(lambda tick: seen.append(("market", tick.last_paise)))
    host.on_tick(lambda tick: seen.append(("told", tick.last_paise)))
    host.at(OPEN + SECOND, lambda at_ns: seen.append(("second", at_ns - OPEN)))
    host.at(OPEN, lambda at_ns: seen.append(("first", at_ns - OPEN)))
    time.at_ns = OPEN + SECOND
    assert host.now() == OPEN + SECOND
    assert seen == [
        ("first", 0),
        ("market", 118_00),
        ("told", 118_00),
        ("second", SECOND),
        ("market", 118_05),
        ("told", 118_05),
    ]
    host.at(OPEN, lambda at_ns: seen.append(("late", at_ns - OPEN)))
    host.now()
    assert seen[-1] == ("late", SECOND)


def test_time_never_goes_back() -> None:
    """Whatever the clock says."""
    time = HandTime(OPEN)
    host = a_host(time)
    assert host.now() == OPEN
    time.at_ns = OPEN - SECOND
    assert host.now() == OPEN


def test_acts_are_written_down_before_they_are_done() -> None:
    """With the instant up to which everything has happened."""
    time = HandTime(OPEN + SECOND)
    host = a_host(time)
    seen: list[Any] = []
    host.keep = lambda name, values, at_ns: seen.append(("kept", name, dict(values), at_ns))

    def add(values: Values, at_ns: int) -> int:
        seen.append(("done", at_ns))
        total: int = values["n"] + 1
        return total

    host.register("add", add)
    host.register("note", lambda _values, at_ns: seen.append(("noted", at_ns)))
    assert host.do("add", {"n": 1}) == 2
    time.at_ns = OPEN + 2 * SECOND
    host.jot("note", {})
    at_ns = OPEN + SECOND
    assert seen == [
        ("kept", "add", {"n": 1}, at_ns),
        ("done", at_ns),
        ("kept", "note", {}, at_ns),
        ("noted", at_ns),
    ]


def test_what_is_done_again_meets_the_market_of_then() -> None:
    """Ticks up to its instant come first, and nothing is written down twice."""
    host = a_host()
    seen: list[Any] = []
    host.on_tick(lambda tick: seen.append(tick.last_paise))
    host.register("look", lambda _values, _at_ns: seen.append("looked"))
    host.redo("look", {}, OPEN + 2 * SECOND)
    assert seen == [118_00, 118_05, 118_10, "looked"]


def test_two_acts_of_one_name_are_a_mistake() -> None:
    """Found at once."""
    host = a_host()
    host.register("act", lambda _values, _at_ns: None)
    with pytest.raises(AssertionError, match="two acts"):
        host.register("act", lambda _values, _at_ns: None)


def test_a_long_way_is_gone_in_steps() -> None:
    """So that others get their turn."""
    host = a_host()
    assert not host.advance(OPEN + 10 * SECOND, ticks_max=3)
    assert host.at_ns == OPEN + 2 * SECOND
    assert host.advance(OPEN + 10 * SECOND, ticks_max=3)
    assert host.at_ns == OPEN + 10 * SECOND


def test_it_goes_on_by_itself() -> None:
    """As the wall does, a thousand times as fast; an act wakes it."""

    async def run() -> None:
        world = World(facts=FACTS, source=Script(TICKS), seed=1, cash_paise=1)
        host = Host(world, ServerClock(OPEN - SECOND, 1_000))
        over = asyncio.Event()

        def told(tick: Tick) -> None:
            if tick is TICKS[-1]:
                over.set()

        host.on_tick(told)
        going = asyncio.ensure_future(host.run())
        async with asyncio.timeout(10):
            await over.wait()
        going.cancel()
        with suppress(asyncio.CancelledError):
            await going

    asyncio.run(run())
