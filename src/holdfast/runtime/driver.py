"""The driver: events in order into the engine, its commands out. The only caller of `step`.

An event is numbered and handed to the journal before anything is done about it. Before any event
stamped after the engine's deadline the deadline itself is stepped, in every mode, so that a late
wake-up changes nothing. Where the exchange is simulated the driver steps it too: every answer due
by an event's stamp comes before that event; and what waits in the router leaves at its time.
Where time passes by itself it wakes when the next of them is due.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import TypeGuard

import structlog
from msgspec.structs import replace

from holdfast.core.engine import Engine, Step
from holdfast.domain.audit import Halted
from holdfast.domain.errors import StepGivenUp
from holdfast.domain.event import (
    AnyEvent,
    BookRead,
    CandleLoaded,
    OperatorAsked,
    QuotesRead,
    Restarted,
    StepFailed,
    TimerFired,
)
from holdfast.domain.market import Tick
from holdfast.ports import Journal, VenueDriver
from holdfast.runtime.checkpoint import Checkpoint
from holdfast.runtime.clock import DayClock
from holdfast.runtime.inbox import Inbox
from holdfast.runtime.rates import SECOND_NS
from holdfast.runtime.router import DURABLE_WAIT_S, NOT_DURABLE, Router
from holdfast.runtime.stepping import StepFault, attempt, leave_out

_log = structlog.get_logger("driver")

YIELD_EVERY = 256
"""Events between two chances for signals and other tasks."""

SEND_TURNS = 2
"""Turns of the event loop in which a request's first byte leaves: its task's, and its writer's."""

ON_TAPE = (Tick, CandleLoaded, QuotesRead)
"""Events of the market; all others go into the journal."""

IDLE_S = 1.0
"""The longest wait for an event after which the loop says that it lives."""

REST_S_MIN = 0.001
"""The shortest: a deadline is stepped once it has passed, and nobody spins until it has."""


class Driver:
    """Steps the engine through one day of market data.

    `is_between_events` is False after something failed within an event: that engine may have done
    half of it, and only a new start may trade on. `late` holds what came of executing commands and
    waits for nobody's turn: an order that did not leave is heard of before anything else happens.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        *,
        router: Router,
        venue: VenueDriver,
        clock: DayClock,
        late: deque[AnyEvent],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._router = router
        self._venue = venue
        self._clock = clock
        self._late = late
        self._checkpoint: Checkpoint | None = None
        self._write_halt: Callable[[Halted], None] | None = None
        self._answer: Callable[[OperatorAsked, int], None] | None = None
        self._thread = get_ident()
        router.check_by(engine)
        self.is_between_events = True
        self.events = 0
        self.ticks = 0

    def halt_by(self, write: Callable[[Halted], None]) -> None:
        """Have every halt written down by `write` before anything else happens, and its end too."""
        self._write_halt = write

    def answer_by(self, answer: Callable[[OperatorAsked, int], None]) -> None:
        """Tell `answer` of every request of a person that was stepped, with its number."""
        self._answer = answer

    def go_back_to(self, checkpoint: Checkpoint) -> None:
        """Take back a step that raises, and try it once more; without this it ends the process."""
        self._checkpoint = checkpoint

    def deliver(self, event: AnyEvent) -> None:
        """Journal one event, step it, and send what the engine decided.

        Raises `StepGivenUp` when it cannot be stepped.
        """
        assert get_ident() == self._thread, "one thread steps the engine"
        self.is_between_events = False
        self._clock.move(event.at_ns)
        if isinstance(event, ON_TAPE):
            sequence = self._journal.append_market(event)
        else:
            sequence = self._journal.append(event)
        step = attempt(self._engine.step, event)
        if isinstance(step, StepFault):
            step = self._step_again(sequence, event, step.error)
        elif self._checkpoint is not None:
            self._checkpoint.note(sequence, event)
        self._send(sequence, step)
        self.is_between_events = True
        if self._answer is not None and isinstance(event, OperatorAsked):
            self._answer(event, sequence)

    def _send(self, sequence: int, step: Step) -> None:
        """Journal what the step of one event decided, and execute it."""
        if not step.commands and not step.audits:
            return
        if self._write_halt is not None:
            for audit in step.audits:
                if isinstance(audit, Halted):
                    self._write_halt(audit)
        at_ns = self._clock.now_ns()
        decided = self._journal.append_decision(sequence, at_ns, step.commands, step.audits)
        for command in step.commands:
            self._router.execute(command, sequence=decided, at_ns=at_ns)

    def _step_again(self, sequence: int, event: AnyEvent, error: str) -> Step:
        """Go back behind the event, halt entries, and step it bare (decisions 2.5).

        An engine that has left out an event before is disarmed already: it leaves this one out too
        and goes on with its exits, so that a fault which every event meets does not end each start.
        """
        failed = StepFailed(at_ns=self._clock.now_ns(), sequence=sequence, error=error)
        _log.error("step failed", sequence=sequence, kind=type(event).__name__, error=error)
        if self._checkpoint is None or not self._checkpoint.go_back():
            raise self._given_up(failed)
        self._send(self._journal.append(failed), self._engine.step(failed))
        step = attempt(self._engine.step_bare, event)
        if isinstance(step, StepFault):
            failed = replace(failed, error=step.error)
            if not self._engine.left_out or not self._checkpoint.go_back():
                raise self._given_up(failed)
            final = replace(failed, is_final=True)
            self._send(self._journal.append(final), self._engine.step(final))
            step = leave_out(self._engine, sequence, event)
        self._checkpoint.renew(sequence, event)
        return step

    def _given_up(self, failed: StepFailed) -> StepGivenUp:
        """Write down which event it was: the next start must not fall over it."""
        self._journal.append(replace(failed, is_final=True))
        return StepGivenUp(
            f"event {failed.sequence} cannot be stepped: {failed.error}\n"
            "  the next start leaves it out of everything but the books and stays disarmed; "
            "stops at the broker stand"
        )

    def advance(self, to_ns: int) -> None:
        """Deliver every answer due by `to_ns` and every deadline before it, in order of time.

        What waits in the router leaves after the answers of its time and before its deadlines.
        """
        while True:
            due, out = self._venue.due_ns, self._router.due_ns
            deadline = self._engine.deadline_ns
            if _is_first(due, to_ns, out, deadline):
                for event in self._venue.pop_due(due):
                    self._hear(event)
            elif _is_first(out, to_ns, deadline):
                self._clock.move(out)
                self.release()
            elif deadline is not None and deadline < to_ns:
                self._count(TimerFired(at_ns=deadline))
            else:
                return

    def take(self, event: AnyEvent) -> None:
        """Deliver one event from the inbox, with everything that is due before it.

        Nothing is due before a start: the deadlines of a process that died are nobody's.
        """
        if not isinstance(event, Restarted):
            self.advance(event.at_ns)
        if isinstance(event, Tick):
            self.ticks += 1
            self._venue.on_tick(event)
            self._count(event)
        else:
            self._hear(event)
        if self._router.is_holding:
            wait_s = DURABLE_WAIT_S / self._clock.wall_s(1.0)  # a disk knows no other time
            self._router.hold_from(self._clock.now_ns(), within_ns=round(wait_s * SECOND_NS))

    def release(self) -> None:
        """Let go what the router may let go by now."""
        self._router.release(self._clock.now_ns())
        self._take_late()

    def give_back_entries(self) -> None:
        """What waits to be entered never leaves: the program is being stopped."""
        self._router.give_back_entries(self._clock.now_ns())
        self._take_late()

    def _hear(self, event: AnyEvent) -> None:
        """Let the router take notice, and deliver what is for the engine."""
        told = self._router.hear(event)
        if isinstance(told, BookRead):
            self._count(self._engine.in_short(told))
        elif told is not None:
            self._count(told)
        else:
            self._clock.move(event.at_ns)
            self._take_late()

    def _count(self, event: AnyEvent) -> None:
        """Deliver an event, and what came of sending what it led to."""
        self.events += 1
        self.deliver(event)
        self._take_late()

    def _take_late(self) -> None:
        while self._late:
            self.events += 1
            self.deliver(self._late.popleft())

    async def run(
        self,
        inbox: Inbox,
        progress: Callable[[int], None],
        beat: Callable[[], None] = lambda: None,
        *,
        until_ns: int | None = None,
    ) -> None:
        """Take from the inbox until the market ends; `progress` hears the ticks so far.

        `beat` is called whenever others get their turn. A market in real time ends at `until_ns`:
        no feed says so.
        """
        taken = 0
        while not inbox.is_over and not self._has_come(until_ns):
            if self._router.is_holding and inbox.is_played:
                with inbox.standing():
                    await self._hold(inbox, beat)
            event = inbox.take_nowait()
            if event is None:
                beat()
                self.release()
                await inbox.wait_event(self._rest_s())
                continue
            sent = self._router.sent
            self.take(event)
            taken += 1
            if self._router.sent != sent and self._clock.is_real_time:
                await self._let_leave()
            if taken % YIELD_EVERY == 0:
                beat()
                progress(self.ticks)
                await asyncio.sleep(0)
        progress(self.ticks)

    async def _let_leave(self) -> None:
        """Let what was sent leave before the next event: behind a backlog it would wait for all."""
        for _ in range(SEND_TURNS):
            await asyncio.sleep(0)

    def _has_come(self, at_ns: int | None) -> bool:
        """Whether it is so late by a clock that moves by itself."""
        return at_ns is not None and self._clock.now_ns() >= at_ns

    def _rest_s(self) -> float:
        """How long nothing is due, in seconds of the wall; what is due by now is delivered before.

        A day that is played has no due times of its own: the next event brings them.
        """
        if not self._clock.is_real_time:
            return IDLE_S
        now_ns = self._clock.now_ns()
        self.advance(now_ns)
        dues = (self._venue.due_ns, self._router.due_ns, self._engine.deadline_ns)
        due_ns = min((due for due in dues if due is not None), default=None)
        if due_ns is None:
            return IDLE_S
        wait_s = self._clock.wall_s((due_ns - now_ns) / SECOND_NS)
        return min(max(wait_s, REST_S_MIN), IDLE_S)

    async def _hold(self, inbox: Inbox, beat: Callable[[], None]) -> None:
        """Let a market that is played stand still while an entry waits for the disk.

        A second of the wall at most: in the market's own time, which may pass a thousand times as
        fast, no disk would be in time. What is told meanwhile is taken, and what it leads to leaves.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + DURABLE_WAIT_S
        while self._router.is_holding and not inbox.is_left:
            event = inbox.take_account_nowait()
            if event is not None:
                self.take(event)
            elif loop.time() >= until_s:
                self._router.give_back_entries(self._clock.now_ns(), NOT_DURABLE)
                self._take_late()
            else:
                beat()
                await inbox.wait_poke(until_s - loop.time())
        self.release()


def _is_first(one_ns: int | None, to_ns: int, *others: int | None) -> TypeGuard[int]:
    """Whether something is due by `to_ns`, and nothing else before it."""
    if one_ns is None or one_ns > to_ns:
        return False
    return all(other is None or one_ns <= other for other in others)
