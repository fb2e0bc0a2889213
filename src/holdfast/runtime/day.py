"""One trading day on a simulated exchange: a feed and a driver on one event loop, to a clean end.

Time is the market data's. The day ends when the data does, at the session's close plus a minute
for last words, or when a person stops it; then what is left is written and told.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol

import msgspec

from holdfast.core.engine import Engine
from holdfast.domain.event import (
    AnyEvent,
    JournalChanged,
    Link,
    LinkChanged,
    OperatorAsked,
    OperatorRequest,
    ServiceChanged,
    ServiceState,
)
from holdfast.domain.market import Tick
from holdfast.ports import Journal, VenueDriver
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.driver import Driver
from holdfast.runtime.inbox import Inbox
from holdfast.runtime.router import DurableJournal, Router

SECOND_NS = 1_000_000_000
BATCH = 512
TURN = 64
LAST_WORDS_NS = 60 * SECOND_NS
STOP_WORDS_NS = 5 * SECOND_NS


class StopRequest:
    """Set from a signal handler or another thread; looked at between events."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask for the end."""
        self._event.set()

    @property
    def is_set(self) -> bool:
        """Whether the end was asked for."""
        return self._event.is_set()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a day ended: what was done, and what is still held or could still fill."""

    events: int
    ticks: int
    merged_ticks: int
    commands_sent: int
    stopped_early: bool
    open_positions: int
    live_orders: tuple[str, ...]


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast the data is played: at most `speed` times real time, 0 as fast as it goes."""

    speed: int = 0


class PlayedJournal(Journal, DurableJournal, Protocol):
    """A journal that the router can wait for."""


class Day:
    """Everything one day needs, wired. `play` runs it once."""

    def __init__(
        self, engine: Engine, journal: PlayedJournal, venue: VenueDriver, clock: VirtualClock
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._late: deque[AnyEvent] = deque()
        self._router = Router(venue, journal, self._late.append)
        self._driver = Driver(
            engine, journal, router=self._router, venue=venue, clock=clock, late=self._late
        )
        self._inbox: Inbox | None = None

    def journal_changed(self, is_durable: bool, reason: str) -> None:  # noqa: FBT001 a callback
        """Hear from the writer, on whatever thread, that durability came or went."""
        event = JournalChanged(at_ns=self._clock.now_ns(), is_durable=is_durable, reason=reason)
        if self._inbox is None:
            self._late.append(event)
        else:
            self._inbox.put_soon(event)

    async def play(
        self,
        beginning: Iterable[AnyEvent],
        ticks: Iterator[Tick],
        *,
        ends_ns: int,
        pace: Pace,
        stop: StopRequest,
        progress: Callable[[int], None],
    ) -> Outcome:
        """Deliver the beginning, then the market to its end, then what is due until `ends_ns`.

        Raises what reading the market or stepping the engine raised.
        """
        inbox = Inbox()
        self._inbox = inbox
        for event in beginning:
            self._driver.take(event)
        for event in self._ready():
            self._driver.take(event)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed(inbox, ticks, pace, stop), name="WebSocketListener")
                group.create_task(self._driver.run(inbox, progress), name="engine")
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        finally:
            self._inbox = None
        if stop.is_set:
            self._stop()
        else:
            self._driver.advance(ends_ns + LAST_WORDS_NS)
        return self._outcome(inbox, stopped_early=stop.is_set)

    def _ready(self) -> Iterator[AnyEvent]:
        """What the shell knows at a start: it runs, every link stands and the journal writes."""
        now_ns = self._clock.now_ns()
        yield ServiceChanged(at_ns=now_ns, service="engine", state=ServiceState.READY, is_core=True)
        for link in Link:
            yield LinkChanged(at_ns=now_ns, link=link, is_up=True, reason="simulated")
        yield JournalChanged(at_ns=now_ns, is_durable=True)

    async def _feed(
        self, inbox: Inbox, ticks: Iterator[Tick], pace: Pace, stop: StopRequest
    ) -> None:
        """Bring the ticks to the inbox: in batches that wait for room, or at their time."""
        if pace.speed == 0:
            while not stop.is_set and (batch := list(islice(ticks, BATCH))):
                await inbox.put_market(batch)
        else:
            await self._feed_paced(inbox, ticks, pace.speed, stop)
        inbox.end_market()

    async def _feed_paced(
        self, inbox: Inbox, ticks: Iterator[Tick], speed: int, stop: StopRequest
    ) -> None:
        loop = asyncio.get_running_loop()
        began, first_ns = loop.time(), None
        for number, tick in enumerate(ticks):
            if first_ns is None:
                first_ns = tick.at_ns
            if number % TURN == 0:
                await asyncio.sleep(0)  # when the pace is lost the engine must still get its turn
            due = began + (tick.at_ns - first_ns) / (SECOND_NS * speed)
            while not stop.is_set and (wait_s := due - loop.time()) > 0:  # noqa: ASYNC110 a time is waited for
                await asyncio.sleep(min(wait_s, 0.1))
            if stop.is_set:
                return
            inbox.offer(tick)

    def _stop(self) -> None:
        """Take back entries that wait, and give the answers a moment of the market's time."""
        now_ns = self._clock.now_ns()
        self._driver.take(
            OperatorAsked(at_ns=now_ns, request=OperatorRequest.PAUSE, reason="the run is stopped")
        )
        self._driver.advance(now_ns + STOP_WORDS_NS)

    def _outcome(self, inbox: Inbox, *, stopped_early: bool) -> Outcome:
        return Outcome(
            events=self._driver.events,
            ticks=self._driver.ticks,
            merged_ticks=inbox.merged,
            commands_sent=self._router.sent,
            stopped_early=stopped_early,
            open_positions=self._engine.open_positions,
            live_orders=tuple(self._engine.live_orders),
        )
