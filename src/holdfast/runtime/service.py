"""A service: one part of the program that is started, says when it is ready, and is cancelled.

What it does is `run`; everything else here is what the supervisor needs to tell the truth about
it: its tasks by name, its threads, its heartbeat, its health.
"""

import abc
import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from enum import StrEnum
from typing import Any, Final

import structlog

from holdfast.runtime.fault import Fault
from holdfast.runtime.health import Health
from holdfast.runtime.threads import JOIN_S, OwnThread, Target, Threads

_log = structlog.get_logger("service")

BEAT_S: Final = 1.0
"""The longest time that a periodic loop waits without a heartbeat."""

ERRORS_MAX: Final = 5
"""So many errors in a row end a periodic loop, and with it the service."""


class Group(StrEnum):
    """What stops together, in this order. `SIDE` stops with the first and is never waited for."""

    ORDER = "order"
    PRICE = "price"
    STATE = "state"
    SIDE = "side"

    @property
    def is_core(self) -> bool:
        """Whether its services are part of the chain that trades."""
        return self is not Group.SIDE


class LoopFailed(Exception):
    """A periodic loop gave up: too many errors in a row."""


class Ready:
    """What a service calls when it can do its work. `revoke` takes that back, calling renews it."""

    def __init__(self, tell: Callable[[bool, str], None]) -> None:
        """`tell` hears whether it is ready, and why not."""
        self._tell = tell

    def __call__(self) -> None:
        """I can do my work."""
        self._tell(True, "")  # noqa: FBT003 a callback

    def revoke(self, reason: str) -> None:
        """I run, and cannot do my work: entries stop, nothing is restarted."""
        self._tell(False, reason)  # noqa: FBT003 a callback


class Service(abc.ABC):
    """One part of the program. Cancelling `run` is how it stops; returning from it is a fault.

    `needs` names services that must be ready before this one starts, and with which it starts
    again. A critical one that cannot start ends the program. `ready_within_s` bounds its start,
    `silent_s` the time without a heartbeat. `loop_interval_s` is the pause of a periodic loop after an
    error. `start_failed_code` is what the process ends with when this one cannot start.
    """

    name: str
    needs: tuple[str, ...] = ()
    group: Group
    critical: bool = True
    ready_within_s: float = 10.0
    silent_s: float = 5.0
    loop_interval_s: float = 0.1
    start_failed_code: int = 70

    _steady: Callable[[], float]
    _threads: Threads
    _group: asyncio.TaskGroup | None = None
    _tasks: tuple[asyncio.Task[Any], ...] = ()
    _ended: asyncio.Event | None = None
    heartbeat_s: float | None = None
    errors: int = 0

    # -- what a service says

    @abc.abstractmethod
    async def run(self, ready: Ready) -> None:
        """Do the work until cancelled. It is over when `run` and every task of it have ended."""

    @abc.abstractmethod
    def health(self) -> Health:
        """Whether it can do its work, from memory and at once."""

    async def drain(self) -> None:  # noqa: B027 optional
        """Begin nothing new and end what is in flight. Called before anything is cancelled."""

    async def cleanup(self) -> None:  # noqa: B027 optional
        """Give back what is held. Called whatever happened; must do so however far `run` came."""

    # -- what it uses

    def beat(self) -> None:
        """Say that the work moves: from inside the loop that does it, on whatever thread."""
        self.heartbeat_s = self._steady()

    def task(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run `work` beside `run`, under a name. Its failure is the service's."""
        assert self._group is not None, f"{self.name} does not run"
        started = self._group.create_task(work, name=name)
        self._tasks = (*(one for one in self._tasks if not one.done()), started)

    def thread(self, name: str, target: Target, wake: Callable[[], None] = lambda: None) -> None:
        """Run `target` in a thread of this service, which must live as long as it does."""
        self._threads.start(name, target, owner=self.name, wake=wake)

    async def periodic(
        self, name: str, turn: Callable[[], Awaitable[None]], *, every_s: float
    ) -> None:
        """Call `turn` for ever, with `every_s` between. One error never ends it.

        An error is logged and counted and followed by a short pause; the fifth in a row raises
        `LoopFailed`. Interrupts and cancellation are no errors.
        """
        in_a_row = 0
        while True:
            try:
                await turn()
            except Exception as error:  # one of the places of tests/arch/test_source.py
                in_a_row += 1
                self._count(name, in_a_row, error)
                await asyncio.sleep(self.loop_interval_s)
            else:
                in_a_row = 0
                await self._wait_beating(every_s)

    def _count(self, name: str, in_a_row: int, error: Exception) -> None:
        """Tell of an error of a loop. Raises `LoopFailed` at the last one allowed."""
        self.errors += 1
        fault = Fault.of(error)
        gives_up = in_a_row >= ERRORS_MAX
        log = _log.critical if gives_up else _log.error
        what = "a loop gives up" if gives_up else "a loop failed in one turn"
        log(what, component=f"{self.name}.{name}", in_a_row=in_a_row, **fault.fields)
        if gives_up:
            raise LoopFailed(
                f"{name}: {in_a_row} errors in a row, the last {fault.text}"
            ) from error

    async def _wait_beating(self, seconds: float) -> None:
        """A loop that waits for its next turn is alive, and says so."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + seconds
        self.beat()
        while (left_s := until_s - loop.time()) > 0:
            await asyncio.sleep(min(left_s, BEAT_S))
            self.beat()

    async def stay(self) -> None:
        """Be alive, with nothing to do but to answer for what was loaded, until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(BEAT_S)

    # -- what the supervisor does with it

    def attach(self, steady: Callable[[], float], threads: Threads) -> None:
        """Belong to a supervisor: its clock, and its register of threads."""
        self._steady, self._threads = steady, threads

    async def live(self, ready: Ready) -> None:
        """One life: `run` and its tasks to their end, then the threads', then `cleanup`."""
        self._ended = asyncio.Event()
        try:
            try:
                async with asyncio.TaskGroup() as self._group:
                    await self.run(ready)
            finally:
                await self._give_back()
        finally:
            self._ended.set()

    async def _give_back(self) -> None:
        try:
            await self._threads.stop(self.name, within_s=JOIN_S)
        finally:
            await self.cleanup()

    @property
    def tasks(self) -> tuple[asyncio.Task[Any], ...]:
        """Its tasks that run, in the order in which they were started."""
        return tuple(one for one in self._tasks if not one.done())

    @property
    def threads(self) -> tuple[OwnThread, ...]:
        """Its threads, those that have ended too."""
        return self._threads.of(self.name)

    def is_running(self) -> bool:
        """Whether a life of it has begun and not ended: its cleaning up belongs to it."""
        return self._ended is not None and not self._ended.is_set()

    async def join(self, timeout: float) -> bool:  # noqa: ASYNC109 the answer is a value
        """Wait for the end of its life, `timeout` seconds at most; returns whether it came."""
        if self._ended is not None and not self._ended.is_set():
            try:
                async with asyncio.timeout(timeout):
                    await self._ended.wait()
            except TimeoutError:
                return False
        return True

    @property
    def lost_thread(self) -> str | None:
        """The name of a thread of it that ended without having been told to."""
        return self._threads.lost(self.name)
