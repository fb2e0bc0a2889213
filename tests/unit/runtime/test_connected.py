"""A connection that a service keeps: up when it answers, down the moment it does not."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
import structlog
from typing_extensions import override

from holdfast.app.config import RuntimeSettings
from holdfast.domain.event import AnyEvent, Link, LinkChanged
from holdfast.runtime.connected import Redial
from holdfast.runtime.links import Routing, Updates
from holdfast.runtime.service import LoopFailed
from tests.support.chain import living
from tests.support.virtual import NoWallClock, virtually

DEFAULTS = RuntimeSettings()


class Line:
    """A connection that answers as it is told, and keeps when it was asked what."""

    def __init__(self, *answers: str) -> None:
        """What pings meet, one after the other: "ok", "cut", "mute"; the last one for ever."""
        self.answers = list(answers) or ["ok"]
        self.asked: list[tuple[str, float]] = []

    async def connect(self) -> None:
        self.note("connect")

    async def ping(self) -> None:
        self.note("ping")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "cut":
            raise ConnectionResetError("by the other side")
        if answer == "mute":
            await asyncio.sleep(1_000)

    async def close(self) -> None:
        self.note("close")

    def note(self, what: str) -> None:
        self.asked.append((what, round(asyncio.get_running_loop().time(), 2)))

    def times(self, what: str) -> list[float]:
        """When it was asked that."""
        return [at_s for asked, at_s in self.asked if asked == what]


def updates(line: Line, told: list[AnyEvent]) -> Updates:
    """The service over a line, with the settings of every mode."""
    return Updates(
        line,
        told.append,
        NoWallClock(),
        interval_s=DEFAULTS.websocket_ping_interval_s,
        timeout_s=DEFAULTS.websocket_ping_timeout_s,
    )


def links(told: Sequence[AnyEvent]) -> list[tuple[bool, str]]:
    """The changes of the link."""
    return [(event.is_up, event.reason) for event in told if isinstance(event, LinkChanged)]


@pytest.mark.proves("PRM-3", "MFH-1", "MFH-5", "SET-3")
def test_it_is_up_when_the_first_ping_was_answered_and_pings_every_ten_seconds() -> None:
    """Ready, healthy and told at that moment; closed and told at the end, whoever ends it."""
    line, told = Line(), list[AnyEvent]()

    async def story() -> None:
        service = updates(line, told)
        healthy = [service.health().is_healthy]
        async with living(service) as said:
            assert said == [(True, "")]
            assert links(told) == [(True, "")]
            assert [task.get_name() for task in service.tasks] == ["OrderUpdates"]
            healthy.append(service.health().is_healthy)
            await asyncio.sleep(35)
        healthy.append(service.health().is_healthy)
        assert healthy == [False, True, False]

    virtually(story())
    assert line.asked[:2] == [("connect", 0.0), ("ping", 0.0)]
    assert line.times("ping")[1:] == [0.0, 10.0, 20.0, 30.0]
    assert len(line.times("close")) == 1
    assert links(told) == [(True, ""), (False, "updates ended")]
    assert {event.link for event in told if isinstance(event, LinkChanged)} == {Link.UPDATES}


@pytest.mark.proves("PRM-3")
def test_a_connection_that_does_not_answer_at_once_is_never_ready() -> None:
    """Five seconds, and this life ends; what was half made is given back, nothing is told."""
    line, told = Line("mute"), list[AnyEvent]()

    async def story() -> None:
        async with living(updates(line, told)) as said:
            await asyncio.sleep(6)
            assert said == []

    with pytest.raises(TimeoutError):
        virtually(story())
    assert line.times("close") == [5.0]
    assert told == []


@pytest.mark.proves("PRM-3", "MFH-1")
@pytest.mark.parametrize(
    ("answers", "down_s", "reason"),
    [
        (["ok", "ok", "mute", "ok"], 15.0, "TimeoutError"),
        (["ok", "ok", "cut", "ok"], 10.0, "ConnectionResetError: by the other side"),
    ],
)
def test_one_unanswered_ping_takes_the_link_down_until_one_is_answered(
    answers: list[str], down_s: float, reason: str
) -> None:
    """Entries are barred meanwhile; the connection is not torn down for one lost packet."""
    line, told = Line(*answers), list[AnyEvent]()

    async def story() -> None:
        service = updates(line, told)
        with structlog.testing.capture_logs():
            async with living(service):
                await asyncio.sleep(down_s + 0.05)
                assert not service.health().is_healthy
                await asyncio.sleep(0.2)
                assert service.health().is_healthy

    virtually(story())
    stamps = [(round(event.at_ns / 1e9, 1), event.at_ns > 0) for event in told]
    assert links(told) == [
        (True, ""),
        (False, f"a ping was not answered: {reason}"),
        (True, ""),
        (False, "updates ended"),
    ]
    assert [at_s for at_s, _ in stamps][1:3] == [down_s, down_s + 0.1]
    assert len(line.times("connect")) == 1


@pytest.mark.proves("BAS-3", "I-117")
def test_five_unanswered_pings_in_a_row_end_this_life() -> None:
    """It is down from the first of them on, told once; the supervisor begins another life."""
    line, told = Line("ok", "cut"), list[AnyEvent]()

    async def story() -> None:
        async with living(updates(line, told)):
            await asyncio.sleep(2)

    with structlog.testing.capture_logs(), pytest.raises(LoopFailed, match="5 errors in a row"):
        virtually(story())
    assert len(line.times("ping")) == 1 + 5
    assert line.times("close") == [0.4]
    assert [is_up for is_up, _ in links(told)] == [True, False]


def test_the_way_out_lets_what_is_in_flight_be_answered() -> None:
    """Draining the router returns when the day says that everything was."""
    settled: list[str] = []

    async def settle() -> None:
        await asyncio.sleep(1)
        settled.append("settled")

    class Quiet(Line):
        @override
        async def ping(self) -> None:
            """Always answered."""

    async def story() -> None:
        told: list[AnyEvent] = []
        router = Routing(
            Quiet(), told.append, NoWallClock(), interval_s=10, timeout_s=5, settle=settle
        )
        async with living(router):
            assert [task.get_name() for task in router.tasks] == ["OrderLine"]
            await router.drain()
            assert settled == ["settled"]
        assert [event.link for event in told if isinstance(event, LinkChanged)] == [Link.ORDERS] * 2

    virtually(story())


# -- made anew within one life


def redialling(line: Line, told: list[AnyEvent]) -> Updates:
    """The service over a real broker's line, at fifteen times the wall's pace."""
    return Updates(
        line,
        told.append,
        NoWallClock(),
        interval_s=10.0,
        timeout_s=5.0,
        redial=Redial(first_s=1.0, most_s=8.0),
    )


class Away(Line):
    """A line that is there, then gone for a while, then there again."""

    def __init__(self, from_s: float, until_s: float) -> None:
        super().__init__("ok")
        self.from_s, self.until_s = from_s, until_s

    @override
    async def connect(self) -> None:
        self.note("connect")
        self.require()

    @override
    async def ping(self) -> None:
        self.note("ping")
        self.require()

    def require(self) -> None:
        if self.from_s <= asyncio.get_running_loop().time() < self.until_s:
            raise ConnectionResetError("by the other side")


@pytest.mark.proves("OUH-1", "MFH-7")
@pytest.mark.parametrize("hours", [0.1, 6])
def test_a_line_that_was_up_is_made_anew_for_as_long_as_it_takes(hours: float) -> None:
    """Told down at once and up when it is there; no life ends of it, so that nothing is given up."""
    line, told = Away(35, 35 + hours * 3_600), list[AnyEvent]()

    async def story() -> None:
        service = redialling(line, told)
        async with living(service) as said:
            await asyncio.sleep(41)
            assert links(told)[1:] == [
                (False, "a ping was not answered: ConnectionResetError: by the other side")
            ]
            assert not service.health().is_healthy
            await asyncio.sleep(hours * 3_600 + 20)
            assert [is_up for is_up, _ in links(told)] == [True, False, True]
            assert service.health().is_healthy
            assert said == [(True, "")]
            assert service.errors == 0
            heartbeat_s = service.heartbeat_s
            assert heartbeat_s is not None
            assert asyncio.get_running_loop().time() - heartbeat_s <= service.silent_s

    virtually(story())


@pytest.mark.proves("B-16", "DEG-2")
def test_the_pauses_before_it_is_made_anew_double_to_a_bound() -> None:
    """A quarter more or less, and never two services in step."""
    redial = Redial(first_s=1.0, most_s=8.0)
    pauses = [redial.pause_s("updates", tries) for tries in range(1, 8)]
    for pause_s, usual_s in zip(pauses, (1, 2, 4, 8, 8, 8, 8), strict=True):
        assert 0.75 * usual_s <= pause_s <= 1.25 * usual_s
    assert pauses == [redial.pause_s("updates", tries) for tries in range(1, 8)]
    assert pauses != [redial.pause_s("feed", tries) for tries in range(1, 8)]
    assert redial.pause_s("updates", 10_000) <= 10


@pytest.mark.proves("B-16")
def test_a_pause_before_it_is_made_anew_ends_with_the_service() -> None:
    """Nobody waits for the end of it; each service counts its own tries, and anew after a loss."""

    class Twice(Away):
        """Gone for a while, and later for as long again."""

        @override
        def require(self) -> None:
            at_s = asyncio.get_running_loop().time()
            if 35 <= at_s < 135 or at_s >= 200:
                raise ConnectionResetError("by the other side")

    line, told, ends = Twice(0, 0), list[AnyEvent](), list[float]()

    async def story() -> None:
        async with living(redialling(line, told)):
            await asyncio.sleep(210.5)
            began_s = asyncio.get_running_loop().time()
        ends.append(asyncio.get_running_loop().time() - began_s)

    virtually(story())
    assert ends == [0.0]
    dials = line.times("connect")
    first, second = (
        [after - before for before, after in pairwise(tried)]
        for tried in ([at for at in dials if 35 <= at < 135], [at for at in dials if at >= 200])
    )
    assert max(first) <= 10
    assert first[0] <= 1.25
    assert second[0] <= 1.25, "a loss of before is forgotten"


def test_a_line_that_was_never_up_ends_its_life() -> None:
    """A start that fails is the supervisor's: the program says so and ends."""
    line, told = Away(0, 1_000), list[AnyEvent]()

    async def story() -> None:
        async with living(redialling(line, told)) as said:
            await asyncio.sleep(10)
            assert said == []

    with pytest.raises(ConnectionResetError):
        virtually(story())
    assert told == []
