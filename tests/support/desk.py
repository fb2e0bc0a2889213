"""A desk for tests: the real engine, told by hand what the market and the broker say.

It keeps what the engine asked, so that a test reads like the day it tells: ticks in, orders out.
Nothing of it answers by itself.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from holdfast.core.engine import Engine, Step
from holdfast.core.entries import entering
from holdfast.core.entries.candidate import Candidate
from holdfast.core.settings import EngineSettings, EntrySettings, ReconcileSettings
from holdfast.core.state import State
from holdfast.core.strategy import Opinion, Warmup
from holdfast.domain.audit import AnyAudit, Audit
from holdfast.domain.book import BookNet, BookTrade, ForeignRow
from holdfast.domain.command import AnyCommand, Command, PlaceOrder
from holdfast.domain.dated import ChargeRates, DayFacts, PriceRules, Session
from holdfast.domain.decision import Direction, ExitPlan, Signal, Sizing, Trail
from holdfast.domain.event import (
    Action,
    AnyEvent,
    BookRead,
    FactsLoaded,
    ForeignUpdated,
    FundsRead,
    InstrumentsLoaded,
    JournalChanged,
    Link,
    LinkChanged,
    OperatorAsked,
    OperatorRequest,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    PositionCarried,
    QuotesRead,
    Restarted,
    SendFailed,
    ServiceChanged,
    ServiceState,
    TimerFired,
)
from holdfast.domain.instrument import (
    BrokerKey,
    Exchange,
    Instrument,
    InstrumentId,
    Kind,
    OptionType,
    Product,
    Segment,
    instrument_id,
)
from holdfast.domain.market import Candle, Tick
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderTerms,
    Refusal,
    Side,
)
from holdfast.runtime.starting import simulated_access

SECOND = 1_000_000_000
DAY = "2026-11-20"
OPEN = 1_795_146_300 * SECOND  # 2026-11-20 09:15 IST
CLOSE = OPEN + (6 * 3600 + 25 * 60) * SECOND  # 15:40

C = TypeVar("C", bound=Command)
A = TypeVar("A", bound=Audit)

RATES = ChargeRates(
    since="2026-04-01",
    exchange=Exchange.NSE,
    kind=Kind.OPTION,
    brokerage_paise_max=2_000,
    brokerage_e7=0,
    stt_sell_e7=15_000,
    stt_exercise_e7=15_000,
    transaction_e7=3_503,
    ipft_e7=50,
    sebi_e7=10,
    stamp_buy_e7=300,
    gst_e7=1_800_000,
    source="markets.md 5.1",
)
PRICES = PriceRules(
    since="2022-10-31",
    exchange=Exchange.NSE,
    band_pivot_paise=5_000,
    band_low_paise=2_000,
    band_bps=4_000,
    band_min_paise=0,
    band_reference_s=30,
    stop_distance_bps=2_000,
    stop_pivot_paise=5_000,
    stop_low_paise=1_000,
    source="markets.md 6.3",
)
SESSION = Session(
    day=DAY,
    exchange=Exchange.NSE,
    windows=((OPEN, CLOSE),),
    square_off_ns=OPEN + (6 * 3600 + 5 * 60) * SECOND,
    underlying_ends_ns=OPEN + 6 * 3600 * SECOND,
)
FACTS = DayFacts(day=DAY, sessions=(SESSION,), charges=(RATES,), prices=(PRICES,))

NIFTY = Instrument(
    id=instrument_id(Segment.IDX_I, 13),
    segment=Segment.IDX_I,
    security_id=13,
    symbol="NIFTY",
    exchange=Exchange.NSE,
    kind=Kind.INDEX,
    underlying="NIFTY",
    lot_size=0,
    price_step_paise=0,
    freeze_quantity=0,
)


def option(security_id: int, strike: int, option_type: OptionType) -> Instrument:
    """An option on NIFTY expiring on the 24th; `strike` in points."""
    return Instrument(
        id=instrument_id(Segment.NSE_FNO, security_id),
        segment=Segment.NSE_FNO,
        security_id=security_id,
        symbol=f"NIFTY 24NOV26 {strike} {option_type.value}",
        exchange=Exchange.NSE,
        kind=Kind.OPTION,
        underlying="NIFTY",
        lot_size=65,
        price_step_paise=5,
        freeze_quantity=1_801,
        expiry="2026-11-24",
        strike_paise=strike * 100,
        option_type=option_type,
    )


CALL = option(40_001, 24_500, OptionType.CALL)
PUT = option(40_002, 24_500, OptionType.PUT)


class Parrot:
    """A strategy that says at the next live candle what it was told to say."""

    def __init__(self, name: str = "parrot", underlying: InstrumentId = NIFTY.id) -> None:
        self.name = name
        self.underlying = underlying
        self.hears_ticks = False
        self.say: Direction | None = None
        self.fault: Exception | None = None
        self.heard = 0

    def warmup(self) -> Sequence[Warmup]:
        return (Warmup(interval_s=60, candles=0),)

    def on_candle(self, candle: Candle, *, live: bool) -> Opinion | None:
        self.heard += 1
        if self.fault is not None:
            raise self.fault
        if not live or self.say is None:
            return None
        direction, self.say = self.say, None
        values = {"close": candle.close_paise / 100}
        return Opinion(direction=direction, reason="told to", values=dict(values))

    def on_tick(self, tick: Tick) -> Opinion | None:
        del tick
        return None


def settings(**changes: object) -> EngineSettings:
    """Settings of the desk: no start or cool-down to wait for, everything else the defaults.

    The book is read for a cause only, not by the clock: whoever tests that asks for it.
    """
    entries = EntrySettings(start_s=9 * 3600 + 15 * 60, cooldown_s=0)
    base = EngineSettings(
        id_prefix="SSIM001261120",
        day=DAY,
        underlyings=("NIFTY",),
        entries=entries,
        reconcile=ReconcileSettings(every_s=86_400, age_s=86_400),
    )
    return msgspec.structs.replace(base, **changes)


def _signal(number: int, at_ns: int) -> Signal:
    return Signal(
        id=f"hand|{number}",
        strategy="hand",
        underlying=NIFTY.id,
        direction=Direction.UP,
        candle_start_ns=at_ns,
        reason="by hand",
        values={},
    )


def _sizing(instrument: Instrument, quantity: int) -> Sizing:
    return Sizing(
        lots=quantity // instrument.lot_size,
        lot_size=instrument.lot_size,
        budget_paise=0,
        entry_limit_paise=0,
        stop_limit_paise=0,
        charges_paise=0,
        loss_at_stop_paise=0,
        cash_paise=0,
        bound="by hand",
    )


def _nets(orders: Sequence[OrderRow], foreign: Sequence[ForeignRow]) -> tuple[BookNet, ...]:
    """What the fills of these orders come to."""
    held: Counter[InstrumentId] = Counter()
    for row in orders:
        held[row.terms.instrument] += row.terms.side.sign * row.filled_quantity
    for order in foreign:
        held[order.instrument] += order.signed_fill
    return tuple(_net(instrument, quantity) for instrument, quantity in sorted(held.items()))


def _nets_of(nets: Mapping[Instrument, int]) -> tuple[BookNet, ...]:
    return tuple(_net(instrument.id, quantity) for instrument, quantity in nets.items())


def _net(instrument: InstrumentId, quantity: int) -> BookNet:
    return BookNet(
        instrument=instrument,
        product=Product.INTRADAY,
        bought=max(quantity, 0),
        sold=max(-quantity, 0),
    )


class Desk:
    """The engine with a hand on every input. Times are seconds after the opening."""

    def __init__(self, *, ready: bool = True, **changes: object) -> None:
        self.parrot = Parrot()
        self.engine = Engine(settings(**changes), [self.parrot])
        self.now = OPEN
        self.commands: list[AnyCommand] = []
        self.audits: list[AnyAudit] = []
        self.volumes: dict[InstrumentId, int] = {}
        self.events: list[AnyEvent] = []
        self._numbers = 0
        self._passes = 0
        if ready:
            self.load()

    def load(
        self,
        instruments: tuple[Instrument, ...] = (NIFTY, CALL, PUT),
        *,
        carried: Sequence[PositionCarried] = (),
        nets: Mapping[Instrument, int] | None = None,
    ) -> None:
        """Facts, master, what is carried, links, journal, book and funds, as a start brings them."""
        self.begin(instruments, carried=carried)
        self.book(nets=nets)
        self.book(nets=nets)
        self.funds()

    def begin(
        self,
        instruments: tuple[Instrument, ...] = (NIFTY, CALL, PUT),
        *,
        carried: Sequence[PositionCarried] = (),
    ) -> None:
        """A start of which no answer has come yet."""
        self.tell(Restarted(at_ns=self.now, day=DAY, code_version="1", config_sha256="c"))
        self.tell(FactsLoaded(at_ns=self.now, sha256="f", facts=FACTS))
        self.tell(InstrumentsLoaded(at_ns=self.now, sha256="i", instruments=instruments))
        for one in carried:
            self.tell(msgspec.structs.replace(one, at_ns=self.now))
        self._connect()

    def restart(self, seconds: float, *, links: bool = True, alone_s: float | None = None) -> Step:
        """The process died, and another begins at this time with what the engine has folded.

        Since `alone_s` it holds the account; `None`: since it began.
        """
        self.now = OPEN + round(seconds * SECOND)
        started = Restarted(
            at_ns=self.now,
            day=DAY,
            code_version="2",
            config_sha256="c",
            alone_ns=None if alone_s is None else OPEN + round(alone_s * SECOND),
        )
        step = self._step(started)
        if links:
            self._connect()
        return step

    def _connect(self) -> None:
        for link in Link:
            self.tell(LinkChanged(at_ns=self.now, link=link, is_up=True))
        self.tell(JournalChanged(at_ns=self.now, is_durable=True))
        for told in simulated_access(self.now):
            self.tell(told)
        self.service(ServiceState.READY)

    def book_row(  # noqa: PLR0913 a row has that many columns
        self,
        placed: PlaceOrder,
        status: BrokerStatus = BrokerStatus.WORKING,
        *,
        terms: OrderTerms | None = None,
        filled: int = 0,
        price: float = 100.05,
        number: str = "",
        venue_ns: int | None = None,
    ) -> OrderRow:
        """How the broker's book shows an order; `number` where it is not the usual one."""
        return OrderRow(
            order_id=placed.order_id,
            broker_id=BrokerOrderId(number) if number else self.broker_id(placed.order_id),
            status=status,
            terms=placed.terms if terms is None else terms,
            filled_quantity=filled,
            filled_value_paise=round(filled * price * 100),
            venue_at_ns=self.now if venue_ns is None else venue_ns,
        )

    def read_book(self, *orders: OrderRow, seconds: float, **parts: Any) -> Step:
        """Two passes that agree, begun and answered at this time: a stable read."""
        self.at(seconds)
        self.book(*orders, **parts)
        return self.book(*orders, **parts)

    def tell(self, event: AnyEvent) -> Step:
        """Step deadlines that lie before the event, then the event; remember what came of it."""
        while (deadline := self.engine.deadline_ns) is not None and deadline < event.at_ns:
            self._step(TimerFired(at_ns=deadline))
        return self._step(event)

    def _step(self, event: AnyEvent) -> Step:
        self.events.append(event)
        step = self.engine.step(event)
        self.commands += step.commands
        self.audits += step.audits
        return step

    def at(self, seconds: float) -> "Desk":
        """Go to a time; deadlines up to it are stepped."""
        self.now = OPEN + round(seconds * SECOND)
        while (deadline := self.engine.deadline_ns) is not None and deadline <= self.now:
            self._step(TimerFired(at_ns=deadline))
        return self

    def tick(
        self,
        instrument: Instrument = CALL,
        last: float = 100.0,
        bid: float | None = None,
        ask: float | None = None,
        *,
        traded: bool = True,
        venue_age_s: float = 0.0,
    ) -> Step:
        """One packet in rupees; without bid and ask a book of a step around the last price."""
        paise = round(last * 100)
        volume = self.volumes.get(instrument.id, 0) + (65 if traded else 0)
        self.volumes[instrument.id] = volume
        is_index = instrument.kind is Kind.INDEX
        bids = (
            () if is_index or bid == 0 else ((paise - 5 if bid is None else round(bid * 100), 650),)
        )
        asks = (
            () if is_index or ask == 0 else ((paise + 5 if ask is None else round(ask * 100), 650),)
        )
        venue_ns = (self.now - round(venue_age_s * SECOND)) // SECOND * SECOND
        return self.tell(
            Tick(
                at_ns=self.now,
                instrument=instrument.id,
                last_paise=paise,
                venue_at_ns=venue_ns,
                volume=volume,
                bids=bids,
                asks=asks,
            )
        )

    def spot(self, last: float = 24_500.0) -> Step:
        """A packet of the index."""
        return self.tick(NIFTY, last)

    def funds(self, rupees: int = 500_000) -> Step:
        """The answer to a read of free cash."""
        return self.tell(FundsRead(at_ns=self.now, available_paise=rupees * 100))

    def book(
        self,
        *orders: OrderRow,
        nets: Mapping[Instrument, int] | None = None,
        foreign: tuple[ForeignRow, ...] = (),
        trades: tuple[BookTrade, ...] | None = None,
        began_s: float = 0.0,
        rupees: int = 500_000,
    ) -> Step:
        """The answer to a pass over the whole book, begun `began_s` ago.

        Trades, where none are given, are those that the rows tell of; nets likewise.
        """
        fills = [(row.broker_id, row.filled_quantity, row.filled_value_paise) for row in orders]
        fills += [(row.broker_id, row.filled_quantity, 1) for row in foreign]
        made = tuple(
            BookTrade(trade_id=f"T{number}", broker_id=number, quantity=filled, value_paise=value)
            for number, filled, value in fills
            if filled
        )
        self._passes += 1  # no two passes begin at one instant
        return self.tell(
            BookRead(
                at_ns=self.now,
                began_at_ns=self.now - round(began_s * SECOND) + self._passes,
                nets=_nets(orders, foreign) if nets is None else _nets_of(nets),
                orders=orders,
                foreign=foreign,
                trades=made if trades is None else trades,
                funds_paise=rupees * 100,
            )
        )

    def service(
        self, state: ServiceState, name: str = "engine", *, core: bool = True, reason: str = ""
    ) -> Step:
        """The supervisor says where a part of the program is."""
        return self.tell(
            ServiceChanged(at_ns=self.now, service=name, state=state, is_core=core, reason=reason)
        )

    def foreign(self, row: ForeignRow) -> Step:
        """The stream speaks of an order that is not ours."""
        return self.tell(ForeignUpdated(at_ns=self.now, row=row))

    def acknowledge_drift(self, key: BrokerKey | None = None) -> Step:
        """A person has seen a difference, or all of them."""
        asked = OperatorAsked(
            at_ns=self.now, request=OperatorRequest.ACKNOWLEDGE, reason="seen", key=key
        )
        return self.tell(asked)

    def ask_operator(
        self, request: OperatorRequest, *, position: int | None = None, reason: str = "test"
    ) -> Step:
        """A person asks."""
        return self.tell(
            OperatorAsked(at_ns=self.now, request=request, reason=reason, position=position)
        )

    def close_anyway(self, *, position: int) -> Step:
        """A person closes one position without waiting for the broker's book."""
        asked = OperatorAsked(
            at_ns=self.now,
            request=OperatorRequest.CLOSE,
            reason="test",
            position=position,
            is_anyway=True,
        )
        return self.tell(asked)

    def read(
        self, instrument: Instrument = CALL, last: float = 100.0, *, bid: float, ask: float
    ) -> Step:
        """The answer to a read of a full quote outside the feed, in rupees; nothing traded since."""
        quote = Tick(
            at_ns=self.now,
            instrument=instrument.id,
            last_paise=round(last * 100),
            venue_at_ns=self.now // SECOND * SECOND,
            volume=self.volumes.get(instrument.id, 0),
            bids=((round(bid * 100), 650),),
            asks=((round(ask * 100), 650),),
        )
        return self.tell(QuotesRead(at_ns=self.now, quotes=(quote,)))

    @property
    def state(self) -> State:
        """The engine's own books, for what no audit tells."""
        return self.engine._state  # noqa: SLF001 tests look inside, nobody else does

    # -- what was asked

    def all(self, kind: type[C]) -> list[C]:
        """Commands of one kind so far, in order."""
        return [c for c in self.commands if isinstance(c, kind)]

    def last(self, kind: type[C]) -> C:
        """The newest command of one kind."""
        return self.all(kind)[-1]

    def told(self, kind: type[A]) -> list[A]:
        """Audits of one kind so far, in order."""
        return [a for a in self.audits if isinstance(a, kind)]

    def forget(self) -> None:
        """Look only at what comes from here on."""
        self.commands.clear()
        self.audits.clear()

    # -- what the broker says

    def acknowledge(self, order_id: OrderId) -> Step:
        """The broker's answer to a placement."""
        self._numbers += 1
        return self.tell(
            OrderAcknowledged(at_ns=self.now, order_id=order_id, broker_id=self.broker_id(order_id))
        )

    def broker_id(self, order_id: OrderId) -> BrokerOrderId:
        """The broker's number of an order of ours."""
        return BrokerOrderId(f"B-{order_id}")

    def row(  # noqa: PLR0913 a row has that many columns
        self,
        order_id: OrderId,
        status: BrokerStatus = BrokerStatus.WORKING,
        *,
        terms: OrderTerms,
        filled: int = 0,
        price: float = 0.0,
        is_read: bool = False,
        refusal: Refusal | None = None,
        reason: str = "",
    ) -> Step:
        """The broker's word; `filled` contracts so far at `price` rupees on average."""
        row = OrderRow(
            order_id=order_id,
            broker_id=self.broker_id(order_id),
            status=status,
            terms=terms,
            filled_quantity=filled,
            filled_value_paise=round(filled * price * 100),
            venue_at_ns=self.now,
            refusal=refusal,
            reason=reason,
        )
        return self.tell_row(row, is_read=is_read)

    def row_event(self, row: OrderRow) -> OrderUpdated:
        """The broker's word, not told yet."""
        return OrderUpdated(at_ns=self.now, row=row)

    def answer_poll(self, number: int = 1) -> Step:
        """The broker's answer to the poll of a position's entry, which tells nothing new."""
        entry = self.state.orders[self.state.positions[number].entry]
        assert entry.seen is not None
        return self.tell_row(
            OrderRow(
                order_id=entry.id,
                broker_id=self.broker_id(entry.id),
                status=entry.status or BrokerStatus.WORKING,
                terms=entry.seen,
                filled_quantity=entry.filled_quantity,
                filled_value_paise=entry.filled_value_paise,
                venue_at_ns=entry.venue_at_ns,
            ),
            is_read=True,
        )

    def keep(self, *, until: int) -> None:
        """Whole seconds pass with a packet and the answer to a poll in each: all is well."""
        for second in range((self.now - OPEN) // SECOND + 1, until + 1):
            self.at(second).tick()
            self.answer_poll()

    def timer(self, at_ns: int) -> TimerFired:
        """A deadline, not told yet."""
        return TimerFired(at_ns=at_ns)

    def tell_row(self, row: OrderRow, *, is_read: bool = False) -> Step:
        """The broker's word as it stands."""
        return self.tell(OrderUpdated(at_ns=self.now, row=row, is_read=is_read))

    def fail(
        self,
        order_id: OrderId,
        action: Action,
        outcome: Outcome,
        refusal: Refusal | None = None,
    ) -> Step:
        """A request failed."""
        return self.tell(
            SendFailed(
                at_ns=self.now,
                order_id=order_id,
                action=action,
                outcome=outcome,
                refusal=refusal,
                reason=f"test says {outcome.value}",
            )
        )

    # -- the usual beginnings

    def signal(self, direction: Direction = Direction.UP, *, minute: int = 1) -> None:
        """Let the strategy speak at the close of the given minute's candle."""
        self.at(minute * 60 - 1).spot()
        self.tick()
        self.tick(PUT)
        self.parrot.say = direction
        self.at(minute * 60 + 0.2).tick()
        self.tick(PUT)
        self.spot()

    def enter(self, *, minute: int = 1) -> PlaceOrder:
        """A signal, and its entry order as sent."""
        before = len(self.all(PlaceOrder))
        self.signal(minute=minute)
        placed = self.all(PlaceOrder)
        assert len(placed) == before + 1, self.audits
        return placed[-1]

    def intend(
        self,
        side: Side,
        *,
        instrument: Instrument = CALL,
        quantity: int = 195,
        target: float | None = None,
        trail: Trail | None = None,
    ) -> PlaceOrder:
        """An entry of either side around 100 rupees that no gate looked at; its order as sent.

        The stop lies 12 rupees away.
        """
        self.tick(instrument)
        state = self.engine._state  # noqa: SLF001 no gate lets shorts through
        plan = ExitPlan(
            stop_paise=10_000 - side.sign * 1_200,
            target_paise=None if target is None else round(target * 100),
            trail=trail,
            close_out_ns=OPEN + 6 * 3600 * SECOND,
        )
        candidate = Candidate(
            signal=_signal(state.day.positions, self.now),
            underlying=state.quote(NIFTY.id),
            instrument=instrument,
            quote=state.quote(instrument.id),
            product=Product.INTRADAY,
            side=side,
            limit_paise=10_000,
            stop_limit_paise=plan.stop_paise,
            plan=plan,
        )
        entering._enter(state, candidate, (), _sizing(instrument, quantity))  # noqa: SLF001
        self.funds()
        return self.last(PlaceOrder)

    def hold_by_hand(
        self,
        side: Side,
        *,
        instrument: Instrument = CALL,
        target: float | None = None,
        trail: Trail | None = None,
    ) -> PlaceOrder:
        """The same, filled at 100 rupees, its stop seen at the broker; returns the stop order."""
        entry = self.intend(side, instrument=instrument, target=target, trail=trail)
        self.acknowledge(entry.order_id)
        self.fill(entry, price=100.0)
        self.funds()
        stop = self.last(PlaceOrder)
        self.acknowledge(stop.order_id)
        self.row(stop.order_id, terms=stop.terms)
        return stop

    def fill(
        self, order: PlaceOrder, *, quantity: int | None = None, price: float = 100.05
    ) -> Step:
        """The broker's word that an order filled, by default in full."""
        filled = order.terms.quantity if quantity is None else quantity
        whole = filled == order.terms.quantity
        return self.row(
            order.order_id,
            BrokerStatus.FILLED if whole else BrokerStatus.WORKING,
            terms=order.terms,
            filled=filled,
            price=price,
        )

    def breach(self, seconds: float) -> Step:
        """The price trades down to the stop at 88 in two steps, neither of them a spike."""
        self.at(seconds - 0.1).tick(last=93.0, bid=92.9, ask=93.1)
        return self.at(seconds).tick(last=88.0, bid=87.9, ask=88.1)

    def hold(self, *, minute: int = 1, stop_rests: bool = True) -> PlaceOrder:
        """An open position at 100.05 with its stop seen at the broker; returns the stop order."""
        entry = self.enter(minute=minute)
        self.acknowledge(entry.order_id)
        self.fill(entry)
        self.funds()
        stop = self.last(PlaceOrder)
        assert stop.order_id != entry.order_id
        if stop_rests:
            self.acknowledge(stop.order_id)
            self.row(stop.order_id, terms=stop.terms)
        return stop
