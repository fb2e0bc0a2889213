"""The engine: told what happened, it answers what to do. The only owner of trading state.

Order within a step: stamp the time, apply the fact, marks, limits, exits, protection, strategies,
entries. Exits are decided before anything that could add risk, in the same step.
"""

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from holdfast.core.entries import entering
from holdfast.core.market import watch
from holdfast.core.market.candles import CandleBuilder, CandleSeries
from holdfast.core.market.history import HistoryFold
from holdfast.core.market.quotes import Connection, Quote
from holdfast.core.orders import answers, asking
from holdfast.core.risk import closing, halt, watching
from holdfast.core.risk.exits import build_rules
from holdfast.core.settings import EngineSettings
from holdfast.core.state import State
from holdfast.core.strategy import Opinion, Strategy
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import AnyAudit, RuleFailed
from holdfast.domain.command import AnyCommand, Notify, ReadFunds, Severity, Subscribe
from holdfast.domain.decision import HaltLevel, Signal
from holdfast.domain.event import (
    AnyEvent,
    CandleLoaded,
    FactsLoaded,
    FundsRead,
    InstrumentsLoaded,
    JournalChanged,
    LinkChanged,
    OperatorAsked,
    OperatorRequest,
    OrderAcknowledged,
    OrderUpdated,
    ProjectionDiffers,
    QuotesRead,
    ReadFailed,
    Restarted,
    SendFailed,
    ServiceChanged,
    ServiceState,
    TimerFired,
)
from holdfast.domain.instrument import InstrumentId, Kind
from holdfast.domain.market import Candle, Tick
from holdfast.domain.order import OrderId

SERIES_LENGTH_MAX = 2_000


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one event led to: requests to the shell, and what is worth telling."""

    commands: tuple[AnyCommand, ...] = ()
    audits: tuple[AnyAudit, ...] = ()


NOTHING = Step()


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
    def open_positions(self) -> int:
        """How many positions hold contracts."""
        return sum(1 for position in self._state.live if position.is_open)

    @property
    def evaluated_ns(self) -> int | None:
        """When the rules of the open position that waits longest last ran; `None`: none is open."""
        ran = (one.evaluated_at_ns for one in self._state.live if one.is_open)
        return min(ran, default=None)

    @property
    def books(self) -> Books:
        """The day's orders and positions, in order of their names."""
        orders, positions = self._state.orders, self._state.positions
        return Books(
            orders=tuple((name, orders[name].filled_quantity) for name in sorted(orders)),
            positions=tuple((number, positions[number].is_closed) for number in sorted(positions)),
        )

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
        else:
            self._on_event(event)
        out = state.out
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
        quote.take(tick)
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
        if builders is not None:
            self._on_underlying(tick, builders)

    def _on_underlying(self, tick: Tick, builders: Sequence[CandleBuilder]) -> None:
        """Candles and strategies of an underlying: after exits, and the only source of signals."""
        for builder in builders:
            for candle in builder.on_tick(tick):
                self._take_candle(candle, live=True)
            self._arm_builder(builder)
        for strategy in self._strategies:
            if strategy.underlying == tick.instrument and strategy.name not in self._parked:
                opinion = self._ask(strategy, partial(strategy.on_tick, tick))
                self._hear(strategy, opinion, tick.at_ns)

    def _on_event(self, event: AnyEvent) -> None:  # noqa: C901, PLR0912 one match over all events
        state = self._state
        match event:
            case Tick():
                raise AssertionError("ticks have a path of their own")
            case Restarted():
                state.services.clear()  # what was told of them was told by another process
            case FactsLoaded():
                state.facts = event.facts
                self._arm_session()
            case InstrumentsLoaded():
                self._load_instruments(event)
            case CandleLoaded():
                self._load_candle(event.candle)
            case OrderAcknowledged():
                answers.take_acknowledgement(state, event)
            case OrderUpdated():
                answers.take_row(state, event)
            case SendFailed():
                answers.take_failure(state, event)
            case FundsRead():
                state.funds_paise, state.funds_at_fills = event.available_paise, state.fills
            case QuotesRead():
                self._on_quotes(event)
            case ReadFailed():
                pass  # failed is not empty: nothing changes
            case LinkChanged():
                state.links[event.link] = event.is_up
            case JournalChanged():
                state.journal_durable = event.is_durable
            case ServiceChanged():
                self._on_service(event)
            case ProjectionDiffers():
                state.alarm("projections differ", {"first": event.differences[0]})
            case OperatorAsked():
                self._on_operator(event)
            case TimerFired():
                self._on_timer()
        watch.note_readiness(state)

    # -- loading

    def _load_instruments(self, event: InstrumentsLoaded) -> None:
        state = self._state
        assert state.facts is not None, "facts are loaded before instruments"
        for instrument in event.instruments:
            connection = state.connections.setdefault(instrument.exchange, Connection())
            state.instruments[instrument.id] = instrument
            state.quotes[instrument.id] = Quote(instrument, connection)
            if (
                instrument.kind is Kind.INDEX
                and instrument.underlying in state.settings.underlyings
            ):
                state.underlyings[instrument.id] = instrument.underlying
        for identity in sorted(state.underlyings):
            self._prepare_underlying(identity)
        state.send(Subscribe(instruments=tuple(sorted(state.instruments))))
        state.send(ReadFunds())

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
        """Be called at every edge of the session, so that readiness tells of it in time."""
        state = self._state
        assert state.facts is not None
        for session in state.facts.sessions:
            for number, edge_ns in enumerate(ns for window in session.windows for ns in window):
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
            closing.close_by_hand(state, event.position, event.reason)
        else:
            halt.take_request(state, event)
        for position in tuple(state.live):
            watching.evaluate(state, self._rules, position, None)

    # -- time

    def _on_timer(self) -> None:
        """Run everything due, in key order."""
        state = self._state
        while (key := state.timers.pop_due(state.now_ns)) is not None:
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
                case Rank.SESSION:
                    pass  # being called is all that was wanted

    def _judge(self, exchange: str) -> None:
        for known in self._state.connections:
            if known.value == exchange:
                watch.judge(self._state, known)

    def _chase(self, order_id: OrderId) -> None:
        order = self._state.orders[order_id]
        asking.chase(self._state, order)
        closing.tend(self._state, self._state.positions[order.position])

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
        for strategy in self._strategies:
            if strategy.underlying == candle.instrument and strategy.name not in self._parked:
                question = partial(strategy.on_candle, candle, live=live)
                self._hear(strategy, self._ask(strategy, question), candle.start_ns)

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
        try:
            return question()
        except Exception as error:  # one of the three places of decisions 2.4
            self._park(strategy, error)
            return None

    def _park(self, strategy: Strategy, error: Exception) -> None:
        """A strategy that raised speaks no more today; the others and all exits go on."""
        text = f"{type(error).__name__}: {error}"
        self._parked[strategy.name] = text
        self._state.tell(RuleFailed(name=f"strategy:{strategy.name}", position=None, error=text))
        message = f"strategy {strategy.name} parked: {text}"
        self._state.send(Notify(severity=Severity.ALARM, text=message))
