"""One trading day as its services share it: the inbox, the engine's driver, and what is told to it.

Everything that anybody learns goes through `tell`: into the inbox while the engine takes from it,
and straight to the driver once it has stopped taking, so that the last words are journaled and
stepped like all others. Nothing is told any more when the journal is closed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

import msgspec

from holdfast.core.engine import Engine
from holdfast.domain.command import Notify
from holdfast.domain.event import (
    AnyEvent,
    CandleLoaded,
    JournalChanged,
    OperatorAsked,
    OperatorRequest,
    QuotesRead,
)
from holdfast.domain.market import Tick
from holdfast.ports import Journal, VenueDriver
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.driver import Driver
from holdfast.runtime.inbox import Inbox
from holdfast.runtime.router import DurableJournal, Router

SECOND_NS = 1_000_000_000
LAST_WORDS_NS = 60 * SECOND_NS
STOP_WORDS_NS = 5 * SECOND_NS


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a day stands: what was done, and what is still held or could still fill."""

    events: int
    ticks: int
    merged_ticks: int
    commands_sent: int
    open_positions: int
    live_orders: tuple[str, ...]
    is_halted: bool
    is_over: bool


class DayJournal(Journal, DurableJournal, Protocol):
    """A journal that the router can wait for."""


class Day:
    """One trading day. Made inside the event loop in which it is lived."""

    def __init__(
        self,
        engine: Engine,
        venue: VenueDriver,
        clock: VirtualClock,
        *,
        ends_ns: int,
        progress: Callable[[int], None],
        notify: Callable[[Notify], None],
    ) -> None:
        """`ends_ns`: the session's close; a minute more is left for last words.

        `progress` hears the ticks so far, `notify` what people should know.
        """
        self._notify = notify
        self.engine = engine
        self.inbox = Inbox()
        self._loop = asyncio.get_running_loop()
        self._venue = venue
        self._clock = clock
        self._ends_ns = ends_ns
        self._progress = progress
        self._late: deque[AnyEvent] = deque()
        self._router: Router | None = None
        self._driver: Driver | None = None
        self._is_taking = True
        self._is_closed = False
        self._halted_before_stop = False
        self.has_begun = self.is_over = False

    # -- what is told to it

    def tell(self, event: AnyEvent) -> None:
        """Let the engine know, in order. Called from the event loop."""
        if self._is_closed:
            return
        if self._is_taking or self._driver is None:
            self.inbox.put(event)
        else:
            self._driver.take(event)

    def journal_changed(self, is_durable: bool, reason: str) -> None:  # noqa: FBT001 a callback
        """Hear from the writer, on whatever thread, that durability came or went."""
        event = JournalChanged(at_ns=self._clock.now_ns(), is_durable=is_durable, reason=reason)
        with suppress(RuntimeError):  # the loop has ended: nobody listens
            self._loop.call_soon_threadsafe(self.tell, event)

    # -- its life

    def begin(self, journal: DayJournal, beginning: Iterable[AnyEvent]) -> None:
        """Join engine, venue and journal, and deliver what every start tells the engine.

        All of it is read before any of it is delivered: where reading fails nothing has begun, and
        the next attempt reads again.
        """
        assert self._driver is None, "a day begins once in a process"
        told = tuple(beginning)
        self._router = Router(self._venue, journal, self._late.append, notify=self._notify)
        self._driver = Driver(
            self.engine,
            journal,
            router=self._router,
            venue=self._venue,
            clock=self._clock,
            late=self._late,
        )
        for event in told:
            self._driver.take(event)
        self.has_begun = True

    async def drive(self, beat: Callable[[], None]) -> None:
        """Take from the inbox until the market has ended, then see the day out."""
        assert self._driver is not None, "it has begun"
        await self._driver.run(self.inbox, self._progress, beat)
        if self._is_taking and not self.is_over:
            self._driver.advance(self._ends_ns + LAST_WORDS_NS)
            self.is_over = True

    def pause(self) -> None:
        """Take nothing more; take back entries that wait, and let the answers come."""
        if self._driver is None or not self._is_taking:
            return
        self._halted_before_stop = self.engine.is_halted
        self._is_taking = False
        self.inbox.close()
        while (event := self.inbox.take_account_nowait()) is not None:
            self._driver.take(event)
        if not self.is_over:
            now_ns = self._clock.now_ns()
            reason = "the run is stopped"
            self._driver.take(
                OperatorAsked(at_ns=now_ns, request=OperatorRequest.PAUSE, reason=reason)
            )

    async def settle(self) -> None:
        """Return when what left has been answered: in the market's time, which passes at once."""
        if self._driver is not None and not self._is_taking and not self.is_over:
            self._driver.advance(self._clock.now_ns() + STOP_WORDS_NS)
        await asyncio.sleep(0)

    def keep_unbegun(self, journal: Journal) -> None:
        """Journal what was told to a day that never began: why it did not."""
        while (event := self.inbox.take_account_nowait()) is not None:
            if not isinstance(event, Tick | CandleLoaded | QuotesRead):
                journal.append(event)

    def close(self) -> None:
        """Nothing is told any more."""
        self._is_closed = True

    # -- what is asked of it

    @property
    def ticks(self) -> int:
        """Ticks that the engine saw."""
        return self._driver.ticks if self._driver is not None else 0

    @property
    def watermark_s(self) -> float | None:
        """Seconds of the market's time since the rules of a held position ran; `None`: none held."""
        evaluated_ns = self.engine.evaluated_ns
        if evaluated_ns is None or self.is_over:
            return None
        return (self._clock.now_ns() - evaluated_ns) / SECOND_NS

    @property
    def standing(self) -> Standing:
        """How it stands now."""
        halted = self.engine.is_halted if self._is_taking else self._halted_before_stop
        return Standing(
            events=self._driver.events if self._driver is not None else 0,
            ticks=self.ticks,
            merged_ticks=self.inbox.merged,
            commands_sent=self._router.sent if self._router is not None else 0,
            open_positions=self.engine.open_positions,
            live_orders=tuple(self.engine.live_orders),
            is_halted=halted,
            is_over=self.is_over,
        )
