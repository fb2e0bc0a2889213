"""Every fault of the order path: that it strikes, what we hear, and what the broker's truth is.

Each story runs under one kind of fault alone. Afterwards the exchange is conserved, and a second
venue, built again from what the broker remembers, agrees with the first in everything.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from holdfast.brokers.memory import BrokerMemory, read_memory
from holdfast.brokers.simulated import SimulatedVenue, rebuilt
from holdfast.domain.command import (
    AnyCommand,
    BrokerKillSwitch,
    CancelOrder,
    ExitAll,
    FindOrder,
    ModifyOrder,
    PlaceOrder,
    ReadBook,
    ReadFunds,
    ReadQuotes,
    SetLossExit,
)
from holdfast.domain.event import (
    Action,
    AnyEvent,
    BookRead,
    ForeignUpdated,
    FundsRead,
    GuardAnswered,
    LinkChanged,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    ReadFailed,
    SendFailed,
    Settled,
)
from holdfast.domain.instrument import BrokerKey, OptionType, Product
from holdfast.domain.market import Tick
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderRow,
    OrderTerms,
    OrderType,
    Purpose,
    Refusal,
    Side,
)
from holdfast.exchange.draws import draw
from holdfast.exchange.faults import FaultKind, Faults, FaultWindow
from holdfast.exchange.latency import MILLISECOND_NS, Latency
from holdfast.exchange.rates import RateLimits
from holdfast.exchange.venue import SimulatedExchange
from tests.support.desk import CALL, CLOSE, DAY, FACTS, NIFTY, PUT, SECOND, option
from tests.unit.exchange.floor import LAKH, around, at, buy, oid, sell, stop, told

K = FaultKind
W, C, R, F = (
    BrokerStatus.WORKING,
    BrokerStatus.CANCELLED,
    BrokerStatus.REJECTED,
    BrokerStatus.FILLED,
)
KEY = BrokerKey(CALL.id, Product.INTRADAY)
REQUEST, RESPONSE, UPDATE = (ms * MILLISECOND_NS for ms in (50, 30, 100))
FIXED = Latency(
    seed=1,
    request_ns=(REQUEST, REQUEST),
    response_ns=(RESPONSE, RESPONSE),
    update_ns=(UPDATE, UPDATE),
)
RESTING_STOP = stop(Side.SELL, 9_900, 9_800)

E = TypeVar("E", bound=AnyEvent)


class BadDay:
    """A venue under faults, its memory, and what we heard of it. `now` is in seconds."""

    def __init__(self, folder: Path, windows: tuple[FaultWindow, ...]) -> None:
        self._windows = windows
        self._memory = folder / "broker"
        self.venue = self.built()
        memory = BrokerMemory(self._memory)
        self.venue.remember(memory)
        self._close = memory.close
        self.exchange, self.faults = self.venue.exchange, self.venue.faults
        self.heard: list[AnyEvent] = []
        self.ticks: list[Tick] = []
        self.now = 0.0
        self.tick(told(0))

    def built(self) -> SimulatedVenue:
        """A venue as it is at the beginning of this day."""
        faults = Faults(7, self._windows)
        exchange = SimulatedExchange(
            (NIFTY, CALL, PUT), FACTS, cash_paise=10 * LAKH, seed=1, faults=faults
        )
        return SimulatedVenue(exchange, FIXED, quotes_available=True, faults=faults)

    def again(self) -> SimulatedVenue:
        """The same venue as its broker remembers the day."""
        self.until(self.now)
        self._close()
        venue = self.built()
        rebuilt(venue, iter(self.ticks), read_memory(self._memory), until_ns=at(self.now))
        return venue

    def tick(self, tick: Tick) -> None:
        """The market moves."""
        self.now = max(self.now, (tick.at_ns - at(0)) / SECOND)
        self.until(self.now)
        self.ticks.append(tick)
        self.venue.on_tick(tick)

    def ask(self, command: AnyCommand, *, after: float = 1.0) -> list[AnyEvent]:
        """Send a request now; what we hear in the time after it."""
        self.venue.submit(command, at(self.now))
        return self.until(self.now + after)

    def until(self, second: float) -> list[AnyEvent]:
        """What we hear up to a second."""
        self.now = second
        found = list(self.venue.pop_due(at(second)))
        self.heard += found
        return found

    def place(
        self,
        name: str,
        terms: OrderTerms,
        purpose: Purpose = Purpose.ENTRY,
        *,
        after: float = 1.0,
    ) -> list[AnyEvent]:
        """Place an order."""
        placed = PlaceOrder(
            order_id=oid(name), purpose=purpose, position=1, terms=terms, fills_seen=0
        )
        return self.ask(placed, after=after)

    def modify(self, name: str, terms: OrderTerms, *, after: float = 1.0) -> list[AnyEvent]:
        """Modify an order by the number that the exchange gave it."""
        modified = ModifyOrder(order_id=oid(name), broker_id=self.row(name).broker_id, terms=terms)
        return self.ask(modified, after=after)

    def cancel(self, name: str, *, after: float = 1.0) -> list[AnyEvent]:
        """Cancel an order by the number that the exchange gave it."""
        row = self.row(name)
        return self.ask(CancelOrder(order_id=oid(name), broker_id=row.broker_id), after=after)

    def cancel_after_change(self, name: str) -> list[AnyEvent]:
        """Modify an order and cancel it in the same instant."""
        self.modify(name, buy(9_950), after=0.0)
        return self.cancel(name, after=3)

    def hold(self, quantity: int = 65) -> None:
        """Hold calls."""
        self.place("E", buy(10_005, quantity))

    def row(self, name: str) -> OrderRow:
        """The truth about an order."""
        row = self.exchange.find(oid(name))
        assert row is not None, f"{name} was never taken"
        return row

    @property
    def net(self) -> int:
        """The truth about the call."""
        return self.exchange.positions().get(KEY, 0)


def only(kind: type[E], found: list[AnyEvent]) -> E:
    """The one event of a kind."""
    [event] = [event for event in found if isinstance(event, kind)]
    return event


def all_of(kind: type[E], found: list[AnyEvent]) -> list[E]:
    """The events of a kind."""
    return [event for event in found if isinstance(event, kind)]


def words(found: list[AnyEvent]) -> list[tuple[BrokerStatus, int]]:
    """What the stream or a read said of our orders."""
    return [(e.row.status, e.row.filled_quantity) for e in all_of(OrderUpdated, found)]


def is_unanswered(found: list[AnyEvent], action: Action, after_s: float) -> bool:
    """Whether the client gave up on a request so long after it left, and heard no answer."""
    failed = only(SendFailed, found)
    assert not all_of(OrderAcknowledged, found)
    assert (failed.action, failed.outcome) == (action, Outcome.UNANSWERED)
    return failed.at_ns == at(1) + round(after_s * SECOND)


# -- requests and answers that are lost


def connect_failed(day: BadDay) -> None:
    """It never left, and that is known at once."""
    day.until(1)
    failed = only(SendFailed, day.place("A", buy(10_005)))
    assert (failed.outcome, failed.at_ns) == (Outcome.NOT_SENT, at(1))
    assert day.exchange.placements == ()


def request_lost(purpose: Purpose) -> Callable[[BadDay], None]:
    """A placement that never arrives: nothing is there, and nobody says so."""

    def story(day: BadDay) -> None:
        day.until(1)
        assert is_unanswered(day.place("A", buy(10_005), purpose, after=9), Action.PLACE, 8)
        assert day.exchange.placements == ()

    return story


def answer_lost(purpose: Purpose) -> Callable[[BadDay], None]:
    """A placement that is done and not answered: the stream alone tells of it."""

    def story(day: BadDay) -> None:
        day.until(1)
        found = day.place("A", buy(10_005), purpose, after=9)
        assert is_unanswered(found, Action.PLACE, 8)
        assert day.row("A").status is F
        assert words(found) == [(W, 0), (F, 65)]

    return story


def modify_request_lost(day: BadDay) -> None:
    """The order stays as it was."""
    day.place("A", buy(9_900))
    day.until(1)
    assert is_unanswered(day.modify("A", buy(9_950), after=3), Action.MODIFY, 2)
    assert day.row("A").terms == buy(9_900)


def modify_answer_lost(day: BadDay) -> None:
    """The order has its new terms."""
    day.place("A", buy(9_900))
    day.until(1)
    assert is_unanswered(day.modify("A", buy(9_950), after=3), Action.MODIFY, 2)
    assert day.row("A").terms == buy(9_950)


def cancel_request_lost(day: BadDay) -> None:
    """The order lives."""
    day.place("A", buy(9_900))
    day.until(1)
    assert is_unanswered(day.cancel("A", after=3), Action.CANCEL, 2)
    assert day.row("A").status is W


def cancel_answer_lost(day: BadDay) -> None:
    """The order is dead."""
    day.place("A", buy(9_900))
    day.until(1)
    assert is_unanswered(day.cancel("A", after=3), Action.CANCEL, 2)
    assert day.row("A").status is C


def server_error(day: BadDay) -> None:
    """Some are done and some are not, and the answers are the same."""
    day.until(1)
    for number in range(12):
        failed = only(SendFailed, day.place(f"A{number}", buy(9_900)))
        assert (failed.outcome, failed.reason) == (Outcome.UNANSWERED, "HTTP 500")
    assert 0 < len(day.exchange.placements) < 12


def request_slow(day: BadDay) -> None:
    """It meets the market as of when it arrives."""
    day.until(1)
    assert day.place("A", buy(10_005)) == []
    assert not day.exchange.orders()
    assert words(day.until(4)) == [(W, 0), (F, 65)]
    (placed,) = day.exchange.placements
    assert placed.at_ns == at(1) + REQUEST + 1_500 * MILLISECOND_NS


def answer_slow(day: BadDay) -> None:
    """Beyond the time-out it is never heard; the truth was there long before."""
    day.until(1)
    found = day.place("A", buy(10_005), after=15)
    assert is_unanswered(found, Action.PLACE, 8)
    assert day.row("A").venue_at_ns == at(1) + REQUEST
    assert only(ReadFailed, day.ask(ReadFunds(), after=15)).reason == "time-out"
    assert only(ReadFailed, day.ask(ReadBook(), after=15)).reason == "time-out"
    assert only(GuardAnswered, day.ask(SetLossExit(loss_paise=LAKH), after=15)).is_done is False


# -- refusals


def refused(refusal: Refusal) -> Callable[[BadDay], None]:
    """An answer that says no: no order, no row."""

    def story(day: BadDay) -> None:
        failed = only(SendFailed, day.place("A", buy(10_005)))
        assert (failed.outcome, failed.refusal) == (Outcome.REFUSED, refusal)
        assert failed.reason
        assert day.exchange.orders() == ()

    return story


def rejected(refusal: Refusal, terms: OrderTerms) -> Callable[[BadDay], None]:
    """The broker took it and the exchange did not: the no stands in the row."""

    def story(day: BadDay) -> None:
        found = day.place("A", terms)
        assert len(all_of(OrderAcknowledged, found)) == 1
        assert (day.row("A").status, day.row("A").refusal) == (R, refusal)

    return story


def refused_not_modifiable(day: BadDay) -> None:
    """Said of an order that lives."""
    day.place("A", buy(9_900))
    for found in (day.modify("A", buy(9_950)), day.cancel("A")):
        assert only(SendFailed, found).refusal is Refusal.NOT_MODIFIABLE
    assert (day.row("A").status, day.row("A").terms) == (W, buy(9_900))


def token_dead(day: BadDay) -> None:
    """Nothing is taken and nothing can be read."""
    assert only(SendFailed, day.place("A", buy(10_005))).refusal is Refusal.TOKEN
    for command in (
        ReadFunds(),
        ReadBook(),
        ReadQuotes(instruments=(CALL.id,)),
        FindOrder(order_id=oid("A")),
    ):
        assert "access token" in only(ReadFailed, day.ask(command)).reason
    assert "access token" in only(GuardAnswered, day.ask(ExitAll())).reason
    assert day.exchange.orders() == ()


def ip_refused(day: BadDay) -> None:
    """Orders are refused while reads look well (T27)."""
    failed = only(SendFailed, day.place("A", buy(10_005)))
    assert (failed.refusal, failed.reason) == (Refusal.IP, "Invalid IP")
    assert only(FundsRead, day.ask(ReadFunds())).available_paise == 10 * LAKH


def self_trade_cancelled(day: BadDay) -> None:
    """The exchange took it and cancelled it: nothing of it rests or fills."""
    found = day.place("A", buy(10_005))
    assert words(found) == [(W, 0), (C, 0)]
    assert day.row("A").refusal is Refusal.SELF_TRADE


# -- modifications, fills, stops


def modify_ignored(day: BadDay) -> None:
    """Yes, and nothing: no word, and the old terms when it is read."""
    day.hold()
    day.place("S", RESTING_STOP, Purpose.STOP)
    assert day.modify("S", sell(9_990)) == []
    assert day.row("S").terms == RESTING_STOP


def modify_refused_later(day: BadDay) -> None:
    """The stream's word sounds like the order's end; the row says that it rests (T15)."""
    day.hold()
    day.place("S", RESTING_STOP, Purpose.STOP)
    assert words(day.modify("S", sell(9_990))) == [(R, 0)]
    assert (day.row("S").status, day.row("S").terms) == (W, RESTING_STOP)
    assert words(day.ask(FindOrder(order_id=oid("S")))) == [(W, 0)]


def modify_overtaken(day: BadDay) -> None:
    """The stop is a limit order already when its modification arrives."""
    day.hold()
    day.place("S", RESTING_STOP, Purpose.STOP)
    found = day.modify("S", sell(10_000))
    assert words(found)[0] == (BrokerStatus.TRIGGERED, 0)
    assert day.row("S").status is F, "its own limit was met before the new one came"
    assert only(SendFailed, found).refusal is Refusal.NOT_MODIFIABLE
    assert day.net == 0


def stop_to_limit_refused(day: BadDay) -> None:
    """Another trigger is taken, another type is not."""
    day.hold()
    day.place("S", RESTING_STOP, Purpose.STOP)
    assert only(SendFailed, day.modify("S", sell(9_990))).refusal is Refusal.OTHER
    assert day.row("S").terms == RESTING_STOP
    day.modify("S", stop(Side.SELL, 9_910, 9_810))
    assert day.row("S").terms == stop(Side.SELL, 9_910, 9_810)


def fills_sliced(day: BadDay) -> None:
    """A lot at a time, on arrival and with every tick."""
    day.place("A", buy(10_005, 195))
    assert day.row("A").filled_quantity == 65
    day.tick(told(2))
    assert day.row("A").filled_quantity == 130
    day.tick(told(3, asks=((9_995, 650),)))
    assert day.row("A").status is F
    assert day.row("A").filled_value_paise == 130 * 10_005 + 65 * 9_995, "each at the book's price"


def fills_withheld(day: BadDay) -> None:
    """The market trades at its price and through it, and not with us."""
    day.place("A", buy(10_005, 195))
    day.tick(around(2, 9_950, volume=2_000))
    assert (day.row("A").status, day.row("A").filled_quantity) == (W, 0)


def filled_during_cancel(day: BadDay) -> None:
    """The fill was first: the cancel is refused, and we hold what we meant to leave."""
    day.place("A", buy(9_900))
    found = day.cancel("A")
    assert only(SendFailed, found).refusal is Refusal.NOT_MODIFIABLE
    assert words(found) == [(F, 65)]
    assert day.net == 65


def stop_refused_at_trigger(day: BadDay) -> None:
    """Read back as resting, dead when it is needed: the position is naked (T1)."""
    day.hold()
    day.place("S", RESTING_STOP, Purpose.STOP)
    day.tick(around(3, 9_900, volume=1_065))
    assert words(day.until(4)) == [(R, 0)]
    assert (day.row("S").refusal, day.net) == (Refusal.BAND, 65)


def stop_dropped(day: BadDay) -> None:
    """It rested, and does no more; the stream says so."""
    day.hold()
    day.place("S", RESTING_STOP, Purpose.STOP)
    day.tick(told(3))
    assert words(day.until(4)) == [(C, 0)]
    assert day.net == 65


# -- the stream


def update_duplicated(day: BadDay) -> None:
    """Each word comes twice, the second after newer ones."""
    assert words(day.place("A", buy(10_005))) == [(W, 0), (F, 65), (W, 0), (F, 65)]


def update_late(day: BadDay) -> None:
    """Seconds after it happened, in order."""
    assert words(day.place("A", buy(10_005))) == []
    assert words(day.until(5)) == [(W, 0), (F, 65)]
    assert day.row("A").status is F


def update_reordered(day: BadDay) -> None:
    """An older word after a newer one."""
    found = [words(day.place(f"A{number}", buy(9_900), after=3)) for number in range(8)]
    assert found == [[(W, 0)]] * 8, "alone a word is only late"
    said = [
        [status for status, _ in words(day.cancel_after_change(f"A{number}"))]
        for number in range(8)
    ]
    assert [C, W] in said


def update_lost(day: BadDay) -> None:
    """The answer alone tells of it."""
    assert words(day.place("A", buy(10_005))) == []
    assert day.row("A").status is F


def update_first(day: BadDay) -> None:
    """The fill is heard before the number of its order (I-40)."""
    kinds = [type(event) for event in day.place("A", buy(10_005))]
    assert kinds == [OrderUpdated, OrderUpdated, OrderAcknowledged]


def stream_mute(day: BadDay) -> None:
    """Nothing is said, of ours or of others, and no link goes down; a read tells."""
    found = day.place("A", buy(10_005))
    assert [type(event) for event in found] == [OrderAcknowledged]
    assert words(day.ask(FindOrder(order_id=oid("A")))) == [(F, 65)]


def stream_down(day: BadDay) -> None:
    """It breaks, says nothing of what happens meanwhile, and comes back."""
    day.until(0.6)
    day.place("A", buy(10_005))
    day.place("B", buy(9_900))
    assert words(day.heard) == []
    day.until(61)
    day.cancel("B")
    links = all_of(LinkChanged, day.heard)
    assert [(link.is_up, link.at_ns) for link in links] == [(False, at(0.5)), (True, at(60))]
    assert words(day.heard) == [(C, 0)]


# -- reads


def book(day: BadDay) -> BookRead:
    """A pass over the book."""
    return only(BookRead, day.ask(ReadBook()))


def book_failed(day: BadDay) -> None:
    """Failed, not empty."""
    assert only(ReadFailed, day.ask(ReadBook())).what == "book"


def book_empty(day: BadDay) -> None:
    """A success that shows nothing of what is there."""
    day.hold()
    read = book(day)
    assert (read.nets, read.orders, read.trades) == ((), (), ())
    assert day.net == 65


def book_stale(day: BadDay) -> None:
    """All of it as it was: the order works, nothing is held."""
    day.place("A", buy(9_990))
    day.until(4)
    day.tick(told(5, asks=((9_990, 65),)))
    read = book(day)
    assert (read.nets, read.trades) == ((), ())
    assert [row.status for row in read.orders] == [W]
    assert (day.row("A").status, day.net) == (F, 65)
    assert book_after(day, 12).nets == day.exchange.book_nets()


def book_after(day: BadDay, second: float) -> BookRead:
    """A pass when all is long settled."""
    day.until(second)
    return book(day)


def book_fill_behind(day: BadDay) -> None:
    """The order has filled and the trade is there; the position is not."""
    day.hold()
    read = book(day)
    assert [row.status for row in read.orders] == [F]
    assert (len(read.trades), read.nets) == (1, ())
    assert [net.net for net in book_after(day, 6).nets] == [65]


def book_torn(day: BadDay) -> None:
    """Held, by an order that is not there, in no trade."""
    day.until(1)
    day.place("E", buy(10_005))
    read = book(day)
    assert ([net.net for net in read.nets], read.orders, read.trades) == ([65], (), ())


def book_position_missing(day: BadDay) -> None:
    """One held key lacks; its orders and trades are there."""
    day.hold()
    read = book(day)
    assert (read.nets, len(read.orders), len(read.trades)) == ((), 1, 1)


def order_not_found(day: BadDay) -> None:
    """404, and it rests."""
    day.place("A", buy(9_900))
    assert only(ReadFailed, day.ask(FindOrder(order_id=oid("A")))).reason == "not found"
    assert day.row("A").status is W


def order_read_failed(day: BadDay) -> None:
    """It could not be read."""
    day.place("A", buy(9_900))
    failed = only(ReadFailed, day.ask(FindOrder(order_id=oid("A"))))
    assert (failed.what, failed.reason) == ("order A", "HTTP 500")


def quotes_failed(day: BadDay) -> None:
    """429."""
    failed = only(ReadFailed, day.ask(ReadQuotes(instruments=(CALL.id,))))
    assert (failed.what, failed.reason) == ("quotes", "HTTP 429")


def funds_failed(day: BadDay) -> None:
    """Unknown, not zero."""
    assert only(ReadFailed, day.ask(ReadFunds())).what == "funds"


def funds_zero(day: BadDay) -> None:
    """Nothing is free, they say."""
    assert only(FundsRead, day.ask(ReadFunds())).available_paise == 0
    assert day.exchange.funds_paise == 10 * LAKH


def guard_failed(day: BadDay) -> None:
    """None of the guards is done."""
    day.hold()
    for command in (ExitAll(), BrokerKillSwitch(), SetLossExit(loss_paise=1)):
        assert only(GuardAnswered, day.ask(command)).is_done is False
    assert (day.net, day.exchange.book_foreign()) == (65, ())


# -- others


def foreign(day: BadDay) -> list[tuple[Side, int, int, bool]]:
    """What the stream said of orders that are not ours."""
    return [
        (e.row.side, e.row.quantity, e.row.filled_quantity, e.row.is_live)
        for e in all_of(ForeignUpdated, day.heard)
    ]


def owner_sells_part(day: BadDay) -> None:
    """A lot is gone, by an order without an id of ours; the stop still rests for all of it."""
    day.hold(130)
    day.place("S", replace(RESTING_STOP, quantity=130), Purpose.STOP)
    day.tick(told(3))
    day.until(3.5)
    assert foreign(day) == [(Side.SELL, 65, 0, True)], "seen working before it trades"
    day.tick(told(4))
    day.until(5)
    assert foreign(day)[1:] == [(Side.SELL, 65, 65, False)]
    assert (day.net, day.row("S").status) == (65, W)
    [row] = book(day).foreign
    assert (row.quantity, row.filled_quantity, row.is_live) == (65, 65, False)


def owner_sells_all(day: BadDay) -> None:
    """Flat, while our stop rests (T14)."""
    day.hold()
    day.place("S", RESTING_STOP, Purpose.STOP)
    day.tick(told(3))
    day.tick(told(4))
    assert (day.net, day.row("S").status) == (0, W)


def owner_buys(day: BadDay) -> None:
    """More is held than we bought."""
    day.hold()
    day.tick(told(3))
    day.tick(told(4))
    assert day.net == 130


def owner_offers(day: BadDay) -> None:
    """Seen working, never filled, taken back: all is held as before."""
    day.hold()
    day.tick(told(3))
    day.tick(told(9))
    day.until(10)
    assert foreign(day) == [(Side.SELL, 65, 0, True), (Side.SELL, 65, 0, False)]
    assert day.net == 65


def owner_cancels_stop(day: BadDay) -> None:
    """Ours, and dead without our asking; the next one is left alone."""
    day.hold()
    day.place("S", RESTING_STOP, Purpose.STOP)
    day.tick(told(3))
    assert words(day.until(3.5)) == [(C, 0)]
    day.place("S2", RESTING_STOP, Purpose.STOP)
    day.tick(told(5))
    assert day.row("S2").status is W


def owner_changes_stop(day: BadDay) -> None:
    """Alive, with a trigger that is not ours."""
    day.hold()
    day.place("S", RESTING_STOP, Purpose.STOP)
    day.tick(told(3))
    assert words(day.until(4)) == [(W, 0)]
    assert day.row("S").terms == stop(Side.SELL, 9_895, 9_795)


def broker_squares_off(day: BadDay) -> None:
    """At any hour: our orders are cancelled, the position is closed by orders that are not ours."""
    day.hold()
    day.place("S", RESTING_STOP, Purpose.STOP)
    day.tick(told(3))
    day.until(4)
    assert (day.net, day.row("S").status) == (0, C)
    assert foreign(day)[-1] == (Side.SELL, 65, 65, False)


STORIES: dict[FaultKind, Callable[[BadDay], None]] = {
    K.CONNECT_FAILED: connect_failed,
    K.ENTRY_REQUEST_LOST: request_lost(Purpose.ENTRY),
    K.EXIT_REQUEST_LOST: request_lost(Purpose.EXIT),
    K.STOP_REQUEST_LOST: request_lost(Purpose.STOP),
    K.MODIFY_REQUEST_LOST: modify_request_lost,
    K.CANCEL_REQUEST_LOST: cancel_request_lost,
    K.ENTRY_ANSWER_LOST: answer_lost(Purpose.ENTRY),
    K.EXIT_ANSWER_LOST: answer_lost(Purpose.EXIT),
    K.STOP_ANSWER_LOST: answer_lost(Purpose.STOP),
    K.MODIFY_ANSWER_LOST: modify_answer_lost,
    K.CANCEL_ANSWER_LOST: cancel_answer_lost,
    K.SERVER_ERROR: server_error,
    K.REQUEST_SLOW: request_slow,
    K.ANSWER_SLOW: answer_slow,
    K.REFUSED_FUNDS: refused(Refusal.FUNDS),
    K.REFUSED_QUANTITY: refused(Refusal.QUANTITY),
    K.REFUSED_RATE: refused(Refusal.RATE),
    K.REFUSED_BAND: rejected(Refusal.BAND, buy(10_005)),
    K.REFUSED_BEYOND_TRIGGER: rejected(Refusal.BEYOND_TRIGGER, RESTING_STOP),
    K.REFUSED_TRIGGER_DISTANCE: rejected(Refusal.TRIGGER_DISTANCE, RESTING_STOP),
    K.REFUSED_NOT_MODIFIABLE: refused_not_modifiable,
    K.REFUSED_CLOSED: refused(Refusal.CLOSED_MARKET),
    K.REFUSED_DUPLICATE: refused(Refusal.OTHER),
    K.REFUSED_OTHER: refused(Refusal.OTHER),
    K.TOKEN_DEAD: token_dead,
    K.IP_REFUSED: ip_refused,
    K.SELF_TRADE_CANCELLED: self_trade_cancelled,
    K.MODIFY_IGNORED: modify_ignored,
    K.MODIFY_REFUSED_LATER: modify_refused_later,
    K.MODIFY_OVERTAKEN: modify_overtaken,
    K.STOP_TO_LIMIT_REFUSED: stop_to_limit_refused,
    K.FILLS_SLICED: fills_sliced,
    K.FILLS_WITHHELD: fills_withheld,
    K.FILLED_DURING_CANCEL: filled_during_cancel,
    K.STOP_REFUSED_AT_TRIGGER: stop_refused_at_trigger,
    K.STOP_DROPPED: stop_dropped,
    K.UPDATE_DUPLICATED: update_duplicated,
    K.UPDATE_LATE: update_late,
    K.UPDATE_REORDERED: update_reordered,
    K.UPDATE_LOST: update_lost,
    K.UPDATE_FIRST: update_first,
    K.STREAM_MUTE: stream_mute,
    K.STREAM_DOWN: stream_down,
    K.BOOK_FAILED: book_failed,
    K.BOOK_EMPTY: book_empty,
    K.BOOK_STALE: book_stale,
    K.BOOK_FILL_BEHIND: book_fill_behind,
    K.BOOK_TORN: book_torn,
    K.BOOK_POSITION_MISSING: book_position_missing,
    K.ORDER_NOT_FOUND: order_not_found,
    K.ORDER_READ_FAILED: order_read_failed,
    K.QUOTES_FAILED: quotes_failed,
    K.FUNDS_FAILED: funds_failed,
    K.FUNDS_ZERO: funds_zero,
    K.GUARD_FAILED: guard_failed,
    K.OWNER_SELLS_PART: owner_sells_part,
    K.OWNER_SELLS_ALL: owner_sells_all,
    K.OWNER_BUYS: owner_buys,
    K.OWNER_OFFERS: owner_offers,
    K.OWNER_CANCELS_STOP: owner_cancels_stop,
    K.OWNER_CHANGES_STOP: owner_changes_stop,
    K.BROKER_SQUARES_OFF: broker_squares_off,
}


def truth(exchange: SimulatedExchange) -> tuple[object, ...]:
    """All that a broker could be asked."""
    return (
        exchange.orders(),
        exchange.executions,
        exchange.book_foreign(),
        exchange.placements,
        exchange.funds_paise,
    )


FROM = dict.fromkeys(FaultKind, 0.0) | {K.STREAM_DOWN: 0.5}
SHARE = {K.UPDATE_REORDERED: 5_000}


@pytest.mark.parametrize("kind", FaultKind)
@pytest.mark.proves("T29")
def test_each_fault_strikes_and_the_broker_knows_what_is_true(
    kind: FaultKind, tmp_path: Path
) -> None:
    """It strikes alone and is counted; a venue built again has the same day behind it."""
    window = FaultWindow(
        kind=kind,
        from_ns=at(FROM[kind]),
        until_ns=at(60),
        share_bps=SHARE.get(kind, 10_000),
    )
    day = BadDay(tmp_path, (window,))
    STORIES[kind](day)
    assert list(day.faults.struck) == [kind]
    assert day.faults.struck[kind] > 0
    day.exchange.assert_conserved()
    again = day.again()
    assert truth(again.exchange) == truth(day.exchange)
    assert again.faults.struck == day.faults.struck


def quiet_day(folder: Path) -> BadDay:
    """A day without faults, with a call held."""
    day = BadDay(folder, ())
    day.hold()
    return day


def test_others_orders_come_by_the_stream_and_net_by_key(tmp_path: Path) -> None:
    """The broker's square-off is heard of, as foreign orders; ours are heard of as ours."""
    day = quiet_day(tmp_path)
    day.place("S", RESTING_STOP, Purpose.STOP)
    off = FACTS.sessions[0].square_off_ns
    day.tick(replace(told(0), at_ns=off - 1))
    day.until((off - at(0)) / SECOND + 1)
    assert words(day.heard)[-1] == (C, 0)
    assert foreign(day) == [(Side.SELL, 65, 0, True), (Side.SELL, 65, 65, False)]
    assert day.net == 0


def test_exit_all_closes_what_the_owner_holds_too(tmp_path: Path) -> None:
    """Orders cancelled, positions closed by the broker's own orders, and told by the stream."""
    day = quiet_day(tmp_path)
    day.exchange.send_foreign(
        BrokerKey(PUT.id, Product.MARGIN), Side.BUY, quantity=65, at_ns=at(day.now)
    )
    day.tick(told(2, instrument=PUT))
    day.place("S", RESTING_STOP, Purpose.STOP)
    answered = only(GuardAnswered, day.ask(ExitAll()))
    assert answered.is_done
    day.tick(told(4.5, instrument=PUT))
    assert set(day.exchange.positions().values()) == {0}
    assert day.row("S").status is C
    assert foreign(day)[-1] == (Side.SELL, 65, 65, False)
    day.exchange.assert_conserved()


def test_what_the_guards_did_is_remembered(tmp_path: Path) -> None:
    """A venue built again has closed the same positions, and refuses what the first refuses."""
    day = quiet_day(tmp_path)
    day.ask(SetLossExit(loss_paise=65 * 2_000))
    day.ask(ExitAll())
    day.ask(BrokerKillSwitch())
    day.place("E2", buy(10_005))
    again = day.again()
    assert truth(again.exchange) == truth(day.exchange)
    assert again.exchange.placements[-1].refusal is Refusal.OTHER


def test_the_kill_switch_wants_a_flat_book_without_orders_and_then_refuses_all(
    tmp_path: Path,
) -> None:
    """It says what is in its way; once on, it lasts for the day."""
    day = quiet_day(tmp_path)
    day.place("S", RESTING_STOP, Purpose.STOP)
    answered = only(GuardAnswered, day.ask(BrokerKillSwitch()))
    assert (answered.is_done, answered.reason) == (
        False,
        "Kill switch needs all positions closed",
    )
    day.place("X", sell(9_995), Purpose.EXIT)
    answered = only(GuardAnswered, day.ask(BrokerKillSwitch()))
    assert answered.reason == "Kill switch needs all pending orders cancelled"
    day.cancel("S")
    assert only(GuardAnswered, day.ask(BrokerKillSwitch())).is_done
    refusal = only(SendFailed, day.place("E2", buy(10_005)))
    assert (refusal.refusal, refusal.reason) == (Refusal.OTHER, "Kill switch is active")


def test_the_loss_exit_waits_for_its_loss_and_fires_once(tmp_path: Path) -> None:
    """By the last price and the day's cash; afterwards the owner may trade again."""
    day = quiet_day(tmp_path)
    day.place("S", stop(Side.SELL, 9_000, 8_900), Purpose.STOP)
    assert only(GuardAnswered, day.ask(SetLossExit(loss_paise=65 * 105))).is_done
    day.tick(around(4, 9_901, volume=1_100))
    assert day.net == 65
    day.tick(around(5, 9_900, volume=1_200))
    assert (day.net, day.row("S").status) == (0, C)
    day.place("E2", buy(9_905))
    day.tick(around(7, 9_500, volume=1_300))
    assert day.net == 65


def test_a_loss_exit_that_is_breached_already_fires_at_once(tmp_path: Path) -> None:
    """As the broker's does."""
    day = quiet_day(tmp_path)
    day.ask(SetLossExit(loss_paise=1))
    assert day.net == 0


@pytest.mark.parametrize(("closing", "paise"), [(2_500_000, 50_000), (2_440_000, 0)])
def test_what_expires_is_settled_by_the_close_of_its_underlying(closing: int, paise: int) -> None:
    """In cash, told once as an event with its source; nothing of it is held any more."""
    contract = replace(option(71_006, 24_500, OptionType.CALL), expiry=DAY)
    exchange = SimulatedExchange((NIFTY, contract), FACTS, cash_paise=10 * LAKH, seed=1)
    venue = SimulatedVenue(exchange, FIXED, quotes_available=True)
    venue.on_tick(told(0, instrument=contract))
    venue.on_tick(told(0, last=closing, bids=(), asks=(), instrument=NIFTY))
    terms = replace(buy(10_005), instrument=contract.id)
    exchange.place(oid("E"), terms, at(1))
    before = exchange.cash_paise
    [event] = [e for e in venue.pop_due(CLOSE + SECOND) if isinstance(e, Settled)]
    assert (event.instrument, event.settlement_paise) == (contract.id, paise)
    assert event.source == f"NSE: NIFTY closed at {closing}"
    assert event.at_ns == CLOSE + UPDATE
    assert exchange.cash_paise == before + 65 * paise
    assert exchange.book_nets() == ()
    assert list(exchange.positions().values()) == [0]
    exchange.assert_conserved()


def test_nothing_is_settled_without_a_price_or_before_its_day(tmp_path: Path) -> None:
    """A price is never invented; a later expiry is held over night."""
    day = quiet_day(tmp_path)
    assert day.exchange.settle(CLOSE) == []
    contract = replace(option(71_006, 24_500, OptionType.CALL), expiry=DAY)
    exchange = SimulatedExchange((NIFTY, contract), FACTS, cash_paise=10 * LAKH, seed=1)
    exchange.on_tick(told(0, instrument=contract))
    exchange.place(oid("E"), replace(buy(10_005), instrument=contract.id), at(1))
    assert exchange.settle(CLOSE) == []
    assert list(exchange.positions().values()) == [65]


def test_requests_beyond_a_rate_are_refused_and_cost_nothing() -> None:
    """By the broker, modifications and cancels too; reads are not counted."""
    exchange = SimulatedExchange((NIFTY, CALL, PUT), FACTS, cash_paise=10 * LAKH, seed=1)
    venue = SimulatedVenue(exchange, FIXED, quotes_available=True, rates=RateLimits(second=2))
    venue.on_tick(told(0))
    for name in "AB":
        venue.submit(_placed(name), at(1))
    venue.submit(CancelOrder(order_id=oid("A"), broker_id=BrokerOrderId("1")), at(1.1))
    venue.submit(ReadFunds(), at(1.1))
    venue.submit(_placed("C"), at(1.2))
    venue.submit(_placed("D"), at(2.2))
    found = list(venue.pop_due(at(3)))
    refusals = [(e.order_id, e.refusal) for e in found if isinstance(e, SendFailed)]
    assert ("C", Refusal.RATE) in refusals
    assert [row.order_id for row in exchange.orders()] == ["A", "B", "D"]
    assert [e for e in found if isinstance(e, FundsRead)]


def _placed(name: str) -> PlaceOrder:
    return PlaceOrder(
        order_id=oid(name), purpose=Purpose.ENTRY, position=1, terms=buy(9_900), fills_seen=0
    )


def test_a_market_of_its_own_goes_on_while_the_feed_is_mute() -> None:
    """What really trades fills our orders, whatever the driver was told."""
    faults = Faults(1)
    exchange = SimulatedExchange((NIFTY, CALL, PUT), FACTS, cash_paise=10 * LAKH, seed=1)
    market = [told(0), told(2, asks=((9_900, 65),)), told(30)]
    venue = SimulatedVenue(
        exchange, FIXED, quotes_available=True, faults=faults, market=iter(market)
    )
    venue.on_tick(told(0))
    venue.submit(_placed("A"), at(1))
    heard = []
    while (due := venue.due_ns) is not None and due <= at(10):
        heard += list(venue.pop_due(due))
    assert words(heard) == [(W, 0), (F, 65)]
    assert all_of(OrderUpdated, heard)[-1].row.venue_at_ns == at(2)
    assert venue.due_ns == at(30), "the market itself is what is due next"
    venue.on_tick(replace(told(0), at_ns=at(20)))
    assert exchange.last_tick(CALL.id) == market[1], "what the driver is told moves nothing"


def test_one_fault_more_moves_no_other() -> None:
    """Shares are drawn by kind and by name of what is struck."""
    half = FaultWindow(kind=K.ENTRY_ANSWER_LOST, from_ns=at(0), until_ns=at(60), share_bps=5_000)
    other = replace(half, kind=K.UPDATE_LOST)

    def lost(*windows: FaultWindow) -> list[str]:
        faults = Faults(3, windows)
        exchange = SimulatedExchange((NIFTY, CALL, PUT), FACTS, cash_paise=100 * LAKH, seed=1)
        venue = SimulatedVenue(exchange, FIXED, quotes_available=True, faults=faults, rates=None)
        venue.on_tick(told(0))
        for number in range(20):
            venue.submit(_placed(f"A{number}"), at(1))
        heard = list(venue.pop_due(at(30)))
        return [e.order_id for e in all_of(SendFailed, heard)]

    assert lost(half) == lost(half, other)
    assert 4 < len(lost(half)) < 16


@pytest.mark.parametrize("seed", range(6))
def test_under_all_faults_at_once_the_exchange_is_conserved_and_remembered(
    seed: int, tmp_path: Path
) -> None:
    """Orders, changes, reads and guards by the draw, some of everything struck."""
    windows = tuple(
        FaultWindow(kind=kind, from_ns=at(1), until_ns=at(100), share_bps=600)
        for kind in FaultKind
        if kind is not K.STREAM_DOWN
    )
    day = BadDay(tmp_path, windows)
    day.hold(195)
    for step in range(240):
        chance = draw(seed, "step", step)
        price = 9_800 + chance % 80 * 5
        day.tick(around(max(day.now, 2.0) + 0.3, price, volume=1_000 + 65 * step))
        name = f"A{step}" if chance % 3 == 0 else f"A{draw(seed, 'name', step) % max(step, 1)}"
        _do_something(day, name, price, chance >> 8)
    assert len(day.faults.struck) > 15, "many kinds had something to strike"
    day.exchange.assert_conserved()
    again = day.again()
    assert truth(again.exchange) == truth(day.exchange)
    assert again.faults.struck == day.faults.struck


def _do_something(day: BadDay, name: str, price: int, chance: int) -> None:
    """One request about an order that is there, or a placement, or a read."""
    row = day.exchange.find(oid(name))
    side = Side.SELL if chance % 2 else Side.BUY
    terms = replace(buy(price), side=side)
    if chance % 5 == 0:
        purpose = list(Purpose)[chance // 5 % 3]
        wanted = terms if chance % 4 else stop(side, price + side.sign * 50, price + side.sign * 90)
        if row is None:
            day.place(name, wanted, purpose, after=0.2)
    elif row is not None:
        is_change = chance % 3
        kept = replace(terms, side=row.terms.side)
        (day.modify(name, kept, after=0.2) if is_change else day.cancel(name, after=0.2))
    else:
        reads: list[AnyCommand] = [
            ReadBook(),
            ReadFunds(),
            FindOrder(order_id=oid(name)),
            ReadQuotes(instruments=(CALL.id,)),
            SetLossExit(loss_paise=10 * LAKH),
        ]
        day.ask(reads[chance % 5], after=0.2)


def test_a_stop_becomes_a_limit_order_whatever_the_type(tmp_path: Path) -> None:
    """Without faults the modification is taken: the control of the stories above."""
    day = quiet_day(tmp_path)
    day.place("S", RESTING_STOP, Purpose.STOP)
    assert words(day.modify("S", sell(10_050))) == [(W, 0)]
    assert day.row("S").terms.order_type is OrderType.LIMIT
