"""The stage on which stories are played: the engine behind driver, router and journal, told by hand.

The market goes on by itself, one packet a second of every contract as it last was. The broker is
told its words by the story, or is the simulated one, which answers by itself and is looked into
after every event. Commands are those that left: the router handed them to the broker.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace
from typing_extensions import override

from holdfast.brokers.simulated import SimulatedVenue
from holdfast.core.engine import NOTHING, Engine, Step
from holdfast.core.orders.ids import OrderReason, order_id
from holdfast.core.settings import EngineSettings
from holdfast.core.strategy import Opinion, Warmup
from holdfast.domain.audit import AnyAudit
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import (
    AnyCommand,
    CancelOrder,
    ModifyOrder,
    OrderRequest,
    PlaceOrder,
    Subscribe,
)
from holdfast.domain.dated import DayFacts
from holdfast.domain.decision import Direction
from holdfast.domain.event import (
    Action,
    AnyEvent,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    SendFailed,
    TimerFired,
)
from holdfast.domain.instrument import Instrument, InstrumentId
from holdfast.domain.market import Candle, Tick
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderTerms,
    OrderType,
    Refusal,
    Side,
)
from holdfast.exchange.checks import Behaviour, ModifyBehaviour
from holdfast.exchange.latency import Latency
from holdfast.exchange.venue import SimulatedExchange
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.driver import Driver
from holdfast.runtime.recover import recover
from holdfast.runtime.router import Router
from tests.support.crashes import Disk, DiskJournal, beginning
from tests.support.desk import CALL, FACTS, NIFTY, OPEN, PUT, SECOND, Desk
from tests.support.notation import Named

MASTER: Final = (NIFTY, CALL, PUT)
CASH_PAISE: Final = 500_000_00
_ANSWERS: Final = (OrderAcknowledged, OrderUpdated, SendFailed)


class Scripted:
    """A strategy that speaks at the closes of the candles that a story names."""

    name = "scripted"
    underlying = NIFTY.id
    hears_ticks = False

    def __init__(self, script: Mapping[int, Direction]) -> None:
        self._script = script

    def warmup(self) -> Sequence[Warmup]:
        return (Warmup(interval_s=60, candles=0),)

    def on_candle(self, candle: Candle, *, live: bool) -> Opinion | None:
        direction = self._script.get(candle.start_ns)
        if not live or direction is None:
            return None
        return Opinion(direction=direction, reason="scripted", values={})

    def on_tick(self, tick: Tick) -> Opinion | None:
        raise AssertionError(tick)


class SilentVenue:
    """A broker that says nothing but what a story says for it."""

    due_ns: int | None = None

    def submit(self, command: AnyCommand, at_ns: int) -> None:
        del command, at_ns

    def on_tick(self, tick: Tick) -> None:
        del tick

    def pop_due(self, at_ns: int) -> Sequence[AnyEvent]:
        del at_ns
        return ()


class WatchedVenue:
    """Passes on what leaves and notes it; a line that is down or deaf loses its part."""

    def __init__(self, inner: SilentVenue | SimulatedVenue, stage: "Stage") -> None:
        self._inner = inner
        self._stage = stage
        self._refused: deque[AnyEvent] = deque()
        self.down_until_ns = 0
        self.deaf_until_ns = 0

    def submit(self, command: AnyCommand, at_ns: int) -> None:
        self._stage.note(command)
        is_order = isinstance(command, OrderRequest)
        if is_order and at_ns < self.down_until_ns:
            self._refused.append(_unsent(command, at_ns))
        else:
            self._inner.submit(command, at_ns)

    def on_tick(self, tick: Tick) -> None:
        self._inner.on_tick(tick)

    @property
    def due_ns(self) -> int | None:
        heads = [self._inner.due_ns, self._refused[0].at_ns if self._refused else None]
        return min((head for head in heads if head is not None), default=None)

    def pop_due(self, at_ns: int) -> Sequence[AnyEvent]:
        told = list(self._refused)
        self._refused.clear()
        answers = self._inner.pop_due(at_ns)
        return told + [
            event
            for event in answers
            if event.at_ns >= self.deaf_until_ns or not isinstance(event, _ANSWERS)
        ]


def _unsent(command: AnyCommand, at_ns: int) -> SendFailed:
    kinds: dict[type, Action] = {
        PlaceOrder: Action.PLACE,
        ModifyOrder: Action.MODIFY,
        CancelOrder: Action.CANCEL,
    }
    assert isinstance(command, OrderRequest)
    return SendFailed(
        at_ns=at_ns,
        order_id=command.order_id,
        action=kinds[type(command)],
        outcome=Outcome.NOT_SENT,
        reason="the line is down",
    )


class _Journal(DiskJournal):
    """Tells the stage what each step found."""

    def __init__(self, past: Sequence[Any], stage: "Stage") -> None:
        super().__init__(past, Disk(), kill_at=None)
        self._stage = stage

    @override
    def append_decision(
        self, cause: int, at_ns: int, commands: Sequence[AnyCommand], audits: Sequence[AnyAudit]
    ) -> int:
        self._stage.audits += audits
        return super().append_decision(cause, at_ns, commands, audits)


class Stage(Desk):
    """A desk whose engine runs behind the real driver, router and recovery."""

    def __init__(
        self,
        settings: EngineSettings,
        script: Mapping[int, Direction],
        *,
        begins_ns: int = OPEN,
        behaviour: str | None = None,
    ) -> None:
        """`behaviour` names the simulated broker's; `None`: the story speaks for the broker."""
        super().__init__(ready=False)
        self.settings = settings
        self.script = script
        self.now = begins_ns
        self.prices: dict[InstrumentId, tuple[float, float | None, float | None]] = {
            CALL.id: (100.0, None, None),
            PUT.id: (100.0, None, None),
            NIFTY.id: (24_500.0, None, None),
        }
        self.is_feed_on = True
        self.subscribed: tuple[InstrumentId, ...] = ()
        self._told_ns = begins_ns
        self.held_terms: dict[OrderId, OrderTerms] = {}
        self.placed: dict[OrderId, PlaceOrder] = {}
        self.unsent: set[OrderId] = set()
        self.stamps: dict[OrderId, int] = {}
        self.fills: dict[OrderId, tuple[int, float]] = {}
        self.exchange: SimulatedExchange | None = None
        inner: SilentVenue | SimulatedVenue = SilentVenue()
        if behaviour is not None:
            inner = self._simulated(behaviour)
        self.inner = inner
        self._begin(())
        self._open()

    def _simulated(self, behaviour: str) -> SimulatedVenue:
        self.exchange = SimulatedExchange(
            MASTER,
            FACTS,
            cash_paise=CASH_PAISE,
            seed=1,
            behaviour=Behaviour(stop_to_limit=ModifyBehaviour(behaviour)),
        )
        return SimulatedVenue(self.exchange, Latency(seed=1), quotes_available=True)

    def make(self, facts: DayFacts, instruments: tuple[Instrument, ...]) -> Engine:
        """The engine of the story, never stepped."""
        assert (facts, instruments) == (FACTS, MASTER)
        return Engine(self.settings, [Scripted(self.script)])

    def _begin(self, past: Sequence[Any]) -> None:
        """Wire a process; one before it has left `past` behind."""
        found = recover(lambda: iter(past), self.make)
        self.engine = self.make(FACTS, MASTER) if found is None else found[0]
        self.journal = _Journal(past, self)
        late: deque[AnyEvent] = deque()
        self.venue = WatchedVenue(self.inner, self)
        router = Router(self.venue, self.journal, late.append, notify=self.commands.append)
        router.remember(self.engine.order_ids)
        self.driver = Driver(
            self.engine,
            self.journal,
            router=router,
            venue=self.venue,
            clock=VirtualClock(self.now),
            late=late,
        )

    def _open(self) -> None:
        for event in beginning(self.now):
            self.tell(event)
        self.packets()
        if self.exchange is None:
            self.book()
            self.book()
            self.funds()
        self.commands.clear()

    # -- time and market

    @override
    def tell(self, event: AnyEvent) -> Step:
        """Let an event happen, with everything that is due before it."""
        self.events.append(event)
        self.driver.take(event)
        self.check()
        return NOTHING

    @override
    def _step(self, event: AnyEvent) -> Step:
        return self.tell(event)

    @override
    def at(self, seconds: float) -> "Stage":
        """Go to a time of the story; the market is told each second on the way."""
        return self.go(OPEN + round(seconds * SECOND))

    def go(self, until_ns: int) -> "Stage":
        """The same in nanoseconds; deadlines and answers due by then have happened."""
        assert until_ns >= self.now, "time does not go back"
        while self.is_feed_on and self._told_ns + SECOND <= until_ns:
            self.now = self._told_ns + SECOND
            self.packets()
        self.now = until_ns
        self.driver.advance(until_ns)
        while (due := self.engine.deadline_ns) is not None and due <= until_ns:
            self.driver.take(TimerFired(at_ns=due))
        self.check()
        return self

    def packets(self) -> None:
        """A packet of every contract as it last was."""
        self._told_ns = self.now
        for contract in (NIFTY, CALL, PUT):
            last, bid, ask = self.prices[contract.id]
            self.tick(contract, last, bid, ask)

    def price(
        self, contract: Instrument, last: float, bid: float | None, ask: float | None
    ) -> None:
        """What is told of a contract from now on, this packet first."""
        self.prices[contract.id] = (last, bid, ask)

    def feed(self, *, is_on: bool) -> None:
        """The market is heard from here on, or it is not."""
        self.is_feed_on, self._told_ns = is_on, self.now

    # -- processes

    def begin_again(self) -> None:
        """The process ends and another begins with all that the engine had folded."""
        for event in beginning(self.now):
            self.tell(event)

    def crash(self, *, losing_s: float) -> None:
        """The process is killed, its last records with it, and another recovers from the rest."""
        durable_ns = self.now - round(losing_s * SECOND)
        rows = [row for row in self.journal.durable() if row[1].at_ns <= durable_ns]
        if isinstance(self.inner, SimulatedVenue):
            self.inner.hang_up(self.now)
        self._begin(rows)
        self.begin_again()

    # -- what left

    def note(self, command: AnyCommand) -> None:
        """Keep a command that left; the broker holds the terms of a placement."""
        if isinstance(command, PlaceOrder):
            is_known = command.order_id in self.placed and command.order_id not in self.unsent
            assert not is_known, f"{command.order_id} left twice"
            self.placed[command.order_id] = command
            self.held_terms[command.order_id] = command.terms
        if isinstance(command, Subscribe):
            self.subscribed = command.instruments
        else:
            self.commands.append(command)

    def asked_terms(self, identity: OrderId) -> OrderTerms:
        """The newest terms that were asked for an order."""
        asked = [
            one.terms
            for one in self.commands
            if isinstance(one, PlaceOrder | ModifyOrder) and one.order_id == identity
        ]
        return asked[-1] if asked else self.placed[identity].terms

    def identity(self, named: Named) -> OrderId:
        """The id of an order that a story names."""
        return order_id(self.settings.id_prefix, OrderReason(*named))

    # -- words of the broker told by hand

    def say(
        self,
        identity: OrderId,
        status: BrokerStatus,
        options: Mapping[str, Any],
        *,
        is_asked: bool = False,
    ) -> None:
        """A row about an order: cumulative, with the terms asked last or those that stood."""
        if is_asked:
            self.held_terms[identity] = self.asked_terms(identity)
        row = self.row_of(identity, status, options)
        if "old" in options:
            row = replace(row, venue_at_ns=self.stamps.get(identity, self.now) - SECOND)
        else:
            row = replace(row, venue_at_ns=self.now)
            self.stamps[identity] = self.now
        self.tell(OrderUpdated(at_ns=self.now, row=row, is_read="read" in options))

    def row_of(
        self, identity: OrderId, status: BrokerStatus, options: Mapping[str, Any]
    ) -> OrderRow:
        """An order as the broker has it, stamped when something last happened to it."""
        filled, price = self.fills.get(identity, (0, 100.0))
        price = options["@"] / 100 if "@" in options else price
        if "filled" in options:
            filled = options["filled"]
        self.fills[identity] = filled, price
        terms = self.held_terms[identity]
        is_whole = filled == terms.quantity and status.is_live
        return OrderRow(
            order_id=identity,
            broker_id=BrokerOrderId(options.get("number", f"B-{identity}")),
            status=BrokerStatus.FILLED if is_whole else status,
            terms=terms,
            filled_quantity=filled,
            filled_value_paise=round(filled * price * 100),
            venue_at_ns=self.stamps.get(identity, OPEN),
            refusal=options.get("because"),
            reason="told by the story",
        )

    def release(self, identity: OrderId) -> None:
        """The exchange lets a stop into the book."""
        terms = self.held_terms[identity]
        self.held_terms[identity] = replace(terms, order_type=OrderType.LIMIT, trigger_paise=None)

    def failure(
        self, action: Action, identity: OrderId, outcome: Outcome, refusal: Refusal | None = None
    ) -> None:
        """A request about an order failed; one that never left may leave once more."""
        if outcome is Outcome.NOT_SENT and action is Action.PLACE:
            self.unsent.add(identity)
        self.fail(identity, action, outcome, refusal)

    def passes(
        self,
        rows: Sequence[OrderRow],
        foreign: Sequence[ForeignRow],
        nets: Mapping[Instrument, int] | None,
        *,
        times: int,
    ) -> None:
        """Passes over the whole book; without nets they are what the fills come to."""
        for _ in range(times):
            self.book(*rows, foreign=tuple(foreign), nets=nets)

    # -- what must hold after every event of the simulated broker

    def check(self) -> None:
        """Nothing is sold that is not held, and not more offered than is held."""
        if self.exchange is None:
            return
        for key, held in self.exchange.positions().items():
            closing = Side.SELL if held >= 0 else Side.BUY
            offered = sum(
                row.terms.quantity - row.filled_quantity
                for row in self.exchange.orders()
                if row.terms.instrument == key.instrument
                and row.terms.side is closing
                and row.status.is_live
                and "-E" not in row.order_id
            )
            assert offered <= abs(held), f"{offered} of {key} are offered, {held} are held"
