"""What goes on while our process lives and dies: the market, the exchange, the broker.

The exchange lives by the market itself, whatever our feed shows of it. A process reaches it through
a `Line`, which is cut when that process dies.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace
from typing_extensions import override

from holdfast.brokers.simulated import SimulatedVenue
from holdfast.domain.command import AnyCommand
from holdfast.domain.event import AnyEvent
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick
from holdfast.domain.order import OrderId, OrderRow, OrderTerms
from holdfast.exchange.checks import Behaviour
from holdfast.exchange.latency import Latency
from holdfast.exchange.venue import Result, SimulatedExchange
from holdfast.worlds.ground import FACTS

Watch = Callable[[int], None]
"""Called after something changed at the exchange, with the time."""


class WatchedExchange(SimulatedExchange):
    """The simulated exchange, with somebody who looks at it after each change."""

    def __init__(
        self, instruments: Sequence[Instrument], *, cash_paise: int, seed: int, behaviour: Behaviour
    ) -> None:
        """Nobody looks yet."""
        super().__init__(instruments, FACTS, cash_paise=cash_paise, seed=seed, behaviour=behaviour)
        self.watch: Watch = lambda _at_ns: None

    @override
    def place(self, order_id: OrderId, terms: OrderTerms, at_ns: int) -> list[Result]:
        results = super().place(order_id, terms, at_ns)
        self.watch(at_ns)
        return results

    @override
    def modify(self, order_id: OrderId, terms: OrderTerms, at_ns: int) -> list[Result]:
        results = super().modify(order_id, terms, at_ns)
        self.watch(at_ns)
        return results

    @override
    def cancel(self, order_id: OrderId, at_ns: int) -> list[Result]:
        results = super().cancel(order_id, at_ns)
        self.watch(at_ns)
        return results

    @override
    def on_tick(self, tick: Tick) -> list[OrderRow]:
        before = len(self._account.executions)
        rows = super().on_tick(tick)
        if rows or len(self._account.executions) != before:
            self.watch(tick.at_ns)
        return rows


class Outside:
    """The market as it goes by, and the broker in it."""

    def __init__(
        self, exchange: WatchedExchange, latency: Latency, truth: Sequence[Tick]
    ) -> None:
        """`truth` is everything that happens in the market, in order."""
        self.exchange = exchange
        self.venue = SimulatedVenue(exchange, latency, quotes_available=True)
        self._truth = truth
        self._next = 0

    @property
    def due_ns(self) -> int | None:
        """When something happens next: in the market, at the exchange, or an answer."""
        venue_ns = self.venue.due_ns
        if self._next == len(self._truth):
            return venue_ns
        truth_ns = self._truth[self._next].at_ns
        return truth_ns if venue_ns is None else min(venue_ns, truth_ns)

    def pop_due(self, at_ns: int) -> list[AnyEvent]:
        """Let everything up to `at_ns` happen; returns what reaches our process."""
        truth = self._truth
        while self._next < len(truth) and truth[self._next].at_ns <= at_ns:
            self._next += 1
            self.venue.on_tick(truth[self._next - 1])
        return list(self.venue.pop_due(at_ns))

    def hang_up(self, at_ns: int) -> None:
        """Nobody of ours is there any more, until somebody comes again."""
        self.pop_due(at_ns)
        self.venue.hang_up(at_ns)


class Line:
    """One process's way to the broker: a `VenueDriver` in that process's own time.

    `off_ns` is how far the clock of its host is off. `sending` hears of each request before it
    leaves, `sent` after it did.
    """

    def __init__(
        self,
        outside: Outside,
        *,
        off_ns: int,
        sending: Callable[[AnyCommand, int], None],
        sent: Callable[[], None],
    ) -> None:
        self._outside = outside
        self._off_ns = off_ns
        self._sending = sending
        self._sent = sent

    def submit(self, command: AnyCommand, at_ns: int) -> None:
        """Hand a request over."""
        self._sending(command, at_ns)
        self._outside.venue.submit(command, at_ns - self._off_ns)
        self._sent()

    def on_tick(self, tick: Tick) -> None:
        """What our feed shows moves nothing outside."""

    @property
    def due_ns(self) -> int | None:
        """When something happens outside, by our clock."""
        due_ns = self._outside.due_ns
        return None if due_ns is None else due_ns + self._off_ns

    def pop_due(self, at_ns: int) -> Sequence[AnyEvent]:
        """What has reached us by then, stamped by our clock."""
        heard = self._outside.pop_due(at_ns - self._off_ns)
        if not self._off_ns:
            return heard
        return [replace(event, at_ns=event.at_ns + self._off_ns) for event in heard]
