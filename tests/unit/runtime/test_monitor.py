"""The monitor: what claims to watch positions is looked at from outside."""

import asyncio

import pytest
import structlog

from holdfast.core.risk import watching
from holdfast.domain.audit import EntriesBlocked
from holdfast.domain.command import Notify, Severity
from holdfast.domain.event import ServiceChanged, ServiceState
from holdfast.domain.market import Tick
from holdfast.runtime.monitor import WATERMARK_S, Monitor
from tests.support.chain import Chain, entering, lived, living, quiet
from tests.support.virtual import virtually


@pytest.mark.proves("RSK-7", "SET-1", "BAS-8")
def test_it_looks_ten_times_a_second_and_alarms_once_for_each_time_it_is_old() -> None:
    """Two seconds are allowed, a moment more is not; when it is young again, all is well."""
    ages = [None, 0.0, 1.9, WATERMARK_S, 2.1, 2.2, 0.1, None, 3.0]
    looks: list[float] = []
    told: list[Notify] = []
    healthy: list[bool] = []

    def watermark() -> float | None:
        looks.append(round(asyncio.get_running_loop().time(), 2))
        return ages[min(len(looks), len(ages)) - 1]

    async def story() -> None:
        monitor = Monitor(watermark, interval_s=0.1, notify=told.append)
        assert monitor.health().reason == "no watermark was read"
        async with living(monitor) as said:
            assert said == [(True, "")]
            assert [task.get_name() for task in monitor.tasks] == ["PositionMonitor"]
            for _ in ages[2:]:
                await asyncio.sleep(0.1)
                healthy.append(monitor.health().is_healthy)
            assert monitor.health().reason == "exits were last evaluated 3.0 s ago"

    with structlog.testing.capture_logs() as logs:
        virtually(story())
    assert looks[:5] == [0.0, 0.0, 0.1, 0.2, 0.3]
    assert healthy == [True, True, False, False, True, True, False]
    alarms = [(line["log_level"], line["component"], line["age_s"]) for line in logs]
    assert alarms == [("critical", "PositionMonitor", 2.1), ("critical", "PositionMonitor", 3.0)]
    assert [one.severity for one in told] == [Severity.ALARM] * 2
    assert told[0].text == "the rules of an open position last ran 2.1 s ago"


@pytest.mark.proves("RSK-7")
@pytest.mark.parametrize(
    ("held", "age_s", "alarms"), [(0.0, 2.1, 1), (0.0, 2.0, 0), (None, 60.0, 0)]
)
def test_while_the_loop_is_stuck_the_watchdogs_thread_alarms_for_it(
    held: float | None, age_s: float, alarms: int
) -> None:
    """Once, and only for a position that is held; how old it is can be said afterwards."""
    told: list[Notify] = []
    monitor = Monitor(lambda: held, interval_s=0.1, notify=told.append)
    with structlog.testing.capture_logs() as logs:
        for later_s in (0.0, 1.0):
            monitor.while_hung(age_s if not alarms else age_s + later_s)
    assert [line["component"] for line in logs] == ["Watchdog"] * alarms
    assert len(told) == alarms


def test_after_a_hang_its_health_says_so_until_it_has_looked_again() -> None:
    """A position that was opened after its last look had no age before."""
    held: list[float | None] = [None]

    async def story() -> None:
        monitor = Monitor(lambda: held[0], interval_s=0.1)
        async with living(monitor):
            held[0] = 0.0
            with structlog.testing.capture_logs():
                monitor.while_hung(7.25)
            assert monitor.health().reason == "exits were last evaluated 7.2 s ago"
            await asyncio.sleep(0.2)
            assert monitor.health().is_healthy

    virtually(story())


@pytest.mark.proves("I-01", "RSK-7")
def test_an_engine_whose_evaluation_does_nothing_is_found_out_in_two_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It goes on stepping every tick and says that all is well: alarm, not ready, no entries."""
    broken_s: list[float] = []
    alarmed_s: list[float] = []

    def nothing(*_args: object, **_kwargs: object) -> None:
        """Does what an idle thread does."""

    async def story(chain: Chain) -> None:
        await chain.until_market(62)
        assert chain.day.standing.open_positions == 1
        assert not [one for one in chain.told if "last ran" in one.text]
        for name in ("evaluate", "on_packet", "sweep"):
            monkeypatch.setattr(watching, name, nothing)
        broken_s.append(asyncio.get_running_loop().time())
        while not alarmed_s:
            await asyncio.sleep(0.01)
            if [one for one in chain.told if "last ran" in one.text]:
                alarmed_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.5)
        monkeypatch.undo()

    def market(chain: Chain) -> list[Tick]:
        return [*entering(chain.parrot), *quiet(60.3, 75)]

    with structlog.testing.capture_logs() as logs:
        chain = lived(market, story)
    assert 1.8 <= alarmed_s[0] - broken_s[0] <= 2.3
    [line] = [one for one in logs if one["event"] == "exits are not evaluated"]
    assert line["log_level"] == "critical"
    unready = [
        event
        for event in chain.journal.events
        if isinstance(event, ServiceChanged) and event.state is ServiceState.UNREADY
    ]
    assert [event.service for event in unready] == ["monitor"]
    audits = [audit for row in chain.journal.decisions for audit in row.audits]
    blocked = [audit.term for audit in audits if isinstance(audit, EntriesBlocked)]
    assert {"services", "evaluating"} & set(blocked)
