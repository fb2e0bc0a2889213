"""What stands behind the broker's ports, twice: the exchange in our process, and one over the wire.

A `Stage` is one broker with an account that trades alone. Whoever plays on it sends commands through
the ports, hears events, and compares with what the exchange itself says, which goes by no port.
"""

import asyncio
import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from typing_extensions import override

from holdfast.app.config import ClockSettings, Config
from holdfast.app.realtime import real_clock
from holdfast.app.wiring import day_of_market
from holdfast.brokers.dhan.account import Site, Told, Trading, account_side
from holdfast.brokers.dhan.feed import DhanFeed, FeedDay
from holdfast.brokers.dhan.orderline import OrderLine
from holdfast.brokers.dhan.passwords import Passwords
from holdfast.brokers.dhan.quotes import QuoteReader
from holdfast.brokers.dhan.rest import Rest
from holdfast.brokers.dhan.rows import OrderWords
from holdfast.brokers.dhan.settings import Urls
from holdfast.brokers.dhan.token import TokenHolder
from holdfast.brokers.dhan.updates import UpdateStream
from holdfast.brokers.dhan.venue import DhanVenue
from holdfast.brokers.played import PlayedAccount, PlayedBroker, PlayedFeed, PlayedLine
from holdfast.brokers.simulated import SimulatedVenue
from holdfast.domain.command import AnyCommand, ExitAll
from holdfast.domain.dated import DayFacts
from holdfast.domain.event import AnyEvent, GuardAnswered
from holdfast.domain.instrument import BrokerKey, Instrument, InstrumentId, Kind, Product
from holdfast.domain.market import Tick
from holdfast.domain.order import OrderId, Side
from holdfast.exchange.faults import FaultKind, Faults, FaultWindow
from holdfast.exchange.latency import Latency
from holdfast.exchange.venue import SimulatedExchange
from holdfast.facts.ist import SECOND_NS, ist_ns
from holdfast.facts.load import contract_terms
from holdfast.ports import Account, Connection, MarketFeed, MarketSource, VenueDriver
from tests.support.wired import CLIENT, DAY, Broker

SEED: Final = 1
CASH: Final = 1_00_000
SPEED: Final = 15
PREFIX: Final = "L000001261120"
BEGINS: Final = "09:20"
BEGINS_S: Final = 9 * 3_600 + 20 * 60
PATIENCE_S: Final = 90
"""Of the day's time, where that is stepped by whoever waits."""

PATIENCE_WALL_S: Final = 45
"""Of the wall's: a loaded machine answers late, however fast the exchange is."""

E = TypeVar("E")


class Trouble(StrEnum):
    """What a stage can let go wrong, in its own way."""

    NOT_SENT = "not sent"
    PLACE_UNANSWERED = "place unanswered"
    MODIFY_UNANSWERED = "modify unanswered"
    CANCEL_UNANSWERED = "cancel unanswered"
    WORD_FIRST = "word first"
    WORDS_LOST = "words lost"
    CLOSED = "closed"
    FILLS_SLICED = "fills sliced"
    MODIFY_IGNORED = "modify ignored"


class Truly(NamedTuple):
    """An order as the exchange has it."""

    number: str
    is_live: bool
    filled: int
    value_paise: int
    quantity: int
    limit_paise: int


class Stage(ABC):
    """One broker. `heard` is what its ports told, in order."""

    venue: VenueDriver
    account: Account
    feed: MarketFeed
    updates: Connection
    orders: Connection
    instruments: Sequence[Instrument]

    def __init__(self) -> None:
        self.heard: list[AnyEvent] = []
        self._ids = 0

    def new_id(self, letter: str = "E") -> OrderId:
        """An order id that nobody had."""
        self._ids += 1
        return OrderId(f"{PREFIX}-{letter}{self.first_id + self._ids:04d}-1-0")

    first_id = 0

    def ask(self, command: AnyCommand) -> None:
        """Send a command."""
        self.venue.submit(command, self.now_ns())

    async def until(self, found: Callable[[], E | None], what: str) -> E:
        """The event that `found` finds, once it does."""
        await self.pass_by(lambda: found() is not None, what)
        event = found()
        assert event is not None
        return event

    def options(self) -> Sequence[Instrument]:
        """The contracts of the nearest expiry, by their distance from the money."""
        options = [one for one in self.instruments if one.kind is Kind.OPTION]
        middle = sorted(one.strike_paise or 0 for one in options)[len(options) // 2]
        return sorted(options, key=lambda one: abs((one.strike_paise or 0) - middle))

    @abstractmethod
    def now_ns(self) -> int:
        """The day's time."""

    @abstractmethod
    async def pass_by(self, is_so: Callable[[], object], what: str) -> None:
        """Let time pass until something is so."""

    @abstractmethod
    async def last(self, instrument: InstrumentId) -> Tick:
        """The newest word of the exchange about a contract."""

    @abstractmethod
    async def shown(self, instrument: InstrumentId) -> Sequence[Tick]:
        """Everything that the exchange has told of a contract until now."""

    @abstractmethod
    async def let(self, trouble: Trouble) -> None:
        """Let something go wrong from now on."""

    @abstractmethod
    async def calm(self) -> None:
        """Nothing goes wrong any more."""

    @abstractmethod
    async def owner_buys(self, contract: Instrument, quantity: int) -> None:
        """The owner buys by hand."""

    @abstractmethod
    async def truth(self, order_id: OrderId) -> Sequence[Truly]:
        """The orders that the exchange has under an id of ours."""

    @abstractmethod
    async def net(self, contract: Instrument) -> int:
        """What the account really holds of a contract."""

    @abstractmethod
    async def funds_paise(self) -> int:
        """Free cash, by the exchange."""

    @abstractmethod
    async def lift_guards(self) -> None:
        """Take the broker's guards off, as the owner would."""

    async def clear(self) -> None:
        """Leave a flat account without orders and without trouble behind."""
        await self.calm()
        await self.lift_guards()
        before = len(self.heard)
        self.ask(ExitAll())
        await self.pass_by(
            lambda: any(isinstance(one, GuardAnswered) for one in self.heard[before:]), "exit all"
        )


# -- the exchange in our process


class Market(NamedTuple):
    """A generated day."""

    facts: DayFacts
    source: MarketSource


def market() -> Market:
    """The same day as the server's."""
    return Market(*day_of_market(dt.date.fromisoformat(DAY), seed=SEED, names=("NIFTY",)))


_PLAYED: Final = {
    Trouble.NOT_SENT: FaultKind.CONNECT_FAILED,
    Trouble.PLACE_UNANSWERED: FaultKind.ENTRY_ANSWER_LOST,
    Trouble.MODIFY_UNANSWERED: FaultKind.MODIFY_ANSWER_LOST,
    Trouble.CANCEL_UNANSWERED: FaultKind.CANCEL_ANSWER_LOST,
    Trouble.WORD_FIRST: FaultKind.UPDATE_FIRST,
    Trouble.WORDS_LOST: FaultKind.UPDATE_LOST,
    Trouble.CLOSED: FaultKind.REFUSED_CLOSED,
    Trouble.FILLS_SLICED: FaultKind.FILLS_SLICED,
    Trouble.MODIFY_IGNORED: FaultKind.MODIFY_IGNORED,
}


class PlayedStage(Stage):
    """The simulated exchange behind its ports, stepped by whoever waits."""

    def __init__(self, day: Market, memory: Path) -> None:
        super().__init__()
        self._day, self._faults = day, Faults(SEED)
        self.instruments = tuple(day.source.instruments)
        self.exchange = SimulatedExchange(
            self.instruments, day.facts, cash_paise=CASH * 100, seed=SEED, faults=self._faults
        )
        venue = SimulatedVenue(
            self.exchange,
            Latency(seed=SEED),
            quotes_available=True,
            faults=self._faults,
            market=day.source.ticks(),
        )
        self._driven = self.venue = venue
        broker = PlayedBroker(venue, day.source.ticks(), memory, until_ns=None)
        self.feed = PlayedFeed(broker, speed=0)
        self.account = PlayedAccount(
            CLIENT, broker, self.instruments, valid_until_ns=self._close_ns()
        )
        self.updates, self.orders = PlayedLine(), PlayedLine()
        self._ticks = day.source.ticks()
        self._told: list[Tick] = []
        self._now_ns = ist_ns(dt.date.fromisoformat(DAY), BEGINS_S)
        venue.pop_due(self._now_ns)

    def _close_ns(self) -> int:
        return max(session.close_ns for session in self._day.facts.sessions)

    @override
    def now_ns(self) -> int:
        return self._now_ns

    @override
    async def pass_by(self, is_so: Callable[[], object], what: str) -> None:
        until_ns = self._now_ns + PATIENCE_S * SECOND_NS
        while not is_so():
            due_ns = self._driven.due_ns
            assert due_ns is not None and due_ns <= until_ns, what  # noqa: PT018 one thing
            self._now_ns = max(self._now_ns, due_ns)
            self.heard += self._driven.pop_due(self._now_ns)

    @override
    async def last(self, instrument: InstrumentId) -> Tick:
        tick = self.exchange.last_tick(instrument)
        assert tick is not None
        return tick

    @override
    async def shown(self, instrument: InstrumentId) -> Sequence[Tick]:
        while not self._told or self._told[-1].at_ns <= self._now_ns:
            self._told.append(next(self._ticks))
        return [tick for tick in self._told[:-1] if tick.instrument == instrument]

    @override
    async def let(self, trouble: Trouble) -> None:
        ends_ns = self._now_ns + 3_600 * SECOND_NS
        window = FaultWindow(kind=_PLAYED[trouble], from_ns=self._now_ns, until_ns=ends_ns)
        self._faults.add([window])

    @override
    async def calm(self) -> None:
        self._faults.clear()

    @override
    async def owner_buys(self, contract: Instrument, quantity: int) -> None:
        key = BrokerKey(contract.id, Product.INTRADAY)
        self.exchange.send_foreign(
            key, Side.BUY, quantity=quantity, at_ns=self._now_ns, limit_paise=None
        )

    @override
    async def truth(self, order_id: OrderId) -> Sequence[Truly]:
        return [
            Truly(
                row.broker_id,
                row.status.is_live,
                row.filled_quantity,
                row.filled_value_paise,
                row.terms.quantity,
                row.terms.limit_paise,
            )
            for row in self.exchange.orders()
            if row.order_id == order_id
        ]

    @override
    async def net(self, contract: Instrument) -> int:
        return self.exchange.positions().get(BrokerKey(contract.id, Product.INTRADAY), 0)

    @override
    async def funds_paise(self) -> int:
        return self.exchange.funds_paise

    @override
    async def lift_guards(self) -> None:
        self.exchange.lift_kill_switch()
        self.exchange.lift_loss_exit()


@asynccontextmanager
async def played_stage(day: Market, folder: Path) -> AsyncIterator[Stage]:
    """The exchange in our process."""
    stage = PlayedStage(day, folder / "memory")
    yield stage


# -- the server


_WIRED: Final[dict[Trouble, dict[str, object]]] = {
    Trouble.NOT_SENT: {"kind": "connect_refused"},
    Trouble.PLACE_UNANSWERED: {"kind": "answer_lost", "endpoints": ["place"]},
    Trouble.MODIFY_UNANSWERED: {"kind": "answer_lost", "endpoints": ["modify"]},
    Trouble.CANCEL_UNANSWERED: {"kind": "answer_lost", "endpoints": ["cancel"]},
    Trouble.WORD_FIRST: {"kind": "update_first"},
    Trouble.WORDS_LOST: {"kind": "update_lost"},
    Trouble.CLOSED: {"kind": "refused_closed"},
    Trouble.FILLS_SLICED: {"kind": "fills_sliced"},
    Trouble.MODIFY_IGNORED: {"kind": "modify_ignored"},
}


class WiredStage(Stage):
    """The adapter, and a server of another process at the other end of its sockets."""

    def __init__(self, broker: Broker, folder: Path, first_id: int) -> None:
        super().__init__()
        self.first_id = first_id
        self._broker = broker
        ready = broker.ready
        self._clock = real_clock(Config(clock=msgspec.convert(ready["clock"], ClockSettings)))
        holder = TokenHolder(CLIENT)
        self.rest = Rest(ready["urls"]["rest"], holder, self._clock, tell=self.heard.append)
        facts, source = day_of_market(dt.date.fromisoformat(DAY), seed=SEED, names=("NIFTY",))
        self.instruments = tuple(source.instruments)
        self._holder, self._facts = holder, facts
        session = facts.sessions[0]
        freeze = contract_terms("NIFTY", dt.date.fromisoformat(DAY)).freeze_quantity
        self.side = account_side(
            holder,
            self.rest,
            Site(folder=folder, urls=Urls(**ready["urls"]), timing=self._clock),
            day=Trading(
                opens_ns=session.open_ns, closes_ns=session.close_ns, freeze={"NIFTY": freeze}
            ),
            passwords=Passwords(access_token=broker.token),
            told=Told(tell=self.heard.append, call_person=_nobody),
        )
        self.account = self.side.account
        words = OrderWords(PREFIX, {one.id: one for one in self.instruments})
        reader = QuoteReader(self.rest, self._clock, contracts=lambda: self.instruments)
        self.wired_feed = DhanFeed(
            ready["urls"]["feed"],
            holder,
            self._clock,
            day=FeedDay(contracts=lambda: self.instruments, sessions=facts.sessions),
            reader=reader,
            reject=lambda refused: self.rejected.append(str(refused)),
        )
        self.feed = self.wired_feed
        self.rejected: list[str] = []
        self.dhan = DhanVenue(
            self.rest,
            holder,
            self._clock,
            words=words,
            contracts={one.id: one for one in self.instruments},
            quotes=reader.read,
            tell=self.heard.append,
            want=self.wired_feed.want,
        )
        self.venue = self.dhan
        self.updates = UpdateStream(
            ready["urls"]["updates"], holder, self._clock, words=words, tell=self.heard.append
        )
        self.orders = OrderLine(self.rest)

    async def open(self) -> None:
        """Log in, and connect what carries orders and words about them."""
        await self.account.login()
        await self.updates.connect()
        await self.orders.connect()

    async def close(self) -> None:
        """Give everything back."""
        await self.dhan.settle()
        for one in (self.orders, self.updates, self.feed):
            await one.close()
        await self.rest.close()
        await self.side.close()

    async def _ask(self, path: str) -> Any:
        return await asyncio.to_thread(self._broker.ask, path)

    @override
    def now_ns(self) -> int:
        return self._clock.now_ns()

    @override
    async def pass_by(self, is_so: Callable[[], object], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_WALL_S):
                while not is_so():  # noqa: ASYNC110 what is looked at sets no event
                    await asyncio.sleep(0.004)
        except TimeoutError:
            raise AssertionError(what) from None

    @override
    async def last(self, instrument: InstrumentId) -> Tick:
        told = await asyncio.to_thread(self._broker.learn)
        return next(tick for tick in reversed(told) if tick.instrument == instrument)

    @override
    async def shown(self, instrument: InstrumentId) -> Sequence[Tick]:
        told = await asyncio.to_thread(self._broker.learn)
        return [tick for tick in told if tick.instrument == instrument]

    @override
    async def let(self, trouble: Trouble) -> None:
        await asyncio.to_thread(self._broker.post, "/faults", [_WIRED[trouble]])
        if trouble is Trouble.NOT_SENT:
            await asyncio.to_thread(self._broker.wait_open, is_open=False)

    @override
    async def calm(self) -> None:
        await asyncio.to_thread(self._broker.delete, "/faults")
        await asyncio.to_thread(self._broker.wait_open)

    @override
    async def owner_buys(self, contract: Instrument, quantity: int) -> None:
        trade = {"act": "trade", "security_id": contract.security_id, "side": "BUY"}
        await asyncio.to_thread(self._broker.post, "/owner", {**trade, "quantity": quantity})

    @override
    async def truth(self, order_id: OrderId) -> Sequence[Truly]:
        truth = await self._ask("/truth")
        return [
            Truly(
                one["order_id"],
                one["status"] in {"TRANSIT", "PENDING", "PART_TRADED", "TRIGGERED"},
                one["filled_quantity"],
                one["filled_value_paise"],
                one["quantity"],
                one["price_paise"],
            )
            for one in truth["orders"]
            if one["correlation_id"] == order_id
        ]

    @override
    async def net(self, contract: Instrument) -> int:
        truth = await self._ask("/truth")
        held = [one for one in truth["positions"] if one["instrument"] == contract.id]
        return sum(one["bought"] - one["sold"] for one in held)

    @override
    async def funds_paise(self) -> int:
        paise: int = (await self._ask("/truth"))["funds_paise"]
        return paise

    @override
    async def lift_guards(self) -> None:
        for method, path in (
            ("POST", "/killswitch?killSwitchStatus=DEACTIVATE"),
            ("DELETE", "/pnlExit"),
        ):
            await asyncio.to_thread(self._broker.ask_rest, method, path)


def _nobody(_text: str) -> None:
    """Nobody is called."""


@asynccontextmanager
async def wired_stage(broker: Broker, folder: Path, first_id: int) -> AsyncIterator[Stage]:
    """The adapter over the wire, logged in."""
    stage = WiredStage(broker, folder, first_id)
    try:
        await stage.open()
        yield stage
    finally:
        await stage.close()
