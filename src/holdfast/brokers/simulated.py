"""The simulated exchange behind the port: requests travel, are judged, and answers travel back."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from heapq import heappop, heappush
from itertools import chain
from typing import Final, NamedTuple

from msgspec.structs import replace

from holdfast.brokers.memory import BrokerMemory, Remembered, Request
from holdfast.domain.command import (
    AnyCommand,
    BrokerKillSwitch,
    CancelOrder,
    ExitAll,
    FindOrder,
    ModifyOrder,
    Notify,
    PlaceOrder,
    ReadBook,
    ReadFunds,
    ReadQuotes,
    SetLossExit,
    Subscribe,
)
from holdfast.domain.event import (
    Action,
    AnyEvent,
    BookRead,
    FundsRead,
    Guard,
    GuardAnswered,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    QuotesRead,
    ReadFailed,
    SendFailed,
)
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Tick
from holdfast.domain.order import BrokerOrderId, OrderId, OrderRow, Refusal
from holdfast.exchange.latency import Latency
from holdfast.exchange.venue import Refused, Result, SimulatedExchange

YIELD_EVERY: Final = 2_000
"""Ticks that are shown to an exchange between two yields."""

Arrival = Callable[[int], None]
"""What happens at the exchange at an instant that is passed to it."""


class Asked(NamedTuple):
    """A request on its way: its name (draws hang on it), when it left, over which connection."""

    name: str
    at_ns: int
    connection: int


class SimulatedVenue:
    """A `VenueDriver` over one exchange and one latency model.

    Two things wait here, each in order of time and then of their making: what will reach the
    exchange, and what will reach us. What reaches the exchange meets the book as of that instant.
    The words about one order never overtake each other; the answer to a placement may come after
    them. With `quotes_available` the exchange answers `ReadQuotes` from its own book; a tape
    cannot, because it knows nothing newer than its last tick.

    With a `memory` every request is written down before it travels, so that the exchange can be
    built again after our process has died (`rebuilt`).
    """

    def __init__(
        self,
        exchange: SimulatedExchange,
        latency: Latency,
        *,
        quotes_available: bool,
        memory: BrokerMemory | None = None,
    ) -> None:
        self.exchange = exchange
        self._latency = latency
        self._quotes_available = quotes_available
        self._memory = memory
        self._ticks = 0
        self._connection = 0
        self._arrivals: list[tuple[int, int, Arrival]] = []
        self._answers: list[tuple[int, int, AnyEvent]] = []
        self._made = 0
        self._named: dict[str, int] = {}
        self._word_due_ns: dict[BrokerOrderId, int] = {}
        for session in exchange.facts.sessions:
            self._arrive(session.square_off_ns, self._square_off)
            self._arrive(session.close_ns, self._expire)

    def submit(self, command: AnyCommand, at_ns: int) -> None:
        """Take a request. `Subscribe` concerns the feed, which here is always on."""
        assert not isinstance(command, Notify), "a venue has nobody to notify"
        if isinstance(command, Subscribe):
            return
        if self._memory is not None:
            self._memory.keep(Remembered(at_ns=at_ns, ticks=self._ticks, request=command))
        self._take(command, at_ns)

    def _take(self, command: Request, at_ns: int) -> None:
        match command:
            case PlaceOrder():
                self._send(f"place/{command.order_id}", at_ns, partial(self._place, command))
            case ModifyOrder():
                self._send(f"modify/{command.order_id}", at_ns, partial(self._modify, command))
            case CancelOrder():
                self._send(f"cancel/{command.order_id}", at_ns, partial(self._cancel, command))
            case FindOrder():
                self._send(f"find/{command.order_id}", at_ns, partial(self._find, command))
            case ReadFunds():
                self._send("funds", at_ns, self._read_funds)
            case ReadBook():
                self._send("book", at_ns, self._read_book)
            case ExitAll() | BrokerKillSwitch() | SetLossExit():
                self._send("guard", at_ns, partial(self._guard, command))
            case ReadQuotes():
                self._send("quotes", at_ns, partial(self._read_quotes, command.instruments))

    def on_tick(self, tick: Tick) -> None:
        """Take a market update, after all that reached the exchange before it."""
        if tick.count > 1 and self._memory is not None:
            self._memory.keep(Remembered(at_ns=tick.at_ns, ticks=self._ticks, merged=tick))
        self._ticks += 1
        self._run_until(tick.at_ns)
        self._tell(self.exchange.on_tick(tick), tick.at_ns)

    @property
    def due_ns(self) -> int | None:
        """When something reaches the exchange or us next, `None` when nothing is on its way."""
        heads = [waiting[0][0] for waiting in (self._arrivals, self._answers) if waiting]
        return min(heads, default=None)

    def pop_due(self, at_ns: int) -> Sequence[AnyEvent]:
        """What reaches us up to `at_ns`, stamped with its time."""
        self._run_until(at_ns)
        events = []
        while self._answers and self._answers[0][0] <= at_ns:
            events.append(heappop(self._answers)[2])
        return events

    def _run_until(self, at_ns: int) -> None:
        while self._arrivals and self._arrivals[0][0] <= at_ns:
            due_ns, _, arrive = heappop(self._arrivals)
            arrive(due_ns)

    def hang_up(self, at_ns: int) -> None:
        """Our process died at `at_ns`: what is on its way to us is lost with its connection.

        What is on its way to the exchange arrives; the answers to it find nobody.
        """
        self._run_until(at_ns)
        self._answers.clear()
        self._connection += 1

    def remember(self, memory: BrokerMemory) -> None:
        """Write down what comes from here on."""
        self._memory = memory

    def _send(self, subject: str, at_ns: int, arrive: Callable[[Asked, int], None]) -> None:
        """Let a request travel under a name of its own: its draws depend on nothing else."""
        asked = Asked(self._name(subject), at_ns, self._connection)
        self._arrive(at_ns + self._latency.request(asked.name), partial(arrive, asked))

    def _place(self, command: PlaceOrder, asked: Asked, at_ns: int) -> None:
        results = self.exchange.place(command.order_id, command.terms, at_ns)
        first = results[0]
        if isinstance(first, OrderRow):
            due_ns = at_ns + self._latency.response(asked.name)
            taken = OrderAcknowledged(
                at_ns=due_ns, order_id=command.order_id, broker_id=first.broker_id
            )
            self._respond(asked, taken)
        self._report(Action.PLACE, results, asked=asked, at_ns=at_ns)

    def _modify(self, command: ModifyOrder, asked: Asked, at_ns: int) -> None:
        order_id = command.order_id
        results = self._stranger(order_id, command.broker_id) or self.exchange.modify(
            order_id, command.terms, at_ns
        )
        self._report(Action.MODIFY, results, asked=asked, at_ns=at_ns)

    def _cancel(self, command: CancelOrder, asked: Asked, at_ns: int) -> None:
        order_id = command.order_id
        results = self._stranger(order_id, command.broker_id) or self.exchange.cancel(
            order_id, at_ns
        )
        self._report(Action.CANCEL, results, asked=asked, at_ns=at_ns)

    def _stranger(self, order_id: OrderId, broker_id: BrokerOrderId) -> list[Result]:
        """The no to a request that names an order by a number which is not its own."""
        row = self.exchange.find(order_id)
        if row is None or row.broker_id == broker_id:
            return []
        reason = f"Order {broker_id} is not {order_id}"
        return [Refused(order_id=order_id, refusal=Refusal.NOT_MODIFIABLE, reason=reason)]

    def _find(self, command: FindOrder, asked: Asked, at_ns: int) -> None:
        row = self.exchange.find(command.order_id)
        due_ns = at_ns + self._latency.response(asked.name)
        if row is None:
            what = f"order {command.order_id}"
            self._respond(asked, ReadFailed(at_ns=due_ns, what=what, reason="not found"))
        elif asked.connection == self._connection:
            self._word(row, due_ns, is_read=True)

    def _read_funds(self, asked: Asked, at_ns: int) -> None:
        due_ns = at_ns + self._latency.response(asked.name)
        self._respond(asked, FundsRead(at_ns=due_ns, available_paise=self.exchange.funds_paise))

    def _read_book(self, asked: Asked, at_ns: int) -> None:
        exchange = self.exchange
        read = BookRead(
            at_ns=at_ns + self._latency.response(asked.name),
            began_at_ns=asked.at_ns,
            nets=exchange.book_nets(),
            orders=exchange.orders(),
            foreign=exchange.book_foreign(),
            trades=exchange.book_trades(),
            funds_paise=exchange.funds_paise,
        )
        self._respond(asked, read)

    def _read_quotes(self, instruments: Sequence[InstrumentId], asked: Asked, at_ns: int) -> None:
        due_ns = at_ns + self._latency.response(asked.name)
        if not self._quotes_available:
            reason = "the tape knows nothing newer than its last tick"
            self._respond(asked, ReadFailed(at_ns=due_ns, what="quotes", reason=reason))
            return
        told = (self.exchange.last_tick(instrument) for instrument in instruments)
        quotes = tuple(_as_read(tick, due_ns) for tick in told if tick is not None)
        self._respond(asked, QuotesRead(at_ns=due_ns, quotes=quotes))

    def _guard(
        self, command: ExitAll | BrokerKillSwitch | SetLossExit, asked: Asked, at_ns: int
    ) -> None:
        guard = {
            ExitAll: Guard.EXIT_ALL,
            BrokerKillSwitch: Guard.KILL_SWITCH,
            SetLossExit: Guard.LOSS_EXIT,
        }[type(command)]
        due_ns = at_ns + self._latency.response(asked.name)
        refused = GuardAnswered(at_ns=due_ns, guard=guard, is_done=False, reason="not offered")
        self._respond(asked, refused)

    def _square_off(self, at_ns: int) -> None:
        self._tell(self.exchange.square_off(at_ns), at_ns)

    def _expire(self, at_ns: int) -> None:
        self._tell(self.exchange.expire(at_ns), at_ns)

    def _report(
        self, action: Action, results: Sequence[Result], *, asked: Asked, at_ns: int
    ) -> None:
        for result in results:
            if isinstance(result, OrderRow):
                self._tell([result], at_ns)
            else:
                failed = SendFailed(
                    at_ns=at_ns + self._latency.response(asked.name),
                    order_id=result.order_id,
                    action=action,
                    outcome=Outcome.REFUSED,
                    refusal=result.refusal,
                    reason=result.reason,
                )
                self._respond(asked, failed)

    def _tell(self, rows: Sequence[OrderRow], at_ns: int) -> None:
        """Let the stream speak of what happened at the exchange at `at_ns`."""
        for row in rows:
            name = self._name(f"update/{row.broker_id}")
            self._word(row, at_ns + self._latency.update(name))

    def _word(self, row: OrderRow, due_ns: int, *, is_read: bool = False) -> None:
        """Queue a word about an order, not before the one that was said before it."""
        due_ns = max(due_ns, self._word_due_ns.get(row.broker_id, due_ns))
        self._word_due_ns[row.broker_id] = due_ns
        self._answer(OrderUpdated(at_ns=due_ns, row=row, is_read=is_read))

    def _respond(self, asked: Asked, event: AnyEvent) -> None:
        """Answer a request, over the connection by which it came: a new one hears nothing of it."""
        if asked.connection == self._connection:
            self._answer(event)

    def _name(self, subject: str) -> str:
        """Number the messages of one subject from 0."""
        number = self._named.get(subject, 0)
        self._named[subject] = number + 1
        return f"{subject}/{number}"

    def _arrive(self, due_ns: int, arrive: Arrival) -> None:
        heappush(self._arrivals, (due_ns, self._next(), arrive))

    def _answer(self, event: AnyEvent) -> None:
        heappush(self._answers, (event.at_ns, self._next(), event))

    def _next(self) -> int:
        self._made += 1
        return self._made


def _as_read(tick: Tick, at_ns: int) -> Tick:
    """A quote as a read answers it: the book and the last trade, no merged extremes."""
    return replace(
        tick,
        at_ns=at_ns,
        count=1,
        last_low_paise=None,
        last_high_paise=None,
        bid_low_paise=None,
        bid_high_paise=None,
        ask_low_paise=None,
        ask_high_paise=None,
    )


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
