"""The supervisor: runs services as the tree decides, and tells the truth about them.

Everything that happens to a service (its word, its end, what the regular look at it finds) is put
in one queue; one task takes from it, asks the tree, and does what it answers. So no two decisions
are ever under way at once, and each is logged and handed to `record` in the order in which it was
taken.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import msgspec
import structlog

from holdfast.domain.errors import HoldfastError
from holdfast.domain.event import ServiceChanged, ServiceState
from holdfast.ports import Clock
from holdfast.runtime.fault import Fault, single
from holdfast.runtime.health import Health, ServiceStatus, unhealthy
from holdfast.runtime.service import Group, Ready, Service
from holdfast.runtime.stacks import task_stacks
from holdfast.runtime.threads import Threads
from holdfast.runtime.tree import (
    RUNNING,
    Begin,
    Cancel,
    Change,
    Ended,
    Failed,
    Failure,
    Input,
    Passed,
    Plan,
    Policy,
    Run,
    Told,
    Tree,
    Unwanted,
)

_log = structlog.get_logger("supervisor")

LOOK_S: Final = 0.25
"""How often every service is looked at."""

STALLED_S: Final = 1.0
"""When a look comes so late, the event loop itself was blocked: nobody could have moved."""

Record = Callable[[ServiceChanged], None]
"""Hears every decision, in order: what journals it."""

Interrupted = Callable[[BaseException], None]
"""Hears of an interrupt that was raised inside a service: the program should end, in order."""

_LEVELS: Final = {
    ServiceState.RESTARTING: "warning",
    ServiceState.UNREADY: "warning",
    ServiceState.PARKED: "critical",
}
"""How loudly a change is logged. Others are `info`, or `error` when a fault caused them."""


class StartFailed(Exception):
    """A critical service could not be started. What was started has been stopped again."""

    def __init__(self, failure: Failure, cause: Exception | None, *, exit_code: int) -> None:
        """`cause` is what ended its last life, without groups around it; `None` for no exception.

        `exit_code` is what the process ends with, unless the cause has a code of its own.
        """
        super().__init__(f"{failure.name} could not be started: {failure.fault.text}")
        self.service = failure.name
        self.fault = failure.fault
        self.cause = single(cause) if cause is not None else None
        self.exit_code = (
            self.cause.exit_code if isinstance(self.cause, HoldfastError) else exit_code
        )


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of some work that was waited for: a value, or a fault."""

    value: Any = None
    fault: Fault | None = None


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """How services ended: who did not in time, and what those that did raised on the way."""

    left: tuple[str, ...] = ()
    faults: Mapping[str, Fault] = {}


class _Life:
    """One life of a service: its task, and what was said in it. Times are the event loop's."""

    def __init__(self, service: Service, number: int) -> None:
        self.service = service
        self.number = number
        self.task: asyncio.Task[None] | None = None
        self.is_cancelled = self.has_returned = False
        self.is_ready = False
        self.said = ""
        self.told = (False, "")
        self.ready_s: float | None = None
        self.error: Exception | None = None

    @property
    def is_alive(self) -> bool:
        return self.task is not None and not self.task.done()

    @property
    def fault(self) -> Fault | None:
        """What ended it; `None` when it was cancelled, or returned."""
        if self.error is not None:
            return Fault.of(self.error)
        if self.has_returned or self.is_cancelled:
            return None
        return Fault(kind="CancelledError", message="a cancellation that nobody asked for")


class Supervisor:
    """The services of one program. Its tasks live in the group that it is given."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        group: asyncio.TaskGroup,
        threads: Threads,
        clock: Clock,
        record: Record,
        policy: Policy | None = None,
    ) -> None:
        """`clock` stamps what is recorded. Raises BadTree when the services do not fit together."""
        self._tree = Tree([plan_of(service) for service in services], policy)
        named = {service.name: service for service in services}
        self._services = {name: named[name] for name in self._tree.nodes}
        self._loop = asyncio.get_running_loop()
        self._group = group
        self._clock = clock
        self._record = record
        self.interrupted: Interrupted | None = None
        for service in services:
            service.attach(self._loop.time, threads)
        self._lives: dict[str, _Life] = {}
        self._told: deque[Input] = deque()
        self._due = asyncio.Event()
        self._stepped = asyncio.Event()
        self._work: tuple[asyncio.Task[Answer], ...] = ()
        self._watching: asyncio.Task[None] | None = None
        self._resumed_s = self._loop.time()

    # -- starting and stopping

    async def start(self) -> None:
        """Start everything in order; returns when every critical service is ready.

        A second call waits for the same end. Raises StartFailed, and then nothing runs any more;
        returns as well when everything was stopped meanwhile.
        """
        if self._watching is None:
            self._watching = self._group.create_task(self._watch(), name="supervisor")
            self._watching.add_done_callback(lambda _task: self._stepped.set())
            self._tell(Begin())
        await self._until(lambda: self._tree.is_up or self._tree.is_over)
        failure = self._tree.failure
        if failure is not None:
            life = self._lives.get(failure.name)
            error = life.error if life is not None else None
            raise StartFailed(
                failure, error, exit_code=self._services[failure.name].start_failed_code
            )

    async def stop(self, *groups: Group, within_s: float) -> Stopped:
        """Stop the services of some groups, in reverse.

        Each has its share of the time, so that one that hangs takes nothing from those that end
        after it. Calling it again changes nothing.
        """
        names = tuple(name for name, one in self._services.items() if one.group in groups)
        until_s = self._loop.time() + within_s
        if self._watching is not None:
            self._tell(Unwanted(names=names, until_s=until_s))
            await self._until(lambda: self._tree.has_ended(names), until_s=until_s)
        lives = [self._lives[name] for name in names if name in self._lives]
        await self._wait_unwatched(lives, until_s)
        return Stopped(
            left=tuple(life.service.name for life in lives if life.is_alive),
            faults={
                life.service.name: Fault.of(life.error)
                for life in lives
                if life.is_cancelled and life.error is not None
            },
        )

    async def _wait_unwatched(self, lives: Sequence[_Life], until_s: float) -> None:
        """Where the watch itself was ended, everything has been cancelled at once."""
        tasks = [life.task for life in lives if life.task is not None and life.is_alive]
        if tasks and self._watching is not None and self._watching.done():
            await asyncio.wait(tasks, timeout=max(until_s - self._loop.time(), 0.0))

    async def close(self) -> None:
        """Watch no longer. For when everything has ended."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})

    async def drain(self, *, within_s: float) -> Mapping[str, Fault]:
        """Have every running core service end what is in flight; returns what failed, by service.

        Each is asked, in the order of starting, before any is waited for.
        """
        asked = {
            name: self._begin(service.drain(), name=f"drain {name}")
            for name, service in self._services.items()
            if service.group.is_core and self._tree.nodes[name].state in RUNNING
        }
        answers = await self._answers(asked, within_s)
        return {name: one.fault for name, one in answers.items() if one.fault is not None}

    async def attempt(
        self, name: str, work: Coroutine[Any, Any, Any], *, within_s: float
    ) -> Answer:
        """Do some work beside the services, for `within_s` at most. It never raises."""
        answers = await self._answers({name: self._begin(work, name=name)}, within_s)
        return answers[name]

    def _begin(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Answer]:
        # Not in the group: what ends the program must be possible where the group is being ended.
        # Nothing is unseen by that, because its failure is its answer.
        task = self._loop.create_task(_answer(work), name=name)
        self._work = (*(one for one in self._work if not one.done()), task)
        return task

    async def _answers(
        self, asked: Mapping[str, asyncio.Task[Answer]], within_s: float
    ) -> dict[str, Answer]:
        """What each answered. Those that did not in time are cancelled, and not waited for."""
        if asked:
            await asyncio.wait(asked.values(), timeout=max(within_s, 0.0))
        return {name: _result(task, within_s) for name, task in asked.items()}

    # -- what is told

    def status(self) -> tuple[ServiceStatus, ...]:
        """Every service as it is now, in the order of starting."""
        return tuple(self._status(name) for name in self._services)

    def progress(self) -> dict[str, float]:
        """The last heartbeat of each core service that should move, by name."""
        return {
            name: self._moved_s(life)
            for name, life in self._lives.items()
            if life.service.group.is_core and life.is_alive and self._is_watched(name)
        }

    def active_tasks(self) -> tuple[str, ...]:
        """The names of the tasks that run for services, and of work that was begun for them."""
        lives = [life for life in self._lives.values() if life.is_alive]
        tasks = (task for life in lives for task in life.service.tasks)
        own = (life.service.name for life in lives)
        work = (task for task in self._work if not task.done())
        return (*own, *(task.get_name() for task in (*tasks, *work)))

    def _status(self, name: str) -> ServiceStatus:
        node, service, life = self._tree.nodes[name], self._services[name], self._lives.get(name)
        beat_s, now_s = service.heartbeat_s, self._loop.time()
        is_running = life is not None and life.is_alive and not self._is_silent(life)
        return ServiceStatus(
            name=name,
            group=service.group.value,
            needs=tuple(service.needs),
            critical=service.critical,
            state=node.state,
            running=is_running,
            ready=is_running and node.state is ServiceState.READY,
            reason=node.reason,
            restarts=node.restarts,
            errors=service.errors,
            heartbeat_age_ms=None if beat_s is None else max(round((now_s - beat_s) * 1_000), 0),
            last_error=node.fault.text if node.fault is not None else "",
            tasks=tuple(task.get_name() for task in service.tasks),
            threads=tuple(thread.name for thread in service.threads if thread.is_alive),
        )

    # -- the one task that decides

    def _tell(self, told: Input) -> None:
        self._told.append(told)
        self._due.set()

    async def _watch(self) -> None:
        look_s = self._loop.time() + LOOK_S
        while True:
            while self._told:
                self._apply(self._told.popleft())
            self._stepped.set()
            self._due.clear()
            await self._wait_due(look_s)
            now_s = self._loop.time()
            late_s = max(now_s - look_s, 0.0)
            if late_s > STALLED_S:
                _log.error("the event loop was blocked", component="supervisor", seconds=late_s)
                self._resumed_s = now_s
            if now_s >= look_s:
                self._look()
                look_s = now_s + LOOK_S
            self._apply(Passed(stalled_s=late_s if late_s > STALLED_S else 0.0))

    async def _wait_due(self, look_s: float) -> None:
        """Until something was told, something is due, or it is time to look."""
        due_s = self._tree.due_s
        try:
            async with asyncio.timeout_at(look_s if due_s is None else min(look_s, due_s)):
                await self._due.wait()
        except TimeoutError:
            pass

    async def _until(self, holds: Callable[[], bool], *, until_s: float | None = None) -> None:
        """Until `holds` once everything told was decided on, the time is over, or nobody decides."""
        assert self._watching is not None, "somebody decides"
        try:
            async with asyncio.timeout_at(until_s):
                while not self._watching.done() and (self._told or not holds()):
                    self._stepped.clear()
                    await self._stepped.wait()
        except TimeoutError:
            pass

    def _apply(self, told: Input) -> None:
        """One decision: recorded first, then done."""
        turn = self._tree.step(told, self._loop.time())
        for change in turn.changes:
            self._note(change)
        for action in turn.actions:
            match action:
                case Run():
                    self._run(action)
                case Cancel():
                    self._cancel(action)

    def _note(self, change: Change) -> None:
        self._record(
            ServiceChanged(
                at_ns=self._clock.now_ns(),
                service=change.name,
                state=change.state,
                is_core=change.is_core,
                reason=change.reason,
                restarts=change.restarts,
            )
        )
        fault = change.fault
        level = _LEVELS.get(change.state, "info" if fault is None else "error")
        getattr(_log, level)(
            f"service {change.state}",
            component=change.name,
            reason=change.reason,
            restarts=change.restarts,
            **(fault.fields if fault is not None else {}),
        )

    def _run(self, action: Run) -> None:
        life = _Life(self._services[action.name], action.life)
        self._lives[action.name] = life
        life.task = self._group.create_task(self._live(life), name=action.name)
        # Not at the end of the coroutine: one that is cancelled before its first step never runs.
        life.task.add_done_callback(lambda _task: self._on_end(life))

    def _cancel(self, action: Cancel) -> None:
        life = self._lives[action.name]
        assert life.number == action.life, "there is one life at a time"
        assert life.task is not None, "a life is its task"
        life.is_cancelled = True
        life.task.cancel()

    async def _live(self, life: _Life) -> None:
        """A life to its end, whatever that is. An interrupt is nobody's fault and ends them all."""
        caught: list[Exception] = []
        try:
            with _catching(caught):
                await life.service.live(Ready(partial(self._hear, life)))
                life.has_returned = True
        except (KeyboardInterrupt, SystemExit) as interrupt:
            if self.interrupted is None:
                raise
            self.interrupted(interrupt)
        finally:
            life.error = caught[0] if caught else None

    def _on_end(self, life: _Life) -> None:
        self._tell(Ended(name=life.service.name, life=life.number, fault=life.fault))

    def _hear(self, life: _Life, is_ready: bool, reason: str) -> None:  # noqa: FBT001 a callback
        life.is_ready, life.said = is_ready, reason
        if is_ready:
            life.ready_s = self._loop.time()
        self._weigh(life)

    def _weigh(self, life: _Life) -> None:
        """Ready is what says so and is healthy. Only a change is told."""
        health = _health(life.service)
        is_ready = life.is_ready and health.is_healthy
        told = (is_ready, "" if is_ready else life.said or health.reason)
        if told != life.told:
            life.told = told
            name, number = life.service.name, life.number
            self._tell(Told(name=name, life=number, is_ready=is_ready, reason=told[1]))

    # -- the regular look

    def _look(self) -> None:
        for name, life in self._lives.items():
            if not life.is_alive or life.is_cancelled:
                continue
            fault = self._fault(life) if self._is_watched(name) else None
            if fault is None:
                self._weigh(life)
            else:
                self._tell(Failed(name=name, life=life.number, fault=fault))

    def _is_watched(self, name: str) -> bool:
        """Whether it must move: it was ready in this life, and nobody has told it to end."""
        state = self._tree.nodes[name].state
        return state in {ServiceState.READY, ServiceState.UNREADY} and (
            self._lives[name].ready_s is not None
        )

    def _fault(self, life: _Life) -> Fault | None:
        lost = life.service.lost_thread
        if lost is not None:
            return Fault(kind="ThreadLost", message=f"the thread {lost} ended")
        if not self._is_silent(life):
            return None
        age_s = self._loop.time() - self._moved_s(life)
        stacks = task_stacks([*([life.task] if life.task else []), *life.service.tasks])
        return Fault(
            kind="NoProgress",
            message=f"no heartbeat for {age_s:.1f} s",
            stack="".join(f"{name}:\n{stack}" for name, stack in stacks.items()),
        )

    def _is_silent(self, life: _Life) -> bool:
        is_watched = self._is_watched(life.service.name)
        silent_s = self._loop.time() - self._moved_s(life)
        return is_watched and silent_s > life.service.silent_s

    def _moved_s(self, life: _Life) -> float:
        """When it last moved, or could not have because the event loop was blocked."""
        times = (life.service.heartbeat_s, life.ready_s, self._resumed_s)
        return max(at_s for at_s in times if at_s is not None)


def plan_of(service: Service) -> Plan:
    """What the tree is told of a service."""
    return Plan(
        name=service.name,
        needs=tuple(service.needs),
        group=service.group,
        is_critical=service.critical,
        ready_within_s=service.ready_within_s,
    )


def _health(service: Service) -> Health:
    """What it says of itself; one that cannot even say is not healthy."""
    caught: list[Exception] = []
    health = unhealthy("")
    with _catching(caught):
        health = service.health()
    return unhealthy(f"health: {Fault.of(caught[0]).text}") if caught else health


async def _answer(work: Coroutine[Any, Any, Any]) -> Answer:
    caught: list[Exception] = []
    value = None
    with _catching(caught):
        value = await work
    return Answer(value=value, fault=Fault.of(caught[0]) if caught else None)


def _result(task: asyncio.Task[Answer], within_s: float) -> Answer:
    if task.done() and not task.cancelled():
        return task.result()
    task.cancel()
    return Answer(fault=Fault(kind="TimeoutError", message=f"not done within {within_s:.2f} s"))


@contextmanager
def _catching(caught: list[Exception]) -> Iterator[None]:
    """The one place here that catches `Exception`: a service's fault is answered, not passed on."""
    try:
        yield
    except Exception as error:  # one of the places of tests/arch/test_source.py
        caught.append(error)
