"""The driver: events in order into the engine, its commands out. The only caller of `step`.

An event is numbered and handed to the journal before anything is done about it. Before any event
stamped after the engine's deadline the deadline itself is stepped, in every mode, so that a late
wake-up changes nothing. Where the exchange is simulated the driver steps it too: every answer due
by an event's stamp comes before that event.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from holdfast.core.engine import Engine
from holdfast.domain.event import AnyEvent, CandleLoaded, QuotesRead, TimerFired
from holdfast.domain.market import Tick
from holdfast.ports import Journal, VenueDriver
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.inbox import Inbox
from holdfast.runtime.router import Router

YIELD_EVERY = 256
"""Events between two chances for signals and other tasks."""

IDLE_S = 1.0
"""The longest wait for an event after which the loop says that it lives."""


class Driver:
    """Steps the engine through one day of market data.

    `late` holds what came of executing commands and waits for nobody's turn: an order that did not
    leave is heard of before anything else happens.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        *,
        router: Router,
        venue: VenueDriver,
        clock: VirtualClock,
        late: deque[AnyEvent],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._router = router
        self._venue = venue
        self._clock = clock
        self._late = late
        self.events = 0
        self.ticks = 0

    def deliver(self, event: AnyEvent) -> None:
        """Journal one event, step it, and send what the engine decided."""
        self._clock.move(event.at_ns)
        if isinstance(event, Tick | CandleLoaded | QuotesRead):
            sequence = self._journal.append_market(event)
        else:
            sequence = self._journal.append(event)
        step = self._engine.step(event)
        if not step.commands and not step.audits:
            return
        at_ns = self._clock.now_ns()
        decided = self._journal.append_decision(sequence, at_ns, step.commands, step.audits)
        for command in step.commands:
            self._router.execute(command, sequence=decided, at_ns=at_ns)

    def advance(self, to_ns: int) -> None:
        """Deliver every answer due by `to_ns` and every deadline before it, in order of time."""
        while True:
            due, deadline = self._venue.due_ns, self._engine.deadline_ns
            if due is not None and due <= to_ns and (deadline is None or due <= deadline):
                for event in self._venue.pop_due(due):
                    self._count(event)
            elif deadline is not None and deadline < to_ns:
                self._count(TimerFired(at_ns=deadline))
            else:
                return

    def take(self, event: AnyEvent) -> None:
        """Deliver one event from the inbox, with everything that is due before it."""
        self.advance(event.at_ns)
        if isinstance(event, Tick):
            self.ticks += 1
            self._venue.on_tick(event)
        self._count(event)

    def _count(self, event: AnyEvent) -> None:
        """Deliver an event, and what came of sending what it led to."""
        self.events += 1
        self.deliver(event)
        while self._late:
            self.events += 1
            self.deliver(self._late.popleft())

    async def run(
        self,
        inbox: Inbox,
        progress: Callable[[int], None],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Take from the inbox until the market ends; `progress` hears the ticks so far.

        `beat` is called whenever others get their turn.
        """
        taken = 0
        while not inbox.is_over:
            event = inbox.take_nowait()
            if event is None:
                beat()
                await inbox.wait_event(IDLE_S)
                continue
            self.take(event)
            taken += 1
            if taken % YIELD_EVERY == 0:
                beat()
                progress(self.ticks)
                await asyncio.sleep(0)
        progress(self.ticks)
