"""The simulated exchange behind the port: requests travel, are judged, and answers travel back."""

from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush

from msgspec.structs import replace

from holdfast.domain.command import (
    AnyCommand,
    CancelOrder,
    FindOrder,
    ModifyOrder,
    Notify,
    PlaceOrder,
    ReadFunds,
    ReadQuotes,
    Subscribe,
)
from holdfast.domain.event import (
    Action,
    AnyEvent,
    FundsRead,
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

Arrival = Callable[[int], None]
"""What happens at the exchange at an instant that is passed to it."""


class SimulatedVenue:
    """A `VenueDriver` over one exchange and one latency model.

    Two things wait here, each in order of time and then of their making: what will reach the
    exchange, and what will reach us. What reaches the exchange meets the book as of that instant.
    The words about one order never overtake each other; the answer to a placement may come after
    them. With `quotes_available` the exchange answers `ReadQuotes` from its own book; a tape
    cannot, because it knows nothing newer than its last tick.
    """

    def __init__(
        self, exchange: SimulatedExchange, latency: Latency, *, quotes_available: bool
    ) -> None:
        self.exchange = exchange
        self._latency = latency
        self._quotes_available = quotes_available
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
            case ReadQuotes():
                self._send("quotes", at_ns, partial(self._read_quotes, command.instruments))
            case Subscribe() | Notify():
                assert isinstance(command, Subscribe), "a venue has nobody to notify"

    def on_tick(self, tick: Tick) -> None:
        """Take a market update, after all that reached the exchange before it."""
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

    def _send(self, subject: str, at_ns: int, arrive: Callable[[str, int], None]) -> None:
        """Let a request travel under a name of its own: its draws depend on nothing else."""
        name = self._name(subject)
        self._arrive(at_ns + self._latency.request(name), partial(arrive, name))

    def _place(self, command: PlaceOrder, name: str, at_ns: int) -> None:
        results = self.exchange.place(command.order_id, command.terms, at_ns)
        first = results[0]
        if isinstance(first, OrderRow):
            due_ns = at_ns + self._latency.response(name)
            self._answer(
                OrderAcknowledged(
                    at_ns=due_ns, order_id=command.order_id, broker_id=first.broker_id
                )
            )
        self._report(Action.PLACE, results, name=name, at_ns=at_ns)

    def _modify(self, command: ModifyOrder, name: str, at_ns: int) -> None:
        order_id = command.order_id
        results = self._stranger(order_id, command.broker_id) or self.exchange.modify(
            order_id, command.terms, at_ns
        )
        self._report(Action.MODIFY, results, name=name, at_ns=at_ns)

    def _cancel(self, command: CancelOrder, name: str, at_ns: int) -> None:
        order_id = command.order_id
        results = self._stranger(order_id, command.broker_id) or self.exchange.cancel(
            order_id, at_ns
        )
        self._report(Action.CANCEL, results, name=name, at_ns=at_ns)

    def _stranger(self, order_id: OrderId, broker_id: BrokerOrderId) -> list[Result]:
        """The no to a request that names an order by a number which is not its own."""
        row = self.exchange.find(order_id)
        if row is None or row.broker_id == broker_id:
            return []
        reason = f"Order {broker_id} is not {order_id}"
        return [Refused(order_id=order_id, refusal=Refusal.NOT_MODIFIABLE, reason=reason)]

    def _find(self, command: FindOrder, name: str, at_ns: int) -> None:
        row = self.exchange.find(command.order_id)
        due_ns = at_ns + self._latency.response(name)
        if row is None:
            what = f"order {command.order_id}"
            self._answer(ReadFailed(at_ns=due_ns, what=what, reason="not found"))
        else:
            self._word(row, due_ns, is_read=True)

    def _read_funds(self, name: str, at_ns: int) -> None:
        due_ns = at_ns + self._latency.response(name)
        self._answer(FundsRead(at_ns=due_ns, available_paise=self.exchange.funds_paise))

    def _read_quotes(self, instruments: Sequence[InstrumentId], name: str, at_ns: int) -> None:
        due_ns = at_ns + self._latency.response(name)
        if not self._quotes_available:
            reason = "the tape knows nothing newer than its last tick"
            self._answer(ReadFailed(at_ns=due_ns, what="quotes", reason=reason))
            return
        told = (self.exchange.last_tick(instrument) for instrument in instruments)
        quotes = tuple(_as_read(tick, due_ns) for tick in told if tick is not None)
        self._answer(QuotesRead(at_ns=due_ns, quotes=quotes))

    def _square_off(self, at_ns: int) -> None:
        self._tell(self.exchange.square_off(at_ns), at_ns)

    def _expire(self, at_ns: int) -> None:
        self._tell(self.exchange.expire(at_ns), at_ns)

    def _report(self, action: Action, results: Sequence[Result], *, name: str, at_ns: int) -> None:
        for result in results:
            if isinstance(result, OrderRow):
                self._tell([result], at_ns)
            else:
                failed = SendFailed(
                    at_ns=at_ns + self._latency.response(name),
                    order_id=result.order_id,
                    action=action,
                    outcome=Outcome.REFUSED,
                    refusal=result.refusal,
                    reason=result.reason,
                )
                self._answer(failed)

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
