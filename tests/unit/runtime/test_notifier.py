"""The notifier: people are told beside the trading, whatever their channel does."""

import asyncio
import threading

import pytest
import structlog

from holdfast.domain.command import Notify, Severity
from holdfast.runtime import notifier as module
from holdfast.runtime.health import HEALTHY, ServiceStatus
from holdfast.runtime.notifier import Notifier, is_urgent
from holdfast.runtime.service import Group
from holdfast.runtime.supervisor import Supervisor
from holdfast.runtime.threads import Threads
from tests.support.chain import living, until
from tests.support.services import Toy
from tests.support.virtual import NoWallClock


def message(number: int, severity: Severity = Severity.ALARM) -> Notify:
    """Something to tell."""
    return Notify(severity=severity, text=f"message {number}")


@pytest.mark.proves("PPR-4", "BAS-7")
def test_messages_are_told_in_order_by_a_thread_of_its_own() -> None:
    """Those that came before it ran too; the channel never runs in the event loop."""
    told: list[tuple[str, str]] = []

    def channel(notify: Notify) -> None:
        told.append((threading.current_thread().name, notify.text))

    async def story() -> None:
        notifier = Notifier(channel)
        notifier.put(message(0))
        async with living(notifier) as said:
            assert said == [(True, "")]
            for number in range(1, 50):
                notifier.put(message(number))
            await until(lambda: notifier.told == 50, every_s=0.001)
            assert [thread.name for thread in notifier.threads] == ["Notifier"]
        assert not [thread for thread in notifier.threads if thread.is_alive]

    asyncio.run(story())
    assert told == [("Notifier", f"message {number}") for number in range(50)]


def test_a_slow_channel_holds_nobody_up_and_a_full_queue_counts_what_it_drops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Putting returns at once however many wait; what found no room is counted and shown."""
    monkeypatch.setattr(module, "ROOM", 10)
    let_go, busy = threading.Event(), threading.Event()

    def channel(_notify: Notify) -> None:
        busy.set()
        let_go.wait()

    async def story() -> None:
        notifier = Notifier(channel)
        async with living(notifier):
            notifier.put(message(0))
            await until(busy.is_set, every_s=0.001)
            for number in range(1, 1_001):
                notifier.put(message(number))
            assert (notifier.told, notifier.lost) == (0, 990)
            assert notifier.health().reason == "990 messages lost"
            let_go.set()
            await until(lambda: notifier.told == 11, every_s=0.001)

    asyncio.run(story())


def test_a_full_queue_does_not_keep_it_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told to end while there is no room even for the word that wakes it."""
    monkeypatch.setattr(module, "ROOM", 1)
    let_go, busy = threading.Event(), threading.Event()
    told: list[str] = []

    def channel(notify: Notify) -> None:
        busy.set()
        let_go.wait()
        told.append(notify.text)

    async def story() -> None:
        notifier = Notifier(channel)
        async with living(notifier):
            notifier.put(message(0))
            await until(busy.is_set, every_s=0.001)
            notifier.put(message(1))
            asyncio.get_running_loop().call_later(0.05, let_go.set)
        assert not [thread for thread in notifier.threads if thread.is_alive]

    asyncio.run(story())
    assert told == ["message 0"], "what waits then is in the log; nobody waits for people"


@pytest.mark.proves("LOG-1")
def test_a_channel_that_fails_loses_one_message_and_keeps_its_thread() -> None:
    """It is logged with its text, counted, and the next one is told: all is well again then."""
    told: list[str] = []

    def channel(notify: Notify) -> None:
        if notify.text == "message 1":
            raise TimeoutError("nobody answers")
        told.append(notify.text)

    async def story() -> None:
        notifier = Notifier(channel)
        healthy = [notifier.health() == HEALTHY]
        async with living(notifier):
            for number in range(2):
                notifier.put(message(number))
            await until(lambda: notifier.lost == 1, every_s=0.001)
            healthy.append(notifier.health() == HEALTHY)
            notifier.put(message(2))
            await until(lambda: notifier.told == 2, every_s=0.001)
            healthy.append(notifier.health() == HEALTHY)
            assert (notifier.lost, healthy) == (1, [True, False, True])

    with structlog.testing.capture_logs() as logs:
        asyncio.run(story())
    assert told == ["message 0", "message 2"]
    [line] = [line for line in logs if line["event"] == "not told"]
    assert (line["component"], line["error"], line["text"]) == (
        "notifier",
        "nobody answers",
        "message 1",
    )


@pytest.mark.proves("I-14", "SUP-14")
def test_a_channel_with_a_bug_costs_the_notifier_a_life_and_nobody_else_anything() -> None:
    """Its thread is found dead, the service starts again with a new one, the core never hears of it."""
    told: list[str] = []

    def channel(notify: Notify) -> None:
        if notify.text == "message 0":
            raise ZeroDivisionError("a bug")
        told.append(notify.text)

    async def story() -> None:
        notifier, store = Notifier(channel), Toy("store")
        async with asyncio.TaskGroup() as group:
            supervisor = Supervisor(
                [store, notifier],
                group=group,
                threads=Threads(),
                clock=NoWallClock(),
                record=lambda _change: None,
            )
            await supervisor.start()
            notifier.put(message(0))
            await until(lambda: status(supervisor).restarts == 1)
            notifier.put(message(1))
            await until(lambda: told == ["message 1"])
            assert status(supervisor).last_error == "ThreadLost: the thread Notifier ended"
            assert store.lives == 1
            await supervisor.stop(*Group, within_s=5.0)
            await supervisor.close()

    with structlog.testing.capture_logs():
        asyncio.run(story())


def status(supervisor: Supervisor) -> ServiceStatus:
    """The notifier as the supervisor sees it."""
    return next(one for one in supervisor.status() if one.name == "notifier")


def test_only_an_alarm_is_urgent() -> None:
    """What people are woken for."""
    urgent = [severity for severity in Severity if is_urgent(message(1, severity))]
    assert urgent == [Severity.ALARM]
