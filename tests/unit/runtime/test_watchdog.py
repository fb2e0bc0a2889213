"""The watchdog: a stuck event loop is told once with all stacks, and again when it goes on."""

import asyncio
import threading
from typing import Any

import pytest
import structlog

from holdfast.runtime.threads import Threads
from holdfast.runtime.watchdog import NAME, Watchdog


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def told(logs: list[Any]) -> list[tuple[str, float]]:
    """What was logged, and for how many seconds."""
    return [(line["event"], line["seconds"]) for line in logs]


@pytest.mark.proves("LOG-3", "BAS-8")
def test_a_hang_is_told_once_with_the_stacks_and_its_end_too() -> None:
    """At two seconds and not before; the second hang is another one."""
    clock, ages = Hand(), list[float]()
    watchdog = Watchdog(steady=clock, while_hung=ages.append)
    with structlog.testing.capture_logs() as logs:
        for age_s in (1.9, 2.0, 2.1, 7.5):
            clock.now_s = 100.0 + age_s
            watchdog.look()
        watchdog.beat()
        watchdog.look()
        watchdog.look()
        clock.now_s += 3.0
        watchdog.look()
    assert told(logs) == [
        ("the event loop hangs", 2.0),
        ("the event loop goes on", 7.5),
        ("the event loop hangs", 3.0),
    ]
    assert "watchdog.look()" in logs[0]["stacks"][threading.current_thread().name]
    assert [round(age, 1) for age in ages] == [2.0, 2.1, 7.5, 3.0], "each look at a stuck loop"
    assert watchdog.hangs == 2


@pytest.mark.proves("I-14")
def test_the_watchdog_itself_is_watched() -> None:
    """By the loop that it watches: one that died is started again, and that is told."""

    def breaks(_age_s: float) -> None:
        raise OSError("broke")

    async def play() -> None:
        threads = Threads()
        clock = Hand()
        watchdog = Watchdog(steady=clock, while_hung=breaks)
        watchdog.start(threads)
        first = threads.of(NAME)[0]
        clock.now_s += 10
        await first.join()
        watchdog.beat()
        assert threads.alive() == (NAME,)
        assert threads.of(NAME)[0] is not first
        watchdog.beat()
        assert await threads.stop() == ()

    with structlog.testing.capture_logs() as logs:
        asyncio.run(play())
    events = [line["event"] for line in logs]
    assert events.count("the watchdog died and is started again") == 1


def test_it_sees_a_real_event_loop_that_is_blocked() -> None:
    """From a thread of its own, which ends when it is told to."""
    seen = threading.Event()

    async def play() -> None:
        threads = Threads()
        watchdog = Watchdog(hung_s=0.05, while_hung=lambda _age_s: seen.set())
        watchdog.start(threads)
        assert threads.alive() == (NAME,)
        seen.wait()  # blocks the loop until the watchdog has seen that it is blocked
        assert await threads.stop() == ()
        assert watchdog.hangs == 1

    with structlog.testing.capture_logs() as logs:
        asyncio.run(play())
    assert "seen.wait()" in logs[0]["stacks"]["MainThread"]
