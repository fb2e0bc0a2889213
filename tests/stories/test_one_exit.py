"""A thousand triggers of one exit, from tasks, people and a second start: one closing order.

The real inbox, driver, router and recovery around the simulated exchange. The price lies beyond the
stop, nobody bids, and everything that can ask for the exit asks for it, before and after a crash.
"""

import asyncio
from collections import deque
from collections.abc import Iterator

import pytest

from holdfast.brokers.simulated import SimulatedVenue
from holdfast.core.engine import Engine
from holdfast.domain.audit import ExitDecided, PositionClosed
from holdfast.domain.dated import DayFacts
from holdfast.domain.decision import Direction
from holdfast.domain.event import AnyEvent, OperatorAsked, OperatorRequest
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick
from holdfast.domain.order import OrderRow, Side
from holdfast.exchange.checks import Behaviour, ModifyBehaviour
from holdfast.exchange.latency import Latency
from holdfast.exchange.venue import SimulatedExchange
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.driver import Driver
from holdfast.runtime.inbox import Inbox
from holdfast.runtime.recover import Numbered, recover
from holdfast.runtime.router import Router
from holdfast.store.records import Decided
from tests.support.crashes import Disk, DiskJournal, beginning
from tests.support.desk import CALL, FACTS, NIFTY, OPEN, PUT, SECOND, settings
from tests.support.notation import BEHAVIOURS
from tests.support.stage import Scripted

MASTER = (NIFTY, CALL, PUT)
TRIGGERS = 1_000
TASKS = 10
EVERY_NS = 8_000_000
"""Between two triggers: a thousand of them last eight seconds."""

MILLISECOND = 1_000_000


def make(facts: DayFacts, instruments: tuple[Instrument, ...]) -> Engine:
    """An engine whose strategy enters at the first close."""
    assert (facts, instruments) == (FACTS, MASTER)
    return Engine(settings(), [Scripted({OPEN: Direction.UP})])


class Account:
    """The exchange outside of us, and one process of ours after the other."""

    def __init__(self, behaviour: str) -> None:
        self.exchange = SimulatedExchange(
            MASTER,
            FACTS,
            cash_paise=500_000_00,
            seed=1,
            behaviour=Behaviour(stop_to_limit=ModifyBehaviour(behaviour)),
        )
        self.venue = SimulatedVenue(self.exchange, Latency(seed=1), quotes_available=True)
        self.now = OPEN + 30 * SECOND
        self.volume = 0
        self.triggers = 0
        self.live_most = 0
        self.begin(())

    def begin(self, past: tuple[Numbered, ...]) -> None:
        """A process begins, with what a disk kept of the one before."""
        found = recover(lambda: iter(past), make)
        self.engine = make(FACTS, MASTER) if found is None else found[0]
        self.journal = DiskJournal(past, Disk(commit_s=0.5, flush_s=0.5), kill_at=None)
        late: deque[AnyEvent] = deque()
        router = Router(self.venue, self.journal, late.append)
        router.remember(self.engine.order_ids)
        self.driver = Driver(
            self.engine,
            self.journal,
            router=router,
            venue=self.venue,
            clock=VirtualClock(self.now),
            late=late,
        )
        self.inbox = Inbox()
        for event in beginning(self.now):
            self.driver.take(event)

    def crash(self) -> None:
        """The process is gone in the middle of it, with the last half second of its record."""
        past = tuple(self.journal.durable())
        self.venue.hang_up(self.now)
        self.begin(past)

    def stamp(self, after_ns: int) -> int:
        """The next moment."""
        self.now += after_ns
        return self.now

    def packet(self, contract: Instrument, rupees: float, *, is_bid: bool) -> Tick:
        """One packet now; without a bid nothing of ours is bought."""
        self.volume += 65
        paise, is_index = round(rupees * 100), contract is NIFTY
        return Tick(
            at_ns=self.now,
            instrument=contract.id,
            last_paise=paise,
            venue_at_ns=self.now // SECOND * SECOND,
            volume=0 if is_index else self.volume,
            bids=((paise - 5, 650),) if is_bid and not is_index else (),
            asks=() if is_index else ((paise + 5, 650),),
        )

    def quiet(self, seconds: int, rupees: float) -> None:
        """The market goes on around a price, four packets a second."""
        for _ in range(seconds * 4):
            self.stamp(SECOND // 4)
            for contract, price in ((NIFTY, 24_500.0), (CALL, rupees), (PUT, 100.0)):
                self.take(self.packet(contract, price, is_bid=True))

    def take(self, event: AnyEvent) -> None:
        """One event into the driver, and a look at the exchange after it."""
        self.driver.take(event)
        self.look()

    def look(self) -> None:
        """Never two closing orders at once, never more offered than is held."""
        live = [row for row in self.closers() if row.status.is_live]
        self.live_most = max(self.live_most, len(live))
        offered = sum(row.terms.quantity - row.filled_quantity for row in live)
        held = sum(self.exchange.positions().values())
        assert len(live) <= 1
        assert offered <= held

    def closers(self) -> list[OrderRow]:
        """The orders that sell, as the exchange has them."""
        return [row for row in self.exchange.orders() if row.terms.side is Side.SELL]

    # -- the triggers

    async def storm(self, count: int) -> None:
        """So many triggers from as many tasks as there are, taken from the inbox as they come."""
        until = self.triggers + count
        async with asyncio.TaskGroup() as tasks:
            for number in range(TASKS):
                tasks.create_task(self._trigger(number, count // TASKS))
            tasks.create_task(self._drive(until))

    async def _trigger(self, number: int, count: int) -> None:
        for event in self._asking(number, count):
            if isinstance(event, Tick):
                self.inbox.offer(event)
            else:
                self.inbox.put(event)
            self.triggers += 1
            await asyncio.sleep(0)

    def _asking(self, number: int, count: int) -> Iterator[AnyEvent]:
        """Packets beyond the stop from half of the tasks, requests of people from the others."""
        kinds = (OperatorRequest.CLOSE, OperatorRequest.FLATTEN, OperatorRequest.PANIC)
        for each in range(count):
            at_ns = self.stamp(EVERY_NS)
            if number % 2:
                yield self.packet(CALL, 84.0 - each % 3, is_bid=False)
                continue
            kind = kinds[(number + each) % 3]
            position = 1 if kind is OperatorRequest.CLOSE else None
            yield OperatorAsked(at_ns=at_ns, request=kind, reason="storm", position=position)

    async def _drive(self, until: int) -> None:
        while self.triggers < until or any(self.inbox.depth):
            event = self.inbox.take_nowait()
            if event is not None:
                self.take(event)
            await asyncio.sleep(0)

    # -- how it ended

    def decided(self) -> list[ExitDecided]:
        """Every exit decision that any process recorded, each once."""
        rows = [row for _, row in self.journal.rows if isinstance(row, Decided)]
        return [one for row in rows for one in row.audits if isinstance(one, ExitDecided)]

    def closed(self) -> list[PositionClosed]:
        rows = [row for _, row in self.journal.rows if isinstance(row, Decided)]
        return [one for row in rows for one in row.audits if isinstance(one, PositionClosed)]


@pytest.mark.proves("RACE-3", "EXE-5", "RACE-9", "T21")
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_thousand_triggers_across_a_crash_are_one_closing_order(behaviour: str) -> None:
    """At any moment one closing order at most; what it sold is what was held, told once."""
    account = Account(behaviour)
    account.quiet(40, 100.0)
    held = sum(account.exchange.positions().values())
    assert held > 0
    assert len(account.closers()) == 1
    asyncio.run(account.storm(TRIGGERS // 2))
    account.crash()
    asyncio.run(account.storm(TRIGGERS // 2))
    account.quiet(30, 84.0)
    sold = sum(row.filled_quantity for row in account.closers())
    filled = [row for row in account.closers() if row.filled_quantity]
    print(f"{behaviour}: {account.triggers} triggers, {len(account.closers())} closing orders")  # noqa: T201 what was done is told with the result
    assert account.triggers == TRIGGERS
    assert (sold, len(filled), account.live_most) == (held, 1, 1)
    assert len(account.closers()) <= (1 if behaviour == "accepts" else 2)
    assert len(account.closed()) == 1
    assert account.engine.live_orders == ()
    account.exchange.assert_conserved()
