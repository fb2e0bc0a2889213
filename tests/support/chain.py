"""The services of a day around the real engine, in virtual time; and the life of one of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Final

from typing_extensions import override

from holdfast.brokers.played import PlayedAccount, PlayedBroker, PlayedFeed, PlayedLine
from holdfast.core.engine import Engine
from holdfast.domain.audit import Halted
from holdfast.domain.command import AnyCommand, Notify, PlaceOrder
from holdfast.domain.decision import Direction
from holdfast.domain.errors import HoldfastError
from holdfast.domain.event import (
    AnyEvent,
    FactsLoaded,
    FundsRead,
    InstrumentsLoaded,
    JournalChanged,
    OrderUpdated,
    Restarted,
)
from holdfast.domain.market import Tick
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderRow, Purpose
from holdfast.runtime.book import Book, InstrumentMaster, Login
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.day import Begun, Day
from holdfast.runtime.fault import single
from holdfast.runtime.feed import FeedService
from holdfast.runtime.links import Routing, Updates
from holdfast.runtime.monitor import Monitor
from holdfast.runtime.service import Group, Ready, Service
from holdfast.runtime.starting import simulated_access
from holdfast.runtime.supervisor import Supervisor
from holdfast.runtime.threads import Threads
from holdfast.runtime.trading import Trading
from tests.support.desk import CALL, CLOSE, DAY, FACTS, NIFTY, OPEN, PUT, SECOND, Parrot, settings
from tests.support.services import Toy
from tests.support.shell import START, MemoryJournal, ToldVenue, tick
from tests.support.virtual import virtually

CLIENT: Final = "1000000001"
MASTER: Final = (NIFTY, CALL, PUT)
END: Final = OPEN + 120 * SECOND
"""When the day's session is said to close: early, so that seeing it out is short."""


async def until(holds: Callable[[], bool], *, every_s: float = 0.01, times: int = 100_000) -> None:
    """Give others their turns until something holds; fails when it never does."""
    for _ in range(times):
        if holds():
            return
        await asyncio.sleep(every_s)
    raise AssertionError("it never held")


@asynccontextmanager
async def living(service: Service) -> AsyncIterator[list[tuple[bool, str]]]:
    """One life of a service, from its first words to its cancellation at the end of the block.

    Gives what it says of its readiness. What ended it before is raised after the block.
    """
    loop = asyncio.get_running_loop()
    said: list[tuple[bool, str]] = []

    def hear(is_ready: bool, reason: str) -> None:  # noqa: FBT001 a callback
        said.append((is_ready, reason))

    service.attach(loop.time, Threads())
    life = loop.create_task(service.live(Ready(hear)))
    await asyncio.sleep(0.001)
    try:
        yield said
    finally:
        life.cancel()
        await asyncio.wait({life})
    error = None if life.cancelled() else life.exception()
    if error is not None:
        raise single(error)


def beginning() -> Iterator[AnyEvent]:
    """What a start tells the engine."""
    yield Restarted(at_ns=START, day=DAY, code_version="1", config_sha256="c")
    yield FactsLoaded(at_ns=START, sha256="f", facts=FACTS)
    yield InstrumentsLoaded(at_ns=START, sha256="i", instruments=MASTER)
    yield JournalChanged(at_ns=START, is_durable=True)
    yield from simulated_access(START)
    yield FundsRead(at_ns=START, available_paise=500_000_00)


def entering(parrot: Parrot) -> Iterator[Tick]:
    """Ticks of a minute, at whose end the strategy buys the call; and one more."""
    for second in (58.0, 59.0):
        for instrument, last in ((NIFTY, 2_450_000), (CALL, 10_000), (PUT, 10_000)):
            yield tick(second, last, instrument.id)
    parrot.say = Direction.UP
    yield tick(60.1)
    yield tick(60.1, 2_450_000, NIFTY.id)
    yield tick(60.2)


def quiet(first_s: float, last_s: float, *, every_s: float = 0.1) -> Iterator[Tick]:
    """Packets of index and call in which nothing happens."""
    for number in range(round((last_s - first_s) / every_s) + 1):
        second = first_s + number * every_s
        yield tick(second, 2_450_000, NIFTY.id)
        yield tick(second)


class Shown(PlayedBroker):
    """A broker that shows ticks and has no exchange: nothing to remember, nothing to build again."""

    def __init__(self, ticks: Iterable[Tick]) -> None:
        self.ticks = iter(ticks)
        self.opened = 0

    @override
    async def open(self) -> None:
        self.opened += 1


class Filling(ToldVenue):
    """Fills entries ten milliseconds after they came; everything else rests."""

    @override
    def submit(self, command: AnyCommand, at_ns: int) -> None:
        super().submit(command, at_ns)
        if isinstance(command, PlaceOrder):
            filled = command.terms.quantity if command.purpose is Purpose.ENTRY else 0
            row = OrderRow(
                order_id=command.order_id,
                broker_id=BrokerOrderId(f"B-{command.order_id}"),
                status=BrokerStatus.FILLED if filled else BrokerStatus.WORKING,
                terms=command.terms,
                filled_quantity=filled,
                filled_value_paise=filled * command.terms.limit_paise,
                venue_at_ns=at_ns,
            )
            self.say(OrderUpdated(at_ns=at_ns + SECOND // 100, row=row))


class Chain:
    """The services of a day under a supervisor, without a store: its journal is in memory."""

    def __init__(
        self,
        market: Callable[["Chain"], Iterable[Tick]],
        *,
        speed: int = 1,
        venue: ToldVenue | None = None,
        begins: Callable[[], Iterable[AnyEvent]] = beginning,
    ) -> None:
        """Made inside the event loop. The market's ticks are made when they are asked for."""
        self.begins = begins
        self.parrot = Parrot()
        self.engine = Engine(settings(), [self.parrot])
        self.journal = MemoryJournal()
        self.venue = venue or Filling()
        self.clock = VirtualClock(START)
        broker = Shown(market(self))
        self.account = PlayedAccount(CLIENT, broker, MASTER, valid_until_ns=2 * CLOSE)
        self.feed = PlayedFeed(broker, speed=speed)
        self.updates, self.orders = PlayedLine(), PlayedLine()
        self.refused: list[HoldfastError] = []
        self.told: list[Notify] = []
        self.halts: list[Halted] = []
        self.overs = 0
        self.day = Day(
            self.clock,
            ends_ns=END,
            progress=lambda _ticks: None,
            notify=self.told.append,
        )
        self.differences: list[str] = []
        self.supervisor: Supervisor
        self.up = asyncio.Event()

    async def wait_up(self) -> None:
        """Until everything is ready."""
        await self.up.wait()

    async def recover(self) -> Begun:
        """A day that begins."""
        return Begun(engine=self.engine, beginning=self.begins(), write_halt=self.halts.append)

    def over(self) -> None:
        """The day has ended."""
        self.overs += 1

    async def compare(self) -> list[str]:
        """What the test says that differs."""
        return self.differences

    def services(self) -> list[Service]:
        """The table of the program, with stand-ins for the store and the recorder."""
        day, clock = self.day, self.clock
        feed = FeedService(
            self.feed,
            day.inbox,
            clock,
            tell=day.tell,
            may_begin=self.wait_up,
            refuse=self.refused.append,
            interval_s=10.0,
            timeout_s=5.0,
        )
        book = Book(self.account, CLIENT, compare=self.compare, tell=day.tell, clock=clock)
        return [
            Toy("store"),
            Toy("recorder", needs=["store"]),
            Login(self.account, clock, close_ns=CLOSE),
            InstrumentMaster(self.account, underlyings=["NIFTY"]),
            book,
            feed,
            Trading(
                day,
                self.venue,
                self.journal,
                recover=self.recover,
                over=self.over,
                give_up=self.refused.append,
            ),
            Monitor(lambda: day.watermark_s, interval_s=0.1, notify=self.told.append),
            Updates(self.updates, day.tell, clock, interval_s=10.0, timeout_s=5.0),
            Routing(
                self.orders, day.tell, clock, settle=day.settle, interval_s=10.0, timeout_s=5.0
            ),
        ]

    async def live(self, story: Callable[["Chain"], Awaitable[None]]) -> None:
        """Start, tell the story, and stop as a program does."""
        async with asyncio.TaskGroup() as group:
            self.supervisor = Supervisor(
                self.services(),
                group=group,
                threads=Threads(),
                clock=self.clock,
                record=self.day.tell,
            )
            await self.supervisor.start()
            self.up.set()
            await story(self)
            await self.supervisor.drain(within_s=1.5)
            for groups in ((Group.ORDER, Group.SIDE), (Group.PRICE,), (Group.STATE,)):
                await self.supervisor.stop(*groups, within_s=1.0)
            await self.supervisor.close()
        self.day.close()

    def state(self, name: str) -> tuple[str, str, int]:
        """Where a service is, why, and how often it was started again."""
        [one] = [one for one in self.supervisor.status() if one.name == name]
        return one.state.value, one.reason, one.restarts

    async def until_market(self, seconds: float) -> None:
        """Until the engine has seen a tick of so many seconds after the opening."""
        await until(lambda: self.clock.now_ns() >= OPEN + round(seconds * SECOND))

    def journaled(self, kind: type[AnyEvent]) -> list[AnyEvent]:
        """Events of one kind, in order."""
        return [event for event in self.journal.events if isinstance(event, kind)]


def lived(
    market: Callable[[Chain], Iterable[Tick]],
    story: Callable[[Chain], Awaitable[None]],
    *,
    speed: int = 1,
    venue: ToldVenue | None = None,
    begins: Callable[[], Iterable[AnyEvent]] = beginning,
) -> Chain:
    """A day in virtual time, at `speed` times the time of its market."""

    async def play() -> Chain:
        chain = Chain(market, speed=speed, venue=venue, begins=begins)
        await chain.live(story)
        return chain

    return virtually(play())
