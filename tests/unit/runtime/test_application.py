"""An application from its first service to its last record, and every way to its end."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from typing_extensions import override

from holdfast.domain.errors import DataRefused
from holdfast.domain.event import ServiceChanged, ServiceState
from holdfast.runtime import shutdown
from holdfast.runtime.application import Application, Parts
from holdfast.runtime.health import ServiceStatus
from holdfast.runtime.service import Group, Ready
from holdfast.runtime.shutdown import Saved, StopReport
from holdfast.runtime.signals import Signals
from holdfast.runtime.threads import Threads
from holdfast.runtime.tree import BadTree
from tests.support.program import make_parts
from tests.support.services import Toy
from tests.support.virtual import NoWallClock, virtually


class Nothing:
    """A final state of a program that keeps none."""

    async def save(self) -> Saved:
        """There is nothing to write."""
        return Saved()

    async def verify(self, saved: Saved) -> None:
        """And so it is there."""
        assert saved == Saved()

    async def tidy(self, within_s: float) -> None:
        """Nothing is left."""

    async def db_connections(self) -> int:
        """None."""
        return 0


def parts(
    services: Sequence[Toy], record: Callable[[ServiceChanged], None] = lambda _change: None
) -> Parts:
    """The services, and nothing around them."""
    return Parts(
        services=services,
        final=Nothing(),
        clock=NoWallClock(),
        record=record,
        threads=Threads(),
    )


def pair(diary: list[str], *, feed: str = "ready") -> list[Toy]:
    """A store and a feed that write one diary."""
    return [
        Toy("store", diary=diary),
        Toy("feed", group=Group.PRICE, needs=["store"], acts=[feed], diary=diary),
    ]


def served(application: Application, story: Callable[[], Any]) -> tuple[StopReport, list[str]]:
    """Serve while a story runs beside it; the report, and what was logged."""

    async def play() -> StopReport:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(application.serve())
            await application.wait_up()
            await story()
            return await serving

    with structlog.testing.capture_logs() as logs:
        report = virtually(play())
    return report, [line["event"] for line in logs]


@pytest.mark.proves("APP-4", "APP-11")
def test_it_starts_runs_and_stops_when_it_is_asked_to() -> None:
    """The first who asks says why and with which code; the last record is the last word."""
    diary: list[str] = []
    records: list[ServiceChanged] = []
    application = Application(lambda: parts(pair(diary), records.append))

    async def story() -> None:
        assert [one.name for one in application.status() if one.ready] == ["store", "feed"]
        await asyncio.sleep(60)
        application.ask_stop("the day is over", exit_code=10)
        application.ask_stop("and again", exit_code=3)

    assert application.status() == ()
    report, events = served(application, story)
    assert report.exit_code == 10
    assert events[-1] == "Shutdown complete"
    assert events.count("Starting shutdown sequence") == 1
    assert [one.service for one in records if one.state is ServiceState.STOPPED] == [
        "feed",
        "store",
    ]


@pytest.mark.proves("APP-11")
def test_a_signal_that_comes_behind_the_last_record_is_not_in_the_log(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It changes nothing any more; a person sees it all the same."""
    signals = Signals()
    signals.install()
    monkeypatch.setattr(shutdown, "flush_everything", lambda: signal.raise_signal(signal.SIGTERM))
    application = Application(lambda: parts(pair([])), signals=signals)

    async def story() -> None:
        application.ask_stop("the day is over")

    try:
        report, events = served(application, story)
    finally:
        signals.restore()
    assert (report.exit_code, events[-1]) == (0, "Shutdown complete")
    assert signals.number == signal.SIGTERM
    assert "Caught signal 15" in capfd.readouterr().err


@pytest.mark.parametrize(("known_s", "is_told"), [(20, True), (90, False)])
def test_ready_is_said_once_enough_is_known(known_s: int, *, is_told: bool) -> None:
    """Whoever waits for the word may rely on it; a stop waits for nothing."""
    made = msgspec.structs.replace(parts(pair([])), known=partial(asyncio.sleep, known_s))
    application = Application(lambda: made)

    async def stops() -> None:
        await asyncio.sleep(60)
        application.ask_stop("enough")

    async def play() -> StopReport:
        async with asyncio.TaskGroup() as group:
            group.create_task(stops())
            return await application.serve()

    with structlog.testing.capture_logs() as logs:
        report = virtually(play())
    assert report.exit_code == 0
    assert ("everything is ready" in [line["event"] for line in logs]) is is_told


def test_whoever_stops_it_waits_for_the_same_end() -> None:
    """From several tasks at once, and again when it is over."""
    application = Application(lambda: parts(pair([])))

    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            stops = [group.create_task(application.stop("enough")) for _ in range(3)]
        assert len({id(stop.result()) for stop in stops}) == 1
        assert await application.stop("once more") is stops[0].result()

    report, events = served(application, story)
    assert report.exit_code == 0
    assert events.count("Shutdown complete") == 1


@pytest.mark.proves("SUP-1", "RACE-6", "B-01")
def test_a_second_one_first_awaits_the_complete_stop_of_the_first() -> None:
    """Not one moment with both: its parts are not even made before."""
    diary: list[str] = []

    def make() -> Parts:
        diary.append("made")
        return parts([Toy("store", acts=["long end"], diary=diary)])

    async def play() -> None:
        first = Application(make)
        async with asyncio.TaskGroup() as group:
            group.create_task(first.serve())
            await first.wait_up()
            second = Application(make, replaces=first)
            serving = group.create_task(second.serve())
            await second.wait_up()
            assert not any(one.running for one in first.status())
            assert all(one.ready for one in second.status())
            await second.stop("done")
            await serving

    virtually(play())
    life = ["made", "run store", "drain store", "cancelled store", "cleanup store"]
    assert diary == life * 2


def test_one_that_replaces_one_that_never_ran_just_runs() -> None:
    """There is nothing to wait for; and the first does not come up any more."""
    first = Application(lambda: parts(pair([])))
    second = Application(lambda: parts(pair([])), replaces=first)

    async def story() -> None:
        await second.stop("done")
        report = await first.serve()
        assert report.exit_code == 0

    served(second, story)


@pytest.mark.proves("SUP-7")
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (DataRefused("token", "has expired", "log in"), 3),
        (ZeroDivisionError("a bug"), 70),
    ],
)
def test_a_start_that_fails_ends_with_the_code_of_its_cause(fault: Exception, code: int) -> None:
    """What the world did has a code of its own, a bug of ours is 70."""

    class Refused(Toy):
        @override
        async def _act(self, act: str, ready: Ready) -> None:
            raise fault

    application = Application(lambda: parts([Refused("store")]))

    async def story() -> None:
        """Nothing."""

    report, events = served(application, story)
    assert report.exit_code == code
    assert "the start failed" in events
    assert events[-1] == "Shutdown complete"


def test_services_that_do_not_fit_together_never_run() -> None:
    """The error is told as it is, before anything was begun."""
    application = Application(lambda: parts([*pair([]), Toy("store")]))
    with pytest.raises(BadTree, match="two services are called store"):
        virtually(application.serve())
    assert application.status() == ()


@pytest.mark.proves("SUP-15", "APP-15")
def test_a_stop_that_was_asked_for_before_the_start_starts_nothing_for_long() -> None:
    """It comes to the same end, with its record."""
    diary: list[str] = []
    application = Application(lambda: parts(pair(diary)))
    application.ask_stop("changed my mind")

    async def story() -> None:
        """Nothing."""

    report, events = served(application, story)
    assert report.exit_code == 0
    assert "run feed" not in diary
    assert events[-1] == "Shutdown complete"


@pytest.mark.proves("PRM-1", "ORM-1", "STM-1", "TST-7", "B-07")
def test_the_managers_have_two_one_and_one_tasks_while_running_and_none_after(
    tmp_path: Path,
) -> None:
    """By these names, over a real event loop and a real thread; the store has its writer."""
    names = {
        "feed": ("WebSocketListener", "KeepAliveTimer"),
        "monitor": ("PositionMonitor",),
        "book": ("StateReconciliation",),
    }

    def shown(statuses: tuple[ServiceStatus, ...]) -> dict[str, tuple[str, ...]]:
        return {one.name: one.tasks for one in statuses if one.name in names}

    async def play() -> None:
        application = Application(lambda: make_parts({"folder": str(tmp_path)}, lambda _one: None))
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(application.serve())
            await application.wait_up()
            assert shown(application.status()) == names
            store = next(one for one in application.status() if one.name == "store")
            assert store.threads == ("JournalWriter",)
            application.ask_stop("seen")
            report = await serving
        assert report.final_state_verified
        statuses = application.status()
        assert shown(statuses) == dict.fromkeys(names, ())
        assert not any(one.running or one.threads for one in statuses)

    asyncio.run(play())
