"""What every service has: loops that survive errors, tasks by name, a life with an end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog
from typing_extensions import override

from holdfast.runtime.fault import single
from holdfast.runtime.health import HEALTHY, Health
from holdfast.runtime.service import ERRORS_MAX, Group, LoopFailed, Ready, Service
from holdfast.runtime.threads import StopFlag, Threads
from tests.support.virtual import virtually


def nobody(is_ready: bool, reason: str) -> None:  # noqa: FBT001 a callback
    """What hears readiness where nobody cares."""


class Loops(Service):
    """A service whose `run` and `cleanup` are given."""

    name = "loops"
    group = Group.STATE

    def __init__(self, run: Callable[["Loops"], Awaitable[None]]) -> None:
        self._run = run
        self.cleaned = 0
        self.fault: Exception | None = None
        self.attach(lambda: asyncio.get_running_loop().time(), Threads())

    @override
    async def run(self, ready: Ready) -> None:
        ready()
        await self._run(self)

    @override
    async def cleanup(self) -> None:
        self.cleaned += 1
        if self.fault is not None:
            raise self.fault

    @override
    def health(self) -> Health:
        return HEALTHY


async def lived(
    service: Service, *, cancelled_after_s: float | None = None
) -> BaseException | None:
    """A life to its end; what it raised, without groups around it."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(service.live(Ready(nobody)))
    await asyncio.wait({task}, timeout=cancelled_after_s)
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if task.cancelled():
        return asyncio.CancelledError()
    error = task.exception()
    return single(error) if error is not None else None


def turns(*faults: BaseException | None) -> Callable[[], Awaitable[None]]:
    """A loop's turn that raises these, one after the other, and then nothing more."""
    left = list(faults)

    async def turn() -> None:
        fault = left.pop(0) if left else None
        if fault is not None:
            raise fault

    return turn


@pytest.mark.proves("BAS-3", "SET-1", "I-09", "PPR-1", "LOG-3")
def test_an_error_in_one_turn_is_logged_counted_and_paused_for() -> None:
    """A tenth of a second later the loop goes on, and five in a row have not come together."""
    four = [ValueError(f"turn {number}") for number in range(4)]
    stamps: list[float] = []

    async def run(service: Loops) -> None:
        turn = turns(*four, None, *four)

        async def timed() -> None:
            stamps.append(round(asyncio.get_running_loop().time(), 3))
            await turn()

        await service.periodic("Watch", timed, every_s=1.0)

    service = Loops(run)
    with structlog.testing.capture_logs() as logs:
        ended = virtually(lived(service, cancelled_after_s=3.0))
    assert isinstance(ended, asyncio.CancelledError)
    assert stamps == [0.0, 0.1, 0.2, 0.3, 0.4, 1.4, 1.5, 1.6, 1.7, 1.8, 2.8]
    assert service.errors == 8
    told = [(one["component"], one["error"], one["message"], one["in_a_row"]) for one in logs]
    assert told[:2] == [
        ("loops.Watch", "ValueError", "turn 0", 1),
        ("loops.Watch", "ValueError", "turn 1", 2),
    ]
    assert all("raise fault" in one["stack"] for one in logs)
    assert {one["log_level"] for one in logs} == {"error"}


@pytest.mark.proves("BAS-3", "I-117", "PPR-3", "PPR-5")
def test_five_errors_in_a_row_end_the_service_critically() -> None:
    """It gives up by raising, so that the supervisor takes over; nothing spins."""

    async def run(service: Loops) -> None:
        await service.periodic("Watch", turns(*[OSError("full")] * 99), every_s=1.0)

    service = Loops(run)
    with structlog.testing.capture_logs() as logs:
        ended = virtually(lived(service))
    assert isinstance(ended, LoopFailed)
    assert str(ended) == "Watch: 5 errors in a row, the last OSError: full"
    assert isinstance(ended.__cause__, OSError)
    assert [one["log_level"] for one in logs] == ["error"] * (ERRORS_MAX - 1) + ["critical"]
    assert logs[-1]["event"] == "a loop gives up"
    assert service.cleaned == 1


@pytest.mark.proves("PHB-2", "THR-1")
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_a_loop_swallows_no_interrupt(interrupt: type[BaseException]) -> None:
    """It ends the program, not one turn."""

    async def run(service: Loops) -> None:
        await service.periodic("Watch", turns(interrupt()), every_s=1.0)

    service = Loops(run)
    with pytest.raises(interrupt):
        virtually(lived(service))
    assert service.errors == 0


@pytest.mark.proves("BAS-2", "BAS-8", "PHB-3", "PPR-2", "B-17")
@pytest.mark.parametrize("every_s", [0.1, 30.0, 450.0])
def test_a_loop_ends_at_once_however_long_it_pauses(every_s: float) -> None:
    """Nobody waits for the end of its pause; and while it pauses it beats each second."""
    beats: list[float] = []

    class Counted(Loops):
        @override
        def beat(self) -> None:
            super().beat()
            beats.append(self._steady())

    async def run(service: Loops) -> None:
        await service.periodic("Watch", turns(), every_s=every_s)

    async def play() -> float:
        service = Counted(run)
        await lived(service, cancelled_after_s=10.05)
        assert service.heartbeat_s is not None
        assert 10.05 - service.heartbeat_s <= 1.0
        return asyncio.get_running_loop().time()

    assert virtually(play()) == 10.05
    assert len(beats) >= 10


@pytest.mark.proves("BAS-1", "SUP-2")
def test_tasks_have_names_and_end_with_the_service() -> None:
    """Its life is over when the last of them has ended, and they are told while they run."""
    names: list[tuple[str, ...]] = []

    async def short() -> None:
        await asyncio.sleep(1)

    async def long() -> None:
        await asyncio.sleep(1_000)

    async def run(service: Loops) -> None:
        service.task(short(), name="Short")
        service.task(long(), name="Long")
        names.append(tuple(task.get_name() for task in service.tasks))
        await asyncio.sleep(2)
        names.append(tuple(task.get_name() for task in service.tasks))

    async def play() -> None:
        service = Loops(run)
        assert isinstance(await lived(service, cancelled_after_s=5), asyncio.CancelledError)
        names.append(tuple(task.get_name() for task in service.tasks))
        assert not service.is_running()

    virtually(play())
    assert names == [("Short", "Long"), ("Long",), ()]


def test_the_failure_of_a_task_is_the_services() -> None:
    """Nothing dies unseen: the others are cancelled and the life ends with that error."""

    async def fails() -> None:
        await asyncio.sleep(1)
        raise OSError("reset")

    async def run(service: Loops) -> None:
        service.task(fails(), name="Fails")
        await service.periodic("Watch", turns(), every_s=1.0)

    service = Loops(run)
    ended = virtually(lived(service))
    assert isinstance(ended, OSError)
    assert service.cleaned == 1


@pytest.mark.proves("BAS-5", "B-02")
@pytest.mark.parametrize("how", ["cancelled", "raises", "returns"])
def test_what_is_held_is_given_back_whatever_happened(how: str) -> None:
    """Once, in every way a life can end; also when giving back raises."""

    async def run(service: Loops) -> None:
        match how:
            case "raises":
                raise OSError("broke")
            case "cancelled":
                await service.periodic("Watch", turns(), every_s=1.0)
            case _:
                return

    service = Loops(run)
    service.fault = ValueError("cannot give back")
    ended = virtually(lived(service, cancelled_after_s=3))
    assert service.cleaned == 1
    assert isinstance(ended, ValueError)
    assert not service.is_running()


@pytest.mark.proves("BAS-6", "B-02")
def test_its_life_can_be_waited_for_and_the_answer_says_whether_it_ended() -> None:
    """`join` and `is_running` before, during and after; cleaning up belongs to the life."""

    class Slow(Loops):
        @override
        async def cleanup(self) -> None:
            await asyncio.sleep(2)

    async def run(_service: Loops) -> None:
        await asyncio.sleep(1)

    async def play() -> None:
        service = Slow(run)
        assert (service.is_running(), await service.join(0.1)) == (False, True)
        async with asyncio.TaskGroup() as group:
            group.create_task(service.live(Ready(nobody)))
            await asyncio.sleep(0)
            assert (service.is_running(), await service.join(2.5)) == (True, False)
            assert (await service.join(0.6), service.is_running()) == (True, False)

    virtually(play())


@pytest.mark.proves("BAS-4", "THR-3")
def test_its_threads_are_told_joined_and_gone_before_it_gives_back() -> None:
    """Real ones: they run during the life, and `cleanup` finds none of them alive."""
    alive: list[tuple[str, ...]] = []

    class Threaded(Loops):
        @override
        async def cleanup(self) -> None:
            alive.append(self._threads.alive())

    def until_told(flag: StopFlag) -> None:
        while not flag.wait(60):
            pass

    async def run(service: Loops) -> None:
        service.thread("One", until_told)
        service.thread("Two", until_told)
        alive.append(tuple(thread.name for thread in service.threads if thread.is_alive))
        await asyncio.sleep(60)

    service = Threaded(run)
    ended = asyncio.run(lived(service, cancelled_after_s=0.05))
    assert isinstance(ended, asyncio.CancelledError)
    assert alive == [("One", "Two"), ()]
    assert service.lost_thread is None, "they were told to end"


@pytest.mark.proves("I-14")
def test_a_thread_that_ended_by_itself_is_missed() -> None:
    """Returned or raised: it was needed as long as the service lives."""

    async def run(service: Loops) -> None:
        service.thread("Gone", lambda _flag: None)
        await service.threads[0].join()

    async def play() -> str | None:
        service = Loops(run)
        await service.run(Ready(nobody))
        return service.lost_thread

    assert asyncio.run(play()) == "Gone"


@pytest.mark.proves("SUP-11", "B-02")
def test_a_service_without_health_cannot_be_made() -> None:
    """Absent is not healthy: there is no such service."""

    class Silent(Service):
        name = "silent"
        group = Group.STATE

        @override
        async def run(self, ready: Ready) -> None:
            ready()

    with pytest.raises(TypeError, match="health"):
        Silent()  # type: ignore[abstract]
