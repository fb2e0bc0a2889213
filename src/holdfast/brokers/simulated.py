"""The simulated exchange behind the port: requests travel, are judged, and answers travel back."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from heapq import heappop, heappush
from itertools import chain
from typing import Final

from msgspec.structs import replace

from holdfast.brokers.asked import (
    GUARDS,
    Asked,
    as_if_dead,
    as_read,
    losses,
    subject,
    unanswered,
    what_of,
)
from holdfast.brokers.memory import BrokerMemory, Remembered, Request
from holdfast.brokers.wire import Wire
from holdfast.domain.command import (
    AnyCommand,
    BrokerKillSwitch,
    CancelOrder,
    ExitAll,
    FindOrder,
    GuardRequest,
    ModifyOrder,
    Notify,
    OrderRequest,
    PlaceOrder,
    ReadBook,
    ReadFunds,
    ReadQuotes,
    ReadRequest,
    SetLossExit,
    Subscribe,
)
from holdfast.domain.event import (
    Action,
    AnyEvent,
    FundsRead,
    GuardAnswered,
    Link,
    LinkChanged,
    OrderAcknowledged,
    Outcome,
    QuotesRead,
    ReadFailed,
    SendFailed,
    Settled,
)
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Tick
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderType,
    Refusal,
)
from holdfast.exchange.checks import Judge, Objection
from holdfast.exchange.door import Door
from holdfast.exchange.faults import FaultKind, Faults, FaultWindow
from holdfast.exchange.latency import Latency
from holdfast.exchange.others import Others
from holdfast.exchange.rates import RateLimits
from holdfast.exchange.shown import ShownBook
from holdfast.exchange.venue import Refused, Result, SimulatedExchange

YIELD_EVERY: Final = 2_000
"""Ticks that are shown to an exchange between two yields."""

Arrival = Callable[[int], None]
"""What happens at the exchange at an instant that is passed to it."""


class SimulatedVenue:
    """A `VenueDriver` over one exchange and one latency model.

    Two things wait here, each in order of time and then of their making: what will reach the
    exchange, and what will reach us. What reaches the exchange meets the book as of that instant.
    Without faults the words about one order never overtake each other; the answer to a placement
    may come after them. With `quotes_available` the exchange answers `ReadQuotes` from its own
    book; a tape cannot, because it knows nothing newer than its last tick.

    `faults` must be those of the exchange. `market` is what really trades, where the driver is
    told something else (a mute or lagging feed); without it the driver's ticks are the market.
    `rates`: requests about orders beyond them are refused by the broker; `None`: never.

    With a `memory` every request is written down before it travels, so that the exchange can be
    built again after our process has died (`rebuilt`).
    """

    def __init__(  # noqa: PLR0913 the parts of one broker
        self,
        exchange: SimulatedExchange,
        latency: Latency,
        *,
        quotes_available: bool,
        memory: BrokerMemory | None = None,
        faults: Faults | None = None,
        market: Iterator[Tick] | None = None,
        rates: RateLimits | None = RateLimits(),  # noqa: B008 frozen
    ) -> None:
        self.exchange = exchange
        self.faults = faults or Faults(0)
        self._latency = latency
        self._quotes_available = quotes_available
        self._memory = memory
        self._market = market
        self._next_tick = None if market is None else next(market, None)
        self._wire = Wire(latency, self.faults)
        self._door = Door(self.faults, rates)
        self._book = ShownBook(exchange, self.faults)
        self._others = Others(exchange, self.faults)
        self._ticks = 0
        self._connection = 0
        self._arrivals: list[tuple[int, int, Arrival]] = []
        for session in exchange.facts.sessions:
            self._arrive(session.square_off_ns, self._square_off)
            self._arrive(session.close_ns, self._expire)
        for window in self.faults.of(FaultKind.STREAM_DOWN):
            self._arrive(window.from_ns, partial(self._link, window, False))  # noqa: FBT003
            self._arrive(window.until_ns, partial(self._link, window, True))  # noqa: FBT003

    def submit(self, command: AnyCommand, at_ns: int) -> None:
        """Take a request. `Subscribe` concerns the feed, which here is always on."""
        assert not isinstance(command, Notify), "a venue has nobody to notify"
        if isinstance(command, Subscribe):
            return
        if self._memory is not None:
            self._memory.keep(Remembered(at_ns=at_ns, ticks=self._ticks, request=command))
        self._take(command, at_ns)

    def on_tick(self, tick: Tick) -> None:
        """Take a market update, after all that reached the exchange before it."""
        if tick.count > 1 and self._memory is not None:
            self._memory.keep(Remembered(at_ns=tick.at_ns, ticks=self._ticks, merged=tick))
        self._ticks += 1
        self._run_until(tick.at_ns)
        if self._market is None:
            self._show(tick)

    @property
    def due_ns(self) -> int | None:
        """When something reaches the exchange or us next, `None` when nothing is on its way."""
        first_ns = self._arrivals[0][0] if self._arrivals else None
        for due_ns in (self._wire.due_ns, self._tick_ns):
            if first_ns is None or (due_ns is not None and due_ns < first_ns):
                first_ns = due_ns
        return first_ns

    def pop_due(self, at_ns: int) -> Sequence[AnyEvent]:
        """What reaches us up to `at_ns`, stamped with its time."""
        self._run_until(at_ns)
        return self._wire.pop_due(at_ns)

    def hang_up(self, at_ns: int) -> None:
        """Our process died at `at_ns`: what is on its way to us is lost with its connection.

        What is on its way to the exchange arrives; the answers to it find nobody.
        """
        self._run_until(at_ns)
        self._wire.clear()
        self._connection += 1

    def remember(self, memory: BrokerMemory) -> None:
        """Write down what comes from here on."""
        self._memory = memory

    # -- time

    @property
    def _tick_ns(self) -> int | None:
        return None if self._next_tick is None else self._next_tick.at_ns

    def _run_until(self, at_ns: int) -> None:
        """Let everything happen up to `at_ns`; at one instant requests come before the market."""
        while True:
            tick, due_ns = self._next_tick, self._arrivals[0][0] if self._arrivals else None
            if due_ns is not None and due_ns <= min(at_ns, tick.at_ns if tick else at_ns):
                _, _, arrive = heappop(self._arrivals)
                arrive(due_ns)
            elif tick is not None and tick.at_ns <= at_ns:
                assert self._market is not None, "only a market of its own has a next tick"
                self._next_tick = next(self._market, None)
                self._show(tick)
            else:
                return

    def _show(self, tick: Tick) -> None:
        """The market moves; then everybody else acts."""
        self._tell(self.exchange.on_tick(tick), tick.at_ns)
        if self.faults.is_any:
            self._tell(self._others.step(tick.at_ns), tick.at_ns)

    def _arrive(self, due_ns: int, arrive: Arrival) -> None:
        heappush(self._arrivals, (due_ns, self._wire.count(), arrive))

    # -- requests leave

    def _take(self, command: Request, at_ns: int) -> None:
        match command:
            case PlaceOrder() | ModifyOrder() | CancelOrder():
                self._send_order(command, at_ns)
            case _:
                silence = unanswered(command, at_ns)
                self._travel(self._wire.name(subject(command)), at_ns, command, silence=silence)

    def _send_order(self, command: OrderRequest, at_ns: int) -> None:
        """Let a request about an order travel, unless it is lost on its way."""
        silence = unanswered(command, at_ns)
        name = self._wire.name(subject(command))
        if self.faults.strikes(FaultKind.CONNECT_FAILED, name, at_ns):
            reason = "connection refused"
            failed = replace(silence, at_ns=at_ns, outcome=Outcome.NOT_SENT, reason=reason)
            self._wire.answer(failed)
            return
        lost = losses(command)
        if self.faults.strikes(lost[0], name, at_ns):
            self._wire.answer(silence)
        elif self.faults.strikes(FaultKind.SERVER_ERROR, name, at_ns):
            error_ns = at_ns + self._latency.request(name) + self._latency.response(name)
            self._wire.answer(replace(silence, at_ns=error_ns, reason="HTTP 500"))
            if self.faults.coin(FaultKind.SERVER_ERROR, name):
                self._go(Asked(name, at_ns, self._connection, None), command)
        else:
            is_lost = self.faults.strikes(lost[1], name, at_ns) is not None
            self._travel(name, at_ns, command, silence=silence, is_lost=is_lost)

    def _travel(
        self, name: str, at_ns: int, command: Request, *, silence: AnyEvent, is_lost: bool = False
    ) -> None:
        """Let a request go, and know already when, or whether, we hear its answer.

        `silence` is what the client makes of no answer in time.
        """
        slow = self.faults.strikes(FaultKind.ANSWER_SLOW, name, at_ns)
        heard_ns = self._arrives_ns(name, at_ns) + self._latency.response(name)
        heard_ns += 0 if slow is None else slow.wait_ns
        is_heard = not is_lost and heard_ns < silence.at_ns
        if not is_heard:
            self._wire.answer(silence)
        self._go(Asked(name, at_ns, self._connection, heard_ns if is_heard else None), command)

    def _go(self, asked: Asked, command: Request) -> None:
        due_ns = self._arrives_ns(asked.name, asked.at_ns)
        if due_ns > asked.at_ns + self._latency.request(asked.name):
            self.faults.strike(FaultKind.REQUEST_SLOW)
        self._arrive(due_ns, partial(self._meet, command, asked))

    def _arrives_ns(self, name: str, at_ns: int) -> int:
        slow = self.faults.finds(FaultKind.REQUEST_SLOW, name, at_ns)
        return at_ns + self._latency.request(name) + (0 if slow is None else slow.wait_ns)

    # -- requests arrive

    def _meet(self, command: Request, asked: Asked, at_ns: int) -> None:
        match command:
            case PlaceOrder():
                self._place(command, asked, at_ns)
            case ModifyOrder():
                self._report(Action.MODIFY, self._modify(command, asked, at_ns), asked, at_ns)
            case CancelOrder():
                self._report(Action.CANCEL, self._cancel(command, asked, at_ns), asked, at_ns)
            case ExitAll() | BrokerKillSwitch() | SetLossExit():
                self._guard(command, asked, at_ns)
            case _:
                self._read(command, asked, at_ns)

    def _place(self, command: PlaceOrder, asked: Asked, at_ns: int) -> None:
        forced = self._door.objection(Action.PLACE, command.terms, name=asked.name, at_ns=at_ns)
        results = self.exchange.place(command.order_id, command.terms, at_ns, forced=forced)
        first = results[0]
        if isinstance(first, OrderRow) and asked.heard_ns is not None:
            due_ns = self._after_words(asked, at_ns)
            taken = OrderAcknowledged(
                at_ns=due_ns, order_id=command.order_id, broker_id=first.broker_id
            )
            self._respond(asked, taken)
        self._report(Action.PLACE, results, asked, at_ns)

    def _after_words(self, asked: Asked, at_ns: int) -> int:
        """When an acknowledgement is heard: where the stream is to be first, after its words."""
        assert asked.heard_ns is not None
        window = self.faults.strikes(FaultKind.UPDATE_FIRST, asked.name, at_ns)
        if window is None:
            return asked.heard_ns
        return max(asked.heard_ns, at_ns + self._latency.update_ns[1]) + window.wait_ns

    def _modify(self, command: ModifyOrder, asked: Asked, at_ns: int) -> Sequence[Result]:
        order_id, terms, name = command.order_id, command.terms, asked.name
        stranger = self._stranger(order_id, command.broker_id)
        if stranger:
            return stranger
        row = self.exchange.find(order_id)
        is_live = row is not None and row.status is BrokerStatus.WORKING
        if is_live and self.faults.strikes(FaultKind.MODIFY_IGNORED, name, at_ns):
            return []
        if is_live and self.faults.strikes(FaultKind.MODIFY_REFUSED_LATER, name, at_ns):
            assert row is not None
            self._wire.tell([as_if_dead(row, at_ns)], at_ns)
            return []
        forced = self._door.objection(Action.MODIFY, terms, name=name, at_ns=at_ns)
        if row is not None and row.terms.order_type is OrderType.STOP_LIMIT:
            forced = forced or self._no_limit(command, name, at_ns)
            if forced is None and self.faults.strikes(FaultKind.MODIFY_OVERTAKEN, name, at_ns):
                self._tell(self.exchange.overtake(order_id, at_ns), at_ns)
        return self.exchange.modify(order_id, terms, at_ns, forced=forced)

    def _no_limit(self, command: ModifyOrder, name: str, at_ns: int) -> Objection | None:
        """The no to a stop that is to become a limit order."""
        is_asked = command.terms.order_type is OrderType.LIMIT
        if not is_asked or not self.faults.strikes(FaultKind.STOP_TO_LIMIT_REFUSED, name, at_ns):
            return None
        text = "Incorrect request for order and cannot be processed"
        return Objection(judge=Judge.BROKER, refusal=Refusal.OTHER, text=text)

    def _cancel(self, command: CancelOrder, asked: Asked, at_ns: int) -> Sequence[Result]:
        order_id, name = command.order_id, asked.name
        stranger = self._stranger(order_id, command.broker_id)
        if stranger:
            return stranger
        forced = self._door.objection(Action.CANCEL, None, name=name, at_ns=at_ns)
        if forced is not None:
            return [Refused(order_id=order_id, refusal=forced.refusal, reason=forced.text)]
        window = self.faults.finds(FaultKind.FILLED_DURING_CANCEL, name, at_ns)
        if window is not None:
            filled = self.exchange.fill_at_limit(order_id, at_ns, quantity=window.quantity)
            self._tell(filled, at_ns)
            if filled:
                self.faults.strike(FaultKind.FILLED_DURING_CANCEL)
        return self.exchange.cancel(order_id, at_ns)

    def _stranger(self, order_id: OrderId, broker_id: BrokerOrderId) -> list[Result]:
        """The no to a request that names an order by a number which is not its own."""
        row = self.exchange.find(order_id)
        if row is None or row.broker_id == broker_id:
            return []
        reason = f"Order {broker_id} is not {order_id}"
        return [Refused(order_id=order_id, refusal=Refusal.NOT_MODIFIABLE, reason=reason)]

    def _guard(self, command: GuardRequest, asked: Asked, at_ns: int) -> None:
        """One of the broker's guards is really done, or says why not."""
        reason = self._door.read_objection(name=asked.name, at_ns=at_ns)
        if reason is None and self.faults.strikes(FaultKind.GUARD_FAILED, asked.name, at_ns):
            reason = "HTTP 500"
        if reason is None:
            reason = self._do_guard(command, at_ns)
        answered = GuardAnswered(
            at_ns=asked.heard_ns or at_ns,
            guard=GUARDS[type(command)],
            is_done=reason is None,
            reason=reason or "",
        )
        self._respond(asked, answered)

    def _do_guard(self, command: GuardRequest, at_ns: int) -> str | None:
        """Do it; the reason where the broker would not."""
        if isinstance(command, BrokerKillSwitch):
            return self.exchange.kill_switch()
        if isinstance(command, ExitAll):
            self._tell(self.exchange.exit_all(at_ns, reason="cancelled by exit all"), at_ns)
        else:
            self._tell(self.exchange.set_loss_exit(command.loss_paise, at_ns), at_ns)
        return None

    def _read(self, command: ReadRequest, asked: Asked, at_ns: int) -> None:
        if asked.heard_ns is None:
            return
        reason = self._door.read_objection(name=asked.name, at_ns=at_ns)
        if reason is not None:
            failed = ReadFailed(at_ns=asked.heard_ns, what=what_of(command), reason=reason)
            self._respond(asked, failed)
            return
        match command:
            case FindOrder():
                self._find(command, asked, at_ns)
            case ReadFunds():
                self._respond(asked, self._funds(asked, at_ns))
            case ReadQuotes():
                self._respond(asked, self._quotes(command.instruments, asked, at_ns))
            case ReadBook():
                read = self._book.read(
                    name=asked.name,
                    at_ns=at_ns,
                    began_at_ns=asked.at_ns,
                    due_ns=asked.heard_ns,
                )
                self._respond(asked, read)

    def _find(self, command: FindOrder, asked: Asked, at_ns: int) -> None:
        row = self.exchange.find(command.order_id)
        assert asked.heard_ns is not None
        reason = None
        if self.faults.strikes(FaultKind.ORDER_READ_FAILED, asked.name, at_ns):
            reason = "HTTP 500"
        elif row is None or self.faults.strikes(FaultKind.ORDER_NOT_FOUND, asked.name, at_ns):
            reason = "not found"
        if reason is not None:
            failed = ReadFailed(at_ns=asked.heard_ns, what=what_of(command), reason=reason)
            self._respond(asked, failed)
        elif row is not None and asked.connection == self._connection:
            self._wire.word(row, asked.heard_ns, is_read=True)

    def _funds(self, asked: Asked, at_ns: int) -> FundsRead | ReadFailed:
        assert asked.heard_ns is not None
        if self.faults.strikes(FaultKind.FUNDS_FAILED, asked.name, at_ns):
            return ReadFailed(at_ns=asked.heard_ns, what="funds", reason="HTTP 500")
        is_zero = self.faults.strikes(FaultKind.FUNDS_ZERO, asked.name, at_ns)
        available = 0 if is_zero else self.exchange.funds_paise
        return FundsRead(at_ns=asked.heard_ns, available_paise=available)

    def _quotes(
        self, instruments: Sequence[InstrumentId], asked: Asked, at_ns: int
    ) -> QuotesRead | ReadFailed:
        due_ns = asked.heard_ns
        assert due_ns is not None
        reason = ""
        if not self._quotes_available:
            reason = "the tape knows nothing newer than its last tick"
        elif self.faults.strikes(FaultKind.QUOTES_FAILED, asked.name, at_ns):
            reason = "HTTP 429"
        if reason:
            return ReadFailed(at_ns=due_ns, what="quotes", reason=reason)
        told = (self.exchange.last_tick(instrument) for instrument in instruments)
        quotes = tuple(as_read(tick, due_ns) for tick in told if tick is not None)
        return QuotesRead(at_ns=due_ns, quotes=quotes)

    # -- what happens by itself

    def _square_off(self, at_ns: int) -> None:
        self._tell(self.exchange.square_off(at_ns), at_ns)

    def _expire(self, at_ns: int) -> None:
        """The day's orders end; what expires is settled."""
        self._tell(self.exchange.expire(at_ns), at_ns)
        for instrument, paise, source in self.exchange.settle(at_ns):
            due_ns = at_ns + self._latency.update(self._wire.name(f"settled/{instrument}"))
            settled = Settled(
                at_ns=due_ns, instrument=instrument, settlement_paise=paise, source=source
            )
            self._wire.answer(settled)

    def _link(self, window: FaultWindow, is_up: bool, at_ns: int) -> None:  # noqa: FBT001
        """The order stream breaks at the beginning of its window and comes back at the end."""
        if not is_up:
            self.faults.strike(window.kind)
        reason = "" if is_up else "connection reset by peer"
        self._wire.answer(LinkChanged(at_ns=at_ns, link=Link.UPDATES, is_up=is_up, reason=reason))

    # -- answers leave

    def _report(self, action: Action, results: Sequence[Result], asked: Asked, at_ns: int) -> None:
        for result in results:
            if isinstance(result, OrderRow):
                self._tell([result], at_ns)
            elif asked.heard_ns is not None:
                failed = SendFailed(
                    at_ns=asked.heard_ns,
                    order_id=result.order_id,
                    action=action,
                    outcome=Outcome.REFUSED,
                    refusal=result.refusal,
                    reason=result.reason,
                )
                self._respond(asked, failed)

    def _tell(self, rows: Sequence[OrderRow], at_ns: int) -> None:
        """Let the stream speak of what happened at the exchange at `at_ns`, to whomever."""
        for row in rows:
            self._book.note(row, at_ns)
        self._wire.tell(rows, at_ns)
        news = self.exchange.take_foreign_news()
        for foreign in news:
            self._book.note_foreign(foreign, at_ns)
        self._wire.tell_foreign(news, at_ns)

    def _respond(self, asked: Asked, event: AnyEvent) -> None:
        """Answer a request, over the connection by which it came: a new one hears nothing of it."""
        if asked.heard_ns is not None and asked.connection == self._connection:
            self._wire.answer(event)


def rebuilding(
    venue: SimulatedVenue,
    ticks: Iterator[Tick],
    remembered: Sequence[Remembered],
    *,
    until_ns: int,
) -> Generator[None, None, Iterator[Tick]]:
    """Bring a new venue to `until_ns` by what its broker remembers; returns the market after that.

    It yields now and then, so that whoever drives it can do other things meanwhile.

    `ticks` is the source from its beginning, `venue` built like the one that died: it is shown the
    same ticks and handed the same requests at the same places, and then hears our connection break.
    Nothing that our own journal says plays a part. No request may be later than `until_ns`.
    """
    merged = {one.ticks: one.merged for one in remembered if one.merged is not None}
    requests = [one for one in remembered if one.request is not None]
    assert all(one.at_ns <= until_ns for one in requests), "a request from after the end"
    shown = _Shown(ticks, merged)
    count = asked = 0
    tick = next(shown, None)
    while True:
        while asked < len(requests) and (requests[asked].ticks <= count or tick is None):
            _hand_over(venue, requests[asked])
            asked += 1
        if tick is None or (tick.at_ns > until_ns and asked == len(requests)):
            break
        venue.on_tick(tick)
        count += 1
        if count % YIELD_EVERY == 0:
            yield
        tick = next(shown, None)
    venue.hang_up(until_ns)
    return chain([] if tick is None else [tick], shown)


def rebuilt(
    venue: SimulatedVenue,
    ticks: Iterator[Tick],
    remembered: Sequence[Remembered],
    *,
    until_ns: int,
) -> Iterator[Tick]:
    """The same in one go."""
    steps = rebuilding(venue, ticks, remembered, until_ns=until_ns)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            rest: Iterator[Tick] = end.value
            return rest


def _hand_over(venue: SimulatedVenue, remembered: Remembered) -> None:
    assert remembered.request is not None
    venue.submit(remembered.request, remembered.at_ns)


class _Shown:
    """The ticks as the exchange was shown them: merged ones in the place of what they stand for."""

    def __init__(self, ticks: Iterator[Tick], merged: dict[int, Tick]) -> None:
        self._ticks = ticks
        self._merged = merged
        self._count = 0
        self._covered: Counter[InstrumentId] = Counter()

    def __iter__(self) -> Iterator[Tick]:
        return self

    def __next__(self) -> Tick:
        """The next one. A merged tick stands where the first of its ticks came."""
        for tick in self._ticks:
            if self._covered[tick.instrument]:
                self._covered[tick.instrument] -= 1
                continue
            merged = self._merged.get(self._count)
            self._count += 1
            if merged is None:
                return tick
            assert merged.instrument == tick.instrument, "this is not the market of that day"
            self._covered[tick.instrument] += merged.count - 1
            return merged
        raise StopIteration
