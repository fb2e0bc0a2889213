"""A short day in virtual time, killed at any record and begun again from what was durable.

The exchange and its broker live outside of us: they are built again from the market and from what
the broker itself remembers. Ours is only what a disk kept: the journal up to its last commit, the
tape up to its last flush.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import msgspec

from holdfast.brokers.memory import BrokerMemory, read_memory
from holdfast.brokers.simulated import SimulatedVenue, rebuilt
from holdfast.core.books.postings import Account
from holdfast.core.engine import Engine
from holdfast.core.strategy import Opinion, Warmup
from holdfast.domain.audit import AnyAudit
from holdfast.domain.command import AnyCommand
from holdfast.domain.dated import DayFacts
from holdfast.domain.decision import Direction
from holdfast.domain.event import (
    AnyEvent,
    FactsLoaded,
    InstrumentsLoaded,
    JournalChanged,
    JournalEvent,
    Link,
    LinkChanged,
    OperatorAsked,
    OperatorRequest,
    PositionCarried,
    Restarted,
    ServiceChanged,
    ServiceState,
    TapeEvent,
)
from holdfast.domain.instrument import BrokerKey, Instrument, InstrumentId
from holdfast.domain.market import Candle, Tick
from holdfast.domain.order import OrderId, Side
from holdfast.exchange.account import Carried
from holdfast.exchange.latency import Latency
from holdfast.exchange.venue import SimulatedExchange
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.driver import ON_TAPE, Driver
from holdfast.runtime.recover import Numbered, Recovered, recover
from holdfast.runtime.router import Router, sent_of
from holdfast.runtime.starting import simulated_access
from holdfast.store.records import Decided
from tests.support.desk import CALL, DAY, FACTS, NIFTY, OPEN, PUT, SECOND, settings

CASH = 500_000_00
BEGIN = OPEN + 45 * SECOND
MASTER = (NIFTY, CALL, PUT)
PATH = (
    *((50 + n, 100.0) for n in range(15)),
    *((65 + n, 100.0 + n) for n in range(12)),  # up: the trail is armed at 108 and follows
    *((77 + n, 111.0 - 0.2 * (n % 2)) for n in range(10)),
    *((87 + n, 110.0 - n) for n in range(12)),  # down through the trailing stop
    *((99 + n, 99.0) for n in range(11)),
)
"""Second after the opening, and the call's price in rupees."""

FLAT_AT = 112
ENDS = 130


class Killed(Exception):
    """The process is gone."""


class Once:
    """A strategy that goes with the first candle of the day."""

    name = "once"
    underlying = NIFTY.id
    hears_ticks = False

    def warmup(self) -> Sequence[Warmup]:
        return (Warmup(interval_s=60, candles=0),)

    def on_candle(self, candle: Candle, *, live: bool) -> Opinion | None:
        if not live or candle.start_ns != OPEN:
            return None
        return Opinion(direction=Direction.UP, reason="first candle", values={})

    def on_tick(self, tick: Tick) -> Opinion | None:
        raise AssertionError(tick)


def market() -> Iterator[Tick]:
    """Ticks of the call each second, of index and put between; thin offers while it is entered."""
    volumes = dict.fromkeys((one.id for one in MASTER), 0)
    for second, rupees in PATH:
        yield tick(CALL, second, round(rupees * 20) * 5, volumes)
        if second % 2 == 0:
            yield tick(NIFTY, second + 0.3, 2_450_000, volumes)
        if second % 3 == 0:
            yield tick(PUT, second + 0.6, 10_000, volumes)


def tick(
    instrument: Instrument, second: float, paise: int, volumes: dict[InstrumentId, int]
) -> Tick:
    at_ns = OPEN + round(second * SECOND)
    volumes[instrument.id] += 65
    if instrument is NIFTY:
        return Tick(at_ns=at_ns, instrument=NIFTY.id, last_paise=paise, venue_at_ns=at_ns)
    offered = 65 if second < 64 else 650
    return Tick(
        at_ns=at_ns,
        instrument=instrument.id,
        last_paise=paise,
        venue_at_ns=at_ns,
        volume=volumes[instrument.id],
        bids=((paise - 5, 130), (paise - 10, 650)),
        asks=((paise + 5, offered),),
    )


def make(facts: DayFacts, instruments: tuple[Instrument, ...]) -> Engine:
    """The engine of the day, never stepped."""
    assert (facts, instruments) == (FACTS, MASTER)
    return Engine(settings(), [Once()])


class Disk(NamedTuple):
    """How often the journal is committed and the tape flushed, in seconds; 0: each record."""

    commit_s: float = 0.0
    flush_s: float = 0.0


DISKS = (Disk(), Disk(commit_s=1.0), Disk(flush_s=1.0), Disk(1.0, 0.7), Disk(0.8, 1.3))


class DiskJournal:
    """Numbers and keeps records; knows what of them a disk would hold if the process died now.

    Who waits for an entry has the journal committed. With record number `kill_at` of this process
    it dies: whatever should have followed that record never happens.
    """

    def __init__(self, past: Sequence[Numbered], disk: Disk, *, kill_at: int | None) -> None:
        self.rows: list[Numbered] = list(past)
        self.kill_at = None if kill_at is None else len(self.rows) + kill_at
        self._commit_every_ns = round(disk.commit_s * SECOND)
        self._flush_every_ns = round(disk.flush_s * SECOND)
        self._next = max((number for number, _ in past), default=0) + 1
        self._committed = self._flushed = self._next - 1
        self._commit_ns = self._flush_ns = 0

    def append(self, event: JournalEvent) -> int:
        return self._take(event)

    def append_market(self, event: TapeEvent) -> int:
        return self._take(event)

    def append_decision(
        self, cause: int, at_ns: int, commands: Sequence[AnyCommand], audits: Sequence[AnyAudit]
    ) -> int:
        return self._take(
            Decided(at_ns=at_ns, cause=cause, commands=tuple(commands), audits=tuple(audits))
        )

    def wait_durable(self, sequence: int) -> Future[None]:
        self._committed = max(self._committed, sequence)
        future: Future[None] = Future()
        future.set_result(None)
        return future

    def _take(self, record: AnyEvent | Decided) -> int:
        sequence = self._next
        self._next += 1
        self.rows.append((sequence, record))
        if record.at_ns - self._commit_ns >= self._commit_every_ns:
            self._commit_ns, self._committed = record.at_ns, sequence
        if record.at_ns - self._flush_ns >= self._flush_every_ns:
            self._flush_ns, self._flushed = record.at_ns, sequence
        if self.kill_at is not None and len(self.rows) >= self.kill_at:
            raise Killed
        return sequence

    def durable(self) -> list[Numbered]:
        """What is on the disk."""
        return [
            (number, record)
            for number, record in self.rows
            if number <= (self._flushed if isinstance(record, ON_TAPE) else self._committed)
        ]


class World:
    """Market, exchange and broker, and one process of ours after the other."""

    def __init__(
        self,
        folder: Path,
        *,
        carried: Sequence[PositionCarried] = (),
        begins_ns: int = BEGIN,
        market: Callable[[], Iterator[Tick]] = market,
    ) -> None:
        """`carried`: what an earlier day has left open, here and at the broker."""
        self.carried = tuple(carried)
        self.begins_ns = begins_ns
        self.market = market
        self.file = folder / "broker.jsonl"
        self.file.unlink(missing_ok=True)
        self.lives = 0
        self.most_sold = 0
        self.recovered: Recovered | None = None
        self.exchange: SimulatedExchange
        self.engine: Engine
        self.journal: DiskJournal
        self.memory: BrokerMemory | None = None

    def live(
        self,
        past: Sequence[Numbered] = (),
        disk: Disk = DISKS[0],
        *,
        kill_at: int | None = None,
    ) -> bool:
        """Run one process, from what was durable, until it is killed or the day ends.

        Returns whether it came to the end.
        """
        self.lives += 1
        until_ns = self._begin(past, disk, kill_at=kill_at)
        try:
            self._run(until_ns)
        except Killed:
            return False
        finally:
            assert self.memory is not None
            self.memory.close()
        return True

    def _begin(self, past: Sequence[Numbered], disk: Disk, *, kill_at: int | None) -> int:
        """Build exchange and broker as they stand, fold the past, and wire a new process to them."""
        remembered = read_memory(self.file)
        stamps = [record.at_ns for _, record in past] + [one.at_ns for one in remembered]
        until_ns = max(stamps, default=self.begins_ns)
        self.exchange = SimulatedExchange(
            MASTER, FACTS, cash_paise=CASH, seed=1, carried=[_held(one) for one in self.carried]
        )
        self.venue = SimulatedVenue(self.exchange, Latency(seed=1), quotes_available=True)
        self.ticks = rebuilt(self.venue, self.market(), remembered, until_ns=until_ns)
        self.memory = BrokerMemory(self.file)
        self.venue.remember(self.memory)
        found = recover(lambda: iter(past), make)
        self.engine, self.recovered = (make(FACTS, MASTER), None) if found is None else found
        self.journal = DiskJournal(past, disk, kill_at=kill_at)
        late: deque[AnyEvent] = deque()
        router = Router(self.venue, self.journal, late.append)
        router.remember(self.engine.order_ids)
        router.resume(
            sent for _, record in past if isinstance(record, Decided) for sent in sent_of(record)
        )
        self.driver = Driver(
            self.engine,
            self.journal,
            router=router,
            venue=self.venue,
            clock=VirtualClock(until_ns),
            late=late,
        )
        return until_ns

    def _run(self, until_ns: int) -> None:
        told = () if self.recovered is not None else self.carried
        for event in beginning(until_ns, carried=told):
            self._take(event)
        for tick in self.ticks:
            self._take(tick)
        # A start after the last tick has seen no price: the last one is told again until the end.
        last = [tick for tick in self.market() if tick.instrument == CALL.id][-1]
        flat_ns = max(OPEN + FLAT_AT * SECOND, until_ns)
        self._take(OperatorAsked(at_ns=flat_ns, request=OperatorRequest.FLATTEN, reason="end"))
        for second in range(1, ENDS - FLAT_AT):
            at_ns = flat_ns + second * SECOND
            self._take(_at(last, at_ns, volume=last.volume + 65 * second))

    def _take(self, event: AnyEvent) -> None:
        self.driver.take(event)
        self.check()

    def check(self) -> None:
        """Nothing is sold that is not held, and what could be sold at once is held, too."""
        for key, held in self.exchange.positions().items():
            assert held >= 0, f"{key} was sold short"
            offered = sum(
                row.terms.quantity - row.filled_quantity
                for row in self.exchange.orders()
                if row.terms.side is Side.SELL and row.status.value in ("working", "triggered")
            )
            assert offered <= held, f"{offered} of {key} could be sold, {held} are held"
            self.most_sold = max(self.most_sold, offered)

    # -- how it ended

    def placed(self) -> list[OrderId]:
        """Every id that reached the broker, as often as it did."""
        return [one.order_id for one in self.exchange.placements]

    def assert_reconciled(self) -> None:
        """No id twice, flat, our money the exchange's, and no difference unexplained."""
        state = self.engine._state  # noqa: SLF001 tests look inside
        placed = self.placed()
        assert len(set(placed)) == len(placed), f"an id was sent twice: {placed}"
        assert {key: net for key, net in self.exchange.positions().items() if net} == {}
        assert self.engine.open_positions == 0
        assert self.engine.live_orders == ()
        assert state.drifts == {}
        assert state.book.open_points == ()
        realised = -state.ledger.balance_e4(Account.REALISED)
        paid_before = sum(one.cost_paise for one in self.carried)
        assert realised == (self.exchange.cash_paise - CASH - paid_before) * 10_000
        self.exchange.assert_conserved()


def _held(one: PositionCarried) -> Carried:
    """The same at the broker."""
    key = BrokerKey(one.intent.instrument, one.intent.product)
    return Carried(key=key, net=one.quantity, cost_paise=one.cost_paise)


def beginning(at_ns: int, *, carried: Sequence[PositionCarried] = ()) -> Iterator[AnyEvent]:
    """What every start tells the engine; one that recovers it knows what was carried."""
    yield Restarted(at_ns=at_ns, day=DAY, code_version="1", config_sha256="c")
    yield FactsLoaded(at_ns=at_ns, sha256="f", facts=FACTS)
    yield InstrumentsLoaded(at_ns=at_ns, sha256="i", instruments=MASTER)
    for one in carried:
        yield msgspec.structs.replace(one, at_ns=at_ns)
    yield ServiceChanged(at_ns=at_ns, service="engine", state=ServiceState.READY, is_core=True)
    for link in Link:
        yield LinkChanged(at_ns=at_ns, link=link, is_up=True)
    yield JournalChanged(at_ns=at_ns, is_durable=True)
    yield from simulated_access(at_ns)


def _at(tick: Tick, at_ns: int, *, volume: int) -> Tick:
    return Tick(
        at_ns=at_ns,
        instrument=tick.instrument,
        last_paise=tick.last_paise,
        venue_at_ns=at_ns,
        volume=volume,
        bids=tick.bids,
        asks=tick.asks,
    )
