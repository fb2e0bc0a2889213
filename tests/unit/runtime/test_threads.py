"""The register of threads: a name, an owner, an end, and the truth about who is alive."""

import asyncio
import threading

import pytest
import structlog
from typing_extensions import override

from holdfast.runtime.threads import StopFlag, Target, Threads


def until_told(flag: StopFlag) -> None:
    """The ordinary thread."""
    while not flag.wait(60):
        pass


def stuck_until(let_go: threading.Event) -> Target:
    """One that does not look at its flag."""

    def stuck(_flag: StopFlag) -> None:
        let_go.wait()

    return stuck


@pytest.mark.proves("BAS-1", "BAS-2", "BAS-4", "BAS-7")
def test_threads_are_named_owned_no_daemons_and_end_when_told() -> None:
    """All are told before any is waited for; only the owner's are."""

    async def play() -> None:
        threads = Threads()
        for name, owner in (("JournalWriter", "store"), ("TapeWriter", "recorder"), ("X", "store")):
            threads.start(name, until_told, owner=owner)
        assert threads.alive() == ("JournalWriter", "TapeWriter", "X")
        assert [thread.name for thread in threads.of("store")] == ["JournalWriter", "X"]
        named = {one.name: one for one in threading.enumerate()}
        assert not any(named[name].daemon for name in threads.alive())
        assert await threads.stop("store") == ()
        assert threads.alive() == ("TapeWriter",)
        assert await threads.stop() == ()
        assert threads.alive() == ()

    asyncio.run(play())


def test_all_are_told_before_any_is_waited_for() -> None:
    """One that ends after another does not wait in vain for its being told."""
    second_ended = threading.Event()

    def first(flag: StopFlag) -> None:
        until_told(flag)
        second_ended.wait()

    def second(flag: StopFlag) -> None:
        until_told(flag)
        second_ended.set()

    async def play() -> tuple[str, ...]:
        threads = Threads()
        threads.start("First", first, owner="store")
        threads.start("Second", second, owner="store")
        stay = await threads.stop(within_s=2)
        second_ended.set()
        return stay

    assert asyncio.run(play()) == ()


@pytest.mark.proves("BAS-4", "BAS-6", "B-21", "VER-2")
def test_one_that_stays_is_named_and_kept_until_it_has_ended() -> None:
    """Waiting for it is bounded, the loop goes on meanwhile, and it is not forgotten."""
    let_go = threading.Event()

    async def play() -> None:
        threads = Threads()
        threads.start("Stuck", stuck_until(let_go), owner="store")
        threads.start("Fine", until_told, owner="store")
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            counting = group.create_task(count())
            assert await threads.stop("store", within_s=0.2) == ("Stuck",)
            counting.cancel()
        assert turns > 10
        assert threads.alive() == ("Stuck",)
        let_go.set()
        assert await threads.stop("store", within_s=5) == ()

    with structlog.testing.capture_logs() as logs:
        asyncio.run(play())
    assert [(one["event"], one["component"]) for one in logs] == [
        ("a thread did not end in time", "Stuck")
    ]


def test_a_name_is_alive_once() -> None:
    """Two of one name would be one too many; after its end the name is free."""

    async def play() -> None:
        threads = Threads()
        threads.start("Writer", until_told, owner="store")
        with pytest.raises(RuntimeError, match="a thread Writer is still alive"):
            threads.start("Writer", until_told, owner="other")
        await threads.stop()
        threads.start("Writer", until_told, owner="other")
        assert [thread.owner for thread in threads.of()] == ["other"]
        await threads.stop()

    asyncio.run(play())


@pytest.mark.proves("THR-3")
def test_a_thread_that_cannot_be_started_is_not_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system has none left: the error is the starter's, and nothing counts as alive."""

    def none_left(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads = Threads()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none_left)
        with pytest.raises(RuntimeError, match="can't start"):
            threads.start("Writer", until_told, owner="store")
    assert threads.of() == ()


@pytest.mark.proves("LOG-1", "THR-1")
def test_what_a_thread_raises_is_kept_and_told() -> None:
    """With its class, message and stack, under its name."""

    def breaks(_flag: StopFlag) -> None:
        raise OSError("no space left")

    async def play() -> Exception | None:
        threads = Threads()
        thread = threads.start("Writer", breaks, owner="store")
        assert await thread.join(5)
        assert not thread.was_told
        return thread.error

    with structlog.testing.capture_logs() as logs:
        assert isinstance(asyncio.run(play()), OSError)
    assert [(one["component"], one["error"], one["message"]) for one in logs] == [
        ("Writer", "OSError", "no space left")
    ]
    assert "in breaks" in logs[0]["stack"]


def test_a_thread_that_waits_for_something_else_is_woken() -> None:
    """A writer sleeps on its condition, not on the flag."""
    condition = threading.Condition()

    def wake() -> None:
        with condition:
            condition.notify_all()

    def sleeps(flag: StopFlag) -> None:
        with condition:
            condition.wait_for(lambda: flag.is_set)

    async def play() -> tuple[str, ...]:
        threads = Threads()
        threads.start("Writer", sleeps, owner="store", wake=wake)
        return await threads.stop(within_s=5)

    assert asyncio.run(play()) == ()


@pytest.mark.proves("BAS-8")
def test_a_pause_is_over_when_it_is_told_to_end_and_says_so() -> None:
    """Otherwise it lasts as long as it should, in slices of a tenth of a second."""
    flag = StopFlag()
    pauses: list[float] = []

    class Event(threading.Event):
        @override
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(round(timeout or 0.0, 6))
            return len(pauses) >= 5

    flag._event = Event()  # noqa: SLF001 a pause that takes no time
    assert not flag.wait(0.25)
    assert pauses == [0.1, 0.1, 0.05]
    assert flag.wait(60)
    assert len(pauses) == 5


def test_blocking_work_is_done_beside_the_loop_and_answers_or_raises() -> None:
    """The value, or the very exception; and the thread is gone then."""

    def refuses() -> int:
        raise LookupError("nothing there")

    async def play() -> None:
        threads = Threads()
        ident = threading.get_ident()
        assert await threads.call("Ask", threading.get_ident, owner="x") != ident
        with pytest.raises(LookupError, match="nothing there"):
            await threads.call("Ask", refuses, owner="x")
        assert threads.alive() == ()

    asyncio.run(play())


@pytest.mark.proves("I-14")
def test_an_errands_thread_is_not_a_lost_one() -> None:
    """It ends by itself when it has done its work; one that should live and ended is lost."""

    async def play() -> None:
        threads = Threads()
        assert await threads.call("JournalCheck", lambda: 7, owner="store") == 7
        assert [thread.name for thread in threads.of("store")] == ["JournalCheck"]
        assert threads.lost("store") is None
        told = threads.start("Told", until_told, owner="store")
        assert threads.lost("store") is None
        await threads.stop("store")
        assert threads.lost("store") is None
        assert not told.is_alive
        await threads.start("Gone", lambda _flag: None, owner="store").join()
        assert threads.lost("store") == "Gone"
        assert threads.lost("recorder") is None

    asyncio.run(play())


def test_an_ended_thread_may_be_joined_again_and_by_a_loop_that_was_closed() -> None:
    """Nobody who waited and went away is in the way of its end."""
    let_go = threading.Event()
    threads = Threads()

    async def gives_up() -> bool:
        thread = threads.start("Slow", stuck_until(let_go), owner="x")
        return await thread.join(0.01)

    assert not asyncio.run(gives_up())
    let_go.set()
    thread = threads.of()[0]
    assert asyncio.run(thread.join(5))
    assert asyncio.run(thread.join(0))
    assert thread.error is None
