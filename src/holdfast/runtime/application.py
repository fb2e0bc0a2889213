"""One program: its services, from the first start to the last record, and every way to its end.

Whatever ends it (a signal, the day, a start that failed, the interpreter) takes the same path. It
owns what belongs to the process: the event loop, the watchdog, the exit hook.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import structlog

from holdfast.ports import Clock
from holdfast.runtime.fault import Fault
from holdfast.runtime.health import ServiceStatus
from holdfast.runtime.process import ExitHook, leave
from holdfast.runtime.service import Service
from holdfast.runtime.shutdown import FinalState, Shutdown, StopLimits, StopReport
from holdfast.runtime.signals import Signals, Stacks
from holdfast.runtime.stacks import task_stacks, thread_stacks
from holdfast.runtime.supervisor import Record, StartFailed, Supervisor, plan_of
from holdfast.runtime.systemd import Systemd
from holdfast.runtime.threads import Threads
from holdfast.runtime.tree import Policy, ordered
from holdfast.runtime.watchdog import Watchdog

_log = structlog.get_logger("application")

BEAT_S: Final = 0.25
FORCED: Final = 1
INTERNAL: Final = 70


async def _at_once() -> None:
    """Nothing is waited for."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What an application is made of. `record` journals the supervisor's decisions.

    `known` returns when what the services look after is known well enough to work on, or is not for
    too long: whoever is told that the program is ready may rely on it.
    """

    services: Sequence[Service]
    final: FinalState
    clock: Clock
    record: Record
    threads: Threads
    policy: Policy = Policy()
    limits: StopLimits = StopLimits()
    known: Callable[[], Awaitable[None]] = _at_once


class Application:
    """Runs once. Building another one for the same account goes by `replaces`."""

    def __init__(
        self,
        parts: Callable[[], Parts],
        *,
        signals: Signals | None = None,
        systemd: Systemd | None = None,
        watchdog: Watchdog | None = None,
        replaces: "Application | None" = None,
    ) -> None:
        """`parts` are made inside the event loop, after `replaces` has stopped completely."""
        self._make = parts
        self._signals = signals
        self._systemd = systemd
        self._watchdog = watchdog
        self._replaces = replaces
        self._asked = asyncio.Event()
        self._is_up = asyncio.Event()
        self._why = ""
        self._exit_code = 0
        self._asked_s: float | None = None
        self._supervisor: Supervisor | None = None
        self._shutdown: Shutdown | None = None
        self._leave: Callable[[int], Any] | None = None
        self._serving: asyncio.Task[Any] | None = None
        self.failed: StartFailed | None = None

    # -- from outside

    def run(self) -> int:
        """Run to the end in an event loop of its own; returns the exit code.

        What does not end in time ends with the process, here, flushed, with the same code.
        """
        self._leave = leave
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(self.serve()).exit_code
        finally:
            self._stop_in(loop, "the event loop was left")
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def serve(self) -> StopReport:
        """Start, run until the end is asked for, stop; in the event loop that is running.

        Raises BadTree, before anything runs, when the services do not fit together.
        """
        assert self._supervisor is None, "an application runs once"
        if self._replaces is not None:
            await self._replaces.stop("another one takes over")
        self._serving = asyncio.current_task()
        parts = self._make()
        ordered([plan_of(service) for service in parts.services])
        loop = asyncio.get_running_loop()
        hook = ExitHook(partial(self._stop_in, loop, "the interpreter ends"))
        try:
            async with asyncio.TaskGroup() as group:
                return await self._serve(group, parts)
        finally:
            hook.cancel()
            if self._signals is not None:
                self._signals.detach()

    def ask_stop(self, why: str, *, exit_code: int = 0) -> None:
        """Ask for the end; the first one to ask says why. Called from the event loop."""
        if not self._asked.is_set():
            self._why, self._exit_code = why, exit_code
            self._asked.set()

    async def stop(self, why: str) -> StopReport | None:
        """Ask for the end and wait for it; `None` when it never began."""
        self.ask_stop(why)
        if self._shutdown is None:
            return None
        return await self._shutdown.run(why)

    async def wait_up(self) -> None:
        """Until every critical service is ready, or the end has begun."""
        await self._is_up.wait()

    @property
    def shutting_down(self) -> bool:
        """Whether the end was asked for."""
        return self._asked.is_set()

    def status(self) -> tuple[ServiceStatus, ...]:
        """Every service as it is now; none before the start."""
        return self._supervisor.status() if self._supervisor is not None else ()

    # -- its life

    async def _serve(self, group: asyncio.TaskGroup, parts: Parts) -> StopReport:
        supervisor = Supervisor(
            parts.services,
            group=group,
            threads=parts.threads,
            clock=parts.clock,
            record=parts.record,
            policy=parts.policy,
        )
        supervisor.interrupted = self._on_interrupt
        self._supervisor = supervisor
        self._shutdown = Shutdown(
            supervisor, parts.threads, parts.final, limits=parts.limits, hush=self._hush
        )
        self._listen()
        if self._watchdog is not None:
            self._watchdog.start(parts.threads)
        beating = group.create_task(self._beat(supervisor), name="application")
        starting = group.create_task(self._start(supervisor, parts.known), name="start")
        await self._asked.wait()
        starting.cancel()
        self._is_up.set()
        if self._systemd is not None:
            self._systemd.stopping(self._why)
        report = await self._shutdown.run(
            self._why, began_s=self._asked_s, exit_code=self._exit_code
        )
        if report.is_anything_left and self._leave is not None:
            self._leave(report.exit_code)
        beating.cancel()
        await supervisor.close()
        return report

    def _listen(self) -> None:
        """Hear of signals, one that came before there was an event loop too."""
        if self._signals is not None:
            loop = asyncio.get_running_loop()
            self._signals.log_by(_say)
            self._signals.attach(
                partial(loop.call_soon_threadsafe, self._on_signal), partial(_describe, loop)
            )

    def _on_signal(self) -> None:
        assert self._signals is not None, "a signal came"
        self._asked_s = self._signals.at_s
        self.ask_stop(f"signal {self._signals.number}")

    def _hush(self) -> None:
        """A first signal that comes now changes nothing; of any the log, at its end, is not told."""
        if self._signals is not None:
            self._signals.hush()

    def _on_interrupt(self, interrupt: BaseException) -> None:
        """A service asked for the end the hard way: it is the same end, with its code."""
        code = interrupt.code if isinstance(interrupt, SystemExit) else FORCED
        asked = code if isinstance(code, int) else INTERNAL if code else 0
        self.ask_stop(f"{type(interrupt).__name__} in a service", exit_code=asked)

    async def _start(self, supervisor: Supervisor, known: Callable[[], Awaitable[None]]) -> None:
        try:
            await supervisor.start()
        except StartFailed as failed:
            self.failed = failed
            _log.critical("the start failed", component=failed.service, **failed.fault.fields)
            self.ask_stop(str(failed), exit_code=failed.exit_code)
        else:
            await known()
            _log.info("everything is ready", component="application")
            self._is_up.set()
            if self._systemd is not None:
                self._systemd.ready()

    async def _beat(self, supervisor: Supervisor) -> None:
        """Show the watchdogs, ours and systemd's, that the loop and those in it move."""
        loop = asyncio.get_running_loop()
        every_s = self._systemd.watchdog_s if self._systemd is not None else None
        due_s = loop.time()
        while True:
            if self._watchdog is not None:
                self._watchdog.beat()
            if self._systemd is not None and every_s is not None and loop.time() >= due_s:
                self._systemd.alive(supervisor.progress())
                due_s = loop.time() + every_s / 2
            await asyncio.sleep(BEAT_S)

    def _stop_in(self, loop: asyncio.AbstractEventLoop, why: str) -> None:
        """The same stop, where the event loop ended before it did."""
        shutdown = self._shutdown
        if shutdown is None or shutdown.report is not None or loop.is_closed() or loop.is_running():
            return
        error = sys.exc_info()[1]
        if error is not None:
            _log.critical(why, component="application", **Fault.of(error).fields)
        self.ask_stop(why)
        report = loop.run_until_complete(shutdown.run(why))
        if report.is_anything_left or report.exit_code:
            leave(report.exit_code)
        if self._serving is not None:
            loop.run_until_complete(asyncio.wait({self._serving}, timeout=BEAT_S))


def _describe(loop: asyncio.AbstractEventLoop) -> Stacks:
    return {**thread_stacks(), **task_stacks(asyncio.all_tasks(loop))}


def _say(text: str, stacks: Stacks | None = None) -> None:
    if stacks is None:
        _log.info(text)
    else:
        _log.warning(text, stacks=stacks)
