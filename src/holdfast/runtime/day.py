"""One trading day as its services share it: the inbox, the engine's driver, and what is told to it.

Everything that anybody learns goes through `tell`: into the inbox while the engine takes from it,
and straight to the driver once it has stopped taking, so that the last words are journaled and
stepped like all others. Nothing is told any more when the journal is closed.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

import msgspec

from holdfast.core.engine import Books, Engine
from holdfast.domain.audit import Halted
from holdfast.domain.command import Notify, ReadBook, Severity
from holdfast.domain.event import (
    AnyEvent,
    CandleLoaded,
    JournalChanged,
    OperatorAsked,
    QuotesRead,
    StopAsked,
)
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Tick
from holdfast.ports import Journal, VenueDriver
from holdfast.runtime.checkpoint import Checkpoint
from holdfast.runtime.clock import DayClock
from holdfast.runtime.driver import Driver
from holdfast.runtime.inbox import Inbox
from holdfast.runtime.router import DurableJournal, Router, Sent
from holdfast.runtime.tally import RouterCounts

SECOND_NS = 1_000_000_000
LAST_WORDS_NS = 60 * SECOND_NS
STOP_WORDS_NS = 5 * SECOND_NS

SETTLE_S = 1.0
"""So long a stop waits, of the wall's time, for answers of a broker that is really asked."""

LOG_AFTER_S: Final = 0.002
"""So long after an order's command its line of the log is written: its bytes have left by then."""

Want = Callable[[Sequence[InstrumentId]], None]
"""Hears which instruments the engine would be told of, the most important first."""

Settle = Callable[[], Awaitable[None]]
"""Returns when every request that left was answered."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a day stands: what was done, and what is still held or could still fill.

    `router` is what became of commands on their way out, in this process.
    """

    events: int = 0
    ticks: int = 0
    merged_ticks: int = 0
    commands_sent: int = 0
    open_positions: int = 0
    live_orders: tuple[str, ...] = ()
    is_halted: bool = False
    is_over: bool = False
    router: RouterCounts = RouterCounts()


class DayJournal(Journal, DurableJournal, Protocol):
    """A journal that the router can wait for."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """The engine that a day begins with, new or recovered, and what this start tells it.

    `sent` is what the journal tells of requests that earlier processes of the day made.
    """

    engine: Engine
    beginning: Iterable[AnyEvent]
    write_halt: Callable[[Halted], None]
    checkpoint: Checkpoint | None = None
    sent: Iterable[Sent] = ()


class Day:
    """One trading day. Made inside the event loop in which it is lived."""

    def __init__(
        self,
        clock: DayClock,
        *,
        ends_ns: int,
        progress: Callable[[int], None],
        notify: Callable[[Notify], None],
    ) -> None:
        """`ends_ns`: the session's close; a minute more is left for last words.

        `progress` hears the ticks so far, `notify` what people should know.
        """
        self.inbox = Inbox()
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._ends_ns = ends_ns
        self._progress = progress
        self._notify = notify
        self._late: deque[AnyEvent] = deque()
        self._asked: dict[int, asyncio.Future[int]] = {}
        self._engine: Engine | None = None
        self._router: Router | None = None
        self._driver: Driver | None = None
        self._began_ns = clock.now_ns()
        self._is_taking = True
        self._is_closed = False
        self._journal: DayJournal | None = None
        self._is_sealed = False
        self._want: Want | None = None
        self._settle: Settle | None = None
        self.has_begun = self.is_over = False

    def reach(self, *, want: Want | None = None, settle: Settle | None = None) -> None:
        """Before it begins: whom subscriptions go to, and who waits for a real broker's answers."""
        self._want, self._settle = want, settle

    # -- what is told to it

    def tell(self, event: AnyEvent) -> None:
        """Let the engine know, in order. Called from the event loop."""
        if self._is_closed:
            return
        if self._is_sealed and self._journal is not None:
            if not isinstance(event, Tick | CandleLoaded | QuotesRead):
                self._journal.append(event)
        elif self._is_taking or self._driver is None:
            self.inbox.put(event)
        else:
            self._driver.take(event)

    async def ask(self, event: OperatorAsked) -> int | None:
        """Let the engine know what a person asks, and wait until it was stepped.

        Returns the number of the event; `None` when nobody takes requests any more. How long to
        wait is the caller's business: what was asked stays asked.
        """
        if self._is_closed or self._is_sealed:
            return None
        stepped: asyncio.Future[int] = self._loop.create_future()
        self._asked[id(event)] = stepped
        try:
            self.tell(event)
            return await stepped
        finally:
            del self._asked[id(event)]

    async def until_durable(self, sequence: int) -> None:
        """Wait until everything up to a number is on the disk. Raises DataRefused: it never is."""
        assert self._journal is not None, "it has a number"
        await asyncio.wrap_future(self._journal.wait_durable(sequence))

    def _stepped(self, event: OperatorAsked, sequence: int) -> None:
        waiting = self._asked.get(id(event))
        if waiting is not None and not waiting.done():
            waiting.set_result(sequence)

    def read_book(self) -> None:
        """Ask the broker for its whole book once more: the answer is a fact like any other."""
        if self._router is not None and self.is_whole and not self._is_closed:
            self._router.execute(ReadBook(), sequence=0, at_ns=self._clock.now_ns())

    def call_person(self, text: str) -> None:
        """Tell people what only they can mend; the engine hears what follows from it."""
        self._notify(Notify(severity=Severity.ALARM, text=text))

    def journal_changed(self, is_durable: bool, reason: str) -> None:  # noqa: FBT001 a callback
        """Hear from the writer, on whatever thread, that durability came or went."""
        event = JournalChanged(at_ns=self._clock.now_ns(), is_durable=is_durable, reason=reason)
        with suppress(RuntimeError):  # the loop has ended: nobody listens
            self._loop.call_soon_threadsafe(self.tell, event)

    def let_pass(self, to_ns: int) -> None:
        """Time has passed although nothing was heard: what was due until `to_ns` is delivered."""
        if self._driver is not None and self._is_taking and not self._is_closed:
            self._driver.advance(to_ns)

    def _wake(self) -> None:
        """What an entry waited for is on the disk, says the writer, on whatever thread."""
        with suppress(RuntimeError):  # the loop has ended: nobody waits
            self._loop.call_soon_threadsafe(self.inbox.poke)

    # -- its life

    def begin(self, begun: Begun, venue: VenueDriver, journal: DayJournal) -> None:
        """Join engine, venue and journal, and deliver what this start tells the engine.

        All of it is read before any of it is delivered: where reading fails nothing has begun, and
        the next attempt reads again.
        """
        assert self._driver is None, "a day begins once in a process"
        told = tuple(begun.beginning)
        self._engine, self._journal = begun.engine, journal
        self._router = Router(
            venue, journal, self._late.append, notify=self._notify, wake=self._wake
        )
        if self._want is not None:
            self._router.want_by(self._want)
        if self._clock.is_real_time:
            self._router.log_by(partial(self._loop.call_later, LOG_AFTER_S))
        self._router.remember(begun.engine.order_ids)
        self._router.resume(begun.sent)
        self._driver = Driver(
            begun.engine,
            journal,
            router=self._router,
            venue=venue,
            clock=self._clock,
            late=self._late,
        )
        self._driver.halt_by(begun.write_halt)
        self._driver.answer_by(self._stepped)
        if begun.checkpoint is not None:
            self._driver.go_back_to(begun.checkpoint)
        for event in told:
            self._driver.take(event)
        self.has_begun = True

    async def drive(self, beat: Callable[[], None]) -> None:
        """Take from the inbox until the market has ended, then see the day out.

        Raises `StepGivenUp` when an event cannot be stepped.
        """
        assert self._driver is not None, "it has begun"
        ends_ns = self._ends_ns + LAST_WORDS_NS
        until_ns = ends_ns if self._clock.is_real_time else None
        await self._driver.run(self.inbox, self._progress, beat, until_ns=until_ns)
        if self._is_taking and not self.is_over:
            while (event := self.inbox.take_account_nowait()) is not None:
                self._driver.take(event)
            self._driver.advance(ends_ns)
            self.is_over = True

    def pause(self) -> None:
        """Take nothing more from the market; take back entries that wait."""
        if self._driver is None or not self._is_taking or self._is_closed:
            return
        if not self.is_whole:
            self.close()  # an engine that has done half of an event decides nothing any more
            return
        self._is_taking = False
        self.inbox.close()
        while (event := self.inbox.take_account_nowait()) is not None:
            self._driver.take(event)
        if not self.is_over:
            self._driver.give_back_entries()
            now_ns = self._clock.now_ns()
            self._driver.take(StopAsked(at_ns=now_ns, reason="the program is being stopped"))

    async def settle(self, *, within_s: float = SETTLE_S) -> None:
        """Return when what left has been answered: in the market's time, which passes at once.

        A real broker is waited for, `within_s` at most; what it has not said by then is unanswered.
        """
        if self._settle is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._settle()
            return
        is_driven = self.is_whole and not self._is_taking and not self._is_closed
        if self._driver is not None and is_driven and not self.is_over:
            self._driver.advance(self._clock.now_ns() + STOP_WORDS_NS)
        await asyncio.sleep(0)

    def keep_unbegun(self, journal: Journal) -> None:
        """Journal what was told to a day that never began: why it did not."""
        while (event := self.inbox.take_account_nowait()) is not None:
            if not isinstance(event, Tick | CandleLoaded | QuotesRead):
                journal.append(event)

    def seal(self) -> None:
        """The final state is being written: what is still told moves nothing any more."""
        self._is_sealed = True

    def close(self) -> None:
        """Nothing is told any more, and nothing is stepped."""
        self._is_closed = True
        self.inbox.close()

    # -- what is asked of it

    @property
    def touched(self) -> frozenset[InstrumentId]:
        """The contracts that are held or have an order working; none before the day has begun."""
        return frozenset() if self._engine is None else self._engine.touched

    @property
    def is_whole(self) -> bool:
        """Whether the engine has done all of every event that it began."""
        return self._driver is None or self._driver.is_between_events

    @property
    def engine(self) -> Engine | None:
        """The engine; `None` before the day has begun."""
        return self._engine

    @property
    def books(self) -> Books | None:
        """What is traded on; `None` before the day has begun."""
        return self._engine.books if self._engine is not None else None

    @property
    def ticks(self) -> int:
        """Ticks that the engine saw in this process."""
        return self._driver.ticks if self._driver is not None else 0

    @property
    def watermark_s(self) -> float | None:
        """Seconds of the market's time since the rules of a held position ran; `None`: none held.

        Not before this process began: until then nobody was there to run them.
        """
        evaluated_ns = self._engine.evaluated_ns if self._engine is not None else None
        if evaluated_ns is None or self.is_over or not self._is_taking:
            return None
        return (self._clock.now_ns() - max(evaluated_ns, self._began_ns)) / SECOND_NS

    @property
    def standing(self) -> Standing:
        """How it stands now."""
        if self._engine is None or self._driver is None or self._router is None:
            return Standing()
        return Standing(
            events=self._driver.events,
            ticks=self._driver.ticks,
            merged_ticks=self.inbox.merged,
            commands_sent=self._router.sent,
            open_positions=self._engine.open_positions,
            live_orders=tuple(self._engine.live_orders),
            is_halted=self._engine.is_halted,
            is_over=self.is_over,
            router=self._router.counts(self._clock.now_ns()),
        )
