"""A million words from tasks and threads, and the record folds to the state that they left.

The real inbox, driver and router, with a broker that takes what it is asked and says nothing: what
is said of orders comes from tasks, again and again, in any order.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from holdfast.core.engine import Engine
from holdfast.core.settings import ReconcileSettings
from holdfast.domain.command import AnyCommand, CancelOrder, ModifyOrder, PlaceOrder
from holdfast.domain.dated import DayFacts
from holdfast.domain.decision import Direction
from holdfast.domain.event import (
    AnyEvent,
    BookRead,
    FundsRead,
    OperatorAsked,
    OperatorRequest,
    OrderAcknowledged,
    OrderUpdated,
)
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderTerms,
    OrderType,
)
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.driver import Driver
from holdfast.runtime.inbox import Inbox
from holdfast.runtime.recover import recover
from holdfast.runtime.router import Router
from tests.support.crashes import Disk, DiskJournal, beginning
from tests.support.desk import CALL, FACTS, NIFTY, OPEN, PUT, SECOND, settings
from tests.support.stage import Scripted

MASTER: Final = (NIFTY, CALL, PUT)
EVENTS: Final = 1_000_000
TICK_TASKS, WORD_TASKS, THREADS = 4, 4, 2
WORDS: Final = 4_000
"""How many updates, answers and requests each of the other tasks and threads delivers."""

TICKS: Final = EVENTS - (WORD_TASKS + THREADS) * WORDS
STEP_NS: Final = 18_000_000
"""Between two packets: so many of them fill five hours."""

BATCH: Final = TICKS // WORDS
"""So many packets are brought at a time; then everybody else may say one word."""


def make(facts: DayFacts, instruments: tuple[Instrument, ...]) -> Engine:
    """An engine whose strategy speaks every ten minutes."""
    assert (facts, instruments) == (FACTS, MASTER)
    minutes = range(OPEN, OPEN + 18_000 * SECOND, 600 * SECOND)
    quiet = ReconcileSettings(every_s=100_000, age_s=100_000)  # nobody answers reads of the book
    return Engine(settings(reconcile=quiet), [Scripted(dict.fromkeys(minutes, Direction.UP))])


class TakingVenue:
    """Keeps the orders that were asked for; tasks speak about them."""

    due_ns: int | None = None

    def __init__(self) -> None:
        self.placed: list[PlaceOrder] = []
        self.terms: dict[OrderId, OrderTerms] = {}
        self.cancelled: set[OrderId] = set()

    def submit(self, command: AnyCommand, at_ns: int) -> None:
        del at_ns
        if isinstance(command, PlaceOrder):
            self.placed.append(command)
        if isinstance(command, PlaceOrder | ModifyOrder):
            self.terms[command.order_id] = command.terms
        elif isinstance(command, CancelOrder):
            self.cancelled.add(command.order_id)

    def on_tick(self, tick: Tick) -> None:
        del tick

    def pop_due(self, at_ns: int) -> Sequence[AnyEvent]:
        del at_ns
        return ()


class Storm:
    """One process, and everybody who speaks to it."""

    def __init__(self) -> None:
        self.venue = TakingVenue()
        self.journal = DiskJournal((), Disk(), kill_at=None)
        self.engine = make(FACTS, MASTER)
        self.clock = VirtualClock(OPEN)
        late: deque[AnyEvent] = deque()
        self.driver = Driver(
            self.engine,
            self.journal,
            router=Router(self.venue, self.journal, late.append),
            venue=self.venue,
            clock=self.clock,
            late=late,
        )
        self.inbox = Inbox()
        self.now = OPEN
        self.delivered = 0
        self.talkers = TICK_TASKS + WORD_TASKS + THREADS
        self.turns = [asyncio.Semaphore(0) for _ in range(WORD_TASKS)]
        self.gates = [threading.Semaphore(0) for _ in range(THREADS)]

    def begin(self) -> None:
        """A day begins with a book that shows nothing."""
        for event in beginning(self.now):
            self.driver.take(event)
        for _ in range(2):
            self.driver.take(_empty(self.now))
        self.driver.take(FundsRead(at_ns=self.now, available_paise=500_000_00))

    async def blow(self) -> None:
        """Everybody speaks until all is said."""
        loop = asyncio.get_running_loop()
        threads = [
            threading.Thread(target=self._thread, args=(loop, number)) for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        async with asyncio.TaskGroup() as tasks:
            for number in range(TICK_TASKS):
                tasks.create_task(self._ticks(number))
            for number in range(WORD_TASKS):
                tasks.create_task(self._words(number))
            tasks.create_task(self.driver.run(self.inbox, lambda _ticks: None))
        for thread in threads:
            thread.join()

    async def _ticks(self, number: int) -> None:
        """A quarter of the packets, in batches, waiting where the inbox is full."""
        for start in range(0, TICKS // TICK_TASKS, BATCH):
            await self.inbox.put_market(tuple(self._packets(number, start)))
            self.delivered += BATCH
            for turn in self.turns:
                turn.release()
            for gate in self.gates:
                gate.release()
            await asyncio.sleep(0)
        self._leave()

    def _packets(self, number: int, start: int) -> Iterator[Tick]:
        for each in range(start, start + BATCH):
            contract = MASTER[(each + number) % 3]
            is_index = contract is NIFTY
            self.now += STEP_NS
            paise = 2_450_000 if is_index else 10_000 + 5 * (_wave(each) - 50)
            yield Tick(
                at_ns=self.now,
                instrument=contract.id,
                last_paise=paise,
                venue_at_ns=self.now // SECOND * SECOND,
                volume=0 if is_index else each * 65,
                bids=() if is_index else ((paise - 5, 650),),
                asks=() if is_index else ((paise + 5, 650),),
            )

    async def _words(self, number: int) -> None:
        """Updates of orders and requests of people, spread over the day."""
        for each in range(WORDS):
            await self.turns[number].acquire()
            self.inbox.put(self._word(number, each))
            self.delivered += 1
        self._leave()

    def _thread(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        """The same from outside of the loop, as the writer and the operator's socket speak."""
        for each in range(WORDS):
            self.gates[number].acquire()
            loop.call_soon_threadsafe(self._from_outside, number, each)
        loop.call_soon_threadsafe(self._leave)

    def _from_outside(self, number: int, each: int) -> None:
        self.inbox.put(self._word(number, each))
        self.delivered += 1

    def _word(self, number: int, each: int) -> AnyEvent:
        kind = (each * 7 + number) % 40
        if kind == 0:
            kinds = (OperatorRequest.RESUME, OperatorRequest.CLOSE, OperatorRequest.ACKNOWLEDGE)
            request = kinds[each % 3]
            position = len(self.engine.books.positions) or None
            return OperatorAsked(
                at_ns=self.clock.now_ns(), request=request, reason="storm", position=position
            )
        if kind == 1 or not self.venue.placed:
            return FundsRead(at_ns=self.clock.now_ns(), available_paise=500_000_00)
        placed = self.venue.placed[-1 - each % min(4, len(self.venue.placed))]
        number_ = BrokerOrderId(f"B-{placed.order_id}")
        if kind < 6:
            return OrderAcknowledged(
                at_ns=self.clock.now_ns(), order_id=placed.order_id, broker_id=number_
            )
        return OrderUpdated(
            at_ns=self.clock.now_ns(), row=self._row(placed, number_, each), is_read=kind < 20
        )

    def _row(self, placed: PlaceOrder, number: BrokerOrderId, each: int) -> OrderRow:
        """As it was asked last, filled in part or whole; one that was taken back is dead."""
        terms = self.venue.terms[placed.order_id]
        lots = terms.quantity // 65
        is_dead = placed.order_id in self.venue.cancelled
        is_idle = is_dead or terms.order_type is OrderType.STOP_LIMIT
        filled = 0 if is_idle else min(each % (lots + 2), lots) * 65
        status = BrokerStatus.FILLED if filled == terms.quantity else BrokerStatus.WORKING
        return OrderRow(
            order_id=placed.order_id,
            broker_id=number,
            status=BrokerStatus.CANCELLED if is_dead else status,
            terms=terms,
            filled_quantity=filled,
            filled_value_paise=filled * terms.limit_paise,
            venue_at_ns=self.clock.now_ns(),
        )

    def _leave(self) -> None:
        """One has said all; with the last one the market ends."""
        self.talkers -= 1
        if not self.talkers:
            self.inbox.end_market()


def _wave(each: int) -> int:
    """Up and down through a hundred steps."""
    turn = each // 40 % 200
    return turn if turn < 100 else 200 - turn


def _empty(at_ns: int) -> BookRead:
    return BookRead(
        at_ns=at_ns, began_at_ns=at_ns, nets=(), orders=(), foreign=(), trades=(), funds_paise=1
    )


@pytest.mark.timeout(400)
@pytest.mark.proves("RACE-9", "TST-2", "B-14")
def test_the_record_of_a_million_words_folds_to_the_state_they_left() -> None:
    """Eight tasks and two threads; nothing is lost on the way, and the fold is the same engine."""
    storm = Storm()
    storm.begin()
    asyncio.run(storm.blow())
    rows = storm.journal.rows
    found = recover(lambda: iter(rows), make)
    assert found is not None
    folded, recovered = found
    fills = sum(quantity for _, quantity in storm.engine.books.orders)
    print(f"{storm.delivered} delivered, {storm.driver.events} stepped, {len(rows)} records,")  # noqa: T201 what was done is told with the result
    print(f"  {len(storm.venue.placed)} orders, {fills} contracts filled")  # noqa: T201 what was done is told with the result
    assert storm.delivered >= EVENTS
    assert storm.driver.events >= EVENTS
    assert storm.driver.ticks == TICKS
    assert len(storm.venue.placed) >= 20
    assert fills >= 1_000
    assert recovered.differences == 0
    assert folded.books == storm.engine.books
    assert folded.image() == storm.engine.image()
