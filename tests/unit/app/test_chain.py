"""The services of a day: what runs on the wall's time runs as fast as the day's clock does."""

import asyncio
from typing import Any

import msgspec
import pytest

from holdfast.app import chain as module
from holdfast.app import program
from holdfast.app.chain import Chain, Hooks, Market
from holdfast.app.config import Config
from holdfast.brokers.played import PlayedLine
from holdfast.runtime.clock import DayClock, ScaledClock, VirtualClock
from holdfast.runtime.day import Day
from holdfast.runtime.tree import Policy
from tests.support.desk import CLOSE, OPEN, SECOND, SESSION

SPIED = (
    "Recorder",
    "Login",
    "InstrumentMaster",
    "Book",
    "FeedService",
    "Trading",
    "Monitor",
    "Updates",
    "Routing",
)


class Spied:
    """A service that keeps what it was told by name."""

    told: dict[str, Any]
    loop_interval_s = 0.0

    def __init__(self, *_given: Any, **named: Any) -> None:
        """Whatever it is."""
        type(self).told = named


def spied() -> type[Spied]:
    """A class of its own for one of them."""

    class Kept(Spied):
        pass

    return Kept


def made_on(clock: DayClock, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """What each service was told by name, on a clock."""
    kinds = {name: spied() for name in SPIED}
    for name, kind in kinds.items():
        monkeypatch.setattr(module, name, kind)

    async def story() -> None:
        day = Day(clock, ends_ns=CLOSE, progress=lambda _: None, notify=lambda _: None)
        anything: Any = type("Anything", (), {"journal": None, "threaded": True})()
        market = Market(
            venue=anything,
            account=anything,
            feed=anything,
            updates=PlayedLine(),
            orders=PlayedLine(),
            close=lambda: None,
        )
        hooks = Hooks(
            recover=anything,
            compare=anything,
            may_begin=waited_for,
            over=lambda: None,
            refuse=anything,
        )
        chain = Chain(Config(), market, day, clock, notify=lambda _: None)
        made = chain.services(anything, anything, hooks, session=SESSION)
        assert all(service.loop_interval_s > 0 for service in made)

    asyncio.run(story())
    return {name: kind.told for name, kind in kinds.items()}


async def waited_for() -> None:
    """What played ticks wait for."""


def test_on_the_walls_time_they_are_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A played day, and today at speed 1: equal in every mode; only today is redialled."""
    played = made_on(VirtualClock(OPEN), monkeypatch)
    today = made_on(ScaledClock(OPEN, 1), monkeypatch)
    for told in (played, today):
        assert told["Updates"]["interval_s"] == told["FeedService"]["interval_s"] == 10.0
        assert told["Updates"]["timeout_s"] == told["FeedService"]["timeout_s"] == 5.0
        assert told["Book"]["every_s"] == 30.0
        assert told["Monitor"]["interval_s"] == 0.1
    assert played["Updates"]["redial"] is played["Routing"]["redial"] is None
    assert today["Routing"]["redial"].most_s == 30.0
    assert (played["Login"]["close_ns"], today["Login"]["close_ns"]) == (CLOSE, 0)


def test_on_a_faster_clock_they_run_as_much_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Down to what a busy host needs, whatever the clock says."""
    told = made_on(ScaledClock(OPEN, 20), monkeypatch)
    assert told["Updates"]["interval_s"] == 0.5
    assert told["Updates"]["timeout_s"] == 1.0
    assert told["Book"]["every_s"] == 1.5
    assert told["Monitor"]["interval_s"] == 0.02


def test_services_are_restarted_by_the_days_clock() -> None:
    """Their pauses are as much shorter as the clock is faster; how often is not changed."""
    usual, fast = Policy(), program._policy(ScaledClock(OPEN, 20))  # noqa: SLF001
    assert fast.backoff_s == usual.backoff_s / 20
    assert fast.backoff_s_max == usual.backoff_s_max / 20
    changed = msgspec.structs.replace(
        fast, backoff_s=usual.backoff_s, backoff_s_max=usual.backoff_s_max
    )
    assert changed == usual


def test_a_closed_market_may_be_silent_and_played_ticks_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before the open of today; never in a played day, whose first packet is what it begins with."""
    for clock, is_silent in (
        (ScaledClock(OPEN - 60 * SECOND, 1), True),
        (ScaledClock(OPEN + SECOND, 1), False),
        (VirtualClock(OPEN - 60 * SECOND), False),
    ):
        feed = made_on(clock, monkeypatch)["FeedService"]
        assert feed["may_be_silent"]() is is_silent
        assert (feed["may_begin"] is waited_for) is not clock.is_real_time
