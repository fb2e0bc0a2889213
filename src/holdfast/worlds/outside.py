"""What goes on while our process lives and dies: the market, the exchange, the broker.

The exchange lives by the market itself, whatever our feed shows of it. A process reaches it through
a `Line`, which is cut when that process dies.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace
from typing_extensions import override

from holdfast.brokers.simulated import SimulatedVenue
from holdfast.core.orders.ids import OrderReason, read_order_id
from holdfast.domain.command import AnyCommand
from holdfast.domain.event import AnyEvent, BookRead
from holdfast.domain.instrument import BrokerKey, Instrument
from holdfast.domain.market import Tick
from holdfast.domain.order import OrderId, OrderRow, OrderTerms, Purpose, Side
from holdfast.exchange.account import Execution
from holdfast.exchange.checks import Behaviour
from holdfast.exchange.faults import Faults
from holdfast.exchange.latency import Latency
from holdfast.exchange.order import LiveOrder
from holdfast.exchange.venue import Placement, Result, SimulatedExchange
from holdfast.worlds.ground import FACTS

Watch = Callable[[int], None]
"""Called after something changed at the exchange, with the time."""


class Counted:
    """One order, and as what it was counted last."""

    __slots__ = ("filled", "may_fill", "order", "reason")

    def __init__(self, order: LiveOrder, reason: OrderReason) -> None:
        """It was not counted."""
        self.order, self.reason = order, reason
        self.filled = self.may_fill = 0


class Tally:
    """What our orders come to at the exchange: by position, and by broker key.

    `entered` is what entries have bought and may still buy; `held` what fills have left of it;
    `closing` what closing orders can still fill. `selling` and `net` are the same by key. What is
    over is put aside, so that nobody looks at the positions of a whole day after each change.
    """

    __slots__ = ("aside", "closing", "entered", "held", "net", "selling")

    def __init__(self) -> None:
        """Nothing was ordered."""
        self.entered: Counter[int] = Counter()
        self.held: Counter[int] = Counter()
        self.closing: Counter[int] = Counter()
        self.selling: Counter[BrokerKey] = Counter()
        self.net: Counter[BrokerKey] = Counter()
        self.aside: dict[int, int] = {}

    def take(self, one: Counted) -> None:
        """Count one order as it stands, in place of what it was."""
        order, number = one.order, one.reason.position
        filled, may_fill = order.filled_quantity, order.open_quantity
        more, opened = filled - one.filled, may_fill - one.may_fill
        if not more and not opened:
            return
        one.filled, one.may_fill = filled, may_fill
        self.entered[number] += self.aside.pop(number, 0)
        self.net[order.key] += order.terms.side.sign * more
        if order.terms.side is Side.SELL:
            self.selling[order.key] += opened
        if one.reason.purpose is Purpose.ENTRY:
            self.entered[number] += more + opened
            self.held[number] += more
        else:
            self.held[number] -= more
            self.closing[number] += opened

    def put_aside(self, living: frozenset[int]) -> None:
        """Leave out positions that hold nothing, and of which no order lives, until one does again."""
        over = [one for one in self.entered if not self.held[one] and one not in living]
        for number in over:
            self.aside[number] = self.entered.pop(number)
            self.held.pop(number, None)
            self.closing.pop(number, None)


class WatchedExchange(SimulatedExchange):
    """The simulated exchange, with somebody who looks at it after each change."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        *,
        cash_paise: int,
        seed: int,
        behaviour: Behaviour,
        faults: Faults,
        prefix: str,
    ) -> None:
        """Nobody looks yet. `prefix` stands before our order ids."""
        super().__init__(
            instruments,
            FACTS,
            cash_paise=cash_paise,
            seed=seed,
            behaviour=behaviour,
            faults=faults,
        )
        self.watch: Watch = lambda _at_ns: None
        self._prefix = prefix
        self._tally = Tally()
        self._living: list[Counted] = []
        self._known = 0
        self._told = 0

    @property
    def placed_in_order(self) -> Sequence[Placement]:
        """Every placement that arrived, without a copy."""
        return self._placements

    @property
    def executed(self) -> Sequence[Execution]:
        """Every execution in order, without a copy."""
        return self._account.executions

    def tally(self) -> Tally:
        """What our orders come to now; it counts on at the next call."""
        for order in self._orders[self._known :]:
            reason = read_order_id(self._prefix, order.order_id)
            assert reason is not None, f"{order.order_id} is no id of ours"
            self._living.append(Counted(order, reason))
        self._known = len(self._orders)
        for one in self._living:
            self._tally.take(one)
        self._living = [one for one in self._living if one.order.is_live]
        return self._tally

    def put_aside(self) -> None:
        """Everybody has looked at what is over."""
        self._tally.put_aside(frozenset(one.reason.position for one in self._living))

    @override
    def place(self, order_id: OrderId, terms: OrderTerms, at_ns: int, **more: Any) -> list[Result]:
        results = super().place(order_id, terms, at_ns, **more)
        self._tell(at_ns)
        return results

    @override
    def modify(self, order_id: OrderId, terms: OrderTerms, at_ns: int, **more: Any) -> list[Result]:
        results = super().modify(order_id, terms, at_ns, **more)
        self._tell(at_ns)
        return results

    @override
    def cancel(self, order_id: OrderId, at_ns: int) -> list[Result]:
        results = super().cancel(order_id, at_ns)
        self._tell(at_ns)
        return results

    @override
    def on_tick(self, tick: Tick) -> list[OrderRow]:
        rows = super().on_tick(tick)
        # What others traded between two ticks came by none of the ways above.
        if rows or len(self._account.executions) != self._told:
            self._tell(tick.at_ns)
        return rows

    def _tell(self, at_ns: int) -> None:
        self._told = len(self._account.executions)
        self.watch(at_ns)


class Outside:
    """The market as it goes by, and the broker in it."""

    def __init__(
        self, exchange: WatchedExchange, latency: Latency, truth: Sequence[Tick], faults: Faults
    ) -> None:
        """`truth` is everything that happens in the market, in order."""
        self.exchange = exchange
        self.venue = SimulatedVenue(exchange, latency, quotes_available=True, faults=faults)
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
        return [_by_clock(event, self._off_ns) for event in heard]


def _by_clock(event: AnyEvent, off_ns: int) -> AnyEvent:
    """An answer as a client with such a clock has stamped it: when it came, and when it asked."""
    shown = replace(event, at_ns=event.at_ns + off_ns)
    if isinstance(shown, BookRead):
        return replace(shown, began_at_ns=shown.began_at_ns + off_ns)
    return shown
