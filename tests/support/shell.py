"""What stands around the driver in tests: a journal in memory and a venue that is told its lines."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from msgspec.structs import replace

from holdfast.core.engine import Engine
from holdfast.domain.audit import AnyAudit
from holdfast.domain.command import AnyCommand, FindOrder, Notify, PlaceOrder, ReadBook
from holdfast.domain.decision import Direction
from holdfast.domain.event import (
    AnyEvent,
    BookRead,
    FactsLoaded,
    FundsRead,
    InstrumentsLoaded,
    JournalChanged,
    JournalEvent,
    Link,
    LinkChanged,
    Restarted,
    ServiceChanged,
    ServiceState,
    TapeEvent,
)
from holdfast.domain.instrument import InstrumentId, Product
from holdfast.domain.market import Tick
from holdfast.domain.order import OrderId, OrderTerms, OrderType, Purpose, Side
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.driver import Driver
from holdfast.runtime.router import Router
from holdfast.runtime.starting import simulated_access
from holdfast.store.records import Decided
from tests.support.desk import CALL, DAY, FACTS, NIFTY, OPEN, PUT, SECOND, Parrot, settings

START = OPEN - 60 * SECOND


class MemoryJournal:
    """Keeps what is appended, in order; `durable` decides what waiting for the disk leads to.

    `True`: it is on the disk. `None`: nobody knows yet. An error: the journal ended.
    """

    def __init__(self) -> None:
        self.rows: list[AnyEvent | Decided] = []
        self.market: list[int] = []
        self.asked: list[int] = []
        self.durable: bool | Exception | None = True

    def append(self, event: JournalEvent) -> int:
        self.rows.append(event)
        return len(self.rows)

    def append_market(self, event: TapeEvent) -> int:
        self.rows.append(event)
        self.market.append(len(self.rows))
        return len(self.rows)

    def append_decision(
        self, cause: int, at_ns: int, commands: Sequence[AnyCommand], audits: Sequence[AnyAudit]
    ) -> int:
        self.rows.append(
            Decided(at_ns=at_ns, cause=cause, commands=tuple(commands), audits=tuple(audits))
        )
        return len(self.rows)

    def wait_durable(self, sequence: int) -> Future[None]:
        self.asked.append(sequence)
        future: Future[None] = Future()
        if isinstance(self.durable, Exception):
            future.set_exception(self.durable)
        elif self.durable:
            future.set_result(None)
        return future

    @property
    def events(self) -> list[AnyEvent]:
        """What was journaled but the decisions."""
        return [row for row in self.rows if not isinstance(row, Decided)]

    @property
    def decisions(self) -> list[Decided]:
        """What was decided, in order."""
        return [row for row in self.rows if isinstance(row, Decided)]


class ToldVenue:
    """Takes requests and says, when it is due, what it was told to say.

    Asked for its book, it shows an empty one a millisecond later.
    """

    def __init__(self) -> None:
        self.submitted: list[tuple[int, AnyCommand]] = []
        self.ticks: list[Tick] = []
        self.lines: list[AnyEvent] = []

    def say(self, *events: AnyEvent) -> None:
        """Answers to come, each at its stamp."""
        self.lines = sorted([*self.lines, *events], key=lambda event: event.at_ns)

    def submit(self, command: AnyCommand, at_ns: int) -> None:
        self.submitted.append((at_ns, command))
        if isinstance(command, ReadBook):
            self.say(empty_book(at_ns + 1_000_000, began_at_ns=at_ns))

    def on_tick(self, tick: Tick) -> None:
        self.ticks.append(tick)

    @property
    def due_ns(self) -> int | None:
        return self.lines[0].at_ns if self.lines else None

    def pop_due(self, at_ns: int) -> Sequence[AnyEvent]:
        due = [line for line in self.lines if line.at_ns <= at_ns]
        self.lines = self.lines[len(due) :]
        return due

    def asked(self) -> list[AnyCommand]:
        """What reached the venue, without times; searches and reads of the book are left out."""
        asked = [command for _, command in self.submitted]
        return [
            command for command in asked if not isinstance(command, FindOrder | Notify | ReadBook)
        ]


class Shell:
    """A driver around the real engine, with a venue and a journal that do as they are told."""

    def __init__(self) -> None:
        self.parrot = Parrot()
        self.engine = Engine(settings(), [self.parrot])
        self.journal = MemoryJournal()
        self.venue = ToldVenue()
        self.clock = VirtualClock(START)
        self.late: deque[AnyEvent] = deque()
        self.router = Router(self.venue, self.journal, self.late.append)
        self.driver = Driver(
            self.engine,
            self.journal,
            router=self.router,
            venue=self.venue,
            clock=self.clock,
            late=self.late,
        )

    def begin(self) -> "Shell":
        """Facts, master, links, journal and funds."""
        self.driver.take(Restarted(at_ns=START, day=DAY, code_version="1", config_sha256="c"))
        self.driver.take(FactsLoaded(at_ns=START, sha256="f", facts=FACTS))
        master = (NIFTY, CALL, PUT)
        self.driver.take(InstrumentsLoaded(at_ns=START, sha256="i", instruments=master))
        for link in Link:
            self.driver.take(LinkChanged(at_ns=START, link=link, is_up=True))
        self.driver.take(JournalChanged(at_ns=START, is_durable=True))
        for told in simulated_access(START):
            self.driver.take(told)
        self.driver.take(
            ServiceChanged(at_ns=START, service="engine", state=ServiceState.READY, is_core=True)
        )
        self.driver.advance(START + SECOND)
        self.driver.take(FundsRead(at_ns=START + SECOND, available_paise=500_000_00))
        return self

    def enter(self) -> PlaceOrder:
        """Let the strategy speak at the first candle's close; the entry that left."""
        for second in (58.0, 59.0):
            for instrument, last in ((NIFTY, 2_450_000), (CALL, 10_000), (PUT, 10_000)):
                self.driver.take(tick(second, last, instrument.id))
        self.parrot.say = Direction.UP
        self.driver.take(tick(60.1))
        self.driver.take(tick(60.1, 2_450_000, NIFTY.id))
        [entry] = [c for c in self.venue.asked() if isinstance(c, PlaceOrder)]
        return entry


def ready(service: str, at_ns: int = START) -> ServiceChanged:
    """The supervisor says that a core part of the program can do its work."""
    return ServiceChanged(at_ns=at_ns, service=service, state=ServiceState.READY, is_core=True)


def empty_book(at_ns: int, *, began_at_ns: int) -> BookRead:
    """A pass over a book in which nothing stands."""
    return BookRead(
        at_ns=at_ns,
        began_at_ns=began_at_ns,
        nets=(),
        orders=(),
        foreign=(),
        trades=(),
        funds_paise=500_000_00,
    )


def tick(seconds: float, last: int = 10_000, instrument: InstrumentId = CALL.id) -> Tick:
    """A packet in paise, some seconds after the opening, with a book of a step around it."""
    at_ns = OPEN + round(seconds * SECOND)
    plain = Tick(at_ns=at_ns, instrument=instrument, last_paise=last, venue_at_ns=at_ns)
    if instrument != CALL.id:
        return plain
    return replace(plain, bids=((last - 5, 650),), asks=((last + 5, 650),))


def placement(purpose: Purpose = Purpose.ENTRY, name: str = "A") -> PlaceOrder:
    """A command to place an order."""
    terms = OrderTerms(
        instrument=CALL.id,
        product=Product.INTRADAY,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=65,
        limit_paise=10_000,
    )
    return PlaceOrder(
        order_id=OrderId(name), purpose=purpose, position=1, terms=terms, fills_seen=0
    )
