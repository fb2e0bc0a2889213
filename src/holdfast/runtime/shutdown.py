"""The stop: one path, one absolute deadline, and a record at the end that tells the truth.

First what is in flight is ended, then the groups are stopped one after the other, and the final
state is saved before the last of them, read back and verified after it. Each part has a cap under
the deadline; one that overruns its cap is told of, and the stop goes on. The texts are fixed.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Protocol

import msgspec
import structlog

from holdfast.domain.event import ServiceState
from holdfast.runtime.fault import Fault
from holdfast.runtime.process import flush_everything
from holdfast.runtime.service import Group
from holdfast.runtime.stacks import thread_stacks
from holdfast.runtime.supervisor import Supervisor
from holdfast.runtime.threads import JOIN_S, Threads

_log = structlog.get_logger("shutdown")

CLEAN: Final = 0
HALTED: Final = 10
UNCLEAN: Final = 20
UNVERIFIED: Final = 21

TIDY_S_MIN: Final = 0.2
"""With less time than this left nothing is begun that may be left to the next start."""


class StopLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long the stop may take, in seconds.

    The groups' caps lie under `total_s`, of which `end_s` is kept for the process's own end. Of
    the order group's cap draining takes `drain_s` at most. Of the state group's cap a quarter is
    for saving and a quarter for reading back, so that a service that hangs costs neither. What
    the groups before have left of the deadline is shared out to the three alike: a disk that is
    busy with others' work makes each of them slow.
    """

    total_s: float = 5.0
    order_s: float = 2.0
    price_s: float = 1.0
    state_s: float = 2.0
    drain_s: float = 1.5
    end_s: float = 0.25


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """The final state as it was written. `state` is what the record shows of it; unknown is `None`."""

    state: Mapping[str, Any] | None = {}
    open_positions: int | None = 0
    is_halted: bool = False


class FinalState(Protocol):
    """What the program leaves behind.

    All of it is also called where the start failed or never began: the store may be closed, or
    may never have been opened. What would block the event loop belongs in a thread.
    """

    async def save(self) -> Saved:
        """Write the final state, while the state group still runs."""
        ...

    async def verify(self, saved: Saved) -> None:
        """Read it back and compare; integrity, sockets, connections. Raises what is wrong."""
        ...

    async def tidy(self, within_s: float) -> None:
        """What may as well be left to the next start; ended soon after `within_s`."""
        ...

    async def db_connections(self) -> int:
        """How many connections to the database are open."""
        ...


class StopReport(msgspec.Struct, frozen=True, kw_only=True):
    """The record `Shutdown complete`. Unknown is `None`, never 0.

    `active_*` name what of ours is still alive, `other_threads` the threads of libraries.
    """

    exit_code: int
    final_state: Mapping[str, Any] | None
    final_state_verified: bool
    cleanup_status: Mapping[str, str]
    active_threads: tuple[str, ...]
    active_tasks: tuple[str, ...]
    other_threads: tuple[str, ...]
    db_connections: int | None
    open_positions: int | None
    seconds: float

    @property
    def is_anything_left(self) -> bool:
        """Whether something of ours would keep the process from ending."""
        return bool(self.active_threads or self.active_tasks)


class _Phase(msgspec.Struct, frozen=True):
    """A step of the stop: what is stopped together, and the name under which an overrun is told."""

    groups: tuple[Group, ...]
    manager: str
    cap_s: float


def _nobody() -> None:
    """Nobody else writes."""


class Shutdown:
    """One stop of one program. Every call of `run` waits for the same one."""

    def __init__(
        self,
        supervisor: Supervisor,
        threads: Threads,
        final: FinalState,
        *,
        limits: StopLimits | None = None,
        hush: Callable[[], None] = _nobody,
    ) -> None:
        """Nothing happens before `run`. `hush` keeps from the log what would come behind its record."""
        self._supervisor = supervisor
        self._threads = threads
        self._final = final
        self._limits = limits or StopLimits()
        self._hush = hush
        self._began_s: float | None = None
        self._faults: dict[str, str] = {}
        self._saved: Saved | None = None
        self._connections: int | None = None
        self._is_verified = False
        self._done = asyncio.Event()
        self.report: StopReport | None = None

    @property
    def shutting_down(self) -> bool:
        """Whether the stop has begun."""
        return self._began_s is not None

    async def run(
        self, reason: str, *, began_s: float | None = None, exit_code: int = CLEAN
    ) -> StopReport:
        """Stop everything; returns when it has stopped or the deadline has passed.

        `began_s` is when it was asked for, in the event loop's time. `exit_code` is what the
        process ends with if nothing goes wrong.
        """
        if self._began_s is None:
            self._began_s = asyncio.get_running_loop().time() if began_s is None else began_s
            _log.info("Starting shutdown sequence", reason=reason)
            try:
                await self._stop()
            finally:
                self.report = self._complete(exit_code)
                self._done.set()
        await self._done.wait()
        assert self.report is not None, "it is set before it is told"
        return self.report

    # -- the parts, in order

    async def _stop(self) -> None:
        limits = self._limits
        phases = (
            _Phase((Group.ORDER, Group.SIDE), "OrderManager", limits.order_s),
            _Phase((Group.PRICE,), "PriceManager", limits.price_s),
            _Phase((Group.STATE,), "StateManager", limits.state_s),
        )
        for number, phase in enumerate(phases):
            cap_s = self._share_s(phases[number:])
            until_s = self._now_s + cap_s
            if phase.groups[0] is Group.ORDER:
                await self._drain(min(limits.drain_s, cap_s * 0.75))
                await self._end(phase, until_s)
            elif phase.groups[0] is Group.STATE:
                # Where nothing is saved there is nothing to read back: saving has the larger share.
                spare_s = max(self._deadline_s - until_s, 0.0) / 3
                await self._save(cap_s / 4 + 2 * spare_s)
                await self._end(phase, self._now_s + cap_s / 2 + spare_s)
                await self._verify(max(until_s, self._deadline_s))
            else:
                await self._end(phase, until_s)

    def _share_s(self, phases: tuple[_Phase, ...]) -> float:
        """The cap of the first, less where the deadline leaves too little for all of them."""
        left_s = max(self._deadline_s - self._now_s, 0.0)
        caps_s = sum(phase.cap_s for phase in phases)
        return min(1.0, left_s / caps_s) * phases[0].cap_s

    @property
    def _deadline_s(self) -> float:
        """When everything must have been tried; what is left then is for the process's own end."""
        assert self._began_s is not None, "the stop has begun"
        return self._began_s + self._limits.total_s - self._limits.end_s

    @property
    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def _drain(self, within_s: float) -> None:
        for name, fault in (await self._supervisor.drain(within_s=within_s)).items():
            self._tell(f"drain of {name}", fault)

    async def _end(self, phase: _Phase, until_s: float) -> None:
        stopped = await self._supervisor.stop(
            *phase.groups, within_s=max(until_s - self._now_s, 0.0)
        )
        for name, fault in stopped.faults.items():
            self._tell(name, fault)
        for name in stopped.left:
            self._faults[name] = "failed to stop in time"
        if stopped.left:
            _log.error(f"{phase.manager} failed to stop in time", left=stopped.left)

    async def _save(self, within_s: float) -> None:
        self._saved = await self._ask("save", self._final.save(), within_s)

    async def _verify(self, until_s: float) -> None:
        """Read back what was saved, when nothing of ours runs any more."""
        await self._threads.stop(within_s=min(JOIN_S, max(until_s - self._now_s, 0.0) / 2))
        left_s = until_s - self._now_s
        if self._saved is None:
            fault: Fault | None = Fault(kind="NotSaved", message="there is nothing to read back")
        else:
            verifying = self._final.verify(self._saved)
            answer = await self._supervisor.attempt("verify", verifying, within_s=left_s)
            fault = answer.fault
        self._is_verified = fault is None
        if fault is not None:
            _log.error("State verification failed", component="shutdown", **fault.fields)
        self._connections = await self._ask(
            "db_connections", self._final.db_connections(), max(until_s - self._now_s, 0.05)
        )
        if self._is_verified:
            await self._tidy(until_s)

    async def _tidy(self, until_s: float) -> None:
        """Use what is left of the time, and leave as much again for ending what is not done."""
        left_s = until_s - self._now_s
        if left_s >= TIDY_S_MIN:
            await self._ask("tidy", self._final.tidy(left_s / 2), left_s)

    async def _ask(self, name: str, work: Coroutine[Any, Any, Any], within_s: float) -> Any:
        """What came of it; a fault is told, and the answer then is `None`."""
        answer = await self._supervisor.attempt(name, work, within_s=within_s)
        if answer.fault is not None:
            self._tell(name, answer.fault)
        return answer.value

    def _tell(self, component: str, fault: Fault) -> None:
        self._faults[component] = fault.text
        _log.error("Shutdown error", component=component, **fault.fields)

    # -- the end

    def _complete(self, exit_code: int) -> StopReport:
        """The last record, always, and everything flushed after it."""
        assert self._began_s is not None, "the stop has begun"
        threads, tasks = self._threads.alive(), self._supervisor.active_tasks()
        if threads or tasks:
            self._tell_left(threads, tasks)
        saved = self._saved
        report = StopReport(
            exit_code=self._code(exit_code, is_left=bool(threads or tasks)),
            final_state=saved.state if saved is not None else None,
            final_state_verified=self._is_verified and not threads and not tasks,
            cleanup_status=self._cleanup_status(),
            active_threads=threads,
            active_tasks=tasks,
            other_threads=_others(threads),
            db_connections=self._connections,
            open_positions=saved.open_positions if saved is not None else None,
            seconds=round(self._now_s - self._began_s, 3),
        )
        self._hush()
        _log.info("Shutdown complete", **msgspec.structs.asdict(report))
        flush_everything()
        return report

    def _tell_left(self, threads: tuple[str, ...], tasks: tuple[str, ...]) -> None:
        stacks = thread_stacks()
        _log.error(
            "State verification failed",
            component="shutdown",
            error="StillAlive",
            message=f"threads: {', '.join(threads) or 'none'}; tasks: {', '.join(tasks) or 'none'}",
            stack="".join(stacks.get(name, "") for name in threads),
        )

    def _code(self, exit_code: int, *, is_left: bool) -> int:
        """The worst that is true of this stop."""
        if not self._is_verified:
            return UNVERIFIED
        if self._faults or is_left:
            return UNCLEAN
        is_halted = self._saved is not None and self._saved.is_halted
        return exit_code or (HALTED if is_halted else CLEAN)

    def _cleanup_status(self) -> Mapping[str, str]:
        """How each service ended, and what else went wrong."""
        ended = {
            one.name: "stopped" if one.state is ServiceState.STOPPED else one.state.value
            for one in self._supervisor.status()
        }
        return {**ended, **self._faults}


def _others(ours: tuple[str, ...]) -> tuple[str, ...]:
    main = threading.main_thread()
    names = (thread.name for thread in threading.enumerate() if thread is not main)
    return tuple(name for name in names if name not in ours)
