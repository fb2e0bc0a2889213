"""The engine: told what happened, it answers what to do. The only owner of trading state.

Order within a step: stamp the time, apply the fact, marks, limits, exits, protection, strategies,
entries. Exits are decided before anything that could add risk, in the same step.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from holdfast.core import (
    account,
    bookread,
    carrying,
    drift,
    foreign,
    image,
    ration,
    reconcile,
    record,
    restart,
    selftest,
    settlement,
)
from holdfast.core.entries import entering
from holdfast.core.market import watch
from holdfast.core.market.candles import CandleBuilder, CandleSeries
from holdfast.core.market.history import HistoryFold
from holdfast.core.market.quotes import Connection, Quote
from holdfast.core.orders import answers, asking
from holdfast.core.risk import closing, guards, halt, leaving, panic, polling, watching
from holdfast.core.risk.exits import build_rules
from holdfast.core.settings import SECOND_NS, EngineSettings
from holdfast.core.state import State
from holdfast.core.strategy import Fed, Opinion, Strategy
from holdfast.core.timers import Rank, TimerKey
from holdfast.core.view import View, view
from holdfast.domain.audit import Anomaly, AnyAudit, RuleFailed, SelfTested
from holdfast.domain.command import AnyCommand, Notify, PlaceOrder, Severity, Subscribe
from holdfast.domain.decision import HaltLevel, Signal, Values
from holdfast.domain.event import (
    BOOK,
    CARRIED,
    AccountChecked,
    Action,
    AnyEvent,
    BookRead,
    BookRepeated,
    CandleLoaded,
    ClockChanged,
    FactsLoaded,
    ForeignUpdated,
    FundsRead,
    GuardAnswered,
    InstrumentsLoaded,
    JournalChanged,
    LinkChanged,
    OperatorAsked,
    OperatorRequest,
    OrderAcknowledged,
    OrderUpdated,
    PositionCarried,
    ProjectionDiffers,
    QuotesRead,
    ReadFailed,
    Restarted,
    SendFailed,
    ServiceChanged,
    ServiceState,
    Settled,
    StepFailed,
    StopAsked,
    TimerFired,
    TokenChanged,
)
from holdfast.domain.instrument import Instrument, InstrumentId, Kind
from holdfast.domain.market import Candle, Tick
from holdfast.domain.order import OrderId

SERIES_LENGTH_MAX = 2_000


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one event led to: requests to the shell, and what is worth telling."""

    commands: tuple[AnyCommand, ...] = ()
    audits: tuple[AnyAudit, ...] = ()


NOTHING = Step()

_PARTS: Final = ("state", "parked", "builders", "series", "history", "fed")
"""What an image holds; rules and strategies are made anew from the configuration."""


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine trades on: each order's id and filled quantity, each position and its end."""

    orders: tuple[tuple[OrderId, int], ...]
    positions: tuple[tuple[int, bool], ...]


class Engine:
    """`step` folds one event; `deadline_ns` says when to step a `TimerFired` if nothing comes.

    The same events in the same order give the same steps: it reads no clock, does no I/O and knows
    no mode. Every strategy's underlying must be among the day's instruments.
    """

    def __init__(self, settings: EngineSettings, strategies: Sequence[Strategy]) -> None:
        self._state = State(settings)
        self._rules = build_rules(settings)
        self._strategies = sorted(strategies, key=lambda strategy: strategy.name)
        names = [strategy.name for strategy in self._strategies]
        assert len(set(names)) == len(names), f"two strategies with one name: {names}"
        self._parked: dict[str, str] = {}
        self._fed: list[Fed] = []
        self._is_bare = False
        self._builders: dict[InstrumentId, list[CandleBuilder]] = {}
        self._series: dict[tuple[InstrumentId, int], CandleSeries] = {}
        self._history: dict[tuple[InstrumentId, int], HistoryFold] = {}

    @property
    def deadline_ns(self) -> int | None:
        """When to step `TimerFired` with just this stamp, `None` when there is nothing to wait for."""
        return self._state.timers.deadline_ns

    @property
    def is_halted(self) -> bool:
        """Whether entries are halted by a person, a limit or a failed rule."""
        return self._state.halt is not HaltLevel.NONE

    @property
    def halt(self) -> HaltLevel:
        """How far it is halted."""
        return self._state.halt

    @property
    def open_numbers(self) -> tuple[int, ...]:
        """The positions that hold contracts, by number, in order."""
        return tuple(sorted(one.number for one in self._state.live if one.is_open))

    @property
    def open_positions(self) -> int:
        """How many positions hold contracts."""
        return sum(1 for position in self._state.live if position.is_open)

    @property
    def touched(self) -> frozenset[InstrumentId]:
        """The contracts that are held or have an order of ours that could fill."""
        return frozenset(one.id for one in self._state.live)

    @property
    def evaluated_ns(self) -> int | None:
        """When the rules of the open position that waits longest last ran; `None`: none is open."""
        ran = (one.evaluated_at_ns for one in self._state.live if one.is_open)
        return min(ran, default=None)

    @property
    def is_book_settled(self) -> bool:
        """Whether the broker's book was read since the start and nothing in it is awaited."""
        return not self._state.book.open_points

    def in_short(self, read: BookRead) -> BookRead | BookRepeated:
        """A pass over the broker's book as it is to be told to `step` next."""
        return bookread.in_short(self._state, read)

    @property
    def books(self) -> Books:
        """The day's orders and positions, in order of their names."""
        orders, positions = self._state.orders, self._state.positions
        return Books(
            orders=tuple((name, orders[name].filled_quantity) for name in sorted(orders)),
            positions=tuple((number, positions[number].is_closed) for number in sorted(positions)),
        )

    @property
    def left_over(self) -> tuple[PositionCarried, ...]:
        """What is open now, by number, as another day can be told to begin with it (T24)."""
        return carrying.left_over(self._state)

    def fills_of(self, position: int) -> int:
        """How many fills the position of this number has had, 0 when it is not known."""
        known = self._state.positions.get(position)
        return 0 if known is None else known.fills

    def is_live(self, order_id: OrderId) -> bool:
        """Whether an order of this id could still fill; one id may name two (T21)."""
        return any(order.id == order_id for order in self._state.living())

    @property
    def may_place(self) -> bool:
        """Whether the broker's book has told since the start which ids are taken (T21)."""
        return self._state.book.is_listed

    @property
    def view(self) -> View:
        """How the account stands now, for people: frozen, and nothing decides on it."""
        return view(self._state)

    @property
    def live_orders(self) -> tuple[OrderId, ...]:
        """Orders that could still fill, unknown ones included, in order of id."""
        orders = self._state.orders
        return tuple(sorted(i for i, order in orders.items() if order.is_live))

    def step(self, event: AnyEvent) -> Step:
        """Apply one event. Order is the caller's; stamps may lie a little out of it."""
        state = self._state
        state.now_ns = max(state.now_ns, event.at_ns)
        if type(event) is Tick:
            self._on_tick(event)
        elif type(event) is BookRepeated:
            self._on_event(bookread.in_full(state, event))
        else:
            self._on_event(event)
        out = state.out
        if type(event) is not Tick:
            ration.check_ration(state)
        elif out.commands:
            ration.check_ration(state, ration.asked_alone(event.instrument, out.commands))
        if not out.commands and not out.audits:
            return NOTHING
        done = Step(commands=tuple(out.commands), audits=tuple(out.audits))
        out.commands.clear()
        out.audits.clear()
        return done

    def _on_tick(self, tick: Tick) -> None:
        state = self._state
        quote = state.quotes.get(tick.instrument)
        if quote is None:
            state.alarm("tick of an unknown instrument", {"instrument": tick.instrument})
            return
        believed = quote.take(tick)
        connection = quote.connection
        exchange = quote.instrument.exchange
        held = state.held.get(tick.instrument)
        if held:
            positions = tuple(held)
            watching.mark_held(state, self._rules, quote, positions)
            for position in positions:
                watching.on_packet(state, self._rules, position, quote, tick)
        if connection.stale_since_ns is not None or not connection.is_armed:
            connection.is_armed = True
            watch.judge(state, exchange)
        builders = self._builders.get(tick.instrument)
        if believed is None:
            self._note_refused(quote, tick)
        elif builders is not None:
            self._on_underlying(believed, builders)

    def _note_refused(self, quote: Quote, tick: Tick) -> None:
        """A print of an index that cannot be true, told once a day: more of them say nothing new."""
        if quote.prints is not None and quote.prints.refused == 1:
            values: Values = {
                "instrument": tick.instrument,
                "paise": tick.last_paise,
                "after": quote.last_paise,
            }
            self._state.tell(Anomaly(what="an index's price is not believed", values=values))

    def _on_underlying(self, tick: Tick, builders: Sequence[CandleBuilder]) -> None:
        """Candles and strategies of an underlying: after exits, and the only source of signals."""
        for builder in builders:
            for candle in builder.on_tick(tick):
                self._take_candle(candle, live=True)
            self._arm_builder(builder)
        for strategy in self._strategies:
            if (
                strategy.hears_ticks
                and strategy.underlying == tick.instrument
                and strategy.name not in self._parked
            ):
                opinion = self._ask(strategy, partial(strategy.on_tick, tick))
                self._hear(strategy, opinion, tick.at_ns)

    def _on_event(self, event: AnyEvent) -> None:  # noqa: C901, PLR0912, PLR0915 one match over all events
        state = self._state
        if type(event) is BookRead:
            state.book.shown = event
        polling.hear(state, event)
        match event:
            case Tick() | BookRepeated():
                raise AssertionError("they have paths of their own")
            case Restarted():
                self._on_start(event)
            case FactsLoaded():
                state.facts = event.facts
                self._arm_session()
            case InstrumentsLoaded():
                self._load_instruments(event)
            case PositionCarried():
                carrying.take_carried(state, event)
            case CandleLoaded():
                self._load_candle(event.candle)
            case OrderAcknowledged():
                answers.take_acknowledgement(state, event)
            case OrderUpdated():
                answers.take_row(state, event)
            case SendFailed():
                account.take_failure(state, event)
                answers.take_failure(state, event)
            case ForeignUpdated():
                foreign.take_foreign(state, event)
            case Settled():
                settlement.take_settlement(state, event)
            case GuardAnswered():
                guards.take_answer(state, event)
            case FundsRead():
                state.funds_paise, state.funds_at_fills = event.available_paise, state.fills
            case QuotesRead():
                self._on_quotes(event)
            case BookRead():
                before = state.book.last
                reconcile.take_read(state, event)
                panic.take_read(state, before, event)
            case ReadFailed():
                self._on_read_failed(event)
            case StepFailed():
                halt.raise_halt(state, HaltLevel.PAUSE, f"event {event.sequence}: {event.error}")
            case LinkChanged():
                self._on_link(event)
            case JournalChanged():
                state.journal_durable = event.is_durable
            case TokenChanged():
                account.take_token(state, event)
            case AccountChecked():
                account.take_check(state, event)
            case ClockChanged():
                account.take_clock(state, event)
            case ServiceChanged():
                self._on_service(event)
            case ProjectionDiffers():
                state.alarm("projections differ", {"first": event.differences[0]})
            case OperatorAsked():
                self._on_operator(event)
            case StopAsked():
                state.is_stopping = True
                self._look_at_all()
            case TimerFired():
                self._on_timer()
        polling.arm(state)
        panic.watch(state)
        watch.note_readiness(state)
        guards.set_loss_exit(state)

    # -- the record of before

    def step_bare(self, event: AnyEvent) -> Step:
        """Apply one event without strategies and entries: its first step raised (decisions 2.5).

        A strategy that misses a candle by it would see a gap nobody told it of: it is parked.
        """
        self._is_bare = True
        try:
            return self.step(event)
        finally:
            self._is_bare = False

    @property
    def left_out(self) -> tuple[int, ...]:
        """The numbers of events that could not be stepped; nothing is entered while there is one."""
        return tuple(self._state.left_out)

    @property
    def order_ids(self) -> tuple[OrderId, ...]:
        """Every id that was given to an order today, in order: none may be given again."""
        return tuple(sorted({order.id for order in self._state.orders.values()}))

    def disarm(self, sequence: int) -> None:
        """An event is left out: nothing is entered any more today, whatever a person says."""
        self._state.left_out.append(sequence)

    def step_books(self, event: AnyEvent) -> None:
        """Fold what an event says of fills, settlements and halts: it cannot be stepped.

        Deadlines that are due with it are dropped; what is held is looked at in a second.
        """
        state = self._state
        state.now_ns = max(state.now_ns, event.at_ns)
        while state.timers.pop_due(state.now_ns) is not None:
            state.timers.set_earlier(TimerKey(Rank.SWEEP), state.now_ns + SECOND_NS)
        if isinstance(event, OrderUpdated):
            answers.fold_books(state, event.row)
        elif isinstance(event, OperatorAsked):
            halt.take_request(state, event)
        elif isinstance(event, Settled):
            settlement.take_settlement(state, event)
        state.out.commands.clear()
        state.out.audits.clear()

    def stand(self, now: Step, recorded: Step, do: record.Do = record.at_once) -> None:
        """Make the books those of what was recorded of the last event: that is what was sent.

        `do` does each part of it, and decides what follows where one raises.
        """
        if now != recorded:
            record.stand(
                self._state,
                (now.commands, now.audits),
                (recorded.commands, recorded.audits),
                do,
            )

    def lack_some(self) -> None:
        """Of what comes until the next start a part is gone: a fill that a read told, for one.

        Until the broker's book is listed again, what seems to be held is no evidence of too much
        being closed.
        """
        self._state.is_partial = True

    def leave_entries(self, step: Step) -> tuple[OrderId, ...]:
        """The last decision was never durable: its entries did not leave; returns which.

        What it told of the books the next start tells.
        """
        never = record.leave_entries(self._state, step.commands)
        record.owe(self._state, step.audits)
        return never

    def image(self) -> bytes | None:
        """The exact state between two steps; `None` while a strategy hears ticks.

        What ticks have made of it only stepping them again can tell.
        """
        if any(one.hears_ticks and one.name not in self._parked for one in self._strategies):
            return None
        self._state.timers.tidy()
        return image.encode({name: getattr(self, f"_{name}") for name in _PARTS})

    def restore(self, taken: bytes) -> None:
        """Become the engine that the image was taken of. Raises `ImageUnusable`.

        Settings and strategies must be those of that engine, and the strategies new: they are fed
        every candle again, because their indicators cannot be saved.
        """
        parts = image.decode(taken)
        if parts.keys() != set(_PARTS) or not isinstance(parts["state"], State):
            raise image.ImageUnusable("it holds no engine")
        for name in _PARTS:
            setattr(self, f"_{name}", parts[name])
        parked = len(self._parked)
        for fed in self._fed:
            for strategy in self._hearers(fed.candle):
                self._ask(strategy, partial(strategy.on_candle, fed.candle, live=fed.live))
        if len(self._parked) > parked:
            raise image.ImageUnusable("a strategy fails on candles that it has taken before")

    def become(self, other: "Engine") -> None:
        """Take another engine's place: whoever holds this one goes on with that one's state."""
        self.__dict__.update(other.__dict__)

    # -- starting

    def _on_start(self, event: Restarted) -> None:
        """Begin, or begin again: the books stay, nothing is armed, candles know of the gap."""
        restart.begin(self._state, alone_ns=event.alone_ns)
        for identity in sorted(self._builders):
            for builder in self._builders[identity]:
                builder.missed(self._state.now_ns)
        if self._state.instruments:
            self._test_self()

    def _test_self(self) -> None:
        """Put a made-up breach to a scratch engine with the rules of this one."""
        state = self._state
        fault = "its step failed" if self._is_bare else self._answer_to_breach()
        state.self_test_fault = fault or None
        state.tell(SelfTested(fault=fault))
        if fault:
            state.send(Notify(severity=Severity.ALARM, text=f"not armed: {fault}"))

    def _answer_to_breach(self) -> str:
        state = self._state
        contract = selftest.contract(state)
        if contract is None:
            return "today's master holds no contract that can be traded"
        scratch = Engine(state.settings, ())
        scratch._rules = self._rules
        scratch._state.facts = state.facts
        scratch._add_instrument(contract)
        selftest.hold(scratch._state, contract)
        done = NOTHING
        for tick in selftest.market(scratch._state, contract):
            done = scratch.step(tick)
            for command in done.commands:
                if isinstance(command, PlaceOrder):
                    scratch.step(selftest.resting(command, tick.at_ns))
        return selftest.fault_of(done.commands, done.audits)

    # -- loading

    def _load_instruments(self, event: InstrumentsLoaded) -> None:
        state = self._state
        assert state.facts is not None, "facts are loaded before instruments"
        known = len(state.instruments)
        for instrument in event.instruments:
            self._add_instrument(instrument)
        for identity in sorted(state.underlyings):
            if identity not in self._builders:
                self._prepare_underlying(identity)
        if len(state.instruments) > known:
            state.send(Subscribe(instruments=restart.wanted(state)))
            restart.ask(state)
        if state.self_test_fault is not None:
            self._test_self()

    def _add_instrument(self, instrument: Instrument) -> None:
        """Know a contract; what was seen of one that was known stays."""
        state = self._state
        state.instruments[instrument.id] = instrument
        if instrument.id in state.quotes:
            state.quotes[instrument.id].instrument = instrument
            return
        connection = state.connections.setdefault(instrument.exchange, Connection())
        state.quotes[instrument.id] = Quote(instrument, connection)
        if instrument.kind is Kind.INDEX and instrument.underlying in state.settings.underlyings:
            state.underlyings[instrument.id] = instrument.underlying

    def _prepare_underlying(self, identity: InstrumentId) -> None:
        """Candles of the intervals that the underlying's strategies ask for."""
        state = self._state
        session = state.session(state.instruments[identity].exchange)
        if session is None:
            return
        intervals = self._intervals(identity)
        for interval_s in intervals:
            key = identity, interval_s
            self._series[key] = CandleSeries(identity, interval_s, length_max=SERIES_LENGTH_MAX)
            self._history[key] = HistoryFold(interval_s, open_ns=session.open_ns)
        lag_ns = state.settings.candle_lag_ms * 1_000_000
        self._builders[identity] = [
            CandleBuilder(identity, each, session=session, since_ns=state.now_ns, lag_ns=lag_ns)
            for each in intervals
        ]

    def _intervals(self, identity: InstrumentId) -> list[int]:
        """The candle lengths asked for, shortest first."""
        asked = [
            warmup.interval_s
            for strategy in self._strategies
            if strategy.underlying == identity
            for warmup in strategy.warmup()
        ]
        return sorted(set(asked))

    def _load_candle(self, candle: Candle) -> None:
        """History goes to the strategies, which say nothing about it, in their own intervals."""
        for interval_s in self._intervals(candle.instrument):
            history = self._history[candle.instrument, interval_s]
            for whole in history.add(candle):
                self._take_candle(whole, live=False)

    def _arm_session(self) -> None:
        """Be called at every edge of the session, and before the broker closes by itself."""
        state = self._state
        assert state.facts is not None
        for session in state.facts.sessions:
            edges = [ns for window in session.windows for ns in window]
            edges.append(session.square_off_ns - bookread.BEFORE_SQUARE_OFF_NS)
            for number, edge_ns in enumerate(edges):
                if edge_ns >= state.now_ns:
                    key = TimerKey(Rank.SESSION, number, session.exchange.value)
                    state.timers.set(key, edge_ns)

    # -- facts of the market

    def _on_quotes(self, event: QuotesRead) -> None:
        state = self._state
        for tick in event.quotes:
            quote = state.quotes.get(tick.instrument)
            if quote is None:
                continue
            quote.take_read(tick)
            for position in tuple(state.held.get(tick.instrument, ())):
                watch.watch_held(state, position)
                watching.evaluate(state, self._rules, position, tick)

    def _on_read_failed(self, event: ReadFailed) -> None:
        """Failed is not empty: nothing changes, and what must be known is asked for again."""
        if event.what == BOOK:
            bookread.take_answer(self._state)
            bookread.ask_later(self._state)
        elif event.what == CARRIED:
            what = "what an earlier day left open is not carried"
            self._state.alarm(what, {"reason": event.reason})

    def _on_link(self, event: LinkChanged) -> None:
        state = self._state
        came_back = event.is_up and not state.links[event.link]
        state.links[event.link] = event.is_up
        if came_back:
            bookread.note_link(state, event.link)

    def _on_service(self, event: ServiceChanged) -> None:
        """Keep which parts of the program can work; one that was given up calls a person."""
        if event.is_core:
            self._state.services[event.service] = event.state
        if event.state is ServiceState.PARKED:
            severity = Severity.ALARM if event.is_core else Severity.WARNING
            text = f"{event.service} was given up: {event.reason}"
            self._state.send(Notify(severity=severity, text=text))

    def _on_operator(self, event: OperatorAsked) -> None:
        state = self._state
        if event.request is OperatorRequest.CLOSE:
            closing.close_by_hand(state, event.position, event.reason, is_anyway=event.is_anyway)
        elif event.request is OperatorRequest.ACKNOWLEDGE:
            drift.acknowledge(state, event.key, event.reason)
        else:
            halt.take_request(state, event)
        self._look_at_all()

    def _look_at_all(self) -> None:
        """What was just asked concerns every position, not only the one that the next tick moves."""
        for position in tuple(self._state.live):
            watching.evaluate(self._state, self._rules, position, None)

    # -- time

    def _on_timer(self) -> None:
        """Run everything due, in key order."""
        state = self._state
        while (key := state.timers.pop_due(state.now_ns)) is not None:
            self._on_deadline(key)

    def _on_deadline(self, key: TimerKey) -> None:
        state = self._state
        match key.rank:
            case Rank.CANDLE:
                self._close_candle(InstrumentId(key.text), key.number)
            case Rank.CONNECTION:
                self._judge(key.text)
            case Rank.ORDER:
                self._chase(OrderId(key.text))
            case Rank.POSITION:
                position = state.positions[key.number]
                watching.evaluate(state, self._rules, position, None)
            case Rank.SWEEP:
                watching.sweep(state, self._rules)
            case _:
                self._on_account_deadline(key.rank)

    def _on_account_deadline(self, rank: Rank) -> None:
        """A deadline of the whole account has come."""
        state = self._state
        match rank:
            case Rank.SESSION:
                settlement.on_edge(state)
                self._look_at_all()
            case Rank.BOOK:
                bookread.on_timer(state)
            case Rank.POLL:
                polling.on_timer(state)
            case Rank.PANIC:
                panic.on_timer(state)
            case _:
                raise AssertionError(f"{rank.name} names a deadline of something in it")

    def _judge(self, exchange: str) -> None:
        for known in self._state.connections:
            if known.value == exchange:
                watch.judge(self._state, known)

    def _chase(self, order_id: OrderId) -> None:
        state, order = self._state, self._state.orders[order_id]
        position = state.positions[order.position]
        if order.asked is Action.MODIFY and order.is_live and not leaving.may_act(state, position):
            asking.find(state, order)  # nothing is repeated blindly (T11)
        else:
            asking.chase(state, order, closing.newest_terms(state, order))
        closing.tend(state, position)

    def _close_candle(self, identity: InstrumentId, interval_s: int) -> None:
        for builder in self._builders[identity]:
            if builder.interval_s == interval_s:
                candle = builder.close_due(self._state.now_ns)
                if candle is not None:
                    self._take_candle(candle, live=True)
                self._arm_builder(builder)

    def _arm_builder(self, builder: CandleBuilder) -> None:
        key = TimerKey(Rank.CANDLE, builder.interval_s, builder.instrument)
        if builder.deadline_ns is not None:
            self._state.timers.set(key, builder.deadline_ns)

    # -- strategies and entries

    def _take_candle(self, candle: Candle, *, live: bool) -> None:
        """A closed candle goes into its series and to the strategies; live ones may speak."""
        self._series[candle.instrument, candle.interval_s].append(candle)
        self._fed.append(Fed(candle=candle, live=live))
        for strategy in self._hearers(candle):
            question = partial(strategy.on_candle, candle, live=live)
            self._hear(strategy, self._ask(strategy, question), candle.start_ns)

    def _hearers(self, candle: Candle) -> list[Strategy]:
        """The strategies that a candle is for, but those that were parked."""
        return [
            strategy
            for strategy in self._strategies
            if strategy.underlying == candle.instrument and strategy.name not in self._parked
        ]

    def _hear(self, strategy: Strategy, opinion: Opinion | None, candle_start_ns: int) -> None:
        """Give an opinion its name and take it to the gates."""
        if opinion is None:
            return
        direction = opinion.direction.value
        entering.consider(
            self._state,
            Signal(
                id=f"{strategy.name}|{strategy.underlying}|{candle_start_ns}|{direction}",
                strategy=strategy.name,
                underlying=strategy.underlying,
                direction=opinion.direction,
                candle_start_ns=candle_start_ns,
                reason=opinion.reason,
                values=opinion.values,
            ),
        )

    def _ask(self, strategy: Strategy, question: Callable[[], Opinion | None]) -> Opinion | None:
        """What a strategy answers; one that raises is parked and has no opinion."""
        if self._is_bare:
            self._park(strategy, "its step failed")
            return None
        try:
            return question()
        except Exception as error:  # one of the three places of decisions 2.4
            self._park(strategy, f"{type(error).__name__}: {error}")
            return None

    def _park(self, strategy: Strategy, text: str) -> None:
        """A strategy that raised speaks no more today; the others and all exits go on."""
        self._parked[strategy.name] = text
        self._state.tell(RuleFailed(name=f"strategy:{strategy.name}", position=None, error=text))
        message = f"strategy {strategy.name} parked: {text}"
        self._state.send(Notify(severity=Severity.ALARM, text=message))
